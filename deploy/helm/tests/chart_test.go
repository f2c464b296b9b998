// Package chart_test tests the Helm chart: that it renders valid objects, by
// the Go types of Kubernetes and of the Prometheus operator, and that the
// rendered program starts.
package chart_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	monitoringv1alpha1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1alpha1"
	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	"helm.sh/helm/v3/pkg/lint"
	"helm.sh/helm/v3/pkg/lint/support"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/validation"
	yamlutil "k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/yaml"
)

const (
	chartDir = "../oms-exporter"
	deploy   = "../.."
	secret   = "s3cr3t-word"
)

var update = flag.Bool("update", false, "rewrite the chart's README.md")

// one and several are the minimal values for one OMS and for several.
const (
	one     = "oms: {url: 'https://oms.example:8089', username: viewer}\nsecret: {existing: oms}\n"
	several = `
config:
  targets:
    hangzhou:
      url: https://oms.hangzhou.example:8089
      http_client: {basic_auth: {username: viewer, password_file: /etc/oms_exporter/secret/hangzhou}}
    beijing:
      url: http://oms.beijing.example
      labels: {region: bj}
secret: {files: {hangzhou: ` + secret + `}}
`
	monitored = `
serviceMonitor: {enabled: true, labels: {release: prometheus}}
prometheusRule: {enabled: true, labels: {release: prometheus}}
dashboards: {enabled: true}
networkPolicy: {enabled: true}
podDisruptionBudget: {enabled: true}
`
)

// valueSets are values as users have them.
var valueSets = map[string]string{
	"one":         one,
	"several":     several,
	"one, all":    one + monitored,
	"several all": several + monitored + "scrapeConfig: {enabled: true, labels: {release: prometheus}}\n",
	"no account":  "oms: {url: 'http://oms.example'}\n",
	"own secret": `
oms: {url: 'https://oms.example/path', username: viewer, passwordFile: word, caFile: ca.pem}
secret: {files: {word: ` + secret + `, ca.pem: '-----BEGIN CERTIFICATE-----'}}
`,
	"everything else": one + `
nameOverride: exporter
image: {registry: registry.example, repository: oms_exporter, digest: 'sha256:` + strings.Repeat("0a", 32) + `'}
imagePullSecrets: [{name: registry}]
extraArgs: [--log.format=json]
extraEnv: [{name: HTTPS_PROXY, value: 'http://proxy.example:3128'}]
extraVolumes: [{name: more, emptyDir: {}}]
extraVolumeMounts: [{name: more, mountPath: /more}]
podAnnotations: {a.example/b: c}
podLabels: {team: dba}
nodeSelector: {kubernetes.io/os: linux}
tolerations: [{key: a, operator: Exists}]
affinity: {nodeAffinity: {}}
topologySpreadConstraints: [{maxSkew: 1, topologyKey: zone, whenUnsatisfiable: ScheduleAnyway}]
priorityClassName: high
serviceAccount: {annotations: {a: b}}
service: {type: NodePort, port: 80, nodePort: 30067, annotations: {a: b}, labels: {a: b}}
webConfig:
  tls_server_config: {cert_file: /etc/oms_exporter/secret/tls.crt, key_file: /etc/oms_exporter/secret/tls.key}
  basic_auth_users: {prometheus: $2b$05$hash}
networkPolicy:
  enabled: true
  from: [{namespaceSelector: {matchLabels: {name: monitoring}}}]
  omsTo: [{ipBlock: {cidr: 10.0.0.0/8}}]
  extraEgress: [{ports: [{port: 3128}]}]
serviceMonitor:
  enabled: true
  instance: hangzhou
  tlsConfig: {insecureSkipVerify: true}
  basicAuth: {username: {name: scrape, key: user}, password: {name: scrape, key: password}}
  relabelings: [{targetLabel: region, replacement: hz}]
  metricRelabelings: [{action: labeldrop, regex: task_owner}]
podSecurityContext: {runAsUser: null, runAsGroup: null, fsGroup: null}
global: {imageRegistry: mirror.example, imagePullSecrets: [{name: mirror}]}
namespaceOverride: elsewhere
commonLabels: {owner: dba}
annotations: {a.example/b: c}
revisionHistoryLimit: 1
strategy: {type: Recreate}
envFrom: [{configMapRef: {name: settings}}]
initContainers: [{name: wait, image: 'busybox:1', command: ['true']}]
extraContainers: [{name: proxy, image: 'proxy:1', env: [{name: PORT, value: "1"}]}]
extraManifests:
  - {apiVersion: v1, kind: ConfigMap, metadata: {name: '{{ .Release.Name }}-extra', namespace: elsewhere}, data: {a: b}}
hostAliases: [{ip: 10.0.0.1, hostnames: [oms.example]}]
dnsPolicy: None
dnsConfig: {nameservers: [10.0.0.2]}
runtimeClassName: gvisor
livenessProbe: {timeoutSeconds: 7, periodSeconds: 20}
readinessProbe: null
startupProbe: {failureThreshold: 5}
`,
	"pod monitor": one + "podMonitor: {enabled: true}\n",
	"shards": several + `
shards: 3
networkPolicy: {enabled: true}
podDisruptionBudget: {enabled: true}
strategy: {type: RollingUpdate}
scrapeConfig:
  enabled: true
  namespace: monitors
  relabelings: [{targetLabel: region, replacement: hz}]
  metricRelabelings: [{action: labeldrop, regex: a}]
prometheusRule: {enabled: true, namespace: monitors, extraGroups: [{name: own, rules: [{record: a, expr: '1'}]}]}
serviceMonitor: {enabled: true, namespace: monitors, honorLabels: true}
`,
	"pair":         one + monitored + "replicas: 2\n",
	"pair of many": several + monitored + "replicas: 2\nscrapeConfig: {enabled: true}\n",

	"client certificates": one + "webConfig: {tls_server_config: {client_auth_type: RequireAndVerifyClientCert}}\n",
	"no service account":  one + "serviceAccount: {create: false, name: other}\n",
}

