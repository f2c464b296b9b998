package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"
)

// An act is an action on an OMS during its scene. Its error says what went
// wrong.
type act func(context.Context, *rehearsal, scene) error

// outage makes OMS fail while tasks are late, for longer than any alert keeps
// firing. The pages about the delays must stay open, and no other page than
// OMSDown may arrive.
func outage(ctx context.Context, r *rehearsal, s scene) error {
	if err := r.await(ctx, s.name, "OMSTaskDelayCritical"); err != nil {
		return err
	}
	from := time.Now()
	if err := r.fault(ctx, s.name, http.MethodPut, "unavailable"); err != nil {
		return err
	}
	if err := r.sleep(ctx, 20*time.Minute); err != nil {
		return err
	}
	to := time.Now()
	if err := r.fault(ctx, s.name, http.MethodDelete, ""); err != nil {
		return err
	}
	// OMSDown keeps firing for 5 minutes; then pages about tasks are no longer
	// inhibited.
	if err := r.sleep(ctx, 10*time.Minute); err != nil {
		return err
	}

	var wrong []error
	meanwhile := func(p page) bool { return p.at.After(from) && p.at.Before(to) }
	for _, p := range r.pages.of(s.name, meanwhile) {
		switch {
		case p.Labels["scope"] != "task":
		case p.resolved:
			wrong = append(wrong, fmt.Errorf("%s: %s of %s resolved while OMS was down",
				s.name, p.Labels["alertname"], p.Labels["task_name"]))
		case p.at.Sub(from) > r.real(6*time.Minute):
			wrong = append(wrong, fmt.Errorf("%s: %s of %s fired while OMS was down",
				s.name, p.Labels["alertname"], p.Labels["task_name"]))
		}
	}
	paged := r.pages.of(s.name, func(p page) bool {
		return fired("OMSDown")(p) && p.receiver == "pager"
	})
	if len(paged) != 1 {
		wrong = append(wrong, fmt.Errorf("%s: OMSDown reached pager %d times, want once",
			s.name, len(paged)))
	}
	return errors.Join(wrong...)
}

// faltering makes every second listing fail, more or less, until tasks have failed
// and paged.
func faltering(ctx context.Context, r *rehearsal, s scene) error {
	for r.simulated(time.Since(r.began)) < r.least-10*time.Minute {
		if err := r.fault(ctx, s.name, http.MethodPut, "unavailable"); err != nil {
			return err
		}
		if err := r.sleep(ctx, time.Minute); err != nil {
			return err
		}
		if err := r.fault(ctx, s.name, http.MethodDelete, ""); err != nil {
			return err
		}
		if err := r.sleep(ctx, time.Minute); err != nil {
			return err
		}
	}
	return nil
}

// vanish takes an OMS out of the configuration while tasks are late, until that is
// told. Nothing may seem resolved meanwhile.
func vanish(ctx context.Context, r *rehearsal, s scene) error {
	if err := r.await(ctx, s.name, "OMSTaskDelayCritical"); err != nil {
		return err
	}
	from := time.Now()
	if err := errors.Join(r.configure(s.name), r.reload(ctx)); err != nil {
		return err
	}
	missing := r.await(ctx, s.name, "OMSVanished")
	if err := r.sleep(ctx, 20*time.Minute); err != nil {
		return err
	}
	wrong := []error{missing, r.configure(""), r.reload(ctx)}
	seems := func(p page) bool { return p.at.After(from) && p.resolved && p.Labels["scope"] == "task" }
	for _, p := range r.pages.of(s.name, seems) {
		wrong = append(wrong, fmt.Errorf("%s: %s of %s resolved although OMS is not watched",
			s.name, p.Labels["alertname"], p.Labels["task_name"]))
	}
	return errors.Join(append(wrong, r.sleep(ctx, 10*time.Minute))...)
}

// empty makes OMS list no task while tasks are late, until that is told.
func empty(ctx context.Context, r *rehearsal, s scene) error {
	if err := r.await(ctx, s.name, "OMSTaskDelayCritical"); err != nil {
		return err
	}
	if err := r.fault(ctx, s.name, http.MethodPut, "empty_listing"); err != nil {
		return err
	}
	return r.await(ctx, s.name, "OMSFleetShrunk")
}

