package main

import (
	"context"
	"encoding/base64"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const (
	guardUser   = "viewer"
	guardSecret = "s3same of the tests"
)

// A guard is an OMS that asks for a secret, and remembers what it was sent.
type guard struct {
	mu     sync.Mutex
	accept string // the only Authorization that is let in
	sent   []string
	onAsk  func() // if any, before each answer
}

func basicAuthorization(user, secret string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+secret))
}

func newGuard() *guard { return &guard{accept: basicAuthorization(guardUser, guardSecret)} }

// ServeHTTP implements [http.Handler].
func (g *guard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	defer g.mu.Unlock()
	given := r.Header.Get("Authorization")
	g.sent = append(g.sent, given)
	if g.onAsk != nil {
		g.onAsk()
	}
	if given != g.accept {
		w.Header().Set("WWW-Authenticate", `Basic realm="OMS"`)
		http.Error(w, "{}", http.StatusUnauthorized)
		return
	}
	fmt.Fprint(w, threeTasks)
}

// asked returns how many requests there were.
func (g *guard) asked() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.sent)
}

// fringes are what comes around a secret when people write it.
var fringes = map[string]string{
	"plain": "%s", "a line break": "%s\n", "CR LF": "%s\r\n", "two line breaks": "%s\n\n", "CR": "%s\r",
	"spaces": "  %s ", "a tab": "\t%s\t", "BOM": byteOrderMark + "%s", "BOM and CR LF": byteOrderMark + "%s\r\n",
	"a line break before": "\n%s",
}

// TestTheEnvironmentIsTrimmed has no rows in parallel: they set the environment.
func TestTheEnvironmentIsTrimmed(t *testing.T) {
	for name, fringe := range fringes {
		for variable, plain := range map[string]string{
			"OMS_PASSWORD": guardSecret, "OMS_USERNAME": guardUser, "OMS_URL": "",
		} {
			t.Run(variable+" "+name, func(t *testing.T) {
				g := newGuard()
				url := serveOMS(t, g)
				t.Setenv("OMS_USERNAME", guardUser)
				t.Setenv("OMS_PASSWORD", guardSecret)
				t.Setenv("OMS_URL", url)
				if plain == "" {
					plain = url
				}
				t.Setenv(variable, fmt.Sprintf(fringe, plain))
				p := start(t, "serve")

				if got := verdict(t, p.url+"/metrics"); got != "up, 3 tasks" {
					t.Errorf("%s, want up, 3 tasks", got)
				}
				if n := g.asked(); n != 1 {
					t.Errorf("%d requests, want 1: %q", n, g.sent)
				}
			})
		}
	}
}

func TestFilesOfSecretsAreTrimmed(t *testing.T) {
	t.Parallel()
	for kind, file := range map[string]struct {
		plain, accept, settings string
	}{
		"password_file": {
			guardSecret, basicAuthorization(guardUser, guardSecret),
			"basic_auth: {username: " + guardUser + ", password_file: %q}",
		},
		"username_file": {
			guardUser, basicAuthorization(guardUser, guardSecret),
			"basic_auth: {username_file: %q, password: " + guardSecret + "}",
		},
		"credentials_file": {
			"to.ken", "Bearer to.ken", "authorization: {credentials_file: %q}",
		},
	} {
		for name, fringe := range fringes {
			t.Run(kind+" "+name, func(t *testing.T) {
				t.Parallel()
				g := newGuard()
				g.accept = file.accept
				secret := writeFile(t, fmt.Sprintf(fringe, file.plain))
				p := exporterOf(t, fmt.Sprintf("  oms: {url: %q, http_client: {"+file.settings+"}}\n", serveOMS(t, g), secret))

				if got := verdict(t, p.url+"/probe?target=oms"); got != "up, 3 tasks" {
					t.Errorf("%s, want up, 3 tasks", got)
				}
				if n := g.asked(); n != 1 {
					t.Errorf("%d requests, want 1: %q", n, g.sent)
				}
			})
		}
	}
}

// An adventure is what becomes of a secret that OMS refuses, while the exporter
// is scraped on.
type adventure struct {
	name  string
	after func(t *testing.T, p *program, secret string) // what happens then, if anything
	asked int                                           // requests until then and after it
	want  string                                        // of the first scrape after it
}