func values(t testing.TB, text string) map[string]any {
	t.Helper()
	parsed := map[string]any{}
	if err := yaml.UnmarshalStrict([]byte(text), &parsed); err != nil {
		t.Fatal(err)
	}
	return parsed
}

// manifests renders the chart, as helm does.
func manifests(c *chart.Chart, v map[string]any) (map[string]string, error) {
	options := chartutil.ReleaseOptions{Name: "hz", Namespace: "monitoring", Revision: 1, IsInstall: true}
	all, err := chartutil.ToRenderValues(c, v, options, chartutil.DefaultCapabilities)
	if err != nil {
		return nil, err
	}
	return engine.Render(c, all)
}

func load(t testing.TB) *chart.Chart {
	t.Helper()
	c, err := loader.Load(chartDir)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// An object of Kubernetes, and its text.
type object struct {
	runtime.Object
	meta metav1.Object
	text string
}

// render returns the objects that the chart renders from values. The test fails
// if one has a field that its type does not have.
func render(t testing.TB, text string) []object {
	t.Helper()
	files, err := manifests(load(t), values(t, text))
	if err != nil {
		t.Fatal(err)
	}
	return decode(t, files)
}

func decode(t testing.TB, files map[string]string) []object {
	t.Helper()
	for _, add := range []func(*runtime.Scheme) error{
		monitoringv1.AddToScheme, monitoringv1alpha1.AddToScheme,
	} {
		if err := add(scheme.Scheme); err != nil {
			t.Fatal(err)
		}
	}
	decoder := serializer.NewCodecFactory(scheme.Scheme, serializer.EnableStrict).UniversalDeserializer()
	var objects []object
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if !strings.HasSuffix(name, ".yaml") {
			continue
		}
		documents := yamlutil.NewDocumentDecoder(io.NopCloser(strings.NewReader(files[name])))
		for {
			document := make([]byte, 1<<21)
			n, err := documents.Read(document)
			if errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatal(name, err)
			}
			document = bytes.TrimSpace(document[:n])
			if content := map[string]any{}; yaml.Unmarshal(document, &content) == nil && len(content) == 0 {
				continue
			}
			decoded, _, err := decoder.Decode(document, nil, nil)
			if err != nil {
				t.Errorf("%s: %v\n%s", name, err, document)
				continue
			}
			objects = append(objects, object{decoded, decoded.(metav1.Object), string(document)})
		}
	}
	return objects
}

