package dashboards

import (
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

func fleet() board {
	return board{
		uid: "oms-fleet", title: "OMS / Fleet",
		question: "Which of my tasks needs a person right now?",
		refresh:  "30s", from: "now-6h",
		variables: []variable{
			datasource, job, instance, taskType, importance, owner, taskTag,
		},
		filter: `, task_type=~"$type", importance=~"$importance", task_owner=~"$owner"`,
		alerts: taskAlerts,
		rows:   []row{fleetGlance(), fleetTrouble(), fleetHistory()},
	}
}

func fleetGlance() row {
	return row{title: "At a glance", panels: []panel{
		{
			title: "OMS API", w: 5, h: 4, look: named, unit: "none", mapping: reachable,
			says: `answering: all figures below are current. DOWN: OMS does not answer, EXPORTER DOWN:
				its exporter does not; then nothing is known about its tasks and alerts about them are
				silent, although replication may be healthy. OMS / Exporter says why.`,
			queries: []query{{
				expr: `min by (job, instance) (
					oms_up{<sel>} or ((oms:exporter_up:bool{<sel>} == 0) - 1)
				)`,
				legend: "{{instance}}",
			}},
		},
		{
			title: "Age of the data", w: 4, h: 4, look: figures, unit: "s",
			steps: steps("green", at(120, "yellow"), at(600, "red")),
			says: `How old the oldest complete listing is. Up to two scrape intervals is normal; over
				10 minutes, nothing on this board is about now.`,
			queries: []query{{
				expr: `max(time() - oms_last_successful_scrape_timestamp_seconds{<sel>})`,
			}},
		},
		{
			title: "Late tasks", w: 4, h: 4, look: named, unit: "short", nothing: "unknown", steps: none,
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
					legend: "critically late",
					style:  []dashboard.DynamicConfigValue{colored(steps("text", at(1, "red")))},
				},
			},
		},
		{
			title: "Frozen or unsampled", w: 4, h: 4, look: figures, unit: "short", nothing: "unknown",
			steps: steps("text", at(1, "red")),
			says: `Tasks that run but apply nothing, or whose delay OMS has stopped to measure. The
				console may show a small delay for them all the same: do not believe it.`,
			queries: []query{{
				expr: `count(<count> (
					ALERTS{alertstate="firing", symptom=~"frozen|stale", <sel><whose>} <unless others>
				)) <or none>`,
			}},
		},
		{
			title: "Resume window below half", w: 4, h: 4, look: figures, unit: "short", nothing: "unknown", steps: none,
			says: `Tasks that have used up more than half of the logs that they need to resume. When
				the logs run out a task has to be rebuilt from scratch: the table of resume windows says by when.`,
			queries: []query{{
				expr: `count(<count> (
					oms:task_resume_window_left:ratio{<sel>} < 0.5 <in>
				)) <or none>`,
			}},
		},
		{
			title: "Ready for cut-over", w: 3, h: 4, look: figures, unit: "short", nothing: "unknown",
			steps: steps("text", at(1, "green")),
			says:  `Migrations that have everything they need. OMS / Cut-over names them.`,
			queries: []query{{
				expr: `count(oms:task_cutover_readiness:ratio{<sel>} == 1 <in>) <or none>`,
			}},
		},
		{
			title: "Tasks by status", w: 24, h: 3, look: colorsByName(named), unit: "short",
			says: `How many tasks OMS lists in which status. Released and deleted ones are missing
				where the exporter leaves them out.`,
			queries: []query{{
				expr:   `count by (status) ((oms_task_status{<sel>} == 1) <in>)`,
				legend: "{{status}}",
			}},
		},
	}}
}

