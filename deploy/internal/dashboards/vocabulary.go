package dashboards

import (
	"slices"
	"strconv"
	"strings"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/stat"

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

		// Two exporters of one OMS have the same instance and different jobs.
		// What both say is one thing.
		"<each>", "max without (job)",
		"<oms>", "on (instance)",
		"<task>", "on (instance, task_id)",
		"<link>", "on (instance, task_id, direction)",
		"<step>", "on (instance, task_id, step)",

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
		"<who>", "* <task> group_left (task_type, importance, task_owner)"+
			" topk by (instance, task_id) (1, <these>)",
		"<count>", "count by (instance, task_id)",

		// Whether each OMS that was there within 3 hours answers.
		"<api>", `max by (instance) (
			oms_up{<sel>}
			or on (instance) ((oms:exporter_up:bool{<sel>} == 0) - 1)
			or on (instance) (0 * last_over_time(oms_up{<sel>}[3h]) - 2)
		)`,
		// How old the last complete listing of each OMS is; never stands for
		// that of an OMS that has had none.
		"<age>", `<each> (
			time() - oms_last_successful_scrape_timestamp_seconds{<sel>}
			or on (instance) 0 * (oms_up{<sel>} == 0) + `+strconv.Itoa(never)+`
		)`,

		"<verify>", strings.Join(omsclient.FullVerifySteps(), "|"),
		"<switch>", strings.Join(omsclient.SwitchoverSteps(), "|"),
	)
}

// orNothing adds a series where there is none, because a timeline without any
// shows an error: 0, if OMS answers, and -1 if it does not. A label names it.
func orNothing(label, name string) string {
	return ` or on () label_replace(0 * count(oms_up{<sel>} == 1) or vector(-1), "` +
		label + `", "` + name + `", "", "")`
}

// never is an age that stands for none at all, in seconds.
const never = 1_000_000_000

// colors are those of words. A word has the same color on every panel, and no
// color comes without a word.
var colors = map[string]string{
	"INIT": grey, "RUNNING": "blue", "RUNNING_MODIFYING": "semi-dark-blue",
	"RUNNING_MERGING": "dark-blue", "MONITORING": "green", "SUSPEND": "yellow",
	"FAILED": "red", "FINISHED": "dark-green", "RELEASING": "semi-dark-purple",
	"RELEASED": "purple", "DELETED": "#5a5a5a", "UNKNOWN": "orange",

	"up": "green", "DOWN": "red", "EXPORTER DOWN": "dark-red", "GONE": "purple",
	"NO EXPORTER": "dark-red", "never": "red",
	"yes": "green", "no": "red", "unknown": "orange",
	"accepted": "green", "REFUSED": "red",
	"quiet": "green", "ALARM": "orange",
	"pending": "yellow", "firing": "red",
	"critical": "red", "warning": "orange", "info": "blue",
	"in step": "green", "not listed": "purple",

	"verified": "green", "differs": "red", "not done": "blue", "not planned": grey,

	"enter the time": "transparent", "time is ahead": "red", "over 3 days ago": "red", "OMS DOWN": "red",
	"tasks gone": "purple", "no tasks": "transparent", "not yet": "orange",

	"none": "text", "no time": "text",
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
	stepStates = numbered(omsclient.StepStatuses())
	reachable  = mapping{
		{1, "up"}, {0, "DOWN"}, {-1, "EXPORTER DOWN"}, {-2, "GONE"}, {-3, "NO EXPORTER"},
	}
	ages        = mapping{{never, "never"}}
	known       = mapping{{1, "yes"}, {0, "no"}, {-1, "unknown"}}
	accepted    = mapping{{1, "accepted"}, {0, "REFUSED"}}
	alarmStates = mapping{{0, "quiet"}, {1, "ALARM"}}
	// As ranked numbers them: of equal severity, what is about a whole OMS comes first.
	severities = mapping{
		{7, "critical"}, {6, "critical"}, {5, "warning"}, {4, "warning"}, {3, "info"}, {2, "info"},
	}
	inStep   = mapping{{-1, "in step"}}
	verdicts = mapping{
		{3, "differs"}, {1, "verified"}, {0, "not done"}, {-1, "unknown"}, {-2, "not planned"},
	}
	// What orNothing adds.
	nothing = mapping{{0, "none"}, {-1, "unknown"}}
)

// numbered numbers states from 1 on; all others have the number after them.
func numbered(states []string) mapping {
	var m mapping
	for i, state := range append(states, "UNKNOWN") {
		m = append(m, meaning{i + 1, state})
	}
	return m
}

// build returns the mapping as Grafana knows it. Without it, the word for no
// value would have the color of the lowest threshold, which is often green.
func (m mapping) build(absent, color string) []dashboard.ValueMapping {
	var list []dashboard.ValueMapping
	if m != nil {
		results := make(map[string]dashboard.ValueMappingResult)
		for i, meaning := range m {
			results[strconv.Itoa(meaning.value)] = result(meaning.word, colors[meaning.word], i)
		}
		list = append(list, dashboard.ValueMapping{ValueMap: &dashboard.ValueMap{
			Type: dashboard.MappingTypeValueToText, Options: results,
		}})
	}
	if absent != "" {
		list = append(list, dashboard.ValueMapping{SpecialValueMap: &dashboard.SpecialValueMap{
			Type: dashboard.MappingTypeSpecialValue,
			Options: dashboard.DashboardSpecialValueMapOptions{
				Match: dashboard.SpecialValueMatchNullAndNan, Result: result(absent, color, len(m)),
			},
		}})
	}
	return list
}

