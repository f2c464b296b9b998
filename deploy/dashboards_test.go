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
	"strconv"
	"strings"
	"testing"

	"github.com/grafana/grafana-foundation-sdk/go/cog/plugins"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/prometheus/prometheus/promql/parser"

	"oms_exporter/collector"
	"oms_exporter/deploy/internal/dashboards"
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
		Title, Type, URL                               string
		Tags                                           []string
		IncludeVars, KeepTime, TargetBlank, AsDropdown bool
	}
	drawnSource   struct{ Type, UID string }
	drawnVariable struct {
		Name, Label, Type, Description, AllValue, Regex string
		Query                                           any
		Datasource                                      drawnSource
		Multi, IncludeAll                               bool
		Refresh, Hide                                   int
		Current                                         struct{ Value any }
	}
	drawnAnnotation struct {
		Name, Expr string
		Enable     bool
		Hide       bool
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
				Unit, NoValue string
				Min           *float64
				Color         struct{ Mode, FixedColor string }
				Mappings      []drawnMapping
				Thresholds    struct {
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
			SortBy     []struct{ DisplayName string }
			WideLayout bool
			TextMode   string
			ColorMode  string
		}
	}
	drawnWord    struct{ Text, Color string }
	drawnMapping struct {
		Type    string
		Options json.RawMessage
	}
)

// words returns the words of a mapping by what they stand for: a value, or
// null+nan.
func (m *drawnMapping) words(t *testing.T) map[string]drawnWord {
	t.Helper()
	words := map[string]drawnWord{}
	var err error
	if m.Type == "value" {
		err = json.Unmarshal(m.Options, &words)
	} else {
		var special struct {
			Match  string
			Result drawnWord
		}
		err = json.Unmarshal(m.Options, &special)
		words[special.Match] = special.Result
	}
	if err != nil {
		t.Fatal(err)
	}
	return words
}

