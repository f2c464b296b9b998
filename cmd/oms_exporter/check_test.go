package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"oms_exporter/collector"
	"oms_exporter/omsclient"
	"oms_exporter/omsclient/omssim"
)

const (
	goldenCheck   = "testdata/check.golden"
	checkAccount  = "viewer"
	checkPassword = "wrong horse 9"
)

// runCheck runs a check and returns what it prints and its exit status. It must
// never print the password.
func runCheck(t *testing.T, args ...string) (stdout string, exit int) {
	t.Helper()
	stdout, err := tryCheck(t.Context(), args...)
	said := stdout
	if err != nil {
		exit = exitStatus(err)
		said += err.Error()
	}
	for _, secret := range []string{
		checkPassword, base64.StdEncoding.EncodeToString([]byte(checkAccount + ":" + checkPassword)),
	} {
		if strings.Contains(said, secret) {
			t.Errorf("the password is printed:\n%s", said)
		}
	}
	if err != nil && (strings.Contains(err.Error(), "\n") || exit == 1 && len(err.Error()) > 60) {
		t.Errorf("the error is not a short line: %s", err)
	}
	if exit == 2 && stdout != "" {
		t.Errorf("something is printed before a mistake is found:\n%s", stdout)
	}
	return stdout, exit
}

func tryCheck(ctx context.Context, args ...string) (stdout string, err error) {
	var out, stderr bytes.Buffer
	err = run(ctx, append([]string{"check"}, args...), &out, &stderr)
	return out.String() + stderr.String(), err
}

// withAccount returns the flags for an OMS that asks for the account of these tests.
func withAccount(t *testing.T, url string) []string {
	t.Helper()
	return []string{
		"--oms.url=" + url, "--oms.username=" + checkAccount,
		"--oms.password-file=" + writeFile(t, checkPassword),
	}
}

// checkJSON runs a check and decodes its JSON.
func checkJSON(t *testing.T, args ...string) (*checkReport, int) {
	t.Helper()
	stdout, exit := runCheck(t, append(args, "--format=json")...)
	report := &checkReport{}
	decoder := json.NewDecoder(strings.NewReader(stdout))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(report); err != nil {
		t.Fatalf("%v:\n%s", err, stdout)
	}
	if report.OK != (exit == 0) {
		t.Errorf("exit status %d, and ok is %v", exit, report.OK)
	}
	return report, exit
}

// checkOne is checkJSON for a single OMS.
func checkOne(t *testing.T, args ...string) *targetReport {
	t.Helper()
	report, _ := checkJSON(t, args...)
	if len(report.Targets) != 1 {
		t.Fatalf("%d targets, want 1", len(report.Targets))
	}
	return report.Targets[0]
}

// stepOf returns what a step found.
func stepOf(t *testing.T, r *targetReport, name string) finding {
	t.Helper()
	for _, step := range r.Steps {
		if step.Name == name {
			return step
		}
	}
	t.Fatalf("there is no step %s", name)
	return finding{}
}

// expectFinding checks the outcome of a step, and its words.
func expectFinding(t *testing.T, got finding, want result, detail, advice string) {
	t.Helper()
	if got.Result != want {
		t.Errorf("%s is %s (%s), want %s", got.Name, got.Result, got.Detail, want)
	}
	if !regexp.MustCompile(detail).MatchString(got.Detail) {
		t.Errorf("%s finds %q, want %s", got.Name, got.Detail, detail)
	}
	if !regexp.MustCompile(advice).MatchString(got.Advice) {
		t.Errorf("%s advises %q, want %s", got.Name, got.Advice, advice)
	}
	if (got.Advice == "") == (want == warning || want == failed) {
		t.Errorf("%s is %s with the advice %q", got.Name, got.Result, got.Advice)
	}
}

// expectFailure checks that this step failed, that none did before it, and that all
// after it were skipped.
func expectFailure(t *testing.T, got *targetReport, name, detail, advice string) {
	t.Helper()
	expectFinding(t, stepOf(t, got, name), failed, detail, advice)
	past := false
	for _, step := range got.Steps {
		switch {
		case step.Name == name:
			past = true
		case past && !reflect.DeepEqual(step, finding{Name: step.Name, Result: skipped}):
			t.Errorf("%s comes after %s and is not skipped: %+v", step.Name, name, step)
		case !past && step.Result != passed && step.Result != warning:
			t.Errorf("%s comes before %s and is %s: %s", step.Name, name, step.Result, step.Detail)
		}
	}
	if got.OK {
		t.Error("ok is true")
	}
	if got.Scrape != nil && name != "scrape" && name != "omitted" {
		t.Errorf("there is a scrape: %+v", got.Scrape)
	}
}

