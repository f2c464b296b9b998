package main

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"oms_exporter/omsclient/omssim"
)

// The fleet that faults are tried on: three pages, the last with a single task.
const (
	faultyTasks    = 9
	faultyPageSize = 4
)

// startFaulty starts an exporter of a simulated OMS with several pages.
func startFaulty(t *testing.T) (*omssim.Server, *program) {
	t.Helper()
	sim, url := newOMS(t, omssim.Options{
		Tasks: faultyTasks, Seed: 1, Scenarios: []string{"following"},
	})
	return sim, start(t, "--oms.url="+url, "--oms.page-size="+strconv.Itoa(faultyPageSize),
		"--scrape.timeout-offset=0.5s")
}

// fatal maps the faults after which there is nothing to publish to the expected reason.
var fatal = map[omssim.FaultKind]string{
	"html_502":           "http_status",
	"unauthorized":       "auth",
	"forbidden":          "auth",
	"request_timeout":    "http_status",
	"too_many_requests":  "http_status",
	"internal_error":     "http_status",
	"unavailable":        "http_status",
	"redirect":           "http_status",
	"status_101":         "http_status",
	"endless_error":      "http_status",
	"stalled_error":      "http_status",
	"endless_103":        "timeout",
	"endless_body":       "timeout",
	"gzip_bomb":          "decode",
	"cut_without_length": "decode",
	"gzip_cut":           "decode",
	"unknown_coding":     "decode",
	"api_error":          "api_error",
	"no_permission":      "api_error",
	"unknown_action":     "api_error",
	"truncated":          "decode",
	"cut":                "connect",
	"reset":              "connect",
	"hang":               "timeout",
	"stall":              "timeout",
	"slow_body":          "timeout",
	"invalid_json":       "decode",
	"empty_body":         "decode",
	"data_null":          "decode",
	"no_data":            "decode",
	"repeat_page":        "pagination",
}

// survived is what to expect of a fault after which there is a listing to publish.
type survived struct {
	tasks        int // with series
	duplicate    float64
	invalid      float64
	inconsistent float64            // listings
	unknown      map[string]float64 // values by field
	total        float64            // what OMS says last
	pages        float64            // read, of both listings
}

var survivable = map[omssim.FaultKind]survived{
	"locked_account": {tasks: faultyTasks, total: 9, pages: 3}, // without a password there is no account
	"status_103":     {tasks: faultyTasks, total: 9, pages: 3},
	"idle_close":     {tasks: faultyTasks, total: 9, pages: 3},
	"idle_reset":     {tasks: faultyTasks, total: 9, pages: 3},
	"gzip":           {tasks: faultyTasks, total: 9, pages: 3},
	"bom":            {tasks: faultyTasks, total: 9, pages: 3},
	"empty_listing":  {pages: 1},
	"page_cap":       {tasks: faultyTasks, total: 9, pages: 5},
	"end_refused":    {tasks: faultyTasks, total: 9, pages: 3},
	"end_400":        {tasks: faultyTasks, total: 9, pages: 3},
	"end_404":        {tasks: faultyTasks, total: 9, pages: 3},
	"end_416":        {tasks: faultyTasks, total: 9, pages: 3},
	"end_500":        {tasks: faultyTasks, total: 9, pages: 3},
	"end_empty":      {tasks: faultyTasks, total: 9, pages: 3},
	"delay_of_0":     {tasks: faultyTasks, total: 9, pages: 3},
	"old_extra_info": {tasks: faultyTasks, total: 9, pages: 3},
	"local_time":     {tasks: faultyTasks, total: 9, pages: 3},
	// Each page repeats a task of the one before it.
	"moving_task": {tasks: faultyTasks, duplicate: 1 + 1, total: 9, pages: 3},
	// The fifth task slips onto page 1 behind the reader's back, both times.
	"deleted_task": {tasks: faultyTasks - 1, inconsistent: 1, total: 8, pages: 6},
	"added_task":   {tasks: faultyTasks + 1, inconsistent: 1, total: 10, pages: 6},
	// 9, 10, 11: that could mean anything, so the pages are read again.
	"changing_count": {tasks: faultyTasks, inconsistent: 1, total: 11, pages: 8},
	"unknown_values": {
		tasks: faultyTasks, total: 9, pages: 3,
		unknown: map[string]float64{
			"type": 3, "importance": 3, "status": 3, "steps.name": 3, "steps.status": 3,
			"gmtModified": 3, "incrTimestampCheckpoint": 3,
		},
	},
	// Three elements of each page have no usable id, and OMS does not count them.
	"odd_task":       {tasks: faultyTasks, invalid: 9, inconsistent: 1, total: 9, pages: 8},
	"pascal_case":    {tasks: faultyTasks, total: 9, pages: 3},
	"count_as_pages": {tasks: faultyTasks, total: 3, pages: 3},
}

func TestEveryFaultIsExpectedToBeFatalOrSurvived(t *testing.T) {
	for _, fault := range omssim.Faults() {
		_, isFatal := fatal[fault.Kind]
		_, isSurvivable := survivable[fault.Kind]
		if isFatal == isSurvivable {
			t.Errorf("%s (%s) must be in one of the tables", fault.Kind, fault.Doc)
		}
	}
	if known := len(fatal) + len(survivable); known != len(omssim.Faults()) {
		t.Errorf("%d faults are expected, and omssim has %d", known, len(omssim.Faults()))
	}
}

