package main

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"math"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"oms_exporter/omsclient"
)

// A step of a check judges one thing. None before it has failed.
type step struct {
	name string
	find func(*evidence) finding
}

// steps are all steps, in the order in which things happen to a request. Programs
// read their names in the JSON.
var steps = []step{
	{"configuration", findConfiguration},
	{"name_resolution", findName},
	{"connection", findConnection},
	{"tls", findTLS},
	{"answer", findAnswer},
	{"authentication", findAuthentication},
	{"api", findAPI},
	{"first_page", findFirstPage},
	{"clock", findClock},
	{"pages", findPages},
	{"omitted", findOmitted},
	{"values", findValues},
	{"tasks", findTasks},
	{"time_zone", findZone},
	{"concurrency", findConcurrency},
	{"scrape", findScrape},
}

// findings takes the steps, up to the first that fails.
func (e *evidence) findings() []finding {
	var findings []finding
	over := false
	for _, step := range steps {
		f := finding{Result: skipped}
		if !over {
			f = step.find(e)
		}
		f.Name, f.Detail, f.Advice = step.name, printable(f.Detail), printable(f.Advice)
		over = over || f.Result == failed
		findings = append(findings, f)
	}
	return findings
}

// cause returns why there is no listing, without the prefix that all causes share.
func (e *evidence) cause() string {
	switch {
	case e.failure == nil:
		return ""
	case e.failure.Reason == omsclient.Timeout:
		return e.silence()
	}
	return errorPrefix.ReplaceAllString(e.failure.Error(), "")
}

// silence says how long OMS, or what is on the way to it, did not answer.
func (e *evidence) silence() string {
	var last omsclient.Request
	tries := 0
	for _, r := range e.fetch.Report.Requests {
		if r.Page == e.failure.Page {
			last = r
			tries++
		}
	}
	how := "did not answer"
	if last.StatusCode != 0 {
		how = fmt.Sprintf("began to answer, with HTTP status %d, and did not finish", last.StatusCode)
	}
	times := "once"
	if tries > 1 {
		times = fmt.Sprintf("%d times", tries)
	}
	return fmt.Sprintf("%s within %.3g s; asked %s", how, last.Duration.Seconds(), times)
}

// setting names what has to be changed: a flag, or a key in the file.
func (e *evidence) setting(key string) string { return settingsOf(e.target.name)(key) }

func findConfiguration(e *evidence) finding {
	if e.failedAtOnce(omsclient.Credentials) {
		return fails("nothing was sent to OMS: "+adviseFile(e.cause()), "%s", e.cause())
	}
	unknown := e.target.config.unknownStatuses()
	if unknown == nil {
		return passes("%s", e.source)
	}
	texts := make([]string, len(unknown))
	for i, u := range unknown {
		texts[i] = e.setting(u.key) + ": " + u.text
	}
	return warns("unless they are new in OMS, correct the statuses",
		"%s; %s", e.source, strings.Join(texts, "; "))
}

// adviseFile says what to do about a file that cannot be used.
func adviseFile(why string) string {
	switch {
	case strings.Contains(why, "no such file"):
		return "create the file"
	case strings.Contains(why, "permission denied"):
		return "let the user that runs this read it"
	}
	return "correct the file"
}

func findName(e *evidence) finding {
	c := &e.connection
	host, _, err := net.SplitHostPort(c.to)
	if err != nil { // the request did not get that far
		return fails("check http_client: credentials, their files, and the proxy",
			"no request could be sent: %s", e.cause())
	}
	whose := host
	if e.proxy() != "" {
		whose = "the proxy " + host
	}
	switch {
	case !c.lookup.tried():
		return passes("%s is an IP address", whose)
	case !c.lookup.ok():
		return fails("correct the host in "+e.addressSetting()+", or check the name servers "+
			"of this host or container", "%s: %s", whose, e.cause())
	}
	return passes("%s resolves to %s, in %s", whose, strings.Join(c.addresses, ", "),
		seconds(c.lookup.took().Seconds()))
}

// addressSetting names the setting that decides where to connect to.
func (e *evidence) addressSetting() string {
	if e.proxy() != "" {
		return "proxy_url"
	}
	return e.setting("url")
}

