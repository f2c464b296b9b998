package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"reflect"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"oms_exporter/omsclient/omssim"
)

// several starts an exporter with the targets in YAML.
func several(t *testing.T, targets string, args ...string) (p *program, file string) {
	t.Helper()
	file = writeFile(t, "targets:\n"+targets)
	return start(t, append([]string{"serve", "--config.file=" + file}, args...)...), file
}

// probe scrapes a target.
func probe(t *testing.T, p *program, target string) exposition {
	t.Helper()
	r := get(t, p.url+"/probe?target="+target)
	if r.status != http.StatusOK {
		t.Fatalf("status %d: %s", r.status, r.body)
	}
	return parseText(t, r.body)
}

func TestProbeServesEachTargetByItsName(t *testing.T) {
	t.Parallel()
	_, three := newOMS(t, omssim.Options{Tasks: 3, Scenarios: []string{"following"}})
	_, five := newOMS(t, omssim.Options{Tasks: 5, Scenarios: []string{"following"}})
	p, _ := several(t, fmt.Sprintf("  a: {url: %q}\n  b: {url: %q}\n  c: {url: \"http://127.0.0.1:1\"}\n", three, five))

	if a, b := probe(t, p, "a").tasks(), probe(t, p, "b").tasks(); a != 3 || b != 5 {
		t.Errorf("%d and %d tasks", a, b)
	}
	broken := probe(t, p, "c")
	if up, ok := broken.value("oms_up"); up != 0 || !ok || broken.tasks() != 0 {
		t.Errorf("oms_up %g, %d tasks", up, broken.tasks())
	}
	for name := range broken {
		if strings.HasPrefix(name, "oms_exporter_") || strings.HasPrefix(name, "go_") {
			t.Errorf("/probe has %s, which is not the target's", name)
		}
	}

	own := scrape(t, p)
	if own["oms_up"] != nil {
		t.Error("/metrics has the tasks of a target")
	}
	want := map[string]float64{"a": 0, "b": 0, "c": 2}
	if got := own.values("oms_exporter_api_request_retries_total", "target"); !reflect.DeepEqual(got, want) {
		t.Errorf("retries %v, want %v", got, want)
	}
}

func TestProbeRefusesWhatIsNoTarget(t *testing.T) {
	t.Parallel()
	sim, url := newOMS(t, omssim.Options{})
	p, _ := several(t, fmt.Sprintf("  a: {url: %q}\n", url))
	tests := []struct {
		method, path string
		status       int
		says         string
	}{
		{"GET", "/probe", 400, "which OMS? give the name of a target"},
		{"GET", "/probe?target=", 400, "which OMS?"},
		{"GET", "/probe?target=b", 404, `no target "b" in the configuration; /sd lists them`},
		{"GET", "/probe?target=" + url, 400, "a name in the configuration, not a URL"},
		{"GET", "/probe?target=%22%0A%3Cscript%3E", 404, `no target "\"\n<script>" in`},
		{"POST", "/probe?target=a", 405, "Method Not Allowed"},
		{"POST", "/sd", 405, "Method Not Allowed"},
		{"PUT", "/status", 405, "Method Not Allowed"},
		{"POST", "/tasks", 405, "Method Not Allowed"},
		{"GET", "/status?format=xml", 400, "format is html or json"},
		{"GET", "/-/reload", 403, "reloading over HTTP is off"},
		{"POST", "/-/reload", 403, "--web.enable-lifecycle"},
	}
	for _, test := range tests {
		r := send(t, test.method, p.url+test.path, "")

		if r.status != test.status || !strings.Contains(r.body, test.says) || strings.Count(r.body, "\n") != 1 {
			t.Errorf("%s %s: %d %q", test.method, test.path, r.status, r.body)
		}
		if kind := r.header.Get("Content-Type"); !strings.HasPrefix(kind, "text/plain") {
			t.Errorf("%s %s: answers as %s", test.method, test.path, kind)
		}
	}
	if n := len(sim.Requests()); n != 0 {
		t.Errorf("OMS was asked %d times", n)
	}
}

