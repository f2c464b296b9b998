package main

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/config"
	"github.com/prometheus/common/model"
	"go.yaml.in/yaml/v3"

	"oms_exporter/collector"
)

// configFrom writes a configuration file and loads it.
func configFrom(t *testing.T, content string) (*fileConfig, string, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "oms.yml")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	loaded, err := loadConfig(path)
	return loaded, path, err
}

func TestEveryKeyOfTheFileIsRead(t *testing.T) {
	loaded, path, err := configFrom(t, `
targets:
  hangzhou:
    url: https://oms.example:8089
    http_client:
      basic_auth: {username: viewer, password_file: secret}
      tls_config: {ca_file: /etc/ca.pem, server_name: oms.internal}
    filter:
      type: MIGRATION
      statuses: [RUNNING, FAILED]
      label_ids: [l_1]
      source_endpoint_types: [MYSQL]
      sink_endpoint_types: [OB_MYSQL]
      subtasks: true
      search_key: orders
    exclude:
      statuses: [RELEASED]
      names: test_.*
      tags: [scratch]
    page_size: 100
    concurrency: 8
    max_tasks: 5000
    timeout: 1m
    page_timeout: 20s
    timezone: Asia/Shanghai
    labels: {region: hz}
  beijing: {url: "http://bj.example"}
delay_thresholds:
  importance: {HIGH: {warning: 60s, critical: 5m}}
  overrides:
    - {tag: gold, warning: 30s, critical: 2m}
    - {name: "orders_.*", warning: 1h, critical: 1h}
    - {id: np_1, warning: 1m, critical: 1d}
  from_tags: true
`)
	if err != nil {
		t.Fatal(err)
	}
	client := config.DefaultHTTPClientConfig
	client.BasicAuth = &config.BasicAuth{
		Username: "viewer", PasswordFile: filepath.Join(filepath.Dir(path), "secret"),
	}
	client.TLSConfig = config.TLSConfig{CAFile: "/etc/ca.pem", ServerName: "oms.internal"}
	beijing := defaultTarget()
	beijing.URL = "http://bj.example"
	want := &fileConfig{Targets: map[string]*targetConfig{
		"beijing": &beijing,
		"hangzhou": {
			URL:        "https://oms.example:8089",
			HTTPClient: client,
			Filter: filterConfig{
				Type: "MIGRATION", Statuses: []string{"RUNNING", "FAILED"}, LabelIDs: []string{"l_1"},
				SourceEndpointTypes: []string{"MYSQL"}, SinkEndpointTypes: []string{"OB_MYSQL"},
				Subtasks: true, SearchKey: "orders",
			},
			Exclude: excludeConfig{
				Statuses: []string{"RELEASED"}, Tags: []string{"scratch"},
				Names: pattern{regexp.MustCompile("^(?s:test_.*)$")},
			},
			PageSize: 100, Concurrency: 8, MaxTasks: 5000,
			Timeout: model.Duration(time.Minute), PageTimeout: model.Duration(20 * time.Second),
			Timezone: "Asia/Shanghai", Labels: map[string]string{"region": "hz"},
		},
	}}
	want.DelayThresholds, want.source = loaded.DelayThresholds, loaded.source
	if !reflect.DeepEqual(loaded, want) {
		t.Errorf("got %+v\nwant %+v", loaded, want)
	}
	settings := loaded.Targets["hangzhou"].collectorOptions()
	if want := (collector.Options{
		Timeout: time.Minute, MaxTasks: 5000,
		Exclude: collector.Exclude{
			Statuses: []string{"RELEASED"}, Names: regexp.MustCompile("^(?s:test_.*)$"), Tags: []string{"scratch"},
		},
	}); !reflect.DeepEqual(settings, want) {
		t.Errorf("got %+v\nwant %+v", settings, want)
	}
	thresholds := &collector.Thresholds{
		Importance: map[string]collector.Threshold{
			"HIGH": {Warning: time.Minute, Critical: 5 * time.Minute},
		},
		Overrides: []collector.Override{
			{Tag: "gold", Threshold: collector.Threshold{Warning: 30 * time.Second, Critical: 2 * time.Minute}},
			{
				Name:      regexp.MustCompile("^(?s:orders_.*)$"),
				Threshold: collector.Threshold{Warning: time.Hour, Critical: time.Hour},
			},
			{ID: "np_1", Threshold: collector.Threshold{Warning: time.Minute, Critical: 24 * time.Hour}},
		},
		FromTags: true,
	}
	if got := loaded.DelayThresholds.thresholds(); !reflect.DeepEqual(got, thresholds) {
		t.Errorf("got %+v\nwant %+v", got, thresholds)
	}
}

