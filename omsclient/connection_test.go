package omsclient_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"oms_exporter/omsclient"
	"oms_exporter/omsclient/omssim/balancer"
)

// newServer starts an OMS and returns the transport to reach it by. Dialing leads
// to the address that dial returns.
func newServer(t *testing.T, oms http.Handler, http2 bool) (*httptest.Server, *http.Transport) {
	t.Helper()
	server := httptest.NewUnstartedServer(oms)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	if http2 {
		server.EnableHTTP2 = true
		server.StartTLS()
	} else {
		server.Start()
	}
	transport, ok := server.Client().Transport.(*http.Transport)
	if !ok {
		t.Fatal("no transport")
	}
	transport.MaxIdleConnsPerHost = 100
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		server.CloseClientConnections()
		server.Close()
	})
	return server, transport
}

// leadTo makes a transport dial the given address, whatever the URL says.
func leadTo(transport *http.Transport, address func() string) {
	transport.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, address())
	}
}

func newClientTo(
	t *testing.T, url string, transport http.RoundTripper, options omsclient.Options,
) *omsclient.Client {
	t.Helper()
	c, err := omsclient.New(url, &http.Client{Transport: transport}, options)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestConnectionsThatABalancerHasForgottenCostNoListing(t *testing.T) {
	for _, mode := range []string{balancer.Resets, balancer.Closes, balancer.Swallows} {
		var cases sync.WaitGroup // most of the time they wait
		for _, n := range []int{451, 900, 3000} {
			for _, concurrency := range []int{1, 4, 16} {
				for _, http2 := range []bool{false, true} {
					name := fmt.Sprintf("%s, %d tasks, concurrency %d, HTTP/2 %t", mode, n, concurrency, http2)
					cases.Go(func() {
						t.Run(name, func(t *testing.T) { checkForgotten(t, mode, n, concurrency, http2) })
					})
				}
			}
		}
		cases.Wait()
	}
}

func checkForgotten(t *testing.T, mode string, n, concurrency int, http2 bool) {
	t.Helper()
	server, transport := newServer(t, paper(func(page, size int) string {
		return sheet(strconv.Itoa(n), cut(tasks(n), page, size)...)
	}), http2)
	b := balancer.New(t, server.Listener.Addr().String())
	leadTo(transport, func() string { return b.Address })
	c := newClientTo(t, server.URL, transport,
		omsclient.Options{Concurrency: concurrency, PageTimeout: 10 * time.Second})
	for i := range 3 {
		ctx, cancel := context.WithTimeout(t.Context(), 16*time.Second)
		got, report, err := listIDs(ctx, c)
		cancel()
		if err != nil {
			t.Fatalf("listing %d: %v", i, err)
		}
		checkEqual(t, "number of tasks", len(got), n)
		if mode != balancer.Swallows && !http2 {
			checkEqual(t, "retries", report.Retries(), 0)
		}
		if mode == balancer.Swallows {
			<-time.After(1100 * time.Millisecond) // a connection in use is not given up
		}
		if i%2 == 1 {
			b.ForgetAllButOne(mode)
		} else {
			b.Forget(mode)
		}
	}
}

// A leaky network forgets all its connections now and then.
type leaky struct {
	pipes
	mu    sync.Mutex
	conns []*leakyConn
}

type leakyConn struct {
	net.Conn
	forgotten atomic.Bool
}

func (c *leakyConn) Write(b []byte) (int, error) {
	if c.forgotten.Load() {
		return len(b), nil
	}
	return c.Conn.Write(b)
}

func (l *leaky) dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := l.pipes.dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	c := &leakyConn{Conn: conn}
	l.conns = append(l.conns, c)
	return c, nil
}

func (l *leaky) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.conns {
		c.forgotten.Store(true)
	}
}

