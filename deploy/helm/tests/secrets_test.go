package chart_test

import (
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/common/config"
	"helm.sh/helm/v3/pkg/lint"
	networkingv1 "k8s.io/api/networking/v1"
	"sigs.k8s.io/yaml"
)

const canary = "CANARY-s3cr3t"

// refusal returns why the chart refuses values that have the canary in them. It fails the test if
// the chart renders them, or if the reason quotes the canary.
func refusal(t *testing.T, v map[string]any) string {
	t.Helper()
	for _, object := range []string{"networkPolicy", "dashboards"} {
		v[object] = map[string]any{"enabled": true}
	}
	for _, m := range lint.All(chartDir, v, "monitoring", true).Messages {
		if strings.Contains(m.Error(), canary) {
			t.Errorf("helm lint quotes the secret: %v", m)
		}
	}
	files, err := manifests(load(t), v)
	if err == nil {
		for _, name := range slices.Sorted(maps.Keys(files)) {
			if strings.Contains(files[name], canary) {
				t.Errorf("%s has the secret:\n%s", name, files[name])
			}
		}
		t.Fatal("not refused")
	}
	if strings.Contains(err.Error(), canary) {
		t.Errorf("the reason quotes the secret: %v", err)
	}
	return err.Error()
}

func TestSecretsThatManyCouldReadAreRefused(t *testing.T) {
	const (
		wholeFile = "in place of config set extraArgs: [--config.file=/etc/oms_exporter/secret/…]"
		password  = one + "extraEnv: [{name: OMS_PASSWORD, value: " + canary + "}]"
	)
	client := func(text string) string {
		return "config: {targets: {hz: {url: 'http://a', http_client: {" + text + "}}}}"
	}
	for name, test := range map[string]struct{ values, want string }{
		"password":               {client("basic_auth: {password: " + canary + "}"), "password_file: /etc/oms_exporter/secret/…"},
		"password, capital":      {client("basic_auth: {Password: " + canary + "}"), "password_file: /etc/oms_exporter/secret/…"},
		"password in a list":     {client("basic_auth: {password: [" + canary + "]}"), "password_file: /etc/oms_exporter/secret/…"},
		"password as a key":      {client("basic_auth: {password: {" + canary + ": 1}}"), "password_file: /etc/oms_exporter/secret/…"},
		"password without space": {client(`basic_auth: {"password:` + canary + `": null}`), "basic_auth: an unknown key. Known are password_file, username, username_file. Is a space missing"},
		"password for a file":    {client("basic_auth: {password_file: " + canary + "}"), "password_file: want the full name of a file"},
		"text for basic_auth":    {client("basic_auth: 'u:" + canary + "'"), "basic_auth: want a mapping"},
		"text for authorization": {client("authorization: 'Bearer " + canary + "'"), "authorization: want a mapping"},
		"type and credentials":   {client("authorization: {type: 'Bearer " + canary + "'}"), "authorization.type: want a word without white space"},
		"claims":                 {client("oauth2: {claims: {pw: " + canary + "}}"), wholeFile},
		"key of a certificate":   {client("tls_config: {cert: '-----BEGIN PRIVATE KEY-----" + canary + "'}"), "tls_config.cert: want a certificate"},
		"text for http_client":   {"config: {targets: {hz: {url: 'http://a', http_client: " + canary + "}}}", "http_client: want a mapping"},
		"key of a target":        {"config: {targets: {hz: {url: 'http://a', 'bearer_token:" + canary + "': null}}}", "targets.hz: an unknown key"},
		"URL for a target":       {"config: {targets: {'https://u:" + canary + "@h': {url: 'http://a'}}}", "config.targets: a key is not a name"},
		"URL of a target":        {"config: {targets: {hz: {url: 'http://u:" + canary + "@a'}}}", "config.targets.hz.url: want http:// or https://"},
		"URL, cannot be parsed":  {"config: {targets: {hz: {url: 'http://u:" + canary + "%zz@a'}}}", "config.targets.hz.url: want http:// or https://"},
		"proxy":                  {client("proxy_url: 'http://u:" + canary + "@p'"), "http_client.proxy_url: want a URL without user"},
		"proxy, not a URL":       {client("proxy_url: 'http://u:" + canary + "/pw@p'"), "give HTTPS_PROXY in extraEnv, with valueFrom"},
		"proxy of OAuth 2.0":     {client("oauth2: {proxy_url: 'http://u:" + canary + "@p'}"), "http_client.oauth2.proxy_url: "},
		"token server":           {client("oauth2: {token_url: 'http://u:" + canary + "@t'}"), "name client_secret_file"},
		"token server, query":    {client("oauth2: {token_url: 'http://t/?s=" + canary + "'}"), "oauth2.token_url: "},
		"parameters of tokens":   {client("oauth2: {endpoint_params: {a: " + canary + "}}"), wholeFile},
		"header for the proxy":   {client("proxy_connect_header: {X-Key: [" + canary + "]}"), wholeFile},
		"header for that proxy":  {client("oauth2: {proxy_connect_header: {X-Key: [" + canary + "]}}"), wholeFile},
		"header":                 {client("http_headers: {X-Key: {values: [" + canary + "]}}"), "files: [/etc/oms_exporter/secret/…]"},
		"secret header":          {client("http_headers: {X-Key: {secrets: [" + canary + "]}}"), "files: [/etc/oms_exporter/secret/…]"},
		"text for a header":      {client("http_headers: {X-Key: " + canary + "}"), "http_headers.X-Key: want a mapping"},
		"list of headers":        {client("http_headers: [{secrets: [" + canary + "]}]"), "http_headers: want a mapping"},
		"name of a header":       {client(`http_headers: {"X-Key:` + canary + `": null}`), "http_headers: a key is not the name of a header"},

		"URL":                        {"oms: {url: 'https://u:" + canary + "@h'}", "oms.url: want http:// or https://"},
		"key of oms":                 {`oms: {url: 'http://a', "password:` + canary + `": null}`, "oms: an unknown key"},
		"file of the Secret":         {"oms: {url: 'http://a'}\nsecret: {files: {'password:" + canary + "': null}}", "secret.files: a key is not the name of a file"},
		"Secret in place of a name":  {"oms: {url: 'http://a'}\nsecret: {existing: '" + canary + ": a'}", "secret.existing: want the name of a file"},
		"user of the own pages":      {one + "webConfig: {basic_auth_users: {'u:" + canary + "': null}}", "webConfig.basic_auth_users: a key is not a name"},
		"registry":                   {one + "imagePullSecrets: [{auth: " + canary + "}]", "imagePullSecrets[0]: an unknown key. Known are name."},
		"password of ServiceMonitor": {one + "serviceMonitor: {enabled: true, basicAuth: {username: a, password: " + canary + "}}", "serviceMonitor.basicAuth.password: want a mapping with the keys key, name"},
		"password of ScrapeConfig":   {several + "scrapeConfig: {enabled: true, basicAuth: {password: " + canary + "}}", "scrapeConfig.basicAuth.password: want a mapping"},
		"key of ServiceMonitor":      {one + "serviceMonitor: {enabled: true, tlsConfig: {keySecret: " + canary + "}}", "serviceMonitor.tlsConfig.keySecret: want a mapping"},

		"runbooks":         {one + "prometheusRule: {runbookURL: 'https://u:" + canary + "@h'}", "prometheusRule.runbookURL: want a URL"},
		"text for targets": {"config: {targets: " + canary + "}", "/config/targets': got string, want object"},
		"text for files":   {"oms: {url: 'http://a'}\nsecret: {files: " + canary + "}", "/secret/files': got string, want object"},

		"environment":               {password, "extraEnv OMS_PASSWORD: a Deployment is no place for it"},
		"environment, with a space": {one + "extraEnv: [{name: 'OMS_PASSWORD ', value: " + canary + "}]", "extraEnv: the name of a variable"},
		"other environment":         {one + "extraEnv: [{name: MY_APIKEY, value: " + canary + "}]", "valueFrom: {secretKeyRef:"},
		"environment of a flag":     {one + "extraEnv: [{name: OMS_EXPORTER_OMS_PASSWORD, value: " + canary + "}]", "extraEnv OMS_EXPORTER_OMS_PASSWORD: "},
		"name and secret":           {one + "extraEnv: [{name: 'OMS_PASSWORD=" + canary + "', value: a}]", "extraEnv: the name of a variable"},
		"proxy of environment":      {one + "extraEnv: [{name: HTTPS_PROXY, value: 'u:" + canary + "@p:1'}]", "extraEnv HTTPS_PROXY: "},
		"proxy, lower case":         {one + "extraEnv: [{name: https_proxy, value: 'http://u:" + canary + "@p'}]", "extraEnv https_proxy: "},
		"URL of environment":        {one + "extraEnv: [{name: OMS_URL, value: 'http://u:" + canary + "@p'}]", "extraEnv OMS_URL: "},
		"URL of a flag":             {one + "extraArgs: ['--oms.url=http://u:" + canary + "@a']", "extraArgs[0], --oms.url: "},
		"environment beside":        {one + "extraContainers: [{name: a, env: [{name: DB_PASSWORD, value: " + canary + "}]}]", "env DB_PASSWORD of a further container"},
		"flag":                      {one + "extraArgs: ['--oms.password=" + canary + "']", "extraArgs[0], --oms.password: "},
		"flag and value":            {one + "extraArgs: [--oms.password, " + canary + "]", "extraArgs[1]: want one flag"},
	} {
		t.Run(name, func(t *testing.T) {
			if err := refusal(t, values(t, test.values)); !strings.Contains(err, test.want) {
				t.Errorf("%v\nwant: %s", err, test.want)
			}
		})
	}
}