func TestCheckPrintsWhatItFinds(t *testing.T) {
	t.Parallel()
	_, url := newOMS(t, omssim.Options{
		Projects: projects(t), Username: checkAccount, Password: checkPassword,
	})

	stdout, exit := runCheck(t, append(withAccount(t, url), "--oms.page-size=5")...)

	if exit != 0 {
		t.Errorf("exit status %d, want 0", exit)
	}
	compareGolden(t, goldenCheck, withoutMeasures(stdout))
	for line := range strings.SplitSeq(stdout, "\n") {
		if n := len([]rune(line)); n > columns {
			t.Errorf("%d columns: %s", n, line)
		}
	}
}

var measures = regexp.MustCompile(`OMS's clock .*|(http://)?127\.0\.0\.1:\d+|\d+\.\d{3} s|[\d.]+ (B|kB)\b|"[-0-9a-f]+"`)

// withoutMeasures replaces what differs from run to run.
func withoutMeasures(output string) string {
	return measures.ReplaceAllStringFunc(output, func(found string) string {
		switch {
		case strings.HasPrefix(found, "OMS"):
			return "OMS's clock"
		case strings.Contains(found, "127.0.0.1"):
			return "127.0.0.1:PORT"
		case strings.HasSuffix(found, " s"):
			return "0.000 s"
		case strings.HasSuffix(found, "B"):
			return "0 B"
		}
		return `"ID"`
	})
}

func TestCheckSaysTheSameAsJSON(t *testing.T) {
	t.Parallel()
	_, url := newOMS(t, omssim.Options{
		Projects: projects(t), Username: checkAccount, Password: checkPassword,
	})
	args := append(withAccount(t, url), "--oms.page-size=5")
	printed, _ := runCheck(t, args...)

	got := checkOne(t, args...)

	flat := strings.Join(strings.Fields(withoutMeasures(printed)), " ")
	for _, step := range got.Steps {
		if !strings.Contains(flat, strings.Join(strings.Fields(withoutMeasures(
			fmt.Sprintf("%s %s %s", step.Result, title(step.Name), step.Detail))), " ")) {
			t.Errorf("%s: %q is not in the text", step.Name, step.Detail)
		}
	}
	total := len(projects(t))
	sum := 0
	for _, group := range got.Tasks.Groups {
		sum += group.Tasks
	}
	if got.Tasks.Total != total || sum != total {
		t.Errorf("%d tasks, and %d by type and status, want %d", got.Tasks.Total, sum, total)
	}
	pages := *got.Pages
	if p := pages.PageSeconds; !(0 < p.Min && p.Min <= p.Median && p.Median <= p.Max && p.Max <= pages.Seconds) {
		t.Errorf("times of pages are %+v, of %v s in all", p, pages.Seconds)
	}
	if want := (total + 4) / 5; pages.Pages != want || pages.Rows != total || pages.Listings != 1 ||
		pages.Retries != 0 || pages.Inconsistent {
		t.Errorf("pages are %+v, want %d pages with %d rows", pages, want, total)
	}
	s := got.Scrape
	if !s.Fits || s.Budget != 24.5 || s.Concurrency != 4 || s.Recommended != 0 || len(s.Estimates) != 5 {
		t.Errorf("the scrape is %+v", s)
	}
}

func TestCheckReadsTheListingOnce(t *testing.T) {
	t.Parallel()
	sim, url := newOMS(t, omssim.Options{Tasks: 9, Seed: 1, Scenarios: []string{"following"}})

	checkOne(t, "--oms.url="+url, "--oms.page-size=4")

	var numbers []int
	for _, r := range sim.Requests() {
		numbers = append(numbers, r.PageNumber)
	}
	slices.Sort(numbers)
	if want := []int{1, 2, 3}; !slices.Equal(numbers, want) {
		t.Errorf("pages %v were asked for, want %v", numbers, want)
	}
}

// TestCheckKnowsWhatAScrapeHas compares with the exporter itself.
func TestCheckKnowsWhatAScrapeHas(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{nil, {"--no-collector.step"}} {
		_, url := newOMS(t, omssim.Options{Projects: projects(t)})
		args = append(args, "--oms.url="+url)
		p := start(t, append(args, "--web.disable-exporter-metrics")...)
		exposed := get(t, p.url+"/metrics").body

		got := checkOne(t, args...).Scrape

		series := len(regexp.MustCompile(`(?m)^oms_`).FindAllString(exposed, -1))
		if got.Series != series {
			t.Errorf("%d series, want %d", got.Series, series)
		}
		// A duration and a time may be a few digits longer.
		if difference := got.Bytes - len(exposed); difference < -40 || difference > 40 {
			t.Errorf("%d bytes, want %d", got.Bytes, len(exposed))
		}
		if got.GzipBytes < 500 || got.GzipBytes > got.Bytes/2 {
			t.Errorf("%d bytes compressed, of %d", got.GzipBytes, got.Bytes)
		}
	}
}

// A trouble is an OMS that cannot be used, and what a check has to say about it.
type trouble struct {
	name           string
	args           []string
	wanted         string // the password that OMS expects, if not the right one
	fault          string
	step           string
	detail, advice string // regular expressions
}

