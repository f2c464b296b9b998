package omsclient_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"oms_exporter/omsclient"
)

func zipped(t *testing.T, text string) string {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func coded(coding, body string) answer {
	return answer{header: http.Header{"Content-Encoding": {coding}}, body: body}
}

func TestAnAnswerMayBeCompressedWithGzip(t *testing.T) {
	page := sheet("1", "np_1") + strings.Repeat(" ", 10_000)
	zip := zipped(t, page)
	for _, tt := range []struct {
		name   string
		answer answer
		wire   int
	}{
		{"gzip", coded("gzip", zip), len(zip)},
		{"gzip and padding", coded("gzip", zip+"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"), len(zip) + 10},
		{"gzip in two members", coded("gzip", zipped(t, page[:12])+zipped(t, page[12:])), len(zipped(t, page[:12])) + len(zipped(t, page[12:]))},
		{"its old name", coded("x-gzip", zip), len(zip)},
		{"gzip that the header does not mention", answer{body: zip}, len(zip)},
		{"no gzip, though the header says so", coded("gzip", page), len(page)},
		{"no coding, and a header for that", coded("identity", page), len(page)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, report, err := listIDs(t.Context(), newClientOver(t, answers(tt.answer), omsclient.Options{}))
			if err != nil {
				t.Fatal(err)
			}
			checkEqual(t, "ids", got, []string{"np_1"})
			checkEqual(t, "Bytes", report.Bytes(), int64(len(page)))
			checkEqual(t, "BytesOnWire", report.BytesOnWire(), int64(tt.wire))
		})
	}
}

// TestAnAnswerThatRepeatsSecretsIsNotQuoted has a server that sends back what it was
// sent.
func TestAnAnswerThatRepeatsSecretsIsNotQuoted(t *testing.T) {
	const password = "S3cr3t-canary"
	for _, status := range []int{http.StatusOK, http.StatusBadRequest} {
		for name, echo := range map[string]func(*http.Request) string{
			"the header":     func(r *http.Request) string { return "Authorization: " + r.Header.Get("Authorization") },
			"the password":   func(r *http.Request) string { _, p, _ := r.BasicAuth(); return "not " + p },
			"another header": func(r *http.Request) string { return r.Header.Get("X-Token") },
			"in capitals":    func(r *http.Request) string { _, p, _ := r.BasicAuth(); return strings.ToUpper(p) },
			"as base64": func(r *http.Request) string {
				_, p, _ := r.BasicAuth()
				return base64.StdEncoding.EncodeToString([]byte(p))
			},
		} {
			t.Run(fmt.Sprintf("%s, %d", name, status), func(t *testing.T) {
				server, transport := newServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					w.Header().Set("Content-Type", "application/json")
					w.WriteHeader(status)
					said := echo(r)
					fmt.Fprintf(w, `{"success":false,"code":%q,"message":%q,"requestId":%q,"errorDetail":{"code":%q}}`,
						said, said, said, said)
				}), false)
				c := newClientTo(t, server.URL, roundTrip(func(r *http.Request) (*http.Response, error) {
					r = r.Clone(r.Context())
					r.SetBasicAuth("viewer", password)
					r.Header.Set("X-Token", "canary-in-a-header")
					return transport.RoundTrip(r)
				}), omsclient.Options{})

				_, report, err := list(t.Context(), c)

				e := failure(t, err)
				all := fmt.Sprint(err, e.Message, report.Requests[0].RequestID)
				for _, secret := range []string{
					"canary", "CANARY", encodedPrefix("viewer:" + password), encodedPrefix(password),
				} {
					if strings.Contains(all, secret) {
						t.Errorf("it quotes a secret: %s", all)
					}
				}
				checkEqual(t, "code", e.Code, "(withheld)")
			})
		}
	}
}

func encodedPrefix(text string) string {
	return base64.StdEncoding.EncodeToString([]byte(text))[:12]
}

