package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"io"
	"log"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"go.uber.org/goleak"

	"oms_exporter/omsclient/omssim"
)

var update = flag.Bool("update", false, "rewrite golden files and the generated parts of the README")

func TestMain(m *testing.M) {
	for _, name := range []string{"OMS_URL", "OMS_USERNAME", "OMS_PASSWORD", "OMS_PASSWORD_FILE"} {
		if err := os.Unsetenv(name); err != nil {
			panic(err)
		}
	}
	flag.Parse()
	// The tests mostly wait, so more of them run at once than there are processors.
	if err := flag.Set("test.parallel", "8"); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m)
}

// patience is how long a test waits for something that should happen at once. A busy machine
// is no failure.
const patience = time.Minute

// A program is a running oms_exporter.
type program struct {
	url    string // where it listens
	stdout *output
	stderr *output
	cancel context.CancelFunc
	ended  chan struct{} // closed when err is set
	err    error
}

// launch runs the program. At the end the test stops it, and fails if it returned
// an error.
func launch(t *testing.T, args ...string) *program {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	p := &program{
		stdout: newOutput(), stderr: newOutput(), cancel: cancel, ended: make(chan struct{}),
	}
	go func() {
		defer close(p.ended)
		p.err = run(ctx, args, p.stdout, p.stderr)
		p.stdout.end()
		p.stderr.end()
	}()
	t.Cleanup(func() {
		if err := p.stop(t); err != nil {
			t.Errorf("run(%q) = %v, log:\n%s", args, err, p.stderr)
		}
	})
	return p
}

// stop stops the program and returns its error.
func (p *program) stop(t *testing.T) error {
	t.Helper()
	p.cancel()
	return p.wait(t)
}

// wait waits for the program to exit and returns its error.
func (p *program) wait(t *testing.T) error {
	t.Helper()
	select {
	case <-p.ended:
		return p.err
	case <-time.After(patience):
		t.Fatalf("the program does not end, log:\n%s", p.stderr)
		return nil
	}
}

var (
	listening  = regexp.MustCompile(`msg="Listening on" address=(\S+)`)
	simulating = regexp.MustCompile(`msg="simulating an OMS" url=http://(\S+)`)
)

// start runs the program on a free port and waits until it listens.
func start(t *testing.T, args ...string) *program {
	t.Helper()
	p := launch(t, append(args, "--web.listen-address=127.0.0.1:0")...)
	line := listening
	if args[0] == "simulate" {
		line = simulating
	}
	p.url = "http://" + p.stderr.await(t, line)[1]
	return p
}

// An output is what a program has written. It can be read while the program runs.
type output struct {
	mu    sync.Mutex
	all   bytes.Buffer
	ended bool
	news  chan struct{} // closed when there is more, or at the end
}

func newOutput() *output { return &output{news: make(chan struct{})} }

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.all.Write(b)
	close(o.news)
	o.news = make(chan struct{})
	return len(b), nil
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.all.String()
}

func (o *output) end() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.ended = true
	close(o.news)
	o.news = make(chan struct{})
}

// await waits for a match and returns it.
func (o *output) await(t *testing.T, want *regexp.Regexp) []string {
	t.Helper()
	late := time.After(patience)
	for {
		o.mu.Lock()
		all, ended, news := o.all.String(), o.ended, o.news
		o.mu.Unlock()
		if found := want.FindStringSubmatch(all); found != nil {
			return found
		}
		if ended {
			t.Fatalf("the program ended without writing %s:\n%s", want, all)
		}
		select {
		case <-news:
		case <-late:
			t.Fatalf("the program does not write %s:\n%s", want, all)
		}
	}
}

// newOMS serves a simulated OMS and returns its URL.
func newOMS(t *testing.T, options omssim.Options) (*omssim.Server, string) {
	t.Helper()
	sim, err := omssim.New(options)
	if err != nil {
		t.Fatal(err)
	}
	return sim, serveOMS(t, sim)
}

func serveOMS(t *testing.T, handler http.Handler) string {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server.URL
}

func serveTLS(t *testing.T, handler http.Handler) *httptest.Server {
	t.Helper()
	server := httptest.NewUnstartedServer(handler)
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // handshakes that fail on purpose
	server.StartTLS()
	t.Cleanup(server.Close)
	return server
}

// A gate is an OMS that holds requests until it is opened.
type gate struct {
	url    string
	asked  chan struct{}
	opened chan struct{}
}

func newGate(t *testing.T, oms http.Handler) *gate {
	t.Helper()
	g := &gate{asked: make(chan struct{}, 1), opened: make(chan struct{})}
	g.url = serveOMS(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case g.asked <- struct{}{}:
		default:
		}
		<-g.opened
		oms.ServeHTTP(w, r)
	}))
	return g
}