// all returns the objects of a kind.
func all[T runtime.Object](objects []object) []T {
	var found []T
	for _, o := range objects {
		if typed, ok := o.Object.(T); ok {
			found = append(found, typed)
		}
	}
	return found
}

func only[T runtime.Object](t testing.TB, objects []object) T {
	t.Helper()
	found := all[T](objects)
	if len(found) != 1 {
		t.Fatalf("%d objects %T, want one", len(found), *new(T))
	}
	return found[0]
}

// workload returns the pods of the Deployment or StatefulSet, and how they are selected.
func workload(t testing.TB, objects []object) (pod corev1.PodTemplateSpec, selector map[string]string) {
	t.Helper()
	if sets := all[*appsv1.StatefulSet](objects); len(sets) > 0 {
		return sets[0].Spec.Template, sets[0].Spec.Selector.MatchLabels
	}
	deployment := only[*appsv1.Deployment](t, objects)
	return deployment.Spec.Template, deployment.Spec.Selector.MatchLabels
}

func TestTheChartPassesHelmLint(t *testing.T) {
	for name, text := range valueSets {
		for _, m := range lint.All(chartDir, values(t, text), "monitoring", true).Messages {
			if m.Severity > support.InfoSev {
				t.Errorf("%s: %v", name, m)
			}
		}
	}
}

func TestEveryValueSetMakesValidObjects(t *testing.T) {
	for name, text := range valueSets {
		t.Run(name, func(t *testing.T) {
			objects := render(t, text)
			seen := map[string]bool{}
			for _, o := range objects {
				kind := o.Object.GetObjectKind().GroupVersionKind().Kind
				id := kind + "/" + o.meta.GetNamespace() + "/" + o.meta.GetName()
				if seen[id] {
					t.Errorf("duplicate object %s", id)
				}
				seen[id] = true
				for _, problem := range validation.IsDNS1123Label(o.meta.GetName()) {
					t.Errorf("%s: %s", id, problem)
				}
				if kind != "Pod" && o.meta.GetNamespace() == "" && !strings.HasSuffix(id, "-extra") {
					t.Errorf("%s has no namespace", id)
				}
				for key, value := range o.meta.GetLabels() {
					for _, problem := range validation.IsValidLabelValue(value) {
						t.Errorf("%s: %s: %s", id, key, problem)
					}
				}
				if kind != "Secret" && strings.Contains(o.text, secret) {
					t.Errorf("%s has a password:\n%s", id, o.text)
				}
			}
			expectConsistent(t, objects)
		})
	}
}

// expectConsistent checks the references between objects.
func expectConsistent(t *testing.T, objects []object) {
	t.Helper()
	pod, selector := workload(t, objects)
	selects := func(what string, selector map[string]string) {
		if !labels.SelectorFromSet(selector).Matches(labels.Set(pod.Labels)) || len(selector) == 0 {
			t.Errorf("%s selects %v, the pods have %v", what, selector, pod.Labels)
		}
	}
	service := only[*corev1.Service](t, objects)
	selects("the Deployment or StatefulSet", selector)
	selects("the Service", service.Spec.Selector)
	for _, budget := range all[*policyv1.PodDisruptionBudget](objects) {
		selects("the PodDisruptionBudget", budget.Spec.Selector.MatchLabels)
	}
	for _, policy := range all[*networkingv1.NetworkPolicy](objects) {
		selects("the NetworkPolicy", policy.Spec.PodSelector.MatchLabels)
	}
	for _, monitor := range all[*monitoringv1.ServiceMonitor](objects) {
		if !labels.SelectorFromSet(monitor.Spec.Selector.MatchLabels).Matches(labels.Set(service.Labels)) {
			t.Error("the ServiceMonitor does not select the Service")
		}
		if port := monitor.Spec.Endpoints[0].Port; port != service.Spec.Ports[0].Name {
			t.Errorf("the ServiceMonitor scrapes the port %q", port)
		}
	}
	if target, port := service.Spec.Ports[0].TargetPort.StrVal, pod.Spec.Containers[0].Ports[0]; target != port.Name {
		t.Errorf("the Service leads to the port %q, the container has %q", target, port.Name)
	}
	if test := only[*corev1.Pod](t, objects); labels.SelectorFromSet(service.Spec.Selector).Matches(labels.Set(test.Labels)) {
		t.Error("the Service also selects the pod of helm test")
	}

	volumes := map[string]bool{}
	for _, v := range pod.Spec.Volumes {
		volumes[v.Name] = true
		if v.ConfigMap != nil && !slices.ContainsFunc(all[*corev1.ConfigMap](objects), named[*corev1.ConfigMap](v.ConfigMap.Name)) {
			t.Errorf("there is no ConfigMap %s", v.ConfigMap.Name)
		}
		if v.Secret != nil && v.Secret.SecretName != "oms" && // the one of the user
			!slices.ContainsFunc(all[*corev1.Secret](objects), named[*corev1.Secret](v.Secret.SecretName)) {
			t.Errorf("there is no Secret %s", v.Secret.SecretName)
		}
	}
	for _, mount := range pod.Spec.Containers[0].VolumeMounts {
		if !volumes[mount.Name] {
			t.Errorf("there is no volume %s", mount.Name)
		}
		delete(volumes, mount.Name)
	}
	if len(volumes) > 0 {
		t.Errorf("volumes that are not mounted: %v", volumes)
	}
}

