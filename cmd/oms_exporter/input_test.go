package main

import (
	"context"
	"net"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// A mistake is a command line that the program rejects.
type mistake struct {
	name string
	args []string
	env  map[string]string
	want []string // what the error has to say
	status
}

// A status is the expected exit status; 0 stands for 2.
type status int

func TestBadInput(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "missing")
	secret := writeFile(t, "wrong horse\n")
	const url = "--oms.url=https://oms.example:8089"
	for _, m := range []mistake{
		{name: "no URL", want: []string{"--oms.url", "OMS_URL", "https://oms.example:8089", "demo"}},
		{name: "a file and flags", args: []string{url, "--config.file=oms.yml"}, want: []string{"--config.file and --oms.url"}},
		{name: "URL without scheme", args: []string{"--oms.url=oms.example:8089"}, want: []string{"--oms.url", "https://oms.example:8089"}},
		{name: "URL without host", args: []string{"--oms.url=http://"}, want: []string{"--oms.url", "https://oms.example:8089"}},
		{name: "URL of another scheme", env: map[string]string{"OMS_URL": "ftp://oms.example"}, want: []string{"--oms.url", "http:// or https://"}},
		{name: "URL with a space", args: []string{"--oms.url=http://oms example"}, want: []string{"--oms.url", "not a URL"}},
		{name: "URL with a query", args: []string{"--oms.url=http://oms.example/?a=b"}, want: []string{"--oms.url", "must not have a query"}},
		{name: "URL of the API", args: []string{"--oms.url=http://oms.example/api/v2/"}, want: []string{"--oms.url", "leave out /api/v2"}},
		{name: "URL with a password", args: []string{"--oms.url=https://viewer:wrong+horse@oms.example"}, want: []string{"--oms.url", "must not hold a user name or password"}},
		{name: "malformed URL with a password", env: map[string]string{"OMS_URL": "https://viewer:wrong horse%@oms.example:80:90"}, want: []string{"--oms.url", "must not hold a user name or password"}},
		{name: "password without account", args: []string{url}, env: map[string]string{"OMS_PASSWORD": "wrong horse"}, want: []string{"--oms.username", "OMS_USERNAME"}},
		{name: "password of two lines", args: []string{url}, env: map[string]string{"OMS_USERNAME": "viewer", "OMS_PASSWORD": "wrong\nhorse"}, want: []string{"OMS_PASSWORD: has a line break"}},
		{name: "password file without account", args: []string{url, "--oms.password-file=" + secret}, want: []string{"--oms.username", "OMS_USERNAME"}},
		{name: "account without password", args: []string{url}, env: map[string]string{"OMS_USERNAME": "viewer"}, want: []string{"--oms.username", "--oms.password-file", "OMS_PASSWORD"}},
		{name: "no tasks on a page", args: []string{url, "--oms.page-size=0"}, want: []string{"--oms.page-size: must be 1 to 150, not 0"}},
		{name: "too many tasks on a page", args: []string{url, "--oms.page-size=151"}, want: []string{"--oms.page-size: must be 1 to 150, not 151"}},
		{name: "page size of 1.5", args: []string{url, "--oms.page-size=1.5"}, want: []string{"--oms.page-size=1.5: must be a whole number, 0 or more"}},
		{name: "port that is none", args: []string{url, "--web.listen-address=:99999"}, want: []string{`--web.listen-address=:99999: "99999" is not a port: write a number from 0 to 65535`}},
		{name: "excluded status in lower case", args: []string{url, "--oms.exclude-status=released"}, want: []string{`--oms.exclude-status: OMS does not know "released": write RELEASED`}},
		{name: "time zone", args: []string{url, "--oms.timezone=+08:00"}, want: []string{`--oms.timezone: no time zone is named "+08:00": write an IANA name, such as Asia/Shanghai`}},
		{name: "page size that is no number", args: []string{url, "--oms.page-size=many"}, want: []string{"--oms.page-size=many", "--help"}},
		{name: "no request at once", args: []string{url, "--oms.concurrency=0"}, want: []string{"--oms.concurrency: must be 1 to 100, not 0"}},
		{name: "negative limit of tasks", args: []string{url, "--oms.max-tasks=-1"}, want: []string{"--oms.max-tasks=-1: must be a whole number, 0 or more"}},
		{name: "negative limit of scrapes", args: []string{url, "--web.max-requests=-1"}, want: []string{"--web.max-requests=-1: must be a whole number, 0 or more"}},
		{name: "unknown flag", args: []string{url, "--oms.password=x"}, want: []string{"--oms.password", "--help"}},
		{name: "unknown command", args: []string{"prove"}, want: []string{"prove", "--help"}},
		{name: "bad duration", args: []string{url, "--scrape.timeout=soon"}, want: []string{"--scrape.timeout=soon", "--help"}},
		{name: "no time at all", args: []string{url, "--scrape.timeout=0s"}, want: []string{"--scrape.timeout=0s", "more than 0"}},
		{name: "negative offset", args: []string{url, "--scrape.timeout-offset=-1s"}, want: []string{"--scrape.timeout-offset=-1s: must be a duration such as 30s or 1m30s, and not negative"}},
		{name: "unknown log level", args: []string{url, "--log.level=loud"}, want: []string{"--log.level=loud", "debug,info,warn,error"}},
		{name: "empty telemetry path", args: []string{url, "--web.telemetry-path="}, want: []string{"--web.telemetry-path", "slash"}},
		{name: "telemetry path without slash", args: []string{url, "--web.telemetry-path=metrics"}, want: []string{"--web.telemetry-path", "slash"}},
		{name: "telemetry path that looks like a host", args: []string{url, "--web.telemetry-path=a/b"}, want: []string{"--web.telemetry-path", "slash"}},
		{name: "telemetry path of the landing page", args: []string{url, "--web.telemetry-path=/"}, want: []string{"--web.telemetry-path=/:", "something else there"}},
		{name: "telemetry path of the health check", args: []string{"demo", "--web.telemetry-path=/-/healthy", "--web.listen-address=127.0.0.1:0"}, want: []string{"--web.telemetry-path=/-/healthy", "something else there"}},
		{name: "missing web configuration", args: []string{url, "--web.config.file=" + missing}, want: []string{"--web.config.file", missing}},
		{name: "web configuration with a bare password", args: []string{url, "--web.config.file=" + writeFile(t, "basic_auth_users: {a: wrong horse}\n")}, want: []string{"--web.config.file", "bcrypt"}},
		{name: "unknown fault", args: []string{"simulate", "--sim.fault=earthquake"}, want: []string{"--sim.fault", "earthquake"}},
		{name: "unknown scenario", args: []string{"simulate", "--sim.scenario=spring"}, want: []string{"--sim", "scenario", "spring", "--help"}},
		{name: "negative fleet", args: []string{"demo", "--sim.tasks=-1"}, want: []string{"--sim.tasks=-1: must be a whole number, 0 or more"}},
		{name: "time that stands still", args: []string{"demo", "--sim.time-scale=0"}, want: []string{"--sim.time-scale=0", "more than 0"}},
		{name: "simulated account without password", args: []string{"simulate", "--sim.username=viewer"}, want: []string{"--sim.username", "--sim.password-file"}},
		{name: "missing simulated password", args: []string{"simulate", "--sim.password-file=" + missing}, want: []string{"--sim.password-file", missing}},
		{name: "address without port", args: []string{url, "--web.listen-address=nowhere"}, want: []string{"--web.listen-address=nowhere: must be HOST:PORT or :PORT"}},
		{name: "address in use", args: []string{url, "--web.listen-address=" + taken(t)}, want: []string{"listen", "127.0.0.1", "in use", "--web.listen-address"}, status: 1},
		{name: "simulated address in use", args: []string{"simulate", "--web.listen-address=" + taken(t)}, want: []string{"listen", "in use"}, status: 1},
	} {
		t.Run(m.name, func(t *testing.T) { expectRefusal(t, m) })
	}
}

// expectRefusal runs the program, which must exit at once.
func expectRefusal(t *testing.T, m mistake) {
	t.Helper()
	for name, value := range m.env {
		t.Setenv(name, value)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience) // in case it does start
	defer cancel()
	stdout, stderr := newOutput(), newOutput()

	err := run(ctx, m.args, stdout, stderr)

	if err == nil {
		t.Fatalf("no error, log:\n%s", stderr)
	}
	want := 2
	if m.status != 0 {
		want = int(m.status)
	}
	if got := exitStatus(err); got != want {
		t.Errorf("exit status %d, want %d: %v", got, want, err)
	}
	for _, part := range m.want {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("the error does not say %q: %v", part, err)
		}
	}
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("the error has several lines: %v", err)
	}
	all := err.Error() + stdout.String() + stderr.String()
	if regexp.MustCompile(`wrong.?horse`).MatchString(all) {
		t.Errorf("the password is public: %s", all)
	}
	if listening.MatchString(all) || simulating.MatchString(all) {
		t.Errorf("it has listened:\n%s", all)
	}
}

// taken returns an address that something listens on.
func taken(t *testing.T) string {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	return listener.Addr().String()
}
