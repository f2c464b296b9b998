package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// Fixtures of the tests that see the exporter only from outside: an OMS of raw
// bytes, and what a scrape comes to in a line.

const (
	okHead     = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
	threeTasks = `{"success": true, "totalCount": 3, "data": [
		{"id": "np_1", "name": "a", "type": "MIGRATION", "status": "RUNNING"},
		{"id": "np_2", "name": "b", "type": "MIGRATION", "status": "RUNNING"},
		{"id": "np_3", "name": "c", "type": "MIGRATION", "status": "RUNNING"}]}`
)

// ask sends a GET request and returns the answer, or an error when there is none
// within a time.
func ask(url string, within time.Duration, header ...string) (reply, error) {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return reply{}, err
	}
	for i := 0; i < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	transport := &http.Transport{DisableKeepAlives: true, DisableCompression: true}
	response, err := transport.RoundTrip(request)
	if err != nil {
		return reply{}, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return reply{response.StatusCode, response.Header, string(body)}, err
}

// verdict scrapes and says what came of it: "up, 3 tasks", "down: auth",
// "status 503" or "no answer".
func verdict(t *testing.T, url string, header ...string) string {
	t.Helper()
	r, err := ask(url, patience, header...)
	return verdictOf(t, r, err)
}

func verdictOf(t *testing.T, r reply, err error) string {
	t.Helper()
	switch {
	case err != nil:
		return "no answer"
	case r.status != http.StatusOK:
		return fmt.Sprintf("status %d", r.status)
	}
	got := parseText(t, r.body)
	if up, ok := got.value("oms_up"); !ok || up == 0 {
		for reason := range got.values("oms_scrape_error_info", "reason") {
			return "down: " + reason
		}
		return "down without a reason"
	}
	var tasks float64
	for _, m := range got["oms_tasks"].GetMetric() {
		tasks += m.GetGauge().GetValue()
	}
	return fmt.Sprintf("up, %g tasks", tasks)
}

// exporterOf starts an exporter of the targets that the YAML names.
func exporterOf(t *testing.T, targets string, args ...string) *program {
	t.Helper()
	file := writeFile(t, "targets:\n"+targets)
	return start(t, append([]string{"serve", "--config.file=" + file}, args...)...)
}

// A fleet is the pages, from 1, of an OMS that answers at once and asks for no
// account.
type fleet []string

func fleetOf(tasks int) fleet {
	const size = 150
	var pages fleet
	for first := 0; first <= tasks; first += size {
		var page []string
		for i := first; i < min(first+size, tasks); i++ {
			page = append(page, fmt.Sprintf(
				`{"id": "np_%d", "name": "t%d", "type": "MIGRATION", "status": "RUNNING"}`, i, i))
		}
		pages = append(pages, fmt.Sprintf(
			`{"success": true, "totalCount": %d, "data": [%s]}`, tasks, strings.Join(page, ",")))
	}
	return pages
}

// pageAsked returns the pageNumber of a request.
func pageAsked(r *http.Request) int {
	var asked struct{ PageNumber int }
	if err := json.NewDecoder(r.Body).Decode(&asked); err != nil {
		return 0
	}
	return asked.PageNumber
}

// ServeHTTP implements [http.Handler].
func (f fleet) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if page := pageAsked(r); 1 <= page && page <= len(f) {
		_, _ = io.WriteString(w, f[page-1])
		return
	}
	http.Error(w, "no such page", http.StatusBadRequest)
}

// serve1or2 serves plain HTTP/1.1, or HTTP/2 over TLS, and returns the URL and the
// YAML of the http_client to reach it with.
func serve1or2(t *testing.T, protocol string, handler http.Handler) (address, settings string) {
	t.Helper()
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Proto != protocol {
			t.Errorf("the exporter speaks %s, want %s", r.Proto, protocol)
		}
		handler.ServeHTTP(w, r)
	}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // connections that break on purpose
	t.Cleanup(server.Close)
	if protocol == "HTTP/1.1" {
		server.Start()
		return server.Listener.Addr().String(), "url: http://%s"
	}
	server.EnableHTTP2 = true
	server.StartTLS()
	ca := writeFile(t, string(pem.EncodeToMemory(
		&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})))
	return server.Listener.Addr().String(),
		fmt.Sprintf("url: https://%%s, http_client: {tls_config: {ca_file: %q}}", ca)
}

func listenLocally(t *testing.T) *net.TCPListener {
	t.Helper()
	listener, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	return listener
}

// rawOMS reads the request of each connection, lets talk do what it likes with
// the connection, and closes it. It returns the URL.
func rawOMS(t *testing.T, talk func(c net.Conn, nth int)) string {
	t.Helper()
	listener := listenLocally(t)
	var (
		all  sync.WaitGroup
		mu   sync.Mutex
		open = map[net.Conn]bool{}
		nth  = 0
	)
	all.Go(func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open[c] = true
			mu.Unlock()
			all.Go(func() {
				defer func() { _ = c.Close() }()
				request, err := http.ReadRequest(bufio.NewReader(c))
				if err != nil {
					return
				}
				_, _ = io.Copy(io.Discard, request.Body)
				mu.Lock()
				nth++
				n := nth
				mu.Unlock()
				talk(c, n)
			})
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		mu.Lock()
		for c := range open {
			_ = c.Close()
		}
		mu.Unlock()
		all.Wait()
	})
	return "http://" + listener.Addr().String()
}

// scripted answers the nth request with the nth text, and further ones with the
// last; each on a connection of its own. It counts the requests.
func scripted(t *testing.T, answers ...string) (url string, requests *atomic.Int64) {
	t.Helper()
	requests = new(atomic.Int64)
	return rawOMS(t, func(c net.Conn, nth int) {
		requests.Add(1)
		_, _ = io.WriteString(c, answers[min(nth, len(answers))-1])
	}), requests
}

// untilClosed waits until the other side closes a connection.
func untilClosed(c net.Conn) { _, _ = io.Copy(io.Discard, c) }

// forever says a thing until the other side closes the connection.
func forever(c net.Conn, text string) {
	for {
		if _, err := io.WriteString(c, text); err != nil {
			return
		}
		<-time.After(5 * time.Millisecond)
	}
}

// gzipped is a text in gzip.
func gzipped(text string) string {
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	_, err := io.WriteString(z, text)
	if err := errors.Join(err, z.Close()); err != nil {
		panic(err)
	}
	return out.String()
}

// sluggard returns a connection that has asked for an answer and takes as little of it as its receive
// buffer holds.
func sluggard(t *testing.T, p *program, path, timeout string) *net.TCPConn {
	t.Helper()
	dialer := net.Dialer{Control: func(_, _ string, raw syscall.RawConn) error {
		return raw.Control(func(fd uintptr) {
			if err := syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 4096); err != nil {
				panic(err)
			}
		})
	}}
	c, err := dialer.DialContext(t.Context(), "tcp", strings.TrimPrefix(p.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	tcp, ok := c.(*net.TCPConn)
	if !ok {
		t.Fatalf("a %T", c)
	}
	_, err = fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: x\r\n%s: %s\r\n\r\n", path, scrapeTimeout, timeout)
	if err != nil {
		t.Fatal(err)
	}
	return tcp
}
