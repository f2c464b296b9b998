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
// that is no longer listed is forgotten. So are rules that were not seen for long, if a
// task has had too many: OMS may put variable parts into their names.
type alarmCounts map[string]*alarmCount

// An alarmCount is what is known of one task. Rule "" stands for all alarms of a task
// where OMS does not split its count by rule.
type alarmCount struct {
	known  bool               // whether the last listing had counts
	split  bool               // whether they were by rule
	last   map[string]float64 // the counts; a rule that is missing has 0
	totals []alarmTotal       // by rule, in order; at most maxTotals
}

// An alarmTotal is what the rises of a rule add up to.
type alarmTotal struct {
	omsclient.RuleCount
	unseen int // listings since the rule was last seen
}

// maxTotals is how many totals of a task are kept. There is room for every rule of a
// listing.
const maxTotals = omsclient.MaxRules

// MaxUnseenBytes is how long the names of the rules that a listing does not have, but
// earlier ones had, may be for all tasks together.
const MaxUnseenBytes = 16 << 20

// update takes in a listing and returns what is known after it, and how many totals
// were forgotten. It sets the alarm totals of the tasks. The result is another map
// because a map never shrinks.
func (a alarmCounts) update(tasks []*task) (updated alarmCounts, forgotten int) {
	updated = make(alarmCounts, len(tasks))
	unseen := 0 // bytes of names that this listing does not have
	for _, t := range tasks {
		count := a[t.ID]
		if count == nil {
			count = &alarmCount{}
		}
		updated[t.ID] = count
		count.add(t.AlarmStats)
		forgotten += count.forget(maxTotals)
		if unseen += count.unseenBytes(); unseen > MaxUnseenBytes {
			forgotten += count.forget(len(count.last))
		}
		t.alarmTotals = make([]omsclient.RuleCount, len(count.totals))
		for i := range count.totals {
			t.alarmTotals[i] = count.totals[i].RuleCount
		}
	}
	return updated, forgotten
}

// add adds up what has risen. Counts compare only with counts of the same kind, all
// together or by rule, or with no alarm at all.
func (c *alarmCount) add(stats omsclient.AlarmStats) {
	now, split, known := countsOf(stats)
	sameKind := c.known && (c.split == split || len(c.last) == 0)
	for i := range c.totals {
		c.totals[i].unseen++
	}
	for rule, n := range now {
		total := c.total(rule)
		total.unseen = 0
		if sameKind {
			total.Count += max(n-c.last[rule], 0)
		}
	}
	c.last, c.split, c.known = now, split, known
}

// total returns the total of a rule, which is 0 if the rule is new.
func (c *alarmCount) total(rule string) *alarmTotal {
	i, found := slices.BinarySearchFunc(c.totals, rule, func(t alarmTotal, rule string) int {
		return strings.Compare(t.Rule, rule)
	})
	if !found {
		c.totals = slices.Insert(c.totals, i, alarmTotal{RuleCount: omsclient.RuleCount{Rule: rule}})
	}
	return &c.totals[i]
}

// unseenBytes returns the length of the names of the rules that the last listing did not
// have.
func (c *alarmCount) unseenBytes() (n int) {
	for i := range c.totals {
		if c.totals[i].unseen > 0 {
			n += len(c.totals[i].Rule)
		}
	}
	return n
}

// forget keeps so many totals, of the rules that were seen last, and returns how many
// were too many. A rule that comes back later begins again at 0, as a counter may.
func (c *alarmCount) forget(most int) (forgotten int) {
	for len(c.totals) > most {
		oldest := 0
		for i := range c.totals {
			if c.totals[i].unseen > c.totals[oldest].unseen {
				oldest = i
			}
		}
		c.totals = slices.Delete(c.totals, oldest, oldest+1)
		forgotten++
	}
	return forgotten
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
