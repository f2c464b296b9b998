package collector_test

import (
	"context"
	"io"
	"iter"
	"net/http"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"

	"oms_exporter/collector"
	"oms_exporter/omsclient"
	"oms_exporter/omsclient/omssim"
)

// snapshotOf scrapes a simulated fleet once.
func snapshotOf(b *testing.B, tasks int) *collector.Snapshot {
	b.Helper()
	oms, err := omssim.New(omssim.Options{Tasks: tasks, Seed: 1})
	if err != nil {
		b.Fatal(err)
	}
	client, err := omsclient.New("http://oms.example", &http.Client{Transport: direct{oms}},
		omsclient.Options{})
	if err != nil {
		b.Fatal(err)
	}
	var projects []omsclient.Project
	for p, err := range client.List(b.Context(), new(omsclient.Report)) {
		if err != nil {
			b.Fatal(err)
		}
		projects = append(projects, p)
	}
	list := func(context.Context, *omsclient.Report) iter.Seq2[omsclient.Project, error] {
		return func(yield func(omsclient.Project, error) bool) {
			for _, p := range projects {
				if !yield(p, nil) {
					return
				}
			}
		}
	}
	return collector.New(list, collector.Options{}).Scrape(b.Context())
}

// BenchmarkEmit10k writes the metrics of 10,000 tasks: as text, as protobuf, and, as the
// baseline, as text through a registry and expfmt.
func BenchmarkEmit10k(b *testing.B) {
	s := snapshotOf(b, 10_000)
	for name, format := range map[string]expfmt.Format{"text": plainText, "protobuf": protobuf} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := s.Encode(b.Context(), io.Discard, format, nil, nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("registry", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			registry := prometheus.NewRegistry()
			registry.MustRegister(s)
			families, err := registry.Gather()
			if err != nil {
				b.Fatal(err)
			}
			encoder := expfmt.NewEncoder(io.Discard, plainText)
			for _, family := range families {
				if err := encoder.Encode(family); err != nil {
					b.Fatal(err)
				}
			}
		}
	})
}
