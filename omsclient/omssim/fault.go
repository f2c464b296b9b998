package omssim

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"time"
)

// A FaultKind names something that goes wrong. [Faults] lists the kinds there are.
type FaultKind string

// A Fault is something that goes wrong with the answers to ListProjects.
//
// Most kinds concern single requests: those for the page Page (0: for any page), the
// next Times of them (0: all of them).
//
// The kinds moving_task, deleted_task and added_task concern passes. A request for
// page 1 begins a pass, whoever sends it and whatever it filters. In each of the next
// Times passes (0: in every pass) something happens right after page Page was served;
// 0 means after page 1, for moving_task after every page. Page 1 of a pass is always
// as if nothing had happened in it yet. In the passes after that the listing is
// consistent again: the moved task keeps still, the deleted task is gone from all
// pages, the added task is on them. Replacing the faults undoes all of it.
type Fault struct {
	Kind  FaultKind
	Page  int
	Times int
}

// A FaultDoc is a kind of fault for people.
type FaultDoc struct {
	Kind FaultKind
	Doc  string // one line
}

// A faultKind says what a fault does. One of the functions is set.
type faultKind struct {
	kind FaultKind
	doc  string
	// answer answers instead of OMS, as a proxy or a broken network does.
	answer func(http.ResponseWriter, *http.Request)
	// content changes what OMS lists.
	content func(*listing)
	// pass does too, from the state of a pass.
	pass func(*listing, pass)
	// document changes the finished JSON document.
	document func([]byte) []byte
	// send sends the body in some bad way.
	send func(w http.ResponseWriter, r *http.Request, body []byte)
}

// A pass is what a fault that concerns passes knows about the current one.
type pass struct {
	page    int  // after which it happens; 0: not given
	settled bool // it happened in an earlier pass and does not happen again
}

// happened reports whether the listing has changed when a page is read, and if so the
// change is older than the pass or came after one of its pages.
func (p pass) happened(number int) bool {
	return p.settled || number > max(p.page, 1)
}

