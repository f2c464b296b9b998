package main

import (
	"cmp"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"oms_exporter/collector"
	"oms_exporter/omsclient"
)

// check lists the tasks of each OMS once, as a scrape does, and explains what it
// finds. On stderr it says what it is waiting for. The error is that an OMS cannot be
// used, or why none was called.
func check(ctx context.Context, s *checkSettings, stdout, stderr io.Writer) error {
	report := newCheckReport()
	err := s.checkAll(ctx, report, stdout, stderr)
	if err != nil {
		report.OK, report.Error = false, err.Error()
	}
	if s.format == "json" {
		if err := report.writeJSON(stdout); err != nil {
			return err
		}
	} else if err == nil {
		report.printVerdicts(stdout)
	}
	return cmp.Or(err, report.err())
}

// checkAll adds what it finds to the report, and prints it if that is to be text.
func (s *checkSettings) checkAll(
	ctx context.Context, report *checkReport, stdout, stderr io.Writer,
) error {
	loaded, err := s.load()
	if err != nil {
		return err
	}
	source := s.source(loaded)
	if err := s.oms.choose(loaded, s.targets); err != nil {
		return err
	}
	limits := s.extend(loaded)
	recorders, err := s.recorders(loaded)
	if err != nil {
		return err
	}
	targets, err := newTargetsOnce(loaded, &s.scrape, recorders.wrap)
	if err != nil {
		return err
	}
	defer targets.close()
	for _, t := range targets.all() {
		e := &evidence{
			target: t, source: source,
			budget: s.budget(), offset: s.timeout - s.budget(), limit: limits[t.name],
			progress: stderr,
		}
		if err := e.gather(ctx); err != nil {
			return err
		}
		checked := e.report(recorders[t.name])
		report.add(checked)
		if s.format == "text" {
			checked.print(stdout)
		}
	}
	return nil
}

// load returns the configuration, if the flags make sense.
func (s *checkSettings) load() (*fileConfig, error) {
	if err := cmp.Or(s.oms.validate(), s.scrape.validate()); err != nil {
		return nil, err
	}
	if s.timeout <= 0 {
		return nil, usagef("--timeout=%s: must be more than 0", s.timeout)
	}
	return s.oms.load()
}

// source says where the configuration is from.
func (s *checkSettings) source(loaded *fileConfig) string {
	if s.oms.configFile == "" {
		return "flags and environment"
	}
	return fmt.Sprintf("%s, %s", s.oms.configFile, amount(len(loaded.Targets), "target"))
}

// choose keeps only the targets of these names, if there are any names.
func (s *omsSettings) choose(loaded *fileConfig, names []string) error {
	if len(names) == 0 {
		return nil
	}
	if s.configFile == "" {
		return usagef("--target needs --config.file: only its targets have names")
	}
	for _, name := range names {
		if loaded.Targets[name] == nil {
			return usagef("--target=%s: not in %s, which has %s", name, s.configFile,
				strings.Join(slices.Sorted(maps.Keys(loaded.Targets)), ", "))
		}
	}
	maps.DeleteFunc(loaded.Targets, func(name string, _ *targetConfig) bool {
		return !slices.Contains(names, name)
	})
	return nil
}

// extend lets a check wait longer than a scrape, to tell how much too slow an OMS
// is. It returns the exporter's time limit for a scrape of each target.
func (s *checkSettings) extend(loaded *fileConfig) map[string]time.Duration {
	const times = 10
	limits := map[string]time.Duration{}
	for name, t := range loaded.Targets {
		limits[name] = cmp.Or(time.Duration(t.Timeout), s.scrape.timeout)
		t.Timeout = model.Duration(max(times*s.timeout, limits[name]))
	}
	return limits
}

// recorders are those of each target, by its name, if flags ask for a recording.
type recorders map[string]*recorder

// recorders prepares the recordings. With a configuration file each target has its
// own directory, by its name.
func (s *checkSettings) recorders(loaded *fileConfig) (recorders, error) {
	if s.record == "" {
		return nil, nil
	}
	all := recorders{}
	for name := range loaded.Targets {
		if name == "." || name != flagsTarget && !filepath.IsLocal(name) {
			return nil, usagef("--record=%s: the target %q cannot be the name of a directory in it",
				s.record, name)
		}
		r, err := newRecorder(filepath.Join(s.record, name), s.redact)
		if err != nil {
			return nil, usagef("--record=%s: %w", s.record, err)
		}
		all[name] = r
	}
	return all, nil
}

