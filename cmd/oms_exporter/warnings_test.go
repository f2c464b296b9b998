package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"oms_exporter/omsclient"
)

// TestWarnings quotes everything that is allowed but perhaps not meant.
func TestWarnings(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, mode := range map[string]os.FileMode{"secret": 0o600, "group": 0o640, "others": 0o604} {
		path := filepath.Join(dir, name)
		rewriteFile(t, path, "sesame\n")
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	identity := newIdentity(t)
	rewriteFile(t, filepath.Join(dir, "certificate"), identity.certificate)
	if err := os.Chmod(filepath.Join(dir, "certificate"), 0o644); err != nil { // no secret
		t.Fatal(err)
	}
	rewriteFile(t, filepath.Join(dir, "key"), identity.key)
	rewriteFile(t, filepath.Join(dir, "other.key"), newIdentity(t).key)
	rewriteFile(t, filepath.Join(dir, "empty"), " \r\n")
	rewriteFile(t, filepath.Join(dir, "colon"), "a:b\n")
	rewriteFile(t, filepath.Join(dir, "DER"), pemContent(t, identity.certificate))
	rewriteFile(t, filepath.Join(dir, "NUL"), "a\x00b\n")
	rewriteFile(t, filepath.Join(dir, "lines"), "one\ntwo\n")
	const (
		inClear   = "the password is sent over plain HTTP, where anyone in between can read it: use https"
		noAccount = "http_client: no account: requests to OMS carry no credentials"
	)
	auth := func(settings string) string {
		return "  a: {url: https://a.example, http_client: {" + settings + "}}\n"
	}
	for _, row := range []struct {
		name, targets string
		args          []string
		want          string // DIR and FILE stand for paths
	}{
		{"none", auth("basic_auth: {username: u, password_file: secret}"), nil, ""},
		{"plain HTTP", "  a: {url: http://a.example, http_client: {authorization: {credentials_file: secret}}}\n", nil, "FILE:2: targets.a.url: " + inClear},
		{"plain HTTP to this host", "  a: {url: 'http://127.0.0.1:8089', http_client: {basic_auth: {username: u, password_file: secret}}}\n", nil, ""},
		{"plain HTTP to this host, by IPv6", "  a: {url: 'http://[::1]', http_client: {basic_auth: {username: u, password_file: secret}}}\n", nil, ""},
		{"plain HTTP to this host, by name", "  a: {url: http://localhost, http_client: {basic_auth: {username: u, password_file: secret}}}\n", nil, ""},
		{"plain HTTP to the token server", auth("oauth2: {client_id: i, client_secret_file: secret, token_url: 'http://t.example'}"), nil, "FILE:2: targets.a.http_client.oauth2.token_url: the secret is sent over plain HTTP, where anyone in between can read it: use https"},
		{"no verification", auth("basic_auth: {username: u, password_file: secret}, tls_config: {insecure_skip_verify: true}"), nil, "FILE:2: targets.a.http_client.tls_config.insecure_skip_verify: OMS's certificate is not verified, so anyone in between can read the password: use ca_file"},
		{"no account", "  a: {url: https://a.example}\n", nil, "FILE:2: targets.a." + noAccount},
		{"a certificate is an account", auth("tls_config: {cert_file: certificate, key_file: key}"), nil, ""},
		{"group may read", auth("basic_auth: {username: u, password_file: group}"), nil, ""},
		{"others may read", auth("basic_auth: {username: u, password_file: others}"), nil, "FILE:2: targets.a.http_client.basic_auth.password_file: everyone on this host can read DIR/others: chmod o= it"},
		{"others may read a token in a header", auth("http_headers: {X: {files: [secret, others]}}"), nil, "FILE:2: targets.a.http_client.http_headers.X.files[1]: everyone on this host can read DIR/others: chmod o= it"},
		{"missing", auth("basic_auth: {username_file: m1, password_file: m2}, tls_config: {ca_file: m3}"), nil, "FILE:2: targets.a.http_client.tls_config.ca_file: open DIR/m3: no such file or directory\n" +
			"FILE:2: targets.a.http_client.basic_auth.username_file: open DIR/m1: no such file or directory\n" +
			"FILE:2: targets.a.http_client.basic_auth.password_file: open DIR/m2: no such file or directory"},
		{"empty", auth("authorization: {credentials_file: empty}"), nil, "FILE:2: targets.a.http_client.authorization.credentials_file: DIR/empty is empty"},
		{"two lines", auth("basic_auth: {username: u, password_file: lines}"), nil, "FILE:2: targets.a.http_client.basic_auth.password_file: DIR/lines has more than one line"},
		{"a NUL", auth("basic_auth: {username: u, password_file: NUL}"), nil, "FILE:2: targets.a.http_client.basic_auth.password_file: DIR/NUL has a NUL character: save it as text in UTF-8"},
		{"no certificate", auth("basic_auth: {username: u, password_file: secret}, tls_config: {ca_file: secret}"), nil, "FILE:2: targets.a.http_client.tls_config.ca_file: DIR/secret: not a certificate in PEM format"},
		{"a name with a colon", auth("basic_auth: {username_file: colon, password_file: secret}"), nil, "FILE:2: targets.a.http_client.basic_auth.username_file: DIR/colon: has a colon, which HTTP Basic authentication cannot send in a name"},
		{"a key for a certificate", auth("basic_auth: {username: u, password_file: secret}, tls_config: {ca_file: key}"), nil, "FILE:2: targets.a.http_client.tls_config.ca_file: DIR/key: a key, not a certificate"},
		{"a certificate in DER", auth("basic_auth: {username: u, password_file: secret}, tls_config: {ca_file: DER}"), nil, "FILE:2: targets.a.http_client.tls_config.ca_file: DIR/DER: a certificate in DER format: convert it to PEM, such as with openssl x509 -inform der"},
		{"no client certificate", auth("tls_config: {cert_file: secret, key_file: key}"), nil, "FILE:2: targets.a.http_client.tls_config.cert_file: DIR/secret: not a certificate in PEM format"},
		{"the key of another certificate", auth("tls_config: {cert_file: certificate, key_file: other.key}"), nil, "FILE:2: targets.a.http_client.tls_config.key_file: DIR/other.key: not the private key of the certificate, in PEM format"},
		{"no key to sign with", auth("oauth2: {client_id: i, token_url: 'https://t.example', grant_type: 'urn:ietf:params:oauth:grant-type:jwt-bearer', client_certificate_key_file: secret}"), nil, "FILE:2: targets.a.http_client.oauth2.client_certificate_key_file: DIR/secret: not a key in PEM format"},
		{"certificates of the token server", auth("oauth2: {client_id: i, token_url: 'https://t.example', client_secret_file: secret, tls_config: {ca_file: secret}}"), nil, "FILE:2: targets.a.http_client.oauth2.tls_config.ca_file: DIR/secret: not a certificate in PEM format"},
		{"unknown statuses", "  a: {url: https://a.example, filter: {statuses: [NAPPING]}, exclude: {statuses: [RELEASED, DOZING]}, http_client: {basic_auth: {username: u, password_file: secret}}}\n", nil, "FILE:2: targets.a.filter.statuses[0]: unknown status \"NAPPING\", perhaps new in OMS\n" +
			"FILE:2: targets.a.exclude.statuses[1]: unknown status \"DOZING\", perhaps new in OMS"},
		{"a misspelled status", "  a: {url: https://a.example, filter: {statuses: [RUNNIN]}, http_client: {basic_auth: {username: u, password_file: secret}}}\n", nil, "FILE:2: targets.a.filter.statuses[0]: unknown status \"RUNNIN\", perhaps new in OMS: or do you mean RUNNING?"},
		{"placeholders", auth("basic_auth: {username: '<account>', password: '${OMS_PASSWORD}'}"), nil, "FILE:2: targets.a.http_client.basic_auth.username: looks like a placeholder, which nothing fills in\n" +
			"FILE:2: targets.a.http_client.basic_auth.password: looks like a placeholder, which nothing fills in"},
		{"a placeholder in a header", auth("http_headers: {X: {secrets: [s, '{{ token }}']}}"), nil, "FILE:2: targets.a.http_client.http_headers.X.secrets[1]: looks like a placeholder, which nothing fills in"},
		{"every name is excluded", "  a: {url: https://a.example, exclude: {names: '.*'}, http_client: {basic_auth: {username: u, password_file: secret}}}\n", nil, "FILE:2: targets.a.exclude.names: it matches every name, so no task can have series"},
		{"every status is excluded", "  a: {url: https://a.example, exclude: {statuses: [" + strings.Join(omsclient.Statuses(), ", ") + "]}, http_client: {basic_auth: {username: u, password_file: secret}}}\n", nil, "FILE:2: targets.a.exclude.statuses: it has every status that OMS is asked for, so no task can have series"},
		{"a short page_timeout", "  a: {url: https://a.example, page_timeout: 1ms, http_client: {basic_auth: {username: u, password_file: secret}}}\n", nil, "FILE:2: targets.a.page_timeout: OMS hardly answers within 1ms: write one such as 10s"},
		{"a long page_timeout", "  a: {url: https://a.example, timeout: 5s, page_timeout: 6s, http_client: {basic_auth: {username: u, password_file: secret}}}\n", nil, "FILE:2: targets.a.page_timeout: longer than a scrape may take, which is 5s"},
		{"a timeout of a year", "  a: {url: https://a.example, timeout: 1y, http_client: {basic_auth: {username: u, password_file: secret}}}\n", nil, "FILE:2: targets.a.timeout: Prometheus gives up long before 1y: write one such as 1m"},
		{"one URL", auth("basic_auth: {username: u, password_file: secret}") + strings.Replace(auth("basic_auth: {username: u, password_file: secret}"), "a:", "b:", 1), nil, "FILE:3: targets.b.url: b has the same URL and filter as a: each task is exported twice"},
		{"one URL, two filters", auth("basic_auth: {username: u, password_file: secret}") + "  b: {url: https://a.example, filter: {type: SYNC}, http_client: {basic_auth: {username: u, password_file: secret}}}\n", nil, ""},
		{"offset", auth("basic_auth: {username: u, password_file: secret}"), []string{"--scrape.timeout-offset=1m"}, "--scrape.timeout-offset=1m0s: not less than --scrape.timeout=30s, so it is ignored"},
		{"offset of a target", "  a: {url: https://a.example, timeout: 1s, http_client: {basic_auth: {username: u, password_file: secret}}}\n", []string{"--scrape.timeout-offset=1s"}, "FILE:2: targets.a.timeout: not more than --scrape.timeout-offset=1s, which is ignored then"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			file, err := os.CreateTemp(dir, "config")
			if err == nil {
				_, err = file.WriteString("targets:\n" + row.targets)
			}
			if err != nil {
				t.Fatal(err)
			}
			stdout := newOutput()

			err = run(t.Context(), append([]string{"--config.check", "--config.file=" + file.Name()}, row.args...), stdout, newOutput())
			if err != nil {
				t.Fatal(err)
			}
			got := strings.NewReplacer(file.Name(), "FILE", dir, "DIR").Replace(stdout.String())
			var want string
			for line := range strings.Lines(row.want) {
				want += "warning: " + strings.TrimSuffix(line, "\n") + "\n"
			}
			if targets := strings.Count(row.targets, "\n"); targets == 1 {
				want += "FILE: OK, 1 target\n"
			} else {
				want += "FILE: OK, 2 targets\n"
			}
			if got != want {
				t.Errorf("got\n%swant\n%s", got, want)
			}
		})
	}
}

