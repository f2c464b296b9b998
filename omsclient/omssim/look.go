package omssim

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"slices"
	"strings"
	"time"
)

// The actions. All but the first are about a single task.
const (
	actionList       = "ListProjects"
	actionVerify     = "ListProjectFullVerifyResult"
	actionComponents = "DescribeProjectComponents"
)

// detailActions says how each action about a single task is answered.
var detailActions = map[string]func(w *renderer, t *task, st *state) apiFailure{
	actionVerify:     (*renderer).verifyResult,
	actionComponents: (*renderer).components,
}

// AnswerName is the name of a recorded answer about a task, without ".json".
func AnswerName(action, taskID string) string { return action + "." + taskID }

// ReadAnswers reads the recorded answers about single tasks, for [Options]. They are
// the files ACTION.ID.json at the root of a file system. There may be none.
func ReadAnswers(fsys fs.FS) (map[string]string, error) {
	answers := map[string]string{}
	for action := range detailActions {
		files, err := fs.Glob(fsys, action+".*.json")
		if err != nil {
			return nil, err
		}
		for _, file := range files {
			answer, err := fs.ReadFile(fsys, file)
			if err != nil {
				return nil, err
			}
			if !json.Valid(answer) {
				return nil, fmt.Errorf("%s is not a JSON document", file)
			}
			answers[strings.TrimSuffix(file, ".json")] = string(answer)
		}
	}
	return answers, nil
}

// describe answers a request about a single task.
func (s *Server) describe(
	w http.ResponseWriter, r *http.Request, action, id string, started time.Time,
) {
	s.mu.Lock()
	effects := take(s.faults, action, 0)
	s.mu.Unlock()
	l := &listing{shown: 1}
	l.query.pageNumber = 1
	send := sendWhole
	for _, e := range effects {
		switch {
		case e.answer != nil:
			e.answer(w, r)
			return
		case e.content != nil:
			e.content(l)
		case e.send != nil:
			send = e.send
		}
	}
	if l.failure.code != "" {
		s.fail(w, r, http.StatusOK, l.failure)
		return
	}
	doc, failure := s.detail(l, action, id, time.Since(started).Milliseconds())
	if failure.code != "" {
		s.fail(w, r, http.StatusOK, failure)
		return
	}
	for _, e := range effects {
		if e.document != nil {
			doc = e.document(doc)
		}
	}
	s.deliver(w, r, doc, send)
}

// detail renders an answer about a single task.
func (s *Server) detail(l *listing, action, id string, cost int64) ([]byte, apiFailure) {
	if doc, ok := s.options.Answers[AnswerName(action, id)]; ok {
		return []byte(doc), apiFailure{}
	}
	i := slices.IndexFunc(s.fleet.tasks, func(t task) bool { return t.id == id })
	if i < 0 {
		return nil, apiFailure{"GHANA-OPERAT000101", "项目不存在 " + id}
	}
	var st state
	t := &s.fleet.tasks[i]
	t.stateAt(sampleBefore(s.options.Now()), &st)
	w := &renderer{}
	w.style = s.options.Style
	w.begin('{')
	s.head(&w.wire, l)
	w.string("cost", fmt.Sprintf("%d ms", cost))
	var failure apiFailure
	switch {
	case l.dataMissing:
	case l.dataNull:
		w.null("data")
	default:
		failure = detailActions[action](w, t, &st)
	}
	w.end('}')
	return w.buf, failure
}

// decodeSubject returns the id of the task that a request is about.
func decodeSubject(body io.Reader) (string, error) {
	var asked struct {
		ID        string `json:"id"`
		ProjectID string `json:"projectId"`
	}
	if err := json.NewDecoder(io.LimitReader(body, maxBody)).Decode(&asked); err != nil {
		return "", err
	}
	if asked.ID+asked.ProjectID == "" {
		return "", errors.New("no id")
	}
	return asked.ID + asked.ProjectID, nil
}

// A verdict is what OMS says about a verification that is done.
type verdict int

const (
	verdictCount   verdict = iota // how many records differ
	verdictNull                   // null instead of a number
	verdictRefused                // success false
)

// verifyResult writes totalCount and data of the result of a verification.
func (w *renderer) verifyResult(t *task, st *state) apiFailure {
	p := st.find(roleVerify)
	begun := p != nil && p.start != 0
	if begun && st.verdict == verdictRefused {
		return apiFailure{"GHANA-OPERAT000201", "校验结果尚未生成，请稍后重试"}
	}
	tables := int64(0)
	if begun {
		tables = 1 + int64(t.hash%400)
	}
	w.int("totalCount", tables)
	w.object("data")
	if !begun || st.verdict == verdictNull {
		w.null("differentNumber")
	} else {
		w.int("differentNumber", st.differs)
	}
	w.array("fullVerifyTableStatistics")
	if begun {
		w.begin('{')
		w.string("sourceTableName", "CUSTOMERS")
		w.string("sourceSchemaName", "TRADE_"+strings.ToUpper(t.id[3:7]))
		w.string("destSchemaName", "TRADE_"+strings.ToUpper(t.id[3:7]))
		w.int("sourceOnlyCount", st.differs)
		w.int("destOnlyCount", 0)
		w.int("mismatchedCount", 0)
		w.int("consistentCount", 200)
		w.string("progress", "1.0")
		w.string("message", "Consistent")
		w.string("status", finished)
		w.string("resultType", "CONSISTENT")
		w.string("resultDesc", "一致")
		w.null("errorDetails")
		w.end('}')
	}
	w.end(']')
	w.end('}')
	return apiFailure{}
}

