package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"html/template"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/version"

	"oms_exporter/collector"
	"oms_exporter/omsclient"
)

//go:embed site.html page.html status.html site.css site.js
var siteFiles embed.FS

// rowsPerPage is how many tasks a page shows at once.
const rowsPerPage = 100

// taskIDInLink stands for the id of a task in the address of the console.
const taskIDInLink = "{task_id}"

type (
	// A siteDoc is what every page shows around its content.
	siteDoc struct {
		Lang        lang
		Path, Title string
		Values      url.Values // the parameters of the request
		Now         time.Time
		Refused     *time.Time // when a reload was refused; nil: it was not
		Loaded      *time.Time
		TasksPage   bool
		Profiles    bool
		Metrics     string
		Version     string
	}
	// A pageDoc is what the page of the tasks shows.
	pageDoc struct {
		siteDoc
		Query      query
		Cards      []*omsState
		Severities []choice // that tasks have, without regard to the wanted one
		Statuses   []choice
		Owners     []string
		Tags       []string
		Rows       []*pageRow
		Listed     bool // there is a listing
		Total      int  // tasks that are wanted
		All        int  // tasks that there are
		Page       int
		Pages      int
	}
	// A choice is a value to filter by, and how many tasks have it.
	choice struct {
		Value string
		Tasks int
	}
	// A pageRow is a task on the page.
	pageRow struct {
		row
		Open             bool
		Several          bool   // OMS are configured, so that the name of one means something
		Toggle           string // opens the task, or closes it
		Console, Grafana string
	}
	// A parameter is one that a form keeps.
	parameter struct{ Key, Value string }
	// A column has a heading for each key that it can be sorted by.
	column struct{ Keys []sorting }
	// A sorting is a key that tasks can be sorted by, and what it is called.
	sorting struct{ Sort, Title string }
	// A moment is a time of a task, and what happened then.
	moment struct {
		Title string
		Time  time.Time
	}
)

// pageColumns are the columns of the table.
var pageColumns = []column{
	{[]sorting{{"name", "task"}}},
	{[]sorting{{"worst", "look at"}}},
	{[]sorting{{"status", "status"}}},
	{[]sorting{{"steps", "steps"}}},
	{[]sorting{{"delay", "delay"}, {"sample", "sampled"}}},
	{[]sorting{{"checkpoint", "checkpoint"}}},
	{[]sorting{{"importance", "importance"}, {"owner", "owner"}}},
	{[]sorting{{"alarms", "alarms"}}},
}

// look returns what people see, after a listing if they want one now.
func (h *handler) look(r *http.Request, again bool) *overview {
	return overviewOf(r.Context(), h.targets.all(),
		func(ctx context.Context, t *target) (*listing, bool) { return t.look(ctx, again) })
}

// page shows the tasks of all targets to people.
func (h *handler) page(w http.ResponseWriter, r *http.Request) {
	f := h.look(r, false)
	h.limits.inPlace(w, r, h.budgetOf(r, nil).waiting, func() {
		h.render(w, "page", h.pageDoc(r, f))
	})
}

// tasksFor serves the tasks in the format that is asked for.
func (h *handler) tasksFor(w http.ResponseWriter, r *http.Request) {
	format := r.URL.Query().Get("format")
	kind, write := "application/json", (*overview).writeJSON
	switch format {
	case "", "html":
		h.page(w, r)
		return
	case "json":
	case "csv":
		kind, write = "text/csv; charset=utf-8", (*overview).writeCSV
	default:
		http.Error(w, "format is html, json or csv", http.StatusBadRequest)
		return
	}
	f := h.look(r, false)
	q := queryOf(r.URL.Query())
	f.choose(&q)
	h.limits.inPlace(w, r, h.budgetOf(r, nil).waiting, func() {
		w.Header().Set("Content-Type", kind)
		_ = write(f, w) // only the client can be gone
	})
}

// listNow makes listings for people, and shows the page again that they came from.
func (h *handler) listNow(w http.ResponseWriter, r *http.Request) {
	h.look(r, true)
	// Relative, so that the exporter may be below any path of a proxy.
	w.Header().Set("Location", "?"+r.URL.RawQuery)
	w.WriteHeader(http.StatusSeeOther)
}

func (h *handler) siteDoc(r *http.Request, path, title string) siteDoc {
	l := langOf(r)
	return siteDoc{
		Lang: l, Path: path, Title: l.mustText(title), Values: r.URL.Query(), Now: time.Now().UTC(),
		Refused: h.targets.refusedReload(), Loaded: h.targets.loaded.Load(),
		TasksPage: h.web.tasksPage, Profiles: h.web.enablePprof,
		Metrics: strings.TrimPrefix(h.web.telemetryPath, "/"), Version: version.Version,
	}
}

