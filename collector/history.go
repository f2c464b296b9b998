package collector

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"oms_exporter/omsclient"
)

// A Fetch tells how a listing went.
type Fetch struct {
	Start    time.Time
	Duration time.Duration
	Tasks    int // with series

	// Requests are those of the report, or the notable ones if the listing took many:
	// the first and the last, the slowest, and those that failed.
	Requests []omsclient.Request

	Report omsclient.Report // only the latest fetch has the requests of its report
	Totals Totals
	Err    error // why it failed, or nil
}

// Totals are those of all requests of a listing.
type Totals struct {
	Requests, Rows, Retries int
	Bytes, BytesOnWire      int64
}

func totalsOf(r *omsclient.Report) Totals {
	return Totals{
		Requests: r.Sent(), Rows: r.Rows(), Retries: r.Retries(),
		Bytes: r.Bytes(), BytesOnWire: r.BytesOnWire(),
	}
}

// notable returns the requests that are worth keeping, at most 100, in order.
func notable(all []omsclient.Request) []omsclient.Request {
	const most, some = 100, 25
	if len(all) <= most {
		return all
	}
	indexes := make([]int, len(all))
	for i := range indexes {
		indexes[i] = i
	}
	slowest := slices.Clone(indexes)
	slices.SortStableFunc(slowest, func(a, b int) int {
		return cmp.Compare(all[b].Duration, all[a].Duration)
	})
	failed := slices.DeleteFunc(slices.Clone(indexes), func(i int) bool { return all[i].Err == nil })
	kept := map[int]bool{}
	for _, chosen := range [][]int{
		indexes[:some], indexes[len(indexes)-some:], slowest[:some], failed[:min(some, len(failed))],
	} {
		for _, i := range chosen {
			kept[i] = true
		}
	}
	requests := make([]omsclient.Request, 0, len(kept))
	for _, i := range slices.Sorted(maps.Keys(kept)) {
		requests = append(requests, all[i])
	}
	return requests
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
	f.Requests, f.Totals = notable(f.Report.Requests), totalsOf(&f.Report)
	if len(h.fetches) > 0 {
		h.fetches[0].Report.Requests = nil // there may be thousands
	}
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

// A failureKind is what failures must have in common to be logged once a minute.
type failureKind struct {
	reason omsclient.Reason
	status int    // of HTTP; 0: none
	file   string // what is wrong with a file of a secret, in our own words; empty: nothing
}

// inconsistent is the kind of listings that are exported although OMS counts other tasks.
var inconsistent = failureKind{reason: "inconsistent"}

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
