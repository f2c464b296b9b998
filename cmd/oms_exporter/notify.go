package main

import (
	"context"
	"net"

	"github.com/coreos/go-systemd/v22/daemon"
)

// ready is the BaseContext of a server. It is called once the port is open, and tells systemd so:
// with Type=notify, systemctl start waits for it, and fails if the exporter ends before.
// Without systemd, it does nothing.
func ready(net.Listener) context.Context {
	// It fails only if systemd is gone, and then nobody waits.
	_, _ = daemon.SdNotify(false, daemon.SdNotifyReady)
	return context.Background()
}
