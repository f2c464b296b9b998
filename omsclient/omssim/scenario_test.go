package omssim_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"oms_exporter/omsclient/omssim"
)

var (
	taskStatuses = []string{
		"INIT", "RUNNING", "SUSPEND", "FAILED", "FINISHED", "RELEASING", "RELEASED", "DELETED",
		"RUNNING_MODIFYING", "RUNNING_MERGING",
	}
	stepStatuses = []string{"INIT", "RUNNING", "MONITORING", "SUSPEND", "FAILED", "FINISHED"}
)

// watch calls see with a fleet at many times of a week, in order: runs of
// consecutive samples, with more than an hour between runs.
func watch(t *testing.T, options omssim.Options, run int, see func(time.Time, []item)) {
	t.Helper()
	now := noon
	options.Now = func() time.Time { return now }
	s := newServer(t, options)
	for now.Before(noon.AddDate(0, 0, 7)) {
		for range run {
			see(now, ask(t, s, `{"order":"asc","pageSize":150,"visibleSubProject":true}`).Data)
			now = now.Add(10 * time.Second)
		}
		now = now.Add(97 * time.Minute)
	}
}

// A position is how far an incremental step was.
type position struct{ checkpoint, sample int64 }

func TestFleetIsPhysicallyPossible(t *testing.T) {
	last := map[string]position{}
	watch(t, omssim.Options{Tasks: 60}, 2, func(now time.Time, tasks []item) {
		if len(tasks) != 63 {
			t.Fatal(len(tasks), "tasks")
		}
		for _, task := range tasks {
			if !slices.Contains(taskStatuses, task.Status) {
				t.Errorf("%s: status %s", task.Name, task.Status)
			}
			checkTime(t, task.Name, task.GmtModified, now)
			order := 0
			for _, step := range task.Steps {
				if !slices.Contains(stepStatuses, step.Status) || step.Order <= order ||
					step.Progress < 0 || step.Progress > 100 {
					t.Errorf("%s: %+v", task.Name, step)
				}
				order = step.Order
				if i := step.StepInfo; i != nil && i.CheckpointSampleTimestamp != 0 {
					at := position{i.IncrTimestampCheckpoint, i.CheckpointSampleTimestamp}
					checkPosition(t, task, last[task.ID+step.Name], at, now)
					last[task.ID+step.Name] = at
				}
			}
		}
	})
}

func checkTime(t *testing.T, name, text string, now time.Time) {
	t.Helper()
	instant, err := time.Parse("2006-01-02T15:04:05", text)
	if err != nil || instant.After(now) {
		t.Errorf("%s: %s at %s, %v", name, text, now, err)
	}
}

func checkPosition(t *testing.T, i item, before, at position, now time.Time) {
	t.Helper()
	if at.checkpoint < before.checkpoint || at.sample < before.sample {
		t.Errorf("%s goes back from %+v to %+v", i.Name, before, at)
	}
	if at.sample > now.Unix() || at.sample%10 != 0 {
		t.Errorf("%s is sampled at %d", i.Name, at.sample)
	}
	delay := at.sample - at.checkpoint
	if skewed := i.tagged(omssim.ScenarioTag("clock_skew")); skewed != (delay < 0) || delay == 0 {
		t.Errorf("%s is %d s behind", i.Name, delay)
	}
}

// delay returns how far the forward incremental step of a task is behind.
func (i item) delay() int64 {
	info := i.Steps[i.step("INCR_TRANSFER")].StepInfo
	return info.CheckpointSampleTimestamp - info.IncrTimestampCheckpoint
}

func (i item) step(name string) int {
	for at, step := range i.Steps {
		if step.Name == name {
			return at
		}
	}
	return -1
}

