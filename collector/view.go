package collector

import (
	"cmp"
	"math"
	"slices"
	"strings"
	"time"

	"oms_exporter/omsclient"
)

// This file is a task as people see it: on the page, in its JSON, and in the terminal. A
// [TaskView] shows nothing that the metrics do not show.

// A TaskView is a task for people. Its ages and delays are those of the time of the listing,
// by OMS's clock: they do not grow while the view is shown. What OMS does not say is absent.
type TaskView struct {
	ID         string `json:"id"`
	Name       string `json:"name"`
	Type       string `json:"type,omitempty"`
	Status     string `json:"status,omitempty"`
	Importance string `json:"importance,omitempty"`
	Owner      string `json:"owner,omitempty"`
	SourceType string `json:"source_type,omitempty"`
	SinkType   string `json:"sink_type,omitempty"`

	Tags     []string   `json:"tags"`
	Severity string     `json:"severity"`
	Concerns []string   `json:"concerns"` // the worst first
	Errors   []string   `json:"error_codes"`
	Flows    []FlowView `json:"flows"` // nil: they are not exported
	Steps    []StepView `json:"steps"` // in the order of the console

	WarningDelay  *float64 `json:"warning_delay_seconds,omitempty"`  // from which it is late
	CriticalDelay *float64 `json:"critical_delay_seconds,omitempty"` // from which it is very late

	Alarming         *bool       `json:"alarming,omitempty"` // in OMS itself
	RecentAlarms     *float64    `json:"recent_alarms,omitempty"`
	AlarmRules       []RuleAlarm `json:"alarm_rules,omitempty"`
	LogRetention     *float64    `json:"log_retention_seconds,omitempty"`
	DifferentRecords *float64    `json:"different_records,omitempty"` // found by verification

	Created  time.Time `json:"created,omitzero"`
	Started  time.Time `json:"started,omitzero"`
	Finished time.Time `json:"finished,omitzero"`
	Failed   time.Time `json:"failed,omitzero"` // last, even if the task has recovered

	dead bool    // a component of OMS that works for it has stopped or crashed
	rank int     // of the worst concern
	used float64 // see usedDelay
}

// A FlowView is how far a task has replicated in one direction.
type FlowView struct {
	Direction     string    `json:"direction"`
	Live          bool      `json:"live"`                              // a step follows it
	Delay         *float64  `json:"delay_seconds,omitempty"`           // as OMS measured it last
	Effective     *float64  `json:"effective_delay_seconds,omitempty"` // with the time since then
	Checkpoint    time.Time `json:"checkpoint,omitzero"`
	Sample        time.Time `json:"sample,omitzero"`
	CheckpointAge *float64  `json:"checkpoint_age_seconds,omitempty"`
	SampleAge     *float64  `json:"sample_age_seconds,omitempty"`
}

// A StepView is a step of a task.
type StepView struct {
	Name      string    `json:"name"`
	Status    string    `json:"status,omitempty"`
	State     string    `json:"state"`
	Progress  *float64  `json:"progress_ratio,omitempty"`
	Errors    []string  `json:"error_codes,omitempty"`
	Started   time.Time `json:"started,omitzero"`
	Finished  time.Time `json:"finished,omitzero"`
	Failed    time.Time `json:"failed,omitzero"` // last, even if the step has recovered
	Processed *float64  `json:"processed_records,omitempty"`
	Estimated *float64  `json:"estimated_records,omitempty"`

	SourceRecords *float64 `json:"source_records_per_second,omitempty"`
	SinkRecords   *float64 `json:"sink_records_per_second,omitempty"`
	SourceBytes   *float64 `json:"source_bytes_per_second,omitempty"`
	SinkBytes     *float64 `json:"sink_bytes_per_second,omitempty"`
	SourceLatency *float64 `json:"source_latency_seconds,omitempty"`
	SinkLatency   *float64 `json:"sink_latency_seconds,omitempty"`
}

