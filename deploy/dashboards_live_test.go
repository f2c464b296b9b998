package deploy_test

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"oms_exporter/deploy/internal/timelapse"
	"oms_exporter/omsclient/omssim"
)

var cost = flag.Bool("cost", false, "measure what the queries of the dashboards cost with 10,000 tasks")

// A stage is what the dashboards are tried on: two simulated OMS and one that
// is down, an exporter of them, and a Prometheus with the rules.
type stage struct {
	dir        string
	speed      float64 // how many times faster than real time the simulated clocks run
	began      time.Time
	prometheus string    // URL
	stop       func()    // stops Prometheus
	ended      time.Time // when it was stopped, if it was
}

// now is the time on the simulated clocks.
func (s *stage) now() time.Time {
	return s.began.Add(time.Duration(float64(time.Since(s.began)) * s.speed))
}

// setStage starts a stage with this many tasks. It stops with the test.
func setStage(t *testing.T, tasks int, speed float64, scrape, rules time.Duration) *stage {
	t.Helper()
	s := &stage{dir: t.TempDir(), speed: speed, began: time.Now()}
	s.write(t, "exporter.yml", fmt.Sprintf(`
targets:
  fleet: {url: %q}
  odd:
    url: %q
    http_client: {tls_config: {insecure_skip_verify: true}}
  broken: {url: "http://127.0.0.1:1"}
delay_thresholds:
  importance: {HIGH: {warning: 60s, critical: 5m}}
`, s.simulate(t, tasks), s.odd(t)))
	exporter := launch(t, s.path("exporter.log"), buildExporter(t), "serve",
		"--config.file="+s.path("exporter.yml"), "--collector.verify", "--collector.component", "--log.level=error")
	s.startPrometheus(t, exporter.Address, scrape, rules)
	return s
}

// simulate serves a simulated OMS with the full fleet and returns its URL.
func (s *stage) simulate(t *testing.T, tasks int) string {
	t.Helper()
	sim, err := omssim.New(omssim.Options{Tasks: tasks, Seed: 1, Now: s.now})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(sim)
	t.Cleanup(server.Close)
	return server.URL
}

// odd serves an OMS that does what the fleet does not: it uses TLS, sends
// undocumented values, and has verifications that have found differing records.
func (s *stage) odd(t *testing.T) string {
	t.Helper()
	sim, err := omssim.New(omssim.Options{Tasks: 6, Seed: 2, Now: s.now, Scenarios: []string{"verified_differs"}})
	if err != nil {
		t.Fatal(err)
	}
	sim.SetFaults(omssim.Fault{Kind: "unknown_values"})
	server := httptest.NewTLSServer(sim)
	t.Cleanup(server.Close)
	return server.URL
}

// startPrometheus starts Prometheus with the rules rewritten for this speed.
func (s *stage) startPrometheus(t *testing.T, exporter string, scrape, rules time.Duration) {
	t.Helper()
	for _, file := range glob(t, ruleFiles) {
		// The simulated clock runs ahead on purpose.
		lapsed, err := timelapse.Rules([]byte(readFile(t, file)), s.speed, "OMSClockSkew")
		if err != nil {
			t.Fatal(file, err)
		}
		lapsed = regexp.MustCompile(`(?m)^(\s+interval: ).*$`).ReplaceAll(lapsed, []byte("${1}"+rules.String()))
		s.write(t, filepath.Base(file), string(lapsed))
	}
	s.write(t, "prometheus.yml", fmt.Sprintf(`
global: {scrape_interval: %[1]s, scrape_timeout: %[1]s}
rule_files: [%[2]s]
scrape_configs:
  - job_name: oms
    http_sd_configs: [{url: "http://%[3]s/sd", refresh_interval: 5s}]
  - job_name: oms_exporter
    static_configs: [{targets: [%[3]q]}]
`, scrape, s.path("*.rules.yml"), exporter))
	s.serveData(t, "prometheus.yml")
}

// serveData starts Prometheus on the data that it has stored, if any.
func (s *stage) serveData(t *testing.T, config string) {
	t.Helper()
	p := launch(t, s.path("prometheus.log"), tool(t, "prometheus", "prometheus"),
		"--config.file="+s.path(config), "--storage.tsdb.path="+s.path("prometheus"), "--log.level=error")
	s.prometheus, s.stop = "http://"+p.Address, p.Stop
}

// rest restarts Prometheus without scraping and rules, so that only queries
// take time.
func (s *stage) rest(t *testing.T) {
	t.Helper()
	s.ended = time.Now()
	s.stop()
	s.write(t, "rest.yml", "")
	s.serveData(t, "rest.yml")
}

