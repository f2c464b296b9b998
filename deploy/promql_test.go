package deploy_test

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// metricName is the label that has the name of a metric.
const metricName = "__name__"

func parseExpr(expr string) (parser.Expr, error) {
	return parser.NewParser(parser.Options{}).ParseExpr(expr)
}

// eachNode visits the nodes of an expression, if it parses: another test finds
// those that do not.
func eachNode(expr string, visit func(node parser.Node, path []parser.Node)) {
	if parsed, err := parseExpr(expr); err == nil {
		parser.Inspect(parsed, func(node parser.Node, path []parser.Node) error {
			visit(node, path)
			return nil
		})
	}
}

func eachSelector(expr string, visit func(s *parser.VectorSelector, path []parser.Node)) {
	eachNode(expr, func(node parser.Node, path []parser.Node) {
		if s, ok := node.(*parser.VectorSelector); ok {
			visit(s, path)
		}
	})
}

// A walk follows label sets through an expression. Prometheus takes a metric or
// label that does not exist for series that are not there yet; a walk finds it.
type walk struct {
	series   map[string]set
	problems []error
}

func (w *walk) wrong(format string, args ...any) {
	w.problems = append(w.problems, fmt.Errorf(format, args...))
}

// want reports those of the labels that do not exist.
func (w *walk) want(there set, labels []string, where string) {
	for _, l := range labels {
		if !there[l] {
			w.wrong("there is no label %s %s", l, where)
		}
	}
}

// labels returns the labels that the result of an expression may have: none for
// a scalar.
func (w *walk) labels(expr parser.Expr) set {
	switch e := expr.(type) {
	case *parser.VectorSelector:
		return w.selector(e)
	case *parser.MatrixSelector:
		return w.labels(e.VectorSelector)
	case *parser.SubqueryExpr:
		return w.labels(e.Expr)
	case *parser.ParenExpr:
		return w.labels(e.Expr)
	case *parser.UnaryExpr:
		return w.labels(e.Expr)
	case *parser.StepInvariantExpr:
		return w.labels(e.Expr)
	case *parser.AggregateExpr:
		return w.aggregate(e)
	case *parser.BinaryExpr:
		return w.binary(e)
	case *parser.Call:
		return w.call(e)
	case *parser.NumberLiteral, *parser.StringLiteral:
		return set{}
	}
	w.wrong("%T is new to this check", expr)
	return set{}
}

func (w *walk) selector(s *parser.VectorSelector) set {
	there, name := make(set), s.Name
	for _, m := range s.LabelMatchers {
		if m.Name != metricName {
			continue
		}
		if m.Type == labels.MatchEqual {
			name = m.Value
			there = w.series[name]
			continue
		}
		name = m.String()
		for series, of := range w.series {
			if m.Matches(series) {
				there = there.plus(of)
			}
		}
	}
	if len(there) == 0 && w.series[name] == nil {
		w.wrong("there is no metric %s", name)
		return set{}
	}
	for _, m := range s.LabelMatchers {
		if m.Name != metricName {
			w.want(there, []string{m.Name}, "on "+name)
		}
	}
	return there
}

// choosing are the aggregations that keep series unchanged.
var choosing = []parser.ItemType{parser.TOPK, parser.BOTTOMK, parser.LIMITK, parser.LIMIT_RATIO}

func (w *walk) aggregate(a *parser.AggregateExpr) set {
	if a.Param != nil {
		w.labels(a.Param)
	}
	of := w.labels(a.Expr)
	if len(w.problems) == 0 { // otherwise these may be why a label is missing
		w.want(of, a.Grouping, "on "+a.Expr.String())
	}
	result := make(set)
	switch {
	case slices.Contains(choosing, a.Op):
		return of
	case a.Without:
		result = maps.Clone(of)
		for _, l := range a.Grouping {
			delete(result, l)
		}
	default:
		for _, l := range a.Grouping {
			result[l] = true
		}
	}
	if value, ok := a.Param.(*parser.StringLiteral); ok && a.Op == parser.COUNT_VALUES {
		result[value.Val] = true
	}
	return result
}

func (w *walk) binary(b *parser.BinaryExpr) set {
	left, right := w.labels(b.LHS), w.labels(b.RHS)
	m := b.VectorMatching
	switch {
	case m == nil && b.LHS.Type() == parser.ValueTypeScalar:
		return right
	case m == nil:
		return left
	}
	if len(w.problems) == 0 {
		w.matching(b, left, right)
	}
	switch {
	case b.Op == parser.LOR:
		return left.plus(right)
	case b.Op == parser.LAND || b.Op == parser.LUNLESS:
		return left
	case m.Card == parser.CardManyToOne:
		return left.plus(setOf(m.Include))
	case m.Card == parser.CardOneToMany:
		return right.plus(setOf(m.Include))
	case m.On:
		return setOf(m.MatchingLabels)
	}
	result := maps.Clone(left)
	for _, l := range m.MatchingLabels {
		delete(result, l)
	}
	return result
}

