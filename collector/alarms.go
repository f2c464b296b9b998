package collector

import (
	"slices"
	"strings"

	"oms_exporter/omsclient"
)

// alarmCounts add up, for each task, by how much OMS's windowed counts of its
// alarms have risen from one listing to the next. A count that is seen for the
// first time adds nothing, so the sum is a lower bound, whatever happened before
// and between. A task that is not listed is forgotten.
type alarmCounts map[string]*alarmCount

// An alarmCount is what is known of one task. Rule "" stands for all of a task
// where OMS does not split its count by rule.
type alarmCount struct {
	known  bool               // last is what OMS said at the last listing
	split  bool               // last is by rule
	last   map[string]float64 // 0 for a rule that is not in it
	totals map[string]float64
}

// update returns what is known after a listing, and the totals of its tasks and of
// the rules that have been seen, ordered by rule for each task. It makes another map
// because maps do not shrink.
func (a alarmCounts) update(tasks []task) (alarmCounts, []rule) {
	var rows []rule
	updated := make(alarmCounts, len(tasks))
	for _, t := range tasks {
		count := a[t.ID]
		if count == nil {
			count = &alarmCount{totals: map[string]float64{}}
		}
		updated[t.ID] = count
		count.see(t.AlarmStats)
		rows = append(rows, count.rows(t)...)
	}
	return updated, rows
}

// see takes in what OMS says now.
func (c *alarmCount) see(stats omsclient.AlarmStats) {
	now, split, known := countsOf(stats)
	sameKind := c.known && (c.split == split || len(c.last) == 0 || len(now) == 0)
	for name, n := range now {
		if sameKind {
			c.totals[name] += max(n-c.last[name], 0)
		} else {
			c.totals[name] += 0 // seen, and from now on watched
		}
	}
	c.last, c.split, c.known = now, split, known
}

// countsOf returns the counts that OMS gives, by rule or under "". They are
// known too if OMS gives none and says that there is no alarm.
func countsOf(stats omsclient.AlarmStats) (now map[string]float64, split, known bool) {
	now = map[string]float64{}
	for _, r := range stats.RuleToRecentlyTriggerCount {
		now[r.Rule] = r.Count
	}
	switch {
	case len(now) > 0:
		return now, true, true
	case stats.RecentlyTriggerCount.Value != 0:
		now[""] = stats.RecentlyTriggerCount.Value
		return now, false, true
	}
	return now, false, stats.RecentlyTriggerCount.Known || stats.Alarming == omsclient.Some(false)
}

func (c *alarmCount) rows(t task) []rule {
	rows := make([]rule, 0, len(c.totals))
	for name, total := range c.totals {
		rows = append(rows, rule{t, omsclient.RuleCount{Rule: name, Count: total}})
	}
	slices.SortFunc(rows, func(a, b rule) int { return strings.Compare(a.Rule, b.Rule) })
	return rows
}
