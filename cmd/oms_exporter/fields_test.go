package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"oms_exporter/collector"
	"oms_exporter/omsclient"
	"oms_exporter/omsclient/omssim"
)

// TestEveryFieldThatIsReadMakesAMetric takes each field out of a listing and looks at which
// metrics change. Fields that are decoded change some, ignored ones none, and no metric of a task
// comes from nowhere.
func TestEveryFieldThatIsReadMakesAMetric(t *testing.T) {
	tasks := everyScenario(t)
	whole := families(t, tasks)
	used := make(map[string]bool)
	var see func(path []string, fields []omsclient.Field)
	see = func(path []string, fields []omsclient.Field) {
		for _, f := range fields {
			path := append(slices.Clone(path), f.Name)
			if len(f.Below) > 0 {
				see(path, f.Below)
				continue
			}
			depend := dependents(whole, families(t, without(tasks, path)))
			if f.Ignored != (len(depend) == 0) {
				t.Errorf("%s: ignored: %t, metrics that depend on it: %q",
					strings.Join(path, "."), f.Ignored, depend)
			}
			for _, metric := range depend {
				used[metric] = true
			}
		}
	}
	see(nil, omsclient.Fields())
	for metric := range whole {
		if !used[metric] {
			t.Errorf("no field makes %s", metric)
		}
	}
}

// everyScenario returns tasks that do everything that simulated tasks do, with all fields, none
// of which says the same as another.
func everyScenario(t *testing.T) []any {
	t.Helper()
	now := time.Date(2026, time.March, 4, 5, 6, 7, 0, time.UTC)
	oms, err := omssim.New(omssim.Options{
		Tasks: 60, BlobBytes: 1 << 10, Now: func() time.Time { return now },
	})
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	oms.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost,
		"/api/v2?Action=ListProjects", strings.NewReader(`{"pageSize":150,"pageNumber":1}`)))
	var answer struct{ Data []any }
	d := json.NewDecoder(w.Body)
	d.UseNumber()
	if err := d.Decode(&answer); err != nil || len(answer.Data) != 60 {
		t.Fatalf("%d tasks: %v", len(answer.Data), err)
	}
	for _, task := range answer.Data {
		distinguish(task)
	}
	return answer.Data
}

// distinguish lets fields differ that stand in for each other, and adds one that simulated
// tasks lack.
func distinguish(v any) {
	switch v := v.(type) {
	case []any:
		for _, element := range v {
			distinguish(element)
		}
	case map[string]any:
		if _, running := v["syncDelay"]; running {
			v["syncDelay"], v["incrSyncTimestamp"], v["syncDelaySampleTimestamp"] = 1, 1e9+1, 1e9+2
		}
		if _, counts := v["processedRecords"]; counts {
			v["inconsistencies"] = 3
		}
		for _, value := range v {
			distinguish(value)
		}
	}
}

// without returns tasks without a field, which may be in lists.
func without(tasks []any, path []string) []any {
	var remove func(v any, path []string) any
	remove = func(v any, path []string) any {
		switch v := v.(type) {
		case []any:
			var all []any
			for _, element := range v {
				all = append(all, remove(element, path))
			}
			return all
		case map[string]any:
			object := make(map[string]any)
			for name, value := range v {
				switch {
				case name != path[0]:
					object[name] = value
				case len(path) > 1:
					object[name] = remove(value, path[1:])
				}
			}
			return object
		default:
			return v
		}
	}
	all, _ := remove(tasks, path).([]any)
	return all
}

// families returns the metrics of tasks that a listing with them has, as text by name.
func families(t *testing.T, tasks []any) map[string]string {
	t.Helper()
	var raw []string
	for _, task := range tasks {
		b, err := json.Marshal(task)
		if err != nil {
			t.Fatal(err)
		}
		raw = append(raw, string(b))
	}
	oms, err := omssim.New(omssim.Options{Projects: raw})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(oms)
	defer server.Close()
	client, err := omsclient.New(server.URL, server.Client(), omsclient.Options{})
	if err != nil {
		t.Fatal(err)
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(collector.New(client.List, collector.Options{}))
	gathered, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	texts := make(map[string]string)
	for _, family := range gathered {
		if name := family.GetName(); strings.HasPrefix(name, "oms_task") {
			var text bytes.Buffer
			for _, m := range family.GetMetric() {
				fmt.Fprintln(&text, m)
			}
			texts[name] = text.String()
		}
	}
	return texts
}

// dependents returns the names of the metrics that differ.
func dependents(a, b map[string]string) []string {
	var names []string
	for name := range a {
		if a[name] != b[name] {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
