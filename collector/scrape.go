package collector

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/go-kit/log"
	"github.com/go-kit/log/level"

	"oms_exporter/omsclient"
)

// leastBudget is the time below which OMS is not asked: nothing could come of it.
const leastBudget = 50 * time.Millisecond

// Scrape lists all projects within the time that ctx and the options leave. If it
// cannot read every one of them, the snapshot has no tasks, and its Err is why.
//
// A scrape that begins while another one's listing is under way, or is still to begin
// because of [Options].Pace or [Options].Room, shares that listing. A listing is canceled
// when the last scrape that waits for it has no time left, or soon after it has hung up.
func (c *Collector) Scrape(ctx context.Context) (s *Snapshot) {
	c.Use(ctx, func(got *Snapshot) { s = got })
	return s
}

// Use scrapes as Scrape does and calls a function with the snapshot. Until the function
// returns, the snapshot takes up places in [Options].Room, and without free ones no
// further listing begins.
func (c *Collector) Use(ctx context.Context, use func(*Snapshot)) {
	ctx, cancel := context.WithTimeout(ctx, c.options.Timeout)
	defer cancel()
	start := time.Now()
	if deadline, _ := ctx.Deadline(); deadline.Sub(start) < leastBudget {
		use(c.gaveUp(fmt.Errorf("no time to ask OMS: a scrape needs at least %s: %w",
			leastBudget, context.DeadlineExceeded), 0))
		return
	}
	if err := c.flights.use(ctx, use); err != nil {
		use(c.gaveUp(err, time.Since(start)))
	}
}

// gaveUp returns the snapshot of a scrape that stopped waiting for a listing that
// goes on, or that did not begin to wait.
func (c *Collector) gaveUp(cause error, took time.Duration) *Snapshot {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := newSnapshot(c.tables, c.options.Without)
	s.fail(cause)
	s.gaveUp, s.duration, s.lastSuccess = true, took, c.history.lastSuccess
	c.logFailure(s)
	return s
}

// takeSnapshot lists all projects into a snapshot. It calls land as soon as the listing
// has ended.
func (c *Collector) takeSnapshot(ctx context.Context, land func() (shared bool)) *Snapshot {
	s := newSnapshot(c.tables, c.options.Without)
	err := c.awaitTurn(ctx)
	start := time.Now()
	if err != nil {
		s.fail(err)
	} else {
		c.fill(ctx, s)
	}
	s.duration = time.Since(start)
	s.shared = land()
	s.finish(c.options.Thresholds())
	c.options.Metrics.observe(&s.report)
	c.record(s, start)
	if s.err == nil {
		c.lookCloser(ctx, s)
	}
	return s
}

// awaitTurn waits until the pace admits another listing.
func (c *Collector) awaitTurn(ctx context.Context) error {
	if ctx.Err() != nil {
		return fmt.Errorf("while waiting for a turn to list: %w", context.Cause(ctx))
	}
	if c.options.Pace == nil {
		return nil
	}
	turn := c.options.Pace.Reserve()
	delay := turn.Delay()
	if delay == 0 {
		return nil
	}
	select {
	case <-time.After(delay):
		return nil
	case <-ctx.Done():
		turn.Cancel()
		return fmt.Errorf("while waiting for a turn to list: %w", context.Cause(ctx))
	}
}

// fill lists all projects into a snapshot.
func (c *Collector) fill(ctx context.Context, s *Snapshot) {
	s.report.Observe = func(r *omsclient.Request) { c.options.Metrics.request(omsclient.Action, r) }
	defer func() { s.report.Observe = nil }()
	for project, err := range c.list(ctx, &s.report) {
		if err != nil {
			s.fail(err)
			return
		}
		s.add(project, &c.options.Exclude)
	}
}

// add takes in a project that OMS lists.
func (s *Snapshot) add(project omsclient.Project, exclude *Exclude) {
	t := &task{Project: project}
	s.fleet.add(fleetKey{t.Type, t.Status})
	s.noteUnknown(t)
	if property := exclude.match(t); property != "" {
		s.excluded[property]++
		return
	}
	s.tasks = append(s.tasks, t)
}

// noteUnknown counts the values of a task that the documents do not name. It keeps as
// many of them as may be logged. What a broken OMS invents beyond that is counted
// without its value.
func (s *Snapshot) noteUnknown(t *task) {
	expect := func(known []string, field, value string) {
		if value == "" || slices.Contains(known, value) {
			return
		}
		v := unknownValue{field, value}
		if _, kept := s.unknown[v]; !kept && len(s.unknown) >= MaxLogged {
			v.value = ""
		}
		s.unknown[v]++
	}
	expect(knownTypes, "type", t.Type)
	expect(knownStatuses, "status", t.Status)
	expect(knownImportances, "importance", t.Importance)
	for i := range t.Steps {
		expect(knownStepNames, "steps.name", t.Steps[i].Name)
		expect(knownStepStatuses, "steps.status", t.Steps[i].Status)
	}
}

// fail empties a snapshot: half of the tasks would look like all of them.
func (s *Snapshot) fail(err error) {
	s.err = err
	s.tasks, s.fleet, s.excluded = nil, fleetCounts{}, nil
}

