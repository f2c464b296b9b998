package deploy_test

import (
	"maps"
	"reflect"
	"slices"
	"testing"

	"go.yaml.in/yaml/v3"
)

// Scraping is what a configuration says about it.
type scraping struct {
	Global map[string]any
	Jobs   []scrapeJob `yaml:"scrape_configs"`
}

type scrapeJob struct {
	Discovery   []map[string]any `yaml:"http_sd_configs"`
	BodySize    string           `yaml:"body_size_limit"`
	MaxSize     string           `yaml:"max_scrape_size"` // VictoriaMetrics' word for it
	LabelLength int              `yaml:"label_value_length_limit"`
	Other       map[string]any   `yaml:",inline"`
}

// TestOthersScrapeAsPrometheusDoes compares the scrape jobs for other programs with those for
// Prometheus, which promtool checks.
func TestOthersScrapeAsPrometheusDoes(t *testing.T) {
	var prometheus, metrics scraping
	load(t, "prometheus/prometheus-sd.yml", &prometheus)
	load(t, "victoriametrics/scrape.yml", &metrics)
	var collector struct {
		Receivers struct{ Prometheus struct{ Config scraping } }
	}
	load(t, "opentelemetry/collector.yml", &collector)
	telemetry := collector.Receivers.Prometheus.Config

	if len(prometheus.Jobs) == 0 || !reflect.DeepEqual(telemetry.Jobs, prometheus.Jobs) {
		t.Errorf("the receiver of OpenTelemetry scrapes\n%v\nwant what Prometheus does:\n%v", telemetry.Jobs, prometheus.Jobs)
	}
	want := slices.Clone(prometheus.Jobs)
	for i := range want {
		want[i].MaxSize, want[i].BodySize, want[i].LabelLength = want[i].BodySize, "", 0
		want[i].Discovery = slices.Clone(want[i].Discovery)
		for j, discovery := range want[i].Discovery {
			want[i].Discovery[j] = maps.Clone(discovery)
			delete(want[i].Discovery[j], "refresh_interval")
		}
	}
	if !reflect.DeepEqual(metrics.Jobs, want) {
		t.Errorf("VictoriaMetrics scrapes\n%v\nwant\n%v", metrics.Jobs, want)
	}
	for name, global := range map[string]map[string]any{"OpenTelemetry": telemetry.Global, "VictoriaMetrics": metrics.Global} {
		for _, key := range []string{"scrape_interval", "scrape_timeout"} {
			if global[key] != prometheus.Global[key] || global[key] == nil {
				t.Errorf("%s: %s is %v, want %v", name, key, global[key], prometheus.Global[key])
			}
		}
	}
}

func load(t *testing.T, name string, into any) {
	t.Helper()
	if err := yaml.Unmarshal([]byte(readFile(t, name)), into); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}
