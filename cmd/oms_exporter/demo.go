package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"sync"

	"github.com/prometheus/common/config"
)

// demo exports the tasks of a simulated OMS until ctx is done.
func demo(ctx context.Context, s *demoSettings, stdout, stderr io.Writer) error {
	s.sim.fleet.Username, s.sim.fleet.Password = "demo", "demo"
	oms, err := startSim(ctx, &s.sim, "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer oms.close() //nolint:errcheck // the demo is over
	s.serve.oms.target.URL = oms.url
	s.serve.oms.account = config.BasicAuth{Username: "demo", Password: "demo"}
	var once sync.Once
	s.serve.web.listening = func(address net.Addr) {
		once.Do(func() { welcome(stdout, s, address.String()) })
	}
	return serve(ctx, &s.serve, stderr)
}

// welcome tells a newcomer what to look at.
func welcome(w io.Writer, s *demoSettings, address string) {
	url := "http://" + browsable(address)
	metrics := url + s.serve.web.telemetryPath
	fmt.Fprintf(w, `A simulated OMS with %d tasks, and its exporter. Ctrl-C stops both. Now open

  %s/          the tasks, those in trouble first
  %s   the metrics

or see how far behind each task is, in seconds:

  curl -s %s | grep ^oms_task_sync_delay_seconds

The simulated OMS is at %s, with any account: try check or tasks on it.

`, s.sim.fleet.Tasks, url, metrics, metrics, s.serve.oms.target.URL)
}

// browsable turns an address to listen on into one to open.
func browsable(address string) string {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	if ip := net.ParseIP(host); host == "" || ip.IsUnspecified() {
		host = "localhost"
	}
	return net.JoinHostPort(host, port)
}
