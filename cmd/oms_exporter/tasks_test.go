package main

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"unicode"

	"github.com/mattn/go-runewidth"

	"oms_exporter/omsclient/omssim"
)

// TestTasksInATerminal compares the table of a small fleet whole, in two widths.
func TestTasksInATerminal(t *testing.T) {
	for columns, golden := range map[string]string{"80": "tasks.80.txt", "160": "tasks.160.txt", "": "tasks.txt"} {
		t.Run(golden, func(t *testing.T) {
			t.Setenv("COLUMNS", columns)
			synctest.Test(t, func(t *testing.T) {
				sim, err := omssim.New(omssim.Options{Projects: append(smallFleet(), following("支付清结算_同步_到数据仓库_第二批次_0013", 90))})
				if err != nil {
					t.Fatal(err)
				}
				down := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "", http.StatusTeapot) })
				s := newTestSite(t, map[string]http.Handler{"hz": sim, "bj": down})
				o := overviewOf(t.Context(), s.targets.all(), lookOnce)
				var table bytes.Buffer

				err = (&tasksSettings{format: "table"}).print(&table, o)

				if err != nil || o.err() == nil {
					t.Errorf("%v %v", err, o.err())
				}
				checkGolden(t, "testdata/"+golden, table.String())
			})
		})
	}
}

// tasksOf runs the command tasks and returns what it prints.
func tasksOf(t *testing.T, args ...string) (string, error) {
	t.Helper()
	p := launch(t, append([]string{"tasks"}, args...)...)
	err := p.wait(t)
	p.err = nil // the test has it
	return p.stdout.String(), err
}

func TestTasksFitTheScreen(t *testing.T) {
	_, oms := newOMS(t, omssim.Options{Tasks: 300})
	for columns := 80; columns <= 160; columns += 40 {
		t.Setenv("COLUMNS", fmt.Sprint(columns))

		table, err := tasksOf(t, "--oms.url="+oms)

		lines := strings.Split(strings.TrimRight(table, "\n"), "\n")
		if err != nil || len(lines) < 290 {
			t.Fatalf("%d lines: %v", len(lines), err)
		}
		for _, line := range lines {
			if width := runewidth.StringWidth(line); width > columns {
				t.Errorf("%d columns of %d: %s", width, columns, line)
			}
		}
		for _, title := range []string{"TASK", "LOOK AT", "DELAY", "STATUS"} {
			if !strings.Contains(lines[2], title) {
				t.Errorf("%d columns lack %s: %s", columns, title, lines[2])
			}
		}
		if strings.Contains(table, "\x1b") {
			t.Error("colors, although this is no terminal")
		}
	}
}

func TestTasksAreFiltered(t *testing.T) {
	_, oms := newOMS(t, omssim.Options{Projects: smallFleet()})
	for flags, want := range map[string]string{
		"":                                 "archive bills old orders stock",
		"--status=suspend":                 "old",
		"--importance=high --search=stock": "stock",
		"--owner=王芳":                       "bills",
		"--tag=gold --sort=name":           "orders stock",
		"--severity=fine":                  "archive",
		"--search=np_old":                  "old",
		"--search=nothing":                 "",
	} {
		out, err := tasksOf(t, append(strings.Fields(flags), "--oms.url="+oms, "--format=json")...)
		var doc overview
		if err != nil || json.Unmarshal([]byte(out), &doc) != nil {
			t.Fatalf("%s: %v\n%s", flags, err, out)
		}
		var got []string
		for _, task := range doc.Tasks {
			got = append(got, task.Name)
		}
		if flags == "" { // their order depends on the time that has passed since the delays were sampled
			slices.Sort(got)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: %q, want %s", flags, got, want)
		}
	}
}

// What OMS answers about single tasks is in the first table already.
func TestTasksShowWhatVerificationFound(t *testing.T) {
	_, oms := newOMS(t, omssim.Options{Tasks: 3, Scenarios: []string{"verified_differs"}})

	for flags, want := range map[string]int{"": 0, "--collector.verify": 3} {
		table, err := tasksOf(t, append(strings.Fields(flags), "--oms.url="+oms)...)

		if got := strings.Count(table, "Verification found differences"); err != nil || got != want {
			t.Errorf("with %q %d tasks differ, want %d: %v\n%s", flags, got, want, err, table)
		}
	}
}

func TestTasksOfTargets(t *testing.T) {
	_, a := newOMS(t, omssim.Options{Projects: smallFleet()[:1]})
	_, b := newOMS(t, omssim.Options{Projects: smallFleet()[1:2]})
	file := writeFile(t, fmt.Sprintf("targets: {a: {url: %q}, b: {url: %q}, c: {url: \"http://127.0.0.1:1\"}}\n", a, b))
	for _, c := range []struct {
		flags, want, err string
		status           int
	}{
		{"--target=a", "orders", "", 0},
		{"--target=a --target=b", "orders stock", "", 0},
		{"", "orders stock", "c: list projects: page 1: dial tcp 127.0.0.1:1: connect: connection refused", 1},
		{"--target=c", "", "c: list projects: page 1: ", 1},
		{"--target=d", "", "--target=d: not in ", 2},
		{"--interval=0s", "", "--interval=0s: must be 1s or more", 2},
		{"--format=xml", "", "enum value must be one of table,json,csv", 2},
	} {
		out, err := tasksOf(t, append(strings.Fields(c.flags), "--config.file="+file)...)

		switch {
		case c.status == 0 && err != nil:
			t.Errorf("%s: %v", c.flags, err)
		case c.status > 0 && (err == nil || exitStatus(err) != c.status || !strings.Contains(err.Error(), c.err)):
			t.Errorf("%s: %v, want status %d: %s", c.flags, err, c.status, c.err)
		}
		for _, name := range strings.Fields(c.want) {
			if !regexp.MustCompile(`(?m)^` + name + ` .* [ab]\b`).MatchString(out) {
				t.Errorf("%s lacks %s:\n%s", c.flags, name, out)
			}
		}
	}
}