// A RuleAlarm is how many alarms a rule of OMS has raised recently.
type RuleAlarm struct {
	Rule   string  `json:"rule"`
	Alarms float64 `json:"alarms"`
}

// The states of a step: what it does, which its status alone does not say.
const (
	StepWaiting   = "waiting"
	StepWorking   = "working"
	StepFollowing = "following" // changes, without an end
	StepDone      = "done"
	StepPaused    = "paused"
	StepFailed    = "failed"
	StepPerson    = "person" // waits for somebody to switch over
)

// The severities: how much a task needs a person.
const (
	Critical = "critical"
	Warning  = "warning"
	Notice   = "notice"
	Fine     = "fine"
)

// Severities returns all severities, the worst first.
func Severities() []string { return []string{Critical, Warning, Notice, Fine} }

// Concerns returns all concerns, which are the reasons to look at a task, the worst first.
func Concerns() []string {
	all := make([]string, len(concerns))
	for i := range concerns {
		all[i] = concerns[i].name
	}
	return all
}

// Concerns say what "worst" means. A task is as bad as the worst severity among those that
// apply, and of two tasks of a severity the one whose first concern comes earlier here is
// worse. Severities are those of the shipped alerts, as far as one listing can tell: what
// takes time to see, such as a checkpoint that stands still, is left to the alerts.
var concerns = []struct {
	name                 string
	high, other, ignored string // severities, by the importance of the task
	applies              func(*TaskView) bool
}{
	{"failed", Critical, Critical, Notice, func(v *TaskView) bool { return v.Status == "FAILED" }},
	{"logs_almost_lost", Critical, Critical, Critical, func(v *TaskView) bool {
		return v.logsLeft() < 0.2
	}},
	{"very_late", Critical, Critical, Critical, func(v *TaskView) bool {
		return v.beyond(v.CriticalDelay)
	}},
	{"step_failed", Critical, Warning, Notice, func(v *TaskView) bool {
		failed := func(s StepView) bool { return s.State == StepFailed }
		return v.running() && slices.ContainsFunc(v.Steps, failed)
	}},
	{"component_dead", Warning, Warning, Notice, func(v *TaskView) bool {
		return v.dead && (v.running() || v.Status == "FAILED")
	}},
	{"late", Warning, Warning, Warning, func(v *TaskView) bool {
		return v.beyond(v.WarningDelay) && !v.beyond(v.CriticalDelay)
	}},
	{"sample_stale", Warning, Warning, Notice, func(v *TaskView) bool {
		return v.live(func(f *FlowView) bool { return valueOf(f.SampleAge) > 300 })
	}},
	{"delay_unknown", Warning, Notice, Notice, (*TaskView).unmeasured},
	{"logs_running_out", Warning, Warning, Warning, func(v *TaskView) bool {
		return v.logsLeft() >= 0.2 && v.logsLeft() < 0.5
	}},
	{"records_differ", Warning, Warning, Warning, func(v *TaskView) bool {
		return valueOf(v.DifferentRecords) > 0
	}},
	{"clocks_disagree", Notice, Notice, Notice, func(v *TaskView) bool { // more than usual
		return v.live(func(f *FlowView) bool { return f.Delay != nil && *f.Delay < -5 })
	}},
	{"alarming", Notice, Notice, Notice, func(v *TaskView) bool {
		return v.Alarming != nil && *v.Alarming
	}},
	{"suspended", Notice, Notice, Notice, func(v *TaskView) bool { return v.Status == "SUSPEND" }},
}

// Views returns the tasks of a complete listing, the worst first: by severity, then by the
// worst concern, then by importance, then by how much of its critical delay a task has used.
func (s *Snapshot) Views() []*TaskView {
	views := make([]*TaskView, len(s.tasks))
	skew, _ := s.report.ClockSkew().Get()
	at := s.lastSuccess.Add(skew).Truncate(time.Second) // as OMS's times are
	for i, t := range s.tasks {
		views[i] = viewOf(t, at, s.without)
	}
	slices.SortStableFunc(views, CompareTasks)
	return views
}

