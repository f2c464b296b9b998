package omsclient_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"time"

	"oms_exporter/omsclient"
)

func Example() {
	oms := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"success":true,"totalCount":2,"data":[
			{"id":"np_1","name":"orders","status":"RUNNING","extraInfo":{"syncDelay":3}},
			{"id":"np_2","name":"stock","status":"FAILED","extraInfo":null}]}`)
	}))
	defer oms.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()

	client, err := omsclient.New(oms.URL, oms.Client(), omsclient.Options{
		Filter: omsclient.Filter{Type: "MIGRATION"},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	var report omsclient.Report
	for project, err := range client.List(ctx, &report) {
		if err != nil {
			fmt.Println(err, omsclient.ReasonOf(err))
			return
		}
		if delay, known := project.ExtraInfo.SyncDelay.Get(); known {
			fmt.Println(project.Name, project.Status, delay, "s behind")
		} else {
			fmt.Println(project.Name, project.Status)
		}
	}
	fmt.Println(report.Pages, "page")
	// Output:
	// orders RUNNING 3 s behind
	// stock FAILED
	// 1 page
}
