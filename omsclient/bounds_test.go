package omsclient_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"math"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"runtime"
	"runtime/metrics"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"oms_exporter/omsclient"
)

// A repetition is a text of the given length, after a beginning.
type repetition struct {
	beginning string
	unit      func(i int) string
	size      int64 // of all
}

func (r repetition) WriteTo(w io.Writer) (int64, error) {
	written, err := io.WriteString(w, r.beginning)
	n := int64(written)
	var piece bytes.Buffer
	for i := 0; err == nil && n < r.size; {
		piece.Reset()
		for piece.Len() < 256<<10 {
			piece.WriteString(r.unit(i))
			i++
		}
		written, err = w.Write(piece.Bytes())
		n += int64(written)
	}
	return n, err
}

func always[T any](value T) func(int) T { return func(int) T { return value } }

// hostile are answers that try to make the client work or remember. None of them is
// as long as MaxPageBytes.
func hostile(size int64) map[string]repetition {
	long := strings.Repeat("x", 1000)
	manySteps := `"steps":[{` + strings.Repeat(`"name":"`+long+`"},{`, 63) + `}]`
	return map[string]repetition{
		"many projects":      {`{"success":true,"data":[{"id":"a"}`, func(i int) string { return fmt.Sprintf(`,{"id":"%d"}`, i) }, size},
		"many elements":      {`{"success":true,"data":[1`, always(`,1`), size},
		"large projects":     {`{"success":true,"data":[{"id":"a"}`, func(i int) string { return fmt.Sprintf(`,{"id":"%d",%s}`, i, manySteps) }, size},
		"one project":        {`{"success":true,"data":[{"id":"a"`, func(i int) string { return fmt.Sprintf(`,"steps":[{"name":"%d"}]`, i) }, size},
		"data, empty":        {`{"success":true`, always(`,"data":[]`), size},
		"data, not empty":    {`{"success":true`, always(`,"data":[{"id":"7"}]`), size},
		"data, full":         {`{"success":true`, always(`,"data":[{"id":"7"` + strings.Repeat(`},{"id":"7"`, 149) + `}]`), size},
		"steps, empty":       {`{"data":[{"id":"a"`, always(`,"steps":[]`), size},
		"steps":              {`{"data":[{"id":"a"`, always(`,"steps":[{}]`), size},
		"labels":             {`{"data":[{"id":"a"`, always(`,"labels":[{}]`), size},
		"rules":              {`{"data":[{"id":"a","alarmStats":{"alarming":true`, func(i int) string { return fmt.Sprintf(`,"ruleToRecentlyTriggerCount":{"%d":1}`, i) }, size},
		"rules of a task":    {`{"data":[{"id":"a","alarmStats":{"ruleToRecentlyTriggerCount":{"a":1`, func(i int) string { return fmt.Sprintf(`,"%d":1`, i) }, size},
		"names":              {`{"data":[{"id":"a"`, always(`,"name":"` + long + `"`), size},
		"codes":              {`{"a":1`, always(`,"code":"` + long + `","message":"` + long + `","requestId":"` + long + `"`), size},
		"unknown names":      {`{"a":1`, func(i int) string { return fmt.Sprintf(`,"%d":1`, i) }, size},
		"unknown long names": {`{"a":1`, always(`,"` + strings.Repeat("x", 3<<20) + `":1`), size},
		"long texts":         {`{"data":[{"id":"a"`, always(`,"name":"` + strings.Repeat("x", 3<<20) + `"`), size},
		"long booleans":      {`{"a":1`, always(`,"success":"` + strings.Repeat("X", 3<<20) + `"`), size},
		"long numbers":       {`{"a":1`, always(`,"totalCount":` + strings.Repeat("7", 3<<20)), size},
		"long times":         {`{"data":[{"id":"a"`, always(`,"gmtCreate":"` + strings.Repeat("7", 3<<20) + `"`), size},
		"escapes":            {`{"data":[{"id":"a"`, always(`,"name":"` + strings.Repeat(`\u0041`, 500<<10) + `"`), size},
		"dropped":            {`{"data":[{"id":"a"`, always(`,"name":{"x":[{}]},"gmtCreate":[],"steps":1,"labels":[1,"a"]`), size},
		"arrays":             {`{"x":[1`, always(`,[[[[]]]]`), size},
		"white space":        {`{"x":`, always(" "), size},
		"nothing but digits": {`{"x":1`, always("7"), size},
		"half a text":        {`{"x":"`, always("x"), size},
	}
}

