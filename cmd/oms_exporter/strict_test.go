package main

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"oms_exporter/omsclient/omssim"
)

const openMetrics = "application/openmetrics-text; version=1.0.0"

// textual are the formats that are text, by the name of a parser.
var textual = map[string][]string{
	"openmetrics": {
		openMetrics, "application/openmetrics-text; version=0.0.1",
		"application/openmetrics-text; version=1.0.0; escaping=allow-utf-8",
	},
	"text": {"text/plain; version=0.0.4", "text/plain; version=1.0.0; escaping=allow-utf-8"},
}

// expositions calls see with every answer to a scrape, in every format that is text: of
// OMS that live, are dead and fail, on /metrics and /probe.
func expositions(t *testing.T, see func(name, parser, body string)) {
	t.Helper()
	_, live := newOMS(t, omssim.Options{Projects: projects(t)})
	sim, failing := newOMS(t, omssim.Options{Projects: projects(t)})
	sim.SetFaults(omssim.Fault{Kind: "api_error"})
	const dead = "http://127.0.0.1:1"
	several := exporterOf(t, fmt.Sprintf("  live: {url: %q}\n  failing: {url: %q}\n  dead: {url: %q}\n",
		live, failing, dead))
	urls := map[string]string{
		"/metrics, one OMS":         start(t, "--oms.url="+live).url + "/metrics",
		"/metrics, one that fails":  start(t, "--oms.url="+failing).url + "/metrics",
		"/metrics, a dead one":      start(t, "--oms.url="+dead).url + "/metrics",
		"/metrics, tasks only":      start(t, "--oms.url="+live, "--web.disable-exporter-metrics").url + "/metrics",
		"/probe, one that is alive": several.url + "/probe?target=live",
		"/probe, one that fails":    several.url + "/probe?target=failing",
		"/probe, a dead one":        several.url + "/probe?target=dead",
		"/metrics, several OMS":     several.url + "/metrics",
	}
	for where, url := range urls {
		for parser, formats := range textual {
			for _, format := range formats {
				r := get(t, url, "Accept", format)
				if kind, _, _ := strings.Cut(format, ";"); r.status != http.StatusOK ||
					!strings.HasPrefix(r.header.Get("Content-Type"), kind) {
					t.Fatalf("%s: %d %q for Accept %q", where, r.status, r.header.Get("Content-Type"), format)
				}
				see(where+" as "+format, parser, r.body)
			}
		}
	}
}

func TestStrictParsersTakeEveryAnswer(t *testing.T) {
	t.Parallel()
	expositions(t, func(name, parser, body string) {
		if err := parseStrictly(body, parser == "openmetrics"); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	})
}

// Telegraf and others have parsers as strict as this one.
func TestThePythonParserTakesEveryAnswer(t *testing.T) {
	t.Parallel()
	python := pythonWithParser(t)
	expositions(t, func(name, parser, body string) {
		module := map[string]string{
			"openmetrics": "prometheus_client.openmetrics.parser", "text": "prometheus_client.parser",
		}[parser]
		script := "import sys\nfrom " + module + " import text_string_to_metric_families as parse\n" +
			"print(len(list(parse(sys.stdin.read()))))"
		cmd := exec.CommandContext(t.Context(), python, "-c", script)
		cmd.Stdin = strings.NewReader(body)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		families, err := cmd.Output()
		if err != nil {
			t.Errorf("%s: %v\n%s", name, err, stderr.String())
		} else if want := strings.Count(body, "# TYPE "); strings.TrimSpace(string(families)) != strconv.Itoa(want) {
			t.Errorf("%s: %s families, want %d", name, families, want)
		}
	})
}

// pythonWithParser returns a Python that has the module prometheus_client, as Debian's
// package python3-prometheus-client installs it. It must be there when the environment
// says CI.
func pythonWithParser(t *testing.T) string {
	t.Helper()
	for _, python := range []string{"python3", "/usr/bin/python3"} {
		if exec.CommandContext(t.Context(), python, "-c", "import prometheus_client").Run() == nil {
			return python
		}
	}
	const missing = "no python3 with the module prometheus_client: install python3-prometheus-client"
	if os.Getenv("CI") != "" {
		t.Fatal(missing)
	}
	t.Skip(missing)
	return ""
}

