package collector

import (
	"fmt"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

// A Doc describes a metric to people.
type Doc struct {
	Name   string
	Type   string   // gauge, counter or histogram
	Labels []string // besides those that a target adds
	Group  string   // one of Groups, or empty if it cannot be switched off
	Help   string
}

// counter makes the counter that is described.
func (d Doc) counter() *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: d.Name, Help: d.Help}, d.Labels)
}

// gauge makes the gauge that is described.
func (d Doc) gauge() *prometheus.GaugeVec {
	return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: d.Name, Help: d.Help}, d.Labels)
}

// Docs describes every metric of an OMS, in the order of the catalogue.
func Docs() []Doc {
	var docs []Doc
	for _, t := range catalogue {
		docs = append(docs, t.docs()...)
	}
	return docs
}

// ExporterDocs describes every metric of the exporter itself.
func ExporterDocs() []Doc {
	return []Doc{
		buildDoc, requestsDoc, retriesDoc, durationDoc, bytesDoc, coalescedDoc, inconsistentDoc,
		unknownDoc, certificateDoc, reloadedDoc, reloadTimeDoc,
	}
}

// Markdown renders descriptions as a table.
func Markdown(docs []Doc) string {
	var b strings.Builder
	b.WriteString("| metric | type | labels | meaning |\n|---|---|---|---|\n")
	for _, d := range docs {
		labels := make([]string, len(d.Labels))
		for i, l := range d.Labels {
			labels[i] = "`" + l + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", d.Name, d.Type, strings.Join(labels, ", "),
			strings.ReplaceAll(d.Help, "|", "\\|"))
	}
	return b.String()
}
