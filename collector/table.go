package collector

import (
	"iter"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

// A table declares metrics that share labels and rows. S is what is scraped, T
// is a row of it: what label values and samples are read from.
type table[S, T any] struct {
	group   string
	rows    func(S) iter.Seq[T]
	subject subject[T]
	labels  []label[T] // besides those of the subject
	metrics []metric[T]

	// labels by name: those before the labels of the subject, and those after.
	before, after []label[T]
}

// A subject is what the rows of several tables are about, and has labels in all
// of them. Rows come ordered by these labels.
type subject[T any] struct {
	labels []label[T]
	text   func(T) string // the labels as appendLabels writes them
}

// nobody is the subject of rows that are about nothing in common. They come in
// any order.
func nobody[T any]() subject[T] { return subject[T]{} }

// A label is the name of a label and where its value comes from.
type label[T any] struct {
	name  string
	value func(T) string
}

// A metric is everything that is known about a metric. Make one with gauge or
// counter.
type metric[T any] struct {
	name  string
	help  string
	kind  prometheus.ValueType
	value func(T) (v float64, ok bool) // not ok: the row has no such sample
	desc  *prometheus.Desc
}

func gauge[T any](name, help string, value func(T) (float64, bool)) metric[T] {
	return metric[T]{name: name, help: help, kind: prometheus.GaugeValue, value: value}
}

func counter[T any](name, help string, value func(T) (float64, bool)) metric[T] {
	return metric[T]{name: name, help: help, kind: prometheus.CounterValue, value: value}
}

// newTable makes a table. No two rows of a scrape may have the same labels.
func newTable[S, T any](
	group string, rows func(S) iter.Seq[T], about subject[T], labels []label[T],
	metrics ...metric[T],
) family[S] {
	t := table[S, T]{group: group, rows: rows, subject: about, labels: labels, metrics: metrics}
	for _, l := range slices.SortedFunc(slices.Values(labels), byName) {
		if len(about.labels) == 0 || l.name < about.labels[0].name {
			t.before = append(t.before, l)
		} else {
			t.after = append(t.after, l)
		}
	}
	for i := range t.metrics {
		m := &t.metrics[i]
		m.desc = prometheus.NewDesc(m.name, m.help, t.labelNames(), nil)
	}
	return t
}

func byName[T any](a, b label[T]) int { return strings.Compare(a.name, b.name) }

// A family is a table, whatever its rows are.
type family[S any] interface {
	// in reports whether the table belongs to a group that is wanted.
	in(wanted func(group string) bool) bool
	describe(ch chan<- *prometheus.Desc)
	collect(scraped S, ch chan<- prometheus.Metric)
	sections(scraped S) []section
	docs() []Doc
}

func (t table[S, T]) in(wanted func(string) bool) bool { return wanted(t.group) }

func (t table[S, T]) labelNames() []string {
	var names []string
	for _, l := range slices.Concat(t.subject.labels, t.labels) {
		names = append(names, l.name)
	}
	return names
}

func (t table[S, T]) describe(ch chan<- *prometheus.Desc) {
	for _, m := range t.metrics {
		ch <- m.desc
	}
}

func (t table[S, T]) collect(scraped S, ch chan<- prometheus.Metric) {
	labels := slices.Concat(t.subject.labels, t.labels)
	for row := range t.rows(scraped) {
		values := make([]string, len(labels))
		for i, l := range labels {
			values[i] = l.value(row)
		}
		for _, m := range t.metrics {
			v, ok := m.value(row)
			if !ok {
				continue
			}
			sample, err := prometheus.NewConstMetric(m.desc, m.kind, v, values...)
			if err != nil {
				sample = prometheus.NewInvalidMetric(m.desc, err)
			}
			ch <- sample
		}
	}
}

func (t table[S, T]) docs() []Doc {
	docs := make([]Doc, len(t.metrics))
	for i, m := range t.metrics {
		docs[i] = Doc{
			Name: m.name, Type: kindName(m.kind), Labels: t.labelNames(), Group: t.group, Help: m.help,
		}
	}
	return docs
}

func kindName(kind prometheus.ValueType) string {
	if kind == prometheus.CounterValue {
		return "counter"
	}
	return "gauge"
}
