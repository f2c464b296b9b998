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

// The templates of all pages, their style and their script.
var (
	//go:embed site.html page.html status.html
	siteFiles embed.FS
	//go:embed site.css
	siteCSS string
	//go:embed site.js
	siteJS string
)

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
		Cards      []*omsState
		Severities []choice // that tasks have, without regard to the wanted one
		Statuses   []choice
		Owners     []choice
		Tags       []choice
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
		Codes            []string
	}
)

// look returns what people see, after a listing if they want one now.
func (h *handler) look(r *http.Request, again bool) *overview {
	return overviewOf(r.Context(), h.targets.all(),
		func(ctx context.Context, t *target) (*listing, bool) { return t.look(ctx, again) })
}

// tasks serves the tasks of all targets in the format that is asked for: as a page, or for
// programs.
func (h *handler) tasks(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	kind, write := "application/json", (*overview).writeJSON
	switch query.Get("format") {
	case "", "html":
		kind, write = "", nil
	case "json":
	case "csv":
		kind, write = "text/csv; charset=utf-8", (*overview).writeCSV
	default:
		http.Error(w, "format is html, json or csv", http.StatusBadRequest)
		return
	}
	o := h.look(r, false)
	h.limits.inPlace(w, r, h.budgetOf(r, nil).waiting, func() {
		if write == nil {
			h.render(w, "page", h.pageDoc(r, o))
			return
		}
		o.choose(query)
		w.Header().Set("Content-Type", kind)
		_ = write(o, w) // only the client can be gone
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

func (h *handler) pageDoc(r *http.Request, o *overview) *pageDoc {
	d := &pageDoc{siteDoc: h.siteDoc(r, "tasks", "title"), Cards: o.Targets, All: len(o.Tasks)}
	d.Listed = slices.ContainsFunc(o.Targets, func(s *omsState) bool { return !s.Listed.IsZero() })
	slices.SortStableFunc(d.Cards, func(a, b *omsState) int {
		all := collector.Severities()
		return cmp.Compare(slices.Index(all, a.Health()), slices.Index(all, b.Health()))
	})
	d.offer(o.Tasks)
	open := d.Values.Get("task")
	isOpen := func(r row) bool { return r.ID == open && open != "" }
	linked := slices.DeleteFunc(slices.Clone(o.Tasks), func(r row) bool { return !isOpen(r) })
	o.choose(d.Values)
	d.Total = len(o.Tasks)
	d.Pages = max((d.Total+rowsPerPage-1)/rowsPerPage, 1)
	page, _ := strconv.Atoi(d.Values.Get("page"))
	d.Page = min(max(page, 1), d.Pages)
	shown := o.Tasks[(d.Page-1)*rowsPerPage : min(d.Page*rowsPerPage, d.Total)]
	if !slices.ContainsFunc(shown, isOpen) { // whoever was sent a link sees what it is about
		shown = append(linked, shown...)
	}
	for _, task := range shown {
		toggled := task.ID
		if isOpen(task) {
			toggled = ""
		}
		d.Rows = append(d.Rows, &pageRow{
			row: task, Open: isOpen(task), Several: len(o.Targets) > 1, Toggle: d.With("task", toggled),
			Console: h.consoleOf(&task), Grafana: h.grafanaOf(&task), Codes: task.codes(),
		})
	}
	return d
}

// offer collects the values that tasks have, to filter by.
func (d *pageDoc) offer(tasks []row) {
	d.Statuses, d.Owners = choices(tasks, "status"), choices(tasks, "owner")
	d.Tags = choices(tasks, "tag")
	others := maps.Clone(d.Values)
	others.Del("severity")
	counts := map[string]int{}
	for i := range tasks {
		if matches(others, &tasks[i]) {
			counts[tasks[i].Severity]++
		}
	}
	for _, s := range collector.Severities() {
		d.Severities = append(d.Severities, choice{s, counts[s]})
	}
}

// choices counts tasks by what a filter compares. Of very many values it returns the first.
func choices(tasks []row, filter string) []choice {
	const most = 200
	counts := map[string]int{}
	for i := range tasks {
		for _, value := range filters[filter].of(&tasks[i]) {
			counts[value]++
		}
	}
	delete(counts, "")
	var all []choice
	for _, value := range slices.Sorted(maps.Keys(counts)) {
		all = append(all, choice{value, counts[value]})
	}
	return all[:min(len(all), most)]
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

// Kept returns the parameters that the form has no inputs for.
func (d *pageDoc) Kept() []string { return []string{"lang", "severity", "sort"} }

// Columns returns the columns of the table, as the keys that each can be sorted by.
func (d *pageDoc) Columns() []string {
	return []string{
		"name", worst, "status", "steps", "delay sample", "checkpoint", "importance owner", "alarms",
	}
}

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

// Turn returns the address of a page further on, or back.
func (d *pageDoc) Turn(by int) string { return d.With("page", strconv.Itoa(d.Page+by)) }

// SortBy returns the address of the page sorted by a key, or the other way round if it is.
func (d *pageDoc) SortBy(key string) string {
	if d.Sorted(key) == "descending" {
		key = "-" + key
	}
	return d.With("sort", key)
}

// Sorted returns how the page is sorted by one of several keys, in the words of ARIA.
func (d *pageDoc) Sorted(keys string) string {
	key, reversed := strings.CutPrefix(cmp.Or(d.Values.Get("sort"), worst), "-")
	switch {
	case !slices.Contains(strings.Fields(keys), key):
		return "none"
	case reversed:
		return "ascending"
	}
	return "descending"
}

// Health returns what the card of an OMS looks like, as a severity.
func (s *omsState) Health() string {
	switch {
	case s.Pending || !s.OK && s.Reason == "":
		return collector.Notice
	case s.OK:
		return collector.Fine
	}
	return collector.Critical
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

// sitePolicy lets pages use our style and our script, and ask the exporter for more.
var sitePolicy = "default-src 'none'; style-src " + hashOf(siteCSS) +
	"; script-src " + hashOf(siteJS) + "; connect-src 'self'; form-action 'self'; img-src data:; " +
	"base-uri 'none'; frame-ancestors 'none'"

func hashOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}