func (h *handler) pageDoc(r *http.Request, f *overview) *pageDoc {
	d := &pageDoc{
		siteDoc: h.siteDoc(r, "tasks", "title"), Query: queryOf(r.URL.Query()), Cards: f.Targets,
		All: len(f.Tasks),
	}
	d.Listed = slices.ContainsFunc(f.Targets, func(s *omsState) bool { return !s.Listed.IsZero() })
	slices.SortStableFunc(d.Cards, func(a, b *omsState) int {
		return cmp.Compare(slices.Index(healths, a.Health()), slices.Index(healths, b.Health()))
	})
	d.offer(f)
	all := f.Tasks
	f.Tasks = slices.Clone(all)
	f.choose(&d.Query)
	d.Total = len(f.Tasks)
	d.Pages = max((d.Total+rowsPerPage-1)/rowsPerPage, 1)
	page, _ := strconv.Atoi(r.URL.Query().Get("page"))
	d.Page = min(max(page, 1), d.Pages)
	shown := f.Tasks[(d.Page-1)*rowsPerPage : min(d.Page*rowsPerPage, d.Total)]
	open := r.URL.Query().Get("task")
	isOpen := func(r row) bool { return r.ID == open }
	i := slices.IndexFunc(all, isOpen)
	if open != "" && i >= 0 && !slices.ContainsFunc(shown, isOpen) {
		shown = append([]row{all[i]}, shown...) // whoever was sent a link sees what it is about
	}
	for _, task := range shown {
		shown := &pageRow{
			row: task, Open: task.ID == open, Several: len(f.Targets) > 1,
			Console: h.consoleOf(&task), Grafana: h.grafanaOf(&task),
		}
		if shown.Toggle = d.With("task", task.ID); shown.Open {
			shown.Toggle = d.With("task", "")
		}
		d.Rows = append(d.Rows, shown)
	}
	return d
}

// offer collects the values that tasks have, to filter by.
func (d *pageDoc) offer(f *overview) {
	const most = 200 // of owners, and of tags
	statuses, owners, tags := map[string]int{}, map[string]bool{}, map[string]bool{}
	severities := map[collector.Severity]int{}
	other := d.Query
	other.Severity = ""
	for i := range f.Tasks {
		r := &f.Tasks[i]
		statuses[r.Status]++
		if r.Owner != "" && len(owners) < most {
			owners[printable(r.Owner)] = true
		}
		for _, tag := range r.Tags {
			if len(tags) < most {
				tags[printable(tag)] = true
			}
		}
		if other.matches(r) {
			severities[r.Severity]++
		}
	}
	for _, status := range slices.Sorted(maps.Keys(statuses)) {
		d.Statuses = append(d.Statuses, choice{status, statuses[status]})
	}
	for _, s := range collector.Severities() {
		d.Severities = append(d.Severities, choice{string(s), severities[s]})
	}
	d.Owners, d.Tags = slices.Sorted(maps.Keys(owners)), slices.Sorted(maps.Keys(tags))
}

// consoleOf returns the address of a task in the console of its OMS, or nothing.
func (h *handler) consoleOf(r *row) string {
	if t := h.targets.get(r.Target); t != nil {
		return strings.ReplaceAll(t.config.ConsoleURL, taskIDInLink, url.PathEscape(r.ID))
	}
	return ""
}

// grafanaOf returns the address of the dashboard of a task, or nothing.
func (h *handler) grafanaOf(r *row) string {
	if h.web.grafanaURL == "" {
		return ""
	}
	return strings.TrimSuffix(h.web.grafanaURL, "/") + "/d/oms-task?" +
		url.Values{"var-task_id": {r.ID}, "var-find": {r.Name}}.Encode()
}

// Importances returns what to filter by.
func (d *pageDoc) Importances() []string { return omsclient.Importances() }

// With returns the address of the page with another value of a parameter; an empty one removes
// it. Other tasks begin with the first page, and none of them is open.
func (d *siteDoc) With(key, value string) string {
	values := maps.Clone(d.Values)
	if key != "task" && key != "lang" {
		values.Del("page")
		values.Del("task")
	}
	if values.Set(key, value); value == "" {
		values.Del(key)
	}
	return "?" + values.Encode()
}

