package deploy_test

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"oms_exporter/omsclient"
)

//go:generate go test -run=^TestShapes$ -update .

var updateGolden = flag.Bool("update", false, "rewrite the golden files of testdata/oms-versions")

const (
	repository = ".."
	docs       = "docs"
	shapesPage = docs + "/oms-versions.md"
	shapesDir  = "testdata/oms-versions"
)

// A document is what a page of Markdown has in it.
type document struct {
	levels  []int           // of its headings
	anchors map[string]bool // of its headings, as GitHub makes them
	links   []string        // where they go
	code    []codeBlock
	spans   []codeBlock // of code in the text
}

// A codeBlock is a fenced block of code.
type codeBlock struct {
	section  string // the anchor of the heading above
	language string
	text     string
}

var (
	heading  = regexp.MustCompile(`^(#{1,6}) +(.+?)(?: +#+)?$`)
	codeSpan = regexp.MustCompile("`[^`]+`")
	linkTo   = regexp.MustCompile(`\]\(<?([^)\s>]+)|^\[[^\]]+\]: *(\S+)|<(https?:[^>]+)>|(?:href|src)="([^"]+)"`)
	linkText = regexp.MustCompile(`!?\[([^\]]*)\]\([^)]*\)`)
	noAnchor = regexp.MustCompile(`[^\p{L}\p{M}\p{N} _-]`)
)

// readDocument reads a page of Markdown.
func readDocument(t *testing.T, name string) document {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	d := document{anchors: map[string]bool{}}
	section, fence := "", ""
	for line := range strings.Lines(string(text)) {
		line = strings.TrimRight(line, "\r\n")
		bare := strings.TrimSpace(line)
		switch {
		case fence != "" && bare == fence:
			fence = ""
		case fence != "":
			d.code[len(d.code)-1].text += line + "\n"
		case strings.HasPrefix(bare, "```"):
			fence = bare[:len(bare)-len(strings.TrimLeft(bare, "`"))]
			language, _, _ := strings.Cut(strings.TrimLeft(bare, "`"), " ")
			d.code = append(d.code, codeBlock{section: section, language: language})
		default:
			if h := heading.FindStringSubmatch(line); h != nil {
				section = d.addAnchor(h[2])
				d.levels = append(d.levels, len(h[1]))
			}
			for _, span := range codeSpan.FindAllString(line, -1) {
				d.spans = append(d.spans, codeBlock{section: section, text: strings.Trim(span, "`")})
			}
			for _, l := range linkTo.FindAllStringSubmatch(codeSpan.ReplaceAllString(line, ""), -1) {
				d.links = append(d.links, cmp.Or(l[1:]...))
			}
		}
	}
	if fence != "" {
		t.Errorf("%s: a block of code has no end", name)
	}
	return d
}

// addAnchor adds the anchor of a heading. A second one of the same text gets a number.
func (d *document) addAnchor(title string) string {
	text := strings.ReplaceAll(linkText.ReplaceAllString(title, "$1"), "`", "")
	text = strings.ReplaceAll(noAnchor.ReplaceAllString(strings.ToLower(text), ""), " ", "-")
	anchor := text
	for n := 1; d.anchors[anchor]; n++ {
		anchor = fmt.Sprintf("%s-%d", text, n)
	}
	d.anchors[anchor] = true
	return anchor
}

func TestAnchorsAreThoseOfGitHub(t *testing.T) {
	d := document{anchors: map[string]bool{}}
	for _, c := range [][2]string{
		{"Try it", "try-it"},
		{"`oms_up` is 0: reason `http_status`", "oms_up-is-0-reason-http_status"},
		{"Who? What, when & where", "who-what-when--where"},
		{"先看什么：延迟", "先看什么延迟"},
		{"See [the list](a.md#b)", "see-the-list"},
		{"Try it", "try-it-1"},
		{"Try it", "try-it-2"},
	} {
		if got := d.addAnchor(c[0]); got != c[1] {
			t.Errorf("%q has the anchor %q, want %q", c[0], got, c[1])
		}
	}
}

