package omsclient

import "time"

// This file is the wire: every field that the actions are known to send, one per
// line, in the order in which OMS sends them. A line says what the field is
// called, what form its value has, what a recording shows of it, and where the
// value goes. The decoder and the [Redactor] read these tables and nothing
// else, so a new field takes a line in project.go and a line here.
//
// Numbers, booleans and times identify nobody, so a recording shows them as
// they are. Objects and lists follow the table of what they hold. An ignored
// field is skipped by the decoder. It is listed because it is faster to skip a
// field that is expected, and because a recording keeps the name of a known
// field. Of a field in no table, a recording shows neither name nor value.
//
//nolint:lll // one field, one line
var (
	answerFields = envelope(field[page]{"data", (*decoder).readProjects, listOf(projectFields.shown)})
	verifyAnswer = envelope(nested("data", verifyFields,
		func(p *page) *VerifyResult { return &p.verify }))
	componentsAnswer = envelope(nested("data", componentFields,
		func(p *page) *componentLists { return &p.components }))

	// What a recording shows of an answer to any action.
	anyAnswer = envelope(ignored[page]("data",
		merged(listOf(projectFields.shown), verifyFields.shown, componentFields.shown))).shown

	errorFields = newObject(
		word("code", code, func(e *ErrorDetail) *string { return &e.Code }),
		word("level", enum, func(e *ErrorDetail) *string { return &e.Level }),
		ignored[ErrorDetail]("message", hidden),
		ignored[ErrorDetail]("messageMcmsKey", hidden),
		ignored[ErrorDetail]("messageMcmsContext", hidden),
		ignored[ErrorDetail]("reason", hidden),
		ignored[ErrorDetail]("reasonMcmsKey", hidden),
		ignored[ErrorDetail]("reasonMcmsContext", hidden),
		ignored[ErrorDetail]("proposal", hidden),
		ignored[ErrorDetail]("proposalMcmsKey", hidden),
		ignored[ErrorDetail]("proposalMcmsContext", hidden),
		ignored[ErrorDetail]("upstreamErrorDetail", hidden),
		ignored[ErrorDetail]("extraContext", hidden),
		ignored[ErrorDetail]("requestId", alias("request_")),
	)
	projectFields = newObject(
		text("id", alias("np_"), func(p *Project) *string { return &p.ID }),
		term("type", enum, func(p *Project) *string { return &p.Type }),
		text("name", alias("task_"), func(p *Project) *string { return &p.Name }),
		list("labels", MaxLabels, labelFields, func(p *Project) *[]Label { return &p.Labels }),
		text("owner", alias("owner_"), func(p *Project) *string { return &p.Owner }),
		term("importance", enum, func(p *Project) *string { return &p.Importance }),
		term("status", enum, func(p *Project) *string { return &p.Status }),
		local("gmtCreate", func(p *Project) *time.Time { return &p.GmtCreate }),
		local("gmtModified", func(p *Project) *time.Time { return &p.GmtModified }),
		local("gmtStart", func(p *Project) *time.Time { return &p.GmtStart }),
		local("gmtFinish", func(p *Project) *time.Time { return &p.GmtFinish }),
		ignored[Project]("destConnId", alias("c_")),
		boolean("isMerging", func(p *Project) *Optional[bool] { return &p.IsMerging }),
		boolean("isModifying", func(p *Project) *Optional[bool] { return &p.IsModifying }),
		boolean("isSubProject", func(p *Project) *Optional[bool] { return &p.IsSubProject }),
		term("sourceEndpointType", enum, func(p *Project) *string { return &p.SourceEndpointType }),
		term("sinkEndpointType", enum, func(p *Project) *string { return &p.SinkEndpointType }),
		ignored[Project]("transferMapping", emptied),
		ignored[Project]("commonTransferConfig", emptied),
		ignored[Project]("enableStructTransfer", figure),
		ignored[Project]("structTransferConfig", emptied),
		boolean("enableFullTransfer", func(p *Project) *Optional[bool] { return &p.EnableFullTransfer }),
		boolean("enableFullVerify", func(p *Project) *Optional[bool] { return &p.EnableFullVerify }),
		ignored[Project]("fullTransferConfig", emptied),
		boolean("enableIncrTransfer", func(p *Project) *Optional[bool] { return &p.EnableIncrTransfer }),
		ignored[Project]("enableIncrVerify", figure),
		boolean("enableReverseIncrTransfer", func(p *Project) *Optional[bool] { return &p.EnableReverseIncrTransfer }),
		ignored[Project]("incrTransferConfig", emptied),
		ignored[Project]("reverseIncrTransferConfig", emptied),
		nested("sourceConnectInfo", connectFields, func(p *Project) *ConnectInfo { return &p.SourceConnectInfo }),
		nested("sinkConnectInfo", connectFields, func(p *Project) *ConnectInfo { return &p.SinkConnectInfo }),
		list("steps", MaxSteps, stepFields, func(p *Project) *[]Step { return &p.Steps }),
		nested("extraInfo", extraFields, func(p *Project) *ExtraInfo { return &p.ExtraInfo }),
		nested("alarmStats", alarmFields, func(p *Project) *AlarmStats { return &p.AlarmStats }),
		ignored[Project]("workerGradeId", hidden),
		ignored[Project]("workerGradeInfo", hidden),
	)
	labelFields = newObject(
		text("id", alias("l_"), func(l *Label) *string { return &l.ID }),
		text("name", tag, func(l *Label) *string { return &l.Name }),
		ignored[Label]("creator", alias("owner_")),
		ignored[Label]("type", figure),
		ignored[Label]("count", figure),
	)
	connectFields = newObject(
		ignored[ConnectInfo]("id", alias("c_")),
		text("endpointName", alias("endpoint_"), func(c *ConnectInfo) *string { return &c.EndpointName }),
		ignored[ConnectInfo]("endpointId", alias("e_")),
		ignored[ConnectInfo]("endpointSide", hidden),
		ignored[ConnectInfo]("dbEngine", hidden),
		ignored[ConnectInfo]("connectionInfo", hidden),
		ignored[ConnectInfo]("username", hidden),
		ignored[ConnectInfo]("version", hidden),
		ignored[ConnectInfo]("timezone", hidden),
		ignored[ConnectInfo]("charset", hidden),
		ignored[ConnectInfo]("nlsLengthSemantics", hidden),
		ignored[ConnectInfo]("operatingSystem", hidden),
		text("region", alias("region_"), func(c *ConnectInfo) *string { return &c.Region }),
		ignored[ConnectInfo]("ocpName", hidden),
		ignored[ConnectInfo]("connExtraAttributes", emptied),
		ignored[ConnectInfo]("owner", alias("owner_")),
		ignored[ConnectInfo]("host", hidden),
		ignored[ConnectInfo]("port", hidden),
		ignored[ConnectInfo]("resourceOwner", alias("owner_")),
	)
	stepFields = newObject(
		number("order", func(s *Step) *Optional[float64] { return &s.Order }),
		term("name", enum, func(s *Step) *string { return &s.Name }),
		ignored[Step]("description", hidden),
		term("status", enum, func(s *Step) *string { return &s.Status }),
		nested("extraInfo", failureFields, func(s *Step) *Failure { return &s.ExtraInfo }),
		utc("startTime", func(s *Step) *time.Time { return &s.StartTime }),
		utc("finishTime", func(s *Step) *time.Time { return &s.FinishTime }),
		number("progress", func(s *Step) *Optional[float64] { return &s.Progress }),
		nested("stepInfo", stepInfoFields, func(s *Step) *StepInfo { return &s.StepInfo }),
	)
	stepInfoFields = newObject(
		number("processedRecords", func(i *StepInfo) *Optional[float64] { return &i.ProcessedRecords }),
		number("capacity", func(i *StepInfo) *Optional[float64] { return &i.Capacity }),
		ignored[StepInfo]("inconsistencies", figure), // of an older API
		number("srcRps", func(i *StepInfo) *Optional[float64] { return &i.SrcRps }),
		ignored[StepInfo]("srcRpsRef", figure),
		number("srcRt", func(i *StepInfo) *Optional[float64] { return &i.SrcRt }),
		ignored[StepInfo]("srcRtRef", figure),
		number("srcIops", func(i *StepInfo) *Optional[float64] { return &i.SrcIops }),
		ignored[StepInfo]("srcIopsRef", figure),
		number("dstRps", func(i *StepInfo) *Optional[float64] { return &i.DstRps }),
		ignored[StepInfo]("dstRpsRef", figure),
		number("dstRt", func(i *StepInfo) *Optional[float64] { return &i.DstRt }),
		ignored[StepInfo]("dstRtRef", figure),
		number("dstIops", func(i *StepInfo) *Optional[float64] { return &i.DstIops }),
		ignored[StepInfo]("dstIopsRef", figure),
		epoch("incrTimestampCheckpoint", func(i *StepInfo) *time.Time { return &i.IncrTimestampCheckpoint }),
		epoch("checkpointSampleTimestamp", func(i *StepInfo) *time.Time { return &i.CheckpointSampleTimestamp }),
		ignored[StepInfo]("enableIncrStatistics", figure),
	)
	failureFields = newObject(
		list("errorDetails", MaxErrors, errorFields, func(f *Failure) *[]ErrorDetail { return &f.ErrorDetails }),
		term("errorCode", code, func(f *Failure) *string { return &f.ErrorCode }),
		ignored[Failure]("errorMsg", hidden),
		ignored[Failure]("errorParam", hidden),
		utc("failedTime", func(f *Failure) *time.Time { return &f.FailedTime }),
	)
	extraFields = newObject( // the error form, then the running form
		list("errorDetails", MaxErrors, errorFields, func(x *ExtraInfo) *[]ErrorDetail { return &x.ErrorDetails }),
		term("errorCode", code, func(x *ExtraInfo) *string { return &x.ErrorCode }),
		ignored[ExtraInfo]("errorMsg", hidden),
		ignored[ExtraInfo]("errorParam", hidden),
		utc("failedTime", func(x *ExtraInfo) *time.Time { return &x.FailedTime }),
		term("runningStep", enum, func(x *ExtraInfo) *string { return &x.RunningStep }),
		number("runningProgress", func(x *ExtraInfo) *Optional[float64] { return &x.RunningProgress }),
		ignored[ExtraInfo]("monitoringIncr", figure),
		ignored[ExtraInfo]("subtopics", hidden),
		ignored[ExtraInfo]("reverseSubtopics", hidden),
		ignored[ExtraInfo]("logServiceStartCheckpoint", figure),
		number("sourceStoreKeptHour", func(x *ExtraInfo) *Optional[float64] { return &x.SourceStoreKeptHour }),
		number("syncDelay", func(x *ExtraInfo) *Optional[float64] { return &x.SyncDelay }),
		epoch("syncDelaySampleTimestamp", func(x *ExtraInfo) *time.Time { return &x.SyncDelaySampleTimestamp }),
		ignored[ExtraInfo]("accessObSource", figure),
		ignored[ExtraInfo]("overwriteConfig", figure),
		ignored[ExtraInfo]("ignoreUnsupportDdl", figure),
		ignored[ExtraInfo]("subDbs", hidden),
		ignored[ExtraInfo]("subConds", hidden),
		ignored[ExtraInfo]("subIds", hidden),
		ignored[ExtraInfo]("maxConnectorCount", figure),
		ignored[ExtraInfo]("storeIncr", figure),
		epoch("incrSyncTimestamp", func(x *ExtraInfo) *time.Time { return &x.IncrSyncTimestamp }),
	)
	alarmFields = newObject(
		ignored[AlarmStats]("target", alias("np_")),
		boolean("alarming", func(a *AlarmStats) *Optional[bool] { return &a.Alarming }),
		number("recentlyTriggerCount", func(a *AlarmStats) *Optional[float64] { return &a.RecentlyTriggerCount }),
		field[AlarmStats]{"ruleToRecentlyTriggerCount", (*decoder).readRules, mapOf(alias("rule_"), figure)},
		ignored[AlarmStats]("alarmContent", hidden),
		ignored[AlarmStats]("openMonitor", figure),
	)

	// ListProjectFullVerifyResult. The statistics name tables, and are not needed.
	verifyFields = newObject(
		number("differentNumber", func(v *VerifyResult) *Optional[float64] { return &v.DifferentNumber }),
		ignored[VerifyResult]("fullVerifyTableStatistics", listOf(tableFields.shown)),
	)
	tableFields = newObject(
		ignored[VerifyResult]("sourceTableName", alias("table_")),
		ignored[VerifyResult]("destTableName", alias("table_")),
		ignored[VerifyResult]("sourceSchemaName", alias("schema_")),
		ignored[VerifyResult]("destSchemaName", alias("schema_")),
		ignored[VerifyResult]("sourceOnlyCount", figure),
		ignored[VerifyResult]("destOnlyCount", figure),
		ignored[VerifyResult]("mismatchedCount", figure),
		ignored[VerifyResult]("consistentCount", figure),
		ignored[VerifyResult]("progress", figure),
		ignored[VerifyResult]("message", hidden),
		ignored[VerifyResult]("status", enum),
		ignored[VerifyResult]("resultType", enum),
		ignored[VerifyResult]("resultDesc", hidden),
		ignored[VerifyResult]("errorDetails", listOf(errorFields.shown)),
	)

	// DescribeProjectComponents.
	componentFields = newObject(
		list("storeList", MaxComponents, processFields, func(l *componentLists) *[]Component { return &l.store }),
		list("reverseStoreList", MaxComponents, processFields, func(l *componentLists) *[]Component { return &l.reverseStore }),
		list("fullVerifyComponents", MaxComponents, processFields, func(l *componentLists) *[]Component { return &l.fullVerify }),
		list("fullImportComponents", MaxComponents, processFields, func(l *componentLists) *[]Component { return &l.fullImport }),
		list("incrSyncComponents", MaxComponents, processFields, func(l *componentLists) *[]Component { return &l.incrSync }),
		list("reverseIncrSyncComponents", MaxComponents, processFields, func(l *componentLists) *[]Component { return &l.reverseIncrSync }),
	)
	processFields = newObject( // the union of what the lists have
		ignored[Component]("region", alias("region_")),
		ignored[Component]("name", alias("component_")),
		ignored[Component]("ip", hidden),
		ignored[Component]("identity", alias("np_")),
		ignored[Component]("type", enum),
		ignored[Component]("topic", hidden),
		ignored[Component]("subtopic", hidden),
		ignored[Component]("subtopics", hidden),
		ignored[Component]("inconsistentQuantity", figure),
		ignored[Component]("consistentQuantity", figure),
		ignored[Component]("progress", figure),
		ignored[Component]("recordProgress", figure),
		word("status", enum, func(c *Component) *string { return &c.Status }),
		ignored[Component]("checkpoint", figure),
		ignored[Component]("tps", figure),
		number("delay", func(c *Component) *Optional[float64] { return &c.Delay }),
		ignored[Component]("checkpointSampleTimestamp", figure),
		ignored[Component]("gmt", figure),
		ignored[Component]("conn", figure),
		ignored[Component]("errorDetails", listOf(errorFields.shown)),
		ignored[Component]("toSwitch", figure),
		ignored[Component]("port", hidden),
		ignored[Component]("storePort", hidden),
		ignored[Component]("beginCheckpoint", figure),
		ignored[Component]("endCheckpoint", figure),
		ignored[Component]("taskId", hidden),
		ignored[Component]("config", emptied),
		ignored[Component]("errMsg", hidden),
		ignored[Component]("gmtCreate", figure),
		ignored[Component]("gmtModify", figure),
		ignored[Component]("gmtModified", figure),
		ignored[Component]("latelyHeartbeatTimeSec", figure),
	)
)

// envelope returns the fields of an answer. All actions share them, and differ in
// data.
func envelope(data field[page]) *object[page] {
	return newObject(
		boolean("success", func(p *page) *Optional[bool] { return &p.success }),
		nested("errorDetail", errorFields, func(p *page) *ErrorDetail { return &p.detail }),
		word("code", code, func(p *page) *string { return &p.code }),
		term("message", hidden, func(p *page) *string { return &p.message }),
		ignored[page]("advice", hidden),
		word("requestId", alias("request_"), func(p *page) *string { return &p.requestID }),
		ignored[page]("pageNumber", figure),
		number("pageSize", func(p *page) *Optional[float64] { return &p.size }),
		number("totalCount", func(p *page) *Optional[float64] { return &p.total }),
		ignored[page]("cost", cost),
		data,
		ignored[page]("errorCode", code),
		ignored[page]("deletable", figure),
		ignored[page]("trace", hidden),
	)
}
