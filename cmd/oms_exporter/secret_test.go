package main

import (
	"encoding/base64"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"

	"oms_exporter/omsclient/omssim"
)

func TestAChangedPasswordIsUsedAtOnce(t *testing.T) {
	_, url := newOMS(t, omssim.Options{
		Projects: projects(t), Username: "viewer", Password: "the new one",
	})
	password := writeFile(t, "the old one\n")
	p := start(t, "--oms.url="+url, "--oms.username=viewer", "--oms.password-file="+password)

	expectOutage(t, scrape(t, p), "auth")
	rewriteFile(t, password, "the new one\n")
	scrape(t, p).expect(t, map[string]float64{"oms_up": 1})
}

func TestAnEmptiedPasswordFileIsAnOutageAndNotTheEnd(t *testing.T) {
	_, url := newOMS(t, omssim.Options{
		Projects: projects(t), Username: "viewer", Password: "the one",
	})
	password := writeFile(t, "the one\n")
	p := start(t, "--oms.url="+url, "--oms.username=viewer", "--oms.password-file="+password)

	rewriteFile(t, password, "")
	expectOutage(t, scrape(t, p), "credentials")
	rewriteFile(t, password, "the one")
	scrape(t, p).expect(t, map[string]float64{"oms_up": 1})
}

// The exporter succeeds and fails with a password, which must not be in anything
// that it writes.
func TestThePasswordIsNowhere(t *testing.T) {
	const canary = "Canary-4711-xyz"
	encoded := base64.StdEncoding.EncodeToString([]byte("viewer:" + canary))
	for name, settings := range map[string]struct {
		env  map[string]string
		args []string
	}{
		"in the environment": {env: map[string]string{"OMS_PASSWORD": canary, "OMS_USERNAME": "viewer"}},
		"in a file": {args: []string{
			"--oms.username=viewer", "--oms.password-file=" + writeFile(t, canary),
		}},
	} {
		t.Run(name, func(t *testing.T) {
			for key, value := range settings.env {
				t.Setenv(key, value)
			}
			sim, url := newOMS(t, omssim.Options{
				Projects: projects(t), Username: "viewer", Password: canary,
			})
			p := start(t, append(settings.args, "--oms.url="+url, "--log.level=debug",
				"--web.enable-pprof", "--oms.page-size=4")...)
			scrape(t, p).expect(t, map[string]float64{"oms_up": 1})
			var said strings.Builder
			for _, fault := range []omssim.FaultKind{
				"unauthorized", "redirect", "api_error", "empty_body", "invalid_json", "cut",
			} {
				sim.SetFaults(omssim.Fault{Kind: fault, Page: 2})
				said.WriteString(get(t, p.url+"/metrics").body)
			}
			for _, path := range []string{
				"/", "/metrics", "/debug/pprof/cmdline", "/debug/pprof/goroutine?debug=2",
			} {
				said.WriteString(get(t, p.url+path).body)
			}
			if err := p.stop(t); err != nil {
				t.Fatal(err)
			}

			said.WriteString(p.stdout.String() + p.stderr.String())
			if !strings.Contains(said.String(), "cannot list the tasks of OMS") {
				t.Error("the failures are not logged")
			}
			for _, secret := range []string{canary, encoded} {
				if at := strings.Index(said.String(), secret); at >= 0 {
					t.Errorf("the password is public: …%s", said.String()[max(0, at-200):at+len(secret)])
				}
			}
		})
	}
}

func TestTheExporterCanAskForCredentials(t *testing.T) {
	hash, err := bcrypt.GenerateFromPassword([]byte("sesame"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	web := writeFile(t, "basic_auth_users:\n  prometheus: "+string(hash)+"\n")
	sim, url := newOMS(t, omssim.Options{Projects: projects(t)})
	p := start(t, "--oms.url="+url, "--web.config.file="+web)

	for credentials, status := range map[string]int{
		"":                  http.StatusUnauthorized,
		"prometheus:sesam":  http.StatusUnauthorized,
		"grafana:sesame":    http.StatusUnauthorized,
		"prometheus:sesame": http.StatusOK,
	} {
		var header []string
		if credentials != "" {
			header = []string{
				"Authorization", "Basic " + base64.StdEncoding.EncodeToString([]byte(credentials)),
			}
		}
		for _, path := range []string{"/metrics", "/"} {
			if r := get(t, p.url+path, header...); r.status != status {
				t.Errorf("%s with credentials %q: status %d, want %d", path, credentials, r.status, status)
			}
		}
	}
	if n := len(sim.Requests()); n != 2 {
		t.Errorf("OMS was called %d times, want only for the scrape and the look with credentials", n)
	}
}

func TestAnUntrustedCertificateOfOMSIsRefused(t *testing.T) {
	server := serveTLS(t, simulated(t, projects(t)))
	strict := start(t, "--oms.url="+server.URL)
	lax := start(t, "--oms.url="+server.URL, "--oms.insecure-skip-verify")

	expectOutage(t, scrape(t, strict), "tls")
	strict.stderr.await(t, regexp.MustCompile(`reason=tls err=".*certificate`))
	scrape(t, lax).expect(t, map[string]float64{"oms_up": 1})
}
