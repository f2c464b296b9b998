package deploy_test

import (
	"errors"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
)

func TestRulesNameWhatExists(t *testing.T) {
	s := known(t)
	for _, r := range s.rules {
		labels, err := s.Labels(r.Expr)
		problems := []error{err}
		for _, texts := range []map[string]string{r.Annotations, r.Labels} {
			for _, text := range texts {
				problems = append(problems, s.CheckTemplate(text, labels))
			}
		}
		if err := errors.Join(problems...); err != nil {
			t.Errorf("%s%s: %v", r.Record, r.Alert, err)
		}
	}
}

// TestRunbooksNameWhatExists checks the expressions in blocks marked promql, and
// those in backticks that begin like one of our names.
func TestRunbooksNameWhatExists(t *testing.T) {
	name, program := regexp.MustCompile(`^oms[_:]`), regexp.MustCompile(`^oms_exporter($|[ ./])`)
	expressions := 0
	for _, directory := range []string{"runbooks", "alertmanager", "prometheus"} {
		for _, file := range glob(t, directory+"/*.md") {
			page := readDocument(t, file)
			for _, code := range slices.Concat(page.code, page.spans) {
				ours := code.language == "" && name.MatchString(code.text) && !program.MatchString(code.text) && !omsOwn.MatchString(code.text)
				if !ours && code.language != "promql" {
					continue
				}
				expressions++
				if err := known(t).Check(code.text); err != nil {
					t.Errorf("%s: %v in %s", file, err, code.text)
				}
			}
		}
	}
	if expressions < 60 {
		t.Errorf("only %d expressions", expressions)
	}
}

func readFile(t *testing.T, name string) string {
	t.Helper()
	content, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

var (
	matchersLine = regexp.MustCompile(`(?m)^[^#\n]*matchers: \[(.*)\]$`)
	matcher      = regexp.MustCompile(`(\w+)(=~|!~|!=|=)"([^"]*)"`)
	labelsLine   = regexp.MustCompile(`(?m)^[^#\n]*(?:group_by|equal): \[(.*)\]$`)
	ofAlert      = regexp.MustCompile(`\.(?:Common|Group)?Labels\.([a-z]\w*)`)
	annotation   = regexp.MustCompile(`\.(?:Common)?Annotations\.(\w+)`)
)

// TestAlertmanagerNamesWhatExists checks the labels in matchers, equal, group_by and templates, and the values in matchers.
func TestAlertmanagerNamesWhatExists(t *testing.T) {
	labels := map[string]bool{"cluster": true} // an external label of Prometheus
	values := make(map[string][]string)
	annotations := make(map[string]bool)
	for _, a := range known(t).Alerts() {
		for _, l := range a.labels {
			labels[l] = true
		}
		for name, value := range a.Labels {
			values[name] = append(values[name], value)
		}
		for name := range a.Annotations {
			annotations[name] = true
		}
		values["alertname"] = append(values["alertname"], a.Alert)
	}
	config := readFile(t, alertmanagerFile)
	lists, matchers := labelsLine.FindAllStringSubmatch(config, -1), matchersLine.FindAllStringSubmatch(config, -1)
	if len(lists) < 10 || len(matchers) < 30 {
		t.Errorf("%d lists of labels and %d of matchers: cannot read %s", len(lists), len(matchers), alertmanagerFile)
	}
	for _, list := range lists {
		if !strings.HasPrefix(list[1], "cluster, ") && list[1] != "cluster" {
			t.Errorf("[%s] mixes Prometheus servers: it lacks cluster", list[1])
		}
		for _, l := range strings.Split(list[1], ", ") {
			if !labels[l] {
				t.Errorf("no alert has a label %s", l)
			}
		}
	}
	for _, list := range matchers {
		for _, m := range matcher.FindAllStringSubmatch(list[1], -1) {
			if !labels[m[1]] {
				t.Errorf("no alert has a label %s: %s", m[1], list[1])
			}
			if !slices.Contains([]string{"alertname", "scope", "symptom", "severity"}, m[1]) {
				continue
			}
			for _, value := range strings.Split(m[3], "|") {
				if !slices.Contains(values[m[1]], value) {
					t.Errorf("no alert has %s=%q: %s", m[1], value, list[1])
				}
			}
		}
	}
	text := readFile(t, "alertmanager/templates/oms.tmpl")
	for _, use := range ofAlert.FindAllStringSubmatch(text+config, -1) {
		if !labels[use[1]] {
			t.Errorf("templates use a label %s, which no alert has", use[1])
		}
	}
	for _, use := range annotation.FindAllStringSubmatch(text, -1) {
		if !annotations[use[1]] {
			t.Errorf("templates use an annotation %s, which no alert has", use[1])
		}
	}
}

// TestInhibitionKeepsExportersApart checks that no alert from one exporter or Prometheus hides one
// from another. OMSExporterAbsent has no exporter.
func TestInhibitionKeepsExportersApart(t *testing.T) {
	_, rules, found := strings.Cut(readFile(t, alertmanagerFile), "\ninhibit_rules:\n")
	if !found {
		t.Fatalf("cannot read %s", alertmanagerFile)
	}
	equals := regexp.MustCompile(`source_matchers: \[(.*)\]\n.*\n    equal: \[(.*)\]\n`).FindAllStringSubmatch(rules, -1)
	if sources := strings.Count(rules, "source_matchers:"); len(equals) != sources || sources < 10 {
		t.Errorf("%d rules, %d of them with equal", sources, len(equals))
	}
	for _, e := range equals {
		source, equal := e[1], e[2]
		if !strings.HasPrefix(equal, "cluster, job, instance") && !strings.Contains(source, `"OMSExporterAbsent"`) {
			t.Errorf("equal: [%s], want cluster, job and instance: %s", equal, source)
		}
		if !strings.HasPrefix(equal, "cluster") {
			t.Errorf("equal: [%s], want cluster: %s", equal, source)
		}
	}
}

// TestScrapeExamplesNameJobsThatTheRulesKnow checks the job names in the example
// configurations.
func TestScrapeExamplesNameJobsThatTheRulesKnow(t *testing.T) {
	known := make(map[string]bool)
	eachMatcher(t, func(rule, _ string, m *labels.Matcher) {
		if rule != "oms:exporter_up:bool" || m.Name != "job" {
			return
		}
		for _, file := range scrapeExamples {
			for _, job := range regexp.MustCompile(`job_name: (\S+)`).FindAllStringSubmatch(readFile(t, file), -1) {
				known[file] = true
				if !m.Matches(job[1]) {
					t.Errorf("%s: the rules do not know job %s as an exporter's", file, job[1])
				}
			}
		}
	})
	if len(known) != len(scrapeExamples) {
		t.Errorf("jobs are found only in %v", known)
	}
}
