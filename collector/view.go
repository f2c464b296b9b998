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
	Severity Severity   `json:"severity"`
	Concerns []Concern  `json:"concerns"` // the worst first
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
	State     StepState `json:"state"`
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

// A StepState is what a step does, which its status alone does not say.
type StepState string

// The states of a step.
const (
	StepWaiting   StepState = "waiting"
	StepWorking   StepState = "working"
	StepFollowing StepState = "following" // changes, without an end
	StepDone      StepState = "done"
	StepPaused    StepState = "paused"
	StepFailed    StepState = "failed"
	StepPerson    StepState = "person" // waits for somebody to switch over
)

// A Severity is how much a task needs a person.
type Severity string

// The severities.
const (
	Critical Severity = "critical"
	Warning  Severity = "warning"
	Notice   Severity = "notice"
	Fine     Severity = "fine"
)

var severities = []Severity{Critical, Warning, Notice, Fine}

// Severities returns all severities, the worst first.
func Severities() []Severity { return slices.Clone(severities) }

// A Concern is a reason to look at a task.
type Concern string

// Concerns returns all concerns, the worst first.
func Concerns() []Concern {
	all := make([]Concern, len(concerns))
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
	name     Concern
	severity func(importance string) Severity
	applies  func(*TaskView) bool
}{
	{"failed", unlessIgnored(Critical), func(v *TaskView) bool { return v.Status == "FAILED" }},
	{"logs_almost_lost", atAll(Critical), func(v *TaskView) bool { return v.logsLeft() < 0.2 }},
	{"very_late", atAll(Critical), func(v *TaskView) bool { return v.beyond(v.CriticalDelay) }},
	{"step_failed", ifHigh(Critical, Warning), func(v *TaskView) bool {
		return v.running() && v.has(StepFailed)
	}},
	{"late", atAll(Warning), func(v *TaskView) bool {
		return v.beyond(v.WarningDelay) && !v.beyond(v.CriticalDelay)
	}},
	{"sample_stale", unlessIgnored(Warning), (*TaskView).stale},
	{"delay_unknown", ifHigh(Warning, Notice), (*TaskView).unmeasured},
	{"logs_running_out", atAll(Warning), func(v *TaskView) bool {
		return v.logsLeft() >= 0.2 && v.logsLeft() < 0.5
	}},
	{"records_differ", atAll(Warning), func(v *TaskView) bool {
		return valueOf(v.DifferentRecords) > 0
	}},
	{"clocks_disagree", atAll(Notice), (*TaskView).negative},
	{"alarming", atAll(Notice), func(v *TaskView) bool { return v.Alarming != nil && *v.Alarming }},
	{"suspended", atAll(Notice), func(v *TaskView) bool { return v.Status == "SUSPEND" }},
}

func atAll(s Severity) func(string) Severity { return func(string) Severity { return s } }

func unlessIgnored(s Severity) func(string) Severity { return ifHigh(s, s) }

// ifHigh returns a severity for tasks of importance HIGH and one for others. OMS is told to
// ignore those of importance IGNORE.
func ifHigh(high, other Severity) func(string) Severity {
	return func(importance string) Severity {
		switch importance {
		case "HIGH":
			return high
		case "IGNORE":
			return Notice
		}
		return other
	}
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
		compareSeverities(a.Severity, b.Severity),
		cmp.Compare(a.firstConcern(), b.firstConcern()),
		cmp.Compare(rankOf(knownImportances, a.Importance), rankOf(knownImportances, b.Importance)),
		cmp.Compare(b.usedDelay(), a.usedDelay()),
		strings.Compare(a.Name, b.Name), strings.Compare(a.ID, b.ID),
	)
}

func (v *TaskView) firstConcern() int {
	if len(v.Concerns) == 0 {
		return len(concerns)
	}
	for i := range concerns {
		if concerns[i].name == v.Concerns[0] {
			return i
		}
	}
	return len(concerns)
}

