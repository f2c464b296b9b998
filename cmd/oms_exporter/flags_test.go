package main

import (
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestEveryFlagHasAnEnvironmentVariable(t *testing.T) {
	short := map[string]string{
		"oms.url": "OMS_URL", "oms.username": "OMS_USERNAME", "oms.password-file": "OMS_PASSWORD_FILE",
	}
	for _, cmd := range newApp(map[string]command{}).Model().Commands {
		for _, f := range cmd.Flags {
			want := short[f.Name]
			switch {
			case cmd.Name == "health":
				want = envarOf("health." + f.Name)
			case want == "":
				want = envarOf(f.Name)
			}
			if f.Envar != want {
				t.Errorf("%s --%s has the environment variable %q, want %q", cmd.Name, f.Name, f.Envar, want)
			}
		}
	}
	t.Setenv("OMS_EXPORTER_WEB_TELEMETRY_PATH", "nonsense")

	_, err := runUntilListening(t, "--oms.url=http://a.example", "--web.listen-address=127.0.0.1:0")

	if err == nil || exitStatus(err) != 2 || !strings.Contains(err.Error(), `--web.telemetry-path="nonsense"`) {
		t.Errorf("%v, want what is wrong with --web.telemetry-path", err)
	}
}

func TestHelpBeginsWithTheFlagsOfServe(t *testing.T) {
	t.Parallel()
	stdout := newOutput()
	if err := run(t.Context(), []string{"--help"}, stdout, io.Discard); err != nil {
		t.Fatal(err)
	}
	order := regexp.MustCompile(`(?s)Flags of serve:.*--config\.file.*\(\$OMS_EXPORTER_LOG_LEVEL\).*Commands:.*\nserve\*.*\nhealth`)
	if !order.MatchString(stdout.String()) {
		t.Errorf("got\n%s\nwant %s", stdout, order)
	}
}

// TestTheManPageHasATitleAndAName in the lines where man, lexgrog and mandb look for them.
func TestTheManPageHasATitleAndAName(t *testing.T) {
	t.Parallel()
	stdout := newOutput()
	if err := run(t.Context(), []string{"--help-man"}, stdout, io.Discard); err != nil {
		t.Fatal(err)
	}
	begin := regexp.MustCompile(
		"^\\.TH oms_exporter 1 \"\" \"oms_exporter [^\"\n]*\" \"User Commands\"\n\\.SH \"NAME\"\noms_exporter \\\\- Prometheus exporter [^\n]*\n\\.SH")
	if !begin.MatchString(stdout.String()) || !strings.Contains(stdout.String(), `\fB--oms.url=`) {
		t.Errorf("got\n%s\nwant %s", stdout, begin)
	}
}

func TestShellsCompleteCommandsScenariosAndFaults(t *testing.T) {
	t.Parallel()
	program := buildProgram(t)
	const complete = `PATH=$1:$PATH; shift
eval "$(oms_exporter --completion-script-bash)"
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _oms_exporter_bash_autocomplete; echo "${COMPREPLY[*]}"`
	for typed, want := range map[string]string{
		"s":                            "serve scrape simulate",
		"simulate --sim.scenario fro":  "frozen",
		"simulate --sim.scenario = fr": "frozen", // the words that bash makes of --sim.scenario=fr
		"simulate --sim.fault html":    "html_502",
		"simulate --sim.sc":            "--sim.scenario",
	} {
		args := append([]string{"-c", complete, "bash", filepath.Dir(program), "oms_exporter"}, strings.Fields(typed)...)
		out, err := exec.CommandContext(t.Context(), "bash", args...).CombinedOutput()
		if got := strings.TrimSpace(string(out)); err != nil || got != want {
			t.Errorf("%s: %q, %v, want %q", typed, got, err, want)
		}
	}
	out, err := exec.CommandContext(t.Context(), program, "--completion-bash", "").Output() // as zsh asks, too
	if err != nil || !slices.Contains(strings.Fields(string(out)), "health") {
		t.Errorf("the commands are %q, %v", out, err)
	}
}

func TestTheVersionIsNeverEmpty(t *testing.T) {
	t.Parallel()
	out, err := exec.CommandContext(t.Context(), buildProgram(t), "--version").Output()
	if err != nil || !regexp.MustCompile(`^oms_exporter, version [^ (]`).Match(out) {
		t.Errorf("%s, %v", out, err)
	}
}

// TestTheDemoSaysWhatToOpenOnceItIsThere and not before.
func TestTheDemoSaysWhatToOpenOnceItIsThere(t *testing.T) {
	t.Parallel()
	taken, stdout := listenLocally(t), newOutput()
	t.Cleanup(func() { _ = taken.Close() })

	err := run(t.Context(), []string{"demo", "--web.listen-address=" + taken.Addr().String()}, stdout, io.Discard)

	if err == nil || stdout.String() != "" {
		t.Errorf("%v; it says\n%s", err, stdout)
	}
	p := start(t, "demo", "--sim.tasks=5")
	open := regexp.MustCompile(`(http://127\.0\.0\.1:\d+/) +the tasks`).FindStringSubmatch(p.stdout.String())
	if open == nil {
		t.Fatalf("it does not say what to open:\n%s", p.stdout)
	}
	if page := get(t, open[1]); page.status != http.StatusOK {
		t.Error(page)
	}
}
