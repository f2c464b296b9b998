// Notices prints the license texts of everything that is linked into oms_exporter, on any platform
// that releases have, and fails if there is one that may not be shipped.
//
//	notices REPOSITORY >THIRD_PARTY_NOTICES
//
// With -report, it prints a line for each part instead: its version and its licenses.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/google/licensecheck"
)

// allowed are the licenses, by SPDX identifier, that ask for no more than their text along.
var allowed = []string{"Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "MIT"}

// enough is how much of a license file, in percent, must be the text of known licenses.
const enough = 75

var (
	// texts are the names of files that have to come along; those of licenses are judged, too.
	texts    = regexp.MustCompile(`(?i)^(licen[cs]e|copying|notice|patents)([.-][^.]+)?(\.(md|txt))?$`)
	licenses = regexp.MustCompile(`(?i)^(licen[cs]e|copying)`)
)

func main() {
	arguments := os.Args[1:]
	report := len(arguments) == 2 && arguments[0] == "-report"
	if len(arguments) != 1 && !report {
		fmt.Fprintln(os.Stderr, "usage: notices [-report] REPOSITORY")
		os.Exit(2)
	}
	if err := write(os.Stdout, arguments[len(arguments)-1], report); err != nil {
		fmt.Fprintln(os.Stderr, "notices:", err)
		os.Exit(1)
	}
}

func write(w io.Writer, repository string, report bool) error {
	modules, err := linked(repository)
	if err != nil {
		return err
	}
	var text, table strings.Builder
	text.WriteString("oms_exporter contains the software below. Each part is under its own license.\n")
	var problems []error
	for _, m := range slices.SortedFunc(maps.Keys(modules), func(a, b module) int { return strings.Compare(a.Path, b.Path) }) {
		part, identifiers, err := notice(m, modules[m])
		problems = append(problems, err)
		text.WriteString(part)
		fmt.Fprintf(&table, "%-50s %-40s %s\n", m.Path, m.Version, strings.Join(identifiers, ", "))
	}
	if err := errors.Join(problems...); err != nil {
		return err
	}
	if report {
		text = table
	}
	_, err = io.WriteString(w, text.String())
	return err
}

type module struct {
	Path, Version, Dir string
	Main               bool
}

// linked returns the modules of the program, Go's standard library among them, each with the
// directories of its packages that are linked.
func linked(repository string) (map[module][]string, error) {
	root, err := goCommand(repository, "", "env", "GOROOT", "GOVERSION")
	if err != nil {
		return nil, err
	}
	goroot := strings.Fields(string(root))
	modules := map[module][]string{
		{Path: "Go", Version: strings.TrimPrefix(goroot[1], "go"), Dir: goroot[0]}: {goroot[0]},
	}
	for _, goos := range []string{"linux", "darwin", "windows"} {
		for _, goarch := range []string{"amd64", "arm64"} {
			output, err := goCommand(repository, goos+"/"+goarch, "list", "-deps", "-json=Dir,Module", "./cmd/oms_exporter")
			if err != nil {
				return nil, err
			}
			for decoder := json.NewDecoder(strings.NewReader(string(output))); ; {
				var p struct {
					Dir    string
					Module *module
				}
				if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
					break
				} else if err != nil {
					return nil, err
				}
				if p.Module != nil && !p.Module.Main {
					modules[*p.Module] = append(modules[*p.Module], p.Dir)
				}
			}
		}
	}
	return modules, nil
}

func goCommand(dir, platform string, args ...string) ([]byte, error) {
	command := exec.Command("go", args...)
	command.Dir = dir
	command.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off")
	if goos, goarch, ok := strings.Cut(platform, "/"); ok {
		command.Env = append(command.Env, "GOOS="+goos, "GOARCH="+goarch)
	}
	command.Stderr = os.Stderr
	output, err := command.Output()
	if err != nil {
		return nil, fmt.Errorf("go %s: %w", strings.Join(args, " "), err)
	}
	return output, nil
}

// notice returns the texts that have to come along with a module: those in the directories of its
// packages and in all directories above them, for parts may have licenses of their own. It also
// returns the identifiers of the licenses.
func notice(m module, packages []string) (text string, identifiers []string, err error) {
	files := map[string]bool{}
	for _, dir := range packages {
		for ; ; dir = filepath.Dir(dir) {
			entries, err := os.ReadDir(dir)
			if err != nil {
				return "", nil, err
			}
			for _, entry := range entries {
				if entry.Type().IsRegular() && texts.MatchString(entry.Name()) {
					files[filepath.Join(dir, entry.Name())] = true
				}
			}
			if len(dir) <= len(m.Dir) {
				break
			}
		}
	}
	var all strings.Builder
	for _, file := range slices.Sorted(maps.Keys(files)) {
		content, err := os.ReadFile(file)
		if err != nil {
			return "", nil, err
		}
		name, err := filepath.Rel(m.Dir, file)
		if err != nil {
			return "", nil, err
		}
		if licenses.MatchString(filepath.Base(file)) {
			found, err := judge(content)
			if err != nil {
				return "", nil, fmt.Errorf("%s %s: %s: %w", m.Path, m.Version, name, err)
			}
			identifiers = append(identifiers, found...)
		}
		fmt.Fprintf(&all, "\n%s\n%s %s: %s\n\n%s\n", strings.Repeat("=", 80), m.Path, m.Version,
			filepath.ToSlash(name), strings.TrimRight(string(content), "\n"))
	}
	if len(identifiers) == 0 {
		return "", nil, fmt.Errorf("%s %s has no license", m.Path, m.Version)
	}
	slices.Sort(identifiers)
	return all.String(), slices.Compact(identifiers), nil
}

// judge returns the identifiers of the licenses in a text, or an error unless all are allowed.
func judge(license []byte) (identifiers []string, err error) {
	coverage := licensecheck.Scan(license)
	for _, match := range coverage.Match {
		if !slices.Contains(allowed, match.ID) {
			return nil, fmt.Errorf("%s is not among the licenses that are allowed: %s", match.ID, strings.Join(allowed, ", "))
		}
		identifiers = append(identifiers, match.ID)
	}
	if coverage.Percent < enough {
		return nil, fmt.Errorf("not the text of a license that is known: %.0f%% of it are", coverage.Percent)
	}
	return identifiers, nil
}
