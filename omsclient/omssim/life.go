package omssim

import "math"

// A role is what a step does. The name of the step depends on the type of task too.
type role int

const (
	rolePrecheck role = iota
	rolePrepare
	roleStruct
	rolePull
	roleCopy
	roleIncr
	roleVerify
	roleIncrVerify
	roleSwitch
	roleReverse
	roleUnknown
)

// Statuses of tasks and of steps.
const (
	initial    = "INIT"
	running    = "RUNNING"
	monitoring = "MONITORING"
	suspended  = "SUSPEND"
	failed     = "FAILED"
	finished   = "FINISHED"
)

// A stage is a step in the plan of a type of task. Order numbers have gaps.
type stage struct {
	role             role
	order            int64
	name             string
	english, chinese string
}

// plans lists the stages of each type of task.
var plans = map[string][]stage{
	migration: {
		{rolePrecheck, 1, "TRANSFER_PRECHECK", "Precheck", "预检查"},
		{roleStruct, 3, "STRUCT_TRANSFER", "Schema migration", "结构迁移"},
		{rolePull, 4, "TRANSFER_INCR_LOG_PULL", "Incremental log pull", "增量拉取"},
		{roleCopy, 5, "FULL_TRANSFER", "Full migration", "全量迁移"},
		{roleIncr, 6, "INCR_TRANSFER", "Incremental synchronization", "增量同步"},
		{roleVerify, 7, "FULL_VERIFIER", "Full verification", "全量校验"},
		{roleSwitch, 8, "TRANSFER_APP_SWITCH", "Forward switchover", "正向切换"},
		{roleReverse, 10, "REVERSE_INCR_TRANSFER", "Reverse incremental migration", "反向增量"},
	},
	synchronize: {
		{rolePrecheck, 1, "PRE_CHECK", "Precheck", "预检查"},
		{rolePrepare, 2, "SYNC_PREPARE", "Preparation", "准备"},
		{rolePull, 4, "SYNC_INCR_LOG_PULL", "Incremental log pull", "增量拉取"},
		{roleCopy, 5, "CONNECTOR_FULL_SYNC", "Full synchronization", "全量同步"},
		{roleIncr, 6, "CONNECTOR_INCR_SYNC", "Incremental synchronization", "增量同步"},
	},
	verification: {
		{rolePrecheck, 1, "TRANSFER_PRECHECK", "Precheck", "预检查"},
		{roleVerify, 3, "FULL_VERIFIER", "Full verification", "全量校验"},
		{roleIncrVerify, 4, "INCR_VERIFIER", "Incremental verification", "增量校验"},
	},
}

// has reports whether the task is configured to run steps of a role.
func (t *task) has(r role) bool {
	switch r {
	case roleStruct:
		return t.structTransfer
	case roleVerify:
		return t.fullVerify
	case roleIncrVerify:
		return t.incrVerify
	case roleReverse:
		return t.reverse
	default:
		return true
	}
}

// A state is what a task is at a given time. All times are Unix seconds; 0 means
// none.
type state struct {
	at                    int64
	status                string
	modifying, merging    bool
	start, finish, change int64  // gmtStart, gmtFinish, gmtModified
	changeText            string // instead of change, if not empty
	steps                 []step
	extra                 extraForm
	claimedDelay          int64 // seconds; reported instead of the real delay unless 0
	failure               failure
	alarm                 alarm
}

// An extraForm is a form of a task's extraInfo.
type extraForm int

const (
	extraNull extraForm = iota
	extraRunning
	extraError
	// These two contradict the steps.
	extraComforting // only a delay, of 0
	extraOld        // a reading of two hours ago
)

// A failure is why a task failed, in words that quote data, as OMS's do.
type failure struct {
	code, english, chinese string
	at                     int64
}

// An alarm is what OMS says about the alarms that it has raised itself.
type alarm struct {
	rule  string // empty: none
	count int64
	split bool // OMS also counts by rule
}

// A step is a step of a task at a given time.
type step struct {
	stage         *stage
	status        string
	start, finish int64
	progress      int64
	failed        bool // with the failure of the task

	scan scan // of a full copy or verification; zero before it begins
	// The checkpoint of an incremental step, and when it was sampled, 0 if never.
	checkpoint, sample int64
	checkpointText     string // instead of checkpoint, if not empty
}

// A scan is a pass over all rows, and how far it has come.
type scan struct {
	processed, capacity int64 // rows
	rate                int64 // rows per second, at the source and at the sink
	reference           int64 // the rate that OMS expects
}

// find returns the step that has a role, or nil.
func (st *state) find(r role) *step {
	for i := range st.steps {
		if st.steps[i].stage.role == r {
			return &st.steps[i]
		}
	}
	return nil
}

// step returns the step that has a role, which the task must have.
func (st *state) step(r role) *step {
	p := st.find(r)
	if p == nil {
		panic("omssim: the task has no such step")
	}
	return p
}

// delay returns how many seconds an incremental step is behind.
func (p *step) delay() int64 {
	return p.sample - p.checkpoint
}

// lag makes an incremental step late by at least the given seconds.
func (p *step) lag(seconds int64) {
	p.checkpoint = min(p.checkpoint, p.sample-seconds)
}

// The seconds that the stages before the full copy take.
const (
	precheckTime = 40
	structTime   = 120
	prelude      = precheckTime + structTime
)

// replayRate is how many seconds' worth of changes an incremental step applies per
// second while it works off its backlog from the full copy.
const replayRate = 5

// never is later than any time, and can still be added to without overflow.
const never = math.MaxInt64 / 2

