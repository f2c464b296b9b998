package omssim_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"oms_exporter/omsclient/omssim"
)

func faults(t *testing.T, texts ...string) []omssim.Fault {
	t.Helper()
	var list []omssim.Fault
	for _, text := range texts {
		f, err := omssim.ParseFault(text)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, f)
	}
	return list
}

// aborted asks for tasks, gives up after a while, and checks that the server aborts.
func aborted(t *testing.T, s http.Handler, after time.Duration) (w *httptest.ResponseRecorder) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), after)
	defer cancel()
	w = httptest.NewRecorder()
	defer func() {
		if err, _ := recover().(error); !errors.Is(err, http.ErrAbortHandler) {
			t.Error("the server did not abort:", err)
		}
	}()
	s.ServeHTTP(w, httptest.NewRequestWithContext(ctx, http.MethodPost,
		"/api/v2?Action=ListProjects", strings.NewReader(`{}`)))
	panic("the server answered")
}

// overTCP asks for tasks over a real connection.
func overTCP(t *testing.T, s http.Handler) (*http.Response, error) {
	t.Helper()
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost,
		server.URL+"/api/v2?Action=ListProjects", strings.NewReader(`{"pageSize":150}`))
	if err != nil {
		t.Fatal(err)
	}
	return server.Client().Transport.RoundTrip(r)
}

func TestParseFault(t *testing.T) {
	for text, want := range map[string]omssim.Fault{
		"html_502":       {Kind: "html_502"},
		"truncated@3":    {Kind: "truncated", Page: 3},
		"reset@2x1":      {Kind: "reset", Page: 2, Times: 1},
		"unauthorizedx2": {Kind: "unauthorized", Times: 2},
	} {
		got, err := omssim.ParseFault(text)
		if err != nil || got != want || got.String() != text {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
	for _, d := range omssim.Faults() {
		f := omssim.Fault{Kind: d.Kind, Page: 12, Times: 34}
		if got, err := omssim.ParseFault(f.String()); err != nil || got != f || d.Doc == "" {
			t.Errorf("%s: %+v, %v", f, got, err)
		}
	}
	for _, text := range []string{
		"", "nonsense", "reset@", "reset@0", "resetx0", "reset@-1", "resetx1@2", "reset @1",
		"reset@1 x2", "resetx9999999999", "@1", "x1",
	} {
		if f, err := omssim.ParseFault(text); err == nil {
			t.Errorf("%q is %+v", text, f)
		}
	}
}

func TestSetFaultsRefusesNonsense(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	newServer(t, omssim.Options{}).SetFaults(omssim.Fault{Kind: "nonsense"})
}

func TestStatusFaults(t *testing.T) {
	s := newServer(t, omssim.Options{Tasks: 3})
	for _, test := range []struct {
		fault       string
		status      int
		header      string
		headerValue string
	}{
		{"html_502", 502, "Content-Type", "text/html"},
		{"unauthorized", 401, "", ""},
		{"forbidden", 403, "", ""},
		{"request_timeout", 408, "", ""},
		{"too_many_requests", 429, "Retry-After", "1"},
		{"internal_error", 500, "", ""},
		{"unavailable", 503, "", ""},
		{"redirect", 302, "Location", "/oms-v2/login"},
	} {
		s.SetFaults(faults(t, test.fault)...)
		w := send(t, s, `{}`)
		if w.Code != test.status || w.Header().Get(test.header) != test.headerValue {
			t.Errorf("%s: HTTP %d %v", test.fault, w.Code, w.Header())
		}
		requests := s.Requests()
		if got := requests[len(requests)-1].Status; got != test.status {
			t.Errorf("%s: remembered as %d", test.fault, got)
		}
	}
}

func TestFaultsKeepToTheirPageAndTimes(t *testing.T) {
	s := newServer(t, omssim.Options{Tasks: 3})
	s.SetFaults(faults(t, "unavailable@2x1", "forbiddenx2")...)
	var got []int
	for _, number := range []int{1, 2, 2, 2} {
		got = append(got, send(t, s, page(number, 1)).Code)
	}
	if want := []int{403, 503, 403, 200}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestDocumentFaults(t *testing.T) {
	s := newServer(t, omssim.Options{Tasks: 3})
	whole := send(t, s, `{}`).Body.Len()
	for fault, fits := range map[string]func(body string) bool{
		"truncated":    func(body string) bool { return len(body)-whole/2 < 3 && len(body) > 0 },
		"invalid_json": func(body string) bool { return strings.Contains(body, "\x00") },
		"empty_body":   func(body string) bool { return body == "" },
	} {
		s.SetFaults(faults(t, fault)...)
		response, err := overTCP(t, s)
		if err != nil {
			t.Fatal(fault, err)
		}
		body, err := io.ReadAll(response.Body)
		_ = response.Body.Close()
		if err != nil || response.StatusCode != http.StatusOK || !fits(string(body)) || json.Valid(body) {
			t.Errorf("%s: HTTP %d, %d bytes, %v", fault, response.StatusCode, len(body), err)
		}
	}
}

func TestCutEndsTheBodyEarly(t *testing.T) {
	s := newServer(t, omssim.Options{Tasks: 100})
	s.SetFaults(faults(t, "cut")...)
	response, err := overTCP(t, s)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if !errors.Is(err, io.ErrUnexpectedEOF) || len(body) == 0 {
		t.Errorf("%d bytes, %v", len(body), err)
	}
}

func TestResetAnswersNothing(t *testing.T) {
	s := newServer(t, omssim.Options{})
	s.SetFaults(faults(t, "reset")...)
	response, err := overTCP(t, s)
	if err == nil {
		_ = response.Body.Close()
	}
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Error(err)
	}
	if got := s.Requests(); got[len(got)-1].Status != 0 {
		t.Errorf("%+v", got)
	}
}

func TestHangAndStallLastUntilTheClientGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, omssim.Options{Tasks: 3})
		for fault, some := range map[string]bool{"hang": false, "stall": true} {
			s.SetFaults(faults(t, fault)...)
			start := time.Now()
			w := aborted(t, s, time.Hour)
			if time.Since(start) != time.Hour || (w.Body.Len() > 0) != some {
				t.Errorf("%s: %s, %d bytes", fault, time.Since(start), w.Body.Len())
			}
		}
	})
}

