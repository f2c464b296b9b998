package collector

import (
	"bufio"
	"cmp"
	"context"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
)

// This file writes tables as text. A large OMS has half a million samples, and a
// metric object for each of them would cost more than all the rest of a scrape. The
// output is, byte for byte, what a registry and expfmt make of the same tables: a
// registry orders the samples of a metric by their label values, taken in the order
// of the label names.

// CanEncode reports whether [Snapshot.Encode] writes a format: the text format and
// OpenMetrics.
func CanEncode(format expfmt.Format) bool {
	switch format.FormatType() {
	case expfmt.TypeTextPlain, expfmt.TypeOpenMetrics:
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
	e := &encoder{
		ctx:         ctx,
		w:           bufio.NewWriterSize(w, 64<<10),
		openMetrics: format.FormatType() == expfmt.TypeOpenMetrics,
	}
	for i, f := range families {
		families[i] = family{}
		if wanted == nil || wanted(f.name) {
			f.write(e)
		}
		if e.over() {
			return e.err
		}
	}
	if e.openMetrics {
		e.writeString("# EOF\n")
	}
	return cmp.Or(e.err, e.w.Flush())
}

// gathered is a family that a registry has gathered.
func gathered(f *dto.MetricFamily) family {
	return family{f.GetName(), func(e *encoder) { e.gathered(f) }}
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
			t.write(e, i, buckets)
		}}
	}
	return families
}

// write writes the samples of the i-th metric, below a header if there are any.
func (t *tableOf[S, T, R]) write(e *encoder, i int, buckets []*bucket) {
	m := t.metrics[i]
	headed := false
	var opening []byte
	for _, b := range buckets {
		if e.over() {
			return
		}
		opening = t.appendOpening(opening[:0], m.name, b.leading)
		closing := "} "
		if len(opening) == len(m.name) {
			closing = " "
		}
		for row := range b.remaining {
			if row%checkRows == checkRows-1 && e.over() {
				return
			}
			sample := row*len(t.metrics) + i
			if !b.present[sample] {
				continue
			}
			if !headed {
				e.header(m.name, m.help, m.kind)
				headed = true
			}
			line := append(e.w.AvailableBuffer(), opening...)
			line = append(line, b.remaining[row]...)
			line = append(line, closing...)
			line = e.appendValue(line, b.values[sample])
			e.write(append(line, '\n'))
		}
	}
}

// appendOpening appends what all lines of a bucket begin with.
func (t *tableOf[S, T, R]) appendOpening(line []byte, name, leading string) []byte {
	line = append(line, name...)
	if len(t.labels)+len(t.subjects.labels) == 0 {
		return line
	}
	line = append(append(line, '{'), leading...)
	if leading != "" && len(t.subjects.labels) > 0 {
		line = append(line, ',')
	}
	return line
}

// checkRows is after how many rows, or subjects, writing looks whether it is over.
const checkRows = 256

