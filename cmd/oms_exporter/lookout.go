package main

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"oms_exporter/collector"
)

const (
	// looked is for how long after somebody has looked the tasks of a target are kept.
	looked = time.Hour
	// recent is how old a listing may be before people get another one. Prometheus usually
	// scrapes more often, and then people cause no listing.
	recent = time.Minute
	// lookPatience is how long people wait for a listing. It goes on without them.
	lookPatience = 5 * time.Second
)

// A lookout keeps the tasks of the last complete listing of a target for people who look at
// them. While nobody does, it keeps nothing.
type lookout struct {
	listings singleflight.Group // those that people have asked for

	mu       sync.Mutex
	forget   *time.Timer         // nil: nobody looks
	snapshot *collector.Snapshot // not yet seen by anybody, or nil
	listing  *listing            // the one that was seen last; nil: there is a snapshot, or nothing
}

// A listing is what people see of a complete one.
type listing struct {
	at       time.Time
	statuses map[string]int // tasks that OMS lists, by status
	tasks    []*collector.TaskView
}

// listingOf returns what people see of a snapshot, or nil if it is not complete.
func listingOf(s *collector.Snapshot) *listing {
	if s.Err() != nil {
		return nil
	}
	return &listing{s.Time(), s.Statuses(), s.Views()}
}

// offer keeps a snapshot, if it is complete and somebody looks.
func (l *lookout) offer(s *collector.Snapshot) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.forget == nil || s.Err() != nil ||
		l.snapshot != nil && s.Time().Before(l.snapshot.Time()) ||
		l.listing != nil && !s.Time().After(l.listing.at) {
		return
	}
	l.snapshot, l.listing = s, nil
}

// look returns the last complete listing, or nil if none has ended while somebody looked.
func (l *lookout) look() *listing {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.forget == nil {
		l.forget = time.AfterFunc(looked, l.clear)
	}
	l.forget.Reset(looked)
	if s := l.snapshot; s != nil {
		l.snapshot, l.listing = nil, listingOf(s)
	}
	return l.listing
}

// clear forgets everything.
func (l *lookout) clear() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.forget != nil {
		l.forget.Stop()
	}
	l.forget, l.snapshot, l.listing = nil, nil, nil
}

// use lists the tasks of a target, shows them to those who look, and calls a function with them.
func (t *target) use(ctx context.Context, use func(*collector.Snapshot)) {
	t.collector.Use(ctx, func(s *collector.Snapshot) {
		t.lookout.offer(s)
		use(s)
	})
}

// due reports whether people should get another listing: the last one is not recent, or nothing
// is kept of it. A failure is not repeated for a while.
func (t *target) due() bool {
	fetches := t.collector.Fetches()
	if len(fetches) == 0 || time.Since(fetches[0].Start) >= recent {
		return true
	}
	return fetches[0].Err == nil && t.lookout.look() == nil
}

// list makes a listing for people, which scrapes may share, unless somebody else has just made
// the one that is due. It reports whether the listing has ended while they had patience.
func (t *target) list(ctx context.Context, again bool) (ended bool) {
	done := t.lookout.listings.DoChan("", func() (any, error) {
		if again || t.due() {
			t.use(context.WithoutCancel(ctx), func(*collector.Snapshot) {})
		}
		return nil, nil
	})
	select {
	case <-done:
		return true
	case <-time.After(lookPatience):
	case <-ctx.Done():
	}
	return false
}

// look returns the last complete listing for people, or a new one if that is due or they want it
// again. It reports whether OMS is still being listed.
func (t *target) look(ctx context.Context, again bool) (l *listing, pending bool) {
	l = t.lookout.look()
	if again || t.due() {
		pending = !t.list(ctx, again)
		l = t.lookout.look()
	}
	return l, pending
}
