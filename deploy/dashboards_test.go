package deploy_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/grafana/grafana-foundation-sdk/go/cog/plugins"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/prometheus/prometheus/promql/parser"
)

// The parts of a dashboard that the rules below check.
type (
	drawnBoard struct {
		file          string
		UID           string `json:"uid"`
		Title         string
		Description   string
		Tags          []string
		Editable      *bool
		GraphTooltip  int
		Timezone      string
		Refresh       string
		SchemaVersion int
		Time          struct{ From, To string }
		Links         []drawnLink
		Templating    struct{ List []drawnVariable }
		Annotations   struct{ List []drawnAnnotation }
		Panels        []drawnPanel
	}
	drawnLink struct {
		Title, Type, URL                   string
		Tags                               []string
		IncludeVars, KeepTime, TargetBlank bool
	}
	drawnSource   struct{ Type, UID string }
	drawnVariable struct {
		Name, Label, Type, Description, AllValue, Regex string
		Query                                           any
		Datasource                                      drawnSource
		Multi, IncludeAll                               bool
		Refresh, Hide                                   int
	}
	drawnAnnotation struct {
		Name, Expr string
		Enable     bool
		BuiltIn    int
		Datasource drawnSource
	}
	drawnTarget struct {
		RefID, Expr, Format, LegendFormat string
		Instant, Range                    bool
		Datasource                        drawnSource
	}
	drawnPanel struct {
		ID                       int
		Type, Title, Description string
		GridPos                  struct{ X, Y, W, H int }
		Datasource               drawnSource
		Targets                  []drawnTarget
		MaxDataPoints            int
		FieldConfig              struct {
			Defaults struct {
				Unit       string
				Mappings   []drawnMapping
				Thresholds struct {
					Steps []struct {
						Value *float64
						Color string
					}
				}
				Links  []drawnLink
				Custom map[string]any
			}
			Overrides []struct {
				Matcher    struct{ ID, Options string }
				Properties []struct {
					ID    string
					Value json.RawMessage
				}
			}
		}
		Transformations []struct{ ID string }
		Options         struct {
			SortBy []struct{ DisplayName string }
		}
	}
	drawnMapping struct {
		Type    string
		Options map[string]struct{ Text, Color string }
	}
)

// query returns the query of a variable.
func (v *drawnVariable) query() string {
	switch q := v.Query.(type) {
	case string:
		return q
	case map[string]any:
		s, _ := q["query"].(string)
		return s
	}
	return ""
}

// properties returns the values that a panel's overrides give to a property.
func (p *drawnPanel) properties(id string) []json.RawMessage {
	var values []json.RawMessage
	for _, o := range p.FieldConfig.Overrides {
		for _, property := range o.Properties {
			if property.ID == id {
				values = append(values, property.Value)
			}
		}
	}
	return values
}

// links returns the links of a panel's fields.
func (p *drawnPanel) links(t *testing.T) []drawnLink {
	t.Helper()
	all := slices.Clone(p.FieldConfig.Defaults.Links)
	for _, value := range p.properties("links") {
		var links []drawnLink
		if err := json.Unmarshal(value, &links); err != nil {
			t.Fatal(err)
		}
		all = append(all, links...)
	}
	return all
}

const boardFiles = "grafana/dashboards"

// drawnBoards reads the committed files.
func drawnBoards(t *testing.T) []drawnBoard {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(boardFiles, "*.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no dashboards in %s (%v)", boardFiles, err)
	}
	var boards []drawnBoard
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		b := drawnBoard{file: filepath.Base(file)}
		if err := json.Unmarshal(content, &b); err != nil {
			t.Fatal(file, err)
		}
		boards = append(boards, b)
	}
	return boards
}

// TestDashboardsAreDashboards checks the files against Grafana's own types: no
// unknown field, and none missing.
func TestDashboardsAreDashboards(t *testing.T) {
	plugins.RegisterDefaultPlugins()
	for _, b := range drawnBoards(t) {
		content, err := os.ReadFile(filepath.Join(boardFiles, b.file))
		if err != nil {
			t.Fatal(err)
		}
		var d dashboard.Dashboard //nolint:staticcheck // version 2 is for Grafana 12 and later
		// If nothing is wrong, it returns an empty list, not nil.
		if err := d.UnmarshalJSONStrict(content); err != nil && err.Error() != "" {
			t.Errorf("%s: %v", b.file, err)
		}
	}
}