// TestNoTermOfAnAnswerRepeatsASecret has what logs and errors quote besides codes: headers,
// and values that are not documented. Names of tasks are data, and stay.
func TestNoTermOfAnAnswerRepeatsASecret(t *testing.T) {
	const password = "S3cr3t-Canary"
	var said answer
	c := newClientOver(t, roundTrip(func(r *http.Request) (*http.Response, error) {
		r = r.Clone(r.Context())
		r.SetBasicAuth("viewer", password)
		response := said.response()
		response.Request = r
		return response, nil
	}), omsclient.Options{})
	for name, tt := range map[string]struct {
		header     http.Header
		body, want string
	}{
		"Content-Type": {
			http.Header{"Content-Type": {password}}, "<", `the answer is not JSON but "(withheld)": is this the URL of OMS?`,
		},
		"Content-Encoding": {
			http.Header{"Content-Encoding": {"x, " + password}}, "\x00", `the answer is compressed with "(withheld)", which was not asked for`,
		},
	} {
		said = answer{header: tt.header, body: tt.body}
		_, _, err := list(t.Context(), c)
		checkEqual(t, name, fmt.Sprint(err), "list projects: page 1: "+tt.want)
	}

	p := `"` + password + `"`
	said = answer{body: `{"success":true,"totalCount":1,"data":[{"id":"np_1","name":` + p + `,"type":` + p + `,"status":` + p +
		`,"importance":` + p + `,"steps":[{"name":` + p + `,"status":` + p + `}],"extraInfo":{"errorCode":` + p + `}}]}`}
	got, _, err := list(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	const withheld = "(withheld)"
	checkEqual(t, "task", got, []omsclient.Project{{
		ID: "np_1", Name: password, Type: withheld, Status: withheld, Importance: withheld,
		Steps:     []omsclient.Step{{Name: withheld, Status: withheld}},
		ExtraInfo: omsclient.ExtraInfo{Failure: omsclient.Failure{ErrorCode: withheld}},
	}})
}

func TestAByteOrderMarkIsSkipped(t *testing.T) {
	page := "\uFEFF" + sheet("1", "np_1")
	for _, body := range []string{page, zipped(t, page)} {
		got, _, err := listIDs(t.Context(), newClientOver(t, answers(answer{body: body}), omsclient.Options{}))
		if err != nil {
			t.Fatal(err)
		}
		checkEqual(t, "ids", got, []string{"np_1"})
	}
}

func TestContentThatCannotBeReadIsNamed(t *testing.T) {
	zip := zipped(t, sheet("1", "np_1"))
	const long = "x-very-long-coding-name-x-very-long-coding-name-x-very-long-coding-name"
	for _, tt := range []struct {
		name   string
		answer answer
		want   string
	}{
		{"deflate", coded("deflate", "x\x9c\xab\xae\x05\x00"), `the answer is compressed with "deflate", which was not asked for`},
		{"brotli", coded("br", "\x0b\x02"), `the answer is compressed with "br", which was not asked for`},
		{"two codings", coded("gzip, br", "\x0b\x02"), `the answer is compressed with "gzip, br", which was not asked for`},
		{"a long name", coded(long, "\x00"), `the answer is compressed with "` + long[:64] + `…", which was not asked for`},
		{"a wrong checksum", coded("gzip", zip[:len(zip)-8]+"12345678"), "the answer is not valid gzip"},
		{"damage", coded("gzip", zip[:12]+"\xff\xff\xff"+zip[15:]), "the answer is not valid gzip"},
		{"something after it", coded("gzip", zip+"<html></html>"), "the answer is not valid gzip"},
		{"a header that is none", coded("gzip", "\x1f\x8b<html></html>"), "the answer is not valid gzip"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, report, err := list(t.Context(), newClientOver(t, answers(tt.answer), omsclient.Options{}))

			e := failure(t, err)
			checkEqual(t, "reason", e.Reason, omsclient.Decode)
			checkEqual(t, "error", e.Error(), "list projects: page 1: "+tt.want)
			checkEqual(t, "attempts", len(report.Requests), 1)
		})
	}
}

