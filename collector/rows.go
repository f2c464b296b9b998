package collector

import (
	"iter"
	"maps"
	"math"
	"slices"
	"time"

	"oms_exporter/omsclient"
)

// This file says what rows a table can have. For each kind of row there is
//
//   - a type, unless omsclient has one;
//   - a source, named …Rows, that calls add with each row;
//   - a constructor of tables, named of…, with the labels that tell the rows apart.

// perListing makes a table about a listing as a whole.
func perListing[R any](
	rows func(s *Snapshot, add func(R)), labels []label[R], metrics []metric[R],
) table[*Snapshot] {
	return newTable(tableOf[*Snapshot, *Snapshot, R]{
		group: always,
		subjects: subjects[*Snapshot, *Snapshot]{
			of: func(s *Snapshot) []*Snapshot { return []*Snapshot{s} },
		},
		rows: rows, labels: labels, metrics: metrics,
	})
}

// perTask makes a table with rows about tasks. Its labels come in addition to
// task_id and task_name.
func perTask[R any](
	group string, rows func(t *task, add func(R)), labels []label[R], metrics []metric[R],
) table[*Snapshot] {
	return newTable(tableOf[*Snapshot, *task, R]{
		group: group,
		subjects: subjects[*Snapshot, *task]{
			of:     func(s *Snapshot) []*task { return s.tasks },
			labels: identityLabels,
		},
		rows: rows, labels: labels, metrics: metrics,
	})
}

// ofScrape makes a table with one row: the scrape.
func ofScrape(metrics ...metric[*Snapshot]) table[*Snapshot] {
	return perListing(scrapeRows, nil, metrics)
}

func scrapeRows(s *Snapshot, add func(*Snapshot)) { add(s) }

// ofFailures makes a table with a row if the listing failed.
func ofFailures(metrics ...metric[omsclient.Reason]) table[*Snapshot] {
	return perListing(failureRows, []label[omsclient.Reason]{
		{"reason", func(r omsclient.Reason) string { return string(r) }},
	}, metrics)
}

func failureRows(s *Snapshot, add func(omsclient.Reason)) {
	if s.err != nil {
		add(omsclient.ReasonOf(s.err))
	}
}

// An omission is how many tasks have no series for one reason.
type omission struct {
	reason string
	tasks  int
}

// ofOmissions makes a table with a row for each reason to omit a task.
func ofOmissions(metrics ...metric[omission]) table[*Snapshot] {
	return perListing(omissionRows, []label[omission]{
		{"reason", func(o omission) string { return o.reason }},
	}, metrics)
}

func omissionRows(s *Snapshot, add func(omission)) {
	if s.err != nil {
		return
	}
	add(omission{"duplicate", s.report.Duplicates})
	add(omission{"excluded", sum(maps.Values(s.excluded))})
	add(omission{"invalid", s.report.Invalid})
}

func sum(numbers iter.Seq[int]) int {
	total := 0
	for n := range numbers {
		total += n
	}
	return total
}

// A fleetCount is how many tasks of a type have a status.
type fleetCount struct {
	fleetKey
	tasks int
}

// ofFleet makes a table with a row for each documented pair of type and status, and
// for each other pair that is counted.
func ofFleet(metrics ...metric[fleetCount]) table[*Snapshot] {
	return perListing(fleetRows, []label[fleetCount]{
		{"task_type", func(f fleetCount) string { return f.taskType }},
		{"status", func(f fleetCount) string { return f.status }},
	}, metrics)
}

func fleetRows(s *Snapshot, add func(fleetCount)) {
	if s.err != nil {
		return
	}
	for key, n := range s.fleet.tasks {
		add(fleetCount{key, n})
	}
	for _, taskType := range knownTypes {
		for _, status := range knownStatuses {
			key := fleetKey{taskType, status}
			if _, listed := s.fleet.tasks[key]; !listed {
				add(fleetCount{key, 0})
			}
		}
	}
}