func named[T metav1.Object](name string) func(T) bool {
	return func(o T) bool { return o.GetName() == name }
}

func TestPodsAreRestricted(t *testing.T) {
	for name, text := range valueSets {
		objects := render(t, text)
		pods, _ := workload(t, objects)
		specs := map[string]corev1.PodSpec{
			"exporter": pods.Spec,
			"test":     only[*corev1.Pod](t, objects).Spec,
		}
		for kind, pod := range specs {
			c := pod.Containers[0].SecurityContext
			for what, holds := range map[string]bool{
				"no token":             !*pod.AutomountServiceAccountToken,
				"not root":             *pod.SecurityContext.RunAsNonRoot,
				"seccomp":              pod.SecurityContext.SeccompProfile.Type == corev1.SeccompProfileTypeRuntimeDefault,
				"no escalation":        !*c.AllowPrivilegeEscalation,
				"read-only":            *c.ReadOnlyRootFilesystem,
				"no capabilities":      slices.Equal(c.Capabilities.Drop, []corev1.Capability{"ALL"}),
				"a limit of memory":    !pod.Containers[0].Resources.Limits.Memory().IsZero(),
				"no limit of a second": pod.Containers[0].Resources.Limits.Cpu().IsZero(), // throttling would delay scrapes
			} {
				if !holds {
					t.Errorf("%s, %s lacks: %s", name, kind, what)
				}
			}
		}
	}
}

func TestRulesAreThoseOfTheRepository(t *testing.T) {
	objects := render(t, one+"prometheusRule: {enabled: true}\n")
	files, err := filepath.Glob(deploy + "/prometheus/rules/*.yml")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	have := map[string]any{}
	for _, o := range objects {
		if _, ok := o.Object.(*monitoringv1.PrometheusRule); ok {
			have[o.meta.GetName()] = values(t, o.text)["spec"]
		}
	}
	if len(have) != len(files) {
		t.Errorf("%d PrometheusRules of %d files", len(have), len(files))
	}
	for _, file := range files {
		want := any(values(t, read(t, file)))
		if !slices.ContainsFunc(slices.Collect(maps.Values(have)), func(spec any) bool {
			return reflect.DeepEqual(spec, want)
		}) {
			t.Errorf("no PrometheusRule has the content of %s", file)
		}
		if strings.Contains(file, "alerts") && !strings.Contains(read(t, file), "{{ $labels.") {
			t.Errorf("%s has no template: this test proves nothing", file)
		}
	}
}

