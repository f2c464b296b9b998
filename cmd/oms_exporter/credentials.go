package main

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"unicode"

	"github.com/prometheus/common/config"
	"github.com/prometheus/common/version"

	"oms_exporter/omsclient"
)

// Credentials are what an HTTP client authenticates with. They are an
// [http.RoundTripper] that reads all files of the configuration for every request:
// a file that changes is used at once, and a file that cannot be used sends
// nothing. They are safe for concurrent use.
type credentials struct {
	config  config.HTTPClientConfig
	setting settingName
	styles  authStyles // stay the same when the secret changes

	mu          sync.Mutex
	fingerprint string            // of the contents of the files
	transport   http.RoundTripper // for these contents; nil before the first request
}

// RoundTrip implements [http.RoundTripper].
func (c *credentials) RoundTrip(r *http.Request) (*http.Response, error) {
	transport, _, err := c.current()
	if err != nil {
		if r.Body != nil {
			_ = r.Body.Close()
		}
		return nil, &omsclient.Error{Reason: omsclient.Credentials, Err: err}
	}
	return transport.RoundTrip(r)
}

// CloseIdleConnections closes idle connections.
func (c *credentials) CloseIdleConnections() {
	c.mu.Lock()
	defer c.mu.Unlock()
	closeIdle(c.transport)
}

func closeIdle(transport http.RoundTripper) {
	if t, ok := transport.(interface{ CloseIdleConnections() }); ok {
		t.CloseIdleConnections()
	}
}

// current returns the transport for what the files contain now, and a fingerprint
// of it. Settings that are not files stay the same for as long as c exists. The
// error names the setting and the file.
func (c *credentials) current() (http.RoundTripper, string, error) {
	inline, fingerprint, problems := withContents(&c.config)
	if len(problems) > 0 {
		texts := make([]string, len(problems))
		for i, p := range problems {
			texts[i] = c.setting(p.key) + ": " + p.text
		}
		return nil, "", errors.New(strings.Join(texts, "; "))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.transport == nil || fingerprint != c.fingerprint {
		transport, err := newTransport(*inline, &c.styles)
		if err != nil {
			return nil, "", fmt.Errorf("%s: %w", c.setting("http_client"), err)
		}
		closeIdle(c.transport)
		c.transport, c.fingerprint = transport, fingerprint
	}
	return c.transport, fingerprint, nil
}

// Fingerprint is for [omsclient.Options].
func (c *credentials) Fingerprint() (string, error) {
	_, fingerprint, err := c.current()
	return fingerprint, err
}

// newTransport returns a transport for a configuration without files.
func newTransport(c config.HTTPClientConfig, styles *authStyles) (http.RoundTripper, error) {
	rt, err := newConnections(c)
	if err != nil {
		return nil, err
	}
	if a := c.Authorization; a != nil {
		secret := config.NewInlineSecret(string(a.Credentials))
		rt = config.NewAuthorizationCredentialsRoundTripper(a.Type, secret, rt)
	}
	if a := c.BasicAuth; a != nil {
		rt = config.NewBasicAuthRoundTripper(
			config.NewInlineSecret(a.Username), config.NewInlineSecret(string(a.Password)), rt)
	}
	if c.HTTPHeaders != nil {
		rt = config.NewHeadersRoundTripper(c.HTTPHeaders, rt)
	}
	if c.OAuth2 == nil {
		return rt, nil
	}
	return newTokenTransport(c.OAuth2, styles, rt)
}

// maxResponseHeader is how many bytes of headers an answer may have.
const maxResponseHeader = 64 << 10

// newConnections returns a transport that authenticates nobody: what prometheus/common
// makes for TLS, proxy and HTTP/2, with a bound on the headers of answers, for which that
// has no option.
func newConnections(c config.HTTPClientConfig) (http.RoundTripper, error) {
	rt, err := config.NewRoundTripperFromConfig(config.HTTPClientConfig{
		TLSConfig: c.TLSConfig, ProxyConfig: c.ProxyConfig, EnableHTTP2: c.EnableHTTP2,
	}, "oms")
	if err != nil {
		return nil, err
	}
	transport, ok := rt.(*http.Transport)
	if !ok { // it would reload certificates from files, of which there are none anymore
		return nil, fmt.Errorf("the transport is a %T", rt)
	}
	transport.MaxResponseHeaderBytes = maxResponseHeader
	transport.OnProxyConnectResponse = refusalOfProxy
	rt = config.NewUserAgentRoundTripper(userAgent(), transport)
	if transport.Proxy == nil {
		return rt, nil
	}
	return proxied{rt, transport.Proxy}, nil
}

// Proxied adds to answers what their requests have told the proxy, so that omsclient
// knows that secret too and withholds it.
type proxied struct {
	http.RoundTripper
	proxy func(*http.Request) (*url.URL, error)
}

func (p proxied) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := p.RoundTripper.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	if proxy, err := p.proxy(r); err == nil && proxy != nil && proxy.User != nil {
		password, _ := proxy.User.Password()
		told := http.Request{Header: http.Header{}}
		told.SetBasicAuth(proxy.User.Username(), password)
		response.Request = response.Request.Clone(r.Context())
		response.Request.Header.Set("Proxy-Authorization", told.Header.Get("Authorization"))
	}
	return response, nil
}

