package main

import (
	"bufio"
	"errors"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"oms_exporter/omsclient/omssim"
)

// hangingFile returns the name of a file that hangs when it is read, like one on a dead
// network mount: a pipe that nobody writes to.
func hangingFile(t *testing.T) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(name, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // so that who reads comes to an end
		if f, err := os.OpenFile(name, os.O_RDWR|syscall.O_NONBLOCK, 0); err == nil {
			_ = f.Close()
		}
	})
	return name
}

func TestASecretThatHangsIsAFailureInTime(t *testing.T) {
	t.Parallel()
	_, oms := newOMS(t, omssim.Options{Tasks: 1})
	p := start(t, "--oms.url="+oms, "--oms.username=viewer", "--oms.password-file="+hangingFile(t))
	begun := time.Now()

	got := verdict(t, p.url+"/metrics", scrapeTimeout, "15")

	if took := time.Since(begun); got != "down: credentials" || took > 15*time.Second {
		t.Errorf("%s after %s, want down: credentials within 15 s", got, took)
	}
	expectLogged(t, p, `reason=credentials err=".*--oms\.password-file: open .*pipe: no answer from the file system within 2s"`)
}

func TestAReloadThatHangsEndsAndDoesNotHoldUpTheStop(t *testing.T) {
	t.Parallel()
	_, oms := newOMS(t, omssim.Options{Tasks: 1})
	file := writeFile(t, "targets:\n  a: {url: "+oms+"}\n")
	p := start(t, "--config.file="+file, "--web.enable-lifecycle")
	if err := os.Rename(hangingFile(t), file); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unblock(file) })
	begun := time.Now()

	r := send(t, http.MethodPost, p.url+"/-/reload", "")
	err := p.stop(t)

	if took := time.Since(begun); r.status != http.StatusInternalServerError || err != nil || took > 15*time.Second {
		t.Errorf("status %d, then %v after %s", r.status, err, took)
	}
}

func unblock(name string) {
	if f, err := os.OpenFile(name, os.O_RDWR|syscall.O_NONBLOCK, 0); err == nil {
		_ = f.Close()
	}
}

// hugeFile returns the name of a file of a gigabyte, which takes no space.
func hugeFile(t *testing.T) string {
	t.Helper()
	name := writeFile(t, "")
	if err := os.Truncate(name, 1<<30); err != nil {
		t.Fatal(err)
	}
	return name
}

// endlessFile returns the name of a pipe that somebody never stops writing to.
func endlessFile(t *testing.T) string {
	t.Helper()
	name := hangingFile(t)
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	go func() {
		for err := error(nil); err == nil; {
			_, err = f.Write(make([]byte, 4096))
		}
	}()
	return name
}

// TestAFileThatIsTooLargeIsNotRead whatever it is for. The other target stays up.
func TestAFileThatIsTooLargeIsNotRead(t *testing.T) {
	t.Parallel()
	_, oms := newOMS(t, omssim.Options{Tasks: 3})
	secret, huge := writeFile(t, "secret"), hugeFile(t)
	for key, limit := range map[string]string{
		"basic_auth: {username: u, password_file": "64", "basic_auth: {password: p, username_file": "64",
		"authorization: {credentials_file": "64", "http_headers: {X: {files": "64", "tls_config: {ca_file": "4096",
	} {
		link := filepath.Join(t.TempDir(), "link")
		if err := os.Symlink(secret, link); err != nil {
			t.Fatal(err)
		}
		value, end := link, "}"
		if strings.HasSuffix(key, "files") {
			value, end = "["+link+"]", "}}"
		}
		p := exporterOf(t, "  a: {url: '"+oms+"', http_client: {"+key+": "+value+end+"}}\n  b: {url: '"+oms+"'}\n")
		for _, file := range []string{huge, endlessFile(t)} {
			if err := errors.Join(os.Remove(link), os.Symlink(file, link)); err != nil {
				t.Fatal(err)
			}

			if got := verdict(t, p.url+"/probe?target=a"); got != "down: credentials" {
				t.Errorf("%s: %s, want down: credentials", key, got)
			}
		}
		if got := verdict(t, p.url+"/probe?target=b"); got != "up, 3 tasks" {
			t.Errorf("the other target: %s", got)
		}
		expectLogged(t, p, `reason=credentials err=".*link is larger than `+limit+` KiB: check that it is the right file"`)
	}
	account := []string{"--oms.username=u", "--oms.password-file=" + secret}
	for _, args := range [][]string{
		{"--config.file=" + huge},
		{"--config.file=" + endlessFile(t)},
		{"--oms.url=" + oms, "--web.config.file=" + huge},
		{"--oms.url=" + oms, "--web.config.file=" + writeFile(t, "tls_server_config: {cert_file: "+huge+", key_file: "+secret+"}\n")},
		{"simulate", "--sim.username=u", "--sim.password-file=" + huge},
	} {
		if args[0] != "simulate" {
			args = append(args, account...)
		}

		said, err := runUntilListening(t, append(args, "--web.listen-address=127.0.0.1:0")...)

		if err == nil || exitStatus(err) != 2 || !strings.Contains(err.Error()+said, " is larger than ") {
			t.Errorf("%q: %v, want exit status 2", args, err)
		}
	}
}

// What a server sends after its answer, unasked, is logged nowhere. It is the real program
// that is run: net/http writes such things to the logger of the process.
func TestWhatComesAfterAnAnswerIsNotLogged(t *testing.T) {
	t.Parallel()
	const canary = "alice@example.com"
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = conn.Close() }()
				r, err := http.ReadRequest(bufio.NewReader(conn))
				if err != nil {
					return
				}
				_ = r.Body.Close()
				_, _ = conn.Write([]byte("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 41\r\n\r\n" +
					`{"success":true,"totalCount":0,"data":[]}` + "Duplicate entry '" + canary + "'"))
				time.Sleep(time.Second) //nolint:forbidigo // until net/http has seen it
			}()
		}
	}()
	out, err := exec.CommandContext(t.Context(), buildProgram(t), "check", "--oms.url=http://"+l.Addr().String()).CombinedOutput()
	if strings.Contains(string(out), canary) {
		t.Errorf("%v\n%s", err, out)
	}
}
