package collector_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"oms_exporter/collector"
	"oms_exporter/omsclient"
)

// of lists projects for as long as make returns some.
func of(made *int, project func(i int) (omsclient.Project, bool)) collector.ListFunc {
	return func(_ context.Context, r *omsclient.Report) iter.Seq2[omsclient.Project, error] {
		return func(yield func(omsclient.Project, error) bool) {
			r.Pages = 1
			for *made = 0; ; *made++ {
				p, ok := project(*made)
				if !ok || !yield(p, nil) {
					return
				}
			}
		}
	}
}

// The first 100 pairs that the documents do not name are counted apart. The tasks with
// other ones are counted together, so that the sum is right.
func TestTasksCountsOddPairsTogetherBeyondABound(t *testing.T) {
	const tasks, documented = 20_000, 30
	var made int
	list := of(&made, func(i int) (omsclient.Project, bool) {
		p := omsclient.Project{ID: fmt.Sprint(i), Type: fmt.Sprint("T", i), Status: fmt.Sprint("S", i)}
		if i < 3 {
			p.Type, p.Status = "SYNC", "RUNNING"
		}
		return p, i < tasks
	})
	began := time.Now()
	var got bytes.Buffer
	onlyTasks := func(name string) bool { return name == "oms_tasks" }
	s := collector.New(list, collector.Options{}).Scrape(t.Context())
	if err := s.Encode(t.Context(), &got, plainText, nil, onlyTasks); err != nil {
		t.Fatal(err)
	}

	if n := strings.Count(got.String(), "oms_tasks{"); n != documented+100+1 {
		t.Errorf("%d series, want %d", n, documented+100+1)
	}
	for _, want := range []string{
		`oms_tasks{status="RUNNING",task_type="SYNC"} 3`, `oms_tasks{status="INIT",task_type="SYNC"} 0`,
		`oms_tasks{status="S3",task_type="T3"} 1`, `oms_tasks{status="S102",task_type="T102"} 1`,
		`oms_tasks{status="other",task_type="other"} 19897`,
	} {
		if !strings.Contains(got.String(), want+"\n") {
			t.Errorf("no %s in\n%s", want, got.String())
		}
	}
	if took := time.Since(began); took > 5*time.Second { // it was minutes, when it was cubic
		t.Errorf("took %s", took)
	}
}

func TestAlarmTotalsOfRulesNotSeenForLongAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		registry := prometheus.NewRegistry()
		var made, listing int
		c := collector.New(of(&made, func(i int) (omsclient.Project, bool) {
			return omsclient.Project{ID: "np_1", AlarmStats: omsclient.AlarmStats{
				RuleToRecentlyTriggerCount: rulesOf(listing),
			}}, i == 0
		}), collector.Options{Metrics: collector.NewMetrics(registry)})
		var got []string
		for listing = 1; listing <= 40; listing++ {
			got = totalsIn(gathered(t, c))
		}

		// Rule 1 was seen in the first listing and in the last, and has begun anew.
		want := []string{"always 39", "once in 001 7"}
		for n := 41 - omsclient.MaxRules + 2; n <= 40; n++ {
			want = append(want, fmt.Sprintf("once in %03d 7", n))
		}
		if !slices.Equal(got, want) {
			t.Errorf("got  %q\nwant %q", got, want)
		}
		if err := testutil.GatherAndCompare(registry, strings.NewReader(`
# HELP oms_exporter_unknown_values_total Values that OMS's documents do not name, that cannot be read, or that exceed a bound, once for each listing. ruleToRecentlyTriggerCount also counts alarm rules that were forgotten.
# TYPE oms_exporter_unknown_values_total counter
oms_exporter_unknown_values_total{field="ruleToRecentlyTriggerCount"} 10
`), "oms_exporter_unknown_values_total"); err != nil {
			t.Error(err)
		}
	})
}

// Names that an OMS invents anew for each of many tasks do not add up either.
func TestNamesOfRulesThatAreGoneAreBoundedForAllTasks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const tasks, length, listings = 500, 4000, 12
		var made, listing int
		c := collector.New(of(&made, func(i int) (omsclient.Project, bool) {
			return omsclient.Project{ID: fmt.Sprintf("np_%04d", i), AlarmStats: omsclient.AlarmStats{
				RuleToRecentlyTriggerCount: []omsclient.RuleCount{
					{Rule: fmt.Sprintf("%0*d", length, listing), Count: 1},
				},
			}}, i < tasks
		}), collector.Options{})
		var got int
		for listing = 1; listing <= listings; listing++ {
			got = len(totalsIn(gathered(t, c)))
		}

		const most = tasks + collector.MaxUnseenBytes/length
		if got <= tasks || got > most {
			t.Errorf("%d totals, want more than %d and no more than %d", got, tasks, most)
		}
	})
}

