package main

import (
	"net/http"
	"net/url"
	"time"

	"oms_exporter/collector"
	"oms_exporter/omsclient"
)

// What /status shows, as JSON or HTML.
type (
	statusDoc struct {
		Time    time.Time      `json:"time"`
		Refused *time.Time     `json:"reloadRefused,omitempty"` // nil: the configuration is the latest
		Targets []targetStatus `json:"targets"`
	}
	targetStatus struct {
		Name    string        `json:"name"`
		Probe   string        `json:"-"` // the address of its metrics; empty: they are on /metrics
		URL     string        `json:"url"`
		Secret  *secretStatus `json:"refusedSecret,omitempty"` // nil: OMS has not refused it
		Fetches []fetchStatus `json:"fetches"`                 // the latest first
		Looks   []lookStatus  `json:"looks,omitempty"`
	}
	// A lookStatus tells how OMS was asked about single tasks.
	lookStatus struct {
		Action  string    `json:"action"`
		Wanted  int       `json:"wanted"` // tasks to ask about
		Known   int       `json:"known"`  // of these, those with an answer
		Asked   int       `json:"asked"`  // questions since the start
		Failed  int       `json:"failed"` // of these, those without an answer
		Latest  time.Time `json:"latest,omitzero"`
		Slowest float64   `json:"slowestSeconds"` // of the latest questions
		Reason  string    `json:"reason,omitempty"`
		Error   string    `json:"error,omitempty"`
		Next    time.Time `json:"next,omitzero"` // when OMS is asked again, after failures
	}
	// A secretStatus is that of a secret that OMS refuses, and that rests therefore.
	secretStatus struct {
		Since time.Time `json:"since"`
		Next  time.Time `json:"next"` // when it is sent again, unless it changes before
		Count int       `json:"count"`
	}
	fetchStatus struct {
		Start        time.Time       `json:"start"`
		Seconds      float64         `json:"seconds"`
		Tasks        int             `json:"tasks"`
		Pages        int             `json:"pages"`
		Rows         int             `json:"rows"`
		Bytes        int64           `json:"bytes"`
		BytesOnWire  int64           `json:"bytesOnWire"`
		Retries      int             `json:"retries"`
		Sent         int             `json:"sent"` // requests; only the notable ones of many follow
		Inconsistent bool            `json:"inconsistent"`
		Reason       string          `json:"reason,omitempty"`
		Error        string          `json:"error,omitempty"`
		Requests     []requestStatus `json:"requests"`
	}
	requestStatus struct {
		Page      int     `json:"page"`
		Attempt   int     `json:"attempt"`
		Seconds   float64 `json:"seconds"`
		Status    int     `json:"status,omitempty"`
		Rows      int     `json:"rows"`
		Bytes     int64   `json:"bytes"`
		RequestID string  `json:"requestId,omitempty"`
		Reason    string  `json:"reason,omitempty"`
		Error     string  `json:"-"`
	}
)

// A statusPage shows a statusDoc to people.
type statusPage struct {
	siteDoc
	Doc statusDoc
}

// status shows how the last listings of each OMS went, without bodies or secrets.
func (h *handler) status(w http.ResponseWriter, r *http.Request) {
	format := r.URL.Query().Get("format")
	h.limits.inPlace(w, r, h.budgetOf(r, nil).waiting, func() {
		switch format {
		case "json":
			writeJSON(w, h.statusDoc())
		case "", "html":
			h.render(w, "status", &statusPage{h.siteDoc(r, "status", "listings"), h.statusDoc()})
		default:
			http.Error(w, "format is html or json", http.StatusBadRequest)
		}
	})
}

func (h *handler) statusDoc() statusDoc {
	doc := statusDoc{
		Time: time.Now().UTC(), Refused: h.targets.refusedReload(), Targets: []targetStatus{},
	}
	for _, t := range h.targets.all() {
		doc.Targets = append(doc.Targets, statusOf(t))
	}
	return doc
}

func statusOf(t *target) targetStatus {
	shown := targetStatus{Name: displayName(t.name), URL: t.config.URL, Fetches: []fetchStatus{}}
	if t.name != flagsTarget {
		shown.Probe = "probe?" + url.Values{"target": {t.name}}.Encode()
	}
	if r, refused := t.client.Refused(); refused {
		shown.Secret = &secretStatus{Since: r.Since.UTC(), Next: r.Next.UTC(), Count: r.Count}
	}
	for _, f := range t.collector.Fetches() {
		shown.Fetches = append(shown.Fetches, fetchStatusOf(f))
	}
	for _, l := range t.collector.Looks() {
		shown.Looks = append(shown.Looks, lookStatusOf(l))
	}
	return shown
}

func lookStatusOf(l collector.Look) lookStatus {
	return lookStatus{
		Action: l.Action, Wanted: l.Wanted, Known: l.Known, Asked: l.Asked, Failed: l.Failed,
		Slowest: l.Slowest.Seconds(), Latest: l.Latest.UTC(),
		Reason: string(omsclient.ReasonOf(l.Err)), Error: textOfError(l.Err), Next: l.Next.UTC(),
	}
}

// textOfError returns what an error says, or nothing if there is none.
func textOfError(err error) string {
	if err == nil {
		return ""
	}
	return printable(err.Error())
}

func fetchStatusOf(f collector.Fetch) fetchStatus {
	shown := fetchStatus{
		Start: f.Start.UTC(), Seconds: f.Duration.Seconds(), Tasks: f.Tasks, Pages: f.Report.Pages,
		Rows: f.Totals.Rows, Bytes: f.Totals.Bytes, BytesOnWire: f.Totals.BytesOnWire,
		Retries: f.Totals.Retries, Sent: f.Totals.Requests, Inconsistent: f.Report.Inconsistent,
		Reason: string(omsclient.ReasonOf(f.Err)), Error: textOfError(f.Err), Requests: []requestStatus{},
	}
	for _, r := range f.Requests {
		shown.Requests = append(shown.Requests, requestStatus{
			Page: r.Page, Attempt: r.Attempt, Seconds: r.Duration.Seconds(), Status: r.StatusCode,
			Rows: r.Rows, Bytes: r.Bytes, RequestID: r.RequestID,
			Reason: string(omsclient.ReasonOf(r.Err)), Error: textOfError(r.Err),
		})
	}
	return shown
}
