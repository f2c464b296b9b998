package main

import (
	"context"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
)

// An ear hears what a program says, and ends it when it says that it has started.
type ear struct {
	mu   sync.Mutex
	said strings.Builder
	end  context.CancelFunc
}

var hasStarted = regexp.MustCompile(`msg="(Listening on|simulating an OMS)"`)

// Write implements [io.Writer].
func (e *ear) Write(b []byte) (int, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if hasStarted.Match(b) {
		e.end()
	}
	return e.said.Write(b)
}

// runUntilListening runs the program until it ends, or has started, and returns
// what it has said and its error.
func runUntilListening(t *testing.T, args ...string) (said string, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	e := &ear{end: cancel}
	err = run(ctx, args, e, e)
	return e.said.String(), err
}

// foreign are words of libraries and of Go that say nothing to who writes a
// configuration.
var foreign = regexp.MustCompile(
	`!!|unmarshal|strconv|map\[|\*?main\.|\bint\b|octet|ParseFloat|yaml:|\b(model|config)\.[A-Z]|goroutine`)

// A misconfiguration is a file that cannot mean what it says.
type misconfiguration struct {
	name, file string
	line       string   // or lines, as a regular expression
	key        string   // the last part of it at least, as a regular expression
	says       []string // regular expressions
}

// oneTarget is the beginning of most files: 3 lines.
const oneTarget = "targets:\n  a:\n    url: http://a.example\n"

