package collector_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"oms_exporter/collector"
	"oms_exporter/omsclient"
	"oms_exporter/omsclient/omssim"
)

const (
	verifyAction    = "ListProjectFullVerifyResult"
	componentAction = "DescribeProjectComponents"

	// A task that is verified and has failed, so that there is a question for each action.
	verifiedAndFailed = `{"id":"np_9","name":"orders","type":"MIGRATION","status":"FAILED","steps":[
		{"name":"FULL_VERIFIER","status":"RUNNING","progress":100,"startTime":"2025-01-02T03:04:05"},
		{"name":"INCR_TRANSFER","status":"FAILED"}]}`
)

// handlerTransport calls a handler without a network. What the handler aborts is no answer.
type handlerTransport struct{ handler http.Handler }

func (h handlerTransport) RoundTrip(r *http.Request) (response *http.Response, err error) {
	defer func() {
		if recover() != nil {
			response, err = nil, errors.Join(errors.New("aborted"), r.Context().Err())
		}
	}()
	w := httptest.NewRecorder()
	h.handler.ServeHTTP(w, r)
	return w.Result(), r.Context().Err()
}

// looking returns a collector that asks a simulated OMS about single tasks.
func looking(t *testing.T, oms *omssim.Server, registry prometheus.Registerer) *collector.Collector {
	t.Helper()
	client, err := omsclient.New("http://oms.example:8089",
		&http.Client{Transport: handlerTransport{oms}}, omsclient.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return collector.New(client.List, collector.Options{
		Metrics: collector.NewMetrics(registry), Timeout: 10 * time.Second,
		VerifyResult: client.VerifyResult, Components: client.Components,
	})
}

func newOMS(t *testing.T, options omssim.Options) *omssim.Server {
	t.Helper()
	oms, err := omssim.New(options)
	if err != nil {
		t.Fatal(err)
	}
	return oms
}

// addition returns the lines of an exposition that another one lacks, which must be the rest
// of it.
func addition(t *testing.T, whole, part string) string {
	t.Helper()
	had := map[string]bool{}
	for line := range strings.Lines(part) {
		had[line] = true
	}
	var kept, added strings.Builder
	for line := range strings.Lines(whole) {
		if had[line] {
			kept.WriteString(line)
		} else {
			added.WriteString(line)
		}
	}
	if kept.String() != part {
		t.Errorf("what was there has changed:\n%s\nwant\n%s", kept.String(), part)
	}
	return added.String()
}

// What OMS answers about a task is in the next exposition, beside what the listing gives.
func TestAnswersAboutTasksAreExported(t *testing.T) {
	for _, tt := range []struct{ name, action, answer, want string }{
		{
			name: "differences", action: verifyAction,
			answer: `{"success":true,"totalCount":415,"data":{"differentNumber":7,"fullVerifyTableStatistics":[
				{"sourceTableName":"secret_table","sourceSchemaName":"TRADE","mismatchedCount":7}]}}`,
			want: `# HELP oms_task_verify_different_records data.differentNumber of ListProjectFullVerifyResult: records that the full verification found to differ. Absent until OMS has been asked and has answered with a number.
# TYPE oms_task_verify_different_records gauge
oms_task_verify_different_records{task_id="np_9",task_name="orders"} 7
# HELP oms_task_verify_result_timestamp_seconds When OMS answered ListProjectFullVerifyResult, as a Unix time in seconds. It is asked again when times or status of the verification change.
# TYPE oms_task_verify_result_timestamp_seconds gauge
oms_task_verify_result_timestamp_seconds{task_id="np_9",task_name="orders"} 9.466848e+08
# HELP oms_task_verify_tables totalCount of ListProjectFullVerifyResult: tables that the full verification has compared.
# TYPE oms_task_verify_tables gauge
oms_task_verify_tables{task_id="np_9",task_name="orders"} 415
`,
		},
		{
			name: "a number that OMS does not say", action: verifyAction,
			answer: `{"success":true,"totalCount":"3","data":{"differentNumber":null}}`,
			want: `# HELP oms_task_verify_result_timestamp_seconds When OMS answered ListProjectFullVerifyResult, as a Unix time in seconds. It is asked again when times or status of the verification change.
# TYPE oms_task_verify_result_timestamp_seconds gauge
oms_task_verify_result_timestamp_seconds{task_id="np_9",task_name="orders"} 9.466848e+08
# HELP oms_task_verify_tables totalCount of ListProjectFullVerifyResult: tables that the full verification has compared.
# TYPE oms_task_verify_tables gauge
oms_task_verify_tables{task_id="np_9",task_name="orders"} 3
`,
		},
		{
			name: "components, of which the worst of a kind counts", action: componentAction,
			answer: `{"success":true,"data":{
				"storeList":[{"name":"10.0.0.1:7100","status":"ACTIVE","delay":"3"},
					{"status":"UNEXPECTED_EXIT","delay":40,"errMsg":"secret_table"},{"status":"EXCEPTION","delay":null}],
				"reverseStoreList":[{"status":"ACTIVE"},{"status":"SOMETHING_NEW"}],
				"fullImportComponents":[{"status":"FINISHED"},{"status":"DONE"}],
				"fullVerifyComponents":null,
				"incrSyncComponents":[{"status":"RUNNING","delay":0,"config":{"sink":{"jdbcUrl":"jdbc:mysql://db8"}}}]}}`,
			want: `# HELP oms_task_component_delay_seconds delay of the components in the answer to DescribeProjectComponents, in seconds: the largest of the components of a kind.
# TYPE oms_task_component_delay_seconds gauge
oms_task_component_delay_seconds{component="incr_sync",direction="forward",task_id="np_9",task_name="orders"} 0
oms_task_component_delay_seconds{component="store",direction="forward",task_id="np_9",task_name="orders"} 40
# HELP oms_task_component_result_timestamp_seconds When OMS answered DescribeProjectComponents, as a Unix time in seconds.
# TYPE oms_task_component_result_timestamp_seconds gauge
oms_task_component_result_timestamp_seconds{task_id="np_9",task_name="orders"} 9.466848e+08
# HELP oms_task_component_status status of the components in the answer to DescribeProjectComponents: always 1, for the worst status of the components of a kind. store reads changes, incr_sync applies them. OMS is asked about tasks that are late, stand still or have failed, and an answer is kept for 15 minutes.
# TYPE oms_task_component_status gauge
oms_task_component_status{component="full_import",direction="forward",status="DONE",task_id="np_9",task_name="orders"} 1
oms_task_component_status{component="incr_sync",direction="forward",status="RUNNING",task_id="np_9",task_name="orders"} 1
oms_task_component_status{component="store",direction="forward",status="UNEXPECTED_EXIT",task_id="np_9",task_name="orders"} 1
oms_task_component_status{component="store",direction="reverse",status="SOMETHING_NEW",task_id="np_9",task_name="orders"} 1
`,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				oms := newOMS(t, omssim.Options{
					Projects: []string{verifiedAndFailed},
					Answers:  map[string]string{omssim.AnswerName(tt.action, "np_9"): tt.answer},
				})
				c := looking(t, oms, prometheus.NewRegistry())

				listed := gathered(t, c)
				c.Settle()
				known := gathered(t, c)
				c.Settle()

				if got := addition(t, known, listed); got != tt.want {
					t.Errorf("added\n%s\nwant\n%s", got, tt.want)
				}
			})
		})
	}
}

