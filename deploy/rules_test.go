package deploy_test

import (
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"testing"

	"go.yaml.in/yaml/v3"

	"oms_exporter/deploy/internal/rules"
)

const (
	ruleFiles = "prometheus/rules/*.yml"
	testFiles = "prometheus/tests/*.yml"
)

func TestRulesAreInStep(t *testing.T) {
	want, err := rules.Files(rules.Defaults())
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, path := range glob(t, ruleFiles) {
		name := filepath.Base(path)
		names = append(names, name)
		if readFile(t, path) != string(want[name]) {
			t.Errorf("%s is not what the catalogue makes: run go generate ./...", path)
		}
	}
	if made := slices.Sorted(maps.Keys(want)); !slices.Equal(names, made) {
		t.Errorf("there are rule files %q, the catalogue makes %q", names, made)
	}
}

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

	for _, g := range slices.Concat(rules.Recordings(), rules.Alerts()) {
		for _, r := range g.Rules {
			if r.Record != "" && !mentioned(exprs, r.Record) {
				t.Errorf("no promql_expr_test asks for %s", r.Record)
			}
			if r.Alert != "" && !fires[r.Alert] {
				t.Errorf("no alert_rule_test lets %s fire", r.Alert)
			}
			if r.Alert != "" && !silent[r.Alert] {
				t.Errorf("no alert_rule_test has %s not fire", r.Alert)
			}
		}
	}
}

// mentioned reports whether any of the expressions has a metric's whole name.
func mentioned(exprs []string, metric string) bool {
	whole := regexp.MustCompile(`(^|[^\w:])` + regexp.QuoteMeta(metric) + `($|[^\w:])`)
	return slices.ContainsFunc(exprs, whole.MatchString)
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
