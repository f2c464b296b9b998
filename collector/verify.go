package collector

import (
	"slices"
	"time"

	"oms_exporter/omsclient"
)

// verifyRound is how many verifications are asked about after a listing.
const verifyRound = 50

// verifications asks what full verifications have found, once for each.
//
// An answer takes OMS some 40 ms. A round of 50 at two at a time is then a second of
// OMS's time for each scrape, and 2,000 tasks that are all new take 40 scrapes.
func verifications(ask LookFunc[omsclient.VerifyResult]) lookKind[omsclient.VerifyResult] {
	return lookKind[omsclient.VerifyResult]{
		action: omsclient.ActionVerifyResult, ask: ask, atOnce: 2, most: verifyRound,
		wanted: func(tasks []*task, _ time.Time) map[*task]occasion {
			wanted := map[*task]occasion{}
			for _, t := range tasks {
				if o, done := verification(t); done {
					wanted[t] = o
				}
			}
			return wanted
		},
		attach: func(t *task, a *answer[omsclient.VerifyResult]) { t.verified = a },
		final:  func(r omsclient.VerifyResult) bool { return r.DifferentNumber.Known },
	}
}

var verifySteps = omsclient.FullVerifySteps()

// verification returns the full verification of a task if it is done. From V4.3.1, a
// verification may be a task of its own, whose steps no document names.
func verification(t *task) (o occasion, done bool) {
	for _, s := range t.steps {
		if slices.Contains(verifySteps, s.Name) {
			return occasion{s.Name, s.Status, s.StartTime, s.FinishTime}, finished(s)
		}
	}
	done = t.Type == "VERIFY" && t.Status == "FINISHED"
	return occasion{"", t.Status, t.GmtStart, t.GmtFinish}, done
}
