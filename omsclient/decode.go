package omsclient

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// Bounds on what one project may bring along. What is beyond them is left out
// and counted in [Report.Dropped].
const (
	MaxText   = 256 // runes of a text
	MaxLabels = 64  // labels of a project
	MaxSteps  = 64  // steps of a project
	MaxRules  = 32  // alarm rules of a project
)

// Bounds on what a page may bring along. A page beyond them is not read: OMS
// serves 150 projects at most, and has no texts of megabytes.
const (
	maxElements = 100_000 // of data
	maxToken    = 4 << 20 // bytes of a text, or of the white space between two
)

var (
	errTooMany   = fmt.Errorf("the answer has more than %d projects", maxElements)
	errLongToken = fmt.Errorf("the answer has a text or white space of more than %d bytes", maxToken)
)

// A page is the answer to one request.
type page struct {
	success   Optional[bool]
	code      string
	message   string
	detail    string // errorDetail.code
	requestID string
	total     Optional[float64] // totalCount
	size      Optional[float64] // pageSize, as OMS understood it
	hasData   bool              // data is there, and not null
	projects  []Project
	invalid   int // elements of data without a usable id
	dropped   map[string]int
}

// rows returns how many elements data had.
func (p *page) rows() int { return len(p.projects) + p.invalid }

// A lookahead bounds what a decoder reads before it has seen the end of a token,
// all of which it keeps.
type lookahead struct {
	r       io.Reader
	read    int64
	decoded func() int64
}

func (l *lookahead) Read(b []byte) (int, error) {
	if l.read-l.decoded() > maxToken {
		return 0, errLongToken
	}
	n, err := l.r.Read(b)
	l.read += int64(n)
	return n, err
}

// repeats reports whether a page has only projects of earlier pages, if so many
// of them were fresh.
func (p *page) repeats(fresh int) bool { return fresh == 0 && len(p.projects) > 0 }

// decodePage reads the answer to ListProjects. Only what a [Project] has is
// kept; everything else, of any size, is skipped as it streams by. Whatever a
// single value looks like, the page is read on; a document that is not JSON
// from its first to its last byte is an error.
func decodePage(r io.Reader) (*page, error) {
	const readSize = 64 << 10
	ahead := &lookahead{r: bufio.NewReaderSize(r, readSize)}
	d := &decoder{
		json: jsontext.NewDecoder(ahead,
			jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)),
		texts:   map[string]string{},
		dropped: map[string]int{},
	}
	ahead.decoded = d.json.InputOffset
	p := &page{dropped: d.dropped}
	if kind := d.json.PeekKind(); kind != '{' {
		_, err := d.json.ReadToken()
		if err == nil {
			err = errors.New("not a JSON object")
		}
		return p, err
	}
	if err := readObject(d, envelopeFields, p); err != nil {
		return p, err
	}
	if _, err := d.json.ReadToken(); !errors.Is(err, io.EOF) {
		if err == nil {
			err = errors.New("data after the end of the JSON object")
		}
		return p, err
	}
	return p, nil
}

