package main

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	"github.com/alecthomas/kingpin/v2"
	"github.com/go-kit/log"
	"github.com/prometheus/client_golang/prometheus"

	"oms_exporter/collector"
	"oms_exporter/omsclient"
	"oms_exporter/omsclient/omssim"
)

// now is when tests without a network list, in the seconds of OMS: where synctest's clock begins.
const now = 946_684_800

// following returns a task that follows its source with a delay that OMS sampled 9 s ago.
func following(name string, delay int) string {
	return fmt.Sprintf(`{"id": "np_%s", "name": %[1]q, "type": "MIGRATION", "status": "RUNNING", "importance": "HIGH",
		"owner": "li", "labels": [{"id": "l", "name": "gold"}], "sourceEndpointType": "MYSQL", "sinkEndpointType": "OB_MYSQL",
		"gmtStart": "1999-12-30T00:00:00", "extraInfo": {"sourceStoreKeptHour": 168},
		"alarmStats": {"alarming": false, "recentlyTriggerCount": 2, "ruleToRecentlyTriggerCount": {"oms_migration_delay": 2}},
		"steps": [{"order": 1, "name": "FULL_TRANSFER", "status": "FINISHED", "progress": 100, "startTime": "1999-12-30T00:00:00",
		"finishTime": "1999-12-30T01:00:00", "stepInfo": {"processedRecords": 1234567, "capacity": 1234567, "srcRps": 12.5, "srcIops": 20000}},
		{"order": 2, "name": "INCR_TRANSFER", "status": "MONITORING", "progress": 100, "stepInfo":
		{"incrTimestampCheckpoint": %d, "checkpointSampleTimestamp": %d}}]}`, name, now-9-delay, now-9)
}

// smallFleet has a task of each severity, and one at work.
func smallFleet() []string {
	return []string{
		following("orders", 400),
		following("stock", 70),
		`{"id": "np_bills", "name": "bills", "type": "SYNC", "status": "FAILED", "importance": "MEDIUM", "owner": "王芳",
			"extraInfo": {"errorDetails": [{"code": "CM-RESOAT1111", "level": "ERROR"}], "failedTime": "1999-12-31T23:00:00"},
			"steps": [{"order": 1, "name": "STRUCT_SYNC", "status": "FINISHED"}, {"order": 2, "name": "INCR_SYNC", "status": "FAILED"}]}`,
		`{"id": "np_archive", "name": "archive", "type": "MIGRATION", "status": "RUNNING", "importance": "LOW",
			"steps": [{"order": 1, "name": "FULL_TRANSFER", "status": "RUNNING", "progress": 57}]}`,
		`{"id": "np_old", "name": "old", "type": "MIGRATION", "status": "SUSPEND", "importance": "IGNORE"}`,
	}
}

// A handlerTransport answers requests by a handler, without a network.
type handlerTransport struct{ http.Handler }

func (h handlerTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	answer := httptest.NewRecorder()
	h.ServeHTTP(answer, r)
	return answer.Result(), r.Context().Err()
}

// A testSite is an exporter without a network.
type testSite struct {
	handler http.Handler
	targets *targets
}

// newTestSite returns an exporter for OMS by their names.
func newTestSite(t *testing.T, oms map[string]http.Handler, args ...string) *testSite {
	t.Helper()
	s := &serveSettings{oms: omsSettings{target: defaultTarget()}}
	app := kingpin.New("test", "")
	cmd := app.Command("serve", "").Default()
	addOMSFlags(cmd, &s.oms)
	addScrapeFlags(cmd, &s.scrape)
	addWebFlags(cmd, &s.web, ":0")
	if _, err := app.Parse(args); err != nil {
		t.Fatal(err)
	}
	load := func() (*fileConfig, error) {
		loaded := &fileConfig{Targets: map[string]*targetConfig{}}
		for name := range oms {
			target := s.oms.target
			target.URL = "http://oms.example"
			loaded.Targets[name] = &target
		}
		return loaded, nil
	}
	own := prometheus.NewRegistry()
	targets, err := newTargets(load, &s.scrape, own, log.NewNopLogger(),
		func(name string, _ http.RoundTripper) http.RoundTripper { return handlerTransport{oms[name]} }, 0)
	if err != nil {
		t.Fatal(err)
	}
	handler, err := newHandler(targets, own, s, log.NewNopLogger())
	if err != nil {
		t.Fatal(err)
	}
	return &testSite{handler, targets}
}

