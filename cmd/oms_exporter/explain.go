package main

import (
	_ "embed" // for the text
	"net/http"
	"text/tabwriter"
	"text/template"
	"time"

	"oms_exporter/collector"
	"oms_exporter/omsclient"
)

//go:embed explain.txt
var explainText string

var explained = template.Must(template.New("").Funcs(funcsOf(english)).Parse(explainText))

// An explanation is what a scrape was asked, what OMS answered, and what came of it.
type explanation struct {
	targetStatus
	Scrape *collector.Snapshot
	Reason string
	Budget time.Duration
	Took   float64
	Now    time.Time
}

// explain answers a scrape of a target with words in place of metrics.
func (h *handler) explain(w http.ResponseWriter, r *http.Request, t *target) {
	b := h.budgetOf(r, t)
	b.cutOff(w)
	start := time.Now()
	t.limits.admit(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		scrapeUntil(b.listing, t, r, func(s *collector.Snapshot) {
			w.Header().Set("Content-Type", "text/plain; charset=utf-8")
			table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
			_ = explained.Execute(table, &explanation{
				statusOf(t), s, string(omsclient.ReasonOf(s.Err())),
				b.listing.Sub(start).Round(time.Millisecond), time.Since(start).Seconds(), time.Now(),
			})
			_ = table.Flush() // only the client can be gone
		})
	})).ServeHTTP(w, r)
}