// TestAnAnswerThatIsCutIsAskedForAgain has one that stays cut: by the connection, or by
// whoever sent it, who then says that it is complete.
func TestAnAnswerThatIsCutIsAskedForAgain(t *testing.T) {
	page := sheet("1", "np_1")
	zip := zipped(t, page)
	const (
		header = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
		early  = "the JSON document ends too early"
		broken = "unexpected EOF"
	)
	sized := func(header, body string) string {
		return fmt.Sprintf("%sContent-Length: %d\r\n\r\n%s", header, len(body), body)
	}
	for name, tt := range map[string]struct {
		cut    string
		reason omsclient.Reason
		want   string
	}{
		"HTTP/1.0":           {"HTTP/1.0 200 OK\r\n\r\n" + page[:20], "decode", early},
		"HTTP/1.1":           {header + "\r\n" + page[:20], "decode", early},
		"before the body":    {header + "\r\n", "decode", early},
		"in gzip":            {header + "Content-Encoding: gzip\r\n\r\n" + zip[:30], "decode", early},
		"as a whole":         {sized(header, page[:20]), "decode", early},
		"as a whole, gzip":   {sized(header, zip[:30]), "decode", early},
		"as whole chunks":    {header + "Transfer-Encoding: chunked\r\n\r\n2\r\n{\"\r\n0\r\n\r\n", "decode", early},
		"empty":              {sized(header, ""), "decode", early},
		"empty HTML":         {sized("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n", ""), "decode", `the answer is not JSON but "text/html": is this the URL of OMS?`},
		"with a length":      {header + "Content-Length: 999\r\n\r\n" + page[:20], "connect", broken},
		"gzip with a length": {header + "Content-Length: 999\r\n\r\n" + zip[:30], "connect", broken},
		"chunked":            {header + "Transfer-Encoding: chunked\r\n\r\n9\r\n" + page[:9], "connect", broken},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			transport := &http.Transport{}
			defer transport.CloseIdleConnections()
			whole := sized(header, page)

			once := newClientTo(t, raw(t, closesAtOnce, tt.cut, whole), transport, omsclient.Options{})
			got, report, err := listIDs(t.Context(), once)
			if err != nil {
				t.Fatal(err)
			}
			checkEqual(t, "ids", got, []string{"np_1"})
			checkEqual(t, "attempts", len(report.Requests), 2)

			always := newClientTo(t, raw(t, closesAtOnce, tt.cut), transport, omsclient.Options{MaxTries: 2})
			_, report, err = list(t.Context(), always)
			checkEqual(t, "attempts", len(report.Requests), 2)
			checkEqual(t, "reason", omsclient.ReasonOf(err), tt.reason)
			checkEqual(t, "error", fmt.Sprint(err), "list projects: page 1: "+tt.want)
		})
	}
}

// A source repeats a text for ever and never blocks.
type source struct {
	text string
	next int
}

func (s *source) Read(b []byte) (int, error) {
	for n := range b {
		b[n] = s.text[s.next]
		s.next = (s.next + 1) % len(s.text)
	}
	return len(b), nil
}

func TestAnEndlessBodyEndsWithTheBudget(t *testing.T) {
	var bomb bytes.Buffer // as a JSON list it inflates a thousand times
	w := gzip.NewWriter(&bomb)
	_, _ = io.WriteString(w, strings.Repeat(`[],`, 1<<20))
	_ = w.Close()
	for name, body := range map[string]io.Reader{
		"a list":  io.MultiReader(strings.NewReader(`{"x":[`), &source{text: `[],`}),
		"of gzip": io.MultiReader(strings.NewReader(zipped(t, `{"x":[`)), &source{text: bomb.String()}),
		"of gzip with nothing in it": io.MultiReader(
			strings.NewReader(zipped(t, `{"x":[`)), &source{text: zipped(t, "")}),
	} {
		t.Run(name, func(t *testing.T) {
			c := newClientOver(t, roundTrip(func(*http.Request) (*http.Response, error) {
				return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(body), Header: http.Header{}}, nil
			}), omsclient.Options{MaxPageBytes: 1 << 50})
			ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
			defer cancel()
			start := time.Now()

			_, _, err := list(ctx, c)

			checkEqual(t, "reason", omsclient.ReasonOf(err), omsclient.Timeout)
			if took := time.Since(start); took > 2*time.Second {
				t.Errorf("took %v", took)
			}
		})
	}
}

func TestTheLimitOfAPageIsOfWhatIsInflated(t *testing.T) {
	page := `{"success":true,"data":[],"x":[""` + strings.Repeat(`,""`, 1<<20) + `]}`
	c := newClientOver(t, answers(coded("gzip", zipped(t, page))), omsclient.Options{MaxPageBytes: 1 << 20})

	_, report, err := list(t.Context(), c)

	checkEqual(t, "error", failure(t, err).Error(),
		"list projects: page 1: the page is longer than the limit of 1048576 bytes")
	if n := report.BytesOnWire(); n == 0 || n > 10_000 {
		t.Errorf("%d bytes on the wire", n)
	}
}

