package packages_test

import (
	"bytes"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestAnIdentityReplacesTheOneThatStands changes a copy of the repository, and changes it back.
func TestAnIdentityReplacesTheOneThatStands(t *testing.T) {
	root := copyOfRepository(t)
	before := contents(t, root)
	shipped := map[string]string{}
	for _, line := range regexp.MustCompile(`(?m)^(\w+)=(.*)$`).FindAllStringSubmatch(before["deploy/identity"], -1) {
		shipped[line[1]] = line[2]
	}
	other := map[string]string{
		"home": "https://git.test/oms", "repository": "dba/oms", "image": "registry.test/dba/oms-image",
		"charts": "oci://registry.test/charts", "runbooks": "https://wiki.test/oms/", "contact": "dba@mail.test",
	}
	identify(t, root, other)
	changed := contents(t, root)
	for key, old := range shipped {
		if other[key] == "" {
			t.Errorf("this test does not know %s", key)
		}
		for name, text := range changed {
			if strings.Contains(text, strings.TrimPrefix(old, "oci://")) {
				t.Errorf("%s still has %s", name, old)
			}
		}
	}
	for name, want := range map[string]string{
		"deploy/prometheus/rules/oms_alerts.rules.yml": "https://wiki.test/oms/OMSDown.md",
		"deploy/helm/oms-exporter/values.yaml":         "registry: registry.test\n  # -- Image without registry and tag.\n  repository: dba/oms-image\n",
		"deploy/helm/oms-exporter/Chart.yaml":          "home: https://git.test/oms\n",
		"deploy/packages/nfpm.yaml":                    "homepage: https://git.test/oms\n",
		"deploy/internal/dashboards/dashboards.go":     `"https://wiki.test/oms/"`,
		"deploy/INSTALL.md":                            "helm install oms oci://registry.test/charts/oms-exporter",
	} {
		if !strings.Contains(changed[name], want) {
			t.Errorf("%s lacks %s", name, want)
		}
	}
	identify(t, root, shipped)
	if after := contents(t, root); !maps.Equal(after, before) {
		for name, text := range after {
			if text != before[name] {
				t.Errorf("%s is not what it was", name)
			}
		}
	}
}

func identify(t *testing.T, root string, identity map[string]string) {
	t.Helper()
	var arguments []string
	for _, key := range slices.Sorted(maps.Keys(identity)) {
		arguments = append(arguments, key+"="+identity[key])
	}
	command := exec.CommandContext(t.Context(), "deploy/identity.sh", arguments...)
	command.Dir = root
	if output, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
}

// copyOfRepository copies the files that git knows.
func copyOfRepository(t *testing.T) (root string) {
	t.Helper()
	root = t.TempDir()
	from, err := filepath.Abs(repository)
	if err != nil {
		t.Fatal(err)
	}
	listed := git(t, from, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	for _, name := range strings.Split(strings.TrimSuffix(listed, "\x00"), "\x00") {
		content, err := os.ReadFile(filepath.Join(from, name))
		if os.IsNotExist(err) {
			continue // removed, but not yet committed
		} else if err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Join(root, filepath.Dir(name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, name), content, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	git(t, root, "init", "--quiet")
	git(t, root, "add", "--all")
	return root
}

func contents(t *testing.T, root string) map[string]string {
	t.Helper()
	files := map[string]string{}
	for _, name := range strings.Split(strings.TrimSuffix(git(t, root, "ls-files", "-z"), "\x00"), "\x00") {
		content, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		if name != "deploy/packages/identity_test.go" && !bytes.Contains(content, []byte{0}) {
			files[name] = string(content)
		}
	}
	return files
}

func git(t *testing.T, dir string, arguments ...string) string {
	t.Helper()
	command := exec.CommandContext(t.Context(), "git", append([]string{"-c", "safe.directory=*", "-C", dir}, arguments...)...)
	output, err := command.Output()
	if err != nil {
		t.Fatalf("git %q: %v", arguments, err)
	}
	return string(output)
}
