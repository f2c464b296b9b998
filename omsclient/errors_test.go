package omsclient_test

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"oms_exporter/omsclient"
	"oms_exporter/omsclient/omssim"
)

// An answer is an HTTP response, by default a 200 with JSON, or an error.
type answer struct {
	status int
	header http.Header
	body   string
	err    error
}

var good = answer{body: sheet("1", "np_1")}

func (a answer) response() *http.Response {
	recorder := httptest.NewRecorder()
	recorder.Header().Set("Content-Type", "application/json")
	for name, values := range a.header {
		recorder.Header()[name] = values
	}
	recorder.WriteHeader(cmp.Or(a.status, http.StatusOK))
	_, _ = recorder.WriteString(a.body)
	return recorder.Result()
}

// answers is a transport that gives one answer after the other, and the last one
// forever. It takes no time.
func answers(all ...answer) roundTrip {
	next := 0
	return func(*http.Request) (*http.Response, error) {
		a := all[next]
		next = min(next+1, len(all)-1)
		if a.err != nil {
			return nil, a.err
		}
		return a.response(), nil
	}
}

// waits returns how long the client waited between attempts. There must be two or
// more.
func waits(t *testing.T, report omsclient.Report) []time.Duration {
	t.Helper()
	if len(report.Requests) < 2 {
		t.Fatal("there was no second attempt")
	}
	var waits []time.Duration
	for i := 1; i < len(report.Requests); i++ {
		before := report.Requests[i-1]
		waits = append(waits, report.Requests[i].Start.Sub(before.Start.Add(before.Duration)))
	}
	return waits
}

// faults says what the client makes of each fault of the simulated OMS on page 2,
// without retries. The zero value means a complete listing.
var faults = map[omssim.FaultKind]struct {
	reason    omsclient.Reason
	status    int
	code      string
	requestID bool
	text      string
	// inconsistent means that both passes see a wrong count.
	inconsistent bool
}{
	"html_502":          {reason: "http_status", status: 502, text: "502 Bad Gateway"},
	"unauthorized":      {reason: "auth", status: 401, text: "401 Unauthorized"},
	"forbidden":         {reason: "auth", status: 403, text: "403 Forbidden"},
	"request_timeout":   {reason: "http_status", status: 408, text: "408 Request Timeout"},
	"too_many_requests": {reason: "http_status", status: 429, text: "429 Too Many Requests"},
	"internal_error":    {reason: "http_status", status: 500, text: "500 Internal Server Error"},
	"unavailable":       {reason: "http_status", status: 503, text: "503 Service Unavailable"},
	"redirect": {
		reason: "http_status", status: 302,
		text: "HTTP status 302 Found: redirects are not followed, use the final URL of the console",
	},
	"api_error": {
		reason: "api_error", status: 200, code: "GHANA-OPERAT000001", requestID: true,
		text: "OMS answered success:false",
	},
	"no_permission": {
		reason: "api_error", status: 200, code: "NO_PERMISSION", requestID: true,
		text: "OMS answered success:false",
	},
	"unknown_action": {
		reason: "api_error", status: 200, code: "PARAM_ERROR", requestID: true,
		text: "OMS answered success:false",
	},
	"truncated": {reason: "decode", status: 200, requestID: true, text: "ends too early"},
	"cut":       {reason: "connect", status: 200, requestID: true, text: "unexpected EOF"},
	"reset":     {reason: "connect", text: "connection reset by peer"},
	"invalid_json": {
		reason: "decode", status: 200, requestID: true, text: "not a JSON document at byte ",
	},
	"empty_body":  {reason: "decode", status: 200, text: "the JSON document ends too early"},
	"data_null":   {reason: "decode", status: 200, requestID: true, text: "the answer has no data"},
	"no_data":     {reason: "decode", status: 200, requestID: true, text: "the answer has no data"},
	"repeat_page": {reason: "pagination", text: "OMS repeats projects of earlier pages"},

	"moving_task":    {},
	"deleted_task":   {},
	"added_task":     {},
	"changing_count": {inconsistent: true},
	"unknown_values": {},
	"odd_task":       {inconsistent: true},
	"pascal_case":    {},
	"count_as_pages": {},

	"status_101":         {reason: "http_status", status: 101, text: "101 Switching Protocols"},
	"endless_error":      {reason: "http_status", status: 500, text: "500 Internal Server Error"},
	"cut_without_length": {reason: "decode", status: 200, requestID: true, text: "ends too early"},
	"endless_body":       {reason: "decode", status: 200, requestID: true, text: "longer than"},
	"gzip_cut":           {reason: "decode", status: 200, requestID: true, text: "ends too early"},
	"gzip_bomb":          {reason: "decode", status: 200, requestID: true, text: "longer than"},
	"unknown_coding":     {reason: "decode", status: 200, text: `"br"`},

	"locked_account": {},
	"status_103":     {},
	"idle_close":     {},
	"idle_reset":     {},
	"gzip":           {},
	"bom":            {},
	"empty_listing":  {},
	"page_cap":       {},
	"end_refused":    {},
	"end_400":        {},
	"end_404":        {},
	"end_416":        {},
	"end_500":        {},
	"end_empty":      {},
	"delay_of_0":     {},
	"old_extra_info": {},
	"local_time":     {},

	// These need a deadline, and so a synctest clock.
	"endless_103":   {reason: "timeout", text: "context deadline exceeded"},
	"stalled_error": {reason: "http_status", status: 502, text: "502 Bad Gateway"},
	"hang":          {reason: "timeout", text: "context deadline exceeded"},
	"stall":         {reason: "timeout", status: 200, requestID: true, text: "context deadline exceeded"},
	"slow_body":     {},
}