func TestSlowBodyDrips(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, omssim.Options{Tasks: 10})
		s.SetFaults(faults(t, "slow_body")...)
		start := time.Now()
		if a := ask(t, s, `{}`); len(a.Data) != 10 {
			t.Errorf("%+v", a)
		}
		if took := time.Since(start); took < 4*time.Second || took > 6*time.Second {
			t.Error(took)
		}
		aborted(t, s, time.Second)
	})
}

// keys decodes the envelope of an answer.
func keys(t *testing.T, s http.Handler, body string) map[string]json.RawMessage {
	t.Helper()
	var members map[string]json.RawMessage
	if err := json.Unmarshal(send(t, s, body).Body.Bytes(), &members); err != nil {
		t.Fatal(err)
	}
	return members
}

func TestEnvelopeFaults(t *testing.T) {
	s := newServer(t, omssim.Options{Tasks: 7})
	for fault, fits := range map[string]func(map[string]json.RawMessage) bool{
		"api_error": func(m map[string]json.RawMessage) bool {
			return string(m["success"]) == "false" && string(m["code"]) == `"GHANA-OPERAT000001"`
		},
		"data_null": func(m map[string]json.RawMessage) bool {
			return string(m["data"]) == "null" && string(m["totalCount"]) == "7"
		},
		"no_data": func(m map[string]json.RawMessage) bool {
			return m["data"] == nil && string(m["totalCount"]) == "7" && m["success"] != nil
		},
		"changing_count": func(m map[string]json.RawMessage) bool {
			return string(m["totalCount"]) == "8"
		},
		"count_as_pages": func(m map[string]json.RawMessage) bool {
			return string(m["totalCount"]) == "2"
		},
		"pascal_case": func(m map[string]json.RawMessage) bool {
			return m["Data"] != nil && m["TotalCount"] != nil && m["Success"] != nil &&
				m["RequestId"] != nil && m["data"] == nil
		},
	} {
		s.SetFaults(faults(t, fault)...)
		if got := keys(t, s, page(2, 5)); !fits(got) {
			t.Errorf("%s: %s", fault, got)
		}
	}
}

