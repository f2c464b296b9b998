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

// A Redactor copies answers of OMS and takes out what they say about
// people, hosts and data, so that the copies can be shown to others.
//
// Everything a [Project] is made of is kept, except names and identifiers. Those
// are replaced by stand-ins such as task_mfzwizlsonxw4z3f. Within one Redactor,
// equal texts get equal stand-ins and different texts get different ones, on
// every page. Stand-ins are keyed hashes; the key is random and never leaves the
// Redactor, so nobody can work out what a stand-in stands for. Everything else
// keeps only its structure: texts become stand-ins, numbers become 0, booleans
// become false, unknown fields lose their names, and configurations become empty
// objects.
//
// A Redactor is safe for concurrent use. Make one with [NewRedactor].
type Redactor struct{ key [sha256.Size]byte }

// NewRedactor returns a redactor with a random key of its own.
func NewRedactor() *Redactor {
	r := new(Redactor)
	_, _ = rand.Read(r.key[:]) // never fails
	return r
}

// Copy reads one JSON document from src and writes its redacted copy to dst. It
// streams: however long the document is, no more than one text of it is in
// memory at a time.
//
// A document that is not valid JSON from its first byte to its last is an error,
// which does not quote the document. What was written before the error is
// redacted too, but is not a complete document.
func (r *Redactor) Copy(dst io.Writer, src io.Reader) error {
	lenient := []jsontext.Options{
		jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true),
	}
	c := &redaction{
		in:  &decoder{json: jsontext.NewDecoder(withoutBOM(src), lenient...)},
		out: jsontext.NewEncoder(dst, lenient...),
		mac: hmac.New(sha256.New, r.key[:]),
	}
	err := c.copyValue(anyAnswer)
	if err == nil {
		err = c.copyEnd()
	}
	if err != nil {
		return fmt.Errorf("redact: %w", describe(err))
	}
	return nil
}

// ProjectID returns the stand-in for the id of a project.
func (r *Redactor) ProjectID(id string) string {
	c := &redaction{mac: hmac.New(sha256.New, r.key[:])}
	return c.standIn(projectFields.shown.members["id"].prefix, []byte(id))
}

// A policy says what a recording shows of a value. Whatever the policy, nulls and
// empty texts are shown. The zero policy shows only structure.
type policy struct {
	shows    *regexp.Regexp     // texts that are shown as they are
	prefix   string             // of stand-ins; set if the value names something
	members  map[string]*policy // of an object, by name in lower case
	keys     *policy            // of an object used as a map: its keys
	values   *policy            // of an object used as a map: its values
	elements *policy            // of an array
	empty    bool               // an empty object is shown instead, whatever the value
}

// The policies of scalars. What OMS alone chooses is shown: enumeration values and
// codes, which have no lower-case letters. What people can choose is not, even if it
// looks like that: regions and the names of alarm rules have stand-ins.
var (
	hidden  = &policy{}
	emptied = &policy{empty: true}

	// A number, a boolean or a time, in the many forms in which OMS writes them.
	figure = &policy{shows: regexp.MustCompile(`^\s*(?:[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?` +
		`|(?i:true|false)` +
		`|\d{4}[-/]\d\d?[-/]\d\d?(?:[T ]\d\d?:\d\d(?::\d\d(?:[.,]\d{1,9})?)?)? ?` +
		`(?:Z|[+-]\d\d:?\d\d)?)?\s*$`)}

	enum = &policy{shows: regexp.MustCompile(`^[A-Z0-9_]{1,64}$`)}
	code = &policy{shows: regexp.MustCompile(`^[A-Z0-9_-]{1,64}$`)}
	cost = &policy{shows: regexp.MustCompile(`^\d{1,12}(?:\.\d{1,9})? ?(?:ms|s)?$`)}

	// A tag is shown if it sets a delay threshold, such as delay:30s/2m.
	tag = &policy{prefix: "tag_", shows: regexp.MustCompile(
		`^delay:` + tagDuration + `(?:/` + tagDuration + `)?$`)}
)

const tagDuration = `(?:0|(?:\d+(?:y|w|d|h|ms|m|s))+)`

// alias is the policy of what names or identifies something: it is never shown,
// and its stand-ins begin with the prefix.
func alias(prefix string) *policy { return &policy{prefix: prefix} }

func listOf(elements *policy) *policy { return &policy{elements: elements} }

func mapOf(keys, values *policy) *policy { return &policy{keys: keys, values: values} }

// merged returns the policy of what may be an array, like the first policy, or an
// object, like any of the others. They must not share members.
func merged(array *policy, objects ...*policy) *policy {
	p := &policy{elements: array.elements, members: map[string]*policy{}}
	for _, o := range objects {
		maps.Copy(p.members, o.members)
	}
	return p
}