// peak returns the most live memory during do, above what was live before.
func peak(do func()) int64 {
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/memory/classes/heap/objects:bytes"}}
	runtime.GC()
	metrics.Read(live)
	before := live[1].Value.Uint64()
	var most atomic.Uint64
	ctx, cancel := context.WithCancel(context.Background())
	var watching sync.WaitGroup
	watching.Go(func() {
		for ctx.Err() == nil {
			runtime.GC()
			metrics.Read(live)
			most.Store(max(most.Load(), live[0].Value.Uint64()))
			select {
			case <-ctx.Done():
			case <-time.After(20 * time.Millisecond):
			}
		}
	})
	do()
	cancel()
	watching.Wait()
	return int64(most.Load()) - int64(before)
}

// OMS_TEST_BYTES is how long the answers are, in bytes. With a few megabytes, what
// has no bound shows already; the client's own limit of a page is 512 MiB.
func TestNoAnswerTakesMuchMemoryOrMoreThanItsTime(t *testing.T) {
	size, limit, budget := int64(12<<20), int64(96<<20), 20*time.Second
	if n, err := strconv.ParseInt(os.Getenv("OMS_TEST_BYTES"), 10, 64); err == nil {
		size, limit = n, 224<<20
	}
	answers := hostile(size)
	for _, name := range slices.Sorted(maps.Keys(answers)) {
		for _, compressed := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, gzip %t", name, compressed), func(t *testing.T) {
				server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
					if !compressed {
						_, _ = answers[name].WriteTo(w)
						return
					}
					w.Header().Set("Content-Encoding", "gzip")
					zip, _ := gzip.NewWriterLevel(w, gzip.BestSpeed)
					_, _ = answers[name].WriteTo(zip)
					_ = zip.Close()
				}))
				defer server.Close()
				c := newClientTo(t, server.URL, server.Client().Transport, omsclient.Options{MaxTries: 1})
				ctx, cancel := context.WithTimeout(t.Context(), budget)
				defer cancel()
				start := time.Now()
				var (
					err    error
					report omsclient.Report
				)

				most := peak(func() {
					for _, err = range c.List(ctx, &report) {
						continue
					}
				})

				took := time.Since(start)
				t.Logf("%d MiB, %v, %d bytes read, %v", most>>20, took.Round(time.Millisecond), report.Bytes(), err)
				if err == nil {
					t.Error("no error")
				}
				if most > limit {
					t.Errorf("%d MiB were in use", most>>20)
				}
				if took > budget+time.Second {
					t.Errorf("took %v", took)
				}
				if len(report.Dropped) > 20 {
					t.Errorf("%d fields were dropped", len(report.Dropped))
				}
			})
		}
	}
}

func TestAPageHasAboutAsManyProjectsAsWereAskedFor(t *testing.T) {
	for n, want := range map[int]string{
		1000: "", 1001: "list projects: page 1: the answer has more than 1000 projects",
	} {
		c := newClientOver(t, answers(answer{body: sheet("null", tasks(n)...)}, answer{body: sheet("null")}),
			omsclient.Options{})

		got, _, err := listIDs(t.Context(), c)

		if want == "" {
			checkEqual(t, "number of projects", len(got), n)
			checkEqual(t, "reason", omsclient.ReasonOf(err), "")
			continue
		}
		checkEqual(t, "error", fmt.Sprint(err), want)
		checkEqual(t, "reason", omsclient.ReasonOf(err), omsclient.Decode)
	}
}

