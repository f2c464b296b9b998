package omsclient

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"reflect"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

func redacted(t *testing.T, r *Redactor, document string) string {
	t.Helper()
	var out strings.Builder
	if err := r.Copy(&out, strings.NewReader(document)); err != nil {
		t.Fatalf("%v, document:\n%s", err, document)
	}
	return strings.TrimSuffix(out.String(), "\n")
}

// TestCopy compares whole documents. Its key is all zeros, which no recording's is.
func TestCopy(t *testing.T) {
	for _, tt := range []struct{ name, given, want string }{
		{
			"the envelope",
			`{"success":"true","errorDetail":null,"code":200,"message":"bad host db7","advice":"",
			"requestId":"e8dec2fe-40","pageNumber":"1","pageSize":5,"totalCount":"151","cost":"54 ms",
			"data":[],"deletable":true,"trace":["db7",7,true,null]}`,
			`{"success":"true","errorDetail":null,"code":200,"message":"text_ksiikyprm2kilmml","advice":"",` +
				`"requestId":"request_upzcwur2t32ldqfx","pageNumber":"1","pageSize":5,"totalCount":"151","cost":"54 ms",` +
				`"data":[],"deletable":true,"trace":["text_cr43ezubgvv5mhlh",0,false,null]}`,
		},
		{
			"a failure",
			`{"success":false,"code":"GHANA-OPERAT000001","message":"[GHANA-OPERAT000001]: CM 服务","requestId":"r",
			"errorDetail":{"code":"CM-RESOAT1111","level":"ERROR","message":"db7","messageMcmsContext":{"service":"CM"},
			"extraContext":[{"host":["db7",{"port":3306}]}],"upstreamErrorDetail":7}}`,
			`{"success":false,"code":"GHANA-OPERAT000001","message":"text_mxh6n2sejem2ho4s","requestId":"request_veudp4f5euz2rifo",` +
				`"errorDetail":{"code":"CM-RESOAT1111","level":"ERROR","message":"text_cr43ezubgvv5mhlh","messageMcmsContext":{"field_gsrkhr36fy2jhy4a":"text_t7rxd23m6weh5fiw"},` +
				`"extraContext":[{"field_ea6wbu3maern2qsu":["text_cr43ezubgvv5mhlh",{"field_edecsrq7czb2so43":0}]}],"upstreamErrorDetail":0}}`,
		},
		{
			"names and identifiers",
			`{"data":[{"id":"np_1","name":"订单","owner":"张伟","destConnId":"c_3","type":"MIGRATION","importance":"HIGH","status":"RUNNING_MERGING",
			"labels":[{"id":"l_1","name":"gold","creator":"root","type":1,"count":"13"},{"id":7,"name":true},{"id":"","name":null}],
			"sourceConnectInfo":{"id":"c_1","endpointName":"orders","endpointId":"e_1","endpointSide":"source","dbEngine":"MYSQL","username":"root",
			"region":"cn-hangzhou","owner":"张伟","host":"10.0.0.1","port":3306,"connExtraAttributes":{"cluster":"c7"}},
			"sinkConnectInfo":{"region":"机房 7","port":"2883","connExtraAttributes":null},
			"alarmStats":{"target":"np_1","alarming":true,"recentlyTriggerCount":"3","ruleToRecentlyTriggerCount":{"SYNC_DELAY":2,"oms_store":"1","规则":0,"":5},
			"alarmContent":"db7 is late","openMonitor":null}}]}`,
			`{"data":[{"id":"np_bmcombqdzlrt7n5r","name":"task_r3gh2fnvyyf6hyo3","owner":"owner_zu4afwhwrzaia4d2","destConnId":"c_cocmzmfiof3ztddy","type":"MIGRATION","importance":"HIGH","status":"RUNNING_MERGING",` +
				`"labels":[{"id":"l_6c2wy4m7gdpna32h","name":"tag_ziibl3jfle6qukr3","creator":"owner_yvpttjmd4jredzxq","type":1,"count":"13"},{"id":"l_gbxjijwxstzpnrdd","name":"tag_wfgghc4p3aglqzmu"},{"id":"","name":null}],` +
				`"sourceConnectInfo":{"id":"c_wdkq6vks5uvcrkk5","endpointName":"endpoint_x4wrgovkd7nfj3np","endpointId":"e_izuf4nvefk5q7z43","endpointSide":"text_lfg5qp4hefm4wzer","dbEngine":"text_yhhtu3wk7f3vdz4y","username":"text_yvpttjmd4jredzxq",` +
				`"region":"region_qfoc4ckwguohhuew","owner":"owner_zu4afwhwrzaia4d2","host":"text_epj7mp2rvsu2zftu","port":0,"connExtraAttributes":{}},` +
				`"sinkConnectInfo":{"region":"region_b5477zj6sz3dffty","port":"text_xcl2sjmpevtspsjl","connExtraAttributes":null},` +
				`"alarmStats":{"target":"np_bmcombqdzlrt7n5r","alarming":true,"recentlyTriggerCount":"3","ruleToRecentlyTriggerCount":{"rule_nuxvp7wdy52i5ouv":2,"rule_v3vud2wptyukl6s2":"1","rule_ytyajub7bylxcwqq":0,"":5},` +
				`"alarmContent":"text_mvhwiluabl5hjzl3","openMonitor":null}}]}`,
		},
		{
			"steps and what they do",
			`{"data":[{"isMerging":"false","enableIncrTransfer":true,"gmtCreate":"2025-01-02T03:04:05","gmtModified":"2025/06/07 08:09:10.123 +0800",
			"gmtStart":"","gmtFinish":"soon","steps":[{"order":"4","name":"INCR_TRANSFER","description":"增量同步","status":"MONITORING","progress":1e2,
			"startTime":"2025-01-02T03:04:05.678Z","extraInfo":{"errorCode":"GHANA-OPERAT000001","errorMsg":"row 7","errorParam":{"row":7},
			"errorDetails":[{"code":"X1","message":"row 7"}],"failedTime":"2025-01-02 03:04:05"},
			"stepInfo":{"incrTimestampCheckpoint":1735862400,"checkpointSampleTimestamp":"1735862406","enableIncrStatistics":null,"srcRps":1.50,"dstIops":-0}},
			{"name":"quantum","status":"WARMING UP","stepInfo":{"incrTimestampCheckpoint":"mysql-bin.000123,4567"}},null,"x"],
			"extraInfo":{"runningStep":"INCR_TRANSFER","runningProgress":100,"syncDelay":"-7","subtopics":["db7-np_1-1-0"],"subDbs":{"shop":["orders"]},
			"logServiceStartCheckpoint":1735862400}}]}`,
			`{"data":[{"isMerging":"false","enableIncrTransfer":true,"gmtCreate":"2025-01-02T03:04:05","gmtModified":"2025/06/07 08:09:10.123 +0800",` +
				`"gmtStart":"","gmtFinish":"text_l6epg6mi7tkn6ljj","steps":[{"order":"4","name":"INCR_TRANSFER","description":"text_klhygpia6ucni6nn","status":"MONITORING","progress":1e2,` +
				`"startTime":"2025-01-02T03:04:05.678Z","extraInfo":{"errorCode":"GHANA-OPERAT000001","errorMsg":"text_tjzkg2avrzxtmhxz","errorParam":{"field_x6vxn7cc2nkdwcvz":0},` +
				`"errorDetails":[{"code":"X1","message":"text_tjzkg2avrzxtmhxz"}],"failedTime":"2025-01-02 03:04:05"},` +
				`"stepInfo":{"incrTimestampCheckpoint":1735862400,"checkpointSampleTimestamp":"1735862406","enableIncrStatistics":null,"srcRps":1.50,"dstIops":-0}},` +
				`{"name":"text_nypownhrnuflwcce","status":"text_xpo6qw6udhhhsowr","stepInfo":{"incrTimestampCheckpoint":"text_dh7rniiqvmttqcfk"}},null,"text_js6jmcm2mrt44abe"],` +
				`"extraInfo":{"runningStep":"INCR_TRANSFER","runningProgress":100,"syncDelay":"-7","subtopics":["text_g2f6ctauqp5btvnz"],"subDbs":{"field_vw6auastdijq62xl":["text_x4wrgovkd7nfj3np"]},` +
				`"logServiceStartCheckpoint":1735862400}}]}`,
		},
		{
			"thresholds in tags",
			`{"data":[{"labels":[{"name":"delay:30s"},{"name":"delay:1h30m/2d"},{"name":"delay:0/500ms"},{"name":"delay:soon"},
			{"name":"delay:30s/db7"},{"name":"Delay:30s"},{"name":"delay:30s "},{"name":"delay:"}]}]}`,
			`{"data":[{"labels":[{"name":"delay:30s"},{"name":"delay:1h30m/2d"},{"name":"delay:0/500ms"},{"name":"tag_d3jok7ikd7y4phn5"},` +
				`{"name":"tag_cjv5laimrohurb3q"},{"name":"tag_wvneri3zdxw3mwx4"},{"name":"tag_ygnvnv3w5t6mgpf6"},{"name":"tag_tsw5ssf467qi4zq6"}]}]}`,
		},
		{
			"configurations",
			`{"data":[{"transferMapping":{"databases":[{"name":"shop","tables":[{"name":"orders"}]}]},"commonTransferConfig":null,
			"structTransferConfig":[1,2],"fullTransferConfig":"{}","incrTransferConfig":7,"REVERSEINCRTRANSFERCONFIG":{}}]}`,
			`{"data":[{"transferMapping":{},"commonTransferConfig":null,` +
				`"structTransferConfig":{},"fullTransferConfig":{},"incrTransferConfig":{},"REVERSEINCRTRANSFERCONFIG":{}}]}`,
		},
		{
			"unknown members and forms",
			`{"Future":{"db7":{"port":13800138000,"tls":true},"":[]},"data":{"id":"np_1"},"DATA":[7,[{"id":"np_1"}],{"ID":"np_1","Status":"RUNNING",
			"status":["RUNNING"],"labels":{"name":"gold"},"steps":"none","sourceConnectInfo":[{"region":"cn"}],"futureNumber":42}]}`,
			`{"field_bllawb2a262kngpb":{"field_cr43ezubgvv5mhlh":{"field_edecsrq7czb2so43":0,"field_p5nvyrdj6dniy7m7":false},"":[]},"data":{"field_gthaway2x5pr6z5l":"text_bmcombqdzlrt7n5r"},"DATA":[0,[{"field_gthaway2x5pr6z5l":"text_bmcombqdzlrt7n5r"}],{"ID":"np_bmcombqdzlrt7n5r","Status":"RUNNING",` +
				`"status":["text_waaonjf5e6uylbuy"],"labels":{"field_n7zfe6bahdmsjnkp":"text_ziibl3jfle6qukr3"},"steps":"text_7nxxao5hvuiakgif","sourceConnectInfo":[{"field_wft4cy4t44aatfuh":"text_f64f3e5ifqi4kiqg"}],"field_2dqb3vehvwj6wlou":0}]}`,
		},
		{
			"no envelope",
			`["db7",{"status":"RUNNING"},13800138000]`,
			`["text_cr43ezubgvv5mhlh",{"field_kx6pvm5hms33yj3l":"text_waaonjf5e6uylbuy"},0]`,
		},
		{
			"duplicate names and escapes",
			`{"code":"A","code":"B","message":"a\"b","data":[{"na\u006de":"\u5f20\u4f1f","name":"张伟"},{"id":"\ud800"},{"id":"\ufffd"}]}`,
			`{"code":"A","code":"B","message":"text_txrmc6ysr3mfvn4z","data":[{"name":"task_zu4afwhwrzaia4d2","name":"task_zu4afwhwrzaia4d2"},{"id":"np_v52fsbmxbifz2vo2"},{"id":"np_v52fsbmxbifz2vo2"}]}`,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := redacted(t, &Redactor{}, tt.given); got != tt.want {
				t.Errorf("got\n%s\nwant\n%s", got, tt.want)
			}
		})
	}
}

