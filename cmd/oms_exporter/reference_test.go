package main

import (
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kingpin/v2"

	"oms_exporter/collector"
	"oms_exporter/omsclient/omssim"
)

// TestReference checks the documents that are generated from the program: every metric, and
// every flag with its configuration key.
func TestReference(t *testing.T) {
	for _, part := range []struct{ document, marker, text string }{
		{"metrics.md", "metrics", metricReference()},
		{"metrics.md", "exporter-metrics", collector.Markdown(collector.ExporterDocs())},
		{"flags.md", "flags", flagReference(newApp(map[string]command{}).Model())},
		{"troubleshooting.md", "faults", faultReference()},
	} {
		t.Run(part.marker, func(t *testing.T) {
			checkPart(t, "../../deploy/docs/"+part.document, part.marker, part.text)
		})
	}
}

// faultReference renders the faults of the simulated OMS.
func faultReference() string {
	var table strings.Builder
	table.WriteString("| `--sim.fault` | what happens |\n|---|---|\n")
	for _, f := range omssim.Faults() {
		fmt.Fprintf(&table, "| `%s` | %s |\n", f.Kind, f.Doc)
	}
	return table.String()
}

// checkPart checks what stands between two markers of a document, or rewrites it with -update.
func checkPart(t *testing.T, document, marker, text string) {
	t.Helper()
	have := readFile(t, document)
	want, err := replacePart(have, marker, text)
	switch {
	case err != nil:
		t.Errorf("%s: %v", document, err)
	case have == want:
	case *update:
		if err := os.WriteFile(document, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	default:
		t.Errorf("%s is out of date; run go generate ./...\n%s", document, difference(have, want))
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

// metricReference renders the metrics of an OMS, with a section for each group that a flag
// switches off. The two labels that every task series has are left to the prose.
func metricReference() string {
	var groups []string
	docs := map[string][]collector.Doc{}
	for _, d := range collector.Docs() {
		if !slices.Contains(groups, d.Group) {
			groups = append(groups, d.Group)
		}
		if slices.Contains(d.Labels, "task_id") {
			d.Labels = slices.DeleteFunc(slices.Clone(d.Labels), func(label string) bool {
				return label == "task_id" || label == "task_name"
			})
		}
		docs[d.Group] = append(docs[d.Group], d)
	}
	var sections []string
	for _, group := range groups {
		title := "Always there"
		if group != "" {
			title = "Group `" + group + "`"
		}
		sections = append(sections, "### "+title+"\n\n"+collector.Markdown(docs[group]))
	}
	return strings.Join(sections, "\n")
}

// keyOf returns the key of a target in the configuration file that says what a flag says, or
// nothing. Of keys in several places, such as those of TLS, the one nearest to the top counts.
func keyOf(flag string) string {
	name, ofTarget := strings.CutPrefix(flag, "oms.")
	switch {
	case flag == "scrape.timeout":
		return "timeout"
	case flag == "collector.verify" || flag == "collector.component":
		return strings.TrimPrefix(flag, "collector.")
	case name == "exclude-status":
		return "exclude.statuses"
	case !ofTarget:
		return ""
	}
	var found string
	for _, key := range keysOf(reflect.TypeFor[targetConfig](), "") {
		last := key[strings.LastIndexByte(key, '.')+1:]
		if last == strings.ReplaceAll(name, "-", "_") && (found == "" || len(key) < len(found)) {
			found = key
		}
	}
	return found
}

// keysOf returns the YAML keys of a struct, and those below them, with dots in between. The
// elements of a list or a map are called *.
func keysOf(t reflect.Type, prefix string) []string {
	switch t.Kind() {
	case reflect.Pointer:
		return keysOf(t.Elem(), prefix)
	case reflect.Slice, reflect.Map:
		return keysOf(t.Elem(), prefix+"*.")
	case reflect.Struct:
	default:
		return nil
	}
	var keys []string
	for _, field := range reflect.VisibleFields(t) {
		if name, _, _ := strings.Cut(field.Tag.Get("yaml"), ","); name != "" && name != "-" {
			keys = append(append(keys, prefix+name), keysOf(field.Type, prefix+name+".")...)
		}
	}
	return keys
}

// A flagRow is a flag as one command or several have it.
type flagRow struct {
	*kingpin.FlagModel
	commands []string
	defaults []string // with the command, where commands differ
}

// flagReference renders the commands, then each flag once, whichever commands have it. Hidden
// commands and flags are left out.
func flagReference(app *kingpin.ApplicationModel) string {
	var b strings.Builder
	b.WriteString("| command | what it does |\n|---|---|\n")
	for _, cmd := range app.Commands {
		if !cmd.Hidden {
			fmt.Fprintf(&b, "| `%s` | %s |\n", cmd.Name, cmd.Help)
		}
	}
	b.WriteString("\n| flag | commands | default | environment | key | meaning |\n|---|---|---|---|---|---|\n")
	for _, row := range flagRows(app) {
		b.WriteString(row.markdown())
	}
	return b.String()
}

// flagRows collects the flags in the order in which commands declare them. Flags of one name
// and meaning are one row.
func flagRows(app *kingpin.ApplicationModel) []*flagRow {
	var rows []*flagRow
	for _, cmd := range app.Commands {
		for _, flag := range cmd.Flags {
			if cmd.Hidden || flag.Hidden {
				continue
			}
			i := slices.IndexFunc(rows, func(r *flagRow) bool {
				return r.Name == flag.Name && r.Help == flag.Help
			})
			if i < 0 {
				i = len(rows)
				rows = append(rows, &flagRow{FlagModel: flag})
			}
			rows[i].commands = append(rows[i].commands, cmd.Name)
			rows[i].defaults = append(rows[i].defaults, strings.Join(flag.Default, ", "))
		}
	}
	return rows
}

func (r *flagRow) markdown() string {
	name := "--" + r.Name
	if r.IsBoolFlag() {
		name = "--[no-]" + r.Name
	}
	defaults := code(r.defaults[0])
	if len(slices.Compact(slices.Clone(r.defaults))) > 1 {
		var each []string
		for i, value := range r.defaults {
			each = append(each, code(value)+" ("+r.commands[i]+")")
		}
		defaults = strings.Join(each, ", ")
	}
	return fmt.Sprintf("| %s | %s | %s | %s | %s | %s |\n",
		code(name), strings.Join(r.commands, ", "), defaults, code(r.Envar), code(keyOf(r.Name)),
		strings.NewReplacer("|", `\|`, "*", `\*`).Replace(r.Help))
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
	for _, broken := range []string{
		"", "<!-- flags -->\n", "<!-- /flags -->\n<!-- flags -->\n", document + document,
	} {
		if got, err := replacePart(broken, "flags", "new\n"); err == nil || got != broken {
			t.Errorf("%q becomes %q (%v), want an error", broken, got, err)
		}
	}
}

func TestTheFlagReferenceHasEachFlagOnce(t *testing.T) {
	app := kingpin.New("program", "")
	serve := app.Command("serve", "Serve.").Default()
	try := app.Command("try", "Try.")
	for cmd, address := range map[*kingpin.CmdClause]string{serve: ":1", try: "localhost:1"} {
		cmd.Flag("address", "Where to listen.").Default(address).String()
		cmd.Flag("oms.max-tasks", "At most | these.").Default("0").Envar("MAX").Int()
	}
	try.Flag("fast", "Be fast.").Bool()
	try.Flag("secret", "Hidden.").Hidden().String()
	app.Command("internal", "Hidden.").Hidden().Flag("internal", "Hidden.").String()

	_, table, _ := strings.Cut(flagReference(app.Model()), "|---|---|---|---|---|---|\n")

	const want = "" +
		"| `--address` | serve, try | `:1` (serve), `localhost:1` (try) |  |  | Where to listen. |\n" +
		"| `--oms.max-tasks` | serve, try | `0` | `MAX` | `max_tasks` | At most \\| these. |\n" +
		"| `--[no-]fast` | try |  |  |  | Be fast. |\n"
	if table != want {
		t.Errorf("the table is\n%s\nwant\n%s", table, want)
	}
}
