package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/alecthomas/kingpin/v2"
	"golang.org/x/term"

	"oms_exporter/collector"
	"oms_exporter/omsclient"
)

// tasksSettings are those of the command tasks.
type tasksSettings struct {
	oms      omsSettings
	scrape   scrapeSettings
	targets  []string // empty: all
	format   string
	watch    bool
	interval time.Duration
}

func addTasks(app *kingpin.Application) (*kingpin.CmdClause, command) {
	s := &tasksSettings{oms: omsSettings{target: defaultTarget()}}
	cmd := app.Command("tasks", "Call OMS once and print its tasks, those that need a person first.")
	addOMSFlags(cmd, &s.oms)
	addScrapeFlags(cmd, &s.scrape)
	cmd.Flag("target", "Print only the tasks of this target of the configuration file. Repeatable.").
		StringsVar(&s.targets)
	wanted := map[string]*string{}
	for _, name := range slices.Sorted(maps.Keys(filters)) {
		switch help := filters[name].help; name {
		case "target": // others are not even listed
		case "severity":
			wanted[name] = cmd.Flag(name, help).Enum(collector.Severities()...)
		default:
			wanted[name] = cmd.Flag(name, help).String()
		}
	}
	keys := slices.Sorted(maps.Keys(orders))
	wanted["sort"] = cmd.Flag("sort", "What to sort by: "+alternatives(keys)+".").
		Default(worst).Enum(keys...)
	cmd.Flag("format", "Output format: table, json or csv.").
		Default("table").EnumVar(&s.format, "table", "json", "csv")
	cmd.Flag("watch", "Print the tasks again and again, until interrupted.").BoolVar(&s.watch)
	cmd.Flag("interval", "Time between listings with --watch.").Default("10s").DurationVar(&s.interval)
	return cmd, func(ctx context.Context, stdout, _ io.Writer) error {
		query := url.Values{}
		for name, value := range wanted {
			query.Set(name, *value)
		}
		return tasks(ctx, s, query, stdout)
	}
}

// tasks prints the tasks of each OMS. The error is that an OMS cannot be used.
func tasks(ctx context.Context, s *tasksSettings, query url.Values, stdout io.Writer) error {
	loaded, err := s.load()
	if err != nil {
		return err
	}
	targets, err := newTargetsOnce(loaded, &s.scrape, direct)
	if err != nil {
		return err
	}
	defer targets.close()
	for {
		o := overviewOf(ctx, targets.all(), lookOnce)
		if ctx.Err() != nil && !s.watch {
			return errors.New("interrupted")
		} else if ctx.Err() != nil {
			return nil
		}
		o.choose(query)
		if err := s.print(stdout, o); err != nil || !s.watch {
			return cmp.Or(err, o.err())
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(s.interval):
		}
	}
}

// lookOnce lists the tasks of a target for those who look at them once.
func lookOnce(ctx context.Context, t *target) (l *listing, pending bool) {
	return listingOf(t.listOnce(ctx)), false
}

// load returns the configuration, if the flags make sense.
func (s *tasksSettings) load() (*fileConfig, error) {
	if err := cmp.Or(s.oms.validate(), s.scrape.validate()); err != nil {
		return nil, err
	}
	if s.interval < time.Second {
		return nil, usagef("--interval=%s: must be 1s or more", s.interval)
	}
	loaded, err := s.oms.load()
	if err != nil {
		return nil, err
	}
	return loaded, s.oms.choose(loaded, s.targets)
}

// err tells which OMS cannot be used, or is nil.
func (o *overview) err() error {
	var errs []error
	for _, s := range o.Targets {
		switch {
		case s.OK:
		case s.Name == flagsTarget:
			errs = append(errs, errors.New(s.Error))
		default:
			errs = append(errs, fmt.Errorf("%s: %s", s.Name, s.Error))
		}
	}
	return errors.Join(errs...)
}