// TestMistakesInTheFileAreNamed quotes the errors, each as it begins after the path
// of the file.
func TestMistakesInTheFileAreNamed(t *testing.T) {
	one := "targets:\n  a:\n    url: http://a.example\n"
	client := func(settings string) string { return one + "    http_client:\n      " + settings + "\n" }
	thresholds := func(settings string) string { return one + "delay_thresholds:\n  " + settings + "\n" }
	for _, test := range []struct{ name, content, want string }{
		{"empty", "", ": targets: at least one is required"},
		{"no targets", "delay_thresholds: {}", ":1: targets: at least one is required"},
		{"not YAML", "targets: [", ":1: not YAML: did not find expected node content"},
		{"bad indentation", one + "   labels: {}\n", ":4: not YAML: did not find expected key"},
		{"a tab", one + "\tlabels: {}\n", ":4: a tab in the indentation: use spaces"},
		{"not UTF-8", one + "    labels: {a: \xe4}\n", ":4: not UTF-8: save the file as UTF-8"},
		{"UTF-16", "\xff\xfet\x00", ":1: not UTF-8: save the file as UTF-8"},
		{"a control character", one + "    labels: {a: \x1b[0m}\n", ":4: a control character (U+001B): remove it"},
		{"a second document", one + "---\ntargets: {}\n", ":5: a second document begins after ---: put everything into the first"},
		{"a password that is an alias", client("basic_auth: {username: u, password: *canary}"), ":5: an alias whose anchor (&) is missing: put text that begins with * in quotes"},
		{"a target merged into itself", "targets:\n  a: &a\n    <<: *a\n    url: http://a.example\n", ":2: targets.a: << must be followed by an alias of another mapping"},
		{"a mistake that is merged", "targets:\n  a: &a\n    url: http://a.example\n    labels: &l {uri: x}\n  b:\n    <<: *l\n", ":5: targets.b.uri: unknown key, not one of: component, "},
		{"a merge of nothing", one + "    <<: 3\n", ":2: targets.a: << must be followed by an alias of another mapping"},
		{"unknown key", one + "    pagesize: 3\n", ":4: targets.a.pagesize: unknown key, not one of: component, concurrency, console_url, exclude, filter, http_client, labels, max_tasks, page_size, page_timeout, password_changed, timeout, timezone, url, verify"},
		{"unknown key at the top", one + "retries: 3\n", ":4: retries: unknown key, not one of: delay_thresholds, targets"},
		{"unknown key of the client", client("pasword: x"), ":5: targets.a.http_client.pasword: unknown key, not one of: authorization, "},
		{"a secret without a space before it", client("basic_auth: {username: u, password:CANARY}"), ":5: targets.a.http_client.basic_auth: unknown key, not one of: password, password_file, username, username_file; is a space missing after a colon?"},
		{"a secret for a key", client("http_headers: {X-Key: {CANARY}}"), ":5: targets.a.http_client.http_headers.X-Key: unknown key, not one of: files, secrets, values; is a space missing after a colon?"},
		{"a secret of a manager", client("basic_auth: {username: u, password_ref: x}"), ":5: targets.a.http_client.basic_auth.password_ref: unknown key, not one of: password, password_file, username, username_file"},
		{"a key that is none", one + "    [a]: 3\n", ":2: targets.a: a key must be text, not a list"},
		{"a key that YAML takes for nothing", "targets:\n  null: {url: http://a.example}\n", ":1: targets: a key must be text: write \"null\" in quotes (line 2)"},
		{"a label that YAML takes for nothing", one + "    labels: {~: x}\n", ":4: targets.a.labels: a key must be text: write \"~\" in quotes (line 4)"},
		{"a key twice", one + "    url: http://b.example\n", ":4: targets.a.url: appears twice, first in line 3"},
		{"a target twice", one + "  a: {url: http://b.example}\n", ":4: targets.a: appears twice, first in line 2"},
		{"text for a number", one + "    page_size: many\n", ":4: targets.a.page_size: must be a whole number"},
		{"a fraction", one + "    concurrency: 2.5\n", ":4: targets.a.concurrency: must be a whole number"},
		{"text for a list", one + "    filter: {statuses: RUNNING}\n", ":4: targets.a.filter.statuses: must be a list, such as [A, B], not a single value"},
		{"a list for text", one + "    filter: {search_key: [a]}\n", ":4: targets.a.filter.search_key: must be text, not a list"},
		{"text for keys", one + "    exclude: test\n", ":4: targets.a.exclude: must have keys below it, not a single value"},
		{"text for yes or no", one + "    filter: {subtasks: maybe}\n", ":4: targets.a.filter.subtasks: must be true or false"},
		{"duration without unit", one + "    timeout: 30\n", `:4: targets.a.timeout: "30" is not a duration such as 30s or 5m`},
		{"negative duration", one + "    page_timeout: -1m\n", `:4: targets.a.page_timeout: "-1m" is not a duration such as 30s or 5m`},
		{"expression", one + "    exclude: {names: 'test_(.*'}\n", ":4: targets.a.exclude.names: not a regular expression in RE2 syntax: missing closing )"},
		{"no target", "targets:\n  a:\n", ":2: targets.a: empty: write at least its url"},
		{"no url", "targets:\n  a: {page_size: 3}\n", ":2: targets.a.url: missing: write that of the OMS console, such as https://oms.example:8089"},
		{"page size", one + "    page_size: 151\n", ":4: targets.a.page_size: must be 1 to 150, not 151"},
		{"no page size", one + "    page_size: 0\n", ":4: targets.a.page_size: must be 1 to 150, not 0"},
		{"concurrency", one + "    concurrency: 0\n", ":4: targets.a.concurrency: must be 1 to 100, not 0"},
		{"limit", one + "    max_tasks: -1\n", ":4: targets.a.max_tasks: must be 0 (no limit) or more, not -1"},
		{"time zone", one + "    timezone: China/Hangzhou\n", `:4: targets.a.timezone: no time zone is named "China/Hangzhou": write an IANA name, such as Asia/Shanghai`},
		{"time zone of the host", one + "    timezone: Local\n", `:4: targets.a.timezone: no time zone is named "Local"`},
		{"type", one + "    filter: {type: MIGRATE}\n", `:4: targets.a.filter.type: must be MIGRATION, SYNC or VERIFY, not "MIGRATE"`},
		{"status in lower case", one + "    filter:\n      statuses:\n        - RUNNING\n        - failed\n", `:7: targets.a.filter.statuses[1]: OMS does not know "failed": write FAILED`},
		{"excluded status in lower case", one + "    exclude: {statuses: [Released]}\n", `:4: targets.a.exclude.statuses[0]: OMS does not know "Released": write RELEASED`},
		{"type of source in lower case", one + "    filter: {source_endpoint_types: [mysql]}\n", `:4: targets.a.filter.source_endpoint_types[0]: OMS does not know "mysql": write MYSQL`},
		{"type of sink in lower case", one + "    filter: {sink_endpoint_types: [ob_mysql]}\n", `:4: targets.a.filter.sink_endpoint_types[0]: OMS does not know "ob_mysql": write OB_MYSQL`},
		{"too many tags", one + "    filter: {label_ids: [a, b, c, d, e, f]}\n", ":4: targets.a.filter.label_ids: OMS takes at most 5, not 6"},
		{"label", one + "    labels: {a-b: c}\n", ":4: targets.a.labels.a-b: not the name of a label: use letters, digits and _"},
		{"label of a metric", one + "    labels: {status: c}\n", ":4: targets.a.labels.status: the exporter's metrics have it: use another name"},
		{"label of Prometheus", one + "    labels: {job: c}\n", ":4: targets.a.labels.job: Prometheus sets it: use another name"},
		{"label of a histogram", one + "    labels: {le: c}\n", ":4: targets.a.labels.le: Prometheus sets it: use another name"},
		{"hidden label", one + "    labels: {__a: c}\n", ":4: targets.a.labels.__a: Prometheus keeps names that begin with __ to itself: use another name"},
		{"name that is a URL", "targets:\n  http://a: {url: http://a.example}\n", `:2: targets.http://a: "http://a" cannot name a target: use printable characters without spaces and / \ ? # & = %, and not only dots`},
		{"name that is a URL with a password", "targets:\n  https://u:CAN/ARY@a: {url: http://a.example}\n", `:2: targets.https://…@a: "https://…@a" cannot name a target: `},
		{"name of dots", "targets:\n  ..: {url: http://a.example}\n", `:2: targets...: ".." cannot name a target: `},
		{"name of nothing", "targets:\n  '': {url: http://a.example}\n", `:2: targets."": "" cannot name a target: `},
		{"name with a color", "targets:\n  \"a\\e[31m\": {url: http://a.example}\n", `:2: targets."a\x1b[31m": "a\x1b[31m" cannot name a target: `},
		{"name that reads backwards", "targets:\n  \"a\\u202eb\": {url: http://a.example}\n", `:2: targets."a\u202eb": "a\u202eb" cannot name a target: `},
		{"name with a backslash", "targets:\n  'a\\b': {url: http://a.example}\n", `:2: targets."a\\b": "a\\b" cannot name a target: `},
		{"account without password", client("basic_auth: {username: viewer}"), ":5: targets.a.http_client.basic_auth: an account without a password: write password_file"},
		{"password without account", client("basic_auth: {password: canary}"), ":5: targets.a.http_client.basic_auth: a password without an account: write username or username_file"},
		{"password of two lines", client("basic_auth: {username: viewer, password: \"canary\\n\"}"), ":5: targets.a.http_client.basic_auth.password: has a line break or a control character: write it in one line"},
		{"no token", client("authorization: {type: Key}"), ":5: targets.a.http_client.authorization: no token: write credentials_file"},
		{"two ways to authorize", client("{basic_auth: {username: a}, authorization: {credentials: b}}"), ":4: targets.a.http_client: write only one of basic_auth, oauth2 and authorization"},
		{"a client without secret", client("oauth2: {client_id: i, token_url: 'https://t.example'}"), ":5: targets.a.http_client.oauth2: a client without a secret: write client_secret_file"},
		{"a signer without key", client("oauth2: {client_id: i, token_url: 'https://t.example', grant_type: 'urn:ietf:params:oauth:grant-type:jwt-bearer'}"), ":5: targets.a.http_client.oauth2.grant_type: no key to sign with: write client_certificate_key_file"},
		{"token server", client("oauth2: {client_id: i, client_secret: canary, token_url: 'canary:1'}"), ":5: targets.a.http_client.oauth2.token_url: must begin with http:// or https:// and a host: write one such as https://login.example/token"},
		{"proxy with a bad password", client("proxy_url: http://u:canary%zz@p.example"), ":5: targets.a.http_client.proxy_url: must be a URL such as http://proxy.example:3128, with special characters as %XX"},
		{"proxy without scheme", client("proxy_url: canary.example:3128"), ":5: targets.a.http_client.proxy_url: must begin with http://, https://, socks5:// or socks5h:// and a host: write one such as http://proxy.example:3128"},
		{"proxy of the token server", client("oauth2: {client_id: i, client_secret: canary, token_url: 'https://t.example', proxy_url: 'u:canary@p'}"), ":5: targets.a.http_client.oauth2.proxy_url: must begin with http://, https://, socks5:// or socks5h:// and a host: write one such as http://proxy.example:3128"},
		{"header", client("http_headers: {'X Y': {values: [z]}}"), ":5: targets.a.http_client.http_headers.X Y: not the name of a header"},
		{"header of two lines", client("http_headers: {X: {secrets: [\"canary\\nZ: canary\"]}}"), ":5: targets.a.http_client.http_headers.X: has a line break or a control character: write it in one line"},
		{"authorities that are none", client("tls_config: {ca: canary}"), ":5: targets.a.http_client.tls_config.ca: not a certificate in PEM format"},
		{"certificate that is none", client("tls_config: {cert: canary, key: canary}"), ":5: targets.a.http_client.tls_config.cert: not a certificate in PEM format"},
		{"certificate without key", client("tls_config: {cert: canary}"), ":5: targets.a.http_client.tls_config: a certificate without its private key: write key_file"},
		{"TLS version", client("tls_config: {min_version: TLS99}"), ":5: targets.a.http_client.tls_config.min_version: must be one of TLS10, TLS11, TLS12, TLS13"},
		{"TLS versions", client("tls_config: {min_version: TLS13, max_version: TLS12}"), ":5: targets.a.http_client.tls_config.max_version: older than min_version (TLS13)"},
		{"redirects", client("follow_redirects: true"), ":5: targets.a.http_client.follow_redirects: redirects of OMS are never followed: remove the key"},
		{"thresholds the wrong way round", thresholds("importance: {HIGH: {warning: 5m, critical: 1m}}"), ":5: delay_thresholds.importance.HIGH: warning (5m) exceeds critical (1m): exchange them"},
		{"importance in lower case", thresholds("importance: {high: {warning: 1m, critical: 5m}}"), ":5: delay_thresholds.importance.high: OMS writes it HIGH"},
		{"unknown importance", thresholds("importance: {URGENT: {warning: 1m, critical: 5m}}"), ":5: delay_thresholds.importance.URGENT: OMS has no such importance: write HIGH, MEDIUM, LOW or IGNORE"},
		{"only a warning", thresholds("importance: {HIGH: {warning: 1m}}"), ":5: delay_thresholds.importance.HIGH: without critical, the alert rules use a default for it: write both warning and critical, such as warning: 5m, critical: 15m"},
		{"only a critical threshold", thresholds("overrides: [{tag: gold, critical: 1m}]"), ":5: delay_thresholds.overrides[0]: without warning, the alert rules use a default for it: write both warning and critical, such as warning: 5m, critical: 15m"},
		{"an override without thresholds", thresholds("overrides:\n    - {id: a, warning: 1m, critical: 1m}\n    - {id: b}"), ":7: delay_thresholds.overrides[1]: no threshold: write both warning and critical, such as warning: 5m, critical: 15m"},
		{"an override for all", thresholds("overrides: [{warning: 5m, critical: 5m}]"), ":5: delay_thresholds.overrides[0]: matches every task: write an id, a tag or a name"},
		{"header of the exporter", client("http_headers: {authorization: {values: [canary]}}"), ":5: targets.a.http_client.http_headers.authorization: the exporter sets this header itself: remove it, and write accounts in basic_auth or authorization"},
		{"two passwords", client("basic_auth:\n        username: u\n        password: canary\n        password_file: x"), ":8: targets.a.http_client.basic_auth.password_file: excludes password: write only one of the two"},
		{"two tokens", client("authorization: {credentials: canary, credentials_file: x}"), ":5: targets.a.http_client.authorization.credentials_file: excludes credentials: write only one of the two"},
		{"two secrets", client("oauth2: {client_id: i, token_url: 'https://t.example', client_secret: canary, client_secret_file: x}"), ":5: targets.a.http_client.oauth2.client_secret_file: excludes client_secret: write only one of the two"},
		{"two keys", client("tls_config: {cert: x, key: canary, key_file: x}"), ":5: targets.a.http_client.tls_config.key_file: excludes key: write only one of the two"},
		{"key without certificate", client("tls_config: {key: canary}"), ":5: targets.a.http_client.tls_config: a private key without its certificate: write cert_file"},
		{"no_proxy without a proxy", client("no_proxy: a.example"), ":5: targets.a.http_client.no_proxy: there is no proxy: write proxy_url, or remove this key"},
		{"header for a proxy without one", client("proxy_connect_header: {X: [canary]}"), ":5: targets.a.http_client.proxy_connect_header: there is no proxy: write proxy_url, or remove this key"},
		{"two proxies", client("{proxy_from_environment: true, proxy_url: 'http://p.example'}"), ":5: targets.a.http_client.proxy_url: excludes proxy_from_environment: write only one of the two"},
		{"client without id", client("oauth2: {token_url: 'https://t.example', client_secret: canary}"), ":5: targets.a.http_client.oauth2.client_id: missing: write it"},
		{"no token server", client("oauth2: {client_id: i, client_secret: canary}"), ":5: targets.a.http_client.oauth2.token_url: missing: write it"},
		{"basic as a type", client("authorization: {type: Basic, credentials: canary}"), ":5: targets.a.http_client.authorization.type: must not be Basic: write basic_auth with username and password_file"},
		{"bearer_token", client("{bearer_token: canary, bearer_token_file: x}"), ":4: targets.a.http_client: write authorization with credentials_file, and nothing else, in place of bearer_token"},
		{"password with a colon", client("basic_auth:\n        username: u\n        password: can: ary"), ":7: text with a special character, such as a colon, @ or %: put it in quotes"},
		{"password with an at sign", client("basic_auth:\n        username: u\n        password: @canary"), ":7: text with a special character, such as a colon, @ or %: put it in quotes"},
		{"quotation mark that is not closed", client("basic_auth:\n        username: u\n        password: \"canary"), ":7: a quotation mark in this line, or before it, is not closed"},
		{"placeholder in a URL", "targets:\n  a: {url: 'https://<oms-host>:8089'}\n", ":2: targets.a.url: has a placeholder, which nothing fills in: write one such as https://oms.example:8089"},
		{"variable in a URL", "targets:\n  a: {url: '${OMS_HOST}'}\n", ":2: targets.a.url: has a placeholder, "},
		{"two URLs", "targets:\n  a: {url: 'https://a,https://b'}\n", ":2: targets.a.url: has several URLs: write a single one"},
		{"account in a URL", "targets:\n  a: {url: 'viewer:canary#w@host'}\n", ":2: targets.a.url: must not hold a user name or password, which end up in logs: leave out what is before the @"},
		{"login page", "targets:\n  a: {url: 'https://a.example/login'}\n", ":2: targets.a.url: must be the URL of the console: leave out /login"},
		{"API in capitals", "targets:\n  a: {url: 'https://a.example/API/V2/'}\n", ":2: targets.a.url: must be the URL of the console: leave out /API/V2"},
		{"colon without port", "targets:\n  a: {url: 'https://a.example:'}\n", ":2: targets.a.url: has a colon without a port: write the port, or leave out the colon"},
		{"address to listen on", "targets:\n  a: {url: 'https://0.0.0.0:8089'}\n", ":2: targets.a.url: 0.0.0.0 is an address to listen on, not one to connect to: write that of the server"},
		{"query in a URL", "targets:\n  a: {url: 'https://a.example?canary'}\n", ":2: targets.a.url: must not have a query or a fragment: write one such as https://oms.example:8089"},
		{"port of a proxy", client("proxy_url: 'http://u:canary@p.example:99999'"), ":5: targets.a.http_client.proxy_url: there is no port 99999: ports are 1 to 65535"},
		{"address of a proxy", client("proxy_url: 'http://256.1.1.1:80'"), `:5: targets.a.http_client.proxy_url: "256.1.1.1" is neither a host name nor an IP address`},
		{"path of a proxy", client("proxy_url: 'http://p.example/x'"), ":5: targets.a.http_client.proxy_url: must not have a path: write one such as http://proxy.example:3128"},
		{"query of a proxy", client("proxy_url: 'http://p.example?canary'"), ":5: targets.a.http_client.proxy_url: must not have a query or a fragment: "},
		{"no_proxy with a URL", client("{proxy_url: 'http://p.example', no_proxy: 'http://a.example'}"), ":5: targets.a.http_client.no_proxy: has a URL: write hosts, domains or networks, such as .example.com,10.0.0.0/8"},
		{"token server with an account", client("oauth2: {client_id: i, client_secret: s, token_url: 'https://u:canary@t.example'}"), ":5: targets.a.http_client.oauth2.token_url: must not hold a user name or password, "},
		{"page with an account", one + "    console_url: https://u:canary@a.example\n", ":4: targets.a.console_url: must not hold a user name or password, "},
		{"page with a wrong placeholder", one + "    console_url: 'https://a.example/{id}'\n", ":4: targets.a.console_url: has braces other than {task_id}, which stands for the id of a task: write it like that"},
		{"server name that is a URL", client("tls_config: {server_name: 'https://a.example'}"), ":5: targets.a.http_client.tls_config.server_name: must be a name in the certificate, without scheme, port and *: write one such as oms.example"},
		{"server name with a port", client("tls_config: {server_name: 'a.example:8089'}"), ":5: targets.a.http_client.tls_config.server_name: must be a name in the certificate, "},
		{"server name with a star", client("tls_config: {server_name: '*.example'}"), ":5: targets.a.http_client.tls_config.server_name: must be a name in the certificate, "},
		{"token in the type", client("authorization: {type: Bearer canary, credentials_file: x}"), ":5: targets.a.http_client.authorization.type: must be a single word, such as Bearer: write the token in a file, and name it with credentials_file"},
		{"token in the type after a colon", client("authorization: {type: 'Bearer:canary', credentials: x}"), ":5: targets.a.http_client.authorization.type: must be a single word, such as Bearer: "},
		{"type before the token", client("authorization: {credentials: bearer canary}"), ":5: targets.a.http_client.authorization.credentials: begins with the type, which is sent before it: write the token alone"},
		{"too many at once", one + "    concurrency: 100000\n", ":4: targets.a.concurrency: must be 1 to 100, not 100000"},
		{"password of the last century", one + "    password_changed: 1926-01-31\n", ":4: targets.a.password_changed: 1926-01-31 is before there was an OMS: write when the password was last changed"},
		{"label of two lines", one + "    labels: {a: \"x\\0\"}\n", ":4: targets.a.labels: a value has a line break or a control character: write it in one line"},
		{"statuses in one", one + "    filter:\n      statuses:\n        - \"RUNNING,FAILED\"\n", ":6: targets.a.filter.statuses[0]: several values in one: write [RUNNING, FAILED]"},
		{"empty status", one + "    filter:\n      statuses: ['']\n", ":5: targets.a.filter.statuses[0]: empty: remove it"},
		{"empty type of source", one + "    filter: {source_endpoint_types: ['MYSQL ORACLE']}\n", ":4: targets.a.filter.source_endpoint_types[0]: several values in one: write [MYSQL, ORACLE]"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, path, err := configFrom(t, test.content)

			if err == nil || !strings.HasPrefix(err.Error(), path+test.want) {
				t.Fatalf("got %v\nwant %s%s", err, path, test.want)
			}
			if exitStatus(err) != 2 || strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), "canary") {
				t.Errorf("status %d for %q", exitStatus(err), err)
			}
		})
	}
}