func TestCheckSaysWhatFailedAndWhatToDo(t *testing.T) {
	t.Parallel()
	for _, c := range []trouble{
		{name: "credentials", wanted: "another", step: "authentication", detail: `^HTTP status 401 Unauthorized$`, advice: `name and password.*--oms\.username and --oms\.password-file`},
		{name: "forbidden", fault: "forbidden", step: "authentication", detail: `HTTP status 403`, advice: `a role that may view`},
		{name: "success false", fault: "api_error", step: "api", detail: `code "GHANA-OPERAT000001", requestId ".+", message "\[GHANA-OPERAT000001\]: CM 服务可能不可用，请稍后重试"`, advice: `may call the API.*requestId`},
		{name: "HTML", fault: "html_502", step: "answer", detail: `^HTTP status 502 Bad Gateway$`, advice: `OMS is running`},
		{name: "redirect", fault: "redirect", step: "answer", detail: `302 Found`, advice: `redirects to.* as --oms\.url`},
		{name: "no JSON", fault: "empty_body", step: "answer", detail: `the document|EOF|ends`, advice: `V4\.1\.0 or later`},
		{name: "reset", fault: "reset", step: "answer", detail: `reset|EOF`, advice: `^try https in --oms\.url`},
		{name: "hang", fault: "hang", args: []string{"--oms.page-timeout=200ms"}, step: "answer", detail: `^OMS did not answer within \d\S* s; asked 3 times$`, advice: `raise --oms\.page-timeout, which is 200ms`},
		{name: "hang without a limit", fault: "hang", args: []string{"--oms.page-timeout=0", "--timeout=50ms", "--scrape.timeout=50ms"}, step: "answer", detail: `^OMS did not answer within \d\S* s; asked once$`, advice: `the check waited 500ms`},
		{name: "stall", fault: "stall", args: []string{"--oms.page-timeout=3s"}, step: "answer", detail: `^OMS began to answer, with HTTP status 200, and did not finish within [3-9]\S* s; asked 3 times$`, advice: `--oms\.page-timeout`},
		{name: "later page", fault: "truncated@3", step: "pages", detail: `^page 3: `, advice: `OMS has answered before`},
		{name: "later page reset", fault: "reset@2", step: "pages", detail: `^page 2: `, advice: `OMS has answered before`},
		{name: "later page of HTML", fault: "html_502@2", step: "pages", detail: `^page 2: HTTP status 502`, advice: `OMS has answered before`},
		{name: "later page without a body", fault: "empty_body@2", step: "pages", detail: `^page 2: `, advice: `OMS has answered before`},
		{name: "later page refused", fault: "unauthorized@2", step: "pages", detail: `^page 2: HTTP status 401`, advice: `password`},
		{name: "endless", fault: "repeat_page", step: "pages", detail: `repeats`, advice: `report it`},
		{name: "too many tasks", args: []string{"--oms.max-tasks=8"}, step: "pages", detail: `OMS counts 9 projects; the limit is 8$`, advice: `raise --oms\.max-tasks`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			sim, url := newOMS(t, omssim.Options{
				Tasks: 9, Seed: 1, Scenarios: []string{"following"},
				Username: checkAccount, Password: cmp.Or(c.wanted, checkPassword),
			})
			if c.fault != "" {
				fault, err := omssim.ParseFault(c.fault)
				if err != nil {
					t.Fatal(err)
				}
				sim.SetFaults(fault)
			}

			got := checkOne(t, append(append(withAccount(t, url), "--oms.page-size=4"), c.args...)...)

			expectFailure(t, got, c.step, c.detail, c.advice)
		})
	}
}

func TestCheckIsJSONEvenIfItCannotBegin(t *testing.T) {
	t.Parallel()
	file := writeFile(t, oneTarget)
	for _, args := range [][]string{
		{},
		{"--oms.url=oms.example"},
		{"--config.file=" + file, "--target=b"},
		{"--config.file=" + file + ".missing"},
		{"--oms.url=http://127.0.0.1:1", "--timeout=0s"},
	} {
		var stdout bytes.Buffer

		err := run(t.Context(), append([]string{"check", "--format=json"}, args...), &stdout, io.Discard)

		if err == nil || exitStatus(err) != 2 {
			t.Errorf("%q: %v, want exit status 2", args, err)
			continue
		}
		var got checkReport
		if err := json.Unmarshal(stdout.Bytes(), &got); err != nil {
			t.Errorf("%q: %v:\n%s", args, err, &stdout)
		}
		if got.OK || got.Error != err.Error() || got.Targets == nil {
			t.Errorf("%q: %+v, want the error %q", args, got, err)
		}
	}
}

