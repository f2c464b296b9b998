package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"oms_exporter/omsclient/omssim"
)

func TestEveryPathHasTheHeadersThatBrowsersHeed(t *testing.T) {
	_, url := newOMS(t, omssim.Options{Projects: projects(t)})
	p := start(t, "--oms.url="+url, "--web.enable-pprof")
	for _, path := range []string{
		"/", "/metrics", "/probe?target=x", "/sd", "/status", "/status?format=json", "/-/healthy", "/-/ready",
		"/-/reload", "/debug/pprof/", "/nowhere",
	} {
		r := get(t, p.url+path)
		if got := r.header.Get("X-Content-Type-Options"); got != "nosniff" {
			t.Errorf("%s: X-Content-Type-Options %q", path, got)
		}
		if got := r.header.Get("Cache-Control"); got != "no-store" {
			t.Errorf("%s: Cache-Control %q", path, got)
		}
		policy := r.header.Get("Content-Security-Policy")
		for _, rule := range []string{"default-src 'none'", "frame-ancestors 'none'"} {
			if !strings.Contains(policy, rule) {
				t.Errorf("%s: the policy %q lacks %s", path, policy, rule)
			}
		}
	}
}

func TestHeadersOfTheWebConfigurationStand(t *testing.T) {
	const policy = "default-src 'self'"
	web := writeFile(t, fmt.Sprintf(
		"http_server_config: {headers: {Content-Security-Policy: %q}}\n", policy))
	p := start(t, "--oms.url=http://127.0.0.1:1", "--web.config.file="+web)

	if got := get(t, p.url+"/status").header.Get("Content-Security-Policy"); got != policy {
		t.Errorf("the policy is %q, want %q", got, policy)
	}
}

func TestBrowsersCannotReload(t *testing.T) {
	_, url := newOMS(t, omssim.Options{})
	p, _ := several(t, fmt.Sprintf("  a: {url: %q}\n", url), "--web.enable-lifecycle")
	host := strings.TrimPrefix(p.url, "http://")
	for _, c := range []struct {
		header []string
		status int
	}{
		{nil, http.StatusOK},
		{[]string{"Sec-Fetch-Site", "same-origin"}, http.StatusForbidden},
		{[]string{"Origin", "http://" + host}, http.StatusForbidden}, // a name that was rebound looks so
		{[]string{"Sec-Fetch-Site", "cross-site"}, http.StatusForbidden},
		{[]string{"Sec-Fetch-Site", "same-site"}, http.StatusForbidden},
		{[]string{"Origin", "http://evil.example"}, http.StatusForbidden},
		{[]string{"Origin", "null"}, http.StatusForbidden},
	} {
		for _, method := range []string{http.MethodPost, http.MethodPut} {
			if r := send(t, method, p.url+"/-/reload", "", c.header...); r.status != c.status {
				t.Errorf("%s with %q: %d %q, want %d", method, c.header, r.status, r.body, c.status)
			}
		}
	}
}

// dial returns a connection to a program.
func dial(t *testing.T, p *program) net.Conn {
	t.Helper()
	c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", strings.TrimPrefix(p.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// TestRequestsThatDoNotEndAreCutOff has clients that keep what they began to send to
// themselves.
func TestRequestsThatDoNotEndAreCutOff(t *testing.T) {
	t.Parallel()
	p := start(t, "--oms.url=http://127.0.0.1:1", "--web.enable-lifecycle")
	for name, c := range map[string]struct {
		text  string
		after time.Duration
	}{
		"nothing":          {"", 5 * time.Second},
		"half a request":   {"GET /metrics HTTP/1.1\r\nHost: x\r\nA: ", 5 * time.Second},
		"no body of a GET": {"GET /-/healthy HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{", 10 * time.Second},
		"no body of a POST": {
			"POST /-/reload HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n", 10 * time.Second,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn := dial(t, p)
			began := time.Now()
			_, err := io.WriteString(conn, c.text)
			if err := errors.Join(err, conn.SetReadDeadline(began.Add(patience))); err != nil {
				t.Fatal(err)
			}

			_, err = io.Copy(io.Discard, conn)

			if took := time.Since(began); isTimeout(err) || took > c.after+4*time.Second {
				t.Errorf("open after %s (%v), want %s", took, err, c.after)
			}
		})
	}
}

func TestALargeHeaderIsRefused(t *testing.T) {
	p := start(t, "--oms.url=http://127.0.0.1:1")
	for size, want := range map[int]int{8 << 10: 200, 1 << 20: 431} {
		conn := dial(t, p)
		go fmt.Fprintf(conn, "GET /-/healthy HTTP/1.1\r\nHost: x\r\nA: %s\r\nConnection: close\r\n\r\n",
			strings.Repeat("a", size))
		response, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		if response.StatusCode != want {
			t.Errorf("a header of %d bytes: status %d, want %d", size, response.StatusCode, want)
		}
	}
}

