package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"os"
	"runtime"
	"runtime/metrics"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"

	"oms_exporter/omsclient/omssim"
)

const (
	scrapeTimeout = "X-Prometheus-Scrape-Timeout-Seconds"
	short         = "1"  // for an OMS that would hang forever
	ample         = "15" // for one that fails by itself: a slow machine must not make it time out
)

// A sickness is something wrong between the exporter and OMS, down to the socket.
type sickness struct {
	name    string
	reason  string // alternatives, separated by |; empty if it is tolerated
	timeout string // of the scrape; ample by default

	conn   func(c net.Conn, over <-chan struct{})                           // handles the connection instead of HTTP
	answer func(w http.ResponseWriter, r *http.Request, over chan struct{}) // or answers over HTTP

	https       bool             // in the URL
	certificate *tls.Certificate // nil: that of the healthy OMS
	host        string           // in the URL, instead of the address
	proxy       bool             // the address is that of a proxy
	refused     bool             // nobody listens
	rests       bool             // OMS is not asked again soon
}

// waits hangs until the sickness is over.
func waits(_ net.Conn, over <-chan struct{}) { <-over }

// resets makes the connection end with a reset.
func resets(c net.Conn, _ <-chan struct{}) {
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
}

// says reads a request, writes an answer and continues with then.
func says(answer string, then func(net.Conn, <-chan struct{})) func(net.Conn, <-chan struct{}) {
	return func(c net.Conn, over <-chan struct{}) {
		request, err := http.ReadRequest(bufio.NewReader(c))
		if err != nil {
			return
		}
		if _, err := io.Copy(io.Discard, request.Body); err != nil {
			return
		}
		if _, err := io.WriteString(c, answer); err == nil {
			then(c, over)
		}
	}
}

func closes(net.Conn, <-chan struct{}) {}

// drips writes a piece at each interval, forever.
func drips(interval time.Duration, piece func(i int) string) func(net.Conn, <-chan struct{}) {
	return func(c net.Conn, over <-chan struct{}) {
		ticker := time.NewTicker(interval)
		defer ticker.Stop()
		for i := 0; ; i++ {
			if _, err := io.WriteString(c, piece(i)); err != nil {
				return
			}
			select {
			case <-over:
				return
			case <-ticker.C:
			}
		}
	}
}

type answerFunc = func(http.ResponseWriter, *http.Request, chan struct{})