func TestAllMistakesAreNamedAtOnce(t *testing.T) {
	_, path, err := configFrom(t, `
targets:
  a: {url: a.example, page_size: 0}
  b:
    concurrency: 0
    url: http://b.example
`)
	want := strings.ReplaceAll(`FILE:3: targets.a.url: must begin with http:// or https:// and a host: write one such as https://oms.example:8089
FILE:3: targets.a.page_size: must be 1 to 150, not 0
FILE:5: targets.b.concurrency: must be 1 to 100, not 0`, "FILE", path)
	if err == nil || err.Error() != want || exitStatus(err) != 2 {
		t.Errorf("got %v\nwant %s", err, want)
	}
}

const (
	exampleConfig = "../../deploy/oms_exporter.yml"
	chartShapes   = "../../deploy/helm/oms-exporter/files/shapes.yaml"
)

func TestEveryKeyIsInTheExampleAndInTheShapesOfTheChart(t *testing.T) {
	var example any
	if err := yaml.Unmarshal([]byte(readFile(t, exampleConfig)), &example); err != nil {
		t.Fatal(err)
	}
	var chart struct{ Shapes map[string]any }
	if err := yaml.Unmarshal([]byte(readFile(t, chartShapes)), &chart); err != nil {
		t.Fatal(err)
	}
	config := reflect.TypeFor[fileConfig]()

	expectKeys(t, exampleConfig, config, "", []any{example}, exampleBelow)
	expectKeys(t, chartShapes, config, "", []any{"configuration"}, func(nodes []any, key string) []any {
		return shapesBelow(chart.Shapes, nodes, key)
	})
}