// faultKinds is everything that can go wrong. To add a fault, add it here.
var faultKinds = []faultKind{
	{
		kind: "html_502", doc: "a proxy answers 502 with an HTML page",
		answer: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			w.WriteHeader(http.StatusBadGateway)
			_, _ = io.WriteString(w, badGateway)
		},
	},
	{kind: "unauthorized", doc: "401 with an empty body", answer: status(http.StatusUnauthorized)},
	{kind: "forbidden", doc: "403 with an empty body", answer: status(http.StatusForbidden)},
	{
		kind: "request_timeout", doc: "408 with an empty body",
		answer: status(http.StatusRequestTimeout),
	},
	{
		kind: "too_many_requests", doc: "429 with Retry-After: 1",
		answer: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusTooManyRequests)
		},
	},
	{
		kind: "internal_error", doc: "500 with an empty body",
		answer: status(http.StatusInternalServerError),
	},
	{
		kind: "unavailable", doc: "503 with an empty body",
		answer: status(http.StatusServiceUnavailable),
	},
	{
		kind: "redirect", doc: "302 to a login page on the same host",
		answer: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "/oms-v2/login")
			w.WriteHeader(http.StatusFound)
		},
	},
	{
		kind: "api_error", doc: "200 with success false and code GHANA-OPERAT000001",
		content: func(l *listing) {
			l.failure = apiFailure{"GHANA-OPERAT000001", "CM 服务可能不可用，请稍后重试"}
		},
	},
	{
		kind: "truncated", doc: "the document stops in the middle, the response ends cleanly",
		document: func(doc []byte) []byte { return doc[:len(doc)/2] },
	},
	{kind: "cut", doc: "the connection closes in the middle of the body", send: sendCut},
	{kind: "reset", doc: "the connection is reset before any answer", answer: reset},
	{
		kind: "hang", doc: "no answer until the client gives up",
		answer: func(_ http.ResponseWriter, r *http.Request) {
			<-r.Context().Done()
			abort()
		},
	},
	{kind: "stall", doc: "headers and half of the body, then nothing more", send: sendStalled},
	{kind: "slow_body", doc: "the body drips, a fiftieth every 100 ms", send: sendSlowly},
	{
		kind: "invalid_json", doc: "a NUL byte in the middle of the document",
		document: func(doc []byte) []byte { return slices.Insert(doc, len(doc)/2, 0) },
	},
	{
		kind: "empty_body", doc: "200 without a single byte",
		document: func([]byte) []byte { return nil },
	},
	{
		kind: "data_null", doc: "success true, totalCount as usual, data null",
		content: func(l *listing) { l.dataNull = true },
	},
	{
		kind: "no_data", doc: "success true, totalCount as usual, no data key",
		content: func(l *listing) { l.dataMissing = true },
	},
	{
		kind: "repeat_page", doc: "the content of page 1, whatever the page number",
		content: func(l *listing) { l.content = 1 },
	},
	{
		kind: "moving_task",
		doc:  "the last task of a page is also the first of the next, all later ones move along",
		pass: moveTask,
	},
	{
		kind: "deleted_task", pass: deleteTask,
		doc: "the first task disappears after page 1: later pages skip one, totalCount is less",
	},
	{
		kind: "added_task", pass: addTask,
		doc: "a task appears at the end of the listing after page 1, totalCount is more",
	},
	{
		kind: "changing_count", doc: "totalCount is one more on each page, the tasks are the same",
		content: func(l *listing) { l.total += l.query.number - 1 },
	},
	{
		kind:    "unknown_values",
		doc:     "unknown keys in every task; unknown and odd values in the first of each page",
		content: func(l *listing) { l.unknown = true },
	},
	{
		kind:    "odd_task",
		doc:     "a string, a null and an object without id beside the tasks of a page",
		content: func(l *listing) { l.odd = true },
	},
	{
		kind: "pascal_case", doc: "the keys of the envelope in PascalCase: Data, TotalCount",
		content: func(l *listing) { l.pascal = true },
	},
	{
		kind: "count_as_pages", doc: "totalCount is the number of pages",
		content: func(l *listing) { l.total = (l.total + l.query.size - 1) / l.query.size },
	},
}

// Faults returns every kind of fault.
func Faults() []FaultDoc {
	docs := make([]FaultDoc, 0, len(faultKinds))
	for _, k := range faultKinds {
		docs = append(docs, FaultDoc{Kind: k.kind, Doc: k.doc})
	}
	return docs
}

// faultSyntax is kind, page and times, such as "reset@2x1".
var faultSyntax = regexp.MustCompile(
	`^([a-z_0-9]+?)(?:@([1-9][0-9]{0,8}))?(?:x([1-9][0-9]{0,8}))?$`)

// ParseFault reads a fault as String writes it: a kind, then, if they are not 0, the
// page after "@" and the times after "x". "reset@2x1" resets the next request for page
// 2, "unauthorizedx2" answers the next two requests with 401, "truncated@3" truncates
// page 3 always.
func ParseFault(text string) (Fault, error) {
	parts := faultSyntax.FindStringSubmatch(text)
	if parts == nil {
		return Fault{}, fmt.Errorf("fault %q is not of the form kind@page or kind@pagextimes", text)
	}
	f := Fault{Kind: FaultKind(parts[1]), Page: number(parts[2]), Times: number(parts[3])}
	if f.lookUp() == nil {
		return Fault{}, fmt.Errorf("unknown kind of fault %q", parts[1])
	}
	return f, nil
}

// number reads up to nine digits, none of them meaning 0.
func number(digits string) int {
	n, err := strconv.Atoi(digits)
	if err != nil {
		return 0
	}
	return n
}

