package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alecthomas/kingpin/v2"
)

// settings says what each key of the configuration file changes: what OMS is asked, what a
// scrape exports, or what /sd says. The settings, in YAML, are those of a target or those of
// delay_thresholds. The regular expression matches only with them. Keys below http_client are
// Prometheus' own.
var settings = []struct{ key, yaml, changes string }{
	{"targets.*.url", "url: http://127.0.0.1:1", `oms_scrape_error_info\{reason="connect"\} 1`},
	{"targets.*.http_client", "http_client: {basic_auth: {username: u, password: p}}", `authorization: Basic dTpw`},
	{"targets.*.filter.search_key", "filter: {search_key: orders}", `asked: .*"searchKey":"orders"`},
	{"targets.*.filter.type", "filter: {type: SYNC}", `asked: .*"type":"SYNC"`},
	{"targets.*.filter.statuses", "filter: {statuses: [FAILED]}", `asked: .*"status":\["FAILED"\]`},
	{"targets.*.filter.label_ids", "filter: {label_ids: [l_1]}", `asked: .*"labelIds":\["l_1"\]`},
	{"targets.*.filter.source_endpoint_types", "filter: {source_endpoint_types: [MYSQL]}", `asked: .*"sourceEndpointTypes":\["MYSQL"\]`},
	{"targets.*.filter.sink_endpoint_types", "filter: {sink_endpoint_types: [OB_MYSQL]}", `asked: .*"sinkEndpointTypes":\["OB_MYSQL"\]`},
	{"targets.*.filter.subtasks", "filter: {subtasks: true}", `asked: .*"visibleSubProject":true`},
	{"targets.*.exclude.statuses", "exclude: {statuses: [RUNNING]}", `oms_scrape_tasks_omitted\{reason="excluded"\} 3\n`},
	{"targets.*.exclude.names", "exclude: {names: 't[12]'}", `oms_scrape_tasks_omitted\{reason="excluded"\} 2\n`},
	{"targets.*.exclude.tags", "exclude: {tags: ['delay:30s']}", `oms_scrape_tasks_omitted\{reason="excluded"\} 1\n`},
	{"targets.*.page_size", "page_size: 7", `asked: .*"pageSize":7\b`},
	{"targets.*.concurrency", "concurrency: 1", `at once: 1\n`},
	{"targets.*.max_tasks", "max_tasks: 5", `oms_scrape_error_info\{reason="limit"\} 1`},
	{"targets.*.timeout", "timeout: 80ms", `oms_scrape_error_info\{reason="timeout"\} 1`},
	{"targets.*.page_timeout", "page_timeout: 20ms", `oms_scrape_error_info\{reason="timeout"\} 1`},
	{"targets.*.timezone", "timezone: Asia/Shanghai", `oms_task_created_timestamp_seconds\{.*\} 1.7407656e\+09\n`},
	{"targets.*.verify", "verify: true", `asked: ListProjectFullVerifyResult `},
	{"targets.*.component", "component: true", `asked: DescribeProjectComponents `},
	{"targets.*.password_changed", "password_changed: 2025-03-01", `oms_exporter_credentials_changed_timestamp_seconds.* 1.7407872e\+09\n`},
	{"targets.*.console_url", "console_url: https://console.example/", `href="https://console.example/"`},
	{"targets.*.labels", "labels: {region: hz}", `"region": *"hz"`},
	{"delay_thresholds.importance.*.warning", "importance: {HIGH: {warning: 7s, critical: 9s}}", delayOf("t1", "warning", 7)},
	{"delay_thresholds.importance.*.critical", "importance: {HIGH: {warning: 7s, critical: 9s}}", delayOf("t1", "critical", 9)},
	{"delay_thresholds.overrides.*.id", "overrides: [{id: np_1, warning: 7s, critical: 9s}]", delayOf("t1", "warning", 7)},
	{"delay_thresholds.overrides.*.name", "overrides: [{name: 't[12]', warning: 7s, critical: 9s}]", delayOf("t2", "warning", 7)},
	{"delay_thresholds.overrides.*.tag", "overrides: [{tag: 'delay:30s', warning: 7s, critical: 9s}]", delayOf("t0", "warning", 7)},
	{"delay_thresholds.overrides.*.warning", "overrides: [{id: np_1, warning: 7s, critical: 9s}]", delayOf("t1", "warning", 7)},
	{"delay_thresholds.overrides.*.critical", "overrides: [{id: np_1, warning: 7s, critical: 9s}]", delayOf("t1", "critical", 9)},
	{"delay_thresholds.from_tags", "from_tags: true", delayOf("t0", "warning", 30)},
}

func delayOf(task, level string, seconds int) string {
	return fmt.Sprintf(`oms_task_delay_threshold_seconds\{level="%s",.*task_name="%s"\} %d\n`, level, task, seconds)
}