func TestOpenMetricsLacksOnlyWhatItCannotName(t *testing.T) {
	_, url := newOMS(t, omssim.Options{Projects: projects(t)})
	p := start(t, "--oms.url="+url)
	names := func(accept string) []string {
		return familyNames(decode(t, get(t, p.url+"/metrics", "Accept", accept)))
	}
	text := names("text/plain; version=0.0.4")
	var open []string
	for line := range strings.SplitSeq(get(t, p.url+"/metrics", "Accept", openMetrics).body, "\n") {
		if name, ok := strings.CutPrefix(line, "# TYPE "); ok {
			name, kind, _ := strings.Cut(name, " ")
			if kind == "counter" {
				name += "_total"
			}
			open = append(open, name)
		}
	}

	slices.Sort(open)
	want := slices.DeleteFunc(text, func(name string) bool { return name == "go_memstats_alloc_bytes" })
	if !slices.Equal(open, want) {
		t.Errorf("OpenMetrics has the metrics\n%q, want\n%q", open, want)
	}
}

var (
	sampleLine = regexp.MustCompile(`^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$`)
	labelPair  = regexp.MustCompile(`^([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\n"])*)"(,|$)`)
	helpText   = regexp.MustCompile(`^(?:[^\\]|\\[\\n"])*$`)
)

// A strictFamily is the family whose lines are being read.
type strictFamily struct {
	name, kind string
	bucket     float64 // the latest le of a histogram
	count      float64 // of that bucket
}

// strict reads an exposition as the strictest of parsers do.
type strict struct {
	openMetrics bool
	family      strictFamily
	helped      string            // the family of the HELP line before
	families    map[string]bool   // names
	samples     map[string]string // the family of each name of samples
	series      map[string]bool
}

// parseStrictly returns what is wrong with an exposition, or nil. It must be neat, too:
// each family has its HELP, then its TYPE, then its samples.
func parseStrictly(body string, openMetrics bool) error {
	s := &strict{
		openMetrics: openMetrics, families: map[string]bool{}, samples: map[string]string{},
		series: map[string]bool{},
	}
	if openMetrics {
		var ended bool
		if body, ended = strings.CutSuffix(body, "# EOF\n"); !ended {
			return errors.New("no # EOF at the end")
		}
	}
	body, ended := strings.CutSuffix(body, "\n")
	if !ended {
		return errors.New("no newline at the end")
	}
	for i, line := range strings.Split(body, "\n") {
		if err := s.line(line); err != nil {
			return fmt.Errorf("line %d: %w: %s", i+1, err, line)
		}
	}
	return nil
}

func (s *strict) line(line string) error {
	if help, ok := strings.CutPrefix(line, "# HELP "); ok {
		name, text, _ := strings.Cut(help, " ")
		if s.helped != "" || s.families[name] || text == "" || !helpText.MatchString(text) {
			return errors.New("a HELP without TYPE, a second one, or no text")
		}
		s.helped = name
		return nil
	}
	if meta, ok := strings.CutPrefix(line, "# TYPE "); ok {
		name, kind, _ := strings.Cut(meta, " ")
		kinds := []string{"gauge", "counter", "histogram", "summary"}
		if s.helped != name || s.families[name] || !slices.Contains(kinds, kind) {
			return errors.New("a TYPE without HELP, or a second one, or of no type")
		}
		s.helped, s.families[name] = "", true
		s.family = strictFamily{name: name, kind: kind}
		return nil
	}
	found := sampleLine.FindStringSubmatch(line)
	if found == nil || s.helped != "" {
		return errors.New("no sample, or one after a HELP")
	}
	return s.sample(found[1], found[2], found[3])
}

// suffixes are those of the samples of a family, by its type.
func (s *strict) suffixes() []string {
	switch s.family.kind {
	case "counter":
		if s.openMetrics {
			return []string{"_total"}
		}
	case "histogram":
		return []string{"_bucket", "_sum", "_count"}
	case "summary":
		return []string{"", "_sum", "_count"}
	}
	return []string{""}
}

