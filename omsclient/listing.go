package omsclient

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net"
	"net/http"
	"time"
)

// List iterates over every project that OMS lists for the client's filter. It
// yields each project once, in the order of creation, and fills in the report,
// which must not be nil. It keeps nothing of it but [Report.Observe].
//
// An error ends the iteration. It is always an [*Error] and comes with a zero
// Project; the projects yielded before it are only part of the listing. Leaving
// the loop or canceling the context stops all requests, and the loop ends only
// after they have stopped. While one page is being yielded, the next ones are
// already requested; see [Options.Concurrency].
//
// Projects that are created or deleted meanwhile can move others to a page that has
// already been read. If the number of projects differs from OMS's totalCount, or
// totalCount changes on the way, List reads all pages a second time and yields what
// it had missed. The second pass gets half of the time that the context leaves, and
// is skipped if the first pass took longer than that. A second pass that is skipped
// or fails is not an error: the projects of the first stand, and
// [Report.Inconsistent] is set. It is an error if neither pass finds any project though
// OMS counts some.
func (c *Client) List(ctx context.Context, report *Report) iter.Seq2[Project, error] {
	return func(yield func(Project, error) bool) {
		*report = Report{Dropped: map[string]int{}, NotUTF8: map[string]int{}, Observe: report.Observe}
		if c.distrust.Swap(false) {
			c.http.CloseIdleConnections() // those that were still in use the last time
		}
		l := &listing{client: c, report: report, seen: map[string]int{}, yield: yield}
		l.conns = connections{credit: map[net.Conn]int{}, good: map[string]bool{}}
		start := time.Now()
		consistent, err := l.pass(ctx)
		defer func() { c.learn(report, err, len(l.seen)) }()
		switch {
		case errors.Is(err, errStopped):
			return
		case err != nil:
			yield(Project{}, err)
			return
		case consistent:
			return
		}
		// A failed second pass does not undo the first, unless that found nothing.
		half, cancel, enough := halfOfTheRest(ctx, time.Since(start))
		defer cancel()
		if enough {
			consistent, err = l.pass(half)
		}
		stopped := errors.Is(err, errStopped)
		report.Inconsistent = !stopped && (err != nil || !consistent)
		// A count of 1 may be that of pages.
		if report.Inconsistent && len(l.seen) == 0 && report.Invalid == 0 && report.Total.Value > 1 {
			err = unlike(1, fmt.Sprintf("OMS counts %.10g tasks and lists none", report.Total.Value))
			report.Inconsistent = false
			yield(Project{}, err)
		}
	}
}

// learn draws conclusions from a listing for the next one.
func (c *Client) learn(report *Report, err error, seen int) {
	switch reason := ReasonOf(err); {
	case errors.Is(err, errStopped), reason == Canceled:
		return // says nothing about OMS
	case err != nil, seen == 0:
		// What failed, or listed nothing, may be a node that is OMS no longer, while
		// its name already leads to another one.
		c.distrust.Store(true)
		c.http.CloseIdleConnections()
	}
	if err == nil {
		learned := c.pace().learn(report.FirstListing())
		c.lastPace.Store(&learned)
	}
}

// halfOfTheRest returns a context with half of the time that ctx has left, and
// whether that is enough for what took the given time before.
func halfOfTheRest(
	ctx context.Context, took time.Duration,
) (half context.Context, cancel context.CancelFunc, enough bool) {
	deadline, ok := ctx.Deadline()
	if !ok {
		half, cancel = context.WithCancel(ctx)
		return half, cancel, true
	}
	rest := time.Until(deadline) / 2
	half, cancel = context.WithTimeout(ctx, rest)
	return half, cancel, rest > took
}

// errStopped means that the caller has left the loop. It never reaches the caller.
var errStopped = errors.New("stopped")

// A listing reads all pages, in one pass or two, and yields each project once.
type listing struct {
	client *Client
	report *Report
	yield  func(Project, error) bool
	passes int            // passes begun
	seen   map[string]int // the last pass in which a project was seen, by id
	conns  connections
}

// pass reads every page once and reports whether it saw what OMS counts.
func (l *listing) pass(ctx context.Context) (consistent bool, err error) {
	l.passes++
	pages := newPrefetch(ctx, l.client, &l.conns)
	defer func() { l.report.add(pages.stop()) }()
	plan := plan{size: l.client.options.PageSize}
	for n := 1; !plan.ended; n++ {
		if n > l.client.options.MaxPages {
			return false, unlike(n, fmt.Sprintf("the listing does not end after %d pages", n-1))
		}
		lookFor := time.Duration(0)
		if plan.hasAll() {
			lookFor = l.lookFor(ctx)
		}
		got := pages.get(n, min(plan.promised(), l.client.options.MaxPages), lookFor)
		if got.err == nil && !got.page.hasData && !plan.mayEnd(got.page) {
			got.fail(&Error{
				Reason: Decode, StatusCode: http.StatusOK, RequestID: got.page.requestID,
				Err: errors.New("the answer has no data"),
			}, n)
		}
		l.report.add(got.attempts)
		switch {
		case got.err != nil && ctx.Err() == nil && got.isMissing() &&
			(plan.hasAll() || plan.mayHaveAll() && got.err.refusesPage()):
			return plan.consistent(), nil
		case got.err != nil:
			return false, got.err
		}
		if n == 1 {
			if err := l.admits(got.page); err != nil {
				return false, err
			}
		}
		fresh, err := l.take(got.page)
		if err != nil {
			return false, err
		}
		if repeats := !plan.add(got.page, fresh); repeats {
			return false, unlike(n, "OMS repeats projects of earlier pages")
		}
	}
	return plan.consistent(), nil
}