func TestRulesCanBeLeftOutAndRunbooksMoved(t *testing.T) {
	objects := render(t, one+`
prometheusRule: {enabled: true, disabled: [OMSClockSkew], runbookURL: 'https://wiki.example/oms/'}
`)
	alerts := 0
	for _, rule := range all[*monitoringv1.PrometheusRule](objects) {
		for _, group := range rule.Spec.Groups {
			for _, r := range group.Rules {
				if r.Alert == "" {
					continue
				}
				alerts++
				if want := "https://wiki.example/oms/" + r.Alert + ".md"; r.Annotations["runbook_url"] != want {
					t.Errorf("%s: %s, want %s", r.Alert, r.Annotations["runbook_url"], want)
				}
				if r.Alert == "OMSClockSkew" {
					t.Error("OMSClockSkew is not left out")
				}
			}
		}
	}
	if alerts == 0 {
		t.Error("there are no alerts")
	}
}

func TestDashboardsAreThoseOfTheRepository(t *testing.T) {
	objects := render(t, one+"dashboards: {enabled: true, namespace: grafana}\n")
	files, err := filepath.Glob(deploy + "/grafana/dashboards/*.json")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	have := map[string]string{}
	for _, o := range all[*corev1.ConfigMap](objects) {
		maps.Copy(have, o.Data)
		if o.Namespace != "grafana" || o.Labels["grafana_dashboard"] != "1" || o.Annotations["grafana_folder"] != "OMS" {
			t.Errorf("%s is in %q, with %v and %v", o.Name, o.Namespace, o.Labels, o.Annotations)
		}
	}
	for _, file := range files {
		name := filepath.Base(file)
		if want := read(t, file); strings.TrimSpace(have[name]) != strings.TrimSpace(want) {
			t.Errorf("the ConfigMap of %s differs from the file", name)
		}
		if size := len(have[name]); size > 200<<10 { // kubectl apply stores a copy in an annotation
			t.Errorf("%s has %d bytes, which is near the limit of 256 KiB", name, size)
		}
	}
	if len(have) != len(files) {
		t.Errorf("%d ConfigMaps of %d files", len(have), len(files))
	}
}

func TestThePackageRendersWhatTheDirectoryDoes(t *testing.T) {
	c := load(t)
	archive, err := chartutil.Save(c, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	packaged, err := loader.Load(archive)
	if err != nil {
		t.Fatal(err)
	}
	text := valueSets["several all"]
	want, err := manifests(c, values(t, text))
	if err != nil {
		t.Fatal(err)
	}
	have, err := manifests(packaged, values(t, text))
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(have, want) {
		t.Error("the package renders other objects than the directory")
	}
}

func TestWrongValuesAreRefused(t *testing.T) {
	target := func(text string) string { return "config: {targets: {hz: {url: 'http://a', " + text + "}}}" }
	for text, want := range map[string]string{
		"{}": "no OMS: give oms.url, such as https://oms.example:8089, or config with targets",
		one + "config: {targets: {a: {url: 'http://a'}}}":                         "oms.url and config: give one of them",
		"oms: {url: 'oms.example'}":                                               "oms.url: want http:// or https://, a host",
		"oms: {url: 'https://me:word@oms.example'}":                               "oms.url: want http:// or https://, a host",
		"oms: {url: 'http://a', username: viewer}":                                "no password for oms.username: give secret.existing, a Secret with the key password",
		"oms: {url: 'http://a', username: viewer}\nsecret: {files: {pasword: a}}": "secret.files has no password",
		"oms: {url: 'http://a', password: a}":                                     "oms.password: a ConfigMap is no place for it",
		one + "secret: {existing: a, files: {password: b}}":                       "secret.existing and secret.files: give one of them",
		one + "serviceMonitor: {intervall: 30s}":                                  "at '/serviceMonitor': additional properties 'intervall' not allowed",
		one + "serviceMonitor: {interval: 30}":                                    "at '/serviceMonitor/interval': got number, want string",
		one + "serviceMonitor: {interval: 30 s}":                                  "at '/serviceMonitor/interval': '30 s' does not match pattern",
		one + "service: {port: 100000}":                                           "at '/service/port': maximum: got 100,000, want 65,535",
		one + "image: {pullPolicy: Sometimes}":                                    "at '/image/pullPolicy': value must be one of 'Always', 'IfNotPresent', 'Never'",
		one + "extraArgs: [web.listen-address]":                                   "extraArgs[0]: want one flag",
		one + "shards: 2":                                                         "shards share the OMS in config",
		several + "shards: 2\nreplicas: 2":                                        "shards and replicas: give one of them",
		several + "shards: 2\nservice: {type: NodePort}":                          "service.type: several pods are reached by their own names",
		one + "serviceMonitor: {enabled: true}\npodMonitor: {enabled: true}":      "serviceMonitor and podMonitor: enable one of them",
		one + "resources: {limits: {memory: much}}":                               "resources.limits.memory: want a number of bytes",
		one + "scrapeConfig: {enabled: true}":                                     "scrapeConfig is for several OMS, in config",
		one + "prometheusRule: {enabled: true, disabled: [Nonsense]}":             "prometheusRule.disabled: there is no alert Nonsense",
		"config: {target: {}}":                                                    "config: an unknown key. Known are delay_thresholds, targets.",
		"config: {targets: {}}":                                                   "config.targets: name at least one OMS",
		"config: {targets: {hz: {}}}":                                             "config.targets.hz: url is missing",
		target("page_size: 1000"):                                                 "config.targets.hz.page_size: want a number from 1 to 150",
		target("http_client: {basic_auth: {password: a}}"):                        "config.targets.hz.http_client.basic_auth.password: a ConfigMap is no place for it",
		target("http_client: {authorization: {credentials: a}}"):                  "name its file, credentials_file: /etc/oms_exporter/secret/",
		target("http_client: {http_headers: {X-Key: {secrets: [a]}}}"):            "http_headers.X-Key.secrets: a ConfigMap is no place",
	} {
		t.Run(text, func(t *testing.T) {
			values := map[string]any{}
			if err := yaml.Unmarshal([]byte(text), &values); err != nil { // of duplicate keys, the last counts
				t.Fatal(err)
			}
			if _, err := manifests(load(t), values); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%v\nwant: %s", err, want)
			}
		})
	}
}