// TestASecretInAConfigurationForEveryoneIsAWarning has each place for a secret.
func TestASecretInAConfigurationForEveryoneIsAWarning(t *testing.T) {
	t.Parallel()
	identity := newIdentity(t)
	quote := func(text string) string { return `"` + strings.ReplaceAll(text, "\n", `\n`) + `"` }
	const warning = "has a secret, and everyone on this host can read it: chmod o= the file"
	for settings, warns := range map[string]bool{
		"basic_auth: {username: u, password: p}":                                                                       true,
		"authorization: {credentials: p}":                                                                              true,
		"oauth2: {client_id: i, client_secret: p, token_url: https://t.example}":                                       true,
		"http_headers: {X: {secrets: [p]}}":                                                                            true,
		"http_headers: {X: {values: [p]}}":                                                                             false,
		"proxy_url: http://u:p@proxy.example":                                                                          true,
		"proxy_url: http://proxy.example":                                                                              false,
		"proxy_url: http://proxy.example, proxy_connect_header: {X: [p]}":                                              true,
		"tls_config: {cert: " + quote(identity.certificate) + ", key: " + quote(identity.key) + "}":                    true,
		"oauth2: {client_id: i, client_secret_file: p, token_url: https://t.example, proxy_url: http://u:p@p.example}": true,
		"basic_auth: {username: u, password_file: p}":                                                                  false,
	} {
		t.Run(settings, func(t *testing.T) {
			t.Parallel()
			file := writeFile(t, "targets:\n  a: {url: https://a.example, http_client: {"+settings+"}}\n")
			for _, mode := range []os.FileMode{0o644, 0o640} {
				if err := os.Chmod(file, mode); err != nil {
					t.Fatal(err)
				}
				stdout := newOutput()

				err := run(t.Context(), []string{"--config.check", "--config.file=" + file}, stdout, newOutput())
				if err != nil {
					t.Fatal(err)
				}
				if got := strings.Contains(stdout.String(), file+" "+warning); got != (warns && mode == 0o644) {
					t.Errorf("mode %o: warning %t\n%s", mode, got, stdout)
				}
			}
		})
	}
}