// lookFor returns how long to look for a page after the last: as long as is likely to
// suffice if there is one, and not so long that nothing is left of the context.
func (l *listing) lookFor(ctx context.Context) time.Duration {
	limit := time.Second
	for i := range l.report.Requests {
		limit = max(limit, 2*l.report.Requests[i].Duration)
	}
	if deadline, ok := ctx.Deadline(); ok {
		limit = min(limit, max(time.Until(deadline)/2, 1))
	}
	if own := l.client.options.PageTimeout; own > 0 {
		limit = min(limit, own)
	}
	return limit
}

// admits returns an error if the first page says that the listing will have too
// many projects. A count that no OMS can have, or that the page contradicts because
// it is not even full, says nothing.
func (l *listing) admits(first *page) error {
	limit, total := l.client.options.MaxProjects, first.total.Value
	full := l.client.options.PageSize
	if served := clamp(first.size, MaxPageSize); served > 0 {
		full = min(full, served)
	}
	if total > float64(limit) && total <= maxTotal && first.elements() >= full {
		return tooMany(1, fmt.Sprintf("OMS counts %.0f projects", total), limit)
	}
	return nil
}

func tooMany(pageNumber int, what string, limit int) error {
	return &Error{Reason: Limit, Page: pageNumber, Err: fmt.Errorf("%s; the limit is %d", what, limit)}
}

// take yields the projects that no pass has seen yet. It returns how many this
// pass had not.
func (l *listing) take(p *page) (fresh int, err error) {
	l.report.Pages++
	if p.elements() > 0 || l.report.Pages == 1 {
		l.report.Total = p.total
	}
	first := l.passes == 1
	for i := range p.projects {
		id := p.projects[i].ID
		last := l.seen[id]
		if limit := l.client.options.MaxProjects; last == 0 && len(l.seen) == limit {
			what := fmt.Sprintf("OMS lists %d projects or more", limit+1)
			return fresh, tooMany(l.report.Pages, what, limit)
		}
		l.seen[id] = l.passes
		switch {
		case last != l.passes:
			fresh++
		case first:
			l.report.Duplicates++
		}
		if last == 0 && !l.yield(p.projects[i], nil) {
			return fresh, errStopped
		}
	}
	if first && !p.repeats(fresh) {
		l.report.Invalid += p.invalid
		for field, n := range p.dropped {
			l.report.Dropped[field] += n
		}
		for field, n := range p.notUTF8 {
			l.report.NotUTF8[field] += n
		}
	}
	return fresh, nil
}

// unlike returns an error for pages that are not those of a listing.
func unlike(pageNumber int, why string) error {
	return &Error{Reason: Pagination, Page: pageNumber, Err: errors.New(why)}
}

// A plan decides which pages to request in a pass. totalCount only says how far
// to look ahead, because it may be wrong or absent, and because documents disagree
// whether it counts projects or pages. An empty page ends the listing, and so does a
// short one if totalCount agrees.
type plan struct {
	size     int  // elements on a full page
	pages    int  // pages with elements
	elements int  // of these pages
	unique   int  // different projects, and elements without an id
	total    int  // totalCount of the last page with elements; 0 if OMS has no count
	moved    bool // totalCount has changed during the pass
	short    bool // OMS has no count, but the last page with elements was not full
	ended    bool
}

// promised returns the last page that is worth requesting now. Until the listing
// has ended, that is at least the next one.
func (p *plan) promised() int {
	last := (p.total + p.size - 1) / p.size
	if p.elements > p.total {
		last = p.total // too few for projects, so it counts pages
	}
	return max(last, p.pages+1)
}

// maxTotal is a number of projects far beyond any OMS.
const maxTotal = 1 << 30

