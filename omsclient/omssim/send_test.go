package omssim_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"oms_exporter/omsclient/omssim"
)

// A line is a TCP connection to a simulated OMS, without an HTTP client.
type line struct {
	net.Conn
	*bufio.Reader
}

func dial(t *testing.T, s http.Handler) line {
	t.Helper()
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() }) // before the server waits for it
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	return line{conn, bufio.NewReader(conn)}
}

// Read is the reader's.
func (l line) Read(b []byte) (int, error) { return l.Reader.Read(b) }

func (l line) ask(t *testing.T) {
	t.Helper()
	const body = `{"pageSize":150}`
	if _, err := fmt.Fprintf(l, "POST /api/v2?Action=ListProjects HTTP/1.1\r\nHost: oms\r\n"+
		"Content-Length: %d\r\n\r\n%s", len(body), body); err != nil {
		t.Fatal(err)
	}
}

// head returns the lines up to the next empty one.
func (l line) head(t *testing.T) string {
	t.Helper()
	var head strings.Builder
	for {
		text, err := l.ReadString('\n')
		if err != nil {
			t.Fatal(err, head.String())
		}
		if strings.TrimSpace(text) == "" {
			return head.String()
		}
		head.WriteString(text)
	}
}

func withFault(t *testing.T, fault string, options omssim.Options) *omssim.Server {
	t.Helper()
	s := newServer(t, options)
	s.SetFaults(faults(t, fault)...)
	return s
}