// The fault is on all pages, or only on the last: half a listing is as bad as none.
func TestEveryFaultThatIsFatalLeavesNoTaskAndSaysWhy(t *testing.T) {
	t.Parallel()
	for kind, reason := range fatal {
		for _, page := range []int{0, 3} {
			fault := omssim.Fault{Kind: kind, Page: page}
			t.Run(fault.String(), func(t *testing.T) {
				t.Parallel()
				sim, p := startFaulty(t)
				sim.SetFaults(fault)

				began := time.Now()
				var header []string
				slow := reason == "timeout" || kind == "too_many_requests"
				if slow {
					header = []string{"X-Prometheus-Scrape-Timeout-Seconds", "1"}
				}
				down := scrape(t, p, header...)

				if took := time.Since(began); slow && took > 20*time.Second {
					t.Errorf("answered after %s: it waits for OMS", took)
				}
				expectOutage(t, down, reason)
				line := `msg="cannot list the tasks of OMS" reason=` + reason + ` err="list projects: page `
				if !strings.Contains(p.stderr.String(), line) {
					t.Errorf("the log lacks %s:\n%s", line, p.stderr)
				}
				sim.SetFaults()
				if kind != "unauthorized" { // which is not sent again for a minute
					expectAllTasks(t, scrape(t, p))
				}
			})
		}
	}
}

// expectOutage checks the exposition of a failed listing.
func expectOutage(t *testing.T, down exposition, reason string) {
	t.Helper()
	down.expect(t, map[string]float64{"oms_up": 0})
	down.expectValues(t, "oms_scrape_error_info", "reason", map[string]float64{reason: 1})
	if n := down.tasks(); n != 0 {
		t.Errorf("%d tasks have series", n)
	}
	for _, name := range []string{"oms_tasks", "oms_scrape_tasks_omitted"} {
		if down[name] != nil {
			t.Errorf("%s is there: %v", name, down[name])
		}
	}
}

// expectAllTasks checks the exposition of the healthy fleet.
func expectAllTasks(t *testing.T, up exposition) {
	t.Helper()
	up.expect(t, map[string]float64{"oms_up": 1, "oms_api_reported_tasks": faultyTasks})
	if n := up.tasks(); n != faultyTasks {
		t.Errorf("%d tasks have series, want %d", n, faultyTasks)
	}
	if up["oms_scrape_error_info"] != nil {
		t.Errorf("oms_scrape_error_info is there: %v", up["oms_scrape_error_info"])
	}
}

func TestEveryFaultThatIsSurvivedIsCounted(t *testing.T) {
	t.Parallel()
	for kind, want := range survivable {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			sim, p := startFaulty(t)
			sim.SetFaults(omssim.Fault{Kind: kind})

			got := scrape(t, p)

			got.expect(t, map[string]float64{
				"oms_up": 1, "oms_api_reported_tasks": want.total, "oms_scrape_pages": want.pages,
				"oms_exporter_inconsistent_listings_total": want.inconsistent,
			})
			if n := got.tasks(); n != want.tasks {
				t.Errorf("%d tasks have series, want %d", n, want.tasks)
			}
			got.expectValues(t, "oms_scrape_tasks_omitted", "reason", map[string]float64{
				"duplicate": want.duplicate, "invalid": want.invalid, "excluded": 0,
			})
			got.expectValues(t, "oms_exporter_unknown_values_total", "field", want.unknown)
			sim.SetFaults()
			expectAllTasks(t, scrape(t, p))
		})
	}
}

func TestAListingThatMovedOnceIsReadAgain(t *testing.T) {
	t.Parallel()
	for kind, tasks := range map[omssim.FaultKind]int{
		"deleted_task": faultyTasks, "added_task": faultyTasks + 1, "moving_task": faultyTasks,
	} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			sim, p := startFaulty(t)
			sim.SetFaults(omssim.Fault{Kind: kind, Times: 1})

			got := scrape(t, p)

			got.expect(t, map[string]float64{
				"oms_up": 1, "oms_exporter_inconsistent_listings_total": 0,
			})
			if n := got.tasks(); n != tasks {
				t.Errorf("%d tasks have series, want %d", n, tasks)
			}
		})
	}
}

func TestAPageIsTriedAgainWithinTheBudget(t *testing.T) {
	t.Parallel()
	for kind, code := range map[omssim.FaultKind]string{
		"html_502": "502", "unavailable": "503", "request_timeout": "408", "internal_error": "500",
	} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			sim, p := startFaulty(t)
			sim.SetFaults(omssim.Fault{Kind: kind, Page: 2, Times: 1})

			got := scrape(t, p)

			expectAllTasks(t, got)
			got.expectValues(t, "oms_exporter_api_requests_total", "code",
				map[string]float64{"200": 3, code: 1})
			got.expect(t, map[string]float64{"oms_scrape_pages": 3})
			got.expectValues(t, "oms_exporter_api_request_retries_total", "action",
				map[string]float64{"ListProjects": 1})
		})
	}
}

func TestAnUnknownValueIsLoggedOnce(t *testing.T) {
	t.Parallel()
	sim, p := startFaulty(t)
	sim.SetFaults(omssim.Fault{Kind: "unknown_values"})

	scrape(t, p)
	got := scrape(t, p)

	line := `msg="OMS sent an unknown or unreadable value" field=status value=SOME_NEW_STATE`
	if n := strings.Count(p.stderr.String(), line); n != 1 {
		t.Errorf("logged %d times, want 1:\n%s", n, p.stderr)
	}
	if n := got.values("oms_exporter_unknown_values_total", "field")["status"]; n != 6 {
		t.Errorf("counted %v times, want 6", n)
	}
}
