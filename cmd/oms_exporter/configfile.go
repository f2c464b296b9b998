package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"reflect"
	"regexp"
	"regexp/syntax"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/prometheus/common/config"
	"github.com/prometheus/common/model"
	yamlv2 "go.yaml.in/yaml/v2"
	"go.yaml.in/yaml/v3"
)

// A problem is something about a setting that is wrong, or perhaps not meant.
type problem struct {
	key  string // in the file, with dots in between; empty for all of it
	text string // what is wrong and what to write; no value that might be a secret
}

// A source is a configuration file, and where its keys are. The zero value stands
// for flags.
type source struct {
	path  string
	lines map[string]int // by key
}

// userInfo is that of a URL, which may stand anywhere, even as the name of a target.
var userInfo = regexp.MustCompile(`//[^\s"']*@`)

// say tells people about a problem, and where it is.
func (s *source) say(p problem) string {
	return userInfo.ReplaceAllString(s.sayAll(p), "//…@")
}

func (s *source) sayAll(p problem) string {
	if s.path == "" {
		return flagOf(p.key) + ": " + p.text
	}
	place := s.path
	for key := p.key; ; key = key[:max(0, strings.LastIndexAny(key, ".["))] {
		if line, ok := s.lines[key]; ok {
			place += ":" + strconv.Itoa(line)
			break
		} else if key == "" {
			break
		}
	}
	if p.key == "" {
		return place + ": " + p.text
	}
	return place + ": " + p.key + ": " + p.text
}

// errorOf makes an error of problems, with a line for each; nil if there are none.
func (s *source) errorOf(problems []problem) error {
	errs := make([]error, len(problems))
	for i, p := range problems {
		errs[i] = usageError{errors.New(s.say(p))}
	}
	return errors.Join(errs...)
}

// loadConfig reads a configuration file. Paths in it are relative to the file. The
// error has a line for each mistake.
func loadConfig(path string) (*fileConfig, error) {
	content, err := readFileInTime(path, maxOtherFile)
	if err != nil {
		return nil, usagef("--config.file: %w", err)
	}
	loaded := &fileConfig{source: source{path: path, lines: map[string]int{}}}
	document, problems := parseYAML(content, loaded.source.lines)
	if len(problems) == 0 {
		k := keyReader{lines: loaded.source.lines, merging: map[*yaml.Node]bool{}}
		k.read(document, reflect.TypeFor[fileConfig](), "")
		problems = k.problems
	}
	if len(problems) == 0 {
		if err := document.Decode(loaded); err != nil {
			problems = []problem{{"", readable(err)}}
		}
	}
	if len(problems) == 0 {
		for _, target := range loaded.Targets {
			if target != nil {
				target.setDirectory(filepath.Dir(path))
			}
		}
		problems = loaded.validate()
	}
	return loaded, loaded.source.errorOf(problems)
}

// setDirectory makes paths of files relative to a directory.
func (t *targetConfig) setDirectory(dir string) {
	t.HTTPClient.SetDirectory(dir)
	if o := t.HTTPClient.OAuth2; o != nil { // which the library forgets
		o.ClientCertificateKeyFile = config.JoinDir(dir, o.ClientCertificateKeyFile)
	}
}

// parseYAML returns the only document of a file. It notes the line of a problem
// under the empty key.
func parseYAML(content []byte, lines map[string]int) (*yaml.Node, []problem) {
	if line, text := unreadable(content); text != "" {
		lines[""] = line
		return nil, []problem{{"", text}}
	}
	decoder := yaml.NewDecoder(bytes.NewReader(content))
	document, second := &yaml.Node{Kind: yaml.DocumentNode}, &yaml.Node{}
	err := decoder.Decode(document)
	if errors.Is(err, io.EOF) {
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null"}, nil
	}
	if err == nil {
		err = decoder.Decode(second)
	}
	switch {
	case errors.Is(err, io.EOF):
		lines[""] = document.Content[0].Line
		return document.Content[0], nil
	case err == nil:
		lines[""] = second.Content[0].Line
		return nil, []problem{{"", "a second document begins after ---: put everything into the first"}}
	}
	line, text := syntaxError(err, content)
	if line > 0 {
		lines[""] = line
	}
	return nil, []problem{{"", text}}
}

// unreadable returns the first line that is not text, and why.
func unreadable(content []byte) (line int, problem string) {
	line = 1
	for rest := content; len(rest) > 0; {
		r, size := utf8.DecodeRune(rest)
		switch {
		case r == utf8.RuneError && size == 1:
			return line, "not UTF-8: save the file as UTF-8"
		case r == '\n':
			line++
		case unicode.IsControl(r) && r != '\t' && r != '\r' && r != '\u0085':
			return line, fmt.Sprintf("a control character (%U): remove it", r)
		}
		rest = rest[size:]
	}
	return 0, ""
}

var (
	syntaxErrors   = regexp.MustCompile(`^(?:line (\d+): )?(.*)$`)
	aboutLine      = regexp.MustCompile(`^(did not find expected|found undefined tag)`)
	inNeedOfQuotes = regexp.MustCompile(
		`^(mapping values are not allowed|found character that cannot start any token)`)
	anAlias = regexp.MustCompile(`^unknown anchor '(.*)' referenced$`)
)

