package collector_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"oms_exporter/collector"
	"oms_exporter/omsclient"
)

// tasksOf returns the tasks that people see of an OMS, at a time.
func tasksOf(t *testing.T, at time.Time, options collector.Options, projects ...string) (tasks []*collector.TaskView) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		<-time.After(time.Until(at))
		s := collector.New(listOf(t, projects...), options).Scrape(t.Context())
		if s.Err() != nil || !s.Time().Equal(at) {
			t.Fatalf("listed at %s: %v", s.Time(), s.Err())
		}
		tasks = s.Views()
	})
	return tasks
}

// Each task as OMS sends it gives exactly the view in the file beside it.
func TestTasks(t *testing.T) {
	for _, input := range inputs(t) {
		t.Run(filepath.Base(input), func(t *testing.T) {
			tasks := tasksOf(t, time.Unix(1735862580, 0), collector.Options{}, read(t, input))
			got, err := json.MarshalIndent(tasks, "", "  ")
			if err != nil {
				t.Fatal(err)
			}

			golden := strings.TrimSuffix(input, ".json") + ".view.json"
			if *update {
				write(t, golden, string(got)+"\n")
			}
			if want := read(t, golden); string(got)+"\n" != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

// now is the time of the listings below, in the seconds of OMS.
const now = 946_684_800

// following returns a task that follows its source with a delay that OMS sampled some seconds ago.
func following(name, importance string, delay, sampled int, more string) string {
	return fmt.Sprintf(`{"id": "np_%s", "name": %[1]q, "status": "RUNNING", "importance": %q, "steps": [
		{"order": 1, "name": "INCR_TRANSFER", "status": "MONITORING", "progress": 100, "stepInfo":
		{"incrTimestampCheckpoint": %d, "checkpointSampleTimestamp": %d}}]%s}`,
		name, importance, now-sampled-delay, now-sampled, more)
}

func TestConcernsAreFound(t *testing.T) {
	const keptHours = `, "extraInfo": {"sourceStoreKeptHour": 1}`
	for _, tt := range []struct {
		name, task string
		want       string // severity and concerns
	}{
		{"nothing", following("a", "HIGH", 5, 9, ""), "fine []"},
		{"failed", `{"id": "1", "status": "FAILED", "importance": "LOW"}`, "critical [failed]"},
		{"failed, ignored", `{"id": "1", "status": "FAILED", "importance": "IGNORE"}`, "notice [failed]"},
		{"late", following("a", "HIGH", 61, 9, ""), "warning [late]"},
		{"not yet late", following("a", "HIGH", 60, 9, ""), "fine []"},
		{"very late", following("a", "HIGH", 301, 9, ""), "critical [very_late]"},
		{"late for medium", following("a", "MEDIUM", 301, 9, ""), "warning [late]"},
		{"late for low", following("a", "LOW", 901, 9, ""), "warning [late]"},
		{"of a new importance", following("a", "URGENT", 301, 9, ""), "warning [late]"},
		{"ignored, so never late", following("a", "IGNORE", 90_000, 9, ""), "fine []"},
		{"late because of the time since the sample", following("a", "HIGH", 0, 91, ""), "warning [late]"},
		{"sampled long ago", following("a", "LOW", 0, 301, ""), "warning [sample_stale]"},
		{"clocks", following("a", "HIGH", -6, 9, ""), "notice [clocks_disagree]"},
		{"OMS alarms", following("a", "HIGH", 5, 9, `, "alarmStats": {"alarming": true}`), "notice [alarming]"},
		{"suspended", `{"id": "1", "status": "SUSPEND"}`, "notice [suspended]"},
		{
			"suspended is never late", strings.Replace(following("a", "HIGH", 9000, 9, ""), "RUNNING", "SUSPEND", 1),
			"notice [suspended]",
		},
		{
			"suspended, half of the logs are gone",
			strings.Replace(following("a", "HIGH", 1800, 9, keptHours), "RUNNING", "SUSPEND", 1),
			"warning [logs_running_out suspended]",
		},
		{
			"suspended, nearly all logs are gone",
			strings.Replace(following("a", "HIGH", 3000, 9, keptHours), "RUNNING", "SUSPEND", 1),
			"critical [logs_almost_lost suspended]",
		},
		{
			"no delay", `{"id": "1", "status": "RUNNING", "importance": "HIGH", "steps": [{"name": "INCR_SYNC", "status": "MONITORING"}]}`,
			"warning [delay_unknown]",
		},
		{
			"no delay of the reverse direction",
			`{"id": "1", "status": "RUNNING", "steps": [{"name": "REVERSE_INCR_SYNC", "status": "MONITORING"}]}`,
			"notice [delay_unknown]",
		},
		{
			"a step failed", `{"id": "1", "status": "RUNNING", "importance": "HIGH", "steps": [{"name": "FULL_TRANSFER", "status": "FAILED"}]}`,
			"critical [step_failed]",
		},
		{
			"a step failed, of less importance",
			`{"id": "1", "status": "RUNNING", "importance": "LOW", "steps": [{"name": "FULL_TRANSFER", "status": "FAILED"}]}`,
			"warning [step_failed]",
		},
		{
			"a switchover waits", `{"id": "1", "status": "RUNNING", "steps": [{"name": "TRANSFER_APP_SWITCH", "status": "RUNNING", "progress": 0}]}`,
			"fine []",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			task := tasksOf(t, time.Unix(now, 0), collector.Options{}, tt.task)[0]

			if got := fmt.Sprint(task.Severity, " ", task.Concerns); got != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
		})
	}
}

// A component that has died is a concern as soon as OMS has said so. Others are not.
func TestADeadComponentIsAConcern(t *testing.T) {
	for status, want := range map[string]string{
		"UNEXPECTED_EXIT": "critical [failed component_dead]", "STOP": "critical [failed component_dead]",
		"RUNNING": "critical [failed]", "SUSPEND": "critical [failed]", "UPGRADING": "critical [failed]", "": "critical [failed]",
	} {
		synctest.Test(t, func(t *testing.T) {
			c := collector.New(listOf(t, `{"id": "1", "status": "FAILED"}`), collector.Options{
				Components: func(context.Context, string) ([]omsclient.Component, []omsclient.Request, error) {
					return []omsclient.Component{{Kind: "store", Status: status}}, nil, nil
				},
			})
			c.Scrape(t.Context())
			c.Settle()

			task := c.Scrape(t.Context()).Views()[0]

			if got := fmt.Sprint(task.Severity, " ", task.Concerns); got != want {
				t.Errorf("%q: %s, want %s", status, got, want)
			}
		})
	}
}

func TestThresholdsOfTheConfigurationDecideWhoIsLate(t *testing.T) {
	options := collector.Options{Thresholds: func() *collector.Thresholds {
		return &collector.Thresholds{Importance: map[string]collector.Threshold{
			"HIGH": {Warning: 2 * time.Second, Critical: time.Hour}, "IGNORE": {Warning: time.Minute, Critical: time.Hour},
		}}
	}}
	for importance, want := range map[string]string{"HIGH": "[]", "IGNORE": "[late]", "LOW": "[]"} {
		delay := 61
		if importance == "HIGH" {
			delay = 29 // less than half a minute is noise
		}
		task := tasksOf(t, time.Unix(now, 0), options, following("a", importance, delay, 9, ""))[0]
		if got := fmt.Sprint(task.Concerns); got != want {
			t.Errorf("%s: %s, want %s", importance, got, want)
		}
	}
}

// A group of metrics that is off is not shown either.
func TestTasksShowNoMoreThanTheMetrics(t *testing.T) {
	for group, parts := range map[string][]string{
		"task":       {`"owner":"`, `"importance":"`, `"status":"RUNNING","importance"`, `"warning_delay_seconds"`},
		"tag":        {`"tags":["`},
		"sync":       {`"flows":[{`, `"delay_seconds"`},
		"step":       {`"steps":[{`},
		"throughput": {`"source_records_per_second"`, `"sink_bytes_per_second"`, `"source_latency_seconds"`},
		"alarm":      {`"alarming"`},
	} {
		var texts [2]string
		for i, without := range []string{"nothing", group} {
			tasks := tasksOf(t, time.Unix(1735862580, 0), collector.Options{
				Without: func(g string) bool { return g == without },
			}, read(t, "testdata/migration.json"))
			text, err := json.Marshal(tasks)
			if err != nil {
				t.Fatal(err)
			}
			texts[i] = string(text)
		}
		for _, part := range parts {
			if !strings.Contains(texts[0], part) || strings.Contains(texts[1], part) {
				t.Errorf("with %s: %s\nand without:\n%s\nonly the first has %s", group, texts[0], texts[1], part)
			}
		}
		if strings.Contains(texts[1], "delay_unknown") {
			t.Errorf("without %s a delay is taken for unknown", group)
		}
	}
}

// The worst task comes first: by severity, concern, importance, share of the critical delay, name.
func TestTheWorstTaskComesFirst(t *testing.T) {
	want := []string{
		"failed", "almost_lost", "very_late_high", "very_late_low", "late_250", "late_70",
		"stale", "suspended", "on_time_20", "on_time_10", "new", "new_too",
	}
	tasks := map[string]string{
		"failed":         `{"id": "1", "name": "failed", "status": "FAILED", "importance": "LOW"}`,
		"almost_lost":    strings.Replace(following("almost_lost", "LOW", 3500, 9, `, "extraInfo": {"sourceStoreKeptHour": 1}`), "RUNNING", "SUSPEND", 1),
		"very_late_high": following("very_late_high", "HIGH", 301, 9, ""),
		"very_late_low":  following("very_late_low", "LOW", 90_000, 9, ""),
		"late_250":       following("late_250", "HIGH", 250, 9, ""),
		"late_70":        following("late_70", "HIGH", 70, 9, ""),
		"stale":          following("stale", "LOW", 0, 400, ""),
		"suspended":      `{"id": "2", "name": "suspended", "status": "SUSPEND"}`,
		"on_time_20":     following("on_time_20", "HIGH", 20, 9, ""),
		"on_time_10":     following("on_time_10", "HIGH", 10, 9, ""),
		"new":            `{"id": "3", "name": "new", "status": "INIT", "importance": "HIGH"}`,
		"new_too":        `{"id": "4", "name": "new_too", "status": "INIT", "importance": "HIGH"}`,
	}
	var listed []string
	for i := len(want) - 1; i >= 0; i-- {
		listed = append(listed, tasks[want[i]])
	}

	var got []string
	for _, task := range tasksOf(t, time.Unix(now, 0), collector.Options{}, listed...) {
		got = append(got, task.Name)
	}

	if !slices.Equal(got, want) {
		t.Errorf("\n%q, want\n%q", got, want)
	}
}

// What people see as late is what the shipped rules alert about.
func TestDefaultThresholdsAreThoseOfTheRules(t *testing.T) {
	rules, err := os.ReadFile("../deploy/prometheus/rules/oms_recording.rules.yml")
	if err != nil {
		t.Fatal(err)
	}
	settings := regexp.MustCompile(`oms:setting_delay_threshold:seconds\s+expr: vector\((\d+)\)\s+labels:\s+importance: (\w+)\s+level: (\w+)`).
		FindAllStringSubmatch(string(rules), -1)
	if len(settings) != 6 {
		t.Fatalf("the rules have %d thresholds, want 6", len(settings))
	}
	for _, setting := range settings {
		task := tasksOf(t, time.Unix(now, 0), collector.Options{}, following("a", setting[2], 0, 9, ""))[0]
		threshold := task.WarningDelay
		if setting[3] == "critical" {
			threshold = task.CriticalDelay
		}
		if threshold == nil || fmt.Sprint(*threshold) != setting[1] {
			t.Errorf("%s of %s is %v, want %s", setting[3], setting[2], threshold, setting[1])
		}
	}
}