// replies answers over HTTP. Headers are names and values in turn.
func replies(status int, body string, header ...string) answerFunc {
	return func(w http.ResponseWriter, _ *http.Request, _ chan struct{}) {
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

const (
	asJSON   = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
	login    = "<!DOCTYPE html><title>OMS</title><form action=/login><input name=user></form>"
	oneTask  = `{"success": true, "totalCount": 1, "data": [{"id": "np_1", "name": "a", "status": "RUNNING"}]}`
	halfPage = `{"success": true, "totalCount": 9, "data": [{"id": "np_1", "na`
)

// sicknesses returns all but those with pages that are too large. Redirects lead
// elsewhere.
func sicknesses(pki *authority, elsewhere string) []sickness {
	until := time.Now().Add(time.Hour)
	all := []sickness{
		{name: "nobody listens", reason: "connect", refused: true},
		{name: "reset after accepting", reason: "connect", conn: resets},
		{name: "reset after the headers of the request", reason: "connect", conn: func(c net.Conn, over <-chan struct{}) {
			for lines := bufio.NewScanner(c); lines.Scan() && lines.Text() != ""; {
				continue
			}
			resets(c, over)
		}},
		{name: "reset in the headers", reason: "connect", conn: says("HTTP/1.1 200 OK\r\nContent-Ty", resets)},
		{name: "reset in the body", reason: "connect", conn: says(asJSON+"Content-Length: 5000\r\n\r\n"+halfPage, resets)},
		{name: "closed without an answer", reason: "connect", conn: says("", closes)},
		{name: "no HTTP at all", reason: "connect", conn: says("SSH-2.0-OpenSSH_9.9\r\n\r\n", closes)},
		{name: "never answers", reason: "timeout", timeout: short, conn: waits},
		{name: "proxy never answers", reason: "timeout", timeout: short, conn: waits, proxy: true, host: "oms.example"},
		{name: "proxy never answers CONNECT", reason: "timeout", timeout: short, conn: waits, proxy: true, host: "oms.example", https: true},
		{name: "handshake never answered", reason: "timeout", timeout: short, conn: waits, https: true},
		{name: "stall after headers", reason: "timeout", timeout: short, conn: says(asJSON+"Content-Length: 5000\r\n\r\n", waits)},
		{name: "stall in the body", reason: "timeout", timeout: short, conn: says(asJSON+"\r\n"+halfPage, waits)},
		{name: "a byte a second", reason: "timeout", timeout: short, conn: says(
			asJSON+"\r\n", drips(time.Second, func(i int) string { return oneTask[i%len(oneTask):][:1] }))},
		{name: "a byte of the headers a second", reason: "timeout", timeout: short, conn: says(
			"", drips(time.Second, func(i int) string { return asJSON[i%len(asJSON):][:1] }))},
		{name: "white space without end", reason: "timeout|decode", timeout: short, conn: says(
			asJSON+"\r\n{", drips(5*time.Millisecond, func(int) string { return strings.Repeat(" ", 512) }))},
		{name: "tasks without end", reason: "timeout", timeout: short, conn: says(
			asJSON+"\r\n"+`{"success": true, "data": [{"id": "np"}`,
			drips(50*time.Millisecond, func(i int) string { return fmt.Sprintf(`, {"id": "np_%d"}`, i) }))},
		{name: "headers without end", reason: "timeout|connect", timeout: short, conn: says(
			asJSON, drips(5*time.Millisecond, func(i int) string { return fmt.Sprintf("X-%d: y\r\n", i) }))},
		{name: "truncated, length given", reason: "connect", conn: says(asJSON+"Content-Length: 5000\r\n\r\n"+halfPage, closes)},
		{name: "truncated, chunked", reason: "connect", conn: says(
			asJSON+"Transfer-Encoding: chunked\r\n\r\n3\r\n{  \r\n", closes)},
		{name: "truncated, length not given", reason: "decode", conn: says(asJSON+"\r\n"+halfPage, closes)},
		{name: "certificate has expired", reason: "tls", https: true, certificate: pki.issue(time.Now().Add(-time.Hour), "127.0.0.1")},
		{name: "certificate of another host", reason: "tls", https: true, certificate: pki.issue(until, "192.0.2.1", "other.example")},
		{name: "authority is unknown", reason: "tls", https: true, certificate: newAuthority().issue(until, "127.0.0.1")},
		{name: "plain HTTP behind https", reason: "tls", https: true, conn: func(c net.Conn, _ <-chan struct{}) {
			if _, err := c.Read(make([]byte, 4096)); err == nil {
				_, _ = io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n\r\n")
			}
		}},
		{name: "host does not resolve", reason: "dns", host: "oms.invalid"},
		{name: "429 Retry-After 1", reason: "http_status", timeout: "2", answer: replies(429, "", "Retry-After", "1")},
		{name: "429 Retry-After 3600", reason: "http_status", timeout: "2", answer: replies(429, "", "Retry-After", "3600")},
		{name: "502 HTML", reason: "http_status", answer: replies(502, login, "Content-Type", "text/html")},
		{name: "204", reason: "http_status", answer: replies(204, "")},
		{name: "success false", reason: "api_error", answer: replies(200, `{"success": false, "code": "PARAM_ERROR"}`)},
		{name: "no JSON", reason: "decode", answer: replies(200, `{"success": true, data: []}`)},
		{name: "two documents", reason: "decode", answer: replies(200, oneTask+oneTask)},
		{name: "an empty body", reason: "decode", answer: replies(200, "")},
		{name: "a login page", reason: "decode", answer: replies(200, login, "Content-Type", "text/html")},
		{name: "nested 200,000 deep", reason: "decode", answer: replies(200, `{"success": true, "x": `+
			strings.Repeat("[", 200_000)+strings.Repeat("]", 200_000)+`}`)},
		{name: "an encoding that was not asked for", reason: "decode", answer: replies(200, "\x8b\x02\x80{}\x03",
			"Content-Type", "application/json", "Content-Encoding", "br")},
		{name: "gzip that is none", answer: replies(200, oneTask, "Content-Encoding", "gzip")},
		{name: "HTTP/1.0", conn: says("HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n"+oneTask, closes)},
		{name: "duplicate keys", answer: replies(200, `{"success": false, "success": true, "totalCount": 1, "data": [],
			"data": [{"id": "np_0", "id": "np_1", "name": "a", "name": "b", "status": "RUNNING", "status": "RUNNING"}]}`)},
		{name: "invalid UTF-8", answer: replies(200, "{\"success\": true, \"\xff\": \"\xff\", \"totalCount\": 1, \"data\": [{\"id\": \"np_1\xc3\","+
			" \"name\": \"a\xff\xfeb\", \"type\": \"\xe6\x95\", \"status\": \"RUNNING\", \"owner\": \"\\ud800\"}]}")},
	}
	for _, status := range []int{401, 403, 404, 408, 500, 503} {
		reason := "http_status"
		if status == 401 || status == 403 {
			reason = "auth"
		}
		all = append(all, sickness{name: strconv.Itoa(status), reason: reason, answer: replies(status, ""), rests: status == 401})
	}
	for _, status := range []int{301, 302, 303, 307, 308} {
		all = append(all, sickness{
			name: strconv.Itoa(status), reason: "http_status", answer: replies(status, "", "Location", elsewhere),
		})
	}
	return all
}

// One exporter has a target for each sickness. None disturbs another.
func TestMatrixOfEverySicknessIsAnsweredInTimeAndHealed(t *testing.T) {
	warmUp(t)
	before := held()
	t.Run("all", func(t *testing.T) {
		pki := newAuthority()
		var misled atomic.Int64
		elsewhere := serveOMS(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { misled.Add(1) }))
		cases := sicknesses(pki, elsewhere+"/api/v2?Action=ListProjects")
		stubs, p := treat(t, pki, cases)
		t.Run("cases", func(t *testing.T) {
			for i := range cases {
				t.Run(cases[i].name, func(t *testing.T) {
					t.Parallel()
					stubs[i].examine(t, p, "t"+strconv.Itoa(i))
				})
			}
		})
		if n := misled.Load(); n != 0 {
			t.Errorf("redirects were followed: %d requests", n)
		}
		if t.Failed() {
			t.Logf("log:\n%.20000s", p.stderr)
		}
	})
	expectReleased(t, before)
}

// The pages exceed the limit of 512 MiB. How much of them is read in time depends on
// the machine, so either reason will do; with a long -soak there is time to reach
// the limit.
func TestMatrixOfLargePagesTakesNoMemoryForGood(t *testing.T) {
	const megabyte, pages, beginning = 1 << 20, 600, `{"success": true, "totalCount": 9, "blob": `
	large := func(beginning string, piece []byte, encoding ...string) answerFunc {
		return func(w http.ResponseWriter, r *http.Request, over chan struct{}) {
			replies(200, beginning, encoding...)(w, r, over)
			for range pages {
				if _, err := w.Write(piece); err != nil {
					return
				}
			}
		}
	}
	texts := bytes.Repeat([]byte(`, "`+strings.Repeat("x", 1020)+`"`), megabyte/1024)
	sick := []sickness{
		{name: "a list of texts", answer: large(beginning+`["x"`, texts)},
		{name: "a bomb of gzip", answer: large(
			zipped(beginning+`["x"`), []byte(zipped(string(texts))), "Content-Encoding", "gzip")},
		{name: "white space", answer: large(beginning, bytes.Repeat([]byte(" "), megabyte))},
		{name: "one text", answer: large(beginning+`"`, bytes.Repeat([]byte("x"), megabyte))},
	}
	for i := range sick {
		sick[i].reason, sick[i].timeout = "timeout|decode", short
		if isLong() {
			sick[i].reason, sick[i].timeout = "decode", ample
		}
	}
	stubs, p := treat(t, newAuthority(), sick)
	before := heap()
	for i, c := range sick {
		t.Run(c.name, func(t *testing.T) {
			began := time.Now()
			peak := peakOf(func() { stubs[i].examine(t, p, "t"+strconv.Itoa(i)) })
			t.Logf("peak of the heap %d MB more, took %s", (peak-min(peak, before))>>20, time.Since(began))
			if peak > before+100*megabyte {
				t.Errorf("the heap grew from %d MB to %d MB", before>>20, peak>>20)
			}
			if after := heap(); after > before+8*megabyte {
				t.Errorf("the heap went from %d MB to %d MB for good", before>>20, after>>20)
			}
		})
	}
}

// peakOf returns the peak size of the heap while f runs.
func peakOf(f func()) uint64 {
	stop, peak := make(chan struct{}), make(chan uint64)
	go func() {
		sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
		ticker := time.NewTicker(5 * time.Millisecond)
		defer ticker.Stop()
		for most := uint64(0); ; {
			metrics.Read(sample)
			most = max(most, sample[0].Value.Uint64())
			select {
			case <-stop:
				peak <- most
				return
			case <-ticker.C:
			}
		}
	}()
	f()
	close(stop)
	return <-peak
}

func zipped(content string) string {
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	_, _ = io.WriteString(z, content) // writing to a buffer does not fail
	_ = z.Close()
	return out.String()
}

// treat serves each sickness at an address of its own, and starts an exporter with
// all of them as targets t0, t1 and so on.
func treat(t *testing.T, pki *authority, cases []sickness) ([]*stub, *program) {
	t.Helper()
	healthy, err := omssim.New(omssim.Options{Tasks: faultyTasks, Seed: 1, Scenarios: []string{"following"}})
	if err != nil {
		t.Fatal(err)
	}
	tunneled := &stub{TCPListener: listen(t), over: make(chan struct{}), healthy: healthy}
	tunneled.https, tunneled.certificate = true, pki.issue(time.Now().Add(time.Hour), "oms.example")
	tunneled.serve(t, tunneled.certificate)
	ca := writeFile(t, string(pki.pem()))
	good := pki.issue(time.Now().Add(time.Hour), "127.0.0.1")
	stubs := make([]*stub, len(cases))
	resolver := map[string]*stub{}
	var targets strings.Builder
	for i, c := range cases {
		s := &stub{sickness: c, over: make(chan struct{}), healthy: healthy, tunnel: tunneled.Addr().String()}
		if s.timeout == "" {
			s.timeout = ample
		}
		var address string
		if c.refused {
			address, s.listen = refuse(t)
		} else {
			s.TCPListener = listen(t)
			address = s.Addr().String()
			s.serve(t, good)
		}
		stubs[i] = s

		scheme, host, settings := "http", address, fmt.Sprintf("tls_config: {ca_file: %q}", ca)
		if c.https {
			scheme = "https"
		}
		if c.host != "" && !c.proxy {
			_, port, err := net.SplitHostPort(address)
			if err != nil {
				t.Fatal(err)
			}
			host = net.JoinHostPort(c.host, port)
			resolver[c.host] = s
		}
		if c.proxy {
			host = c.host
			settings += fmt.Sprintf(", proxy_url: %q", "http://"+address)
		}
		fmt.Fprintf(&targets, "  t%d: {url: %q, page_size: %d, http_client: {%s}}\n",
			i, scheme+"://"+host, faultyPageSize, settings)
	}
	for _, s := range resolver {
		resolve(t, s.over)
	}
	p, _ := several(t, targets.String(), "--web.max-requests=0")
	return stubs, p
}

// A stub is an OMS that is sick until over is closed.
type stub struct {
	*net.TCPListener
	sickness
	over    chan struct{}
	healthy http.Handler
	tunnel  string // where CONNECT leads to
	listen  func(t *testing.T) *net.TCPListener
	conns   sync.WaitGroup
}

// examine scrapes a target before and after its OMS is healed.
func (s *stub) examine(t *testing.T, p *program, target string) {
	t.Helper()
	url := p.url + "/probe?target=" + target
	began := time.Now()

	r := get(t, url, scrapeTimeout, s.timeout)

	if took := time.Since(began); s.timeout != ample && took > 20*time.Second {
		t.Errorf("answered after %s", took)
	}
	if r.status != http.StatusOK || !utf8.ValidString(r.body) {
		t.Fatalf("status %d, UTF-8 %v: %.1000s", r.status, utf8.ValidString(r.body), r.body)
	}
	got := parseText(t, r.body)
	if s.reason == "" {
		got.expect(t, map[string]float64{"oms_up": 1, "oms_api_reported_tasks": 1})
		if n := got.tasks(); n != 1 {
			t.Errorf("%d tasks have series, want 1:\n%s", n, r.body)
		}
	} else {
		reason := s.reason
		for one := range strings.SplitSeq(s.reason, "|") {
			if got.values("oms_scrape_error_info", "reason")[one] == 1 {
				reason = one
			}
		}
		expectOutage(t, got, reason)
	}

	close(s.over)
	if s.refused {
		s.TCPListener = s.listen(t)
		s.serve(t, nil)
	}
	healed := parseText(t, get(t, url).body)
	if s.rests {
		expectOutage(t, healed, "auth")
	} else {
		expectAllTasks(t, healed)
	}
}

func (s *stub) isOver() bool {
	select {
	case <-s.over:
		return true
	default:
		return false
	}
}

// serve answers as the sick OMS, and later as the healthy one.
func (s *stub) serve(t *testing.T, good *tls.Certificate) {
	t.Helper()
	server := &http.Server{
		Handler:  s,
		ErrorLog: log.New(io.Discard, "", 0), // handshakes that fail on purpose
	}
	var listener net.Listener = s
	if s.https && !s.proxy {
		listener = tls.NewListener(s, &tls.Config{
			GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
				if s.certificate != nil && !s.isOver() {
					return s.certificate, nil
				}
				return good, nil
			},
		})
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = server.Serve(listener) // until it is closed
	}()
	t.Cleanup(func() {
		if !s.isOver() {
			close(s.over)
		}
		_ = server.Close()
		<-served
		s.conns.Wait()
	})
}

