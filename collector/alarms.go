package collector

import (
	"slices"
	"strings"

	"oms_exporter/omsclient"
)

// AlarmCounts add up alarms, by the id of the task. OMS counts alarms over a window,
// so its counts fall too; from one listing to the next, a rise is added and a fall is
// not. A count that is seen for the first time adds nothing. So the totals are lower
// bounds, whatever happened before the first listing and between two of them. A task
// that is no longer listed is forgotten.
type alarmCounts map[string]*alarmCount

// An alarmCount is what is known of one task. Rule "" stands for all alarms of a task
// where OMS does not split its count by rule.
type alarmCount struct {
	known  bool               // whether the last listing had counts
	split  bool               // whether they were by rule
	last   map[string]float64 // the counts; a rule that is missing has 0
	totals map[string]float64 // by rule
}

// update takes in a listing and returns what is known after it. It sets the alarm
// totals of the tasks, ordered by rule. The result is another map because a map never
// shrinks.
func (a alarmCounts) update(tasks []*task) alarmCounts {
	updated := make(alarmCounts, len(tasks))
	for _, t := range tasks {
		count := a[t.ID]
		if count == nil {
			count = &alarmCount{totals: map[string]float64{}}
		}
		updated[t.ID] = count
		count.add(t.AlarmStats)
		t.alarmTotals = count.sortedTotals()
	}
	return updated
}

// add adds up what has risen. Counts compare only with counts of the same kind: all
// together or by rule.
func (c *alarmCount) add(stats omsclient.AlarmStats) {
	now, split, known := countsOf(stats)
	sameKind := c.known && (c.split == split || len(c.last) == 0 || len(now) == 0)
	for rule, n := range now {
		rise := 0.0
		if sameKind {
			rise = max(n-c.last[rule], 0)
		}
		c.totals[rule] += rise // a rule that is new has a total of 0 from now on
	}
	c.last, c.split, c.known = now, split, known
}

// countsOf returns the counts that OMS gives, by rule or under "". If OMS gives none
// but says that there is no alarm, they are known to be 0.
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

func (c *alarmCount) sortedTotals() []omsclient.RuleCount {
	totals := make([]omsclient.RuleCount, 0, len(c.totals))
	for rule, n := range c.totals {
		totals = append(totals, omsclient.RuleCount{Rule: rule, Count: n})
	}
	slices.SortFunc(totals, func(a, b omsclient.RuleCount) int {
		return strings.Compare(a.Rule, b.Rule)
	})
	return totals
}
