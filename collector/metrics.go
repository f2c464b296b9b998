package collector

import (
	"fmt"
	"time"

	"oms_exporter/omsclient"
)

// This file is THE CATALOGUE of OMS's metrics. To add one, add it to the table here
// that has its rows, and run go generate ./...; nothing else lists metrics by hand.

// The groups of metrics that can be switched off.
const (
	taskGroup       = "task"
	syncGroup       = "sync"
	stepGroup       = "step"
	throughputGroup = "throughput"
	alarmGroup      = "alarm"
	tagGroup        = "tag"
	verifyGroup     = "verify"
	componentsGroup = "component"
	detailGroup     = "detail"
)

// A Group is metrics that can be switched off together.
type Group struct {
	Name string // what [Options].Without is called with
	Help string // what is in it, phrased to follow a verb such as "export"

	// OptIn says that the group must be asked for: it needs requests of its own, or is not
	// worth its series to most.
	OptIn bool
}

// Groups returns all groups that can be switched off.
func Groups() []Group {
	return []Group{
		{Name: taskGroup, Help: "status, phases and errors of each task"},
		{Name: syncGroup, Help: "synchronization delay and checkpoints of each task"},
		{Name: stepGroup, Help: "status, progress and record counts of each step"},
		{Name: throughputGroup, Help: "records, bytes and latency at both ends of each step that has " +
			"not finished"},
		{Name: alarmGroup, Help: "alarms that OMS itself has raised about each task"},
		{Name: tagGroup, Help: "tags of each task"},
		{Name: verifyGroup, OptIn: true, Help: "what full verification has found, which takes a " +
			"request for each verification that is done"},
		{Name: componentsGroup, OptIn: true, Help: "status and delay of the components of tasks that " +
			"are late, stand still or have failed, which takes a slow request for each such task, once " +
			"in 5 minutes"},
		{Name: detailGroup, OptIn: true, Help: "what no rule or dashboard that comes with the exporter " +
			"uses: times of each task, progress of its running step, and order of its steps"},
	}
}

// detail moves a metric to the group detail.
func detail[R any](m metric[R]) metric[R] {
	m.group = detailGroup
	return m
}

// catalogue lists the tables in the order in which they are documented.
var catalogue = []table[*Snapshot]{
	scrapes, failures, omissions, fleet,
	infos, statuses, tasks, phases, taskErrors, runningSteps, thresholds, tags,
	flows,
	stepStatuses, steps, stepErrors,
	throughputs,
	verifies, componentStatusTable, componentDelays, componentTimes,
	alarms, ruleAlarms, alarmTotals,
}