func findConnection(e *evidence) finding {
	c := &e.connection
	whose := ""
	if proxy := e.proxy(); proxy != "" {
		whose = " of the proxy " + proxy
	}
	switch {
	case !c.dial.ok() && e.proxy() != "":
		return fails("check that the proxy is running and listening there, and proxy_url",
			"no connection to %s%s: %s", c.to, whose, e.cause())
	case !c.dial.ok():
		return fails("check that OMS is running and listening there, the port in "+
			e.addressSetting()+", and firewalls in between",
			"no connection to %s%s: %s", c.to, whose, e.cause())
	case !c.used && !c.handshake.tried(): // happens only with a proxy
		return fails(e.adviseProxy(),
			"the proxy %s does not connect to OMS: %s", c.to, e.cause())
	}
	return passes("%s%s, in %s", c.remote, whose, seconds(c.dial.took().Seconds()))
}

// adviseProxy says what to do about a proxy that does not connect to OMS.
func (e *evidence) adviseProxy() string {
	switch {
	case e.failure.StatusCode == http.StatusForbidden:
		return "have the proxy allow connections to the host and port in " + e.setting("url")
	case e.failure.Reason == omsclient.Auth:
		return "the proxy asks for an account of its own: correct user and password in proxy_url"
	}
	return "check the proxy's settings, and whether it may connect to OMS"
}

func findTLS(e *evidence) finding {
	c := &e.connection
	switch {
	case e.isPlainHTTP():
		return warns("use https if OMS, or a proxy in front of it, offers it",
			"plain http: the password is sent in the clear")
	case !c.handshake.ok():
		return fails(adviseTLS(e, c.handshake.err), "%s", e.cause()+rejected(c.handshake.err))
	}
	described := describeTLS(&c.tls)
	left := time.Until(omsclient.CertExpiry(&c.tls))
	switch {
	case e.target.config.HTTPClient.TLSConfig.InsecureSkipVerify:
		return warns("trust OMS's certificate authority instead, with "+e.setting("tls_config.ca_file"),
			"%s; not verified: anyone in between can read the password", described)
	case left < 30*24*time.Hour:
		return warns("renew the certificate that expires first: the server's or that of an authority",
			"%s, which is soon", described)
	}
	return passes("%s", described)
}

func (e *evidence) isPlainHTTP() bool {
	return strings.HasPrefix(strings.ToLower(e.target.config.URL), "http:")
}

// adviseTLS says what to do about a failed handshake.
func adviseTLS(e *evidence, err error) string {
	var (
		authority x509.UnknownAuthorityError
		host      x509.HostnameError
		invalid   x509.CertificateInvalidError
		record    tls.RecordHeaderError
	)
	switch {
	case errors.As(err, &authority):
		return "trust the authority that issued the certificate: give its PEM file as " +
			e.setting("tls_config.ca_file") + "; if it is there, the server does not send the " +
			"certificates between its own and the authority's: have it send the whole chain"
	case errors.As(err, &host) && nameless(host.Certificate):
		return "have a new certificate issued, with the host " + host.Host + " as a subjectAltName: " +
			"this one has none, and its common name no longer counts"
	case errors.As(err, &host):
		return "use a name that the certificate covers in " + e.setting("url") +
			", or set tls_config.server_name in a configuration file"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired &&
		time.Now().Before(invalid.Cert.NotBefore):
		return "the certificate is valid only from " +
			invalid.Cert.NotBefore.UTC().Format(time.DateTime) + " UTC on: " +
			"check the clock of this host and that of the authority, or wait"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "renew the certificate, or check the clock of this host"
	case errors.As(err, &invalid) && invalid.Reason == x509.IncompatibleUsage:
		return "OMS, or a proxy in front of it, needs a certificate for servers: this one is for clients"
	case errors.As(err, &record):
		return "the server does not speak TLS: check the port, or use http"
	}
	if proxy := e.proxy(); proxy != "" {
		return "check that the proxy " + proxy + " lets TLS to OMS through: it, or OMS, has ended the " +
			"connection; then which TLS versions, ciphers and client certificates OMS accepts"
	}
	return "check which TLS versions, ciphers and client certificates are accepted by OMS, " +
		"or by a proxy in front of it"
}