// A boardRule is a rule for all dashboards.
type boardRule struct {
	name  string
	check func(t *testing.T, b *drawnBoard, found report)
}

// A report says what breaks a rule, and in which panel or other part of a board.
type report func(where, format string, args ...any)

// An exception is a panel that may break a rule.
type exception struct{ rule, board, panel, reason string }

// checkBoards checks rules on every dashboard. Every exception must be needed.
func checkBoards(t *testing.T, boardRules []boardRule, exceptions []exception) {
	t.Helper()
	boards := drawnBoards(t)
	needed := make([]bool, len(exceptions))
	for _, r := range boardRules {
		t.Run(r.name, func(t *testing.T) {
			for i := range boards {
				b := &boards[i]
				r.check(t, b, func(where, format string, args ...any) {
					for j, e := range exceptions {
						if e.rule == r.name && e.board == b.UID && e.panel == where {
							needed[j] = true
							return
						}
					}
					t.Errorf("%s: %s: %s", b.UID, where, fmt.Sprintf(format, args...))
				})
			}
		})
	}
	t.Run("every exception is needed", func(t *testing.T) {
		for i, e := range exceptions {
			if !needed[i] {
				t.Errorf("no longer needed: %s in %s of %s", e.rule, e.panel, e.board)
			}
		}
	})
}

// lintExceptions are from the rules of dashboard-linter.
var lintExceptions = func() []exception {
	const setting = "settings of the rules have neither job nor instance"
	return []exception{
		{"target-job", "oms-exporter", "Time of a scrape, and what it may take", setting},
		{"target-instance", "oms-exporter", "Time of a scrape, and what it may take", setting},
		{"target-job", "oms-cutover", "Gates of the ten that lack least", setting},
		{"target-instance", "oms-cutover", "Gates of the ten that lack least", setting},
		{"target-job", "oms-cutover", "What blocks", setting},
		{"target-instance", "oms-cutover", "What blocks", setting},
		{
			"target-rate-interval", "oms-exporter", "Values the exporter did not know",
			"it counts over the whole time range",
		},
	}
}()

