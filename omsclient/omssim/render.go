package omssim

import "cmp"

// A renderer writes tasks as elements of data.
type renderer struct {
	wire
	blobs   string    // the configuration of each task; see the function blobs
	unknown bool      // add keys that no document mentions
	extra   extraForm // of every task, instead of its own, unless it is extraNull
	zone    int64     // seconds that gmt* are ahead of UTC
}

// task writes a task in a state.
func (w *renderer) task(t *task, st *state) {
	w.begin('{')
	w.string("id", t.id)
	w.string("type", t.kind)
	w.string("name", t.name)
	w.labels(t)
	w.string("owner", t.owner)
	w.string("importance", t.importance)
	w.string("status", st.status)
	w.gmt("gmtCreate", t.created)
	if st.changeText != "" {
		w.string("gmtModified", st.changeText)
	} else {
		w.gmt("gmtModified", st.change)
	}
	w.gmt("gmtStart", st.start)
	w.gmt("gmtFinish", st.finish)
	w.null("destConnId")
	w.bool("isMerging", st.merging)
	w.bool("isModifying", st.modifying)
	w.bool("isSubProject", t.subProject)
	w.string("sourceEndpointType", t.source.kind)
	w.string("sinkEndpointType", t.sink.kind)
	w.configuration(t)
	w.endpoint("sourceConnectInfo", t, &t.source)
	w.endpoint("sinkConnectInfo", t, &t.sink)
	w.array("steps")
	for i := range st.steps {
		w.step(t, st, &st.steps[i])
	}
	w.end(']')
	w.extraInfo(t, st)
	w.alarmStats(t, st)
	if w.unknown {
		w.unknownFields()
	}
	w.end('}')
}

// gmt writes a time of a task, which OMS may have in a time zone of its own.
func (w *renderer) gmt(key string, unix int64) {
	if unix != 0 {
		unix += w.zone
	}
	w.time(key, unix)
}

func (w *renderer) labels(t *task) {
	w.array("labels")
	for _, l := range t.labels {
		w.begin('{')
		w.string("id", l.id)
		w.string("name", l.name)
		w.end('}')
	}
	w.end(']')
}

func (w *renderer) configuration(t *task) {
	copies := t.kind != verification
	w.bool("enableStructTransfer", t.structTransfer)
	w.bool("enableFullTransfer", copies)
	w.bool("enableFullVerify", t.fullVerify)
	w.bool("enableIncrTransfer", copies)
	w.bool("enableIncrVerify", t.incrVerify)
	w.bool("enableReverseIncrTransfer", t.reverse)
	w.comma()
	w.buf = append(w.buf, w.blobs...)
}

func (w *renderer) endpoint(key string, t *task, e *endpoint) {
	w.object(key)
	w.string("id", e.connID)
	w.string("endpointName", e.name)
	w.string("endpointId", e.id)
	w.null("endpointSide")
	w.string("dbEngine", e.engine.db)
	w.null("connectionInfo")
	w.optional("username", e.engine.user)
	w.optional("version", e.engine.version)
	w.string("timezone", "+08:00")
	w.optional("charset", e.engine.charset)
	w.null("nlsLengthSemantics")
	w.optional("operatingSystem", e.engine.system)
	w.string("region", e.region)
	w.string("ocpName", "")
	if e.engine.attributes == nil {
		w.null("connExtraAttributes")
	} else {
		w.object("connExtraAttributes")
		e.engine.attributes(&w.wire, e)
		w.end('}')
	}
	w.string("owner", t.owner)
	w.string("host", e.host)
	w.int("port", e.engine.port)
	w.end('}')
}

func oceanBaseAttributes(w *wire, e *endpoint) {
	w.string("cluster", "ob_cluster_"+e.region)
	w.string("tenant", "tenant_"+e.id[len(e.id)-4:])
	w.bool("isLogicSource", false)
	w.bool("useLogProxy", true)
	w.string("drcUser", "drc_"+e.id[len(e.id)-4:])
	w.string("configUrl", "http://"+e.host+":8080/services?Action=ObRootServiceInfo")
	w.string("logProxyIp", "192.0.2.17")
	w.int("logProxyPort", 2983)
	w.bool("noUserAuth", false)
}

func kafkaAttributes(w *wire, e *endpoint) {
	w.string("endpoint", e.host+":9092")
	w.string("username", "oms_producer")
	w.null("enableSSL")
	w.bool("enableSASL", true)
	w.string("saslMechanism", "SCRAM-SHA-256")
	w.bool("disableIdentificationAlgorithm", false)
}