// everything is a page that has every field that the client reads.
const everything = `{"success":"true","code":200,"message":"a text","requestId":"r-1","totalCount":"1",
	"pageSize":"150","cost":"3 ms","errorDetail":{"code":"CM-RESOAT1111","level":"ERROR"},"data":[{
	"id":"np_1","name":"订单","type":"MIGRATION","owner":"张伟","importance":"COSMIC","status":"RUNNING",
	"labels":[{"id":"l_1","name":"gold"}],
	"gmtCreate":"2025-01-02T03:04:05","gmtModified":"2025-01-02T03:04:06.789","gmtStart":"2025-01-02 03:04:07",
	"gmtFinish":"2025-01-02T03:04:08+08:00","isMerging":"true","isModifying":true,"isSubProject":1,
	"sourceEndpointType":"OB_MYSQL","sinkEndpointType":"DB2_LUW",
	"sourceConnectInfo":{"endpointName":"shop","region":"cn-hangzhou"},
	"sinkConnectInfo":{"endpointName":"shop2","region":"cn_2"},
	"enableStructTransfer":true,"enableFullTransfer":"TRUE","enableFullVerify":"1","enableIncrTransfer":true,
	"enableIncrVerify":true,"enableReverseIncrTransfer":true,
	"steps":[{"order":"4","name":"INCR_TRANSFER","status":"MONITORING","progress":99.5,
	"startTime":"2025-01-02T03:04:09Z","finishTime":"2025-01-02T03:04:10",
	"extraInfo":{"errorDetails":[{"code":"CM-1","level":"FATAL"}],"errorCode":"GHANA-OPERAT000001","failedTime":"2025-01-02T03:04:11"},
	"stepInfo":{"incrTimestampCheckpoint":"1735862400","checkpointSampleTimestamp":1735862400123,
	"processedRecords":7,"capacity":"8","srcRps":1.5,"srcRt":2e0,"srcIops":" 3 ",
	"dstRps":"+4","dstRt":-5,"dstIops":".6"}}],
	"extraInfo":{"errorDetails":[{"code":"CM-2","level":"ERROR"}],"errorCode":"CM_7","failedTime":"2025-01-02T03:04:12","runningStep":"INCR_TRANSFER",
	"runningProgress":"12","sourceStoreKeptHour":168,"syncDelay":"-3","syncDelaySampleTimestamp":"1735862406",
	"incrSyncTimestamp":1735862399},
	"alarmStats":{"alarming":"true","recentlyTriggerCount":"3","ruleToRecentlyTriggerCount":{"oms_sync_delay":"2"}}}]}`

