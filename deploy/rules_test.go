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

	"oms_exporter/deploy"
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
	const (
		endless = `(REVERSE_)?INCR_.+|.+_INCR_(LOG_PULL|SYNC)|.*APP_SWITCH`
		logPull = `.*INCR_LOG_PULL`
	)
	families := []string{
		family(forward), family(reverse), family(forward, reverse), family(omsclient.FullCopySteps()),
		family(omsclient.FullVerifySteps()), family(omsclient.SwitchoverSteps()), endless, logPull, "REVERSE_.+",
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
	unknown := make(map[string]bool)
	eachMatcher(t, func(rule, metric string, m *labels.Matcher) {
		statuses := documented[metric]
		if m.Name != "status" || statuses == nil {
			return
		}
		if m.Type == labels.MatchNotRegexp {
			unknown[rule+" "+metric] = true
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
	if len(unknown) != 4 {
		t.Errorf("unknown statuses of tasks and steps are to be coded and counted, got %v", unknown)
	}
}

// TestOneGroupSaysWhatNowMeans checks that what the exporter says about tasks at
// this moment is read in the group oms-now only, which bridges gaps. A function
// of a range bridges them by itself.
func TestOneGroupSaysWhatNowMeans(t *testing.T) {
	var now struct {
		Groups []struct {
			Name  string
			Rules []struct{ Record string }
		}
	}
	if err := yaml.Unmarshal([]byte(readFile(t, "prometheus/rules/oms_recording.rules.yml")), &now); err != nil {
		t.Fatal(err)
	}
	reads := make(map[string]bool)
	for _, group := range now.Groups {
		for _, r := range group.Rules {
			reads[r.Record] = reads[r.Record] || group.Name == "oms-now"
		}
	}
	moments := 0
	for _, r := range known(t).rules {
		eachSelector(r.Expr, func(s *parser.VectorSelector, path []parser.Node) {
			if !strings.HasPrefix(s.Name, "oms_task_") {
				return
			}
			if _, ranged := path[len(path)-1].(*parser.MatrixSelector); ranged {
				return
			}
			moments++
			if !reads[r.Record] {
				t.Errorf("%s%s reads %s at one moment: a failed listing interrupts it", r.Record, r.Alert, s.Name)
			}
		})
		if strings.Contains(r.Expr, "changes(") {
			t.Errorf("%s%s uses changes(), which VictoriaMetrics counts otherwise", r.Record, r.Alert)
		}
	}
	if moments < 15 {
		t.Errorf("only %d selectors of one moment: this test does not see them", moments)
	}
}

// TestDelaysCompareOneListing checks that the group oms-now takes the differences of
// timestamps that a delay is made of. Another group may be evaluated while oms-now is
// half done, and would see a clock of this listing and a sample of the last one: a delay
// of 30 s that nobody has.
func TestDelaysCompareOneListing(t *testing.T) {
	rules := known(t).rules
	i := slices.IndexFunc(rules, func(r deploy.Rule) bool { return r.Record == "oms:task_effective_delay:seconds" })
	seen := 0
	eachSelector(rules[i].Expr, func(s *parser.VectorSelector, _ []parser.Node) {
		seen++
		if strings.HasSuffix(s.Name, ":timestamp_seconds") {
			t.Errorf("%s reads %s", rules[i].Record, s.Name)
		}
	})
	if seen == 0 {
		t.Error("no selectors: this test does not see them")
	}
}

// TestThresholdsOfOMSCanBeSwitchedOn follows the comment in the example.
func TestThresholdsOfOMSCanBeSwitchedOn(t *testing.T) {
	example := readFile(t, "oms_exporter.yml")
	example = regexp.MustCompile(`(?m)^    (HIGH|MEDIUM|LOW): .*\n`).ReplaceAllString(example, "")
	example = regexp.MustCompile(`(?m)^    # (HIGH|MEDIUM|LOW): `).ReplaceAllString(example, "    $1: ")
	var config struct {
		Thresholds struct {
			Importance map[string]struct{ Warning, Critical string }
		} `yaml:"delay_thresholds"`
	}
	if err := yaml.Unmarshal([]byte(example), &config); err != nil {
		t.Fatal(err)
	}
	got := config.Thresholds.Importance
	for importance, want := range map[string]string{"HIGH": "30s", "MEDIUM": "300s", "LOW": "900s"} {
		if got[importance].Warning != want || got[importance].Critical == "" {
			t.Errorf("%s has %+v, want a warning at %s", importance, got[importance], want)
		}
	}
}

// TestNamesOfAlertsAreUnique is for rulers that keep one rule per name.
func TestNamesOfAlertsAreUnique(t *testing.T) {
	seen := make(map[string]bool)
	for _, a := range known(t).Alerts() {
		if seen[a.Alert] {
			t.Errorf("two alerts have the name %s", a.Alert)
		}
		seen[a.Alert] = true
	}
}

// TestGroupsFitHostedRulers checks the default limit of Mimir.
func TestGroupsFitHostedRulers(t *testing.T) {
	for _, path := range glob(t, ruleFiles) {
		var file struct {
			Groups []struct {
				Name  string
				Rules []any
			}
		}
		if err := yaml.Unmarshal([]byte(readFile(t, path)), &file); err != nil {
			t.Fatal(err)
		}
		for _, group := range file.Groups {
			if len(group.Rules) > 20 {
				t.Errorf("group %s has %d rules, more than 20", group.Name, len(group.Rules))
			}
		}
	}
}

// TestBlackboxExample checks the scrape job of the health of OMS's nodes.
func TestBlackboxExample(t *testing.T) {
	const file = "prometheus/blackbox/prometheus.yml"
	run(t, tool(t, "prometheus", "promtool"), "check", "config", file)
	var job string
	if m := regexp.MustCompile(`job_name: (\S+)`).FindStringSubmatch(readFile(t, file)); m != nil {
		job = m[1]
	}
	matched := false
	eachMatcher(t, func(rule, _ string, m *labels.Matcher) {
		switch {
		case rule == "OMSNodeUnhealthy" && m.Name == "job":
			matched = m.Matches(job)
		case rule == "oms:exporter_up:bool" && m.Name == "job" && m.Matches(job):
			t.Errorf("the rules take job %s for an exporter", job)
		}
	})
	if !matched {
		t.Errorf("OMSNodeUnhealthy does not select job %q", job)
	}
	var modules struct {
		Modules map[string]struct {
			HTTP struct {
				Expect []string `yaml:"fail_if_body_not_matches_regexp"`
			} `yaml:"http"`
		} `yaml:"modules"`
	}
	if err := yaml.Unmarshal([]byte(readFile(t, "prometheus/blackbox/blackbox.yml")), &modules); err != nil {
		t.Fatal(err)
	}
	expect := modules.Modules["oms_health"].HTTP.Expect
	if len(expect) != 1 {
		t.Fatalf("module oms_health expects %q", expect)
	}
	for body, healthy := range map[string]bool{
		`{"data":{"healthy":true}}`: true, `{"success":true,"data":{"x":1,"healthy": true}}`: true,
		`{"data":{"healthy":false}}`: false, `{"data":null}`: false, `{"healthy":true}`: false, `<html>`: false,
	} {
		if got := regexp.MustCompile(expect[0]).MatchString(body); got != healthy {
			t.Errorf("%s: healthy is %t", body, got)
		}
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