// Time returns when a complete listing ended, which is the time that it tells about.
func (s *Snapshot) Time() time.Time { return s.lastSuccess }

// Statuses returns how many tasks OMS lists, by status. It counts excluded ones too.
func (s *Snapshot) Statuses() map[string]int {
	counts := map[string]int{}
	for key, n := range s.fleet.tasks {
		counts[key.status] += n
	}
	return counts
}

// CompareTasks orders tasks, the worst first.
func CompareTasks(a, b *TaskView) int {
	return cmp.Or(
		compareSeverities(a.Severity, b.Severity), cmp.Compare(a.rank, b.rank),
		cmp.Compare(a.ImportanceRank(), b.ImportanceRank()),
		cmp.Compare(b.used, a.used),
		strings.Compare(a.Name, b.Name), strings.Compare(a.ID, b.ID),
	)
}

// ImportanceRank is smaller for tasks that are more important, and largest for those of which
// that is not known.
func (v *TaskView) ImportanceRank() int {
	if i := slices.Index(knownImportances, v.Importance); i >= 0 {
		return i
	}
	return len(knownImportances)
}

// Flow returns the direction that is further behind, of those that a step follows if there
// are any. It is empty if there is none.
func (v *TaskView) Flow() *FlowView {
	worst := &FlowView{}
	for i := range v.Flows {
		f := &v.Flows[i]
		if i == 0 || f.Live && !worst.Live ||
			f.Live == worst.Live && valueOf(f.Effective) > valueOf(worst.Effective) {
			worst = f
		}
	}
	return worst
}

// Live is Flow, but empty if no step follows that direction.
func (v *TaskView) Live() *FlowView {
	if f := v.Flow(); f.Live {
		return f
	}
	return &FlowView{}
}

// Step returns the step that tells most about what a task does now: one that has failed, that
// waits for somebody, that is at work, that is paused, or the last that follows. It is empty if
// there is none.
func (v *TaskView) Step() *StepView {
	for _, state := range []string{StepFailed, StepPerson, StepWorking, StepPaused, StepFollowing} {
		for i := len(v.Steps) - 1; i >= 0; i-- {
			if v.Steps[i].State == state {
				return &v.Steps[i]
			}
		}
	}
	return &StepView{}
}

// usedDelay returns how much of its critical delay a task has used. It is negative if the
// task follows nothing, and small if it is never late.
func (v *TaskView) usedDelay() float64 {
	f := v.Live()
	switch {
	case f.Effective == nil:
		return -1
	case v.CriticalDelay == nil:
		return *f.Effective / 1e9
	}
	return *f.Effective / *v.CriticalDelay
}

func valueOf(v *float64) float64 {
	if v == nil {
		return math.Inf(-1)
	}
	return *v
}

// viewOf returns a task as people see it at a time of OMS's clock. Like the metrics it leaves
// out the groups that are switched off.
func viewOf(t *task, at time.Time, without func(group string) bool) *TaskView {
	v := &TaskView{
		ID: t.ID, Name: t.Name,
		Tags: []string{}, Concerns: []string{}, Errors: []string{}, Steps: []StepView{},
	}
	if !without(taskGroup) {
		v.describe(t)
	}
	if !without(detailGroup) {
		v.Created, v.Started, v.Finished = t.GmtCreate, t.GmtStart, t.GmtFinish
	}
	if !without(tagGroup) {
		tagRows(t, func(l omsclient.Label) { v.Tags = append(v.Tags, cmp.Or(l.Name, l.ID)) })
	}
	if !without(syncGroup) {
		v.Flows = []FlowView{}
		flowRows(t, func(f flow) {
			if f.measured() || !f.sample.IsZero() {
				v.Flows = append(v.Flows, flowViewOf(t, &f, at))
			}
		})
	}
	if !without(stepGroup) {
		steps := slices.SortedStableFunc(slices.Values(t.steps), func(a, b *omsclient.Step) int {
			return cmp.Compare(a.Order.Value, b.Order.Value)
		})
		for _, s := range steps {
			v.Steps = append(v.Steps, stepViewOf(s, !without(throughputGroup)))
		}
	}
	if !without(alarmGroup) {
		v.RecentAlarms = optional(t.AlarmStats.RecentlyTriggerCount.Get())
		ruleRows(t, func(r omsclient.RuleCount) {
			v.AlarmRules = append(v.AlarmRules, RuleAlarm{r.Rule, r.Count})
		})
		if alarming := t.AlarmStats.Alarming; alarming.Known {
			v.Alarming = &alarming.Value
		}
	}
	if t.verified != nil {
		v.DifferentRecords = optional(t.verified.value.DifferentNumber.Get())
	}
	componentRows(t, func(g componentGroup) { v.dead = v.dead || worse(g.status, "SUSPEND") })
	v.assess()
	return v
}

