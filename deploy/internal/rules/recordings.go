package rules

import (
	"fmt"

	"oms_exporter/omsclient"
)

// Recordings are the recording rules, in an order in which each is evaluated after those that
// it uses.
func Recordings() []Group {
	return []Group{settings(), words(), state(), delay(), trends(), cutover()}
}

// settings holds every number that an installation may want to change.
func settings() Group {
	var rules []Rule
	set := func(record, doc, value string, labels map[string]string) {
		rules = append(rules, Rule{Record: record, Doc: doc, Expr: "vector(" + value + ")", Labels: labels})
	}
	doc := `From which delay on a task is late, in seconds, by its importance in OMS. A task with
oms_task_delay_threshold_seconds, which the exporter's configuration gives, goes by that
instead. IGNORE has none: such tasks are never late.`
	for _, t := range []struct{ importance, warning, critical string }{
		{"HIGH", "60", "300"}, {"MEDIUM", "300", "900"}, {"LOW", "900", "3600"},
	} {
		set("oms:setting_delay_threshold:seconds", doc, t.warning,
			map[string]string{"importance": t.importance, "level": "warning"})
		set("oms:setting_delay_threshold:seconds", "", t.critical,
			map[string]string{"importance": t.importance, "level": "critical"})
		doc = ""
	}
	set("oms:setting_freshness_objective:ratio",
		"How much of the time a task of type SYNC has to be less than late.", "0.99", nil)
	set("oms:setting_scrape_timeout:seconds",
		`scrape_timeout of the jobs that scrape exporters, where Prometheus does not say it itself
(--enable-feature=extra-scrape-metrics).`, "25", nil)
	doc = `What a task needs before it counts as ready for cut-over: 1 needed, 0 shown only.
Without verification, verified stays 0: a migration that nobody verified is not ready,
unless you say here that it may be.`
	for _, gate := range []string{
		"running", "full_copy_done", "in_step", "delay_low_15m", "verified", "no_alarm",
	} {
		set("oms:setting_cutover_gate:bool", doc, "1", map[string]string{"gate": gate})
		doc = ""
	}
	return Group{
		Name: "oms-settings", Interval: "30s", Rules: rules,
		Doc: "Every number that you may want to change. Rules and dashboards read these series.",
	}
}

// words gives numbers to statuses, for timelines, which map them back.
func words() Group {
	var rules []Rule
	number := func(doc, kind string, codes []string) {
		for i, status := range codes {
			rules = append(rules, Rule{
				Record: "oms:status_code:number", Doc: doc, Expr: fmt.Sprintf("vector(%d)", i+1),
				Labels: map[string]string{"kind": kind, "status": status},
			})
			doc = ""
		}
	}
	number("Of tasks. Every way of RUNNING is 2; 9 is new to these rules.", "task", taskStatuses)
	number("Of steps; 7 is new to these rules.", "step", omsclient.StepStatuses())
	return Group{
		Name: "oms-words", Interval: "30s", Rules: rules,
		Doc: "Numbers for statuses. Dashboards map them back to words.",
	}
}

// taskStatuses are the statuses of tasks that have a number of their own.
var taskStatuses = []string{
	"INIT", "RUNNING", "SUSPEND", "FAILED", "FINISHED", "RELEASING", "RELEASED", "DELETED",
}

