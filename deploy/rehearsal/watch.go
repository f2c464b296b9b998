package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"path"
	"slices"
	"sync"
	"time"
)

// An alert is one as Alertmanager describes it.
type alert struct {
	Labels      map[string]string
	Annotations map[string]string
	StartsAt    time.Time // when it began to fire, after its "for"
	Fingerprint string
}

// A page is an alert that fired or was resolved, as it arrived at a receiver.
type page struct {
	receiver string
	at       time.Time // real time
	resolved bool
	group    int // pages with the same number came in one notification
	alert
}

// pages are the pages that arrived, in order. It is the handler of all
// receivers.
type pages struct {
	mu     sync.Mutex
	groups int
	all    []page
}

// ServeHTTP receives a notification as Alertmanager sends it to webhooks.
func (p *pages) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var notification struct {
		Alerts []struct {
			Status string
			alert
		}
	}
	if err := json.NewDecoder(r.Body).Decode(&notification); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.groups++
	for _, a := range notification.Alerts {
		p.all = append(p.all, page{
			receiver: path.Base(r.URL.Path), at: time.Now(), resolved: a.Status == "resolved",
			group: p.groups, alert: a.alert,
		})
	}
}

// of returns the pages of a scene that match.
func (p *pages) of(scene string, match func(page) bool) []page {
	p.mu.Lock()
	defer p.mu.Unlock()
	var found []page
	for _, page := range p.all {
		if page.Labels["instance"] == scene && match(page) {
			found = append(found, page)
		}
	}
	return found
}

// notifications returns how many notifications to a receiver contained an alert
// that fired.
func (p *pages) notifications(receiver, name string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	groups := make(map[int]bool)
	for _, page := range p.all {
		if page.receiver == receiver && fired(name)(page) {
			groups[page.group] = true
		}
	}
	return len(groups)
}

// fired matches pages that say that one of these alerts fires.
func fired(names ...string) func(page) bool {
	return func(p page) bool { return !p.resolved && slices.Contains(names, p.Labels["alertname"]) }
}

// seen has every alert that Alertmanager has had, by scene and name, with those
// that inhibited it.
type seen map[[2]string][]string

// get reads a JSON document from a server.
func get(ctx context.Context, url string, into any) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return err
	}
	response, err := (&http.Client{Timeout: time.Minute}).Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if err := json.NewDecoder(response.Body).Decode(into); err != nil {
		return fmt.Errorf("%s: %w", url, err)
	}
	return nil
}

// look adds the alerts that Alertmanager has now.
func (s seen) look(ctx context.Context, url string) error {
	var alerts []struct {
		alert
		Status struct{ InhibitedBy []string }
	}
	if err := get(ctx, url+"/api/v2/alerts", &alerts); err != nil {
		return err
	}
	names := make(map[string]string)
	for _, a := range alerts {
		names[a.Fingerprint] = a.Labels["alertname"]
	}
	for _, a := range alerts {
		key := [2]string{a.Labels["instance"], a.Labels["alertname"]}
		by := s[key]
		for _, source := range a.Status.InhibitedBy {
			if name := names[source]; name != "" && !slices.Contains(by, name) {
				by = append(by, name)
			}
		}
		s[key] = by
	}
	return nil
}

// names returns the alerts that Alertmanager has had of a scene.
func (s seen) names(scene string) []string {
	var names []string
	for key := range s {
		if key[0] == scene {
			names = append(names, key[1])
		}
	}
	return names
}

// minutes formats a duration in whole minutes.
func minutes(d time.Duration) string {
	return fmt.Sprintf("%.0f min", d.Minutes())
}