// end is the end of the time range of a query.
func (s *stage) end() time.Time {
	if s.ended.IsZero() {
		return time.Now()
	}
	return s.ended
}

func (s *stage) path(name string) string { return filepath.Join(s.dir, name) }

func (s *stage) write(t *testing.T, name, content string) {
	t.Helper()
	if err := os.WriteFile(s.path(name), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// get returns the body of a response. That of a wrong query has an error
// status, and explains it.
func get(from string) ([]byte, error) {
	client := http.Client{Timeout: time.Minute}
	response, err := client.Get(from)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	switch response.StatusCode {
	case http.StatusOK, http.StatusBadRequest, http.StatusUnprocessableEntity:
		return content, err
	}
	return nil, fmt.Errorf("%s: %.200s", response.Status, content)
}

// An answer is the size of a result, and how long Prometheus took.
type answer struct {
	series, samples int
	took            time.Duration
}

// ask sends Prometheus a query as Grafana would, with values for variables.
func (s *stage) ask(q boardQuery, values map[string]string, step time.Duration) (answer, error) {
	expr := interpolate(q.expr, values)
	path, parameters := "/api/v1/query", url.Values{"query": {expr}}
	switch {
	case q.label != "":
		path, parameters = "/api/v1/label/"+q.label+"/values", url.Values{"match[]": {expr}}
	case !q.instant:
		path = "/api/v1/query_range"
		parameters.Set("start", unix(s.began))
		parameters.Set("end", unix(s.end()))
		parameters.Set("step", strconv.FormatFloat(step.Seconds(), 'f', 3, 64))
	default:
		parameters.Set("time", unix(s.end()))
	}
	began := time.Now()
	content, err := get(s.prometheus + path + "?" + parameters.Encode())
	if err != nil {
		return answer{}, err
	}
	a, err := readAnswer(content, q.label != "")
	a.took = time.Since(began)
	return a, err
}

func unix(at time.Time) string { return strconv.FormatFloat(float64(at.UnixMilli())/1000, 'f', 3, 64) }

// readAnswer counts the series and samples of a response.
func readAnswer(content []byte, list bool) (answer, error) {
	var envelope struct {
		Status, Error string
		Warnings      []string
		Data          json.RawMessage
	}
	if err := json.Unmarshal(content, &envelope); err != nil {
		return answer{}, fmt.Errorf("%w: %.200s", err, content)
	}
	if envelope.Status != "success" || len(envelope.Warnings) > 0 {
		return answer{}, fmt.Errorf("%s%q", envelope.Error, envelope.Warnings)
	}
	if list {
		var values []string
		err := json.Unmarshal(envelope.Data, &values)
		return answer{series: len(values), samples: len(values)}, err
	}
	var data struct {
		ResultType string
		Result     []struct {
			Value  []any
			Values [][]any
		}
	}
	if err := json.Unmarshal(envelope.Data, &data); err != nil {
		return answer{}, err
	}
	a := answer{series: len(data.Result)}
	for _, r := range data.Result {
		a.samples += len(r.Values)
		if r.Value != nil {
			a.samples++
		}
	}
	return a, nil
}

// labels returns the values that a label has in the series of a selector.
func (s *stage) labels(t *testing.T, label, of string) []string {
	t.Helper()
	content, err := get(s.prometheus + "/api/v1/label/" + label + "/values?match[]=" + url.QueryEscape(of))
	if err != nil {
		t.Fatal(err)
	}
	var values struct{ Data []string }
	if err := json.Unmarshal(content, &values); err != nil {
		t.Fatal(err)
	}
	return values.Data
}

// chosen are the variables of a board that has just been opened: everything,
// and one task.
func chosen(task, span, rate string) map[string]string {
	return map[string]string{
		"job": ".+", "instance": ".+", "type": ".*", "importance": ".*", "owner": ".*", "tag": ".*",
		"find": "", "task_id": task, "write_stopped_at": "time()",
		"__range": span, "__rate_interval": rate, "__interval": "1s",
	}
}

// otherwise is what a query gives if there is nothing to count or to show. Here
// there always is.
var otherwise = regexp.MustCompile(`( or 0 \* count\(oms_up\{[^}]*\} == 1\)` +
	`| or on \(\) (label_replace)?\(0 \* count\((oms_up|oms:exporter_up:bool|oms_task_info)\{[^}]*\}.*` +
	`| or (on \(\) )?label_replace\(vector\(-?\d+\).*` +
	`| or on \(\) vector\(-3\))$`)

// TestDashboardsShowSomething checks that every query of every panel, variable
// and annotation has a result if there is every kind of task and of trouble.
func TestDashboardsShowSomething(t *testing.T) {
	s := setStage(t, 75, 60, time.Second, time.Second)
	type pending struct {
		board string
		boardQuery
	}
	var open []pending
	for _, b := range drawnBoards(t) {
		for _, q := range b.queries(t) {
			open = append(open, pending{b.UID, q})
		}
	}
	var table bytes.Buffer
	w := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "board\tpanel\tquery\tseries\tsamples\tafter")
	total := len(open)
	for until := time.Now().Add(90 * time.Second); len(open) > 0 && time.Now().Before(until); {
		<-time.After(time.Second)
		tasks := s.labels(t, "task_id", "oms_task_info")
		span := time.Since(s.began).Round(time.Second)
		open = slices.DeleteFunc(open, func(p pending) bool {
			p.expr = otherwise.ReplaceAllString(p.expr, "")
			a, err := s.first(p.boardQuery, tasks, span)
			if err != nil {
				t.Fatalf("%s: %s: %v\n%s", p.board, p.name(), err, p.expr)
			}
			if a.samples > 0 {
				fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%d\t%s\n", p.board, p.panel, p.ref, a.series, a.samples, span)
			}
			return a.samples > 0
		})
	}
	w.Flush() //nolint:errcheck // it writes to memory
	t.Logf("%d of %d queries have a result:\n%s", total-len(open), total, table.Bytes())
	for _, p := range open {
		t.Errorf("%s: %s has no result: %s", p.board, p.name(), p.expr)
	}
}

// first sends a query; one about a single task, for each task until one has a
// result.
func (s *stage) first(q boardQuery, tasks []string, span time.Duration) (answer, error) {
	if !strings.Contains(q.expr, "$task_id") {
		return s.ask(q, chosen("", span.String(), "4s"), time.Second)
	}
	for _, task := range tasks {
		if a, err := s.ask(q, chosen(task, span.String(), "4s"), time.Second); err != nil || a.samples > 0 {
			return a, err
		}
	}
	return answer{}, nil
}

// The maximum of a query with 10,000 tasks.
const (
	mostTime   = 2 * time.Second
	mostSeries = 1000
)

// TestQueryCost takes some minutes: go test . -run TestQueryCost -cost -timeout
// 20m -v.
func TestQueryCost(t *testing.T) {
	if !*cost {
		return // it takes too long for every day
	}
	s := setStage(t, 10_000, 4, 30*time.Second, 30*time.Second)
	<-time.After(4 * time.Minute) // until the first alerts fire
	s.rest(t)
	type measured struct {
		answer
		board, name string
		points      int
		err         error
	}
	var all []measured
	tasks := s.labels(t, "task_id", "oms:task_effective_delay:seconds")
	if len(tasks) == 0 {
		t.Fatal("no task has a delay")
	}
	span := s.end().Sub(s.began)
	for _, b := range drawnBoards(t) {
		for _, q := range b.queries(t) {
			m := measured{board: b.UID, name: q.name(), points: 1}
			step := span
			if !q.instant {
				// As many points as Grafana asks for in hours: they make the
				// cost of a query.
				m.points = cmp.Or(q.points, 1000)
				step = span / time.Duration(m.points)
			}
			for range 3 { // the fastest of three, because the machine does other things too
				a, err := s.ask(q, chosen(tasks[0], span.Round(time.Second).String(), "2m"), step)
				if m.err = err; m.took == 0 || a.took < m.took {
					m.answer = a
				}
			}
			if all = append(all, m); m.took > mostTime {
				t.Logf("%s: %s took %s (%v)", m.board, m.name, m.took.Round(time.Millisecond), m.err)
			}
		}
	}
	slices.SortFunc(all, func(a, b measured) int { return cmp.Compare(b.took, a.took) })
	var table bytes.Buffer
	w := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "board\tquery\ttook\tpoints\tseries")
	for i, m := range all {
		if i < 10 {
			fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%d\n", m.board, m.name, m.took.Round(time.Millisecond), m.points, m.series)
		}
		if m.took > mostTime || m.series > mostSeries {
			m.err = errors.Join(m.err, fmt.Errorf("%s and %d series", m.took, m.series))
		}
		if m.err != nil {
			t.Errorf("%s: %s: %v", m.board, m.name, m.err)
		}
	}
	w.Flush() //nolint:errcheck // it writes to memory
	widest := slices.MaxFunc(all, func(a, b measured) int { return cmp.Compare(a.series, b.series) })
	t.Logf("the slowest of %d queries, with %d tasks that have a delay:\n%s", len(all), len(tasks), table.Bytes())
	t.Logf("the most series: %d, of %s: %s", widest.series, widest.board, widest.name)
}
