package deploy_test

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestRulesNameWhatExists(t *testing.T) {
	s := known(t)
	for _, r := range s.rules {
		labels, err := s.Labels(r.Expr)
		problems := []error{err}
		for _, texts := range []map[string]string{r.Annotations, r.Labels} {
			for _, text := range texts {
				problems = append(problems, s.CheckTemplate(text, labels))
			}
		}
		if err := errors.Join(problems...); err != nil {
			t.Errorf("%s%s: %v", r.Record, r.Alert, err)
		}
	}
}

var (
	promqlBlock = regexp.MustCompile("(?s)```promql\n(.*?)```")
	anyBlock    = regexp.MustCompile("(?s)```.*?```")
	inline      = regexp.MustCompile("`([^`\n]+)`")
	program     = regexp.MustCompile(`^oms_exporter($|[ ./])`)
)

// inProse returns the expressions in a Markdown text: those in blocks marked promql, one each, and those in backticks that begin like one of our names.
func inProse(text string) []string {
	var found []string
	for _, block := range promqlBlock.FindAllStringSubmatch(text, -1) {
		found = append(found, block[1])
	}
	for _, word := range inline.FindAllStringSubmatch(anyBlock.ReplaceAllString(text, ""), -1) {
		if w := word[1]; (strings.HasPrefix(w, "oms_") || strings.HasPrefix(w, "oms:")) && !program.MatchString(w) {
			found = append(found, w)
		}
	}
	return found
}

func TestRunbooksNameWhatExists(t *testing.T) {
	n := known(t)
	expressions := 0
	for _, pattern := range []string{"runbooks/*.md", "alertmanager/*.md", "prometheus/*.md"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Errorf("%s: %d files (%v)", pattern, len(files), err)
		}
		for _, file := range files {
			for _, expr := range inProse(readFile(t, file)) {
				expressions++
				if err := n.Check(expr); err != nil {
					t.Errorf("%s: %v in %s", file, err, expr)
				}
			}
		}
	}
	if expressions < 60 {
		t.Errorf("only %d expressions", expressions)
	}
}

func readFile(t *testing.T, name string) string {
	t.Helper()
	content, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

func TestExpressionsAreFoundInProse(t *testing.T) {
	const text = "Look at `oms_up`, `oms:task_live:bool{a=\"b\"}` and `oms_exporter check --x`, not `up`.\n" +
		"```promql\nsum(a)\n```\n```sh\necho `oms_nothing`\n```\n"
	want := []string{"sum(a)\n", "oms_up", `oms:task_live:bool{a="b"}`}
	if got := inProse(text); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

var (
	matchersLine = regexp.MustCompile(`(?m)^[^#\n]*matchers: \[(.*)\]$`)
	matcher      = regexp.MustCompile(`(\w+)(=~|!~|!=|=)"([^"]*)"`)
	labelsLine   = regexp.MustCompile(`(?m)^[^#\n]*(?:group_by|equal): \[(.*)\]$`)
	ofAlert      = regexp.MustCompile(`\.(?:Common|Group)?Labels\.(\w+)`)
	annotation   = regexp.MustCompile(`\.(?:Common)?Annotations\.(\w+)`)
)

// TestAlertmanagerNamesWhatExists checks the labels in matchers, equal, group_by and templates, and the values in matchers.
func TestAlertmanagerNamesWhatExists(t *testing.T) {
	labels := make(map[string]bool)
	values := make(map[string][]string)
	annotations := make(map[string]bool)
	for _, a := range known(t).Alerts() {
		for _, l := range a.labels {
			labels[l] = true
		}
		for name, value := range a.Labels {
			values[name] = append(values[name], value)
		}
		for name := range a.Annotations {
			annotations[name] = true
		}
		values["alertname"] = append(values["alertname"], a.Alert)
	}
	config := readFile(t, alertmanagerFile)
	lists, matchers := labelsLine.FindAllStringSubmatch(config, -1), matchersLine.FindAllStringSubmatch(config, -1)
	if len(lists) < 10 || len(matchers) < 30 {
		t.Errorf("%d lists of labels and %d of matchers: cannot read %s", len(lists), len(matchers), alertmanagerFile)
	}
	for _, list := range lists {
		for _, l := range strings.Split(list[1], ", ") {
			if !labels[l] {
				t.Errorf("no alert has a label %s", l)
			}
		}
	}
	for _, list := range matchers {
		for _, m := range matcher.FindAllStringSubmatch(list[1], -1) {
			if !labels[m[1]] {
				t.Errorf("no alert has a label %s: %s", m[1], list[1])
			}
			if !slices.Contains([]string{"alertname", "scope", "symptom", "severity"}, m[1]) {
				continue
			}
			for _, value := range strings.Split(m[3], "|") {
				if !slices.Contains(values[m[1]], value) {
					t.Errorf("no alert has %s=%q: %s", m[1], value, list[1])
				}
			}
		}
	}
	text := readFile(t, "alertmanager/templates/oms.tmpl")
	for _, use := range ofAlert.FindAllStringSubmatch(text+config, -1) {
		if !labels[use[1]] {
			t.Errorf("templates use a label %s, which no alert has", use[1])
		}
	}
	for _, use := range annotation.FindAllStringSubmatch(text, -1) {
		if !annotations[use[1]] {
			t.Errorf("templates use an annotation %s, which no alert has", use[1])
		}
	}
}

// TestInhibitionKeepsExportersApart checks that no alert from one exporter hides one from another.
func TestInhibitionKeepsExportersApart(t *testing.T) {
	_, rules, found := strings.Cut(readFile(t, alertmanagerFile), "\ninhibit_rules:\n")
	if !found {
		t.Fatalf("cannot read %s", alertmanagerFile)
	}
	equals := regexp.MustCompile(`(?m)^    equal: \[(.*)\]$`).FindAllStringSubmatch(rules, -1)
	if sources := strings.Count(rules, "source_matchers:"); len(equals) != sources || sources < 10 {
		t.Errorf("%d rules, %d of them with equal", sources, len(equals))
	}
	for _, e := range equals {
		if !strings.HasPrefix(e[1], "job, instance") {
			t.Errorf("equal: [%s], want job and instance", e[1])
		}
	}
}

// TestScrapeExamplesNameJobsThatTheRulesKnow checks the job names in the example configurations.
func TestScrapeExamplesNameJobsThatTheRulesKnow(t *testing.T) {
	for _, file := range scrapeExamples {
		jobs := regexp.MustCompile(`job_name: (\S+)`).FindAllStringSubmatch(readFile(t, file), -1)
		if len(jobs) == 0 {
			t.Errorf("%s: no job", file)
		}
		for _, job := range jobs {
			if !regexp.MustCompile(`^oms.*$`).MatchString(job[1]) {
				t.Errorf("%s: the rules do not know job %s as an exporter's", file, job[1])
			}
		}
	}
}
