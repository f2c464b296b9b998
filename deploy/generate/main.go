// Generate writes the files below deploy that are made from data: the rules of Prometheus, the
// tables of alerts and the dashboards of Grafana.
package main

//go:generate go run . -dir ..

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"oms_exporter/deploy/internal/dashboards"
	"oms_exporter/deploy/internal/rules"
	"oms_exporter/deploy/internal/runbooks"
)

func main() {
	o := rules.Defaults()
	dir := flag.String("dir", ".", "directory to write below: deploy of the repository")
	flag.StringVar(&o.RunbookBase, "runbook-base", o.RunbookBase,
		"address of the directory of runbooks, with its last slash")
	flag.StringVar(&o.Job, "job", o.Job, "regular expression of the jobs that scrape exporters")
	console := flag.String("console-url", dashboards.ConsoleURL, "address of the console of OMS")
	flag.Parse()
	boards := dashboards.Options{RunbookBase: o.RunbookBase, ConsoleURL: *console}
	err := errors.Join(
		run(*dir, o),
		runbooks.Write(*dir),
		draw(filepath.Join(*dir, "grafana"), boards),
	)
	if err != nil {
		fmt.Fprintln(os.Stderr, "generate:", err)
		os.Exit(1)
	}
}

// run writes the rules below dir.
func run(dir string, o rules.Options) error {
	files, err := rules.Files(o)
	if err != nil {
		return err
	}
	for name, content := range files {
		file := filepath.Join(dir, "prometheus", "rules", name)
		if err := os.WriteFile(file, content, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// draw writes the dashboards below dir, and their table in its README.
func draw(dir string, o dashboards.Options) error {
	files, err := dashboards.Files(o)
	if err != nil {
		return err
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, "dashboards", name), content, 0o644); err != nil {
			return err
		}
	}
	readme := filepath.Join(dir, "README.md")
	content, err := os.ReadFile(readme)
	if err != nil {
		return err
	}
	if content, err = dashboards.Readme(content); err != nil {
		return err
	}
	return os.WriteFile(readme, content, 0o644)
}
