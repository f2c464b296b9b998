package main

import (
	"bytes"
	"fmt"
	"maps"
	"net/http"
	"os"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-kit/log"
	"github.com/go-kit/log/level"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/config"
	"github.com/prometheus/common/version"

	"oms_exporter/collector"
	"oms_exporter/omsclient"
)

// A target is an OMS that is scraped.
type target struct {
	name      string // empty for the one that flags are about
	config    *targetConfig
	collector *collector.Collector
	http      *http.Client
	own       *prometheus.Registry // what the exporter counts of it
}

// newHTTPClient returns the client that calls the OMS of a target.
func newHTTPClient(c *targetConfig) (*http.Client, error) {
	cfg := c.HTTPClient
	cfg.FollowRedirects = false
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	for _, file := range secretFiles(&cfg) {
		if err := checkFile(file); err != nil {
			return nil, err
		}
	}
	return config.NewClientFromConfig(cfg, "oms",
		config.WithUserAgent("oms_exporter/"+version.Version))
}

// checkFile refuses a file that cannot be read or has nothing in it.
func checkFile(name string) error {
	content, err := os.ReadFile(name)
	if err == nil && len(bytes.TrimSpace(content)) == 0 {
		err = fmt.Errorf("%s is empty", name)
	}
	return err
}

// secretFiles are the files that credentials are read from for each request.
func secretFiles(c *config.HTTPClientConfig) []string {
	var files []string
	if c.BasicAuth != nil {
		files = append(files, c.BasicAuth.UsernameFile, c.BasicAuth.PasswordFile)
	}
	if c.Authorization != nil {
		files = append(files, c.Authorization.CredentialsFile)
	}
	return slices.DeleteFunc(files, func(name string) bool { return name == "" })
}

// newClient returns the client of a target's OMS.
func newClient(c *targetConfig) (*omsclient.Client, *http.Client, error) {
	hc, err := newHTTPClient(c)
	if err != nil {
		return nil, nil, fmt.Errorf("http_client: %w", err)
	}
	if c.wrap != nil {
		hc.Transport = c.wrap(hc.Transport)
	}
	client, err := omsclient.New(c.URL, hc, omsclient.Options{
		PageSize: c.PageSize, Concurrency: c.Concurrency, Filter: c.Filter.filter(),
		PageTimeout: time.Duration(c.PageTimeout),
	})
	if err != nil {
		return nil, nil, fmt.Errorf("url: %w", err)
	}
	return client, hc, nil
}

// targets are all OMS that are scraped. What they are can be loaded anew at any
// time.
type targets struct {
	load       func() (*fileConfig, error) // reads the configuration
	scrape     *scrapeSettings
	logger     log.Logger
	reloads    *collector.Reloads
	thresholds atomic.Pointer[collector.Thresholds]

	reloading sync.Mutex
	current   atomic.Pointer[map[string]*target]
}

// newTargets loads the configuration for the first time.
func newTargets(
	load func() (*fileConfig, error), scrape *scrapeSettings, own prometheus.Registerer,
	logger log.Logger,
) (*targets, error) {
	t := &targets{load: load, scrape: scrape, logger: logger, reloads: collector.NewReloads(own)}
	t.current.Store(&map[string]*target{})
	if err := t.reload(); err != nil {
		return nil, err
	}
	return t, nil
}

// reload reads the configuration. If there is anything wrong with it, nothing
// changes. Targets that it does not change keep connections and counters.
func (t *targets) reload() error {
	t.reloading.Lock()
	defer t.reloading.Unlock()
	err := t.replace()
	t.reloads.Loaded(err)
	return err
}

func (t *targets) replace() error {
	loaded, err := t.load()
	if err != nil {
		return err
	}
	before := *t.current.Load()
	after := make(map[string]*target, len(loaded.Targets))
	for name, cfg := range loaded.Targets {
		if old := before[name]; old != nil && reflect.DeepEqual(old.config, cfg) {
			after[name] = old
			continue
		}
		if after[name], err = t.newTarget(name, cfg); err != nil && name == "" {
			return usagef("--oms.%w", err) // what is wrong is the url
		} else if err != nil {
			return usagef("targets: %s: %w", name, err)
		}
	}
	t.thresholds.Store(loaded.DelayThresholds.thresholds())
	t.current.Store(&after)
	for name, old := range before {
		if after[name] != old {
			old.http.CloseIdleConnections()
		}
	}
	return nil
}

func (t *targets) newTarget(name string, cfg *targetConfig) (*target, error) {
	client, hc, err := newClient(cfg)
	if err != nil {
		return nil, err
	}
	own := prometheus.NewRegistry()
	registerer, logger := prometheus.Registerer(own), t.logger
	if name != "" {
		registerer = prometheus.WrapRegistererWith(prometheus.Labels{"target": name}, own)
		logger = log.With(logger, "target", name)
	}
	warnings(cfg, logger)
	timeout := time.Duration(cfg.Timeout)
	if timeout == 0 {
		timeout = t.scrape.timeout
	}
	return &target{
		name: name, config: cfg, http: hc, own: own,
		collector: collector.New(client.List, collector.Options{
			Timeout: timeout,
			Without: func(group string) bool { return !*t.scrape.groups[group] },
			Exclude: collector.Exclude{
				Statuses: cfg.Exclude.Statuses, Names: cfg.Exclude.Names.Regexp, Tags: cfg.Exclude.Tags,
			},
			MaxTasks:   cfg.MaxTasks,
			Thresholds: t.thresholds.Load,
			Logger:     logger,
			Metrics:    collector.NewMetrics(registerer),
		}),
	}, nil
}

// warnings logs what is allowed but may not be meant.
func warnings(c *targetConfig, logger log.Logger) {
	if c.HTTPClient.TLSConfig.InsecureSkipVerify {
		level.Warn(logger).Log("msg", "insecure_skip_verify: the certificate of OMS is not verified; "+
			"anyone in between can read the password")
	}
	if c.HTTPClient.BasicAuth == nil && c.HTTPClient.Authorization == nil &&
		c.HTTPClient.OAuth2 == nil && c.HTTPClient.HTTPHeaders == nil {
		level.Warn(logger).Log("msg", "no account: requests to OMS carry no credentials")
	}
	for _, status := range c.unknownStatuses() {
		level.Warn(logger).Log("msg", "a filter or exclusion has an unknown status; is it new?",
			"status", status)
	}
}

// get returns a target by its name, or nil.
func (t *targets) get(name string) *target { return (*t.current.Load())[name] }

// all returns the targets, ordered by name.
func (t *targets) all() []*target {
	current := *t.current.Load()
	all := make([]*target, 0, len(current))
	for _, name := range slices.Sorted(maps.Keys(current)) {
		all = append(all, current[name])
	}
	return all
}

// gatherers return what the exporter counts of each target.
func (t *targets) gatherers() prometheus.Gatherers {
	var gatherers prometheus.Gatherers
	for _, target := range t.all() {
		gatherers = append(gatherers, target.own)
	}
	return gatherers
}

// close gives up the connections that are not in use.
func (t *targets) close() {
	for _, target := range t.all() {
		target.http.CloseIdleConnections()
	}
}
