package omsclient

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"time"
)

// Projects iterates over every project that OMS lists and the filter admits.
// Each is yielded once, in the order of the listing: by the time of creation.
// An error, always an [*Error], ends the iteration; the projects before it are
// then no listing. Pages after the first are asked for while earlier ones are
// read. Leaving the loop or ending the context stops the requests.
func (c *Client) Projects(ctx context.Context) iter.Seq2[Project, error] {
	return c.List(ctx, new(Report))
}

// List is [Client.Projects], with a report.
//
// If the number of projects and OMS's totalCount disagree at the end, something
// was created or deleted meanwhile and a project may have slipped from one page
// to another unseen. The pages are then listed once more, if the deadline of the
// context leaves the time, for what the first listing missed.
func (c *Client) List(ctx context.Context, report *Report) iter.Seq2[Project, error] {
	return func(yield func(Project, error) bool) {
		*report = Report{Dropped: map[string]int{}}
		l := &listing{client: c, report: report, seen: map[string]int{}, yield: yield}
		start := time.Now()
		consistent, err := l.pass(ctx)
		switch {
		case errors.Is(err, errStopped):
			return
		case err != nil:
			yield(Project{}, err)
			return
		case consistent:
			return
		}
		// The first listing stands whatever becomes of the second.
		again, cancel, enough := halfOfTheRest(ctx, time.Since(start))
		defer cancel()
		if enough {
			consistent, err = l.pass(again)
		}
		report.Inconsistent = !errors.Is(err, errStopped) && (err != nil || !consistent)
	}
}

// halfOfTheRest bounds what has taken the given time and is to be done again:
// to half of the time that the context leaves, if that is enough.
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

// errStopped says that the consumer has left the loop.
var errStopped = errors.New("stopped")

// A listing reads all pages, twice if need be, and yields each project once.
type listing struct {
	client *Client
	report *Report
	yield  func(Project, error) bool
	passes int            // passes begun
	seen   map[string]int // the last pass in which a project was seen, by id
}

// pass reads every page once and reports whether what it saw is what OMS counts.
func (l *listing) pass(ctx context.Context) (consistent bool, err error) {
	l.passes++
	pages := newPrefetch(ctx, l.client)
	defer func() { l.report.Requests = append(l.report.Requests, pages.stop()...) }()
	plan := plan{size: l.client.options.PageSize}
	for number := 1; !plan.ended; number++ {
		if number > l.client.options.MaxPages {
			return false, l.endless(number, "there is no end after %d pages", number-1)
		}
		got := pages.get(number, min(plan.promised(), l.client.options.MaxPages))
		if got.err == nil && !got.page.hasData && !plan.mayEnd(got.page) {
			got.err = &Error{
				Reason: Decode, Page: number, StatusCode: http.StatusOK, RequestID: got.page.requestID,
				Err: errors.New("the answer has no data"),
			}
			got.attempts[len(got.attempts)-1].Err = got.err
		}
		l.report.Requests = append(l.report.Requests, got.attempts...)
		if got.err != nil {
			return false, got.err
		}
		fresh, err := l.take(got.page)
		if err != nil {
			return false, err
		}
		if repeats := !plan.add(got.page, fresh); repeats {
			return false, l.endless(number, "OMS repeats projects of earlier pages")
		}
	}
	return plan.consistent(), nil
}

// take yields what is new on a page, and counts what is new in this pass.
func (l *listing) take(p *page) (fresh int, err error) {
	l.report.Pages++
	if p.rows() > 0 || l.report.Pages == 1 {
		l.report.Total = p.total
	}
	first := l.passes == 1
	for i := range p.projects {
		id := p.projects[i].ID
		last := l.seen[id]
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
	}
	return fresh, nil
}

func (l *listing) endless(number int, format string, args ...any) error {
	return &Error{Reason: Pagination, Page: number, Err: fmt.Errorf(format, args...)}
}

// A plan decides which pages to ask for. Documents disagree whether totalCount
// counts projects or pages, and it can be wrong or absent; so it only says how
// far to look ahead. What ends a listing is a page that is short or empty.
type plan struct {
	size   int  // elements on a full page
	pages  int  // pages with elements
	unique int  // different projects, and elements that cannot be told apart
	rows   int  // elements
	total  int  // totalCount of the last page with elements, 0 if there was none
	moved  bool // totalCount has changed on the way
	ended  bool
}

