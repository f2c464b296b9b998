package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/alecthomas/kingpin/v2"
	"github.com/prometheus/common/config"
	"github.com/prometheus/common/version"

	"oms_exporter/collector"
	"oms_exporter/omsclient"
	"oms_exporter/omsclient/omssim"
)

// Settings, by command or part of a command. Flags are bound to them.
type (
	logSettings struct {
		level, format string
	}
	omsSettings struct {
		configFile string           // or else the target
		target     targetConfig     // all but the account
		account    config.BasicAuth // may be empty
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
		tasksPage              bool
		grafanaURL             string         // may be empty
		listening              func(net.Addr) // is called once a port is open; may be nil
	}
	serveSettings struct {
		check  bool // only the configuration
		log    logSettings
		oms    omsSettings
		scrape scrapeSettings
		web    webSettings
	}
	checkSettings struct {
		oms     omsSettings
		scrape  scrapeSettings
		targets []string      // empty: all
		timeout time.Duration // Prometheus' scrape_timeout
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
		fleetGiven    bool   // --sim.tasks is on the command line
		replay        string // a directory, or empty
		style         string
	}
	demoSettings struct {
		serve serveSettings
		sim   simSettings
	}
	healthSettings struct {
		url     string
		timeout time.Duration
	}
)

// A command is what runs once the flags have been read.
type command func(ctx context.Context, stdout, stderr io.Writer) error

// parse reads the flags. The command is nil if they asked for something that has
// already been printed, such as help.
func parse(args []string, stdout io.Writer) (command, error) {
	var (
		commands = map[string]command{}
		answered = false
	)
	app := newApp(commands)
	app.UsageTemplate(usageTemplate())
	app.UsageWriter(stdout)
	app.ErrorWriter(stdout)
	app.Terminate(func(int) { answered = true })
	if slices.Contains(args, "--help-man") {
		context, err := app.ParseContext(nil)
		return nil, errors.Join(err, app.UsageForContextWithTemplate(context, 2, manTemplate()))
	}
	name, err := app.Parse(completable(args))
	switch {
	case answered:
		return nil, nil
	case err != nil:
		return nil, usagef("%w, try --help", err)
	}
	return commands[name], nil
}

// newApp declares all commands and their flags, and stores in commands what each
// of them runs.
func newApp(commands map[string]command) *kingpin.Application {
	app := kingpin.New("oms_exporter",
		"Prometheus exporter for the tasks of OceanBase Migration Service (OMS).")
	app.Version(version.Print("oms_exporter"))
	app.HelpFlag.Short('h')
	for _, add := range []func(*kingpin.Application) (*kingpin.CmdClause, command){
		addServe, addCheck, addTasks, addScrape, addDemo, addSimulate, addHealth,
	} {
		cmd, run := add(app)
		commands[cmd.FullCommand()] = run
		for _, flag := range cmd.Model().Flags {
			if flag.Envar == "" { // those of kingpin itself, such as --version, get none
				cmd.GetFlag(flag.Name).Envar(envarOf(flag.Name))
			}
			// kingpin quotes the defaults of its own strings, which accept any value anyway.
			if quoted := strings.HasPrefix(flag.FormatPlaceHolder(), `"`); !quoted {
				cmd.GetFlag(flag.Name).SetValue(namedValue{flag.Value, flag.Name})
			}
		}
	}
	return app
}

// envarOf returns the environment variable for a flag.
func envarOf(flag string) string {
	return "OMS_EXPORTER_" + strings.ToUpper(strings.NewReplacer(".", "_", "-", "_").Replace(flag))
}

// usageTemplate is kingpin's, with the flags of the default command where no command is
// given.
func usageTemplate() string {
	const commands = "{{else if .App.Commands -}}\nCommands:"
	return strings.Replace(kingpin.DefaultUsageTemplate, commands, "{{else if .App.Commands -}}\n"+
		"{{range .App.Commands}}{{if .Default}}Flags of {{.Name}}:\n"+
		"{{.Flags|FlagsToTwoColumns|FormatTwoColumns}}\n{{end}}{{end}}Commands:", 1)
}

// manTemplate is kingpin's, with a title in one line and a name that says what it is.
func manTemplate() string {
	template := strings.Replace(kingpin.ManPageTemplate, `{{.App.Version}} "{{.App.Author}}"`,
		fmt.Sprintf(`"" "oms_exporter %s" "User Commands"`, version.Version), 1)
	return strings.Replace(template, ".SH \"NAME\"\n{{.App.Name}}\n",
		".SH \"NAME\"\n{{.App.Name}} \\- {{.App.Help}}\n", 1)
}

