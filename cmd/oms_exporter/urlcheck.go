package main

import (
	"fmt"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// A urlKind is what the URL of a setting may have, and what one looks like.
type urlKind struct {
	schemes     []string
	example     string
	user        bool // a user name and a password
	path, query bool
}

var (
	webSchemes = []string{"http", "https"}
	consoleURL = urlKind{schemes: webSchemes, example: "https://oms.example:8089", path: true}
	linkURL    = urlKind{
		schemes: webSchemes, example: "https://oms.example:8089", path: true, query: true,
	}
	grafanaURL = urlKind{
		schemes: webSchemes, example: "https://grafana.example", path: true, query: true,
	}
	tokenURL = urlKind{
		schemes: webSchemes, example: "https://login.example/token", path: true, query: true,
	}
	proxyURL = urlKind{
		schemes: []string{"http", "https", "socks5", "socks5h"},
		example: "http://proxy.example:3128", user: true,
	}
)

var (
	placeholder = regexp.MustCompile(`\$\{?\w|<[^>]*>|\{\{`)
	digitsOnly  = regexp.MustCompile(`^[0-9.]+$`)
	pathOfOMS   = regexp.MustCompile(`(?i)/(api/v2|login)$`)
)

// wrong says why a URL cannot work and what to write, or returns nothing. It quotes
// nothing that might be a password.
func (k *urlKind) wrong(address string) string {
	u, err := url.Parse(address)
	if err == nil && k.user {
		u.User = nil
		address = u.String()
	}
	want := "write one such as " + k.example
	switch {
	case placeholder.MatchString(address):
		return "has a placeholder, which nothing fills in: " + want
	case strings.Contains(address, ",") && strings.Count(address, "://") > 1:
		return "has several URLs: write a single one"
	case strings.Contains(beforeQuery(address), "@") && !k.user:
		return "must not hold a user name or password, which end up in logs: " +
			"leave out what is before the @"
	case err != nil:
		return "not a URL: " + want + ", with special characters as %XX"
	case !slices.Contains(k.schemes, u.Scheme) || u.Hostname() == "":
		return "must begin with " + strings.Join(k.schemes[:len(k.schemes)-1], "://, ") + ":// or " +
			k.schemes[len(k.schemes)-1] + ":// and a host: " + want
	}
	if text := wrongHost(u); text != "" {
		return text
	}
	switch path := strings.TrimRight(u.Path, "/"); {
	case !k.path && path != "":
		return "must not have a path: " + want
	case !k.query && (u.RawQuery != "" || u.ForceQuery || u.Fragment != ""):
		return "must not have a query or a fragment: " + want
	case !k.query && pathOfOMS.MatchString(path):
		return "must be the URL of the console: leave out " + pathOfOMS.FindString(path)
	}
	return ""
}

func beforeQuery(address string) string {
	before, _, _ := strings.Cut(address, "?")
	return before
}

// wrongHost says why nothing can be reached at the host and port of a URL.
func wrongHost(u *url.URL) string {
	host, ip := u.Hostname(), net.ParseIP(u.Hostname())
	port, err := strconv.ParseUint(u.Port(), 10, 16)
	switch {
	case strings.HasSuffix(u.Host, ":"):
		return "has a colon without a port: write the port, or leave out the colon"
	case u.Port() != "" && (err != nil || port == 0):
		return fmt.Sprintf("there is no port %.20s: ports are 1 to 65535", u.Port())
	case ip != nil && (ip.IsUnspecified() || ip.IsMulticast()):
		return fmt.Sprintf("%s is an address to listen on, not one to connect to: "+
			"write that of the server", host)
	case ip == nil && digitsOnly.MatchString(host):
		return fmt.Sprintf("%.20q is neither a host name nor an IP address", host)
	case strings.ContainsAny(host, " <>\"{}|\\^*$"):
		return "the host has characters that no name can have: write a name or an IP address"
	}
	return ""
}