func TestCheckTellsOMSFromOthers(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name           string
		status         int
		kind           string
		detail, advice string
	}{
		{"no such path", 404, "text/plain", `^HTTP status 404 Not Found$`, `--oms\.url is that of the OMS console`},
		{"TLS wanted", 400, "text/plain", `^HTTP status 400 Bad Request$`, `try https in --oms\.url`},
		{"limit of requests", 429, "text/plain", `^HTTP status 429 Too Many Requests$`, `lower --oms\.concurrency`},
		{"a page", 200, "text/html", `not JSON but "text/html"`, `V4\.1\.0 or later`},
		{"nothing", 200, "application/json", `.`, `V4\.1\.0 or later`},
	} {
		url := serveOMS(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", c.kind)
			w.WriteHeader(c.status)
		}))
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			expectFailure(t, checkOne(t, "--oms.url="+url), "answer", c.detail, c.advice)
		})
	}
}

func TestCheckSaysThatAnAccountIsMissing(t *testing.T) {
	t.Parallel()
	_, url := newOMS(t, omssim.Options{Username: checkAccount, Password: checkPassword})

	expectFailure(t, checkOne(t, "--oms.url="+url), "authentication",
		`401`, `^OMS asks for an account: give --oms\.username and --oms\.password-file$`)
}

func TestCheckSaysWhyThereIsNoConnection(t *testing.T) {
	t.Parallel()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	refusing := listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}

	got := checkOne(t, withAccount(t, "http://"+refusing)...)
	expectFailure(t, got, "connection", "no connection to "+refusing+".*refused", `port in --oms\.url`)

	got = checkOne(t, append(withAccount(t, "http://oms.invalid"), "--oms.page-timeout=2s")...)
	expectFailure(t, got, "name_resolution", `^oms\.invalid: `, `host in --oms\.url.*name servers`)
}

func TestCheckResolvesNames(t *testing.T) {
	t.Parallel()
	_, url := newOMS(t, omssim.Options{})

	got := checkOne(t, "--oms.url="+strings.Replace(url, "127.0.0.1", "localhost", 1))

	expectFinding(t, stepOf(t, got, "name_resolution"), passed,
		`^localhost resolves to (::1, )?127\.0\.0\.1(, ::1)?, in \d+\.\d{3} s$`, "^$")
	expectFinding(t, stepOf(t, got, "connection"), passed, `^127\.0\.0\.1:\d+, in \d+\.\d{3} s$`, "^$")
}

// newTLSOMS serves a simulated OMS with a certificate that is valid for a while.
func newTLSOMS(t *testing.T, pki *authority, valid time.Duration) (url string) {
	t.Helper()
	server := httptest.NewUnstartedServer(simulated(t, projects(t)))
	server.TLS = &tls.Config{Certificates: []tls.Certificate{
		*pki.issue(time.Now().Add(valid), "oms.example", "127.0.0.1"),
	}}
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // handshakes that fail on purpose
	server.StartTLS()
	t.Cleanup(server.Close)
	return server.URL
}

func TestCheckExplainsCertificates(t *testing.T) {
	t.Parallel()
	const year = 365 * 24 * time.Hour
	pki := newAuthority()
	trusted := "--oms.ca-file=" + writeFile(t, string(pki.pem()))
	lasting, ending, ended := newTLSOMS(t, pki, year), newTLSOMS(t, pki, 29*24*time.Hour), newTLSOMS(t, pki, -time.Hour)
	plain := "https" + strings.TrimPrefix(serveOMS(t, http.NotFoundHandler()), "http")
	const described = `for oms\.example, 127\.0\.0\.1, issued by authority of the tests, expire[sd] on \d{4}-\d\d-\d\d`
	for _, c := range []struct {
		name           string
		args           []string
		result         result
		detail, advice string
	}{
		{"good", []string{lasting, trusted}, passed, "^TLS 1.3, " + described + "$", "^$"},
		{"untrusted", []string{lasting}, failed, "unknown authority; the certificate is " + described, `PEM file as --oms\.ca-file`},
		{"wrong name", []string{strings.Replace(lasting, "127.0.0.1", "localhost", 1), trusted}, failed, "not valid for localhost; the certificate is " + described, `use a name that the certificate covers in --oms\.url`},
		{"expired", []string{ended, trusted}, failed, "has expired.*" + described, "renew"},
		{"expiring", []string{ending, trusted}, warning, described + ", which is soon", "renew"},
		{"not verified", []string{ended, "--oms.insecure-skip-verify"}, warning, described + "; not verified", `--oms\.ca-file`},
		{"plain", []string{plain}, failed, "the server speaks HTTP, not HTTPS", "use http"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got := checkOne(t, append(withAccount(t, c.args[0]), c.args[1:]...)...)

			expectFinding(t, stepOf(t, got, "tls"), c.result, c.detail, c.advice)
			if c.result == failed {
				expectFailure(t, got, "tls", c.detail, c.advice)
			} else if !got.OK {
				t.Errorf("not usable: %+v", got.Steps)
			}
		})
	}
}

