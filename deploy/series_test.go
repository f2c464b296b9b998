package deploy_test

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"oms_exporter/collector"
	"oms_exporter/deploy"
)

// series are all series that exist: those of the exporter, of the rules and of
// Prometheus itself.
type series struct {
	labels map[string]set // by name
	rules  []deploy.Rule
	alerts []alert
}

// An alert is one rule: some alerts have two, of different severity.
type alert struct {
	deploy.Rule
	labels []string // the names of all labels that it has when it fires
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

// foreignSeries are those of Prometheus and of the exporter's libraries that
// anything here uses, with their labels.
var foreignSeries = map[string][]string{
	"up": nil, "scrape_duration_seconds": nil, "scrape_samples_scraped": nil,
	"scrape_samples_post_metric_relabeling": nil, "scrape_series_added": nil,
	"probe_success": nil, // of blackbox_exporter
	// Only with --enable-feature=extra-scrape-metrics.
	"scrape_timeout_seconds": nil, "scrape_sample_limit": nil, "scrape_body_size_bytes": nil,
	"process_cpu_seconds_total": nil, "process_resident_memory_bytes": nil,
	"process_start_time_seconds": nil, "process_open_fds": nil, "process_max_fds": nil,
	"go_goroutines": nil, "go_memstats_heap_inuse_bytes": nil, "go_info": {"version"},
	"promhttp_metric_handler_requests_total":     {"code"},
	"promhttp_metric_handler_requests_in_flight": nil,
}

// known returns the series that exist.
func known(t *testing.T) *series {
	t.Helper()
	s, err := knownSeries()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

var knownSeries = sync.OnceValues(func() (*series, error) {
	rules, err := deploy.Rules()
	if err != nil {
		return nil, err
	}
	s := &series{labels: make(map[string]set), rules: rules}
	for name, labels := range foreignSeries {
		s.labels[name] = setOf(target, labels)
	}
	for _, d := range collector.Docs() {
		s.add(d)
	}
	for _, d := range collector.ExporterDocs() {
		if d.Name != "oms_exporter_build_info" && !strings.HasPrefix(d.Name, "oms_exporter_config_") {
			d.Labels = append(d.Labels, "target") // if a configuration file names several OMS
		}
		s.add(d)
	}
	for _, r := range rules { // each after those that it uses; TestRulesNameWhatExists reports errors
		if r.Record != "" {
			s.labels[r.Record] = s.labels[r.Record].plus(s.of(r))
		}
	}
	for _, r := range rules {
		if r.Alert != "" {
			of := s.of(r).plus(set{"alertname": true})
			s.alerts = append(s.alerts, alert{r, slices.Sorted(maps.Keys(of))})
			s.labels["ALERTS"] = s.labels["ALERTS"].plus(of).plus(set{"alertstate": true})
		}
	}
	return s, nil
})

// add adds the series of a metric.
func (s *series) add(d collector.Doc) {
	labels := setOf(target, d.Labels)
	s.labels[d.Name] = labels
	if d.Type == "histogram" {
		s.labels[d.Name+"_bucket"] = labels.plus(set{"le": true})
		s.labels[d.Name+"_sum"], s.labels[d.Name+"_count"] = labels, labels
	}
}

// of returns the labels of what a rule makes.
func (s *series) of(r deploy.Rule) set {
	labels, _ := s.Labels(r.Expr)
	return setOf(labels, slices.Collect(maps.Keys(r.Labels)))
}

// Has tells whether there is a series of that name.
func (s *series) Has(name string) bool { return s.labels[name] != nil }

// Alerts returns the alerts in the order of the rules.
func (s *series) Alerts() []alert { return s.alerts }

// Check returns an error that names the metrics and labels of an expression
// that do not exist. Label sets are followed through the expression, so by
// (step) is wrong on what was aggregated without (step).
func (s *series) Check(expr string) error {
	_, err := s.Labels(expr)
	return err
}

// Labels returns the labels that the result of an expression may have.
func (s *series) Labels(expr string) ([]string, error) {
	parsed, err := parseExpr(expr)
	if err != nil {
		return nil, err
	}
	w := walk{series: s.labels}
	labels := w.labels(parsed)
	return slices.Sorted(maps.Keys(labels)), errors.Join(w.problems...)
}

func TestCheck(t *testing.T) {
	n := known(t)
	for expr, want := range map[string]string{
		`oms_up == 0`: "",
		`rate(oms_exporter_api_request_duration_seconds_bucket{target="a"}[5m])`:                                "",
		`oms_exporter_build_info{target="a"}`:                                                                   "no label target on oms_exporter_build_info",
		`oms_upp == 0`:                                                                                          "no metric oms_upp",
		`max(oms_up) + max(oms_task_inof)`:                                                                      "no metric oms_task_inof",
		`oms_task_step_error_info_bucket`:                                                                       "no metric oms_task_step_error_info_bucket",
		`oms_task_info{owner="a"}`:                                                                              "no label owner on oms_task_info",
		`sum by (imp) (oms_task_info)`:                                                                          "no label imp",
		`sum by (importance) (oms_task_status)`:                                                                 "no label importance",
		`max without (stauts) (oms_task_status)`:                                                                "no label stauts",
		`sum by (status) (max without (status) (oms_task_status))`:                                              "no label status",
		`oms_task_status and on (job, instance, task_di) oms_task_info`:                                         "no label task_di",
		`oms_task_status and on (task_id) oms_up`:                                                               "no label task_id on oms_up",
		`oms_task_status * ignoring (nothing) oms_task_info`:                                                    "no label nothing on either side",
		`oms_task_status * on (task_id) group_left (owner) oms_task_info`:                                       "no label owner on oms_task_info",
		`sum by (task_owner) (oms_task_status * on (task_id) group_left (task_owner) oms_task_info)`:            "",
		`sum by (owner) (label_replace(oms_task_info, "owner", "$1", "task_owner", "(.*)"))`:                    "",
		`label_replace(oms_task_info, "owner", "$1", "ownr", "(.*)")`:                                           "no label ownr",
		`sum by (owner) (label_replace(oms_task_info, "owner", "x", "", ""))`:                                   "",
		`sum by (owner) (label_join(oms_task_info, "owner", "-", "job", "inst"))`:                               "no label inst",
		`count_values("n", oms_tasks)`:                                                                          "",
		`sum by (n) (count_values("n", oms_tasks))`:                                                             "",
		`histogram_quantile(0.9, sum by (le) (rate(oms_exporter_api_request_duration_seconds_bucket[5m])))`:     "",
		`histogram_quantile(0.9, sum by (le) (rate(oms_exporter_api_request_duration_seconds[5m])))`:            "no label le",
		`{__name__=~"oms_task_step_.*", step="A"}`:                                                              "",
		`{__name__=~"oms_tusk_.*"}`:                                                                             "no metric",
		`oms:task_late:seconds{level="warning", direction="reverse"}`:                                           "",
		`oms:task_late:seconds{importance="HIGH"}`:                                                              "no label importance on oms:task_late:seconds",
		`oms:task_late:second`:                                                                                  "no metric oms:task_late:second",
		`oms:setting_delay_threshold:seconds{job="a"}`:                                                          "no label job",
		`oms:task_cutover_gate:bool and on (gate) (oms:setting_cutover_gate:bool == 1)`:                         "",
		`ALERTS{alertstate="firing", symptom="delay", step="A", task_owner="a", reason="limit"}`:                "",
		`ALERTS{state="firing"}`:                                                                                "no label state",
		`absent(oms_up{job="a"})`:                                                                               "",
		`sum by (job) (absent(oms_up{job="a"}))`:                                                                "",
		`max_over_time((oms_up * 2)[1h:1m]) > -scalar(max(oms_up)) or vector(time())`:                           "",
		`topk(3, oms_task_sync_delay_seconds{direction="forward"}) and on (direction) oms:task_live:bool @ 100`: "",
		`oms_up[`: "parse error",
	} {
		err := n.Check(expr)
		switch {
		case want == "" && err != nil:
			t.Errorf("%s: %v", expr, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%s: %v, want %q", expr, err, want)
		}
	}
}

func TestLabels(t *testing.T) {
	n := known(t)
	for expr, want := range map[string][]string{
		`oms:task_live:bool`:                     {"direction", "instance", "job", "task_id", "task_name"},
		`oms:task_delay_threshold:seconds`:       {"instance", "job", "level", "task_id", "task_name"},
		`oms:task_step_pace:seconds_per_percent`: {"instance", "job", "step", "task_id", "task_name"},
		`oms:task_cutover_readiness:ratio`:       {"instance", "job", "task_id", "task_name"},
		`oms:setting_scrape_timeout:seconds`:     nil,
		`1 - oms_up`:                             {"instance", "job"},
	} {
		if got, err := n.Labels(expr); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %q (%v), want %q", expr, got, err, want)
		}
	}
}

func TestCheckTemplate(t *testing.T) {
	n := known(t)
	labels := []string{"instance", "task_id"}
	const ask = `{{ with printf "oms_scrape_error_info{instance=%q}" $labels.instance | query }}{{ $s := first . }}`
	for text, want := range map[string]string{
		`{{ $labels.task_id }} on {{ $labels.instance }}`:                        "",
		`{{ $labels.task }}`:                                                     "no label task in $labels",
		ask + `{{ $s.Labels.reason }}{{ end }}`:                                  "",
		ask + `{{ $s.Labels.cause }}{{ end }}`:                                   "no label cause",
		strings.ReplaceAll(ask, "instance=", "inst=") + `{{ end }}`:              "no label inst",
		strings.ReplaceAll(ask, "oms_scrape_error_info", "oms_er") + `{{ end }}`: "no metric oms_er",
		`{{ "oms_up" | query }}`:                                                 "cannot read every query",
	} {
		err := n.CheckTemplate(text, labels)
		switch {
		case want == "" && err != nil:
			t.Errorf("%s: %v", text, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

func TestAlertsHaveTheLabelsThatRoutesGoBy(t *testing.T) {
	for _, a := range known(t).Alerts() {
		want := []string{"alertname", "scope", "severity"}
		if a.Labels["scope"] == "task" {
			want = append(want, "job", "instance", "task_id", "task_name", "task_type", "importance", "task_owner", "symptom")
		}
		for _, l := range want {
			if !slices.Contains(a.labels, l) {
				t.Errorf("%s has no label %s: %q", a.Alert, l, a.labels)
			}
		}
	}
}
