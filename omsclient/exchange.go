package omsclient

import (
	"bufio"
	"bytes"
	"cmp"
	"compress/flate"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// exchange sends a request, reads the answer and fills in r. The duration is how
// long OMS asks the client to wait before the next request; 0 if it does not ask.
func (c *Client) exchange(
	ctx context.Context, o order, r *Request,
) (*page, time.Duration, *Error) {
	request, err := c.request(ctx, o)
	if err != nil {
		return nil, 0, &Error{Reason: Connect, Err: err}
	}
	response, err := c.http.Do(request)
	if err != nil {
		return nil, 0, noAnswer(ctx, err)
	}
	defer response.Body.Close()
	r.StatusCode = response.StatusCode
	if date, err := http.ParseTime(response.Header.Get("Date")); err == nil {
		r.ClockSkew = Some(date.Sub(time.Now().Truncate(time.Second)))
	}
	r.CertExpiry = CertExpiry(response.TLS)
	if response.StatusCode < http.StatusOK {
		// The body is the bare connection, which no context ends.
		return nil, 0, &Error{Reason: HTTPStatus, StatusCode: response.StatusCode}
	}
	limit := c.options.MaxPageBytes
	if o.action != "" {
		limit = min(limit, maxDetailBytes)
	}
	wire := &meter{ctx: ctx, r: response.Body, limit: limit}
	body := &meter{ctx: ctx, r: &inflater{wire: bufio.NewReader(wire)}, limit: limit}
	defer func() { r.Bytes, r.WireBytes = body.n, wire.n }()
	if response.StatusCode != http.StatusOK {
		return nil, requestedWait(response), statusError(response, body)
	}
	p, decodeErr := decodeAnswer(
		body, o.fields, c.options.Location, o.memory, secretsOf(response.Request))
	r.Rows, r.RequestID = p.elements(), p.requestID
	if e := p.failure(response, decodeErr); e != nil {
		// Only if the connection broke off is it the reason. An answer may also have been
		// cut before it was sent, or before it was compressed.
		if body.err != nil && (wire.err != nil || !endsEarly(body.err)) {
			e.Reason, e.Err = body.failure()
		}
		return nil, 0, e
	}
	return p, 0, nil
}

// listBody returns the body of a request for a page of the listing.
func (c *Client) listBody(pageNumber int) any {
	f := c.options.Filter
	return struct {
		SearchKey           string   `json:"searchKey,omitempty"`
		Type                string   `json:"type,omitempty"`
		Status              []string `json:"status,omitempty"`
		LabelIDs            []string `json:"labelIds,omitempty"`
		SourceEndpointTypes []string `json:"sourceEndpointTypes,omitempty"`
		SinkEndpointTypes   []string `json:"sinkEndpointTypes,omitempty"`
		VisibleSubProject   bool     `json:"visibleSubProject"`
		SortField           string   `json:"sortField"`
		Order               string   `json:"order"`
		PageNumber          int      `json:"pageNumber"`
		PageSize            int      `json:"pageSize"`
	}{
		f.SearchKey, f.Type, f.Statuses, f.LabelIDs, f.SourceEndpointTypes, f.SinkEndpointTypes,
		f.Subtasks,
		// In this order, a new project lands on the last page and shifts no other.
		"gmtCreate", "asc", pageNumber, c.options.PageSize,
	}
}

// request makes the HTTP request for an order.
func (c *Client) request(ctx context.Context, o order) (*http.Request, error) {
	body, err := json.Marshal(o.body)
	if err != nil {
		return nil, err
	}
	endpoint := c.endpoint + "?" + url.Values{"Action": {cmp.Or(o.action, Action)}}.Encode()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Accept", "application/json")
	request.Header.Set("Accept-Encoding", "gzip")
	// This tells net/http that the request may be repeated if a kept connection
	// turns out to be closed. It sends no header for nil.
	request.Header["Idempotency-Key"] = nil
	return request, nil
}

// noRedirects hides from an HTTP client where a redirect leads, so that it neither
// follows nor quotes it.
type noRedirects struct{ http.RoundTripper }

func (t noRedirects) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := t.RoundTripper.RoundTrip(r)
	if response != nil {
		response.Header.Del("Location")
	}
	return response, err
}

