// Generate writes the files below deploy that are made from data: the rules of Prometheus.
package main

//go:generate go run . -dir ..

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"oms_exporter/deploy/internal/rules"
)

func main() {
	var o rules.Options
	dir := flag.String("dir", ".", "directory to write below: deploy of the repository")
	flag.StringVar(&o.RunbookBase, "runbook-base", "https://example.com/oms_exporter/deploy/runbooks/",
		"address of the directory of runbooks, with its last slash")
	flag.StringVar(&o.Job, "job", "oms.*", "regular expression of the jobs that scrape exporters")
	flag.Parse()
	if err := run(*dir, o); err != nil {
		fmt.Fprintln(os.Stderr, "generate:", err)
		os.Exit(1)
	}
}

// run writes every generated file below dir.
func run(dir string, o rules.Options) error {
	files, err := rules.Files(o)
	if err != nil {
		return err
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, "prometheus", "rules", name), content, 0o644); err != nil {
			return err
		}
	}
	return nil
}
