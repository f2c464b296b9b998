package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/alecthomas/kingpin/v2"
	"github.com/prometheus/common/version"

	"oms_exporter/collector"
	"oms_exporter/omsclient/omssim"
)

// Settings, by the command or the part of one that they are for.
type (
	logSettings struct {
		level, format string
	}
	omsSettings struct {
		configFile            string // or all that follows
		url, username         string
		passwordFile          string // or else password
		password              string // never a flag: command lines are public
		caFile                string
		insecureSkipVerify    bool
		pageSize, concurrency int
		pageTimeout           time.Duration
		excludeStatuses       []string
		maxTasks              int
	}
	scrapeSettings struct {
		timeout, timeoutOffset time.Duration
		groups                 map[string]*bool
	}
	webSettings struct {
		listenAddresses        []string
		configFile             string
		systemdSocket          bool
		telemetryPath          string
		maxRequests            int
		disableExporterMetrics bool
		enableLifecycle        bool
		enablePprof            bool
	}
	serveSettings struct {
		log    logSettings
		oms    omsSettings
		scrape scrapeSettings
		web    webSettings
	}
	checkSettings struct {
		oms     omsSettings
		scrape  scrapeSettings
		targets []string      // empty: all
		timeout time.Duration // of a scrape, as Prometheus is configured
		format  string
		record  string // a directory, or empty
		redact  bool
	}
	simSettings struct {
		log           logSettings
		listenAddress string
		username      string
		passwordFile  string
		timeScale     float64
		faults        []string
		fleet         omssim.Options
		fleetGiven    bool   // whether --sim.tasks is on the command line
		replay        string // directory of pages
		style         string
	}
	demoSettings struct {
		serve serveSettings
		sim   simSettings
	}
)

// A command is what is run after the flags are read.
type command func(ctx context.Context, stdout, stderr io.Writer) error

// parse reads the flags. The command is nil if they asked for something that has
// already been printed, such as help.
func parse(args []string, stdout io.Writer) (command, error) {
	var (
		commands = map[string]command{}
		answered = false
	)
	app := newApp(commands)
	app.UsageWriter(stdout)
	app.ErrorWriter(stdout)
	app.Terminate(func(int) { answered = true })
	name, err := app.Parse(args)
	switch {
	case answered:
		return nil, nil
	case err != nil:
		return nil, usagef("%s%w, try --help", refusing(app, args), err)
	}
	return commands[name], nil
}

// refusing returns the flag that refuses its value, as the beginning of an error:
// kingpin's own errors do not say which it is.
func refusing(app *kingpin.Application, args []string) string {
	parsed, err := app.ParseContext(args)
	if err != nil {
		return ""
	}
	for _, element := range parsed.Elements {
		clause, ok := element.Clause.(*kingpin.FlagClause)
		if !ok || element.Value == nil {
			continue
		}
		if flag := clause.Model(); flag.Value.Set(*element.Value) != nil {
			return fmt.Sprintf("--%s=%s: ", flag.Name, *element.Value)
		}
	}
	return ""
}

// newApp declares all commands and flags, and puts what a command does into
// commands.
func newApp(commands map[string]command) *kingpin.Application {
	app := kingpin.New("oms_exporter",
		"Prometheus exporter for the tasks of OceanBase Migration Service (OMS).")
	app.Version(version.Print("oms_exporter"))
	app.HelpFlag.Short('h')

	serving := &serveSettings{}
	cmd := app.Command("serve", "Export the tasks of an OMS. The default command.").Default()
	addOMSFlags(cmd, &serving.oms)
	addScrapeFlags(cmd, &serving.scrape)
	addWebFlags(cmd, &serving.web, ":10667")
	addLogFlags(cmd, &serving.log)
	commands[cmd.FullCommand()] = func(ctx context.Context, _, stderr io.Writer) error {
		serving.oms.password = os.Getenv("OMS_PASSWORD")
		return serve(ctx, serving, stderr)
	}

	checking := &checkSettings{}
	cmd = app.Command("check", "Call OMS once; explain what is found, and what to do about it.")
	addOMSFlags(cmd, &checking.oms)
	addScrapeFlags(cmd, &checking.scrape)
	addCheckFlags(cmd, checking)
	commands[cmd.FullCommand()] = func(ctx context.Context, stdout, _ io.Writer) error {
		checking.oms.password = os.Getenv("OMS_PASSWORD")
		return check(ctx, checking, stdout)
	}

	trying := &demoSettings{}
	cmd = app.Command("demo", "Try it: a simulated OMS and its exporter in one process.")
	addTaskFlags(cmd, &trying.serve.oms)
	addScrapeFlags(cmd, &trying.serve.scrape)
	addWebFlags(cmd, &trying.serve.web, "127.0.0.1:10667")
	addFleetFlags(cmd, &trying.sim)
	addLogFlags(cmd, &trying.serve.log)
	commands[cmd.FullCommand()] = func(ctx context.Context, stdout, stderr io.Writer) error {
		return demo(ctx, trying, stdout, stderr)
	}

	simulating := &simSettings{}
	cmd = app.Command("simulate", "A simulated OMS alone, for rehearsals and load tests.")
	addSimFlags(cmd, simulating)
	addFleetFlags(cmd, simulating)
	addLogFlags(cmd, &simulating.log)
	commands[cmd.FullCommand()] = func(ctx context.Context, _, stderr io.Writer) error {
		return simulate(ctx, simulating, stderr)
	}

	asking := &healthSettings{}
	cmd = app.Command("health", "Ask a running exporter whether it answers: for container images.").
		Hidden()
	addHealthFlags(cmd, asking)
	commands[cmd.FullCommand()] = func(ctx context.Context, _, _ io.Writer) error {
		return health(ctx, asking)
	}
	return app
}

