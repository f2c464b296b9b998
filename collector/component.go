package collector

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"oms_exporter/omsclient"
)

// troubleRound is how many tasks in trouble are asked about after a listing.
const troubleRound = 5

// troubles asks for the components of tasks that are late, stand still or have failed.
// An answer takes OMS some seconds, so there is one question at a time, and few.
func troubles(ask LookFunc[[]omsclient.Component]) lookKind[[]omsclient.Component] {
	var checkpoints checkpoints
	return lookKind[[]omsclient.Component]{
		action: omsclient.ActionComponents, ask: ask, atOnce: 1, most: troubleRound,
		again: 5 * time.Minute, keeps: 15 * time.Minute,
		wanted: func(tasks []*task, at time.Time) map[*task]occasion {
			checkpoints = checkpoints.update(tasks, time.Now())
			wanted := map[*task]occasion{}
			for _, t := range tasks {
				if t.inTrouble(at) || checkpoints.frozen(t, time.Now()) {
					wanted[t] = occasion{}
				}
			}
			return wanted
		},
		attach: func(t *task, a *answer[[]omsclient.Component]) { t.components = a },
	}
}

// inTrouble reports whether a task has failed, or is late at a time of OMS's clock.
func (t *task) inTrouble(at time.Time) bool {
	if t.Status == "FAILED" {
		return true
	}
	if !t.running() {
		return false
	}
	late := slices.ContainsFunc(t.steps, func(s *omsclient.Step) bool { return s.Status == "FAILED" })
	liveFlows(t, func(f flow) { late = late || f.effectiveDelay(at) > t.lateFrom() })
	return late
}

func (t *task) running() bool { return strings.HasPrefix(t.Status, "RUNNING") }

// lateFrom returns the delay from which a task is late. Without a threshold of its own
// that is 5 minutes, or never if OMS is told to ignore it.
func (t *task) lateFrom() time.Duration {
	const never = 1<<63 - 1
	switch {
	case t.threshold.Warning > 0:
		return t.threshold.Warning
	case t.Importance == "IGNORE":
		return never
	}
	return 5 * time.Minute
}

// liveFlows calls add with the latest reading of each direction that a step follows.
func liveFlows(t *task, add func(flow)) {
	live := func(names []string) bool {
		return slices.ContainsFunc(t.steps, func(s *omsclient.Step) bool {
			return slices.Contains(names, s.Name) && (s.Status == "RUNNING" || s.Status == "MONITORING")
		})
	}
	flowRows(t, func(f flow) {
		names := forwardSteps
		if f.direction == reverse {
			names = reverseSteps
		}
		if f.measured() && live(names) {
			add(f)
		}
	})
}

// effectiveDelay returns how late a flow is at a time: the delay that OMS reports or the
// one that the checkpoint shows, whichever is larger, and what has passed since. OMS
// takes a reading every few seconds, so the first half minute does not count.
func (f *flow) effectiveDelay(at time.Time) time.Duration {
	const fresh = 30 * time.Second
	delay := time.Duration(f.delay.Value * float64(time.Second))
	if f.sample.IsZero() {
		return delay
	}
	if !f.checkpoint.IsZero() {
		delay = max(delay, f.sample.Sub(f.checkpoint))
	}
	return delay + max(at.Sub(f.sample)-fresh, 0)
}

// Checkpoints remember since when the checkpoints of running tasks stand still, by task
// and direction.
type checkpoints map[checkpointKey]standing

type checkpointKey struct{ task, direction string }

type standing struct {
	checkpoint time.Time
	since      time.Time // of the listing that showed it first
}

// update takes in a listing.
func (c checkpoints) update(tasks []*task, now time.Time) checkpoints {
	updated := checkpoints{}
	for _, t := range tasks {
		if !t.running() {
			continue
		}
		liveFlows(t, func(f flow) {
			key := checkpointKey{t.ID, f.direction}
			updated[key] = standing{f.checkpoint, now}
			if before, ok := c[key]; ok && before.checkpoint.Equal(f.checkpoint) {
				updated[key] = before
			}
		})
	}
	return updated
}

// frozen reports whether a checkpoint of a task has stood still for long enough that OMS
// must have taken several readings.
func (c checkpoints) frozen(t *task, now time.Time) bool {
	const long = time.Minute
	for _, direction := range []string{forward, reverse} {
		s, ok := c[checkpointKey{t.ID, direction}]
		if ok && !s.checkpoint.IsZero() && now.Sub(s.since) >= long {
			return true
		}
	}
	return false
}

// A componentGroup is the components of a task of one kind and direction.
type componentGroup struct {
	kind      omsclient.ComponentKind
	direction string
	status    string                      // the worst
	delay     omsclient.Optional[float64] // the largest, in seconds
}

// componentGroups sums up components. OMS may run several of a kind, and a task is as
// well as the worst of them.
func componentGroups(components []omsclient.Component) []componentGroup {
	var groups []componentGroup
	for _, c := range components {
		direction := forward
		if c.Reverse {
			direction = reverse
		}
		i := slices.IndexFunc(groups, func(g componentGroup) bool {
			return g.kind == c.Kind && g.direction == direction
		})
		if i < 0 {
			groups = append(groups, componentGroup{c.Kind, direction, c.Status, c.Delay})
			continue
		}
		g := &groups[i]
		if worse(c.Status, g.status) {
			g.status = c.Status
		}
		if c.Delay.Known && (!g.delay.Known || c.Delay.Value > g.delay.Value) {
			g.delay = c.Delay
		}
	}
	return groups
}

// componentStatuses are the statuses that components were seen to have, the worst first.
// Any other is worse than those that are well.
var componentStatuses = []string{
	"UNEXPECTED_EXIT", "EXCEPTION", "FAILED", "STOP", "SUSPEND", "CHANGE_SOURCE",
	"", // any other
	"INIT", "RUNNING", "ACTIVE", "DONE", "FINISHED",
}

func worse(a, b string) bool {
	rank := func(status string) int {
		if i := slices.Index(componentStatuses, status); i >= 0 {
			return i
		}
		return slices.Index(componentStatuses, "")
	}
	return cmp.Compare(rank(a), rank(b)) < 0
}
