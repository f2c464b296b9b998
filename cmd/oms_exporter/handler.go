package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/pprof"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	versioncollector "github.com/prometheus/client_golang/prometheus/collectors/version"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/common/version"
	"github.com/prometheus/exporter-toolkit/web"

	"oms_exporter/collector"
)

// newHandler returns what the exporter serves. The registry holds its own
// metrics.
func newHandler(
	target *collector.Collector, registry *prometheus.Registry, s *serveSettings, logger *slog.Logger,
) (http.Handler, error) {
	landing, err := web.NewLandingPage(web.LandingConfig{
		Name:        "oms_exporter",
		Description: "Prometheus exporter for the tasks of OceanBase Migration Service",
		Version:     version.Info(),
		Profiling:   strconv.FormatBool(s.web.enablePprof),
		Links: []web.LandingLinks{
			{Address: s.web.telemetryPath, Text: "Metrics", Description: "lists all tasks of OMS"},
			{Address: "/-/healthy", Text: "Healthy", Description: "the exporter runs"},
			{Address: "/-/ready", Text: "Ready", Description: "the exporter takes requests"},
		},
	})
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("GET /", landing)
	mux.HandleFunc("GET /-/healthy", fixedText("oms_exporter is healthy.\n"))
	mux.HandleFunc("GET /-/ready", fixedText("oms_exporter is ready.\n"))
	if s.web.enablePprof {
		mux.HandleFunc("GET /debug/pprof/", pprof.Index)
		mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
		mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
		mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	}
	metrics := newMetricsHandler(target, registry, s, logger)
	if err := handle(mux, "GET "+s.web.telemetryPath, metrics); err != nil {
		return nil, usagef("--web.telemetry-path=%s: %w", s.web.telemetryPath, err)
	}
	return mux, nil
}

// handle registers a handler under a pattern that a user has chosen, about which
// a mux panics if it is malformed or taken.
func handle(mux *http.ServeMux, pattern string, handler http.Handler) (err error) {
	defer func() {
		if recover() != nil { // the words of the mux are several lines, with paths of the build
			err = errors.New("malformed, or the exporter serves something else there")
		}
	}()
	mux.Handle(pattern, handler)
	return nil
}

func fixedText(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		fmt.Fprint(w, text)
	}
}

// newMetricsHandler returns the handler of scrapes.
func newMetricsHandler(
	target *collector.Collector, registry *prometheus.Registry, s *serveSettings, logger *slog.Logger,
) http.Handler {
	gatherers := prometheus.Gatherers{}
	if !s.web.disableExporterMetrics {
		registry.MustRegister(
			versioncollector.NewCollector("oms_exporter"),
			collectors.NewGoCollector(),
			collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		)
		gatherers = append(gatherers, registry)
	}
	scrape := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := withBudget(r, s.scrape.timeoutOffset)
		defer cancel()
		tasks := prometheus.NewRegistry()
		//nolint:contextcheck // overlapping scrapes share a listing that outlives each of them
		tasks.MustRegister(target.Scrape(ctx))
		// The tasks come first, so that the exporter's own metrics know this scrape.
		promhttp.HandlerFor(append(prometheus.Gatherers{tasks}, gatherers...), promhttp.HandlerOpts{
			ErrorLog:          slog.NewLogLogger(logger.Handler(), slog.LevelError),
			EnableOpenMetrics: true,
		}).ServeHTTP(w, r)
	})
	handler := limited(s.web.maxRequests, scrape)
	if s.web.disableExporterMetrics {
		return handler
	}
	return promhttp.InstrumentMetricHandler(registry, handler)
}

// withBudget returns the context of a scrape. Prometheus says in a header when
// it will give up, and is to have the answer a little earlier.
func withBudget(r *http.Request, offset time.Duration) (context.Context, context.CancelFunc) {
	seconds, err := strconv.ParseFloat(r.Header.Get("X-Prometheus-Scrape-Timeout-Seconds"), 64)
	if err != nil || !(seconds > 0) || seconds > 24*3600 {
		return context.WithCancel(r.Context())
	}
	timeout := time.Duration(seconds * float64(time.Second))
	if timeout > offset {
		timeout -= offset
	}
	return context.WithTimeout(r.Context(), timeout)
}

// limited refuses requests beyond so many at once; 0 is no limit.
func limited(most int, next http.Handler) http.Handler {
	if most == 0 {
		return next
	}
	places := make(chan struct{}, most)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case places <- struct{}{}:
			defer func() { <-places }()
			next.ServeHTTP(w, r)
		default:
			http.Error(w, fmt.Sprintf("limit of concurrent requests reached (%d), try again later", most),
				http.StatusServiceUnavailable)
		}
	})
}
