package dashboards

import (
	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/heatmap"
)

func exporter(outside Outside) board {
	// Not from oms_up: an exporter that is down, or that has several OMS, has
	// none of its own.
	jobs, instances := job, instance
	jobs.query = `label_values(oms:exporter_up:bool, job)`
	jobs.hidden = false
	instances.query = `label_values(oms:exporter_up:bool{job=~"$job"}, instance)`
	return board{
		uid: "oms-exporter", title: "OMS / Exporter",
		question: "Can I believe the other three boards?",
		refresh:  "30s", from: "now-6h",
		variables: []variable{datasource, instances, jobs},
		marks:     []annotation{outages},
		rows: []row{
			exporterVerdict(outside), exporterListing(), secondOpinion(), exporterAPI(), exporterSelf(),
		},
	}
}

// allowed is the time that a scrape may take. Settings have neither job nor
// instance.
const allowed = `(
	scrape_timeout_seconds{<sel>} or 0 * scrape_duration_seconds{<sel>}
	+ on () group_left () oms:setting_scrape_timeout:seconds
)`

func exporterVerdict(outside Outside) row {
	return row{title: "Verdict", panels: []panel{
		{
			title: "OMS that answer", w: 6, h: 4, look: named, unit: "none", nothing: "unknown",
			says: `How many OMS answer, of those that were there within 3 hours. Nothing is known about
				the tasks of the others: a board without trouble is no all-clear.`,
			queries: []query{
				{
					expr: `count(<api> == 1) or 0 * count(<api>)`, legend: "answering",
					style: []dashboard.DynamicConfigValue{colored(steps("red", at(1, "green")))},
				},
				{
					expr: `count(<api> != 1) or 0 * count(<api>)`, legend: "not",
					style: []dashboard.DynamicConfigValue{colored(steps("text", at(1, "red")))},
				},
			},
		},
		oldest("Listing age", 5),
		{
			title: "Scrape time", w: 5, h: 4, look: figures, unit: "percentunit", decimals: number(0),
			steps: steps("green", at(0.5, "orange"), at(0.8, "red")), nothing: "unknown",
			says: `How much of the time that it may take the slowest scrape took: scrape_timeout, by
				Prometheus or else by the settings of the rules. Near 100 % listings begin to fail.`,
			queries: []query{{
				expr: `max(scrape_duration_seconds{<sel>} / ` + allowed + ` and on (job, instance) oms:exporter_up:bool{<sel>} == 1)`,
			}},
		},
		{
			title: "Left out", w: 4, h: 4, look: figures, unit: "locale", nothing: "unknown",
			steps: steps("green", at(1, "orange")),
			says: `Elements of OMS's listing that have no series and should have: over max_tasks, or without
				a usable id, or listed twice. Those that you exclude do not count.`,
			queries: []query{{
				expr: `sum(<each> (oms_scrape_tasks_omitted{reason!="excluded", <sel>})) <or none>`,
			}},
		},
		{
			title: "Alerts", w: 4, h: 4, look: figures, unit: "locale", nothing: "unknown",
			steps: steps("green", at(1, "red")),
			says: `Alerts that fire about an OMS or its exporter: OMSVanished, OMSListingsFailing,
				OMSFieldsMissing and the like. The table below names them.`,
			queries: []query{{
				expr: `count(<each> (
					ALERTS{alertstate="firing", scope=~"oms|exporter", severity=~"critical|warning", <sel>}
				)) or 0 * count(oms:exporter_up:bool{<sel>})`,
			}},
		},
		eachOMS(),
		{
			title: "Alerts about OMS and exporters", w: 10, h: 6, unit: "none", look: bare,
			says: `Alerts that fire about an OMS or its exporter, the gravest first. While one of them
				does, boards and alerts about tasks are not the whole truth.`,
			table: &table{
				by: []string{"alertname"}, sort: "Severity",
				none: "none", known: "oms:exporter_up:bool{<sel>}",
				columns: []column{
					{
						title: "Severity", cell: filled, words: severities, width: 100,
						expr: ranked(`scope=~"oms|exporter", <sel>`),
					},
					{title: "Alert", label: "alertname", links: outside.toRunbook()},
					{title: "OMS", label: "instance", width: 95},
				},
			},
		},
	}}
}