var adventures = []adventure{
	{"nothing happens", func(*testing.T, *program, string) {}, 1, "down: auth"},
	{"the same is written again", func(t *testing.T, _ *program, secret string) {
		t.Helper()
		rewriteFile(t, secret, "wrong")
	}, 1, "down: auth"},
	{"the same is written with a line break", func(t *testing.T, _ *program, secret string) {
		t.Helper()
		rewriteFile(t, secret, "wrong\n")
	}, 1, "down: auth"},
	{"another wrong one is written", func(t *testing.T, _ *program, secret string) {
		t.Helper()
		rewriteFile(t, secret, "wrong too")
	}, 2, "down: auth"},
	{"the right one is written", func(t *testing.T, _ *program, secret string) {
		t.Helper()
		rewriteFile(t, secret, guardSecret)
	}, 2 + 4, "up, 3 tasks"}, // each of the scrapes that follow
	{"the configuration is loaded, unchanged", func(t *testing.T, p *program, _ string) {
		t.Helper()
		if r := send(t, http.MethodPost, p.url+"/-/reload", ""); r.status != http.StatusOK {
			t.Fatal(r)
		}
	}, 1, "down: auth"},
	{"the file is gone", func(t *testing.T, _ *program, secret string) {
		t.Helper()
		if err := os.Remove(secret); err != nil {
			t.Fatal(err)
		}
	}, 1, "down: credentials"},
}

// TestARefusedSecretIsSentAgainOnlyWhenItHasChanged counts requests during the
// first seconds of a night with a wrong password: the second one is due after a
// minute.
func TestARefusedSecretIsSentAgainOnlyWhenItHasChanged(t *testing.T) {
	t.Parallel()
	for kind, settings := range map[string]string{
		"password": "basic_auth: {username: " + guardUser + ", password_file: %q}",
		"token":    "authorization: {credentials_file: %q}",
	} {
		for _, a := range adventures {
			t.Run(kind+", "+a.name, func(t *testing.T) {
				t.Parallel()
				g, secret := newGuard(), writeFile(t, "wrong")
				if kind == "token" {
					g.accept = "Bearer " + guardSecret
				}
				p := exporterOf(t, fmt.Sprintf("  oms: {url: %q, http_client: {"+settings+"}}\n", serveOMS(t, g), secret),
					"--web.enable-lifecycle")
				url := p.url + "/probe?target=oms"

				for range 10 {
					if got := verdict(t, url); got != "down: auth" {
						t.Fatalf("a wrong secret: %s, want down: auth", got)
					}
					<-time.After(100 * time.Millisecond)
				}
				if n := g.asked(); n != 1 {
					t.Errorf("%d requests during 10 scrapes with a wrong secret, want 1", n)
				}
				a.after(t, p, secret)
				got := verdict(t, url)
				for range 4 {
					verdict(t, url)
				}

				if got != a.want {
					t.Errorf("the first scrape after it: %s, want %s", got, a.want)
				}
				if n := g.asked(); n != a.asked {
					t.Errorf("%d requests in all, want %d", n, a.asked)
				}
			})
		}
	}
}

// TestARefusedPasswordOfTheEnvironmentIsSentOnce cannot change before a restart.
func TestARefusedPasswordOfTheEnvironmentIsSentOnce(t *testing.T) {
	g := newGuard()
	t.Setenv("OMS_USERNAME", guardUser)
	t.Setenv("OMS_PASSWORD", "wrong")
	p := start(t, "--oms.url="+serveOMS(t, g))

	for range 10 {
		if got := verdict(t, p.url+"/metrics"); got != "down: auth" {
			t.Errorf("%s, want down: auth", got)
		}
	}

	if n := g.asked(); n != 1 {
		t.Errorf("%d requests in 10 scrapes, want 1", n)
	}
	status := get(t, p.url+"/status?format=json").body
	if !regexp.MustCompile(`(?i)\b(next|again)\b`).MatchString(status) {
		t.Errorf("/status does not say when it is sent again:\n%s", status)
	}
	expectLogged(t, p, `(?i)reason=auth .*\b(next|again)\b`)
	if strings.Contains(status+p.stderr.String(), "wrong") {
		t.Errorf("the secret is told:\n%s\n%s", status, p.stderr)
	}
}

// TestASecretThatChangesWhileItIsRefusedIsSentAtOnce has the file rewritten
// before OMS has refused what was in it.
func TestASecretThatChangesWhileItIsRefusedIsSentAtOnce(t *testing.T) {
	t.Parallel()
	g, secret := newGuard(), writeFile(t, "wrong")
	var once sync.Once
	g.onAsk = func() {
		once.Do(func() { _ = os.WriteFile(secret, []byte(guardSecret+"\n"), 0o600) })
	}
	p := exporterOf(t, fmt.Sprintf(
		"  oms: {url: %q, http_client: {basic_auth: {username: viewer, password_file: %q}}}\n", serveOMS(t, g), secret))

	got := verdict(t, p.url+"/probe?target=oms")

	if n := g.asked(); got != "up, 3 tasks" || n != 2 {
		t.Errorf("%s with %d requests, want up, 3 tasks with 2", got, n)
	}
}

