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
	boards, err := filepath.Glob("../grafana/dashboards/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, board := range boards {
		if name := strings.TrimPrefix(board, "../"); files[name] == "" {
			t.Errorf("%s is not generated anymore: remove it", name)
		}
	}
	rules, err := deploy.Rules()
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rules {
		if link := "[" + r.Alert + "](" + r.Alert + ".md)"; r.Alert != "" && strings.Count(files["runbooks/README.md"], link) != 1 {
			t.Errorf("runbooks/README.md does not list %s once: is its scope exporter, oms or task?", r.Alert)
		}
	}
}
