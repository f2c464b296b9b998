package main

import (
	"regexp"
	"strings"
)

// clientMistakes are what prometheus/common says about a client: which key, below the one
// that it has checked, that is about, and what to write.
var clientMistakes = []struct {
	says      *regexp.Regexp
	key, text string // may have $1 and so on
}{
	{
		regexp.MustCompile(`^at most one of (basic_auth|authorization|oauth2) (\w+)(?:,| &) (\w+)`),
		"$1.$3", "excludes $2: write only one of the two",
	},
	{
		regexp.MustCompile(`^at most one of (ca|cert|key)(?:,| and) (\w+_file)`),
		"$2", "excludes $1: write only one of the two",
	},
	{
		regexp.MustCompile(`^at most one of basic_auth, oauth2 & authorization`),
		"", "write only one of basic_auth, oauth2 and authorization",
	},
	{
		regexp.MustCompile(`bearer_token`),
		"", "write authorization with credentials_file, and nothing else, in place of bearer_token",
	},
	{
		regexp.MustCompile(`^authorization type cannot be set to "basic"`),
		"authorization.type", "must not be Basic: write basic_auth with username and password_file",
	},
	{
		regexp.MustCompile(`^oauth2 (client_id|token_url) must be`),
		"oauth2.$1", "missing: write it",
	},
	{
		regexp.MustCompile(`^valid signature algorithms`),
		"oauth2.signature_algorithm", "must be RS256, RS384 or RS512",
	},
	{
		regexp.MustCompile(`^if (no_proxy|proxy_connect_header) is configured, proxy_url`),
		"$1", "there is no proxy: write proxy_url, or remove this key",
	},
	{
		regexp.MustCompile(`^if proxy_from_environment is configured, (\w+) must not`),
		"$1", "excludes proxy_from_environment: write only one of the two",
	},
	{
		regexp.MustCompile(`key_file must be configured when`),
		"", "a certificate without its private key: write key_file",
	},
	{
		regexp.MustCompile(`cert_file must be configured when`),
		"", "a private key without its certificate: write cert_file",
	},
	{
		regexp.MustCompile(`^setting header "(.+)" is not allowed`),
		"http_headers.$1", "the exporter sets this header itself: remove it, " +
			"and write accounts in basic_auth or authorization",
	},
}

// clientMistake says in other words what the library says about what is under a key.
func clientMistake(err error, key string, lines map[string]int) problem {
	message := readable(err)
	for _, m := range clientMistakes {
		found := m.says.FindStringSubmatchIndex(message)
		if found == nil {
			continue
		}
		expand := func(template string) string {
			return string(m.says.ExpandString(nil, template, message, found))
		}
		if m.key != "" {
			key += "." + expand(m.key)
		}
		for written := range lines { // names of headers, in any case
			if strings.EqualFold(written, key) {
				key = written
				break
			}
		}
		return problem{key, expand(m.text)}
	}
	return problem{key, message}
}