// rulesOf returns a rule that is always there and rises, and one that is new each time,
// but for that of the first listing, which is back in the last.
func rulesOf(listing int) []omsclient.RuleCount {
	rules := []omsclient.RuleCount{
		{Rule: "always", Count: float64(listing)}, {Rule: fmt.Sprintf("once in %03d", listing), Count: 7},
	}
	if listing == 40 {
		rules = append(rules, omsclient.RuleCount{Rule: "once in 001", Count: 7})
	}
	return rules
}

func TestAListingBeyondTheBudgetFails(t *testing.T) {
	endless := func(p omsclient.Project) func(int) (omsclient.Project, bool) {
		return func(i int) (omsclient.Project, bool) {
			p.ID = fmt.Sprint(i)
			return p, true
		}
	}
	long := strings.Repeat("x", omsclient.MaxText)
	many := omsclient.Project{}
	for range 64 {
		many.Steps = append(many.Steps, omsclient.Step{Name: "FULL_TRANSFER"})
	}
	odd := omsclient.Project{}
	for range 64 {
		odd.Steps = append(odd.Steps, omsclient.Step{Name: "COFFEE"})
	}
	wide := omsclient.Project{Name: long, Owner: long}
	tagged := omsclient.Project{}
	for range 64 {
		tagged.Labels = append(tagged.Labels, omsclient.Label{ID: long, Name: long})
	}
	ruled := omsclient.Project{}
	for range 32 {
		ruled.AlarmStats.RuleToRecentlyTriggerCount = append(ruled.AlarmStats.RuleToRecentlyTriggerCount,
			omsclient.RuleCount{Rule: long})
	}
	for _, test := range []struct {
		name string
		of   omsclient.Project
		most int // tasks
	}{
		{"steps", many, 4600},
		{"steps with names that are not known", odd, 1450},
		{"names", wide, 45_000},
		{"tags", tagged, 1200},
		{"rules", ruled, 3400},
		{"nothing but tasks", omsclient.Project{}, 160_000},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := test.of
			var made, more int
			c := collector.New(of(&made, endless(p)), collector.Options{MaxTasks: 1})
			s := c.Scrape(t.Context())
			larger := collector.New(of(&more, endless(p)), collector.Options{
				MaxTasks: 2 * omsclient.LeastProjects,
			})
			_ = larger.Scrape(t.Context())

			if reason := omsclient.ReasonOf(s.Err()); reason != omsclient.Limit {
				t.Errorf("%v, want a limit", s.Err())
			}
			const want = "list projects: page 1: the names, steps, tags and alarm rules of the tasks take more " +
				"than 156 MiB of memory, which is 8 KiB for each of 20000 tasks"
			if s.Err().Error() != want {
				t.Errorf("%v\nwant %s", s.Err(), want)
			}
			if made > test.most || made < test.most*9/10 {
				t.Errorf("failed at task %d, want a little less than %d", made, test.most)
			}
			if more < made*19/10 || more > made*21/10 {
				t.Errorf("twice the tasks are admitted, but the limit is at task %d instead of twice %d", more, made)
			}
		})
	}
}

// A cutWriter ends a context after so many bytes, and goes on to take more.
type cutWriter struct {
	left   int
	taken  int
	cancel context.CancelCauseFunc
}

var errHungUp = errors.New("hung up")

func (w *cutWriter) Write(b []byte) (int, error) {
	w.taken += len(b)
	if w.taken > w.left {
		w.cancel(errHungUp)
	}
	return len(b), nil
}

func TestEncodingEndsWithItsContext(t *testing.T) {
	const tasks = 20_000
	var made int
	c := collector.New(of(&made, func(i int) (omsclient.Project, bool) {
		return omsclient.Project{ID: fmt.Sprint(i), Type: fmt.Sprint("T", i), Status: "RUNNING"}, i < tasks
	}), collector.Options{})
	s := c.Scrape(t.Context())
	for _, left := range []int{0, 1 << 20} {
		ctx, cancel := context.WithCancelCause(t.Context())
		w := &cutWriter{left: left, cancel: cancel}

		err := s.Encode(ctx, w, plainText, nil, nil)

		if !errors.Is(err, errHungUp) || w.taken > left+200<<10 {
			t.Errorf("%d bytes after %d, %v", w.taken, left, err)
		}
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errHungUp)
	w := &cutWriter{cancel: cancel}
	if err := s.Encode(ctx, w, plainText, nil, nil); !errors.Is(err, errHungUp) || w.taken > 0 {
		t.Errorf("%d bytes, %v", w.taken, err)
	}
	if err := s.Encode(t.Context(), io.Discard, plainText, nil, nil); err != nil {
		t.Error(err)
	}
}
