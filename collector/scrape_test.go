package collector_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-kit/log"
	"github.com/go-kit/log/level"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"golang.org/x/time/rate"

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

// infoLogger returns a logger without what is only for debugging.
func infoLogger(w io.Writer) log.Logger {
	return level.NewFilter(log.NewLogfmtLogger(w), level.AllowInfo())
}

// wait lets a time pass in a synctest bubble.
func wait(d time.Duration) { time.Sleep(d) } //nolint:forbidigo // synctest

func TestManyScrapersMakeOMSListNoFasterThanThePace(t *testing.T) {
	for name, takes := range map[string]time.Duration{"at once": 0, "in a while": 300 * time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const scrapers, burst, lasts = 20, 3, 20 * time.Second
				oms := &slow{takes: takes}
				c := collector.New(oms.list, collector.Options{Pace: rate.NewLimiter(2, burst)})
				end := time.Now().Add(lasts)
				var all sync.WaitGroup
				var answers, longest atomic.Int64
				for range scrapers {
					all.Go(func() {
						for time.Now().Before(end) {
							got := <-scrape(c, 10*time.Second)
							if got.snapshot.Err() != nil {
								t.Error(got.snapshot.Err())
							}
							answers.Add(1)
							longest.Store(max(longest.Load(), int64(got.took)))
							wait(time.Millisecond)
						}
					})
				}
				all.Wait()

				if n := int(oms.begun.Load()); n < 2*int(lasts.Seconds()) || n > 2*int(lasts.Seconds())+burst+1 {
					t.Errorf("%d listings in %s", n, lasts)
				}
				if n := answers.Load(); n < scrapers*2*int64(lasts.Seconds()) {
					t.Errorf("%d answers: not everybody shares", n)
				}
				if took := time.Duration(longest.Load()); took > takes+501*time.Millisecond+takes {
					t.Errorf("a scrape took %s", took)
				}
			})
		})
	}
}

// counting is an OMS that names its only task after how many listings it has begun.
func counting(begun *atomic.Int32) collector.ListFunc {
	return func(context.Context, *omsclient.Report) iter.Seq2[omsclient.Project, error] {
		return func(yield func(omsclient.Project, error) bool) {
			yield(omsclient.Project{ID: fmt.Sprintf("np_%d", begun.Add(1)), Status: "RUNNING"}, nil)
		}
	}
}

func TestAScrapeThatWaitsForItsTurnHasNothingOld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var begun atomic.Int32
		c := collector.New(counting(&begun), collector.Options{Pace: rate.NewLimiter(2, 1)})

		<-scrape(c, time.Minute)
		first, second := scrape(c, time.Minute), scrape(c, time.Minute)
		wait(400 * time.Millisecond)
		third := scrape(c, time.Minute)

		for i, done := range []<-chan outcome{first, second, third} {
			got := <-done
			if series := gathered(t, got.snapshot); !strings.Contains(series, `task_id="np_2"`) {
				t.Errorf("scrape %d after %s has not the listing that began after it:\n%s", i+1, got.took, series)
			}
		}
		if n := begun.Load(); n != 2 {
			t.Errorf("%d listings, want 2: one alone, and one that three share", n)
		}
	})
}

func TestATurnThatComesTooLateCostsOMSNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var begun atomic.Int32
		c := collector.New(counting(&begun), collector.Options{Pace: rate.NewLimiter(0.1, 1)})

		<-scrape(c, time.Minute)
		for range 3 {
			got := <-scrape(c, 2*time.Second)
			if got.took != 2*time.Second || omsclient.ReasonOf(got.snapshot.Err()) != omsclient.Timeout {
				t.Errorf("%v after %s", got.snapshot.Err(), got.took)
			}
		}
		if n := begun.Load(); n != 1 {
			t.Errorf("%d listings", n)
		}
		// Turns that were not taken are given back: the next is due 10 s after the first.
		if got := <-scrape(c, time.Minute); got.took != 4*time.Second || got.snapshot.Err() != nil {
			t.Errorf("%v after %s", got.snapshot.Err(), got.took)
		}
	})
}