// siteOf returns an exporter for one OMS with tasks.
func siteOf(t *testing.T, projects []string, args ...string) (*testSite, *omssim.Server) {
	t.Helper()
	sim, err := omssim.New(omssim.Options{Projects: projects})
	if err != nil {
		t.Fatal(err)
	}
	return newTestSite(t, map[string]http.Handler{flagsTarget: sim}, args...), sim
}

func (s *testSite) send(method, target string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, http.NoBody)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	answer := httptest.NewRecorder()
	s.handler.ServeHTTP(answer, r)
	return answer
}

// get returns a page that must be there.
func (s *testSite) get(t *testing.T, target string, header ...string) string {
	t.Helper()
	answer := s.send(http.MethodGet, target, header...)
	if answer.Code != http.StatusOK {
		t.Fatalf("GET %s: status %d\n%s", target, answer.Code, answer.Body)
	}
	return answer.Body.String()
}

var inNameCell = regexp.MustCompile(`(?s)<td role="cell" class="name"><a [^>]*>(.*?)</a>`)

// names returns the names of the tasks on a page, in order.
func names(page string) []string {
	found := []string{}
	for _, match := range inNameCell.FindAllStringSubmatch(page, -1) {
		found = append(found, html.UnescapeString(match[1]))
	}
	return found
}

// mainOf returns a page without its style and its script.
func mainOf(page string) string {
	_, rest, _ := strings.Cut(page, "<main")
	main, _, _ := strings.Cut(rest, "</main>")
	return main
}

// checkGolden compares a text with a file, or rewrites the file.
func checkGolden(t *testing.T, name, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(name, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if want := readFile(t, name); got != want {
		t.Errorf("%s is out of date; look at it, then run go generate ./...\n%s", name, difference(want, got))
	}
}

// TestPages compares the pages of a small fleet whole, in both languages. The style and the
// script are left out.
func TestPages(t *testing.T) {
	for _, c := range []struct{ golden, path, language string }{
		{"page.html", "/?task=np_orders", "en-US,en;q=0.9"},
		{"page.zh.html", "/?task=np_orders", "zh-CN,zh;q=0.9,en;q=0.8"},
		{"status.html", "/status", "fr"},
		{"status.zh.html", "/status?lang=zh", "en"},
	} {
		t.Run(c.golden, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				up, err := omssim.New(omssim.Options{Projects: smallFleet()})
				if err != nil {
					t.Fatal(err)
				}
				down := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "", http.StatusTeapot) })
				s := newTestSite(t, map[string]http.Handler{"hz": up, "bj": down},
					"--oms.console-url=https://console.example/{task_id}", "--web.grafana-url=https://grafana.example/")
				s.get(t, "/")
				<-time.After(12 * time.Second)

				page := s.get(t, c.path, "Accept-Language", c.language)

				checkGolden(t, "testdata/"+c.golden,
					strings.NewReplacer(siteCSS, "", siteJS, "", "oms_exporter "+versionOf(page), "oms_exporter VERSION").Replace(page))
			})
		})
	}
}

func versionOf(page string) string {
	return regexp.MustCompile(`<span>oms_exporter ([^<]*)</span>`).FindStringSubmatch(page)[1]
}

