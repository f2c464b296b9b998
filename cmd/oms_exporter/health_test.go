package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"oms_exporter/omsclient/omssim"
)

func TestHealthSucceedsWhileTheExporterAnswers(t *testing.T) {
	_, url := newOMS(t, omssim.Options{Projects: projects(t)})
	p := start(t, "--oms.url="+url)

	if err := launch(t, "health", "--url="+p.url+"/-/healthy").wait(t); err != nil {
		t.Error(err)
	}
}

func TestHealthTakesTheAddressFromTheEnvironment(t *testing.T) {
	_, url := newOMS(t, omssim.Options{Projects: projects(t)})
	p := start(t, "--oms.url="+url)
	t.Setenv("OMS_EXPORTER_HEALTH_URL", p.url+"/-/ready")

	if err := launch(t, "health").wait(t); err != nil {
		t.Error(err)
	}
}

func TestHealthFailsUnlessTheExporterAnswers(t *testing.T) {
	for name, test := range map[string]struct {
		status int
		tls    bool
		want   string // part of the error, or empty
	}{
		"well":              {status: http.StatusOK},
		"well, TLS":         {status: http.StatusOK, tls: true},
		"asks for password": {status: http.StatusUnauthorized},
		"unavailable":       {status: http.StatusServiceUnavailable, want: "answers 503"},
		"not found":         {status: http.StatusNotFound, want: "answers 404"},
		"redirects":         {status: http.StatusFound, want: "answers 302"},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewUnstartedServer(http.HandlerFunc(
				func(w http.ResponseWriter, _ *http.Request) {
					w.Header().Set("Location", "/elsewhere")
					w.WriteHeader(test.status)
				}))
			if test.tls {
				server.StartTLS()
			} else {
				server.Start()
			}
			t.Cleanup(server.Close)

			expectHealth(t, server.URL, test.want)
		})
	}
}

func TestHealthFailsWhenNobodyListens(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	server.Close()

	expectHealth(t, server.URL, "refused")
}

func TestHealthDoesNotWaitForLong(t *testing.T) {
	held := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(
		func(http.ResponseWriter, *http.Request) {
			select {
			case <-held:
			case <-time.After(patience):
			}
		}))
	t.Cleanup(server.Close)
	t.Cleanup(func() { close(held) })

	expectHealth(t, server.URL, "deadline exceeded", "--timeout=50ms")
}

func expectHealth(t *testing.T, url, want string, args ...string) {
	t.Helper()
	command, err := parse(append([]string{"health", "--url=" + url}, args...), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	err = command(t.Context(), nil, nil)
	switch {
	case want == "" && err != nil:
		t.Errorf("%v, want success", err)
	case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
		t.Errorf("%v, want %q in it", err, want)
	}
}
