// Rehearsal runs every scenario of the simulated OMS, in time-lapse, against
// the exporter, a real Prometheus with the rules and a real Alertmanager with
// the routes, all on loopback. It prints which alerts arrived at which receiver
// and when, and which were inhibited by what. It ends with a verdict. The exit status
// is 0 if everything was as expected, 1 if not, and 3 if it was not but the machine was
// too slow to judge.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"
)

// options are what the command line sets.
type options struct {
	deploy             string
	speed              float64
	seed               uint64
	least, most        time.Duration // simulated
	only               string
	prometheusBinary   string
	alertmanagerBinary string
	keep               bool
}

func main() {
	var o options
	flag.StringVar(&o.deploy, "deploy", ".", "directory deploy of the repository")
	flag.Float64Var(&o.speed, "speed", 30, "how many times as fast as real time")
	flag.Uint64Var(&o.seed, "seed", 1, "seed of the simulated tasks")
	flag.DurationVar(&o.least, "least", 80*time.Minute,
		"minimum simulated time, to watch for unexpected alerts")
	flag.DurationVar(&o.most, "most", 3*time.Hour, "maximum simulated time, to await expected alerts")
	flag.StringVar(&o.only, "scenes", ".*", "regular expression of the scenes to play")
	flag.StringVar(&o.prometheusBinary, "prometheus", "prometheus", "path of the program Prometheus")
	flag.StringVar(&o.alertmanagerBinary, "alertmanager", "prometheus-alertmanager",
		"path of the program Alertmanager")
	flag.BoolVar(&o.keep, "keep", false, "keep the files of the processes")
	flag.Parse()
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, o, os.Stdout)
	cancel()
	if err != nil {
		fmt.Fprintln(os.Stderr, "rehearsal:", err)
	}
	os.Exit(status(err))
}

// What a rehearsal comes to, unless all was as expected. The details have been printed.
var (
	errUnexpected = errors.New("not as expected")
	errNoVerdict  = errors.New("no verdict: the machine was too slow to judge")
)

// status is the exit status. That there is no verdict must not look like a success.
func status(err error) int {
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errNoVerdict):
		return 3 // 2 is for mistakes in the flags
	default:
		return 1
	}
}

// A rehearsal is a run of the stack and what has been observed of it.
type rehearsal struct {
	*stack
	pages   pages
	seen    seen
	acts    map[string]error // results of finished acts, by scene
	trouble began            // when it began
	pace    pace
}

// run rehearses and prints the result. It returns an error if that is not what
// is expected.
func run(ctx context.Context, o options, out io.Writer) error {
	chosen, err := choose(o.only)
	if err != nil {
		return err
	}
	r := &rehearsal{seen: make(seen), acts: make(map[string]error)}
	r.stack, err = start(ctx, o, chosen, &r.pages)
	defer func() { r.stop() }()
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%s at %g times the speed: at least %s, at most %s\n",
		count(len(chosen), "scene"), o.speed, r.real(o.least), r.real(o.most))
	if err := r.play(ctx, chosen); err != nil {
		return err
	}
	// Before the exporter is stopped on purpose.
	if r.trouble, err = r.troubles(ctx); err != nil {
		return err
	}
	if r.pace, err = r.measure(ctx); err != nil {
		return err
	}
	r.acts["exporter"] = exporterDown(ctx, r, chosen)
	return r.report(out, chosen)
}

// choose returns the scenes whose names match.
func choose(only string) ([]scene, error) {
	re, err := regexp.Compile("^(" + only + ")$")
	if err != nil {
		return nil, err
	}
	chosen := slices.DeleteFunc(slices.Clone(scenes), func(s scene) bool {
		return !re.MatchString(s.name)
	})
	if len(chosen) == 0 {
		return nil, fmt.Errorf("no scene matches %s", only)
	}
	return chosen, nil
}