// The wire: each field that is read, by its name in the API, with its form and
// its place, in the order in which OMS sends them. Names are matched in any letter
// case and order; the usual ones are found at once.
var (
	envelopeFields = object(
		[]field[page]{
			optional("success", (*decoder).boolean,
				func(p *page) *Optional[bool] { return &p.success }),
			nested("errorDetail", errorFields, func(p *page) *page { return p }),
			text("code", func(p *page) *string { return &p.code }),
			text("message", func(p *page) *string { return &p.message }),
			text("requestId", func(p *page) *string { return &p.requestID }),
			optional("pageSize", (*decoder).number,
				func(p *page) *Optional[float64] { return &p.size }),
			optional("totalCount", (*decoder).number,
				func(p *page) *Optional[float64] { return &p.total }),
			{name: "data", read: (*decoder).projects},
		},
	)
	errorFields = object(
		[]field[page]{text("code", func(p *page) *string { return &p.detail })},
	)
	projectFields = object(
		[]field[Project]{
			text("id", func(p *Project) *string { return &p.ID }),
			text("type", func(p *Project) *string { return &p.Type }),
			text("name", func(p *Project) *string { return &p.Name }),
			list("labels", MaxLabels, labelFields, func(p *Project) *[]Label { return &p.Labels }),
			text("owner", func(p *Project) *string { return &p.Owner }),
			text("importance", func(p *Project) *string { return &p.Importance }),
			text("status", func(p *Project) *string { return &p.Status }),
			instant("gmtCreate", (*decoder).utc, func(p *Project) *time.Time { return &p.GmtCreate }),
			instant("gmtModified", (*decoder).utc, func(p *Project) *time.Time { return &p.GmtModified }),
			instant("gmtStart", (*decoder).utc, func(p *Project) *time.Time { return &p.GmtStart }),
			instant("gmtFinish", (*decoder).utc, func(p *Project) *time.Time { return &p.GmtFinish }),
		},
		ignored[Project]("destConnId"),
		[]field[Project]{
			flag("isMerging", func(p *Project) *Optional[bool] { return &p.IsMerging }),
			flag("isModifying", func(p *Project) *Optional[bool] { return &p.IsModifying }),
			flag("isSubProject", func(p *Project) *Optional[bool] { return &p.IsSubProject }),
			text("sourceEndpointType", func(p *Project) *string { return &p.SourceEndpointType }),
			text("sinkEndpointType", func(p *Project) *string { return &p.SinkEndpointType }),
		},
		ignored[Project]("transferMapping", "commonTransferConfig"),
		[]field[Project]{
			flag("enableStructTransfer",
				func(p *Project) *Optional[bool] { return &p.EnableStructTransfer }),
		},
		ignored[Project]("structTransferConfig"),
		[]field[Project]{
			flag("enableFullTransfer",
				func(p *Project) *Optional[bool] { return &p.EnableFullTransfer }),
			flag("enableFullVerify", func(p *Project) *Optional[bool] { return &p.EnableFullVerify }),
		},
		ignored[Project]("fullTransferConfig"),
		[]field[Project]{
			flag("enableIncrTransfer",
				func(p *Project) *Optional[bool] { return &p.EnableIncrTransfer }),
			flag("enableIncrVerify", func(p *Project) *Optional[bool] { return &p.EnableIncrVerify }),
			flag("enableReverseIncrTransfer",
				func(p *Project) *Optional[bool] { return &p.EnableReverseIncrTransfer }),
		},
		ignored[Project]("incrTransferConfig", "reverseIncrTransferConfig"),
		[]field[Project]{
			nested("sourceConnectInfo", connectFields,
				func(p *Project) *ConnectInfo { return &p.SourceConnectInfo }),
			nested("sinkConnectInfo", connectFields,
				func(p *Project) *ConnectInfo { return &p.SinkConnectInfo }),
			list("steps", MaxSteps, stepFields, func(p *Project) *[]Step { return &p.Steps }),
			nested("extraInfo", extraFields, func(p *Project) *ExtraInfo { return &p.ExtraInfo }),
			nested("alarmStats", alarmFields, func(p *Project) *AlarmStats { return &p.AlarmStats }),
		},
	)
	labelFields = object(
		[]field[Label]{
			text("id", func(l *Label) *string { return &l.ID }),
			text("name", func(l *Label) *string { return &l.Name }),
		},
	)
	connectFields = object(
		ignored[ConnectInfo]("id"),
		[]field[ConnectInfo]{
			text("endpointName", func(c *ConnectInfo) *string { return &c.EndpointName }),
		},
		ignored[ConnectInfo]("endpointId", "endpointSide", "dbEngine", "connectionInfo", "username",
			"version", "timezone", "charset", "nlsLengthSemantics", "operatingSystem"),
		[]field[ConnectInfo]{
			text("region", func(c *ConnectInfo) *string { return &c.Region }),
		},
		ignored[ConnectInfo]("ocpName", "connExtraAttributes", "owner", "host", "port"),
	)
	stepFields = object(
		[]field[Step]{
			number("order", func(s *Step) *Optional[float64] { return &s.Order }),
			text("name", func(s *Step) *string { return &s.Name }),
		},
		ignored[Step]("description"),
		[]field[Step]{
			text("status", func(s *Step) *string { return &s.Status }),
			nested("extraInfo", failureFields, func(s *Step) *Failure { return &s.ExtraInfo }),
			instant("startTime", (*decoder).utc, func(s *Step) *time.Time { return &s.StartTime }),
			instant("finishTime", (*decoder).utc, func(s *Step) *time.Time { return &s.FinishTime }),
			number("progress", func(s *Step) *Optional[float64] { return &s.Progress }),
			nested("stepInfo", stepInfoFields, func(s *Step) *StepInfo { return &s.StepInfo }),
		},
	)
	stepInfoFields = object(
		[]field[StepInfo]{
			number("processedRecords",
				func(i *StepInfo) *Optional[float64] { return &i.ProcessedRecords }),
			number("capacity", func(i *StepInfo) *Optional[float64] { return &i.Capacity }),
			number("inconsistencies",
				func(i *StepInfo) *Optional[float64] { return &i.Inconsistencies }),
			number("srcRps", func(i *StepInfo) *Optional[float64] { return &i.SrcRps }),
			number("srcRt", func(i *StepInfo) *Optional[float64] { return &i.SrcRt }),
			number("srcIops", func(i *StepInfo) *Optional[float64] { return &i.SrcIops }),
			number("dstRps", func(i *StepInfo) *Optional[float64] { return &i.DstRps }),
			number("dstRt", func(i *StepInfo) *Optional[float64] { return &i.DstRt }),
			number("dstIops", func(i *StepInfo) *Optional[float64] { return &i.DstIops }),
		},
		ignored[StepInfo]("srcRpsRef", "srcRtRef", "dstRpsRef", "dstRtRef", "srcIopsRef"),
		[]field[StepInfo]{
			instant("incrTimestampCheckpoint", (*decoder).epoch,
				func(i *StepInfo) *time.Time { return &i.IncrTimestampCheckpoint }),
			instant("checkpointSampleTimestamp", (*decoder).epoch,
				func(i *StepInfo) *time.Time { return &i.CheckpointSampleTimestamp }),
		},
		ignored[StepInfo]("enableIncrStatistics"),
	)
	failureFields = object(
		ignored[Failure]("errorDetails"),
		[]field[Failure]{
			text("errorCode", func(f *Failure) *string { return &f.ErrorCode }),
		},
		ignored[Failure]("errorMsg", "errorParam"),
		[]field[Failure]{
			instant("failedTime", (*decoder).utc, func(f *Failure) *time.Time { return &f.FailedTime }),
		},
	)
	extraFields = object(
		[]field[ExtraInfo]{
			text("errorCode", func(x *ExtraInfo) *string { return &x.ErrorCode }),
			instant("failedTime", (*decoder).utc,
				func(x *ExtraInfo) *time.Time { return &x.FailedTime }),
			text("runningStep", func(x *ExtraInfo) *string { return &x.RunningStep }),
			number("runningProgress",
				func(x *ExtraInfo) *Optional[float64] { return &x.RunningProgress }),
			number("sourceStoreKeptHour",
				func(x *ExtraInfo) *Optional[float64] { return &x.SourceStoreKeptHour }),
			number("syncDelay", func(x *ExtraInfo) *Optional[float64] { return &x.SyncDelay }),
			instant("syncDelaySampleTimestamp", (*decoder).epoch,
				func(x *ExtraInfo) *time.Time { return &x.SyncDelaySampleTimestamp }),
			instant("incrSyncTimestamp", (*decoder).epoch,
				func(x *ExtraInfo) *time.Time { return &x.IncrSyncTimestamp }),
		},
	)
	alarmFields = object(
		ignored[AlarmStats]("target"),
		[]field[AlarmStats]{
			flag("alarming", func(a *AlarmStats) *Optional[bool] { return &a.Alarming }),
			number("recentlyTriggerCount",
				func(a *AlarmStats) *Optional[float64] { return &a.RecentlyTriggerCount }),
			{name: "ruleToRecentlyTriggerCount", read: (*decoder).rules},
		},
		ignored[AlarmStats]("alarmContent"),
	)
)

