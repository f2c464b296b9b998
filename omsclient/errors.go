package omsclient

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
)

// A Reason is a kind of failure. The set is small and stable enough to be the
// value of a label or the case of a switch.
type Reason string

// The reasons why a listing can fail.
const (
	Timeout    Reason = "timeout"     // the context or the HTTP client ran out of time
	DNS        Reason = "dns"         // the host name does not resolve
	Connect    Reason = "connect"     // no connection, or it broke
	TLS        Reason = "tls"         // the handshake failed, or the certificate is not trusted
	Auth       Reason = "auth"        // HTTP status 401, 403 or 407, or the credentials rest
	HTTPStatus Reason = "http_status" // any other HTTP status but 200, or unreadable headers
	API        Reason = "api_error"   // OMS answered success:false
	Decode     Reason = "decode"      // the answer is not what OMS sends, or is too long
	Pagination Reason = "pagination"  // the pages repeat, do not end, or lack what OMS counts
	Limit      Reason = "limit"       // more than a limit of [Options] admits
	Canceled   Reason = "canceled"    // the caller canceled the context

	Credentials Reason = "credentials" // a secret or certificate cannot be read; nothing was sent
)

// An Error is why a listing failed. Its text contains no secret and no message of
// OMS, which may quote rows and host names of the migrated databases. All it quotes
// of what a server has sent are Code and RequestID.
type Error struct {
	Reason     Reason
	Action     string // of the API; empty: that of a listing
	Page       int    // the page of a listing, from 1
	StatusCode int    // HTTP status, which may be 200; 0 if there was no answer
	Code       string // OMS's code, such as PARAM_ERROR; printable and short
	Message    string // OMS's message, which may quote data; not part of the error's text
	RequestID  string // what OMS calls the request in its own logs; printable and short
	Err        error  // what is wrong, unless OMS or the HTTP status says it
}

// Error says which page failed and why, with OMS's code and request id if there
// are any.
func (e *Error) Error() string {
	var b strings.Builder
	if e.Action == "" {
		fmt.Fprintf(&b, "list projects: page %d: ", e.Page)
	} else {
		b.WriteString(e.Action + ": ")
	}
	switch {
	case e.Err != nil:
		b.WriteString(e.Err.Error())
	case e.Reason == API:
		b.WriteString("OMS answered success:false")
	default:
		b.WriteString(statusText(e.StatusCode))
	}
	if e.Code != "" {
		fmt.Fprintf(&b, ", code %q", e.Code)
	}
	if e.RequestID != "" {
		fmt.Fprintf(&b, ", requestId %q", e.RequestID)
	}
	return b.String()
}

// statusText names an HTTP status. The reason phrase is Go's: the server's could be
// anything.
func statusText(code int) string {
	return strings.TrimSpace(fmt.Sprintf("HTTP status %d %s", code, http.StatusText(code)))
}

// Unwrap returns the error below, if there is one.
func (e *Error) Unwrap() error { return e.Err }

// ReasonOf returns the reason of an error that is, or wraps, an [*Error], a context
// error or an error of an HTTP client. It is empty for nil, and [Connect] for an
// error of any other kind.
func ReasonOf(err error) Reason {
	var e *Error
	switch {
	case err == nil:
		return ""
	case errors.As(err, &e):
		return e.Reason
	}
	return transportReason(err)
}

// noAnswer returns the error for a request that an HTTP client could not get an
// answer to. An [*Error] of its transport stays what it is.
func noAnswer(ctx context.Context, err error) *Error {
	var (
		own    *Error
		silent silence
	)
	switch {
	case errors.As(err, &own):
		return &Error{
			Reason: own.Reason, StatusCode: own.StatusCode, Err: cutError(cmp.Or(own.Err, err)),
		}
	case errors.As(context.Cause(ctx), &silent):
		return &Error{Reason: Timeout, Err: silent}
	case ctx.Err() != nil:
		return &Error{Reason: endReason(ctx), Err: fmt.Errorf("no answer: %w", context.Cause(ctx))}
	}
	if refusal := refusalOfProxy(err); refusal != nil {
		return refusal
	}
	reason, err := reword(err)
	return &Error{Reason: reason, Err: err}
}