// promised returns the number of the last page that may be asked for now. Until
// the listing has ended, that is the next one at least.
func (p *plan) promised() int {
	last := (p.total + p.size - 1) / p.size
	if p.rows > p.total {
		last = p.total // too small for a count of projects: a count of pages
	}
	return max(last, p.pages+1)
}

// add takes a page into account of which the given number of projects had not
// been on earlier ones. It returns false if the page shows that OMS repeats
// itself instead of coming to an end.
func (p *plan) add(got *page, fresh int) bool {
	rows, total := got.rows(), int(got.total.Value)
	if p.pages == 0 {
		p.total = total
		p.learnSize(rows, int(got.size.Value))
	}
	if rows == 0 {
		p.ended = true // whatever it says of totalCount
		return true
	}
	full := rows >= p.size
	if got.repeats(fresh) {
		// Some servers answer with the last page when asked for one beyond it.
		p.ended = true
		return !full || p.counted()
	}
	p.moved = p.moved || total != p.total
	p.total = total
	p.pages++
	p.rows += rows
	p.unique += fresh + got.invalid
	p.ended = !full && p.complete()
	return true
}

// complete reports whether OMS's count says that there is no further page.
// Without one, only an empty page says so: a page can be short because OMS
// serves fewer projects at a time than it is asked for.
func (p *plan) complete() bool {
	switch {
	case p.total <= 0 || p.rows < p.total:
		return false
	case p.rows == p.total, p.unique == p.total:
		return true
	}
	return p.pages >= p.total // a count of pages
}

// mayEnd reports whether a page without data can be what follows the last one,
// or a listing of nothing. In the midst of a listing it is a failure of OMS.
func (p *plan) mayEnd(got *page) bool {
	if p.pages == 0 {
		return got.total == Some(0.0)
	}
	return p.total <= 0 || p.complete()
}

// learnSize corrects the size of a full page: OMS may serve fewer projects at a
// time than it is asked for.
func (p *plan) learnSize(rows, reported int) {
	if 0 < reported && reported < p.size {
		p.size = reported
	}
	if 0 < rows && rows < p.size && rows < p.total {
		p.size = rows
	}
}

// counted reports whether OMS's count is that of the projects, or of the pages.
func (p *plan) counted() bool { return p.total == p.unique || p.total == p.pages }

// consistent reports whether nothing suggests that a project was missed.
func (p *plan) consistent() bool { return !p.moved && (p.total <= 0 || p.counted()) }

// A prefetch gets pages in their order, several at a time.
type prefetch struct {
	ctx     context.Context //nolint:containedctx // a pass's own, ended by stop
	cancel  context.CancelFunc
	client  *Client
	waiting []chan fetched // for the pages after the last one got
	next    int            // the first page not asked for
}

// fetched is a page, or why there is none, and the attempts it took.
type fetched struct {
	page     *page
	attempts []Request
	err      error
}

func newPrefetch(ctx context.Context, c *Client) *prefetch {
	ctx, cancel := context.WithCancel(ctx)
	return &prefetch{ctx: ctx, cancel: cancel, client: c, next: 1}
}

// get returns a page. Those after it, up to the one promised, are asked for
// meanwhile. Pages must be got in their order.
func (p *prefetch) get(number, promised int) fetched {
	for p.next <= max(promised, number) && len(p.waiting) < p.client.options.Concurrency {
		p.start(p.next)
		p.next++
	}
	head := p.waiting[0]
	p.waiting = p.waiting[1:]
	return <-head
}

func (p *prefetch) start(number int) {
	result := make(chan fetched, 1)
	p.waiting = append(p.waiting, result)
	go func() {
		page, attempts, err := p.client.fetch(p.ctx, number)
		result <- fetched{page, attempts, err}
	}()
}

// stop ends all requests, waits until they have ended, and returns the attempts
// of the pages that nobody got.
func (p *prefetch) stop() []Request {
	p.cancel()
	var attempts []Request
	for _, result := range p.waiting {
		attempts = append(attempts, (<-result).attempts...)
	}
	return attempts
}
