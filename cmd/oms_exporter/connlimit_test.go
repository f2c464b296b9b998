package main

import (
	"bufio"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// limitedServer serves a handler to so many connections.
func limitedServer(t *testing.T, most int, handler http.Handler) (*program, *output) {
	t.Helper()
	lines := newOutput()
	base := newLogger(lines, logSettings{"info", "logfmt"})
	server := newServer(handler, base)
	limiter := newConnLimiter(stamped(base))
	limiter.most = most
	server.ConnState = limiter.follow
	listener := listenLocally(t)
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	t.Cleanup(func() {
		if err := server.Close(); err != nil || !errors.Is(<-done, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	return &program{url: "http://" + listener.Addr().String()}, lines
}

// request sends a request over a connection and returns the status of the answer.
func request(c net.Conn) (int, error) {
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		return 0, err
	}
	if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		return 0, err
	}
	response, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return 0, err
	}
	_, err = io.Copy(io.Discard, response.Body)
	return response.StatusCode, errors.Join(err, response.Body.Close())
}

func isOpen(c net.Conn) bool {
	_ = c.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
	_, err := c.Read(make([]byte, 1))
	return isTimeout(err)
}

// Beyond the limit, whoever has been without a request for longest makes room.
func TestIdleConnectionsKeepNobodyOut(t *testing.T) {
	t.Parallel()
	const most = 5
	p, lines := limitedServer(t, most, respond("fine"))
	var silent, idle []net.Conn
	for range 3 {
		silent = append(silent, dial(t, p)) // they send nothing
	}
	for range 3 { // the first of these is one too many
		c := dial(t, p)
		idle = append(idle, c)
		if status, err := request(c); status != http.StatusOK {
			t.Fatalf("status %d, %v", status, err)
		}
	}
	if status, err := request(idle[0]); status != http.StatusOK { // so that it is not the longest
		t.Fatalf("status %d, %v", status, err)
	}
	for range 3 {
		c := dial(t, p)
		if status, err := request(c); status != http.StatusOK {
			t.Errorf("a new client: status %d, %v", status, err)
		}
	}

	for what, c := range map[string]struct {
		net.Conn
		open bool
	}{
		"the first of the silent": {silent[0], false}, "the last of the silent": {silent[2], false},
		"one idle for long": {idle[1], false}, "one that has just asked": {idle[0], true},
	} {
		if got := isOpen(c); got != c.open {
			t.Errorf("%s: open %t, want %t", what, got, c.open)
		}
	}
	if n := strings.Count(lines.String(), "too many connections"); n != 1 {
		t.Errorf("the log says so %d times, want once:\n%s", n, lines)
	}
}

// Who has asked is answered, however many come after.
func TestAConnectionWithARequestIsNotClosed(t *testing.T) {
	t.Parallel()
	const most = 3
	asked, release := make(chan struct{}, most), make(chan struct{})
	p, _ := limitedServer(t, most, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		asked <- struct{}{}
		<-release
	}))
	answers := make(chan error, most)
	for range most {
		c := dial(t, p)
		go func() {
			_, err := request(c)
			answers <- err
		}()
		<-asked
	}

	for range 10 {
		if c := dial(t, p); isOpen(c) {
			t.Error("a connection beyond the limit is open")
		}
	}
	close(release)

	for range most {
		if err := <-answers; err != nil {
			t.Error(err)
		}
	}
	if c := dial(t, p); !isOpen(c) {
		t.Error("there is room again, and a connection is refused")
	}
}

// The limits that the program has.
func TestConnectionsAndStreamsHaveALimit(t *testing.T) {
	t.Parallel()
	identity := newIdentity(t)
	web := writeFile(t, fmt.Sprintf("tls_server_config: {cert_file: %q, key_file: %q}\n",
		writeFile(t, identity.certificate), writeFile(t, identity.key)))
	p := start(t, "--oms.url="+serveOMS(t, fleetOf(3)), "--web.config.file="+web)
	handshake := func() (*tls.Conn, error) {
		return tls.Dial("tcp", strings.TrimPrefix(p.url, "http://"),
			&tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
	}

	c, err := handshake()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if streams := maxStreamsOf(t, c); streams != 8 {
		t.Errorf("HTTP/2 admits %d streams, want 8", streams)
	}
	var all []net.Conn
	for range maxConnections + 50 {
		all = append(all, dial(t, p))
	}
	open := 0
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: true}
	t.Cleanup(transport.CloseIdleConnections)
	var scrapes sync.WaitGroup
	for range 20 { // more than go over one connection
		scrapes.Go(func() {
			response, err := (&http.Client{Transport: transport}).Get("https" + strings.TrimPrefix(p.url, "http") + "/metrics")
			if err != nil || response.StatusCode != http.StatusOK {
				t.Errorf("a scrape beside %d connections: %v, %v", len(all), response, err)
				return
			}
			_ = response.Body.Close()
		})
	}
	scrapes.Wait()
	for _, c := range all[:60] {
		if isOpen(c) {
			open++
		}
	}
	if open > 10 {
		t.Errorf("%d of the 60 oldest of %d connections are open", open, len(all))
	}
}

// maxStreamsOf returns SETTINGS_MAX_CONCURRENT_STREAMS of a server.
func maxStreamsOf(t *testing.T, c net.Conn) uint32 {
	t.Helper()
	const settings, maxConcurrentStreams = 4, 3
	_, err := io.WriteString(c, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"+"\x00\x00\x00\x04\x00\x00\x00\x00\x00")
	head := make([]byte, 9)
	if err == nil {
		_, err = io.ReadFull(c, head)
	}
	body := make([]byte, binary.BigEndian.Uint32(head[:4])>>8)
	if err == nil {
		_, err = io.ReadFull(c, body)
	}
	if err != nil || head[3] != settings {
		t.Fatalf("%x, %v", head, err)
	}
	for ; len(body) >= 6; body = body[6:] {
		if binary.BigEndian.Uint16(body) == maxConcurrentStreams {
			return binary.BigEndian.Uint32(body[2:])
		}
	}
	t.Fatal("there is no limit of streams")
	return 0
}
