package omssim_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"oms_exporter/omsclient/omssim"
)

var noon = time.Date(2026, 3, 4, 12, 0, 7, 0, time.UTC)

// at is a clock that stands still.
func at(now time.Time) func() time.Time {
	return func() time.Time { return now }
}

func newServer(t *testing.T, options omssim.Options) *omssim.Server {
	t.Helper()
	if options.Now == nil {
		options.Now = at(noon)
	}
	s, err := omssim.New(options)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// An answer is a decoded answer of OMS.
type answer struct {
	Success    bool
	Code       string
	TotalCount int
	PageNumber *int
	PageSize   int
	RequestID  string `json:"requestId"`
	Data       []item
}

type item struct {
	ID, Name, Type, Status, Importance string
	GmtCreate, GmtModified             string
	SourceEndpointType                 string
	IsSubProject                       bool
	Labels                             []struct{ ID, Name string }
	Steps                              []struct {
		Name, Status string
		Order        int
		Progress     int
		StepInfo     *struct {
			IncrTimestampCheckpoint   int64
			CheckpointSampleTimestamp int64
			ProcessedRecords          *int64
			SrcRps                    int64
		}
		ExtraInfo *struct{ ErrorCode *string }
	}
	ExtraInfo *struct {
		SyncDelay                *int64
		SyncDelaySampleTimestamp int64
		SourceStoreKeptHour      int64
		ErrorCode                *string
	}
	AlarmStats struct {
		Alarming             bool
		RecentlyTriggerCount *int
	}
}

// tagged reports whether a task has a tag.
func (i item) tagged(tag string) bool {
	return slices.ContainsFunc(i.Labels, func(l struct{ ID, Name string }) bool { return l.Name == tag })
}

// send asks for tasks without a network.
func send(t *testing.T, s http.Handler, body string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost,
		"/api/v2?Action=ListProjects", strings.NewReader(body))
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

func ask(t *testing.T, s http.Handler, body string) answer {
	t.Helper()
	w := send(t, s, body)
	var a answer
	if err := json.Unmarshal(w.Body.Bytes(), &a); err != nil {
		t.Fatalf("%s: HTTP %d, %v", body, w.Code, err)
	}
	return a
}

func page(number, size int) string {
	return fmt.Sprintf(`{"order":"asc","pageNumber":%d,"pageSize":%d}`, number, size)
}

func ids(items []item) []string {
	names := make([]string, 0, len(items))
	for _, i := range items {
		names = append(names, i.ID)
	}
	return names
}

func TestPagesAddUpToTheFleet(t *testing.T) {
	for _, tasks := range []int{0, 1, 149, 150, 151} {
		s := newServer(t, omssim.Options{Tasks: tasks})
		var got []string
		for number := 1; number <= 3; number++ {
			a := ask(t, s, page(number, 150))
			if !a.Success || a.TotalCount != tasks || *a.PageNumber != number || a.PageSize != 150 {
				t.Errorf("%d tasks, page %d: %+v", tasks, number, a)
			}
			if want := min(max(tasks-(number-1)*150, 0), 150); len(a.Data) != want {
				t.Errorf("%d tasks, page %d has %d, want %d", tasks, number, len(a.Data), want)
			}
			got = append(got, ids(a.Data)...)
		}
		if unique := slices.Compact(slices.Sorted(slices.Values(got))); len(unique) != tasks {
			t.Errorf("%d tasks: %d different ids", tasks, len(unique))
		}
	}
}

func TestPastTheEndDataIsEmptyNotNull(t *testing.T) {
	s := newServer(t, omssim.Options{Tasks: 3})
	body := send(t, s, `{"pageNumber":2147483647,"pageSize":150}`).Body.String()
	if !strings.HasSuffix(body, `"data":[]}`) {
		t.Error(body)
	}
}

func TestListingIsSortedByCreation(t *testing.T) {
	s := newServer(t, omssim.Options{Tasks: 60})
	ascending := ask(t, s, `{"order":"asc","pageSize":150,"visibleSubProject":true}`).Data
	descending := ask(t, s, `{"pageSize":150,"visibleSubProject":true}`).Data

	for i := range ascending[1:] {
		if ascending[i].GmtCreate >= ascending[i+1].GmtCreate {
			t.Errorf("%s before %s", ascending[i].GmtCreate, ascending[i+1].GmtCreate)
		}
	}
	slices.Reverse(descending)
	if !slices.Equal(ids(ascending), ids(descending)) {
		t.Error("the default order is not the reverse")
	}
	byChange := ask(t, s, `{"order":"asc","sortField":"gmtModified","pageSize":150}`).Data
	if !slices.IsSortedFunc(byChange, func(a, b item) int {
		return strings.Compare(a.GmtModified, b.GmtModified)
	}) {
		t.Error("not sorted by gmtModified")
	}
}

func TestFilters(t *testing.T) {
	s := newServer(t, omssim.Options{Tasks: 120})
	all := ask(t, s, `{"order":"asc","pageSize":150,"visibleSubProject":true}`).Data
	someID := all[7].ID
	tests := map[string]func(item) bool{
		`"searchKey":"_to_"`:           func(i item) bool { return strings.Contains(i.Name, "_to_") },
		`"searchKey":"` + someID + `"`: func(i item) bool { return i.ID == someID },
		`"type":"SYNC"`:                func(i item) bool { return i.Type == "SYNC" },
		`"status":"SUSPEND"`:           func(i item) bool { return i.Status == "SUSPEND" },
		`"status":["RUNNING","DELETED"]`: func(i item) bool {
			return i.Status == "RUNNING" || i.Status == "DELETED"
		},
		`"status":["RUNNING_ALARMING"]`: func(i item) bool {
			return i.Status == "RUNNING" && i.AlarmStats.Alarming
		},
		`"status":null`:                        func(item) bool { return true },
		`"labelIds":["l_4w1gold00002","none"]`: func(i item) bool { return i.tagged("gold") },
		`"labelIds":["l_sim_frozen"]`:          func(i item) bool { return i.tagged("sim:frozen") },
		`"sourceEndpointTypes":["MYSQL"]`: func(i item) bool {
			return i.SourceEndpointType == "MYSQL"
		},
		`"sinkEndpointTypes":["NONE"]`: func(item) bool { return false },
	}
	for member, fits := range tests {
		for _, subs := range []bool{false, true} {
			var want []item
			for _, i := range all {
				if fits(i) && (subs || !i.IsSubProject) {
					want = append(want, i)
				}
			}
			got := ask(t, s, fmt.Sprintf(
				`{"order":"asc","pageSize":150,"visibleSubProject":%t,%s}`, subs, member))
			if !slices.Equal(ids(got.Data), ids(want)) || got.TotalCount != len(want) {
				t.Errorf("%s: %v, want %v", member, ids(got.Data), ids(want))
			}
			if len(want) == 0 && !strings.Contains(member, "NONE") {
				t.Errorf("%s matches nothing in the default mix", member)
			}
		}
	}
}

func TestBadRequestsAreParamErrors(t *testing.T) {
	s := newServer(t, omssim.Options{Tasks: 1})
	for _, body := range []string{
		``, `[]`, `{`, `{"pageSize":0}`, `{"pageSize":151}`, `{"pageNumber":0}`,
		`{"pageNumber":"one"}`, `{"pageNumber":2147483648}`, `{"status":["BROKEN"]}`,
		`{"status":7}`, `{"type":"COPY"}`, `{"order":"desc"}`, `{"sortField":"name"}`,
		`{"labelIds":["1","2","3","4","5","6"]}`, `{"pagesize":5}`,
	} {
		w := send(t, s, body)
		var keys map[string]any
		if err := json.Unmarshal(w.Body.Bytes(), &keys); err != nil {
			t.Fatal(err)
		}
		success, ok := keys["success"].(bool)
		if w.Code != 200 || !ok || success || keys["code"] != "PARAM_ERROR" {
			t.Errorf("%s: HTTP %d %v", body, w.Code, keys)
		}
		for _, key := range []string{"pageNumber", "data"} {
			if _, has := keys[key]; has {
				t.Errorf("%s: a failure has a %s", body, key)
			}
		}
	}
}

func TestRoutes(t *testing.T) {
	s := newServer(t, omssim.Options{})
	for _, test := range []struct {
		method, target string
		status         int
		success        bool
	}{
		{http.MethodPost, "/oms/hz/api/v2?Action=ListProjects", 404, false},
		{http.MethodPost, "/api/v2?Action=ListProjects", 200, true},
		{http.MethodPost, "/api/v2/?Action=ListProjects", 404, false},
		{http.MethodPost, "/?Action=ListProjects", 404, false},
		{http.MethodPost, "/api/v2?Action=StopProject", 200, false},
		{http.MethodPost, "/api/v2", 200, false},
		{http.MethodGet, "/api/v2?Action=ListProjects", 405, false},
		{http.MethodPost, "/api/v1?Action=ListProjects", 404, false},
	} {
		r := httptest.NewRequestWithContext(t.Context(), test.method, test.target,
			strings.NewReader(`{}`))
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		var a answer
		if err := json.Unmarshal(w.Body.Bytes(), &a); err != nil {
			t.Error(test.target, err)
		}
		if w.Code != test.status || a.Success != test.success || a.RequestID == "" {
			t.Errorf("%s %s: HTTP %d %+v", test.method, test.target, w.Code, a)
		}
	}
}

func TestCredentials(t *testing.T) {
	s := newServer(t, omssim.Options{Username: "viewer", Password: "secret"})
	for _, test := range []struct {
		username, password string
		status             int
	}{
		{"viewer", "secret", 200},
		{"viewer", "wrong", 401},
		{"", "secret", 401},
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost,
			"/api/v2?Action=ListProjects", strings.NewReader(`{}`))
		r.SetBasicAuth(test.username, test.password)
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		if w.Code != test.status || (w.Code == 401) != (w.Body.Len() == 0) {
			t.Errorf("%s:%s: HTTP %d, %d bytes", test.username, test.password, w.Code, w.Body.Len())
		}
	}
	if w := send(t, s, `{}`); w.Code != 401 || w.Body.Len() != 0 {
		t.Errorf("without credentials: HTTP %d", w.Code)
	}
}

