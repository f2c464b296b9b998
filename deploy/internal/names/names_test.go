package names_test

import (
	"slices"
	"strings"
	"testing"

	"oms_exporter/deploy/internal/names"
)

func known(t *testing.T) *names.Names {
	t.Helper()
	n, err := names.New()
	if err != nil {
		t.Fatal(err)
	}
	return n
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
		`ALERTS{alertstate="firing", symptom="delay", window="1h", task_owner="a", reason="limit"}`:             "",
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
		`{{ $labels.task }}`:                                                     "no $labels.task",
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
		if a.Fixed["scope"] == "task" {
			want = append(want, "job", "instance", "task_id", "task_name", "task_type", "importance", "task_owner", "symptom")
		}
		for _, l := range want {
			if !slices.Contains(a.Labels, l) {
				t.Errorf("%s has no label %s: %q", a.Name, l, a.Labels)
			}
		}
	}
}