// TestOneSickNodeDoesNotMakeASecretRest has a balancer in front of two nodes, of which one
// refuses everybody. Each new connection is to the next node.
func TestOneSickNodeDoesNotMakeASecretRest(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		sick    func(connection int64) bool
		want    string
		refused int64 // at most, in two scrapes; some requests are under way at once
	}{
		"one of two":       {func(n int64) bool { return n == 2 }, "up, 900 tasks", 3}, // which may be asked again before its connection is closed
		"all but page one": {func(int64) bool { return true }, "down: auth", 12},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var connections, refused atomic.Int64
			oms := fleetOf(900)
			server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				page := pageAsked(r)
				if n, _ := r.Context().Value(connectionKey{}).(int64); page > 1 && row.sick(n) {
					refused.Add(1)
					w.WriteHeader(http.StatusUnauthorized)
					return
				}
				fmt.Fprint(w, oms[page-1])
			}))
			server.Config.ConnContext = func(ctx context.Context, _ net.Conn) context.Context {
				return context.WithValue(ctx, connectionKey{}, connections.Add(1))
			}
			server.Start()
			t.Cleanup(server.Close)
			p := exporterOf(t, fmt.Sprintf(
				"  oms: {url: %q, http_client: {basic_auth: {username: viewer, password_file: %q}}}\n",
				server.URL, writeFile(t, "right")))

			for range 2 {
				if got := verdict(t, p.url+"/probe?target=oms"); got != row.want {
					t.Errorf("%s, want %s", got, row.want)
				}
			}

			if n := refused.Load(); n < 1 || n > row.refused {
				t.Errorf("refused %d times, want 1 to %d", n, row.refused)
			}
			if row.want == "down: auth" {
				expectLogged(t, p, `reason=auth err=".*HTTP status 401 Unauthorized, though the same credentials were accepted for earlier pages`)
			}
			if said := get(t, p.url+"/probe?target=oms&debug=true").body; strings.Contains(said, "refuses the credentials since") {
				t.Errorf("the secret rests:\n%s", said)
			}
		})
	}
}

type connectionKey struct{}

// TestAProxyThatRefusesItsPassword is asked once, and its password then rests, like one
// that OMS refuses. It may ask again for what has nothing to do with the password.
func TestAProxyThatRefusesItsPassword(t *testing.T) {
	t.Parallel()
	refusing := func(status int) func(*testing.T, *atomic.Int64) string {
		return func(t *testing.T, asked *atomic.Int64) string {
			t.Helper()
			return strings.TrimPrefix(serveOMS(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				asked.Add(1)
				w.WriteHeader(status)
			})), "http://")
		}
	}
	for name, row := range map[string]struct {
		console, scheme string
		proxy           func(*testing.T, *atomic.Int64) string
		tries           int64 // in three scrapes
		step, advice    string
	}{
		"407 to CONNECT": {"https", "http", refusing(407), 1, "connection", "user and password in proxy_url"},
		"401 to CONNECT": {"https", "http", refusing(401), 1, "connection", "user and password in proxy_url"},
		"403 to CONNECT": {"https", "http", refusing(403), 3, "connection", "have the proxy allow"},
		"407":            {"http", "http", refusing(407), 1, "authentication", "user and password in proxy_url"},
		"SOCKS":          {"http", "socks5", refusingSOCKS, 1, "connection", "user and password in proxy_url"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var asked atomic.Int64
			target := fmt.Sprintf("  oms: {url: \"%s://oms.example:8089\", http_client: {proxy_url: \"%s://me:wrong-canary@%s\"}}\n",
				row.console, row.scheme, row.proxy(t, &asked))
			p := exporterOf(t, target)

			for range 3 {
				if got := verdict(t, p.url+"/probe?target=oms"); got != "down: auth" {
					t.Errorf("%s, want down: auth", got)
				}
			}

			if n := asked.Load(); n != row.tries {
				t.Errorf("the proxy was asked %d times, want %d", n, row.tries)
			}
			if strings.Contains(p.stderr.String(), "canary") {
				t.Errorf("a secret:\n%s", p.stderr)
			}
			expectFailure(t, checkOne(t, "--config.file="+writeFile(t, "targets:\n"+target)), row.step, "proxy|407", row.advice)
		})
	}
}

