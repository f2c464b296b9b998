// Package omsclient lists the projects of an OceanBase Migration Service (OMS).
// It calls one action of the HTTP API, ListProjects, which only reads and which
// OMS has had since V4.1.0. [Client.VerifyResult] and [Client.Components] look
// closer at single projects, with an action each.
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
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// Action is the action of the API that [Client.List] calls.
const Action = "ListProjects"

// MaxPageSize is the largest pageSize that OMS documents.
const MaxPageSize = 150

// Options are the settings of a client. A zero field means its default, as in
// [DefaultOptions].
type Options struct {
	PageSize     int           // projects per page, at most MaxPageSize
	Concurrency  int           // pages after the first to request at the same time
	MaxPages     int           // pages that a listing may have
	MaxProjects  int           // projects that a listing may have
	MaxPageBytes int64         // bytes that a page may have, uncompressed
	MaxTries     int           // attempts per page, including the first
	Filter       Filter        // which projects to ask for
	PageTimeout  time.Duration // limit for an attempt; 0 leaves it to the context

	// Location is the time zone of the times that OMS sends without one, those
	// of [Project.GmtCreate] and its like. Nil means UTC.
	Location *time.Location

	// Credentials returns a fingerprint of what the HTTP client authenticates
	// with at the moment. It is called before each request, by several goroutines
	// at once. If it returns an error, nothing is sent and the listing fails with
	// [Credentials]. If OMS refuses the credentials, the same fingerprint is not
	// sent again for a while; see [Client.Refused]. Nil stands for credentials
	// that never change.
	Credentials func() (fingerprint string, err error)
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
	endpoint    string
	http        *http.Client
	options     Options
	credentials credentials
	lastPace    atomic.Pointer[pace] // nil before the first good listing
	distrust    atomic.Bool          // the last listing failed or was empty
}

// New returns a client for the OMS whose console is at the given URL, such as
// https://oms.example:8089. The URL may have a path, for an OMS behind a proxy.
//
// Authentication, TLS and proxies are up to the HTTP client. New copies it; the
// copy follows no redirects, since they could carry credentials elsewhere. After
// a listing that failed or was empty, and before a page is tried again, the client
// closes idle connections, so that it follows a name that has moved.
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
	strict.Transport = noRedirects{cmp.Or(hc.Transport, http.DefaultTransport)}
	return &Client{
		endpoint: endpoint, http: &strict, options: options,
		credentials: credentials{current: options.Credentials},
	}, nil
}

// DefaultOptions returns what the zero values of options mean.
func DefaultOptions() Options {
	return Options{
		PageSize: MaxPageSize, Concurrency: 4, MaxPages: 20_000, MaxProjects: 20_000,
		MaxPageBytes: 512 << 20, MaxTries: 3, Location: time.UTC,
	}
}

func (o *Options) setDefaults() {
	d := DefaultOptions()
	o.PageSize = cmp.Or(o.PageSize, d.PageSize)
	o.Concurrency = cmp.Or(o.Concurrency, d.Concurrency)
	o.MaxPages = cmp.Or(o.MaxPages, d.MaxPages)
	o.MaxProjects = cmp.Or(o.MaxProjects, d.MaxProjects)
	o.Location = cmp.Or(o.Location, d.Location)
	o.MaxPageBytes = cmp.Or(o.MaxPageBytes, d.MaxPageBytes)
	o.MaxTries = cmp.Or(o.MaxTries, d.MaxTries)
}

func (o *Options) validate() error {
	switch {
	case o.PageSize < 0 || o.PageSize > MaxPageSize:
		return fmt.Errorf("page size %d: OMS takes 1 to %d", o.PageSize, MaxPageSize)
	case min(o.Concurrency, o.MaxPages, o.MaxProjects, o.MaxTries) < 0,
		o.MaxPageBytes < 0, o.PageTimeout < 0:
		return errors.New("concurrency and limits must not be negative")
	}
	return nil
}

// isHost reports whether a text can be a host: one that has only digits and dots has to
// be an IP address.
func isHost(s string) bool {
	return strings.Trim(s, "0123456789.") != "" || net.ParseIP(s) != nil
}

func isPort(s string) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return err == nil && n > 0
}

// endpoint returns the URL of the API for a console's URL. Its errors do not
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
	case !isHost(u.Hostname()):
		return "", fmt.Errorf("%q is neither a host name nor an IP address",
			printable(u.Hostname(), maxWord))
	case u.Port() != "" && !isPort(u.Port()):
		return "", fmt.Errorf("there is no port %s: ports are 1 to 65535", printable(u.Port(), maxWord))
	case u.User != nil:
		return "", errors.New("a URL must not hold a user name or password: they end up in logs")
	case u.RawQuery != "" || u.Fragment != "":
		return "", errors.New("the URL of the console must not have a query or a fragment")
	case strings.HasSuffix(u.Path, "/api/v2"):
		return "", errors.New("give the URL of the console, without /api/v2")
	}
	return u.JoinPath("/api/v2").String(), nil
}
