package deploy_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The wave of the test below: two tasks to be switched, everything of which is
// applied, and an OMS that answers. Promtool's clock begins at 0, and the test
// looks at it after 5 days, with a sample each half hour.
var drainSeries = map[string]string{
	`oms:exporter_up:bool{job="oms",instance="a"}`: "1x240",
	`oms_up{job="oms",instance="a"}`:               "1x240",

	`oms_task_info{job="oms",instance="a",task_id="1",task_name="x"}`:                                             "1x240",
	`oms:task_whose:info{job="oms",instance="a",task_id="1",task_name="x",task_owner="o"}`:                        "1x240",
	`oms:task_status:code{job="oms",instance="a",task_id="1",task_name="x"}`:                                      "2x240",
	`oms:task_cutover_candidate:bool{job="oms",instance="a",task_id="1",task_name="x"}`:                           "1x240",
	`oms_task_checkpoint_timestamp_seconds{job="oms",instance="a",task_id="1",task_name="x",direction="forward"}`: "0+1800x240",

	`oms_task_info{job="oms",instance="a",task_id="2",task_name="y"}`:                                             "1x240",
	`oms:task_whose:info{job="oms",instance="a",task_id="2",task_name="y",task_owner="o"}`:                        "1x240",
	`oms:task_status:code{job="oms",instance="a",task_id="2",task_name="y"}`:                                      "2x240",
	`oms:task_cutover_candidate:bool{job="oms",instance="a",task_id="2",task_name="y"}`:                           "1x240",
	`oms_task_checkpoint_timestamp_seconds{job="oms",instance="a",task_id="2",task_name="y",direction="forward"}`: "0+1800x240",
}

// ended makes every series of which the name contains a text end before now.
func ended(of string) map[string]string {
	changed := map[string]string{}
	for series, values := range drainSeries {
		if strings.Contains(series, of) {
			changed[series] = strings.ReplaceAll(values, "x240", "x239 stale")
		}
	}
	return changed
}

// TestCutoverGivesNoFalseAllClear checks what the cut-over board says of the
// drain: yes only if nothing is missing, by a time that can be right.
func TestCutoverGivesNoFalseAllClear(t *testing.T) {
	const (
		behind  = `oms_task_checkpoint_timestamp_seconds{job="oms",instance="a",task_id="2",task_name="y",direction="forward"}`
		exports = `oms:exporter_up:bool{job="oms",instance="a"}`
		answers = `oms_up{job="oms",instance="a"}`
	)
	down := maps.Clone(ended(`task_id=`))
	down[answers] = "1x239 0"
	gone := maps.Clone(ended(`instance="a"`))
	gone[exports] = "1x239 0"
	for name, c := range map[string]struct {
		entered string
		changed map[string]string
		says    string
		yes     int // in the table
	}{
		"all across":           {entered: "431900", says: "yes", yes: 2},
		"nothing entered":      {entered: "", says: "enter the time"},
		"a digit is missing":   {entered: "43190", says: "over 3 days ago"},
		"a digit too many":     {entered: "4319000", says: "time is ahead"},
		"one is behind":        {entered: "431900", changed: map[string]string{behind: "0+1790x240"}, says: "not yet", yes: 1},
		"one has nothing":      {entered: "431900", changed: ended("checkpoint_timestamp_seconds{job=\"oms\",instance=\"a\",task_id=\"2\""), says: "not yet", yes: 1},
		"a task has gone":      {entered: "431900", changed: ended(`task_id="2"`), says: "tasks gone", yes: 1},
		"OMS is down":          {entered: "431900", changed: down, says: "OMS DOWN"},
		"the exporter is down": {entered: "431900", changed: gone, says: "OMS DOWN"},
		"no OMS is watched":    {entered: "431900", changed: ended(`instance="a"`), says: "OMS DOWN"},
		"all are switched":     {entered: "431900", changed: finished(), says: "no tasks"},
	} {
		t.Run(name, func(t *testing.T) {
			series := maps.Clone(drainSeries)
			maps.Copy(series, c.changed)
			values := chosen("", "6h", "4m")
			values["write_stopped_at"] = c.entered
			verdict, word := drainQuery(t, "All across?", values)
			table, _ := drainQuery(t, "Drained?", values)
			bars, _ := drainQuery(t, "Still to drain", values)
			wrong := ""
			if c.says != "yes" && c.says != "not yet" && c.says != "tasks gone" {
				wrong = expect("count("+bars+") or vector(0)", 0)
			}
			promtool(t, series,
				expect(verdict, word(c.says)), expect(`count((`+table+`) == 1) or vector(0)`, c.yes), wrong)
		})
	}
}

