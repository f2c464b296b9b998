package omssim_test

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"oms_exporter/omsclient/omssim"
)

// describe asks about a task.
func describe(t *testing.T, s http.Handler, action, body string) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	s.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost,
		"/api/v2?Action="+action, strings.NewReader(body)))
	return w
}

func TestWhatScenariosShowWhenOMSIsAskedAboutATask(t *testing.T) {
	const verify, components = "ListProjectFullVerifyResult", "DescribeProjectComponents"
	for _, tt := range []struct{ scenario, action, want string }{
		{"ready", verify, `"differentNumber":0,`},
		{"verified_differs", verify, `"differentNumber":[1-9]`},
		{"verified_unknown", verify, `"differentNumber":null|"success":false`},
		{"verified_apart", verify, `"differentNumber":0,`},
		{"following", components, `"storeList":.*"delay":\d{1,2},.*"status":"ACTIVE".*"incrSyncComponents":.*"status":"RUNNING"`},
		{"store_dead", components, `"storeList":.*"delay":\d{4},.*"status":"UNEXPECTED_EXIT"`},
		{"slow_apply", components, `"storeList":.*"delay":[123],.*"status":"ACTIVE".*"incrSyncComponents":.*"delay":\d{4},`},
		{"switched", components, `"reverseStoreList":\[.*"reverseIncrSyncComponents":\[`},
		{"failing", components, `"incrSyncComponents":.*"status":"EXCEPTION"`},
		{"copying", components, `"fullImportComponents":.*"status":"RUNNING".*"incrSyncComponents":null`},
	} {
		t.Run(tt.scenario, func(t *testing.T) {
			want := regexp.MustCompile(tt.want)
			found := 0
			for hour := range 12 { // scenarios come and go
				s := newServer(t, omssim.Options{
					Tasks: 4, Scenarios: []string{tt.scenario},
					Now: at(time.Date(2025, 6, 7, hour, 50, 0, 0, time.UTC)),
				})
				for _, id := range ids(ask(t, s, page(1, 150)).Data) {
					body := `{"id":"` + id + `"}`
					if tt.action == verify {
						body = `{"projectId":"` + id + `","pageNumber":1,"pageSize":1}`
					}
					answer := describe(t, s, tt.action, body).Body
					if !json.Valid(answer.Bytes()) {
						t.Fatalf("not JSON: %s", answer)
					}
					if want.Match(answer.Bytes()) {
						found++
					} else if tt.action == verify {
						t.Errorf("%s has no %s", answer, tt.want)
					}
				}
			}
			if found == 0 {
				t.Errorf("no answer has %s", tt.want)
			}
		})
	}
}

func TestWhatCannotBeDescribedFails(t *testing.T) {
	s := newServer(t, omssim.Options{Tasks: 1})
	for name, tt := range map[string]struct{ action, body string }{
		"no such task":    {"DescribeProjectComponents", `{"id":"np_other"}`},
		"no id":           {"ListProjectFullVerifyResult", `{}`},
		"no JSON":         {"ListProjectFullVerifyResult", `id`},
		"another action":  {"ListFullVerifyInconsistenciesResult", `{"projectId":"np_other"}`},
		"an empty action": {"", `{"id":"np_other"}`},
	} {
		t.Run(name, func(t *testing.T) {
			if got := describe(t, s, tt.action, tt.body).Body.String(); !strings.Contains(got, `"success":false`) {
				t.Errorf("answer %s", got)
			}
		})
	}
}

func TestFaultsKeepToTheirAction(t *testing.T) {
	s := newServer(t, omssim.Options{Tasks: 1})
	body := `{"id":"` + ask(t, s, page(1, 1)).Data[0].ID + `"}`
	for fault, want := range map[string]string{
		"no_permission":  `"code":"NO_PERMISSION"`,
		"unknown_action": `"code":"PARAM_ERROR"`,
		"data_null":      `"data":null`,
		"empty_body":     "",
	} {
		t.Run(fault, func(t *testing.T) {
			s.SetFaults(faults(t, fault+"/DescribeProjectComponentsx1")...)

			listed := send(t, s, page(1, 1)).Body.String()
			first := describe(t, s, "DescribeProjectComponents", body).Body.String()
			second := describe(t, s, "DescribeProjectComponents", body).Body.String()

			if !strings.Contains(listed, `"data":[{`) || !strings.Contains(second, `"data":{`) {
				t.Errorf("the fault affects other requests: %s, %s", listed, second)
			}
			if !strings.Contains(first, want) || strings.Contains(first, `"data":{`) {
				t.Errorf("answer %s, want one with %s", first, want)
			}
		})
	}
}

func TestFaultsOfActionsAreWrittenAsTheyAreRead(t *testing.T) {
	for _, text := range []string{"forbidden/DescribeProjectComponents", "hang/ListProjectFullVerifyResultx2"} {
		if f, err := omssim.ParseFault(text); err != nil || f.String() != text {
			t.Errorf("%s is read as %s (%v)", text, f, err)
		}
	}
	for _, text := range []string{
		"forbidden/ListProjects", "forbidden/", "moving_task/DescribeProjectComponents",
		"locked_account/DescribeProjectComponents", "forbidden/DescribeProjectComponents@2",
	} {
		if f, err := omssim.ParseFault(text); err == nil {
			t.Errorf("%s is read as %s, want an error", text, f)
		}
	}
}

func TestRecordedAnswersStandInsteadOfTheFleet(t *testing.T) {
	answers, err := omssim.ReadAnswers(fstest.MapFS{
		"page-0001.json":                        {Data: []byte(`{}`)},
		"ListProjectFullVerifyResult.np_9.json": {Data: []byte(`{"recorded":true}`)},
	})
	if err != nil || !slices.Equal(slices.Collect(maps.Keys(answers)), []string{"ListProjectFullVerifyResult.np_9"}) {
		t.Fatalf("%v, %v", answers, err)
	}
	s := newServer(t, omssim.Options{Answers: answers})

	if got := describe(t, s, "ListProjectFullVerifyResult", `{"projectId":"np_9"}`).Body.String(); got != `{"recorded":true}` {
		t.Errorf("answer %s", got)
	}
	if _, err := omssim.ReadAnswers(fstest.MapFS{"DescribeProjectComponents.x.json": {Data: []byte("{")}}); err == nil {
		t.Error("a broken recording is read")
	}
}
