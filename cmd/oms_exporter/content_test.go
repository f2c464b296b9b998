package main

import (
	"compress/flate"
	"compress/zlib"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
)

const (
	byteOrderMark = "\xef\xbb\xbf"
	closeHead     = okHead + "Connection: close\r\n" // the end of the connection is that of the body
	well          = closeHead + "\r\n" + threeTasks
)

// coded is an answer of a content coding.
func coded(coding, body string) string {
	return closeHead + "Content-Encoding: " + coding + "\r\n\r\n" + body
}

// chunked is an answer whose end is marked, by a text in one chunk.
func chunkedAnswer(text, end string) string {
	return fmt.Sprintf("%sTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n%s", closeHead, len(text), text, end)
}

func deflated(text string, raw bool) string {
	var out strings.Builder
	var w io.WriteCloser = zlib.NewWriter(&out)
	if raw {
		w, _ = flate.NewWriter(&out, flate.DefaultCompression)
	}
	_, _ = io.WriteString(w, text)
	_ = w.Close()
	return out.String()
}

// TestContent has answers in raw bytes, the nth to the nth request.
func TestContent(t *testing.T) {
	t.Parallel()
	zip := gzipped(threeTasks)
	broken := zip[:len(zip)-8] + "\x00\x00\x00\x00" + zip[len(zip)-4:] // another checksum
	half := threeTasks[:len(threeTasks)/2]
	type row struct {
		name     string
		answers  []string
		want     string
		requests int64  // 0: more than one, -1: any
		logged   string // a regular expression
	}
	rows := []row{
		{"no coding", []string{well}, "up, 3 tasks", 1, ""},
		{"gzip", []string{coded("gzip", zip)}, "up, 3 tasks", 1, ""},
		{"GZIP", []string{coded("GZIP", zip)}, "up, 3 tasks", 1, ""},
		{"identity", []string{coded("identity", threeTasks)}, "up, 3 tasks", 1, ""},
		{"gzip in two members", []string{coded("gzip", gzipped(half)+gzipped(threeTasks[len(half):]))}, "up, 3 tasks", 1, ""},
		{"gzip in chunks", []string{strings.Replace(chunkedAnswer(zip, "0\r\n\r\n"), okHead, okHead+"Content-Encoding: gzip\r\n", 1)}, "up, 3 tasks", 1, ""},
		{"deflate", []string{coded("deflate", deflated(threeTasks, false))}, "down: decode", 1, "deflate"},
		{"deflate without header", []string{coded("deflate", deflated(threeTasks, true))}, "down: decode", 1, "deflate"},
		{"br", []string{coded("br", "\x0b\x02\x80{}\x03")}, "down: decode", 1, `\bbr\b`},
		{"zstd", []string{coded("zstd", "\x28\xb5\x2f\xfd")}, "down: decode", 1, "zstd"},
		{"a coding nobody knows", []string{coded("x-oms-7", "???")}, "down: decode", 1, "x-oms-7"},
		{"gzip in gzip", []string{coded("gzip, gzip", gzipped(zip))}, "down: decode", 1, "gzip, ?gzip"},
		{"another coding of an error", []string{strings.Replace(coded("br", "\x0b"), "200 OK", "404 Not Found", 1)}, "down: http_status", 1, "404"},
		{"gzip of an error", []string{strings.Replace(coded("gzip", gzipped(`{"success": false, "code": "NO_SUCH_PATH"}`)), "200 OK", "404 Not Found", 1)}, "down: http_status", 1, "NO_SUCH_PATH"},
		{"gzip of success:false", []string{coded("gzip", gzipped(`{"success": false, "code": "PARAM_ERROR"}`))}, "down: api_error", 1, "PARAM_ERROR"},

		{"gzip cut short, then well", []string{coded("gzip", zip[:len(zip)/2]), well}, "up, 3 tasks", 2, ""},
		{"gzip cut in its first bytes, then well", []string{coded("gzip", zip[:5]), well}, "up, 3 tasks", 2, ""},
		{"gzip without its checksum, then well", []string{coded("gzip", zip[:len(zip)-8]), well}, "up, 3 tasks", 2, ""},
		{"gzip that is none", []string{coded("gzip", threeTasks)}, "up, 3 tasks|down: decode", 1, ""},
		{"gzip with a wrong checksum", []string{coded("gzip", broken)}, "down: decode|down: connect", -1, ""},
		{"gzip always cut short", []string{coded("gzip", zip[:len(zip)/2])}, "down: decode", 0, ""},

		{"a byte order mark", []string{closeHead + "\r\n" + byteOrderMark + threeTasks}, "up, 3 tasks", 1, ""},
		{"a byte order mark in gzip", []string{coded("gzip", gzipped(byteOrderMark+threeTasks))}, "up, 3 tasks", 1, ""},
		{"a byte order mark in pieces", []string{chunkedAnswer(
			"\xef", fmt.Sprintf("2\r\n\xbb\xbf\r\n%x\r\n%s\r\n0\r\n\r\n", len(threeTasks), threeTasks))}, "up, 3 tasks", 1, ""},
		{"a byte order mark and success:false", []string{closeHead + "\r\n" + byteOrderMark + `{"success": false, "code": "PARAM_ERROR"}`}, "down: api_error", 1, "PARAM_ERROR"},
		{"a byte order mark of UTF-16", []string{closeHead + "\r\n\xff\xfe{\x00}\x00"}, "down: decode", 1, ""},

		{"cut in a task, then well", []string{closeHead + "\r\n" + half, well}, "up, 3 tasks", 2, ""},
		{"cut after the tasks, then well", []string{closeHead + "\r\n" + threeTasks[:len(threeTasks)-1], well}, "up, 3 tasks", 2, ""},
		{"cut in a string, then well", []string{closeHead + "\r\n" + `{"success": tr`, well}, "up, 3 tasks", 2, ""},
		{"HTTP/1.0 cut in a task, then well", []string{"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n" + half, well}, "up, 3 tasks", 2, ""},
		{"cut before its length, then well", []string{fmt.Sprintf("%sContent-Length: %d\r\n\r\n%s", okHead, len(threeTasks), half), well}, "up, 3 tasks", 2, ""},
		{"cut between chunks, then well", []string{chunkedAnswer(half, ""), well}, "up, 3 tasks", 2, ""},
		{"always cut", []string{closeHead + "\r\n" + half}, "down: decode", 0, ""},
		{"whole but half a document, its length given", []string{fmt.Sprintf("%sConnection: close\r\nContent-Length: %d\r\n\r\n%s", okHead, len(half), half)}, "down: decode", 0, ""},
		{"whole but half a document, in chunks", []string{chunkedAnswer(half, "0\r\n\r\n")}, "down: decode", 0, ""},
		{"an answer that ends cleanly in a task, then well", []string{fmt.Sprintf("%sContent-Length: %d\r\n\r\n%s", okHead, len(half), half), well}, "up, 3 tasks", 2, ""},
		{"an empty answer, then well", []string{okHead + "Content-Length: 0\r\n\r\n", well}, "up, 3 tasks", 2, ""},
		{"no JSON at all", []string{closeHead + "\r\n" + `{"success": true, data: []}`}, "down: decode", 1, ""},
		{"HTML without length", []string{"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\n\r\n<html>"}, "down: decode", 1, "not JSON"},
	}
	targets, counts := "", make([]*atomic.Int64, len(rows))
	for i, row := range rows {
		var url string
		url, counts[i] = scripted(t, row.answers...)
		targets += fmt.Sprintf("  t%d: {url: %q}\n", i, url)
	}
	p := exporterOf(t, targets, "--web.max-requests=0")
	t.Run("rows", func(t *testing.T) {
		for i, row := range rows {
			t.Run(row.name, func(t *testing.T) {
				t.Parallel()

				got := verdict(t, fmt.Sprintf("%s/probe?target=t%d", p.url, i), scrapeTimeout, ample)

				if !strings.Contains(row.want, got) {
					t.Errorf("%s, want %s", got, row.want)
				}
				if n := counts[i].Load(); row.requests > 0 && n != row.requests || row.requests == 0 && n < 2 {
					t.Errorf("%d requests, want %d", n, row.requests)
				}
				if row.logged != "" {
					expectLogged(t, p, fmt.Sprintf("target=t%d .*%s", i, row.logged))
				}
			})
		}
	})
}