var (
	scrapes = ofScrape(
		gauge("oms_up",
			"Whether the last listing read every page of ListProjects: 1 or 0.",
			func(s *Snapshot) (float64, bool) { return oneIf(s.err == nil), true }),
		gauge("oms_scrape_duration_seconds",
			"Time that the listing took, in seconds.",
			func(s *Snapshot) (float64, bool) { return s.duration.Seconds(), true }),
		gauge("oms_scrape_pages",
			"Pages of ListProjects that the listing read.",
			func(s *Snapshot) (float64, bool) { return float64(s.report.Pages), !s.gaveUp }),
		gauge("oms_last_successful_scrape_timestamp_seconds",
			"When a listing last read every page, as a Unix time in seconds.",
			func(s *Snapshot) (float64, bool) { return unix(s.lastSuccess) }),
		gauge("oms_clock_skew_seconds",
			"HTTP Date of OMS's answer minus the exporter's clock, in whole seconds.",
			func(s *Snapshot) (float64, bool) { return s.clockSkew() }),
		gauge("oms_api_reported_tasks",
			"totalCount of the last page. OMS's documents disagree whether it counts tasks or pages.",
			func(s *Snapshot) (float64, bool) { return s.report.Total.Get() }),
	)
	failures = ofFailures(
		gauge("oms_scrape_error_info",
			"Why the listing failed. Always 1; absent while oms_up is 1.",
			func(omsclient.Reason) (float64, bool) { return 1, true }),
	)
	omissions = ofOmissions(
		gauge("oms_scrape_tasks_omitted",
			"Elements of data that have no series, by reason: listed twice, excluded, "+
				"or without a usable id.",
			func(o omission) (float64, bool) { return float64(o.tasks), true }),
	)
	fleet = ofFleet(
		gauge("oms_tasks",
			fmt.Sprintf("Tasks that OMS lists, by type and status. Tasks that the exporter excludes count "+
				"too. Beyond %d undocumented pairs, tasks count as task_type and status other.", MaxOddPairs),
			func(f fleetCount) (float64, bool) { return float64(f.tasks), true }),
	)

	infos = ofTasks(taskGroup,
		[]label[*task]{
			{"task_type", func(t *task) string { return t.Type }},
			{"importance", func(t *task) string { return t.Importance }},
			{"task_owner", func(t *task) string { return t.Owner }},
			{"source_type", func(t *task) string { return t.SourceEndpointType }},
			{"sink_type", func(t *task) string { return t.SinkEndpointType }},
			{"source_name", func(t *task) string { return t.SourceConnectInfo.EndpointName }},
			{"sink_name", func(t *task) string { return t.SinkConnectInfo.EndpointName }},
			{"source_region", func(t *task) string { return t.SourceConnectInfo.Region }},
			{"sink_region", func(t *task) string { return t.SinkConnectInfo.Region }},
			{"subtask", func(t *task) string { return trueFalse(t.IsSubProject) }},
		},
		gauge("oms_task_info",
			"Always 1. Labels: type, importance, owner, sourceEndpointType, sinkEndpointType, "+
				"endpointName and region of both ends, isSubProject.",
			func(*task) (float64, bool) { return 1, true }),
	)
	statuses = ofStatuses(taskGroup,
		gauge("oms_task_status",
			"status: 1 for the status that the task has, 0 for every other documented one.",
			func(s statusFlag) (float64, bool) { return oneIf(s.has), true }),
	)
	tasks = ofTasks(taskGroup, nil,
		detail(gauge("oms_task_created_timestamp_seconds",
			"gmtCreate as a Unix time in seconds.",
			func(t *task) (float64, bool) { return unix(t.GmtCreate) })),
		detail(gauge("oms_task_modified_timestamp_seconds",
			"gmtModified as a Unix time in seconds. OMS also updates it while the task runs.",
			func(t *task) (float64, bool) { return unix(t.GmtModified) })),
		detail(gauge("oms_task_started_timestamp_seconds",
			"gmtStart as a Unix time in seconds.",
			func(t *task) (float64, bool) { return unix(t.GmtStart) })),
		detail(gauge("oms_task_finished_timestamp_seconds",
			"gmtFinish as a Unix time in seconds.",
			func(t *task) (float64, bool) { return unix(t.GmtFinish) })),
		gauge("oms_task_merging",
			"isMerging: whether newly added objects are being merged back into the task, 1 or 0.",
			func(t *task) (float64, bool) { return boolean(t.IsMerging) }),
		gauge("oms_task_modifying",
			"isModifying: whether the objects of the task are being changed, 1 or 0.",
			func(t *task) (float64, bool) { return boolean(t.IsModifying) }),
		gauge("oms_task_failed_timestamp_seconds",
			"extraInfo.failedTime as a Unix time in seconds: when the task last failed, even if it has "+
				"recovered.",
			func(t *task) (float64, bool) { return unix(t.ExtraInfo.FailedTime) }),
		gauge("oms_task_log_retention_seconds",
			"extraInfo.sourceStoreKeptHour in seconds: how long logs are kept to resume from.",
			func(t *task) (float64, bool) { return multiplied(t.ExtraInfo.SourceStoreKeptHour, 3600) }),
	)
	phases = ofPhases(taskGroup,
		gauge("oms_task_phase_enabled",
			"enableFullTransfer and similar fields: whether the task is configured to have the phase, "+
				"1 or 0.",
			func(p phaseFlag) (float64, bool) { return boolean(p.enabled) }),
	)
	taskErrors = ofTaskErrors(taskGroup,
		gauge("oms_task_error_info",
			errorHelp("extraInfo", "task"),
			func(errorCode) (float64, bool) { return 1, true }),
	)
	runningSteps = ofTasks(taskGroup,
		[]label[*task]{{"step", func(t *task) string { return t.ExtraInfo.RunningStep }}},
		detail(gauge("oms_task_running_progress_ratio",
			"extraInfo.runningProgress of extraInfo.runningStep, from 0 to 1. Most versions of OMS leave "+
				"it out.",
			func(t *task) (float64, bool) {
				ratio, ok := divided(t.ExtraInfo.RunningProgress, 100)
				return ratio, ok && t.ExtraInfo.RunningStep != ""
			})),
	)
	thresholds = ofThresholds(taskGroup,
		gauge("oms_task_delay_threshold_seconds",
			"Delay above which the task is late, in seconds. It comes from the configuration, not from OMS.",
			func(d delayLevel) (float64, bool) { return d.delay.Seconds(), true }),
	)
	tags = ofTags(tagGroup,
		gauge("oms_task_tag_info",
			"labels[]: always 1, for each tag of the task.",
			func(omsclient.Label) (float64, bool) { return 1, true }),
	)

	flows = ofFlows(syncGroup,
		gauge("oms_task_sync_delay_seconds",
			"How many seconds the sink is behind the source, in OMS's latest reading: "+
				"extraInfo.syncDelay, or else checkpointSampleTimestamp - incrTimestampCheckpoint of a "+
				"step, whichever was sampled last. Below 30 s it is sampling noise. It freezes when "+
				"sampling stops, and is negative when clocks differ.",
			func(f flow) (float64, bool) { return f.behind() }),
		gauge("oms_task_checkpoint_timestamp_seconds",
			"Time up to which the changes of the source are applied, as a Unix time in seconds. From "+
				"the same reading as the delay: extraInfo.incrSyncTimestamp, or incrTimestampCheckpoint "+
				"of a step.",
			func(f flow) (float64, bool) { return unix(f.checkpoint) }),
		gauge("oms_task_checkpoint_sample_timestamp_seconds",
			"When OMS took the reading that the delay and the checkpoint come from, as a Unix time in "+
				"seconds: extraInfo.syncDelaySampleTimestamp, or checkpointSampleTimestamp of a step.",
			func(f flow) (float64, bool) { return unix(f.sample) }),
	)

	stepStatuses = ofSteps(stepGroup,
		[]label[*omsclient.Step]{{"status", func(s *omsclient.Step) string { return s.Status }}},
		gauge("oms_task_step_status",
			"steps[].status: always 1, for the status that the step has.",
			func(s *omsclient.Step) (float64, bool) { return 1, s.Status != "" }),
	)
	steps = ofSteps(stepGroup, nil,
		detail(gauge("oms_task_step_order",
			"steps[].order: the position of the step in the console. Numbers may be skipped.",
			func(s *omsclient.Step) (float64, bool) { return s.Order.Get() })),
		gauge("oms_task_step_progress_ratio",
			"steps[].progress, from 0 to 1. While an incremental step is MONITORING it stays at 0.99 or "+
				"1, however far behind the step is.",
			func(s *omsclient.Step) (float64, bool) { return divided(s.Progress, 100) }),
		gauge("oms_task_step_start_timestamp_seconds",
			"steps[].startTime as a Unix time in seconds.",
			func(s *omsclient.Step) (float64, bool) { return unix(s.StartTime) }),
		gauge("oms_task_step_finish_timestamp_seconds",
			"steps[].finishTime as a Unix time in seconds.",
			func(s *omsclient.Step) (float64, bool) { return unix(s.FinishTime) }),
		gauge("oms_task_step_failed_timestamp_seconds",
			"steps[].extraInfo.failedTime as a Unix time in seconds: when the step last failed, even if it "+
				"has recovered.",
			func(s *omsclient.Step) (float64, bool) { return unix(s.ExtraInfo.FailedTime) }),
		gauge("oms_task_step_processed_records",
			"steps[].stepInfo.processedRecords: records processed. It starts over when the step does.",
			func(s *omsclient.Step) (float64, bool) { return s.StepInfo.ProcessedRecords.Get() }),
		gauge("oms_task_step_estimated_records",
			"steps[].stepInfo.capacity: records in total, as OMS estimates.",
			func(s *omsclient.Step) (float64, bool) { return s.StepInfo.Capacity.Get() }),
	)
	stepErrors = ofStepErrors(stepGroup,
		gauge("oms_task_step_error_info",
			errorHelp("steps[].extraInfo", "step"),
			func(stepError) (float64, bool) { return 1, true }),
	)
	// OMS keeps reporting the last figures of a step that has finished. They say nothing about now.
	throughputs = ofOpenSteps(throughputGroup,
		gauge("oms_task_step_source_records_per_second",
			"steps[].stepInfo.srcRps: records read at the source, per second.",
			func(s *omsclient.Step) (float64, bool) { return s.StepInfo.SrcRps.Get() }),
		gauge("oms_task_step_sink_records_per_second",
			"steps[].stepInfo.dstRps: records written at the sink, per second.",
			func(s *omsclient.Step) (float64, bool) { return s.StepInfo.DstRps.Get() }),
		gauge("oms_task_step_source_bytes_per_second",
			"steps[].stepInfo.srcIops: bytes read at the source, per second.",
			func(s *omsclient.Step) (float64, bool) { return s.StepInfo.SrcIops.Get() }),
		gauge("oms_task_step_sink_bytes_per_second",
			"steps[].stepInfo.dstIops: bytes written at the sink, per second.",
			func(s *omsclient.Step) (float64, bool) { return s.StepInfo.DstIops.Get() }),
		gauge("oms_task_step_source_latency_seconds",
			"steps[].stepInfo.srcRt: time to read a record at the source, in seconds.",
			func(s *omsclient.Step) (float64, bool) { return divided(s.StepInfo.SrcRt, 1000) }),
		gauge("oms_task_step_sink_latency_seconds",
			"steps[].stepInfo.dstRt: time to write a record at the sink, in seconds.",
			func(s *omsclient.Step) (float64, bool) { return divided(s.StepInfo.DstRt, 1000) }),
	)

	verifies = ofVerifications(verifyGroup,
		gauge("oms_task_verify_different_records",
			"data.differentNumber of ListProjectFullVerifyResult: records that the full verification "+
				"found to differ. Absent until OMS has been asked and has answered with a number.",
			func(a *answer[omsclient.VerifyResult]) (float64, bool) {
				return a.value.DifferentNumber.Get()
			}),
		gauge("oms_task_verify_tables",
			"totalCount of ListProjectFullVerifyResult: tables that the full verification has compared.",
			func(a *answer[omsclient.VerifyResult]) (float64, bool) { return a.value.Tables.Get() }),
		gauge("oms_task_verify_result_timestamp_seconds",
			"When OMS answered ListProjectFullVerifyResult, as a Unix time in seconds. It is asked again "+
				"when times or status of the verification change.",
			func(a *answer[omsclient.VerifyResult]) (float64, bool) { return unix(a.at) }),
	)
	componentStatusTable = ofComponents(componentsGroup,
		[]label[componentGroup]{{"status", func(g componentGroup) string { return g.status }}},
		gauge("oms_task_component_status",
			"status of the components in the answer to DescribeProjectComponents: always 1, for the worst "+
				"status of the components of a kind. store reads changes, incr_sync applies them. OMS is "+
				"asked about tasks that are late, stand still or have failed, and an answer is kept for 15 "+
				"minutes.",
			func(g componentGroup) (float64, bool) { return 1, g.status != "" }),
	)
	componentDelays = ofComponents(componentsGroup, nil,
		gauge("oms_task_component_delay_seconds",
			"delay of the components in the answer to DescribeProjectComponents, in seconds: the largest "+
				"of the components of a kind.",
			func(g componentGroup) (float64, bool) { return g.delay.Get() }),
	)
	componentTimes = ofTasks(componentsGroup, nil,
		gauge("oms_task_component_result_timestamp_seconds",
			"When OMS answered DescribeProjectComponents, as a Unix time in seconds.",
			func(t *task) (float64, bool) {
				if t.components == nil {
					return 0, false
				}
				return unix(t.components.at)
			}),
	)

	alarms = ofTasks(alarmGroup, nil,
		gauge("oms_task_alarming",
			"alarmStats.alarming: whether OMS itself raises an alarm about the task, 1 or 0.",
			func(t *task) (float64, bool) { return boolean(t.AlarmStats.Alarming) }),
		gauge("oms_task_recent_alarms",
			"alarmStats.recentlyTriggerCount: alarms of the task in a window that OMS chooses. It can fall.",
			func(t *task) (float64, bool) { return t.AlarmStats.RecentlyTriggerCount.Get() }),
	)
	ruleAlarms = ofRules(alarmGroup,
		gauge("oms_task_rule_recent_alarms",
			"alarmStats.ruleToRecentlyTriggerCount: alarms of the task by rule, in a window that OMS "+
				"chooses. It can fall.",
			func(r omsclient.RuleCount) (float64, bool) { return r.Count, true }),
	)
	alarmTotals = ofAlarmTotals(alarmGroup,
		counter("oms_task_alarms_total",
			fmt.Sprintf("Alarms of the task, added up from the rises of the counts of alarmStats. A lower "+
				"bound: alarms that come and go between two scrapes are missed. rule is empty where OMS "+
				"gives no counts by rule. A task keeps the %d rules seen last; one that comes back starts "+
				"over.", maxTotals),
			func(r omsclient.RuleCount) (float64, bool) { return r.Count, true }),
	)
)

