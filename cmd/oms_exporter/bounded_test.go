package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// An ending is what comes after the head of an answer, and never ends.
type ending struct {
	name, head string
	talk       func(net.Conn)
}

var endings = []ending{
	{"nothing of the length promised", "Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n", untilClosed},
	{"nothing until the connection ends", "Content-Type: text/html\r\n\r\n", untilClosed},
	{"chunks of white space", "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n", func(c net.Conn) {
		forever(c, "1\r\n \r\n")
	}},
	{"a flood of zeros", "Content-Type: application/octet-stream\r\n\r\n", func(c net.Conn) {
		forever(c, strings.Repeat("\x00", 16<<10))
	}},
	{"headers", "X-A: b\r\n", func(c net.Conn) { forever(c, "X-A: b\r\n") }},
}

// TestNoAnswerHoldsAScrape has answers of any status that never end. Each scrape
// is answered within its time, one of another OMS is not disturbed meanwhile, and
// the stop is quick although all of them still talk.
func TestNoAnswerHoldsAScrape(t *testing.T) {
	t.Parallel()
	type row struct {
		name, url string
		want      []string
	}
	var rows []row
	add := func(name string, talk func(net.Conn), want ...string) {
		rows = append(rows, row{name, rawOMS(t, func(c net.Conn, _ int) { talk(c) }), want})
	}
	says := func(text string, then func(net.Conn)) func(net.Conn) {
		return func(c net.Conn) {
			if _, err := io.WriteString(c, text); err == nil {
				then(c)
			}
		}
	}
	reasons := map[int]string{200: "timeout", 401: "auth", 403: "auth"}
	for _, status := range []int{200, 202, 206, 301, 400, 401, 403, 404, 429, 500, 502, 503} {
		reason, ok := reasons[status]
		if !ok {
			reason = "http_status"
		}
		for _, e := range endings {
			head := fmt.Sprintf("HTTP/1.1 %d Whatever\r\n", status)
			want := []string{"down: " + reason, "down: timeout"}
			if e.name == "a flood of zeros" && status == 200 {
				want = append(want, "down: decode")
			}
			if e.name == "headers" { // there is a limit to them
				want = append(want, "down: connect")
			}
			add(fmt.Sprintf("%d, then %s", status, e.name), says(head+e.head, e.talk), want...)
		}
	}
	const switching = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
	for _, e := range endings {
		want := []string{"down: http_status"}
		if e.name == "headers" {
			want = []string{"down: timeout", "down: connect"}
		}
		add("101, then "+e.name, says(switching+e.head, e.talk), want...)
	}
	add("101, then the end", says(switching+"\r\n", func(net.Conn) {}), "down: http_status")
	well := "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + threeTasks
	stop := func(net.Conn) {}
	add("100, then well", says("HTTP/1.1 100 Continue\r\n\r\n"+well, stop), "up, 3 tasks")
	add("103 three times, then well", says(
		strings.Repeat("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", 3)+well, stop), "up, 3 tasks")
	add("102, then nothing", says("HTTP/1.1 102 Processing\r\n\r\n", untilClosed), "down: timeout")
	add("103 without end", func(c net.Conn) { forever(c, "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n") },
		"down: timeout", "down: connect")
	add("100, then 101", says("HTTP/1.1 100 Continue\r\n\r\n"+switching+"\r\n", untilClosed), "down: http_status")

	targets := fmt.Sprintf("  good: {url: %q}\n", serveOMS(t, fleetOf(3)))
	for i, r := range rows {
		targets += fmt.Sprintf("  t%d: {url: %q}\n", i, r.url)
	}
	p := exporterOf(t, targets, "--web.max-requests=0")
	t.Run("rows", func(t *testing.T) {
		for i, row := range rows {
			t.Run(row.name, func(t *testing.T) {
				t.Parallel()
				began := time.Now()

				r, err := ask(fmt.Sprintf("%s/probe?target=t%d", p.url, i), patience, scrapeTimeout, "1.2")

				if got := verdictOf(t, r, err); !strings.Contains(strings.Join(row.want, "|"), got) {
					t.Errorf("after %s: %s, want %q", time.Since(began), got, row.want)
				}
				if got := verdict(t, p.url+"/probe?target=good"); got != "up, 3 tasks" {
					t.Errorf("another OMS: %s", got)
				}
			})
		}
	})
}

// hungOMS takes requests and never answers. It says when it has got one.
func hungOMS(t *testing.T) (url string, asked chan struct{}) {
	t.Helper()
	asked = make(chan struct{}, 1000)
	return rawOMS(t, func(c net.Conn, _ int) {
		asked <- struct{}{}
		untilClosed(c)
	}), asked
}

