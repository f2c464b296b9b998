// Package rules is the catalogue of Prometheus rules on the exporter's metrics: settings,
// recording rules and alerts, as data. Adding a rule is an entry in recordings.go or
// alerts.go and `go generate ./...`.
package rules

import (
	"bytes"
	"fmt"
	"os"
	"strings"

	"github.com/prometheus/prometheus/promql/parser"
	"go.yaml.in/yaml/v3"

	"oms_exporter/omsclient"
)

// A Group is a rule group of Prometheus: its rules are evaluated one after another.
type Group struct {
	Name     string
	Doc      string // a comment above the group
	Interval string // a Prometheus duration
	Rules    []Rule
}

// A Rule is a recording rule if it has a Record, and an alert if it has an Alert.
type Rule struct {
	Record string
	Alert  string // its name, and that of its page among the runbooks
	Doc    string // a comment above the rule
	Expr   string // PromQL, with $names for what vocabulary says once

	For           string // a Prometheus duration
	KeepFiringFor string // a Prometheus duration
	Severity      string // critical, warning, info, or a template
	Scope         Scope
	Symptom       string            // of an alert about a task: what inhibition and routes go by
	Info          string            // where such an alert has the task's labels from; empty: oms:task_whose:info
	Labels        map[string]string // further ones
	Summary       string            // a template
	Description   string            // a template
}

// A Scope says what an alert is about.
type Scope string

// The scopes, from the one that hides all others when it is in trouble.
const (
	Exporter Scope = "exporter"
	OMS      Scope = "oms"
	Task     Scope = "task"
)

// Options are what differs between installations.
type Options struct {
	RunbookBase string // what comes before the name of a runbook's page, with its last slash
	Job         string // regular expression of the jobs that scrape exporters
}

// Defaults are the options of the rule files in prometheus/rules.
func Defaults() Options {
	return Options{RunbookBase: "https://example.com/oms_exporter/deploy/runbooks/", Job: "oms.*"}
}

// vocabulary is what expressions say often, said once. Every $name in an expression
// stands for its entry here.
var vocabulary = map[string]string{
	"task": "on (job, instance, task_id)",
	"link": "on (job, instance, task_id, direction)",
	"step": "on (job, instance, task_id, step)",
	"oms":  "on (job, instance)",

	// Step families, by the names of steps[].name.
	"forward":  "INCR_TRANSFER|INCR_SYNC|CONNECTOR_INCR_SYNC",
	"reverse":  "REVERSE_INCR_TRANSFER|REVERSE_INCR_SYNC",
	"full":     "FULL_TRANSFER|FULL_MIGRATION|CONNECTOR_FULL_SYNC",
	"verify":   "FULL_VERIFIER|FULL_VALIDATION",
	"switched": "TRANSFER_APP_SWITCH|APP_SWITCH",
	// Steps that never end by themselves: they follow their source or wait for a person.
	"endless": "(REVERSE_)?INCR_.+|.+_INCR_(LOG_PULL|SYNC)|.*APP_SWITCH",

	// Statuses of a step that is not supposed to be at work.
	"idle": "INIT|SUSPEND|FAILED|FINISHED",

	"statuses":     strings.Join(taskStatuses, "|"),
	"stepstatuses": strings.Join(omsclient.StepStatuses(), "|"),
}

// whose are the labels of oms:task_whose:info that every alert about a task carries.
const whose = "task_type, importance, task_owner"

// Expand returns an expression as Prometheus knows it, in the parser's own layout. It is an
// error if the expression uses a $name that nothing stands for, or does not parse.
func Expand(expr string, o Options) (string, error) {
	var unknown []string
	expanded := os.Expand(expr, func(name string) string {
		if name == "job" {
			return o.Job
		}
		text, ok := vocabulary[name]
		if !ok {
			unknown = append(unknown, name)
		}
		return text
	})
	if len(unknown) > 0 {
		return "", fmt.Errorf("nothing stands for %q in %s", unknown, expr)
	}
	parsed, err := parser.NewParser(parser.Options{}).ParseExpr(expanded)
	if err != nil {
		return "", fmt.Errorf("%w in %s", err, expanded)
	}
	return strings.TrimSpace(parsed.Pretty(0)), nil
}