// Accept implements [net.Listener]. It keeps sick connections from the server.
func (s *stub) Accept() (net.Conn, error) {
	for {
		c, err := s.TCPListener.Accept()
		if err != nil || s.conn == nil || s.isOver() {
			return c, err
		}
		s.conns.Go(func() {
			defer func() { _ = c.Close() }()
			s.conn(c, s.over)
		})
	}
}

// ServeHTTP implements [http.Handler].
func (s *stub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case s.answer != nil && !s.isOver():
		s.answer(w, r, s.over)
	case r.Method == http.MethodConnect:
		s.connect(w)
	default:
		s.healthy.ServeHTTP(w, r)
	}
}

// connect does what a healthy proxy does.
func (s *stub) connect(w http.ResponseWriter) {
	inner, err := net.Dial("tcp", s.tunnel)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	outer, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(err)
	}
	_, _ = io.WriteString(outer, "HTTP/1.1 200 OK\r\n\r\n")
	type reader struct{ io.Reader } // between bare sockets, pipes stay behind
	s.conns.Go(func() {
		_, _ = io.Copy(inner, reader{outer})
		_ = inner.Close()
	})
	_, _ = io.Copy(outer, reader{inner})
	_ = outer.Close()
}

func listen(t *testing.T) *net.TCPListener {
	t.Helper()
	l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// refuse reserves an address at which nobody listens. The function listens there.
func refuse(t *testing.T) (address string, listen func(*testing.T) *net.TCPListener) {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	syscall.CloseOnExec(fd)
	file := os.NewFile(uintptr(fd), "socket")
	t.Cleanup(func() { _ = file.Close() })
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	name, err := syscall.Getsockname(fd)
	bound, ok := name.(*syscall.SockaddrInet4)
	if err != nil || !ok {
		t.Fatal(name, err)
	}
	return fmt.Sprintf("127.0.0.1:%d", bound.Port), func(t *testing.T) *net.TCPListener {
		t.Helper()
		if err := syscall.Listen(fd, 128); err != nil {
			t.Fatal(err)
		}
		l, err := net.FileListener(file)
		if err != nil {
			t.Fatal(err)
		}
		tcp, ok := l.(*net.TCPListener)
		if !ok {
			t.Fatalf("a %T", l)
		}
		return tcp
	}
}

// resolve makes a name server of its own answer all lookups of this process: no such
// host at first, 127.0.0.1 when over is closed. No other test may run at the same time.
func resolve(t *testing.T, over <-chan struct{}) {
	t.Helper()
	server, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	former := net.DefaultResolver
	net.DefaultResolver = &net.Resolver{
		PreferGo: true,
		Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "udp", server.LocalAddr().String())
		},
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		packet := make([]byte, 1500)
		for {
			n, from, err := server.ReadFromUDP(packet)
			if err != nil {
				return
			}
			select {
			case <-over:
				_, _ = server.WriteToUDP(nameAnswer(packet[:n], true), from)
			default:
				_, _ = server.WriteToUDP(nameAnswer(packet[:n], false), from)
			}
		}
	}()
	t.Cleanup(func() {
		_ = server.Close()
		<-ended
		net.DefaultResolver = former
	})
}

