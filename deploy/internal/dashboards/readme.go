package dashboards

import (
	"bytes"
	"fmt"
	"strings"
)

// What stands between these marks in a README is made from the catalogue.
const (
	mark = "<!-- panels -->"
	end  = "<!-- /panels -->"
)

// Readme returns a README with its tables of panels and variables made anew.
func Readme(old []byte) ([]byte, error) {
	before, rest, ok := bytes.Cut(old, []byte(mark))
	_, after, closed := bytes.Cut(rest, []byte(end))
	if !ok || !closed {
		return nil, fmt.Errorf("there is no %s … %s", mark, end)
	}
	var b bytes.Buffer
	b.Write(before)
	b.WriteString(mark + "\n")
	for _, board := range boards(Options{}) {
		board.describe(&b)
	}
	b.WriteString("\n" + end)
	b.Write(after)
	return b.Bytes(), nil
}

// describe writes what a board shows.
func (b *board) describe(w *bytes.Buffer) {
	var names []string
	for _, v := range b.variables {
		if !v.hidden {
			names = append(names, "`"+v.name+"`")
		}
	}
	fmt.Fprintf(w, "\n### %s\n\n%s Opens with %s, refreshes every %s. Variables: %s.\n\n",
		b.title, b.question, strings.TrimPrefix(b.from, "now-"), b.refresh, strings.Join(names, ", "))
	fmt.Fprint(w, "| row | panel | what to conclude |\n|---|---|---|\n")
	for _, r := range b.rows {
		for _, p := range r.panels {
			fmt.Fprintf(w, "| %s | %s | %s |\n", r.title, p.title, sentence(p.says))
		}
	}
}
