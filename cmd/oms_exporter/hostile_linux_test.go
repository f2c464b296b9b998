package main

import (
	"bufio"
	"cmp"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"oms_exporter/omsclient/omssim"
)

// What the exporter may take, whatever an OMS lists. The first is what Go is told; beyond
// the second the kernel refuses memory, and the program ends.
const (
	heapLimit     = "256MiB"
	dataLimit     = 640 << 20
	residentLimit = 288 << 20
)

// A hostilePage writes a page, while it is read.
type hostilePage func(w *hostileWriter, page int)

// A hostileWriter writes JSON as text.
type hostileWriter struct {
	*bufio.Writer
	total string // totalCount
}

func (w *hostileWriter) f(format string, args ...any) { fmt.Fprintf(w, format, args...) }

// rows writes a page of tasks, each of which ends in more.
func (w *hostileWriter) rows(page, rows int, more func(row int)) {
	w.f(`{"success":true,"totalCount":%s,"data":[`, w.total)
	for row := range rows {
		if _, err := w.Write(nil); err != nil {
			return // nobody reads it
		}
		if row > 0 {
			w.f(",")
		}
		w.f(`{"id":"np_%d_%d","status":"RUNNING","type":"SYNC"`, page, row)
		more(row)
		w.f("}")
	}
	w.f("]}")
}

// list writes elements between commas.
func (w *hostileWriter) list(n int, element func(i int)) {
	for i := range n {
		if i > 0 {
			w.f(",")
		}
		element(i)
	}
}

const usualRows = 150

// hostilePages are pages of listings, each of which grows in a way of its own. The
// reasons are those that may end it; none means that it is exported.
var hostilePages = []struct {
	name, reason string
	page         hostilePage
}{
	{"more rows than were asked for", "decode|limit|pagination", func(w *hostileWriter, page int) {
		w.rows(page, 100_000, func(int) {})
	}},
	{"rows that are no tasks", "decode|limit|pagination", func(w *hostileWriter, _ int) {
		w.f(`{"success":true,"data":[0`)
		for range 5_000_000 {
			w.f(",0")
		}
		w.f("]}")
	}},
	{"empty steps", "", func(w *hostileWriter, page int) {
		w.rows(page, usualRows, func(int) { w.f(`,"steps":[{}%s]`, strings.Repeat(",{}", 63)) })
	}},
	{"steps with everything", "", func(w *hostileWriter, page int) {
		const numbers = `"progress":1,"startTime":"2026-01-02T03:04:05","finishTime":"2026-01-02T03:04:05","stepInfo":{` +
			`"processedRecords":1,"capacity":1,"inconsistencies":1,"srcRps":1,"srcRt":1,"srcIops":1,"dstRps":1,"dstRt":1,"dstIops":1}`
		w.rows(page, usualRows, func(row int) {
			w.f(`,"steps":[`)
			w.list(64, func(i int) { w.f(`{"order":%d,"name":"S%d_%d_%d","status":"T%d",%s}`, i, page, row, i, row, numbers) })
			w.f("]")
		})
	}},
	{"tags", "", func(w *hostileWriter, page int) {
		w.rows(page, usualRows, func(row int) {
			w.f(`,"labels":[`)
			w.list(64, func(i int) { w.f(`{"id":"%d","name":"%d_%d"}`, i, page, row) })
			w.f("]")
		})
	}},
	{"rules", "", func(w *hostileWriter, page int) {
		w.rows(page, usualRows, func(row int) {
			w.f(`,"alarmStats":{"ruleToRecentlyTriggerCount":{`)
			w.list(40, func(i int) { w.f(`"%d_%d_%d":%d`, page, row, i, i) })
			w.f("}}")
		})
	}},
	{"long names on many series", "", func(w *hostileWriter, page int) {
		name := strings.Repeat("😀", 250)
		w.rows(page, usualRows, func(row int) {
			w.f(`,"name":"%s%d_%d","steps":[`, name, page, row)
			w.list(64, func(i int) { w.f(`{"name":"S%d","status":"RUNNING","progress":1,"order":1}`, i) })
			w.f("]")
		})
	}},
	{"long texts", "decode|limit", func(w *hostileWriter, page int) {
		text := strings.Repeat("\\u4e00", 250)
		w.rows(page, usualRows, func(row int) {
			w.f(`,"labels":[`)
			w.list(64, func(i int) { w.f(`{"id":"%s%d_%d_%d","name":"%s"}`, text, page, row, i, text) })
			w.f("]")
		})
	}},
	{"texts of megabytes", "", func(w *hostileWriter, page int) {
		text := strings.Repeat("x", 3<<20)
		w.rows(page, usualRows, func(row int) {
			if row == 0 && page%10 == 0 {
				w.f(`,"owner":"%s"`, text)
			}
		})
	}},
	{"keys that are repeated", "decode|limit", func(w *hostileWriter, page int) {
		w.rows(page, usualRows, func(int) {
			for range 10_000 {
				w.f(`,"steps":[{}%s]`, strings.Repeat(",{}", 63))
			}
		})
	}},
	{"data that are repeated", "", func(w *hostileWriter, _ int) {
		w.f(`{"success":true,"totalCount":0`)
		for range 3_000_000 {
			w.f(`,"data":[]`)
		}
		w.f("}")
	}},
	{"depth", "decode", func(w *hostileWriter, _ int) {
		w.f(`{"success":true,"data":[{"id":"1","x":%s`, strings.Repeat("[", 5_000_000))
	}},
}