// TestAHungOMSCostsNoOtherAScrape has more scrapes of an OMS that does not answer
// than answers may be written at once.
func TestAHungOMSCostsNoOtherAScrape(t *testing.T) {
	t.Parallel()
	hung, asked := hungOMS(t)
	for _, limit := range []string{"1", "2", "40"} {
		t.Run(limit+" at once", func(t *testing.T) {
			t.Parallel()
			p := exporterOf(t, fmt.Sprintf("  bad: {url: %q}\n  good: {url: %q}\n", hung, serveOMS(t, fleetOf(3))),
				"--web.max-requests="+limit)
			number := map[string]int{"1": 20, "2": 45, "40": 100}[limit]
			var waiting sync.WaitGroup
			for range number {
				waiting.Go(func() { _, _ = ask(p.url+"/probe?target=bad", patience, scrapeTimeout, "4") })
			}
			defer waiting.Wait()
			<-asked
			<-time.After(200 * time.Millisecond) // so that the others have come too

			if got := verdict(t, p.url+"/probe?target=good", scrapeTimeout, "3"); got != "up, 3 tasks" {
				t.Errorf("beside %d scrapes of an OMS that hangs: %s, want up, 3 tasks", number, got)
			}
			if r, err := ask(p.url+"/metrics", patience, scrapeTimeout, "3"); err != nil || r.status != http.StatusOK {
				t.Errorf("/metrics beside them: status %d, %v", r.status, err)
			}
		})
	}
}

// TestScrapersThatHungUpHoldNoPlace has more scrapers give up on an OMS than
// there are places, whatever the OMS does.
func TestScrapersThatHungUpHoldNoPlace(t *testing.T) {
	t.Parallel()
	for name, url := range map[string]string{
		"never answers": rawOMS(t, func(c net.Conn, _ int) { untilClosed(c) }),
		"101": rawOMS(t, func(c net.Conn, _ int) {
			_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
			untilClosed(c)
		}),
		"500 without end": rawOMS(t, func(c net.Conn, _ int) {
			_, _ = io.WriteString(c, "HTTP/1.1 500 Oh\r\n\r\n")
			forever(c, "oh")
		}),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := exporterOf(t, fmt.Sprintf("  bad: {url: %q}\n  good: {url: %q}\n", url, serveOMS(t, fleetOf(3))),
				"--web.max-requests=4")
			for range 2 {
				var gone sync.WaitGroup
				for range 60 {
					gone.Go(func() { _, _ = ask(p.url+"/probe?target=bad", 300*time.Millisecond) })
				}
				gone.Wait()
			}

			if got := verdict(t, p.url+"/probe?target=good", scrapeTimeout, "5"); got != "up, 3 tasks" {
				t.Errorf("after 120 scrapers have hung up: %s, want up, 3 tasks", got)
			}
		})
	}
}

// TestRequestsInProgressHaveALimit has more scrapes at once than twice as many as answers
// may be sent at once.
func TestRequestsInProgressHaveALimit(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	slow := serveOMS(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-release:
		case <-r.Context().Done():
		}
		fleetOf(3).ServeHTTP(w, r)
	}))
	p := exporterOf(t, fmt.Sprintf("  slow: {url: %q}\n", slow), "--web.max-requests=1")
	const number, most = 40, requestsPerAnswer
	statuses := make(chan int, number)
	for range number {
		go func() {
			r, _ := ask(p.url+"/probe?target=slow", patience, scrapeTimeout, "15")
			statuses <- r.status
		}()
	}
	got := map[int]int{}

	for range number - most { // while OMS is silent
		got[<-statuses]++
	}
	close(release)
	for range most {
		got[<-statuses]++
	}

	if got[503] != number-most || got[200] != most {
		t.Errorf("statuses %v, want %d times 503 for those beyond the limit and 200 for the others",
			got, number-most)
	}
}

// wordyFleet is an OMS whose exposition is larger than sockets buffer.
func wordyFleet() http.Handler {
	const number = 149
	var steps, tasks []string
	for i := range 50 {
		steps = append(steps, fmt.Sprintf(`{"order": %d, "name": "STEP_%d", "status": "RUNNING", "progress": 1}`, i, i))
	}
	for i := range number {
		tasks = append(tasks, fmt.Sprintf(`{"id": "np_%d", "name": "%s", "type": "MIGRATION", "status": "RUNNING", "steps": [%s]}`,
			i, strings.Repeat("任", 200), strings.Join(steps, ",")))
	}
	page := fmt.Sprintf(`{"success": true, "totalCount": %d, "data": [%s]}`, number, strings.Join(tasks, ","))
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, page) })
}