var misconfigurations = []misconfiguration{
	// Thresholds.
	{"importance in lower case", oneTarget + "delay_thresholds:\n  importance:\n    high: {warning: 1m, critical: 5m}\n", "6", "high", []string{"HIGH"}},
	{"importance in mixed case", oneTarget + "delay_thresholds:\n  importance:\n    HIGH: {warning: 1m, critical: 5m}\n    Medium: {warning: 1m, critical: 5m}\n", "7", "Medium", []string{"MEDIUM"}},
	{"an override without a threshold", oneTarget + "delay_thresholds:\n  overrides:\n    - {name: \"a.*\"}\n", "6", "overrides", []string{"warning", "critical"}},
	{"a second override without a threshold", oneTarget + "delay_thresholds:\n  overrides:\n    - {id: np_1, warning: 1m, critical: 2m}\n    - tag: gold\n", "7", "overrides", []string{"warning"}},
	{"an importance without a threshold", oneTarget + "delay_thresholds:\n  importance:\n    HIGH: {}\n", "6", "HIGH", []string{"warning"}},
	{"an override for nothing", oneTarget + "delay_thresholds:\n  overrides:\n    - {warning: 5m, critical: 6m}\n", "6", "overrides", []string{"id", "tag", "name"}},
	{"crossed thresholds of an importance", oneTarget + "delay_thresholds:\n  importance:\n    HIGH: {warning: 5m, critical: 1m}\n", "6", "HIGH", []string{"5m", "1m"}},
	{"crossed thresholds of an override", oneTarget + "delay_thresholds:\n  overrides:\n    - tag: gold\n      warning: 5m\n      critical: 1m\n", "6|7|8", "overrides", []string{"5m", "1m"}},
	{"only a warning for an importance", oneTarget + "delay_thresholds:\n  importance:\n    HIGH: {warning: 2h}\n", "6", "HIGH", []string{"critical"}},
	{"only a warning for an override", oneTarget + "delay_thresholds:\n  overrides:\n    - {tag: gold, warning: 2h}\n", "6", "overrides", []string{"critical"}},
	// Durations.
	{"duration without unit", oneTarget + "    timeout: 30\n", "4", "timeout", []string{"30s"}},
	{"duration without unit, in quotes", oneTarget + "    page_timeout: \"30\"\n", "4", "page_timeout", []string{`\d(s|m)`}},
	{"negative duration", oneTarget + "    timeout: -1m\n", "4", "timeout", []string{"-1m"}},
	{"negative threshold", oneTarget + "delay_thresholds:\n  importance:\n    HIGH:\n      warning: -1m\n      critical: 5m\n", "7", "warning", []string{"-1m"}},
	{"duration of words", oneTarget + "    page_timeout: soon\n", "4", "page_timeout", []string{`\d(s|m)`}},
	{"duration with a space", oneTarget + "    timeout: 1 m\n", "4", "timeout", []string{`\d(s|m)`}},
	{"duration in an override", oneTarget + "delay_thresholds:\n  overrides:\n    - tag: gold\n      warning: 90\n      critical: 5m\n", "7", "warning", []string{`\d(s|m)`}},
	{"a duration too long", oneTarget + "    timeout: 99999999999999999999d\n", "4", "timeout", nil},
	// Regular expressions.
	{"expression that does not close", oneTarget + "    exclude:\n      names: 'test_(.*'\n", "5", "names", []string{"expression|RE2"}},
	{"expression of another dialect", oneTarget + "    exclude: {names: '(?<!x)y'}\n", "4", "names", []string{"expression|RE2"}},
	{"expression of an override", oneTarget + "delay_thresholds:\n  overrides:\n    - name: '['\n      warning: 1m\n      critical: 2m\n", "6", "name", []string{"expression|RE2"}},
	// Types.
	{"targets as a list", "targets:\n  - url: http://a.example\n", "1|2", "targets", nil},
	{"text for a number", oneTarget + "    page_size: many\n", "4", "page_size", []string{"number"}},
	{"a fraction for a number", oneTarget + "    concurrency: 2.5\n", "4", "concurrency", []string{"number"}},
	{"a number too large", oneTarget + "    max_tasks: 99999999999999999999\n", "4", "max_tasks", nil},
	{"text for a map", oneTarget + "    filter: MIGRATION\n", "4", "filter", nil},
	{"text for a list", oneTarget + "    filter:\n      statuses: {a: b}\n", "5", "statuses", []string{"list"}},
	{"a list for a text", "targets:\n  a:\n    url: [http://a.example]\n", "3", "url", nil},
	{"text for yes or no", oneTarget + "    filter: {subtasks: perhaps}\n", "4", "subtasks", []string{"true"}},
	{"text for labels", oneTarget + "    labels: prod\n", "4", "labels", nil},
	{"a list of labels", oneTarget + "    labels: {region: [hz]}\n", "4", "labels", nil},
	{"text for the client", oneTarget + "    http_client:\n      basic_auth: viewer\n", "5", "basic_auth", nil},
	{"a text for all", "prod\n", "1", "", nil},
	{"a list for all", "- a\n", "1", "", nil},
	{"no target in a target", "targets:\n  a:\n", "2", "a", []string{"url"}},
	{"a target without url", "targets:\n  a:\n    page_size: 3\n", "2|3", "a", []string{"url"}},
	// Encodings and syntax.
	{"not UTF-8", oneTarget + "    labels: {region: \"\xc4\xe3\"}\n", "4", "", []string{"UTF-8"}},
	{"a NUL byte", oneTarget + "    labels: {region: \"a\x00\"}\n", "4", "", nil},
	{"a tab", "targets:\n\ta:\n", "2", "", []string{"tab|indent"}},
	{"a bracket that does not close", oneTarget + "    labels: {region: hz\n", "4|5", "", nil},
	{"a second document", oneTarget + "---\ntargets:\n  b:\n    url: http://b.example\n", "4|5", "", []string{"document"}},
	{"an empty second document with a comment", oneTarget + "---\n# later\ntargets: {}\n", "4|5|6", "", []string{"document"}},
	{"an alias without its anchor", oneTarget + "    http_client:\n      basic_auth: {username: viewer, password: *canary}\n", "5", "", []string{"quotes"}},
	// Keys.
	{"an unknown key", oneTarget + "    pagesize: 3\n", "4", "pagesize", []string{"unknown"}},
	{"an unknown key of the client", oneTarget + "    http_client:\n      pasword: x\n", "5", "pasword", []string{"unknown"}},
	{"a key twice", oneTarget + "    url: http://b.example\n", "4", "url", []string{"twice"}},
	{"a target twice", oneTarget + "  a: {url: http://b.example}\n", "4", "a", []string{"twice"}},
	{"a key in another letter case", "Targets:\n  a: {url: http://a.example}\n", "1", "Targets", nil},
	// Accounts.
	{"user name without password", oneTarget + "    http_client:\n      basic_auth: {username: viewer}\n", "4|5", "basic_auth|http_client", []string{"password"}},
	{"user name with an empty password", oneTarget + "    http_client:\n      basic_auth: {username: viewer, password: \"\"}\n", "4|5", "basic_auth|http_client", []string{"password"}},
	{"password without user name", oneTarget + "    http_client:\n      basic_auth: {password: canary}\n", "4|5", "basic_auth|http_client", []string{"username"}},
	{"two passwords", oneTarget + "    http_client:\n      basic_auth: {username: viewer, password: canary, password_file: x}\n", "4|5", "basic_auth|http_client", []string{"password_file"}},
	{"two ways to say who it is", oneTarget + "    http_client:\n      basic_auth: {username: viewer, password: canary}\n      authorization: {credentials: canary}\n", "4|5|6", "http_client", []string{"basic_auth"}},
	{"a token of nothing", oneTarget + "    http_client:\n      authorization: {type: Bearer}\n", "4|5", "authorization|http_client", []string{"credentials"}},
	{"a certificate without its key", oneTarget + "    http_client:\n      tls_config: {cert_file: /x}\n", "4|5", "tls_config|http_client", []string{"key_file"}},
	{"a proxy that is no URL", oneTarget + "    http_client:\n      proxy_url: \"http://a b:x\"\n", "4|5", "proxy_url", nil},
	{"a TLS version nobody has", oneTarget + "    http_client:\n      tls_config: {min_version: TLS99}\n", "4|5", "min_version|tls_config|http_client", nil},
	// Labels.
	{"label job", oneTarget + "    labels: {job: mine}\n", "4", "labels", []string{"job", "Prometheus"}},
	{"label instance", oneTarget + "    labels: {instance: mine}\n", "4", "labels", []string{"instance", "Prometheus"}},
	{"label status", oneTarget + "    labels:\n      region: hz\n      status: prod\n", "6", "labels|status", []string{"status"}},
	{"label task_id", oneTarget + "    labels: {task_id: x}\n", "4", "labels", []string{"task_id"}},
	{"label task_name", oneTarget + "    labels: {task_name: x}\n", "4", "labels", []string{"task_name"}},
	{"label reason", oneTarget + "    labels: {reason: x}\n", "4", "labels", []string{"reason"}},
	{"label importance", oneTarget + "    labels: {importance: x}\n", "4", "labels", []string{"importance"}},
	{"label direction", oneTarget + "    labels: {direction: x}\n", "4", "labels", []string{"direction"}},
	{"label step", oneTarget + "    labels: {step: x}\n", "4", "labels", []string{"step"}},
	{"label tag", oneTarget + "    labels: {tag: x}\n", "4", "labels", []string{"tag"}},
	{"label of Prometheus", oneTarget + "    labels: {__address__: x}\n", "4", "labels", []string{"__address__"}},
	{"label with a dash", oneTarget + "    labels: {a-b: c}\n", "4", "labels", []string{"a-b"}},
	// Names and addresses.
	{"a target named .", "targets:\n  .: {url: http://a.example}\n", "2", "targets", []string{`"\."`}},
	{"a target named ..", "targets:\n  b: {url: http://a.example}\n  ..: {url: http://a.example}\n", "3", "targets", []string{`"\.\."`}},
	{"a target named like a URL", "targets:\n  http://a: {url: http://a.example}\n", "2", "targets", []string{"http://a"}},
	{"a URL without scheme", "targets:\n  a:\n    url: oms.example:8089\n", "3", "url", []string{"https://"}},
	{"a URL with a password", "targets:\n  a:\n    page_size: 3\n    url: http://me:canary@oms.example\n", "4", "url", []string{"password"}},
	{"a URL of a variable", "targets:\n  a:\n    url: ${OMS_URL}\n", "3", "url", []string{"https://"}},
	{"a URL of the API", "targets:\n  a:\n    url: http://oms.example/api/v2\n", "3", "url", []string{"/api/v2"}},
	{"the second target", "targets:\n  a:\n    url: http://a.example\n  b:\n    url: b.example\n", "5", "url", nil},
	{"port 0", "targets:\n  a:\n    url: http://a.example:0\n", "3", "url", []string{"no port 0", "65535"}},
	{"port 99999", "targets:\n  a:\n    url: http://a.example:99999\n", "3", "url", []string{"no port 99999"}},
	{"a host of a dot", "targets:\n  a:\n    url: http://.\n", "3", "url", []string{"host"}},
	{"an IP address that is none", "targets:\n  a:\n    url: http://256.1.1.1\n", "3", "url", []string{`"256\.1\.1\.1"`}},
	{"a name with a colon", oneTarget + "    http_client:\n      basic_auth: {username: 'a:b', password: canary}\n", "5", "username", []string{"colon"}},
	{"a type of two words", oneTarget + "    http_client:\n      authorization: {type: 'Bea rer', credentials: canary}\n", "5", "type", []string{"word"}},
	{"a header of the message", oneTarget + "    http_client:\n      http_headers:\n        transfer-encoding: {values: [chunked]}\n", "6", "transfer-encoding", []string{"connection"}},
	{"a header that waits", oneTarget + "    http_client:\n      http_headers:\n        Expect: {values: [100-continue]}\n", "6", "Expect", []string{"connection"}},
	{"a header of another protocol", oneTarget + "    http_client:\n      http_headers:\n        Upgrade: {values: [h2c]}\n", "6", "Upgrade", []string{"connection"}},
	{"an expression that breaks out", oneTarget + "    exclude: {names: 'a)|(b'}\n", "4", "names", []string{"expression"}},
	// Numbers.
	{"an octal number", oneTarget + "    page_size: 0100\n", "4", "page_size", []string{"octal"}},
	{"page size too large", oneTarget + "    page_size: 151\n", "4", "page_size", []string{"150"}},
	{"page size 0", oneTarget + "    page_size: 0\n", "4", "page_size", []string{"150"}},
	{"concurrency 0", oneTarget + "    concurrency: 0\n", "4", "concurrency", []string{"1"}},
	{"negative max_tasks", oneTarget + "    max_tasks: -1\n", "4", "max_tasks", nil},
	{"too many tags", oneTarget + "    filter:\n      label_ids: [a, b, c, d, e, f]\n", "5", "label_ids", []string{"5"}},
	{"a time zone nobody has", oneTarget + "    timezone: China/Hangzhou\n", "4", "timezone", []string{"Asia/Shanghai|IANA"}},
	{"a time zone as an offset", oneTarget + "    timezone: \"+08:00\"\n", "4", "timezone", []string{"Asia/Shanghai|IANA"}},
}