// hostileOMS serves a listing of so many pages, compressed if that is welcome.
func hostileOMS(t *testing.T, pages *atomic.Int64, page hostilePage) string {
	t.Helper()
	return serveOMS(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked := struct {
			PageNumber int `json:"pageNumber"`
		}{}
		if err := json.NewDecoder(r.Body).Decode(&asked); err != nil {
			t.Error(err)
		}
		w.Header().Set("Content-Type", "application/json")
		var out io.Writer = w
		if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
			w.Header().Set("Content-Encoding", "gzip")
			z, _ := gzip.NewWriterLevel(w, gzip.BestSpeed)
			defer func() { _ = z.Close() }() // who reads may have had enough
			out = z
		}
		most := int(pages.Load())
		h := &hostileWriter{bufio.NewWriterSize(out, 64<<10), strconv.Itoa(most * usualRows)}
		if asked.PageNumber > most {
			h.f(`{"success":true,"data":[]}`)
		} else {
			page(h, asked.PageNumber)
		}
		_ = h.Flush()
	}))
}

// No listing makes the program take more memory than it may, or end. The program is as
// it is released, in a process of its own. -soak makes it longer.
func TestHostileListingsNeverKill(t *testing.T) {
	binary := buildProgram(t)
	t.Run("all", func(t *testing.T) {
		t.Run("large", func(t *testing.T) { testLargeListings(t, binary) })
		t.Run("endless", func(t *testing.T) { testEndlessListings(t, binary) })
		t.Run("invented", func(t *testing.T) { testInventedNames(t, binary) })
		t.Run("random", func(t *testing.T) { testRandomListings(t, binary) })
	})
}

// Listings that take more than the budget of a listing are refused. Then as much of them as
// fits in is exported.
func testLargeListings(t *testing.T, binary string) {
	t.Helper()
	for _, c := range hostilePages {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var pages atomic.Int64
			pages.Store(130) // fewer tasks than the limit of their number
			p := startLimited(t, binary, hostileOMS(t, &pages, c.page))
			a := p.scrape(t)
			if c.reason != "" {
				if !regexp.MustCompile("^(" + c.reason + ")$").MatchString(a.reason) {
					t.Errorf("up %v, reason %q, want %s", a.up, a.reason, c.reason)
				}
				p.expectBounded(t)
				return
			}
			scrapes := 1
			if isLong() {
				scrapes = 5 // some things are kept from one listing to the next
			}
			if a.reason == "limit" {
				pages.Store(p.lastPage(t) - 1)
				t.Logf("%d pages fit in", pages.Load())
			}
			for range scrapes {
				if a = p.scrape(t); !a.up {
					t.Errorf("%d pages are not exported: reason %q", pages.Load(), a.reason)
				}
			}
			p.expectBounded(t)
		})
	}
}

