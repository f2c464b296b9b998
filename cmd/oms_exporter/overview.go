package main

import (
	"cmp"
	"context"
	"encoding/csv"
	"encoding/json"
	"io"
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"oms_exporter/collector"
	"oms_exporter/omsclient"
)

// This file is what the page and the command tasks share: the tasks of all targets, which of
// them are wanted, and in which order.

type (
	// A row is a task of a target.
	row struct {
		Target string `json:"target,omitempty"` // empty: that of the flags
		*collector.TaskView
	}
	// An overview is what is known about all targets. It is also the JSON for programs.
	overview struct {
		SchemaVersion int         `json:"schema_version"`
		Time          time.Time   `json:"time"`
		Targets       []*omsState `json:"targets"`
		Tasks         []row       `json:"tasks"`
	}
	// An omsState is what is known about a target.
	omsState struct {
		Name     string         `json:"name,omitempty"`
		OK       bool           `json:"ok"`                // it answered when it was last listed
		Pending  bool           `json:"pending,omitempty"` // it is being listed
		Reason   string         `json:"reason,omitempty"`
		Listed   time.Time      `json:"listed,omitzero"` // when the listing of the tasks ended
		Statuses map[string]int `json:"tasks_by_status,omitempty"`
		Pages    int            `json:"pages,omitempty"`   // of the last listing, as the following
		Seconds  float64        `json:"seconds,omitempty"` //
		Expiry   time.Time      `json:"certificate_expiry,omitzero"`

		Error   string             `json:"-"` // may name hosts, which only /status shows
		Now     time.Time          `json:"-"`
		Refusal *omsclient.Refusal `json:"-"` // of the secret; nil: OMS has not refused it
	}
)

// A lookFunc returns a listing of a target, or nil, and whether another one is under way.
type lookFunc func(context.Context, *target) (l *listing, pending bool)

// overviewOf looks at targets, at all of them at once.
func overviewOf(ctx context.Context, all []*target, look lookFunc) *overview {
	o := &overview{
		SchemaVersion: schemaVersion, Targets: make([]*omsState, len(all)), Tasks: []row{},
		Time: time.Now().UTC().Truncate(time.Second),
	}
	tasks := make([][]*collector.TaskView, len(all))
	var looking sync.WaitGroup
	for i, t := range all {
		looking.Go(func() {
			l, pending := look(ctx, t)
			o.Targets[i] = stateOf(t, pending)
			if l != nil {
				o.Targets[i].Listed, o.Targets[i].Statuses, tasks[i] = l.at.UTC(), l.statuses, l.tasks
			}
		})
	}
	looking.Wait()
	for i := range all {
		for _, task := range tasks[i] {
			o.Tasks = append(o.Tasks, row{all[i].name, task})
		}
	}
	return o
}

func stateOf(t *target, pending bool) *omsState {
	s := &omsState{Name: t.name, Pending: pending, Now: time.Now()}
	if fetches := t.collector.Fetches(); len(fetches) > 0 {
		last := &fetches[0]
		s.OK, s.Reason = last.Err == nil, string(omsclient.ReasonOf(last.Err))
		s.Pages, s.Seconds = last.Report.Pages, last.Duration.Seconds()
		s.Expiry, s.Error = last.Report.CertExpiry(), textOfError(last.Err)
	}
	if refusal, refused := t.client.Refused(); refused {
		s.Refusal = &refusal
	}
	return s
}

// codes returns the error codes of a task, or of the step that has failed.
func (r *row) codes() []string {
	if s := r.Step(); len(r.Errors) == 0 && s.State == collector.StepFailed {
		return s.Errors
	}
	return r.Errors
}

// A filter wants tasks with a text: as one of some values, or as a part of one.
type filter struct {
	help  string
	whole bool
	of    func(*row) []string
}

// filters are the parameters of the page, and the flags of the command tasks, by their names.
var filters = map[string]filter{
	"search": {
		"Only tasks with this text in their name, id, tags, owner or error codes.", false,
		func(r *row) []string {
			return slices.Concat([]string{r.Name, r.ID, r.Owner}, r.Tags, r.codes())
		},
	},
	"severity": {
		"Only tasks of this severity: critical, warning, notice or fine.", true,
		func(r *row) []string { return []string{r.Severity} },
	},
	"status": {
		"Only tasks with this status, such as FAILED.", true,
		func(r *row) []string { return []string{r.Status} },
	},
	"importance": {
		"Only tasks of this importance, such as HIGH.", true,
		func(r *row) []string { return []string{r.Importance} },
	},
	"owner": {
		"Only tasks with this text in their owner.", false,
		func(r *row) []string { return []string{r.Owner} },
	},
	"tag": {
		"Only tasks with this text in one of their tags.", false,
		func(r *row) []string { return r.Tags },
	},
	"target": {
		"Only tasks of this target.", true,
		func(r *row) []string { return []string{r.Target} },
	},
}

