package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"oms_exporter/omsclient"
	"oms_exporter/omsclient/omssim"
)

// roundTrip is an [http.RoundTripper].
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// A tape is a recorder in front of an OMS.
type tape struct {
	*recorder
	transport http.RoundTripper
	url       string
}

// record returns a tape of an OMS that is called over the network.
func record(t *testing.T, oms http.Handler, redact bool) tape {
	t.Helper()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	rec := recordOver(t, transport, redact)
	rec.url = serveOMS(t, oms)
	return rec
}

// recordOver returns a tape of what a transport answers.
func recordOver(t *testing.T, next http.RoundTripper, redact bool) tape {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "new", "recording")
	rec, err := newRecorder(dir, redact)
	if err != nil {
		t.Fatal(err)
	}
	return tape{rec, rec.record(next), "http://oms.example"}
}

func (r tape) list(
	ctx context.Context, t *testing.T, options omsclient.Options,
) ([]omsclient.Project, omsclient.Report, error) {
	t.Helper()
	client, err := omsclient.New(r.url, &http.Client{Transport: r.transport}, options)
	if err != nil {
		t.Fatal(err)
	}
	var (
		report   omsclient.Report
		projects []omsclient.Project
	)
	for project, err := range client.List(ctx, &report) {
		if err != nil {
			return projects, report, err
		}
		projects = append(projects, project)
	}
	return projects, report, nil
}

// mustList lists everything, and fails the test unless all of it was recorded.
func (r tape) mustList(t *testing.T, options omsclient.Options) ([]omsclient.Project, omsclient.Report) {
	t.Helper()
	projects, report, err := r.list(t.Context(), t, options)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.err(); err != nil {
		t.Fatal(err)
	}
	return projects, report
}

// replay returns an OMS that serves what was recorded.
func (r tape) replay(t *testing.T) *omssim.Server {
	t.Helper()
	pages, err := omssim.ReadPages(os.DirFS(r.dir))
	if err != nil {
		t.Fatal(err)
	}
	if len(pages) != r.pages() {
		t.Errorf("%d pages are there, %d are said to be", len(pages), r.pages())
	}
	sim, err := omssim.New(omssim.Options{Pages: pages})
	if err != nil {
		t.Fatal(err)
	}
	return sim
}

// files returns the content of the files in the directory, by name.
func (r tape) files(t *testing.T) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(r.dir)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, entry := range entries {
		all[entry.Name()] = readFile(t, filepath.Join(r.dir, entry.Name()))
	}
	return all
}

// expectFiles checks the names of the files.
func (r tape) expectFiles(t *testing.T, want ...string) {
	t.Helper()
	var got []string
	for name := range r.files(t) {
		got = append(got, name)
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("the files are %q, want %q", got, want)
	}
}

func TestARecordingIsJSONHoweverItWasSent(t *testing.T) {
	for _, kind := range []omssim.FaultKind{"gzip", "bom"} {
		sim, url := newOMS(t, omssim.Options{Tasks: 2})
		sim.SetFaults(omssim.Fault{Kind: kind})
		dir := filepath.Join(t.TempDir(), "recording")

		checkOne(t, "--oms.url="+url, "--record="+dir, "--no-redact")

		if page := readFile(t, filepath.Join(dir, "page-0001.json")); !json.Valid([]byte(page)) {
			t.Errorf("%s: recorded %.20q", kind, page)
		}
	}
}

// A configuration with such names is refused before; this must not depend on it.
func TestARecordingStaysInItsDirectory(t *testing.T) {
	for _, name := range []string{"..", ".", "../x", "a/../../x", "/x"} {
		s := &checkSettings{record: filepath.Join(t.TempDir(), "in"), redact: true}

		got, err := s.recorders(&fileConfig{Targets: map[string]*targetConfig{name: {}}})

		if err == nil || exitStatus(err) != 2 || !strings.Contains(err.Error(), "--record=") {
			t.Errorf("%q: %v, %v", name, got, err)
		}
	}
}

