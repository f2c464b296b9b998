package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
)

// TestCheckSaysWhichCertificateIsWrong and who has to mend it.
func TestCheckSaysWhichCertificateIsWrong(t *testing.T) {
	t.Parallel()
	leaf, middle, root := newParty(t, "OMS"), newParty(t, "Middle"), newParty(t, "Root")
	client := newParty(t, "Client")
	client.clientsOnly = true
	nameless, early := newParty(t, "127.0.0.1"), newParty(t, "Early")
	nameless.nameless, early.tomorrow = true, true
	trusted := "--oms.ca-file=" + writeFile(t, pemOf("CERTIFICATE", root.certify(t, root, 3650, true)))
	for _, row := range []struct {
		name, url      string
		result         result
		detail, advice string
	}{
		{
			"no certificate in between", leaf.serve(t, middle.certify(t, leaf, 200, false)), failed,
			`issued by Middle, expires on ` + dateIn(200), `ca-file; if it is there, the server does not send`,
		},
		{
			"one in between expires soon",
			leaf.serve(t, middle.certify(t, leaf, 200, false), root.certify(t, middle, 2, true)), warning,
			`for 127\.0\.0\.1, issued by Middle, with a chain that expires on ` + dateIn(2) + `, which is soon`,
			`expires first`,
		},
		{
			"one in between has expired",
			leaf.serve(t, middle.certify(t, leaf, 200, false), root.certify(t, middle, -2, true)), failed,
			`the certificate is for CN=Middle, issued by Root, expired on ` + dateIn(-2), `renew`,
		},
		{
			"one that expires soon", leaf.serve(t, root.certify(t, leaf, 3, false)), warning,
			`issued by Root, expires on ` + dateIn(3), `renew`,
		},
		{
			"for clients", client.serve(t, root.certify(t, client, 200, false)), failed,
			`incompatible key usage`, `needs a certificate for servers`,
		},
		{
			"with a common name only", nameless.serve(t, root.certify(t, nameless, 200, false)), failed,
			`the certificate is for CN=127\.0\.0\.1`, `a new certificate issued, with the host 127\.0\.0\.1 as a subjectAltName`,
		},
		{
			"not valid yet", early.serve(t, root.certify(t, early, 200, false)), failed,
			`certificate`, `valid only from ` + dateIn(1) + ` .* clock`,
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()

			got := checkOne(t, "--oms.url="+row.url, trusted)

			expectFinding(t, stepOf(t, got, "tls"), row.result, row.detail, row.advice)
		})
	}
}

func dateIn(days int) string { return inDays(days).UTC().Format("2006-01-02") }

// TestCheckTellsProxiesFromOMS blames, and quotes, nobody else.
func TestCheckTellsProxiesFromOMS(t *testing.T) {
	t.Parallel()
	closed := listenLocally(t)
	_ = closed.Close()
	for _, row := range []struct {
		name, proxy, console string
		step, detail, advice string
	}{
		{
			"nobody listens", "http://" + closed.Addr().String(), "http://oms.example",
			"connection", `of the proxy .*refused`, `the proxy is running .* proxy_url`,
		},
		{
			"a status in words of its own", rawOMS(t, func(c net.Conn, _ int) {
				_, _ = io.WriteString(c, "HTTP/1.1 504 gateway down for 10.9.9.9\r\n\r\n")
			}), "https://oms.example",
			"connection", `does not connect to OMS: the proxy answers 504 Gateway Timeout$`, `proxy's settings`,
		},
		{
			"an account", serveOMS(t, statusOnly(http.StatusProxyAuthRequired)), "http://oms.example",
			"authentication", `HTTP status 407`, `account of its own: correct user and password in proxy_url`,
		},
		{
			"a cache", serveOMS(t, statusOnly(http.StatusNotModified)), "http://oms.example",
			"answer", `HTTP status 304 Not Modified$`, `a cache in between`,
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			file := writeFile(t, fmt.Sprintf(
				"targets:\n  far: {url: %q, http_client: {proxy_url: %q}}\n", row.console, row.proxy))

			got := checkOne(t, "--config.file="+file)

			expectFailure(t, got, row.step, row.detail, row.advice)
			if text := fmt.Sprint(got.Steps); strings.Contains(text, "10.9.9.9") {
				t.Error("it quotes the proxy:", text)
			}
		})
	}
}

// statusOnly is a server that has nothing to say but a status.
func statusOnly(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}

// TestAPipeIsNoPasswordFile since it would have to be read again.
func TestAPipeIsNoPasswordFile(t *testing.T) {
	t.Parallel()
	read, write, err := os.Pipe() // as shells make them for <(command)
	if err == nil {
		_, err = io.WriteString(write, "sesame\n")
	}
	if err := errors.Join(err, write.Close()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = read.Close() })
	pipe := fmt.Sprintf("/proc/self/fd/%d", read.Fd())

	got := checkOne(t, "--oms.url=http://127.0.0.1:1", "--oms.username=viewer", "--oms.password-file="+pipe)

	expectFailure(t, got, "configuration", pipe+` is a pipe, which can be read only once: use a file$`, `correct the file`)
}
