package main

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// TestDelayCheckpointAndSampleAreOfOneReading has extraInfo and steps of tasks,
// which carry readings of different times, and what is exported of them: the
// reading that was sampled last, and no field of another one. All clocks are in
// seconds around 1,741,300,000, which is "now".
func TestDelayCheckpointAndSampleAreOfOneReading(t *testing.T) {
	t.Parallel()
	const (
		delay      = "oms_task_sync_delay_seconds"
		checkpoint = "oms_task_checkpoint_timestamp_seconds"
		sample     = "oms_task_checkpoint_sample_timestamp_seconds"
	)
	type readings map[string]float64 // by metric and direction
	forward := func(d, c, s float64) readings {
		return readings{delay + " forward": d, checkpoint + " forward": c, sample + " forward": s}
	}
	rows := []struct {
		name, extraInfo, steps string
		want                   readings
	}{
		{
			"a comforting delay of extraInfo, a checkpoint far behind",
			`{"syncDelay": 0}`,
			`{"name": "INCR_TRANSFER", "stepInfo": {"incrTimestampCheckpoint": 1741291000, "checkpointSampleTimestamp": 1741300000}}`,
			forward(9000, 1741291000, 1741300000),
		},
		{
			"a delay of two hours ago, a fresh checkpoint",
			`{"syncDelay": 3, "syncDelaySampleTimestamp": 1741292800}`,
			`{"name": "INCR_TRANSFER", "stepInfo": {"incrTimestampCheckpoint": 1741299998, "checkpointSampleTimestamp": 1741300000}}`,
			forward(2, 1741299998, 1741300000),
		},
		{
			"only a checkpoint in extraInfo, a fresh step",
			`{"incrSyncTimestamp": 1741291000}`,
			`{"name": "INCR_TRANSFER", "stepInfo": {"incrTimestampCheckpoint": 1741299998, "checkpointSampleTimestamp": 1741300000}}`,
			forward(2, 1741299998, 1741300000),
		},
		{
			"extraInfo is sampled later than the step",
			`{"syncDelay": 312, "syncDelaySampleTimestamp": 1741300000, "incrSyncTimestamp": 1741299688}`,
			`{"name": "CONNECTOR_INCR_SYNC", "stepInfo": {"incrTimestampCheckpoint": 1741299900, "checkpointSampleTimestamp": 1741299910}}`,
			forward(312, 1741299688, 1741300000),
		},
		{
			"a reported delay is exported beside a checkpoint of the same reading that says more",
			`{"syncDelay": 7, "syncDelaySampleTimestamp": 1741300000, "incrSyncTimestamp": 1741291000}`,
			"", forward(7, 1741291000, 1741300000),
		},
		{
			"extraInfo is sampled later and has no checkpoint",
			`{"syncDelay": 4, "syncDelaySampleTimestamp": 1741300000}`,
			`{"name": "INCR_SYNC", "stepInfo": {"incrTimestampCheckpoint": 1741290000, "checkpointSampleTimestamp": 1741290002}}`,
			readings{delay + " forward": 4, sample + " forward": 1741300000},
		},
		{
			"extraInfo is sampled later and has no delay",
			`{"syncDelaySampleTimestamp": 1741300000, "incrSyncTimestamp": 1741299990}`,
			`{"name": "INCR_SYNC", "stepInfo": {"incrTimestampCheckpoint": 1741290000, "checkpointSampleTimestamp": 1741290002}}`,
			forward(10, 1741299990, 1741300000),
		},
		{
			"extraInfo is null", "null",
			`{"name": "INCR_TRANSFER", "stepInfo": {"incrTimestampCheckpoint": 1741299993, "checkpointSampleTimestamp": 1741300000}}`,
			forward(7, 1741299993, 1741300000),
		},
		{
			"extraInfo has the form of an error", `{"errorCode": "CM-RESOAT1111", "failedTime": "2025-03-06T23:10:01"}`,
			`{"name": "INCR_TRANSFER", "stepInfo": {"incrTimestampCheckpoint": 1741299993, "checkpointSampleTimestamp": 1741300000}}`,
			forward(7, 1741299993, 1741300000),
		},
		{
			"nobody samples: extraInfo, since it says anything",
			`{"syncDelay": 5}`,
			`{"name": "INCR_TRANSFER", "stepInfo": {"incrTimestampCheckpoint": 1741291000}}`,
			readings{delay + " forward": 5},
		},
		{
			"nobody samples, and extraInfo says nothing: the last step",
			`{"syncDelay": null}`,
			`{"name": "INCR_TRANSFER", "stepInfo": {"incrTimestampCheckpoint": 1741291000}},
			 {"name": "INCR_SYNC", "stepInfo": {"incrTimestampCheckpoint": 1741292000}}`,
			readings{checkpoint + " forward": 1741292000},
		},
		{
			"two steps, the first sampled last", "null",
			`{"name": "INCR_TRANSFER", "stepInfo": {"incrTimestampCheckpoint": 1741299000, "checkpointSampleTimestamp": 1741300000}},
			 {"name": "CONNECTOR_INCR_SYNC", "stepInfo": {"incrTimestampCheckpoint": 1741289999, "checkpointSampleTimestamp": 1741290000}}`,
			forward(1000, 1741299000, 1741300000),
		},
		{
			"two steps, only one of them sampled", "null",
			`{"name": "INCR_TRANSFER", "stepInfo": {"incrTimestampCheckpoint": 1741299000, "checkpointSampleTimestamp": 1741300000}},
			 {"name": "INCR_SYNC", "stepInfo": {"incrTimestampCheckpoint": 1741299999}}`,
			forward(1000, 1741299000, 1741300000),
		},
		{
			"clocks that differ: a negative delay stays", "null",
			`{"name": "INCR_TRANSFER", "stepInfo": {"incrTimestampCheckpoint": 1741300003, "checkpointSampleTimestamp": 1741300000}}`,
			forward(-3, 1741300003, 1741300000),
		},
		{
			"the way back has its own steps, and extraInfo says nothing of it",
			`{"syncDelay": 0, "syncDelaySampleTimestamp": 1741300009, "incrSyncTimestamp": 1741300009}`,
			`{"name": "REVERSE_INCR_TRANSFER", "stepInfo": {"incrTimestampCheckpoint": 1741299900, "checkpointSampleTimestamp": 1741300000}},
			 {"name": "REVERSE_INCR_SYNC", "stepInfo": {"incrTimestampCheckpoint": 1741200000, "checkpointSampleTimestamp": 1741200000}}`,
			readings{
				delay + " forward": 0, checkpoint + " forward": 1741300009, sample + " forward": 1741300009,
				delay + " reverse": 100, checkpoint + " reverse": 1741299900, sample + " reverse": 1741300000,
			},
		},
		{
			"milliseconds in text",
			`{"syncDelay": "3", "syncDelaySampleTimestamp": "1741292800000"}`,
			`{"name": "INCR_TRANSFER", "stepInfo": {"incrTimestampCheckpoint": "1741299998000", "checkpointSampleTimestamp": "1741300000000"}}`,
			forward(2, 1741299998, 1741300000),
		},
	}
	var tasks []string
	for i, row := range rows {
		extraInfo := row.extraInfo
		if extraInfo == "" {
			extraInfo = "null"
		}
		tasks = append(tasks, fmt.Sprintf(
			`{"id": "np_%d", "type": "MIGRATION", "status": "RUNNING", "extraInfo": %s, "steps": [%s]}`, i, extraInfo, row.steps))
	}
	p := start(t, "--oms.url="+serveOMS(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"success": true, "totalCount": %d, "data": [%s]}`, len(tasks), strings.Join(tasks, ","))
	})))
	got := make([]readings, len(rows))
	for name, family := range scrape(t, p) {
		for _, m := range family.GetMetric() {
			labels, i := labelsOf(m), 0
			if _, err := fmt.Sscanf(labels["task_id"], "np_%d", &i); err != nil || labels["direction"] == "" {
				continue
			}
			if got[i] == nil {
				got[i] = readings{}
			}
			got[i][name+" "+labels["direction"]] = m.GetGauge().GetValue()
		}
	}
	for i, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			if fmt.Sprint(got[i]) != fmt.Sprint(row.want) {
				t.Errorf("extraInfo %s, steps %s:\ngot  %v\nwant %v", row.extraInfo, row.steps, got[i], row.want)
			}
		})
	}
}
