package omsclient

import (
	"errors"
	"strings"
	"unicode"
)

// Limits of what is quoted, in runes.
const (
	maxWord = 64  // a word of OMS's: a code, a request id, a media type
	maxText = 300 // the text of an error
)

// printable cuts a text after a number of runes and replaces what does not print,
// such as controls and marks that reverse the direction of writing.
func printable(s string, limit int) string {
	var b strings.Builder
	n := 0
	for _, r := range s {
		if n++; n > limit {
			b.WriteString("…")
			break
		}
		if !unicode.IsPrint(r) {
			r = unicode.ReplacementChar
		}
		b.WriteRune(r)
	}
	return b.String()
}

// A rephrased error has another text than its cause.
type rephrased struct {
	text  string
	cause error
}

func (r *rephrased) Error() string { return r.text }
func (r *rephrased) Unwrap() error { return r.cause }

// cutError returns an error whose text is short and printable.
func cutError(err error) error {
	if text := printable(err.Error(), maxText); text != err.Error() {
		return &rephrased{text, err}
	}
	return err
}

var errNotHTTP = errors.New("the server does not speak HTTP")