// TestEverySecretOfAnHTTPClientIsRefused asks the Go type of http_client where secrets stand.
func TestEverySecretOfAnHTTPClientIsRefused(t *testing.T) {
	places := secrets(reflect.TypeFor[config.HTTPClientConfig]())
	if len(places) < 10 {
		t.Errorf("found only %d places", len(places))
	}
	for _, client := range places {
		text, err := yaml.Marshal(client)
		if err != nil {
			t.Fatal(err)
		}
		t.Run(string(text), func(t *testing.T) {
			refusal(t, map[string]any{"config": map[string]any{"targets": map[string]any{
				"hz": map[string]any{"url": "http://a", "http_client": client},
			}}})
		})
	}
}

// secrets returns values of a type, each with the canary in another place for secrets.
func secrets(of reflect.Type) []any {
	var found []any
	switch {
	case of == reflect.TypeFor[config.Secret]():
		return []any{canary}
	case of == reflect.TypeFor[config.URL]():
		return []any{"http://user:" + canary + "@proxy.example"}
	case of.Kind() == reflect.Pointer:
		return secrets(of.Elem())
	case of.Kind() == reflect.Slice:
		for _, element := range secrets(of.Elem()) {
			found = append(found, []any{element})
		}
	case of.Kind() == reflect.Map:
		for _, element := range secrets(of.Elem()) {
			found = append(found, map[string]any{http.CanonicalHeaderKey("x-key"): element})
		}
	case of.Kind() == reflect.Struct:
		for i := range of.NumField() {
			field := of.Field(i)
			key, options, _ := strings.Cut(field.Tag.Get("yaml"), ",")
			for _, value := range secrets(field.Type) {
				if options != "inline" {
					value = map[string]any{key: value}
				}
				found = append(found, value)
			}
		}
	}
	return found
}

