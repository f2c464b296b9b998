package collector_test

import (
	"context"
	"errors"
	"iter"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"oms_exporter/collector"
	"oms_exporter/omsclient"
)

// slow is an OMS whose listing takes some time.
type slow struct {
	takes    time.Duration
	begun    atomic.Int32
	canceled atomic.Int32
}

func (s *slow) list(
	ctx context.Context, _ *omsclient.Report,
) iter.Seq2[omsclient.Project, error] {
	return func(yield func(omsclient.Project, error) bool) {
		s.begun.Add(1)
		select {
		case <-time.After(s.takes):
			yield(omsclient.Project{ID: "np_1", Name: "n", Status: "RUNNING"}, nil)
		case <-ctx.Done():
			s.canceled.Add(1)
			yield(omsclient.Project{}, context.Cause(ctx))
		}
	}
}

// scrape scrapes once and tells what came out of it and when.
func scrape(c *collector.Collector, timeout time.Duration) <-chan outcome {
	done := make(chan outcome, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), timeout)
		defer cancel()
		start := time.Now()
		s := c.Scrape(ctx)
		done <- outcome{s, time.Since(start)}
	}()
	return done
}

type outcome struct {
	snapshot *collector.Snapshot
	took     time.Duration
}

func TestOverlappingScrapesShareAListing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		oms := &slow{takes: 10 * time.Second}
		registry := prometheus.NewRegistry()
		c := collector.New(oms.list, collector.Options{Metrics: collector.NewMetrics(registry)})

		var scrapes []<-chan outcome
		for range 5 {
			scrapes = append(scrapes, scrape(c, 20*time.Second))
			time.Sleep(time.Second) //nolint:forbidigo // synctest
		}

		for i, done := range scrapes {
			got := <-done
			if got.snapshot.Err() != nil || got.took != time.Duration(10-i)*time.Second {
				t.Errorf("scrape %d: %v after %s", i, got.snapshot.Err(), got.took)
			}
		}
		if n := oms.begun.Load(); n != 1 {
			t.Errorf("%d listings", n)
		}
		if err := testutil.GatherAndCompare(registry, strings.NewReader(`
# HELP oms_exporter_scrapes_coalesced_total Scrapes that shared the listing of another scrape.
# TYPE oms_exporter_scrapes_coalesced_total counter
oms_exporter_scrapes_coalesced_total 4
`), "oms_exporter_scrapes_coalesced_total"); err != nil {
			t.Error(err)
		}
	})
}

func TestAScrapeAfterAListingHasOneOfItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		oms := &slow{takes: time.Second}
		c := collector.New(oms.list, collector.Options{})

		<-scrape(c, time.Minute)
		<-scrape(c, time.Minute)

		if n := oms.begun.Load(); n != 2 {
			t.Errorf("%d listings: an answer was kept", n)
		}
	})
}

func TestAScrapeIsAnsweredWhenItsTimeIsUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		oms := &slow{takes: time.Hour}
		c := collector.New(oms.list, collector.Options{})

		got := <-scrape(c, 9500*time.Millisecond)

		if got.took != 9500*time.Millisecond {
			t.Errorf("answered after %s", got.took)
		}
		if reason := omsclient.ReasonOf(got.snapshot.Err()); reason != omsclient.Timeout {
			t.Errorf("reason %q: %v", reason, got.snapshot.Err())
		}
		if n := oms.canceled.Load(); n != 1 {
			t.Error("OMS is still asked, for nobody")
		}
	})
}

func TestTheOptionsBoundAScrapeWithoutADeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		oms := &slow{takes: time.Hour}
		c := collector.New(oms.list, collector.Options{Timeout: 7 * time.Second})
		start := time.Now()

		got := gathered(t, c)

		if took := time.Since(start); took != 7*time.Second {
			t.Errorf("took %s", took)
		}
		if !strings.Contains(got, `oms_scrape_error_info{reason="timeout"} 1`) ||
			!strings.Contains(got, "oms_scrape_duration_seconds 7\n") {
			t.Errorf("got\n%s", got)
		}
	})
}

func TestAScraperThatGivesUpHurtsNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		oms := &slow{takes: 10 * time.Second}
		c := collector.New(oms.list, collector.Options{})

		hasty := scrape(c, 2*time.Second)
		synctest.Wait()
		patient := scrape(c, 15*time.Second)

		if got := <-hasty; got.took != 2*time.Second ||
			omsclient.ReasonOf(got.snapshot.Err()) != omsclient.Timeout {
			t.Errorf("hasty: %v after %s", got.snapshot.Err(), got.took)
		} else if series := gathered(t, got.snapshot); strings.Contains(series, "oms_scrape_pages") {
			t.Errorf("hasty: what is not known has a value:\n%s", series)
		}
		if got := <-patient; got.took != 10*time.Second || got.snapshot.Err() != nil {
			t.Errorf("patient: %v after %s", got.snapshot.Err(), got.took)
		}
		if n := oms.begun.Load(); n != 1 {
			t.Errorf("%d listings", n)
		}
	})
}

func TestTheListingEndsWithTheLastWhoWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		oms := &slow{takes: time.Hour}
		c := collector.New(oms.list, collector.Options{Timeout: 2 * time.Hour})
		ctx, leave := context.WithCancel(t.Context())
		first := make(chan *collector.Snapshot, 1)
		go func() { first <- c.Scrape(ctx) }()
		second := scrape(c, 5*time.Second)
		synctest.Wait()

		leave()
		if err := (<-first).Err(); !errors.Is(err, context.Canceled) {
			t.Errorf("the first: %v", err)
		}
		if n := oms.canceled.Load(); n != 0 {
			t.Error("the listing ended although another scrape waits")
		}
		<-second

		if n := oms.canceled.Load(); n != 1 {
			t.Error("the listing goes on although no scrape waits")
		}
		oms.takes = time.Second
		if got := <-scrape(c, time.Minute); got.snapshot.Err() != nil || oms.begun.Load() != 2 {
			t.Errorf("the next scrape: %v, %d listings", got.snapshot.Err(), oms.begun.Load())
		}
	})
}

func TestTheDeadlineOfAListingIsThatOfTheMostPatient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var deadlines []time.Duration
		start := time.Now()
		c := collector.New(func(
			ctx context.Context, _ *omsclient.Report,
		) iter.Seq2[omsclient.Project, error] {
			return func(func(omsclient.Project, error) bool) {
				for range 2 {
					deadline, _ := ctx.Deadline()
					deadlines = append(deadlines, deadline.Sub(start))
					time.Sleep(time.Second) //nolint:forbidigo // synctest
				}
			}
		}, collector.Options{})

		hasty := scrape(c, 5*time.Second)
		synctest.Wait()
		patient := scrape(c, 20*time.Second)
		<-hasty
		<-patient

		if len(deadlines) != 2 || deadlines[0] != 5*time.Second || deadlines[1] != 20*time.Second {
			t.Errorf("deadlines %v", deadlines)
		}
	})
}

func TestASnapshotKnowsWhetherItIsShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		oms := &slow{takes: time.Second}
		c := collector.New(oms.list, collector.Options{})

		first, second := scrape(c, time.Minute), scrape(c, time.Minute)
		a, b := (<-first).snapshot, (<-second).snapshot
		alone := (<-scrape(c, time.Minute)).snapshot

		if a != b || !a.Shared() {
			t.Errorf("two scrapes at once: the same %t, shared %t", a == b, a.Shared())
		}
		if alone.Shared() {
			t.Error("a single scrape: shared")
		}
	})
}

// What is done after the last page takes a moment. A scrape that begins in it must
// not get what was listed before, and must not overtake it.
func TestAScrapeThatBeginsAfterTheLastPageHasAListingOfItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		oms := &slow{takes: time.Second}
		c := collector.New(oms.list, collector.Options{Thresholds: func() *collector.Thresholds {
			time.Sleep(2 * time.Second) //nolint:forbidigo // synctest
			return nil
		}})

		first := scrape(c, time.Minute)
		time.Sleep(2 * time.Second) //nolint:forbidigo // synctest
		second := scrape(c, time.Minute)
		synctest.Wait()
		if n := oms.begun.Load(); n != 1 {
			t.Errorf("%d listings before the first is accounted for", n)
		}

		for i, done := range []<-chan outcome{first, second} {
			if s := (<-done).snapshot; s.Shared() || s.Err() != nil {
				t.Errorf("scrape %d: shared %t, %v", i+1, s.Shared(), s.Err())
			}
		}
		if n := oms.begun.Load(); n != 2 || len(c.Fetches()) != 2 {
			t.Errorf("%d listings, %d accounted for", n, len(c.Fetches()))
		}
	})
}