func addOMSFlags(cmd *kingpin.CmdClause, s *omsSettings) {
	cmd.Flag("config.file", "YAML file that names one OMS or several, instead of the flags --oms.*.").
		StringVar(&s.configFile)
	cmd.Flag("oms.url", "URL of the OMS console, such as https://oms.example:8089.").
		Envar("OMS_URL").StringVar(&s.url)
	cmd.Flag("oms.username", "OMS account; one that may only read is enough.").
		Envar("OMS_USERNAME").StringVar(&s.username)
	cmd.Flag("oms.password-file",
		"File with the account's password, read anew for every request. "+
			"Instead, the password itself may be in the environment: OMS_PASSWORD.").
		Envar("OMS_PASSWORD_FILE").StringVar(&s.passwordFile)
	cmd.Flag("oms.ca-file", "PEM file with the authorities to trust for OMS's certificate.").
		StringVar(&s.caFile)
	cmd.Flag("oms.insecure-skip-verify",
		"Do not verify OMS's certificate: whoever is in between can read the password.").
		BoolVar(&s.insecureSkipVerify)
	cmd.Flag("oms.page-size", "Tasks to ask for at a time, 1 to 150.").
		Default("150").IntVar(&s.pageSize)
	cmd.Flag("oms.concurrency", "Pages to ask for at once, after the first.").
		Default("4").IntVar(&s.concurrency)
	cmd.Flag("oms.page-timeout", "The most an attempt for a page may take. 0: what the scrape may.").
		Default("10s").DurationVar(&s.pageTimeout)
	addTaskFlags(cmd, s)
}

// addTaskFlags adds the flags that decide which tasks have series.
func addTaskFlags(cmd *kingpin.CmdClause, s *omsSettings) {
	cmd.Flag("oms.exclude-status",
		"Statuses, comma-separated, of tasks that get no series; oms_tasks counts them all the same.").
		Default("RELEASED,DELETED").SetValue((*commaSeparated)(&s.excludeStatuses))
	cmd.Flag("oms.max-tasks", "With more tasks than these, none gets series. 0: no limit.").
		Default("0").IntVar(&s.maxTasks)
}

func addScrapeFlags(cmd *kingpin.CmdClause, s *scrapeSettings) {
	cmd.Flag("scrape.timeout", "The most a scrape may take when Prometheus does not say.").
		Default("30s").DurationVar(&s.timeout)
	cmd.Flag("scrape.timeout-offset",
		"How long before the timeout that Prometheus names a scrape is answered.").
		Default("0.5s").DurationVar(&s.timeoutOffset)
	s.groups = map[string]*bool{}
	for _, g := range collector.Groups() {
		s.groups[g.Name] = cmd.Flag("collector."+g.Name, "Export "+g.Help+".").Default("true").Bool()
	}
}

func addCheckFlags(cmd *kingpin.CmdClause, s *checkSettings) {
	cmd.Flag("target", "Check only this target of the configuration file. Repeatable.").
		StringsVar(&s.targets)
	cmd.Flag("timeout",
		"Prometheus' scrape_timeout, which the listing has to fit. The check waits ten times as long.").
		Default("10s").DurationVar(&s.timeout)
	cmd.Flag("format", "Print text or json.").Default("text").EnumVar(&s.format, "text", "json")
	cmd.Flag("record",
		"Keep the pages that OMS sends in this directory, for a report or for simulate --replay.").
		StringVar(&s.record)
	cmd.Flag("redact", "Replace names, hosts, users and texts in what is recorded.").
		Default("true").BoolVar(&s.redact)
}