func TestAListingHasALimitOfProjects(t *testing.T) {
	for _, tt := range []struct {
		name     string
		n, limit int
		total    string
		want     string // error, after "list projects: "
		requests int    // at most
	}{
		{"as many as the limit", 300, 300, "300", "", 3},
		{"as many as the limit, uncounted", 300, 300, "null", "", 3},
		{"one more by the count", 301, 300, "301", "page 1: OMS counts 301 projects; the limit is 300", 1},
		{"many more by the count", 450, 300, "1000000", "page 1: OMS counts 1000000 projects; the limit is 300", 1},
		{"one more, uncounted", 301, 300, "null", "page 3: OMS lists 301 projects or more; the limit is 300", 3},
		{"a count of pages", 450, 300, "3", "page 3: OMS lists 301 projects or more; the limit is 300", 3},
		{"a page that is not full belies the count", 20, 300, "1000000", "", 6},
		{"no limit given", 150, 0, "20001", "page 1: OMS counts 20001 projects; the limit is 20000", 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			oms := &count{Handler: paper(func(page, size int) string {
				return sheet(tt.total, cut(tasks(tt.n), page, size)...)
			})}
			c := newClient(t, oms, omsclient.Options{MaxProjects: tt.limit, Concurrency: 1})

			got, _, err := listIDs(t.Context(), c)

			if n := oms.get(); n > tt.requests {
				t.Errorf("%d requests, want %d at most", n, tt.requests)
			}
			if tt.want == "" {
				checkEqual(t, "number of projects", len(got), tt.n)
				checkEqual(t, "reason", omsclient.ReasonOf(err), "")
				return
			}
			checkEqual(t, "error", fmt.Sprint(err), "list projects: "+tt.want)
			checkEqual(t, "reason", omsclient.ReasonOf(err), omsclient.Limit)
			if len(got) > max(tt.limit, 150) {
				t.Errorf("%d projects", len(got))
			}
		})
	}
}

func TestALargeFleetOfUsualProjectsFitsItsAllowance(t *testing.T) {
	usual := everything[strings.Index(everything, `[{`)+2 : len(everything)-3]
	steps := strings.Repeat(`{"order":4,"name":"FULL_VERIFIER","status":"FINISHED","progress":100,`+
		`"startTime":"2025-01-02T03:04:05","finishTime":"2025-01-02T03:04:06"},`, 11)
	usual = strings.Replace(usual, `"steps":[`, `"steps":[`+steps, 1)
	const n = 20_000
	c := newClient(t, paper(func(page, size int) string {
		first := (page - 1) * size
		var b strings.Builder
		fmt.Fprintf(&b, `{"success":true,"totalCount":%d,"data":[`, n)
		for i := first; i < min(first+size, n); i++ {
			if i > first {
				b.WriteByte(',')
			}
			fmt.Fprintf(&b, `{%s}`, strings.Replace(usual, "np_9", fmt.Sprintf("np_%d", i), 1))
		}
		b.WriteString(`]}`)
		return b.String()
	}), omsclient.Options{})

	got, _, err := listIDs(t.Context(), c)

	checkEqual(t, "error", err, nil)
	checkEqual(t, "number of projects", len(got), n)
}

func TestAListingHasAnAllowanceOfMemory(t *testing.T) {
	long := strings.Repeat("x", 256)
	oms := &count{Handler: paper(func(page, _ int) string {
		var b strings.Builder
		b.WriteString(`{"success":true,"data":[`)
		for i := range 150 {
			if i > 0 {
				b.WriteByte(',')
			}
			fmt.Fprintf(&b, `{"id":"%d/%d","steps":[{"name":%q}`, page, i, long)
			b.WriteString(strings.Repeat(fmt.Sprintf(`,{"name":%q,"status":%q}`, long, long), 63) + `]}`)
		}
		return b.String() + `]}`
	})}
	c := newClient(t, oms, omsclient.Options{Concurrency: 1})
	report := new(omsclient.Report)
	var err error
	n := 0

	for _, err = range c.List(t.Context(), report) {
		n++
	}

	e := failure(t, err)
	checkEqual(t, "reason", e.Reason, omsclient.Limit)
	checkEqual(t, "text", e.Err.Error(), "the projects take too much memory: more than 156 MiB, which is 8 KiB for each of 20000")
	if n < 1000 || n > 3000 { // of 55 kB each
		t.Errorf("%d projects", n)
	}
	checkEqual(t, "attempts", len(report.Requests), oms.get())
}

