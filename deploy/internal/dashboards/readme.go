package dashboards

import (
	"fmt"
	"strings"
)

// Tables returns tables of the panels and variables of all boards, in Markdown.
func Tables() string {
	var texts []string
	for _, b := range boards(Outside{}) {
		texts = append(texts, b.describe())
	}
	return strings.Join(texts, "\n")
}

// describe returns a table of the board's panels, in Markdown.
func (b *board) describe() string {
	var w strings.Builder
	var names []string
	for _, v := range b.variables {
		names = append(names, "`"+v.name+"`")
	}
	fmt.Fprintf(&w, "### %s\n\n%s Opens with %s, refreshes every %s. Variables: %s.\n\n",
		b.title, b.question, strings.TrimPrefix(b.from, "now-"), b.refresh, strings.Join(names, ", "))
	fmt.Fprint(&w, "| row | panel | what to conclude |\n|---|---|---|\n")
	for _, r := range b.rows {
		for _, p := range r.panels {
			fmt.Fprintf(&w, "| %s | %s | %s |\n", r.title, p.title, sentence(p.says))
		}
	}
	return w.String()
}