// describe takes in what a task is, and what its delay is compared with.
func (v *TaskView) describe(t *task) {
	v.Type, v.Status, v.Importance, v.Owner = t.Type, t.Status, t.Importance, t.Owner
	v.SourceType, v.SinkType = t.SourceEndpointType, t.SinkEndpointType
	v.Errors = codesOf(&t.ExtraInfo.Failure)
	v.LogRetention = optional(multiplied(t.ExtraInfo.SourceStoreKeptHour, 3600))
	v.Failed = t.ExtraInfo.FailedTime
	threshold := thresholdFor(t)
	v.WarningDelay = optional(threshold.Warning.Seconds(), threshold.Warning > 0)
	v.CriticalDelay = optional(threshold.Critical.Seconds(), threshold.Critical > 0)
}

// defaultThresholds are those of the shipped alert rules, which tasks have whose
// configuration says nothing else. Other importances count as MEDIUM, but IGNORE has none.
var defaultThresholds = map[string]Threshold{
	"HIGH":   {time.Minute, 5 * time.Minute},
	"MEDIUM": {5 * time.Minute, 15 * time.Minute},
	"LOW":    {15 * time.Minute, time.Hour},
	"IGNORE": {},
}

// thresholdFor returns the delays from which a task is late.
func thresholdFor(t *task) Threshold {
	otherwise, known := defaultThresholds[t.Importance]
	if !known {
		otherwise = defaultThresholds["MEDIUM"]
	}
	return Threshold{
		cmp.Or(t.threshold.Warning, otherwise.Warning),
		cmp.Or(t.threshold.Critical, otherwise.Critical),
	}
}

func flowViewOf(t *task, f *flow, at time.Time) FlowView {
	v := FlowView{
		Direction: f.direction, Delay: optional(f.behind()), Checkpoint: f.checkpoint, Sample: f.sample,
		CheckpointAge: ageOf(f.checkpoint, at), SampleAge: ageOf(f.sample, at),
	}
	liveFlows(t, func(live flow) { v.Live = v.Live || t.running() && live.direction == f.direction })
	if v.Delay != nil {
		v.Effective = new(f.effectiveDelay(at).Seconds())
	}
	return v
}

func ageOf(t, at time.Time) *float64 { return optional(at.Sub(t).Seconds(), !t.IsZero()) }

func stepViewOf(s *omsclient.Step, throughput bool) StepView {
	i := &s.StepInfo
	v := StepView{
		Name: s.Name, Status: s.Status, State: stateOf(s), Progress: optional(divided(s.Progress, 100)),
		Errors:  codesOf(&s.ExtraInfo),
		Started: s.StartTime, Finished: s.FinishTime, Failed: s.ExtraInfo.FailedTime,
		Processed: optional(i.ProcessedRecords.Get()), Estimated: optional(i.Capacity.Get()),
	}
	if throughput {
		v.SourceRecords, v.SinkRecords = optional(i.SrcRps.Get()), optional(i.DstRps.Get())
		v.SourceBytes, v.SinkBytes = optional(i.SrcIops.Get()), optional(i.DstIops.Get())
		v.SourceLatency = optional(divided(i.SrcRt, 1000))
		v.SinkLatency = optional(divided(i.DstRt, 1000))
	}
	return v
}

