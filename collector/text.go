package collector

import (
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

// This file writes the text format and OpenMetrics.

// appendTextLabel appends a label with a comma before it. Instead of that of the first
// label of a sample, writeText writes a brace.
func appendTextLabel(b []byte, name, value string) []byte {
	b = append(b, ',')
	b = append(b, name...)
	b = append(b, '=', '"')
	b = appendEscaped(b, value)
	return append(b, '"')
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

func (e *encoder) writeText(h header, s samples) {
	var (
		bucket  *bucket
		opening []byte // what all lines of the bucket begin with
	)
	for b, sample := range s.all(e) {
		if bucket == nil {
			e.writeTextHeader(h)
		}
		if b != bucket {
			bucket, opening = b, append(append(opening[:0], h.name...), b.leading...)
		}
		line := append(e.w.AvailableBuffer(), opening...)
		line = append(line, sample.remaining...)
		if len(line) > len(h.name) {
			line[len(h.name)] = '{'
			line = append(line, '}')
		}
		line = e.appendValue(append(line, ' '), sample.value)
		e.writeBytes(append(line, '\n'))
	}
}

func (e *encoder) writeTextHeader(h header) {
	name, help := h.name, escaper.Replace(h.help)
	if e.openMetrics {
		help = strings.ReplaceAll(help, `"`, `\"`)
		if h.kind == prometheus.CounterValue {
			name = strings.TrimSuffix(name, "_total")
		}
	}
	text := "# HELP " + name + " " + help + "\n# TYPE " + name + " " + kindName(h.kind) + "\n"
	e.writeBytes([]byte(text))
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
