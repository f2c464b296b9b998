package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"oms_exporter/deploy"
	"oms_exporter/deploy/internal/dashboards"
)

func TestGeneratedFilesAreInStep(t *testing.T) {
	files, err := generate("..", dashboards.Outside{})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range files {
		if have, err := os.ReadFile(filepath.Join("..", name)); err != nil || string(have) != want {
			t.Errorf("%s is out of date (%v): run go generate ./...", name, err)
		}
	}
	for _, pattern := range []string{"grafana/dashboards/*", "helm/oms-exporter/files/*/*"} {
		found, err := filepath.Glob("../" + pattern)
		if err != nil || len(found) == 0 {
			t.Fatalf("%s: %q, %v", pattern, found, err)
		}
		for _, file := range found {
			if name := strings.TrimPrefix(file, "../"); files[name] == "" {
				t.Errorf("%s is not generated anymore: remove it", name)
			}
		}
	}
	rules, err := deploy.Rules()
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rules {
		for index, dir := range map[string]string{"runbooks/README.md": "", "runbooks/README.zh-CN.md": "zh-CN/"} {
			if link := "[" + r.Alert + "](" + dir + r.Alert + ".md)"; r.Alert != "" && strings.Count(files[index], link) != 1 {
				t.Errorf("%s does not list %s once: is its scope exporter, oms or task?", index, r.Alert)
			}
		}
	}
}

func TestSeverity(t *testing.T) {
	for label, want := range map[string]string{
		"critical": "critical",
		`{{ if eq $labels.importance "IGNORE" }}info{{ else }}critical{{ end }}`:                                                  "critical; IGNORE info",
		`{{ if eq $labels.importance "HIGH" }}critical{{ else if eq $labels.importance "IGNORE" }}info{{ else }}warning{{ end }}`: "warning; HIGH critical; IGNORE info",
	} {
		if got, err := severity(label); err != nil || got != want {
			t.Errorf("%s is %q, want %q (%v)", label, got, want, err)
		}
	}
	if got, err := severity("{{ if }}"); err == nil {
		t.Errorf("a template that is wrong is %q", got)
	}
}
