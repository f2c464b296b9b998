package collector_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"oms_exporter/collector"
)

func TestThresholdsOfATask(t *testing.T) {
	thresholds := collector.Thresholds{
		Importance: map[string]collector.Threshold{
			"HIGH": {Warning: time.Minute, Critical: 5 * time.Minute},
			"LOW":  {Critical: time.Hour},
		},
		Overrides: []collector.Override{
			{ID: "np_7", Threshold: collector.Threshold{Warning: 7 * time.Second}},
			{Tag: "gold", Threshold: collector.Threshold{Warning: 30 * time.Second, Critical: 2 * time.Minute}},
			{Name: regexp.MustCompile(`^test_`), Tag: "slow"},
		},
	}
	tests := []struct {
		name, task string
		fromTags   bool
		want       []string
	}{
		{"by importance", `"importance": "HIGH"`, false, []string{"critical 300", "warning 60"}},
		{"one level only", `"importance": "LOW"`, false, []string{"critical 3600"}},
		{"none for another importance", `"importance": "IGNORE"`, false, nil},
		{"a tag goes before importance", `"importance": "LOW", "labels": [{"name": "gold"}]`, false, []string{"critical 120", "warning 30"}},
		{"the first match stands", `"id": "np_7", "labels": [{"name": "gold"}]`, false, []string{"warning 7"}},
		{"all of an override must match", `"importance": "LOW", "name": "test_1"`, false, []string{"critical 3600"}},
		{"an override can take them away", `"importance": "LOW", "name": "test_1", "labels": [{"name": "slow"}]`, false, nil},
		{"tags are not read unless asked", `"importance": "HIGH", "labels": [{"name": "delay:2m"}]`, false, []string{"critical 300", "warning 60"}},
		{"a tag for a warning", `"importance": "HIGH", "labels": [{"name": "delay:2m"}]`, true, []string{"critical 300", "warning 120"}},
		{"never later than the alarm", `"importance": "HIGH", "labels": [{"name": "delay:10m"}]`, true, []string{"critical 600", "warning 600"}},
		{"a tag for both", `"labels": [{"name": "delay:10s/1h"}]`, true, []string{"critical 3600", "warning 10"}},
		{"a tag that is not a duration", `"importance": "LOW", "labels": [{"name": "delay:soon"}, {"name": "delay:1s/later"}]`, true, []string{"critical 3600"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			thresholds.FromTags = test.fromTags
			task := `{"id": "np_1", "name": "n", ` + test.task + `}`

			got := exposition(t, collector.Options{
				Thresholds: func() *collector.Thresholds { return &thresholds },
			}, task)

			var found []string
			for line := range strings.Lines(got) {
				if rest, ok := strings.CutPrefix(line, `oms_task_delay_threshold_seconds{level="`); ok {
					level, rest, _ := strings.Cut(rest, `"`)
					_, value, _ := strings.Cut(rest, "} ")
					found = append(found, level+" "+strings.TrimSpace(value))
				}
			}
			if !slices.Equal(found, test.want) {
				t.Errorf("got %q, want %q", found, test.want)
			}
		})
	}
}
