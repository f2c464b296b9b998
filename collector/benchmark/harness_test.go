package benchmark_test

import (
	"bufio"
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"oms_exporter/collector/benchmark"
	"oms_exporter/omsclient"
)

// Environment variables that make the test binary an exporter to measure against,
// of the OMS at their value.
const (
	textbookURL = "TEXTBOOK_OMS_URL"
	floorURL    = "FLOOR_OMS_URL" // with the two below
	floorText   = "FLOOR_TEXT_URL"
	floorPages  = "FLOOR_PAGES"
)

func TestMain(m *testing.M) {
	var err error
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 100}, Timeout: 10 * time.Minute}
	if url := os.Getenv(textbookURL); url != "" {
		err = serve(benchmark.NewTextbook(url, client).Handler())
	} else if url := os.Getenv(floorURL); url != "" {
		err = serveFloor(url, client)
	} else {
		m.Run()
	}
	if err != nil {
		panic(err)
	}
}

// serve serves until the process is told to end.
func serve(handler http.Handler) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("/metrics", handler)
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	defer context.AfterFunc(ctx, func() { _ = server.Close() })()
	fmt.Printf("listening on %s\n", listener.Addr())
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// A process is a server under test, or the simulated OMS.
type process struct {
	pid  int
	url  string
	stop func() // ends it, and waits until it has ended
}

// start runs a command until it has printed its address.
func start(ctx context.Context, env []string, name string, args ...string) (*process, error) {
	ctx, cancel := context.WithCancel(ctx)
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append([]string{}, env...) // and nothing else: settings are all here
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second // then it is killed
	output := &watcher{found: make(chan string, 1)}
	cmd.Stdout, cmd.Stderr = output, output
	if err := cmd.Start(); err != nil {
		cancel()
		return nil, err
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait() // it was told to end
	}()
	stop := func() {
		cancel()
		<-ended
	}
	select {
	case address := <-output.found:
		return &process{cmd.Process.Pid, "http://" + address, stop}, nil
	case <-ended:
	case <-time.After(30 * time.Second):
	case <-ctx.Done():
	}
	stop()
	return nil, fmt.Errorf("%s %v does not serve: %s", name, args, output)
}

var address = regexp.MustCompile(`127\.0\.0\.1:[1-9][0-9]*`)

// A watcher waits for an address in the first output of a process.
type watcher struct {
	mu    sync.Mutex
	text  []byte
	found chan string
	done  bool
}

func (w *watcher) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.text) < 64<<10 {
		w.text = append(w.text, b...)
	}
	whole := w.text[:bytes.LastIndexByte(w.text, '\n')+1]
	if found := address.Find(whole); found != nil && !w.done {
		w.done = true
		w.found <- string(found)
	}
	return len(b), nil
}

func (w *watcher) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return string(w.text)
}

// cpu returns the processor time that the process has used. It comes in
// hundredths of a second.
func (p *process) cpu() (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.pid))
	if err != nil {
		return 0, err
	}
	// The second field is the name in brackets, and may have spaces.
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	if len(fields) < 13 {
		return 0, fmt.Errorf("cannot read %q", text)
	}
	user, userErr := strconv.Atoi(fields[11])
	system, systemErr := strconv.Atoi(fields[12])
	return time.Duration(user+system) * 10 * time.Millisecond, cmp.Or(userErr, systemErr)
}

// Fields of the status of a process.
const (
	rss     = "VmRSS" // memory that is resident
	peakRSS = "VmHWM" // the most that has been resident
)

// memory returns a field of the status of the process, in bytes.
func (p *process) memory(field string) (float64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, field+":"); ok {
			kilobytes, err := strconv.Atoi(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(value), "kB")))
			return float64(kilobytes) * 1024, err
		}
	}
	return 0, errors.New("no " + field)
}

// An exposition is what is learned from the body of a scrape.
type exposition struct {
	series int
	values map[string]float64 // of series without labels
}

// readExposition reads a body as it streams by, compressed or not.
func readExposition(r io.Reader) (exposition, error) {
	e := exposition{values: map[string]float64{}}
	body := bufio.NewReaderSize(r, 64<<10)
	if magic, _ := body.Peek(2); string(magic) == "\x1f\x8b" {
		unzipped, err := gzip.NewReader(body)
		if err != nil {
			return e, err
		}
		body = bufio.NewReaderSize(unzipped, 64<<10)
	}
	lines := bufio.NewScanner(body)
	for lines.Scan() {
		line := lines.Bytes()
		if len(line) == 0 || line[0] == '#' {
			continue
		}
		e.series++
		if bytes.IndexByte(line, '{') >= 0 {
			continue
		}
		name, value, _ := bytes.Cut(line, []byte(" "))
		v, err := strconv.ParseFloat(string(value), 64)
		if err != nil {
			return e, err
		}
		e.values[string(name)] = v
	}
	return e, lines.Err()
}