func TestTheExampleOfAConfigurationIsAccepted(t *testing.T) {
	// In a pod, there is no file beside the configuration.
	example := values(t, strings.ReplaceAll(read(t, deploy+"/oms_exporter.yml"), "_file: ", "_file: /"))
	files, err := manifests(load(t), map[string]any{"config": example})
	if err != nil {
		t.Fatal(err)
	}
	have := values(t, only[*corev1.ConfigMap](t, decode(t, files)).Data["oms_exporter.yml"])
	if !reflect.DeepEqual(have, example) {
		t.Errorf("the ConfigMap has %v", have)
	}
}

func TestAChangeOfTheConfigurationRollsThePodsAndAPasswordDoesNot(t *testing.T) {
	sum := func(text string) string {
		pods, _ := workload(t, render(t, text))
		return pods.Annotations["checksum/config"]
	}
	same := sum(several)
	for text, changes := range map[string]bool{
		strings.ReplaceAll(several, "beijing", "shanghai"):     true,
		strings.ReplaceAll(several, secret, "another"):         false,
		several + "webConfig: {basic_auth_users: {a: hash}}\n": true,
	} {
		if changed := sum(text) != same; changed != changes {
			t.Errorf("checksum changed: %t, want %t, with %s", changed, changes, text)
		}
	}
}

func TestTheNetworkPolicyLetsOutToThePortsOfOMS(t *testing.T) {
	for text, want := range map[string][]string{
		one: {"8089"}, several: {"80", "8089"}, "oms: {url: 'https://oms.example/path'}\n": {"443"},
	} {
		policy := only[*networkingv1.NetworkPolicy](t, render(t, text+"networkPolicy: {enabled: true}\n"))
		var have []string
		for _, port := range policy.Spec.Egress[1].Ports {
			have = append(have, port.Port.String())
		}
		if !slices.Equal(have, want) {
			t.Errorf("ports %v, want %v", have, want)
		}
	}
}

