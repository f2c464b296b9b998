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

// overviewOf looks at targets, at all of them at once.
func overviewOf(
	ctx context.Context, all []*target,
	look func(context.Context, *target) (l *listing, pending bool),
) *overview {
	o := &overview{
		SchemaVersion: schemaVersion, Targets: make([]*omsState, len(all)), Tasks: []row{},
		Time: time.Now().UTC().Truncate(time.Second),
	}
	listings := make([]*listing, len(all))
	var looking sync.WaitGroup
	for i, t := range all {
		looking.Go(func() {
			var pending bool
			listings[i], pending = look(ctx, t)
			o.Targets[i] = stateOf(t, listings[i], pending)
		})
	}
	looking.Wait()
	for i, l := range listings {
		if l != nil {
			for _, task := range l.tasks {
				o.Tasks = append(o.Tasks, row{all[i].name, task})
			}
		}
	}
	return o
}

func stateOf(t *target, l *listing, pending bool) *omsState {
	s := &omsState{Name: t.name, Pending: pending, Now: time.Now()}
	if fetches := t.collector.Fetches(); len(fetches) > 0 {
		last := &fetches[0]
		s.OK, s.Reason = last.Err == nil, string(omsclient.ReasonOf(last.Err))
		s.Pages, s.Seconds = last.Report.Pages, last.Duration.Seconds()
		s.Expiry = last.Report.CertExpiry()
		if last.Err != nil {
			s.Error = printable(last.Err.Error())
		}
	}
	if refusal, refused := t.client.Refused(); refused {
		s.Refusal = &refusal
	}
	if l != nil {
		s.Listed, s.Statuses = l.at.UTC(), l.statuses
	}
	return s
}

// codes returns the error codes of a task, or of the step that has failed.
func (r *row) codes() []string {
	if s := r.Step(); len(r.Errors) == 0 && s != nil && s.State == collector.StepFailed {
		return s.Errors
	}
	return r.Errors
}

// A query says which tasks are wanted, and in which order. Empty fields want all.
type query struct {
	Search, Severity, Status, Importance, Owner, Tag, Target string

	Sort string // a key of orders, perhaps after a minus
}

// queryOf reads the parameters of the page.
func queryOf(values url.Values) query {
	return query{
		Search: strings.TrimSpace(values.Get("search")), Severity: values.Get("severity"),
		Status: values.Get("status"), Importance: values.Get("importance"),
		Owner: strings.TrimSpace(values.Get("owner")), Tag: strings.TrimSpace(values.Get("tag")),
		Target: values.Get("target"), Sort: values.Get("sort"),
	}
}

// matches reports whether a task is wanted. Searches do not tell small letters from capitals.
func (q *query) matches(r *row) bool {
	return (q.Target == "" || r.Target == q.Target) &&
		(q.Severity == "" || string(r.Severity) == q.Severity) &&
		(q.Status == "" || strings.EqualFold(r.Status, q.Status)) &&
		(q.Importance == "" || strings.EqualFold(r.Importance, q.Importance)) &&
		(q.Owner == "" || has(q.Owner, r.Owner)) &&
		(q.Tag == "" || has(q.Tag, r.Tags...)) &&
		(q.Search == "" || has(q.Search, r.Name, r.ID) || has(q.Search, r.Tags...) ||
			has(q.Search, r.Owner) || has(q.Search, r.codes()...))
}

// has reports whether a text is in one of several.
func has(part string, texts ...string) bool {
	part = strings.ToLower(part)
	return slices.ContainsFunc(texts, func(text string) bool {
		return strings.Contains(strings.ToLower(text), part)
	})
}

// orders are what tasks can be sorted by, each with what people want to see first on top.
var orders = map[string]func(a, b *row) int{
	"worst":      func(a, b *row) int { return collector.CompareTasks(a.TaskView, b.TaskView) },
	"name":       func(a, b *row) int { return strings.Compare(a.Name, b.Name) },
	"owner":      func(a, b *row) int { return strings.Compare(a.Owner, b.Owner) },
	"importance": func(a, b *row) int { return cmp.Compare(importance(a), importance(b)) },
	"status":     func(a, b *row) int { return strings.Compare(a.Status, b.Status) },
	"steps":      func(a, b *row) int { return cmp.Compare(progress(a), progress(b)) },
	"alarms":     largest(func(r *row) *float64 { return r.RecentAlarms }),
	"delay":      largest(ofFlow(func(f *collector.FlowView) *float64 { return f.Effective })),
	"sample":     largest(ofFlow(func(f *collector.FlowView) *float64 { return f.SampleAge })),
	"checkpoint": largest(ofFlow(func(f *collector.FlowView) *float64 { return f.CheckpointAge })),
}

func importance(r *row) int {
	i := slices.Index(omsclient.Importances(), r.Importance)
	if i < 0 {
		return len(omsclient.Importances())
	}
	return i
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

func ofFlow(value func(*collector.FlowView) *float64) func(*row) *float64 {
	return func(r *row) *float64 {
		if f := r.Flow(); f != nil {
			return value(f)
		}
		return nil
	}
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

// choose keeps the wanted tasks, in the wanted order. Tasks that it does not tell apart stand
// in the order of the worst.
func (o *overview) choose(q *query) {
	o.Tasks = slices.DeleteFunc(o.Tasks, func(r row) bool { return !q.matches(&r) })
	key, reversed := strings.CutPrefix(q.Sort, "-")
	order := orders[key]
	if order == nil {
		order, reversed = orders["worst"], false
	}
	slices.SortStableFunc(o.Tasks, func(a, b row) int {
		by := order(&a, &b)
		if reversed {
			by = -by
		}
		return cmp.Or(by, orders["worst"](&a, &b), strings.Compare(a.Target, b.Target))
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
		if flow == nil {
			flow = &collector.FlowView{}
		}
		if step == nil {
			step = &collector.StepView{}
		}
		concerns := make([]string, len(r.Concerns))
		for i, c := range r.Concerns {
			concerns[i] = string(c)
		}
		line := []string{
			r.Target, r.ID, r.Name, r.Type, r.Importance, r.Owner, strings.Join(r.Tags, " "), r.Status,
			string(r.Severity), strings.Join(concerns, " "), step.Name,
		}
		for i := range line {
			line[i] = inert(line[i])
		}
		_ = out.Write(append(line, number(step.Progress), number(flow.Delay), number(flow.Effective),
			number(r.WarningDelay), number(r.CriticalDelay), number(flow.SampleAge),
			number(flow.CheckpointAge), number(r.RecentAlarms), inert(strings.Join(r.codes(), " "))))
	}
	out.Flush()
	return out.Error()
}

// inert returns a text for a cell that no spreadsheet takes for a formula.
func inert(text string) string {
	text = printable(text)
	if text != "" && strings.ContainsAny(text[:1], "=+-@") {
		return "'" + text
	}
	return text
}

func number(v *float64) string {
	if v == nil {
		return ""
	}
	return strconv.FormatFloat(*v, 'f', -1, 64)
}
