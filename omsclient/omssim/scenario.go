package omssim

import (
	"fmt"
	"slices"
)

// A scenario is something that tasks do. Alerts, dashboards and tests find its tasks
// by their tag; see [ScenarioTag].
type scenario struct {
	name               string
	doc                string
	weight             int    // share of the tasks in the default mix, relative to the others
	kind               string // type of the tasks
	verifies, reverses bool   // every task has these phases, and not just some tasks
	ignorable          bool   // tasks may be of importance IGNORE

	// state fills in the state of a task at st.at. It may depend on nothing else.
	state func(t *task, st *state)
}

// scenarios is everything that tasks can do. To add a scenario, add it here.
var scenarios = []scenario{
	{
		name: "new", weight: 1, kind: migration, state: stateNew,
		doc: "created, never started: INIT",
	},
	{
		name: "copying", weight: 4, kind: migration, ignorable: true, state: stateCopying,
		doc: "the full copy progresses; when it is done the task starts over",
	},
	{
		name: "verifying", weight: 2, kind: migration, verifies: true, state: stateVerifying,
		doc: "copied and following; the full verification is under way, then starts over",
	},
	{
		name: "following", weight: 11, kind: migration, ignorable: true, state: stateFollowing,
		doc: "healthy: 1 to 20 s behind, extraInfo null",
	},
	{
		name: "falling_behind", weight: 4, kind: migration, state: stateFallingBehind,
		doc: "every 2 h: falls 50 min behind, catches up at replay speed 4, follows",
	},
	{
		name: "frozen", weight: 2, kind: migration, state: stateFrozen,
		doc: "every 3 h: the checkpoint stands still for 2.5 h, but OMS reports a small delay",
	},
	{
		name: "losing_samples", weight: 2, kind: migration, state: stateLosingSamples,
		doc: "every 2 h: no new samples for 110 min, yet RUNNING and MONITORING",
	},
	{
		name: "stuck_step", weight: 2, kind: migration, state: stateStuckStep,
		doc: "every 12 h: the full copy is RUNNING but moves no row for 11 h",
	},
	{
		name: "failing", weight: 2, kind: migration, state: stateFailing,
		doc: "every 90 min: FAILED for 40 min with error codes, recovers, catches up, follows",
	},
	{
		name: "flapping", weight: 1, kind: migration, state: stateFlapping,
		doc: "FAILED for 2 min, RUNNING for 2 min, and so on",
	},
	{
		name: "suspended", weight: 3, kind: migration, state: stateSuspended,
		doc: "SUSPEND: the checkpoint stands still until 12 h after the logs have run out",
	},
	{
		name: "ready", weight: 3, kind: migration, verifies: true, reverses: true,
		state: stateReady,
		doc:   "copied, verified, caught up, and waiting for a person to switch over",
	},
	{
		name: "switched", weight: 2, kind: migration, verifies: true, reverses: true,
		state: stateSwitched,
		doc:   "switched over: replays in reverse, some minutes late every hour",
	},
	{
		name: "modifying", weight: 1, kind: migration, state: stateModifying,
		doc: "objects are being changed: RUNNING_MODIFYING, healthy",
	},
	{
		name: "merging", weight: 1, kind: migration, state: stateMerging,
		doc: "new objects are being merged: RUNNING_MERGING, healthy",
	},
	{
		name: "finished", weight: 1, kind: migration, state: stateFinished,
		doc: "FINISHED days ago",
	},
	{
		name: "releasing", weight: 1, kind: migration, state: stateReleasing,
		doc: "ended, resources are being released: RELEASING",
	},
	{
		name: "released", weight: 1, kind: migration, state: stateReleased,
		doc: "ended, resources are released: RELEASED",
	},
	{
		name: "deleted", weight: 1, kind: migration, state: stateDeleted,
		doc: "ended and deleted: DELETED",
	},
	{
		name: "alarming", weight: 2, kind: migration, state: stateAlarming,
		doc: "RUNNING some minutes late; OMS itself alarms, its counts rise and fall",
	},
	{
		name: "synchronizing", weight: 4, kind: synchronize, state: stateSynchronizing,
		doc: "type SYNC: fully copied to a queue, following",
	},
	{
		name: "validating", weight: 2, kind: verification, ignorable: true, state: stateValidating,
		doc: "type VERIFY: verifies, rests for 30 min, starts over",
	},
	{
		name: "no_delay", weight: 1, kind: migration, state: stateNoDelay,
		doc: "RUNNING and MONITORING, but OMS gives no delay: stepInfo and extraInfo null",
	},
	{
		name: "clock_skew", weight: 1, kind: migration, state: stateClockSkew,
		doc: "clocks differ: the checkpoint is a few seconds after its sample; negative delay",
	},
	{
		name: "storm", weight: 5, kind: migration, state: stateStorm,
		doc: "healthy, but at 10 past every hour (UTC) all fall 14 min behind together",
	},

	// Those without a weight are not in the default mix.
	{
		name: "verified_differs", kind: migration, verifies: true, reverses: true,
		state: stateVerifiedDiffers,
		doc:   "as ready, but the verification has found records that differ",
	},
	{
		name: "verified_unknown", kind: migration, verifies: true, reverses: true,
		state: stateVerifiedUnknown,
		doc:   "as ready, but OMS does not say what the verification has found",
	},
	{
		name: "verified_apart", kind: verification, state: stateVerifiedApart,
		doc: "type VERIFY: FINISHED, and no record differs",
	},
	{
		name: "store_dead", kind: migration, state: stateStoreDead,
		doc: "every 3 h: the store is dead for 2.5 h, so that nothing is read",
	},
	{
		name: "slow_apply", kind: migration, state: stateSlowApply,
		doc: "every 2 h: falls 50 min behind, reading in time but applying late",
	},
	{
		name: "stuck_early", kind: migration, state: stateStuckEarly,
		doc: "every 12 h: the full copy is RUNNING but moves no row after its first percent",
	},
	{
		name: "retried", kind: migration, state: stateRetried,
		doc: "RUNNING, but every 10 min the incremental step is FAILED for 8 min",
	},
	{
		name: "failing_together", kind: migration, state: stateFailingTogether,
		doc: "healthy, but at 10 past every fourth hour (UTC) all are FAILED together for 30 min",
	},
}