// CloseIdleConnections closes idle connections.
func (p proxied) CloseIdleConnections() { closeIdle(p.RoundTripper) }

// refusalOfProxy returns an error for a proxy that does not connect to OMS. It does not
// quote the proxy, as that of net/http does.
func refusalOfProxy(_ context.Context, _ *url.URL, _ *http.Request, r *http.Response) error {
	if r.StatusCode == http.StatusOK {
		return nil
	}
	return omsclient.ProxyRefusal(r.StatusCode)
}

func userAgent() string { return "oms_exporter/" + version.Version }

// A secretFile is a setting of an HTTP client that names a file with a secret or
// with certificates.
type secretFile struct {
	key, name string
	kind      fileKind
	set       func(text string) // puts the contents where the name was
}

// A fileKind is what a file has.
type fileKind int

const (
	oneSecret   fileKind = iota // in one line
	privateKey                  // in PEM format
	certificate                 // in PEM format, and no secret
)

// read returns the contents, without what editors and shells put around them.
func (f *secretFile) read() (string, error) {
	limit := int64(maxSecretFile)
	if f.kind == certificate {
		limit = maxOtherFile
	}
	content, err := readFileInTime(f.name, limit)
	text := trimmed(string(content))
	switch {
	case err != nil:
		return "", err
	case text == "" && isPipe(f.name):
		return "", fmt.Errorf("%s is a pipe, which can be read only once: use a file", f.name)
	case text == "":
		return "", fmt.Errorf("%s is empty", f.name)
	case f.kind == oneSecret && strings.Contains(text, "\x00"):
		return "", fmt.Errorf("%s has a NUL character: save it as text in UTF-8", f.name)
	case f.kind == oneSecret && strings.ContainsAny(text, "\r\n"):
		return "", fmt.Errorf("%s has more than one line", f.name)
	}
	return text, nil
}

func isPipe(name string) bool {
	info, err := os.Stat(name)
	return err == nil && info.Mode()&os.ModeNamedPipe != 0
}

// trimmed removes white space, line breaks and byte order marks around a text.
func trimmed(text string) string {
	return strings.TrimFunc(text, func(r rune) bool { return unicode.IsSpace(r) || r == '\uFEFF' })
}

// secretFiles returns the files that a configuration names.
func secretFiles(c *config.HTTPClientConfig) []secretFile {
	var files []secretFile
	add := func(key string, name *string, kind fileKind, set func(string)) {
		if *name != "" {
			files = append(files, secretFile{"http_client." + key, *name, kind, func(text string) {
				*name = ""
				set(text)
			}})
		}
	}
	addTLS := func(key string, t *config.TLSConfig) {
		add(key+".ca_file", &t.CAFile, certificate, into(&t.CA))
		add(key+".cert_file", &t.CertFile, certificate, into(&t.Cert))
		add(key+".key_file", &t.KeyFile, privateKey, into(&t.Key))
	}
	addTLS("tls_config", &c.TLSConfig)
	if a := c.BasicAuth; a != nil {
		add("basic_auth.username_file", &a.UsernameFile, oneSecret, into(&a.Username))
		add("basic_auth.password_file", &a.PasswordFile, oneSecret, into(&a.Password))
	}
	if a := c.Authorization; a != nil {
		add("authorization.credentials_file", &a.CredentialsFile, oneSecret, into(&a.Credentials))
	}
	if o := c.OAuth2; o != nil {
		add("oauth2.client_secret_file", &o.ClientSecretFile, oneSecret, into(&o.ClientSecret))
		add("oauth2.client_certificate_key_file", &o.ClientCertificateKeyFile, privateKey,
			into(&o.ClientCertificateKey))
		addTLS("oauth2.tls_config", &o.TLSConfig)
	}
	if c.HTTPHeaders != nil {
		headers := c.HTTPHeaders.Headers
		for _, name := range slices.Sorted(maps.Keys(headers)) {
			for i, file := range headers[name].Files {
				add(fmt.Sprintf("http_headers.%s.files[%d]", name, i), &file, oneSecret, func(text string) {
					h := headers[name]
					h.Files, h.Secrets = nil, append(slices.Clip(h.Secrets), config.Secret(text))
					headers[name] = h
				})
			}
		}
	}
	return files
}

