package collector_test

import (
	"fmt"
	"strings"
	"testing"

	"oms_exporter/collector"
)

// OMS tells how far a task has replicated in extraInfo and in steps, in readings of
// different moments. Each case is what OMS sends of a task, and every series of the
// group sync that it gets. All its numbers must come from one reading.
func TestFlowsComeFromOneReading(t *testing.T) {
	for _, test := range []struct{ name, sent, want string }{
		{
			"a delay of 0 without a sample time, and a step that is far behind",
			`"extraInfo": {"syncDelay": 0},
			 "steps": [{"name": "INCR_TRANSFER", "stepInfo": {"incrTimestampCheckpoint": 1735860000, "checkpointSampleTimestamp": 1735869000}}]`,
			`sample forward 1735869000, checkpoint forward 1735860000, delay forward 9000`,
		},
		{
			"a delay of two hours ago, and a step sampled now",
			`"extraInfo": {"syncDelay": 3, "syncDelaySampleTimestamp": 1735862000},
			 "steps": [{"name": "INCR_TRANSFER", "stepInfo": {"incrTimestampCheckpoint": 1735868998, "checkpointSampleTimestamp": 1735869000}}]`,
			`sample forward 1735869000, checkpoint forward 1735868998, delay forward 2`,
		},
		{
			"only an old checkpoint in extraInfo, and a step sampled now",
			`"extraInfo": {"incrSyncTimestamp": 1735860000},
			 "steps": [{"name": "INCR_TRANSFER", "stepInfo": {"incrTimestampCheckpoint": 1735868998, "checkpointSampleTimestamp": 1735869000}}]`,
			`sample forward 1735869000, checkpoint forward 1735868998, delay forward 2`,
		},
		{
			"extraInfo is sampled later than the step, and has no checkpoint",
			`"extraInfo": {"syncDelay": 7, "syncDelaySampleTimestamp": 1735869000},
			 "steps": [{"name": "INCR_TRANSFER", "stepInfo": {"incrTimestampCheckpoint": 1735860000, "checkpointSampleTimestamp": 1735860005}}]`,
			`sample forward 1735869000, delay forward 7`,
		},
		{
			"a reported delay stays, even if the checkpoint beside it says more",
			`"extraInfo": {"syncDelay": 7, "syncDelaySampleTimestamp": 1735869000, "incrSyncTimestamp": 1735860000}`,
			`sample forward 1735869000, checkpoint forward 1735860000, delay forward 7`,
		},
		{
			"equal samples: whatever is further behind",
			`"extraInfo": {"syncDelay": 7, "syncDelaySampleTimestamp": 1735869000},
			 "steps": [{"name": "INCR_TRANSFER", "stepInfo": {"incrTimestampCheckpoint": 1735868000, "checkpointSampleTimestamp": 1735869000}}]`,
			`sample forward 1735869000, checkpoint forward 1735868000, delay forward 1000`,
		},
		{
			"equal samples, equally far behind: extraInfo",
			`"extraInfo": {"syncDelay": 1000, "syncDelaySampleTimestamp": 1735869000},
			 "steps": [{"name": "INCR_TRANSFER", "stepInfo": {"incrTimestampCheckpoint": 1735868000, "checkpointSampleTimestamp": 1735869000}}]`,
			`sample forward 1735869000, delay forward 1000`,
		},
		{
			"no sample anywhere: extraInfo",
			`"extraInfo": {"incrSyncTimestamp": 1735860000},
			 "steps": [{"name": "INCR_TRANSFER", "stepInfo": {"incrTimestampCheckpoint": 1735868000}}]`,
			`checkpoint forward 1735860000`,
		},
		{
			"no sample anywhere, and extraInfo says nothing: the last step",
			`"extraInfo": {"runningStep": "INCR_SYNC"},
			 "steps": [{"name": "INCR_TRANSFER", "stepInfo": {"incrTimestampCheckpoint": 1735868000}},
			           {"name": "INCR_SYNC", "stepInfo": {"incrTimestampCheckpoint": 1735867000}}]`,
			`checkpoint forward 1735867000`,
		},
		{
			"extraInfo is all there is",
			`"extraInfo": {"syncDelay": -7, "syncDelaySampleTimestamp": 1735869000, "incrSyncTimestamp": 1735869007}`,
			`sample forward 1735869000, checkpoint forward 1735869007, delay forward -7`,
		},
		{
			"a sample time in extraInfo without a measurement is no reading",
			`"extraInfo": {"syncDelaySampleTimestamp": 1735869000},
			 "steps": [{"name": "INCR_TRANSFER", "stepInfo": {"incrTimestampCheckpoint": 1735860000, "checkpointSampleTimestamp": 1735860005}}]`,
			`sample forward 1735860005, checkpoint forward 1735860000, delay forward 5`,
		},
		{
			"a sample time and nothing else",
			`"extraInfo": {"syncDelaySampleTimestamp": 1735869000}`,
			`sample forward 1735869000`,
		},
		{
			"of several steps, the one sampled last, in each direction",
			`"extraInfo": {"syncDelay": 1, "syncDelaySampleTimestamp": 1735860000},
			 "steps": [{"name": "INCR_TRANSFER", "stepInfo": {"incrTimestampCheckpoint": 1735868000, "checkpointSampleTimestamp": 1735869000}},
			           {"name": "CONNECTOR_INCR_SYNC", "stepInfo": {"incrTimestampCheckpoint": 1735868999, "checkpointSampleTimestamp": 1735868999}},
			           {"name": "INCR_SYNC", "stepInfo": {"checkpointSampleTimestamp": 1735869009}},
			           {"name": "REVERSE_INCR_TRANSFER", "stepInfo": {"incrTimestampCheckpoint": 1735868900, "checkpointSampleTimestamp": 1735869000}},
			           {"name": "REVERSE_INCR_SYNC", "stepInfo": {"incrTimestampCheckpoint": 1735869900}}]`,
			`sample forward 1735869000, sample reverse 1735869000,
			 checkpoint forward 1735868000, checkpoint reverse 1735868900,
			 delay forward 1000, delay reverse 100`,
		},
		{
			"a sample in the future is the last one: no clock but OMS's own decides",
			`"extraInfo": {"syncDelay": 3, "syncDelaySampleTimestamp": 1735869000},
			 "steps": [{"name": "INCR_TRANSFER", "stepInfo": {"incrTimestampCheckpoint": 4891542000, "checkpointSampleTimestamp": 4891542600}}]`,
			`sample forward 4891542600, checkpoint forward 4891542000, delay forward 600`,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			project := `{"id": "np_1", "name": "orders", "type": "MIGRATION", "status": "RUNNING", ` + test.sent + `}`

			got := exposition(t, collector.Options{Without: func(group string) bool { return group != "sync" }}, project)

			if got, want := taskSeries(got), seriesOfFlows(test.want); got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

// taskSeries returns the lines of an exposition that are about tasks.
func taskSeries(exposition string) string {
	var lines strings.Builder
	for line := range strings.Lines(exposition) {
		if strings.Contains(line, "task_id") {
			lines.WriteString(line)
		}
	}
	return lines.String()
}

// seriesOfFlows writes out series of the task np_1, such as "delay forward 7".
func seriesOfFlows(short string) string {
	metrics := map[string]string{
		"delay":      "oms_task_sync_delay_seconds",
		"checkpoint": "oms_task_checkpoint_timestamp_seconds",
		"sample":     "oms_task_checkpoint_sample_timestamp_seconds",
	}
	var lines strings.Builder
	for series := range strings.SplitSeq(short, ",") {
		var metric, direction string
		var value float64
		if _, err := fmt.Sscan(series, &metric, &direction, &value); err != nil {
			panic(err)
		}
		fmt.Fprintf(&lines, "%s{direction=%q,task_id=\"np_1\",task_name=\"orders\"} %v\n",
			metrics[metric], direction, value)
	}
	return lines.String()
}
