package dashboards

import (
	"slices"
	"strings"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	sdk "github.com/grafana/grafana-foundation-sdk/go/table"
)

// A table has one row per combination of the labels that all its queries share,
// and one column per query and per shown label.
type table struct {
	by      []string // labels of a row, besides job and instance
	columns []column
	sort    string // title of the column to sort by, descending
	rising  bool   // ascending
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
}

// Columns that several tables have.
var (
	taskColumn = column{title: "Task", label: "task_name", width: 240, links: rowLinks}
	omsColumn  = column{title: "OMS", label: "instance", width: 150}
	whoColumns = []column{
		{title: "Importance", label: "importance", width: 105},
		{title: "Owner", label: "task_owner", width: 110},
	}
)

// Ways to draw a cell.
const (
	filled = "color-background"
	tinted = "color-text"
	gauged = "gradient-gauge"
)

// build makes the panel a table and returns its queries. Each query keeps the
// labels of a row, and the first one also those that are shown, so that Grafana
// can merge their rows.
func (t *table) build(p *dashboard.Panel) []query {
	p.Type = "table"
	p.FieldConfig.Defaults.Custom = map[string]any{
		"align": "auto", "displayMode": "auto", "inspect": false, "filterable": true,
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
func (t *table) keys() []string { return append([]string{"job", "instance"}, t.by...) }

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
		queries = append(queries, query{
			expr: "max by (" + strings.Join(labels, ", ") + ") (" + c.expr + ")",
		})
	}
	return queries, order
}

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
	if c.words != nil {
		add("mappings", c.words.build())
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

// with returns the columns of both lists.
func with(first []column, more ...column) []column {
	return append(slices.Clone(first), more...)
}
