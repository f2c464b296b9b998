package omsclient

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"fmt"
	"hash"
	"io"
	"maps"
	"regexp"

	"github.com/go-json-experiment/json/jsontext"
)

// A Redactor copies answers to ListProjects without what they tell about people,
// hosts and data, so that they can be shown to others.
//
// What a [Project] is made of stays as it is, except for names and identifiers.
// These become stand-ins such as task_mfzwizlsonxw4z3f. Within one Redactor equal
// texts have equal stand-ins and different ones have different ones, on all pages;
// without its key, which is random and never leaves it, nobody can tell what a
// stand-in stands for. Of everything else only the form is left: texts become
// stand-ins, numbers 0 and booleans false, members that are not known lose their
// names, and configurations become empty objects.
//
// A Redactor is safe for concurrent use. Make one with [NewRedactor].
type Redactor struct{ key [sha256.Size]byte }

// NewRedactor returns a redactor with a key of its own.
func NewRedactor() *Redactor {
	r := new(Redactor)
	_, _ = rand.Read(r.key[:]) // it never fails
	return r
}

// Copy copies one JSON document from src to dst and redacts it on the way. However
// long the document is, it holds no more of it than one text at a time. A document
// that is not JSON from its first to its last byte is an error, which does not
// quote it; what has been written until then is redacted, and no document.
func (r *Redactor) Copy(dst io.Writer, src io.Reader) error {
	lenient := []jsontext.Options{
		jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true),
	}
	c := &redaction{
		in:  &decoder{json: jsontext.NewDecoder(src, lenient...)},
		out: jsontext.NewEncoder(dst, lenient...),
		mac: hmac.New(sha256.New, r.key[:]),
	}
	err := c.value(&answerPlace)
	if err == nil {
		err = c.end()
	}
	if err != nil {
		return fmt.Errorf("redact: %w", describe(err))
	}
	return nil
}

// A place is what the redactor knows of a value: what stays of it. Of the zero
// place nothing does but null, the empty text, and the form.
type place struct {
	plain   *regexp.Regexp    // texts that stay; without a kind, all numbers and booleans do too
	kind    string            // of what is named: stand-ins begin with it
	members map[string]*place // of an object, by name in lower case
	each    *place            // of an object: members with any other name
	list    *place            // of an array: its elements
	empty   bool              // an object without members takes its place
}

// The places of values that are no objects. Their patterns admit nothing that could
// be a name: an enumeration has no lower-case letters, and so on.
var (
	hidden = &place{}

	// A number, a boolean or a time, in the many forms in which OMS writes them.
	figure = &place{plain: regexp.MustCompile(`^\s*(?:[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?` +
		`|(?i:true|false)` +
		`|\d{4}[-/]\d\d?[-/]\d\d?(?:[T ][\d:.,]{1,24})? ?(?:Z|[+-]\d\d:?\d\d)?)?\s*$`)}

	enum   = &place{plain: regexp.MustCompile(`^[A-Z0-9_]{1,64}$`)}
	code   = &place{plain: regexp.MustCompile(`^[A-Z0-9_-]{1,64}$`)}
	cost   = &place{plain: regexp.MustCompile(`^[\d.]{1,20} ?(?:ms|s)?$`)}
	region = &place{plain: regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`), kind: "region_"}
	rule   = &place{plain: regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_-]{0,63}$`), kind: "rule_"}

	// The name of a tag stays if it is a threshold, such as delay:30s/2m.
	tag = &place{plain: thresholdTag, kind: "tag_"}

	taskID       = &place{kind: "np_"}
	taskName     = &place{kind: "task_"}
	tagID        = &place{kind: "l_"}
	owner        = &place{kind: "owner_"}
	connectionID = &place{kind: "c_"}
	endpointID   = &place{kind: "e_"}
	endpointName = &place{kind: "endpoint_"}
	requestID    = &place{kind: "request_"}
	memberName   = &place{kind: "field_"}

	configuration = &place{empty: true}
)

const duration = `(?:0|(?:\d+(?:y|w|d|h|ms|m|s))+)`

var thresholdTag = regexp.MustCompile(`^delay:` + duration + `(?:/` + duration + `)?$`)