func TestCheckGoesThroughTheProxy(t *testing.T) {
	t.Parallel()
	sim, err := omssim.New(omssim.Options{Tasks: 3})
	if err != nil {
		t.Fatal(err)
	}
	proxy := serveOMS(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodConnect {
			http.Error(w, "not there", http.StatusForbidden)
			return
		}
		sim.ServeHTTP(w, r)
	}))
	withProxy := func(console string) string {
		return "--config.file=" + writeFile(t, "targets:\n  far:\n    url: "+console+
			"\n    http_client: {proxy_url: '"+strings.Replace(proxy, "//", "//me:"+strings.Fields(checkPassword)[0]+"@", 1)+"'}\n")
	}

	got := checkOne(t, withProxy("http://oms.example:8089"))
	expectFinding(t, stepOf(t, got, "name_resolution"), passed, `^the proxy 127\.0\.0\.1 is an IP address$`, "^$")
	expectFinding(t, stepOf(t, got, "connection"), passed, `^127\.0\.0\.1:\d+ of the proxy 127\.0\.0\.1:\d+, in `, "^$")
	if !got.OK {
		t.Errorf("not usable: %+v", got.Steps)
	}

	got = checkOne(t, withProxy("https://oms.example:8089"))
	expectFailure(t, got, "connection", `^the proxy 127\.0\.0\.1:\d+ does not connect to OMS: the proxy answers 403 Forbidden$`, `have the proxy allow`)
}

func TestCheckWarns(t *testing.T) {
	t.Parallel()
	following := omssim.Options{Tasks: 9, Seed: 1, Scenarios: []string{"following"}}
	late := following
	late.Now = func() time.Time { return time.Now().Add(-time.Hour) }
	for _, c := range []struct {
		name           string
		options        omssim.Options
		args           []string
		fault          omssim.FaultKind
		step           string
		detail, advice string
	}{
		{"no account", following, nil, "", "authentication", `no account`, `--oms\.username and --oms\.password-file`},
		{"unknown status", following, []string{"--oms.exclude-status=DELETED,GONE"}, "", "configuration", `--oms\.exclude-status: unknown status "GONE", perhaps new in OMS$`, `correct the statuses`},
		{"clock", late, nil, "", "clock", `^OMS's clock is (1h0m|59m\d+)\ds behind this one$`, `NTP`},
		{"no task", omssim.Options{}, nil, "", "tasks", `no task`, `ROOT-VIEWER.*ADMIN-VIEWER.*USER`},
		{"inconsistent", following, nil, "deleted_task", "pages", `listed twice, because tasks and totalCount disagreed, and still do; OMS counts \d+ tasks and lists \d+$|: 1 may be missing$`, `check again`},
		{"duplicate", following, nil, "moving_task", "omitted", `^duplicate 2$`, `check again`},
		{"invalid", following, nil, "odd_task", "omitted", `^invalid 9$`, `report it`},
		{"values", following, nil, "unknown_values", "values", `^undocumented: importance 3, status 3, steps\.name 3, steps\.status 3, type 3; unreadable: gmtModified 3, incrTimestampCheckpoint 3$`, `newer`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			sim, url := newOMS(t, c.options)
			if c.fault != "" {
				sim.SetFaults(omssim.Fault{Kind: c.fault})
			}

			got := checkOne(t, append(c.args, "--oms.url="+url, "--oms.page-size=4")...)

			expectFinding(t, stepOf(t, got, c.step), warning, c.detail, c.advice)
			if !got.OK {
				t.Error("a warning makes it unusable")
			}
		})
	}
}

func TestCheckCountsRetries(t *testing.T) {
	t.Parallel()
	sim, url := newOMS(t, omssim.Options{Tasks: 9, Seed: 1, Scenarios: []string{"following"}})
	sim.SetFaults(omssim.Fault{Kind: "unavailable", Page: 2, Times: 1})

	got := checkOne(t, "--oms.url="+url, "--oms.page-size=4")

	expectFinding(t, stepOf(t, got, "pages"), passed, `^3 pages with 9 tasks in .*; 1 retry; [\d.]+ kB, not compressed$`, "^$")
	if got.Pages.Retries != 1 || got.Pages.Pages != 3 {
		t.Errorf("pages are %+v", got.Pages)
	}
}

// The OMS needs half a second.
func TestCheckFailsIfTheListingDoesNotFit(t *testing.T) {
	t.Parallel()
	_, url := newOMS(t, omssim.Options{
		Tasks: 9, Seed: 1, Scenarios: []string{"following"}, Latency: 50 * time.Millisecond,
	})

	got := checkOne(t, "--oms.url="+url, "--oms.page-size=1", "--oms.concurrency=1",
		"--timeout=200ms", "--scrape.timeout-offset=100ms")

	expectFailure(t, got, "scrape", `^too slow: the listing took \d+\.\d{3} s, but has only 0\.100 s; \d+ series`,
		`set --oms\.page-size to 150, or raise Prometheus' scrape_timeout to \d+ s$`)
	if got.Scrape.Fits {
		t.Error("it fits")
	}
}

