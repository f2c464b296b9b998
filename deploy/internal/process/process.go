// Package process runs programs that serve HTTP on loopback, for the rehearsal
// and for tests.
package process

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// A Process is a program that serves HTTP.
type Process struct {
	Address string // host and port
	cmd     *exec.Cmd
	ended   chan struct{}
}

// Address stands in the arguments of Start for the address that the program has
// to listen on.
const Address = "ADDRESS"

// Start starts a program and waits, for a minute at most, until it answers at a
// path. Its output goes to the file log, and the end of it into the error on
// failure.
func Start(ctx context.Context, log, path, program string, args ...string) (*Process, error) {
	var err error
	for range 3 { // another process may take the free port first
		var p *Process
		if p, err = start(ctx, log, program, args); err != nil {
			return nil, err
		}
		if err = p.wait(ctx, "http://"+p.Address+path); err == nil {
			return p, nil
		}
		p.Stop()
		if !errors.Is(err, errEnded) {
			break
		}
	}
	output, _ := os.ReadFile(log)
	output = bytes.TrimSpace(output[max(0, len(output)-2000):])
	return nil, fmt.Errorf("%s: %w:\n%s", filepath.Base(program), err, output)
}

func start(ctx context.Context, log, program string, args []string) (*Process, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &Process{Address: listener.Addr().String(), ended: make(chan struct{})}
	if err := listener.Close(); err != nil {
		return nil, err
	}
	output, err := os.Create(log)
	if err != nil {
		return nil, err
	}
	defer output.Close() //nolint:errcheck // the process has its own

	p.cmd = exec.CommandContext(context.WithoutCancel(ctx), program) // Stop ends it
	for _, arg := range args {
		p.cmd.Args = append(p.cmd.Args, strings.ReplaceAll(arg, Address, p.Address))
	}
	p.cmd.Stdout, p.cmd.Stderr = output, output
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("%w (Debian's packages are prometheus and prometheus-alertmanager)", err)
	}
	go func() {
		p.cmd.Wait() //nolint:errcheck // whoever waits for an answer reports that there is none
		close(p.ended)
	}()
	return p, nil
}

var errEnded = errors.New("it has ended")

// wait waits until the process answers.
func (p *Process) wait(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
		if err != nil {
			return err
		}
		if response, err := new(http.Client).Do(request); err == nil {
			response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-p.ended:
			return errEnded
		case <-ctx.Done():
			return fmt.Errorf("it does not answer at %s: %w", url, ctx.Err())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// Stop asks the process to end and waits until it has. It may have ended
// before.
func (p *Process) Stop() {
	p.cmd.Process.Signal(syscall.SIGTERM) //nolint:errcheck // it may have ended
	select {
	case <-p.ended:
	case <-time.After(20 * time.Second):
		p.cmd.Process.Kill() //nolint:errcheck // it may have ended
		<-p.ended
	}
}