// Two minutes of idleness are too long for a test.
func TestConnectionsDoNotStayIdleForEver(t *testing.T) {
	server := newServer(http.NotFoundHandler(), newLogger(io.Discard, logSettings{"info", "logfmt"}))
	if server.IdleTimeout != 2*time.Minute {
		t.Errorf("idle connections stay for %s", server.IdleTimeout)
	}
}

// TestAnHTTP2ScraperThatDoesNotReadIsCutOff has one that opens no window for the answer.
func TestAnHTTP2ScraperThatDoesNotReadIsCutOff(t *testing.T) {
	t.Parallel()
	identity := newIdentity(t)
	web := writeFile(t, fmt.Sprintf("tls_server_config: {cert_file: %q, key_file: %q}\n",
		writeFile(t, identity.certificate), writeFile(t, identity.key)))
	p := exporterOf(t, fmt.Sprintf("  wordy: {url: %q}\n", serveOMS(t, wordyFleet())),
		"--web.max-requests=1", "--scrape.timeout=2m", "--web.config.file="+web)
	transport := &http.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: true, DisableCompression: true,
	}
	t.Cleanup(transport.CloseIdleConnections)
	began := time.Now()
	ask := func() (*http.Response, error) {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet,
			"https"+strings.TrimPrefix(p.url, "http")+"/probe?target=wordy", http.NoBody)
		if err != nil {
			return nil, err
		}
		request.Header.Set(scrapeTimeout, "120")
		return transport.RoundTrip(request)
	}

	lazy, err := ask() // whose body nobody reads, so that its window is soon shut
	if err != nil {
		t.Fatal(err)
	}
	defer lazy.Body.Close()
	if lazy.ProtoMajor != 2 {
		t.Fatalf("HTTP/%d", lazy.ProtoMajor)
	}
	good, err := ask()
	if err != nil {
		t.Fatal(err)
	}
	defer good.Body.Close()

	if took := time.Since(began); good.StatusCode != http.StatusOK || took < 4*time.Second || took > 100*time.Second { // without that, 125 s
		t.Errorf("status %d after %s, want 200 after about 5 s", good.StatusCode, took)
	}
}

// A stuck connection stops reading when it is told to, and goes on with resume.
type stuck struct {
	net.Conn
	isStuck atomic.Bool
	resume  chan struct{}
}

// Read implements [net.Conn].
func (s *stuck) Read(b []byte) (int, error) {
	if s.isStuck.Load() {
		<-s.resume
	}
	return s.Conn.Read(b)
}

// TestAnHTTP2ConnectionThatNobodyReadsIsClosed has a client that is gone, as far as the
// network can tell.
func TestAnHTTP2ConnectionThatNobodyReadsIsClosed(t *testing.T) {
	t.Parallel()
	identity := newIdentity(t)
	web := writeFile(t, fmt.Sprintf("tls_server_config: {cert_file: %q, key_file: %q}\n",
		writeFile(t, identity.certificate), writeFile(t, identity.key)))
	p := exporterOf(t, fmt.Sprintf("  wordy: {url: %q}\n", serveOMS(t, wordyFleet())), "--web.config.file="+web)
	raw, ok := dial(t, p).(*net.TCPConn)
	if !ok {
		t.Fatal("no TCP")
	}
	if err := raw.SetReadBuffer(4096); err != nil {
		t.Fatal(err)
	}
	conn := &stuck{Conn: raw, resume: make(chan struct{})}
	transport := &http.Transport{
		DialTLSContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			secured := tls.Client(conn, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
			return secured, secured.HandshakeContext(ctx)
		},
		ForceAttemptHTTP2: true, DisableCompression: true,
	}
	t.Cleanup(transport.CloseIdleConnections)
	ask := func(path string) error {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet,
			"https"+strings.TrimPrefix(p.url, "http")+path, http.NoBody)
		if err != nil {
			return err
		}
		request.Header.Set(scrapeTimeout, "60")
		response, err := transport.RoundTrip(request)
		if err != nil {
			return err
		}
		defer response.Body.Close()
		_, err = io.Copy(io.Discard, response.Body)
		return err
	}
	if err := ask("/-/healthy"); err != nil { // so that all others go over the same connection
		t.Fatal(err)
	}
	conn.isStuck.Store(true)
	answers := make(chan error, 3)
	for range cap(answers) { // more than all buffers hold
		go func() { answers <- ask("/probe?target=wordy") }()
	}

	<-time.After(13 * time.Second)

	conn.isStuck.Store(false)
	close(conn.resume)
	late := time.After(patience)
	for range cap(answers) {
		select {
		case err := <-answers:
			if err == nil {
				t.Error("an answer came after all: this proves nothing")
			}
		case <-late:
			t.Fatal("the connection is still open")
		}
	}
}

