package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"oms_exporter/omsclient"
	"oms_exporter/omsclient/omssim"
)

// eventually scrapes until an exposition has some text, and returns it.
func eventually(t *testing.T, url, text string) string {
	t.Helper()
	var got string
	for range 100 {
		if got = get(t, url).body; strings.Contains(got, text) {
			return got
		}
		time.Sleep(20 * time.Millisecond) //nolint:forbidigo // the exporter asks in the background
	}
	t.Fatalf("no %s in\n%s", text, got)
	return ""
}

func TestVerificationsAreAskedAboutOnlyIfThatIsOn(t *testing.T) {
	oms, url := newOMS(t, omssim.Options{Tasks: 3, Scenarios: []string{"verified_differs"}})
	const different = "\noms_task_verify_different_records{"

	off := start(t, "--oms.url="+url)
	for range 3 {
		if got := get(t, off.url+"/metrics").body; strings.Contains(got, "oms_task_verify_") ||
			strings.Contains(got, "FullVerifyResult\"") {
			t.Fatalf("without being asked to:\n%s", got)
		}
	}
	if asked := slices.ContainsFunc(oms.Requests(), func(r omssim.Request) bool {
		return r.Action != omsclient.Action
	}); asked {
		t.Errorf("requests %+v", oms.Requests())
	}

	on := start(t, "--oms.url="+url, "--collector.verify")
	if got := eventually(t, on.url+"/metrics", different); strings.Count(got, different) != 3 ||
		!strings.Contains(got, `oms_exporter_api_requests_total{action="ListProjectFullVerifyResult",code="200"} 3`) {
		t.Errorf("not about all three:\n%s", got)
	}

	file, _ := several(t, fmt.Sprintf("  on: {url: %q, verify: true}\n  off: {url: %q}\n", url, url))
	eventually(t, file.url+"/probe?target=on", different)
	if got := get(t, file.url+"/probe?target=off").body; strings.Contains(got, different) {
		t.Errorf("the other target asks too:\n%s", got)
	}
}

func TestStatusShowsHowOMSWasAskedAboutTasks(t *testing.T) {
	oms, url := newOMS(t, omssim.Options{Tasks: 3, Scenarios: []string{"verified_differs"}})
	oms.SetFaults(omssim.Fault{Kind: "no_permission", Action: omsclient.ActionVerifyResult})
	p := start(t, "--oms.url="+url, "--collector.verify")
	if got := get(t, p.url+"/metrics").body; !strings.Contains(got, "\noms_up 1\n") {
		t.Fatalf("the listing fails:\n%s", got)
	}

	eventually(t, p.url+"/status?format=json", `"next": "20`) // the round is over
	page := get(t, p.url+"/status").body

	for _, part := range []string{
		"ListProjectFullVerifyResult", "api_error", "code &#34;NO_PERMISSION&#34;", "asked again at",
	} {
		if !strings.Contains(page, part) {
			t.Errorf("the page lacks %s:\n%s", part, page)
		}
	}
}

func TestCheckSaysWhetherTheAccountMayAskAboutTasks(t *testing.T) {
	for _, tt := range []struct {
		name, scenario string
		faults         []string
		verify         string // what the steps find
		component      string
		result         result // of both
	}{
		{
			name: "allowed", scenario: "verified_differs", result: passed,
			verify:    `^2 of 2 questions to ListProjectFullVerifyResult answered, the slowest in 0\.\d{3} s$`,
			component: `^1 of 1 question to DescribeProjectComponents answered, the slowest in 0\.\d{3} s$`,
		},
		{
			name: "no reason to ask", scenario: "new", result: passed,
			verify:    `^ListProjectFullVerifyResult was not called: no task gives reason to$`,
			component: `^1 of 1 question to DescribeProjectComponents answered`,
		},
		{
			name: "may list and nothing else", scenario: "verified_differs", result: warning,
			faults:    []string{"forbidden"},
			verify:    `^no answer to ListProjectFullVerifyResult, after .* HTTP status 403 Forbidden$`,
			component: `^no answer to DescribeProjectComponents, after .* HTTP status 403 Forbidden$`,
		},
		{
			name: "an OMS that lacks the actions", scenario: "verified_differs", result: warning,
			faults:    []string{"unknown_action"},
			verify:    `success:false, code "PARAM_ERROR"`,
			component: `success:false, code "PARAM_ERROR"`,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			oms, url := newOMS(t, omssim.Options{Tasks: 2, Scenarios: []string{tt.scenario}})
			var faults []omssim.Fault
			for _, kind := range tt.faults {
				for _, action := range []string{omsclient.ActionVerifyResult, omsclient.ActionComponents} {
					faults = append(faults, omssim.Fault{Kind: omssim.FaultKind(kind), Action: action})
				}
			}
			oms.SetFaults(faults...)

			got := checkOne(t, "--oms.url="+url, "--collector.verify", "--collector.component")

			if !got.OK {
				t.Errorf("not usable: %+v", got.Steps)
			}
			advice := ""
			if tt.result == warning {
				advice = "give it a role with more rights, or leave --collector.(verify|component) off"
			}
			expectFinding(t, stepOf(t, got, "verify"), tt.result, tt.verify, advice)
			expectFinding(t, stepOf(t, got, "component"), tt.result, tt.component, advice)
		})
	}
}

