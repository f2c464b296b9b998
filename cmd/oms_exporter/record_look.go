package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"

	"oms_exporter/omsclient"
	"oms_exporter/omsclient/omssim"
)

// isDetail reports whether an action tells more of a single task.
func isDetail(action string) bool {
	return action == omsclient.ActionVerifyResult || action == omsclient.ActionComponents
}

// inFileName are the ids of tasks that the name of a file may have.
var inFileName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,128}$`)

// detailName returns the file for the answer to a request about a single task. Its
// name has the id that the task has in the recording.
func (r *recorder) detailName(action string, body []byte) (string, error) {
	var asked struct {
		ID        string `json:"id"`
		ProjectID string `json:"projectId"`
	}
	if err := json.Unmarshal(body, &asked); err != nil {
		return "", errors.New("the request is not JSON")
	}
	id := asked.ID + asked.ProjectID
	if r.redactor != nil {
		id = r.redactor.ProjectID(id)
	}
	if !inFileName.MatchString(id) {
		return "", errors.New("the id of the task cannot be in the name of a file")
	}
	return filepath.Join(r.dir, omssim.AnswerName(action, id)+".json"), nil
}

// tapDetail copies an answer about a single task to a file while it is read.
func (r *recorder) tapDetail(action string, body []byte, response *http.Response) {
	name, err := r.detailName(action, body)
	if err != nil {
		r.lose(action, err)
		return
	}
	r.copyBody(response, func(file string, wrong error) {
		if file == "" {
			r.lose(action, wrong)
			return
		}
		if wrong == nil {
			wrong = os.Rename(file, name)
		}
		if wrong != nil {
			_ = os.Remove(file) // if that fails, its name is not that of an answer
			r.lose(action, wrong)
			return
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.details[name] = true
	})
}

// lose notes that an answer about a single task was not kept, if it is the first.
func (r *recorder) lose(action string, why error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.lost == nil {
		r.lost = fmt.Errorf("record %s: %w", action, why)
	}
}

// copyBody copies the body of an answer to a temporary file while it is read. Finish
// takes the file, which is empty if there is none, and what is wrong with it.
func (r *recorder) copyBody(response *http.Response, finish func(file string, wrong error)) {
	file, err := os.CreateTemp(r.dir, ".page-*") // only its owner can read it
	if err != nil {
		finish("", err)
		return
	}
	reader, writer := io.Pipe()
	written := make(chan error, 1)
	go func() {
		err := r.write(file, reader)
		_ = reader.CloseWithError(err) // reading the answer goes on, even if writing fails
		if closeErr := file.Close(); err == nil {
			err = closeErr
		}
		written <- err
	}()
	response.Body = &recording{ReadCloser: response.Body, copy: writer, finish: func(err error) {
		_ = writer.CloseWithError(err) // nil means the end of the document
		if writeErr := <-written; err == nil {
			err = writeErr
		}
		finish(file.Name(), err)
	}}
}
