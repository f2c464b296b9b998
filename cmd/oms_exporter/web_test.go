package main

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"

	"oms_exporter/collector"
	"oms_exporter/omsclient/omssim"
)

func TestOnlyScrapesAndPeopleCallOMS(t *testing.T) {
	sim, url := newOMS(t, omssim.Options{Projects: projects(t)})
	p := start(t, "--oms.url="+url)

	for path, want := range map[string]string{
		"/-/healthy": "oms_exporter is healthy.\n", "/-/ready": "oms_exporter is ready.\n",
	} {
		if r := get(t, p.url+path); r.status != http.StatusOK || r.body != want {
			t.Errorf("%s: %d %q, want 200 %q", path, r.status, r.body, want)
		}
	}

	if requests := sim.Requests(); len(requests) != 0 {
		t.Errorf("OMS was called: %v", requests)
	}
	scrape(t, p)
	if requests := sim.Requests(); len(requests) != 1 {
		t.Errorf("OMS was called %d times for a scrape, want 1", len(requests))
	}
	get(t, p.url+"/")
	if requests := sim.Requests(); len(requests) != 2 {
		t.Errorf("OMS was called %d times for a scrape and the first look, want 2", len(requests))
	}
}

func TestOtherPathsAndMethodsAreRefused(t *testing.T) {
	_, url := newOMS(t, omssim.Options{})
	plain := start(t, "--oms.url="+url)
	profiled := start(t, "--oms.url="+url, "--web.enable-pprof", "--web.telemetry-path=/a/metrics")
	for _, c := range []struct {
		program      *program
		method, path string
		status       int
	}{
		{plain, http.MethodGet, "/nowhere", http.StatusNotFound},
		{plain, http.MethodGet, "/metrics/", http.StatusNotFound},
		{plain, http.MethodPost, "/metrics", http.StatusMethodNotAllowed},
		{plain, http.MethodPut, "/-/ready", http.StatusMethodNotAllowed},
		{plain, http.MethodHead, "/metrics", http.StatusOK},
		{plain, http.MethodGet, "/debug/pprof/", http.StatusNotFound},
		{plain, http.MethodGet, "/debug/pprof/cmdline", http.StatusNotFound},
		{profiled, http.MethodGet, "/debug/pprof/", http.StatusOK},
		{profiled, http.MethodGet, "/debug/pprof/cmdline", http.StatusOK},
		{profiled, http.MethodGet, "/debug/pprof/goroutine", http.StatusOK},
		{profiled, http.MethodGet, "/debug/pprof/symbol", http.StatusOK},
		{profiled, http.MethodGet, "/a/metrics", http.StatusOK},
		{profiled, http.MethodGet, "/metrics", http.StatusNotFound},
	} {
		if r := send(t, c.method, c.program.url+c.path, ""); r.status != c.status {
			t.Errorf("%s %s: status %d, want %d", c.method, c.path, r.status, c.status)
		}
	}
}

func TestScrapesAtOnceShareAListing(t *testing.T) {
	sim, url := newOMS(t, omssim.Options{Projects: projects(t), Latency: 300 * time.Millisecond})
	p := start(t, "--oms.url="+url, "--web.max-requests=0")

	const scrapes = 5
	replies := make(chan reply, scrapes)
	for range scrapes {
		go func() {
			r, _ := try(t, http.MethodGet, p.url+"/metrics", "")
			replies <- r
		}()
	}

	for range scrapes {
		r := <-replies
		parseText(t, r.body).expect(t, map[string]float64{"oms_up": 1})
	}
	listings := len(sim.Requests())
	scrape(t, p).expect(t, map[string]float64{
		"oms_exporter_scrapes_coalesced_total": float64(scrapes - listings),
	})
	if listings == scrapes {
		t.Error("no scrape shared the listing of another")
	}
}

