package dashboards

import (
	"strconv"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/heatmap"
)

// The maximum number of points of queries over time that look at all tasks to
// show a few, that count all tasks, and that sort all tasks: every 3, 6 and 8
// minutes in 6 hours.
const (
	coarse   = 120
	coarser  = 60
	coarsest = 45 // count_values makes a label for each task and point
)

func fleet(outside Outside) board {
	return board{
		uid: "oms-fleet", title: "OMS / Fleet",
		question: "Which of my tasks needs a person right now?",
		refresh:  "30s", from: "now-6h",
		variables: []variable{
			instance, taskType, importance, owner, taskTag, datasource, job,
		},
		filter: `, task_type=~"$type", importance=~"$importance", task_owner=~"$owner"`,
		marks:  []annotation{outages},
		rows:   []row{fleetGlance(), fleetTrouble(outside), fleetHistory()},
	}
}

// api is the panel that every board has: what it says of tasks is only known
// while OMS answers.
func api(width, height uint32) panel {
	return panel{
		title: "OMS API", w: width, h: height, look: states, unit: "none", mapping: reachable,
		nothing: "unknown",
		says: `up: OMS answers, all figures here are current. DOWN: OMS does not answer. EXPORTER DOWN: its
			exporter does not. GONE: it was watched within 3 hours, and no longer is. NO EXPORTER:
			Prometheus scrapes none. Then nothing is known about tasks, although replication may be
			healthy; OMS / Exporter says why. The six that are worst.`,
		queries: []query{{expr: `bottomk(6, <api>) or on () vector(-3)`, legend: "{{instance}}"}},
	}
}

// oldest is the panel with the age of the data.
func oldest(title string, width uint32) panel {
	return panel{
		title: title, w: width, h: 4, look: figures, unit: "s", mapping: ages, nothing: "unknown",
		steps: steps("green", at(120, "orange"), at(600, "red")),
		says: `How old the oldest of the last complete listings is. Up to two scrape intervals is
			normal; over 10 minutes, nothing on this board is about now. never: an OMS has not
			answered since its exporter started.`,
		queries: []query{{expr: `max(<age>)`}},
	}
}

func fleetGlance() row {
	return row{title: "At a glance", panels: []panel{
		api(7, 4),
		oldest("Data age", 4),
		{
			title: "Late", w: 4, h: 4, look: named, unit: "locale", nothing: "unknown", steps: none,
			says: `Tasks further behind than they may be: over the warning threshold of their
				importance, or of the exporter's configuration, and of these over the critical one.
				The table of worst tasks names them.`,
			queries: []query{
				{
					expr:   `count(<count> (oms:task_late:seconds{level="warning", <sel>} <in>)) <or none>`,
					legend: "late",
				},
				{
					expr:   `count(<count> (oms:task_late:seconds{level="critical", <sel>} <in>)) <or none>`,
					legend: "critically",
					style:  []dashboard.DynamicConfigValue{colored(steps("text", at(1, "red")))},
				},
			},
		},
		{
			title: "Failed, frozen, low on logs, ready", w: 9, h: 4, look: named, unit: "locale", nothing: "unknown",
			says: `failed: tasks that have failed; they have no delay, so the table of worst tasks does not
				show them. frozen: tasks that run but apply nothing, or whose delay OMS has stopped
				measuring; the console may show a small delay for them all the same. low on logs: those
				that have used up more than half of the logs that they need to resume; when these run out
				a task has to be rebuilt from scratch. ready: migrations that can be switched, which
				OMS / Cut-over names.`,
			queries: []query{
				{
					expr:   `count(<count> (oms_task_status{status="FAILED", <sel>} == 1 <in>)) <or none>`,
					legend: "failed", style: []dashboard.DynamicConfigValue{colored(steps("text", at(1, "red")))},
				},
				{
					expr: `count(<count> (
						ALERTS{alertstate="firing", symptom=~"frozen|stale", <sel><whose>} <unless others>
					)) <or none>`,
					legend: "frozen", style: []dashboard.DynamicConfigValue{colored(steps("text", at(1, "red")))},
				},
				{
					expr:   `count(<count> (oms:task_resume_window_left:ratio{<sel>} < 0.5 <in>)) <or none>`,
					legend: "low on logs", style: []dashboard.DynamicConfigValue{colored(none)},
				},
				{
					expr:   `count(<count> (oms:task_cutover_readiness:ratio{<sel>} == 1 <in>)) <or none>`,
					legend: "ready", style: []dashboard.DynamicConfigValue{colored(steps("text", at(1, "green")))},
				},
			},
		},
	}}
}