func TestABudgetTooSmallToDoAnythingCostsOMSNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, budget := range []time.Duration{-time.Second, 0, time.Millisecond, 49 * time.Millisecond} {
			oms := &slow{}
			c := collector.New(oms.list, collector.Options{})

			got := <-scrape(c, budget)

			if n := oms.begun.Load(); n != 0 || got.took != 0 ||
				omsclient.ReasonOf(got.snapshot.Err()) != omsclient.Timeout {
				t.Errorf("%s: %d listings, %v after %s", budget, n, got.snapshot.Err(), got.took)
			}
		}
		oms := &slow{}
		if got := <-scrape(collector.New(oms.list, collector.Options{}), 50*time.Millisecond); got.snapshot.Err() != nil {
			t.Errorf("50ms: %v", got.snapshot.Err())
		}
	})
}

// hangUp scrapes, and hangs up after a time.
func hangUp(c *collector.Collector, after time.Duration) {
	ctx, leave := context.WithCancel(context.Background())
	time.AfterFunc(after, leave)
	c.Scrape(ctx)
}

func TestAListingGoesOnForTheNextWhenAScraperHangsUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		oms := &slow{takes: 10 * time.Second}
		c := collector.New(oms.list, collector.Options{})

		began := time.Now()
		hangUp(c, time.Second)
		if took := time.Since(began); took != time.Second {
			t.Errorf("the scraper that hung up waited %s", took)
		}
		for range 4 { // each comes in time, and hangs up too
			wait(1900 * time.Millisecond)
			hangUp(c, 100*time.Millisecond)
		}
		got := <-scrape(c, time.Minute)

		if n := oms.begun.Load(); n != 1 || oms.canceled.Load() != 0 || got.took != time.Second {
			t.Errorf("%d listings, %d canceled, answered after %s", n, oms.canceled.Load(), got.took)
		}
	})
}

func TestAListingEndsSoonWhenTheLastScraperHasHungUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		oms := &slow{takes: time.Hour}
		var lines bytes.Buffer
		c := collector.New(oms.list, collector.Options{Timeout: 2 * time.Hour, Logger: infoLogger(&lines)})

		hangUp(c, time.Second)
		wait(1999 * time.Millisecond)
		if oms.canceled.Load() != 0 {
			t.Error("canceled at once")
		}
		wait(2 * time.Millisecond)
		synctest.Wait()

		if oms.canceled.Load() != 1 {
			t.Error("OMS is still asked, for nobody")
		}
		if lines.Len() > 0 {
			t.Errorf("a scraper that hung up is logged:\n%s", &lines)
		}
		oms.takes = time.Second
		if got := <-scrape(c, time.Minute); got.snapshot.Err() != nil {
			t.Error(got.snapshot.Err())
		}
	})
}

func TestClosingEndsAListingThatNobodyWaitsForAnymore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		oms := &slow{takes: time.Hour}
		c := collector.New(oms.list, collector.Options{Timeout: 2 * time.Hour})
		hangUp(c, time.Second)
		began := time.Now()

		c.Close()

		if took := time.Since(began); took != 0 || oms.canceled.Load() != 1 {
			t.Errorf("%d listings canceled after %s, want 1 at once", oms.canceled.Load(), took)
		}
		got := <-scrape(c, time.Minute)
		if omsclient.ReasonOf(got.snapshot.Err()) != omsclient.Canceled || got.took != 0 {
			t.Errorf("a scrape afterward: %v after %s, want %s at once", got.snapshot.Err(), got.took, omsclient.Canceled)
		}
	})
}