// Tasks without end are given up, whatever is said of their number.
func testEndlessListings(t *testing.T, binary string) {
	t.Helper()
	for _, total := range []string{"null", "9999999"} {
		t.Run("totalCount "+total, func(t *testing.T) {
			t.Parallel()
			var pages atomic.Int64
			pages.Store(1 << 30)
			p := startLimited(t, binary, hostileOMS(t, &pages, func(w *hostileWriter, page int) {
				w.total = total
				w.rows(page, usualRows, func(int) {})
			}))
			if a := p.scrape(t); a.reason != "limit" {
				t.Errorf("reason %q, want limit", a.reason)
			}
			p.expectBounded(t)
		})
	}
}

// What an OMS invents anew at every listing does not add up.
func testInventedNames(t *testing.T, binary string) {
	t.Helper()
	for _, c := range []struct {
		name    string
		scrapes int
		pages   int64
		most    int // bytes of an answer
		page    func(w *hostileWriter, page, listing int)
	}{
		{"types and statuses", 5, 34, 6 << 20, func(w *hostileWriter, page, listing int) {
			w.rows(page, usualRows, func(row int) {
				w.f(`,"type":"T%d_%d_%d","status":"S%d_%d_%d"`, listing, page, row, listing, page, row)
			})
		}},
		{"alarm rules", 60, 1, 5 << 18, func(w *hostileWriter, page, listing int) {
			w.rows(page, usualRows, func(int) {
				w.f(`,"alarmStats":{"alarming":true,"ruleToRecentlyTriggerCount":{`)
				w.list(32, func(i int) { w.f(`"rule %d of %d":%d`, i, listing, i) })
				w.f("}}")
			})
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var pages, listings atomic.Int64
			pages.Store(c.pages)
			p := startLimited(t, binary, hostileOMS(t, &pages, func(w *hostileWriter, page int) {
				c.page(w, page, int(listings.Load()))
			}), "--web.disable-exporter-metrics")
			var first int64
			for n := range c.scrapes {
				listings.Add(1)
				if a := p.scrape(t); !a.up || a.bytes > c.most {
					t.Fatalf("scrape %d: up %v, %d bytes, want at most %d", n+1, a.up, a.bytes, c.most)
				}
				if n == c.scrapes/3 {
					first = p.resident(t, "VmRSS")
				}
			}
			if last := p.resident(t, "VmRSS"); last > first+8<<20 {
				t.Errorf("resident memory went from %d to %d MiB", first>>20, last>>20)
			}
			p.expectBounded(t)
		})
	}
}

// Random listings, for as long as -soak says, at one program.
func testRandomListings(t *testing.T, binary string) {
	t.Helper()
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	var listing atomic.Uint64
	var pages atomic.Int64
	pages.Store(1 << 30)
	p := startLimited(t, binary, hostileOMS(t, &pages, func(w *hostileWriter, page int) {
		w.total = "null"
		random := rand.New(rand.NewPCG(seed, listing.Load()<<20+uint64(page)))
		fuzzPage(w, random, rand.New(rand.NewPCG(seed, listing.Load())), page)
	}))
	p.timeout = "2"
	t.Logf("seed %d", seed)
	ups, answers := 0, map[string]int{}
	for end := time.Now().Add(*soak); time.Now().Before(end); listing.Add(1) {
		a := p.scrape(t)
		if a.up {
			ups++
		}
		answers[a.reason]++
	}
	t.Logf("%d listings, %d exported, by reason %v", listing.Load(), ups, answers)
	p.expectBounded(t)
}

