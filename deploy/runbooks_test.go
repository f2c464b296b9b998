package deploy_test

import (
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"oms_exporter/collector"
	"oms_exporter/deploy/internal/dashboards"
)

// A runbookLanguage is one that runbooks are written in.
type runbookLanguage struct {
	dir      string
	index    string   // the page of what they have in common
	headings []string // of every runbook, in order
	decide   string   // the first row of the table below the heading that says what to do
	stop     string   // at the end of a sentence
}

// English is the language of the other documents. The Chinese runbooks have the same parts.
var (
	english = runbookLanguage{
		dir: "runbooks", index: "README.md", stop: ".",
		headings: []string{"Meaning", "Impact", "First look", "Decide", "Resolved when", "Escalate", "Silence"},
		decide:   "| what you see | what it means | what to do |",
	}
	chinese = runbookLanguage{
		dir: "runbooks/zh-CN", index: "../README.zh-CN.md", stop: "。",
		headings: []string{"含义", "影响", "先看什么", "如何判断", "恢复标准", "通知谁", "静默"},
		decide:   "| 看到什么 | 说明什么 | 怎么办 |",
	}
)

// section returns a section of a page by its place among the headings.
func (l runbookLanguage) section(p page, n int) string {
	return p.sections[l.headings[n]]
}

// The places of sections.
const (
	meaning   = 0
	firstLook = 2
	decide    = 3
	silenced  = 6
)

// A page is a runbook: what to do about an alert.
type page struct {
	title    string
	headings []string
	sections map[string]string
}