// nameless reports whether a certificate is for no host: programs ignore common names.
func nameless(c *x509.Certificate) bool { return len(c.DNSNames)+len(c.IPAddresses) == 0 }

// rejected describes the certificate that was not accepted, if that is the error.
func rejected(err error) string {
	var e *tls.CertificateVerificationError
	if !errors.As(err, &e) {
		return ""
	}
	chain := e.UnverifiedCertificates
	var invalid x509.CertificateInvalidError
	if errors.As(err, &invalid) && invalid.Cert != nil { // which may be another one
		chain = []*x509.Certificate{invalid.Cert}
	}
	own := chain[:min(len(chain), 1)]
	return "; the certificate is " + describeCertificates(chain, omsclient.FirstExpiry(own))
}

func describeTLS(state *tls.ConnectionState) string {
	return tls.VersionName(state.Version) + ", " +
		describeCertificates(state.PeerCertificates, omsclient.CertExpiry(state))
}

func describeCertificates(chain []*x509.Certificate, expiry time.Time) string {
	if len(chain) == 0 {
		return "no certificate"
	}
	const most = 4
	names := slices.Clone(chain[0].DNSNames)
	for _, ip := range chain[0].IPAddresses {
		names = append(names, ip.String())
	}
	if len(names) == 0 {
		names = []string{chain[0].Subject.String()}
	}
	if more := len(names) - most; more > 0 {
		names = append(names[:most], fmt.Sprintf("%d more", more))
	}
	verb := "expires"
	if time.Now().After(expiry) {
		verb = "expired"
	}
	issuer := cmp.Or(chain[0].Issuer.CommonName, chain[0].Issuer.String())
	if !expiry.Equal(chain[0].NotAfter) { // another certificate of the chain expires first
		verb = "with a chain that " + verb
	}
	return fmt.Sprintf("for %s, issued by %s, %s on %s", strings.Join(names, ", "), issuer, verb,
		expiry.UTC().Format(time.DateOnly))
}

func findAnswer(e *evidence) finding {
	fromOMS := e.failedAtOnce(omsclient.Auth) || e.failedAtOnce(omsclient.API) ||
		e.failedAtOnce(omsclient.Limit) // most likely
	if e.failure != nil && e.failure.Page == 1 && !fromOMS {
		whose := ""
		if e.failure.Reason == omsclient.Timeout {
			whose = "OMS "
		}
		return fails(e.advise(), "%s%s", whose, e.cause())
	}
	first := e.firstPage()
	return passes("HTTP status %d, in %s", first.StatusCode, seconds(first.Duration.Seconds()))
}

// firstPage returns the last attempt at the first page.
func (e *evidence) firstPage() omsclient.Request {
	var first omsclient.Request
	for _, r := range e.fetch.Report.FirstListing() {
		if r.Page == 1 {
			first = r
		}
	}
	return first
}

func findAuthentication(e *evidence) finding {
	account := e.account()
	switch {
	case e.failedAtOnce(omsclient.Auth):
		return fails(e.advise(), "%s", e.cause())
	case account == "":
		return warns("if OMS asks for an account, give "+e.setting("http_client.basic_auth"),
			"no account")
	}
	return passes("%s", account)
}

// failedAtOnce reports whether the first page failed for this reason.
func (e *evidence) failedAtOnce(reason omsclient.Reason) bool {
	return e.failure != nil && e.failure.Page == 1 && e.failure.Reason == reason
}

// account describes the credentials, or is empty if there are none.
func (e *evidence) account() string {
	c := &e.target.config.HTTPClient
	switch {
	case c.BasicAuth != nil && c.BasicAuth.Username != "":
		return "account " + c.BasicAuth.Username
	case c.BasicAuth != nil:
		return "basic_auth"
	case c.Authorization != nil:
		return "authorization of type " + c.Authorization.Type
	case c.OAuth2 != nil:
		return "oauth2"
	case c.HTTPHeaders != nil:
		return "http_headers"
	}
	return ""
}

