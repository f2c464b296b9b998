package rules

import "strings"

// Alerts are the alerts, by what they are about: the exporter, OMS, tasks, all tasks together.
func Alerts() []Group {
	return []Group{
		exporterAlerts(), omsAlerts(), failureAlerts(), suspendedAlerts(), delayAlerts(), doubtAlerts(), newsAlerts(),
	}
}

// byImportance is the severity of trouble that has no size: it goes by the task alone.
const byImportance = `{{ if eq $labels.importance "HIGH" }}critical{{ else if eq $labels.importance "IGNORE" }}info{{ else }}warning{{ end }}`

// Parts of texts: the name of a task, and whose it is.
const (
	taskName  = `{{ $labels.task_name }}`
	taskWhose = `{{ $labels.task_type }} task {{ $labels.task_id }}, importance {{ or $labels.importance "unknown" }}, owner {{ or $labels.task_owner "unknown" }}, on {{ $labels.instance }}.`
	// backwards marks the summary of an alert about the way back.
	backwards = `{{ if eq $labels.direction "reverse" }}, backwards{{ end }}`
	// target names the OMS that an exporter's own metric is about.
	target = `{{ or $labels.target $labels.instance }}`
)

// ask is a template that asks Prometheus for one series of the alert's task, with the labels
// of the alert that are named, and renders it with then, which has it as $s. It is empty if
// there is none.
func ask(metric string, labels []string, then string) string {
	var matchers, values strings.Builder
	for i, l := range labels {
		if i > 0 {
			matchers.WriteString(",")
		}
		matchers.WriteString(l + "=%q")
		values.WriteString(" $labels." + l)
	}
	return `{{ with printf "` + metric + `{` + matchers.String() + `}"` + values.String() + ` | query }}{{ $s := first . }}` + then + `{{ end }}`
}

var (
	oneOMS  = []string{"job", "instance"}
	oneTask = []string{"job", "instance", "task_id"}
	oneLink = []string{"job", "instance", "task_id", "direction"}
	oneStep = []string{"job", "instance", "task_id", "step"}
)

// left says how much of the logs that a task needs to resume is left.
var left = ` {{ if gt $value 0.0 }}{{ $value | humanizePercentage }} of what OMS keeps is left` +
	ask("oms:task_resume_window_left:seconds", oneLink, `, {{ $s.Value | humanizeDuration }}`) +
	`.{{ else }}Nothing of what OMS keeps is left.{{ end }}`

// recovering says whether a late link catches up, and when it will have.
var recovering = ask("oms:task_replay_speed:ratio10m", oneLink,
	` It replays {{ printf "%.2f" $s.Value }} s of changes per second: `+
		`{{ if gt $s.Value 1.05 }}it is catching up`+
		ask("oms:task_catchup_eta:seconds", oneLink, `, and at this speed done in {{ $s.Value | humanizeDuration }}`)+
		`{{ else if gt $s.Value 0.95 }}it keeps this distance`+
		`{{ else if gt $s.Value 0.0 }}it falls further behind{{ else }}it stands still{{ end }}.`)

// exporterAlerts are about the exporter. Nothing is known of tasks while it is down.
func exporterAlerts() Group {
	return Group{Name: "oms-exporter", Interval: "30s", Rules: []Rule{
		{
			Alert: "OMSExporterDown",
			Expr:  `oms:exporter_up:bool == 0`,
			For:   "5m", Severity: "critical", Scope: Exporter,
			Summary:     `{{ $labels.instance }}: the OMS exporter cannot be scraped`,
			Description: `Prometheus has had no answer from the exporter for 5 minutes (job {{ $labels.job }}). Nothing is known about any task of {{ $labels.instance }}; alerts about them are inhibited. See on Prometheus' page of targets why.`,
		},
		{
			Alert: "OMSExporterAbsent",
			Expr:  `absent(oms:exporter_up:bool)`,
			For:   "15m", Severity: "critical", Scope: Exporter,
			Summary:     `Prometheus scrapes no OMS exporter`,
			Description: `No target of an OMS exporter has been there for 15 minutes: service discovery or the configuration has lost it, or the job has a name that the rules do not expect.`,
		},
		{
			Alert: "OMSExporterScrapeNearTimeout",
			Expr: `
				avg_over_time(scrape_duration_seconds[10m])
				> $oms group_left ()
				0.8 * max by (job, instance) (
					scrape_timeout_seconds and $oms oms:exporter_up:bool
					or $oms (0 * oms:exporter_up:bool + on () group_left () oms:setting_scrape_timeout:seconds)
				)`,
			For: "10m", Severity: "warning", Scope: Exporter,
			Summary:     `{{ $labels.instance }}: scrapes take nearly as long as they may`,
			Description: `On average {{ $value | humanizeDuration }} in the last 10 minutes, over 80 % of scrape_timeout. When OMS becomes a little slower, listings fail and nothing is known about its tasks. See what takes the time at the exporter's /status, then raise scrape_timeout and scrape_interval, or exclude tasks.`,
		},
		{
			Alert: "OMSExporterConfigReloadFailed",
			Expr:  `oms_exporter_config_last_reload_successful == 0`,
			For:   "5m", Severity: "warning", Scope: Exporter,
			Summary:     `{{ $labels.instance }}: the exporter's configuration could not be loaded anew`,
			Description: `It goes on with the configuration that it had; at its next start it will not start. Its log names the mistake.`,
		},
	}}
}

