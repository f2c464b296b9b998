package omsclient

import "time"

// An Optional is a value that may be unknown because OMS left it out, sent null,
// or sent something unreadable. Its zero value is unknown.
type Optional[T any] struct {
	Value T
	Known bool
}

// Some returns a known value.
func Some[T any](value T) Optional[T] { return Optional[T]{value, true} }

// Get returns the value and whether it is known.
func (o Optional[T]) Get() (T, bool) { return o.Value, o.Known }

// A Project is an element of data in the answer to ListProjects: a migration,
// synchronization or verification task. Its fields are named as in the API.
//
// Texts are valid UTF-8 of at most [MaxText] runes. An empty text or a zero time
// means that OMS did not say. Times that OMS sends without a zone are taken for
// UTC, and those called Gmt for times in [Options.Location].
type Project struct {
	ID         string // never empty
	Name       string // for people; may not be unique
	Type       string // one of [Types], or newer
	Owner      string
	Importance string // one of [Importances], or newer
	Status     string // one of [Statuses], or newer
	Labels     []Label

	GmtCreate   time.Time
	GmtModified time.Time // moves with runtime updates too, not only with configuration changes
	GmtStart    time.Time
	GmtFinish   time.Time

	IsMerging    Optional[bool] // new objects are being merged in
	IsModifying  Optional[bool] // its objects are being changed
	IsSubProject Optional[bool] // a subtask; see [Filter.Subtasks]

	SourceEndpointType string // such as MYSQL
	SinkEndpointType   string // such as OB_MYSQL
	SourceConnectInfo  ConnectInfo
	SinkConnectInfo    ConnectInfo

	// Whether the project is configured to run these phases.
	EnableFullTransfer        Optional[bool]
	EnableFullVerify          Optional[bool]
	EnableIncrTransfer        Optional[bool]
	EnableReverseIncrTransfer Optional[bool]

	Steps      []Step
	ExtraInfo  ExtraInfo
	AlarmStats AlarmStats
}

// A Label is an element of labels. The console calls it a tag.
type Label struct {
	ID   string
	Name string
}

// A ConnectInfo is sourceConnectInfo or sinkConnectInfo without what others need
// not know: hosts, ports and user names are never read.
type ConnectInfo struct {
	EndpointName string
	Region       string
}

// A Step is an element of steps: one phase of the project.
type Step struct {
	Order      Optional[float64] // position in the console; numbers may be skipped
	Name       string            // one of [StepNames], or newer
	Status     string            // one of [StepStatuses], or newer
	Progress   Optional[float64] // percent; 99 or 100 once a step is MONITORING
	StartTime  time.Time
	FinishTime time.Time
	ExtraInfo  Failure // why it failed, if it did
	StepInfo   StepInfo
}

// A StepInfo is a step's stepInfo. Incremental steps have the times, full copies
// and verifications the numbers.
type StepInfo struct {
	IncrTimestampCheckpoint   time.Time // all changes of the source before it are applied
	CheckpointSampleTimestamp time.Time // when OMS read the checkpoint

	ProcessedRecords Optional[float64] // rows
	Capacity         Optional[float64] // rows in all, estimated
	SrcRps           Optional[float64] // records per second
	SrcRt            Optional[float64] // milliseconds per record
	SrcIops          Optional[float64] // bytes per second, despite the name
	DstRps           Optional[float64] // records per second
	DstRt            Optional[float64] // milliseconds per record
	DstIops          Optional[float64] // bytes per second, despite the name
}

// A Failure is the error form of extraInfo. Messages and parameters of errors may
// contain rows of the migrated data and are never read.
type Failure struct {
	ErrorCode    string        // what OMS calls the old code
	ErrorDetails []ErrorDetail // with new codes; at most [MaxErrors]
	FailedTime   time.Time     // of the last failure, even if the step has recovered
}

// An ErrorDetail is an element of errorDetails.
type ErrorDetail struct {
	Code  string // such as CM-RESOAT000011; printable and short
	Level string // FATAL, ERROR or WARNING, or newer; printable and short
}

// An ExtraInfo is a project's extraInfo. OMS sends it in a running form, in an
// error form, or as null. Most healthy running projects have null.
type ExtraInfo struct {
	Failure
	RunningStep              string
	RunningProgress          Optional[float64] // percent
	SourceStoreKeptHour      Optional[float64] // hours
	SyncDelay                Optional[float64] // seconds; negative if clocks differ
	SyncDelaySampleTimestamp time.Time         // when OMS measured SyncDelay
	IncrSyncTimestamp        time.Time         // all changes of the source before it are applied
}

// An AlarmStats is alarmStats: the alarms that OMS itself has raised. It counts
// those of a recent window of undocumented length, so its counts also fall.
type AlarmStats struct {
	Alarming                   Optional[bool]
	RecentlyTriggerCount       Optional[float64]
	RuleToRecentlyTriggerCount []RuleCount // by rule, in order; each rule once
}

// A RuleCount is an entry of ruleToRecentlyTriggerCount.
type RuleCount struct {
	Rule  string
	Count float64
}
