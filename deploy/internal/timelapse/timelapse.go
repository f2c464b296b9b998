// Package timelapse rewrites Prometheus rules and Alertmanager configurations
// for a simulated OMS whose clock runs faster: hours pass in minutes, and every
// rule keeps its meaning.
//
// Values and thresholds, which are in seconds of OMS's clock, stay. What
// Prometheus and Alertmanager measure by their own clocks is divided by the
// speed: ranges, offsets, for, intervals, waits, and derivatives.
package timelapse

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/promql/parser"
	"go.yaml.in/yaml/v3"
)

// ownClock are series that the rules stamp by Prometheus' clock, not by OMS's.
// Their age is multiplied by the speed, so that it is in simulated seconds too.
var ownClock = []string{
	"oms:task_failing_since:timestamp_seconds",
	"oms:task_step_failing_since:timestamp_seconds",
}

// exporterClock is a series that the exporter stamps by its own clock, of which the
// rules want the age too.
const exporterClock = "oms_task_component_result_timestamp_seconds"

// Expr returns the PromQL expression that means at this speed what expr means
// in real time.
func Expr(expr string, speed float64) (string, error) {
	root, err := parse(expr)
	if err != nil {
		return "", err
	}
	rewrite(&root, speed)
	return root.String(), nil
}

func parse(expr string) (parser.Expr, error) {
	root, err := parser.NewParser(parser.Options{}).ParseExpr(expr)
	if err != nil {
		return nil, fmt.Errorf("%w in %s", err, expr)
	}
	return root, nil
}

// rewrite rewrites an expression in place, leaves first.
func rewrite(expr *parser.Expr, speed float64) {
	for _, child := range operands(*expr) {
		rewrite(child, speed)
	}
	switch e := (*expr).(type) {
	case *parser.VectorSelector:
		e.OriginalOffset = divide(e.OriginalOffset, speed)
		if slices.Contains(ownClock, e.Name) {
			*expr = older(e, speed)
		}
	case *parser.MatrixSelector:
		e.Range = divide(e.Range, speed)
		if s, ok := e.VectorSelector.(*parser.VectorSelector); ok {
			s.OriginalOffset = divide(s.OriginalOffset, speed)
		}
	case *parser.SubqueryExpr:
		e.Range = divide(e.Range, speed)
		e.Step = divide(e.Step, speed)
		e.OriginalOffset = divide(e.OriginalOffset, speed)
	case *parser.Call:
		if e.Func.Name == "deriv" || e.Func.Name == "rate" || e.Func.Name == "irate" {
			*expr = must(fmt.Sprintf("(%s / %s)", e, number(speed)))
		}
		if strings.HasPrefix(e.String(), "last_over_time("+exporterClock+"[") {
			*expr = older(e, speed)
		}
	}
}

// older multiplies the age of a time by the speed.
func older(time parser.Expr, speed float64) parser.Expr {
	return must(fmt.Sprintf("(time() - %s * (time() - %s))", number(speed), time))
}

// operands returns pointers to the operands of an expression.
func operands(e parser.Expr) []*parser.Expr {
	switch e := e.(type) {
	case *parser.AggregateExpr:
		return []*parser.Expr{&e.Expr}
	case *parser.BinaryExpr:
		return []*parser.Expr{&e.LHS, &e.RHS}
	case *parser.Call:
		var args []*parser.Expr
		for i := range e.Args {
			args = append(args, &e.Args[i])
		}
		return args
	case *parser.ParenExpr:
		return []*parser.Expr{&e.Expr}
	case *parser.SubqueryExpr:
		return []*parser.Expr{&e.Expr}
	case *parser.UnaryExpr:
		return []*parser.Expr{&e.Expr}
	default:
		return nil
	}
}

// must parses an expression that was put together from parsed parts.
func must(expr string) parser.Expr {
	e, err := parse(expr)
	if err != nil {
		panic(err)
	}
	return e
}

