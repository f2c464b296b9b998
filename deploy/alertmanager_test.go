package deploy_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"text/template"
	"time"

	"oms_exporter/deploy/internal/process"
)

const alertmanagerFile = "alertmanager/alertmanager.yml"

// tool returns the path of a program, which may have several names. The test
// fails without it.
func tool(t *testing.T, debianPackage string, programs ...string) string {
	t.Helper()
	for _, p := range programs {
		if path, err := exec.LookPath(p); err == nil {
			return path
		}
	}
	t.Fatalf("there is no %s here: apt-get install %s", programs[0], debianPackage)
	return ""
}

func run(t *testing.T, program string, args ...string) string {
	t.Helper()
	var out, problems bytes.Buffer
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Stdout, cmd.Stderr = &out, &problems
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s %s: %v\n%s%s", filepath.Base(program), strings.Join(args, " "), err, &out, &problems)
	}
	return out.String()
}

func amtool(t *testing.T, args ...string) string {
	t.Helper()
	return run(t, tool(t, "prometheus-alertmanager", "amtool"), args...)
}

func TestAlertmanagerLoads(t *testing.T) {
	amtool(t, "check-config", alertmanagerFile)
}

// alertsByName returns the alerts by NAME/SEVERITY, because some have two, or
// by NAME if the severity depends on the importance.
func alertsByName(t *testing.T) map[string]alert {
	t.Helper()
	all := make(map[string]alert)
	for _, a := range known(t).Alerts() {
		name := a.Alert + "/" + a.Labels["severity"]
		if strings.Contains(name, "{{") {
			name = a.Alert
		}
		all[name] = a
	}
	return all
}

// usual are the labels of an alert by default.
var usual = map[string]string{
	"job": "oms", "instance": "hangzhou", "task_id": "np_1", "task_name": "orders", "task_type": "SYNC",
	"importance": "HIGH", "task_owner": "ops", "direction": "forward", "step": "INCR_TRANSFER",
	"reason": "limit", "field": "status", "target": "hangzhou",
}

// labelsOf returns the labels of an alert that fires, some of them different
// from usual.
func labelsOf(t *testing.T, alert string, different ...string) map[string]string {
	t.Helper()
	a, ok := alertsByName(t)[alert]
	if !ok {
		t.Fatalf("there is no alert %s", alert)
	}
	return labelsOfAlert(t, a, different...)
}

func labelsOfAlert(t *testing.T, a alert, different ...string) map[string]string {
	t.Helper()
	of := map[string]string{"alertname": a.Alert}
	for _, l := range a.labels {
		if value, ok := usual[l]; ok {
			of[l] = value
		}
	}
	for i := 0; i < len(different); i += 2 {
		if slices.Contains(a.labels, different[i]) {
			of[different[i]] = different[i+1]
		}
	}
	for name, text := range a.Labels {
		parsed, err := template.New(name).Parse("{{ $labels := . }}" + text)
		if err != nil {
			t.Fatal(err)
		}
		var value strings.Builder
		if err := parsed.Execute(&value, of); err != nil {
			t.Fatal(err)
		}
		of[name] = value.String()
	}
	maps.DeleteFunc(of, func(_, value string) bool { return value == "" })
	for _, l := range a.labels {
		if _, ok := of[l]; !ok && l != "importance" {
			t.Fatalf("%s has a label %s: add it to usual", a.Alert, l)
		}
	}
	return of
}