// TestEveryOtherSettingOfAnHTTPClientIsAccepted is the other half.
func TestEveryOtherSettingOfAnHTTPClientIsAccepted(t *testing.T) {
	var shapes struct {
		Shapes map[string]any
	}
	if err := yaml.Unmarshal([]byte(read(t, chartDir+"/files/shapes.yaml")), &shapes); err != nil {
		t.Fatal(err)
	}
	want := keys(reflect.TypeFor[config.HTTPClientConfig](), "")
	have := shapeKeys(shapes.Shapes, shapes.Shapes["client"], "")
	slices.Sort(want)
	slices.Sort(have)
	if !slices.Equal(have, want) {
		t.Errorf("files/shapes.yaml has\n%s\nwant what http_client has beside secrets:\n%s",
			strings.Join(have, "\n"), strings.Join(want, "\n"))
	}
}

// keys returns the keys of a type that hold no secrets.
func keys(of reflect.Type, path string) []string {
	switch {
	case of.Kind() == reflect.Pointer:
		return keys(of.Elem(), path)
	case of == reflect.TypeFor[config.Headers]():
		return []string{path + ".files"}
	case of.Kind() != reflect.Struct || of == reflect.TypeFor[config.URL]():
		return []string{path}
	}
	var found []string
	for i := range of.NumField() {
		field := of.Field(i)
		key, options, _ := strings.Cut(field.Tag.Get("yaml"), ",")
		switch {
		case options == "inline":
			found = append(found, keys(field.Type, path)...)
		case key == "", field.Type == reflect.TypeFor[config.Secret](), strings.HasSuffix(key, "_ref"),
			slices.Contains([]string{"claims", "endpoint_params", "proxy_connect_header"}, key):
		default:
			found = append(found, keys(field.Type, path+"."+key)...)
		}
	}
	return found
}