// colorsByName gives a series that is named like a state the color of that
// state.
func colorsByName(l look) look {
	return func(p *dashboard.Panel) {
		l(p)
		for _, status := range append(taskStates.names(), "RUNNING_MODIFYING", "RUNNING_MERGING") {
			p.FieldConfig.Overrides = append(p.FieldConfig.Overrides,
				override("byName", status, fixed(colors[status])))
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
	oms:task_effective_delay:seconds{<sel>}
	/ <task> group_left ()
	max without (level) (oms:task_delay_threshold:seconds{level="warning", <sel>})
	<in>
)`

func fleetTrouble() row {
	return row{title: "Needs a person", panels: []panel{
		{
			title: "Worst tasks", w: 24, h: 9, unit: "none",
			says: `Running tasks by their delay as a share of what they may be behind: 1 and more is
				late. Read the speed next: above 1 a task catches up by itself and the time to it is
				shown; near 0 it stands still. Delays under 30 s mean in step.`,
			table: &table{
				by: []string{"task_id", "task_name", "direction"}, sort: "Of its threshold",
				columns: with([]column{
					taskColumn, omsColumn,
					{title: "Direction", label: "direction", width: 90},
					{
						title: "Of its threshold", expr: "(" + worst + ") <who>", unit: "percentunit",
						cell: gauged, steps: share, max: 3,
					},
					{
						title: "Behind", unit: "s", cell: tinted, steps: noise,
						expr: `oms:task_effective_delay:seconds{<sel>} and <link> ` + worst,
					},
					{
						title: "Replay speed", unit: "short", cell: tinted, steps: pace,
						expr: `oms:task_replay_speed:ratio10m{<sel>} and <link> ` + worst,
					},
					{
						title: "Caught up in", unit: "s",
						expr: `oms:task_catchup_eta:seconds{<sel>} and <link> ` + worst,
					},
					{
						title: "Resume window left", unit: "percentunit", cell: tinted, steps: window,
						expr: `oms:task_resume_window_left:ratio{<sel>} and <link> ` + worst,
					},
				}, whoColumns...),
			},
			look: bare,
		},
		firingAlerts(),
		failingSteps(),
		resumeWindows(),
	}}
}

// bare is the look of tables, whose columns set everything.
func bare(*dashboard.Panel) {}

func firingAlerts() panel {
	of := func(severity string) string {
		return `ALERTS{alertstate="firing", scope="task", severity="` + severity + `", <sel><whose>}`
	}
	ranked := `topk(100, (
		3 * ` + of("critical") + ` or 2 * ` + of("warning") + ` or 1 * ` + of("info") + `
	) <unless others>)`
	alert := column{
		title: "Alert", label: "alertname", width: 230,
		links: []dashboard.DashboardLink{toRunbook},
	}
	return panel{
		title: "Firing alerts", w: 10, h: 10, unit: "none", look: bare,
		says: `Alerts about tasks, the gravest first, at most 100. Each leads to its runbook. Alertmanager
			may hold some back: those of a task whose OMS is down, or that a graver one explains.`,
		table: &table{
			by: []string{"task_id", "task_name", "alertname", "direction", "step"}, sort: "Severity",
			columns: with([]column{
				{title: "Severity", expr: ranked, cell: filled, words: severities, width: 85},
				alert, taskColumn, omsColumn,
			}, whoColumns...),
		},
	}
}

func failingSteps() panel {
	const failed = `topk(50, oms_task_step_status{status="FAILED", <sel>} <in>)`
	return panel{
		title: "Failing steps", w: 14, h: 10, unit: "none", look: bare,
		says: `Steps that have failed, at most 50. OMS retries by itself for a while: what has failed
			for minutes waits for a person, and its logs are running out. The error code is what to
			look for in the console and in OMS's documents.`,
		table: &table{
			by: []string{"task_id", "task_name", "step"}, sort: "For",
			columns: with([]column{
				taskColumn, omsColumn,
				{title: "Step", label: "step", width: 190},
				{
					title: "State", expr: "5 * (" + failed + ") <who>", cell: tinted,
					words: stepStates, width: 80,
				},
				{
					title: "For", unit: "s",
					expr: `oms:clock:timestamp_seconds{<sel>} - <oms> group_right () (
						oms_task_step_failed_timestamp_seconds{<sel>} and <step> ` + failed + `
					)`,
				},
				{
					title: "Error", label: "error_code", width: 190,
					expr: `oms_task_step_error_info{<sel>} and <step> ` + failed,
				},
			}, whoColumns...),
		},
	}
}

