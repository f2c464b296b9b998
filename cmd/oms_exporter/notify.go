package main

import (
	"github.com/coreos/go-systemd/v22/daemon"
)

// notifyReady tells systemd that the port is open: with Type=notify, systemctl start waits for it,
// and fails if the exporter ends before. Without systemd, it does nothing.
func notifyReady() {
	// It fails only if systemd is gone, and then nobody waits.
	_, _ = daemon.SdNotify(false, daemon.SdNotifyReady)
}
