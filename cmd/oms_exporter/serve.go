package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/go-kit/log"
	"github.com/go-kit/log/level"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	versioncollector "github.com/prometheus/client_golang/prometheus/collectors/version"
	"github.com/prometheus/common/config"
	"github.com/prometheus/common/version"
	"github.com/prometheus/exporter-toolkit/web"
	sloggokit "github.com/tjhop/slog-gokit"
	"golang.org/x/time/rate"
)

// serve exports the tasks of one or more OMS until ctx is done.
func serve(ctx context.Context, s *serveSettings, stderr io.Writer) error {
	base := newLogger(stderr, s.log)
	logger := stamped(base)
	if err := s.validate(); err != nil {
		return err
	}
	own := newRegistry(&s.web)
	targets, err := newTargets(s.oms.load, &s.scrape, own, logger, direct, s.web.maxRequests)
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

// newRegistry returns the registry of what the exporter says about itself.
func newRegistry(s *webSettings) *prometheus.Registry {
	registry := prometheus.NewRegistry()
	if !s.disableExporterMetrics {
		registry.MustRegister(
			versioncollector.NewCollector("oms_exporter"),
			collectors.NewGoCollector(),
			collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		)
	}
	return registry
}

// reloadOnSignal reloads the configuration on each SIGHUP until it is stopped.
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

// Outcomes of a reload, for the log and for whoever asked for it.
const (
	reloaded    = "configuration reloaded"
	notReloaded = "configuration not reloaded, the previous one stays in use"
)

func logReload(err error, logger log.Logger) {
	if err != nil {
		level.Error(logger).Log("msg", notReloaded, "err", err)
		return
	}
	level.Info(logger).Log("msg", reloaded)
}

// validate rejects flags that make no sense, before anything listens.
func (s *serveSettings) validate() error {
	return cmp.Or(s.oms.validate(), s.scrape.validate(), s.web.validate())
}

func (s *omsSettings) validate() error {
	switch {
	case s.configFile != "" && s.target.URL != "":
		return usagef("--config.file and --oms.url (or OMS_URL) exclude each other")
	case s.configFile == "" && s.target.URL == "":
		return usagef("no OMS: give --oms.url or OMS_URL, such as https://oms.example:8089, " +
			"or --config.file (or try: oms_exporter demo)")
	}
	return nil
}

func (s *scrapeSettings) validate() error {
	if s.timeout == 0 {
		return usagef("--scrape.timeout=%s: must be more than 0", s.timeout)
	}
	return nil
}

func (s *webSettings) validate() error {
	if !strings.HasPrefix(s.telemetryPath, "/") {
		return usagef("--web.telemetry-path=%q: must begin with a slash", s.telemetryPath)
	}
	if text := grafanaURL.wrong(s.grafanaURL); s.grafanaURL != "" && text != "" {
		return usagef("--web.grafana-url: %s", text)
	}
	return validateWebConfig(s.configFile)
}

// checkConfig checks everything that needs neither the network nor a start.
func checkConfig(s *serveSettings, stdout io.Writer) error {
	var loaded *fileConfig
	errs := []error{s.oms.validate(), s.scrape.validate(), s.web.validate()}
	if errs[0] == nil {
		var err error
		loaded, err = s.oms.load()
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	targets, err := newTargetsOnce(loaded, &s.scrape, direct)
	if err != nil {
		return err
	}
	defer targets.close()
	if _, err := newHandler(targets, prometheus.NewRegistry(), s, log.NewNopLogger()); err != nil {
		return err
	}
	for _, warning := range loaded.warnings(&s.scrape) {
		fmt.Fprintln(stdout, "warning:", warning)
	}
	fmt.Fprintf(stdout, "%s: OK, %s\n", cmp.Or(s.oms.configFile, "flags and environment"),
		amount(len(loaded.Targets), "target"))
	return nil
}

// load returns the configuration: that of the file, or the one target of the
// flags.
func (s *omsSettings) load() (*fileConfig, error) {
	if s.configFile != "" {
		return loadConfig(s.configFile)
	}
	target := s.target
	target.URL = trimmed(target.URL)
	var err error
	if target.HTTPClient.BasicAuth, err = s.basicAuth(); err != nil {
		return nil, err
	}
	loaded := &fileConfig{Targets: map[string]*targetConfig{flagsTarget: &target}}
	return loaded, loaded.source.errorOf(loaded.validate())
}

// basicAuth returns the account, or nil if there is none. A password file takes
// precedence over the environment.
func (s *omsSettings) basicAuth() (*config.BasicAuth, error) {
	account := s.account
	account.Username, account.PasswordFile = trimmed(account.Username), trimmed(account.PasswordFile)
	if account.PasswordFile != "" {
		account.Password = ""
	}
	hasPassword := account.PasswordFile != "" || account.Password != ""
	switch {
	case account.Username == "" && !hasPassword:
		return nil, nil
	case account.Username == "":
		return nil, usagef("a password without an account: give --oms.username or OMS_USERNAME")
	case !hasPassword:
		return nil, usagef("no password for --oms.username: give --oms.password-file, " +
			"or OMS_PASSWORD in the environment")
	}
	return &account, nil
}

// listenAndServe answers requests until ctx is done. Then those in progress may finish,
// within a grace period. What is still in progress after it, because OMS or a scraper
// hangs, is cut off; the stop does not fail for that.
func listenAndServe(
	ctx context.Context, handler http.Handler, s *webSettings, base log.Logger,
) error {
	const gracePeriod = 8 * time.Second // a stop is promised to end within ten
	server := newServer(handler, base)
	server.BaseContext = func(l net.Listener) context.Context {
		notifyReady()
		if s.listening != nil {
			s.listening(l.Addr())
		}
		return context.Background()
	}
	stopped := make(chan error, 1)
	stop := context.AfterFunc(ctx, func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), gracePeriod)
		defer cancel()
		err := server.Shutdown(ctx)
		if errors.Is(err, context.DeadlineExceeded) {
			level.Warn(stamped(base)).Log("msg", "requests still in progress are cut off",
				"grace_period", gracePeriod)
			err = server.Close()
		}
		stopped <- err
	})
	err := web.ListenAndServe(server, &web.FlagConfig{
		WebListenAddresses: &s.listenAddresses,
		WebSystemdSocket:   &s.systemdSocket,
		WebConfigFile:      &s.configFile,
	}, bridged(base))
	if errors.Is(err, syscall.EADDRINUSE) {
		err = fmt.Errorf("%w: is another exporter running? "+
			"--web.listen-address takes another address", err)
	}
	if stop() || !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	err = <-stopped
	level.Info(stamped(base)).Log("msg", "stopped")
	return err
}

