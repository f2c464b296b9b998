package omsclient

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptrace"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// A Request is one attempt to get a page, or what is known of one project.
type Request struct {
	Action     string                  // of the API; empty: that of a listing
	Page       int                     // of a listing, from 1
	Attempt    int                     // from 1; higher ones are retries of the same page
	Start      time.Time               // when it was sent, by the client's clock
	Duration   time.Duration           // until the body had been read
	StatusCode int                     // HTTP status; 0 if there was no answer
	Rows       int                     // elements of data, usable or not
	Bytes      int64                   // length of the body, uncompressed
	WireBytes  int64                   // length of the body as it was sent
	Reused     bool                    // went over a connection kept from an earlier request
	RequestID  string                  // what OMS calls the request in its own logs
	ClockSkew  Optional[time.Duration] // OMS's clock minus the client's, in whole seconds
	CertExpiry time.Time               // see [CertExpiry]
	Err        error                   // an *Error, or nil
}

// An order is an answer to get: a page, or what is known of one project.
type order struct {
	action string        // empty: that of a listing
	body   any           // of the request
	fields *object[page] // of the answer
	page   int           // of a listing, from 1
	memory *allowance

	// mayBeTooMany says that everything that OMS counts has been listed. If OMS
	// refuses the page, it is not asked again.
	mayBeTooMany bool
}

// fetch gets an answer and retries if that may help. It returns every attempt, even
// if all of them failed; the error is that of the last one. There are no attempts
// if the credentials must not be sent.
func (c *Client) fetch(ctx context.Context, o order) (*page, []Request, *Error) {
	var (
		attempts []Request
		failed   *Error
		renewed  bool // the credentials have been refused, and changed since
	)
	wait := backoff.NewExponentialBackOff()
	wait.InitialInterval = 200 * time.Millisecond
	p, err := backoff.Retry(ctx, func() (*page, error) {
		if len(attempts) > 0 {
			// Whoever failed to answer may have been behind a connection that is no
			// longer good, or at an address that is no longer OMS's.
			c.http.CloseIdleConnections()
		}
		fingerprint, refused := c.credentials.check()
		if refused != nil {
			refused.Action, refused.Page, failed = o.action, o.page, refused
			return nil, backoff.Permanent(refused)
		}
		p, attempt, pause, err := c.attempt(ctx, o)
		attempt.Attempt = len(attempts) + 1
		attempts = append(attempts, attempt)
		// Only a listing tells whether the credentials are right: OMS may refuse
		// other actions to accounts that may list.
		listing := o.action == ""
		if listing && attempt.StatusCode == http.StatusOK {
			c.credentials.accepted(fingerprint)
		}
		if failed = err; err == nil {
			return p, nil
		}
		switch {
		case listing && err.refusesCredentials():
			if c.credentials.refused(fingerprint) && !renewed {
				renewed = true
				return nil, retryAfter(0, err)
			}
			return nil, backoff.Permanent(err)
		case ctx.Err() != nil, !worthRetrying(err), o.mayBeTooMany && err.refusesPage(),
			endsWithin(ctx, pause):
			return nil, backoff.Permanent(err)
		case pause > 0:
			return nil, retryAfter(pause, err)
		}
		return nil, err
	}, backoff.WithBackOff(wait), backoff.WithMaxTries(uint(c.options.MaxTries)),
		backoff.WithMaxElapsedTime(0))
	if err != nil {
		// err may only say that time ran out while waiting for the next attempt.
		return nil, attempts, failed
	}
	return p, attempts, nil
}

// attempt requests a page once. If it fails, the duration is how long OMS asks to
// wait before the next attempt; 0 if it does not ask.
func (c *Client) attempt(
	ctx context.Context, o order,
) (*page, Request, time.Duration, *Error) {
	r := Request{Action: o.action, Page: o.page, Start: time.Now()}
	bounded, cancel := ctx, context.CancelFunc(func() {})
	if c.options.PageTimeout > 0 {
		bounded, cancel = context.WithTimeout(ctx, c.options.PageTimeout)
	}
	defer cancel()
	bounded, abandon := context.WithCancelCause(bounded)
	defer abandon(nil)
	w := &watch{abandon: abandon}
	if o.action == "" {
		w.patience = c.patience(ctx)
	}
	p, pause, err := c.exchange(w.traced(bounded), o, &r)
	r.Reused = w.end()
	r.Duration = time.Since(r.Start)
	if err == nil {
		return p, r, 0, nil
	}
	err.Action, err.Page = o.action, o.page
	if err.StatusCode == 0 {
		err.StatusCode = r.StatusCode
	}
	r.Err, r.RequestID = err, err.RequestID
	return nil, r, pause, err
}

// retryAfter makes [backoff.Retry] wait for the given time, and not for one of
// its own choosing, before it retries.
func retryAfter(wait time.Duration, err error) error {
	return errors.Join(err, &backoff.RetryAfterError{Duration: wait})
}

// endsWithin reports whether the context's deadline is less than d away.
func endsWithin(ctx context.Context, d time.Duration) bool {
	deadline, ok := ctx.Deadline()
	return ok && time.Until(deadline) < d
}

// worthRetrying reports whether the same request may well succeed soon.
func worthRetrying(err *Error) bool {
	switch err.Reason {
	case Connect, Timeout:
		return true
	case HTTPStatus:
		return err.StatusCode == http.StatusRequestTimeout ||
			err.StatusCode == http.StatusTooManyRequests || err.StatusCode >= 500
	}
	return false
}

// patience returns how long a connection that was idle may stay silent before it
// is given up for a new one; 0 for as long as the attempt may take. A firewall or a
// balancer may have forgotten the connection and swallow what is sent on it, which
// must not use up the time of the whole listing. An OMS that needs more than a
// quarter of that time for a page is not suspected: a second request could not be
// answered in what would be left.
func (c *Client) patience(ctx context.Context) time.Duration {
	deadline, ok := ctx.Deadline()
	if !ok {
		return 0
	}
	left := time.Until(deadline)
	patience := max(left/4, 2*time.Duration(c.slowest.Load()))
	if patience > left/2 {
		return 0
	}
	return patience
}

// A silence is for how long nothing came over a connection that had been idle.
type silence time.Duration

func (s silence) Error() string {
	return fmt.Sprintf("no answer within %v on a connection kept from an earlier request",
		time.Duration(s).Round(time.Millisecond))
}

// Is makes a silence a kind of timeout.
func (silence) Is(target error) bool { return target == context.DeadlineExceeded }

// A watch follows an attempt on its way over one connection or several. net/http
// itself moves on to the next one if a connection turns out to be closed.
type watch struct {
	patience time.Duration // with a connection that was idle; 0: unlimited
	abandon  context.CancelCauseFunc

	mu     sync.Mutex
	timer  *time.Timer // runs while a connection that was idle is silent
	reused bool        // the last connection
	ended  bool
}

// traced returns a context whose requests the watch follows.
func (w *watch) traced(ctx context.Context) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: w.gotConnection, GotFirstResponseByte: w.stop,
	})
}

func (w *watch) gotConnection(info httptrace.GotConnInfo) {
	const fresh = time.Second // nobody forgets a connection that was in use so recently
	w.stop()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.reused = info.Reused
	if info.IdleTime >= fresh && w.patience > 0 && !w.ended {
		w.timer = time.AfterFunc(w.patience, func() { w.abandon(silence(w.patience)) })
	}
}

func (w *watch) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.timer != nil {
		w.timer.Stop()
	}
}

// end stops watching and returns whether the last connection had been kept.
func (w *watch) end() (reused bool) {
	w.stop()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ended = true
	return w.reused
}
