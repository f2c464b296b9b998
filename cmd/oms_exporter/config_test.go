package main

import (
	"encoding/json"
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
    labels: {region: hz}
  beijing: {url: "http://bj.example"}
delay_thresholds:
  importance: {HIGH: {warning: 60s, critical: 5m}}
  overrides:
    - {tag: gold, warning: 30s, critical: 2m}
    - {name: "orders_.*", critical: 1h}
    - {id: np_1}
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
				Names: pattern{regexp.MustCompile("^(?:test_.*)$")},
			},
			PageSize: 100, Concurrency: 8, MaxTasks: 5000,
			Timeout: model.Duration(time.Minute), PageTimeout: model.Duration(20 * time.Second),
			Labels: map[string]string{"region": "hz"},
		},
	}}
	want.DelayThresholds = loaded.DelayThresholds
	if !reflect.DeepEqual(loaded, want) {
		t.Errorf("got %+v\nwant %+v", loaded, want)
	}
	thresholds := &collector.Thresholds{
		Importance: map[string]collector.Threshold{
			"HIGH": {Warning: time.Minute, Critical: 5 * time.Minute},
		},
		Overrides: []collector.Override{
			{Tag: "gold", Threshold: collector.Threshold{Warning: 30 * time.Second, Critical: 2 * time.Minute}},
			{
				Name:      regexp.MustCompile("^(?:orders_.*)$"),
				Threshold: collector.Threshold{Critical: time.Hour},
			},
			{ID: "np_1"},
		},
		FromTags: true,
	}
	if got := loaded.DelayThresholds.thresholds(); !reflect.DeepEqual(got, thresholds) {
		t.Errorf("got %+v\nwant %+v", got, thresholds)
	}
}

func TestMistakesInTheFileAreNamed(t *testing.T) {
	one := "targets:\n  a:\n    url: http://a.example\n"
	tests := []struct{ name, content, want string }{
		{"empty", "", "targets: at least one is required"},
		{"no targets", "delay_thresholds: {}", "targets: at least one is required"},
		{"not YAML", "targets: [", "line 1: did not find expected node content"},
		{"unknown key", one + "    pagesize: 3\n", `line 4: unknown key "pagesize"`},
		{"unknown key at the top", one + "retries: 3\n", `line 4: unknown key "retries"`},
		{"unknown key of the client", one + "    http_client: {pasword: x}\n", `unknown key "pasword"`},
		{"a key twice", one + "    url: http://b.example\n", `line 4: key "url" appears twice`},
		{"a target twice", one + "  a: {url: http://b.example}\n", `line 4: key "a" appears twice`},
		{"wrong type", one + "    page_size: many\n", "line 4: value has the wrong type (str)"},
		{"no target", "targets:\n  a:\n", "targets: a: empty"},
		{"no url", "targets:\n  a: {page_size: 3}\n", "targets: a: url: missing"},
		{"page size", one + "    page_size: 151\n", "targets: a: page_size: must be 1 to 150, not 151"},
		{"no page size", one + "    page_size: 0\n", "targets: a: page_size: must be 1 to 150, not 0"},
		{"concurrency", one + "    concurrency: 0\n", "targets: a: concurrency: must be 1 or more, not 0"},
		{"limit", one + "    max_tasks: -1\n", "targets: a: max_tasks: must be 0 or more, not -1"},
		{"pattern", one + "    exclude: {names: '('}\n", "not a regular expression"},
		{"too many tags", one + "    filter: {label_ids: [a, b, c, d, e, f]}\n", "OMS takes at most 5"},
		{"label", one + "    labels: {a-b: c}\n", `labels: "a-b" is not a valid label name`},
		{"hidden label", one + "    labels: {__a: c}\n", `labels: "__a" is not a valid label name`},
		{"name that is a URL", "targets:\n  http://a: {url: http://a.example}\n", `"http://a": a name must not be empty`},
		{"two ways to authorize", one + "    http_client: {basic_auth: {username: a}, authorization: {credentials: b}}\n", "at most one of basic_auth"},
		{
			"thresholds the wrong way round",
			one + "delay_thresholds: {importance: {HIGH: {warning: 5m, critical: 1m}}}\n",
			"delay_thresholds: importance: HIGH: warning (5m) exceeds critical (1m)",
		},
		{
			"an override for all", one + "delay_thresholds: {overrides: [{warning: 5m}]}\n",
			"delay_thresholds: overrides: entry 1: needs an id, a tag or a name",
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, path, err := configFrom(t, test.content)

			if err == nil || !strings.Contains(err.Error(), test.want) || !strings.HasPrefix(err.Error(), path) {
				t.Fatalf("got %v\nwant %s: %s", err, path, test.want)
			}
			if exitStatus(err) != 2 || strings.Contains(err.Error(), "\n") {
				t.Errorf("status %d for %q", exitStatus(err), err)
			}
		})
	}
}

func TestErrorsOfTheFileQuoteNoValue(t *testing.T) {
	for _, content := range []string{
		"targets:\n  a:\n    url: http://a.example\n    page_size: canary\n",
		"targets:\n  a:\n    url: http://a.example\n    http_client:\n      basic_auth: canary\n",
		"targets:\n  a:\n    url: http://a.example\n    http_client: {basic_auth: {password: [canary]}}\n",
		"targets:\n  a:\n    url: http://a.example\n    http_client: {http_headers: {X: canary}}\n",
	} {
		_, _, err := configFrom(t, content)

		if err == nil || strings.Contains(err.Error(), "canary") {
			t.Errorf("%q: %v", content, err)
		}
	}
}

const (
	exampleConfig = "../../deploy/oms_exporter.yml"
	chartSchema   = "../../deploy/helm/oms-exporter/values.schema.json"
)

func TestEveryKeyIsInTheExampleAndInTheSchemaOfTheChart(t *testing.T) {
	var example any
	if err := yaml.Unmarshal([]byte(readFile(t, exampleConfig)), &example); err != nil {
		t.Fatal(err)
	}
	var schema map[string]any
	if err := json.Unmarshal([]byte(readFile(t, chartSchema)), &schema); err != nil {
		t.Fatal(err)
	}
	config := reflect.TypeFor[fileConfig]()

	expectKeys(t, exampleConfig, config, "", []any{example}, exampleBelow)
	expectKeys(t, chartSchema, config, "", schemaBelow([]any{schema}, "config"), schemaBelow)
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

// schemaBelow leads through a JSON schema.
func schemaBelow(nodes []any, key string) []any {
	var found []any
	for _, node := range nodes {
		schema, _ := node.(map[string]any)
		candidates := []any{schema["items"], schema["additionalProperties"]}
		if key != "*" {
			properties, _ := schema["properties"].(map[string]any)
			candidates = []any{properties[key]}
		}
		for _, candidate := range candidates {
			if _, ok := candidate.(map[string]any); ok {
				found = append(found, candidate)
			}
		}
	}
	return found
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
