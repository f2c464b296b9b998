package dashboards

import "github.com/grafana/grafana-foundation-sdk/go/dashboard"

func cutover() board {
	return board{
		uid: "oms-cutover", title: "OMS / Cut-over",
		question: "Which tasks of this wave can be switched, what holds the others, is everything across?",
		refresh:  "10s", from: "now-2h",
		variables: []variable{
			writeStoppedAt, instance, taskTag, owner, datasource, job,
		},
		filter: `, task_owner=~"$owner"`,
		marks:  []annotation{outages},
		rows:   []row{cutoverWave(), cutoverDrain(), cutoverBack(), cutoverMore()},
	}
}

const (
	ready     = `<each> (oms:task_cutover_readiness:ratio{<sel>}) == 1`
	candidate = `<each> (oms:task_cutover_candidate:bool{<sel>})`
	// switched are migrations that have been switched over.
	switched = `oms_task_step_status{step=~"<switch>", status="FINISHED", <sel>}`
	// needed selects the gates that are required; settings have neither job nor
	// instance.
	needed = `and on (gate) (oms:setting_cutover_gate:bool == 1)`
	// closed are the tasks of which a required gate is known to be closed.
	closed = `(oms:task_cutover_gate:bool{<sel>} == 0 ` + needed + `)`
	// missing are tasks that were candidates within the last hour, and of which
	// nothing is known now.
	missing = `(
		<each> (last_over_time(oms:task_cutover_candidate:bool{<sel>}[1h])) <in ended>
		unless <task> (oms_task_info{<sel>} and <task> oms:task_status:code{<sel>})
	)`
	// wave are the tasks that are to be switched. An outage does not make them
	// fewer.
	wave = `(` + candidate + ` <in> or <task> ` + missing + `)`
)

func cutoverWave() row {
	return row{title: "Wave", panels: []panel{
		api(5, 4),
		{
			title: "Tasks of the wave", w: 8, h: 4, look: named, unit: "locale", nothing: "unknown",
			says: `Migrations that have all they need; those that something is known to hold back;
				those of which something that is needed is not known; and how many are to be switched
				in all, as of the last hour. Choose the wave by its tag.`,
			queries: []query{
				{
					expr: `count(` + ready + ` <in>) <or none>`, legend: "ready",
					style: []dashboard.DynamicConfigValue{colored(steps("text", at(1, "green")))},
				},
				{
					expr: `count(<count> (` + closed + ` <in>)) <or none>`, legend: "held back",
					style: []dashboard.DynamicConfigValue{colored(steps("text", at(1, "red")))},
				},
				{
					expr:   `count(` + wave + ` unless <task> (` + ready + ` <in>) unless <task> (` + closed + ` <in>)) <or none>`,
					legend: "unknown",
					style:  []dashboard.DynamicConfigValue{colored(steps("text", at(1, "orange")))},
				},
				{expr: `count(` + wave + `) <or none>`, legend: "of"},
			},
		},
		{
			title: "Writes stopped", w: 6, h: 4, look: stacked, unit: "dateTimeAsIso",
			mapping: mapping{{0, "no time"}}, nothing: "not Unix s",
			says: `The time that was entered at the top, as a date, and how long ago that was. Compare it
				with your clock: a wrong digit makes tasks look across that are not.`,
			queries: []query{
				{expr: `1000 * ` + stopped, legend: "at"},
				{
					expr: `time() - ` + stopped + ` > -1e9 < 1e9`, legend: "ago",
					style: []dashboard.DynamicConfigValue{property("unit", "s")},
				},
			},
		},
		everythingAcross(),
		whatBlocks(),
	}}
}

// stopped is the time at which the writes were stopped, as it was entered; 0 if
// nothing was.
const stopped = `vector($write_stopped_at + 0)`

// asked is the same, if it can be that of this cut-over. Nothing is said to be
// across by a time of which a digit is missing, or that is ahead.
const asked = `(` + stopped + ` > time() - 3 * 86400 <= time())`

// across are the candidates that have applied everything from before the writes
// were stopped; those without a checkpoint are not.
const across = `(` + applied + ` - on () group_left () ` + asked + ` > 0)`

// Why nobody can say yes, as the panel numbers it.
var drainVerdicts = mapping{
	{1, "yes"},
	{2, "not yet"},
	{3, "enter the time"},
	{4, "over 3 days ago"},
	{5, "time is ahead"},
	{6, "OMS DOWN"},
	{7, "tasks gone"},
	{8, "no tasks"},
}

