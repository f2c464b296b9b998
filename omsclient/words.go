package omsclient

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/url"
	"strings"
	"syscall"
	"unicode"
)

// Limits of what is quoted, in runes.
const (
	maxWord  = 64  // a word of the server's: a code, a request id, a media type
	maxWords = 300 // the text of an error
)

// printable cuts a text after a number of runes and replaces what does not print,
// such as controls and marks that reverse the direction of writing.
func printable(s string, limit int) string {
	var b strings.Builder
	n := 0
	for _, r := range s {
		if n++; n > limit {
			b.WriteString("…")
			break
		}
		if !unicode.IsPrint(r) {
			r = unicode.ReplacementChar
		}
		b.WriteRune(r)
	}
	return b.String()
}

// A rephrased error has another text than its cause.
type rephrased struct {
	text  string
	cause error // may be nil
}

func (r *rephrased) Error() string { return r.text }
func (r *rephrased) Unwrap() error { return r.cause }

// cutError returns an error whose text is short and printable.
func cutError(err error) error {
	if text := printable(err.Error(), maxWords); text != err.Error() {
		return &rephrased{text, err}
	}
	return err
}

// wordings are what to say for errors of net/http that have no type and may quote
// the server, and the reason if it is not that of a broken connection. The server
// may choose which one is found, but no word of it.
var wordings = []struct {
	part, text string
	reason     Reason
}{
	{"headers exceeded", "the headers of the answer are too long", HTTPStatus},
	{"transfer encoding", "the answer has a Transfer-Encoding that cannot be read", HTTPStatus},
	{"Content-Length", "the answer has a Content-Length that cannot be read", HTTPStatus},
	{"malformed", "the server does not speak HTTP", ""},
	{"HTTP response to HTTPS client", "the server speaks HTTP, not HTTPS", TLS},
	{"stream error", "HTTP/2 stream error", ""},
	{"http2", "the HTTP/2 connection failed", ""},
	{"closed idle connection", "the server closed the connection", ""},
	{"oauth2", "the token server refused, or its answer cannot be read", ""},
	{"", "the exchange with the server, or with a proxy, failed", ""},
}

// reword returns the reason of an error of an HTTP client or a connection, and an
// error that quotes nothing that the server or a proxy has sent. It keeps the cause
// if that is known to be small.
func reword(err error) (Reason, error) {
	var outer *url.Error
	if errors.As(err, &outer) {
		err = outer.Err
	}
	reason := transportReason(err)
	switch text := err.Error(); {
	case isCertificate(err):
		return reason, aboutCertificate(err)
	case isOwn(err):
		return reason, cutError(err)
	case reason == TLS && strings.Contains(text, "tls: "):
		if ours, _, found := strings.Cut(text, ": x509"); found { // what follows is the server's
			return reason, errors.New(ours)
		}
		return reason, cutError(err)
	case reason == Timeout:
		return reason, &rephrased{"no answer in time", nil}
	default:
		for _, w := range wordings {
			if strings.Contains(text, w.part) {
				return cmp.Or(w.reason, reason), errors.New(w.text)
			}
		}
	}
	return reason, err
}

// isOwn reports whether an error is this side's, and quotes at most addresses.
func isOwn(err error) bool {
	var (
		errno syscall.Errno
		dns   *net.DNSError
	)
	return errors.As(err, &errno) || errors.As(err, &dns) ||
		errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed)
}

func isCertificate(err error) bool {
	var (
		verification *tls.CertificateVerificationError
		authority    x509.UnknownAuthorityError
		host         x509.HostnameError
		invalid      x509.CertificateInvalidError
	)
	return errors.As(err, &verification) || errors.As(err, &authority) ||
		errors.As(err, &host) || errors.As(err, &invalid)
}

// aboutCertificate rewords why a certificate is not trusted, without the names in
// it.
func aboutCertificate(err error) error {
	var (
		authority x509.UnknownAuthorityError
		host      x509.HostnameError
		invalid   x509.CertificateInvalidError
		text      = "x509: the certificate is not trusted"
	)
	switch {
	case errors.As(err, &authority):
		text = x509.UnknownAuthorityError{}.Error()
	case errors.As(err, &host):
		text = "x509: certificate is not valid for " + host.Host
	case errors.As(err, &invalid):
		if invalid.Reason != x509.Expired { // whose details are times
			invalid.Detail = ""
		}
		text = invalid.Error()
		if invalid.Cert != nil && invalid.Cert.IsCA { // and so is not the server's own
			text += "; it is that of an authority in the server's chain"
		}
	}
	return &rephrased{printable("tls: failed to verify certificate: "+text, maxWords), err}
}
