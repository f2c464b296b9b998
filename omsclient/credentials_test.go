package omsclient_test

import (
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"oms_exporter/omsclient"
)

// A vault is an OMS behind a password, and the file that the password is in.
type vault struct {
	mu       sync.Mutex
	file     string
	err      error // of reading the file
	password string
	answer   answer
	requests []time.Time
}

func (v *vault) fingerprint() (string, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.file, v.err
}

func (v *vault) RoundTrip(*http.Request) (*http.Response, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.requests = append(v.requests, time.Now())
	switch {
	case v.file != v.password:
		return answer{status: http.StatusUnauthorized}.response(), nil
	case v.answer.err != nil:
		return nil, v.answer.err
	}
	return v.answer.response(), nil
}

func (v *vault) client(t *testing.T) *omsclient.Client {
	t.Helper()
	return newClientOver(t, v, omsclient.Options{Credentials: v.fingerprint})
}

func TestRefusedCredentialsRestForLongerAndLonger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &vault{file: "wrong", password: "right", answer: good}
		c := v.client(t)
		start := time.Now()
		for time.Since(start) < 12*time.Hour {
			before := len(v.requests)
			_, report, err := list(t.Context(), c)

			checkEqual(t, "reason", omsclient.ReasonOf(err), omsclient.Auth)
			checkEqual(t, "requests reported", len(report.Requests), len(v.requests)-before)
			if refusal, ok := c.Refused(); !ok || refusal.Since != start || refusal.Count != len(v.requests) {
				t.Fatalf("refusal %+v, %t after %d requests", refusal, ok, len(v.requests))
			}
			<-time.After(30 * time.Second)
		}

		var minutes []float64
		for _, at := range v.requests {
			minutes = append(minutes, at.Sub(start).Minutes())
		}
		checkEqual(t, "requests of a night, in minutes", minutes, []float64{
			0, 1, 3, 7, 15, 31, 63, 123, 183, 243, 303, 363, 423, 483, 543, 603, 663,
		})
	})
}

func TestARestingClientSaysSinceWhenAndUntilWhen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &vault{file: "wrong", password: "right"}
		c := v.client(t)
		_, _, err := list(t.Context(), c)
		checkEqual(t, "first error", err.Error(), "list projects: page 1: HTTP status 401 Unauthorized")
		<-time.After(59 * time.Second)

		_, report, err := list(t.Context(), c)

		checkEqual(t, "error", err.Error(), "list projects: page 1: OMS, or a proxy in front of it, refuses the credentials since"+
			" 2000-01-01T00:00:00Z; they are sent again at 2000-01-01T00:01:00Z, or as soon as they change")
		checkEqual(t, "status", failure(t, err).StatusCode, 0)
		checkEqual(t, "requests", len(report.Requests), 0)
	})
}

func TestChangedCredentialsAreSentAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &vault{file: "wrong", password: "right", answer: good}
		c := v.client(t)
		_, _, _ = list(t.Context(), c)
		v.file = "wrong too"
		_, _, _ = list(t.Context(), c)
		refusal, _ := c.Refused()
		checkEqual(t, "Count", refusal.Count, 1) // of the new ones
		v.file = "right"

		_, _, err := list(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		checkEqual(t, "requests", len(v.requests), 3)
		if refusal, ok := c.Refused(); ok {
			t.Errorf("still refused: %+v", refusal)
		}
	})
}

func TestAcceptedCredentialsBeginTheScheduleAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &vault{file: "a", password: "b", answer: answer{body: `{"success":false}`}}
		c := v.client(t)
		for range 3 {
			_, _, _ = list(t.Context(), c)
			<-time.After(time.Hour)
		}
		v.password = "a"
		_, _, err := list(t.Context(), c)
		checkEqual(t, "reason", omsclient.ReasonOf(err), omsclient.API) // a failure, but not of theirs
		v.password = "b"

		_, _, _ = list(t.Context(), c)

		refusal, _ := c.Refused()
		checkEqual(t, "Count", refusal.Count, 1)
		checkEqual(t, "rest", time.Until(refusal.Next), time.Minute)
	})
}