// What a client may make the server hold for a connection. HTTP/2 opens another connection
// for requests beyond maxStreams.
const (
	maxHeaderBytes = 16 << 10
	maxStreams     = 8 // of HTTP/2, for requests at the same time
)

// newServer returns a server that no client can keep busy for long. How long writing an
// answer may take depends on the request; see [budget].
func newServer(handler http.Handler, base log.Logger) *http.Server {
	errorLog := slog.NewLogLogger(bridged(base).Handler(), slog.LevelWarn)
	errorLog.SetOutput(&seldom{
		next: errorLog.Writer(), when: rate.Sometimes{First: 10, Interval: time.Minute},
	})
	return &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second, // of bodies, which nothing here needs
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    maxHeaderBytes,
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams:          maxStreams,
			MaxReceiveBufferPerConnection: 64 << 10, // of bodies
			WriteByteTimeout:              10 * time.Second,
		},
		ErrorLog:  errorLog,
		ConnState: newConnLimiter(stamped(base)).follow,
	}
}

// seldom passes on only some of what is written. Whoever reaches the port can have the
// server log a line for each connection.
type seldom struct {
	next io.Writer
	when rate.Sometimes
}

// Write implements [io.Writer].
func (s *seldom) Write(line []byte) (n int, err error) {
	n = len(line)
	s.when.Do(func() { n, err = s.next.Write(line) })
	return n, err
}

// bridged returns a logger for libraries that use slog. It adds the time itself,
// and leaves filtering by level to the logger below.
func bridged(base log.Logger) *slog.Logger {
	return slog.New(sloggokit.NewGoKitHandler(base, slog.LevelDebug))
}
