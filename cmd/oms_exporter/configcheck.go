package main

import (
	"cmp"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/prometheus/common/config"
	"github.com/prometheus/common/model"

	"oms_exporter/collector"
	"oms_exporter/omsclient"
)

// Problems is a list to which checks add. The keys of a check are relative.
type problems []problem

func (p *problems) addf(key, format string, args ...any) {
	*p = append(*p, problem{key, fmt.Sprintf(format, args...)})
}

// validate returns what cannot mean what it says.
func (c *fileConfig) validate() []problem {
	var found problems
	if len(c.Targets) == 0 {
		found.addf("targets", "at least one is required")
	}
	for _, name := range slices.Sorted(maps.Keys(c.Targets)) {
		target := c.Targets[name]
		switch {
		case !isTargetName(name) && name != flagsTarget || name == flagsTarget && c.source.path != "":
			found.addf(joinKey("targets", name), "%q cannot name a target: use printable characters "+
				"without spaces and / \\ ? # & = %%, and not only dots", name)
			continue
		case target == nil:
			found.addf(joinKey("targets", name), "empty: write at least its url")
			continue
		}
		for _, p := range target.validate() {
			found.addf(keyOfTarget(name, p.key), "%s", p.text)
		}
		follow := keyOfTarget(name, "http_client.follow_redirects")
		if _, written := c.source.lines[follow]; written && target.HTTPClient.FollowRedirects {
			found.addf(follow, "redirects of OMS are never followed: remove the key")
		}
	}
	return append(found, c.DelayThresholds.validate()...)
}

var dots = regexp.MustCompile(`^\.*$`)

// isTargetName reports whether a name can be in a URL, a path and a label, and is
// not taken for an address.
func isTargetName(name string) bool {
	return !dots.MatchString(name) && !strings.ContainsFunc(name, func(r rune) bool {
		return !unicode.IsPrint(r) || strings.ContainsRune(` /\?#&=%`, r)
	})
}

const (
	maxConcurrency = 100          // far more than an OMS answers at the same time
	oldestOMS      = "2019-01-01" // no password is older
)

func (t *targetConfig) validate() []problem {
	var found problems
	if t.URL == "" {
		found.addf("url", "missing: write that of the OMS console, such as https://oms.example:8089")
	}
	found.url("url", t.URL, &consoleURL)
	if t.PageSize < 1 || t.PageSize > omsclient.MaxPageSize {
		found.addf("page_size", "must be 1 to %d, not %d", omsclient.MaxPageSize, t.PageSize)
	}
	if t.Concurrency < 1 || t.Concurrency > maxConcurrency {
		found.addf("concurrency", "must be 1 to %d, not %d", maxConcurrency, t.Concurrency)
	}
	if t.MaxTasks < 0 {
		found.addf("max_tasks", "must be 0 (no limit) or more, not %d", t.MaxTasks)
	}
	if _, err := location(t.Timezone); err != nil {
		found.addf("timezone", "no time zone is named %.50q: write an IANA name, such as Asia/Shanghai",
			t.Timezone)
	}
	if changed, err := t.passwordChanged(); err != nil {
		found.addf("password_changed", "must be a date such as 2026-01-31")
	} else if t.PasswordChanged != "" && t.PasswordChanged < oldestOMS {
		found.addf("password_changed", "%s is before there was an OMS: "+
			"write when the password was last changed", t.PasswordChanged)
	} else if changed.After(time.Now().AddDate(0, 0, 1)) {
		found.addf("password_changed", "%s is in the future: write when the password was last changed",
			t.PasswordChanged)
	}
	found.url("console_url", strings.ReplaceAll(t.ConsoleURL, taskIDInLink, "id"), &linkURL)
	if braces.MatchString(strings.ReplaceAll(t.ConsoleURL, taskIDInLink, "")) {
		found.addf("console_url", "has braces other than %s, which stands for the id of a task: "+
			"write it like that", taskIDInLink)
	}
	found = append(found, t.Filter.validate()...)
	found.respell("exclude.statuses", t.Exclude.Statuses, omsclient.Statuses())
	found = append(found, validateLabels(t.Labels)...)
	if slices.ContainsFunc(slices.Collect(maps.Values(t.Labels)), hasControl) {
		found.addf("labels", "a value has a line break or a control character: write it in one line")
	}
	return append(found, validateClient(&t.HTTPClient)...)
}

