package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-kit/log"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"oms_exporter/collector"
)

func TestScrapesOfManyTargetsAtOneMomentAllHaveAnAnswer(t *testing.T) {
	t.Parallel()
	const targets, tasks = 200, 50
	released := make(chan struct{})
	oms := fleetOf(tasks)
	url := serveOMS(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		<-released
		oms.ServeHTTP(w, r)
	}))
	var config strings.Builder
	for i := range targets {
		fmt.Fprintf(&config, "  t%d: {url: %q}\n", i, url)
	}
	p := exporterOf(t, config.String(), "--scrape.timeout=2m")
	answers := make(chan string, targets)
	for i := range targets {
		go func() { answers <- verdict(t, fmt.Sprintf("%s/probe?target=t%d", p.url, i), scrapeTimeout, "58") }()
	}
	<-time.After(500 * time.Millisecond) // so that all of them wait
	close(released)

	got := map[string]int{}
	for range targets {
		got[<-answers]++
	}

	if want := fmt.Sprintf("up, %d tasks", tasks); got[want] != targets {
		t.Errorf("the answers are %v, want %d times %s", got, targets, want)
	}
}

func TestTheBudgetOfARequest(t *testing.T) {
	const s = time.Second
	for _, c := range []struct {
		header                    string
		most, offset              time.Duration
		listing, waiting, reading time.Duration
	}{
		{"10", 30 * s, s / 2, 9500 * time.Millisecond, 9750 * time.Millisecond, 15 * s},
		{"", 30 * s, s / 2, 30 * s, 30250 * time.Millisecond, 35500 * time.Millisecond},
		{"120", 30 * s, s / 2, 30 * s, 30250 * time.Millisecond, 35500 * time.Millisecond}, // no more than without
		{"0.2", 30 * s, s / 2, s / 5, s / 5, 5200 * time.Millisecond},                      // less than the offset
		{"-1", 30 * s, 0, 30 * s, 30 * s, 35 * s},
		{"NaN", 30 * s, 0, 30 * s, 30 * s, 35 * s},
		{"1e999", 30 * s, 0, 30 * s, 30 * s, 35 * s},
		{"soon", 30 * s, 0, 30 * s, 30 * s, 35 * s},
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil)
		setUnlessEmpty(r, scrapeTimeout, c.header)
		now := time.Now()

		b := budgetOf(r, c.most, c.offset)

		for what, pair := range map[string]struct {
			got  time.Time
			want time.Duration
		}{"listing": {b.listing, c.listing}, "waiting": {b.waiting, c.waiting}, "reading": {b.reading, c.reading}} {
			if got := pair.got.Sub(now); got < pair.want || got > pair.want+s/10 {
				t.Errorf("header %q: %s ends after %s, want %s", c.header, what, got, pair.want)
			}
		}
	}
}

// TestSharedAndSingleAnswersAreCutOffAlike has two scrapers that do not read an answer
// which they share, and one that does not read /metrics.
func TestSharedAndSingleAnswersAreCutOffAlike(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	wordy := wordyFleet()
	shared := exporterOf(t, fmt.Sprintf("  wordy: {url: %q}\n", serveOMS(t, http.HandlerFunc(
		func(w http.ResponseWriter, r *http.Request) {
			<-release
			wordy.ServeHTTP(w, r)
		}))), "--log.level=debug")
	single := start(t, "--oms.url="+serveOMS(t, wordy), "--log.level=debug")
	lazy := map[string]*net.TCPConn{}
	for name, of := range map[string]struct {
		p    *program
		path string
	}{
		"the first of two": {shared, "/probe?target=wordy"}, "the second of two": {shared, "/probe?target=wordy"},
		"one of /metrics": {single, "/metrics"},
	} {
		lazy[name] = sluggard(t, of.p, of.path, "5")
	}
	<-time.After(300 * time.Millisecond)
	close(release)

	shared.stderr.await(t, regexp.MustCompile(`(?s)(msg="scrape answered".*){2}`))
	single.stderr.await(t, regexp.MustCompile(`msg="scrape answered"`))
	for name, c := range lazy {
		expectCutOff(t, name, c)
	}
	if warning := "a scraper did not read its answer in time"; strings.Count(shared.stderr.String(), warning) != 1 {
		t.Errorf("the log does not say once: %s\n%s", warning, shared.stderr)
	}
}