// TestScrapingIsThatOfThePlainConfiguration compares the chart with
// deploy/prometheus.
func TestScrapingIsThatOfThePlainConfiguration(t *testing.T) {
	type job struct {
		Name        string `json:"job_name"`
		SampleLimit int64  `json:"sample_limit"`
		BodySize    string `json:"body_size_limit"`
		LabelLength int64  `json:"label_value_length_limit"`
	}
	var plain struct {
		Global struct {
			Interval string `json:"scrape_interval"`
			Timeout  string `json:"scrape_timeout"`
		} `json:"global"`
		Jobs []job `json:"scrape_configs"`
	}
	if err := yaml.Unmarshal([]byte(read(t, deploy+"/prometheus/prometheus.yml")), &plain); err != nil {
		t.Fatal(err)
	}
	want := []any{plain.Global.Interval, plain.Global.Timeout, plain.Jobs[0]}
	jobOf := func(relabelings []monitoringv1.RelabelConfig) string {
		for _, r := range relabelings {
			if r.TargetLabel == "job" {
				return *r.Replacement
			}
		}
		return ""
	}
	monitor := only[*monitoringv1.ServiceMonitor](t, render(t, one+"serviceMonitor: {enabled: true}\n")).Spec
	endpoint := monitor.Endpoints[0]
	if have := []any{
		string(endpoint.Interval), string(endpoint.ScrapeTimeout),
		job{jobOf(endpoint.RelabelConfigs), *monitor.SampleLimit, string(*monitor.BodySizeLimit), *monitor.LabelValueLengthLimit},
	}; !reflect.DeepEqual(have, want) {
		t.Errorf("ServiceMonitor: %v, want %v", have, want)
	}

	objects := render(t, several+"serviceMonitor: {enabled: true}\nscrapeConfig: {enabled: true}\n")
	config := only[*monitoringv1alpha1.ScrapeConfig](t, objects).Spec
	if have := []any{
		string(*config.ScrapeInterval), string(*config.ScrapeTimeout),
		job{*config.JobName, *config.SampleLimit, string(*config.BodySizeLimit), *config.LabelValueLengthLimit},
	}; !reflect.DeepEqual(have, want) {
		t.Errorf("ScrapeConfig: %v, want %v", have, want)
	}
	service := only[*corev1.Service](t, objects)
	if have, want := string(config.HTTPSDConfigs[0].URL),
		fmt.Sprintf("http://%s.monitoring.svc:%d/sd", service.Name, service.Spec.Ports[0].Port); have != want {
		t.Errorf("discovery at %s, want %s", have, want)
	}
	own := only[*monitoringv1.ServiceMonitor](t, objects).Spec.Endpoints[0]
	if have := jobOf(own.RelabelConfigs); have != "oms_exporter" {
		t.Errorf("the exporter's own metrics have the job %q", have)
	}
}

func TestNotesSayHowToGoOn(t *testing.T) {
	for text, want := range map[string][]string{
		one:     {"port-forward service/hz-oms-exporter", "serviceMonitor.enabled", "without prometheusRule"},
		several: {"check --config.file=/etc/oms_exporter/config/oms_exporter.yml", "scrapeConfig.enabled"},
	} {
		files, err := manifests(load(t), values(t, text))
		if err != nil {
			t.Fatal(err)
		}
		notes := strings.ToLower(files["oms-exporter/templates/NOTES.txt"])
		for _, part := range want {
			if !strings.Contains(notes, strings.ToLower(part)) {
				t.Errorf("the notes lack %q:\n%s", part, notes)
			}
		}
	}
}