// lower turns ASCII letters into lower case, in place. Names of fields are
// compared like this.
func lower(name []byte) []byte {
	for i, c := range name {
		if 'A' <= c && c <= 'Z' {
			name[i] = c + ('a' - 'A')
		}
	}
	return name
}

// A redaction copies one document.
type redaction struct {
	in      *decoder
	out     *jsontext.Encoder
	mac     hash.Hash
	scratch []byte
}

// copyValue copies the next value, redacted according to its policy.
func (c *redaction) copyValue(p *policy) error {
	kind := c.in.json.PeekKind()
	switch {
	case kind == 'n':
		return c.replace("null")
	case p.empty:
		return c.replace("{}")
	case kind == '{' && (p.members != nil || p.values != nil):
		return c.copyObject(p)
	case kind == '[' && p.elements != nil:
		return c.copyArray(p.elements)
	case kind == '{' || kind == '[':
		return c.copyStructure()
	case kind == '"':
		return c.copyText(p)
	}
	return c.copyLiteral(p)
}

// replace skips the next value and writes another one instead.
func (c *redaction) replace(with string) error {
	if err := c.in.json.SkipValue(); err != nil {
		return err
	}
	return c.out.WriteValue(jsontext.Value(with))
}

func (c *redaction) copyObject(p *policy) error {
	if err := c.copyToken(); err != nil {
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
		case p.values != nil:
			member, err = p.values, c.writeText(p.keys, name)
		default:
			member, err = hidden, c.writeText(unknownName, name)
		}
		if err != nil {
			return err
		}
		if err := c.copyValue(member); err != nil {
			return err
		}
	}
	return c.copyToken()
}

func (c *redaction) copyArray(elements *policy) error {
	if err := c.copyToken(); err != nil {
		return err
	}
	for c.in.json.PeekKind() != ']' {
		if err := c.copyValue(elements); err != nil {
			return err
		}
	}
	return c.copyToken()
}

var unknownName = alias("field_")

// copyStructure copies an object or an array in no table. It loops rather than
// recurses, since nothing is known of its depth.
func (c *redaction) copyStructure() error {
	depth := c.in.json.StackDepth()
	for {
		switch c.in.json.PeekKind() {
		case '{', '}', '[', ']':
			if err := c.copyToken(); err != nil {
				return err
			}
			if c.in.json.StackDepth() == depth {
				return nil
			}
			continue
		}
		p := hidden
		if container, n := c.in.json.StackIndex(c.in.json.StackDepth()); container == '{' && n%2 == 0 {
			p = unknownName
		}
		if err := c.copyValue(p); err != nil {
			return err
		}
	}
}

// copyToken copies the beginning or the end of an object or an array.
func (c *redaction) copyToken() error {
	token, err := c.in.json.ReadToken()
	if err != nil {
		return err
	}
	return c.out.WriteToken(token)
}

func (c *redaction) copyText(p *policy) error {
	text, err := c.in.unquoted()
	if err != nil {
		return err
	}
	return c.writeText(p, text)
}

// copyLiteral copies a number or a boolean. If it names something, a stand-in,
// which is a text, takes its place.
func (c *redaction) copyLiteral(p *policy) error {
	value, err := c.in.json.ReadValue()
	if err != nil {
		return err
	}
	switch {
	case p.prefix != "":
		return c.writeText(p, value)
	case p.shows != nil:
		return c.out.WriteValue(value)
	case value.Kind() == '0':
		return c.out.WriteToken(jsontext.Int(0))
	}
	return c.out.WriteToken(jsontext.False)
}

// writeText writes a text if it may be shown, and its stand-in otherwise.
func (c *redaction) writeText(p *policy, text []byte) error {
	if len(text) == 0 || p.shows != nil && p.shows.Match(text) {
		return c.out.WriteToken(jsontext.String(string(text)))
	}
	return c.out.WriteToken(jsontext.String(c.standIn(p.prefix, text)))
}

var standInEncoding = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").
	WithPadding(base32.NoPadding)

// standIn returns the stand-in for a text. The part after the prefix depends on
// the text alone, so one name can be followed from field to field.
func (c *redaction) standIn(prefix string, text []byte) string {
	// With 80 bits, the chance that any two of a million texts share a stand-in is
	// below one in a trillion.
	const hashBytes = 10
	if prefix == "" {
		prefix = "text_"
	}
	c.mac.Reset()
	_, _ = c.mac.Write(text) // a hash.Hash never fails
	c.scratch = c.mac.Sum(c.scratch[:0])
	return prefix + standInEncoding.EncodeToString(c.scratch[:hashBytes])
}

// copyEnd checks that nothing follows the document.
func (c *redaction) copyEnd() error {
	_, err := c.in.json.ReadToken()
	switch {
	case errors.Is(err, io.EOF):
		return nil
	case err == nil:
		return errors.New("data after the end of the JSON document")
	}
	return err
}