// TestEveryKeyChangesSomething applies each key, and the flag for it if there is one.
func TestEveryKeyChangesSomething(t *testing.T) {
	t.Parallel()
	flags := map[string]string{} // by key
	for _, flag := range serveFlagsOf(newApp(map[string]command{}).Model()) {
		switch key := keyOf(flag.Name); {
		case flag.Name == "oms.url", strings.HasPrefix(key, "http_client."):
		case flag.IsBoolFlag(): // it takes no value
		case key != "":
			flags["targets.*."+key] = "--" + flag.Name
		case strings.HasPrefix(flag.Name, "oms.") && !slices.Contains([]string{"oms.username", "oms.password-file"}, flag.Name):
			t.Errorf("--%s: no key of the configuration file is its own", flag.Name)
		}
	}
	without := observed(t, "", "")
	var have []string
	for _, s := range settings {
		have = append(have, s.key)
		changes := regexp.MustCompile(s.changes)
		if changes.MatchString(without) {
			t.Errorf("%s: %s matches without it, too", s.key, changes)
		}
		t.Run(s.yaml, func(t *testing.T) {
			t.Parallel()
			target, thresholds := s.yaml, ""
			if strings.HasPrefix(s.key, "delay_thresholds.") {
				target, thresholds = "", s.yaml
			}
			if got := observed(t, target, thresholds); !changes.MatchString(got) {
				t.Errorf("%s should change %s, but changes\n%s", s.key, changes, difference(without, got))
			}
		})
		if flag := flags[s.key]; flag != "" {
			delete(flags, s.key)
			_, value, _ := strings.Cut(strings.Trim(s.yaml, "{}"), ": ")
			value = strings.Trim(value[strings.LastIndexByte(value, ' ')+1:], "[]")
			t.Run(flag+"="+value, func(t *testing.T) {
				t.Parallel()
				if got := observed(t, "", "", flag+"="+value); !changes.MatchString(got) {
					t.Errorf("it should change %s, but changes\n%s", changes, difference(without, got))
				}
			})
		}
	}
	all := slices.DeleteFunc(keysOf(reflect.TypeFor[fileConfig](), ""), func(key string) bool {
		return strings.HasPrefix(key, "targets.*.http_client.")
	})
	for i, key := range all {
		group := i+1 < len(all) && strings.HasPrefix(all[i+1], key+".")
		if !group && !slices.Contains(have, key) {
			t.Errorf("say in the table settings what %s changes", key)
		}
	}
	for key, flag := range flags {
		t.Errorf("%s: %s is not in the table settings", flag, key)
	}
}

// serveFlagsOf returns the flags of the default command.
func serveFlagsOf(app *kingpin.ApplicationModel) []*kingpin.FlagModel {
	for _, cmd := range app.Commands {
		if cmd.Default {
			return cmd.Flags
		}
	}
	return nil
}

// observed returns what a scrape with settings of a target, in YAML, and delay_thresholds asks
// and exports, and what /sd says. With flags, the target is of flags.
func observed(t *testing.T, target, thresholds string, flags ...string) string {
	t.Helper()
	oms := &curious{}
	url, path := serveOMS(t, oms), "/metrics"
	if len(flags) > 0 {
		flags = append(flags, "--oms.url="+url)
	} else {
		if !strings.HasPrefix(target, "url: ") {
			target += "\nurl: " + url
		}
		target = strings.ReplaceAll(strings.Trim(target, "\n"), "\n", "\n    ")
		file := writeFile(t, "targets:\n  a:\n    "+target+"\ndelay_thresholds: {"+thresholds+"}\n")
		flags, path = []string{"--config.file=" + file}, "/probe?target=a"
	}
	p := start(t, append(flags, "--collector.detail")...)
	scraped, discovered := get(t, p.url+path).body, get(t, p.url+"/sd").body
	if strings.Contains(target+strings.Join(flags, " "), "console") { // looking at the page lists again
		scraped += get(t, p.url+"/?task=np_1").body
	}
	if path != "/metrics" {
		scraped += get(t, p.url+"/metrics").body
	}
	if strings.Contains(target, ": true\n") { // what is asked in the background
		oms.awaitOther(t)
	}
	oms.mu.Lock()
	defer oms.mu.Unlock()
	return fmt.Sprintf("%sat once: %d\n%s%s", strings.Join(oms.heard, ""), oms.most, scraped, discovered)
}

// A curious OMS remembers what it is asked. It has eight tasks, of which it lists two on a
// page, after a while.
type curious struct {
	mu        sync.Mutex
	heard     []string
	now, most int // requests at once
}

// ServeHTTP implements [http.Handler].
func (c *curious) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	c.mu.Lock()
	c.heard = append(c.heard, fmt.Sprintf("asked: %s %s\nauthorization: %s\n", r.URL.Query().Get("Action"), body, r.Header.Get("Authorization")))
	c.now++
	c.most = max(c.most, c.now)
	c.mu.Unlock()
	<-time.After(100 * time.Millisecond)
	c.mu.Lock()
	c.now--
	c.mu.Unlock()

	var page struct{ PageNumber int }
	_ = json.Unmarshal(body, &page)
	var tasks []string
	for i := 2*page.PageNumber - 2; i < min(2*page.PageNumber, 8); i++ {
		status, tags, steps := "RUNNING", "[]", "[]"
		if i >= 3 {
			status = "FAILED"
		}
		if i == 0 {
			tags = `[{"id": "l_1", "name": "delay:30s"}]`
			steps = `[{"name": "FULL_VERIFIER", "status": "FINISHED", "progress": 100}]`
		}
		tasks = append(tasks, fmt.Sprintf(`{"id": "np_%d", "name": "t%[1]d", "type": "MIGRATION", "status": %q, `+
			`"importance": "HIGH", "gmtCreate": "2025-03-01T02:00:00", "labels": %s, "steps": %s}`, i, status, tags, steps))
	}
	fmt.Fprintf(w, `{"success": true, "totalCount": 8, "data": [%s]}`, strings.Join(tasks, ","))
}

// awaitOther waits until something else than the listing is asked.
func (c *curious) awaitOther(t *testing.T) {
	t.Helper()
	for late := time.Now().Add(10 * time.Second); time.Now().Before(late); <-time.After(10 * time.Millisecond) {
		c.mu.Lock()
		other := slices.ContainsFunc(c.heard, func(s string) bool { return !strings.HasPrefix(s, "asked: ListProjects ") })
		c.mu.Unlock()
		if other {
			return
		}
	}
}
