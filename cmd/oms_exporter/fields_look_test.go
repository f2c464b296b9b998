package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"oms_exporter/collector"
	"oms_exporter/omsclient"
	"oms_exporter/omsclient/omssim"
)

// TestFieldsOfAnswersAboutTasks checks the tables for the actions that tell more of a task. They
// are measured like the one for the listing.
func TestFieldsOfAnswersAboutTasks(t *testing.T) {
	for action, scenario := range map[string]string{
		omsclient.ActionVerifyResult: "verified_differs", omsclient.ActionComponents: "switched",
	} {
		t.Run(action, func(t *testing.T) {
			checkPart(t, fieldsPage, action, answerTable(t, action, scenario))
		})
	}
}

// answerTable renders the fields of an answer about a task that metrics depend on.
func answerTable(t *testing.T, action, scenario string) string {
	t.Helper()
	oms, err := omssim.New(omssim.Options{Tasks: 1, Scenarios: []string{scenario}})
	if err != nil {
		t.Fatal(err)
	}
	ask := func(action, body string) map[string]any {
		w := httptest.NewRecorder()
		oms.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost,
			"/api/v2?Action="+action, strings.NewReader(body)))
		var answer map[string]any
		if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
			t.Fatal(err)
		}
		return answer
	}
	tasks, _ := ask("ListProjects", "{}")["data"].([]any)
	task, _ := tasks[0].(map[string]any)
	task["status"] = "FAILED" // or there would be no reason to ask for components
	answer := ask(action, fmt.Sprintf(`{"id":%q}`, task["id"]))
	whole := answered(t, action, task, answer)
	var b strings.Builder
	b.WriteString("| field | metrics |\n|---|---|\n")
	var add func(path []string, shown string, v any)
	add = func(path []string, shown string, v any) {
		if list, ok := v.([]any); ok && len(list) > 0 {
			v, shown = list[0], shown+"[]"
		}
		object, isObject := v.(map[string]any)
		changed, _ := without([]any{answer}, path)[0].(map[string]any)
		depend := dependents(whole, answered(t, action, task, changed))
		if isObject && len(depend) > 0 {
			for _, name := range slices.Sorted(maps.Keys(object)) {
				add(append(slices.Clone(path), name), shown+"."+name, object[name])
			}
			return
		}
		if len(depend) > 0 {
			fmt.Fprintf(&b, "| `%s` | %s |\n", shown, metricsCell(depend, whole))
		}
	}
	for _, name := range []string{"totalCount", "data"} {
		add([]string{name}, name, answer[name])
	}
	return b.String()
}

// answered returns the metrics of a task about which OMS gives an answer.
func answered(t *testing.T, action string, task, answer map[string]any) (texts map[string]string) {
	t.Helper()
	raw, err := json.Marshal(task)
	if err != nil {
		t.Fatal(err)
	}
	told, err := json.Marshal(answer)
	if err != nil {
		t.Fatal(err)
	}
	oms, err := omssim.New(omssim.Options{
		Projects: []string{string(raw)},
		Answers:  map[string]string{omssim.AnswerName(action, fmt.Sprint(task["id"])): string(told)},
	})
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) { // so that nothing differs but the answers
		client, err := omsclient.New("http://oms.example", &http.Client{
			Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
				w := httptest.NewRecorder()
				oms.ServeHTTP(w, r)
				return w.Result(), nil
			}),
		}, omsclient.Options{})
		if err != nil {
			t.Fatal(err)
		}
		c := collector.New(client.List, collector.Options{
			VerifyResult: client.VerifyResult, Components: client.Components,
		})
		_ = c.Scrape(t.Context())
		c.Settle()
		texts = familiesOf(t, c)
		c.Settle()
	})
	return texts
}