// share returns how often something holds for the tasks of a scenario, as a share of
// all samples of a week.
func share(t *testing.T, scenario string, holds func(now time.Time, i item) bool) float64 {
	t.Helper()
	held, all := 0, 0
	options := omssim.Options{Tasks: 3, Seed: 1, Scenarios: []string{scenario}}
	watch(t, options, 1, func(now time.Time, tasks []item) {
		for _, task := range tasks {
			all++
			if holds(now, task) {
				held++
			}
		}
	})
	return float64(held) / float64(all)
}

// verified reports whether a task has compared all rows.
func verified(_ time.Time, i item) bool {
	at := i.step("FULL_VERIFIER")
	return at >= 0 && (i.Steps[at].Status == "FINISHED" || i.Steps[at].Progress == 100)
}

func TestScenariosDoWhatTheySay(t *testing.T) {
	copies := func(i item) (int, string, int) {
		step := i.Steps[i.step("FULL_TRANSFER")]
		return step.Progress, step.Status, i.step("FULL_TRANSFER")
	}
	status := func(want string) func(time.Time, item) bool {
		return func(_ time.Time, i item) bool { return i.Status == want }
	}
	untold := omssim.ScenarioDocs()
	for _, test := range []struct {
		scenario    string
		least, most float64
		holds       func(now time.Time, i item) bool
	}{
		{"new", 1, 1, status("INIT")},
		{"copying", 0.9, 1, func(_ time.Time, i item) bool {
			progress, status, _ := copies(i)
			return status == "RUNNING" && progress < 100
		}},
		{"verifying", 1, 1, func(_ time.Time, i item) bool {
			step := i.Steps[i.step("FULL_VERIFIER")]
			return step.Status == "RUNNING" && step.Progress < 100 && i.delay() <= 20
		}},
		{"following", 1, 1, func(_ time.Time, i item) bool {
			ready := i.step("FULL_VERIFIER") >= 0 &&
				i.Steps[i.step("TRANSFER_APP_SWITCH")].Status != "INIT"
			return i.delay() <= 20 && i.ExtraInfo == nil && !i.AlarmStats.Alarming && !ready
		}},
		{"falling_behind", 0.2, 0.5, func(_ time.Time, i item) bool {
			return i.delay() > 1200 && *i.ExtraInfo.SyncDelay == i.delay()
		}},
		{"frozen", 0.7, 0.95, func(now time.Time, i item) bool {
			return i.delay() > 600 && *i.ExtraInfo.SyncDelay < 10 &&
				now.Unix()-i.ExtraInfo.SyncDelaySampleTimestamp < 10
		}},
		{"losing_samples", 0.8, 0.95, func(now time.Time, i item) bool {
			step := i.Steps[i.step("INCR_TRANSFER")]
			return now.Unix()-step.StepInfo.CheckpointSampleTimestamp > 60 &&
				i.Status == "RUNNING" && step.Status == "MONITORING"
		}},
		{"stuck_step", 0.85, 1, func(_ time.Time, i item) bool {
			progress, status, at := copies(i)
			return status == "RUNNING" && progress == 12 && i.Steps[at].StepInfo.SrcRps == 0 &&
				i.Steps[i.step("INCR_TRANSFER")].Status == "INIT"
		}},
		{"failing", 0.3, 0.6, func(_ time.Time, i item) bool {
			step := i.Steps[i.step("INCR_TRANSFER")]
			return i.Status == "FAILED" && step.Status == "FAILED" && i.AlarmStats.Alarming &&
				*i.ExtraInfo.ErrorCode != "" && *step.ExtraInfo.ErrorCode != ""
		}},
		{"flapping", 0.3, 0.7, status("FAILED")},
		{"suspended", 1, 1, func(_ time.Time, i item) bool {
			return i.Status == "SUSPEND" && i.ExtraInfo.SourceStoreKeptHour > 0
		}},
		{"suspended", 0.1, 0.4, func(now time.Time, i item) bool {
			info := i.Steps[i.step("INCR_TRANSFER")].StepInfo
			return now.Unix()-info.IncrTimestampCheckpoint > 3600*i.ExtraInfo.SourceStoreKeptHour
		}},
		{"ready", 1, 1, func(_ time.Time, i item) bool {
			verify, over := i.Steps[i.step("FULL_VERIFIER")], i.Steps[i.step("TRANSFER_APP_SWITCH")]
			_, status, _ := copies(i)
			return status == "FINISHED" && i.delay() <= 12 && verify.Status == "RUNNING" &&
				verify.Progress == 100 && over.Status == "RUNNING" && over.Progress == 0 &&
				!i.AlarmStats.Alarming
		}},
		{"switched", 1, 1, func(_ time.Time, i item) bool {
			return i.Steps[i.step("INCR_TRANSFER")].Status == "FINISHED" &&
				i.Steps[i.step("REVERSE_INCR_TRANSFER")].Status == "MONITORING"
		}},
		{"modifying", 1, 1, status("RUNNING_MODIFYING")},
		{"merging", 1, 1, status("RUNNING_MERGING")},
		{"finished", 1, 1, status("FINISHED")},
		{"releasing", 1, 1, status("RELEASING")},
		{"released", 1, 1, status("RELEASED")},
		{"deleted", 1, 1, status("DELETED")},
		{"alarming", 1, 1, func(_ time.Time, i item) bool {
			alarms := i.AlarmStats
			return i.Status == "RUNNING" && alarms.Alarming && *alarms.RecentlyTriggerCount > 0
		}},
		{"synchronizing", 1, 1, func(_ time.Time, i item) bool {
			step := i.Steps[i.step("CONNECTOR_INCR_SYNC")]
			return i.Type == "SYNC" && step.Status == "MONITORING" &&
				i.Steps[i.step("CONNECTOR_FULL_SYNC")].Status == "FINISHED"
		}},
		{"validating", 0.5, 1, func(_ time.Time, i item) bool {
			step := i.Steps[i.step("FULL_VERIFIER")]
			return i.Type == "VERIFY" && step.Status == "RUNNING" && step.Progress < 100
		}},
		{"no_delay", 1, 1, func(_ time.Time, i item) bool {
			step := i.Steps[i.step("INCR_TRANSFER")]
			return step.Status == "MONITORING" && step.StepInfo == nil && i.ExtraInfo == nil
		}},
		{"clock_skew", 1, 1, func(_ time.Time, i item) bool { return i.delay() < 0 }},
		{"storm", 0.1, 0.5, func(now time.Time, i item) bool {
			return i.delay() > 60 && now.Minute() >= 10 && now.Minute() < 30
		}},
		{"verified_differs", 0.5, 1, verified},
		{"verified_unknown", 0.5, 1, verified},
		{"verified_apart", 0.5, 1, func(now time.Time, i item) bool { return i.Type == "VERIFY" && verified(now, i) }},
		{"store_dead", 0.5, 1, func(_ time.Time, i item) bool { return i.delay() > 600 }},
		{"slow_apply", 0.3, 0.8, func(_ time.Time, i item) bool { return i.delay() > 600 }},
		{"stuck_early", 0.85, 1, func(_ time.Time, i item) bool {
			progress, status, at := copies(i)
			return status == "RUNNING" && progress == 1 && i.Steps[at].StepInfo.SrcRps == 0
		}},
		{"retried", 0.6, 0.9, func(_ time.Time, i item) bool {
			return i.Status == "RUNNING" && i.Steps[i.step("INCR_TRANSFER")].Status == "FAILED"
		}},
		{"failing_together", 0.08, 0.2, func(now time.Time, i item) bool {
			return i.Status == "FAILED" && now.Hour()%4 == 0 && now.Minute() >= 10 && now.Minute() < 40
		}},
	} {
		untold = slices.DeleteFunc(untold, func(s omssim.ScenarioDoc) bool { return s.Name == test.scenario })
		if got := share(t, test.scenario, test.holds); got < test.least || got > test.most {
			t.Errorf("%s holds %.2f of the time, want %.2f to %.2f",
				test.scenario, got, test.least, test.most)
		}
	}
	for _, s := range untold {
		t.Errorf("say above what the tasks of %s do", s.Name)
	}
}