// The listing has nine pages, which take a second each.
func TestCheckAdvisesHowToMakeAListingFit(t *testing.T) {
	for _, c := range []struct {
		name        string
		config      targetConfig
		took        time.Duration
		limit       time.Duration
		result      result
		recommended int
		advice      string
	}{
		{"fits", targetConfig{Concurrency: 2, PageSize: 150}, 5 * time.Second, 30 * time.Second, passed, 0, `^$`},
		{"close below", targetConfig{Concurrency: 2, PageSize: 150}, 7599 * time.Millisecond, 30 * time.Second, passed, 0, `^$`},
		{"tight", targetConfig{Concurrency: 1, PageSize: 150}, 7601 * time.Millisecond, 30 * time.Second, warning, 2, `^set concurrency to 2, or raise Prometheus' scrape_timeout to 11 s$`},
		{"just in time", targetConfig{Concurrency: 1, PageSize: 150}, 9500 * time.Millisecond, 30 * time.Second, warning, 2, `^set concurrency to 2, or raise Prometheus' scrape_timeout to 13 s$`},
		{"too slow", targetConfig{Concurrency: 4, PageSize: 100}, 12 * time.Second, 30 * time.Second, failed, 8, `^set concurrency to 8, or set page_size to 150, or raise Prometheus' scrape_timeout to 16 s$`},
		{"no way", targetConfig{Concurrency: 16, PageSize: 150}, 12 * time.Second, 13 * time.Second, failed, 0, `^raise Prometheus' scrape_timeout to 16 s and timeout to 15 s$`},
		{"limited", targetConfig{Concurrency: 16, PageSize: 150}, 4 * time.Second, 3 * time.Second, failed, 0, `^raise timeout to 5 s$`},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := &evidence{
				target: &target{name: "hangzhou", config: &c.config}, budget: 9500 * time.Millisecond,
				offset: 500 * time.Millisecond, limit: c.limit,
				fetch: collector.Fetch{Duration: c.took},
			}
			for page := 1; page <= 9; page++ {
				e.fetch.Report.Requests = append(e.fetch.Report.Requests,
					omsclient.Request{Page: page, Attempt: 1, Duration: time.Second})
			}
			e.Pages = measurePages(&e.fetch, map[string]int{})
			var err error
			if e.Scrape, err = e.measureScrape(nil); err != nil {
				t.Fatal(err)
			}

			got := findScrape(e)

			expectFinding(t, got, c.result, "the listing took", c.advice)
			if e.Scrape.Recommended != c.recommended || e.Scrape.Fits != (c.result != failed) {
				t.Errorf("the scrape is %+v, want %d recommended", e.Scrape, c.recommended)
			}
			estimates := map[int]float64{}
			for _, estimate := range e.Scrape.Estimates {
				estimates[estimate.Concurrency] = estimate.Seconds
			}
			if want := map[int]float64{1: 9, 2: 5, 4: 3, 8: 2, 16: 2}; !maps.Equal(estimates, want) {
				t.Errorf("estimates are %v, want %v", estimates, want)
			}
		})
	}
}

func TestCheckMeasuresTheFirstOfTwoListings(t *testing.T) {
	begin := time.Now()
	e := &evidence{
		target: &target{config: &targetConfig{Concurrency: 4, PageSize: 150}},
		budget: 3 * time.Second, limit: time.Minute,
		fetch: collector.Fetch{Start: begin, Duration: 5 * time.Second, Report: omsclient.Report{
			Requests: []omsclient.Request{
				{Page: 1, Attempt: 1, Start: begin, Duration: time.Second, Err: &omsclient.Error{}},
				{Page: 1, Attempt: 2, Start: begin, Duration: time.Second},
				{Page: 2, Attempt: 1, Start: begin, Duration: 3 * time.Second},
				{Page: 1, Attempt: 1, Start: begin.Add(2 * time.Second), Duration: 9 * time.Second},
			},
		}},
	}
	e.Pages = measurePages(&e.fetch, nil)
	s, err := e.measureScrape(nil)
	if err != nil {
		t.Fatal(err)
	}
	if s.Seconds != 2 || !s.Fits {
		t.Errorf("the scrape is %+v, want 2 s", s)
	}
	if want := (spread{1, 3, 3}); e.Pages.Pages != 2 || e.Pages.Listings != 2 ||
		e.Pages.Retries != 1 || e.Pages.PageSeconds != want {
		t.Errorf("the pages are %+v, want 2 of %+v", e.Pages, want)
	}
}

func TestCheckTellsUnknownValuesFromUnreadableOnes(t *testing.T) {
	fetch := &collector.Fetch{Report: omsclient.Report{
		Requests: []omsclient.Request{{Page: 1, Attempt: 1}},
		Dropped:  map[string]int{"status": 1, "gmtStart": 2},
	}}

	got := measurePages(fetch, map[string]int{"status": 4, "gmtStart": 2})

	if want := map[string]int{"status": 3}; !maps.Equal(got.Unknown, want) {
		t.Errorf("unknown are %v, want %v", got.Unknown, want)
	}
	if want := map[string]int{"status": 1, "gmtStart": 2}; !maps.Equal(got.Unreadable, want) {
		t.Errorf("unreadable are %v, want %v", got.Unreadable, want)
	}
}