// isAuth reports whether an HTTP status, of OMS or of a proxy, is about who asks.
func isAuth(status int) bool {
	return status == http.StatusUnauthorized || status == http.StatusForbidden ||
		status == http.StatusProxyAuthRequired
}

// refusesCredentials reports whether OMS, a proxy, or a transport before it asked OMS
// has refused the credentials. A 403 accepts them and refuses what they ask for.
func (e *Error) refusesCredentials() bool {
	return e.Reason == Auth && e.StatusCode != http.StatusForbidden
}

// ProxyRefusal returns the error for a proxy that answers CONNECT with an HTTP status
// other than 200. It quotes nothing of the proxy.
func ProxyRefusal(status int) *Error {
	e := &Error{
		Reason: Connect, StatusCode: status,
		Err: errors.New(strings.TrimSpace(fmt.Sprintf(
			"the proxy answers %d %s", status, http.StatusText(status)))),
	}
	if isAuth(status) {
		e.Reason = Auth
	}
	return e
}

// refusalOfProxy recognizes the error of net/http for a proxy that does not connect to
// the server, or returns nil. Of an HTTP proxy it is no more than the reason phrase of
// the answer, which could be anything, but usually is the standard one.
func refusalOfProxy(err error) *Error {
	var outer *url.Error
	if errors.As(err, &outer) {
		err = outer.Err
	}
	var socks *net.OpError
	if errors.As(err, &socks) && socks.Op == "socks connect" {
		switch socks.Err.Error() {
		case "username/password authentication failed", "no acceptable authentication methods":
			return &Error{Reason: Auth, Err: errors.New("the proxy refuses its user or password")}
		}
	}
	for code := http.StatusMultipleChoices; code < 600; code++ {
		if text := http.StatusText(code); text != "" && err.Error() == text {
			return ProxyRefusal(code)
		}
	}
	return nil
}

// refusesPage reports whether an answer says that there is no such page, in one of
// the ways in which servers say so. Answers about who asks, or when, do not, and
// neither do those of a proxy that cannot reach OMS: they would have been the same
// for a page that is there.
func (e *Error) refusesPage() bool {
	switch e.Reason {
	case API:
		return true
	case Decode:
		return errors.Is(e.Err, errNoSuccess) || errors.Is(e.Err, errNotObject)
	case HTTPStatus:
		switch e.StatusCode {
		case http.StatusNoContent, http.StatusBadRequest, http.StatusNotFound,
			http.StatusGone, http.StatusRequestedRangeNotSatisfiable,
			http.StatusUnprocessableEntity, http.StatusInternalServerError,
			http.StatusNotImplemented:
			return true
		}
	}
	return false
}

// transportReason classifies an error of an HTTP client or of a connection. Some
// have no exported type and can only be told by their text.
func transportReason(err error) Reason {
	var (
		dns         *net.DNSError
		timeout     net.Error
		certificate *tls.CertificateVerificationError
		record      tls.RecordHeaderError
		alert       tls.AlertError
		authority   x509.UnknownAuthorityError
		host        x509.HostnameError
		invalid     x509.CertificateInvalidError
	)
	switch {
	case errors.Is(err, context.Canceled):
		return Canceled
	case errors.Is(err, context.DeadlineExceeded):
		return Timeout
	case errors.As(err, &dns):
		return DNS
	case errors.As(err, &certificate), errors.As(err, &record), errors.As(err, &alert),
		errors.As(err, &authority), errors.As(err, &host), errors.As(err, &invalid),
		strings.Contains(err.Error(), "tls: "), // an alert's type, for one, is not exported
		strings.Contains(err.Error(), "HTTP response to HTTPS client"):
		return TLS
	case errors.As(err, &timeout) && timeout.Timeout():
		return Timeout
	}
	return Connect
}

// endReason classifies why a context ended. The cause decides if it is a context
// error, and ctx.Err otherwise, since a caller can set any error as the cause.
func endReason(ctx context.Context) Reason {
	if reason := transportReason(context.Cause(ctx)); reason == Canceled || reason == Timeout {
		return reason
	}
	return transportReason(ctx.Err())
}