func TestAConnectionThatSwitchedProtocolsStaysOpenAndSilent(t *testing.T) {
	s := withFault(t, "status_101", omssim.Options{})
	l := dial(t, s)
	l.ask(t)
	if head := l.head(t); !strings.HasPrefix(head, "HTTP/1.1 101 ") {
		t.Error(head)
	}
	_ = l.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if n, err := l.Read(make([]byte, 1)); n > 0 || !isTimeout(err) {
		t.Errorf("%d bytes, %v", n, err)
	}
	if got := s.Requests()[0].Status; got != 101 {
		t.Errorf("remembered as %d", got)
	}
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

func TestHintsComeBeforeTheAnswer(t *testing.T) {
	l := dial(t, withFault(t, "status_103", omssim.Options{Tasks: 1}))
	l.ask(t)
	for range 7 {
		if head := l.head(t); !strings.HasPrefix(head, "HTTP/1.1 103 ") {
			t.Error(head)
		}
	}
	if head := l.head(t); !strings.HasPrefix(head, "HTTP/1.1 200 ") {
		t.Error(head)
	}

	l = dial(t, withFault(t, "endless_103", omssim.Options{}))
	l.ask(t)
	for range 3 {
		if head := l.head(t); !strings.HasPrefix(head, "HTTP/1.1 103 ") {
			t.Error(head)
		}
	}
}

func TestEndlessBodiesDoNotEnd(t *testing.T) {
	for fault, want := range map[string]int{"endless_body": 200, "endless_error": 500, "gzip_bomb": 200} {
		response, err := overTCP(t, withFault(t, fault, omssim.Options{Tasks: 1}))
		if err != nil {
			t.Fatal(err)
		}
		if n, err := io.CopyN(io.Discard, response.Body, 400_000); err != nil && fault != "gzip_bomb" || response.StatusCode != want {
			t.Errorf("%s: HTTP %d ends after %d bytes: %v", fault, response.StatusCode, n, err)
		}
		_ = response.Body.Close()
	}
}

func TestABombIsSmallOnTheWire(t *testing.T) {
	l := dial(t, withFault(t, "gzip_bomb", omssim.Options{Tasks: 1}))
	l.ask(t)
	if head := l.head(t); !strings.Contains(head, "chunked") {
		t.Fatal(head)
	}
	packed := countingReader{httputil.NewChunkedReader(l), 0}
	z, err := gzip.NewReader(&packed)
	if err != nil {
		t.Fatal(err)
	}
	const most = 5 << 20
	n, err := io.CopyN(io.Discard, z, most)
	if err != nil || packed.n > most/50 {
		t.Errorf("%d bytes from %d on the wire, %v", n, packed.n, err)
	}
}

type countingReader struct {
	io.Reader
	n int
}

func (r *countingReader) Read(b []byte) (int, error) {
	n, err := r.Reader.Read(b)
	r.n += n
	return n, err
}

func TestErrorsThatStallHaveHalfOfTheirBody(t *testing.T) {
	l := dial(t, withFault(t, "stalled_error", omssim.Options{}))
	l.ask(t)
	if head := l.head(t); !strings.HasPrefix(head, "HTTP/1.1 502 ") || !strings.Contains(head, "Content-Length: ") {
		t.Error(head)
	}
	_ = l.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if body, err := io.ReadAll(l); !isTimeout(err) || !strings.HasPrefix(string(body), "<html>") ||
		strings.Contains(string(body), "</html>") {
		t.Errorf("%q, %v", body, err)
	}
}

func TestABodyCutWithoutLengthEndsCleanly(t *testing.T) {
	l := dial(t, withFault(t, "cut_without_length", omssim.Options{Tasks: 3}))
	l.ask(t)
	head := l.head(t)
	body, err := io.ReadAll(l)
	if strings.Contains(head, "Content-Length") || strings.Contains(head, "chunked") ||
		err != nil || len(body) == 0 || json.Valid(body) {
		t.Errorf("%s, then %d bytes, %v", head, len(body), err)
	}
}

func TestForgottenConnectionsEndWhenTheyAreUsedAgain(t *testing.T) {
	for fault, want := range map[string]error{"idle_close": io.EOF, "idle_reset": syscall.ECONNRESET} {
		s := withFault(t, fault, omssim.Options{Tasks: 3})
		l := dial(t, s)
		l.ask(t)
		response, err := http.ReadResponse(l.Reader, nil)
		if err != nil {
			t.Fatal(err)
		}
		var a answer
		err = json.NewDecoder(response.Body).Decode(&a)
		if _, drained := io.Copy(io.Discard, response.Body); err != nil || drained != nil || len(a.Data) != 3 ||
			response.Close || response.Header.Get("Date") == "" {
			t.Errorf("%s: the answer is %+v, %v", fault, a, err)
		}
		_ = response.Body.Close()
		l.ask(t)
		if _, err := l.ReadByte(); !errors.Is(err, want) {
			t.Errorf("%s: then %v, want %v", fault, err, want)
		}
		if got := s.Requests(); len(got) != 1 || got[0].Status != 200 {
			t.Errorf("%s: remembered as %+v", fault, got)
		}
	}
}

func TestContentCodings(t *testing.T) {
	unzipped := func(body []byte) ([]byte, error) {
		z, err := gzip.NewReader(bytes.NewReader(body))
		if err != nil {
			return nil, err
		}
		return io.ReadAll(z)
	}
	for _, options := range []omssim.Options{{Tasks: 3}, {Tasks: 3, Gzip: true}} {
		body := send(t, withFault(t, "gzip", options), `{}`)
		if plain, err := unzipped(body.Body.Bytes()); err != nil || !json.Valid(plain) ||
			body.Header().Get("Content-Encoding") != "gzip" {
			t.Errorf("gzip: %v, %v", body.Header(), err)
		}
	}
	cut := send(t, withFault(t, "gzip_cut", omssim.Options{Tasks: 3}), `{}`)
	if _, err := unzipped(cut.Body.Bytes()); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("gzip_cut: %v", err)
	}
	other := send(t, withFault(t, "unknown_coding", omssim.Options{Tasks: 3}), `{}`)
	if got := other.Header().Get("Content-Encoding"); got != "br" {
		t.Errorf("unknown_coding: %q", got)
	}
	bom := send(t, withFault(t, "bom", omssim.Options{Tasks: 3}), `{}`)
	if rest, found := bytes.CutPrefix(bom.Body.Bytes(), []byte("\xef\xbb\xbf")); !found || !json.Valid(rest) {
		t.Errorf("bom: %.20q", bom.Body)
	}
}