func TestEveryScenarioIsInTheDefaultMixOrRare(t *testing.T) {
	rare := []string{
		"verified_differs", "verified_unknown", "verified_apart", "store_dead", "slow_apply",
		"stuck_early", "retried", "failing_together",
	}
	tasks := ask(t, newServer(t, omssim.Options{Tasks: 60}), page(1, 150)).Data
	for _, d := range omssim.ScenarioDocs() {
		does := func(i item) bool { return i.tagged(omssim.ScenarioTag(d.Name)) }
		if found := slices.ContainsFunc(tasks, does); found == slices.Contains(rare, d.Name) {
			t.Errorf("%s is in the default mix: %t", d.Name, found)
		}
		if d.Doc == "" {
			t.Errorf("%s is not described", d.Name)
		}
	}
}

func TestTasksHaveTheNamesOfACompanyAndTheirScenarioIsATag(t *testing.T) {
	names := map[string]bool{}
	for _, task := range ask(t, newServer(t, omssim.Options{Tasks: 120}), page(1, 150)).Data {
		scenarios := 0
		for _, d := range omssim.ScenarioDocs() {
			if task.tagged(omssim.ScenarioTag(d.Name)) {
				scenarios++
			}
			if strings.Contains(task.Name, "_"+d.Name+"_") {
				t.Errorf("%s tells its scenario", task.Name)
			}
		}
		if scenarios != 1 {
			t.Errorf("%s has the tags of %d scenarios", task.Name, scenarios)
		}
		names[task.Name] = true
	}
	if len(names) != 120 {
		t.Errorf("120 tasks have %d names", len(names))
	}
}

