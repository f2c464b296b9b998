package deploy_test

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// TestFiguresAreThoseThatWereMeasured checks what documents and examples say of the exporter's
// cost against the figures of the last benchmark.
func TestFiguresAreThoseThatWereMeasured(t *testing.T) {
	const tasks = 10_000
	row := regexp.MustCompile(`(?m)^\| 10000 tasks, (\d+) series, gzip: (?:CPU \| (\d+) |peak RSS \| (\d+) )`).
		FindAllStringSubmatch(readFile(t, repository+"/collector/benchmark/README.md"), -1)
	if len(row) != 2 {
		t.Fatalf("the benchmark has %d rows about CPU and peak RSS with gzip, want 2", len(row))
	}
	rounded := func(figure string, to float64) float64 {
		f, err := strconv.ParseFloat(figure, 64)
		if err != nil {
			t.Fatal(err)
		}
		return math.Round(f/to) * to
	}
	seconds := fmt.Sprintf("%.1f", rounded(row[0][2], 100)/1000)
	memory := fmt.Sprintf("%.0f MiB", rounded(row[1][3], 10))
	series := fmt.Sprintf("%.0f", rounded(row[0][1], 10*tasks)/tasks)
	for file, says := range map[string][]string{
		"../README.md":                  {"10,000 tasks costs about " + seconds + " s of one CPU core and " + memory},
		"../README.zh-CN.md":            {"10,000 个任务约需单个处理器 " + seconds + " 秒和 " + memory},
		"helm/oms-exporter/values.yaml": {"10,000 tasks costs about " + seconds + " s of one CPU core and " + memory, "has about " + series + " series"},
		"grafana/README.md":             {"10,000 tasks costs about " + seconds + " s of one CPU core", "about " + memory + " for 10,000"},
		"docs/sizing.md":                {"A task has about " + series + " series"},
		"docs/troubleshooting.md":       {"has about " + series + " series"},
		"runbooks/OMSExporterDown.md":   {"a task has about " + series + " series"},
		"prometheus/prometheus.yml":     {"A task has about " + series + " series", "About " + series + " series per task"},
	} {
		for _, want := range says {
			if !strings.Contains(readFile(t, file), want) {
				t.Errorf("%s does not say %q, which is what the benchmark measured", file, want)
			}
		}
	}
}

// TestVersionsAreThoseThatAreSupported checks the minimum versions that pages name against the
// table of supported ones, and that of Go against go.mod.
func TestVersionsAreThoseThatAreSupported(t *testing.T) {
	minimum := map[string]string{}
	for _, row := range regexp.MustCompile(`(?m)^\| (Go|Prometheus|Alertmanager|Grafana)(?:, to build)? \| (\d+\.\d+) \|`).
		FindAllStringSubmatch(readFile(t, docs+"/stability.md"), -1) {
		minimum[row[1]] = row[2]
	}
	if mod := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindStringSubmatch(readFile(t, repository+"/go.mod")); len(minimum) != 4 || mod == nil || mod[1] != minimum["Go"] {
		t.Errorf("%s/stability.md has %v, go.mod %v", docs, minimum, mod)
	}
	named := 0
	claim := regexp.MustCompile(`(Go|Prometheus|Alertmanager|Grafana) (\d+\.\d+)(.{0,12})`)
	for _, page := range markdown(t) {
		for _, c := range claim.FindAllStringSubmatch(readFile(t, page), -1) {
			// Others are the versions that something was measured with.
			needed := c[1] == "Go" && !strings.Contains(page, "benchmark") ||
				regexp.MustCompile(`^ ?(or|and) (later|newer)|^ ?(及|或)`).MatchString(c[3])
			if !needed {
				continue
			}
			if named++; c[2] != minimum[c[1]] {
				t.Errorf("%s names %s %s, %s/stability.md %s", page, c[1], c[2], docs, minimum[c[1]])
			}
		}
	}
	if named < 5 {
		t.Errorf("only %d minimum versions are named", named)
	}
}