// components writes the components of a task.
func (w *renderer) components(t *task, st *state) apiFailure {
	w.null("totalCount")
	w.object("data")
	w.stores("storeList", t, st, st.find(roleIncr))
	w.stores("reverseStoreList", t, st, st.find(roleReverse))
	w.processes("fullVerifyComponents", t, st.find(roleVerify), "DONE")
	w.processes("fullImportComponents", t, st.find(roleCopy), finished)
	w.processes("incrSyncComponents", t, st.find(roleIncr), finished)
	w.processes("reverseIncrSyncComponents", t, st.find(roleReverse), finished)
	w.end('}')
	return apiFailure{}
}

// stores writes the store that an incremental step reads from.
func (w *renderer) stores(key string, t *task, st *state, p *step) {
	if p == nil || p.start == 0 {
		w.null(key)
		return
	}
	delay, status := p.delay(), "ACTIVE"
	switch {
	case st.storeDead:
		status = "UNEXPECTED_EXIT"
	case st.applySlow:
		delay = min(delay, 1+int64(t.hash%3))
	}
	w.array(key)
	w.begin('{')
	w.string("name", t.source.host+"-7100:"+t.id+":0000000003")
	w.string("ip", "192.0.2.17")
	w.string("type", "MySQL")
	w.string("region", t.source.region)
	w.string("topic", t.source.kind+"_"+t.id)
	w.int("tps", int64(t.hash%50))
	w.int("delay", delay)
	w.int("gmt", p.sample)
	w.int("conn", 1)
	w.string("status", status)
	w.null("errorDetails")
	w.bool("toSwitch", false)
	w.int("port", 17000)
	w.object("config")
	w.string("mysql2store.master.host", t.source.host)
	w.string("mysql2store.master.username", "root")
	w.string("mysql2store.master.password", "******")
	w.end('}')
	w.string("errMsg", "[Tue Aug  1 14:44:17 2023] DRC_500:Store "+t.id+" started successfully\n")
	w.end('}')
	w.end(']')
}

// processes writes the component that works for a step.
func (w *renderer) processes(key string, t *task, p *step, done string) {
	if p == nil || p.start == 0 {
		w.null(key)
		return
	}
	status := running
	switch {
	case p.failed:
		status = "EXCEPTION"
	case p.finish != 0, p.scan.capacity > 0 && p.progress == 100:
		status = done
	case p.status == suspended:
		status = "STOP"
	}
	w.array(key)
	w.begin('{')
	w.string("region", t.sink.region)
	w.string("name", t.sink.host+"-9000:connector_v2:"+t.id+":0000000004")
	w.string("ip", "192.0.2.18")
	w.string("identity", t.id)
	w.int("progress", p.progress)
	w.string("status", status)
	if p.sample != 0 {
		w.time("checkpoint", p.checkpoint)
		w.int("tps", int64(t.hash%50))
		w.int("delay", p.delay())
		w.int("checkpointSampleTimestamp", p.sample)
	}
	w.object("config")
	w.object("sink")
	w.string("jdbcUrl", "jdbc:mysql://"+t.sink.host+":2883?useUnicode=true")
	w.string("username", "user_1")
	w.string("password", "******")
	w.end('}')
	w.end('}')
	w.null("errorDetails")
	w.end('}')
	w.end(']')
}

func stateVerifiedDiffers(t *task, st *state) {
	stateReady(t, st)
	st.differs = 1 + int64(t.hash%1000)
}

func stateVerifiedUnknown(t *task, st *state) {
	stateReady(t, st)
	st.verdict = verdictNull
	if t.hash%2 == 0 {
		st.verdict = verdictRefused
	}
}

// stateVerifiedApart is a verification whose migration is another task.
func stateVerifiedApart(t *task, st *state) {
	l := life{task: t, start: t.started()}
	l.live(st)
	over := l.verifyEnd()
	for i := range st.steps {
		st.steps[i].close(over)
	}
	st.status, st.finish, st.change = finished, over, over
}

func stateStoreDead(t *task, st *state) {
	t.live(st)
	position, _ := t.cycle(st.at, 3*hour)
	st.step(roleIncr).lag(slump{from: 600, until: 9600, loses: 100, gains: 1500}.lag(position))
	st.storeDead = position >= 600 && position < 9600
}

func stateSlowApply(t *task, st *state) {
	t.live(st)
	position, _ := t.cycle(st.at, 2*hour)
	st.step(roleIncr).lag(slump{from: 600, until: 3900, loses: 90, gains: 300}.lag(position))
	st.applySlow = true
}
