package main

import (
	"errors"
	"maps"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"

	"github.com/prometheus/exporter-toolkit/web"
	"go.yaml.in/yaml/v3"
	"golang.org/x/crypto/bcrypt"
)

// validateWebConfig checks a configuration of the exporter-toolkit. The toolkit does so
// too, but it reads files without a limit, and names neither line nor key.
func validateWebConfig(path string) error {
	if path == "" {
		return nil
	}
	const flag = "--web.config.file"
	content, err := readFileInTime(path, maxOtherFile)
	if err != nil {
		return usagef(flag+": %w", err)
	}
	file := source{path: path, lines: map[string]int{}}
	for _, p := range webProblems(content, &file) {
		err = errors.Join(err, usagef(flag+"=%s", file.say(p)))
	}
	if err != nil {
		return err
	}
	if err := web.Validate(path); err != nil {
		return usagef(flag+"=%s: %s", path, readable(err))
	}
	return nil
}

// webProblems notes where the keys of a configuration are, and says what is wrong with it.
func webProblems(content []byte, file *source) []problem {
	document, found := parseYAML(content, file.lines)
	if len(found) > 0 {
		return found
	}
	k := keyReader{lines: file.lines, merging: map[*yaml.Node]bool{}}
	k.read(document, reflect.TypeFor[web.Config](), "")
	var c web.Config
	if len(k.problems) > 0 {
		return k.problems
	} else if err := document.Decode(&c); err != nil {
		return []problem{{"", readable(err)}}
	}
	c.TLSConfig.SetDirectory(filepath.Dir(file.path))
	const key = "tls_server_config."
	return append(unusableUsers(c.Users, file.lines), unreadableFiles([]secretFile{
		{key: key + "cert_file", name: c.TLSConfig.TLSCertPath, kind: certificate},
		{key: key + "key_file", name: c.TLSConfig.TLSKeyPath, kind: privateKey},
		{key: key + "client_ca_file", name: c.TLSConfig.ClientCAs, kind: certificate},
	})...)
}

// unreadableFiles says which files cannot be read. Those without a name are left out.
func unreadableFiles(files []secretFile) []problem {
	var found problems
	for _, f := range files {
		if f.name == "" {
			continue
		}
		if _, err := f.read(); err != nil {
			found.addf(f.key, "%s", err)
		}
	}
	return found
}

// likelyUser is what a name looks like that is no name and hash in one, for want of a space.
var likelyUser = regexp.MustCompile(`^[\w.@-]{1,40}$`)

func unusableUsers[S ~string](users map[string]S, lines map[string]int) []problem {
	var found problems
	for _, user := range slices.Sorted(maps.Keys(users)) {
		if _, err := bcrypt.Cost([]byte(users[user])); err == nil {
			continue
		}
		key := joinKey("basic_auth_users", user)
		if !likelyUser.MatchString(user) {
			lines["basic_auth_users"] = lines[key]
			key = "basic_auth_users"
		}
		found.addf(key, "not the bcrypt hash of a password: write NAME: HASH, "+
			"as htpasswd -nB NAME prints them")
	}
	return found
}