const (
	username = "exporter"
	password = "hunter2-and-more"
)

// authenticated adds the credentials to each request.
func authenticated(transport http.RoundTripper) http.RoundTripper {
	return roundTrip(func(r *http.Request) (*http.Response, error) {
		r = r.Clone(r.Context())
		r.SetBasicAuth(username, password)
		return transport.RoundTrip(r)
	})
}

func newSimulator(t *testing.T, kind omssim.FaultKind) *omssim.Server {
	t.Helper()
	oms, err := omssim.New(omssim.Options{Tasks: 25, Username: username, Password: password})
	if err != nil {
		t.Fatal(err)
	}
	fault := omssim.Fault{Kind: kind, Page: 2}
	switch kind {
	case "moving_task", "deleted_task", "added_task":
		fault.Times = 1 // happens while the tasks are listed for the first time
	case "count_as_pages", "empty_listing", "page_cap":
		fault.Page = 0
	}
	oms.SetFaults(fault)
	return oms
}

// checkFault lists 25 tasks, ten per page, and checks what becomes of the fault.
func checkFault(ctx context.Context, t *testing.T, c *omsclient.Client, kind omssim.FaultKind) {
	t.Helper()
	want := faults[kind]

	got, report, err := listIDs(ctx, c)

	checkEqual(t, "reason", omsclient.ReasonOf(err), want.reason)
	if want.reason == "" {
		if empty := kind == "empty_listing"; len(got) < 25 && !empty || len(got) > 0 && empty {
			t.Errorf("%d tasks, want 25, or none if the listing is empty", len(got))
		}
		checkEqual(t, "Inconsistent", report.Inconsistent, want.inconsistent)
		return
	}
	checkEqual(t, "number of tasks", len(got), 10)
	e := failure(t, err)
	checkEqual(t, "Page", e.Page, 2)
	checkEqual(t, "StatusCode", e.StatusCode, want.status)
	checkEqual(t, "Code", e.Code, want.code)
	if known := e.RequestID != ""; known != want.requestID {
		t.Errorf("RequestID %q", e.RequestID)
	}
	text := err.Error()
	if !strings.HasPrefix(text, "list projects: page 2: ") || !strings.Contains(text, want.text) ||
		!strings.Contains(text, want.code) || !strings.Contains(text, e.RequestID) {
		t.Errorf("error %q, want one about page 2 with %q, code and request", text, want.text)
	}
	for _, never := range []string{password, "np_", "CM ", "请稍后重试", "<html>", "tengine"} {
		if strings.Contains(text, never) {
			t.Errorf("error %q has %q in it", text, never)
		}
	}
}

func TestListReportsFailures(t *testing.T) {
	for _, doc := range omssim.Faults() {
		t.Run(string(doc.Kind), func(t *testing.T) {
			if _, known := faults[doc.Kind]; !known {
				t.Fatal("a fault without an expectation")
			}
			options := omsclient.Options{PageSize: 10, MaxTries: 1, MaxPageBytes: 1 << 20}
			oms := newSimulator(t, doc.Kind)
			if slices.Contains([]omssim.FaultKind{"hang", "stall", "slow_body", "endless_103", "stalled_error"}, doc.Kind) {
				synctest.Test(t, func(t *testing.T) {
					transport, console := serveOverPipes(t, oms)
					hc := &http.Client{Transport: authenticated(transport)}
					c, err := omsclient.New(console, hc, options)
					if err != nil {
						t.Fatal(err)
					}
					ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
					defer cancel()
					checkFault(ctx, t, c, doc.Kind)
				})
				return
			}
			server := httptest.NewServer(oms)
			defer server.Close()
			hc := &http.Client{Transport: authenticated(server.Client().Transport)}
			c, err := omsclient.New(server.URL, hc, options)
			if err != nil {
				t.Fatal(err)
			}
			checkFault(t.Context(), t, c, doc.Kind)
		})
	}
}