// A scraper asks as Prometheus does.
type scraper struct {
	client   *http.Client
	encoding string
	format   string // its media type
}

const (
	textFormat     = "text/plain"
	protobufFormat = "application/vnd.google.protobuf"
)

func newScraper(encoding string) *scraper {
	return &scraper{
		&http.Client{Transport: &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 100}},
		encoding, textFormat,
	}
}

var accepts = map[string]string{
	textFormat:     "text/plain;version=0.0.4;q=1,*/*;q=0.1",
	protobufFormat: protobufFormat + ";proto=io.prometheus.client.MetricFamily;encoding=delimited",
}

// in returns a scraper that asks for a format over the same connections.
func (s *scraper) in(format string) *scraper { return &scraper{s.client, s.encoding, format} }

// scrape passes the body of a scrape to read.
func (s *scraper) scrape(ctx context.Context, url string, read func(io.Reader) error) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/metrics", nil)
	if err != nil {
		return err
	}
	r.Header.Set("Accept", accepts[s.format])
	r.Header.Set("Accept-Encoding", s.encoding)
	response, err := s.client.Do(r)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	encoding := cmp.Or(response.Header.Get("Content-Encoding"), "identity")
	kind := response.Header.Get("Content-Type")
	if response.StatusCode != http.StatusOK || encoding != s.encoding ||
		!strings.HasPrefix(kind, s.format+"; ") {
		return fmt.Errorf("%s: %s, %s, %s", url, response.Status, kind, encoding)
	}
	return read(response.Body)
}

func discard(r io.Reader) error {
	_, err := io.Copy(io.Discard, r)
	return err
}

// A setup is what is measured.
type setup struct {
	tasks      int
	blobBytes  int
	latency    time.Duration
	encoding   string
	format     string // by default text
	batch      int    // scrapes one after another in a run; 0 means 1
	together   int    // scrapes at once instead; 0 means 1
	textbook   bool   // measure it too
	floor      bool   // measure the floor too
	ownMetrics bool   // let the exporter export how often it has allocated
}

// Figures are what was measured of an exporter. Those of a scrape have one value
// for each run.
type figures struct {
	cpu, wall []float64 // seconds
	allocs    []float64 // allocations
	peakRSS   float64   // bytes
	series    int
	pages     int
}

// A harness measures.
type harness struct {
	binary string // of oms_exporter
	runs   int
	settle time.Duration // between runs, for what the garbage collector has left to do
}

// startOMS starts a simulated OMS on an address.
func (h *harness) startOMS(ctx context.Context, s setup, address string) (*process, error) {
	return start(ctx, nil, h.binary, "simulate", "--web.listen-address="+address,
		"--sim.time-scale=0.000001", fmt.Sprintf("--sim.tasks=%d", s.tasks),
		fmt.Sprintf("--sim.blob-bytes=%d", s.blobBytes), fmt.Sprintf("--sim.latency=%s", s.latency))
}

// startExporter starts the exporter of an OMS.
func (h *harness) startExporter(ctx context.Context, s setup, oms *process) (*process, error) {
	args := []string{
		"--oms.url=" + oms.url, "--web.listen-address=" + anyPort, "--oms.exclude-status=", "--oms.max-tasks=0",
		fmt.Sprintf("--oms.concurrency=%d", concurrency), "--oms.page-timeout=0s", "--scrape.timeout=10m",
	}
	if !s.ownMetrics {
		args = append(args, "--web.disable-exporter-metrics")
	}
	return start(ctx, nil, h.binary, args...)
}

const anyPort = "127.0.0.1:0"

// measure runs a simulated OMS, the exporter, and beside it what the setup names,
// each a fresh process, and scrapes them in turns.
func (h *harness) measure(ctx context.Context, s setup) (ours, beside *figures, err error) {
	oms, err := h.startOMS(ctx, s, anyPort)
	if err != nil {
		return nil, nil, err
	}
	defer oms.stop()
	exporter, err := h.startExporter(ctx, s, oms)
	if err != nil {
		return nil, nil, err
	}
	defer exporter.stop()
	scraper := newScraper(s.encoding).in(cmp.Or(s.format, textFormat))
	defer scraper.client.CloseIdleConnections() // so that nobody waits for them at the end
	measured := []*measurement{{setup: s, process: exporter, scraper: scraper}}
	if env := s.beside(oms, exporter); env != nil {
		self, err := os.Executable()
		if err != nil {
			return nil, nil, err
		}
		other, err := start(ctx, env, self)
		if err != nil {
			return nil, nil, err
		}
		defer other.stop()
		measured = append(measured, &measurement{setup: s, process: other, scraper: scraper})
	}
	if err := h.inTurns(ctx, measured); err != nil {
		return nil, nil, err
	}
	if len(measured) == 1 {
		return &measured[0].figures, nil, nil
	}
	mine, theirs := measured[0].series, measured[1].series
	if theirs > mine || float64(theirs) < leastShare*float64(mine) {
		return nil, nil, fmt.Errorf("%d series, and %d beside: they cannot be compared", mine, theirs)
	}
	return &measured[0].figures, &measured[1].figures, nil
}

