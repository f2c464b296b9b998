package main

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"oms_exporter/omsclient"
)

// A tokenServer gives out a token to whoever has the secret.
type tokenServer struct {
	mu     sync.Mutex
	secret string
	token  string
	asked  []url.Values                   // the forms
	answer func(http.ResponseWriter) bool // if any, instead; false: as ever
}

// ServeHTTP implements [http.Handler].
func (s *tokenServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := r.ParseForm(); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	s.asked = append(s.asked, r.PostForm)
	if s.answer != nil && s.answer(w) {
		return
	}
	if _, secret, _ := r.BasicAuth(); secret != s.secret && r.PostForm.Get("assertion") == "" {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusUnauthorized)
		fmt.Fprintf(w, `{"error": "invalid_client", "error_description": "not %s"}`, secret)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(w, `{"access_token": %q, "token_type": "Bearer", "expires_in": 3600}`, s.token)
}

func (s *tokenServer) forms() []url.Values {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked
}

func (s *tokenServer) set(change func(s *tokenServer)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s)
}

// oauthClient is the YAML of a target with an account at a token server.
func oauthClient(oms, tokens, secretFile string) string {
	return fmt.Sprintf("  oms: {url: %q, http_client: {oauth2: {client_id: me, client_secret_file: %q, token_url: %q}}}\n",
		oms, secretFile, tokens)
}

func TestATokenIsKeptUntilOMSRefusesItOrTheSecretChanges(t *testing.T) {
	t.Parallel()
	g := &guard{accept: "Bearer first"}
	tokens := &tokenServer{secret: "canary", token: "first"}
	secret := writeFile(t, byteOrderMark+"canary\r\n")
	p := exporterOf(t, oauthClient(serveOMS(t, g), serveOMS(t, tokens), secret))
	probe := func(want string, requests int) {
		t.Helper()
		if got := verdict(t, p.url+"/probe?target=oms"); got != want {
			t.Errorf("%s, want %s", got, want)
		}
		if n := len(tokens.forms()); n != requests {
			t.Errorf("%d requests for tokens, want %d", n, requests)
		}
	}

	probe("up, 3 tasks", 1)
	probe("up, 3 tasks", 1)
	tokens.set(func(s *tokenServer) { s.token, s.secret = "second", "canary2" })
	g.mu.Lock()
	g.accept = "Bearer second"
	g.mu.Unlock()
	probe("down: auth", 2) // the first token was refused, and so was the secret
	probe("down: auth", 2) // which rests
	rewriteFile(t, secret, "canary2")
	probe("up, 3 tasks", 3)
	if err := os.Remove(secret); err != nil {
		t.Fatal(err)
	}
	probe("down: credentials", 3)
	expectLogged(t, p, `reason=credentials err=".*http_client\.oauth2\.client_secret_file: open `+secret)
	if strings.Contains(p.stderr.String(), "canary") {
		t.Errorf("a secret:\n%s", p.stderr)
	}
}

// TestASecretIsSentOncePerTry to token servers that take it only in one of the two ways.
func TestASecretIsSentOncePerTry(t *testing.T) {
	t.Parallel()
	for name, inForm := range map[string]bool{"in a header": false, "in the form": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const wrong = http.StatusUnauthorized
			given := func(r *http.Request) string {
				if _, secret, ok := r.BasicAuth(); ok != inForm {
					return secret + r.PostFormValue("client_secret")
				}
				return ""
			}
			var mu sync.Mutex
			var sent int
			secret := "changed"
			server := serveOMS(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				mu.Lock()
				defer mu.Unlock()
				if sent++; given(r) != secret {
					w.WriteHeader(wrong)
					return
				}
				w.Header().Set("Content-Type", "application/json")
				fmt.Fprint(w, `{"access_token": "x", "token_type": "Bearer", "expires_in": 1}`)
			}))
			transport := transportOf(t, server) // whose secret is x
			tries := func(n int) (requests []int, good bool) {
				for range n {
					mu.Lock()
					sent = 0
					mu.Unlock()
					request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, serveOMS(t, &guard{accept: "Bearer x"}), nil)
					if err != nil {
						t.Fatal(err)
					}
					response, err := transport.RoundTrip(request)
					if good = err == nil; good {
						_ = response.Body.Close()
					}
					mu.Lock()
					requests = append(requests, sent)
					mu.Unlock()
				}
				return requests, good
			}

			if requests, _ := tries(4); !slices.Equal(requests, []int{2, 1, 1, 1}) {
				t.Errorf("requests of each try with a wrong secret: %v", requests)
			}
			mu.Lock()
			secret = "x"
			mu.Unlock()
			if requests, good := tries(2); !good {
				t.Errorf("the right secret is refused after %v requests", requests)
			}
			if requests, good := tries(3); !good || !slices.Equal(requests, []int{1, 1, 1}) {
				t.Errorf("requests of each try with the right secret: %v", requests)
			}
			transport.CloseIdleConnections()
		})
	}
}