// lintRules are the rules of Grafana's dashboard-linter, under its names. The
// linter itself cannot be installed everywhere.
var lintRules = []boardRule{
	{"template-datasource", func(_ *testing.T, b *drawnBoard, found report) {
		sources := slices.DeleteFunc(slices.Clone(b.Templating.List), func(v drawnVariable) bool {
			return v.Type != "datasource"
		})
		if len(sources) != 1 {
			found("datasource", "%d variables of this type, want 1", len(sources))
			return
		}
		if v := sources[0]; v.Name != "datasource" || v.Label != "Data source" || v.query() != "prometheus" {
			found(v.Name, "label %q, query %q", v.Label, v.query())
		}
	}},
	{"template-job", func(_ *testing.T, b *drawnBoard, found report) {
		lintChoice(b, "job", "Job", found)
	}},
	{"template-instance", func(_ *testing.T, b *drawnBoard, found report) {
		lintChoice(b, "instance", "Instance", found)
	}},
	{"template-label-promql", func(_ *testing.T, b *drawnBoard, found report) {
		for _, v := range b.Templating.List {
			if v.Type != "query" {
				continue
			}
			expr, _, err := grafanaQuery(v.query())
			if err == nil {
				_, err = parsePromQL(expr)
			}
			if err != nil {
				found(v.Name, "%v", err)
			}
		}
	}},
	{"template-on-time-change-reload", func(_ *testing.T, b *drawnBoard, found report) {
		for _, v := range b.Templating.List {
			if v.Type == "query" && v.Refresh != 2 {
				found(v.Name, "refresh is %d, want 2", v.Refresh)
			}
		}
	}},
	{"panel-datasource", func(_ *testing.T, b *drawnBoard, found report) {
		b.eachPanel(func(p *drawnPanel) {
			used := []drawnSource{p.Datasource}
			for _, target := range p.Targets {
				used = append(used, target.Datasource)
			}
			for _, s := range used {
				if s.UID != "${datasource}" || s.Type != "prometheus" {
					found(p.Title, "%v", s)
				}
			}
		})
	}},
	{"panel-title-description", func(_ *testing.T, b *drawnBoard, found report) {
		b.eachPanel(func(p *drawnPanel) {
			if p.Title == "" || p.Description == "" {
				found(p.Title, "title or description is missing")
			}
		})
	}},
	{"panel-units", func(t *testing.T, b *drawnBoard, found report) {
		t.Helper()
		b.eachPanel(func(p *drawnPanel) {
			units := []string{p.FieldConfig.Defaults.Unit}
			for _, value := range p.properties("unit") {
				var u string
				if err := json.Unmarshal(value, &u); err != nil {
					t.Fatal(err)
				}
				units = append(units, u)
			}
			for _, u := range units {
				if !slices.Contains(grafanaUnits, u) {
					found(p.Title, "%q is not a unit", u)
				}
			}
		})
	}},
	{"panel-no-targets", func(_ *testing.T, b *drawnBoard, found report) {
		b.eachPanel(func(p *drawnPanel) {
			if len(p.Targets) == 0 {
				found(p.Title, "no query")
			}
		})
	}},
	{"target-promql", func(_ *testing.T, b *drawnBoard, found report) {
		b.eachTarget(func(p *drawnPanel, target drawnTarget) {
			if _, err := parsePromQL(target.Expr); err != nil {
				found(p.Title, "%s: %v", target.RefID, err)
			}
		})
	}},
	{"target-rate-interval", lintRateInterval},
	{"target-job", func(_ *testing.T, b *drawnBoard, found report) {
		lintMatcher(b, "job", found)
	}},
	{"target-instance", func(_ *testing.T, b *drawnBoard, found report) {
		lintMatcher(b, "instance", found)
	}},
	{"target-counter-agg", lintCounters},
	{"uneditable-dashboard", func(_ *testing.T, b *drawnBoard, found report) {
		if b.Editable == nil || *b.Editable {
			found("dashboard", "it is editable")
		}
	}},
}

// grafanaUnits are the units of Grafana that make sense here.
var grafanaUnits = []string{
	"none", "short", "percentunit", "s", "dateTimeAsIso", "bytes", "Bps", "reqps", "rps", "cps",
}

func (b *drawnBoard) eachPanel(visit func(p *drawnPanel)) {
	for i := range b.Panels {
		if b.Panels[i].Type != "row" {
			visit(&b.Panels[i])
		}
	}
}

func (b *drawnBoard) eachTarget(visit func(p *drawnPanel, target drawnTarget)) {
	b.eachPanel(func(p *drawnPanel) {
		for _, target := range p.Targets {
			visit(p, target)
		}
	})
}

func lintChoice(b *drawnBoard, name, label string, found report) {
	i := slices.IndexFunc(b.Templating.List, func(v drawnVariable) bool { return v.Name == name })
	if i < 0 {
		found(name, "there is no such variable")
		return
	}
	v := b.Templating.List[i]
	if v.Type != "query" || v.Label != label || !v.Multi || v.AllValue != ".+" ||
		v.Datasource.UID != "${datasource}" {
		found(name, "%+v", v)
	}
}

func lintMatcher(b *drawnBoard, label string, found report) {
	want := label + `=~"$` + label + `"`
	b.eachTarget(func(p *drawnPanel, target drawnTarget) {
		eachSelector(interpolate(target.Expr, macros), func(s *parser.VectorSelector, _ []parser.Node) {
			for _, m := range s.LabelMatchers {
				if m.String() == want {
					return
				}
			}
			found(p.Title, "%s: %s has no %s", target.RefID, s, want)
		})
	})
}

// rateInterval stands for Grafana's $__rate_interval in an expression that is
// parsed.
const rateInterval = "7m13s"

// rates are the functions that a counter needs.
var rates = []string{"rate", "irate", "increase"}

func lintRateInterval(_ *testing.T, b *drawnBoard, found report) {
	b.eachTarget(func(p *drawnPanel, target drawnTarget) {
		eachNode(interpolate(target.Expr, macros), func(node parser.Node, _ []parser.Node) {
			c, ok := node.(*parser.Call)
			if !ok || !slices.Contains(rates, c.Func.Name) {
				return
			}
			if !strings.HasSuffix(c.Args[0].String(), "["+rateInterval+"]") {
				found(p.Title, "%s: %s is not over $__rate_interval", target.RefID, c)
			}
		})
	})
}

