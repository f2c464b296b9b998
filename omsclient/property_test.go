package omsclient_test

import (
	"fmt"
	"strconv"
	"testing"

	"pgregory.net/rapid"

	"oms_exporter/omsclient"
)

func TestAnyListingIsCompleteAndInOrder(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.IntRange(0, 400).Draw(rt, "tasks")
		size := rapid.IntRange(1, omsclient.MaxPageSize).Draw(rt, "page size")
		limit := rapid.IntRange(1, 2*omsclient.MaxPageSize).Draw(rt, "largest page served")
		concurrency := rapid.IntRange(1, 9).Draw(rt, "concurrency")
		total := rapid.OneOf(
			rapid.Just(""), rapid.Just("null"), rapid.Just(`"many"`), rapid.Just(strconv.Itoa(n)),
			rapid.Map(rapid.IntRange(-1, 1000), strconv.Itoa),
			rapid.Map(rapid.Float64(), func(v float64) string { return fmt.Sprintf(`"%g"`, v) }),
		).Draw(rt, "totalCount")
		nothing := rapid.SampledFrom([]string{
			`,"data":[]`, `,"data":[],"pageNumber":9`, `,"data":[ ] `,
		}).Draw(rt, "no data")
		oms := &count{Handler: paper(func(page, asked int) string {
			served := min(asked, limit)
			ids := cut(tasks(n), page, served)
			text := sheet(total, ids...)
			if len(ids) == 0 {
				text = `{"success":true` + nothing + `}`
			}
			return fmt.Sprintf(`{"pageSize":%d,%s`, served, text[1:])
		})}
		c := newClient(t, oms, omsclient.Options{
			PageSize: size, Concurrency: concurrency, MaxProjects: 1 << 30,
		})

		got, report, err := listIDs(t.Context(), c)
		if err != nil {
			rt.Fatal(err)
		}
		want := tasks(n)
		if fmt.Sprint(got) != fmt.Sprint(want) {
			rt.Fatalf("got %v, want %v", got, want)
		}
		// At most two passes, each with the first empty page and those requested ahead.
		pages := n/min(size, limit) + 2
		if most := 2 * (pages + concurrency); oms.get() > most || report.Pages > 2*pages {
			rt.Errorf("%d requests for %d pages, want at most %d", oms.get(), report.Pages, most)
		}
		if total == strconv.Itoa(n) && report.Inconsistent {
			rt.Error("a right count is reported as inconsistent")
		}
		if report.Duplicates != 0 || report.Invalid != 0 {
			rt.Errorf("%d duplicates, %d invalid", report.Duplicates, report.Invalid)
		}
	})
}
