package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/config"
	"github.com/prometheus/common/model"
	"go.yaml.in/yaml/v2"

	"oms_exporter/collector"
	"oms_exporter/omsclient"
)

// Settings of the configuration file, by the names of its keys.
type (
	fileConfig struct {
		Targets         map[string]*targetConfig `yaml:"targets"`
		DelayThresholds thresholdsConfig         `yaml:"delay_thresholds"`
	}

	// A targetConfig is how an OMS is scraped, whether a file or flags say it.
	targetConfig struct {
		URL         string                  `yaml:"url"`
		HTTPClient  config.HTTPClientConfig `yaml:"http_client"`
		Filter      filterConfig            `yaml:"filter"`
		Exclude     excludeConfig           `yaml:"exclude"`
		PageSize    int                     `yaml:"page_size"`
		Concurrency int                     `yaml:"concurrency"`
		MaxTasks    int                     `yaml:"max_tasks"`
		Timeout     model.Duration          `yaml:"timeout"` // 0: what the flag says
		PageTimeout model.Duration          `yaml:"page_timeout"`
		Labels      map[string]string       `yaml:"labels"`

		// wrap, if any, comes between the client and OMS.
		wrap func(http.RoundTripper) http.RoundTripper
	}
	filterConfig struct {
		SearchKey           string   `yaml:"search_key"`
		Type                string   `yaml:"type"`
		Statuses            []string `yaml:"statuses"`
		LabelIDs            []string `yaml:"label_ids"`
		SourceEndpointTypes []string `yaml:"source_endpoint_types"`
		SinkEndpointTypes   []string `yaml:"sink_endpoint_types"`
		Subtasks            bool     `yaml:"subtasks"`
	}
	excludeConfig struct {
		Statuses []string `yaml:"statuses"`
		Names    pattern  `yaml:"names"`
		Tags     []string `yaml:"tags"`
	}
	thresholdsConfig struct {
		Importance map[string]thresholdConfig `yaml:"importance"`
		Overrides  []overrideConfig           `yaml:"overrides"`
		FromTags   bool                       `yaml:"from_tags"`
	}
	thresholdConfig struct {
		Warning  model.Duration `yaml:"warning"`
		Critical model.Duration `yaml:"critical"`
	}
	overrideConfig struct {
		ID              string  `yaml:"id"`
		Tag             string  `yaml:"tag"`
		Name            pattern `yaml:"name"`
		thresholdConfig `yaml:",inline"`
	}
)

// A pattern is a regular expression that has to match the whole of a text; nil
// if there is none.
type pattern struct{ *regexp.Regexp }

// UnmarshalYAML implements [yaml.Unmarshaler].
func (p *pattern) UnmarshalYAML(unmarshal func(any) error) error {
	var text string
	if err := unmarshal(&text); err != nil || text == "" {
		return err
	}
	re, err := regexp.Compile("^(?:" + text + ")$")
	if err != nil {
		return errors.New("not a regular expression of RE2: " + text)
	}
	p.Regexp = re
	return nil
}

// UnmarshalYAML implements [yaml.Unmarshaler].
func (t *targetConfig) UnmarshalYAML(unmarshal func(any) error) error {
	*t = defaultTarget()
	type plain targetConfig
	return unmarshal((*plain)(t))
}

func defaultTarget() targetConfig {
	return targetConfig{
		HTTPClient:  config.DefaultHTTPClientConfig,
		Exclude:     excludeConfig{Statuses: []string{"RELEASED", "DELETED"}},
		PageSize:    omsclient.MaxPageSize,
		Concurrency: 4,
		PageTimeout: model.Duration(10 * time.Second),
	}
}

// loadConfig reads a configuration file. Paths in it are relative to the file.
// The error is a mistake in the file, says where, and quotes no value of it,
// which might be a secret.
func loadConfig(path string) (*fileConfig, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, usagef("--config.file: %w", err)
	}
	loaded := &fileConfig{}
	decoder := yaml.NewDecoder(bytes.NewReader(content))
	decoder.SetStrict(true)
	if err := decoder.Decode(loaded); err != nil && !errors.Is(err, io.EOF) {
		return nil, usagef("%s: %s", path, readable(err))
	}
	for name, target := range loaded.Targets {
		if target == nil {
			return nil, usagef("%s: targets: %s: has no url", path, name)
		}
		target.HTTPClient.SetDirectory(filepath.Dir(path))
	}
	if err := loaded.check(); err != nil {
		return nil, usagef("%s: %w", path, err)
	}
	return loaded, nil
}

var (
	quotedValue = regexp.MustCompile("(?s) ?`.*?`")
	unknownKey  = regexp.MustCompile(`field (\S+) not found in type \S+`)
	knownKey    = regexp.MustCompile(`(?:field|key) "?(\S+?)"? already set in (?:map|type \S+)`)
	goType      = regexp.MustCompile(`into main\.\S+|into \*?\[?\]?[\w.]+`)
)