func lintCounters(_ *testing.T, b *drawnBoard, found report) {
	b.eachTarget(func(p *drawnPanel, target drawnTarget) {
		eachSelector(interpolate(target.Expr, macros), func(s *parser.VectorSelector, path []parser.Node) {
			if !strings.HasSuffix(s.Name, "_total") {
				return
			}
			if len(path) > 1 {
				if c, ok := path[len(path)-2].(*parser.Call); ok && slices.Contains(rates, c.Func.Name) {
					return
				}
			}
			found(p.Title, "%s: the counter %s is not in rate, irate or increase", target.RefID, s)
		})
	})
}

// macros are values for Grafana's variables where PromQL needs a duration or a
// number.
var macros = map[string]string{
	"__rate_interval": rateInterval, "__range": "6h", "__interval": "1m", "write_stopped_at": "1.7e9",
}

func parsePromQL(expr string) (parser.Expr, error) { return parseExpr(interpolate(expr, macros)) }

var macro = regexp.MustCompile(`\$\{(\w+)(?::\w+)?\}|\$(\w+)`)

// interpolate replaces Grafana's variables by their values, if they have one.
func interpolate(text string, values map[string]string) string {
	return macro.ReplaceAllStringFunc(text, func(use string) string {
		m := macro.FindStringSubmatch(use)
		if value, ok := values[m[1]+m[2]]; ok {
			return value
		}
		return use
	})
}

var variableQuery = regexp.MustCompile(`^(label_values|query_result)\((.+?)(?:, (\w+))?\)$`)

// grafanaQuery takes apart the query of a variable.
func grafanaQuery(query string) (expr, label string, err error) {
	m := variableQuery.FindStringSubmatch(query)
	if m == nil || (m[1] == "label_values") != (m[3] != "") {
		return "", "", fmt.Errorf("cannot read %q", query)
	}
	return m[2], m[3], nil
}

func TestDashboardLint(t *testing.T) { checkBoards(t, lintRules, lintExceptions) }

func TestDashboardHouseRules(t *testing.T) { checkBoards(t, houseRules, nil) }

// openings are the refresh interval and the start of the time range, by board.
var openings = map[string][2]string{
	"oms-fleet": {"30s", "now-6h"}, "oms-task": {"30s", "now-6h"},
	"oms-cutover": {"10s", "now-2h"}, "oms-exporter": {"30s", "now-6h"},
}

// kinds are the panels that both Grafana 9.3 and the latest version have.
var kinds = []string{
	"stat", "gauge", "bargauge", "table", "timeseries", "state-timeline", "status-history",
	"heatmap", "barchart", "text", "row",
}

