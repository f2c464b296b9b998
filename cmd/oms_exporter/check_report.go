package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/prometheus/common/version"
)

// What a check prints, as JSON or for people.
type (
	checkReport struct {
		SchemaVersion   int             `json:"schema_version"` // of this document
		ExporterVersion string          `json:"exporter_version"`
		Time            time.Time       `json:"time"`
		Targets         []*targetReport `json:"targets"`
		OK              bool            `json:"ok"`
		Error           string          `json:"error,omitempty"` // why there are not all targets
	}
	targetReport struct {
		Name    string         `json:"name"`
		URL     string         `json:"url"`
		OK      bool           `json:"ok"`
		Steps   []finding      `json:"steps"`
		Request *requestReport `json:"request"`
		listingReport
	}
	requestReport struct { // for the first page
		Address           string     `json:"address,omitempty"` // that OMS, or a proxy, was reached at
		LookupSeconds     *float64   `json:"lookup_seconds,omitempty"`
		ConnectSeconds    *float64   `json:"connect_seconds,omitempty"`
		HandshakeSeconds  *float64   `json:"tls_handshake_seconds,omitempty"`
		CertificateExpiry *time.Time `json:"certificate_expiry,omitempty"`
		Status            int        `json:"http_status,omitempty"`
		Seconds           float64    `json:"seconds"`                      // of the last attempt
		ClockSkew         *float64   `json:"clock_skew_seconds,omitempty"` // OMS's clock minus this one
	}
	listingReport struct { // all null if the listing failed
		Tasks  *tasksReport  `json:"tasks"`
		Pages  *pagesReport  `json:"pages"`
		Scrape *scrapeReport `json:"scrape"`
	}
	tasksReport struct {
		Total    int            `json:"total"`
		Omitted  map[string]int `json:"omitted"`  // by reason
		Excluded map[string]int `json:"excluded"` // of these: by status, name or tag
		Groups   []groupReport  `json:"groups"`   // ordered by type, then status
	}
	groupReport struct {
		Type   string `json:"type"`
		Status string `json:"status"`
		Tasks  int    `json:"tasks"`
	}
	pagesReport struct {
		Pages        int            `json:"pages"`    // of one listing
		Listings     int            `json:"listings"` // 2 if the first was inconsistent
		Rows         int            `json:"rows"`     // of all requests, like the next four
		Bytes        int64          `json:"bytes"`
		WireBytes    int64          `json:"wire_bytes"` // fewer if they were compressed
		Retries      int            `json:"retries"`
		Seconds      float64        `json:"seconds"`
		PageSeconds  spread         `json:"page_seconds"`
		Inconsistent bool           `json:"inconsistent"`
		Unknown      map[string]int `json:"unknown_values"`    // by field
		Unreadable   map[string]int `json:"unreadable_values"` // by field
		NotUTF8      map[string]int `json:"not_utf8_values"`   // by field
	}
	spread struct {
		Min    float64 `json:"min"`
		Median float64 `json:"median"`
		Max    float64 `json:"max"`
	}
	scrapeReport struct {
		Series          int              `json:"series"`
		Bytes           int              `json:"bytes"`
		GzipBytes       int              `json:"gzip_bytes"`
		PrometheusBytes int              `json:"prometheus_memory_bytes"` // an estimate
		Seconds         float64          `json:"seconds"`                 // of the first listing
		Budget          float64          `json:"budget_seconds"`
		Fits            bool             `json:"fits"`
		Concurrency     int              `json:"concurrency"`
		Estimates       []estimateReport `json:"estimates"`
		Recommended     int              `json:"recommended_concurrency"` // 0: none
	}
	estimateReport struct {
		Concurrency int     `json:"concurrency"`
		Seconds     float64 `json:"seconds"`
	}
)

// A finding is the outcome of a step of a check.
type finding struct {
	Name   string `json:"name"`
	Result result `json:"result"`
	Detail string `json:"detail,omitempty"`
	Advice string `json:"advice,omitempty"` // what to do about it
}

// A result is how a step went.
type result string

const (
	passed  result = "ok"
	warning result = "warning"
	failed  result = "failed"
	skipped result = "skipped" // an earlier step failed
)

func passes(format string, args ...any) finding {
	return finding{Result: passed, Detail: fmt.Sprintf(format, args...)}
}

func warns(advice, format string, args ...any) finding {
	return finding{Result: warning, Detail: fmt.Sprintf(format, args...), Advice: advice}
}

func fails(advice, format string, args ...any) finding {
	return finding{Result: failed, Detail: fmt.Sprintf(format, args...), Advice: advice}
}

