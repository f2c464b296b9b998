package collector

import (
	"fmt"
	"io"
	"maps"
	"slices"
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

	err         error // why there are no tasks; nil: the listing is complete
	gaveUp      bool  // the scrape ended before the listing, about which nothing is known
	shared      bool  // by several scrapes
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
	identity    string // its identityLabels as appendLabels writes them
	threshold   Threshold
	alarmTotals []omsclient.RuleCount
	steps       []*omsclient.Step // those of Steps that have series
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

// An unknownValue is one that OMS's documents do not name. The value is empty where
// OMS sent something that cannot be read.
type unknownValue struct{ field, value string }

// The values that OMS's documents name. Nothing changes these slices.
var (
	knownTypes        = omsclient.Types()
	knownStatuses     = omsclient.Statuses()
	knownImportances  = omsclient.Importances()
	knownStepNames    = omsclient.StepNames()
	knownStepStatuses = omsclient.StepStatuses()
)

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
		return fmt.Errorf("cannot encode metrics as %q: neither the text format nor OpenMetrics", format)
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

// clockSkew returns by how many seconds OMS's clock is ahead of the exporter's.
func (s *Snapshot) clockSkew() (float64, bool) {
	skew, known := s.report.ClockSkew().Get()
	return skew.Seconds(), known
}
