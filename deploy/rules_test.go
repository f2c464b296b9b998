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

func TestEveryRuleIsUsedAndTested(t *testing.T) {
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

	var uses []string
	for _, r := range known(t).rules {
		uses = slices.AppendSeq(append(uses, r.Expr), maps.Values(r.Annotations))
	}
	for _, file := range glob(t, boardFiles+"/*.json") {
		uses = append(uses, readFile(t, file))
	}
	for _, r := range known(t).rules {
		switch {
		case r.Record != "" && !mentioned(uses, r.Record):
			t.Errorf("no rule or dashboard uses %s", r.Record)
		case r.Record != "" && !mentioned(exprs, r.Record):
			t.Errorf("no promql_expr_test asks for %s", r.Record)
		case r.Alert != "" && !fires[r.Alert]:
			t.Errorf("no alert_rule_test lets %s fire", r.Alert)
		case r.Alert != "" && !silent[r.Alert]:
			t.Errorf("no alert_rule_test has %s not fire", r.Alert)
		}
	}
}

// mentioned reports whether any of the texts has the whole name of a metric.
func mentioned(texts []string, metric string) bool {
	whole := regexp.MustCompile(`(^|[^\w:])` + regexp.QuoteMeta(metric) + `($|[^\w:])`)
	return slices.ContainsFunc(texts, whole.MatchString)
}

// TestRulesSelectKnownSteps checks that every regular expression of step names
// is one of the families of omsclient, and that every family is used.
func TestRulesSelectKnownSteps(t *testing.T) {
	family := func(names ...[]string) string { return strings.Join(slices.Concat(names...), "|") }
	forward, reverse := omsclient.ForwardSteps(), omsclient.ReverseSteps()
	const endless = `(REVERSE_)?INCR_.+|.+_INCR_(LOG_PULL|SYNC)|.*APP_SWITCH`
	families := []string{
		family(forward), family(reverse), family(forward, reverse), family(omsclient.FullCopySteps()),
		family(omsclient.FullVerifySteps()), family(omsclient.SwitchoverSteps()), endless,
	}
	used := make(map[string]bool)
	eachMatcher(t, func(rule, _ string, m *labels.Matcher) {
		if m.Name == "step" {
			used[m.Value] = true
			if !slices.Contains(families, m.Value) {
				t.Errorf("%s: no family of steps is %s", rule, m)
			}
		}
	})
	for _, f := range families {
		if !used[f] {
			t.Errorf("no rule selects the steps %s", f)
		}
	}
	got, want := matching(omsclient.StepNames(), endless), matching(omsclient.StepNames(), ".*(INCR|SWITCH).*")
	if !slices.Equal(got, want) {
		t.Errorf("steps that never end are %s, want %s", got, want)
	}
	if pull := `step=~"` + family(forward) + `|.*INCR_LOG_PULL"`; !strings.Contains(readFile(t, alertmanagerFile), pull) {
		t.Errorf("%s lacks %s", alertmanagerFile, pull)
	}
}

// TestRulesKnowEveryStatus checks that the statuses in the rules are documented
// ones, and that no documented one counts as unknown.
func TestRulesKnowEveryStatus(t *testing.T) {
	documented := map[string][]string{
		"oms_task_status": omsclient.Statuses(), "oms_task_step_status": omsclient.StepStatuses(),
	}
	unknown := 0
	eachMatcher(t, func(rule, metric string, m *labels.Matcher) {
		statuses := documented[metric]
		if m.Name != "status" || statuses == nil {
			return
		}
		if strings.HasSuffix(rule, "_status:code") && m.Type == labels.MatchNotRegexp {
			unknown++
			if known := matching(statuses, m.Value); !slices.Equal(known, statuses) {
				t.Errorf("%s knows the statuses %s, want %s", rule, known, statuses)
			}
		}
		for word := range strings.SplitSeq(strings.ReplaceAll(m.Value, "(MODIFYING|MERGING)", ".*"), "|") {
			if len(matching(statuses, word)) == 0 {
				t.Errorf("%s: no status of %s is %s", rule, metric, word)
			}
		}
	})
	if unknown != 2 {
		t.Errorf("%d rules look for unknown statuses, want one of tasks and one of steps", unknown)
	}
}

// eachMatcher visits the label matchers of all rules.
func eachMatcher(t *testing.T, visit func(rule, metric string, m *labels.Matcher)) {
	t.Helper()
	for _, r := range known(t).rules {
		eachSelector(r.Expr, func(s *parser.VectorSelector, _ []parser.Node) {
			for _, m := range s.LabelMatchers {
				visit(r.Record+r.Alert, s.Name, m)
			}
		})
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

// glob lists the files that match a pattern. The test fails if there are none.
func glob(t *testing.T, pattern string) []string {
	t.Helper()
	paths, err := filepath.Glob(pattern)
	if err != nil || len(paths) == 0 {
		t.Fatalf("no file matches %s: %v", pattern, err)
	}
	return paths
}