// fuzzPage writes a page that looks like OMS's, but for whatever the fates of its listing
// make grow.
func fuzzPage(w *hostileWriter, r, fates *rand.Rand, page int) {
	growing := func(usual, most int) int { // what grows in this listing
		if fates.IntN(4) == 0 {
			return fates.IntN(most)
		}
		return usual
	}
	pages, rows := growing(3, 200), growing(usualRows, 20_000)
	steps, labels, rules := growing(8, 200), growing(2, 300), growing(3, 200)
	length, repeats, depth := growing(12, 2_000), growing(1, 50), 1+growing(2, 12_000)
	if page > pages {
		w.f(`{"success":true,"data":[]}`)
		return
	}
	text := func() string {
		alphabets := []string{"x", "😀", "\\ud800", "\\u0000", "\xff", "\\\"", "订"}
		return strings.Repeat(alphabets[r.IntN(len(alphabets))], r.IntN(length+1)) + strconv.Itoa(r.IntN(1<<30))
	}
	value := func() string {
		values := []string{"1", "-1e300", "null", `"7"`, `"x"`, "{}", "[]", "true", "1735862400123", "nested"}
		if v := values[r.IntN(len(values))]; v != "nested" {
			return v
		}
		n := 1 + r.IntN(depth)
		return `{"a":` + strings.Repeat("[", n) + strings.Repeat("]", n) + "}"
	}
	w.rows(page, rows, func(int) {
		for range repeats {
			w.f(`,"name":"%s","type":"%s","status":%s,"importance":"%s","gmtCreate":%s`, text(), text(), value(), text(), value())
			w.f(`,"steps":[`)
			w.list(r.IntN(steps+1), func(int) {
				w.f(`{"name":"%s","status":"%s","progress":%s,"order":%s,"stepInfo":{"srcRps":%s,"capacity":%s,"incrTimestampCheckpoint":%s}}`,
					text(), text(), value(), value(), value(), value(), value())
			})
			w.f(`],"labels":[`)
			w.list(r.IntN(labels+1), func(int) { w.f(`{"id":"%s","name":"%s"}`, text(), text()) })
			w.f(`],"alarmStats":{"alarming":%s,"ruleToRecentlyTriggerCount":{`, value())
			w.list(r.IntN(rules+1), func(int) { w.f(`"%s":%s`, text(), value()) })
			w.f("}}")
		}
	})
}

// buildProgram builds the program as it is released, without the race detector.
func buildProgram(t *testing.T) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "oms_exporter")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return binary
}

// A limitedProgram is the program as a process of its own, whose memory is limited.
type limitedProgram struct {
	url     string
	stderr  *output
	cmd     *exec.Cmd
	ended   chan struct{}
	timeout string // of a scrape, in seconds; by default 120
}

func startLimited(t *testing.T, binary, oms string, args ...string) *limitedProgram {
	t.Helper()
	return startWithin(t, fmt.Sprintf("ulimit -d %d", dataLimit>>10), binary, append([]string{
		"--oms.url=" + oms,
		"--scrape.timeout=10m", "--oms.page-timeout=1m", // a busy machine is no failure
	}, args...)...)
}

// startWithin starts the program after a command of the shell that limits something.
func startWithin(t *testing.T, limit, binary string, args ...string) *limitedProgram {
	t.Helper()
	shell := []string{"-c", limit + `; exec "$0" "$@"`, binary, "--web.listen-address=127.0.0.1:0"}
	p := &limitedProgram{
		stderr: newOutput(), ended: make(chan struct{}),
		cmd: exec.CommandContext(t.Context(), "sh", append(shell, args...)...),
	}
	p.cmd.Stderr = p.stderr
	p.cmd.Env = append(os.Environ(), "GOMEMLIMIT="+heapLimit)
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.ended)
		_ = p.cmd.Wait() // that it is killed in the end is no error
		p.stderr.end()
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		<-p.ended
	})
	p.url = "http://" + p.stderr.await(t, listening)[1]
	return p
}

// A briefAnswer is what of an answer is kept, which may be large.
type briefAnswer struct {
	up     bool
	reason string
	bytes  int
	took   time.Duration
}