func TestAPageAfterTheLastIsRefused(t *testing.T) {
	for _, options := range []omssim.Options{
		{Tasks: 6},
		{Pages: []string{`{"success":true,"totalCount":6,"data":[1,2,3]}`, `{"success":true,"totalCount":6,"data":[4,5,6]}`}},
	} {
		for fault, want := range map[string]struct {
			status int
			body   string
		}{
			"end_refused": {200, `"code":"PARAM_ERROR"`},
			"end_400":     {400, ""},
			"end_404":     {404, ""},
			"end_416":     {416, ""},
			"end_500":     {500, ""},
			"end_empty":   {200, "{}"},
		} {
			s := withFault(t, fault, options)
			if last := send(t, s, page(2, 3)); last.Code != 200 || !strings.Contains(last.Body.String(), `"totalCount":6`) {
				t.Errorf("%s: the last page: HTTP %d", fault, last.Code)
			}
			w := send(t, s, page(3, 3))
			if w.Code != want.status || !strings.Contains(w.Body.String(), want.body) || want.body == "" && w.Body.Len() > 0 {
				t.Errorf("%s: HTTP %d %s, want %+v", fault, w.Code, w.Body, want)
			}
		}
	}
	empty := withFault(t, "end_404", omssim.Options{})
	if w := send(t, empty, `{}`); w.Code != 200 {
		t.Errorf("the first page of nothing: HTTP %d", w.Code)
	}
}

func TestPageCap(t *testing.T) {
	s := newServer(t, omssim.Options{Tasks: 120})
	all, _ := listing(t, s, 150)
	s.SetFaults(faults(t, "page_cap")...)
	var got []string
	for number := range 3 {
		a := ask(t, s, page(number+1, 150))
		if a.TotalCount != 120 || a.PageSize != 50 {
			t.Errorf("page %d: %+v", number+1, a)
		}
		got = append(got, ids(a.Data)...)
	}
	if !slices.Equal(got, all) {
		t.Errorf("%d tasks, want %d", len(got), len(all))
	}
	if a := ask(t, s, page(1, 4)); len(a.Data) != 2 {
		t.Errorf("%d tasks of 4 asked for, want 2", len(a.Data))
	}
}

func TestEmptyListing(t *testing.T) {
	a := ask(t, withFault(t, "empty_listing", omssim.Options{Tasks: 9}), `{}`)
	if !a.Success || a.TotalCount != 0 || len(a.Data) != 0 {
		t.Errorf("%+v", a)
	}
}

func TestWrongPasswordsLockTheAccount(t *testing.T) {
	s := newServer(t, omssim.Options{Username: "viewer", Password: "secret"})
	try := func(password string) int {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost,
			"/api/v2?Action=ListProjects", strings.NewReader(`{}`))
		r.SetBasicAuth("viewer", password)
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		return w.Code
	}
	tries := func(passwords ...string) (statuses []int) {
		for _, password := range passwords {
			statuses = append(statuses, try(password))
		}
		return statuses
	}
	s.SetFaults(faults(t, "locked_account")...)
	if got := tries("1", "2", "3", "4", "secret"); got[4] != 200 {
		t.Errorf("locked after four wrong passwords: %v", got)
	}
	if got := tries("1", "secret"); got[1] != 200 {
		t.Errorf("locked after five wrong passwords with a right one in between: %v", got)
	}
	if got := tries("1", "2", "3", "4", "5", "secret", "secret"); got[5] != 401 || got[6] != 401 {
		t.Errorf("not locked after five: %v", got)
	}
	s.SetFaults()
	if got := try("secret"); got != 200 {
		t.Errorf("locked for ever: %d", got)
	}
}

func TestExtraInfoContradictsTheSteps(t *testing.T) {
	options := omssim.Options{Tasks: 4, Scenarios: []string{"following", "failing"}}
	for fault, want := range map[string]struct{ delay, sampled int64 }{
		"delay_of_0": {0, 0}, "old_extra_info": {3, noon.Unix()/10*10 - 7200},
	} {
		for _, task := range ask(t, withFault(t, fault, options), `{}`).Data {
			x := task.ExtraInfo
			if x == nil || x.SyncDelay == nil || *x.SyncDelay != want.delay || x.SyncDelaySampleTimestamp != want.sampled {
				t.Errorf("%s: %s has %+v, want %+v", fault, task.Name, x, want)
			}
		}
	}
}

func TestLocalTime(t *testing.T) {
	s := newServer(t, omssim.Options{Tasks: 2})
	utc := ask(t, s, `{}`).Data[0]
	s.SetFaults(faults(t, "local_time")...)
	local := ask(t, s, `{}`).Data[0]
	const layout = "2006-01-02T15:04:05"
	before, _ := time.Parse(layout, utc.GmtModified)
	after, err := time.Parse(layout, local.GmtModified)
	if err != nil || after.Sub(before) != 8*time.Hour || utc.Steps[0].StepInfo != nil && local.Steps[0].StepInfo == nil {
		t.Errorf("gmtModified %s became %s", utc.GmtModified, local.GmtModified)
	}
}