// named are the fields that name somebody or something, with the prefix of their
// stand-ins; and the message, which may name anything.
var named = map[string]string{
	"message": "text_", "requestID": "request_", "projects.ID": "np_", "projects.Name": "task_",
	"projects.Owner": "owner_", "projects.Labels.ID": "l_", "projects.Labels.Name": "tag_",
	"projects.SourceConnectInfo.EndpointName": "endpoint_",
	"projects.SinkConnectInfo.EndpointName":   "endpoint_",
	"projects.SourceConnectInfo.Region":       "region_", "projects.SinkConnectInfo.Region": "region_",
	"projects.AlarmStats.RuleToRecentlyTriggerCount.Rule": "rule_",
}

// unread are the fields of a page that are not those of one field of the document.
var unread = []string{"invalid", "dropped", "notUTF8", "hasData", "verify", "components"}

func TestEverythingThatTheClientReadsStaysOrHasAStandIn(t *testing.T) {
	before := read(t, everything)
	after := read(t, redacted(t, NewRedactor(), everything))
	if len(before.dropped) > 0 || before.invalid > 0 {
		t.Fatalf("the client does not read everything: %v, %d", before.dropped, before.invalid)
	}
	expectSame(t, "", reflect.ValueOf(*before), reflect.ValueOf(*after))
}

