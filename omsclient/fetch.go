package omsclient

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
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

	doubtful bool // not trusted; see the function ask
}

// An order is an answer to get: a page, or what is known of one project.
type order struct {
	action string        // empty: that of a listing
	body   any           // of the request
	fields *object[page] // of the answer
	page   int           // of a listing, from 1
	memory *allowance

	// conns are the connections that the listing has used. They are nil for other
	// actions.
	conns *connections

	// lookFor is how long to look for a page after everything that OMS counts has been
	// listed. It is asked for once, and without it the listing is complete. It is 0 for
	// a page that there has to be.
	lookFor time.Duration
}

// isBadNews reports whether an answer is one that a node could give that is OMS no
// longer: a failure or an empty listing.
func (o *order) isBadNews(p *page, err *Error) bool {
	return err != nil || o.page == 1 && p.elements() == 0
}

// fetch gets an answer and retries if that may help. It returns every attempt, even
// if all of them failed; the error is that of the last one. There are no attempts
// if the credentials must not be sent.
func (c *Client) fetch(ctx context.Context, o order) (*page, []Request, *Error) {
	var (
		attempts []Request
		failed   *Error
		renewed  bool // the credentials have been refused, and changed since
		doubted  bool // the refusal of credentials that OMS has accepted
	)
	wait := backoff.NewExponentialBackOff()
	wait.InitialInterval = 200 * time.Millisecond
	tries := c.options.MaxTries
	if o.lookFor > 0 {
		tries = 1
	}
	p, err := backoff.Retry(ctx, func() (*page, error) {
		if len(attempts) > 0 {
			// Whoever failed to answer may have been behind a connection that is no
			// longer good, or at an address that is no longer OMS's.
			c.http.CloseIdleConnections()
		}
		if doubted && o.conns.refused(1) > maxRefusals {
			return nil, backoff.Permanent(failed)
		}
		fingerprint, refused := c.credentials.check()
		if refused != nil {
			refused.Action, refused.Page, failed = o.action, o.page, refused
			return nil, backoff.Permanent(refused)
		}
		p, pause, err := c.ask(ctx, o, &attempts)
		// Only a listing tells whether the credentials are right: OMS may refuse
		// other actions to accounts that may list.
		listing := o.action == "" && o.lookFor == 0
		last := attempts[len(attempts)-1]
		if listing && last.StatusCode == http.StatusOK {
			c.credentials.accepted(fingerprint)
			o.conns.accept(fingerprint)
		}
		if failed = err; err == nil {
			return p, nil
		}
		switch {
		case listing && err.refusesCredentials() && o.conns.accepted(fingerprint):
			// One node of several may be sick, so another one is asked, once.
			err.Err = contradiction(err)
			if o.conns.refused(1); doubted && !last.Reused {
				return nil, backoff.Permanent(err)
			}
			doubted = true
			return nil, retryAfter(streamEnds, err)
		case listing && err.refusesCredentials():
			if c.credentials.refused(fingerprint) && !renewed {
				renewed = true
				return nil, retryAfter(0, err)
			}
			return nil, backoff.Permanent(err)
		}
		return nil, retry(ctx, pause, err)
	}, backoff.WithBackOff(wait), backoff.WithMaxTries(uint(tries)), backoff.WithMaxElapsedTime(0))
	if err != nil {
		// err may only say that time ran out while waiting for the next attempt.
		return nil, attempts, failed
	}
	return p, attempts, nil
}

// ask makes an attempt. A connection kept from an earlier listing is not trusted with
// bad news until it has brought good news in this one: at its other end may be a node
// that is OMS no longer, or nobody. Idle connections are then closed and the page is
// asked for again at once, which is over another connection. This ends, because the kept
// connections do. A wait that OMS asks for is kept all the same.
func (c *Client) ask(
	ctx context.Context, o order, attempts *[]Request,
) (*page, time.Duration, *Error) {
	for {
		p, attempt, pause, err := c.attempt(ctx, o)
		attempt.Attempt = len(*attempts) + 1
		*attempts = append(*attempts, attempt)
		waits := pause > 0 && !endsWithin(ctx, pause)
		if !attempt.doubtful || waits || o.lookFor > 0 || !wait(ctx, streamEnds) {
			return p, pause, err
		}
		c.http.CloseIdleConnections()
	}
}

