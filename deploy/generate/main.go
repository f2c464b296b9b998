// Generate writes the Grafana dashboards, from their catalogue, and the tables
// of alerts and panels in the READMEs, from the rules, the runbooks and the
// catalogue.
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

	"oms_exporter/deploy"
	"oms_exporter/deploy/internal/dashboards"
)

func main() {
	dir := flag.String("dir", ".", "directory deploy of the repository")
	var outside dashboards.Outside
	flag.StringVar(&outside.Console, "console", "", "address of the console of OMS, for links of the dashboards")
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
	alerts, err := readAlerts(dir)
	if err != nil {
		return nil, err
	}
	for _, part := range []struct{ readme, mark, text string }{
		{"grafana/README.md", "panels", dashboards.Tables()},
		{"prometheus/README.md", "alerts", tables(alerts, "../runbooks/")},
		{"runbooks/README.md", "alerts", tables(alerts, "")},
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
	return files, nil
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

// An alert is all rules of one name.
type alert struct {
	name, scope, meaning  string
	severities, durations []string
}

// readAlerts returns the alerts in the order of the rules.
func readAlerts(dir string) ([]alert, error) {
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
			when, err := meaning(filepath.Join(dir, "runbooks", r.Alert+".md"))
			if err != nil {
				return nil, err
			}
			i = len(alerts)
			alerts = append(alerts, alert{name: r.Alert, scope: r.Labels["scope"], meaning: when})
		}
		severity := r.Labels["severity"]
		if strings.Contains(severity, "{{") {
			severity = "by importance"
		}
		alerts[i].severities = append(alerts[i].severities, severity)
		if r.For != "" && !slices.Contains(alerts[i].durations, r.For) {
			alerts[i].durations = append(alerts[i].durations, r.For)
		}
	}
	return alerts, nil
}

// tables returns one table of alerts per scope, with links to the runbooks,
// which are below base.
func tables(alerts []alert, base string) string {
	var b strings.Builder
	for _, scope := range []struct{ name, heading string }{
		{"exporter", "### About the exporter\n"},
		{"oms", "\n### About an OMS\n"},
		{"task", "\n### About a task\n"},
	} {
		b.WriteString(scope.heading + "\n| alert | severity | for | when |\n|---|---|---|---|\n")
		for _, a := range alerts {
			if a.scope == scope.name {
				fmt.Fprintf(&b, "| [%s](%s%[1]s.md) | %[3]s | %s | %s |\n", a.name, base,
					strings.Join(a.severities, ", "), strings.Join(a.durations, ", "), a.meaning)
			}
		}
	}
	return b.String()
}

// meaning returns the section Meaning of a runbook, on one line.
func meaning(runbook string) (string, error) {
	text, err := os.ReadFile(runbook)
	if err != nil {
		return "", fmt.Errorf("write the runbook of the alert first: %w", err)
	}
	_, rest, found := strings.Cut(string(text), "\n## Meaning\n")
	if !found {
		return "", fmt.Errorf("%s: there is no heading ## Meaning", runbook)
	}
	section, _, _ := strings.Cut(rest, "\n## ")
	return strings.Join(strings.Fields(section), " "), nil
}
