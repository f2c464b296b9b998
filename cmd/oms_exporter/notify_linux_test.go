package main

import (
	"net"
	"path/filepath"
	"testing"
	"time"
)

func TestSystemdIsToldWhenThePortIsOpen(t *testing.T) {
	name := filepath.Join(t.TempDir(), "notify")
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = socket.Close() }()
	t.Setenv("NOTIFY_SOCKET", name)

	p := start(t, "--oms.url=http://127.0.0.1:1")
	if err := socket.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	message := make([]byte, 100)
	n, err := socket.Read(message)
	if err != nil || string(message[:n]) != "READY=1" {
		t.Errorf("systemd was told %q (%v)", message[:n], err)
	}
	if answer := get(t, p.url+"/-/ready"); answer.status != 200 {
		t.Errorf("it answers with %d", answer.status)
	}
}
