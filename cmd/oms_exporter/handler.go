package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/pprof"
	"os"
	"strings"
	"time"

	"github.com/go-kit/log"
	"github.com/go-kit/log/level"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/time/rate"

	"oms_exporter/collector"
)

// A handler serves all paths of the exporter.
type handler struct {
	targets *targets
	own     *prometheus.Registry // of the exporter's own metrics
	scrape  *scrapeSettings
	web     *webSettings
	limits  *limits // of what is about no target
	logger  log.Logger
	answers answers
	slow    *rate.Sometimes // of warnings of slow scrapers
	site    site
}

func newHandler(
	targets *targets, own *prometheus.Registry, s *serveSettings, base log.Logger,
) (http.Handler, error) {
	h := &handler{
		targets: targets, own: own, scrape: &s.scrape, web: &s.web,
		limits: newLimits(s.web.maxRequests), logger: stamped(base),
		slow: &rate.Sometimes{Interval: time.Minute}, site: newSite(),
	}
	mux := http.NewServeMux()
	h.handlePages(mux)
	mux.HandleFunc("GET /probe", h.probe)
	mux.HandleFunc("GET /sd", h.discover)
	mux.HandleFunc("GET /-/healthy", respond("oms_exporter is healthy.\n"))
	mux.HandleFunc("GET /-/ready", respond("oms_exporter is ready.\n"))
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPut} {
		mux.HandleFunc(method+" /-/reload", h.reload)
	}
	if s.web.enablePprof {
		mux.HandleFunc("GET /debug/pprof/", unhurried(pprof.Index))
		mux.HandleFunc("GET /debug/pprof/cmdline", unhurried(pprof.Cmdline))
		mux.HandleFunc("GET /debug/pprof/profile", unhurried(pprof.Profile))
		mux.HandleFunc("GET /debug/pprof/symbol", unhurried(pprof.Symbol))
		mux.HandleFunc("GET /debug/pprof/trace", unhurried(pprof.Trace))
	}
	var metrics http.Handler = http.HandlerFunc(h.metrics)
	if !s.web.disableExporterMetrics {
		metrics = promhttp.InstrumentMetricHandler(own, metrics)
	}
	if err := handle(mux, "GET "+s.web.telemetryPath, metrics); err != nil {
		return nil, usagef("--web.telemetry-path=%s: %w", s.web.telemetryPath, err)
	}
	return h.guard(mux), nil
}

const (
	policyHeader  = "Content-Security-Policy"
	defaultPolicy = "default-src 'none'; style-src 'unsafe-inline'; " +
		"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

// guard protects all paths: from browsers that other sites direct here, and from clients
// that do not read what they are sent.
func (h *handler) guard(next http.Handler) http.Handler {
	next = http.NewCrossOriginProtection().Handler(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for name, value := range map[string]string{
			"Cache-Control":          "no-store",
			"X-Content-Type-Options": "nosniff",
			policyHeader:             defaultPolicy,
		} {
			if w.Header().Get(name) == "" { // what --web.config.file says stands
				w.Header().Set(name, value)
			}
		}
		w = &steadyWriter{ResponseWriter: w}
		h.budgetOf(r, nil).cutOff(w)
		next.ServeHTTP(w, r)
	})
}

// unhurried gives a handler all the time that it takes. A profile may take minutes.
func unhurried(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		budget{}.cutOff(w)
		next(w, r)
	}
}

// handle registers a handler under a pattern that the user has chosen. A mux
// panics if it is malformed or taken.
func handle(mux *http.ServeMux, pattern string, handler http.Handler) (err error) {
	defer func() {
		if recover() != nil { // the mux's message has several lines, with paths of the build
			err = errors.New("malformed, or the exporter serves something else there")
		}
	}()
	mux.Handle(pattern, handler)
	return nil
}

// handlePages registers the pages for people. The first is that of the tasks, unless it is off.
func (h *handler) handlePages(mux *http.ServeMux) {
	admit := func(pattern string, handle http.HandlerFunc) {
		mux.Handle(pattern, h.limits.admit(handle))
	}
	first := h.tasks
	admit("GET /status", h.status)
	admit("POST /status", h.listNow)
	if h.web.tasksPage {
		admit("POST /{$}", h.listNow)
		admit("GET /tasks", h.tasks)
	} else {
		first = h.status
	}
	admit("GET /", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/" {
			http.NotFound(w, r)
			return
		}
		first(w, r)
	})
}

func respond(body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		fmt.Fprint(w, body)
	}
}

// metrics serves the exporter's own metrics, and the tasks of the OMS that flags
// describe, if any. The exporter's metrics already include this scrape.
func (h *handler) metrics(w http.ResponseWriter, r *http.Request) {
	var others prometheus.Gatherers
	if !h.web.disableExporterMetrics {
		own := append(h.targets.gatherers(), h.own)
		others = prometheus.Gatherers{suited(r, own)}
	}
	h.expose(w, r, h.targets.get(flagsTarget), others)
}

