package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sync/singleflight"
)

// Limits on the size of files. Files beyond them, or without an end such as /dev/zero, are
// not what they should be.
const (
	maxSecretFile = 64 << 10 // a password, a token, a private key
	maxOtherFile  = 4 << 20  // certificates, or a configuration
)

// fileReads are the reads in progress, by file name and limit.
var fileReads singleflight.Group

// readFileInTime reads a file like [os.ReadFile], but no more than a limit, and gives up after a
// while: a dead network mount, or a pipe that nobody writes to, would hold up scrapes,
// reloads and the stop. While a read hangs, later ones of the same file wait for it and
// start no other.
func readFileInTime(name string, limit int64) ([]byte, error) {
	const patience = 2 * time.Second
	read := fileReads.DoChan(fmt.Sprintf("%d %s", limit, name), func() (any, error) {
		return readFileUpTo(name, limit)
	})
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	select {
	case r := <-read:
		content, _ := r.Val.([]byte)
		return content, r.Err
	case <-timeout.C:
		return nil, fmt.Errorf("open %s: no answer from the file system within %s", name, patience)
	}
}

// readFileUpTo reads a file that is no larger than a limit.
func readFileUpTo(name string, limit int64) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	content, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err = errors.Join(err, f.Close()); err == nil && int64(len(content)) > limit {
		err = fmt.Errorf("%s is larger than %d KiB: check that it is the right file", name, limit>>10)
	}
	return content, err
}
