// Package omsclient lists the projects of an OceanBase Migration Service (OMS).
// It calls one action of the HTTP API, ListProjects, which only reads and which
// OMS has had since V4.1.0.
//
// # Usage
//
// Make a [Client] with [New] and range over [Client.List]:
//
//	client, err := omsclient.New("https://oms.example:8089", httpClient, omsclient.Options{
//		Filter: omsclient.Filter{Type: "MIGRATION"},
//	})
//	if err != nil {
//		return err
//	}
//	var report omsclient.Report
//	for project, err := range client.List(ctx, &report) {
//		if err != nil {
//			return err // of kind omsclient.ReasonOf(err)
//		}
//		if delay, known := project.ExtraInfo.SyncDelay.Get(); known {
//			fmt.Println(project.Name, project.Status, delay, "s behind")
//		}
//	}
//	fmt.Println(report.Pages, "pages")
//
// The loop sees every project once, in the order of creation, and nothing of the
// paging behind it. If it ends with an error, it has seen only part of the listing.
//
// A client does not log. It holds no credentials either: the transport of the
// [net/http.Client] adds them to each request.
//
// OMS sends the same field in several forms and leaves out many of them. An
// [Optional] that is not known, an empty text and a zero time all mean that OMS
// did not say, or said something unreadable, which [Report.Dropped] counts.
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

// Action is the action of the API that a [Client] calls.
const Action = "ListProjects"

// MaxPageSize is the largest pageSize that OMS documents.
const MaxPageSize = 150

// Options are the settings of a client. A zero field means its default, as in
// [DefaultOptions].
type Options struct {
	PageSize     int           // projects per page, at most MaxPageSize
	Concurrency  int           // pages after the first to request at the same time
	MaxPages     int           // pages that a listing may have
	MaxPageBytes int64         // bytes that a page may have, uncompressed
	MaxTries     int           // attempts per page, including the first
	Filter       Filter        // which projects to ask for
	PageTimeout  time.Duration // limit for an attempt; 0 leaves it to the context
}

// A Filter asks OMS to list only some projects. OMS does the filtering; the client
// does not check what it lists. The zero value asks for every project that is not
// a subtask.
type Filter struct {
	SearchKey           string   // a name or an id
	Type                string   // one of Types
	Statuses            []string // any of FilterStatuses
	LabelIDs            []string // ids of tags, not their names; OMS takes at most five
	SourceEndpointTypes []string // such as MYSQL
	SinkEndpointTypes   []string // such as OB_MYSQL
	Subtasks            bool     // subtasks too; visibleSubProject in the API
}

// A Client calls an OMS. It is safe for concurrent use. Make one with [New].
type Client struct {
	endpoint string
	http     *http.Client
	options  Options
}

// New returns a client for the OMS whose console is at the given URL, such as
// https://oms.example:8089. The URL may have a path, for an OMS behind a proxy.
//
// Authentication, TLS and proxies are up to the HTTP client. New copies it; the
// copy follows no redirects, since they could carry credentials elsewhere.
//
// New sends nothing. Its errors are about the URL and the options, and quote
// neither a password nor a query of the URL.
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

// endpoint returns the URL of ListProjects for a console's URL. Its errors do not
// quote the console's URL, which may contain a password.
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
		return "", errors.New("the URL of the console must not have a query or a fragment")
	case strings.HasSuffix(u.Path, "/api/v2"):
		return "", errors.New("give the URL of the console, without /api/v2")
	}
	u = u.JoinPath("/api/v2")
	u.RawQuery = url.Values{"Action": {Action}}.Encode()
	return u.String(), nil
}

// A Request is one attempt to get a page.
type Request struct {
	Page       int                     // from 1
	Attempt    int                     // from 1; higher ones are retries of the same page
	Start      time.Time               // when it was sent, by the client's clock
	Duration   time.Duration           // until the body had been read
	StatusCode int                     // HTTP status; 0 if there was no answer
	Rows       int                     // elements of data, usable or not
	Bytes      int64                   // length of the body, uncompressed
	RequestID  string                  // what OMS calls the request in its own logs
	ClockSkew  Optional[time.Duration] // OMS's clock minus the client's, in whole seconds
	CertExpiry time.Time               // when the first certificate of OMS's chain expires
	Err        error                   // an *Error, or nil
}