// syntaxError words an error of the YAML library, which may quote a password that
// begins with an asterisk.
func syntaxError(err error, content []byte) (line int, text string) {
	// Version 3 names the line where the mapping begins that the error is in. The
	// version before names the place itself.
	var ignored any
	err = cmp.Or(yamlv2.Unmarshal(content, &ignored), err)
	lines := strings.Split(string(content), "\n")
	found := syntaxErrors.FindStringSubmatch(strings.TrimPrefix(err.Error(), "yaml: "))
	if text = found[2]; found[1] != "" {
		line, _ = strconv.Atoi(found[1]) // digits
		if aboutLine.MatchString(text) { // counted from 0
			line = min(line+1, len(lines))
		}
	}
	if found := anAlias.FindStringSubmatch(text); found != nil {
		line = 1 + slices.IndexFunc(lines, func(l string) bool {
			return strings.Contains(l, "*"+found[1])
		})
		return line, "an alias whose anchor (&) is missing: put text that begins with * in quotes"
	}
	if line > 0 && line <= len(lines) {
		if indentation := strings.TrimLeft(lines[line-1], " "); strings.HasPrefix(indentation, "\t") {
			return line, "a tab in the indentation: use spaces"
		}
	}
	written := strings.Count(strings.TrimRight(string(content), "\n"), "\n") + 1
	switch {
	case strings.HasPrefix(text, "found unexpected end of stream"):
		return min(line, written), "a quotation mark in this line, or before it, is not closed"
	case inNeedOfQuotes.MatchString(text):
		return line, "text with a special character, such as a colon, @ or %: put it in quotes"
	}
	return line, "not YAML: " + text
}

// A keyReader checks a document against the types that it is decoded into, and
// notes where its keys are.
type keyReader struct {
	lines    map[string]int
	problems []problem
	merging  map[*yaml.Node]bool // guards against a mapping that is merged into itself
}

func (k *keyReader) problemf(key, format string, args ...any) {
	k.problems = append(k.problems, problem{key, fmt.Sprintf(format, args...)})
}

// read checks what is under a key.
func (k *keyReader) read(node *yaml.Node, t reflect.Type, key string) {
	if node.Kind == yaml.AliasNode {
		node = node.Alias
	}
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	before := len(k.problems)
	keys, others := keysBelow(t)
	switch {
	case node.ShortTag() == "!!null", t.Kind() == reflect.Interface:
		return // the default, or anything
	case keys == nil && others == nil && t.Kind() != reflect.Slice:
		k.readValue(node, t, key)
		return
	case t.Kind() == reflect.Slice && node.Kind == yaml.SequenceNode:
		for i, item := range node.Content {
			below := fmt.Sprintf("%s[%d]", key, i)
			k.lines[below] = item.Line
			k.read(item, t.Elem(), below)
		}
	case t.Kind() == reflect.Slice:
		k.problemf(key, "must be a list, such as [A, B], not %s", kindOf(node))
	case node.Kind != yaml.MappingNode:
		k.problemf(key, "must have keys below it, not %s", kindOf(node))
	default:
		k.readKeys(node, keys, others, key)
	}
	if len(k.problems) == before {
		// The type may have checks of its own.
		if err := node.Decode(reflect.New(t).Interface()); err != nil {
			k.problems = append(k.problems, clientMistake(err, key, k.lines))
		}
	}
}

// likelyKey is what a key looks like that is only misspelled.
var likelyKey = regexp.MustCompile(`^[a-z][a-z_-]{0,39}$`)

func (k *keyReader) readKeys(
	node *yaml.Node, keys map[string]reflect.Type, others reflect.Type, path string,
) {
	seen := map[string]int{}
	for i := 0; i+1 < len(node.Content); i += 2 {
		name, value := node.Content[i], node.Content[i+1]
		if name.ShortTag() == "!!merge" {
			k.merge(value, keys, others, path)
			continue
		}
		key := joinKey(path, name.Value)
		k.lines[key] = name.Line
		t, ok := keys[name.Value]
		if !ok {
			t = others
		}
		switch line, repeated := seen[name.Value]; {
		case repeated:
			k.problemf(key, "appears twice, first in line %d", line)
		case name.ShortTag() == "!!null":
			k.problemf(path, "a key must be text: write %q in quotes (line %d)", name.Value, name.Line)
		case name.Kind != yaml.ScalarNode:
			k.problemf(path, "a key must be text, not %s", kindOf(name))
		case t == nil && strings.Contains(path, "http_client") && !likelyKey.MatchString(name.Value):
			// It may be a secret: a space was forgotten after a colon.
			k.lines[path] = name.Line
			k.problemf(path, "unknown key, not one of: %s; is a space missing after a colon?",
				strings.Join(slices.Sorted(maps.Keys(keys)), ", "))
		case t == nil:
			k.problemf(key, "unknown key, not one of: %s",
				strings.Join(slices.Sorted(maps.Keys(keys)), ", "))
		default:
			k.read(value, t, key)
		}
		seen[name.Value] = name.Line
	}
}

