package main

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	_ "github.com/prometheus/client_golang/prometheus/promhttp/zstd" // so that zstd is offered
	"github.com/prometheus/common/expfmt"

	"oms_exporter/collector"
)

// write answers with the tasks of a snapshot, if there is one, and other metrics
// among them.
func (h *handler) write(
	w http.ResponseWriter, r *http.Request, tasks *collector.Snapshot, others prometheus.Gatherers,
) {
	agreed := negotiate(r)
	format := expfmt.Format(agreed.Get("Content-Type"))
	if tasks == nil || !collector.CanEncode(format) {
		h.writeOrdinarily(w, r, tasks, others)
		return
	}
	encode := func(w io.Writer) error {
		families, err := others.Gather()
		if err != nil {
			return fmt.Errorf("gather the exporter's own metrics: %w", err)
		}
		body := compress(w, agreed.Get("Content-Encoding"))
		return errors.Join(tasks.Encode(body, format, families, wanted(r)), body.Close())
	}
	maps.Copy(w.Header(), agreed)
	if err := answer(w, tasks, fmt.Sprintf("%q", []string{
		agreed.Get("Content-Type"), agreed.Get("Content-Encoding"), r.URL.Query().Encode(),
	}), encode); err != nil {
		// It may have begun, so that it can only end too early.
		h.errors.Error("cannot write the metrics", "err", err)
		panic(http.ErrAbortHandler)
	}
}

// answer writes what encode writes. Scrapes that share the tasks and ask for the
// same share that too; a single one has it as it comes.
func answer(
	w io.Writer, tasks *collector.Snapshot, key string, encode func(io.Writer) error,
) error {
	buffered := bufio.NewWriterSize(w, 64<<10)
	err := cmp.Or(encode(buffered), buffered.Flush())
	return err
}

// writeOrdinarily answers through client_golang.
func (h *handler) writeOrdinarily(
	w http.ResponseWriter, r *http.Request, tasks *collector.Snapshot, others prometheus.Gatherers,
) {
	if tasks != nil {
		registry := prometheus.NewRegistry()
		registry.MustRegister(tasks)
		others = append(prometheus.Gatherers{registry}, others...)
	}
	options := handlerOptions()
	options.ErrorLog = slog.NewLogLogger(h.errors.Handler(), slog.LevelError)
	promhttp.HandlerFor(others, options).ServeHTTP(w, r)
}

func handlerOptions() promhttp.HandlerOpts { return promhttp.HandlerOpts{EnableOpenMetrics: true} }

// negotiate returns the headers of an answer: which format and compression it
// has to have. promhttp knows; it is asked to answer the same request with no
// metrics at all.
func negotiate(r *http.Request) http.Header {
	nothing := headersOnly{}
	promhttp.HandlerFor(prometheus.Gatherers{}, handlerOptions()).ServeHTTP(nothing, r)
	return http.Header(nothing)
}

// headersOnly is a response whose body nobody reads.
type headersOnly http.Header

// Header implements [http.ResponseWriter].
func (h headersOnly) Header() http.Header { return http.Header(h) }

// Write implements [http.ResponseWriter].
func (headersOnly) Write(b []byte) (int, error) { return len(b), nil }

// WriteHeader implements [http.ResponseWriter].
func (headersOnly) WriteHeader(int) {}

// wanted says which families a request asks for; by default all.
func wanted(r *http.Request) func(name string) bool {
	names := r.URL.Query()["name[]"]
	return func(name string) bool { return len(names) == 0 || slices.Contains(names, name) }
}

// Compressors are costly to make and cheap to use again. The fastest level costs
// a fraction of the usual one and compresses metrics nearly as well.
var (
	gzips = sync.Pool{New: func() any {
		w, _ := gzip.NewWriterLevel(io.Discard, gzip.BestSpeed)
		return w
	}}
	zstds = sync.Pool{New: func() any {
		w, _ := zstd.NewWriter(io.Discard, zstd.WithEncoderLevel(zstd.SpeedFastest),
			zstd.WithEncoderConcurrency(1))
		return w
	}}
)

// A compressor is a compressing writer that can be used again.
type compressor interface {
	io.WriteCloser
	Reset(w io.Writer)
}

// compress returns a writer of an encoding that promhttp has agreed to. Its end
// must be written by Close.
func compress(w io.Writer, encoding string) io.WriteCloser {
	switch encoding {
	case "gzip":
		return borrow(&gzips, w)
	case "zstd":
		return borrow(&zstds, w)
	}
	return plain{w}
}

func borrow(pool *sync.Pool, w io.Writer) io.WriteCloser {
	c, ok := pool.Get().(compressor)
	if !ok {
		return plain{w} // the pools hold nothing else
	}
	c.Reset(w)
	return &borrowed{c, pool}
}

// A borrowed compressor goes back to its pool when it is closed.
type borrowed struct {
	compressor
	pool *sync.Pool
}

// Close writes the end of what is compressed.
func (b *borrowed) Close() error {
	err := b.compressor.Close()
	b.Reset(io.Discard)
	b.pool.Put(b.compressor)
	return err
}

// plain does not compress.
type plain struct{ io.Writer }

// Close does nothing.
func (plain) Close() error { return nil }