func hasControl(text string) bool { return strings.ContainsFunc(text, unicode.IsControl) }

// location returns the time zone with an IANA name. Names that depend on the host
// are not found.
func location(name string) (*time.Location, error) {
	if name == "Local" {
		return nil, fs.ErrNotExist
	}
	return time.LoadLocation(name)
}

var braces = regexp.MustCompile(`[{}]`)

// url finds URLs that cannot work. Empty ones are left out.
func (p *problems) url(key, address string, kind *urlKind) {
	if text := kind.wrong(address); address != "" && text != "" {
		p.addf(key, "%s", text)
	}
}

// maxLabelIDs is how many tags the filter of ListProjects takes.
const maxLabelIDs = 5

func (f *filterConfig) validate() []problem {
	var found problems
	if f.Type != "" && !slices.Contains(omsclient.Types(), f.Type) {
		found.addf("filter.type", "must be %s, not %.50q", alternatives(omsclient.Types()), f.Type)
	}
	if len(f.LabelIDs) > maxLabelIDs {
		found.addf("filter.label_ids", "OMS takes at most %d, not %d", maxLabelIDs, len(f.LabelIDs))
	}
	found.respell("filter.statuses", f.Statuses, omsclient.FilterStatuses())
	found.respell("filter.source_endpoint_types", f.SourceEndpointTypes, omsclient.EndpointTypes())
	found.respell("filter.sink_endpoint_types", f.SinkEndpointTypes, omsclient.EndpointTypes())
	return found
}

// respell finds values that differ from known ones only in the case of letters.
// Unknown ones may be new in OMS.
func (p *problems) respell(key string, values, known []string) {
	for i, value := range values {
		for _, k := range known {
			if value != k && strings.EqualFold(value, k) {
				p.addf(fmt.Sprintf("%s[%d]", key, i), "OMS does not know %q: write %s", value, k)
			}
		}
		switch {
		case strings.TrimSpace(value) == "":
			p.addf(fmt.Sprintf("%s[%d]", key, i), "empty: remove it")
		case strings.ContainsAny(value, ", "):
			words := strings.FieldsFunc(value, func(r rune) bool { return r == ',' || r == ' ' })
			p.addf(fmt.Sprintf("%s[%d]", key, i), "several values in one: write [%s]",
				strings.Join(words, ", "))
		}
	}
}

// alternatives joins words with commas and "or".
func alternatives(words []string) string {
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " or " + words[last]
}

func validateLabels(labels map[string]string) []problem {
	taken := map[string]string{}
	for _, doc := range collector.Docs() {
		for _, label := range doc.Labels {
			taken[label] = "the exporter's metrics have it"
		}
	}
	for _, label := range []string{
		model.JobLabel, model.InstanceLabel, model.BucketLabel, model.QuantileLabel,
	} {
		taken[label] = "Prometheus sets it"
	}
	var found problems
	for _, label := range slices.Sorted(maps.Keys(labels)) {
		switch why := taken[label]; {
		case !model.LegacyValidation.IsValidLabelName(label):
			found.addf(joinKey("labels", label), "not the name of a label: use letters, digits and _")
		case strings.HasPrefix(label, model.ReservedLabelPrefix):
			found.addf("labels."+label, "Prometheus keeps names that begin with __ to itself: "+
				"use another name")
		case why != "":
			found.addf("labels."+label, "%s: use another name", why)
		}
	}
	return found
}

// connectionHeaders are about the connection or the message, which are not the
// configuration's. The library refuses others.
var connectionHeaders = []string{
	"Expect", "Http2-Settings", "Keep-Alive", "Proxy-Connection", "Te", "Trailer",
	"Transfer-Encoding", "Upgrade",
}

var headerName = regexp.MustCompile("^[-!#$%&'*+.^_`|~0-9A-Za-z]+$")

