package collector

import (
	"bufio"
	"cmp"
	"context"
	"io"
	"iter"
	"slices"
	"strings"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
)

// This file writes tables. A large OMS has half a million samples, and a metric object
// for each of them would cost more than all the rest of a scrape. The output is, byte
// for byte, what a registry and expfmt make of the same tables: a registry orders the
// samples of a metric by their label values, taken in the order of the label names.
//
// What differs between the formats is in text.go and protobuf.go.

// CanEncode reports whether [Snapshot.Encode] writes a format: the text format,
// OpenMetrics, and delimited protobuf.
func CanEncode(format expfmt.Format) bool {
	switch format.FormatType() {
	case expfmt.TypeTextPlain, expfmt.TypeOpenMetrics, expfmt.TypeProtoDelim:
		return true
	}
	return false
}

// A family is a metric with its samples.
type family struct {
	name  string
	write func(*encoder)
}

// encode writes families in the order of their names. A nil wanted means all. It takes
// the families apart, so that what was read for one does not stay in memory for longer
// than it is needed.
func encode(
	ctx context.Context, w io.Writer, format expfmt.Format, families []family,
	wanted func(name string) bool,
) error {
	slices.SortFunc(families, func(a, b family) int { return strings.Compare(a.name, b.name) })
	e := newEncoder(ctx, w, format)
	for i, f := range families {
		families[i] = family{}
		if wanted == nil || wanted(f.name) {
			f.write(e)
		}
		if e.over() {
			return e.err
		}
	}
	return e.close()
}

// gathered is a family that a registry has gathered.
func gathered(f *dto.MetricFamily) family {
	return family{f.GetName(), func(e *encoder) { e.fail(e.others.Encode(f)) }}
}

// families returns the metrics of a table. All of them are read in one pass over
// the rows, when the first of them is written.
func (t *tableOf[S, T, R]) families(scraped S) []family {
	var (
		buckets []*bucket
		isRead  bool
	)
	families := make([]family, len(t.metrics))
	for i, m := range t.metrics {
		families[i] = family{m.name, func(e *encoder) {
			if !isRead {
				buckets, isRead = t.read(e, scraped), true
			}
			e.write(m.header, samples{buckets, i, len(t.metrics)})
		}}
	}
	return families
}

// samples are those of a metric of a table.
type samples struct {
	buckets []*bucket
	metric  int // its place among those of the table
	metrics int // how many the table has
}

// A sample is one of them, with what follows the leading labels.
type sample struct {
	remaining string
	value     float64
}

// all iterates over the samples in order, until the encoder is over.
func (s samples) all(e *encoder) iter.Seq2[*bucket, sample] {
	return func(yield func(*bucket, sample) bool) {
		for _, b := range s.buckets {
			for _, c := range b.chunks {
				if e.over() {
					return
				}
				for row, remaining := range c.remaining {
					i := row*s.metrics + s.metric
					if c.present[i] && !yield(b, sample{remaining, c.values[i]}) {
						return
					}
				}
			}
		}
	}
}

// chunkRows is how many rows a chunk has. After so many rows, or subjects, an encoder
// looks whether it is over.
const chunkRows = 256

// read reads all rows into buckets, and returns the buckets in order. Rows without
// any sample are left out.
func (t *tableOf[S, T, R]) read(e *encoder, scraped S) []*bucket {
	var (
		buckets  = newBuckets(e, t.leading)
		subjects = t.subjects.of(scraped)
		identity string
		scratch  []byte
		values   = make([]float64, len(t.metrics))
		present  = make([]bool, len(t.metrics))
	)
	add := func(row R) {
		if !t.readRow(row, values, present) {
			return
		}
		c := buckets.of(row).free()
		remaining := identity
		if len(t.trailing) > 0 {
			scratch = appendLabels(e, append(scratch[:0], identity...), t.trailing, row)
			remaining = string(scratch)
		}
		c.remaining = append(c.remaining, remaining)
		c.values = append(c.values, values...)
		c.present = append(c.present, present...)
	}
	if len(t.subjects.labels) > 0 && e.identities == nil {
		e.identities = make([]string, len(subjects))
		for i, s := range subjects {
			e.identities[i] = string(appendLabels(e, nil, t.subjects.labels, s))
		}
	}
	for i, s := range subjects {
		if i%chunkRows == chunkRows-1 && e.over() {
			return nil
		}
		if len(t.subjects.labels) > 0 {
			identity = e.identities[i]
		}
		t.rows(s, add)
	}
	return buckets.sorted()
}

// readRow reads the samples of a row, and reports whether it has any.
func (t *tableOf[S, T, R]) readRow(row R, values []float64, present []bool) (some bool) {
	for i := range t.metrics {
		v, ok := t.metrics[i].value(row)
		values[i], present[i] = v, ok
		some = some || ok
	}
	return some
}

// A bucket holds the rows whose leading labels have the same values. Subjects come
// in order, so the rows of a bucket do too, and sorting a table is sorting its
// buckets, which are few.
//
// Metrics are written one after another. Going back to the rows for each of them,
// wherever they are in memory, would take longer than writing; so a bucket keeps
// what is written, in one place.
type bucket struct {
	leadingValues []string
	leading       string // the leading labels, encoded
	chunks        []*chunk

	// next is the bucket of the row that came after the latest row of this one. Most
	// subjects have the same rows in the same order, so the row that comes after
	// another row of this bucket most likely belongs there too.
	next *bucket
}

