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

// A checkStep reads one thing from the evidence. The steps before it found
// nothing that makes it pointless.
type checkStep struct {
	name string
	find func(*evidence) finding
}

// checkSteps are all steps, in the order of a request's life. Their names are in
// the JSON that programs read.
var checkSteps = []checkStep{
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
	{"concurrency", findConcurrency},
	{"scrape", findScrape},
}

// steps takes the steps, up to the first that fails.
func (e *evidence) steps() []finding {
	var findings []finding
	over := false
	for _, step := range checkSteps {
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

// cause returns why there is no listing, without what every cause begins with.
func (e *evidence) cause() string {
	if e.failure == nil {
		return ""
	}
	return errorPrefix.ReplaceAllString(e.failure.Error(), "")
}

// setting returns what people have to change: a flag, or a key in the file.
func (e *evidence) setting(flag, key string) string {
	if e.file == "" {
		return "--" + flag
	}
	return key
}

func findConfiguration(e *evidence) finding {
	source := "flags and environment"
	if e.file != "" {
		source = fmt.Sprintf("%s, %s", e.file, amount(e.targets, "target"))
	}
	if unknown := e.config.unknownStatuses(); unknown != nil {
		return warns("if they are not new in OMS, correct "+
			e.setting("oms.exclude-status", "filter.statuses or exclude.statuses"),
			"%s; unknown statuses: %s", source, strings.Join(unknown, ", "))
	}
	return passes("%s", source)
}

func findName(e *evidence) finding {
	c := &e.connection
	host, _, err := net.SplitHostPort(c.to)
	if err != nil { // no connection was asked for
		return fails("see http_client: credentials, their files, and the proxy",
			"no request could be made: %s", e.cause())
	}
	whose := host
	if e.proxy != "" {
		whose = "the proxy " + host
	}
	switch {
	case !c.lookup.tried():
		return passes("%s is an address", whose)
	case !c.lookup.ok():
		return fails("correct the host in "+e.whereProxyOr("oms.url", "url")+", or see the name servers "+
			"of this host or container", "%s: %s", whose, e.cause())
	}
	return passes("%s is %s, in %s", whose, strings.Join(c.addresses, ", "),
		seconds(c.lookup.took().Seconds()))
}

// whereProxyOr returns the setting that decides where to connect to.
func (e *evidence) whereProxyOr(flag, key string) string {
	if e.proxy != "" {
		return "proxy_url"
	}
	return e.setting(flag, key)
}

func findConnection(e *evidence) finding {
	c := &e.connection
	whose := ""
	if e.proxy != "" {
		whose = " of the proxy " + e.proxy
	}
	switch {
	case !c.dial.ok():
		return fails("see whether OMS runs and listens there, the port in "+
			e.whereProxyOr("oms.url", "url")+", and firewalls in between",
			"no connection to %s%s: %s", c.to, whose, e.cause())
	case !c.used && !c.handshake.tried(): // only with a proxy is there something in between
		return fails("see the settings of the proxy, and whether it may connect to OMS",
			"the proxy %s does not connect to OMS: %s", c.to, e.cause())
	}
	return passes("%s%s, in %s", c.remote, whose, seconds(c.dial.took().Seconds()))
}

func findTLS(e *evidence) finding {
	c := &e.connection
	switch {
	case strings.HasPrefix(strings.ToLower(e.config.URL), "http:"):
		return warns("use https, if OMS or something before it offers it",
			"plain http: the password travels in the clear")
	case !c.handshake.ok():
		return fails(adviseTLS(e, c.handshake.err), "%s", e.cause()+rejected(c.handshake.err))
	}
	described := describeTLS(&c.tls)
	left := time.Until(firstExpiry(c.tls.PeerCertificates))
	switch {
	case e.config.HTTPClient.TLSConfig.InsecureSkipVerify:
		return warns("trust OMS's authority instead: "+
			e.setting("oms.ca-file", "tls_config.ca_file"),
			"%s; not verified: anyone in between can read the password", described)
	case left < 30*24*time.Hour:
		return warns("renew the certificate", "%s: soon", described)
	}
	return passes("%s", described)
}

// adviseTLS tells what to do about a handshake that failed.
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
			e.setting("oms.ca-file", "tls_config.ca_file")
	case errors.As(err, &host):
		return "use a name that the certificate is for in " + e.setting("oms.url", "url") +
			", or tls_config.server_name in a configuration file"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "renew the certificate, or see the clock of this host"
	case errors.As(err, &record):
		return "what answers there does not speak TLS: see the port, or use http"
	}
	return "see which versions, ciphers and client certificates OMS or a proxy before it wants"
}