func TestAFailedAttemptGivesItsMemoryBack(t *testing.T) {
	long := strings.Repeat("x", 200)
	var b strings.Builder
	b.WriteString(`{"success":true,"data":[{"id":"a"}`)
	for i := range 900 { // about 35 kB each
		fmt.Fprintf(&b, `,{"id":"%d","steps":[{"name":%q}%s]}`, i, long, strings.Repeat(fmt.Sprintf(`,{"name":%q}`, long), 63))
	}
	page := b.String()
	calls := 0
	c := newClientOver(t, roundTrip(func(*http.Request) (*http.Response, error) {
		calls++
		switch {
		case calls < 9:
			response := answer{body: page}.response()
			response.Body = io.NopCloser(io.MultiReader(strings.NewReader(page), errReader{}))
			return response, nil
		case calls == 9:
			return answer{body: page + `]}`}.response(), nil
		}
		return answer{body: sheet("null")}.response(), nil
	}), omsclient.Options{MaxTries: 9, MaxProjects: 1000}) // so, 156 MiB

	got, _, err := listIDs(t.Context(), c)

	checkEqual(t, "reason", omsclient.ReasonOf(err), "")
	checkEqual(t, "number of projects", len(got), 901)
}

type errReader struct{}

func (errReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func TestAReportOfManyRequestsKeepsTheirSums(t *testing.T) {
	const n = 20_000
	requests := 0
	c := newClientOver(t, roundTrip(func(*http.Request) (*http.Response, error) {
		requests++
		return answer{body: sheet("null", strconv.Itoa(requests))}.response(), nil
	}), omsclient.Options{PageSize: 1, Concurrency: 1, MaxProjects: 1 << 20})
	observed := 0
	report := &omsclient.Report{Observe: func(r *omsclient.Request) {
		if observed++; r.Page != observed {
			t.Errorf("page %d is observed as number %d", r.Page, observed)
		}
	}}

	var err error
	for _, err = range c.List(t.Context(), report) { //nolint:revive // only the report is of interest
	}

	checkEqual(t, "observed", observed, n)
	checkEqual(t, "reason", omsclient.ReasonOf(err), omsclient.Pagination)
	checkEqual(t, "requests told", len(report.Requests), omsclient.MaxRequests)
	checkEqual(t, "requests", report.Sent(), n)
	checkEqual(t, "rows", report.Rows(), n)
	checkEqual(t, "last page", report.Requests[omsclient.MaxRequests-1].Page, n)
	if report.Bytes() < n*20 || report.Bytes() != report.BytesOnWire() {
		t.Errorf("%d bytes, %d on the wire", report.Bytes(), report.BytesOnWire())
	}
}

const canary = "CANARY-s3cr3t"

func TestNoWordOfAServerIsInAnError(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\r\n"
	for _, tt := range []struct {
		name     string
		answer   string
		reason   omsclient.Reason
		attempts int
		want     string
	}{
		{
			"a location", "HTTP/1.1 302 Found\r\nLocation: https://u:" + canary + "@h/%zz?s=" + canary + "\r\nContent-Length: 0\r\n\r\n", "http_status", 1,
			"HTTP status 302 Found: redirects are not followed, use the final URL of the console",
		},
		{
			"a long location", "HTTP/1.1 302 Found\r\nLocation: https://h/%zz" + strings.Repeat(canary, 10_000) + "\r\nContent-Length: 0\r\n\r\n", "http_status", 1,
			"HTTP status 302 Found: redirects are not followed, use the final URL of the console",
		},
		{
			"a transfer encoding", ok + "Transfer-Encoding: " + canary + "\r\n\r\n", "http_status", 1,
			"the answer has a Transfer-Encoding that cannot be read",
		},
		{
			"two transfer encodings", ok + "Transfer-Encoding: chunked\r\nTransfer-Encoding: " + canary + "\r\n\r\n", "http_status", 1,
			"the answer has a Transfer-Encoding that cannot be read",
		},
		{
			"a length", ok + "Content-Length: " + canary + "\r\n\r\n", "http_status", 1,
			"the answer has a Content-Length that cannot be read",
		},
		{
			"two lengths", ok + "Content-Length: 3\r\nContent-Length: 4\r\nX: " + canary + "\r\n\r\n", "http_status", 1,
			"the answer has a Content-Length that cannot be read",
		},
		{
			"too many headers", ok + "X: " + strings.Repeat(canary, 20_000) + "\r\n\r\n", "http_status", 1,
			"the headers of the answer are too long",
		},
		{
			"a content type", ok + "Content-Type: text/html; x=" + canary + "\r\nContent-Length: 1\r\n\r\n<", "decode", 1,
			`the answer is not JSON but "text/html": is this the URL of OMS?`,
		},
		{
			"a long content type", ok + "Content-Type: " + strings.Repeat("y", 10_000) + "\r\nContent-Length: 1\r\n\r\n<", "decode", 1,
			`the answer is not JSON but "` + strings.Repeat("y", 64) + `…": is this the URL of OMS?`,
		},
		{"a status line", canary + "\r\n\r\n", "connect", 2, "the server does not speak HTTP"},
		{"a reason phrase", "HTTP/1.1 418 " + canary + "\r\nContent-Length: 0\r\n\r\n", "http_status", 1, "HTTP status 418 I'm a teapot"},
		{"a status", "HTTP/1.1 " + canary + " OK\r\n\r\n", "connect", 2, "the server does not speak HTTP"},
		{"a header without a colon", ok + canary + "\r\n\r\n", "connect", 2, "the server does not speak HTTP"},
		{"a chunk", ok + "Transfer-Encoding: chunked\r\n\r\n" + canary + "\r\n", "connect", 2, "the exchange with the server, or with a proxy, failed"},
		{
			"a code", ok + "Content-Length: 90\r\n\r\n" + fmt.Sprintf("%-90s", `{"success":false,"code":"A\u202eB\u0007\u009b","requestId":"\u001b[31m"}`), "api_error", 1,
			`OMS answered success:false, code "A�B��", requestId "�[31m"`,
		},
		{
			"a long code", ok + "\r\n" + `{"success":false,"code":"` + strings.Repeat("c", 200) + `","requestId":"` + strings.Repeat("r", 200) + `"}`, "api_error", 1,
			`OMS answered success:false, code "` + strings.Repeat("c", 64) + `…", requestId "` + strings.Repeat("r", 64) + `…"`,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			transport := &http.Transport{MaxResponseHeaderBytes: 150_000}
			defer transport.CloseIdleConnections()
			c := newClientTo(t, raw(t, closesAtOnce, tt.answer), transport, omsclient.Options{MaxTries: 2})

			_, report, err := list(t.Context(), c)

			checkEqual(t, "error", fmt.Sprint(err), "list projects: page 1: "+tt.want)
			checkEqual(t, "reason", omsclient.ReasonOf(err), tt.reason)
			checkEqual(t, "attempts", len(report.Requests), tt.attempts)
			checkQuiet(t, err)
		})
	}
}