func TestAScrapeIsAnsweredBeforePrometheusGivesUp(t *testing.T) {
	sim, url := newOMS(t, omssim.Options{Projects: projects(t)})
	sim.SetFaults(omssim.Fault{Kind: "hang"})
	for _, c := range []struct {
		name             string
		header           string
		args             []string
		earliest, latest time.Duration
	}{
		{
			name: "the header minus the offset", header: "15",
			args:     []string{"--scrape.timeout-offset=14.6s"},
			earliest: 400 * time.Millisecond, latest: 15 * time.Second,
		},
		{
			name: "an offset that leaves nothing", header: "0.3",
			args:     []string{"--scrape.timeout-offset=10s"},
			earliest: 300 * time.Millisecond, latest: 15 * time.Second,
		},
		{
			name: "no header", args: []string{"--scrape.timeout=0.3s"},
			earliest: 300 * time.Millisecond, latest: 15 * time.Second,
		},
		{
			name: "a header that is more than the limit", header: "3600",
			args:     []string{"--scrape.timeout=0.3s"},
			earliest: 300 * time.Millisecond, latest: 15 * time.Second,
		},
		{
			name: "a header without end", header: "+Inf",
			args:     []string{"--scrape.timeout=0.3s"},
			earliest: 300 * time.Millisecond, latest: 15 * time.Second,
		},
		{
			name: "a header that makes no sense", header: "-1",
			args:     []string{"--scrape.timeout=0.3s"},
			earliest: 300 * time.Millisecond, latest: 15 * time.Second,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := start(t, append(c.args, "--oms.url="+url)...)
			var header []string
			if c.header != "" {
				header = []string{"X-Prometheus-Scrape-Timeout-Seconds", c.header}
			}
			began := time.Now()

			down := scrape(t, p, header...)

			took := time.Since(began)
			if took < c.earliest || took > c.latest {
				t.Errorf("answered after %s, want %s to %s", took, c.earliest, c.latest)
			}
			expectOutage(t, down, "timeout")
		})
	}
}

func TestMetricsComeInTheFormatThatIsAskedFor(t *testing.T) {
	_, url := newOMS(t, omssim.Options{Projects: projects(t)})
	p := start(t, "--oms.url="+url)
	text := scrape(t, p)

	// Names of client_golang's own metrics would collide when OpenMetrics is parsed as text.
	bare := start(t, "--oms.url="+url, "--web.disable-exporter-metrics")
	open := get(t, bare.url+"/metrics", "Accept", "application/openmetrics-text; version=1.0.0")
	if kind := open.header.Get("Content-Type"); !strings.HasPrefix(kind,
		"application/openmetrics-text; version=1.0.0") {
		t.Errorf("OpenMetrics is sent as %q", kind)
	}
	if !strings.HasSuffix(open.body, "\n# EOF\n") {
		t.Errorf("OpenMetrics does not end with EOF: %q", open.body[max(0, len(open.body)-80):])
	}
	parseText(t, open.body).expect(t, map[string]float64{"oms_up": 1})

	binary := decode(t, get(t, p.url+"/metrics", "Accept",
		"application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"))
	if got, want := familyNames(binary), familyNames(text); !slices.Equal(got, want) {
		t.Errorf("protobuf has the metrics %q, want %q", got, want)
	}
	binary.expect(t, map[string]float64{"oms_up": 1})
	histogram := binary["oms_exporter_api_request_duration_seconds"].GetMetric()[0].GetHistogram()
	if histogram.GetSampleCount() != 2 || histogram.Schema == nil || len(histogram.GetBucket()) == 0 {
		t.Errorf("not both a native and a classic histogram of 2 requests: %v", histogram)
	}
}

func familyNames(e exposition) []string { return slices.Sorted(maps.Keys(e)) }

