package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"unicode"

	"github.com/alecthomas/kingpin/v2"
	"github.com/prometheus/common/expfmt"
)

// scrapeOnceSettings are those of the command scrape.
type scrapeOnceSettings struct {
	oms    omsSettings
	scrape scrapeSettings
	target string
	output string // a file, or empty for stdout
}

func addScrape(app *kingpin.Application) (*kingpin.CmdClause, command) {
	s := &scrapeOnceSettings{oms: omsSettings{target: defaultTarget()}}
	cmd := app.Command("scrape",
		"Scrape an OMS once, to stdout or to a file for the textfile collector of node_exporter.")
	addOMSFlags(cmd, &s.oms)
	addScrapeFlags(cmd, &s.scrape)
	cmd.Flag("target", "The target of the configuration file to scrape, if it has several.").
		StringVar(&s.target)
	cmd.Flag("output.file", "Write to this file, such as /var/lib/node_exporter/oms.prom. "+
		"It is replaced as a whole, and others can read it.").StringVar(&s.output)
	return cmd, func(ctx context.Context, stdout, _ io.Writer) error {
		return scrapeOnce(ctx, s, stdout)
	}
}

// scrapeOnce writes what a scrape of an OMS answers. If the OMS cannot be used, it
// writes that, with oms_up 0, and the error says why.
func scrapeOnce(ctx context.Context, s *scrapeOnceSettings, stdout io.Writer) error {
	loaded, err := s.load()
	if err != nil {
		return err
	}
	targets, err := newTargetsOnce(loaded, &s.scrape, direct)
	if err != nil {
		return err
	}
	defer targets.close()
	snapshot := targets.all()[0].listOnce(ctx)
	if ctx.Err() != nil {
		return errors.New("interrupted")
	}
	var text bytes.Buffer
	err = snapshot.Encode(ctx, &text, expfmt.NewFormat(expfmt.TypeTextPlain), nil, nil)
	if err != nil {
		return err
	}
	exposition := text.Bytes()
	if s.output == "" {
		if screenOf(stdout).terminal {
			exposition = harmless(exposition)
		}
		_, err = stdout.Write(exposition)
	} else {
		err = replaceFile(s.output, exposition)
	}
	return cmp.Or(err, snapshot.Err())
}

// load returns the configuration of the one target to scrape.
func (s *scrapeOnceSettings) load() (*fileConfig, error) {
	if err := cmp.Or(s.oms.validate(), s.scrape.validate()); err != nil {
		return nil, err
	}
	if s.output != "" {
		if _, err := replaceable(s.output); err != nil {
			return nil, err
		}
	}
	loaded, err := s.oms.load()
	if err != nil {
		return nil, err
	}
	if s.target != "" {
		return loaded, s.oms.choose(loaded, []string{s.target})
	}
	if len(loaded.Targets) > 1 {
		return nil, usagef("%s has %s: choose one with --target", s.oms.configFile,
			amount(len(loaded.Targets), "target"))
	}
	return loaded, nil
}

// harmless replaces what could confuse a terminal: names of tasks may have anything.
func harmless(exposition []byte) []byte {
	var safe strings.Builder
	for _, r := range string(exposition) {
		if r == '\n' || unicode.IsPrint(r) {
			safe.WriteRune(r)
		} else {
			fmt.Fprintf(&safe, `\u%04X`, r)
		}
	}
	return []byte(safe.String())
}

// replaceFile replaces a file, or makes one, so that at any time, even after a crash,
// readers find all of the old or all of the new content. Of a symbolic link, it replaces
// what the link points to. Devices, pipes and directories stay what they are.
func replaceFile(name string, content []byte) error {
	const readable = 0o644
	name, err := replaceable(name)
	if err != nil {
		return err
	}
	// The collector reads *.prom, which the temporary name does not match.
	f, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+".*")
	if err != nil {
		return usagef("--output.file: %w", err)
	}
	defer os.Remove(f.Name()) //nolint:errcheck // it is gone if all went well
	_, err = f.Write(content)
	if err == nil {
		err = f.Chmod(readable)
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), name)
}

// replaceable returns the name of the regular file to replace, after all symbolic links.
// The file need not exist.
func replaceable(name string) (string, error) {
	target := name
	info, err := os.Lstat(name)
	if err == nil && info.Mode()&fs.ModeSymlink != 0 {
		if target, err = filepath.EvalSymlinks(name); err != nil {
			return "", usagef("--output.file: %s is a symbolic link to nothing: remove it: %w", name, err)
		}
		info, err = os.Lstat(target)
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return target, nil
	case err != nil:
		return "", usagef("--output.file: %w", err)
	case !info.Mode().IsRegular():
		return "", usagef("--output.file: %s is not a regular file, and would be replaced by one: "+
			"name a file, or leave out the flag for stdout", name)
	}
	return target, nil
}
