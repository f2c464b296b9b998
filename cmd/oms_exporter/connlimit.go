package main

import (
	"crypto/tls"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/go-kit/log"
	"github.com/go-kit/log/level"
	"golang.org/x/time/rate"
)

// maxConnections is how many connections clients may have, unless the process may have few
// files open. Only connections with a request in progress are refused; see [connLimiter].
const maxConnections = 512

// A connLimiter bounds the connections of a server. When there is one too many, it closes
// the one that has been without a request for longest, so that clients that only connect
// do not keep others out.
type connLimiter struct {
	most   int
	logger log.Logger
	seldom rate.Sometimes

	mu   sync.Mutex
	open map[net.Conn]time.Time // since when there has been no request; zero: there is one
}

func newConnLimiter(logger log.Logger) *connLimiter {
	return &connLimiter{
		most:   min(maxConnections, maxOpenFiles()/2), // the rest is for connections to OMS
		logger: logger, seldom: rate.Sometimes{Interval: time.Minute},
		open: map[net.Conn]time.Time{},
	}
}

// follow is what [http.Server].ConnState wants.
func (l *connLimiter) follow(c net.Conn, state http.ConnState) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch state {
	case http.StateNew:
		l.open[c] = time.Now()
		if len(l.open) > l.most {
			l.makeRoom()
		}
	case http.StateIdle:
		l.open[c] = time.Now()
	case http.StateActive:
		l.open[c] = time.Time{}
	case http.StateClosed, http.StateHijacked:
		delete(l.open, c)
	}
}

// makeRoom closes the connection that has been without a request for longest. There is at
// least the one that has just been opened. The mutex must be held.
func (l *connLimiter) makeRoom() {
	var longest net.Conn
	for c, since := range l.open {
		if !since.IsZero() && (longest == nil || since.Before(l.open[longest])) {
			longest = c
		}
	}
	delete(l.open, longest)
	if secured, ok := longest.(*tls.Conn); ok {
		longest = secured.NetConn() // TLS would say goodbye first, and wait until that is sent
	}
	_ = longest.Close()
	l.seldom.Do(func() {
		level.Warn(l.logger).Log("msg", "too many connections, the one idle for longest was closed; "+
			"this is logged once a minute", "limit", l.most)
	})
}
