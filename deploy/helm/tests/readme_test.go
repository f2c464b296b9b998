package chart_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

const introduction = `# oms-exporter

A Helm chart for oms_exporter: a Deployment with its Service and, for the Prometheus operator, a ServiceMonitor or ScrapeConfig, the rules and the dashboards of this repository. [INSTALL.md](../../INSTALL.md) shows how to use it.

Set ` + "`oms.url`" + ` for one OMS, or ` + "`config`" + `, the exporter's configuration file, for several. Passwords come from a Secret and are mounted as files; when the Secret changes, the exporter uses the new password without a restart. Wrong values are rejected before anything is installed.

## Values

This table is generated from values.yaml: ` + "`go test ./... -update`" + ` in deploy/helm/tests.

| value | default | meaning |
|---|---|---|
`

func TestREADME(t *testing.T) {
	var document yaml.Node
	if err := yaml.Unmarshal([]byte(read(t, chartDir+"/values.yaml")), &document); err != nil {
		t.Fatal(err)
	}
	want := introduction + strings.Join(rows(t, "", document.Content[0]), "\n") + "\n"
	file := chartDir + "/README.md"
	if *update {
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if have, err := os.ReadFile(file); err != nil || string(have) != want {
		t.Errorf("%s is out of date (%v): run go test ./... -update", file, err)
	}
}

// rows returns the rows of the table: values with a comment that begins with
// "--". A value without one must contain others.
func rows(t *testing.T, prefix string, values *yaml.Node) []string {
	t.Helper()
	var table []string
	for i := 0; i < len(values.Content); i += 2 {
		key, value := values.Content[i], values.Content[i+1]
		name := prefix + key.Value
		lines := strings.Split(key.HeadComment, "\n")
		help, documented := strings.CutPrefix(lines[len(lines)-1], "# -- ")
		holds := value.Kind == yaml.MappingNode && len(value.Content) > 0
		switch {
		case documented && holds && hasHelp(value):
			table = append(table, fmt.Sprintf("| `%s` |  | %s |", name, help))
			table = append(table, rows(t, name+".", value)...)
		case documented:
			table = append(table, fmt.Sprintf("| `%s` | `%s` | %s |", name, flow(t, value), strings.ReplaceAll(help, "|", `\|`)))
		case holds:
			table = append(table, rows(t, name+".", value)...)
		default:
			t.Errorf("values.yaml: %s has no comment", name)
		}
	}
	return table
}

func hasHelp(values *yaml.Node) bool {
	return strings.Contains(values.Content[0].HeadComment, "# -- ")
}

// flow renders a value on one line.
func flow(t *testing.T, value *yaml.Node) string {
	t.Helper()
	var fold func(*yaml.Node)
	fold = func(n *yaml.Node) {
		n.Style |= yaml.FlowStyle
		n.HeadComment, n.LineComment, n.FootComment = "", "", ""
		for _, child := range n.Content {
			fold(child)
		}
	}
	if value.Kind != yaml.ScalarNode {
		fold(value)
	}
	text, err := yaml.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(text))
}