// essence returns a document without what differs between requests.
func essence(t *testing.T, text []byte) map[string]any {
	t.Helper()
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	var document map[string]any
	if err := decoder.Decode(&document); err != nil {
		t.Fatal(err)
	}
	delete(document, "requestId")
	delete(document, "cost")
	return document
}

// quoted returns a document with every number and boolean turned into a string.
func quoted(value any) any {
	switch v := value.(type) {
	case map[string]any:
		for key := range v {
			v[key] = quoted(v[key])
		}
	case []any:
		for i := range v {
			v[i] = quoted(v[i])
		}
	case json.Number:
		return v.String()
	case bool:
		return strconv.FormatBool(v)
	}
	return value
}

func TestQuotedIsTheSameDocument(t *testing.T) {
	options := omssim.Options{Tasks: 75, BlobBytes: 2000}
	native := essence(t, send(t, newServer(t, options), page(1, 150)).Body.Bytes())
	options.Style = omssim.Quoted
	got := essence(t, send(t, newServer(t, options), page(1, 150)).Body.Bytes())

	if reflect.DeepEqual(got, native) {
		t.Error("nothing is quoted")
	}
	if !reflect.DeepEqual(any(got), quoted(native)) {
		t.Error("Quoted is not Native with quotes")
	}
}

