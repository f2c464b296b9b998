package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"time"

	"github.com/alecthomas/kingpin/v2"
)

type healthSettings struct {
	url     string
	timeout time.Duration
}

func addHealthFlags(cmd *kingpin.CmdClause, s *healthSettings) {
	cmd.Flag("url", "What to ask.").
		Envar("OMS_EXPORTER_HEALTH_URL").
		Default("http://127.0.0.1:10667/-/healthy").StringVar(&s.url)
	cmd.Flag("timeout", "How long the answer may take.").Default("3s").DurationVar(&s.timeout)
}

// health asks a running exporter whether it answers. It is for images, which
// have neither a shell nor curl.
func health(ctx context.Context, s *healthSettings) error {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url, http.NoBody)
	if err != nil {
		return usagef("--url: %w", err)
	}
	transport := &http.Transport{
		DisableKeepAlives: true,
		// The server is asked from its own machine, by an address that its certificate does not
		// name, and is told nothing.
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // see above
	}
	response, err := transport.RoundTrip(request) // a redirect is an answer, and a wrong one
	if err != nil {
		return err
	}
	defer response.Body.Close()
	switch response.StatusCode {
	case http.StatusOK, http.StatusUnauthorized: // who asks for a password is there
		return nil
	}
	return fmt.Errorf("%s answers %s", s.url, response.Status)
}
