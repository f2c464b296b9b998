package main

import (
	"fmt"
	"go/constant"
	"go/token"
	"go/types"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kingpin/v2"
	"github.com/go-kit/log"

	"oms_exporter/collector"
	"oms_exporter/omsclient"
)

// TestBounds checks the table of what an OMS can make grow.
func TestBounds(t *testing.T) {
	checkPart(t, "../../deploy/docs/security.md", "bounds", boundReference(t))
}

func boundReference(t *testing.T) string {
	t.Helper()
	const decode, listing, words, exchange, report = "decode.go", "listing.go", "words.go", "exchange.go", "report.go"
	of := func(file, name string) int64 { return sourceConstant(t, "../../omsclient/"+file, name) }
	client := omsclient.DefaultOptions()
	counted := "left out, and counted in `oms_exporter_unknown_values_total`"
	fails := func(reason omsclient.Reason) string { return fmt.Sprintf("the listing fails, reason `%s`", reason) }
	var b strings.Builder
	b.WriteString("| what an OMS can make grow | bound | what happens beyond it | where |\n| --- | --- | --- | --- |\n")
	for _, row := range [][4]string{
		{"tasks of a listing", "`max_tasks`, by default " + thousands(int64(client.MaxProjects)), fails(omsclient.Limit), "omsclient/" + listing},
		{
			"memory of the tasks, as they are read, and of their series",
			fmt.Sprintf("%s for each of `max_tasks`, and at least for %s", inUnits(omsclient.BytesPerProject), thousands(omsclient.LeastProjects)),
			fails(omsclient.Limit), "omsclient/" + decode + ", collector/budget.go",
		},
		{"pages of a listing", thousands(int64(client.MaxPages)), fails(omsclient.Pagination), "omsclient/" + listing},
		{"rows of a page", thousands(of(decode, "maxElements")), fails(omsclient.Decode), "omsclient/" + decode},
		{"bytes of a page, inflated", inUnits(client.MaxPageBytes), fails(omsclient.Decode), "omsclient/" + exchange},
		{"bytes of a text, or of white space", inUnits(of(decode, "maxToken")), fails(omsclient.Decode), "omsclient/" + decode},
		{"bytes that are read of an answer that is an error", inUnits(of(exchange, "maxBody")), "not read", "omsclient/" + exchange},
		{"bytes of the headers of an answer", inUnits(maxResponseHeader), fails(omsclient.HTTPStatus), "cmd/oms_exporter/credentials.go"},
		{"a name or another text of a task", fmt.Sprintf("%d characters", omsclient.MaxText), "cut, and counted in `oms_exporter_unknown_values_total`", "omsclient/" + decode},
		{
			"tags, steps and alarm rules of a task",
			fmt.Sprintf("%d, %d and %d", omsclient.MaxLabels, omsclient.MaxSteps, omsclient.MaxRules), counted, "omsclient/" + decode,
		},
		{"codes of an error of a task or a step", fmt.Sprintf("%d", omsclient.MaxErrors), counted, "omsclient/" + decode},
		{"bytes of an answer about one task, inflated", inUnits(of(decode, "maxDetailBytes")), "the answer is not used", "omsclient/" + exchange},
		{"components of a task, in each of OMS's six lists", fmt.Sprintf("%d", omsclient.MaxComponents), "left out", "omsclient/look.go"},
		{
			"questions about verifications, and about components, after a listing",
			fmt.Sprintf("%d, 2 at once, and %d, one at a time", sourceConstant(t, "../../collector/verify.go", "verifyRound"),
				sourceConstant(t, "../../collector/component.go", "troubleRound")),
			"asked after the next listing", "collector/look.go",
		},
		{
			"alarm rules of a task, over time", fmt.Sprintf("%d", omsclient.MaxRules),
			"the one that was not seen longest is forgotten, and counted in `oms_exporter_unknown_values_total`", "collector/alarms.go",
		},
		{
			"pairs of type and status in `oms_tasks`", fmt.Sprintf("the documented ones and %d others", collector.MaxOddPairs),
			"tasks count as `other`, `other`", "collector/snapshot.go",
		},
		{"unknown values that are remembered and logged", fmt.Sprintf("%d", collector.MaxLogged), "counted, but not logged", "collector/history.go"},
		{"words of OMS in errors, log and `/status`", fmt.Sprintf("%d characters a word, %d an error", of(words, "maxWord"), of(words, "maxWords")), "cut", "omsclient/" + words},
		{"requests of a listing that are told one by one", thousands(of(report, "MaxRequests")), "only added up", "omsclient/" + report},
		{
			"names of alarm rules that are no longer listed, of all tasks", inUnits(collector.MaxUnseenBytes),
			"forgotten, and counted in `oms_exporter_unknown_values_total`", "collector/alarms.go",
		},
		{
			"answers of a listing that are kept for several scrapers", fmt.Sprintf("%d, of %s each", maxBodies, inUnits(maxShared)),
			"encoded for each of them", "cmd/oms_exporter/exposition.go",
		},
		{"time of a scrape", "`--scrape.timeout`, or what Prometheus says", fails(omsclient.Timeout) + "; writing ends when the scraper is gone", "collector/scrape.go, encode.go"},
		{
			"bytes of a file: a password, a token, a name, a private key", inUnits(maxSecretFile),
			"the file is not used: " + fails(omsclient.Credentials), "cmd/oms_exporter/readfile.go",
		},
		{
			"bytes of a file: certificates, a configuration", inUnits(maxOtherFile),
			"the file is not used: " + fails(omsclient.Credentials) + ", or the configuration is refused", "cmd/oms_exporter/readfile.go",
		},
	} {
		fmt.Fprintf(&b, "| %s |\n", strings.Join(row[:], " | "))
	}
	return b.String()
}