// Whatever has no script sends forms and follows links.
func TestThePageNeedsNoScript(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := siteOf(t, smallFleet())
		for path, want := range map[string]string{
			"/":                        "[bills orders stock old archive]",
			"/?search=ORD":             "[orders]",
			"/?search=np_old":          "[old]",
			"/?search=cm-resoat":       "[bills]",
			"/?status=SUSPEND":         "[old]",
			"/?importance=HIGH":        "[orders stock]",
			"/?owner=王":                "[bills]",
			"/?tag=gold&search=stock":  "[stock]",
			"/?severity=critical":      "[bills orders]",
			"/?sort=name":              "[archive bills old orders stock]",
			"/?sort=-name":             "[stock orders old bills archive]",
			"/?sort=delay":             "[orders stock bills old archive]",
			"/?sort=importance":        "[orders stock bills archive old]",
			"/?sort=nonsense":          "[bills orders stock old archive]",
			"/?status=nonsense":        "[]",
			"/?page=9":                 "[bills orders stock old archive]",
			"/?search=ord&task=np_old": "[old orders]", // a link to a task shows the task
		} {
			page := s.get(t, strings.ReplaceAll(path, "王", url.QueryEscape("王")))

			if got := fmt.Sprint(names(page)); got != want {
				t.Errorf("%s: %s, want %s", path, got, want)
			}
		}
		page := s.get(t, "/")
		for _, form := range regexp.MustCompile(`<form[^>]*>`).FindAllString(page, -1) {
			if !strings.Contains(form, `method="get"`) && form != `<form method="post">` {
				t.Errorf("a form that needs a script: %s", form)
			}
		}
		followed := 0
		markup, _, _ := strings.Cut(page, "<script>")
		for _, link := range regexp.MustCompile(`href="([^":]*)"`).FindAllStringSubmatch(markup, -1) {
			address := html.UnescapeString(link[1])
			if strings.HasPrefix(address, "#") {
				continue
			}
			followed++
			base := url.URL{Path: "/"}
			to, err := base.Parse(address)
			if err != nil {
				t.Fatal(err)
			}
			s.get(t, to.String())
		}
		if followed < 20 {
			t.Errorf("only %d links", followed)
		}
	})
}

// A browser runs the page's own style and script, and nothing else.
func TestThePolicyAdmitsWhatThePageHas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := siteOf(t, smallFleet())
		for _, path := range []string{"/", "/status"} {
			answer := s.send(http.MethodGet, path)
			policy, page := answer.Header().Get(policyHeader), answer.Body.String()

			if !strings.HasPrefix(policy, "default-src 'none'; ") || strings.Contains(policy, "unsafe") {
				t.Errorf("%s: policy %s", path, policy)
			}
			for element, directive := range map[string]string{"style": "style-src", "script": "script-src"} {
				content := regexp.MustCompile(`(?s)<`+element+`>(.*?)</`+element+`>`).FindAllStringSubmatch(page, -1)
				if len(content) != 1 {
					t.Fatalf("%s: %d elements %s", path, len(content), element)
				}
				sum := sha256.Sum256([]byte(content[0][1]))
				if want := directive + " 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"; !strings.Contains(policy, want) {
					t.Errorf("%s: the policy lacks %s: %s", path, want, policy)
				}
			}
			if found := regexp.MustCompile(`\s(style|on\w+)=|src="|url\(|@import`).FindString(page); found != "" {
				t.Errorf("%s: %q does nothing under the policy, or asks others", path, found)
			}
		}
		r := httptest.NewRecorder()
		r.Header().Set(policyHeader, "what --web.config.file says")
		s.handler.ServeHTTP(r, httptest.NewRequest(http.MethodGet, "/", http.NoBody))
		if got := r.Header().Get(policyHeader); got != "what --web.config.file says" {
			t.Errorf("policy %s", got)
		}
	})
}

func TestWhatOMSSendsCannotChangeThePage(t *testing.T) {
	const hostile = "<script>alert(1)</script>\"'&\x1b[31m\u202e\u0085\u200b{{.}}"
	task, err := json.Marshal(map[string]any{
		"id": "np_\"><script>" + hostile, "name": hostile, "type": hostile, "status": hostile, "importance": hostile, "owner": hostile,
		"sourceEndpointType": hostile, "sinkEndpointType": hostile, "labels": []any{map[string]string{"id": "l", "name": hostile}},
		"steps":      []any{map[string]any{"name": hostile, "status": "FAILED", "extraInfo": map[string]string{"errorCode": hostile}}},
		"alarmStats": map[string]any{"ruleToRecentlyTriggerCount": map[string]int{hostile: 1}},
	})
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		s, _ := siteOf(t, []string{string(task)}, "--web.grafana-url=https://grafana.example", "--oms.console-url=https://oms.example/{task_id}")
		var doc overview
		if err := json.Unmarshal([]byte(s.get(t, "/tasks?format=json")), &doc); err != nil || len(doc.Tasks) != 1 {
			t.Fatalf("%v %+v", err, doc)
		}
		for _, path := range []string{
			"/", "/?task=" + url.QueryEscape(doc.Tasks[0].ID), "/?search=" + url.QueryEscape(hostile), "/?owner=" + url.QueryEscape(hostile),
			"/?lang=" + url.QueryEscape(hostile), "/?sort=" + url.QueryEscape(hostile),
		} {
			page := s.get(t, path)
			visible := regexp.MustCompile(` value="[^"]*"`).ReplaceAllString(page, "") // forms send it back as it is
			if strings.Contains(page, "<script>alert") || strings.ContainsAny(visible, "\x1b\u202e\u0085\u200b") {
				t.Errorf("%s: %q", path, mainOf(page))
			}
		}
		if len(names(s.get(t, "/"))) != 1 {
			t.Error("the task is not shown")
		}
	})
}