// receivers are those of each alert for a task of importance HIGH, of MEDIUM,
// LOW or none, and of IGNORE. A single entry is for all of them.
var receivers = map[string][]string{
	"OMSExporterDown/critical":              {"pager,chat"},
	"OMSExporterAbsent/critical":            {"pager,chat"},
	"OMSExporterScrapeNearTimeout/warning":  {"chat"},
	"OMSExporterConfigReloadFailed/warning": {"chat"},

	"OMSDown/critical":                {"pager,chat"},
	"OMSListingStale/warning":         {"chat"},
	"OMSListingIncomplete/critical":   {"pager,chat"}, // over the limit, no task has series
	"OMSListingIncomplete/warning":    {"chat"},
	"OMSListingInconsistent/warning":  {"chat"},
	"OMSUnknownValues/info":           {"ticket"},
	"OMSCertificateExpiring/warning":  {"chat"},
	"OMSCertificateExpiring/critical": {"pager,chat"},
	"OMSClockSkew/warning":            {"chat"},
	"OMSManyTasksDelayed/critical":    {"pager,chat"},

	"OMSTaskFailed":                          {"pager,chat", "chat", "ticket"},
	"OMSTaskStepFailed":                      {"pager,chat", "chat", "ticket"},
	"OMSTaskFlapping/warning":                {"chat", "chat", "blackhole"},
	"OMSTaskStepStuck/warning":               {"chat", "chat", "blackhole"},
	"OMSTaskStatusInconsistent/warning":      {"chat", "chat", "blackhole"},
	"OMSTaskResumeWindowClosing/warning":     {"chat", "chat", "blackhole"},
	"OMSTaskResumeWindowAlmostLost/critical": {"pager,chat", "pager,chat", "blackhole"},
	"OMSTaskSuspended/info":                  {"ticket", "ticket", "blackhole"},

	"OMSTaskDelayCritical/critical":       {"pager,chat", "pager,chat", "blackhole"},
	"OMSTaskDelayHigh/warning":            {"chat", "chat", "blackhole"},
	"OMSTaskFallingBehind/warning":        {"chat", "chat", "blackhole"},
	"OMSTaskCheckpointFrozen/warning":     {"pager,chat", "chat", "blackhole"},
	"OMSTaskDelaySampleStale/warning":     {"chat", "chat", "blackhole"},
	"OMSTaskDelayMissing/info":            {"ticket", "ticket", "blackhole"},
	"OMSTaskFreshnessBudgetBurn/critical": {"pager,chat", "pager,chat", "blackhole"},
	"OMSTaskFreshnessBudgetBurn/warning":  {"chat", "chat", "blackhole"},

	"OMSTaskVerifyDifferences/warning": {"chat", "chat", "blackhole"},
	"OMSTaskNegativeDelay/info":        {"ticket", "ticket", "blackhole"},
	"OMSTaskAlarmingInOMS/info":        {"ticket", "ticket", "blackhole"},
	"OMSTaskDisappeared/info":          {"ticket", "ticket", "blackhole"},
	"OMSTaskCutoverReady/info":         {"chat", "chat", "blackhole"},
}

// receiversOf returns the receivers of an alert about a task of this
// importance.
func receiversOf(alert, importance string) string {
	row := receivers[alert]
	switch {
	case len(row) == 0:
		return ""
	case len(row) == 1 || importance == "HIGH":
		return row[0]
	case importance == "IGNORE":
		return row[2]
	}
	return row[1]
}

func TestRoutes(t *testing.T) {
	t.Parallel()
	all := alertsByName(t)
	for alert := range receivers {
		if _, ok := all[alert]; !ok {
			t.Errorf("there is no alert %s", alert)
		}
	}
	type row struct {
		what   string
		labels map[string]string
		want   string
	}
	rows := []row{
		{"an alert of other rules", map[string]string{"alertname": "Watchdog", "severity": "none"}, "ticket"},
		{"an example of an owner", labelsOf(t, "OMSTaskDelayHigh/warning", "task_owner", "owner-example"), "owner-example,chat"},
		{"a page for an owner", labelsOf(t, "OMSTaskFailed", "task_owner", "owner-example"), "owner-example,pager,chat"},
		{"IGNORE of an owner", labelsOf(t, "OMSTaskFailed", "task_owner", "owner-example", "importance", "IGNORE"), "ticket"},
	}
	for alert, a := range all {
		if receivers[alert] == nil {
			t.Errorf("the table receivers lacks %s", alert)
		}
		importances := []string{"HIGH", "MEDIUM", "LOW", "", "IGNORE"}
		if a.Labels["scope"] != "task" {
			importances = []string{"HIGH"}
		}
		for _, i := range importances {
			rows = append(rows, row{alert + " of importance " + i, labelsOfAlert(t, a, "importance", i), receiversOf(alert, i)})
		}
	}
	resolved := make(map[string]string) // by the labels that routes match, so that amtool runs once for each
	for _, r := range rows {
		args := []string{"config", "routes", "test", "--config.file=" + alertmanagerFile}
		for _, l := range []string{"alertname", "scope", "severity", "symptom", "importance", "task_owner"} {
			if value := r.labels[l]; value != "" && (l != "alertname" || r.labels["scope"] == "") {
				args = append(args, l+"="+value)
			}
		}
		key := strings.Join(args, " ")
		if resolved[key] == "" {
			resolved[key] = strings.TrimSpace(amtool(t, args...))
		}
		if resolved[key] != r.want {
			t.Errorf("%s goes to %q, want %q", r.what, resolved[key], r.want)
		}
	}
}

var client = &http.Client{Timeout: time.Minute}

// An alertmanager runs for a test. It notifies a server of the test.
type alertmanager struct {
	url string

	mu   sync.Mutex
	sent map[string][]string // bodies by receiver
}

