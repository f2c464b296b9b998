package omsclient

import (
	"regexp"
	"strings"
	"testing"
)

var standIn = regexp.MustCompile(`([a-z]+)_[a-z2-7]{16}\b`)

// Answers about one project are full of hosts, accounts, URLs and names of tables.
// Nothing of that may be in a recording; what is read must be.
func TestRecordingsOfACloserLookNameNobody(t *testing.T) {
	for _, tt := range []struct{ name, given, want string }{
		{
			"verification",
			`{"success":true,"totalCount":415,"cost":"36 ms","data":{"differentNumber":7,"fullVerifyTableStatistics":[
			{"sourceTableName":"CUSTOMERS","sourceSchemaName":"TRADE","destSchemaName":"TRADE2","mismatchedCount":7,
			"progress":"1.0","message":"row 7","status":"FINISHED","resultType":"INCONSISTENT","resultDesc":"不一致","errorDetails":null}]}}`,
			`{"success":true,"totalCount":415,"cost":"36 ms","data":{"differentNumber":7,"fullVerifyTableStatistics":[` +
				`{"sourceTableName":"table_T","sourceSchemaName":"schema_T","destSchemaName":"schema_T","mismatchedCount":7,` +
				`"progress":"1.0","message":"text_T","status":"FINISHED","resultType":"INCONSISTENT","resultDesc":"text_T","errorDetails":null}]}}`,
		},
		{
			"components",
			`{"success":true,"data":{"storeList":[{"name":"192.0.2.1-7100:x","ip":"192.0.2.1","type":"MySQL","region":"cn","topic":"MYSQL_np_9",
			"subtopic":"MYSQL_np_9-1","tps":1,"delay":4,"gmt":1690880958,"status":"ACTIVE","errorDetails":[{"code":"CM-1","level":"ERROR","message":"db7"}],
			"port":17000,"config":{"mysql2store.master.host":"db7"},"errMsg":"db7","latelyHeartbeatTimeSec":1690880980,"new":"db7"}],
			"reverseStoreList":null,"incrSyncComponents":[{"identity":"np_9","type":"INCR_TRANS","subtopics":["MYSQL_np_9-1"],"status":"RUNNING",
			"checkpoint":"2023-08-01T09:09:37","delay":2,"config":"jdbc:mysql://db8"}]}}`,
			`{"success":true,"data":{"storeList":[{"name":"component_T","ip":"text_T","type":"text_T","region":"region_T","topic":"text_T",` +
				`"subtopic":"text_T","tps":1,"delay":4,"gmt":1690880958,"status":"ACTIVE","errorDetails":[{"code":"CM-1","level":"ERROR","message":"text_T"}],` +
				`"port":0,"config":{},"errMsg":"text_T","latelyHeartbeatTimeSec":1690880980,"field_T":"text_T"}],` +
				`"reverseStoreList":null,"incrSyncComponents":[{"identity":"np_T","type":"INCR_TRANS","subtopics":["text_T"],"status":"RUNNING",` +
				`"checkpoint":"2023-08-01T09:09:37","delay":2,"config":{}}]}}`,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := standIn.ReplaceAllString(strings.TrimSpace(redacted(t, NewRedactor(), tt.given)), "${1}_T")
			if got != tt.want {
				t.Errorf("got\n%s\nwant\n%s", got, tt.want)
			}
		})
	}
}
