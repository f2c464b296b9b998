package timelapse_test

import (
	"strings"
	"testing"

	"oms_exporter/deploy/internal/timelapse"
)

func TestExpr(t *testing.T) {
	for _, c := range []struct{ name, expr, want string }{
		{"thresholds are seconds of OMS and stay", `oms:task_catchup_eta:seconds < 1800`, `oms:task_catchup_eta:seconds < 1800`},
		{"ranges", `changes(a[10m])`, `changes(a[10s])`},
		{"offsets", `a offset 15m`, `a offset 15s`},
		{"a range with an offset", `present_over_time(a[10m] offset 1h)`, `present_over_time(a[10s] offset 1m)`},
		{"subqueries", `max_over_time(a[1h:1m] offset 1h)`, `max_over_time(a[1m:1s] offset 1m)`},
		{"derivatives are by the clock of Prometheus", `deriv(a[1h]) and b`, `(deriv(a[1m]) / 60) and b`},
		{"increases are counts and stay", `increase(a[30m]) > 5`, `increase(a[30s]) > 5`},
		{
			"what the rules stamped by Prometheus' clock", `time() - oms:task_failing_since:timestamp_seconds > 600`,
			`time() - (time() - 60 * (time() - oms:task_failing_since:timestamp_seconds)) > 600`,
		},
		{
			"what the rules stamped by Prometheus' clock", `last_over_time(oms:task_failing_since:timestamp_seconds[6m]) or time() - oms:task_failing_since:timestamp_seconds >= 300`,
			`last_over_time(oms:task_failing_since:timestamp_seconds[6s]) or time() - (time() - 60 * (time() - oms:task_failing_since:timestamp_seconds)) >= 300`,
		},
		{
			"what the exporter stamped by its own clock", `a - last_over_time(oms_task_component_result_timestamp_seconds[2m])`,
			`a - (time() - 60 * (time() - last_over_time(oms_task_component_result_timestamp_seconds[2s])))`,
		},
		{"OMS's clock runs faster by itself", `time() + oms_clock_skew_seconds`, `time() + oms_clock_skew_seconds`},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := timelapse.Expr(c.expr, 60)
			if err != nil {
				t.Fatal(err)
			}
			if got = strings.Join(strings.Fields(got), " "); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
	if _, err := timelapse.Expr("a +", 60); err == nil {
		t.Error("an expression that does not parse is no error")
	}
}

func TestRules(t *testing.T) {
	got, err := timelapse.Rules([]byte(`groups:
  - name: g
    interval: 30s
    rules:
      - alert: A
        expr: a offset 1m > 1
        for: 5m
        keep_firing_for: 10m
      - alert: B
        expr: b
`), 60, "B")
	if err != nil {
		t.Fatal(err)
	}
	want := `groups:
    - name: g
      interval: 500ms
      rules:
        - alert: A
          expr: a offset 1s > 1
          for: 5s
          keep_firing_for: 10s
`
	if string(got) != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestAlertmanager(t *testing.T) {
	got, err := timelapse.Alertmanager([]byte(`route:
  receiver: pager
  group_wait: 30s
  routes:
    - receiver: chat
      repeat_interval: 4h
time_intervals:
  - name: working_hours
    time_intervals:
      - weekdays: ['monday:friday']
receivers:
  - name: pager
    webhook_configs: [{url: http://pager.example}]
  - name: chat
templates: [x.tmpl]
`), 60, "http://localhost:1/")
	if err != nil {
		t.Fatal(err)
	}
	want := `route:
    receiver: pager
    group_wait: 500ms
    routes:
        - receiver: chat
          repeat_interval: 4m
time_intervals:
    - name: working_hours
      time_intervals:
        - weekdays:
            - sunday:saturday
receivers:
    - name: pager
      webhook_configs:
        - url: http://localhost:1/pager
          send_resolved: true
    - name: chat
      webhook_configs:
        - url: http://localhost:1/chat
          send_resolved: true
templates: []
`
	if string(got) != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
