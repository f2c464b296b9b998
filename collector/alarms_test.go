package collector_test

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"oms_exporter/collector"
	"oms_exporter/omsclient"
)

// What OMS may say of a task's alarms, as it is sent.
const (
	quiet   = `{"alarming": false, "recentlyTriggerCount": null, "ruleToRecentlyTriggerCount": null}`
	unclear = `{"alarming": true, "recentlyTriggerCount": null, "ruleToRecentlyTriggerCount": null}`
	absent  = `null`
	gone    = `the task is not listed`
)

func unsplit(n int) string {
	return fmt.Sprintf(`{"alarming": true, "recentlyTriggerCount": %d}`, n)
}

func split(rules string) string {
	return `{"alarming": true, "recentlyTriggerCount": 9, "ruleToRecentlyTriggerCount": ` + rules + `}`
}

func TestAlarmsTotalAddsUpRises(t *testing.T) {
	tests := []struct {
		name     string
		listings []string // alarmStats at one listing after the other
		want     []string // rule and total after the last one
	}{
		{"the first sight counts nothing", []string{unsplit(5)}, []string{` 0`}},
		{"a rise counts", []string{unsplit(5), unsplit(7)}, []string{` 2`}},
		{"a fall does not", []string{unsplit(5), unsplit(1)}, []string{` 0`}},
		{"a rise after a fall counts from there", []string{unsplit(5), unsplit(1), unsplit(2)}, []string{` 1`}},
		{"no alarm is a count of 0", []string{quiet, unsplit(2)}, []string{` 2`}},
		{"a window that has run empty is a count of 0", []string{unsplit(5), quiet, unsplit(2)}, []string{` 2`}},
		{"so a rise by rule counts from there", []string{quiet, split(`{"a": 3}`)}, []string{`a 3`}},
		{"what OMS does not say is not 0", []string{unsplit(5), unclear, unsplit(7)}, []string{` 0`}},
		{"nor is what is missing", []string{absent, unsplit(7)}, []string{` 0`}},
		{
			"rules count apart",
			[]string{split(`{"a": 1, "b": 5}`), split(`{"a": 3, "b": 4}`)},
			[]string{`a 2`, `b 0`},
		},
		{
			"a rule that is new for a known task counts from 0",
			[]string{split(`{"a": 1}`), split(`{"a": 1, "b": 2}`)},
			[]string{`a 0`, `b 2`},
		},
		{
			"the same alarms told another way count nothing",
			[]string{unsplit(5), split(`{"a": 5}`), unsplit(6)},
			[]string{` 0`, `a 0`},
		},
		{
			"a task that was gone begins anew",
			[]string{unsplit(1), unsplit(4), gone, unsplit(9)},
			[]string{` 0`},
		},
		{"a task without alarms has no total", []string{quiet, quiet}, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var stats string
				c := collector.New(func(
					ctx context.Context, r *omsclient.Report,
				) iter.Seq2[omsclient.Project, error] {
					if stats == gone {
						return listOf(t)(ctx, r)
					}
					return listOf(t, `{"id": "np_1", "name": "n", "status": "RUNNING", "alarmStats": `+stats+`}`)(ctx, r)
				}, collector.Options{})

				var got string
				for _, stats = range test.listings {
					got = gathered(t, c)
				}

				if totals := totalsIn(got); !slices.Equal(totals, test.want) {
					t.Errorf("got %q, want %q", totals, test.want)
				}
			})
		})
	}
}

func TestAlarmsTotalOutlivesAFailedListing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		count, fail := 1, false
		c := collector.New(func(
			ctx context.Context, r *omsclient.Report,
		) iter.Seq2[omsclient.Project, error] {
			if fail {
				return func(yield func(omsclient.Project, error) bool) {
					yield(omsclient.Project{}, &omsclient.Error{Reason: omsclient.Connect, Page: 1})
				}
			}
			return listOf(t, `{"id": "np_1", "name": "n", "alarmStats": `+unsplit(count)+`}`)(ctx, r)
		}, collector.Options{})

		gathered(t, c)
		count, fail = 4, true
		if totals := totalsIn(gathered(t, c)); totals != nil {
			t.Errorf("a failed listing has totals: %q", totals)
		}
		fail = false

		if totals := totalsIn(gathered(t, c)); !slices.Equal(totals, []string{` 3`}) {
			t.Errorf("got %q", totals)
		}
	})
}

// totalsIn returns rule and value of the series of oms_task_alarms_total.
func totalsIn(exposition string) (totals []string) {
	for line := range strings.Lines(exposition) {
		if rest, ok := strings.CutPrefix(line, `oms_task_alarms_total{rule="`); ok {
			rule, rest, _ := strings.Cut(rest, `"`)
			_, value, _ := strings.Cut(rest, "} ")
			totals = append(totals, rule+" "+strings.TrimSpace(value))
		}
	}
	return totals
}