// state says which tasks and which of their directions are supposed to be at work.
func state() Group {
	return Group{
		Name: "oms-state", Interval: "30s",
		Doc: "Which exporters, tasks and links there are, and which are supposed to be at work.",
		Rules: []Rule{
			{
				Record: "oms:exporter_up:bool",
				Doc:    "The only place that knows which jobs scrape exporters.",
				Expr:   `up{job=~"$job"}`,
			},
			{
				Record: "oms:clock:timestamp_seconds",
				Doc: `OMS's own clock. Ages of what OMS stamped are judged by it, so that a Prometheus or
exporter whose clock differs does not see old samples where there are none.`,
				Expr: `
					max by (job, instance) (time() + oms_clock_skew_seconds)
					or
					max by (job, instance) (time() + 0 * oms_up)`,
			},
			{
				Record: "oms:task_whose:info",
				Doc: `Whose a task is: what every alert about it carries. One series for each task, also while
two overlap after a change of labels, which would be an error, and no alert at all.`,
				Expr: `
					max by (job, instance, task_id, task_name, task_type, importance, task_owner) (
						topk by (job, instance, task_id) (1, oms_task_info)
					)`,
			},
			{
				Record: "oms:task_status:code",
				Doc:    "The status of a task as a number, see above.",
				Expr: `
					max without (status) (
						(oms_task_status{status=~"$statuses"} == 1)
						* on (status) group_left () oms:status_code:number{kind="task"}
						or 2 * (oms_task_status{status=~"RUNNING_.*"} == 1)
						or 9 * (oms_task_status{status!~"$statuses|RUNNING_.*"} == 1)
					)`,
			},
			{
				Record: "oms:task_active:bool",
				Doc:    "1 for tasks that OMS says are running, in any of the ways; no series for others.",
				Expr:   `clamp_max(oms:task_status:code == 2, 1)`,
			},
			{
				Record: "oms:task_live:bool",
				Doc: `1 for each direction of a task that is supposed to be following its source: RUNNING
(catching up), MONITORING (caught up), or in a status that is new to these rules, which
had better not silence them. The gate of every rule about delay. Where OMS lists no
step that these rules know to follow a source, a delay or checkpoint stands for it.`,
				Labels: map[string]string{"direction": "forward"},
				Expr: `
					(
						max without (step, status) (
							oms_task_step_status{step=~"$forward", status!~"$idle"}
						)
						and $task oms:task_active:bool
					)
					or $task
					(
						(
							oms:task_active:bool
							and $task (
								oms_task_sync_delay_seconds{direction="forward"}
								or oms_task_checkpoint_timestamp_seconds{direction="forward"}
							)
						)
						unless $task oms_task_step_status{step=~"$forward|$reverse"}
					)`,
			},
			{
				Record: "oms:task_live:bool",
				Labels: map[string]string{"direction": "reverse"},
				Expr: `
					max without (step, status) (
						oms_task_step_status{step=~"$reverse", status!~"$idle"}
					)
					and $task oms:task_active:bool`,
			},
			{
				Record: "oms:task_resumable:bool",
				Doc: `1 for each direction that has begun and not ended, of tasks that run or could be
resumed, suspended and failed ones too: those that need the source's logs.`,
				Labels: map[string]string{"direction": "forward"},
				Expr: `
					clamp_max(oms:task_status:code >= 2 <= 4, 1)
					unless $task oms_task_step_status{step=~"$forward", status=~"INIT|FINISHED"}`,
			},
			{
				Record: "oms:task_resumable:bool",
				Labels: map[string]string{"direction": "reverse"},
				Expr: `
					clamp_max(oms:task_status:code >= 2 <= 4, 1)
					and $task oms_task_step_status{step=~"$reverse", status!~"INIT|FINISHED"}`,
			},
		},
	}
}

