package collector_test

import (
	"context"
	"fmt"
	"iter"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"oms_exporter/collector"
	"oms_exporter/omsclient"
)

// entered returns how many answers with so many tasks are in a room when no more fit.
func entered(t *testing.T, r *collector.Room, tasks int) (n int) {
	t.Helper()
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for ; n < 1000; n++ {
		leave, err := r.Enter(ended, tasks)
		if err != nil {
			return n
		}
		defer leave()
	}
	return n
}

func TestARoomIsForManySmallAnswersOrTwoLargeOnes(t *testing.T) {
	for _, c := range []struct{ places, tasks, want int }{
		{40, 0, 40},
		{40, 500, 40},
		{40, 501, 20},
		{40, 3000, 6},
		{40, 10_000, 2},
		{40, 1 << 40, 2},
		{1, 10_000, 1},
		{3, 10_000, 3},
		{0, 10_000, 1000},
	} {
		r := collector.NewRoom(c.places)
		for range 2 { // all places are given back
			if got := entered(t, r, c.tasks); got != c.want {
				t.Errorf("%d places are room for %d answers with %d tasks, want %d", c.places, got, c.tasks, c.want)
			}
		}
	}
}

// Listings list so many tasks in a second, and remember when they began.
type listings struct {
	tasks int
	began []time.Time
}

func (l *listings) list(_ context.Context, r *omsclient.Report) iter.Seq2[omsclient.Project, error] {
	return func(yield func(omsclient.Project, error) bool) {
		r.Pages = 1
		l.began = append(l.began, time.Now())
		time.Sleep(time.Second) //nolint:forbidigo // synctest
		for i := range l.tasks {
			if !yield(omsclient.Project{ID: fmt.Sprint(i)}, nil) {
				return
			}
		}
	}
}

// Two snapshots are being sent to clients that take a minute. A third listing waits for one
// of them, and is shared by all who wait for it.
func TestAListingBeginsWhenThereIsRoomForItsSnapshot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		oms := &listings{tasks: 2000}
		c := collector.New(oms.list, collector.Options{Timeout: 5 * time.Minute, Room: collector.NewRoom(4)})
		slow := func(*collector.Snapshot) { time.Sleep(time.Minute) } //nolint:forbidigo // synctest
		for range 2 {
			go c.Use(t.Context(), slow)
			time.Sleep(2 * time.Second) //nolint:forbidigo // synctest
		}
		got := make(chan string, 3)
		for range cap(got) {
			go c.Use(t.Context(), func(s *collector.Snapshot) {
				got <- fmt.Sprint(time.Since(began), s.Tasks(), s.Shared(), s.Err())
			})
		}

		for range cap(got) {
			// The first has listed for a second, and is done after a minute.
			if s, want := <-got, fmt.Sprint(62*time.Second, 2000, true, nil); s != want {
				t.Errorf("got %s, want %s", s, want)
			}
		}
		if len(oms.began) != 3 {
			t.Errorf("%d listings, want 3", len(oms.began))
		}
		time.Sleep(time.Minute) //nolint:forbidigo // synctest
	})
}

func TestAScrapeWithoutRoomFailsInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		oms := &listings{tasks: 2000}
		c := collector.New(oms.list, collector.Options{Room: collector.NewRoom(1)})
		done := make(chan struct{})
		go c.Use(t.Context(), func(*collector.Snapshot) { <-done })
		time.Sleep(2 * time.Second) //nolint:forbidigo // synctest
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		began := time.Now()

		s := c.Scrape(ctx)

		if took := time.Since(began); omsclient.ReasonOf(s.Err()) != omsclient.Timeout || took != 10*time.Second ||
			!strings.Contains(s.Err().Error(), "while waiting for a turn to list") {
			t.Errorf("after %s: %v", took, s.Err())
		}
		if len(oms.began) != 1 {
			t.Errorf("OMS was asked %d times, want once", len(oms.began))
		}
		close(done)
		if s := c.Scrape(t.Context()); s.Err() != nil { // the place was given back
			t.Error(s.Err())
		}
	})
}

// A function that panics gives its place back, as does a scrape that hangs up.
func TestPlacesAreGivenBackWhateverHappens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		oms := &listings{tasks: 10}
		c := collector.New(oms.list, collector.Options{Room: collector.NewRoom(1)})
		for range 3 {
			func() {
				defer func() { _ = recover() }()
				c.Use(t.Context(), func(*collector.Snapshot) { panic("the client is gone") })
			}()
			ctx, cancel := context.WithCancel(t.Context())
			go func() {
				time.Sleep(time.Second / 2) //nolint:forbidigo // synctest
				cancel()
			}()
			_ = c.Scrape(ctx)
		}

		if s := c.Scrape(t.Context()); s.Err() != nil || s.Tasks() != 10 {
			t.Errorf("%d tasks, %v", s.Tasks(), s.Err())
		}
	})
}