// LangOnly returns what of the parameters goes along to other pages.
func (d *siteDoc) LangOnly() string {
	if l := d.Values.Get("lang"); l != "" {
		return "?" + url.Values{"lang": {l}}.Encode()
	}
	return ""
}

// Columns returns the columns of the table.
func (d *pageDoc) Columns() []column { return pageColumns }

// Kept returns the parameters that the form has no inputs for.
func (d *pageDoc) Kept() []parameter {
	var kept []parameter
	for _, key := range []string{"lang", "severity", "sort"} {
		if value := d.Values.Get(key); value != "" {
			kept = append(kept, parameter{key, value})
		}
	}
	return kept
}

// Turn returns the address of a page further on, or back.
func (d *pageDoc) Turn(by int) string { return d.With("page", strconv.Itoa(d.Page+by)) }

// Download returns the address of the wanted tasks in a format for programs.
func (d *pageDoc) Download(format string) string { return "tasks" + d.With("format", format) }

// SortBy returns the address of the page sorted by a key, or the other way round if it is.
func (d *pageDoc) SortBy(key string) string {
	if cmp.Or(d.Query.Sort, "worst") == key {
		key = "-" + key
	}
	return d.With("sort", key)
}

// Sorted returns how the page is sorted by a key, in the words of ARIA.
func (d *pageDoc) Sorted(key string) string {
	switch cmp.Or(d.Query.Sort, "worst") {
	case key:
		return "descending"
	case "-" + key:
		return "ascending"
	}
	return "none"
}

// SortedAny returns how the page is sorted by one of several keys.
func (d *pageDoc) SortedAny(keys []sorting) string {
	for _, k := range keys {
		if by := d.Sorted(k.Sort); by != "none" {
			return by
		}
	}
	return "none"
}

// Live returns the direction that a step follows and that is further behind, or nil.
func (r *pageRow) Live() *collector.FlowView {
	if f := r.Flow(); f != nil && f.Live {
		return f
	}
	return nil
}

// Codes returns the error codes to show.
func (r *pageRow) Codes() []string { return r.codes() }

// Times returns what happened to a task, and when.
func (r *pageRow) Times() []moment {
	return slices.DeleteFunc([]moment{
		{"created", r.Created}, {"started", r.Started}, {"finished", r.Finished}, {"failed at", r.Failed},
	}, func(m moment) bool { return m.Time.IsZero() })
}

// healths are what cards look like, the worst first.
var healths = []string{"critical", "notice", "fine"}

// Health returns what the card of an OMS looks like.
func (s *omsState) Health() string {
	switch {
	case s.Pending || !s.OK && s.Reason == "":
		return "notice"
	case s.OK:
		return "fine"
	}
	return "critical"
}

// Expiring reports whether a certificate expires within a month.
func (s *omsState) Expiring() bool { return time.Until(s.Expiry) < 30*24*time.Hour }

// A site renders pages in one language.
type site []*template.Template

// newSite parses the templates, once for each language.
func newSite() site {
	all := make(site, len(langs))
	for l := range langs {
		all[l] = template.Must(template.New("").Funcs(funcsOf(lang(l))).ParseFS(siteFiles, "*.html"))
	}
	return all
}

// render writes a page. Nothing is sent of one that fails.
func (h *handler) render(w http.ResponseWriter, name string, doc interface{ lang() lang }) {
	var page bytes.Buffer
	if err := h.site[doc.lang()].ExecuteTemplate(&page, name, doc); err != nil {
		http.Error(w, "the page cannot be rendered: "+err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Vary", "Accept-Language")
	w.Header().Set("Content-Language", doc.lang().String())
	if w.Header().Get(policyHeader) == defaultPolicy { // what --web.config.file says stands
		w.Header().Set(policyHeader, sitePolicy)
	}
	_, _ = page.WriteTo(w)
}

func (d *siteDoc) lang() lang { return d.Lang }

// The style and the script of all pages.
var (
	siteCSS = mustRead("site.css")
	siteJS  = mustRead("site.js")
)

// sitePolicy lets pages use that style and that script, and ask the exporter for more.
var sitePolicy = "default-src 'none'; style-src " + hashOf(siteCSS) +
	"; script-src " + hashOf(siteJS) + "; connect-src 'self'; form-action 'self'; img-src data:; " +
	"base-uri 'none'; frame-ancestors 'none'"

func mustRead(name string) string {
	content, err := siteFiles.ReadFile(name)
	if err != nil {
		panic(err) // it is embedded
	}
	return string(content)
}

func hashOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}