func TestHandshakesThatFailDoNotFillTheLog(t *testing.T) {
	identity := newIdentity(t)
	web := writeFile(t, fmt.Sprintf("tls_server_config: {cert_file: %q, key_file: %q}\n",
		writeFile(t, identity.certificate), writeFile(t, identity.key)))
	p := start(t, "--oms.url=http://127.0.0.1:1", "--web.config.file="+web)
	for range 50 {
		c := dial(t, p)
		_, err := io.WriteString(c, "GET / HTTP/1.1\r\n\r\n")
		if err == nil {
			_, err = io.Copy(io.Discard, c)
		}
		_ = err // some systems reset the connection
	}

	if n := strings.Count(p.stderr.String(), "TLS handshake error"); n == 0 || n > 11 {
		t.Errorf("%d lines of 50 handshakes that failed", n)
	}
}

func TestStatusHasALimitOfAnswersToo(t *testing.T) {
	t.Parallel()
	h := &handler{scrape: &scrapeSettings{timeout: time.Minute}, limits: newLimits(1)}
	leave, err := h.limits.answers.Enter(t.Context(), 0) // another answer is being sent
	if err != nil {
		t.Fatal(err)
	}
	defer leave()
	server := httptest.NewServer(http.HandlerFunc(h.status))
	t.Cleanup(server.Close)

	for _, path := range []string{"/status", "/status?format=json"} {
		if r := get(t, server.URL+path, scrapeTimeout, "1"); r.status != http.StatusServiceUnavailable {
			t.Errorf("%s: status %d, want 503", path, r.status)
		}
	}
}

func TestStatusShowsTheNotableRequestsOfMany(t *testing.T) {
	t.Parallel()
	const tasks, slowPage, badPage = 150, 80, 120
	var bad atomic.Bool
	oms, err := omssim.New(omssim.Options{Tasks: tasks, Scenarios: []string{"following"}})
	if err != nil {
		t.Fatal(err)
	}
	url := serveOMS(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(strings.NewReader(string(body)))
		switch {
		case strings.Contains(string(body), fmt.Sprintf(`"pageNumber":%d,`, slowPage)):
			<-time.After(2 * time.Second)
		case strings.Contains(string(body), fmt.Sprintf(`"pageNumber":%d,`, badPage)) && !bad.Swap(true):
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		oms.ServeHTTP(w, r)
	}))
	p := start(t, "serve", "--oms.url="+url, "--oms.page-size=1")
	scrape(t, p)

	for range 2 { // of the latest fetch, then of one before
		var doc statusDoc
		r := get(t, p.url+"/status?format=json")
		if err := json.Unmarshal([]byte(r.body), &doc); err != nil {
			t.Fatal(err)
		}
		fetches := doc.Targets[0].Fetches
		f := fetches[len(fetches)-1]
		var slow, failed, first, last bool
		for _, r := range f.Requests {
			slow = slow || r.Page == slowPage
			failed = failed || r.Page == badPage && r.Status == 503
			first = first || r.Page == 1
			last = last || r.Page == tasks+1
		}
		if n := len(f.Requests); n < 50 || n > 100 || !slow || !failed || !first || !last {
			t.Errorf("%d requests; the slow one %t, the failed one %t, the first %t, the last %t",
				n, slow, failed, first, last)
		}
		if f.Sent != tasks+2 || f.Rows != tasks || f.Retries != 1 || f.Pages != tasks+1 {
			t.Errorf("%d sent, %d rows, %d retries, %d pages", f.Sent, f.Rows, f.Retries, f.Pages)
		}
		if html := get(t, p.url+"/status").body; !strings.Contains(html,
			fmt.Sprintf("%d, of which %d notable ones", f.Sent, len(f.Requests))) {
			t.Errorf("the page does not say how many there were:\n%.3000s", html)
		}
		scrape(t, p)
	}
}

func TestStatusShowsARefusedReload(t *testing.T) {
	t.Parallel()
	p, file := several(t, "  a: {url: \"http://127.0.0.1:1\"}\n", "--web.enable-lifecycle")
	good := readFile(t, file)
	const words = "The configuration was refused at "
	for _, step := range []struct {
		content string
		refused bool
	}{{good, false}, {"targets: {}\n", true}, {good, false}} {
		rewriteFile(t, file, step.content)
		send(t, http.MethodPost, p.url+"/-/reload", "")

		html, json := get(t, p.url+"/status").body, get(t, p.url+"/status?format=json").body

		if strings.Contains(html, words) != step.refused || strings.Contains(json, `"reloadRefused": "20`) != step.refused {
			t.Errorf("refused %t:\n%s\n%s", step.refused, html, json)
		}
	}
}