// finish completes the tasks of a snapshot, in the order in which they will be written.
func (s *Snapshot) finish(thresholds *Thresholds) {
	slices.SortFunc(s.tasks, func(a, b *task) int { return strings.Compare(a.ID, b.ID) })
	for _, t := range s.tasks {
		t.threshold = thresholds.of(t)
		t.steps = latestSteps(t.Steps)
	}
}

// latestSteps returns the steps that have names. Of several with the same name it
// returns the last: that is what OMS did last.
func latestSteps(all []omsclient.Step) []*omsclient.Step {
	latest := make([]*omsclient.Step, 0, len(all))
	for i := range all {
		again := false
		for j := i + 1; j < len(all) && !again; j++ {
			again = all[j].Name == all[i].Name
		}
		if all[i].Name != "" && !again {
			latest = append(latest, &all[i])
		}
	}
	return latest
}

// record adds a snapshot to the history, and completes it with what only the history
// knows.
func (c *Collector) record(s *Snapshot, start time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.err != nil {
		c.logFailure(s)
	} else {
		c.history.lastSuccess = time.Now()
		c.history.alarms = c.updateAlarms(s)
		c.reportUnknown(s)
		c.logInconsistent(s)
	}
	c.logListing(s)
	c.history.add(Fetch{
		Start: start, Duration: s.duration, Tasks: len(s.tasks), Report: s.report, Err: s.err,
	})
	s.lastSuccess = c.history.lastSuccess
}

// logListing logs what a listing took, for whoever asks for that much.
func (c *Collector) logListing(s *Snapshot) {
	level.Debug(c.options.Logger).Log("msg", "listing ended", "reason", omsclient.ReasonOf(s.err),
		"tasks", len(s.tasks), "pages", s.report.Pages, "bytes", s.report.Bytes(),
		"bytes_on_wire", s.report.BytesOnWire(), "requests", s.report.Sent(),
		"on_kept_connections", s.report.Reused(), "retries", s.report.Retries(),
		"duration", s.duration, "shared", s.shared)
}

// updateAlarms adds up the alarms of a snapshot. Totals that were forgotten count as
// values beyond a bound, like the rules that the client leaves out.
func (c *Collector) updateAlarms(s *Snapshot) alarmCounts {
	updated, forgotten := c.history.alarms.update(s.tasks)
	if forgotten > 0 {
		s.unknown[unknownValue{"ruleToRecentlyTriggerCount", ""}] += forgotten
	}
	return updated
}

// logFailure logs why a scrape has no tasks. Failures of a kind are logged once a minute,
// however often the port is asked. A scraper that hung up is no failure.
func (c *Collector) logFailure(s *Snapshot) {
	reason := omsclient.ReasonOf(s.err)
	if reason == omsclient.Canceled {
		level.Debug(c.options.Logger).Log("msg", "scrape canceled", "duration", s.duration)
		return
	}
	kind := failureKind{reason: reason}
	var e *omsclient.Error
	if errors.As(s.err, &e) {
		kind.status = e.StatusCode
	}
	if reason == omsclient.Credentials {
		kind.file = s.err.Error()
	}
	c.logOften(level.Error, kind,
		"msg", "cannot list the tasks of OMS", "reason", reason, "err", s.err, "duration", s.duration)
}

// logInconsistent logs that a complete listing has not as many tasks as OMS counts.
func (c *Collector) logInconsistent(s *Snapshot) {
	if s.report.Inconsistent {
		c.logOften(level.Warn, inconsistent,
			"msg", "the tasks that OMS lists are not as many as it counts",
			"listed", s.listed(), "counted", s.report.Total.Value)
	}
}

// logOften logs what may happen at every scrape: once a minute, and how often meanwhile.
func (c *Collector) logOften(
	at func(log.Logger) log.Logger, kind failureKind, line ...any,
) {
	since, due := c.history.failures.due(kind)
	if !due {
		return
	}
	if since > 0 {
		line = append(line, "more_since_last_line", since)
	}
	at(c.options.Logger).Log(line...)
}

// reportUnknown counts the unknown values, and logs each once. What could not be read
// at all is counted but not named: it may be anything, even a secret.
func (c *Collector) reportUnknown(s *Snapshot) {
	for field, n := range s.report.Dropped {
		s.unknown[unknownValue{field, ""}] += n
	}
	for field, n := range s.report.NotUTF8 {
		s.unknown[unknownValue{field, "(not UTF-8)"}] += n
	}
	for v, n := range s.unknown {
		c.options.Metrics.unknown.WithLabelValues(v.field).Add(float64(n))
		if c.history.isNew(v) {
			level.Warn(c.options.Logger).Log("msg", "OMS sent an unknown or unreadable value",
				"field", v.field, "value", printable(v.value))
		}
	}
}

// printable returns the beginning of a text of OMS's with a question mark in place of
// what could move the cursor or turn the direction of a terminal.
func printable(text string) string {
	const most = 64
	runes := []rune(text)
	runes = runes[:min(len(runes), most)]
	for i, r := range runes {
		if !unicode.IsGraphic(r) {
			runes[i] = '?'
		}
	}
	return string(runes)
}
