package collector

import (
	"iter"
	"slices"
	"time"

	"oms_exporter/omsclient"
)

// This file is the catalogue of metrics. To add one, add an entry to a table
// here; go generate brings the README and the golden files in step.

// The groups of tables that can be switched off. Tables of no group are always
// there.
const (
	always     = ""
	Task       = "task"
	Sync       = "sync"
	Step       = "step"
	Throughput = "throughput"
	Alarm      = "alarm"
	Tag        = "tag"
)

// Groups are all groups that can be switched off, with what is in them.
var Groups = []struct{ Name, Help string }{
	{Task, "status, times, phases and errors of each task"},
	{Sync, "synchronization delay and checkpoints of each task"},
	{Step, "status, progress and record counts of each step"},
	{Throughput, "records, bytes and latency at both ends of each step"},
	{Alarm, "alarms that OMS itself has raised about each task"},
	{Tag, "tags of each task"},
}

// A listed task is a project and, as text, its identity.
type listed struct {
	omsclient.Project
	text string
}

// Rows.
type (
	task  = *listed
	phase struct {
		task    task
		name    string
		enabled omsclient.Optional[bool]
	}
	status struct {
		task  task
		name  string
		value float64
	}
	tag struct {
		task task
		omsclient.Label
	}
	threshold struct {
		task  task
		level string
		delay time.Duration
	}
	flow struct {
		task       task
		direction  string
		delay      omsclient.Optional[float64] // seconds
		checkpoint time.Time
		sample     time.Time
	}
	step struct {
		task task
		*omsclient.Step
	}
	rule struct {
		task task
		omsclient.RuleCount
	}
	fleet struct {
		taskType, status string
		tasks            float64
	}
	omitted struct {
		reason string
		tasks  int
	}
)

// catalogue lists the tables in the order in which they are documented.
var catalogue = []family[*Snapshot]{
	scrapes, failures, omissions, fleets,
	infos, statuses, tasks, phases, taskErrors, runningSteps, thresholds, tags,
	flows,
	stepStatuses, steps, stepErrors,
	throughputs,
	alarms, ruleAlarms, alarmTotals,
}

