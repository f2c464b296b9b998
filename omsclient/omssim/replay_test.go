package omssim_test

import (
	"errors"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"oms_exporter/omsclient/omssim"
)

// recorded are two pages that the simulated OMS would not write.
var recorded = []string{
	`{"success":"true", "totalCount":"3","pageSize":"2","data":[{"id":"a"},{"id":"b"}]}` + "\n",
	`{"Success":true,"TotalCount":"4","data":[{"id":"c","name":"\u5f20\u4f1f","x":1.50}]}`,
}

func TestPagesAreServedAsRecordedWhateverIsAskedFor(t *testing.T) {
	given := slices.Clone(recorded)
	s := newServer(t, omssim.Options{
		Pages: given, Tasks: 500, Projects: []string{`{"id":"z"}`}, Style: omssim.Quoted,
	})
	given[0] = "changed"
	for i, want := range recorded {
		for _, size := range []int{1, 10, 150} {
			if got := send(t, s, page(i+1, size)).Body.String(); got != want {
				t.Errorf("page %d of size %d: %s, want %s", i+1, size, got, want)
			}
		}
	}
	filtered := `{"pageNumber":2,"type":"VERIFY","status":["FAILED"],"searchKey":"nothing"}`
	if got := send(t, s, filtered).Body.String(); got != recorded[1] {
		t.Errorf("with a filter: %s, want %s", got, recorded[1])
	}
}

func TestAPageBeyondTheRecordingIsEmptyAndCountsAsTheLastOne(t *testing.T) {
	for last, want := range map[string]string{
		recorded[1]:           `"totalCount":"4","cost":`,
		`{"totalCount":7}`:    `"totalCount":7,"cost":`,
		`{"success":false}`:   `"totalCount":null,"cost":`,
		`["not an envelope"]`: `"totalCount":null,"cost":`,
	} {
		s := newServer(t, omssim.Options{Pages: []string{recorded[0], last}, Tasks: 500})
		for _, number := range []string{"3", "4", "2000000000"} {
			asked := `{"visibleSubProject":true,"pageSize":150,"pageNumber":` + number + `}`
			got := send(t, s, asked).Body.String()
			if !strings.Contains(got, `"success":true`) || !strings.Contains(got, `"data":[]`) ||
				!strings.Contains(got, want) {
				t.Errorf("page %s after %s: %s, want success, no data and %s", number, last, got, want)
			}
		}
	}
}

func TestFaultsOfRequestsApplyToARecording(t *testing.T) {
	for kind, want := range map[omssim.FaultKind]struct {
		status int
		body   string // all of it or, if it ends in "…", its beginning
	}{
		"html_502":       {http.StatusBadGateway, "<html>…"},
		"unauthorized":   {http.StatusUnauthorized, ""},
		"api_error":      {http.StatusOK, `{"code":"GHANA-OPERAT000001",…`},
		"truncated":      {http.StatusOK, recorded[1][:len(recorded[1])/2]},
		"empty_body":     {http.StatusOK, ""},
		"repeat_page":    {http.StatusOK, recorded[0]},
		"moving_task":    {http.StatusOK, recorded[1]},
		"deleted_task":   {http.StatusOK, recorded[1]},
		"added_task":     {http.StatusOK, recorded[1]},
		"pascal_case":    {http.StatusOK, recorded[1]},
		"count_as_pages": {http.StatusOK, recorded[1]},
	} {
		t.Run(string(kind), func(t *testing.T) {
			s := newServer(t, omssim.Options{Pages: recorded})
			s.SetFaults(omssim.Fault{Kind: kind})
			send(t, s, page(1, 150)) // begins the pass that some faults need

			w := send(t, s, page(2, 150))

			begin, more := strings.CutSuffix(want.body, "…")
			got := w.Body.String()
			if same := got == want.body || more && strings.HasPrefix(got, begin); !same || w.Code != want.status {
				t.Errorf("HTTP %d %s, want %d %s", w.Code, got, want.status, want.body)
			}
		})
	}
}