// nameAnswer answers a DNS question.
func nameAnswer(question []byte, known bool) []byte {
	const header, recursion, noSuchName = 12, 0x8180, 3
	end := header + bytes.IndexByte(question[header:], 0) + 5 // after the name, its type and class
	kind := binary.BigEndian.Uint16(question[end-4:])
	answer := make([]byte, header, 512)
	copy(answer, question[:2])
	binary.BigEndian.PutUint16(answer[4:], 1)
	flags := uint16(recursion)
	if !known {
		flags |= noSuchName
	}
	binary.BigEndian.PutUint16(answer[2:], flags)
	answer = append(answer, question[header:end]...)
	if known && kind == 1 {
		binary.BigEndian.PutUint16(answer[6:], 1)
		// A pointer to the name in the question, type A, class IN, TTL 1 s, 4 bytes.
		answer = append(answer, 0xc0, header, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4, 127, 0, 0, 1)
	}
	return answer
}

// An authority issues certificates.
type authority struct {
	key         *ecdsa.PrivateKey
	certificate *x509.Certificate
}

func newAuthority() *authority {
	a := &authority{}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority of the tests"},
		NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: time.Now().AddDate(10, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	a.key, a.certificate = sign(template, nil, nil)
	return a
}

// issue returns a certificate for hosts.
func (a *authority) issue(until time.Time, hosts ...string) *tls.Certificate {
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: hosts[0]},
		NotBefore: time.Now().Add(-24 * time.Hour), NotAfter: until,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, host := range hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	key, certificate := sign(template, a.certificate, a.key)
	return &tls.Certificate{Certificate: [][]byte{certificate.Raw}, PrivateKey: key}
}