// Somebody waits all the time, so a listing that hangs would go on for ever.
func TestAListingEndsInTimeHoweverManyJoin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const most = 30 * time.Second
		var begun atomic.Int32
		start := time.Now()
		c := collector.New(func(ctx context.Context, _ *omsclient.Report) iter.Seq2[omsclient.Project, error] {
			return func(yield func(omsclient.Project, error) bool) {
				if begun.Add(1) > 1 {
					return
				}
				<-ctx.Done()
				if deadline, _ := ctx.Deadline(); !deadline.Equal(start.Add(most)) {
					t.Errorf("the listing thought to have %s", deadline.Sub(start))
				}
				wait(time.Second) // it takes a moment to end
				yield(omsclient.Project{}, ctx.Err())
			}
		}, collector.Options{Timeout: most})
		var joined []<-chan outcome
		for range 5 {
			joined = append(joined, scrape(c, 10*time.Second))
			wait(6 * time.Second)
		}
		after := <-scrape(c, 10*time.Second)

		for i, took := range []float64{10, 10, 10, 10, 7} {
			got := <-joined[i]
			if got.took.Seconds() != took || omsclient.ReasonOf(got.snapshot.Err()) != omsclient.Timeout {
				t.Errorf("scrape %d: %v after %s, want a timeout after %g s", i, got.snapshot.Err(), got.took, took)
			}
		}
		if n := begun.Load(); n != 2 || after.snapshot.Err() != nil || after.took != 0 {
			t.Errorf("the scrape after that: %v after %s, %d listings", after.snapshot.Err(), after.took, n)
		}
	})
}

func TestFailuresOfAKindAreLoggedOnceAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var lines bytes.Buffer
		failure := omsclient.Error{Reason: omsclient.HTTPStatus, Page: 1, StatusCode: 502}
		c := collector.New(func(context.Context, *omsclient.Report) iter.Seq2[omsclient.Project, error] {
			return func(yield func(omsclient.Project, error) bool) { yield(omsclient.Project{}, &failure) }
		}, collector.Options{Logger: infoLogger(&lines)})
		scrapeEverySecond := func(times, status int) string {
			failure.StatusCode = status
			lines.Reset()
			for range times {
				<-scrape(c, time.Minute)
				wait(time.Second)
			}
			return strings.ReplaceAll(lines.String(), `level=error msg="cannot list the tasks of OMS" reason=http_status `, "")
		}
		const bad = "err=\"list projects: page 1: HTTP status 502 Bad Gateway\" duration=0s"
		const gone = "err=\"list projects: page 1: HTTP status 410 Gone\" duration=0s"

		for i, step := range []struct {
			times, status int
			want          string
		}{
			{30, 502, bad + "\n"},
			{10, 410, gone + "\n"}, // another kind
			{15, 502, ""},
			{66, 502, bad + " more_since_last_line=49\n" + bad + " more_since_last_line=59\n"},
			{1, 410, gone + " more_since_last_line=9\n"},
		} {
			if got := scrapeEverySecond(step.times, step.status); got != step.want {
				t.Errorf("step %d: logged\n%s, want\n%s", i, got, step.want)
			}
		}
	})
}

func TestFetchesAreTheLastTenListings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := collector.New(listOf(t), collector.Options{})
		for range 12 {
			gathered(t, c)
			time.Sleep(time.Second) //nolint:forbidigo // synctest
		}

		fetches := c.Fetches()

		if age := time.Since(fetches[0].Start); len(fetches) != 10 || age != time.Second {
			t.Errorf("%d listings, the first %s ago; want 10, the latest first", len(fetches), age)
		}
	})
}

// What OMS says is cut and made printable before it is logged.
func TestOddWordsOfOMSAreLoggedShortAndPrintable(t *testing.T) {
	var lines bytes.Buffer
	odd := "\u009b31m\u202e" + strings.Repeat("Z", 200)
	c := collector.New(func(context.Context, *omsclient.Report) iter.Seq2[omsclient.Project, error] {
		return func(yield func(omsclient.Project, error) bool) {
			yield(omsclient.Project{
				ID: "1", Type: odd, Status: odd, Importance: odd, Steps: []omsclient.Step{{Name: odd, Status: odd}},
			}, nil)
		}
	}, collector.Options{Logger: log.NewLogfmtLogger(&lines)})

	_ = c.Scrape(t.Context())

	want := "?31m?" + strings.Repeat("Z", 59) + "\n"
	if n := strings.Count(lines.String(), want); n != 5 || strings.Contains(lines.String(), "\u202e") {
		t.Errorf("%d of 5 lines end in %q:\n%q", n, want, lines.String())
	}
}