func TestDiscoveryListsTheTargets(t *testing.T) {
	t.Parallel()
	p, _ := several(t, `
  b: {url: "http://127.0.0.1:1", labels: {region: hz, team: "db, 核心"}}
  a: {url: "http://127.0.0.1:1"}
`)
	r := get(t, p.url+"/sd", "Host", "ignored")

	var got any
	if err := json.Unmarshal([]byte(r.body), &got); err != nil || r.header.Get("Content-Type") != "application/json" {
		t.Fatalf("%v %s", err, r.header)
	}
	here := strings.TrimPrefix(p.url, "http://")
	entry := func(labels map[string]any) any {
		labels["__metrics_path__"] = "/probe"
		return map[string]any{"targets": []any{here}, "labels": labels}
	}
	want := []any{
		entry(map[string]any{"__param_target": "a", "instance": "a"}),
		entry(map[string]any{"__param_target": "b", "instance": "b", "region": "hz", "team": "db, 核心"}),
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %s\nwant %v", r.body, want)
	}
}

func TestDiscoveryOfAnOMSThatFlagsNameIsEmpty(t *testing.T) {
	t.Parallel()
	p := start(t, "serve", "--oms.url=http://127.0.0.1:1")

	if r := get(t, p.url+"/sd"); r.body != "[]\n" {
		t.Errorf("got %q", r.body)
	}
}

func TestAReloadKeepsWhatIsUnchanged(t *testing.T) {
	t.Parallel()
	oms, url := newOMS(t, omssim.Options{Tasks: 4, Scenarios: []string{"following"}})
	p, file := several(t, fmt.Sprintf("  kept: {url: %q}\n  changed: {url: %q}\n  dropped: {url: %q}\n", url, url, url),
		"--web.enable-lifecycle")
	for _, name := range []string{"kept", "changed", "dropped"} {
		probe(t, p, name)
	}

	rewriteFile(t, file, fmt.Sprintf(`
targets:
  kept: {url: %q}
  changed: {url: %q, page_size: 2}
  added: {url: %q}
delay_thresholds: {importance: {HIGH: &t {warning: 1m, critical: 1h}, MEDIUM: *t, LOW: *t, IGNORE: *t}}
`, url, url, url))
	if r := send(t, http.MethodPost, p.url+"/-/reload", ""); r.status != 200 || r.body != "configuration reloaded\n" {
		t.Fatalf("%d %q", r.status, r.body)
	}

	if n := len(probe(t, p, "kept").values("oms_task_delay_threshold_seconds", "task_id")); n != 4 {
		t.Errorf("%d tasks have the new thresholds", n)
	}
	probe(t, p, "changed")
	probe(t, p, "added")
	if r := get(t, p.url+"/probe?target=dropped"); r.status != http.StatusNotFound {
		t.Errorf("the dropped target: %d", r.status)
	}
	requests := scrape(t, p).values("oms_exporter_api_requests_total", "target")
	if requests["kept"] != 2 || requests["added"] != 1 || requests["changed"] == 0 {
		t.Errorf("requests counted %v", requests)
	}
	if _, ok := requests["dropped"]; ok {
		t.Error("the dropped target is still counted")
	}
	if last := oms.Requests(); last[len(last)-2].PageSize != 2 {
		t.Errorf("the changed target asks for %d", last[len(last)-2].PageSize)
	}
}