func findAPI(e *evidence) finding {
	if !e.failedAtOnce(omsclient.API) {
		return passes("OMS answered success:true to %s", omsclient.Action)
	}
	detail := e.cause()
	if e.failure.Message != "" {
		detail += fmt.Sprintf(", message %q", e.failure.Message)
	}
	return fails(e.advise(), "%s", detail)
}

func findFirstPage(e *evidence) finding {
	first := e.firstPage()
	return passes("%s, %s, in %s; requestId %q", amount(first.Rows, "row"), size(first.Bytes),
		seconds(first.Duration.Seconds()), first.RequestID)
}

func findClock(e *evidence) finding {
	skew, known := e.fetch.Report.ClockSkew().Get()
	var detail string
	switch {
	case !known:
		return passes("unknown: OMS sends no Date header")
	case skew > 0:
		detail = fmt.Sprintf("OMS's clock is %s ahead of this one", skew)
	case skew < 0:
		detail = fmt.Sprintf("OMS's clock is %s behind this one", -skew)
	default:
		detail = "OMS's clock and this one agree"
	}
	if skew.Abs() < 5*time.Second {
		return passes("%s", detail)
	}
	return warns("synchronize both clocks with NTP: ages and delays are computed with them",
		"%s", detail)
}

func findPages(e *evidence) finding {
	if e.failure != nil {
		return fails(e.advise(), "page %d: %s", e.failure.Page, e.cause())
	}
	p := e.Pages
	detail := fmt.Sprintf("%s with %s in %s; a page took %s to %s, median %s; %s; %s",
		amount(p.Pages, "page"), amount(e.Tasks.Total, "task"), seconds(p.Seconds),
		seconds(p.PageSeconds.Min), seconds(p.PageSeconds.Max), seconds(p.PageSeconds.Median),
		retries(p.Retries), p.compression())
	if p.Listings > 1 {
		detail += "; listed twice, because tasks and totalCount disagreed"
	}
	if p.Inconsistent {
		listed, counted := e.Tasks.Total+e.fetch.Report.Invalid, e.fetch.Report.Total.Value
		difference := fmt.Sprintf("OMS counts %.10g tasks and lists %d", counted, listed)
		if missing := counted - float64(listed); missing > 0 {
			difference += fmt.Sprintf(": %.10g may be missing", missing)
		}
		return warns("check again: if tasks are not created and deleted all the time, look for a page "+
			"that comes empty or short", "%s, and still do; %s", detail, difference)
	}
	return passes("%s", detail)
}

// compression says what the answers cost on the wire.
func (p *pagesReport) compression() string {
	if p.WireBytes >= p.Bytes {
		return size(p.Bytes) + ", not compressed"
	}
	return fmt.Sprintf("%s, with gzip %s", size(p.Bytes), size(p.WireBytes))
}

// findRecording says what was recorded.
func findRecording(r *recorder) finding {
	what := amount(r.pages(), "page")
	if n := r.answers(); n > 0 {
		what += " and " + amount(n, "answer") + " about single tasks"
	}
	f := passes("%s in %s, without names, hosts, users and free text", what, r.dir)
	if r.redactor == nil {
		f = warns("do not share it, or record with --redact",
			"%s in %s, as OMS sent them: with names, hosts, users and free text", what, r.dir)
	}
	if err := r.err(); err != nil {
		f = fails("check the directory, and try again", "not all pages were saved: %s", err)
	}
	f.Name = "recording"
	return f
}

func retries(n int) string {
	if n == 1 {
		return "1 retry"
	}
	return fmt.Sprintf("%d retries", n)
}

func findOmitted(e *evidence) finding {
	omitted := e.Tasks.Omitted
	detail := cmp.Or(counts(omitted), "none: every task has series")
	if n := omitted["excluded"]; n > 0 {
		detail = strings.Replace(detail, fmt.Sprintf("excluded %d", n),
			fmt.Sprintf("excluded %d (%s)", n, e.exclusions()), 1)
	}
	switch {
	case omitted["invalid"] > 0:
		return warns("some elements have no usable id and cannot be shown: "+tellDevelopers,
			"%s", detail)
	case omitted["duplicate"] > 0:
		return warns("check again: tasks moved between pages during the listing, which should be rare",
			"%s", detail)
	}
	return passes("%s", detail)
}

