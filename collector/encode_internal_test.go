package collector

import (
	"bytes"
	"math"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"
)

// hostile is a catalogue with everything that has to be escaped or told apart. What
// it scrapes is ignored.
var hostile = []table[int]{
	newTable(tableOf[int, int, string]{
		subjects: subjects[int, int]{of: func(int) []int { return []int{0} }},
		rows: func(_ int, add func(string)) {
			for _, s := range []string{"b", "a", `\`, `"`, "a\n", "", "a\x00"} {
				add(s)
			}
		},
		labels: []label[string]{
			{"value", func(s string) string { return s }},
			{"after", func(s string) string { return s + s }},
		},
		metrics: []metric[string]{
			gauge("hostile_help", "A \"quoted\" \\ help\nof two lines.",
				func(s string) (float64, bool) { return float64(len(s)), s != "b" }),
			counter("hostile_total", `Says "total".`,
				func(s string) (float64, bool) { return 1e6 * float64(len(s)), true }),
			gauge("hostile_absent", "Has no samples.", func(string) (float64, bool) { return 0, false }),
		},
	}),
	newTable(tableOf[int, int, float64]{
		subjects: subjects[int, int]{of: func(int) []int { return []int{0} }},
		rows: func(_ int, add func(float64)) {
			for _, v := range []float64{
				0, math.Copysign(0, -1), 1, -1, 2, 99999, 1e5, 123456, 1e6, 1e20, 1e21, 0.1, -0.57, 1e-9,
				1735862400, 1735862400.5, math.MaxFloat64, math.NaN(), math.Inf(1), math.Inf(-1),
			} {
				add(v)
			}
		},
		labels: []label[float64]{
			{"bits", func(v float64) string { return string(rune('A' + math.Float64bits(v)%1000003%50000)) }},
		},
		metrics: []metric[float64]{
			gauge("hostile_value", "Any value.", func(v float64) (float64, bool) { return v, true }),
		},
	}),
	// Subjects have different rows, in different orders; labels stand on both sides of
	// theirs; a sample that is NaN stands beside one that is absent.
	newTable(tableOf[int, string, rune]{
		subjects: subjects[int, string]{
			of:     func(int) []string { return []string{"", "ab", "bca", "c", "cb"} },
			labels: namedSelf("middle"),
		},
		rows: func(subject string, add func(rune)) {
			for _, r := range subject {
				add(r)
			}
		},
		labels: []label[rune]{
			{"z_last", func(r rune) string { return strings.Repeat("z", int(r-'a')) }},
			{"a_first", func(r rune) string { return string('a' + 'c' - r) }},
		},
		metrics: []metric[rune]{
			gauge("hostile_a", "Not for every row.", func(r rune) (float64, bool) { return 1, r == 'a' }),
			gauge("hostile_b", "NaN.", func(r rune) (float64, bool) { return math.NaN(), r != 'a' }),
		},
	}),
}

func namedSelf(name string) []label[string] {
	return []label[string]{{name, func(s string) string { return s }}}
}

// tables make a collector of a catalogue.
type tables []table[int]

func (ts tables) Describe(ch chan<- *prometheus.Desc) {
	for _, t := range ts {
		t.describe(ch)
	}
}

func (ts tables) Collect(ch chan<- prometheus.Metric) {
	for _, t := range ts {
		t.collect(0, ch)
	}
}

func TestTablesAreWrittenAsTheRegistryAndExpfmtWriteThem(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(tables(hostile))
	gathered, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range []expfmt.FormatType{
		expfmt.TypeTextPlain, expfmt.TypeOpenMetrics, expfmt.TypeProtoDelim,
	} {
		format := expfmt.NewFormat(kind)
		var want, got bytes.Buffer
		encoder := expfmt.NewEncoder(&want, format)
		for _, family := range gathered {
			if err := encoder.Encode(family); err != nil {
				t.Fatal(err)
			}
		}
		if closer, ok := encoder.(expfmt.Closer); ok {
			if err := closer.Close(); err != nil {
				t.Fatal(err)
			}
		}

		var all []family
		for _, t := range hostile {
			all = append(all, t.families(0)...)
		}
		err := encode(t.Context(), &got, format, all, nil)

		if err != nil || !bytes.Equal(got.Bytes(), want.Bytes()) {
			t.Errorf("%v, got\n%s\nwant\n%s", err, &got, &want)
		}
	}
}