// People see the tasks that were listed last, and that OMS does not answer now.
func TestThePageOfAnOMSThatGoesDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, sim := siteOf(t, smallFleet())
		s.get(t, "/")
		sim.SetFaults(omssim.Fault{Kind: "unauthorized"})
		<-time.After(5 * time.Minute)

		page := s.get(t, "/")

		for _, want := range []string{
			`<p class="health critical">not answering: the account is refused</p>`, "OMS refuses the password. It is sent again in ",
			`<time datetime="2000-01-01T00:00:00Z">5m ago</time>`,
		} {
			if !strings.Contains(page, want) {
				t.Errorf("the page lacks %s:\n%s", want, mainOf(page))
			}
		}
		if got := fmt.Sprint(names(page)); got != "[bills orders stock old archive]" {
			t.Errorf("the tasks are %s", got)
		}
		if strings.Contains(page, "oms.example") {
			t.Error("the page shows where OMS is")
		}
	})
}

// The first look makes a listing, however many people look; so do old tasks, and a click.
func TestLooksShareListings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, sim := siteOf(t, smallFleet())
		expect := func(want int, why string) {
			t.Helper()
			if got := len(sim.Requests()); got != want {
				t.Errorf("%s: %d requests, want %d", why, got, want)
			}
		}
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() { s.send(http.MethodGet, "/") })
		}
		all.Wait()
		expect(1, "20 first looks at once")
		<-time.After(50 * time.Second)
		s.get(t, "/")
		expect(1, "a look at a listing of 50 s ago")
		<-time.After(11 * time.Second)
		s.get(t, "/")
		expect(2, "a look at a listing of 61 s ago")
		s.get(t, "/metrics")
		expect(3, "a scrape")
		<-time.After(30 * time.Second)
		s.get(t, "/tasks?format=json")
		expect(3, "a look at what was scraped")

		answer := s.send(http.MethodPost, "/?sort=name", "Sec-Fetch-Site", "same-origin")
		if answer.Code != http.StatusSeeOther || answer.Header().Get("Location") != "?sort=name" {
			t.Errorf("list now: %d to %q", answer.Code, answer.Header().Get("Location"))
		}
		expect(4, "list now")
		if answer = s.send(http.MethodPost, "/", "Sec-Fetch-Site", "cross-site"); answer.Code != http.StatusForbidden {
			t.Errorf("list now by another site: %d", answer.Code)
		}
		expect(4, "list now by another site")
	})
}

// Nobody waits long for a slow OMS, and its listing is not lost.
func TestAListingOfASlowOMSGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim, err := omssim.New(omssim.Options{Projects: smallFleet()})
		if err != nil {
			t.Fatal(err)
		}
		s := newTestSite(t, map[string]http.Handler{flagsTarget: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			<-time.After(8 * time.Second)
			sim.ServeHTTP(w, r)
		})})
		began := time.Now()
		ctx, hangUp := context.WithCancel(t.Context())
		answer := httptest.NewRecorder()

		s.handler.ServeHTTP(answer, httptest.NewRequestWithContext(ctx, http.MethodGet, "/", http.NoBody))
		hangUp()

		page := answer.Body.String()
		if took := time.Since(began); took != lookPatience || !strings.Contains(page, "notice pending\">still reading the tasks") || len(names(page)) != 0 {
			t.Errorf("after %s:\n%s", took, mainOf(page))
		}
		<-time.After(4 * time.Second)
		if page = s.get(t, "/"); len(names(page)) != 5 || len(sim.Requests()) != 1 {
			t.Errorf("%d tasks after %d requests", len(names(page)), len(sim.Requests()))
		}
	})
}

