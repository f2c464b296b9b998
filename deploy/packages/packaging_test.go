// Package packages_test tests systemd units, packages and releases.
package packages_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

const (
	repository = "../.."
	deploy     = ".."
	units      = deploy + "/systemd/"
)

// mostExposure is ten times the maximum exposure of the service by
// systemd-analyze: 0 is fully protected, 100 is unprotected. With systemd 252
// it is 1.2.
const mostExposure = "15"

func TestUnitsAreValid(t *testing.T) {
	analyze := systemdAnalyze(t)
	dir := t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var copies []string
	for _, name := range []string{"oms_exporter.service", "oms_exporter.socket"} {
		// The program must exist: the test binary stands in for it.
		content := strings.ReplaceAll(text(t, units+name), "/usr/bin/oms_exporter", self)
		copies = append(copies, filepath.Join(dir, name))
		if err := os.WriteFile(copies[len(copies)-1], []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	output, err := exec.CommandContext(t.Context(), analyze,
		append([]string{"verify", "--man=no"}, copies...)...).CombinedOutput()
	if err != nil || len(bytes.TrimSpace(output)) > 0 {
		t.Errorf("%v\n%s", err, output)
	}
}

func TestTheServiceChecksItsConfigurationBeforeItStarts(t *testing.T) {
	unit := text(t, units+"oms_exporter.service")
	start := regexp.MustCompile(`(?m)^ExecStart=(.*)$`).FindStringSubmatch(unit)
	if start == nil || !strings.Contains(unit, "\nExecStartPre="+start[1]+" --config.check\n") {
		t.Errorf("want ExecStartPre= to be ExecStart= with --config.check:\n%s", unit)
	}
}

func TestTheServiceIsConfined(t *testing.T) {
	output, err := exec.CommandContext(t.Context(), systemdAnalyze(t), "security", "--offline=true",
		"--no-pager", "--threshold="+mostExposure, units+"oms_exporter.service").CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, output)
	}
}

func systemdAnalyze(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Fatal("systemd-analyze is missing: it is in Debian's package systemd")
	}
	return path
}

// A packageConfig is the common part of the configurations of nfpm and
// goreleaser.
type packageConfig struct {
	Section, Priority, Maintainer, Homepage, License, Description string

	Contents []map[string]any
	Scripts  map[string]string
	Deb, RPM map[string]any
}

func TestReleasesHaveThePackagesOfNfpm(t *testing.T) {
	var plain struct {
		packageConfig `yaml:",inline"`
		Name          string
		Overrides     map[string]struct{ Depends, Recommends []string }
	}
	parse(t, "nfpm.yaml", &plain)
	var project struct{ Nfpms []yaml.Node }
	parse(t, repository+"/.goreleaser.yml", &project)
	var release struct {
		packageConfig `yaml:",inline"`
		Name          string `yaml:"package_name"`
		Overrides     map[string]struct {
			Depends    []string `yaml:"dependencies"`
			Recommends []string
		}
	}
	if err := project.Nfpms[0].Decode(&release); err != nil {
		t.Fatal(err)
	}

	plain.Contents = slices.DeleteFunc(plain.Contents, func(c map[string]any) bool {
		return c["dst"] == "/usr/bin/oms_exporter" // goreleaser adds it itself
	})
	if !reflect.DeepEqual(plain.packageConfig, release.packageConfig) {
		t.Errorf(".goreleaser.yml has\n%+v\nwant what deploy/packages/nfpm.yaml has:\n%+v",
			release.packageConfig, plain.packageConfig)
	}
	if plain.Name != release.Name {
		t.Errorf("the package of a release is %s, want %s", release.Name, plain.Name)
	}
	for format, want := range plain.Overrides {
		have := release.Overrides[format]
		if !slices.Equal(have.Depends, want.Depends) || !slices.Equal(have.Recommends, want.Recommends) {
			t.Errorf("%s needs %v, want %v", format, have, want)
		}
	}
}

