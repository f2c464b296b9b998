// Package balancer is a load balancer that forgets connections, for tests.
package balancer

import (
	"context"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Ways to forget a connection.
const (
	Resets   = "resets what comes"
	Closes   = "closes when something comes"
	HangsUp  = "closes at once"
	Swallows = "swallows what comes"
)

// A Balancer passes TCP connections on to a node until it forgets them.
type Balancer struct {
	Address string // where it listens

	mu     sync.Mutex
	node   string  // where new connections lead
	conns  []*conn // that are not forgotten
	opened []*conn
	all    sync.WaitGroup
}

// A conn lives on both sides until either closes it.
type conn struct {
	client, node net.Conn
	forgotten    atomic.Value // how
	last         atomic.Int64 // when the client last sent something
}

// New starts a balancer in front of the node with an address, until the test ends.
func New(t *testing.T, node string) *Balancer {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &Balancer{Address: listener.Addr().String(), node: node}
	ctx := context.WithoutCancel(t.Context())
	b.all.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			b.pass(ctx, client)
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		b.mu.Lock()
		for _, c := range b.opened {
			c.close()
		}
		b.mu.Unlock()
		b.all.Wait()
	})
	return b
}

func (b *Balancer) pass(ctx context.Context, client net.Conn) {
	b.mu.Lock()
	defer b.mu.Unlock()
	node, err := new(net.Dialer).DialContext(ctx, "tcp", b.node)
	if err != nil {
		_ = client.Close()
		return
	}
	c := &conn{client: client, node: node}
	b.conns, b.opened = append(b.conns, c), append(b.opened, c)
	b.all.Go(c.answers)
	b.all.Go(c.requests)
}

// answers passes on what the node says.
func (c *conn) answers() {
	_, _ = io.Copy(c.client, c.node)
	if c.forgotten.Load() != Swallows {
		_ = c.client.Close()
	}
}

// requests passes on what the client says, unless the connection is forgotten.
func (c *conn) requests() {
	defer c.close()
	buffer := make([]byte, 64<<10)
	for {
		n, err := c.client.Read(buffer)
		if err != nil {
			return
		}
		switch c.forgotten.Load() {
		case Resets:
			if tcp, ok := c.client.(*net.TCPConn); ok {
				_ = tcp.SetLinger(0)
			}
			return
		case Closes:
			return
		case Swallows:
			continue
		}
		c.last.Store(time.Now().UnixNano())
		if _, err := c.node.Write(buffer[:n]); err != nil {
			return
		}
	}
}

func (c *conn) close() {
	_ = c.client.Close()
	_ = c.node.Close()
}

// Forget makes the balancer forget every connection, and returns how many.
func (b *Balancer) Forget(how string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	forgotten := len(b.conns)
	for _, c := range b.conns {
		c.forget(how)
	}
	b.conns = nil
	return forgotten
}

// ForgetAllButOne makes the balancer forget every connection but the one that was used last.
func (b *Balancer) ForgetAllButOne(how string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var last *conn
	for _, c := range b.conns {
		if last == nil || c.last.Load() > last.last.Load() {
			last = c
		}
	}
	for _, c := range b.conns {
		if c != last {
			c.forget(how)
		}
	}
	if last != nil {
		b.conns = []*conn{last}
	}
}

func (c *conn) forget(how string) {
	c.forgotten.Store(how)
	if how == HangsUp {
		c.close()
	}
}

// MoveTo makes new connections lead to another node.
func (b *Balancer) MoveTo(node string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.node = node
}
