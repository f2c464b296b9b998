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

	cells []string
	width int
}

// writeTable writes a line for each task that is no wider than the screen. Columns that say
// nothing are left out, then the least important ones until the rest fits.
func writeTable(w io.Writer, rows []row, screen screen) {
	if len(rows) == 0 {
		_, _ = io.WriteString(w, english.mustText("nothing matches")+"\n")
		return
	}
	columns := fit(filled(rows), screen.columns)
	line := func(text func(*tableColumn) string, paint string) {
		parts := make([]string, len(columns))
		for i, c := range columns {
			parts[i] = runewidth.FillRight(cut(text(c), c.width), c.width)
			if c.painted && paint != "" && screen.color {
				parts[i] = paint + parts[i] + "\x1b[0m"
			}
		}
		_, _ = io.WriteString(w, strings.TrimRight(strings.Join(parts, gap), " ")+"\n")
	}
	line(func(c *tableColumn) string { return c.title }, "")
	for i := range rows {
		line(func(c *tableColumn) string { return c.cells[i] }, paints[rows[i].Severity])
	}
}

const gap = "  " // between columns

// paints are the colors of severities.
var paints = map[string]string{
	collector.Critical: "\x1b[31m", collector.Warning: "\x1b[33m", collector.Notice: "\x1b[36m",
}

// filled returns the columns that say something about a task.
func filled(rows []row) []*tableColumn {
	var columns []*tableColumn
	for _, c := range cellsOf {
		says := false
		c.cells = make([]string, len(rows))
		for i := range rows {
			c.cells[i] = printable(c.cell(&rows[i]))
			says = says || c.cells[i] != ""
		}
		if says {
			columns = append(columns, &c)
		}
	}
	return columns
}

// fit gives columns their widths, so that together they are no wider than a screen; 0 is one
// without end.
func fit(columns []*tableColumn, screen int) []*tableColumn {
	for {
		total := -len(gap)
		for _, c := range columns {
			c.width = runewidth.StringWidth(c.title)
			for _, cell := range c.cells {
				c.width = max(c.width, runewidth.StringWidth(cell))
			}
			total += c.width + len(gap)
		}
		if screen <= 0 || shrink(columns, total-screen) || len(columns) == 1 {
			return columns
		}
		columns = columns[:len(columns)-1]
	}
}

// shrink takes a number of cells away from the widest columns that may be narrower. It reports
// whether there were so many.
func shrink(columns []*tableColumn, excess int) bool {
	for ; excess > 0; excess-- {
		var widest *tableColumn
		for _, c := range columns {
			if c.least > 0 && c.width > c.least && (widest == nil || c.width > widest.width) {
				widest = c
			}
		}
		if widest == nil {
			return false
		}
		widest.width--
	}
	return true
}

// cut shortens a text to a width, if that is not 0. Wide characters take two cells.
func cut(text string, width int) string {
	if width <= 0 {
		return text
	}
	return runewidth.Truncate(text, width, "…")
}
