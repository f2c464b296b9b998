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
	Labels []string // without those that scraping adds
	Group  string   // the name of one of [Groups], or empty if it cannot be switched off
	Help   string
}

func (d Doc) opts() prometheus.Opts { return prometheus.Opts{Name: d.Name, Help: d.Help} }

func (d Doc) counter() prometheus.Counter {
	return prometheus.NewCounter(prometheus.CounterOpts(d.opts()))
}

func (d Doc) counterVec() *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts(d.opts()), d.Labels)
}

func (d Doc) lateGauge() lateGauge {
	return lateGauge{prometheus.NewGaugeVec(prometheus.GaugeOpts(d.opts()), nil)}
}

// Docs describes every metric of OMS, in the order of the catalogue.
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
		unknownDoc, certificateDoc, credentialsDoc, reloadedDoc, reloadTimeDoc,
	}
}

// Markdown renders descriptions as a table of GitHub-flavored Markdown.
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
