package collector

import (
	"context"
	"fmt"
	"iter"
	"slices"

	"oms_exporter/omsclient"
)

// BytesPerTask is the memory that a task may take on average until it is written, if a
// listing has as many tasks as [Options].MaxTasks admits. Usual tasks take three quarters
// of it, as costOf estimates. If tasks are fewer, each may take more.
const BytesPerTask = 8 << 10

// UsualTasks is the number of tasks for which there is room even if MaxTasks is smaller.
// A process of 256 MiB can list and write as many.
const UsualTasks = 20_000

// withinBudget ends a listing whose tasks would take too much memory, unless there is no
// limit of tasks.
func withinBudget(list ListFunc, maxTasks int) ListFunc {
	if maxTasks == 0 {
		return list
	}
	admitted := min(max(maxTasks, UsualTasks), 1<<30) // so that nothing overflows
	most := int64(admitted) * BytesPerTask
	tooLarge := fmt.Errorf("the names, steps, tags and alarm rules of the tasks take more than "+
		"%d MiB of memory, which is %d KiB for each of %d tasks",
		most>>20, BytesPerTask>>10, admitted)
	return func(ctx context.Context, r *omsclient.Report) iter.Seq2[omsclient.Project, error] {
		return func(yield func(omsclient.Project, error) bool) {
			held := int64(0)
			for project, err := range list(ctx, r) {
				if err == nil {
					held += int64(costOf(&project))
				}
				if held > most {
					yield(omsclient.Project{}, &omsclient.Error{
						Reason: omsclient.Limit, Page: r.Pages, Err: tooLarge,
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

// costOf estimates the memory that a project takes: for itself, for the rows that are
// read from it, and for a quarter of the text that is written, in which every series
// repeats the id and the name of its task.
func costOf(p *omsclient.Project) int {
	const (
		perTask, perStep, perLabel, perRule = 1024, 512, 640, 768
		perOddName                          = 1280 // what steps share if they have the same name
		seriesOfTask, seriesOfStep          = 30, 6
	)
	steps, labels, rules := len(p.Steps), len(p.Labels), len(p.AlarmStats.RuleToRecentlyTriggerCount)
	odd := 0
	texts := len(p.Type) + len(p.Owner) + len(p.Importance) + len(p.Status) +
		len(p.SourceEndpointType) + len(p.SinkEndpointType) +
		len(p.SourceConnectInfo.EndpointName) + len(p.SourceConnectInfo.Region) +
		len(p.SinkConnectInfo.EndpointName) + len(p.SinkConnectInfo.Region) +
		len(p.ExtraInfo.ErrorCode) + len(p.ExtraInfo.RunningStep)
	for i := range p.Steps {
		s := &p.Steps[i]
		texts += len(s.Name) + len(s.Status) + len(s.ExtraInfo.ErrorCode)
		if s.Name != "" && !slices.Contains(knownStepNames, s.Name) {
			odd++
		}
	}
	for i := range p.Labels {
		texts += len(p.Labels[i].ID) + len(p.Labels[i].Name)
	}
	for i := range p.AlarmStats.RuleToRecentlyTriggerCount {
		texts += len(p.AlarmStats.RuleToRecentlyTriggerCount[i].Rule)
	}
	series := seriesOfTask + seriesOfStep*steps + labels + 2*rules
	identity := len(p.ID) + len(p.Name)
	return perTask + perStep*steps + perOddName*odd + perLabel*labels + perRule*rules +
		3*texts + series*identity/4
}
