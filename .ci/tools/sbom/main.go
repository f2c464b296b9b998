// Sbom writes what a Go binary is made of as a CycloneDX document: the modules and the Go version
// that the compiler has written into it.
//
//	sbom BINARY DOCUMENT VERSION
package main

import (
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"

	"github.com/CycloneDX/cyclonedx-go"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "sbom:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 3 {
		return errors.New("usage: sbom BINARY DOCUMENT VERSION")
	}
	bom, err := describe(args[0], args[2])
	if err != nil {
		return err
	}
	file, err := os.Create(args[1])
	if err != nil {
		return err
	}
	encoder := cyclonedx.NewBOMEncoder(file, cyclonedx.BOMFileFormatJSON)
	return errors.Join(encoder.SetPretty(true).Encode(bom), file.Close())
}

// describe returns what a binary is made of. The same binary gives the same document: it has
// neither a time nor a serial number.
func describe(binary, version string) (*cyclonedx.BOM, error) {
	info, err := buildinfo.ReadFile(binary)
	if err != nil {
		return nil, err
	}
	content, err := os.ReadFile(binary)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(content)
	subject := cyclonedx.Component{
		BOMRef:  "binary",
		Type:    cyclonedx.ComponentTypeApplication,
		Name:    filepath.Base(binary),
		Version: version,
		Hashes:  &[]cyclonedx.Hash{{Algorithm: cyclonedx.HashAlgoSHA256, Value: hex.EncodeToString(sum[:])}},
	}
	components := []cyclonedx.Component{{
		BOMRef:     "std",
		Type:       cyclonedx.ComponentTypeLibrary,
		Name:       "std",
		Version:    info.GoVersion[len("go"):],
		PackageURL: "pkg:golang/std@" + info.GoVersion[len("go"):],
	}}
	refs := []string{"std"}
	for _, module := range info.Deps {
		c := component(module)
		components = append(components, c)
		refs = append(refs, c.BOMRef)
	}
	bom := cyclonedx.NewBOM()
	bom.Metadata = &cyclonedx.Metadata{Component: &subject}
	bom.Components = &components
	bom.Dependencies = &[]cyclonedx.Dependency{{Ref: subject.BOMRef, Dependencies: &refs}}
	return bom, nil
}

func component(module *debug.Module) cyclonedx.Component {
	if module.Replace != nil {
		module = module.Replace
	}
	url := "pkg:golang/" + module.Path + "@" + module.Version
	c := cyclonedx.Component{
		BOMRef: url, Type: cyclonedx.ComponentTypeLibrary,
		Name: module.Path, Version: module.Version, PackageURL: url,
	}
	if module.Sum != "" {
		// Go's own sum of the module's files, as in go.sum.
		c.Properties = &[]cyclonedx.Property{{Name: "go:sum", Value: module.Sum}}
	}
	return c
}
