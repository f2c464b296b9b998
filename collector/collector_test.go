package collector_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"iter"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/common/expfmt"
	"go.uber.org/goleak"

	"oms_exporter/collector"
	"oms_exporter/omsclient"
	"oms_exporter/omsclient/omssim"
)

//go:generate go test -run=^(TestScrape|TestTasks)$ -update .

var update = flag.Bool("update", false, "rewrite the golden files")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Each task as OMS sends it gives exactly the series in the file beside it.
func TestScrape(t *testing.T) {
	for _, input := range inputs(t) {
		t.Run(filepath.Base(input), func(t *testing.T) {
			got := exposition(t, collector.Options{}, read(t, input))

			golden := strings.TrimSuffix(input, ".json") + ".prom"
			if *update {
				write(t, golden, got)
			}
			if want := read(t, golden); got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

// inputs returns the files with a task as OMS sends it.
func inputs(t *testing.T) []string {
	t.Helper()
	inputs, err := filepath.Glob("testdata/*.json")
	inputs = slices.DeleteFunc(inputs, func(name string) bool {
		return strings.HasSuffix(name, ".view.json")
	})
	if err != nil || len(inputs) == 0 {
		t.Fatalf("no inputs: %v", err)
	}
	return inputs
}

func TestScrapeOfNothingHasNoTasks(t *testing.T) {
	got := exposition(t, collector.Options{})

	if !strings.Contains(got, "oms_up 1\n") || !strings.Contains(got, "oms_scrape_pages 1\n") ||
		!strings.Contains(got, `oms_tasks{status="RUNNING",task_type="SYNC"} 0`) {
		t.Errorf("an empty listing is a whole one:\n%s", got)
	}
	if strings.Contains(got, "task_id") {
		t.Errorf("tasks out of nothing:\n%s", got)
	}
}

func TestQuotedScalarsGiveTheSameSeries(t *testing.T) {
	for _, name := range []string{"migration", "failed", "running_form"} {
		native := read(t, "testdata/"+name+".json")

		if got, want := exposition(t, collector.Options{}, quoted(t, native)),
			exposition(t, collector.Options{}, native); got != want {
			t.Errorf("%s: quoted\n%s\nnative\n%s", name, got, want)
		}
	}
}

func TestNothingPrivateIsExported(t *testing.T) {
	got := exposition(t, collector.Options{},
		read(t, "testdata/migration.json"), read(t, "testdata/failed.json"))

	for _, private := range []string{"db1.example", "3306", "root", "secret_table", "10.0.0.1", "预检查", "t1"} {
		if strings.Contains(got, private) {
			t.Errorf("%q is exported:\n%s", private, got)
		}
	}
}

func TestAFailedListingHasNoTasksAndSaysWhy(t *testing.T) {
	first := func(context.Context, *omsclient.Report) iter.Seq2[omsclient.Project, error] {
		return func(yield func(omsclient.Project, error) bool) {
			if yield(omsclient.Project{ID: "np_1", Name: "half", Status: "RUNNING"}, nil) {
				yield(omsclient.Project{}, &omsclient.Error{Reason: omsclient.HTTPStatus, Page: 2, StatusCode: 502})
			}
		}
	}
	var lines bytes.Buffer
	c := collector.New(first, collector.Options{Logger: infoLogger(&lines)})

	synctest.Test(t, func(t *testing.T) {
		want := `# HELP oms_scrape_duration_seconds Time that the listing took, in seconds.
# TYPE oms_scrape_duration_seconds gauge
oms_scrape_duration_seconds 0
# HELP oms_scrape_error_info Why the listing failed. Always 1; absent while oms_up is 1.
# TYPE oms_scrape_error_info gauge
oms_scrape_error_info{reason="http_status"} 1
# HELP oms_scrape_pages Pages of ListProjects that the listing read.
# TYPE oms_scrape_pages gauge
oms_scrape_pages 0
# HELP oms_up Whether the last listing read every page of ListProjects: 1 or 0.
# TYPE oms_up gauge
oms_up 0
`
		if got := gathered(t, c); got != want {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
	})
	const line = `level=error msg="cannot list the tasks of OMS" reason=http_status ` +
		`err="list projects: page 2: HTTP status 502 Bad Gateway" duration=0s` + "\n"
	if lines.String() != line {
		t.Errorf("logged %q, want once %q", lines.String(), line)
	}
}

func TestTheLastSuccessIsRememberedWhileListingsFail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var fail atomic.Bool
		c := collector.New(func(context.Context, *omsclient.Report) iter.Seq2[omsclient.Project, error] {
			return func(yield func(omsclient.Project, error) bool) {
				if fail.Load() {
					yield(omsclient.Project{}, errors.New("broken"))
				}
			}
		}, collector.Options{})
		gathered(t, c)
		synctest.Wait()
		fail.Store(true)
		time.Sleep(time.Hour) //nolint:forbidigo // synctest

		// The clock of a test bubble starts at the beginning of the year 2000.
		if got := gathered(t, c); !strings.Contains(got, "\noms_last_successful_scrape_timestamp_seconds 9.466848e+08\n") {
			t.Errorf("got\n%s", got)
		}
	})
}

func TestExcludedTasksAreCountedAndHaveNoSeries(t *testing.T) {
	got := exposition(t, collector.Options{Exclude: collector.Exclude{Statuses: []string{"FAILED"}}},
		read(t, "testdata/migration.json"), read(t, "testdata/failed.json"))

	for _, want := range []string{
		`oms_scrape_tasks_omitted{reason="excluded"} 1`,
		`oms_tasks{status="FAILED",task_type="SYNC"} 1`,
		`task_id="np_aaa1"`,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("lacks %s:\n%s", want, got)
		}
	}
	if strings.Contains(got, "np_bbb2") {
		t.Errorf("an excluded task has series:\n%s", got)
	}
}

func TestTasksAreExcludedByAnyProperty(t *testing.T) {
	tests := []struct {
		name    string
		exclude collector.Exclude
		want    bool
	}{
		{"nothing", collector.Exclude{}, false},
		{"status", collector.Exclude{Statuses: []string{"INIT", "RUNNING"}}, true},
		{"another status", collector.Exclude{Statuses: []string{"INIT"}}, false},
		{"name", collector.Exclude{Names: regexp.MustCompile("^orders_")}, true},
		{"another name", collector.Exclude{Names: regexp.MustCompile("^orders_$")}, false},
		{"tag", collector.Exclude{Tags: []string{"silver", "gold"}}, true},
		{"another tag", collector.Exclude{Tags: []string{"silver"}}, false},
	}
	for _, test := range tests {
		got := exposition(t, collector.Options{Exclude: test.exclude}, read(t, "testdata/migration.json"))

		if excluded := !strings.Contains(got, "np_aaa1"); excluded != test.want {
			t.Errorf("%s: excluded %t", test.name, excluded)
		}
	}
}

func TestGroupsCanBeLeftOut(t *testing.T) {
	tasks := []string{read(t, "testdata/migration.json"), read(t, "testdata/failed.json")}
	whole := families(exposition(t, collector.Options{}, tasks...))
	for _, group := range collector.Groups() {
		without := func(name string) bool { return name == group.Name }
		got := families(exposition(t, collector.Options{Without: without}, tasks...))

		for _, doc := range collector.Docs() {
			if want := whole[doc.Name] && doc.Group != group.Name; got[doc.Name] != want {
				t.Errorf("without %s: %s is there: %t", group.Name, doc.Name, !want)
			}
		}
	}
}

func TestThroughputEndsWithTheStep(t *testing.T) {
	for _, test := range []struct {
		step, status, progress string
		want                   bool
	}{
		{"FULL_TRANSFER", "RUNNING", "57", true},
		{"FULL_TRANSFER", "RUNNING", "100", true},
		{"FULL_TRANSFER", "FAILED", "57", true},
		{"FULL_TRANSFER", "OF_A_NEWER_OMS", "57", true},
		{"FULL_TRANSFER", "FINISHED", "100", false},
		{"FULL_VERIFIER", "RUNNING", "57", true},
		{"FULL_VERIFIER", "RUNNING", "100", false}, // done, and may be started again
	} {
		got := exposition(t, collector.Options{}, fmt.Sprintf(`{"id": "np_1", "name": "a", "steps": [
			{"name": %q, "status": %q, "progress": %s, "stepInfo": {"srcRps": 140, "processedRecords": 7}}]}`,
			test.step, test.status, test.progress))

		if throughput := strings.Contains(got, "oms_task_step_source_records_per_second{"); throughput != test.want {
			t.Errorf("%+v: it has throughput: %t", test, throughput)
		}
		if !strings.Contains(got, "oms_task_step_processed_records{") {
			t.Errorf("%+v: it has no count of records", test)
		}
	}
}

func TestUnknownValuesAreCountedAndLoggedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var lines bytes.Buffer
		registry := prometheus.NewRegistry()
		c := collector.New(listOf(t, read(t, "testdata/new_values.json")), collector.Options{
			Metrics: collector.NewMetrics(registry), Logger: infoLogger(&lines),
		})

		gathered(t, c)
		gathered(t, c)

		if err := testutil.GatherAndCompare(registry, strings.NewReader(`
# HELP oms_exporter_unknown_values_total Values that OMS's documents do not name, that cannot be read, or that exceed a bound, once for each listing. ruleToRecentlyTriggerCount also counts alarm rules that were forgotten.
# TYPE oms_exporter_unknown_values_total counter
oms_exporter_unknown_values_total{field="importance"} 2
oms_exporter_unknown_values_total{field="incrTimestampCheckpoint"} 2
oms_exporter_unknown_values_total{field="status"} 2
oms_exporter_unknown_values_total{field="steps.name"} 2
oms_exporter_unknown_values_total{field="steps.status"} 2
oms_exporter_unknown_values_total{field="type"} 2
`), "oms_exporter_unknown_values_total"); err != nil {
			t.Error(err)
		}
		if n := strings.Count(lines.String(), "\n"); n != 6 || !strings.Contains(lines.String(), "RUNNING_WARP") {
			t.Errorf("want a line for each of 6 values, got\n%s", lines.String())
		}
		if strings.Contains(lines.String(), "mysql-bin") {
			t.Errorf("a value that may be anything is logged:\n%s", lines.String())
		}
	})
}