// markdown returns the names of all Markdown files of the repository.
func markdown(t *testing.T) []string {
	t.Helper()
	var names []string
	err := filepath.WalkDir(repository, func(name string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() && entry.Name() == ".git" {
			return fs.SkipDir
		}
		if err == nil && !entry.IsDir() && strings.EqualFold(filepath.Ext(name), ".md") {
			names = append(names, name)
		}
		return err
	})
	if err != nil || len(names) < 10 {
		t.Fatalf("%d files of Markdown: %v", len(names), err)
	}
	return names
}

// TestLinks checks that every link within the repository goes somewhere. Those that leave it
// are only read.
func TestLinks(t *testing.T) {
	pages := map[string]document{}
	for _, name := range markdown(t) {
		pages[name] = readDocument(t, name)
	}
	links := 0
	for name, page := range pages {
		for _, link := range page.links {
			links++
			if err := follow(pages, name, link); err != nil {
				t.Errorf("%s: %s: %v", name, link, err)
			}
		}
	}
	if links < 100 {
		t.Errorf("only %d links", links)
	}
}

var line = regexp.MustCompile(`^L[0-9]+(-L[0-9]+)?$`)

// follow returns what is wrong with a link on a page.
func follow(pages map[string]document, from, link string) error {
	u, err := url.Parse(link)
	if err != nil {
		return err
	}
	if u.Scheme != "" {
		if u.Scheme == "mailto" || strings.HasPrefix(u.Scheme, "http") && u.Hostname() != "" {
			return nil
		}
		return errors.New("no address of the web")
	}
	to := from
	if u.Path != "" {
		to = filepath.Join(filepath.Dir(from), filepath.FromSlash(u.Path))
	}
	inside, err := filepath.Rel(repository, to)
	if err != nil || u.Host != "" || strings.HasPrefix(u.Path, "/") || strings.HasPrefix(inside, "..") {
		return errors.New("outside of the repository")
	}
	found, err := os.Stat(to)
	if err != nil {
		return errors.New("there is no such file")
	}
	if found.IsDir() && u.Fragment != "" {
		to = filepath.Join(to, "README.md")
	}
	page, isPage := pages[to]
	known := page.anchors[u.Fragment]
	if !isPage {
		known = line.MatchString(u.Fragment)
	}
	if u.Fragment != "" && !known {
		return errors.New("there is no such heading")
	}
	return nil
}

// chinesePages returns the pages in Chinese, each with that in English.
func chinesePages(t *testing.T) map[string]string {
	t.Helper()
	pages := map[string]string{repository + "/README.zh-CN.md": repository + "/README.md"}
	found, err := filepath.Glob(docs + "/zh/*.md")
	if err != nil || len(found) == 0 {
		t.Fatalf("%q, %v", found, err)
	}
	for _, page := range found {
		pages[page] = filepath.Join(docs, filepath.Base(page))
	}
	pages[docs+"/zh/INSTALL.md"] = "INSTALL.md"
	return pages
}

// TestChinesePages checks that a page in Chinese has the structure of that in English: the same
// headings, rows and steps, the same commands, names and values, and links to the same files.
func TestChinesePages(t *testing.T) {
	comment := regexp.MustCompile(`(?m)(^| +)#.*$`)
	parts := regexp.MustCompile(`(?m)^ *(#+|\|\||\||-|[0-9]+\.) `)
	words := regexp.MustCompile(`[^\x00-\x7f]`)
	for page, original := range chinesePages(t) {
		zh, en := readDocument(t, page), readDocument(t, original)
		equal := func(what string, zh, en []string) {
			if !slices.Equal(zh, en) {
				t.Errorf("%s: %s in Chinese:\n%s\nin English:\n%s", page, what, strings.Join(zh, "\n"), strings.Join(en, "\n"))
			}
		}
		texts := func(of []codeBlock) (texts []string) {
			for _, c := range of {
				if text := comment.ReplaceAllString(c.text, ""); !words.MatchString(text) {
					texts = append(texts, text)
				}
			}
			return texts
		}
		targets := func(d document) (targets []string) {
			for _, link := range d.links {
				file, _, _ := strings.Cut(link, "#")
				if file = filepath.Base(file); !strings.HasPrefix(file, "README") {
					targets = append(targets, file)
				}
			}
			slices.Sort(targets)
			return targets
		}
		structure := func(name string) []string { return parts.FindAllString(readFile(t, name), -1) }
		equal("the structure", structure(page), structure(original))
		equal("the blocks of code", texts(zh.code), texts(en.code))
		spans, spansEN := texts(zh.spans), texts(en.spans)
		slices.Sort(spans)
		slices.Sort(spansEN)
		equal("names and values", spans, spansEN)
		equal("links", targets(zh), targets(en))
	}
}

