package dashboards

import (
	"slices"
	"strconv"
	"strings"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"

	"oms_exporter/omsclient"
)

const (
	tag    = "oms" // of every board, so that boards can link to one another
	madeBy = "Made by `go generate ./...` in deploy from deploy/internal/dashboards."
)

// words returns what the <names> in a board's expressions stand for.
func (b *board) words() *strings.Replacer {
	// Tags are series of their own, and a task without tags has none. But
	// oms_task_info has no label tag, which counts as an empty one: if all tags
	// are chosen, ".*" matches every task.
	const tagged = `{__name__=~"oms_task_info|oms_task_tag_info", <sel>, tag=~"$tag"}`
	these := `oms:task_whose:info{<sel>` + b.filter + `}`
	ended := `last_over_time(` + these + `[1h] @ end())`
	if strings.Contains(b.filter, "$owner") {
		these = `(` + these + ` and <task> ` + tagged + `)`
		ended = `(` + ended + ` and <task> last_over_time(` + tagged + `[1h] @ end()))`
	}
	return strings.NewReplacer(
		"<sel>", `job=~"$job", instance=~"$instance"`,
		"<one>", `job=~"$job", instance=~"$instance", task_id="$task_id"`,

		"<oms>", "on (job, instance)",
		"<task>", "on (job, instance, task_id)",
		"<link>", "on (job, instance, task_id, direction)",
		"<step>", "on (job, instance, task_id, step)",

		// The tasks that the variables of the board choose, and the same at the
		// end of the time range, which is evaluated once instead of for each
		// point. The latter looks back an hour, so that an outage does not hide
		// what was before it.
		"<these>", these,
		"<in>", "and <task> <these>",
		"<ended>", ended,
		"<in ended>", "and <task> <ended>",
		// The same for alerts, which carry these labels themselves. Tasks that
		// OMS does not list, for example because it does not answer, stay:
		// their alerts are not over.
		"<whose>", b.filter,
		"<unless others>", "unless <task> (oms_task_info{<sel>} unless <task> "+tagged+")",
		// 0 instead of no series, if OMS answers.
		"<or none>", "or 0 * count(oms_up{<sel>} == 1)",
		// Adds the type, importance and owner of a task.
		"<who>", "* <task> group_left (task_type, importance, task_owner) <these>",
		"<count>", "count by (job, instance, task_id)",

		"<verify>", strings.Join(omsclient.FullVerifySteps(), "|"),
		"<switch>", strings.Join(omsclient.SwitchoverSteps(), "|"),
	)
}

// colors are those of words. A word has the same color on every panel, and no
// color comes without a word.
var colors = map[string]string{
	"INIT": grey, "RUNNING": "blue", "RUNNING_MODIFYING": "light-blue",
	"RUNNING_MERGING": "super-light-blue", "MONITORING": "green", "SUSPEND": "yellow",
	"FAILED": "red", "FINISHED": "dark-green", "RELEASING": "light-purple",
	"RELEASED": "purple", "DELETED": "#5a5a5a", "UNKNOWN": "orange",

	"answering": "green", "DOWN": "red", "EXPORTER DOWN": "dark-red",
	"yes": "green", "no": "red", "unknown": "orange",
	"loaded": "green", "REFUSED": "red",
	"quiet": "green", "ALARM": "orange",
	"pending": "yellow", "firing": "red",
	"critical": "red", "warning": "orange", "info": "blue",
	"in step": "green",
}

const grey = "#808080"

// A mapping gives words to values.
type mapping []meaning

type meaning struct {
	value int
	word  string
}

// The states, as the recording rules number them.
var (
	taskStates = numbered(slices.DeleteFunc(omsclient.Statuses(), func(s string) bool {
		return strings.HasPrefix(s, "RUNNING_")
	}))
	stepStates  = numbered(omsclient.StepStatuses())
	reachable   = mapping{{1, "answering"}, {0, "DOWN"}, {-1, "EXPORTER DOWN"}}
	yesNo       = mapping{{1, "yes"}, {0, "no"}}
	known       = mapping{{1, "yes"}, {0, "no"}, {-1, "unknown"}}
	loaded      = mapping{{1, "loaded"}, {0, "REFUSED"}}
	alarmStates = mapping{{0, "quiet"}, {1, "ALARM"}}
	alertStates = mapping{{1, "pending"}, {2, "firing"}}
	severities  = mapping{{3, "critical"}, {2, "warning"}, {1, "info"}}
	inStep      = mapping{{0, "in step"}}
)

// numbered numbers states from 1 on; all others have the number after them.
func numbered(states []string) mapping {
	var m mapping
	for i, state := range append(states, "UNKNOWN") {
		m = append(m, meaning{i + 1, state})
	}
	return m
}

// build returns the mapping as Grafana knows it.
func (m mapping) build() []dashboard.ValueMapping {
	if m == nil {
		return nil
	}
	results := make(map[string]dashboard.ValueMappingResult)
	for i, meaning := range m {
		results[strconv.Itoa(meaning.value)] = dashboard.ValueMappingResult{
			Text: &meaning.word, Color: cog.ToPtr(colors[meaning.word]), Index: cog.ToPtr(int32(i)),
		}
	}
	return []dashboard.ValueMapping{{ValueMap: &dashboard.ValueMap{
		Type: dashboard.MappingTypeValueToText, Options: results,
	}}}
}