// Whatever goes wrong with a question, the exposition is that of an exporter that asks none.
func TestQuestionsThatFailChangeNothing(t *testing.T) {
	codes := map[string]string{
		"no_permission": "200", "unknown_action": "200", "forbidden": "403", "unauthorized": "401",
		"internal_error": "500", "html_502": "502", "redirect": "302", "empty_body": "200",
		"truncated": "200", "invalid_json": "200", "hang": "timeout",
	}
	for kind, code := range codes {
		for _, action := range []string{verifyAction, componentAction} {
			t.Run(kind+"/"+action, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					oms := newOMS(t, omssim.Options{Projects: []string{verifiedAndFailed}, Answers: map[string]string{
						omssim.AnswerName(action, "np_9"): `{"success":true,"data":{"differentNumber":7,"storeList":[{"status":"STOP"}]}}`,
					}})
					oms.SetFaults(omssim.Fault{Kind: omssim.FaultKind(kind), Action: action})
					registry := prometheus.NewRegistry()
					c := looking(t, oms, registry)
					silent := collector.New(listOf(t, verifiedAndFailed), collector.Options{})

					for range 3 {
						start := time.Now()
						if got, want := gathered(t, c), gathered(t, silent); got != want {
							t.Fatalf("got\n%s\nwant\n%s", got, want)
						}
						if took := time.Since(start); took > 0 {
							t.Errorf("the scrape waited %v", took)
						}
						c.Settle()
					}

					if n := requests(t, registry, action, code); n == 0 {
						t.Errorf("no request is counted with code %s", code)
					}
					look := c.Looks()[slices.Index([]string{verifyAction, componentAction}, action)]
					if look.Action != action || look.Failed == 0 || look.Err == nil || look.Next.IsZero() {
						t.Errorf("the failure does not show: %+v", look)
					}
				})
			})
		}
	}
}