// expectSame compares values of any depth, none of which may be zero.
func expectSame(t *testing.T, path string, before, after reflect.Value) {
	t.Helper()
	switch {
	case before.IsZero():
		t.Errorf("%s: add it to the document `everything` above", path)
	case named[path] != "":
		standIn := regexp.MustCompile("^" + named[path] + "[a-z2-7]{16}$")
		if before.String() == after.String() || !standIn.MatchString(after.String()) {
			t.Errorf("%s: %s has the stand-in %s, want %s…", path, before, after, named[path])
		}
	case before.Kind() == reflect.Slice:
		if before.Len() != after.Len() {
			t.Errorf("%s: %d elements, want %d", path, after.Len(), before.Len())
			return
		}
		for i := range before.Len() {
			expectSame(t, path, before.Index(i), after.Index(i))
		}
	case before.Kind() == reflect.Struct && before.Type() != reflect.TypeFor[time.Time]():
		for i := range before.NumField() {
			name := before.Type().Field(i).Name
			if path == "" && slices.Contains(unread, name) {
				continue
			}
			expectSame(t, strings.TrimPrefix(path+"."+name, "."), before.Field(i), after.Field(i))
		}
	case !before.Equal(after):
		t.Errorf("%s: %v, want %v", path, after, before)
	}
}