// validateClient checks what the library does not.
func validateClient(c *config.HTTPClientConfig) []problem {
	var found problems
	const key = "http_client."
	if a := c.BasicAuth; a != nil {
		if a.Username == "" && a.UsernameFile == "" {
			found.addf(key+"basic_auth", "a password without an account: write username or username_file")
		}
		if a.Password == "" && a.PasswordFile == "" {
			found.addf(key+"basic_auth", "an account without a password: write password_file")
		}
		if strings.Contains(a.Username, ":") {
			found.addf(key+"basic_auth.username", colonInName)
		}
		found.oneLine(key+"basic_auth.username", a.Username)
		found.oneLine(key+"basic_auth.password", string(a.Password))
	}
	if a := c.Authorization; a != nil {
		if a.Credentials == "" && a.CredentialsFile == "" {
			found.addf(key+"authorization", "no token: write credentials_file")
		}
		if !headerName.MatchString(a.Type) {
			found.addf(key+"authorization.type", "must be a single word, such as Bearer: "+
				"write the token in a file, and name it with credentials_file")
		}
		scheme, _, two := strings.Cut(string(a.Credentials), " ")
		if two && strings.EqualFold(scheme, a.Type) {
			found.addf(key+"authorization.credentials", "begins with the type, which is sent before it: "+
				"write the token alone")
		}
		found.oneLine(key+"authorization.credentials", string(a.Credentials))
	}
	if o := c.OAuth2; o != nil {
		found = append(found, validateOAuth2(o)...)
	}
	if c.HTTPHeaders != nil {
		for _, name := range slices.Sorted(maps.Keys(c.HTTPHeaders.Headers)) {
			h := c.HTTPHeaders.Headers[name]
			if !headerName.MatchString(name) {
				found.addf(joinKey(key+"http_headers", name), "not the name of a header")
			}
			if slices.Contains(connectionHeaders, http.CanonicalHeaderKey(name)) {
				found.addf(key+"http_headers."+name, "is about the connection, which it would break: remove it")
			}
			found.oneLine(key+"http_headers."+name, h.Values...)
			for _, secret := range h.Secrets {
				found.oneLine(key+"http_headers."+name, string(secret))
			}
		}
	}
	found.proxy(key, &c.ProxyConfig)
	found.tls(key+"tls_config", &c.TLSConfig)
	return append(found, unusableKeys(c, c)...)
}

const colonInName = "has a colon, which HTTP Basic authentication cannot send in a name"

func validateOAuth2(o *config.OAuth2) []problem {
	var found problems
	const key = "http_client.oauth2."
	if o.GrantType == grantTypeJWT {
		if o.ClientCertificateKey == "" && o.ClientCertificateKeyFile == "" {
			found.addf(key+"grant_type", "no key to sign with: write client_certificate_key_file")
		}
	} else if o.ClientSecret == "" && o.ClientSecretFile == "" {
		found.addf("http_client.oauth2", "a client without a secret: write client_secret_file")
	}
	found.url(key+"token_url", o.TokenURL, &tokenURL)
	found.oneLine(key+"client_secret", string(o.ClientSecret))
	found.proxy(key, &o.ProxyConfig)
	found.tls(key+"tls_config", &o.TLSConfig)
	return found
}

// oneLine finds values that cannot be in a header.
func (p *problems) oneLine(key string, values ...string) {
	for _, value := range values {
		if hasControl(value) {
			p.addf(key, "has a line break or a control character: write it in one line")
		}
	}
}

func (p *problems) proxy(key string, c *config.ProxyConfig) {
	if c.ProxyURL.URL != nil {
		p.url(key+"proxy_url", c.ProxyURL.URL.String(), &proxyURL)
	}
	if strings.Contains(c.NoProxy, "://") {
		p.addf(key+"no_proxy", "has a URL: "+
			"write hosts, domains or networks, such as .example.com,10.0.0.0/8")
	}
}