// TestPagesSayWhatTheyAreFor: the first line after the title is a sentence.
func TestPagesSayWhatTheyAreFor(t *testing.T) {
	var pages []string
	for _, pattern := range []string{"*.md", docs + "/*.md", docs + "/zh/*.md", "*/README*.md", "helm/*/README.md"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		pages = append(pages, found...)
	}
	if len(pages) < 15 {
		t.Errorf("only %d pages", len(pages))
	}
	first := regexp.MustCompile(`^# \S.*\n\n[^\s#|<\x60\-*][^\n]{20,}\n|^# \S.*\n\n\x60\w[^\n]{20,}\n`)
	for _, page := range pages {
		if !first.MatchString(readFile(t, page)) {
			t.Errorf("%s does not begin with a title and a sentence", page)
		}
	}
}

// alertNames returns the names of the alerts, which are those of the runbooks.
func alertNames(t *testing.T) []string {
	t.Helper()
	names, err := filepath.Glob("runbooks/OMS*.md")
	if err != nil || len(names) == 0 {
		t.Fatalf("%d runbooks: %v", len(names), err)
	}
	for i, name := range names {
		names[i] = strings.TrimSuffix(filepath.Base(name), ".md")
	}
	return names
}

// omsOwn matches names of OMS's own services, and of a set of logs, that look like metrics.
var omsOwn = regexp.MustCompile(`^oms_(console|drc_cm|drc_supervisor|log)$`)

// TestDocsNameWhatThereIs checks the names in the documents, of metrics, rules, alerts and flags,
// and their queries; and that the index has every page.
func TestDocsNameWhatThereIs(t *testing.T) {
	pages, err := filepath.Glob(docs + "/*.md")
	if err != nil {
		t.Fatal(err)
	}
	index, names, alerts := readDocument(t, docs+"/README.md"), known(t), alertNames(t)
	flags := readFile(t, docs+"/flags.md")
	word := regexp.MustCompile(`\boms_\w+\b|\boms:\w+:\w+\b|\bOMS[A-Z][a-z]\w+\b|--(?:no-)?(?:oms|web|scrape|collector|sim|log|config|replay|record)\b[a-z.-]*`)
	ruleFile := regexp.MustCompile(`oms_\w+\.rules\.yml`)
	for _, name := range pages {
		if base := filepath.Base(name); base != "README.md" && !slices.Contains(index.links, base) {
			t.Errorf("the index lacks %s", name)
		}
	}
	pages = append(pages, glob(t, "runbooks/*.md")...)
	for _, name := range append(pages, "INSTALL.md", repository+"/README.md", repository+"/README.zh-CN.md", repository+"/CONTRIBUTING.md") {
		page := readDocument(t, name)
		var code strings.Builder
		for _, b := range slices.Concat(page.spans, page.code) {
			code.WriteString(b.text + "\n")
			if b.language == "promql" {
				if err := names.Check(b.text); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			}
		}
		for _, w := range word.FindAllString(ruleFile.ReplaceAllString(code.String(), ""), -1) {
			flag := strings.TrimRight(strings.TrimPrefix(w, "--no-"), ".-")
			switch {
			case strings.HasPrefix(w, "--"):
				if flag = strings.TrimPrefix(flag, "--"); !strings.Contains(flags, "--"+flag) && !strings.Contains(flags, "--[no-]"+flag) {
					t.Errorf("%s: there is no flag %s", name, w)
				}
			case w == "oms_exporter" || strings.HasPrefix(w, "oms_exporter_linux") || omsOwn.MatchString(w):
			case !names.Has(w) && !slices.Contains(alerts, w) && !strings.HasSuffix(w, "_"):
				t.Errorf("%s: there is no %s", name, w)
			}
		}
	}
}