func TestWhatIsPackagedExists(t *testing.T) {
	var config packageConfig
	parse(t, "nfpm.yaml", &config)
	sources := slices.Collect(func(yield func(string) bool) {
		for _, c := range config.Contents {
			if source, ok := c["src"].(string); ok && !yield(source) {
				return
			}
		}
	})
	for _, script := range config.Scripts {
		sources = append(sources, script)
	}
	for _, source := range sources {
		if strings.HasPrefix(source, "dist/") {
			continue // is built
		}
		if found, err := filepath.Glob(repository + "/" + source); err != nil || len(found) == 0 {
			t.Errorf("there is no %s (%v)", source, err)
		}
	}
}

func TestScriptsOfPackagesAreShell(t *testing.T) {
	scripts, err := filepath.Glob("scripts/*.sh")
	if err != nil || len(scripts) == 0 {
		t.Fatal(scripts, err)
	}
	scripts = append(scripts, deploy+"/compose/receiver.sh")
	for _, script := range scripts {
		if output, err := exec.CommandContext(t.Context(), "sh", "-n", script).CombinedOutput(); err != nil {
			t.Errorf("%s: %v %s", script, err, output)
		}
		if info, err := os.Stat(script); err != nil || info.Mode()&0o100 == 0 {
			t.Errorf("%s cannot be run: %v", script, err)
		}
	}
}

func TestTheImageIsBuiltByTheGoOfTheModule(t *testing.T) {
	version := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindStringSubmatch(text(t, repository+"/go.mod"))[1]
	if want := "golang:" + version + "-"; !strings.Contains(text(t, repository+"/Dockerfile"), want) {
		t.Errorf("Dockerfile lacks %s", want)
	}
}

// pinned is an action by its commit, with the version in words.
var pinned = regexp.MustCompile(`uses: [\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+\n`)

func TestTheReleaseWorkflowIsPinnedAndRestricted(t *testing.T) {
	const file = repository + "/.github/workflows/release.yml"
	content := text(t, file)
	if uses := strings.Count(content, "uses:"); uses == 0 || uses != len(pinned.FindAllString(content, -1)) {
		t.Errorf("%d actions, pinned by commit are %q", uses, pinned.FindAllString(content, -1))
	}
	var workflow struct {
		Permissions *map[string]string
		Jobs        map[string]struct {
			Permissions map[string]string
			Steps       []struct{ Run string }
		}
	}
	parse(t, file, &workflow)
	if workflow.Permissions == nil || len(*workflow.Permissions) > 0 {
		t.Errorf("permissions of all jobs: %v, want {}", workflow.Permissions)
	}
	want := map[string]string{
		"contents": "write", "packages": "write", "id-token": "write", "attestations": "write",
	}
	for name, job := range workflow.Jobs {
		if !reflect.DeepEqual(job.Permissions, want) {
			t.Errorf("%s: permissions %v, want %v", name, job.Permissions, want)
		}
		for _, step := range job.Steps {
			if strings.Contains(step.Run, "${{") { // input from outside would become code
				t.Errorf("%s: an expression in a script:\n%s", name, step.Run)
			}
		}
	}
}

// named finds paths of this repository in a text.
var named = regexp.MustCompile(`(?:^|[\s(\x60=./])((?:deploy|\.ci|cmd|collector|omsclient)/[\w./-]*\w)`)

func TestINSTALLNamesFilesThatExist(t *testing.T) {
	found := named.FindAllStringSubmatch(text(t, deploy+"/INSTALL.md"), -1)
	if len(found) < 5 {
		t.Fatalf("only %d files are named", len(found))
	}
	for _, match := range found {
		if _, err := os.Stat(repository + "/" + match[1]); errors.Is(err, fs.ErrNotExist) {
			t.Errorf("INSTALL.md: there is no %s", match[1])
		}
	}
}

func parse(t *testing.T, file string, into any) {
	t.Helper()
	if err := yaml.Unmarshal([]byte(text(t, file)), into); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
}

func text(t *testing.T, file string) string {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}
