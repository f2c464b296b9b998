// Package dashboards is the catalogue of Grafana dashboards: boards, panels and
// queries as data. fleet.go, task.go, cutover.go and exporter.go define the
// boards, vocabulary.go what they share, looks.go the kinds of panels. To add a
// panel, add an entry to a board and run `go generate ./...`.
package dashboards

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/cog/variants"
	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/prometheus"
)

// schemaVersion is that of Grafana 9.3. Later versions of Grafana migrate it
// when they load a board; earlier ones do not know later schemas.
const schemaVersion = 37

// A board is a dashboard: the answer to one question.
type board struct {
	uid, title string
	question   string
	refresh    string // interval
	from       string // start of the default time range, which ends now
	variables  []variable
	filter     string // matchers on oms_task_info that choose the tasks of <these>; default: all
	marks      []annotation
	rows       []row
	outside    Outside
}

// A row is a heading and the panels below it, from left to right.
type row struct {
	title  string
	panels []panel
}

// A panel shows the results of its queries.
type panel struct {
	title string
	says  string // how to read it, in whole sentences
	look  look
	w, h  uint32
	unit  string

	queries []query // none in a table: its columns are the queries
	table   *table

	mapping  mapping // words and colors for values
	steps    []dashboard.Threshold
	min, max *float64
	decimals *float64
	nothing  string // what it shows, in no color of a state, if there are no series
	links    []dashboard.DashboardLink

	// perWidth is the maximum number of points of a query over time; 0 leaves
	// it to Grafana. The cost of a query over all tasks is proportional to it.
	perWidth float64
}

// A query is PromQL with <names>, which words expands.
type query struct {
	expr, legend string
	style        []dashboard.DynamicConfigValue // of its series, if it differs from the panel's
}

// An annotation marks times on all panels over time.
type annotation struct {
	name, expr, title, text, tags, color string
}

// A look sets a panel's type and options.
type look func(p *dashboard.Panel)

// expand replaces the <names> of an expression, and puts it on one line.
func (b *board) expand(expr string) string {
	return expandWith(expr, b.words())
}

func expandWith(expr string, words *strings.Replacer) string {
	for strings.Contains(expr, "<") {
		next := words.Replace(expr)
		if next == expr { // only comparisons are left
			break
		}
		expr = next
	}
	return compact.Replace(strings.Join(strings.Fields(expr), " "))
}

var compact = strings.NewReplacer("( ", "(", " )", ")")

// build returns the board as Grafana knows it.
func (b *board) build() dashboard.Dashboard { //nolint:staticcheck // version 2 is for Grafana 12 and later
	d := *dashboard.NewDashboard()
	d.Uid, d.Title = &b.uid, &b.title
	d.Description = cog.ToPtr(sentence(b.question) + " " + madeBy)
	d.Tags = []string{tag}
	d.SchemaVersion = schemaVersion
	d.Editable = cog.ToPtr(false)
	d.GraphTooltip = cog.ToPtr(dashboard.DashboardCursorSyncCrosshair)
	d.Refresh = &b.refresh
	d.Time = &dashboard.DashboardDashboardTime{From: b.from, To: "now"}
	d.Links = b.outside.boardLinks()
	d.Annotations.List = b.annotations()
	for _, v := range b.variables {
		d.Templating.List = append(d.Templating.List, v.build(b))
	}
	d.Panels = b.panels()
	return d
}

// panels lays out the rows: panels from left to right, then on the next line.
func (b *board) panels() []dashboard.PanelOrRowPanel {
	var all []dashboard.PanelOrRowPanel
	var id, y uint32
	for i, r := range b.rows {
		if i > 0 { // the heading of the first would take a line of the first screen
			id++
			all = append(all, dashboard.PanelOrRowPanel{RowPanel: &dashboard.RowPanel{
				Type: "row", Id: id, Title: &r.title, Panels: []dashboard.Panel{},
				GridPos: &dashboard.GridPos{H: 1, W: columns, Y: y},
			}})
			y++
		}
		var x, tallest uint32
		for i := range r.panels {
			p := &r.panels[i]
			if x+p.w > columns {
				x, y, tallest = 0, y+tallest, 0
			}
			id++
			built := p.build(b, id)
			built.GridPos = &dashboard.GridPos{X: x, Y: y, W: p.w, H: p.h}
			all = append(all, dashboard.PanelOrRowPanel{Panel: &built})
			x, tallest = x+p.w, max(tallest, p.h)
		}
		y += tallest
	}
	return all
}

// columns is the width of Grafana's grid.
const columns = 24

