package main

import (
	"bytes"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"oms_exporter/omsclient/omssim"
)

var soak = flag.Duration("soak", 2*time.Second, "how long each soak test takes, such as 60s")

// isLong reports whether there is time for everything in a soak test.
func isLong() bool { return *soak >= 30*time.Second }

// A counted handler counts its requests.
type counted struct {
	http.Handler
	requests atomic.Int64
}

func (c *counted) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.requests.Add(1)
	c.Handler.ServeHTTP(w, r)
}

// whole reports whether an exposition is that of a healthy scrape with so many tasks.
// It is much cheaper than parsing.
func whole(exposition string, tasks int) bool {
	return strings.HasSuffix(exposition, "\n") && strings.Contains(exposition, "\noms_up 1\n") &&
		strings.Count(exposition, "\noms_task_info{") == tasks
}

// A crowd of scrapers scrapes in parallel until it is dispersed.
type crowd struct {
	resting sync.RWMutex // while it is held for writing, nobody scrapes
	over    chan struct{}
	all     sync.WaitGroup
	scrapes atomic.Int64
}

// gather starts that many scrapers. A bad answer fails the test, and stops the
// scraper that got it.
func gather(t *testing.T, size int, url string, tasks int) *crowd {
	t.Helper()
	c := &crowd{over: make(chan struct{})}
	once := func() error {
		c.resting.RLock()
		defer c.resting.RUnlock()
		r, err := try(t, http.MethodGet, url, "")
		c.scrapes.Add(1)
		if err == nil && (r.status != http.StatusOK || !whole(r.body, tasks)) {
			err = fmt.Errorf("status %d, %d bytes: %.500s", r.status, len(r.body), r.body)
		}
		return err
	}
	for range size {
		c.all.Go(func() {
			for {
				select {
				case <-c.over:
					return
				default:
				}
				if err := once(); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	t.Cleanup(c.all.Wait)
	t.Cleanup(sync.OnceFunc(func() { c.disperse() }))
	return c
}

func (c *crowd) disperse() {
	select {
	case <-c.over:
	default:
		close(c.over)
	}
	c.all.Wait()
}

// heap measures the heap while nobody scrapes.
func (c *crowd) heap() uint64 {
	c.resting.Lock()
	defer c.resting.Unlock()
	return heap()
}

func TestSoakOfManyScrapersAsksOMSLittleAndTakesNoMoreMemory(t *testing.T) {
	const scrapers, pages = 32, 14
	tasks, pageSize := 54, 4 // encoding them for everyone takes most of the time
	if isLong() {
		tasks, pageSize = 2000, 150
	}
	now := time.Now()
	sim, err := omssim.New(omssim.Options{
		Tasks: tasks, Scenarios: []string{"following"}, Latency: 10 * time.Millisecond,
		Now: func() time.Time { return now },
	})
	if err != nil {
		t.Fatal(err)
	}
	oms := &counted{Handler: sim}
	p := start(t, "--oms.url="+serveOMS(t, oms), fmt.Sprintf("--oms.page-size=%d", pageSize))
	if r := get(t, p.url+"/metrics"); !whole(r.body, tasks) {
		t.Fatalf("the first scrape: %.500s", r.body)
	}
	alone := oms.requests.Load()
	if alone != pages {
		t.Errorf("a listing takes %d requests, want %d", alone, pages)
	}
	idle := heap()

	c := gather(t, scrapers, p.url+"/metrics", tasks)
	<-time.After(*soak / 10)
	first := c.heap()
	<-time.After(*soak - *soak/10)
	last := c.heap()
	c.disperse()

	scrapes, listings := c.scrapes.Load(), (oms.requests.Load()-alone)/pages
	t.Logf("%d scrapes, %d listings, heap %.1f MB before, %.1f MB in the first tenth, %.1f MB in the last",
		scrapes, listings, float64(idle)/(1<<20), float64(first)/(1<<20), float64(last)/(1<<20))
	if scrapes < 2*listings {
		t.Errorf("%d scrapes made OMS list %d times", scrapes, listings)
	}
	if float64(last) > 1.5*float64(first) {
		t.Errorf("the heap grew from %d to %d bytes", first, last)
	}
}

func TestSoakOfRandomFaultsIsUpWithAllTasksOrDownWithNone(t *testing.T) {
	warmUp(t)
	before := held()
	t.Run("all", func(t *testing.T) { soakInFaults(t) })
	expectReleased(t, before)
}

func soakInFaults(t *testing.T) {
	t.Helper()
	const targets, most = 32, 10_000 // each target has a pace of its own
	s := &faultSoak{late: time.Now().Add(*soak), most: most}
	var config strings.Builder
	for i := range targets {
		sim, url := newOMS(t, omssim.Options{Tasks: faultyTasks, Seed: 1, Scenarios: []string{"following"}})
		s.sims = append(s.sims, sim)
		fmt.Fprintf(&config, "  t%d: {url: %q, page_size: %d}\n", i, url, faultyPageSize)
	}
	s.program = exporterOf(t, config.String(), "--scrape.timeout-offset=0s")
	var all sync.WaitGroup
	for i := range targets {
		all.Go(func() { s.scrapeInFaults(t, i) })
	}
	all.Wait()

	for i, sim := range s.sims {
		sim.SetFaults()
		probe(t, s.program, fmt.Sprintf("t%d", i)).expect(t, map[string]float64{"oms_up": 1})
	}
	last := s.heap()
	t.Logf("%d scrapes: %d up, %d down, heap %.1f MB early, %.1f MB at the end, held %+v",
		s.n.Load(), s.up.Load(), s.down.Load(), float64(s.first)/(1<<20), float64(last)/(1<<20), held())
	if s.up.Load() == 0 || s.down.Load() == 0 {
		t.Errorf("%d up, %d down", s.up.Load(), s.down.Load())
	}
	if s.first > 0 && float64(last) > 1.5*float64(s.first) {
		t.Errorf("the heap grew from %d to %d bytes", s.first, last)
	}
}

// A faultSoak scrapes targets that fail at random.
type faultSoak struct {
	program *program
	sims    []*omssim.Server
	late    time.Time
	most    int64

	resting     sync.RWMutex // while it is held for writing, nobody scrapes
	n, up, down atomic.Int64
	first       uint64 // the heap early on
}

// heap measures the heap without what only the test remembers.
func (s *faultSoak) heap() uint64 {
	s.program.stderr.forget()
	for _, sim := range s.sims {
		sim.Forget()
	}
	return heap()
}

// scrapeInFaults scrapes a target until there have been enough scrapes of all targets.
func (s *faultSoak) scrapeInFaults(t *testing.T, target int) {
	t.Helper()
	random := rand.New(rand.NewPCG(1, uint64(target)))
	for s.n.Load() < s.most && (isLong() || time.Now().Before(s.late)) {
		s.resting.RLock()
		ok := s.scrapeOnce(t, target, random)
		s.resting.RUnlock()
		if !ok {
			return
		}
		if n := s.n.Add(1); n == 100 || n == s.most/10 { // twice, since a short run ends before the second
			s.resting.Lock()
			s.first = s.heap()
			s.resting.Unlock()
		}
	}
}

// scrapeOnce scrapes a target that may be sick, and reports whether the answer is right.
func (s *faultSoak) scrapeOnce(t *testing.T, target int, random *rand.Rand) bool {
	t.Helper()
	kinds := slices.DeleteFunc(omssim.Faults(), func(f omssim.FaultDoc) bool {
		return f.Kind == "unauthorized" // after which OMS is not asked for a minute
	})
	fault := omssim.Fault{
		Kind: kinds[random.IntN(len(kinds))].Kind, Page: random.IntN(4), Times: random.IntN(3),
	}
	if fault.Kind == "page_cap" { // else pages of two sizes overlap
		fault.Page, fault.Times = 0, 0
	}
	sick := random.IntN(2) == 0
	var header []string
	s.sims[target].SetFaults()
	if sick {
		s.sims[target].SetFaults(fault)
		header = []string{scrapeTimeout, "0.7"} // after as much as half a second of waiting for a turn
	}
	r, err := try(t, http.MethodGet, fmt.Sprintf("%s/probe?target=t%d", s.program.url, target), "", header...)
	if err != nil || r.status != http.StatusOK {
		t.Errorf("status %d, %v: %.500s", r.status, err, r.body)
		return false
	}
	got := parseText(t, r.body)
	isUp, known := got.value("oms_up")
	least, greatest := faultyTasks, faultyTasks
	if s, survives := survivable[fault.Kind]; survives && sick {
		least, greatest = min(least, s.tasks), max(greatest, s.tasks)
	}
	switch tasks := got.tasks(); {
	case known && isUp == 1 && least <= tasks && tasks <= greatest:
		s.up.Add(1)
	case known && isUp == 0 && tasks == 0 && sick:
		s.down.Add(1)
	default:
		t.Errorf("fault %s (%v): oms_up %v (%v), %d tasks, log:\n%s", fault, sick, isUp, known, tasks, s.program.stderr)
		return false
	}
	return true
}

// forget drops what was written: it is not a leak of the program.
func (o *output) forget() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.all = bytes.Buffer{}
}

func TestSoakOfReloadsDisturbsNoTargetThatStays(t *testing.T) {
	const scrapers, tasks = 8, 30
	_, url := newOMS(t, omssim.Options{Tasks: tasks, Scenarios: []string{"following"}})
	a := fmt.Sprintf("targets:\n  a: {url: %q}\n", url)
	withB := a + fmt.Sprintf("  b: {url: %q, page_size: 10}\n", url)
	otherB := a + fmt.Sprintf("  b: {url: %q, page_size: 20}\n", url)
	bad := []string{
		a + "  b: {uri: x}\n", "targets: {", "", a + "  b: {url: \"ftp://x\"}\n",
		a + "  b: {url: \"http://x\", http_client: {basic_auth: {username: u}}}\n",
	}
	p, file := several(t, strings.TrimPrefix(a, "targets:\n"), "--web.enable-lifecycle")
	late := time.Now().Add(*soak)
	c := gather(t, scrapers, p.url+"/probe?target=a", tasks)
	requests, reloads, refused := 0.0, 0, 0
	load := func(content string, want int) {
		t.Helper()
		rewriteFile(t, file, content)
		if r := send(t, http.MethodPost, p.url+"/-/reload", ""); r.status != want {
			t.Fatalf("reload: %d %q, want %d, of\n%s", r.status, r.body, want, content)
		}
		count := scrape(t, p)["oms_exporter_api_requests_total"]
		seen := 0.0
		for _, m := range count.GetMetric() {
			if labelsOf(m)["target"] == "a" {
				seen += m.GetCounter().GetValue()
			}
		}
		if seen < requests {
			t.Fatalf("the requests of a went from %v to %v", requests, seen)
		}
		requests = seen
	}
	expectB := func(want int) {
		t.Helper()
		r := get(t, p.url+"/probe?target=b")
		if r.status != want || want == http.StatusOK && !whole(r.body, tasks) {
			t.Fatalf("b: %d %.500s", r.status, r.body)
		}
	}
	for ; reloads == 0 || time.Now().Before(late); reloads += 3 {
		load(withB, http.StatusOK)
		expectB(http.StatusOK)
		load(bad[refused%len(bad)], http.StatusInternalServerError)
		refused++
		expectB(http.StatusOK)
		load(otherB, http.StatusOK)
		expectB(http.StatusOK)
		load(a, http.StatusOK)
		expectB(http.StatusNotFound)
	}
	c.disperse()
	t.Logf("%d reloads, %d of bad files, %d scrapes of a, %v requests for it", reloads+refused, refused, c.scrapes.Load(), requests)
	if requests == 0 {
		t.Error("no requests are counted")
	}
}