// exclusions says which setting left out how many tasks.
func (e *evidence) exclusions() string {
	var parts []string
	for _, x := range []struct{ property, key string }{
		{"status", "exclude.statuses"}, {"name", "exclude.names"}, {"tag", "exclude.tags"},
	} {
		if n := e.Tasks.Excluded[x.property]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d by %s", n, e.setting(x.key)))
		}
	}
	return strings.Join(parts, ", ")
}

const tellDevelopers = "report it to the exporter's developers, with the version of OMS"

// counts formats numbers by name, such as "duplicate 1, excluded 3".
func counts(by map[string]int) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(by)) {
		parts = append(parts, fmt.Sprintf("%s %d", name, by[name]))
	}
	return strings.Join(parts, ", ")
}

func findValues(e *evidence) finding {
	p := e.Pages
	var found []string
	if len(p.Unknown) > 0 {
		found = append(found, "undocumented: "+counts(p.Unknown))
	}
	if len(p.Unreadable) > 0 {
		found = append(found, "unreadable: "+counts(p.Unreadable))
	}
	if len(p.NotUTF8) > 0 {
		return warns("names with this character in them are damaged, and two may look the same: have "+
			"OMS, or the proxy in front of it, send JSON in UTF-8, whatever charset it declares",
			"%s", strings.Join(append(found, "not UTF-8, shown as \uFFFD: "+counts(p.NotUTF8)), "; "))
	}
	if found == nil {
		return passes("all are known")
	}
	return warns("OMS may be newer than this exporter, which exports undocumented values as they are "+
		"and leaves unreadable ones out: "+tellDevelopers, "%s", strings.Join(found, "; "))
}

func findTasks(e *evidence) finding {
	tasks := e.Tasks
	if tasks.Total == 0 {
		return warns("check which tasks the account may see (ROOT-VIEWER: those of all departments, "+
			"ADMIN-VIEWER: those of its own, USER: only those it created), and the filter, if there is one",
			"OMS lists no tasks")
	}
	var types []string
	for i, g := range tasks.Groups {
		part := fmt.Sprintf("%s %d", cmp.Or(g.Status, "(no status)"), g.Tasks)
		if i == 0 || tasks.Groups[i-1].Type != g.Type {
			types = append(types, cmp.Or(g.Type, "(no type)")+": "+part)
		} else {
			types[len(types)-1] += ", " + part
		}
	}
	return passes("%s", strings.Join(types, "; "))
}

func findConcurrency(e *evidence) finding {
	s := e.Scrape
	var parts []string
	for _, estimate := range s.Estimates {
		parts = append(parts, fmt.Sprintf("%d: %s", estimate.Concurrency, seconds(estimate.Seconds)))
	}
	return passes("now %d; estimated listing time with %s", s.Concurrency, strings.Join(parts, ", "))
}

func findScrape(e *evidence) finding {
	s := e.Scrape
	took := fmt.Sprintf("the listing took %s, and has %s", seconds(s.Seconds), seconds(s.Budget))
	detail := fmt.Sprintf("%d series, %s as text, %s with gzip; Prometheus needs about %s of memory "+
		"for them, with the shipped rules",
		s.Series, size(s.Bytes), size(s.GzipBytes), size(s.PrometheusBytes))
	switch {
	case !s.Fits:
		return fails(e.adviseScrape(s), "too slow: the listing took %s, but has only %s; %s",
			seconds(s.Seconds), seconds(s.Budget), detail)
	case s.Seconds >= tight*s.Budget:
		return warns(e.adviseScrape(s), "little time left: %s; %s", took, detail)
	}
	return passes("%s; %s", took, detail)
}

