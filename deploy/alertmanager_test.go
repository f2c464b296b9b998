package deploy_test

import (
	"bytes"
	"cmp"
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

// alertsByName returns the alerts by name.
func alertsByName(t *testing.T) map[string]alert {
	t.Helper()
	all := make(map[string]alert)
	for _, a := range known(t).Alerts() {
		if _, twice := all[a.Alert]; twice {
			t.Errorf("there are two alerts %s", a.Alert)
		}
		all[a.Alert] = a
	}
	return all
}

// usual are the labels of an alert by default.
var usual = map[string]string{
	"job": "oms", "instance": "hangzhou", "task_id": "np_1", "task_name": "orders", "task_type": "SYNC",
	"importance": "HIGH", "task_owner": "ops", "direction": "forward", "step": "INCR_TRANSFER",
	"source_name": "mysql-a", "sink_name": "ob-a", "reason": "invalid", "field": "status", "target": "hangzhou",
	"kind": "task", "status": "EXCEPTION", "missing": "tasks", "level": "critical",
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
		if different[i] == "cluster" || slices.Contains(a.labels, different[i]) {
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
	"OMSExporterDown":               {"pager,chat"},
	"OMSRedundantExporterDown":      {"chat"},
	"OMSExporterAbsent":             {"pager,chat"},
	"OMSExporterWatchesNothing":     {"pager,chat"},
	"OMSExporterScrapeNearTimeout":  {"chat"},
	"OMSExporterConfigReloadFailed": {"chat"},

	"OMSDown":                    {"pager,chat"},
	"OMSVanished":                {"pager,chat"},
	"OMSListingsFailing":         {"chat"},
	"OMSListingsMostlyFailing":   {"pager,chat"},
	"OMSFleetShrunk":             {"pager,chat"},
	"OMSFieldsMissing":           {"pager,chat"},
	"OMSListingIncomplete":       {"chat"},
	"OMSListingInconsistent":     {"chat"},
	"OMSUnknownValues":           {"ticket"},
	"OMSUnknownStatus":           {"chat"},
	"OMSCertificateExpiring":     {"chat"},
	"OMSCertificateExpiringSoon": {"pager,chat"},
	"OMSPasswordExpiring":        {"chat"},
	"OMSClockSkew":               {"chat"},
	"OMSNodeUnhealthy":           {"chat"},
	"OMSManyTasksDelayed":        {"pager,chat"},
	"OMSManyTasksFailed":         {"pager,chat"},
	"OMSManyTasksLosingLogs":     {"pager,chat"},
	"OMSSourceTasksInTrouble":    {"pager,chat"},
	"OMSSinkTasksInTrouble":      {"pager,chat"},

	"OMSTaskFailed":                 {"pager,chat", "pager,chat", "ticket"},
	"OMSTaskStepFailed":             {"pager,chat", "chat", "ticket"},
	"OMSTaskFlapping":               {"pager,chat", "chat", "blackhole"},
	"OMSTaskStepStuck":              {"chat", "chat", "blackhole"},
	"OMSTaskStatusInconsistent":     {"chat", "chat", "blackhole"},
	"OMSTaskResumeWindowClosing":    {"chat", "chat", "blackhole"},
	"OMSTaskResumeWindowAlmostLost": {"pager,chat", "pager,chat", "blackhole"},
	"OMSTaskSuspended":              {"chat", "chat", "blackhole"},

	"OMSTaskDelayCritical":           {"pager,chat", "pager,chat", "blackhole"},
	"OMSTaskDelayHigh":               {"chat", "chat", "blackhole"},
	"OMSTaskDelayLost":               {"pager,chat", "pager,chat", "blackhole"},
	"OMSTaskDelayMissing":            {"chat", "ticket", "blackhole"},
	"OMSTaskFallingBehind":           {"chat", "chat", "blackhole"},
	"OMSTaskCheckpointFrozen":        {"pager,chat", "chat", "blackhole"},
	"OMSTaskDelaySampleStale":        {"chat", "chat", "blackhole"},
	"OMSTaskFreshnessBudgetBurnFast": {"chat", "chat", "blackhole"},
	"OMSTaskFreshnessBudgetBurn":     {"chat", "chat", "blackhole"},

	"OMSTaskVerifyDifferences":      {"chat", "chat", "blackhole"},
	"OMSTaskNegativeDelay":          {"ticket", "ticket", "blackhole"},
	"OMSTaskAlarmingInOMS":          {"ticket", "ticket", "blackhole"},
	"OMSTaskDisappeared":            {"chat", "ticket", "blackhole"},
	"OMSTroubledTaskDisappeared":    {"pager,chat", "pager,chat", "blackhole"},
	"OMSTaskCutoverReady":           {"chat", "chat", "blackhole"},
	"OMSTaskCutoverReadyUnverified": {"chat", "chat", "blackhole"},
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
		{"an example of an owner", labelsOf(t, "OMSTaskDelayHigh", "task_owner", "owner-example"), "owner-example,chat"},
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
		"templates/*.tmpl", templates + "/*.tmpl", "http://127.0.0.1:5001", server.URL,
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
	p := launch(t, filepath.Join(dir, "log"), "env", "TZ=Asia/Shanghai", program, "--config.file="+file,
		"--storage.path="+dir, "--cluster.listen-address=")
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
	for part := range slices.Chunk(pairs, 1500) {
		maps.Copy(result, hidesAtOnce(t, part))
	}
	return result
}

// hidesAtOnce posts all pairs, each in a cluster of its own.
func hidesAtOnce(t *testing.T, pairs []pair) map[string]bool {
	t.Helper()
	am := startAlertmanager(t, "group_wait: 200ms", "group_wait: 1h") // no notifications are expected
	var alerts []posted
	for i, p := range pairs {
		for side, labels := range []map[string]string{p.target, p.source} {
			labels = maps.Clone(labels)
			labels["cluster"] += fmt.Sprint(i)
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
	wasHigh := []string{"level", "warning"}
	jobB, clusterB, taskB := []string{"job", "oms-b"}, []string{"cluster", "b"}, []string{"task_id", "np_2"}
	medium := func(more ...string) []string { return append([]string{"importance", "MEDIUM"}, more...) }
	cases := []struct {
		source   string
		with     []string
		target   string
		and      []string
		expected bool
	}{
		// Nothing is known.
		{"OMSExporterDown", nil, "OMSDown", nil, hidden},
		{"OMSExporterDown", nil, "OMSVanished", nil, hidden},
		{"OMSExporterDown", nil, "OMSExporterScrapeNearTimeout", nil, hidden},
		{"OMSExporterDown", nil, "OMSExporterWatchesNothing", nil, hidden},
		{"OMSExporterDown", nil, "OMSManyTasksDelayed", nil, hidden},
		{"OMSExporterDown", nil, "OMSTaskDelayCritical", nil, hidden},
		{"OMSExporterDown", nil, "OMSTaskResumeWindowAlmostLost", nil, hidden},
		{"OMSExporterDown", nil, "OMSPasswordExpiring", nil, hidden},
		{"OMSExporterDown", nil, "OMSExporterAbsent", nil, shown},
		{"OMSExporterDown", nil, "OMSListingsFailing", nil, hidden},
		{"OMSExporterDown", nil, "OMSListingsMostlyFailing", nil, hidden},
		{"OMSRedundantExporterDown", nil, "OMSListingsFailing", nil, hidden},
		{"OMSRedundantExporterDown", jobB, "OMSListingsFailing", nil, shown},
		{"OMSRedundantExporterDown", nil, "OMSListingsMostlyFailing", nil, shown},
		{"OMSRedundantExporterDown", nil, "OMSTaskDelayHigh", nil, shown},
		{"OMSExporterDown", jobB, "OMSTaskDelayCritical", nil, shown},
		{"OMSExporterDown", jobB, "OMSDown", nil, shown},
		{"OMSRedundantExporterDown", nil, "OMSTaskFailed", nil, shown},
		{"OMSRedundantExporterDown", nil, "OMSTaskSuspended", nil, shown},
		{"OMSExporterAbsent", nil, "OMSVanished", nil, hidden},
		{"OMSExporterAbsent", nil, "OMSVanished", clusterB, shown},
		{"OMSExporterAbsent", nil, "OMSDown", nil, shown},
		{"OMSVanished", nil, "OMSTaskFailed", nil, hidden},
		{"OMSVanished", nil, "OMSTaskResumeWindowAlmostLost", nil, hidden},
		{"OMSVanished", nil, "OMSDown", nil, hidden},
		{"OMSVanished", nil, "OMSManyTasksFailed", nil, hidden},
		{"OMSVanished", nil, "OMSFieldsMissing", nil, hidden},
		{"OMSVanished", nil, "OMSExporterDown", nil, shown},
		{"OMSVanished", []string{"instance", "beijing"}, "OMSTaskFailed", nil, shown},
		{"OMSVanished", jobB, "OMSTaskFailed", nil, shown},
		{"OMSDown", nil, "OMSListingsFailing", nil, hidden},
		{"OMSDown", nil, "OMSListingsMostlyFailing", nil, hidden},
		{"OMSDown", nil, "OMSFleetShrunk", nil, hidden},
		{"OMSDown", nil, "OMSFieldsMissing", nil, hidden},
		{"OMSDown", nil, "OMSManyTasksDelayed", nil, hidden},
		{"OMSDown", nil, "OMSManyTasksFailed", nil, hidden},
		{"OMSDown", nil, "OMSManyTasksLosingLogs", nil, hidden},
		{"OMSDown", nil, "OMSSourceTasksInTrouble", nil, hidden},
		{"OMSDown", nil, "OMSSinkTasksInTrouble", nil, hidden},
		{"OMSDown", nil, "OMSTaskFailed", nil, hidden},
		{"OMSDown", nil, "OMSTaskCutoverReady", nil, hidden},
		{"OMSDown", nil, "OMSTaskResumeWindowAlmostLost", nil, hidden},
		{"OMSDown", nil, "OMSExporterConfigReloadFailed", nil, shown},
		{"OMSDown", nil, "OMSCertificateExpiringSoon", nil, shown},
		{"OMSDown", nil, "OMSPasswordExpiring", nil, shown},
		{"OMSDown", jobB, "OMSTaskFailed", nil, shown},
		{"OMSDown", jobB, "OMSManyTasksFailed", nil, shown},

		// Two Prometheus servers with one Alertmanager.
		{"OMSDown", clusterB, "OMSTaskFailed", nil, shown},
		{"OMSDown", clusterB, "OMSTaskFailed", clusterB, hidden},
		{"OMSExporterDown", clusterB, "OMSTaskFailed", nil, shown},
		{"OMSManyTasksFailed", clusterB, "OMSTaskFailed", nil, shown},
		{"OMSTaskFailed", clusterB, "OMSTaskDelayCritical", nil, shown},

		// Part of it is unknown.
		{"OMSListingsMostlyFailing", nil, "OMSListingsFailing", nil, hidden},
		{"OMSListingsMostlyFailing", nil, "OMSTaskFailed", nil, shown},
		{"OMSListingsMostlyFailing", nil, "OMSTaskSuspended", nil, shown},
		{"OMSListingsFailing", nil, "OMSTaskSuspended", nil, shown},
		{"OMSListingIncomplete", nil, "OMSTaskFailed", nil, shown},
		{"OMSFleetShrunk", nil, "OMSTroubledTaskDisappeared", nil, hidden},
		{"OMSFleetShrunk", nil, "OMSTaskDisappeared", nil, hidden},
		{"OMSFleetShrunk", nil, "OMSTaskFailed", nil, shown},
		{"OMSTroubledTaskDisappeared", nil, "OMSTaskResumeWindowAlmostLost", nil, hidden},
		{"OMSTroubledTaskDisappeared", nil, "OMSTaskFailed", nil, hidden},
		{"OMSTroubledTaskDisappeared", nil, "OMSTaskDisappeared", nil, hidden},
		{"OMSTroubledTaskDisappeared", taskB, "OMSTaskFailed", nil, shown},
		{"OMSFieldsMissing", nil, "OMSTaskFailed", nil, hidden},
		{"OMSFieldsMissing", nil, "OMSTaskResumeWindowAlmostLost", nil, hidden},
		{"OMSFieldsMissing", []string{"missing", "steps"}, "OMSTaskStepFailed", nil, hidden},
		{"OMSFieldsMissing", []string{"missing", "steps"}, "OMSTaskResumeWindowAlmostLost", nil, hidden},
		{"OMSFieldsMissing", []string{"missing", "steps"}, "OMSTaskFailed", nil, shown},
		{"OMSFieldsMissing", []string{"missing", "delays"}, "OMSTaskDelayCritical", nil, shown}, // half may have theirs
		{"OMSFieldsMissing", []string{"missing", "delays"}, "OMSTaskDelayLost", nil, hidden},
		{"OMSFieldsMissing", []string{"missing", "delays"}, "OMSTaskDelayMissing", nil, hidden},
		{"OMSFieldsMissing", []string{"missing", "delays"}, "OMSTaskStepFailed", nil, shown},
		{"OMSTaskDelayLost", nil, "OMSTaskDelayCritical", nil, hidden},
		{"OMSTaskDelayLost", nil, "OMSTaskDelayMissing", nil, hidden},
		{"OMSTaskDelayLost", wasHigh, "OMSTaskDelayHigh", nil, hidden},
		{"OMSTaskDelayLost", wasHigh, "OMSTaskDelayMissing", nil, hidden},
		{"OMSTaskDelayLost", wasHigh, "OMSTaskDelayMissing", medium(), hidden},
		{"OMSTaskDelayLost", wasHigh, "OMSTaskFallingBehind", nil, hidden},
		{"OMSTaskDelayLost", wasHigh, "OMSTaskDelayHigh", reverse, shown},
		{"OMSTaskDelayLost", wasHigh, "OMSTaskCheckpointFrozen", nil, shown},
		{"OMSTaskDelayLost", wasHigh, "OMSTaskDelayCritical", nil, shown},
		{"OMSTaskDelayLost", nil, "OMSTaskDelayCritical", reverse, shown},
		{"OMSTaskDelayLost", nil, "OMSTaskFailed", nil, shown},

		// A storm.
		{"OMSManyTasksDelayed", nil, "OMSTaskDelayCritical", nil, hidden},
		{"OMSManyTasksDelayed", nil, "OMSTaskDelayHigh", reverse, hidden},
		{"OMSManyTasksDelayed", nil, "OMSTaskFallingBehind", nil, hidden},
		{"OMSManyTasksDelayed", nil, "OMSTaskCheckpointFrozen", nil, hidden},
		{"OMSManyTasksDelayed", nil, "OMSTaskDelaySampleStale", nil, hidden},
		{"OMSManyTasksDelayed", nil, "OMSTaskDelayLost", nil, hidden},
		{"OMSManyTasksDelayed", nil, "OMSTaskDelayMissing", nil, hidden},
		{"OMSManyTasksDelayed", nil, "OMSTaskFreshnessBudgetBurn", nil, hidden},
		{"OMSManyTasksDelayed", nil, "OMSTaskAlarmingInOMS", nil, hidden},
		{"OMSManyTasksDelayed", nil, "OMSSourceTasksInTrouble", nil, hidden},
		{"OMSManyTasksDelayed", nil, "OMSSinkTasksInTrouble", nil, hidden},
		{"OMSManyTasksDelayed", jobB, "OMSTaskDelayCritical", nil, shown},
		{"OMSManyTasksDelayed", nil, "OMSTaskFailed", nil, shown},
		{"OMSManyTasksDelayed", nil, "OMSTaskStepFailed", nil, shown},
		{"OMSManyTasksDelayed", nil, "OMSTaskStepStuck", nil, shown},
		{"OMSManyTasksDelayed", nil, "OMSTaskResumeWindowClosing", nil, shown},
		{"OMSManyTasksDelayed", nil, "OMSTaskVerifyDifferences", nil, shown},
		{"OMSManyTasksFailed", nil, "OMSTaskFailed", nil, hidden},
		{"OMSManyTasksFailed", nil, "OMSTaskFailed", medium(), hidden},
		{"OMSManyTasksFailed", nil, "OMSTaskStepFailed", nil, hidden},
		{"OMSManyTasksFailed", nil, "OMSTaskFlapping", nil, hidden},
		{"OMSManyTasksFailed", nil, "OMSManyTasksDelayed", nil, hidden},
		{"OMSManyTasksFailed", nil, "OMSSourceTasksInTrouble", nil, hidden},
		{"OMSManyTasksFailed", nil, "OMSTaskDelayCritical", nil, shown}, // of a task that has not failed
		{"OMSManyTasksFailed", nil, "OMSTaskResumeWindowAlmostLost", nil, shown},
		{"OMSManyTasksFailed", nil, "OMSManyTasksLosingLogs", nil, shown},
		{"OMSManyTasksFailed", jobB, "OMSTaskFailed", nil, shown},
		{"OMSManyTasksLosingLogs", nil, "OMSTaskResumeWindowAlmostLost", medium(), hidden},
		{"OMSManyTasksLosingLogs", nil, "OMSTaskResumeWindowClosing", nil, hidden},
		{"OMSManyTasksLosingLogs", nil, "OMSTaskFailed", nil, shown},
		{"OMSSourceTasksInTrouble", nil, "OMSTaskFailed", nil, hidden},
		{"OMSSourceTasksInTrouble", nil, "OMSTaskDelayCritical", nil, hidden},
		{"OMSSourceTasksInTrouble", nil, "OMSTaskFailed", []string{"source_name", "mysql-b"}, shown},
		{"OMSSourceTasksInTrouble", nil, "OMSTaskResumeWindowAlmostLost", nil, shown},
		{"OMSSourceTasksInTrouble", nil, "OMSSinkTasksInTrouble", nil, shown},
		{"OMSSinkTasksInTrouble", nil, "OMSTaskDelayCritical", nil, hidden},
		{"OMSSinkTasksInTrouble", nil, "OMSTaskDelayCritical", []string{"sink_name", "ob-b"}, shown},
		{"OMSSinkTasksInTrouble", nil, "OMSSourceTasksInTrouble", nil, shown},

		// A failed task.
		{"OMSTaskFailed", nil, "OMSTaskStepFailed", nil, hidden},
		{"OMSTaskFailed", nil, "OMSTaskDelayCritical", nil, hidden},
		{"OMSTaskFailed", nil, "OMSTaskDelayHigh", reverse, hidden},
		{"OMSTaskFailed", nil, "OMSTaskCheckpointFrozen", nil, hidden},
		{"OMSTaskFailed", nil, "OMSTaskStepStuck", nil, hidden},
		{"OMSTaskFailed", nil, "OMSTaskStatusInconsistent", nil, hidden},
		{"OMSTaskFailed", nil, "OMSTaskFreshnessBudgetBurn", nil, hidden},
		{"OMSTaskFailed", nil, "OMSTaskAlarmingInOMS", nil, hidden},
		{"OMSTaskFailed", medium(), "OMSTaskStepFailed", medium(), hidden},
		{"OMSTaskFailed", medium(), "OMSTaskDelayHigh", medium(), hidden},
		{"OMSTaskFailed", medium(), "OMSTaskDelayCritical", medium(), hidden},
		{"OMSTaskFailed", nil, "OMSTaskFlapping", nil, hidden},
		{"OMSTaskFailed", nil, "OMSTaskResumeWindowClosing", nil, shown},
		{"OMSTaskFailed", nil, "OMSTaskResumeWindowAlmostLost", nil, shown},
		{"OMSTaskFailed", nil, "OMSTaskVerifyDifferences", nil, shown},
		{"OMSTaskFailed", nil, "OMSTaskCutoverReady", nil, shown},
		{"OMSTaskFailed", taskB, "OMSTaskDelayCritical", nil, shown},
		{"OMSTaskFailed", jobB, "OMSTaskDelayCritical", nil, shown},
		{"OMSTaskStepFailed", nil, "OMSTaskFailed", nil, shown},
		{"OMSTaskDelayCritical", nil, "OMSTaskFailed", nil, shown},

		// A failed step.
		{"OMSTaskStepFailed", nil, "OMSTaskDelayCritical", nil, hidden},
		{"OMSTaskStepFailed", []string{"step", "TRANSFER_INCR_LOG_PULL"}, "OMSTaskDelayCritical", nil, hidden},
		{"OMSTaskStepFailed", []string{"step", "CONNECTOR_INCR_SYNC"}, "OMSTaskFreshnessBudgetBurn", nil, hidden},
		{"OMSTaskStepFailed", nil, "OMSTaskCheckpointFrozen", nil, hidden},
		{"OMSTaskStepFailed", nil, "OMSTaskDelayCritical", reverse, shown},
		{"OMSTaskStepFailed", nil, "OMSTaskCheckpointFrozen", reverse, shown},
		{"OMSTaskStepFailed", []string{"step", "REVERSE_INCR_TRANSFER"}, "OMSTaskDelayCritical", reverse, hidden},
		{"OMSTaskStepFailed", []string{"step", "REVERSE_INCR_SYNC"}, "OMSTaskDelayHigh", reverse, hidden},
		{"OMSTaskStepFailed", []string{"step", "REVERSE_INCR_TRANSFER"}, "OMSTaskDelayCritical", forward, shown},
		{"OMSTaskStepFailed", []string{"step", "FULL_VERIFIER"}, "OMSTaskDelayCritical", nil, shown},
		{"OMSTaskStepFailed", []string{"step", "INCR_VERIFIER"}, "OMSTaskDelayHigh", nil, shown},
		{"OMSTaskStepFailed", medium(), "OMSTaskDelayHigh", medium(), hidden},
		{"OMSTaskStepFailed", medium(), "OMSTaskDelayCritical", medium(), shown},
		{"OMSTaskStepFailed", []string{"step", "FULL_TRANSFER"}, "OMSTaskStepStuck", []string{"step", "FULL_TRANSFER"}, hidden},
		{"OMSTaskStepFailed", []string{"step", "FULL_TRANSFER"}, "OMSTaskStepStuck", []string{"step", "FULL_VERIFIER"}, shown},
		{"OMSTaskStepFailed", nil, "OMSTaskAlarmingInOMS", nil, hidden},
		{"OMSTaskStepFailed", nil, "OMSTaskResumeWindowClosing", nil, shown},
		{"OMSTaskStepFailed", nil, "OMSTaskVerifyDifferences", nil, shown},

		// Two degrees of one thing.
		{"OMSTaskDelayCritical", nil, "OMSTaskDelayHigh", nil, hidden},
		{"OMSTaskDelayCritical", nil, "OMSTaskDelayHigh", reverse, shown},
		{"OMSTaskDelayCritical", reverse, "OMSTaskDelayHigh", nil, shown},
		{"OMSTaskDelayCritical", nil, "OMSTaskCheckpointFrozen", nil, hidden},
		{"OMSTaskDelayCritical", nil, "OMSTaskCheckpointFrozen", reverse, shown},
		{"OMSTaskResumeWindowAlmostLost", nil, "OMSTaskResumeWindowClosing", nil, hidden},
		{"OMSTaskResumeWindowAlmostLost", nil, "OMSTaskResumeWindowClosing", reverse, shown},
		{"OMSTaskFreshnessBudgetBurnFast", nil, "OMSTaskFreshnessBudgetBurn", nil, hidden},
		{"OMSTaskFreshnessBudgetBurnFast", nil, "OMSTaskFreshnessBudgetBurn", reverse, shown},
		{"OMSTaskDelayHigh", nil, "OMSTaskDelayCritical", nil, shown},
		{"OMSCertificateExpiringSoon", nil, "OMSCertificateExpiring", nil, hidden},
		{"OMSCertificateExpiringSoon", nil, "OMSCertificateExpiring", []string{"target", "beijing"}, shown},
		{"OMSTaskDelayCritical", jobB, "OMSTaskDelayHigh", nil, shown},

		// Late already.
		{"OMSTaskDelayHigh", nil, "OMSTaskFallingBehind", nil, hidden},
		{"OMSTaskDelayHigh", nil, "OMSTaskFallingBehind", reverse, shown},
		{"OMSTaskDelayHigh", reverse, "OMSTaskFallingBehind", nil, shown},
		{"OMSTaskDelayHigh", nil, "OMSTaskFreshnessBudgetBurn", nil, hidden},
		{"OMSTaskDelayCritical", nil, "OMSTaskFreshnessBudgetBurnFast", nil, hidden},
		{"OMSTaskDelayCritical", reverse, "OMSTaskFreshnessBudgetBurnFast", nil, shown},
		{"OMSTaskDelayHigh", nil, "OMSTaskAlarmingInOMS", nil, hidden},
		{"OMSTaskDelayHigh", nil, "OMSTaskCheckpointFrozen", nil, shown},
		{"OMSTaskDelayHigh", nil, "OMSTaskResumeWindowClosing", nil, shown},
		{"OMSTaskDelayCritical", nil, "OMSTaskResumeWindowAlmostLost", nil, shown},
		{"OMSTaskDelayCritical", nil, "OMSTaskCutoverReady", nil, shown},
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

// TestInhibitionOfEveryPair checks, for all pairs of alerts with the severities
// that they have, that nothing hides an alert that pages, is about more than a
// task, or is no symptom, unless it may.
func TestInhibitionOfEveryPair(t *testing.T) {
	t.Parallel()
	standAlone := []string{"retention", "verify", "ready", "suspended"}
	roots := []string{ // what is not known, or has a page of its own
		"OMSExporterDown", "OMSVanished", "OMSDown", "OMSFieldsMissing", "OMSTroubledTaskDisappeared", "OMSManyTasksLosingLogs",
	}
	about := make(map[string][2]alert)
	var pairs []pair
	for _, importance := range []string{"HIGH", "LOW"} {
		for to, target := range alertsByName(t) {
			for from, source := range alertsByName(t) {
				if from == to || importance == "LOW" && target.Labels["scope"] != "task" {
					continue
				}
				name := fmt.Sprintf("%s > %s of importance %s", from, to, importance)
				about[name] = [2]alert{source, target}
				pairs = append(pairs, pair{
					name:   name,
					source: labelsOfAlert(t, source, "importance", importance),
					target: labelsOfAlert(t, target, "importance", importance),
				})
			}
		}
	}
	is, hidden := hides(t, pairs), 0
	for _, p := range pairs {
		if !is[p.name] {
			continue
		}
		hidden++
		source, target := about[p.name][0], about[p.name][1]
		importance := cmp.Or(p.target["importance"], p.source["importance"])
		pages := func(a alert) bool { return strings.Contains(receiversOf(a.Alert, importance), "pager") }
		switch {
		case target.Labels["scope"] == "exporter" && source.Labels["scope"] != "exporter",
			target.Labels["scope"] == "oms" && source.Labels["scope"] == "task":
			t.Errorf("%s: the part hides the whole", p.name)
		case pages(target) && !pages(source):
			t.Errorf("%s: the target pages and the source does not", p.name)
		case slices.Contains(standAlone, target.Labels["symptom"]) &&
			source.Labels["symptom"] != target.Labels["symptom"] && !slices.Contains(roots, source.Alert):
			t.Errorf("%s: the target is no symptom of the source", p.name)
		}
	}
	if hidden < 300 {
		t.Errorf("only %[2]d of %[1]d targets are hidden", len(pairs), hidden)
	}
}

// TestNothingHidesWhatIsWorse checks all pairs of alerts as if their severities
// had been edited: a warning hides no critical alert, and information hides
// neither.
func TestNothingHidesWhatIsWorse(t *testing.T) {
	t.Parallel()
	var pairs []pair
	for to, target := range alertsByName(t) {
		for from, source := range alertsByName(t) {
			for _, severity := range [][2]string{{"warning", "critical"}, {"info", "critical"}, {"info", "warning"}} {
				p := pair{
					name:   fmt.Sprintf("%s as %s > %s as %s", from, severity[0], to, severity[1]),
					source: labelsOfAlert(t, source),
					target: labelsOfAlert(t, target),
				}
				p.source["severity"], p.target["severity"] = severity[0], severity[1]
				pairs = append(pairs, p)
			}
		}
	}
	is := hides(t, pairs)
	for _, p := range pairs {
		if is[p.name] {
			t.Errorf("%s: hidden", p.name)
		}
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
	hour := time.Now().UTC().Hour() // another one in the time zone of the file
	then := fmt.Sprintf("{start_time: '%02d:00', end_time: '%02d:59'}", hour, hour)
	const always = "{start_time: '00:00', end_time: '24:00'}"
	for name, c := range map[string]struct {
		times string
		pages int
	}{"at night": {then, 0}, "in working hours": {always, 1}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			am := startAlertmanager(t, "['monday:friday']", "['sunday:saturday']",
				"{start_time: '08:00', end_time: '20:00'}", c.times)
			medium := labelsOf(t, "OMSTaskDelayCritical", "importance", "MEDIUM", "instance", "np_medium")
			high := labelsOf(t, "OMSTaskDelayCritical", "instance", "np_high")
			frozen := labelsOf(t, "OMSTaskCheckpointFrozen", "instance", "np_frozen")
			lost := labelsOf(t, "OMSTaskResumeWindowAlmostLost", "importance", "LOW", "instance", "np_lost")
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

// TestUnknownIsNotResolved checks that an alert that ends only because OMS is
// down and its series are gone is not reported as resolved.
func TestUnknownIsNotResolved(t *testing.T) {
	t.Parallel()
	am := startAlertmanager(t)
	pages := map[string]posted{}
	for _, instance := range []string{"down", "well"} {
		pages[instance] = firing(labelsOf(t, "OMSTaskResumeWindowAlmostLost", "instance", instance, "task_id", "np_"+instance))
		am.post(t, pages[instance])
		am.got(t, "pager", "np_"+instance, 1)
	}
	am.post(t, firing(labelsOf(t, "OMSDown", "instance", "down")))
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

// TestServersOfAPairSendTheSameAlert runs Prometheus with the external labels
// that the configurations suggest.
func TestServersOfAPairSendTheSameAlert(t *testing.T) {
	t.Parallel()
	const rules = "groups: [{name: g, interval: 1s, rules: [{alert: A, expr: vector(1)}]}]\n"
	for _, name := range []string{"prometheus.yml", "prometheus-sd.yml"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sent := make(chan string, 100)
			server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				sent <- string(body)
			}))
			t.Cleanup(server.Close)
			dir := t.TempDir()
			config := readFile(t, filepath.Join("prometheus", name))
			for old, replacement := range map[string]string{
				"# external_labels:": "external_labels:",
				"rules/*.yml":        "rules.yml",
				"localhost:9093":     strings.TrimPrefix(server.URL, "http://"),
				"localhost:10667":    "localhost:1",
			} {
				if !strings.Contains(config, old) {
					t.Fatalf("there is no %s", old)
				}
				config = strings.ReplaceAll(config, old, replacement)
			}
			for file, content := range map[string]string{"prometheus.yml": config, "rules.yml": rules} {
				if err := os.WriteFile(filepath.Join(dir, file), []byte(content), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			launch(t, filepath.Join(dir, "log"), tool(t, "prometheus", "prometheus"),
				"--config.file="+filepath.Join(dir, "prometheus.yml"), "--storage.tsdb.path="+filepath.Join(dir, "data"),
				"--rules.alert.resend-delay=1s")
			select {
			case alert := <-sent:
				if !strings.Contains(alert, `"labels":{"alertname":"A","cluster":"east"}`) {
					t.Errorf("Prometheus sends %s", alert)
				}
			case <-time.After(time.Minute):
				t.Error("Prometheus sends no alert")
			}
		})
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
		if !strings.HasPrefix(u[1], "http://127.0.0.1:5001/") {
			t.Errorf("%s is no placeholder", u[1])
		}
	}
}