var (
	scrapes = newTable(always, one, nobody[*Snapshot](), nil,
		gauge("oms_up",
			"Whether the last listing of ListProjects was read whole, through every page: 1 or 0.",
			func(s *Snapshot) (float64, bool) { return number(s.err == nil), true }),
		gauge("oms_scrape_duration_seconds",
			"How long the listing took, in seconds.",
			func(s *Snapshot) (float64, bool) { return s.duration.Seconds(), true }),
		gauge("oms_scrape_pages",
			"How many pages of ListProjects were read.",
			func(s *Snapshot) (float64, bool) { return float64(s.report.Pages), !s.gaveUp }),
		gauge("oms_last_successful_scrape_timestamp_seconds",
			"When a listing was last read whole, as a Unix time in seconds.",
			func(s *Snapshot) (float64, bool) { return unix(s.lastSuccess) }),
		gauge("oms_clock_skew_seconds",
			"HTTP Date of OMS's answer minus the exporter's clock, in whole seconds.",
			func(s *Snapshot) (float64, bool) { return s.clockSkew() }),
		gauge("oms_api_reported_tasks",
			"totalCount of the last page. Documents disagree whether it counts tasks or pages.",
			func(s *Snapshot) (float64, bool) { return s.report.Total.Get() }),
	)
	failures = newTable(always, reasons, nobody[omsclient.Reason](),
		[]label[omsclient.Reason]{{"reason", func(r omsclient.Reason) string { return string(r) }}},
		gauge("oms_scrape_error_info",
			"Why the listing failed: always 1, and only there if oms_up is 0.",
			func(omsclient.Reason) (float64, bool) { return 1, true }),
	)
	omissions = newTable(always, omittedTasks, nobody[omitted](),
		[]label[omitted]{{"reason", func(o omitted) string { return o.reason }}},
		gauge("oms_scrape_tasks_omitted",
			"Elements of data without series: listed twice, excluded, over the limit, or without an id.",
			func(o omitted) (float64, bool) { return float64(o.tasks), true }),
	)
	fleets = newTable(always, fleetOf, nobody[fleet](),
		[]label[fleet]{
			{"task_type", func(f fleet) string { return f.taskType }},
			{"status", func(f fleet) string { return f.status }},
		},
		gauge("oms_tasks",
			"How many tasks OMS lists, by type and status, those excluded here among them.",
			func(f fleet) (float64, bool) { return f.tasks, true }),
	)

	infos = newTable(Task, allTasks, about(self),
		[]label[task]{
			{"task_type", func(t task) string { return t.Type }},
			{"importance", func(t task) string { return t.Importance }},
			{"task_owner", func(t task) string { return t.Owner }},
			{"source_type", func(t task) string { return t.SourceEndpointType }},
			{"sink_type", func(t task) string { return t.SinkEndpointType }},
			{"source_name", func(t task) string { return t.SourceConnectInfo.EndpointName }},
			{"sink_name", func(t task) string { return t.SinkConnectInfo.EndpointName }},
			{"source_region", func(t task) string { return t.SourceConnectInfo.Region }},
			{"sink_region", func(t task) string { return t.SinkConnectInfo.Region }},
			{"subtask", func(t task) string { return truth(t.IsSubProject) }},
		},
		gauge("oms_task_info",
			"Always 1. Labels: type, importance, owner, sourceEndpointType, sinkEndpointType, "+
				"endpointName and region of both ends, isSubProject.",
			func(task) (float64, bool) { return 1, true }),
	)
	statuses = newTable(Task, perTask(statusesOf),
		about(func(s status) task { return s.task }),
		[]label[status]{{"status", func(s status) string { return s.name }}},
		gauge("oms_task_status",
			"status: 1 for the status that the task has, 0 for every other documented one.",
			func(s status) (float64, bool) { return s.value, true }),
	)
	tasks = newTable(Task, allTasks, about(self), nil,
		gauge("oms_task_created_timestamp_seconds",
			"gmtCreate as a Unix time in seconds.",
			func(t task) (float64, bool) { return unix(t.GmtCreate) }),
		gauge("oms_task_modified_timestamp_seconds",
			"gmtModified as a Unix time in seconds. OMS moves it at runtime too.",
			func(t task) (float64, bool) { return unix(t.GmtModified) }),
		gauge("oms_task_started_timestamp_seconds",
			"gmtStart as a Unix time in seconds.",
			func(t task) (float64, bool) { return unix(t.GmtStart) }),
		gauge("oms_task_finished_timestamp_seconds",
			"gmtFinish as a Unix time in seconds.",
			func(t task) (float64, bool) { return unix(t.GmtFinish) }),
		gauge("oms_task_merging",
			"isMerging: whether newly added objects are being merged back into the task, 1 or 0.",
			func(t task) (float64, bool) { return optional(t.IsMerging) }),
		gauge("oms_task_modifying",
			"isModifying: whether the objects of the task are being changed, 1 or 0.",
			func(t task) (float64, bool) { return optional(t.IsModifying) }),
		gauge("oms_task_failed_timestamp_seconds",
			"extraInfo.failedTime as a Unix time in seconds.",
			func(t task) (float64, bool) { return unix(t.ExtraInfo.FailedTime) }),
		gauge("oms_task_log_retention_seconds",
			"extraInfo.sourceStoreKeptHour in seconds: how long logs are kept to resume from.",
			func(t task) (float64, bool) { return times(t.ExtraInfo.SourceStoreKeptHour, 3600) }),
	)
	phases = newTable(Task, perTask(phasesOf),
		about(func(p phase) task { return p.task }),
		[]label[phase]{{"phase", func(p phase) string { return p.name }}},
		gauge("oms_task_phase_enabled",
			"enableStructTransfer and its like: whether the task is configured to have the phase, 1 or 0.",
			func(p phase) (float64, bool) { return optional(p.enabled) }),
	)
	taskErrors = newTable(Task, allTasks, about(self),
		[]label[task]{{"error_code", func(t task) string { return t.ExtraInfo.ErrorCode }}},
		gauge("oms_task_error_info",
			"extraInfo.errorCode: always 1, and only there if the task has one.",
			func(t task) (float64, bool) { return 1, t.ExtraInfo.ErrorCode != "" }),
	)
	runningSteps = newTable(Task, allTasks, about(self),
		[]label[task]{{"step", func(t task) string { return t.ExtraInfo.RunningStep }}},
		gauge("oms_task_running_progress_ratio",
			"extraInfo.runningProgress of extraInfo.runningStep, from 0 to 1. Most versions leave it out.",
			func(t task) (float64, bool) {
				ratio, ok := per(t.ExtraInfo.RunningProgress, 100)
				return ratio, ok && t.ExtraInfo.RunningStep != ""
			}),
	)
	thresholds = newTable(Task, thresholdsIn,
		about(func(t threshold) task { return t.task }),
		[]label[threshold]{{"level", func(t threshold) string { return t.level }}},
		gauge("oms_task_delay_threshold_seconds",
			"From which delay on the task is late, in seconds: from the configuration, not from OMS.",
			func(t threshold) (float64, bool) { return t.delay.Seconds(), true }),
	)
	tags = newTable(Tag, perTask(tagsOf),
		about(func(t tag) task { return t.task }),
		[]label[tag]{
			{"tag_id", func(t tag) string { return t.ID }},
			{"tag", func(t tag) string { return t.Name }},
		},
		gauge("oms_task_tag_info",
			"labels[]: always 1, for each tag of the task.",
			func(tag) (float64, bool) { return 1, true }),
	)

	flows = newTable(Sync, perTask(flowsOf),
		about(func(f flow) task { return f.task }),
		[]label[flow]{{"direction", func(f flow) string { return f.direction }}},
		gauge("oms_task_sync_delay_seconds",
			"extraInfo.syncDelay, or else checkpointSampleTimestamp - incrTimestampCheckpoint of the "+
				"incremental step, in seconds. Under 30 it is the noise of OMS's own sampling; it "+
				"freezes when sampling stops, and is negative when clocks differ.",
			func(f flow) (float64, bool) { return f.delay.Get() }),
		gauge("oms_task_checkpoint_timestamp_seconds",
			"extraInfo.incrSyncTimestamp, or else incrTimestampCheckpoint of the incremental step: up to "+
				"when the source's changes are applied, as a Unix time in seconds.",
			func(f flow) (float64, bool) { return unix(f.checkpoint) }),
		gauge("oms_task_checkpoint_sample_timestamp_seconds",
			"extraInfo.syncDelaySampleTimestamp, or else checkpointSampleTimestamp of the incremental "+
				"step: when OMS took the delay and the checkpoint, as a Unix time in seconds.",
			func(f flow) (float64, bool) { return unix(f.sample) }),
	)

	stepStatuses = newTable(Step, perTask(stepsOf), about(taskOfStep),
		[]label[step]{stepName, {"status", func(s step) string { return s.Status }}},
		gauge("oms_task_step_status",
			"steps[].status: always 1, for the status that the step has.",
			func(s step) (float64, bool) { return 1, s.Status != "" }),
	)
	steps = newTable(Step, perTask(stepsOf), about(taskOfStep), []label[step]{stepName},
		gauge("oms_task_step_order",
			"steps[].order: where the console shows the step. It has gaps.",
			func(s step) (float64, bool) { return s.Order.Get() }),
		gauge("oms_task_step_progress_ratio",
			"steps[].progress, from 0 to 1. It is 1 for as long as an incremental step is MONITORING, "+
				"however far behind.",
			func(s step) (float64, bool) { return per(s.Progress, 100) }),
		gauge("oms_task_step_start_timestamp_seconds",
			"steps[].startTime as a Unix time in seconds.",
			func(s step) (float64, bool) { return unix(s.StartTime) }),
		gauge("oms_task_step_finish_timestamp_seconds",
			"steps[].finishTime as a Unix time in seconds.",
			func(s step) (float64, bool) { return unix(s.FinishTime) }),
		gauge("oms_task_step_failed_timestamp_seconds",
			"steps[].extraInfo.failedTime as a Unix time in seconds.",
			func(s step) (float64, bool) { return unix(s.ExtraInfo.FailedTime) }),
		gauge("oms_task_step_processed_records",
			"steps[].stepInfo.processedRecords: records done. It starts again when the step does.",
			func(s step) (float64, bool) { return s.StepInfo.ProcessedRecords.Get() }),
		gauge("oms_task_step_estimated_records",
			"steps[].stepInfo.capacity: records there are, by OMS's estimate.",
			func(s step) (float64, bool) { return s.StepInfo.Capacity.Get() }),
		gauge("oms_task_step_inconsistent_records",
			"steps[].stepInfo.inconsistencies: records that verification found to differ.",
			func(s step) (float64, bool) { return s.StepInfo.Inconsistencies.Get() }),
	)
	stepErrors = newTable(Step, perTask(stepsOf), about(taskOfStep),
		[]label[step]{stepName, {"error_code", func(s step) string { return s.ExtraInfo.ErrorCode }}},
		gauge("oms_task_step_error_info",
			"steps[].extraInfo.errorCode: always 1, and only there if the step has one.",
			func(s step) (float64, bool) { return 1, s.ExtraInfo.ErrorCode != "" }),
	)
	throughputs = newTable(Throughput, perTask(stepsOf), about(taskOfStep), []label[step]{stepName},
		gauge("oms_task_step_source_records_per_second",
			"steps[].stepInfo.srcRps: records read at the source, per second.",
			func(s step) (float64, bool) { return s.StepInfo.SrcRps.Get() }),
		gauge("oms_task_step_sink_records_per_second",
			"steps[].stepInfo.dstRps: records written at the sink, per second.",
			func(s step) (float64, bool) { return s.StepInfo.DstRps.Get() }),
		gauge("oms_task_step_source_bytes_per_second",
			"steps[].stepInfo.srcIops: bytes read at the source, per second.",
			func(s step) (float64, bool) { return s.StepInfo.SrcIops.Get() }),
		gauge("oms_task_step_sink_bytes_per_second",
			"steps[].stepInfo.dstIops: bytes written at the sink, per second.",
			func(s step) (float64, bool) { return s.StepInfo.DstIops.Get() }),
		gauge("oms_task_step_source_latency_seconds",
			"steps[].stepInfo.srcRt: time to read a record at the source, in seconds.",
			func(s step) (float64, bool) { return per(s.StepInfo.SrcRt, 1000) }),
		gauge("oms_task_step_sink_latency_seconds",
			"steps[].stepInfo.dstRt: time to write a record at the sink, in seconds.",
			func(s step) (float64, bool) { return per(s.StepInfo.DstRt, 1000) }),
	)

	alarms = newTable(Alarm, allTasks, about(self), nil,
		gauge("oms_task_alarming",
			"alarmStats.alarming: whether OMS itself has an alarm about the task, 1 or 0.",
			func(t task) (float64, bool) { return optional(t.AlarmStats.Alarming) }),
		gauge("oms_task_recent_alarms",
			"alarmStats.recentlyTriggerCount: alarms of the task in a window of OMS's own. It falls too.",
			func(t task) (float64, bool) { return t.AlarmStats.RecentlyTriggerCount.Get() }),
	)
	ruleAlarms = newTable(Alarm, perTask(rulesOf), about(taskOfRule), []label[rule]{ruleName},
		gauge("oms_task_rule_recent_alarms",
			"alarmStats.ruleToRecentlyTriggerCount: alarms of the task by rule, in a window of OMS's own. "+
				"It falls too.",
			func(r rule) (float64, bool) { return r.Count, true }),
	)
	alarmTotals = newTable(Alarm, allAlarmTotals, about(taskOfRule), []label[rule]{ruleName},
		counter("oms_task_alarms_total",
			"Alarms that this exporter saw the counts of alarmStats rise by. A lower bound: what comes and "+
				"goes between two scrapes is missed. rule is empty where OMS gives no split.",
			func(r rule) (float64, bool) { return r.Count, true }),
	)
)

