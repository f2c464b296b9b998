package main

import (
	"fmt"
	"math"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"golang.org/x/text/language"

	"oms_exporter/omsclient"
)

// A lang is a language of the page: an index of words.
type lang int

const (
	english lang = iota
	chinese
)

// langs are the languages by their tags in HTML and in ?lang=.
var langs = []language.Tag{english: language.English, chinese: language.SimplifiedChinese}

var langMatcher = language.NewMatcher(langs)

// langOf returns the language of a request: that of ?lang=, or what the browser prefers.
func langOf(r *http.Request) lang {
	wanted, preferred := r.URL.Query().Get("lang"), r.Header.Get("Accept-Language")
	_, i := language.MatchStrings(langMatcher, wanted, preferred)
	return lang(i)
}

func (l lang) String() string { return langs[l].String() }

// Other returns the language to switch to.
func (l lang) Other() lang { return 1 - l }

// words are the texts of the page and of the command tasks, in every language. Keys with a dot
// stand for values of OMS and of the exporter; one that is missing is shown as it is.
var words = map[string][2]string{
	"title":    {"OMS tasks", "OMS 任务"},
	"tasks":    {"Tasks", "任务"},
	"name":     {"Task", "任务"},
	"listings": {"Listings", "读取记录"},
	"language": {"中文", "English"},
	"skip":     {"Skip to the tasks", "跳到任务列表"},

	"answering":     {"answering", "正常应答"},
	"down":          {"not answering", "无应答"},
	"details":       {"what happened", "详细情况"},
	"not listed":    {"not listed yet", "尚未读取"},
	"pending":       {"still reading the tasks; look again in a moment", "仍在读取任务，请稍后再看"},
	"tasks of":      {"tasks as of", "任务数据取自"},
	"ago":           {"%s ago", "%s前"},
	"in":            {"in %s", "%s后"},
	"no tasks kept": {"no tasks to show", "没有可显示的任务"},
	"pages":         {"pages", "页"},
	"page":          {"page", "页"},
	"took":          {"took", "耗时"},
	"certificate":   {"certificate expires", "证书到期"},
	"expired":       {"certificate expired", "证书已过期"},
	"secret": {
		"OMS refuses the password. It is sent again %s, or as soon as it changes.",
		"OMS 拒绝该密码。%s重新发送，或密码更改后立即发送。",
	},
	"reload refused": {
		"The configuration was refused at %s UTC. The previous one stays in use; the log says why.",
		"%s UTC 的新配置被拒绝，仍使用之前的配置；原因见日志。",
	},
	"loaded":      {"configuration loaded", "配置加载于"},
	"list now":    {"List now", "立即读取"},
	"none listed": {"OMS lists no tasks.", "OMS 没有任务。"},

	"search":          {"Search name, id, tag, owner, error", "搜索名称、ID、标签、负责人、错误码"},
	"find":            {"Show", "显示"},
	"reset":           {"Reset", "重置"},
	"any":             {"any", "不限"},
	"status":          {"Status", "状态"},
	"importance":      {"Importance", "重要性"},
	"owner":           {"Owner", "负责人"},
	"tag":             {"Tag", "标签"},
	"all":             {"All", "全部"},
	"of":              {"%d of %d tasks", "%d / %d 个任务"},
	"none from":       {", none from %s", "，不含 %s"},
	"nothing matches": {"No task matches.", "没有符合条件的任务。"},
	"previous":        {"Previous", "上一页"},
	"next":            {"Next", "下一页"},
	"page of":         {"Page %d of %d", "第 %d 页，共 %d 页"},

	"worst":          {"What to look at", "需要关注"},
	"steps":          {"Steps", "步骤"},
	"step":           {"Step", "步骤"},
	"delay":          {"Delay", "延迟"},
	"sample":         {"sampled", "采样"},
	"checkpoint":     {"Checkpoint", "位点"},
	"alarms":         {"OMS alarms", "OMS 告警"},
	"limit":          {"critical at", "严重阈值"},
	"console":        {"OMS console", "OMS 控制台"},
	"measured":       {"measured by OMS", "OMS 测得"},
	"late from":      {"late from", "告警阈值"},
	"very late from": {"very late from", "严重阈值"},
	"created":        {"created", "创建"},
	"started":        {"started", "开始"},
	"finished":       {"finished", "结束"},
	"failed at":      {"last failed", "上次失败"},
	"retention":      {"logs kept for", "日志保留"},
	"errors":         {"error codes", "错误码"},
	"differ":         {"records that differ", "不一致记录"},
	"progress":       {"progress", "进度"},
	"records":        {"records", "记录数"},
	"read":           {"read", "读取"},
	"written":        {"written", "写入"},
	"per second":     {"/s", "/秒"},

	"severity.critical": {"critical", "严重"},
	"severity.warning":  {"warning", "警告"},
	"severity.notice":   {"notice", "提示"},
	"severity.fine":     {"fine", "正常"},

	"status.INIT":              {"not started", "未启动"},
	"status.RUNNING":           {"running", "运行中"},
	"status.SUSPEND":           {"suspended", "已暂停"},
	"status.FAILED":            {"failed", "失败"},
	"status.FINISHED":          {"finished", "已完成"},
	"status.RELEASING":         {"releasing", "释放中"},
	"status.RELEASED":          {"released", "已释放"},
	"status.DELETED":           {"deleted", "已删除"},
	"status.RUNNING_MODIFYING": {"being modified", "修改中"},
	"status.RUNNING_MERGING":   {"merging", "合并中"},
	"type.MIGRATION":           {"migration", "数据迁移"},
	"type.SYNC":                {"synchronization", "数据同步"},
	"type.VERIFY":              {"verification", "数据校验"},
	"importance.HIGH":          {"high", "高"},
	"importance.MEDIUM":        {"medium", "中"},
	"importance.LOW":           {"low", "低"},
	"importance.IGNORE":        {"ignore", "忽略"},

	"state.waiting":   {"waiting", "等待"},
	"state.working":   {"at work", "进行中"},
	"state.following": {"following", "持续同步"},
	"state.done":      {"done", "完成"},
	"state.paused":    {"paused", "已暂停"},
	"state.failed":    {"failed", "失败"},
	"state.person":    {"waits for a person", "等待人工操作"},

	"concern.failed":           {"The task has failed", "任务失败"},
	"concern.logs_almost_lost": {"The logs needed to resume are almost gone", "续传所需日志即将被清理"},
	"concern.very_late":        {"Very late", "延迟严重"},
	"concern.step_failed":      {"A step has failed; OMS retries it", "步骤失败，OMS 正在重试"},
	"concern.component_dead":   {"A component of OMS has died", "OMS 组件异常退出"},
	"concern.late":             {"Late", "延迟"},
	"concern.sample_stale":     {"OMS no longer measures the delay", "OMS 已停止测量延迟"},
	"concern.delay_unknown":    {"OMS reports no delay", "OMS 未提供延迟"},
	"concern.logs_running_out": {"Half of the log retention has passed", "可续传时间已过半"},
	"concern.records_differ":   {"Verification found differences", "校验发现不一致"},
	"concern.clocks_disagree":  {"Negative delay: clocks disagree", "延迟为负：时钟不一致"},
	"concern.alarming":         {"OMS raises an alarm", "OMS 正在告警"},
	"concern.suspended":        {"Suspended", "已暂停"},

	"reason.timeout":     {"no answer in time", "应答超时"},
	"reason.dns":         {"the host name does not resolve", "主机名无法解析"},
	"reason.connect":     {"no connection", "无法连接"},
	"reason.tls":         {"TLS failed", "TLS 失败"},
	"reason.auth":        {"the account is refused", "账号被拒绝"},
	"reason.http_status": {"unexpected HTTP status", "HTTP 状态异常"},
	"reason.api_error":   {"OMS answers with an error", "OMS 返回错误"},
	"reason.decode":      {"the answer cannot be read", "应答无法解析"},
	"reason.pagination":  {"the pages do not fit together", "分页不一致"},
	"reason.limit":       {"more than the limits admit", "超出限制"},
	"reason.canceled":    {"canceled", "已取消"},
	"reason.credentials": {"the password or certificate file cannot be read", "密码或证书文件无法读取"},

	"listing at":  {"Listing (UTC)", "读取时间 (UTC)"},
	"result":      {"Result", "结果"},
	"rows":        {"Rows", "行数"},
	"size":        {"Size", "大小"},
	"on the wire": {"on the wire", "传输"},
	"retries":     {"Retries", "重试"},
	"requests":    {"Requests", "请求"},
	"complete":    {"complete", "完整"},
	"failed":      {"failed", "失败"},
	"inconsistent": {
		"complete, but tasks and totalCount disagree", "完整，但任务数与 totalCount 不一致",
	},
	"not scraped":       {"Not scraped yet.", "尚未读取。"},
	"notable":           {"%d, of which %d notable ones", "%d 个，显示其中值得注意的 %d 个"},
	"more":              {"More", "更多"},
	"direction.forward": {"forward", "正向"},
	"direction.reverse": {"reverse", "反向"},
	"attempt":           {"Attempt", "尝试"},
	"failure":           {"Failure", "失败"},
	"refusals": {
		"OMS has refused the secret %d times since %s UTC. It is sent again at %s UTC, or as soon as " +
			"it changes.",
		"自 %[2]s UTC 起，OMS 已 %[1]d 次拒绝该密码。将于 %[3]s UTC 重新发送，或密码更改后立即发送。",
	},
	"rows and tasks": {
		"Rows counts the entries of all pages. It exceeds the number of tasks when a task is listed " +
			"twice or excluded by the configuration, or when the listing was repeated.",
		"行数是各页内容之和。任务被重复列出、被配置排除，或读取被重复时，行数多于任务数。",
	},
	"look.action":  {"Action", "接口"},
	"look.title":   {"Questions about single tasks", "单个任务的查询"},
	"look.known":   {"Answered", "已答复"},
	"look.asked":   {"Questions", "查询"},
	"look.slowest": {"Slowest", "最慢"},
	"look.last":    {"Last", "最近"},
	"look.next":    {"asked again at %s UTC", "将于 %s UTC 再次查询"},
	"probe":        {"metrics", "指标"},
	"explain":      {"explain", "说明"},

	"metrics":   {"Metrics", "指标"},
	"discovery": {"Discovery", "服务发现"},
	"healthy":   {"Healthy", "存活"},
	"ready":     {"Ready", "就绪"},
	"profiles":  {"Profiles", "性能分析"},
}

