// Package omssim simulates OMS, the OceanBase Migration Service, for clients of its
// HTTP API. It has ListProjects with filters, paging and Basic authentication, the
// actions that tell more of a single task, a fleet of tasks that live by a clock of the
// caller's, and faults to turn on.
//
// The state of the fleet is a pure function of the [Options] and the clock. Requests
// at the same time get the same tasks, byte for byte, in whatever order they are
// made. Only the ids and costs of requests differ.
//
// A server also answers these requests, without credentials:
//
//	GET    /sim/scenarios   what tasks do: names and descriptions
//	GET    /sim/faults      the faults that are on, one per line
//	PUT    /sim/faults      replace them; the body has a line for each, see ParseFault
//	DELETE /sim/faults      turn all faults off
//
// Anything else is not found: an OMS behind a proxy that adds to the path needs
// [http.StripPrefix].
package omssim

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Options say what to simulate. The zero value is a healthy OMS without tasks.
type Options struct {
	// Tasks is the number of tasks in the fleet. A few subtasks come on top, for
	// requests that ask for them. It is ignored if Projects or Pages is set.
	Tasks int
	// Seed selects the fleet. The same seed gives the same fleet.
	Seed uint64
	// Now is the clock of the simulated OMS; nil means time.Now. It must be safe for
	// concurrent use. New calls it once, to create the tasks in the year before.
	Now func() time.Time
	// Latency is the time to wait before answering a page.
	Latency time.Duration
	// Style is how numbers and booleans look.
	Style Style
	// BlobBytes is the approximate size of the deprecated configuration of each task,
	// which is never much below a kilobyte; 0 means that it is null.
	BlobBytes int
	// Gzip compresses answers for clients that accept it.
	Gzip bool
	// Username and Password are the required credentials. If both are empty, none are
	// required.
	Username, Password string
	// Scenarios names what tasks do. Tasks take them in turn. Empty means all, in the
	// default mix.
	Scenarios []string
	// Projects are raw JSON to serve instead of the fleet, exactly as given and in
	// this order. Filters and sort order are validated, but have no effect.
	Projects []string
	// Pages are recorded answers for pages 1, 2 and so on, to serve byte for byte
	// instead of the fleet and Projects, whatever else a request asks for. A page
	// after the last is empty and has the totalCount of the last. Faults that affect
	// requests work; faults that change or count tasks do nothing.
	Pages []string
	// Answers are recorded answers about single tasks, by [AnswerName]. They stand
	// instead of those that the fleet gives.
	Answers map[string]string
	// Total returns the raw JSON to send as totalCount; nil means the number of
	// matching tasks. It must be safe for concurrent use.
	Total func(tasks, pageNumber, pageSize int) string
	// MaxPageSize is the largest pageSize that is accepted; 0 means 150.
	MaxPageSize int
}

// A Request is what a client asked for. If the server refused the request before
// decoding it, page and filter are zero.
type Request struct {
	Action     string
	TaskID     string // what an action about a single task is about
	PageNumber int
	PageSize   int
	Filter     Filter
	Status     int // HTTP status of the answer; 0 if there is none, or not yet
}

// A Server is a simulated OMS. It is safe for concurrent use. Make one with New.
type Server struct {
	options Options
	fleet   *fleet
	blobs   string
	ids     atomic.Uint64

	mu       sync.Mutex // guards the fields below, and what they point to
	faults   []*activeFault
	wrong    int // passwords in a row
	requests []*Request
}

const (
	apiPath       = "/api/v2"
	faultsPath    = "/sim/faults"
	scenariosPath = "/sim/scenarios"

	maxRequests = 10_000 // that a server remembers

	paramError = "PARAM_ERROR"
)

// New returns a simulated OMS. Unknown scenarios, negative numbers and pages that
// are not JSON are errors.
func New(options Options) (*Server, error) {
	if min(options.Tasks, options.BlobBytes, options.MaxPageSize) < 0 || options.Latency < 0 {
		return nil, errors.New("tasks, latency, blob bytes and page size must not be negative")
	}
	if options.Style != Native && options.Style != Quoted {
		return nil, fmt.Errorf("unknown style %d", options.Style)
	}
	mix, err := scenarioMix(options.Scenarios)
	if err != nil {
		return nil, err
	}
	if options.Now == nil {
		options.Now = time.Now
	}
	if options.MaxPageSize == 0 {
		options.MaxPageSize = 150
	}
	tasks := options.Tasks
	if options.Projects != nil {
		options.Projects = slices.Clone(options.Projects)
		tasks = 0
	}
	if len(options.Pages) > 0 {
		if err := options.replay(); err != nil {
			return nil, err
		}
		options.Projects, tasks = nil, 0
	}
	reference := time.Unix(options.Now().Unix()/day*day, 0)
	return &Server{
		options: options,
		fleet:   newFleet(tasks, options.Seed, reference, mix),
		blobs:   blobs(options.BlobBytes, options.Style),
	}, nil
}