func TestListReportsAnswersThatAreNoListing(t *testing.T) {
	html := http.Header{"Content-Type": {"text/html; charset=utf-8"}}
	for _, tt := range []struct {
		name   string
		answer answer
		want   omsclient.Error
		text   string
	}{
		{
			"a failure inside a 200",
			answer{body: `{"code":"GHANA-OPERAT000001",
				"errorDetail":{"code":"GHANA-OPERAT000001","level":"ERROR","message":"secret"},
				"message":"secret","requestId":"r-2","success":false}`},
			omsclient.Error{
				Reason: "api_error", StatusCode: 200, Code: "GHANA-OPERAT000001",
				Message: "secret", RequestID: "r-2",
			},
			`OMS answered success:false, code "GHANA-OPERAT000001", requestId "r-2"`,
		},
		{
			"a failure whose code is in errorDetail only",
			answer{body: `{"success":"false","errorDetail":{"code":"PARAM_ERROR"},"code":null}`},
			omsclient.Error{Reason: "api_error", StatusCode: 200, Code: "PARAM_ERROR"},
			`OMS answered success:false, code "PARAM_ERROR"`,
		},
		{
			"a failure without any word",
			answer{body: `{"success":false}`},
			omsclient.Error{Reason: "api_error", StatusCode: 200},
			`OMS answered success:false`,
		},
		{
			"a failure with data",
			answer{body: `{"data":[{"id":"np_1"}],"success":false}`},
			omsclient.Error{Reason: "api_error", StatusCode: 200},
			`OMS answered success:false`,
		},
		{
			"a status with a JSON body",
			answer{
				status: 400,
				body:   `{"success":false,"code":400,"message":"secret","requestId":"r-3"}`,
			},
			omsclient.Error{
				Reason: "http_status", StatusCode: 400, Code: "400",
				Message: "secret", RequestID: "r-3",
			},
			`HTTP status 400 Bad Request, code "400", requestId "r-3"`,
		},
		{
			"a forbidding JSON body",
			answer{status: 403, body: `{"code":"FORBIDDEN"}`},
			omsclient.Error{Reason: "auth", StatusCode: 403, Code: "FORBIDDEN"},
			`HTTP status 403 Forbidden, code "FORBIDDEN"`,
		},
		{
			"a status with a broken JSON body",
			answer{status: 404, body: `{"code":"X"`},
			omsclient.Error{Reason: "http_status", StatusCode: 404},
			`HTTP status 404 Not Found`,
		},
		{
			"a status with an endless JSON body",
			answer{status: 404, body: `{"code":"X","message":"` + strings.Repeat("x", 1<<20) + `"}`},
			omsclient.Error{Reason: "http_status", StatusCode: 404},
			`HTTP status 404 Not Found`,
		},
		{
			"HTML from a proxy",
			answer{status: 502, header: html, body: "<h1>secret</h1>"},
			omsclient.Error{Reason: "http_status", StatusCode: 502},
			`HTTP status 502 Bad Gateway`,
		},
		{
			"JSON that does not say so, and so is not OMS's",
			answer{status: 502, header: html, body: `{"code":"X"}`},
			omsclient.Error{Reason: "http_status", StatusCode: 502},
			`HTTP status 502 Bad Gateway`,
		},
		{
			"a status that Go does not know",
			answer{status: 599},
			omsclient.Error{Reason: "http_status", StatusCode: 599},
			`HTTP status 599`,
		},
		{
			"no content",
			answer{status: 204},
			omsclient.Error{Reason: "http_status", StatusCode: 204},
			`HTTP status 204 No Content`,
		},
		{
			"a login page",
			answer{header: html, body: "<html>secret</html>"},
			omsclient.Error{Reason: "decode", StatusCode: 200},
			`the answer is not JSON but "text/html": is this the URL of OMS?`,
		},
		{
			"nothing at all",
			answer{},
			omsclient.Error{Reason: "decode", StatusCode: 200},
			`the JSON document ends too early`,
		},
		{
			"an empty object",
			answer{body: `{}`},
			omsclient.Error{Reason: "decode", StatusCode: 200},
			`the answer has no usable success field`,
		},
		{
			"success neither true nor false",
			answer{body: `{"success":"secret","data":[]}`},
			omsclient.Error{Reason: "decode", StatusCode: 200},
			`the answer has no usable success field`,
		},
		{
			"data without success",
			answer{body: `{"data":[]}`},
			omsclient.Error{Reason: "decode", StatusCode: 200},
			`the answer has no usable success field`,
		},
		{
			"success without data",
			answer{body: `{"success":true,"requestId":"r-4"}`},
			omsclient.Error{Reason: "decode", StatusCode: 200, RequestID: "r-4"},
			`the answer has no data, requestId "r-4"`,
		},
		{
			"data that is a text",
			answer{body: `{"success":true,"totalCount":1,"data":"secret"}`},
			omsclient.Error{Reason: "decode", StatusCode: 200},
			`the answer has no data`,
		},
		{
			"data that is null at last",
			answer{body: `{"success":true,"data":[{"id":"a"}],"data":null}`},
			omsclient.Error{Reason: "decode", StatusCode: 200},
			`the answer has no data`,
		},
		{
			"an array",
			answer{body: `[]`},
			omsclient.Error{Reason: "decode", StatusCode: 200},
			`not a JSON object`,
		},
		{
			"a text",
			answer{body: `"secret"`},
			omsclient.Error{Reason: "decode", StatusCode: 200},
			`not a JSON object`,
		},
		{
			"no JSON",
			answer{body: `secret`},
			omsclient.Error{Reason: "decode", StatusCode: 200},
			`not a JSON document at byte 0`,
		},
		{
			"broken JSON",
			answer{body: `{"success":true,secret}`},
			omsclient.Error{Reason: "decode", StatusCode: 200},
			`not a JSON document at byte 16`,
		},
		{
			"more after the document",
			answer{body: sheet("0") + ` "secret"`},
			omsclient.Error{Reason: "decode", StatusCode: 200},
			`data after the end of the JSON object`,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newClientOver(t, answers(tt.answer), omsclient.Options{MaxTries: 1})

			got, report, err := list(t.Context(), c)

			e := *failure(t, err)
			checkEqual(t, "text", e.Error(), "list projects: page 1: "+tt.text)
			checkEqual(t, "cause", errors.Unwrap(err), e.Err)
			checkEqual(t, "last request", report.Requests[0].Err, err)
			checkEqual(t, "status of last request", report.Requests[0].StatusCode, e.StatusCode)
			checkEqual(t, "number of projects", len(got), 0)
			e.Err, tt.want.Page = nil, 1
			checkEqual(t, "error", e, tt.want)
		})
	}
}

