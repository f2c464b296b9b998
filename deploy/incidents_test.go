package deploy_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"oms_exporter/deploy/internal/timelapse"
)

// Incidents run against a real Alertmanager that waits 600 times shorter than
// alertmanager.yml says: a minute takes 100 ms.
const (
	speed  = 600
	minute = time.Minute / speed
	// slack is how much later than expected a notification may arrive, in
	// minutes: a busy machine takes its time.
	slack = 20
)

// An incident is what happens to Alertmanager and what it sends. Everything
// that is sent to chat is also sent to pager, unless chat says otherwise.
type incident struct {
	name        string
	steps       []step
	pager, chat []notice
}

// A step makes alerts fire, or ends them.
type step struct {
	minute int
	ends   bool
	alerts []map[string]string
}

func fire(minute int, alerts ...map[string]string) step { return step{minute, false, alerts} }
func end(minute int, alerts ...map[string]string) step  { return step{minute, true, alerts} }

// A notice is a notification that is sent, such as "firing OMSDown 20".
type notice struct {
	minute int
	what   string
}

// A fastAlertmanager runs several incidents at the same time, each in a
// cluster of its own. Its receivers are all webhooks.
type fastAlertmanager struct {
	*alertmanager
	config  string
	started time.Time

	mu      sync.Mutex
	notices map[string][]notice // by number of the incident and receiver
	firing  map[string]string   // what was sent last, by receiver and group
}

func startFast(t *testing.T) *fastAlertmanager {
	t.Helper()
	s := &fastAlertmanager{notices: make(map[string][]notice), firing: make(map[string]string)}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	dir := t.TempDir()
	s.config = filepath.Join(dir, "alertmanager.yml")
	config, err := timelapse.Alertmanager([]byte(readFile(t, alertmanagerFile)), speed, server.URL+"/")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.config, config, 0o600); err != nil {
		t.Fatal(err)
	}
	program := tool(t, "prometheus-alertmanager", "prometheus-alertmanager", "alertmanager")
	p := launch(t, filepath.Join(dir, "log"), program, "--config.file="+s.config, "--storage.path="+dir,
		"--cluster.listen-address=", fmt.Sprint("--alerts.gc-interval=", 30*minute))
	s.alertmanager = &alertmanager{url: "http://" + p.Address}
	return s
}

// ServeHTTP records a notification, unless it only repeats which alerts of its
// group fire. An alert that ends and fires again is no repetition.
func (s *fastAlertmanager) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var sent struct {
		GroupKey string
		Alerts   []struct {
			Status   string
			Labels   map[string]string
			StartsAt time.Time
		}
	}
	if err := json.NewDecoder(r.Body).Decode(&sent); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	number, _, _ := strings.Cut(sent.Alerts[0].Labels["cluster"], ":")
	counts, firing := make(map[string]int), ""
	for _, a := range sent.Alerts {
		counts[a.Status+" "+a.Labels["alertname"]]++
		if a.Status == "firing" {
			firing += fmt.Sprint(a.Labels, a.StartsAt)
		}
	}
	var texts []string
	repeated := true
	for what, n := range counts {
		texts = append(texts, fmt.Sprint(what, " ", n))
		repeated = repeated && strings.HasPrefix(what, "firing")
	}
	slices.Sort(texts)
	s.mu.Lock()
	defer s.mu.Unlock()
	group := r.URL.Path + sent.GroupKey
	if !repeated || s.firing[group] != firing {
		s.notices[number+r.URL.Path] = append(s.notices[number+r.URL.Path],
			notice{int(time.Since(s.started) / minute), strings.Join(texts, ", ")})
	}
	s.firing[group] = firing
}