func (p *problems) tls(key string, c *config.TLSConfig) {
	if net.ParseIP(c.ServerName) == nil && strings.ContainsAny(c.ServerName, "*/ :") {
		p.addf(key+".server_name", "must be a name in the certificate, without scheme, port and *: "+
			"write one such as oms.example")
	}
	if c.MaxVersion != 0 && c.MaxVersion < c.MinVersion {
		p.addf(key+".max_version", "older than min_version (%s)", c.MinVersion.String())
	}
}

func (t *thresholdsConfig) validate() []problem {
	var found problems
	for _, importance := range slices.Sorted(maps.Keys(t.Importance)) {
		key := joinKey("delay_thresholds.importance", importance)
		if !slices.Contains(omsclient.Importances(), importance) {
			text := "OMS has no such importance: write " + alternatives(omsclient.Importances())
			for _, known := range omsclient.Importances() {
				if strings.EqualFold(importance, known) {
					text = "OMS writes it " + known
				}
			}
			found.addf(key, "%s", text)
			continue
		}
		found.threshold(key, t.Importance[importance])
	}
	for i, o := range t.Overrides {
		key := fmt.Sprintf("delay_thresholds.overrides[%d]", i)
		if o.ID == "" && o.Tag == "" && o.Name.Regexp == nil {
			found.addf(key, "matches every task: write an id, a tag or a name")
		}
		found.threshold(key, o.thresholdConfig)
	}
	return found
}

// threshold finds thresholds that are not what alerts go by: for one that is
// missing, the rules have a default, which may be on the wrong side of the other.
func (p *problems) threshold(key string, t thresholdConfig) {
	const both = "write both warning and critical, such as warning: 5m, critical: 15m"
	switch {
	case t.Warning == 0 && t.Critical == 0:
		p.addf(key, "no threshold: %s", both)
	case t.Critical == 0:
		p.addf(key, "without critical, the alert rules use a default for it: %s", both)
	case t.Warning == 0:
		p.addf(key, "without warning, the alert rules use a default for it: %s", both)
	case t.Warning > t.Critical:
		p.addf(key, "warning (%s) exceeds critical (%s): exchange them", t.Warning, t.Critical)
	}
}

// warnings returns what is allowed but perhaps not meant.
func (c *fileConfig) warnings(scrape *scrapeSettings) []string {
	var found problems
	listed := map[string]string{} // targets by what they list
	for _, name := range slices.Sorted(maps.Keys(c.Targets)) {
		target := c.Targets[name]
		for _, p := range target.warnings() {
			found.addf(keyOfTarget(name, p.key), "%s", p.text)
		}
		if own := time.Duration(target.Timeout); own > 0 && own <= scrape.timeoutOffset {
			found.addf(keyOfTarget(name, "timeout"), "not more than --scrape.timeout-offset=%s, "+
				"which is ignored then", scrape.timeoutOffset)
		}
		limit := cmp.Or(time.Duration(target.Timeout), scrape.timeout)
		if page := time.Duration(target.PageTimeout); page != defaultPageTimeout && page > limit {
			found.addf(keyOfTarget(name, "page_timeout"),
				"longer than a scrape may take, which is %s", limit)
		}
		list := fmt.Sprintf("%s %v", normalized(target.URL), target.Filter)
		if other, ok := listed[list]; ok {
			found.addf(keyOfTarget(name, "url"), "%s has the same URL and filter as %s: "+
				"each task is exported twice", name, other)
		}
		listed[list] = name
		if c.source.path != "" && hasInlineSecret(&target.HTTPClient) && othersCanRead(c.source.path) {
			found.addf(keyOfTarget(name, "http_client"), "%s has a secret, and everyone on this host "+
				"can read it: chmod o= the file", c.source.path)
		}
	}
	found = append(found, c.DelayThresholds.warnings()...)
	var texts []string
	for _, p := range found {
		texts = append(texts, c.source.say(p))
	}
	if scrape.timeoutOffset >= scrape.timeout {
		texts = append(texts, fmt.Sprintf("--scrape.timeout-offset=%s: not less than "+
			"--scrape.timeout=%s, so it is ignored", scrape.timeoutOffset, scrape.timeout))
	}
	return append(texts, unknownVariables(os.Environ())...)
}