func read(t *testing.T, document string) *page {
	t.Helper()
	p, err := decodePage(strings.NewReader(document))
	if err != nil {
		t.Fatalf("%v, document:\n%s", err, document)
	}
	return p
}

func TestWhatTheClientDropsIsDroppedAfterwardsToo(t *testing.T) {
	const odd = `{"success":true,"totalCount":"some","data":["np_0",null,7,{"name":"without id"},{"id":"np_1",
		"steps":{"a":1},"labels":["gold"],"isMerging":"perhaps","gmtCreate":"yesterday","gmtStart":1735862400,
		"extraInfo":[],"sourceConnectInfo":"db7","status":{"a":1},"alarmStats":{"alarming":2,
		"ruleToRecentlyTriggerCount":{"SYNC_DELAY":"many"}}},{"id":["np_2"]}]}`
	before := read(t, odd)

	after := read(t, redacted(t, NewRedactor(), odd))

	if len(before.dropped) < 10 || !maps.Equal(before.dropped, after.dropped) {
		t.Errorf("dropped %v, want %v", after.dropped, before.dropped)
	}
	if before.invalid != 5 || after.invalid != before.invalid {
		t.Errorf("%d projects without id, want %d", after.invalid, before.invalid)
	}
}

func TestStandInsAreEqualForEqualTextsOfARecordingOnly(t *testing.T) {
	const ids = 5000
	r, other := NewRedactor(), NewRedactor()
	seen := map[string]bool{}
	for i := range ids {
		document := fmt.Sprintf(`{"data":[{"id":"np_%d"}]}`, i)
		id := read(t, redacted(t, r, document)).projects[0].ID
		if again := read(t, redacted(t, r, document)).projects[0].ID; again != id {
			t.Fatalf("np_%d is %s on one page and %s on another", i, id, again)
		}
		if elsewhere := read(t, redacted(t, other, document)).projects[0].ID; elsewhere == id {
			t.Fatalf("np_%d is %s in another recording too", i, id)
		}
		seen[id] = true
	}
	if len(seen) != ids {
		t.Errorf("%d stand-ins for %d ids", len(seen), ids)
	}
}

