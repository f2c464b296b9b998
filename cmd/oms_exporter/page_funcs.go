package main

import (
	"cmp"
	"html/template"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"oms_exporter/collector"
	"oms_exporter/omsclient"
)

// funcsOf returns what templates call, in a language.
func funcsOf(l lang) template.FuncMap {
	return template.FuncMap{
		"t": l.text, "value": l.value, "step": l.step, "p": printable,
		"target":   func(name string) string { return printable(cmp.Or(name, "OMS")) },
		"css":      func() template.CSS { return template.CSS(siteCSS) }, //nolint:gosec // ours
		"js":       func() template.JS { return template.JS(siteJS) },    //nolint:gosec // ours
		"duration": l.optionalDuration, "seconds": l.duration, "away": l.away,
		"bytes":  size[int64],
		"number": func(v *float64) string { return optionalText(v, grouped) },
		"rate":   func(v *float64) string { return optionalText(v, perSecond) },
		"speed": func(v *float64) string {
			return optionalText(v, func(v float64) string { return size(int64(v)) })
		},
		"percent": func(v *float64) string { return optionalText(v, percent) },
		"clock":   clock,
		"shares":  shares, "statusClass": statusClass,
		"delayBar": delayBar, "strip": l.strip, "glyph": glyph,
	}
}

// clock formats a time, or a pointer to one. A zero time is not known.
func clock(at any) string {
	t, ok := at.(time.Time)
	if p, pointer := at.(*time.Time); pointer {
		t, ok = *p, true
	}
	if !ok || t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.DateTime)
}

func (l lang) optionalDuration(v *float64) string { return optionalText(v, l.duration) }

func optionalText(v *float64, format func(float64) string) string {
	if v == nil {
		return ""
	}
	return format(*v)
}

// percent rounds down: 100 % says that something is done.
func percent(ratio float64) string { return strconv.Itoa(int(ratio*100+1e-9)) + "%" }

// perSecond formats a number per second, with a digit after the point if it is small.
func perSecond(v float64) string {
	if v < 10 && v != math.Trunc(v) {
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	return grouped(v)
}

// statusClass returns the class of what has the color of a status. New statuses have none.
func statusClass(status string) string {
	if slices.Contains(omsclient.Statuses(), status) {
		return "status-" + status
	}
	return ""
}

// A share is a part of a bar, in percent of its length.
type share struct {
	Status     string
	Tasks      int
	From, Wide float64
}

// shares divides a bar among statuses.
func shares(statuses map[string]int) []share {
	order := []string{
		"RUNNING", "RUNNING_MODIFYING", "RUNNING_MERGING", "FAILED", "SUSPEND", "INIT", "FINISHED",
	}
	order = append(order, slices.Sorted(maps.Keys(statuses))...)
	total := 0
	for _, n := range statuses {
		total += n
	}
	var all []share
	from := 0.0
	for i, status := range order {
		if n := statuses[status]; n > 0 && slices.Index(order, status) == i {
			wide := 100 * float64(n) / float64(total)
			all = append(all, share{status, n, from, wide})
			from += wide
		}
	}
	return all
}

// A bar is a delay beside its thresholds, in percent of the bar's length.
type bar struct {
	Level         string // as a severity
	Wide, Warning float64
}

// delayBar returns the bar of a task that follows changes, or nil. Its end is the critical
// delay.
func delayBar(r *pageRow) *bar {
	f := r.Flow()
	if f == nil || !f.Live || f.Effective == nil || r.CriticalDelay == nil || *r.CriticalDelay <= 0 {
		return nil
	}
	used := *f.Effective / *r.CriticalDelay
	b := &bar{Level: string(collector.Fine), Wide: 100 * min(max(used, 0), 1)}
	if r.WarningDelay != nil {
		b.Warning = 100 * min(*r.WarningDelay / *r.CriticalDelay, 1)
	}
	for _, c := range r.Concerns {
		switch c {
		case "very_late":
			b.Level = string(collector.Critical)
		case "late":
			b.Level = string(collector.Warning)
		}
	}
	return b
}

// strip describes the steps of a task for those who do not see them.
func (l lang) strip(steps []collector.StepView) string {
	parts := make([]string, len(steps))
	for i := range steps {
		s := &steps[i]
		parts[i] = l.step(s.Name) + " " + l.value("state", s.State)
		if s.State == collector.StepWorking && s.Progress != nil {
			parts[i] += " " + percent(*s.Progress)
		}
	}
	return strings.Join(parts, ", ")
}

// glyph returns what tells a step's state to those who do not see colors.
func glyph(s collector.StepView) string {
	switch s.State {
	case collector.StepDone:
		return "✓"
	case collector.StepFailed:
		return "✕"
	case collector.StepFollowing:
		return "↻"
	case collector.StepPaused:
		return "‖"
	case collector.StepPerson:
		return "?"
	case collector.StepWorking:
		return optionalText(s.Progress, percent)
	}
	return ""
}