// CloseIdleConnections lets [http.Client.CloseIdleConnections] through.
func (t noRedirects) CloseIdleConnections() {
	(&http.Client{Transport: t.RoundTripper}).CloseIdleConnections()
}

// requestedWait returns the time that Retry-After asks to wait, which is a number
// of seconds or a date. It is 0 if the header is absent or not readable, and a day
// at most.
func requestedWait(response *http.Response) time.Duration {
	header := response.Header.Get("Retry-After")
	wait := time.Duration(0)
	if seconds, err := strconv.ParseUint(header, 10, 31); err == nil {
		wait = time.Duration(seconds) * time.Second
	} else if date, err := http.ParseTime(header); err == nil {
		wait = time.Until(date)
	}
	return min(max(wait, 0), 24*time.Hour)
}

// statusError returns the error for an answer that is not a 200. If the body is
// JSON, it is OMS's, and has a code and a request id. HTML comes from a proxy and
// is not read.
func statusError(response *http.Response, body io.Reader) *Error {
	e := &Error{Reason: HTTPStatus, StatusCode: response.StatusCode}
	switch {
	case isAuth(response.StatusCode):
		e.Reason = Auth
	case response.StatusCode == http.StatusNotModified: // leads nowhere
	case response.StatusCode >= 300 && response.StatusCode < 400:
		e.Err = fmt.Errorf("%s: redirects are not followed, use the final URL of the console",
			statusText(response.StatusCode))
	}
	const maxBody = 64 << 10
	if isJSON(response) {
		p, err := decodeAnswer(io.LimitReader(body, maxBody), answerFields, time.UTC, nil,
			secretsOf(response.Request))
		if err == nil {
			e.Code, e.Message, e.RequestID = p.code, p.message, p.requestID
		}
	}
	return e
}

var errNoSuccess = errors.New("the answer has no usable success field")

// failure returns why the page of a 200 cannot be used, or nil. That data is
// there is not checked: the page after the last one may lack it.
func (p *page) failure(response *http.Response, decodeErr error) *Error {
	e := &Error{
		Reason: Decode, StatusCode: response.StatusCode,
		Code: p.code, Message: p.message, RequestID: p.requestID,
	}
	coding := strings.ToLower(strings.Join(response.Header.Values("Content-Encoding"), ", "))
	quote := secretsOf(response.Request).quote
	switch {
	case errors.Is(decodeErr, errAllowance):
		e.Reason, e.Err = Limit, decodeErr
	case decodeErr != nil && coding != "" && coding != "gzip" && coding != "identity":
		e.Err = fmt.Errorf("the answer is compressed with %q, which was not asked for",
			quote(coding))
	case decodeErr != nil && !isTooMuch(decodeErr) && !isJSON(response):
		notJSON := &rephrased{text: fmt.Sprintf("the answer is not JSON but %q: is this the URL of OMS?",
			quote(mediaType(response)))}
		if endsEarly(decodeErr) { // or is empty, perhaps only this once
			notJSON.cause = errEndsEarly
		}
		e.Err = notJSON
	case decodeErr != nil:
		e.Err = describe(decodeErr)
		if charset := charset(response); charset != "" && !isTooMuch(decodeErr) && !endsEarly(decodeErr) {
			e.Err = fmt.Errorf("%w, perhaps because its charset is %q", e.Err, quote(charset))
		}
	case p.success == Some(false):
		e.Reason = API
		if e.Code == "" {
			e.Code = p.detail.Code
		}
	case !p.success.Known:
		e.Err = errNoSuccess
	default:
		return nil
	}
	return e
}