// eachOMS has a row for each OMS, those that never answered too.
func eachOMS() panel {
	return panel{
		title: "Each OMS", w: 14, h: 6, unit: "none", look: bare,
		says: `Whether it answers, and if not, why: timeout: OMS is slower than scrape_timeout. auth:
			look at the account. api_error: the exporter's log has OMS's code and requestId. dns,
			connect, tls: the way there. oms_exporter check explains each.`,
		table: &table{
			sort: "OMS", rising: true, none: "no exporter",
			columns: []column{
				{title: "OMS", label: "instance"},
				{title: "State", expr: `<api>`, words: reachable, cell: filled, width: 138},
				{title: "Why not", label: "reason", expr: `oms_scrape_error_info{<sel>}`, width: 80},
				{title: "Last listing", expr: `<age>`, unit: "s", words: ages, width: 112},
				{
					title: "15 min", expr: `oms:listing_success:ratio15m{<sel>}`, unit: "percentunit",
					decimals: number(0), cell: tinted, steps: steps("red", at(0.8, "orange"), at(1, "green")), width: 75,
				},
			},
		},
	}
}

func exporterListing() row {
	return row{title: "Listings", panels: []panel{
		{
			title: "Exporter and OMS", w: 12, h: 8, look: timeline, unit: "none", mapping: reachable,
			says: `Whether Prometheus reached the exporter, and the exporter OMS. While either is DOWN
				nothing is known about tasks: a board without trouble is no all-clear.`,
			queries: []query{
				{expr: `oms:exporter_up:bool{<sel>}`, legend: "scrape of {{instance}}"},
				{expr: `oms_up{<sel>}`, legend: "OMS {{instance}}"},
			},
		},
		{
			title: "Why listings failed", w: 12, h: 8, look: timeline, unit: "none",
			mapping: append(nothing[:2:2], meaning{1, "DOWN"}),
			says: `The reason by OMS. timeout: OMS is slower than scrape_timeout. auth: look at the
				account. api_error: the exporter's log has OMS's code and requestId. dns, connect, tls:
				the way there. oms_exporter check explains each.`,
			queries: []query{{
				expr:   `<each> (oms_scrape_error_info{<sel>})` + orNothing("instance", "all OMS"),
				legend: "{{instance}} {{reason}}",
			}},
		},
		{
			title: "Age of the last complete listing", w: 12, h: 8, unit: "s", min: number(0),
			look: line{drawn: true}.look, steps: steps("green", at(600, "red")),
			says: `It falls back at each complete listing: a saw of one scrape interval is healthy. A
				ramp is an outage. Over the line at 10 minutes, alerts about tasks are held back. An OMS
				that has never answered has no line: the table of OMS has it.`,
			queries: []query{{
				expr:   `time() - oms_last_successful_scrape_timestamp_seconds{<sel>}`,
				legend: "{{instance}}",
			}},
		},
		{
			title: "Time of a scrape, and what it may take", w: 12, h: 8, look: lines, unit: "s",
			says: `How long reading all pages took, and the whole scrape. Near the dashed line, which is
				scrape_timeout by the settings, listings begin to fail: exclude tasks, or allow more
				time.`,
			queries: []query{
				{expr: `oms_scrape_duration_seconds{<sel>}`, legend: "listing, {{instance}}"},
				{expr: `scrape_duration_seconds{<sel>}`, legend: "scrape, {{instance}}"},
				{
					expr: `oms:setting_scrape_timeout:seconds`, legend: "scrape_timeout",
					style: []dashboard.DynamicConfigValue{dashed(), word("critical")},
				},
			},
		},
		{
			title: "Tasks without series", w: 8, h: 8, min: number(0), look: line{upTo: 1}.look, unit: "short",
			says: `Elements of OMS's listing that have no series, by reason. excluded is what you asked
				for. limit: there are more tasks than max_tasks, so none has any. invalid and duplicate
				are OMS's doing.`,
			queries: []query{{
				expr:   `sum by (instance, reason) (oms_scrape_tasks_omitted{<sel>})`,
				legend: "{{reason}}, {{instance}}",
			}},
		},
		{
			title: "Clock of OMS and the exporter", w: 8, h: 8, unit: "s",
			look: line{drawn: true, atLeast: 10}.look, steps: steps("orange", at(-5, "green"), at(5, "orange")),
			says: `Within the lines at 5 s clocks agree. Ages on the other boards are judged by OMS's
				clock, so a difference does them no harm, but have NTP looked at.`,
			queries: []query{{expr: `oms_clock_skew_seconds{<sel>}`, legend: "{{instance}}"}},
		},
		{
			title: "Unknown values of OMS", w: 8, h: 8, look: named, unit: "locale",
			decimals: number(0), steps: none, nothing: "unknown",
			says: `How often OMS sent a status, step or type that its documents do not name, or a value
				that could not be read, in the time range. More than none after an upgrade of OMS: it
				has something new. The log names it; report it.`,
			queries: []query{{
				expr: `ceil(sum by (field, target) (increase(oms_exporter_unknown_values_total{<sel>}[$__range])) > 0)
					or on () 0 * count(oms_exporter_build_info{<sel>})`,
				legend: "{{field}} {{target}}",
			}},
		},
	}}
}