// rejected describes the certificate that a client did not accept, if it was
// that.
func rejected(err error) string {
	var e *tls.CertificateVerificationError
	if !errors.As(err, &e) {
		return ""
	}
	return "; the certificate is " + describeCertificates(e.UnverifiedCertificates)
}

func describeTLS(state *tls.ConnectionState) string {
	return tls.VersionName(state.Version) + ", " + describeCertificates(state.PeerCertificates)
}

func describeCertificates(chain []*x509.Certificate) string {
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
	expiry := firstExpiry(chain)
	verb := "expires"
	if time.Now().After(expiry) {
		verb = "expired"
	}
	return fmt.Sprintf("for %s, issued by %s, %s on %s", strings.Join(names, ", "),
		cmp.Or(chain[0].Issuer.CommonName, chain[0].Issuer.String()), verb,
		expiry.UTC().Format(time.DateOnly))
}

// firstExpiry returns when the first certificate of a chain expires.
func firstExpiry(chain []*x509.Certificate) time.Time {
	var first time.Time
	for _, certificate := range chain {
		if first.IsZero() || certificate.NotAfter.Before(first) {
			first = certificate.NotAfter
		}
	}
	return first
}

func findAnswer(e *evidence) finding {
	said := e.failedAtOnce(omsclient.Auth) || e.failedAtOnce(omsclient.API) // by OMS, most likely
	if e.failure != nil && e.failure.Page == 1 && !said {
		return fails(e.advise(), "%s", e.cause())
	}
	first := e.firstPage()
	return passes("HTTP status %d, in %s", first.StatusCode, seconds(first.Duration.Seconds()))
}

// firstPage returns the last attempt for the first page.
func (e *evidence) firstPage() omsclient.Request {
	var first omsclient.Request
	for _, r := range firstListing(e.fetch.Report.Requests) {
		if r.Page == 1 {
			first = r
		}
	}
	return first
}

func findAuthentication(e *evidence) finding {
	anonymous := e.account() == ""
	switch {
	case e.failedAtOnce(omsclient.Auth):
		return fails(e.advise(), "%s", e.cause())
	case anonymous:
		return warns("if OMS does ask for an account, give "+e.whereAccount(), "no account")
	}
	return passes("%s", e.account())
}

// failedAtOnce reports whether the first page failed for a reason.
func (e *evidence) failedAtOnce(reason omsclient.Reason) bool {
	return e.failure != nil && e.failure.Page == 1 && e.failure.Reason == reason
}