// TestNoSecretPasses redacts a document in which every text and every field name
// that may be hidden is a secret.
func TestNoSecretPasses(t *testing.T) {
	const (
		scalars = `["SECRET","Secret-SECRET 7","10.SECRET",13800138000,true,null,{"SECRET":{"SECRET":["SECRET",13800138000]}}]`
		object  = `{"SECRET":"SECRET","inner SECRET":{"SECRET":` + scalars + `,"status":"SECRET","id":"SECRET"},"n":13800138000}`
	)
	var b strings.Builder
	all := func(table *policy, skip ...string) {
		for name, p := range table.members {
			switch {
			case slices.Contains(skip, name):
			case p.shows != nil && p.prefix == "": // SECRET alone would match
				fmt.Fprintf(&b, `%q:"a SECRET",%q:%s,`, name, name, object)
			default:
				fmt.Fprintf(&b, `%q:"SECRET",%q:"is SECRET",%q:13800138000,%q:%s,%q:%s,`,
					name, strings.ToUpper(name), name, name, scalars, name, object)
			}
		}
		fmt.Fprintf(&b, `"futureSECRET":"SECRET","future":13800138000,"f":%s,"g":%s`, scalars, object)
	}
	b.WriteString(`{"data":[{`)
	all(projectFields.shown)
	for _, nested := range []struct {
		list   bool
		name   string
		object *policy
	}{
		{true, "labels", labelFields.shown},
		{true, "steps", stepFields.shown},
		{false, "sourceConnectInfo", connectFields.shown},
		{false, "sinkConnectInfo", connectFields.shown},
		{false, "extraInfo", extraFields.shown},
		{false, "alarmStats", alarmFields.shown},
	} {
		left, right := "{", "}"
		if nested.list {
			left, right = "[{", "}]"
		}
		fmt.Fprintf(&b, `,%q:%s`, nested.name, left)
		all(nested.object, "ruletorecentlytriggercount") // see below
		b.WriteString(right)
	}
	b.WriteString(`,"steps":[{"extraInfo":{`)
	all(failureFields.shown)
	b.WriteString(`},"stepInfo":{`)
	all(stepInfoFields.shown)
	b.WriteString(`}}],"alarmStats":{"ruleToRecentlyTriggerCount":{"SECRET":"a SECRET"}}}],"errorDetail":{`)
	all(errorFields.shown)
	b.WriteString(`},`)
	all(answerFields.shown)
	b.WriteString(`}`)

	got := redacted(t, NewRedactor(), b.String())

	if strings.Count(b.String(), "SECRET") < 1000 {
		t.Fatalf("the document has few secrets:\n%s", b.String())
	}
	for _, secret := range []string{"SECRET", "138001"} {
		if at := strings.Index(got, secret); at >= 0 {
			t.Errorf("%s has passed: …%s", secret, got[max(0, at-200):min(at+20, len(got))])
		}
	}
}

// TestWhatLooksHarmlessHasAStandInToo has names that look like identifiers, codes,
// numbers and addresses, wherever people can choose them; and addresses everywhere.
func TestWhatLooksHarmlessHasAStandInToo(t *testing.T) {
	chosen := []string{"pay-prod-host12", "payProdHost", "PAY_PROD_HOST12", "CANARY", "42713", "10.77.3.142", "cn-canary"}
	const address = "10.77.3.142"
	var document strings.Builder
	object := func(table *policy, inner string, people ...string) string { // choose the values of some
		var b strings.Builder
		for _, name := range people {
			for _, value := range chosen {
				fmt.Fprintf(&b, "%q:%q,", name, value)
			}
		}
		for name := range table.members {
			for _, value := range []string{address, address + " ms", "2026-01-02 " + address, "2026-01-02T" + address + "Z"} {
				fmt.Fprintf(&b, "%q:%q,", name, value)
			}
		}
		return "{" + b.String() + inner + "}"
	}
	rules := ""
	for _, value := range chosen {
		rules += fmt.Sprintf("%q:%q,", value, address)
	}
	document.WriteString(object(answerFields.shown, `"errorDetail":`+object(errorFields.shown, `"n":1`)+`,"data":[`+
		object(projectFields.shown, `"labels":[`+object(labelFields.shown, `"n":1`, "id", "name", "creator")+`],`+
			`"steps":[`+object(stepFields.shown, `"extraInfo":`+object(failureFields.shown, `"n":1`)+
			`,"stepInfo":`+object(stepInfoFields.shown, `"n":1`))+`],`+
			`"sourceConnectInfo":`+object(connectFields.shown, `"n":1`, "id", "endpointName", "endpointId", "username", "region", "owner", "host", "port")+`,"extraInfo":`+object(extraFields.shown, `"n":1`)+
			`,"alarmStats":`+object(alarmFields.shown, `"ruleToRecentlyTriggerCount":{`+rules+`"n":1}`, "target", "alarmContent"),
			"id", "name", "owner", "destConnId")+`]`))

	got := redacted(t, NewRedactor(), document.String())

	for _, canary := range chosen {
		if !strings.Contains(document.String(), canary) {
			t.Fatalf("the document has no %s:\n%s", canary, document.String())
		}
		if at := strings.Index(got, canary); at >= 0 {
			t.Errorf("%s has passed: …%s", canary, got[max(0, at-60):min(at+30, len(got))])
		}
	}
}

