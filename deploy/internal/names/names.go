// Package names knows the metrics and labels that there are: those of the exporter, those that
// the recording rules make, and those of Prometheus itself. It finds the ones that an expression
// names and that do not exist, which Prometheus takes for series that are not there yet.
package names

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"oms_exporter/collector"
	"oms_exporter/deploy/internal/rules"
)

// Names maps the name of each series to its labels.
type Names struct {
	series map[string]set
	alerts []Alert
	rules  []rule
}

// An Alert is an alert as Prometheus loads it, with the names of all labels that it has.
type Alert struct {
	Name        string            `yaml:"alert"`
	Group       string            `yaml:"-"`
	Expr        string            `yaml:"expr"`
	For         string            `yaml:"for"`
	Fixed       map[string]string `yaml:"labels"` // those that the rule sets, perhaps by a template
	Annotations map[string]string `yaml:"annotations"`
	Labels      []string          `yaml:"-"`
}

// rule is a rule as Prometheus loads it.
type rule struct {
	Record string `yaml:"record"`
	Alert  `yaml:",inline"`
}

type set map[string]bool

func setOf(lists ...[]string) set {
	s := make(set)
	for _, list := range lists {
		for _, l := range list {
			s[l] = true
		}
	}
	return s
}

// plus returns what is in either.
func (s set) plus(other set) set {
	sum := maps.Clone(s)
	if sum == nil {
		sum = make(set)
	}
	maps.Copy(sum, other)
	return sum
}

// target are the labels that Prometheus adds to what it scrapes.
var target = []string{"job", "instance"}

// own are the series of Prometheus itself and of the libraries in the exporter that something
// below deploy uses, with their labels.
var own = map[string][]string{
	"up": nil, "scrape_duration_seconds": nil, "scrape_samples_scraped": nil,
	"scrape_samples_post_metric_relabeling": nil, "scrape_series_added": nil,
	// Only with --enable-feature=extra-scrape-metrics.
	"scrape_timeout_seconds": nil, "scrape_sample_limit": nil, "scrape_body_size_bytes": nil,
	"process_cpu_seconds_total": nil, "process_resident_memory_bytes": nil,
	"process_start_time_seconds": nil, "process_open_fds": nil, "process_max_fds": nil,
	"go_goroutines": nil, "go_memstats_heap_inuse_bytes": nil, "go_info": {"version"},
	"promhttp_metric_handler_requests_total":     {"code"},
	"promhttp_metric_handler_requests_in_flight": nil,
}