var houseRules = []boardRule{
	{"it opens with the right settings", func(_ *testing.T, b *drawnBoard, found report) {
		want := openings[b.UID]
		if b.file != b.UID+".json" || b.Refresh != want[0] || b.Time.From != want[1] || b.Time.To != "now" ||
			b.Timezone != "browser" || b.GraphTooltip != 1 || b.SchemaVersion != 37 ||
			!slices.Equal(b.Tags, []string{"oms"}) {
			found("dashboard", "%s, %s, %v, %s, %d, %d, %v", b.file, b.Refresh, b.Time, b.Timezone,
				b.GraphTooltip, b.SchemaVersion, b.Tags)
		}
	}},
	{"its description asks a question", func(_ *testing.T, b *drawnBoard, found report) {
		if !strings.Contains(b.Description, "? ") {
			found("dashboard", "%q", b.Description)
		}
	}},
	{"descriptions are sentences", func(_ *testing.T, b *drawnBoard, found report) {
		b.eachPanel(func(p *drawnPanel) {
			if !regexp.MustCompile(`^\S.{30,}[.]$`).MatchString(p.Description) || strings.Contains(p.Description, "  ") {
				found(p.Title, "%q", p.Description)
			}
		})
		for _, v := range b.Templating.List {
			if !strings.HasSuffix(v.Description, ".") || v.Label == "" {
				found(v.Name, "label %q, description %q", v.Label, v.Description)
			}
		}
	}},
	{"panels lie in the grid without overlapping", layout},
	{"panels are of kinds that all versions of Grafana have", func(_ *testing.T, b *drawnBoard, found report) {
		for _, p := range b.Panels {
			if !slices.Contains(kinds, p.Type) {
				found(p.Title, "%s", p.Type)
			}
		}
	}},
	{"panels that show the present query the present", func(_ *testing.T, b *drawnBoard, found report) {
		b.eachPanel(func(p *drawnPanel) {
			now := slices.Contains([]string{"stat", "gauge", "bargauge", "table", "barchart"}, p.Type)
			for _, target := range p.Targets {
				if target.Instant != now || target.Range == now {
					found(p.Title, "%s: instant is %t", target.RefID, target.Instant)
				}
			}
		})
	}},
	{"unknown is not zero", func(_ *testing.T, b *drawnBoard, found report) {
		b.eachTarget(func(p *drawnPanel, target drawnTarget) {
			if strings.Contains(target.Expr, "vector(") {
				found(p.Title, "%s is a number even if nothing is known", target.RefID)
			}
		})
	}},
	{"nulls stay gaps", func(_ *testing.T, b *drawnBoard, found report) {
		b.eachPanel(func(p *drawnPanel) {
			if p.Type != "timeseries" && p.Type != "state-timeline" {
				return
			}
			if spans, ok := p.FieldConfig.Defaults.Custom["spanNulls"].(bool); !ok || spans {
				found(p.Title, "spanNulls is %v", p.FieldConfig.Defaults.Custom["spanNulls"])
			}
		})
	}},
	{"a word has one color, and a color has a word", wording},
	{"panels with delays show the noise floor", noiseFloor},
	{"alerts and outages are annotated", annotated},
	{"variables that are used exist, and those that exist are used", variables},
	{"links are not broken", linked},
	{"titles are different", func(_ *testing.T, b *drawnBoard, found report) {
		seen := map[string]bool{}
		for _, p := range b.Panels {
			if seen[p.Title] {
				found(p.Title, "another panel has the same title")
			}
			seen[p.Title] = true
		}
	}},
	{"queries of a panel have different letters", func(_ *testing.T, b *drawnBoard, found report) {
		b.eachPanel(func(p *drawnPanel) {
			seen := map[string]bool{}
			for _, target := range p.Targets {
				if seen[target.RefID] || len(target.RefID) != 1 {
					found(p.Title, "%q", target.RefID)
				}
				seen[target.RefID] = true
				if target.Format == "time_series" && target.LegendFormat == "" && len(p.Targets) > 1 {
					found(p.Title, "%s has no legend", target.RefID)
				}
			}
		})
	}},
}

func layout(_ *testing.T, b *drawnBoard, found report) {
	taken := map[[2]int]string{}
	widths := map[int]int{} // of the lines of panels
	ids := map[int]bool{}
	for _, p := range b.Panels {
		g := p.GridPos
		if g.X < 0 || g.W < 1 || g.H < 1 || g.X+g.W > 24 {
			found(p.Title, "at %+v", g)
		}
		if ids[p.ID] || p.ID == 0 {
			found(p.Title, "id %d is taken", p.ID)
		}
		ids[p.ID] = true
		if p.Type == "row" {
			continue
		}
		widths[g.Y] += g.W
		for x := g.X; x < g.X+g.W; x++ {
			for y := g.Y; y < g.Y+g.H; y++ {
				if other, ok := taken[[2]int{x, y}]; ok {
					found(p.Title, "lies on %s", other)
					return
				}
				taken[[2]int{x, y}] = p.Title
			}
		}
	}
	for y, w := range widths {
		if w != 24 {
			found(taken[[2]int{0, y}], "its line is %d columns wide: change the widths so that they add up to 24", w)
		}
	}
}

// colorOf keeps the color of each word over all boards.
var colorOf = map[string]string{}