// expression returns what the rule evaluates. An alert about a task is joined with the
// labels that say whose it is.
func (r *Rule) expression(o Options) (string, error) {
	expr := r.Expr
	if r.Scope == Task {
		info := r.Info
		if info == "" {
			info = "oms:task_whose:info"
		}
		expr = "(" + expr + ") * $task group_left (" + whose + ") " +
			"(" + info + ")"
	}
	return Expand(expr, o)
}

// labels returns the labels that the rule sets.
func (r *Rule) labels() map[string]string {
	labels := make(map[string]string)
	for name, value := range map[string]string{
		"severity": r.Severity, "scope": string(r.Scope), "symptom": r.Symptom,
	} {
		if value != "" {
			labels[name] = value
		}
	}
	for name, value := range r.Labels {
		labels[name] = value
	}
	return labels
}

// written is a rule as Prometheus reads it.
type written struct {
	Record        string            `yaml:"record,omitempty"`
	Alert         string            `yaml:"alert,omitempty"`
	Expr          string            `yaml:"expr"`
	For           string            `yaml:"for,omitempty"`
	KeepFiringFor string            `yaml:"keep_firing_for,omitempty"`
	Labels        map[string]string `yaml:"labels,omitempty"`
	Annotations   map[string]string `yaml:"annotations,omitempty"`
}

// node returns the rule as YAML.
func (r *Rule) node(o Options) (*yaml.Node, error) {
	expr, err := r.expression(o)
	if err != nil {
		return nil, fmt.Errorf("%s%s: %w", r.Record, r.Alert, err)
	}
	w := written{
		Record: r.Record, Alert: r.Alert, Expr: expr, For: r.For,
		KeepFiringFor: r.KeepFiringFor, Labels: r.labels(),
	}
	if w.Alert != "" {
		w.Annotations = map[string]string{
			"summary":     r.Summary,
			"description": r.Description,
			"runbook_url": o.RunbookBase + w.Alert + ".md",
		}
	}
	n := new(yaml.Node)
	if err := n.Encode(w); err != nil {
		return nil, err
	}
	n.HeadComment = comment(r.Doc)
	return n, nil
}

// File returns groups as a rule file of Prometheus.
func File(heading string, groups []Group, o Options) ([]byte, error) {
	list := &yaml.Node{Kind: yaml.SequenceNode}
	for _, g := range groups {
		rules := &yaml.Node{Kind: yaml.SequenceNode}
		for i := range g.Rules {
			n, err := g.Rules[i].node(o)
			if err != nil {
				return nil, err
			}
			rules.Content = append(rules.Content, n)
		}
		group := mapping("name", text(g.Name), "interval", text(g.Interval), "rules", rules)
		group.HeadComment = comment(g.Doc)
		list.Content = append(list.Content, group)
	}

	var b bytes.Buffer
	fmt.Fprintf(&b, "%s\n\n", comment(heading))
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := e.Encode(mapping("groups", list)); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

func text(s string) *yaml.Node { return &yaml.Node{Kind: yaml.ScalarNode, Value: s} }

// mapping returns a YAML mapping of keys, which are strings, and values, which are nodes.
func mapping(pairs ...any) *yaml.Node {
	m := &yaml.Node{Kind: yaml.MappingNode}
	for _, p := range pairs {
		switch p := p.(type) {
		case string:
			m.Content = append(m.Content, text(p))
		case *yaml.Node:
			m.Content = append(m.Content, p)
		}
	}
	return m
}

// comment returns text as a comment of YAML.
func comment(text string) string {
	if text == "" {
		return ""
	}
	return "# " + strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n# ")
}

// Files returns the rule files by their names.
func Files(o Options) (map[string][]byte, error) {
	const made = "Made by `go generate ./...` in deploy; to change a rule, change deploy/internal/rules."
	recordings, err := File("Recording rules for oms_exporter. "+made, Recordings(), o)
	if err != nil {
		return nil, err
	}
	alerts, err := File("Alerts for oms_exporter, on its recording rules. "+made, Alerts(), o)
	return map[string][]byte{
		"oms_recording.rules.yml": recordings,
		"oms_alerts.rules.yml":    alerts,
	}, err
}
