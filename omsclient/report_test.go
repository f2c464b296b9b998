package omsclient_test

import (
	"crypto/x509"
	"testing"
	"time"

	"oms_exporter/omsclient"
)

func TestAReportSumsUpItsRequests(t *testing.T) {
	noon := time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)
	report := omsclient.Report{Requests: []omsclient.Request{
		{Page: 1, Attempt: 1, CertExpiry: noon, Err: &omsclient.Error{}},
		{Page: 1, Attempt: 2, Rows: 5, Bytes: 500, ClockSkew: omsclient.Some(3 * time.Second)},
		{Page: 2, Attempt: 1, Rows: 4, Bytes: 400, ClockSkew: omsclient.Some(time.Hour)},
		{Page: 1, Attempt: 1, Rows: 2, Bytes: 200, CertExpiry: noon.Add(time.Hour)},
		{Page: 2, Attempt: 1},
	}}

	checkEqual(t, "rows", report.Rows(), 11)
	checkEqual(t, "bytes", report.Bytes(), 1100)
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
