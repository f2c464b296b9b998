package omsclient_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"oms_exporter/omsclient"
)

// verified is an answer in the form of the vendor's, with more in it than is read.
const verified = `{"success":true,"errorDetail":null,"code":null,"message":null,"advice":null,
	"requestId":"r-1","pageNumber":1,"pageSize":1,"totalCount":415,"cost":"36 ms","data":{
	"differentNumber":7,"fullVerifyTableStatistics":[{"sourceTableName":"CUSTOMERS","sourceSchemaName":"TRADE",
	"destSchemaName":"TRADE2","sourceOnlyCount":3,"destOnlyCount":4,"mismatchedCount":0,"consistentCount":200,
	"progress":"1.0","message":"row 7","status":"FINISHED","resultType":"INCONSISTENT","resultDesc":"不一致",
	"errorDetails":null}]}}`

// components is an answer in the form of the vendor's.
const components = `{"success":true,"requestId":"r-2","totalCount":null,"cost":"2674 ms","data":{
	"storeList":[
		{"name":"192.0.2.1-7100:MYSQL_np_9_x:0000000003","ip":"192.0.2.1","type":"MySQL","delay":4,"gmt":1690880958,
		"status":"ACTIVE","config":{"mysql2store.master.host":"db7.example","mysql2store.master.username":"root"},
		"errMsg":"row 7","latelyHeartbeatTimeSec":1690880980},
		{"name":"192.0.2.2","status":"UNEXPECTED_EXIT","delay":null}],
	"reverseStoreList":null,
	"fullVerifyComponents":[{"inconsistentQuantity":0,"consistentQuantity":1,"progress":"1.0","status":"DONE"}],
	"fullImportComponents":[{"type":"FULL_TRANS","progress":100,"status":"FINISHED",
		"config":{"sink":{"jdbcUrl":"jdbc:mysql://db8.example:2883"}}}],
	"incrSyncComponents":[{"type":"INCR_TRANS","status":"RUNNING","checkpoint":"2023-08-01T09:09:37","delay":"3600"}],
	"reverseIncrSyncComponents":[{"status":"STOP"},"odd",null]}}`

// asked serves one answer and keeps what was asked.
func asked(answer string) (http.Handler, *[]string) {
	var requests []string
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		requests = append(requests, r.URL.RequestURI()+" "+string(body))
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, answer)
	}), &requests
}

func TestVerifyResultReadsTheTotals(t *testing.T) {
	oms, requests := asked(verified)
	c := newClient(t, oms, omsclient.Options{})

	got, attempts, err := c.VerifyResult(t.Context(), "np_9")
	if err != nil {
		t.Fatal(err)
	}
	checkEqual(t, "result", got, omsclient.VerifyResult{
		DifferentNumber: omsclient.Some(7.0), Tables: omsclient.Some(415.0),
	})
	checkEqual(t, "requests", *requests, []string{
		`/api/v2?Action=ListProjectFullVerifyResult {"projectId":"np_9","pageNumber":1,"pageSize":1}`,
	})
	checkEqual(t, "attempts", len(attempts), 1)
	checkEqual(t, "action", attempts[0].Action, "ListProjectFullVerifyResult")
}

func TestAVerifyResultThatOMSDoesNotSayIsUnknown(t *testing.T) {
	for name, answer := range map[string]string{
		"null":     `{"success":true,"totalCount":0,"data":{"differentNumber":null}}`,
		"missing":  `{"success":true,"totalCount":0,"data":{}}`,
		"no data":  `{"success":true,"totalCount":0}`,
		"a list":   `{"success":true,"totalCount":0,"data":[{"differentNumber":7}]}`,
		"negative": `{"success":true,"totalCount":0,"data":{"differentNumber":-1}}`,
		"text":     `{"success":true,"totalCount":0,"data":{"differentNumber":"none"}}`,
	} {
		t.Run(name, func(t *testing.T) {
			oms, _ := asked(answer)

			got, _, err := newClient(t, oms, omsclient.Options{}).VerifyResult(t.Context(), "np_9")

			if err != nil || got.DifferentNumber.Known {
				t.Errorf("%+v, %v; want an unknown number", got, err)
			}
		})
	}
}

