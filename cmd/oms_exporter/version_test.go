package main

import (
	"testing"

	"github.com/prometheus/common/version"
)

func TestABuildWithoutAVersionSaysSo(t *testing.T) {
	before := version.Version
	t.Cleanup(func() { version.Version = before })
	for set, want := range map[string]string{"": "devel", "1.2.3": "1.2.3"} {
		version.Version = set
		knowVersion()
		if version.Version != want { // a test has no version of its module
			t.Errorf("with %q it is %q, want %q", set, version.Version, want)
		}
	}
}
