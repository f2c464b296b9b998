package collector_test

import (
	"context"
	"fmt"
	"iter"
	"os"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"

	"oms_exporter/collector"
	"oms_exporter/omsclient"
)

// listOne stands for the List of an [omsclient.Client].
func listOne(context.Context, *omsclient.Report) iter.Seq2[omsclient.Project, error] {
	return func(yield func(omsclient.Project, error) bool) {
		yield(omsclient.Project{ID: "np_1", Name: "orders", Type: "SYNC", Status: "RUNNING"}, nil)
	}
}

// A program with a registry of its own registers a collector like any other.
func Example() {
	registry := prometheus.NewRegistry()
	if err := registry.Register(collector.New(listOne, collector.Options{})); err != nil {
		fmt.Println(err)
		return
	}

	families, err := registry.Gather()
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, family := range families {
		if family.GetName() == "oms_up" {
			fmt.Println(family.GetName(), family.GetMetric()[0].GetGauge().GetValue())
		}
	}
	// Output: oms_up 1
}

// An exporter scrapes within the context of a request, and writes what it found.
func ExampleCollector_Scrape() {
	c := collector.New(listOne, collector.Options{})

	snapshot := c.Scrape(context.Background())

	wanted := func(name string) bool { return name == "oms_task_info" }
	err := snapshot.Encode(context.Background(), os.Stdout, expfmt.NewFormat(expfmt.TypeTextPlain), nil, wanted)
	if err != nil {
		fmt.Println(err)
	}
	// Output:
	// # HELP oms_task_info Always 1. Labels: type, importance, owner, sourceEndpointType, sinkEndpointType, endpointName and region of both ends, isSubProject.
	// # TYPE oms_task_info gauge
	// oms_task_info{importance="",sink_name="",sink_region="",sink_type="",source_name="",source_region="",source_type="",subtask="",task_id="np_1",task_name="orders",task_owner="",task_type="SYNC"} 1
}