func TestOwnMetricsCountRequestsOfAListing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		registry := prometheus.NewRegistry()
		c := collector.New(func(_ context.Context, r *omsclient.Report) iter.Seq2[omsclient.Project, error] {
			return func(func(omsclient.Project, error) bool) {
				*r = omsclient.Report{Inconsistent: true, Observe: r.Observe, Requests: []omsclient.Request{
					{Page: 1, Attempt: 1, StatusCode: 502, Bytes: 10, CertExpiry: time.Unix(4e9, 0)},
					{Page: 1, Attempt: 2, Bytes: 5, Err: &omsclient.Error{Reason: omsclient.Connect}},
					{Page: 1, Attempt: 3, StatusCode: 200, Bytes: 1000},
					{Page: 1, Attempt: 1, StatusCode: 200, Bytes: 1000},
				}}
				for i := range r.Requests {
					r.Observe(&r.Requests[i])
				}
			}
		}, collector.Options{Metrics: collector.NewMetrics(registry)})

		gathered(t, c)

		if err := testutil.GatherAndCompare(registry, strings.NewReader(`
# HELP oms_exporter_api_certificate_expiry_timestamp_seconds When the first certificate of OMS's chain expires, as a Unix time in seconds.
# TYPE oms_exporter_api_certificate_expiry_timestamp_seconds gauge
oms_exporter_api_certificate_expiry_timestamp_seconds 4e+09
# HELP oms_exporter_api_request_retries_total Requests to OMS that repeated a failed one.
# TYPE oms_exporter_api_request_retries_total counter
oms_exporter_api_request_retries_total{action="ListProjects"} 2
# HELP oms_exporter_api_requests_total Requests sent to OMS, by HTTP status, or by reason if there was no answer.
# TYPE oms_exporter_api_requests_total counter
oms_exporter_api_requests_total{action="ListProjects",code="200"} 2
oms_exporter_api_requests_total{action="ListProjects",code="502"} 1
oms_exporter_api_requests_total{action="ListProjects",code="connect"} 1
# HELP oms_exporter_api_response_bytes_total Bytes of OMS's answers, as read.
# TYPE oms_exporter_api_response_bytes_total counter
oms_exporter_api_response_bytes_total{action="ListProjects"} 2015
# HELP oms_exporter_inconsistent_listings_total Listings exported although tasks and totalCount disagreed, even when listed again.
# TYPE oms_exporter_inconsistent_listings_total counter
oms_exporter_inconsistent_listings_total 1
# HELP oms_exporter_scrapes_coalesced_total Scrapes that shared the listing of another scrape.
# TYPE oms_exporter_scrapes_coalesced_total counter
oms_exporter_scrapes_coalesced_total 0
`), "oms_exporter_api_certificate_expiry_timestamp_seconds", "oms_exporter_api_request_retries_total",
			"oms_exporter_api_requests_total", "oms_exporter_api_response_bytes_total",
			"oms_exporter_inconsistent_listings_total", "oms_exporter_scrapes_coalesced_total",
		); err != nil {
			t.Error(err)
		}
	})
}