// omsAlerts are about an OMS and what its API says, and about all of its tasks at once.
func omsAlerts() Group {
	expiring := func(severity, within string) Rule {
		return Rule{
			Alert: "OMSCertificateExpiring",
			Expr:  `oms_exporter_api_certificate_expiry_timestamp_seconds - time() < ` + within,
			For:   "10m", Severity: severity, Scope: OMS,
			Summary:     `The certificate of OMS ` + target + ` {{ if gt $value 0.0 }}expires in {{ $value | humanizeDuration }}{{ else }}has expired{{ end }}`,
			Description: `From then on the exporter refuses to talk to it and nothing is known about its tasks. Renew the certificate of the OMS console, or of the proxy before it.`,
		}
	}
	incomplete := func(reason, severity, hold, why string) Rule {
		return Rule{
			Alert: "OMSListingIncomplete",
			Expr:  `oms_scrape_tasks_omitted{reason="` + reason + `"} > 0`,
			For:   hold, Severity: severity, Scope: OMS,
			Summary:     `{{ $labels.instance }}: {{ printf "%.0f" $value }} tasks have no series ({{ $labels.reason }})`,
			Description: why + ` Nothing alerts for these tasks.`,
		}
	}
	return Group{Name: "oms-api", Interval: "30s", Rules: []Rule{
		{
			Alert: "OMSDown",
			Expr:  `max_over_time(oms_up[2m]) == 0`,
			For:   "3m", KeepFiringFor: "5m", Severity: "critical", Scope: OMS,
			Summary: `{{ $labels.instance }}: OMS does not answer, or answers with errors`,
			Description: `The exporter has had no complete listing for 5 minutes.` +
				ask("oms_scrape_error_info", oneOMS, ` Reason: {{ $s.Labels.reason }}.`) +
				` Replication may be healthy, but nobody can see it; alerts about tasks are inhibited, and no new ones can come. oms_exporter check and the exporter's /status explain.`,
		},
		{
			Alert: "OMSListingStale",
			Expr:  `time() - oms_last_successful_scrape_timestamp_seconds > 600`,
			For:   "1m", KeepFiringFor: "5m", Severity: "warning", Scope: OMS,
			Summary:     `{{ $labels.instance }}: the last complete listing is {{ $value | humanizeDuration }} old`,
			Description: `Most listings fail. What is known about its tasks is old; alerts about them are inhibited. The exporter's /status shows the last attempts.`,
		},
		incomplete("limit", "critical", "5m",
			`There are more tasks than --oms.max-tasks or max_tasks allows, so none has series: raise it.`),
		incomplete("invalid", "warning", "15m",
			`OMS lists elements without an id, which the exporter cannot show: report a recording (oms_exporter check --record).`),
		{
			Alert: "OMSListingInconsistent",
			Expr:  `increase(oms_exporter_inconsistent_listings_total[30m]) > 5`,
			For:   "10m", Severity: "warning", Scope: OMS,
			Summary:     `OMS ` + target + ` lists another number of tasks than it counts`,
			Description: `{{ printf "%.0f" $value }} listings in half an hour did not fit totalCount, read twice each. Tasks may be missing, for example some that the exporter's account may not see, and nothing alerts for those.`,
		},
		{
			Alert: "OMSUnknownValues",
			Doc:   "What is new, for a day: a value that is known to be unknown is no news.",
			Expr: `
				increase(oms_exporter_unknown_values_total[1h]) > 0
				unless increase(oms_exporter_unknown_values_total[1h] offset 1d) > 0`,
			For: "10m", Severity: "info", Scope: OMS,
			Summary:     `OMS ` + target + ` sends values of {{ $labels.field }} that the exporter does not know`,
			Description: `They are exported as they are, but rules and dashboards may not fit them: this usually follows an upgrade of OMS. The exporter's log names each value once.`,
		},
		expiring("warning", "14 * 86400"),
		expiring("critical", "2 * 86400"),
		{
			Alert: "OMSClockSkew",
			Expr:  `abs(oms_clock_skew_seconds) > 30`,
			For:   "15m", Severity: "warning", Scope: OMS,
			Summary:     `{{ $labels.instance }}: the clocks of OMS and the exporter differ by {{ $value | humanizeDuration }}`,
			Description: `The rules allow for the difference, but OMS measures delays by its own clock and those of the databases, so its figures are wrong if it is OMS's clock that is off. Check NTP on the hosts of OMS and of the exporter.`,
		},
		{
			Alert: "OMSManyTasksDelayed",
			Doc: `One page for a shared cause, in place of one for each task. Of those that can be late. It fires
before they do, so that they find themselves inhibited.`,
			Expr: `
				count by (job, instance) (oms:task_late:seconds{level="warning"})
				/ (
					count by (job, instance) (
						oms:task_effective_delay:seconds
						and $task oms:task_delay_threshold:seconds{level="warning"}
					)
					>= 5
				)
				> 0.5`,
			For: "3m", KeepFiringFor: "10m", Severity: "critical", Scope: OMS,
			Summary:     `{{ $labels.instance }}: {{ $value | humanizePercentage }} of its tasks are late at once`,
			Description: `A shared cause is likely: hosts or network of OMS, or a source or target that many tasks have in common. Alerts about single late tasks are inhibited. Look at the hosts of OMS first.`,
		},
	}}
}

