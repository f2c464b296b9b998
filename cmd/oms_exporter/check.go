package main

import (
	"cmp"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/go-kit/log"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"oms_exporter/collector"
	"oms_exporter/omsclient"
)

// check lists the tasks of each OMS once, as a scrape does, and explains what it
// finds. The error says which OMS cannot be used.
func check(ctx context.Context, s *checkSettings, stdout io.Writer) error {
	loaded, err := s.load()
	if err != nil {
		return err
	}
	all := len(loaded.Targets)
	if err := s.choose(loaded); err != nil {
		return err
	}
	limits := s.extend(loaded)
	recorders, err := s.recorders(loaded)
	if err != nil {
		return err
	}
	targets, err := newTargets(func() (*fileConfig, error) { return loaded, nil }, &s.scrape,
		prometheus.NewRegistry(), log.NewNopLogger())
	if err != nil {
		return err
	}
	defer targets.close()
	report := &checkReport{OK: true, Targets: []*targetReport{}}
	for _, t := range targets.all() {
		e := &evidence{
			name: t.name, config: t.config, proxy: proxyOf(t.config),
			file: s.oms.configFile, targets: all,
			budget: s.budget(), offset: s.timeout - s.budget(), limit: limits[t.name],
			recorder: recorders[t.name],
		}
		if err := e.gather(ctx, t); err != nil {
			return err
		}
		checked := e.report()
		report.add(checked)
		if s.format == "text" {
			checked.writeText(stdout)
		}
	}
	if s.format == "text" {
		report.writeVerdicts(stdout)
	} else if err := report.writeJSON(stdout); err != nil {
		return err
	}
	return report.err()
}

// load returns the configuration, if all flags make sense.
func (s *checkSettings) load() (*fileConfig, error) {
	serving := serveSettings{
		oms: s.oms, scrape: s.scrape, web: webSettings{telemetryPath: "/metrics"},
	}
	if err := serving.check(); err != nil {
		return nil, err
	}
	if s.timeout <= 0 {
		return nil, usagef("--timeout=%s: must be more than 0", s.timeout)
	}
	return s.oms.load()
}

// choose leaves only the targets that the flags name, if they name some.
func (s *checkSettings) choose(loaded *fileConfig) error {
	if len(s.targets) == 0 {
		return nil
	}
	if s.oms.configFile == "" {
		return usagef("--target: only targets of a --config.file have names")
	}
	for _, name := range s.targets {
		if loaded.Targets[name] == nil {
			return usagef("--target=%s: not in %s, which has %s", name, s.oms.configFile,
				strings.Join(slices.Sorted(maps.Keys(loaded.Targets)), ", "))
		}
	}
	maps.DeleteFunc(loaded.Targets, func(name string, _ *targetConfig) bool {
		return !slices.Contains(s.targets, name)
	})
	return nil
}

// extend gives the targets the time to tell how much too slow they are. It
// returns how long the exporter would let each of them be scraped.
func (s *checkSettings) extend(loaded *fileConfig) map[string]time.Duration {
	const times = 10
	limits := map[string]time.Duration{}
	for name, t := range loaded.Targets {
		limits[name] = cmp.Or(time.Duration(t.Timeout), s.scrape.timeout)
		t.Timeout = model.Duration(max(times*s.timeout, limits[name]))
	}
	return limits
}

// recorders puts a recorder before each target, if the flags ask for it. With a
// configuration file each target has a directory of its own, by its name.
func (s *checkSettings) recorders(loaded *fileConfig) (map[string]*recorder, error) {
	if s.record == "" {
		return nil, nil
	}
	recorders := map[string]*recorder{}
	for name, t := range loaded.Targets {
		r, err := newRecorder(filepath.Join(s.record, name), s.redact, nil)
		if err != nil {
			return nil, usagef("--record=%s: %w", s.record, err)
		}
		recorders[name] = r
		t.wrap = func(next http.RoundTripper) http.RoundTripper {
			r.next = next
			return r
		}
	}
	return recorders, nil
}

