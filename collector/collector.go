// Package collector turns the projects of an OMS into metrics.
//
// A [Collector] reads all projects once for a scrape, into a [Snapshot], and a
// snapshot is a [prometheus.Collector] of metrics with constant values: a task
// that is gone leaves no series. What metrics there are is declared as data, in
// metrics.go, once each.
package collector

import (
	"context"
	"iter"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-kit/log"
	"github.com/go-kit/log/level"
	"github.com/prometheus/client_golang/prometheus"

	"oms_exporter/omsclient"
)

// A ListFunc iterates over every project and fills the report.
// [omsclient.Client.List] is one.
type ListFunc func(context.Context, *omsclient.Report) iter.Seq2[omsclient.Project, error]

// Options are the settings of a collector.
type Options struct {
	Timeout    time.Duration           // the most that a scrape takes; 0 means 30 seconds
	Without    func(group string) bool // which of Groups to leave out; nil: none
	Exclude    Exclude                 // which tasks get no series
	MaxTasks   int                     // with more tasks than these, none gets series; 0: any
	Thresholds func() *Thresholds      // asked at each scrape; nil: none
	Logger     log.Logger              // nil: no log
	Metrics    *Metrics                // counts what the collector does; nil: nothing does
}

// An Exclude names tasks by any one of their properties.
type Exclude struct {
	Statuses []string
	Names    *regexp.Regexp // nil: none
	Tags     []string       // names of tags
}

func (e *Exclude) matches(t task) bool {
	return slices.Contains(e.Statuses, t.Status) ||
		e.Names != nil && e.Names.MatchString(t.Name) ||
		slices.ContainsFunc(e.Tags, func(name string) bool { return hasTag(t, name) })
}

// A Collector scrapes an OMS. It is safe for concurrent use: scrapes that
// overlap share one listing.
type Collector struct {
	list    ListFunc
	options Options
	tables  []family[*Snapshot]

	mu      sync.Mutex
	running *flight         // what can be joined
	landed  <-chan struct{} // closed when the listing that ended last is accounted for
	history history
}

// New returns a collector of the projects that list iterates over.
func New(list ListFunc, options Options) *Collector {
	if options.Timeout == 0 {
		options.Timeout = 30 * time.Second
	}
	if options.Logger == nil {
		options.Logger = log.NewNopLogger()
	}
	if options.Without == nil {
		options.Without = func(string) bool { return false }
	}
	if options.Thresholds == nil {
		options.Thresholds = func() *Thresholds { return nil }
	}
	if options.Metrics == nil {
		options.Metrics = NewMetrics(prometheus.NewRegistry())
	}
	return &Collector{
		list:    list,
		options: options,
		tables:  wantedTables(options.Without),
		history: newHistory(),
	}
}

func wantedTables(without func(group string) bool) []family[*Snapshot] {
	wanted := func(group string) bool { return group == always || !without(group) }
	return slices.DeleteFunc(slices.Clone(catalogue), func(t family[*Snapshot]) bool {
		return !t.in(wanted)
	})
}

// Describe implements [prometheus.Collector].
func (c *Collector) Describe(ch chan<- *prometheus.Desc) {
	for _, t := range c.tables {
		t.describe(ch)
	}
}

// Collect implements [prometheus.Collector] for those who register a collector
// as it is. It cannot be canceled; [Collector.Scrape] can.
func (c *Collector) Collect(ch chan<- prometheus.Metric) {
	c.Scrape(context.Background()).Collect(ch)
}

// Scrape lists all projects within the time that ctx and the options leave. If
// it cannot read every one, the snapshot has no tasks, and says why.
//
// A scrape that begins while projects are listed for another one waits for that
// listing and shares it. One that begins after its last page has a listing of its
// own. The listing ends when nobody waits for it any more.
func (c *Collector) Scrape(ctx context.Context) *Snapshot {
	ctx, cancel := context.WithTimeout(ctx, c.options.Timeout)
	defer cancel()
	start := time.Now()
	f := c.join(ctx)
	select {
	case <-f.done:
		c.leave(f, nil)
	case <-ctx.Done():
		if last := c.leave(f, context.Cause(ctx)); !last {
			return c.givenUp(context.Cause(ctx), time.Since(start))
		}
		<-f.done
	}
	return f.snapshot
}

// givenUp is the snapshot of a scrape whose time ran out while others go on to
// wait for the listing.
func (c *Collector) givenUp(cause error, took time.Duration) *Snapshot {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.newSnapshot()
	s.err, s.duration, s.lastSuccess, s.gaveUp = cause, took, c.history.lastSuccess, true
	c.logFailure(s)
	return s
}

// A flight is a listing and those who wait for it.
type flight struct {
	done     chan struct{} // closed when snapshot is there
	snapshot *Snapshot
	cancel   context.CancelCauseFunc

	// Guarded by the mutex of the collector.
	waiting  int
	joined   bool      // by others than who started it
	deadline time.Time // the latest of those who have waited
}

