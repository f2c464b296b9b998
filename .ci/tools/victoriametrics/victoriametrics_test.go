// Package victoriametrics_test has the programs of VictoriaMetrics read what deploy/ has for them.
package victoriametrics_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const deploy = "../../../deploy"

func TestVmagentReadsTheScrapeConfiguration(t *testing.T) {
	run(t, "vmagent", "-promscrape.config="+deploy+"/victoriametrics/scrape.yml", "-promscrape.config.dryRun")
}

// TestVmagentRefusesThatOfPrometheus is why there are two.
func TestVmagentRefusesThatOfPrometheus(t *testing.T) {
	output, err := command(t, "vmagent", "-promscrape.config="+deploy+"/prometheus/prometheus-sd.yml", "-promscrape.config.dryRun").CombinedOutput()
	if err == nil || !strings.Contains(string(output), "not found") {
		t.Errorf("vmagent reads prometheus-sd.yml now (%v): is deploy/victoriametrics needed?\n%s", err, output)
	}
}

func TestVmalertReadsTheRules(t *testing.T) {
	content, err := os.ReadFile(deploy + "/victoriametrics/vmalert.flags")
	if err != nil {
		t.Fatal(err)
	}
	flags := strings.Fields(strings.ReplaceAll(string(content), "/etc/prometheus/rules", deploy+"/prometheus/rules"))
	output := run(t, "vmalert", append(flags, "-dryRun")...)
	files, err := filepath.Glob(deploy + "/prometheus/rules/*.yml")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	if strings.Contains(output, "\twarn\t") || strings.Contains(output, "\terror\t") {
		t.Errorf("vmalert warns:\n%s", output)
	}
}

func run(t *testing.T, tool string, flags ...string) (output string) {
	t.Helper()
	content, err := command(t, tool, flags...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", tool, flags, err, content)
	}
	return string(content)
}

func command(t *testing.T, tool string, flags ...string) *exec.Cmd {
	t.Helper()
	if tool == "vmagent" { // it wants to know where to, even if it only reads
		flags = append(flags, "-remoteWrite.url=http://127.0.0.1:1", "-remoteWrite.tmpDataPath="+t.TempDir())
	}
	return exec.CommandContext(t.Context(), "go", append([]string{"tool", tool}, flags...)...)
}
