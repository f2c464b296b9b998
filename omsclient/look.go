package omsclient

import (
	"context"
	"slices"
)

// The actions of the API that a [Client] calls. All of them only read.
const (
	// ActionVerifyResult returns what a full verification has found. It is asked
	// for its totals only.
	ActionVerifyResult = "ListProjectFullVerifyResult"

	// ActionComponents returns the processes that work for a project.
	ActionComponents = "DescribeProjectComponents"
)

// A VerifyResult is what the full verification of a project has found.
type VerifyResult struct {
	DifferentNumber Optional[float64] // records that differ
	Tables          Optional[float64] // tables compared; totalCount in the API
}

// A Component is a process that works for a project. Hosts, accounts, JDBC URLs and
// error texts of components are never read.
type Component struct {
	Kind    ComponentKind
	Reverse bool              // works from the sink to the source
	Status  string            // such as ACTIVE, RUNNING, UNEXPECTED_EXIT
	Delay   Optional[float64] // seconds
}

// A ComponentKind is what a component does.
type ComponentKind string

// The kinds of components.
const (
	Store      ComponentKind = "store"       // reads the changes of the source
	IncrSync   ComponentKind = "incr_sync"   // applies them to the sink
	FullImport ComponentKind = "full_import" // copies all rows once
	FullVerify ComponentKind = "full_verify" // compares all rows
)

// MaxComponents is how many components of a project are read.
const MaxComponents = 256

// VerifyResult asks what the full verification of a project has found. It returns
// every attempt, also if all of them failed. The error is an [*Error].
func (c *Client) VerifyResult(
	ctx context.Context, projectID string,
) (VerifyResult, []Request, error) {
	p, attempts, err := c.fetch(ctx, order{
		action: ActionVerifyResult, fields: verifyAnswer,
		body: struct {
			ProjectID  string `json:"projectId"`
			PageNumber int    `json:"pageNumber"`
			PageSize   int    `json:"pageSize"`
		}{projectID, 1, 1},
	})
	if err != nil {
		return VerifyResult{}, attempts, err
	}
	result := p.verify
	result.Tables = p.total
	if result.DifferentNumber.Value < 0 {
		result.DifferentNumber = Optional[float64]{}
	}
	return result, attempts, nil
}

// Components asks for the components of a project. It returns every attempt, also if
// all of them failed. The error is an [*Error].
func (c *Client) Components(ctx context.Context, projectID string) ([]Component, []Request, error) {
	p, attempts, err := c.fetch(ctx, order{
		action: ActionComponents, fields: componentsAnswer,
		body: struct {
			ID string `json:"id"`
		}{projectID},
	})
	if err != nil {
		return nil, attempts, err
	}
	return p.components.all(), attempts, nil
}

// componentLists are the components of a project by the lists in which OMS sends them.
type componentLists struct {
	store, reverseStore, fullImport, fullVerify, incrSync, reverseIncrSync []Component
}

// all returns the components with what their lists say about them.
func (l *componentLists) all() []Component {
	var all []Component
	for _, list := range []struct {
		components []Component
		kind       ComponentKind
		reverse    bool
	}{
		{l.store, Store, false},
		{l.reverseStore, Store, true},
		{l.fullImport, FullImport, false},
		{l.fullVerify, FullVerify, false},
		{l.incrSync, IncrSync, false},
		{l.reverseIncrSync, IncrSync, true},
	} {
		for _, c := range list.components {
			c.Kind, c.Reverse = list.kind, list.reverse
			all = append(all, c)
		}
	}
	return slices.Clip(all)
}