// wrap is a [transportWrapper].
func (rs recorders) wrap(target string, next http.RoundTripper) http.RoundTripper {
	if r := rs[target]; r != nil {
		return r.record(next)
	}
	return next
}

// budget returns what the exporter leaves of Prometheus' timeout.
func (s *checkSettings) budget() time.Duration {
	if s.timeout > s.scrape.timeoutOffset {
		return s.timeout - s.scrape.timeoutOffset
	}
	return s.timeout
}

// Evidence is what is known about an OMS and what one listing of it has shown.
// Findings are based on it.
type evidence struct {
	target   *target
	source   string        // of the configuration
	budget   time.Duration // what Prometheus' timeout leaves for the listing
	offset   time.Duration // the rest of that timeout
	progress io.Writer
	limit    time.Duration // the exporter's own, whatever Prometheus allows

	connection connection
	zone       *offset // of gmtModified, if it is known
	fetch      collector.Fetch
	request    *requestReport
	failure    *omsclient.Error // why there is no listing, or nil
	looks      []collector.Look // what was asked about single tasks
	listingReport
}

// gather lists the tasks of the OMS.
func (e *evidence) gather(ctx context.Context) error {
	watched := &watcher{}
	snapshot := e.scrape(httptrace.WithClientTrace(ctx, watched.trace()), watched)
	if ctx.Err() != nil {
		return errors.New("interrupted")
	}
	e.connection, e.fetch = watched.connection(), e.target.collector.Fetches()[0]
	e.request = e.requestReport()
	if errors.As(e.fetch.Err, &e.failure) {
		return nil
	}
	tasks := prometheus.NewRegistry()
	tasks.MustRegister(snapshot)
	scraped, err := tasks.Gather()
	if err != nil {
		return err
	}
	counted, err := e.target.own.Gather()
	if err != nil {
		return err
	}
	e.Tasks = countTasks(scraped)
	e.Tasks.Excluded = snapshot.Excluded()
	e.looks = e.lookCloser(ctx, scraped)
	e.zone = findOffset(runningSince(snapshot.RunningModified(), e.omsTime()))
	e.Pages = measurePages(&e.fetch, values(counted, "oms_exporter_unknown_values_total", "field"))
	e.Scrape, err = e.measureScrape(scraped)
	return err
}

// scrape lists the tasks, and says meanwhile what takes so long.
func (e *evidence) scrape(ctx context.Context, watched *watcher) *collector.Snapshot {
	telling, stop := context.WithCancel(ctx)
	var told sync.WaitGroup
	told.Go(func() { watched.tell(telling, e.progress, displayName(e.target.name)) })
	defer told.Wait()
	defer stop()
	snapshot := e.target.collector.Scrape(ctx)
	e.target.collector.Settle()
	return snapshot
}

// requestReport sums up how the first page was requested.
func (e *evidence) requestReport() *requestReport {
	c, first := &e.connection, e.firstPage()
	r := &requestReport{
		Address: c.remote, LookupSeconds: c.lookup.seconds(), ConnectSeconds: c.dial.seconds(),
		HandshakeSeconds: c.handshake.seconds(), Status: first.StatusCode,
		Seconds: first.Duration.Seconds(),
	}
	if expiry := omsclient.CertExpiry(&c.tls); !expiry.IsZero() {
		r.CertificateExpiry = &expiry
	}
	if skew, known := e.fetch.Report.ClockSkew().Get(); known {
		r.ClockSkew = new(skew.Seconds())
	}
	return r
}

// report explains the evidence, and what became of the recording if there is one.
func (e *evidence) report(r *recorder) *targetReport {
	findings := append(e.findings(), e.findLooks()...)
	if r != nil {
		findings = append(findings, findRecording(r))
	}
	return &targetReport{
		Name: displayName(e.target.name), URL: e.target.config.URL, Steps: findings, Request: e.request,
		OK: !slices.ContainsFunc(findings, func(f finding) bool { return f.Result == failed }),

		listingReport: e.listingReport,
	}
}

// countTasks takes the numbers of tasks from a scrape.
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