func TestAnEmptyListingNeedsAnEmptyListOrACountOfZero(t *testing.T) {
	for _, body := range []string{
		`{"success":true,"totalCount":0,"data":[]}`,
		`{"success":true,"totalCount":"0","data":null}`,
		`{"success":true,"totalCount":0}`,
		`{"success":true,"data":[]}`,
	} {
		got, report, err := list(t.Context(),
			newClientOver(t, answers(answer{body: body}), omsclient.Options{}))
		if err != nil || len(got) != 0 || report.Inconsistent {
			t.Errorf("%s: projects %v, report %+v, error %v", body, got, report, err)
		}
	}
}

func TestListTriesAgainWhatMayHelp(t *testing.T) {
	refused := &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	for _, tt := range []struct {
		name   string
		answer answer
		reason omsclient.Reason
	}{
		{"408", answer{status: 408}, omsclient.HTTPStatus},
		{"429", answer{status: 429}, omsclient.HTTPStatus},
		{"500", answer{status: 500}, omsclient.HTTPStatus},
		{"502", answer{status: 502}, omsclient.HTTPStatus},
		{"503", answer{status: 503}, omsclient.HTTPStatus},
		{"504", answer{status: 504}, omsclient.HTTPStatus},
		{"no connection", answer{err: refused}, omsclient.Connect},
		{"a connection that breaks", answer{err: io.ErrUnexpectedEOF}, omsclient.Connect},
		{"a slow server", answer{err: slowness{}}, omsclient.Timeout},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newClientOver(t, answers(tt.answer, tt.answer, good), omsclient.Options{})

				got, report, err := listIDs(t.Context(), c)
				if err != nil {
					t.Fatal(err)
				}
				checkEqual(t, "ids", got, []string{"np_1"})
				checkEqual(t, "pages", pagesAsked(report), []int{1, 1, 1})
				for i, want := range []omsclient.Reason{tt.reason, tt.reason, ""} {
					r := report.Requests[i]
					checkEqual(t, "reason", omsclient.ReasonOf(r.Err), want)
					checkEqual(t, "Attempt", r.Attempt, i+1)
				}
				// The waits are 200 ms and 300 ms, give or take half.
				for i, about := range []time.Duration{200 * time.Millisecond, 300 * time.Millisecond} {
					if got := waits(t, report)[i]; got < about/2 || got > about*3/2 {
						t.Errorf("wait %d took %v, want about %v", i+1, got, about)
					}
				}
			})
		})
	}
}

