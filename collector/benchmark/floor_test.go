package benchmark_test

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"

	"github.com/klauspost/compress/gzip"

	"oms_exporter/omsclient"
)

// The floor is what no exporter can do without: it reads all pages, as many at once
// as the exporter, and compresses the text as the exporter does. It looks at neither;
// the text is what an exporter has written before.
type floor struct {
	url    string
	client *http.Client
	pages  int
	text   []byte
	zip    *gzip.Writer
}

// serveFloor serves what the environment names.
func serveFloor(url string, client *http.Client) error {
	pages, err := strconv.Atoi(os.Getenv(floorPages))
	if err != nil {
		return err
	}
	var text []byte
	err = newScraper("identity").scrape(context.Background(), os.Getenv(floorText),
		func(r io.Reader) (err error) {
			text, err = io.ReadAll(r)
			return err
		})
	if err != nil {
		return err
	}
	zip, err := gzip.NewWriterLevel(io.Discard, gzip.BestSpeed)
	if err != nil {
		return err
	}
	return serve(&floor{url, client, pages, text, zip})
}

// ServeHTTP implements [http.Handler], for one request after another.
func (f *floor) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := f.read(r.Context()); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/plain; version=0.0.4")
	w.Header().Set("Content-Encoding", "gzip")
	buffered := bufio.NewWriterSize(w, 64<<10)
	f.zip.Reset(buffered)
	_, err := io.Copy(f.zip, bytes.NewReader(f.text))
	if err = cmp.Or(err, f.zip.Close(), buffered.Flush()); err != nil {
		panic(http.ErrAbortHandler)
	}
}

// read reads all pages.
func (f *floor) read(ctx context.Context) error {
	numbers, errs := make(chan int), make(chan error)
	for range concurrency {
		go func() {
			var err error
			for number := range numbers {
				err = cmp.Or(err, f.readPage(ctx, number))
			}
			errs <- err
		}()
	}
	for number := range f.pages {
		numbers <- number + 1
	}
	close(numbers)
	var all error
	for range concurrency {
		all = cmp.Or(all, <-errs)
	}
	return all
}

func (f *floor) readPage(ctx context.Context, number int) error {
	body := fmt.Sprintf(`{"sortField":"gmtCreate","order":"asc","pageNumber":%d,"pageSize":%d}`,
		number, omsclient.MaxPageSize)
	r, err := http.NewRequestWithContext(ctx, http.MethodPost,
		f.url+"/api/v2?Action="+omsclient.Action, bytes.NewBufferString(body))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	response, err := f.client.Do(r)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	return discard(response.Body)
}