func TestComponentsAreReadByWhatTheyDo(t *testing.T) {
	oms, requests := asked(components)
	c := newClient(t, oms, omsclient.Options{})

	got, _, err := c.Components(t.Context(), "np_9")
	if err != nil {
		t.Fatal(err)
	}
	checkEqual(t, "components", got, []omsclient.Component{
		{Kind: omsclient.Store, Status: "ACTIVE", Delay: omsclient.Some(4.0)},
		{Kind: omsclient.Store, Status: "UNEXPECTED_EXIT"},
		{Kind: omsclient.FullImport, Status: "FINISHED"},
		{Kind: omsclient.FullVerify, Status: "DONE"},
		{Kind: omsclient.IncrSync, Status: "RUNNING", Delay: omsclient.Some(3600.0)},
		{Kind: omsclient.IncrSync, Reverse: true, Status: "STOP"},
	})
	checkEqual(t, "requests", *requests, []string{
		`/api/v2?Action=DescribeProjectComponents {"id":"np_9"}`,
	})
}

func TestAFailureToLookCloserNamesTheAction(t *testing.T) {
	for name, tt := range map[string]struct{ answer, want string }{
		"refused": {
			`{"success":false,"code":"NO_PERMISSION","message":"viewer of TRADE","requestId":"r-3"}`,
			`DescribeProjectComponents: OMS answered success:false, code "NO_PERMISSION", requestId "r-3"`,
		},
		"malformed": {
			`{"success":true,"data":{"storeList":]`,
			`DescribeProjectComponents: not a JSON document at byte 36`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			oms, _ := asked(tt.answer)

			got, attempts, err := newClient(t, oms, omsclient.Options{}).Components(t.Context(), "np_9")

			if err == nil || err.Error() != tt.want || got != nil || len(attempts) != 1 {
				t.Errorf("%v, %d attempts, error %v, want %s", got, len(attempts), err, tt.want)
			}
		})
	}
}

// An account may be allowed to list and nothing else. Were a 401 taken for a refused
// password, the listing would rest too.
func TestARefusalToLookCloserDoesNotRestTheCredentials(t *testing.T) {
	oms := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("Action") != "ListProjects" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		_, _ = io.WriteString(w, `{"success":true,"totalCount":0,"data":[]}`)
	})
	c := newClient(t, oms, omsclient.Options{})

	_, attempts, err := c.VerifyResult(t.Context(), "np_9")

	checkEqual(t, "reason", omsclient.ReasonOf(err), omsclient.Auth)
	checkEqual(t, "attempts", len(attempts), 1)
	if _, refused := c.Refused(); refused {
		t.Error("the credentials rest")
	}
	if _, _, err := list(t.Context(), c); err != nil {
		t.Errorf("the listing fails: %v", err)
	}
}

func TestCredentialsThatRestAreNotSentToLookCloser(t *testing.T) {
	sent := 0
	oms := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		sent++
		w.WriteHeader(http.StatusUnauthorized)
	})
	c := newClient(t, oms, omsclient.Options{})
	_, _, _ = list(t.Context(), c)

	_, attempts, err := c.VerifyResult(t.Context(), "np_9")

	checkEqual(t, "reason", omsclient.ReasonOf(err), omsclient.Auth)
	checkEqual(t, "requests", sent, 1)
	checkEqual(t, "attempts", len(attempts), 0)
	if text := err.Error(); !strings.HasPrefix(text, "ListProjectFullVerifyResult: OMS, or a proxy in front of it, refuses") {
		t.Errorf("error %q", text)
	}
}
