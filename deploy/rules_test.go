package deploy_test

import (
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
	"go.yaml.in/yaml/v3"

	"oms_exporter/omsclient"
)

const (
	ruleFiles = "prometheus/rules/*.yml"
	testFiles = "prometheus/tests/*.yml"
)

func TestEveryRuleIsTested(t *testing.T) {
	fires, silent := map[string]bool{}, map[string]bool{}
	var exprs []string
	for _, path := range glob(t, testFiles) {
		var file struct {
			Tests []struct {
				Alerts []struct {
					Name   string `yaml:"alertname"`
					Expect []any  `yaml:"exp_alerts"`
				} `yaml:"alert_rule_test"`
				Exprs []struct {
					Expr string `yaml:"expr"`
				} `yaml:"promql_expr_test"`
			} `yaml:"tests"`
		}
		if err := yaml.Unmarshal([]byte(readFile(t, path)), &file); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		for _, test := range file.Tests {
			for _, a := range test.Alerts {
				fires[a.Name] = fires[a.Name] || len(a.Expect) > 0
				silent[a.Name] = silent[a.Name] || len(a.Expect) == 0
			}
			for _, e := range test.Exprs {
				exprs = append(exprs, e.Expr)
			}
		}
	}

	for _, r := range known(t).rules {
		switch {
		case r.Record != "" && !mentioned(exprs, r.Record):
			t.Errorf("no promql_expr_test asks for %s", r.Record)
		case r.Alert != "" && !fires[r.Alert]:
			t.Errorf("no alert_rule_test lets %s fire", r.Alert)
		case r.Alert != "" && !silent[r.Alert]:
			t.Errorf("no alert_rule_test has %s not fire", r.Alert)
		}
	}
}

// mentioned reports whether any of the expressions has a metric's whole name.
func mentioned(exprs []string, metric string) bool {
	whole := regexp.MustCompile(`(^|[^\w:])` + regexp.QuoteMeta(metric) + `($|[^\w:])`)
	return slices.ContainsFunc(exprs, whole.MatchString)
}

// TestRulesKnowTheVocabulary checks that the names of steps and statuses in the rules are those that
// OMS documents.
func TestRulesKnowTheVocabulary(t *testing.T) {
	oneOf := func(families ...[]string) string { return strings.Join(slices.Concat(families...), "|") }
	forward, reverse := omsclient.ForwardSteps(), omsclient.ReverseSteps()
	const endless = `(REVERSE_)?INCR_.+|.+_INCR_(LOG_PULL|SYNC)|.*APP_SWITCH`
	unused := map[string]bool{ // regular expressions of step names
		oneOf(forward): true, oneOf(reverse): true, oneOf(forward, reverse): true,
		oneOf(omsclient.FullCopySteps()): true, oneOf(omsclient.FullVerifySteps()): true,
		oneOf(omsclient.SwitchoverSteps()): true, endless: true,
	}
	families := maps.Clone(unused)
	statuses := map[string][]string{
		"oms_task_status": omsclient.Statuses(), "oms_task_step_status": omsclient.StepStatuses(),
	}
	for _, r := range known(t).rules {
		eachSelector(r.Expr, func(s *parser.VectorSelector, _ []parser.Node) {
			for _, m := range s.LabelMatchers {
				if m.Name == "step" {
					delete(unused, m.Value)
					if !families[m.Value] {
						t.Errorf("%s%s: no family of steps is %s", r.Record, r.Alert, m)
					}
				}
				if m.Name != "status" || statuses[s.Name] == nil {
					continue
				}
				known := matching(statuses[s.Name], m.Value)
				for word := range strings.SplitSeq(m.Value, "|") {
					if !strings.ContainsAny(word, "()") && len(matching(statuses[s.Name], word)) == 0 {
						t.Errorf("%s%s: no status is %s in %s", r.Record, r.Alert, word, s)
					}
				}
				if strings.HasSuffix(r.Record, "_status:code") && m.Type == labels.MatchNotRegexp && len(known) != len(statuses[s.Name]) {
					t.Errorf("%s knows only the statuses %q", r.Record, known)
				}
			}
		})
	}
	for family := range unused {
		t.Errorf("no rule selects the steps %s", family)
	}
	if got, want := matching(omsclient.StepNames(), endless), matching(omsclient.StepNames(), ".*(INCR|SWITCH).*"); !slices.Equal(got, want) {
		t.Errorf("%s are taken for steps that never end, want %s", got, want)
	}
	if pull := oneOf(forward) + "|.*INCR_LOG_PULL"; !strings.Contains(readFile(t, alertmanagerFile), `step=~"`+pull+`"`) {
		t.Errorf("%s does not name the steps %s", alertmanagerFile, pull)
	}
}

// matching returns the words that a regular expression matches as a whole.
func matching(words []string, expression string) []string {
	whole := regexp.MustCompile("^(?:" + expression + ")$")
	return slices.DeleteFunc(slices.Clone(words), func(w string) bool { return !whole.MatchString(w) })
}

func TestPromtool(t *testing.T) {
	promtool := tool(t, "prometheus", "promtool")
	t.Run("check", func(t *testing.T) {
		t.Parallel()
		check := []string{"check", "rules", "--lint=all", "--lint-fatal"}
		run(t, promtool, append(check, glob(t, ruleFiles)...)...)
	})
	for _, path := range glob(t, testFiles) {
		t.Run(filepath.Base(path), func(t *testing.T) {
			t.Parallel()
			run(t, promtool, "test", "rules", path)
		})
	}
}

// glob lists the files that match a pattern, of which there has to be one.
func glob(t *testing.T, pattern string) []string {
	t.Helper()
	paths, err := filepath.Glob(pattern)
	if err != nil || len(paths) == 0 {
		t.Fatalf("no file matches %s: %v", pattern, err)
	}
	return paths
}
