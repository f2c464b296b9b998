package main

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"time"

	"github.com/prometheus/common/config"
	"github.com/prometheus/common/model"

	"oms_exporter/collector"
	"oms_exporter/omsclient"
)

// Settings of the configuration file, by the names of its keys.
type (
	fileConfig struct {
		Targets         map[string]*targetConfig `yaml:"targets"`
		DelayThresholds thresholdsConfig         `yaml:"delay_thresholds"`

		source source
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
		Timezone    string                  `yaml:"timezone"`  // of the times that OMS sends
		Verify      bool                    `yaml:"verify"`    // beside --collector.verify
		Component   bool                    `yaml:"component"` // beside --collector.component
		// PasswordChanged is the date since which the password is the one it is; may be empty.
		PasswordChanged string            `yaml:"password_changed"`
		ConsoleURL      string            `yaml:"console_url"` // that the page links to; may be empty
		Labels          map[string]string `yaml:"labels"`
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

// String returns the expression, or nothing.
func (p pattern) String() string {
	if p.Regexp == nil {
		return ""
	}
	return p.Regexp.String()
}

// UnmarshalYAML unmarshals a regular expression.
func (p *pattern) UnmarshalYAML(unmarshal func(any) error) error {
	var expression string
	if err := unmarshal(&expression); err != nil || expression == "" {
		return err
	}
	_, err := regexp.Compile(expression) // what follows could close a bracket that it does not open
	if err == nil {
		p.Regexp, err = regexp.Compile(wholeName(expression))
	}
	return err
}

// wholeName returns an expression that has to match all of a name, with line breaks.
func wholeName(expression string) string { return "^(?s:" + expression + ")$" }

// UnmarshalYAML begins with the defaults.
func (t *targetConfig) UnmarshalYAML(unmarshal func(any) error) error {
	*t = defaultTarget()
	type plain targetConfig
	return unmarshal((*plain)(t))
}

const defaultPageTimeout = 10 * time.Second

// maxTasks is the default limit of tasks, far above what an OMS manages.
const maxTasks = 20_000

// defaultTarget returns the defaults of flags and of the file.
func defaultTarget() targetConfig {
	client := omsclient.DefaultOptions()
	return targetConfig{
		HTTPClient:  config.DefaultHTTPClientConfig,
		Exclude:     excludeConfig{Statuses: []string{"RELEASED", "DELETED"}},
		PageSize:    client.PageSize,
		Concurrency: client.Concurrency,
		PageTimeout: model.Duration(defaultPageTimeout),
		MaxTasks:    maxTasks,
		Timezone:    "UTC",
	}
}

// flagsTarget is the name of the target that flags describe. No target in a file
// can have it.
const flagsTarget = ""

// A settingName is how messages name the setting with a key in the file.
type settingName func(key string) string

// settingsOf returns how messages name the settings of a target: by flag or by key.
func settingsOf(target string) settingName {
	if target == flagsTarget {
		return flagOf
	}
	return func(key string) string { return key }
}

// keyOfTarget returns the key in the file for one of a target.
func keyOfTarget(name, key string) string {
	if name == flagsTarget {
		return key
	}
	return joinKey("targets", name) + "." + key
}

// unknownStatuses names the statuses that OMS's documentation does not list. They may be
// new.
func (t *targetConfig) unknownStatuses() []problem {
	var found problems
	find := func(key string, statuses, known []string) {
		for i, status := range statuses {
			if slices.Contains(known, status) {
				continue
			}
			text := fmt.Sprintf("unknown status %.50q, perhaps new in OMS", status)
			if like := closest(status, known); like != "" {
				text += ": or do you mean " + like + "?"
			}
			found.addf(fmt.Sprintf("%s[%d]", key, i), "%s", text)
		}
	}
	find("filter.statuses", t.Filter.Statuses, omsclient.FilterStatuses())
	find("exclude.statuses", t.Exclude.Statuses, omsclient.Statuses())
	return found
}

// closest returns the word that differs from another one in a letter or two, if any.
func closest(word string, known []string) string {
	for _, k := range known {
		head, tail := 0, 0
		for head < min(len(k), len(word)) && k[head] == word[head] {
			head++
		}
		for tail < min(len(k), len(word))-head && k[len(k)-1-tail] == word[len(word)-1-tail] {
			tail++
		}
		if max(len(k), len(word))-head-tail <= 2 && head+tail > 2 {
			return k
		}
	}
	return ""
}

// clientOptions returns the settings of the client, but for the credentials.
func (t *targetConfig) clientOptions() (omsclient.Options, error) {
	most := t.MaxTasks
	if most == 0 {
		most = math.MaxInt
	}
	zone, err := location(t.Timezone)
	return omsclient.Options{
		PageSize: t.PageSize, Concurrency: t.Concurrency, PageTimeout: time.Duration(t.PageTimeout),
		MaxProjects: most, Filter: omsclient.Filter(t.Filter), Location: zone,
	}, err
}

// wants reports whether a target asks for a group of metrics that flags do not.
func (t *targetConfig) wants(group string) bool {
	return group == "verify" && t.Verify || group == "component" && t.Component
}

// passwordChanged returns when the password was changed, or zero.
func (t *targetConfig) passwordChanged() (time.Time, error) {
	if t.PasswordChanged == "" {
		return time.Time{}, nil
	}
	return time.Parse(time.DateOnly, t.PasswordChanged)
}

// collectorOptions returns the settings of the collector that are the target's own.
func (t *targetConfig) collectorOptions() collector.Options {
	return collector.Options{
		Timeout: time.Duration(t.Timeout),
		Exclude: collector.Exclude{
			Statuses: t.Exclude.Statuses, Names: t.Exclude.Names.Regexp, Tags: t.Exclude.Tags,
		},
		MaxTasks: t.MaxTasks,
	}
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
