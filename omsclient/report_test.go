package omsclient_test

import (
	"crypto/tls"
	"crypto/x509"
	"testing"
	"time"

	"oms_exporter/omsclient"
)

func TestAReportSumsUpItsRequests(t *testing.T) {
	noon := time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)
	report := omsclient.Report{Requests: []omsclient.Request{
		{Page: 1, Attempt: 1, CertExpiry: noon, Err: &omsclient.Error{}},
		{Page: 1, Attempt: 2, Rows: 5, Bytes: 500, WireBytes: 50, ClockSkew: omsclient.Some(3 * time.Second)},
		{Page: 2, Attempt: 1, Rows: 4, Bytes: 400, WireBytes: 40, ClockSkew: omsclient.Some(time.Hour)},
		{Page: 1, Attempt: 1, Rows: 2, Bytes: 200, CertExpiry: noon.Add(time.Hour)},
		{Page: 2, Attempt: 1},
	}}

	checkEqual(t, "rows", report.Rows(), 11)
	checkEqual(t, "bytes", report.Bytes(), 1100)
	checkEqual(t, "bytes on the wire", report.BytesOnWire(), 90)
	checkEqual(t, "retries", report.Retries(), 1)
	checkEqual(t, "clock skew", report.ClockSkew(), omsclient.Some(3*time.Second))
	checkEqual(t, "expiry", report.CertExpiry(), noon.Add(time.Hour))
	checkEqual(t, "requests of the first listing", len(report.FirstListing()), 3)
}

func TestAReportOfNothingHasNoClockAndNoCertificate(t *testing.T) {
	var report omsclient.Report

	checkEqual(t, "clock skew", report.ClockSkew().Known, false)
	checkEqual(t, "expiry", report.CertExpiry(), time.Time{})
	checkEqual(t, "requests of the first listing", len(report.FirstListing()), 0)
}

func TestAChainExpiresWithTheFirstOfItsCertificates(t *testing.T) {
	soon := time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)
	chain := []*x509.Certificate{{NotAfter: soon.Add(time.Hour)}, {NotAfter: soon}, {NotAfter: soon.Add(time.Minute)}}

	checkEqual(t, "expiry", omsclient.FirstExpiry(chain), soon)
	checkEqual(t, "expiry of nothing", omsclient.FirstExpiry(nil), time.Time{})
}

func TestACertificateLastsAsLongAsTheBestOfItsChains(t *testing.T) {
	now := time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)
	expires := func(days int) *x509.Certificate {
		return &x509.Certificate{NotAfter: now.AddDate(0, 0, days)}
	}
	leaf, issuer, root, crossSigned, oldRoot := expires(90), expires(365), expires(3650), expires(-60), expires(-90)
	presented := []*x509.Certificate{leaf, issuer, crossSigned}
	for name, tt := range map[string]struct {
		state *tls.ConnectionState
		want  time.Time
	}{
		"no TLS":            {nil, time.Time{}},
		"nothing presented": {&tls.ConnectionState{}, time.Time{}},
		"nothing verified":  {&tls.ConnectionState{PeerCertificates: presented}, crossSigned.NotAfter},
		"an expired certificate that nobody needs": {&tls.ConnectionState{
			PeerCertificates: presented, VerifiedChains: [][]*x509.Certificate{{leaf, issuer, root}},
		}, leaf.NotAfter},
		"two chains": {&tls.ConnectionState{PeerCertificates: presented, VerifiedChains: [][]*x509.Certificate{
			{leaf, issuer, crossSigned, oldRoot}, {leaf, issuer, root},
		}}, leaf.NotAfter},
		"an issuer that expires before the leaf": {&tls.ConnectionState{
			VerifiedChains: [][]*x509.Certificate{{issuer, leaf, root}},
		}, leaf.NotAfter},
	} {
		checkEqual(t, name, omsclient.CertExpiry(tt.state), tt.want)
	}
}
