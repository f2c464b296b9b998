// Package omsclient lists the projects of an OceanBase Migration Service (OMS)
// through its HTTP API, of which it calls a single, reading action:
// ListProjects, which OMS has had since V4.1.0.
//
// A [Client] reads through every page and yields each project once. It never
// logs, and it does not hold credentials: they are the business of the
// [net/http.Client] it is given.
package omsclient

import (
	"bytes"
	"cmp"
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

	"github.com/cenkalti/backoff/v5"
)

// Action is the action of the API that a client calls.
const Action = "ListProjects"

// MaxPageSize is the largest pageSize that OMS documents.
const MaxPageSize = 150

// Options are the settings of a client. A zero field means its default, as in
// [DefaultOptions].
type Options struct {
	PageSize     int           // projects per page, 1 to MaxPageSize
	Concurrency  int           // pages requested at once, after the first
	MaxPages     int           // pages after which a listing fails
	MaxPageBytes int64         // length of a body at which its page fails
	MaxTries     int           // attempts per page, including the first
	Filter       Filter        // which projects to ask for
	PageTimeout  time.Duration // time limit for one attempt; 0: the context's
}

// A Filter is what OMS is asked to leave out. The zero value asks for every
// project that is not a subtask.
type Filter struct {
	SearchKey           string   // name or id
	Type                string   // one of Types
	Statuses            []string // some of FilterStatuses
	LabelIDs            []string // ids of tags, not their names; OMS takes at most five
	SourceEndpointTypes []string
	SinkEndpointTypes   []string
	Subtasks            bool // ask for subtasks too: visibleSubProject
}

// A Client calls an OMS. It is safe for concurrent use.
type Client struct {
	endpoint string
	http     *http.Client
	options  Options
}

// New returns a client for the OMS whose console is at the given URL, such as
// https://oms.example:8089, with a path if a proxy puts OMS below one. The HTTP
// client adds credentials and decides about TLS; it is copied, and the copy
// follows no redirects, since they could carry credentials elsewhere.
func New(console string, hc *http.Client, options Options) (*Client, error) {
	endpoint, err := endpoint(console)
	if err != nil {
		return nil, err
	}
	if err := options.validate(); err != nil {
		return nil, err
	}
	options.setDefaults()
	strict := *hc
	strict.CheckRedirect = func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	}
	return &Client{endpoint: endpoint, http: &strict, options: options}, nil
}

// DefaultOptions returns what the zero values of options mean.
func DefaultOptions() Options {
	return Options{
		PageSize: MaxPageSize, Concurrency: 4, MaxPages: 20_000, MaxPageBytes: 512 << 20, MaxTries: 3,
	}
}

func (o *Options) setDefaults() {
	d := DefaultOptions()
	o.PageSize = cmp.Or(o.PageSize, d.PageSize)
	o.Concurrency = cmp.Or(o.Concurrency, d.Concurrency)
	o.MaxPages = cmp.Or(o.MaxPages, d.MaxPages)
	o.MaxPageBytes = cmp.Or(o.MaxPageBytes, d.MaxPageBytes)
	o.MaxTries = cmp.Or(o.MaxTries, d.MaxTries)
}

func (o *Options) validate() error {
	switch {
	case o.PageSize < 0 || o.PageSize > MaxPageSize:
		return fmt.Errorf("page size %d: OMS takes 1 to %d", o.PageSize, MaxPageSize)
	case min(o.Concurrency, o.MaxPages, o.MaxTries) < 0, o.MaxPageBytes < 0, o.PageTimeout < 0:
		return errors.New("concurrency and limits must not be negative")
	}
	return nil
}

// endpoint returns the URL of ListProjects below a console's URL. Its errors do
// not quote what was given, which might have a password in it.
func endpoint(console string) (string, error) {
	u, err := url.Parse(console)
	if err != nil {
		return "", errors.New("not a URL: want one such as https://oms.example:8089")
	}
	u.Path = strings.TrimRight(u.Path, "/")
	switch {
	case u.Scheme != "http" && u.Scheme != "https", u.Hostname() == "":
		return "", errors.New("not an http or https URL: want one such as https://oms.example:8089")
	case u.User != nil:
		return "", errors.New("a URL must not hold a user name or password: they end up in logs")
	case u.RawQuery != "" || u.Fragment != "":
		return "", errors.New("the URL of the console has no query and no fragment")
	case strings.HasSuffix(u.Path, "/api/v2"):
		return "", errors.New("give the URL of the console, without /api/v2")
	}
	u = u.JoinPath("/api/v2")
	u.RawQuery = url.Values{"Action": {Action}}.Encode()
	return u.String(), nil
}

