package deploy_test

import (
	"cmp"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// A message is what chat gets, as Slack does.
type message struct {
	Title     string
	TitleLink string `json:"title_link"`
	Text      string
	Markdown  []string `json:"mrkdwn_in"`
}

// chat returns the only message to chat that has a text in its title.
func (am *alertmanager) chat(t *testing.T, title string) message {
	t.Helper()
	for range 200 {
		am.mu.Lock()
		bodies := am.sent["chat"]
		am.mu.Unlock()
		for _, body := range bodies {
			var slack struct{ Attachments []message }
			if err := json.Unmarshal([]byte(body), &slack); err != nil || len(slack.Attachments) != 1 {
				t.Fatalf("%v in %s", err, body)
			}
			if strings.Contains(slack.Attachments[0].Title, title) {
				return slack.Attachments[0]
			}
		}
		<-time.After(50 * time.Millisecond)
	}
	am.mu.Lock()
	defer am.mu.Unlock()
	t.Fatalf("no message of %q is about %s", am.sent["chat"], title)
	return message{}
}

// about returns an alert that fires, with annotations.
func about(t *testing.T, summary, name string, different ...string) posted {
	t.Helper()
	a := firing(labelsOf(t, name, different...))
	a.Annotations = map[string]string{
		"summary":     summary,
		"description": "SYNC task np_1, owner ops.",
		"runbook_url": "https://example.com/" + a.Labels["alertname"] + ".md",
	}
	return a
}

// startIn starts an Alertmanager whose notifications wait for two seconds, with
// the templates in a language.
func startIn(t *testing.T, language string) *alertmanager {
	t.Helper()
	const line = `{{ define "oms.words" }}{{ template "oms.words.en" . }}{{ end }}`
	text := readFile(t, "alertmanager/templates/oms.tmpl")
	if !strings.Contains(text, line) {
		t.Fatalf("the templates lack %s", line)
	}
	dir := t.TempDir()
	text = strings.Replace(text, line, strings.Replace(line, ".en", "."+language, 1), 1)
	if err := os.WriteFile(filepath.Join(dir, "oms.tmpl"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	templates, err := filepath.Abs("alertmanager/templates")
	if err != nil {
		t.Fatal(err)
	}
	return startAlertmanager(t, templates, dir, "group_wait: 200ms", "group_wait: 2s")
}

// clock is how texts write a time: in the zone of Alertmanager, which is China's
// in these tests.
func clock(at time.Time) string {
	return at.In(time.FixedZone("", 8*3600)).Format("2006-01-02 15:04:05") + " (UTC+08:00)"
}

func TestTextOfAPage(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ language, title, text, over, overText string }{
		{
			"en", "CRITICAL hz: orders is 16m 40s behind",
			`CRITICAL hz: orders is 16m 40s behind
SYNC task np_1, owner ops.
Firing since START. OMSTaskDelayCritical, seen by job oms
What to do: https://example.com/OMSTaskDelayCritical.md

Board: BOARD`,
			"RESOLVED hz: OMSTaskDelayCritical of orders is over",
			`RESOLVED hz: OMSTaskDelayCritical of orders is over
It was: orders is 16m 40s behind
From START to END. OMSTaskDelayCritical, seen by job oms

Board: BOARD`,
		},
		{
			"zh", "严重 hz: 延迟严重：orders is 16m 40s behind",
			`严重 hz: 延迟严重：orders is 16m 40s behind
SYNC task np_1, owner ops.
开始时间：START。OMSTaskDelayCritical，抓取任务 oms
处理手册：https://example.com/zh-CN/OMSTaskDelayCritical.md

大盘：BOARD`,
			"已恢复 hz: 延迟严重：orders，已结束",
			`已恢复 hz: 延迟严重：orders，已结束
当时：orders is 16m 40s behind
从 START 到 END。OMSTaskDelayCritical，抓取任务 oms

大盘：BOARD`,
		},
	} {
		t.Run(c.language, func(t *testing.T) {
			t.Parallel()
			am := startIn(t, c.language)
			late := about(t, "orders is 16m 40s behind", "OMSTaskDelayCritical", "task_id", "np 1&2", "instance", "hz")
			am.post(t, late)
			const board = "https://grafana.example/d/oms-task?var-task_id=np+1%262&var-instance=hz"
			is := func(got message, title, text string) {
				t.Helper()
				text = strings.NewReplacer("START", clock(late.StartsAt), "END", clock(late.EndsAt), "BOARD", board).Replace(text)
				if got.Title != title || got.Text != text || got.TitleLink != board {
					t.Errorf("got %q, %s\n%s\nwant %q\n%s", got.Title, got.TitleLink, got.Text, title, text)
				}
			}
			is(am.chat(t, "orders"), c.title, c.text)
			late.EndsAt = time.Now()
			am.post(t, late)
			is(am.chat(t, c.over), c.over, c.overText)
		})
	}
}

// TestTitles checks what the screen of a locked phone shows.
func TestTitles(t *testing.T) {
	t.Parallel()
	am := startIn(t, "en")
	failed := func(summary, instance string, different ...string) posted {
		return about(t, summary, "OMSTaskFailed", append(different, "instance", instance)...)
	}
	later := failed("b has failed", "several", "task_id", "b")
	later.StartsAt = later.StartsAt.Add(time.Second)
	mixed := []posted{
		about(t, "a flaps", "OMSTaskFlapping", "instance", "mixed", "task_id", "a", "importance", "MEDIUM"),
		about(t, "b flaps", "OMSTaskFlapping", "instance", "mixed", "task_id", "b"),
	}
	mixed[0].StartsAt = mixed[0].StartsAt.Add(time.Second)
	cluster := failed("orders has failed", "hz")
	cluster.Labels["cluster"] = "prod"
	whole := about(t, "down.example:1: OMS does not answer", "OMSDown", "instance", "down.example:1")
	whole.Labels["cluster"] = "prod"
	two := []posted{failed("orders has failed", "two", "job", "oms-a"), failed("orders has failed", "two", "job", "oms-b")}
	hostile := failed("<!channel> `x` <https://evil.example|click> [click](https://evil.example) \u202eanimret\u202c\na\u200bb\x07 has failed", "hostile",
		"task_id", "hostile")
	for want, alerts := range map[string][]posted{
		"CRITICAL one: orders has failed":                    {failed("orders has failed", "one")},
		"WARNING medium: INCR_TRANSFER of orders has failed": {about(t, "INCR_TRANSFER of orders has failed", "OMSTaskStepFailed", "instance", "medium", "importance", "MEDIUM")},
		"CRITICAL several: b has failed (3 alerts)":          {failed("a has failed", "several", "task_id", "a"), later, failed("c has failed", "several", "task_id", "c")},
		"CRITICAL mixed: b flaps (2 alerts)":                 mixed,
		"CRITICAL two: orders has failed":                    two,
		"CRITICAL prod/hz: orders has failed":                {cluster},
		"CRITICAL prod: down.example:1: OMS does not answer": {whole},
		"CRITICAL Prometheus scrapes no OMS exporter":        {about(t, "Prometheus scrapes no OMS exporter", "OMSExporterAbsent")},
		"CRITICAL hostile: ‹!channel› 'x' ‹https://evil.example|click› [click] (https://evil.example) animret ab  has failed": {hostile},
	} {
		am.post(t, alerts...)
		if got := am.chat(t, cmp.Or(alerts[0].Labels["instance"], "Prometheus")); got.Title != want {
			t.Errorf("title %q, want %q", got.Title, want)
		}
	}
	if got := am.chat(t, "two"); strings.Count(got.Text, "What to do") != 1 {
		t.Errorf("two exporters say the same thing twice: %s", got.Text)
	}
	got := am.chat(t, "hostile")
	if strings.ContainsAny(got.Text+got.Title, "<>`\u202e\u200b\x07") || strings.Count(got.Text, "\n") != 5 {
		t.Errorf("a task's name marks up the text %q", got.Text)
	}
	if len(got.Markdown) != 1 || got.Markdown[0] != "pretext" {
		t.Errorf("Slack reads Markdown in %s", got.Markdown)
	}
}

// TestTextOfMany checks that a text of many alerts is short and has the
// critical ones first.
func TestTextOfMany(t *testing.T) {
	t.Parallel()
	am := startIn(t, "en")
	var alerts []posted
	for _, id := range []string{"1", "2", "3", "4", "5", "6"} {
		alerts = append(alerts, about(t, "warning "+id, "OMSTaskFlapping", "task_id", id, "importance", "MEDIUM"))
	}
	alerts = append(alerts, about(t, "critical 7", "OMSTaskFlapping", "task_id", "7"))
	am.post(t, alerts...)
	text := am.chat(t, "critical 7 (7 alerts)").Text
	if !strings.HasPrefix(text, "CRITICAL hangzhou: critical 7\n") || strings.Count(text, "What to do:") != 5 ||
		!strings.HasSuffix(text, "\n\n7 alerts fire; at most five are shown.\n\nBoard: https://grafana.example/d/oms-fleet?var-instance=hangzhou") {
		t.Errorf("text:\n%s", text)
	}
	for i := range alerts {
		alerts[i].EndsAt = time.Now()
	}
	am.post(t, alerts...)
	text = am.chat(t, "RESOLVED").Text
	if strings.Count(text, "It was:") != 5 || !strings.Contains(text, "\n\n7 alerts are over; at most five are shown.\n") {
		t.Errorf("text:\n%s", text)
	}
}

// TestBoards checks the link to a board of every kind of alert.
func TestBoards(t *testing.T) {
	t.Parallel()
	am := startAlertmanager(t)
	for alert, want := range map[string]string{
		"OMSExporterDown":   "/d/oms-exporter",
		"OMSExporterAbsent": "/d/oms-exporter",
		"OMSDown":           "/d/oms-fleet?var-instance=hangzhou",
		"OMSTaskFlapping":   "/d/oms-task?var-task_id=np_1&var-instance=hangzhou",
	} {
		a := about(t, alert, alert)
		am.post(t, a)
		if got := am.chat(t, alert).TitleLink; got != "https://grafana.example"+want {
			t.Errorf("%s links to %s, want %s", alert, got, want)
		}
		a.EndsAt = time.Now() // so that it does not hide the others
		am.post(t, a)
	}
}

var wordOfAlert = regexp.MustCompile(`eq \. "(OMS\w+)"`)

// TestEveryAlertHasAName checks that each language has a name of every alert.
func TestEveryAlertHasAName(t *testing.T) {
	words := readFile(t, "alertmanager/templates/oms.tmpl")
	names := make(map[string]bool)
	for _, a := range known(t).Alerts() {
		names[a.Alert] = true
		if !strings.Contains(words, `{{- else if eq . "`+a.Alert+`" }}`) {
			t.Errorf("%s has no name in Chinese", a.Alert)
		}
	}
	for _, m := range wordOfAlert.FindAllStringSubmatch(words, -1) {
		if !names[m[1]] {
			t.Errorf("the templates name %s, which does not exist", m[1])
		}
	}
}
