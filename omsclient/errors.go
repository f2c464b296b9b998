package omsclient

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
)

// A Reason is the kind of a failure, for people and programs that decide by it.
type Reason string

// The reasons why a listing can fail.
const (
	Timeout    Reason = "timeout"     // the time ran out
	DNS        Reason = "dns"         // the host name does not resolve
	Connect    Reason = "connect"     // no connection, or it broke
	TLS        Reason = "tls"         // the TLS handshake failed, or a certificate is not trusted
	Auth       Reason = "auth"        // HTTP status 401 or 403
	HTTPStatus Reason = "http_status" // another HTTP status than 200
	API        Reason = "api_error"   // OMS answered success:false
	Decode     Reason = "decode"      // the answer cannot be read
	Pagination Reason = "pagination"  // the pages do not make a listing
	Canceled   Reason = "canceled"    // the caller gave up
)

// An Error is why a listing failed. Its text has neither secrets nor texts of
// OMS, which may quote rows and hosts of the migrated databases.
type Error struct {
	Reason     Reason
	Page       int    // the page that was asked for, from 1
	StatusCode int    // the HTTP status, which may well be 200; 0 without an answer
	Code       string // OMS's code, such as PARAM_ERROR
	Message    string // OMS's words, for people; not part of Error
	RequestID  string // what OMS calls the request in its own logs
	Err        error  // what is wrong, if OMS did not say it
}

// Error says which page failed, how, and by which code and request OMS knows it.
func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "list projects: page %d: ", e.Page)
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

// statusText names an HTTP status in Go's words, not in those of the server.
func statusText(code int) string {
	return strings.TrimSpace(fmt.Sprintf("HTTP status %d %s", code, http.StatusText(code)))
}

// Unwrap returns the error below, if there is one.
func (e *Error) Unwrap() error { return e.Err }

// ReasonOf returns the kind of an error of this package, or of one that a
// context caused. It is empty for nil.
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

// transportReason classifies an error of an HTTP client or of a connection.
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

// endReason classifies the end of a context. Its cause may be an error of the
// caller's own, which says nothing about that.
func endReason(ctx context.Context) Reason {
	if reason := transportReason(context.Cause(ctx)); reason == Canceled || reason == Timeout {
		return reason
	}
	return transportReason(ctx.Err())
}