// A Request is an attempt to get a page.
type Request struct {
	Page       int // from 1
	Attempt    int // from 1; more for the same page are retries
	Start      time.Time
	Duration   time.Duration // until the body was read
	StatusCode int           // 0 without an answer
	Rows       int           // elements of data
	Bytes      int64         // length of the body as read
	RequestID  string
	ClockSkew  Optional[time.Duration] // the answer's Date, in whole seconds, minus the own clock
	CertExpiry time.Time               // when the first certificate of OMS's chain expires
	Err        error                   // an *Error, or nil
}

// fetch gets a page, with a few tries if it may help. It returns every attempt.
func (c *Client) fetch(ctx context.Context, number int) (*page, []Request, error) {
	var (
		attempts []Request
		refused  bool
	)
	wait := backoff.NewExponentialBackOff()
	wait.InitialInterval = 200 * time.Millisecond
	p, err := backoff.Retry(ctx, func() (*page, error) {
		p, attempt, retry := c.attempt(ctx, number)
		attempt.Attempt = len(attempts) + 1
		attempts = append(attempts, attempt)
		if attempt.StatusCode == http.StatusUnauthorized && !refused {
			refused = true // a secret may just have been changed: its file is read anew
			return nil, errors.Join(attempt.Err, &backoff.RetryAfterError{})
		}
		return p, retry
	}, backoff.WithBackOff(wait), backoff.WithMaxTries(uint(c.options.MaxTries)),
		backoff.WithMaxElapsedTime(0))
	if err != nil {
		// The last attempt says more than that the time ran out after it.
		return nil, attempts, attempts[len(attempts)-1].Err
	}
	return p, attempts, nil
}

// attempt asks for a page once. The last result is nil, or tells
// [backoff.Retry] what to do.
func (c *Client) attempt(ctx context.Context, number int) (*page, Request, error) {
	r := Request{Page: number, Start: time.Now()}
	bounded, cancel := ctx, context.CancelFunc(func() {})
	if c.options.PageTimeout > 0 {
		bounded, cancel = context.WithTimeout(ctx, c.options.PageTimeout)
	}
	defer cancel()
	p, after, err := c.exchange(bounded, &r)
	r.Duration = time.Since(r.Start)
	if err == nil {
		return p, r, nil
	}
	err.Page = number
	if err.StatusCode == 0 {
		err.StatusCode = r.StatusCode
	}
	r.Err, r.RequestID = err, err.RequestID
	switch {
	case ctx.Err() != nil, !worthRetrying(err), tooLate(ctx, after):
		return nil, r, backoff.Permanent(err)
	case after > 0:
		return nil, r, errors.Join(err, &backoff.RetryAfterError{Duration: after})
	}
	return nil, r, err
}