// TestAConfigurationThatCannotMeanWhatItSaysIsRefused says where, in words of the
// file, in one line, at the start as in a check.
func TestAConfigurationThatCannotMeanWhatItSaysIsRefused(t *testing.T) {
	t.Parallel()
	for _, m := range misconfigurations {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			file := writeFile(t, m.file)

			said, err := runUntilListening(t, "--config.file="+file, "--web.listen-address=127.0.0.1:0")

			if err == nil {
				t.Fatalf("it starts, and says:\n%s", said)
			}
			expectMistake(t, err, said)
			// The name of the file has that of the test in it.
			text := strings.ReplaceAll(err.Error(), file, "FILE")
			want := fmt.Sprintf(`^FILE:(%s): .*\b(%s)\b`, m.line, m.key)
			for _, says := range append([]string{want}, m.says...) {
				if !regexp.MustCompile(says).MatchString(text) {
					t.Errorf("no match of %s:\n%s", says, text)
				}
			}
		})
	}
	for name, text := range map[string]string{
		"empty": "", "comments": "# nothing\n", "no targets": "delay_thresholds: {}\n", "targets of nothing": "targets: {}\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := writeFile(t, text)

			said, err := runUntilListening(t, "--config.file="+file, "--web.listen-address=127.0.0.1:0")

			expectMistake(t, err, said)
			if err == nil || !strings.HasPrefix(err.Error(), file) || !strings.Contains(err.Error(), "targets") {
				t.Errorf("%v, want %s… targets", err, file)
			}
		})
	}
}

