package collector

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"oms_exporter/omsclient"
)

// Metrics are the exporter's own metrics of one OMS: how it was called and what
// it did not expect. They are instruments, as opposed to the metrics of the
// catalogue, which mirror what OMS says.
type Metrics struct {
	requests     *prometheus.CounterVec
	retries      *prometheus.CounterVec
	duration     *prometheus.HistogramVec
	bytes        *prometheus.CounterVec
	coalesced    *prometheus.CounterVec
	inconsistent *prometheus.CounterVec
	unknown      *prometheus.CounterVec
	certificate  *prometheus.GaugeVec
}

var (
	requestsDoc = Doc{
		Name: "oms_exporter_api_requests_total", Type: "counter", Labels: []string{"action", "code"},
		Help: "Requests sent to OMS, by HTTP status, or by reason where there was no answer.",
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
		Help: "Scrapes that shared the listing of another one under way.",
	}
	inconsistentDoc = Doc{
		Name: "oms_exporter_inconsistent_listings_total", Type: "counter",
		Help: "Listings published although totalCount and the tasks disagreed, the second time too.",
	}
	unknownDoc = Doc{
		Name: "oms_exporter_unknown_values_total", Type: "counter", Labels: []string{"field"},
		Help: "Values that the documents of OMS do not name, or that could not be read, at each listing.",
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

// NewMetrics registers the metrics of one OMS. With several, wrap the registerer
// so that it adds a label.
func NewMetrics(registerer prometheus.Registerer) *Metrics {
	m := &Metrics{
		requests:     requestsDoc.counter(),
		retries:      retriesDoc.counter(),
		bytes:        bytesDoc.counter(),
		coalesced:    coalescedDoc.counter(),
		inconsistent: inconsistentDoc.counter(),
		unknown:      unknownDoc.counter(),
		certificate:  certificateDoc.gauge(),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: durationDoc.Name, Help: durationDoc.Help,
			Buckets:                     []float64{.01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
			NativeHistogramBucketFactor: 1.1, NativeHistogramMaxBucketNumber: 100,
			NativeHistogramMinResetDuration: time.Hour,
		}, durationDoc.Labels),
	}
	registerer.MustRegister(m.requests, m.retries, m.duration, m.bytes, m.coalesced, m.inconsistent,
		m.unknown, m.certificate)
	m.coalesced.WithLabelValues()
	m.inconsistent.WithLabelValues()
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
		m.certificate.WithLabelValues().Set(expiry)
	}
	if report.Inconsistent {
		m.inconsistent.WithLabelValues().Inc()
	}
}

func codeOf(r omsclient.Request) string {
	if r.StatusCode == 0 {
		return string(omsclient.ReasonOf(r.Err))
	}
	return strconv.Itoa(r.StatusCode)
}

// A Reloads tells whether and when a configuration was last loaded.
type Reloads struct {
	successful, time *prometheus.GaugeVec
}

// NewReloads registers the metrics of a configuration.
func NewReloads(registerer prometheus.Registerer) *Reloads {
	r := &Reloads{
		successful: reloadedDoc.gauge(),
		time:       reloadTimeDoc.gauge(),
	}
	registerer.MustRegister(r.successful, r.time)
	return r
}

// Loaded notes that the configuration was loaded, or why it was not.
func (r *Reloads) Loaded(err error) {
	r.successful.WithLabelValues().Set(number(err == nil))
	if err == nil {
		r.time.WithLabelValues().SetToCurrentTime()
	}
}