// identity are the labels that every series of a task has.
var identity = []label[task]{
	{"task_id", func(t task) string { return t.ID }},
	{"task_name", func(t task) string { return t.Name }},
}

// about says that rows are about tasks. Tasks are ordered by their ids.
func about[T any](of func(T) task) subject[T] {
	s := subject[T]{text: func(row T) string { return of(row).text }}
	for _, l := range identity {
		s.labels = append(s.labels, label[T]{l.name, func(row T) string { return l.value(of(row)) }})
	}
	return s
}

var (
	stepName = label[step]{"step", func(s step) string { return s.Name }}
	ruleName = label[rule]{"rule", func(r rule) string { return r.Rule }}
)

func taskOfStep(s step) task { return s.task }

func taskOfRule(r rule) task { return r.task }

func self(t task) task { return t }

func one(s *Snapshot) iter.Seq[*Snapshot] { return slices.Values([]*Snapshot{s}) }

func allTasks(s *Snapshot) iter.Seq[task] { return slices.Values(s.tasks) }

func allAlarmTotals(s *Snapshot) iter.Seq[rule] { return slices.Values(s.alarmTotals) }

// perTask turns the rows of a task into the rows of all tasks. The rows of a task
// end, and say so, when yield does not want more.
func perTask[T any](rows func(t task, yield func(T) bool) bool) func(*Snapshot) iter.Seq[T] {
	return func(s *Snapshot) iter.Seq[T] {
		return func(yield func(T) bool) {
			for _, t := range s.tasks {
				if !rows(t, yield) {
					return
				}
			}
		}
	}
}

