package benchmark_test

import (
	"context"
	"flag"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

var (
	endToEnd = flag.Bool("endtoend", false, "measure, and print a table; without it, only try the harness")
	rowNames = flag.String("endtoend.rows", "", "measure only the rows whose names this regexp matches")
	runs     = flag.Int("endtoend.runs", 7, "runs of which the median is told")
	scale    = flag.Float64("endtoend.scale", 1, "multiply numbers of tasks by this")
)

// concurrency is how many pages the exporter asks for at once.
const concurrency = 4

// TestEndToEnd measures the exporter against the textbook, as processes of their
// own that are scraped over loopback, if the flag -endtoend is given. It asserts
// nothing about the figures: they are for who reads the table. CPU and memory
// come from /proc.
func TestEndToEnd(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Log("measures nothing: CPU and memory of processes are read from Linux's /proc")
		return
	}
	chosen, err := regexp.Compile(*rowNames)
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	if deadline, ok := t.Deadline(); ok {
		// Time to end the processes: after a panic of the testing package they would live on.
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, deadline.Add(-20*time.Second))
		defer cancel()
	}
	sizes := fullSizes(*scale)
	h := &harness{binary: build(t), runs: max(*runs, 1), settle: 200 * time.Millisecond}
	if !*endToEnd {
		sizes = trialSizes()
		h.runs, h.settle = 1, time.Millisecond
	}
	var lines []line
	for _, row := range rows {
		if !chosen.MatchString(row.name) {
			continue
		}
		begin := time.Now()
		measured, err := row.measure(ctx, h, sizes)
		if err != nil {
			t.Errorf("%s: %v", row.name, err)
			continue
		}
		if len(measured) == 0 {
			t.Errorf("%s: no lines", row.name)
		}
		t.Logf("%s: took %s", row.name, time.Since(begin).Round(100*time.Millisecond))
		lines = append(lines, measured...)
	}
	if *endToEnd && len(lines) > 0 {
		fmt.Print(machine(), table(lines))
	}
}

func build(t *testing.T) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "oms_exporter")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "./cmd/oms_exporter")
	build.Dir = "../.." // in the module of the exporter, with the versions it is released with
	output, err := build.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	return binary
}

// Sizes are how much the rows measure.
type sizes struct {
	tasks       int // of the rows that compare
	latency     time.Duration
	bloated     int           // tasks with blobs
	blobBytes   []int         // the first is 0
	growth      []int         // tasks
	batchOf     int           // tasks that are scraped in a run of a size of growth, at least
	overlapping int           // tasks of overlapping scrapes
	together    int           // overlapping scrapes
	shrinking   []int         // tasks before and after
	pace        time.Duration // between scrapes of what is left
	patience    time.Duration // in all
}

func fullSizes(scale float64) sizes {
	n := func(tasks int) int { return max(1, int(float64(tasks)*scale)) }
	return sizes{
		tasks: n(10_000), latency: 50 * time.Millisecond,
		bloated: n(1000), blobBytes: []int{0, 200_000, 400_000},
		growth: []int{n(100), n(1000), n(10_000), n(100_000)}, batchOf: n(20_000),
		overlapping: n(2000), together: 32,
		shrinking: []int{n(100_000), n(100)}, pace: 5 * time.Second, patience: 4 * time.Minute,
	}
}

// trialSizes are large enough to see whether the harness works.
func trialSizes() sizes {
	return sizes{
		tasks: 300, latency: time.Millisecond,
		bloated: 30, blobBytes: []int{0, 5000, 10_000},
		growth: []int{30, 300}, batchOf: 60,
		overlapping: 300, together: 4,
		shrinking: []int{300, 30}, pace: time.Millisecond, patience: 2 * time.Millisecond,
	}
}

// A line is a line of the table.
type line struct {
	what           string
	ours, textbook string
	ratio          float64 // NaN: there is none
	target         string  // empty: there is none
	ok             bool
}

