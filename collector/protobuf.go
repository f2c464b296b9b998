package collector

import (
	"math"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/encoding/protowire"
)

// This file writes delimited protobuf, which Prometheus asks for first when it scrapes
// native histograms: for each family its length, and a MetricFamily.

// The numbers of the fields of client_model's messages.
const (
	familyName, familyHelp, familyType, familyMetric protowire.Number = 1, 2, 3, 4
	metricLabel, metricGauge, metricCounter          protowire.Number = 1, 2, 3
	labelName, labelValue                            protowire.Number = 1, 2
	numberValue                                      protowire.Number = 1 // of a Gauge or a Counter
)

// appendLabelPair appends a label as a field of a Metric.
func appendLabelPair(b []byte, name, value string) []byte {
	b = protowire.AppendTag(b, metricLabel, protowire.BytesType)
	size := sizeOfString(labelName, name) + sizeOfString(labelValue, value)
	b = protowire.AppendVarint(b, uint64(size))
	b = appendString(b, labelName, name)
	return appendString(b, labelValue, value)
}

func appendString(b []byte, field protowire.Number, text string) []byte {
	return protowire.AppendString(protowire.AppendTag(b, field, protowire.BytesType), text)
}

func sizeOfString(field protowire.Number, text string) int {
	return protowire.SizeTag(field) + protowire.SizeBytes(len(text))
}

// writeProtobuf goes over the samples twice, since the length of a family stands before it.
func (e *encoder) writeProtobuf(h header, s samples) {
	length := 0
	for b, sample := range s.all(e) {
		length += protowire.SizeTag(familyMetric) + protowire.SizeBytes(sizeOfMetric(b, sample))
	}
	if length == 0 {
		return
	}
	head, value := protobufHeader(h)
	e.writeBytes(protowire.AppendVarint(nil, uint64(len(head)+length)))
	e.writeBytes(head)
	for b, sample := range s.all(e) {
		metric := protowire.AppendTag(e.w.AvailableBuffer(), familyMetric, protowire.BytesType)
		metric = protowire.AppendVarint(metric, uint64(sizeOfMetric(b, sample)))
		metric = append(metric, b.leading...)
		metric = append(metric, sample.remaining...)
		metric = protowire.AppendTag(metric, value, protowire.BytesType)
		metric = protowire.AppendVarint(metric, sizeOfValue)
		metric = protowire.AppendTag(metric, numberValue, protowire.Fixed64Type)
		e.writeBytes(protowire.AppendFixed64(metric, math.Float64bits(sample.value)))
	}
}

// protobufHeader returns the fields of a family before its metrics, and the field of a
// metric that has the value.
func protobufHeader(h header) (head []byte, value protowire.Number) {
	kind := dto.MetricType_GAUGE
	value = metricGauge
	if h.kind == prometheus.CounterValue {
		kind, value = dto.MetricType_COUNTER, metricCounter
	}
	head = appendString(nil, familyName, h.name)
	head = appendString(head, familyHelp, h.help)
	head = protowire.AppendTag(head, familyType, protowire.VarintType)
	return protowire.AppendVarint(head, uint64(kind.Number())), value
}

// sizeOfValue is the size of a Gauge, or a Counter: a tag and a number of 64 bits.
const sizeOfValue = 9

func sizeOfMetric(b *bucket, s sample) int {
	return len(b.leading) + len(s.remaining) + 2 + sizeOfValue
}