// A chunk holds some rows of a bucket. One list of them all would be copied again and
// again while it grows, and take up to twice the memory.
type chunk struct {
	remaining []string  // for each row, the labels that follow the leading ones, encoded
	values    []float64 // for each row, those of all metrics; only some are present
	present   []bool    // whether the row has the value at the same index
}

// free returns the chunk of the next row. Most buckets are small, so the first chunk
// grows with them.
func (b *bucket) free() *chunk {
	switch n := len(b.chunks); {
	case n == 0:
		b.chunks = append(b.chunks, new(chunk))
	case len(b.chunks[n-1].remaining) == chunkRows:
		full := b.chunks[n-1]
		b.chunks = append(b.chunks, &chunk{
			remaining: make([]string, 0, chunkRows),
			values:    make([]float64, 0, len(full.values)),
			present:   make([]bool, 0, len(full.present)),
		})
	}
	return b.chunks[len(b.chunks)-1]
}

// buckets are the buckets of a table.
type buckets[R any] struct {
	encoder   *encoder
	leading   []label[R]
	all       []*bucket
	byLeading map[string]*bucket
	scratch   []byte
	previous  *bucket // of the row before
}

func newBuckets[R any](e *encoder, leading []label[R]) *buckets[R] {
	return &buckets[R]{
		encoder: e, leading: leading, byLeading: map[string]*bucket{}, previous: new(bucket),
	}
}

// of returns the bucket of the row that comes next.
func (bs *buckets[R]) of(row R) *bucket {
	b := bs.previous.next
	if b == nil || !bs.holds(b, row) {
		b = bs.find(row)
		bs.previous.next = b
	}
	bs.previous = b
	return b
}

// holds reports whether a row belongs to a bucket.
func (bs *buckets[R]) holds(b *bucket, row R) bool {
	for i, l := range bs.leading {
		if l.value(row) != b.leadingValues[i] {
			return false
		}
	}
	return true
}

// find finds the bucket of a row, or makes it.
func (bs *buckets[R]) find(row R) *bucket {
	bs.scratch = appendLabels(bs.encoder, bs.scratch[:0], bs.leading, row)
	b := bs.byLeading[string(bs.scratch)]
	if b == nil {
		b = &bucket{leading: string(bs.scratch), leadingValues: make([]string, len(bs.leading))}
		for i, l := range bs.leading {
			b.leadingValues[i] = l.value(row)
		}
		bs.byLeading[b.leading] = b
		bs.all = append(bs.all, b)
	}
	return b
}

// sorted returns all buckets, ordered by the values of their labels.
func (bs *buckets[R]) sorted() []*bucket {
	slices.SortFunc(bs.all, func(a, b *bucket) int {
		return slices.Compare(a.leadingValues, b.leadingValues)
	})
	return bs.all
}

// appendLabels appends labels, encoded.
func appendLabels[R any](e *encoder, b []byte, labels []label[R], row R) []byte {
	for _, l := range labels {
		b = e.appendLabel(b, l.name, l.value(row))
	}
	return b
}

// An encoder writes families in a format. Labels are encoded such that one can follow
// another.
type encoder struct {
	ctx         context.Context //nolint:containedctx // an encoder lasts for one call
	w           *bufio.Writer
	others      expfmt.Encoder // writes families that a registry has gathered
	protobuf    bool
	openMetrics bool
	identities  []string // the labels of all subjects, encoded
	err         error    // the first one
}

func newEncoder(ctx context.Context, w io.Writer, format expfmt.Format) *encoder {
	buffered := bufio.NewWriterSize(w, 64<<10)
	return &encoder{
		ctx: ctx, w: buffered, others: expfmt.NewEncoder(buffered, format),
		protobuf:    format.FormatType() == expfmt.TypeProtoDelim,
		openMetrics: format.FormatType() == expfmt.TypeOpenMetrics,
	}
}

// close writes what ends all families.
func (e *encoder) close() error {
	if c, ok := e.others.(expfmt.Closer); ok {
		e.fail(c.Close())
	}
	return cmp.Or(e.err, e.w.Flush())
}

// over reports whether there is no use in writing on: the context has ended, or nobody
// takes what is written.
func (e *encoder) over() bool {
	if e.err == nil && e.ctx.Err() != nil {
		e.err = context.Cause(e.ctx)
	}
	return e.err != nil
}

func (e *encoder) fail(err error) { e.err = cmp.Or(e.err, err) }

func (e *encoder) writeBytes(b []byte) {
	_, err := e.w.Write(b)
	e.fail(err)
}

func (e *encoder) appendLabel(b []byte, name, value string) []byte {
	if e.protobuf {
		return appendLabelPair(b, name, value)
	}
	return appendTextLabel(b, name, value)
}

// write writes a metric, if it has samples.
func (e *encoder) write(h header, s samples) {
	if e.protobuf {
		e.writeProtobuf(h, s)
	} else {
		e.writeText(h, s)
	}
}