// refusingSOCKS is a SOCKS5 proxy that refuses every password.
func refusingSOCKS(t *testing.T, asked *atomic.Int64) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			asked.Add(1)
			buffer := make([]byte, 512)
			_, _ = conn.Read(buffer)
			_, _ = conn.Write([]byte{5, 2}) // version 5, wants user and password
			_, _ = conn.Read(buffer)
			_, _ = conn.Write([]byte{1, 1}) // refused
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() {
		_ = listener.Close()
		<-ended
	})
	return listener.Addr().String()
}

// TestTheProxysPasswordIsNotQuoted has a proxy that answers instead of OMS, and repeats
// what it was told.
func TestTheProxysPasswordIsNotQuoted(t *testing.T) {
	t.Parallel()
	proxy := serveOMS(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		told := http.Request{Header: http.Header{"Authorization": r.Header["Proxy-Authorization"]}}
		_, password, _ := told.BasicAuth()
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusProxyAuthRequired)
		fmt.Fprintf(w, `{"code": %q}`, "not "+password)
	}))
	p := exporterOf(t, fmt.Sprintf("  oms: {url: \"http://oms.example\", http_client: {proxy_url: %q}}\n",
		strings.Replace(proxy, "//", "//me:canary@", 1)))

	if got := verdict(t, p.url+"/probe?target=oms"); got != "down: auth" {
		t.Errorf("%s, want down: auth", got)
	}

	expectLogged(t, p, `code \\"\(withheld\)`)
	if strings.Contains(p.stderr.String(), "canary") {
		t.Errorf("a secret:\n%s", p.stderr)
	}
}

func TestCheckSendsAWrongPasswordOnce(t *testing.T) {
	t.Parallel()
	g := newGuard()
	stdout := newOutput()

	err := run(t.Context(), []string{
		"check", "--oms.url=" + serveOMS(t, g), "--oms.username=viewer", "--oms.password-file=" + writeFile(t, "wrong"),
	}, stdout, newOutput())

	if n := g.asked(); err == nil || exitStatus(err) != 1 || n != 1 {
		t.Errorf("%v with %d requests, want exit status 1 with 1:\n%s", err, n, stdout)
	}
}

// A plight is a state of a file that leaves nothing to read in it.
var plights = map[string]func(t *testing.T, file string){
	"missing": func(t *testing.T, file string) {
		t.Helper()
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
	},
	"a directory": func(t *testing.T, file string) {
		t.Helper()
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir(file, 0o700); err != nil {
			t.Fatal(err)
		}
	},
	"a link to nowhere": func(t *testing.T, file string) {
		t.Helper()
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink("nowhere", file); err != nil {
			t.Fatal(err)
		}
	},
	"empty":      func(t *testing.T, file string) { t.Helper(); rewriteFile(t, file, "") },
	"blank":      func(t *testing.T, file string) { t.Helper(); rewriteFile(t, file, " \r\n") },
	"only a BOM": func(t *testing.T, file string) { t.Helper(); rewriteFile(t, file, byteOrderMark) },
}

// secretKinds are the keys that name a file, and the rest of the http_client.
var secretKinds = map[string]string{
	"password_file":    "basic_auth: {username: viewer, password_file: %q}",
	"username_file":    "basic_auth: {username_file: %q, password: x}",
	"credentials_file": "authorization: {credentials_file: %q}",
	"ca_file":          "tls_config: {ca_file: %q}",
	"cert_file":        "tls_config: {insecure_skip_verify: true, cert_file: %[1]q, key_file: %[2]q}",
	"key_file":         "tls_config: {insecure_skip_verify: true, cert_file: %[2]q, key_file: %[1]q}",
}

