package omssim

import (
	"fmt"
	"math/bits"
	"strconv"
	"time"
)

// Types of tasks.
const (
	migration    = "MIGRATION"
	synchronize  = "SYNC"
	verification = "VERIFY"
)

// ignored is the importance of tasks for which OMS raises no alarms.
const ignored = "IGNORE"

const (
	minute = int64(60)
	hour   = 60 * minute
	day    = 24 * hour
)

// A fleet is the tasks of a simulated OMS, in the order of their creation.
type fleet struct {
	tasks    []task
	newcomer task // the task that the fault added_task adds
}

// A task is what never changes about a task. What it does at a given time is a
// [state], which its scenario derives from the task and the time alone.
type task struct {
	scenario *scenario
	hash     uint64 // unique in the fleet
	phase    uint64 // its lead in the cycle of its scenario; 1<<32 is a whole cycle

	id, name, owner, importance, kind string
	labels                            []label // the last one names the scenario
	source, sink                      endpoint
	subProject                        bool
	chinese                           bool // descriptions and messages are in Chinese

	structTransfer, fullVerify, incrVerify, reverse bool

	created  int64 // Unix seconds
	copyTime int64 // seconds that a full copy takes
	capacity int64 // rows in all, as OMS estimates
	kept     int64 // hours for which logs are kept
}

type label struct{ id, name string }

// An endpoint is a data source as a task sees it.
type endpoint struct {
	engine                         *engine
	kind                           string
	id, connID, name, host, region string
}

// An engine is what endpoints of one type have in common.
type engine struct {
	db, version, user, charset, system string
	port                               int64
	attributes                         func(*wire, *endpoint) // nil: none
}

// A route is a source and a sink that occur together.
type route struct{ source, sink string }

var engines = map[string]*engine{
	"MYSQL": {
		db: "MYSQL_PUBLIC", version: "5.7.27-log", user: "oms_mysql", charset: "utf8mb4",
		system: "Linux", port: 3306,
	},
	"ORACLE": {
		db: "ORACLE", version: "19.0.0.0.0", user: "OMS_ORA", charset: "AL32UTF8",
		system: "Linux", port: 1521,
	},
	"DB2_LUW": {
		db: "DB2_LUW", version: "11.5.4.0", user: "omsdb2", charset: "UTF-8",
		system: "AIX", port: 50000,
	},
	"POSTGRESQL": {
		db: "POSTGRESQL", version: "13.9", user: "oms_pg", charset: "UTF8",
		system: "Linux", port: 5432,
	},
	"TIDB": {
		db: "TIDB", version: "5.7.25-TiDB-v6.5.3", user: "oms_tidb", charset: "utf8mb4",
		system: "Linux", port: 4000, attributes: tidbAttributes,
	},
	"OB_MYSQL": {
		db: "OB_MYSQL_PUBLIC", version: "4.2.1.8", user: "oms_sync", charset: "utf8mb4",
		port: 2883, attributes: oceanBaseAttributes,
	},
	"OB_ORACLE": {
		db: "OB_ORACLE_PUBLIC", version: "4.2.5.1", user: "OMS_SYNC", charset: "utf8mb4",
		port: 2883, attributes: oceanBaseAttributes,
	},
	"KAFKA": {
		db: "KAFKA", version: "2.8", user: "oms_producer", port: 9092,
		attributes: kafkaAttributes,
	},
	"DATAHUB":  {db: "DATAHUB", user: "oms_datahub", port: 443, attributes: dataHubAttributes},
	"ROCKETMQ": {db: "ROCKETMQ", version: "4.9", port: 9876, attributes: rocketMQAttributes},
}