// add accounts for the next page, on which the given number of projects were
// fresh, that is on no earlier page. It returns false if OMS keeps repeating
// earlier pages, which would never end.
func (p *plan) add(got *page, fresh int) bool {
	elements, total := got.elements(), clamp(got.total, maxTotal)
	if p.pages == 0 {
		p.total = total
		p.learnSize(elements, clamp(got.size, MaxPageSize))
	}
	if elements == 0 {
		p.ended = true // whatever totalCount says
		return true
	}
	full := elements >= p.size
	if got.repeats(fresh) {
		// Some servers answer with the last page when asked for a later one.
		p.ended = true
		return !full || p.counted()
	}
	p.moved = p.moved || total != p.total
	p.total = total
	p.pages++
	p.elements += elements
	p.unique += fresh + got.invalid
	p.short = !full && total == 0
	p.ended = !full && p.complete()
	return true
}

// clamp converts a count from 0 to limit. Others may not fit an int.
func clamp(count Optional[float64], limit float64) int {
	return int(min(max(count.Value, 0), limit))
}

// complete reports whether OMS's count says that there is no further page. If it
// has no count, only an empty page says so; a short page does not, because OMS may
// serve fewer projects per page than it is asked for.
func (p *plan) complete() bool {
	switch {
	case p.total == 0 || p.elements < p.total:
		return false
	case p.elements == p.total, p.unique == p.total:
		return true
	}
	return p.pages >= p.total // it counts pages
}

// mayEnd reports whether a page without data can be the end of the listing, or
// all of an empty one. In the middle of a listing it is a failure of OMS.
func (p *plan) mayEnd(got *page) bool {
	if p.pages == 0 {
		return got.total == Some(0.0)
	}
	return p.total == 0 || p.complete()
}

// learnSize corrects the size of a full page from the first page, since OMS may
// serve fewer projects per page than it is asked for.
func (p *plan) learnSize(elements, reported int) {
	if 0 < reported && reported < p.size {
		p.size = reported
	}
	if 0 < elements && elements < p.size && elements < p.total {
		p.size = elements
	}
}

// hasAll reports whether there are as many projects as OMS counts.
func (p *plan) hasAll() bool { return p.total > 0 && p.unique == p.total }

// mayHaveAll reports whether there are as many pages as OMS counts, if its count is not
// that of projects, or whether the last page was not full, if OMS has no count. Either
// may also mean something else, and a page that is full means nothing.
func (p *plan) mayHaveAll() bool {
	return p.short || p.total > 0 && p.elements > p.total && p.pages >= p.total
}

// counted reports whether OMS's count is the number of projects, or of pages.
func (p *plan) counted() bool { return p.total == p.unique || p.total == p.pages }

// consistent reports whether the pass looks complete.
func (p *plan) consistent() bool { return !p.moved && (p.total == 0 || p.counted()) }

// A prefetch gets pages in order while it fetches several at a time.
type prefetch struct {
	ctx     context.Context //nolint:containedctx // lasts as long as the pass; see stop
	cancel  context.CancelFunc
	client  *Client
	memory  *allowance
	conns   *connections
	waiting []chan fetched // for the pages that were requested and not got yet
	next    int            // the first page that was not requested yet
}

// A fetched holds a page, or the error that replaced it, and the attempts made.
type fetched struct {
	page     *page
	attempts []Request
	err      *Error
}

// isMissing reports whether an answer, which failed, had nothing of a page. Tasks that
// could not be read are tasks all the same.
func (f *fetched) isMissing() bool {
	rows := 0
	for i := range f.attempts {
		rows += f.attempts[i].Rows
	}
	return rows == 0
}

// fail makes an error of an answer.
func (f *fetched) fail(err *Error, pageNumber int) {
	err.Page = pageNumber
	f.err = err
	f.attempts[len(f.attempts)-1].Err = err
}

func newPrefetch(ctx context.Context, c *Client, conns *connections) *prefetch {
	ctx, cancel := context.WithCancel(ctx)
	return &prefetch{
		ctx: ctx, cancel: cancel, client: c, conns: conns, next: 1,
		memory: newAllowance(c.options.MaxProjects),
	}
}

// get waits for a page and meanwhile requests those after it, up to the promised
// one. Call it with 1, 2, 3, … in order. The last argument is that of an [order].
func (p *prefetch) get(pageNumber, promised int, lookFor time.Duration) fetched {
	for p.next <= max(promised, pageNumber) && len(p.waiting) < p.client.options.Concurrency {
		p.start(order{
			body: p.client.listBody(p.next), fields: answerFields,
			page: p.next, memory: p.memory, conns: p.conns, lookFor: lookFor,
		})
		p.next++
	}
	head := p.waiting[0]
	p.waiting = p.waiting[1:]
	return <-head
}

func (p *prefetch) start(o order) {
	result := make(chan fetched, 1)
	p.waiting = append(p.waiting, result)
	go func() {
		got, attempts, err := p.client.fetch(p.ctx, o)
		result <- fetched{got, attempts, err}
	}()
}

// stop cancels all requests, waits for them, and returns the attempts for pages
// that were not got.
func (p *prefetch) stop() []Request {
	p.cancel()
	var attempts []Request
	for _, result := range p.waiting {
		attempts = append(attempts, (<-result).attempts...)
	}
	return attempts
}
