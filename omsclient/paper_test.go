package omsclient_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"oms_exporter/omsclient"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const console = "https://oms.example:8089"

// A paper is an OMS that answers with a body for each page and page size.
type paper func(page, size int) string

func (p paper) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var asked struct{ PageNumber, PageSize int }
	if err := json.NewDecoder(r.Body).Decode(&asked); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/json;charset=UTF-8")
	fmt.Fprint(w, p(asked.PageNumber, asked.PageSize))
}

// sheet returns the body of a page with the given tasks. An empty total means no
// totalCount.
func sheet(total string, ids ...string) string {
	var b strings.Builder
	b.WriteString(`{"success":true,`)
	if total != "" {
		fmt.Fprintf(&b, `"totalCount":%s,`, total)
	}
	b.WriteString(`"data":[`)
	for i, id := range ids {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"id":%q}`, id)
	}
	b.WriteString(`]}`)
	return b.String()
}

// tasks returns the ids of a fleet of n tasks.
func tasks(n int) []string {
	ids := make([]string, n)
	for i := range ids {
		ids[i] = fmt.Sprintf("np_%04d", i+1)
	}
	return ids
}

// cut returns the ids on a page.
func cut(ids []string, page, size int) []string {
	first := min((page-1)*size, len(ids))
	return ids[first:min(first+size, len(ids))]
}

// A direct transport calls a handler in the same goroutine. It needs no socket, so on
// a synctest clock a request takes as long as the handler does.
type direct struct{ http.Handler }

func (d direct) RoundTrip(r *http.Request) (response *http.Response, err error) {
	defer r.Body.Close()
	defer func() {
		if aborted := recover(); aborted != nil {
			response, err = nil, io.ErrUnexpectedEOF
		}
		if cause := context.Cause(r.Context()); cause != nil {
			response, err = nil, cause
		}
	}()
	recorder := httptest.NewRecorder()
	d.ServeHTTP(recorder, r)
	return recorder.Result(), nil
}

// A roundTrip is a function as an [http.RoundTripper].
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		defer r.Body.Close()
	}
	return f(r)
}

// A count is a handler that counts its requests.
type count struct {
	http.Handler
	mu       sync.Mutex
	requests int
}

func (c *count) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	c.requests++
	c.mu.Unlock()
	c.Handler.ServeHTTP(w, r)
}

func (c *count) get() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.requests
}

// newClient returns a client that calls a handler without a network.
func newClient(t *testing.T, oms http.Handler, options omsclient.Options) *omsclient.Client {
	t.Helper()
	return newClientOver(t, direct{oms}, options)
}

func newClientOver(
	t *testing.T, transport http.RoundTripper, options omsclient.Options,
) *omsclient.Client {
	t.Helper()
	c, err := omsclient.New(console, &http.Client{Transport: transport}, options)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// list reads a listing to its end.
func list(ctx context.Context, c *omsclient.Client) ([]omsclient.Project, omsclient.Report, error) {
	var (
		report   omsclient.Report
		projects []omsclient.Project
	)
	for project, err := range c.List(ctx, &report) {
		if err != nil {
			return projects, report, err
		}
		projects = append(projects, project)
	}
	return projects, report, nil
}

// listIDs is list, but returns only the ids.
func listIDs(ctx context.Context, c *omsclient.Client) ([]string, omsclient.Report, error) {
	projects, report, err := list(ctx, c)
	ids := make([]string, len(projects))
	for i := range projects {
		ids[i] = projects[i].ID
	}
	return ids, report, err
}

// failure returns err as an [omsclient.Error] and fails the test if it is not one.
func failure(t *testing.T, err error) *omsclient.Error {
	t.Helper()
	var e *omsclient.Error
	if !errors.As(err, &e) {
		t.Fatalf("got error %v, want an *omsclient.Error", err)
	}
	return e
}

func checkEqual[T any](t *testing.T, what string, got, want T) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		path, g, w := firstDifference("", reflect.ValueOf(got), reflect.ValueOf(want))
		t.Errorf("%s%s:\n got %+v\nwant %+v", what, path, g, w)
	}
}

// firstDifference returns where two values first differ, and what is there.
func firstDifference(path string, got, want reflect.Value) (string, reflect.Value, reflect.Value) {
	differ := func(g, w reflect.Value) bool { return !reflect.DeepEqual(g.Interface(), w.Interface()) }
	switch {
	case got.Kind() == reflect.Slice && got.Len() == want.Len():
		for i := range got.Len() {
			if g, w := got.Index(i), want.Index(i); differ(g, w) {
				return firstDifference(fmt.Sprintf("%s[%d]", path, i), g, w)
			}
		}
	case got.Kind() == reflect.Struct:
		for _, field := range reflect.VisibleFields(got.Type()) {
			if g, w := got.FieldByIndex(field.Index), want.FieldByIndex(field.Index); field.IsExported() && differ(g, w) {
				return firstDifference(path+"."+field.Name, g, w)
			}
		}
	}
	return path, got, want
}

// pagesAsked returns the page of each attempt.
func pagesAsked(report omsclient.Report) []int {
	var pages []int
	for i := range report.Requests {
		pages = append(pages, report.Requests[i].Page)
	}
	return pages
}

// pipes is a network with one server and no sockets, for synctest clocks.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
}

func newPipes() pipes { return pipes{make(chan net.Conn), make(chan struct{})} }

// Accept implements [net.Listener].
func (p pipes) Accept() (net.Conn, error) {
	select {
	case conn := <-p.conns:
		return conn, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

// Close implements [net.Listener].
func (p pipes) Close() error {
	close(p.closed)
	return nil
}

// Addr implements [net.Listener].
func (p pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }

func (p pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	near, far := net.Pipe()
	select {
	case p.conns <- far:
		return near, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// serveOverPipes starts an HTTP server in a synctest bubble. It returns a transport
// to the server and the URL of the console.
func serveOverPipes(t *testing.T, handler http.Handler) (*http.Transport, string) {
	t.Helper()
	network := newPipes()
	server := &http.Server{Handler: handler}
	done := make(chan error)
	go func() { done <- server.Serve(network) }()
	transport := &http.Transport{DialContext: network.dial}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		_ = server.Close()
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	return transport, "http://oms.example:8088"
}