// TestTheDefaultsInTheExampleAreThoseOfTheProgram leaves out every line that is marked as a
// default, which must change nothing.
func TestTheDefaultsInTheExampleAreThoseOfTheProgram(t *testing.T) {
	example := readFile(t, exampleConfig)
	marked := regexp.MustCompile(`(?m)^.*# default\b.*\n`)
	if lines := marked.FindAllString(example, -1); len(lines) < 10 {
		t.Errorf("only %d lines of %s are marked: %q", len(lines), exampleConfig, lines)
	}

	with, _, err := configFrom(t, example)
	if err != nil {
		t.Fatal(err)
	}
	without, _, err := configFrom(t, marked.ReplaceAllString(example, ""))
	if err != nil {
		t.Fatal(err)
	}

	for name, got := range with.Targets {
		want := without.Targets[name]
		got.HTTPClient, want.HTTPClient = config.HTTPClientConfig{}, config.HTTPClientConfig{}
		if g, w := fmt.Sprintf("%+v", got), fmt.Sprintf("%+v", want); g != w {
			t.Errorf("%s: %s has\n%s\nthe defaults are\n%s", exampleConfig, name, g, w)
		}
	}
	if !reflect.DeepEqual(with.DelayThresholds, without.DelayThresholds) {
		t.Errorf("%s has %+v, the defaults are %+v", exampleConfig, with.DelayThresholds, without.DelayThresholds)
	}
}