// print writes the tasks in the wanted format.
func (s *tasksSettings) print(w io.Writer, o *overview) error {
	switch s.format {
	case "json":
		return o.writeJSON(w)
	case "csv":
		return o.writeCSV(w)
	}
	screen := screenOf(w)
	var text bytes.Buffer
	if s.watch && screen.terminal {
		text.WriteString("\x1b[H\x1b[2J") // home, and clear
	}
	for _, state := range o.Targets {
		text.WriteString(cut(state.sentence(), screen.columns) + "\n")
	}
	text.WriteString("\n")
	if o.err() != nil && len(o.Tasks) == 0 {
		_, err := text.WriteTo(w)
		return err
	}
	rows := o.Tasks
	if room := screen.lines - len(o.Targets) - 4; s.watch && screen.lines > 0 {
		rows = rows[:min(len(rows), max(room, 1))]
	}
	writeTable(&text, rows, screen)
	if left := len(o.Tasks) - len(rows); left > 0 {
		fmt.Fprintf(&text, "and %d more\n", left)
	}
	if s.watch && !screen.terminal {
		text.WriteString("\n")
	}
	_, err := text.WriteTo(w)
	return err
}

// sentence tells about an OMS in a line.
func (s *omsState) sentence() string {
	name := ""
	if s.Name != flagsTarget {
		name = s.Name + ": "
	}
	if !s.OK {
		return name + english.mustText("down") + ": " + english.value("reason", s.Reason)
	}
	return fmt.Sprintf("%s%s, listed in %s", name, countsOf(s.Statuses), english.duration(s.Seconds))
}

// countsOf says how many tasks there are, by status.
func countsOf(statuses map[string]int) string {
	var counts []string
	total := 0
	for _, share := range shares(statuses) {
		total += share.Tasks
		counts = append(counts, strconv.Itoa(share.Tasks)+" "+english.value("status", share.Status))
	}
	return amount(total, "task") + ": " + strings.Join(counts, ", ")
}

// A screen is what a table is written to.
type screen struct {
	terminal       bool
	color          bool
	columns, lines int // 0: as many as needed
}

// screenOf returns what is known of a writer. COLUMNS says how wide a table may be if that is
// not a terminal.
func screenOf(w io.Writer) screen {
	var s screen
	s.columns, _ = strconv.Atoi(os.Getenv("COLUMNS"))
	file, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(file.Fd())) {
		return s
	}
	s.terminal = true
	s.color = os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	if columns, lines, err := term.GetSize(int(file.Fd())); err == nil {
		s.columns, s.lines = columns, lines
	}
	return s
}

// cellsOf are the columns of the table, the most important first, with what they say of a task.
var cellsOf = []tableColumn{
	{title: "TASK", least: 26, cell: func(r *row) string { return r.Name }},
	{title: "LOOK AT", least: 20, painted: true, cell: func(r *row) string {
		if len(r.Concerns) == 0 {
			return ""
		}
		return english.value("concern", r.Concerns[0])
	}},
	{title: "DELAY", cell: delayCell},
	{title: "STATUS", least: 9, cell: func(r *row) string {
		return english.value("status", r.Status)
	}},
	{title: "STEP", least: 14, cell: stepCell},
	{title: "OMS", cell: func(r *row) string { return r.Target }},
	{title: "IMPORTANCE", cell: func(r *row) string {
		return english.value("importance", r.Importance)
	}},
	{title: "OWNER", least: 8, cell: func(r *row) string { return r.Owner }},
	{title: "SAMPLED", cell: func(r *row) string {
		return known(r.Live().SampleAge, english.duration)
	}},
	{title: "ERROR", least: 14, cell: func(r *row) string {
		return strings.Join(r.codes(), " ")
	}},
	{title: "ID", cell: func(r *row) string { return r.ID }},
	{title: "ALARMS", cell: func(r *row) string { return known(r.RecentAlarms, grouped) }},
	{title: "TAGS", least: 8, cell: func(r *row) string { return strings.Join(r.Tags, " ") }},
}

// delayCell shows a delay beside the one from which it is critical.
func delayCell(r *row) string {
	text := known(r.Live().Effective, english.duration)
	if text != "" && r.CriticalDelay != nil {
		text += " of " + english.duration(*r.CriticalDelay)
	}
	return text
}

// known formats a value, if there is one.
func known(v *float64, format func(float64) string) string {
	if v == nil {
		return ""
	}
	return format(*v)
}

// stepCell shows what a task is at.
func stepCell(r *row) string {
	s := r.Step()
	switch {
	case s.Name == "":
		return ""
	case s.State == collector.StepWorking && s.Progress != nil:
		return english.step(s.Name) + " " + percent(*s.Progress)
	case s.State == collector.StepFollowing || slices.Contains(omsclient.SwitchoverSteps(), s.Name):
		return english.step(s.Name)
	}
	return english.step(s.Name) + " " + english.value("state", s.State)
}
