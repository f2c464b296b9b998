package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
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
	query    query
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
	cmd.Flag("search", "Only tasks with this text in their name, id, tags, owner or error codes.").
		StringVar(&s.query.Search)
	cmd.Flag("severity", "Only tasks of this severity: critical, warning, notice or fine.").
		EnumVar(&s.query.Severity, severityNames()...)
	cmd.Flag("status", "Only tasks with this status, such as FAILED.").StringVar(&s.query.Status)
	cmd.Flag("importance", "Only tasks of this importance, such as HIGH.").
		StringVar(&s.query.Importance)
	cmd.Flag("owner", "Only tasks with this text in their owner.").StringVar(&s.query.Owner)
	cmd.Flag("tag", "Only tasks with this text in one of their tags.").StringVar(&s.query.Tag)
	keys := slices.Sorted(maps.Keys(orders))
	cmd.Flag("sort", "What to sort by: "+alternatives(keys)+".").
		Default("worst").EnumVar(&s.query.Sort, keys...)
	cmd.Flag("format", "Output format: table, json or csv.").
		Default("table").EnumVar(&s.format, "table", "json", "csv")
	cmd.Flag("watch", "Print the tasks again and again, until interrupted.").BoolVar(&s.watch)
	cmd.Flag("interval", "Time between listings with --watch.").Default("10s").DurationVar(&s.interval)
	return cmd, func(ctx context.Context, stdout, _ io.Writer) error { return tasks(ctx, s, stdout) }
}

func severityNames() []string {
	var names []string
	for _, s := range collector.Severities() {
		names = append(names, string(s))
	}
	return names
}

// tasks prints the tasks of each OMS. The error is that an OMS cannot be used.
func tasks(ctx context.Context, s *tasksSettings, stdout io.Writer) error {
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
		o := overviewOf(ctx, targets.all(), func(ctx context.Context, t *target) (*listing, bool) {
			return listingOf(t.collector.Scrape(ctx)), false
		})
		if ctx.Err() != nil && !s.watch {
			return errors.New("interrupted")
		} else if ctx.Err() != nil {
			return nil
		}
		o.choose(&s.query)
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
	chosen := checkSettings{oms: s.oms, targets: s.targets}
	return loaded, chosen.choose(loaded)
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
	var counts []string
	total := 0
	for _, share := range shares(s.Statuses) {
		total += share.Tasks
		counts = append(counts, strconv.Itoa(share.Tasks)+" "+english.value("status", share.Status))
	}
	return fmt.Sprintf("%s%s in %s: %s", name, amount(total, "task"), english.duration(s.Seconds),
		strings.Join(counts, ", "))
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
		if f := r.Flow(); f != nil && f.Live {
			return english.optionalDuration(f.SampleAge)
		}
		return ""
	}},
	{title: "ERROR", least: 14, cell: func(r *row) string {
		return strings.Join(r.codes(), " ")
	}},
	{title: "ID", cell: func(r *row) string { return r.ID }},
	{title: "ALARMS", cell: func(r *row) string { return optionalText(r.RecentAlarms, grouped) }},
	{title: "TAGS", least: 8, cell: func(r *row) string { return strings.Join(r.Tags, " ") }},
}

// delayCell shows a delay beside the one from which it is critical.
func delayCell(r *row) string {
	f := r.Flow()
	if f == nil || !f.Live || f.Effective == nil {
		return ""
	}
	text := english.duration(*f.Effective)
	if r.CriticalDelay != nil {
		text += " of " + english.duration(*r.CriticalDelay)
	}
	return text
}

// stepCell shows what a task is at.
func stepCell(r *row) string {
	s := r.Step()
	switch {
	case s == nil:
		return ""
	case s.State == collector.StepWorking && s.Progress != nil:
		return english.step(s.Name) + " " + percent(*s.Progress)
	case s.State == collector.StepFollowing || slices.Contains(omsclient.SwitchoverSteps(), s.Name):
		return english.step(s.Name)
	}
	return english.step(s.Name) + " " + english.value("state", s.State)
}
