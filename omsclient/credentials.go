package omsclient

import (
	"fmt"
	"sync"
	"time"
)

// A Refusal says that OMS has refused the credentials in use, and that they rest.
type Refusal struct {
	Since time.Time // when OMS refused them first
	Next  time.Time // when they are sent again, unless they change before
	Count int       // how often OMS has refused them
}

// Refused returns whether OMS has refused the credentials in use. Accounts may be
// locked after some wrong passwords, so credentials that were refused are not sent
// again until [Refusal.Next], which is 1, 2, 4, 8, 16, 32 and then always 60
// minutes after the last refusal. Until then, listings fail with [Auth] and send
// nothing. Changed credentials are sent at once; see [Options.Credentials].
func (c *Client) Refused() (Refusal, bool) {
	c.credentials.mu.Lock()
	defer c.credentials.mu.Unlock()
	return c.credentials.refusal, c.credentials.refusal.Count > 0
}

// rest returns how long credentials rest that were refused so many times before.
func rest(before int) time.Duration {
	const doublings = 6
	return min(time.Minute<<min(before, doublings), time.Hour)
}

// A credentials decides whether the HTTP client's credentials may be sent.
type credentials struct {
	current func() (fingerprint string, err error) // nil if they never change

	mu          sync.Mutex
	fingerprint string // of the refused ones
	refusal     Refusal
}

// check returns the fingerprint of the credentials, or why nothing may be sent.
func (c *credentials) check() (fingerprint string, failed *Error) {
	fingerprint, err := c.read()
	if err != nil {
		return "", &Error{Reason: Credentials, Err: cutError(err)}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if fingerprint != c.fingerprint {
		c.refusal = Refusal{}
	}
	if c.refusal.Count > 0 && time.Now().Before(c.refusal.Next) {
		return "", &Error{Reason: Auth, Err: fmt.Errorf("OMS, or a proxy in front of it,"+
			" refuses the credentials since %s; they are sent again at %s, or as soon as they change",
			moment(c.refusal.Since), moment(c.refusal.Next))}
	}
	return fingerprint, nil
}

func (c *credentials) read() (fingerprint string, err error) {
	if c.current == nil {
		return "", nil
	}
	return c.current()
}

func moment(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// refused notes that credentials were refused. It returns whether there are others
// by now.
func (c *credentials) refused(fingerprint string) (changed bool) {
	c.mu.Lock()
	now := time.Now()
	if c.refusal.Count == 0 || fingerprint != c.fingerprint {
		c.fingerprint, c.refusal = fingerprint, Refusal{Since: now}
	}
	// Several pages may be refused at once; that is one refusal.
	if !now.Before(c.refusal.Next) {
		c.refusal.Next = now.Add(rest(c.refusal.Count))
		c.refusal.Count++
	}
	c.mu.Unlock()
	current, err := c.read()
	return err == nil && current != fingerprint
}

// accepted notes that credentials were accepted.
func (c *credentials) accepted(fingerprint string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if fingerprint == c.fingerprint {
		c.refusal = Refusal{}
	}
}
