package main

import (
	"net/http"
	"strconv"
	"time"
)

// Limits bound how many requests are in progress. A request that waits for OMS costs
// little, one whose answer is being encoded and written costs memory and a processor.
// So an OMS that hangs takes no room from the scrapes of another.
type limits struct {
	requests chan struct{} // all that are in progress; nil: no limit
	answers  chan struct{} // those whose answers are being written; nil: no limit
}

// requestsPerAnswer is how many requests may be in progress for each answer that may be
// written at once.
const requestsPerAnswer = 25

// newLimits returns the limits for a number of answers; 0 means no limits.
func newLimits(answers int) *limits {
	if answers == 0 {
		return &limits{}
	}
	return &limits{
		requests: make(chan struct{}, requestsPerAnswer*answers),
		answers:  make(chan struct{}, answers),
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

// inPlace writes an answer when there is a place to do so. If there is none in time, the
// request is refused.
func (l *limits) inPlace(
	w http.ResponseWriter, r *http.Request, deadline time.Time, write func(),
) {
	if l.answers == nil {
		write()
		return
	}
	late := time.NewTimer(time.Until(deadline))
	defer late.Stop()
	select {
	case l.answers <- struct{}{}: // even if it is late
	default:
		select {
		case l.answers <- struct{}{}:
		case <-late.C:
			http.Error(w, "too many answers are being written, try again later; "+
				"--web.max-requests limits them", http.StatusServiceUnavailable)
			return
		case <-r.Context().Done():
			return
		}
	}
	defer func() { <-l.answers }()
	write()
}

// A budget is the time that a request has, by what it is spent on.
type budget struct {
	listing time.Time // when OMS must have answered
	waiting time.Time // when writing the answer must have begun
	reading time.Time // when the scraper must have read the answer
}

// budgetOf returns the budget of a request whose listing takes no longer than most. A
// header says when Prometheus gives up; the answer must be there an offset earlier. A
// scraper that does not read is cut off a little later.
func budgetOf(r *http.Request, most, offset time.Duration) budget {
	const grace = 5 * time.Second
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

// cutOff has the connection of a scraper closed that has not read its answer in time.
// Without a time it has all the time.
func (b budget) cutOff(w http.ResponseWriter) {
	// Only a test's own writers have no deadlines.
	_ = http.NewResponseController(w).SetWriteDeadline(b.reading)
}
