package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http/httptrace"
	"slices"
	"sync"
	"time"
)

// A connection is what was seen of the first one that carried a request, or of the
// last attempt if none did. A request can use a connection that an earlier request
// asked for and did not wait for, so a phase that succeeded is kept until it begins
// again.
type connection struct {
	to        string // host and port: of OMS, or of the proxy in front of it
	lookup    phase
	addresses []string
	dial      phase
	remote    string // the address that answered
	handshake phase
	tls       tls.ConnectionState
	used      bool // a request was sent over it
}

// A phase is a part of connecting.
type phase struct {
	began, ended time.Time
	err          error
}

func (p *phase) begin() {
	if !p.tried() || !p.ended.IsZero() {
		*p = phase{began: time.Now()}
	}
}

func (p *phase) end(err error) { p.ended, p.err = time.Now(), err }

func (p *phase) tried() bool { return !p.began.IsZero() }

func (p *phase) ok() bool { return !p.ended.IsZero() && p.err == nil }

// seconds returns how long a phase took, or nil if there was none.
func (p *phase) seconds() *float64 {
	if !p.ok() {
		return nil
	}
	return new(p.took().Seconds())
}

func (p *phase) took() time.Duration { return p.ended.Sub(p.began) }

// A watcher observes how an HTTP client connects. It is safe for concurrent use.
type watcher struct {
	mu              sync.Mutex
	seen            connection
	asked, answered int // requests
}

// connection returns what has been seen so far.
func (w *watcher) connection() connection {
	w.mu.Lock()
	defer w.mu.Unlock()
	seen := w.seen
	seen.addresses = slices.Clone(seen.addresses)
	return seen
}

// doing says what a client is waiting for.
func (w *watcher) doing() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := &w.seen
	switch {
	case w.asked > 0:
		return fmt.Sprintf("%s to OMS, %s so far",
			amount(w.asked, "request"), amount(w.answered, "answer"))
	case c.handshake.tried():
		return "waiting for the TLS handshake with " + c.to
	case c.dial.tried():
		return "connecting to " + c.to
	}
	return "looking up " + c.to
}

// tell says every few seconds what a client is waiting for, until ctx is done.
func (w *watcher) tell(ctx context.Context, out io.Writer, name string) {
	const every = 5 * time.Second
	began := time.Now()
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			fmt.Fprintf(out, "%s: %.0f s: %s\n", name, time.Since(began).Seconds(), w.doing())
		}
	}
}

func (w *watcher) note(change func(*connection)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.seen.used {
		change(&w.seen)
	}
}

func (w *watcher) count(n *int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	*n++
}

// trace returns the hooks to observe a client with.
func (w *watcher) trace() *httptrace.ClientTrace {
	return &httptrace.ClientTrace{
		GetConn: func(to string) {
			w.note(func(c *connection) { c.to = to })
		},
		DNSStart: func(httptrace.DNSStartInfo) {
			w.note(func(c *connection) { c.lookup.begin() })
		},
		DNSDone: func(info httptrace.DNSDoneInfo) {
			w.note(func(c *connection) {
				c.lookup.end(info.Err)
				c.addresses = nil
				for _, address := range info.Addrs {
					c.addresses = append(c.addresses, address.String())
				}
			})
		},
		ConnectStart: func(string, string) {
			w.note(func(c *connection) { c.dial.begin() })
		},
		ConnectDone: func(_, address string, err error) {
			w.note(func(c *connection) {
				if !c.dial.ok() { // of several addresses, the first that answers
					c.dial.end(err)
					c.remote = address
				}
			})
		},
		TLSHandshakeStart: func() {
			w.note(func(c *connection) { c.handshake.begin() })
		},
		TLSHandshakeDone: func(state tls.ConnectionState, err error) {
			w.note(func(c *connection) {
				c.handshake.end(err)
				c.tls = state
			})
		},
		GotConn: func(httptrace.GotConnInfo) {
			w.note(func(c *connection) { c.used = true })
		},
		WroteRequest:         func(httptrace.WroteRequestInfo) { w.count(&w.asked) },
		GotFirstResponseByte: func() { w.count(&w.answered) },
	}
}