// readable turns the errors of the YAML library into a line for people, without
// the values that it quotes.
func readable(err error) string {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	text = strings.TrimPrefix(text, "unmarshal errors:\n")
	text = quotedValue.ReplaceAllString(text, "")
	text = unknownKey.ReplaceAllString(text, `unknown key "$1"`)
	text = knownKey.ReplaceAllString(text, `key "$1" is there twice`)
	text = goType.ReplaceAllString(text, "into what belongs there")
	return strings.Join(strings.Fields(text), " ")
}

// check refuses what makes no sense.
func (c *fileConfig) check() error {
	if len(c.Targets) == 0 {
		return errors.New("targets: there is none")
	}
	for _, name := range slices.Sorted(maps.Keys(c.Targets)) {
		if err := checkName(name); err != nil {
			return fmt.Errorf("targets: %w", err)
		}
		if err := c.Targets[name].check(); err != nil {
			return fmt.Errorf("targets: %s: %w", name, err)
		}
	}
	if err := c.DelayThresholds.check(); err != nil {
		return fmt.Errorf("delay_thresholds: %w", err)
	}
	return nil
}

// checkName refuses names of targets that could be taken for an address.
func checkName(name string) error {
	if name == "" || strings.ContainsAny(name, "/?#&=% \t\n") {
		return fmt.Errorf("%q: a name is not empty and has no spaces and none of / ? # & = %%", name)
	}
	return nil
}

func (t *targetConfig) check() error {
	switch {
	case t.URL == "":
		return errors.New("has no url")
	case t.PageSize < 1 || t.PageSize > omsclient.MaxPageSize:
		return fmt.Errorf("page_size: %d: OMS takes 1 to %d", t.PageSize, omsclient.MaxPageSize)
	case t.Concurrency < 1:
		return fmt.Errorf("concurrency: %d: at least 1", t.Concurrency)
	case t.MaxTasks < 0:
		return fmt.Errorf("max_tasks: %d: must not be negative", t.MaxTasks)
	case t.Timeout < 0:
		return fmt.Errorf("timeout: %s: must not be negative", t.Timeout)
	case t.PageTimeout < 0:
		return fmt.Errorf("page_timeout: %s: must not be negative", t.PageTimeout)
	case len(t.Filter.LabelIDs) > maxLabelIDs:
		return fmt.Errorf("filter: label_ids: OMS takes at most %d", maxLabelIDs)
	}
	for label := range t.Labels {
		if !model.LegacyValidation.IsValidLabelName(label) || strings.HasPrefix(label, "__") {
			return fmt.Errorf("labels: %q is not the name of a label", label)
		}
	}
	return nil
}

// maxLabelIDs is how many tags the filter of ListProjects takes.
const maxLabelIDs = 5

// unknownStatuses are those that OMS's documents do not name. They may be new.
func (t *targetConfig) unknownStatuses() []string {
	var unknown []string
	for _, status := range t.Filter.Statuses {
		if !slices.Contains(omsclient.FilterStatuses(), status) {
			unknown = append(unknown, status)
		}
	}
	for _, status := range t.Exclude.Statuses {
		if !slices.Contains(omsclient.Statuses(), status) {
			unknown = append(unknown, status)
		}
	}
	return unknown
}

func (f *filterConfig) filter() omsclient.Filter {
	return omsclient.Filter{
		SearchKey: f.SearchKey, Type: f.Type, Statuses: f.Statuses, LabelIDs: f.LabelIDs,
		SourceEndpointTypes: f.SourceEndpointTypes, SinkEndpointTypes: f.SinkEndpointTypes,
		Subtasks: f.Subtasks,
	}
}

func (t *thresholdsConfig) check() error {
	for importance, threshold := range t.Importance {
		if err := threshold.check(); err != nil {
			return fmt.Errorf("importance: %s: %w", importance, err)
		}
	}
	for i, o := range t.Overrides {
		if o.ID == "" && o.Tag == "" && o.Name.Regexp == nil {
			return fmt.Errorf("overrides: entry %d: give an id, a tag or a name that it is for", i+1)
		}
		if err := o.check(); err != nil {
			return fmt.Errorf("overrides: entry %d: %w", i+1, err)
		}
	}
	return nil
}

func (t thresholdConfig) check() error {
	if t.Critical > 0 && t.Warning > t.Critical {
		return fmt.Errorf("warning: %s is more than critical: %s", t.Warning, t.Critical)
	}
	return nil
}

func (t thresholdConfig) threshold() collector.Threshold {
	return collector.Threshold{
		Warning: time.Duration(t.Warning), Critical: time.Duration(t.Critical),
	}
}

func (t *thresholdsConfig) thresholds() *collector.Thresholds {
	all := &collector.Thresholds{
		Importance: map[string]collector.Threshold{}, FromTags: t.FromTags,
	}
	for importance, threshold := range t.Importance {
		all.Importance[importance] = threshold.threshold()
	}
	for _, o := range t.Overrides {
		all.Overrides = append(all.Overrides, collector.Override{
			ID: o.ID, Tag: o.Tag, Name: o.Name.Regexp, Threshold: o.threshold(),
		})
	}
	return all
}