// ofTasks makes a table with a row for each task.
func ofTasks(group string, labels []label[*task], metrics ...metric[*task]) table[*Snapshot] {
	return perTask(group, taskRows, labels, metrics)
}

func taskRows(t *task, add func(*task)) { add(t) }

// A statusFlag is whether a task has a status.
type statusFlag struct {
	status string
	has    bool
}

// ofStatuses makes a table with a row for each documented status, and for the status
// of the task if it is another one.
func ofStatuses(group string, metrics ...metric[statusFlag]) table[*Snapshot] {
	return perTask(group, statusRows, []label[statusFlag]{
		{"status", func(s statusFlag) string { return s.status }},
	}, metrics)
}

func statusRows(t *task, add func(statusFlag)) {
	if t.Status == "" {
		return
	}
	for _, status := range knownStatuses {
		add(statusFlag{status, status == t.Status})
	}
	if !slices.Contains(knownStatuses, t.Status) {
		add(statusFlag{t.Status, true})
	}
}

// A phaseFlag is whether a task is configured to have a phase.
type phaseFlag struct {
	phase   string
	enabled omsclient.Optional[bool]
}

// ofPhases makes a table with a row for each phase that a task can have, but for two that
// say no more than its steps do: the copy of the schema, and the verification of changes.
func ofPhases(group string, metrics ...metric[phaseFlag]) table[*Snapshot] {
	return perTask(group, phaseRows, []label[phaseFlag]{
		{"phase", func(p phaseFlag) string { return p.phase }},
	}, metrics)
}

func phaseRows(t *task, add func(phaseFlag)) {
	add(phaseFlag{"full_transfer", t.EnableFullTransfer})
	add(phaseFlag{"full_verify", t.EnableFullVerify})
	add(phaseFlag{"incr_transfer", t.EnableIncrTransfer})
	add(phaseFlag{"reverse_incr_transfer", t.EnableReverseIncrTransfer})
}

// A delayLevel is the delay above which a task is late, at one level.
type delayLevel struct {
	level string
	delay time.Duration
}

// ofThresholds makes a table with a row for each threshold of a task.
func ofThresholds(group string, metrics ...metric[delayLevel]) table[*Snapshot] {
	return perTask(group, thresholdRows, []label[delayLevel]{
		{"level", func(d delayLevel) string { return d.level }},
	}, metrics)
}

func thresholdRows(t *task, add func(delayLevel)) {
	if t.threshold.Warning > 0 {
		add(delayLevel{"warning", t.threshold.Warning})
	}
	if t.threshold.Critical > 0 {
		add(delayLevel{"critical", t.threshold.Critical})
	}
}

// ofTags makes a table with a row for each tag of a task.
func ofTags(group string, metrics ...metric[omsclient.Label]) table[*Snapshot] {
	return perTask(group, tagRows, []label[omsclient.Label]{
		{"tag_id", func(l omsclient.Label) string { return l.ID }},
		{"tag", func(l omsclient.Label) string { return l.Name }},
	}, metrics)
}

func tagRows(t *task, add func(omsclient.Label)) {
	for i, l := range t.Labels {
		empty := l == omsclient.Label{}
		repeated := slices.Contains(t.Labels[:i], l)
		if !empty && !repeated {
			add(l)
		}
	}
}

// A flow is how far a task has replicated in one direction. All of it comes from one
// reading of OMS's: numbers of different moments contradict each other.
type flow struct {
	direction  string
	delay      omsclient.Optional[float64] // seconds, as OMS reports it
	checkpoint time.Time                   // changes are applied up to here
	sample     time.Time                   // when OMS looked at the two above
}

// ofFlows makes a table with a row for each direction: forward and, after a
// switchover, reverse.
func ofFlows(group string, metrics ...metric[flow]) table[*Snapshot] {
	return perTask(group, flowRows, []label[flow]{
		{"direction", func(f flow) string { return f.direction }},
	}, metrics)
}