func TestATokenServerIsAskedAgainWhenOMSRefusesItsToken(t *testing.T) {
	t.Parallel()
	tokens := &tokenServer{secret: "x", token: "first"}
	transport := transportOf(t, serveOMS(t, tokens))
	g := &guard{accept: "Bearer second"}
	oms := serveOMS(t, g)
	for _, want := range []int{http.StatusUnauthorized, http.StatusOK} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, oms, nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := transport.RoundTrip(request)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		if response.StatusCode != want {
			t.Errorf("status %d, want %d", response.StatusCode, want)
		}
		tokens.set(func(s *tokenServer) { s.token = "second" })
	}
	transport.CloseIdleConnections()
}

// transportOf returns what requests go through with an account at a token server.
func transportOf(t *testing.T, tokens string) *credentials {
	t.Helper()
	loaded, err := loadConfig(writeFile(t, "targets:\n"+oauthClient("https://oms.example", tokens, writeFile(t, "x"))))
	if err != nil {
		t.Fatal(err)
	}
	return &credentials{config: loaded.Targets["oms"].HTTPClient, setting: settingsOf("oms")}
}

// TestWhatATokenServerCanDo never quotes its answer, and sends the secret nowhere
// else.
func TestWhatATokenServerCanDo(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		answer func(http.ResponseWriter) bool
		want   string // the verdict
		says   string // in the log
	}{
		"refuse": {func(http.ResponseWriter) bool { return false }, "down: auth", `the token server answered HTTP status 401: it refuses the client`},
		"refuse with a page": {func(w http.ResponseWriter) bool {
			http.Error(w, "canary", http.StatusForbidden)
			return true
		}, "down: auth", `the token server answered HTTP status 403: it refuses the client`},
		"redirect": {func(w http.ResponseWriter) bool {
			w.Header().Set("Location", "ELSEWHERE")
			w.WriteHeader(http.StatusTemporaryRedirect)
			return true
		}, "down: auth", `the token server answered HTTP status 307: its redirects are not followed`},
		"be overloaded": {func(w http.ResponseWriter) bool {
			http.Error(w, "canary", http.StatusServiceUnavailable)
			return true
		}, "down: http_status", `the token server answered HTTP status 503`},
		"answer without a token": {func(w http.ResponseWriter) bool {
			fmt.Fprint(w, `{"access_token": "", "canary": "canary"}`)
			return true
		}, "down: auth", `the token server's answer has no usable token`},
		"answer nonsense": {func(w http.ResponseWriter) bool {
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprint(w, `canary`)
			return true
		}, "down: auth", `the token server's answer has no usable token`},
		"refuse with status 200": {func(w http.ResponseWriter) bool {
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprint(w, `{"error": "canary", "error_description": "canary"}`)
			return true
		}, "down: auth", `the token server answered HTTP status 200: it refuses the client`},
		"hang up": {func(w http.ResponseWriter) bool {
			connection, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				panic(err)
			}
			_ = connection.Close()
			return true
		}, "down: connect", `the token server: `},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			stolen := make(chan string, 100)
			elsewhere := serveOMS(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				stolen <- r.URL.String()
			}))
			g := &guard{accept: "Bearer x"}
			tokens := &tokenServer{secret: "right", token: "x", answer: func(w http.ResponseWriter) bool {
				return row.answer(redirected{w, elsewhere})
			}}
			p := exporterOf(t, oauthClient(serveOMS(t, g), serveOMS(t, tokens), writeFile(t, "canary")))

			if got := verdict(t, p.url+"/probe?target=oms"); got != row.want {
				t.Errorf("%s, want %s", got, row.want)
			}
			expectLogged(t, p, "reason="+strings.TrimPrefix(row.want, "down: ")+` err=".*`+row.says)
			if n := g.asked(); n != 0 {
				t.Errorf("OMS is asked %d times without a token", n)
			}
			if len(stolen) > 0 {
				t.Errorf("the secret went elsewhere: %s", <-stolen)
			}
			if log := p.stderr.String(); strings.Contains(log, "canary") {
				t.Errorf("the answer or the secret is told:\n%s", log)
			}
		})
	}
}

// A redirected response writer knows the address ELSEWHERE.
type redirected struct {
	http.ResponseWriter
	elsewhere string
}

// WriteHeader implements [http.ResponseWriter].
func (r redirected) WriteHeader(status int) {
	if r.Header().Get("Location") != "" {
		r.Header().Set("Location", r.elsewhere)
	}
	r.ResponseWriter.WriteHeader(status)
}

// Unwrap is for [http.ResponseController].
func (r redirected) Unwrap() http.ResponseWriter { return r.ResponseWriter }