// listing reads pages, with their totalCount, until one is short.
func listing(t *testing.T, s http.Handler, size int) (got []string, totals []int) {
	t.Helper()
	for number := 1; number < 100; number++ {
		a := ask(t, s, page(number, size))
		got = append(got, ids(a.Data)...)
		totals = append(totals, a.TotalCount)
		if len(a.Data) < size {
			break
		}
	}
	return got, totals
}

func TestRepeatPage(t *testing.T) {
	s := newServer(t, omssim.Options{Tasks: 7})
	s.SetFaults(faults(t, "repeat_page@2")...)
	got, _ := listing(t, s, 3)
	if !slices.Equal(got[:3], got[3:6]) || slices.Equal(got[6:], got[:1]) {
		t.Error(got)
	}
}

func TestMovingTaskIsTwiceAtEachBorder(t *testing.T) {
	s := newServer(t, omssim.Options{Tasks: 10})
	healthy, _ := listing(t, s, 4)
	index := func(got []string) (where []int) {
		for _, id := range got {
			where = append(where, slices.Index(healthy, id))
		}
		return where
	}
	for _, test := range []struct {
		fault string
		want  []int
	}{
		{"moving_task", []int{0, 1, 2, 3, 3, 4, 5, 6, 6, 7, 8, 9, 9}},
		{"moving_task@2", []int{0, 1, 2, 3, 4, 5, 6, 7, 7, 8, 9}},
		{"moving_task@1", []int{0, 1, 2, 3, 3, 4, 5, 6, 7, 8, 9}},
	} {
		s.SetFaults(faults(t, test.fault+"x1")...)
		if got, _ := listing(t, s, 4); !slices.Equal(index(got), test.want) {
			t.Errorf("%s: %v, want %v", test.fault, index(got), test.want)
		}
		if got, _ := listing(t, s, 4); !slices.Equal(got, healthy) {
			t.Errorf("%s: the second pass is not consistent", test.fault)
		}
	}
}

func TestDeletedTaskMakesLaterPagesSkipOne(t *testing.T) {
	s := newServer(t, omssim.Options{Tasks: 10})
	healthy, _ := listing(t, s, 4)
	s.SetFaults(faults(t, "deleted_taskx2")...)
	for range 2 {
		got, totals := listing(t, s, 4)
		if want := slices.Concat(healthy[:4], healthy[5:]); !slices.Equal(got, want) {
			t.Errorf("%v, want %v", got, want)
		}
		if want := []int{10, 9, 9}; !slices.Equal(totals, want) {
			t.Errorf("%v, want %v", totals, want)
		}
	}
	got, totals := listing(t, s, 4)
	if !slices.Equal(got, healthy[1:]) || !slices.Equal(totals, []int{9, 9, 9}) {
		t.Errorf("afterward %v, %v", got, totals)
	}
	s.SetFaults()
	if got, _ := listing(t, s, 4); !slices.Equal(got, healthy) {
		t.Error("not healthy again")
	}
}

func TestAddedTaskAppearsAfterPageOne(t *testing.T) {
	for _, options := range []omssim.Options{
		{Tasks: 3},
		{Projects: []string{`{"id":"a"}`, `{"id":"b"}`, `{"id":"c"}`}},
	} {
		s := newServer(t, options)
		healthy, _ := listing(t, s, 2)
		s.SetFaults(faults(t, "added_taskx1")...)
		got, totals := listing(t, s, 2)
		if len(got) != 4 || !slices.Equal(got[:3], healthy) || slices.Contains(healthy, got[3]) {
			t.Error(got)
		}
		if want := []int{3, 4, 4}; !slices.Equal(totals, want) {
			t.Errorf("%v, want %v", totals, want)
		}
		again, totals := listing(t, s, 2)
		if !slices.Equal(again, got) || !slices.Equal(totals, []int{4, 4, 4}) {
			t.Errorf("afterward %v, %v", again, totals)
		}
	}
}

