package omsclient_test

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"oms_exporter/omsclient"
)

// read lists a single page with the given body.
func read(t *testing.T, body string) ([]omsclient.Project, omsclient.Report) {
	t.Helper()
	c := newClientOver(t, answers(answer{body: body}), omsclient.Options{})
	projects, report, err := list(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return projects, report
}

// readOne lists one project that has the id np_1 and the given fields. It returns
// the project and what was dropped.
func readOne(t *testing.T, members string) (omsclient.Project, map[string]int) {
	t.Helper()
	projects, report := read(t, `{"success":true,"data":[{"id":"np_1",`+members+`}]}`)
	if len(projects) != 1 {
		t.Fatalf("%d projects and %d invalid, want one: %s", len(projects), report.Invalid, members)
	}
	return projects[0], report.Dropped
}

// utc parses a time as OMS formats it.
func utc(t *testing.T, text string) time.Time {
	t.Helper()
	instant, err := time.Parse("2006-01-02T15:04:05", text)
	if err != nil {
		t.Fatal(err)
	}
	return instant
}

func TestTheVendorsExampleReadsTheSameInNativeTypes(t *testing.T) {
	example, err := os.ReadFile("testdata/vendor_example.json")
	if err != nil {
		t.Fatal(err)
	}
	native := strings.NewReplacer(
		`"true"`, `true`, `"1"`, `1`, `"5"`, `5`, `"2883"`, `2883`,
		`"151"`, `1`, // the example has only one of the 151 projects
	).Replace(string(example))
	quoted := strings.Replace(string(example), `"151"`, `"1"`, 1)
	want := omsclient.Project{
		ID: "np_4w****", Name: "j_oms4****9_56_obo", Type: "MIGRATION", Owner: "oms_api_te***",
		Importance: "LOW", Status: "RUNNING",
		Labels:             []omsclient.Label{{ID: "l_***", Name: "boq***"}},
		GmtCreate:          utc(t, "2023-07-13T06:26:15"),
		GmtModified:        utc(t, "2023-07-13T07:01:27"),
		GmtStart:           utc(t, "2023-07-13T07:01:27"),
		IsMerging:          omsclient.Some(false),
		IsModifying:        omsclient.Some(false),
		IsSubProject:       omsclient.Some(false),
		SourceEndpointType: "OB_MYSQL", SinkEndpointType: "MYSQL",
		SourceConnectInfo: omsclient.ConnectInfo{
			EndpointName: "ration12****0obmysql4116892***", Region: "cn-beijing",
		},
		SinkConnectInfo: omsclient.ConnectInfo{
			EndpointName: "ation129***9apimysql5616****", Region: "cn-anhui",
		},
		EnableFullTransfer:        omsclient.Some(true),
		EnableFullVerify:          omsclient.Some(true),
		EnableIncrTransfer:        omsclient.Some(true),
		EnableReverseIncrTransfer: omsclient.Some(true),
		Steps: []omsclient.Step{{
			Order: omsclient.Some(1.0), Name: "TRANSFER_PRECHECK", Status: "FINISHED",
			Progress: omsclient.Some(100.0),
		}},
		AlarmStats: omsclient.AlarmStats{Alarming: omsclient.Some(false)},
	}

	for name, body := range map[string]string{"as printed": quoted, "native": native} {
		got, report := read(t, body)

		checkEqual(t, name, got, []omsclient.Project{want})
		checkEqual(t, name+": Dropped", report.Dropped, map[string]int{})
		checkEqual(t, name+": Total", report.Total, omsclient.Some(1.0))
		checkEqual(t, name+": RequestID", report.Requests[0].RequestID, "e8dec2fe-40****")
	}
}

// everything has every field that the client reads, each with another value.
const everything = `{"success":true,"requestId":"r-9","pageSize":150,"totalCount":1,"data":[{
	"id":"np_9","name":"orders","type":"SYNC","owner":"ops","importance":"HIGH","status":"FAILED",
	"labels":[{"id":"l_1","name":"gold"},{"id":"l_2","name":"site A"}],
	"gmtCreate":"2025-01-02T03:04:01","gmtModified":"2025-01-02T03:04:02",
	"gmtStart":"2025-01-02T03:04:03","gmtFinish":"2025-01-02T03:04:04",
	"isMerging":true,"isModifying":false,"isSubProject":true,
	"sourceEndpointType":"ORACLE","sinkEndpointType":"KAFKA",
	"sourceConnectInfo":{"endpointName":"source","region":"r1","host":"192.0.2.1","port":1521},
	"sinkConnectInfo":{"endpointName":"sink","region":"r2","username":"u","owner":"o"},
	"enableStructTransfer":true,"enableFullTransfer":false,"enableFullVerify":true,
	"enableIncrTransfer":false,"enableIncrVerify":true,"enableReverseIncrTransfer":false,
	"steps":[{"order":4,"name":"FULL_VERIFIER","description":"Verify","status":"RUNNING",
		"progress":37.5,"startTime":"2025-01-02T03:04:05","finishTime":"2025-01-02T03:04:06",
		"extraInfo":{"errorCode":"E1","errorMsg":"row 7","failedTime":"2025-01-02T03:04:07",
			"errorDetails":[{"code":"CM-RESOAT000011","level":"ERROR","message":"row 7","proposal":"row 7"},{"code":"CM-SCHE000001"}]},
		"stepInfo":{"incrTimestampCheckpoint":1735787048,"checkpointSampleTimestamp":1735787049,
			"processedRecords":1,"capacity":2,"srcRps":4,"srcRt":5.5,
			"srcIops":6,"dstRps":7,"dstRt":8.5,"dstIops":9,"srcRpsRef":4000}}],
	"extraInfo":{"errorCode":"E2","errorDetails":[{"code":"N2","level":"FATAL"}],"failedTime":"2025-01-02T03:04:10","runningStep":"FULL_VERIFIER",
		"runningProgress":37,"sourceStoreKeptHour":168,"syncDelay":-2,
		"syncDelaySampleTimestamp":1735787051,"incrSyncTimestamp":1735787052},
	"alarmStats":{"target":"np_9","alarming":true,"recentlyTriggerCount":13,
		"ruleToRecentlyTriggerCount":{"oms_migration_delay":11,"oms_a_failed":2}}}]}`

func everythingRead(t *testing.T) omsclient.Project {
	t.Helper()
	second := func(n int) time.Time { return utc(t, "2025-01-02T03:04:00").Add(time.Duration(n) * time.Second) }
	return omsclient.Project{
		ID: "np_9", Name: "orders", Type: "SYNC", Owner: "ops", Importance: "HIGH", Status: "FAILED",
		Labels:    []omsclient.Label{{ID: "l_1", Name: "gold"}, {ID: "l_2", Name: "site A"}},
		GmtCreate: second(1), GmtModified: second(2), GmtStart: second(3), GmtFinish: second(4),
		IsMerging: omsclient.Some(true), IsModifying: omsclient.Some(false),
		IsSubProject:       omsclient.Some(true),
		SourceEndpointType: "ORACLE", SinkEndpointType: "KAFKA",
		SourceConnectInfo:         omsclient.ConnectInfo{EndpointName: "source", Region: "r1"},
		SinkConnectInfo:           omsclient.ConnectInfo{EndpointName: "sink", Region: "r2"},
		EnableFullTransfer:        omsclient.Some(false),
		EnableFullVerify:          omsclient.Some(true),
		EnableIncrTransfer:        omsclient.Some(false),
		EnableReverseIncrTransfer: omsclient.Some(false),
		Steps: []omsclient.Step{{
			Order: omsclient.Some(4.0), Name: "FULL_VERIFIER", Status: "RUNNING",
			Progress: omsclient.Some(37.5), StartTime: second(5), FinishTime: second(6),
			ExtraInfo: omsclient.Failure{
				ErrorCode: "E1", FailedTime: second(7),
				ErrorDetails: []omsclient.ErrorDetail{
					{Code: "CM-RESOAT000011", Level: "ERROR"}, {Code: "CM-SCHE000001"},
				},
			},
			StepInfo: omsclient.StepInfo{
				IncrTimestampCheckpoint: second(8), CheckpointSampleTimestamp: second(9),
				ProcessedRecords: omsclient.Some(1.0), Capacity: omsclient.Some(2.0),
				SrcRps: omsclient.Some(4.0), SrcRt: omsclient.Some(5.5), SrcIops: omsclient.Some(6.0),
				DstRps: omsclient.Some(7.0), DstRt: omsclient.Some(8.5), DstIops: omsclient.Some(9.0),
			},
		}},
		ExtraInfo: omsclient.ExtraInfo{
			Failure: omsclient.Failure{
				ErrorCode: "E2", FailedTime: second(10),
				ErrorDetails: []omsclient.ErrorDetail{{Code: "N2", Level: "FATAL"}},
			},
			RunningStep: "FULL_VERIFIER", RunningProgress: omsclient.Some(37.0),
			SourceStoreKeptHour: omsclient.Some(168.0), SyncDelay: omsclient.Some(-2.0),
			SyncDelaySampleTimestamp: second(11), IncrSyncTimestamp: second(12),
		},
		AlarmStats: omsclient.AlarmStats{
			Alarming: omsclient.Some(true), RecentlyTriggerCount: omsclient.Some(13.0),
			RuleToRecentlyTriggerCount: []omsclient.RuleCount{
				{Rule: "oms_a_failed", Count: 2}, {Rule: "oms_migration_delay", Count: 11},
			},
		},
	}
}

func TestEveryFieldIsRead(t *testing.T) {
	got, report := read(t, everything)

	checkEqual(t, "projects", got, []omsclient.Project{everythingRead(t)})
	checkEqual(t, "Dropped", report.Dropped, map[string]int{})
}

// recase rewrites the keys of a document, which all begin with a letter.
func recase(document string, rewrite func(string) string) string {
	parts := strings.Split(document, `"`)
	for i := 1; i+1 < len(parts); i += 2 {
		if strings.HasPrefix(parts[i+1], ":") && !strings.HasPrefix(parts[i], "oms_") {
			parts[i] = rewrite(parts[i])
		}
	}
	return strings.Join(parts, `"`)
}

func TestKeysMayBeInAnyLetterCaseAtEveryLevel(t *testing.T) {
	for name, rewrite := range map[string]func(string) string{
		"PascalCase": func(key string) string { return strings.ToUpper(key[:1]) + key[1:] },
		"UPPER CASE": strings.ToUpper,
		"lower case": strings.ToLower,
	} {
		t.Run(name, func(t *testing.T) {
			document := recase(everything, rewrite)
			if document == everything {
				t.Fatal("no key was rewritten")
			}

			got, report := read(t, document)

			checkEqual(t, "projects", got, []omsclient.Project{everythingRead(t)})
			checkEqual(t, "RequestID", report.Requests[0].RequestID, "r-9")
			checkEqual(t, "Total", report.Total, omsclient.Some(1.0))
		})
	}
}

func TestNumbersAreReadInAnyForm(t *testing.T) {
	for value, want := range map[string]omsclient.Optional[float64]{
		`7`:          omsclient.Some(7.0),
		`"7"`:        omsclient.Some(7.0),
		`" 7 "`:      omsclient.Some(7.0),
		`-7.25`:      omsclient.Some(-7.25),
		`"-7.25"`:    omsclient.Some(-7.25),
		`7e3`:        omsclient.Some(7000.0),
		`"7E3"`:      omsclient.Some(7000.0),
		`0`:          omsclient.Some(0.0),
		`"0"`:        omsclient.Some(0.0),
		`"\u0037"`:   omsclient.Some(7.0),
		`null`:       {},
		`""`:         {},
		`"  "`:       {},
		`"NaN"`:      {},
		`"Inf"`:      {},
		`"+Inf"`:     {},
		`"-Inf"`:     {},
		`"1e400"`:    {},
		`1e400`:      {},
		`-1e400`:     {},
		`true`:       {},
		`"seven"`:    {},
		`"7 rows"`:   {},
		`"7,000"`:    {},
		`[7]`:        {},
		`{"v":7}`:    {},
		`[]`:         {},
		`{}`:         {},
		`"infinity"`: {},
	} {
		t.Run(value, func(t *testing.T) {
			got, dropped := readOne(t, `"extraInfo":{"syncDelay":`+value+`}`)

			checkEqual(t, "syncDelay", got.ExtraInfo.SyncDelay, want)
			silent := slices.Contains([]string{`null`, `""`, `"  "`}, value)
			checkDropped(t, dropped, "syncDelay", !want.Known && !silent)
		})
	}
}

// checkDropped checks that one value of a field was dropped, or nothing at all.
func checkDropped(t *testing.T, got map[string]int, field string, dropped bool) {
	t.Helper()
	want := map[string]int{}
	if dropped {
		want[field] = 1
	}
	checkEqual(t, "Dropped", got, want)
}

func TestBooleansAreReadInAnyForm(t *testing.T) {
	for value, want := range map[string]omsclient.Optional[bool]{
		`true`:    omsclient.Some(true),
		`"true"`:  omsclient.Some(true),
		`"TRUE"`:  omsclient.Some(true),
		`" true"`: omsclient.Some(true),
		`1`:       omsclient.Some(true),
		`"1"`:     omsclient.Some(true),
		`false`:   omsclient.Some(false),
		`"False"`: omsclient.Some(false),
		`0`:       omsclient.Some(false),
		`"0"`:     omsclient.Some(false),
		`null`:    {},
		`""`:      {},
		`"yes"`:   {},
		`2`:       {},
		`[true]`:  {},
		`{}`:      {},
	} {
		t.Run(value, func(t *testing.T) {
			got, dropped := readOne(t, `"isMerging":`+value)

			checkEqual(t, "isMerging", got.IsMerging, want)
			checkDropped(t, dropped, "isMerging", !want.Known && value != `null` && value != `""`)
		})
	}
}

func TestTextsAreReadInAnyForm(t *testing.T) {
	for value, want := range map[string]struct {
		text    string
		dropped bool
	}{
		`"RUNNING"`:           {"RUNNING", false},
		`"SOME_NEW_STATE"`:    {"SOME_NEW_STATE", false},
		`"数据迁移"`:              {"数据迁移", false},
		`"\u6570\u636e"`:      {"数据", false},
		`"\ud83d\ude00"`:      {"😀", false},
		`"a\tb\"\\\/"`:        {"a\tb\"\\/", false},
		`" "`:                 {" ", false},
		`"\ud83d"`:            {"\uFFFD", false},
		`"\ude00x"`:           {"\uFFFDx", false},
		`"\ud83d\ud83d"`:      {"\uFFFD\uFFFD", false},
		"\"a\xffb\"":          {"a\uFFFDb", false},
		"\"a\xc3\"":           {"a\uFFFD", false},
		"\"\xed\xa0\x80\"":    {"\uFFFD\uFFFD\uFFFD", false}, // a surrogate in UTF-8
		`200`:                 {"200", false},
		`-1.5e3`:              {"-1.5e3", false},
		`true`:                {"true", false},
		`null`:                {"", false},
		`""`:                  {"", false},
		`{"v":"RUNNING"}`:     {"", true},
		`["RUNNING",["x",1]]`: {"", true},
		`{}`:                  {"", true},
	} {
		t.Run(value, func(t *testing.T) {
			got, dropped := readOne(t, `"status":`+value)

			checkEqual(t, "status", got.Status, want.text)
			checkDropped(t, dropped, "status", want.dropped)
		})
	}
}

func TestTextsAreCutByRune(t *testing.T) {
	for name, letter := range map[string]string{
		"Latin": "x", "Chinese": "迁", "emoji": "😀", "escaped": `\u8fc1`, "invalid": "\xff",
	} {
		t.Run(name, func(t *testing.T) {
			for _, n := range []int{omsclient.MaxText, omsclient.MaxText + 1, 5000} {
				got, dropped := readOne(t, `"name":"`+strings.Repeat(letter, n)+`"`)

				if !utf8.ValidString(got.Name) {
					t.Errorf("%d letters: %q is not UTF-8", n, got.Name)
				}
				checkEqual(t, "runes", utf8.RuneCountInString(got.Name), omsclient.MaxText)
				checkDropped(t, dropped, "name", n > omsclient.MaxText)
			}
		})
	}
	t.Run("each is counted", func(t *testing.T) {
		long := `"` + strings.Repeat("x", 300) + `"`
		_, dropped := readOne(t, `"name":`+long+`,"labels":[{"name":`+long+`},{"name":`+long+`}]`)

		checkEqual(t, "Dropped", dropped, map[string]int{"name": 3})
	})
	t.Run("the cut is at a rune", func(t *testing.T) {
		got, _ := readOne(t, `"name":"`+strings.Repeat("迁", 300)+`"`)

		checkEqual(t, "name", got.Name, strings.Repeat("迁", 256))
	})
}

func TestTimesAreReadInAnyForm(t *testing.T) {
	instant := utc(t, "2025-01-02T03:04:05")
	for value, want := range map[string]time.Time{
		`"2025-01-02T03:04:05"`:           instant,
		`"2025-01-02T03:04:05Z"`:          instant,
		`"2025-01-02T03:04:05.250"`:       instant.Add(250 * time.Millisecond),
		`"2025-01-02T03:04:05.250Z"`:      instant.Add(250 * time.Millisecond),
		`"2025-01-02T11:04:05+08:00"`:     instant,
		`"2025-01-01T22:04:05.000-05:00"`: instant,
		`"2025-01-02 03:04:05"`:           instant,
		`"2025-01-02 03:04:05.5"`:         instant.Add(500 * time.Millisecond),
		`" 2025-01-02T03:04:05 "`:         instant,
		`"2024-02-29T00:00:00"`:           utc(t, "2024-02-29T00:00:00"),
		`null`:                            {},
		`""`:                              {},
		`" "`:                             {},
		`"yesterday"`:                     {},
		`"2025-02-30T03:04:05"`:           {},
		`"2025/06/07 08:09:10.123 +0800"`: {},
		`"2025-01-02T03:04:05 and more"`:  {},
		`1735787045`:                      {},
		`true`:                            {},
		`{"time":"2025-01-02T03:04:05"}`:  {},
		`["2025-01-02T03:04:05"]`:         {},
		`"2025-01-02T03:04:05\u0000"`:     {},
		`"99999-01-02T03:04:05"`:          {},
	} {
		t.Run(value, func(t *testing.T) {
			got, dropped := readOne(t, `"gmtCreate":`+value)

			if !got.GmtCreate.Equal(want) {
				t.Errorf("got %v, want %v", got.GmtCreate, want)
			}
			silent := slices.Contains([]string{`null`, `""`, `" "`}, value)
			checkDropped(t, dropped, "gmtCreate", want.IsZero() && !silent)
		})
	}
}

func TestCheckpointsAreReadInAnyForm(t *testing.T) {
	instant := time.Unix(1735862400, 0).UTC()
	for value, want := range map[string]time.Time{
		`1735862400`:              instant,
		`"1735862400"`:            instant,
		`1735862400.5`:            instant.Add(500 * time.Millisecond),
		`1.7358624e9`:             instant,
		`1735862400000`:           instant,
		`"1735862400000"`:         instant,
		`1735862400250`:           instant.Add(250 * time.Millisecond),
		`1`:                       time.Unix(1, 0).UTC(),
		`99999999999`:             time.Unix(99999999999, 0).UTC(),
		`0`:                       {},
		`"0"`:                     {},
		`null`:                    {},
		`""`:                      {},
		`-1`:                      {},
		`"mysql-bin.000123,4567"`: {},
		`1735862400000000`:        {}, // microseconds
		`1e300`:                   {},
		`"NaN"`:                   {},
		`{}`:                      {},
	} {
		t.Run(value, func(t *testing.T) {
			got, dropped := readOne(t, `"steps":[{"stepInfo":{"incrTimestampCheckpoint":`+value+`}}]`)

			checkpoint := got.Steps[0].StepInfo.IncrTimestampCheckpoint
			if !checkpoint.Round(time.Millisecond).Equal(want) {
				t.Errorf("got %v, want %v", checkpoint, want)
			}
			if want.IsZero() && !checkpoint.IsZero() {
				t.Errorf("%v is not unknown", checkpoint)
			}
			silent := slices.Contains([]string{`0`, `"0"`, `null`, `""`}, value)
			checkDropped(t, dropped, "incrTimestampCheckpoint", want.IsZero() && !silent)
		})
	}
}

func TestATaskIsListedWhateverItsPartsLookLike(t *testing.T) {
	parts := []string{
		"labels", "steps", "extraInfo", "alarmStats", "sourceConnectInfo", "sinkConnectInfo",
	}
	for value, dropped := range map[string]bool{
		`null`: false, `{}`: false, `[]`: false, `""`: false,
		`"x"`: true, `7`: true, `true`: true, `[7]`: true, `["x"]`: true, `[[]]`: true,
	} {
		for _, part := range parts {
			isList := part == "labels" || part == "steps"
			want := dropped || value == `[]` && !isList
			t.Run(part+" "+value, func(t *testing.T) {
				got, dropped := readOne(t, fmt.Sprintf(`%q:%s,"name":"orders"`, part, value))

				checkEqual(t, "project", got, omsclient.Project{ID: "np_1", Name: "orders"})
				checkDropped(t, dropped, part, want)
			})
		}
	}
	for _, part := range []string{"labels", "steps"} {
		got, dropped := readOne(t, fmt.Sprintf(`%q:{"id":"l_1"}`, part))

		checkEqual(t, "project", got, omsclient.Project{ID: "np_1"})
		checkDropped(t, dropped, part, true)
	}
}

func TestAStepIsListedWhateverItsPartsLookLike(t *testing.T) {
	for value, dropped := range map[string]bool{
		`null`: false, `{}`: false, `""`: false, `{"new":[{}]}`: false, `{"errorCode":null}`: false,
		`"x"`: true, `7`: true, `[]`: true, `[{}]`: true,
	} {
		for _, part := range []string{"extraInfo", "stepInfo"} {
			t.Run(part+" "+value, func(t *testing.T) {
				got, counts := readOne(t, fmt.Sprintf(
					`"steps":[{%q:%s,"name":"INCR_TRANSFER"},null,{}]`, part, value))

				checkEqual(t, "steps", got.Steps, []omsclient.Step{{Name: "INCR_TRANSFER"}, {}})
				checkDropped(t, counts, part, dropped)
			})
		}
	}
}

func TestAlarmRulesAreReadWhateverTheyLookLike(t *testing.T) {
	for value, want := range map[string]struct {
		rules   []omsclient.RuleCount
		dropped int
	}{
		`null`:                    {},
		`{}`:                      {},
		`""`:                      {},
		`[]`:                      {nil, 1},
		`"x"`:                     {nil, 1},
		`{"b":2,"a":"1"}`:         {[]omsclient.RuleCount{{Rule: "a", Count: 1}, {Rule: "b", Count: 2}}, 0},
		`{"a":1,"b":null,"c":""}`: {[]omsclient.RuleCount{{Rule: "a", Count: 1}}, 0},
		`{"a":1,"b":"x","c":{}}`:  {[]omsclient.RuleCount{{Rule: "a", Count: 1}}, 2},
		`{"a":1,"a":2}`:           {[]omsclient.RuleCount{{Rule: "a", Count: 2}}, 0},
		`{"A":1,"a":2}`:           {[]omsclient.RuleCount{{Rule: "A", Count: 1}, {Rule: "a", Count: 2}}, 0},
		`{"":1,"a":0}`:            {[]omsclient.RuleCount{{Rule: "a"}}, 0},
		`{"延迟":1}`:                {[]omsclient.RuleCount{{Rule: "延迟", Count: 1}}, 0},
		`{"a":1},"RULETORECENTLYTRIGGERCOUNT":null`: {},
	} {
		t.Run(value, func(t *testing.T) {
			got, dropped := readOne(t,
				`"alarmStats":{"ruleToRecentlyTriggerCount":`+value+`,"alarming":true}`)

			checkEqual(t, "rules", got.AlarmStats.RuleToRecentlyTriggerCount, want.rules)
			checkEqual(t, "dropped", dropped["ruleToRecentlyTriggerCount"], want.dropped)
			checkEqual(t, "alarming", got.AlarmStats.Alarming, omsclient.Some(true))
		})
	}
}

// repeat joins n elements with commas. In each, %d is its number, from 1.
func repeat(n int, element string) string {
	elements := make([]string, n)
	for i := range elements {
		elements[i] = fmt.Sprintf(element, i+1)
	}
	return strings.Join(elements, ",")
}

func TestListsOfATaskAreBoundedAndTheRestIsCounted(t *testing.T) {
	for _, extra := range []int{0, 1, 1000} {
		t.Run(fmt.Sprint(extra), func(t *testing.T) {
			got, dropped := readOne(t, fmt.Sprintf(
				`"labels":[%s],"steps":[%s],"alarmStats":{"ruleToRecentlyTriggerCount":{%s}}`,
				repeat(omsclient.MaxLabels+extra, `{"id":"l_%d"}`),
				repeat(omsclient.MaxSteps+extra, `{"order":%d,"stepInfo":{"capacity":1}}`),
				repeat(omsclient.MaxRules+extra, `"rule_%04d":1`)))

			want := map[string]int{}
			if extra > 0 {
				want = map[string]int{
					"labels": extra, "steps": extra, "ruleToRecentlyTriggerCount": extra,
				}
			}
			checkEqual(t, "Dropped", dropped, want)
			checkEqual(t, "labels", len(got.Labels), 64)
			checkEqual(t, "last label", got.Labels[63].ID, "l_64")
			checkEqual(t, "steps", len(got.Steps), 64)
			checkEqual(t, "last step", got.Steps[63].Order, omsclient.Some(64.0))
			rules := got.AlarmStats.RuleToRecentlyTriggerCount
			checkEqual(t, "rules", len(rules), 32)
			checkEqual(t, "last rule", rules[31].Rule, "rule_0032")
		})
	}
}

func TestTheLastOfEqualKeysStands(t *testing.T) {
	for members, want := range map[string]omsclient.Project{
		`"name":"a","name":"b"`:                          {ID: "np_1", Name: "b"},
		`"name":"a","Name":"b"`:                          {ID: "np_1", Name: "b"},
		`"name":"a","name":null`:                         {ID: "np_1"},
		`"isMerging":true,"isMerging":null`:              {ID: "np_1"},
		`"id":"np_2"`:                                    {ID: "np_2"},
		`"labels":[{"id":"a"}],"labels":[]`:              {ID: "np_1"},
		`"labels":[{"id":"a"}],"labels":null`:            {ID: "np_1"},
		`"steps":[{}],"steps":[{"name":"x"}]`:            {ID: "np_1", Steps: []omsclient.Step{{Name: "x"}}},
		`"gmtStart":"2025-01-02T03:04:05","gmtStart":""`: {ID: "np_1"},
	} {
		got, _ := readOne(t, members)

		checkEqual(t, members, got, want)
	}

	projects, report := read(t, `{"data":[{"id":"a"},null],"success":false,"success":true,
		"requestId":"r-1","requestId":"r-2","data":[{"id":"b"}]}`)

	checkEqual(t, "projects", projects, []omsclient.Project{{ID: "b"}})
	checkEqual(t, "Invalid", report.Invalid, 0)
	checkEqual(t, "RequestID", report.Requests[0].RequestID, "r-2")
}

func TestAnElementThatIsNoTaskDoesNotCostThePage(t *testing.T) {
	for element, dropped := range map[string]string{
		`"np_1"`:                 "",
		`null`:                   "",
		`7`:                      "",
		`true`:                   "",
		`[]`:                     "",
		`[{"id":"np_1"}]`:        "",
		`{}`:                     "",
		`{"name":"x"}`:           "",
		`{"id":null,"name":"x"}`: "",
		`{"id":"","name":"x"}`:   "",
		`{"id":{"id":"np_1"}}`:   "id",
		`{"id":["np_1"]}`:        "id",
		`{"id":"` + strings.Repeat("x", 256) + `"}`: "",
		`{"id":"` + strings.Repeat("迁", 257) + `"}`: "id",
	} {
		t.Run(fmt.Sprintf("%.30s", element), func(t *testing.T) {
			projects, report := read(t,
				`{"success":true,"totalCount":3,"data":[{"id":"a"},`+element+`,{"id":"b"}]}`)

			checkEqual(t, "projects", projects, []omsclient.Project{{ID: "a"}, {ID: "b"}})
			checkEqual(t, "Invalid", report.Invalid, 1)
			checkEqual(t, "Rows", report.Requests[0].Rows, 3)
			checkEqual(t, "Inconsistent", report.Inconsistent, false)
			checkDropped(t, report.Dropped, dropped, dropped != "")
		})
	}
}

func TestIDsMayBeOfAnyForm(t *testing.T) {
	for value, want := range map[string]string{
		`"np_1"`: "np_1", `12345678901234567890`: "12345678901234567890", `"数据"`: "数据",
		`"` + strings.Repeat("迁", 255) + `"`: strings.Repeat("迁", 255),
	} {
		projects, _ := read(t, `{"success":true,"data":[{"id":`+value+`}]}`)

		checkEqual(t, value, projects, []omsclient.Project{{ID: want}})
	}
}

func TestADocumentThatIsNotJSONFailsThePage(t *testing.T) {
	page := `{"success":true,"totalCount":1,"data":[{"id":"np_1","x":{"y":[1,2,{"z":"a"}]},` +
		`"steps":[{"order":1,"stepInfo":{"capacity":7}}],"labels":[{"id":"l_1"}],` +
		`"alarmStats":{"ruleToRecentlyTriggerCount":{"a":1}},"extraInfo":["a",{"b":1}]}],"cost":"1 ms"}`
	bad := map[string]string{
		"more after it":    page + "{}",
		"a second one":     page + page,
		"a NUL after it":   page + "\x00",
		"two BOMs":         "\uFEFF\uFEFF" + page,
		"a BOM after it":   page + "\uFEFF",
		"infinity":         strings.Replace(page, "7", "Infinity", 1),
		"a NaN":            strings.Replace(page, "7", "NaN", 1),
		"single quotes":    strings.ReplaceAll(page, `"`, `'`),
		"a trailing comma": strings.Replace(page, "[1,2,", "[1,2,,", 1),
		"a comment":        strings.Replace(page, "[1,", "[1,/**/", 1),
		"a leading zero":   strings.Replace(page, "7", "07", 1),
		"a control letter": strings.Replace(page, "ms", "\n", 1),
		"deep arrays":      `{"success":true,"data":` + strings.Repeat("[", 200_000),
		"deep objects":     `{"success":true,"x":` + strings.Repeat(`{"x":`, 200_000),
		"deep and closed": `{"success":true,"data":[{"id":"np_1","labels":` +
			strings.Repeat("[", 200_000) + strings.Repeat("]", 200_000) + `}]}`,
		"deep beyond a bound": `{"success":true,"data":[{"id":"np_1","steps":` +
			strings.Repeat(`{"x":`, 200_000) + "1" + strings.Repeat("}", 200_000) + `}]}`,
	}
	for i := range len(page) {
		bad[fmt.Sprintf("cut at byte %d", i)] = page[:i]
	}
	for name, body := range bad {
		t.Run(name, func(t *testing.T) {
			c := newClientOver(t, answers(answer{body: body}), omsclient.Options{MaxTries: 1})

			got, _, err := list(t.Context(), c)

			e := failure(t, err)
			checkEqual(t, "Reason", e.Reason, omsclient.Decode)
			checkEqual(t, "number of projects", len(got), 0)
			if strings.HasPrefix(name, "cut") {
				checkEqual(t, "cause", fmt.Sprint(e.Err), "the JSON document ends too early")
			}
		})
	}
	if got, _ := read(t, page); len(got) != 1 {
		t.Errorf("the whole document has %d projects, want 1", len(got))
	}
}

func TestUnknownKeysAreSkippedAtEveryLevel(t *testing.T) {
	const unknown = `{"new":{"id":"x","deep":[{"id":["y"]}]},"":null,"数":[[],{}],`
	document := strings.ReplaceAll(everything, "{", unknown)
	document = strings.ReplaceAll(document, // whose keys are data
		`"ruleToRecentlyTriggerCount":`+unknown, `"ruleToRecentlyTriggerCount":{`)

	got, report := read(t, document)

	checkEqual(t, "projects", got, []omsclient.Project{everythingRead(t)})
	checkEqual(t, "Dropped", report.Dropped, map[string]int{})
}

func TestConfigurationOfAnySizeCostsLittleMemory(t *testing.T) {
	const (
		projects = 3
		tables   = 110_000 // of a project
		table    = `{"name":"t","mappedName":"t_ob","columns":["a","b"],"where":"id > 10 and x = 'y'",` +
			`"adbSchema":null,"filter":{"keys":[1,2,3,{"deep":true}]}},`
	)
	thousand := strings.Repeat(table, 1000)
	parts := []io.Reader{strings.NewReader(`{"success":true,"totalCount":4,"data":[`)}
	for i := range projects {
		parts = append(parts,
			strings.NewReader(fmt.Sprintf(`{"id":"np_%d","transferMapping":{"databases":[`, i)))
		for range tables / 1000 {
			parts = append(parts, strings.NewReader(thousand))
		}
		parts = append(parts, strings.NewReader(`{}]}},`))
	}
	parts = append(parts, strings.NewReader(`null]}`))
	c := newClientOver(t, roundTrip(func(*http.Request) (*http.Response, error) {
		response := good.response()
		response.Body = io.NopCloser(io.MultiReader(parts...))
		return response, nil
	}), omsclient.Options{MaxPages: 1})

	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	got, report, err := list(t.Context(), c)
	runtime.ReadMemStats(&after)

	if err != nil {
		t.Fatal(err)
	}
	checkEqual(t, "number of projects", len(got), projects)
	if n := report.Requests[0].Bytes; n < 45_000_000 {
		t.Errorf("read %d bytes only", n)
	}
	if allocated := after.TotalAlloc - before.TotalAlloc; allocated > 2_000_000 {
		t.Errorf("%d bytes were allocated", allocated)
	}
}