// The places of all values that are known. A field that is read and not told to
// others is named here too, as hidden, so that at least its name stays.
var (
	answerPlace = place{members: within(map[*place][]string{
		figure: {
			"success", "pageNumber", "pageSize", "totalCount", "deletable",
		},
		code:                  {"code", "errorCode"},
		cost:                  {"cost"},
		requestID:             {"requestId"},
		hidden:                {"message", "advice", "trace"},
		objectOf(errorPlaces): {"errorDetail"},
		listOf(projectPlaces): {"data"},
	})}
	errorPlaces = within(map[*place][]string{
		code:      {"code"},
		requestID: {"requestId"},
		hidden: {
			"level", "message", "extraContext", "messageMcmsKey", "messageMcmsContext", "reason",
			"reasonMcmsKey", "reasonMcmsContext", "proposal", "proposalMcmsKey",
			"proposalMcmsContext", "upstreamErrorDetail",
		},
	})
	projectPlaces = within(map[*place][]string{
		taskID:       {"id"},
		taskName:     {"name"},
		owner:        {"owner"},
		connectionID: {"destConnId"},
		enum:         {"type", "importance", "status", "sourceEndpointType", "sinkEndpointType"},
		figure: {
			"gmtCreate", "gmtModified", "gmtStart", "gmtFinish",
			"isMerging", "isModifying", "isSubProject",
			"enableStructTransfer", "enableFullTransfer", "enableFullVerify", "enableIncrTransfer",
			"enableIncrVerify", "enableReverseIncrTransfer",
		},
		configuration: {
			"transferMapping", "commonTransferConfig", "structTransferConfig", "fullTransferConfig",
			"incrTransferConfig", "reverseIncrTransferConfig",
		},
		hidden:                     {"workerGradeId", "workerGradeInfo"},
		listOf(tagPlaces):          {"labels"},
		objectOf(connectionPlaces): {"sourceConnectInfo", "sinkConnectInfo"},
		listOf(stepPlaces):         {"steps"},
		objectOf(extraPlaces):      {"extraInfo"},
		objectOf(alarmPlaces):      {"alarmStats"},
	})
	tagPlaces = within(map[*place][]string{
		tagID:  {"id"},
		tag:    {"name"},
		owner:  {"creator"},
		figure: {"type", "count"},
	})
	connectionPlaces = within(map[*place][]string{
		connectionID:  {"id"},
		endpointName:  {"endpointName"},
		endpointID:    {"endpointId"},
		region:        {"region"},
		owner:         {"owner", "resourceOwner"},
		configuration: {"connExtraAttributes"},
		hidden: {
			"endpointSide", "dbEngine", "connectionInfo", "username", "version", "timezone",
			"charset", "nlsLengthSemantics", "operatingSystem", "ocpName", "host", "port",
		},
	})
	stepPlaces = within(map[*place][]string{
		enum:                      {"name", "status"},
		figure:                    {"order", "progress", "startTime", "finishTime"},
		hidden:                    {"description"},
		objectOf(failurePlaces):   {"extraInfo"},
		objectOf(executionPlaces): {"stepInfo"},
	})
	executionPlaces = within(map[*place][]string{
		figure: {
			"incrTimestampCheckpoint", "checkpointSampleTimestamp", "enableIncrStatistics",
			"processedRecords", "capacity", "inconsistencies",
			"srcRps", "srcRpsRef", "srcRt", "srcRtRef", "srcIops", "srcIopsRef",
			"dstRps", "dstRpsRef", "dstRt", "dstRtRef", "dstIops", "dstIopsRef",
		},
	})
	failurePlaces = within(map[*place][]string{
		code:                {"errorCode"},
		figure:              {"failedTime"},
		hidden:              {"errorMsg", "errorParam"},
		listOf(errorPlaces): {"errorDetails"},
	})
	extraPlaces = merged(failurePlaces, within(map[*place][]string{
		enum: {"runningStep"},
		figure: {
			"runningProgress", "monitoringIncr", "logServiceStartCheckpoint", "sourceStoreKeptHour",
			"syncDelay", "syncDelaySampleTimestamp", "incrSyncTimestamp", "accessObSource",
			"overwriteConfig", "ignoreUnsupportDdl", "maxConnectorCount", "storeIncr",
		},
		hidden: {"subtopics", "reverseSubtopics", "subDbs", "subConds", "subIds"},
	}))
	alarmPlaces = within(map[*place][]string{
		taskID:        {"target"},
		figure:        {"alarming", "recentlyTriggerCount", "openMonitor"},
		mapTo(figure): {"ruleToRecentlyTriggerCount"},
		hidden:        {"alarmContent"},
	})
)

func objectOf(members map[string]*place) *place { return &place{members: members} }

func listOf(members map[string]*place) *place { return &place{list: objectOf(members)} }

func mapTo(each *place) *place { return &place{each: each} }

// within turns names by place into places by name in lower case.
func within(names map[*place][]string) map[string]*place {
	byName := map[string]*place{}
	for p, all := range names {
		for _, name := range all {
			byName[string(lower([]byte(name)))] = p
		}
	}
	return byName
}

func merged(a, b map[string]*place) map[string]*place {
	both := maps.Clone(a)
	maps.Copy(both, b)
	return both
}