// scrapes lists 100 tasks five times, every 30 seconds, each time with 9.5 seconds to
// spend, from an OMS that takes so long for each request.
func scrapes(t *testing.T, took func(request int) time.Duration, forgets bool) (lost int, requests []omsclient.Request) {
	t.Helper()
	network := &leaky{pipes: newPipes()}
	var asked atomic.Int64
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		<-time.After(took(int(asked.Add(1))))
		paper(func(page, size int) string {
			return sheet("100", cut(tasks(100), page, size)...)
		}).ServeHTTP(w, r)
	})}
	done := make(chan error)
	go func() { done <- server.Serve(network) }()
	transport := &http.Transport{DialContext: network.dial}
	c := newClientTo(t, "http://oms.example:8088", transport,
		omsclient.Options{PageTimeout: 10 * time.Second})
	for range 5 {
		ctx, cancel := context.WithTimeout(t.Context(), 9500*time.Millisecond)
		_, report, err := list(ctx, c)
		cancel()
		if err != nil {
			lost++
		}
		requests = append(requests, report.Requests...)
		<-time.After(20 * time.Second)
		if forgets {
			network.forget()
		}
	}
	transport.CloseIdleConnections()
	_ = server.Close()
	if err := <-done; !errors.Is(err, http.ErrServerClosed) {
		t.Error(err)
	}
	return lost, requests
}

func TestAConnectionThatSwallowsLeavesTimeForANewOne(t *testing.T) {
	for _, tt := range []struct{ took, wait time.Duration }{
		{0, 2375 * time.Millisecond}, // a quarter of the budget
		{time.Second, 2375 * time.Millisecond},
		{2 * time.Second, 4 * time.Second},                 // twice as long as OMS takes
		{2500 * time.Millisecond, 4750 * time.Millisecond}, // half of the budget
		{3 * time.Second, 4750 * time.Millisecond},
		{4500 * time.Millisecond, 4750 * time.Millisecond},
	} {
		synctest.Test(t, func(t *testing.T) {
			lost, requests := scrapes(t, always(tt.took), true)

			checkEqual(t, "lost", lost, 0)
			checkEqual(t, "requests", len(requests), 9) // two for each but the first
			checkEqual(t, "duration", requests[1].Duration, tt.wait)
			checkEqual(t, "reused", requests[1].Reused, true)
			checkEqual(t, "reused", requests[2].Reused, false)
			checkEqual(t, "reason", omsclient.ReasonOf(requests[1].Err), omsclient.Timeout)
			checkEqual(t, "error", requests[1].Err.Error(), fmt.Sprintf("list projects: page 1: no complete answer"+
				" within %v on a connection kept from an earlier request", tt.wait))
		})
	}
}

func TestAConnectionThatSwallowsLeavesTimeForAllPages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := &leaky{pipes: newPipes()}
		server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			<-time.After(1600 * time.Millisecond)
			paper(func(page, size int) string {
				return sheet("590", cut(tasks(590), page, size)...)
			}).ServeHTTP(w, r)
		})}
		done := make(chan error)
		go func() { done <- server.Serve(network) }()
		transport := &http.Transport{DialContext: network.dial}
		c := newClientTo(t, "http://oms.example:8088", transport, omsclient.Options{Concurrency: 1})
		for range 3 {
			ctx, cancel := context.WithTimeout(t.Context(), 9500*time.Millisecond)
			ids, _, err := listIDs(ctx, c)
			cancel()
			if err != nil || len(ids) != 590 {
				t.Errorf("%d tasks, %v", len(ids), err)
			}
			<-time.After(20 * time.Second)
			network.forget()
		}
		transport.CloseIdleConnections()
		_ = server.Close()
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
}

