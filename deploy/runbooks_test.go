package deploy_test

import (
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"oms_exporter/deploy/internal/runbooks"
)

func readPages(t *testing.T) map[string]runbooks.Page {
	t.Helper()
	pages, err := runbooks.Read("runbooks")
	if err != nil {
		t.Fatal(err)
	}
	return pages
}

func TestEveryAlertHasItsPage(t *testing.T) {
	pages := readPages(t)
	alerts := make(map[string]bool)
	for _, a := range known(t).Alerts() {
		alerts[a.Name] = true
		if _, ok := pages[a.Name]; !ok {
			t.Errorf("%s has no page", a.Name)
		}
		if link := a.Annotations["runbook_url"]; !strings.HasSuffix(link, "/runbooks/"+a.Name+".md") {
			t.Errorf("%s links to %s", a.Name, link)
		}
	}
	for name := range pages {
		if !alerts[name] {
			t.Errorf("runbooks/%s.md is about no alert", name)
		}
	}
}

var silence = regexp.MustCompile("(?m)^```sh\n(amtool silence add alertname=(\\w+) .*)\n```$")

func TestPagesAreAlike(t *testing.T) {
	for name, p := range readPages(t) {
		if p.Title != name {
			t.Errorf("%s: the title is %q", name, p.Title)
		}
		if !slices.Equal(p.Headings, runbooks.Headings) {
			t.Errorf("%s: the headings are %q, want %q", name, p.Headings, runbooks.Headings)
			continue
		}
		for heading, body := range p.Sections {
			if body == "" {
				t.Errorf("%s: nothing below %s", name, heading)
			}
		}
		if m := p.Meaning(); strings.Contains(m, "\n") || strings.Contains(m, "|") || !strings.HasSuffix(m, ".") {
			t.Errorf("%s: the meaning is not a sentence for a table: %s", name, m)
		}
		rows := strings.Split(p.Sections["Decide"], "\n")
		if len(rows) < 4 || rows[0] != "| what you see | what it means | what to do |" {
			t.Errorf("%s: a table of what to decide: %q", name, rows[0])
		}
		for _, row := range rows {
			if strings.Count(strings.ReplaceAll(row, `\|`, ""), "|") != 4 {
				t.Errorf("%s: not three columns: %s", name, row)
			}
		}
		if !strings.Contains(p.Sections["First look"], "1. ") {
			t.Errorf("%s: no list of what to look at first", name)
		}
	}
}

// TestSilences runs the command of every page: it must be one that amtool and Alertmanager take,
// and silence what the alert really is.
func TestSilences(t *testing.T) {
	t.Parallel()
	am := startAlertmanager(t, "group_wait: 200ms", "group_wait: 1h")
	labels := make(map[string][]string)
	for _, a := range known(t).Alerts() {
		labels[a.Name] = a.Labels
	}
	for name, p := range readPages(t) {
		command := silence.FindStringSubmatch(p.Sections["Silence"])
		if command == nil || command[2] != name {
			t.Errorf("%s: no command that silences it: %s", name, p.Sections["Silence"])
			continue
		}
		for _, m := range regexp.MustCompile(` (\w+)="`).FindAllStringSubmatch(command[1], -1) {
			if !slices.Contains(labels[name], m[1]) {
				t.Errorf("%s: the alert has no label %s", name, m[1])
			}
		}
		tool(t, "prometheus-alertmanager", "amtool")
		run(t, "sh", "-c", strings.Replace(command[1], "amtool silence", "amtool --alertmanager.url="+am.url+" silence", 1))
	}
}

var link = regexp.MustCompile(`\]\(([^)\s]+)\)`)

// TestLinksLeadSomewhere checks links between files, and to headings in them.
func TestLinksLeadSomewhere(t *testing.T) {
	links := 0
	for _, pattern := range []string{"runbooks/*.md", "alertmanager/*.md", "prometheus/*.md"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			for _, l := range link.FindAllStringSubmatch(readFile(t, file), -1) {
				u, err := url.Parse(l[1])
				if err != nil {
					t.Errorf("%s: %v", file, err)
					continue
				}
				if u.IsAbs() {
					continue
				}
				links++
				to := file
				if u.Path != "" {
					to = filepath.Join(filepath.Dir(file), u.Path)
				}
				content, err := os.ReadFile(to)
				if err != nil {
					t.Errorf("%s: %v", file, err)
					continue
				}
				if u.Fragment != "" && !slices.Contains(anchors(string(content)), u.Fragment) {
					t.Errorf("%s: %s has no heading for #%s", file, to, u.Fragment)
				}
			}
		}
	}
	if links < 100 {
		t.Errorf("only %d links", links)
	}
}

// anchors returns what links to the headings of a document end with.
func anchors(document string) []string {
	var found []string
	for _, h := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(document, -1) {
		found = append(found, regexp.MustCompile(`[^\w-]`).ReplaceAllString(strings.ReplaceAll(strings.ToLower(h[1]), " ", "-"), ""))
	}
	return found
}

// TestTablesOfAlerts checks what is generated in the READMEs: run go generate ./... after a change.
func TestTablesOfAlerts(t *testing.T) {
	pages, alerts := readPages(t), known(t).Alerts()
	for file, base := range map[string]string{"runbooks/README.md": "", "prometheus/README.md": "../runbooks/"} {
		text := readFile(t, file)
		table := runbooks.Table(alerts, pages, base)
		if want, err := runbooks.Replace(text, table); err != nil || want != text {
			t.Errorf("%s is not what the rules and pages say (%v); run go generate ./...", file, err)
		}
		for name := range pages {
			if strings.Count(table, "["+name+"]("+base+name+".md)") != 1 {
				t.Errorf("%s lists %s more or less than once", file, name)
			}
		}
	}
}