func TestARecordingIsListedAsWhatWasRecorded(t *testing.T) {
	noon := func() time.Time { return time.Date(2026, 3, 4, 12, 0, 7, 0, time.UTC) }
	fleet := omssim.Options{Tasks: 451, Seed: 7, Now: noon}
	quoted, zipped := fleet, fleet
	quoted.Style, quoted.BlobBytes = omssim.Quoted, 4096
	zipped.Gzip = true
	paper := omssim.Options{Pages: []string{readFile(t, "../../omsclient/testdata/vendor_example.json")}}
	for name, tt := range map[string]struct {
		oms     omssim.Options
		options omsclient.Options
		tasks   int
		pages   int // 0: not checked
	}{
		"native":                 {fleet, omsclient.Options{}, 451, 4},
		"compressed":             {zipped, omsclient.Options{}, 451, 4},
		"quoted, with a blob":    {quoted, omsclient.Options{}, 451, 4},
		"one page after another": {fleet, omsclient.Options{PageSize: 41, Concurrency: 1}, 451, 12}, // the last is empty
		"many at once":           {fleet, omsclient.Options{PageSize: 10, Concurrency: 16}, 451, 46},
		"Chinese names":          {omssim.Options{Projects: projects(t)}, omsclient.Options{PageSize: 5}, 8, 2},
		"the vendor's example":   {paper, omsclient.Options{}, 1, 0},
	} {
		for _, redact := range []bool{false, true} {
			t.Run(name+map[bool]string{true: ", redacted"}[redact], func(t *testing.T) {
				t.Parallel()
				sim, err := omssim.New(tt.oms)
				if err != nil {
					t.Fatal(err)
				}
				rec := record(t, sim, redact)
				before, reported := rec.mustList(t, tt.options)

				again := record(t, rec.replay(t), false)
				after, replayed := again.mustList(t, tt.options)

				if len(before) != tt.tasks || tt.pages != 0 && rec.pages() != tt.pages {
					t.Fatalf("%d tasks on %d pages, want %d on %d", len(before), rec.pages(), tt.tasks, tt.pages)
				}
				if redact {
					expectNoNames(t, rec)
					before, after = withoutNames(before), withoutNames(after)
				}
				if !reflect.DeepEqual(before, after) {
					t.Errorf("%d tasks, want %d; %s", len(after), len(before), firstDifference(before, after))
				}
				if replayed.Total != reported.Total || replayed.Inconsistent != reported.Inconsistent ||
					!reflect.DeepEqual(replayed.Dropped, reported.Dropped) {
					t.Errorf("the report is %+v, want %+v", replayed, reported)
				}
			})
		}
	}
}

// firstDifference names the first field in which two listings differ.
func firstDifference(want, got []omsclient.Project) string {
	for i := range min(len(want), len(got)) {
		w, g := reflect.ValueOf(want[i]), reflect.ValueOf(got[i])
		for f := range w.NumField() {
			if w, g := w.Field(f).Interface(), g.Field(f).Interface(); !reflect.DeepEqual(w, g) {
				return fmt.Sprintf("task %d has %s %+v, want %+v (if redaction replaces it, see withoutNames)",
					i, reflect.TypeFor[omsclient.Project]().Field(f).Name, g, w)
			}
		}
	}
	return "the tasks of both are equal"
}

// expectNoNames checks that a recording was redacted.
func expectNoNames(t *testing.T, r tape) {
	t.Helper()
	for file, content := range r.files(t) {
		for _, secret := range []string{"192.0.2.", "unexported", "任务", "xxx.xxx", "sim:following"} {
			if strings.Contains(content, secret) {
				t.Fatalf("%s has %q", file, secret)
			}
		}
	}
}

