// Package benchmark measures the exporter against a textbook exporter of the same
// series: a decent first version, made with encoding/json and client_golang.
//
// It is a module of its own, so that the tests of the exporter need not run it. Without
// flags, its tests are quick and only show that it still works:
//
//	cd collector/benchmark && go test
//
// To measure both as separate processes that are scraped as Prometheus does it, on an
// idle Linux machine:
//
//	go test -run TestEndToEnd -endtoend -v -timeout 30m
//
// To measure parts of them in one process:
//
//	go test -run '^$' -bench .
//
// A metric that is new in the exporter need not be added here: the textbook then has a
// little less to do, and the comparison flatters it a little.
package benchmark

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// A Textbook is the textbook exporter. Make one with NewTextbook.
type Textbook struct {
	endpoint string
	client   *http.Client

	mu          sync.Mutex
	lastSuccess time.Time
	alarms      map[alarmKey]*alarmCount
}

type (
	alarmKey   struct{ id, name, rule string }
	alarmCount struct {
		last, total float64
		scrape      time.Time // the last one that had it
	}
)

// NewTextbook returns a textbook exporter of the OMS at a URL.
func NewTextbook(url string, client *http.Client) *Textbook {
	return &Textbook{
		endpoint: url + "/api/v2?Action=ListProjects", client: client,
		alarms: map[alarmKey]*alarmCount{},
	}
}

// Handler serves the metrics, with the defaults of client_golang.
func (t *Textbook) Handler() http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(t)
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{})
}

// Describe implements [prometheus.Collector].
func (t *Textbook) Describe(ch chan<- *prometheus.Desc) { Listing{}.Describe(ch) }

// Collect implements [prometheus.Collector].
func (t *Textbook) Collect(ch chan<- prometheus.Metric) { t.Scrape().Collect(ch) }

// Scrape lists all tasks.
func (t *Textbook) Scrape() Listing {
	start := time.Now()
	l, err := t.List()
	l.Err, l.Duration = err, time.Since(start)
	t.mu.Lock()
	defer t.mu.Unlock()
	if err == nil {
		t.lastSuccess = time.Now()
		l.AlarmTotals = t.countAlarms(l.Projects, start)
	}
	l.LastSuccess = t.lastSuccess
	return l
}

// List reads one page after another until one is short.
func (t *Textbook) List() (Listing, error) {
	const pageSize = 150
	var l Listing
	seen := map[string]bool{}
	for number := 1; ; number++ {
		page, err := t.page(number, pageSize)
		if err != nil {
			return Listing{}, fmt.Errorf("page %d: %w", number, err)
		}
		l.Pages, l.Total, l.ClockSkew = number, page.TotalCount, page.clockSkew
		for _, p := range page.Data {
			if seen[p.ID] {
				l.Duplicates++
				continue
			}
			seen[p.ID] = true
			l.Projects = append(l.Projects, p)
		}
		if len(page.Data) < pageSize {
			return l, nil
		}
	}
}

func (t *Textbook) page(number, size int) (*page, error) {
	body, err := json.Marshal(map[string]any{
		"pageNumber": number, "pageSize": size, "sortField": "gmtCreate", "order": "asc",
		"visibleSubProject": false,
	})
	if err != nil {
		return nil, err
	}
	//nolint:noctx // Collect has no context; the client has a timeout
	response, err := t.client.Post(t.endpoint, "application/json", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("HTTP status %s", response.Status)
	}
	p := new(page)
	if err := json.NewDecoder(response.Body).Decode(p); err != nil {
		return nil, err
	}
	if !p.Success {
		return nil, fmt.Errorf("%s: %s", p.Code, p.Message)
	}
	if date, err := http.ParseTime(response.Header.Get("Date")); err == nil {
		p.clockSkew = date.Sub(time.Now().Truncate(time.Second))
	}
	return p, nil
}

// countAlarms adds up by how much the counts of alarms have risen since the last
// scrape.
func (t *Textbook) countAlarms(projects []Project, now time.Time) map[alarmKey]float64 {
	totals := map[alarmKey]float64{}
	count := func(p *Project, rule string, n float64) {
		key := alarmKey{p.ID, p.Name, rule}
		c := t.alarms[key]
		if c == nil {
			c = &alarmCount{last: n}
			t.alarms[key] = c
		}
		c.total += max(0, n-c.last)
		c.last, c.scrape = n, now
		totals[key] = c.total
	}
	for i := range projects {
		p := &projects[i]
		for rule, n := range p.AlarmStats.RuleToRecentlyTriggerCount {
			count(p, rule, n)
		}
		n := p.AlarmStats.RecentlyTriggerCount
		if len(p.AlarmStats.RuleToRecentlyTriggerCount) == 0 && n != nil && *n != 0 {
			count(p, "", *n)
		}
	}
	for key, c := range t.alarms {
		if c.scrape != now {
			delete(t.alarms, key)
		}
	}
	return totals
}
