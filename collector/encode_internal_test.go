package collector

import (
	"bufio"
	"bytes"
	"iter"
	"math"
	"slices"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"
)

// hostile is a catalogue with everything that has to be escaped or told apart.
var hostile = []family[int]{
	newTable(always, func(int) iter.Seq[string] {
		return slices.Values([]string{"b", "a", `\`, `"`, "a\n", "", "a\x00"})
	}, nobody[string](), []label[string]{
		{"value", func(s string) string { return s }},
		{"after", func(s string) string { return s + s }},
	},
		gauge("hostile_help", "A \"quoted\" \\ help\nof two lines.",
			func(s string) (float64, bool) { return float64(len(s)), s != "b" }),
		counter("hostile_total", `Says "total".`,
			func(s string) (float64, bool) { return 1e6 * float64(len(s)), true }),
		gauge("hostile_absent", "Has no samples.", func(string) (float64, bool) { return 0, false }),
	),
	newTable(always, func(int) iter.Seq[float64] {
		return slices.Values([]float64{
			0, math.Copysign(0, -1), 1, -1, 2, 99999, 1e5, 123456, 1e6, 1e20, 1e21, 0.1, -0.57, 1e-9,
			1735862400, 1735862400.5, math.MaxFloat64, math.NaN(), math.Inf(1), math.Inf(-1),
		})
	}, nobody[float64](), []label[float64]{
		{"bits", func(v float64) string { return string(rune('A' + math.Float64bits(v)%1000003%50000)) }},
	},
		gauge("hostile_value", "Any value.", func(v float64) (float64, bool) { return v, true }),
	),
}

// families makes a collector of a catalogue.
type families []family[int]

func (f families) Describe(ch chan<- *prometheus.Desc) {
	for _, t := range f {
		t.describe(ch)
	}
}

func (f families) Collect(ch chan<- prometheus.Metric) {
	for _, t := range f {
		t.collect(0, ch)
	}
}

func TestTablesAreWrittenAsTheRegistryAndExpfmtWriteThem(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(families(hostile))
	gathered, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range TextFormats {
		var want, got bytes.Buffer
		encoder := expfmt.NewEncoder(&want, expfmt.NewFormat(kind))
		for _, family := range gathered {
			if err := encoder.Encode(family); err != nil {
				t.Fatal(err)
			}
		}

		e := &encoderOf{&got, kind == expfmt.TypeOpenMetrics}
		e.write(hostile)

		if !bytes.Equal(got.Bytes(), want.Bytes()) {
			t.Errorf("got\n%s\nwant\n%s", &got, &want)
		}
	}
}

// encoderOf writes a catalogue that is not the one of a snapshot.
type encoderOf struct {
	to   *bytes.Buffer
	open bool
}

func (e *encoderOf) write(catalogue []family[int]) {
	var sections []section
	for _, t := range catalogue {
		sections = append(sections, t.sections(0)...)
	}
	slices.SortFunc(sections, func(a, b section) int { return bytes.Compare([]byte(a.name), []byte(b.name)) })
	inner := &encoder{w: bufio.NewWriter(e.to), open: e.open}
	for _, s := range sections {
		s.write(inner)
	}
	_ = inner.w.Flush()
}