func TestSameInstantSameBytes(t *testing.T) {
	var texts []string
	for range 2 {
		s := newServer(t, omssim.Options{Tasks: 60, Seed: 5})
		text := send(t, s, page(1, 150)).Body.String()
		_, tasks, _ := strings.Cut(text, `"data":`)
		texts = append(texts, tasks)
	}
	if texts[0] != texts[1] || len(texts[0]) < 60*2000 {
		t.Error("the same options and instant give different tasks")
	}
	other := ask(t, newServer(t, omssim.Options{Tasks: 60, Seed: 6}), page(1, 150))
	same := ask(t, newServer(t, omssim.Options{Tasks: 60, Seed: 5}), page(1, 150))
	if slices.Equal(ids(other.Data), ids(same.Data)) {
		t.Error("the seed changes nothing")
	}
}

func TestRequestIDsAreUnique(t *testing.T) {
	s := newServer(t, omssim.Options{})
	seen := map[string]bool{}
	for range 100 {
		seen[ask(t, s, `{}`).RequestID] = true
	}
	if len(seen) != 100 {
		t.Error(len(seen))
	}
}

func TestProjectsAreServedAsGiven(t *testing.T) {
	projects := []string{`{"id":"b"}`, `{ "id": 1 }`, `7`}
	s := newServer(t, omssim.Options{Tasks: 9, Projects: projects})
	text := send(t, s, `{"pageSize":2}`).Body.String()
	if !strings.HasSuffix(text, `"data":[{"id":"b"},{ "id": 1 }]}`) {
		t.Error(text)
	}
	if !strings.Contains(text, `"totalCount":3`) {
		t.Error(text)
	}
}

func TestTotalIsWhatTheOptionSays(t *testing.T) {
	s := newServer(t, omssim.Options{Tasks: 5, Total: func(tasks, number, size int) string {
		return fmt.Sprintf(`"%d/%d/%d"`, tasks, number, size)
	}})
	text := send(t, s, page(2, 3)).Body.String()
	if !strings.Contains(text, `"totalCount":"5/2/3"`) {
		t.Error(text)
	}
}

