package chart_test

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
)

const patience = 20 * time.Second

// TestWhatIsRenderedStarts runs the container's command, with the files that it
// mounts and against a simulated OMS, and its probes.
func TestWhatIsRenderedStarts(t *testing.T) {
	program := build(t)
	oms := simulate(t, program)
	hash := "$2y$04$bvIG6PO5CrTz2bwxQp7wHeT/3wrwHCWQvqjiFPRGqHVEsGpzfcB3u"
	for name, test := range map[string]struct {
		values string
		path   string // of oms_up
		locked bool   // it asks for a password
	}{
		"one": {
			values: "oms: {url: 'OMS', username: viewer}\nsecret: {files: {password: " + secret + "}}\n",
			path:   "/metrics",
		},
		"several": {
			values: strings.NewReplacer(
				"https://oms.hangzhou.example:8089", "OMS").Replace(several),
			path: "/probe?target=hangzhou",
		},
		"configuration in the Secret": {
			values: "secret: {files: {oms.yml: 'targets: {hangzhou: {url: OMS, http_client: " +
				"{basic_auth: {username: viewer, password: " + secret + "}}}}'}}\n" +
				"extraArgs: [--config.file=/etc/oms_exporter/secret/oms.yml]\n",
			path: "/probe?target=hangzhou",
		},
		"flags": {
			values: "oms: {url: 'OMS', username: viewer}\nsecret: {files: {password: " + secret + "}}\n" +
				"extraArgs: [--log.format=json, --no-collector.step]\n",
			path: "/metrics",
		},
		"web configuration": {
			values: "oms: {url: 'OMS', username: viewer}\nsecret: {files: {password: " + secret + "}}\n" +
				"webConfig: {basic_auth_users: {prometheus: '" + hash + "'}}\n",
			locked: true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			objects := render(t, strings.ReplaceAll(test.values, "OMS", oms))
			root, container := mount(t, objects)
			var env []string
			for _, v := range container.Env {
				env = append(env, v.Name+"="+strings.ReplaceAll(v.Value, "/etc/oms_exporter", root))
			}
			var args []string
			for _, arg := range container.Args {
				args = append(args, strings.ReplaceAll(arg, "/etc/oms_exporter", root))
			}
			url := launch(t, env, program, append(args, "--web.listen-address=127.0.0.1:0")...)

			for _, probe := range []*corev1.Probe{container.LivenessProbe, container.ReadinessProbe} {
				switch {
				case probe.HTTPGet != nil:
					if status, body := get(t, url+probe.HTTPGet.Path); status != http.StatusOK {
						t.Errorf("%s: %d %s", probe.HTTPGet.Path, status, body)
					}
				case probe.Exec != nil:
					check := exec.CommandContext(t.Context(), program, probe.Exec.Command[1:]...)
					check.Env = []string{"OMS_EXPORTER_HEALTH_URL=" + url + "/-/healthy"}
					if output, err := check.CombinedOutput(); err != nil {
						t.Errorf("%q: %v %s", probe.Exec.Command, err, output)
					}
				default:
					t.Errorf("a probe without a check: %+v", probe)
				}
			}
			if test.locked {
				if status, _ := get(t, url+"/metrics"); status != http.StatusUnauthorized {
					t.Errorf("/metrics without a password: %d", status)
				}
				return
			}
			if _, body := get(t, url+test.path); !strings.Contains(body, "\noms_up 1\n") {
				t.Errorf("%s has no oms_up 1", test.path)
			}
		})
	}
}

// build builds the exporter.
func build(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "oms_exporter")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", program, "./cmd/oms_exporter")
	build.Dir = "../../.."
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	return program
}

// mount writes the files that the container mounts to a directory in place of
// /etc/oms_exporter.
func mount(t *testing.T, objects []object) (root string, container corev1.Container) {
	t.Helper()
	pods, _ := workload(t, objects)
	pod := pods.Spec
	root = t.TempDir()
	files := map[string]map[string][]byte{} // by volume and name
	for _, v := range pod.Volumes {
		files[v.Name] = map[string][]byte{}
		for _, o := range objects {
			switch o := o.Object.(type) {
			case *corev1.ConfigMap:
				if v.ConfigMap != nil && v.ConfigMap.Name == o.Name {
					for name, content := range o.Data {
						files[v.Name][name] = []byte(strings.ReplaceAll(content, "/etc/oms_exporter", root))
					}
				}
			case *corev1.Secret:
				if v.Secret != nil && v.Secret.SecretName == o.Name {
					files[v.Name] = o.Data
				}
			}
		}
	}
	container = pod.Containers[0]
	for _, m := range container.VolumeMounts {
		directory := strings.Replace(m.MountPath, "/etc/oms_exporter", root, 1)
		if err := os.MkdirAll(directory, 0o700); err != nil {
			t.Fatal(err)
		}
		for name, content := range files[m.Name] {
			if err := os.WriteFile(filepath.Join(directory, name), content, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	return root, container
}

func simulate(t *testing.T, program string) (url string) {
	t.Helper()
	password := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(password, []byte(secret), 0o600); err != nil {
		t.Fatal(err)
	}
	return launch(t, nil, program, "simulate", "--web.listen-address=127.0.0.1:0",
		"--sim.username=viewer", "--sim.password-file="+password)
}

var listening = regexp.MustCompile(
	`(?:simulating an OMS" url=http://|Listening on" address=|"address":")(127\.0\.0\.1:\d+)`)

// launch starts a program and returns the URL at which it listens. It ends with
// the test, and must then exit with 0.
func launch(t *testing.T, env []string, program string, args ...string) (url string) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	command := exec.CommandContext(ctx, program, args...)
	command.Env = env
	command.Cancel = func() error { return command.Process.Signal(syscall.SIGTERM) }
	command.WaitDelay = patience
	stderr, err := command.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	address, logged := make(chan string, 1), make(chan string, 1)
	go func() {
		var text strings.Builder
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			text.WriteString(lines.Text() + "\n")
			if found := listening.FindStringSubmatch(lines.Text()); found != nil && len(address) == 0 {
				address <- found[1]
			}
		}
		close(address)
		logged <- text.String()
	}()
	t.Cleanup(func() {
		cancel()
		log := <-logged
		_ = command.Wait() // it reports only that the context was canceled
		if code := command.ProcessState.ExitCode(); code != 0 {
			t.Errorf("%q ended with %d:\n%s", args, code, log)
		}
	})
	select {
	case found := <-address:
		if found == "" {
			t.Fatalf("%q did not start", args)
		}
		return "http://" + found
	case <-time.After(patience):
		t.Fatalf("%q does not listen", args)
		return ""
	}
}

func get(t *testing.T, url string) (status int, body string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	response, err := (&http.Client{Timeout: patience}).Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(content)
}