func tasksAndSeries() panel {
	return panel{
		title: "Tasks and series", w: 12, h: 9, look: line{log: true}.look, unit: "short",
		perWidth: coarse,
		says: `Tasks with series, tasks that OMS says it has, and series of a scrape. Where the
				first falls and the second does not, tasks are left out.`,
		queries: []query{
			{
				expr:   `count by (job, instance) (oms_task_info{<sel>})`,
				legend: "tasks with series, {{instance}}",
			},
			{expr: `oms_api_reported_tasks{<sel>}`, legend: "tasks by OMS, {{instance}}"},
			{expr: `scrape_samples_scraped{<sel>}`, legend: "series, {{instance}}"},
		},
	}
}

// secondOpinion compares the alarms of OMS with the alerts of the rules.
func secondOpinion() row {
	const (
		ours = `ALERTS{
			alertstate="firing", scope="task", severity=~"critical|warning",
			alertname!="OMSTaskAlarmingInOMS", <sel>
		}`
		differ = `topk(50,
			<each> (oms_task_alarming{<sel>}) == 1 unless <task> ` + ours + `
			or <each> (oms_task_alarming{<sel>}) == 0 and <task> ` + ours + `
		)`
	)
	return row{title: "Second opinion", panels: []panel{tasksAndSeries(), {
		title: "Where OMS and the rules differ", w: 12, h: 9, unit: "none", look: bare,
		says: `Tasks that OMS alarms about and no alert of ours, and the other way round, at most 50.
			In the first weeks, go through them: each is a threshold to be changed here or there, or a
			fault that only one of the two can see.`,
		table: &table{
			by: []string{"task_id", "task_name"}, sort: "OMS says", none: "nowhere",
			columns: []column{
				taskColumn, omsColumn,
				{title: "OMS says", expr: differ, words: alarmStates, cell: filled, width: 100},
				{
					title: "Our alerts", unit: "locale", width: 96,
					expr: `count by (instance, task_id, task_name) (
						<each> (` + ours + `) and <task> ` + differ + `
					)`,
				},
			},
		},
	}}}
}