// words returns the words of the panel and its columns, by what they stand for.
func (p *drawnPanel) words(t *testing.T) map[string]drawnWord {
	t.Helper()
	mappings := slices.Clone(p.FieldConfig.Defaults.Mappings)
	for _, value := range p.properties("mappings") {
		var more []drawnMapping
		if err := json.Unmarshal(value, &more); err != nil {
			t.Fatal(err)
		}
		mappings = append(mappings, more...)
	}
	words := map[string]drawnWord{}
	for _, m := range mappings {
		for value, to := range m.words(t) {
			words[value+" "+to.Text] = to
		}
	}
	return words
}

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
		{"target-job", "oms-exporter", "Scrape time", setting},
		{"target-instance", "oms-exporter", "Scrape time", setting},
		{"target-job", "oms-cutover", "Tasks of the wave", setting},
		{"target-instance", "oms-cutover", "Tasks of the wave", setting},
		{
			"target-rate-interval", "oms-exporter", "Unknown values of OMS",
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
	"none", "short", "locale", "percentunit", "s", "dateTimeAsIso", "bytes", "Bps", "reqps", "cps",
	"suffix: ×", "suffix: rec/s",
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
	"__rate_interval": rateInterval, "__range": "6h", "__interval": "1m", "write_stopped_at": "",
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

// TestProvisioningHasEveryDirectory checks that a mount over Grafana's own
// directory lacks nothing, about which Grafana would log an error at each start.
func TestProvisioningHasEveryDirectory(t *testing.T) {
	for _, dir := range []string{"alerting", "dashboards", "datasources", "notifiers", "plugins"} {
		if entries, err := os.ReadDir("grafana/provisioning/" + dir); err != nil || len(entries) == 0 {
			t.Errorf("grafana/provisioning/%s is not there, or Git will not keep it: %v", dir, err)
		}
	}
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
	{"unknown is not a figure", madeUp},
	{"series that are off by default are not asked for", func(_ *testing.T, b *drawnBoard, found report) {
		for _, d := range collector.Docs() {
			if d.Group == "detail" {
				b.eachTarget(func(p *drawnPanel, target drawnTarget) {
					if strings.Contains(target.Expr, d.Name) {
						found(p.Title, "%s: %s is off by default", target.RefID, d.Name)
					}
				})
			}
		}
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
	{"annotations leave the charts to be seen", annotated},
	{"timelines take their colors from words, and are never empty", timelines},
	{"no value has a word and no color", absent},
	{"figures are as large as they can be", large},
	{"tables fit, with headings", fitting},
	{"what is filled or stacked begins at 0", fromZero},
	{"no text is yellow, which nobody can read on white", func(t *testing.T, b *drawnBoard, found report) {
		t.Helper()
		b.eachPanel(func(p *drawnPanel) {
			for _, o := range p.FieldConfig.Overrides {
				content, err := json.Marshal(o.Properties)
				if err != nil {
					t.Fatal(err)
				}
				text := strings.Contains(string(content), "color-text") || p.Options.ColorMode == "value"
				if text && strings.Contains(string(content), `"yellow"`) {
					found(p.Title, "%s", o.Matcher.Options)
				}
			}
			for _, s := range p.FieldConfig.Defaults.Thresholds.Steps {
				if s.Color == "yellow" && p.Options.ColorMode == "value" {
					found(p.Title, "its value")
				}
			}
		})
	}},
	{"titles fit", func(_ *testing.T, b *drawnBoard, found report) {
		b.eachPanel(func(p *drawnPanel) {
			// The sign of the description and the edges take 75 pixels.
			if room := p.GridPos.W*columnPixels - 75; 8*len([]rune(p.Title)) > room {
				found(p.Title, "its title has only %d pixels", room)
			}
		})
	}},
	{"a pair of exporters counts once", pairs},
	{"the header is short", header},
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
		for value, to := range p.words(t) {
			if to.Text == "" || to.Color == "" {
				found(p.Title, "%s is %q in %q", value, to.Text, to.Color)
			}
			if to.Color == "text" || to.Color == "transparent" {
				continue // that is no color
			}
			if known, ok := colorOf[to.Text]; ok && known != to.Color {
				found(p.Title, "%s is %s here and %s elsewhere", to.Text, to.Color, known)
			}
			colorOf[to.Text] = to.Color
		}
		for _, o := range p.FieldConfig.Overrides {
			for _, property := range o.Properties {
				known, ok := colorOf[o.Matcher.Options]
				if ok && (property.ID == "color" || property.ID == "thresholds") &&
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

// An alert that goes on would cover a chart, so that only its beginning may be
// marked.
func annotated(_ *testing.T, b *drawnBoard, found report) {
	asked := map[string]string{}
	for _, a := range b.Annotations.List {
		if !a.Hide || !a.Enable {
			found(a.Name, "it takes room for a switch, or is off")
		}
		if a.BuiltIn == 1 {
			continue
		}
		if _, err := parsePromQL(a.Expr); err != nil || a.Datasource.UID != "${datasource}" {
			found(a.Name, "%+v: %v", a, err)
		}
		if alert, rest, _ := strings.Cut(a.Expr, " unless "); strings.Contains(alert, "ALERTS") && rest != alert+" offset 1m" {
			found(a.Name, "it marks more than the beginning of an alert")
		}
		asked[a.Name] = a.Expr
	}
	if !strings.Contains(asked["OMS outages"], "oms_up{") {
		found("OMS outages", "%q", asked["OMS outages"])
	}
}

// madeUp finds numbers that stand for nothing known. Only a word may say that
// nothing is known, and not a good one. Heat maps hide 0.
func madeUp(t *testing.T, b *drawnBoard, found report) {
	t.Helper()
	b.eachPanel(func(p *drawnPanel) {
		for _, target := range p.Targets {
			for _, m := range regexp.MustCompile(`vector\((-?[^()]*)\)`).FindAllStringSubmatch(target.Expr, -1) {
				said := strings.Contains(m[1], "$") || p.Type == "heatmap" && m[1] == "0"
				for value, to := range p.words(t) {
					said = said || strings.HasPrefix(value, m[1]+" ") && !strings.Contains(to.Color, "green")
				}
				if !said {
					found(p.Title, "%s is %s even if nothing is known, and no word says so", target.RefID, m[1])
				}
			}
		}
	})
}

// timelines finds timelines that Grafana would draw in one color, because it
// merges by thresholds before it looks at mappings, and ones that can be empty,
// which it shows as an error.
func timelines(t *testing.T, b *drawnBoard, found report) {
	t.Helper()
	b.eachPanel(func(p *drawnPanel) {
		if p.Type == "heatmap" && strings.Contains(p.Targets[0].Expr, "count_values") &&
			!strings.Contains(p.Targets[0].Expr, "vector(0)") {
			found(p.Title, "without any series, Grafana shows an error")
		}
		if p.Type != "state-timeline" && p.Type != "status-history" {
			return
		}
		d := p.FieldConfig.Defaults
		if d.Color.Mode != "fixed" || d.Color.FixedColor != "text" {
			found(p.Title, "its color is by %s", d.Color.Mode)
		}
		if d.NoValue != "" {
			found(p.Title, "%q stands in the legend whatever there is", d.NoValue)
		}
		sure := func(target drawnTarget) bool {
			return strings.Contains(target.Expr, "vector(") || strings.HasPrefix(target.Expr, "oms:exporter_up:bool{")
		}
		if !slices.ContainsFunc(p.Targets, sure) {
			found(p.Title, "it can be without any series")
		}
	})
}

// absent finds panels that would show that there is no value in the color of a
// value, which is often a good one.
func absent(t *testing.T, b *drawnBoard, found report) {
	t.Helper()
	b.eachPanel(func(p *drawnPanel) {
		d := p.FieldConfig.Defaults
		switch p.Type {
		case "stat", "gauge", "bargauge":
			to, ok := p.words(t)["null+nan "+d.NoValue]
			for word, to := range p.words(t) {
				if to.Color == "transparent" && p.Type == "stat" && p.Options.ColorMode != "background" {
					found(p.Title, "%s cannot be seen", word)
				}
			}
			neutral := map[bool]string{false: "text", true: "transparent"}[p.Options.ColorMode == "background"]
			if d.NoValue == "" || !ok || to.Color != neutral {
				found(p.Title, "no value is %q, in %q", d.NoValue, to.Color)
			}
		case "table":
			for _, o := range p.FieldConfig.Overrides {
				content, err := json.Marshal(o.Properties)
				if err != nil {
					t.Fatal(err)
				}
				if strings.Contains(string(content), "color-background") && !strings.Contains(string(content), "null+nan") {
					found(p.Title, "an empty cell of %s has the color of a value", o.Matcher.Options)
				}
			}
		case "timeseries":
			if d.NoValue != "" {
				found(p.Title, "%q may become the label of an axis", d.NoValue)
			}
		}
	})
}

// Pixels of a column and a row of the grid on a screen of 1280 pixels, on which
// the menu of Grafana 12 takes 300.
const (
	columnPixels = 39
	rowPixels    = 38
)

// large finds figures that Grafana would make small: it sizes them by the room,
// and Grafana 9.3 puts names beside them in wide and low panels.
func large(_ *testing.T, b *drawnBoard, found report) {
	b.eachPanel(func(p *drawnPanel) {
		if p.Type != "stat" {
			return
		}
		if p.Options.WideLayout {
			found(p.Title, "the name stands beside the value")
		}
		if p.GridPos.H < 4 {
			found(p.Title, "it is only %d high", p.GridPos.H)
		}
		single := len(p.Targets) == 1 && p.Options.TextMode == "value"
		if single && 2*p.GridPos.W*columnPixels > 5*p.GridPos.H*rowPixels {
			found(p.Title, "it is %d wide and %d high, more than 2.5 times", p.GridPos.W, p.GridPos.H)
		}
	})
}

// fitting finds columns that are cut off on a screen of 1280 pixels.
func fitting(t *testing.T, b *drawnBoard, found report) {
	t.Helper()
	b.eachPanel(func(p *drawnPanel) {
		if p.Type != "table" {
			return
		}
		if filterable, ok := p.FieldConfig.Defaults.Custom["filterable"].(bool); !ok || filterable {
			found(p.Title, "a funnel covers its headings")
		}
		sum := 0
		for _, o := range p.FieldConfig.Overrides {
			var title string
			var width int
			var words []string
			for _, property := range o.Properties {
				var err error
				switch property.ID {
				case "mappings":
					var mappings []drawnMapping
					err = json.Unmarshal(property.Value, &mappings)
					for _, m := range mappings {
						for _, to := range m.words(t) {
							words = append(words, to.Text)
						}
					}
				case "displayName":
					err = json.Unmarshal(property.Value, &title)
				case "custom.width":
					err = json.Unmarshal(property.Value, &width)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			// A letter is about 8 pixels wide, the padding 16, the arrow of the
			// order 20.
			least := 8*len([]rune(title)) + 16
			if slices.ContainsFunc(p.Options.SortBy, func(s struct{ DisplayName string }) bool {
				return s.DisplayName == title
			}) {
				least += 20
			}
			if title != "" && width > 0 && width < least {
				found(p.Title, "%s is %d wide, its heading needs %d", title, width, least)
			}
			if title != "" && width == 0 {
				width = 100 // at least: it has what is left
			}
			sum += width
			for _, word := range words {
				if least := 7*len([]rune(word)) + 16; width < least {
					found(p.Title, "%s is %d wide, %s needs %d", title, width, word, least)
				}
			}
		}
		if room := p.GridPos.W*columnPixels - 20; sum > room {
			found(p.Title, "its columns are %d wide in a panel of %d", sum, room)
		}
	})
}

func fromZero(_ *testing.T, b *drawnBoard, found report) {
	b.eachPanel(func(p *drawnPanel) {
		custom := p.FieldConfig.Defaults.Custom
		if p.Type != "timeseries" {
			return
		}
		filled, _ := custom["fillOpacity"].(float64)
		from := p.FieldConfig.Defaults.Min
		if filled > 0 && (from == nil || *from != 0) {
			found(p.Title, "it is filled, and does not begin at 0")
		}
		if scale, ok := custom["scaleDistribution"].(map[string]any); ok && scale["type"] == "log" && from != nil {
			found(p.Title, "a logarithm does not begin at %v", *from)
		}
	})
}

// pairs finds queries whose results have a job. Two exporters of one OMS have
// different jobs, so that everything would be there twice.
func pairs(t *testing.T, b *drawnBoard, found report) {
	t.Helper()
	if b.UID == "oms-exporter" {
		return // it is about exporters
	}
	b.eachTarget(func(p *drawnPanel, target drawnTarget) {
		labels, err := known(t).Labels(interpolate(target.Expr, macros))
		if err != nil {
			t.Fatal(err)
		}
		if slices.Contains(labels, "job") {
			found(p.Title, "%s: a result for each job", target.RefID)
		}
		eachNode(interpolate(target.Expr, macros), func(node parser.Node, _ []parser.Node) {
			if v, ok := node.(*parser.BinaryExpr); ok && v.VectorMatching != nil &&
				v.VectorMatching.On && slices.Contains(v.VectorMatching.MatchingLabels, "job") {
				found(p.Title, "%s: matches by job: %s", target.RefID, v)
			}
		})
	})
}

// header finds what would push the first panels off the first screen.
func header(_ *testing.T, b *drawnBoard, found report) {
	for _, l := range b.Links {
		if l.Type == "dashboards" && !l.AsDropdown {
			found("links", "a button for each board")
		}
	}
	list := b.Templating.List
	for _, v := range list {
		if v.Name == "job" && v.Hide != 2 && b.UID != "oms-exporter" {
			found(v.Name, "a pair counts once, so that it needs no choice")
		}
		if v.Type == "datasource" && v.Current.Value != "default" {
			found(v.Name, "it opens with %v", v.Current.Value)
		}
	}
	if b.Panels[0].Type == "row" {
		found(b.Panels[0].Title, "the first row has a heading")
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
		if n := len(p.FieldConfig.Defaults.Links); n > 1 {
			found(p.Title, "%d links of a field, which open a menu", n)
		}
		for _, value := range p.properties("links") {
			if strings.Count(string(value), `"url"`) > 1 {
				found(p.Title, "several links of a column, which open a menu")
			}
		}
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
	m := regexp.MustCompile(`^/d/([\w-]+)/([\w-]+)\?(.*)$`).FindStringSubmatch(l.URL)
	if m == nil || boards[m[1]] == nil || m[1] != m[2] {
		return errors.New("no such board; addresses outside are for those who set them")
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

// TestDashboardsLinkOutside checks that boards lead out of Grafana where, and
// only where, somebody has said to.
func TestDashboardsLinkOutside(t *testing.T) {
	const console, runbooks = "https://oms.internal:8089", "https://git.internal/runbooks/"
	told, err := dashboards.Files(dashboards.Outside{Console: console, Runbooks: runbooks})
	if err != nil {
		t.Fatal(err)
	}
	for name, board := range told {
		for _, link := range []string{`"url": "` + console + `"`, `"url": "` + runbooks + `"`} {
			if !strings.Contains(board, link) {
				t.Errorf("%s lacks %s", name, link)
			}
		}
		alerts := strings.Contains(board, `"value": "Alert"`)
		if alerts != strings.Contains(board, runbooks+"${__data.fields.alertname}.md") {
			t.Errorf("%s: alerts, %t, do not lead to their runbooks", name, alerts)
		}
		if content := readFile(t, name); strings.Contains(content, "https://") {
			t.Errorf("%s leads outside", name)
		}
	}
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
				expr := strings.TrimPrefix(p.Targets[0].Expr, "max without (job) (")
				if p.Type == "table" || !strings.HasPrefix(expr, "oms:"+kind+"_status:code") &&
					!strings.HasPrefix(expr, "oms:task_"+kind+"_status:code") {
					return
				}
				got := map[string]string{}
				for value, to := range p.words(t) {
					number, _, _ := strings.Cut(value, " ")
					// Others stand for no status: there is none, or an alert.
					if n, err := strconv.Atoi(number); err == nil && n > 0 && n < 100 {
						got[number] = to.Text
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
