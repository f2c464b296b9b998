package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/CycloneDX/cyclonedx-go"
)

// TestTheDocumentNamesWhatTheBinaryIsMadeOf describes the test itself, which is a Go binary.
func TestTheDocumentNamesWhatTheBinaryIsMadeOf(t *testing.T) {
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	document := filepath.Join(t.TempDir(), "sbom.json")
	if err := run([]string{binary, document, "1.2.3"}); err != nil {
		t.Fatal(err)
	}

	content, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	var bom cyclonedx.BOM
	if err := json.Unmarshal(content, &bom); err != nil {
		t.Fatal(err)
	}
	if c := bom.Metadata.Component; c.Version != "1.2.3" || len((*c.Hashes)[0].Value) != 64 {
		t.Errorf("the subject is %+v", c)
	}
	found := map[string]bool{}
	for _, c := range *bom.Components {
		found[c.PackageURL[:strings.LastIndex(c.PackageURL, "@")]] = c.Version != ""
	}
	for _, want := range []string{"pkg:golang/std", "pkg:golang/github.com/CycloneDX/cyclonedx-go"} {
		if !found[want] {
			t.Errorf("it lacks %s: %v", want, found)
		}
	}
	if again := filepath.Join(t.TempDir(), "again.json"); run([]string{binary, again, "1.2.3"}) != nil {
		t.Error("it fails the second time")
	} else if second, err := os.ReadFile(again); err != nil || string(second) != string(content) {
		t.Error("it is another document the second time")
	}
}

func TestWhatIsNoGoBinaryIsRefused(t *testing.T) {
	for _, args := range [][]string{nil, {"a", "b"}, {"main.go", filepath.Join(t.TempDir(), "x"), "1"}} {
		if err := run(args); err == nil {
			t.Errorf("%q succeeds", args)
		}
	}
}
