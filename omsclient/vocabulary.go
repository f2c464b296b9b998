package omsclient

import "slices"

// This file lists the values that the documentation of ListProjects names. New
// versions of OMS add to them, so a client must accept others too. Every function
// returns a new slice, which the caller may change.

// The vocabulary is all documented values, each under itself.
var vocabulary = func() map[string]string {
	all := map[string]string{}
	for _, term := range slices.Concat(
		Types(), Statuses(), EndpointTypes(), Importances(), StepStatuses(), StepNames(),
	) {
		all[term] = term
	}
	return all
}()

// Types returns the documented values of a project's type.
func Types() []string { return []string{"MIGRATION", "SYNC", "VERIFY"} }

// Statuses returns the documented values of a project's status.
func Statuses() []string {
	return []string{
		"INIT", "RUNNING", "SUSPEND", "FAILED", "FINISHED", "RELEASING", "RELEASED", "DELETED",
		"RUNNING_MODIFYING", "RUNNING_MERGING",
	}
}

// FilterStatuses returns the documented values of [Filter.Statuses]: the statuses
// of a project, and one that exists only in filters.
func FilterStatuses() []string { return append(Statuses(), "RUNNING_ALARMING") }

// EndpointTypes returns the documented values of the type of a source or a sink.
func EndpointTypes() []string {
	return []string{
		"MYSQL", "OB_MYSQL", "OB_ORACLE", "ORACLE", "TIDB", "DB2_LUW", "POSTGRESQL", "IDB",
		"DBP_OP_ROUTE", "KAFKA", "DATAHUB", "ROCKETMQ",
	}
}

// Importances returns the documented values of a project's importance, the
// protection level by which OMS itself raises alarms.
func Importances() []string { return []string{"HIGH", "MEDIUM", "LOW", "IGNORE"} }

// StepStatuses returns the documented values of a step's status. MONITORING is
// the steady state of a step that follows its source.
func StepStatuses() []string {
	return []string{"INIT", "RUNNING", "MONITORING", "SUSPEND", "FAILED", "FINISHED"}
}

// StepNames returns the documented values of a step's name.
func StepNames() []string {
	return slices.Concat(ForwardSteps(), ReverseSteps(), FullCopySteps(), FullVerifySteps(),
		SwitchoverSteps(), []string{
			"PRE_CHECK", "TRANSFER_PRECHECK", "PREPARE", "SYNC_PREPARE", "TRANSFER_PREPARE",
			"STRUCT_TRANSFER", "STRUCT_MIGRATION", "STRUCT_SYNC", "INDEX_MIGRATION", "INDEX_TRANSFER",
			"INCR_LOG_PULL", "TRANSFER_INCR_LOG_PULL", "SYNC_INCR_LOG_PULL", "INCR_VERIFIER",
		})
}

// ForwardSteps returns the names of steps that apply the changes of the source to
// the sink.
func ForwardSteps() []string {
	return []string{"INCR_TRANSFER", "INCR_SYNC", "CONNECTOR_INCR_SYNC"}
}

// ReverseSteps returns the names of steps that, after a switchover, apply the
// changes of the former sink to the former source.
func ReverseSteps() []string { return []string{"REVERSE_INCR_TRANSFER", "REVERSE_INCR_SYNC"} }

// FullCopySteps returns the names of steps that copy all rows once.
func FullCopySteps() []string {
	return []string{"FULL_TRANSFER", "FULL_MIGRATION", "CONNECTOR_FULL_SYNC"}
}

// FullVerifySteps returns the names of steps that compare all rows.
func FullVerifySteps() []string { return []string{"FULL_VERIFIER", "FULL_VALIDATION"} }

// SwitchoverSteps returns the names of steps that wait for a person to switch
// over.
func SwitchoverSteps() []string { return []string{"TRANSFER_APP_SWITCH", "APP_SWITCH"} }
