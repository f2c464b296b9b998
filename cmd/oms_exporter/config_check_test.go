package main

import (
	"fmt"
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestConfigCheck checks without network and without starting: for GitOps, and
// before a service starts.
func TestConfigCheck(t *testing.T) {
	t.Parallel()
	oms := serveOMS(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		t.Error("OMS is asked")
	}))
	missing := filepath.Join(t.TempDir(), "missing")
	secret := writeFile(t, "secret")
	const account = "http_client: {basic_auth: {username: viewer, password_file: %q}}"
	file := func(targets string) string {
		return "--config.file=" + writeFile(t, "targets:\n"+targets)
	}
	const ok = `(?m)^(.*: )?OK\b`
	good := fmt.Sprintf("  a: {url: %q, "+account+"}\n", oms, secret)
	for _, row := range []struct {
		name   string
		args   []string
		status int
		says   string // a regular expression
	}{
		{"a file", []string{"serve", "--config.check", file(good)}, 0, ok},
		{"a file, without the command", []string{"--config.check", file(good)}, 0, ok},
		{"flags", []string{"--config.check", "--oms.url=" + oms, "--oms.username=viewer", "--oms.password-file=" + secret}, 0, ok},
		{"an address that is taken", []string{"--config.check", file(good), "--web.listen-address=" + strings.TrimPrefix(oms, "http://")}, 0, ok},
		{"a name that does not resolve", []string{"--config.check", "--oms.url=https://oms.invalid", "--oms.username=viewer", "--oms.password-file=" + secret}, 0, ok},
		{"the example of the deployment", []string{"--config.check", "--config.file=../../deploy/oms_exporter.yml"}, 0, ""},
		{"a password file that is missing", []string{"--config.check", file(fmt.Sprintf("  a: {url: %q, "+account+"}\n", oms, missing))}, 0, `password_file.*` + regexp.QuoteMeta(missing)},
		{"a password file of the flags that is missing", []string{"--config.check", "--oms.url=" + oms, "--oms.username=viewer", "--oms.password-file=" + missing}, 0, `--oms.password-file.*` + regexp.QuoteMeta(missing)},
		{"a CA file that is missing", []string{"--config.check", file(fmt.Sprintf("  a: {url: %q, http_client: {tls_config: {ca_file: %q}}}\n", oms, missing))}, 0, `ca_file.*` + regexp.QuoteMeta(missing)},
		{"a key file that is missing", []string{"--config.check", file(fmt.Sprintf("  a: {url: %q, http_client: {tls_config: {cert_file: %q, key_file: %q}}}\n", oms, secret, missing))}, 0, `key_file.*` + regexp.QuoteMeta(missing)},
		{"two targets with one URL", []string{"--config.check", file(good + strings.Replace(good, "  a:", "  b:", 1))}, 0, `\ba\b.*\bb\b|\bb\b.*\ba\b`},
		{"an unknown key", []string{"--config.check", file("  a:\n    uri: x\n")}, 2, `:3: .*uri`},
		{"a mistake in the last of many targets", []string{"--config.check", file(good + "  z: {url: http://z.example, page_size: 151}\n")}, 2, `:3: .*page_size`},
		{"a missing file", []string{"--config.check", "--config.file=" + missing}, 2, `--config.file`},
		{"no OMS", []string{"--config.check"}, 2, `--oms.url`},
		{"a file and flags", []string{"--config.check", file(good), "--oms.url=" + oms}, 2, `--config.file and --oms.url`},
		{"an account without password", []string{"--config.check", "--oms.url=" + oms, "--oms.username=viewer"}, 2, `password`},
		{"an address that is none", []string{"--config.check", file(good), "--web.listen-address=nonsense"}, 2, `--web.listen-address`},
		{"a web configuration that is missing", []string{"--config.check", file(good), "--web.config.file=" + missing}, 2, `--web.config.file`},
		{"a web configuration with a mistake", []string{"--config.check", file(good), "--web.config.file=" + writeFile(t, "tls_server: {}\n")}, 2, `--web.config.file`},
		{"a password in place of its hash", []string{"--config.check", file(good), "--web.config.file=" + writeFile(t, "basic_auth_users:\n  a: canary\n")}, 2, `--web.config.file=\S+:2: basic_auth_users\.a: not the bcrypt hash of a password: `},
		{"a name and its hash without a space", []string{"--config.check", file(good), "--web.config.file=" + writeFile(t, "basic_auth_users:\n  a:$2y$canary:\n")}, 2, `--web.config.file=\S+:2: basic_auth_users: not the bcrypt hash`},
		{"a certificate of the port that is missing", []string{"--config.check", file(good), "--web.config.file=" + writeFile(t, "tls_server_config:\n  cert_file: "+missing+"\n")}, 2, `--web.config.file=\S+:2: tls_server_config\.cert_file: open `},
		{"a telemetry path that is taken", []string{"--config.check", file(good), "--web.telemetry-path=/sd"}, 2, `--web.telemetry-path`},
		{"a timeout of nothing", []string{"--config.check", file(good), "--scrape.timeout=0s"}, 2, `--scrape.timeout`},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()

			said, err := runUntilListening(t, row.args...)

			switch {
			case row.status == 0 && err != nil:
				t.Fatalf("error %v, want nil:\n%s", err, said)
			case row.status != 0:
				expectMistake(t, err, said)
				said += fmt.Sprint(err)
			}
			if hasStarted.MatchString(said) {
				t.Errorf("it listens:\n%s", said)
			}
			if !regexp.MustCompile(row.says).MatchString(said) {
				t.Errorf("no match of %s:\n%s", row.says, said)
			}
			if row.status == 0 && strings.Contains(said, "level=error") {
				t.Errorf("an error is logged:\n%s", said)
			}
		})
	}
}