func TestATokenServerThatHangsIsATimeoutInTime(t *testing.T) {
	t.Parallel()
	tokens := serveOMS(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // else the server does not notice the end of the connection
		<-r.Context().Done()
	}))
	p := exporterOf(t, oauthClient("http://127.0.0.1:1", tokens, writeFile(t, "x")))
	begin := time.Now()

	got := verdict(t, p.url+"/probe?target=oms", scrapeTimeout, "1")

	if took := time.Since(begin); got != "down: timeout" || took > 15*time.Second {
		t.Errorf("%s after %s, want down: timeout after 1 s", got, took)
	}
	expectLogged(t, p, "no answer from the token server: context deadline exceeded")
}

// TestATimeoutSaysWhoDidNotAnswer has a server that says nothing at all.
func TestATimeoutSaysWhoDidNotAnswer(t *testing.T) {
	t.Parallel()
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = silent.Close() }()
	address := silent.Addr().String()
	p := exporterOf(t, fmt.Sprintf("  proxy: {url: \"https://oms.example\", http_client: {proxy_url: \"http://%s\"}}\n"+
		"  tls: {url: \"https://%s\"}\n", address, address))
	for target, want := range map[string]string{
		"proxy": "while waiting for the proxy " + address, "tls": "while waiting for the TLS handshake",
	} {
		if got := verdict(t, p.url+"/probe?target="+target, scrapeTimeout, "1"); got != "down: timeout" {
			t.Errorf("%s: %s, want down: timeout", target, got)
		}
		expectLogged(t, p, "target="+target+" .*no answer: context deadline exceeded, "+want)
	}
}

func TestASignedStatementGetsAToken(t *testing.T) {
	t.Parallel()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	file := writeFile(t, pemOf("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(key)))
	g := &guard{accept: "Bearer signed"}
	tokens := &tokenServer{token: "signed"}
	p := exporterOf(t, fmt.Sprintf("  oms: {url: %q, http_client: {oauth2: {client_id: me, token_url: %q, "+
		"grant_type: %q, client_certificate_key_file: %q, endpoint_params: {realm: r}}}}\n",
		serveOMS(t, g), serveOMS(t, tokens), grantTypeJWT, file))

	if got := verdict(t, p.url+"/probe?target=oms"); got != "up, 3 tasks" {
		t.Errorf("%s, log:\n%s", got, p.stderr)
	}
	form := tokens.forms()[0]
	if parts := strings.Split(form.Get("assertion"), "."); len(parts) != 3 || form.Get("realm") != "r" ||
		form.Get("grant_type") != grantTypeJWT {
		t.Errorf("the form is %v", form)
	}
}

// TestHeadersFromFilesAreSecrets has a header whose file changes, breaks and comes
// back.
func TestHeadersFromFilesAreSecrets(t *testing.T) {
	t.Parallel()
	sent := make(chan []string, 1)
	oms := serveOMS(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sent <- r.Header.Values("X-Token")
		fmt.Fprint(w, threeTasks)
	}))
	file := writeFile(t, byteOrderMark+"canary 1\r\n")
	p := exporterOf(t, fmt.Sprintf("  oms: {url: %q, http_client: {http_headers: {X-Token: {values: [a], files: [%q]}}}}\n", oms, file))
	for _, content := range []string{"canary 1", "canary 2", "", "canary\n3", "canary 4"} {
		rewriteFile(t, file, content)

		got := verdict(t, p.url+"/probe?target=oms")

		if content == "" || strings.Contains(content, "\n") {
			if got != "down: credentials" || len(sent) > 0 {
				t.Errorf("%q: %s and %d requests, want down: credentials and none", content, got, len(sent))
			}
			continue
		}
		if header := strings.Join(<-sent, ","); got != "up, 3 tasks" || header != "a,"+content {
			t.Errorf("%q: %s with %s", content, got, header)
		}
	}
	expectLogged(t, p, `reason=credentials err=".*http_client\.http_headers\.X-Token\.files\[0\]: `+file+` has more than one line"`)
	if strings.Contains(p.stderr.String(), "canary") {
		t.Errorf("a secret:\n%s", p.stderr)
	}
}

// TestASecretThatVanishesBeforeItIsSentIsCredentials removes the file between the
// client's look at it and the request.
func TestASecretThatVanishesBeforeItIsSentIsCredentials(t *testing.T) {
	t.Parallel()
	file := writeFile(t, "x")
	loaded, err := loadConfig(writeFile(t, fmt.Sprintf(
		"targets:\n  a: {url: https://a.example, http_client: {authorization: {credentials_file: %q}}}\n", file)))
	if err != nil {
		t.Fatal(err)
	}
	c := &credentials{config: loaded.Targets["a"].HTTPClient, setting: settingsOf("a")}
	if _, err := c.Fingerprint(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://127.0.0.1:1", nil)
	if err != nil {
		t.Fatal(err)
	}

	response, err := c.RoundTrip(request)

	if err == nil {
		_ = response.Body.Close()
	}
	var failure *omsclient.Error
	if !errors.As(err, &failure) || failure.Reason != omsclient.Credentials ||
		failure.Err.Error() != "http_client.authorization.credentials_file: open "+file+": no such file or directory" {
		t.Errorf("got %v", err)
	}
}
