package deploy_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var scrapeExamples = []string{
	"prometheus/prometheus.yml", "prometheus/prometheus-sd.yml", "prometheus/prometheus-shards.yml",
	"prometheus/scrapeconfig-kubernetes.yml",
}

// Debian builds Prometheus and promtool without Kubernetes.
var kubernetes = regexp.MustCompile(`(?m)^    kubernetes_sd_configs:\n(?:      .*\n)+`)

func TestScrapeExamples(t *testing.T) {
	promtool := tool(t, "prometheus", "promtool")
	all, err := filepath.Glob("prometheus/*.yml")
	if err != nil || len(all) != len(scrapeExamples) {
		t.Errorf("there are %q (%v), and this test knows %q", all, err, scrapeExamples)
	}
	for _, file := range scrapeExamples {
		text := readFile(t, file)
		if kubernetes.MatchString(text) {
			text = kubernetes.ReplaceAllString(text, "    static_configs:\n      - targets: [localhost:10667]\n")
			file = filepath.Join(t.TempDir(), filepath.Base(file))
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		run(t, promtool, "check", "config", file)

		jobs := strings.Split(text, "- job_name:")[1:]
		for _, job := range jobs {
			for _, limit := range []string{"sample_limit", "body_size_limit", "label_value_length_limit"} {
				if !regexp.MustCompile(`(?m)^    ` + limit + `: \S`).MatchString(job) {
					t.Errorf("%s: job%s has no %s", file, strings.SplitN(job, "\n", 2)[0], limit)
				}
			}
		}
	}
}

func TestTheKubernetesExampleLooksForPods(t *testing.T) {
	found := kubernetes.FindAllString(readFile(t, "prometheus/scrapeconfig-kubernetes.yml"), -1)
	if len(found) != 1 || !strings.Contains(found[0], "_configs:\n      - role: pod\n") {
		t.Errorf("it has %q", found)
	}
}