// shapeKeys returns the keys of a shape.
func shapeKeys(shapes map[string]any, shape any, path string) []string {
	if name, ok := shape.(string); ok && shapes[name] != nil {
		shape = shapes[name]
	}
	mapping, ok := shape.(map[string]any)
	if !ok {
		return []string{path}
	}
	var found []string
	for key, value := range mapping {
		if strings.HasPrefix(key, "~") {
			found = append(found, shapeKeys(shapes, value, path)...)
		} else {
			found = append(found, shapeKeys(shapes, value, path+"."+key)...)
		}
	}
	return found
}

func TestWhatIsNoSecretIsNotRefused(t *testing.T) {
	for _, text := range []string{
		one + "extraEnv: [{name: OMS_PASSWORD, valueFrom: {secretKeyRef: {name: oms, key: password}}}]",
		one + "extraEnv: [{name: OMS_PASSWORD_FILE, value: /run/secrets/oms}, {name: NO_PROXY, value: a.example}]",
		one + "extraEnv: [{name: OMS_USERNAME, value: viewer@tenant}, {name: HTTPS_PROXY, value: 'http://p:1'}]",
		one + "extraEnv: [{name: OMS_EXPORTER_OMS_PASSWORD_CHANGED, value: '2026-01-31'}]",
		one + "extraArgs: ['--oms.exclude-status=A@B', --oms.password-changed=2026-01-31, --oms.password-file=/a, --no-collector.step]",
		`config: {targets: {hz: {url: 'http://a', http_client: {
  basic_auth: {username: viewer@tenant, password_file: /etc/oms_exporter/secret/hz},
  oauth2: {client_secret_file: /etc/oms_exporter/secret/c, token_url: 'https://t/token', endpoint_params: {}},
  http_headers: {password: {files: [/etc/oms_exporter/secret/h]}},
  proxy_url: 'http://p:3128'}}}}`,
	} {
		render(t, text)
	}
}

func TestTheWholeConfigurationMayBeASecret(t *testing.T) {
	objects := render(t, `
secret: {files: {oms.yml: 'targets: {hz: {url: "http://a", http_client: {proxy_url: "http://u:`+canary+`@p"}}}'}}
extraArgs: [--config.file=/etc/oms_exporter/secret/oms.yml]
serviceMonitor: {enabled: true}
scrapeConfig: {enabled: true}
networkPolicy: {enabled: true, extraEgress: [{ports: [{port: 8089}]}]}
`)
	for _, o := range objects {
		if strings.Contains(o.text, canary) {
			t.Errorf("%s has the secret:\n%s", o.meta.GetName(), o.text)
		}
	}
	pods, _ := workload(t, objects)
	args := pods.Spec.Containers[0].Args
	if want := []string{"serve", "--config.file=/etc/oms_exporter/secret/oms.yml"}; !slices.Equal(args, want) {
		t.Errorf("arguments %q, want %q", args, want)
	}
	// The chart does not know the ports of the OMS, and opens none for them.
	if egress := only[*networkingv1.NetworkPolicy](t, objects).Spec.Egress; len(egress) != 2 {
		t.Errorf("it lets out to %v", egress)
	}
	if _, err := manifests(load(t), values(t, one+"extraArgs: [--config.file=a]")); err == nil {
		t.Error("oms.url and a configuration file are accepted together")
	}
}
