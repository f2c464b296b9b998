package collector

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-kit/log"
	"github.com/go-kit/log/level"

	"oms_exporter/omsclient"
)

// This file asks OMS about single tasks, beside the listing and never at its cost. A
// round of questions begins when a listing is complete, and runs in the background for
// no longer than the scrape still has. So a scrape is answered with what is known by
// then, and a round that is slow or fails changes nothing but what is not known. OMS is
// asked only when it is scraped.

// A LookFunc asks OMS about one task. It returns every attempt.
type LookFunc[A any] func(ctx context.Context, taskID string) (A, []omsclient.Request, error)

// A Look tells how OMS has been asked about single tasks with one action.
type Look struct {
	Action string
	Wanted int // tasks of the latest complete listing that there is a question about
	Known  int // of these, those with an answer

	Asked   int           // questions so far
	Failed  int           // of these, those without an answer
	Latest  time.Time     // when one was last asked
	Slowest time.Duration // of the latest round
	Err     error         // why the last one of that round failed that did, or nil
	Next    time.Time     // nothing is asked before, because everything failed; or zero
}

// An occasion is what makes it worth asking about a task, again if it is another one.
type occasion struct {
	step, status  string
	start, finish time.Time
}

// A lookKind says how to use an action.
type lookKind[A any] struct {
	action string
	ask    LookFunc[A]
	wanted func(tasks []*task, at time.Time) map[*task]occasion
	attach func(t *task, a *answer[A])

	atOnce int           // questions in flight
	most   int           // questions of a round
	again  time.Duration // after which a task is asked about again on the same occasion; 0: never
	keeps  time.Duration // how long an answer is good; 0: as long as its occasion
	// final reports whether an answer says everything; nil: it always does.
	final func(A) bool
}

// An answer is what OMS has said about a task.
type answer[A any] struct {
	value A
	at    time.Time
}

// A look is the questions about all tasks with one action.
type look[A any] struct {
	lookKind[A]
	metrics    *Metrics
	logger     log.Logger
	background *background

	mu       sync.Mutex
	inquiry  map[string]*inquiry[A] // by id of the task
	round    chan struct{}          // closed when the round that is under way is over; nil: none is
	rest     backOff                // after rounds in which everything failed
	tally    Look
	complain bool // a failure has been logged since the last answer
}

// An inquiry is what has been asked and answered about a task.
type inquiry[A any] struct {
	occasion occasion
	answer   *answer[A]
	asked    time.Time
	rest     backOff // after failures, and after answers that were not final
	done     bool
}

// A backOff waits longer after each failure: 1, 2, 4 … 32, and then 60 minutes.
type backOff struct {
	failures int
	until    time.Time
}

func (b *backOff) fail(now time.Time) {
	const doublings = 6
	b.until = now.Add(min(time.Minute<<min(b.failures, doublings), time.Hour))
	b.failures++
}

// A looker is a look, whatever its answers are.
type looker interface {
	// attach gives tasks what is known of them, and forgets those that are not among
	// them. It returns the tasks to ask about.
	attach(tasks []*task, at time.Time) (due []string)
	// begin asks about tasks until the deadline, in the background.
	begin(ctx context.Context, deadline time.Time, due []string)
	status() Look
	settle()
}

func newLook[A any](kind lookKind[A], options *Options, background *background) looker {
	options.Metrics.expect(kind.action)
	return &look[A]{
		lookKind: kind, metrics: options.Metrics, logger: options.Logger, background: background,
		inquiry: map[string]*inquiry[A]{}, tally: Look{Action: kind.action},
	}
}

// attach implements looker.
func (l *look[A]) attach(tasks []*task, at time.Time) (due []string) {
	wanted := l.wanted(tasks, at)
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tally.Wanted, l.tally.Known = len(wanted), 0
	kept := make(map[string]*inquiry[A], len(wanted))
	for _, t := range tasks {
		why, want := wanted[t]
		q := l.inquiry[t.ID]
		if want && (q == nil || q.occasion != why) {
			q = &inquiry[A]{occasion: why}
		}
		if q == nil {
			continue
		}
		good, recent := l.good(q, want, now), now.Sub(q.asked) < l.again
		if want || good || recent {
			kept[t.ID] = q
		}
		if good {
			l.lookKind.attach(t, q.answer)
		}
		if want && good {
			l.tally.Known++
		}
		if want && !q.done && !recent && !now.Before(q.rest.until) {
			due = append(due, t.ID)
		}
	}
	l.inquiry = kept
	return l.first(due, now)
}

