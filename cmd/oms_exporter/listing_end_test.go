package main

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
)

// A refusal is what some server answers when it is asked for a page after the
// last.
type refusal struct {
	name, body string
	status     int
	reason     string // where the listing is not complete
}

var refusals = []refusal{
	{"success:false", `{"success": false, "code": "PARAM_ERROR"}`, 200, "api_error"},
	{"400", `{"success": false, "code": "PARAM_ERROR"}`, 400, "http_status"},
	{"404", "<html>Not Found</html>", 404, "http_status"},
	{"416", "", 416, "http_status"},
	{"500", `{"status": 500, "error": "Internal Server Error"}`, 500, "http_status"},
	{"{}", "{}", 200, "decode"},
}

// refusingBeyond is an OMS of so many tasks, of which it claims to have another number,
// that serves at most so many at a time and refuses what is beyond the end.
func refusingBeyond(tasks, claimed, most int, beyond refusal) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		first := (pageAsked(r) - 1) * most
		if first >= tasks {
			w.WriteHeader(beyond.status)
			fmt.Fprint(w, beyond.body)
			return
		}
		var page []string
		for i := first; i < min(first+most, tasks); i++ {
			page = append(page, fmt.Sprintf(`{"id": "np_%d", "type": "SYNC", "status": "RUNNING"}`, i))
		}
		fmt.Fprintf(w, `{"success": true, "totalCount": %d, "data": [%s]}`, claimed, strings.Join(page, ","))
	})
}

// TestWhateverFailsAfterAllTasksIsTheEnd has 150 of 150 tasks on page 1, twice: what
// page 2 answers must not rest the secret either.
func TestWhateverFailsAfterAllTasksIsTheEnd(t *testing.T) {
	t.Parallel()
	for name, beyond := range map[string]http.HandlerFunc{
		"no body": statusOnly(200), "302": statusOnly(302), "401": statusOnly(401), "403": statusOnly(403),
		"405": statusOnly(405), "502": statusOnly(502), "429": statusOnly(429),
		"HTML": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			fmt.Fprint(w, "<html>")
		},
		"reset":   func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"nothing": func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			all := fleetOf(150)
			address, settings := serve1or2(t, "HTTP/1.1", http.HandlerFunc(
				func(w http.ResponseWriter, r *http.Request) {
					if pageAsked(r) == 1 {
						fmt.Fprint(w, all[0])
						return
					}
					beyond(w, r)
				}))
			p := exporterOf(t, fmt.Sprintf("  oms: {"+settings+", exclude: {statuses: [RUNNING]}}\n", address))
			for range 2 {
				if got := verdict(t, p.url+"/probe?target=oms", scrapeTimeout, ample); got != "up, 150 tasks" {
					t.Error(got)
				}
			}
		})
	}
}

// TestARefusalAfterTheLastPageIsTheEnd has numbers of tasks around those that
// fill their pages.
func TestARefusalAfterTheLastPageIsTheEnd(t *testing.T) {
	t.Parallel()
	type row struct {
		name, want string
		oms        http.Handler
	}
	var rows []row
	for _, beyond := range refusals {
		for _, tasks := range []int{1, 149, 150, 151, 300, 450} {
			rows = append(rows, row{
				fmt.Sprintf("%d tasks, then %s", tasks, beyond.name), fmt.Sprintf("up, %d tasks", tasks),
				refusingBeyond(tasks, tasks, 150, beyond),
			})
		}
		for _, tasks := range []int{50, 100, 120, 150, 200} {
			rows = append(rows, row{
				fmt.Sprintf("%d tasks, at most 50 a page, then %s", tasks, beyond.name), fmt.Sprintf("up, %d tasks", tasks),
				refusingBeyond(tasks, tasks, 50, beyond),
			})
		}
		for _, tasks := range []int{150, 300} {
			rows = append(rows, row{
				fmt.Sprintf("%d tasks of one more, then %s", tasks, beyond.name), "down: " + beyond.reason,
				refusingBeyond(tasks, tasks+1, 150, beyond),
			})
		}
	}
	targets := ""
	for i, row := range rows {
		targets += fmt.Sprintf("  t%d: {url: %q, exclude: {statuses: [RUNNING]}}\n", i, serveOMS(t, row.oms))
	}
	p := exporterOf(t, targets, "--web.max-requests=0")
	t.Run("rows", func(t *testing.T) {
		for i, row := range rows {
			t.Run(row.name, func(t *testing.T) {
				t.Parallel()

				got := verdict(t, fmt.Sprintf("%s/probe?target=t%d", p.url, i), scrapeTimeout, ample)

				if got != row.want {
					t.Errorf("%s, want %s", got, row.want)
				}
			})
		}
	})
}

// TestAListingThatLacksTasksIsLogged has an OMS that counts 400 tasks. Of these it lists the
// first page, or none.
func TestAListingThatLacksTasksIsLogged(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		listed       int
		want, logged string
		check        string // what check says of the pages
	}{
		"most": {
			150, "up, 150 tasks", `level=warn .*target=oms msg="the tasks that OMS lists are not as many as it counts" listed=150 counted=400`,
			"OMS counts 400 tasks and lists 150: 250 may be missing$",
		},
		"all": {
			0, "down: pagination", `level=error .*reason=pagination err="list projects: page 1: OMS counts 400 tasks and lists none"`,
			"OMS counts 400 tasks and lists none$",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			first := strings.Replace(fleetOf(150)[0], `"totalCount": 150`, `"totalCount": 400`, 1)
			url := serveOMS(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if pageAsked(r) > 1 || row.listed == 0 {
					fmt.Fprint(w, `{"success": true, "totalCount": 400, "data": []}`)
					return
				}
				fmt.Fprint(w, first)
			}))
			p := exporterOf(t, fmt.Sprintf("  oms: {url: %q}\n", url))

			for range 2 {
				if got := verdict(t, p.url+"/probe?target=oms"); got != row.want {
					t.Errorf("%s, want %s", got, row.want)
				}
			}

			expectLogged(t, p, row.logged)
			if n := len(regexp.MustCompile(row.logged).FindAllString(p.stderr.String(), -1)); n != 1 {
				t.Errorf("logged %d times, want once:\n%s", n, p.stderr)
			}
			var said string
			for _, f := range checkOne(t, "--oms.url="+url).Steps {
				said += f.Detail + "\n"
			}
			if !regexp.MustCompile("(?m)" + row.check).MatchString(said) {
				t.Errorf("check says:\n%s\nwant %s", said, row.check)
			}
		})
	}
}