// build returns the panel as Grafana knows it.
func (p *panel) build(b *board, id uint32) dashboard.Panel {
	built := dashboard.Panel{
		Id: &id, Title: &p.title, Description: cog.ToPtr(sentence(p.says)),
		Datasource: source(),
		FieldConfig: &dashboard.FieldConfigSource{
			Defaults: dashboard.FieldConfig{
				Unit: &p.unit, Min: p.min, Max: p.max, Decimals: p.decimals, Links: p.links,
				Color:      &dashboard.FieldColor{Mode: dashboard.FieldColorModeIdThresholds},
				Thresholds: thresholds(p.steps),
			},
			Overrides: []dashboard.DashboardFieldConfigSourceOverrides{},
		},
	}
	if p.nothing != "" {
		built.FieldConfig.Defaults.NoValue = &p.nothing
	}
	if p.perWidth > 0 {
		built.MaxDataPoints = &p.perWidth
	}
	p.look(&built)
	built.FieldConfig.Defaults.Mappings = p.mapping.build(p.nothing, neutral(&built))
	queries := p.queries
	if p.table != nil {
		queries = p.table.build(&built)
	}
	for i, q := range queries {
		ref := refID(i)
		built.Targets = append(built.Targets, q.build(b, built.Type, ref))
		if len(q.style) > 0 {
			built.FieldConfig.Overrides = append(built.FieldConfig.Overrides,
				override("byFrameRefID", ref, q.style...))
		}
	}
	return built
}

// refID names the queries of a panel, A, B, C and so on.
func refID(i int) string { return string(rune('A' + i)) }

// build returns the query as this kind of panel needs it: instant, or over
// time.
func (q *query) build(b *board, kind, ref string) variants.Dataquery {
	target := &prometheus.Dataquery{
		RefId: &ref, Datasource: source(), Expr: b.expand(q.expr),
		EditorMode: cog.ToPtr(prometheus.QueryEditorModeCode),
		Format:     cog.ToPtr(prometheus.PromQueryFormatTimeSeries),
		Instant:    cog.ToPtr(true), Range: cog.ToPtr(false),
	}
	if q.legend != "" {
		target.LegendFormat = &q.legend
	}
	switch kind {
	case "table", "barchart":
		target.Format = cog.ToPtr(prometheus.PromQueryFormatTable)
	case "stat", "gauge", "bargauge":
		// Instant: over time, they would show the last value of series that are
		// gone.
	default:
		target.Instant, target.Range = cog.ToPtr(false), cog.ToPtr(true)
	}
	if kind == "heatmap" && strings.Contains(q.legend, "le") {
		target.Format = cog.ToPtr(prometheus.PromQueryFormatHeatmap)
	}
	return target
}

func source() *common.DataSourceRef {
	return &common.DataSourceRef{Type: cog.ToPtr("prometheus"), Uid: cog.ToPtr("${datasource}")}
}

// override changes the look of the fields that a matcher finds.
func override(
	matcher, what string, properties ...dashboard.DynamicConfigValue,
) dashboard.DashboardFieldConfigSourceOverrides {
	return dashboard.DashboardFieldConfigSourceOverrides{
		Matcher:    dashboard.MatcherConfig{Id: matcher, Options: what},
		Properties: properties,
	}
}

// annotations are Grafana's own and the board's. They have no switches: those
// would take a line of the first screen.
func (b *board) annotations() []dashboard.AnnotationQuery {
	list := []dashboard.AnnotationQuery{{
		Name: "Annotations & Alerts", BuiltIn: cog.ToPtr(1.0), Type: cog.ToPtr("dashboard"),
		Datasource: &common.DataSourceRef{
			Type: cog.ToPtr("grafana"), Uid: cog.ToPtr("-- Grafana --"),
		},
		Enable: true, Hide: cog.ToPtr(true), IconColor: "blue",
	}}
	for _, a := range b.marks {
		list = append(list, dashboard.AnnotationQuery{
			Name: a.name, Datasource: source(), Enable: true, Hide: cog.ToPtr(true), IconColor: a.color,
			Expr: cog.ToPtr(b.expand(a.expr)), Step: cog.ToPtr("60s"),
			TitleFormat: &a.title, TextFormat: &a.text, TagKeys: &a.tags,
		})
	}
	return list
}

// RunbookBase is the address of the runbooks in the shipped alerts.
const RunbookBase = "https://example.com/oms_exporter/deploy/runbooks/"

// Outside are the addresses that boards link to outside Grafana. There is no
// link to an address that is empty.
type Outside struct {
	Console  string // of OMS
	Runbooks string // the directory of ALERT.md, with its last slash
}

func boards(outside Outside) []board {
	list := []board{fleet(outside), task(), cutover(), exporter(outside)}
	for i := range list {
		list[i].outside = outside
	}
	return list
}

// Files returns the dashboards as Grafana imports them, by file name.
func Files(outside Outside) (map[string]string, error) {
	files := make(map[string]string)
	for _, b := range boards(outside) {
		content, err := json.MarshalIndent(b.build(), "", "  ")
		if err != nil {
			return nil, fmt.Errorf("%s: %w", b.uid, err)
		}
		files["grafana/dashboards/"+b.uid+".json"] = legible.Replace(string(content)) + "\n"
	}
	return files, nil
}

// legible undoes the escaping of HTML by encoding/json.
var legible = strings.NewReplacer(`\u003c`, "<", `\u003e`, ">", `\u0026`, "&")

// sentence returns text on one line.
func sentence(text string) string { return strings.Join(strings.Fields(text), " ") }
