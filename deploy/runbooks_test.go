package deploy_test

import (
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"oms_exporter/deploy/internal/dashboards"
)

// headings are those of every runbook, in order.
var headings = []string{
	"Meaning", "Impact", "First look", "Decide", "If nobody acts", "Silence", "Known false alarms",
}

// A page is a runbook: what to do about an alert.
type page struct {
	title    string
	headings []string
	sections map[string]string
}

// readPages returns the runbooks by name.
func readPages(t *testing.T) map[string]page {
	t.Helper()
	pages := make(map[string]page)
	for _, file := range glob(t, "runbooks/OMS*.md") {
		parts := strings.Split("\n"+readFile(t, file), "\n## ")
		p := page{title: strings.TrimPrefix(strings.TrimSpace(parts[0]), "# "), sections: make(map[string]string)}
		for _, part := range parts[1:] {
			heading, body, _ := strings.Cut(part, "\n")
			p.headings = append(p.headings, heading)
			p.sections[heading] = strings.TrimSpace(body)
		}
		pages[strings.TrimSuffix(filepath.Base(file), ".md")] = p
	}
	return pages
}

func TestEveryAlertHasItsPage(t *testing.T) {
	pages := readPages(t)
	alerts := make(map[string]bool)
	for _, a := range known(t).Alerts() {
		alerts[a.Alert] = true
		if _, ok := pages[a.Alert]; !ok {
			t.Errorf("%s has no runbook", a.Alert)
		}
		if link := a.Annotations["runbook_url"]; link != dashboards.RunbookBase+a.Alert+".md" {
			t.Errorf("%s links to %s", a.Alert, link)
		}
		if a.Annotations["summary"] == "" || a.Annotations["description"] == "" {
			t.Errorf("%s has no summary or no description", a.Alert)
		}
	}
	meanings := make(map[string]string)
	for name, p := range pages {
		if other, same := meanings[p.sections["Meaning"]]; same {
			t.Errorf("runbooks/%s.md has the Meaning of %s", name, other)
		}
		meanings[p.sections["Meaning"]] = name
		if !alerts[name] {
			t.Errorf("runbooks/%s.md is about no alert", name)
		}
	}
}

var silence = regexp.MustCompile("(?m)^```sh\n(amtool silence add alertname=(\\w+) .*)\n```$")

func TestPagesAreAlike(t *testing.T) {
	for name, p := range readPages(t) {
		if p.title != name {
			t.Errorf("%s: the title is %q", name, p.title)
		}
		if !slices.Equal(p.headings, headings) {
			t.Errorf("%s: the headings are %q, want %q", name, p.headings, headings)
			continue
		}
		for heading, body := range p.sections {
			if body == "" {
				t.Errorf("%s: nothing below %s", name, heading)
			}
		}
		if m := p.sections["Meaning"]; strings.Contains(m, "|") || strings.Contains(m, "\n\n") || !strings.HasSuffix(m, ".") {
			t.Errorf("%s: the meaning is not a sentence for a table: %s", name, m)
		}
		rows := strings.Split(p.sections["Decide"], "\n")
		if len(rows) < 4 || rows[0] != "| what you see | what it means | what to do |" {
			t.Errorf("%s: a table of what to decide: %q", name, rows[0])
		}
		for _, row := range rows {
			if strings.Count(strings.ReplaceAll(row, `\|`, ""), "|") != 4 {
				t.Errorf("%s: not three columns: %s", name, row)
			}
		}
		if !strings.Contains(p.sections["First look"], "1. ") {
			t.Errorf("%s: no list of what to look at first", name)
		}
	}
}

// TestSilences runs the command of every runbook: amtool and Alertmanager must
// accept it, and its labels must be those of the alert.
func TestSilences(t *testing.T) {
	t.Parallel()
	am := startAlertmanager(t, "group_wait: 200ms", "group_wait: 1h")
	labels := make(map[string][]string)
	for _, a := range known(t).Alerts() {
		labels[a.Alert] = a.labels
	}
	for name, p := range readPages(t) {
		command := silence.FindStringSubmatch(p.sections["Silence"])
		if command == nil || command[2] != name {
			t.Errorf("%s: no command that silences it: %s", name, p.sections["Silence"])
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

// TestRunbooksMove runs, on copies of the files, the command in
// prometheus/README.md that replaces the address of the runbooks.
func TestRunbooksMove(t *testing.T) {
	command := regexp.MustCompile(`(?m)^sed -i .*$`).FindString(readFile(t, "prometheus/README.md"))
	base := regexp.MustCompile(`\|(https://git\.\S+/)\|`).FindStringSubmatch(command)
	if base == nil {
		t.Fatalf("prometheus/README.md lacks the command, has %q", command)
	}
	dir := t.TempDir()
	run(t, "cp", "-R", "prometheus", dir)
	run(t, "sh", "-c", "cd "+dir+" && "+command)
	moved := 0
	for _, file := range glob(t, ruleFiles) {
		text := readFile(t, filepath.Join(dir, file))
		moved += strings.Count(text, base[1])
		if want := strings.ReplaceAll(readFile(t, file), dashboards.RunbookBase, base[1]); text != want {
			t.Errorf("%s: not exactly the links are changed:\n%s", file, difference(want, text))
		}
	}
	if moved < len(known(t).Alerts()) {
		t.Errorf("only %d links are changed", moved)
	}
}
