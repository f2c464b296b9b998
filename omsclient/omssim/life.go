package omssim

import "math"

// A role is what a step does, whatever the API calls it for a type of task.
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

// A stage is a step that a type of task has. Its order numbers have gaps.
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

// has reports whether the task is configured to do a stage.
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

// A state is what a task is at an instant. Instants are Unix seconds; 0 means none.
type state struct {
	at                    int64
	status                string
	modifying, merging    bool
	start, finish, change int64  // gmtStart, gmtFinish, gmtModified
	changeText            string // instead of change, if not empty
	steps                 []step
	extra                 extraForm
	comfort               int64 // the delay to report whatever it is, 0: the real one
	failure               failure
	alarm                 alarm
}

// An extraForm says which form the extraInfo of a task takes.
type extraForm int

const (
	extraNull extraForm = iota
	extraRunning
	extraError
)

// A failure is why a task failed, in words that a client must not show to everybody.
type failure struct {
	code, english, chinese string
	at                     int64
}

// An alarm is what OMS says about the alarms it raised itself.
type alarm struct {
	rule  string // empty: none
	count int64
	split bool // whether OMS counts by rule
}

// A step is one step of a task at an instant.
type step struct {
	stage         *stage
	status        string
	start, finish int64
	progress      int64
	failed        bool // because of the failure of the task

	rows rows // of a full copy or verification; capacity 0: not begun
	// The two samples of an incremental step; sample 0 means that there is none.
	checkpoint, sample int64
	checkpointText     string // instead of checkpoint, if not empty
}

// rows is how far the rows of a table are read and written.
type rows struct {
	processed, capacity int64
	rate                int64 // records per second, at source and sink alike
	reference           int64 // the rate OMS expects
}

// find returns the step that has a role, nil if the task has none.
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

// delay is by how many seconds an incremental step is behind.
func (p *step) delay() int64 {
	return p.sample - p.checkpoint
}

// lag makes an incremental step at least so many seconds late.
func (p *step) lag(seconds int64) {
	p.checkpoint = min(p.checkpoint, p.sample-seconds)
}

// How long the stages before the full copy take, in seconds.
const (
	precheckTime = 40
	structTime   = 120
	prelude      = precheckTime + structTime
)

// replayRate is how many seconds of changes an incremental step applies in a second
// when it works off what gathered during the full copy.
const replayRate = 5

// never is later than any instant, with room for what follows it.
const never = math.MaxInt64 / 2

// A life is the normal course of a task that was started at some instant.
type life struct {
	task  *task
	start int64
	// hangs is after how many seconds the full copy stops for good; 0: it does not.
	hangs int64
}

func (l life) copyBegin() int64 { return l.start + prelude }
func (l life) copyEnd() int64   { return l.copyBegin() + l.task.copyTime }

func (l life) incrBegin() int64 {
	if l.hangs > 0 {
		return never
	}
	return l.copyEnd()
}

// caughtUp is when the incremental step has worked off its backlog.
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

// switchBegin is from when on the task waits for a person to switch over.
func (l life) switchBegin() int64 {
	if l.task.fullVerify {
		return l.verifyEnd()
	}
	return l.caughtUp()
}

// live fills in the state of a task that is running normally.
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

// advance brings a step that has not begun to an instant.
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

// run makes a step that takes from begin to end.
func (p *step) run(at, begin, end int64) {
	if at < begin {
		return
	}
	p.status, p.start, p.progress = running, begin, 100*(at-begin)/(end-begin)
	if at >= end {
		p.status, p.finish, p.progress = finished, end, 100
	}
}

// stay makes a step that does not end by itself.
func (p *step) stay(at, begin int64, status string, progress int64) {
	if at >= begin {
		p.status, p.start, p.progress = status, begin, progress
	}
}

// duplicate makes the full copy.
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
	p.rows = l.rows(until, l.copyBegin(), l.task.copyTime, reference)
	if until < at {
		p.rows.rate = 0
	}
}

// verify makes the full verification, which stays RUNNING when it is done.
func (l life) verify(p *step, at int64) {
	const reference = 2000
	p.run(at, l.verifyBegin(), l.verifyEnd())
	if p.status == initial {
		return
	}
	p.status = running
	p.rows = l.rows(at, l.verifyBegin(), l.verifyTime(), reference)
}

// rows is how far a pass over all rows is that takes so long.
func (l life) rows(at, begin, takes, reference int64) rows {
	t := l.task
	total := t.capacity / 100 * (97 + int64(t.hash>>8%8)) // OMS only estimates the capacity
	r := rows{processed: total, capacity: t.capacity, reference: reference}
	if elapsed := at - begin; elapsed < takes {
		r.processed = total / takes * elapsed
		r.rate = total / takes * (85 + t.roll(at, 31)) / 100
	}
	return r
}

// follow makes the incremental step: it works off what has gathered since the full copy
// began, then stays a few seconds behind.
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

// replayBack makes the reverse incremental step, which began at some instant.
func (l life) replayBack(p *step, at, begin int64) {
	p.stay(at, begin, monitoring, 100)
	p.sample = at
	p.checkpoint = at - l.task.jitter(at+day)
}

// A slump is a stretch of a cycle in which a task falls behind and then catches up.
type slump struct {
	from, until int64 // seconds into the cycle between which it falls behind
	loses       int64 // by how much in 100 seconds: at most 100, which is standing still
	gains       int64 // how much of that it makes good in 100 seconds afterwards
}

// lag is how many seconds a task is behind at a position in the cycle.
func (s slump) lag(position int64) int64 {
	lost := (min(position, s.until) - s.from) * s.loses / 100
	if position > s.until {
		lost -= (position - s.until) * s.gains / 100
	}
	return max(lost, 0)
}
