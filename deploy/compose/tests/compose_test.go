// Package compose_test loads deploy/compose.yaml as docker compose does, and
// checks more than that does.
package compose_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"
	"go.yaml.in/yaml/v3"
)

const deploy = "../.."

func load(t *testing.T) *types.Project {
	t.Helper()
	dir, err := filepath.Abs(deploy)
	if err != nil {
		t.Fatal(err)
	}
	project, err := loader.LoadWithContext(t.Context(), types.ConfigDetails{
		WorkingDir:  dir,
		ConfigFiles: []types.ConfigFile{{Filename: filepath.Join(dir, "compose.yaml")}},
		Environment: types.Mapping{},
	}, func(o *loader.Options) { o.SkipExtends = true })
	if err != nil {
		t.Fatal(err)
	}
	return project
}

// tag is a version, to the patch, and the digest that it had.
var tag = regexp.MustCompile(`^[\w./-]+:v?\d+\.\d+\.\d+@sha256:[0-9a-f]{64}$`)

func TestImagesAreBuiltHereOrPinned(t *testing.T) {
	for name, service := range load(t).Services {
		if service.Build != nil {
			if _, err := os.Stat(filepath.Join(service.Build.Context, service.Build.Dockerfile)); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		} else if !tag.MatchString(service.Image) {
			t.Errorf("%s: %q is not pinned", name, service.Image)
		}
	}
}

func TestPortsAreOnLoopback(t *testing.T) {
	ports := 0
	for name, service := range load(t).Services {
		for _, port := range service.Ports {
			ports++
			if port.HostIP != "127.0.0.1" {
				t.Errorf("%s: port %s is on %q", name, port.Published, port.HostIP)
			}
		}
		if len(service.Ports) > 0 && service.NetworkMode != "" {
			t.Errorf("%s publishes ports of another container's network", name)
		}
	}
	if ports == 0 {
		t.Error("no port is published")
	}
}

func TestWhatIsMountedExists(t *testing.T) {
	project := load(t)
	for name, service := range project.Services {
		for _, volume := range service.Volumes {
			switch volume.Type {
			case "bind":
				if _, err := os.Stat(volume.Source); err != nil {
					t.Errorf("%s: %v", name, err)
				}
				if !volume.ReadOnly {
					t.Errorf("%s can write to %s", name, volume.Source)
				}
			case "volume":
				if _, ok := project.Volumes[volume.Source]; !ok {
					t.Errorf("%s: there is no volume %s", name, volume.Source)
				}
			}
		}
		for _, secret := range service.Secrets {
			if _, err := os.Stat(project.Secrets[secret.Source].File); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

func TestServicesShareANetworkAndWaitForWhatTheyNeed(t *testing.T) {
	project := load(t)
	for name, service := range project.Services {
		if name != "oms" && service.NetworkMode != "service:oms" {
			t.Errorf("%s is not on the network of oms, so its localhost is another", name)
		}
		for other, dependency := range service.DependsOn {
			if dependency.Condition == types.ServiceConditionHealthy && project.Services[other].HealthCheck == nil {
				t.Errorf("%s waits forever: %s has no health check", name, other)
			}
		}
		if !service.ReadOnly || len(service.CapDrop) == 0 || len(service.SecurityOpt) == 0 {
			t.Errorf("%s is not restricted", name)
		}
	}
}

// TestConfigurationsFitTheStack checks that the addresses and files in the
// configurations exist.
func TestConfigurationsFitTheStack(t *testing.T) {
	project := load(t)
	published := map[string]bool{}
	for _, port := range project.Services["oms"].Ports {
		published[port.Published] = true
	}
	var prometheus struct {
		Scrapes []struct {
			Statics []struct{ Targets []string } `yaml:"static_configs"`
		} `yaml:"scrape_configs"`
		Alerting struct {
			Managers []struct {
				Statics []struct{ Targets []string } `yaml:"static_configs"`
			} `yaml:"alertmanagers"`
		}
		Rules []string `yaml:"rule_files"`
	}
	parse(t, "prometheus/prometheus.yml", &prometheus)
	var targets []string
	for _, s := range prometheus.Scrapes {
		for _, static := range s.Statics {
			targets = append(targets, static.Targets...)
		}
	}
	for _, m := range prometheus.Alerting.Managers {
		for _, static := range m.Statics {
			targets = append(targets, static.Targets...)
		}
	}
	if len(targets) < 2 {
		t.Errorf("prometheus.yml has only the targets %v", targets)
	}
	for _, target := range targets {
		host, port, _ := strings.Cut(target, ":")
		if host != "localhost" || !published[port] {
			t.Errorf("prometheus.yml has the target %s, which is not in the stack", target)
		}
	}
	for _, rules := range prometheus.Rules {
		if found, err := filepath.Glob(filepath.Join(deploy, "prometheus", rules)); err != nil || len(found) == 0 {
			t.Errorf("there are no %s", rules)
		}
	}

	// The receiver replaces all receivers of alertmanager.yml.
	calls := regexp.MustCompile(`(?m)^[^#\n]*\burl: (\S+)`).FindAllStringSubmatch(read(t, "alertmanager/alertmanager.yml"), -1)
	if len(calls) == 0 {
		t.Error("alertmanager.yml has no receiver")
	}
	port := project.Services["receiver"].Entrypoint[3]
	for _, call := range calls {
		if !strings.HasPrefix(call[1], "http://127.0.0.1:"+port+"/") {
			t.Errorf("alertmanager.yml notifies %s, but the receiver listens on port %s", call[1], port)
		}
	}

	// Grafana's provisioning uses a variable and a directory.
	grafana := project.Services["grafana"]
	if !strings.Contains(read(t, "grafana/provisioning/datasources/prometheus.yml"), "$PROMETHEUS_URL") ||
		grafana.Environment["PROMETHEUS_URL"] == nil {
		t.Error("Grafana has no address of Prometheus")
	}
	mounted := false
	for _, volume := range grafana.Volumes {
		mounted = mounted || strings.Contains(
			read(t, "grafana/provisioning/dashboards/oms.yml"), "path: "+volume.Target+"\n")
	}
	if !mounted {
		t.Error("the dashboards are not where Grafana looks for them")
	}
	for _, kind := range []string{"alerting", "dashboards", "datasources", "plugins"} {
		if found, err := filepath.Glob(filepath.Join(deploy, "grafana/provisioning", kind, "*")); err != nil || len(found) == 0 {
			t.Errorf("Grafana reports an error: there is no directory provisioning/%s with a file", kind)
		}
	}
	if image, _, _ := strings.Cut(grafana.Image, "@"); !strings.Contains(read(t, "grafana/README.md"), " "+image+"\n") {
		t.Errorf("grafana/README.md runs another image than %s", image)
	}
	home := filepath.Base(*grafana.Environment["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
	if _, err := os.Stat(filepath.Join(deploy, "grafana/dashboards", home)); err != nil {
		t.Error(err)
	}
}

func parse(t *testing.T, file string, into any) {
	t.Helper()
	if err := yaml.Unmarshal([]byte(read(t, file)), into); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(deploy, file))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}