// String writes the fault as [ParseFault] reads it.
func (f Fault) String() string {
	text := string(f.Kind)
	if f.Page != 0 {
		text += "@" + strconv.Itoa(f.Page)
	}
	if f.Times != 0 {
		text += "x" + strconv.Itoa(f.Times)
	}
	return text
}

func (f Fault) lookUp() *faultKind {
	for i := range faultKinds {
		if faultKinds[i].kind == f.Kind {
			return &faultKinds[i]
		}
	}
	return nil
}

// An activeFault is a fault and how far it is used up.
type activeFault struct {
	Fault
	what    *faultKind
	used    int  // requests or passes
	started bool // a pass has begun
	settled bool // the current pass is one after the last that it concerns
}

// An effect is what a fault does to one request.
type effect struct {
	*faultKind
	pass pass
}

// take returns what goes wrong with a request for a page, and counts it. At most one
// effect answers or sends.
func take(faults []*activeFault, page int) []effect {
	var effects []effect
	delivered := false
	for _, f := range faults {
		delivers := f.what.answer != nil || f.what.send != nil
		if !f.due(page) || delivers && delivered {
			continue
		}
		delivered = delivered || delivers
		if f.what.pass == nil {
			f.used++
		}
		effects = append(effects, effect{f.what, pass{page: f.Page, settled: f.settled}})
	}
	return effects
}

// due reports whether the fault concerns a request for a page.
func (f *activeFault) due(page int) bool {
	if f.what.pass == nil {
		return (f.Page == 0 || f.Page == page) && !f.exhausted()
	}
	if page == 1 {
		f.started, f.settled = true, f.exhausted()
		f.used++
	}
	return f.started
}

func (f *activeFault) exhausted() bool {
	return f.Times != 0 && f.used >= f.Times
}

func moveTask(l *listing, p pass) {
	switch {
	case p.settled:
	case p.page == 0 && l.query.size > 1:
		l.shift = l.query.number - 1
	case l.query.number > max(p.page, 1):
		l.shift = 1
	}
}

func deleteTask(l *listing, p pass) {
	if p.happened(l.query.number) && len(l.tasks) > 0 {
		l.tasks = l.tasks[1:]
		l.total--
	}
}

func addTask(l *listing, p pass) {
	if p.happened(l.query.number) {
		l.tasks = append(l.tasks, newcomer)
		l.total++
	}
}

const badGateway = "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n" +
	"<center><h1>502 Bad Gateway</h1></center>\r\n<hr><center>tengine</center>\r\n" +
	"</body>\r\n</html>\r\n"

// abort ends a request without an answer, or in the middle of one: the server closes the
// connection. It does not return.
func abort() {
	panic(http.ErrAbortHandler)
}

func status(code int) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}

// reset sends a TCP reset, or whatever comes closest on this connection.
func reset(w http.ResponseWriter, _ *http.Request) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		abort()
	}
	if secured, ok := conn.(*tls.Conn); ok {
		conn = secured.NetConn()
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

// sendCut announces the whole body and sends half of it. The server then closes the
// connection, since it cannot be used again.
func sendCut(w http.ResponseWriter, _ *http.Request, body []byte) {
	_, _ = w.Write(body[:len(body)/2])
	_ = http.NewResponseController(w).Flush()
	abort()
}

func sendStalled(w http.ResponseWriter, r *http.Request, body []byte) {
	_, _ = w.Write(body[:len(body)/2])
	_ = http.NewResponseController(w).Flush()
	<-r.Context().Done()
	abort()
}

func sendSlowly(w http.ResponseWriter, r *http.Request, body []byte) {
	const (
		pieces = 50
		every  = 100 * time.Millisecond
	)
	rest := bytes.NewBuffer(body)
	for rest.Len() > 0 {
		if !pause(r.Context(), every) {
			abort()
		}
		if _, err := w.Write(rest.Next(len(body)/pieces + 1)); err != nil {
			return
		}
		_ = http.NewResponseController(w).Flush()
	}
}