// checkQuiet checks that neither an error nor what it wraps has words of a server.
func checkQuiet(t *testing.T, err error) {
	t.Helper()
	for ; err != nil; err = errors.Unwrap(err) {
		text := err.Error()
		if strings.Contains(text, canary) || utf8.RuneCountInString(text) > 500 ||
			strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
			t.Errorf("%T: %.600q", err, text)
		}
	}
}

func TestNoWordOfAProxyIsInAnError(t *testing.T) {
	for answer, want := range map[string]struct {
		reason omsclient.Reason
		text   string
	}{
		"HTTP/1.1 502 " + canary + strings.Repeat("x", 10_000): {"connect", "the exchange with the server, or with a proxy, failed"},
		"HTTP/1.1 407 Proxy Authentication Required":           {"auth", "the proxy answers 407 Proxy Authentication Required"},
		"HTTP/1.1 503 Service Unavailable":                     {"connect", "the proxy answers 503 Service Unavailable"},
		canary:                                                 {"connect", "the server does not speak HTTP"},
	} {
		proxy := raw(t, closesAtOnce, answer+"\r\n\r\n")
		transport := &http.Transport{
			Proxy: func(r *http.Request) (*url.URL, error) { return r.URL.Parse(proxy) },
		}
		c := newClientTo(t, "https://oms.example:8089", transport, omsclient.Options{MaxTries: 1})

		_, _, err := list(t.Context(), c)

		checkEqual(t, "error", fmt.Sprint(err), "list projects: page 1: "+want.text)
		checkEqual(t, "reason", omsclient.ReasonOf(err), want.reason)
		checkQuiet(t, err)
	}
}

