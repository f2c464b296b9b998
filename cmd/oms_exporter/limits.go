package main

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"time"

	"oms_exporter/collector"
)

// Limits bound the requests that are in progress about one target, or about none. Each
// target has its own, so that clients that flood one, or do not read its answers, take
// nothing from the scrapes of another.
//
// A request that waits for OMS costs little; one whose answer is being encoded and sent
// costs memory in proportion to its tasks. So they are counted apart.
type limits struct {
	requests chan struct{}   // all that are in progress; nil: no limit
	answers  *collector.Room // for those whose answers are being sent; nil: no limit
}

// requestsPerAnswer is how many requests may be in progress for each answer that may be
// sent at once.
const requestsPerAnswer = 2

// newLimits returns the limits for a number of answers; 0 means no limits.
func newLimits(answers int) *limits {
	if answers == 0 {
		return &limits{}
	}
	return &limits{
		requests: make(chan struct{}, requestsPerAnswer*answers),
		answers:  collector.NewRoom(answers),
	}
}

// admit refuses requests while too many are in progress.
func (l *limits) admit(next http.Handler) http.Handler {
	if l.requests == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case l.requests <- struct{}{}:
			defer func() { <-l.requests }()
			next.ServeHTTP(w, r)
		default:
			http.Error(w, "too many requests in progress, try again later; "+
				"--web.max-requests limits them", http.StatusServiceUnavailable)
		}
	})
}

// inPlace writes an answer without tasks when there is a place to do so.
func (l *limits) inPlace(
	w http.ResponseWriter, r *http.Request, deadline time.Time, write func(),
) {
	l.inRoom(w, r, deadline, 0, write)
}

// inRoom writes an answer with so many tasks when there is room for it. If there is none in
// time, the request is refused.
func (l *limits) inRoom(
	w http.ResponseWriter, r *http.Request, deadline time.Time, tasks int, write func(),
) {
	ctx, cancel := context.WithDeadline(r.Context(), deadline)
	defer cancel()
	leave, err := l.answers.Enter(ctx, tasks)
	if err != nil {
		http.Error(w, "too many answers are being sent, try again later; "+
			"--web.max-requests limits them", http.StatusServiceUnavailable)
		return
	}
	defer leave()
	write()
}

// A budget is the time that a request has, by what it is spent on.
type budget struct {
	listing time.Time // when OMS must have answered
	waiting time.Time // when writing the answer must have begun
	reading time.Time // when the scraper must have read the answer
}

// grace is how much later than its timeout a scraper that does not read is cut off.
const grace = 5 * time.Second

// budgetOf returns the budget of a request whose listing takes no longer than most. A
// header says when Prometheus gives up; the answer must be there an offset earlier.
func budgetOf(r *http.Request, most, offset time.Duration) budget {
	timeout := most + offset
	seconds, err := strconv.ParseFloat(r.Header.Get("X-Prometheus-Scrape-Timeout-Seconds"), 64)
	if err == nil && seconds > 0 && seconds < timeout.Seconds() {
		timeout = time.Duration(seconds * float64(time.Second))
	}
	if timeout <= offset {
		offset = 0
	}
	end := time.Now().Add(timeout)
	// Half of the offset is for those who find no place at once.
	return budget{listing: end.Add(-offset), waiting: end.Add(-offset / 2), reading: end.Add(grace)}
}

// cutOff has the connection of a client closed that has not read its answer in time.
// Without a time it has all the time.
func (b budget) cutOff(w http.ResponseWriter) {
	// Only a test's own writers have no deadlines.
	_ = http.NewResponseController(w).SetWriteDeadline(b.reading)
}

// A client must take a piece of its answer within mostStalled.
const (
	mostStalled = 5 * time.Second
	pieceSize   = 64 << 10
)

// A steadyWriter gives up a client that stops reading, however much time is left for its
// answer: what the answer is made of stays in memory until it is sent.
type steadyWriter struct {
	http.ResponseWriter
	end time.Time // of the time for the answer; zero: none
}

// SetWriteDeadline implements what [http.ResponseController] looks for.
func (w *steadyWriter) SetWriteDeadline(end time.Time) error {
	w.end = end
	return http.NewResponseController(w.ResponseWriter).SetWriteDeadline(end)
}

// Write implements [http.ResponseWriter].
func (w *steadyWriter) Write(b []byte) (written int, err error) {
	if len(b) == 0 {
		return w.ResponseWriter.Write(b) // it sends the header
	}
	connection := http.NewResponseController(w.ResponseWriter)
	for piece := range slices.Chunk(b, pieceSize) {
		soon := time.Now().Add(mostStalled)
		if !w.end.IsZero() && w.end.Before(soon) {
			soon = w.end
		}
		_ = connection.SetWriteDeadline(soon)
		n, err := w.ResponseWriter.Write(piece)
		if written += n; err != nil {
			return written, err
		}
	}
	// What comes next may take a while to make, and that is not the client's fault.
	_ = connection.SetWriteDeadline(w.end)
	return written, nil
}

// Unwrap lets [http.ResponseController] through.
func (w *steadyWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
