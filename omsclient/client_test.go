package omsclient_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"oms_exporter/omsclient"
)

func TestNewRejectsWhatIsNotTheURLOfAConsole(t *testing.T) {
	const password = "hunter2"
	for _, tt := range []struct{ console, want string }{
		{"", "not an http or https URL"},
		{"oms.example", "not an http or https URL"},
		{"oms.example:8089", "not"}, // a scheme, or no URL at all
		{"//oms.example:8089", "not an http or https URL"},
		{"https://", "not an http or https URL"},
		{"https://:8089", "not an http or https URL"},
		{"https:oms.example", "not an http or https URL"},
		{"ftp://oms.example", "not an http or https URL"},
		{"https://admin:hunter2@oms.example", "user name or password"},
		{"https://hunter2@oms.example", "user name or password"},
		{"https://admin:hunter2@oms.example:80a", "not a URL"},
		{"https://admin:hunter2%zz@oms.example", "not a URL"},
		{"ftp://admin:hunter2@oms.example", "not an http or https URL"},
		{"https://oms.example?password=hunter2", "query"},
		{"https://oms.example/#hunter2", "fragment"},
		{"https://oms.example\x7f/hunter2", "not a URL"},
		{"https://oms.example/api/v2", "without /api/v2"},
		{"https://oms.example/proxy/api/v2/", "without /api/v2"},
		{"https://oms.example/api/v2?Action=ListProjects", "query"},
	} {
		t.Run(tt.console, func(t *testing.T) {
			c, err := omsclient.New(tt.console, &http.Client{}, omsclient.Options{})

			if err == nil || c != nil {
				t.Fatalf("got client %v and error %v, want an error", c, err)
			}
			if !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), password) {
				t.Errorf("error %q, want one with %q and without the password", err, tt.want)
			}
		})
	}
}

func TestNewRejectsOptionsThatMakeNoSense(t *testing.T) {
	for name, options := range map[string]omsclient.Options{
		"page size -1":    {PageSize: -1},
		"page size 151":   {PageSize: 151},
		"concurrency":     {Concurrency: -1},
		"pages":           {MaxPages: -1},
		"length of pages": {MaxPageBytes: -1},
		"tries":           {MaxTries: -1},
		"projects":        {MaxProjects: -1},
	} {
		t.Run(name, func(t *testing.T) {
			if c, err := omsclient.New(console, &http.Client{}, options); err == nil || c != nil {
				t.Errorf("got client %v and error %v, want an error", c, err)
			}
		})
	}
}

func TestNewAcceptsConsolesBelowAPath(t *testing.T) {
	oms := paper(func(int, int) string { return sheet("1", "np_1") })
	for _, tt := range []struct{ given, path string }{
		{"", "/api/v2"},
		{"/", "/api/v2"},
		{"///", "/api/v2"},
		{"/proxy/oms", "/proxy/oms/api/v2"},
		{"/proxy/oms/", "/proxy/oms/api/v2"},
		{"/api/v2/oms", "/api/v2/oms/api/v2"},
		{"/a%20b", "/a%20b/api/v2"},
		{"?", "/api/v2"},
	} {
		t.Run(tt.given, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(
				func(w http.ResponseWriter, r *http.Request) {
					if r.URL.EscapedPath() != tt.path {
						http.NotFound(w, r)
						return
					}
					oms.ServeHTTP(w, r)
				}))
			defer server.Close()
			c, err := omsclient.New(server.URL+tt.given, server.Client(), omsclient.Options{})
			if err != nil {
				t.Fatal(err)
			}

			got, _, err := listIDs(t.Context(), c)
			if err != nil {
				t.Fatal(err)
			}
			checkEqual(t, "ids", got, []string{"np_1"})
		})
	}
}

func TestListAsksForAllTasksInTheOrderOfTheirCreation(t *testing.T) {
	for _, tt := range []struct {
		name    string
		options omsclient.Options
		want    string
	}{
		{"no options", omsclient.Options{}, `{"visibleSubProject":false,` +
			`"sortField":"gmtCreate","order":"asc","pageNumber":1,"pageSize":150}`},
		{"all filters", omsclient.Options{PageSize: 20, Filter: omsclient.Filter{
			SearchKey:           "orders",
			Type:                "MIGRATION",
			Statuses:            []string{"RUNNING", "FAILED"},
			LabelIDs:            []string{"l_1", "l_2"},
			SourceEndpointTypes: []string{"MYSQL", "TIDB"},
			SinkEndpointTypes:   []string{"OB_MYSQL"},
			Subtasks:            true,
		}}, `{"searchKey":"orders","type":"MIGRATION","status":["RUNNING","FAILED"],` +
			`"labelIds":["l_1","l_2"],"sourceEndpointTypes":["MYSQL","TIDB"],` +
			`"sinkEndpointTypes":["OB_MYSQL"],"visibleSubProject":true,` +
			`"sortField":"gmtCreate","order":"asc","pageNumber":1,"pageSize":20}`},
		{"the largest page", omsclient.Options{PageSize: 150}, `{"visibleSubProject":false,` +
			`"sortField":"gmtCreate","order":"asc","pageNumber":1,"pageSize":150}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var (
				got  *http.Request
				body []byte
			)
			c := newClientOver(t, roundTrip(func(r *http.Request) (_ *http.Response, err error) {
				got = r
				body, err = io.ReadAll(r.Body)
				return answer{body: sheet("1", "np_1")}.response(), err
			}), tt.options)

			if _, _, err := list(t.Context(), c); err != nil {
				t.Fatal(err)
			}

			checkEqual(t, "method", got.Method, http.MethodPost)
			checkEqual(t, "URL", got.URL.String(),
				"https://oms.example:8089/api/v2?Action=ListProjects")
			checkEqual(t, "header", got.Header, http.Header{
				"Content-Type": {"application/json"}, "Accept": {"application/json"},
				"Accept-Encoding": {"gzip"}, "Idempotency-Key": nil, // nil is not sent
			})
			checkEqual(t, "Content-Length", got.ContentLength, int64(len(body)))
			checkEqual(t, "body", string(body), tt.want)
		})
	}
}

func TestListAsksForEachPageByItsNumber(t *testing.T) {
	var bodies []string
	c := newClientOver(t, roundTrip(func(r *http.Request) (*http.Response, error) {
		body, err := io.ReadAll(r.Body)
		bodies = append(bodies, string(body))
		return answer{body: sheet("3", cut(tasks(3), len(bodies), 2)...)}.response(), err
	}), omsclient.Options{PageSize: 2})

	if _, _, err := list(t.Context(), c); err != nil {
		t.Fatal(err)
	}

	const body = `{"visibleSubProject":false,"sortField":"gmtCreate","order":"asc","pageNumber":`
	checkEqual(t, "bodies", bodies, []string{
		body + `1,"pageSize":2}`, body + `2,"pageSize":2}`,
	})
}

func TestNewLeavesTheHTTPClientAlone(t *testing.T) {
	hc := &http.Client{}

	if _, err := omsclient.New(console, hc, omsclient.Options{}); err != nil {
		t.Fatal(err)
	}

	if hc.CheckRedirect != nil {
		t.Error("the client that was given has another redirect policy now")
	}
}