// beside returns the environment of what is measured beside the exporter, or nil.
func (s setup) beside(oms, exporter *process) []string {
	switch {
	case s.textbook:
		return []string{textbookURL + "=" + oms.url}
	case s.floor:
		pages := (s.tasks + omsclient.MaxPageSize - 1) / omsclient.MaxPageSize
		return []string{
			floorURL + "=" + oms.url, floorText + "=" + exporter.url, fmt.Sprintf("%s=%d", floorPages, pages),
		}
	}
	return nil
}

func (h *harness) inTurns(ctx context.Context, measured []*measurement) error {
	for _, m := range measured {
		if err := m.warmUp(ctx); err != nil {
			return err
		}
	}
	for range h.runs {
		for _, m := range measured {
			if err := pause(ctx, h.settle); err != nil {
				return err
			}
			if err := m.run(ctx, h.settle); err != nil {
				return err
			}
		}
	}
	for _, m := range measured {
		var err error
		if m.peakRSS, err = m.process.memory(peakRSS); err != nil {
			return err
		}
	}
	return nil
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
	return ctx.Err()
}

// A measurement is a process being measured.
type measurement struct {
	figures
	setup   setup
	process *process
	scraper *scraper
	mallocs float64 // in its life, as of the last scrape
}

// warmUp scrapes once, as text, and looks at what comes.
func (m *measurement) warmUp(ctx context.Context) error {
	e, err := m.look(ctx)
	if err != nil {
		return err
	}
	m.series, m.pages = e.series, int(e.values["oms_scrape_pages"])
	if e.values["oms_up"] != 1 || e.series < m.setup.tasks {
		return fmt.Errorf("oms_up %g, %d series of %d tasks", e.values["oms_up"], e.series, m.setup.tasks)
	}
	return nil
}

// scrapeUntil scrapes until done says so of the memory that is resident.
func (m *measurement) scrapeUntil(
	ctx context.Context, pace time.Duration, done func(resident float64) bool,
) (resident float64, err error) {
	for {
		if err := cmp.Or(m.warmUp(ctx), pause(ctx, pace)); err != nil {
			return 0, err
		}
		if resident, err = m.process.memory(rss); err != nil || done(resident) {
			return resident, err
		}
	}
}

func (m *measurement) look(ctx context.Context) (exposition, error) {
	var e exposition
	err := m.scraper.in(textFormat).scrape(ctx, m.process.url, func(r io.Reader) (err error) {
		e, err = readExposition(r)
		return err
	})
	m.mallocs = e.values["go_memstats_mallocs_total"]
	return e, err
}

// run measures scrapes. Processor time is taken after the garbage collector has
// settled.
func (m *measurement) run(ctx context.Context, settle time.Duration) error {
	before, err := m.process.cpu()
	if err != nil {
		return err
	}
	mallocs := m.mallocs
	batch := max(m.setup.batch, 1)
	begin := time.Now()
	for range batch {
		if err := m.scrapes(ctx); err != nil {
			return err
		}
	}
	wall := time.Since(begin)
	if err := pause(ctx, settle); err != nil {
		return err
	}
	after, err := m.process.cpu()
	if err != nil {
		return err
	}
	m.cpu = append(m.cpu, (after-before).Seconds()/float64(batch))
	m.wall = append(m.wall, wall.Seconds()/float64(batch))
	m.allocs = append(m.allocs, (m.mallocs-mallocs)/float64(batch))
	return nil
}

// scrapes scrapes once, or several times at once.
func (m *measurement) scrapes(ctx context.Context) error {
	if m.setup.ownMetrics {
		_, err := m.look(ctx)
		return err
	}
	n := max(m.setup.together, 1)
	errs := make(chan error, n)
	for range n {
		go func() { errs <- m.scraper.scrape(ctx, m.process.url, discard) }()
	}
	var all error
	for range n {
		all = cmp.Or(all, <-errs)
	}
	return all
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}
