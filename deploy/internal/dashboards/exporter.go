package dashboards

import (
	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/heatmap"
)

func exporter() board {
	// Not from oms_up: an exporter that is down, or that has several OMS, has
	// none of its own.
	jobs, instances := job, instance
	jobs.query = `label_values(oms:exporter_up:bool, job)`
	instances.query = `label_values(oms:exporter_up:bool{job=~"$job"}, instance)`
	return board{
		uid: "oms-exporter", title: "OMS / Exporter",
		question: "Can I believe the other three boards?",
		refresh:  "30s", from: "now-6h",
		variables: []variable{datasource, jobs, instances},
		alerts: annotation{
			name: "Alerts", color: "orange", tags: "alertname,severity",
			expr: `count by (job, instance, alertname, severity) (
				ALERTS{alertstate="firing", scope=~"task|oms|exporter", <sel>}
			)`,
			title: "{{alertname}}", text: "{{severity}}, on {{instance}}",
		},
		rows: []row{exporterListing(), secondOpinion(), exporterAPI(), exporterSelf()},
	}
}

func exporterListing() row {
	return row{title: "Listings", panels: []panel{
		{
			title: "Exporter and OMS", w: 12, h: 8, look: timeline, unit: "none", mapping: reachable,
			says: `Whether Prometheus reached the exporter, and the exporter OMS. While either is DOWN
				nothing is known about tasks: a board without trouble is no all-clear.`,
			queries: []query{
				{expr: `oms:exporter_up:bool{<sel>}`, legend: "exporter, {{instance}}"},
				{expr: `oms_up{<sel>}`, legend: "OMS, {{instance}}"},
			},
		},
		{
			title: "Why listings failed", w: 12, h: 8, look: timeline, unit: "none",
			mapping: mapping{{1, "DOWN"}}, nothing: "none failed",
			says: `The reason by OMS. timeout: OMS is slower than scrape_timeout. auth: look at the
				account. api_error: the exporter's log has OMS's code and requestId. dns, connect, tls:
				the way there. oms_exporter check explains each.`,
			queries: []query{{expr: `oms_scrape_error_info{<sel>}`, legend: "{{instance}}: {{reason}}"}},
		},
		{
			title: "Age of the last complete listing", w: 8, h: 8, unit: "s",
			look: line{drawn: true}.look, steps: steps("green", at(600, "red")),
			says: `It falls back at each complete listing: a saw of one scrape interval is healthy. A
				ramp is an outage. Over the line at 10 minutes, alerts about tasks are held back.`,
			queries: []query{{
				expr:   `time() - oms_last_successful_scrape_timestamp_seconds{<sel>}`,
				legend: "{{instance}}",
			}},
		},
		{
			title: "Time of a scrape, and what it may take", w: 8, h: 8, look: lines, unit: "s",
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
			title: "Tasks and series", w: 8, h: 8, look: line{log: true}.look, unit: "short",
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
		},
		{
			title: "Tasks without series", w: 8, h: 8, look: lines, unit: "short",
			says: `Elements of OMS's listing that have no series, by reason. excluded is what you asked
				for. limit: there are more tasks than max_tasks, so none has any. invalid and duplicate
				are OMS's doing.`,
			queries: []query{{
				expr:   `sum by (instance, reason) (oms_scrape_tasks_omitted{<sel>})`,
				legend: "{{reason}}, {{instance}}",
			}},
		},
		{
			title: "Clock of OMS against the exporter's", w: 8, h: 8, unit: "s",
			look: line{drawn: true}.look, steps: steps("orange", at(-5, "green"), at(5, "orange")),
			says: `Within the lines at 5 s clocks agree. Ages on the other boards are judged by OMS's
				clock, so a difference does them no harm, but have NTP looked at.`,
			queries: []query{{expr: `oms_clock_skew_seconds{<sel>}`, legend: "{{instance}}"}},
		},
		{
			title: "Values the exporter did not know", w: 8, h: 8, look: named, unit: "short",
			steps: none, nothing: "none",
			says: `How often OMS sent a status, step or type that its documents do not name, or a value
				that could not be read, in the time range. More than none after an upgrade of OMS: it
				has something new. The log names it; report it.`,
			queries: []query{{
				expr:   `sum by (field, target) (increase(oms_exporter_unknown_values_total{<sel>}[$__range]))`,
				legend: "{{field}} {{target}}",
			}},
		},
	}}
}

// secondOpinion compares the alarms of OMS with the alerts of the rules.
func secondOpinion() row {
	const (
		ours = `ALERTS{
			alertstate="firing", scope="task", severity=~"critical|warning",
			alertname!="OMSTaskAlarmingInOMS", <sel>
		}`
		differ = `topk(50,
			oms_task_alarming{<sel>} == 1 unless <task> ` + ours + `
			or oms_task_alarming{<sel>} == 0 and <task> ` + ours + `
		)`
	)
	return row{title: "Second opinion", panels: []panel{{
		title: "Where OMS and the rules differ", w: 24, h: 9, unit: "none", look: bare,
		says: `Tasks that OMS alarms about and no alert of ours, and the other way round, at most 50.
			In the first weeks, go through them: each is a threshold to be changed here or there, or a
			fault that only one of the two can see.`,
		table: &table{
			by: []string{"task_id", "task_name"}, sort: "OMS says",
			columns: []column{
				taskColumn, omsColumn,
				{title: "OMS says", expr: differ, words: alarmStates, cell: filled, width: 120},
				{
					title: "Alerts of ours", unit: "short",
					expr: `count by (job, instance, task_id, task_name) (
						` + ours + ` and <task> ` + differ + `
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
			unit: "reqps",
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
			steps: steps("red", at(7*86400, "orange"), at(21*86400, "green")), nothing: "no TLS",
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
			title: "Version", w: 8, h: 8, look: named, unit: "short",
			says: `Which versions run. Several during an upgrade only.`,
			queries: []query{{
				expr:   `count by (version, goversion) (oms_exporter_build_info{<sel>})`,
				legend: "{{version}}, {{goversion}}",
			}},
		},
		{
			title: "Configuration", w: 4, h: 8, look: named, unit: "none", mapping: loaded,
			nothing: "by flags",
			says: `Whether the configuration file was last loaded without a mistake. REFUSED: the
				exporter goes on with the one before, and will not start with this one.`,
			queries: []query{{
				expr:   `min by (instance) (oms_exporter_config_last_reload_successful{<sel>})`,
				legend: "{{instance}}",
			}},
		},
		{
			title: "Memory", w: 6, h: 8, look: lines, unit: "bytes", min: number(0),
			says: `Memory of the exporter's process. It goes by the number of tasks: about 80 MiB for
				10,000. A steady rise with as many tasks is a fault: report it.`,
			queries: []query{{expr: `process_resident_memory_bytes{<sel>}`, legend: "{{instance}}"}},
		},
		{
			title: "Processor", w: 6, h: 8, look: lines, unit: "percentunit", min: number(0),
			says: `Share of one processor that the exporter uses. A scrape of 10,000 tasks
				costs about 0.6 s of one CPU core.`,
			queries: []query{{
				expr:   `rate(process_cpu_seconds_total{<sel>}[$__rate_interval])`,
				legend: "{{instance}}",
			}},
		},
	}}
}
