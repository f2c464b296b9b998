package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"weak"

	"github.com/go-kit/log/level"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	_ "github.com/prometheus/client_golang/prometheus/promhttp/zstd" // so that zstd is offered
	"github.com/prometheus/common/expfmt"

	"oms_exporter/collector"
)

// write answers with the metrics of a snapshot, if there is one, merged with the other
// families. After an error, part of the answer may already be sent.
func (h *handler) write(
	w *meter, r *http.Request, tasks *collector.Snapshot, others prometheus.Gatherers,
) error {
	if tasks == nil {
		return h.writeOwn(w, r, others)
	}
	agreed := negotiate(r)
	format := expfmt.Format(agreed.Get("Content-Type"))
	if !collector.CanEncode(format) {
		format = expfmt.NewFormat(expfmt.TypeTextPlain)
		agreed.Set("Content-Type", string(format))
	}
	ctx := r.Context()
	if tasks.Shared() {
		ctx = context.WithoutCancel(ctx) // others wait for what is written
	}
	encode := func(w io.Writer) error {
		families, err := others.Gather()
		if err != nil {
			return fmt.Errorf("gather the exporter's own metrics: %w", err)
		}
		body := compress(w, agreed.Get("Content-Encoding"))
		return errors.Join(tasks.Encode(ctx, body, format, families, wanted(r)), body.Close())
	}
	maps.Copy(w.Header(), agreed)
	// A scrape of chosen metrics shares nothing: there is no end of choices to keep.
	if tasks.Shared() && !r.URL.Query().Has("name[]") {
		key := agreed.Get("Content-Type") + " " + agreed.Get("Content-Encoding")
		return h.answers.write(w, tasks, key, encode)
	}
	return stream(w, encode)
}

// stream writes what encode writes, as it comes. A compressor makes many small writes,
// so they are buffered into a few large ones.
func stream(w io.Writer, encode func(io.Writer) error) error {
	buffered := bufio.NewWriterSize(w, 64<<10)
	return cmp.Or(encode(buffered), buffered.Flush())
}

// Answers are the bodies of answers that several scrapes get: those that share a
// snapshot and ask for the same. A body is encoded once, and kept for as long as any of
// the scrapes has the snapshot. The zero value is ready for use.
type answers struct {
	mu sync.Mutex

	// The keys are weak, so that the map does not keep a snapshot in memory. When a
	// snapshot is gone, no scrape can ask for its bodies anymore, and they go too.
	of map[weak.Pointer[collector.Snapshot]]bodies
}

// Bodies are those of one snapshot, by what was asked for.
type bodies map[string]func() ([]byte, error)

// write writes what encode writes for a snapshot, or has written for it under the same
// key.
func (a *answers) write(
	w io.Writer, s *collector.Snapshot, key string, encode func(io.Writer) error,
) error {
	body, err := a.body(s, key, encode)()
	if errors.Is(err, errNotShared) {
		return stream(w, encode)
	}
	if err == nil {
		_, err = w.Write(body)
	}
	runtime.KeepAlive(s)
	return err
}

// maxShared is the size of the largest body that is kept. It is larger than that of 20,000
// usual tasks, compressed.
const maxShared = 32 << 20

// maxBodies is how many bodies of a snapshot are kept: there are few formats and codings
// that scrapers ask for, but many that somebody could.
const maxBodies = 4

var errNotShared = errors.New("the body is not kept")

// A sharedBody refuses to grow beyond maxShared.
type sharedBody struct{ bytes.Buffer }

// Write implements [io.Writer].
func (b *sharedBody) Write(p []byte) (int, error) {
	if b.Len()+len(p) > maxShared {
		b.Buffer = bytes.Buffer{}
		return 0, errNotShared
	}
	return b.Buffer.Write(p)
}

func (a *answers) body(
	s *collector.Snapshot, key string, encode func(io.Writer) error,
) func() ([]byte, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	of := weak.Make(s)
	if a.of[of] == nil {
		if a.of == nil {
			a.of = map[weak.Pointer[collector.Snapshot]]bodies{}
		}
		a.of[of] = bodies{}
		runtime.AddCleanup(s, a.forget, of)
	}
	if a.of[of][key] == nil && len(a.of[of]) == maxBodies {
		return func() ([]byte, error) { return nil, errNotShared }
	}
	if a.of[of][key] == nil {
		a.of[of][key] = sync.OnceValues(func() ([]byte, error) {
			var b sharedBody
			err := encode(&b)
			return b.Bytes(), err
		})
	}
	return a.of[of][key]
}

func (a *answers) forget(s weak.Pointer[collector.Snapshot]) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.of, s)
}

// writeOwn answers with families of which there are few, as promhttp does.
func (h *handler) writeOwn(w *meter, r *http.Request, own prometheus.Gatherers) error {
	options := handlerOptions()
	options.ErrorLog = printer(func(v ...any) {
		if w.err == nil { // otherwise it is the scraper's doing
			level.Error(h.logger).Log("msg", "cannot write the metrics",
				"err", strings.TrimSpace(fmt.Sprintln(v...)))
		}
	})
	promhttp.HandlerFor(own, options).ServeHTTP(w, r)
	return w.err
}

// A printer is what promhttp wants as a log.
type printer func(v ...any)

// Println implements [promhttp.Logger].
func (p printer) Println(v ...any) { p(v...) }

// A meter counts the bytes of an answer, and keeps the error of the connection.
type meter struct {
	http.ResponseWriter
	bytes int
	err   error
}

// Write implements [http.ResponseWriter].
func (m *meter) Write(b []byte) (int, error) {
	n, err := m.ResponseWriter.Write(b)
	m.bytes += n
	m.err = cmp.Or(m.err, err)
	return n, err
}

func handlerOptions() promhttp.HandlerOpts { return promhttp.HandlerOpts{EnableOpenMetrics: true} }

// negotiate returns the headers of the answer to a request: its format and its
// compression. So that the rules are those of client_golang, promhttp answers the same
// request here, with no metrics at all.
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

// wanted reports which metrics a request asks for by name[]; by default all.
func wanted(r *http.Request) func(name string) bool {
	names := r.URL.Query()["name[]"]
	return func(name string) bool { return len(names) == 0 || slices.Contains(names, name) }
}

// Compressors are costly to make and cheap to reuse. The fastest level takes a fraction
// of the time of the default one, and compresses metrics nearly as well.
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

// A compressor is a compressing writer that can be reused.
type compressor interface {
	io.WriteCloser
	Reset(w io.Writer)
}

// compress returns a writer that compresses in an encoding that promhttp has agreed to.
// Close ends what is compressed, and must be called.
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
		return plain{w} // never: the pools hold nothing else
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