// join returns the flight under way, or starts one.
func (c *Collector) join(ctx context.Context) *flight {
	deadline, _ := ctx.Deadline()
	c.mu.Lock()
	defer c.mu.Unlock()
	if f := c.running; f != nil {
		f.waiting++
		f.joined = true
		if deadline.After(f.deadline) {
			f.deadline = deadline
		}
		c.options.Metrics.coalesced.WithLabelValues().Inc()
		return f
	}
	f := &flight{done: make(chan struct{}), waiting: 1, deadline: deadline}
	shared, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	f.cancel = cancel
	before := c.landed
	c.running = f
	go func() {
		defer close(f.done)
		if before != nil {
			<-before // the history takes in one listing after another
		}
		//nolint:contextcheck // it inherits, but outlives the scrape that started it
		f.snapshot = c.scrape(sharedContext{shared, func() time.Time {
			c.mu.Lock()
			defer c.mu.Unlock()
			return f.deadline
		}}, func() (joined bool) { return c.land(f) })
	}()
	return f
}

// leave says that somebody waits no longer. The last one to go ends the listing
// for the given cause.
func (c *Collector) leave(f *flight, cause error) (last bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f.waiting--
	if f.waiting > 0 {
		return false
	}
	f.cancel(cause)
	if c.running == f {
		c.running = nil
	}
	return true
}

// land lets no one join a flight whose listing has ended: what is left to do takes
// no more from OMS, and who comes now wants to know what is now. It reports whether
// anybody has joined.
func (c *Collector) land(f *flight) (joined bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.running == f {
		c.running, c.landed = nil, f.done
	}
	return f.joined
}

// A sharedContext ends when nobody waits. Its deadline, for those who plan
// ahead, moves when somebody joins who has more time.
type sharedContext struct {
	context.Context //nolint:containedctx // it is a context
	deadline        func() time.Time
}

// Deadline implements [context.Context].
func (s sharedContext) Deadline() (time.Time, bool) { return s.deadline(), true }

// scrape lists all projects, and calls ended when it has.
func (c *Collector) scrape(ctx context.Context, ended func() (joined bool)) *Snapshot {
	start := time.Now()
	s := c.newSnapshot()
	for project, err := range c.list(ctx, &s.report) {
		if err != nil {
			s.fail(err)
			break
		}
		c.add(s, project)
	}
	s.duration = time.Since(start)
	s.shared = ended()
	s.thresholds = c.options.Thresholds()
	s.order()
	c.options.Metrics.observe(&s.report)
	c.account(s, start)
	return s
}

// account takes a snapshot into the history, and what only the history knows into
// the snapshot.
func (c *Collector) account(s *Snapshot, start time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.err == nil {
		c.history.lastSuccess = time.Now()
		c.history.alarms, s.alarmTotals = c.history.alarms.update(s.tasks)
		c.noteUnknown(s)
		c.limit(s)
	} else {
		c.logFailure(s)
	}
	c.history.add(Fetch{start, s.duration, len(s.tasks), s.report, s.err})
	s.lastSuccess = c.history.lastSuccess
}

// add takes a project into a snapshot, as a task or as one that is excluded.
func (c *Collector) add(s *Snapshot, project omsclient.Project) {
	s.fleet[[2]string{project.Type, project.Status}]++
	t := &listed{Project: project}
	s.checkValues(t)
	if c.options.Exclude.matches(t) {
		s.excluded++
		return
	}
	s.tasks = append(s.tasks, t)
}

// order puts the tasks in the order of their series. Their identities are made in
// that order too, so that they lie in memory as they are read, again and again.
func (s *Snapshot) order() {
	slices.SortFunc(s.tasks, func(a, b task) int { return strings.Compare(a.ID, b.ID) })
	for _, t := range s.tasks {
		t.text = string(appendLabels(nil, identity, t))
	}
}

// limit takes away all tasks if there are too many: half a listing would look
// like a whole one.
func (c *Collector) limit(s *Snapshot) {
	if c.options.MaxTasks == 0 || len(s.tasks) <= c.options.MaxTasks {
		return
	}
	level.Warn(c.options.Logger).Log("msg", "more tasks than the limit: none has series",
		"tasks", len(s.tasks), "limit", c.options.MaxTasks)
	s.overLimit = len(s.tasks)
	s.tasks, s.alarmTotals = nil, nil
}

func (c *Collector) logFailure(s *Snapshot) {
	level.Error(c.options.Logger).Log("msg", "cannot list the tasks of OMS",
		"reason", omsclient.ReasonOf(s.err), "err", s.err, "duration", s.duration)
}