func TestBlobs(t *testing.T) {
	for _, size := range []int{2_000, 50_000} {
		with := newServer(t, omssim.Options{Tasks: 4, BlobBytes: size})
		without := newServer(t, omssim.Options{Tasks: 4})
		more := send(t, with, page(1, 10)).Body.Len() - send(t, without, page(1, 10)).Body.Len()
		if each := more / 4; each < size*9/10-200 || each > size*11/10+400 {
			t.Errorf("%d bytes asked for, %d more per task", size, each)
		}
	}
}

func TestGzipOnlyForClientsThatAcceptIt(t *testing.T) {
	s := newServer(t, omssim.Options{Tasks: 30, Gzip: true})
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost,
		"/api/v2?Action=ListProjects", strings.NewReader(page(1, 150)))
	r.Header.Set("Accept-Encoding", "gzip")
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)

	z, err := gzip.NewReader(w.Body)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	plain := send(t, s, page(1, 150)).Body.Bytes()
	if !reflect.DeepEqual(essence(t, text), essence(t, plain)) {
		t.Error("compressed and plain answers differ")
	}
}

func TestLatency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, omssim.Options{Latency: time.Minute})
		start := time.Now()
		ask(t, s, `{}`)
		if took := time.Since(start); took != time.Minute {
			t.Error(took)
		}
	})
}

func TestLatencyEndsWithTheRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, omssim.Options{Latency: time.Hour})
		start := time.Now()
		aborted(t, s, time.Second)
		if took := time.Since(start); took != time.Second {
			t.Error(took)
		}
	})
}

func TestRequestsAreRemembered(t *testing.T) {
	s := newServer(t, omssim.Options{Tasks: 3})
	send(t, s, `{"type":"SYNC","status":"FAILED","pageNumber":2,"pageSize":7}`)
	send(t, s, `?`)
	want := []omssim.Request{
		{
			Action: "ListProjects", PageNumber: 2, PageSize: 7, Status: 200,
			Filter: omssim.Filter{
				Type: "SYNC", Status: []string{"FAILED"}, SortField: "gmtCreate", Order: "descend",
			},
		},
		{Action: "ListProjects", Status: 200},
	}
	if got := s.Requests(); !reflect.DeepEqual(got, want) {
		t.Errorf("%+v", got)
	}
}

func TestOnlyTheLastRequestsAreRemembered(t *testing.T) {
	s := newServer(t, omssim.Options{})
	for i := range 10_005 {
		send(t, s, page(i+1, 1))
	}
	got := s.Requests()
	if len(got) != 10_000 || got[0].PageNumber != 6 || got[9_999].PageNumber != 10_005 {
		t.Errorf("%d requests, from page %d", len(got), got[0].PageNumber)
	}
}

func TestNewRefusesNonsense(t *testing.T) {
	for _, options := range []omssim.Options{
		{Tasks: -1},
		{Latency: -1},
		{BlobBytes: -1},
		{MaxPageSize: -1},
		{Style: 7},
		{Scenarios: []string{"following", "sleeping"}},
	} {
		if _, err := omssim.New(options); err == nil {
			t.Errorf("%+v is accepted", options)
		}
	}
}

func TestSpeedup(t *testing.T) {
	now := noon
	clock := omssim.Speedup(func() time.Time { return now }, 60)
	now = now.Add(time.Minute)
	if got := clock(); !got.Equal(noon.Add(time.Hour)) {
		t.Error(got)
	}
}

func BenchmarkPage(b *testing.B) {
	for _, body := range []string{page(30, 150), `{"pageSize":150,"status":["RUNNING"]}`} {
		b.Run("", func(b *testing.B) {
			s, err := omssim.New(omssim.Options{Tasks: 10_000, Now: at(noon)})
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				r := httptest.NewRequestWithContext(b.Context(), http.MethodPost,
					"/api/v2?Action=ListProjects", strings.NewReader(body))
				s.ServeHTTP(httptest.NewRecorder(), r)
			}
		})
	}
}

// A client compares the Date with its clock when the answer arrives.
func TestTheDateIsThatOfTheAnswerNotOfTheRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, omssim.Options{Now: time.Now, Latency: 6 * time.Second})
		w := send(t, s, `{}`)
		if got, want := w.Header().Get("Date"), time.Now().UTC().Format(http.TimeFormat); got != want {
			t.Errorf("Date %s, want %s", got, want)
		}
	})
}
