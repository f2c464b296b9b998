package main

import (
	"io"
	"strings"

	"github.com/mattn/go-runewidth"

	"oms_exporter/collector"
)

// A tableColumn is a column of a table in a terminal.
type tableColumn struct {
	title   string
	least   int  // how narrow it may be made; 0: as wide as its cells
	painted bool // in the color of the severity
	cell    func(*row) string

	cells []string // below the title
	full  int      // the width of the widest
	width int      // as shown
}

const gap = "  " // between columns

// paints are the colors of severities.
var paints = map[string]string{
	collector.Critical: "\x1b[31m", collector.Warning: "\x1b[33m", collector.Notice: "\x1b[36m",
}

// writeTable writes a line for each task that is no wider than the screen. Columns that say
// nothing are left out, then the least important ones until the rest fits.
func writeTable(w io.Writer, rows []row, screen screen) {
	if len(rows) == 0 {
		_, _ = io.WriteString(w, english.mustText("nothing matches")+"\n")
		return
	}
	columns := fit(filled(rows), screen.columns)
	for i := range len(rows) + 1 {
		parts := make([]string, len(columns))
		for j, c := range columns {
			parts[j] = runewidth.FillRight(cut(c.cells[i], c.width), c.width)
			if c.painted && i > 0 && screen.color && paints[rows[i-1].Severity] != "" {
				parts[j] = paints[rows[i-1].Severity] + parts[j] + "\x1b[0m"
			}
		}
		_, _ = io.WriteString(w, strings.TrimRight(strings.Join(parts, gap), " ")+"\n")
	}
}

// filled returns the columns that say something about a task.
func filled(rows []row) []*tableColumn {
	var columns []*tableColumn
	for _, c := range cellsOf {
		c.cells, c.full = []string{c.title}, runewidth.StringWidth(c.title)
		says := false
		for i := range rows {
			cell := printable(c.cell(&rows[i]))
			c.cells, c.full = append(c.cells, cell), max(c.full, runewidth.StringWidth(cell))
			says = says || cell != ""
		}
		if c.width = c.full; says {
			columns = append(columns, &c)
		}
	}
	return columns
}

// fit returns the first columns that are together no wider than a screen, if need be made
// narrower; 0 is a screen without end. What is left of its width goes to the first of them.
func fit(columns []*tableColumn, screen int) []*tableColumn {
	if screen <= 0 {
		return columns
	}
	left := screen + len(gap)
	for i, c := range columns {
		if c.least > 0 {
			c.width = min(c.width, c.least)
		}
		if needs := c.width + len(gap); needs <= left || i == 0 {
			left -= needs
			continue
		}
		columns = columns[:i]
		break
	}
	for _, c := range columns {
		more := min(max(left, 0), c.full-c.width)
		c.width += more
		left -= more
	}
	return columns
}

// cut shortens a text to a width, if that is not 0. Wide characters take two cells.
func cut(text string, width int) string {
	if width <= 0 {
		return text
	}
	return runewidth.Truncate(text, width, "…")
}