// withoutNames empties what redaction replaces.
func withoutNames(projects []omsclient.Project) []omsclient.Project {
	projects = slices.Clone(projects)
	for i := range projects {
		p := &projects[i]
		p.ID, p.Name, p.Owner = "", "", ""
		p.SourceConnectInfo, p.SinkConnectInfo = omsclient.ConnectInfo{}, omsclient.ConnectInfo{}
		p.AlarmStats.RuleToRecentlyTriggerCount = slices.Clone(p.AlarmStats.RuleToRecentlyTriggerCount)
		for j := range p.AlarmStats.RuleToRecentlyTriggerCount {
			p.AlarmStats.RuleToRecentlyTriggerCount[j].Rule = ""
		}
		slices.SortFunc(p.AlarmStats.RuleToRecentlyTriggerCount, func(a, b omsclient.RuleCount) int {
			return cmp.Compare(a.Count, b.Count) // they come in the order of their names
		})
		p.Labels = make([]omsclient.Label, len(p.Labels))
	}
	return projects
}

func TestARecordingIsForItsOwnerOnly(t *testing.T) {
	sim, _ := newOMS(t, omssim.Options{Tasks: 7})
	rec := record(t, sim, true)
	rec.mustList(t, omsclient.Options{PageSize: 5})

	rec.expectFiles(t, "page-0001.json", "page-0002.json")
	for name, want := range map[string]fs.FileMode{
		".": fs.ModeDir | 0o700, "page-0001.json": 0o600, "page-0002.json": 0o600,
	} {
		info, err := os.Stat(filepath.Join(rec.dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode() != want {
			t.Errorf("%s has the mode %s, want %s", name, info.Mode(), want)
		}
	}
}

func TestWithoutRedactionARecordingIsWhatOMSSent(t *testing.T) {
	const sent = " {\"success\" : true,\n\"totalCount\":1,\"data\":[{\"id\":\"\\u0061\xff\"}]} \n"
	rec := record(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, sent)
	}), false)

	rec.mustList(t, omsclient.Options{})

	if got := rec.files(t); !reflect.DeepEqual(got, map[string]string{"page-0001.json": sent}) {
		t.Errorf("got %q, want %q", got, sent)
	}
}

func TestARecorderTakesNoDirectoryThatHasPages(t *testing.T) {
	dir := t.TempDir()
	rewriteFile(t, filepath.Join(dir, "README"), "not a page")
	if _, err := newRecorder(dir, true); err != nil {
		t.Errorf("a directory without pages: %v", err)
	}
	rewriteFile(t, filepath.Join(dir, "page-0007.json"), "{}")
	if _, err := newRecorder(dir, true); err == nil ||
		!strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), "page-0007.json") {
		t.Errorf("error %v, want one that names %s and page-0007.json", err, dir)
	}
	if _, err := newRecorder(filepath.Join(dir, "README"), true); err == nil {
		t.Error("a file is taken for a directory")
	}
}

// ask sends what the client sends for page 3, and returns the answer.
func (r tape) ask(t *testing.T, action string) *http.Response {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost,
		"http://oms.example/api/v2?Action="+action, strings.NewReader(`{"pageNumber":3}`))
	if err != nil {
		t.Fatal(err)
	}
	before := request.Clone(t.Context())
	response, err := r.transport.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(request.Header, before.Header) || request.ContentLength != 16 {
		t.Errorf("the request has changed: %+v", request)
	}
	return response
}

// answering is an OMS that checks the request of ask, and answers.
func answering(t *testing.T, status int, body io.Reader) roundTrip {
	t.Helper()
	return func(r *http.Request) (*http.Response, error) {
		asked, err := io.ReadAll(r.Body)
		if err != nil || string(asked) != `{"pageNumber":3}` || r.ContentLength != 16 {
			t.Errorf("the request is %q of %d bytes, error %v", asked, r.ContentLength, err)
		}
		return &http.Response{StatusCode: status, Body: io.NopCloser(body)}, nil
	}
}

