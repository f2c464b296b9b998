package dashboards

import "github.com/grafana/grafana-foundation-sdk/go/dashboard"

func task() board {
	return board{
		uid: "oms-task", title: "OMS / Task",
		question:  "What is this task doing, since when, and when will it be done?",
		refresh:   "30s",
		from:      "now-6h",
		variables: []variable{datasource, job, instance, find, taskID},
		alerts: annotation{
			name: "Alerts", color: "orange", tags: "alertname,severity",
			expr:  `ALERTS{alertstate="firing", scope="task", <one>}`,
			title: "{{alertname}}", text: "{{severity}} {{step}} {{direction}}",
		},
		rows: []row{taskNow(), taskSteps(), taskDelay()},
	}
}

func taskNow() row {
	return row{title: "Now", panels: []panel{
		{
			title: "Identity", w: 24, h: 4, unit: "none", look: bare,
			says: `What the task is and whose. Empty: OMS no longer lists it, or the exporter leaves it
				out.`,
			table: &table{
				by: []string{"task_id", "task_name"},
				columns: []column{
					{title: "Status", expr: `oms:task_status:code{<one>} ` + described, words: taskStates, cell: filled, width: 110},
					{title: "Task", label: "task_name", width: 260, links: []dashboard.DashboardLink{toConsole}},
					{title: "Id", label: "task_id", width: 150},
					{title: "OMS", label: "instance", width: 150},
					{title: "Type", label: "task_type"},
					{title: "Importance", label: "importance"},
					{title: "Owner", label: "task_owner"},
					{title: "Source", label: "source_type"},
					{title: "From", label: "source_name"},
					{title: "Target", label: "sink_type"},
					{title: "To", label: "sink_name"},
				},
			},
		},
		{
			title: "Status", w: 4, h: 4, look: figures, unit: "none", mapping: taskStates,
			says: `What OMS says that the task does. RUNNING says nothing about its delay; SUSPEND and
				FAILED use up the logs that it needs to resume.`,
			queries: []query{{expr: `oms:task_status:code{<one>}`}},
		},
		{
			title: "Behind", w: 5, h: 4, look: named, unit: "s", steps: noise,
			nothing: "not following its source",
			says: `How far behind the task is at worst: what OMS reports, and the age of its sample
				beyond the 30 s that sampling takes. Under 30 s is in step.`,
			queries: []query{{
				expr: `oms:task_effective_delay:seconds{<one>}`, legend: "{{direction}}",
			}},
		},
		{
			title: "Of its threshold", w: 5, h: 4, look: dial, unit: "percentunit", steps: share,
			min: number(0), max: number(3), nothing: "no threshold",
			says: `The delay as a share of what this task may be behind before it is late, and
				critically late. Over 1 is too much.`,
			queries: []query{
				{expr: fraction("warning"), legend: "warning {{direction}}"},
				{expr: fraction("critical"), legend: "critical {{direction}}"},
			},
		},
		{
			title: "Replay speed", w: 5, h: 4, look: dial, unit: "short", steps: pace,
			min: number(0), max: number(5), nothing: "not following its source",
			says: `Seconds of the source's changes that are applied per second. 1 keeps pace, above 1
				catches up, below 1 falls behind, 0 stands still, whatever the delay says.`,
			queries: []query{{
				expr: `oms:task_replay_speed:ratio10m{<one>}`, legend: "{{direction}}",
			}},
		},
		{
			title: "Caught up in", w: 5, h: 4, look: named, unit: "s", mapping: inStep,
			nothing: "not catching up",
			says: `How long until the task is in step, at the speed of the last 10 minutes. It is only
				there while the task does catch up: a stall has no end.`,
			queries: []query{{
				expr: `oms:task_catchup_eta:seconds{<one>}
					or <link> 0 * (oms:task_effective_delay:seconds{<one>} <= 30)`,
				legend: "{{direction}}",
			}},
		},
		{
			title: "Copied up to", w: 5, h: 4, look: named, unit: "dateTimeAsIso",
			nothing: "no checkpoint",
			says: `Up to when the source's changes have arrived. Compare it with the last change that
				you expect to find at the target.`,
			queries: []query{{
				expr: `oms_task_checkpoint_timestamp_seconds{<one>} * 1000`, legend: "{{direction}}",
			}},
		},
		{
			title: "Sample age", w: 4, h: 4, look: named, unit: "s", nothing: "never sampled",
			steps: steps("green", at(60, "yellow"), at(300, "red")),
			says: `How long ago OMS looked at the delay. Over a minute, the delay in the console is
				old; while a task is suspended this is normal.`,
			queries: []query{{
				expr: `oms:task_delay_sample_age:seconds{<one>}`, legend: "{{direction}}",
			}},
		},
		{
			title: "Resume window left", w: 5, h: 4, look: dial, unit: "percentunit", steps: window,
			min: number(0), max: number(1), nothing: "retention unknown",
			says: `How much of the logs that the task resumes from is left. At 0 it has to be rebuilt
				from scratch.`,
			queries: []query{{
				expr: `oms:task_resume_window_left:ratio{<one>}`, legend: "{{direction}}",
			}},
		},
		{
			title: "Resumable for", w: 5, h: 4, look: named, unit: "s", nothing: "retention unknown",
			steps: steps("red", at(0, "orange"), at(86400, "text")),
			says: `How long the task can stay as it is before its logs are gone. Below zero they
				probably are.`,
			queries: []query{{
				expr: `oms:task_resume_window_left:seconds{<one>}`, legend: "{{direction}}",
			}},
		},
		{
			title: "OMS's own alarm", w: 5, h: 4, look: figures, unit: "none", mapping: alarmStates,
			says: `Whether OMS itself has an alarm about the task. Its text is in the alert center of
				the console.`,
			queries: []query{{expr: `oms_task_alarming{<one>}`}},
		},
	}}
}