// completable returns arguments from which kingpin can complete the last word. It would
// take the beginning of a command for an argument of the default command, and the equals
// sign, which is a word of its own in bash, for a value.
func completable(args []string) []string {
	if len(args) == 0 || args[0] != "--completion-bash" {
		return args
	}
	args = slices.DeleteFunc(slices.Clone(args), func(word string) bool { return word == "=" })
	if len(args) == 2 && !strings.HasPrefix(args[1], "-") {
		return args[:1]
	}
	return args
}

// A namedValue names its flag in errors. kingpin does not, wherever the value is from.
type namedValue struct {
	kingpin.Value
	flag string
}

// Set implements [kingpin.Value].
func (v namedValue) Set(value string) error {
	if err := v.set(value); err != nil {
		if v.IsBoolFlag() { // what is not true or false may be anything, even a secret
			return fmt.Errorf("--%s: %w", v.flag, err)
		}
		return fmt.Errorf("--%s=%s: %w", v.flag, value, err)
	}
	return nil
}

// set says what a value has to be. The libraries' words are for programmers, and
// kingpin takes fractions as whole numbers.
func (v namedValue) set(value string) error {
	err := v.Value.Set(value)
	typed, ok := v.Value.(kingpin.Getter)
	if !ok {
		return err
	}
	var want string
	switch now := typed.Get().(type) {
	case int, uint64:
		if _, err = strconv.ParseUint(value, 10, 63); err != nil {
			want = "a whole number, 0 or more"
		}
	case time.Duration:
		if err != nil || now < 0 {
			want = "a duration such as 30s or 1m30s, and not negative"
		}
	case float64:
		if err != nil {
			want = "a number"
		}
	case bool:
		if err != nil {
			want = "true or false"
		}
	}
	if want != "" {
		return errors.New("must be " + want)
	}
	return err
}

// IsBoolFlag tells kingpin whether the flag can do without a value.
func (v namedValue) IsBoolFlag() bool {
	value, ok := v.Value.(interface{ IsBoolFlag() bool })
	return ok && value.IsBoolFlag()
}

// IsCumulative tells kingpin whether the flag can be repeated.
func (v namedValue) IsCumulative() bool {
	value, ok := v.Value.(interface{ IsCumulative() bool })
	return ok && value.IsCumulative()
}

func addServe(app *kingpin.Application) (*kingpin.CmdClause, command) {
	s := &serveSettings{oms: omsSettings{target: defaultTarget()}}
	cmd := app.Command("serve", "Export the tasks of an OMS. The default command.").Default()
	cmd.Flag("config.check",
		"Check the configuration and the flags, without network and without starting. "+
			"The exit status is 0 if they can be used, and 2 otherwise. A secret that is missing is only a "+
			"warning: it may be there once the service runs.").BoolVar(&s.check)
	addOMSFlags(cmd, &s.oms)
	addScrapeFlags(cmd, &s.scrape)
	addWebFlags(cmd, &s.web, ":10667")
	addLogFlags(cmd, &s.log)
	return cmd, func(ctx context.Context, stdout, stderr io.Writer) error {
		if s.check {
			return checkConfig(s, stdout)
		}
		return serve(ctx, s, stderr)
	}
}

func addCheck(app *kingpin.Application) (*kingpin.CmdClause, command) {
	s := &checkSettings{oms: omsSettings{target: defaultTarget()}}
	cmd := app.Command("check", "Call OMS once, explain what was found, and what to do about it.")
	addOMSFlags(cmd, &s.oms)
	addScrapeFlags(cmd, &s.scrape)
	cmd.Flag("target", "Check only this target of the configuration file. Repeatable.").
		StringsVar(&s.targets)
	cmd.Flag("timeout",
		"Prometheus' scrape_timeout, which the listing has to fit. The check waits ten times as long.").
		Default("25s").DurationVar(&s.timeout)
	cmd.Flag("format", "Output format: text or json.").
		Default("text").EnumVar(&s.format, "text", "json")
	cmd.Flag("record",
		"Save the pages that OMS sends to this directory, for a bug report or for simulate --replay.").
		StringVar(&s.record)
	cmd.Flag("redact", "Replace names, hosts, users and free text in the recording.").
		Default("true").BoolVar(&s.redact)
	return cmd, func(ctx context.Context, stdout, stderr io.Writer) error {
		return check(ctx, s, stdout, stderr)
	}
}