// findRecording tells what was recorded.
func findRecording(r *recorder) finding {
	f := passes("%s in %s, without names, hosts, users and texts",
		amount(r.Pages(), "page"), r.dir)
	if r.redactor == nil {
		f = warns("keep it to yourself, or record with --redact",
			"%s in %s, as OMS sent them: with names, hosts, users and texts",
			amount(r.Pages(), "page"), r.dir)
	}
	if err := r.Err(); err != nil {
		f = fails("see the directory, and try again", "not all pages were kept: %s", err)
	}
	f.Name = "recording"
	return f
}

// budget returns what the exporter leaves of the timeout that Prometheus names.
func (s *checkSettings) budget() time.Duration {
	if s.timeout > s.scrape.timeoutOffset {
		return s.timeout - s.scrape.timeoutOffset
	}
	return s.timeout
}

// Evidence is what is known of an OMS and what one listing of it has shown.
// Findings are read from it.
type evidence struct {
	name    string // of the target; empty for the one that flags are about
	config  *targetConfig
	proxy   string        // host and port, or empty
	file    string        // of the configuration, or empty
	targets int           // in the file
	budget  time.Duration // what Prometheus' timeout leaves for the listing
	offset  time.Duration // the rest of that timeout
	limit   time.Duration // the most that the exporter takes, whatever Prometheus says

	recorder   *recorder // nil if nothing is recorded
	connection connection
	fetch      collector.Fetch
	failure    *omsclient.Error // why there is no listing, or nil
	tasks      *tasksReport     // nil without a listing, as what follows
	pages      *pagesReport
	scrape     *scrapeReport
}

// gather lists the tasks of an OMS.
func (e *evidence) gather(ctx context.Context, t *target) error {
	watched := &watcher{}
	snapshot := t.collector.Scrape(httptrace.WithClientTrace(ctx, watched.trace()))
	if ctx.Err() != nil {
		return errors.New("interrupted")
	}
	e.connection, e.fetch = watched.connection(), t.collector.Fetches()[0]
	if errors.As(e.fetch.Err, &e.failure) {
		return nil
	}
	tasks := prometheus.NewRegistry()
	tasks.MustRegister(snapshot)
	scraped, err := tasks.Gather()
	if err != nil {
		return err
	}
	counted, err := t.own.Gather()
	if err != nil {
		return err
	}
	e.tasks = countTasks(scraped)
	e.pages = measurePages(&e.fetch, values(counted, "oms_exporter_unknown_values_total", "field"))
	e.scrape, err = e.measureScrape(scraped)
	return err
}

func (e *evidence) report() *targetReport {
	r := &targetReport{
		Name: cmp.Or(e.name, "(flags)"), URL: e.config.URL, Steps: e.steps(),
		Tasks: e.tasks, Pages: e.pages, Scrape: e.scrape,
	}
	if e.recorder != nil {
		r.Steps = append(r.Steps, findRecording(e.recorder))
	}
	r.OK = !slices.ContainsFunc(r.Steps, func(f finding) bool { return f.Result == failed })
	return r
}

// countTasks reads how many tasks there are from what a scrape has.
func countTasks(scraped []*dto.MetricFamily) *tasksReport {
	r := &tasksReport{
		Omitted: values(scraped, "oms_scrape_tasks_omitted", "reason"), Groups: []groupReport{},
	}
	for _, m := range series(scraped, "oms_tasks") {
		if n := int(m.GetGauge().GetValue()); n > 0 {
			r.Total += n
			r.Groups = append(r.Groups, groupReport{labelOf(m, "task_type"), labelOf(m, "status"), n})
		}
	}
	slices.SortFunc(r.Groups, func(a, b groupReport) int {
		return cmp.Or(cmp.Compare(a.Type, b.Type), cmp.Compare(a.Status, b.Status))
	})
	return r
}

// measurePages sums up the requests of a listing. What the collector counts as
// unknown are values that are not documented, and those that are not readable.
func measurePages(fetch *collector.Fetch, counted map[string]int) *pagesReport {
	p := &pagesReport{
		Listings: 1, Seconds: fetch.Duration.Seconds(), Inconsistent: fetch.Report.Inconsistent,
		Unreadable: maps.Clone(fetch.Report.Dropped), Unknown: counted,
	}
	for field, n := range p.Unreadable {
		if p.Unknown[field] -= n; p.Unknown[field] == 0 {
			delete(p.Unknown, field)
		}
	}
	requests := fetch.Report.Requests
	first := firstListing(requests)
	if len(first) < len(requests) {
		p.Listings = 2
	}
	for _, r := range requests {
		p.Rows += r.Rows
		p.Bytes += r.Bytes
		if r.Attempt > 1 {
			p.Retries++
		}
	}
	var took []float64
	for _, r := range first {
		if r.Err == nil {
			took = append(took, r.Duration.Seconds())
		}
	}
	slices.Sort(took)
	p.Pages = len(took)
	p.PageSeconds = spread{took[0], took[len(took)/2], took[len(took)-1]}
	return p
}