// ofService are variables that Kubernetes sets for a service with the name oms-exporter.
var ofService = regexp.MustCompile(
	`^OMS_EXPORTER_(\w+_)?(PORT|PORT_\w+|SERVICE_HOST|SERVICE_PORT\w*)$`)

// unknownVariables warns of environment variables that look like those of flags.
func unknownVariables(environment []string) []string {
	known := map[string]bool{}
	for _, command := range newApp(map[string]command{}).Model().Commands {
		for _, flag := range command.Flags {
			known[flag.Envar] = true
			known[envarOf(flag.Name)] = true
		}
	}
	var warnings []string
	for _, variable := range environment {
		name, _, _ := strings.Cut(variable, "=")
		if strings.HasPrefix(name, envarOf("")) && !known[name] && !ofService.MatchString(name) {
			warnings = append(warnings, name+": no flag has this environment variable: "+
				"correct its name, see --help")
		}
	}
	slices.Sort(warnings)
	return warnings
}

func (t *targetConfig) warnings() []problem {
	c := &t.HTTPClient
	var found problems
	console, err := url.Parse(t.URL)
	if err == nil && hasSecret(c) && sentInClear(console) {
		found.addf("url", "the password is sent over plain HTTP, where anyone in between can read it: "+
			"use https")
	}
	if err == nil && slices.Contains([]string{"http443", "https80"}, console.Scheme+console.Port()) {
		found.addf("url", "%s on port %s, which is usually the other one's: check both",
			console.Scheme, console.Port())
	}
	if t.excludesAll() {
		found.addf("exclude.statuses",
			"it has every status that OMS is asked for, so no task can have series")
	}
	if matchesAll(t.Exclude.Names) {
		found.addf("exclude.names", "it matches every name, so no task can have series")
	}
	if limit := time.Duration(t.PageTimeout); limit > 0 && limit < shortPageTimeout {
		found.addf("page_timeout", "OMS hardly answers within %s: write one such as 10s", limit)
	}
	if limit := time.Duration(t.Timeout); limit > longTimeout {
		found.addf("timeout", "Prometheus gives up long before %s: write one such as 1m", t.Timeout)
	}
	found.placeholders(c)
	if o := c.OAuth2; o != nil {
		if server, err := url.Parse(o.TokenURL); err == nil && sentInClear(server) {
			found.addf("http_client.oauth2.token_url", "the secret is sent over plain HTTP, "+
				"where anyone in between can read it: use https")
		}
	}
	if c.TLSConfig.InsecureSkipVerify {
		found.addf("http_client.tls_config.insecure_skip_verify", "OMS's certificate is not verified, "+
			"so anyone in between can read the password: use ca_file")
	}
	if !hasSecret(c) {
		found.addf("http_client", "no account: requests to OMS carry no credentials")
	}
	for _, unknown := range t.unknownStatuses() {
		found.addf(unknown.key, "%s", unknown.text)
	}
	_, _, unusable := withContents(c)
	found = append(found, unusable...)
	for _, f := range secretFiles(cloned(c)) {
		if f.kind != certificate && othersCanRead(f.name) {
			found.addf(f.key, "everyone on this host can read %s: chmod o= it", f.name)
		}
	}
	return found
}

// Limits beyond which a time is a slip of the pen.
const (
	shortPageTimeout = 100 * time.Millisecond
	longTimeout      = time.Hour
)

var allPlaceholder = regexp.MustCompile(`^(\$\{?\w+\}?|<[^>]+>|\{\{.*\}\})$`)

// placeholders finds secrets that are still to be filled in.
func (p *problems) placeholders(c *config.HTTPClientConfig) {
	find := func(key, value string) {
		if allPlaceholder.MatchString(value) {
			p.addf("http_client."+key, "looks like a placeholder, which nothing fills in")
		}
	}
	if a := c.BasicAuth; a != nil {
		find("basic_auth.username", a.Username)
		find("basic_auth.password", string(a.Password))
	}
	if a := c.Authorization; a != nil {
		find("authorization.credentials", string(a.Credentials))
	}
	if o := c.OAuth2; o != nil {
		find("oauth2.client_id", o.ClientID)
		find("oauth2.client_secret", string(o.ClientSecret))
	}
	if c.HTTPHeaders == nil {
		return
	}
	for _, name := range slices.Sorted(maps.Keys(c.HTTPHeaders.Headers)) {
		h := c.HTTPHeaders.Headers[name]
		for i, value := range h.Values {
			find(fmt.Sprintf("http_headers.%s.values[%d]", name, i), value)
		}
		for i, secret := range h.Secrets {
			find(fmt.Sprintf("http_headers.%s.secrets[%d]", name, i), string(secret))
		}
	}
}

