package main

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kingpin/v2"

	"oms_exporter/collector"
)

// readmes are the README in English and in Chinese. What is generated is in English in both.
var readmes = []string{"../../README.md", "../../README.zh-CN.md"}

// TestREADME checks what is generated in the READMEs.
func TestREADME(t *testing.T) {
	for _, readme := range readmes {
		t.Run(readme, func(t *testing.T) { checkREADME(t, readme) })
	}
}

func checkREADME(t *testing.T, readme string) {
	t.Helper()
	have := readFile(t, readme)
	want := have
	for _, part := range []struct{ marker, text string }{
		{"metrics", collector.Markdown(collector.Docs())},
		{"exporter-metrics", collector.Markdown(collector.ExporterDocs())},
		{"flags", flagReference(newApp(map[string]command{}).Model())},
	} {
		var err error
		if want, err = replacePart(want, part.marker, part.text); err != nil {
			t.Errorf("%s: %v", readme, err)
		}
	}
	switch {
	case t.Failed() || have == want:
	case *update:
		if err := os.WriteFile(readme, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	default:
		t.Errorf("%s is not what the program says; run go generate ./...\n%s",
			readme, difference(have, want))
	}
}

// replacePart replaces what is between <!-- marker --> and <!-- /marker -->.
func replacePart(document, marker, text string) (string, error) {
	begin, end := "<!-- "+marker+" -->\n", "<!-- /"+marker+" -->\n"
	before, rest, begun := strings.Cut(document, begin)
	_, after, ended := strings.Cut(rest, end)
	if !begun || !ended || strings.Contains(after, begin) {
		return document, fmt.Errorf("want once, and on lines of their own: %s%s", begin, end)
	}
	return before + begin + "\n" + text + "\n" + end + after, nil
}

// flagReference renders the flags of every command as Markdown, but of hidden
// ones.
func flagReference(app *kingpin.ApplicationModel) string {
	var parts []string
	for _, cmd := range app.Commands {
		if cmd.Hidden {
			continue
		}
		name := app.Name + " " + cmd.Name
		if cmd.Default {
			name = app.Name + " [" + cmd.Name + "]"
		}
		rows := []string{
			fmt.Sprintf("### `%s`\n\n%s\n", name, cmd.Help),
			"| flag | default | environment | meaning |\n|---|---|---|---|",
		}
		for _, flag := range cmd.Flags {
			if !flag.Hidden {
				rows = append(rows, flagRow(flag))
			}
		}
		parts = append(parts, strings.Join(rows, "\n")+"\n")
	}
	return strings.Join(parts, "\n")
}

func flagRow(flag *kingpin.FlagModel) string {
	name := "--" + flag.Name
	if flag.IsBoolFlag() {
		name = "--[no-]" + flag.Name
	}
	return fmt.Sprintf("| %s | %s | %s | %s |", code(name), code(strings.Join(flag.Default, ", ")),
		code(flag.Envar), strings.NewReplacer("|", `\|`, "*", `\*`).Replace(flag.Help))
}

// code renders a text as code, and nothing as nothing.
func code(text string) string {
	if text == "" {
		return ""
	}
	return "`" + text + "`"
}

func TestReplacePartLeavesTheRestAlone(t *testing.T) {
	const document = "# A\n<!-- flags -->\nold\n<!-- /flags -->\nrest\n"

	got, err := replacePart(document, "flags", "new\n")

	if want := "# A\n<!-- flags -->\n\nnew\n\n<!-- /flags -->\nrest\n"; err != nil || got != want {
		t.Errorf("%q (%v), want %q", got, err, want)
	}
	if again, err := replacePart(got, "flags", "new\n"); err != nil || again != got {
		t.Errorf("%q (%v) the second time, want %q", again, err, got)
	}
	for _, broken := range []string{
		"", "<!-- flags -->\n", "<!-- /flags -->\n", "<!-- /flags -->\n<!-- flags -->\n",
		document + document,
	} {
		if got, err := replacePart(broken, "flags", "new\n"); err == nil || got != broken {
			t.Errorf("%q becomes %q (%v), want an error", broken, got, err)
		}
	}
}

func TestTheFlagReferenceHasEveryFlagAndNoHiddenOne(t *testing.T) {
	reference := flagReference(newApp(map[string]command{}).Model())
	for _, part := range []string{
		"### `oms_exporter [serve]`\n", "### `oms_exporter demo`\n", "### `oms_exporter simulate`\n",
		"| `--oms.url` |  | `OMS_URL` | URL of the OMS console",
		"| `--oms.page-size` | `150` |  | Tasks to ask for",
		"| `--[no-]collector.step` | `true` |  | Export",
		`oms_exporter_\*, go_\*`,
		"| `--sim.fault` |  |  | Fault to begin with",
		"| `--web.listen-address` | `127.0.0.1:8089` |",
	} {
		if !strings.Contains(reference, part) {
			t.Errorf("it lacks %q", part)
		}
	}
	if strings.Contains(reference, "completion") {
		t.Error("it has hidden flags")
	}
}

// word is a name with all that belongs to it, such as a path or a recording rule.
var word = regexp.MustCompile(`[\w:/.\-]*\boms_\w+[\w:/.\-]*`)

// unknownMetrics returns the words of a text that look like the name of a metric
// of ours and are none. What ends in an underscore is the beginning of names, in
// a pattern. The name of the program is no metric.
func unknownMetrics(text string) []string {
	var unknown []string
	for _, name := range word.FindAllString(text, -1) {
		name = strings.TrimRight(name, ":.-")
		if !strings.HasPrefix(name, "oms_") || strings.ContainsAny(name, ":/.-") ||
			name == "oms_exporter" || isMetric(name) {
			continue
		}
		unknown = append(unknown, name)
	}
	return unknown
}

func isMetric(name string) bool {
	return slices.ContainsFunc(slices.Concat(collector.Docs(), collector.ExporterDocs()),
		func(d collector.Doc) bool {
			series := []string{d.Name}
			if d.Type == "histogram" {
				series = []string{d.Name, d.Name + "_bucket", d.Name + "_sum", d.Name + "_count"}
			}
			return slices.Contains(series, name) ||
				strings.HasSuffix(name, "_") && strings.HasPrefix(d.Name, name)
		})
}

func TestUnknownMetricsAreFound(t *testing.T) {
	for text, want := range map[string][]string{
		"expr: oms_up == 0":                                          nil,
		"# oms_up, or oms_task_info.":                                nil,
		"expr: oms_upp == 0":                                         {"oms_upp"},
		`max(oms_task_state{a="b"}) by (x)`:                          {"oms_task_state"},
		`{__name__=~"oms_task_.*|oms_x_.*"}`:                         {"oms_x_"},
		"rate(oms_exporter_api_request_duration_seconds_bucket[5m])": nil,
		"oms_exporter_api_requests_total_bucket":                     {"oms_exporter_api_requests_total_bucket"},
		"record: task:oms_something:max":                             nil,
		"file: /etc/oms_exporter/oms_rules.yml":                      nil,
		"image: oms_exporter:latest, job: oms_exporter":              nil,
	} {
		if got := unknownMetrics(text); !slices.Equal(got, want) {
			t.Errorf("in %q: %q, want %q", text, got, want)
		}
	}
}
