package main

import (
	"bufio"
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"oms_exporter/omsclient"
)

// A recorder saves the answers to ListProjects as files in a directory:
// page-0001.json for page 1, and so on. simulate --replay serves them again.
//
// It keeps only whole answers; of several for the same page, the last. A page whose
// request was canceled had been requested ahead and was not needed: it is left out,
// as are all pages after it. A recorder never makes a request fail: err returns what
// went wrong.
type recorder struct {
	dir      string
	redactor *omsclient.Redactor // nil: as OMS sent it

	mu     sync.Mutex
	kept   map[int]bool
	failed map[int]error // by page: why the last answer was not kept
	end    int           // the first page that was not needed; 0 if there is none
}

// newRecorder creates the directory if needed. It refuses one that already has pages
// in it, so that a recording is never a mixture of two.
func newRecorder(dir string, redact bool) (*recorder, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	old, err := fs.Glob(os.DirFS(dir), "page-*.json")
	if err != nil {
		return nil, err
	}
	if old != nil {
		return nil, fmt.Errorf("%s already has pages of a recording, such as %s: "+
			"remove them or choose another directory", dir, old[0])
	}
	r := &recorder{dir: dir, kept: map[int]bool{}, failed: map[int]error{}}
	if redact {
		r.redactor = omsclient.NewRedactor()
	}
	return r, nil
}

// pages returns the number of pages that were kept.
func (r *recorder) pages() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.kept)
}

// err returns why answered pages were not kept, or nil. A page that was kept at a
// later attempt is no error.
func (r *recorder) err() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []error
	for _, page := range slices.Sorted(maps.Keys(r.failed)) {
		all = append(all, fmt.Errorf("record page %d: %w", page, r.failed[page]))
	}
	return errors.Join(all...)
}

// keep renames a file to that of its page, unless something is wrong with it.
func (r *recorder) keep(page int, file string, wrong error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if page == 1 {
		r.end = 0 // another listing begins
	}
	if !r.needs(page) {
		_ = os.Remove(file) // if that fails, its name is not that of a page
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

// record returns a transport that records what next answers.
func (r *recorder) record(next http.RoundTripper) http.RoundTripper {
	return recordingTransport{r, next}
}

type recordingTransport struct {
	recorder *recorder
	next     http.RoundTripper
}

// CloseIdleConnections is for [http.Client].
func (t recordingTransport) CloseIdleConnections() {
	if next, ok := t.next.(interface{ CloseIdleConnections() }); ok {
		next.CloseIdleConnections()
	}
}

// RoundTrip implements [http.RoundTripper].
func (t recordingTransport) RoundTrip(request *http.Request) (*http.Response, error) {
	if request.URL.Query().Get("Action") != omsclient.Action || request.Body == nil {
		return t.next.RoundTrip(request)
	}
	body, err := io.ReadAll(request.Body)
	_ = request.Body.Close() // it has been read
	if err != nil {
		return nil, err
	}
	request = request.Clone(request.Context()) // a transport must not change the original
	request.Body = io.NopCloser(bytes.NewReader(body))
	page, pageErr := pageNumber(body)
	response, err := t.next.RoundTrip(request)
	switch {
	case err != nil && canceled(request):
		t.recorder.leaveOut(page)
	case err != nil || response.StatusCode != http.StatusOK:
	case pageErr != nil:
		t.recorder.keep(page, "", pageErr)
	default:
		t.recorder.tap(page, request, response)
	}
	return response, err
}

func canceled(request *http.Request) bool {
	return errors.Is(request.Context().Err(), context.Canceled)
}

// pageNumber returns the page that a request to ListProjects asks for.
func pageNumber(body []byte) (int, error) {
	asked := struct {
		PageNumber int `json:"pageNumber"`
	}{1}
	if err := json.Unmarshal(body, &asked); err != nil || asked.PageNumber < 1 {
		return 0, errors.New("the request has no valid pageNumber")
	}
	return asked.PageNumber, nil
}

// tap copies an answer to a file while it is read.
func (r *recorder) tap(page int, request *http.Request, response *http.Response) {
	file, err := os.CreateTemp(r.dir, ".page-*") // only its owner can read it
	if err != nil {
		r.keep(page, "", err)
		return
	}
	reader, writer := io.Pipe()
	written := make(chan error, 1)
	go func() {
		err := r.write(file, reader)
		_ = reader.CloseWithError(err) // reading the answer goes on, even if writing fails
		written <- cmp.Or(err, file.Close())
	}()
	response.Body = &recording{ReadCloser: response.Body, copy: writer, finish: func(err error) {
		_ = writer.CloseWithError(err) // nil means the end of the document
		if writeErr := <-written; err == nil {
			err = writeErr
		}
		if err != nil && canceled(request) {
			_ = os.Remove(file.Name())
			r.leaveOut(page)
			return
		}
		r.keep(page, file.Name(), err)
	}}
}

// write keeps a document as JSON, however it was sent.
func (r *recorder) write(w io.Writer, answer io.Reader) error {
	document, err := unpack(answer)
	if err != nil {
		return err
	}
	if r.redactor != nil {
		return r.redactor.Copy(w, document)
	}
	_, err = io.Copy(w, document)
	return err
}

// unpack undoes what can be around the JSON of an answer: gzip, and a byte order mark.
func unpack(answer io.Reader) (io.Reader, error) {
	sent := bufio.NewReader(answer)
	if start, _ := sent.Peek(2); bytes.Equal(start, []byte{0x1f, 0x8b}) {
		unzipped, err := gzip.NewReader(sent)
		if err != nil {
			return nil, err
		}
		sent = bufio.NewReader(unzipped)
	}
	mark := []byte("\uFEFF")
	if start, _ := sent.Peek(len(mark)); bytes.Equal(start, mark) {
		_, _ = sent.Discard(len(mark)) // it is there
	}
	return sent, nil
}

// A recording is the body of an answer that is copied while it is read.
type recording struct {
	io.ReadCloser
	copy     io.Writer
	finish   func(error) // takes what is wrong with the answer
	finished bool
}

// Read implements [io.Reader].
func (r *recording) Read(b []byte) (int, error) {
	n, err := r.ReadCloser.Read(b)
	if n > 0 {
		_, _ = r.copy.Write(b[:n]) // finish gets the error
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
	return r.ReadCloser.Close()
}

func (r *recording) end(err error) {
	if !r.finished {
		r.finished = true
		r.finish(err)
	}
}