func TestABadReloadChangesNothingAndSaysWhy(t *testing.T) {
	t.Parallel()
	_, url := newOMS(t, omssim.Options{Tasks: 4, Scenarios: []string{"following"}})
	good := fmt.Sprintf("targets:\n  a: {url: %q}\n", url)
	p, file := several(t, strings.TrimPrefix(good, "targets:\n"), "--web.enable-lifecycle")
	before := scrape(t, p)

	for _, bad := range []string{
		"targets:\n  a: {uri: http://oms.example}\n",
		"targets:\n  a: {url: http://oms.example}\n  b: {url: \"http://me:canary@oms.example\"}\n",
		"targets:\n  a: {url: http://oms.example, http_client: {basic_auth: {username: a}}}\n",
		"targets:\n  a: {url: http://oms.example, http_client: {proxy_url: \"http://u:canary/x@proxy:3128\"}}\n",
	} {
		rewriteFile(t, file, bad)
		r := send(t, http.MethodPost, p.url+"/-/reload", "")

		if r.status != 500 || r.body != "configuration not reloaded, the previous one stays in use; the log says why\n" {
			t.Errorf("%d %q", r.status, r.body)
		}
		if n := probe(t, p, "a").tasks(); n != 4 {
			t.Errorf("%d tasks after a bad reload", n)
		}
		after := scrape(t, p)
		if ok, _ := after.value("oms_exporter_config_last_reload_successful"); ok != 0 {
			t.Error("the metric says that it was good")
		}
		const at = "oms_exporter_config_last_reload_success_timestamp_seconds"
		if a, b := before.values(at, ""), after.values(at, ""); !reflect.DeepEqual(a, b) {
			t.Errorf("the last success moved from %v to %v", a, b)
		}
	}
	if log := p.stderr.String(); strings.Contains(log, "canary") || !strings.Contains(log, `:2: targets.a.uri: unknown key`) {
		t.Errorf("log:\n%s", log)
	}

	rewriteFile(t, file, good)
	if r := send(t, http.MethodPut, p.url+"/-/reload", ""); r.status != 200 {
		t.Errorf("%d %q", r.status, r.body)
	}
	if ok, _ := scrape(t, p).value("oms_exporter_config_last_reload_successful"); ok != 1 {
		t.Error("the metric says that the last one was bad")
	}
	if r := get(t, p.url+"/-/reload"); r.status != http.StatusMethodNotAllowed || r.header.Get("Allow") == "" {
		t.Errorf("GET: %d", r.status)
	}
}

