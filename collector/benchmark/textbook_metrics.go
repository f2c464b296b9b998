package benchmark

import (
	"cmp"
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

var statuses = []string{
	"INIT", "RUNNING", "SUSPEND", "FAILED", "FINISHED", "RELEASING", "RELEASED", "DELETED",
	"RUNNING_MODIFYING", "RUNNING_MERGING",
}

var (
	descs []*prometheus.Desc

	up             = desc("oms_up", "Whether the last listing worked.")
	scrapeDuration = desc("oms_scrape_duration_seconds", "How long the listing took.")
	scrapePages    = desc("oms_scrape_pages", "Pages read.")
	lastSuccess    = desc("oms_last_successful_scrape_timestamp_seconds", "Last listing that worked.")
	clockSkew      = desc("oms_clock_skew_seconds", "Clock of OMS minus our clock.")
	reportedTasks  = desc("oms_api_reported_tasks", "totalCount.")
	scrapeError    = desc("oms_scrape_error_info", "Why the listing failed.", "reason")
	omitted        = desc("oms_scrape_tasks_omitted", "Tasks without series.", "reason")
	tasks          = desc("oms_tasks", "Tasks by type and status.", "task_type", "status")

	taskInfo = taskDesc("oms_task_info", "About the task.",
		"task_type", "importance", "task_owner", "source_type", "sink_type",
		"source_name", "sink_name", "source_region", "sink_region", "subtask")
	taskStatus    = taskDesc("oms_task_status", "1 for the status of the task.", "status")
	taskMerging   = taskDesc("oms_task_merging", "isMerging.")
	taskModifying = taskDesc("oms_task_modifying", "isModifying.")
	taskFailed    = taskDesc("oms_task_failed_timestamp_seconds", "failedTime.")
	logRetention  = taskDesc("oms_task_log_retention_seconds", "sourceStoreKeptHour.")
	phaseEnabled  = taskDesc("oms_task_phase_enabled", "Whether the task has the phase.", "phase")
	taskError     = taskDesc("oms_task_error_info", "errorCode.", "error_code", "level")
	tagInfo       = taskDesc("oms_task_tag_info", "Tags.", "tag_id", "tag")

	syncDelay         = taskDesc("oms_task_sync_delay_seconds", "Delay.", "direction")
	checkpoints       = taskDesc("oms_task_checkpoint_timestamp_seconds", "Checkpoint.", "direction")
	checkpointSamples = taskDesc("oms_task_checkpoint_sample_timestamp_seconds",
		"When OMS looked at the checkpoint.", "direction")

	stepStatus   = taskDesc("oms_task_step_status", "1 for the status of the step.", "step", "status")
	stepError    = taskDesc("oms_task_step_error_info", "errorCode.", "step", "error_code", "level")
	stepProgress = stepDesc("oms_task_step_progress_ratio", "progress.")
	stepStart    = stepDesc("oms_task_step_start_timestamp_seconds", "startTime.")
	stepFinish   = stepDesc("oms_task_step_finish_timestamp_seconds", "finishTime.")
	stepFailed   = stepDesc("oms_task_step_failed_timestamp_seconds", "failedTime.")

	processedRecords = stepDesc("oms_task_step_processed_records", "processedRecords.")
	estimatedRecords = stepDesc("oms_task_step_estimated_records", "capacity.")
	sourceRecords    = stepDesc("oms_task_step_source_records_per_second", "srcRps.")
	sinkRecords      = stepDesc("oms_task_step_sink_records_per_second", "dstRps.")
	sourceBytes      = stepDesc("oms_task_step_source_bytes_per_second", "srcIops.")
	sinkBytes        = stepDesc("oms_task_step_sink_bytes_per_second", "dstIops.")
	sourceLatency    = stepDesc("oms_task_step_source_latency_seconds", "srcRt.")
	sinkLatency      = stepDesc("oms_task_step_sink_latency_seconds", "dstRt.")

	alarming     = taskDesc("oms_task_alarming", "alarming.")
	recentAlarms = taskDesc("oms_task_recent_alarms", "recentlyTriggerCount.")
	ruleAlarms   = taskDesc("oms_task_rule_recent_alarms", "ruleToRecentlyTriggerCount.", "rule")
	alarmsTotal  = taskDesc("oms_task_alarms_total", "By how much counts of alarms rose.", "rule")
)

func desc(name, help string, labels ...string) *prometheus.Desc {
	d := prometheus.NewDesc(name, help, labels, nil)
	descs = append(descs, d)
	return d
}

func taskDesc(name, help string, labels ...string) *prometheus.Desc {
	return desc(name, help, append([]string{"task_id", "task_name"}, labels...)...)
}

func stepDesc(name, help string) *prometheus.Desc { return taskDesc(name, help, "step") }

// A Listing is what a scrape found. It is a [prometheus.Collector].
type Listing struct {
	Projects          []Project
	Pages, Duplicates int
	Total             *float64
	ClockSkew         time.Duration
	Duration          time.Duration
	LastSuccess       time.Time
	AlarmTotals       map[alarmKey]float64
	Err               error
}

// Describe implements [prometheus.Collector].
func (Listing) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range descs {
		ch <- d
	}
}

