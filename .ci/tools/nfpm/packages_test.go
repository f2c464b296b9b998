// Package nfpm_test builds the packages of this tree and looks into them.
package nfpm_test

import (
	"bytes"
	"crypto/sha256"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

const (
	repository = "../../.."
	version    = "0.0.1"
)

// packages are the files that are built, with the program that lists what is in them.
var packages = map[string][]string{
	"oms-exporter_0.0.1_amd64.deb":    {"dpkg-deb", "--contents"},
	"oms-exporter-0.0.1-1.x86_64.rpm": {"rpm", "-qlvp"},
}

// notices is where the licenses of linked modules are, by the same names.
var notices = map[string]string{
	"oms-exporter_0.0.1_amd64.deb":    "/usr/share/doc/oms-exporter/THIRD_PARTY_NOTICES",
	"oms-exporter-0.0.1-1.x86_64.rpm": "/usr/share/licenses/oms-exporter/THIRD_PARTY_NOTICES",
}

// contents are lines of both lists, by file: what is before the name begins with the mode.
var contents = map[string]string{
	"/usr/bin/oms_exporter":                                         "-rwxr-xr-x",
	"/usr/lib/systemd/system/oms_exporter.service":                  "-rw-r--r--",
	"/usr/lib/systemd/system/oms_exporter.socket":                   "-rw-r--r--",
	"/etc/default/oms_exporter":                                     "-rw-r--r--",
	"/etc/oms_exporter/oms_exporter.yml":                            "-rw-r-----",
	"/etc/oms_exporter/credentials":                                 "drwx------",
	"/usr/share/man/man1/oms_exporter.1.gz":                         "-rw-r--r--",
	"/usr/share/bash-completion/completions/oms_exporter":           "-rw-r--r--",
	"/usr/share/oms-exporter/oms_exporter.yml":                      "-rw-r--r--",
	"/usr/share/oms-exporter/prometheus/rules/oms_alerts.rules.yml": "-rw-r--r--",
	"/usr/share/oms-exporter/grafana/dashboards/oms-fleet.json":     "-rw-r--r--",
	"/usr/libexec/oms-exporter/check":                               "-rwxr-xr-x",
	"/usr/libexec/oms-exporter/rules":                               "-rwxr-xr-x",
	"/usr/share/doc/oms-exporter/INSTALL.md":                        "-rw-r--r--",
	"/usr/share/doc/oms-exporter/docs/troubleshooting.md":           "-rw-r--r--",
	"/usr/share/doc/oms-exporter/prometheus/README.md":              "-rw-r--r--",
	"/usr/share/doc/oms-exporter/runbooks/OMSDown.md":               "-rw-r--r--",
	"/usr/share/doc/oms-exporter/runbooks/zh-CN/OMSDown.md":         "-rw-r--r--",
}

func TestPackages(t *testing.T) {
	nfpm := filepath.Join(t.TempDir(), "nfpm")
	run(t, ".", nil, "go", "build", "-o", nfpm, "tool")
	first, second := t.TempDir()+"/packages", t.TempDir()
	env := []string{
		"NFPM=" + nfpm, "OUT=" + filepath.Dir(first), "VERSION=" + version, "ARCH=amd64",
		"SOURCE_DATE_EPOCH=1700000000",
	}
	run(t, repository, env, "deploy/packages/build.sh", version, "amd64")
	if files, err := filepath.Glob(first + "/*"); err != nil || len(files) != len(packages) {
		t.Errorf("built %q, want %d", files, len(packages))
	}
	// Again, from files of another time.
	later := time.Now().Add(time.Hour)
	for _, file := range []string{"dist/linux/amd64/oms_exporter", "dist/share/oms_exporter.1.gz"} {
		if err := os.Chtimes(filepath.Join(repository, file), later, later); err != nil {
			t.Fatal(err)
		}
	}
	for _, format := range []string{"deb", "rpm"} {
		run(t, repository, env, nfpm, "package", "--config=deploy/packages/nfpm.yaml",
			"--packager="+format, "--target="+second)
	}
	for name, list := range packages {
		if !bytes.Equal(sum(t, first, name), sum(t, second, name)) {
			t.Errorf("%s has other bytes the second time", name)
		}
		if _, err := exec.LookPath(list[0]); err != nil {
			t.Logf("%s is not installed: %s is not looked into", list[0], name)
			continue
		}
		listed := run(t, first, nil, list[0], append(list[1:], name)...)
		want := maps.Clone(contents)
		want[notices[name]] = "-rw-r--r--"
		for file, mode := range want {
			line := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(mode) + `.* \.?` + regexp.QuoteMeta(file) + `/?$`)
			if !line.MatchString(listed) {
				t.Errorf("%s lacks %s %s:\n%s", name, mode, file, listed)
			}
		}
	}

	if lintian, err := exec.LookPath("lintian"); err == nil {
		run(t, first, nil, lintian, "--allow-root", "--fail-on=error,warning", "oms-exporter_0.0.1_amd64.deb")
	} else if os.Getenv("CI") != "" {
		t.Error("lintian is missing: it is in Debian's package of that name")
	}
	if _, err := exec.LookPath("dpkg-deb"); err == nil {
		conffiles := strings.Fields(run(t, first, nil, "dpkg-deb", "--info", "oms-exporter_0.0.1_amd64.deb", "conffiles"))
		if want := []string{"/etc/default/oms_exporter", "/etc/oms_exporter/oms_exporter.yml"}; !slices.Equal(conffiles, want) {
			t.Errorf("conffiles of the deb: %q, want %q", conffiles, want)
		}
	}
	if _, err := exec.LookPath("rpm"); err == nil {
		run(t, first, nil, "rpm", "--checksig", "--nosignature", "oms-exporter-0.0.1-1.x86_64.rpm")
		config := strings.Fields(run(t, first, nil, "rpm", "-qcp", "oms-exporter-0.0.1-1.x86_64.rpm"))
		if want := []string{"/etc/default/oms_exporter", "/etc/oms_exporter/oms_exporter.yml"}; !slices.Equal(config, want) {
			t.Errorf("configuration of the rpm: %q, want %q", config, want)
		}
	}
}

func sum(t *testing.T, dir, name string) []byte {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	hash := sha256.Sum256(content)
	return hash[:]
}

func run(t *testing.T, dir string, env []string, name string, args ...string) string {
	t.Helper()
	command := exec.CommandContext(t.Context(), name, args...)
	command.Dir = dir
	command.Env = append(os.Environ(), env...)
	output, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, output)
	}
	return string(output)
}