// byStatus has a tile for each status, and always one for those that matter.
func byStatus() panel {
	return panel{
		title: "Tasks by status", w: 24, h: 4, look: colorsByName(states), unit: "locale",
		nothing: "unknown", steps: steps("transparent"),
		says: `How many tasks OMS lists in which status. Released and deleted ones are missing
			where the exporter leaves them out.`,
		queries: []query{{
			expr: `count by (status) (<each> (oms_task_status{<sel>} == 1) <in>)
				or on (status) 0 * sum by (status) (
					oms_tasks{status=~"INIT|RUNNING|SUSPEND|FAILED|FINISHED", <sel>}
				)`,
			legend: "{{status}}",
		}},
	}
}

// colorsByName gives a series that is named like a state the color of that
// state, if anything is in that state.
func colorsByName(l look) look {
	return func(p *dashboard.Panel) {
		l(p)
		for _, status := range append(taskStates.names(), "RUNNING_MODIFYING", "RUNNING_MERGING") {
			p.FieldConfig.Overrides = append(p.FieldConfig.Overrides,
				override("byName", status, colored(steps("transparent", at(1, colors[status])))))
		}
	}
}

func (m mapping) names() []string {
	var names []string
	for _, meaning := range m {
		names = append(names, meaning.word)
	}
	return names
}

// worst are the tasks that are most behind relative to their thresholds, not in
// seconds.
const worst = `topk(20,
	<each> (oms:task_effective_delay:seconds{<sel>})
	/ <task> group_left ()
	max by (instance, task_id) (oms:task_delay_threshold:seconds{level="warning", <sel>})
	<in>
)`

func fleetTrouble(outside Outside) row {
	return row{title: "Needs a person", panels: []panel{
		{
			title: "Worst tasks", w: 24, h: 7, unit: "none",
			says: `Running tasks by their delay as a multiple of what they may be behind: 1 × and more
				is late. Read the speed next: above 1 × a task catches up by itself and the time to it
				is shown; near 0 it stands still. Delays under 30 s mean in step.`,
			table: &table{
				by: []string{"task_id", "task_name", "direction"}, sort: "× limit",
				none: "none",
				columns: []column{
					taskColumn, omsColumn,
					{
						title: "× limit", expr: "(" + worst + ") <who>", unit: times, decimals: number(1), width: 92,
						cell: filled, steps: share,
					},
					{
						title: "Behind", unit: "s", width: 88,
						expr: `oms:task_effective_delay:seconds{<sel>} and <link> ` + worst,
					},
					{
						title: "Speed", unit: times, decimals: number(1), cell: tinted, steps: pace, width: 64,
						expr: `oms:task_replay_speed:ratio10m{<sel>} and <link> ` + worst,
					},
					{
						title: "Done in", unit: "s", width: 86,
						expr: `oms:task_catchup_eta:seconds{<sel>} and <link> ` + worst,
					},
					{
						title: "Logs left", unit: "percentunit", decimals: number(0), cell: tinted, steps: window, width: 88,
						expr: `oms:task_resume_window_left:ratio{<sel>} and <link> ` + worst,
					},
					{title: "Way", label: "direction", width: 70},
					{title: "Owner", label: "task_owner", width: 110},
				},
			},
			look: bare,
		},
		firingAlerts(outside),
		byStatus(),
		failingSteps(),
		resumeWindows(),
	}}
}

// times is the unit of multiples.
const times = "suffix: ×"

// bare is the look of tables, whose columns set everything.
func bare(*dashboard.Panel) {}

// ranked are alerts, the gravest first.
func ranked(matchers string) string {
	of := func(severity string) string {
		return `ALERTS{alertstate="firing", severity="` + severity + `", ` + matchers + `}`
	}
	return `6 * ` + of("critical") + ` or 4 * ` + of("warning") + ` or 2 * ` + of("info")
}