// Of what is listed nothing stays while nobody looks, and for an hour after somebody has.
func TestNothingIsKeptWhileNobodyLooks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := siteOf(t, smallFleet())
		target := s.targets.get(flagsTarget)
		scraped := func() (scraped weak.Pointer[collector.Snapshot]) {
			target.use(t.Context(), func(s *collector.Snapshot) { scraped = weak.Make(s) })
			return scraped
		}
		kept := func(s weak.Pointer[collector.Snapshot]) bool {
			<-time.After(time.Minute) // the runtime forgets stopped timers, and their contexts, late
			synctest.Wait()
			runtime.GC()
			return s.Value() != nil
		}

		listed := func() bool {
			target.lookout.mu.Lock()
			defer target.lookout.mu.Unlock()
			return target.lookout.last != nil
		}

		if kept(scraped()) {
			t.Error("a snapshot is kept that nobody has asked for")
		}
		s.get(t, "/")
		<-time.After(58 * time.Minute)
		seen := scraped()
		if !kept(seen) {
			t.Error("a snapshot is not kept although somebody looked within the hour")
		}
		<-time.After(2 * time.Minute)
		if kept(seen) || listed() {
			t.Error("a snapshot is kept an hour after the last look")
		}
		if kept(scraped()) {
			t.Error("another snapshot is kept then")
		}
	})
}

func TestTenThousandTasksAreUsable(t *testing.T) {
	var projects []string
	for i := range 10_000 {
		projects = append(projects, following(fmt.Sprintf("task_%05d", i), 10))
	}
	synctest.Test(t, func(t *testing.T) {
		s, _ := siteOf(t, projects)

		page := s.get(t, "/?sort=name&page=100")

		if got := names(page); len(got) != 100 || got[0] != "task_09900" || got[99] != "task_09999" {
			t.Errorf("the last page has %d tasks", len(got))
		}
		if len(page) > 300_000 || !strings.Contains(page, "Page 100 of 100") || strings.Contains(page, "page=101") {
			t.Errorf("%d bytes", len(page))
		}
		var doc overview
		if err := json.Unmarshal([]byte(s.get(t, "/tasks?format=json")), &doc); err != nil || len(doc.Tasks) != 10_000 {
			t.Errorf("%v, %d tasks", err, len(doc.Tasks))
		}
	})
}

func TestThePageOfTheTasksCanBeOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, sim := siteOf(t, smallFleet(), "--no-web.tasks-page")

		page := s.get(t, "/")

		if !strings.Contains(page, "<h1>Listings</h1>") || len(sim.Requests()) != 0 || strings.Contains(page, ">Tasks</a>") {
			t.Errorf("after %d requests:\n%s", len(sim.Requests()), page)
		}
		if answer := s.send(http.MethodGet, "/tasks"); answer.Code != http.StatusNotFound {
			t.Errorf("/tasks: %d", answer.Code)
		}
	})
}

func TestTasksAreServedInFormatsForPrograms(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := siteOf(t, smallFleet())
		for format, kind := range map[string]string{
			"json": "application/json", "csv": "text/csv; charset=utf-8", "html": "text/html; charset=utf-8",
		} {
			answer := s.send(http.MethodGet, "/tasks?search=orders&format="+format)
			if got := answer.Header().Get("Content-Type"); got != kind || !strings.Contains(answer.Body.String(), "np_orders") ||
				strings.Contains(answer.Body.String(), "np_bills") {
				t.Errorf("%s: %s\n%s", format, got, answer.Body)
			}
		}
		if answer := s.send(http.MethodGet, "/tasks?format=xml"); answer.Code != http.StatusBadRequest {
			t.Errorf("xml: %d", answer.Code)
		}
	})
}