// startAlertmanager runs the configuration with its receivers in the test and
// short waits, and with these further changes, which are pairs of old and new
// text.
func startAlertmanager(t *testing.T, change ...string) *alertmanager {
	t.Helper()
	program := tool(t, "prometheus-alertmanager", "prometheus-alertmanager", "alertmanager")
	am := &alertmanager{sent: make(map[string][]string)}
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		am.mu.Lock()
		defer am.mu.Unlock()
		receiver := strings.TrimPrefix(r.URL.Path, "/")
		am.sent[receiver] = append(am.sent[receiver], string(body))
	}))
	t.Cleanup(server.Close)

	templates, err := filepath.Abs("alertmanager/templates")
	if err != nil {
		t.Fatal(err)
	}
	config, err := os.ReadFile(alertmanagerFile)
	if err != nil {
		t.Fatal(err)
	}
	change = append([]string{
		"templates/*.tmpl", templates + "/*.tmpl", "http://127.0.0.1:9094", server.URL,
		"group_wait: 30s", "group_wait: 200ms", "group_interval: 5m", "group_interval: 1s",
	}, change...)
	text := string(config)
	for i := 0; i < len(change); i += 2 {
		if !strings.Contains(text, change[i]) {
			t.Fatalf("%s has no %s", alertmanagerFile, change[i])
		}
		text = strings.ReplaceAll(text, change[i], change[i+1])
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "alertmanager.yml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	p := launch(t, filepath.Join(dir, "log"), program, "--config.file="+file, "--storage.path="+dir,
		"--cluster.listen-address=")
	am.url = "http://" + p.Address
	return am
}

// launch runs a program until the test ends. Its log is shown if the test
// fails.
func launch(t *testing.T, log, program string, args ...string) *process.Process {
	t.Helper()
	args = append(args, "--web.listen-address="+process.Address)
	p, err := process.Start(t.Context(), log, "/-/ready", program, args...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.Stop()
		if t.Failed() {
			t.Logf("%s: %s", filepath.Base(program), readFile(t, log))
		}
	})
	return p
}

// A posted alert is what Prometheus sends.
type posted struct {
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations,omitempty"`
	StartsAt    time.Time         `json:"startsAt"`
	EndsAt      time.Time         `json:"endsAt"`
}

// firing returns an alert that starts to fire now. Alertmanager does not let
// older ones wait for their group.
func firing(labels map[string]string) posted {
	now := time.Now()
	return posted{Labels: labels, StartsAt: now, EndsAt: now.Add(time.Hour)}
}

func (am *alertmanager) post(t *testing.T, alerts ...posted) {
	t.Helper()
	body, err := json.Marshal(alerts)
	if err != nil {
		t.Fatal(err)
	}
	r, err := client.Post(am.url+"/api/v2/alerts", "application/json", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	answer, _ := io.ReadAll(r.Body)
	_ = r.Body.Close()
	if r.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s", r.Status, answer)
	}
}

// inhibited returns all alerts by their label case, and whether they are
// inhibited.
func (am *alertmanager) inhibited(t *testing.T) map[string]bool {
	t.Helper()
	r, err := client.Get(am.url + "/api/v2/alerts?" + url.Values{"active": {"true"}, "inhibited": {"true"}}.Encode())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Body.Close() }()
	var found []struct {
		Labels map[string]string
		Status struct{ InhibitedBy []string }
	}
	if err := json.NewDecoder(r.Body).Decode(&found); err != nil {
		t.Fatal(err)
	}
	result := make(map[string]bool)
	for _, a := range found {
		result[a.Labels["case"]] = len(a.Status.InhibitedBy) > 0
	}
	return result
}

// A pair is two alerts that fire together, and whether the source hides the
// target.
type pair struct {
	name           string
	source, target map[string]string
	hidden         bool
}

// hides returns which targets are hidden, by name of the pair. It posts a part
// of the pairs at a time: the time that Alertmanager takes grows with their
// square.
func hides(t *testing.T, pairs []pair) map[string]bool {
	t.Helper()
	result := make(map[string]bool)
	for part := range slices.Chunk(pairs, 600) {
		maps.Copy(result, hidesAtOnce(t, part))
	}
	return result
}

// hidesAtOnce posts all pairs, each with an instance of its own unless it has
// none.
func hidesAtOnce(t *testing.T, pairs []pair) map[string]bool {
	t.Helper()
	am := startAlertmanager(t, "group_wait: 200ms", "group_wait: 1h") // no notifications are expected
	var alerts []posted
	for i, p := range pairs {
		for side, labels := range []map[string]string{p.target, p.source} {
			labels = maps.Clone(labels)
			if labels["instance"] != "" {
				labels["instance"] += fmt.Sprint(i)
			}
			labels["case"] = []string{"", "source: "}[side] + p.name
			alerts = append(alerts, firing(labels))
		}
	}
	am.post(t, alerts...)
	// Alertmanager finds sources in the background: wait until nothing changes.
	before, since := am.inhibited(t), time.Now()
	for time.Since(since) < 600*time.Millisecond {
		<-time.After(200 * time.Millisecond)
		if now := am.inhibited(t); !maps.Equal(now, before) {
			before, since = now, time.Now()
		}
	}
	if len(before) != len(alerts) {
		t.Fatalf("%d alerts, want %d", len(before), len(alerts))
	}
	return before
}