// play runs the scenes until each has sent its expected alerts, or time is up.
func (r *rehearsal) play(ctx context.Context, chosen []scene) error {
	type end struct {
		scene string
		err   error
	}
	acting, ended := 0, make(chan end, len(chosen))
	for _, s := range chosen {
		if s.act != nil {
			acting++
			go func() { ended <- end{s.name, s.act(ctx, r, s)} }()
		}
	}
	for {
		if err := r.seen.look(ctx, r.alertmanager); err != nil {
			return err
		}
		elapsed := r.simulated(time.Since(r.began))
		incomplete := func(s scene) bool { return len(r.missing(s)) > 0 }
		done := acting == 0 && !slices.ContainsFunc(chosen, incomplete)
		if elapsed > r.most || done && elapsed > r.least {
			return nil
		}
		select {
		case e := <-ended:
			acting--
			r.acts[e.scene] = e.err
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// missing returns the expected alerts of a scene that have not arrived.
func (r *rehearsal) missing(s scene) []string {
	return slices.DeleteFunc(slices.Clone(s.want), func(name string) bool {
		return len(r.pages.of(s.name, fired(name))) > 0
	})
}

// A row is the result for one alert in a scene.
type row struct {
	alert     string
	receivers []string
	tasks     int           // how many tasks it arrived for
	first     time.Duration // simulated time of its first arrival; 0: it did not arrive
	quickest  time.Duration // simulated, from the first sign of trouble to its arrival; 0: not known
	resolved  int
	inhibited []string // by which alerts
}

// rows returns the results for the alerts of a scene, in order of arrival.
func (r *rehearsal) rows(s scene) []row {
	var rows []row
	for _, name := range r.seen.names(s.name) {
		row := row{alert: name, inhibited: r.seen[[2]string{s.name, name}]}
		tasks := make(map[string]bool)
		for _, p := range r.pages.of(s.name, fired(name)) {
			tasks[p.Labels["task_id"]] = true
			if !slices.Contains(row.receivers, p.receiver) {
				row.receivers = append(row.receivers, p.receiver)
			}
			if row.first == 0 {
				row.first = r.simulated(p.at.Sub(r.began))
			}
			if began := r.trouble.before(p); !began.IsZero() {
				took := r.simulated(p.at.Sub(began))
				row.quickest = min(cmp.Or(row.quickest, took), took)
			}
		}
		row.tasks = len(tasks)
		row.resolved = len(r.pages.of(s.name, func(p page) bool {
			return p.resolved && p.Labels["alertname"] == name
		}))
		rows = append(rows, row)
	}
	slices.SortFunc(rows, func(a, b row) int {
		return cmp.Or(-cmp.Compare(min(1, a.first), min(1, b.first)), cmp.Compare(a.first, b.first),
			strings.Compare(a.alert, b.alert))
	})
	return rows
}

// report prints what arrived, and returns an error for what is wrong with it.
func (r *rehearsal) report(out io.Writer, chosen []scene) error {
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "SCENE\tEXPECTED\tALERT\tTASKS\tARRIVED AT\tFIRST\tTIME TO PAGE\tRESOLVED\t"+
		"INHIBITED BY")
	var wrong []error
	for _, s := range chosen {
		rows := slices.DeleteFunc(r.rows(s), func(row row) bool { return row.alert == exporterAlert })
		if len(rows) == 0 {
			fmt.Fprintf(t, "%s\tnothing\tnothing\t\t\t\t\t\t\n", s.name)
		}
		for _, row := range rows {
			expected := s.expects(row.alert)
			if expected == "" {
				expected = "NO"
				wrong = append(wrong, fmt.Errorf("%s: unexpected alert %s", s.name, row.alert))
			}
			fmt.Fprintf(t, "%s\t%s\t%s\n", s.name, expected, row)
		}
		if missing := r.missing(s); len(missing) > 0 {
			wrong = append(wrong, fmt.Errorf("%s: missing: %s", s.name, strings.Join(missing, ", ")))
		}
		wrong = append(wrong, r.acts[s.name])
		if s.check != nil {
			wrong = append(wrong, s.check(r, s))
		}
	}
	wrong = append(wrong, t.Flush())
	fmt.Fprintf(out, "Then the exporter was stopped: %s fired for %d of %s. "+
		"Pager was notified %s.\n", exporterAlert, r.down(chosen), count(len(chosen), "target"),
		count(r.pages.notifications("pager", exporterAlert), "time"))
	wrong = append(wrong, r.acts["exporter"])
	return conclude(out, wrong, r.pace)
}

// count returns a number of things in words.
func count(n int, thing string) string {
	if n != 1 {
		thing += "s"
	}
	return fmt.Sprintf("%d %s", n, thing)
}

// expects says whether an alert must or may arrive in a scene; it is empty if
// neither.
func (s *scene) expects(alert string) string {
	switch {
	case slices.Contains(s.want, alert):
		return "yes"
	case slices.Contains(s.never, alert):
		return ""
	case slices.Contains(s.may, alert) || slices.Contains(goodNews, alert):
		return "maybe"
	default:
		return ""
	}
}

func (r row) String() string {
	if len(r.receivers) == 0 {
		return fmt.Sprintf("%s\t\tnobody\t\t\t\t%s", r.alert, strings.Join(r.inhibited, ", "))
	}
	took := "?"
	if r.quickest > 0 {
		took = minutes(r.quickest)
	}
	return fmt.Sprintf("%s\t%d\t%s\t%s\t%s\t%d\t%s", r.alert, r.tasks, strings.Join(r.receivers, ", "),
		minutes(r.first), took, r.resolved, strings.Join(r.inhibited, ", "))
}