// routes lists what tasks of a type connect. Repetition makes a route more
// frequent.
var routes = map[string][]route{
	migration: {
		{"MYSQL", "OB_MYSQL"},
		{"ORACLE", "OB_ORACLE"},
		{"MYSQL", "OB_MYSQL"},
		{"OB_MYSQL", "MYSQL"},
		{"OB_MYSQL", "OB_MYSQL"},
		{"TIDB", "OB_MYSQL"},
		{"DB2_LUW", "OB_ORACLE"},
		{"POSTGRESQL", "OB_MYSQL"},
		{"OB_ORACLE", "ORACLE"},
	},
	synchronize: {
		{"OB_MYSQL", "KAFKA"},
		{"OB_ORACLE", "DATAHUB"},
		{"OB_MYSQL", "ROCKETMQ"},
		{"OB_ORACLE", "KAFKA"},
	},
	verification: {{"MYSQL", "OB_MYSQL"}, {"ORACLE", "OB_ORACLE"}},
}

var (
	subjects = []string{
		"orders", "payments", "会员中心", "inventory", "ledger", "risk_control", "支付清结算",
		"crm", "logistics", "user_profile", "营销活动", "billing", "claims", "coupons", "核心账务",
		"search_index", "archive", "insurance",
	}
	purposes = map[string][]string{
		migration: {
			"to_ob", "leave_oracle", "second_datacenter", "迁移上云", "split_shards", "version_upgrade",
			"去O改造", "merge_regions",
		},
		synchronize:  {"to_warehouse", "to_kafka", "实时大屏", "change_feed"},
		verification: {"audit", "日终核对", "reconcile"},
	}
	owners = []string{
		"ops", "dba_team", "li.wei", "zhang_min", "payments_dba", "data_platform", "王芳",
		"migration",
	}
	importances = []string{
		"HIGH", "MEDIUM", "LOW", "MEDIUM", "HIGH", "LOW", "MEDIUM", ignored, "MEDIUM", "LOW",
	}
	regions = []string{"cn-hangzhou", "cn-beijing", "cn-shanghai", "cn-shenzhen"}
	tags    = []label{
		{"l_4w1core00001", "核心"},
		{"l_4w1gold00002", "gold"},
		{"l_4w1pay000003", "支付"},
		{"l_4w1batch0004", "batch"},
		{"l_4w1dr0000005", "异地灾备"},
		{"l_4w1pci000006", "pci"},
	}
)

// One in subProjectEvery tasks has a subtask.
const subProjectEvery = 20

// youngest is the age of the youngest task at the reference time, in seconds. It is
// longer than any cycle of a scenario, so no cycle begins before its task exists.
const youngest = 8 * day

// newFleet returns n tasks and their subtasks. Tasks take turns in the scenarios of
// the mix. They were created in the year before the reference time.
func newFleet(n int, seed uint64, reference time.Time, mix []*scenario) *fleet {
	spacing := 360 * day / int64(n+1)
	oldest := reference.Unix() - youngest - spacing*int64(n+1)
	turns := map[*scenario]uint64{}
	makeTask := func(i int) task {
		s := mix[i%len(mix)]
		t := newTask(i, mix64(seed)+uint64(i), s)
		t.phase = phase(s.name, turns[s])
		t.created = oldest + spacing*int64(i) + int64(t.hash%uint64(spacing/3+1))
		turns[s]++
		return t
	}

	f := &fleet{tasks: make([]task, 0, n+n/subProjectEvery+1)}
	for i := range n {
		f.tasks = append(f.tasks, makeTask(i))
		if i%subProjectEvery == subProjectEvery-7 {
			f.tasks = append(f.tasks, f.tasks[len(f.tasks)-1].sub(spacing))
		}
	}
	f.newcomer = makeTask(n)
	return f
}

// newTask returns the i-th task of a fleet. Each task needs its own seed.
func newTask(i int, seed uint64, s *scenario) task {
	t := task{scenario: s, hash: mix64(seed), kind: s.kind}
	t.id = "np_" + base36(t.hash)
	purpose := purposes[t.kind]
	t.name = fmt.Sprintf("%s_%s_%04d",
		subjects[t.pick("name", len(subjects))], purpose[t.pick("purpose", len(purpose))], i+1)
	t.owner = owners[t.pick("owner", len(owners))]
	t.importance = importances[t.pick("importance", len(importances))]
	if t.importance == ignored && !s.ignorable {
		t.importance = "HIGH"
	}
	t.chinese = t.pick("language", 2) == 0
	t.label()

	way := routes[t.kind][t.pick("route", len(routes[t.kind]))]
	t.source = t.endpoint("source", way.source)
	t.sink = t.endpoint("sink", way.sink)

	switch t.kind {
	case migration:
		t.structTransfer = t.pick("struct", 5) > 0
		t.fullVerify = s.verifies || t.pick("verify", 2) == 0
		t.reverse = s.reverses || t.pick("reverse", 3) == 0
	case verification:
		t.fullVerify = true
		t.incrVerify = t.pick("incr verify", 2) == 0
	}

	t.copyTime = hour + int64(t.pick("copy", 300))*minute
	t.capacity = 2_000_000 + int64(t.pick("rows", 1_000_000))*800
	t.kept = []int64{24, 48, 72}[t.pick("kept", 3)]
	return t
}

