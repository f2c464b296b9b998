package omsclient_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"oms_exporter/omsclient"
	"oms_exporter/omsclient/omssim"
)

// totals are what servers were seen to send as totalCount for n tasks, or might.
var totals = []struct {
	name string
	of   func(n, size int) string
	// right means that the count fits, or that there is none to compare with.
	right bool
}{
	{"right", func(n, _ int) string { return strconv.Itoa(n) }, true},
	{"zero", func(int, int) string { return "0" }, true},
	{"null", func(int, int) string { return "null" }, true},
	{"absent", func(int, int) string { return "" }, true},
	{"an empty text", func(int, int) string { return `""` }, true},
	{"quoted", func(n, _ int) string { return strconv.Quote(strconv.Itoa(n)) }, true},
	{"pages", func(n, size int) string { return strconv.Itoa((n + size - 1) / size) }, true},
	{"one too small", func(n, _ int) string { return strconv.Itoa(n - 1) }, false},
	{"half", func(n, _ int) string { return strconv.Itoa(n/2 + 1) }, false},
	{"one too large", func(n, _ int) string { return strconv.Itoa(n + 1) }, false},
	{"much too large", func(n, _ int) string { return strconv.Itoa(n + 100_000) }, false},
	{"absurd", func(int, int) string { return "1e300" }, false},
	{"negative", func(int, int) string { return "-1" }, true},
}

func TestListYieldsEveryTaskOnceInOrderWhateverTotalCountSays(t *testing.T) {
	sizes := map[int][]int{
		1:   {0, 1, 2, 5},
		7:   {0, 1, 6, 7, 8, 14, 20},
		150: {0, 1, 149, 150, 151, 300, 451},
	}
	for size, fleets := range sizes {
		for _, n := range fleets {
			for _, total := range totals {
				t.Run(fmt.Sprintf("%d tasks by %d, totalCount %s", n, size, total.name),
					func(t *testing.T) {
						c := newClient(t, paper(func(page, size int) string {
							ids := cut(tasks(n), page, size)
							return sheet(total.of(n, size), ids...)
						}), omsclient.Options{PageSize: size, MaxProjects: 1 << 20})

						got, report, err := listIDs(t.Context(), c)
						checkListing(t, got, n, err, total.of(n, size))
						if total.right && n > 0 && report.Inconsistent {
							t.Error("the listing is reported as inconsistent")
						}
					})
			}
		}
	}
}

func TestListAsksForNoMoreThanItNeedsIfTotalCountIsRight(t *testing.T) {
	for _, tt := range []struct {
		n    int
		want []int
	}{
		{0, []int{1}},
		{1, []int{1}},
		{149, []int{1}},
		{150, []int{1, 2}}, // a full page may be followed by another, whatever is counted
		{151, []int{1, 2}},
		{299, []int{1, 2}},
		{451, []int{1, 2, 3, 4}},
	} {
		t.Run(strconv.Itoa(tt.n), func(t *testing.T) {
			c := newClient(t, paper(func(page, size int) string {
				return sheet(strconv.Itoa(tt.n), cut(tasks(tt.n), page, size)...)
			}), omsclient.Options{})

			_, report, err := listIDs(t.Context(), c)
			if err != nil {
				t.Fatal(err)
			}
			checkEqual(t, "pages", pagesAsked(report), tt.want)
			checkEqual(t, "Pages", report.Pages, len(tt.want))
			checkEqual(t, "Total", report.Total, omsclient.Some(float64(tt.n)))
			checkEqual(t, "Inconsistent", report.Inconsistent, false)
		})
	}
}