// requests returns how many requests are counted for an action and a code.
func requests(t *testing.T, registry *prometheus.Registry, action, code string) int {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			labels := m.GetLabel()
			if f.GetName() == "oms_exporter_api_requests_total" &&
				labels[0].GetValue() == action && labels[1].GetValue() == code {
				return int(m.GetCounter().GetValue())
			}
		}
	}
	return 0
}

// An OMS whose tasks and answers a test decides.
type scripted struct {
	takes time.Duration // each answer

	mu       sync.Mutex
	projects []omsclient.Project
	fails    error
	result   omsclient.VerifyResult
	asked    []string // with the time since the start
	start    time.Time
	flying   int
	most     int // questions in flight
}

func script(projects ...omsclient.Project) *scripted {
	return &scripted{
		projects: projects, start: time.Now(),
		result: omsclient.VerifyResult{DifferentNumber: omsclient.Some(0.0)},
	}
}

func (s *scripted) list(context.Context, *omsclient.Report) iter.Seq2[omsclient.Project, error] {
	return func(yield func(omsclient.Project, error) bool) {
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, p := range s.projects {
			if !yield(p, nil) {
				return
			}
		}
	}
}

func (s *scripted) answer(ctx context.Context, id string) error {
	s.mu.Lock()
	s.asked = append(s.asked, fmt.Sprintf("%s at %v", id, time.Since(s.start)))
	s.flying++
	s.most = max(s.most, s.flying)
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.flying--
	}()
	select {
	case <-time.After(s.takes):
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.fails
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (s *scripted) verify(ctx context.Context, id string) (omsclient.VerifyResult, []omsclient.Request, error) {
	err := s.answer(ctx, id)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.result, nil, err
}

func (s *scripted) components(ctx context.Context, id string) ([]omsclient.Component, []omsclient.Request, error) {
	err := s.answer(ctx, id)
	return []omsclient.Component{{Kind: omsclient.Store, Status: "ACTIVE"}}, nil, err
}

// change changes the only task.
func (s *scripted) change(change func(*omsclient.Project)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.projects[0])
}

func (s *scripted) questions() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	asked := s.asked
	s.asked = nil
	return asked
}

// scrapeFor scrapes every 30 s for a while, and returns what was asked.
func (s *scripted) scrapeFor(c *collector.Collector, while time.Duration) []string {
	for range while / (30 * time.Second) {
		_ = c.Scrape(context.Background())
		c.Settle()
		time.Sleep(30*time.Second - time.Since(s.start)%(30*time.Second)) //nolint:forbidigo // synctest
	}
	return s.questions()
}

func checkQuestions(t *testing.T, when string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: asked %q, want %q", when, got, want)
	}
}

// verifiedTask is a task whose full verification is done.
func verifiedTask(id string) omsclient.Project {
	return omsclient.Project{ID: id, Status: "RUNNING", Type: "MIGRATION", Steps: []omsclient.Step{{
		Name: "FULL_VERIFIER", Status: "RUNNING", Progress: omsclient.Some(100.0), StartTime: time.Unix(1e9, 0),
	}}}
}

func TestAVerificationIsAskedAboutOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		oms := script(verifiedTask("np_1"))
		c := collector.New(oms.list, collector.Options{VerifyResult: oms.verify})
		const known = "oms_task_verify_different_records"

		checkQuestions(t, "done", oms.scrapeFor(c, time.Hour), "np_1 at 0s")

		oms.change(func(p *omsclient.Project) { p.Steps[0].Progress = omsclient.Some(40.0) })
		checkQuestions(t, "verifies again", oms.scrapeFor(c, time.Minute))
		if testutil.CollectAndCount(c, known) != 0 {
			t.Error("the result of the previous verification is still shown")
		}

		oms.change(func(p *omsclient.Project) {
			p.Steps[0].Progress, p.Steps[0].StartTime = omsclient.Some(100.0), time.Unix(2e9, 0)
		})
		checkQuestions(t, "done again", oms.scrapeFor(c, time.Minute), "np_1 at 1h1m0s")
		oms.change(func(p *omsclient.Project) { p.Steps[0].Status = "FINISHED" })
		checkQuestions(t, "closed", oms.scrapeFor(c, time.Minute), "np_1 at 1h2m0s")
		oms.change(func(p *omsclient.Project) { p.Steps[0].FinishTime = time.Unix(3e9, 0) })
		checkQuestions(t, "finished", oms.scrapeFor(c, time.Minute), "np_1 at 1h3m0s")
		if testutil.CollectAndCount(c, known) != 1 {
			t.Error("the result is not shown")
		}

		gone := oms.projects
		oms.projects = nil
		checkQuestions(t, "gone", oms.scrapeFor(c, time.Minute))
		oms.projects = gone
		checkQuestions(t, "back", oms.scrapeFor(c, time.Minute), "np_1 at 1h5m0s")
	})
}

func TestWhichVerificationsAreDone(t *testing.T) {
	step := func(name, status string, progress float64) omsclient.Project {
		return omsclient.Project{ID: "np_1", Type: "MIGRATION", Status: "RUNNING", Steps: []omsclient.Step{
			{Name: name, Status: status, Progress: omsclient.Some(progress)},
		}}
	}
	own := func(p omsclient.Project, status string) omsclient.Project {
		p.Type, p.Status = "VERIFY", status
		return p
	}
	for _, tt := range []struct {
		name    string
		project omsclient.Project
		want    int
	}{
		{"finished", step("FULL_VERIFIER", "FINISHED", 100), 1},
		{"running at 100", step("FULL_VALIDATION", "RUNNING", 100), 1},
		{"running", step("FULL_VERIFIER", "RUNNING", 99), 0},
		{"failed at 100", step("FULL_VERIFIER", "FAILED", 100), 0},
		{"not begun", step("FULL_VERIFIER", "INIT", 0), 0},
		{"another step", step("FULL_TRANSFER", "FINISHED", 100), 0},
		{"no steps", omsclient.Project{ID: "np_1", Type: "MIGRATION", Status: "FINISHED"}, 0},
		{"a task of its own, running at 100", own(step("FULL_VERIFIER", "RUNNING", 100), "RUNNING"), 1},
		{"a task of its own, running", own(step("FULL_VERIFIER", "RUNNING", 5), "RUNNING"), 0},
		{"a task of its own, with other steps", own(step("COMPARE", "RUNNING", 100), "RUNNING"), 0},
		{"a task of its own, with other steps, done", own(step("COMPARE", "FINISHED", 100), "FINISHED"), 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				oms := script(tt.project)
				c := collector.New(oms.list, collector.Options{VerifyResult: oms.verify})

				if got := oms.scrapeFor(c, time.Minute); len(got) != tt.want {
					t.Errorf("asked %q, want %d", got, tt.want)
				}
			})
		})
	}
}