func into[S ~string](setting *S) func(string) {
	return func(text string) { *setting = S(text) }
}

// withContents returns a configuration with the contents of files in place of their
// names, and a fingerprint of the contents. If there are problems, it is incomplete.
func withContents(c *config.HTTPClientConfig) (*config.HTTPClientConfig, string, []problem) {
	filled := cloned(c)
	hash := sha256.New()
	var problems []problem
	for _, f := range secretFiles(filled) {
		text, err := f.read()
		if err != nil {
			problems = append(problems, problem{f.key, err.Error()})
			continue
		}
		fmt.Fprintf(hash, "%q", text)
		f.set(text)
	}
	if problems == nil {
		problems = unusableKeys(c, filled)
	}
	return filled, fmt.Sprintf("%x", hash.Sum(nil)), problems
}

// cloned returns a copy that shares nothing with c that [secretFile] sets.
func cloned(c *config.HTTPClientConfig) *config.HTTPClientConfig {
	copied := *c
	if c.BasicAuth != nil {
		copied.BasicAuth = new(*c.BasicAuth)
	}
	if c.Authorization != nil {
		copied.Authorization = new(*c.Authorization)
	}
	if c.OAuth2 != nil {
		copied.OAuth2 = new(*c.OAuth2)
	}
	if c.HTTPHeaders != nil {
		copied.HTTPHeaders = &config.Headers{Headers: maps.Clone(c.HTTPHeaders.Headers)}
	}
	return &copied
}

// unusableKeys says which certificates and keys are none. The second configuration
// is the first one with the contents of the files; problems of the first alone are
// found if both are the same.
func unusableKeys(c, filled *config.HTTPClientConfig) []problem {
	problems := unusablePair("http_client.tls_config", &c.TLSConfig, &filled.TLSConfig)
	if a := c.BasicAuth; a != nil && a.UsernameFile != "" &&
		strings.Contains(filled.BasicAuth.Username, ":") {
		problems = append(problems, problem{
			"http_client.basic_auth.username_file", a.UsernameFile + ": " + colonInName,
		})
	}
	if c.OAuth2 == nil {
		return problems
	}
	problems = append(problems, unusablePair(
		"http_client.oauth2.tls_config", &c.OAuth2.TLSConfig, &filled.OAuth2.TLSConfig)...)
	key := filled.OAuth2.ClientCertificateKey
	if block, _ := pem.Decode([]byte(key)); key != "" && block == nil {
		problems = append(problems, ofFile("http_client.oauth2.client_certificate_key",
			c.OAuth2.ClientCertificateKeyFile, "not a key in PEM format"))
	}
	return problems
}

func unusablePair(key string, c, filled *config.TLSConfig) []problem {
	var problems []problem
	if filled.CA != "" && !x509.NewCertPool().AppendCertsFromPEM([]byte(filled.CA)) {
		problems = append(problems, ofFile(key+".ca", c.CAFile, notCertificate(filled.CA)))
	}
	if filled.Cert == "" || filled.Key == "" {
		return problems
	}
	if _, err := tls.X509KeyPair([]byte(filled.Cert), []byte(filled.Key)); err == nil {
		return problems
	}
	if block, _ := pem.Decode([]byte(filled.Cert)); block == nil {
		return append(problems, ofFile(key+".cert", c.CertFile, notCertificate(filled.Cert)))
	}
	return append(problems, ofFile(key+".key", c.KeyFile,
		"not the private key of the certificate, in PEM format"))
}

// notCertificate says what there is in place of certificates.
func notCertificate(text string) string {
	block, _ := pem.Decode([]byte(text))
	switch {
	case block != nil && strings.HasSuffix(block.Type, "PRIVATE KEY"):
		return "a key, not a certificate"
	case strings.HasPrefix(text, "\x30\x82"):
		return "a certificate in DER format: convert it to PEM, such as with openssl x509 -inform der"
	}
	return "not a certificate in PEM format"
}

// ofFile returns a problem of a setting, or of the file in its place.
func ofFile(key, file, text string) problem {
	if file == "" {
		return problem{key, text}
	}
	return problem{key + "_file", file + ": " + text}
}