func (p *limitedProgram) scrape(t *testing.T) briefAnswer {
	t.Helper()
	began := time.Now()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.url+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("X-Prometheus-Scrape-Timeout-Seconds", cmp.Or(p.timeout, "120"))
	response, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		t.Fatalf("the program does not answer: %v, log:\n%.5000s", err, p.stderr)
	}
	defer response.Body.Close()
	var a briefAnswer
	lines := bufio.NewReader(response.Body)
	for {
		line, err := lines.ReadString('\n')
		a.bytes += len(line)
		if line == "oms_up 1\n" {
			a.up = true
		}
		if rest, ok := strings.CutPrefix(line, `oms_scrape_error_info{reason="`); ok {
			a.reason, _, _ = strings.Cut(rest, `"`)
		}
		if err != nil {
			if err != io.EOF {
				t.Fatalf("the answer broke off: %v, log:\n%.5000s", err, p.stderr)
			}
			break
		}
	}
	a.took = time.Since(began)
	t.Logf("%s, up %v, reason %s, %.1f MB", a.took.Round(time.Millisecond), a.up, cmp.Or(a.reason, "-"), float64(a.bytes)/(1<<20))
	return a
}

// lastPage returns the page at which a listing was given up, as the log has it.
func (p *limitedProgram) lastPage(t *testing.T) int64 {
	t.Helper()
	said := p.stderr.await(t, regexp.MustCompile(`reason=limit err="list projects: page (\d+):`))
	page, err := strconv.ParseInt(said[1], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return page
}

// Clients at the port do not make the program take more memory than it may, whatever they
// ask for and do not read.
func TestClientsAtThePortNeverKill(t *testing.T) {
	binary := buildProgram(t)
	t.Run("all", func(t *testing.T) {
		t.Run("answers", func(t *testing.T) { testAnswersThatNobodyReads(t, binary) })
		t.Run("connections", func(t *testing.T) { testFloodsOfConnections(t, binary) })
		t.Run("files", func(t *testing.T) { testConnectionsBeyondTheFiles(t, binary) })
		t.Run("targets", func(t *testing.T) { testManyTargetsAtOneMoment(t, binary) })
	})
}

// Clients that ask one after another would each keep a listing in memory, and those that
// ask at once the rows that are written of one.
func testAnswersThatNobodyReads(t *testing.T, binary string) {
	t.Helper()
	const tasks, pages = 10_000, 67
	for name, c := range map[string]struct {
		path    string
		clients int
		pause   time.Duration // unless there is another listing before
	}{
		"one after another": {"/metrics", 12, 6 * time.Second},
		"at once":           {"/metrics?name[]=oms_task_step_status&name[]=oms_task_step_progress_ratio", 40, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sim, oms := newOMS(t, omssim.Options{Tasks: tasks})
			p := startLimited(t, binary, oms)
			p.timeout = "600" // there are many listings before its own
			for range c.clients {
				asked, began := len(sim.Requests()), time.Now()
				sluggard(t, &program{url: p.url}, c.path, "120")
				for time.Since(began) < c.pause && len(sim.Requests()) < asked+pages {
					<-time.After(50 * time.Millisecond)
				}
			}
			if a := p.scrape(t); !a.up {
				t.Errorf("a client that reads: reason %q", a.reason)
			}
			p.expectBounded(t)
		})
	}
}

func testFloodsOfConnections(t *testing.T, binary string) {
	t.Helper()
	for name, text := range map[string]string{
		"idle":          "GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n",
		"half a header": "GET /-/healthy HTTP/1.1\r\nHost: x\r\nA: " + strings.Repeat("a", maxHeaderBytes-1000),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const connections, most = 4000, 96 << 20
			p := startLimited(t, binary, "http://127.0.0.1:1")
			client := &program{url: p.url}
			before := p.resident(t, "VmHWM")
			for range connections {
				_, _ = io.WriteString(dial(t, client), text) // it may be closed
			}
			if r := get(t, p.url+"/-/healthy"); r.status != http.StatusOK {
				t.Errorf("/-/healthy: status %d", r.status)
			}
			peak := p.resident(t, "VmHWM")
			t.Logf("peak RSS %d MiB, %d MiB before", peak>>20, before>>20)
			if peak > most {
				t.Errorf("%d connections take %d MiB", connections, peak>>20)
			}
		})
	}
}