// account describes the credentials, or is empty if there are none.
func (e *evidence) account() string {
	c := &e.config.HTTPClient
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

func (e *evidence) whereAccount() string {
	return e.setting("oms.username and --oms.password-file", "http_client.basic_auth")
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
	for _, r := range e.fetch.Report.Requests {
		skew, known := r.ClockSkew.Get()
		if !known {
			continue
		}
		detail := "OMS's clock and this one agree"
		switch {
		case skew > 0:
			detail = fmt.Sprintf("OMS's clock is %s ahead of this one", skew)
		case skew < 0:
			detail = fmt.Sprintf("OMS's clock is %s behind this one", -skew)
		}
		if skew.Abs() < 5*time.Second {
			return passes("%s", detail)
		}
		return warns("set both clocks by NTP: they tell how old is what OMS says", "%s", detail)
	}
	return passes("not known: OMS sends no Date")
}

func findPages(e *evidence) finding {
	if e.failure != nil {
		return fails(e.advise(), "page %d: %s", e.failure.Page, e.cause())
	}
	p := e.pages
	detail := fmt.Sprintf("%s with %s in %s; a page took %s to %s, median %s; %s",
		amount(p.Pages, "page"), amount(e.tasks.Total, "task"), seconds(p.Seconds),
		seconds(p.PageSeconds.Min), seconds(p.PageSeconds.Max), seconds(p.PageSeconds.Median),
		retries(p.Retries))
	if p.Listings > 1 {
		detail += "; listed twice, since tasks and totalCount disagree"
	}
	if p.Inconsistent {
		return warns("check again: unless tasks come and go all the time, one may be missing",
			"%s, and still do", detail)
	}
	return passes("%s", detail)
}

func retries(n int) string {
	if n == 1 {
		return "1 retry"
	}
	return fmt.Sprintf("%d retries", n)
}

func findOmitted(e *evidence) finding {
	omitted := e.tasks.Omitted
	detail := cmp.Or(counts(omitted), "none: every task has series")
	switch {
	case omitted["limit"] > 0:
		return fails("raise "+e.setting("oms.max-tasks", "max_tasks")+": above it no task has series, "+
			"or list fewer tasks", "%s; the limit is %d", detail, e.config.MaxTasks)
	case omitted["invalid"] > 0:
		return warns("some elements have no usable id and cannot be shown: tell the exporter's makers, "+
			"with the version of OMS", "%s", detail)
	case omitted["duplicate"] > 0:
		return warns("check again: tasks have moved between pages meanwhile, which should be rare",
			"%s", detail)
	}
	return passes("%s", detail)
}

// counts writes numbers by name, such as "duplicate 1, excluded 3".
func counts(by map[string]int) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(by)) {
		parts = append(parts, fmt.Sprintf("%s %d", name, by[name]))
	}
	return strings.Join(parts, ", ")
}

func findValues(e *evidence) finding {
	p := e.pages
	var found []string
	if len(p.Unknown) > 0 {
		found = append(found, "not documented: "+counts(p.Unknown))
	}
	if len(p.Unreadable) > 0 {
		found = append(found, "not readable: "+counts(p.Unreadable))
	}
	if found == nil {
		return passes("all are known")
	}
	return warns("OMS may be newer than this exporter: what is not documented is passed on as it is, "+
		"what is not readable is left out; tell the exporter's makers", "%s", strings.Join(found, "; "))
}