// TestDocsNameFilesAndTestsThatExist checks the paths and the tests in the code of all documents.
func TestDocsNameFilesAndTestsThatExist(t *testing.T) {
	tests := map[string]bool{}
	err := filepath.WalkDir(repository, func(name string, _ fs.DirEntry, err error) error {
		if strings.HasSuffix(name, "_test.go") {
			for _, f := range regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Benchmark)\w+)\(`).FindAllStringSubmatch(readFile(t, name), -1) {
				tests[f[1]] = true
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	file := regexp.MustCompile(`^(?:cmd|collector|omsclient|deploy|\.ci|\.github)/[\w./-]+$`)
	test := regexp.MustCompile(`-run[ =]\^?(\w+)|\b((?:Test|Fuzz|Benchmark)[A-Z]\w+)`)
	files, named := 0, 0
	for _, name := range markdown(t) {
		page := readDocument(t, name)
		for _, b := range slices.Concat(page.spans, page.code) {
			if path := b.text; file.MatchString(path) && !strings.Contains(path, "NAME") {
				files++
				if _, err := os.Stat(filepath.Join(repository, path)); err != nil {
					t.Errorf("%s: there is no file %s", name, path)
				}
			}
			for _, m := range test.FindAllStringSubmatch(b.text, -1) {
				named++
				if want := cmp.Or(m[1:]...); !slices.ContainsFunc(slices.Collect(maps.Keys(tests)), func(test string) bool {
					return strings.Contains(test, want)
				}) {
					t.Errorf("%s: there is no test %s", name, want)
				}
			}
		}
	}
	if files < 20 || named < 5 {
		t.Errorf("only %d files and %d tests are named", files, named)
	}
}

// buildExporter returns the path of a program to run.
func buildExporter(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "oms_exporter")
	build := exec.CommandContext(t.Context(), "go", "build", "-buildvcs=false", "-o", program, "./cmd/oms_exporter")
	build.Dir = repository
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return program
}

// background runs a program until the test ends, and returns the address that it says it has.
func background(t *testing.T, says string, cmd *exec.Cmd) string {
	t.Helper()
	said, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	lines := bufio.NewScanner(said)
	var all []string
	for lines.Scan() {
		all = append(all, lines.Text())
		if _, address, ok := strings.Cut(lines.Text(), says); ok {
			go func() { _, _ = io.Copy(io.Discard, said) }()
			address, _, _ = strings.Cut(address, " ")
			return address
		}
	}
	t.Fatalf("%s does not start:\n%s", cmd.Args, strings.Join(all, "\n"))
	return ""
}

// simulated runs a simulated OMS and returns its address, host and port.
func simulated(t *testing.T, program string, flags ...string) string {
	t.Helper()
	args := append([]string{"simulate", "--web.listen-address=127.0.0.1:0"}, flags...)
	return background(t, "url=http://", exec.Command(program, args...))
}

// exported runs an exporter and returns its address, host and port.
func exported(t *testing.T, program, dir string, env []string, flags ...string) string {
	t.Helper()
	cmd := exec.Command(program, append([]string{"--web.listen-address=127.0.0.1:0"}, flags...)...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	return background(t, `msg="Listening on" address=`, cmd)
}

// TestShapes replays what the versions of OMS send and compares all that is exported, and
// checks that the page about versions has exactly these shapes.
func TestShapes(t *testing.T) {
	program := buildExporter(t)
	entries, err := os.ReadDir(shapesDir)
	if err != nil {
		t.Fatal(err)
	}
	named := map[string]bool{}
	for _, link := range readDocument(t, shapesPage).links {
		if rest, ok := strings.CutPrefix(link, "../"+shapesDir+"/"); ok {
			named[path.Dir(rest)] = true
		}
	}
	for _, e := range entries {
		shape := e.Name()
		if !named[shape] {
			t.Errorf("%s does not name %s", shapesPage, shape)
		}
		delete(named, shape)
		t.Run(shape, func(t *testing.T) {
			dir := filepath.Join(shapesDir, shape)
			oms := simulated(t, program, "--replay="+dir)
			exporter := exported(t, program, "", []string{"OMS_URL=http://" + oms})
			got, golden := lasting(fetch(t, "http://"+exporter+"/metrics")), filepath.Join(dir, "metrics.prom")
			if *updateGolden {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil || got != string(want) {
				t.Errorf("it is exported otherwise than in %s (%v); if it should be, use -update:\n%s",
					golden, err, difference(string(want), got))
			}
		})
	}
	for shape := range named {
		t.Errorf("%s names %s, which is not there", shapesPage, shape)
	}
}

func fetch(t *testing.T, address string) string {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Timeout: time.Minute}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s %v\n%s", address, response.Status, err, body)
	}
	return string(body)
}

var (
	foreign = regexp.MustCompile(`(?m)^(# HELP .*|(# TYPE )?(go_|process_|promhttp_|oms_exporter_(build_info|config|api_request_duration)).*)\n`)
	clocks  = regexp.MustCompile(`(?m)^(oms_scrape_duration_seconds|oms_last_successful_scrape_timestamp_seconds|oms_clock_skew_seconds) .*$`)
)

// lasting returns an exposition without what is different at each run, and without its texts.
func lasting(exposition string) string {
	return clocks.ReplaceAllString(foreign.ReplaceAllString(exposition, ""), "$1 0")
}

// difference returns the lines that only one of two texts has.
func difference(want, got string) string {
	var b strings.Builder
	for sign, both := range map[string][2]string{"-": {want, got}, "+": {got, want}} {
		other := strings.Split(both[1], "\n")
		for l := range strings.SplitSeq(both[0], "\n") {
			if !slices.Contains(other, l) {
				b.WriteString(sign + l + "\n")
			}
		}
	}
	return b.String()
}

// TestReasons simulates each failure as the table of reasons says, and expects the reason.
func TestReasons(t *testing.T) {
	program := buildExporter(t)
	reasons := []omsclient.Reason{
		omsclient.Timeout, omsclient.DNS, omsclient.Connect, omsclient.TLS, omsclient.Auth, omsclient.Credentials,
		omsclient.HTTPStatus, omsclient.API, omsclient.Decode, omsclient.Pagination, omsclient.Limit, omsclient.Canceled,
	}
	for _, reason := range reasons {
		if !strings.Contains(readFile(t, "runbooks/OMSDown.md"), "`"+string(reason)+"`") {
			t.Errorf("the runbook of OMSDown lacks %s", reason)
		}
	}
	rows := regexp.MustCompile("(?m)^\\| `(\\w+)` \\| .* \\| (?:`(--sim[^`|]*)` )?\\|$").FindAllStringSubmatch(readFile(t, docs+"/troubleshooting.md"), -1)
	for _, row := range rows {
		reasons = slices.DeleteFunc(reasons, func(r omsclient.Reason) bool { return string(r) == row[1] })
		if row[2] == "" {
			continue
		}
		t.Run(row[1], func(t *testing.T) {
			t.Parallel()
			oms := simulated(t, program, strings.Fields(row[2])...)
			exporter := exported(t, program, "", []string{"OMS_URL=http://" + oms}, "--scrape.timeout=2s")
			want := fmt.Sprintf("oms_scrape_error_info{reason=%q} 1\n", row[1])
			if got := fetch(t, "http://"+exporter+"/metrics"); !strings.Contains(got, want) {
				t.Errorf("%s does not show %s", row[2], want)
			}
		})
	}
	if len(reasons) > 0 {
		t.Errorf("the table lacks %q", reasons)
	}
}

// serveFlags are the flags of the exporter in the sections that need some.
var serveFlags = map[string][]string{
	"troubleshooting.md#the-configuration-is-not-reloaded": {"--config.file=oms.yml", "--web.enable-lifecycle"},
	"from-the-console.md#thresholds":                       {"--config.file=oms.yml"},
	"security.md#the-exporters-own-port":                   {"--web.config.file=web.yml"},
}

// TestCommands runs the commands of the documents, those of a section in an empty directory with
// the YAML of the section that begins with "# NAME.yml". What a block of type console shows of
// their output, up to lines of three dots, they have to print. Programs that serve are not run:
// each section has an OMS and an exporter of it.
func TestCommands(t *testing.T) {
	program := buildExporter(t)
	pages, err := filepath.Glob(docs + "/*.md")
	if err != nil {
		t.Fatal(err)
	}
	serves := regexp.MustCompile(`^(oms_exporter simulate .*|OMS_URL=http://localhost:8089 oms_exporter)\n$`)
	commands := 0
	for _, name := range pages {
		sections := map[string][]codeBlock{}
		for _, b := range readDocument(t, name).code {
			if key := filepath.Base(name) + "#" + b.section; !serves.MatchString(b.text) {
				sections[key] = append(sections[key], b)
			}
		}
		for key, blocks := range sections {
			if !slices.ContainsFunc(blocks, func(b codeBlock) bool { return b.language == "sh" || b.language == "console" }) {
				continue
			}
			commands++
			t.Run(key, func(t *testing.T) {
				t.Parallel()
				newStage(t, program, serveFlags[key]).play(blocks)
			})
		}
	}
	if commands < 6 {
		t.Errorf("only %d sections have commands", commands)
	}
}

// A docStage is where the blocks of a section are run.
type docStage struct {
	t        *testing.T
	program  string
	serve    []string // flags of the exporter
	dir      string
	env      []string
	oms      string // host and port
	exporter string // host and port; empty until it is needed
}

func newStage(t *testing.T, program string, serve []string) *docStage {
	t.Helper()
	st := &docStage{t: t, program: program, serve: serve, dir: t.TempDir(), oms: simulated(t, program)}
	st.env = []string{"PATH=" + filepath.Dir(program) + string(os.PathListSeparator) + os.Getenv("PATH")}
	if !slices.Contains(serve, "--config.file=oms.yml") {
		st.env = append(st.env, "OMS_URL=http://"+st.oms)
	}
	return st
}

func (s *docStage) write(name, text string) {
	s.t.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

var fileName = regexp.MustCompile(`^# ([\w.-]+\.yml)\b`)

// play writes the files of a section and runs its commands.
func (s *docStage) play(blocks []codeBlock) {
	s.t.Helper()
	for _, b := range blocks {
		if name := fileName.FindStringSubmatch(b.text); b.language == "yaml" && name != nil {
			s.write(name[1], strings.ReplaceAll(b.text, "https://oms.example:8089", "http://"+s.oms))
		}
	}
	for _, b := range blocks {
		switch b.language {
		case "sh":
			if _, err := s.shell(b.text); err != nil {
				s.t.Errorf("%v in\n%s", err, b.text)
			}
		case "console":
			s.converse(b.text)
		}
	}
}

// converse runs the commands of a block, which begin with "$ ", and compares what they print.
func (s *docStage) converse(block string) {
	s.t.Helper()
	for part := range strings.SplitSeq("\n"+block, "\n$ ") {
		if strings.TrimSpace(part) == "" {
			continue
		}
		command, shown, _ := strings.Cut(part, "\n")
		printed, _ := s.shell(command) // a check that finds something wrong fails
		rest := printed
		for want := range strings.SplitSeq("\n"+shown+"\n", "\n...\n") {
			_, after, found := strings.Cut(rest, strings.TrimSpace(want))
			if !found {
				s.t.Errorf("%s\ndoes not print\n%s\nbut\n%s", command, want, printed)
				break
			}
			rest = after
		}
	}
}

// shell runs commands, with the addresses of the documents replaced by those of the stage.
func (s *docStage) shell(commands string) (string, error) {
	s.t.Helper()
	if s.exporter == "" && strings.Contains(commands, "localhost:10667") {
		s.exporter = exported(s.t, s.program, s.dir, s.env, s.serve...)
	}
	_, port, _ := strings.Cut(s.exporter, ":")
	commands = strings.NewReplacer("localhost:10667", "localhost:"+port, "localhost:8089", s.oms).Replace(commands)
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-c", commands)
	cmd.Dir, cmd.Env, cmd.WaitDelay = s.dir, append(os.Environ(), s.env...), time.Second
	out, err := cmd.CombinedOutput()
	printed := strings.ReplaceAll(string(out), s.oms, "localhost:8089")
	if s.exporter != "" {
		printed = strings.ReplaceAll(printed, "localhost:"+port, "localhost:10667")
	}
	return printed, err
}
