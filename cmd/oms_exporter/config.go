package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
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

	// A targetConfig says how to scrape an OMS. It comes from the file, or from flags.
	targetConfig struct {
		URL         string                  `yaml:"url"`
		HTTPClient  config.HTTPClientConfig `yaml:"http_client"`
		Filter      filterConfig            `yaml:"filter"`
		Exclude     excludeConfig           `yaml:"exclude"`
		PageSize    int                     `yaml:"page_size"`
		Concurrency int                     `yaml:"concurrency"`
		MaxTasks    int                     `yaml:"max_tasks"`
		Timeout     model.Duration          `yaml:"timeout"` // 0: --scrape.timeout
		PageTimeout model.Duration          `yaml:"page_timeout"`
		Labels      map[string]string       `yaml:"labels"`
	}
	// A filterConfig has the fields of an [omsclient.Filter].
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

// A pattern is a regular expression that has to match a whole name; nil matches
// none.
type pattern struct{ *regexp.Regexp }

// UnmarshalYAML implements [yaml.Unmarshaler].
func (p *pattern) UnmarshalYAML(unmarshal func(any) error) error {
	var expression string
	if err := unmarshal(&expression); err != nil || expression == "" {
		return err
	}
	re, err := regexp.Compile("^(?:" + expression + ")$")
	if err != nil {
		return errors.New("not a regular expression in RE2 syntax: " + expression)
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

// defaultTarget returns the defaults of flags and of the file.
func defaultTarget() targetConfig {
	client := omsclient.DefaultOptions()
	return targetConfig{
		HTTPClient:  config.DefaultHTTPClientConfig,
		Exclude:     excludeConfig{Statuses: []string{"RELEASED", "DELETED"}},
		PageSize:    client.PageSize,
		Concurrency: client.Concurrency,
		PageTimeout: model.Duration(10 * time.Second),
	}
}

// flagsTarget is the name of the target that flags describe. No target in a file
// can have it.
const flagsTarget = ""

// loadConfig reads a configuration file. Paths in it are relative to the file.
// An error says where the mistake is. It quotes no value that might be a secret.
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
	for _, name := range slices.Sorted(maps.Keys(loaded.Targets)) {
		target := loaded.Targets[name]
		if err := validateName(name); err != nil {
			return nil, usagef("%s: targets: %w", path, err)
		}
		if target == nil {
			return nil, usagef("%s: targets: %s: empty", path, name)
		}
		target.HTTPClient.SetDirectory(filepath.Dir(path))
	}
	if err := loaded.validate(); err != nil {
		return nil, usagef("%s: %w", path, err)
	}
	return loaded, nil
}

var (
	quotedValue = regexp.MustCompile("(?s) ?`.*?`")
	unknownKey  = regexp.MustCompile(`field (\S+) not found in type \S+`)
	repeatedKey = regexp.MustCompile(`(?:field|key) "?(\S+?)"? already set in (?:map|type \S+)`)
	wrongType   = regexp.MustCompile(`cannot unmarshal !!(\w+) into \S+`)
)

// readable turns an error of the YAML library into one line for people, without
// the values that it quotes.
func readable(err error) string {
	message := strings.TrimPrefix(err.Error(), "yaml: ")
	message = strings.TrimPrefix(message, "unmarshal errors:\n")
	message = quotedValue.ReplaceAllString(message, "")
	message = unknownKey.ReplaceAllString(message, `unknown key "$1"`)
	message = repeatedKey.ReplaceAllString(message, `key "$1" appears twice`)
	message = wrongType.ReplaceAllString(message, "value has the wrong type ($1)")
	return strings.Join(strings.Fields(message), " ")
}

// validate rejects what makes no sense. The messages name flags or keys, depending
// on where the targets are from.
func (c *fileConfig) validate() error {
	if len(c.Targets) == 0 {
		return errors.New("targets: at least one is required")
	}
	for _, name := range slices.Sorted(maps.Keys(c.Targets)) {
		if err := c.Targets[name].validate(settingsOf(name)); err != nil {
			return inTarget(name, err)
		}
	}
	if err := c.DelayThresholds.validate(); err != nil {
		return fmt.Errorf("delay_thresholds: %w", err)
	}
	return nil
}

// A settingName is how messages name the setting with a key in the file.
type settingName func(key string) string

// settingsOf returns how messages name the settings of a target: by flag or by key.
func settingsOf(target string) settingName {
	if target == flagsTarget {
		return flagOf
	}
	return func(key string) string { return key }
}

// inTarget says in an error which target it is about.
func inTarget(name string, err error) error {
	if name == flagsTarget {
		return err
	}
	return fmt.Errorf("targets: %s: %w", name, err)
}

// validateName rejects names of targets that could be taken for an address.
func validateName(name string) error {
	if name == flagsTarget || strings.ContainsAny(name, "/?#&=% \t\n") {
		return fmt.Errorf("%q: a name must not be empty or contain spaces or any of / ? # & = %%", name)
	}
	return nil
}

func (t *targetConfig) validate(setting settingName) error {
	switch {
	case t.URL == "":
		return fmt.Errorf("%s: missing", setting("url"))
	case t.PageSize < 1 || t.PageSize > omsclient.MaxPageSize:
		return fmt.Errorf("%s: must be 1 to %d, not %d",
			setting("page_size"), omsclient.MaxPageSize, t.PageSize)
	case t.Concurrency < 1:
		return fmt.Errorf("%s: must be 1 or more, not %d", setting("concurrency"), t.Concurrency)
	case t.MaxTasks < 0:
		return fmt.Errorf("%s: must be 0 or more, not %d", setting("max_tasks"), t.MaxTasks)
	case t.Timeout < 0:
		return fmt.Errorf("%s: must be 0 or more, not %s", setting("timeout"), t.Timeout)
	case t.PageTimeout < 0:
		return fmt.Errorf("%s: must be 0 or more, not %s", setting("page_timeout"), t.PageTimeout)
	case len(t.Filter.LabelIDs) > maxLabelIDs:
		return fmt.Errorf("%s: OMS takes at most %d", setting("filter.label_ids"), maxLabelIDs)
	}
	for label := range t.Labels {
		if !model.LegacyValidation.IsValidLabelName(label) || strings.HasPrefix(label, "__") {
			return fmt.Errorf("%s: %q is not a valid label name", setting("labels"), label)
		}
	}
	return nil
}

// maxLabelIDs is how many tags the filter of ListProjects takes.
const maxLabelIDs = 5

// unknownStatuses returns the statuses that OMS's documentation does not list.
// They may be new.
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

// clientOptions returns the settings of the client.
func (t *targetConfig) clientOptions() omsclient.Options {
	return omsclient.Options{
		PageSize: t.PageSize, Concurrency: t.Concurrency, PageTimeout: time.Duration(t.PageTimeout),
		Filter: omsclient.Filter(t.Filter),
	}
}

// collectorOptions returns the settings of the collector that are the target's own.
func (t *targetConfig) collectorOptions() collector.Options {
	return collector.Options{
		Timeout: time.Duration(t.Timeout), MaxTasks: t.MaxTasks,
		Exclude: collector.Exclude{
			Statuses: t.Exclude.Statuses, Names: t.Exclude.Names.Regexp, Tags: t.Exclude.Tags,
		},
	}
}

func (t *thresholdsConfig) validate() error {
	for importance, threshold := range t.Importance {
		if err := threshold.validate(); err != nil {
			return fmt.Errorf("importance: %s: %w", importance, err)
		}
	}
	for i, o := range t.Overrides {
		if o.ID == "" && o.Tag == "" && o.Name.Regexp == nil {
			return fmt.Errorf("overrides: entry %d: needs an id, a tag or a name", i+1)
		}
		if err := o.validate(); err != nil {
			return fmt.Errorf("overrides: entry %d: %w", i+1, err)
		}
	}
	return nil
}

func (t thresholdConfig) validate() error {
	if t.Critical > 0 && t.Warning > t.Critical {
		return fmt.Errorf("warning (%s) exceeds critical (%s)", t.Warning, t.Critical)
	}
	return nil
}

func (t thresholdConfig) threshold() collector.Threshold {
	return collector.Threshold{
		Warning: time.Duration(t.Warning), Critical: time.Duration(t.Critical),
	}
}

func (t *thresholdsConfig) thresholds() *collector.Thresholds {
	thresholds := &collector.Thresholds{
		Importance: map[string]collector.Threshold{}, FromTags: t.FromTags,
	}
	for importance, threshold := range t.Importance {
		thresholds.Importance[importance] = threshold.threshold()
	}
	for _, o := range t.Overrides {
		thresholds.Overrides = append(thresholds.Overrides, collector.Override{
			ID: o.ID, Tag: o.Tag, Name: o.Name.Regexp, Threshold: o.threshold(),
		})
	}
	return thresholds
}
