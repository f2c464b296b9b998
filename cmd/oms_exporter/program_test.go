package main

import (
	"encoding/pem"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"

	"oms_exporter/collector"
	"oms_exporter/omsclient/omssim"
)

const (
	goldenMetrics = "testdata/metrics.golden"
	goldenOutage  = "testdata/outage.golden"
)

// The golden files are the expositions of a second scrape, and of a third during an
// outage of OMS.
func TestProgram(t *testing.T) {
	now := projects(t)
	earlier := slices.Clone(now)
	for i := range earlier {
		earlier[i] = strings.NewReplacer(
			`"SYNC_DELAY":5`, `"SYNC_DELAY":3`,
			`"recentlyTriggerCount":4,`, `"recentlyTriggerCount":1,`,
		).Replace(earlier[i])
	}
	first, second := simulated(t, earlier), simulated(t, now)
	var oms atomic.Pointer[omssim.Server]
	oms.Store(first)
	url := serveOMS(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		oms.Load().ServeHTTP(w, r)
	}))
	p := start(t, "--oms.url="+url, "--web.disable-exporter-metrics", "--oms.page-size=5")

	scrape(t, p)
	oms.Store(second)
	compareGolden(t, goldenMetrics, withoutClocks(get(t, p.url+"/metrics").body))
	second.SetFaults(omssim.Fault{Kind: "api_error", Page: 2})
	compareGolden(t, goldenOutage, withoutClocks(get(t, p.url+"/metrics").body))
}

func simulated(t *testing.T, listed []string) *omssim.Server {
	t.Helper()
	sim, err := omssim.New(omssim.Options{Projects: listed})
	if err != nil {
		t.Fatal(err)
	}
	return sim
}

var clocks = regexp.MustCompile(
	`(?m)^(oms_scrape_duration_seconds|oms_last_successful_scrape_timestamp_seconds|` +
		`oms_clock_skew_seconds) .*$`)

// withoutClocks replaces the values that depend on when the test runs.
func withoutClocks(exposition string) string {
	return clocks.ReplaceAllString(exposition, "$1 0")
}

// compareGolden compares with a golden file, and checks that go generate rewrites it.
func compareGolden(t *testing.T, name, got string) {
	t.Helper()
	directive := regexp.MustCompile(`//go:generate go test -run=(\S+) -update`).FindStringSubmatch(readFile(t, "main.go"))
	if directive == nil || !regexp.MustCompile(directive[1]).MatchString(t.Name()) {
		t.Errorf("go generate does not rewrite %s: add %s to the directive in main.go", name, t.Name())
	}
	if *update {
		if err := os.WriteFile(name, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want := readFile(t, name)
	if got == want {
		return
	}
	t.Errorf("the output differs from %s; if it should, run go generate ./...\n%s",
		name, difference(want, got))
}

// difference lists the lines that are in only one of two documents.
func difference(want, got string) string {
	var b strings.Builder
	list := func(sign, document, other string) {
		known := strings.Split(other, "\n")
		for line := range strings.SplitSeq(document, "\n") {
			if !slices.Contains(known, line) {
				b.WriteString(sign + line + "\n")
			}
		}
	}
	list("-", want, got)
	list("+", got, want)
	if b.Len() == 0 {
		return "the same lines in another order, or another number of times"
	}
	return b.String()
}

func TestEveryMetricOfATaskIsInTheGoldenFiles(t *testing.T) {
	golden := parseText(t, readFile(t, goldenMetrics))
	for name, family := range parseText(t, readFile(t, goldenOutage)) {
		if golden[name] == nil {
			golden[name] = family
		}
	}

	docs := slices.DeleteFunc(collector.Docs(), func(d collector.Doc) bool {
		return slices.Contains(configured, d.Name) || slices.ContainsFunc(collector.Groups(),
			func(g collector.Group) bool { return g.OptIn && g.Name == d.Group })
	})
	expectDocumented(t, golden, docs)
	if len(golden) != len(docs) {
		t.Errorf("%d metrics, want the %d of the catalogue", len(golden), len(docs))
	}
}

// configured are the metrics that need a configuration file.
var configured = []string{"oms_task_delay_threshold_seconds"}

func TestEveryMetricOfTheExporterIsExposedAsDocumented(t *testing.T) {
	server := serveTLS(t, simulated(t, projects(t))) // so that there is a certificate expiry
	authority := writeFile(t, string(pem.EncodeToMemory(
		&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})))
	p := start(t, "--oms.url="+server.URL, "--oms.ca-file="+authority, "--oms.password-changed=2026-01-31")

	scraped := scrape(t, p)

	expectDocumented(t, scraped, collector.ExporterDocs())
	for name := range scraped {
		documented := slices.ContainsFunc(slices.Concat(collector.Docs(), collector.ExporterDocs()),
			func(d collector.Doc) bool { return d.Name == name })
		foreign := regexp.MustCompile(`^(go|process|promhttp)_`).MatchString(name)
		if !documented && !foreign {
			t.Errorf("%s is not documented", name)
		}
	}
	scraped.expect(t, map[string]float64{
		"oms_up": 1, "oms_exporter_config_last_reload_successful": 1,
		"oms_exporter_api_certificate_expiry_timestamp_seconds": float64(
			server.Certificate().NotAfter.Unix()),
	})
	scraped.expectValues(t, "oms_exporter_api_requests_total", "code", map[string]float64{"200": 1})
	if scraped["go_goroutines"] == nil || scraped["promhttp_metric_handler_requests_total"] == nil {
		t.Error("go_goroutines or promhttp_metric_handler_requests_total is missing")
	}
}

// expectDocumented checks that metrics are exposed as documented.
func expectDocumented(t *testing.T, got exposition, docs []collector.Doc) {
	t.Helper()
	for _, doc := range docs {
		family := got[doc.Name]
		if family == nil {
			t.Errorf("%s is missing", doc.Name)
			continue
		}
		if kind := strings.ToLower(family.GetType().String()); kind != doc.Type {
			t.Errorf("%s is a %s, documented as %s", doc.Name, kind, doc.Type)
		}
		if family.GetHelp() != doc.Help {
			t.Errorf("%s: help is %q, documented as %q", doc.Name, family.GetHelp(), doc.Help)
		}
		for _, m := range family.GetMetric() {
			if names := labelNames(m); !slices.Equal(names, slices.Sorted(slices.Values(doc.Labels))) {
				t.Errorf("%s has the labels %q, documented are %q", doc.Name, names, doc.Labels)
			}
		}
	}
}

func labelNames(m *dto.Metric) []string {
	var names []string
	for name := range labelsOf(m) {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func TestTheGoldenFilesHaveNothingToLint(t *testing.T) {
	for _, name := range []string{goldenMetrics, goldenOutage} {
		problems, err := promlint.New(strings.NewReader(readFile(t, name))).Lint()
		if err != nil {
			t.Fatal(err)
		}
		for _, problem := range problems {
			t.Errorf("%s: %s: %s", name, problem.Metric, problem.Text)
		}
	}
}

func TestTheGoldenFilesNameNoHostsUsersAndTexts(t *testing.T) {
	if !strings.Contains(readFile(t, "testdata/projects.jsonl"), "unexported") {
		t.Fatal("the tasks have nothing that must not be exported")
	}
	for _, name := range []string{goldenMetrics, goldenOutage} {
		if strings.Contains(readFile(t, name), "unexported") {
			t.Errorf("%s has what must not leave OMS", name)
		}
	}
}