func TestTheLimitOfRequestsIsOfOneTarget(t *testing.T) {
	t.Parallel()
	asked, release := make(chan struct{}, 2*requestsPerAnswer), make(chan struct{})
	oms := fleetOf(3)
	p := exporterOf(t, fmt.Sprintf("  slow: {url: %q}\n  good: {url: %q}\n",
		serveOMS(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			asked <- struct{}{}
			<-release
			oms.ServeHTTP(w, r)
		})), serveOMS(t, oms)), "--web.max-requests=1")
	var waiting sync.WaitGroup
	for range requestsPerAnswer {
		waiting.Go(func() { _, _ = ask(p.url+"/probe?target=slow", patience) })
	}
	<-asked
	<-time.After(200 * time.Millisecond) // so that the others have come too

	for path, want := range map[string]int{
		"/probe?target=slow": 503, "/probe?target=good": 200, "/metrics": 200, "/status": 200, "/": 200, "/sd": 200,
		"/tasks": 200, "/-/healthy": 200, "/-/ready": 200,
	} {
		if r := get(t, p.url+path); r.status != want {
			t.Errorf("%s: status %d, want %d", path, r.status, want)
		}
	}
	close(release)
	waiting.Wait()
}

// TestClientsThatDoNotReadTakeNothingFromOtherTargets has more of them than answers may be
// sent at once, than requests may be in progress, and than there may be connections.
func TestClientsThatDoNotReadTakeNothingFromOtherTargets(t *testing.T) {
	t.Parallel()
	for _, number := range []int{40, 60, 1000} {
		t.Run(fmt.Sprint(number), func(t *testing.T) {
			t.Parallel()
			var listings atomic.Int64
			wordy := wordyFleet()
			p := exporterOf(t, fmt.Sprintf("  wordy: {url: %q}\n  good: {url: %q}\n",
				serveOMS(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					listings.Add(1)
					wordy.ServeHTTP(w, r)
				})), serveOMS(t, fleetOf(3))))
			hangUp := neverRead(t, p, "/probe?target=wordy", number)

			for path, want := range map[string]string{"/probe?target=good": "up, 3 tasks", "/metrics": "status 200", "/status": "status 200"} {
				r, err := ask(p.url+path, patience, scrapeTimeout, "10")
				got := fmt.Sprintf("status %d", r.status)
				if strings.HasPrefix(path, "/probe") {
					got = verdictOf(t, r, err)
				}
				if got != want {
					t.Errorf("beside %d clients that do not read, %s: %s (%v), want %s", number, path, got, err, want)
				}
			}
			hangUp()
			for before := int64(-1); listings.Load() > before; { // until OMS is no longer asked
				before = listings.Load()
				<-time.After(3 * time.Second)
			}
		})
	}
}

// neverRead has clients that ask and read nothing. The exporter may close their connections.
func neverRead(t *testing.T, p *program, path string, number int) (hangUp func()) {
	t.Helper()
	var opened sync.WaitGroup
	connections := make(chan net.Conn, number)
	for range number {
		opened.Go(func() {
			c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", strings.TrimPrefix(p.url, "http://"))
			if err != nil {
				return
			}
			connections <- c
			if tcp, ok := c.(*net.TCPConn); ok {
				_ = tcp.SetReadBuffer(4096)
			}
			fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: x\r\n%s: 30\r\n\r\n", path, scrapeTimeout)
		})
	}
	opened.Wait()
	close(connections)
	return func() {
		for c := range connections {
			_ = c.Close()
		}
	}
}

func TestWhoeverDoesNotReadIsCutOffOnAnyPath(t *testing.T) {
	t.Parallel()
	h := &handler{scrape: &scrapeSettings{timeout: time.Minute}}
	ended := make(chan error, 1)
	server := httptest.NewServer(h.guard(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, err := w.Write(make([]byte, 64<<20)) // more than sockets buffer
		ended <- err
	})))
	t.Cleanup(server.Close)
	began := time.Now()
	c := sluggard(t, &program{url: server.URL}, "/", "60")

	var err error
	select {
	case err = <-ended:
	case <-time.After(patience):
	}

	if took := time.Since(began); !errors.Is(err, os.ErrDeadlineExceeded) || took > 15*time.Second {
		t.Errorf("writing ended after %s with %v, want that its time is up after about 5 s", took, err)
	}
	expectCutOff(t, "the client", c)
}