func TestMetricsAreLintCleanAndDocumented(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := collector.New(listOf(t, read(t, "testdata/migration.json"), read(t, "testdata/failed.json")),
			collector.Options{})

		problems, err := testutil.CollectAndLint(c)
		if err != nil || len(problems) > 0 {
			t.Errorf("%v %v", problems, err)
		}
	})
	seen := map[string]bool{}
	for _, doc := range append(collector.Docs(), collector.ExporterDocs()...) {
		if seen[doc.Name] || !strings.HasPrefix(doc.Name, "oms_") || strings.Contains(doc.Help, "\n") ||
			!strings.HasSuffix(doc.Help, ".") && doc.Name != "oms_exporter_build_info" {
			t.Errorf("name or help is not as it should be, or the metric is there twice: %+v", doc)
		}
		seen[doc.Name] = true
	}
}

func TestDescribeTellsWhatTheDocsTell(t *testing.T) {
	c := collector.New(listOf(t), collector.Options{})
	descriptions := make(chan *prometheus.Desc, 1000)
	c.Describe(descriptions)
	close(descriptions)
	var described []string
	name := regexp.MustCompile(`fqName: "(\w+)"`)
	for d := range descriptions {
		described = append(described, name.FindStringSubmatch(d.String())[1])
	}

	var documented []string
	for _, doc := range collector.Docs() {
		documented = append(documented, doc.Name)
	}
	if !reflect.DeepEqual(described, documented) {
		t.Errorf("described %v\ndocumented %v", described, documented)
	}
}