// A field is the name of a field in the API and how its value is read.
type field[T any] struct {
	name  string
	read  func(d *decoder, name string, into *T) error
	about Field
}

// fields are the fields of an object, in the order in which OMS sends them.
type fields[T any] struct {
	all    []field[T]
	quoted []string       // their names in quotes
	usual  map[string]int // by name in quotes
	folded map[string]int // by name in lower case
}

func object[T any](parts ...[]field[T]) *fields[T] {
	known := &fields[T]{
		all: slices.Concat(parts...), usual: map[string]int{}, folded: map[string]int{},
	}
	for i, f := range known.all {
		known.quoted = append(known.quoted, `"`+f.name+`"`)
		known.usual[known.quoted[i]] = i
		known.folded[strings.ToLower(f.name)] = i
	}
	return known
}

// A Field is a field of a project as OMS sends it.
type Field struct {
	Name    string // in the API
	Ignored bool   // skipped, and in no [Project]
	List    bool   // holds a list of what Below tells the fields of
	Below   []Field
}

// Fields returns the fields of a project that are known, in the order in which OMS
// sends them.
func Fields() []Field { return projectFields.list() }

// list returns the fields for people.
func (f *fields[T]) list() []Field {
	var all []Field
	for _, field := range f.all {
		about := field.about
		about.Name = field.name
		all = append(all, about)
	}
	return all
}

