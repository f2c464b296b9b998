package dashboards

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	sdk "github.com/grafana/grafana-foundation-sdk/go/table"
)

// A table has one row per combination of the labels that all its queries share,
// and one column per query and per shown label.
type table struct {
	by      []string // labels of a row, besides instance
	columns []column
	sort    string // title of the column to sort by, descending
	rising  bool   // ascending

	// inOrder keeps the rows in the order of the first query's values.
	inOrder bool
	// none is what the first column with a value says if there are no rows, and
	// known has a result; without it, if OMS answers.
	none, known string
}

// A column shows the values of a query or a label, which is of its own query or
// else of the first one.
type column struct {
	title string
	expr  string
	label string
	width int
	cell  string // how Grafana draws the cell; empty: as text
	unit  string
	steps []dashboard.Threshold
	words mapping
	max   float64
	links []dashboard.DashboardLink

	decimals *float64
	says     string // that there is no row
}

// Columns that several tables have. One without a width has the room that is
// left.
var (
	taskColumn = column{title: "Task", label: "task_name", links: rowLinks}
	omsColumn  = column{title: "OMS", label: "instance", width: 100}
)

// Ways to draw a cell.
const (
	filled = "color-background-solid"
	tinted = "color-text"
	gauged = "basic"
)

// build makes the panel a table and returns its queries. Each query keeps the
// labels of a row, and the first one also those that are shown, so that Grafana
// can merge their rows.
func (t *table) build(p *dashboard.Panel) []query {
	p.Type = "table"
	p.FieldConfig.Defaults.Custom = map[string]any{
		"align": "auto", "displayMode": "auto", "inspect": false, "filterable": false, "minWidth": 60,
	}
	options := &sdk.Options{
		ShowHeader: true,
		Footer:     &common.TableFooterOptions{Reducer: []string{"sum"}, Fields: []string{}},
	}
	if t.sort != "" {
		options.SortBy = []common.TableSortByFieldState{{
			DisplayName: t.sort, Desc: cog.ToPtr(!t.rising),
		}}
	}
	p.Options = options

	queries, order := t.queries()
	p.FieldConfig.Overrides = t.overrides()
	p.Transformations = arrange(order)
	return queries
}

// overrides are the looks of the columns.
func (t *table) overrides() []dashboard.DashboardFieldConfigSourceOverrides {
	var list []dashboard.DashboardFieldConfigSourceOverrides
	// Labels that only links need are hidden; if they were removed, links could
	// not use them.
	hidden := t.keys()
	asked := 0
	for _, c := range t.columns {
		if c.expr != "" && asked == 0 {
			c.says = t.none
		}
		field := c.label
		if c.expr != "" {
			value := "Value #" + refID(asked)
			asked++
			if c.label == "" {
				field = value
			} else {
				hidden = append(hidden, value)
			}
		}
		list = append(list, c.build(field))
		hidden = slices.DeleteFunc(hidden, func(h string) bool { return h == field })
	}
	for _, h := range hidden {
		list = append(list, override("byName", h, property("custom.hidden", true)))
	}
	return list
}

// keys are the labels of a row.
func (t *table) keys() []string { return append([]string{"instance"}, t.by...) }

// queries returns the queries of the columns, and the position of each field.
func (t *table) queries() ([]query, map[string]int) {
	first := t.keys()
	for _, c := range t.columns {
		if c.expr == "" && !slices.Contains(first, c.label) {
			first = append(first, c.label)
		}
	}
	var queries []query
	order := make(map[string]int)
	for _, c := range t.columns {
		if c.label != "" {
			order[c.label] = len(order)
		}
		if c.expr == "" {
			continue
		}
		labels := t.keys()
		switch {
		case len(queries) == 0:
			labels = first
			order["Value"] = len(order) // its name if no other query has a result
		case c.label != "":
			labels = append(labels, c.label)
		}
		order["Value #"+refID(len(queries))] = len(order)
		expr := "max by (" + strings.Join(labels, ", ") + ") (" + c.expr + ")"
		if len(queries) == 0 {
			expr = t.first(expr)
		}
		queries = append(queries, query{expr: expr})
	}
	return queries, order
}

// first is the query that makes the rows.
func (t *table) first(expr string) string {
	if t.inOrder {
		expr = "sort(" + expr + ")"
	}
	if t.none != "" {
		known := cmp.Or(t.known, "oms_up{<sel>} == 1")
		expr += fmt.Sprintf(" or on () (0 * count(%s) + %d or vector(%d))", known, noRow, noIdea)
	}
	return expr
}

// Values of the row of a table that has no rows, which nothing else has: OMS
// answers, and nothing is known.
const (
	noRow  = -987654321
	noIdea = -987654322
)

// arrange merges the rows of the queries and puts the columns in order.
func arrange(order map[string]int) []dashboard.DataTransformerConfig {
	return []dashboard.DataTransformerConfig{
		{Id: "merge", Options: map[string]any{}},
		{Id: "organize", Options: map[string]any{
			"excludeByName": map[string]bool{"Time": true},
			"indexByName":   order,
			"renameByName":  map[string]string{},
		}},
	}
}

// build returns the look of the column that has this name in the data.
func (c *column) build(name string) dashboard.DashboardFieldConfigSourceOverrides {
	properties := []dashboard.DynamicConfigValue{property("displayName", c.title)}
	add := func(id string, value any) {
		properties = append(properties, property(id, value))
	}
	if c.unit != "" {
		add("unit", c.unit)
	}
	if c.width > 0 {
		add("custom.width", c.width)
	}
	if c.cell != "" {
		add("custom.displayMode", c.cell)
	}
	if c.steps != nil {
		add("thresholds", thresholds(c.steps))
	}
	if c.decimals != nil {
		add("decimals", *c.decimals)
	}
	if mappings := c.mappings(); mappings != nil {
		add("mappings", mappings)
	}
	if c.max > 0 {
		add("min", 0)
		add("max", c.max)
	}
	if len(c.links) > 0 {
		add("links", c.links)
	}
	if name == "Value #A" { // the value has no letter if no other query has a result
		return override("byRegexp", "/^Value( #A)?$/", properties...)
	}
	return override("byName", name, properties...)
}

// mappings are those of the column's words, and of there being no row.
func (c *column) mappings() []dashboard.ValueMapping {
	list := c.words.build("", "")
	if c.says == "" {
		return list
	}
	color := "text"
	if c.cell == filled {
		color = "transparent"
	}
	return append(list, dashboard.ValueMapping{ValueMap: &dashboard.ValueMap{
		Type: dashboard.MappingTypeValueToText,
		Options: map[string]dashboard.ValueMappingResult{
			strconv.Itoa(noRow):  result(c.says, color, len(c.words)),
			strconv.Itoa(noIdea): result("unknown", colors["unknown"], len(c.words)+1),
		},
	}})
}
