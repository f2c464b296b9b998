package omsclient

import "time"

// An Optional is a value that OMS may leave out, send as null, or send in a
// form that cannot be read. Its zero value is unknown.
type Optional[T any] struct {
	Value T
	Known bool
}

// Some returns a known value.
func Some[T any](value T) Optional[T] { return Optional[T]{value, true} }

// Get returns the value and whether it is known.
func (o Optional[T]) Get() (T, bool) { return o.Value, o.Known }

// A Project is an element of data in the answer to ListProjects: a migration,
// synchronization or verification task. Fields carry the names of the API.
// Text is valid UTF-8 of at most [MaxText] runes, a zero time or an empty text
// means that OMS did not say.
type Project struct {
	ID         string
	Name       string
	Type       string // one of [Types], or newer
	Owner      string
	Importance string // one of [Importances], or newer
	Status     string // one of [Statuses], or newer
	Labels     []Label

	GmtCreate   time.Time
	GmtModified time.Time // moves with runtime updates, not only with changes of the configuration
	GmtStart    time.Time
	GmtFinish   time.Time

	IsMerging    Optional[bool]
	IsModifying  Optional[bool]
	IsSubProject Optional[bool]

	SourceEndpointType string
	SinkEndpointType   string
	SourceConnectInfo  ConnectInfo
	SinkConnectInfo    ConnectInfo

	EnableStructTransfer      Optional[bool]
	EnableFullTransfer        Optional[bool]
	EnableFullVerify          Optional[bool]
	EnableIncrTransfer        Optional[bool]
	EnableIncrVerify          Optional[bool]
	EnableReverseIncrTransfer Optional[bool]

	Steps      []Step
	ExtraInfo  ExtraInfo
	AlarmStats AlarmStats
}

// A Label is an element of labels: what the console calls a tag.
type Label struct {
	ID   string
	Name string
}

// A ConnectInfo is the part of sourceConnectInfo or sinkConnectInfo that may
// leave OMS. Hosts, ports and user names are never read.
type ConnectInfo struct {
	EndpointName string
	Region       string
}

// A Step is an element of steps.
type Step struct {
	Order      Optional[float64] // a display sequence, with gaps
	Name       string            // one of [StepNames], or newer
	Status     string            // one of [StepStatuses], or newer
	Progress   Optional[float64] // percent; 100 for as long as a step is MONITORING
	StartTime  time.Time
	FinishTime time.Time
	ExtraInfo  Failure
	StepInfo   StepInfo
}

// A StepInfo is stepInfo. Which fields are known depends on the step.
type StepInfo struct {
	IncrTimestampCheckpoint   time.Time // the source's changes are applied up to this instant
	CheckpointSampleTimestamp time.Time // when OMS looked at the checkpoint

	ProcessedRecords Optional[float64] // rows
	Capacity         Optional[float64] // rows, estimated
	Inconsistencies  Optional[float64] // rows
	SrcRps           Optional[float64] // records a second
	SrcRt            Optional[float64] // milliseconds a record
	SrcIops          Optional[float64] // bytes a second, despite the name
	DstRps           Optional[float64] // records a second
	DstRt            Optional[float64] // milliseconds a record
	DstIops          Optional[float64] // bytes a second, despite the name
}

// A Failure is the error form of extraInfo. Texts and parameters of errors may
// hold rows of the migrated data and are never read.
type Failure struct {
	ErrorCode  string
	FailedTime time.Time
}

// An ExtraInfo is a project's extraInfo, which OMS sends in a running form, in
// an error form, or as null, the last on most healthy running projects.
type ExtraInfo struct {
	Failure
	RunningStep              string
	RunningProgress          Optional[float64] // percent
	SourceStoreKeptHour      Optional[float64] // hours
	SyncDelay                Optional[float64] // seconds; negative if clocks differ
	SyncDelaySampleTimestamp time.Time         // when OMS measured SyncDelay
	IncrSyncTimestamp        time.Time         // the source's changes are applied up to this instant
}

// An AlarmStats is alarmStats: what OMS itself alarms about. Its counts are
// over a window whose length the documents do not tell, so they fall too.
type AlarmStats struct {
	Alarming                   Optional[bool]
	RecentlyTriggerCount       Optional[float64]
	RuleToRecentlyTriggerCount []RuleCount // ordered by rule, each rule once
}

// A RuleCount is an entry of ruleToRecentlyTriggerCount.
type RuleCount struct {
	Rule  string
	Count float64
}