// lower turns ASCII letters into lower case, as names of members are compared.
func lower(name []byte) []byte {
	for i, c := range name {
		if 'A' <= c && c <= 'Z' {
			name[i] = c + ('a' - 'A')
		}
	}
	return name
}

// A redaction is the copying of one document.
type redaction struct {
	in      *decoder
	out     *jsontext.Encoder
	mac     hash.Hash
	scratch []byte
}

// value copies the next value, of which stays what its place says.
func (c *redaction) value(p *place) error {
	kind := c.in.json.PeekKind()
	switch {
	case kind == 'n':
		return c.replace("null")
	case p.empty:
		return c.replace("{}")
	case kind == '{' && (p.members != nil || p.each != nil):
		return c.object(p)
	case kind == '[' && p.list != nil:
		return c.array(p.list)
	case kind == '{' || kind == '[':
		return c.unknown()
	case kind == '"':
		return c.text(p)
	}
	return c.literal(p)
}

// replace writes a JSON value instead of the next one.
func (c *redaction) replace(with string) error {
	if err := c.in.json.SkipValue(); err != nil {
		return err
	}
	return c.out.WriteValue(jsontext.Value(with))
}

// object copies an object, member by member.
func (c *redaction) object(p *place) error {
	if err := c.token(); err != nil {
		return err
	}
	for c.in.json.PeekKind() != '}' {
		name, err := c.in.unquoted()
		if err != nil {
			return err
		}
		c.scratch = append(c.scratch[:0], name...)
		member, known := p.members[string(lower(c.scratch))]
		switch {
		case known:
			err = c.out.WriteToken(jsontext.String(string(name)))
		case p.each != nil:
			member, err = p.each, c.write(rule, name)
		default:
			member, err = hidden, c.write(memberName, name)
		}
		if err != nil {
			return err
		}
		if err := c.value(member); err != nil {
			return err
		}
	}
	return c.token()
}

func (c *redaction) array(element *place) error {
	if err := c.token(); err != nil {
		return err
	}
	for c.in.json.PeekKind() != ']' {
		if err := c.value(element); err != nil {
			return err
		}
	}
	return c.token()
}

// unknown copies the form of an object or an array of which nothing is known.
func (c *redaction) unknown() error {
	depth := c.in.json.StackDepth()
	for {
		switch c.in.json.PeekKind() {
		case '{', '}', '[', ']':
			if err := c.token(); err != nil {
				return err
			}
			if c.in.json.StackDepth() == depth {
				return nil
			}
			continue
		}
		p := hidden
		if container, n := c.in.json.StackIndex(c.in.json.StackDepth()); container == '{' && n%2 == 0 {
			p = memberName
		}
		if err := c.value(p); err != nil {
			return err
		}
	}
}

// token copies the beginning or the end of an object or an array.
func (c *redaction) token() error {
	token, err := c.in.json.ReadToken()
	if err != nil {
		return err
	}
	return c.out.WriteToken(token)
}

func (c *redaction) text(p *place) error {
	text, err := c.in.unquoted()
	if err != nil {
		return err
	}
	return c.write(p, text)
}

// literal copies a number or a boolean. One that identifies something becomes a
// text.
func (c *redaction) literal(p *place) error {
	value, err := c.in.json.ReadValue()
	if err != nil {
		return err
	}
	switch {
	case p.kind != "":
		return c.write(p, value)
	case p.plain != nil:
		return c.out.WriteValue(value)
	case value.Kind() == '0':
		return c.out.WriteToken(jsontext.Int(0))
	}
	return c.out.WriteToken(jsontext.False)
}

// write writes a text, or its stand-in.
func (c *redaction) write(p *place, text []byte) error {
	if len(text) == 0 || p.plain != nil && p.plain.Match(text) {
		return c.out.WriteToken(jsontext.String(string(text)))
	}
	return c.out.WriteToken(jsontext.String(c.standIn(p.kind, text)))
}

var standInEncoding = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").
	WithPadding(base32.NoPadding)

// standIn returns the stand-in for a text. The kind only says what it is for: it
// is the same otherwise, wherever the text occurs.
func (c *redaction) standIn(kind string, text []byte) string {
	const enough = 10 // bytes; with a million texts, two share one once in 2 trillion recordings
	if kind == "" {
		kind = "text_"
	}
	c.mac.Reset()
	_, _ = c.mac.Write(text) // a hash takes everything
	c.scratch = c.mac.Sum(c.scratch[:0])
	return kind + standInEncoding.EncodeToString(c.scratch[:enough])
}

// end reads up to the end of the document.
func (c *redaction) end() error {
	_, err := c.in.json.ReadToken()
	switch {
	case errors.Is(err, io.EOF):
		return nil
	case err == nil:
		return errors.New("data after the end of the JSON document")
	}
	return err
}