func TestAnUnknownResultIsAskedForAgainMoreAndMoreRarely(t *testing.T) {
	for name, unknown := range map[string]func(*scripted){
		"null":   func(s *scripted) { s.result = omsclient.VerifyResult{} },
		"failed": func(s *scripted) { s.fails = errors.New("not yet") },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				oms := script(verifiedTask("np_1"))
				unknown(oms)
				c := collector.New(oms.list, collector.Options{VerifyResult: oms.verify})

				checkQuestions(t, "unknown", oms.scrapeFor(c, 4*time.Hour), "np_1 at 0s", "np_1 at 1m0s",
					"np_1 at 3m0s", "np_1 at 7m0s", "np_1 at 15m0s", "np_1 at 31m0s", "np_1 at 1h3m0s",
					"np_1 at 2h3m0s", "np_1 at 3h3m0s")

				oms.fails, oms.result = nil, omsclient.VerifyResult{DifferentNumber: omsclient.Some(0.0)}
				checkQuestions(t, "known", oms.scrapeFor(c, 4*time.Hour), "np_1 at 4h3m0s")
			})
		})
	}
}

// An action that is refused is refused for every task: three questions tell, not fifty.
func TestAnActionThatFailsRests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var tasks []omsclient.Project
		for i := range 200 {
			tasks = append(tasks, verifiedTask(fmt.Sprintf("np_%03d", i)))
		}
		oms := script(tasks...)
		oms.fails = errors.New("refused")
		c := collector.New(oms.list, collector.Options{VerifyResult: oms.verify})

		if got := len(oms.scrapeFor(c, time.Hour)); got > 3*8 {
			t.Errorf("asked %d times within an hour", got)
		}

		oms.fails = nil
		oms.scrapeFor(c, 2*time.Hour)
		if look := c.Looks()[0]; look.Known != 200 || look.Err != nil || !look.Next.IsZero() {
			t.Errorf("%+v, want all known", look)
		}
	})
}

// A round ends with the scrape that it belongs to, which does not wait for it.
func TestARoundHasTheTimeThatTheScrapeLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var tasks []omsclient.Project
		for i := range 200 {
			tasks = append(tasks, verifiedTask(fmt.Sprintf("np_%03d", i)))
		}
		oms := script(tasks...)
		oms.takes = 4 * time.Second
		c := collector.New(oms.list, collector.Options{VerifyResult: oms.verify, Timeout: 10 * time.Second})

		_ = c.Scrape(t.Context())
		if took := time.Since(oms.start); took != 0 {
			t.Errorf("the scrape took %v", took)
		}
		c.Settle()

		if took := time.Since(oms.start); took != 10*time.Second {
			t.Errorf("the round took %v", took)
		}
		checkQuestions(t, "within 10 s", oms.questions(), "np_000 at 0s", "np_001 at 0s",
			"np_002 at 4s", "np_003 at 4s", "np_004 at 8s", "np_005 at 8s")
		if look := c.Looks()[0]; look.Asked != 6 || look.Failed != 2 || oms.most != 2 {
			t.Errorf("%+v with %d at once", look, oms.most)
		}
	})
}

// lateTask is a task that has been following its source, and was so late at the time.
func lateTask(delay time.Duration) omsclient.Project {
	now := time.Now()
	return omsclient.Project{ID: "np_1", Status: "RUNNING", Importance: "HIGH", Steps: []omsclient.Step{{
		Name: "INCR_TRANSFER", Status: "MONITORING", StepInfo: omsclient.StepInfo{
			IncrTimestampCheckpoint: now.Add(-delay), CheckpointSampleTimestamp: now,
		},
	}}}
}