// play lets incidents happen, and something else at some minutes. Then it checks
// what was sent.
func (s *fastAlertmanager) play(t *testing.T, incidents []incident, also map[int]func()) {
	t.Helper()
	s.started = time.Now()
	for last, m := lastMinute(incidents)+slack, 0; m <= last; m++ {
		<-time.After(time.Until(s.started.Add(time.Duration(m) * minute)))
		if also[m] != nil {
			also[m]()
		}
		for number, i := range incidents {
			for _, step := range i.steps {
				if step.minute == m {
					s.do(t, number, step)
				}
			}
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for number, i := range incidents {
		t.Run(i.name, func(t *testing.T) {
			if i.chat == nil {
				i.chat = i.pager
			}
			compare(t, "pager", s.notices[fmt.Sprint(number, "/pager")], i.pager)
			compare(t, "chat", s.notices[fmt.Sprint(number, "/chat")], i.chat)
		})
	}
}

func lastMinute(incidents []incident) int {
	last := 0
	for _, i := range incidents {
		for _, step := range i.steps {
			last = max(last, step.minute)
		}
	}
	return last
}

func (s *fastAlertmanager) do(t *testing.T, number int, step step) {
	t.Helper()
	var alerts []posted
	for _, labels := range step.alerts {
		labels = maps.Clone(labels)
		labels["cluster"] = fmt.Sprint(number, ":", labels["cluster"])
		a := firing(labels)
		if step.ends {
			a.StartsAt, a.EndsAt = s.started, time.Now() // Alertmanager keeps when it started
		}
		alerts = append(alerts, a)
	}
	s.post(t, alerts...)
}

// compare checks that each notice that is wanted, and no other, was sent in
// time.
func compare(t *testing.T, receiver string, got, want []notice) {
	t.Helper()
	t.Logf("%s got %v", receiver, got)
	got = slices.Clone(got)
	for _, w := range want {
		n := slices.IndexFunc(got, func(g notice) bool {
			return g.what == w.what && g.minute >= w.minute && g.minute <= w.minute+slack
		})
		if n < 0 {
			t.Errorf("%s did not get %v", receiver, w)
			continue
		}
		got = slices.Delete(got, n, n+1)
	}
	if len(got) > 0 {
		t.Errorf("%s should not get %v", receiver, got)
	}
}

// workingHours begins or ends them.
func (s *fastAlertmanager) workingHours(t *testing.T, begin bool) {
	t.Helper()
	const always, never = "weekdays:\n            - sunday:saturday", "years:\n            - \"2000\""
	change := strings.NewReplacer(always, never)
	if begin {
		change = strings.NewReplacer(never, always)
	}
	before := readFile(t, s.config)
	after := change.Replace(before)
	if after == before {
		t.Fatalf("cannot change working hours in %s", before)
	}
	if err := os.WriteFile(s.config, []byte(after), 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := client.Post(s.url+"/-/reload", "", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	_ = r.Body.Close()
	if r.StatusCode != http.StatusOK {
		t.Fatalf("reload: %s", r.Status)
	}
}

// tasks returns the labels of an alert about the tasks from one number up to
// another.
func tasks(t *testing.T, from, to int, alert string, different ...string) []map[string]string {
	t.Helper()
	var all []map[string]string
	for k := from; k < to; k++ {
		all = append(all, labelsOf(t, alert, append(different, "task_id", fmt.Sprint("np_", k))...))
	}
	return all
}

func TestIncidents(t *testing.T) {
	t.Parallel()
	of := func(alert string, different ...string) map[string]string { return labelsOf(t, alert, different...) }
	var network []map[string]string
	for k := range 20 {
		network = append(network, of("OMSDown", "instance", fmt.Sprint("oms-", k)))
	}
	const medium = "MEDIUM"
	startFast(t).play(t, []incident{
		{
			name: "200 tasks of importance HIGH fail at once",
			steps: []step{
				fire(3, of("OMSManyTasksFailed")),
				fire(5, tasks(t, 0, 200, "OMSTaskFailed")...),
				fire(15, tasks(t, 0, 200, "OMSTaskDelayCritical")...),
				end(60, tasks(t, 0, 200, "OMSTaskDelayCritical")...),
				end(85, tasks(t, 0, 200, "OMSTaskFailed")...),
				end(110, of("OMSManyTasksFailed")),
			},
			pager: []notice{{3, "firing OMSManyTasksFailed 1"}, {110, "resolved OMSManyTasksFailed 1"}},
		},
		{
			name: "15 tasks fail, then 4 more, which are not many",
			steps: []step{
				fire(5, tasks(t, 0, 15, "OMSTaskFailed")...),
				fire(30, tasks(t, 15, 19, "OMSTaskFailed")...),
			},
			pager: []notice{{5, "firing OMSTaskFailed 15"}, {30, "firing OMSTaskFailed 19"}},
		},
		{
			name: "the tail of a storm",
			steps: []step{
				fire(3, of("OMSManyTasksDelayed")),
				fire(5, tasks(t, 0, 100, "OMSTaskDelayCritical")...),
				end(60, tasks(t, 49, 100, "OMSTaskDelayCritical")...),
				end(80, of("OMSManyTasksDelayed")),
			},
			pager: []notice{
				{3, "firing OMSManyTasksDelayed 1"},
				{80, "resolved OMSManyTasksDelayed 1"},
				{80, "firing OMSTaskDelayCritical 49"},
			},
		},
		{
			name:  "20 OMS behind one network",
			steps: []step{fire(0, network...), end(30, network...)},
			pager: []notice{{0, "firing OMSDown 20"}, {30, "resolved OMSDown 20"}},
		},
		{
			name: "50 tasks of importance LOW lose their logs together",
			steps: []step{
				fire(3, of("OMSManyTasksLosingLogs")),
				fire(10, tasks(t, 0, 50, "OMSTaskResumeWindowAlmostLost", "importance", "LOW")...),
			},
			pager: []notice{{3, "firing OMSManyTasksLosingLogs 1"}},
		},
		{
			name: "trouble ends while it is hidden, and comes again two hours later",
			steps: []step{
				fire(0, of("OMSTaskDelayCritical"), of("OMSTaskDelayHigh", "importance", medium, "task_id", "np_2")),
				fire(5, of("OMSDown")),
				end(15, of("OMSTaskDelayCritical"), of("OMSTaskDelayHigh", "importance", medium, "task_id", "np_2")),
				end(25, of("OMSDown")),
				fire(130, of("OMSTaskDelayCritical"), of("OMSTaskDelayHigh", "importance", medium, "task_id", "np_2")),
			},
			pager: []notice{
				{0, "firing OMSTaskDelayCritical 1"},
				{5, "firing OMSDown 1"},
				{25, "resolved OMSDown 1"},
				{130, "firing OMSTaskDelayCritical 1"},
			},
			chat: []notice{
				{0, "firing OMSTaskDelayCritical 1"},
				{0, "firing OMSTaskDelayHigh 1"},
				{5, "firing OMSDown 1"},
				{25, "resolved OMSDown 1"},
				{130, "firing OMSTaskDelayCritical 1"},
				{130, "firing OMSTaskDelayHigh 1"},
			},
		},
		{
			name: "a page ends while it is hidden, and comes again half an hour later",
			steps: []step{
				fire(0, of("OMSTaskFailed")),
				fire(5, of("OMSDown")),
				end(15, of("OMSTaskFailed")),
				end(25, of("OMSDown")),
				fire(40, of("OMSTaskFailed")),
			},
			pager: []notice{
				{0, "firing OMSTaskFailed 1"},
				{5, "firing OMSDown 1"},
				{25, "resolved OMSDown 1"},
				{40, "firing OMSTaskFailed 1"},
			},
			chat: []notice{
				{0, "firing OMSTaskFailed 1"},
				{5, "firing OMSDown 1"},
				{25, "resolved OMSDown 1"},
				{120, "firing OMSTaskFailed 1"},
			},
		},
		{
			name: "two Prometheus servers, one job and one instance",
			steps: []step{
				fire(0, of("OMSDown", "cluster", "a")),
				fire(5, of("OMSTaskFailed", "cluster", "a"), of("OMSTaskFailed", "cluster", "b")),
				fire(15, of("OMSDown", "cluster", "b")),
			},
			pager: []notice{{0, "firing OMSDown 1"}, {5, "firing OMSTaskFailed 1"}, {15, "firing OMSDown 1"}},
		},
		{
			name: "one of two exporters of an OMS goes down",
			steps: []step{
				fire(0, of("OMSTaskFailed", "job", "oms-a"), of("OMSTaskFailed", "job", "oms-b")),
				fire(10, of("OMSRedundantExporterDown", "job", "oms-a")),
				end(20, of("OMSTaskFailed", "job", "oms-a")),
			},
			pager: []notice{{0, "firing OMSTaskFailed 2"}, {20, "firing OMSTaskFailed 1, resolved OMSTaskFailed 1"}},
			chat: []notice{
				{0, "firing OMSTaskFailed 2"},
				{10, "firing OMSRedundantExporterDown 1"},
				{20, "firing OMSTaskFailed 1, resolved OMSTaskFailed 1"},
			},
		},
		{
			name: "an OMS vanishes while a page is open",
			steps: []step{
				fire(0, of("OMSTaskResumeWindowAlmostLost")),
				fire(8, of("OMSVanished")),
				end(16, of("OMSTaskResumeWindowAlmostLost")),
			},
			pager: []notice{{0, "firing OMSTaskResumeWindowAlmostLost 1"}, {8, "firing OMSVanished 1"}},
		},
		{
			name: "all OMS vanish",
			steps: []step{
				fire(0, of("OMSTaskFailed")),
				fire(5, of("OMSExporterAbsent")),
				fire(8, of("OMSVanished"), of("OMSVanished", "instance", "beijing")),
				end(16, of("OMSTaskFailed")),
			},
			pager: []notice{{0, "firing OMSTaskFailed 1"}, {5, "firing OMSExporterAbsent 1"}},
		},
		{
			name: "a late task of importance MEDIUM fails, and is no longer late",
			steps: []step{
				fire(0, of("OMSTaskDelayCritical", "importance", medium)),
				fire(10, of("OMSTaskFailed", "importance", medium)),
				end(20, of("OMSTaskDelayCritical", "importance", medium)),
			},
			pager: []notice{{0, "firing OMSTaskDelayCritical 1"}, {10, "firing OMSTaskFailed 1"}},
		},
		{
			name: "a late task loses its delay",
			steps: []step{
				fire(0, of("OMSTaskDelayCritical")),
				fire(10, of("OMSTaskDelayLost")),
				end(20, of("OMSTaskDelayCritical")),
			},
			pager: []notice{{0, "firing OMSTaskDelayCritical 1"}, {10, "firing OMSTaskDelayLost 1"}},
		},
	}, nil)
}

// TestManyLate has an Alertmanager of its own, because so many alerts keep it
// busy.
func TestManyLate(t *testing.T) {
	t.Parallel()
	startFast(t).play(t, []incident{
		{
			name: "4,500 of 10,000 tasks are late",
			steps: []step{
				fire(3, labelsOf(t, "OMSManyTasksDelayed")),
				fire(5, tasks(t, 0, 1500, "OMSTaskDelayCritical")...),
				fire(5, tasks(t, 1500, 4500, "OMSTaskDelayCritical", "importance", "MEDIUM")...),
				fire(5, tasks(t, 0, 4500, "OMSTaskDelayHigh")...),
			},
			pager: []notice{{3, "firing OMSManyTasksDelayed 1"}},
		},
	}, nil)
}

func TestIncidentsAtNight(t *testing.T) {
	t.Parallel()
	of := func(alert string) map[string]string { return labelsOf(t, alert, "importance", "MEDIUM") }
	s := startFast(t)
	s.play(t, []incident{
		{
			name: "a page ends at night, and comes again the next day",
			steps: []step{
				fire(0, of("OMSTaskDelayCritical")), end(20, of("OMSTaskDelayCritical")), fire(130, of("OMSTaskDelayCritical")),
			},
			pager: []notice{{0, "firing OMSTaskDelayCritical 1"}, {130, "firing OMSTaskDelayCritical 1"}},
			chat: []notice{
				{0, "firing OMSTaskDelayCritical 1"},
				{20, "resolved OMSTaskDelayCritical 1"},
				{130, "firing OMSTaskDelayCritical 1"},
			},
		},
		{
			name:  "what begins at night pages when working hours begin",
			steps: []step{fire(30, of("OMSTaskFailed"), of("OMSTaskResumeWindowAlmostLost"))},
			pager: []notice{{30, "firing OMSTaskResumeWindowAlmostLost 1"}, {100, "firing OMSTaskFailed 1"}},
			chat:  []notice{{30, "firing OMSTaskResumeWindowAlmostLost 1"}, {30, "firing OMSTaskFailed 1"}},
		},
	}, map[int]func(){
		10:  func() { s.workingHours(t, false) },
		100: func() { s.workingHours(t, true) },
	})
}