func addWebFlags(cmd *kingpin.CmdClause, s *webSettings, address string) {
	cmd.Flag("web.listen-address", "Address to listen on. Repeatable.").
		Default(address).StringsVar(&s.listenAddresses)
	cmd.Flag("web.telemetry-path", "Path of the metrics.").
		Default("/metrics").StringVar(&s.telemetryPath)
	cmd.Flag("web.config.file", "Exporter-toolkit file that can turn on TLS and authentication.").
		Default("").StringVar(&s.configFile)
	cmd.Flag("web.systemd-socket", "Listen on sockets that systemd has opened instead (Linux only).").
		BoolVar(&s.systemdSocket)
	cmd.Flag("web.max-requests", "Scrapes at once; more are refused. 0: no limit.").
		Default("40").IntVar(&s.maxRequests)
	cmd.Flag("web.disable-exporter-metrics",
		"Leave out the metrics of the exporter itself: oms_exporter_*, go_*, process_*, promhttp_*.").
		BoolVar(&s.disableExporterMetrics)
	cmd.Flag("web.enable-lifecycle", "Load the configuration anew at POST /-/reload, as at SIGHUP.").
		BoolVar(&s.enableLifecycle)
	cmd.Flag("web.enable-pprof", "Serve profiles below /debug/pprof/.").
		BoolVar(&s.enablePprof)
}

func addLogFlags(cmd *kingpin.CmdClause, s *logSettings) {
	cmd.Flag("log.level", "Log from this level on: debug, info, warn or error.").
		Default("info").EnumVar(&s.level, "debug", "info", "warn", "error")
	cmd.Flag("log.format", "Log as logfmt or json.").
		Default("logfmt").EnumVar(&s.format, "logfmt", "json")
}

func addSimFlags(cmd *kingpin.CmdClause, s *simSettings) {
	cmd.Flag("web.listen-address", "Address to listen on.").
		Default("127.0.0.1:8089").StringVar(&s.listenAddress)
	cmd.Flag("sim.username", "Account that the simulated OMS asks for. Without it, anyone may read.").
		StringVar(&s.username)
	cmd.Flag("sim.password-file", "File with the account's password.").StringVar(&s.passwordFile)
	cmd.Flag("sim.latency", "How long each page takes.").Default("0s").DurationVar(&s.fleet.Latency)
	cmd.Flag("sim.style", "How values are written: native, or quoted as in the documents' example.").
		Default("native").EnumVar(&s.style, "native", "quoted")
	cmd.Flag("sim.blob-bytes", "Size of the deprecated configuration objects of each task.").
		Default("0").IntVar(&s.fleet.BlobBytes)
	cmd.Flag("replay",
		"Serve the pages that check --record has put into this directory, instead of simulated tasks; "+
			"not together with --sim.tasks or --sim.scenario.").StringVar(&s.replay)
	cmd.Flag("sim.gzip", "Compress the answers.").BoolVar(&s.fleet.Gzip)
	cmd.Flag("sim.fault",
		"Fault to begin with, such as html_502, truncated@3 (page 3) or resetx2 (twice): "+
			faultNames()+". Repeatable; change it at runtime with PUT /sim/faults.").
		StringsVar(&s.faults)
}

func addFleetFlags(cmd *kingpin.CmdClause, s *simSettings) {
	cmd.Flag("sim.tasks", "Number of simulated tasks.").
		Default("60").IsSetByUser(&s.fleetGiven).IntVar(&s.fleet.Tasks)
	cmd.Flag("sim.seed", "The same seed makes the same tasks.").Default("1").Uint64Var(&s.fleet.Seed)
	cmd.Flag("sim.time-scale", "How many times faster than real time the simulated tasks live.").
		Default("1").Float64Var(&s.timeScale)
	cmd.Flag("sim.scenario",
		"What the simulated tasks go through; a mix of all unless given: "+
			scenarioNames()+". Repeatable.").
		StringsVar(&s.fleet.Scenarios)
}

func faultNames() string {
	var names []string
	for _, f := range omssim.Faults() {
		names = append(names, string(f.Kind))
	}
	return strings.Join(names, ", ")
}

func scenarioNames() string {
	var names []string
	for _, s := range omssim.ScenarioDocs() {
		names = append(names, s.Name)
	}
	return strings.Join(names, ", ")
}

// commaSeparated is a flag whose last value stands, as a list.
type commaSeparated []string

// Set implements [kingpin.Value].
func (c *commaSeparated) Set(value string) error {
	*c = nil
	for part := range strings.SplitSeq(value, ",") {
		if part = strings.TrimSpace(part); part != "" {
			*c = append(*c, part)
		}
	}
	return nil
}

// String implements [kingpin.Value].
func (c *commaSeparated) String() string { return strings.Join(*c, ",") }