// find returns the index of a field by its name in quotes, or -1. Most often it
// is the one that is guessed.
func (f *fields[T]) find(d *decoder, name jsontext.Value, guess int) int {
	if guess < len(f.quoted) && f.quoted[guess] == string(name) {
		return guess
	}
	if i, ok := f.usual[string(name)]; ok {
		return i
	}
	if i, ok := f.folded[string(d.fold(name))]; ok {
		return i
	}
	return -1
}

func text[T any](name string, place func(*T) *string) field[T] {
	return field[T]{name: name, read: func(d *decoder, name string, into *T) (err error) {
		*place(into), err = d.text(name)
		return err
	}}
}

// ignored names fields that OMS sends and that are skipped. Naming them saves the
// search for others in their place, and tells that they are left out on purpose.
func ignored[T any](names ...string) []field[T] {
	var all []field[T]
	for _, name := range names {
		all = append(all, field[T]{
			name:  name,
			read:  func(d *decoder, _ string, _ *T) error { return d.json.SkipValue() },
			about: Field{Ignored: true},
		})
	}
	return all
}

func optional[T, V any](
	name string, read func(*decoder, string) (Optional[V], error), place func(*T) *Optional[V],
) field[T] {
	return field[T]{name: name, read: func(d *decoder, name string, into *T) (err error) {
		*place(into), err = read(d, name)
		return err
	}}
}

func number[T any](name string, place func(*T) *Optional[float64]) field[T] {
	return optional(name, (*decoder).number, place)
}

func flag[T any](name string, place func(*T) *Optional[bool]) field[T] {
	return optional(name, (*decoder).boolean, place)
}

func instant[T any](
	name string, read func(*decoder, string) (time.Time, error), place func(*T) *time.Time,
) field[T] {
	return field[T]{name: name, read: func(d *decoder, name string, into *T) (err error) {
		*place(into), err = read(d, name)
		return err
	}}
}

func nested[T, V any](name string, inner *fields[V], place func(*T) *V) field[T] {
	return field[T]{name: name, read: func(d *decoder, name string, into *T) error {
		if d.json.PeekKind() != '{' {
			return d.dropUnlessNull(name)
		}
		return readObject(d, inner, place(into))
	}, about: Field{Below: inner.list()}}
}

// usualLength is how many steps a project has at most, usually.
const usualLength = 8

func list[T, V any](name string, limit int, inner *fields[V], place func(*T) *[]V) field[T] {
	return field[T]{name: name, read: func(d *decoder, name string, into *T) error {
		all := place(into)
		*all = nil
		return d.array(name, func() error {
			if d.json.PeekKind() != '{' || len(*all) == limit {
				return d.dropUnlessNull(name)
			}
			if *all == nil {
				*all = make([]V, 0, usualLength)
			}
			var none V
			*all = append(*all, none)
			return readObject(d, inner, &(*all)[len(*all)-1])
		})
	}, about: Field{List: true, Below: inner.list()}}
}

// readObject reads an object into v, field by field, and skips what has no
// field.
func readObject[T any](d *decoder, known *fields[T], v *T) error {
	if _, err := d.json.ReadToken(); err != nil {
		return err
	}
	last := -1
	for d.json.PeekKind() != '}' {
		name, err := d.json.ReadValue()
		if err != nil {
			return err
		}
		if i := known.find(d, name, last+1); i >= 0 {
			last = i
			err = known.all[i].read(d, known.all[i].name, v)
		} else {
			err = d.json.SkipValue()
		}
		if err != nil {
			return err
		}
	}
	_, err := d.json.ReadToken()
	return err
}

// A decoder reads values in whatever form OMS sends them. What it cannot use
// it drops and counts by field; only broken JSON is an error.
type decoder struct {
	json    *jsontext.Decoder
	scratch []byte
	texts   map[string]string // one copy of each short text
	dropped map[string]int
}

