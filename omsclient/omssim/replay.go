package omssim

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// ReadPages reads the pages of a recording, for [Options]. They are the files
// page-0001.json, page-0002.json and so on at the root of a file system. It is an
// error if there are none, or if a number is missing or occurs twice.
func ReadPages(fsys fs.FS) ([]string, error) {
	entries, err := fs.ReadDir(fsys, ".")
	if err != nil {
		return nil, err
	}
	byNumber := map[int]string{}
	for _, entry := range entries {
		name := entry.Name()
		rest, ours := strings.CutPrefix(name, "page-")
		digits, isJSON := strings.CutSuffix(rest, ".json")
		if !ours || !isJSON {
			continue
		}
		n, err := strconv.ParseUint(digits, 10, 31)
		if err != nil || n == 0 {
			return nil, fmt.Errorf("%s: want a name such as page-0001.json", name)
		}
		if other, ok := byNumber[int(n)]; ok {
			return nil, fmt.Errorf("%s and %s are the same page", other, name)
		}
		byNumber[int(n)] = name
	}
	if len(byNumber) == 0 {
		return nil, errors.New("no pages: want files such as page-0001.json")
	}
	pages := make([]string, 0, len(byNumber))
	for i, n := range slices.Sorted(maps.Keys(byNumber)) {
		if n != i+1 {
			return nil, fmt.Errorf("page %d is missing", i+1)
		}
		page, err := fs.ReadFile(fsys, byNumber[n])
		if err != nil {
			return nil, err
		}
		pages = append(pages, string(page))
	}
	return pages, nil
}

// replay validates the pages and sets the totalCount of pages beyond the last one.
func (o *Options) replay() error {
	for i, page := range o.Pages {
		if !json.Valid([]byte(page)) {
			return fmt.Errorf("page %d is not a JSON document", i+1)
		}
	}
	o.Pages = slices.Clone(o.Pages)
	if o.Total == nil {
		total := recordedTotal(o.Pages[len(o.Pages)-1])
		o.Total = func(int, int, int) string { return total }
	}
	return nil
}

// recordedTotal returns the raw JSON of a page's totalCount, or null.
func recordedTotal(page string) string {
	var fields map[string]json.RawMessage
	if json.Unmarshal([]byte(page), &fields) == nil {
		for name, value := range fields {
			if strings.EqualFold(name, "totalCount") {
				return string(value)
			}
		}
	}
	return "null"
}

// recorded returns the recorded page that a listing shows. There is none if nothing
// is replayed, after the last page, or if a fault removes data.
func (s *Server) recorded(l *listing) ([]byte, bool) {
	if l.shown > len(s.options.Pages) || l.dataNull || l.dataMissing {
		return nil, false
	}
	return []byte(s.options.Pages[l.shown-1]), true
}