// delay says how far behind a task really is, and how far behind it may be.
func delay() Group {
	threshold := func(level, doc string) Rule {
		return Rule{
			Record: "oms:task_delay_threshold:seconds",
			Doc:    doc,
			Labels: map[string]string{"level": level},
			Expr: `
				clamp_min(
					max without (level) (oms_task_delay_threshold_seconds{level="` + level + `"})
					or $task
					max without (task_type, importance, task_owner) (
						(
							oms:task_whose:info{importance=~"HIGH|LOW"}
							or label_replace(
								max without (importance) (oms:task_whose:info{importance!~"HIGH|LOW|IGNORE"}),
								"importance", "MEDIUM", "", ""
							)
						)
						* on (importance) group_left ()
						max without (level) (oms:setting_delay_threshold:seconds{level="` + level + `"})
					),
					30
				)`,
		}
	}
	late := func(level, doc string) Rule {
		return Rule{
			Record: "oms:task_late:seconds",
			Doc:    doc,
			Labels: map[string]string{"level": level},
			Expr: `
				oms:task_effective_delay:seconds
				> $task group_left ()
				max by (job, instance, task_id) (oms:task_delay_threshold:seconds{level="` + level + `"})`,
		}
	}
	return Group{
		Name: "oms-delay", Interval: "30s",
		Doc: "How far behind each link is, honestly, and how far behind it may be.",
		Rules: []Rule{
			{
				Record: "oms:task_delay_sample_age:seconds",
				Doc:    "How long ago OMS looked at the delay and the checkpoint.",
				Expr: `
					clamp_min(
						oms:clock:timestamp_seconds
						- $oms group_right () oms_task_checkpoint_sample_timestamp_seconds,
						0
					)`,
			},
			{
				Record: "oms:task_checkpoint_age:seconds",
				Doc:    "How old the last applied change is. For every task with a checkpoint, whatever its status.",
				Expr: `
					oms:clock:timestamp_seconds
					- $oms group_right () oms_task_checkpoint_timestamp_seconds`,
			},
			{
				Record: "oms:task_effective_delay:seconds",
				Doc: `The worst honest reading of a delay: what OMS reports, and the age of its sample beyond
the 30 s that sampling takes. Where OMS reports no delay, the age of the checkpoint.`,
				Expr: `
					(
						oms_task_sync_delay_seconds + clamp_min(oms:task_delay_sample_age:seconds - 30, 0)
						or oms_task_sync_delay_seconds
						or oms:task_checkpoint_age:seconds
					)
					and $link oms:task_live:bool`,
			},
			{
				Record: "oms:task_replay_speed:ratio10m",
				Doc: `Seconds of the source's time applied per second: 1 keeps pace, above 1 catches up,
0 stands still. It needs no clock but OMS's own.`,
				Expr: `
					deriv(oms_task_checkpoint_timestamp_seconds[10m])
					and oms_task_checkpoint_timestamp_seconds
					and $link oms:task_live:bool`,
			},
			{
				Record: "oms:task_catchup_eta:seconds",
				Doc:    "When a late link will have caught up at its present speed; no series unless it does catch up.",
				Expr: `
					(oms:task_effective_delay:seconds > 30)
					/ ((oms:task_replay_speed:ratio10m - 1) > 0.05)`,
			},
			threshold("warning", `From which delay on the task is late: by the exporter's configuration, or else by its
importance; one that OMS gives no importance goes as MEDIUM. Never under 30 s, which is
the noise of OMS's own sampling.`),
			threshold("critical", ""),
			late("warning", "The delay of the links that are later than they may be, by level."),
			late("critical", ""),
			{
				Record: "oms:task_resume_window_left:seconds",
				Doc: `How long the logs that a task resumes from are still kept; negative when they are gone.
Only where OMS says how long it keeps them.`,
				Expr: `
					(
						max by (job, instance, task_id) (oms_task_log_retention_seconds > 0)
						- $task group_right () oms:task_checkpoint_age:seconds
					)
					and $link oms:task_resumable:bool`,
			},
			{
				Record: "oms:task_resume_window_left:ratio",
				Expr: `
					oms:task_resume_window_left:seconds
					/ $task group_left () max by (job, instance, task_id) (oms_task_log_retention_seconds > 0)`,
			},
		},
	}
}

// trends holds what looks back over hours and need not be known at once.
func trends() Group {
	return Group{
		Name: "oms-trends", Interval: "1m",
		Doc: "What looks back over hours.",
		Rules: []Rule{
			{
				Record: "oms:task_step_status:code",
				Doc:    "The status of a step as a number, see oms-words.",
				Expr: `
					max without (status) (
						oms_task_step_status * on (status) group_left () oms:status_code:number{kind="step"}
						or 7 * oms_task_step_status{status!~"$stepstatuses"}
					)`,
			},
			{
				Record: "oms:task_replay_speed:ratio1h",
				Expr: `
					deriv(oms_task_checkpoint_timestamp_seconds[1h])
					and oms_task_checkpoint_timestamp_seconds
					and $link oms:task_live:bool`,
			},
			{
				Record: "oms:task_fresh:bool",
				Doc:    "1 while a link of a task of type SYNC is less than late, 0 while it is late.",
				Expr: `
					(
						oms:task_effective_delay:seconds
						<= bool $task group_left ()
						max by (job, instance, task_id) (oms:task_delay_threshold:seconds{level="warning"})
					)
					and $task oms:task_whose:info{task_type="SYNC"}`,
			},
			{
				Record: "oms:task_step_unfinished:ratio",
				Doc: `Progress of the steps that are at work and will end. A finished verification stays
RUNNING at 1, a switchover waits RUNNING at 0, and incremental steps never end: none
of them is here.`,
				Expr: `
					(oms_task_step_progress_ratio{step!~"$endless"} < 1)
					and $step oms_task_step_status{status="RUNNING"}
					and $task oms:task_active:bool`,
			},
			{
				Record: "oms:task_step_unfinished:records",
				Expr:   `oms_task_step_processed_records and $step oms:task_step_unfinished:ratio`,
			},
			{
				Record: "oms:task_step_pace:seconds_per_percent",
				Doc:    "How long a percent of such a step has taken on average.",
				Expr: `
					(
						oms:clock:timestamp_seconds
						- $oms group_right () (
							oms_task_step_start_timestamp_seconds and $step oms:task_step_unfinished:ratio
						)
					)
					/ clamp_min(oms:task_step_unfinished:ratio * 100, 1)`,
			},
		},
	}
}

