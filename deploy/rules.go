// Package deploy gives programs and tests the rules of this directory.
package deploy

import (
	"embed"
	"fmt"
	"io/fs"

	"go.yaml.in/yaml/v3"
)

//go:embed prometheus/rules/*.yml
var ruleFiles embed.FS

// A Rule is a recording rule if it has a Record, and an alert if it has an
// Alert.
type Rule struct {
	Record      string
	Alert       string
	Expr        string
	For         string
	Labels      map[string]string // values of alerts may be templates
	Annotations map[string]string
}

// Rules returns all rules in the order of the files: the recording rules come
// after the alerts.
func Rules() ([]Rule, error) {
	names, err := fs.Glob(ruleFiles, "prometheus/rules/*.yml")
	if err != nil {
		return nil, err
	}
	var all []Rule
	for _, name := range names {
		content, err := ruleFiles.ReadFile(name)
		if err != nil {
			return nil, err
		}
		var file struct{ Groups []struct{ Rules []Rule } }
		if err := yaml.Unmarshal(content, &file); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		for _, group := range file.Groups {
			all = append(all, group.Rules...)
		}
	}
	return all, nil
}
