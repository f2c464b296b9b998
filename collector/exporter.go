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
	credentials  lateGauge
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
	credentialsDoc = Doc{
		Name: "oms_exporter_credentials_changed_timestamp_seconds", Type: "gauge",
		Help: "When the password was last changed, as a Unix time in seconds, as configured. Absent if " +
			"it is not. OMS does not tell, and passwords of its accounts expire after 90 days by default.",
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
		credentials:  credentialsDoc.lateGauge(),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: durationDoc.Name, Help: durationDoc.Help,
			Buckets:                     []float64{.01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
			NativeHistogramBucketFactor: 1.1, NativeHistogramMaxBucketNumber: 100,
			NativeHistogramMinResetDuration: time.Hour,
		}, durationDoc.Labels),
	}
	registerer.MustRegister(m.requests, m.retries, m.duration, m.bytes, m.coalesced, m.inconsistent,
		m.unknown, m.certificate, m.credentials)
	m.expect(omsclient.Action)
	return m
}

// expect begins the counters of an action at 0, which lets Prometheus see the first
// increase.
func (m *Metrics) expect(action string) {
	m.retries.WithLabelValues(action)
	m.bytes.WithLabelValues(action)
	m.duration.WithLabelValues(action)
	m.requests.WithLabelValues(action, "200")
}

// CredentialsChanged notes when the password was last changed.
func (m *Metrics) CredentialsChanged(at time.Time) { m.credentials.Set(float64(at.Unix())) }

// request counts a request.
func (m *Metrics) request(action string, r *omsclient.Request) {
	m.requests.WithLabelValues(action, codeOf(r)).Inc()
	m.duration.WithLabelValues(action).Observe(r.Duration.Seconds())
}

// sums counts what the requests of a report add up to.
func (m *Metrics) sums(action string, report *omsclient.Report) {
	m.bytes.WithLabelValues(action).Add(float64(report.Bytes()))
	m.retries.WithLabelValues(action).Add(float64(report.Retries()))
}

// observe counts what a listing took. Its requests are counted one by one, when they are
// done, because the report of a long listing has only some of them.
func (m *Metrics) observe(report *omsclient.Report) {
	m.sums(omsclient.Action, report)
	if expiry, ok := unix(report.CertExpiry()); ok {
		m.certificate.Set(expiry)
	}
	if report.Inconsistent {
		m.inconsistent.Inc()
	}
}

// codeOf returns the value of the label code.
func codeOf(r *omsclient.Request) string {
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