func wording(t *testing.T, b *drawnBoard, found report) {
	t.Helper()
	b.eachPanel(func(p *drawnPanel) {
		mappings := slices.Clone(p.FieldConfig.Defaults.Mappings)
		for _, value := range p.properties("mappings") {
			var more []drawnMapping
			if err := json.Unmarshal(value, &more); err != nil {
				t.Fatal(err)
			}
			mappings = append(mappings, more...)
		}
		for _, m := range mappings {
			for value, to := range m.Options {
				if to.Text == "" || to.Color == "" {
					found(p.Title, "%s is %q in %q", value, to.Text, to.Color)
				}
				if known, ok := colorOf[to.Text]; ok && known != to.Color {
					found(p.Title, "%s is %s here and %s elsewhere", to.Text, to.Color, known)
				}
				colorOf[to.Text] = to.Color
			}
		}
		for _, o := range p.FieldConfig.Overrides {
			for _, property := range o.Properties {
				if known, ok := colorOf[o.Matcher.Options]; ok && property.ID == "color" &&
					!strings.Contains(string(property.Value), `"`+known+`"`) {
					found(p.Title, "%s is %s here and %s elsewhere", o.Matcher.Options, property.Value, known)
				}
			}
		}
	})
}

// delays are the series that are delays.
var delays = regexp.MustCompile(`oms:task_effective_delay:seconds|oms_task_sync_delay_seconds`)

func noiseFloor(_ *testing.T, b *drawnBoard, found report) {
	b.eachPanel(func(p *drawnPanel) {
		unit := p.FieldConfig.Defaults.Unit
		shows := false
		for _, target := range p.Targets {
			shows = shows || delays.MatchString(target.Expr) && !strings.Contains(target.Expr, "eta")
		}
		if !shows || unit != "s" && p.Type != "table" {
			return
		}
		said := strings.Contains(p.Description, "30 s")
		drawn := slices.ContainsFunc(p.FieldConfig.Defaults.Thresholds.Steps, func(s struct {
			Value *float64
			Color string
		},
		) bool {
			return s.Value != nil && *s.Value == 30
		})
		if p.Type == "timeseries" && !drawn || !said {
			found(p.Title, "the noise floor of 30 s is drawn: %t, said: %t", drawn, said)
		}
	})
}

func annotated(_ *testing.T, b *drawnBoard, found report) {
	asked := map[string]string{}
	for _, a := range b.Annotations.List {
		if a.BuiltIn == 1 {
			continue
		}
		if _, err := parsePromQL(a.Expr); err != nil || !a.Enable || a.Datasource.UID != "${datasource}" {
			found(a.Name, "%+v: %v", a, err)
		}
		asked[a.Name] = a.Expr
	}
	if !strings.Contains(asked["Alerts"], "ALERTS{") || !strings.Contains(asked["Alerts"], "scope=") ||
		!strings.Contains(asked["Alerts"], "task") {
		found("Alerts", "%q", asked["Alerts"])
	}
	if !strings.Contains(asked["OMS outages"], "oms_up{") {
		found("OMS outages", "%q", asked["OMS outages"])
	}
}

// ownVariables are Grafana's.
var ownVariables = []string{
	"__range", "__rate_interval", "__interval", "__url_time_range", "__data", "__field",
}

func variables(t *testing.T, b *drawnBoard, found report) {
	t.Helper()
	texts := map[string]string{}
	b.eachPanel(func(p *drawnPanel) {
		for _, target := range p.Targets {
			texts[p.Title] += target.Expr + " "
		}
		for _, l := range p.links(t) {
			texts[p.Title] += l.URL + " "
		}
	})
	for _, v := range b.Templating.List {
		texts["variable "+v.Name] = v.query()
	}
	for _, l := range b.Links {
		texts["links"] += l.URL + " "
	}
	used := map[string]bool{"datasource": true}
	for where, text := range texts {
		for _, m := range regexp.MustCompile(`\$\{?(\w+)`).FindAllStringSubmatch(text, -1) {
			used[m[1]] = true
			if !slices.Contains(ownVariables, m[1]) && !b.has(m[1]) {
				found(where, "there is no variable %s", m[1])
			}
		}
	}
	for _, v := range b.Templating.List {
		if !used[v.Name] {
			found(v.Name, "nothing uses this variable")
		}
	}
}

func (b *drawnBoard) has(variable string) bool {
	return slices.ContainsFunc(b.Templating.List, func(v drawnVariable) bool { return v.Name == variable })
}