func TestInhibition(t *testing.T) {
	t.Parallel()
	of := func(alert string, different ...string) map[string]string {
		return labelsOf(t, alert, different...)
	}
	const (
		hidden = true
		shown  = false
	)
	forward, reverse := []string{"direction", "forward"}, []string{"direction", "reverse"}
	medium := func(more ...string) []string { return append([]string{"importance", "MEDIUM"}, more...) }
	cases := []struct {
		source   string
		with     []string
		target   string
		and      []string
		expected bool
	}{
		// Nothing is known.
		{"OMSExporterDown/critical", nil, "OMSDown/critical", nil, hidden},
		{"OMSExporterDown/critical", nil, "OMSExporterScrapeNearTimeout/warning", nil, hidden},
		{"OMSExporterDown/critical", nil, "OMSManyTasksDelayed/critical", nil, hidden},
		{"OMSExporterDown/critical", nil, "OMSTaskDelayCritical/critical", nil, hidden},
		{"OMSExporterDown/critical", nil, "OMSTaskResumeWindowAlmostLost/critical", nil, hidden},
		{"OMSExporterDown/critical", nil, "OMSExporterAbsent/critical", nil, shown},
		{"OMSExporterDown/critical", []string{"job", "oms-b"}, "OMSTaskDelayCritical/critical", nil, shown},
		{"OMSExporterDown/critical", []string{"job", "oms-b"}, "OMSDown/critical", nil, shown},
		{"OMSExporterAbsent/critical", nil, "OMSDown/critical", nil, shown},
		{"OMSDown/critical", nil, "OMSListingStale/warning", nil, hidden},
		{"OMSDown/critical", nil, "OMSManyTasksDelayed/critical", nil, hidden},
		{"OMSDown/critical", nil, "OMSTaskFailed", nil, hidden},
		{"OMSDown/critical", nil, "OMSTaskCutoverReady/info", nil, hidden},
		{"OMSDown/critical", nil, "OMSTaskResumeWindowAlmostLost/critical", nil, hidden},
		{"OMSDown/critical", nil, "OMSExporterConfigReloadFailed/warning", nil, shown},
		{"OMSDown/critical", nil, "OMSCertificateExpiring/critical", nil, shown},
		{"OMSDown/critical", []string{"job", "oms-b"}, "OMSTaskFailed", nil, shown},
		{"OMSDown/critical", []string{"job", "oms-b"}, "OMSListingStale/warning", nil, shown},
		{"OMSListingStale/warning", nil, "OMSTaskFailed", nil, hidden},
		{"OMSListingStale/warning", nil, "OMSDown/critical", nil, shown},
		{"OMSListingIncomplete/warning", nil, "OMSTaskFailed", nil, shown},

		// A storm.
		{"OMSManyTasksDelayed/critical", nil, "OMSTaskDelayCritical/critical", nil, hidden},
		{"OMSManyTasksDelayed/critical", nil, "OMSTaskDelayHigh/warning", reverse, hidden},
		{"OMSManyTasksDelayed/critical", nil, "OMSTaskFallingBehind/warning", nil, hidden},
		{"OMSManyTasksDelayed/critical", nil, "OMSTaskCheckpointFrozen/warning", nil, hidden},
		{"OMSManyTasksDelayed/critical", nil, "OMSTaskDelaySampleStale/warning", nil, hidden},
		{"OMSManyTasksDelayed/critical", nil, "OMSTaskDelayMissing/info", nil, hidden},
		{"OMSManyTasksDelayed/critical", nil, "OMSTaskFreshnessBudgetBurn/critical", nil, hidden},
		{"OMSManyTasksDelayed/critical", nil, "OMSTaskAlarmingInOMS/info", nil, hidden},
		{"OMSManyTasksDelayed/critical", []string{"job", "oms-b"}, "OMSTaskDelayCritical/critical", nil, shown},
		{"OMSManyTasksDelayed/critical", nil, "OMSTaskFailed", nil, shown},
		{"OMSManyTasksDelayed/critical", nil, "OMSTaskStepFailed", nil, shown},
		{"OMSManyTasksDelayed/critical", nil, "OMSTaskStepStuck/warning", nil, shown},
		{"OMSManyTasksDelayed/critical", nil, "OMSTaskResumeWindowClosing/warning", nil, shown},
		{"OMSManyTasksDelayed/critical", nil, "OMSTaskVerifyDifferences/warning", nil, shown},

		// A failed task.
		{"OMSTaskFailed", nil, "OMSTaskStepFailed", nil, hidden},
		{"OMSTaskFailed", nil, "OMSTaskDelayCritical/critical", nil, hidden},
		{"OMSTaskFailed", nil, "OMSTaskDelayHigh/warning", reverse, hidden},
		{"OMSTaskFailed", nil, "OMSTaskCheckpointFrozen/warning", nil, hidden},
		{"OMSTaskFailed", nil, "OMSTaskStepStuck/warning", nil, hidden},
		{"OMSTaskFailed", nil, "OMSTaskStatusInconsistent/warning", nil, hidden},
		{"OMSTaskFailed", nil, "OMSTaskFreshnessBudgetBurn/critical", nil, hidden},
		{"OMSTaskFailed", nil, "OMSTaskAlarmingInOMS/info", nil, hidden},
		{"OMSTaskFailed", medium(), "OMSTaskStepFailed", medium(), hidden},
		{"OMSTaskFailed", medium(), "OMSTaskDelayHigh/warning", medium(), hidden},
		{"OMSTaskFailed", medium(), "OMSTaskDelayCritical/critical", medium(), shown},
		{"OMSTaskFailed", nil, "OMSTaskFlapping/warning", nil, shown},
		{"OMSTaskFailed", nil, "OMSTaskResumeWindowClosing/warning", nil, shown},
		{"OMSTaskFailed", nil, "OMSTaskResumeWindowAlmostLost/critical", nil, shown},
		{"OMSTaskFailed", nil, "OMSTaskVerifyDifferences/warning", nil, shown},
		{"OMSTaskFailed", nil, "OMSTaskCutoverReady/info", nil, shown},
		{"OMSTaskFailed", []string{"task_id", "np_2"}, "OMSTaskDelayCritical/critical", nil, shown},
		{"OMSTaskFailed", []string{"job", "oms-b"}, "OMSTaskDelayCritical/critical", nil, shown},
		{"OMSTaskStepFailed", nil, "OMSTaskFailed", nil, shown},
		{"OMSTaskDelayCritical/critical", nil, "OMSTaskFailed", nil, shown},

		// A failed step.
		{"OMSTaskStepFailed", nil, "OMSTaskDelayCritical/critical", nil, hidden},
		{"OMSTaskStepFailed", []string{"step", "TRANSFER_INCR_LOG_PULL"}, "OMSTaskDelayCritical/critical", nil, hidden},
		{"OMSTaskStepFailed", []string{"step", "CONNECTOR_INCR_SYNC"}, "OMSTaskFreshnessBudgetBurn/critical", nil, hidden},
		{"OMSTaskStepFailed", nil, "OMSTaskCheckpointFrozen/warning", nil, hidden},
		{"OMSTaskStepFailed", nil, "OMSTaskDelayCritical/critical", reverse, shown},
		{"OMSTaskStepFailed", nil, "OMSTaskCheckpointFrozen/warning", reverse, shown},
		{"OMSTaskStepFailed", []string{"step", "REVERSE_INCR_TRANSFER"}, "OMSTaskDelayCritical/critical", reverse, hidden},
		{"OMSTaskStepFailed", []string{"step", "REVERSE_INCR_SYNC"}, "OMSTaskDelayHigh/warning", reverse, hidden},
		{"OMSTaskStepFailed", []string{"step", "REVERSE_INCR_TRANSFER"}, "OMSTaskDelayCritical/critical", forward, shown},
		{"OMSTaskStepFailed", []string{"step", "FULL_VERIFIER"}, "OMSTaskDelayCritical/critical", nil, shown},
		{"OMSTaskStepFailed", []string{"step", "INCR_VERIFIER"}, "OMSTaskDelayHigh/warning", nil, shown},
		{"OMSTaskStepFailed", medium(), "OMSTaskDelayHigh/warning", medium(), hidden},
		{"OMSTaskStepFailed", medium(), "OMSTaskDelayCritical/critical", medium(), shown},
		{"OMSTaskStepFailed", []string{"step", "FULL_TRANSFER"}, "OMSTaskStepStuck/warning", []string{"step", "FULL_TRANSFER"}, hidden},
		{"OMSTaskStepFailed", []string{"step", "FULL_TRANSFER"}, "OMSTaskStepStuck/warning", []string{"step", "FULL_VERIFIER"}, shown},
		{"OMSTaskStepFailed", nil, "OMSTaskAlarmingInOMS/info", nil, hidden},
		{"OMSTaskStepFailed", nil, "OMSTaskResumeWindowClosing/warning", nil, shown},
		{"OMSTaskStepFailed", nil, "OMSTaskVerifyDifferences/warning", nil, shown},

		// Two degrees of one thing.
		{"OMSTaskDelayCritical/critical", nil, "OMSTaskDelayHigh/warning", nil, hidden},
		{"OMSTaskDelayCritical/critical", nil, "OMSTaskDelayHigh/warning", reverse, shown},
		{"OMSTaskDelayCritical/critical", reverse, "OMSTaskDelayHigh/warning", nil, shown},
		{"OMSTaskDelayCritical/critical", nil, "OMSTaskCheckpointFrozen/warning", nil, shown},
		{"OMSTaskResumeWindowAlmostLost/critical", nil, "OMSTaskResumeWindowClosing/warning", nil, hidden},
		{"OMSTaskResumeWindowAlmostLost/critical", nil, "OMSTaskResumeWindowClosing/warning", reverse, shown},
		{"OMSTaskFreshnessBudgetBurn/critical", nil, "OMSTaskFreshnessBudgetBurn/warning", nil, hidden},
		{"OMSTaskFreshnessBudgetBurn/critical", nil, "OMSTaskFreshnessBudgetBurn/warning", reverse, shown},
		{"OMSTaskDelayHigh/warning", nil, "OMSTaskDelayCritical/critical", nil, shown},
		{"OMSCertificateExpiring/critical", nil, "OMSCertificateExpiring/warning", nil, hidden},
		{"OMSCertificateExpiring/critical", nil, "OMSCertificateExpiring/warning", []string{"target", "beijing"}, shown},
		{"OMSTaskDelayCritical/critical", []string{"job", "oms-b"}, "OMSTaskDelayHigh/warning", nil, shown},

		// Late already.
		{"OMSTaskDelayHigh/warning", nil, "OMSTaskFallingBehind/warning", nil, hidden},
		{"OMSTaskDelayHigh/warning", nil, "OMSTaskFallingBehind/warning", reverse, shown},
		{"OMSTaskDelayHigh/warning", reverse, "OMSTaskFallingBehind/warning", nil, shown},
		{"OMSTaskDelayHigh/warning", nil, "OMSTaskFreshnessBudgetBurn/warning", nil, hidden},
		{"OMSTaskDelayHigh/warning", nil, "OMSTaskFreshnessBudgetBurn/critical", nil, shown},
		{"OMSTaskDelayCritical/critical", nil, "OMSTaskFreshnessBudgetBurn/critical", nil, hidden},
		{"OMSTaskDelayCritical/critical", reverse, "OMSTaskFreshnessBudgetBurn/critical", nil, shown},
		{"OMSTaskDelayHigh/warning", nil, "OMSTaskAlarmingInOMS/info", nil, hidden},
		{"OMSTaskDelayHigh/warning", nil, "OMSTaskCheckpointFrozen/warning", nil, shown},
		{"OMSTaskDelayHigh/warning", nil, "OMSTaskResumeWindowClosing/warning", nil, shown},
		{"OMSTaskDelayCritical/critical", nil, "OMSTaskResumeWindowAlmostLost/critical", nil, shown},
		{"OMSTaskDelayCritical/critical", nil, "OMSTaskCutoverReady/info", nil, shown},
	}
	pairs := make([]pair, 0, len(cases))
	for _, c := range cases {
		pairs = append(pairs, pair{
			fmt.Sprintf("%s %s > %s %s", c.source, c.with, c.target, c.and),
			of(c.source, c.with...), of(c.target, c.and...), c.expected,
		})
	}
	is := hides(t, pairs)
	for _, p := range pairs {
		if is[p.name] != p.hidden {
			t.Errorf("%s: hidden is %v, want %v", p.name, is[p.name], p.hidden)
		}
	}
}

