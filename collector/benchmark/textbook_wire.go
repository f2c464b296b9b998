package benchmark

import (
	"encoding/json"
	"time"
)

// What the documents of ListProjects describe, as structs for encoding/json.
type (
	page struct {
		Success    bool      `json:"success"`
		Code       string    `json:"code"`
		Message    string    `json:"message"`
		Advice     string    `json:"advice"`
		RequestID  string    `json:"requestId"`
		PageNumber int       `json:"pageNumber"`
		PageSize   int       `json:"pageSize"`
		TotalCount *float64  `json:"totalCount"`
		Cost       string    `json:"cost"`
		Data       []Project `json:"data"`

		clockSkew time.Duration
	}

	// A Project is an element of data.
	Project struct {
		ID                        string          `json:"id"`
		Type                      string          `json:"type"`
		Name                      string          `json:"name"`
		Labels                    []Label         `json:"labels"`
		Owner                     string          `json:"owner"`
		Importance                string          `json:"importance"`
		Status                    string          `json:"status"`
		GmtCreate                 string          `json:"gmtCreate"`
		GmtModified               string          `json:"gmtModified"`
		GmtStart                  string          `json:"gmtStart"`
		GmtFinish                 string          `json:"gmtFinish"`
		DestConnID                string          `json:"destConnId"`
		IsMerging                 *bool           `json:"isMerging"`
		IsModifying               *bool           `json:"isModifying"`
		IsSubProject              *bool           `json:"isSubProject"`
		SourceEndpointType        string          `json:"sourceEndpointType"`
		SinkEndpointType          string          `json:"sinkEndpointType"`
		EnableStructTransfer      *bool           `json:"enableStructTransfer"`
		EnableFullTransfer        *bool           `json:"enableFullTransfer"`
		EnableFullVerify          *bool           `json:"enableFullVerify"`
		EnableIncrTransfer        *bool           `json:"enableIncrTransfer"`
		EnableIncrVerify          *bool           `json:"enableIncrVerify"`
		EnableReverseIncrTransfer *bool           `json:"enableReverseIncrTransfer"`
		TransferMapping           json.RawMessage `json:"transferMapping"`
		CommonTransferConfig      json.RawMessage `json:"commonTransferConfig"`
		StructTransferConfig      json.RawMessage `json:"structTransferConfig"`
		FullTransferConfig        json.RawMessage `json:"fullTransferConfig"`
		IncrTransferConfig        json.RawMessage `json:"incrTransferConfig"`
		ReverseIncrTransferConfig json.RawMessage `json:"reverseIncrTransferConfig"`
		SourceConnectInfo         ConnectInfo     `json:"sourceConnectInfo"`
		SinkConnectInfo           ConnectInfo     `json:"sinkConnectInfo"`
		Steps                     []Step          `json:"steps"`
		ExtraInfo                 ExtraInfo       `json:"extraInfo"`
		AlarmStats                AlarmStats      `json:"alarmStats"`
	}

	// A Label is an element of labels.
	Label struct {
		ID   string `json:"id"`
		Name string `json:"name"`
	}

	// A ConnectInfo is an end of a project.
	ConnectInfo struct {
		ID                  string         `json:"id"`
		EndpointName        string         `json:"endpointName"`
		EndpointID          string         `json:"endpointId"`
		EndpointSide        string         `json:"endpointSide"`
		DBEngine            string         `json:"dbEngine"`
		ConnectionInfo      string         `json:"connectionInfo"`
		Username            string         `json:"username"`
		Version             string         `json:"version"`
		Timezone            string         `json:"timezone"`
		Charset             string         `json:"charset"`
		NLSLengthSemantics  string         `json:"nlsLengthSemantics"`
		OperatingSystem     string         `json:"operatingSystem"`
		Region              string         `json:"region"`
		OCPName             string         `json:"ocpName"`
		ConnExtraAttributes map[string]any `json:"connExtraAttributes"`
		Owner               string         `json:"owner"`
		Host                string         `json:"host"`
		Port                int            `json:"port"`
	}

	// A Step is an element of steps.
	Step struct {
		Order       *float64 `json:"order"`
		Name        string   `json:"name"`
		Description string   `json:"description"`
		Status      string   `json:"status"`
		ExtraInfo   Failure  `json:"extraInfo"`
		StartTime   string   `json:"startTime"`
		FinishTime  string   `json:"finishTime"`
		Progress    *float64 `json:"progress"`
		StepInfo    StepInfo `json:"stepInfo"`
	}

	// A StepInfo is what OMS measures of a step.
	StepInfo struct {
		IncrTimestampCheckpoint   *float64 `json:"incrTimestampCheckpoint"`
		CheckpointSampleTimestamp *float64 `json:"checkpointSampleTimestamp"`
		EnableIncrStatistics      *bool    `json:"enableIncrStatistics"`
		ProcessedRecords          *float64 `json:"processedRecords"`
		Capacity                  *float64 `json:"capacity"`
		SrcRps                    *float64 `json:"srcRps"`
		SrcRpsRef                 *float64 `json:"srcRpsRef"`
		SrcRt                     *float64 `json:"srcRt"`
		SrcRtRef                  *float64 `json:"srcRtRef"`
		SrcIops                   *float64 `json:"srcIops"`
		SrcIopsRef                *float64 `json:"srcIopsRef"`
		DstRps                    *float64 `json:"dstRps"`
		DstRpsRef                 *float64 `json:"dstRpsRef"`
		DstRt                     *float64 `json:"dstRt"`
		DstRtRef                  *float64 `json:"dstRtRef"`
		DstIops                   *float64 `json:"dstIops"`
	}

	// A Failure is the extraInfo of a step, and part of that of a project.
	Failure struct {
		ErrorDetails []ErrorDetail     `json:"errorDetails"`
		ErrorCode    string            `json:"errorCode"`
		ErrorMsg     string            `json:"errorMsg"`
		ErrorParam   map[string]string `json:"errorParam"`
		FailedTime   string            `json:"failedTime"`
	}

	// An ErrorDetail explains a failure.
	ErrorDetail struct {
		Code           string `json:"code"`
		Level          string `json:"level"`
		Message        string `json:"message"`
		MessageMcmsKey string `json:"messageMcmsKey"`
		Reason         string `json:"reason"`
		Proposal       string `json:"proposal"`
	}

	// An ExtraInfo is the extraInfo of a project.
	ExtraInfo struct {
		Failure
		RunningStep               string   `json:"runningStep"`
		RunningProgress           *float64 `json:"runningProgress"`
		MonitoringIncr            *bool    `json:"monitoringIncr"`
		Subtopics                 []string `json:"subtopics"`
		ReverseSubtopics          []string `json:"reverseSubtopics"`
		LogServiceStartCheckpoint *float64 `json:"logServiceStartCheckpoint"`
		SourceStoreKeptHour       *float64 `json:"sourceStoreKeptHour"`
		SyncDelay                 *float64 `json:"syncDelay"`
		SyncDelaySampleTimestamp  *float64 `json:"syncDelaySampleTimestamp"`
		AccessObSource            *bool    `json:"accessObSource"`
		OverwriteConfig           *bool    `json:"overwriteConfig"`
		IgnoreUnsupportDdl        *bool    `json:"ignoreUnsupportDdl"`
		SubDbs                    []string `json:"subDbs"`
		SubConds                  []string `json:"subConds"`
		SubIDs                    []string `json:"subIds"`
		MaxConnectorCount         *float64 `json:"maxConnectorCount"`
		StoreIncr                 *bool    `json:"storeIncr"`
		IncrSyncTimestamp         *float64 `json:"incrSyncTimestamp"`
	}

	// An AlarmStats is what OMS alarms about.
	AlarmStats struct {
		Target                     string             `json:"target"`
		Alarming                   *bool              `json:"alarming"`
		RecentlyTriggerCount       *float64           `json:"recentlyTriggerCount"`
		RuleToRecentlyTriggerCount map[string]float64 `json:"ruleToRecentlyTriggerCount"`
		AlarmContent               string             `json:"alarmContent"`
	}
)