var switchoverSteps = omsclient.SwitchoverSteps()

// stepStates are the states of steps by their status. One with another status waits.
var stepStates = map[string]string{
	"FINISHED": StepDone, "FAILED": StepFailed, "SUSPEND": StepPaused, "MONITORING": StepFollowing,
	"RUNNING": StepWorking,
}

// stateOf returns what a step does. A full verification that is done may stay RUNNING at 100,
// and a switchover is RUNNING while it waits for somebody.
func stateOf(s *omsclient.Step) string {
	state := cmp.Or(stepStates[s.Status], StepWaiting)
	switch {
	case state == StepWorking && slices.Contains(switchoverSteps, s.Name):
		return StepPerson
	case state == StepWorking && slices.Contains(verifySteps, s.Name) && s.Progress.Value >= 100:
		return StepDone
	}
	return state
}

func codesOf(f *omsclient.Failure) []string {
	codes := []string{}
	errorCodes(f, func(e errorCode) { codes = append(codes, e.code) })
	return codes
}

func optional(value float64, known bool) *float64 {
	if !known {
		return nil
	}
	return &value
}

// assess finds what concerns there are about a task.
func (v *TaskView) assess() {
	v.Severity, v.rank, v.used = Fine, len(concerns), v.usedDelay()
	severity := map[string]string{}
	for i, c := range concerns {
		if !c.applies(v) {
			continue
		}
		severity[c.name] = cmp.Or(
			map[string]string{"HIGH": c.high, "IGNORE": c.ignored}[v.Importance], c.other)
		v.Concerns = append(v.Concerns, c.name)
		if compareSeverities(severity[c.name], v.Severity) < 0 {
			v.Severity, v.rank = severity[c.name], i
		}
	}
	slices.SortStableFunc(v.Concerns, func(a, b string) int {
		return compareSeverities(severity[a], severity[b])
	})
}

func compareSeverities(a, b string) int {
	return cmp.Compare(slices.Index(Severities(), a), slices.Index(Severities(), b))
}

func (v *TaskView) running() bool { return strings.HasPrefix(v.Status, "RUNNING") }

// live reports whether something is true of a direction that a step follows.
func (v *TaskView) live(is func(*FlowView) bool) bool {
	return slices.ContainsFunc(v.Flows, func(f FlowView) bool { return f.Live && is(&f) })
}

// beyond reports whether a task is further behind than a threshold. Half a minute is noise,
// whatever the threshold is.
func (v *TaskView) beyond(threshold *float64) bool {
	const noise = 30
	return threshold != nil && v.live(func(f *FlowView) bool {
		return valueOf(f.Effective) > max(*threshold, noise)
	})
}

// unmeasured reports whether a step follows changes, and OMS says nothing about the delay.
func (v *TaskView) unmeasured() bool {
	follows := func(names []string) bool {
		return slices.ContainsFunc(v.Steps, func(s StepView) bool {
			return slices.Contains(names, s.Name) && s.State == StepFollowing
		})
	}
	measured := func(direction string) bool {
		return v.live(func(f *FlowView) bool { return f.Direction == direction })
	}
	return v.running() && v.Flows != nil &&
		(follows(forwardSteps) && !measured(forward) || follows(reverseSteps) && !measured(reverse))
}

// logsLeft returns which share is left of the time for which OMS keeps the logs that a task
// resumes from. Without them the task is lost. It is 1 if that is not known.
func (v *TaskView) logsLeft() float64 {
	age := v.Flow().CheckpointAge
	resumes := v.running() || v.Status == "SUSPEND" || v.Status == "FAILED"
	if age == nil || valueOf(v.LogRetention) <= 0 || !resumes {
		return 1
	}
	return 1 - *age / *v.LogRetention
}