func TestListReadsEveryPageOfAServerWithSmallerPages(t *testing.T) {
	const limit = 100
	for _, reports := range []bool{true, false} {
		for _, n := range []int{0, 1, 99, 100, 101, 149, 150, 201, 250, 300} {
			for _, total := range totals {
				known := slices.Contains([]string{"right", "quoted", "one too large"}, total.name) ||
					total.name == "one too small" && n > limit+1
				if !reports && !known {
					continue // then a page of 100 cannot be told from a last one
				}
				name := fmt.Sprintf("%d tasks, totalCount %s, pageSize sent: %t", n, total.name, reports)
				t.Run(name, func(t *testing.T) {
					c := newClient(t, paper(func(page, size int) string {
						text := sheet(total.of(n, limit), cut(tasks(n), page, min(size, limit))...)
						if reports {
							text = `{"pageSize":"100",` + text[1:]
						}
						return text
					}), omsclient.Options{MaxProjects: 1 << 20})

					got, _, err := listIDs(t.Context(), c)
					checkListing(t, got, n, err, total.of(n, limit))
				})
			}
		}
	}
}

// checkListing checks that n tasks were listed. To list none and count some is a failure.
func checkListing(t *testing.T, got []string, n int, err error, total string) {
	t.Helper()
	checkEqual(t, "ids", got, tasks(n))
	want := omsclient.Reason("")
	if counted, _ := strconv.ParseFloat(total, 64); n == 0 && counted > 1 {
		want = omsclient.Pagination
	}
	if reason := omsclient.ReasonOf(err); reason != want {
		t.Errorf("error %v", err)
	}
}

// TestACountWithoutTasksIsAFailure has an OMS whose first page has no tasks, always or once.
func TestACountWithoutTasksIsAFailure(t *testing.T) {
	for name, tt := range map[string]struct {
		answers []answer
		want    string
	}{
		"always":              {[]answer{{body: sheet("400")}}, "list projects: page 1: OMS counts 400 tasks and lists none"},
		"once":                {[]answer{{body: sheet("1")}, good}, "<nil>"},
		"then a failure":      {[]answer{{body: sheet("400")}, {status: 404}}, "list projects: page 1: OMS counts 400 tasks and lists none"},
		"and really no tasks": {[]answer{{body: sheet("0")}}, "<nil>"},
	} {
		t.Run(name, func(t *testing.T) {
			_, report, err := list(t.Context(), newClientOver(t, answers(tt.answers...), omsclient.Options{}))

			checkEqual(t, "error", fmt.Sprint(err), tt.want)
			checkEqual(t, "Inconsistent", report.Inconsistent, false)
			if err != nil {
				checkEqual(t, "reason", omsclient.ReasonOf(err), omsclient.Pagination)
			}
		})
	}
}