func dataHubAttributes(w *wire, e *endpoint) {
	w.string("endpoint", "https://"+e.host)
	w.string("project", "oms_"+e.region)
}

func rocketMQAttributes(w *wire, e *endpoint) {
	w.string("endpoint", e.host+":9876")
	w.null("endpointType", "version")
}

func tidbAttributes(w *wire, e *endpoint) {
	w.string("kafkaId", e.id)
	w.string("kafkaTopic", "tidb_binlog")
	w.string("kafkaName", "kafka_"+e.region)
}

func (w *renderer) step(t *task, st *state, p *step) {
	w.begin('{')
	w.int("order", p.stage.order)
	w.string("name", p.stage.name)
	if t.chinese {
		w.string("description", p.stage.chinese)
	} else {
		w.string("description", p.stage.english)
	}
	w.string("status", p.status)
	switch {
	case p.failed:
		w.object("extraInfo")
		w.failure(t, &st.failure)
		w.end('}')
	case p.status == initial && t.hash%2 == 0:
		w.null("extraInfo")
	default:
		w.object("extraInfo")
		w.noFailure()
		w.end('}')
	}
	w.time("startTime", p.start)
	w.time("finishTime", p.finish)
	w.int("progress", p.progress)
	w.stepInfo(t, p)
	w.end('}')
}

func (w *renderer) stepInfo(t *task, p *step) {
	switch {
	case p.scan.capacity > 0:
		w.object("stepInfo")
		w.scan(&p.scan)
		w.end('}')
	case p.sample != 0:
		w.object("stepInfo")
		if p.checkpointText != "" {
			w.string("incrTimestampCheckpoint", p.checkpointText)
		} else {
			w.int("incrTimestampCheckpoint", p.checkpoint)
		}
		w.int("checkpointSampleTimestamp", p.sample)
		w.null("enableIncrStatistics")
		w.end('}')
	case p.stage.role == roleSwitch:
		w.raw("stepInfo", `{"checkpointSampleTimestamp":null}`)
	case p.stage.role < roleCopy && !t.chinese:
		w.raw("stepInfo", "{}")
	default:
		w.null("stepInfo")
	}
}

func (w *renderer) scan(s *scan) {
	const bytesPerRecord = 420
	var latency int64 // milliseconds per record
	if s.rate > 0 {
		latency = 1 + s.rate%3
	}
	w.int("processedRecords", s.processed)
	w.int("capacity", s.capacity)
	w.int("srcRps", s.rate)
	w.int("srcRpsRef", s.reference)
	w.int("srcRt", latency)
	w.int("srcRtRef", 1)
	w.int("srcIops", s.rate*bytesPerRecord)
	w.int("srcIopsRef", s.reference/1000<<20)
	w.int("dstRps", s.rate)
	w.int("dstRpsRef", s.reference)
	w.int("dstRt", latency)
	w.int("dstRtRef", 1)
	w.int("dstIops", s.rate*bytesPerRecord)
}

// noFailure writes the error form of an extraInfo when there is no error.
func (w *renderer) noFailure() {
	w.null("errorDetails", "errorCode", "errorMsg", "errorParam", "failedTime")
}

// failure writes the error form of an extraInfo.
func (w *renderer) failure(t *task, f *failure) {
	message := f.english
	if t.chinese {
		message = f.chinese
	}
	w.array("errorDetails")
	w.begin('{')
	w.errorDetail(f.code, message)
	w.end('}')
	w.end(']')
	w.string("errorCode", f.code)
	w.string("errorMsg", "["+f.code+"]: "+message)
	w.object("errorParam")
	w.string("host", t.sink.host)
	w.end('}')
	w.time("failedTime", f.at)
}

// errorDetail writes the fields of an error object of the API.
func (w *wire) errorDetail(code, message string) {
	w.string("code", code)
	w.string("level", "ERROR")
	w.string("message", message)
	w.string("messageMcmsKey", code)
	w.object("messageMcmsContext")
	w.string("message", message)
	w.end('}')
	w.null("reason", "proposal", "upstreamErrorDetail")
}

