package main

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"oms_exporter/collector"
	"oms_exporter/omsclient"
)

// explain answers a scrape of a target with words in place of metrics: what was asked, what OMS
// answered, and what came of it.
func (h *handler) explain(w http.ResponseWriter, r *http.Request, t *target) {
	b := h.budgetOf(r, t)
	b.cutOff(w)
	start := time.Now()
	t.limits.admit(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		scrapeUntil(b.listing, t, r, func(s *collector.Snapshot) {
			w.Header().Set("Content-Type", "text/plain; charset=utf-8")
			fmt.Fprintf(w, "%s: a scrape of %s, with %s for the listing\n\n", displayName(t.name),
				t.config.URL, b.listing.Sub(start).Round(time.Millisecond))
			writeOutcome(w, t, s)
			fmt.Fprintf(w, "answered after %s", english.duration(time.Since(start).Seconds()))
			if s.Shared() {
				fmt.Fprint(w, ", sharing the listing with other scrapes")
			}
			fmt.Fprintln(w)
			if fetches := t.collector.Fetches(); len(fetches) > 0 {
				writeFetch(w, &fetches[0])
			}
			fmt.Fprintln(w, "\nWithout debug=true you get the metrics. /status shows earlier listings.")
		})
	})).ServeHTTP(w, r)
}

// writeOutcome says what a scrape was good for.
func writeOutcome(w io.Writer, t *target, s *collector.Snapshot) {
	if err := s.Err(); err != nil {
		reason := string(omsclient.ReasonOf(err))
		fmt.Fprintf(w, "result: oms_up 0 and no tasks, reason %q: %s\n  %s\n", reason,
			english.value("reason", reason), printable(err.Error()))
		if refusal, refused := t.client.Refused(); refused {
			fmt.Fprintf(w, "  %s\n", english.mustText("secret", english.away(refusal.Next, time.Now())))
		}
		return
	}
	total := 0
	var counts []string
	for _, share := range shares(s.Statuses()) {
		total += share.Tasks
		counts = append(counts, fmt.Sprintf("%d %s", share.Tasks, share.Status))
	}
	fmt.Fprintf(w, "result: oms_up 1, %s: %s\n", amount(total, "task"), strings.Join(counts, ", "))
	for property, n := range s.Excluded() {
		fmt.Fprintf(w, "  %s without series, because of exclude.%s\n", amount(n, "task"),
			map[string]string{"status": "statuses", "name": "names", "tag": "tags"}[property])
	}
}

// writeFetch tells about the latest listing and its requests.
func writeFetch(w io.Writer, f *collector.Fetch) {
	fmt.Fprintf(w, "\nlatest listing: began %s UTC, took %s, %s, %s, %s (%s on the wire), %s\n",
		f.Start.UTC().Format(time.DateTime), english.duration(f.Duration.Seconds()),
		amount(f.Report.Pages, "page"), amount(f.Totals.Rows, "row"), size(f.Totals.Bytes),
		size(f.Totals.BytesOnWire), amount(f.Totals.Retries, "repeated request"))
	if f.Report.Inconsistent {
		fmt.Fprintln(w, "  "+english.mustText("inconsistent"))
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "  page\tattempt\tHTTP\ttime\trows\tsize\trequestId\tfailure")
	for i := range f.Requests {
		r := &f.Requests[i]
		failure, status := "", "-"
		if r.StatusCode != 0 {
			status = strconv.Itoa(r.StatusCode)
		}
		if r.Err != nil {
			failure = printable(r.Err.Error())
		}
		fmt.Fprintf(table, "  %d\t%d\t%s\t%s\t%d\t%s\t%s\t%s\n", r.Page, r.Attempt, status,
			english.duration(r.Duration.Seconds()), r.Rows, size(r.Bytes), printable(r.RequestID), failure)
	}
	_ = table.Flush() // only the client can be gone
	if left := f.Totals.Requests - len(f.Requests); left > 0 {
		fmt.Fprintf(w, "  and %s not shown\n", amount(left, "request"))
	}
}
