package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	"github.com/go-kit/log"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	dto "github.com/prometheus/client_model/go"

	"oms_exporter/collector"
	"oms_exporter/omsclient"
)

// What is answered to whatever headers and query is what client_golang answers
// for the same metrics.
func TestMetricsAreNegotiatedAsPromhttpDoes(t *testing.T) {
	tasks := collector.New(twoTasks, collector.Options{}).Scrape(t.Context())
	own := prometheus.NewRegistry()
	collector.NewMetrics(own)
	own.MustRegister(prometheus.NewCounterFunc(
		prometheus.CounterOpts{Name: "oms_other_total", Help: "Of somebody else."},
		func() float64 { return 1e9 }))
	ours := &handler{logger: log.NewNopLogger()}
	registry := prometheus.NewRegistry()
	registry.MustRegister(tasks)
	theirs := promhttp.HandlerFor(prometheus.Gatherers{registry, own}, handlerOptions())

	for _, accept := range accepts {
		for _, encoding := range acceptEncodings {
			for _, query := range queries {
				ask := func(answer http.HandlerFunc) negotiated {
					r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics"+query, nil)
					setUnlessEmpty(r, "Accept", accept)
					setUnlessEmpty(r, "Accept-Encoding", encoding)
					w := httptest.NewRecorder()
					answer(w, r)
					return readNegotiated(t, w.Result())
				}

				want := ask(theirs.ServeHTTP)
				got := ask(func(w http.ResponseWriter, r *http.Request) {
					if err := ours.write(&meter{ResponseWriter: w}, r, tasks, prometheus.Gatherers{own}); err != nil {
						t.Error(err)
					}
				})

				if got != want {
					t.Errorf("Accept %q, Accept-Encoding %q, %q:\ngot  %s %.200q\nwant %s %.200q",
						accept, encoding, query, got.head, got.body, want.head, want.body)
				}
			}
		}
	}
}

// Protobuf as text is for people to read, and so is the text format.
func TestWhoAsksForProtobufAsTextGetsTheTextFormat(t *testing.T) {
	tasks := collector.New(twoTasks, collector.Options{}).Scrape(t.Context())
	for _, encoding := range []string{"text", "compact-text"} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics?name[]=oms_up", nil)
		r.Header.Set("Accept", "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding="+encoding)
		w := httptest.NewRecorder()
		h := &handler{logger: log.NewNopLogger()}
		if err := h.write(&meter{ResponseWriter: w}, r, tasks, nil); err != nil {
			t.Error(err)
		}

		got := readNegotiated(t, w.Result())

		if want := `200 "text/plain; version=0.0.4; charset=utf-8"`; !strings.HasPrefix(got.head, want) ||
			!strings.HasSuffix(got.body, "\noms_up 1\n") {
			t.Errorf("%s: got %s %q, want %s", encoding, got.head, got.body, want)
		}
	}
}

func setUnlessEmpty(r *http.Request, header, value string) {
	if value != "" {
		r.Header.Set(header, value)
	}
}

var accepts = []string{
	"", "*/*", "text/html", "text/plain", "text/plain;version=0.0.4", "text/plain;version=1.0.0",
	"text/plain;version=0.0.4;escaping=values", "text/plain;version=1.0.0;escaping=allow-utf-8",
	"application/openmetrics-text", "application/openmetrics-text;version=0.0.1",
	"application/openmetrics-text;version=1.0.0;escaping=underscores",
	"application/openmetrics-text;version=9.9.9", "application/json", "nonsense;;q=x",
	"application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.7",
	// As Prometheus 2 and 3 ask.
	"application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4," +
		"text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
	"application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6," +
		"application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4," +
		"text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
	"application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited",
	"application/vnd.google.protobuf;proto=other;encoding=delimited,text/plain;q=0.1",
}

var acceptEncodings = []string{
	"", "identity", "gzip", "zstd", "br", "*", "gzip;q=0", "gzip, deflate, br, zstd", "zstd;q=0.5, gzip;q=0.9",
	"gzip;q=0.5, zstd;q=0.9", "identity;q=0", "GZIP", "nonsense;;q=x",
}