// isJSON reports whether the answer claims to be JSON, or claims nothing.
func isJSON(response *http.Response) bool {
	kind := mediaType(response)
	return kind == "" || strings.HasSuffix(kind, "json")
}

// charset returns the charset that the answer claims to have, if that is not UTF-8.
func charset(response *http.Response) string {
	_, parameters, err := mime.ParseMediaType(response.Header.Get("Content-Type"))
	switch charset := parameters["charset"]; strings.ToLower(charset) {
	case "utf-8", "utf8", "us-ascii":
		return ""
	default:
		if err != nil {
			return ""
		}
		return charset
	}
}

// mediaType returns the Content-Type without parameters.
func mediaType(response *http.Response) string {
	kind, _, _ := strings.Cut(response.Header.Get("Content-Type"), ";")
	return strings.ToLower(strings.TrimSpace(kind))
}

// An inflater decompresses an answer in gzip, and passes on one that is not. It
// goes by the first bytes, because headers were seen that were wrong.
type inflater struct {
	wire   *bufio.Reader
	begun  bool
	zipped *gzip.Reader // nil: the answer is not compressed
}

func (i *inflater) Read(b []byte) (int, error) {
	if !i.begun {
		i.begun = true
		if err := i.begin(); err != nil {
			return 0, corrupt(err)
		}
	}
	if i.zipped == nil {
		return i.wire.Read(b)
	}
	for {
		n, err := i.zipped.Read(b)
		if errors.Is(err, io.EOF) {
			err = i.next()
		}
		if n > 0 || err != nil {
			return n, corrupt(err)
		}
	}
}

func (i *inflater) begin() (err error) {
	if magic, _ := i.wire.Peek(2); string(magic) != "\x1f\x8b" {
		return nil
	}
	if i.zipped, err = gzip.NewReader(i.wire); err == nil {
		i.zipped.Multistream(false)
	}
	return err
}

// next begins another member of the stream. Zeros are padding.
func (i *inflater) next() error {
	for {
		next, err := i.wire.Peek(1)
		if err != nil {
			return err // [io.EOF] at the end
		}
		if next[0] != 0 {
			break
		}
		_, _ = i.wire.Discard(1)
	}
	if err := i.zipped.Reset(i.wire); err != nil {
		return err
	}
	i.zipped.Multistream(false)
	return nil
}

var errBadGzip = errors.New("the answer is not valid gzip")

// corrupt replaces an error about the content of a gzip stream.
func corrupt(err error) error {
	var inside flate.CorruptInputError
	if errors.Is(err, gzip.ErrHeader) || errors.Is(err, gzip.ErrChecksum) || errors.As(err, &inside) {
		return errBadGzip
	}
	return err
}

// A meter counts the bytes of a body and fails beyond a limit, or if the context
// has ended. It keeps its error, because the decoder reading from it may report
// another one instead.
type meter struct {
	ctx   context.Context //nolint:containedctx // of the request whose body it is
	r     io.Reader
	n     int64 // bytes read
	limit int64
	err   error // of r, or errTooLong; never io.EOF
}

var errTooLong = errors.New("the page is longer than the limit of")

func (m *meter) Read(b []byte) (int, error) {
	// A server that keeps sending, or a few bytes that inflate to many, would go on
	// for longer than the context.
	if err := m.ctx.Err(); err != nil {
		m.err = err
		return 0, err
	}
	n, err := m.r.Read(b)
	m.n += int64(n)
	if m.n > m.limit {
		err = fmt.Errorf("%w %d bytes", errTooLong, m.limit)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		m.err = err
	}
	return n, err
}

// failure rewords the meter's error, which must not be nil.
func (m *meter) failure() (Reason, error) {
	switch {
	case errors.Is(m.err, errTooLong), errors.Is(m.err, errBadGzip):
		return Decode, m.err
	case m.ctx.Err() != nil: // the connection's own error would not say why it ended
		return endReason(m.ctx), fmt.Errorf("while reading the answer: %w", context.Cause(m.ctx))
	}
	return reword(m.err)
}