// TestAFileOfASecretThatCannotBeReadSendsNothing takes each file away from an
// exporter that is scraped, or before it starts, and puts it back.
func TestAFileOfASecretThatCannotBeReadSendsNothing(t *testing.T) {
	t.Parallel()
	identity := newIdentity(t)
	for key := range secretKinds {
		for plight := range plights {
			for _, atStart := range []bool{true, false} {
				name := key + " " + plight
				if atStart {
					name += " from the start"
				}
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					g := &guard{}
					server := serveTLS(t, g)
					directory := t.TempDir()
					file, content := filepath.Join(directory, "the-"+key), "right"
					other := filepath.Join(directory, "other")
					switch key {
					case "ca_file":
						content = pemOf("CERTIFICATE", server.Certificate().Raw)
					case "cert_file":
						content = identity.certificate
						rewriteFile(t, other, identity.key)
					case "key_file":
						content = identity.key
						rewriteFile(t, other, identity.certificate)
					}
					g.accept = map[string]string{
						"password_file": basicAuthorization("viewer", "right"), "username_file": basicAuthorization("right", "x"),
						"credentials_file": "Bearer right",
					}[key]
					rewriteFile(t, file, content)
					if atStart {
						plights[plight](t, file)
					}
					settings := strings.ReplaceAll(strings.ReplaceAll(strings.ReplaceAll(
						secretKinds[key], "%[1]q", file), "%[2]q", other), "%q", file)
					if !strings.Contains(settings, "tls_config") {
						settings += ", tls_config: {insecure_skip_verify: true}"
					}
					p := exporterOf(t, fmt.Sprintf("  oms: {url: %q, http_client: {%s}}\n", server.URL, settings))
					url := p.url + "/probe?target=oms"
					if atStart {
						expectLogged(t, p, `level=warn .*`+regexp.QuoteMeta(file))
					} else if got := verdict(t, url); got != "up, 3 tasks" {
						t.Fatalf("while all is well: %s", got)
					}
					before := g.asked()
					if !atStart {
						plights[plight](t, file)
					}

					for range 2 {
						if got := verdict(t, url); got != "down: credentials" {
							t.Errorf("%s, want down: credentials", got)
						}
					}

					if n := g.asked(); n != before {
						t.Errorf("%d requests were sent", n-before)
					}
					expectLogged(t, p, `level=error .*`+key+`.*`+regexp.QuoteMeta(file))
					if retries := scrape(t, p).values("oms_exporter_api_request_retries_total", "target")["oms"]; retries != 0 {
						t.Errorf("%v retries", retries)
					}
					_ = os.Remove(file)
					rewriteFile(t, file, content)
					if got := verdict(t, url); got != "up, 3 tasks" {
						t.Errorf("after it has come back: %s", got)
					}
				})
			}
		}
	}
}

// TestAPasswordFileOfTheFlagsMayComeLater is the same for flags.
func TestAPasswordFileOfTheFlagsMayComeLater(t *testing.T) {
	t.Parallel()
	g := newGuard()
	secret := filepath.Join(t.TempDir(), "later")
	p := start(t, "--oms.url="+serveOMS(t, g), "--oms.username=viewer", "--oms.password-file="+secret)

	expectLogged(t, p, `level=warn .*--oms.password-file.*`+regexp.QuoteMeta(secret))
	if got := verdict(t, p.url+"/metrics"); got != "down: credentials" || g.asked() != 0 {
		t.Errorf("%s with %d requests, want down: credentials with none", got, g.asked())
	}
	expectLogged(t, p, `level=error .*--oms.password-file.*`+regexp.QuoteMeta(secret))
	rewriteFile(t, secret, guardSecret)
	if got := verdict(t, p.url+"/metrics"); got != "up, 3 tasks" {
		t.Errorf("after it has come: %s", got)
	}
}

// TestABrokenAuthorityFileIsCredentials has a file that can be read but is none.
func TestABrokenAuthorityFileIsCredentials(t *testing.T) {
	t.Parallel()
	g := &guard{}
	server := serveTLS(t, g)
	ca := writeFile(t, pemOf("CERTIFICATE", server.Certificate().Raw))
	p := exporterOf(t, fmt.Sprintf("  oms: {url: %q, http_client: {tls_config: {ca_file: %q}}}\n", server.URL, ca))
	url := p.url + "/probe?target=oms"
	if got := verdict(t, url); got != "up, 3 tasks" {
		t.Fatal(got)
	}

	rewriteFile(t, ca, "not PEM\n")

	if got := verdict(t, url); got != "down: credentials" || g.asked() != 1 {
		t.Errorf("%s after %d requests, want down: credentials after 1", got, g.asked())
	}
	expectLogged(t, p, `level=error .*ca_file.*`+regexp.QuoteMeta(ca))
}

// TestCheckNamesTheFileThatCannotBeRead runs a check without its password.
func TestCheckNamesTheFileThatCannotBeRead(t *testing.T) {
	t.Parallel()
	g := newGuard()
	secret := filepath.Join(t.TempDir(), "missing")
	stdout := newOutput()

	err := run(t.Context(), []string{
		"check", "--oms.url=" + serveOMS(t, g), "--oms.username=viewer", "--oms.password-file=" + secret,
	}, stdout, newOutput())

	if err == nil || g.asked() != 0 {
		t.Fatalf("error %v after %d requests, want one after none", err, g.asked())
	}
	if said := stdout.String() + err.Error(); !strings.Contains(said, secret) {
		t.Errorf("it does not name %s:\n%s", secret, said)
	}
}