// TestInhibitionOfEveryPair checks, for all pairs of alerts, that nothing hides
// an alert that pages, is about more than a task, or is no symptom, unless it
// may.
func TestInhibitionOfEveryPair(t *testing.T) {
	t.Parallel()
	standAlone := []string{"retention", "verify", "ready", "suspended", "disappeared"}
	type described struct{ source, target alert }
	var pairs []pair
	about := make(map[string]described)
	all := alertsByName(t)
	for _, importance := range []string{"HIGH", "LOW"} {
		pages := func(alert string) bool { return strings.Contains(receiversOf(alert, importance), "pager") }
		for to, target := range all {
			ofTask := target.Labels["scope"] == "task"
			if importance == "LOW" && !ofTask ||
				ofTask && !pages(to) && !slices.Contains(standAlone, target.Labels["symptom"]) {
				continue
			}
			for from, source := range all {
				if from == to {
					continue
				}
				name := fmt.Sprintf("%s > %s (%s)", from, to, importance)
				if pages(to) && !pages(from) && from != "OMSListingStale/warning" { // with it is OMSDown
					name += ", which pages"
				}
				pairs = append(pairs, pair{
					name:   name,
					source: labelsOfAlert(t, source, "importance", importance),
					target: labelsOfAlert(t, target, "importance", importance),
				})
				about[name] = described{source, target}
			}
		}
	}
	is, hidden := hides(t, pairs), 0
	for name, d := range about {
		if !is[name] {
			continue
		}
		hidden++
		source, target := d.source.Labels, d.target.Labels
		switch {
		case target["scope"] == "exporter" && source["scope"] != "exporter",
			target["scope"] == "oms" && source["scope"] == "task":
			t.Errorf("%s: the part hides the whole", name)
		case strings.HasSuffix(name, ", which pages"):
			t.Errorf("%s: the source does not page", name)
		case slices.Contains(standAlone, target["symptom"]) && source["symptom"] != target["symptom"] &&
			(source["scope"] == "task" || d.source.Alert == "OMSManyTasksDelayed"):
			t.Errorf("%s: the target is no symptom of the source", name)
		}
	}
	if hidden < 50 {
		t.Errorf("only %[2]d of %[1]d targets are hidden", len(pairs), hidden)
	}
}

