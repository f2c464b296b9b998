package main

import (
	"context"
	"errors"
	"time"

	dto "github.com/prometheus/client_model/go"

	"oms_exporter/collector"
	"oms_exporter/omsclient"
)

// lookCloser returns how OMS was asked about single tasks, for what is switched on. It
// asks for the components of a task itself if no task is in trouble: whether the account
// may do so is better known before.
func (e *evidence) lookCloser(ctx context.Context, scraped []*dto.MetricFamily) []collector.Look {
	looks := e.target.collector.Looks()
	tasks := series(scraped, "oms_task_info")
	for i := range looks {
		l := &looks[i]
		if l.Action != omsclient.ActionComponents || l.Asked > 0 || len(tasks) == 0 {
			continue
		}
		ctx, cancel := context.WithTimeout(ctx, e.budget)
		defer cancel()
		start := time.Now()
		_, _, err := e.target.client.Components(ctx, labelOf(tasks[0], "task_id"))
		l.Asked, l.Slowest, l.Err = 1, time.Since(start), err
		if err != nil {
			l.Failed = 1
		}
	}
	return looks
}

// findLooks judges whether the account may ask about single tasks, and how long that
// takes. If it may not, OMS can be used all the same.
func (e *evidence) findLooks() []finding {
	names := map[string]string{
		omsclient.ActionVerifyResult: "verify", omsclient.ActionComponents: "component",
	}
	findings := make([]finding, 0, len(e.looks))
	for _, l := range e.looks {
		f := e.findLook(l, names[l.Action])
		f.Name, f.Detail = names[l.Action], printable(f.Detail)
		findings = append(findings, f)
	}
	return findings
}

func (e *evidence) findLook(l collector.Look, group string) finding {
	answered := l.Asked - l.Failed
	switch {
	case l.Asked == 0:
		return passes("%s was not called: no task gives reason to", l.Action)
	case answered > 0:
		return passes("%d of %s to %s answered, the slowest in %s", answered,
			amount(l.Asked, "question"), l.Action, seconds(l.Slowest.Seconds()))
	}
	return warns(adviseLook(l.Err, group), "no answer to %s, after %s: %s", l.Action,
		seconds(l.Slowest.Seconds()), l.Err)
}

func adviseLook(err error, group string) string {
	off := "leave --collector." + group + " off"
	var failure *omsclient.Error
	if errors.As(err, &failure) {
		switch failure.Reason {
		case omsclient.Auth, omsclient.API:
			return "the account may list tasks but perhaps not do this, or this OMS cannot: " +
				"give it a role with more rights, or " + off
		case omsclient.Timeout:
			return "OMS is slow to tell more of a task: raise Prometheus' scrape_timeout, or " + off
		}
	}
	return "find out what answers instead of OMS, or " + off
}