// everythingAcross says yes only if nothing is missing: the time, an OMS, a
// task, a checkpoint.
func everythingAcross() panel {
	return panel{
		title: "All across?", w: 5, h: 4, look: state, unit: "none", mapping: drainVerdicts,
		nothing: "unknown",
		says: `yes: every task of the wave has applied everything that was written before the writes
			stopped. Anything else says what is missing: the time, which must be of the last 3 days; an
			OMS that does not answer; tasks that were in the wave within the last hour and that OMS no
			longer lists. A task without a checkpoint is never across.`,
		queries: []query{{
			expr: `(3 + 0 * (` + stopped + ` == 0))
				or on () (4 + 0 * (` + stopped + ` <= time() - 3 * 86400))
				or on () (5 + 0 * (` + stopped + ` > time()))
				or on () (6 + 0 * (count(<api> != 1) or absent(<api>)))
				or on () (7 + 0 * count(` + missing + `))
				or on () (2 + 0 * count(` + candidate + ` <in> unless <task> ` + across + `))
				or on () (1 + 0 * count(` + across + `))
				or on () (8 + 0 * ` + asked + `)`,
		}},
	}
}

func readyTasks() panel {
	return panel{
		title: "Ready", w: 8, h: 8, unit: "none", look: bare,
		says: `The tasks that have all they need, at most 50, and how far behind they were at worst in
			the last quarter of an hour. Up to 30 s is in step.`,
		table: &table{
			by: []string{"task_id", "task_name"}, sort: "Behind", none: "none",
			columns: []column{
				taskColumn,
				{
					title: "Behind", unit: "s", width: 85,
					expr: `max_over_time(oms:task_effective_delay:seconds{direction="forward", <sel>}[15m])
						and <task> topk(50, ` + ready + ` <in>)`,
				},
			},
		},
	}
}

// whatBlocks has a column for each gate.
func whatBlocks() panel {
	// Those that lack least are worth a look first.
	const some = `topk(50, <each> (oms:task_cutover_readiness:ratio{<sel>}) < 1 <in>)`
	gate := func(title, name string, width int) column {
		return column{
			title: title, words: known, absent: "unknown", cell: filled, width: width,
			expr: `<each> (oms:task_cutover_gate:bool{gate="` + name + `", <sel>}) and <task> ` + some,
		}
	}
	return panel{
		title: "What blocks", w: 24, h: 8, unit: "none", look: bare,
		says: `The tasks that are not ready, from those that lack least on, at most 50. Each no
			is something to be done. Unknown holds a task back like no: OMS has not said, or has not
			been asked. Gates that the settings do not ask for are shown, and do not count. Tasks of
			which nothing is known have 0 % and come last.`,
		table: &table{
			by: []string{"task_id", "task_name"}, sort: "Gates", none: "none",
			columns: []column{
				taskColumn, omsColumn,
				{
					title: "Gates", expr: some + ` or <task> 0 * topk(50, ` + missing + `)`, unit: "percentunit",
					decimals: number(0), width: 80,
				},
				gate("Running", "running", 85),
				gate("Copied", "full_copy_done", 80),
				gate("In step", "in_step", 80),
				gate("Low delay", "delay_low_15m", 95),
				{
					title: "Verified", words: verdicts, absent: "unknown", cell: filled, width: 95,
					expr: verified(`<sel>`) + ` and <task> ` + some,
				},
				gate("No alarm", "no_alarm", 90),
			},
		},
	}
}

// applied is the time up to which changes of the tasks to be switched over are
// applied.
const applied = `(
	<each> (oms_task_checkpoint_timestamp_seconds{direction="forward", <sel>})
	and <task> oms:task_cutover_candidate:bool{<sel>} <in>
)`

func cutoverDrain() row {
	return row{title: "Ready, and drained after the writes have been stopped at the source", panels: []panel{
		readyTasks(),
		drained(),
	}}
}

// rest is what tasks have yet to apply, in seconds of the source's time.
const rest = `(0 - (` + applied + ` - on () group_left () ` + asked + `))`

// drained says for each task whether it is across, those that are furthest from
// it first.
func drained() panel {
	const most = `topk(50, ` + rest + `)`
	return panel{
		title: "Drained?", w: 16, h: 8, unit: "none", look: bare,
		says: `yes: everything that was written before the writes stopped has been applied. no: wait, as
			long as the last column says. unknown: the task has no checkpoint. The fifty that are
			furthest from it; nothing until a usable time is entered.`,
		table: &table{
			by: []string{"task_id", "task_name"}, sort: "Across", rising: true, none: "n/a",
			columns: []column{
				taskColumn,
				{
					title: "Across", words: known, cell: filled, width: 85,
					expr: most + ` < bool 0 or <task> topk(50,
						-1 * (` + candidate + ` <in> unless <task> ` + applied + ` and on () ` + asked + `)
					)`,
				},
				{
					title: "To drain", unit: "s", width: 100,
					expr: `clamp_min(` + most + `, 0)`,
				},
				{
					title: "Copied up to", unit: "dateTimeAsIso", width: 162,
					expr: `1000 * oms_task_checkpoint_timestamp_seconds{direction="forward", <sel>} and <task> ` + most,
				},
				{
					title: "Across in", unit: "s", width: 95,
					expr: `clamp_min(` + most + `, 0)
						/ <link> group_left () (<each> (oms:task_replay_speed:ratio10m{<sel>}) > 0.05)`,
				},
			},
		},
	}
}

