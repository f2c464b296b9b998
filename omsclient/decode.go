package omsclient

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// Bounds on what is kept of one project. What exceeds them is left out and
// counted in [Report.Dropped].
const (
	MaxText   = 256 // runes of a text
	MaxLabels = 64  // labels of a project
	MaxSteps  = 64  // steps of a project
	MaxRules  = 32  // alarm rules of a project
	MaxErrors = 8   // error details of a project or a step
)

// Bounds on a page, far above what OMS sends. A page that exceeds them is an error.
const (
	// OMS serves 150 projects at most. This leaves room for one that would not heed
	// the page size, though not for one that would send everything at once.
	maxElements = 1000
	maxToken    = 4 << 20 // bytes of a text, or of white space between tokens

	maxDetailBytes = 16 << 20 // of an answer about one project
)

// An allowance is how many bytes the projects of a listing may take in memory. It
// is shared by its pages, which are read at the same time.
type allowance struct {
	left     atomic.Int64
	exceeded error
}

// Memory that a listing may take: that of its projects while they are read, and that of
// whatever is made of them.
const (
	BytesPerProject = 8 << 10 // on average; usual projects, which have eight steps, take less
	LeastProjects   = 20_000  // for which there is room even if fewer are admitted
)

// MemoryFor returns how many bytes a listing may take that may have so many projects.
func MemoryFor(projects int) int64 {
	return int64(min(max(projects, LeastProjects), maxTotal)) * BytesPerProject
}

func newAllowance(projects int) *allowance {
	limit := MemoryFor(projects)
	a := &allowance{exceeded: fmt.Errorf("%w: more than %d MiB, which is %d KiB for each of %d",
		errAllowance, limit>>20, BytesPerProject>>10, limit/BytesPerProject)}
	a.left.Store(limit)
	return a
}

// spend returns an error if less than n bytes are left. A nil allowance is
// unlimited.
func (a *allowance) spend(n int) error {
	if a != nil && a.left.Add(-int64(n)) < 0 {
		return a.exceeded
	}
	return nil
}

var (
	errTooMany   = fmt.Errorf("the answer has more than %d projects", maxElements)
	errAllowance = errors.New("the projects take too much memory")
	errNotObject = errors.New("not a JSON object")
	errEndsEarly = errors.New("the JSON document ends too early")
	errLongToken = fmt.Errorf("the answer has a text or white space of more than %d bytes", maxToken)
)

// A page is the answer to one request. See wire.go for its fields.
type page struct {
	success   Optional[bool]
	code      string
	message   string
	detail    ErrorDetail // errorDetail
	requestID string
	total     Optional[float64] // totalCount
	size      Optional[float64] // pageSize, as OMS understood it
	hasData   bool              // data is an array
	projects  []Project
	invalid   int            // elements of data without a usable id
	dropped   map[string]int // by field; see [Report.Dropped]
	notUTF8   map[string]int // by field; see [Report.NotUTF8]

	// Instead of projects, in answers to other actions.
	verify     VerifyResult
	components componentLists
}

// elements returns how many elements data has, usable or not.
func (p *page) elements() int { return len(p.projects) + p.invalid }

// repeats reports whether every project of the page was on an earlier page, given
// how many were not.
func (p *page) repeats(fresh int) bool { return fresh == 0 && len(p.projects) > 0 }

// A lookahead limits how far a decoder may read beyond the tokens that it has
// decoded. A decoder buffers each token whole, so this bounds its memory.
type lookahead struct {
	r       io.Reader
	read    int64
	decoded func() int64 // bytes of the tokens decoded so far
}

func (l *lookahead) Read(b []byte) (int, error) {
	if l.read-l.decoded() > maxToken {
		return 0, errLongToken
	}
	n, err := l.r.Read(b)
	l.read += int64(n)
	return n, err
}

// decodePage reads an answer to ListProjects. It keeps only what a [Project] has
// and skips everything else, of whatever size, while it streams by.
//
// A single value never fails the page, however odd it is. A document that is not
// valid JSON from its first byte to its last does. The page then holds what had
// been read before the error; it is never nil.
//
// Times without a zone are UTC.
func decodePage(r io.Reader) (*page, error) {
	return decodeAnswer(r, answerFields, time.UTC, nil, nil)
}