func TestOnlyWholeAnswersToListProjectsAreKept(t *testing.T) {
	const whole = `{"success":true,"data":[{"id":"np_1"}]}`
	broken := errors.New("connection reset")
	for name, tt := range map[string]struct {
		action string
		status int
		body   io.Reader
		read   func(io.Reader) (string, error)
		got    string // what the client gets
		err    string // what is wrong with the recording
		kept   bool
		raw    bool // only without redaction
	}{
		"a page":             {"ListProjects", 200, strings.NewReader(whole), readAll, whole, "", true, false},
		"byte by byte":       {"ListProjects", 200, iotest.OneByteReader(strings.NewReader(whole)), readAll, whole, "", true, false},
		"end with last byte": {"ListProjects", 200, iotest.DataErrReader(strings.NewReader(whole)), readAll, whole, "", true, false},
		"another action":     {"DescribeProject", 200, strings.NewReader(whole), readAll, whole, "", false, false},
		"a failure":          {"ListProjects", 502, strings.NewReader(whole), readAll, whole, "", false, false},
		"half read":          {"ListProjects", 200, strings.NewReader(whole), readSome, whole[:20], "not read to its end", false, false},
		"never read":         {"ListProjects", 200, strings.NewReader(whole), readNone, "", "not read to its end", false, false},
		"broken off": {
			"ListProjects", 200, io.MultiReader(strings.NewReader(whole[:20]), iotest.ErrReader(broken)),
			readAll, whole[:20], "connection reset", false, false,
		},
		"not JSON":      {"ListProjects", 200, strings.NewReader("<html>" + whole), readAll, "<html>" + whole, "redact", false, false},
		"not JSON, raw": {"ListProjects", 200, strings.NewReader("<html>" + whole), readAll, "<html>" + whole, "", true, true},
	} {
		t.Run(name, func(t *testing.T) {
			rec := recordOver(t, answering(t, tt.status, tt.body), !tt.raw)
			response := rec.ask(t, tt.action)

			got, _ := tt.read(response.Body)
			_ = response.Body.Close()
			_ = response.Body.Close() // a second time does no harm

			if got != tt.got {
				t.Errorf("the client gets %q, want %q", got, tt.got)
			}
			if err := rec.err(); (err == nil) != (tt.err == "") ||
				err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("error %v, want one with %q", err, tt.err)
			}
			if err := rec.err(); err != nil && !strings.Contains(err.Error(), "page 3") {
				t.Errorf("%v does not say that it is page 3", err)
			}
			if tt.kept {
				rec.expectFiles(t, "page-0003.json")
			} else {
				rec.expectFiles(t)
			}
			if (rec.pages() == 1) != tt.kept {
				t.Errorf("%d pages", rec.pages())
			}
		})
	}
}

func readAll(r io.Reader) (string, error) {
	content, err := io.ReadAll(r)
	return string(content), err
}

func readSome(r io.Reader) (string, error) { return readAll(io.LimitReader(r, 20)) }

func readNone(io.Reader) (string, error) { return "", nil }

func TestAPageThatIsAnsweredAtASecondAttemptIsRecorded(t *testing.T) {
	for _, kind := range []omssim.FaultKind{"cut", "html_502", "reset", "cut_without_length"} {
		for _, redact := range []bool{false, true} {
			sim, _ := newOMS(t, omssim.Options{Tasks: 25})
			sim.SetFaults(omssim.Fault{Kind: kind, Page: 2, Times: 1})
			rec := record(t, sim, redact)

			rec.mustList(t, omsclient.Options{PageSize: 10})

			rec.expectFiles(t, "page-0001.json", "page-0002.json", "page-0003.json")
		}
	}
}

func TestARecordingOfAnOMSThatFailsIsAnError(t *testing.T) {
	sim, _ := newOMS(t, omssim.Options{Tasks: 25})
	sim.SetFaults(omssim.Fault{Kind: "cut", Page: 2})
	rec := record(t, sim, true)

	_, _, err := rec.list(t.Context(), t, omsclient.Options{PageSize: 10, Concurrency: 1, MaxTries: 1})

	if err == nil || rec.err() == nil || !strings.Contains(rec.err().Error(), "page 2") {
		t.Errorf("errors %v and %v, want two, one about page 2", err, rec.err())
	}
	rec.expectFiles(t, "page-0001.json")
}