// The first attempt fails; the second tries two addresses at once.
func TestCheckWatchesTheConnectionThatIsUsed(t *testing.T) {
	watched := &watcher{}
	trace := watched.trace()
	found := httptrace.DNSDoneInfo{Addrs: []net.IPAddr{{IP: net.IPv4(192, 0, 2, 1)}}}
	trace.GetConn("oms.example:80")
	trace.DNSStart(httptrace.DNSStartInfo{})
	trace.DNSDone(found)
	trace.ConnectStart("tcp", "192.0.2.1:80")
	trace.ConnectDone("tcp", "192.0.2.1:80", io.EOF)
	trace.GetConn("oms.example:80")
	trace.DNSStart(httptrace.DNSStartInfo{})
	trace.DNSDone(found)
	trace.ConnectStart("tcp", "192.0.2.2:80")
	second := watched.connection()
	if second.dial.err != nil || second.dial.ok() {
		t.Errorf("the first attempt is remembered: %+v", second)
	}
	trace.ConnectStart("tcp", "192.0.2.3:80")
	trace.ConnectDone("tcp", "192.0.2.3:80", nil)
	trace.ConnectDone("tcp", "192.0.2.2:80", context.Canceled)
	trace.GetConn("oms.example:80") // gives up waiting and asks again
	trace.GotConn(httptrace.GotConnInfo{})
	trace.ConnectStart("tcp", "192.0.2.4:80")

	got := watched.connection()

	if !got.dial.ok() || got.remote != "192.0.2.3:80" || !got.used {
		t.Errorf("the connection is %+v, want one to 192.0.2.3:80", got)
	}
	if want := []string{"192.0.2.1"}; !slices.Equal(got.addresses, want) {
		t.Errorf("the addresses are %q, want %q", got.addresses, want)
	}
	if !got.dial.began.Equal(second.dial.began) {
		t.Error("the time of connecting is not counted from the first address on")
	}
}

func TestCheckTakesThePasswordFromTheEnvironment(t *testing.T) {
	_, url := newOMS(t, omssim.Options{
		Tasks: 1, Username: checkAccount, Password: checkPassword,
	})
	t.Setenv("OMS_URL", url)
	t.Setenv("OMS_USERNAME", checkAccount)
	t.Setenv("OMS_PASSWORD", checkPassword)

	expectFinding(t, stepOf(t, checkOne(t), "authentication"), passed, "^account viewer$", "^$")
}

// severalTargets writes a configuration of two healthy targets and a broken one.
func severalTargets(t *testing.T) string {
	t.Helper()
	_, up := newOMS(t, omssim.Options{
		Tasks: 9, Seed: 1, Username: checkAccount, Password: checkPassword,
	})
	down, url := newOMS(t, omssim.Options{})
	down.SetFaults(omssim.Fault{Kind: "html_502"})
	auth := "http_client: {basic_auth: {username: " + checkAccount + ", password: " + checkPassword + "}}"
	return writeFile(t, fmt.Sprintf(`
targets:
  hangzhou: {url: %s, %s}
  beijing: {url: %s}
  sofia: {url: %s, %s, timeout: 2s}
`, up, auth, url, up, auth))
}

func TestCheckTakesEveryTarget(t *testing.T) {
	t.Parallel()
	file := severalTargets(t)

	report, exit := checkJSON(t, "--config.file="+file)

	if exit != 1 || len(report.Targets) != 3 {
		t.Fatalf("exit status %d and %d targets, want 1 and 3", exit, len(report.Targets))
	}
	expectFailure(t, report.Targets[0], "answer", "502", "OMS is running")
	for i, name := range []string{"beijing", "hangzhou", "sofia"} {
		got := report.Targets[i]
		if got.Name != name || got.OK != (name != "beijing") {
			t.Errorf("target %d is %s, usable: %v; want %s", i, got.Name, got.OK, name)
		}
		expectFinding(t, stepOf(t, got, "configuration"), passed, regexp.QuoteMeta(file)+", 3 targets$", "^$")
	}
	if a, b := report.Targets[1].Scrape.Budget, report.Targets[2].Scrape.Budget; a != 24.5 || b != 2 {
		t.Errorf("the time for a listing is %v and %v s, want 24.5 and the target's own 2", a, b)
	}

	stdout, err := tryCheck(t.Context(), "--config.file="+file)
	verdicts := regexp.MustCompile(`
beijing   not usable: answer failed
hangzhou  usable, with 1 warning
sofia     usable, with 1 warning
$`)
	if !verdicts.MatchString(stdout) {
		t.Errorf("no verdicts at the end:\n%s", stdout)
	}
	if err == nil || err.Error() != "1 of 3 targets cannot be used" {
		t.Errorf("the error is %v", err)
	}
}