// probe serves the tasks of one target, by its name in the configuration. An
// address could make the exporter send credentials anywhere.
func (h *handler) probe(w http.ResponseWriter, r *http.Request) {
	name := r.URL.Query().Get("target")
	target := h.targets.get(name)
	switch {
	case name == flagsTarget:
		http.Error(w, "which OMS? give the name of a target in the configuration: /probe?target=NAME",
			http.StatusBadRequest)
	case target == nil && strings.Contains(name, "/"):
		http.Error(w, "a target is a name in the configuration, not a URL", http.StatusBadRequest)
	case target == nil:
		http.Error(w, fmt.Sprintf("no target %.100q in the configuration; /sd lists them", name),
			http.StatusNotFound)
	case r.URL.Query().Get("debug") == "true":
		h.explain(w, r, target)
	default:
		h.expose(w, r, target, nil)
	}
}

// budgetOf returns the budget of a request that is about a target, or about none.
func (h *handler) budgetOf(r *http.Request, t *target) budget {
	most := h.scrape.timeout
	if t != nil {
		most = t.timeout
	}
	return budgetOf(r, most, h.scrape.timeoutOffset)
}

// expose answers with the tasks of a target, if there is one, and other metrics.
func (h *handler) expose(
	w http.ResponseWriter, r *http.Request, t *target, others prometheus.Gatherers,
) {
	start := time.Now()
	b := h.budgetOf(r, t)
	b.cutOff(w)
	limits := h.limits
	if t != nil {
		limits = t.limits
	}
	answer := func(tasks *collector.Snapshot) {
		limits.inRoom(w, r, b.waiting, tasks.Tasks(), func() {
			answer := &meter{ResponseWriter: w}
			err := h.write(answer, r, tasks, others)
			h.logAnswer(answer, t, tasks, time.Since(start), err)
			if err != nil {
				panic(http.ErrAbortHandler) // the scraper must not take a part of the answer for all
			}
		})
	}
	limits.admit(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		if t == nil {
			answer(nil)
			return
		}
		scrapeUntil(b.listing, t, r, answer)
	})).ServeHTTP(w, r)
}

func scrapeUntil(deadline time.Time, t *target, r *http.Request, use func(*collector.Snapshot)) {
	ctx, cancel := context.WithDeadline(r.Context(), deadline)
	defer cancel()
	t.use(ctx, use)
}

// logAnswer logs what a scrape was answered, or why it was not.
func (h *handler) logAnswer(
	answer *meter, t *target, tasks *collector.Snapshot, took time.Duration, err error,
) {
	logger := h.logger
	if t != nil && t.name != flagsTarget {
		logger = log.With(logger, "target", t.name)
	}
	switch {
	case errors.Is(answer.err, os.ErrDeadlineExceeded):
		h.slow.Do(func() {
			level.Warn(logger).Log("msg", "a scraper did not read its answer in time and was cut off; "+
				"this is logged once a minute", "bytes", answer.bytes, "duration", took)
		})
	case err != nil && answer.err == nil && !errors.Is(err, context.Canceled):
		level.Error(logger).Log("msg", "cannot write the metrics", "err", err)
	}
	level.Debug(logger).Log("msg", "scrape answered",
		"format", answer.Header().Get("Content-Type"),
		"encoding", answer.Header().Get("Content-Encoding"), "bytes", answer.bytes,
		"shared", tasks != nil && tasks.Shared(), "duration", took, "err", err)
}

// discover serves the targets of the configuration in the format of Prometheus'
// HTTP service discovery. Each is scraped through this exporter, at the address
// by which Prometheus reached it.
func (h *handler) discover(w http.ResponseWriter, r *http.Request) {
	type group struct {
		Targets []string          `json:"targets"`
		Labels  map[string]string `json:"labels"`
	}
	groups := []group{}
	for _, t := range h.targets.all() {
		if t.name == flagsTarget {
			continue // /metrics has it
		}
		labels := maps.Clone(t.config.Labels)
		if labels == nil {
			labels = map[string]string{}
		}
		labels["__metrics_path__"] = "/probe"
		labels["__param_target"] = t.name
		labels["instance"] = t.name
		if r.TLS != nil {
			labels["__scheme__"] = "https"
		}
		groups = append(groups, group{[]string{r.Host}, labels})
	}
	writeJSON(w, groups)
}

func writeJSON(w http.ResponseWriter, v any) {
	body, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(append(body, '\n'))
}

// reload reloads the configuration.
func (h *handler) reload(w http.ResponseWriter, r *http.Request) {
	switch {
	case !h.web.enableLifecycle:
		http.Error(w, "reloading over HTTP is off: start with --web.enable-lifecycle, or send SIGHUP",
			http.StatusForbidden)
	case r.Method != http.MethodPost && r.Method != http.MethodPut:
		w.Header().Set("Allow", "POST, PUT")
		http.Error(w, "to reload, send a POST", http.StatusMethodNotAllowed)
	case r.Header.Get("Origin") != "" || r.Header.Get("Sec-Fetch-Site") != "":
		// A page whose site an attacker has pointed at the exporter looks like one of ours.
		http.Error(w, "browsers cannot reload the configuration: use curl -X POST, or send SIGHUP",
			http.StatusForbidden)
	default:
		err := h.targets.reload()
		logReload(err, h.logger)
		if err != nil { // it may quote the configuration, and anyone may ask
			http.Error(w, notReloaded+"; the log says why", http.StatusInternalServerError)
			return
		}
		fmt.Fprintln(w, reloaded)
	}
}