// measurePages sums up the requests of a listing. The collector counts unreadable and
// damaged values as unknown ones too.
func measurePages(fetch *collector.Fetch, unknown map[string]int) *pagesReport {
	report := &fetch.Report
	p := &pagesReport{
		Listings: 1, Rows: report.Rows(), Bytes: report.Bytes(), Retries: report.Retries(),
		WireBytes: report.BytesOnWire(),
		Seconds:   fetch.Duration.Seconds(), Inconsistent: report.Inconsistent,
		Unreadable: maps.Clone(report.Dropped), NotUTF8: maps.Clone(report.NotUTF8), Unknown: unknown,
	}
	for _, counted := range []map[string]int{p.Unreadable, p.NotUTF8} {
		for field, n := range counted {
			if p.Unknown[field] -= n; p.Unknown[field] == 0 {
				delete(p.Unknown, field)
			}
		}
	}
	first := report.FirstListing()
	if len(first) < len(report.Requests) {
		p.Listings = 2
	}
	var times []float64
	for _, r := range first {
		if r.Err == nil {
			times = append(times, r.Duration.Seconds())
		}
	}
	slices.Sort(times)
	p.Pages = len(times)
	p.PageSeconds = spread{times[0], times[len(times)/2], times[len(times)-1]}
	return p
}

// prometheusBytesPerSeries is the memory that Prometheus needs for each series of a
// scrape, with the shipped rules. How it was measured is in deploy/docs/sizing.md.
const prometheusBytesPerSeries = 7_000

// tight is the share of its time that a listing may take before it gets a warning.
const tight = 0.8

// measureScrape compares a listing with the time there is for it. Only the first
// counts: a second one uses what time is left, and no more.
func (e *evidence) measureScrape(scraped []*dto.MetricFamily) (*scrapeReport, error) {
	took := e.fetch.Duration
	requests := e.fetch.Report.Requests
	if first := e.fetch.Report.FirstListing(); len(first) < len(requests) {
		took = requests[len(first)].Start.Sub(e.fetch.Start)
	}
	budget := min(e.budget, e.limit)
	s := &scrapeReport{
		Seconds: took.Seconds(), Budget: budget.Seconds(), Fits: took <= budget,
		Concurrency: e.target.config.Concurrency,
	}
	for _, concurrency := range []int{1, 2, 4, 8, 16} {
		rounds := (e.Pages.Pages-1+concurrency-1)/concurrency + 1
		estimate := float64(rounds) * e.Pages.PageSeconds.Median
		s.Estimates = append(s.Estimates, estimateReport{concurrency, estimate})
		if concurrency > s.Concurrency && s.Recommended == 0 && s.Seconds >= tight*s.Budget &&
			estimate < tight*s.Budget {
			s.Recommended = concurrency
		}
	}
	for _, family := range scraped {
		s.Series += len(family.GetMetric())
	}
	s.PrometheusBytes = s.Series * prometheusBytesPerSeries
	var err error
	s.Bytes, s.GzipBytes, err = encodedSize(scraped)
	return s, err
}

// proxy returns the host and port of the proxy between the exporter and OMS, or
// nothing.
func (e *evidence) proxy() string {
	settings := e.target.config.HTTPClient.ProxyConfig
	choose := settings.Proxy()
	console, err := url.Parse(e.target.config.URL)
	if choose == nil || err != nil {
		return ""
	}
	proxy, err := choose(&http.Request{URL: console})
	if proxy == nil || err != nil {
		return ""
	}
	return proxy.Host
}

// encodedSize returns the size of metrics in the text format, and compressed.
func encodedSize(families []*dto.MetricFamily) (plain, compressed int, err error) {
	var all, packed byteCounter
	zipper := gzip.NewWriter(&packed)
	encoder := expfmt.NewEncoder(
		io.MultiWriter(&all, zipper), expfmt.NewFormat(expfmt.TypeTextPlain))
	for _, family := range families {
		if err := encoder.Encode(family); err != nil {
			return 0, 0, err
		}
	}
	err = zipper.Close()
	return int(all), int(packed), err
}

// A byteCounter counts the bytes that are written to it.
type byteCounter int

// Write implements [io.Writer].
func (c *byteCounter) Write(b []byte) (int, error) {
	*c += byteCounter(len(b))
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

// values returns the values of a metric other than 0, by a label.
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
