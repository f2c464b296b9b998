package omssim

import (
	"strconv"
	"time"
)

// A Style says how scalars look on the wire.
type Style int

const (
	// Native sends numbers and booleans as JSON numbers and booleans, as running
	// servers were seen to do.
	Native Style = iota
	// Quoted sends every number and every boolean as a string, as the vendor's
	// printed example does. Nulls stay nulls.
	Quoted
)

// timeLayout is how OMS writes instants: UTC, without saying so.
const timeLayout = "2006-01-02T15:04:05"

// A wire writes JSON by hand, so that the names on it are those that are read here
// and not those of some struct tag. The zero wire is empty and Native.
type wire struct {
	buf   []byte
	style Style
}

// comma separates what follows from what is there, where that is needed.
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

// begin starts an object or an array, as a value or as an element.
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

// scalar writes what a number or a boolean looks like in this style.
func (w *wire) scalar(text string) {
	w.comma()
	if w.style == Quoted {
		w.buf = append(w.buf, '"')
		w.buf = append(w.buf, text...)
		w.buf = append(w.buf, '"')
		return
	}
	w.buf = append(w.buf, text...)
}

func (w *wire) int(key string, n int64) {
	w.key(key)
	if w.style == Quoted {
		w.buf = append(w.buf, '"')
	}
	w.buf = strconv.AppendInt(w.buf, n, 10)
	if w.style == Quoted {
		w.buf = append(w.buf, '"')
	}
}

func (w *wire) bool(key string, b bool) {
	w.key(key)
	w.scalar(strconv.FormatBool(b))
}

func (w *wire) null(keys ...string) {
	for _, key := range keys {
		w.raw(key, "null")
	}
}

// raw writes JSON as it is.
func (w *wire) raw(key, json string) {
	w.key(key)
	w.buf = append(w.buf, json...)
}

func (w *wire) string(key, s string) {
	w.key(key)
	w.text(s)
}

// text writes a string as an element of an array.
func (w *wire) text(s string) {
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

// time writes an instant given in Unix seconds, or null for 0.
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

// appendEscaped appends s, which is UTF-8, as the inside of a JSON string.
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