// finished is a wave of which all tasks have been switched a while ago.
func finished() map[string]string {
	changed := map[string]string{}
	for series := range drainSeries {
		if strings.Contains(series, "candidate") {
			changed[series] = "1x200 stale"
		}
	}
	return changed
}

// TestNothingLooksHealthyInAnOutage checks figures that a dead exporter, or an
// OMS that does not answer, must not leave behind.
func TestNothingLooksHealthyInAnOutage(t *testing.T) {
	series := maps.Clone(drainSeries)
	series[`oms_task_status{job="oms",instance="a",task_id="1",task_name="x",status="FAILED"}`] = "1x240"
	series[`scrape_duration_seconds{job="oms",instance="a"}`] = "5x240"
	series["oms:setting_scrape_timeout:seconds"] = "25x240"
	values := chosen("1", "6h", "4m")
	time, _ := panelQuery(t, "oms-exporter", "Scrape time", values)
	failed, _ := panelQuery(t, "oms-fleet", "Failed, frozen, low on logs, ready", values)
	limit, _ := panelQuery(t, "oms-task", "Identity", values)

	promtool(t, series,
		expect("count("+time+") or vector(0)", 1), expect(failed, 1), expect("max("+limit+")", -1)) // none

	maps.Copy(series, ended("oms_"))
	maps.Copy(series, ended("oms:task_status"))
	for of := range series {
		if strings.HasPrefix(of, "oms_task_status{") {
			series[of] = "1x239 stale"
		}
	}
	series[`oms:exporter_up:bool{job="oms",instance="a"}`] = "1x239 0"
	promtool(t, series,
		expect("count("+time+") or vector(0)", 0), expect("count("+failed+") or vector(0)", 0),
		expect("max("+limit+")", -2)) // unknown
}

// drainQuery is panelQuery for the cut-over board.
func drainQuery(t *testing.T, title string, values map[string]string) (expr string, number func(word string) int) {
	t.Helper()
	return panelQuery(t, "oms-cutover", title, values)
}

// panelQuery returns the first query of a panel, and the numbers of its words.
func panelQuery(t *testing.T, board, title string, values map[string]string) (expr string, number func(word string) int) {
	t.Helper()
	for _, b := range drawnBoards(t) {
		for i := range b.Panels {
			p := &b.Panels[i]
			if b.UID != board || p.Title != title {
				continue
			}
			return interpolate(p.Targets[0].Expr, values), func(word string) int {
				for value := range p.words(t) {
					var n int
					if _, err := fmt.Sscanf(value, "%d "+word, &n); err == nil && strings.HasSuffix(value, word) {
						return n
					}
				}
				t.Fatalf("%s never says %s", title, word)
				return 0
			}
		}
	}
	t.Fatalf("there is no panel %s", title)
	return "", nil
}

// expect is a test of promtool: an expression has one sample with this value.
func expect(expr string, value int) string {
	quoted, _ := json.Marshal(expr) //nolint:errchkjson // a string
	return fmt.Sprintf("{expr: %s, eval_time: 432000s, exp_samples: [{labels: '{}', value: %d}]}", quoted, value)
}

// promtool evaluates tests on series with a sample each half hour.
func promtool(t *testing.T, series map[string]string, tests ...string) {
	t.Helper()
	var input strings.Builder
	for _, name := range slices.Sorted(maps.Keys(series)) {
		fmt.Fprintf(&input, "      - {series: '%s', values: '%s'}\n", name, series[name])
	}
	tests = slices.DeleteFunc(tests, func(test string) bool { return test == "" })
	file := filepath.Join(t.TempDir(), "drain_test.yml")
	content := fmt.Sprintf("evaluation_interval: 30m\ntests:\n  - interval: 30m\n    input_series:\n%s"+
		"    promql_expr_test:\n      - %s\n", &input, strings.Join(tests, "\n      - "))
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, tool(t, "prometheus", "promtool"), "test", "rules", file)
}
