package dashboards

import "github.com/grafana/grafana-foundation-sdk/go/dashboard"

func cutover() board {
	return board{
		uid: "oms-cutover", title: "OMS / Cut-over",
		question: "Which tasks of this wave can be switched, what holds the others, is everything across?",
		refresh:  "10s", from: "now-2h",
		variables: []variable{
			datasource, job, instance, taskTag, owner, writeStoppedAt,
		},
		filter: `, task_owner=~"$owner"`,
		alerts: taskAlerts,
		rows:   []row{cutoverWave(), cutoverDrain(), cutoverBack()},
	}
}

const (
	ready = `oms:task_cutover_readiness:ratio{<sel>} == 1`
	// switched are migrations that have been switched over.
	switched = `oms_task_step_status{step=~"<switch>", status="FINISHED", <sel>}`
	// needed selects the gates that are required; settings have neither job nor
	// instance.
	needed = `and on (gate) (oms:setting_cutover_gate:bool == 1)`
	// lacking are the tasks that are not ready.
	lacking = `(oms:task_cutover_readiness:ratio{<sel>} < 1 <in>)`
)

func cutoverWave() row {
	return row{title: "Wave", panels: []panel{
		{
			title: "Ready", w: 5, h: 8, look: named, unit: "short", nothing: "unknown",
			says: `How many migrations of the wave have all they need, of those that have yet to be
				switched. Choose the wave by its tag.`,
			queries: []query{
				{
					expr: `count(` + ready + ` <in>) <or none>`, legend: "ready",
					style: []dashboard.DynamicConfigValue{colored(steps("text", at(1, "green")))},
				},
				{expr: `count(oms:task_cutover_readiness:ratio{<sel>} <in>) <or none>`, legend: "of"},
			},
		},
		{
			title: "Burn-down", w: 19, h: 8, look: line{fill: 60, stacked: true}.look, unit: "short",
			perWidth: coarser,
			says: `Migrations that something holds back, that are ready, and that have been switched.
				The wave is over when only the last is left. A dip to nothing is a time when nothing
				was known.`,
			queries: []query{
				{
					expr:   `count(oms:task_cutover_readiness:ratio{<sel>} < 1 <in ended>) <or none>`,
					legend: "held back", style: []dashboard.DynamicConfigValue{fixed("red")},
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
		whatBlocks(),
		{
			title: "Gates of the ten that lack least", w: 24, h: 16, look: history, unit: "none",
			mapping: yesNo, perWidth: 60, links: seriesLinks,
			says: `A box for each gate: no is what holds the task back, and so does a gap, while the
				gate is not known. A gate that comes and goes is a
				task that is not steady: do not switch it in a good moment.`,
			queries: []query{{
				expr: `(
					oms:task_cutover_gate:bool{<sel>} and <task> topk(10,
						(last_over_time(oms:task_cutover_readiness:ratio{<sel>}[1h] @ end()) < 1) <in ended>
					)
				) ` + needed,
				legend: "{{task_name}}: {{gate}}",
			}},
		},
		{
			title: "Readiness", w: 8, h: 12, look: bars, unit: "percentunit", links: seriesLinks,
			min: number(0), max: number(1), steps: steps("orange", at(1, "green")),
			says: `What share of what is needed each task has, the thirty that lack least. Only 100 %
				may be switched.`,
			queries: []query{{
				expr:   `sort_desc(topk(30, oms:task_cutover_readiness:ratio{<sel>} <in>))`,
				legend: "{{task_name}}",
			}},
		},
		{
			title: "Delay, worst of 15 minutes", w: 8, h: 12, look: bars, unit: "s",
			min: number(0), steps: steps("green", at(30, "red")), links: seriesLinks,
			says: `The greatest delay of each candidate in the last quarter of an hour, the thirty
				worst. Up to 30 s is in step, and what a cut-over needs.`,
			queries: []query{{
				expr: `sort_desc(topk(30,
					max_over_time(oms:task_effective_delay:seconds{direction="forward", <sel>}[15m])
					and <task> oms:task_cutover_candidate:bool{<sel>} <in>
				))`,
				legend: "{{task_name}}",
			}},
		},
		{
			title: "Verification differences", w: 8, h: 12, look: named, unit: "short",
			steps: steps("green", at(1, "red")), links: seriesLinks,
			nothing: "unknown",
			says: `Records that the last full verification found to differ, the twenty worst tasks. Do not
				switch before they are explained: the console lists them by table. A task that is not
				here is not known to be equal: it has no result, or --collector.verify is off.`,
			queries: []query{{
				expr:   `sort_desc(topk(20, oms:task_verify_different:records{<sel>} <in>))`,
				legend: "{{task_name}}",
			}},
		},
	}}
}

// whatBlocks has a column for each gate.
func whatBlocks() panel {
	const some = `topk(50, ` + lacking + `)`
	gate := func(title, name string) column {
		return column{
			title: title, words: known, cell: filled,
			expr: `(
				(oms:task_cutover_gate:bool{gate="` + name + `", <sel>} and <task> ` + some + `)
				or label_replace(0 * ` + some + ` - 1, "gate", "` + name + `", "", "")
			) ` + needed,
		}
	}
	return panel{
		title: "What blocks", w: 24, h: 11, unit: "none", look: bare,
		says: `The tasks that are not ready, from those that lack least on, at most 50. Each no
			is something to be done. Unknown holds a task back like no: OMS has not said, or has not
			been asked. An empty cell is a gate that the settings do not ask for.`,
		table: &table{
			by: []string{"task_id", "task_name"}, sort: "Has",
			columns: with([]column{
				taskColumn, omsColumn,
				{
					title: "Has", expr: some + " <who>", unit: "percentunit", cell: gauged, max: 1,
					steps: steps("orange", at(1, "green")),
				},
				gate("Running", "running"),
				gate("Copied", "full_copy_done"),
				gate("In step", "in_step"),
				gate("Low delay for 15 min", "delay_low_15m"),
				gate("Verified", "verified"),
				gate("No alarm of OMS", "no_alarm"),
			}, whoColumns...),
		},
	}
}

// applied is the time up to which changes of the tasks to be switched over are
// applied.
const applied = `(
	oms_task_checkpoint_timestamp_seconds{direction="forward", <sel>}
	and <task> oms:task_cutover_candidate:bool{<sel>} <in>
)`

func cutoverDrain() row {
	return row{title: "Drain, after the writes have been stopped at the source", panels: []panel{
		{
			title: "Everything across?", w: 5, h: 9, look: named, unit: "short", nothing: "unknown",
			says: `How many tasks have applied everything that was written before the writes stopped.
				Enter that time at the top. Switch when both figures agree, and only while OMS answers.
				A task without a checkpoint never counts as across.`,
			queries: []query{
				{
					expr: `count(` + applied + ` > $write_stopped_at) <or none>`, legend: "across",
					style: []dashboard.DynamicConfigValue{colored(steps("text", at(1, "green")))},
				},
				// A task without a checkpoint does not count as across.
				{
					expr: `count(oms:task_cutover_candidate:bool{<sel>} <in>) <or none>`, legend: "of",
				},
			},
		},
		drained(),
		{
			title: "Still to drain", w: 7, h: 9, look: bars, unit: "s", links: seriesLinks,
			min: number(0), steps: steps("green", at(0.5, "orange"), at(300, "red")),
			says: `Seconds of changes that each task has yet to apply, the thirty that have most. A bar
				that does not shrink: the task stands still, or its source is idle and has no heartbeat
				table, so that its checkpoint does not move.`,
			queries: []query{{
				expr:   `sort_desc(topk(30, clamp_min($write_stopped_at - ` + applied + `, 0)))`,
				legend: "{{task_name}}",
			}},
		},
	}}
}

// drained says for each task whether it is across, those that are furthest from
// it first.
func drained() panel {
	const rest = `topk(50, $write_stopped_at - ` + applied + `)`
	return panel{
		title: "Drained?", w: 12, h: 9, unit: "none", look: bare,
		says: `yes: everything that was written before the writes stopped has been applied. no: wait, as
			long as the last column says. The fifty that are furthest from it.`,
		table: &table{
			by: []string{"task_id", "task_name", "direction"}, sort: "Still to drain",
			columns: []column{
				taskColumn, omsColumn,
				{
					title: "Still to drain", unit: "s",
					expr: `clamp_min(` + rest + `, 0)`,
				},
				{
					title: "Across", words: yesNo, cell: filled, width: 80,
					expr: rest + ` < bool 0`,
				},
				{
					title: "Copied up to", unit: "dateTimeAsIso",
					expr: `1000 * oms_task_checkpoint_timestamp_seconds{<sel>} and <link> ` + rest,
				},
				{
					title: "Across in", unit: "s",
					expr: `clamp_min(` + rest + `, 0)
						/ <link> group_left () (oms:task_replay_speed:ratio10m{<sel>} > 0.05)`,
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
			nothing: "no task replays backwards",
			says: `How far the old source is behind the new one, the twenty worst. While it is in step,
				below the line at 30 s, going back loses nothing.`,
			queries: []query{{
				expr: `oms:task_effective_delay:seconds{direction="reverse", <sel>} and <link> topk(20,
					last_over_time(oms:task_effective_delay:seconds{direction="reverse", <sel>}[1h] @ end())
					<in ended>
				)`,
				legend: "{{task_name}}",
			}},
		},
		{
			title: "Reverse step", w: 12, h: 9, look: timeline, unit: "none", mapping: stepStates,
			perWidth: coarse, links: seriesLinks, nothing: "no task has a reverse step",
			says: `What the step does that replays backwards, thirty tasks, those at work first.
				MONITORING: it follows. INIT: there is no way back yet.`,
			queries: []query{{
				expr: `oms:task_step_status:code{step=~"REVERSE_INCR.*", <sel>} and <step> topk(30,
					(last_over_time(oms:task_step_status:code{step=~"REVERSE_INCR.*", <sel>}[1h] @ end()) > bool 1)
					<in ended>
				)`,
				legend: "{{task_name}}",
			}},
		},
	}}
}