// TestClientBounds checks the table of what a client can make grow.
func TestClientBounds(t *testing.T) {
	server := newServer(http.NotFoundHandler(), log.NewNopLogger())
	seconds := func(d time.Duration) string { return fmt.Sprintf("%g seconds", d.Seconds()) }
	closed := "the connection is closed"
	var b strings.Builder
	b.WriteString("| what a client can make grow | bound | what happens beyond it |\n| --- | --- | --- |\n")
	for _, row := range [][3]string{
		{
			"connections", fmt.Sprintf("%d, or half of the files that the process may have open", maxConnections),
			"the one that has been without a request for longest is closed; if all have one, the new one is",
		},
		{"requests at the same time on a connection", fmt.Sprintf("%d with HTTP/2", server.HTTP2.MaxConcurrentStreams), "clients open another connection"},
		{"bytes of the headers of a request", inUnits(int64(server.MaxHeaderBytes)), "HTTP status 431, or " + closed},
		{
			"requests about a target that are in progress",
			fmt.Sprintf("twice `--web.max-requests`, so %d", cap(newLimits(defaultAnswers(t)).requests)), "HTTP status 503",
		},
		{
			"answers of a target that are sent at the same time, and listings that they are made from",
			fmt.Sprintf("`--web.max-requests`, so %d; one with more than %d tasks counts as several", defaultAnswers(t), collector.TasksPerPlace),
			"later scrapes wait, share the next listing, and get HTTP status 503 or the reason `timeout` if their time is up",
		},
		{"time to send a request", fmt.Sprintf("%s for its headers, %s for all of it", seconds(server.ReadHeaderTimeout), seconds(server.ReadTimeout)), closed},
		{"time to read an answer", fmt.Sprintf("the scrape timeout and %s more, but only %s for each %s", seconds(grace), seconds(mostStalled), inUnits(pieceSize)), closed},
		{"time without a request", fmt.Sprintf("%g minutes", server.IdleTimeout.Minutes()), closed},
	} {
		fmt.Fprintf(&b, "| %s |\n", strings.Join(row[:], " | "))
	}
	checkPart(t, "../../deploy/docs/security.md", "client bounds", b.String())
}

// defaultAnswers returns the default of --web.max-requests.
func defaultAnswers(t *testing.T) int {
	t.Helper()
	var s webSettings
	app := kingpin.New("test", "")
	addWebFlags(app.Command("serve", ""), &s, ":0")
	if _, err := app.Parse([]string{"serve"}); err != nil {
		t.Fatal(err)
	}
	return s.maxRequests
}

func inUnits(bytes int64) string {
	if bytes >= 1<<20 {
		return fmt.Sprintf("%d MiB", bytes>>20)
	}
	return fmt.Sprintf("%d KiB", bytes>>10)
}

func thousands(n int64) string {
	s := strconv.FormatInt(n, 10)
	if len(s) > 3 {
		s = s[:len(s)-3] + "," + s[len(s)-3:]
	}
	return s
}

// sourceConstant returns the value of a constant that a package does not export.
func sourceConstant(t *testing.T, file, name string) int64 {
	t.Helper()
	found := regexp.MustCompile(`(?m)^\s*(?:const )?`+name+`\s+= ([^/\n]+)`).FindAllStringSubmatch(readFile(t, file), -1)
	if len(found) != 1 {
		t.Fatalf("%s: %d constants are called %s, want one", file, len(found), name)
	}
	v, err := types.Eval(token.NewFileSet(), nil, token.NoPos, found[0][1])
	if err != nil {
		t.Fatalf("%s: %s: %v", file, name, err)
	}
	n, exact := constant.Int64Val(v.Value)
	if !exact {
		t.Fatalf("%s: %s is %s, want a whole number", file, name, v.Value)
	}
	return n
}