// A life is the normal course of a task.
type life struct {
	task  *task
	start int64 // Unix seconds
	hangs int64 // seconds after which the full copy hangs forever; 0: never
}

func (l life) copyBegin() int64 { return l.start + prelude }
func (l life) copyEnd() int64   { return l.copyBegin() + l.task.copyTime }

func (l life) incrBegin() int64 {
	if l.hangs > 0 {
		return never
	}
	return l.copyEnd()
}

// caughtUp is when the incremental step has worked off its backlog from the full
// copy.
func (l life) caughtUp() int64 {
	return l.incrBegin() + l.task.copyTime/(replayRate-1)/samplePeriod*samplePeriod + minute
}

func (l life) verifyBegin() int64 {
	if l.task.kind == verification {
		return l.start + precheckTime
	}
	return l.caughtUp()
}

func (l life) verifyTime() int64 { return l.task.copyTime / 2 / samplePeriod * samplePeriod }
func (l life) verifyEnd() int64  { return l.verifyBegin() + l.verifyTime() }

// switchBegin is when the task begins to wait for a person to switch over.
func (l life) switchBegin() int64 {
	if l.task.fullVerify {
		return l.verifyEnd()
	}
	return l.caughtUp()
}

// live fills in the state of a task that runs normally.
func (l life) live(st *state) {
	st.status = running
	st.start = l.start
	st.change = max(l.start, st.at-int64(l.task.hash%samplePeriod))
	plan := plans[l.task.kind]
	for i := range plan {
		if l.task.has(plan[i].role) {
			st.steps = append(st.steps, step{stage: &plan[i], status: initial})
			l.advance(&st.steps[len(st.steps)-1], st.at)
		}
	}
}

// advance brings a step that has not begun to its state at the given time.
func (l life) advance(p *step, at int64) {
	switch p.stage.role {
	case rolePrecheck:
		p.run(at, l.start, l.start+precheckTime)
	case roleStruct, rolePrepare:
		p.run(at, l.start+precheckTime, l.start+prelude)
	case rolePull:
		p.run(at, l.start+precheckTime+minute, l.start+prelude)
	case roleCopy:
		l.duplicate(p, at)
	case roleIncr:
		l.follow(p, at)
	case roleVerify:
		l.verify(p, at)
	case roleIncrVerify:
		p.stay(at, l.verifyEnd(), monitoring, 100)
	case roleSwitch:
		p.stay(at, l.switchBegin(), running, 0)
	case roleReverse, roleUnknown:
	}
}

// run advances a step that lasts from begin to end.
func (p *step) run(at, begin, end int64) {
	if at < begin {
		return
	}
	p.status, p.start, p.progress = running, begin, 100*(at-begin)/(end-begin)
	if at >= end {
		p.status, p.finish, p.progress = finished, end, 100
	}
}

// stay advances a step that begins and does not end by itself.
func (p *step) stay(at, begin int64, status string, progress int64) {
	if at >= begin {
		p.status, p.start, p.progress = status, begin, progress
	}
}

// duplicate advances the full copy.
func (l life) duplicate(p *step, at int64) {
	const reference = 4000
	until := at
	if l.hangs > 0 {
		until = min(at, l.copyBegin()+l.hangs)
	}
	p.run(until, l.copyBegin(), l.copyEnd())
	if p.status == initial {
		return
	}
	p.scan = l.scan(until, l.copyBegin(), l.task.copyTime, reference)
	if until < at {
		p.scan.rate = 0
	}
}

// verify advances the full verification, which stays RUNNING when it is done.
func (l life) verify(p *step, at int64) {
	const reference = 2000
	p.run(at, l.verifyBegin(), l.verifyEnd())
	if p.status == initial {
		return
	}
	p.status = running
	p.scan = l.scan(at, l.verifyBegin(), l.verifyTime(), reference)
}

// scan returns how far a scan has come that began at begin and takes so many
// seconds.
func (l life) scan(at, begin, takes, reference int64) scan {
	t := l.task
	total := t.capacity / 100 * (97 + int64(t.hash>>8%8)) // OMS only estimates the capacity
	s := scan{processed: total, capacity: t.capacity, reference: reference}
	if elapsed := at - begin; elapsed < takes {
		s.processed = total / takes * elapsed
		s.rate = total / takes * (85 + t.roll(at, 31)) / 100
	}
	return s
}

// follow advances the incremental step. It works off the changes since the full copy
// began, and then stays a few seconds behind.
func (l life) follow(p *step, at int64) {
	begin := l.incrBegin()
	if at < begin {
		return
	}
	backlog := l.task.copyTime - (replayRate-1)*(at-begin)
	p.stay(at, begin, monitoring, 100)
	if backlog > minute {
		p.status, p.progress = running, 100-max(1, 100*backlog/l.task.copyTime)
	}
	p.sample = at
	p.checkpoint = at - max(l.task.jitter(at), backlog)
}

// replayBack advances the reverse incremental step.
func (l life) replayBack(p *step, at, begin int64) {
	p.stay(at, begin, monitoring, 100)
	p.sample = at
	p.checkpoint = at - l.task.jitter(at+day)
}

// A slump is a part of a cycle in which a task falls behind and then catches up.
type slump struct {
	from, until int64 // falls behind between these seconds of the cycle
	loses       int64 // seconds that it falls behind in 100; 100 is standing still
	gains       int64 // seconds that it makes up in 100 afterward
}

// lag returns how many seconds a task is behind at a position in the cycle.
func (s slump) lag(position int64) int64 {
	lost := (min(position, s.until) - s.from) * s.loses / 100
	if position > s.until {
		lost -= (position - s.until) * s.gains / 100
	}
	return max(lost, 0)
}