func addDemo(app *kingpin.Application) (*kingpin.CmdClause, command) {
	s := &demoSettings{serve: serveSettings{oms: omsSettings{target: defaultTarget()}}}
	cmd := app.Command("demo", "Try it: a simulated OMS and its exporter in one process.")
	addTaskFlags(cmd, &s.serve.oms.target)
	addScrapeFlags(cmd, &s.serve.scrape, "verify")
	addWebFlags(cmd, &s.serve.web, "127.0.0.1:10667")
	addFleetFlags(cmd, &s.sim)
	addLogFlags(cmd, &s.serve.log)
	return cmd, func(ctx context.Context, stdout, stderr io.Writer) error {
		return demo(ctx, s, stdout, stderr)
	}
}

func addSimulate(app *kingpin.Application) (*kingpin.CmdClause, command) {
	s := &simSettings{}
	cmd := app.Command("simulate", "A simulated OMS alone, for rehearsals and load tests.")
	addSimFlags(cmd, s)
	addFleetFlags(cmd, s)
	addLogFlags(cmd, &s.log)
	return cmd, func(ctx context.Context, _, stderr io.Writer) error {
		return simulate(ctx, s, stderr)
	}
}

func addHealth(app *kingpin.Application) (*kingpin.CmdClause, command) {
	s := &healthSettings{}
	cmd := app.Command("health", "Ask a running exporter whether it answers: for container images.")
	cmd.Flag("url", "URL to request.").
		Envar("OMS_EXPORTER_HEALTH_URL").
		Default("http://127.0.0.1:10667/-/healthy").StringVar(&s.url)
	cmd.Flag("timeout", "Time limit for the answer.").
		Envar("OMS_EXPORTER_HEALTH_TIMEOUT").
		Default("3s").DurationVar(&s.timeout)
	return cmd, func(ctx context.Context, _, _ io.Writer) error { return health(ctx, s) }
}

// addOMSFlags adds the flags that say which OMS to call and how. The target's
// current values become the defaults.
func addOMSFlags(cmd *kingpin.CmdClause, s *omsSettings) {
	t := &s.target
	cmd.Flag("config.file", "YAML file with one or more OMS, instead of the --oms.* flags.").
		StringVar(&s.configFile)
	cmd.Flag("oms.url", "URL of the OMS console, such as https://oms.example:8089.").
		Envar("OMS_URL").StringVar(&t.URL)
	cmd.Flag("oms.username", "OMS account. Read-only access is enough.").
		Envar("OMS_USERNAME").StringVar(&s.account.Username)
	s.account.Password = config.Secret(trimmed(os.Getenv("OMS_PASSWORD"))) // command lines are public
	cmd.Flag("oms.password-file",
		"File with the account's password, read again for every request. "+
			"The password itself can instead be in the OMS_PASSWORD environment variable.").
		Envar("OMS_PASSWORD_FILE").StringVar(&s.account.PasswordFile)
	cmd.Flag("oms.ca-file", "PEM file with the certificate authorities to trust for OMS.").
		StringVar(&t.HTTPClient.TLSConfig.CAFile)
	cmd.Flag("oms.insecure-skip-verify",
		"Do not verify OMS's certificate. Anyone in between can then read the password.").
		BoolVar(&t.HTTPClient.TLSConfig.InsecureSkipVerify)
	cmd.Flag("oms.page-size",
		fmt.Sprintf("Tasks to ask for per page, 1 to %d.", omsclient.MaxPageSize)).
		Default(strconv.Itoa(t.PageSize)).IntVar(&t.PageSize)
	cmd.Flag("oms.concurrency", "Pages to request at once, after the first.").
		Default(strconv.Itoa(t.Concurrency)).IntVar(&t.Concurrency)
	cmd.Flag("oms.page-timeout", "Time limit for one attempt at a page. 0: only that of the scrape.").
		Default(t.PageTimeout.String()).DurationVar((*time.Duration)(&t.PageTimeout))
	cmd.Flag("oms.timezone", "Time zone of the times that OMS sends, as an IANA name such as "+
		"Asia/Shanghai. Check finds out whether it is right.").
		Default(t.Timezone).StringVar(&t.Timezone)
	cmd.Flag("oms.password-changed", "Date on which the account's password was last changed, such as "+
		"2026-01-31. OMS's passwords expire after 90 days, and an alert can warn before.").
		StringVar(&t.PasswordChanged)
	cmd.Flag("oms.console-url", "What the page links tasks to, such as https://oms.example:8089. "+
		taskIDInLink+" in it stands for the id of a task.").
		StringVar(&t.ConsoleURL)
	addTaskFlags(cmd, t)
}