func TestADiskThatFailsFailsNoListing(t *testing.T) {
	for _, redact := range []bool{false, true} {
		sim, _ := newOMS(t, omssim.Options{Tasks: 25})
		rec := record(t, sim, redact)
		if err := os.Remove(rec.dir); err != nil {
			t.Fatal(err)
		}

		projects, _, err := rec.list(t.Context(), t, omsclient.Options{})

		if err != nil || len(projects) != 25 || !errors.Is(rec.err(), fs.ErrNotExist) || rec.pages() != 0 {
			t.Errorf("%d tasks, error %v, error of the recording %v, %d pages",
				len(projects), err, rec.err(), rec.pages())
		}
	}
}

// OMS sends the second half of a page only after the client has read the first.
func TestTheClientReadsWhileItIsRecorded(t *testing.T) {
	const first, second = `{"success":true,"totalCount":2,"data":[{"id":"np_1"}`, `,{"id":"np_2"}]}`
	for _, redact := range []bool{false, true} {
		reader, writer := io.Pipe()
		rec := recordOver(t, answering(t, http.StatusOK, reader), redact)
		response := rec.ask(t, omsclient.Action)
		var sending sync.WaitGroup
		sending.Go(func() { _, _ = io.WriteString(writer, first) })

		got := make([]byte, len(first))
		if _, err := io.ReadFull(response.Body, got); err != nil || string(got) != first {
			t.Errorf("%q, error %v, want %q", got, err, first)
		}
		sending.Wait()
		if name := rec.onlyFile(t); name == "page-0003.json" {
			t.Errorf("%s is there before its end", name)
		}

		sending.Go(func() {
			_, _ = io.WriteString(writer, second)
			_ = writer.Close()
		})
		if rest, err := readAll(response.Body); err != nil || rest != second {
			t.Errorf("%q, error %v, want %q", rest, err, second)
		}
		sending.Wait()
		_ = response.Body.Close()
		rec.expectFiles(t, "page-0003.json")
		if rec.err() != nil {
			t.Error(rec.err())
		}
	}
}

// onlyFile returns the name of the only file in the directory.
func (r tape) onlyFile(t *testing.T) string {
	t.Helper()
	entries, err := os.ReadDir(r.dir)
	if err != nil || len(entries) != 1 {
		t.Fatalf("%d files, error %v, want one", len(entries), err)
	}
	return entries[0].Name()
}

// OMS reports far too many tasks, so pages 4 and 5 have been requested when the empty
// page 3 ends the listing.
func TestPagesThatWereAskedForInVainAreLeftOut(t *testing.T) {
	for _, headers := range []bool{false, true} {
		sim, _ := newOMS(t, omssim.Options{Tasks: 15, Total: func(int, int, int) string { return "1000" }})
		fifth := make(chan struct{}) // closed when page 5 is recorded
		rec := record(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch pageOf(t, r) {
			case 3:
				<-fifth
			case 4:
				if headers {
					_, _ = io.WriteString(w, `{"success":true,`)
					_ = http.NewResponseController(w).Flush()
				}
				<-r.Context().Done()
				return
			}
			sim.ServeHTTP(w, r)
		}), true)
		var recorded sync.Once
		client, err := omsclient.New(rec.url, &http.Client{Transport: roundTrip(
			func(r *http.Request) (*http.Response, error) {
				page := pageOf(t, r)
				response, err := rec.transport.RoundTrip(r)
				if page == 5 && err == nil {
					response.Body = closing{response.Body, func() { recorded.Do(func() { close(fifth) }) }}
				}
				return response, err
			},
		)}, omsclient.Options{PageSize: 10, Concurrency: 3})
		if err != nil {
			t.Fatal(err)
		}

		tasks := 0
		for _, err := range client.List(t.Context(), new(omsclient.Report)) {
			if err != nil {
				t.Fatal(err)
			}
			tasks++
		}

		if tasks != 15 || rec.err() != nil {
			t.Errorf("%d tasks, error %v, want 15", tasks, rec.err())
		}
		rec.expectFiles(t, "page-0001.json", "page-0002.json", "page-0003.json")
	}
}

