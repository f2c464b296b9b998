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
}

func newHistory() history {
	return history{alarms: alarmCounts{}, logged: map[unknownValue]bool{}}
}

// add remembers a listing, and forgets the oldest beyond the last ten.
func (h *history) add(f Fetch) {
	const most = 10
	h.fetches = slices.Insert(h.fetches, 0, f)
	h.fetches = h.fetches[:min(len(h.fetches), most)]
}

// MaxLogged is how many unknown values are remembered, and so logged. It is room for
// what an upgrade of OMS may bring. What a broken OMS invents beyond that is never new,
// so that it cannot fill the log.
const MaxLogged = 200

// isNew reports whether a value has not been seen before.
func (h *history) isNew(v unknownValue) bool {
	if h.logged[v] || len(h.logged) == MaxLogged {
		return false
	}
	h.logged[v] = true
	return true
}