// Collect implements [prometheus.Collector].
func (l Listing) Collect(ch chan<- prometheus.Metric) {
	whole := samples{ch: ch}
	whole.flag(up, new(l.Err == nil))
	whole.gauge(scrapeDuration, l.Duration.Seconds())
	if !l.LastSuccess.IsZero() {
		whole.gauge(lastSuccess, float64(l.LastSuccess.UnixNano())/1e9)
	}
	if l.Err != nil {
		whole.gauge(scrapeError, 1, "error")
		return
	}
	whole.gauge(scrapePages, float64(l.Pages))
	whole.gauge(clockSkew, l.ClockSkew.Seconds())
	whole.number(reportedTasks, l.Total, 1)
	whole.gauge(omitted, float64(l.Duplicates), "duplicate")
	for _, reason := range []string{"excluded", "invalid"} {
		whole.gauge(omitted, 0, reason)
	}
	l.fleet(whole)
	for i := range l.Projects {
		p := &l.Projects[i]
		s := samples{ch, []string{p.ID, p.Name}}
		s.task(p)
		s.sync(p)
		s.steps(p)
	}
	for key, total := range l.AlarmTotals {
		ch <- prometheus.MustNewConstMetric(alarmsTotal, prometheus.CounterValue, total,
			key.id, key.name, key.rule)
	}
}

func (l Listing) fleet(s samples) {
	counts := map[[2]string]float64{}
	for _, taskType := range []string{"MIGRATION", "SYNC", "VERIFY"} {
		for _, status := range statuses {
			counts[[2]string{taskType, status}] = 0
		}
	}
	for i := range l.Projects {
		counts[[2]string{l.Projects[i].Type, l.Projects[i].Status}]++
	}
	for key, count := range counts {
		s.gauge(tasks, count, key[0], key[1])
	}
}

// samples makes samples with the same first labels.
type samples struct {
	ch     chan<- prometheus.Metric
	labels []string
}

func (s samples) gauge(d *prometheus.Desc, v float64, labels ...string) {
	s.ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v,
		slices.Concat(s.labels, labels)...)
}

func (s samples) number(d *prometheus.Desc, v *float64, divisor float64, labels ...string) {
	if v != nil {
		s.gauge(d, *v/divisor, labels...)
	}
}

func (s samples) flag(d *prometheus.Desc, v *bool, labels ...string) {
	if v == nil {
		return
	}
	if *v {
		s.gauge(d, 1, labels...)
	} else {
		s.gauge(d, 0, labels...)
	}
}

// instant makes a sample of a time as OMS writes it: in UTC, without saying so.
func (s samples) instant(d *prometheus.Desc, text string, labels ...string) {
	if t, err := time.Parse("2006-01-02T15:04:05", text); err == nil {
		s.gauge(d, float64(t.Unix()), labels...)
	}
}