// described adds the labels that describe a task.
const described = `* <task> group_left (
	task_type, importance, task_owner, source_type, source_name, sink_type, sink_name
) oms_task_info{<one>}`

// fraction is the delay as a share of a threshold.
func fraction(level string) string {
	return `oms:task_effective_delay:seconds{<one>} / <task> group_left ()
		max without (level) (oms:task_delay_threshold:seconds{level="` + level + `", <one>})`
}

func number(f float64) *float64 { return &f }

// ordered adds a label that sorts steps by when they began. Those that have not come last.
const ordered = `* <step> group_left (order) count_values without () ("order",
	oms_task_step_start_timestamp_seconds{<one>} or <step> 9999999999 * oms_task_step_status{<one>})`

func taskSteps() row {
	return row{title: "Steps", panels: []panel{
		{
			title: "Step timeline", w: 14, h: 9, look: timeline, unit: "none", mapping: stepStates,
			says: `Which step was in which state, in the order in which they began. MONITORING is an
				incremental step that has caught up; RUNNING at a switchover waits for a person. A gap
				means that nothing was known.`,
			queries: []query{{expr: `oms:task_step_status:code{<one>} ` + ordered, legend: "{{step}}"}},
		},
		{
			title: "Progress", w: 10, h: 9, look: bars, unit: "percentunit",
			min: number(0), max: number(1), steps: steps("blue", at(1, "green")),
			says: `How far each step is. 100 % is not caught up: an incremental step stays at it
				however far behind it is, and a finished verification stays RUNNING.`,
			queries: []query{{
				expr:   `sort(oms_task_step_progress_ratio{<one>})`,
				legend: "{{step}}",
			}},
		},
		taskStepTable(),
		{
			title: "Copied in", w: 6, h: 8, look: named, unit: "s",
			nothing: "nothing is copied, or no record moves",
			says: `How long the steps that count records will still take, at the speed of the last
				half hour and by OMS's estimate of how many there are. It is not there while no record
				moves.`,
			queries: []query{{
				expr: `(
					(oms_task_step_estimated_records{<one>} - oms_task_step_processed_records{<one>})
					/ (deriv(oms_task_step_processed_records{<one>}[30m]) > 0)
				) and <step> oms_task_step_status{status="RUNNING", <one>}`,
				legend: "{{step}}",
			}},
		},
		{
			title: "Records, source and target", w: 6, h: 8, look: lines, unit: "rps",
			says: `Records read from the source and written to the target, per second. Both at zero
				while a step is RUNNING: it is stuck.`,
			queries: ends("records_per_second"),
		},
		{
			title: "Bytes, source and target", w: 6, h: 8, look: lines, unit: "Bps",
			says: `Bytes read from the source and written to the target, per second. Far fewer bytes
				at the same rate of records are smaller records, not a slower network.`,
			queries: ends("bytes_per_second"),
		},
		{
			title: "Which side is slow?", w: 6, h: 8, look: lines, unit: "s",
			says: `How long a record takes to be read from the source, and to be written to the
				target. Fix the slower side: the source if reads are slow, the target if writes are.`,
			queries: ends("latency_seconds"),
		},
	}}
}

// ends are the queries of a metric at both the source and the sink of each
// step.
func ends(figure string) []query {
	return []query{
		{expr: `oms_task_step_source_` + figure + `{<one>}`, legend: "{{step}}: source"},
		{
			expr: `oms_task_step_sink_` + figure + `{<one>}`, legend: "{{step}}: target",
			style: []dashboard.DynamicConfigValue{dashed()},
		},
	}
}