func TestListReadsEveryPageOfAServerThatClaimsLargerPages(t *testing.T) {
	c := newClient(t, paper(func(page, size int) string {
		return `{"pageSize":1000,` + sheet("null", cut(tasks(451), page, size)...)[1:]
	}), omsclient.Options{})

	got, _, err := listIDs(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	checkEqual(t, "ids", got, tasks(451))
}

func TestListEndsAtAServerThatRepeatsItsLastPage(t *testing.T) {
	for _, tt := range []struct {
		n     int
		total string
	}{
		{150, "150"},
		{300, "300"},
		{300, "2"}, // pages
		{151, "151"},
		{151, "1000"}, // the last page is short, so it is the last
		{20, "null"},
	} {
		t.Run(fmt.Sprintf("%d tasks, totalCount %s", tt.n, tt.total), func(t *testing.T) {
			last := (tt.n + 149) / 150
			c := newClient(t, paper(func(page, size int) string {
				return sheet(tt.total, cut(tasks(tt.n), min(page, last), size)...)
			}), omsclient.Options{})

			got, report, err := listIDs(t.Context(), c)
			if err != nil {
				t.Fatal(err)
			}
			checkEqual(t, "ids", got, tasks(tt.n))
			if report.Inconsistent != (tt.total == "1000") {
				t.Errorf("Inconsistent is %t", report.Inconsistent)
			}
		})
	}
}

func TestListFailsAtAServerThatIgnoresThePageNumber(t *testing.T) {
	for _, total := range []string{"451", "null", "4", "1000000"} {
		t.Run("totalCount "+total, func(t *testing.T) {
			oms := &count{Handler: paper(func(_, size int) string {
				return sheet(total, cut(tasks(451), 1, size)...)
			})}
			c := newClient(t, oms, omsclient.Options{Concurrency: 4, MaxProjects: 1 << 20})

			got, _, err := listIDs(t.Context(), c)

			e := failure(t, err)
			checkEqual(t, "Reason", e.Reason, omsclient.Pagination)
			checkEqual(t, "Page", e.Page, 2)
			checkEqual(t, "error", err.Error(),
				"list projects: page 2: OMS repeats projects of earlier pages")
			checkEqual(t, "ids", got, tasks(150))
			if n := oms.get(); n > 5 {
				t.Errorf("%d requests, want no more than the first and the next four", n)
			}
		})
	}
}

func TestListFailsAfterMaxPages(t *testing.T) {
	for _, total := range []string{"null", "0", "7", "999999999", "1e18"} {
		t.Run("totalCount "+total, func(t *testing.T) {
			oms := &count{Handler: paper(func(page, _ int) string {
				if page > 1000 { // in case nothing else ends it
					return sheet(total)
				}
				return sheet(total, fmt.Sprintf("np_%d_a", page), fmt.Sprintf("np_%d_b", page))
			})}
			c := newClient(t, oms, omsclient.Options{PageSize: 2, MaxPages: 5, MaxProjects: 1 << 30})

			got, report, err := listIDs(t.Context(), c)

			e := failure(t, err)
			checkEqual(t, "Reason", e.Reason, omsclient.Pagination)
			checkEqual(t, "error", err.Error(),
				"list projects: page 6: the listing does not end after 5 pages")
			checkEqual(t, "number of ids", len(got), 10)
			checkEqual(t, "Pages", report.Pages, 5)
			checkEqual(t, "requests", oms.get(), 5)
		})
	}
}

// A moving OMS has other tasks after the first page of the first pass.
type moving struct {
	before, after []string
	mu            sync.Mutex
	listings      int
}

func (m *moving) page(page, size int) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if page == 1 {
		m.listings++
	}
	ids := m.before
	if m.listings > 1 || page > 1 {
		ids = m.after
	}
	return sheet(strconv.Itoa(len(ids)), cut(ids, page, size)...)
}