// tooLate reports whether the context ends before so much time has passed.
func tooLate(ctx context.Context, after time.Duration) bool {
	deadline, ok := ctx.Deadline()
	return ok && time.Until(deadline) < after
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

// exchange sends a request and reads its answer. A duration is how long OMS
// asks to wait before the next one.
func (c *Client) exchange(ctx context.Context, r *Request) (*page, time.Duration, *Error) {
	request, err := c.request(ctx, r.Page)
	if err != nil {
		return nil, 0, &Error{Reason: Connect, Err: err}
	}
	response, err := c.http.Do(request)
	if err != nil {
		if ctx.Err() != nil {
			return nil, 0, &Error{Reason: endReason(ctx), Err: err}
		}
		if strings.Contains(err.Error(), "malformed") { // and quotes what was sent
			err = errors.New("the server does not speak HTTP")
		}
		return nil, 0, &Error{Reason: transportReason(err), Err: err}
	}
	defer response.Body.Close()
	r.StatusCode = response.StatusCode
	r.RequestID = ""
	if date, err := http.ParseTime(response.Header.Get("Date")); err == nil {
		r.ClockSkew = Some(date.Sub(time.Now().Truncate(time.Second)))
	}
	if response.TLS != nil {
		r.CertExpiry = FirstExpiry(response.TLS.PeerCertificates)
	}
	body := &meter{r: response.Body, limit: c.options.MaxPageBytes}
	defer func() { r.Bytes = body.n }()
	if response.StatusCode != http.StatusOK {
		return nil, retryAfter(response), statusError(response, body)
	}
	p, decodeErr := decodePage(body)
	r.Rows, r.RequestID = p.rows(), p.requestID
	if e := p.failure(response, decodeErr); e != nil {
		if body.err != nil {
			e.Reason, e.Err = body.reason(ctx), body.err
			if ctx.Err() != nil { // what the connection says of its end is no help
				e.Err = fmt.Errorf("while the answer was read: %w", context.Cause(ctx))
			}
		}
		return nil, 0, e
	}
	return p, 0, nil
}

func (c *Client) request(ctx context.Context, number int) (*http.Request, error) {
	f := c.options.Filter
	body, err := json.Marshal(struct {
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
		// In this order a new project lands on the last page and shifts no other.
		"gmtCreate", "asc", number, c.options.PageSize,
	})
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.endpoint, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Accept", "application/json")
	return request, nil
}

// retryAfter returns how long OMS, or a proxy, asks to wait, in seconds or until
// a date.
func retryAfter(response *http.Response) time.Duration {
	const longest = 24 * time.Hour
	header := response.Header.Get("Retry-After")
	after := time.Duration(0)
	if seconds, err := strconv.ParseUint(header, 10, 31); err == nil {
		after = time.Duration(seconds) * time.Second
	} else if date, err := http.ParseTime(header); err == nil {
		after = time.Until(date)
	}
	return min(max(after, 0), longest)
}

// statusError reports an answer that is not a 200. OMS may say more in its body;
// a proxy in front of it answers in HTML, which is not read.
func statusError(response *http.Response, body io.Reader) *Error {
	e := &Error{Reason: HTTPStatus, StatusCode: response.StatusCode}
	switch {
	case response.StatusCode == http.StatusUnauthorized || response.StatusCode == http.StatusForbidden:
		e.Reason = Auth
	case response.StatusCode >= 300 && response.StatusCode < 400:
		e.Err = fmt.Errorf("%s: redirects are not followed, use the final URL of the console",
			statusText(response.StatusCode))
	}
	const enough = 64 << 10
	if isJSON(response) {
		if p, err := decodePage(io.LimitReader(body, enough)); err == nil {
			e.Code, e.Message, e.RequestID = p.code, p.message, p.requestID
		}
	}
	_, _ = io.CopyN(io.Discard, body, enough) // so that the connection can be used again
	return e
}

// failure returns why a page cannot be used, or nil.
func (p *page) failure(response *http.Response, decodeErr error) *Error {
	e := &Error{
		Reason: Decode, StatusCode: response.StatusCode,
		Code: p.code, Message: p.message, RequestID: p.requestID,
	}
	switch {
	case decodeErr != nil && !isJSON(response):
		e.Err = fmt.Errorf("the answer is not JSON but %q: is this the URL of OMS?",
			response.Header.Get("Content-Type"))
	case decodeErr != nil:
		e.Err = describe(decodeErr)
	case p.success == Some(false):
		e.Reason = API
		if e.Code == "" {
			e.Code = p.detail
		}
	case !p.success.Known:
		e.Err = errors.New("the answer does not say success")
	default:
		return nil
	}
	return e
}

func isJSON(response *http.Response) bool {
	kind, _, _ := mime.ParseMediaType(response.Header.Get("Content-Type"))
	return kind == "" || strings.HasSuffix(kind, "json")
}

// A meter counts what is read, ends what is too long, and keeps the reader's
// error apart from those of the decoder above it.
type meter struct {
	r     io.Reader
	n     int64
	limit int64
	err   error // of r, or that the limit is reached; io.EOF is none
}

var errTooLong = errors.New("the page is longer than the limit of")

func (m *meter) Read(b []byte) (int, error) {
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

// reason classifies the meter's error.
func (m *meter) reason(ctx context.Context) Reason {
	if errors.Is(m.err, errTooLong) {
		return Decode
	}
	if ctx.Err() != nil {
		return endReason(ctx)
	}
	return transportReason(m.err)
}