// good reports whether there is an answer that still holds.
func (l *look[A]) good(q *inquiry[A], wanted bool, now time.Time) bool {
	if l.keeps == 0 {
		return q.answer != nil && wanted
	}
	return q.answer != nil && now.Sub(q.answer.at) < l.keeps
}

// first returns the tasks for the next round: those that have waited longest.
func (l *look[A]) first(due []string, now time.Time) []string {
	if l.round != nil || now.Before(l.rest.until) {
		return nil
	}
	slices.SortFunc(due, func(a, b string) int {
		return cmp.Or(l.inquiry[a].asked.Compare(l.inquiry[b].asked), strings.Compare(a, b))
	})
	return due[:min(len(due), l.most)]
}

// begin implements looker.
func (l *look[A]) begin(ctx context.Context, deadline time.Time, due []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.round = make(chan struct{})
	l.tally.Slowest, l.tally.Err = 0, nil
	l.background.start(ctx, deadline, func(ctx context.Context) { l.run(ctx, due) })
}

// run asks about tasks. It stops early if failures show that it is of no use.
func (l *look[A]) run(ctx context.Context, due []string) {
	const enough = 3 // failures
	var (
		workers          sync.WaitGroup
		queue            = make(chan string, len(due))
		answered, failed int // guarded by l.mu
	)
	for _, id := range due {
		queue <- id
	}
	close(queue)
	over := func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return ctx.Err() != nil || failed >= enough
	}
	for range min(l.atOnce, len(due)) {
		workers.Go(func() {
			for id := range queue {
				if over() {
					return
				}
				err := l.question(ctx, id)
				l.mu.Lock()
				if err == nil {
					answered++
				} else {
					failed++
				}
				l.mu.Unlock()
			}
		})
	}
	workers.Wait()
	l.end(answered, failed)
}

// end ends a round.
func (l *look[A]) end(answered, failed int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if answered > 0 {
		l.rest, l.complain = backOff{}, false
	} else if failed > 0 {
		l.rest.fail(time.Now())
		if !l.complain {
			level.Warn(l.logger).Log("msg", "cannot look closer at tasks", "action", l.action,
				"reason", omsclient.ReasonOf(l.tally.Err), "err", l.tally.Err)
		}
		l.complain = true
	}
	l.tally.Next = l.rest.until
	close(l.round)
	l.round = nil
}

// question asks about a task.
func (l *look[A]) question(ctx context.Context, id string) error {
	start := time.Now()
	value, attempts, err := l.ask(ctx, id)
	for i := range attempts {
		l.metrics.request(l.action, &attempts[i])
	}
	l.metrics.sums(l.action, &omsclient.Report{Requests: attempts})
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tally.Asked++
	l.tally.Latest, l.tally.Slowest = start, max(l.tally.Slowest, now.Sub(start))
	if err != nil {
		l.tally.Failed++
		l.tally.Err = err
	}
	q := l.inquiry[id]
	switch {
	case q == nil: // the task has gone meanwhile
		return err
	case err != nil:
		q.rest.fail(now)
	default:
		q.answer = &answer[A]{value, now}
		q.done = l.again == 0
		if l.final != nil && !l.final(value) {
			q.done = false
			q.rest.fail(now)
		}
	}
	q.asked = start
	return err
}

// status implements looker.
func (l *look[A]) status() Look {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.tally
}

// settle implements looker.
func (l *look[A]) settle() {
	l.mu.Lock()
	round := l.round
	l.mu.Unlock()
	if round != nil {
		<-round
	}
}

// lookCloser gives the tasks of a snapshot what is known of them, and asks for more
// until the deadline of the scrape. The snapshot must be complete.
func (c *Collector) lookCloser(ctx context.Context, s *Snapshot) {
	skew, _ := s.report.ClockSkew().Get()
	deadline, _ := ctx.Deadline()
	for _, l := range c.looks {
		due := l.attach(s.tasks, time.Now().Add(skew))
		if len(due) > 0 && time.Until(deadline) >= leastBudget {
			l.begin(ctx, deadline, due)
		}
	}
}

// Looks tells how OMS has been asked about single tasks, by action.
func (c *Collector) Looks() []Look {
	all := make([]Look, 0, len(c.looks))
	for _, l := range c.looks {
		all = append(all, l.status())
	}
	return all
}

// Settle waits until no question about a single task is under way. What was answered is
// in the snapshots that begin afterward.
func (c *Collector) Settle() {
	for _, l := range c.looks {
		l.settle()
	}
}
