package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/go-kit/log"
	"github.com/go-kit/log/level"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/config"
	"github.com/prometheus/common/model"
	"github.com/prometheus/common/version"
	"github.com/prometheus/exporter-toolkit/web"
	sloggokit "github.com/tjhop/slog-gokit"

	"oms_exporter/omsclient"
)

// serve exports the tasks of one OMS or of several until ctx is done.
func serve(ctx context.Context, s *serveSettings, stderr io.Writer) error {
	base := newLogger(stderr, s.log)
	logger := stamped(base)
	if err := s.check(); err != nil {
		return err
	}
	own := prometheus.NewRegistry()
	targets, err := newTargets(s.oms.load, &s.scrape, own, logger)
	if err != nil {
		return err
	}
	defer targets.close()
	handler, err := newHandler(targets, own, s, base)
	if err != nil {
		return err
	}
	level.Info(logger).Log("msg", "starting oms_exporter", "version", version.Info(),
		"targets", len(targets.all()))
	defer reloadOnSignal(targets, logger)()
	return listenAndServe(ctx, handler, &s.web, base)
}

// reloadOnSignal loads the configuration anew at each SIGHUP, until it is
// stopped.
func reloadOnSignal(t *targets, logger log.Logger) (stop func()) {
	signals, done := make(chan os.Signal, 1), make(chan struct{})
	signal.Notify(signals, syscall.SIGHUP)
	go func() {
		defer close(done)
		for range signals {
			logReload(t.reload(), logger)
		}
	}()
	return func() {
		signal.Stop(signals)
		close(signals)
		<-done
	}
}

// notLoaded is what is said of a configuration that has a mistake.
const notLoaded = "the configuration was not loaded; the former one stands"

func logReload(err error, logger log.Logger) {
	if err != nil {
		level.Error(logger).Log("msg", notLoaded, "err", err)
		return
	}
	level.Info(logger).Log("msg", "loaded the configuration")
}

// check refuses what makes no sense, before anything listens.
func (s *serveSettings) check() error {
	switch {
	case s.oms.configFile != "" && s.oms.url != "":
		return usagef("--config.file and --oms.url (or OMS_URL): give one of them")
	case s.oms.configFile == "" && s.oms.url == "":
		return usagef("no OMS: give --oms.url or OMS_URL, such as https://oms.example:8089, " +
			"or --config.file (or try: oms_exporter demo)")
	case s.scrape.timeout <= 0:
		return usagef("--scrape.timeout=%s: must be more than 0", s.scrape.timeout)
	case s.scrape.timeoutOffset < 0:
		return usagef("--scrape.timeout-offset=%s: must not be negative", s.scrape.timeoutOffset)
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

// load returns the configuration: the file's, or the one target of the flags,
// whose name is empty.
func (s *omsSettings) load() (*fileConfig, error) {
	if s.configFile != "" {
		return loadConfig(s.configFile)
	}
	only, err := s.target()
	if err != nil {
		return nil, err
	}
	return &fileConfig{Targets: map[string]*targetConfig{"": only}}, nil
}

// target returns the configuration that the flags make.
func (s *omsSettings) target() (*targetConfig, error) {
	only := defaultTarget()
	only.URL = s.url
	only.PageSize, only.Concurrency, only.MaxTasks = s.pageSize, s.concurrency, s.maxTasks
	only.PageTimeout = model.Duration(s.pageTimeout)
	only.Exclude.Statuses = s.excludeStatuses
	only.HTTPClient.TLSConfig = config.TLSConfig{
		CAFile: s.caFile, InsecureSkipVerify: s.insecureSkipVerify,
	}
	auth, err := s.basicAuth()
	only.HTTPClient.BasicAuth = auth
	if err != nil {
		return nil, err
	}
	if err := s.checkFiles(); err != nil {
		return nil, err
	}
	switch {
	case s.pageSize < 1 || s.pageSize > omsclient.MaxPageSize:
		return nil, usagef("--oms.page-size=%d: OMS takes 1 to %d", s.pageSize, omsclient.MaxPageSize)
	case s.concurrency < 1:
		return nil, usagef("--oms.concurrency=%d: at least 1", s.concurrency)
	case s.pageTimeout < 0:
		return nil, usagef("--oms.page-timeout=%s: must not be negative", s.pageTimeout)
	case s.maxTasks < 0:
		return nil, usagef("--oms.max-tasks=%d: must not be negative", s.maxTasks)
	}
	return &only, nil
}

func (s *omsSettings) checkFiles() error {
	for flag, file := range map[string]string{
		"--oms.password-file": s.passwordFile, "--oms.ca-file": s.caFile,
	} {
		if file == "" {
			continue
		}
		if err := checkFile(file); err != nil {
			return usagef("%s: %w", flag, err)
		}
	}
	return nil
}

// basicAuth returns the account that the flags name. A file with the password
// goes before the password.
func (s *omsSettings) basicAuth() (*config.BasicAuth, error) {
	switch {
	case s.username == "" && s.passwordFile == "" && s.password == "":
		return nil, nil
	case s.username == "":
		return nil, usagef("a password without an account: give --oms.username or OMS_USERNAME")
	case s.passwordFile == "" && s.password == "":
		return nil, usagef("no password for --oms.username: give --oms.password-file, " +
			"or OMS_PASSWORD in the environment")
	case s.passwordFile != "":
		return &config.BasicAuth{Username: s.username, PasswordFile: s.passwordFile}, nil
	}
	return &config.BasicAuth{Username: s.username, Password: config.Secret(s.password)}, nil
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
