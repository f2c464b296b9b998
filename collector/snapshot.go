package collector

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"

	"oms_exporter/omsclient"
)

// A Snapshot is what a scrape found. It is a [prometheus.Collector], is safe for
// concurrent use, and does not change.
type Snapshot struct {
	tables []table[*Snapshot]

	err         error // why there is no listing; nil: there is one
	gaveUp      bool  // the scrape ended before its listing did, so nothing is known of that
	shared      bool
	duration    time.Duration
	lastSuccess time.Time // of any scrape; zero: none yet
	report      omsclient.Report

	tasks     []*task              // those with series, by id
	fleet     map[fleetKey]int     // all tasks that OMS lists
	excluded  map[string]int       // tasks left out because the options say so, by property
	overLimit int                  // tasks left out because there are too many
	unknown   map[unknownValue]int // how often each occurred
}

// A task is a project that has series.
type task struct {
	omsclient.Project
	identity    string // the labels that all its series have, as text
	threshold   Threshold
	alarmTotals []omsclient.RuleCount
	steps       []*omsclient.Step // those of Steps that have series
}

func (t *task) hasTag(name string) bool {
	return slices.ContainsFunc(t.Labels, func(l omsclient.Label) bool { return l.Name == name })
}

type fleetKey struct{ taskType, status string }

// An unknownValue is one that OMS's documents do not name. The value is empty where
// OMS sent something that cannot be read.
type unknownValue struct{ field, value string }

func newSnapshot(tables []table[*Snapshot]) *Snapshot {
	return &Snapshot{
		tables: tables, fleet: map[fleetKey]int{}, unknown: map[unknownValue]int{},
		excluded: map[string]int{},
	}
}

// Err returns why the listing failed, or nil.
func (s *Snapshot) Err() error { return s.err }

// Excluded returns how many tasks [Options].Exclude left out, by the property that
// did: "status", "name" or "tag".
func (s *Snapshot) Excluded() map[string]int { return maps.Clone(s.excluded) }

// Shared reports whether other scrapes returned this very snapshot too, so that
// what is made of it may be worth keeping for them.
func (s *Snapshot) Shared() bool { return s.shared }

// Describe implements [prometheus.Collector].
func (s *Snapshot) Describe(ch chan<- *prometheus.Desc) {
	for _, t := range s.tables {
		t.describe(ch)
	}
}

// Collect implements [prometheus.Collector].
func (s *Snapshot) Collect(ch chan<- prometheus.Metric) {
	for _, t := range s.tables {
		t.collect(s, ch)
	}
}

// Encode writes the metrics of a snapshot together with families that were gathered
// elsewhere, ordered by name, in a format for which [CanEncode] is true. Only
// families whose names are wanted are written; a nil wanted means all. After an
// error, part of the output may have been written.
func (s *Snapshot) Encode(
	w io.Writer, format expfmt.Format, others []*dto.MetricFamily, wanted func(name string) bool,
) error {
	if !CanEncode(format) {
		return fmt.Errorf("cannot encode metrics as %q: it is neither the text format nor OpenMetrics", format)
	}
	var families []family
	for _, t := range s.tables {
		families = append(families, t.families(s)...)
	}
	for _, f := range others {
		families = append(families, gathered(f))
	}
	return encode(w, format, families, wanted)
}

// add takes in a project that OMS lists.
func (s *Snapshot) add(project omsclient.Project, exclude *Exclude) {
	t := &task{Project: project}
	s.fleet[fleetKey{t.Type, t.Status}]++
	s.noteUnknown(t)
	if property := exclude.match(t); property != "" {
		s.excluded[property]++
		return
	}
	s.tasks = append(s.tasks, t)
}

// noteUnknown counts the values of a task that the documents do not name.
func (s *Snapshot) noteUnknown(t *task) {
	expect := func(known []string, field, value string) {
		if value != "" && !slices.Contains(known, value) {
			s.unknown[unknownValue{field, value}]++
		}
	}
	expect(knownTypes, "type", t.Type)
	expect(knownStatuses, "status", t.Status)
	expect(knownImportances, "importance", t.Importance)
	for i := range t.Steps {
		expect(knownStepNames, "steps.name", t.Steps[i].Name)
		expect(knownStepStatuses, "steps.status", t.Steps[i].Status)
	}
}

// fail empties a snapshot: half of the tasks would look like all of them.
func (s *Snapshot) fail(err error) {
	s.err = err
	s.tasks, s.fleet, s.excluded = nil, nil, nil
}

// finish completes the tasks of a snapshot, in the order in which they will be written.
// What is made for them in that order lies in memory in that order, which makes writing
// faster.
func (s *Snapshot) finish(thresholds *Thresholds) {
	slices.SortFunc(s.tasks, func(a, b *task) int { return strings.Compare(a.ID, b.ID) })
	for _, t := range s.tasks {
		t.identity = string(appendLabels(nil, identity, t))
		t.threshold = thresholds.of(t)
		t.steps = latestSteps(t.Steps)
	}
}

// latestSteps returns the steps that have names. Of several with the same name it
// returns the last: that is what OMS did last.
func latestSteps(all []omsclient.Step) []*omsclient.Step {
	latest := make([]*omsclient.Step, 0, len(all))
	for i := range all {
		again := false
		for j := i + 1; j < len(all) && !again; j++ {
			again = all[j].Name == all[i].Name
		}
		if all[i].Name != "" && !again {
			latest = append(latest, &all[i])
		}
	}
	return latest
}

// limit takes away all tasks if there are too many: half of a listing would look
// like a whole one.
func (s *Snapshot) limit(most int) (exceeded bool) {
	if most == 0 || len(s.tasks) <= most {
		return false
	}
	s.overLimit, s.tasks = len(s.tasks), nil
	return true
}

// clockSkew returns by how many seconds OMS's clock is ahead of the exporter's.
func (s *Snapshot) clockSkew() (float64, bool) {
	skew, known := s.report.ClockSkew().Get()
	return skew.Seconds(), known
}