var rows = []struct {
	name    string
	measure func(context.Context, *harness, sizes) ([]line, error)
}{
	{"gzip", func(ctx context.Context, h *harness, s sizes) ([]line, error) {
		return compare(ctx, h, setup{tasks: s.tasks, encoding: "gzip"})
	}},
	{"identity", func(ctx context.Context, h *harness, s sizes) ([]line, error) {
		return compare(ctx, h, setup{tasks: s.tasks, encoding: "identity"})
	}},
	{"protobuf", protobuf},
	{"floor", aboveFloor},
	{"latency", latency},
	{"blobs", blobs},
	{"growth", growth},
	{"allocations", allocations},
	{"overlap", overlap},
	{"shrink", shrink},
}

// compare measures a scrape without latency.
func compare(ctx context.Context, h *harness, s setup) ([]line, error) {
	s.textbook = true
	ours, textbook, err := h.measure(ctx, s)
	if err != nil {
		return nil, err
	}
	what := fmt.Sprintf("%d tasks, %d series, %s: ", s.tasks, ours.series, s.encoding)
	cpu := median(textbook.cpu) / median(ours.cpu)
	rss := textbook.peakRSS / ours.peakRSS
	wall := median(textbook.wall) / median(ours.wall)
	memory := line{what + "peak RSS", mebibytes(ours.peakRSS), mebibytes(textbook.peakRSS), rss, "", false}
	if s.encoding == "gzip" {
		memory.target, memory.ok = ">= 4", rss >= 4
	}
	return []line{
		{what + "CPU", seconds(ours.cpu), seconds(textbook.cpu), cpu, ">= 10", cpu >= 10},
		memory,
		{what + "wall", seconds(ours.wall), seconds(textbook.wall), wall, "", false},
	}, nil
}

// protobuf measures scrapes in protobuf, beside the textbook's and beside those in text.
func protobuf(ctx context.Context, h *harness, s sizes) ([]line, error) {
	var lines []line
	for _, encoding := range []string{"gzip", "identity"} {
		common := setup{tasks: s.tasks, encoding: encoding}
		text, _, err := h.measure(ctx, common)
		if err != nil {
			return nil, err
		}
		common.format, common.textbook = protobufFormat, true
		ours, textbook, err := h.measure(ctx, common)
		if err != nil {
			return nil, err
		}
		what := fmt.Sprintf("%d tasks, protobuf, %s: ", s.tasks, encoding)
		cpu, rss := median(textbook.cpu)/median(ours.cpu), textbook.peakRSS/ours.peakRSS
		more, larger := median(ours.cpu)/median(text.cpu), ours.peakRSS/text.peakRSS
		lines = append(lines,
			line{what + "CPU", seconds(ours.cpu), seconds(textbook.cpu), cpu, ">= 10", cpu >= 10},
			line{what + "peak RSS", mebibytes(ours.peakRSS), mebibytes(textbook.peakRSS), rss, ">= 4", rss >= 4},
			line{what + "CPU / CPU of text, " + seconds(text.cpu), seconds(ours.cpu), "", more, "<= 1.25", more <= 1.25},
			line{what + "peak RSS / that of text, " + mebibytes(text.peakRSS), mebibytes(ours.peakRSS), "", larger, "<= 1.25", larger <= 1.25},
		)
	}
	return lines, nil
}

// aboveFloor measures how far a scrape is from what none can do without.
func aboveFloor(ctx context.Context, h *harness, s sizes) ([]line, error) {
	ours, floor, err := h.measure(ctx, setup{tasks: s.tasks, encoding: "gzip", floor: true})
	if err != nil {
		return nil, err
	}
	return []line{{
		fmt.Sprintf("%d tasks, gzip: CPU / CPU of reading the pages and compressing the text alone, %s",
			s.tasks, seconds(floor.cpu)),
		seconds(ours.cpu), "", median(ours.cpu) / median(floor.cpu), "", false,
	}}, nil
}

