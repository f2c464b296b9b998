package collector

import (
	"context"
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
	tables  []table[*Snapshot]
	without func(group string) bool // whether a group is switched off

	err         error // why there are no tasks; nil: the listing is complete
	gaveUp      bool  // the scrape ended before the listing, about which nothing is known
	shared      bool  // by several scrapes
	duration    time.Duration
	lastSuccess time.Time // of any scrape; zero: none yet
	report      omsclient.Report

	tasks    []*task              // those with series, by id
	fleet    fleetCounts          // all tasks that OMS lists
	excluded map[string]int       // tasks left out because the options say so, by property
	unknown  map[unknownValue]int // how often each occurred; see noteUnknown
}

// A task is a project that has series.
type task struct {
	omsclient.Project
	threshold   Threshold
	alarmTotals []omsclient.RuleCount
	steps       []*omsclient.Step // those of Steps that have series

	// What OMS has said when it was asked about the task alone; nil: nothing.
	verified   *answer[omsclient.VerifyResult]
	components *answer[[]omsclient.Component]
}

// identityLabels are the labels that every series of a task has.
var identityLabels = []label[*task]{
	{"task_id", func(t *task) string { return t.ID }},
	{"task_name", func(t *task) string { return t.Name }},
}

func (t *task) hasTag(name string) bool {
	return slices.ContainsFunc(t.Labels, func(l omsclient.Label) bool { return l.Name == name })
}

type fleetKey struct{ taskType, status string }

func (k fleetKey) documented() bool {
	return slices.Contains(knownTypes, k.taskType) && slices.Contains(knownStatuses, k.status)
}

// FleetCounts count tasks by type and status. Every task counts once.
type fleetCounts struct {
	tasks map[fleetKey]int
	odd   int // pairs in tasks that OMS's documents do not name
}

// MaxOddPairs is how many pairs of type and status are counted apart although OMS's
// documents do not name them. Tasks with yet another pair count as otherPair.
const MaxOddPairs = 100

var otherPair = fleetKey{"other", "other"}

func (f *fleetCounts) add(k fleetKey) {
	if _, counted := f.tasks[k]; !counted && !k.documented() {
		if f.odd == MaxOddPairs {
			k = otherPair
		} else {
			f.odd++
		}
	}
	f.tasks[k]++
}

// An unknownValue is one that OMS's documents do not name. The value is empty where
// OMS sent something that cannot be read, or more than is kept.
type unknownValue struct{ field, value string }

// The values that OMS's documents name. Nothing changes these slices.
var (
	knownTypes        = omsclient.Types()
	knownStatuses     = omsclient.Statuses()
	knownImportances  = omsclient.Importances()
	knownStepNames    = omsclient.StepNames()
	knownStepStatuses = omsclient.StepStatuses()
)

func newSnapshot(tables []table[*Snapshot], without func(group string) bool) *Snapshot {
	return &Snapshot{
		tables: tables, without: without, fleet: fleetCounts{tasks: map[fleetKey]int{}},
		excluded: map[string]int{}, unknown: map[unknownValue]int{},
	}
}

// Err returns why the listing failed, or nil.
func (s *Snapshot) Err() error { return s.err }

// Excluded returns how many tasks [Options].Exclude left out, by the property that
// did: "status", "name" or "tag".
func (s *Snapshot) Excluded() map[string]int { return maps.Clone(s.excluded) }

// Tasks returns how many tasks have series. A nil snapshot has none.
func (s *Snapshot) Tasks() int {
	if s == nil {
		return 0
	}
	return len(s.tasks)
}

// listed returns how many tasks OMS lists, whether they have series or not.
func (s *Snapshot) listed() int {
	n := len(s.tasks) + s.report.Invalid
	for _, excluded := range s.excluded {
		n += excluded
	}
	return n
}

// Shared reports whether other scrapes returned this very snapshot too, so that
// what is made of it may be worth keeping for them.
func (s *Snapshot) Shared() bool { return s.shared }

// RunningModified returns when OMS last modified each task that runs, if it says so.
func (s *Snapshot) RunningModified() []time.Time {
	var modified []time.Time
	for _, t := range s.tasks {
		if strings.HasPrefix(t.Status, "RUNNING") && !t.GmtModified.IsZero() {
			modified = append(modified, t.GmtModified)
		}
	}
	return modified
}

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
// families whose names are wanted are written; a nil wanted means all. It stops soon
// after the context ends. After an error, part of the output may have been written.
func (s *Snapshot) Encode(
	ctx context.Context, w io.Writer, format expfmt.Format, others []*dto.MetricFamily,
	wanted func(name string) bool,
) error {
	if !CanEncode(format) {
		return fmt.Errorf("cannot encode metrics as %q, only as text, OpenMetrics or delimited protobuf",
			format)
	}
	var families []family
	for _, t := range s.tables {
		families = append(families, t.families(s)...)
	}
	for _, f := range others {
		families = append(families, gathered(f))
	}
	return encode(ctx, w, format, families, wanted)
}

// clockSkew returns by how many seconds OMS's clock is ahead of the exporter's.
func (s *Snapshot) clockSkew() (float64, bool) {
	skew, known := s.report.ClockSkew().Get()
	return skew.Seconds(), known
}