// at is a threshold: a color for this value and above.
func at(value float64, color string) dashboard.Threshold {
	return dashboard.Threshold{Value: &value, Color: color}
}

// steps are thresholds, with a base color below the first one.
func steps(base string, above ...dashboard.Threshold) []dashboard.Threshold {
	return append([]dashboard.Threshold{{Color: base}}, above...)
}

// Thresholds that several panels share.
var (
	plain = steps("text")
	none  = steps("text", at(1, "orange")) // for trouble of which there should be none
	// Under 30 s is the noise of OMS's own sampling: as far as anybody can
	// tell, in step.
	noise  = steps("green", at(30, "text"))
	window = steps("red", at(0.2, "orange"), at(0.5, "green")) // the share of log retention that is left
	// A delay as a share of its threshold.
	share = steps("green", at(0.5, "yellow"), at(1, "red"))
	// Seconds of the source's time applied per second.
	pace = steps("red", at(0.9, "yellow"), at(1, "green"))
)

func thresholds(steps []dashboard.Threshold) *dashboard.ThresholdsConfig {
	if steps == nil {
		steps = plain
	}
	return &dashboard.ThresholdsConfig{Mode: dashboard.ThresholdsModeAbsolute, Steps: steps}
}

// A variable is a choice at the top of a board.
type variable struct {
	name, label string
	says        string
	kind        dashboard.VariableType
	query       string // PromQL with <names>, in a function of Grafana; for other kinds the value
	regex       string
	all         string // the regular expression for all, which is then the default; empty: a single choice
	hidden      bool
}

// Variables, by what they choose. Links between boards keep the value of those
// that both have.
var (
	datasource = variable{
		name: "datasource", label: "Data source", kind: dashboard.VariableTypeDatasource,
		query: "prometheus", says: "The Prometheus that scrapes the exporters and evaluates the rules.",
	}
	job = variable{
		name: "job", label: "Job", kind: dashboard.VariableTypeQuery, all: ".+",
		query: `label_values(oms_up, job)`, says: "Prometheus' job that scrapes the exporter.",
	}
	instance = variable{
		name: "instance", label: "Instance", kind: dashboard.VariableTypeQuery, all: ".+",
		query: `label_values(oms_up{job=~"$job"}, instance)`,
		says:  "Which OMS: the name of a target in the exporter's configuration, or its address.",
	}
	taskType = variable{
		name: "type", label: "Type", kind: dashboard.VariableTypeQuery, all: ".*",
		query: `label_values(oms_task_info{<sel>}, task_type)`, says: "What the task is for.",
	}
	importance = variable{
		name: "importance", label: "Importance", kind: dashboard.VariableTypeQuery, all: ".*",
		query: `label_values(oms_task_info{<sel>}, importance)`,
		says:  "The importance that the task has in OMS.",
	}
	owner = variable{
		name: "owner", label: "Owner", kind: dashboard.VariableTypeQuery, all: ".*",
		query: `label_values(oms_task_info{<sel>}, task_owner)`, says: "Who created the task in OMS.",
	}
	taskTag = variable{
		name: "tag", label: "Tag", kind: dashboard.VariableTypeQuery, all: ".*",
		query: `label_values(oms_task_tag_info{<sel>}, tag)`,
		says:  "A tag of OMS, such as that of a wave of migrations. All: tasks without tags, too.",
	}
	find = variable{
		name: "find", label: "Name contains", kind: dashboard.VariableTypeTextbox,
		says: "Narrows the choice of tasks, which has 500 at most, those with alerts first.",
	}
	taskID = variable{
		name: "task_id", label: "Task", kind: dashboard.VariableTypeQuery,
		// Tasks with alerts come first, so that links from alerts find theirs
		// among many.
		query: "query_result(topk(500, oms_task_info{<sel>, task_name=~`.*${find:regex}.*`}" +
			` + <task> group_left () <count> (ALERTS{alertstate="firing", scope="task", <sel>})` +
			" or oms_task_info{<sel>, task_name=~`.*${find:regex}.*`}))",
		regex: `/task_id="(?<value>[^"]+)".*task_name="(?<text>(?:[^"\\]|\\.)+)"/`,
		says:  "The task.",
	}
	writeStoppedAt = variable{
		name: "write_stopped_at", label: "Writes stopped at", kind: dashboard.VariableTypeTextbox,
		query: "time()",
		says: `Unix seconds, as date +%s prints them on the source's host once the last write is
			done. Until you enter them it is time(), which is now: nothing is ever across.`,
	}
)

// constant is a hidden variable, which is set when the boards are installed.
func constant(name, label, value, says string) variable {
	return variable{
		name: name, label: label, kind: dashboard.VariableTypeConstant, query: value, says: says,
		hidden: true,
	}
}

