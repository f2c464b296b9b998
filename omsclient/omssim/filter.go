package omssim

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"
)

// A Filter is what a request asks for, with the defaults of the API filled in.
type Filter struct {
	SearchKey           string // part of the name, or the id
	Type                string // empty: any
	Status              []string
	LabelIDs            []string // any of these
	SourceEndpointTypes []string
	SinkEndpointTypes   []string
	VisibleSubProject   bool
	SortField           string // gmtCreate or gmtModified
	Order               string // asc or descend
}

// A query is a decoded request body.
type query struct {
	Filter
	pageNumber, pageSize int
}

const (
	sortModified    = "gmtModified"
	runningAlarming = "RUNNING_ALARMING"
	maxLabels       = 5
	maxBody         = 1 << 20
)

// The values that the API documents for parameters.
var (
	types      = []string{"", migration, synchronize, verification}
	sortFields = []string{"gmtCreate", sortModified}
	orders     = []string{"asc", "descend"}
	statuses   = []string{
		initial, running, suspended, failed, finished, "RELEASING", "RELEASED", "DELETED",
		"RUNNING_MODIFYING", "RUNNING_MERGING", runningAlarming,
	}
)

// decodeQuery decodes a request body. It refuses everything that the API does not
// document, and pages of more than maxSize tasks: an OMS that ignored a mistake
// would list every task, and the client's mistake would go unnoticed.
func decodeQuery(body io.Reader, maxSize int) (query, error) {
	q := query{Filter: Filter{SortField: "gmtCreate", Order: "descend"}, pageNumber: 1, pageSize: 10}
	document, err := io.ReadAll(io.LimitReader(body, maxBody))
	if err != nil {
		return q, fmt.Errorf("cannot read the request: %w", err)
	}
	var parameters map[string]json.RawMessage
	if err := json.Unmarshal(document, &parameters); err != nil {
		return q, fmt.Errorf("the request is not a JSON object: %w", err)
	}
	targets := map[string]any{
		"searchKey":           &q.SearchKey,
		"type":                &q.Type,
		"status":              (*oneOrMany)(&q.Status),
		"labelIds":            &q.LabelIDs,
		"sourceEndpointTypes": &q.SourceEndpointTypes,
		"sinkEndpointTypes":   &q.SinkEndpointTypes,
		"visibleSubProject":   &q.VisibleSubProject,
		"sortField":           &q.SortField,
		"order":               &q.Order,
		"pageNumber":          &q.pageNumber,
		"pageSize":            &q.pageSize,
		"needRelatedInfo":     new(bool),   // of the cloud service; ignored
		"uid":                 new(string), // of the cloud service; ignored
	}
	for _, name := range slices.Sorted(maps.Keys(parameters)) {
		target, known := targets[name]
		if !known {
			return q, fmt.Errorf("unknown parameter %q", name)
		}
		if err := json.Unmarshal(parameters[name], target); err != nil {
			return q, fmt.Errorf("parameter %q: %w", name, err)
		}
	}
	return q, q.validate(maxSize)
}

// validate returns an error if a value is not one that the API documents.
func (q *query) validate(maxSize int) error {
	for _, status := range q.Status {
		if !slices.Contains(statuses, status) {
			return fmt.Errorf("unknown status %q", status)
		}
	}
	switch {
	case !slices.Contains(types, q.Type):
		return fmt.Errorf("unknown type %q", q.Type)
	case len(q.LabelIDs) > maxLabels:
		return fmt.Errorf("%d labelIds, at most %d are allowed", len(q.LabelIDs), maxLabels)
	case !slices.Contains(sortFields, q.SortField):
		return fmt.Errorf("unknown sortField %q", q.SortField)
	case !slices.Contains(orders, q.Order):
		return fmt.Errorf("unknown order %q", q.Order)
	case q.pageNumber < 1 || q.pageNumber > math.MaxInt32:
		return fmt.Errorf("pageNumber must be from 1 to %d", math.MaxInt32)
	case q.pageSize < 1 || q.pageSize > maxSize:
		return fmt.Errorf("pageSize must be from 1 to %d", maxSize)
	}
	return nil
}

// A oneOrMany is a list of strings that may also be sent as a single string.
type oneOrMany []string

// UnmarshalJSON implements [json.Unmarshaler].
func (s *oneOrMany) UnmarshalJSON(value []byte) error {
	if !bytes.HasPrefix(value, []byte{'"'}) {
		return json.Unmarshal(value, (*[]string)(s))
	}
	var one string
	if err := json.Unmarshal(value, &one); err != nil {
		return err
	}
	*s = oneOrMany{one}
	return nil
}

// find returns the indices of the tasks that match the filter at the given time, in
// the order that it asks for.
func (f *fleet) find(filter *Filter, at int64) []int {
	found := make([]int, 0, len(f.tasks))
	var st state
	for i := range f.tasks {
		t := &f.tasks[i]
		if !filter.fits(t) {
			continue
		}
		if len(filter.Status) > 0 {
			t.stateAt(at, &st)
			if !filter.fitsStatus(&st) {
				continue
			}
		}
		found = append(found, i)
	}
	if filter.SortField == sortModified {
		f.sortByChange(found, at)
	}
	if filter.Order != "asc" {
		slices.Reverse(found)
	}
	return found
}

// fits reports whether a task matches the filter, apart from the status.
func (f *Filter) fits(t *task) bool {
	oneOf := func(list []string, value string) bool {
		return len(list) == 0 || slices.Contains(list, value)
	}
	labeled := func(l label) bool { return slices.Contains(f.LabelIDs, l.id) }
	return (f.VisibleSubProject || !t.subProject) &&
		(f.Type == "" || f.Type == t.kind) &&
		(f.SearchKey == "" || f.SearchKey == t.id || strings.Contains(t.name, f.SearchKey)) &&
		oneOf(f.SourceEndpointTypes, t.source.kind) &&
		oneOf(f.SinkEndpointTypes, t.sink.kind) &&
		(len(f.LabelIDs) == 0 || slices.ContainsFunc(t.labels, labeled))
}

func (f *Filter) fitsStatus(st *state) bool {
	return slices.Contains(f.Status, st.status) ||
		st.status == running && st.alarm.rule != "" && slices.Contains(f.Status, runningAlarming)
}

// sortByChange sorts tasks by gmtModified.
func (f *fleet) sortByChange(found []int, at int64) {
	changes := make(map[int]int64, len(found))
	var st state
	for _, i := range found {
		f.tasks[i].stateAt(at, &st)
		changes[i] = st.change
	}
	slices.SortStableFunc(found, func(a, b int) int { return cmp.Compare(changes[a], changes[b]) })
}