// Every word is there in both languages, and so are those for whatever OMS documents.
func TestWordsAreComplete(t *testing.T) {
	for key, texts := range words {
		for l, text := range texts {
			if strings.TrimSpace(text) == "" || strings.Count(text, "%") != strings.Count(texts[0], "%") {
				t.Errorf("%s in %s: %q", key, langs[l], text)
			}
		}
	}
	want := []string{}
	for prefix, values := range map[string][]string{
		"status": omsclient.Statuses(), "type": omsclient.Types(), "importance": omsclient.Importances(), "severity": collector.Severities(),
		"reason": {"timeout", "dns", "connect", "tls", "auth", "http_status", "api_error", "decode", "pagination", "limit", "canceled", "credentials"},
		"state":  {"waiting", "working", "following", "done", "paused", "failed", "person"}, "direction": {"forward", "reverse"},
	} {
		for _, value := range values {
			want = append(want, prefix+"."+value)
		}
	}
	for _, concern := range collector.Concerns() {
		want = append(want, "concern."+concern)
	}
	templates := readFile(t, "page.html") + readFile(t, "site.html") + readFile(t, "status.html")
	for _, used := range regexp.MustCompile(`[{(]t "([^"]+)"`).FindAllStringSubmatch(templates, -1) {
		want = append(want, used[1])
	}
	for _, key := range want {
		if _, ok := words[key]; !ok {
			t.Errorf("no words for %s", key)
		}
	}
	for _, step := range omsclient.StepNames() {
		if english.step(step) == chinese.step(step) {
			t.Errorf("no words for the step %s", step)
		}
	}
}

func TestTheLanguageIsThatOfTheBrowser(t *testing.T) {
	for _, c := range []struct{ accept, query, want string }{
		{"", "", "en"},
		{"fr-FR", "", "en"},
		{"zh", "", "zh-Hans"},
		{"zh-TW,zh;q=0.9", "", "zh-Hans"},
		{"en;q=0.8,zh-CN;q=0.9", "", "zh-Hans"},
		{"zh", "?lang=en", "en"},
		{"en", "?lang=zh", "zh-Hans"},
		{"en", "?lang=zh-Hans", "zh-Hans"},
		{";;;,,=q", "?lang=%00", "en"},
	} {
		r := httptest.NewRequest(http.MethodGet, "/"+c.query, http.NoBody)
		r.Header.Set("Accept-Language", c.accept)
		if got := langOf(r).String(); got != c.want {
			t.Errorf("%q %s: %s, want %s", c.accept, c.query, got, c.want)
		}
	}
}

func TestDurationsAreShort(t *testing.T) {
	for seconds, want := range map[float64][2]string{
		0: {"0s", "0秒"}, 0.0124: {"12ms", "12毫秒"}, 59.9: {"59s", "59秒"}, 60: {"1m", "1分"}, 61: {"1m1s", "1分1秒"}, 3600: {"1h", "1时"},
		3725: {"1h2m", "1时2分"}, 90000: {"1d1h", "1天1时"}, 86461: {"1d", "1天"}, -7: {"-7s", "-7秒"},
	} {
		if got := [2]string{english.duration(seconds), chinese.duration(seconds)}; got != want {
			t.Errorf("%v: %q, want %q", seconds, got, want)
		}
	}
}

func TestLinksThatAreNoneAreRefused(t *testing.T) {
	for _, address := range []string{"javascript:alert(1)", "//oms.example", "https://user:secret@oms.example", "oms.example:1"} {
		for _, flag := range []string{"--oms.console-url=", "--web.grafana-url="} {
			err := run(t.Context(), []string{"--config.check", "--oms.url=http://127.0.0.1:1", flag + address}, newOutput(), newOutput())
			if err == nil || exitStatus(err) != 2 || strings.Contains(err.Error(), "secret") {
				t.Errorf("%s%s: %v", flag, address, err)
			}
		}
	}
}

func TestAProbeExplainsItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up, err := omssim.New(omssim.Options{Projects: append(smallFleet(), `{"id": "np_gone", "name": "gone", "status": "RELEASED"}`)})
		if err != nil {
			t.Fatal(err)
		}
		s := newTestSite(t, map[string]http.Handler{
			"hz": up,
			"bj": http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "", http.StatusTeapot) }),
		})
		got := s.get(t, "/probe?target=hz&debug=true") + "\n" + s.get(t, "/probe?target=bj&debug=true")

		checkGolden(t, "testdata/explained.txt", got)
	})
}