// fold returns the name of an object's member in lower case. It is valid until
// the next read.
func (d *decoder) fold(name jsontext.Value) []byte {
	folded := d.unquote(name)
	for i, c := range folded {
		if 'A' <= c && c <= 'Z' {
			folded[i] = c + ('a' - 'A')
		}
	}
	return folded
}

// scalar reads a text, a number or a literal, without quotes; null is nil. It
// drops an object or an array. The bytes are valid until the next read.
func (d *decoder) scalar(name string) ([]byte, error) {
	switch d.json.PeekKind() {
	case '{', '[':
		return nil, d.drop(name)
	case 'n':
		return nil, d.json.SkipValue()
	case '"':
		return d.unquoted()
	default:
		return d.json.ReadValue()
	}
}

// unquoted reads a string.
func (d *decoder) unquoted() ([]byte, error) {
	value, err := d.json.ReadValue()
	if err != nil {
		return nil, err
	}
	return d.unquote(value), nil
}

// unquote returns what a string of the decoder says. Bytes that are not UTF-8
// become U+FFFD, which is all that unquoting such a string can complain about.
func (d *decoder) unquote(value jsontext.Value) []byte {
	d.scratch, _ = jsontext.AppendUnquote(d.scratch[:0], value)
	return d.scratch
}

func (d *decoder) text(name string) (string, error) {
	raw, err := d.scalar(name)
	if err != nil || len(raw) == 0 {
		return "", err
	}
	if s, ok := d.texts[string(raw)]; ok {
		return s, nil
	}
	s := string(raw)
	if len(s) > MaxText && utf8.RuneCountInString(s) > MaxText {
		d.dropped[name]++
		s = string([]rune(s)[:MaxText])
	}
	if len(raw) <= 32 && len(d.texts) < 4096 {
		d.texts[string(raw)] = s
	}
	return s, nil
}

func (d *decoder) number(name string) (Optional[float64], error) {
	raw, err := d.scalar(name)
	raw = bytes.TrimSpace(raw)
	if err != nil || len(raw) == 0 {
		return Optional[float64]{}, err
	}
	v, parseErr := strconv.ParseFloat(string(raw), 64)
	if parseErr == nil && !math.IsNaN(v) && !math.IsInf(v, 0) {
		return Some(v), nil
	}
	d.dropped[name]++
	return Optional[float64]{}, nil
}

func (d *decoder) boolean(name string) (Optional[bool], error) {
	raw, err := d.scalar(name)
	raw = bytes.TrimSpace(raw)
	if err != nil || len(raw) == 0 {
		return Optional[bool]{}, err
	}
	switch strings.ToLower(string(raw)) {
	case "true", "1":
		return Some(true), nil
	case "false", "0":
		return Some(false), nil
	}
	d.dropped[name]++
	return Optional[bool]{}, nil
}

// utc reads a time as OMS writes it: in UTC, usually without saying so.
func (d *decoder) utc(name string) (time.Time, error) {
	raw, err := d.scalar(name)
	raw = bytes.TrimSpace(raw)
	if err != nil || len(raw) == 0 {
		return time.Time{}, err
	}
	if t, ok := usualTime(raw); ok {
		return t, nil
	}
	for _, layout := range []string{"2006-01-02T15:04:05", time.RFC3339, time.DateTime} {
		if t, err := time.ParseInLocation(layout, string(raw), time.UTC); err == nil {
			return t, nil
		}
	}
	d.dropped[name]++
	return time.Time{}, nil
}

// usualTime reads a time as OMS nearly always writes it, by the one layout that
// package time is fast at.
func usualTime(raw []byte) (time.Time, bool) {
	var b [len("2006-01-02T15:04:05Z")]byte
	if len(raw) != len(b)-1 {
		return time.Time{}, false
	}
	copy(b[:], raw)
	b[len(b)-1] = 'Z'
	t, err := time.Parse(time.RFC3339, string(b[:]))
	return t, err == nil
}

// epoch reads a Unix time in seconds, or in milliseconds if it is too large for
// seconds. Zero is how OMS says that it has none.
func (d *decoder) epoch(name string) (time.Time, error) {
	const largestSeconds = 1e11 // the year 5138
	v, err := d.number(name)
	if err != nil || v.Value == 0 {
		return time.Time{}, err
	}
	seconds := v.Value
	if seconds > largestSeconds {
		seconds /= 1000
	}
	if seconds < 0 || seconds > largestSeconds {
		d.dropped[name]++
		return time.Time{}, nil
	}
	whole, fraction := math.Modf(seconds)
	return time.Unix(int64(whole), int64(math.Round(fraction*1e9))).UTC(), nil
}

