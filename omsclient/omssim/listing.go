package omssim

import (
	"net/http"
	"strconv"
	"strings"
)

// newcomer is the index of the task that the fault added_task adds.
const newcomer = -1

// A listing is the answer to a request before it is rendered. Faults change it.
type listing struct {
	query query
	tasks []int // indices of all tasks that match, in order
	total int   // totalCount

	shown    int // the page to show
	shift    int // how many tasks earlier that page begins
	recorded int // pages of a recording, if one is replayed

	failure                            apiFailure // instead of the listing, if it has a code
	answer                             func(http.ResponseWriter, *http.Request)
	dataNull, dataMissing, pascal, odd bool // see the faults of these names
	unknown                            bool
	extra                              extraForm // of every task, instead of its own
	zone                               int64     // seconds that gmt* are ahead of UTC
}

// isPastEnd reports whether the client asks for a page after the last one.
func (l *listing) isPastEnd() bool {
	if l.recorded > 0 {
		return l.query.pageNumber > l.recorded
	}
	return l.query.pageNumber > 1 && len(l.page()) == 0
}

// page returns the indices of the tasks on the page to show.
func (l *listing) page() []int {
	first := min(max((l.shown-1)*l.query.pageSize-l.shift, 0), len(l.tasks))
	return l.tasks[first:min(first+l.query.pageSize, len(l.tasks))]
}

// envelopeKey spells a key of the envelope as the listing wants it.
func (l *listing) envelopeKey(key string) string {
	if l.pascal {
		return strings.ToUpper(key[:1]) + key[1:]
	}
	return key
}

// render renders a listing at the given time, in Unix seconds. The cost is how long
// it took, in milliseconds.
func (s *Server) render(l *listing, at, cost int64) []byte {
	page := l.page()
	const bytesPerTask = 6 << 10
	w := &renderer{blobs: s.blobs, unknown: l.unknown, extra: l.extra, zone: l.zone}
	w.style = s.options.Style
	w.buf = make([]byte, 0, 1024+len(page)*(bytesPerTask+len(s.blobs)))

	w.begin('{')
	w.bool(l.envelopeKey("success"), true)
	for _, key := range []string{"errorDetail", "code", "message", "advice"} {
		w.null(l.envelopeKey(key))
	}
	w.string(l.envelopeKey("requestId"), s.requestID())
	w.int(l.envelopeKey("pageNumber"), int64(l.query.pageNumber))
	w.int(l.envelopeKey("pageSize"), int64(l.query.pageSize))
	if s.options.Total != nil {
		total := s.options.Total(l.total, l.query.pageNumber, l.query.pageSize)
		w.raw(l.envelopeKey("totalCount"), total)
	} else {
		w.int(l.envelopeKey("totalCount"), int64(l.total))
	}
	w.string(l.envelopeKey("cost"), strconv.FormatInt(cost, 10)+" ms")
	switch {
	case l.dataMissing:
	case l.dataNull:
		w.null(l.envelopeKey("data"))
	default:
		w.array(l.envelopeKey("data"))
		s.renderTasks(w, l, page, at)
		w.end(']')
	}
	w.end('}')
	return w.buf
}

// renderTasks writes the tasks of a page.
func (s *Server) renderTasks(w *renderer, l *listing, page []int, at int64) {
	var st state
	for i, index := range page {
		w.comma()
		switch {
		case index == newcomer:
			s.fleet.newcomer.stateAt(at, &st)
			w.task(&s.fleet.newcomer, &st)
		case s.options.Projects != nil:
			w.buf = append(w.buf, s.options.Projects[index]...)
		default:
			t := &s.fleet.tasks[index]
			t.stateAt(at, &st)
			if l.unknown && i == 0 {
				t = strange(t, &st)
			}
			w.task(t, &st)
		}
		if l.odd && i == 0 {
			w.element("np_a_string_instead_of_a_task")
			w.buf = append(w.buf, `,null,{"name":"without_id","status":"RUNNING"}`...)
		}
	}
}

// An apiFailure is what OMS answers instead of a result.
type apiFailure struct{ code, message string }

// render renders the failure as OMS does, without the keys of a listing.
func (f apiFailure) render(style Style, requestID string) []byte {
	w := &wire{style: style}
	message := "[" + f.code + "]: " + f.message
	w.begin('{')
	w.string("code", f.code)
	w.object("errorDetail")
	w.errorDetail(f.code, message)
	w.string("requestId", requestID)
	w.end('}')
	w.string("message", message)
	w.string("requestId", requestID)
	w.bool("success", false)
	w.end('}')
	return w.buf
}