// A ScenarioDoc documents a scenario.
type ScenarioDoc struct {
	Name string
	Doc  string // one line
}

// ScenarioTag returns the tag that all tasks of a scenario have.
func ScenarioTag(name string) string { return "sim:" + name }

// ScenarioDocs returns every scenario that [Options] can name.
func ScenarioDocs() []ScenarioDoc {
	docs := make([]ScenarioDoc, 0, len(scenarios))
	for _, s := range scenarios {
		docs = append(docs, ScenarioDoc{Name: s.name, Doc: s.doc})
	}
	return docs
}

// scenarioMix returns the scenarios that tasks take in turn. These are the named
// ones or, if none is named, all of them according to their weights and well mixed,
// so that small fleets are varied too.
func scenarioMix(names []string) ([]*scenario, error) {
	var mix []*scenario
	for _, name := range names {
		i := slices.IndexFunc(scenarios, func(s scenario) bool { return s.name == name })
		if i < 0 {
			return nil, fmt.Errorf("unknown scenario %q", name)
		}
		mix = append(mix, &scenarios[i])
	}
	if len(names) > 0 {
		return mix, nil
	}

	total := 0
	for _, s := range scenarios {
		total += s.weight
	}
	credit := make([]int, len(scenarios))
	for range total {
		next := 0
		for i, s := range scenarios {
			credit[i] += s.weight
			if credit[i] > credit[next] {
				next = i
			}
		}
		credit[next] -= total
		mix = append(mix, &scenarios[next])
	}
	return mix, nil
}

// stateAt sets st to the state of the task at the given time.
func (t *task) stateAt(at int64, st *state) {
	*st = state{at: at, steps: st.steps[:0]}
	t.scenario.state(t, st)
	t.raise(st)
}

// live fills in the state of a task that has run normally since it was first
// started, and returns its life.
func (t *task) live(st *state) life {
	l := life{task: t, start: t.started()}
	l.live(st)
	return l
}

func stateNew(t *task, st *state) {
	life{task: t, start: st.at + day}.live(st)
	st.status, st.start, st.change = initial, 0, t.created
}

func stateCopying(t *task, st *state) {
	_, begin := t.cycle(st.at, prelude+t.copyTime)
	life{task: t, start: begin}.live(st)
	t.tell(st)
}

func stateVerifying(t *task, st *state) {
	l := life{task: t}
	_, begin := t.cycle(st.at, l.verifyTime())
	l.start = begin - l.verifyBegin()
	l.live(st)
	t.tell(st)
}