func reasons(s *Snapshot) iter.Seq[omsclient.Reason] {
	return func(yield func(omsclient.Reason) bool) {
		if s.err != nil {
			yield(omsclient.ReasonOf(s.err))
		}
	}
}

func omittedTasks(s *Snapshot) iter.Seq[omitted] {
	if s.err != nil {
		return slices.Values[[]omitted](nil)
	}
	return slices.Values([]omitted{
		{"duplicate", s.report.Duplicates},
		{"excluded", s.excluded},
		{"limit", s.overLimit},
		{"invalid", s.report.Invalid},
	})
}

// fleetOf yields all documented pairs of type and status, and those seen.
func fleetOf(s *Snapshot) iter.Seq[fleet] {
	return func(yield func(fleet) bool) {
		if s.err != nil {
			return
		}
		for _, taskType := range withSeen(knownTypes, s.fleet, 0) {
			for _, name := range withSeen(knownStatuses, s.fleet, 1) {
				count, seen := s.fleet[[2]string{taskType, name}]
				documented := slices.Contains(knownTypes, taskType) &&
					slices.Contains(knownStatuses, name)
				if (documented || seen) && !yield(fleet{taskType, name, count}) {
					return
				}
			}
		}
	}
}

func statusesOf(t task, yield func(status) bool) bool {
	if t.Status == "" {
		return true
	}
	documented := false
	for _, name := range knownStatuses {
		documented = documented || name == t.Status
		if !yield(status{t, name, number(name == t.Status)}) {
			return false
		}
	}
	return documented || yield(status{t, t.Status, 1})
}