// maxRefusals is how often a listing sends credentials that OMS has accepted and then
// refused, unless they are under way already. If the password has just been changed in
// OMS, one more could lock the account.
const maxRefusals = 4

// streamEnds is how long net/http may need to notice that nothing is left to do on an
// HTTP/2 connection. Until then, the connection is not idle.
const streamEnds = 20 * time.Millisecond

// wait waits, and reports whether there is time left.
func wait(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// attempt requests a page once. If it fails, the duration is how long OMS asks to
// wait before the next attempt; 0 if it does not ask.
func (c *Client) attempt(
	ctx context.Context, o order,
) (*page, Request, time.Duration, *Error) {
	r := Request{Action: o.action, Page: o.page, Start: time.Now()}
	bounded, cancel := ctx, context.CancelFunc(func() {})
	if limit := cmp.Or(o.lookFor, c.options.PageTimeout); limit > 0 {
		bounded, cancel = context.WithTimeout(ctx, limit)
	}
	defer cancel()
	bounded, abandon := context.WithCancelCause(bounded)
	defer abandon(nil)
	w := &watch{abandon: abandon}
	if o.action == "" {
		w.patience = c.patience(ctx, o.page)
	}
	p, pause, err := c.exchange(w.traced(bounded), o, &r)
	var conn net.Conn
	conn, r.Reused = w.end()
	r.doubtful = !o.conns.trust(conn, o.isBadNews(p, err)) && r.Reused
	r.Duration = time.Since(r.Start)
	if err == nil {
		return p, r, 0, nil
	}
	w.explain(err)
	err.Action, err.Page = o.action, o.page
	if err.StatusCode == 0 {
		err.StatusCode = r.StatusCode
	}
	r.Err, r.RequestID = err, err.RequestID
	return nil, r, pause, err
}

// contradiction words a refusal of credentials that OMS has accepted before.
func contradiction(err *Error) error {
	return fmt.Errorf("%w, though the same credentials were accepted for earlier pages",
		cmp.Or(err.Err, errors.New(statusText(err.StatusCode))))
}

// retry makes [backoff.Retry] try again if that may help, after the time that OMS asks for.
func retry(ctx context.Context, pause time.Duration, err *Error) error {
	switch {
	case ctx.Err() != nil, !worthRetrying(err), endsWithin(ctx, pause):
		return backoff.Permanent(err)
	case pause > 0:
		return retryAfter(pause, err)
	}
	return err
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
	case Decode:
		return errors.Is(err.Err, errEndsEarly)
	case HTTPStatus:
		return err.StatusCode == http.StatusRequestTimeout ||
			err.StatusCode == http.StatusTooManyRequests || err.StatusCode >= 500
	}
	return false
}

// A pace is how fast OMS has answered of late.
type pace struct {
	pages         int           // of the last good listing
	mean, slowest time.Duration // of a page
}

// pace returns the pace of OMS, which is zero before the first good listing.
func (c *Client) pace() pace {
	if p := c.lastPace.Load(); p != nil {
		return *p
	}
	return pace{}
}

// learn takes the pace of a listing that went well. The slowest page is forgotten only
// slowly: an OMS whose answers vary shall not be suspected of silence.
func (p pace) learn(requests []Request) pace {
	slowest, sum, n := p.slowest-p.slowest/8, time.Duration(0), 0
	for i := range requests {
		if r := &requests[i]; r.Err == nil {
			slowest = max(slowest, r.Duration)
			sum += r.Duration
			n++
		}
	}
	return pace{pages: n, mean: sum / time.Duration(max(n, 1)), slowest: slowest}
}

