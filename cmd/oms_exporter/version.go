package main

import (
	"runtime/debug"
	"strings"

	"github.com/prometheus/common/version"
)

// knowVersion takes the version from what Go has written into the binary, unless the build has set
// one, as those of releases do.
func knowVersion() {
	if version.Version != "" {
		return
	}
	version.Version = "devel"
	if info, ok := debug.ReadBuildInfo(); ok && strings.HasPrefix(info.Main.Version, "v") {
		version.Version = info.Main.Version[1:]
	}
}
