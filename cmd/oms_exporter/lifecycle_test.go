package main

import (
	"context"
	"errors"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"oms_exporter/omsclient/omssim"
)

func TestAScrapeUnderWayIsFinishedBeforeTheEnd(t *testing.T) {
	oms := newGate(t, simulated(t, projects(t)))
	p := start(t, "--oms.url="+oms.url)
	release := oms.hold(t, p.url+"/metrics")

	p.cancel()
	awaitClosed(t, p.url)
	r := release()

	if r.status != http.StatusOK {
		t.Fatalf("status %d, want 200: %s", r.status, r.body)
	}
	parseText(t, r.body).expect(t, map[string]float64{"oms_up": 1})
	if err := p.wait(t); err != nil {
		t.Errorf("ended with %v, want nil", err)
	}
	if !strings.HasSuffix(p.stderr.String(), "msg=stopped\n") {
		t.Errorf("the log does not end with stopped:\n%s", p.stderr)
	}
}

// awaitClosed waits until nothing listens at a URL.
func awaitClosed(t *testing.T, url string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for range time.Tick(5 * time.Millisecond) {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", strings.TrimPrefix(url, "http://"))
		if ctx.Err() != nil {
			t.Fatalf("something still listens at %s", url)
		}
		if err != nil {
			return
		}
		_ = conn.Close()
	}
}

func TestTheEndLeavesNoConnectionToOMS(t *testing.T) {
	closed := make(chan struct{}, 1)
	server := httptest.NewUnstartedServer(simulated(t, projects(t)))
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateClosed {
			closed <- struct{}{}
		}
	}
	server.Start()
	t.Cleanup(server.Close)
	p := start(t, "--oms.url="+server.URL)
	scrape(t, p)

	if err := p.stop(t); err != nil {
		t.Error(err)
	}

	select {
	case <-closed:
	case <-time.After(patience):
		t.Error("the connection is still open")
	}
}

// TestTheEndLeavesNoListing has a scraper that hangs up, whose listing would go on for a while.
func TestTheEndLeavesNoListing(t *testing.T) {
	hung, asked := hungOMS(t)
	before := goleak.IgnoreCurrent()
	p := start(t, "--oms.url="+hung)
	_, _ = ask(p.url+"/metrics", 200*time.Millisecond)
	<-asked

	if err := p.stop(t); err != nil {
		t.Error(err)
	}

	goleak.VerifyNone(t, before)
}

func TestASuccessfulScrapeLogsNothing(t *testing.T) {
	_, url := newOMS(t, omssim.Options{Tasks: 10, Scenarios: []string{"following"}})
	p := start(t, "--oms.url="+url)
	p.stderr.await(t, regexp.MustCompile("TLS is disabled.*\n"))
	before := p.stderr.String()

	for range 3 {
		scrape(t, p)
	}

	if after := p.stderr.String(); after != before {
		t.Errorf("it logged:\n%s", strings.TrimPrefix(after, before))
	}
}

func TestLogsCanBeJSON(t *testing.T) {
	p := launch(t, "--oms.url=http://127.0.0.1:1", "--web.listen-address=127.0.0.1:0", "--log.format=json")

	p.stderr.await(t, regexp.MustCompile(
		`(?m)^\{"address":"127.0.0.1:\d+",.*"level":"info","msg":"Listening on","time":"\d{4}-.*\}$`))
}

func TestLogsBelowTheLevelAreLeftOut(t *testing.T) {
	sim, url := newOMS(t, omssim.Options{})
	sim.SetFaults(omssim.Fault{Kind: "api_error"})
	address := taken(t)
	p := launch(t, "demo", "--web.listen-address="+address, "--log.level=error")
	if err := p.wait(t); err == nil {
		t.Error("no error although the address is taken")
	}
	p.err = nil
	quiet := launch(t, "--oms.url="+url, "--web.listen-address=127.0.0.1:0", "--log.level=error")
	if err := quiet.stop(t); err != nil {
		t.Error(err)
	}
	if log := p.stderr.String() + quiet.stderr.String(); log != "" {
		t.Errorf("it logged:\n%s", log)
	}
}

func TestQuestionsAreAnsweredWithoutStarting(t *testing.T) {
	for question, want := range map[string][]string{
		"--version":     {"oms_exporter, version", "go version"},
		"--help":        {"usage: oms_exporter", "serve", "demo", "simulate"},
		"help":          {"usage: oms_exporter"},
		"serve --help":  {"--oms.url", "$OMS_URL", "--[no-]collector.step", "--web.config.file"},
		"help simulate": {"--sim.fault", "truncated@3", "html_502"},
		"demo --help":   {"--sim.scenario", "following"},
	} {
		t.Run(question, func(t *testing.T) {
			stdout, stderr := newOutput(), newOutput()

			err := run(t.Context(), strings.Fields(question), stdout, stderr)
			if err != nil {
				t.Errorf("error %v, want nil", err)
			}

			for _, part := range want {
				if !strings.Contains(stdout.String(), part) {
					t.Errorf("the answer does not say %q:\n%s", part, stdout)
				}
			}
			if stderr.String() != "" {
				t.Errorf("the log has:\n%s", stderr)
			}
		})
	}
}