// latency measures how well waiting for pages overlaps: against the time that
// the pages take at least, so many at once, and the processor after that.
func latency(ctx context.Context, h *harness, s sizes) ([]line, error) {
	ours, textbook, err := h.measure(ctx, setup{
		tasks: s.tasks, latency: s.latency, encoding: "gzip", textbook: true,
	})
	if err != nil {
		return nil, err
	}
	turns := (ours.pages-1+concurrency-1)/concurrency + 1
	waiting := (time.Duration(turns) * s.latency).Seconds()
	ratio := median(ours.wall) / (waiting + median(ours.cpu))
	what := fmt.Sprintf("%d tasks, %s a page, %d pages, %d at once: ", s.tasks, s.latency, ours.pages, concurrency)
	return []line{
		{
			what + "wall, textbook / ours", seconds(ours.wall), seconds(textbook.wall),
			median(textbook.wall) / median(ours.wall), "", false,
		},
		{
			what + fmt.Sprintf("wall of ours / (%d x %s + CPU %s)", turns, s.latency, seconds(ours.cpu)),
			seconds(ours.wall), "", ratio, "<= 1.25", ratio <= 1.25,
		},
	}, nil
}

// blobs measures memory with the deprecated configuration of tasks present, of
// several sizes.
func blobs(ctx context.Context, h *harness, s sizes) ([]line, error) {
	const limit = 64 << 20
	var lines []line
	var peaks []float64
	for i, size := range s.blobBytes {
		ours, textbook, err := h.measure(ctx, setup{
			tasks: s.bloated, blobBytes: size, encoding: "gzip", textbook: i == 1,
		})
		if err != nil {
			return nil, err
		}
		peaks = append(peaks, ours.peakRSS)
		l := line{
			fmt.Sprintf("%d tasks, %d KB of blobs each: peak RSS", s.bloated, size/1000),
			mebibytes(ours.peakRSS), "", math.NaN(), "<= 64 MiB", ours.peakRSS <= limit,
		}
		if textbook != nil {
			l.textbook, l.ratio = mebibytes(textbook.peakRSS), textbook.peakRSS/ours.peakRSS
		}
		lines = append(lines, l)
	}
	growth := slices.Max(peaks) / peaks[0]
	return append(lines, line{
		"the same: largest peak RSS / without blobs", "", "", growth, "<= 1.25", growth <= 1.25,
	}), nil
}

// growth measures what a task costs in fleets of different sizes.
func growth(ctx context.Context, h *harness, s sizes) ([]line, error) {
	var lines []line
	var costs []float64
	for _, tasks := range s.growth {
		ours, _, err := h.measure(ctx, setup{tasks: tasks, encoding: "gzip", batch: s.batchOf / tasks})
		if err != nil {
			return nil, err
		}
		cost := median(ours.cpu) / float64(tasks)
		costs = append(costs, cost)
		lines = append(lines, line{
			fmt.Sprintf("%d tasks, gzip: CPU, peak RSS and CPU per task", tasks),
			fmt.Sprintf("%s, %s, %.1f µs", seconds(ours.cpu), mebibytes(ours.peakRSS), cost*1e6),
			"", math.NaN(), "", false,
		})
	}
	spread := slices.Max(costs) / slices.Min(costs)
	return append(lines, line{
		"the same: CPU per task, most / least", "", "", spread, "<= 1.5", spread <= 1.5,
	}), nil
}

// allocations measures how often a scrape allocates, everything included.
func allocations(ctx context.Context, h *harness, s sizes) ([]line, error) {
	ours, _, err := h.measure(ctx, setup{tasks: s.tasks, encoding: "gzip", ownMetrics: true})
	if err != nil {
		return nil, err
	}
	ratio := median(ours.allocs) / float64(ours.series)
	return []line{{
		fmt.Sprintf("%d tasks, %d series: heap allocations per series", s.tasks, ours.series),
		fmt.Sprintf("%.0f", median(ours.allocs)), "", ratio, "< 1", ratio < 1,
	}}, nil
}

// overlap measures what scrapes at the same time cost together. A latency makes
// sure that they meet.
func overlap(ctx context.Context, h *harness, s sizes) ([]line, error) {
	common := setup{tasks: s.overlapping, latency: s.latency, encoding: "gzip", batch: 4}
	one, _, err := h.measure(ctx, common)
	if err != nil {
		return nil, err
	}
	common.batch, common.together = 1, s.together
	all, _, err := h.measure(ctx, common)
	if err != nil {
		return nil, err
	}
	ratio := median(all.cpu) / median(one.cpu)
	what := fmt.Sprintf("%d tasks, %s a page: ", s.overlapping, s.latency)
	return []line{
		{what + "CPU of one scrape", seconds(one.cpu), "", math.NaN(), "", false},
		{
			what + fmt.Sprintf("CPU of %d at once, peak RSS; / CPU of one", s.together),
			seconds(all.cpu) + ", " + mebibytes(all.peakRSS), "", ratio, "<= 6", ratio <= 6,
		},
	}, nil
}