func TestAFaultCanTakeTheDataOfARecordingAway(t *testing.T) {
	for kind, end := range map[omssim.FaultKind]string{"data_null": `"data":null}`, "no_data": ` ms"}`} {
		s := newServer(t, omssim.Options{Pages: recorded})
		s.SetFaults(omssim.Fault{Kind: kind})
		got := send(t, s, page(1, 150)).Body.String()
		if !strings.Contains(got, `"totalCount":"4",`) || !strings.HasSuffix(got, end) {
			t.Errorf("%s: %s, want the totalCount 4 and %s at the end", kind, got, end)
		}
	}
}

func TestNewRefusesPagesThatAreNotJSON(t *testing.T) {
	for _, text := range []string{"", "<html>", recorded[0][:20], recorded[0] + recorded[1]} {
		_, err := omssim.New(omssim.Options{Pages: []string{recorded[0], text}})
		if err == nil || !strings.Contains(err.Error(), "page 2") {
			t.Errorf("page 2 is %q: error %v, want one about page 2", text, err)
		}
	}
}

// files returns a file system in which the content of each file is its name.
func files(names ...string) fs.FS {
	dir := fstest.MapFS{}
	for _, name := range names {
		dir[name] = &fstest.MapFile{Data: []byte(name)}
	}
	return dir
}

func TestReadPagesReadsThemInTheOrderOfTheirNumbers(t *testing.T) {
	for _, tt := range []struct{ there, want []string }{
		{[]string{"page-0001.json"}, []string{"page-0001.json"}},
		{
			[]string{
				"page-0002.json", "page-10.json", "page-1.json", "page-3.json", "page-4.json",
				"page-5.json", "page-6.json", "page-7.json", "page-8.json", "page-9.json",
			},
			[]string{
				"page-1.json", "page-0002.json", "page-3.json", "page-4.json", "page-5.json",
				"page-6.json", "page-7.json", "page-8.json", "page-9.json", "page-10.json",
			},
		},
		{
			[]string{"README", ".page-7", "page-0001.json", "page-0001.json.bak", "old/page-0002.json"},
			[]string{"page-0001.json"},
		},
	} {
		got, err := omssim.ReadPages(files(tt.there...))
		if err != nil || !slices.Equal(got, tt.want) {
			t.Errorf("%q: %q and error %v, want %q", tt.there, got, err, tt.want)
		}
	}
}

func TestReadPagesComplainsAboutRecordingsThatAreNotWhole(t *testing.T) {
	for _, tt := range []struct {
		there []string
		want  string
	}{
		{nil, "no pages"},
		{[]string{"README", "page-0001.txt"}, "no pages"},
		{[]string{"page-0002.json"}, "page 1 is missing"},
		{[]string{"page-0001.json", "page-0002.json", "page-0004.json", "page-0005.json"}, "page 3 is missing"},
		{[]string{"page-0001.json", "page-1.json"}, "page-0001.json and page-1.json are the same page"},
		{[]string{"page-0000.json", "page-0001.json"}, "page-0000.json"},
		{[]string{"page-0001.json", "page-two.json"}, "page-two.json"},
		{[]string{"page-0001.json", "page--2.json"}, "page--2.json"},
		{[]string{"page-0001.json", "page-.json"}, "page-.json"},
		{[]string{"page-0001.json", "page-0002.json/deep"}, "page-0002.json"},
	} {
		got, err := omssim.ReadPages(files(tt.there...))
		if err == nil || got != nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q: %q and error %v, want an error with %q", tt.there, got, err, tt.want)
		}
	}
	missing := os.DirFS(filepath.Join(t.TempDir(), "missing"))
	if got, err := omssim.ReadPages(missing); !errors.Is(err, fs.ErrNotExist) || got != nil {
		t.Errorf("no directory: %q and error %v, want one that says so", got, err)
	}
}
