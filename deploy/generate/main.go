// Generate writes the Grafana dashboards, from their catalogue, and the tables
// of alerts and panels in the READMEs, from the rules, the runbooks and the
// catalogue.
package main

//go:generate go run . ..

import (
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
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "generate:", err)
		os.Exit(1)
	}
}

// run writes the generated files below dir, which is the directory deploy.
func run(dir string) error {
	files, err := generate(dir)
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
func generate(dir string) (map[string]string, error) {
	files, err := dashboards.Files()
	if err != nil {
		return nil, err
	}
	for _, part := range []struct {
		readme, mark string
		text         func(dir string) (string, error)
	}{
		{"grafana/README.md", "panels", func(string) (string, error) { return dashboards.Tables(), nil }},
		{"prometheus/README.md", "alerts", alertTables("../runbooks/")},
		{"runbooks/README.md", "alerts", alertTables("")},
	} {
		document, err := os.ReadFile(filepath.Join(dir, part.readme))
		if err != nil {
			return nil, err
		}
		text, err := part.text(dir)
		if err != nil {
			return nil, err
		}
		files[part.readme], err = replace(string(document), part.mark, text)
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

// alertTables returns a function that makes one table of alerts per scope, in
// the order of the rules, with links to the runbooks, which are below base.
func alertTables(base string) func(dir string) (string, error) {
	return func(dir string) (string, error) {
		rules, err := deploy.Rules()
		if err != nil {
			return "", err
		}
		var tables []string
		for _, scope := range []struct{ name, heading string }{
			{"exporter", "About the exporter"}, {"oms", "About an OMS"}, {"task", "About a task"},
		} {
			table := "### " + scope.heading + "\n\n| alert | severity | for | when |\n|---|---|---|---|\n"
			var done []string
			for _, r := range rules {
				if r.Labels["scope"] != scope.name || slices.Contains(done, r.Alert) {
					continue
				}
				done = append(done, r.Alert)
				when, err := meaning(filepath.Join(dir, "runbooks", r.Alert+".md"))
				if err != nil {
					return "", err
				}
				severity, duration := degrees(rules, r.Alert)
				table += fmt.Sprintf("| [%s](%s%[1]s.md) | %[3]s | %s | %s |\n",
					r.Alert, base, severity, duration, when)
			}
			tables = append(tables, table)
		}
		return strings.Join(tables, "\n"), nil
	}
}

// degrees returns all severities and all "for" durations of the alerts of one
// name.
func degrees(rules []deploy.Rule, name string) (severity, duration string) {
	var severities, durations []string
	add := func(to *[]string, s string) {
		if s != "" && !slices.Contains(*to, s) {
			*to = append(*to, s)
		}
	}
	for _, r := range rules {
		if r.Alert != name {
			continue
		}
		s := r.Labels["severity"]
		if strings.Contains(s, "{{") {
			s = "by importance"
		}
		add(&severities, s)
		add(&durations, r.For)
	}
	return strings.Join(severities, ", "), strings.Join(durations, ", ")
}

// meaning returns the section Meaning of a runbook, on one line.
func meaning(runbook string) (string, error) {
	text, err := os.ReadFile(runbook)
	if err != nil {
		return "", err
	}
	_, rest, found := strings.Cut(string(text), "\n## Meaning\n")
	if !found {
		return "", fmt.Errorf("%s: there is no heading ## Meaning", runbook)
	}
	section, _, _ := strings.Cut(rest, "\n## ")
	return strings.Join(strings.Fields(section), " "), nil
}