func TestListYieldsATaskOnceWhenItMovesBetweenPages(t *testing.T) {
	// x appears after page 1 was read, and pushes b to page 2.
	oms := &moving{before: []string{"a", "b", "c", "d"}, after: []string{"a", "x", "b", "c", "d"}}
	c := newClient(t, paper(oms.page), omsclient.Options{PageSize: 2})

	got, report, err := listIDs(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	checkEqual(t, "ids", got, []string{"a", "b", "c", "d", "x"})
	checkEqual(t, "Duplicates", report.Duplicates, 1)
	checkEqual(t, "Inconsistent", report.Inconsistent, false)
	checkEqual(t, "pages", pagesAsked(report), []int{1, 2, 3, 1, 2, 3})
}

func TestListCountsDuplicatesAndTrustsACountThatFits(t *testing.T) {
	pages := [][]string{{"a", "b"}, {"b", "c"}, {"d"}}
	c := newClient(t, paper(func(page, _ int) string {
		return sheet("4", pages[page-1]...)
	}), omsclient.Options{PageSize: 2})

	got, report, err := listIDs(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	checkEqual(t, "ids", got, []string{"a", "b", "c", "d"})
	checkEqual(t, "Duplicates", report.Duplicates, 1)
	checkEqual(t, "Inconsistent", report.Inconsistent, false)
	checkEqual(t, "pages", pagesAsked(report), []int{1, 2, 3})
}

func TestListFindsInASecondListingWhatSlippedPastTheFirst(t *testing.T) {
	// When a is deleted, c moves from page 2 to page 1, which has been read.
	oms := &moving{before: []string{"a", "b", "c", "d", "e"}, after: []string{"b", "c", "d", "e"}}
	c := newClient(t, paper(oms.page), omsclient.Options{PageSize: 2})

	got, report, err := listIDs(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	checkEqual(t, "ids", got, []string{"a", "b", "d", "e", "c"})
	checkEqual(t, "Duplicates", report.Duplicates, 0)
	checkEqual(t, "Inconsistent", report.Inconsistent, false)
	checkEqual(t, "Total", report.Total, omsclient.Some(4.0))
	checkEqual(t, "listings", oms.listings, 2)
}

func TestListIsConsistentAgainAfterATaskWasAdded(t *testing.T) {
	oms := &moving{before: tasks(4), after: tasks(5)}
	c := newClient(t, paper(oms.page), omsclient.Options{PageSize: 2})

	got, report, err := listIDs(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	checkEqual(t, "ids", got, tasks(5))
	checkEqual(t, "Duplicates", report.Duplicates, 0)
	checkEqual(t, "Inconsistent", report.Inconsistent, false)
	checkEqual(t, "Total", report.Total, omsclient.Some(5.0))
	checkEqual(t, "listings", oms.listings, 2) // since tasks might have gone, too
}

func TestListIsConsistentIfItIsLeftWhileListingAgain(t *testing.T) {
	oms := &moving{before: []string{"a", "b", "c", "d", "e"}, after: []string{"b", "c", "d", "e"}}
	c := newClient(t, paper(oms.page), omsclient.Options{PageSize: 2})
	var report omsclient.Report

	for project, err := range c.List(t.Context(), &report) {
		if err != nil {
			t.Fatal(err)
		}
		if project.ID == "c" { // which the second listing finds
			break
		}
	}

	checkEqual(t, "listings", oms.listings, 2)
	checkEqual(t, "Inconsistent", report.Inconsistent, false)
}

func TestListPublishesAListingWhoseCountNeverStandsStill(t *testing.T) {
	c := newClient(t, paper(func(page, size int) string {
		return sheet(strconv.Itoa(4+page), cut(tasks(5), page, size)...)
	}), omsclient.Options{PageSize: 2})

	got, report, err := listIDs(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	checkEqual(t, "ids", got, tasks(5))
	checkEqual(t, "Inconsistent", report.Inconsistent, true)
	checkEqual(t, "listings", len(slices.DeleteFunc(pagesAsked(report),
		func(page int) bool { return page != 1 })), 2)
}

func TestACountThatNoOMSCanHaveMakesTheListingInconsistent(t *testing.T) {
	c := newClient(t, paper(func(page, size int) string {
		return sheet("1e300", cut(tasks(5), page, size)...)
	}), omsclient.Options{PageSize: 2})

	got, report, err := listIDs(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	checkEqual(t, "ids", got, tasks(5))
	checkEqual(t, "Inconsistent", report.Inconsistent, true)
}

func TestListCountsOddElementsOfTheFirstListingOnly(t *testing.T) {
	c := newClient(t, paper(func(page, _ int) string {
		if page > 1 {
			return sheet("9")
		}
		return `{"success":true,"totalCount":9,"data":[null,{"id":"a","owner":{}},{"id":"a"}]}`
	}), omsclient.Options{Concurrency: 1})

	got, report, err := listIDs(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	checkEqual(t, "ids", got, []string{"a"})
	checkEqual(t, "pages", pagesAsked(report), []int{1, 2, 1, 2})
	checkEqual(t, "Pages", report.Pages, 4)
	checkEqual(t, "Invalid", report.Invalid, 1)
	checkEqual(t, "Duplicates", report.Duplicates, 1)
	checkEqual(t, "Dropped", report.Dropped, map[string]int{"owner": 1})
	checkEqual(t, "Inconsistent", report.Inconsistent, true)
}

func TestListForgetsAnEarlierReport(t *testing.T) {
	c := newClient(t, paper(func(int, int) string { return sheet("1", "a") }), omsclient.Options{})
	report := omsclient.Report{
		Pages: 5, Duplicates: 6, Invalid: 7, Inconsistent: true, Dropped: map[string]int{"id": 1},
		NotUTF8: map[string]int{"id": 1},
	}

	for range 2 {
		for _, err := range c.List(t.Context(), &report) {
			if err != nil {
				t.Fatal(err)
			}
		}
	}

	checkEqual(t, "requests", len(report.Requests), 1)
	report.Requests = nil
	checkEqual(t, "report", report,
		omsclient.Report{Pages: 1, Total: omsclient.Some(1.0), Dropped: map[string]int{}, NotUTF8: map[string]int{}})
}

// A slow OMS takes its time for each page, depending on the pass, and miscounts.
type slow struct {
	took     []time.Duration
	mu       sync.Mutex
	listings int
}

func (s *slow) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	paper(func(page, size int) string {
		s.mu.Lock()
		if page == 1 {
			s.listings++
		}
		took := s.took[min(s.listings, len(s.took))-1]
		s.mu.Unlock()
		select {
		case <-time.After(took):
		case <-r.Context().Done():
		}
		return sheet("6", cut(tasks(5), page, size)...)
	}).ServeHTTP(w, r)
}

func TestListListsAgainOnlyInHalfOfTheTimeLeft(t *testing.T) {
	const page = 10 * time.Second // a listing takes 30: page 1, pages 2 and 3, an empty page 4
	for _, tt := range []struct {
		name     string
		deadline time.Duration // 0 for none
		took     []time.Duration
		listings int
		elapsed  time.Duration
	}{
		{"no deadline", 0, []time.Duration{page}, 2, 60 * time.Second},
		{"plenty", 100 * time.Second, []time.Duration{page}, 2, 60 * time.Second},
		{"just enough", 91 * time.Second, []time.Duration{page}, 2, 60 * time.Second},
		{"too little", 89 * time.Second, []time.Duration{page}, 1, 30 * time.Second},
		{"the second is cut off", 100 * time.Second, []time.Duration{page, time.Hour}, 2, 65 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				oms := &slow{took: tt.took}
				c := newClient(t, oms, omsclient.Options{PageSize: 2})
				ctx := t.Context()
				if tt.deadline > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, tt.deadline)
					defer cancel()
				}
				start := time.Now()

				got, report, err := listIDs(ctx, c)
				if err != nil {
					t.Fatal(err)
				}
				checkEqual(t, "ids", got, tasks(5))
				checkEqual(t, "Inconsistent", report.Inconsistent, true)
				checkEqual(t, "listings", oms.listings, tt.listings)
				checkEqual(t, "elapsed", time.Since(start), tt.elapsed)
			})
		})
	}
}

func TestListStandsWhenTheSecondListingFails(t *testing.T) {
	requests := 0
	oms := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if requests++; requests > 3 {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		paper(func(page, size int) string {
			return sheet("4", cut(tasks(3), page, size)...)
		}).ServeHTTP(w, r)
	})
	c := newClient(t, oms, omsclient.Options{PageSize: 2, Concurrency: 1})

	got, report, err := listIDs(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	checkEqual(t, "ids", got, tasks(3))
	checkEqual(t, "Inconsistent", report.Inconsistent, true)
	checkEqual(t, "pages", pagesAsked(report), []int{1, 2, 3, 1, 1}) // the last one in doubt
	checkEqual(t, "reason", omsclient.ReasonOf(report.Requests[4].Err), omsclient.Auth)
}

// A gate is an OMS that answers a page when told to.
type gate struct {
	mu      sync.Mutex
	waiting map[int]chan struct{}
	ended   []int // pages whose requests were canceled first
	paper   paper
}

func (g *gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	paper(func(page, size int) string {
		open := make(chan struct{})
		g.mu.Lock()
		g.waiting[page] = open
		g.mu.Unlock()
		select {
		case <-open:
		case <-r.Context().Done():
			g.mu.Lock()
			defer g.mu.Unlock()
			delete(g.waiting, page)
			g.ended = append(g.ended, page)
		}
		return g.paper(page, size)
	}).ServeHTTP(w, r)
}

// underWay waits until everything is blocked, and returns the waiting pages.
func (g *gate) underWay() []int {
	synctest.Wait()
	g.mu.Lock()
	defer g.mu.Unlock()
	pages := []int{}
	for page := range g.waiting {
		pages = append(pages, page)
	}
	slices.Sort(pages)
	return pages
}

func (g *gate) open(page int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	close(g.waiting[page])
	delete(g.waiting, page)
}

// newGate returns a gate in front of an OMS with n tasks.
func newGate(n int) *gate { return newGateOf(n, strconv.Itoa(n)) }

func newGateOf(n int, total string) *gate {
	return &gate{waiting: map[int]chan struct{}{}, paper: func(page, size int) string {
		return sheet(total, cut(tasks(n), page, size)...)
	}}
}

func TestListLooksAsFarAheadAsTotalCountPromises(t *testing.T) {
	for _, tt := range []struct {
		total string
		want  []int // pages after the first
	}{
		{"9", []int{2, 3, 4, 5}}, // tasks
		{"8", []int{2, 3, 4}},
		{"7", []int{2, 3, 4}},
		{"3", []int{2}},
		{"2", []int{2}},
		{"1", []int{2}}, // pages, since there are more tasks than that already
		{"0", []int{2}},
		{"null", []int{2}},
		{"1000", []int{2, 3, 4, 5, 6, 7, 8, 9}}, // as far as MaxPages
	} {
		t.Run("totalCount "+tt.total, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				oms := newGateOf(9, tt.total)
				c := newClient(t, oms, omsclient.Options{PageSize: 2, Concurrency: 10, MaxPages: 9})
				ctx, cancel := context.WithCancel(t.Context())
				defer synctest.Wait()
				defer cancel()
				go func() { _, _, _ = list(ctx, c) }()

				checkEqual(t, "pages under way", oms.underWay(), []int{1})
				oms.open(1)

				checkEqual(t, "pages under way", oms.underWay(), tt.want)
			})
		})
	}
}

