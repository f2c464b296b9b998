package deploy_test

import (
	"maps"
	"os"
	"reflect"
	"testing"

	"go.yaml.in/yaml/v3"
)

// TestOthersScrapeAsPrometheusDoes compares the scrape jobs for other programs with those for
// Prometheus, which promtool checks.
func TestOthersScrapeAsPrometheusDoes(t *testing.T) {
	type document = map[string]any
	prometheus := load(t, "prometheus/prometheus-sd.yml")
	jobs := prometheus["scrape_configs"].([]any)

	receiver := load(t, "opentelemetry/collector.yml")["receivers"].(document)["prometheus"].(document)["config"].(document)
	if !reflect.DeepEqual(receiver["scrape_configs"], prometheus["scrape_configs"]) {
		t.Errorf("the receiver of OpenTelemetry scrapes\n%v\nwant what Prometheus does:\n%v", receiver["scrape_configs"], jobs)
	}

	var want []any
	for _, job := range jobs {
		job := maps.Clone(job.(document))
		job["max_scrape_size"] = job["body_size_limit"]
		delete(job, "body_size_limit")
		delete(job, "label_value_length_limit")
		if job["http_sd_configs"] != nil {
			discovery := maps.Clone(job["http_sd_configs"].([]any)[0].(document))
			delete(discovery, "refresh_interval")
			job["http_sd_configs"] = []any{discovery}
		}
		want = append(want, job)
	}
	metrics := load(t, "victoriametrics/scrape.yml")
	if !reflect.DeepEqual(metrics["scrape_configs"], any(want)) {
		t.Errorf("VictoriaMetrics scrapes\n%v\nwant\n%v", metrics["scrape_configs"], want)
	}
	for name, global := range map[string]any{"OpenTelemetry": receiver["global"], "VictoriaMetrics": metrics["global"]} {
		for key, value := range global.(document) {
			if prometheus["global"].(document)[key] != value {
				t.Errorf("%s: %s is %v", name, key, value)
			}
		}
	}
}

func load(t *testing.T, name string) map[string]any {
	t.Helper()
	content, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var document map[string]any
	if err := yaml.Unmarshal(content, &document); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return document
}
