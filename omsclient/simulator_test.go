package omsclient_test

import (
	"testing"
	"time"

	"oms_exporter/omsclient"
	"oms_exporter/omsclient/omssim"
)

// fixed is a clock that stands still, so that answers can be compared.
func fixed() time.Time { return time.Date(2025, 6, 7, 8, 9, 10, 0, time.UTC) }

func listSimulator(
	t *testing.T, options omssim.Options, faults ...omssim.Fault,
) ([]omsclient.Project, omsclient.Report) {
	t.Helper()
	options.Now = fixed
	oms, err := omssim.New(options)
	if err != nil {
		t.Fatal(err)
	}
	oms.SetFaults(faults...)
	c := newClient(t, oms, omsclient.Options{PageSize: 40})
	projects, report, err := list(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return projects, report
}

func TestAFleetReadsTheSameWithQuotedScalars(t *testing.T) {
	native, _ := listSimulator(t, omssim.Options{Tasks: 100, BlobBytes: 3000})
	quoted, report := listSimulator(t, omssim.Options{Tasks: 100, Style: omssim.Quoted})

	checkEqual(t, "number of tasks", len(native), 100)
	checkEqual(t, "tasks", quoted, native)
	checkEqual(t, "Dropped", report.Dropped, map[string]int{})
}

func TestValuesThatNoDocumentMentionsAreKeptOrDroppedOneByOne(t *testing.T) {
	plain, _ := listSimulator(t, omssim.Options{Tasks: 41})
	strange, report := listSimulator(t, omssim.Options{Tasks: 41},
		omssim.Fault{Kind: "unknown_values"})

	checkEqual(t, "Dropped", report.Dropped,
		map[string]int{"gmtModified": 2, "incrTimestampCheckpoint": 2})
	checkEqual(t, "number of tasks", len(strange), 41)
	for i := range strange {
		if i != 0 && i != 40 {
			checkEqual(t, "task", strange[i], plain[i]) // only the first task of a page is strange
			continue
		}
		checkEqual(t, "Type", strange[i].Type, "TELEPORT")
		checkEqual(t, "Importance", strange[i].Importance, "COSMIC")
		checkEqual(t, "Status", strange[i].Status, "SOME_NEW_STATE")
		found := false
		for _, step := range strange[i].Steps {
			found = found || step.Name == "QUANTUM_TRANSFER" && step.Status == "WARMING_UP"
		}
		checkEqual(t, "the unknown step is there", found, true)
	}
}

func TestAFilterReachesOMSAsMeant(t *testing.T) {
	oms, err := omssim.New(omssim.Options{Tasks: 100, Now: fixed})
	if err != nil {
		t.Fatal(err)
	}
	c := newClient(t, oms, omsclient.Options{PageSize: 20, Filter: omsclient.Filter{
		SearchKey: "o", Type: "SYNC", Statuses: []string{"RUNNING"}, LabelIDs: []string{"l_1"},
		SourceEndpointTypes: []string{"MYSQL"}, SinkEndpointTypes: []string{"KAFKA"}, Subtasks: true,
	}})

	if _, _, err := list(t.Context(), c); err != nil {
		t.Fatal(err)
	}

	checkEqual(t, "request", oms.Requests()[0], omssim.Request{
		Action: "ListProjects", PageNumber: 1, PageSize: 20, Status: 200, Filter: omssim.Filter{
			SearchKey: "o", Type: "SYNC", Status: []string{"RUNNING"}, LabelIDs: []string{"l_1"},
			SourceEndpointTypes: []string{"MYSQL"}, SinkEndpointTypes: []string{"KAFKA"},
			VisibleSubProject: true, SortField: "gmtCreate", Order: "asc",
		},
	})
}