// SetFaults replaces the faults that are on. Without arguments it turns all off. It
// may be called while the server is serving. It panics if a kind is unknown or a
// number is negative; [ParseFault] never returns such a fault.
func (s *Server) SetFaults(faults ...Fault) {
	active := make([]*activeFault, 0, len(faults))
	for _, f := range faults {
		what := f.lookUp()
		if what == nil || f.Page < 0 || f.Times < 0 || !f.suitsAction() {
			panic(fmt.Sprintf("omssim: there is no fault %q", f.String()))
		}
		active = append(active, &activeFault{Fault: f, what: what})
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults, s.wrong = active, 0
}

// Requests returns the last 10,000 requests to the API, in order of arrival.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	requests := make([]Request, 0, len(s.requests))
	for _, r := range s.requests {
		requests = append(requests, *r)
	}
	return requests
}

// Forget drops the requests that [Server.Requests] would return.
func (s *Server) Forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = nil
}

// ServeHTTP implements [http.Handler].
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.setDate(w)
	switch path := r.URL.Path; path {
	case apiPath:
		s.serveAPI(w, r)
	case faultsPath:
		s.serveFaults(w, r)
	case scenariosPath:
		s.serveScenarios(w, r)
	default:
		s.fail(w, r, http.StatusNotFound, apiFailure{"NOT_FOUND", "路径不存在 " + path})
	}
}

// setDate sets the time at which an answer begins.
func (s *Server) setDate(w http.ResponseWriter) {
	w.Header().Set("Date", s.options.Now().UTC().Format(http.TimeFormat))
}

func (s *Server) serveAPI(w http.ResponseWriter, r *http.Request) {
	if !s.allow(w, r, http.MethodPost) {
		return
	}
	started := time.Now()
	action := r.URL.Query().Get("Action")
	w, record := s.record(w, action)
	if !s.admits(r) {
		w.Header().Set("WWW-Authenticate", `Basic realm="OMS"`)
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	var (
		q       query
		subject string
		err     error
	)
	switch {
	case action == actionList:
		q, err = decodeQuery(r.Body, s.options.MaxPageSize)
	case detailActions[action] != nil:
		subject, err = decodeSubject(r.Body)
	default:
		s.fail(w, r, http.StatusOK, apiFailure{paramError, "不支持的 Action " + action})
		return
	}
	if err != nil {
		s.fail(w, r, http.StatusOK, apiFailure{paramError, "参数错误: " + err.Error()})
		return
	}
	record(q, subject)
	if !pause(r.Context(), s.options.Latency) {
		abort()
	}
	s.setDate(w)
	if action == actionList {
		s.list(w, r, q, started)
	} else {
		s.describe(w, r, action, subject, started)
	}
}

// list answers with a page, or with what a fault does instead.
func (s *Server) list(w http.ResponseWriter, r *http.Request, q query, started time.Time) {
	s.mu.Lock()
	effects := take(s.faults, actionList, q.pageNumber)
	s.mu.Unlock()
	for _, e := range effects {
		if e.answer != nil {
			e.answer(w, r)
			return
		}
	}

	at := sampleBefore(s.options.Now())
	l := s.find(q, at)
	for _, e := range effects {
		switch {
		case e.content != nil:
			e.content(l)
		case e.inPass != nil:
			e.inPass(l, e.pass)
		}
	}
	switch {
	case l.answer != nil:
		l.answer(w, r)
		return
	case l.failure.code != "":
		s.fail(w, r, http.StatusOK, l.failure)
		return
	}

	doc, recorded := s.recorded(l)
	if !recorded {
		doc = s.render(l, at, time.Since(started).Milliseconds())
	}
	send := sendWhole
	for _, e := range effects {
		switch {
		case e.document != nil:
			doc = e.document(doc)
		case e.send != nil:
			send = e.send
		}
	}
	s.deliver(w, r, doc, send)
}

// find returns the listing for a query at the given time, in Unix seconds.
func (s *Server) find(q query, at int64) *listing {
	l := &listing{query: q, shown: q.pageNumber, recorded: len(s.options.Pages)}
	if s.options.Projects == nil {
		l.tasks = s.fleet.find(&q.Filter, at)
	} else {
		for i := range s.options.Projects {
			l.tasks = append(l.tasks, i)
		}
	}
	l.total = len(l.tasks)
	return l
}

// fail answers with a failure.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, status int, failure apiFailure) {
	doc := failure.render(s.options.Style, s.requestID())
	s.deliver(w, r, doc, func(w http.ResponseWriter, _ *http.Request, doc []byte) {
		w.Header().Set("Content-Length", strconv.Itoa(len(doc)))
		w.WriteHeader(status)
		_, _ = w.Write(doc)
	})
}

