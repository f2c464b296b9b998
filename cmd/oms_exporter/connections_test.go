package main

import (
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"

	"oms_exporter/omsclient/omssim/balancer"
)

// TestConnectionsForgottenBetweenScrapesCostNoScrape has a balancer forget all
// connections after each scrape, without a word to either side.
func TestConnectionsForgottenBetweenScrapesCostNoScrape(t *testing.T) {
	t.Parallel()
	fleets := map[int]fleet{451: fleetOf(451), 900: fleetOf(900), 3000: fleetOf(3000)}
	for _, protocol := range []string{"HTTP/1.1", "HTTP/2.0"} {
		for _, how := range []string{balancer.Resets, balancer.Closes, balancer.HangsUp, balancer.Swallows} {
			for tasks, oms := range fleets {
				for _, concurrency := range []int{1, 4, 16} {
					t.Run(fmt.Sprintf("%s %s, %d tasks, %d at once", protocol, how, tasks, concurrency),
						func(t *testing.T) {
							t.Parallel()
							node, settings := serve1or2(t, protocol, oms)
							b := balancer.New(t, node)
							p := exporterOf(t, fmt.Sprintf(
								"  oms: {"+settings+", concurrency: %d, page_timeout: 1s, exclude: {statuses: [RUNNING]}}\n",
								b.Address, concurrency), "--web.disable-exporter-metrics")

							for n := range 3 {
								got := verdict(t, p.url+"/probe?target=oms", scrapeTimeout, ample)

								if want := fmt.Sprintf("up, %d tasks", tasks); got != want {
									t.Errorf("scrape %d: %s, want %s", n+1, got, want)
								}
								if b.Forget(how) == 0 {
									t.Error("no connection was there to be forgotten")
								}
							}
						})
				}
			}
		}
	}
}

// TestConnectionsForgottenInTheMidstOfAListingCostNoScrape has the balancer
// forget all connections as soon as page 1 has been answered.
func TestConnectionsForgottenInTheMidstOfAListingCostNoScrape(t *testing.T) {
	t.Parallel()
	for _, protocol := range []string{"HTTP/1.1", "HTTP/2.0"} {
		for _, how := range []string{balancer.Resets, balancer.Closes, balancer.Swallows} {
			t.Run(protocol+" "+how, func(t *testing.T) {
				t.Parallel()
				oms := fleetOf(900)
				var (
					b    *balancer.Balancer
					once atomic.Bool
				)
				node, settings := serve1or2(t, protocol, http.HandlerFunc(
					func(w http.ResponseWriter, r *http.Request) {
						page := pageAsked(r)
						if page == 1 && once.CompareAndSwap(true, false) {
							b.Forget(how) // the answer still comes through
						}
						fmt.Fprint(w, oms[page-1])
					}))
				b = balancer.New(t, node)
				p := exporterOf(t, fmt.Sprintf("  oms: {"+settings+", page_timeout: 1s, exclude: {statuses: [RUNNING]}}\n", b.Address))

				for n := range 3 {
					once.Store(true)
					if got := verdict(t, p.url+"/probe?target=oms", scrapeTimeout, ample); got != "up, 900 tasks" {
						t.Errorf("scrape %d: %s", n+1, got)
					}
				}
			})
		}
	}
}

// TestANameThatMovedIsFollowedAtOnce has new connections lead to a new
// node while those that are kept stay with the old one, which answers otherwise
// than it did.
func TestANameThatMovedIsFollowedAtOnce(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]struct {
		status     int
		kind, body string
	}{
		"502":           {502, "text/html", "<html>Bad Gateway</html>"},
		"503 no body":   {503, "text/plain", ""},
		"404":           {404, "text/html", "<html>Not Found</html>"},
		"401":           {401, "application/json", "{}"},
		"403":           {403, "application/json", "{}"},
		"301":           {301, "text/html", ""},
		"success:false": {200, "application/json", `{"success": false, "code": "STANDBY"}`},
		"HTML":          {200, "text/html", "<html>maintenance</html>"},
		"no JSON":       {200, "application/json", "starting"},
		"{}":            {200, "application/json", "{}"},
		"empty list":    {200, "application/json", `{"success": true, "totalCount": 0, "data": []}`},
	} {
		for _, protocol := range []string{"HTTP/1.1", "HTTP/2.0"} {
			t.Run(protocol+" "+name, func(t *testing.T) {
				t.Parallel()
				var moved atomic.Bool
				before, settings := serve1or2(t, protocol, http.HandlerFunc(
					func(w http.ResponseWriter, r *http.Request) {
						if !moved.Load() {
							fleetOf(451).ServeHTTP(w, r)
							return
						}
						w.Header().Set("Content-Type", answer.kind)
						w.WriteHeader(answer.status)
						fmt.Fprint(w, answer.body)
					}))
				after, _ := serve1or2(t, protocol, fleetOf(5))
				b := balancer.New(t, before)
				p := exporterOf(t, fmt.Sprintf("  oms: {"+settings+", exclude: {statuses: [RUNNING]}}\n", b.Address))
				url := p.url + "/probe?target=oms"

				if got := verdict(t, url, scrapeTimeout, ample); got != "up, 451 tasks" {
					t.Fatal("before the move:", got)
				}
				moved.Store(true)
				b.MoveTo(after)

				for range 2 {
					if got := verdict(t, url, scrapeTimeout, ample); got != "up, 5 tasks" {
						t.Errorf("after the move: %s, want up, 5 tasks", got)
					}
				}
			})
		}
	}
}

// TestAReloadFollowsANameThatMoved has the old node answer as ever. Pages are asked for
// one at a time, over one connection: how many a listing leaves behind is otherwise up
// to chance, and the next one may need a new connection, which leads to the new node.
func TestAReloadFollowsANameThatMoved(t *testing.T) {
	t.Parallel()
	for _, protocol := range []string{"HTTP/1.1", "HTTP/2.0"} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			before, settings := serve1or2(t, protocol, fleetOf(451))
			after, _ := serve1or2(t, protocol, fleetOf(5))
			b := balancer.New(t, before)
			p := exporterOf(t, fmt.Sprintf("  oms: {"+settings+", concurrency: 1, exclude: {statuses: [RUNNING]}}\n", b.Address), "--web.enable-lifecycle")
			url := p.url + "/probe?target=oms"

			if got := verdict(t, url); got != "up, 451 tasks" {
				t.Fatal("before the move:", got)
			}
			b.MoveTo(after)
			if got := verdict(t, url); got != "up, 451 tasks" {
				t.Fatal("a connection that is well is not kept:", got)
			}
			if r := send(t, http.MethodPost, p.url+"/-/reload", ""); r.status != http.StatusOK {
				t.Fatal(r)
			}

			if got := verdict(t, url); got != "up, 5 tasks" {
				t.Errorf("after the reload: %s, want up, 5 tasks", got)
			}
		})
	}
}