// The program never lacks files because of connections.
func testConnectionsBeyondTheFiles(t *testing.T, binary string) {
	t.Helper()
	t.Parallel()
	p := startWithin(t, "ulimit -n 100", binary, "--oms.url="+serveOMS(t, fleetOf(3)))
	client := &program{url: p.url}
	for range 300 {
		_, _ = io.WriteString(dial(t, client), "GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n")
	}
	if got := verdict(t, p.url+"/metrics", scrapeTimeout, "5"); got != "up, 3 tasks" {
		t.Errorf("beside 300 connections: %s", got)
	}
	if log := p.stderr.String(); strings.Contains(log, "too many open files") || !strings.Contains(log, "limit=50") {
		t.Errorf("the log is\n%s", log)
	}
}

// A fleet of targets is scraped at one moment, with the default limits.
func testManyTargetsAtOneMoment(t *testing.T, binary string) {
	t.Helper()
	t.Parallel()
	const targets, tasks, most = 200, 50, 160 << 20
	_, oms := newOMS(t, omssim.Options{Tasks: tasks, Scenarios: []string{"following"}, Latency: 50 * time.Millisecond})
	var config strings.Builder
	config.WriteString("targets:\n")
	for i := range targets {
		fmt.Fprintf(&config, "  t%d: {url: %q}\n", i, oms)
	}
	p := startWithin(t, fmt.Sprintf("ulimit -d %d", dataLimit>>10), binary, "--scrape.timeout=2m",
		"--config.file="+writeFile(t, config.String()))
	for round := range 2 { // the second has connections
		began := time.Now()
		answers := make(chan int, targets)
		for i := range targets {
			go func() {
				r, _ := ask(fmt.Sprintf("%s/probe?target=t%d", p.url, i), 2*time.Minute) // a busy machine is no failure
				answers <- strings.Count(r.body, "\noms_task_info{")
			}()
		}
		own := parseText(t, get(t, p.url+"/metrics").body) // meanwhile
		got := map[int]int{}
		for range targets {
			got[<-answers]++
		}
		took := time.Since(began)
		if got[tasks] != targets {
			t.Errorf("answers by number of tasks: %v, want %d with %d", got, targets, tasks)
		}
		goroutines, _ := own.value("go_goroutines")
		files, _ := own.value("process_open_fds")
		t.Logf("round %d: answers by number of tasks %v after %s, peak RSS %d MiB, meanwhile %g goroutines, %g files", round, got,
			took.Round(time.Millisecond), p.resident(t, "VmHWM")>>20, goroutines, files)
	}
	if peak := p.resident(t, "VmHWM"); peak > most {
		t.Errorf("the program took %d MiB", peak>>20)
	}
	p.expectBounded(t)
}

// resident returns one of the figures of /proc about the memory of the program, in bytes.
func (p *limitedProgram) resident(t *testing.T, name string) int64 {
	t.Helper()
	status := readFile(t, fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	found := regexp.MustCompile(name + `:\s*(\d+) kB`).FindStringSubmatch(status)
	if found == nil {
		t.Fatalf("no %s in:\n%s", name, status)
	}
	kilobytes, err := strconv.ParseInt(found[1], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return kilobytes << 10
}

// expectBounded checks that the program lives, and what it has taken.
func (p *limitedProgram) expectBounded(t *testing.T) {
	t.Helper()
	peak := p.resident(t, "VmHWM")
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	<-p.ended
	state := p.cmd.ProcessState
	t.Logf("peak RSS %d MiB, CPU %s", peak>>20, (state.UserTime() + state.SystemTime()).Round(10*time.Millisecond))
	if peak > residentLimit {
		t.Errorf("the program took %d MiB", peak>>20)
	}
	if status, ok := state.Sys().(syscall.WaitStatus); !ok || status.Signaled() || state.ExitCode() > 1 {
		t.Errorf("the program ended with %s, log:\n%.5000s", state, p.stderr)
	}
}
