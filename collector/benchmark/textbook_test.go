package benchmark_test

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/common/expfmt"

	"oms_exporter/collector"
	"oms_exporter/collector/benchmark"
	"oms_exporter/omsclient"
	"oms_exporter/omsclient/omssim"
)

// byDefault leaves out what must be asked for.
var byDefault = collector.Options{Without: func(group string) bool {
	return slices.ContainsFunc(collector.Groups(), func(g collector.Group) bool {
		return g.Name == group && g.OptIn
	})
}}

// direct calls a handler without a network.
type direct struct{ handler http.Handler }

func (d direct) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	d.handler.ServeHTTP(w, r)
	return w.Result(), r.Context().Err()
}

// The comparison is fair: of the metrics that the textbook has, it exports the same
// series with the same values. It may lack metrics that are newer than itself, as long
// as they are few.
func TestTheTextbookExportsTheSameSeries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // so that both look at the same time
		now := time.Now()
		oms, err := omssim.New(omssim.Options{
			Tasks: 300, Seed: 1, BlobBytes: 2000, Now: func() time.Time { return now },
		})
		if err != nil {
			t.Fatal(err)
		}
		hc := &http.Client{Transport: direct{oms}}
		client, err := omsclient.New("http://oms.example", hc, omsclient.Options{})
		if err != nil {
			t.Fatal(err)
		}
		var text bytes.Buffer
		err = collector.New(client.List, byDefault).Scrape(t.Context()).
			Encode(t.Context(), &text, plainText, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		ours := samplesIn(text.String())

		textbook := samplesIn(served(t, benchmark.NewTextbook("http://oms.example", hc).Handler()))

		total, compared := 0, 0
		for name, series := range ours {
			total += len(series)
			if textbook[name] == nil {
				t.Logf("the textbook lacks %s", name)
				continue
			}
			compared += len(series)
			for _, line := range without(series, textbook[name]) {
				t.Errorf("the textbook lacks %s", line)
			}
		}
		for name, series := range textbook {
			for _, line := range without(series, ours[name]) {
				t.Errorf("only the textbook has %s", line)
			}
		}
		if total < 300*20 || float64(compared) < leastShare*float64(total) {
			t.Errorf("of %d series, the textbook has %d", total, compared)
		}
	})
}

// leastShare is the least share of our series that an exporter beside ours must have.
const leastShare = 0.9

var plainText = expfmt.NewFormat(expfmt.TypeTextPlain)

func served(t *testing.T, h http.Handler) string {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil))
	body, err := io.ReadAll(w.Result().Body)
	if err != nil || w.Code != http.StatusOK {
		t.Fatal(w.Code, err)
	}
	return string(body)
}

// samplesIn returns the lines of an exposition that have samples, in order, by metric.
func samplesIn(exposition string) map[string][]string {
	samples := map[string][]string{}
	for line := range strings.Lines(exposition) {
		if !strings.HasPrefix(line, "#") {
			name := line[:strings.IndexAny(line, "{ ")]
			samples[name] = append(samples[name], strings.TrimSuffix(line, "\n"))
		}
	}
	for _, lines := range samples {
		slices.Sort(lines)
	}
	return samples
}

// without returns the first few lines of one that another does not have. Both
// are sorted.
func without(all, others []string) []string {
	var missing []string
	for _, line := range all {
		if _, found := slices.BinarySearch(others, line); !found && len(missing) < 5 {
			missing = append(missing, line)
		}
	}
	return missing
}
