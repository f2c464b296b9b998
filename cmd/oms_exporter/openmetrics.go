package main

import (
	"net/http"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
)

// suited returns a gatherer of metrics that can be written in the format that a request
// asks for.
//
// OpenMetrics names a family of counters without _total. So there cannot be both a gauge
// go_memstats_alloc_bytes and a counter go_memstats_alloc_bytes_total, as client_golang
// has them, and strict parsers refuse the answer. In OpenMetrics the gauge is left out;
// go_memstats_heap_alloc_bytes is the same number.
func suited(r *http.Request, own prometheus.Gatherer) prometheus.Gatherer {
	if expfmt.Format(negotiate(r).Get("Content-Type")).FormatType() != expfmt.TypeOpenMetrics {
		return own
	}
	return prometheus.GathererFunc(func() ([]*dto.MetricFamily, error) {
		families, err := own.Gather()
		return withoutClashes(families), err
	})
}

// withoutClashes leaves out families that have the OpenMetrics name of a counter.
func withoutClashes(families []*dto.MetricFamily) []*dto.MetricFamily {
	counters := map[string]bool{}
	for _, f := range families {
		if f.GetType() == dto.MetricType_COUNTER {
			counters[strings.TrimSuffix(f.GetName(), "_total")] = true
		}
	}
	return slices.DeleteFunc(families, func(f *dto.MetricFamily) bool {
		return f.GetType() != dto.MetricType_COUNTER && counters[f.GetName()]
	})
}