func taskStepTable() panel {
	const took = `(
		oms_task_step_finish_timestamp_seconds{<one>}
		or <step> (oms:clock:timestamp_seconds{<sel>} + <oms> group_right ()
			0 * oms_task_step_start_timestamp_seconds{<one>})
	) - <step> group_left () oms_task_step_start_timestamp_seconds{<one>}`
	return panel{
		title: "Steps in figures", w: 24, h: 9, unit: "none", look: bare,
		says: `When each step began and ended, how long it has taken, and how long one percent of it
			takes: multiply that by the percents that are left.`,
		table: &table{
			by: []string{"step", "task_id", "task_name"}, sort: "Began", rising: true,
			columns: []column{
				{title: "Step", label: "step", width: 220},
				{
					title: "State", expr: `oms:task_step_status:code{<one>}`, words: stepStates,
					cell: filled, width: 110,
				},
				{
					title: "Progress", expr: `oms_task_step_progress_ratio{<one>}`,
					unit: "percentunit", cell: gauged, max: 1, steps: steps("blue", at(1, "green")),
				},
				{
					title: "Began", unit: "dateTimeAsIso",
					expr: `oms_task_step_start_timestamp_seconds{<one>} * 1000`,
				},
				{
					title: "Ended", unit: "dateTimeAsIso",
					expr: `oms_task_step_finish_timestamp_seconds{<one>} * 1000`,
				},
				{title: "Took", expr: took, unit: "s"},
				{title: "A percent takes", expr: `oms:task_step_pace:seconds_per_percent{<one>}`, unit: "s"},
				{title: "Records", expr: `oms_task_step_processed_records{<one>}`, unit: "short"},
				{title: "Of about", expr: `oms_task_step_estimated_records{<one>}`, unit: "short"},
				{
					title: "Failed at", unit: "dateTimeAsIso",
					expr: `oms_task_step_failed_timestamp_seconds{<one>} * 1000`,
				},
				{title: "Error", label: "error_code", expr: `oms_task_step_error_info{<one>}`},
			},
		},
	}
}

func taskDelay() row {
	return row{title: "Delay", panels: []panel{
		{
			title: "Delay with its thresholds", w: 12, h: 10, unit: "s", steps: noise,
			look: line{drawn: true}.look, nothing: "not following its source",
			says: `Thick: how far behind the task really is. Thin: what OMS reports; where they part,
				OMS has stopped to look. Dashed: from where on it is late. Below the line at 30 s is in
				step. A gap is a time without a figure.`,
			queries: []query{
				{
					expr: `oms:task_effective_delay:seconds{<one>}`, legend: "{{direction}}",
					style: []dashboard.DynamicConfigValue{width(3), fill(15)},
				},
				{
					expr: `oms_task_sync_delay_seconds{<one>}`, legend: "{{direction}}, reported",
				},
				{
					expr:   `oms:task_delay_threshold:seconds{level="warning", <one>}`,
					legend: "late", style: []dashboard.DynamicConfigValue{dashed(), word("warning")},
				},
				{
					expr:   `oms:task_delay_threshold:seconds{level="critical", <one>}`,
					legend: "critically late",
					style:  []dashboard.DynamicConfigValue{dashed(), word("critical")},
				},
			},
		},
		{
			title: "Copied up to, against the clock", w: 12, h: 10, look: lines,
			unit: "dateTimeAsIso",
			says: `OMS's clock, and up to when changes have been applied. The gap between them is the
				delay, the slope is the speed: flat stands still, steeper than the clock catches up.`,
			queries: []query{
				{
					expr:   `oms_task_checkpoint_timestamp_seconds{<one>} * 1000`,
					legend: "{{direction}}", style: []dashboard.DynamicConfigValue{width(2)},
				},
				{
					expr: `oms:clock:timestamp_seconds{<sel>} * 1000
						and <oms> oms_task_checkpoint_timestamp_seconds{<one>}`,
					legend: "now", style: []dashboard.DynamicConfigValue{dashed(), fixed(grey)},
				},
			},
		},
		{
			title: "Replay speed over time", w: 12, h: 8, look: line{drawn: true}.look, unit: "short",
			steps: steps("red", at(1, "green")), min: number(0),
			says: `Seconds of changes applied per second, over 10 minutes and over an hour. The line at 1
				keeps pace. An hour below it with a delay that grows: this task will not recover by
				itself.`,
			queries: []query{
				{expr: `oms:task_replay_speed:ratio10m{<one>}`, legend: "{{direction}}, 10 min"},
				{
					expr: `oms:task_replay_speed:ratio1h{<one>}`, legend: "{{direction}}, 1 h",
					style: []dashboard.DynamicConfigValue{width(3)},
				},
			},
		},
		{
			title: "Alarms of OMS, by rule", w: 12, h: 8, look: history, unit: "none",
			mapping: alarmStates, perWidth: 60,
			says: `When OMS itself had alarms about the task, by its rules. ALARM here while the alerts
				beside it are quiet says that OMS's thresholds are stricter.`,
			queries: []query{{
				expr: `oms_task_rule_recent_alarms{<one>} > bool 0
					or <task> label_replace(
						oms_task_recent_alarms{<one>} > bool 0, "rule", "not told", "task_id", ".*"
					)`,
				legend: "{{rule}}",
			}},
		},
		{
			title: "Alerts of this task", w: 24, h: 7, look: timeline, unit: "none",
			mapping: alertStates, nothing: "no alert in this time",
			says: `When which alert of ours was pending and firing. Nothing here is good news only while
				OMS / Exporter shows that listings were complete.`,
			queries: []query{{
				expr: `max by (alertname, severity, step, direction) (
					2 * ALERTS{alertstate="firing", <one>} or 1 * ALERTS{alertstate="pending", <one>}
				)`,
				legend: "{{alertname}}, {{severity}} {{step}} {{direction}}",
			}},
		},
	}}
}