// firstListing returns the requests before those of a second listing, which
// begins with the first page again.
func firstListing(requests []omsclient.Request) []omsclient.Request {
	for i, r := range requests {
		if i > 0 && r.Page == 1 && r.Attempt == 1 {
			return requests[:i]
		}
	}
	return requests
}

// tight is the part of the time from which on a listing has little left.
const tight = 0.8

// measureScrape compares a listing with the time there is for it. A second one
// is only begun, and ended, in what the first has left.
func (e *evidence) measureScrape(scraped []*dto.MetricFamily) (*scrapeReport, error) {
	took := e.fetch.Duration
	requests := e.fetch.Report.Requests
	if first := firstListing(requests); len(first) < len(requests) {
		took = requests[len(first)].Start.Sub(e.fetch.Start)
	}
	budget := min(e.budget, e.limit)
	s := &scrapeReport{
		Seconds: took.Seconds(), Budget: budget.Seconds(), Fits: took <= budget,
		Concurrency: e.config.Concurrency,
	}
	for _, concurrency := range []int{1, 2, 4, 8, 16} {
		rounds := (e.pages.Pages-1+concurrency-1)/concurrency + 1
		estimate := float64(rounds) * e.pages.PageSeconds.Median
		s.Estimates = append(s.Estimates, estimateReport{concurrency, estimate})
		if concurrency > s.Concurrency && s.Recommended == 0 && s.Seconds >= tight*s.Budget &&
			estimate < tight*s.Budget {
			s.Recommended = concurrency
		}
	}
	for _, family := range scraped {
		s.Series += len(family.GetMetric())
	}
	var err error
	s.Bytes, s.GzipBytes, err = measureText(scraped)
	return s, err
}

// proxyOf returns the proxy between the exporter and an OMS, or nothing.
func proxyOf(c *targetConfig) string {
	settings := c.HTTPClient.ProxyConfig
	choose := settings.Proxy()
	console, err := url.Parse(c.URL)
	if choose == nil || err != nil {
		return ""
	}
	proxy, err := choose(&http.Request{URL: console})
	if proxy == nil || err != nil {
		return ""
	}
	return proxy.Host
}

// measureText returns how long metrics are as text, and how long compressed.
func measureText(families []*dto.MetricFamily) (text, compressed int, err error) {
	var plain, packed counter
	zipper := gzip.NewWriter(&packed)
	encoder := expfmt.NewEncoder(
		io.MultiWriter(&plain, zipper), expfmt.NewFormat(expfmt.TypeTextPlain))
	for _, family := range families {
		if err := encoder.Encode(family); err != nil {
			return 0, 0, err
		}
	}
	err = zipper.Close()
	return int(plain), int(packed), err
}

// A counter counts the bytes that are written to it.
type counter int

// Write implements [io.Writer].
func (c *counter) Write(b []byte) (int, error) {
	*c += counter(len(b))
	return len(b), nil
}

func series(families []*dto.MetricFamily, name string) []*dto.Metric {
	for _, family := range families {
		if family.GetName() == name {
			return family.GetMetric()
		}
	}
	return nil
}

// values returns the series of a metric by the value of a label, without zeros.
func values(families []*dto.MetricFamily, name, label string) map[string]int {
	found := map[string]int{}
	for _, m := range series(families, name) {
		if n := int(m.GetGauge().GetValue() + m.GetCounter().GetValue()); n != 0 {
			found[labelOf(m, label)] = n
		}
	}
	return found
}

func labelOf(m *dto.Metric, name string) string {
	for _, label := range m.GetLabel() {
		if label.GetName() == name {
			return label.GetValue()
		}
	}
	return ""
}