// text returns a text in a language, with values in it if there are any.
func (l lang) text(key string, values ...any) (string, error) {
	texts, ok := words[key]
	if !ok {
		return "", fmt.Errorf("no words for %q", key)
	}
	if len(values) > 0 {
		return fmt.Sprintf(texts[l], values...), nil
	}
	return texts[l], nil
}

// mustText is text for keys that are there.
func (l lang) mustText(key string, values ...any) string {
	text, err := l.text(key, values...)
	if err != nil {
		return key
	}
	return text
}

// value names a value of some kind, or shows it as it is.
func (l lang) value(kind string, value any) string {
	raw := fmt.Sprint(value)
	if texts, ok := words[kind+"."+raw]; ok {
		return texts[l]
	}
	return printable(raw)
}

// stepFamilies are what kinds of steps are called, with their names in OMS.
var stepFamilies = []struct {
	words [2]string
	steps []string
}{
	{[2]string{"precheck", "预检查"}, []string{"PRE_CHECK", "TRANSFER_PRECHECK"}},
	{[2]string{"preparation", "准备"}, []string{"PREPARE", "SYNC_PREPARE", "TRANSFER_PREPARE"}},
	{[2]string{"schema", "结构迁移"}, []string{"STRUCT_TRANSFER", "STRUCT_MIGRATION", "STRUCT_SYNC"}},
	{[2]string{"indexes", "索引迁移"}, []string{"INDEX_MIGRATION", "INDEX_TRANSFER"}},
	{
		[2]string{"log pull", "日志拉取"},
		[]string{"INCR_LOG_PULL", "TRANSFER_INCR_LOG_PULL", "SYNC_INCR_LOG_PULL"},
	},
	{[2]string{"full copy", "全量迁移"}, omsclient.FullCopySteps()},
	{[2]string{"incremental", "增量同步"}, omsclient.ForwardSteps()},
	{[2]string{"full verification", "全量校验"}, omsclient.FullVerifySteps()},
	{[2]string{"incremental verification", "增量校验"}, []string{"INCR_VERIFIER"}},
	{[2]string{"switchover", "正向切换"}, omsclient.SwitchoverSteps()},
	{[2]string{"reverse incremental", "反向增量"}, omsclient.ReverseSteps()},
}

