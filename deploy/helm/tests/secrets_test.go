package chart_test

import (
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/common/config"
	appsv1 "k8s.io/api/apps/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"sigs.k8s.io/yaml"
)

const canary = "CANARY-s3cr3t"

// refusal returns why the chart refuses values that have the canary in them. It fails the test if
// the chart renders them, or if the reason quotes the canary.
func refusal(t *testing.T, v map[string]any) string {
	t.Helper()
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
		"password in a list":     {client("basic_auth: {password: [" + canary + "]}"), "password_file: /etc/oms_exporter/secret/…"},
		"proxy":                  {client("proxy_url: 'http://u:" + canary + "@p'"), "http_client.proxy_url: a ConfigMap is no place"},
		"proxy, not a URL":       {client("proxy_url: 'http://u:" + canary + "/pw@p'"), "give HTTPS_PROXY in extraEnv, with valueFrom"},
		"proxy of OAuth 2.0":     {client("oauth2: {proxy_url: 'http://u:" + canary + "@p'}"), "http_client.oauth2.proxy_url: "},
		"token server":           {client("oauth2: {token_url: 'http://u:" + canary + "@t'}"), "name client_secret_file"},
		"token server, query":    {client("oauth2: {token_url: 'http://t/?s=" + canary + "'}"), "oauth2.token_url: "},
		"parameters of tokens":   {client("oauth2: {endpoint_params: {a: " + canary + "}}"), wholeFile},
		"header for the proxy":   {client("proxy_connect_header: {X-Key: [" + canary + "]}"), wholeFile},
		"header for that proxy":  {client("oauth2: {proxy_connect_header: {X-Key: [" + canary + "]}}"), wholeFile},
		"header":                 {client("http_headers: {X-Key: {values: [" + canary + "]}}"), "files: [/etc/oms_exporter/secret/…]"},
		"secret header":          {client("http_headers: {X-Key: {secrets: [" + canary + "]}}"), "files: [/etc/oms_exporter/secret/…]"},
		"environment":            {password, "extraEnv OMS_PASSWORD: a Deployment is no place for it"},
		"other environment":      {one + "extraEnv: [{name: MY_TOKEN, value: " + canary + "}]", "valueFrom: {secretKeyRef:"},
		"proxy of environment":   {one + "extraEnv: [{name: HTTPS_PROXY, value: 'u:" + canary + "@p:1'}]", "extraEnv HTTPS_PROXY: "},
		"proxy, lower case":      {one + "extraEnv: [{name: https_proxy, value: 'http://u:" + canary + "@p'}]", "extraEnv https_proxy: "},
		"any URL of environment": {one + "extraEnv: [{name: A, value: 'http://u:" + canary + "@p'}]", "extraEnv A: "},
		"flag":                   {"extraArgs: ['--oms.url=http://u:" + canary + "@a']\n" + one, "extraArgs --oms.url: "},
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

func TestWhatIsNoSecretIsNotRefused(t *testing.T) {
	for _, text := range []string{
		one + "extraEnv: [{name: OMS_PASSWORD, valueFrom: {secretKeyRef: {name: oms, key: password}}}]",
		one + "extraEnv: [{name: OMS_PASSWORD_FILE, value: /run/secrets/oms}, {name: NO_PROXY, value: a.example}]",
		one + "extraEnv: [{name: OMS_USERNAME, value: viewer@tenant}, {name: HTTPS_PROXY, value: 'http://p:1'}]",
		one + "extraArgs: ['--oms.exclude-status=A@B']",
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
	args := only[*appsv1.Deployment](t, objects).Spec.Template.Spec.Containers[0].Args
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
