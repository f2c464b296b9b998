package collector

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"iter"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
)

// This file writes tables as text without the detour over a metric object for
// each sample, of which a large OMS has half a million. What it writes is, byte
// for byte, what a registry and expfmt make of the same tables.

// TextFormats are what [Snapshot.Encode] writes.
var TextFormats = []expfmt.FormatType{expfmt.TypeTextPlain, expfmt.TypeOpenMetrics}

// Encode writes the metrics of a snapshot, and other families among them, in the
// text format or in OpenMetrics, ordered by name. Wanted says which families to
// write.
func (s *Snapshot) Encode(
	w io.Writer, format expfmt.Format, others []*dto.MetricFamily, wanted func(name string) bool,
) error {
	var sections []section
	for _, t := range s.tables {
		sections = append(sections, t.sections(s)...)
	}
	for _, family := range others {
		sections = append(sections, section{
			family.GetName(), func(e *encoder) { e.family(family) },
		})
	}
	slices.SortFunc(sections, func(a, b section) int { return strings.Compare(a.name, b.name) })
	e := &encoder{w: bufio.NewWriterSize(w, 64<<10)}
	switch format.FormatType() {
	case expfmt.TypeTextPlain:
	case expfmt.TypeOpenMetrics:
		e.open = true
	default:
		return fmt.Errorf("format %q is not written as text", format)
	}
	for _, section := range sections {
		if wanted(section.name) {
			section.write(e)
		}
	}
	if e.open {
		e.line("# EOF\n")
	}
	return cmp.Or(e.err, e.w.Flush())
}

// A section is a family that can be written.
type section struct {
	name  string
	write func(*encoder)
}

// sections returns the metrics of a table. They share the rows, which are read and
// put in order when the first of them is written.
func (t table[S, T]) sections(scraped S) []section {
	arranged := sync.OnceValue(func() []*group { return t.arrange(t.rows(scraped)) })
	sections := make([]section, len(t.metrics))
	for i, m := range t.metrics {
		sections[i] = section{m.name, func(e *encoder) { t.write(e, i, arranged()) }}
	}
	return sections
}

// write writes the samples of a metric, by its place in the table, below a header
// if there are any.
func (t table[S, T]) write(e *encoder, place int, groups []*group) {
	m := t.metrics[place]
	headed := false
	var begin []byte
	for _, g := range groups {
		begin = t.appendBegin(begin[:0], m.name, g)
		end := "} "
		if len(begin) == len(m.name) {
			end = " "
		}
		for i, rest := range g.rest {
			v := g.values[i*len(t.metrics)+place]
			if isAbsent(v) {
				continue
			}
			if !headed {
				e.header(m.name, m.help, m.kind)
				headed = true
			}
			b := append(e.w.AvailableBuffer(), begin...)
			b = append(b, rest...)
			b = append(b, end...)
			b = e.appendValue(b, v)
			e.write(append(b, '\n'))
		}
	}
}

// appendBegin appends what the lines of a group begin with.
func (t table[S, T]) appendBegin(b []byte, name string, g *group) []byte {
	b = append(b, name...)
	if len(t.labels)+len(t.subject.labels) == 0 {
		return b
	}
	b = append(append(b, '{'), g.text...)
	if g.text != "" && t.subject.text != nil {
		b = append(b, ',')
	}
	return b
}

// restOf returns the labels of a row that are not those of its group.
func (t table[S, T]) restOf(row T) string {
	if t.subject.text == nil {
		return ""
	}
	rest := t.subject.text(row)
	if len(t.after) > 0 {
		rest = string(appendLabels([]byte(rest+","), t.after, row))
	}
	return rest
}

// A group is rows that agree in the labels before those of the subject. Of a row
// it has what is written, in one place: metrics are written one after another, and
// to visit all rows for each, wherever they are, takes longer than to write.
type group struct {
	labels []string  // values of the labels in which the rows agree
	text   string    // the same as appendLabels writes them
	rest   []string  // the other labels of each row, as text
	values []float64 // of all metrics of the first row, then of the second, and so on
	next   int       // the group that the row after one of this group was of
}

