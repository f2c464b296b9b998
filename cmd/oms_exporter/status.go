package main

import (
	_ "embed" // for status.html
	"html/template"
	"net/http"
	"time"

	"oms_exporter/collector"
	"oms_exporter/omsclient"
)

// What /status shows, as JSON or HTML.
type (
	statusDoc struct {
		Time    time.Time      `json:"time"`
		Targets []targetStatus `json:"targets"`
	}
	targetStatus struct {
		Name    string        `json:"name"`
		URL     string        `json:"url"`
		Fetches []fetchStatus `json:"fetches"` // the latest first
	}
	fetchStatus struct {
		Start        time.Time       `json:"start"`
		Seconds      float64         `json:"seconds"`
		Tasks        int             `json:"tasks"`
		Pages        int             `json:"pages"`
		Rows         int             `json:"rows"`
		Bytes        int64           `json:"bytes"`
		Retries      int             `json:"retries"`
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
	}
)

// status shows how the last listings of each OMS went, without bodies or secrets.
func (h *handler) status(w http.ResponseWriter, r *http.Request) {
	doc := statusDoc{Time: time.Now().UTC(), Targets: []targetStatus{}}
	for _, t := range h.targets.all() {
		shown := targetStatus{
			Name: displayName(t.name), URL: t.config.URL, Fetches: []fetchStatus{},
		}
		for _, f := range t.collector.Fetches() {
			shown.Fetches = append(shown.Fetches, statusOf(f))
		}
		doc.Targets = append(doc.Targets, shown)
	}
	switch format := r.URL.Query().Get("format"); format {
	case "json":
		writeJSON(w, doc)
	case "", "html":
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
		_ = statusPage.Execute(w, doc)
	default:
		http.Error(w, "format is html or json", http.StatusBadRequest)
	}
}

func statusOf(f collector.Fetch) fetchStatus {
	shown := fetchStatus{
		Start: f.Start.UTC(), Seconds: f.Duration.Seconds(), Tasks: f.Tasks, Pages: f.Report.Pages,
		Rows: f.Report.Rows(), Bytes: f.Report.Bytes(), Retries: f.Report.Retries(),
		Inconsistent: f.Report.Inconsistent, Reason: string(omsclient.ReasonOf(f.Err)),
		Requests: []requestStatus{},
	}
	if f.Err != nil {
		shown.Error = f.Err.Error()
	}
	for _, r := range f.Report.Requests {
		shown.Requests = append(shown.Requests, requestStatus{
			Page: r.Page, Attempt: r.Attempt, Seconds: r.Duration.Seconds(), Status: r.StatusCode,
			Rows: r.Rows, Bytes: r.Bytes, RequestID: r.RequestID,
			Reason: string(omsclient.ReasonOf(r.Err)),
		})
	}
	return shown
}

//go:embed status.html
var statusHTML string

var statusPage = template.Must(template.New("status").Parse(statusHTML))