// TestAScraperThatDoesNotReadLosesItsPlace has as many scrapers as there are places. As long
// as they read, slowly, they keep their places. Then one reads nothing anymore, and the other
// a byte now and then.
func TestAScraperThatDoesNotReadLosesItsPlace(t *testing.T) {
	t.Parallel()
	p := exporterOf(t, fmt.Sprintf("  wordy: {url: %q}\n", serveOMS(t, wordyFleet())),
		"--web.max-requests=2", "--scrape.timeout=2m")
	sluggards := []*net.TCPConn{
		sluggard(t, p, "/probe?target=wordy", "120"), sluggard(t, p, "/probe?target=wordy", "120"),
	}
	for _, c := range sluggards { // both answers are being sent
		if _, err := c.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
	}
	var tired atomic.Bool
	stop := make(chan struct{})
	var reading sync.WaitGroup
	for i, c := range sluggards {
		reading.Go(func() {
			for size := 4096; size > 0; {
				select {
				case <-stop:
					return
				case <-time.After(20 * time.Millisecond):
					_, _ = c.Read(make([]byte, size))
				}
				if tired.Load() {
					size = i
				}
			}
		})
	}

	// There are places for two listings, too, so the third begins when one is free.
	r, err := ask(p.url+"/probe?target=wordy", patience, scrapeTimeout, "1")
	if got := verdictOf(t, r, err); got != "status 503" && got != "down: timeout" {
		t.Errorf("all places are taken, and another scrape is: %s, want that it is refused", got)
	}
	if r, err := ask(p.url+"/-/healthy", patience); err != nil || r.status != http.StatusOK {
		t.Errorf("/-/healthy: status %d, %v", r.status, err)
	}
	began := time.Now()
	tired.Store(true)
	r, err = ask(p.url+"/probe?target=wordy", time.Minute, scrapeTimeout, "60")
	if got := verdictOf(t, r, err); got != "up, 149 tasks" {
		t.Errorf("who waits for a place has after %s: %s, want up, 149 tasks after about 5 s", time.Since(began), got)
	}
	close(stop)
	reading.Wait()
	for i, c := range sluggards {
		expectCutOff(t, fmt.Sprintf("scraper %d", i), c)
	}
}

// expectCutOff reads what is left of an answer: there must be an end, and not
// that of the answer.
func expectCutOff(t *testing.T, name string, c *net.TCPConn) {
	t.Helper()
	if err := errors.Join(
		c.SetReadBuffer(1<<20), c.SetReadDeadline(time.Now().Add(patience)),
	); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(c)
	if isTimeout(err) || strings.HasSuffix(string(answer), "0\r\n\r\n") {
		t.Errorf("%s is not cut off: %d bytes, %v", name, len(answer), err)
	}
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

// TestAStopEndsInTimeWhateverHangs stops the exporter while OMS and scrapers
// keep it busy.
func TestAStopEndsInTimeWhateverHangs(t *testing.T) {
	t.Parallel()
	for name, talk := range map[string]func(net.Conn){
		"OMS does not answer": untilClosed,
		"OMS answers 101": func(c net.Conn) {
			_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
			untilClosed(c)
		},
		"an answer has no end": func(c net.Conn) {
			_, _ = io.WriteString(c, okHead+"\r\n{")
			forever(c, " ")
		},
		"a refusal has no end": func(c net.Conn) {
			_, _ = io.WriteString(c, "HTTP/1.1 403 No\r\nContent-Type: application/json\r\n\r\n{")
			forever(c, " ")
		},
		"scrapers do not read": nil,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			asked := make(chan struct{}, 100)
			url := serveOMS(t, wordyFleet())
			if talk != nil {
				url = rawOMS(t, func(c net.Conn, _ int) {
					asked <- struct{}{}
					talk(c)
				})
			}
			p := exporterOf(t, fmt.Sprintf("  bad: {url: %q}\n", url))
			for range 3 {
				sluggard(t, p, "/probe?target=bad", "60")
			}
			if talk != nil {
				<-asked
			}
			<-time.After(300 * time.Millisecond)

			p.cancel()

			select {
			case <-p.ended:
			case <-time.After(patience): // its grace period is 8 s
				t.Fatal("it does not end")
			}
			if p.err != nil {
				t.Errorf("ended with %v, want nil", p.err)
			}
			p.err = nil // launch would say it again
		})
	}
}