func TestListLooksAheadByPagesIfTotalCountCountsThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		oms := newGateOf(20, "4")
		c := newClient(t, oms, omsclient.Options{PageSize: 5, Concurrency: 10})
		ctx, cancel := context.WithCancel(t.Context())
		defer synctest.Wait()
		defer cancel()
		go func() { _, _, _ = list(ctx, c) }()

		oms.underWay()
		oms.open(1)

		checkEqual(t, "pages under way", oms.underWay(), []int{2, 3, 4})
	})
}

func TestListAsksForPagesAtOnceButNeverForMoreThanConcurrency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		oms := newGate(7)
		c := newClient(t, oms, omsclient.Options{PageSize: 1, Concurrency: 3})
		var got []string
		go func() {
			for project, err := range c.List(t.Context(), new(omsclient.Report)) {
				if err != nil {
					t.Error(err)
				}
				got = append(got, project.ID)
			}
		}()

		for _, step := range []struct {
			underWay []int
			open     int
		}{
			{[]int{1}, 1}, // nobody knows yet how many pages there are
			{[]int{2, 3, 4}, 4},
			{[]int{2, 3}, 2}, // pages are read in order, so page 4 still counts
			{[]int{3, 5}, 3},
			{[]int{5, 6, 7}, 7},
			{[]int{5, 6}, 6},
			{[]int{5}, 5},
			{[]int{8}, 8}, // is there really no more?
		} {
			checkEqual(t, "pages under way", oms.underWay(), step.underWay)
			oms.open(step.open)
		}

		checkEqual(t, "pages under way", oms.underWay(), []int{})
		checkEqual(t, "ids", got, tasks(7))
	})
}