func TestA401WhileTheCredentialsChangeIsTriedAgainAtOnceButOnce(t *testing.T) {
	for _, tt := range []struct {
		name  string
		files []string // one after the other
		want  int
		err   omsclient.Reason
	}{
		{"unchanged", []string{"old", "old"}, 1, omsclient.Auth},
		{"changed", []string{"old", "right"}, 2, ""},
		{"changed to a wrong one", []string{"old", "wrong", "wrong", "wrong"}, 2, omsclient.Auth},
		{"changing on and on", []string{"a", "b", "c", "d", "e", "f"}, 2, omsclient.Auth},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				v := &vault{password: "right", answer: good}
				next := 0
				c := newClientOver(t, v, omsclient.Options{Credentials: func() (string, error) {
					v.file = tt.files[min(next, len(tt.files)-1)]
					next++
					return v.file, nil
				}})
				start := time.Now()

				_, _, err := list(t.Context(), c)

				checkEqual(t, "reason", omsclient.ReasonOf(err), tt.err)
				checkEqual(t, "requests", len(v.requests), tt.want)
				checkEqual(t, "waited", time.Since(start), 0)
			})
		})
	}
}

func TestCredentialsThatCannotBeReadSendNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cause := errors.New("password_file: open /run/secrets/oms: no such file or directory")
		v := &vault{err: cause, answer: good}
		c := v.client(t)
		start := time.Now()

		_, report, err := list(t.Context(), c)

		e := failure(t, err)
		checkEqual(t, "reason", e.Reason, omsclient.Credentials)
		checkEqual(t, "cause", errors.Is(err, cause), true)
		checkEqual(t, "error", err.Error(), "list projects: page 1: "+cause.Error())
		checkEqual(t, "requests", len(v.requests)+len(report.Requests), 0)
		checkEqual(t, "waited", time.Since(start), 0)

		v.err = nil
		if _, _, err := list(t.Context(), c); err != nil {
			t.Error(err)
		}
	})
}

func TestAnErrorOfTheTransportIsKept(t *testing.T) {
	for _, tt := range []struct {
		reason  omsclient.Reason
		refused bool
	}{
		{omsclient.Credentials, false},
		{omsclient.Auth, true},
		{omsclient.Limit, false},
	} {
		cause := errors.New("the token server refuses the client")
		v := &vault{answer: answer{err: &omsclient.Error{Reason: tt.reason, Err: cause}}}
		c := v.client(t)

		_, report, err := list(t.Context(), c)

		checkEqual(t, "reason", omsclient.ReasonOf(err), tt.reason)
		checkEqual(t, "error", err.Error(), "list projects: page 1: "+cause.Error())
		checkEqual(t, "attempts", len(report.Requests), 1)
		_, refused := c.Refused()
		checkEqual(t, "refused", refused, tt.refused)
	}
}

func TestPagesRefusedAtTheSameTimeAreOneRefusal(t *testing.T) {
	v := &vault{file: "a", password: "a"}
	first := true
	var others sync.WaitGroup
	others.Add(15)
	c := newClientOver(t, roundTrip(func(*http.Request) (*http.Response, error) {
		if first {
			first = false
			v.file = "b" // which OMS has not accepted yet
			return answer{body: sheet("160", tasks(10)...)}.response(), nil
		}
		others.Done()
		others.Wait()
		return answer{status: http.StatusUnauthorized}.response(), nil
	}), omsclient.Options{PageSize: 10, Concurrency: 16, Credentials: v.fingerprint})

	_, _, err := list(t.Context(), c)

	checkEqual(t, "reason", omsclient.ReasonOf(err), omsclient.Auth)
	refusal, _ := c.Refused()
	checkEqual(t, "Count", refusal.Count, 1)
}

func TestA403RefusesNoCredentials(t *testing.T) {
	c := newClientOver(t, answers(answer{status: http.StatusForbidden}), omsclient.Options{})

	_, _, err := list(t.Context(), c)

	if _, refused := c.Refused(); refused || !strings.Contains(err.Error(), "403 Forbidden") {
		t.Errorf("refused %t, %v", refused, err)
	}
}
