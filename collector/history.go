package collector

import (
	"slices"
	"time"

	"oms_exporter/omsclient"
)

// A Fetch tells how a listing went.
type Fetch struct {
	Start    time.Time
	Duration time.Duration
	Tasks    int // with series
	Report   omsclient.Report
	Err      error // why it failed, or nil
}

// Fetches returns the last ten listings, the latest first.
func (c *Collector) Fetches() []Fetch {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.history.fetches)
}

// A history is what a collector remembers from one listing to the next.
type history struct {
	lastSuccess time.Time
	fetches     []Fetch // the latest first
	alarms      alarmCounts
	logged      map[unknownValue]bool
	failures    failureLog
}

func newHistory() history {
	return history{alarms: alarmCounts{}, logged: map[unknownValue]bool{}, failures: failureLog{}}
}

// add remembers a listing, and forgets the oldest beyond the last ten.
func (h *history) add(f Fetch) {
	const most = 10
	h.fetches = slices.Insert(h.fetches, 0, f)
	h.fetches = h.fetches[:min(len(h.fetches), most)]
}

// isNew reports whether a value has not been seen before. Its memory has room for
// what an upgrade of OMS may bring. What a broken OMS invents beyond that is never
// new, so that it cannot fill the log.
func (h *history) isNew(v unknownValue) bool {
	const most = 200
	if h.logged[v] || len(h.logged) == most {
		return false
	}
	h.logged[v] = true
	return true
}

// A failureKind is what failures must have in common to be logged once a minute.
type failureKind struct {
	reason omsclient.Reason
	status int // of HTTP; 0: none
}

// A failureLog remembers when each kind was last logged, and how often it has occurred
// since.
type failureLog map[failureKind]*loggedFailure

type loggedFailure struct {
	at    time.Time
	since int
}

// due reports whether a failure is to be logged, and how many of its kind have not been.
func (l failureLog) due(kind failureKind) (since int, due bool) {
	const pause = time.Minute
	last := l[kind]
	if last == nil {
		last = new(loggedFailure)
		l[kind] = last
	} else if time.Since(last.at) < pause {
		last.since++
		return 0, false
	}
	since = last.since
	*last = loggedFailure{at: time.Now()}
	return since, true
}