func TestTimesWithoutAZoneAreInTheLocation(t *testing.T) {
	const document = `{"success":true,"data":[{"id":"a",
		"gmtCreate":"2025-01-02T03:04:05","gmtModified":"2025-01-02 03:04:05.5","gmtStart":"2025-01-02T03:04:05Z",
		"gmtFinish":"2025-01-02T03:04:05+02:00","extraInfo":{"failedTime":"2025-01-02T03:04:05"},
		"steps":[{"startTime":"2025-01-02T03:04:05"}]}]}`
	c := newClientOver(t, answers(answer{body: document}),
		omsclient.Options{Location: time.FixedZone("CST", 8*3600)})

	projects, report, err := list(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	p := projects[0]
	checkEqual(t, "gmtCreate", p.GmtCreate, utc(t, "2025-01-01T19:04:05"))
	checkEqual(t, "gmtModified", p.GmtModified, utc(t, "2025-01-01T19:04:05.5"))
	checkEqual(t, "gmtStart", p.GmtStart, utc(t, "2025-01-02T03:04:05"))
	checkEqual(t, "gmtFinish", p.GmtFinish, utc(t, "2025-01-02T01:04:05"))
	checkEqual(t, "failedTime", p.ExtraInfo.FailedTime, utc(t, "2025-01-02T03:04:05"))
	checkEqual(t, "startTime", p.Steps[0].StartTime, utc(t, "2025-01-02T03:04:05"))
	checkEqual(t, "Dropped", report.Dropped, map[string]int{})
}

// TestAFailureOfThePageAfterTheLastIsTheEnd has OMS count the tasks, and fail in
// whatever way, or the pages, and say in some way that there is no such page.
func TestAFailureOfThePageAfterTheLastIsTheEnd(t *testing.T) {
	html := http.Header{"Content-Type": {"text/html"}}
	for _, tt := range []struct {
		name    string
		refusal answer
		refuses bool // the page, and not who asks or when
		reason  omsclient.Reason
	}{
		{"success:false", answer{body: `{"success":false,"code":"PARAM_ERROR"}`}, true, omsclient.API},
		{"{}", answer{body: `{}`}, true, omsclient.Decode},
		{"[]", answer{body: `[]`}, true, omsclient.Decode},
		{"null", answer{body: `null`}, true, omsclient.Decode},
		{"204", answer{status: 204}, true, omsclient.HTTPStatus},
		{"400", answer{status: 400}, true, omsclient.HTTPStatus},
		{"404", answer{status: 404, header: html}, true, omsclient.HTTPStatus},
		{"410", answer{status: 410}, true, omsclient.HTTPStatus},
		{"416", answer{status: 416}, true, omsclient.HTTPStatus},
		{"422", answer{status: 422}, true, omsclient.HTTPStatus},
		{"500", answer{status: 500}, true, omsclient.HTTPStatus},
		{"501", answer{status: 501}, true, omsclient.HTTPStatus},
		{"401", answer{status: 401}, false, omsclient.Auth},
		{"403", answer{status: 403}, false, omsclient.Auth},
		{"302", answer{status: 302}, false, omsclient.HTTPStatus},
		{"408", answer{status: 408}, false, omsclient.HTTPStatus},
		{"429", answer{status: 429}, false, omsclient.HTTPStatus},
		{"502", answer{status: 502}, false, omsclient.HTTPStatus},
		{"503", answer{status: 503}, false, omsclient.HTTPStatus},
		{"504", answer{status: 504}, false, omsclient.HTTPStatus},
		{"a cut connection", answer{err: io.ErrUnexpectedEOF}, false, omsclient.Connect},
		{"a timeout", answer{err: slowness{}}, false, omsclient.Timeout},
		{"half a document", answer{body: `{"success":true`}, false, omsclient.Decode},
		{"a login page", answer{header: html, body: `<html>`}, false, omsclient.Decode},
		{"no body", answer{body: " "}, false, omsclient.Decode},
		{"405", answer{status: 405}, false, omsclient.HTTPStatus},
	} {
		for _, fleet := range []struct{ n, served int }{
			{150, 150}, {300, 150}, {450, 150}, {100, 50},
		} {
			counts := map[int]bool{fleet.n: true, fleet.n + 1: false} // of tasks, and whether all are listed
			if fleet.served == omsclient.MaxPageSize {
				pages := fleet.n / fleet.served
				counts[pages], counts[pages+1] = true, false
			}
			for total, all := range counts {
				t.Run(fmt.Sprintf("%s, %d tasks by %d, totalCount %d", tt.name, fleet.n, fleet.served, total),
					func(t *testing.T) {
						synctest.Test(t, func(t *testing.T) {
							end := all && (tt.refuses || total == fleet.n)
							checkEnd(t, fleet.n, fleet.served, total, tt.refusal, end, tt.reason)
						})
					})
			}
		}
	}
}

// TestWithoutACountARefusalIsTheEndAfterAPageThatWasNotFull, and only then: neither the
// refusal nor the page alone says that there are no more tasks.
func TestWithoutACountARefusalIsTheEndAfterAPageThatWasNotFull(t *testing.T) {
	for _, tt := range []struct {
		tasks, status int
		reason        omsclient.Reason
	}{
		{100, 400, ""},
		{200, 400, ""},
		{200, 500, ""},
		{150, 400, omsclient.HTTPStatus},
		{300, 404, omsclient.HTTPStatus},
		{200, 502, omsclient.HTTPStatus},
		{200, 403, omsclient.Auth},
	} {
		t.Run(fmt.Sprintf("%d tasks, then %d", tt.tasks, tt.status), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newClientOver(t, roundTrip(func(r *http.Request) (*http.Response, error) {
					refused := false
					response, err := direct{paper(func(page, size int) string {
						ids := cut(tasks(tt.tasks), page, size)
						refused = len(ids) == 0
						return sheet("", ids...)
					})}.RoundTrip(r)
					if refused {
						return answer{status: tt.status}.response(), nil
					}
					return response, err
				}), omsclient.Options{})

				got, _, err := listIDs(t.Context(), c)

				checkEqual(t, "reason", omsclient.ReasonOf(err), tt.reason)
				checkEqual(t, "ids", got, tasks(tt.tasks))
			})
		})
	}
}