// A slowness is a timeout that no context caused.
type slowness struct{}

func (slowness) Error() string   { return "TLS handshake timeout" }
func (slowness) Timeout() bool   { return true }
func (slowness) Temporary() bool { return true }

func TestListTriesMaxTriesTimes(t *testing.T) {
	for maxTries, want := range map[int]int{0: 3, 1: 1, 2: 2, 5: 5} {
		t.Run(strconv.Itoa(maxTries), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newClientOver(t, answers(answer{status: 503}), omsclient.Options{MaxTries: maxTries})

				_, report, err := list(t.Context(), c)

				checkEqual(t, "StatusCode", failure(t, err).StatusCode, 503)
				checkEqual(t, "attempts", len(report.Requests), want)
			})
		})
	}
}

func TestListDoesNotTryAgainWhatCannotHelp(t *testing.T) {
	for _, tt := range []struct {
		name   string
		answer answer
	}{
		{"400", answer{status: 400}},
		{"401", answer{status: 401}},
		{"403", answer{status: 403}},
		{"404", answer{status: 404}},
		{"405 with Retry-After", answer{status: 405, header: http.Header{"Retry-After": {"1"}}}},
		{"301", answer{status: 301, header: http.Header{"Location": {"https://elsewhere"}}}},
		{"302", answer{status: 302, header: http.Header{"Location": {"https://elsewhere"}}}},
		{"204", answer{status: 204}},
		{"success:false", answer{body: `{"success":false,"code":"X"}`}},
		{"no JSON", answer{body: `<html>`}},
		{"no such host", answer{err: &net.DNSError{Err: "no such host", IsNotFound: true}}},
		{"an unknown authority", answer{err: x509.UnknownAuthorityError{}}},
		{"a canceled request", answer{err: context.Canceled}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newClientOver(t, answers(tt.answer, good), omsclient.Options{})

				_, report, err := list(t.Context(), c)

				checkEqual(t, "Page", failure(t, err).Page, 1)
				checkEqual(t, "attempts", len(report.Requests), 1)
			})
		})
	}
}

func TestListWaitsAsLongAsOMSAsks(t *testing.T) {
	for _, tt := range []struct {
		status     int
		retryAfter string
		want       time.Duration // 0 for the wait that the client would choose
	}{
		{429, "7", 7 * time.Second},
		{503, "90", 90 * time.Second},
		{429, "0", 0},
		{429, "-5", 0},
		{429, "soon", 0},
		{429, "9999999999999999999999", 0},
	} {
		t.Run(tt.retryAfter, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				busy := answer{status: tt.status, header: http.Header{"Retry-After": {tt.retryAfter}}}
				c := newClientOver(t, answers(busy, good), omsclient.Options{})

				_, report, err := list(t.Context(), c)
				if err != nil {
					t.Fatal(err)
				}
				got := waits(t, report)[0]
				if tt.want == 0 {
					if got < 100*time.Millisecond || got > 300*time.Millisecond {
						t.Errorf("waited %v, want about 200 ms", got)
					}
					return
				}
				checkEqual(t, "wait", got, tt.want)
			})
		})
	}
}

func TestTheDeadlineEndsAWaitAndTheLastAttemptSaysWhy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		busy := answer{status: 429, header: http.Header{"Retry-After": {"3600"}}}
		c := newClientOver(t, answers(busy), omsclient.Options{})
		ctx, cancel := context.WithTimeout(t.Context(), 9*time.Second)
		defer cancel()
		start := time.Now()

		_, report, err := list(ctx, c)

		checkEqual(t, "error", err.Error(),
			"list projects: page 1: HTTP status 429 Too Many Requests")
		checkEqual(t, "attempts", len(report.Requests), 1)
		if elapsed := time.Since(start); elapsed > 9*time.Second {
			t.Errorf("took %v", elapsed)
		}
	})
}