// decodeAnswer reads an answer that has the given fields, as decodePage does. Times
// without a zone are in the given location. What is kept is taken from the allowance,
// and given back after an error. Terms that repeat secrets are withheld.
func decodeAnswer(
	r io.Reader, fields *object[page], zone *time.Location, memory *allowance, withheld secrets,
) (*page, error) {
	ahead := &lookahead{r: withoutBOM(r)}
	d := &decoder{
		json: jsontext.NewDecoder(ahead,
			jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)),
		zone:    zone,
		memory:  memory,
		secrets: withheld,
		texts:   map[string]string{},
		dropped: map[string]int{},
		notUTF8: map[string]int{},
	}
	ahead.decoded = d.json.InputOffset
	p := &page{dropped: d.dropped, notUTF8: d.notUTF8}
	err := d.readAnswer(fields, p)
	if err != nil {
		_ = memory.spend(-d.spent)
	}
	return p, err
}

func (d *decoder) readAnswer(fields *object[page], p *page) error {
	if kind := d.json.PeekKind(); kind != '{' {
		_, err := d.json.ReadToken()
		if err == nil {
			err = errNotObject
		}
		return err
	}
	if err := readObject(d, fields, p); err != nil {
		return err
	}
	if _, err := d.json.ReadToken(); !errors.Is(err, io.EOF) {
		if err == nil {
			err = errors.New("data after the end of the JSON object")
		}
		return err
	}
	return nil
}

// withoutBOM buffers a reader and skips a byte order mark at its beginning.
func withoutBOM(r io.Reader) *bufio.Reader {
	const bom, size = "\xef\xbb\xbf", 64 << 10
	buffered := bufio.NewReaderSize(r, size)
	if first, _ := buffered.Peek(len(bom)); string(first) == bom {
		_, _ = buffered.Discard(len(bom))
	}
	return buffered
}

// A field is a field of the API that belongs to an object T.
type field[T any] struct {
	name  string
	read  func(d *decoder, name string, into *T) error
	shown *policy // what a recording shows of its value
}

// An object is the fields of an object in the API, in the order in which OMS
// sends them. Other orders are read too, and so are names in any letter case.
type object[T any] struct {
	fields []field[T]
	quoted []string       // their names as JSON, to compare without unquoting
	exact  map[string]int // index by name as JSON
	folded map[string]int // index by name in lower case
	shown  *policy
}

func newObject[T any](fields ...field[T]) *object[T] {
	o := &object[T]{
		fields: fields, exact: map[string]int{}, folded: map[string]int{},
		shown: &policy{members: map[string]*policy{}},
	}
	for i, f := range fields {
		quoted, folded := `"`+f.name+`"`, strings.ToLower(f.name)
		o.quoted = append(o.quoted, quoted)
		o.exact[quoted] = i
		o.folded[folded] = i
		o.shown.members[folded] = f.shown
	}
	return o
}

// find returns the index of the field with the given name, which is JSON, or -1.
// It tries the expected index first, which is nearly always right.
func (o *object[T]) find(d *decoder, name jsontext.Value, expected int) int {
	if expected < len(o.quoted) && o.quoted[expected] == string(name) {
		return expected
	}
	if i, ok := o.exact[string(name)]; ok {
		return i
	}
	if i, ok := o.folded[string(lower(d.unquote(name)))]; ok {
		return i
	}
	return -1
}

// The forms of fields. Each makes a field with that name; at returns where to store
// its value.

func text[T any](name string, shown *policy, at func(*T) *string) field[T] {
	return scalar(name, shown, (*decoder).readText, at)
}

func term[T any](name string, shown *policy, at func(*T) *string) field[T] {
	return scalar(name, shown, (*decoder).readTerm, at)
}

func word[T any](name string, shown *policy, at func(*T) *string) field[T] {
	return scalar(name, shown, (*decoder).readWord, at)
}

func number[T any](name string, at func(*T) *Optional[float64]) field[T] {
	return scalar(name, figure, (*decoder).readNumber, at)
}

func boolean[T any](name string, at func(*T) *Optional[bool]) field[T] {
	return scalar(name, figure, (*decoder).readBoolean, at)
}

func utc[T any](name string, at func(*T) *time.Time) field[T] {
	return scalar(name, figure, (*decoder).readUTC, at)
}