// expectMistake checks what every refusal has in common.
func expectMistake(t *testing.T, err error, said string) {
	t.Helper()
	if err == nil {
		t.Errorf("no error:\n%s", said)
		return
	}
	if exitStatus(err) != 2 {
		t.Errorf("exit status %d, want 2: %v", exitStatus(err), err)
	}
	if strings.ContainsAny(err.Error(), "\n\x00") {
		t.Errorf("not a line: %q", err)
	}
	if word := foreign.FindString(err.Error()); word != "" {
		t.Errorf("%q is no word for who writes a configuration: %v", word, err)
	}
	if strings.Contains(err.Error()+said, "canary") {
		t.Errorf("a secret is told: %v\n%s", err, said)
	}
}

// overrides are thresholds for tasks, by the beginnings of the entries.
func overrides(entries ...string) string {
	text := "delay_thresholds:\n  overrides:\n"
	for _, entry := range entries {
		text += "    - " + entry + "warning: 1m, critical: 2m}\n"
	}
	return text
}

// TestWhatMayBeMeantIsAWarning has files that start, with a line about what may
// not be meant, or without.
func TestWhatMayBeMeantIsAWarning(t *testing.T) {
	t.Parallel()
	account := ", http_client: {basic_auth: {username: viewer, password: x}}}\n"
	for _, row := range []struct {
		name, targets string
		args          []string
		warns         string // a regular expression, or empty
	}{
		{"two targets with one URL", "  a: {url: https://a.example" + account + "  b: {url: https://a.example" + account, nil, `\ba\b.*\bb\b|\bb\b.*\ba\b`},
		{"two targets with one URL but for a slash", "  a: {url: https://a.example" + account + "  b: {url: https://a.example/" + account, nil, `\ba\b.*\bb\b|\bb\b.*\ba\b`},
		{"two targets with one URL but for letters", "  a: {url: https://a.example" + account + "  b: {url: HTTPS://A.Example" + account, nil, `\ba\b.*\bb\b|\bb\b.*\ba\b`},
		{"two targets with two URLs", "  a: {url: https://a.example" + account + "  b: {url: https://b.example" + account, nil, ""},
		{"two targets with two paths", "  a: {url: https://a.example/1" + account + "  b: {url: https://a.example/2" + account, nil, ""},
		{"offset longer than the timeout", "  a: {url: https://a.example" + account, []string{"--scrape.timeout-offset=60s"}, "scrape.timeout-offset"},
		{"offset as long as the timeout", "  a: {url: https://a.example" + account, []string{"--scrape.timeout-offset=30s"}, "scrape.timeout-offset"},
		{"offset longer than the timeout of a target", "  a: {url: https://a.example, timeout: 400ms" + account, nil, "scrape.timeout-offset"},
		{"offset shorter than the timeout", "  a: {url: https://a.example, timeout: 10s" + account, []string{"--scrape.timeout-offset=9s"}, ""},
		{"a status that is unknown", "  a: {url: https://a.example, exclude: {statuses: [NAPPING]}" + account, nil, "NAPPING"},
		{"every status that is asked for is excluded", "  a: {url: https://a.example, filter: {statuses: [RELEASED, DELETED]}" + account, nil, `exclude\.statuses: .*no task`},
		{"alarming tasks are running ones", "  a: {url: https://a.example, filter: {statuses: [RUNNING_ALARMING]}, exclude: {statuses: [RUNNING]}" + account, nil, `no task`},
		{"not every status is excluded", "  a: {url: https://a.example, filter: {statuses: [RELEASED, RUNNING]}" + account, nil, ""},
		{"https on the port of http", "  a: {url: 'https://a.example:80'" + account, nil, `url: https on port 80`},
		{"http on the port of https", "  a: {url: 'http://localhost:443'" + account, nil, `url: http on port 443`},
		{"an override of a task twice", "  a: {url: https://a.example" + account + overrides("{id: np_1, ", "{tag: gold, ", "{id: np_1, "), nil, `overrides\[2\]: never used: .*overrides\[0\]`},
		{"an override after one for all", "  a: {url: https://a.example" + account + overrides("{name: '.*', ", "{tag: gold, "), nil, `overrides\[1\]: never used`},
		{"overrides of tasks with a tag", "  a: {url: https://a.example" + account + overrides("{id: np_1, tag: gold, ", "{id: np_1, ", "{tag: gold, ", "{name: 'a.*', ", "{name: 'ab.*', "), nil, ""},
		{"a BOM before the file", "  a: {url: https://a.example" + account, nil, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			bom := ""
			if strings.HasPrefix(row.name, "a BOM") {
				bom = byteOrderMark
			}
			file := writeFile(t, bom+"targets:\n"+row.targets)

			for _, mode := range [][]string{nil, {"--config.check"}} {
				said, err := runUntilListening(t, append(append([]string{
					"serve", "--config.file=" + file, "--web.listen-address=127.0.0.1:0",
				}, row.args...), mode...)...)
				if err != nil {
					t.Errorf("%q: %v, want nil", mode, err)
					continue
				}
				said = strings.ReplaceAll(said, file, "FILE") // it has the name of the test in it
				warned := said
				if mode == nil {
					warned = strings.Join(regexp.MustCompile(`level=warn[^\n]*`).FindAllString(said, -1), "\n")
				}
				if row.warns != "" && !regexp.MustCompile(row.warns).MatchString(warned) {
					t.Errorf("%q: no warning of %s:\n%s", mode, row.warns, said)
				}
				if row.warns == "" && regexp.MustCompile("(?i)level=warn|warning").MatchString(said) {
					t.Errorf("%q: it warns:\n%s", mode, said)
				}
			}
		})
	}
}