func firingAlerts(outside Outside) panel {
	return panel{
		title: "Firing alerts", w: 24, h: 7, unit: "none", look: bare,
		says: `Alerts, the gravest first, at most 100. Of these, those without a task come first: they
			are about a whole OMS or its exporter. Alertmanager may hold some back: those of a task whose OMS is down, or that a
			graver one explains.`,
		table: &table{
			by: []string{"task_id", "task_name", "alertname", "direction", "step"}, sort: "Severity",
			none: "none", known: "oms:exporter_up:bool{<sel>}",
			columns: []column{
				{
					title: "Severity", cell: filled, words: severities, width: 100,
					expr: `topk(100,
						(` + ranked(`scope="task", <sel><whose>`) + `) <unless others>
						or 1 + (` + ranked(`scope!="task", <sel>`) + `)
					)`,
				},
				{title: "Alert", label: "alertname", width: 270, links: outside.toRunbook()},
				taskColumn, omsColumn,
				{title: "Step", label: "step", width: 150},
				{title: "Owner", label: "task_owner", width: 110},
			},
		},
	}
}

func failingSteps() panel {
	const failed = `topk(50, <each> (oms:task_step_failing_since:timestamp_seconds{<sel>}) <in>)`
	return panel{
		title: "Failing steps", w: 14, h: 7, unit: "none", look: bare,
		says: `Steps that have failed, at most 50. OMS retries by itself for a while: what has failed
			for minutes waits for a person, and its logs are running out. The error code is what to
			look for in the console and in OMS's documents.`,
		table: &table{
			by: []string{"task_id", "task_name", "step"}, sort: "For", none: "none",
			columns: []column{
				taskColumn,
				{title: "Step", label: "step", width: 124},
				{title: "For", unit: "s", width: 85, expr: `clamp_min(time() - ` + failed + `, 0)`},
				{
					title: "Error", label: "error_code", width: 165,
					expr: `oms_task_step_error_info{<sel>} and <step> ` + failed,
				},
			},
		},
	}
}

func resumeWindows() panel {
	const short = `bottomk(20, <each> (oms:task_resume_window_left:seconds{<sel>}) <in>)`
	return panel{
		title: "Resume windows, shortest first", w: 10, h: 7, unit: "none", look: bare,
		says: `How long the logs that a task resumes from are still kept, for tasks that run, are
			suspended or have failed. Below zero the task probably has to be rebuilt from scratch. A
			task whose retention nobody knows is not here.`,
		table: &table{
			by: []string{"task_id", "task_name", "direction"}, sort: "Left", rising: true,
			none: "none",
			columns: []column{
				taskColumn,
				{title: "Left", expr: short, unit: "s", width: 85},
				{
					title: "Of all", unit: "percentunit", decimals: number(0), cell: filled, steps: window, width: 75,
					expr: `oms:task_resume_window_left:ratio{<sel>} and <link> ` + short,
				},
				{
					title: "Status", words: taskStates, cell: filled, width: 90,
					expr: `(0 * ` + short + `) + <task> group_left () <each> (oms:task_status:code{<sel>})`,
				},
			},
		},
	}
}