var queries = []string{
	"", "?name[]=oms_up", "?name[]=oms_other_total&name[]=oms_task_status", "?name[]=", "?name[]=none",
	"?name=oms_up&target=x", "?" + url.Values{"name[]": {"oms_up", "oms_up"}}.Encode(),
}

// A countedGatherer has no metrics, and knows how often it was asked for them: once for
// each answer that is encoded.
type countedGatherer struct{ asked atomic.Int32 }

func (g *countedGatherer) Gather() ([]*dto.MetricFamily, error) {
	g.asked.Add(1)
	return nil, nil
}

func TestScrapesThatShareASnapshotShareTheBytesOfTheirAnswers(t *testing.T) {
	h := &handler{logger: log.NewNopLogger()}
	own := new(countedGatherer)
	ask := func(s *collector.Snapshot, accept, encoding, query string) negotiated {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics"+query, nil)
		setUnlessEmpty(r, "Accept", accept)
		setUnlessEmpty(r, "Accept-Encoding", encoding)
		w := httptest.NewRecorder()
		if err := h.write(&meter{ResponseWriter: w}, r, s, prometheus.Gatherers{own}); err != nil {
			t.Error(err)
		}
		return readNegotiated(t, w.Result())
	}
	shared := sharedSnapshot(t)
	alone := collector.New(twoTasks, collector.Options{}).Scrape(t.Context())

	for _, asked := range []struct {
		accept, encoding, query string
		encoded                 int32 // of two answers
	}{
		{"text/plain", "", "", 1},
		{"text/plain", "gzip", "", 1},
		{"text/plain", "gzip", "?nothing=x", 0}, // nothing is different
		{"text/plain", "gzip", "?name[]=oms_up", 2},
		{"application/openmetrics-text;version=1.0.0", "gzip", "", 1},
	} {
		own.asked.Store(0)
		want := ask(shared, asked.accept, asked.encoding, asked.query)
		got := ask(shared, asked.accept, asked.encoding, asked.query)

		if got != want || got.body == "" {
			t.Errorf("%v: first %.200q, then %.200q", asked, want, got)
		}
		if n := own.asked.Load(); n != asked.encoded {
			t.Errorf("%v: %d answers encoded, want %d", asked, n, asked.encoded)
		}
	}
	own.asked.Store(0)
	first, second := ask(alone, "text/plain", "", ""), ask(alone, "text/plain", "", "")
	if n := own.asked.Load(); n != 2 || first != second || len(h.answers.of) != 1 {
		t.Errorf("unshared: %d answers encoded of 2; answers kept of %d snapshots, want the shared one",
			n, len(h.answers.of))
	}
}

func TestAnswersAreKeptNoLongerThanTheirSnapshot(t *testing.T) {
	var a answers
	shared := sharedSnapshot(t)
	encode := func(w io.Writer) error { return shared.Encode(t.Context(), w, "text/plain", nil, nil) }
	if err := a.write(io.Discard, shared, "key", encode); err != nil {
		t.Fatal(err)
	}
	runtime.GC()
	if n := a.snapshots(); n != 1 {
		t.Fatalf("answers kept of %d snapshots, want 1", n)
	}
	runtime.KeepAlive(shared)

	shared = nil

	for range 100 { // a cleanup runs some time after the collection that allows it
		if runtime.GC(); a.snapshots() == 0 {
			return
		}
		runtime.Gosched()
	}
	t.Errorf("answers kept of %d snapshots that are gone", a.snapshots())
}

// A body is kept for all who share a snapshot, unless it is too large: then each gets
// one of their own, and nothing is kept.
func TestLargeAnswersAreNotKept(t *testing.T) {
	shared := sharedSnapshot(t)
	piece := make([]byte, 1<<20)
	for pieces, want := range map[int]int{maxShared >> 20: 1, maxShared>>20 + 1: 3} {
		var a answers
		encoded := 0
		encode := func(w io.Writer) error {
			encoded++
			for range pieces {
				if _, err := w.Write(piece); err != nil {
					return err
				}
			}
			return nil
		}
		for range 2 {
			var got meteredWriter
			if err := a.write(&got, shared, "key", encode); err != nil || int(got) != pieces<<20 {
				t.Errorf("%d bytes of %d, %v", got, pieces<<20, err)
			}
		}
		if encoded != want {
			t.Errorf("%d MiB were encoded %d times, want %d", pieces, encoded, want)
		}
	}
	runtime.KeepAlive(shared)
}