// matches reports whether a query wants a task. It does not tell small letters from capitals.
func matches(query url.Values, r *row) bool {
	for name, f := range filters {
		wanted := strings.ToLower(strings.TrimSpace(query.Get(name)))
		if wanted != "" && !slices.ContainsFunc(f.of(r), func(text string) bool {
			text = strings.ToLower(text)
			return text == wanted || !f.whole && strings.Contains(text, wanted)
		}) {
			return false
		}
	}
	return true
}

// worst is what tasks are sorted by unless somebody wants something else.
const worst = "worst"

// orders are what tasks can be sorted by, each with what people want to see first on top.
var orders = map[string]func(a, b *row) int{
	worst:        func(a, b *row) int { return collector.CompareTasks(a.TaskView, b.TaskView) },
	"name":       func(a, b *row) int { return strings.Compare(a.Name, b.Name) },
	"owner":      func(a, b *row) int { return strings.Compare(a.Owner, b.Owner) },
	"importance": func(a, b *row) int { return cmp.Compare(a.ImportanceRank(), b.ImportanceRank()) },
	"status":     func(a, b *row) int { return strings.Compare(a.Status, b.Status) },
	"steps":      func(a, b *row) int { return cmp.Compare(progress(a), progress(b)) },
	"alarms":     largest(func(r *row) *float64 { return r.RecentAlarms }),
	"delay":      largest(func(r *row) *float64 { return r.Flow().Effective }),
	"sample":     largest(func(r *row) *float64 { return r.Flow().SampleAge }),
	"checkpoint": largest(func(r *row) *float64 { return r.Flow().CheckpointAge }),
}

// progress returns how many steps are done, and which part of the others.
func progress(r *row) float64 {
	var done float64
	for i := range r.Steps {
		if s := &r.Steps[i]; s.State == collector.StepDone || s.State == collector.StepFollowing {
			done++
		} else if s.Progress != nil {
			done += *s.Progress
		}
	}
	return done / float64(max(len(r.Steps), 1))
}

func largest(value func(*row) *float64) func(a, b *row) int {
	number := func(r *row) float64 {
		if v := value(r); v != nil {
			return *v
		}
		return math.Inf(-1)
	}
	return func(a, b *row) int { return cmp.Compare(number(b), number(a)) }
}

// choose keeps the tasks that a query wants, in the order that it wants. Tasks that this does not
// tell apart stand in the order of the worst.
func (o *overview) choose(query url.Values) {
	o.Tasks = slices.DeleteFunc(o.Tasks, func(r row) bool { return !matches(query, &r) })
	key, reversed := strings.CutPrefix(query.Get("sort"), "-")
	order := orders[key]
	if order == nil {
		order, reversed = orders[worst], false
	}
	slices.SortStableFunc(o.Tasks, func(a, b row) int {
		by := order(&a, &b)
		if reversed {
			by = -by
		}
		return cmp.Or(by, orders[worst](&a, &b), strings.Compare(a.Target, b.Target))
	})
}

func (o *overview) writeJSON(w io.Writer) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	return encoder.Encode(o)
}

// writeCSV writes a line for each task.
func (o *overview) writeCSV(w io.Writer) error {
	out := csv.NewWriter(w)
	_ = out.Write([]string{ // the error is kept until the end
		"target", "id", "name", "type", "importance", "owner", "tags", "status", "severity", "concerns",
		"step", "step_progress_ratio", "delay_seconds", "effective_delay_seconds",
		"warning_delay_seconds", "critical_delay_seconds", "sample_age_seconds",
		"checkpoint_age_seconds", "recent_alarms", "error_codes",
	})
	for i := range o.Tasks {
		r := &o.Tasks[i]
		flow, step := r.Flow(), r.Step()
		_ = out.Write([]string{
			inert(r.Target), inert(r.ID), inert(r.Name), inert(r.Type), inert(r.Importance),
			inert(r.Owner), inert(r.Tags...), inert(r.Status), r.Severity, inert(r.Concerns...),
			inert(step.Name), decimal(step.Progress), decimal(flow.Delay), decimal(flow.Effective),
			decimal(r.WarningDelay), decimal(r.CriticalDelay), decimal(flow.SampleAge),
			decimal(flow.CheckpointAge), decimal(r.RecentAlarms), inert(r.codes()...),
		})
	}
	out.Flush()
	return out.Error()
}

// inert returns texts for a cell that no spreadsheet takes for a formula.
func inert(texts ...string) string {
	text := printable(strings.Join(texts, " "))
	if text != "" && strings.ContainsAny(text[:1], "=+-@") {
		return "'" + text
	}
	return text
}

func decimal(v *float64) string {
	if v == nil {
		return ""
	}
	return strconv.FormatFloat(*v, 'f', -1, 64)
}