func (s *strict) sample(name, pairs, number string) error {
	suffix, ok := strings.CutPrefix(name, s.family.name)
	if !ok || !slices.Contains(s.suffixes(), suffix) {
		return fmt.Errorf("a sample among those of the %s %s", s.family.kind, s.family.name)
	}
	labels, err := labelsIn(pairs)
	if err != nil {
		return err
	}
	id := name + fmt.Sprint(labels) // a map is printed in order
	if s.series[id] || s.samples[name] != "" && s.samples[name] != s.family.name {
		return errors.New("a series twice, or a name in two families")
	}
	s.series[id], s.samples[name] = true, s.family.name
	value, err := strconv.ParseFloat(number, 64)
	if err != nil {
		return err
	}
	switch le, isBucket := labels["le"]; {
	case isBucket != (suffix == "_bucket"), (labels["quantile"] != "") != (s.family.kind == "summary" && suffix == ""):
		return errors.New("le or quantile where it does not belong, or none where it does")
	case isBucket:
		return s.bucket(le, value)
	case suffix == "_count" && s.family.kind == "histogram" && value != s.family.count:
		return fmt.Errorf("the last bucket has %v", s.family.count)
	case s.family.kind == "counter" && !(value >= 0):
		return errors.New("a counter that is negative or no number")
	}
	return nil
}

// bucket checks that buckets come in order and grow.
func (s *strict) bucket(le string, value float64) error {
	bound, err := strconv.ParseFloat(le, 64)
	if err != nil || s.openMetrics && !strings.ContainsAny(le, ".ef") && le != "+Inf" {
		return errors.New("no canonical le")
	}
	if s.family.count > 0 && bound > s.family.bucket && value < s.family.count {
		return errors.New("a bucket smaller than the one before")
	}
	s.family.bucket, s.family.count = bound, value
	return nil
}

// labelsIn parses what is in braces.
func labelsIn(pairs string) (map[string]string, error) {
	labels := map[string]string{}
	for pairs != "" {
		found := labelPair.FindStringSubmatch(pairs)
		if found == nil {
			return nil, errors.New("no labels")
		}
		if _, twice := labels[found[1]]; twice {
			return nil, errors.New("a label twice")
		}
		labels[found[1]] = found[2]
		pairs = pairs[len(found[0]):]
	}
	return labels, nil
}

func TestParsingStrictlyFindsWhatIsWrong(t *testing.T) {
	const gauge = "# HELP a A.\n# TYPE a gauge\na 1\n"
	const histogram = "# HELP h H.\n# TYPE h histogram\nh_bucket{le=\"1.0\"} 2\nh_bucket{le=\"+Inf\"} 3\nh_sum 1\nh_count 3\n"
	for what, body := range map[string]string{
		"":                       gauge + histogram,
		"a family twice":         gauge + gauge,
		"a counter's other half": "# HELP a A.\n# TYPE a gauge\na 1\n# HELP a A.\n# TYPE a counter\na_total 1\n",
		"a name of two families": histogram + "# HELP h_count A.\n# TYPE h_count gauge\nh_count{x=\"1\"} 1\n",
		"no _total":              "# HELP a A.\n# TYPE a counter\na 1\n",
		"_total of a gauge":      "# HELP a A.\n# TYPE a gauge\na_total 1\n",
		"no TYPE":                "# HELP a A.\na 1\n",
		"no HELP":                "# TYPE a gauge\na 1\n",
		"families mixed":         gauge + histogram + "a{x=\"1\"} 1\n",
		"a series twice":         gauge + "a 1\n",
		"a label twice":          gauge + "a{x=\"1\",x=\"2\"} 1\n",
		"a bare quote":           gauge + "a{x=\"\"\"} 1\n",
		"a blank line":           gauge + "\n",
		"a shrinking bucket":     strings.Replace(histogram, `"+Inf"} 3`, `"+Inf"} 1`, 1),
		"another count":          strings.Replace(histogram, "h_count 3", "h_count 4", 1),
		"an odd le":              strings.Replace(histogram, `"1.0"`, `"1"`, 1),
		"a negative counter":     "# HELP a A.\n# TYPE a counter\na_total -1\n",
		"something after EOF":    "# EOF\n" + gauge,
	} {
		if err := parseStrictly(body+"# EOF\n", true); (err == nil) != (what == "") {
			t.Errorf("%q: %v", what, err)
		}
	}
	if parseStrictly(gauge, true) == nil {
		t.Error("no EOF: nil")
	}
}