func cutoverBack() row {
	return row{title: "Way back", panels: []panel{
		{
			title: "Delay of the way back", w: 12, h: 9, look: line{log: true, drawn: true}.look,
			unit: "s", steps: noise, perWidth: coarse, links: seriesLinks,
			says: `How far the old source is behind the new one, the twenty worst. While it is in step,
				below the line at 30 s, going back loses nothing. Empty: no task replays backwards, or
				nothing is known.`,
			queries: []query{{
				expr: `<each> (oms:task_effective_delay:seconds{direction="reverse", <sel>} and <link> topk(20,
					<each> (last_over_time(oms:task_effective_delay:seconds{direction="reverse", <sel>}[1h] @ end()))
					<in ended>
				))`,
				legend: "{{task_name}}",
			}},
		},
		{
			title: "Reverse step", w: 12, h: 9, look: timeline, unit: "none",
			mapping: append(nothing[:2:2], stepStates...), perWidth: coarse, links: seriesLinks,
			says: `What the step does that replays backwards, of twenty tasks of which it has begun.
				MONITORING: it follows. A task that is not here has no way back yet.`,
			queries: []query{{
				expr: `<each> (oms:task_step_status:code{step=~"REVERSE_INCR.*", <sel>}) and <step> topk(20,
					(<each> (last_over_time(oms:task_step_status:code{step=~"REVERSE_INCR.*", <sel>}[1h] @ end())) > 1)
					<in ended>
				)` + orNothing("task_name", "all tasks"),
				legend: "{{task_name}}",
			}},
		},
	}}
}

func cutoverMore() row {
	return row{title: "Progress of the wave", panels: []panel{
		{
			title: "Burn-down", w: 8, h: 9, look: line{fill: 60, stacked: true}.look, unit: "short",
			perWidth: coarser, min: number(0),
			says: `Migrations that are not ready, that are ready, and that have been switched. The wave is
				over when only the last is left. A gap is a time when nothing was known.`,
			queries: []query{
				{
					expr:   `count(<each> (oms:task_cutover_readiness:ratio{<sel>}) < 1 <in ended>) <or none>`,
					legend: "not ready", style: []dashboard.DynamicConfigValue{fixed("red")},
				},
				{
					expr:   `count(` + ready + ` <in ended>) <or none>`,
					legend: "ready", style: []dashboard.DynamicConfigValue{fixed("green")},
				},
				{
					expr:   `count(<count> (` + switched + ` <in ended>)) <or none>`,
					legend: "switched", style: []dashboard.DynamicConfigValue{fixed("dark-green")},
				},
			},
		},
		verification(),
		{
			title: "Still to drain", w: 8, h: 9, look: bars, unit: "s", links: seriesLinks,
			min: number(0), steps: steps("green", at(0.5, "orange"), at(300, "red")), nothing: "no usable time",
			says: `Seconds of changes that each task has yet to apply, the thirty that have most. A bar
				that does not shrink: the task stands still, or its source is idle and has no heartbeat
				table, so that its checkpoint does not move.`,
			queries: []query{{
				expr:   `sort_desc(topk(30, clamp_min(` + rest + `, 0)))`,
				legend: "{{task_name}}",
			}},
		},
	}}
}

func verification() panel {
	const differing = `topk(50, <each> (oms:task_verify_different:records{<sel>}) > 0 <in>)`
	return panel{
		title: "Verification differences", w: 8, h: 9, unit: "none", look: bare,
		says: `Tasks of which the last full verification found records that differ, at most 50. Do not
			switch them before that is explained: the console lists the tables. A task that is not here
			is not known to be equal: the column Verified says what is known.`,
		table: &table{
			by: []string{"task_id", "task_name"}, sort: "Differ", none: "none",
			columns: []column{
				taskColumn,
				{title: "Differ", expr: differing, unit: "locale", width: 85},
				{
					title: "Asked", unit: "s", width: 80,
					expr: `time() - oms_task_verify_result_timestamp_seconds{<sel>} and <task> ` + differing,
				},
			},
		},
	}
}