func fleetHistory() row {
	return row{title: "Over time", panels: []panel{
		{
			title: "Delay, ten worst", w: 12, h: 9, look: line{log: true, drawn: true}.look,
			unit: "s", steps: noise, perWidth: coarse, links: seriesLinks,
			says: `The ten links that are furthest behind at the end of the time range, and how they
				got there. A straight rise of one second per second stands still; a fall is catching
				up. Below the line at 30 s is in step. Thresholds differ by task: OMS / Task draws them.`,
			queries: []query{{
				expr: `<each> (oms:task_effective_delay:seconds{<sel>} and <link> topk(10,
					<each> (last_over_time(oms:task_effective_delay:seconds{<sel>}[1h] @ end())) <in ended>
				))`,
				legend: "{{task_name}} ({{direction}})",
			}},
		},
		fleetDelays(),
		{
			title: "Late tasks over time", w: 12, h: 8, look: line{fill: 20}.look, unit: "short",
			perWidth: coarser, min: number(0),
			says: `How many tasks are late. A step up of many at once is a shared cause: hosts or
				network of OMS, or a database that many tasks have in common. Single steps are single
				tasks.`,
			queries: []query{
				{
					expr:   `count(<count> (oms:task_late:seconds{level="warning", <sel>} <in ended>)) <or none>`,
					legend: "late", style: []dashboard.DynamicConfigValue{word("warning")},
				},
				{
					expr:   `count(<count> (oms:task_late:seconds{level="critical", <sel>} <in ended>)) <or none>`,
					legend: "critically late", style: []dashboard.DynamicConfigValue{word("critical")},
				},
			},
		},
		{
			title: "Alarms raised by OMS itself, by rule", w: 12, h: 8, look: bars,
			unit: "locale", steps: steps(colors["ALARM"]), min: number(0), nothing: "unknown",
			says: `A second opinion: OMS judges by thresholds of its own and counts over a window of
				its own, so the counts fall, too. Many alarms where this board is calm, or the other
				way round, say that thresholds differ. rule not given: OMS gave only the sum.`,
			queries: []query{{
				expr: `sort_desc(sum by (rule) (<each> (
					oms_task_rule_recent_alarms{<sel>}
					or <task> label_replace(oms_task_recent_alarms{<sel>}, "rule", "rule not given", "task_id", ".*")
				) <in>)) or on () label_replace(0 * count(oms_up{<sel>} == 1), "rule", "none", "", "")`,
				legend: "{{rule}}",
			}},
		},
		{
			title: "Task states", w: 24, h: 14, look: timeline, unit: "none",
			mapping: append(nothing[:2:2], taskStates...), perWidth: coarse, links: seriesLinks,
			says: `The thirty tasks that changed their status most, have failed or are suspended. Tasks
				that did nothing of that are not here. Stripes of FAILED and RUNNING are a fault that OMS's
				retries hide. A gap means that nothing was known, not that all was well.`,
			queries: []query{{
				expr: `<each> (oms:task_status:code{<sel>} and <task> topk(30, <each> (
					changes(oms:task_status:code{<sel>}[$__range] @ end())
					+ (last_over_time(oms:task_status:code{<sel>}[1h] @ end()) == bool 4)
					+ (last_over_time(oms:task_status:code{<sel>}[1h] @ end()) == bool 3)
				) > 0 <in ended>))` + orNothing("task_name", "all tasks"),
				legend: "{{task_name}}",
			}},
		},
	}}
}

// fleetDelays counts tasks in bands of delay, each twice as wide as the one
// before. Bands are named by digits, so that they are in order however Grafana
// sorts them.
func fleetDelays() panel {
	bands := []string{
		"30 s", "1 min", "2 min", "4 min", "8 min", "16 min", "32 min", "64 min", "128 min", "256 min",
	}
	// Bands without tasks keep their places on the axis.
	var empty string
	for i := 1; i < len(bands); i++ {
		empty += ` or label_replace(vector(0), "band", "` + strconv.Itoa(i) + `", "", "")`
	}
	return panel{
		title: "Links that are behind, by how far", w: 12, h: 9, unit: "short", perWidth: coarsest,
		says: `How many links are how far behind, from 30 s on: up to that they are in step, and not
			here. The more, the darker. One band that rises is a shared cause; a thin line is a single
			task.`,
		look: heat(func(p *dashboard.Panel, o *heatmap.Options) {
			o.CellValues = &heatmap.CellValues{Unit: cog.ToPtr("short")}
			for i := 1; i < len(bands); i++ {
				p.Transformations = append(p.Transformations, dashboard.DataTransformerConfig{
					Id: "renameByRegex", Options: map[string]string{
						"regex": "^" + strconv.Itoa(i) + "$", "renamePattern": bands[i],
					},
				})
			}
		}),
		queries: []query{{
			expr: `count_values("band", ceil(log2(
				clamp(<each> (oms:task_effective_delay:seconds{<sel>}) > 30 <in ended>, 30, 15360) / 30
			)))` + empty,
			legend: "{{band}}",
		}},
	}
}