// cutover says what holds back the tasks that have yet to be switched.
func cutover() Group {
	gate := func(name, doc, expr string) Rule {
		return Rule{
			Record: "oms:task_cutover_gate:bool", Doc: doc,
			Labels: map[string]string{"gate": name},
			Expr:   `(` + expr + `) and $task oms:task_cutover_candidate:bool`,
		}
	}
	return Group{
		Name: "oms-cutover", Interval: "30s",
		Doc: `What holds a migration back from its cut-over. Every candidate has a 0 or 1 for each gate;
unknown is 0.`,
		Rules: []Rule{
			{
				Record: "oms:task_cutover_candidate:bool",
				Doc:    "1 for migrations that follow their source, or will, and have yet to be switched.",
				Expr: `
					clamp_max(oms:task_status:code <= 4, 1)
					and $task oms:task_whose:info{task_type="MIGRATION"}
					and $task (
						oms_task_phase_enabled{phase="incr_transfer"} == 1
						or oms_task_step_status{step=~"$forward"}
					)
					unless $task oms_task_step_status{step=~"$switched", status="FINISHED"}`,
			},
			gate("running", "RUNNING, with no change of its objects under way.", `
				max without (status) (oms_task_status{status="RUNNING"})
				unless $task (oms_task_modifying == 1 or oms_task_merging == 1)
				or $task 0 * oms:task_cutover_candidate:bool`),
			gate("full_copy_done", "Every full copy is at 100 %, or the task has none.", `
				min without (step) (oms_task_step_progress_ratio{step=~"$full"} >= bool 1)
				or $task max without (phase) (1 - oms_task_phase_enabled{phase="full_transfer"})
				or $task 0 * oms:task_cutover_candidate:bool`),
			gate("in_step", "The incremental step has caught up: MONITORING.", `
				max without (step, status) (
					oms_task_step_status{step=~"$forward", status="MONITORING"}
				)
				or $task 0 * oms:task_cutover_candidate:bool`),
			gate("delay_low_15m", `For 15 minutes, never more than 30 s behind, sampled less than a minute ago, and the
checkpoint has moved in the last 5.`, `
				(
					max without (direction) (
						(max_over_time(oms:task_effective_delay:seconds{direction="forward"}[15m]) <= bool 30)
						* (oms:task_delay_sample_age:seconds{direction="forward"} <= bool 60)
						* (changes(oms_task_checkpoint_timestamp_seconds{direction="forward"}[5m]) > bool 0)
					)
					and $task oms:task_live:bool{direction="forward"}
				)
				or $task 0 * oms:task_cutover_candidate:bool`),
			gate("verified", "Every full verification is at 100 %, has not failed and found no record that differs.", `
				(
					min without (step) (oms_task_step_progress_ratio{step=~"$verify"} >= bool 1)
					unless $task oms_task_step_status{step=~"$verify", status="FAILED"}
					unless $task oms_task_step_inconsistent_records{step=~"$verify"} > 0
				)
				or $task 0 * oms:task_cutover_candidate:bool`),
			gate("no_alarm", "OMS itself has no alarm about the task.", `
				1 - oms_task_alarming
				or $task 0 * oms:task_cutover_candidate:bool`),
			{
				Record: "oms:task_cutover_readiness:ratio",
				Doc:    "How much of what is needed a candidate has: 1 is ready.",
				Expr: `
					avg without (gate) (
						oms:task_cutover_gate:bool
						and on (gate) (oms:setting_cutover_gate:bool == 1)
					)`,
			},
		},
	}
}