// schemaVersion changes when programs that read the JSON have to change.
const schemaVersion = 1

func newCheckReport() *checkReport {
	return &checkReport{
		SchemaVersion: schemaVersion, ExporterVersion: version.Version,
		Time: time.Now().UTC().Truncate(time.Second), Targets: []*targetReport{}, OK: true,
	}
}

func (r *checkReport) add(t *targetReport) {
	r.Targets = append(r.Targets, t)
	r.OK = r.OK && t.OK
}

// err says how many targets cannot be used, or what is wrong with the only one. It is
// nil if all can be used.
func (r *checkReport) err() error {
	unusable := 0
	for _, t := range r.Targets {
		if !t.OK {
			unusable++
		}
	}
	switch {
	case unusable == 0:
		return nil
	case len(r.Targets) == 1:
		return errors.New(r.Targets[0].verdict())
	}
	return fmt.Errorf("%d of %d targets cannot be used", unusable, len(r.Targets))
}

func (r *checkReport) writeJSON(w io.Writer) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(r)
}

// printVerdicts writes one line for each target. That a single target cannot be used
// is left to the error.
func (r *checkReport) printVerdicts(w io.Writer) {
	if len(r.Targets) == 1 && !r.OK {
		return
	}
	widest := 0
	for _, t := range r.Targets {
		widest = max(widest, utf8.RuneCountInString(t.Name))
	}
	for _, t := range r.Targets {
		fmt.Fprintf(w, "%-*s  %s\n", widest, t.Name, t.verdict())
	}
}

func (t *targetReport) verdict() string {
	warnings := 0
	for _, step := range t.Steps {
		switch step.Result {
		case failed:
			return "not usable: " + title(step.Name) + " failed"
		case warning:
			warnings++
		}
	}
	if warnings == 0 {
		return "usable"
	}
	return "usable, with " + amount(warnings, "warning")
}

// The layout of what is printed for people.
const (
	columns     = 100
	resultWidth = len("warning")
	nameWidth   = len("name_resolution")
	margin      = 2 + resultWidth + 2 + nameWidth + 2
)

// print writes a line for each step, and below it what to do. The steps that were
// skipped share a line.
func (t *targetReport) print(w io.Writer) {
	fmt.Fprintf(w, "%s  %s\n\n", t.Name, t.URL)
	var left []string
	for _, step := range t.Steps {
		if step.Result == skipped {
			left = append(left, title(step.Name))
			continue
		}
		step.print(w)
	}
	if left != nil {
		rest := finding{
			Name: fmt.Sprintf("%d more", len(left)), Result: skipped, Detail: strings.Join(left, ", "),
		}
		rest.print(w)
	}
	fmt.Fprintln(w)
}

func (f *finding) print(w io.Writer) {
	head := fmt.Sprintf("  %-*s  %-*s  ", resultWidth, f.Result, nameWidth, title(f.Name))
	indent := strings.Repeat(" ", margin)
	lines := wrap(f.Detail, columns-margin)
	if f.Advice != "" {
		advice := wrap(f.Advice, columns-margin-len("-> "))
		lines = append(lines, "-> "+strings.Join(advice, "\n"+indent+"   "))
	}
	fmt.Fprintln(w, strings.TrimRight(head+strings.Join(lines, "\n"+indent), " "))
}

// title returns the name of a step for people.
func title(name string) string { return strings.ReplaceAll(name, "_", " ") }

// wrap breaks a sentence into lines of at most width runes. A longer word gets a
// line of its own.
func wrap(sentence string, width int) []string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(sentence) {
		if line != "" && utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > width {
			lines = append(lines, line)
			line = ""
		}
		line = strings.TrimLeft(line+" "+word, " ")
	}
	return append(lines, line)
}

// printable replaces what could confuse a terminal: some of it is from OMS.
func printable(sentence string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '?'
	}, sentence)
}

// size formats a number of bytes for people.
func size[T int | int64](n T) string {
	switch {
	case n < 1000:
		return fmt.Sprintf("%d B", n)
	case n < 1_000_000:
		return fmt.Sprintf("%.1f kB", float64(n)/1e3)
	case n >= 1_000_000_000:
		return fmt.Sprintf("%.1f GB", float64(n)/1e9)
	}
	return fmt.Sprintf("%.1f MB", float64(n)/1e6)
}

// seconds formats a number of seconds for people.
func seconds(s float64) string { return fmt.Sprintf("%.3f s", s) }

// amount formats a number of things, with a regular plural.
func amount(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}
