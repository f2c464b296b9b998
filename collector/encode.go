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

// sections returns the metrics of a table. They share the rows, which are put in
// order when the first of them is written.
func (t table[S, T]) sections(scraped S) []section {
	arranged := sync.OnceValue(func() []group[T] {
		return arrange(t.rows(scraped), t.before)
	})
	sections := make([]section, len(t.metrics))
	for i, m := range t.metrics {
		sections[i] = section{m.name, func(e *encoder) { t.write(e, m, arranged()) }}
	}
	return sections
}

// write writes the samples of a metric, below a header if there are any.
func (t table[S, T]) write(e *encoder, m metric[T], groups []group[T]) {
	headed := false
	for _, g := range groups {
		for _, row := range g.rows {
			v, ok := m.value(row)
			if !ok {
				continue
			}
			if !headed {
				e.header(m.name, m.help, m.kind)
				headed = true
			}
			b := append(e.w.AvailableBuffer(), m.name...)
			b = t.appendLabels(b, g.text, row)
			b = append(b, ' ')
			b = e.appendValue(b, v)
			e.write(append(b, '\n'))
		}
	}
}

// appendLabels appends all labels of a row, those before the ones of the subject
// being told already.
func (t table[S, T]) appendLabels(b []byte, before string, row T) []byte {
	if len(t.labels)+len(t.subject.labels) == 0 {
		return b
	}
	b = append(append(b, '{'), before...)
	if t.subject.text != nil {
		if before != "" {
			b = append(b, ',')
		}
		b = append(b, t.subject.text(row)...)
		if len(t.after) > 0 {
			b = appendLabels(append(b, ','), t.after, row)
		}
	}
	return append(b, '}')
}

// A group is rows that agree in some labels.
type group[T any] struct {
	values []string
	text   string // the labels as appendLabels writes them
	rows   []T
	next   int // the group that the row after one of this group was of
}

// has reports whether a row belongs to a group.
func (g *group[T]) has(row T, labels []label[T]) bool {
	for i, l := range labels {
		if l.value(row) != g.values[i] {
			return false
		}
	}
	return true
}

// arrange orders rows by the values of labels, and leaves those that agree in
// them in the order in which they come. There are few different values, so that
// hardly anything is compared, and they often come in the same sequence.
func arrange[T any](rows iter.Seq[T], labels []label[T]) []group[T] {
	var (
		groups []group[T]
		byText = map[string]int{}
		text   []byte
		last   int
	)
	for row := range rows {
		i := 0
		if len(groups) > 0 {
			i = groups[last].next
		}
		if len(groups) == 0 || !groups[i].has(row, labels) {
			text = appendLabels(text[:0], labels, row)
			var known bool
			if i, known = byText[string(text)]; !known {
				i = len(groups)
				g := group[T]{text: string(text)}
				for _, l := range labels {
					g.values = append(g.values, l.value(row))
				}
				byText[g.text] = i
				groups = append(groups, g)
			}
			groups[last].next = i
		}
		groups[i].rows = append(groups[i].rows, row)
		last = i
	}
	slices.SortFunc(groups, func(a, b group[T]) int { return slices.Compare(a.values, b.values) })
	return groups
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