var (
	forwardSteps = omsclient.ForwardSteps()
	reverseSteps = omsclient.ReverseSteps()
)

// The directions of replication.
const (
	forward = "forward"
	reverse = "reverse"
)

// flowRows adds the latest reading for each direction. Steps have readings of theirs,
// and extraInfo has one of the forward direction.
func flowRows(t *task, add func(flow)) {
	latest := flowOf(t, forward, forwardSteps)
	told := flow{
		forward, t.ExtraInfo.SyncDelay,
		t.ExtraInfo.IncrSyncTimestamp, t.ExtraInfo.SyncDelaySampleTimestamp,
	}
	if told.supersedes(&latest) {
		latest = told
	}
	add(latest)
	add(flowOf(t, reverse, reverseSteps))
}

// flowOf returns the latest reading in the named steps, if any has one.
func flowOf(t *task, direction string, stepNames []string) flow {
	latest := flow{direction: direction}
	for _, s := range t.steps {
		if !slices.Contains(stepNames, s.Name) || s.StepInfo.IncrTimestampCheckpoint.IsZero() {
			continue
		}
		read := flow{
			direction:  direction,
			checkpoint: s.StepInfo.IncrTimestampCheckpoint,
			sample:     s.StepInfo.CheckpointSampleTimestamp,
		}
		if read.supersedes(&latest) {
			latest = read
		}
	}
	return latest
}

// supersedes reports whether a reading is to be used instead of another one: it was
// sampled later, and is not the only one of the two without any measurement. Of two
// that were sampled together, the one that is further behind stands.
func (f *flow) supersedes(other *flow) bool {
	if measured := f.measured(); measured != other.measured() {
		return measured
	}
	if !f.sample.Equal(other.sample) {
		return f.sample.After(other.sample)
	}
	return f.lag() >= other.lag()
}

// lag returns how many seconds a reading is behind at most: by what OMS reports, or by
// its checkpoint.
func (f *flow) lag() float64 {
	lag := math.Inf(-1)
	if f.delay.Known {
		lag = f.delay.Value
	}
	if !f.checkpoint.IsZero() && !f.sample.IsZero() {
		lag = max(lag, f.sample.Sub(f.checkpoint).Seconds())
	}
	return lag
}

func (f *flow) measured() bool { return f.delay.Known || !f.checkpoint.IsZero() }

// behind returns the delay in seconds: what OMS reports, or what the checkpoint of the
// same reading says.
func (f *flow) behind() (float64, bool) {
	if f.delay.Known || f.checkpoint.IsZero() || f.sample.IsZero() {
		return f.delay.Get()
	}
	return f.sample.Sub(f.checkpoint).Seconds(), true
}

// ofSteps makes a table with a row for each step of a task. Its labels come in
// addition to step, its name.
func ofSteps(
	group string, labels []label[*omsclient.Step], metrics ...metric[*omsclient.Step],
) table[*Snapshot] {
	return perTask(group, stepRows, append([]label[*omsclient.Step]{stepName}, labels...), metrics)
}

var stepName = label[*omsclient.Step]{"step", func(s *omsclient.Step) string { return s.Name }}

func stepRows(t *task, add func(*omsclient.Step)) {
	for _, s := range t.steps {
		add(s)
	}
}

// ofOpenSteps is like ofSteps, without the steps that have finished.
func ofOpenSteps(group string, metrics ...metric[*omsclient.Step]) table[*Snapshot] {
	return perTask(group, openStepRows, []label[*omsclient.Step]{stepName}, metrics)
}

func openStepRows(t *task, add func(*omsclient.Step)) {
	for _, s := range t.steps {
		if !finished(s) {
			add(s)
		}
	}
}

// finished reports whether a step has nothing left to do. A verification that is done may
// stay RUNNING at 100 for as long as the task runs.
func finished(s *omsclient.Step) bool {
	return s.Status == "FINISHED" ||
		slices.Contains(verifySteps, s.Name) && s.Status == "RUNNING" && s.Progress.Value >= 100
}