// TestAKeptConnectionThatBreaksOffInTheMidstOfAnAnswerCostsNoListing has the other end
// of a kept connection say something, and then nothing more.
func TestAKeptConnectionThatBreaksOffInTheMidstOfAnAnswerCostsNoListing(t *testing.T) {
	say := func(text string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				panic(err)
			}
			_, _ = io.WriteString(conn, text)
			_, _ = io.Copy(io.Discard, conn)
			_ = conn.Close()
		}
	}
	half := func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, `{"success":true,"data":[`)
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}
	drip := func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			_, _ = io.WriteString(w, " ")
			_ = http.NewResponseController(w).Flush()
			<-time.After(10 * time.Millisecond)
		}
	}
	for _, tt := range []struct {
		name   string
		breaks http.HandlerFunc
		http2  bool
	}{
		{"half a status line", say("HTTP/1.1 20"), false},
		{"100 Continue", say("HTTP/1.1 100 Continue\r\n\r\n"), false},
		{"half a body", half, false},
		{"half a body, HTTP/2", half, true},
		{"a body without end", drip, false},
		{"a body without end, HTTP/2", drip, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			good := paper(func(int, int) string { return sheet("1", "np_1") })
			var old sync.Map // addresses of clients, by whose connections nothing good comes any more
			var broken atomic.Bool
			server, transport := newServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if !broken.Load() {
					old.Store(r.RemoteAddr, true)
				}
				if _, isOld := old.Load(r.RemoteAddr); isOld && broken.Load() {
					tt.breaks(w, r)
					return
				}
				good.ServeHTTP(w, r)
			}), tt.http2)
			c := newClientTo(t, server.URL, transport, omsclient.Options{})
			for range 2 {
				ctx, cancel := context.WithTimeout(t.Context(), 8*time.Second)
				_, _, err := list(ctx, c)
				cancel()
				if err != nil {
					t.Fatal(err)
				}
				broken.Store(true)
				<-time.After(1100 * time.Millisecond) // a connection in use is not given up
			}
		})
	}
}

func TestASlowOMSIsNotTakenForALostConnection(t *testing.T) {
	for took := time.Duration(0); took <= 9*time.Second; took += time.Second / 2 {
		synctest.Test(t, func(t *testing.T) {
			lost, requests := scrapes(t, always(took), false)

			checkEqual(t, "lost", lost, 0)
			checkEqual(t, "requests", len(requests), 5)
			checkEqual(t, "reused", requests[4].Reused, true)
		})
	}
}

func TestAPageThatIsSlowForOnceCostsNoListing(t *testing.T) {
	for once := time.Second; once <= 6*time.Second; once += time.Second {
		synctest.Test(t, func(t *testing.T) {
			lost, _ := scrapes(t, func(request int) time.Duration {
				if request == 3 || request == 4 { // if it is asked again, it is still slow
					return once
				}
				return 100 * time.Millisecond
			}, false)

			checkEqual(t, "lost", lost, 0)
		})
	}
}

func TestANameThatMovedCostsNoListing(t *testing.T) {
	status := func(code int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
	}
	for name, old := range map[string]http.HandlerFunc{ // what the old node answers once the name has moved
		"302": status(302), "400": status(400), "401": status(401), "403": status(403),
		"404": status(404), "421": status(421), "502": status(502), "503": status(503),
		"503, come back tomorrow": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "86400")
			w.WriteHeader(http.StatusServiceUnavailable)
		},
		"success:false": paper(func(int, int) string { return `{"success":false}` }).ServeHTTP,
		"HTML": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			_, _ = io.WriteString(w, "<html>")
		},
		"half a document": paper(func(int, int) string { return `{"success":true,"data":[{` }).ServeHTTP,
		"no data":         paper(func(int, int) string { return `{"success":true}` }).ServeHTTP,
		"an empty list":   paper(func(int, int) string { return sheet("0") }).ServeHTTP,
	} {
		for _, http2 := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, HTTP/2 %t", name, http2), func(t *testing.T) {
				t.Parallel()
				checkMove(t, old, http2)
			})
		}
	}
}

func checkMove(t *testing.T, afterwards http.Handler, http2 bool) {
	t.Helper()
	listing := paper(func(page, size int) string { return sheet("450", cut(tasks(450), page, size)...) })
	var moved atomic.Bool
	old, transport := newServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if moved.Load() {
			afterwards.ServeHTTP(w, r)
			return
		}
		listing.ServeHTTP(w, r)
	}), http2)
	other, _ := newServer(t, listing, http2)
	leadTo(transport, func() string {
		if moved.Load() {
			return other.Listener.Addr().String()
		}
		return old.Listener.Addr().String()
	})
	c := newClientTo(t, old.URL, transport, omsclient.Options{})
	for i := range 4 {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		got, report, err := listIDs(ctx, c)
		cancel()
		if err != nil || len(got) != 450 {
			t.Errorf("listing %d: %d tasks, %v", i+1, len(got), err)
		}
		checkEqual(t, "distrusts", i == 2, report.Retries() > 0)
		moved.Store(i >= 1)
	}
}

