// Package actionlint_test checks the workflows: syntax, expressions, and, where shellcheck is
// installed, scripts.
package actionlint_test

import (
	"bytes"
	"path/filepath"
	"testing"

	"github.com/rhysd/actionlint"
)

func TestWorkflows(t *testing.T) {
	files, err := filepath.Glob("../../../.github/workflows/*.yml")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	var output bytes.Buffer
	linter, err := actionlint.NewLinter(&output, &actionlint.LinterOptions{Shellcheck: "shellcheck"})
	if err != nil {
		t.Fatal(err)
	}
	if problems, err := linter.LintFiles(files, nil); err != nil || len(problems) > 0 {
		t.Errorf("%v\n%s", err, output.String())
	}
}