// pageOf returns the page that a request is for. The request can still be sent.
func pageOf(t *testing.T, r *http.Request) int {
	t.Helper()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Error(err)
	}
	r.Body = io.NopCloser(strings.NewReader(string(body)))
	page, err := pageNumber(body)
	if err != nil {
		t.Error(err)
	}
	return page
}

// closing is a body that reports when it is closed.
type closing struct {
	io.ReadCloser
	closed func()
}

func (c closing) Close() error {
	defer c.closed()
	return c.ReadCloser.Close()
}

// The listing is canceled while its first page is read.
func TestACanceledListingLeavesNoHalfPage(t *testing.T) {
	for _, redact := range []bool{false, true} {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		rec := recordOver(t, roundTrip(func(*http.Request) (*http.Response, error) {
			cancel()
			return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(io.MultiReader(
				strings.NewReader(`{"success":true,"data":[`), iotest.ErrReader(ctx.Err()),
			))}, nil
		}), redact)

		if _, _, err := rec.list(ctx, t, omsclient.Options{}); err == nil {
			t.Error("the listing has not failed")
		}

		rec.expectFiles(t)
		if err := rec.err(); err != nil || rec.pages() != 0 {
			t.Errorf("%d pages, error %v, want none", rec.pages(), err)
		}
	}
}

func TestARecorderClosesTheConnectionsBelow(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(server.Close)
	closed := make(chan struct{})
	rec := recordOver(t, idle{closed: closed}, true)

	(&http.Client{Transport: rec.transport}).CloseIdleConnections()

	select {
	case <-closed:
	default:
		t.Error("the transport below does not know")
	}
}

type idle struct {
	http.RoundTripper
	closed chan struct{}
}

func (i idle) CloseIdleConnections() { close(i.closed) }

func TestSimulateReplaysARecording(t *testing.T) {
	sim, _ := newOMS(t, omssim.Options{Tasks: 25})
	rec := record(t, sim, true)
	rec.mustList(t, omsclient.Options{PageSize: 10})
	p := start(t, "simulate", "--replay="+rec.dir, "--sim.fault=html_502@2x1")
	again := record(t, nil, false)
	again.url = p.url

	projects, report := again.mustList(t, omsclient.Options{PageSize: 10})

	if len(projects) != 25 || len(report.Requests) != 4 {
		t.Errorf("%d tasks after %d requests, want 25 after 4", len(projects), len(report.Requests))
	}
	if got, want := again.files(t), rec.files(t); !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if log := p.stderr.String(); !strings.Contains(log, "pages=3") || strings.Contains(log, "tasks=") {
		t.Errorf("the log does not tell what is served:\n%s", log)
	}
}

func TestSimulateRefusesToReplayWhatIsNoRecording(t *testing.T) {
	missing, empty, odd := filepath.Join(t.TempDir(), "missing"), t.TempDir(), t.TempDir()
	rewriteFile(t, filepath.Join(odd, "page-0001.json"), "<html>")
	for _, m := range []mistake{
		{name: "missing", args: []string{"simulate", "--replay=" + missing}, want: []string{"--replay=" + missing, "no such"}},
		{name: "empty", args: []string{"simulate", "--replay=" + empty}, want: []string{"--replay=" + empty, "no pages"}},
		{name: "not JSON", args: []string{"simulate", "--replay=" + odd}, want: []string{"--replay=" + odd, "page 1"}},
		{name: "with a fleet", args: []string{"simulate", "--replay=" + empty, "--sim.tasks=60"}, want: []string{"--replay", "--sim.tasks"}},
		{name: "with a scenario", args: []string{"simulate", "--replay=" + empty, "--sim.scenario=following"}, want: []string{"--replay", "--sim.scenario"}},
	} {
		t.Run(m.name, func(t *testing.T) { expectRefusal(t, m) })
	}
}