func TestCheckTakesOnlyTheTargetsItIsAskedFor(t *testing.T) {
	t.Parallel()
	file := severalTargets(t)

	report, exit := checkJSON(t, "--config.file="+file, "--target=sofia", "--target=hangzhou")

	var names []string
	for _, target := range report.Targets {
		names = append(names, target.Name)
	}
	if want := []string{"hangzhou", "sofia"}; exit != 0 || !slices.Equal(names, want) {
		t.Errorf("exit status %d and targets %v, want 0 and %v", exit, names, want)
	}
	expectFinding(t, stepOf(t, report.Targets[0], "configuration"), passed, "3 targets", "^$")
}

func TestCheckRefusesBadFlags(t *testing.T) {
	t.Parallel()
	file := "--config.file=" + severalTargets(t)
	for _, c := range []struct {
		args []string
		want string
	}{
		{nil, `--oms\.url`},
		{[]string{file, "--target=berlin"}, `^--target=berlin: not in .*, which has beijing, hangzhou, sofia$`},
		{[]string{"--oms.url=http://127.0.0.1", "--target=berlin"}, `--config\.file`},
		{[]string{file, "--timeout=0s"}, `--timeout=0s: must be more than 0`},
		{[]string{file, "--format=yaml"}, `--format`},
		{[]string{"--oms.url=http://me:secret@127.0.0.1"}, `must not hold a user name or password`},
		{[]string{"--config.file=" + writeFile(t, "targets: {x: {url: ftp://y}}")}, `:1: targets\.x\.url: `},
	} {
		stdout, err := tryCheck(t.Context(), c.args...)
		if err == nil || exitStatus(err) != 2 || stdout != "" {
			t.Errorf("check %q: error %v and output %q, want exit status 2 and none", c.args, err, stdout)
		} else if !regexp.MustCompile(c.want).MatchString(err.Error()) || strings.Contains(err.Error(), "secret") {
			t.Errorf("check %q: %v, want %s", c.args, err, c.want)
		}
	}
}

func TestCheckThatIsInterruptedIsNoSuccess(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	url := serveOMS(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // else the server does not see that the client is gone
		cancel()
		<-r.Context().Done()
	}))

	stdout, err := tryCheck(ctx, "--oms.url="+url)

	if err == nil || err.Error() != "interrupted" || stdout != "" {
		t.Errorf("error %v and output %q, want interrupted and none", err, stdout)
	}
}

func TestCheckPrintsNoControlCharacters(t *testing.T) {
	t.Parallel()
	url := serveOMS(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"success":true,"totalCount":1,"data":[{"id":"a","type":"\u001b[31m","status":"\u202e"}]}`)
	}))

	stdout, exit := runCheck(t, "--oms.url="+url)

	if i := strings.IndexAny(stdout, "\x1b\u202e"); i >= 0 || exit != 0 {
		t.Errorf("exit status %d, with control characters:\n%q", exit, stdout)
	}
	if !strings.Contains(stdout, "?[31m: ? 1") {
		t.Errorf("the task is not counted:\n%s", stdout)
	}
}

// Programs read these names.
func TestCheckStepsAreStable(t *testing.T) {
	want := []string{
		"configuration", "name_resolution", "connection", "tls", "answer", "authentication", "api",
		"first_page", "clock", "pages", "omitted", "values", "tasks", "time_zone", "concurrency", "scrape",
	}
	var got []string
	for _, step := range steps {
		got = append(got, step.name)
		if len(step.name) > nameWidth {
			t.Errorf("%s does not fit its column", step.name)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("the steps are %q, want %q", got, want)
	}
}

func TestCheckRecordsWhatCanBeReplayed(t *testing.T) {
	t.Parallel()
	_, url := newOMS(t, omssim.Options{
		Tasks: 7, Scenarios: []string{"following"}, Username: checkAccount, Password: checkPassword,
	})
	for _, c := range []struct {
		flag   string
		result result
		names  bool
	}{{"--redact", passed, false}, {"--no-redact", warning, true}} {
		dir := filepath.Join(t.TempDir(), "recording")

		report := checkOne(t, append(withAccount(t, url), "--oms.page-size=3", "--record="+dir, c.flag)...)

		expectFinding(t, stepOf(t, report, "recording"), c.result, "3 pages in "+dir, "")
		replayed := start(t, "simulate", "--replay="+dir)
		again := checkOne(t, "--oms.url="+replayed.url, "--oms.page-size=3")
		if again.Tasks == nil || again.Tasks.Total != report.Tasks.Total || again.Pages.Pages != 3 {
			t.Errorf("replayed: %+v of %+v", again.Tasks, report.Tasks)
		}
		if page := readFile(t, filepath.Join(dir, "page-0001.json")); strings.Contains(page, "sim:following") != c.names {
			t.Errorf("%s: names of tasks are there: %t", c.flag, !c.names)
		}
		if _, exit := runCheck(t, append(withAccount(t, url), "--record="+dir)...); exit != 2 {
			t.Errorf("recording over a recording: exit status %d", exit)
		}
	}
}