func result(word, color string, index int) dashboard.ValueMappingResult {
	return dashboard.ValueMappingResult{Text: &word, Color: &color, Index: cog.ToPtr(int32(index))}
}

// neutral is the color of what is neither good nor bad.
func neutral(p *dashboard.Panel) string {
	if o, ok := p.Options.(*stat.Options); ok && o.ColorMode == common.BigValueColorModeBackground {
		return "transparent"
	}
	return "text"
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
	// A delay as a multiple of its threshold.
	share = steps("green", at(0.5, "orange"), at(1, "red"))
	// Seconds of the source's time applied per second.
	pace = steps("red", at(0.5, "orange"), at(0.95, "green"))
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
	unsorted    bool   // the choices keep the order of the query
	hidden      bool   // it can be set by links and addresses only
}

// Variables, by what they choose. Links between boards keep the value of those
// that both have.
var (
	datasource = variable{
		name: "datasource", label: "Data source", kind: dashboard.VariableTypeDatasource,
		query: "prometheus", says: "The Prometheus that scrapes the exporters and evaluates the rules.",
	}
	job = variable{
		name: "job", label: "Job", hidden: true, kind: dashboard.VariableTypeQuery, all: ".+",
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
		says: "Which tasks come first in the choice of tasks, which has 500 at most.",
	}
	taskID = variable{
		name: "task_id", label: "Task", kind: dashboard.VariableTypeQuery, unsorted: true,
		// Those that are found come first, then those with alerts, then others,
		// so that links find theirs among many, and there is a way from it to
		// the others.
		query: "query_result(topk(500, (" + found + ` + <task> group_left ()
			clamp_max(<count> (ALERTS{alertstate="firing", scope="task", <sel>}), 1)) or ` + found + "))",
		regex: `/task_id="(?<value>[^"]+)".*task_name="(?<text>(?:[^"\\]|\\.)+)"/`,
		says:  "The task.",
	}
	writeStoppedAt = variable{
		name: "write_stopped_at", label: "Writes stopped at (Unix s)", kind: dashboard.VariableTypeTextbox,
		says: `Unix seconds, as date +%s prints them on the source's host once the last write is
			done. Until you enter them nothing is said to be across.`,
	}
)

// found is 3 for tasks whose name is looked for and 1 for others.
const found = "<each> (3 * oms_task_info{<sel>, task_name=~`.*${find:regex}.*`} or oms_task_info{<sel>})"

// build returns the variable as Grafana knows it.
func (v *variable) build(b *board) dashboard.VariableModel {
	query := b.expand(v.query)
	m := dashboard.VariableModel{
		Type: v.kind, Name: v.name, Label: &v.label, Description: cog.ToPtr(sentence(v.says)),
		Query: &dashboard.StringOrMap{String: &query}, SkipUrlSync: cog.ToPtr(false),
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
		m.Current = cog.ToPtr(option("default", "default"))
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
	if v.unsorted {
		m.Sort = cog.ToPtr(dashboard.VariableSortDisabled)
	}
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
var outages = outagesOf("")

// outagesOf marks outages of the OMS that a condition leaves.
func outagesOf(which string) annotation {
	return annotation{
		name: "OMS outages", color: "dark-red", tags: "instance",
		expr:  `(<each> (oms_up{<sel>} or oms:exporter_up:bool{<sel>}) == bool 0)` + which,
		title: "Nothing is known of {{instance}}",
		text:  "OMS or its exporter did not answer. Gaps are not all-clears.",
	}
}

// verified is what is known of the full verification of tasks, as verdicts
// number it.
func verified(which string) string {
	const gate = `oms:task_cutover_gate:bool{gate="verified", `
	return `max by (instance, task_id, task_name) (
		3 * (oms:task_verify_different:records{` + which + `} > bool 0) > 0
		or <task> -2 * (oms:task_phase_planned:bool{phase="full_verify", ` + which + `} == bool 0) < 0
		or <task> ` + gate + which + `} == 0
		or <task> (oms:task_verify_different:records{` + which + `} == bool 0) == 1
		or <task> 0 * oms:task_status:code{` + which + `} - 1
	)`
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
	return link("OMS / Task", "/d/oms-task/oms-task?${datasource:queryparam}&${job:queryparam}"+
		"&var-instance="+label("instance")+
		"&var-task_id="+label("task_id")+"&${__url_time_range}&var-find="+label("task_name"))
}

// The only link of a row or a series: with two, Grafana opens a menu instead.
var (
	rowLinks    = []dashboard.DashboardLink{toTask("__data.fields")}
	seriesLinks = []dashboard.DashboardLink{toTask("__field.labels")}
)

// toRunbook is the link to an alert's runbook, if it is known where they are.
func (o Outside) toRunbook() []dashboard.DashboardLink {
	if o.Runbooks == "" {
		return nil
	}
	return []dashboard.DashboardLink{link("Runbook", o.Runbooks+"${__data.fields.alertname}.md")}
}

// boardLinks are at the top of every board.
func (o Outside) boardLinks() []dashboard.DashboardLink {
	list := []dashboard.DashboardLink{{
		Title: "Boards", Type: dashboard.DashboardLinkTypeDashboards, Icon: "external link",
		Tags: []string{tag}, IncludeVars: true, KeepTime: true, AsDropdown: true,
	}}
	for _, to := range []struct{ title, url, icon string }{
		{"OMS console", o.Console, "external link"}, {"Runbooks", o.Runbooks, "doc"},
	} {
		if to.url != "" {
			l := link(to.title, to.url)
			l.Icon = to.icon
			list = append(list, l)
		}
	}
	return list
}
