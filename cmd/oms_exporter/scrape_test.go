package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"oms_exporter/omsclient/omssim"
)

// scrapeToFile runs the command scrape and returns what is in the directory of the file
// afterward, by name.
func scrapeToFile(t *testing.T, file string, args ...string) (files map[string]string, err error) {
	t.Helper()
	err = run(t.Context(), append([]string{"scrape", "--output.file=" + file}, args...), io.Discard, io.Discard)
	entries, readErr := os.ReadDir(filepath.Dir(file))
	if readErr != nil {
		t.Fatal(readErr)
	}
	files = map[string]string{}
	for _, entry := range entries {
		files[entry.Name()] = readFile(t, filepath.Join(filepath.Dir(file), entry.Name()))
	}
	return files, err
}

var scrapeMeasures = regexp.MustCompile(
	`(?m)^(oms_scrape_duration_seconds|oms_last_successful_scrape_timestamp_seconds|oms_clock_skew_seconds) .*$`)

// TestScrapePrintsWhatAProbeAnswers for the same OMS.
func TestScrapePrintsWhatAProbeAnswers(t *testing.T) {
	t.Parallel()
	_, url := newOMS(t, omssim.Options{Projects: projects(t)})
	file := writeFile(t, "targets:\n  a: {url: '"+url+"'}\n")
	probed := get(t, start(t, "--config.file="+file).url+"/probe?target=a").body
	var stdout bytes.Buffer

	if err := run(t.Context(), []string{"scrape", "--config.file=" + file}, &stdout, io.Discard); err != nil {
		t.Fatal(err)
	}

	got := scrapeMeasures.ReplaceAllString(stdout.String(), "$1")
	if want := scrapeMeasures.ReplaceAllString(probed, "$1"); got != want {
		t.Error(difference(want, got))
	}
}

func TestScrapeReplacesTheFileOfTheTextfileCollector(t *testing.T) {
	t.Parallel()
	sim, url := newOMS(t, omssim.Options{Tasks: 3})
	file := filepath.Join(t.TempDir(), "oms.prom")
	rewriteFile(t, file, "old")
	if err := os.Chmod(file, 0o600); err != nil {
		t.Fatal(err)
	}

	files, err := scrapeToFile(t, file, "--oms.url="+url)

	if err != nil || len(files) != 1 || !strings.Contains(files["oms.prom"], "\noms_up 1\n") {
		t.Errorf("%v, %v", err, files)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o644 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}

	sim.SetFaults(omssim.Fault{Kind: "forbidden"})
	files, err = scrapeToFile(t, file, "--oms.url="+url)

	if err == nil || exitStatus(err) != 1 || !strings.Contains(err.Error(), "403") {
		t.Errorf("%v, want exit status 1 and the reason", err)
	}
	if text := files["oms.prom"]; len(files) != 1 || !strings.Contains(text, "\noms_up 0\n") ||
		!strings.Contains(text, `oms_scrape_error_info{reason="auth"} 1`) {
		t.Errorf("an OMS that cannot be used: %v", files)
	}
}

// TestScrapeHasWhatWasAskedAboutSingleTasks which a listing alone does not have.
func TestScrapeHasWhatWasAskedAboutSingleTasks(t *testing.T) {
	t.Parallel()
	_, url := newOMS(t, omssim.Options{Tasks: 3, Scenarios: []string{"verified_differs"}})

	files, err := scrapeToFile(t, filepath.Join(t.TempDir(), "oms.prom"), "--oms.url="+url, "--collector.verify")

	if n := strings.Count(files["oms.prom"], "\noms_task_verify_different_records{"); err != nil || n != 3 {
		t.Errorf("%d tasks have a result of the verification, %v", n, err)
	}
}

// TestATerminalIsSpared escape sequences and changes of direction in names.
func TestATerminalIsSpared(t *testing.T) {
	t.Parallel()
	got := string(harmless([]byte("a{b=\"\x1b[31m\u009b\u202e订单\"} 1\nc 2\n")))

	if want := "a{b=\"\\u001B[31m\\u009B\\u202E订单\"} 1\nc 2\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// TestScrapeReplacesOnlyRegularFiles and leaves pipes, devices and symbolic links as they are.
func TestScrapeReplacesOnlyRegularFiles(t *testing.T) {
	t.Parallel()
	_, url := newOMS(t, omssim.Options{Tasks: 3})
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	rewriteFile(t, path("old"), "old")
	for link, target := range map[string]string{
		"link": "old", "chain": "link", "loop": "loop", "dangling": "gone", "to a pipe": hangingFile(t), "to a directory": ".",
	} {
		if err := os.Symlink(target, path(link)); err != nil {
			t.Fatal(err)
		}
	}
	for name, says := range map[string]string{
		"to a pipe": "not a regular file", "to a directory": "not a regular file", "": "not a regular file",
		"loop": "symbolic link", "dangling": "symbolic link",
	} {
		err := run(t.Context(), []string{"scrape", "--oms.url=http://127.0.0.1:1", "--output.file=" + path(name)}, io.Discard, io.Discard)

		if err == nil || exitStatus(err) != 2 || !strings.Contains(err.Error(), "--output.file: ") || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, want exit status 2 and %s", name, err, says)
		}
	}

	err := run(t.Context(), []string{"scrape", "--oms.url=" + url, "--output.file=" + path("chain")}, io.Discard, io.Discard)

	if text := readFile(t, path("old")); err != nil || !strings.Contains(text, "\noms_up 1\n") {
		t.Errorf("%v, the file that the links lead to has\n%s", err, text)
	}
	if info, err := os.Lstat(path("chain")); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link is %v, %v", info, err)
	}
}

func TestScrapeNeedsOneTargetAndAPlaceToWrite(t *testing.T) {
	t.Parallel()
	two := writeFile(t, oneTarget+"  b: {url: http://b.example}\n")
	for _, args := range [][]string{
		{},
		{"--config.file=" + two},
		{"--config.file=" + two, "--target=c"},
		{"--oms.url=http://a.example", "--target=a"},
		{"--oms.url=http://127.0.0.1:1", "--output.file=" + two + "/no/directory"},
	} {
		var stdout bytes.Buffer

		err := run(t.Context(), append([]string{"scrape"}, args...), &stdout, io.Discard)

		if err == nil || exitStatus(err) != 2 || stdout.Len() > 0 {
			t.Errorf("%q: %v, want exit status 2\n%s", args, err, &stdout)
		}
	}
}
