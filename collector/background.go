package collector

import (
	"context"
	"fmt"
	"sync"
	"time"
)

var errClosed = fmt.Errorf("the collector is closed: %w", context.Canceled)

// A background runs work that outlives the scrape that began it: listings, which other
// scrapes may share, and questions about single tasks.
type background struct {
	over    context.Context //nolint:containedctx // done when the collector is closed
	end     context.CancelCauseFunc
	running sync.WaitGroup

	mu     sync.Mutex
	closed bool // nothing is added to running anymore
}

func newBackground() *background {
	over, end := context.WithCancelCause(context.Background())
	return &background{over: over, end: end}
}

// start runs work in a goroutine. Its context has the values of ctx, but ends only at the
// deadline, when it is canceled, or when the background is closed.
func (b *background) start(
	ctx context.Context, deadline time.Time, work func(context.Context),
) (cancel context.CancelCauseFunc) {
	bounded, stop := context.WithDeadline(context.WithoutCancel(ctx), deadline)
	workCtx, cancel := context.WithCancelCause(bounded)
	//nolint:contextcheck // the work ends with the background too
	detach := context.AfterFunc(b.over, func() { cancel(errClosed) })
	run := func() {
		defer stop()
		defer detach()
		work(workCtx)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		go run() // its context ends at once
	} else {
		b.running.Go(run)
	}
	return cancel
}

// close cancels all work and waits until it has ended.
func (b *background) close() {
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
	b.end(errClosed)
	b.running.Wait()
}