// failureAlerts are about tasks that OMS itself says are in trouble.
func failureAlerts() Group {
	return Group{Name: "oms-task-failure", Interval: "30s", Rules: []Rule{
		{
			Alert: "OMSTaskFailed",
			Expr:  `max without (status) (oms_task_status{status="FAILED"} == 1)`,
			For:   "5m", KeepFiringFor: "10m", Severity: byImportance, Scope: Task, Symptom: "failed",
			Summary: taskName + ` has failed` + ask("oms_task_error_info", oneTask, ` ({{ $s.Labels.error_code }})`),
			Description: taskWhose + ` FAILED for at least 5 minutes` +
				ask("oms_task_failed_timestamp_seconds", oneTask, `, since {{ $s.Value | humanizeTimestamp }}`) +
				`: nothing is copied, and the logs that it needs to resume are running out.` +
				` Read the error in the console, remove its cause, resume the task.`,
		},
		{
			Alert: "OMSTaskStepFailed",
			Expr: `
				max without (status) (oms_task_step_status{status="FAILED"})
				unless $task oms_task_status{status=~"FAILED|SUSPEND|FINISHED|RELEASING|RELEASED|DELETED"} == 1`,
			For: "10m", KeepFiringFor: "10m", Severity: byImportance, Scope: Task, Symptom: "step_failed",
			Summary: `{{ $labels.step }} of ` + taskName + ` has failed` +
				ask("oms_task_step_error_info", oneStep, ` ({{ $s.Labels.error_code }})`),
			Description: taskWhose + ` The task as a whole is not FAILED, but this step has been for at least 10 minutes` +
				ask("oms_task_step_failed_timestamp_seconds", oneStep, `, since {{ $s.Value | humanizeTimestamp }}`) +
				`: OMS's own retries have not helped. Read the step's error in the console.`,
		},
		{
			Alert: "OMSTaskFlapping",
			Doc: `A round of failing and recovering is two changes. RUNNING is not asked: it changes with
everything that people do to a task.`,
			Expr:          `max without (status) (changes(oms_task_status{status="FAILED"}[1h])) >= 4`,
			KeepFiringFor: "10m", Severity: "warning", Scope: Task, Symptom: "flapping",
			Summary:     taskName + ` keeps failing and recovering`,
			Description: taskWhose + ` At least two rounds within an hour. OMS's retries hide a fault that comes back: read the errors in the console before it stays down.`,
		},
		{
			Alert: "OMSTaskStepStuck",
			Doc: `Progress is a whole number of percent, so an honest large copy stands still for long:
the window grows with the step's own pace. That falls while the step stands still, so what
fires goes on until it moves.`,
			Expr: `
				(
					oms:task_step_unfinished:ratio
					== $step group_left ()
					max by (job, instance, task_id, step) (oms:task_step_unfinished:ratio offset 30m)
					and $step (
						oms:task_step_pace:seconds_per_percent < 600
						or ALERTS{alertname="OMSTaskStepStuck", alertstate="firing"}
					)
				or
					oms:task_step_unfinished:ratio
					== $step group_left ()
					max by (job, instance, task_id, step) (oms:task_step_unfinished:ratio offset 2h)
					and $step oms:task_step_pace:seconds_per_percent < 2400
				or
					oms:task_step_unfinished:ratio
					== $step group_left ()
					max by (job, instance, task_id, step) (oms:task_step_unfinished:ratio offset 12h)
				)
				unless $step changes(oms:task_step_unfinished:records[30m]) > 0`,
			For: "5m", KeepFiringFor: "10m", Severity: "warning", Scope: Task, Symptom: "stuck",
			Summary:     `{{ $labels.step }} of ` + taskName + ` makes no progress at {{ $value | humanizePercentage }}`,
			Description: taskWhose + ` The step is RUNNING, but neither its percentage nor its count of records has moved for at least half an hour, much longer than its own average pace. Look at its log and at load, locks and space of source and target.`,
		},
		{
			Alert: "OMSTaskStatusInconsistent",
			Expr: `
				oms:task_active:bool
				and $task oms_task_step_status{status=~"INIT|SUSPEND|FINISHED"}
				unless $task oms_task_step_status{status!~"INIT|SUSPEND|FINISHED"}
				unless $task oms_task_status{status=~"RUNNING_(MODIFYING|MERGING)"} == 1
				unless $task (oms_task_modifying == 1 or oms_task_merging == 1)`,
			For: "15m", KeepFiringFor: "10m", Severity: "warning", Scope: Task, Symptom: "inconsistent",
			Summary:     taskName + ` runs, but none of its steps does`,
			Description: taskWhose + ` For at least 15 minutes no step has been running, monitoring or failed. It probably waits for a person: open it in the console.`,
		},
		{
			Alert: "OMSTaskResumeWindowClosing",
			Expr:  `oms:task_resume_window_left:ratio < 0.5`,
			For:   "10m", KeepFiringFor: "10m", Severity: "warning", Scope: Task, Symptom: "retention",
			Summary:     taskName + ` has used up half of the logs that it needs to resume`,
			Description: taskWhose + left + ` After that the task may be impossible to resume and has to be built anew. Resume it, or release it on purpose.`,
		},
		{
			Alert: "OMSTaskResumeWindowAlmostLost",
			Expr:  `oms:task_resume_window_left:ratio < 0.2`,
			For:   "10m", KeepFiringFor: "10m", Severity: "critical", Scope: Task, Symptom: "retention",
			Summary:     taskName + ` {{ if gt $value 0.0 }}is about to lose{{ else }}has probably lost{{ end }} the logs that it needs to resume`,
			Description: taskWhose + left + ` After that the task may be impossible to resume and has to be built anew. Resume it now, or have the source keep its logs.`,
		},
	}}
}

