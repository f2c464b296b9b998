package collector

import (
	"cmp"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

// This file is the engine below the catalogue. It knows how to read samples from
// tables of metrics, and nothing of OMS.

// A table declares metrics that have the same rows, and so the same labels. S is
// what a scrape found.
type table[S any] interface {
	// without returns the table without the metrics of groups that are to be left out,
	// or nil if there are no others.
	without(omit func(group string) bool) table[S]
	describe(ch chan<- *prometheus.Desc)
	collect(scraped S, ch chan<- prometheus.Metric)
	families(scraped S) []family
	docs() []Doc
}

// A tableOf is a table whose rows have type R. Every row is about a subject of
// type T. The labels of a series are those of its subject and those of its row.
type tableOf[S, T, R any] struct {
	group    string // of the metrics that are in no other
	subjects subjects[S, T]
	rows     func(subject T, add func(R)) // calls add with each row of a subject
	labels   []label[R]
	metrics  []metric[R]

	// Set by newTable: the labels of a row whose names sort before and after those
	// of the subject.
	leading, trailing []label[R]
}

// Subjects are what the rows of several tables are about. All subjects with labels are
// the same, in all tables of a catalogue: so an encoder writes their labels once, and not
// for each of their rows.
type subjects[S, T any] struct {
	of     func(S) []T // ordered by their labels
	labels []label[T]
}

// A label is the name of a label and where its value comes from.
type label[R any] struct {
	name  string
	value func(R) string
}

// A metric is everything there is to know about a metric. Make one with [gauge]
// or [counter].
type metric[R any] struct {
	header
	group string                       // by default that of the table
	value func(R) (v float64, ok bool) // not ok: the row has no such sample
	desc  *prometheus.Desc             // set by newTable
}

// A header is what is said of a metric before its samples.
type header struct {
	name string
	help string
	kind prometheus.ValueType
}

func gauge[R any](name, help string, value func(R) (float64, bool)) metric[R] {
	return metric[R]{header: header{name, help, prometheus.GaugeValue}, value: value}
}

func counter[R any](name, help string, value func(R) (float64, bool)) metric[R] {
	return metric[R]{header: header{name, help, prometheus.CounterValue}, value: value}
}

// always is the group of metrics that cannot be switched off.
const always = ""

// newTable completes a table. The rows of a subject must differ in a label that
// sorts before the subject's own; if it has none, in any label.
func newTable[S, T, R any](t tableOf[S, T, R]) table[S] {
	byName := func(a, b label[R]) int { return strings.Compare(a.name, b.name) }
	for _, l := range slices.SortedFunc(slices.Values(t.labels), byName) {
		if len(t.subjects.labels) == 0 || l.name < t.subjects.labels[0].name {
			t.leading = append(t.leading, l)
		} else {
			t.trailing = append(t.trailing, l)
		}
	}
	for i := range t.metrics {
		m := &t.metrics[i]
		m.group = cmp.Or(m.group, t.group)
		m.desc = prometheus.NewDesc(m.name, m.help, t.labelNames(), nil)
	}
	return &t
}

func (t *tableOf[S, T, R]) without(omit func(group string) bool) table[S] {
	left := *t
	left.metrics = slices.DeleteFunc(slices.Clone(t.metrics), func(m metric[R]) bool {
		return m.group != always && omit(m.group)
	})
	if len(left.metrics) == 0 {
		return nil
	}
	return &left
}

func (t *tableOf[S, T, R]) labelNames() []string {
	var names []string
	for _, l := range t.subjects.labels {
		names = append(names, l.name)
	}
	for _, l := range t.labels {
		names = append(names, l.name)
	}
	return names
}

func (t *tableOf[S, T, R]) describe(ch chan<- *prometheus.Desc) {
	for _, m := range t.metrics {
		ch <- m.desc
	}
}

func (t *tableOf[S, T, R]) collect(scraped S, ch chan<- prometheus.Metric) {
	for _, subject := range t.subjects.of(scraped) {
		t.rows(subject, func(row R) {
			var values []string
			for _, l := range t.subjects.labels {
				values = append(values, l.value(subject))
			}
			for _, l := range t.labels {
				values = append(values, l.value(row))
			}
			for _, m := range t.metrics {
				if v, ok := m.value(row); ok {
					ch <- m.sample(v, values)
				}
			}
		})
	}
}

func (m *metric[R]) sample(v float64, labelValues []string) prometheus.Metric {
	sample, err := prometheus.NewConstMetric(m.desc, m.kind, v, labelValues...)
	if err != nil {
		return prometheus.NewInvalidMetric(m.desc, err)
	}
	return sample
}

func (t *tableOf[S, T, R]) docs() []Doc {
	docs := make([]Doc, len(t.metrics))
	for i, m := range t.metrics {
		docs[i] = Doc{
			Name: m.name, Type: kindName(m.kind), Labels: t.labelNames(), Group: m.group, Help: m.help,
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