// readPages returns the runbooks of a language by name.
func readPages(t *testing.T, l runbookLanguage) map[string]page {
	t.Helper()
	pages := make(map[string]page)
	for _, file := range glob(t, l.dir+"/OMS*.md") {
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
	alerts := make(map[string]bool)
	for _, a := range known(t).Alerts() {
		alerts[a.Alert] = true
		if link := a.Annotations["runbook_url"]; link != dashboards.RunbookBase+a.Alert+".md" {
			t.Errorf("%s links to %s", a.Alert, link)
		}
		if a.Annotations["summary"] == "" || a.Annotations["description"] == "" {
			t.Errorf("%s has no summary or no description", a.Alert)
		}
	}
	for _, l := range []runbookLanguage{english, chinese} {
		pages, meanings := readPages(t, l), make(map[string]string)
		for name := range alerts {
			if _, ok := pages[name]; !ok {
				t.Errorf("there is no %s/%s.md", l.dir, name)
			}
		}
		for name, p := range pages {
			says := l.section(p, meaning)
			if other, same := meanings[says]; same {
				t.Errorf("%s/%s.md means the same as %s", l.dir, name, other)
			}
			meanings[says] = name
			if !alerts[name] {
				t.Errorf("%s/%s.md is about no alert", l.dir, name)
			}
		}
	}
}

// chineseNames returns the names of alerts in Chinese notifications.
func chineseNames(t *testing.T) map[string]string {
	t.Helper()
	names := make(map[string]string)
	for _, m := range regexp.MustCompile(`eq \. "(OMS\w+)" \}\}\{\{ "([^"]+)"`).FindAllStringSubmatch(readFile(t, "alertmanager/templates/oms.tmpl"), -1) {
		names[m[1]] = m[2]
	}
	return names
}

func TestPagesAreAlike(t *testing.T) {
	names := chineseNames(t)
	for _, l := range []runbookLanguage{english, chinese} {
		for name, p := range readPages(t, l) {
			title := name
			if l.dir == chinese.dir {
				title += "：" + names[name]
			}
			if p.title != title {
				t.Errorf("%s/%s: the title is %q, want %q", l.dir, name, p.title, title)
			}
			if !slices.Equal(p.headings, l.headings) {
				t.Errorf("%s/%s: the headings are %q, want %q", l.dir, name, p.headings, l.headings)
				continue
			}
			for _, problem := range badParts(l, p) {
				t.Errorf("%s/%s: %s", l.dir, name, problem)
			}
		}
	}
}

// badParts returns what is wrong with the sections of a page.
func badParts(l runbookLanguage, p page) (problems []string) {
	for heading, body := range p.sections {
		if body == "" {
			problems = append(problems, "nothing below "+heading)
		}
	}
	if m := l.section(p, meaning); strings.Contains(m, "|") || strings.Contains(m, "\n\n") || !strings.HasSuffix(m, l.stop) {
		problems = append(problems, "the meaning is not a sentence for a table: "+m)
	}
	table, _, _ := strings.Cut(l.section(p, decide), "\n\n")
	rows := strings.Split(table, "\n")
	if len(rows) < 4 || rows[0] != l.decide {
		problems = append(problems, "no table of what to decide, but "+rows[0])
	}
	for _, row := range rows {
		if strings.Count(strings.ReplaceAll(row, `\|`, ""), "|") != 4 {
			problems = append(problems, "not three columns: "+row)
		}
	}
	if !strings.Contains(l.section(p, firstLook), "1. ") {
		problems = append(problems, "no list of what to look at first")
	}
	return problems
}

var (
	fence   = regexp.MustCompile("(?s)```.*?```")
	linkEnd = regexp.MustCompile(`\]\(([^)#]*)[^)]*\)`)
	number  = regexp.MustCompile(`\d+(?:\.\d+)*`)
	row     = regexp.MustCompile(`(?m)^\|`)
	list    = regexp.MustCompile(`(?m)^\d+\. `)
)

// sameParts returns what pages in two languages have to have in common: blocks of code, code in the
// text, links, numbers, and how many headings, rows of tables and steps there are. The text may say
// them in another order.
func sameParts(text, dir string) map[string][]string {
	parts := map[string][]string{"block of code": fence.FindAllString(text, -1), "link": nil}
	text = fence.ReplaceAllString(text, "")
	for _, m := range linkEnd.FindAllStringSubmatch(text, -1) {
		to := m[1]
		if !strings.Contains(to, ":") {
			to = strings.NewReplacer("runbooks/zh-CN/", "runbooks/", "docs/zh/", "docs/", ".zh-CN.md", ".md").Replace(filepath.Join(dir, to))
		}
		parts["link"] = append(parts["link"], to)
	}
	text = linkEnd.ReplaceAllString(text, "")
	parts["code"] = codeSpan.FindAllString(text, -1)
	text = codeSpan.ReplaceAllString(text, "")
	parts["number"] = number.FindAllString(text, -1)
	for _, name := range []string{"link", "code", "number"} {
		slices.Sort(parts[name])
	}
	for section := range strings.SplitSeq(text, "\n#") {
		parts["size of sections"] = append(parts["size of sections"],
			fmt.Sprintf("%d rows, %d steps", len(row.FindAllString(section, -1)), len(list.FindAllString(section, -1))))
	}
	return parts
}

// TestChineseRunbooksAreInStep checks that a command, query, threshold or link that changes in one
// language changes in the other.
func TestChineseRunbooksAreInStep(t *testing.T) {
	pages := []string{english.index}
	for name := range readPages(t, english) {
		pages = append(pages, name+".md")
	}
	for _, name := range pages {
		other := filepath.Join(chinese.dir, name)
		if name == english.index {
			other = filepath.Join(chinese.dir, chinese.index)
		}
		// The index is generated.
		before := func(file string) string {
			text, _, _ := strings.Cut(readFile(t, file), "<!-- alerts -->")
			return text
		}
		want := sameParts(before(filepath.Join(english.dir, name)), english.dir)
		for part, got := range sameParts(before(other), filepath.Dir(other)) {
			if !slices.Equal(want[part], got) {
				t.Errorf("%s: not the same %s as in English:\n%s", other, part,
					difference(strings.Join(want[part], "\n"), strings.Join(got, "\n")))
			}
		}
	}
}

// TestRunbooksQuoteTheSettings checks the thresholds and retentions that pages quote. The Chinese
// pages have the same numbers.
func TestRunbooksQuoteTheSettings(t *testing.T) {
	settings := make(map[string]string) // by name and labels
	for _, r := range known(t).rules {
		if value := regexp.MustCompile(`^vector\((\d+)\)$`).FindStringSubmatch(r.Expr); value != nil {
			settings[fmt.Sprint(r.Record, r.Labels)] = value[1]
		}
	}
	span := func(unit int, singular, name, labels string) string {
		seconds, err := strconv.Atoi(settings["oms:setting_"+name+":seconds"+"map["+labels+"]"])
		if err != nil || seconds%unit != 0 {
			t.Fatalf("%s has no setting of whole %ss for %s", name, singular, labels)
		}
		if seconds == unit {
			return "1 " + singular
		}
		return fmt.Sprintf("%d %ss", seconds/unit, singular)
	}
	threshold := func(importance, level string, unit int, singular string) string {
		return span(unit, singular, "delay_threshold", "importance:"+importance+" level:"+level) + " for " + importance
	}
	for file, want := range map[string]string{
		"OMSTaskDelayHigh.md": threshold("HIGH", "warning", 60, "minute") + ", " +
			threshold("MEDIUM", "warning", 60, "minute") + " and " + threshold("LOW", "warning", 60, "minute"),
		"OMSTaskDelayCritical.md": threshold("HIGH", "critical", 60, "minute") + ", " +
			threshold("MEDIUM", "critical", 60, "minute") + " and " + threshold("LOW", "critical", 3600, "hour"),
		"README.md": span(3600, "hour", "log_retention", "task_type:SYNC") + " for a synchronization and for " +
			span(3600, "hour", "log_retention", "task_type:MIGRATION") + " for a migration",
		"OMSPasswordExpiring.md": span(86400, "day", "password_age", "level:warning") + " old; by default, OMS lets it expire after " +
			span(86400, "day", "password_age", "level:expired"),
	} {
		if !strings.Contains(readFile(t, filepath.Join(english.dir, file)), want) {
			t.Errorf("%s does not say %q", file, want)
		}
	}
}

// TestRunbooksNeedNothingOptional checks that pages which ask for series of a group that is switched
// off by default say with which flag it is switched on.
func TestRunbooksNeedNothingOptional(t *testing.T) {
	optional := make(map[string]string) // the group of a series
	for _, g := range collector.Groups() {
		for _, d := range collector.Docs() {
			if g.OptIn && d.Group == g.Name {
				optional[d.Name] = g.Name
			}
		}
	}
	if len(optional) == 0 {
		t.Fatal("every group is switched on by default")
	}
	for _, file := range append(glob(t, english.dir+"/*.md"), glob(t, chinese.dir+"/*.md")...) {
		text := readFile(t, file)
		for _, name := range regexp.MustCompile(`\boms_\w+`).FindAllString(text, -1) {
			if g := optional[name]; g != "" && !strings.Contains(text, "--collector."+g) {
				t.Errorf("%s asks for %s, but does not name --collector.%s", file, name, g)
			}
		}
	}
}

var (
	silence    = regexp.MustCompile("(?m)^```sh\n(amtool silence add alertname=(\\w+) .*)\n```$")
	anySilence = regexp.MustCompile("(?m)^amtool silence add .*$")
)

// TestSilences runs the commands of the runbooks: amtool and Alertmanager must accept them, and
// their labels must be those of the alert. The first of a page silences its alert alone.
func TestSilences(t *testing.T) {
	t.Parallel()
	am := startAlertmanager(t, "group_wait: 200ms", "group_wait: 1h")
	all, labels := make(map[string]bool), make(map[string][]string)
	for _, a := range known(t).Alerts() {
		labels[a.Alert] = a.labels
		for _, l := range a.labels {
			all[l] = true
		}
	}
	tool(t, "prometheus-alertmanager", "amtool")
	try := func(where, command string, known func(label string) bool) {
		for _, m := range regexp.MustCompile(` (\w+)!?="`).FindAllStringSubmatch(command, -1) {
			if !known(m[1]) {
				t.Errorf("%s: the alert has no label %s", where, m[1])
			}
		}
		run(t, "sh", "-c", strings.Replace(command, "amtool silence", "amtool --alertmanager.url="+am.url+" silence", 1))
	}
	for name, p := range readPages(t, english) {
		section := english.section(p, silenced)
		if first := silence.FindStringSubmatch(section); first == nil || first[2] != name {
			t.Errorf("%s: no command that silences it: %s", name, section)
		}
		for _, command := range anySilence.FindAllString(section, -1) {
			try(name, command, func(l string) bool { return slices.Contains(labels[name], l) || l == "symptom" })
		}
	}
	common := anySilence.FindAllString(readFile(t, "runbooks/README.md"), -1)
	if len(common) < 3 {
		t.Errorf("README.md has only %d silences", len(common))
	}
	for _, command := range common {
		try("README.md", command, func(l string) bool { return all[l] })
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
