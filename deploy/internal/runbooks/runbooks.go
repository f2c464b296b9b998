// Package runbooks reads the pages of deploy/runbooks, one for each alert, and makes tables of
// alerts of them.
package runbooks

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"oms_exporter/deploy/internal/names"
)

// Headings are those of every page, in their order.
var Headings = []string{
	"Meaning", "Impact", "First look", "Decide", "If nobody acts", "Silence", "Known false alarms",
}

// A Page is what to do about an alert.
type Page struct {
	Title    string
	Headings []string
	Sections map[string]string
	Text     string
}

// Read returns the pages of a directory by the names of their files, without the READMEs.
func Read(dir string) (map[string]Page, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.md"))
	if err != nil {
		return nil, err
	}
	pages := make(map[string]Page)
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".md")
		if strings.HasPrefix(name, "README") {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		pages[name] = parse(string(text))
	}
	return pages, nil
}

func parse(text string) Page {
	p := Page{Sections: make(map[string]string), Text: text}
	parts := strings.Split("\n"+text, "\n## ")
	p.Title = strings.TrimPrefix(strings.TrimSpace(parts[0]), "# ")
	for _, part := range parts[1:] {
		heading, body, _ := strings.Cut(part, "\n")
		p.Headings = append(p.Headings, heading)
		p.Sections[heading] = strings.TrimSpace(body)
	}
	return p
}

// Meaning is the page's first sentence on what the alert means, on one line.
func (p Page) Meaning() string {
	return strings.ReplaceAll(p.Sections["Meaning"], "\n", " ")
}

var scopes = []struct{ name, heading string }{
	{"exporter", "About the exporter"}, {"oms", "About an OMS"}, {"task", "About a task"},
}

// Table returns a table of the alerts for each scope, in the order of the rules, with links to
// the pages, which are below base.
func Table(alerts []names.Alert, pages map[string]Page, base string) string {
	var b strings.Builder
	for i, scope := range scopes {
		if i > 0 {
			b.WriteString("\n")
		}
		fmt.Fprintf(&b, "### %s\n\n| alert | severity | for | when |\n|---|---|---|---|\n", scope.heading)
		var done []string
		for _, a := range alerts {
			if a.Fixed["scope"] != scope.name || slices.Contains(done, a.Name) {
				continue
			}
			done = append(done, a.Name)
			severity, lasting := degrees(alerts, a.Name)
			fmt.Fprintf(&b, "| [%s](%s%s.md) | %s | %s | %s |\n", a.Name, base, a.Name, severity, lasting,
				pages[a.Name].Meaning())
		}
	}
	return b.String()
}

// degrees returns the severities of all alerts of a name, and how long each has to last.
func degrees(alerts []names.Alert, name string) (severity, lasting string) {
	var severities, durations []string
	add := func(to *[]string, s string) {
		if s != "" && !slices.Contains(*to, s) {
			*to = append(*to, s)
		}
	}
	for _, a := range alerts {
		if a.Name != name {
			continue
		}
		s := a.Fixed["severity"]
		if strings.Contains(s, "{{") {
			s = "by importance"
		}
		add(&severities, s)
		add(&durations, a.For)
	}
	return strings.Join(severities, ", "), strings.Join(durations, ", ")
}

// Write puts the tables into the README.md of dir/runbooks and of dir/prometheus.
func Write(dir string) error {
	n, err := names.New()
	if err != nil {
		return err
	}
	pages, err := Read(filepath.Join(dir, "runbooks"))
	if err != nil {
		return err
	}
	for readme, base := range map[string]string{"runbooks": "", "prometheus": "../runbooks/"} {
		file := filepath.Join(dir, readme, "README.md")
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		replaced, err := Replace(string(text), Table(n.Alerts(), pages, base))
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		err = os.WriteFile(file, []byte(replaced), 0o644) //nolint:gosec // it is no secret
		if err != nil {
			return err
		}
	}
	return nil
}

const (
	begin = "<!-- alerts: made by go generate -->\n"
	end   = "<!-- /alerts -->\n"
)

// Replace puts a table between the marks of a document.
func Replace(document, table string) (string, error) {
	before, rest, begun := strings.Cut(document, begin)
	_, after, ended := strings.Cut(rest, end)
	if !begun || !ended || strings.Contains(after, begin) {
		return document, fmt.Errorf("want once, and on lines of their own: %s%s", begin, end)
	}
	return before + begin + "\n" + table + "\n" + end + after, nil
}
