package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"time"

	"oms_exporter/deploy/internal/timelapse"
)

// signs are what shows that something is wrong, by alert: a series for each task
// or OMS, for as long as it is. Alerts wait until trouble lasts or is grave; times
// to page count from its first sign.
var signs = map[string]string{
	"OMSDown":                       `oms_up == 0`,
	"OMSListingsFailing":            `oms_up == 0`,
	"OMSListingsMostlyFailing":      `oms_up == 0`,
	"OMSVanished":                   `last_over_time(oms_up[3h]) unless oms_up`,
	"OMSFleetShrunk":                `oms_tasks == 0`,
	"OMSManyTasksDelayed":           late,
	"OMSTaskDelayHigh":              late,
	"OMSTaskDelayCritical":          late,
	"OMSTaskDelaySampleStale":       late,
	"OMSTaskFailed":                 failed,
	"OMSTaskFlapping":               failed,
	"OMSTaskStepFailed":             `oms_task_step_status{status="FAILED"} == 1`,
	"OMSTaskSuspended":              `oms_task_status{status="SUSPEND"} == 1`,
	"OMSTaskResumeWindowClosing":    `oms_task_status{status="SUSPEND"} == 1`,
	"OMSTaskResumeWindowAlmostLost": `oms_task_status{status="SUSPEND"} == 1`,
	"OMSTaskCheckpointFrozen":       still,
	"OMSTaskStepStuck":              unmoved,
	"OMSTaskVerifyDifferences":      `oms_task_verify_different_records > 0`,
	"OMSTaskAlarmingInOMS":          `oms_task_alarming == 1`,
	"OMSTaskNegativeDelay":          `oms_task_sync_delay_seconds < 0`,
	"OMSTaskCutoverReady":           `oms:task_cutover_readiness:ratio == 1`,
	"OMSTaskCutoverReadyUnverified": `oms:task_cutover_unverified:bool == 1`,
}

const (
	// Up to 30 s behind is in step.
	late    = `oms:task_effective_delay:seconds > 30`
	failed  = `oms_task_status{status="FAILED"} == 1`
	unmoved = `oms_task_step_progress_ratio < 1 == oms_task_step_progress_ratio offset 2m`
	still   = `oms_task_checkpoint_timestamp_seconds
		== oms_task_checkpoint_timestamp_seconds offset 2m`
)

// A series is a result of a query.
type series struct {
	Metric map[string]string
	Values [][2]any // Unix time, value
}

// query asks Prometheus. The path is query or query_range.
func (s *stack) query(ctx context.Context, path string, parameters url.Values) ([]series, error) {
	var answer struct {
		Error string
		Data  struct{ Result []series }
	}
	err := get(ctx, s.prometheus+"/api/v1/"+path+"?"+parameters.Encode(), &answer)
	if err == nil && answer.Error != "" {
		err = fmt.Errorf("%s: %s", parameters.Get("query"), answer.Error)
	}
	return answer.Data.Result, err
}

// time returns when a sample was taken.
func (s series) time(i int) time.Time {
	seconds, _ := s.Values[i][0].(float64)
	return time.UnixMilli(int64(seconds * 1000))
}

// began are the times at which trouble began, by the labels of alerts.
type began map[[3]string][]time.Time

// key is what an alert is about: of a roll-up, which has no task, everything of its OMS.
func key(alert string, labels map[string]string) [3]string {
	return [3]string{alert, labels["instance"], labels["task_id"]}
}

// troubles finds when trouble began, of every alert that has a sign.
func (r *rehearsal) troubles(ctx context.Context) (began, error) {
	b := make(began)
	for alert, sign := range signs {
		sign, err := timelapse.Expr(sign, r.speed)
		if err != nil {
			return nil, err
		}
		found, err := r.query(ctx, "query_range", url.Values{
			"query": {sign}, "start": {r.began.Format(time.RFC3339Nano)},
			"end":  {time.Now().Format(time.RFC3339Nano)},
			"step": {fmt.Sprint(r.real(30 * time.Second).Seconds())},
		})
		if err != nil {
			return nil, err
		}
		for _, s := range found {
			// A sign that is away for some minutes is the same trouble.
			var last time.Time
			for i := range s.Values {
				at := s.time(i)
				if at.Sub(last) > r.real(6*time.Minute) {
					b.add(alert, s.Metric, at)
				}
				last = at
			}
		}
	}
	return b, nil
}

func (b began) add(alert string, labels map[string]string, at time.Time) {
	k := key(alert, labels)
	b[k] = append(b[k], at)
	if k[2] != "" { // for roll-ups
		k[2] = ""
		b[k] = append(b[k], at)
	}
}

// before returns when the trouble began that a page is about. It is zero if no sign
// of it was seen.
func (b began) before(p page) time.Time {
	var latest time.Time
	for _, at := range b[key(p.Labels["alertname"], p.Labels)] {
		if at.Before(p.at) && at.After(latest) {
			latest = at
		}
	}
	return latest
}

// A pace says how well Prometheus kept up.
type pace struct {
	gap  time.Duration // simulated: the longest between evaluations or scrapes, 30 s apart
	lost float64       // share of scrapes that failed
}

// The rules bridge more. Beyond this, what is not as expected says nothing about them.
const (
	mostGap  = 2 * time.Minute
	mostLost = 0.1
)

func (p pace) tooSlow() bool { return p.gap > mostGap || p.lost > mostLost }

// measure measures it by the samples that are stored.
func (r *rehearsal) measure(ctx context.Context) (pace, error) {
	var p pace
	span := strconv.Itoa(int(time.Since(r.began).Seconds()) + 1)
	stored, err := r.query(ctx, "query", url.Values{"query": {
		`{__name__=~"up|oms:setting_scrape_timeout:seconds|oms:exporter_up:bool"}[` + span + `s]`,
	}})
	if err != nil {
		return p, err
	}
	scrapes, failures := 0, 0
	for _, s := range stored {
		for i := range s.Values {
			if i > 0 && s.Metric["job"] != "oms" { // a scene may take its target away
				p.gap = max(p.gap, r.simulated(s.time(i).Sub(s.time(i-1))))
			}
			if s.Metric["__name__"] == "up" {
				scrapes++
				if s.Values[i][1] == "0" {
					failures++
				}
			}
		}
	}
	p.lost = float64(failures) / float64(cmp.Or(scrapes, 1))
	return p, nil
}

// conclude prints the verdict. It returns what is wrong, if that can be said.
func conclude(out io.Writer, wrong []error, p pace) error {
	err := errors.Join(wrong...)
	measured := fmt.Sprintf("longest gap between scrapes or evaluations %s, scrapes lost %.0f %%",
		p.gap.Round(time.Second), 100*p.lost)
	switch {
	case err == nil:
		fmt.Fprintf(out, "Verdict: all as expected (%s).\n", measured)
	case p.tooSlow():
		fmt.Fprintf(out, "%v\nVerdict: none. What was not as expected, above, says nothing: the machine "+
			"was too slow (%s). Try again when it is idle, or with a lower -speed.\n", err, measured)
		err = errNoVerdict
	default:
		fmt.Fprintf(out, "%v\nVerdict: not as expected, see above (%s).\n", err, measured)
		err = errUnexpected
	}
	return err
}