func TestTheCompletionScriptIsPrinted(t *testing.T) {
	file, err := os.Create(filepath.Join(t.TempDir(), "stdout"))
	if err != nil {
		t.Fatal(err)
	}
	before := os.Stdout
	t.Cleanup(func() { os.Stdout = before })
	os.Stdout = file // kingpin writes scripts there, whatever writer it has

	err = run(t.Context(), []string{"--completion-script-bash"}, newOutput(), newOutput())

	if err := errors.Join(err, file.Close()); err != nil {
		t.Errorf("error %v, want nil", err)
	}
	if script := readFile(t, file.Name()); !strings.Contains(script, "complete -F _oms_exporter") {
		t.Errorf("no script for bash:\n%s", script)
	}
}

func TestTheDemoShowsDelaysOfSimulatedTasks(t *testing.T) {
	p := start(t, "demo", "--sim.tasks=30", "--web.telemetry-path=/delays")

	r := get(t, p.url+"/delays")

	up := parseText(t, r.body)
	up.expect(t, map[string]float64{"oms_up": 1, "oms_api_reported_tasks": 30})
	if n := len(up["oms_task_sync_delay_seconds"].GetMetric()); n < 10 {
		t.Errorf("%d delays, want at least 10", n)
	}
	for _, part := range []string{"30 tasks", "http://127.0.0.1:", "/delays", "Ctrl-C"} {
		if !strings.Contains(p.stdout.String(), part) {
			t.Errorf("it does not say %q:\n%s", part, p.stdout)
		}
	}
	if err := p.stop(t); err != nil {
		t.Errorf("ended with %v, want nil", err)
	}
}

func TestTheDemoIsWhatTheFlagsSay(t *testing.T) {
	p := start(t, "demo", "--sim.tasks=5", "--sim.scenario=copying", "--no-collector.alarm")

	got := scrape(t, p)

	if names := slices.Sorted(maps.Keys(got.values("oms_task_step_status", "step"))); !slices.Contains(
		names, "FULL_TRANSFER") {
		t.Errorf("no task copies, the steps are %q", names)
	}
	if got["oms_task_alarming"] != nil {
		t.Error("alarms are there although switched off")
	}
}

func TestTheURLToOpenHasAHostThatABrowserKnows(t *testing.T) {
	for address, want := range map[string]string{
		":10667": "localhost:10667", "0.0.0.0:80": "localhost:80", "[::]:80": "localhost:80",
		"127.0.0.1:80": "127.0.0.1:80", "[::1]:80": "[::1]:80", "oms.example:80": "oms.example:80",
		"vsock://:9100": "vsock://:9100", "": "",
	} {
		if got := browsable(address); got != want {
			t.Errorf("browsable(%q) = %q, want %q", address, got, want)
		}
	}
}

func TestASimulationIsAnOMSWithFaultsToSwitchOn(t *testing.T) {
	password := writeFile(t, "sesame\n")
	sim := start(t, "simulate", "--sim.username=viewer", "--sim.password-file="+password,
		"--sim.tasks=20", "--sim.style=quoted", "--sim.gzip", "--sim.fault=html_502",
		"--sim.blob-bytes=2000", "--sim.time-scale=60", "--sim.scenario=following")
	p := start(t, "--oms.url="+sim.url, "--oms.username=viewer", "--oms.password-file="+password)
	scrapeSoon := []string{"X-Prometheus-Scrape-Timeout-Seconds", "0.6"}

	expectOutage(t, scrape(t, p, scrapeSoon...), "http_status")
	if r := get(t, sim.url+"/sim/faults"); r.body != "html_502\n" {
		t.Errorf("the fault of the flag is %q, want html_502", r.body)
	}
	send(t, http.MethodPut, sim.url+"/sim/faults", "api_error\n")
	expectOutage(t, scrape(t, p), "api_error")
	send(t, http.MethodDelete, sim.url+"/sim/faults", "")
	up := scrape(t, p)

	up.expect(t, map[string]float64{"oms_up": 1, "oms_api_reported_tasks": 20})
	if n := up.tasks(); n != 20 {
		t.Errorf("%d tasks have series, want 20", n)
	}
	if r := send(t, http.MethodPost, sim.url+"/api/v2?Action=ListProjects", "{}"); r.status != 401 {
		t.Errorf("status %d without credentials, want 401", r.status)
	}
	if err := sim.stop(t); err != nil {
		t.Errorf("ended with %v, want nil", err)
	}
}
