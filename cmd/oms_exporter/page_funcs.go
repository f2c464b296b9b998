package main

import (
	"cmp"
	"html/template"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/text/language"
	"golang.org/x/text/message"
	"golang.org/x/text/number"

	"oms_exporter/collector"
)

// funcsOf returns what templates call, in a language.
func funcsOf(l lang) template.FuncMap {
	return template.FuncMap{
		"t": l.text, "value": l.value, "step": l.step, "p": printable,
		"target":  func(name string) string { return printable(cmp.Or(name, "OMS")) },
		"css":     func() template.CSS { return template.CSS(siteCSS) }, //nolint:gosec // ours
		"js":      func() template.JS { return template.JS(siteJS) },    //nolint:gosec // ours
		"seconds": l.duration, "away": l.away, "clock": clock, "percent": percent,
		"number": grouped, "bytes": size[int64], "amount": amount, "counts": countsOf,
		"speed":  func(v float64) string { return size(int64(v)) },
		"shares": shares, "bar": barOf, "fields": strings.Fields,
	}
}

// clock formats a time. A zero time is not known.
func clock(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.DateTime)
}

// percent rounds down: 100 % says that something is done.
func percent(ratio float64) string { return strconv.Itoa(int(ratio*100+1e-9)) + "%" }

// grouped writes a number with commas between groups of three digits, and one digit after the
// point at most.
func grouped(v float64) string {
	return message.NewPrinter(language.English).Sprint(number.Decimal(v, number.MaxFractionDigits(1)))
}

// A share is a part of a bar, in percent of its length.
type share struct {
	Status     string
	Tasks      int
	From, Wide float64
}

// shares divides a bar among statuses.
func shares(statuses map[string]int) []share {
	order := append([]string{
		"RUNNING", "RUNNING_MODIFYING", "RUNNING_MERGING", "FAILED", "SUSPEND", "INIT", "FINISHED",
	}, slices.Sorted(maps.Keys(statuses))...)
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

// barOf returns the bar of a task that follows changes, or nil. Its end is the critical delay.
func barOf(v *collector.TaskView) *bar {
	delay, end := v.Live().Effective, v.CriticalDelay
	if delay == nil || end == nil || *end <= 0 {
		return nil
	}
	b := &bar{Level: collector.Fine, Wide: 100 * min(max(*delay / *end, 0), 1)}
	if v.WarningDelay != nil {
		b.Warning = 100 * min(*v.WarningDelay / *end, 1)
	}
	switch {
	case slices.Contains(v.Concerns, "very_late"):
		b.Level = collector.Critical
	case slices.Contains(v.Concerns, "late"):
		b.Level = collector.Warning
	}
	return b
}
