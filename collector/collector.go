// Package collector turns the projects of an OMS into metrics.
//
// A [Collector] lists all projects for each scrape, into a [Snapshot] of metrics. No
// task is kept from one scrape to the next, so one that is gone leaves no series. A
// scrape is all or nothing: if any page of the listing fails, the snapshot has no
// tasks, and oms_up is 0.
//
// # Usage
//
// A program with a registry of its own registers a collector like any other. Each
// gathering then lists once, within [Options].Timeout:
//
//	client, err := omsclient.New("https://oms.example:8089", httpClient, omsclient.Options{})
//	if err != nil {
//		return err
//	}
//	registry.MustRegister(collector.New(client.List, collector.Options{}))
//
// An exporter scrapes for each request, within the context of that request, and writes
// the snapshot without a registry, which takes a fraction of the time and memory:
//
//	snapshot := c.Scrape(r.Context())
//	err := snapshot.Encode(r.Context(), w, expfmt.NewFormat(expfmt.TypeTextPlain), nil, nil)
//
// Both ways write the same, byte for byte; the tests compare them.
//
// # Metrics
//
// Every metric of OMS is declared once, in metrics.go: its name, its help, and how
// it is read. [Docs] describes them. The exporter's metrics about itself are
// instruments that count over time; see [Metrics] and [Reloads].
package collector

import (
	"context"
	"iter"
	"regexp"
	"slices"
	"sync"
	"time"

	"github.com/go-kit/log"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"

	"oms_exporter/omsclient"
)

// A ListFunc iterates over all projects of an OMS, and fills in the report. An error
// ends the iteration. [omsclient.Client.List] is one.
type ListFunc func(context.Context, *omsclient.Report) iter.Seq2[omsclient.Project, error]

// Options are the settings of a collector. The zero value is useful.
type Options struct {
	Timeout    time.Duration           // the most a scrape takes; 0: 30 seconds
	Without    func(group string) bool // whether to leave out one of Groups; nil: none
	Exclude    Exclude                 // tasks that get no series
	MaxTasks   int                     // what a listing may take of memory is for so many; 0: no limit
	Thresholds func() *Thresholds      // called for each scrape; nil: no thresholds
	Logger     log.Logger              // nil: no log
	Metrics    *Metrics                // counts what the collector does; nil: nothing counts
	Pace       *rate.Limiter           // of listings; nil: scrapes set it
	Room       *Room                   // for the snapshots in use; nil: no limit

	// How OMS is asked about single tasks, if the groups verify and component are not
	// left out; nil: it is not asked. [omsclient.Client.VerifyResult] and
	// [omsclient.Client.Components] do.
	VerifyResult LookFunc[omsclient.VerifyResult]
	Components   LookFunc[[]omsclient.Component]
}

// An Exclude names tasks by any one of their properties.
type Exclude struct {
	Statuses []string
	Names    *regexp.Regexp // nil: none
	Tags     []string       // names of tags
}

// match returns which property of a task excludes it, the first if there are several:
// "status", "name" or "tag". It is empty if none does.
func (e *Exclude) match(t *task) string {
	switch {
	case slices.Contains(e.Statuses, t.Status):
		return "status"
	case e.Names != nil && e.Names.MatchString(t.Name):
		return "name"
	case slices.ContainsFunc(e.Tags, t.hasTag):
		return "tag"
	}
	return ""
}

// A Collector scrapes an OMS. It is a [prometheus.Collector], and safe for
// concurrent use: scrapes that overlap share a listing.
type Collector struct {
	list       ListFunc
	options    Options
	tables     []table[*Snapshot]
	flights    flights
	looks      []looker
	background *background

	mu      sync.Mutex
	history history // guarded by mu
}

// New returns a collector of the projects that list iterates over.
func New(list ListFunc, options Options) *Collector {
	if options.Timeout == 0 {
		options.Timeout = 30 * time.Second
	}
	if options.Without == nil {
		options.Without = func(string) bool { return false }
	}
	if options.Thresholds == nil {
		options.Thresholds = func() *Thresholds { return nil }
	}
	if options.Logger == nil {
		options.Logger = log.NewNopLogger()
	}
	if options.Metrics == nil {
		options.Metrics = NewMetrics(prometheus.NewRegistry())
	}
	c := &Collector{
		list:    withinBudget(list, options.MaxTasks),
		options: options,
		tables:  tablesWithout(options.Without),
		history: newHistory(), background: newBackground(),
	}
	if ask := options.VerifyResult; ask != nil && !options.Without(verifyGroup) {
		c.looks = append(c.looks, newLook(verifications(ask), &c.options, c.background))
	}
	if ask := options.Components; ask != nil && !options.Without(componentsGroup) {
		c.looks = append(c.looks, newLook(troubles(ask), &c.options, c.background))
	}
	c.flights = flights{
		take: c.takeSnapshot, joined: options.Metrics.coalesced, most: options.Timeout,
		room: options.Room, background: c.background,
	}
	return c
}

// Close cancels the listings and the questions about single tasks that are under way, and
// waits until they have ended. Scrapes after it fail.
func (c *Collector) Close() { c.background.close() }

func tablesWithout(omit func(group string) bool) []table[*Snapshot] {
	var tables []table[*Snapshot]
	for _, t := range catalogue {
		if t = t.without(omit); t != nil {
			tables = append(tables, t)
		}
	}
	return tables
}

// Describe implements [prometheus.Collector].
func (c *Collector) Describe(ch chan<- *prometheus.Desc) {
	for _, t := range c.tables {
		t.describe(ch)
	}
}

// Collect implements [prometheus.Collector]. It cannot be canceled; Scrape can.
func (c *Collector) Collect(ch chan<- prometheus.Metric) {
	c.Scrape(context.Background()).Collect(ch)
}
