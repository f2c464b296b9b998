package collector

import (
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"
)

// Thresholds are the delays above which tasks are late. OMS has thresholds of its own
// but does not tell them, so these are configured. A nil Thresholds has none.
type Thresholds struct {
	Importance map[string]Threshold // by the importance of the task
	Overrides  []Override           // the first that matches a task replaces that
	FromTags   bool                 // whether a tag such as delay:30s or delay:30s/2m replaces both
}

// A Threshold has a delay for a warning and one for a critical alert; 0 is none.
type Threshold struct {
	Warning, Critical time.Duration
}

// An Override is a threshold for the tasks that match all of its conditions.
type Override struct {
	ID   string         // empty: any
	Tag  string         // the name of a tag; empty: any tags, or none
	Name *regexp.Regexp // nil: any
	Threshold
}

// tagPrefix begins the name of a tag that sets thresholds.
const tagPrefix = "delay:"

// of returns the thresholds of a task.
func (t *Thresholds) of(task *task) Threshold {
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

func (o *Override) matches(t *task) bool {
	return (o.ID == "" || o.ID == t.ID) &&
		(o.Tag == "" || t.hasTag(o.Tag)) &&
		(o.Name == nil || o.Name.MatchString(t.Name))
}

// fromTags reads the first tag of the form delay:WARNING or delay:WARNING/CRITICAL.
// One without a critical delay leaves that as it was, unless it would come before the
// warning.
func fromTags(t *task, otherwise Threshold) Threshold {
	for i := range t.Labels {
		delays, ok := strings.CutPrefix(t.Labels[i].Name, tagPrefix)
		if !ok {
			continue
		}
		warning, critical, both := strings.Cut(delays, "/")
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
