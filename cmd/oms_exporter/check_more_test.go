package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"oms_exporter/omsclient/omssim"
)

func TestCheckHasTheTimeOfTheShippedPrometheus(t *testing.T) {
	timeout := newApp(map[string]command{}).GetCommand("check").GetFlag("timeout").Model().Default[0]
	files, err := filepath.Glob("../../deploy/prometheus/*.yml")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, file := range files {
		for _, set := range regexp.MustCompile(`(?m)^\s*scrape_timeout: (\S+)$`).FindAllStringSubmatch(readFile(t, file), -1) {
			found++
			if set[1] != timeout {
				t.Errorf("%s: scrape_timeout is %s, and check --timeout is %s by default", file, set[1], timeout)
			}
		}
	}
	if found == 0 {
		t.Error("no configuration of Prometheus sets scrape_timeout")
	}
}

// The whole of what people see when OMS takes a request and never answers.
func TestCheckOfAnOMSThatHangs(t *testing.T) {
	t.Parallel()
	sim, url := newOMS(t, omssim.Options{Username: checkAccount, Password: checkPassword})
	sim.SetFaults(omssim.Fault{Kind: "hang"})

	stdout, err := tryCheck(t.Context(), append(withAccount(t, url), "--oms.page-timeout=100ms")...)

	const want = `(flags)  127.0.0.1:PORT

  ok       configuration    flags and environment
  ok       name resolution  127.0.0.1 is an IP address
  ok       connection       127.0.0.1:PORT, in 0.000 s
  warning  tls              plain http: the password is sent in the clear
                            -> use https if OMS, or a proxy in front of it, offers it
  failed   answer           OMS did not answer within 0.1 s; asked 3 times
                            -> find out why OMS is slow, or raise --oms.page-timeout, which is 100ms
  skipped  11 more          authentication, api, first page, clock, pages, omitted, values, tasks,
                            time zone, concurrency, scrape

`
	got := withoutMeasures(regexp.MustCompile(`within 0\.1\d* s`).ReplaceAllString(stdout, "within 0.1 s"))
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if err == nil || err.Error() != "not usable: answer failed" {
		t.Errorf("error %v", err)
	}
}

func TestCheckSaysWhatItIsWaitingFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 26*time.Second)
		defer cancel()
		var said strings.Builder
		w := &watcher{}
		trace := w.trace()
		trace.GetConn("oms.example:8089")
		after := func(d time.Duration, event func()) { time.AfterFunc(d, event) }
		after(6*time.Second, func() { trace.ConnectStart("tcp", "192.0.2.1:8089") })
		after(11*time.Second, func() { trace.TLSHandshakeStart() })
		after(16*time.Second, func() { w.count(&w.asked) })
		after(21*time.Second, func() { w.count(&w.asked); trace.GotFirstResponseByte() })

		w.tell(ctx, &said, "hangzhou")

		const want = `hangzhou: 5 s: looking up oms.example:8089
hangzhou: 10 s: connecting to oms.example:8089
hangzhou: 15 s: waiting for the TLS handshake with oms.example:8089
hangzhou: 20 s: 1 request to OMS, 0 answers so far
hangzhou: 25 s: 2 requests to OMS, 1 answer so far
`
		if said.String() != want {
			t.Errorf("got\n%s\nwant\n%s", said.String(), want)
		}
	})
}

// A check of a silent OMS itself is not silent.
func TestCheckSpeaksWhileItWaits(t *testing.T) {
	t.Parallel()
	sim, url := newOMS(t, omssim.Options{})
	sim.SetFaults(omssim.Fault{Kind: "hang"})
	ctx, cancel := context.WithTimeout(t.Context(), 6*time.Second)
	defer cancel()

	said, _ := tryCheck(ctx, "--oms.url="+url)

	if want := "(flags): 5 s: 1 request to OMS, 0 answers so far\n"; said != want {
		t.Errorf("got %q, want %q", said, want)
	}
}

func TestCheckSuggestsHTTPSWhereAConnectionEndsAtOnce(t *testing.T) {
	t.Parallel()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Read(make([]byte, 1))
			_ = conn.Close() // as a server does that has expected TLS
		}
	}()

	got := checkOne(t, "--oms.url=http://"+listener.Addr().String())

	expectFailure(t, got, "answer", `EOF|reset`, `^try https in --oms\.url: a port for TLS`)
}

