package main

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/go-kit/log/level"

	"oms_exporter/omsclient/omssim"
)

// simulate serves a simulated OMS until ctx is done.
func simulate(ctx context.Context, s *simSettings, stderr io.Writer) error {
	logger := stamped(newLogger(stderr, s.log))
	if s.passwordFile != "" {
		password, err := readFileInTime(s.passwordFile, maxSecretFile)
		if err != nil {
			return usagef("--sim.password-file: %w", err)
		}
		s.fleet.Username, s.fleet.Password = s.username, trimmed(string(password))
	} else if s.username != "" {
		return usagef("no password for --sim.username: give --sim.password-file")
	}
	serving := []any{"tasks", s.fleet.Tasks}
	if s.replay != "" {
		if err := s.readPages(); err != nil {
			return err
		}
		serving = []any{"pages", len(s.fleet.Pages), "replay", s.replay}
	}
	oms, err := startSim(ctx, s, s.listenAddress)
	if err != nil {
		return err
	}
	level.Info(logger).Log(append([]any{"msg", "simulating an OMS", "url", oms.url}, serving...)...)
	<-ctx.Done()
	level.Info(logger).Log("msg", "stopped")
	return oms.close()
}

// readPages reads the recording to serve.
func (s *simSettings) readPages() error {
	if s.fleetGiven || len(s.fleet.Scenarios) > 0 {
		return usagef("--replay excludes --sim.tasks and --sim.scenario: it serves recorded tasks")
	}
	var err error
	recording := os.DirFS(s.replay)
	if s.fleet.Pages, err = omssim.ReadPages(recording); err != nil {
		return usagef("--replay=%s: %w", s.replay, err)
	}
	if s.fleet.Answers, err = omssim.ReadAnswers(recording); err != nil {
		return usagef("--replay=%s: %w", s.replay, err)
	}
	return nil
}

// A runningSim is a simulated OMS that is served.
type runningSim struct {
	url    string
	server *http.Server
	ended  chan error
}

// startSim serves a simulated OMS on an address.
func startSim(ctx context.Context, s *simSettings, address string) (*runningSim, error) {
	if !(s.timeScale > 0) { // also rejects NaN
		return nil, usagef("--sim.time-scale=%g: must be more than 0", s.timeScale)
	}
	options := s.fleet
	options.Now = omssim.Speedup(time.Now, s.timeScale)
	if s.style == "quoted" {
		options.Style = omssim.Quoted
	}
	oms, err := omssim.New(options)
	if err != nil && s.replay != "" {
		return nil, usagef("--replay=%s: %w", s.replay, err)
	} else if err != nil {
		return nil, usagef("--sim flags: %w, try --help", err)
	}
	var faults []omssim.Fault
	for _, f := range s.faults {
		fault, err := omssim.ParseFault(f)
		if err != nil {
			return nil, usagef("--sim.fault: %w", err)
		}
		faults = append(faults, fault)
	}
	oms.SetFaults(faults...)
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	running := &runningSim{
		url:    "http://" + listener.Addr().String(),
		server: &http.Server{Handler: oms, ReadHeaderTimeout: 5 * time.Second},
		ended:  make(chan error, 1),
	}
	go func() { running.ended <- running.server.Serve(listener) }()
	return running, nil
}

// close stops the simulated OMS at once.
func (r *runningSim) close() error {
	err := r.server.Close()
	if ended := <-r.ended; !errors.Is(ended, http.ErrServerClosed) {
		return ended
	}
	return err
}
