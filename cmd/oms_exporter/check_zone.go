package main

import (
	"fmt"
	"slices"
	"time"
)

// An offset is how far the times of tasks are ahead of those that OMS's clock shows.
type offset struct{ time.Duration }

// findOffset compares when running tasks were modified last with the present. OMS
// modifies them all the time, so that times in the right zone are about now, and
// times in another zone are off by quarter hours. The result is nil if the tasks do
// not agree, or do not say. Since a single task may by chance not have been modified
// for some hours, it tells only of times in the future.
func findOffset(ahead []time.Duration) *offset {
	const (
		quarter   = 15 * time.Minute
		tolerance = time.Minute
		farthest  = 14 * time.Hour // of all zones from UTC
	)
	votes := map[time.Duration]int{}
	for _, d := range ahead {
		if off := d.Round(quarter); (d-off).Abs() <= tolerance && off.Abs() <= 2*farthest {
			votes[off]++
		}
	}
	for off, n := range votes {
		if 2*n > len(ahead) && (n > 1 || off >= 0) {
			return &offset{off}
		}
	}
	return nil
}

// omsTime returns the present by OMS's clock, at the time of the listing, or zero.
func (e *evidence) omsTime() time.Time {
	skew, known := e.fetch.Report.ClockSkew().Get()
	if !known {
		return time.Time{}
	}
	return e.fetch.Start.Add(skew)
}

// runningSince returns by how much times of modification are after the present.
func runningSince(modified []time.Time, present time.Time) []time.Duration {
	if present.IsZero() {
		return nil
	}
	ahead := make([]time.Duration, len(modified))
	for i, m := range modified {
		ahead[i] = m.Sub(present)
	}
	return ahead
}

// findZone judges the configured time zone.
func findZone(e *evidence) finding {
	zone, err := location(e.target.config.Timezone)
	if err != nil {
		zone = time.UTC // it has been checked
	}
	name := zone.String()
	switch {
	case e.zone == nil:
		return passes("%s; the tasks do not show whether that is right", name)
	case e.zone.Duration == 0:
		return passes("%s: running tasks were modified just now", name)
	}
	_, seconds := e.fetch.Start.In(zone).Zone()
	offset := time.Duration(seconds) * time.Second
	actual := offset + e.zone.Duration
	const east, west = 14 * time.Hour, -12 * time.Hour // no zone is further off
	if offset != 0 && offset == e.zone.Duration || actual > east || actual < west {
		return warns("check the clock of OMS's hosts; if the times of its answers name their own zone, "+
			e.setting("timezone")+" has no effect on them",
			"%s, but gmtModified of running tasks is %s off OMS's clock", name, signed(e.zone.Duration))
	}
	return warns(fmt.Sprintf("set %s to the zone of OMS's hosts, which is %s now%s",
		e.setting("timezone"), utcOffset(actual), exampleOf(actual)),
		"%s, but gmtModified of running tasks is %s off OMS's clock", name, signed(e.zone.Duration))
}

func utcOffset(d time.Duration) string {
	if d == 0 {
		return "UTC"
	}
	return "UTC" + signed(d)
}

// signed formats a duration such as +08:00.
func signed(d time.Duration) string {
	sign := "+"
	if d < 0 {
		sign = "-"
	}
	minutes := int(d.Abs().Minutes())
	return fmt.Sprintf("%s%02d:%02d", sign, minutes/60, minutes%60)
}

// exampleOf names a zone that has an offset now, if it knows one.
func exampleOf(d time.Duration) string {
	if d == 0 {
		return ""
	}
	names := []string{
		"Asia/Shanghai", "Asia/Tokyo", "Asia/Jakarta", "Asia/Dubai", "Asia/Kolkata", "Europe/London",
		"Europe/Berlin", "Europe/Moscow", "America/New_York", "America/Chicago", "America/Denver",
		"America/Los_Angeles", "America/Sao_Paulo", "Australia/Sydney",
	}
	i := slices.IndexFunc(names, func(name string) bool {
		zone, err := time.LoadLocation(name)
		if err != nil {
			return false
		}
		_, seconds := time.Now().In(zone).Zone()
		return time.Duration(seconds)*time.Second == d
	})
	if i < 0 {
		return ""
	}
	return ", such as " + names[i]
}