// expectKeys checks that a document has every key of a type of configuration. The
// nodes are what the document has at the path; below leads from there to what is
// under a key, or under any name or index for the key *.
func expectKeys(
	t *testing.T, document string, config reflect.Type, path string, nodes []any,
	below func(nodes []any, key string) []any,
) {
	t.Helper()
	if len(nodes) == 0 {
		t.Errorf("%s lacks %s", document, strings.TrimPrefix(path, "."))
		return
	}
	switch config.Kind() {
	case reflect.Pointer:
		expectKeys(t, document, config.Elem(), path, nodes, below)
	case reflect.Map, reflect.Slice:
		if config.Elem().Kind() != reflect.String {
			expectKeys(t, document, config.Elem(), path+".*", below(nodes, "*"), below)
		}
	case reflect.Struct:
		if config.PkgPath() != reflect.TypeFor[fileConfig]().PkgPath() {
			return // its keys are in the documentation of Prometheus
		}
		for i := range config.NumField() {
			field := config.Field(i)
			switch key, _, _ := strings.Cut(field.Tag.Get("yaml"), ","); {
			case key != "":
				expectKeys(t, document, field.Type, path+"."+key, below(nodes, key), below)
			case field.Tag != "": // inline
				expectKeys(t, document, field.Type, path, nodes, below)
			}
		}
	}
}

// exampleBelow leads through a YAML document.
func exampleBelow(nodes []any, key string) []any {
	var found []any
	for _, node := range nodes {
		switch node := node.(type) {
		case []any:
			found = append(found, node...)
		case map[string]any:
			for name, value := range node {
				if key == "*" || key == name {
					found = append(found, value)
				}
			}
		}
	}
	return found
}

// shapesBelow leads through the shapes of the chart. One may stand for another, by name.
func shapesBelow(shapes map[string]any, nodes []any, key string) []any {
	var named []any
	for _, node := range nodes {
		if name, ok := node.(string); ok && shapes[name] != nil {
			node = shapes[name]
		}
		named = append(named, node)
	}
	return exampleBelow(named, key)
}

func TestTheExampleOfTheDeploymentLoads(t *testing.T) {
	loaded, err := loadConfig(exampleConfig)
	if err != nil {
		t.Fatal(err)
	}
	if len(loaded.Targets) != 2 || len(loaded.DelayThresholds.Overrides) == 0 {
		t.Errorf("got %+v", loaded)
	}
}
