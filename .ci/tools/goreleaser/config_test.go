// Package goreleaser_test checks .goreleaser.yml, as strictly as goreleaser itself but without
// building it, which takes minutes.
package goreleaser_test

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/goreleaser/goreleaser/v2/pkg/config"
)

const repository = "../../.."

func load(t *testing.T) config.Project {
	t.Helper()
	project, err := config.Load(repository + "/.goreleaser.yml") // unknown keys are errors
	if err != nil {
		t.Fatal(err)
	}
	return project
}

func TestReleasesHaveEveryPlatform(t *testing.T) {
	build := load(t).Builds[0]
	if want := []string{"linux", "darwin", "windows"}; !slices.Equal(build.Goos, want) {
		t.Errorf("systems %q, want %q", build.Goos, want)
	}
	if want := []string{"amd64", "arm64"}; !slices.Equal(build.Goarch, want) {
		t.Errorf("architectures %q, want %q", build.Goarch, want)
	}
	if !slices.Contains(build.Env, "CGO_ENABLED=0") {
		t.Error("the program is not static")
	}
	flags := strings.Join(build.Ldflags, " ")
	for _, variable := range []string{"Version", "Revision", "Branch", "BuildUser", "BuildDate"} {
		if !strings.Contains(flags, "-X github.com/prometheus/common/version."+variable+"={{") &&
			!strings.Contains(flags, "-X github.com/prometheus/common/version."+variable+"=goreleaser") {
			t.Errorf("--version does not know the %s: %s", variable, flags)
		}
	}
}

func TestArchivesHaveFilesThatThereAre(t *testing.T) {
	sources := []string{}
	for _, file := range load(t).Archives[0].Files {
		sources = append(sources, file.Source)
	}
	for _, want := range []string{"LICENSE", "dist/share/THIRD_PARTY_NOTICES", "README.md", "deploy/oms_exporter.yml", "deploy/prometheus/rules/*.yml", "deploy/alertmanager/*.yml"} {
		if !slices.Contains(sources, want) {
			t.Errorf("archives lack %s", want)
		}
	}
	for _, source := range sources {
		if strings.HasPrefix(source, "dist/") {
			continue // is built
		}
		if found, err := filepath.Glob(filepath.Join(repository, strings.ReplaceAll(source, "**/", ""))); err != nil || len(found) == 0 {
			t.Errorf("there is no %s (%v)", source, err)
		}
	}
}