func local[T any](name string, at func(*T) *time.Time) field[T] {
	return scalar(name, figure, (*decoder).readLocal, at)
}

func epoch[T any](name string, at func(*T) *time.Time) field[T] {
	return scalar(name, figure, (*decoder).readEpoch, at)
}

func scalar[T, V any](
	name string, shown *policy, read func(*decoder, string) (V, error), at func(*T) *V,
) field[T] {
	return field[T]{name, func(d *decoder, name string, into *T) (err error) {
		*at(into), err = read(d, name)
		return err
	}, shown}
}

// ignored makes a field that is skipped.
func ignored[T any](name string, shown *policy) field[T] {
	return field[T]{name, func(d *decoder, _ string, _ *T) error { return d.json.SkipValue() }, shown}
}

func nested[T, V any](name string, inner *object[V], at func(*T) *V) field[T] {
	return field[T]{name, func(d *decoder, name string, into *T) error {
		if d.json.PeekKind() != '{' {
			return d.dropUnlessEmpty(name)
		}
		return readObject(d, inner, at(into))
	}, inner.shown}
}

// list makes a field of a list of objects. Elements beyond the limit are dropped. They
// are read into room that is used again, so that a list is kept in its exact length.
func list[T, V any](name string, limit int, inner *object[V], at func(*T) *[]V) field[T] {
	rooms := sync.Pool{New: func() any { return new([]V) }}
	return field[T]{name, func(d *decoder, name string, into *T) error {
		room, ok := rooms.Get().(*[]V)
		if !ok {
			room = new([]V) // never: the pool holds nothing else
		}
		defer rooms.Put(room)
		all := (*room)[:0]
		defer func() {
			clear(all)
			*room = all
		}()
		err := d.readArray(name, func() error {
			if d.json.PeekKind() != '{' || len(all) == limit {
				return d.dropUnlessEmpty(name)
			}
			var zero V
			all = append(all, zero)
			return readObject(d, inner, &all[len(all)-1])
		})
		if err != nil {
			return err
		}
		*at(into) = append([]V(nil), all...)
		return d.spend(len(all) * sizeOf[V]())
	}, listOf(inner.shown)}
}

func sizeOf[V any]() int { return int(reflect.TypeFor[V]().Size()) }

// spend takes bytes that are kept from the allowance.
func (d *decoder) spend(n int) error {
	d.spent += n
	return d.memory.spend(n)
}