// suspendedAlerts look back over a day, so they look less often.
func suspendedAlerts() Group {
	return Group{Name: "oms-task-suspended", Interval: "5m", Rules: []Rule{
		{
			Alert: "OMSTaskSuspended",
			Doc: `Where it is not known how long logs are kept, or from where on they are needed, nobody
knows when they run out. It looks back over a day, since a for of a day would start anew
with every failed listing.`,
			Expr: `
				max without (status) (oms_task_status{status="SUSPEND"} == 1)
				and $task oms_task_status{status="SUSPEND"} offset 1d == 1
				unless $task min_over_time(oms_task_status{status="SUSPEND"}[1d]) == 0
				unless $task oms:task_resume_window_left:ratio`,
			For: "5m", KeepFiringFor: "10m", Severity: "info", Scope: Task, Symptom: "suspended",
			Summary:     taskName + ` has been suspended for a day`,
			Description: taskWhose + ` It is not known how long the logs that it needs to resume are still kept. Resume it, or release it on purpose.`,
		},
	}}
}

// delayAlerts are about links that follow their source, and how closely they do.
func delayAlerts() Group {
	burn := func(severity, long, short, factor string) Rule {
		return Rule{
			Alert: "OMSTaskFreshnessBudgetBurn",
			Expr: `
				1 - avg_over_time(oms:task_fresh:bool[` + long + `])
				> ` + factor + ` * (1 - scalar(oms:setting_freshness_objective:ratio))
				and $link 1 - avg_over_time(oms:task_fresh:bool[` + short + `])
				> ` + factor + ` * (1 - scalar(oms:setting_freshness_objective:ratio))
				and present_over_time(oms:task_fresh:bool[10m] offset ` + long + `)`,
			Severity: severity, Scope: Task, Symptom: "slo", KeepFiringFor: "10m",
			Labels:      map[string]string{"window": long},
			Summary:     taskName + backwards + ` was late for {{ $value | humanizePercentage }} of the last ` + long,
			Description: taskWhose + ` At this rate it uses up what its objective allows more than ` + factor + ` times too fast.` + recovering,
		}
	}
	return Group{Name: "oms-task-delay", Interval: "30s", Rules: []Rule{
		{
			Alert: "OMSTaskDelayCritical",
			Expr: `
				max without (level) (oms:task_late:seconds{level="critical"})
				unless $link oms:task_catchup_eta:seconds < 1800`,
			For: "5m", KeepFiringFor: "10m", Severity: "critical", Scope: Task, Symptom: "delay",
			Summary:     taskName + ` is {{ $value | humanizeDuration }} behind` + backwards,
			Description: taskWhose + ` Over its critical threshold for at least 5 minutes and not due to catch up within half an hour.` + recovering + ` Find out which side is slow: reading the source, or writing to the target.`,
		},
		{
			Alert: "OMSTaskDelayHigh",
			Expr: `
				max without (level) (oms:task_late:seconds{level="warning"})
				unless $link oms:task_catchup_eta:seconds < 900`,
			For: "5m", KeepFiringFor: "10m", Severity: "warning", Scope: Task, Symptom: "delay",
			Summary:     taskName + ` is {{ $value | humanizeDuration }} behind` + backwards,
			Description: taskWhose + ` Over its warning threshold for at least 5 minutes and not due to catch up within a quarter of an hour.` + recovering,
		},
		{
			Alert: "OMSTaskFallingBehind",
			Doc:   "The value is the delay in half an hour, if nothing changes.",
			Expr: `
				(oms:task_effective_delay:seconds > 60)
				+ (1 - (oms:task_replay_speed:ratio10m < 0.9)) * 1800
				> $task group_left ()
				max by (job, instance, task_id) (oms:task_delay_threshold:seconds{level="critical"})`,
			For: "10m", KeepFiringFor: "10m", Severity: "warning", Scope: Task, Symptom: "delay_trend",
			Summary:     taskName + backwards + ` will be {{ $value | humanizeDuration }} behind in half an hour`,
			Description: taskWhose + ` That is over its critical threshold. It replays less than 0.9 s of changes per second. Act before it pages.`,
		},
		{
			Alert: "OMSTaskCheckpointFrozen",
			Doc:   "Whatever the delay says: it can stay small while nothing is applied.",
			Expr: `
				oms_task_checkpoint_timestamp_seconds
				== $link group_left ()
				max by (job, instance, task_id, direction) (oms_task_checkpoint_timestamp_seconds offset 10m)
				and $link oms:task_live:bool
				and $link oms:task_live:bool offset 10m`,
			For: "5m", KeepFiringFor: "10m", Severity: "warning", Scope: Task, Symptom: "frozen",
			Summary: taskName + backwards + ` runs, but applies nothing`,
			Description: taskWhose + ` Its checkpoint has not moved for at least a quarter of an hour` +
				ask("oms:task_checkpoint_age:seconds", oneLink, ` and is {{ $s.Value | humanizeDuration }} old`) +
				ask("oms_task_sync_delay_seconds", oneLink, `, while OMS reports a delay of {{ $s.Value | humanizeDuration }}`) +
				`. Either the pipe is dead, or the source is idle and has no heartbeat table.`,
		},
		{
			Alert: "OMSTaskDelaySampleStale",
			Expr:  `oms:task_delay_sample_age:seconds > 300 and $link oms:task_live:bool`,
			For:   "5m", KeepFiringFor: "10m", Severity: "warning", Scope: Task, Symptom: "stale",
			Summary:     taskName + backwards + `: OMS has not looked at its delay for {{ $value | humanizeDuration }}`,
			Description: taskWhose + ` The delay in the console is old: do not trust it. The component of OMS that collects it does not work.`,
		},
		{
			Alert: "OMSTaskDelayMissing",
			Expr: `
				oms:task_live:bool
				unless $link oms_task_sync_delay_seconds
				unless $link oms_task_checkpoint_timestamp_seconds`,
			For: "15m", KeepFiringFor: "10m", Severity: "info", Scope: Task, Symptom: "missing",
			Summary:     taskName + backwards + ` runs, but OMS says neither delay nor checkpoint`,
			Description: taskWhose + ` Nothing can alert when it falls behind. Look at it in the console.`,
		},
		burn("critical", "1h", "5m", "14.4"),
		burn("warning", "6h", "30m", "6"),
	}}
}