func linked(t *testing.T, b *drawnBoard, found report) {
	t.Helper()
	boards := map[string]*drawnBoard{}
	all := drawnBoards(t)
	for i := range all {
		boards[all[i].UID] = &all[i]
	}
	if !slices.ContainsFunc(b.Links, func(l drawnLink) bool {
		return l.Type == "dashboards" && slices.Equal(l.Tags, b.Tags) && l.IncludeVars && l.KeepTime
	}) {
		found("links", "none leads to the other boards and keeps time and variables")
	}
	b.eachPanel(func(p *drawnPanel) {
		rows := p.Type == "table"
		for _, l := range p.links(t) {
			if strings.Contains(l.URL, "__data.fields") != rows && strings.Contains(l.URL, "/d/") {
				found(p.Title, "this is not how a %s names its labels: %s", p.Type, l.URL)
			}
			if err := leads(boards, l); err != nil {
				found(p.Title, "%v: %s", err, l.URL)
			}
		}
	})
}

// leads returns an error if a link is broken.
func leads(boards map[string]*drawnBoard, l drawnLink) error {
	for _, outside := range []string{"${oms_console_url}", "${runbook_base}"} {
		if strings.HasPrefix(l.URL, outside) {
			return nil
		}
	}
	m := regexp.MustCompile(`^/d/([\w-]+)/([\w-]+)\?(.*)$`).FindStringSubmatch(l.URL)
	if m == nil || boards[m[1]] == nil || m[1] != m[2] {
		return errors.New("no such board")
	}
	var given []string
	for part := range strings.SplitSeq(m[3], "&") {
		if v, ok := strings.CutPrefix(part, "var-"); ok {
			name, _, _ := strings.Cut(v, "=")
			if given = append(given, name); !boards[m[1]].has(name) {
				return fmt.Errorf("%s has no variable %s", m[1], name)
			}
		}
	}
	if !strings.Contains(m[3], "${__url_time_range}") || !slices.Contains(given, "task_id") {
		return errors.New("time range or task are lost")
	}
	return nil
}

// TestDashboardsNameWhatExists checks that every metric and label in a query, a
// variable or an annotation exists.
func TestDashboardsNameWhatExists(t *testing.T) {
	known := known(t)
	for _, b := range drawnBoards(t) {
		for _, q := range b.queries(t) {
			expr := interpolate(q.expr, macros)
			labels, err := known.Labels(expr)
			if err != nil {
				t.Errorf("%s: %s: %v", b.UID, q.name(), err)
			}
			wanted := regexp.MustCompile(`\{\{\s*(\w+)\s*\}\}`).FindAllStringSubmatch(q.legend, -1)
			if q.label != "" {
				wanted = append(wanted, []string{"", q.label})
			}
			for _, w := range wanted {
				if !slices.Contains(labels, w[1]) {
					t.Errorf("%s: %s: no label %s to show", b.UID, q.name(), w[1])
				}
			}
		}
	}
}

// TestDashboardTablesHoldTogether checks tables. Grafana merges rows of several
// queries if their common columns agree, so a label must be in all queries or
// in one. The fields that columns and links name must exist.
func TestDashboardTablesHoldTogether(t *testing.T) {
	known := known(t)
	for _, b := range drawnBoards(t) {
		b.eachPanel(func(p *drawnPanel) {
			in, titles := map[string]int{}, map[string]bool{}
			for _, target := range p.Targets {
				labels, err := known.Labels(interpolate(target.Expr, macros))
				if err != nil {
					t.Fatal(err)
				}
				for _, l := range labels {
					in[l]++
				}
				in["Value #"+target.RefID]++
			}
			for _, l := range p.links(t) {
				for _, m := range regexp.MustCompile(`(?:fields|labels)\.(\w+)`).FindAllStringSubmatch(l.URL, -1) {
					if in[m[1]] == 0 {
						t.Errorf("%s: %s: a link asks for %s", b.UID, p.Title, m[1])
					}
				}
			}
			if p.Type != "table" {
				return
			}
			for field, n := range in {
				if n != 1 && n != len(p.Targets) {
					t.Errorf("%s: %s: %d of %d queries have %s", b.UID, p.Title, n, len(p.Targets), field)
				}
			}
			for _, o := range p.FieldConfig.Overrides {
				if o.Matcher.ID == "byName" && in[o.Matcher.Options] == 0 {
					t.Errorf("%s: %s: there is no column %s", b.UID, p.Title, o.Matcher.Options)
				}
			}
			for _, title := range p.properties("displayName") {
				titles[strings.Trim(string(title), `"`)] = true
			}
			for _, s := range p.Options.SortBy {
				if !titles[s.DisplayName] {
					t.Errorf("%s: %s: no column to sort by is called %s", b.UID, p.Title, s.DisplayName)
				}
			}
		})
	}
}