// read reads all rows into buckets, and returns the buckets in order. Rows without
// any sample are left out.
func (t *tableOf[S, T, R]) read(e *encoder, scraped S) []*bucket {
	var (
		buckets = newBuckets(t.leading)
		values  = make([]float64, len(t.metrics))
		present = make([]bool, len(t.metrics))
		subject T
	)
	add := func(row R) {
		if !t.readRow(row, values, present) {
			return
		}
		b := buckets.of(row)
		b.remaining = append(b.remaining, t.remaining(subject, row))
		b.values = append(b.values, values...)
		b.present = append(b.present, present...)
	}
	for i, s := range t.subjects.of(scraped) {
		if i%checkRows == checkRows-1 && e.over() {
			return nil
		}
		subject = s
		t.rows(subject, add)
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

// remaining returns the labels of a row from those of its subject on.
func (t *tableOf[S, T, R]) remaining(subject T, row R) string {
	if len(t.subjects.labels) == 0 {
		return "" // all labels are leading ones
	}
	rendered := t.subjects.rendered(subject)
	if len(t.trailing) == 0 {
		return rendered
	}
	return string(appendLabels([]byte(rendered+","), t.trailing, row))
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
	leading       string    // the leading labels as appendLabels writes them
	remaining     []string  // for each row, the labels that follow
	values        []float64 // for each row, those of all metrics; only some are present
	present       []bool    // whether the row has the value at the same index

	// next is the bucket of the row that came after the latest row of this one. Most
	// subjects have the same rows in the same order, so the row that comes after
	// another row of this bucket most likely belongs there too.
	next *bucket
}

// buckets are the buckets of a table.
type buckets[R any] struct {
	leading   []label[R]
	all       []*bucket
	byLeading map[string]*bucket
	scratch   []byte
	previous  *bucket // of the row before
}

func newBuckets[R any](leading []label[R]) *buckets[R] {
	return &buckets[R]{leading: leading, byLeading: map[string]*bucket{}, previous: new(bucket)}
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
	bs.scratch = appendLabels(bs.scratch[:0], bs.leading, row)
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

// appendLabels appends labels and their values, without braces.
func appendLabels[R any](b []byte, labels []label[R], row R) []byte {
	for i, l := range labels {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, l.name...)
		b = append(b, '=', '"')
		b = appendEscaped(b, l.value(row))
		b = append(b, '"')
	}
	return b
}

func appendEscaped(b []byte, value string) []byte {
	for i := range len(value) {
		if c := value[i]; c == '\\' || c == '\n' || c == '"' {
			return append(b, quotedEscaper.Replace(value)...)
		}
	}
	return append(b, value...)
}

var (
	escaper       = strings.NewReplacer("\\", `\\`, "\n", `\n`)
	quotedEscaper = strings.NewReplacer("\\", `\\`, "\n", `\n`, "\"", `\"`)
)

// An encoder writes families as text.
type encoder struct {
	ctx         context.Context //nolint:containedctx // an encoder lasts for one call
	w           *bufio.Writer
	openMetrics bool
	err         error // the first one
}

// over reports whether there is no use in writing on: the context has ended, or nobody
// takes what is written.
func (e *encoder) over() bool {
	if e.err == nil && e.ctx.Err() != nil {
		e.err = context.Cause(e.ctx)
	}
	return e.err != nil
}

func (e *encoder) gathered(f *dto.MetricFamily) {
	var err error
	if e.openMetrics {
		_, err = expfmt.MetricFamilyToOpenMetrics(e.w, f)
	} else {
		_, err = expfmt.MetricFamilyToText(e.w, f)
	}
	e.err = cmp.Or(e.err, err)
}

func (e *encoder) write(b []byte) {
	_, err := e.w.Write(b)
	e.err = cmp.Or(e.err, err)
}

func (e *encoder) writeString(s string) {
	_, err := e.w.WriteString(s)
	e.err = cmp.Or(e.err, err)
}

func (e *encoder) header(name, help string, kind prometheus.ValueType) {
	help = escaper.Replace(help)
	if e.openMetrics {
		help = strings.ReplaceAll(help, `"`, `\"`)
		if kind == prometheus.CounterValue {
			name = strings.TrimSuffix(name, "_total")
		}
	}
	e.writeString("# HELP " + name + " " + help + "\n# TYPE " + name + " " + kindName(kind) + "\n")
}

// appendValue appends a value as expfmt writes it: in OpenMetrics, a whole number
// ends in ".0".
func (e *encoder) appendValue(b []byte, v float64) []byte {
	begin := len(b)
	switch {
	case math.IsInf(v, +1):
		return append(b, "+Inf"...)
	case v == math.Trunc(v) && math.Abs(v) < 100_000: // most are small counts; this is faster
		b = strconv.AppendInt(b, int64(v), 10)
	default:
		b = strconv.AppendFloat(b, v, 'g', -1, 64)
	}
	if e.openMetrics && !math.IsNaN(v) && !math.IsInf(v, 0) &&
		!slices.ContainsFunc(b[begin:], isPointOrE) {
		b = append(b, ".0"...)
	}
	return b
}

func isPointOrE(c byte) bool { return c == '.' || c == 'e' }