// doubtAlerts are about what to know before one believes the figures, or switches over.
func doubtAlerts() Group {
	return Group{Name: "oms-task-doubt", Interval: "30s", Rules: []Rule{
		{
			Alert: "OMSTaskVerifyDifferences",
			Doc:   "Until the switchover: afterwards nobody can act on it any more.",
			Expr: `
				oms_task_step_inconsistent_records{step=~"$verify"} > 0
				unless $task oms_task_status{status=~"RELEASING|RELEASED|DELETED"} == 1
				unless $task oms_task_step_status{step=~"$switched", status="FINISHED"}`,
			For: "10m", KeepFiringFor: "10m", Severity: "warning", Scope: Task, Symptom: "verify",
			Summary:     `Verification of ` + taskName + ` has found {{ printf "%.0f" $value }} records that differ`,
			Description: taskWhose + ` Do not switch over before they are explained: the console lists them by table.`,
		},
		{
			Alert: "OMSTaskNegativeDelay",
			Expr:  `max_over_time(oms_task_sync_delay_seconds[15m]) < 0 and $link oms:task_live:bool`,
			For:   "5m", KeepFiringFor: "10m", Severity: "info", Scope: Task, Symptom: "clock",
			Summary:     taskName + backwards + ` has a negative delay: clocks disagree`,
			Description: taskWhose + ` At best {{ printf "%.0f" $value }} s for a quarter of an hour. Its real delay is greater than what OMS reports, so alerts come late by as much. Check NTP on the hosts of OMS and of the databases.`,
		},
		{
			Alert: "OMSTaskAlarmingInOMS",
			Expr:  `oms_task_alarming == 1`,
			For:   "15m", KeepFiringFor: "10m", Severity: "info", Scope: Task, Symptom: "oms_alarm",
			Summary:     `OMS itself has an alarm about ` + taskName,
			Description: taskWhose + ` A second opinion: OMS judges by thresholds of its own. Its text is in the alert centre of the console.`,
		},
		{
			Alert: "OMSTaskDisappeared",
			Doc: `Only while every listing was complete: an outage makes nobody disappear, nor does an
exporter that is down or a limit on the number of tasks. Who was seen to be released has
not disappeared either.`,
			Expr: `
				max without (status) (oms_task_status{status=~"RUNNING.*|SUSPEND|FAILED"} offset 15m == 1)
				unless $task oms_task_status
				unless $task max_over_time(oms_task_status{status=~"RELEASING|RELEASED|DELETED|FINISHED"}[15m]) == 1
				and $oms oms_up == 1
				and $oms min_over_time(oms_up[15m]) == 1
				unless $oms oms_scrape_tasks_omitted{reason="limit"} > 0`,
			Severity: "info", Scope: Task, Symptom: "disappeared", Info: "oms:task_whose:info offset 15m",
			Summary:     taskName + ` is no longer listed`,
			Description: taskWhose + ` It ran, was suspended or had failed a quarter of an hour ago. Released or deleted since, excluded here, or hidden from the exporter's account?`,
		},
	}}
}

// newsAlerts are good news.
func newsAlerts() Group {
	return Group{Name: "oms-task-news", Interval: "30s", Rules: []Rule{
		{
			Alert: "OMSTaskCutoverReady",
			Doc:   "Good news is not kept: it is only true while it is.",
			Expr: `
				oms:task_cutover_readiness:ratio == 1
				unless $task oms_task_step_progress_ratio{step=~"$switched"} > 0`,
			For: "15m", Severity: "info", Scope: Task, Symptom: "ready",
			Summary:     taskName + ` is ready for cut-over`,
			Description: taskWhose + ` Everything that is needed has been there for 15 minutes: copied, in step, verified, no alarm. Before you switch: stop the writes, then wait until the checkpoint is later than that.`,
		},
	}}
}
