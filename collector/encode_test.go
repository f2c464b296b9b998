package collector_test

import (
	"bytes"
	"context"
	"encoding/json"
	"iter"
	"net/http"
	"testing"
	"testing/synctest"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"pgregory.net/rapid"

	"oms_exporter/collector"
	"oms_exporter/omsclient"
	"oms_exporter/omsclient/omssim"
)

var (
	plainText = expfmt.NewFormat(expfmt.TypeTextPlain)
	protobuf  = expfmt.NewFormat(expfmt.TypeProtoDelim)
	formats   = []expfmt.Format{plainText, expfmt.NewFormat(expfmt.TypeOpenMetrics), protobuf}
)

// What is written directly is, byte for byte, what client_golang makes of the
// same catalogue.
func TestEncodeIsWhatTheRegistryAndExpfmtWrite(t *testing.T) {
	for _, scenario := range omssim.ScenarioDocs() {
		t.Run(scenario.Name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				oms, err := omssim.New(omssim.Options{
					Tasks: 40, Seed: 7, Scenarios: []string{scenario.Name},
				})
				if err != nil {
					t.Fatal(err)
				}
				oms.SetFaults(omssim.Fault{Kind: "unknown_values"})
				client, err := omsclient.New("http://oms.example", &http.Client{Transport: direct{oms}},
					omsclient.Options{PageSize: 7})
				if err != nil {
					t.Fatal(err)
				}
				c := collector.New(client.List, collector.Options{Thresholds: func() *collector.Thresholds {
					return &collector.Thresholds{Importance: map[string]collector.Threshold{
						"HIGH": {Warning: 1e9, Critical: 2e9}, "LOW": {Critical: 3e9},
					}}
				}})
				c.Scrape(t.Context()) // so that alarms can rise

				encodeBothWays(t, c.Scrape(t.Context()))
			})
		})
	}
}

func TestEncodeOfAnyTasksIsWhatTheRegistryAndExpfmtWrite(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.IntRange(0, 12).Draw(rt, "tasks")
		projects := make([]omsclient.Project, n)
		for i := range projects {
			projects[i] = anyProject(rt, i)
		}
		c := collector.New(func(context.Context, *omsclient.Report) iter.Seq2[omsclient.Project, error] {
			return func(yield func(omsclient.Project, error) bool) {
				for _, p := range projects {
					if !yield(p, nil) {
						return
					}
				}
			}
		}, collector.Options{})

		encodeBothWays(rt, c.Scrape(t.Context()))
	})
}

// anyProject draws a project with hostile texts and numbers.
func anyProject(rt *rapid.T, i int) omsclient.Project {
	text := rapid.OneOf(
		rapid.SampledFrom([]string{"", "a", "a\x00", "aa", `\`, `"`, "\n", "{}", "任务", "RUNNING", "\U0001F600"}),
		rapid.StringN(0, 6, -1),
	)
	number := rapid.Custom(func(rt *rapid.T) omsclient.Optional[float64] {
		return omsclient.Optional[float64]{
			Value: rapid.OneOf(
				rapid.Float64(),
				rapid.SampledFrom([]float64{0, 1, -1, 5, 99999, 100000, 1e6, 123456789, 0.57, -0.5, 1e21}),
			).Draw(rt, "value"),
			Known: rapid.Bool().Draw(rt, "known"),
		}
	})
	p := omsclient.Project{
		ID: string(rune('a'+(i*7)%13)) + text.Draw(rt, "id") + string(rune('a'+i)), Name: text.Draw(rt, "name"),
		Type: text.Draw(rt, "type"), Status: text.Draw(rt, "status"), Owner: text.Draw(rt, "owner"),
		Importance: text.Draw(rt, "importance"),
	}
	p.ExtraInfo.ErrorCode = text.Draw(rt, "code")
	p.ExtraInfo.SyncDelay = number.Draw(rt, "delay")
	p.ExtraInfo.RunningStep = text.Draw(rt, "running")
	p.ExtraInfo.RunningProgress = number.Draw(rt, "progress")
	for range rapid.IntRange(0, 3).Draw(rt, "steps") {
		s := omsclient.Step{
			Name: text.Draw(rt, "step"), Status: text.Draw(rt, "status"),
			Order: number.Draw(rt, "order"), Progress: number.Draw(rt, "progress"),
		}
		s.StepInfo.SrcRt = number.Draw(rt, "rt")
		p.Steps = append(p.Steps, s)
		p.Labels = append(p.Labels, omsclient.Label{ID: text.Draw(rt, "tag"), Name: text.Draw(rt, "tag")})
	}
	return p
}

type fataler interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

// encodeBothWays compares the two ways from a snapshot to each format, with families of
// somebody else among it.
func encodeBothWays(t fataler, s *collector.Snapshot) {
	t.Helper()
	registry := prometheus.NewRegistry()
	registry.MustRegister(s)
	own := prometheus.NewRegistry()
	collector.NewMetrics(own)
	native := prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "oms_native_seconds", Help: "Native.", NativeHistogramBucketFactor: 1.1,
	})
	native.Observe(3)
	own.MustRegister(native,
		prometheus.NewGauge(prometheus.GaugeOpts{Name: "zz_last", Help: "A \"b\" \\ c."}))
	both, err := prometheus.Gatherers{registry, own}.Gather()
	if err != nil {
		t.Fatal(err)
	}
	others, err := own.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, format := range formats {
		var got bytes.Buffer
		if err := s.Encode(context.Background(), &got, format, others, nil); err != nil {
			t.Fatal(err)
		}

		if want := ordinary(t, format, both); !bytes.Equal(got.Bytes(), want) {
			t.Fatalf("%s: %s", format, firstDifference(got.Bytes(), want))
		}
	}
}

func ordinary(t fataler, format expfmt.Format, families []*dto.MetricFamily) []byte {
	t.Helper()
	var b bytes.Buffer
	encoder := expfmt.NewEncoder(&b, format)
	for _, family := range families {
		if err := encoder.Encode(family); err != nil {
			t.Fatal(err)
		}
	}
	if closer, ok := encoder.(expfmt.Closer); ok {
		if err := closer.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return b.Bytes()
}

func firstDifference(got, want []byte) string {
	gotLines, wantLines := bytes.Split(got, []byte("\n")), bytes.Split(want, []byte("\n"))
	for i := range min(len(gotLines), len(wantLines)) {
		if !bytes.Equal(gotLines[i], wantLines[i]) {
			text, _ := json.Marshal([]string{string(gotLines[i]), string(wantLines[i])})
			return "got, want " + string(text)
		}
	}
	return "one has more lines than the other"
}

func TestEncodeWritesOnlyWhatIsWanted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := collector.New(listOf(t, read(t, "testdata/migration.json")), collector.Options{})

		var got bytes.Buffer
		err := c.Scrape(t.Context()).Encode(t.Context(), &got, plainText, nil,
			func(name string) bool { return name == "oms_up" })

		want := "# HELP oms_up Whether the last listing read every page of ListProjects: 1 or 0.\n" +
			"# TYPE oms_up gauge\noms_up 1\n"
		if err != nil || got.String() != want {
			t.Errorf("%v\n%s", err, got.String())
		}
	})
}

func TestEncodeRefusesOtherFormats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := collector.New(listOf(t), collector.Options{})

		err := c.Scrape(t.Context()).Encode(t.Context(), &bytes.Buffer{}, expfmt.NewFormat(expfmt.TypeProtoText),
			nil, nil)

		if err == nil {
			t.Error("protobuf as text was written")
		}
	})
}
