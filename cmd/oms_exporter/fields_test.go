package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"oms_exporter/collector"
	"oms_exporter/omsclient"
	"oms_exporter/omsclient/omssim"
)

const fieldsPage = "../../deploy/docs/fields.md"

// TestFields checks the page that says which metrics are made from which field. The page is
// measured, not written: take a field out of a listing, and the metrics that change depend on it.
func TestFields(t *testing.T) {
	have := readFile(t, fieldsPage)
	want, err := replacePart(have, "fields", fieldTable(t))
	switch {
	case err != nil:
		t.Errorf("%s: %v", fieldsPage, err)
	case have == want:
	case *update:
		if err := os.WriteFile(fieldsPage, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	default:
		t.Errorf("%s is not what the program does; run go generate ./...\n%s",
			fieldsPage, difference(have, want))
	}
}

// fieldTable renders all fields of simulated tasks, and the metrics that depend on each. It
// looks into a field only if a metric depends on it.
func fieldTable(t *testing.T) string {
	t.Helper()
	tasks, fields := everyScenario(t)
	whole := families(t, tasks)
	var b strings.Builder
	b.WriteString("| field | metrics |\n|---|---|\n")
	used := make(map[string]bool)
	var add func(path []string, prefix string, fields []*field)
	add = func(path []string, prefix string, fields []*field) {
		for _, f := range fields {
			path, name := append(slices.Clone(path), f.name), prefix+f.name
			depend := dependents(whole, families(t, without(tasks, path)))
			isMap := f.name == "ruleToRecentlyTriggerCount" // from rules, which are not fields
			if len(depend) > 0 && len(f.below) > 0 && !isMap {
				if f.list {
					name += "[]"
				}
				add(path, name+".", f.below)
				continue
			}
			for _, metric := range depend {
				used[metric] = true
			}
			fmt.Fprintf(&b, "| `%s` | %s |\n", name, metricsCell(depend, whole))
		}
	}
	add(nil, "", fields)
	for metric := range whole {
		if !used[metric] {
			t.Errorf("no field makes %s", metric)
		}
	}
	return b.String()
}

// A field is a field of OMS with the fields that its objects have, in the order in which they
// first occur.
type field struct {
	name  string
	list  bool
	below []*field
}

// learn adds the fields of the next JSON value.
func (f *field) learn(d *json.Decoder) error {
	start, err := d.Token()
	if start != json.Delim('{') && start != json.Delim('[') {
		return err
	}
	for d.More() {
		inner := f
		if start == json.Delim('{') {
			name, err := d.Token()
			if err != nil {
				return err
			}
			inner = f.member(fmt.Sprint(name))
		} else {
			f.list = true
		}
		if err := inner.learn(d); err != nil {
			return err
		}
	}
	_, err = d.Token()
	return err
}

func (f *field) member(name string) *field {
	for _, m := range f.below {
		if m.name == name {
			return m
		}
	}
	f.below = append(f.below, &field{name: name})
	return f.below[len(f.below)-1]
}

// metricsCell renders the metrics that depend on a field.
func metricsCell(metrics []string, whole map[string]string) string {
	var ofTask []string
	for name, text := range whole {
		if strings.Contains(text, `"task_name"`) {
			ofTask = append(ofTask, name)
		}
	}
	slices.Sort(ofTask)
	switch {
	case len(metrics) == 0:
		return "none"
	case len(metrics) == len(whole):
		return "every metric"
	case slices.Equal(metrics, ofTask):
		return "every metric of a single task"
	}
	return "`" + strings.Join(metrics, "`, `") + "`"
}

// everyScenario returns tasks that do everything that simulated tasks do, with all fields, none
// of which says the same as another; and the fields.
func everyScenario(t *testing.T) ([]any, []*field) {
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
	var root field
	if err := root.learn(json.NewDecoder(bytes.NewReader(w.Body.Bytes()))); err != nil {
		t.Fatal(err)
	}
	var answer struct{ Data []any }
	d := json.NewDecoder(w.Body)
	d.UseNumber()
	if err := d.Decode(&answer); err != nil || len(answer.Data) != 60 {
		t.Fatalf("%d tasks: %v", len(answer.Data), err)
	}
	for _, task := range answer.Data {
		distinguish(task)
	}
	return answer.Data, root.member("data").below
}

// distinguish lets fields differ that stand in for each other.
func distinguish(v any) {
	switch v := v.(type) {
	case []any:
		for _, element := range v {
			distinguish(element)
		}
	case map[string]any:
		if _, running := v["syncDelay"]; running {
			v["syncDelay"], v["incrSyncTimestamp"], v["syncDelaySampleTimestamp"] = 7, 4e9+1, 4e9+2
		}
		if v["errorDetails"] != nil {
			v["errorCode"] = "AN-OLD-CODE"
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
	return familiesOf(t, collector.New(client.List, collector.Options{}))
}

// familiesOf returns the metrics of tasks that a collector has, as text by name.
func familiesOf(t *testing.T, c *collector.Collector) map[string]string {
	t.Helper()
	registry := prometheus.NewRegistry()
	registry.MustRegister(c)
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