// shrink measures whether memory is given back when an OMS has fewer tasks than it
// had. The OMS is replaced by a smaller one at the same address; scrapes go on until
// the memory has fallen, or patience ends.
func shrink(ctx context.Context, h *harness, s sizes) ([]line, error) {
	const enough = 0.25
	common := setup{tasks: s.shrinking[0], encoding: "gzip"}
	oms, err := h.startOMS(ctx, common, anyPort)
	if err != nil {
		return nil, err
	}
	defer oms.stop()
	exporter, err := h.startExporter(ctx, common, oms)
	if err != nil {
		return nil, err
	}
	defer exporter.stop()
	m := &measurement{setup: common, process: exporter, scraper: newScraper(common.encoding)}
	defer m.scraper.client.CloseIdleConnections()
	if err := m.warmUp(ctx); err != nil {
		return nil, err
	}
	before, err := exporter.memory(rss)
	if err != nil {
		return nil, err
	}
	oms.stop()
	m.setup.tasks = s.shrinking[1]
	if oms, err = h.startOMS(ctx, m.setup, strings.TrimPrefix(oms.url, "http://")); err != nil {
		return nil, err
	}
	defer oms.stop()
	scrapes, begin := 0, time.Now()
	after, err := m.scrapeUntil(ctx, s.pace, func(resident float64) bool {
		scrapes++
		return resident <= enough*before || time.Since(begin) >= s.patience
	})
	if err != nil {
		return nil, err
	}
	return []line{{
		fmt.Sprintf("%d tasks, then %d: RSS after a scrape; after %d scrapes of the rest in %s",
			s.shrinking[0], s.shrinking[1], scrapes, time.Since(begin).Round(time.Second)),
		mebibytes(before) + "; " + mebibytes(after), "", after / before, "<= 0.25", after <= enough*before,
	}}, nil
}

// seconds tells the median of times, and the least and the most.
func seconds(values []float64) string {
	return fmt.Sprintf("%s (%s–%s) ms",
		milli(median(values)), milli(slices.Min(values)), milli(slices.Max(values)))
}

func milli(s float64) string {
	if s < 0.1 {
		return fmt.Sprintf("%.1f", s*1e3)
	}
	return fmt.Sprintf("%.0f", s*1e3)
}

func mebibytes(b float64) string { return fmt.Sprintf("%.0f MiB", b/(1<<20)) }

// machine says on what was measured.
func machine() string {
	model := runtime.GOARCH
	text, _ := os.ReadFile("/proc/cpuinfo")
	for l := range strings.Lines(string(text)) {
		if name, value, _ := strings.Cut(l, ":"); strings.TrimSpace(name) == "model name" {
			model = strings.TrimSpace(value)
			break
		}
	}
	note := ""
	if *scale != 1 {
		note = fmt.Sprintf("; numbers of tasks x %g, which are not those of the targets", *scale)
	}
	return fmt.Sprintf("\n%s, %d cores, %s %s/%s, %s; medians (least–most) of %d runs%s\n\n",
		model, runtime.NumCPU(), runtime.Version(), runtime.GOOS, runtime.GOARCH,
		time.Now().Format(time.DateOnly), max(*runs, 1), note)
}

// table writes lines as Markdown.
func table(lines []line) string {
	var b strings.Builder
	fmt.Fprintln(&b, "| | ours | textbook | ratio | target | |")
	fmt.Fprintln(&b, "|---|---|---|---|---|---|")
	for _, l := range lines {
		ratio, verdict := "", ""
		if !math.IsNaN(l.ratio) {
			ratio = fmt.Sprintf("%.2f", l.ratio)
		}
		switch {
		case l.target == "":
		case l.ok:
			verdict = "ok"
		default:
			verdict = "**missed**"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s |\n",
			l.what, l.ours, l.textbook, ratio, l.target, verdict)
	}
	return b.String()
}
