package main

import (
	"fmt"
	"os"
	"time"

	"golang.org/x/sync/singleflight"
)

// fileReads are the reads in progress, by file name.
var fileReads singleflight.Group

// readFileInTime reads a file like [os.ReadFile], but gives up after a while: a dead network
// mount, or a pipe that nobody writes to, would hold up scrapes, reloads and the stop.
// While a read hangs, later ones of the same file wait for it and start no other.
func readFileInTime(name string) ([]byte, error) {
	const limit = 2 * time.Second
	read := fileReads.DoChan(name, func() (any, error) { return os.ReadFile(name) })
	timeout := time.NewTimer(limit)
	defer timeout.Stop()
	select {
	case r := <-read:
		content, _ := r.Val.([]byte)
		return content, r.Err
	case <-timeout.C:
		return nil, fmt.Errorf("open %s: no answer from the file system within %s", name, limit)
	}
}