func stateFollowing(t *task, st *state) {
	t.live(st)
	if t.fullVerify {
		// Nobody intends to switch over yet.
		p := st.step(roleSwitch)
		*p = step{stage: p.stage, status: initial}
	}
}

func stateFallingBehind(t *task, st *state) {
	t.live(st)
	position, _ := t.cycle(st.at, 2*hour)
	st.step(roleIncr).lag(slump{from: 600, until: 3900, loses: 90, gains: 300}.lag(position))
	st.extra = extraRunning
}

func stateFrozen(t *task, st *state) {
	t.live(st)
	position, _ := t.cycle(st.at, 3*hour)
	st.step(roleIncr).lag(slump{from: 600, until: 9600, loses: 100, gains: 1500}.lag(position))
	st.extra = extraRunning
	st.claimedDelay = 2 + int64(t.hash%5)
}

func stateLosingSamples(t *task, st *state) {
	l := t.live(st)
	position, begin := t.cycle(st.at, 2*hour)
	l.follow(st.step(roleIncr), begin+min(position, 600))
	st.extra = extraRunning
}

func stateStuckStep(t *task, st *state) {
	_, begin := t.cycle(st.at, 12*hour)
	life{task: t, start: begin, hangs: t.copyTime / 8}.live(st)
	t.tell(st)
}

func stateStuckEarly(t *task, st *state) {
	_, begin := t.cycle(st.at, 12*hour)
	life{task: t, start: begin, hangs: t.copyTime / 90}.live(st)
}

func stateFailing(t *task, st *state) {
	const from, until = 600, 3000
	position, begin := t.cycle(st.at, 90*minute)
	outage(t, st, position, begin, slump{from: from, until: until, loses: 100, gains: 300})
}

func stateFlapping(t *task, st *state) {
	position, begin := t.cycle(st.at, 4*minute)
	outage(t, st, position, begin, slump{until: 120, loses: 100, gains: 300})
}

func stateRetried(t *task, st *state) {
	position, begin := t.cycle(st.at, 10*minute)
	outage(t, st, position, begin, slump{until: 480, loses: 100, gains: 300})
	st.status = running
}

func stateFailingTogether(t *task, st *state) {
	const from, until = 600, 2400
	position := st.at % (4 * hour)
	outage(t, st, position, st.at-position, slump{from: from, until: until, loses: 100, gains: 300})
}

// failures lists why incremental steps fail.
var failures = []failure{
	{
		code:    "GHANA-OPERIE000000",
		english: `column "discount_rate" of table trade.orders does not exist at the target`,
		chinese: "目标端表 trade.orders 缺少列 \"discount_rate\"",
	},
	{
		code:    "CM-RESOAT1111",
		english: "the store of the task is not available: connection refused",
		chinese: "任务的 Store 组件不可用：连接被拒绝",
	},
}

// outage makes the incremental step fail while the slump lasts. It then applies and
// samples nothing. Afterward it catches up.
func outage(t *task, st *state, position, begin int64, s slump) {
	l := t.live(st)
	p := st.step(roleIncr)
	if position < s.from || position >= s.until {
		p.lag(s.lag(position))
		return
	}
	l.follow(p, begin+s.from)
	p.status, p.failed = failed, true
	st.status = failed
	st.change = begin + s.from
	st.extra = extraError
	st.failure = failures[t.hash%uint64(len(failures))]
	st.failure.at = begin + s.from
}

func stateSuspended(t *task, st *state) {
	l := t.live(st)
	_, begin := t.cycle(st.at, (t.kept+12)*hour)
	st.status, st.change = suspended, begin
	p := st.step(roleIncr)
	l.follow(p, begin)
	p.status = suspended
	st.extra = extraRunning
}

// stateReady keeps within the 15 s that OMS's own check before a switchover asks for.
func stateReady(t *task, st *state) {
	t.live(st)
	p := st.step(roleIncr)
	p.checkpoint = max(p.checkpoint, p.sample-12)
}

func stateSwitched(t *task, st *state) {
	l := t.live(st)
	over := l.switchBegin() + day

	incr := st.step(roleIncr)
	l.follow(incr, over)
	incr.close(over)
	st.step(roleVerify).close(l.verifyEnd())
	st.step(roleSwitch).close(over)

	position, _ := t.cycle(st.at, hour)
	reverse := st.step(roleReverse)
	l.replayBack(reverse, st.at, over)
	reverse.lag(slump{from: 1200, until: 1500, loses: 80, gains: 200}.lag(position))
}