func errorHelp(field, of string) string {
	return fmt.Sprintf("%s.errorDetails[].code with its level, and %s.errorCode, each code once: "+
		"the error codes that OMS documents, and an older kind. Always 1; absent while the %s has none.",
		field, field, of)
}

// oneIf is 1 for true and 0 for false.
func oneIf(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func boolean(b omsclient.Optional[bool]) (float64, bool) { return oneIf(b.Value), b.Known }

// multiplied converts a value to a smaller unit.
func multiplied(v omsclient.Optional[float64], by float64) (float64, bool) {
	return v.Value * by, v.Known
}

// divided converts a value to a larger unit. Division, unlike multiplication by a
// fraction, makes 57 percent exactly the 0.57 that people expect to see.
func divided(v omsclient.Optional[float64], by float64) (float64, bool) {
	return v.Value / by, v.Known
}

// unix returns a time as a Unix time in seconds. The zero time is not known.
func unix(t time.Time) (float64, bool) {
	return float64(t.Unix()) + float64(t.Nanosecond())/1e9, !t.IsZero()
}

// trueFalse returns the value of a label: true, false, or empty if it is not known.
func trueFalse(b omsclient.Optional[bool]) string {
	switch b {
	case omsclient.Some(true):
		return "true"
	case omsclient.Some(false):
		return "false"
	}
	return ""
}