// rankOf returns the place of a value in a list, or the one after all of them.
func rankOf(known []string, value string) int {
	if i := slices.Index(known, value); i >= 0 {
		return i
	}
	return len(known)
}

// Flow returns the direction that is further behind, of those that a step follows if there
// are any, or nil.
func (v *TaskView) Flow() *FlowView {
	var worst *FlowView
	for i := range v.Flows {
		f := &v.Flows[i]
		if worst == nil || f.Live && !worst.Live ||
			f.Live == worst.Live && valueOf(f.Effective) > valueOf(worst.Effective) {
			worst = f
		}
	}
	return worst
}

// Step returns the step that tells most about what a task does now, or nil: one that has
// failed, that waits for somebody, that is at work, that is paused, or the last that follows.
func (v *TaskView) Step() *StepView {
	for _, state := range []StepState{StepFailed, StepPerson, StepWorking, StepPaused, StepFollowing} {
		for i := len(v.Steps) - 1; i >= 0; i-- {
			if v.Steps[i].State == state {
				return &v.Steps[i]
			}
		}
	}
	return nil
}

// usedDelay returns how much of its critical delay a task has used. It is negative if the
// task follows nothing, and small if it is never late.
func (v *TaskView) usedDelay() float64 {
	f := v.Flow()
	switch {
	case f == nil || !f.Live || f.Effective == nil:
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
		Tags: []string{}, Concerns: []Concern{}, Errors: []string{}, Steps: []StepView{},
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

// stateOf returns what a step does. A full verification that is done may stay RUNNING at 100,
// and a switchover is RUNNING while it waits for somebody.
func stateOf(s *omsclient.Step) StepState {
	switch s.Status {
	case "FINISHED":
		return StepDone
	case "FAILED":
		return StepFailed
	case "SUSPEND":
		return StepPaused
	case "MONITORING":
		return StepFollowing
	case "RUNNING":
		switch {
		case slices.Contains(switchoverSteps, s.Name):
			return StepPerson
		case slices.Contains(verifySteps, s.Name) && s.Progress.Value >= 100:
			return StepDone
		}
		return StepWorking
	}
	return StepWaiting
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
	v.Severity = Fine
	severity := map[Concern]Severity{}
	for _, c := range concerns {
		if c.applies(v) {
			severity[c.name] = c.severity(v.Importance)
			v.Concerns = append(v.Concerns, c.name)
		}
	}
	slices.SortStableFunc(v.Concerns, func(a, b Concern) int {
		return compareSeverities(severity[a], severity[b])
	})
	if len(v.Concerns) > 0 {
		v.Severity = severity[v.Concerns[0]]
	}
}

func compareSeverities(a, b Severity) int {
	return cmp.Compare(slices.Index(severities, a), slices.Index(severities, b))
}

func (v *TaskView) running() bool { return strings.HasPrefix(v.Status, "RUNNING") }

// has reports whether a step is in a state.
func (v *TaskView) has(state StepState) bool {
	return slices.ContainsFunc(v.Steps, func(s StepView) bool { return s.State == state })
}

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

// stale reports whether OMS has not looked at a delay for long.
func (v *TaskView) stale() bool {
	const long = 5 * time.Minute
	return v.live(func(f *FlowView) bool { return valueOf(f.SampleAge) > long.Seconds() })
}

// negative reports whether a delay is less than what clocks usually differ by.
func (v *TaskView) negative() bool {
	const usual = 5
	return v.live(func(f *FlowView) bool { return f.Delay != nil && *f.Delay < -usual })
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
	f := v.Flow()
	resumes := v.running() || v.Status == "SUSPEND" || v.Status == "FAILED"
	known := valueOf(v.LogRetention) > 0 && f != nil && f.CheckpointAge != nil
	if !known || !resumes {
		return 1
	}
	return 1 - *f.CheckpointAge / *v.LogRetention
}