func TestHealthyDelaysMoveEveryTenSeconds(t *testing.T) {
	now := noon
	s := newServer(t, omssim.Options{
		Tasks: 20, Scenarios: []string{"following"}, Now: func() time.Time { return now },
	})
	before := ask(t, s, page(1, 20)).Data
	now = now.Add(10 * time.Second)
	moved := 0
	for i, task := range ask(t, s, page(1, 20)).Data {
		if task.delay() != before[i].delay() {
			moved++
		}
	}
	if moved < 10 {
		t.Errorf("only %d of 20 delays moved", moved)
	}
}

func TestScenariosOverHTTP(t *testing.T) {
	s := newServer(t, omssim.Options{})
	w := httptest.NewRecorder()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/sim/scenarios", nil)
	s.ServeHTTP(w, r)
	if lines := strings.Count(w.Body.String(), "\n"); lines != len(omssim.ScenarioDocs()) {
		t.Error(w.Body)
	}
}

func TestEveryTaskHasTheDocumentedKeys(t *testing.T) {
	s := newServer(t, omssim.Options{Tasks: 60})
	var tasks []map[string]json.RawMessage
	if err := json.Unmarshal(keys(t, s, page(1, 150))["data"], &tasks); err != nil {
		t.Fatal(err)
	}
	for _, task := range tasks {
		for _, key := range []string{
			"id", "type", "name", "labels", "owner", "importance", "status", "gmtCreate",
			"gmtModified", "gmtStart", "gmtFinish", "destConnId", "isMerging", "isModifying",
			"isSubProject", "sourceEndpointType", "sinkEndpointType", "enableStructTransfer",
			"enableFullTransfer", "enableFullVerify", "enableIncrTransfer", "enableIncrVerify",
			"enableReverseIncrTransfer", "transferMapping", "commonTransferConfig",
			"structTransferConfig", "fullTransferConfig", "incrTransferConfig",
			"reverseIncrTransferConfig", "sourceConnectInfo", "sinkConnectInfo", "steps",
			"extraInfo", "alarmStats",
		} {
			if task[key] == nil {
				t.Errorf("%s has no %s", task["name"], key)
			}
		}
	}
}