// Nothing that OMS sends moves the cursor, or becomes a formula of a spreadsheet.
func TestTasksWithHostileNames(t *testing.T) {
	const hostile = "=HYPERLINK(\"http://x\")\x1b[2J\u202e\r\n\u009b"
	task, err := json.Marshal(map[string]any{
		"id": "-2+3", "name": hostile, "type": "@SUM(1)", "status": "RUNNING", "owner": "+1", "importance": hostile,
		"labels":    []any{map[string]string{"id": "l", "name": "\t=1"}},
		"steps":     []any{map[string]any{"name": "INCR_SYNC", "status": "FAILED", "extraInfo": map[string]string{"errorCode": "=1"}}},
		"extraInfo": map[string]any{"syncDelay": -7, "syncDelaySampleTimestamp": now},
	})
	if err != nil {
		t.Fatal(err)
	}
	_, oms := newOMS(t, omssim.Options{Projects: []string{string(task)}})

	table, err := tasksOf(t, "--oms.url="+oms)

	if err != nil || strings.ContainsFunc(table, func(r rune) bool { return r != '\n' && !unicode.IsPrint(r) }) {
		t.Errorf("%v %q", err, table)
	}
	out, err := tasksOf(t, "--oms.url="+oms, "--format=csv")
	if err != nil {
		t.Fatal(err)
	}
	lines, err := csv.NewReader(strings.NewReader(out)).ReadAll()
	if err != nil || len(lines) != 2 {
		t.Fatalf("%d lines: %v\n%s", len(lines), err, out)
	}
	for i, cell := range lines[1] {
		if _, numeric := map[string]bool{"delay_seconds": true, "checkpoint_age_seconds": true}[lines[0][i]]; numeric {
			continue
		}
		if strings.ContainsFunc(cell, unicode.IsControl) || cell != "" && strings.ContainsAny(cell[:1], "=+-@") {
			t.Errorf("%s: %q", lines[0][i], cell)
		}
	}
	if delay := lines[1][slices.Index(lines[0], "delay_seconds")]; delay != "-7" {
		t.Errorf("the delay is %q, want the number -7", delay)
	}
}

func TestTasksHaveColorsOnlyOnATerminalThatWantsThem(t *testing.T) {
	rows := []row{}
	synctest.Test(t, func(t *testing.T) {
		s, _ := siteOf(t, smallFleet())
		rows = overviewOf(t.Context(), s.targets.all(), lookOnce).Tasks
	})
	var colored, plain bytes.Buffer
	writeTable(&colored, rows, screen{terminal: true, color: true, columns: 80})
	writeTable(&plain, rows, screen{terminal: true, columns: 80})
	if !strings.Contains(colored.String(), "\x1b[31mThe task has failed") || strings.Contains(plain.String(), "\x1b") {
		t.Errorf("colored:\n%q\nplain:\n%q", colored.String(), plain.String())
	}
	if got := regexp.MustCompile(`\x1b\[\d+m`).ReplaceAllString(colored.String(), ""); got != plain.String() {
		t.Errorf("colors move columns:\n%s\n%s", got, plain.String())
	}
	if s := screenOf(&plain); s.color || s.terminal {
		t.Errorf("a buffer is a terminal: %+v", s)
	}
}

func TestTasksAreWatchedUntilInterrupted(t *testing.T) {
	sim, oms := newOMS(t, omssim.Options{Projects: smallFleet()})
	p := launch(t, "tasks", "--oms.url="+oms, "--watch", "--interval=1s")

	p.stdout.await(t, regexp.MustCompile(`(?s)TASK .*TASK .*archive`))
	sim.SetFaults(omssim.Fault{Kind: "unauthorized"})
	p.stdout.await(t, regexp.MustCompile(`not answering: the account is refused`))

	if err := p.stop(t); err != nil {
		t.Errorf("interrupted: %v", err)
	}
}

func TestTasksEndWhenInterrupted(t *testing.T) {
	sim, err := omssim.New(omssim.Options{})
	if err != nil {
		t.Fatal(err)
	}
	g := newGate(t, sim)
	p := launch(t, "tasks", "--oms.url="+g.url)
	<-g.asked
	p.cancel()
	defer close(g.opened)

	if err := p.wait(t); err == nil || errors.As(err, new(usageError)) || err.Error() != "interrupted" {
		t.Errorf("%v, want interrupted", err)
	}
	p.err = nil
}