func TestCopyRefusesBrokenDocumentsWithoutQuotingThem(t *testing.T) {
	for _, document := range []string{
		``, ` `, `SECRET`, `{"SECRET"}`, `{"SECRET":}`, `{"data":[{"name":SECRET}]}`, `{"id":"SECRET"`, `{"data":["SECRET`,
		`{"SECRET":1]`, `{"data":[1}`, `{"future":{"SECRET":[}}`, `{"future":{1:"SECRET"}}`, `{{"SECRET":1}:2}`,
		`{} SECRET`, `{}{"SECRET":1}`, `{"transferMapping":{SECRET}}`, `{"data":[{"transferMapping":{"SECRET"]}]}`,
		"{\"SECRET\":\"\x00\"}", "\ufeff\ufeff{}", `{"progress":01}`, `{"a":1 "b":2}`, `{"a":1,}`, `[1,]`, `nul`, `<html>SECRET</html>`,
	} {
		var out strings.Builder
		err := NewRedactor().Copy(&out, strings.NewReader(document))
		if err == nil {
			t.Errorf("%q: no error but %s", document, out.String())
		} else if strings.Contains(err.Error()+out.String(), "SECRET") {
			t.Errorf("%q: quoted in the error %q or in %s", document, err, out.String())
		}
	}
}

func TestCopyReportsWhatReaderAndWriterReport(t *testing.T) {
	broken := errors.New("broken")
	given := io.MultiReader(strings.NewReader(`{"data":[`), iotest.ErrReader(broken))
	if err := NewRedactor().Copy(io.Discard, given); !errors.Is(err, broken) {
		t.Errorf("a reader that breaks off: %v, want that it is broken", err)
	}
	reader, writer := io.Pipe()
	_ = reader.CloseWithError(broken)
	if err := NewRedactor().Copy(writer, strings.NewReader(everything)); !errors.Is(err, broken) {
		t.Errorf("a writer that takes nothing: %v, want that it is broken", err)
	}
}

func TestCopyToleratesWhatTheClientTolerates(t *testing.T) {
	given := "{\"SUCCESS\":true,\"Data\":[{\"ID\":\"a\xff\",\"id\":\"b\xff\",\"name\":\"\xff\",\"status\":\"\xff\"," +
		"\"\xff\":1,\"\xff\":2}],\"TotalCount\":1}"
	before := read(t, given)

	got := redacted(t, NewRedactor(), given)

	after := read(t, got)
	if after.success != before.success || after.total != before.total || len(after.projects) != 1 {
		t.Errorf("got %+v, want %+v", after, before)
	}
	for _, name := range []string{`"SUCCESS":`, `"Data":`, `"ID":`, `"id":`, `"TotalCount":`} {
		if !strings.Contains(got, name) {
			t.Errorf("no %s in %s", name, got)
		}
	}
}

// A feed is a document without an end. It notes how much of it had been copied
// when it was read the last time.
type feed struct {
	begin, repeat string
	pieces        int
	written       *counter
	before        counter
}

func (f *feed) Read(b []byte) (int, error) {
	f.before = *f.written
	if f.begin == "" {
		if f.pieces == 0 {
			return 0, io.EOF
		}
		f.pieces--
		f.begin = f.repeat
	}
	n := copy(b, f.begin)
	f.begin = f.begin[n:]
	return n, nil
}

type counter int

func (c *counter) Write(b []byte) (int, error) {
	*c += counter(len(b))
	return len(b), nil
}

func TestCopyWritesWhileItReads(t *testing.T) {
	for name, f := range map[string]*feed{
		"projects":       {begin: `{"data":[{"id":"np_0"}`, repeat: `,{"id":"np_1"}`, pieces: 20_000},
		"unknown values": {begin: `{"future":[{"id":"np_0"}`, repeat: `,{"id":"np_1","x":[1]}`, pieces: 20_000},
	} {
		t.Run(name, func(t *testing.T) {
			f.written = new(counter)

			err := NewRedactor().Copy(f.written, f)

			if err == nil || *f.written < 400_000 || f.before < *f.written-64<<10 {
				t.Errorf("%d of %d bytes were written when the last was read, error %v",
					f.before, *f.written, err)
			}
		})
	}
}

