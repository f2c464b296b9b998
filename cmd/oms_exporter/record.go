package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"oms_exporter/omsclient"
)

// A recorder is a transport that keeps the answers to ListProjects as files in a
// directory, page-0001.json for page 1 and so on. They can be served again with
// simulate --replay.
//
// An answer is written while it is read, and named when it was read to its end. If
// a page is answered more than once, the last whole answer stands. A page whose
// request is canceled was asked for ahead and is not needed: it is left out, and so
// are all after it. A recorder never fails a request: what goes wrong with the files
// is for Err.
type recorder struct {
	dir      string
	redactor *omsclient.Redactor // nil: as OMS sent it
	next     http.RoundTripper

	mu     sync.Mutex
	kept   map[int]bool
	failed map[int]error // by page: why the last answer was not kept
	end    int           // the first page that was not needed, 0 if there is none
}

// newRecorder makes the directory, unless it is there. It refuses one that has pages
// in it, so that no recording is a mixture of two.
func newRecorder(dir string, redact bool, next http.RoundTripper) (*recorder, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, entry := range entries {
		if ok, err := filepath.Match("page-*.json", entry.Name()); ok || err != nil {
			return nil, fmt.Errorf("%s has pages of a recording already, such as %s: "+
				"remove them or choose another directory", dir, entry.Name())
		}
	}
	r := &recorder{dir: dir, next: next, kept: map[int]bool{}, failed: map[int]error{}}
	if redact {
		r.redactor = omsclient.NewRedactor()
	}
	return r, nil
}

// Pages returns how many pages there are.
func (r *recorder) Pages() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.kept)
}

// Err returns why pages that OMS answered were not kept, or nil. A page that was kept
// at a later attempt is no error.
func (r *recorder) Err() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []error
	for _, page := range slices.Sorted(maps.Keys(r.failed)) {
		all = append(all, fmt.Errorf("record page %d: %w", page, r.failed[page]))
	}
	return errors.Join(all...)
}

// keep gives a file its name, unless something was wrong with the answer in it.
func (r *recorder) keep(page int, file string, wrong error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if page == 1 {
		r.end = 0 // another listing begins
	}
	if !r.needs(page) {
		_ = os.Remove(file) // if it stays, it is not taken for a page
		return
	}
	if wrong == nil {
		wrong = os.Rename(file, r.name(page))
	}
	if wrong != nil {
		_ = os.Remove(file)
		r.failed[page] = wrong
		return
	}
	delete(r.failed, page)
	r.kept[page] = true
}

// leaveOut notes that a page and those after it are not needed.
func (r *recorder) leaveOut(page int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.needs(page) {
		return
	}
	r.end = page
	maps.DeleteFunc(r.failed, func(page int, _ error) bool { return !r.needs(page) })
	maps.DeleteFunc(r.kept, func(page int, _ bool) bool {
		return !r.needs(page) && os.Remove(r.name(page)) == nil
	})
}

func (r *recorder) needs(page int) bool { return r.end == 0 || page < r.end }

func (r *recorder) name(page int) string {
	return filepath.Join(r.dir, fmt.Sprintf("page-%04d.json", page))
}

// CloseIdleConnections is for [http.Client].
func (r *recorder) CloseIdleConnections() {
	if next, ok := r.next.(interface{ CloseIdleConnections() }); ok {
		next.CloseIdleConnections()
	}
}

// RoundTrip implements [http.RoundTripper].
func (r *recorder) RoundTrip(request *http.Request) (*http.Response, error) {
	if request.URL.Query().Get("Action") != omsclient.Action || request.Body == nil {
		return r.next.RoundTrip(request)
	}
	asked, err := io.ReadAll(request.Body)
	_ = request.Body.Close() // it was read
	if err != nil {
		return nil, err
	}
	request = request.Clone(request.Context()) // a transport must not change what it is given
	request.Body = io.NopCloser(bytes.NewReader(asked))
	page, pageErr := pageNumber(asked)
	response, err := r.next.RoundTrip(request)
	switch {
	case err != nil && canceled(request):
		r.leaveOut(page)
	case err != nil || response.StatusCode != http.StatusOK:
	case pageErr != nil:
		r.keep(page, "", pageErr)
	default:
		r.tap(page, request, response)
	}
	return response, err
}

func canceled(request *http.Request) bool {
	return errors.Is(request.Context().Err(), context.Canceled)
}

// pageNumber returns which page a request to ListProjects asks for.
func pageNumber(body []byte) (int, error) {
	asked := struct {
		PageNumber int `json:"pageNumber"`
	}{1}
	if err := json.Unmarshal(body, &asked); err != nil || asked.PageNumber < 1 {
		return 0, errors.New("the request does not say which page it is for")
	}
	return asked.PageNumber, nil
}

// tap puts a recording between the body of an answer and its reader.
func (r *recorder) tap(page int, request *http.Request, response *http.Response) {
	file, err := os.CreateTemp(r.dir, ".page-*") // only its owner may read it
	if err != nil {
		r.keep(page, "", err)
		return
	}
	rec := &recording{body: response.Body, file: file, sink: file, done: func(err error) {
		if err != nil && canceled(request) {
			_ = os.Remove(file.Name())
			r.leaveOut(page)
			return
		}
		r.keep(page, file.Name(), err)
	}}
	if r.redactor != nil {
		rec.redact(r.redactor)
	}
	response.Body = rec
}

// A recording is the body of an answer that is written to a file as it is read.
type recording struct {
	body io.ReadCloser
	file *os.File
	sink io.Writer   // the file, or what redacts it on the way there
	done func(error) // to call when the file is closed

	pipe     *io.PipeWriter // to the redaction, if there is one
	redacted chan error

	err   error // of the sink
	ended bool
}

// redact redacts what is written from now on.
func (r *recording) redact(redactor *omsclient.Redactor) {
	reader, writer := io.Pipe()
	r.sink, r.pipe, r.redacted = writer, writer, make(chan error, 1)
	go func() {
		err := redactor.Copy(r.file, reader)
		_ = reader.CloseWithError(err) // the answer is read on, whatever became of its copy
		r.redacted <- err
	}()
}

// Read implements [io.Reader].
func (r *recording) Read(b []byte) (int, error) {
	n, err := r.body.Read(b)
	if n > 0 && r.err == nil && !r.ended {
		_, r.err = r.sink.Write(b[:n])
	}
	switch {
	case errors.Is(err, io.EOF):
		r.end(nil)
	case err != nil:
		r.end(fmt.Errorf("the answer broke off: %w", err))
	}
	return n, err
}

// Close implements [io.Closer].
func (r *recording) Close() error {
	r.end(errors.New("the answer was not read to its end"))
	return r.body.Close()
}

// end ends the file, and tells what is wrong with it.
func (r *recording) end(err error) {
	if r.ended {
		return
	}
	r.ended = true
	if r.pipe != nil {
		_ = r.pipe.CloseWithError(err) // without an error, this is the end of the document
		if redactErr := <-r.redacted; err == nil {
			err = redactErr
		}
	}
	if err == nil {
		err = r.err
	}
	if closeErr := r.file.Close(); err == nil {
		err = closeErr
	}
	r.done(err)
}
