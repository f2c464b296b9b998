package collector

import (
	"context"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Flights let scrapes that overlap share a listing. A scrape joins the flight that
// is under way, or starts one; a flight lands when its listing ends, and then nobody
// can join it any more. So a listing always ends later than the scrapes that share it
// began.
type flights struct {
	// take lists all projects, calls land when that has ended, and then makes a
	// snapshot of them.
	take   func(ctx context.Context, land func() (shared bool)) *Snapshot
	joined prometheus.Counter

	mu       sync.Mutex
	current  *flight         // which can be joined; nil: none
	previous <-chan struct{} // the done of the flight that landed last
}

// A flight is a listing and the scrapes that wait for it.
type flight struct {
	done     chan struct{} // closed when there is a snapshot
	snapshot *Snapshot
	cancel   context.CancelCauseFunc

	// Guarded by the mutex of the flights.
	waiting  int
	shared   bool      // somebody joined
	deadline time.Time // the latest of all that have waited
}

// wait returns the snapshot of a flight. If ctx ends first, err is why, and the listing
// goes on for those who still wait. If nobody does, the listing is canceled, and the
// snapshot says so. The context must have a deadline.
func (fs *flights) wait(ctx context.Context) (s *Snapshot, err error) {
	f := fs.join(ctx)
	select {
	case <-f.done:
		fs.leave(f, nil)
	case <-ctx.Done():
		cause := context.Cause(ctx)
		if last := fs.leave(f, cause); !last {
			return nil, cause
		}
		<-f.done
	}
	return f.snapshot, nil
}

// join returns the current flight, or starts one.
func (fs *flights) join(ctx context.Context) *flight {
	deadline, _ := ctx.Deadline()
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if f := fs.current; f != nil {
		f.waiting++
		f.shared = true
		if deadline.After(f.deadline) {
			f.deadline = deadline
		}
		fs.joined.Inc()
		return f
	}
	f := &flight{done: make(chan struct{}), waiting: 1, deadline: deadline}
	fs.current = f
	flightCtx, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	f.cancel = cancel
	previous := fs.previous
	go func() {
		defer close(f.done)
		if previous != nil {
			<-previous // snapshots are made one after another
		}
		//nolint:contextcheck // it inherits from ctx, but must not end with it
		f.snapshot = fs.take(movingDeadline{flightCtx, func() time.Time { return fs.deadlineOf(f) }},
			func() (shared bool) { return fs.land(f) })
	}()
	return f
}

// leave ends the waiting of one scrape. If it is the last, the listing is canceled
// for the given cause.
func (fs *flights) leave(f *flight, cause error) (last bool) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	f.waiting--
	if f.waiting > 0 {
		return false
	}
	f.cancel(cause)
	if fs.current == f {
		fs.current = nil
	}
	return true
}

// land ends the joining of a flight: its listing has ended, and a scrape that begins
// now must see what OMS says from now on. It reports whether anybody joined.
func (fs *flights) land(f *flight) (shared bool) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if fs.current == f {
		fs.current = nil
		fs.previous = f.done
	}
	return f.shared
}

func (fs *flights) deadlineOf(f *flight) time.Time {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	return f.deadline
}

// A movingDeadline is the context of a flight. No scrape's own context will do: the
// flight outlives those who give up, and may be given more time by one who joins.
//
// The context is canceled when the last scrape has left; that is what ends a listing
// in time. Its deadline cancels nothing. It tells the client how much time is left,
// so that it begins no retry that cannot end, and so it is always that of the most
// patient scrape so far.
type movingDeadline struct {
	context.Context //nolint:containedctx // it is a context
	deadline        func() time.Time
}

// Deadline implements [context.Context].
func (m movingDeadline) Deadline() (deadline time.Time, ok bool) { return m.deadline(), true }