// TestAMisspelledVariableIsAWarning unless Kubernetes sets it.
func TestAMisspelledVariableIsAWarning(t *testing.T) {
	got := unknownVariables([]string{
		"OMS_EXPORTER_SCRAPE_TIMEOUT=1s", "OMS_EXPORTER_SCRAPE_TIMOUT=1s", "OMS_EXPORTER_OMS_PASSWORD=canary", "OMS_URL=x",
		"OMS_EXPORTER_PORT=tcp://10.0.0.1:10667", "OMS_EXPORTER_PORT_10667_TCP_ADDR=10.0.0.1", "OMS_EXPORTER_SERVICE_HOST=10.0.0.1",
		"OMS_EXPORTER_SERVICE_PORT_HTTP=10667",
	})

	want := []string{
		"OMS_EXPORTER_OMS_PASSWORD: no flag has this environment variable: correct its name, see --help",
		"OMS_EXPORTER_SCRAPE_TIMOUT: no flag has this environment variable: correct its name, see --help",
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestWarningsAboutFlagsNameThem(t *testing.T) {
	secret := writeFile(t, "sesame")
	if err := os.Chmod(secret, 0o644); err != nil {
		t.Fatal(err)
	}
	stdout := newOutput()

	err := run(t.Context(), []string{
		"--config.check", "--oms.url=http://a.example", "--oms.username=u", "--oms.password-file=" + secret,
		"--oms.ca-file=missing", "--oms.insecure-skip-verify", "--oms.exclude-status=NAPPING",
	}, stdout, newOutput())

	want := strings.ReplaceAll(`warning: --oms.url: the password is sent over plain HTTP, where anyone in between can read it: use https
warning: --oms.insecure-skip-verify: OMS's certificate is not verified, so anyone in between can read the password: use ca_file
warning: --oms.exclude-status: unknown status "NAPPING", perhaps new in OMS
warning: --oms.ca-file: open missing: no such file or directory
warning: --oms.password-file: everyone on this host can read SECRET: chmod o= it
flags and environment: OK, 1 target
`, "SECRET", secret)
	if err != nil || stdout.String() != want {
		t.Errorf("%v, got\n%swant\n%s", err, stdout, want)
	}
}

func TestWarningsAreLoggedAtTheStart(t *testing.T) {
	file := writeFile(t, "targets:\n  a: {url: https://a.example}\n")

	p := start(t, "--config.file="+file)

	expectLogged(t, p, `level=warn .*msg="`+file+`:2: targets\.a\.http_client: no account: requests to OMS carry no credentials"`)
}

func TestConfigCheckSaysEverythingThatIsWrong(t *testing.T) {
	file := writeFile(t, "targets:\n  a: {url: https://a.example, page_size: 0}\n  b: {url: b.example}\n")
	web := writeFile(t, "tls_server: {}\nbasic_auth_users: 3\n")
	stdout := newOutput()

	err := run(t.Context(), []string{
		"--config.check", "--config.file=" + file, "--web.config.file=" + web, "--scrape.timeout=0s",
	}, stdout, newOutput())

	want := strings.NewReplacer("FILE", file, "WEB", web).Replace(`--scrape.timeout=0s: must be more than 0
--web.config.file=WEB:1: tls_server: unknown key, not one of: basic_auth_users, http_server_config, rate_limit, tls_server_config
--web.config.file=WEB:2: basic_auth_users: must have keys below it, not a single value
FILE:2: targets.a.page_size: must be 1 to 150, not 0
FILE:3: targets.b.url: must begin with http:// or https:// and a host: write one such as https://oms.example:8089`)
	if err == nil || err.Error() != want || exitStatus(err) != 2 || stdout.String() != "" {
		t.Errorf("status %d, got\n%v\nwant\n%s\noutput %s", exitStatus(err), err, want, stdout)
	}
}