func TestListTellsWhoEndedIt(t *testing.T) {
	hang := roundTrip(func(r *http.Request) (*http.Response, error) {
		<-r.Context().Done()
		return nil, context.Cause(r.Context())
	})
	because := errors.New("a cause of the caller's")
	for _, tt := range []struct {
		name     string
		timeout  time.Duration // of the HTTP client
		context  func(context.Context) (context.Context, context.CancelFunc)
		reason   omsclient.Reason
		elapsed  time.Duration
		attempts int
	}{
		{"the deadline", 0, func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, 9*time.Second)
		}, omsclient.Timeout, 9 * time.Second, 1},
		{"the caller", 0, func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(ctx)
			time.AfterFunc(time.Second, cancel)
			return ctx, cancel
		}, omsclient.Canceled, time.Second, 1},
		{
			"the deadline, with a cause", 0,
			func(ctx context.Context) (context.Context, context.CancelFunc) {
				return context.WithTimeoutCause(ctx, 9*time.Second, because)
			}, omsclient.Timeout, 9 * time.Second, 1,
		},
		{
			"the caller, with a cause", 0,
			func(ctx context.Context) (context.Context, context.CancelFunc) {
				ctx, cancel := context.WithCancelCause(ctx)
				time.AfterFunc(time.Second, func() { cancel(because) })
				return ctx, func() { cancel(nil) }
			}, omsclient.Canceled, time.Second, 1,
		},
		{
			"the caller, on behalf of a deadline", 0,
			func(ctx context.Context) (context.Context, context.CancelFunc) {
				ctx, cancel := context.WithCancelCause(ctx)
				time.AfterFunc(time.Second, func() { cancel(context.DeadlineExceeded) })
				return ctx, func() { cancel(nil) }
			}, omsclient.Timeout, time.Second, 1,
		},
		{"the HTTP client", 5 * time.Second, context.WithCancel, omsclient.Timeout, 0, 3},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, err := omsclient.New(console,
					&http.Client{Transport: hang, Timeout: tt.timeout}, omsclient.Options{})
				if err != nil {
					t.Fatal(err)
				}
				ctx, cancel := tt.context(t.Context())
				defer cancel()
				start := time.Now()

				_, report, err := list(ctx, c)

				checkEqual(t, "Reason", failure(t, err).Reason, tt.reason)
				checkEqual(t, "attempts", len(report.Requests), tt.attempts)
				checkEqual(t, "Duration", report.Requests[0].Duration, cmp.Or(tt.elapsed, tt.timeout))
				if tt.elapsed > 0 {
					checkEqual(t, "elapsed", time.Since(start), tt.elapsed)
				}
			})
		})
	}
}

func TestListDoesNotAskOfAContextThatHasEnded(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	oms := &count{Handler: paper(func(int, int) string { return sheet("1", "np_1") })}

	_, _, err := list(ctx, newClient(t, oms, omsclient.Options{}))

	checkEqual(t, "Reason", failure(t, err).Reason, omsclient.Canceled)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v does not wrap context.Canceled", err)
	}
}

func TestAnErrorQuotesNoReasonPhrase(t *testing.T) {
	for status, want := range map[int]string{
		302: "HTTP status 302 Found: redirects are not followed, use the final URL of the console",
		403: "HTTP status 403 Forbidden",
		500: "HTTP status 500 Internal Server Error",
	} {
		c := newClientOver(t, roundTrip(func(*http.Request) (*http.Response, error) {
			return &http.Response{
				StatusCode: status, Status: strconv.Itoa(status) + " secret", Body: http.NoBody,
			}, nil
		}), omsclient.Options{MaxTries: 1})

		_, _, err := list(t.Context(), c)

		checkEqual(t, "error", failure(t, err).Error(), "list projects: page 1: "+want)
	}
}

func TestListNeverFollowsARedirect(t *testing.T) {
	elsewhere := &count{Handler: paper(func(int, int) string { return sheet("1", "np_1") })}
	other := httptest.NewServer(elsewhere)
	defer other.Close()
	for _, status := range []int{301, 302, 303, 307, 308} {
		t.Run(strconv.Itoa(status), func(t *testing.T) {
			oms := &count{Handler: http.RedirectHandler(other.URL+"/api/v2", status)}
			server := httptest.NewServer(oms)
			defer server.Close()
			hc := server.Client()
			hc.Transport = authenticated(hc.Transport)
			c, err := omsclient.New(server.URL, hc, omsclient.Options{})
			if err != nil {
				t.Fatal(err)
			}

			_, _, err = list(t.Context(), c)

			e := failure(t, err)
			checkEqual(t, "Reason", e.Reason, omsclient.HTTPStatus)
			checkEqual(t, "StatusCode", e.StatusCode, status)
			checkEqual(t, "requests here", oms.get(), 1)
			checkEqual(t, "requests elsewhere", elsewhere.get(), 0)
			if strings.Contains(err.Error(), other.URL) {
				t.Errorf("error %q quotes the location", err)
			}
		})
	}
}