type meteredWriter int

func (w *meteredWriter) Write(b []byte) (int, error) {
	*w += meteredWriter(len(b))
	return len(b), nil
}

func (a *answers) snapshots() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.of)
}

// sharedSnapshot returns what two scrapes share.
func sharedSnapshot(t *testing.T) (s *collector.Snapshot) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c := collector.New(func(ctx context.Context, r *omsclient.Report) iter.Seq2[omsclient.Project, error] {
			time.Sleep(time.Second) //nolint:forbidigo // synctest
			return twoTasks(ctx, r)
		}, collector.Options{})
		other := make(chan *collector.Snapshot, 1)
		go func() { other <- c.Scrape(t.Context()) }()
		s = c.Scrape(t.Context())
		if s != <-other {
			t.Fatal("two scrapes at once have not the same snapshot")
		}
	})
	return s
}

// What goes back to a pool may stay there: it must not grow with what it was used
// for, nor hold on to the answer that it was used for.
func TestAPooledCompressorKeepsNothing(t *testing.T) {
	const most = 1 << 20 // bytes that a larger answer leaves behind
	line := bytes.Repeat([]byte("oms_task_status 1\n"), 1000)
	for _, encoding := range []string{"gzip", "zstd"} {
		first, ok := compress(io.Discard, encoding).(*borrowed)
		if !ok {
			t.Fatalf("%s: not from a pool", encoding)
		}
		pooled := first.compressor
		use := func(lines int) (answer weak.Pointer[bytes.Buffer]) {
			to := new(bytes.Buffer)
			pooled.Reset(to)
			c := &borrowed{pooled, new(sync.Pool)}
			for range lines {
				if _, err := c.Write(line); err != nil {
					t.Fatal(err)
				}
			}
			if err := c.Close(); err != nil {
				t.Fatal(err)
			}
			return weak.Make(to)
		}

		use(500)
		before := heldMemory()
		answer := use(2000)
		after := heldMemory()

		if answer.Value() != nil {
			t.Errorf("%s: the answer is kept", encoding)
		}
		if after > before+most {
			t.Errorf("%s: %d bytes more are kept after a larger answer", encoding, after-before)
		}
		runtime.KeepAlive(pooled)
	}
}

func heldMemory() uint64 {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}

// negotiated is what has to be the same in two answers.
type negotiated struct{ head, body string }

func readNegotiated(t *testing.T, r *http.Response) negotiated {
	t.Helper()
	encoding := r.Header.Get("Content-Encoding")
	n := negotiated{head: fmt.Sprintf("%d %q %q %q",
		r.StatusCode, r.Header.Get("Content-Type"), encoding, r.Header.Get("Vary"))}
	var body io.Reader = r.Body
	var err error
	switch encoding {
	case "gzip":
		body, err = gzip.NewReader(r.Body)
	case "zstd":
		body, err = zstd.NewReader(r.Body, zstd.WithDecoderConcurrency(1))
	}
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(body)
	if err != nil {
		t.Fatal(err)
	}
	n.body = string(text)
	return n
}

func twoTasks(context.Context, *omsclient.Report) iter.Seq2[omsclient.Project, error] {
	return func(yield func(omsclient.Project, error) bool) {
		for _, id := range []string{"np_2", "np_1"} {
			p := omsclient.Project{ID: id, Name: "任务 \"" + id + "\"", Type: "SYNC", Status: "RUNNING"}
			p.Steps = []omsclient.Step{{Name: "INCR_SYNC", Status: "MONITORING", Progress: omsclient.Some(57.5)}}
			if !yield(p, nil) {
				return
			}
		}
	}
}