func phasesOf(t task, yield func(phase) bool) bool {
	for _, p := range [...]phase{
		{t, "struct_transfer", t.EnableStructTransfer},
		{t, "full_transfer", t.EnableFullTransfer},
		{t, "full_verify", t.EnableFullVerify},
		{t, "incr_transfer", t.EnableIncrTransfer},
		{t, "incr_verify", t.EnableIncrVerify},
		{t, "reverse_incr_transfer", t.EnableReverseIncrTransfer},
	} {
		if !yield(p) {
			return false
		}
	}
	return true
}

func tagsOf(t task, yield func(tag) bool) bool {
	for i, l := range t.Labels {
		empty := l == omsclient.Label{}
		repeated := slices.Contains(t.Labels[:i], l)
		if !empty && !repeated && !yield(tag{t, l}) {
			return false
		}
	}
	return true
}

// The values that OMS's documents name.
var (
	knownTypes        = omsclient.Types()
	knownStatuses     = omsclient.Statuses()
	knownImportances  = omsclient.Importances()
	knownStepNames    = omsclient.StepNames()
	knownStepStatuses = omsclient.StepStatuses()

	forwardSteps = omsclient.ForwardSteps()
	reverseSteps = omsclient.ReverseSteps()
)

// flowsOf yields what is known about how far a task's sink is behind its source
// and, after a switchover, the other way round. extraInfo is about the first.
func flowsOf(t task, yield func(flow) bool) bool {
	forward := flowOf(t, "forward", forwardSteps)
	if t.ExtraInfo.SyncDelay.Known {
		forward.delay = t.ExtraInfo.SyncDelay
	}
	if !t.ExtraInfo.IncrSyncTimestamp.IsZero() {
		forward.checkpoint = t.ExtraInfo.IncrSyncTimestamp
	}
	if !t.ExtraInfo.SyncDelaySampleTimestamp.IsZero() {
		forward.sample = t.ExtraInfo.SyncDelaySampleTimestamp
	}
	return yield(forward) && yield(flowOf(t, "reverse", reverseSteps))
}