// got returns the messages of a receiver that contain a text, of which there
// must be n. It waits for them, but not for further ones: to expect none, wait
// for something else first.
func (am *alertmanager) got(t *testing.T, receiver, text string, n int) []string {
	t.Helper()
	var found []string
	for range 100 {
		found = nil
		am.mu.Lock()
		for _, body := range am.sent[receiver] {
			if strings.Contains(body, text) {
				found = append(found, body)
			}
		}
		am.mu.Unlock()
		if len(found) >= n {
			break
		}
		<-time.After(50 * time.Millisecond)
	}
	if len(found) != n {
		t.Errorf("%s got %d messages with %s, want %d: %s", receiver, len(found), text, n, found)
	}
	return found
}

func TestPagesOfAllButHighWaitForWorkingHours(t *testing.T) {
	hour := time.Now().UTC().Hour()
	then := fmt.Sprintf("{start_time: '%02d:00', end_time: '%02d:59'}", (hour+6)%24, (hour+6)%24)
	const always = "{start_time: '00:00', end_time: '24:00'}"
	for name, c := range map[string]struct {
		times string
		pages int
	}{"at night": {then, 0}, "in working hours": {always, 1}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			am := startAlertmanager(t, "['monday:friday']", "['sunday:saturday']",
				"{start_time: '08:00', end_time: '20:00'}", c.times)
			medium := labelsOf(t, "OMSTaskDelayCritical/critical", "importance", "MEDIUM", "task_id", "np_medium")
			high := labelsOf(t, "OMSTaskDelayCritical/critical", "task_id", "np_high")
			frozen := labelsOf(t, "OMSTaskCheckpointFrozen/warning", "task_id", "np_frozen")
			lost := labelsOf(t, "OMSTaskResumeWindowAlmostLost/critical", "importance", "LOW", "task_id", "np_lost")
			am.post(t, firing(medium), firing(high), firing(frozen), firing(lost))
			for _, id := range []string{"np_medium", "np_high", "np_frozen", "np_lost"} {
				am.got(t, "chat", id, 1)
			}
			for _, id := range []string{"np_high", "np_frozen", "np_lost"} {
				am.got(t, "pager", id, 1)
			}
			<-time.After(300 * time.Millisecond)
			am.got(t, "pager", "np_medium", c.pages)
		})
	}
}