func stateModifying(t *task, st *state) {
	t.live(st)
	st.status, st.modifying = "RUNNING_MODIFYING", true
}

func stateMerging(t *task, st *state) {
	t.live(st)
	st.status, st.merging = "RUNNING_MERGING", true
}

func stateFinished(t *task, st *state)  { conclude(t, st, finished) }
func stateReleasing(t *task, st *state) { conclude(t, st, "RELEASING") }
func stateReleased(t *task, st *state)  { conclude(t, st, "RELEASED") }
func stateDeleted(t *task, st *state)   { conclude(t, st, "DELETED") }

// conclude fills in the state of a task that ended a few days after it was started.
func conclude(t *task, st *state, status string) {
	l := life{task: t, start: t.started()}
	over := l.switchBegin() + 2*day
	st.at = min(st.at, over)
	l.live(st)
	for i := range st.steps {
		p := &st.steps[i]
		if p.stage.role == roleReverse {
			l.replayBack(p, st.at, over)
		}
		p.close(over)
	}
	st.status, st.finish, st.change = status, over, over
}

// close ends a step at the given time, unless it has already ended.
func (p *step) close(at int64) {
	p.status, p.progress = finished, 100
	if p.finish == 0 {
		p.finish = at
	}
}

func stateAlarming(t *task, st *state) {
	const period = 30 * minute
	t.live(st)
	position, _ := t.cycle(st.at, period)
	slope := min(position, period-position)
	p := st.step(roleIncr)
	p.lag(90 + slope/3)
	if t.hash%2 == 0 {
		st.extra = extraRunning
	}
	st.alarm = alarm{rule: "oms_migration_delay", count: 1 + slope/100, split: t.hash%4 != 1}
}

func stateSynchronizing(t *task, st *state) {
	t.live(st)
	t.tell(st)
}

func stateValidating(t *task, st *state) {
	l := life{task: t}
	_, l.start = t.cycle(st.at, precheckTime+l.verifyTime()+30*minute)
	l.live(st)
}

func stateNoDelay(t *task, st *state) {
	t.live(st)
	p := st.step(roleIncr)
	p.checkpoint, p.sample = 0, 0
}

func stateClockSkew(t *task, st *state) {
	t.live(st)
	p := st.step(roleIncr)
	p.checkpoint = p.sample + 2 + t.roll(p.sample, 6)
	st.extra = extraRunning
}

func stateStorm(t *task, st *state) {
	t.live(st)
	st.step(roleIncr).lag(slump{from: 600, until: 1500, loses: 95, gains: 300}.lag(st.at % hour))
	t.tell(st)
}

// tell makes some tasks send the running form of extraInfo.
func (t *task) tell(st *state) {
	if t.hash%3 == 0 {
		st.extra = extraRunning
	}
}

// raise makes OMS raise alarms about failures, and about delays that it knows of.
func (t *task) raise(st *state) {
	if t.importance == ignored || st.alarm.rule != "" {
		return
	}
	object := "migration"
	if t.kind == synchronize {
		object = "sync"
	}
	split := t.hash%4 != 1
	excess := st.reported() - t.tolerance()
	switch {
	case st.status == failed:
		count := min(1+(st.at-st.failure.at)/(5*minute), 12)
		st.alarm = alarm{"oms_" + object + "_failed", count, split}
	case st.status == running && excess > 0:
		st.alarm = alarm{"oms_" + object + "_delay", min(1+excess/(2*minute), 12), split}
	}
}

// tolerance is the delay in seconds above which OMS raises an alarm.
func (t *task) tolerance() int64 {
	switch t.importance {
	case "HIGH":
		return 5 * minute
	case "MEDIUM":
		return 10 * minute
	default:
		return 30 * minute
	}
}

// reported is the delay that OMS reports, in seconds; 0 if it knows none.
func (st *state) reported() int64 {
	if st.claimedDelay != 0 {
		return st.claimedDelay
	}
	if p := st.sampled(); p != nil {
		return p.delay()
	}
	return 0
}

// sampled returns the incremental step that has a sample and has not ended, or nil.
func (st *state) sampled() *step {
	for i := range st.steps {
		if p := &st.steps[i]; p.sample != 0 && p.finish == 0 {
			return p
		}
	}
	return nil
}