// absent stands for a sample that a row does not have. Of the many NaNs, it is one
// that no computation makes.
var absent = math.Float64frombits(0x7ff8_6162_7365_6e74)

func isAbsent(v float64) bool { return math.Float64bits(v) == math.Float64bits(absent) }

// is reports whether a row belongs to a group.
func (t table[S, T]) is(g *group, row T) bool {
	for i, l := range t.before {
		if l.value(row) != g.labels[i] {
			return false
		}
	}
	return true
}

// arrange orders rows by the labels before those of the subject, and leaves those
// that agree in them in the order in which they come. There are few different
// values, so that hardly anything is compared, and they often come in the same
// sequence. Rows without a sample are left out.
func (t table[S, T]) arrange(rows iter.Seq[T]) []*group {
	var (
		groups []*group
		byText = map[string]int{}
		text   []byte
		last   int
		values = make([]float64, len(t.metrics))
	)
	for row := range rows {
		if !t.read(row, values) {
			continue
		}
		i := 0
		if len(groups) > 0 {
			i = groups[last].next
		}
		if len(groups) == 0 || !t.is(groups[i], row) {
			text = appendLabels(text[:0], t.before, row)
			var known bool
			if i, known = byText[string(text)]; !known {
				i = len(groups)
				g := &group{text: string(text)}
				for _, l := range t.before {
					g.labels = append(g.labels, l.value(row))
				}
				byText[g.text] = i
				groups = append(groups, g)
			}
			groups[last].next = i
		}
		groups[i].rest = append(groups[i].rest, t.restOf(row))
		groups[i].values = append(groups[i].values, values...)
		last = i
	}
	slices.SortFunc(groups, func(a, b *group) int { return slices.Compare(a.labels, b.labels) })
	return groups
}

// read reads the samples of a row, and reports whether it has any.
func (t table[S, T]) read(row T, values []float64) (some bool) {
	for i, m := range t.metrics {
		v, ok := m.value(row)
		if ok {
			some = true
		} else {
			v = absent
		}
		values[i] = v
	}
	return some
}

// appendLabels appends labels of a row, without braces.
func appendLabels[T any](b []byte, labels []label[T], row T) []byte {
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

// An encoder writes samples as text.
type encoder struct {
	w    *bufio.Writer
	open bool // OpenMetrics
	err  error
}

func (e *encoder) line(text string) {
	if _, err := e.w.WriteString(text); err != nil {
		e.err = err
	}
}

func (e *encoder) family(family *dto.MetricFamily) {
	var err error
	if e.open {
		_, err = expfmt.MetricFamilyToOpenMetrics(e.w, family)
	} else {
		_, err = expfmt.MetricFamilyToText(e.w, family)
	}
	e.err = cmp.Or(e.err, err)
}

func (e *encoder) write(b []byte) {
	if _, err := e.w.Write(b); err != nil {
		e.err = err
	}
}

func (e *encoder) header(name, help string, kind prometheus.ValueType) {
	help = escaper.Replace(help)
	if e.open {
		help = strings.ReplaceAll(help, `"`, `\"`)
		if kind == prometheus.CounterValue {
			name = strings.TrimSuffix(name, "_total")
		}
	}
	e.line("# HELP " + name + " " + help + "\n# TYPE " + name + " " + kindName(kind) + "\n")
}

func (e *encoder) appendValue(b []byte, v float64) []byte {
	begin := len(b)
	switch {
	case math.IsInf(v, +1):
		return append(b, "+Inf"...)
	case v == math.Trunc(v) && math.Abs(v) < 100_000: // most are counts of few
		b = strconv.AppendInt(b, int64(v), 10)
	default:
		b = strconv.AppendFloat(b, v, 'g', -1, 64)
	}
	if e.open && !math.IsNaN(v) && !math.IsInf(v, 0) && !slices.ContainsFunc(b[begin:], isPointOrE) {
		b = append(b, ".0"...)
	}
	return b
}

func isPointOrE(c byte) bool { return c == '.' || c == 'e' }