// label gives the task up to two tags that people would use, and one that names its
// scenario.
func (t *task) label() {
	first := t.pick("label", len(tags))
	for i := range max(0, t.pick("labels", 5)-2) {
		t.labels = append(t.labels, tags[(first+i)%len(tags)])
	}
	t.labels = append(t.labels, label{"l_sim_" + t.scenario.name, ScenarioTag(t.scenario.name)})
}

func (t *task) endpoint(side, kind string) endpoint {
	host := t.pick(side+" host", 90) + 1
	return endpoint{
		engine: engines[kind],
		kind:   kind,
		id:     "e_" + base36(mix64(t.hash^salt(side+" id"))),
		connID: "c_" + base36(mix64(t.hash^salt(side+" conn"))),
		name:   fmt.Sprintf("%s_%s_%02d", side, kind, host),
		host:   fmt.Sprintf("%s-%02d.db.example.internal", side, host),
		region: regions[t.pick(side+" region", len(regions))],
	}
}

// sub returns a subtask of the task, created before the next task of the fleet.
func (t *task) sub(spacing int64) task {
	s := *t
	s.hash = mix64(^t.hash)
	s.id = "np_" + base36(s.hash)
	s.name = t.name + "_sub"
	s.subProject = true
	s.created += spacing / 3
	return s
}

// started is when the task was first started, in Unix seconds.
func (t *task) started() int64 {
	return t.created/samplePeriod*samplePeriod + 3*samplePeriod
}

// cycle returns how many seconds the task is into a cycle of the given period, and
// when that cycle began. Period and time must be multiples of samplePeriod.
func (t *task) cycle(at, period int64) (position, begin int64) {
	ahead := int64(t.phase*uint64(period)>>32) / samplePeriod * samplePeriod
	position = (at + ahead) % period
	return position, at - position
}

// pick returns a number below n that depends only on the task and the purpose.
func (t *task) pick(purpose string, n int) int {
	return int(mix64(t.hash^salt(purpose)) % uint64(n))
}

// roll returns a number below n that depends only on the task and the time.
func (t *task) roll(at int64, n uint64) int64 {
	return int64(mix64(t.hash^uint64(at)) % n)
}

// jitter is the delay of a healthy task in seconds, 1 to 20. It never grows by more
// than 10 from one sample to the next, so checkpoints never go back.
func (t *task) jitter(at int64) int64 {
	const swing = 120
	sample := (at/samplePeriod + int64(t.hash%swing)) % swing
	slow := max(sample-swing/2, swing/2-sample) * 10 / (swing / 2)
	return 1 + slow + t.roll(at, 10)
}

// phase spreads any number of tasks of a scenario evenly over its cycle.
func phase(name string, turn uint64) uint64 {
	const golden = 0x9e3779b9
	return (mix64(salt(name)) + turn*golden) & 0xffffffff
}

// mix64 is a bijection that looks random (SplitMix64).
func mix64(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

func salt(purpose string) uint64 {
	sum := uint64(14695981039346656037)
	for _, c := range []byte(purpose) {
		sum = bits.RotateLeft64(sum^uint64(c), 8) * 1099511628211
	}
	return sum
}

// base36 formats x as 13 lower-case letters and digits.
func base36(x uint64) string {
	const width = 13
	digits := strconv.FormatUint(x, 36)
	return "0000000000000"[:width-len(digits)] + digits
}