func (w *renderer) extraInfo(t *task, st *state) {
	form := cmp.Or(w.extra, st.extra)
	if form == extraNull {
		w.null("extraInfo")
		return
	}
	w.object("extraInfo")
	switch form {
	case extraError:
		w.failure(t, &st.failure)
	case extraComforting:
		w.int("syncDelay", 0)
		w.null("syncDelaySampleTimestamp", "incrSyncTimestamp")
	case extraOld:
		w.int("syncDelay", 3)
		w.int("syncDelaySampleTimestamp", st.at-2*hour)
		w.int("incrSyncTimestamp", st.at-2*hour-3)
	default:
		w.runningForm(t, st)
	}
	w.end('}')
}

// runningForm writes the running form of an extraInfo.
func (w *renderer) runningForm(t *task, st *state) {
	current := st.current()
	w.string("runningStep", current.stage.name)
	w.int("runningProgress", current.progress)
	p := st.sampled()
	w.bool("monitoringIncr", p != nil)
	w.array("subtopics")
	w.element(t.source.host + "-" + t.id + "-1-0")
	w.end(']')
	w.null("reverseSubtopics")
	w.int("logServiceStartCheckpoint", t.started())
	w.int("sourceStoreKeptHour", t.kept)
	if p == nil {
		w.null("syncDelay", "syncDelaySampleTimestamp")
	} else {
		w.int("syncDelay", st.reported())
		w.int("syncDelaySampleTimestamp", p.sample)
	}
	w.bool("accessObSource", false)
	w.bool("overwriteConfig", true)
	w.bool("ignoreUnsupportDdl", false)
	w.null("subDbs", "subConds", "subIds")
	w.int("maxConnectorCount", -1)
	w.bool("storeIncr", true)
	if p == nil {
		w.null("incrSyncTimestamp")
	} else {
		w.int("incrSyncTimestamp", p.checkpoint)
	}
}

// current returns the step that the task is in: the last one that has begun and not
// ended, other than the switchover, which only waits.
func (st *state) current() *step {
	current := &st.steps[0]
	for i := range st.steps {
		p := &st.steps[i]
		if p.start != 0 && p.finish == 0 && p.stage.role != roleSwitch {
			current = p
		}
	}
	return current
}

func (w *renderer) alarmStats(t *task, st *state) {
	w.object("alarmStats")
	a := &st.alarm
	if a.rule == "" {
		w.null("target")
		w.bool("alarming", false)
		w.null("recentlyTriggerCount", "ruleToRecentlyTriggerCount", "alarmContent")
		w.end('}')
		return
	}
	w.string("target", t.id)
	w.bool("alarming", true)
	w.int("recentlyTriggerCount", a.count)
	if a.split {
		w.object("ruleToRecentlyTriggerCount")
		w.int(a.rule, a.count)
		w.end('}')
	} else {
		w.null("ruleToRecentlyTriggerCount")
	}
	content := "task " + t.name + " from " + t.source.host + " needs attention"
	if t.chinese {
		content = "任务 " + t.name + "（源端 " + t.source.host + "）需要处理"
	}
	w.string("alarmContent", "["+a.rule+"] "+content)
	w.end('}')
}

// unknownFields writes what a later OMS may add to a task.
func (w *renderer) unknownFields() {
	w.string("futureText", "unheard of")
	w.int("futureNumber", 42)
	w.object("futureObject")
	w.array("list")
	w.begin('{')
	w.bool("deep", true)
	w.null("status", "id")
	w.end('}')
	w.end(']')
	w.end('}')
}

// strange returns a copy of the task with values that no document mentions, and
// puts such values into its state.
func strange(t *task, st *state) *task {
	odd := *t
	odd.kind, odd.importance = "TELEPORT", "COSMIC"
	st.status = "SOME_NEW_STATE"
	st.changeText = "2025/06/07 08:09:10.123 +0800"
	st.steps = append(st.steps, step{
		stage:    &stage{roleUnknown, 99, "QUANTUM_TRANSFER", "Quantum transfer", "量子迁移"},
		status:   "WARMING_UP",
		progress: 50,
	})
	p := st.find(roleIncr)
	if p == nil {
		st.steps = append(st.steps, step{
			stage:    &stage{roleIncr, 100, "INCR_TRANSFER", "Incremental synchronization", "增量同步"},
			status:   monitoring,
			progress: 100,
		})
		p = &st.steps[len(st.steps)-1]
	}
	p.sample = st.at
	p.checkpointText = "mysql-bin.000123,4567"
	return &odd
}
