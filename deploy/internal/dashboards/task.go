package dashboards

import (
	"strconv"

	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

func task() board {
	return board{
		uid: "oms-task", title: "OMS / Task",
		question:  "What is this task doing, since when, and when will it be done?",
		refresh:   "30s",
		from:      "now-6h",
		variables: []variable{taskID, find, instance, datasource, job},
		marks: []annotation{
			{
				// An alert that goes on would cover the charts.
				name: "Alerts", color: "orange", tags: "alertname,severity",
				expr: `ALERTS{alertstate="firing", scope="task", <one>}
					unless ALERTS{alertstate="firing", scope="task", <one>} offset 1m`,
				title: "{{alertname}} begins", text: "{{severity}} {{step}} {{direction}}",
			},
			outagesOf(` and <oms> ` + home),
		},
		rows: []row{taskNow(), taskDelay(), taskSteps(), taskMore()},
	}
}

// home finds the OMS of the task, even if it does not answer.
const home = `<each> (last_over_time(oms:task_whose:info{<one>}[1d] @ end()))`

func taskNow() row {
	ownAPI := api(4, 4)
	ownAPI.queries = []query{{expr: `<api> and <oms> ` + home, legend: "{{instance}}"}}
	return row{title: "Now", panels: []panel{
		{
			title: "Status", w: 4, h: 4, look: state, unit: "none", nothing: "unknown",
			mapping: append(taskStates[:len(taskStates):len(taskStates)], meaning{-1, "not listed"}),
			says: `What OMS says that the task does. RUNNING says nothing about its delay; SUSPEND and
				FAILED use up the logs that it needs to resume. not listed: OMS answers, and no longer
				has the task, or the exporter leaves it out.`,
			queries: []query{{
				expr: `<each> (oms:task_status:code{<one>})
					or on () -1 * count(oms_up{<sel>} == 1 and <oms> ` + home + `)`,
			}},
		},
		ownAPI,
		{
			title: "Behind", w: 6, h: 4, look: named, unit: "s", nothing: "n/a",
			says: `How far behind the task is at worst: what OMS reports, and the age of its sample
				beyond the 30 s that sampling takes; and that as a multiple of what it may be behind.
				From 1 × on it is late; under 30 s it is in step. n/a: it does not follow its source,
				or nothing is known; see OMS API.`,
			queries: []query{
				{expr: `<each> (oms:task_effective_delay:seconds{<one>})`, legend: "{{direction}}"},
				{
					expr: multiple("warning"), legend: "× limit",
					style: []dashboard.DynamicConfigValue{
						property("unit", times), property("decimals", 1), colored(share),
					},
				},
			},
		},
		{
			title: "Catching up", w: 6, h: 4, look: named, unit: times, decimals: number(2), steps: pace,
			mapping: inStep, nothing: "n/a",
			says: `Seconds of the source's changes that are applied per second, over 10 minutes: 1 × keeps
				pace, above it catches up, below it falls behind, 0 stands still, whatever the delay says.
				And how long until it is in step at this speed, which is only there while it catches up. in
				step: at most 30 s behind.`,
			queries: []query{
				{expr: `<each> (oms:task_replay_speed:ratio10m{<one>})`, legend: "speed"},
				{
					expr: `<each> (oms:task_catchup_eta:seconds{<one>})
						or <link> -1 + 0 * (<each> (oms:task_effective_delay:seconds{<one>}) <= 30)`,
					legend: "done in",
					style:  []dashboard.DynamicConfigValue{property("unit", "s"), property("decimals", nil), colored(plain)},
				},
			},
		},
		{
			title: "Resumable", w: 4, h: 4, look: named, unit: "s", nothing: "n/a",
			steps: steps("red", at(0, "text")),
			says: `How long the task can stay as it is before its logs are gone. Below zero they
				probably are. n/a: it needs none, or nothing is known.`,
			queries: []query{{
				expr: `<each> (oms:task_resume_window_left:seconds{<one>})`, legend: "{{direction}}",
			}},
		},
		taskStory(),
		taskErrors(),
		taskIdentity(),
	}}
}

// alertCode is added to the numbers of alert states where statuses are, too.
const alertCode = 100

// taskStory is what happened to the task: its status, and alerts about it.
func taskStory() panel {
	words := append(mapping{{-1, "unknown"}}, taskStates...)
	words = append(words, meaning{alertCode, "none"}, meaning{alertCode + 1, "pending"}, meaning{alertCode + 2, "firing"})
	return panel{
		title: "Status and alerts", w: 13, h: 7, look: timeline, unit: "none", mapping: words,
		says: `Since when the task is in its status, and when which alert of ours was pending and
			firing. No alert is good news only while OMS answers. A gap means that nothing was
			known.`,
		queries: []query{
			{
				expr: `max(oms:task_status:code{<one>}) or vector(-1)`, legend: "status",
			},
			{
				expr: `max by (alertname, step) (
					102 * ALERTS{alertstate="firing", <one>} or 101 * ALERTS{alertstate="pending", <one>}
				) or on () label_replace(0 * count(oms_up{<sel>} == 1 and <oms> ` + home + `) + 100 or vector(-1),
					"alertname", "alerts", "", "")`,
				legend: "{{alertname}} {{step}}",
			},
		},
	}
}

func taskErrors() panel {
	const (
		ofStep = `<each> (oms_task_step_error_info{<one>})`
		ofTask = `<each> (oms_task_error_info{<one>})`
		ago    = `<each> (oms:clock:timestamp_seconds{<sel>}) - <oms> group_right () <each> `
	)
	return panel{
		title: "Errors", w: 11, h: 7, unit: "none", look: bare,
		says: `The error codes of the task and its steps, which are what to look for in the console and
			in OMS's documents, and how long ago the task or the step last failed. A task that has
			recovered may still have one. No step: the error is the task's.`,
		table: &table{
			by: []string{"task_id", "step", "error_code", "level"}, sort: "Failed", rising: true,
			none: "no error", known: "oms_task_info{<one>}",
			columns: []column{
				{title: "Error", label: "error_code"},
				{title: "Step", label: "step", width: 124},
				{
					title: "Failed", unit: "s", width: 90, words: mapping{{-1, "unknown"}},
					expr: ofStep + ` * <step> group_left () (` + ago + `(oms_task_step_failed_timestamp_seconds{<one>}))
						or ` + ofTask + ` * <task> group_left () (` + ago + `(oms_task_failed_timestamp_seconds{<one>}))
						or -1 * ` + ofStep + ` or -1 * ` + ofTask,
				},
			},
		},
	}
}

func taskIdentity() panel {
	const whose = `topk(1, last_over_time(oms:task_whose:info{<one>}[1d]))`
	return panel{
		title: "Identity", w: 24, h: 3, unit: "none", look: bare,
		says: `What the task is and whose, as OMS last listed it within a day, and its limit: how far it
			may be behind before it is late, which none means that it never is.`,
		table: &table{
			by: []string{"task_id", "task_name"}, none: "n/a",
			columns: []column{
				{title: "Task", label: "task_name"},
				{title: "Id", label: "task_id", width: 130},
				{title: "OMS", label: "instance", width: 85},
				{title: "Type", label: "task_type", width: 95},
				{title: "Importance", label: "importance", width: 96},
				{title: "Owner", label: "task_owner", width: 95},
				{title: "From", label: "source_name"},
				{title: "To", label: "sink_name"},
				{
					title: "Limit", unit: "s", width: 80, words: mapping{{-1, "none"}, {-2, "unknown"}},
					expr: whose + ` * <task> group_left () max by (instance, task_id) (
						oms:task_delay_threshold:seconds{level="warning", <one>}
					) or -1 * ` + whose + ` and <task> oms_task_info{<one>} or -2 * ` + whose,
				},
			},
		},
	}
}

// multiple is the delay as a multiple of a threshold.
func multiple(level string) string {
	return `<each> (oms:task_effective_delay:seconds{<one>}) / <task> group_left ()
		max by (instance, task_id) (oms:task_delay_threshold:seconds{level="` + level + `", <one>})`
}

func number(f float64) *float64 { return &f }

// following are the directions that a checkpoint of which is of interest: those
// at work, or all if none is.
func following(metric string) string {
	return `(<each> (` + metric + `) and <link> oms:task_live:bool{<one>}
		or <each> (` + metric + `) unless <task> oms:task_live:bool{<one>})`
}

func taskDelay() row {
	return row{title: "Delay", panels: []panel{
		{
			title: "Delay with its thresholds", w: 14, h: 9, unit: "s", steps: noise, min: number(0),
			look: line{drawn: true}.look,
			says: `Thick: how far behind the task really is. Thin: what OMS reports; where they part,
				OMS has stopped looking. Dashed: from where on it is late. Below the line at 30 s is in
				step. A gap is a time without a figure.`,
			queries: []query{
				{
					expr: `<each> (oms:task_effective_delay:seconds{<one>})`, legend: "{{direction}}",
					style: []dashboard.DynamicConfigValue{width(3), fill(15)},
				},
				{
					expr: `<each> (oms_task_sync_delay_seconds{<one>})`, legend: "{{direction}}, reported",
				},
				{
					expr:   `<each> (oms:task_delay_threshold:seconds{level="warning", <one>})`,
					legend: "late", style: []dashboard.DynamicConfigValue{dashed(), word("warning")},
				},
				{
					expr:   `<each> (oms:task_delay_threshold:seconds{level="critical", <one>})`,
					legend: "critically late",
					style:  []dashboard.DynamicConfigValue{dashed(), word("critical")},
				},
			},
		},
		{
			title: "Replay speed over time", w: 10, h: 9, look: line{drawn: true}.look, unit: times,
			steps: steps("red", at(1, "green")), min: number(0),
			says: `Seconds of changes applied per second, over 10 minutes and over an hour. The line at 1
				keeps pace. An hour below it with a delay that grows: this task will not recover by
				itself.`,
			queries: []query{
				{expr: `<each> (oms:task_replay_speed:ratio10m{<one>})`, legend: "{{direction}}, 10 min"},
				{
					expr: `<each> (oms:task_replay_speed:ratio1h{<one>})`, legend: "{{direction}}, 1 h",
					style: []dashboard.DynamicConfigValue{width(3)},
				},
			},
		},
	}}
}

func taskSteps() row {
	return row{title: "Steps", panels: []panel{
		{
			title: "Step timeline", w: 24, h: 9, look: timeline, unit: "none",
			mapping: append(nothing[:2:2], stepStates...),
			says: `Which step was in which state, in the order in which they began. MONITORING is an
				incremental step that has caught up; RUNNING at a switchover waits for a person. A gap
				means that nothing was known.`,
			queries: []query{{
				expr: `<each> (oms:task_step_status:code{<one>}) * <step> group_left (order)
					count_values without () ("order", ` + began + `)` + orNothing("step", "steps"),
				legend: "{{step}}",
			}},
		},
		taskStepTable(),
		{
			title: "Copied in", w: 6, h: 6, look: named, unit: "s", nothing: "n/a",
			says: `How long the steps that count records will still take, at the speed of the last
				half hour and by OMS's estimate of how many there are. n/a: nothing is copied, or no
				record moves.`,
			queries: []query{{
				expr: `<each> ((
					(oms_task_step_estimated_records{<one>} - oms_task_step_processed_records{<one>})
					/ (deriv(oms_task_step_processed_records{<one>}[30m]) > 0)
				)) and <step> oms_task_step_status{status="RUNNING", <one>}`,
				legend: "{{step}}",
			}},
		},
		{
			title: "Records", w: 6, h: 6, look: line{upTo: 1}.look, unit: "suffix: rec/s", min: number(0),
			says: `Records read from the source and written to the target by the steps at work, per
				second. Both at zero while a step is RUNNING: it is stuck.`,
			queries: ends("records_per_second"),
		},
		{
			title: "Bytes", w: 6, h: 6, look: line{upTo: 1}.look, unit: "Bps", min: number(0),
			says: `Bytes read from the source and written to the target by the steps at work, per
				second. Far fewer bytes at the same rate of records are smaller records, not a slower
				network.`,
			queries: ends("bytes_per_second"),
		},
		{
			title: "Which side is slow?", w: 6, h: 6, look: lines, unit: "s", min: number(0),
			says: `How long a record takes to be read from the source, and to be written to the
				target. Fix the slower side: the source if reads are slow, the target if writes are.`,
			queries: ends("latency_seconds"),
		},
	}}
}

// notYet stands for when a step began that has not: it comes last.
const notYet = 9_999_999_999

// began is when each step began.
var began = `(
	<each> (oms_task_step_start_timestamp_seconds{<one>})
	or <step> 0 * <each> (oms:task_step_status:code{<one>}) + ` + strconv.Itoa(notYet) + `
)`

// ends are the queries of a metric at both the source and the sink of each step
// at work.
func ends(figure string) []query {
	const atWork = ` and <step> oms_task_step_status{status=~"RUNNING|MONITORING", <one>}`
	return []query{
		{
			expr:   `<each> (oms_task_step_source_` + figure + `{<one>})` + atWork,
			legend: "{{step}}: source",
		},
		{
			expr:   `<each> (oms_task_step_sink_` + figure + `{<one>})` + atWork,
			legend: "{{step}}: target", style: []dashboard.DynamicConfigValue{dashed()},
		},
	}
}

func taskStepTable() panel {
	const took = `(
		<each> (oms_task_step_finish_timestamp_seconds{<one>})
		or <step> (<each> (oms:clock:timestamp_seconds{<sel>}) + <oms> group_right ()
			0 * <each> (oms_task_step_start_timestamp_seconds{<one>}))
	) - <step> group_left () <each> (oms_task_step_start_timestamp_seconds{<one>})`
	return panel{
		title: "Steps in figures", w: 24, h: 8, unit: "none", look: bare,
		says: `When each step began and ended, how long it has taken, how far it is, and how long one
			percent of it takes. 100 % is not caught up: an incremental step stays at it however far
			behind it is, and a finished verification stays RUNNING.`,
		table: &table{
			by: []string{"step", "task_id", "task_name"}, inOrder: true, none: "no steps", known: "oms_task_info{<one>}",
			columns: []column{
				{title: "Step", label: "step"},
				{
					title: "Began", unit: "dateTimeAsIso", width: 162, words: mapping{{notYet * 1000, "not yet"}},
					expr: `1000 * ` + began,
				},
				{
					title: "Ended", unit: "dateTimeAsIso", width: 162,
					expr: `oms_task_step_finish_timestamp_seconds{<one>} * 1000`,
				},
				{title: "Took", expr: took, unit: "s", width: 95},
				{
					title: "State", expr: `<each> (oms:task_step_status:code{<one>})`, words: stepStates,
					cell: filled, width: 105,
				},
				{
					title: "Progress", expr: `oms_task_step_progress_ratio{<one>}`, width: 100,
					unit: "percentunit", decimals: number(0), cell: gauged, max: 1, steps: steps("blue", at(1, "green")),
				},
				{title: "1 % takes", expr: `oms:task_step_pace:seconds_per_percent{<one>}`, unit: "s", width: 88},
				{title: "Records", expr: `oms_task_step_processed_records{<one>}`, unit: "short", width: 80},
			},
		},
	}
}

func taskMore() row {
	return row{title: "More", panels: []panel{
		{
			title: "Copied up to", w: 5, h: 4, look: named, unit: "dateTimeAsIso", nothing: "n/a",
			says: `Up to when the source's changes have arrived. Compare it with the last change that
				you expect to find at the target.`,
			queries: []query{{
				expr: following(`oms_task_checkpoint_timestamp_seconds{<one>}`) + ` * 1000`, legend: "{{direction}}",
			}},
		},
		{
			title: "Sampled", w: 4, h: 4, look: named, unit: "s", nothing: "n/a",
			steps: steps("green", at(60, "orange"), at(300, "red")),
			says: `How long ago OMS looked at the delay of a task that follows. Over a minute, the
				delay in the console is old.`,
			queries: []query{{
				expr:   `<each> (oms:task_delay_sample_age:seconds{<one>}) and <link> oms:task_live:bool{<one>}`,
				legend: "{{direction}}",
			}},
		},
		{
			title: "Logs left", w: 4, h: 4, look: named, unit: "percentunit", decimals: number(0),
			steps: window, nothing: "n/a",
			says: `How much of the logs that the task resumes from is left. At 0 it has to be rebuilt
				from scratch.`,
			queries: []query{{
				expr: `<each> (oms:task_resume_window_left:ratio{<one>})`, legend: "{{direction}}",
			}},
		},
		{
			title: "OMS alarm", w: 4, h: 4, look: figures, unit: "none", mapping: alarmStates,
			nothing: "unknown",
			says: `Whether OMS itself has an alarm about the task. Its text is in the alert center of
				the console.`,
			queries: []query{{expr: `<each> (oms_task_alarming{<one>})`}},
		},
		{
			title: "Verification", w: 7, h: 4, look: figures, unit: "none", mapping: verdicts,
			nothing: "unknown",
			says: `What the last full verification found. differs: the console lists the tables. unknown:
				OMS has not been asked, see --collector.verify, or nothing is known of the task.`,
			queries: []query{{expr: verified(`<one>`)}},
		},
		components(),
		{
			title: "Alarms of OMS, by rule", w: 12, h: 7, look: history, unit: "none",
			mapping: append(alarmStates[:2:2], meaning{-1, "unknown"}), perWidth: 60,
			says: `When OMS itself had alarms about the task, by its rules. ALARM here while the alerts
				above are quiet says that OMS's thresholds are stricter.`,
			queries: []query{{
				expr: `max by (rule) (oms_task_rule_recent_alarms{<one>} > bool 0
					or <task> label_replace(
						oms_task_recent_alarms{<one>} > bool 0, "rule", "any rule", "task_id", ".*"
					))` + orNothing("rule", "any rule"),
				legend: "{{rule}}",
			}},
		},
		{
			title: "Gates of the cut-over", w: 24, h: 7, look: timeline, unit: "none", mapping: gates,
			says: `What a migration needs to be switched over, and since when it has it. A gate that comes
				and goes is a task that is not steady: do not switch it in a good moment. A gap is a gate
				that is not known, which holds the task back like no.`,
			queries: []query{{
				expr: `<each> (oms:task_cutover_gate:bool{<one>}) + 1` +
					orNothing("gate", "not to be switched over"),
				legend: "{{gate}}",
			}},
		},
	}}
}

// gates are what a gate says, so that 0 is left for there being none.
var gates = mapping{{2, "yes"}, {1, "no"}, {0, "none"}, {-1, "unknown"}}

func components() panel {
	return panel{
		title: "Components", w: 12, h: 7, unit: "none", look: bare,
		says: `What OMS says of the processes behind the task: store reads changes, incr_sync applies
			them. Only for tasks in trouble, and only with --collector.component; asked at most every 5
			minutes.`,
		table: &table{
			by: []string{"task_id", "component", "direction", "status"}, none: "not asked for", known: "oms_task_info{<one>}",
			columns: []column{
				{title: "Component", label: "component"},
				{title: "Way", label: "direction", width: 80},
				{title: "Status", label: "status", width: 110},
				{
					title: "Behind", unit: "s", width: 125, words: mapping{{-1, "unknown"}},
					expr: `<each> (oms_task_component_status{<one>})
						* on (instance, task_id, component, direction) group_left ()
						<each> (oms_task_component_delay_seconds{<one>})
						or -1 * <each> (oms_task_component_status{<one>})`,
				},
			},
		},
	}
}