func TestATargetMayTakeLongerThanTheFlagSays(t *testing.T) {
	t.Parallel()
	oms := fleetOf(3)
	url := serveOMS(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		<-time.After(6 * time.Second) // more than the flag, its offset and the grace for reading
		oms.ServeHTTP(w, r)
	}))
	p := exporterOf(t, fmt.Sprintf("  slow: {url: %q, timeout: 10s}\n", url), "--scrape.timeout=0.2s")

	if got := verdict(t, p.url+"/probe?target=slow"); got != "up, 3 tasks" {
		t.Errorf("%s, want up, 3 tasks", got)
	}
}

func TestScrapersThatHangUpAreNoErrors(t *testing.T) {
	t.Parallel()
	hung, asked := hungOMS(t)
	p := exporterOf(t, fmt.Sprintf("  bad: {url: %q}\n  wordy: {url: %q}\n", hung, serveOMS(t, wordyFleet())))
	var gone sync.WaitGroup
	for i := range 40 { // while OMS is silent, and while the answer is made
		gone.Go(func() {
			target := []string{"bad", "wordy"}[i%2]
			_, _ = ask(p.url+"/probe?target="+target, time.Duration(10*i)*time.Millisecond)
		})
	}
	gone.Wait()
	<-asked
	<-time.After(3 * time.Second) // until OMS is no longer asked

	if log := p.stderr.String(); strings.Contains(log, "level=error") {
		t.Errorf("logged:\n%s", log)
	}
}

// failing is a registry that cannot be gathered.
func failing() ([]*dto.MetricFamily, error) { return nil, errors.New("two metrics of one name") }

// An answer is sent only when there is room for it, even if there is a listing.
func TestAnAnswerWithoutRoomIsRefusedInTime(t *testing.T) {
	t.Parallel()
	h := &handler{scrape: &scrapeSettings{timeout: time.Minute}}
	full := &target{
		config: &targetConfig{}, limits: newLimits(1), collector: collector.New(twoTasks, collector.Options{}),
	}
	leave, err := full.limits.answers.Enter(t.Context(), 0) // another answer is being sent
	if err != nil {
		t.Fatal(err)
	}
	defer leave()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.expose(w, r, full, nil)
	}))
	t.Cleanup(server.Close)

	if r := get(t, server.URL, scrapeTimeout, "1"); r.status != http.StatusServiceUnavailable {
		t.Errorf("status %d, want 503", r.status)
	}
}

// Clients can ask for the same listing in many formats and codings.
func TestOnlyAFewAnswersOfAListingAreKept(t *testing.T) {
	var a answers
	shared, encoded := sharedSnapshot(t), 0
	const keys = 3 * maxBodies
	for range 2 {
		for key := range keys {
			err := a.write(io.Discard, shared, fmt.Sprint(key), func(io.Writer) error {
				encoded++
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		}
	}

	if want := maxBodies + 2*(keys-maxBodies); encoded != want {
		t.Errorf("%d answers were encoded, want %d: %d once and the others each time", encoded, want, maxBodies)
	}
	runtime.KeepAlive(shared)
}

func TestAnAnswerThatCannotBeWrittenIsNeverTakenForWhole(t *testing.T) {
	lines := newOutput()
	h := &handler{
		scrape: &scrapeSettings{timeout: time.Minute}, logger: log.NewLogfmtLogger(lines),
	}
	tasks := &target{
		config: &targetConfig{}, limits: newLimits(1),
		collector: collector.New(twoTasks, collector.Options{Room: collector.NewRoom(1)}),
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.expose(w, r, tasks, prometheus.Gatherers{prometheus.GathererFunc(failing)})
	}))
	defer server.Close()

	for range 2 { // the place is given back
		if r, err := try(t, http.MethodGet, server.URL, ""); err == nil {
			t.Errorf("status %d: %q", r.status, r.body)
		}
	}

	if want := "level=error msg=\"cannot write the metrics\""; strings.Count(lines.String(), want) != 2 {
		t.Errorf("the log does not say twice: %s\n%s", want, lines)
	}
}
