package omssim

import (
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strconv"
)

// A FaultKind names something that can go wrong. [Faults] lists all kinds.
type FaultKind string

// A Fault is something that goes wrong with answers to ListProjects.
//
// Most kinds affect single requests: the next Times requests for page Page. A
// Page of 0 means any page, and Times of 0 means every request.
//
// The kinds moving_task, deleted_task and added_task affect passes. Every request
// for page 1 begins a pass, whatever the client and the filter. In each of the next
// Times passes (0: in every pass), tasks change right after page Page was served;
// a Page of 0 means page 1 or, for moving_task, every page. Page 1 of such a pass
// never shows the change. In later passes the listing is consistent again: the
// moved task stays, the deleted task is on no page, and the added task is listed.
// Replacing the faults undoes the changes.
//
// The kind locked_account affects every request, whatever Page and Times say.
// Kinds that change or count tasks do nothing to recorded pages.
type Fault struct {
	Kind  FaultKind
	Page  int
	Times int
}

// A FaultDoc documents a kind of fault.
type FaultDoc struct {
	Kind FaultKind
	Doc  string // one line
}

// A faultKind says what a fault does. Exactly one of the functions is set.
type faultKind struct {
	kind FaultKind
	doc  string
	// answer answers instead of OMS, as a proxy or a broken network might.
	answer func(http.ResponseWriter, *http.Request)
	// content changes what OMS lists.
	content func(*listing)
	// inPass changes what OMS lists, depending on the pass.
	inPass func(*listing, pass)
	// document changes the rendered JSON document.
	document func([]byte) []byte
	// send sends the document, with status 200. The other headers are set already.
	send func(w http.ResponseWriter, r *http.Request, document []byte)
	// locked reports whether an account is locked after so many wrong passwords in a row.
	locked func(wrong int) bool
}

// A pass is the current pass as a fault that affects passes sees it.
type pass struct {
	after   int  // the page after which tasks change; 0: not given
	settled bool // they changed in an earlier pass, and do not change again
}