// An errorCode is a code by which OMS explains a failure.
type errorCode struct{ code, level string }

// errorCodes calls add with each code of a failure once: the new ones, and the old one.
func errorCodes(f *omsclient.Failure, add func(errorCode)) {
	var seen []string
	addOnce := func(code, level string) {
		if code != "" && !slices.Contains(seen, code) {
			seen = append(seen, code)
			add(errorCode{code, level})
		}
	}
	for _, d := range f.ErrorDetails {
		addOnce(d.Code, d.Level)
	}
	addOnce(f.ErrorCode, "")
}

// ofTaskErrors makes a table with a row for each code of a task's failure.
func ofTaskErrors(group string, metrics ...metric[errorCode]) table[*Snapshot] {
	return perTask(group, taskErrorRows, []label[errorCode]{
		{"error_code", func(e errorCode) string { return e.code }},
		{"level", func(e errorCode) string { return e.level }},
	}, metrics)
}

func taskErrorRows(t *task, add func(errorCode)) { errorCodes(&t.ExtraInfo.Failure, add) }

// A stepError is a code of a step's failure.
type stepError struct {
	step string
	errorCode
}

// ofStepErrors makes a table with a row for each code of a step's failure.
func ofStepErrors(group string, metrics ...metric[stepError]) table[*Snapshot] {
	return perTask(group, stepErrorRows, []label[stepError]{
		{"step", func(e stepError) string { return e.step }},
		{"error_code", func(e stepError) string { return e.code }},
		{"level", func(e stepError) string { return e.level }},
	}, metrics)
}

func stepErrorRows(t *task, add func(stepError)) {
	for _, s := range t.steps {
		errorCodes(&s.ExtraInfo, func(e errorCode) { add(stepError{s.Name, e}) })
	}
}

// ofVerifications makes a table with a row for each task whose verification OMS has been
// asked about.
func ofVerifications(
	group string, metrics ...metric[*answer[omsclient.VerifyResult]],
) table[*Snapshot] {
	return perTask(group, verificationRows, nil, metrics)
}

func verificationRows(t *task, add func(*answer[omsclient.VerifyResult])) {
	if t.verified != nil {
		add(t.verified)
	}
}

// ofComponents makes a table with a row for each kind and direction of components of a
// task. Its labels are besides component and direction.
func ofComponents(
	group string, labels []label[componentGroup], metrics ...metric[componentGroup],
) table[*Snapshot] {
	return perTask(group, componentRows, append([]label[componentGroup]{
		{"component", func(g componentGroup) string { return string(g.kind) }},
		{"direction", func(g componentGroup) string { return g.direction }},
	}, labels...), metrics)
}

func componentRows(t *task, add func(componentGroup)) {
	if t.components != nil {
		for _, g := range componentGroups(t.components.value) {
			add(g)
		}
	}
}

// ofRules makes a table with a row for each alarm rule for which OMS has counted
// alarms of a task.
func ofRules(group string, metrics ...metric[omsclient.RuleCount]) table[*Snapshot] {
	return perTask(group, ruleRows, ruleLabels(), metrics)
}

func ruleRows(t *task, add func(omsclient.RuleCount)) {
	for _, r := range t.AlarmStats.RuleToRecentlyTriggerCount {
		add(r)
	}
}

// ofAlarmTotals makes a table with a row for each alarm rule for which the exporter
// has added up alarms of a task.
func ofAlarmTotals(group string, metrics ...metric[omsclient.RuleCount]) table[*Snapshot] {
	return perTask(group, alarmTotalRows, ruleLabels(), metrics)
}

func alarmTotalRows(t *task, add func(omsclient.RuleCount)) {
	for _, r := range t.alarmTotals {
		add(r)
	}
}

func ruleLabels() []label[omsclient.RuleCount] {
	return []label[omsclient.RuleCount]{
		{"rule", func(r omsclient.RuleCount) string { return r.Rule }},
	}
}
