package main

import (
	"debug/buildinfo"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const repository = "../../.."

// TestEveryLinkedModuleHasItsLicense asks the program itself what is linked into it.
func TestEveryLinkedModuleHasItsLicense(t *testing.T) {
	var notices strings.Builder
	if err := write(&notices, repository, false); err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(t.TempDir(), "oms_exporter")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", program, "./cmd/oms_exporter")
	build.Dir = repository
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	info, err := buildinfo.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	if len(info.Deps) < 20 {
		t.Errorf("only %d modules are linked", len(info.Deps))
	}
	for _, m := range info.Deps {
		license := "\n" + m.Path + " " + m.Version + ": "
		if !strings.Contains(notices.String(), license+"LICENSE") && !strings.Contains(notices.String(), license+"COPYING") {
			t.Errorf("there is no license of %s %s", m.Path, m.Version)
		}
	}
	for _, part := range []string{
		"\nGo " + strings.TrimPrefix(goVersion(t), "go") + ": LICENSE", // the standard library
		": LICENSE.libyaml\n",                       // a second license of a module
		"internal/github.com/golang/gddo/LICENSE\n", // code that a module has copied
		"/procfs v", ": NOTICE\n", // Apache-2.0, section 4(d)
		"THE SOFTWARE IS PROVIDED \"AS IS\"",
	} {
		if !strings.Contains(notices.String(), part) {
			t.Errorf("the notices lack %q", part)
		}
	}
}

func goVersion(t *testing.T) string {
	t.Helper()
	output, err := exec.CommandContext(t.Context(), "go", "env", "GOVERSION").Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(output))
}

func TestTheReportHasALineForEachPart(t *testing.T) {
	var report strings.Builder
	if err := write(&report, repository, true); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(report.String()), "\n")
	found := map[string]string{}
	for _, line := range lines {
		if fields := strings.Fields(line); len(fields) >= 3 {
			found[fields[0]] = strings.Join(fields[2:], " ")
		}
	}
	if len(found) != len(lines) || len(found) < 20 ||
		found["github.com/prometheus/client_golang"] != "Apache-2.0, BSD-3-Clause" || found["Go"] != "BSD-3-Clause" {
		t.Errorf("the report is\n%s", report.String())
	}
}

const mit = `Copyright (c) 2026 Someone

Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated documentation files (the "Software"), to deal in the Software without restriction, including without limitation the rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and to permit persons to whom the Software is furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or substantial portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
`

const gpl = `This program is free software: you can redistribute it and/or modify it under the terms of the GNU General Public License as published by the Free Software Foundation, either version 3 of the License, or (at your option) any later version.
`

// TestModulesThatMayNotBeShippedAreRefused links a module, with a package in a directory, into a
// program and varies what licenses are where.
func TestModulesThatMayNotBeShippedAreRefused(t *testing.T) {
	for name, test := range map[string]struct {
		files map[string]string
		want  string // "" if it may be shipped
	}{
		"allowed":           {map[string]string{"LICENSE": mit}, ""},
		"none":              {map[string]string{"NOTICE": mit}, "example.com/dep v1.0.0 has no license"},
		"copyleft":          {map[string]string{"COPYING": gpl}, "COPYING: GPL-3.0-or-later is not among"},
		"copyleft, in part": {map[string]string{"LICENSE": mit, "part/LICENSE.txt": gpl}, "GPL-3.0-or-later"},
		"two licenses":      {map[string]string{"LICENSE.md": mit + gpl}, "GPL-3.0-or-later"},
		"not a license":     {map[string]string{"LICENSE": "All rights reserved."}, "not the text of a license that is known"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			files := map[string]string{
				"go.mod":                   "module program\n\ngo 1.26\n\nrequire example.com/dep v1.0.0\n\nreplace example.com/dep => ./dep\n",
				"cmd/oms_exporter/main.go": "package main\n\nimport _ \"example.com/dep/part\"\n\nfunc main() {}\n",
				"dep/go.mod":               "module example.com/dep\n\ngo 1.26\n",
				"dep/part/part.go":         "package part\n",
			}
			for name, content := range test.files {
				files["dep/"+name] = content
			}
			for name, content := range files {
				file := filepath.Join(dir, name)
				if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			var notices strings.Builder
			err := write(&notices, dir, false)
			switch {
			case test.want == "" && err != nil:
				t.Error(err)
			case test.want == "" && !strings.Contains(notices.String(), mit):
				t.Errorf("the notices lack the license:\n%s", notices.String())
			case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
				t.Errorf("%v\nwant: %s", err, test.want)
			case test.want != "" && notices.Len() > 0:
				t.Error("it prints notices all the same")
			}
		})
	}
}