func exporterAPI() row {
	return row{title: "Requests to OMS", panels: []panel{
		{
			title: "Requests by result", w: 8, h: 8, look: line{fill: 20, stacked: true}.look,
			unit: "reqps", min: number(0),
			says: `Requests for pages, by HTTP status or by reason where there was no answer. Anything
				but 200 is a fault of OMS, of a proxy before it, or of the account.`,
			queries: []query{{
				expr: `sum by (action, code, target) (
					rate(oms_exporter_api_requests_total{<sel>}[$__rate_interval])
				)`,
				legend: "{{action}} {{code}} {{target}}",
			}},
		},
		{
			title: "Time of a page", w: 8, h: 8, unit: "short",
			says: `How long OMS takes for a page of tasks. A band that rises: OMS's database is slow, or
				tasks have become many.`,
			look: heat(func(_ *dashboard.Panel, o *heatmap.Options) {
				o.YAxis.Unit = cog.ToPtr("s")
				o.CellValues = &heatmap.CellValues{Unit: cog.ToPtr("reqps")}
			}),
			queries: []query{{
				expr: `sum by (le) (
					rate(oms_exporter_api_request_duration_seconds_bucket{<sel>}[$__rate_interval])
				)`,
				legend: "{{le}}",
			}},
		},
		{
			title: "Bytes of answers", w: 8, h: 8, look: lines, unit: "Bps",
			says: `What OMS sends. Much more for as many tasks: large configuration objects, which
				compression by a proxy before OMS would shrink.`,
			queries: []query{{
				expr: `sum by (action, target) (
					rate(oms_exporter_api_response_bytes_total{<sel>}[$__rate_interval])
				)`,
				legend: "{{action}} {{target}}",
			}},
		},
		{
			title: "Retries, shared scrapes, odd listings", w: 12, h: 8, look: lines, unit: "cps",
			says: `Retries: passing failures, which do no harm while they are few. Shared: two Prometheus
				servers scraped at once. Odd: listings whose count disagreed twice, because tasks came
				and went; many of them say that OMS counts differently.`,
			queries: []query{
				{
					expr:   `sum(rate(oms_exporter_api_request_retries_total{<sel>}[$__rate_interval]))`,
					legend: "retries",
				},
				{
					expr:   `sum(rate(oms_exporter_scrapes_coalesced_total{<sel>}[$__rate_interval]))`,
					legend: "shared scrapes",
				},
				{
					expr:   `sum(rate(oms_exporter_inconsistent_listings_total{<sel>}[$__rate_interval]))`,
					legend: "odd listings",
				},
			},
		},
		{
			title: "Certificate of OMS", w: 12, h: 8, look: named, unit: "s",
			steps: steps("red", at(7*86400, "orange"), at(21*86400, "green")), nothing: "no certificate seen",
			says: `How long the first certificate of OMS's chain is still valid. After that the exporter
				refuses to talk to it.`,
			queries: []query{{
				expr: `min by (instance, target) (
					oms_exporter_api_certificate_expiry_timestamp_seconds{<sel>}
				) - time()`,
				legend: "{{instance}} {{target}}",
			}},
		},
	}}
}

func exporterSelf() row {
	return row{title: "The exporter itself", panels: []panel{
		{
			title: "Version", w: 6, h: 6, look: names, unit: "short", nothing: "unknown",
			says: `Which versions run. Several during an upgrade only.`,
			queries: []query{{
				expr:   `count by (version, goversion) (oms_exporter_build_info{<sel>})`,
				legend: "{{version}}, {{goversion}}",
			}},
		},
		{
			title: "Configuration", w: 6, h: 6, look: figures, unit: "none", mapping: accepted,
			nothing: "unknown",
			says: `Whether every exporter last loaded its configuration without a mistake. REFUSED: one
				goes on with the one before, and will not start with this one.`,
			queries: []query{{
				expr: `min(oms_exporter_config_last_reload_successful{<sel>})`,
			}},
		},
		{
			title: "Memory", w: 6, h: 6, look: lines, unit: "bytes", min: number(0),
			says: `Memory of the exporter's process. It goes by the number of tasks: about 80 MiB for
				10,000. A steady rise with as many tasks is a fault: report it.`,
			queries: []query{{expr: `process_resident_memory_bytes{<sel>}`, legend: "{{instance}}"}},
		},
		{
			title: "Processor", w: 6, h: 6, look: lines, unit: "percentunit", min: number(0),
			says: `Share of one processor that the exporter uses. A scrape of 10,000 tasks
				costs about 0.6 s of one CPU core.`,
			queries: []query{{
				expr:   `rate(process_cpu_seconds_total{<sel>}[$__rate_interval])`,
				legend: "{{instance}}",
			}},
		},
	}}
}