func number(f float64) string { return strconv.FormatFloat(f, 'g', -1, 64) }

func divide(d time.Duration, speed float64) time.Duration {
	return time.Duration(float64(d) / speed).Round(time.Millisecond)
}

// Duration returns a duration as Prometheus writes it, divided by the speed.
func Duration(text string, speed float64) (string, error) {
	d, err := model.ParseDuration(text)
	if err != nil {
		return "", err
	}
	return model.Duration(divide(time.Duration(d), speed)).String(), nil
}

// Rules returns a rule file for a speed, without the rules named in drop.
func Rules(file []byte, speed float64, drop ...string) ([]byte, error) {
	var root yaml.Node
	if err := yaml.Unmarshal(file, &root); err != nil {
		return nil, err
	}
	err := walk(&root, func(key string, value *yaml.Node) error {
		var err error
		switch key {
		case "expr":
			value.Value, err = Expr(value.Value, speed)
		case "for", "keep_firing_for", "interval":
			value.Value, err = Duration(value.Value, speed)
		case "rules":
			value.Content = slices.DeleteFunc(value.Content, func(rule *yaml.Node) bool {
				return slices.Contains(drop, named(rule))
			})
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return yaml.Marshal(&root)
}

// named returns the name of a rule.
func named(rule *yaml.Node) string {
	for i := 0; i+1 < len(rule.Content); i += 2 {
		if k := rule.Content[i].Value; k == "alert" || k == "record" {
			return rule.Content[i+1].Value
		}
	}
	return ""
}

// Alertmanager returns an Alertmanager configuration for a speed. Each receiver
// becomes a webhook at the URL webhook followed by its name. Time intervals
// become always.
func Alertmanager(file []byte, speed float64, webhook string) ([]byte, error) {
	var root yaml.Node
	if err := yaml.Unmarshal(file, &root); err != nil {
		return nil, err
	}
	err := walk(&root, func(key string, value *yaml.Node) error {
		var err error
		switch key {
		case "group_wait", "group_interval", "repeat_interval":
			value.Value, err = Duration(value.Value, speed)
		case "receivers":
			err = redirect(value, webhook)
		case "time_intervals":
			err = always(value)
		case "templates":
			value.Content = nil
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return yaml.Marshal(&root)
}

// redirect makes every receiver of a list a webhook.
func redirect(list *yaml.Node, webhook string) error {
	var receivers []struct{ Name string }
	if err := list.Decode(&receivers); err != nil {
		return err
	}
	type hook struct {
		URL          string `yaml:"url"`
		SendResolved bool   `yaml:"send_resolved"`
	}
	type receiver struct {
		Name     string `yaml:"name"`
		Webhooks []hook `yaml:"webhook_configs"`
	}
	var redirected []receiver
	for _, r := range receivers {
		redirected = append(redirected, receiver{r.Name, []hook{{webhook + r.Name, true}}})
	}
	return list.Encode(redirected)
}

// always makes every time interval of a list match at all times.
func always(list *yaml.Node) error {
	for _, interval := range list.Content {
		for i := 0; i+1 < len(interval.Content); i += 2 {
			if interval.Content[i].Value != "time_intervals" {
				continue
			}
			err := interval.Content[i+1].Encode([]map[string][]string{{"weekdays": {"sunday:saturday"}}})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// walk calls visit for every key and value of every mapping, from the outside
// in.
func walk(n *yaml.Node, visit func(key string, value *yaml.Node) error) error {
	if n.Kind == yaml.MappingNode {
		for i := 0; i+1 < len(n.Content); i += 2 {
			if err := visit(n.Content[i].Value, n.Content[i+1]); err != nil {
				return fmt.Errorf("line %d: %s: %w", n.Content[i].Line, n.Content[i].Value, err)
			}
		}
	}
	for _, child := range n.Content {
		if err := walk(child, visit); err != nil {
			return err
		}
	}
	return nil
}