// TestBadNewsOverANewConnectionCountsAtOnce has an OMS whose answers stay bad.
func TestBadNewsOverANewConnectionCountsAtOnce(t *testing.T) {
	var bad atomic.Bool
	good := paper(func(int, int) string { return sheet("1", "np_1") })
	server, transport := newServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if bad.Load() {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		good.ServeHTTP(w, r)
	}), false)
	c := newClientTo(t, server.URL, transport, omsclient.Options{})
	if _, _, err := list(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	bad.Store(true)
	_, report, err := list(t.Context(), c)

	checkEqual(t, "reason", omsclient.ReasonOf(err), omsclient.Auth)
	checkEqual(t, "requests", len(report.Requests), 2)
	checkEqual(t, "first reused", report.Requests[0].Reused, true)
	checkEqual(t, "second reused", report.Requests[1].Reused, false)
	refusal, _ := c.Refused()
	checkEqual(t, "refusals", refusal.Count, 1)
}

func TestAScraperThatHungUpCostsNoConnection(t *testing.T) {
	oms := &count{Handler: paper(func(int, int) string { return sheet("1", "np_1") })}
	server, transport := newServer(t, oms, false)
	c := newClientTo(t, server.URL, transport, omsclient.Options{})
	if _, _, err := list(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := list(ended, c); omsclient.ReasonOf(err) != omsclient.Canceled {
		t.Fatal(err)
	}

	_, report, err := list(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}

	checkEqual(t, "reused", report.Requests[0].Reused, true)
}

// raw is a server that writes the given texts to one connection after the other,
// the last one for ever, and then calls then.
func raw(t *testing.T, then func(net.Conn), answers ...string) (url string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var connections sync.WaitGroup
	var mu sync.Mutex
	var all []net.Conn
	connections.Go(func() {
		for i := 0; ; i++ {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			all = append(all, conn)
			mu.Unlock()
			connections.Go(func() {
				_, _ = conn.Read(make([]byte, 64<<10))
				_, _ = io.WriteString(conn, answers[min(i, len(answers)-1)])
				then(conn)
				_ = conn.Close()
			})
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		mu.Lock()
		for _, conn := range all {
			_ = conn.Close()
		}
		mu.Unlock()
		connections.Wait()
	})
	return "http://" + listener.Addr().String()
}

func closesAtOnce(net.Conn) {}

func staysSilent(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }

func keepsSending(conn net.Conn) {
	for {
		if _, err := io.WriteString(conn, " "); err != nil {
			return
		}
		<-time.After(10 * time.Millisecond)
	}
}

func TestTheBodyOfAnyStatusIsReadWithinTheBudget(t *testing.T) {
	const budget = 300 * time.Millisecond
	for name, then := range map[string]func(net.Conn){"silent": staysSilent, "endless": keepsSending} {
		for status, want := range map[int]omsclient.Reason{
			101: omsclient.HTTPStatus, 200: omsclient.Timeout,
			302: omsclient.HTTPStatus, 400: omsclient.HTTPStatus, 401: omsclient.Auth,
			500: omsclient.HTTPStatus, 503: omsclient.HTTPStatus,
		} {
			t.Run(fmt.Sprintf("%d, %s", status, name), func(t *testing.T) {
				t.Parallel()
				url := raw(t, then, fmt.Sprintf(
					"HTTP/1.1 %d X\r\nContent-Type: application/json\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n{", status))
				transport := &http.Transport{}
				defer transport.CloseIdleConnections()
				c := newClientTo(t, url, transport, omsclient.Options{})
				ctx, cancel := context.WithTimeout(t.Context(), budget)
				defer cancel()
				start := time.Now()

				_, _, err := list(ctx, c)

				checkEqual(t, "reason", omsclient.ReasonOf(err), want)
				checkEqual(t, "status", failure(t, err).StatusCode, status)
				if took := time.Since(start); took > budget+2*time.Second {
					t.Errorf("took %v", took)
				}
			})
		}
	}
}