// A recording has the answers about single tasks, and a replay gives them again: the same
// figures, for tasks with other names.
func TestAnswersAboutTasksAreRecordedAndReplayed(t *testing.T) {
	for _, redact := range []bool{false, true} {
		t.Run(fmt.Sprintf("redacted %t", redact), func(t *testing.T) {
			sim, err := omssim.New(omssim.Options{Tasks: 5, Scenarios: []string{"slow_apply"}})
			if err != nil {
				t.Fatal(err)
			}
			rec := record(t, sim, redact)
			before := askedAbout(t, rec.url, rec.transport)
			if err := rec.err(); err != nil || rec.answers() != 10 || rec.pages() != 1 {
				t.Fatalf("%d answers, %d pages: %v", rec.answers(), rec.pages(), err)
			}
			if redact {
				expectNoNames(t, rec)
				for file, content := range rec.files(t) {
					for _, private := range []string{"jdbc:", "example.internal", "root", "CUSTOMERS", "TRADE", "DRC_500"} {
						if strings.Contains(content, private) {
							t.Errorf("%s has %q", file, private)
						}
					}
				}
			}

			answers, err := omssim.ReadAnswers(os.DirFS(rec.dir))
			if err != nil {
				t.Fatal(err)
			}
			pages, err := omssim.ReadPages(os.DirFS(rec.dir))
			if err != nil {
				t.Fatal(err)
			}
			replay, err := omssim.New(omssim.Options{Pages: pages, Answers: answers})
			if err != nil {
				t.Fatal(err)
			}
			if after := askedAbout(t, serveOMS(t, replay), http.DefaultTransport); !slices.Equal(after, before) {
				t.Errorf("the replay says %v, want %v", after, before)
			}
		})
	}
}

// askedAbout asks about every task of an OMS, and returns what was answered, in order.
func askedAbout(t *testing.T, url string, transport http.RoundTripper) []string {
	t.Helper()
	client, err := omsclient.New(url, &http.Client{Transport: transport}, omsclient.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var told []string
	for project, err := range client.List(context.Background(), new(omsclient.Report)) {
		if err != nil {
			t.Fatal(err)
		}
		components, _, componentErr := client.Components(context.Background(), project.ID)
		result, _, verifyErr := client.VerifyResult(context.Background(), project.ID)
		told = append(told, fmt.Sprint(components, componentErr, result, verifyErr))
	}
	return told
}

// An id is what a server says, and must not lead out of the directory.
func TestAnIDThatIsNoNameOfAFileIsNotRecorded(t *testing.T) {
	sim, err := omssim.New(omssim.Options{Answers: map[string]string{
		omssim.AnswerName(omsclient.ActionComponents, "../np_1"): `{"success":true,"data":{}}`,
	}})
	if err != nil {
		t.Fatal(err)
	}
	rec := record(t, sim, false)
	client, err := omsclient.New(rec.url, &http.Client{Transport: rec.transport}, omsclient.Options{})
	if err != nil {
		t.Fatal(err)
	}

	if _, _, err := client.Components(t.Context(), "../np_1"); err != nil {
		t.Errorf("the answer is lost: %v", err)
	}

	if err := rec.err(); err == nil || !strings.Contains(err.Error(), "cannot be in the name of a file") {
		t.Errorf("error %v", err)
	}
	for _, dir := range []string{rec.dir, filepath.Dir(rec.dir)} {
		if files, err := filepath.Glob(filepath.Join(dir, "*.json")); err != nil || files != nil {
			t.Errorf("files %v (%v)", files, err)
		}
	}
}

func TestThePasswordsDateIsExported(t *testing.T) {
	const metric = "\noms_exporter_credentials_changed_timestamp_seconds"
	without := start(t, "--oms.url=http://127.0.0.1:1")
	if got := get(t, without.url+"/metrics").body; strings.Contains(got, metric) {
		t.Errorf("a date out of nothing:\n%s", got)
	}
	with := start(t, "--oms.url=http://127.0.0.1:1", "--oms.password-changed=2026-01-31")
	if got := get(t, with.url+"/metrics").body; !strings.Contains(got, metric+" 1.7698176e+09\n") {
		t.Errorf("no date:\n%s", got)
	}
	file, _ := several(t, "  a: {url: \"http://127.0.0.1:1\", password_changed: 2026-01-31}\n")
	if got := get(t, file.url+"/metrics").body; !strings.Contains(got, metric+`{target="a"} 1.7698176e+09`+"\n") {
		t.Errorf("no date:\n%s", got)
	}
}
