package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
)

// health asks a running exporter whether it answers. Images, which have neither a
// shell nor curl, need it.
func health(ctx context.Context, s *healthSettings) error {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url, http.NoBody)
	if err != nil {
		return usagef("--url: %w", err)
	}
	transport := &http.Transport{
		DisableKeepAlives: true,
		// The exporter is on the same machine, its certificate does not name this address, and the
		// request has nothing to hide.
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // see above
	}
	response, err := transport.RoundTrip(request) // follows no redirect: it would be a wrong answer
	if err != nil {
		return err
	}
	defer response.Body.Close()
	switch response.StatusCode {
	case http.StatusOK, http.StatusUnauthorized: // it asks for a password, so it answers
		return nil
	}
	return fmt.Errorf("%s answers %s", s.url, response.Status)
}
