package collector

import (
	"context"
	"fmt"
	"iter"
	"slices"

	"oms_exporter/omsclient"
)

// withinBudget ends a listing whose tasks would take more memory until they are written
// than [omsclient.MemoryFor] admits, unless there is no limit of tasks. Usual tasks take
// three quarters of that, as costOf estimates.
func withinBudget(list ListFunc, maxTasks int) ListFunc {
	if maxTasks == 0 {
		return list
	}
	most := omsclient.MemoryFor(maxTasks)
	tooLarge := fmt.Errorf("the names, steps, tags and alarm rules of the tasks take more than "+
		"%d MiB of memory, which is %d KiB for each of %d tasks", most>>20,
		omsclient.BytesPerProject>>10, most/omsclient.BytesPerProject)
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
		textsOf(&p.ExtraInfo.Failure) + len(p.ExtraInfo.RunningStep)
	for i := range p.Steps {
		s := &p.Steps[i]
		texts += len(s.Name) + len(s.Status) + textsOf(&s.ExtraInfo)
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

// textsOf counts what codes of errors take. Each is a series.
func textsOf(f *omsclient.Failure) int {
	const perCode = 128
	texts := len(f.ErrorCode)
	for _, d := range f.ErrorDetails {
		texts += perCode + len(d.Code) + len(d.Level)
	}
	return texts
}
