package collector

import (
	"context"
	"fmt"
	"iter"

	"oms_exporter/omsclient"
)

// MaxHeld is how much memory the tasks of a listing may take until they are written, in
// bytes, as [costOf] estimates. A listing of more than that fails. It is room for about
// 25,000 usual tasks.
const MaxHeld = 256 << 20

// withinBudget ends a listing whose tasks would take too much memory.
func withinBudget(list ListFunc) ListFunc {
	return func(ctx context.Context, r *omsclient.Report) iter.Seq2[omsclient.Project, error] {
		return func(yield func(omsclient.Project, error) bool) {
			held := 0
			for project, err := range list(ctx, r) {
				if err == nil {
					held += costOf(&project)
				}
				if held > MaxHeld {
					yield(omsclient.Project{}, &omsclient.Error{
						Reason: omsclient.Limit, Page: r.Pages, Err: errTooLarge,
					})
					return
				}
				if !yield(project, err) {
					return
				}
			}
		}
	}
}

var errTooLarge = fmt.Errorf("the names, steps, tags and alarm rules of the tasks take more than "+
	"%d MiB of memory", MaxHeld>>20)

// costOf estimates the memory that a project takes: for itself, for the rows that are
// read from it, and for a part of the text that is written. Every series repeats the id
// and the name of its task.
func costOf(p *omsclient.Project) int {
	const (
		perTask, perStep, perLabel, perRule = 1024, 512, 640, 640
		seriesOfTask, seriesOfStep          = 30, 6
	)
	steps, labels, rules := len(p.Steps), len(p.Labels), len(p.AlarmStats.RuleToRecentlyTriggerCount)
	texts := len(p.Type) + len(p.Owner) + len(p.Importance) + len(p.Status) +
		len(p.SourceEndpointType) + len(p.SinkEndpointType) +
		len(p.SourceConnectInfo.EndpointName) + len(p.SourceConnectInfo.Region) +
		len(p.SinkConnectInfo.EndpointName) + len(p.SinkConnectInfo.Region) +
		len(p.ExtraInfo.ErrorCode) + len(p.ExtraInfo.RunningStep)
	for i := range p.Steps {
		s := &p.Steps[i]
		texts += len(s.Name) + len(s.Status) + len(s.ExtraInfo.ErrorCode)
	}
	for i := range p.Labels {
		texts += len(p.Labels[i].ID) + len(p.Labels[i].Name)
	}
	for i := range p.AlarmStats.RuleToRecentlyTriggerCount {
		texts += len(p.AlarmStats.RuleToRecentlyTriggerCount[i].Rule)
	}
	series := seriesOfTask + seriesOfStep*steps + labels + 2*rules
	identity := len(p.ID) + len(p.Name)
	return perTask + perStep*steps + perLabel*labels + perRule*rules + 3*texts + series*identity/4
}