func TestListAsksOneByOneIfConcurrencyIsOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		oms := newGate(3)
		c := newClient(t, oms, omsclient.Options{PageSize: 1, Concurrency: 1})
		go func() {
			if _, _, err := list(t.Context(), c); err != nil {
				t.Error(err)
			}
		}()

		for page := 1; page <= 4; page++ {
			checkEqual(t, "pages under way", oms.underWay(), []int{page})
			oms.open(page)
		}

		checkEqual(t, "pages under way", oms.underWay(), []int{})
	})
}

func TestLeavingTheLoopEndsTheRequestsUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		oms := newGate(9)
		c := newClient(t, oms, omsclient.Options{PageSize: 1, Concurrency: 3})
		var report omsclient.Report
		left := false
		go func() {
			for project, err := range c.List(t.Context(), &report) {
				if err != nil || project.ID == "np_0002" {
					break
				}
			}
			left = true
		}()

		oms.underWay()
		oms.open(1)
		oms.underWay()
		oms.open(2)
		checkEqual(t, "pages under way", oms.underWay(), []int{})

		slices.Sort(oms.ended)
		checkEqual(t, "ended", oms.ended, []int{3, 4})
		checkEqual(t, "left", left, true)
		checkEqual(t, "pages", pagesAsked(report), []int{1, 2, 3, 4})
		checkEqual(t, "Inconsistent", report.Inconsistent, false)
		for _, r := range report.Requests[2:] {
			checkEqual(t, "reason", omsclient.ReasonOf(r.Err), omsclient.Canceled)
		}
	})
}

func TestEndingTheContextEndsTheRequestsUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		oms := newGate(9)
		c := newClient(t, oms, omsclient.Options{PageSize: 1, Concurrency: 3})
		ctx, cancel := context.WithCancel(t.Context())
		var (
			got []string
			err error
		)
		go func() { got, _, err = listIDs(ctx, c) }()

		oms.underWay()
		oms.open(1)
		oms.underWay()
		cancel()
		checkEqual(t, "pages under way", oms.underWay(), []int{})

		slices.Sort(oms.ended)
		checkEqual(t, "ended", oms.ended, []int{2, 3, 4})
		checkEqual(t, "ids", got, tasks(1))
		e := failure(t, err)
		checkEqual(t, "Reason", e.Reason, omsclient.Canceled)
		checkEqual(t, "Page", e.Page, 2)
	})
}

func TestListLeavesNothingBehind(t *testing.T) {
	for _, tt := range []struct {
		name string
		do   func(cancel context.CancelFunc) (leave bool) // on page 2, while others are under way
		want omsclient.Reason
	}{
		{"the loop is left", func(context.CancelFunc) bool { return true }, ""},
		{"the context ends", func(cancel context.CancelFunc) bool {
			cancel()
			return false
		}, omsclient.Canceled},
		{"the loop panics", func(context.CancelFunc) bool { panic("on purpose") }, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before := goleak.IgnoreCurrent()
			oms, err := omssim.New(omssim.Options{Tasks: 20})
			if err != nil {
				t.Fatal(err)
			}
			oms.SetFaults(omssim.Fault{Kind: "hang", Page: 3}, omssim.Fault{Kind: "stall", Page: 4})
			server := httptest.NewServer(oms)
			transport := &http.Transport{}
			c, err := omsclient.New(server.URL, &http.Client{Transport: transport},
				omsclient.Options{PageSize: 2})
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()

			checkEqual(t, "reason", omsclient.ReasonOf(doOnTheThird(ctx, c, func() bool {
				return tt.do(cancel)
			})), tt.want)

			transport.CloseIdleConnections()
			server.Close()
			goleak.VerifyNone(t, before)
		})
	}
}

// doOnTheThird lists projects and calls do at the third.
func doOnTheThird(ctx context.Context, c *omsclient.Client, do func() (leave bool)) error {
	defer func() { _ = recover() }()
	seen := 0
	for _, err := range c.List(ctx, new(omsclient.Report)) {
		if seen++; err != nil {
			return err
		}
		if seen == 3 && do() {
			return nil
		}
	}
	return errors.New("the listing came to its end")
}