// TestAPageAfterTheLastThatHasTasksIsNoEnd though it fails.
func TestAPageAfterTheLastThatHasTasksIsNoEnd(t *testing.T) {
	whole := sheet("150", "np_more")
	for name, body := range map[string]string{
		"cut off":  whole[:len(whole)-1],
		"too many": sheet("150", tasks(151)...),
	} {
		t.Run(name, func(t *testing.T) {
			c := newClient(t, paper(func(page, size int) string {
				if page == 2 {
					return body
				}
				return sheet("150", cut(tasks(150), page, size)...)
			}), omsclient.Options{MaxProjects: 150})

			if _, _, err := listIDs(t.Context(), c); err == nil {
				t.Error("the listing is said to be complete")
			}
		})
	}
}

// TestAPageAfterTheLastThatHangsTakesAShortTime that is long enough for a page.
func TestAPageAfterTheLastThatHangsTakesAShortTime(t *testing.T) {
	for took, want := range map[time.Duration]time.Duration{
		0: time.Second, 2 * time.Second: 4 * time.Second, 4 * time.Second: 3 * time.Second,
	} {
		synctest.Test(t, func(t *testing.T) {
			transport, url := serveOverPipes(t, paper(func(page, size int) string {
				if page == 2 {
					<-time.After(20 * time.Second)
				}
				<-time.After(took)
				return sheet("150", cut(tasks(150), page, size)...)
			}))
			c := newClientTo(t, url, transport, omsclient.Options{})
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			start := time.Now()

			got, _, err := listIDs(ctx, c)

			checkEqual(t, "error", err, nil)
			checkEqual(t, "tasks", len(got), 150)
			checkEqual(t, "took", time.Since(start), took+want)
			<-time.After(time.Minute) // the server notices
		})
	}
}

func checkEnd(
	t *testing.T, n, served, total int, refusal answer, end bool, reason omsclient.Reason,
) {
	t.Helper()
	pages := n / served
	c := newClientOver(t, roundTrip(func(r *http.Request) (*http.Response, error) {
		response, err := direct{paper(func(page, size int) string {
			if page > pages {
				return ""
			}
			return sheet(fmt.Sprint(total), cut(tasks(n), page, min(size, served))...)
		})}.RoundTrip(r)
		if err == nil && response.ContentLength != 0 {
			if body, _ := io.ReadAll(response.Body); len(body) > 0 {
				return answer{body: string(body)}.response(), nil
			}
		}
		if refusal.err != nil {
			return nil, refusal.err
		}
		return refusal.response(), nil
	}), omsclient.Options{Concurrency: 1})

	got, report, err := listIDs(t.Context(), c)

	checkEqual(t, "ids", got, tasks(n))
	last := report.Requests[len(report.Requests)-1]
	if end {
		if err != nil {
			t.Fatal(err)
		}
		if total == n {
			checkEqual(t, "requests", len(report.Requests), pages+1)
		}
		checkEqual(t, "reason of the last request", omsclient.ReasonOf(last.Err), reason)
		checkEqual(t, "Inconsistent", report.Inconsistent, false)
		return
	}
	checkEqual(t, "reason", omsclient.ReasonOf(err), reason)
	checkEqual(t, "page", failure(t, err).Page, pages+1)
}