func TestPassFaultsDoNothingBeforePageOne(t *testing.T) {
	s := newServer(t, omssim.Options{Tasks: 6})
	healthy := ask(t, s, page(2, 3))
	s.SetFaults(faults(t, "deleted_task")...)
	if got := ask(t, s, page(2, 3)); !slices.Equal(ids(got.Data), ids(healthy.Data)) {
		t.Error("a task is deleted before its pass began")
	}
}

func TestUnknownValues(t *testing.T) {
	s := newServer(t, omssim.Options{Tasks: 60})
	s.SetFaults(faults(t, "unknown_values")...)
	for _, kind := range []string{"MIGRATION", "SYNC", "VERIFY"} {
		text := send(t, s, `{"pageSize":2,"type":"`+kind+`"}`).Body.String()
		if !json.Valid([]byte(text)) {
			t.Fatal(text)
		}
		for value, want := range map[string]int{
			`"futureObject":{"list":[{"deep":true`:              2,
			`"status":"SOME_NEW_STATE"`:                         1,
			`"status":"WARMING_UP"`:                             1,
			`"name":"QUANTUM_TRANSFER"`:                         1,
			`"importance":"COSMIC"`:                             1,
			`"type":"TELEPORT"`:                                 1,
			`"incrTimestampCheckpoint":"mysql-bin.000123,4567"`: 1,
			`"gmtModified":"2025/06/07 08:09:10.123 +0800"`:     1,
		} {
			if got := strings.Count(text, value); got != want {
				t.Errorf("%s: %s occurs %d times, want %d", kind, value, got, want)
			}
		}
	}
}

func TestOddTaskAmongGoodOnes(t *testing.T) {
	for _, options := range []omssim.Options{
		{Tasks: 2},
		{Projects: []string{`{"id":"a"}`, `{"id":"b"}`}},
	} {
		s := newServer(t, options)
		s.SetFaults(faults(t, "odd_task")...)
		var elements []json.RawMessage
		if err := json.Unmarshal(keys(t, s, `{}`)["data"], &elements); err != nil {
			t.Fatal(err)
		}
		if len(elements) != 5 || elements[1][0] != '"' || string(elements[2]) != "null" ||
			strings.Contains(string(elements[3]), `"id"`) {
			t.Errorf("%.300s", elements)
		}
	}
}

func TestFaultsOverHTTP(t *testing.T) {
	s := newServer(t, omssim.Options{})
	control := func(method, body string) (int, string) {
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), method, "/sim/faults",
			strings.NewReader(body)))
		return w.Code, w.Body.String()
	}
	if code, text := control(http.MethodPut, "# now\n\nhtml_502\nreset@2x1\n"); code != 200 ||
		text != "html_502\nreset@2x1\n" {
		t.Error(code, text)
	}
	if w := send(t, s, `{}`); w.Code != 502 {
		t.Error(w.Code)
	}
	if code, _ := control(http.MethodPut, "nonsense"); code != 400 {
		t.Error(code)
	}
	if _, text := control(http.MethodGet, ""); text != "html_502\nreset@2x1\n" {
		t.Error(text)
	}
	if code, text := control(http.MethodDelete, ""); code != 200 || text != "" {
		t.Error(code, text)
	}
	if w := send(t, s, `{}`); w.Code != 200 {
		t.Error(w.Code)
	}
	if code, _ := control(http.MethodPost, ""); code != 405 {
		t.Error(code)
	}
}

func TestFaultsMayChangeWhileServing(t *testing.T) {
	s := newServer(t, omssim.Options{Tasks: 20})
	texts := []string{"html_502x1", "deleted_taskx1", "changing_count", "truncated@2", "odd_taskx2"}
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			for number := range 50 {
				send(t, s, page(number%3+1, 5))
				s.Requests()
			}
		})
	}
	for i := range 200 {
		s.SetFaults(faults(t, texts[i%len(texts)])...)
	}
	group.Wait()
}