func (a *authority) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.certificate.Raw})
}

// sign makes a key and its certificate, which is self-signed if by is nil.
func sign(template, by *x509.Certificate, with *ecdsa.PrivateKey) (*ecdsa.PrivateKey, *x509.Certificate) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	if by == nil {
		by, with = template, key
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, by, &key.PublicKey, with)
	if err != nil {
		panic(err)
	}
	certificate, err := x509.ParseCertificate(raw)
	if err != nil {
		panic(err)
	}
	return key, certificate
}

// resources are what a process holds.
type resources struct{ goroutines, files int }

func held() resources {
	files, _ := os.ReadDir("/proc/self/fd") // none on other systems
	return resources{runtime.NumGoroutine(), len(files)}
}

// warmUp starts what the runtime then keeps, such as the goroutine for signals.
func warmUp(t *testing.T) {
	t.Helper()
	t.Run("warm up", func(t *testing.T) {
		_, url := newOMS(t, omssim.Options{})
		scrape(t, start(t, "--oms.url="+url))
	})
}

// expectReleased waits until the process holds no more than before.
func expectReleased(t *testing.T, before resources) {
	t.Helper()
	late := time.After(patience)
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		now := held()
		if now.goroutines <= before.goroutines && now.files <= before.files {
			t.Logf("held before %+v, now %+v", before, now)
			return
		}
		select {
		case <-late:
			stacks := make([]byte, 1<<20)
			t.Errorf("held before %+v, now %+v: %q\n%s",
				before, now, openFiles(), stacks[:runtime.Stack(stacks, true)])
			return
		case <-ticker.C:
		}
	}
}

// openFiles names the open files.
func openFiles() []string {
	var names []string
	files, _ := os.ReadDir("/proc/self/fd")
	for _, file := range files {
		name, _ := os.Readlink("/proc/self/fd/" + file.Name()) // fails for the directory that was read
		names = append(names, name)
	}
	return names
}

// heap returns the size of the live heap.
func heap() uint64 {
	for range 2 { // pooled objects survive the first
		runtime.GC()
	}
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}