func (s samples) task(p *Project) {
	subtask := ""
	if p.IsSubProject != nil {
		subtask = strconv.FormatBool(*p.IsSubProject)
	}
	s.gauge(taskInfo, 1, p.Type, p.Importance, p.Owner, p.SourceEndpointType, p.SinkEndpointType,
		p.SourceConnectInfo.EndpointName, p.SinkConnectInfo.EndpointName,
		p.SourceConnectInfo.Region, p.SinkConnectInfo.Region, subtask)
	if p.Status != "" {
		for _, status := range statuses {
			s.flag(taskStatus, new(p.Status == status), status)
		}
		if !slices.Contains(statuses, p.Status) {
			s.gauge(taskStatus, 1, p.Status)
		}
	}
	s.flag(taskMerging, p.IsMerging)
	s.flag(taskModifying, p.IsModifying)
	s.flag(phaseEnabled, p.EnableFullTransfer, "full_transfer")
	s.flag(phaseEnabled, p.EnableFullVerify, "full_verify")
	s.flag(phaseEnabled, p.EnableIncrTransfer, "incr_transfer")
	s.flag(phaseEnabled, p.EnableReverseIncrTransfer, "reverse_incr_transfer")
	for i, l := range p.Labels {
		if l != (Label{}) && !slices.Contains(p.Labels[:i], l) {
			s.gauge(tagInfo, 1, l.ID, l.Name)
		}
	}
	x := &p.ExtraInfo
	s.instant(taskFailed, x.FailedTime)
	s.number(logRetention, x.SourceStoreKeptHour, 1./3600)
	for code, level := range x.codes() {
		s.gauge(taskError, 1, code, level)
	}
	s.flag(alarming, p.AlarmStats.Alarming)
	s.number(recentAlarms, p.AlarmStats.RecentlyTriggerCount, 1)
	for rule, n := range p.AlarmStats.RuleToRecentlyTriggerCount {
		s.gauge(ruleAlarms, n, rule)
	}
}

func (s samples) sync(p *Project) {
	delay, checkpoint, sample := flow(p.Steps, "INCR_TRANSFER", "INCR_SYNC", "CONNECTOR_INCR_SYNC")
	s.number(syncDelay, cmp.Or(p.ExtraInfo.SyncDelay, delay), 1, "forward")
	s.number(checkpoints, cmp.Or(p.ExtraInfo.IncrSyncTimestamp, checkpoint), 1, "forward")
	s.number(checkpointSamples, cmp.Or(p.ExtraInfo.SyncDelaySampleTimestamp, sample), 1, "forward")
	delay, checkpoint, sample = flow(p.Steps, "REVERSE_INCR_TRANSFER", "REVERSE_INCR_SYNC")
	s.number(syncDelay, delay, 1, "reverse")
	s.number(checkpoints, checkpoint, 1, "reverse")
	s.number(checkpointSamples, sample, 1, "reverse")
}

func flow(steps []Step, names ...string) (delay, checkpoint, sample *float64) {
	for i := range steps {
		info := &steps[i].StepInfo
		if !slices.Contains(names, steps[i].Name) || info.IncrTimestampCheckpoint == nil {
			continue
		}
		delay, checkpoint, sample = nil, info.IncrTimestampCheckpoint, info.CheckpointSampleTimestamp
		if sample != nil {
			delay = new(*sample - *checkpoint)
		}
	}
	return delay, checkpoint, sample
}

func (s samples) steps(p *Project) {
	for i := range p.Steps {
		step := &p.Steps[i]
		if slices.ContainsFunc(p.Steps[i+1:], func(l Step) bool { return l.Name == step.Name }) {
			continue // it was done again
		}
		if step.Status != "" {
			s.gauge(stepStatus, 1, step.Name, step.Status)
		}
		for code, level := range step.ExtraInfo.codes() {
			s.gauge(stepError, 1, step.Name, code, level)
		}
		s.number(stepProgress, step.Progress, 100, step.Name)
		s.instant(stepStart, step.StartTime, step.Name)
		s.instant(stepFinish, step.FinishTime, step.Name)
		s.instant(stepFailed, step.ExtraInfo.FailedTime, step.Name)
		info := &step.StepInfo
		s.number(processedRecords, info.ProcessedRecords, 1, step.Name)
		s.number(estimatedRecords, info.Capacity, 1, step.Name)
		done := step.Name == "FULL_VERIFIER" && step.Progress != nil && *step.Progress >= 100
		if done || step.Status == "FINISHED" {
			continue // its throughput is of the past
		}
		s.number(sourceRecords, info.SrcRps, 1, step.Name)
		s.number(sinkRecords, info.DstRps, 1, step.Name)
		s.number(sourceBytes, info.SrcIops, 1, step.Name)
		s.number(sinkBytes, info.DstIops, 1, step.Name)
		s.number(sourceLatency, info.SrcRt, 1000, step.Name)
		s.number(sinkLatency, info.DstRt, 1000, step.Name)
	}
}

// codes returns the codes of a failure with their levels.
func (f *Failure) codes() map[string]string {
	codes := map[string]string{}
	if f.ErrorCode != "" {
		codes[f.ErrorCode] = ""
	}
	for _, d := range f.ErrorDetails {
		if d.Code != "" {
			codes[d.Code] = d.Level
		}
	}
	return codes
}
