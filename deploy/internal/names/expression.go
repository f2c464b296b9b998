package names

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

// metricName is the label that holds the name of a metric.
const metricName = "__name__"

// labels returns the labels of an expression's result, and what is wrong with its names.
func (n *Names) labels(expr string) (set, error) {
	parsed, err := parser.NewParser(parser.Options{}).ParseExpr(expr)
	if err != nil {
		return nil, err
	}
	w := walk{names: n}
	result := w.labels(parsed)
	return result, errors.Join(w.problems...)
}

// A walk follows label sets through an expression.
type walk struct {
	names    *Names
	problems []error
}

func (w *walk) wrong(format string, args ...any) {
	w.problems = append(w.problems, fmt.Errorf(format, args...))
}

// want notes those of the labels that are not there.
func (w *walk) want(there set, labels []string, where string) {
	for _, l := range labels {
		if !there[l] {
			w.wrong("there is no label %s %s", l, where)
		}
	}
}

// labels returns the labels that the result of an expression may have: none for a scalar.
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
			there = w.names.series[name]
			continue
		}
		name = m.String()
		for series, of := range w.names.series {
			if m.Matches(series) {
				there = there.plus(of)
			}
		}
	}
	if len(there) == 0 && !w.names.Has(name) {
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

// choosing are the aggregations that keep series as they are.
var choosing = []parser.ItemType{parser.TOPK, parser.BOTTOMK, parser.LIMITK, parser.LIMIT_RATIO}

func (w *walk) aggregate(a *parser.AggregateExpr) set {
	if a.Param != nil {
		w.labels(a.Param)
	}
	of := w.labels(a.Expr)
	if len(w.problems) == 0 { // otherwise what is missing may be missing because of them
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

// matching checks the labels of on, ignoring, group_left and group_right. What on names has to
// be on both sides: a label that only one of them has matches nothing.
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

// relabel adds the label that label_replace or label_join makes, and checks those it reads.
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

// equalities returns the labels that absent gives to its result.
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

// mentioned returns the metrics that an expression names.
func mentioned(expr string) set {
	metrics := make(set)
	parsed, err := parser.NewParser(parser.Options{}).ParseExpr(expr)
	if err != nil {
		return metrics
	}
	parser.Inspect(parsed, func(node parser.Node, _ []parser.Node) error {
		if s, ok := node.(*parser.VectorSelector); ok {
			metrics[s.Name] = true
		}
		return nil
	})
	return metrics
}

var (
	labelUse = regexp.MustCompile(`\$labels\.(\w+)`)
	// What a template asks Prometheus, up to the end of what is done with the answer.
	queryUse  = regexp.MustCompile(`printf "((?:[^"\\]|\\.)*)"[^}]*\| query \}\}`)
	answerUse = regexp.MustCompile(`\$s\.Labels\.(\w+)`)
)

// A query is what a template asks Prometheus, and the labels that it shows of the answer.
type query struct {
	expr   string
	labels []string
}

// queries returns what a template asks.
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

// CheckTemplate checks the template of a rule whose expression has these labels: $labels, what it
// asks Prometheus with query, and the labels of the answers.
func (n *Names) CheckTemplate(template string, labels []string) error {
	var problems []error
	for _, use := range labelUse.FindAllStringSubmatch(template, -1) {
		if !slices.Contains(labels, use[1]) {
			problems = append(problems, fmt.Errorf("there is no $labels.%s", use[1]))
		}
	}
	if asked := strings.Count(template, "| query"); asked != len(queries(template)) {
		problems = append(problems, fmt.Errorf("cannot read every query of %s", template))
	}
	for _, q := range queries(template) {
		of, err := n.Labels(q.expr)
		if err != nil {
			problems = append(problems, err)
			continue
		}
		for _, l := range q.labels {
			if !slices.Contains(of, l) {
				problems = append(problems, fmt.Errorf("there is no label %s on %s", l, q.expr))
			}
		}
	}
	return errors.Join(problems...)
}
