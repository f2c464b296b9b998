package omsclient

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"reflect"
	"testing"
	"testing/iotest"
	"unicode/utf8"
)

func FuzzDecodePage(f *testing.F) {
	example, err := os.ReadFile("testdata/vendor_example.json")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(example)
	for _, seed := range []string{
		``,
		`null`,
		`{}`,
		`{"success":false,"code":500,"errorDetail":{"code":"X"},"requestId":"r"}`,
		`{"Success":"true","TOTALCOUNT":"1e400","data":[{"ID":1},null,"x",{"id":{}},{"id":"a"}]}`,
		`{"data":[{"id":"a","steps":[{"stepInfo":{"incrTimestampCheckpoint":"1735862400000"}}]}]}`,
		`{"data":[{"id":"a","gmtCreate":"2025-01-02 03:04:05.5","labels":{},"extraInfo":[[]]}]}`,
		`{"data":[{"id":"a","alarmStats":{"ruleToRecentlyTriggerCount":{"b":"2","a":1,"a":3}}}]}`,
		`{"data":[{"id":"a"}],"data":null,"data":{"id":"b"}}`,
		"{\"data\":[{\"id\":\"\xff\\ud800\"}]} ",
		`{"data":[{"id":"a"}]}{}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, document []byte) {
		p, err := decodePage(bytes.NewReader(document))

		checkPage(t, p)
		again, errAgain := decodePage(iotest.HalfReader(bytes.NewReader(document)))
		if !reflect.DeepEqual(p, again) || (err == nil) != (errAgain == nil) {
			t.Errorf("%+v (%v) the first time, %+v (%v) the second", p, err, again, errAgain)
		}
		document = bytes.TrimPrefix(document, []byte("\xef\xbb\xbf"))
		object := json.Valid(document) && bytes.HasPrefix(bytes.TrimLeft(document, " \t\r\n"), []byte("{"))
		deep := bytes.Count(document, []byte("{"))+bytes.Count(document, []byte("[")) > 5000
		if object != (err == nil) && !deep {
			t.Errorf("error %v, but for encoding/json it is a valid object: %t", err, object)
		}
	})
}

// checkPage checks what holds for every page, even one that could not be read to
// its end.
func checkPage(t *testing.T, p *page) {
	t.Helper()
	if p.invalid < 0 {
		t.Errorf("%d invalid elements", p.invalid)
	}
	checkTexts(t, reflect.ValueOf(*p))
	for i := range p.projects {
		project := &p.projects[i]
		if project.ID == "" || utf8.RuneCountInString(project.ID) >= MaxText {
			t.Errorf("id %q", project.ID)
		}
		if len(project.Labels) > MaxLabels || len(project.Steps) > MaxSteps ||
			len(project.AlarmStats.RuleToRecentlyTriggerCount) > MaxRules {
			t.Errorf("a list of project %q is too long", project.ID)
		}
	}
	for field, n := range p.dropped {
		if n < 1 || field == "" {
			t.Errorf("%q was dropped %d times", field, n)
		}
	}
}

// checkTexts checks that every text in a value is valid and bounded, and every
// number finite.
func checkTexts(t *testing.T, v reflect.Value) {
	t.Helper()
	switch v.Kind() {
	case reflect.String:
		if s := v.String(); !utf8.ValidString(s) || utf8.RuneCountInString(s) > MaxText {
			t.Errorf("text %q", s)
		}
	case reflect.Float64:
		if n := v.Float(); math.IsNaN(n) || math.IsInf(n, 0) {
			t.Errorf("number %v", n)
		}
	case reflect.Struct:
		for _, field := range v.Fields() {
			checkTexts(t, field)
		}
	case reflect.Slice:
		for i := range v.Len() {
			checkTexts(t, v.Index(i))
		}
	}
}

func TestTheWireNamesEachFieldOnce(t *testing.T) {
	checkNames(t, answerFields)
	checkNames(t, errorFields)
	checkNames(t, projectFields)
	checkNames(t, labelFields)
	checkNames(t, connectFields)
	checkNames(t, stepFields)
	checkNames(t, stepInfoFields)
	checkNames(t, failureFields)
	checkNames(t, extraFields)
	checkNames(t, alarmFields)
	checkNames(t, verifyFields)
	checkNames(t, tableFields)
	checkNames(t, componentFields)
	checkNames(t, processFields)
}

func checkNames[T any](t *testing.T, o *object[T]) {
	t.Helper()
	seen := map[string]bool{}
	for _, f := range o.fields {
		if seen[f.name] {
			t.Errorf("%s is in the table twice", f.name)
		}
		seen[f.name] = true
	}
}