func TestListTellsWhyThereIsNoConnection(t *testing.T) {
	oms := paper(func(int, int) string { return sheet("1", "np_1") })
	quiet := log.New(io.Discard, "", 0)
	plain := httptest.NewServer(oms)
	defer plain.Close()
	secure := httptest.NewUnstartedServer(oms)
	secure.Config.ErrorLog = quiet
	secure.StartTLS()
	defer secure.Close()
	modern := httptest.NewUnstartedServer(oms)
	modern.Config.ErrorLog = quiet
	modern.TLS = &tls.Config{MinVersion: tls.VersionTLS13}
	modern.StartTLS()
	defer modern.Close()
	closed := httptest.NewServer(oms)
	closed.Close()
	trusting := &tls.Config{InsecureSkipVerify: true}
	for _, tt := range []struct {
		name      string
		console   string
		transport *http.Transport
		want      omsclient.Reason
		cause     func(error) bool
	}{
		{"nobody listens", closed.URL, &http.Transport{}, omsclient.Connect, is(syscall.ECONNREFUSED)},
		{
			"the name does not resolve", "https://oms.example", &http.Transport{
				DialContext: func(context.Context, string, string) (net.Conn, error) {
					return nil, &net.OpError{Op: "dial", Err: &net.DNSError{
						Err: "no such host", Name: "oms.example", IsNotFound: true,
					}}
				},
			}, omsclient.DNS, as[*net.DNSError](),
		},
		{
			"the certificate's authority is unknown", secure.URL, &http.Transport{}, omsclient.TLS,
			as[x509.UnknownAuthorityError](),
		},
		{
			"the certificate is for another host", secure.URL, &http.Transport{
				TLSClientConfig: &tls.Config{RootCAs: roots(secure), ServerName: "other.invalid"},
			}, omsclient.TLS, as[x509.HostnameError](),
		},
		{
			"the certificate has expired", secure.URL, &http.Transport{
				TLSClientConfig: &tls.Config{RootCAs: roots(secure), Time: func() time.Time {
					return secure.Certificate().NotAfter.Add(time.Hour)
				}},
			}, omsclient.TLS, as[x509.CertificateInvalidError](),
		},
		{
			"the server does not speak TLS", "https" + strings.TrimPrefix(plain.URL, "http"),
			&http.Transport{TLSClientConfig: trusting}, omsclient.TLS, nil,
		},
		{
			"the server wants another version of TLS", modern.URL, &http.Transport{
				TLSClientConfig: &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12},
			}, omsclient.TLS, as[*net.OpError](),
		},
		{
			"the server speaks TLS only", "http" + strings.TrimPrefix(secure.URL, "https"),
			&http.Transport{}, omsclient.HTTPStatus, nil,
		},
		{
			"all is well", secure.URL, &http.Transport{
				TLSClientConfig: &tls.Config{RootCAs: roots(secure)},
			}, "", nil,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			defer tt.transport.CloseIdleConnections()
			c, err := omsclient.New(tt.console, &http.Client{Transport: tt.transport},
				omsclient.Options{MaxTries: 1})
			if err != nil {
				t.Fatal(err)
			}

			_, _, err = list(t.Context(), c)

			if got := omsclient.ReasonOf(err); got != tt.want {
				t.Errorf("reason %q of error %v, want %q", got, err, tt.want)
			}
			if tt.cause != nil && !tt.cause(err) {
				t.Errorf("error %v does not wrap its cause", err)
			}
		})
	}
}

func is(target error) func(error) bool {
	return func(err error) bool { return errors.Is(err, target) }
}

func as[T error]() func(error) bool {
	return func(err error) bool {
		var target T
		return errors.As(err, &target)
	}
}

func roots(server *httptest.Server) *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(server.Certificate())
	return pool
}

func TestListGivesUpPagesLongerThanTheLimit(t *testing.T) {
	page := sheet("1", "np_1")
	for _, tt := range []struct {
		limit int
		want  string
	}{
		{len(page), ""},
		{len(page) - 1, fmt.Sprintf("list projects: page 1: the page is longer than the limit of"+
			" %d bytes", len(page)-1)},
		{1, "list projects: page 1: the page is longer than the limit of 1 bytes"},
	} {
		t.Run(strconv.Itoa(tt.limit), func(t *testing.T) {
			c := newClientOver(t, answers(answer{body: page}),
				omsclient.Options{MaxPageBytes: int64(tt.limit)})

			_, report, err := list(t.Context(), c)
			if tt.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			checkEqual(t, "Reason", failure(t, err).Reason, omsclient.Decode)
			checkEqual(t, "text", err.Error(), tt.want)
			checkEqual(t, "attempts", len(report.Requests), 1)
		})
	}
}