func TestNotifications(t *testing.T) {
	t.Parallel()
	am := startAlertmanager(t, "group_wait: 200ms", "group_wait: 2s") // both in one
	late := firing(labelsOf(t, "OMSTaskDelayCritical/critical", "task_id", "np 1&2", "instance", "hz"))
	late.Annotations = map[string]string{
		"summary":     "orders is 16m 40s behind",
		"description": "SYNC task np_1, importance HIGH, owner ops, on hz. It is catching up.",
		"runbook_url": "https://example.com/OMSTaskDelayCritical.md",
	}
	again := late // the same alert from another exporter
	again.Labels = maps.Clone(late.Labels)
	again.Labels["job"] = "oms-b"
	am.post(t, late, again)

	page := am.got(t, "pager", "np 1", 1)
	if len(page) == 1 && strings.Count(page[0], `"status":"firing"`) != 3 { // both, and the group
		t.Errorf("the page is not about both alerts: %s", page[0])
	}
	for _, message := range am.got(t, "chat", "orders", 1) {
		var slack struct {
			Attachments []struct{ Title, TitleLink, Text string }
		}
		if err := json.Unmarshal([]byte(strings.ReplaceAll(message, "title_link", "titlelink")), &slack); err != nil {
			t.Fatal(err)
		}
		a := slack.Attachments[0]
		const board = "https://grafana.example/d/oms-task?var-task_id=np+1%262&var-instance=hz"
		if a.Title != "2 alerts: orders is 16m 40s behind" || a.TitleLink != board {
			t.Errorf("title %q, link %q", a.Title, a.TitleLink)
		}
		want := `CRITICAL: orders is 16m 40s behind
SYNC task np_1, importance HIGH, owner ops, on hz. It is catching up.
Firing since ` + late.StartsAt.UTC().Format("2006-01-02 15:04:05") + ` UTC. OMSTaskDelayCritical, seen by job oms.
What to do: https://example.com/OMSTaskDelayCritical.md
`
		if !strings.HasPrefix(a.Text, want) || !strings.HasSuffix(a.Text, "\n\nBoard: "+board) {
			t.Errorf("text:\n%s\nwant, to begin with:\n%s", a.Text, want)
		}
	}

	over := late
	over.EndsAt = time.Now()
	both := again
	both.EndsAt = over.EndsAt
	am.post(t, over, both)
	for _, message := range am.got(t, "chat", "RESOLVED: orders is 16m 40s behind (no longer)", 1) {
		if !strings.Contains(message, `"title":"Resolved: orders`) {
			t.Errorf("title of %s", message)
		}
	}
}

