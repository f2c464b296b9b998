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

// direct calls a handler without a network.
type direct struct{ handler http.Handler }

func (d direct) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	d.handler.ServeHTTP(w, r)
	return w.Result(), r.Context().Err()
}

// The comparison is fair: both export the same series with the same values.
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
		err = collector.New(client.List, collector.Options{}).Scrape(t.Context()).
			Encode(&text, plainText, nil, everything)
		if err != nil {
			t.Fatal(err)
		}
		ours := samplesIn(text.String())

		textbook := samplesIn(served(t, benchmark.NewTextbook("http://oms.example", hc).Handler()))

		if len(ours) < 300*20 {
			t.Errorf("only %d series", len(ours))
		}
		for _, line := range without(ours, textbook) {
			t.Errorf("the textbook lacks %s", line)
		}
		for _, line := range without(textbook, ours) {
			t.Errorf("only the textbook has %s", line)
		}
	})
}

var plainText = expfmt.NewFormat(expfmt.TypeTextPlain)

func everything(string) bool { return true }

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

// samplesIn returns the lines of an exposition, in order, without the help: that
// is told once for a family, at whatever length.
func samplesIn(exposition string) []string {
	var lines []string
	for line := range strings.Lines(exposition) {
		if !strings.HasPrefix(line, "# HELP") {
			lines = append(lines, strings.TrimSuffix(line, "\n"))
		}
	}
	slices.Sort(lines)
	return lines
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