func TestAClientIsSafeForConcurrentUse(t *testing.T) {
	oms, err := omssim.New(omssim.Options{Tasks: 40})
	if err != nil {
		t.Fatal(err)
	}
	c := newClient(t, oms, omsclient.Options{PageSize: 7})
	var listings sync.WaitGroup
	for range 4 {
		listings.Go(func() {
			got, _, err := listIDs(t.Context(), c)
			if err != nil || len(got) != 40 {
				t.Errorf("%d projects and error %v", len(got), err)
			}
		})
	}
	listings.Wait()
}

func TestReportTotalIsNotThatOfAnEmptyPageAtTheEnd(t *testing.T) {
	for _, last := range []string{"0", "null", ""} {
		c := newClient(t, paper(func(page, size int) string {
			if page == 2 {
				return sheet(last)
			}
			return sheet("150", cut(tasks(150), page, size)...)
		}), omsclient.Options{})

		_, report, err := listIDs(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		checkEqual(t, "Total", report.Total, omsclient.Some(150.0))
		checkEqual(t, "Inconsistent", report.Inconsistent, false)
	}
}

func TestReportTotalIsWhatTheLastPageSays(t *testing.T) {
	for total, want := range map[string]omsclient.Optional[float64]{
		"":                 {},
		"null":             {},
		`"many"`:           {},
		"12":               omsclient.Some(12.0),
		`"12"`:             omsclient.Some(12.0),
		"-1":               omsclient.Some(-1.0),
		"9007199254740992": omsclient.Some(math.Pow(2, 53)),
	} {
		c := newClient(t, paper(func(page, size int) string {
			return sheet(total, cut(tasks(12), page, size)...)
		}), omsclient.Options{})
		_, report, err := listIDs(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		checkEqual(t, "Total for "+total, report.Total, want)
	}
}

// A server may serve fewer tasks at a time than it is asked for and not say so.
func TestListReadsShortPagesToTheEndWithoutACountOfTasks(t *testing.T) {
	all := []string{"a", "b", "c", "d", "e", "f", "g"}
	for _, total := range []string{"null", "0"} {
		c := newClient(t, paper(func(page, _ int) string {
			return sheet(total, cut(all, page, 3)...)
		}), omsclient.Options{PageSize: 5})

		got, report, err := listIDs(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		checkEqual(t, "ids for totalCount "+total, got, all)
		checkEqual(t, "Inconsistent", report.Inconsistent, false)
	}
}

func TestNullAfterTheLastPageIsItsEnd(t *testing.T) {
	c := newClient(t, paper(func(page, _ int) string {
		if page == 3 {
			return `{"success": true, "totalCount": 4, "data": null}`
		}
		return sheet("4", cut([]string{"a", "b", "c", "d"}, page, 2)...)
	}), omsclient.Options{PageSize: 2})

	got, report, err := listIDs(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	checkEqual(t, "ids", got, []string{"a", "b", "c", "d"})
	checkEqual(t, "Inconsistent", report.Inconsistent, false)
}

func TestNullInTheMidstOfAListingIsAFailure(t *testing.T) {
	c := newClient(t, paper(func(page, _ int) string {
		if page == 2 {
			return `{"success": true, "totalCount": 6, "data": null}`
		}
		return sheet("6", cut([]string{"a", "b", "c", "d", "e", "f"}, page, 2)...)
	}), omsclient.Options{PageSize: 2})

	_, _, err := listIDs(t.Context(), c)

	if omsclient.ReasonOf(err) != omsclient.Decode {
		t.Errorf("got %v", err)
	}
}

func TestAServerThatRepeatsAPageWithAnOddElementIsNoticed(t *testing.T) {
	c := newClient(t, paper(func(int, int) string {
		return `{"success": true, "totalCount": 100, "data": [{"id": "a"}, null]}`
	}), omsclient.Options{PageSize: 2})

	_, report, err := listIDs(t.Context(), c)

	if omsclient.ReasonOf(err) != omsclient.Pagination || len(report.Requests) > 10 {
		t.Errorf("%v after %d requests", err, len(report.Requests))
	}
}