func TestAProxyThatIsNotThereIsNamed(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := closed.Addr().String()
	_ = closed.Close()
	transport := &http.Transport{
		Proxy: func(r *http.Request) (*url.URL, error) { return r.URL.Parse("http://" + address) },
	}
	c := newClientTo(t, "https://oms.example:8089", transport, omsclient.Options{MaxTries: 1})

	_, _, err = list(t.Context(), c)

	checkEqual(t, "error", fmt.Sprint(err),
		"list projects: page 1: proxyconnect tcp: dial tcp "+address+": connect: connection refused")
}

func TestATextThatNobodyKnowsIsNotQuoted(t *testing.T) {
	for _, text := range []string{
		canary, "oauth2: cannot fetch token: 401\nResponse: " + canary,
		`http2: server sent GOAWAY and closed the connection; debug="` + canary + `"`,
		"stream error: stream ID 1; INTERNAL_ERROR; " + canary,
		"tls: failed to parse certificate from server: x509: cannot parse dnsName " + canary,
		"\u202e\x1b" + canary,
	} {
		c := newClientOver(t, answers(answer{err: errors.New(text)}), omsclient.Options{MaxTries: 1})

		_, _, err := list(t.Context(), c)

		checkQuiet(t, err)
	}
}

func TestATransportsErrorIsCut(t *testing.T) {
	own := &omsclient.Error{
		Reason: omsclient.Credentials, Err: errors.New("a\u202eb" + strings.Repeat("x", math.MaxUint16)),
	}
	c := newClientOver(t, answers(answer{err: own}), omsclient.Options{})

	_, _, err := list(t.Context(), c)

	checkEqual(t, "error", fmt.Sprint(err), "list projects: page 1: a�b"+strings.Repeat("x", 297)+"…")
}

// certified returns a certificate for the given name, issued by itself.
func certified(t *testing.T, name string, until time.Time) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: until.Add(-time.Hour), NotAfter: until, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

func TestNoNameInACertificateIsInAnError(t *testing.T) {
	valid := certified(t, canary+".example", time.Now().Add(time.Hour))
	expired := certified(t, canary+".example", time.Now().Add(-time.Hour))
	for _, tt := range []struct {
		name    string
		host    string
		sent    tls.Certificate
		trusted *x509.Certificate
		want    string
	}{
		{"another host", "oms.example", valid, valid.Leaf, "x509: certificate is not valid for oms.example"},
		{"an unknown authority", canary + ".example", valid, expired.Leaf, "x509: certificate signed by unknown authority"},
		{"expired", canary + ".example", expired, expired.Leaf, "x509: certificate has expired or is not yet valid: current time"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			server := httptest.NewUnstartedServer(http.NotFoundHandler())
			server.Config.ErrorLog = log.New(io.Discard, "", 0)
			server.TLS = &tls.Config{Certificates: []tls.Certificate{tt.sent}}
			server.StartTLS()
			defer server.Close()
			pool := x509.NewCertPool()
			pool.AddCert(tt.trusted)
			transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, ServerName: tt.host}}
			c := newClientTo(t, server.URL, transport, omsclient.Options{})

			_, _, err := list(t.Context(), c)

			checkEqual(t, "reason", omsclient.ReasonOf(err), omsclient.TLS)
			want := "list projects: page 1: tls: failed to verify certificate: " + tt.want
			if !strings.HasPrefix(err.Error(), want) || strings.Contains(err.Error(), canary) {
				t.Errorf("got %v, want %s", err, want)
			}
		})
	}
}

func TestABoundIsNamedWhateverTheAnswerSaysItIs(t *testing.T) {
	html := http.Header{"Content-Type": {"text/html"}}
	body := sheet("null", tasks(1001)...)

	_, _, err := list(t.Context(), newClientOver(t, answers(answer{header: html, body: body}), omsclient.Options{}))

	checkEqual(t, "error", fmt.Sprint(err), "list projects: page 1: the answer has more than 1000 projects")
}
