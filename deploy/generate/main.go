// Generate writes the Grafana dashboards, from their catalogue, the tables
// of alerts and panels in the READMEs, from the rules, the runbooks and the
// catalogue, and the copies of rules and dashboards in the Helm chart.
package main

//go:generate go run . -dir ..

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/template"

	"oms_exporter/deploy"
	"oms_exporter/deploy/internal/dashboards"
)

func main() {
	dir := flag.String("dir", ".", "directory deploy of the repository")
	var outside dashboards.Outside
	flag.StringVar(&outside.Console, "console", "",
		"address of the console of OMS, for links of the dashboards")
	flag.StringVar(&outside.Runbooks, "runbooks", "",
		"address of the directory of the runbooks, with its last slash, for links of the dashboards")
	flag.Parse()
	if err := run(*dir, outside); err != nil {
		fmt.Fprintln(os.Stderr, "generate:", err)
		os.Exit(1)
	}
}

// run writes the generated files below dir.
func run(dir string, outside dashboards.Outside) error {
	files, err := generate(dir, outside)
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(files[name]), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// generate returns the generated files by name. It reads the READMEs and
// runbooks below dir.
func generate(dir string, outside dashboards.Outside) (map[string]string, error) {
	files, err := dashboards.Files(outside)
	if err != nil {
		return nil, err
	}
	alerts, err := readAlerts(dir, english)
	if err != nil {
		return nil, err
	}
	chineseAlerts, err := readAlerts(dir, chinese)
	if err != nil {
		return nil, err
	}
	for _, part := range []struct{ readme, mark, text string }{
		{"grafana/README.md", "panels", dashboards.Tables()},
		{"prometheus/README.md", "alerts", tables(alerts, english, "../runbooks/")},
		{"runbooks/README.md", "alerts", tables(alerts, english, "")},
		{"runbooks/README.zh-CN.md", "alerts", tables(chineseAlerts, chinese, "zh-CN/")},
	} {
		document, err := os.ReadFile(filepath.Join(dir, part.readme))
		if err != nil {
			return nil, err
		}
		files[part.readme], err = replace(string(document), part.mark, part.text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", part.readme, err)
		}
	}
	return files, addChart(files, dir)
}

// addChart adds what the Helm chart has of the rules and dashboards. A chart cannot have files from
// outside of it, and helm warns of links.
func addChart(files map[string]string, dir string) error {
	const chart = "helm/oms-exporter/files"
	for name, text := range maps.Clone(files) {
		if filepath.Dir(name) == "grafana/dashboards" {
			files[filepath.Join(chart, "dashboards", filepath.Base(name))] = text
		}
	}
	rules, err := filepath.Glob(filepath.Join(dir, "prometheus/rules/*.yml"))
	for _, rule := range rules {
		text, err := os.ReadFile(rule)
		if err != nil {
			return err
		}
		files[filepath.Join(chart, "rules", filepath.Base(rule))] = string(text)
	}
	return err
}

// replace replaces the text between <!-- mark --> and <!-- /mark -->.
func replace(document, mark, text string) (string, error) {
	begin, end := "<!-- "+mark+" -->\n", "<!-- /"+mark+" -->\n"
	before, rest, begun := strings.Cut(document, begin)
	_, after, ended := strings.Cut(rest, end)
	if !begun || !ended {
		return "", fmt.Errorf("these lines are missing or in the wrong order:\n%s%s", begin, end)
	}
	return before + begin + "\n" + text + "\n" + end + after, nil
}

// A language is what tables of alerts say in it, and where its runbooks are.
type language struct {
	runbooks  string
	meaning   string // the heading of a runbook
	columns   string
	exporter  string // the headings of the tables
	oms, task string
}

var (
	english = language{
		runbooks: "runbooks", meaning: "Meaning", columns: "| alert | severity | for | when |",
		exporter: "About the exporter", oms: "About an OMS", task: "About a task",
	}
	chinese = language{
		runbooks: "runbooks/zh-CN", meaning: "含义", columns: "| 告警 | 级别 | 持续 | 含义 |",
		exporter: "关于 Exporter", oms: "关于 OMS", task: "关于任务",
	}
)

// An alert is all rules of one name.
type alert struct {
	name, scope, meaning  string
	severities, durations []string
}

// readAlerts returns the alerts in the order of the rules, with their meaning in a language.
func readAlerts(dir string, lang language) ([]alert, error) {
	rules, err := deploy.Rules()
	if err != nil {
		return nil, err
	}
	var alerts []alert
	for _, r := range rules {
		if r.Alert == "" {
			continue
		}
		i := slices.IndexFunc(alerts, func(a alert) bool { return a.name == r.Alert })
		if i < 0 {
			when, err := meaning(filepath.Join(dir, lang.runbooks, r.Alert+".md"), lang.meaning)
			if err != nil {
				return nil, err
			}
			i = len(alerts)
			alerts = append(alerts, alert{name: r.Alert, scope: r.Labels["scope"], meaning: when})
		}
		severity, err := severity(r.Labels["severity"])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", r.Alert, err)
		}
		alerts[i].severities = append(alerts[i].severities, severity)
		if r.For != "" && !slices.Contains(alerts[i].durations, r.For) {
			alerts[i].durations = append(alerts[i].durations, r.For)
		}
	}
	return alerts, nil
}

// severity returns what the label severity of a rule means: the severity for most tasks, then those
// for tasks of other importances, such as "warning; HIGH critical; IGNORE info".
func severity(label string) (string, error) {
	t, err := template.New("severity").Parse("{{ $labels := . }}" + label)
	if err != nil {
		return "", err
	}
	var usual, text string
	for _, importance := range []string{"MEDIUM", "HIGH", "LOW", "IGNORE"} {
		var b strings.Builder
		if err := t.Execute(&b, map[string]string{"importance": importance}); err != nil {
			return "", err
		}
		switch s := b.String(); {
		case usual == "":
			usual, text = s, s
		case s != usual:
			text += "; " + importance + " " + s
		}
	}
	return text, nil
}

// tables returns one table of alerts per scope, with links to the runbooks,
// which are below base.
func tables(alerts []alert, lang language, base string) string {
	var b strings.Builder
	for _, scope := range []struct{ name, heading string }{
		{"exporter", "### " + lang.exporter + "\n"},
		{"oms", "\n### " + lang.oms + "\n"},
		{"task", "\n### " + lang.task + "\n"},
	} {
		b.WriteString(scope.heading + "\n" + lang.columns + "\n|---|---|---|---|\n")
		for _, a := range alerts {
			if a.scope == scope.name {
				fmt.Fprintf(&b, "| [%s](%s%[1]s.md) | %[3]s | %s | %s |\n", a.name, base,
					strings.Join(a.severities, ", "), strings.Join(a.durations, ", "), a.meaning)
			}
		}
	}
	return b.String()
}

// meaning returns the section of a runbook that says what its alert means, on one line.
func meaning(runbook, heading string) (string, error) {
	text, err := os.ReadFile(runbook)
	if err != nil {
		return "", fmt.Errorf("write the runbook of the alert first: %w", err)
	}
	_, rest, found := strings.Cut(string(text), "\n## "+heading+"\n")
	if !found {
		return "", fmt.Errorf("%s: there is no heading ## %s", runbook, heading)
	}
	section, _, _ := strings.Cut(rest, "\n## ")
	return strings.Join(strings.Fields(section), " "), nil
}