func TestAPageIsLimitedAfterItWasInflated(t *testing.T) {
	oms, err := omssim.New(omssim.Options{Tasks: 20, BlobBytes: 100_000, Gzip: true})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(oms)
	defer server.Close()
	c, err := omsclient.New(server.URL, server.Client(), omsclient.Options{MaxPageBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}

	_, _, err = list(t.Context(), c)

	checkEqual(t, "Reason", failure(t, err).Reason, omsclient.Decode)
}

func TestReportTellsEachRequest(t *testing.T) {
	body := `{"success":true,"requestId":"r-1","totalCount":2,"data":[{"id":"np_1"},null]}`
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Date", time.Now().Add(time.Hour).UTC().Format(http.TimeFormat))
		fmt.Fprint(w, body)
	}))
	defer server.Close()
	c, err := omsclient.New(server.URL, server.Client(), omsclient.Options{})
	if err != nil {
		t.Fatal(err)
	}

	_, report, err := list(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}

	r := report.Requests[0]
	if r.Start.IsZero() || r.Duration <= 0 {
		t.Errorf("Start %v, Duration %v", r.Start, r.Duration)
	}
	if skew := r.ClockSkew.Value - time.Hour; skew.Abs() > time.Minute || !r.ClockSkew.Known {
		t.Errorf("ClockSkew %v", r.ClockSkew)
	}
	r.Start, r.Duration, r.ClockSkew = time.Time{}, 0, omsclient.Optional[time.Duration]{}
	checkEqual(t, "request", r, omsclient.Request{
		Page: 1, Attempt: 1, StatusCode: 200, Rows: 2, Bytes: int64(len(body)),
		WireBytes: int64(len(body)), RequestID: "r-1",
		CertExpiry: server.Certificate().NotAfter,
	})
}

func TestClockSkewIsExactOnEqualClocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for date, want := range map[string]omsclient.Optional[time.Duration]{
			"":                                       {},
			"yesterday":                              {},
			time.Now().UTC().Format(http.TimeFormat): omsclient.Some(time.Duration(0)),
			time.Now().Add(-90 * time.Second).UTC().Format(http.TimeFormat): omsclient.Some(
				-90 * time.Second),
		} {
			dated := answer{header: http.Header{"Date": {date}}, body: good.body}
			c := newClientOver(t, roundTrip(func(*http.Request) (*http.Response, error) {
				<-time.After(time.Until(time.Now().Truncate(time.Second).Add(999 * time.Millisecond)))
				return dated.response(), nil
			}), omsclient.Options{})

			_, report, err := list(t.Context(), c)
			if err != nil {
				t.Fatal(err)
			}
			checkEqual(t, "ClockSkew of "+date, report.Requests[0].ClockSkew, want)
		}
	})
}

func TestReasonOfKnowsErrorsOfAnyDepth(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want omsclient.Reason
	}{
		{nil, ""},
		{&omsclient.Error{Reason: omsclient.API}, omsclient.API},
		{fmt.Errorf("scrape: %w", &omsclient.Error{Reason: omsclient.Decode}), omsclient.Decode},
		{context.DeadlineExceeded, omsclient.Timeout},
		{fmt.Errorf("scrape: %w", context.Canceled), omsclient.Canceled},
		{errors.New("something else"), omsclient.Connect},
	} {
		checkEqual(t, fmt.Sprint(tt.err), omsclient.ReasonOf(tt.err), tt.want)
	}
}

func TestAPageOfMoreThanAnOMSCanHaveIsRefused(t *testing.T) {
	for name, data := range map[string]string{
		"elements":       `[` + strings.Repeat("null,", 100_000) + `null]`,
		"a long text":    `[{"id": "a", "new": "` + strings.Repeat("x", 9<<20) + `"}]`,
		"spaces":         `[` + strings.Repeat(" ", 9<<20) + `]`,
		"digits":         `[{"id": "a", "new": ` + strings.Repeat("7", 9<<20) + `}]`,
		"a long name":    `[{"` + strings.Repeat("x", 9<<20) + `": 1}]`,
		"a long element": `["` + strings.Repeat("x", 9<<20) + `"]`,
	} {
		c := newClient(t, paper(func(int, int) string {
			return `{"success": true, "totalCount": 1, "data": ` + data + `}`
		}), omsclient.Options{})

		_, _, err := listIDs(t.Context(), c)

		if omsclient.ReasonOf(err) != omsclient.Decode || !strings.Contains(err.Error(), "the answer has ") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