// projects reads data. An element that is not an object with an id is counted
// and left out; it does not cost the page.
func (d *decoder) projects(name string, p *page) error {
	p.projects, p.invalid = make([]Project, 0, MaxPageSize), 0
	p.hasData = d.json.PeekKind() == '['
	return d.array(name, func() error {
		if p.rows() == maxElements {
			return errTooMany
		}
		if d.json.PeekKind() != '{' {
			p.invalid++
			return d.json.SkipValue()
		}
		place := len(p.projects)
		p.projects = append(p.projects, Project{})
		err := readObject(d, projectFields, &p.projects[place])
		id := p.projects[place].ID
		if err != nil {
			p.projects = p.projects[:place]
		} else if id == "" || utf8.RuneCountInString(id) == MaxText {
			p.projects = p.projects[:place]
			p.invalid++ // an id that was cut might be another's
		}
		return err
	})
}

// rules reads ruleToRecentlyTriggerCount, a map from rule to count.
func (d *decoder) rules(name string, into *AlarmStats) error {
	into.RuleToRecentlyTriggerCount = nil
	if d.json.PeekKind() != '{' {
		return d.dropUnlessNull(name)
	}
	if _, err := d.json.ReadToken(); err != nil {
		return err
	}
	for d.json.PeekKind() != '}' {
		rule, err := d.text(name)
		if err != nil {
			return err
		}
		count, err := d.number(name)
		if err != nil {
			return err
		}
		if rule != "" && count.Known {
			into.RuleToRecentlyTriggerCount = d.addRule(name, into.RuleToRecentlyTriggerCount,
				RuleCount{rule, count.Value})
		}
	}
	_, err := d.json.ReadToken()
	return err
}

// addRule inserts a rule in its order; the last of equal ones stands.
func (d *decoder) addRule(name string, rules []RuleCount, rule RuleCount) []RuleCount {
	i, found := slices.BinarySearchFunc(rules, rule.Rule, func(r RuleCount, name string) int {
		return strings.Compare(r.Rule, name)
	})
	switch {
	case found:
		rules[i] = rule
	case len(rules) == MaxRules:
		d.dropped[name]++
	default:
		rules = slices.Insert(rules, i, rule)
	}
	return rules
}

// array calls element before each element of an array. OMS sends null, and some
// libraries send {}, for an empty one.
func (d *decoder) array(name string, element func() error) error {
	if d.json.PeekKind() != '[' {
		return d.dropUnlessNull(name)
	}
	if _, err := d.json.ReadToken(); err != nil {
		return err
	}
	for d.json.PeekKind() != ']' {
		if err := element(); err != nil {
			return err
		}
	}
	_, err := d.json.ReadToken()
	return err
}

// dropUnlessNull skips a value that is not of the expected form. Null, the empty
// object and the empty text say nothing and are not counted.
func (d *decoder) dropUnlessNull(name string) error {
	switch d.json.PeekKind() {
	case 'n':
		return d.json.SkipValue()
	case '"':
		raw, err := d.unquoted()
		if len(raw) > 0 {
			d.dropped[name]++
		}
		return err
	case '{':
		return d.dropObject(name)
	}
	return d.drop(name)
}

func (d *decoder) dropObject(name string) error {
	depth := d.json.StackDepth()
	if _, err := d.json.ReadToken(); err != nil {
		return err
	}
	if d.json.PeekKind() != '}' {
		d.dropped[name]++
	}
	for d.json.StackDepth() > depth {
		if _, err := d.json.ReadToken(); err != nil {
			return err
		}
	}
	return nil
}

func (d *decoder) drop(name string) error {
	d.dropped[name]++
	return d.json.SkipValue()
}

// describe says what is wrong with a document that could not be read, without
// quoting it.
func describe(err error) error {
	var syntactic *jsontext.SyntacticError
	switch {
	case errors.Is(err, errLongToken):
		return errLongToken
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return errors.New("the JSON document ends too early")
	case errors.As(err, &syntactic):
		return fmt.Errorf("not a JSON document at byte %d", syntactic.ByteOffset)
	}
	return err
}