// patience returns how long the answer over a connection that was idle may take before
// the connection is given up for a new one; 0 for as long as the attempt may take. A
// firewall or a balancer may have forgotten the connection and swallow what is sent on
// it. A new one must then have the time to get this page and all that follow. The rest
// is shared between the two, but nothing is given up within the time that OMS needs for
// a page, and so there is no limit if the time does not suffice for both.
func (c *Client) patience(ctx context.Context, pageNumber int) time.Duration {
	deadline, ok := ctx.Deadline()
	if !ok {
		return 0
	}
	left, last := time.Until(deadline), c.pace()
	following := max(last.pages-pageNumber, 0)
	rounds := (following + c.options.Concurrency - 1) / c.options.Concurrency
	needed := last.slowest + last.mean*time.Duration(rounds)
	spare := left - last.slowest - needed
	if spare <= 0 {
		return 0
	}
	return min(max(left/4, 2*last.slowest), last.slowest+spare/2)
}

// A silence is for how long nothing came over a connection that had been idle.
type silence time.Duration

func (s silence) Error() string {
	return fmt.Sprintf("no complete answer within %v on a connection kept from an earlier request",
		time.Duration(s).Round(time.Millisecond))
}

// Is makes a silence a kind of timeout.
func (silence) Is(target error) bool { return target == context.DeadlineExceeded }

// Connections are those that a listing has used, and what OMS has said over them about
// the credentials.
type connections struct {
	mu       sync.Mutex
	credit   map[net.Conn]int // grows with bad news, and is enough after good news
	good     map[string]bool  // fingerprints of credentials that OMS has accepted
	refusals int              // of these
}

// accept notes that OMS has accepted credentials.
func (c *connections) accept(fingerprint string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.good[fingerprint] = true
}

// accepted reports whether OMS has accepted credentials.
func (c *connections) accepted(fingerprint string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.good[fingerprint]
}

// refused adds to how often OMS has refused credentials that it had accepted, or is asked
// whether it still does, and returns the sum.
func (c *connections) refused(more int) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refusals += more
	return c.refusals
}

// trust notes an answer over a connection and reports whether it is to be believed.
func (c *connections) trust(conn net.Conn, isBad bool) bool {
	const enough = 3 // the connection could not be closed in between
	if c == nil {
		return true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.credit[conn]++; !isBad {
		c.credit[conn] = enough
	}
	return c.credit[conn] >= enough
}

// A watch follows an attempt on its way over one connection or several. net/http
// itself moves on to the next one if a connection turns out to be closed.
type watch struct {
	patience time.Duration // with a connection that was idle; 0: unlimited
	abandon  context.CancelCauseFunc

	mu    sync.Mutex
	timer *time.Timer           // runs while an answer over an idle connection is awaited
	last  httptrace.GotConnInfo // about the last connection
	doing string                // to get a connection; empty: there is one
	ended bool
}

// traced returns a context whose requests the watch follows.
func (w *watch) traced(ctx context.Context) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		DNSStart:     func(info httptrace.DNSStartInfo) { w.note("looking up " + info.Host) },
		ConnectStart: func(_, address string) { w.note("connecting to " + address) },
		// Without a proxy, something else follows at once.
		ConnectDone: func(_, address string, _ error) {
			w.note("waiting for the proxy " + address)
		},
		TLSHandshakeStart: func() { w.note("waiting for the TLS handshake") },
		GotConn:           w.gotConnection,
	})
}

// note notes what is being done to get a connection.
func (w *watch) note(doing string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.doing = doing
}

// explain adds to a timeout what was being done when time ran out.
func (w *watch) explain(e *Error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if e.Reason == Timeout && w.doing != "" && e.Err != nil {
		e.Err = fmt.Errorf("%w, while %s", e.Err, printable(w.doing, maxWords))
	}
}

func (w *watch) gotConnection(info httptrace.GotConnInfo) {
	const fresh = time.Second // nobody forgets a connection that was in use so recently
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stop()
	w.last, w.doing = info, ""
	if info.IdleTime >= fresh && w.patience > 0 && !w.ended {
		w.timer = time.AfterFunc(w.patience, func() { w.abandon(silence(w.patience)) })
	}
}

func (w *watch) stop() {
	if w.timer != nil {
		w.timer.Stop()
	}
}

// end stops watching. It returns the last connection, nil if there was none, and
// whether it had been kept.
func (w *watch) end() (conn net.Conn, reused bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stop()
	w.ended = true
	return w.last.Conn, w.last.Reused
}