func read(t testing.TB, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

func TestNamesAreNotDoubled(t *testing.T) {
	for _, test := range []struct{ release, values, want string }{
		{"oms", one, "oms-exporter"},
		{"oms-exporter", one, "oms-exporter"},
		{"my-oms-exporter", one, "my-oms-exporter"},
		{"hz", one, "hz-oms-exporter"},
		{"om", one, "om-oms-exporter"},
		{"hz", one + "nameOverride: hz-oms\n", "hz-oms"},
		{"hz", one + "fullnameOverride: other\n", "other"},
	} {
		options := chartutil.ReleaseOptions{Name: test.release, Namespace: "monitoring"}
		v, err := chartutil.ToRenderValues(load(t), values(t, test.values), options, chartutil.DefaultCapabilities)
		if err != nil {
			t.Fatal(err)
		}
		files, err := engine.Render(load(t), v)
		if err != nil {
			t.Fatal(err)
		}
		if have := only[*appsv1.Deployment](t, decode(t, files)).Name; have != test.want {
			t.Errorf("%s: %s, want %s", test.release, have, test.want)
		}
	}
}

func TestGoKnowsTheMemoryLimit(t *testing.T) {
	for limits, want := range map[string]string{
		"":                                         "256MiB", // as the security guide says
		"resources: {limits: {memory: 1Gi}}":       "819MiB",
		"resources: {limits: {memory: 1.5Gi}}":     "1228MiB",
		"resources: {limits: {memory: 500M}}":      "381MiB",
		"resources: {limits: {memory: 335544320}}": "256MiB",
		"resources: {limits: {memory: null}}":      "",
		"resources: {limits: null}":                "",
	} {
		pods, _ := workload(t, render(t, one+limits))
		have := ""
		for _, v := range pods.Spec.Containers[0].Env {
			if v.Name == "GOMEMLIMIT" {
				have = v.Value
			}
		}
		if have != want {
			t.Errorf("%s: GOMEMLIMIT is %q, want %q", limits, have, want)
		}
	}
}

// TestEachOMSIsScrapedFromOneOfSeveralShards follows the relabelings, as Prometheus does.
func TestEachOMSIsScrapedFromOneOfSeveralShards(t *testing.T) {
	objects := render(t, valueSets["shards"])
	set := only[*appsv1.StatefulSet](t, objects)
	service := only[*corev1.Service](t, objects)
	if *set.Spec.Replicas != 3 || set.Spec.ServiceName != service.Name || service.Spec.ClusterIP != corev1.ClusterIPNone {
		t.Errorf("%d pods of the service %s; %s has the address %q",
			*set.Spec.Replicas, set.Spec.ServiceName, service.Name, service.Spec.ClusterIP)
	}
	config := only[*monitoringv1alpha1.ScrapeConfig](t, objects)
	text, err := yaml.Marshal(config.Spec.RelabelConfigs)
	if err != nil {
		t.Fatal(err)
	}
	want := `- action: hashmod
  modulus: 3
  sourceLabels:
  - __param_target
  targetLabel: __tmp_shard
- replacement: hz-oms-exporter-$1.hz-oms-exporter.monitoring.svc:10667
  sourceLabels:
  - __tmp_shard
  targetLabel: __address__
- replacement: hz
  targetLabel: region
`
	if string(text) != want || config.Namespace != "monitors" {
		t.Errorf("relabelings in %s:\n%s\nwant:\n%s", config.Namespace, text, want)
	}
	own := only[*monitoringv1.ServiceMonitor](t, objects).Spec
	if instance := own.Endpoints[0].RelabelConfigs[1]; len(instance.SourceLabels) != 1 ||
		instance.SourceLabels[0] != "__meta_kubernetes_pod_name" {
		t.Errorf("the shards' own metrics would have one instance: %+v", instance)
	}
	if !slices.Equal(own.NamespaceSelector.MatchNames, []string{"monitoring"}) {
		t.Errorf("the ServiceMonitor looks into %v", own.NamespaceSelector)
	}
}

// TestTwoExportersOfAnOMSHaveDifferentJobs: the rules tell them apart by that.
func TestTwoExportersOfAnOMSHaveDifferentJobs(t *testing.T) {
	own := only[*monitoringv1.ServiceMonitor](t, render(t, valueSets["pair"])).Spec.Endpoints[0].RelabelConfigs
	if own[0].Regex != ".*-([0-9]+)" || *own[0].Replacement != "oms-$1" || *own[1].Replacement != "hz" {
		t.Errorf("job and instance come from %+v", own)
	}
	var jobs []string
	for _, config := range all[*monitoringv1alpha1.ScrapeConfig](render(t, valueSets["pair of many"])) {
		jobs = append(jobs, *config.Spec.JobName, string(config.Spec.HTTPSDConfigs[0].URL))
	}
	if want := []string{
		"oms-0", "http://hz-oms-exporter-0.hz-oms-exporter.monitoring.svc:10667/sd",
		"oms-1", "http://hz-oms-exporter-1.hz-oms-exporter.monitoring.svc:10667/sd",
	}; !slices.Equal(jobs, want) {
		t.Errorf("scraped are %q, want %q", jobs, want)
	}
}