// merge checks what << adds to a mapping. The keys count as being where they are
// added.
func (k *keyReader) merge(
	node *yaml.Node, keys map[string]reflect.Type, others reflect.Type, path string,
) {
	switch {
	case node.Kind == yaml.AliasNode:
		k.merge(node.Alias, keys, others, path)
	case node.Kind == yaml.SequenceNode:
		for _, item := range node.Content {
			k.merge(item, keys, others, path)
		}
	case node.Kind == yaml.MappingNode && !k.merging[node]:
		k.merging[node] = true
		merged := keyReader{lines: map[string]int{}, merging: k.merging}
		merged.readKeys(node, keys, others, path)
		k.problems = append(k.problems, merged.problems...)
		delete(k.merging, node)
	default:
		k.problemf(path, "<< must be followed by an alias of another mapping")
	}
}

// joinKey adds a key to a path. Names of targets may be anything.
func joinKey(path, name string) string {
	if quoted := strconv.Quote(name); name == "" || quoted != `"`+name+`"` {
		name = quoted
	}
	if path == "" {
		return name
	}
	return path + "." + name
}

// readValue checks a value that is not made of others.
func (k *keyReader) readValue(node *yaml.Node, t reflect.Type, key string) {
	if node.Kind != yaml.ScalarNode {
		k.problemf(key, "must be %s, not %s", valueOf(t), kindOf(node))
		return
	}
	err := node.Decode(reflect.New(t).Interface())
	if t.Kind() == reflect.Int && node.ShortTag() != "!!int" { // the library drops fractions
		err = errors.New("a fraction")
	}
	var expression *syntax.Error
	switch {
	case t.Kind() == reflect.Int && leadingZero.MatchString(node.Value):
		k.problemf(key, "%.30q is an octal number in YAML: leave out the zeros in front", node.Value)
	case err == nil:
	case errors.As(err, &expression):
		k.problemf(key, "not a regular expression in RE2 syntax: %s", expression.Code)
	case t == reflect.TypeFor[model.Duration]():
		k.problemf(key, "%.30q is not %s", node.Value, valueOf(t))
	default:
		k.problemf(key, "must be %s", valueOf(t))
	}
}

var leadingZero = regexp.MustCompile(`^[-+]?0[0-9_]`)

// keysBelow returns the keys that a type has in a file, and the type of what any
// other key has.
func keysBelow(t reflect.Type) (keys map[string]reflect.Type, others reflect.Type) {
	switch t.Kind() {
	case reflect.Map:
		return nil, t.Elem()
	case reflect.Struct:
		for i := range t.NumField() {
			field := t.Field(i)
			switch name, options, _ := strings.Cut(field.Tag.Get("yaml"), ","); {
			case options == "inline":
				inline, rest := keysBelow(field.Type)
				keys, others = union(keys, inline), rest
			case name != "" && !strings.HasSuffix(name, "_ref"): // there is no manager of secrets
				keys = union(keys, map[string]reflect.Type{name: field.Type})
			}
		}
	}
	return keys, others
}

func union(a, b map[string]reflect.Type) map[string]reflect.Type {
	if a == nil {
		return maps.Clone(b)
	}
	maps.Copy(a, b)
	return a
}

// valueOf says what a value of a type has to be.
func valueOf(t reflect.Type) string {
	switch {
	case t == reflect.TypeFor[model.Duration]():
		return "a duration such as 30s or 5m"
	case t == reflect.TypeFor[config.URL]():
		return "a URL such as http://proxy.example:3128, with special characters as %XX"
	case t == reflect.TypeFor[config.TLSVersion]():
		return "one of " + strings.Join(slices.Sorted(maps.Keys(config.TLSVersions)), ", ")
	case t.Kind() == reflect.Bool:
		return "true or false"
	case t.Kind() == reflect.Int:
		return "a whole number"
	}
	return "text"
}

// kindOf says what a node is.
func kindOf(node *yaml.Node) string {
	switch node.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	case yaml.AliasNode:
		return kindOf(node.Alias)
	}
	return "a single value"
}

var (
	quotedValue = regexp.MustCompile("(?s) ?`.*?`")
	unknownKey  = regexp.MustCompile(`field (\S+) not found in type \S+`)
	wrongType   = regexp.MustCompile(`cannot unmarshal !!(\w+) into \S+`)
)

// readable turns an error of a YAML library into one line for people, without the
// values that it quotes.
func readable(err error) string {
	message := strings.TrimPrefix(err.Error(), "yaml: ")
	message = strings.TrimPrefix(message, "unmarshal errors:\n")
	message = quotedValue.ReplaceAllString(message, "")
	message = unknownKey.ReplaceAllString(message, `unknown key "$1"`)
	message = wrongType.ReplaceAllString(message, "value has the wrong type ($1)")
	lines := strings.FieldsFunc(message, func(r rune) bool { return r == '\n' })
	for i := range lines {
		lines[i] = strings.TrimSpace(lines[i])
	}
	return strings.Join(lines, "; ")
}