// TestBoards checks the link to a board of every kind of alert.
func TestBoards(t *testing.T) {
	t.Parallel()
	am := startAlertmanager(t)
	for alert, want := range map[string]string{
		"OMSExporterDown/critical":   "/d/oms-exporter",
		"OMSExporterAbsent/critical": "/d/oms-exporter",
		"OMSDown/critical":           "/d/oms-fleet?var-instance=hangzhou",
		"OMSTaskFlapping/warning":    "/d/oms-task?var-task_id=np_1&var-instance=hangzhou",
	} {
		a := firing(labelsOf(t, alert))
		a.Annotations = map[string]string{"summary": alert}
		am.post(t, a)
		message := strings.ReplaceAll(strings.Join(am.got(t, "chat", `"title":"`+alert, 1), ""), `\u0026`, "&")
		if !strings.Contains(message, `https://grafana.example`+want+`"`) {
			t.Errorf("%s does not link to %s: %s", alert, want, message)
		}
		a.EndsAt = time.Now() // so that it does not hide the others
		am.post(t, a)
	}
}

// TestUnknownIsNotResolved checks that an alert that ends only because OMS is
// down and its series are gone is not reported as resolved.
func TestUnknownIsNotResolved(t *testing.T) {
	t.Parallel()
	am := startAlertmanager(t)
	pages := map[string]posted{}
	for _, instance := range []string{"down", "well"} {
		pages[instance] = firing(labelsOf(t, "OMSTaskResumeWindowAlmostLost/critical", "instance", instance, "task_id", "np_"+instance))
		am.post(t, pages[instance])
		am.got(t, "pager", "np_"+instance, 1)
	}
	am.post(t, firing(labelsOf(t, "OMSDown/critical", "instance", "down")))
	am.got(t, "pager", "OMSDown", 1)
	for _, p := range pages {
		p.EndsAt = time.Now()
		am.post(t, p)
	}
	am.got(t, "pager", "np_well", 2) // firing, and resolved
	<-time.After(1500 * time.Millisecond)
	if n := len(am.got(t, "pager", "np_down", 1)); n != 1 {
		t.Errorf("%d pages, want only the first", n)
	}
}

// TestReceiversStart checks that placeholders send nothing to the outside.
func TestReceiversStart(t *testing.T) {
	config, err := os.ReadFile(alertmanagerFile)
	if err != nil {
		t.Fatal(err)
	}
	urls := regexp.MustCompile(`(?m)^[^#\n]*\b(?:url|api_url): (\S+)`).FindAllStringSubmatch(string(config), -1)
	if len(urls) < 4 {
		t.Errorf("%d addresses", len(urls))
	}
	for _, u := range urls {
		if !strings.HasPrefix(u[1], "http://127.0.0.1:9094/") {
			t.Errorf("%s is no placeholder", u[1])
		}
	}
}