// hold starts a scrape and waits until it has reached the gate. Calling release opens
// the gate and returns the scrape's reply.
func (g *gate) hold(t *testing.T, url string) (release func() reply) {
	t.Helper()
	open := sync.OnceFunc(func() { close(g.opened) })
	t.Cleanup(open)
	replies := make(chan reply, 1)
	go func() {
		r, err := try(t, http.MethodGet, url, "")
		if err != nil {
			r.body = err.Error()
		}
		replies <- r
	}()
	<-g.asked
	return func() reply {
		open()
		return <-replies
	}
}

// projects returns raw JSON tasks that cover every metric.
func projects(t *testing.T) []string {
	t.Helper()
	return strings.Split(strings.TrimSpace(readFile(t, "testdata/projects.jsonl")), "\n")
}

func readFile(t *testing.T, name string) string {
	t.Helper()
	content, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// writeFile writes a temporary file and returns its name.
func writeFile(t *testing.T, content string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "file")
	rewriteFile(t, name, content)
	return name
}

func rewriteFile(t *testing.T, name, content string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// A reply is the answer to an HTTP request.
type reply struct {
	status int
	header http.Header
	body   string
}

// get sends a GET request with headers, each as its name and its value.
func get(t *testing.T, url string, header ...string) reply {
	t.Helper()
	return send(t, http.MethodGet, url, "", header...)
}

func send(t *testing.T, method, url, body string, header ...string) reply {
	t.Helper()
	r, err := try(t, method, url, body, header...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// try is send for goroutines other than that of the test.
func try(t *testing.T, method, url, body string, header ...string) (reply, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), patience)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return reply{}, err
	}
	for i := 0; i < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	client := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true, DisableCompression: true,
	}}
	response, err := client.Do(request)
	if err != nil {
		return reply{}, err
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	return reply{response.StatusCode, response.Header, string(content)}, err
}

// An exposition is what a scrape returns, by the name of the metric.
type exposition map[string]*dto.MetricFamily

// scrape gets and parses the metrics of a program.
func scrape(t *testing.T, p *program, header ...string) exposition {
	t.Helper()
	r := get(t, p.url+"/metrics", header...)
	if r.status != http.StatusOK {
		t.Fatalf("GET /metrics: status %d, want 200:\n%s", r.status, r.body)
	}
	return parseText(t, r.body)
}

func parseText(t *testing.T, text string) exposition {
	t.Helper()
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(text))
	if err != nil {
		t.Fatalf("not the text format: %v\n%s", err, text)
	}
	return families
}

// decode decodes metrics in the format that the reply declares.
func decode(t *testing.T, r reply) exposition {
	t.Helper()
	families := exposition{}
	decoder := expfmt.NewDecoder(strings.NewReader(r.body), expfmt.ResponseFormat(r.header))
	for {
		family := new(dto.MetricFamily)
		switch err := decoder.Decode(family); {
		case errors.Is(err, io.EOF):
			return families
		case err != nil:
			t.Fatal(err)
		}
		families[family.GetName()] = family
	}
}

// values returns the values of a metric, by a label.
func (e exposition) values(name, label string) map[string]float64 {
	values := map[string]float64{}
	for _, m := range e[name].GetMetric() {
		values[labelsOf(m)[label]] = m.GetGauge().GetValue() + m.GetCounter().GetValue()
	}
	return values
}

// value returns the value of a metric without labels, and whether it has one.
func (e exposition) value(name string) (float64, bool) {
	v, ok := e.values(name, "")[""]
	return v, ok
}

// tasks returns the number of tasks that have series.
func (e exposition) tasks() int {
	ids := map[string]bool{}
	for _, family := range e {
		for _, m := range family.GetMetric() {
			if id, ok := labelsOf(m)["task_id"]; ok {
				ids[id] = true
			}
		}
	}
	return len(ids)
}

// expect compares values of metrics without labels.
func (e exposition) expect(t *testing.T, want map[string]float64) {
	t.Helper()
	for name, v := range want {
		if got, ok := e.value(name); !ok || got != v {
			t.Errorf("%s is %v (there: %v), want %v", name, got, ok, v)
		}
	}
}

// expectValues compares all series of a metric.
func (e exposition) expectValues(t *testing.T, name, label string, want map[string]float64) {
	t.Helper()
	if got := e.values(name, label); !maps.Equal(got, want) {
		t.Errorf("%s by %s is %v, want %v", name, label, got, want)
	}
}

func labelsOf(m *dto.Metric) map[string]string {
	labels := map[string]string{}
	for _, l := range m.GetLabel() {
		labels[l.GetName()] = l.GetValue()
	}
	return labels
}