// matching checks the labels of on, ignoring, group_left and group_right. Those
// of on must exist on both sides: if only one has a label, nothing matches.
func (w *walk) matching(b *parser.BinaryExpr, left, right set) {
	m := b.VectorMatching
	if m.On {
		w.want(left, m.MatchingLabels, "on "+b.LHS.String())
		w.want(right, m.MatchingLabels, "on "+b.RHS.String())
	} else {
		w.want(left.plus(right), m.MatchingLabels, "on either side of "+b.Op.String())
	}
	switch m.Card {
	case parser.CardManyToOne:
		w.want(right, m.Include, "on "+b.RHS.String())
	case parser.CardOneToMany:
		w.want(left, m.Include, "on "+b.LHS.String())
	}
}

func (w *walk) call(c *parser.Call) set {
	result := make(set)
	for _, arg := range c.Args {
		result = result.plus(w.labels(arg))
	}
	switch c.Func.Name {
	case "label_replace", "label_join":
		w.relabel(c, result)
	case "histogram_quantile", "histogram_fraction":
		delete(result, "le")
	case "absent", "absent_over_time":
		return equalities(c.Args[0])
	case "scalar":
		return set{}
	}
	return result
}

// relabel adds the label that label_replace or label_join makes, and checks
// those that it reads.
func (w *walk) relabel(c *parser.Call, of set) {
	var texts []string
	for _, arg := range c.Args[1:] {
		if s, ok := arg.(*parser.StringLiteral); ok {
			texts = append(texts, s.Val)
		}
	}
	if len(w.problems) == 0 {
		sources := texts[2:]
		if c.Func.Name == "label_replace" {
			sources = texts[2:3]
		}
		sources = slices.DeleteFunc(sources, func(l string) bool { return l == "" }) // for a constant
		w.want(of, sources, "for "+c.Func.Name)
	}
	of[texts[0]] = true
}

// equalities returns the labels of the result of absent.
func equalities(expr parser.Expr) set {
	if m, ok := expr.(*parser.MatrixSelector); ok {
		expr = m.VectorSelector
	}
	result := make(set)
	if s, ok := expr.(*parser.VectorSelector); ok {
		for _, m := range s.LabelMatchers {
			if m.Type == labels.MatchEqual && m.Name != metricName {
				result[m.Name] = true
			}
		}
	}
	return result
}

var (
	labelUse = regexp.MustCompile(`\$labels\.(\w+)`)
	// A query of a template.
	queryUse  = regexp.MustCompile(`printf "((?:[^"\\]|\\.)*)"[^}]*\| query \}\}`)
	answerUse = regexp.MustCompile(`\$s\.Labels\.(\w+)`)
)

// A query is what a template asks Prometheus, and the labels of the result that
// it shows.
type query struct {
	expr   string
	labels []string
}

// queries returns the queries of a template.
func queries(template string) []query {
	var found []query
	at := queryUse.FindAllStringSubmatchIndex(template, -1)
	for i, m := range at {
		end := len(template)
		if i+1 < len(at) {
			end = at[i+1][0]
		}
		q := query{expr: strings.ReplaceAll(template[m[2]:m[3]], "%q", `"x"`)}
		for _, use := range answerUse.FindAllStringSubmatch(template[m[1]:end], -1) {
			q.labels = append(q.labels, use[1])
		}
		found = append(found, q)
	}
	return found
}

// CheckTemplate checks a template of a rule whose expression has these labels:
// its uses of $labels, its queries, and the labels of their results.
func (s *series) CheckTemplate(template string, labels []string) error {
	w := walk{series: s.labels}
	for _, use := range labelUse.FindAllStringSubmatch(template, -1) {
		w.want(setOf(labels), []string{use[1]}, "in $labels")
	}
	asked := queries(template)
	if strings.Count(template, "| query") != len(asked) {
		w.wrong("cannot read every query of %s", template)
	}
	for _, q := range asked {
		of, err := s.Labels(q.expr)
		if err != nil {
			w.problems = append(w.problems, err)
			continue
		}
		w.want(setOf(of), q.labels, "on "+q.expr)
	}
	return errors.Join(w.problems...)
}
