package collector

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"oms_exporter/omsclient"
)

// Metrics are the exporter's own metrics about one OMS: how it was called, and what
// was unexpected. They are instruments that count over time, whereas the metrics of the
// catalogue mirror what OMS says.
type Metrics struct {
	requests     *prometheus.CounterVec
	retries      *prometheus.CounterVec
	duration     *prometheus.HistogramVec
	bytes        *prometheus.CounterVec
	coalesced    prometheus.Counter
	inconsistent prometheus.Counter
	unknown      *prometheus.CounterVec
	certificate  lateGauge
}

// A lateGauge is a gauge that has no sample until it is set: a time that is not known
// is not the beginning of 1970. A vector without labels behaves so; a plain gauge would
// export 0.
type lateGauge struct{ *prometheus.GaugeVec }

// Set sets the gauge.
func (g lateGauge) Set(v float64) { g.WithLabelValues().Set(v) }

var (
	requestsDoc = Doc{
		Name: "oms_exporter_api_requests_total", Type: "counter", Labels: []string{"action", "code"},
		Help: "Requests sent to OMS, by HTTP status, or by reason if there was no answer.",
	}
	retriesDoc = Doc{
		Name: "oms_exporter_api_request_retries_total", Type: "counter", Labels: []string{"action"},
		Help: "Requests to OMS that repeated a failed one.",
	}
	durationDoc = Doc{
		Name: "oms_exporter_api_request_duration_seconds", Type: "histogram", Labels: []string{"action"},
		Help: "Time from sending a request to having read its answer, in seconds.",
	}
	bytesDoc = Doc{
		Name: "oms_exporter_api_response_bytes_total", Type: "counter", Labels: []string{"action"},
		Help: "Bytes of OMS's answers, as read.",
	}
	coalescedDoc = Doc{
		Name: "oms_exporter_scrapes_coalesced_total", Type: "counter",
		Help: "Scrapes that shared the listing of another scrape.",
	}
	inconsistentDoc = Doc{
		Name: "oms_exporter_inconsistent_listings_total", Type: "counter",
		Help: "Listings exported although tasks and totalCount disagreed, even when listed again.",
	}
	unknownDoc = Doc{
		Name: "oms_exporter_unknown_values_total", Type: "counter", Labels: []string{"field"},
		Help: "Values that OMS's documents do not name, that cannot be read, or that exceed a bound, " +
			"once for each listing. ruleToRecentlyTriggerCount also counts alarm rules that were forgotten.",
	}
	certificateDoc = Doc{
		Name: "oms_exporter_api_certificate_expiry_timestamp_seconds", Type: "gauge",
		Help: "When the first certificate of OMS's chain expires, as a Unix time in seconds.",
	}
	reloadedDoc = Doc{
		Name: "oms_exporter_config_last_reload_successful", Type: "gauge",
		Help: "Whether the configuration was last loaded without an error: 1 or 0.",
	}
	reloadTimeDoc = Doc{
		Name: "oms_exporter_config_last_reload_success_timestamp_seconds", Type: "gauge",
		Help: "When the configuration was last loaded without an error, as a Unix time in seconds.",
	}
	buildDoc = Doc{
		Name: "oms_exporter_build_info", Type: "gauge",
		Labels: []string{"branch", "goarch", "goos", "goversion", "revision", "tags", "version"},
		Help: "A metric with a constant '1' value labeled by version, revision, branch, goversion from " +
			"which oms_exporter was built, and the goos and goarch for the build.",
	}
)

// NewMetrics registers metrics about one OMS. For several, wrap the registerer with
// [prometheus.WrapRegistererWith], so that a label tells them apart.
func NewMetrics(registerer prometheus.Registerer) *Metrics {
	m := &Metrics{
		requests:     requestsDoc.counterVec(),
		retries:      retriesDoc.counterVec(),
		bytes:        bytesDoc.counterVec(),
		coalesced:    coalescedDoc.counter(),
		inconsistent: inconsistentDoc.counter(),
		unknown:      unknownDoc.counterVec(),
		certificate:  certificateDoc.lateGauge(),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: durationDoc.Name, Help: durationDoc.Help,
			Buckets:                     []float64{.01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
			NativeHistogramBucketFactor: 1.1, NativeHistogramMaxBucketNumber: 100,
			NativeHistogramMinResetDuration: time.Hour,
		}, durationDoc.Labels),
	}
	registerer.MustRegister(m.requests, m.retries, m.duration, m.bytes, m.coalesced, m.inconsistent,
		m.unknown, m.certificate)
	// Counters that begin at 0 let Prometheus see the first increase.
	m.retries.WithLabelValues(omsclient.Action)
	m.bytes.WithLabelValues(omsclient.Action)
	m.duration.WithLabelValues(omsclient.Action)
	m.requests.WithLabelValues(omsclient.Action, "200")
	return m
}

// observe counts the requests of a listing.
func (m *Metrics) observe(report *omsclient.Report) {
	for _, r := range report.Requests {
		m.requests.WithLabelValues(omsclient.Action, codeOf(r)).Inc()
		m.duration.WithLabelValues(omsclient.Action).Observe(r.Duration.Seconds())
	}
	m.bytes.WithLabelValues(omsclient.Action).Add(float64(report.Bytes()))
	m.retries.WithLabelValues(omsclient.Action).Add(float64(report.Retries()))
	if expiry, ok := unix(report.CertExpiry()); ok {
		m.certificate.Set(expiry)
	}
	if report.Inconsistent {
		m.inconsistent.Inc()
	}
}

// codeOf returns the value of the label code.
func codeOf(r omsclient.Request) string {
	if r.StatusCode == 0 {
		return string(omsclient.ReasonOf(r.Err))
	}
	return strconv.Itoa(r.StatusCode)
}

// Reloads tell whether and when a configuration was last loaded.
type Reloads struct {
	successful, lastSuccess lateGauge
}

// NewReloads registers the metrics about a configuration. They have no samples until
// the first call of Loaded.
func NewReloads(registerer prometheus.Registerer) *Reloads {
	r := &Reloads{successful: reloadedDoc.lateGauge(), lastSuccess: reloadTimeDoc.lateGauge()}
	registerer.MustRegister(r.successful, r.lastSuccess)
	return r
}

// Loaded notes that the configuration was loaded, or why it was not.
func (r *Reloads) Loaded(err error) {
	r.successful.Set(oneIf(err == nil))
	if err == nil {
		r.lastSuccess.WithLabelValues().SetToCurrentTime()
	}
}