// readObject reads an object into v and skips the fields that it does not know.
func readObject[T any](d *decoder, known *object[T], v *T) error {
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
			err = known.fields[i].read(d, known.fields[i].name, v)
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

// A decoder reads values in any form in which OMS was seen to send them: numbers
// and booleans may be quoted, and anything may be null. Its read methods return
// the zero value for what is null, empty or unusable, and count the unusable in
// dropped under the name of the field. Only invalid JSON is an error.
type decoder struct {
	json    *jsontext.Decoder
	zone    *time.Location // of times that do not say theirs
	memory  *allowance
	spent   int // of memory
	secrets secrets
	scratch []byte
	damaged bool              // what was unquoted last was not UTF-8
	texts   map[string]string // one copy of each short text
	dropped map[string]int
	notUTF8 map[string]int
}

// readScalar reads a text, a number or a literal, without quotes; null is nil. It
// drops an object or an array. The bytes are valid until the next read.
func (d *decoder) readScalar(name string) ([]byte, error) {
	d.damaged = false
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

// unquoted reads a string. The bytes are valid until the next read.
func (d *decoder) unquoted() ([]byte, error) {
	value, err := d.json.ReadValue()
	if err != nil {
		return nil, err
	}
	return d.unquote(value), nil
}

// unquote returns the content of a JSON string that the decoder has read. Invalid
// UTF-8 becomes U+FFFD, which damaged tells; AppendUnquote could report no other error.
func (d *decoder) unquote(value jsontext.Value) []byte {
	var err error
	d.scratch, err = jsontext.AppendUnquote(d.scratch[:0], value)
	d.damaged = err != nil
	return d.scratch
}

// readText reads a text and cuts it after MaxText runes.
func (d *decoder) readText(name string) (string, error) {
	raw, err := d.readScalar(name)
	if err != nil {
		return "", err
	}
	return d.keep(name, raw)
}

// keep returns a text that has been read, and cuts it after MaxText runes.
func (d *decoder) keep(name string, raw []byte) (string, error) {
	if len(raw) == 0 {
		return "", nil
	}
	if d.damaged {
		d.notUTF8[name]++
	}
	const short = 32
	if len(raw) <= short {
		if s, ok := d.texts[string(raw)]; ok {
			return s, nil
		}
	}
	if kept := firstRunes(raw, MaxText); len(kept) < len(raw) {
		d.dropped[name]++
		raw = kept
	}
	s := string(raw)
	if len(raw) <= short && len(d.texts) < 4096 {
		d.texts[s] = s
		return s, nil
	}
	return s, d.spend(len(s))
}

// firstRunes returns the beginning of a text, which is valid UTF-8.
func firstRunes(text []byte, n int) []byte {
	end := 0
	for ; n > 0 && end < len(text); n-- {
		_, size := utf8.DecodeRune(text[end:])
		end += size
	}
	return text[:end]
}

// readTerm reads a text that is not the users' but OMS's own, such as a status. Logs
// may quote it, so it is withheld if it repeats a secret.
func (d *decoder) readTerm(name string) (string, error) {
	raw, err := d.readScalar(name)
	if err != nil {
		return "", err
	}
	if documented, ok := vocabulary[string(raw)]; ok {
		return documented, nil
	}
	if d.secrets.in(string(raw)) {
		return withheld, nil
	}
	return d.keep(name, raw)
}

// readWord reads a term that errors quote.
func (d *decoder) readWord(name string) (string, error) {
	s, err := d.readTerm(name)
	return printable(s, maxWord), err
}

// readNumber reads a finite number.
func (d *decoder) readNumber(name string) (Optional[float64], error) {
	raw, err := d.readTrimmed(name)
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

// readTrimmed is readScalar without the white space around a quoted value.
func (d *decoder) readTrimmed(name string) ([]byte, error) {
	raw, err := d.readScalar(name)
	return bytes.TrimSpace(raw), err
}

func (d *decoder) readBoolean(name string) (Optional[bool], error) {
	raw, err := d.readTrimmed(name)
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

// readUTC reads a date and time that is UTC unless it says otherwise.
func (d *decoder) readUTC(name string) (time.Time, error) { return d.readTime(name, time.UTC) }

// readLocal reads a date and time that is in OMS's zone unless it says otherwise.
func (d *decoder) readLocal(name string) (time.Time, error) { return d.readTime(name, d.zone) }

// readTime reads a date and time. OMS usually does not say the zone; if it does,
// that counts.
func (d *decoder) readTime(name string, zone *time.Location) (time.Time, error) {
	raw, err := d.readTrimmed(name)
	if err != nil || len(raw) == 0 {
		return time.Time{}, err
	}
	if zone == time.UTC {
		if t, ok := parseUsualTime(raw); ok {
			return t, nil
		}
	}
	for _, layout := range []string{"2006-01-02T15:04:05", time.RFC3339, time.DateTime} {
		if t, err := time.ParseInLocation(layout, string(raw), zone); err == nil {
			return t.UTC(), nil
		}
	}
	d.dropped[name]++
	return time.Time{}, nil
}

// parseUsualTime parses the one layout that OMS nearly always sends. It appends
// the zone, because package time has a fast path for RFC 3339 only.
func parseUsualTime(raw []byte) (time.Time, bool) {
	var b [len("2006-01-02T15:04:05Z")]byte
	if len(raw) != len(b)-1 {
		return time.Time{}, false
	}
	copy(b[:], raw)
	b[len(b)-1] = 'Z'
	t, err := time.Parse(time.RFC3339, string(b[:]))
	return t, err == nil
}

// readEpoch reads a Unix time in seconds, or in milliseconds if it is too large
// for seconds. OMS sends 0 for an unknown time.
func (d *decoder) readEpoch(name string) (time.Time, error) {
	const maxSeconds = 1e11 // the year 5138; in milliseconds, 1973
	v, err := d.readNumber(name)
	if err != nil || v.Value == 0 {
		return time.Time{}, err
	}
	seconds := v.Value
	if seconds > maxSeconds {
		seconds /= 1000
	}
	if seconds < 0 || seconds > maxSeconds {
		d.dropped[name]++
		return time.Time{}, nil
	}
	whole, fraction := math.Modf(seconds)
	return time.Unix(int64(whole), int64(math.Round(fraction*1e9))).UTC(), nil
}

// readProjects reads data. An element that is not an object with an id is left
// out and counted in invalid.
func (d *decoder) readProjects(name string, p *page) error {
	if p.projects == nil {
		p.projects = make([]Project, 0, MaxPageSize)
	}
	p.projects, p.invalid = p.projects[:0], 0 // if data is repeated, the last stands
	p.hasData = d.json.PeekKind() == '['
	return d.readArray(name, func() error {
		if p.elements() == maxElements {
			return errTooMany
		}
		if d.json.PeekKind() != '{' {
			p.invalid++
			return d.json.SkipValue()
		}
		i := len(p.projects)
		p.projects = append(p.projects, Project{})
		if err := d.spend(sizeOf[Project]()); err != nil {
			return err
		}
		err := readObject(d, projectFields, &p.projects[i])
		id := p.projects[i].ID
		if err != nil {
			p.projects = p.projects[:i]
		} else if id == "" || utf8.RuneCountInString(id) == MaxText {
			p.projects = p.projects[:i]
			p.invalid++ // an id of MaxText runes may have been cut, and be another's then
		}
		return err
	})
}

// readRules reads ruleToRecentlyTriggerCount, an object from rules to counts.
func (d *decoder) readRules(name string, into *AlarmStats) error {
	into.RuleToRecentlyTriggerCount = nil
	if d.json.PeekKind() != '{' {
		return d.dropUnlessEmpty(name)
	}
	if _, err := d.json.ReadToken(); err != nil {
		return err
	}
	for d.json.PeekKind() != '}' {
		rule, err := d.readText(name)
		if err != nil {
			return err
		}
		count, err := d.readNumber(name)
		if err != nil {
			return err
		}
		if rule != "" && count.Known {
			before := len(into.RuleToRecentlyTriggerCount)
			into.RuleToRecentlyTriggerCount = d.addRule(name, into.RuleToRecentlyTriggerCount,
				RuleCount{rule, count.Value})
			added := len(into.RuleToRecentlyTriggerCount) - before
			if err := d.spend(2 * added * sizeOf[RuleCount]()); err != nil { // as slices grow
				return err
			}
		}
	}
	_, err := d.json.ReadToken()
	return err
}

// addRule inserts a rule in order, or replaces the count of one that is there.
func (d *decoder) addRule(name string, rules []RuleCount, added RuleCount) []RuleCount {
	i, found := slices.BinarySearchFunc(rules, added.Rule, func(r RuleCount, rule string) int {
		return strings.Compare(r.Rule, rule)
	})
	switch {
	case found:
		rules[i] = added
	case len(rules) == MaxRules:
		d.dropped[name]++
	default:
		rules = slices.Insert(rules, i, added)
	}
	return rules
}

// readArray calls element before each element of an array; element must read it.
// OMS sends null, and some libraries send {}, for an empty array.
func (d *decoder) readArray(name string, element func() error) error {
	if d.json.PeekKind() != '[' {
		return d.dropUnlessEmpty(name)
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

// dropUnlessEmpty skips a value that is not of the expected form. It does not
// count null, {} and "", which are all ways to say nothing.
func (d *decoder) dropUnlessEmpty(name string) error {
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

// dropObject skips an object and counts it unless it is empty.
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

// drop skips a value and counts it.
func (d *decoder) drop(name string) error {
	d.dropped[name]++
	return d.json.SkipValue()
}

// isTooMuch reports whether an error says that a document exceeds a bound. Then it
// was JSON so far.
func isTooMuch(err error) bool {
	return errors.Is(err, errTooMany) || errors.Is(err, errLongToken)
}

// endsEarly reports whether an error of jsontext says that the document is not
// complete.
func endsEarly(err error) bool {
	return errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF)
}

// describe rewrites an error of jsontext so that it quotes nothing of the
// document. It leaves other errors, such as those of the reader, as they are.
func describe(err error) error {
	var syntactic *jsontext.SyntacticError
	switch {
	case errors.Is(err, errLongToken):
		return errLongToken
	case endsEarly(err):
		return errEndsEarly
	case errors.As(err, &syntactic):
		return fmt.Errorf("not a JSON document at byte %d", syntactic.ByteOffset)
	}
	return err
}