// addTaskFlags adds the flags that decide which tasks get series.
func addTaskFlags(cmd *kingpin.CmdClause, t *targetConfig) {
	statuses := (*commaSeparated)(&t.Exclude.Statuses)
	cmd.Flag("oms.exclude-status",
		"Comma-separated statuses of tasks that get no series. oms_tasks still counts them.").
		Default(statuses.String()).SetValue(statuses)
	cmd.Flag("oms.max-tasks",
		"If OMS has more tasks than this, the scrape fails instead of using ever more memory. "+
			"0: no limit.").
		Default(strconv.Itoa(t.MaxTasks)).IntVar(&t.MaxTasks)
}

// flagOf names the flag for a key of a target in the configuration file.
func flagOf(key string) string {
	key, _, _ = strings.Cut(key, "[")
	switch key {
	case "http_client.basic_auth.password":
		return "OMS_PASSWORD"
	case "http_client", "http_client.basic_auth":
		return "--oms.username and --oms.password-file"
	case "exclude.statuses":
		return "--oms.exclude-status"
	case "timeout":
		return "--scrape.timeout"
	}
	return "--oms." + strings.ReplaceAll(key[strings.LastIndexByte(key, '.')+1:], "_", "-")
}

// addScrapeFlags adds the flags about scrapes. Groups that are opt-in are off, but for
// those named.
func addScrapeFlags(cmd *kingpin.CmdClause, s *scrapeSettings, on ...string) {
	cmd.Flag("scrape.timeout", "Time limit for a scrape, even if Prometheus allows more.").
		Default("30s").DurationVar(&s.timeout)
	cmd.Flag("scrape.timeout-offset",
		"How long before Prometheus' own timeout to answer a scrape.").
		Default("0.5s").DurationVar(&s.timeoutOffset)
	s.groups = map[string]*bool{}
	for _, g := range collector.Groups() {
		byDefault := !g.OptIn || slices.Contains(on, g.Name)
		s.groups[g.Name] = cmd.Flag("collector."+g.Name, "Export "+g.Help+".").
			Default(strconv.FormatBool(byDefault)).Bool()
	}
}

func addWebFlags(cmd *kingpin.CmdClause, s *webSettings, address string) {
	cmd.Flag("web.listen-address", "Address to listen on. Repeatable.").
		Default(address).SetValue((*addresses)(&s.listenAddresses))
	cmd.Flag("web.telemetry-path", "Path of the metrics.").
		Default("/metrics").StringVar(&s.telemetryPath)
	cmd.Flag("web.config.file", "Exporter-toolkit configuration file, for TLS and authentication.").
		Default("").StringVar(&s.configFile)
	cmd.Flag("web.systemd-socket", "Use systemd socket activation instead of listening (Linux only).").
		BoolVar(&s.systemdSocket)
	cmd.Flag("web.max-requests",
		"Maximum number of answers sent at once for each target. One with more than 500 tasks counts "+
			"as several. Other scrapes wait. 0: no limit.").
		Default("40").IntVar(&s.maxRequests)
	cmd.Flag("web.disable-exporter-metrics",
		"Leave out the metrics of the exporter itself: oms_exporter_*, go_*, process_*, promhttp_*.").
		BoolVar(&s.disableExporterMetrics)
	cmd.Flag("web.enable-lifecycle", "Reload the configuration on POST /-/reload, as on SIGHUP.").
		BoolVar(&s.enableLifecycle)
	cmd.Flag("web.enable-pprof", "Serve profiles under /debug/pprof/.").
		BoolVar(&s.enablePprof)
	cmd.Flag("web.tasks-page", "Show the tasks to people on / and, for programs, on /tasks.").
		Default("true").BoolVar(&s.tasksPage)
	cmd.Flag("web.grafana-url", "Grafana that has the dashboards, such as https://grafana.example: "+
		"the page links each task to its dashboard there.").
		StringVar(&s.grafanaURL)
}