func TestCheckNamesSecretsThatCannotBeRead(t *testing.T) {
	t.Parallel()
	_, url := newOMS(t, omssim.Options{})
	gone := filepath.Join(t.TempDir(), "gone")

	got := checkOne(t, "--oms.url="+url, "--oms.username=viewer", "--oms.password-file="+gone)
	expectFailure(t, got, "configuration", `^--oms\.password-file: open `+regexp.QuoteMeta(gone), `nothing was sent to OMS`)

	got = checkOne(t, "--config.file="+writeFile(t, fmt.Sprintf(
		"targets: {hz: {url: %q, http_client: {basic_auth: {username: viewer, password_file: %q}}}}", url, gone)))
	expectFailure(t, got, "configuration", `basic_auth\.password_file: open `+regexp.QuoteMeta(gone), `nothing was sent to OMS`)
}

func TestCheckSaysWhichExclusionLeftOutHowMany(t *testing.T) {
	t.Parallel()
	listed := []string{
		`{"id":"1","name":"a","type":"SYNC","status":"DELETED","labels":[{"id":"l","name":"old"}]}`,
		`{"id":"2","name":"b","type":"SYNC","status":"RELEASED"}`,
		`{"id":"3","name":"test_c","type":"SYNC","status":"RUNNING","labels":[{"id":"l","name":"old"}]}`,
		`{"id":"4","name":"d","type":"SYNC","status":"RUNNING","labels":[{"id":"l","name":"old"}]}`,
		`{"id":"5","name":"e","type":"SYNC","status":"RUNNING"}`,
	}
	_, url := newOMS(t, omssim.Options{Projects: listed})

	got := checkOne(t, "--config.file="+writeFile(t, fmt.Sprintf(
		`targets: {hz: {url: %q, exclude: {statuses: [DELETED, RELEASED], names: "test_.*", tags: [old]}}}`, url)))

	expectFinding(t, stepOf(t, got, "omitted"), passed,
		`^excluded 4 \(2 by exclude\.statuses, 1 by exclude\.names, 1 by exclude\.tags\)$`, "^$")
	if x := got.Tasks.Excluded; x["status"] != 2 || x["name"] != 1 || x["tag"] != 1 {
		t.Errorf("excluded are %v", x)
	}
}

func TestCheckSaysWhatGzipSaves(t *testing.T) {
	t.Parallel()
	_, url := newOMS(t, omssim.Options{Tasks: 60, Gzip: true})

	got := checkOne(t, "--oms.url="+url)

	expectFinding(t, stepOf(t, got, "pages"), passed, `; 0 retries; [\d.]+ kB, with gzip [\d.]+ kB$`, "^$")
	if p := got.Pages; p.WireBytes == 0 || 3*p.WireBytes > p.Bytes {
		t.Errorf("%d bytes of %d on the wire", p.WireBytes, p.Bytes)
	}
}

// Programs read this. Numbers are numbers, and what there is nothing to say about is
// left out.
func TestCheckAsJSON(t *testing.T) {
	t.Parallel()
	_, url := newOMS(t, omssim.Options{Tasks: 3, Scenarios: []string{"following"}})
	stdout, _ := runCheck(t, "--oms.url="+strings.Replace(url, "127.0.0.1", "localhost", 1), "--format=json")

	var document struct {
		Schema  json.Number `json:"schema_version"`
		Version *string     `json:"exporter_version"`
		Time    time.Time   `json:"time"`
		Targets []struct {
			Steps   []map[string]string
			Request map[string]any
		}
	}
	if err := json.Unmarshal([]byte(stdout), &document); err != nil {
		t.Fatal(err)
	}
	if document.Schema != "1" || document.Version == nil || time.Since(document.Time).Abs() > time.Minute {
		t.Errorf("schema %s, version %v, time %s", document.Schema, document.Version, document.Time)
	}
	for _, step := range document.Targets[0].Steps {
		for key, text := range step {
			if text == "" {
				t.Errorf("%s: %s is empty", step["name"], key)
			}
		}
	}
	request := document.Targets[0].Request
	for _, key := range []string{"lookup_seconds", "connect_seconds", "http_status", "seconds", "clock_skew_seconds"} {
		if _, isNumber := request[key].(float64); !isNumber {
			t.Errorf("%s is %v, want a number", key, request[key])
		}
	}
}

func TestCheckKnowsWhatMemoryPrometheusNeeds(t *testing.T) {
	t.Parallel()
	figure := fmt.Sprintf("about %d kB of memory for each series", prometheusBytesPerSeries/1000)
	if !strings.Contains(readFile(t, "../../deploy/docs/sizing.md"), figure) {
		t.Errorf("sizing.md does not say %q", figure)
	}
	_, url := newOMS(t, omssim.Options{Tasks: 3, Scenarios: []string{"following"}})

	got := checkOne(t, "--oms.url="+url)

	if s := got.Scrape; s.PrometheusBytes != s.Series*prometheusBytesPerSeries || s.Series == 0 {
		t.Errorf("%d bytes for %d series", s.PrometheusBytes, s.Series)
	}
	expectFinding(t, stepOf(t, got, "scrape"), passed,
		`; Prometheus needs about [\d.]+ MB of memory for them, with the shipped rules$`, "^$")
}