func TestSIGHUPLoadsTheConfiguration(t *testing.T) {
	_, url := newOMS(t, omssim.Options{})
	p, file := several(t, fmt.Sprintf("  a: {url: %q}\n", url))
	probe(t, p, "a") // by now the program handles the signal

	rewriteFile(t, file, fmt.Sprintf("targets:\n  b: {url: %q}\n", url))
	if err := syscall.Kill(syscall.Getpid(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}

	p.stderr.await(t, regexp.MustCompile(`msg="configuration reloaded"`))
	if r := get(t, p.url+"/probe?target=b"); r.status != http.StatusOK {
		t.Errorf("%d %q", r.status, r.body)
	}
}

func TestExclusionsOfTheFileApply(t *testing.T) {
	t.Parallel()
	_, url := newOMS(t, omssim.Options{Projects: []string{
		`{"id": "np_1", "name": "test_a", "status": "RUNNING"}`,
		`{"id": "np_2", "name": "a_test_", "status": "RUNNING"}`,
		`{"id": "np_3", "name": "b", "status": "RUNNING", "labels": [{"id": "l", "name": "scratch"}]}`,
		`{"id": "np_4", "name": "c", "status": "INIT"}`,
		`{"id": "np_5", "name": "d", "status": "RELEASED"}`,
	}})
	p, _ := several(t, fmt.Sprintf("  a: {url: %q, exclude: {names: test_.*, tags: [scratch], statuses: [INIT]}}\n", url))

	got := probe(t, p, "a").values("oms_task_info", "task_id")

	if want := map[string]float64{"np_2": 1, "np_5": 1}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestStatusTellsHowListingsWent(t *testing.T) {
	t.Parallel()
	sim, url := newOMS(t, omssim.Options{Tasks: 7, Scenarios: []string{"following"}})
	p, _ := several(t, fmt.Sprintf(`
  hz: {url: %q, page_size: 5, http_client: {basic_auth: {username: viewer, password: canary}}}
  idle: {url: "http://127.0.0.1:1"}
`, url))
	probe(t, p, "hz")
	sim.SetFaults(omssim.Fault{Kind: "api_error", Page: 2})
	probe(t, p, "hz")

	var doc statusDoc
	r := get(t, p.url+"/status?format=json")
	if err := json.Unmarshal([]byte(r.body), &doc); err != nil {
		t.Fatal(err)
	}
	if len(doc.Targets) != 2 || doc.Targets[0].Name != "hz" || len(doc.Targets[0].Fetches) != 2 ||
		len(doc.Targets[1].Fetches) != 0 {
		t.Fatalf("got %s", r.body)
	}
	failed, good := doc.Targets[0].Fetches[0], doc.Targets[0].Fetches[1]
	if good.Error != "" || good.Tasks != 7 || good.Pages != 2 || good.Rows != 7 || good.Bytes == 0 ||
		len(good.Requests) != 2 || good.Requests[1].Page != 2 || good.Requests[1].Status != 200 ||
		good.Requests[0].RequestID == "" {
		t.Errorf("good: %+v", good)
	}
	if failed.Reason != "api_error" || failed.Tasks != 0 || !strings.Contains(failed.Error, "GHANA-OPERAT000001") ||
		failed.Requests[1].Reason != "api_error" || failed.Requests[1].RequestID == "" {
		t.Errorf("failed: %+v", failed)
	}

	html := get(t, p.url+"/status")
	for _, want := range []string{
		"<h2>hz</h2>", "<h2>idle</h2>", "Not scraped yet.", "complete</td>", "<code>api_error</code>",
		failed.Requests[1].RequestID, url,
	} {
		if !strings.Contains(html.body, want) {
			t.Errorf("the HTML lacks %q:\n%s", want, html.body)
		}
	}
	for _, r := range []reply{r, html} {
		if strings.Contains(r.body, "canary") || strings.Contains(r.body, "viewer") {
			t.Errorf("a secret:\n%s", r.body)
		}
	}
}

func TestStatusEscapesWhatOMSSends(t *testing.T) {
	t.Parallel()
	url := serveOMS(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"success": false, "code": "<script>alert(1)</script>", "requestId": "<b>"}`)
	}))
	p := start(t, "serve", "--oms.url="+url)
	scrape(t, p)

	html := get(t, p.url+"/status")

	if strings.Contains(html.body, "<script>alert") || !strings.Contains(html.body, "&lt;script&gt;") {
		t.Errorf("not escaped:\n%s", html.body)
	}
	if csp := html.header.Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") {
		t.Errorf("policy %q", csp)
	}
}

func TestSettingsOfTheHTTPClientReachOMS(t *testing.T) {
	t.Parallel()
	asked := make(chan *http.Request, 1)
	url := serveOMS(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- r.Clone(r.Context())
		fmt.Fprint(w, `{"success": true, "totalCount": 0, "data": []}`)
	}))
	token := writeFile(t, "secret-token\n")
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusTeapot)
	}))
	t.Cleanup(proxy.Close)
	p, _ := several(t, fmt.Sprintf(`
  token: {url: "%s/prefix/", http_client: {authorization: {type: Key, credentials_file: %q}, http_headers: {X-Tenant: {values: [t1]}}}}
  proxied: {url: %q, http_client: {proxy_url: %q}}
`, url, token, url, proxy.URL))

	probe(t, p, "token")
	r := <-asked
	if r.Header.Get("Authorization") != "Key secret-token" || r.Header.Get("X-Tenant") != "t1" ||
		r.URL.Path != "/prefix/api/v2" || !strings.HasPrefix(r.UserAgent(), "oms_exporter/") {
		t.Errorf("%s %v", r.URL, r.Header)
	}
	if reasons := probe(t, p, "proxied").values("oms_scrape_error_info", "reason"); reasons["http_status"] != 1 {
		t.Errorf("not through the proxy: %v", reasons)
	}
}
