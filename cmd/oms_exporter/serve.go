package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/go-kit/log"
	"github.com/go-kit/log/level"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/config"
	"github.com/prometheus/common/version"
	"github.com/prometheus/exporter-toolkit/web"
	sloggokit "github.com/tjhop/slog-gokit"

	"oms_exporter/collector"
	"oms_exporter/omsclient"
)

// serve exports the tasks of an OMS until ctx is done.
func serve(ctx context.Context, s *serveSettings, stderr io.Writer) error {
	base := newLogger(stderr, s.log)
	logger := stamped(base)
	if err := s.check(); err != nil {
		return err
	}
	oms, err := newOMSClient(&s.oms, logger)
	if err != nil {
		return err
	}
	defer oms.close()
	for _, status := range s.scrape.excludeStatuses {
		if !slices.Contains(omsclient.Statuses, status) {
			level.Warn(logger).Log("msg", "--oms.exclude-status has an unknown status; is it new?",
				"status", status)
		}
	}
	registry := prometheus.NewRegistry()
	target := collector.New(oms.client.List, collector.Options{
		Timeout:         s.scrape.timeout,
		Without:         func(group string) bool { return !*s.scrape.groups[group] },
		ExcludeStatuses: s.scrape.excludeStatuses,
		MaxTasks:        s.scrape.maxTasks,
		Logger:          logger,
		Metrics:         collector.NewMetrics(registry),
	})
	collector.NewReloads(registry).Loaded(nil)
	handler, err := newHandler(target, registry, s, bridged(base))
	if err != nil {
		return err
	}
	level.Info(logger).Log("msg", "starting oms_exporter", "version", version.Info(), "oms", s.oms.url)
	return listenAndServe(ctx, handler, &s.web, base)
}

// check refuses what makes no sense, before anything listens.
func (s *serveSettings) check() error {
	switch {
	case s.oms.url == "":
		return usagef("no OMS: give --oms.url or OMS_URL, such as https://oms.example:8089 " +
			"(or try: oms_exporter demo)")
	case s.oms.pageSize < 1 || s.oms.pageSize > omsclient.MaxPageSize:
		return usagef("--oms.page-size=%d: OMS takes 1 to %d", s.oms.pageSize, omsclient.MaxPageSize)
	case s.oms.concurrency < 1:
		return usagef("--oms.concurrency=%d: at least 1", s.oms.concurrency)
	case s.scrape.timeout <= 0:
		return usagef("--scrape.timeout=%s: must be more than 0", s.scrape.timeout)
	case s.scrape.timeoutOffset < 0:
		return usagef("--scrape.timeout-offset=%s: must not be negative", s.scrape.timeoutOffset)
	case s.scrape.maxTasks < 0:
		return usagef("--scrape.max-tasks=%d: must not be negative", s.scrape.maxTasks)
	case s.web.maxRequests < 0:
		return usagef("--web.max-requests=%d: must not be negative", s.web.maxRequests)
	case !strings.HasPrefix(s.web.telemetryPath, "/"):
		return usagef("--web.telemetry-path=%q: must begin with a slash", s.web.telemetryPath)
	}
	if err := web.Validate(s.web.configFile); err != nil {
		return usagef("--web.config.file: %w", err)
	}
	return nil
}

// An omsClient calls an OMS with the credentials and certificates of the flags.
type omsClient struct {
	client *omsclient.Client
	http   *http.Client
}

func newOMSClient(s *omsSettings, logger log.Logger) (*omsClient, error) {
	cfg, err := httpClientConfig(s, logger)
	if err != nil {
		return nil, err
	}
	agent := config.WithUserAgent("oms_exporter/" + version.Version)
	hc, err := config.NewClientFromConfig(cfg, "oms", agent)
	if err != nil {
		return nil, usagef("--oms.ca-file: %w", err) // the only part that is read here
	}
	client, err := omsclient.New(s.url, hc, omsclient.Options{
		PageSize: s.pageSize, Concurrency: s.concurrency,
	})
	if err != nil {
		return nil, usagef("--oms.url: %w", err)
	}
	return &omsClient{client, hc}, nil
}

// close gives up the connections that are not in use.
func (c *omsClient) close() { c.http.CloseIdleConnections() }

// httpClientConfig says how to call OMS. A file with the password goes before
// the password.
func httpClientConfig(s *omsSettings, logger log.Logger) (config.HTTPClientConfig, error) {
	cfg := config.HTTPClientConfig{
		TLSConfig:   config.TLSConfig{CAFile: s.caFile, InsecureSkipVerify: s.insecureSkipVerify},
		EnableHTTP2: true,
	}
	if s.insecureSkipVerify {
		level.Warn(logger).Log("msg", "--oms.insecure-skip-verify: the certificate of OMS is not "+
			"verified; anyone in between can read the password")
	}
	switch {
	case s.username == "" && s.passwordFile == "" && s.password == "":
		level.Warn(logger).Log("msg", "no --oms.username: requests to OMS carry no credentials")
		return cfg, nil
	case s.username == "":
		return cfg, usagef("a password without an account: give --oms.username or OMS_USERNAME")
	case s.passwordFile == "" && s.password == "":
		return cfg, usagef("no password for --oms.username: give --oms.password-file, " +
			"or OMS_PASSWORD in the environment")
	case s.passwordFile != "":
		content, err := os.ReadFile(s.passwordFile)
		if err != nil {
			return cfg, usagef("--oms.password-file: %w", err)
		}
		if len(bytes.TrimSpace(content)) == 0 {
			return cfg, usagef("--oms.password-file: %s is empty", filepath.Clean(s.passwordFile))
		}
		cfg.BasicAuth = &config.BasicAuth{Username: s.username, PasswordFile: s.passwordFile}
	default:
		cfg.BasicAuth = &config.BasicAuth{Username: s.username, Password: config.Secret(s.password)}
	}
	return cfg, nil
}

// listenAndServe answers requests until ctx is done, and then lets those under
// way finish.
func listenAndServe(
	ctx context.Context, handler http.Handler, s *webSettings, base log.Logger,
) error {
	const longest = 10 * time.Second // for those under way
	logger := bridged(base)
	server := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 5 * time.Second,
		ErrorLog:          slog.NewLogLogger(logger.Handler(), slog.LevelWarn),
	}
	stopped := make(chan error, 1)
	stop := context.AfterFunc(ctx, func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), longest)
		defer cancel()
		stopped <- server.Shutdown(ctx)
	})
	err := web.ListenAndServe(server, &web.FlagConfig{
		WebListenAddresses: &s.listenAddresses,
		WebSystemdSocket:   &s.systemdSocket,
		WebConfigFile:      &s.configFile,
	}, logger)
	if stop() || !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	err = <-stopped
	level.Info(stamped(base)).Log("msg", "stopped")
	return err
}

// bridged returns a logger for libraries that log by slog. It adds the time
// itself, and leaves the level to the logger below.
func bridged(base log.Logger) *slog.Logger {
	return slog.New(sloggokit.NewGoKitHandler(base, slog.LevelDebug))
}