func TestWhichTasksAreInTrouble(t *testing.T) {
	thresholds := func() *collector.Thresholds {
		return &collector.Thresholds{Importance: map[string]collector.Threshold{
			"HIGH": {Warning: time.Minute},
		}}
	}
	type change = func(*omsclient.Project)
	for _, tt := range []struct {
		name   string
		change change
		want   int
	}{
		{"in time", func(*omsclient.Project) {}, 0},
		{"late", func(p *omsclient.Project) { *p = lateTask(61 * time.Second) }, 1},
		{"late by what OMS reports", func(p *omsclient.Project) {
			p.ExtraInfo.SyncDelay, p.ExtraInfo.SyncDelaySampleTimestamp = omsclient.Some(61.0), time.Now()
		}, 1},
		{"in time without a threshold", func(p *omsclient.Project) {
			*p = lateTask(299 * time.Second)
			p.Importance = "LOW"
		}, 0},
		{"late without a threshold", func(p *omsclient.Project) {
			*p = lateTask(301 * time.Second)
			p.Importance = "LOW"
		}, 1},
		{"late, but OMS is told to ignore it", func(p *omsclient.Project) {
			*p = lateTask(time.Hour)
			p.Importance = "IGNORE"
		}, 0},
		{"without a recent sample", func(p *omsclient.Project) {
			*p = lateTask(0)
			p.Steps[0].StepInfo.IncrTimestampCheckpoint = time.Now().Add(-100 * time.Second)
			p.Steps[0].StepInfo.CheckpointSampleTimestamp = time.Now().Add(-95 * time.Second)
		}, 1},
		{"suspended", func(p *omsclient.Project) {
			*p = lateTask(time.Hour)
			p.Status = "SUSPEND"
		}, 0},
		{"switched over", func(p *omsclient.Project) {
			*p = lateTask(time.Hour)
			p.Steps[0].Status = "FINISHED"
		}, 0},
		{"failed", func(p *omsclient.Project) { p.Status = "FAILED" }, 1},
		{"with a failed step", func(p *omsclient.Project) {
			p.Steps = append(p.Steps, omsclient.Step{Name: "FULL_TRANSFER", Status: "FAILED"})
		}, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				project := lateTask(10 * time.Second)
				tt.change(&project)
				oms := script(project)
				c := collector.New(oms.list, collector.Options{Components: oms.components, Thresholds: thresholds})

				_ = c.Scrape(t.Context())
				c.Settle()

				if got := oms.questions(); len(got) != tt.want {
					t.Errorf("asked %q, want %d", got, tt.want)
				}
			})
		})
	}
}

// A checkpoint that stands still is trouble even while OMS reports a small delay.
func TestAFrozenTaskIsInTrouble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		frozen := lateTask(10 * time.Second)
		frozen.Importance = "IGNORE"
		oms := script(frozen)
		c := collector.New(oms.list, collector.Options{Components: oms.components})

		checkQuestions(t, "frozen", oms.scrapeFor(c, 5*time.Minute), "np_1 at 1m0s")

		oms.change(func(p *omsclient.Project) { p.Steps[0].StepInfo.IncrTimestampCheckpoint = time.Now() })
		checkQuestions(t, "moves", oms.scrapeFor(c, time.Minute))
		oms.change(func(p *omsclient.Project) { p.Status = "SUSPEND" })
		checkQuestions(t, "suspended", oms.scrapeFor(c, time.Hour))
	})
}

func TestATaskInTroubleIsAskedAboutOnceInFiveMinutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		oms := script(omsclient.Project{ID: "np_1", Status: "FAILED"})
		c := collector.New(oms.list, collector.Options{Components: oms.components})
		const shown = "oms_task_component_status"

		checkQuestions(t, "failed", oms.scrapeFor(c, 12*time.Minute),
			"np_1 at 0s", "np_1 at 5m0s", "np_1 at 10m0s")

		oms.change(func(p *omsclient.Project) { p.Status = "RUNNING" })
		checkQuestions(t, "recovered", oms.scrapeFor(c, time.Minute))
		oms.change(func(p *omsclient.Project) { p.Status = "FAILED" })
		checkQuestions(t, "failed soon after", oms.scrapeFor(c, time.Minute))
		oms.change(func(p *omsclient.Project) { p.Status = "RUNNING" })
		checkQuestions(t, "well for long", oms.scrapeFor(c, 10*time.Minute))
		if n := testutil.CollectAndCount(c, shown); n != 1 { // 24 minutes, 14 after the answer
			t.Errorf("%d answers are shown", n)
		}
		oms.scrapeFor(c, 2*time.Minute)
		if n := testutil.CollectAndCount(c, shown); n != 0 {
			t.Errorf("%d answers are shown after they are too old", n)
		}
	})
}