// New returns the names that there are.
func New() (*Names, error) {
	n := &Names{series: make(map[string]set)}
	for name, labels := range own {
		n.series[name] = setOf(target, labels)
	}
	for _, d := range collector.Docs() {
		n.add(d, nil)
	}
	for _, d := range collector.ExporterDocs() {
		var more []string
		if d.Name != "oms_exporter_build_info" && !strings.HasPrefix(d.Name, "oms_exporter_config_") {
			more = []string{"target"} // where a configuration file names several OMS
		}
		n.add(d, more)
	}

	files, err := rules.Files(rules.Defaults())
	if err != nil {
		return nil, err
	}
	for _, name := range []string{"oms_recording.rules.yml", "oms_alerts.rules.yml"} {
		if err := n.load(files[name]); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	return n, nil
}

// add adds the series of a metric.
func (n *Names) add(d collector.Doc, more []string) {
	labels := setOf(target, d.Labels, more)
	n.series[d.Name] = labels
	if d.Type == "histogram" {
		n.series[d.Name+"_bucket"] = labels.plus(set{"le": true})
		n.series[d.Name+"_sum"], n.series[d.Name+"_count"] = labels, labels
	}
}

// load adds the series that the rules of a file make, each after those that it is made of.
func (n *Names) load(file []byte) error {
	var content struct {
		Groups []struct {
			Name  string
			Rules []rule
		}
	}
	if err := yaml.Unmarshal(file, &content); err != nil {
		return err
	}
	for _, g := range content.Groups {
		for _, r := range g.Rules {
			labels, _ := n.labels(r.Expr) // Problems says what is wrong with it
			labels = labels.plus(setOf(slices.Collect(maps.Keys(r.Fixed))))
			n.rules = append(n.rules, r)
			if r.Record != "" {
				n.series[r.Record] = n.series[r.Record].plus(labels)
				continue
			}
			labels["alertname"] = true
			r.Group, r.Labels = g.Name, slices.Sorted(maps.Keys(labels))
			n.alerts = append(n.alerts, r.Alert)
			n.series["ALERTS_FOR_STATE"] = n.series["ALERTS_FOR_STATE"].plus(labels)
			n.series["ALERTS"] = n.series["ALERTS"].plus(labels).plus(set{"alertstate": true})
		}
	}
	return nil
}

// Has tells whether there is a series of that name.
func (n *Names) Has(name string) bool {
	return n.series[name] != nil
}

// Alerts returns the alerts in the order of the rules; one for each severity of a name.
func (n *Names) Alerts() []Alert { return n.alerts }

// Check returns an error that says which metrics of an expression do not exist, and which labels
// it asks for where there are none of that name. Label sets are followed through the
// expression, so by (step) is wrong on what was aggregated without (step).
func (n *Names) Check(expr string) error {
	_, err := n.labels(expr)
	return err
}

// Labels returns the labels that the result of an expression may have.
func (n *Names) Labels(expr string) ([]string, error) {
	labels, err := n.labels(expr)
	return slices.Sorted(maps.Keys(labels)), err
}

// Problems says what is wrong with the rules.
func (n *Names) Problems() error {
	var problems []error
	for _, r := range n.rules {
		if err := n.Check(r.Expr); err != nil {
			problems = append(problems, fmt.Errorf("%s%s: %w", r.Record, r.Name, err))
		}
		for _, text := range r.Annotations {
			if err := n.CheckTemplate(text, r.labelsOf(n)); err != nil {
				problems = append(problems, fmt.Errorf("%s: %w", r.Name, err))
			}
		}
		for _, text := range r.Fixed {
			if err := n.CheckTemplate(text, r.labelsOf(n)); err != nil {
				problems = append(problems, fmt.Errorf("%s: %w", r.Name, err))
			}
		}
	}
	return errors.Join(problems...)
}

// labelsOf returns the labels that the templates of a rule can use.
func (r *rule) labelsOf(n *Names) []string {
	labels, _ := n.Labels(r.Expr)
	return labels
}

// NotInRules says of each metric of the exporter that no rule uses why that is so.
var NotInRules = map[string]string{
	"oms_tasks":                       "for boards: how many tasks there are",
	"oms_scrape_duration_seconds":     "for boards: Prometheus' own duration has an alert",
	"oms_scrape_pages":                "to look into a slow listing",
	"oms_api_reported_tasks":          "to look into an inconsistent listing, which has an alert",
	"oms_task_tag_info":               "to choose tasks by on boards",
	"oms_task_recent_alarms":          "to look into oms_task_alarming, which has an alert",
	"oms_task_rule_recent_alarms":     "to look into oms_task_alarming, which has an alert",
	"oms_task_alarms_total":           "for boards: how often OMS raises alarms",
	"oms_task_running_progress_ratio": "most versions leave it out",

	"oms_task_created_timestamp_seconds":  "for boards: the life of a task",
	"oms_task_modified_timestamp_seconds": "OMS moves it at runtime too, so it says nothing",
	"oms_task_started_timestamp_seconds":  "for boards: the life of a task",
	"oms_task_finished_timestamp_seconds": "for boards: the life of a task",

	"oms_task_step_order":                       "for boards: their order of steps",
	"oms_task_step_finish_timestamp_seconds":    "for boards: how long steps took",
	"oms_task_step_estimated_records":           "for boards: when a copy will be done",
	"oms_task_step_source_records_per_second":   "to look into a slow step",
	"oms_task_step_sink_records_per_second":     "to look into a slow step",
	"oms_task_step_source_bytes_per_second":     "to look into a slow step",
	"oms_task_step_sink_bytes_per_second":       "to look into a slow step",
	"oms_task_step_source_latency_seconds":      "to look into a slow step",
	"oms_task_step_sink_latency_seconds":        "to look into a slow step",
	"oms_exporter_build_info":                   "for boards: which version runs",
	"oms_exporter_api_requests_total":           "to look into oms_up, which has an alert",
	"oms_exporter_api_request_retries_total":    "to look into oms_up, which has an alert",
	"oms_exporter_api_request_duration_seconds": "to look into a slow listing",
	"oms_exporter_api_response_bytes_total":     "to look into a slow listing",
	"oms_exporter_scrapes_coalesced_total":      "for boards: several Prometheus servers",

	"oms_exporter_config_last_reload_success_timestamp_seconds": "its failure has an alert",
}

// Used returns the metrics that the rules use, in expressions and in the texts of alerts.
func (n *Names) Used() map[string]bool {
	used := make(set)
	for _, r := range n.rules {
		maps.Copy(used, mentioned(r.Expr))
		for _, text := range r.Annotations {
			for _, q := range queries(text) {
				maps.Copy(used, mentioned(q.expr))
			}
		}
	}
	return used
}