func TestCopyHoldsNoConfiguration(t *testing.T) {
	const most = 8 << 20 // bytes allocated
	configuration := strings.Repeat(`,"databases":[{"name":"shop"}]`, 1000)
	f := &feed{begin: `{"data":[{"transferMapping":{"a":1`, repeat: configuration, pieces: 1000, written: new(counter)}
	size := f.pieces * len(configuration)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)

	err := NewRedactor().Copy(f.written, f)

	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; err == nil || got > most || size < 3*most {
		t.Errorf("%d bytes of memory for a configuration of %d, error %v", got, size, err)
	}
}

func TestARedactorIsSafeForConcurrentUse(t *testing.T) {
	r := NewRedactor()
	want := redacted(t, r, everything)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			var out strings.Builder
			if err := r.Copy(&out, strings.NewReader(everything)); err != nil || strings.TrimSpace(out.String()) != want {
				t.Errorf("error %v and\n%s\nwant\n%s", err, out.String(), want)
			}
		})
	}
	all.Wait()
}

func FuzzRedact(f *testing.F) {
	f.Add([]byte(everything))
	f.Add([]byte(`{"data":[{"labels":[{"name":"delay:30s"}],"future":{"SECRET":["SECRET"]}}]}`))
	f.Add([]byte("{\"Data\":[\"\xff\",{\"ID\":1e9,\"id\":\"\\ud800\"}],\"data\":null}"))
	f.Add([]byte(`[[{"":""}]]`))
	example, err := os.ReadFile("testdata/vendor_example.json")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(example)
	f.Fuzz(func(t *testing.T, document []byte) {
		given, invalid := textsOf(document)
		var out bytes.Buffer

		err := new(Redactor).Copy(&out, bytes.NewReader(document))

		if (err == nil) != (invalid == nil) {
			t.Fatalf("error %v, and the document is %v", err, invalid)
		}
		if err != nil {
			return
		}
		texts, invalid := textsOf(out.Bytes())
		if invalid != nil {
			t.Fatalf("%v:\n%s", invalid, out.Bytes())
		}
		for text := range texts {
			if !maySurvive(text) && (given[text] || !standIns.MatchString(text)) {
				t.Errorf("%q has passed", text)
			}
		}
		before, beforeErr := decodePage(bytes.NewReader(document))
		after, afterErr := decodePage(&out)
		if (beforeErr == nil) != (afterErr == nil) || beforeErr == nil && before.elements() != after.elements() {
			t.Errorf("%d elements and error %v, want %d and %v", after.elements(), afterErr, before.elements(), beforeErr)
		}
	})
}

// textsOf returns the texts and field names of a document, or why it is not one.
func textsOf(document []byte) (map[string]bool, error) {
	d := jsontext.NewDecoder(bytes.NewReader(document),
		jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	texts := map[string]bool{}
	for ended := false; ; ended = d.StackDepth() == 0 {
		token, err := d.ReadToken()
		switch {
		case ended && errors.Is(err, io.EOF):
			return texts, nil
		case err != nil:
			return nil, err
		case ended:
			return nil, errors.New("several documents")
		case token.Kind() == '"':
			texts[token.String()] = true
		}
	}
}

var standIns = regexp.MustCompile(
	`^(text|field|region|rule|tag|np|task|l|owner|c|e|endpoint|request|component|table|schema)_[a-z2-7]{16}$`)

// maySurvive reports whether a text may be in a recording: an empty one, the name
// of a known field, or one that a policy shows.
func maySurvive(text string) bool {
	if text == "" {
		return true
	}
	for _, p := range []*policy{figure, enum, code, cost, tag} {
		if p.shows.MatchString(text) {
			return true
		}
	}
	name := string(lower([]byte(text)))
	return slices.ContainsFunc([]*policy{
		answerFields.shown, errorFields.shown, projectFields.shown, labelFields.shown,
		connectFields.shown, stepFields.shown, stepInfoFields.shown, extraFields.shown,
		alarmFields.shown, anyAnswer.members["data"], tableFields.shown, processFields.shown,
	}, func(object *policy) bool { return object.members[name] != nil })
}
