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

func TestAReloadChecksTheConfigurationFirstAndNeedsNoPackage(t *testing.T) {
	unit := text(t, units+"oms_exporter.service")
	start := regexp.MustCompile(`(?m)^ExecStart=(.*)$`).FindStringSubmatch(unit)
	reloads := regexp.MustCompile(`(?m)^ExecReload=(\S+) ?(.*)$`).FindAllStringSubmatch(unit, -1)
	if start == nil || len(reloads) != 2 || reloads[0][1]+" "+reloads[0][2] != start[1]+" --config.check" ||
		reloads[1][1] != "/bin/sh" {
		t.Errorf("want ExecReload= to be ExecStart= with --config.check, and then a command of the shell:\n%s", unit)
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
	scripts = append(scripts, deploy+"/compose/receiver.sh", "libexec/check", "libexec/rules")
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

func TestImagesOfDockerfilesArePinned(t *testing.T) {
	for _, file := range []string{"/Dockerfile", "/.ci/Dockerfile"} {
		expectPinned(t, text(t, repository+file))
	}
	golang := regexp.MustCompile(`golang:\S+`)
	if ci, image := golang.FindString(text(t, repository+"/.ci/Dockerfile")), golang.FindString(text(t, repository+"/Dockerfile")); ci != image {
		t.Errorf("CI has %s, the image %s", ci, image)
	}
}

func expectPinned(t *testing.T, dockerfile string) {
	t.Helper()
	if strings.Contains(dockerfile, "syntax=") {
		t.Error("the Dockerfile loads its own frontend; nothing updates the digest of that image")
	}
	pinned := regexp.MustCompile(`^[\w./-]+:[\w.-]+@sha256:[0-9a-f]{64}$`)
	outside := 0
	for _, match := range regexp.MustCompile(`(?m)^FROM (?:--\S+ )*(\S+)`).FindAllStringSubmatch(dockerfile, -1) {
		if image := match[1]; image != "scratch" && image != "$SOURCE" {
			outside++
			if !pinned.MatchString(image) {
				t.Errorf("%s is not pinned by its digest", image)
			}
		}
	}
	if outside == 0 {
		t.Error("the Dockerfile begins with no image")
	}
}

type job struct {
	Needs       []string
	If          string
	Permissions map[string]string
	Steps       []struct {
		Uses, Run string
		With      map[string]any
	}
}

type workflow struct {
	On          map[string]any
	Permissions *map[string]string
	Jobs        map[string]job
}

// pinned is an action by its commit, with the version in words.
var pinned = regexp.MustCompile(`uses: [\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+\n`)

func TestWorkflowsArePinnedAndKeepNoCredentials(t *testing.T) {
	files, err := filepath.Glob(repository + "/.github/workflows/*.yml")
	if err != nil || len(files) < 2 {
		t.Fatal(files, err)
	}
	commits := map[string]string{} // by action: all workflows use the same
	for _, file := range files {
		name, content := filepath.Base(file), text(t, file)
		uses := pinned.FindAllString(content, -1)
		if len(uses) == 0 || len(uses) != strings.Count(content, "uses:") {
			t.Errorf("%s: %d actions, pinned by commit are %q", name, strings.Count(content, "uses:"), uses)
		}
		for _, use := range uses {
			action, commit, _ := strings.Cut(use, "@")
			if other, ok := commits[action]; ok && other != commit {
				t.Errorf("%s: %s is %s and %s", name, action, commit, other)
			}
			commits[action] = commit
		}
		var w workflow
		parse(t, file, &w)
		if w.Permissions == nil {
			t.Errorf("%s: jobs have the permissions that the repository gives", name)
		} else if p := *w.Permissions; len(p) > 0 && !reflect.DeepEqual(p, map[string]string{"contents": "read"}) {
			t.Errorf("%s: permissions of all jobs: %v", name, p)
		}
		for name, job := range w.Jobs {
			for _, step := range job.Steps {
				if strings.Contains(step.Run, "${{") { // what comes from outside would become code
					t.Errorf("%s: an expression in a script:\n%s", name, step.Run)
				}
				if strings.HasPrefix(step.Uses, "actions/checkout@") && step.With["persist-credentials"] != any(false) {
					t.Errorf("%s: the token stays in .git/config", name)
				}
			}
		}
	}
}

// TestOnlyAJobThatRunsNoCodeOfOursCanWrite: a bad dependency of a test or a tool must not be able
// to publish or to sign.
func TestOnlyAJobThatRunsNoCodeOfOursCanWrite(t *testing.T) {
	var release workflow
	parse(t, repository+"/.github/workflows/release.yml", &release)
	if len(*release.Permissions) > 0 {
		t.Errorf("permissions of all jobs: %v, want {}", *release.Permissions)
	}
	for name, job := range release.Jobs {
		if name == "publish" {
			continue
		}
		if want := map[string]string{"contents": "read"}; !reflect.DeepEqual(job.Permissions, want) {
			t.Errorf("%s: permissions %v, want %v", name, job.Permissions, want)
		}
	}
	publish := release.Jobs["publish"]
	want := map[string]string{
		"contents": "write", "packages": "write", "id-token": "write", "attestations": "write",
	}
	if !reflect.DeepEqual(publish.Permissions, want) {
		t.Errorf("publish: permissions %v, want %v", publish.Permissions, want)
	}
	if want := "github.event_name == 'push' && github.ref_type == 'tag'"; publish.If != want {
		t.Errorf("it publishes if %s, want %s", publish.If, want)
	}
	if want := []string{"test", "build"}; !slices.Equal(publish.Needs, want) {
		t.Errorf("it publishes after %q, want %q", publish.Needs, want)
	}
	var attested []any
	for _, step := range publish.Steps {
		action, _, _ := strings.Cut(step.Uses, "@")
		switch action {
		case "", "actions/download-artifact":
		case "actions/attest-build-provenance":
			attested = append(attested, step.With["subject-name"], step.With["subject-checksums"])
			if step.With["subject-name"] != nil && (step.With["subject-digest"] == nil || step.With["push-to-registry"] != any(true)) {
				t.Errorf("the registry gets no attestation of %v", step.With["subject-name"])
			}
		default:
			t.Errorf("publish uses %s", action)
		}
		if ours := regexp.MustCompile(`\b(go|bash|make|npm|docker (build|run)\w*|\./\S+)\s`).FindString(step.Run); ours != "" {
			t.Errorf("publish runs %q:\n%s", ours, step.Run)
		}
	}
	if want := []any{
		"${{ steps.image.outputs.name }}", nil, "${{ steps.chart.outputs.name }}", nil, nil, "files/sha256sums.txt",
	}; !reflect.DeepEqual(attested, want) {
		t.Errorf("attested are %v, want %v", attested, want)
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