func resumeWindows() panel {
	const short = `bottomk(20, oms:task_resume_window_left:seconds{<sel>} <in>)`
	return panel{
		title: "Resume windows, shortest first", w: 24, h: 8, unit: "none", look: bare,
		says: `How long the logs that a task resumes from are still kept, for tasks that run, are
			suspended or have failed. Below zero the task probably has to be rebuilt from scratch. A task whose
			retention OMS does not tell is not here.`,
		table: &table{
			by: []string{"task_id", "task_name", "direction"}, sort: "Left", rising: true,
			columns: with([]column{
				taskColumn, omsColumn,
				{title: "Direction", label: "direction", width: 90},
				{
					title: "Left", expr: "(" + short + ") <who>", unit: "s", cell: tinted,
					steps: steps("red", at(0, "orange"), at(86400, "text")),
				},
				{
					title: "Of what is kept", unit: "percentunit", cell: gauged, steps: window, max: 1,
					expr: `oms:task_resume_window_left:ratio{<sel>} and <link> ` + short,
				},
				{
					title: "Status", words: taskStates, cell: tinted,
					expr: `(0 * ` + short + `) + <task> group_left () oms:task_status:code{<sel>}`,
				},
			}, whoColumns...),
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
				expr: `oms:task_effective_delay:seconds{<sel>} and <link> topk(10,
					last_over_time(oms:task_effective_delay:seconds{<sel>}[1h] @ end()) <in ended>
				)`,
				legend: "{{task_name}} ({{direction}})",
			}},
		},
		fleetDelays(),
		{
			title: "Late links over time", w: 12, h: 8, look: line{fill: 20}.look, unit: "short",
			perWidth: coarser,
			says: `How many links are late. A step up of many at once is a shared cause: hosts or
				network of OMS, or a database that many tasks have in common. Single steps are single
				tasks.`,
			queries: []query{
				{
					expr:   `count(oms:task_late:seconds{level="warning", <sel>} <in ended>) <or none>`,
					legend: "late", style: []dashboard.DynamicConfigValue{word("warning")},
				},
				{
					expr:   `count(oms:task_late:seconds{level="critical", <sel>} <in ended>) <or none>`,
					legend: "critically late", style: []dashboard.DynamicConfigValue{word("critical")},
				},
			},
		},
		{
			title: "Alarms raised by OMS itself, by rule", w: 12, h: 8, look: chart("rule"),
			unit: "short", steps: steps(colors["ALARM"]),
			says: `A second opinion: OMS judges by thresholds of its own and counts over a window of
				its own, so the counts fall, too. Many alarms where this board is calm, or the other
				way round, say that thresholds differ.`,
			queries: []query{{
				expr: `sum by (rule) ((
					oms_task_rule_recent_alarms{<sel>}
					or <task> label_replace(oms_task_recent_alarms{<sel>}, "rule", "not told", "task_id", ".*")
				) <in>)`,
			}},
		},
		{
			title: "Task states", w: 24, h: 14, look: timeline, unit: "none", mapping: taskStates,
			perWidth: coarse, links: seriesLinks,
			says: `The thirty tasks that changed their status most, and those that have failed or are
				suspended. Stripes of FAILED and RUNNING are a fault that OMS's retries hide. A gap
				means that nothing was known, not that all was well.`,
			queries: []query{{
				expr: `oms:task_status:code{<sel>} and <task> topk(30, (
					changes(oms:task_status:code{<sel>}[$__range] @ end())
					+ (last_over_time(oms:task_status:code{<sel>}[1h] @ end()) == bool 4)
					+ (last_over_time(oms:task_status:code{<sel>}[1h] @ end()) == bool 3)
				) <in ended>)`,
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
		"up to 30 s", "1 min", "2 min", "4 min", "8 min", "16 min", "32 min", "64 min", "128 min",
		"longer",
	}
	return panel{
		title: "Delay of the whole fleet", w: 12, h: 9, unit: "short", perWidth: coarsest,
		says: `How many links are how far behind. One dark band that rises is a shared cause; a thin
			line is a single task. Everything up to 30 s is in step.`,
		look: heat(func(p *dashboard.Panel, o *heatmap.Options) {
			o.CellValues = &heatmap.CellValues{Unit: cog.ToPtr("short")}
			for i, name := range bands {
				p.Transformations = append(p.Transformations, dashboard.DataTransformerConfig{
					Id: "renameByRegex", Options: map[string]string{
						"regex": "^" + string(rune('0'+i)) + "$", "renamePattern": name,
					},
				})
			}
		}),
		queries: []query{{
			expr: `count_values("band", ceil(log2(
				clamp(oms:task_effective_delay:seconds{<sel>} <in ended>, 30, 15360) / 30
			)))`,
			legend: "{{band}}",
		}},
	}
}