// A boardQuery is a query that a board sends to Prometheus.
type boardQuery struct {
	panel, ref, expr, legend string
	label                    string // the query asks for the values of this label
	instant                  bool
	points                   int // maximum that Grafana asks for; 0: one per pixel
}

func (q *boardQuery) name() string { return q.panel + " " + q.ref }

// queries returns all queries of the board.
func (b *drawnBoard) queries(t *testing.T) []boardQuery {
	t.Helper()
	var all []boardQuery
	b.eachTarget(func(p *drawnPanel, target drawnTarget) {
		all = append(all, boardQuery{
			panel: p.Title, ref: target.RefID, expr: target.Expr, legend: target.LegendFormat,
			instant: target.Instant, points: p.MaxDataPoints,
		})
	})
	for _, v := range b.Templating.List {
		if v.Type != "query" {
			continue
		}
		expr, label, err := grafanaQuery(v.query())
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, boardQuery{panel: "variable", ref: v.Name, expr: expr, label: label, instant: true})
	}
	for _, a := range b.Annotations.List {
		if a.Expr != "" {
			// One point a minute, for six hours.
			all = append(all, boardQuery{panel: "annotation", ref: a.Name, expr: a.Expr, points: 360})
		}
	}
	return all
}

// TestDashboardTaskChoice checks that the choice of tasks shows names and
// selects ids, both of which Grafana takes from the text of a series.
func TestDashboardTaskChoice(t *testing.T) {
	const series = `oms_task_info{importance="HIGH",instance="a",job="oms",task_id="np_1",` +
		`task_name="a (b)",task_owner="o",task_type="SYNC"} 1 1767225600000`
	for _, b := range drawnBoards(t) {
		for _, v := range b.Templating.List {
			if v.Name != "task_id" {
				continue
			}
			m := regexp.MustCompile(strings.Trim(v.Regex, "/"))
			found := m.FindStringSubmatch(series)
			if found == nil || found[m.SubexpIndex("value")] != "np_1" ||
				found[m.SubexpIndex("text")] != "a (b)" || v.Multi {
				t.Errorf("%s finds %q", v.Regex, found)
			}
		}
	}
}

// TestDashboardStatesAreTheRules checks that every panel maps numbers to states
// as the recording rules do.
func TestDashboardStatesAreTheRules(t *testing.T) {
	want := map[string]map[string]string{"task": {"9": "UNKNOWN"}, "step": {"7": "UNKNOWN"}}
	for _, r := range known(t).rules {
		if r.Record == "oms:status_code:number" {
			want[r.Labels["kind"]][strings.Trim(r.Expr, "vector()")] = r.Labels["status"]
		}
	}
	for kind, words := range want {
		checked := 0
		for _, b := range drawnBoards(t) {
			b.eachPanel(func(p *drawnPanel) {
				if len(p.Targets) != 1 || !strings.HasPrefix(p.Targets[0].Expr, "oms:"+kind+"_status:code") &&
					!strings.HasPrefix(p.Targets[0].Expr, "oms:task_"+kind+"_status:code") {
					return
				}
				got := map[string]string{}
				for _, m := range p.FieldConfig.Defaults.Mappings {
					for value, to := range m.Options {
						got[value] = to.Text
					}
				}
				if checked++; !maps.Equal(got, words) {
					t.Errorf("%s: %s: %v, want %v", b.UID, p.Title, got, words)
				}
			})
		}
		if checked == 0 || len(words) < 7 {
			t.Errorf("%d panels show one of the %d statuses of a %s", checked, len(words), kind)
		}
	}
}