// Questions about components are slow, so there is one at a time, and the tasks that have
// waited longest come first.
func TestTasksInTroubleTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var tasks []omsclient.Project
		for i := range 12 {
			tasks = append(tasks, omsclient.Project{ID: fmt.Sprintf("np_%02d", i), Status: "FAILED"})
		}
		oms := script(tasks...)
		oms.takes = 2700 * time.Millisecond
		c := collector.New(oms.list, collector.Options{Components: oms.components, Timeout: 20 * time.Second})

		checkQuestions(t, "at first", oms.scrapeFor(c, 2*time.Minute),
			"np_00 at 0s", "np_01 at 2.7s", "np_02 at 5.4s", "np_03 at 8.1s", "np_04 at 10.8s",
			"np_05 at 30s", "np_06 at 32.7s", "np_07 at 35.4s", "np_08 at 38.1s", "np_09 at 40.8s",
			"np_10 at 1m0s", "np_11 at 1m2.7s")
		if oms.most != 1 {
			t.Errorf("%d questions at once", oms.most)
		}
	})
}

func TestClosingEndsTheQuestionsAboutSingleTasks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := collector.New(listOf(t, verifiedAndFailed), collector.Options{
			Timeout: time.Hour,
			Components: func(ctx context.Context, _ string) ([]omsclient.Component, []omsclient.Request, error) {
				<-ctx.Done()
				return nil, nil, context.Cause(ctx)
			},
		})
		_ = c.Scrape(t.Context())
		synctest.Wait() // until the question has been asked
		began := time.Now()

		c.Close()

		look := c.Looks()[0]
		if took := time.Since(began); took != 0 || look.Asked != 1 || !errors.Is(look.Err, context.Canceled) {
			t.Errorf("after %s: %+v, want that the one question was canceled at once", took, look)
		}
	})
}

// 2,000 tasks whose verification is done, an exporter that has just started, and an OMS that
// takes as long as in the vendor's sample.
func TestAColdStartOfALargeFleet(t *testing.T) {
	const tasks = 500 // 50 after each scrape; those of the last one are known at the next
	synctest.Test(t, func(t *testing.T) {
		oms := newOMS(t, omssim.Options{
			Tasks: tasks, Scenarios: []string{"ready"}, Latency: 36 * time.Millisecond,
		})
		registry := prometheus.NewRegistry()
		c := looking(t, oms, registry)
		scrapes, rounds := 0, time.Duration(0)
		for known := -1; known < tasks; scrapes++ {
			_ = c.Scrape(t.Context())
			known = c.Looks()[0].Known
			began := time.Now()
			c.Settle()
			rounds = max(rounds, time.Since(began))
			time.Sleep(30 * time.Second) //nolint:forbidigo // synctest
			if scrapes > 100 {
				t.Fatalf("%d of %d are known after %d scrapes", known, tasks, scrapes)
			}
		}

		asked := requests(t, registry, verifyAction, "200")
		t.Logf("%d scrapes, %d requests, %v for a round at most", scrapes, asked, rounds)
		if scrapes != tasks/50+1 || asked != tasks || rounds > time.Second {
			t.Errorf("%d scrapes, %d requests, %v for a round", scrapes, asked, rounds)
		}
	})
}

// ListFullVerifyInconsistenciesResult returns rows of the migrated data, and the other
// actions of OMS change things. None of them is ever asked for.
func TestNoOtherActionIsCalled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var scenarios []string
		for _, s := range omssim.ScenarioDocs() {
			scenarios = append(scenarios, s.Name)
		}
		oms := newOMS(t, omssim.Options{Tasks: 60, Scenarios: scenarios})
		c := looking(t, oms, prometheus.NewRegistry())
		for range 20 {
			_ = c.Scrape(t.Context())
			c.Settle()
			time.Sleep(time.Minute) //nolint:forbidigo // synctest
		}

		called := map[string]bool{}
		for _, r := range oms.Requests() {
			called[r.Action] = true
		}
		if len(called) != 3 || !called["ListProjects"] || !called[verifyAction] || !called[componentAction] {
			t.Errorf("called %v", called)
		}
	})
}
