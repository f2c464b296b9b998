package collector

import (
	"cmp"
	"context"
	"errors"
	"math"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Flights let scrapes that overlap share a listing. A scrape joins the flight that
// is under way, or starts one; a flight lands when its listing ends, and then nobody
// can join it anymore. So a listing always ends later than the scrapes that share it
// began.
type flights struct {
	// take lists all projects, calls land when that has ended, and then makes a
	// snapshot of them.
	take       func(ctx context.Context, land func() (shared bool)) *Snapshot
	joined     prometheus.Counter
	most       time.Duration // how long a flight may take, however many join it
	room       *Room         // for snapshots that are in use
	background *background

	mu       sync.Mutex
	current  *flight         // which can be joined; nil: none
	previous <-chan struct{} // the done of the flight that landed last
	largest  int             // tasks of the largest snapshot so far
}

// A flight is a listing and the scrapes that wait for it.
type flight struct {
	done     chan struct{} // closed when there is a snapshot
	snapshot *Snapshot
	cancel   context.CancelCauseFunc
	latest   time.Time // when it is canceled, whoever waits

	// Guarded by the mutex of the flights.
	users     int         // scrapes that wait for the snapshot or use it
	leaveRoom func()      // nil: the snapshot is still to come
	shared    bool        // somebody joined
	deadline  time.Time   // the latest of all that have waited
	abandoned *time.Timer // cancels the listing, unless somebody joins in time; nil: somebody waits
}

// use calls a function with the snapshot of a flight. If ctx ends first, err is why, and
// the listing goes on for those who still wait. If nobody does because time is up, the
// listing is canceled, and the snapshot says so. The context must have a deadline.
func (fs *flights) use(ctx context.Context, use func(*Snapshot)) (err error) {
	f := fs.join(ctx)
	select {
	case <-f.done:
		defer fs.leave(f, nil)
	case <-ctx.Done():
		cause := context.Cause(ctx)
		if canceled := fs.leave(f, cause); !canceled {
			return cause
		}
		<-f.done
	}
	use(f.snapshot)
	return nil
}

// join returns the current flight, or starts one.
func (fs *flights) join(ctx context.Context) *flight {
	deadline, _ := ctx.Deadline()
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if f := fs.current; f != nil && time.Now().Before(f.latest) {
		f.users++
		f.shared = true
		f.extend(deadline)
		if f.abandoned != nil {
			f.abandoned.Stop()
			f.abandoned = nil
		}
		fs.joined.Inc()
		return f
	}
	f := &flight{done: make(chan struct{}), users: 1, latest: time.Now().Add(fs.most)}
	f.extend(deadline)
	fs.current = f
	previous := fs.previous
	f.cancel = fs.background.start(ctx, f.latest, func(flightCtx context.Context) {
		if previous != nil {
			<-previous // snapshots are made one after another
		}
		// If there is no room in time, its context has ended, and the snapshot says so.
		leaveRoom, _ := fs.room.Enter(flightCtx, fs.expected())
		defer fs.arrive(f, leaveRoom)
		//nolint:contextcheck // it inherits from ctx, but must not end with it
		f.snapshot = fs.take(movingDeadline{flightCtx, func() time.Time { return fs.deadlineOf(f) }},
			func() (shared bool) { return fs.land(f) })
	})
	return f
}

// extend gives the listing the time that a scrape has, if that is more.
func (f *flight) extend(deadline time.Time) {
	if deadline.After(f.latest) {
		deadline = f.latest
	}
	if deadline.After(f.deadline) {
		f.deadline = deadline
	}
}

// expected returns how many tasks the next snapshot may have. As long as there were none,
// anything may come.
func (fs *flights) expected() int {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	return cmp.Or(fs.largest, math.MaxInt)
}

// arrive hands the snapshot to those who wait for it. Its place in the room is free when
// none of them uses it anymore.
func (fs *flights) arrive(f *flight, leaveRoom func()) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	fs.largest = max(fs.largest, len(f.snapshot.tasks))
	if f.leaveRoom = leaveRoom; f.users == 0 {
		leaveRoom()
	}
	close(f.done)
}

// leave ends the waiting of one scrape, or its use of the snapshot. If nobody waits
// anymore, the listing is canceled for the given cause, unless that is that the scraper
// hung up.
//
// Canceling closes connections to OMS. Whoever hangs up over and over could have them
// made anew over and over, so the listing goes on for a while. It may end, or be shared
// by the scrape that comes next.
func (fs *flights) leave(f *flight, cause error) (canceled bool) {
	const grace = 2 * time.Second
	fs.mu.Lock()
	defer fs.mu.Unlock()
	f.users--
	switch {
	case f.users > 0:
		return false
	case f.leaveRoom != nil:
		f.leaveRoom()
	case errors.Is(cause, context.Canceled) && fs.current == f:
		f.abandoned = time.AfterFunc(grace, func() { fs.abandon(f, cause) })
		return false
	}
	fs.end(f, cause)
	return true
}

// abandon cancels a listing that nobody has waited for in a while.
func (fs *flights) abandon(f *flight, cause error) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if f.users == 0 {
		fs.end(f, cause)
	}
}

// end cancels a listing, so that nobody can join it anymore. The mutex must be held.
func (fs *flights) end(f *flight, cause error) {
	f.cancel(cause)
	if fs.current == f {
		fs.current = nil
	}
}

// land ends the joining of a flight: its listing has ended, and a scrape that begins
// now must see what OMS says from now on. It reports whether anybody joined.
func (fs *flights) land(f *flight) (shared bool) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if f.abandoned != nil {
		f.abandoned.Stop()
	}
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