func TestStatusShowsARefusedSecret(t *testing.T) {
	t.Parallel()
	_, url := newOMS(t, omssim.Options{Projects: projects(t), Username: "viewer", Password: "right"})
	password := writeFile(t, "wrong")
	p := start(t, "--oms.url="+url, "--oms.username=viewer", "--oms.password-file="+password)
	status := func() (html string, secret *secretStatus) {
		var doc statusDoc
		if err := json.Unmarshal([]byte(get(t, p.url+"/status?format=json").body), &doc); err != nil {
			t.Fatal(err)
		}
		return get(t, p.url+"/status").body, doc.Targets[0].Secret
	}
	const words = "OMS has refused the secret"

	if html, secret := status(); secret != nil || strings.Contains(html, words) {
		t.Errorf("before the first scrape: %+v\n%s", secret, html)
	}
	scrape(t, p)
	if html, secret := status(); secret == nil || secret.Next.Sub(secret.Since) < 30*time.Second ||
		!strings.Contains(html, words) || !strings.Contains(html, secret.Next.Format(time.DateTime)) {
		t.Errorf("after a refusal: %+v\n%s", secret, html)
	}
	rewriteFile(t, password, "right")
	scrape(t, p)
	if html, secret := status(); secret != nil || strings.Contains(html, words) {
		t.Errorf("after it was accepted: %+v\n%s", secret, html)
	}
}

func TestStatusIsPrintable(t *testing.T) {
	t.Parallel()
	url := serveOMS(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"success": false, "code": "a\u001b[31m\u009b\u202e", "requestId": "r\u0007\u200b\u202e\u009b"}`)
	}))
	p := start(t, "serve", "--oms.url="+url)
	scrape(t, p)

	var doc statusDoc
	if err := json.Unmarshal([]byte(get(t, p.url+"/status?format=json").body), &doc); err != nil {
		t.Fatal(err)
	}
	fetch := doc.Targets[0].Fetches[0]
	for _, text := range []string{fetch.Error, fetch.Requests[0].RequestID} {
		if text == "" || printable(text) != text {
			t.Errorf("%q", text)
		}
	}
	if html := get(t, p.url+"/status").body; strings.ContainsAny(html, "\x1b\x07\u009b\u202e\u200b") {
		t.Errorf("%q", html)
	}
}

func TestDebugLoggingSaysWhatAScrapeDid(t *testing.T) {
	t.Parallel()
	const canary = "Canary-4711"
	sim, url := newOMS(t, omssim.Options{Tasks: 7, Scenarios: []string{"following"}, Username: "viewer", Password: canary})
	p, _ := several(t, fmt.Sprintf(
		"  hz: {url: %q, page_size: 5, http_client: {basic_auth: {username: viewer, password: %s}}}\n", url, canary),
		"--log.level=debug")
	for _, format := range []string{"text/plain", openMetrics} {
		get(t, p.url+"/probe?target=hz", "Accept", format, "Accept-Encoding", "gzip")
	}
	sim.SetFaults(omssim.Fault{Kind: "unauthorized"})
	get(t, p.url+"/probe?target=hz")

	log := p.stderr.String()
	for _, want := range []string{
		`level=debug .*target=hz msg="listing ended" reason= tasks=7 pages=2 bytes=\d{4,} bytes_on_wire=\d{4,} requests=2 on_kept_connections=[01] retries=0 .*duration=\S+ shared=false`,
		`level=debug .*target=hz msg="scrape answered" format="text/plain; version=0.0.4; .*" encoding=gzip bytes=\d{4,} shared=false duration=\S+ err=null`,
		`level=debug .*target=hz msg="scrape answered" format="application/openmetrics-text; .*" encoding=gzip bytes=\d{4,}`,
		`level=debug .*target=hz msg="listing ended" reason= tasks=7 .* on_kept_connections=2 `, // the second
		`level=debug .*target=hz msg="listing ended" reason=auth tasks=0 pages=0`,
	} {
		if n := len(regexp.MustCompile("(?m)"+want).FindAllString(log, -1)); n == 0 {
			t.Errorf("the log lacks %s:\n%s", want, log)
		}
	}
	if strings.Contains(log, canary) || strings.Contains(log, "viewer") {
		t.Errorf("a secret:\n%s", log)
	}
}
