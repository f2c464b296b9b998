package main

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"oms_exporter/deploy/internal/process"
	"oms_exporter/deploy/internal/timelapse"
	"oms_exporter/omsclient/omssim"
)

// A stack is everything that a rehearsal runs, on loopback: a simulated OMS for
// each scene, the exporter, Prometheus with the rules, Alertmanager, and a
// server in place of its receivers.
type stack struct {
	options
	dir          string
	began        time.Time // when the simulated clocks began to run
	sims         map[string]http.Handler
	exporter     *process.Process
	alertmanager string   // URL
	prometheus   string   // URL
	config       []string // the exporter's configuration: a line for each target
	listeners    []*http.Server
	processes    []*process.Process
}

// begin is the simulated time at which a rehearsal begins. It is constant so
// that the same tasks have the same trouble at the same time in every
// rehearsal.
var begin = time.Date(2026, time.January, 10, 20, 0, 0, 0, time.UTC)

// now is the time on the simulated clocks.
func (s *stack) now() time.Time {
	return begin.Add(s.simulated(time.Since(s.began)))
}

// simulated converts a real duration into simulated time.
func (s *stack) simulated(d time.Duration) time.Duration {
	return time.Duration(float64(d) * s.speed)
}

// real converts a simulated duration into real time.
func (s *stack) real(simulated time.Duration) time.Duration {
	return time.Duration(float64(simulated) / s.speed)
}

// start starts everything. Alertmanager notifies the handler pages.
func start(ctx context.Context, o options, scenes []scene, pages http.Handler) (*stack, error) {
	s := &stack{options: o, sims: make(map[string]http.Handler), began: time.Now()}
	var err error
	if s.dir, err = os.MkdirTemp("", "oms_rehearsal"); err != nil {
		return s, err
	}
	if err := s.startExporter(ctx, scenes); err != nil {
		return s, err
	}
	hook, err := s.serve(ctx, pages)
	if err != nil {
		return s, err
	}
	if err := s.startAlertmanager(ctx, hook+"/"); err != nil {
		return s, err
	}
	return s, s.startPrometheus(ctx)
}

// serve serves a handler on a free port and returns its URL.
func (s *stack) serve(ctx context.Context, h http.Handler) (string, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	server := &http.Server{Handler: h, ReadHeaderTimeout: time.Minute}
	s.listeners = append(s.listeners, server)
	go server.Serve(l) //nolint:errcheck // it ends when the rehearsal does
	return "http://" + l.Addr().String(), nil
}

// startExporter starts the simulated OMS of every scene, and an exporter with
// all of them.
func (s *stack) startExporter(ctx context.Context, scenes []scene) error {
	for _, scene := range scenes {
		scenarios := scene.scenarios
		if len(scenarios) == 0 {
			scenarios = []string{scene.name}
		}
		sim, err := omssim.New(omssim.Options{
			Tasks: cmp.Or(scene.tasks, 4), Seed: s.seed, Now: s.now, Scenarios: scenarios,
		})
		if err != nil {
			return fmt.Errorf("scene %s: %w", scene.name, err)
		}
		s.sims[scene.name] = sim
		url, err := s.serve(ctx, sim)
		if err != nil {
			return err
		}
		s.config = append(s.config,
			fmt.Sprintf("  %s: {url: %q, exclude: {statuses: []}}\n", scene.name, url))
	}
	if err := s.configure(""); err != nil {
		return err
	}
	binary := filepath.Join(s.dir, "oms_exporter")
	build := exec.CommandContext(ctx, "go", "build", "-o", binary, "./cmd/oms_exporter")
	build.Dir = filepath.Join(s.deploy, "..")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("cannot build the exporter: %w\n%s", err, out)
	}
	var err error
	s.exporter, err = s.run(ctx, "exporter", binary, "--config.file="+s.path("exporter.yml"),
		"--scrape.timeout-offset=0.05s", "--log.level=error", "--collector.verify",
		"--collector.component", "--web.enable-lifecycle")
	return err
}