// adviseScrape says how to make a listing fit.
func (e *evidence) adviseScrape(s *scrapeReport) string {
	var ways []string
	if s.Recommended > 0 {
		ways = append(ways, fmt.Sprintf("set %s to %d",
			e.setting("concurrency"), s.Recommended))
	}
	if e.target.config.PageSize < omsclient.MaxPageSize {
		ways = append(ways, fmt.Sprintf("set %s to %d",
			e.setting("page_size"), omsclient.MaxPageSize))
	}
	needed := s.Seconds / tight
	var raise []string
	if needed > e.budget.Seconds() {
		raise = append(raise, fmt.Sprintf("Prometheus' scrape_timeout to %.0f s",
			math.Ceil(needed+e.offset.Seconds())))
	}
	if needed > e.limit.Seconds() {
		raise = append(raise, fmt.Sprintf("%s to %.0f s", e.setting("timeout"), math.Ceil(needed)))
	}
	return strings.Join(append(ways, "raise "+strings.Join(raise, " and ")), ", or ")
}

var errorPrefix = regexp.MustCompile(`^list projects: page \d+: (?:Post "[^"]*": )?`)

// advise says what to do about a page that failed.
func (e *evidence) advise() string {
	switch f := e.failure; f.Reason {
	case omsclient.Timeout:
		return e.adviseTimeout()
	case omsclient.Auth:
		return e.adviseAuth()
	case omsclient.HTTPStatus:
		return e.adviseStatus()
	case omsclient.Decode, omsclient.Connect:
		if f.Page > 1 {
			return adviseLaterPage
		}
	case omsclient.API:
		return "check that the account may call the API, that OMS accepts the configured filter, " +
			"if any, and what OMS's log says about the requestId"
	case omsclient.Limit:
		return "raise " + e.setting("max_tasks") + ", or list fewer tasks with a filter"
	case omsclient.Pagination:
		return tellDevelopers
	case omsclient.TLS:
		return adviseTLS(e, f)
	}
	if e.failure.Reason == omsclient.Decode {
		return "check that " + e.setting("url") + " is that of an OMS console, V4.1.0 or later, " +
			"and that nothing in front of it answers instead"
	}
	if e.isPlainHTTP() && e.failure.StatusCode == 0 {
		return "try https in " + e.setting("url") + ": a port for TLS ends connections like this; " +
			"otherwise look at OMS, and at proxies and firewalls in between"
	}
	return "check again; if it persists, look at OMS, and at proxies and firewalls in between"
}

// adviseLaterPage is for pages after one that came from OMS.
const adviseLaterPage = "OMS has answered before, so the settings are right: check again, " +
	"and if it persists, look at OMS's log, and at proxies and balancers in between"

func (e *evidence) adviseTimeout() string {
	limit := time.Duration(e.target.config.PageTimeout)
	for _, r := range e.fetch.Report.Requests {
		if r.Page == e.failure.Page && limit > 0 && r.Duration >= limit {
			return fmt.Sprintf("find out why OMS is slow, or raise %s, which is %s",
				e.setting("page_timeout"), limit)
		}
	}
	return fmt.Sprintf("find out why OMS is slow, or list fewer tasks: the check waited %s",
		e.target.config.Timeout)
}

func (e *evidence) adviseAuth() string {
	switch {
	case e.failure.StatusCode == http.StatusProxyAuthRequired:
		return e.adviseProxy()
	case e.failure.StatusCode == http.StatusForbidden:
		return "the account may not do this: give it a role that may view tasks, or find out who answered"
	case e.account() == "":
		return "OMS asks for an account: give " + e.setting("http_client.basic_auth")
	}
	return "check name and password, which are those of an account of the OMS console: " +
		e.setting("http_client.basic_auth")
}

func (e *evidence) adviseStatus() string {
	where := e.setting("url")
	switch status := e.failure.StatusCode; {
	case status == http.StatusTooManyRequests:
		return "OMS or a proxy limits requests: lower " + e.setting("concurrency") +
			", or scrape less often"
	case e.failure.Page > 1:
		return adviseLaterPage
	case status == http.StatusNotModified:
		return "a cache in between answers instead of OMS: have it let POST requests through"
	case status >= 300 && status < 400:
		return "use the URL that it redirects to, without the path of a login page, as " + where
	case status == http.StatusBadRequest && e.isPlainHTTP():
		return "try https in " + where
	case status >= http.StatusInternalServerError:
		return "check that OMS is running: a proxy in front of it may have answered instead"
	}
	return "check that " + where + " is that of the OMS console"
}
