package benchmark_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"

	"oms_exporter/collector"
	"oms_exporter/collector/benchmark"
	"oms_exporter/omsclient"
	"oms_exporter/omsclient/omssim"
)

// Pages answer requests for pages from memory: element 0 is page 1, and what is
// beyond the last is empty.
type pages [][]byte

func (p pages) RoundTrip(r *http.Request) (*http.Response, error) {
	var asked struct {
		PageNumber int `json:"pageNumber"`
	}
	if err := json.NewDecoder(r.Body).Decode(&asked); err != nil {
		return nil, err
	}
	body := []byte(`{"success":true,"totalCount":0,"data":[]}`)
	if asked.PageNumber <= len(p) {
		body = p[asked.PageNumber-1]
	}
	return &http.Response{
		StatusCode: http.StatusOK, Body: io.NopCloser(bytes.NewReader(body)), Request: r,
		Header: http.Header{"Content-Type": {"application/json;charset=UTF-8"}},
	}, nil
}

// pagesOf records all pages of a simulated fleet.
func pagesOf(b *testing.B, tasks int) pages {
	b.Helper()
	now := time.Now()
	oms, err := omssim.New(omssim.Options{Tasks: tasks, Seed: 1, Now: func() time.Time { return now }})
	if err != nil {
		b.Fatal(err)
	}
	var recorded pages
	for number := 1; (number-1)*omsclient.MaxPageSize < tasks; number++ {
		body := fmt.Sprintf(`{"pageNumber":%d,"pageSize":%d,"sortField":"gmtCreate","order":"asc"}`,
			number, omsclient.MaxPageSize)
		w := httptest.NewRecorder()
		oms.ServeHTTP(w, httptest.NewRequestWithContext(b.Context(), http.MethodPost,
			"/api/v2?Action=ListProjects", bytes.NewBufferString(body)))
		recorded = append(recorded, w.Body.Bytes())
	}
	return recorded
}

func clientOf(b *testing.B, p pages) *omsclient.Client {
	b.Helper()
	client, err := omsclient.New("http://oms.example", &http.Client{Transport: p}, omsclient.Options{})
	if err != nil {
		b.Fatal(err)
	}
	return client
}

func textbookOf(p pages) *benchmark.Textbook {
	return benchmark.NewTextbook("http://oms.example", &http.Client{Transport: p})
}

// BenchmarkDecode reads a full page, and the empty one after it.
func BenchmarkDecode(b *testing.B) {
	const tasks = omsclient.MaxPageSize
	p := pagesOf(b, tasks)
	size := int64(len(p[0]))
	b.Run("ours", func(b *testing.B) {
		client := clientOf(b, p)
		b.SetBytes(size)
		b.ReportAllocs()
		for b.Loop() {
			n := 0
			for _, err := range client.List(b.Context(), new(omsclient.Report)) {
				if err != nil {
					b.Fatal(err)
				}
				n++
			}
			if n != tasks {
				b.Fatal(n, "tasks")
			}
		}
	})
	b.Run("textbook", func(b *testing.B) {
		textbook := textbookOf(p)
		b.SetBytes(size)
		b.ReportAllocs()
		for b.Loop() {
			if l, err := textbook.List(); err != nil || len(l.Projects) != tasks {
				b.Fatal(len(l.Projects), "tasks", err)
			}
		}
	})
}

// BenchmarkEmit writes the text of 10,000 tasks that are in memory.
func BenchmarkEmit(b *testing.B) {
	p := pagesOf(b, 10_000)
	b.Run("ours", func(b *testing.B) {
		snapshot := collector.New(clientOf(b, p).List, byDefault).Scrape(b.Context())
		measureSeries(b, func(w io.Writer) error {
			return snapshot.Encode(b.Context(), w, plainText, nil, nil)
		})
	})
	b.Run("textbook", func(b *testing.B) {
		listing := textbookOf(p).Scrape()
		measureSeries(b, func(w io.Writer) error { return writeOrdinarily(w, listing) })
	})
}

func writeOrdinarily(w io.Writer, c prometheus.Collector) error {
	registry := prometheus.NewRegistry()
	registry.MustRegister(c)
	families, err := registry.Gather()
	if err != nil {
		return err
	}
	encoder := expfmt.NewEncoder(w, plainText)
	for _, family := range families {
		if err := encoder.Encode(family); err != nil {
			return err
		}
	}
	return nil
}

// BenchmarkHandler is a whole scrape of 10,000 tasks, but for the network:
// listing, text and compression, as the exporter compresses.
func BenchmarkHandler(b *testing.B) {
	p := pagesOf(b, 10_000)
	b.Run("ours", func(b *testing.B) {
		c := collector.New(clientOf(b, p).List, byDefault)
		zip, err := gzip.NewWriterLevel(io.Discard, gzip.BestSpeed)
		if err != nil {
			b.Fatal(err)
		}
		measureSeries(b, func(w io.Writer) error {
			zip.Reset(w)
			if err := c.Scrape(b.Context()).Encode(b.Context(), zip, plainText, nil, nil); err != nil {
				return err
			}
			return zip.Close()
		})
	})
	b.Run("textbook", func(b *testing.B) {
		handler := textbookOf(p).Handler()
		measureSeries(b, func(w io.Writer) error {
			r := httptest.NewRequestWithContext(b.Context(), http.MethodGet, "/metrics", nil)
			r.Header.Set("Accept-Encoding", "gzip")
			handler.ServeHTTP(&response{Writer: w, header: http.Header{}}, r)
			return nil
		})
	})
}

// A response is written to a writer.
type response struct {
	io.Writer
	header http.Header
}

func (r *response) Header() http.Header { return r.header }

func (r *response) WriteHeader(int) {}

// measureSeries measures what writes an exposition, and reports its allocations
// for each series too.
func measureSeries(b *testing.B, write func(io.Writer) error) {
	b.Helper()
	r, w := io.Pipe()
	go func() { w.CloseWithError(write(w)) }()
	all, err := readExposition(r)
	if err != nil || all.series == 0 {
		b.Fatal(all.series, "series", err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	b.ReportAllocs()
	for b.Loop() {
		if err := write(io.Discard); err != nil {
			b.Fatal(err)
		}
	}
	runtime.ReadMemStats(&after)
	b.ReportMetric(float64(after.Mallocs-before.Mallocs)/float64(b.N)/float64(all.series), "allocs/series")
	b.ReportMetric(float64(all.series), "series")
}