// fetch gets a page and retries if that may help. It returns every attempt, also
// if all of them failed; the error is that of the last one.
func (c *Client) fetch(ctx context.Context, pageNumber int) (*page, []Request, error) {
	var (
		attempts []Request
		refused  bool
	)
	wait := backoff.NewExponentialBackOff()
	wait.InitialInterval = 200 * time.Millisecond
	p, err := backoff.Retry(ctx, func() (*page, error) {
		p, attempt, retry := c.attempt(ctx, pageNumber)
		attempt.Attempt = len(attempts) + 1
		attempts = append(attempts, attempt)
		if attempt.StatusCode == http.StatusUnauthorized && !refused {
			// The secret may just have changed. The next attempt reads its file again.
			refused = true
			return nil, retryAtOnce(attempt.Err)
		}
		return p, retry
	}, backoff.WithBackOff(wait), backoff.WithMaxTries(uint(c.options.MaxTries)),
		backoff.WithMaxElapsedTime(0))
	if err != nil {
		// err may only say that time ran out while waiting for the next attempt.
		return nil, attempts, attempts[len(attempts)-1].Err
	}
	return p, attempts, nil
}

// attempt requests a page once. The error, if there is one, tells
// [backoff.Retry] whether and when to retry.
func (c *Client) attempt(ctx context.Context, pageNumber int) (*page, Request, error) {
	r := Request{Page: pageNumber, Start: time.Now()}
	bounded, cancel := ctx, context.CancelFunc(func() {})
	if c.options.PageTimeout > 0 {
		bounded, cancel = context.WithTimeout(ctx, c.options.PageTimeout)
	}
	defer cancel()
	p, wait, err := c.exchange(bounded, &r)
	r.Duration = time.Since(r.Start)
	if err == nil {
		return p, r, nil
	}
	err.Page = pageNumber
	if err.StatusCode == 0 {
		err.StatusCode = r.StatusCode
	}
	r.Err, r.RequestID = err, err.RequestID
	switch {
	case ctx.Err() != nil, !worthRetrying(err), endsWithin(ctx, wait):
		return nil, r, backoff.Permanent(err)
	case wait > 0:
		return nil, r, retryAfter(wait, err)
	}
	return nil, r, err
}

// retryAtOnce makes [backoff.Retry] retry without waiting.
func retryAtOnce(err error) error { return retryAfter(0, err) }

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

// exchange sends a request, reads the answer and fills in r. The duration is how
// long OMS asks the client to wait before the next request; 0 if it does not ask.
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
		if strings.Contains(err.Error(), "malformed") { // and quotes the answer
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
		return nil, requestedWait(response), statusError(response, body)
	}
	p, decodeErr := decodePage(body)
	r.Rows, r.RequestID = p.elements(), p.requestID
	if e := p.failure(response, decodeErr); e != nil {
		if body.err != nil {
			e.Reason, e.Err = body.reason(ctx), body.err
			if ctx.Err() != nil { // the connection's own error would not say why it ended
				e.Err = fmt.Errorf("while reading the answer: %w", context.Cause(ctx))
			}
		}
		return nil, 0, e
	}
	return p, 0, nil
}

// request makes the HTTP request for a page.
func (c *Client) request(ctx context.Context, pageNumber int) (*http.Request, error) {
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
		// In this order, a new project lands on the last page and shifts no other.
		"gmtCreate", "asc", pageNumber, c.options.PageSize,
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
	case response.StatusCode == http.StatusUnauthorized || response.StatusCode == http.StatusForbidden:
		e.Reason = Auth
	case response.StatusCode >= 300 && response.StatusCode < 400:
		e.Err = fmt.Errorf("%s: redirects are not followed, use the final URL of the console",
			statusText(response.StatusCode))
	}
	const maxBody = 64 << 10
	if isJSON(response) {
		if p, err := decodePage(io.LimitReader(body, maxBody)); err == nil {
			e.Code, e.Message, e.RequestID = p.code, p.message, p.requestID
		}
	}
	_, _ = io.CopyN(io.Discard, body, maxBody) // so that the connection can be reused
	return e
}

// failure returns why the page of a 200 cannot be used, or nil. That data is
// there is not checked: the page after the last one may lack it.
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
		e.Err = errors.New("the answer has no usable success field")
	default:
		return nil
	}
	return e
}

// isJSON reports whether the answer claims to be JSON, or claims nothing.
func isJSON(response *http.Response) bool {
	kind, _, _ := mime.ParseMediaType(response.Header.Get("Content-Type"))
	return kind == "" || strings.HasSuffix(kind, "json")
}

// A meter counts the bytes of a body and fails beyond a limit. It keeps its error,
// because the decoder reading from it may report another one instead.
type meter struct {
	r     io.Reader
	n     int64 // bytes read
	limit int64
	err   error // of r, or errTooLong; never io.EOF
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

// reason classifies the meter's error, which must not be nil.
func (m *meter) reason(ctx context.Context) Reason {
	if errors.Is(m.err, errTooLong) {
		return Decode
	}
	if ctx.Err() != nil {
		return endReason(ctx)
	}
	return transportReason(m.err)
}