// expectLogged looks for a line that has a match.
func expectLogged(t *testing.T, p *program, want string) {
	t.Helper()
	if log := p.stderr.String(); !regexp.MustCompile(want).MatchString(log) {
		t.Errorf("the log has no match of %s", want)
	}
}

// TestGzipIsAskedForAndNothingElse looks at the request.
func TestGzipIsAskedForAndNothingElse(t *testing.T) {
	t.Parallel()
	asked := make(chan []string, 10)
	p := start(t, "--oms.url="+serveOMS(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- r.Header.Values("Accept-Encoding")
		if _, ok := r.Header["Idempotency-Key"]; ok {
			t.Error("what net/http repeats for goes over the wire")
		}
		fmt.Fprint(w, threeTasks)
	})))

	scrape(t, p)

	if got := strings.Join(<-asked, ";"); got != "gzip" {
		t.Errorf("Accept-Encoding: %q, want gzip", got)
	}
}

// TestABombOfGzipStaysSmall runs alone: it looks at the heap of the process.
func TestABombOfGzipStaysSmall(t *testing.T) {
	const megabyte = 1 << 20
	spaces := gzipped(strings.Repeat(" ", megabyte))
	texts := gzipped(strings.Repeat(`"`+strings.Repeat("x", 1020)+`", `, megabyte/1024))
	for name, bomb := range map[string]struct {
		talk func(c net.Conn, nth int)
		want string
		most uint64 // megabytes that the heap may grow by
	}{
		"64 MB of texts in a key that is not read": {func(c net.Conn, _ int) {
			_, _ = io.WriteString(c, coded("gzip", gzipped(`{"blob": [`)+strings.Repeat(texts, 64)+gzipped(`0], `+threeTasks[1:])))
		}, "up, 3 tasks", 32},
		"64 MB of white space before a listing": {func(c net.Conn, _ int) {
			_, _ = io.WriteString(c, coded("gzip", strings.Repeat(spaces, 64)+gzipped(threeTasks)))
		}, "up, 3 tasks|down: decode", 32},
		"one text of 64 MB in a key that is not read": {func(c net.Conn, _ int) {
			_, _ = io.WriteString(c, coded("gzip", gzipped(`{"blob": "`)+strings.Repeat(spaces, 64)+gzipped(`", `+threeTasks[1:])))
		}, "up, 3 tasks|down: decode", 100},
		"white space without end": {func(c net.Conn, _ int) {
			_, _ = io.WriteString(c, coded("gzip", ""))
			for {
				if _, err := io.WriteString(c, spaces); err != nil {
					return
				}
			}
		}, "down: timeout|down: decode", 32},
		"a refusal of white space without end": {func(c net.Conn, _ int) {
			_, _ = io.WriteString(c, strings.Replace(coded("gzip", ""), "200 OK", "400 Bad Request", 1))
			for {
				if _, err := io.WriteString(c, spaces); err != nil {
					return
				}
			}
		}, "down: http_status|down: timeout", 32},
	} {
		t.Run(name, func(t *testing.T) {
			p := start(t, "--oms.url="+rawOMS(t, bomb.talk))
			before, got := heap(), ""
			timeout := "8"
			if strings.Contains(name, "without end") {
				timeout = "1.5"
			}

			peak := peakOf(func() { got = verdict(t, p.url+"/metrics", scrapeTimeout, timeout) })

			if !strings.Contains(bomb.want, got) {
				t.Errorf("%s, want %s", got, bomb.want)
			}
			if peak > before+bomb.most*megabyte {
				t.Errorf("the heap grew from %d MB to %d MB", before/megabyte, peak/megabyte)
			}
		})
	}
}

