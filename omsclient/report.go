package omsclient

import (
	"crypto/tls"
	"crypto/x509"
	"time"
)

// A Report says how a listing went. It is complete once the iteration that fills
// it has ended, for whatever reason. Until then it must not be read.
//
// If the pages are read twice, see [Client.List], Requests and Pages count both
// passes. Duplicates, Invalid, Dropped and NotUTF8 count the first pass only, so that
// nothing is counted twice.
type Report struct {
	Requests   []Request         // the attempts, by page; at most MaxRequests of them
	Omitted    int               // attempts beyond MaxRequests; the sums below include them
	Pages      int               // pages read
	Duplicates int               // elements of data that had been on an earlier page
	Invalid    int               // elements of data without a usable id
	Total      Optional[float64] // totalCount of the last page that was not empty
	Dropped    map[string]int    // by field: values that were unreadable or beyond a bound
	NotUTF8    map[string]int    // by field: texts that are damaged, since they were not UTF-8

	// Inconsistent reports that the number of projects differed from OMS's count of
	// them, and still did after a second pass or when there was no time for one.
	Inconsistent bool

	// Observe is called for each attempt when its page is done, also for those beyond
	// MaxRequests, by the goroutine that iterates. Nil: it is not.
	Observe func(*Request)

	omitted struct {
		rows, retries    int
		reused           int
		bytes, wireBytes int64
	}
}

// MaxRequests is how many attempts a [Report] tells one by one: the first ones, and
// after those the last one, or the first that failed.
const MaxRequests = 1000

// add notes attempts.
func (r *Report) add(attempts []Request) {
	for _, a := range attempts {
		if r.Observe != nil {
			r.Observe(&a)
		}
		if len(r.Requests) < MaxRequests {
			r.Requests = append(r.Requests, a)
			continue
		}
		if last := &r.Requests[MaxRequests-1]; last.Err == nil {
			*last, a = a, *last
		}
		r.Omitted++
		r.omitted.rows += a.Rows
		r.omitted.bytes += a.Bytes
		r.omitted.wireBytes += a.WireBytes
		if a.Attempt > 1 {
			r.omitted.retries++
		}
		if a.Reused {
			r.omitted.reused++
		}
	}
}

// Sent returns the number of requests.
func (r *Report) Sent() int { return len(r.Requests) + r.Omitted }

// Rows returns the number of elements of data in all answers.
func (r *Report) Rows() int {
	return sum(r, r.omitted.rows, func(a *Request) int { return a.Rows })
}

// Bytes returns the length of all answers, uncompressed.
func (r *Report) Bytes() int64 {
	return sum(r, r.omitted.bytes, func(a *Request) int64 { return a.Bytes })
}

// BytesOnWire returns the length of all answers as they were sent.
func (r *Report) BytesOnWire() int64 {
	return sum(r, r.omitted.wireBytes, func(a *Request) int64 { return a.WireBytes })
}

// Retries returns the number of requests that repeated a failed one.
func (r *Report) Retries() int {
	return sum(r, r.omitted.retries, func(a *Request) int { return min(a.Attempt-1, 1) })
}

// sum adds up what the requests have, and what is left of those that were omitted.
func sum[N int | int64](r *Report, omitted N, of func(*Request) N) N {
	for i := range r.Requests {
		omitted += of(&r.Requests[i])
	}
	return omitted
}

// Reused returns the number of requests that went over kept connections.
func (r *Report) Reused() int {
	reused := r.omitted.reused
	for i := range r.Requests {
		if r.Requests[i].Reused {
			reused++
		}
	}
	return reused
}

// ClockSkew returns how far OMS's clock is ahead of this one, as the first
// answer with a Date shows it.
func (r *Report) ClockSkew() Optional[time.Duration] {
	for i := range r.Requests {
		if skew := r.Requests[i].ClockSkew; skew.Known {
			return skew
		}
	}
	return Optional[time.Duration]{}
}

// CertExpiry returns when OMS's certificate expires, as the last answer over TLS
// shows it. It is zero without one; see [CertExpiry].
func (r *Report) CertExpiry() time.Time {
	var expiry time.Time
	for i := range r.Requests {
		if seen := r.Requests[i].CertExpiry; !seen.IsZero() {
			expiry = seen
		}
	}
	return expiry
}

// FirstListing returns the requests before those of a second listing, which
// starts over with page 1.
func (r *Report) FirstListing() []Request {
	for i := range r.Requests {
		if i > 0 && r.Requests[i].Page == 1 && r.Requests[i].Attempt == 1 {
			return r.Requests[:i]
		}
	}
	return r.Requests
}

// CertExpiry returns how long a server can be trusted whose certificate and
// network stay as they are. That is until the first certificate expires of the
// chain that lasts longest, of those that were verified; servers also send
// certificates that nobody needs. If nothing was verified, it is until the first
// certificate expires of those that were presented. It is zero without TLS.
func CertExpiry(state *tls.ConnectionState) time.Time {
	if state == nil {
		return time.Time{}
	}
	if len(state.VerifiedChains) == 0 {
		return FirstExpiry(state.PeerCertificates)
	}
	var last time.Time
	for _, chain := range state.VerifiedChains {
		if expiry := FirstExpiry(chain); expiry.After(last) {
			last = expiry
		}
	}
	return last
}

// FirstExpiry returns when the first certificate of a chain expires. It is zero
// for an empty chain.
func FirstExpiry(chain []*x509.Certificate) time.Time {
	var first time.Time
	for _, certificate := range chain {
		if first.IsZero() || certificate.NotAfter.Before(first) {
			first = certificate.NotAfter
		}
	}
	return first
}
