package collector

import (
	"iter"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"
)

// Thresholds are the delays from which on a task is late. OMS has thresholds of
// its own but does not tell them, so these are configured.
type Thresholds struct {
	Importance map[string]Threshold // by the importance of the task
	Overrides  []Override           // the first one that matches a task stands for its importance
	FromTags   bool                 // whether a tag such as delay:30s or delay:30s/2m stands for all
}

// A Threshold is a delay for a warning and one for an alarm; 0 is none.
type Threshold struct {
	Warning, Critical time.Duration
}

// An Override is a threshold for the tasks that match all of what is given.
type Override struct {
	ID   string
	Tag  string         // the name of a tag
	Name *regexp.Regexp // nil: any name
	Threshold
}

// tagPrefix is how a tag begins that sets thresholds.
const tagPrefix = "delay:"

// of returns the thresholds of a task.
func (t *Thresholds) of(task task) Threshold {
	if t == nil {
		return Threshold{}
	}
	threshold := t.Importance[task.Importance]
	if i := slices.IndexFunc(t.Overrides, func(o Override) bool { return o.matches(task) }); i >= 0 {
		threshold = t.Overrides[i].Threshold
	}
	if t.FromTags {
		threshold = fromTags(task, threshold)
	}
	return threshold
}

func (o *Override) matches(task task) bool {
	return (o.ID == "" || o.ID == task.ID) &&
		(o.Tag == "" || hasTag(task, o.Tag)) &&
		(o.Name == nil || o.Name.MatchString(task.Name))
}

func hasTag(task task, name string) bool {
	for i := range task.Labels {
		if task.Labels[i].Name == name {
			return true
		}
	}
	return false
}

// fromTags reads the first tag of the form delay:30s, for a warning, or
// delay:30s/2m. What is only for a warning raises an alarm that would come
// before it.
func fromTags(task task, otherwise Threshold) Threshold {
	for i := range task.Labels {
		text, ok := strings.CutPrefix(task.Labels[i].Name, tagPrefix)
		if !ok {
			continue
		}
		warning, critical, both := strings.Cut(text, "/")
		w, err := model.ParseDuration(warning)
		if err != nil {
			continue
		}
		threshold := Threshold{time.Duration(w), otherwise.Critical}
		if both {
			c, err := model.ParseDuration(critical)
			if err != nil {
				continue
			}
			threshold.Critical = time.Duration(c)
		} else if threshold.Critical > 0 {
			threshold.Critical = max(threshold.Critical, threshold.Warning)
		}
		return threshold
	}
	return otherwise
}

// thresholdsIn yields the thresholds of all tasks that have any.
func thresholdsIn(s *Snapshot) iter.Seq[threshold] {
	return func(yield func(threshold) bool) {
		for _, t := range s.tasks {
			configured := s.thresholds.of(t)
			if configured.Warning > 0 && !yield(threshold{t, "warning", configured.Warning}) {
				return
			}
			if configured.Critical > 0 && !yield(threshold{t, "critical", configured.Critical}) {
				return
			}
		}
	}
}