// changed reports whether tasks have changed when a page is requested.
func (p pass) changed(pageNumber int) bool {
	return p.settled || pageNumber > max(p.after, 1)
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
	{
		kind: "unauthorized", doc: "401 with an empty body, as after a wrong password",
		answer: status(http.StatusUnauthorized),
	},
	{
		kind:   "locked_account",
		doc:    "five wrong passwords in a row lock the account: 401, even for the right one",
		locked: func(wrong int) bool { return wrong >= 5 },
	},
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
		kind: "endless_error", doc: "500 with a body that never ends",
		answer: answerEndlessly,
	},
	{
		kind: "stalled_error", doc: "502 with half of an HTML page, then nothing more",
		answer: answerHalf,
	},
	{
		kind: "status_101", doc: "101 Switching Protocols, then silence on an open connection",
		answer: switchProtocols,
	},
	{kind: "status_103", doc: "103 Early Hints, seven times, before the answer", send: sendAfterHints},
	{
		kind: "endless_103", doc: "103 Early Hints every 100 ms, and never an answer",
		answer: hintEndlessly,
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
	{
		kind: "cut_without_length", doc: "the same, and the response had no length to tell it by",
		send: sendCutWithoutLength,
	},
	{kind: "reset", doc: "the connection is reset before any answer", answer: reset},
	{
		kind: "idle_close", doc: "after the answer, the connection closes when it is used again",
		send: sendAndForget(closeConn),
	},
	{
		kind: "idle_reset", doc: "after the answer, the connection is reset when it is used again",
		send: sendAndForget(resetConn),
	},
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
		kind: "endless_body", doc: "white space follows the document, without end",
		send: sendEndlessly,
	},
	{kind: "gzip", doc: "compressed with gzip, whether asked for or not", send: sendGzip},
	{
		kind: "gzip_cut", doc: "the first half of the compressed document, then a clean end",
		send: sendGzipCut,
	},
	{
		kind: "gzip_bomb", send: sendBomb,
		doc: "white space follows the document, without end, a thousandth of it on the wire",
	},
	{
		kind: "unknown_coding", doc: "a Content-Encoding that was not asked for: br",
		send: sendUnknownCoding,
	},
	{
		kind: "bom", doc: "a UTF-8 byte order mark before the document",
		document: func(doc []byte) []byte { return append([]byte("\xef\xbb\xbf"), doc...) },
	},
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
		kind: "empty_listing", doc: "success true, totalCount 0 and no tasks",
		content: func(l *listing) { l.tasks, l.total = nil, 0 },
	},
	{
		kind: "page_cap", doc: "a page has half of the pageSize asked for, and 50 tasks at most",
		content: func(l *listing) { l.query.pageSize = min(max(l.query.pageSize/2, 1), 50) },
	},
	{
		kind: "end_refused", doc: "a page after the last: success false and code PARAM_ERROR",
		content: func(l *listing) {
			if l.isPastEnd() {
				l.failure = apiFailure{paramError, "页码超出范围"}
			}
		},
	},
	{
		kind: "end_400", doc: "a page after the last: 400",
		content: refuseEnd(status(http.StatusBadRequest)),
	},
	{
		kind: "end_404", doc: "a page after the last: 404",
		content: refuseEnd(status(http.StatusNotFound)),
	},
	{
		kind: "end_416", doc: "a page after the last: 416",
		content: refuseEnd(status(http.StatusRequestedRangeNotSatisfiable)),
	},
	{
		kind: "end_500", doc: "a page after the last: 500",
		content: refuseEnd(status(http.StatusInternalServerError)),
	},
	{
		kind: "end_empty", doc: "a page after the last: 200 with {}",
		content: refuseEnd(func(w http.ResponseWriter, r *http.Request) {
			sendWhole(w, r, []byte("{}"))
		}),
	},
	{
		kind: "repeat_page", doc: "the content of page 1, whatever the page number",
		content: func(l *listing) { l.shown = 1 },
	},
	{
		kind:   "moving_task",
		doc:    "the last task of a page is also the first of the next, and all later ones shift",
		inPass: moveTask,
	},
	{
		kind: "deleted_task", inPass: deleteTask,
		doc: "the first task disappears after page 1: later pages skip one, totalCount is 1 less",
	},
	{
		kind: "added_task", inPass: addTask,
		doc: "a task appears at the end of the listing after page 1, and totalCount is 1 more",
	},
	{
		kind: "changing_count", doc: "totalCount grows by 1 with each page, the tasks stay the same",
		content: func(l *listing) { l.total += l.query.pageNumber - 1 },
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
		kind: "delay_of_0", doc: "extraInfo of every task has a delay of 0 and no time",
		content: func(l *listing) { l.extra = extraComforting },
	},
	{
		kind: "old_extra_info", doc: "extraInfo of every task has a reading of two hours ago",
		content: func(l *listing) { l.extra = extraOld },
	},
	{
		kind: "local_time", doc: "gmt* of every task are in the time zone UTC+8",
		content: func(l *listing) { l.zone = 8 * hour },
	},
	{
		kind: "count_as_pages", doc: "totalCount is the number of pages",
		content: func(l *listing) { l.total = (l.total + l.query.pageSize - 1) / l.query.pageSize },
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

// ParseFault parses a fault as String formats it: a kind, then "@" and the page,
// and then "x" and the times, both unless they are 0. For instance, "reset@2x1"
// resets the next request for page 2, "unauthorizedx2" answers the next two
// requests with 401, and "truncated@3" always truncates page 3.
func ParseFault(s string) (Fault, error) {
	parts := faultSyntax.FindStringSubmatch(s)
	if parts == nil {
		return Fault{}, fmt.Errorf("fault %q: want kind, kind@page, kindxtimes or kind@pagextimes", s)
	}
	f := Fault{Kind: FaultKind(parts[1])}
	f.Page, _ = strconv.Atoi(parts[2]) // nothing, which is 0, or up to nine digits
	f.Times, _ = strconv.Atoi(parts[3])
	if f.lookUp() == nil {
		return Fault{}, fmt.Errorf("unknown kind of fault %q", parts[1])
	}
	return f, nil
}

// String formats the fault for [ParseFault].
func (f Fault) String() string {
	s := string(f.Kind)
	if f.Page != 0 {
		s += "@" + strconv.Itoa(f.Page)
	}
	if f.Times != 0 {
		s += "x" + strconv.Itoa(f.Times)
	}
	return s
}

func (f Fault) lookUp() *faultKind {
	for i := range faultKinds {
		if faultKinds[i].kind == f.Kind {
			return &faultKinds[i]
		}
	}
	return nil
}

// An activeFault is a fault that is on.
type activeFault struct {
	Fault
	what    *faultKind
	used    int  // requests or passes that it has affected
	started bool // a pass has begun
	settled bool // the current pass is later than the last one that it affects
}

// An effect is what a fault does to one request.
type effect struct {
	*faultKind
	pass pass
}

// take returns what goes wrong with a request for a page, and counts it as used.
// At most one of the effects answers or sends.
func take(faults []*activeFault, pageNumber int) []effect {
	var effects []effect
	delivered := false
	for _, f := range faults {
		delivers := f.what.answer != nil || f.what.send != nil
		if f.what.locked != nil || !f.due(pageNumber) || delivers && delivered {
			continue
		}
		delivered = delivered || delivers
		if f.what.inPass == nil {
			f.used++
		}
		effects = append(effects, effect{f.what, pass{after: f.Page, settled: f.settled}})
	}
	return effects
}

// due reports whether the fault affects a request for a page.
func (f *activeFault) due(pageNumber int) bool {
	if f.what.inPass == nil {
		return (f.Page == 0 || f.Page == pageNumber) && !f.exhausted()
	}
	if pageNumber == 1 {
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
	case p.after == 0 && l.query.pageSize > 1:
		l.shift = l.query.pageNumber - 1
	case l.query.pageNumber > max(p.after, 1):
		l.shift = 1
	}
}

func deleteTask(l *listing, p pass) {
	if p.changed(l.query.pageNumber) && len(l.tasks) > 0 {
		l.tasks = l.tasks[1:]
		l.total--
	}
}

func addTask(l *listing, p pass) {
	if p.changed(l.query.pageNumber) {
		l.tasks = append(l.tasks, newcomer)
		l.total++
	}
}

// refuseEnd returns what answers requests for pages after the last one.
func refuseEnd(answer func(http.ResponseWriter, *http.Request)) func(*listing) {
	return func(l *listing) {
		if l.isPastEnd() {
			l.answer = answer
		}
	}
}