func findTasks(e *evidence) finding {
	tasks := e.tasks
	if tasks.Total == 0 {
		return warns("see whether the account may see tasks: ROOT-VIEWER sees those of all departments, "+
			"ADMIN-VIEWER those of its own, USER only what it created; and see the filter, if there is one",
			"OMS lists no task")
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
	s := e.scrape
	var parts []string
	for _, estimate := range s.Estimates {
		parts = append(parts, fmt.Sprintf("%d: %s", estimate.Concurrency, seconds(estimate.Seconds)))
	}
	return passes("now %d; estimated for a listing with %s", s.Concurrency, strings.Join(parts, ", "))
}

func findScrape(e *evidence) finding {
	s := e.scrape
	detail := fmt.Sprintf("the listing took %s of %s; %d series, %s as text, %s with gzip",
		seconds(s.Seconds), seconds(s.Budget), s.Series, size(s.Bytes), size(s.GzipBytes))
	switch {
	case !s.Fits:
		return fails(e.adviseScrape(s), "too slow: %s", detail)
	case s.Seconds >= tight*s.Budget:
		return warns(e.adviseScrape(s), "little time left: %s", detail)
	}
	return passes("%s", detail)
}

// adviseScrape tells how to make a listing fit.
func (e *evidence) adviseScrape(s *scrapeReport) string {
	var ways []string
	if s.Recommended > 0 {
		ways = append(ways, fmt.Sprintf("set %s to %d",
			e.setting("oms.concurrency", "concurrency"), s.Recommended))
	}
	if e.config.PageSize < omsclient.MaxPageSize {
		ways = append(ways, fmt.Sprintf("set %s to %d",
			e.setting("oms.page-size", "page_size"), omsclient.MaxPageSize))
	}
	needed := s.Seconds / tight
	var raise []string
	if needed > e.budget.Seconds() {
		raise = append(raise, fmt.Sprintf("Prometheus' scrape_timeout to %.0f s",
			math.Ceil(needed+e.offset.Seconds())))
	}
	if needed > e.limit.Seconds() {
		raise = append(raise, fmt.Sprintf("%s to %.0f s",
			e.setting("scrape.timeout", "timeout of the target, or --scrape.timeout,"), math.Ceil(needed)))
	}
	return strings.Join(append(ways, "raise "+strings.Join(raise, " and ")), ", or ")
}

var errorPrefix = regexp.MustCompile(`^list projects: page \d+: (?:Post "[^"]*": )?`)

// advise tells what to do about the failure of a page.
func (e *evidence) advise() string {
	switch f := e.failure; f.Reason {
	case omsclient.Timeout:
		return e.adviseTimeout()
	case omsclient.Auth:
		return e.adviseAuth()
	case omsclient.HTTPStatus:
		return e.adviseStatus()
	case omsclient.API:
		return "see whether the account may call the API, whether OMS takes the filter that is " +
			"configured, if one is, and what OMS's log says of the requestId"
	case omsclient.Decode:
		return "see whether " + e.setting("oms.url", "url") + " is that of OMS's console, V4.1.0 or " +
			"later, and nothing before it answers in its place"
	case omsclient.Pagination:
		return "tell the exporter's makers, with the version of OMS"
	case omsclient.TLS:
		return adviseTLS(e, f)
	}
	return "check again; if it stays, see OMS, and proxies and firewalls in between"
}

func (e *evidence) adviseTimeout() string {
	most := time.Duration(e.config.PageTimeout)
	for _, r := range e.fetch.Report.Requests {
		if r.Page == e.failure.Page && most > 0 && r.Duration >= most {
			return fmt.Sprintf("see why OMS is slow, or raise %s, which is %s",
				e.setting("oms.page-timeout", "page_timeout"), e.config.PageTimeout)
		}
	}
	return fmt.Sprintf("see why OMS is slow, or list fewer tasks: the check has waited %s",
		e.config.Timeout)
}

func (e *evidence) adviseAuth() string {
	switch {
	case e.failure.StatusCode == http.StatusForbidden:
		return "the account may not do this: give it a role that may view tasks, or see who answered"
	case e.account() == "":
		return "OMS asks for an account: give " + e.whereAccount()
	}
	return "see name and password: they are those of an account of OMS's console; " + e.whereAccount()
}

func (e *evidence) adviseStatus() string {
	where := e.setting("oms.url", "url")
	switch status := e.failure.StatusCode; {
	case status >= 300 && status < 400:
		return "use the URL that it redirects to, without the path of a login page, as " + where
	case status == http.StatusBadRequest && strings.HasPrefix(strings.ToLower(e.config.URL), "http:"):
		return "try https in " + where
	case status == http.StatusTooManyRequests:
		return "OMS or a proxy limits requests: lower " + e.setting("oms.concurrency", "concurrency") +
			", or scrape less often"
	case status >= http.StatusInternalServerError:
		return "see whether OMS runs: a proxy before it may answer in its place"
	}
	return "see whether " + where + " is that of OMS's console"
}