// exporterAlert must fire for every target when the exporter is stopped at the
// end.
const exporterAlert = "OMSExporterDown"

// exporterDown stops the exporter. All of its targets must be reported, and
// from then on no page about a task may arrive or be resolved.
func exporterDown(ctx context.Context, r *rehearsal, chosen []scene) error {
	r.exporter.Stop()
	for _, s := range chosen {
		if err := r.await(ctx, s.name, exporterAlert); err != nil {
			return err
		}
	}
	from := time.Now().Add(r.real(time.Minute))
	// Longer than alerts about tasks keep firing.
	if err := r.sleep(ctx, 12*time.Minute); err != nil {
		return err
	}
	if err := r.seen.look(ctx, r.alertmanager); err != nil {
		return err
	}
	var wrong []error
	for _, s := range chosen {
		for _, p := range r.pages.of(s.name, func(p page) bool { return p.at.After(from) }) {
			if p.Labels["scope"] == "task" {
				wrong = append(wrong, fmt.Errorf("exporter down: news of %s of %s in %s (resolved: %t)",
					p.Labels["alertname"], p.Labels["task_name"], s.name, p.resolved))
			}
		}
	}
	return errors.Join(wrong...)
}

// down returns how many targets were reported when the exporter was stopped.
func (r *rehearsal) down(chosen []scene) int {
	down := 0
	for _, s := range chosen {
		if len(r.pages.of(s.name, fired(exporterAlert))) > 0 {
			down++
		}
	}
	return down
}

// onePage checks that a storm sends one page, and none for a single task.
func onePage(r *rehearsal, s scene) error {
	var wrong []error
	open := false
	for _, p := range r.pages.of(s.name, func(p page) bool { return p.receiver == "pager" }) {
		switch {
		case p.Labels["alertname"] == "OMSManyTasksDelayed":
			open = !p.resolved
		case open && p.Labels["scope"] == "task" && !p.resolved:
			wrong = append(wrong, fmt.Errorf("%s: %s of %s paged during the storm",
				s.name, p.Labels["alertname"], p.Labels["task_name"]))
		}
	}
	return errors.Join(wrong...)
}

// fewPages checks that pager is told of tasks that fail together at most twice: of those
// of importance HIGH, and of the others. Repetitions do not count.
func fewPages(r *rehearsal, s scene) error {
	told, groups := make(map[string]bool), make(map[int]bool)
	for _, p := range r.pages.of(s.name, fired("OMSTaskFailed")) {
		if task := p.Labels["task_id"]; p.receiver == "pager" && !told[task] {
			told[task], groups[p.group] = true, true
		}
	}
	if len(groups) > 2 {
		return fmt.Errorf("%s: failed tasks reached pager %d times, want at most 2", s.name, len(groups))
	}
	return nil
}

// blames returns a check that a page about a late task has these words about a component.
func blames(words string) func(*rehearsal, scene) error {
	return func(r *rehearsal, s scene) error {
		for _, p := range r.pages.of(s.name, fired("OMSTaskDelayCritical")) {
			if strings.Contains(p.Annotations["description"], words) {
				return nil
			}
		}
		return fmt.Errorf("%s: no page says %q", s.name, words)
	}
}

// await waits until an alert of a scene arrives.
func (r *rehearsal) await(ctx context.Context, scene, alert string) error {
	limit := time.NewTimer(r.real(r.most))
	defer limit.Stop()
	for len(r.pages.of(scene, fired(alert))) == 0 {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-limit.C:
			return fmt.Errorf("%s: %s has not arrived", scene, alert)
		case <-time.After(100 * time.Millisecond):
		}
	}
	return nil
}

// sleep waits for a simulated duration.
func (r *rehearsal) sleep(ctx context.Context, simulated time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(r.real(simulated)):
		return nil
	}
}

// fault switches a fault of a scene's OMS on or off.
func (r *rehearsal) fault(ctx context.Context, scene, method, fault string) error {
	w := httptest.NewRecorder()
	r.sims[scene].ServeHTTP(w, httptest.NewRequestWithContext(ctx, method, "/sim/faults",
		strings.NewReader(fault)))
	if w.Code/100 != 2 {
		return fmt.Errorf("%s: %s /sim/faults: %d %s", scene, method, w.Code, w.Body)
	}
	return nil
}