// build returns the variable as Grafana knows it.
func (v *variable) build(b *board) dashboard.VariableModel {
	query := b.expand(v.query)
	m := dashboard.VariableModel{
		Type: v.kind, Name: v.name, Label: &v.label, Description: cog.ToPtr(sentence(v.says)),
		Query: &dashboard.StringOrMap{String: &query}, SkipUrlSync: cog.ToPtr(v.hidden),
		Hide: cog.ToPtr(dashboard.VariableHideDontHide),
	}
	if v.hidden {
		m.Hide = cog.ToPtr(dashboard.VariableHideHideVariable)
	}
	switch v.kind {
	case dashboard.VariableTypeQuery:
		v.asQuery(&m, query)
	case dashboard.VariableTypeDatasource:
		m.Refresh, m.Regex = cog.ToPtr(dashboard.VariableRefreshOnDashboardLoad), &v.regex
	default:
		value := option(query, query)
		m.Current, m.Options = &value, []dashboard.VariableOption{value}
	}
	return m
}

// asQuery makes it a choice among values from Prometheus, which are read again
// when the time range changes.
func (v *variable) asQuery(m *dashboard.VariableModel, query string) {
	m.Datasource = source()
	m.Definition = &query
	m.Query = &dashboard.StringOrMap{Map: map[string]any{
		"query": query, "refId": "StandardVariableQuery",
	}}
	m.Refresh = cog.ToPtr(dashboard.VariableRefreshOnTimeRangeChanged)
	m.Sort = cog.ToPtr(dashboard.VariableSortAlphabeticalCaseInsensitiveAsc)
	m.Regex = &v.regex
	m.Multi, m.IncludeAll = cog.ToPtr(v.all != ""), cog.ToPtr(v.all != "")
	if v.all != "" {
		m.AllValue = &v.all
		m.Current = &dashboard.VariableOption{
			Selected: cog.ToPtr(true),
			Text:     dashboard.StringOrArrayOfString{ArrayOfString: []string{"All"}},
			Value:    dashboard.StringOrArrayOfString{ArrayOfString: []string{"$__all"}},
		}
	}
}

func option(text, value string) dashboard.VariableOption {
	return dashboard.VariableOption{
		Selected: cog.ToPtr(true),
		Text:     dashboard.StringOrArrayOfString{String: &text},
		Value:    dashboard.StringOrArrayOfString{String: &value},
	}
}

// outages marks when an OMS or its exporter did not answer.
var outages = annotation{
	name: "OMS outages", color: "dark-red", tags: "instance",
	expr:  `(oms_up{<sel>} or oms:exporter_up:bool{<sel>}) == bool 0`,
	title: "Nothing is known of {{instance}}",
	text:  "OMS or its exporter did not answer. Gaps are not all-clears.",
}

// taskAlerts marks alerts about tasks: one mark per alert and OMS, however many
// tasks there are.
var taskAlerts = annotation{
	name: "Alerts", color: "orange", tags: "alertname,severity",
	expr: `count by (job, instance, alertname, severity) (
		ALERTS{alertstate="firing", scope="task", severity=~"critical|warning", <sel>}
	)`,
	title: "{{alertname}}", text: "{{severity}}, on {{instance}}",
}

// link is a link of a panel, or of its fields.
func link(title, url string) dashboard.DashboardLink {
	return dashboard.DashboardLink{
		Title: title, Type: dashboard.DashboardLinkTypeLink, Url: &url, Tags: []string{},
		TargetBlank: !strings.HasPrefix(url, "/d/"),
	}
}

// toTask is the link to a task's board. fields is where Grafana has the labels
// of what was clicked: __data.fields of a table row, __field.labels of a
// series. The task's name comes last and only narrows the choice of tasks, so
// that odd characters in it break nothing.
func toTask(fields string) dashboard.DashboardLink {
	label := func(name string) string { return "${" + fields + "." + name + "}" }
	return link("OMS / Task", "/d/oms-task/oms-task?${datasource:queryparam}"+
		"&var-job="+label("job")+"&var-instance="+label("instance")+
		"&var-task_id="+label("task_id")+"&${__url_time_range}&var-find="+label("task_name"))
}

var (
	rowLinks    = []dashboard.DashboardLink{toTask("__data.fields"), toConsole}
	seriesLinks = []dashboard.DashboardLink{toTask("__field.labels"), toConsole}
	toConsole   = link("OMS console", "${oms_console_url}")
	toRunbook   = link("Runbook", "${runbook_base}${__data.fields.alertname}.md")
)

// boardLinks are at the top of every board.
func boardLinks() []dashboard.DashboardLink {
	outside := func(title, url, icon string) dashboard.DashboardLink {
		l := link(title, url)
		l.Icon = icon
		return l
	}
	return []dashboard.DashboardLink{
		{
			Title: "OMS", Type: dashboard.DashboardLinkTypeDashboards, Icon: "external link",
			Tags: []string{tag}, IncludeVars: true, KeepTime: true,
		},
		outside("OMS console", "${oms_console_url}", "external link"),
		outside("Runbooks", "${runbook_base}", "doc"),
	}
}