func TestASwitchedOffGroupLeavesOutItsMetricsAndNoOther(t *testing.T) {
	golden := parseText(t, readFile(t, goldenMetrics))
	for _, group := range collector.Groups() {
		if group.OptIn {
			continue // is off anyway
		}
		t.Run(group.Name, func(t *testing.T) {
			_, url := newOMS(t, omssim.Options{Projects: projects(t)})
			p := start(t, "--oms.url="+url, "--web.disable-exporter-metrics",
				"--no-collector."+group.Name)

			got := scrape(t, p)

			want := maps.Clone(golden)
			for _, doc := range collector.Docs() {
				if doc.Group == group.Name {
					delete(want, doc.Name)
				}
			}
			if len(want) == len(golden) {
				t.Errorf("no metric is of the group %s", group.Name)
			}
			if got, want := familyNames(got), familyNames(want); !slices.Equal(got, want) {
				t.Errorf("the metrics are %q, want %q", got, want)
			}
		})
	}
}

func TestTasksAreExcludedByStatus(t *testing.T) {
	_, url := newOMS(t, omssim.Options{Projects: projects(t)})
	for exclude, want := range map[string]struct{ tasks, excluded int }{
		"RELEASED,DELETED": {7, 1},
		"":                 {8, 0},
		"RUNNING, ,FAILED": {5, 3},
	} {
		t.Run(exclude, func(t *testing.T) {
			p := start(t, "--oms.url="+url, "--oms.exclude-status="+exclude)

			got := scrape(t, p)

			if n := got.tasks(); n != want.tasks {
				t.Errorf("%d tasks have series, want %d", n, want.tasks)
			}
			omitted := got.values("oms_scrape_tasks_omitted", "reason")["excluded"]
			if omitted != float64(want.excluded) {
				t.Errorf("%v tasks are excluded, want %d", omitted, want.excluded)
			}
			if n := sum(got["oms_tasks"].GetMetric()); n != 8 {
				t.Errorf("oms_tasks counts %v tasks, want 8", n)
			}
		})
	}
}

func TestTooManyTasksFailTheScrape(t *testing.T) {
	_, url := newOMS(t, omssim.Options{Projects: projects(t)})
	for limit, want := range map[string]string{
		"0": "up, 8 tasks", "8": "up, 8 tasks", "7": "down: limit",
	} {
		t.Run(limit, func(t *testing.T) {
			p := start(t, "--oms.url="+url, "--oms.max-tasks="+limit)

			if got := verdict(t, p.url+"/metrics"); got != want {
				t.Errorf("%s, want %s", got, want)
			}
			if want == "down: limit" {
				expectLogged(t, p, `reason=limit err=".*\b8\b.*\b7\b`)
			}
		})
	}
}

func TestDetailIsAddedToTheOtherMetrics(t *testing.T) {
	_, url := newOMS(t, omssim.Options{Projects: projects(t)})
	p := start(t, "--oms.url="+url, "--web.disable-exporter-metrics", "--collector.detail")
	want := familyNames(parseText(t, readFile(t, goldenMetrics)))
	for _, doc := range collector.Docs() {
		if doc.Group == "detail" {
			want = append(want, doc.Name)
		}
	}
	slices.Sort(want)

	if got := familyNames(scrape(t, p)); !slices.Equal(got, want) {
		t.Errorf("the metrics are %q, want %q", got, want)
	}
}

func TestTheTimeZoneIsThatOfTheTimesOfOMS(t *testing.T) {
	_, url := newOMS(t, omssim.Options{Projects: []string{
		`{"id": "np_1", "name": "a", "status": "RUNNING", "gmtCreate": "2026-01-01T08:00:00"}`,
	}})
	for zone, want := range map[string]string{"UTC": "08", "Asia/Shanghai": "00", "America/New_York": "13"} {
		created, err := time.Parse(time.RFC3339, "2026-01-01T"+want+":00:00Z")
		if err != nil {
			t.Fatal(err)
		}
		p := start(t, "--oms.url="+url, "--oms.timezone="+zone, "--collector.detail")

		scrape(t, p).expect(t, map[string]float64{"oms_task_created_timestamp_seconds": float64(created.Unix())})
	}
}

func sum(gauges []*dto.Metric) float64 {
	var total float64
	for _, m := range gauges {
		total += m.GetGauge().GetValue()
	}
	return total
}