// deliver sends a JSON document, compressed if both the client and the options
// allow it.
func (s *Server) deliver(w http.ResponseWriter, r *http.Request, doc []byte,
	send func(http.ResponseWriter, *http.Request, []byte),
) {
	if s.options.Gzip {
		w.Header().Set("Vary", "Accept-Encoding")
		if len(doc) > 0 && strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
			w.Header().Set("Content-Encoding", "gzip")
			doc = compress(doc)
		}
	}
	w.Header().Set("Content-Type", "application/json;charset=UTF-8")
	send(w, r, doc)
}

// pause waits for d and returns true, or returns false when the context ends.
func pause(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// admits reports whether a request may be answered: its credentials are right, and
// no fault has locked the account.
func (s *Server) admits(r *http.Request) bool {
	right := s.authorized(r)
	s.mu.Lock()
	defer s.mu.Unlock()
	if !right {
		s.wrong++
		return false
	}
	if slices.ContainsFunc(s.faults, func(f *activeFault) bool {
		return f.what.locked != nil && f.what.locked(s.wrong)
	}) {
		return false
	}
	s.wrong = 0
	return true
}

func (s *Server) authorized(r *http.Request) bool {
	if s.options.Username == "" && s.options.Password == "" {
		return true
	}
	username, password, ok := r.BasicAuth()
	match := subtle.ConstantTimeCompare([]byte(username), []byte(s.options.Username)) &
		subtle.ConstantTimeCompare([]byte(password), []byte(s.options.Password))
	return ok && match == 1
}

// requestID returns a new id for each request.
func (s *Server) requestID() string {
	id := mix64(s.options.Seed) ^ mix64(s.ids.Add(1))
	return fmt.Sprintf("%08x-%04x-%04x", id>>32, id>>16&0xffff, id&0xffff)
}

// record remembers a request. It returns a writer that notes the status of the
// answer, and a function to call with the query once it is decoded.
func (s *Server) record(
	w http.ResponseWriter, action string,
) (http.ResponseWriter, func(q query, taskID string)) {
	request := &Request{Action: action}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = append(s.requests[max(0, len(s.requests)-maxRequests+1):], request)
	asked := func(q query, taskID string) {
		s.mu.Lock()
		defer s.mu.Unlock()
		request.PageNumber, request.PageSize, request.Filter = q.pageNumber, q.pageSize, q.Filter
		request.TaskID = taskID
	}
	return &statusWriter{ResponseWriter: w, server: s, request: request}, asked
}

// A statusWriter notes the status of an answer before the client can see it.
type statusWriter struct {
	http.ResponseWriter
	server  *Server
	request *Request
}

// WriteHeader implements [http.ResponseWriter].
func (w *statusWriter) WriteHeader(status int) {
	w.note(status)
	w.ResponseWriter.WriteHeader(status)
}

func (w *statusWriter) note(status int) {
	w.server.mu.Lock()
	defer w.server.mu.Unlock()
	w.request.Status = status
}

// Unwrap is for [http.ResponseController].
func (w *statusWriter) Unwrap() http.ResponseWriter {
	return w.ResponseWriter
}

// allow reports whether the request has one of the methods. If not, it answers.
func (s *Server) allow(w http.ResponseWriter, r *http.Request, methods ...string) bool {
	if slices.Contains(methods, r.Method) {
		return true
	}
	w.Header().Set("Allow", strings.Join(methods, ", "))
	failure := apiFailure{"METHOD_NOT_ALLOWED", "不支持的方法 " + r.Method}
	s.fail(w, r, http.StatusMethodNotAllowed, failure)
	return false
}

func (s *Server) serveFaults(w http.ResponseWriter, r *http.Request) {
	if !s.allow(w, r, http.MethodGet, http.MethodPut, http.MethodDelete) {
		return
	}
	switch r.Method {
	case http.MethodDelete:
		s.SetFaults()
	case http.MethodPut:
		faults, err := readFaults(http.MaxBytesReader(w, r.Body, maxBody))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		s.SetFaults(faults...)
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.faults {
		if f.what.inPass != nil || !f.exhausted() {
			_, _ = fmt.Fprintln(w, f.Fault)
		}
	}
}

// readFaults reads one fault per line. It skips empty lines and those that begin
// with #.
func readFaults(body io.Reader) ([]Fault, error) {
	lines, err := io.ReadAll(body)
	if err != nil {
		return nil, fmt.Errorf("read faults: %w", err)
	}
	var faults []Fault
	for line := range strings.Lines(string(lines)) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		f, err := ParseFault(line)
		if err != nil {
			return nil, err
		}
		faults = append(faults, f)
	}
	return faults, nil
}

func (s *Server) serveScenarios(w http.ResponseWriter, r *http.Request) {
	if !s.allow(w, r, http.MethodGet) {
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	for _, d := range ScenarioDocs() {
		_, _ = fmt.Fprintf(w, "%-16s%s\n", d.Name, d.Doc)
	}
}