func addLogFlags(cmd *kingpin.CmdClause, s *logSettings) {
	cmd.Flag("log.level", "Minimum level to log: debug, info, warn or error.").
		Default("info").EnumVar(&s.level, "debug", "info", "warn", "error")
	cmd.Flag("log.format", "Log format: logfmt or json.").
		Default("logfmt").EnumVar(&s.format, "logfmt", "json")
}

func addSimFlags(cmd *kingpin.CmdClause, s *simSettings) {
	cmd.Flag("web.listen-address", "Address to listen on.").
		Default("127.0.0.1:8089").SetValue((*address)(&s.listenAddress))
	cmd.Flag("sim.username", "Account that the simulated OMS asks for. Without one, anyone can read.").
		StringVar(&s.username)
	cmd.Flag("sim.password-file", "File with the account's password.").StringVar(&s.passwordFile)
	cmd.Flag("sim.latency", "Time that each page takes.").Default("0s").DurationVar(&s.fleet.Latency)
	cmd.Flag("sim.style", "How values are written: native, or quoted as in the vendor's example.").
		Default("native").EnumVar(&s.style, "native", "quoted")
	cmd.Flag("sim.blob-bytes", "Size of the deprecated configuration objects of each task.").
		Default("0").IntVar(&s.fleet.BlobBytes)
	cmd.Flag("replay",
		"Serve the pages that check --record saved in this directory, instead of simulated tasks. "+
			"Excludes --sim.tasks and --sim.scenario.").StringVar(&s.replay)
	cmd.Flag("sim.gzip", "Compress the answers.").BoolVar(&s.fleet.Gzip)
	cmd.Flag("sim.fault",
		"Fault to begin with, such as html_502, truncated@3 (page 3) or resetx2 (twice): "+
			strings.Join(faults(), ", ")+". Repeatable; PUT /sim/faults changes it later.").
		HintOptions(faults()...).StringsVar(&s.faults)
}

func addFleetFlags(cmd *kingpin.CmdClause, s *simSettings) {
	cmd.Flag("sim.tasks", "Number of simulated tasks.").
		Default("60").IsSetByUser(&s.fleetGiven).IntVar(&s.fleet.Tasks)
	cmd.Flag("sim.seed", "Random seed. The same seed makes the same tasks.").
		Default("1").Uint64Var(&s.fleet.Seed)
	cmd.Flag("sim.time-scale", "How many times faster than real time the simulated tasks live.").
		Default("1").Float64Var(&s.timeScale)
	cmd.Flag("sim.scenario",
		"What the simulated tasks go through; by default a mix of all: "+
			strings.Join(scenarios(), ", ")+". Tasks have it as a tag, such as "+
			omssim.ScenarioTag("frozen")+". Repeatable.").
		HintOptions(scenarios()...).EnumsVar(&s.fleet.Scenarios, scenarios()...)
}

func faults() []string {
	var names []string
	for _, f := range omssim.Faults() {
		names = append(names, string(f.Kind))
	}
	return names
}

func scenarios() []string {
	var names []string
	for _, s := range omssim.ScenarioDocs() {
		names = append(names, s.Name)
	}
	return names
}

// commaSeparated is a list in the value of a flag.
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

// An address is the value of a flag that says where to listen.
type address string

// Set implements [kingpin.Value].
func (a *address) Set(value string) error {
	hostPort, isVsock := strings.CutPrefix(value, "vsock://")
	_, port, err := net.SplitHostPort(hostPort)
	if err != nil {
		return errors.New("must be HOST:PORT or :PORT, such as 127.0.0.1:10667")
	}
	if isVsock {
		_, err = strconv.ParseUint(port, 10, 32)
	} else {
		_, err = (&net.Resolver{}).LookupPort(context.Background(), "tcp", port)
	}
	if err != nil {
		return fmt.Errorf("%q is not a port: write a number from 0 to 65535", port)
	}
	*a = address(value)
	return nil
}

// String implements [kingpin.Value].
func (a *address) String() string { return string(*a) }

// Addresses are the values of such a flag that can be repeated.
type addresses []string

// Set implements [kingpin.Value].
func (a *addresses) Set(value string) error {
	var one address
	err := one.Set(value)
	if slices.Contains(*a, value) && !strings.HasSuffix(value, ":0") {
		return errors.New("is given twice: leave one out")
	}
	*a = append(*a, string(one))
	return err
}

// String implements [kingpin.Value].
func (a *addresses) String() string { return strings.Join(*a, ",") }

// IsCumulative tells kingpin that the flag can be repeated.
func (a *addresses) IsCumulative() bool { return true }
