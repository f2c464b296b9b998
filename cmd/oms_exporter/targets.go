package main

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-kit/log"
	"github.com/go-kit/log/level"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"

	"oms_exporter/collector"
	"oms_exporter/omsclient"
)

// A target is an OMS that is scraped.
type target struct {
	name      string // or flagsTarget
	config    *targetConfig
	collector *collector.Collector
	client    *omsclient.Client
	http      *http.Client
	own       *prometheus.Registry // of the exporter's own metrics about it
	limits    *limits
	lookout   lookout
	timeout   time.Duration // of a scrape
}

// displayName is the name of a target where one must be shown.
func displayName(name string) string { return cmp.Or(name, "(flags)") }

// A transportWrapper puts something between the HTTP client of a target and OMS.
type transportWrapper func(target string, next http.RoundTripper) http.RoundTripper

// direct puts nothing there.
func direct(_ string, next http.RoundTripper) http.RoundTripper { return next }

// targets are all OMS that are scraped. Reloading the configuration changes them
// while they are in use.
type targets struct {
	load       func() (*fileConfig, error) // reads the configuration
	scrape     *scrapeSettings
	answers    int // of a target that may be sent at once; 0: no limit
	wrap       transportWrapper
	logger     log.Logger
	reloads    *collector.Reloads
	refused    atomic.Pointer[time.Time] // when the last reload was; nil: it was not
	loaded     atomic.Pointer[time.Time] // when the configuration in use was loaded
	thresholds atomic.Pointer[collector.Thresholds]

	reloading sync.Mutex
	current   atomic.Pointer[map[string]*target]
}

// newTargets loads the configuration for the first time. The number of answers is how many
// of a target may be sent at once; 0 means no limit.
func newTargets(
	load func() (*fileConfig, error), scrape *scrapeSettings, own prometheus.Registerer,
	logger log.Logger, wrap transportWrapper, answers int,
) (*targets, error) {
	t := &targets{
		load: load, scrape: scrape, wrap: wrap, logger: logger, reloads: collector.NewReloads(own),
		answers: answers,
	}
	t.current.Store(&map[string]*target{})
	if err := t.reload(); err != nil {
		return nil, err
	}
	return t, nil
}

// newTargetsOnce returns targets for a command that neither reloads, serves nor logs.
func newTargetsOnce(
	loaded *fileConfig, scrape *scrapeSettings, wrap transportWrapper,
) (*targets, error) {
	load := func() (*fileConfig, error) { return loaded, nil }
	return newTargets(load, scrape, prometheus.NewRegistry(), log.NewNopLogger(), wrap, 0)
}

// listOnce lists the tasks of a target for a command. What there is to ask about single tasks is
// asked after a listing and is in the next one, so if OMS has answered anything there is one more.
func (t *target) listOnce(ctx context.Context) *collector.Snapshot {
	ctx, cancel := context.WithTimeout(ctx, t.timeout)
	defer cancel()
	answers := func() (n int) {
		for _, look := range t.collector.Looks() {
			n += look.Asked - look.Failed
		}
		return n
	}
	before := answers()
	s := t.collector.Scrape(ctx)
	t.collector.Settle()
	if answers() > before {
		s = t.collector.Scrape(ctx)
	}
	return s
}

// reload reads the configuration. A mistake anywhere in it leaves everything as
// it was. Targets that stay the same keep their connections and counters.
func (t *targets) reload() error {
	t.reloading.Lock()
	defer t.reloading.Unlock()
	err := t.replace()
	t.reloads.Loaded(err)
	if t.refused.Store(nil); err != nil {
		now := time.Now().UTC()
		t.refused.Store(&now)
	}
	return err
}

// refusedReload returns when the last reload was refused, or nil.
func (t *targets) refusedReload() *time.Time { return t.refused.Load() }

func (t *targets) replace() error {
	loaded, err := t.load()
	if err != nil {
		return err
	}
	before := *t.current.Load()
	after := make(map[string]*target, len(loaded.Targets))
	for _, name := range slices.Sorted(maps.Keys(loaded.Targets)) {
		cfg := loaded.Targets[name]
		if old := before[name]; old != nil && reflect.DeepEqual(old.config, cfg) {
			after[name] = old
		} else if after[name], err = t.newTarget(name, cfg); err != nil {
			return usageError{errors.New(loaded.source.say(problem{keyOfTarget(name, "url"), err.Error()}))}
		}
	}
	for _, warning := range loaded.warnings(t.scrape) {
		level.Warn(t.logger).Log("msg", warning)
	}
	t.thresholds.Store(loaded.DelayThresholds.thresholds())
	t.current.Store(&after)
	now := time.Now().UTC()
	t.loaded.Store(&now)
	for name, old := range before {
		if after[name] != old {
			old.lookout.clear()
		}
		old.http.CloseIdleConnections() // those that stay may have moved to another address
	}
	return nil
}

func (t *targets) newTarget(name string, cfg *targetConfig) (*target, error) {
	credentials := &credentials{config: cfg.HTTPClient, setting: settingsOf(name)}
	hc := &http.Client{Transport: t.wrap(name, credentials)}
	settings, err := cfg.clientOptions()
	if err != nil {
		return nil, err
	}
	settings.Credentials = credentials.Fingerprint
	client, err := omsclient.New(cfg.URL, hc, settings)
	if err != nil {
		return nil, err
	}
	own := prometheus.NewRegistry()
	registerer, logger := prometheus.Registerer(own), t.logger
	if name != flagsTarget {
		registerer = prometheus.WrapRegistererWith(prometheus.Labels{"target": name}, own)
		logger = log.With(logger, "target", name)
	}
	options := cfg.collectorOptions()
	options.Timeout = cmp.Or(options.Timeout, t.scrape.timeout)
	options.Without = func(group string) bool { return !*t.scrape.groups[group] && !cfg.wants(group) }
	options.VerifyResult, options.Components = client.VerifyResult, client.Components
	options.Thresholds, options.Logger = t.thresholds.Load, logger
	options.Metrics = collector.NewMetrics(registerer)
	if changed, err := cfg.passwordChanged(); err == nil && !changed.IsZero() { // it has been checked
		options.Metrics.CredentialsChanged(changed)
	}
	options.Pace = rate.NewLimiter(2, 3) // a second, after a burst
	options.Room = collector.NewRoom(t.answers)
	return &target{
		name: name, config: cfg, http: hc, client: client, own: own,
		collector: collector.New(client.List, options), limits: newLimits(t.answers),
		timeout: options.Timeout,
	}, nil
}

// get returns a target by its name, or nil.
func (t *targets) get(name string) *target { return (*t.current.Load())[name] }

// all returns the targets, sorted by name.
func (t *targets) all() []*target {
	current := *t.current.Load()
	all := make([]*target, 0, len(current))
	for _, name := range slices.Sorted(maps.Keys(current)) {
		all = append(all, current[name])
	}
	return all
}

// gatherers returns the exporter's own metrics about each target.
func (t *targets) gatherers() prometheus.Gatherers {
	var gatherers prometheus.Gatherers
	for _, target := range t.all() {
		gatherers = append(gatherers, target.own)
	}
	return gatherers
}

// close ends the listings that are under way, and closes the connections.
func (t *targets) close() {
	for _, target := range t.all() {
		target.collector.Close()
		target.http.CloseIdleConnections()
	}
}