func TestCheckSaysWhatCompressionSaves(t *testing.T) {
	t.Parallel()
	oms := fleetOf(150)
	url := serveOMS(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		page := oms[pageAsked(r)-1]
		if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
			w.Header().Set("Content-Encoding", "gzip")
			page = gzipped(page)
		}
		_, _ = io.WriteString(w, page)
	}))
	stdout, stderr := newOutput(), newOutput()

	err := run(t.Context(), []string{"check", "--oms.url=" + url}, stdout, stderr)
	if err != nil {
		t.Errorf("error %v, want nil:\n%s", err, stdout)
	}

	if !regexp.MustCompile(`(?i)(compress|gzip).*\d|\d.*(compress|gzip)`).MatchString(stdout.String()) {
		t.Errorf("it does not say what compression saves:\n%s", stdout)
	}
}

// An OMS, or what stands in front of it, cannot fill the memory with headers.
func TestHeadersOfAnAnswerAreBounded(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		length int
		want   string
	}{
		{maxResponseHeader - 4096, "up, 0 tasks"},
		{maxResponseHeader, "down: http_status"},
		{9 << 20, "down: http_status"},
	} {
		oms := serveOMS(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Long", strings.Repeat("x", test.length))
			fmt.Fprint(w, `{"success":true,"totalCount":0,"data":[]}`)
		}))
		p := start(t, "--oms.url="+oms)

		if got := verdict(t, p.url+"/metrics"); got != test.want {
			t.Errorf("%d bytes: %s, want %s", test.length, got, test.want)
		}
	}
}

