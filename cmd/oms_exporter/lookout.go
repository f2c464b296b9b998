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

// A lookout keeps the last complete listing of a target for people who look at its tasks. While
// nobody does, it keeps nothing.
type lookout struct {
	listings singleflight.Group // those that people have asked for

	mu     sync.Mutex
	forget *time.Timer     // nil: nobody looks
	at     time.Time       // of the last one
	last   func() *listing // keeps the snapshot until it is called; nil: there is none
}

// offer keeps a snapshot, if it is complete and somebody looks.
func (l *lookout) offer(s *collector.Snapshot) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.forget != nil && s.Err() == nil && (l.last == nil || s.Time().After(l.at)) {
		l.at, l.last = s.Time(), sync.OnceValue(func() *listing { return listingOf(s) })
	}
}

// look returns the last complete listing, or nil.
func (l *lookout) look() *listing {
	l.mu.Lock()
	if l.forget == nil {
		l.forget = time.AfterFunc(looked, l.clear)
	}
	l.forget.Reset(looked)
	last := l.last
	l.mu.Unlock()
	if last == nil {
		return nil
	}
	return last() // takes a while, if there are many tasks
}

// clear forgets everything.
func (l *lookout) clear() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.forget != nil {
		l.forget.Stop()
	}
	l.forget, l.last = nil, nil
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
	return len(fetches) == 0 || time.Since(fetches[0].Start) >= recent ||
		fetches[0].Err == nil && t.lookout.look() == nil
}

// look returns the last complete listing for people, or a new one if that is due or they want it
// again. Scrapes may share it. It reports whether OMS is still being listed.
func (t *target) look(ctx context.Context, again bool) (l *listing, pending bool) {
	if l = t.lookout.look(); !again && !t.due() {
		return l, false
	}
	done := t.lookout.listings.DoChan("", func() (any, error) {
		if again || t.due() { // unless somebody else has just made it
			t.use(context.WithoutCancel(ctx), func(*collector.Snapshot) {})
		}
		return nil, nil
	})
	select {
	case <-done:
	case <-time.After(lookPatience):
		pending = true
	case <-ctx.Done():
		pending = true
	}
	return t.lookout.look(), pending
}