// flowOf reads a flow from the last of the named steps that has a checkpoint.
func flowOf(t task, direction string, names []string) flow {
	f := flow{task: t, direction: direction}
	stepsOf(t, func(s step) bool {
		if !slices.Contains(names, s.Name) || s.StepInfo.IncrTimestampCheckpoint.IsZero() {
			return true
		}
		f.checkpoint = s.StepInfo.IncrTimestampCheckpoint
		f.sample = s.StepInfo.CheckpointSampleTimestamp
		f.delay = omsclient.Optional[float64]{}
		if !f.sample.IsZero() {
			f.delay = omsclient.Some(f.sample.Sub(f.checkpoint).Seconds())
		}
		return true
	})
	return f
}

// stepsOf yields the named steps of a task. Of steps with the same name the
// last stands: it is what OMS did last.
func stepsOf(t task, yield func(step) bool) bool {
	for i := range t.Steps {
		s := &t.Steps[i]
		if s.Name != "" && !superseded(t.Steps, i) && !yield(step{t, s}) {
			return false
		}
	}
	return true
}

// superseded reports whether there is a later step with the same name.
func superseded(steps []omsclient.Step, i int) bool {
	for j := i + 1; j < len(steps); j++ {
		if steps[j].Name == steps[i].Name {
			return true
		}
	}
	return false
}

func rulesOf(t task, yield func(rule) bool) bool {
	for _, r := range t.AlarmStats.RuleToRecentlyTriggerCount {
		if !yield(rule{t, r}) {
			return false
		}
	}
	return true
}

// withSeen returns the documented values and, after them, those seen besides at
// a place in the keys of the fleet.
func withSeen(documented []string, fleet map[[2]string]float64, place int) []string {
	all := slices.Clone(documented)
	for key := range fleet {
		if !slices.Contains(all, key[place]) {
			all = append(all, key[place])
		}
	}
	slices.Sort(all[len(documented):])
	return all
}

// number is 1 for true and 0 for false.
func number(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func optional(b omsclient.Optional[bool]) (float64, bool) { return number(b.Value), b.Known }

// times converts a value to a smaller unit.
func times(v omsclient.Optional[float64], factor float64) (float64, bool) {
	return v.Value * factor, v.Known
}

// per converts a value to a larger unit. Dividing keeps 57 percent at 0.57.
func per(v omsclient.Optional[float64], divisor float64) (float64, bool) {
	return v.Value / divisor, v.Known
}

// unix returns a time as a Unix time in seconds; the zero time is unknown.
func unix(t time.Time) (float64, bool) {
	return float64(t.Unix()) + float64(t.Nanosecond())/1e9, !t.IsZero()
}

func truth(b omsclient.Optional[bool]) string {
	switch b {
	case omsclient.Some(true):
		return "true"
	case omsclient.Some(false):
		return "false"
	}
	return ""
}