// TestCheckDoesNotAskForATimeZoneThatHasNoEffect has an OMS that writes local times and
// says that they are in UTC.
func TestCheckDoesNotAskForATimeZoneThatHasNoEffect(t *testing.T) {
	t.Parallel()
	modified := time.Now().UTC().Add(5*time.Hour + 30*time.Minute).Format("2006-01-02T15:04:05Z")
	_, url := newOMS(t, omssim.Options{Projects: []string{fmt.Sprintf(
		`{"id": "np_1", "name": "a", "type": "MIGRATION", "status": "RUNNING", "gmtModified": %q}`, modified)}})

	got := checkOne(t, "--oms.url="+url, "--oms.timezone=Asia/Kolkata")

	expectFinding(t, stepOf(t, got, "time_zone"), warning, `^Asia/Kolkata, but .* \+05:30 off OMS's clock$`,
		`^check the clock of OMS's hosts; .* --oms\.timezone has no effect`)
}

func TestCheckFindsTheTimeZone(t *testing.T) {
	t.Parallel()
	sim, url := newOMS(t, omssim.Options{Tasks: 5, Scenarios: []string{"following", "storm"}})
	check := func(args ...string) finding {
		t.Helper()
		return stepOf(t, checkOne(t, append(args, "--oms.url="+url)...), "time_zone")
	}
	const shanghai = "--oms.timezone=Asia/Shanghai"
	expectFinding(t, check(), passed, `^UTC: running tasks were modified just now$`, "^$")
	expectFinding(t, check(shanghai), warning, `^Asia/Shanghai, but gmtModified of running tasks is -08:00 off OMS's clock$`,
		`^set --oms\.timezone to the zone of OMS's hosts, which is UTC now$`)

	sim.SetFaults(omssim.Fault{Kind: "local_time"})

	expectFinding(t, check(), warning, `^UTC, but gmtModified of running tasks is \+08:00 off OMS's clock$`,
		`^set --oms\.timezone to the zone of OMS's hosts, which is UTC\+08:00 now, such as Asia/Shanghai$`)
	expectFinding(t, check(shanghai), passed, `^Asia/Shanghai: running tasks were modified just now$`, "^$")
	sim.SetFaults()
	expectFinding(t, check("--oms.exclude-status=RUNNING"), passed, `^UTC; the tasks do not show whether that is right$`, "^$")
}

func TestOffsetsAreFoundInTheTimesOfTasks(t *testing.T) {
	const h, m = time.Hour, time.Minute
	for _, c := range []struct {
		name  string
		ahead []time.Duration
		want  string
	}{
		{"no task", nil, "unknown"},
		{"right", []time.Duration{-9 * time.Second}, "0s"},
		{"ahead", []time.Duration{8*h - 9*time.Second}, "8h0m0s"},
		{"behind", []time.Duration{-5*h - 9*time.Second, -5 * h}, "-5h0m0s"},
		{"quarter hours", []time.Duration{5*h + 45*m, 5*h + 45*m + 3*time.Second}, "5h45m0s"},
		{"a single one, not modified for five hours", []time.Duration{-5 * h}, "unknown"},
		{"no quarter hour", []time.Duration{8*h + 5*m, 8*h + 5*m}, "unknown"},
		{"the tasks disagree", []time.Duration{8 * h, 0}, "unknown"},
		{"most of them agree", []time.Duration{8 * h, 8 * h, -70 * m}, "8h0m0s"},
		{"days", []time.Duration{72 * h, 72 * h}, "unknown"},
	} {
		got := "unknown"
		if found := findOffset(c.ahead); found != nil {
			got = found.String()
		}
		if got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

func TestCheckOfOneTargetDoesNotRepeatItself(t *testing.T) {
	t.Parallel()
	sim, url := newOMS(t, omssim.Options{Tasks: 3})
	good, err := tryCheck(t.Context(), "--oms.url="+url)
	if err != nil || !strings.HasSuffix(good, "\n\n(flags)  usable, with 2 warnings\n") {
		t.Errorf("error %v:\n%s", err, good)
	}
	sim.SetFaults(omssim.Fault{Kind: "html_502"})
	bad, err := tryCheck(t.Context(), "--oms.url="+url)
	if err == nil || err.Error() != "not usable: answer failed" || strings.Contains(bad, "usable") {
		t.Errorf("error %v:\n%s", err, bad)
	}
}