// TestMistakesInFlags exit with status 2 whichever flag it is, and name it.
func TestMistakesInFlags(t *testing.T) {
	t.Parallel()
	const url = "--oms.url=http://oms.example"
	missing := filepath.Join(t.TempDir(), "missing")
	for _, row := range []struct {
		args []string
		says []string
	}{
		{[]string{url, "--web.listen-address=nonsense"}, []string{"--web.listen-address", "nonsense"}},
		{[]string{url, "--web.listen-address=127.0.0.1:99999"}, []string{"--web.listen-address", "99999"}},
		{[]string{url, "--web.listen-address=127.0.0.1:http-or-so"}, []string{"--web.listen-address", "http-or-so"}},
		{[]string{url, "--web.listen-address=http://127.0.0.1:1"}, []string{"--web.listen-address"}},
		{[]string{url, "--web.listen-address="}, []string{"--web.listen-address"}},
		{[]string{url, "--web.listen-address=127.0.0.1:0", "--web.listen-address=nonsense"}, []string{"--web.listen-address", "nonsense"}},
		{[]string{url, "--web.listen-address=127.0.0.1:1", "--web.listen-address=127.0.0.1:1"}, []string{"--web.listen-address", "twice"}},
		{[]string{url, "--web.listen-address=127.0.0.1:0", "--web.grafana-url=https://u:canary@g.example"}, []string{"--web.grafana-url", "must not hold a user name"}},
		{[]string{"demo", "--web.listen-address=nonsense"}, []string{"--web.listen-address", "nonsense"}},
		{[]string{"simulate", "--web.listen-address=nonsense"}, []string{"--web.listen-address", "nonsense"}},
		{[]string{url, "--oms.page-size=abc"}, []string{"--oms.page-size", "abc"}},
		{[]string{url, "--oms.page-size=1.5"}, []string{"--oms.page-size", "1.5"}},
		{[]string{url, "--oms.page-size=99999999999999999999"}, []string{"--oms.page-size"}},
		{[]string{url, "--oms.concurrency=-1"}, []string{"--oms.concurrency"}},
		{[]string{url, "--oms.page-timeout=30"}, []string{"--oms.page-timeout", "30s"}},
		{[]string{url, "--oms.page-timeout=-1s"}, []string{"--oms.page-timeout"}},
		{[]string{url, "--scrape.timeout=soon"}, []string{"--scrape.timeout", "soon"}},
		{[]string{url, "--oms.timezone=Mars/Phobos"}, []string{"--oms.timezone", "Mars/Phobos"}},
		{[]string{url, "--log.level=loud"}, []string{"--log.level", "loud"}},
		{[]string{url, "--log.format=xml"}, []string{"--log.format", "xml"}},
		{[]string{url, "--web.telemetry-path=/sd"}, []string{"--web.telemetry-path"}},
		{[]string{url, "--web.telemetry-path=/a b{"}, []string{"--web.telemetry-path"}},
		{[]string{url, "--web.config.file=" + missing}, []string{"--web.config.file", "missing"}},
		{[]string{"--config.file=" + missing}, []string{"--config.file", "missing"}},
		{[]string{"--config.file=" + filepath.Dir(missing)}, []string{"--config.file"}},
		{[]string{"check", url, "--timeout=0s"}, []string{"--timeout"}},
		{[]string{"check", url, "--timeout=-1s"}, []string{"--timeout"}},
		{[]string{"check", url, "--target=a"}, []string{"--target"}},
		{[]string{"check", url, "--format=xml"}, []string{"--format", "xml"}},
		{[]string{"simulate", "--replay=" + missing}, []string{"--replay", "missing"}},
		{[]string{"simulate", "--sim.latency=-1s"}, []string{"--sim.latency"}},
		{[]string{"simulate", "--sim.tasks=-1"}, []string{"--sim.tasks"}},
		{[]string{"simulate", "--sim.blob-bytes=-1"}, []string{"--sim.blob-bytes"}},
		{[]string{"simulate", "--sim.time-scale=NaN"}, []string{"--sim.time-scale"}},
		{[]string{"simulate", "--sim.fault=earthquake"}, []string{"--sim.fault", "earthquake"}},
		{[]string{"simulate", "--sim.scenario=spring"}, []string{"--sim.scenario", "spring"}},
		{[]string{url, "--no-such-flag"}, []string{"--no-such-flag"}},
		{[]string{url, "stray"}, []string{"stray"}},
		{[]string{"--oms.url=oms.example:8089"}, []string{"--oms.url", "https://"}},
		{[]string{"--oms.url=\"http://oms.example\""}, []string{"--oms.url", "https://"}},
	} {
		t.Run(strings.Join(row.args, " "), func(t *testing.T) {
			t.Parallel()
			if strings.HasPrefix(row.args[0], "--") && !strings.Contains(strings.Join(row.args, " "), "--web.listen-address") {
				row.args = append(row.args, "--web.listen-address=127.0.0.1:0")
			}

			said, err := runUntilListening(t, row.args...)

			expectMistake(t, err, said)
			for _, says := range row.says {
				if err != nil && !strings.Contains(err.Error(), says) {
					t.Errorf("it does not say %q: %v", says, err)
				}
			}
		})
	}
}