// noteUnknown counts what the documents do not name, and logs each once. Values
// that could not be read at all may be anything, and are not logged.
func (c *Collector) noteUnknown(s *Snapshot) {
	for field, n := range s.report.Dropped {
		s.unknown[[2]string{field, ""}] += n
	}
	for key, n := range s.unknown {
		field, value := key[0], key[1]
		c.options.Metrics.unknown.WithLabelValues(field).Add(float64(n))
		if c.history.isNew(key) {
			level.Warn(c.options.Logger).Log("msg", "OMS sent a value that is not known or not readable",
				"field", field, "value", value)
		}
	}
}

// checkValues notes the values of a project that the documents do not name.
func (s *Snapshot) checkValues(t task) {
	check := func(field, value string, known []string) {
		if value != "" && !slices.Contains(known, value) {
			s.unknown[[2]string{field, value}]++
		}
	}
	check("type", t.Type, knownTypes)
	check("status", t.Status, knownStatuses)
	check("importance", t.Importance, knownImportances)
	for i := range t.Steps {
		check("steps.name", t.Steps[i].Name, knownStepNames)
		check("steps.status", t.Steps[i].Status, knownStepStatuses)
	}
}

// A Fetch tells how a listing went.
type Fetch struct {
	Start    time.Time
	Duration time.Duration
	Tasks    int // with series
	Report   omsclient.Report
	Err      error // why it failed, or nil
}

// Fetches returns the last listings, the latest first.
func (c *Collector) Fetches() []Fetch {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.history.fetches)
}

// A history is what a collector remembers from one listing to the next.
type history struct {
	lastSuccess time.Time
	fetches     []Fetch // the latest first
	alarms      alarmCounts
	logged      map[[2]string]bool // by field and value
}

func newHistory() history {
	return history{alarms: alarmCounts{}, logged: map[[2]string]bool{}}
}

// add remembers a listing, and forgets the oldest beyond the last ten.
func (h *history) add(f Fetch) {
	const most = 10
	h.fetches = slices.Insert(h.fetches, 0, f)
	h.fetches = h.fetches[:min(len(h.fetches), most)]
}

// isNew reports whether a value has not been seen before. It remembers as many
// as an upgrade of OMS may well bring, not what a broken one can invent.
func (h *history) isNew(key [2]string) bool {
	const most = 200
	if h.logged[key] || len(h.logged) == most {
		return false
	}
	h.logged[key] = true
	return true
}

// A Snapshot is what a scrape found. It is a [prometheus.Collector], and is not
// changed after it was made.
type Snapshot struct {
	tables      []family[*Snapshot]
	err         error
	gaveUp      bool // before the listing ended, so that nothing is known of it
	report      omsclient.Report
	duration    time.Duration
	lastSuccess time.Time
	thresholds  *Thresholds
	tasks       []task                // what has series, ordered by id
	fleet       map[[2]string]float64 // by type and status
	unknown     map[[2]string]int     // by field and value
	excluded    int
	overLimit   int
	alarmTotals []rule

	shared  bool // by several scrapes; settled when the listing ends
	sharing sync.Mutex
	answers map[string]func() ([]byte, error) // by what they answer
}

// Answer returns what render returns, rendered once for each key, if several
// scrapes share the snapshot. The answer must not be changed. A scrape that has
// the snapshot for itself gets none, and need not keep one in memory.
func (s *Snapshot) Answer(
	key string, render func() ([]byte, error),
) (answer []byte, shared bool, err error) {
	if !s.shared {
		return nil, false, nil
	}
	s.sharing.Lock()
	once := s.answers[key]
	if once == nil {
		once = sync.OnceValues(render)
		if s.answers == nil {
			s.answers = map[string]func() ([]byte, error){}
		}
		s.answers[key] = once
	}
	s.sharing.Unlock()
	answer, err = once()
	return answer, true, err
}

func (c *Collector) newSnapshot() *Snapshot {
	return &Snapshot{
		tables: c.tables, fleet: map[[2]string]float64{}, unknown: map[[2]string]int{},
	}
}

// fail empties a snapshot: half of the tasks would look like all of them.
func (s *Snapshot) fail(err error) {
	s.err = err
	s.tasks, s.fleet, s.excluded = nil, nil, 0
}

// Err returns why the listing failed, or nil.
func (s *Snapshot) Err() error { return s.err }

// Describe implements [prometheus.Collector].
func (s *Snapshot) Describe(ch chan<- *prometheus.Desc) {
	for _, t := range s.tables {
		t.describe(ch)
	}
}

// Collect implements [prometheus.Collector].
func (s *Snapshot) Collect(ch chan<- prometheus.Metric) {
	for _, t := range s.tables {
		t.collect(s, ch)
	}
}

// clockSkew returns by how many seconds OMS's clock is ahead of the exporter's.
func (s *Snapshot) clockSkew() (float64, bool) {
	skew, known := s.report.ClockSkew().Get()
	return skew.Seconds(), known
}