func TestMarkdownIsATable(t *testing.T) {
	got := collector.Markdown([]collector.Doc{
		{Name: "oms_a", Type: "gauge", Labels: []string{"x", "y"}, Help: "This | that."},
	})

	want := "| metric | type | labels | meaning |\n|---|---|---|---|\n" +
		"| `oms_a` | gauge | `x`, `y` | This \\| that. |\n"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// exposition returns what a scrape of an OMS with the given projects exports.
func exposition(t *testing.T, options collector.Options, projects ...string) (got string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		got = gathered(t, collector.New(listOf(t, projects...), options))
	})
	return got
}

// listOf lists projects, given in JSON, through a client and a simulated OMS.
func listOf(t *testing.T, projects ...string) collector.ListFunc {
	t.Helper()
	oms, err := omssim.New(omssim.Options{Projects: projects})
	if err != nil {
		t.Fatal(err)
	}
	client, err := omsclient.New("http://oms.example:8089", &http.Client{Transport: direct{oms}},
		omsclient.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return client.List
}

// direct calls a handler without a network, so that a test's clock is the only
// one there is.
type direct struct{ handler http.Handler }

func (d direct) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	d.handler.ServeHTTP(w, r)
	return w.Result(), r.Context().Err()
}

// gathered returns what a registry exports of a collector.
func gathered(t *testing.T, c prometheus.Collector) string {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(c)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, family := range families {
		if _, err := expfmt.MetricFamilyToText(&b, family); err != nil {
			t.Fatal(err)
		}
	}
	return b.String()
}

func families(exposition string) map[string]bool {
	names := map[string]bool{}
	for _, found := range regexp.MustCompile(`(?m)^# TYPE (\w+) `).FindAllStringSubmatch(exposition, -1) {
		names[found[1]] = true
	}
	return names
}

// quoted turns all numbers and booleans of a document into strings, the way the
// example in OMS's documents is written.
func quoted(t *testing.T, document string) string {
	t.Helper()
	var parsed any
	decoder := json.NewDecoder(strings.NewReader(document))
	decoder.UseNumber()
	if err := decoder.Decode(&parsed); err != nil {
		t.Fatal(err)
	}
	var quote func(v any) any
	quote = func(v any) any {
		switch v := v.(type) {
		case map[string]any:
			for key, value := range v {
				v[key] = quote(value)
			}
		case []any:
			for i, value := range v {
				v[i] = quote(value)
			}
		case bool, json.Number:
			return fmt.Sprint(v)
		}
		return v
	}
	text, err := json.Marshal(quote(parsed))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func read(t *testing.T, name string) string {
	t.Helper()
	content, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

func write(t *testing.T, name, content string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}