// configure writes the configuration of the exporter, without one of the scenes if
// it is named.
func (s *stack) configure(without string) error {
	var config strings.Builder
	config.WriteString("targets:\n")
	for _, line := range s.config {
		if without == "" || !strings.HasPrefix(line, "  "+without+":") {
			config.WriteString(line)
		}
	}
	return s.write("exporter.yml", []byte(config.String()))
}

// reload makes the exporter read its configuration again.
func (s *stack) reload(ctx context.Context) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost,
		"http://"+s.exporter.Address+"/-/reload", http.NoBody)
	if err != nil {
		return err
	}
	response, err := (&http.Client{Timeout: 10 * time.Second}).Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", request.URL, response.Status)
	}
	return nil
}

func (s *stack) startAlertmanager(ctx context.Context, hook string) error {
	original, err := os.ReadFile(filepath.Join(s.deploy, "alertmanager", "alertmanager.yml"))
	if err != nil {
		return err
	}
	config, err := timelapse.Alertmanager(original, s.speed, hook)
	if err != nil {
		return fmt.Errorf("alertmanager.yml: %w", err)
	}
	if err := s.write("alertmanager.yml", config); err != nil {
		return err
	}
	p, err := s.run(ctx, "alertmanager", s.alertmanagerBinary,
		"--config.file="+s.path("alertmanager.yml"), "--storage.path="+s.path("alertmanager"),
		"--cluster.listen-address=")
	if err != nil {
		return err
	}
	s.alertmanager = "http://" + p.Address
	return nil
}

func (s *stack) startPrometheus(ctx context.Context) error {
	files, err := filepath.Glob(filepath.Join(s.deploy, "prometheus", "rules", "*.yml"))
	if err != nil {
		return err
	}
	for _, file := range files {
		original, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		// The simulated clock runs ahead on purpose.
		rules, err := timelapse.Rules(original, s.speed, "OMSClockSkew")
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		if err := s.write(filepath.Base(file), rules); err != nil {
			return err
		}
	}
	config := fmt.Sprintf(`
global: {scrape_interval: %[1]s, scrape_timeout: %[1]s, evaluation_interval: %[1]s}
rule_files: [%[2]s]
alerting: {alertmanagers: [{static_configs: [{targets: [%[3]q]}]}]}
scrape_configs:
  - job_name: oms
    http_sd_configs: [{url: "http://%[4]s/sd", refresh_interval: 5s}]
  - job_name: oms_exporter
    static_configs: [{targets: [%[4]q]}]
`, s.real(30*time.Second), s.path("*.rules.yml"), strings.TrimPrefix(s.alertmanager, "http://"),
		s.exporter.Address)
	if err := s.write("prometheus.yml", []byte(config)); err != nil {
		return err
	}
	p, err := s.run(ctx, "prometheus", s.prometheusBinary, "--config.file="+s.path("prometheus.yml"),
		"--storage.tsdb.path="+s.path("prometheus"), "--rules.alert.resend-delay=15s")
	if err != nil {
		return err
	}
	s.prometheus = "http://" + p.Address
	return nil
}

// run runs a program until the stack is stopped.
func (s *stack) run(
	ctx context.Context, name, program string, args ...string,
) (*process.Process, error) {
	args = append(args, "--web.listen-address="+process.Address)
	p, err := process.Start(ctx, s.path(name+".log"), "/-/ready", program, args...)
	if err == nil {
		s.processes = append(s.processes, p)
	}
	return p, err
}

func (s *stack) path(name string) string { return filepath.Join(s.dir, name) }

func (s *stack) write(name string, content []byte) error {
	return os.WriteFile(s.path(name), content, 0o600)
}

// stop stops everything and removes its files.
func (s *stack) stop() {
	for _, p := range s.processes {
		p.Stop()
	}
	for _, l := range s.listeners {
		l.Close() //nolint:errcheck // it ends with the program anyway
	}
	if s.keep {
		fmt.Fprintln(os.Stderr, "kept:", s.dir)
		return
	}
	os.RemoveAll(s.dir) //nolint:errcheck // anything left is in the directory for temporary files
}