// TestNamesThatAreNotUTF8AreCounted has two names in GBK. They are damaged, which is counted
// and said. Where the second byte of a character is a backslash, the answer is no JSON.
func TestNamesThatAreNotUTF8AreCounted(t *testing.T) {
	t.Parallel()
	answers := func(name string) string {
		return serveOMS(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json;charset=GBK")
			fmt.Fprintf(w, `{"success": true, "totalCount": 2, "data": [{"id": "np_1", "name": "%s1", "labels": [{"name": "ok"}]},`+
				` {"id": "np_2", "name": "%[1]s2"}]}`, name)
		}))
	}
	p := exporterOf(t, fmt.Sprintf("  oms: {url: %q}\n  worse: {url: %q}\n", answers("\xb6\xa9\xb5\xa5"), answers("\xb6\xa9\x95\x5c")))

	if got := verdict(t, p.url+"/probe?target=oms"); got != "up, 2 tasks" {
		t.Errorf("%s, want up, 2 tasks", got)
	}
	if got := get(t, p.url+"/metrics").body; !strings.Contains(got, `oms_exporter_unknown_values_total{field="name",target="oms"} 2`) {
		t.Errorf("they are not counted:\n%s", got)
	}
	expectLogged(t, p, `target=oms .*field=name value="\(not UTF-8\)"`)
	if got := verdict(t, p.url+"/probe?target=worse"); got != "down: decode" {
		t.Errorf("%s, want down: decode", got)
	}
	expectLogged(t, p, `target=worse .*not a JSON document at byte \d+, perhaps because its charset is \\"GBK\\"`)

	expectFinding(t, stepOf(t, checkOne(t, "--oms.url="+answers("\xb6\xa9\xb5\xa5")), "values"), warning,
		`^not UTF-8, shown as \x{FFFD}: name 2$`, "in UTF-8")
}