// step names a step, or shows its name in OMS.
func (l lang) step(name string) string {
	for _, family := range stepFamilies {
		if slices.Contains(family.steps, name) {
			return family.words[l]
		}
	}
	return printable(strings.ToLower(strings.ReplaceAll(name, "_", " ")))
}

var chineseUnits = strings.NewReplacer("ms", "毫秒", "y", "年", "w", "周", "d", "天", "h", "时",
	"m", "分", "s", "秒")

// duration formats seconds for people, as Prometheus writes durations, with two units or so.
func (l lang) duration(s float64) string {
	const longest = 9e9 // of what a time.Duration holds
	d := time.Duration(math.Round(min(math.Abs(s), longest) * float64(time.Second)))
	precision := time.Millisecond
	switch {
	case d >= 24*time.Hour:
		precision = time.Hour
	case d >= time.Hour:
		precision = time.Minute
	case d >= time.Second:
		precision = time.Second
	}
	text := model.Duration(d.Truncate(precision)).String()
	if l == chinese {
		text = chineseUnits.Replace(text)
	}
	if s < 0 {
		text = "-" + text
	}
	return text
}

// away says how long ago a time was, or how far it is in the future.
func (l lang) away(t, now time.Time) string {
	if d := t.Sub(now); d > 0 {
		return l.mustText("in", l.duration(d.Seconds()))
	}
	return l.mustText("ago", l.duration(now.Sub(t).Truncate(time.Second).Seconds()))
}
