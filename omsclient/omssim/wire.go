package omssim

import (
	"strconv"
	"time"
)

// A Style is how numbers and booleans look on the wire.
type Style int

const (
	// Native sends them as JSON numbers and booleans, as running servers do.
	Native Style = iota
	// Quoted sends them as strings, as the vendor's printed example does. Nulls
	// stay nulls.
	Quoted
)

// timeLayout is how OMS formats times: in UTC, without saying so.
const timeLayout = "2006-01-02T15:04:05"

// A wire writes JSON by hand, from names that are spelled out where they are used.
// Nothing is shared with the client, so a wrong name in the client fails its tests.
// The zero wire is empty and Native.
type wire struct {
	buf   []byte
	style Style
}

// comma writes a comma unless the next value is the first one.
func (w *wire) comma() {
	if len(w.buf) == 0 {
		return
	}
	switch w.buf[len(w.buf)-1] {
	case '{', '[', ':', ',':
	default:
		w.buf = append(w.buf, ',')
	}
}

func (w *wire) key(key string) {
	w.comma()
	w.buf = append(w.buf, '"')
	w.buf = append(w.buf, key...)
	w.buf = append(w.buf, '"', ':')
}

// begin begins an object or an array, after a key or as an element.
func (w *wire) begin(bracket byte) {
	w.comma()
	w.buf = append(w.buf, bracket)
}

func (w *wire) end(bracket byte) {
	w.buf = append(w.buf, bracket)
}

func (w *wire) object(key string) {
	w.key(key)
	w.begin('{')
}

func (w *wire) array(key string) {
	w.key(key)
	w.begin('[')
}

func (w *wire) int(key string, n int64) {
	w.key(key)
	w.quote()
	w.buf = strconv.AppendInt(w.buf, n, 10)
	w.quote()
}

func (w *wire) bool(key string, b bool) {
	w.key(key)
	w.quote()
	w.buf = strconv.AppendBool(w.buf, b)
	w.quote()
}

// quote writes the quote before and after a number or a boolean, if the style
// wants it.
func (w *wire) quote() {
	if w.style == Quoted {
		w.buf = append(w.buf, '"')
	}
}

func (w *wire) null(keys ...string) {
	for _, key := range keys {
		w.raw(key, "null")
	}
}

// raw writes a value that is already JSON.
func (w *wire) raw(key, json string) {
	w.key(key)
	w.buf = append(w.buf, json...)
}

func (w *wire) string(key, s string) {
	w.key(key)
	w.element(s)
}

// element writes a string as an element of an array.
func (w *wire) element(s string) {
	w.comma()
	w.buf = append(w.buf, '"')
	w.buf = appendEscaped(w.buf, s)
	w.buf = append(w.buf, '"')
}

// optional writes a string, or null for the empty one.
func (w *wire) optional(key, s string) {
	if s == "" {
		w.null(key)
		return
	}
	w.string(key, s)
}

// time writes a time, given in Unix seconds, or null for 0.
func (w *wire) time(key string, unix int64) {
	if unix == 0 {
		w.null(key)
		return
	}
	w.key(key)
	w.buf = append(w.buf, '"')
	w.buf = time.Unix(unix, 0).UTC().AppendFormat(w.buf, timeLayout)
	w.buf = append(w.buf, '"')
}

// appendEscaped appends s, which must be UTF-8, as the content of a JSON string.
func appendEscaped(buf []byte, s string) []byte {
	const hex = "0123456789abcdef"
	done := 0
	for i := range len(s) {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' {
			continue
		}
		buf = append(buf, s[done:i]...)
		done = i + 1
		if c < ' ' {
			buf = append(buf, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
			continue
		}
		buf = append(buf, '\\', c)
	}
	return append(buf, s[done:]...)
}