// excludesAll reports whether every status that OMS is asked for is excluded.
func (t *targetConfig) excludesAll() bool {
	asked := t.Filter.Statuses
	if len(asked) == 0 {
		asked = omsclient.Statuses()
	}
	return !slices.ContainsFunc(asked, func(status string) bool {
		if status == "RUNNING_ALARMING" { // in a filter only
			status = "RUNNING"
		}
		return !slices.Contains(t.Exclude.Statuses, status)
	})
}

// matchesAll reports whether an expression surely matches every name.
func matchesAll(p pattern) bool {
	return slices.Contains(
		[]string{wholeName(".*"), wholeName(".+"), wholeName("^.*$")}, p.String())
}

// warnings finds overrides that an earlier one always takes precedence over.
func (t *thresholdsConfig) warnings() []problem {
	var found problems
	for i := range t.Overrides {
		for j := range i {
			if t.Overrides[j].covers(&t.Overrides[i]) {
				found.addf(fmt.Sprintf("delay_thresholds.overrides[%d]", i),
					"never used: delay_thresholds.overrides[%d] applies to all that it matches", j)
				break
			}
		}
	}
	return found
}

// covers reports whether an override surely matches every task that another one
// matches.
func (o *overrideConfig) covers(other *overrideConfig) bool {
	name, otherName := o.Name.String(), other.Name.String()
	return (o.ID == "" || o.ID == other.ID) && (o.Tag == "" || o.Tag == other.Tag) &&
		(name == "" || name == otherName || matchesAll(o.Name))
}

// normalized returns a URL in one of its spellings.
func normalized(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return address
	}
	port := cmp.Or(u.Port(), map[string]string{"http": "80", "https": "443"}[u.Scheme])
	return u.Scheme + "://" + net.JoinHostPort(strings.ToLower(u.Hostname()), port) +
		strings.TrimRight(u.Path, "/")
}

func sentInClear(u *url.URL) bool {
	ip := net.ParseIP(u.Hostname())
	return u.Scheme == "http" && u.Hostname() != "localhost" && !ip.IsLoopback()
}

func hasSecret(c *config.HTTPClientConfig) bool {
	return c.BasicAuth != nil || c.Authorization != nil || c.OAuth2 != nil || c.HTTPHeaders != nil ||
		c.TLSConfig.KeyFile != "" || c.TLSConfig.Key != ""
}

func hasInlineSecret(c *config.HTTPClientConfig) bool {
	if a := c.BasicAuth; a != nil && a.Password != "" {
		return true
	}
	if a := c.Authorization; a != nil && a.Credentials != "" {
		return true
	}
	if o := c.OAuth2; o != nil && (o.ClientSecret != "" || o.ClientCertificateKey != "" ||
		o.TLSConfig.Key != "" || len(o.ProxyConnectHeader) > 0 || hasPassword(o.ProxyURL)) {
		return true
	}
	if c.HTTPHeaders != nil {
		for _, h := range c.HTTPHeaders.Headers {
			if len(h.Secrets) > 0 {
				return true
			}
		}
	}
	return c.TLSConfig.Key != "" || len(c.ProxyConnectHeader) > 0 || hasPassword(c.ProxyURL)
}

func hasPassword(u config.URL) bool { return u.URL != nil && u.User != nil }

// othersCanRead reports whether accounts can read a file that are neither its owner
// nor in its group. A group is given access on purpose, as in Kubernetes.
func othersCanRead(name string) bool {
	const others = 0o004
	info, err := os.Stat(name)
	return err == nil && info.Mode().Perm()&others != 0
}
