package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"sync"

	"github.com/golang-jwt/jwt/v5"
	"github.com/prometheus/common/config"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"oms_exporter/omsclient"
)

// A tokenTransport is an [http.RoundTripper] that gets a token by OAuth 2.0 and sends
// it with each request. Unlike that of prometheus/common it follows no redirects of
// the token server, which would carry the secret elsewhere, and ends with the
// request's context. It is safe for concurrent use.
type tokenTransport struct {
	server *http.Client // calls the token server
	source func(oauth2.AuthStyle) tokenConfig
	styles *authStyles
	next   http.RoundTripper

	lock  chan struct{} // holds an element while token is in use
	token *oauth2.Token // or nil
}

// A tokenConfig says how to get a token. The context has the HTTP client.
type tokenConfig interface {
	TokenSource(ctx context.Context) oauth2.TokenSource
}

// AuthStyles are the ways of sending a client's secret to a token server that are left
// to try: in a header, as the standard wants it, or in the form. The zero value is ready
// to use. They are safe for concurrent use.
type authStyles struct {
	mu    sync.Mutex
	order []oauth2.AuthStyle // the one to use now, then the other, unless that is settled
	tried bool
}

// next returns the styles to try now. That is both, but only the first time: a secret
// that is wrong must not be sent twice whenever it is tried.
func (s *authStyles) next() []oauth2.AuthStyle {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case !s.tried:
		s.order = []oauth2.AuthStyle{oauth2.AuthStyleInHeader, oauth2.AuthStyleInParams}
		s.tried = true
		return slices.Clone(s.order)
	case len(s.order) > 1: // neither was accepted, perhaps because the secret was wrong
		slices.Reverse(s.order)
	}
	return []oauth2.AuthStyle{s.order[0]}
}

// settle notes that the token server accepts a style.
func (s *authStyles) settle(style oauth2.AuthStyle) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.order = []oauth2.AuthStyle{style}
}

func newTokenTransport(
	c *config.OAuth2, styles *authStyles, next http.RoundTripper,
) (*tokenTransport, error) {
	connections, err := newConnections(config.HTTPClientConfig{
		TLSConfig: c.TLSConfig, ProxyConfig: c.ProxyConfig,
	})
	return &tokenTransport{
		server: &http.Client{
			Transport: connections,
			CheckRedirect: func(*http.Request, []*http.Request) error {
				return http.ErrUseLastResponse
			},
		},
		source: func(style oauth2.AuthStyle) tokenConfig { return tokenConfigOf(c, style) },
		styles: styles, next: next, lock: make(chan struct{}, 1),
	}, err
}

// grantTypeJWT is the grant_type that asks for a token with a signed statement.
const grantTypeJWT = "urn:ietf:params:oauth:grant-type:jwt-bearer"

func tokenConfigOf(c *config.OAuth2, style oauth2.AuthStyle) tokenConfig {
	params := url.Values{}
	for name, value := range c.EndpointParams {
		params.Set(name, value)
	}
	if c.GrantType != grantTypeJWT {
		return &clientcredentials.Config{
			ClientID: c.ClientID, ClientSecret: string(c.ClientSecret), Scopes: c.Scopes,
			TokenURL: c.TokenURL, EndpointParams: params, AuthStyle: style,
		}
	}
	algorithm, ok := jwt.GetSigningMethod(c.SignatureAlgorithm).(*jwt.SigningMethodRSA)
	if !ok { // it is empty
		algorithm = jwt.SigningMethodRS256
	}
	issuer := c.Iss
	if issuer == "" {
		issuer = c.ClientID
	}
	return &config.JwtGrantTypeConfig{
		PrivateKey: []byte(c.ClientCertificateKey), PrivateKeyID: c.ClientCertificateKeyID,
		Scopes: c.Scopes, TokenURL: c.TokenURL, SigningAlgorithm: algorithm, Iss: issuer,
		Subject: c.ClientID, Audience: c.Audience, PrivateClaims: c.Claims, EndpointParams: params,
	}
}

// RoundTrip implements [http.RoundTripper].
func (t *tokenTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	token, err := t.current(r.Context())
	if err != nil {
		if r.Body != nil {
			_ = r.Body.Close()
		}
		return nil, err
	}
	authorized := r.Clone(r.Context())
	token.SetAuthHeader(authorized)
	response, err := t.next.RoundTrip(authorized)
	if err == nil && response.StatusCode == http.StatusUnauthorized {
		t.forget(token)
	}
	return response, err
}

// CloseIdleConnections closes idle connections.
func (t *tokenTransport) CloseIdleConnections() {
	t.server.CloseIdleConnections()
	closeIdle(t.next)
}

// current returns a valid token. Whoever comes while another waits for one shares it.
func (t *tokenTransport) current(ctx context.Context) (*oauth2.Token, error) {
	select {
	case t.lock <- struct{}{}:
		defer func() { <-t.lock }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if t.token.Valid() {
		return t.token, nil
	}
	// The values of the request's context are about OMS: a trace of its connection.
	bare, cancel := context.WithCancel(
		context.WithValue(context.Background(), oauth2.HTTPClient, t.server))
	defer cancel()
	defer context.AfterFunc(ctx, cancel)()
	token, err := t.get(bare) //nolint:contextcheck // it ends with ctx
	switch {
	case err != nil && ctx.Err() != nil:
		return nil, &omsclient.Error{
			Reason: omsclient.ReasonOf(context.Cause(ctx)),
			Err:    fmt.Errorf("no answer from the token server: %w", context.Cause(ctx)),
		}
	case err != nil:
		return nil, tokenError(err)
	}
	t.token = token
	return token, nil
}

// get asks the token server.
func (t *tokenTransport) get(ctx context.Context) (token *oauth2.Token, err error) {
	for _, style := range t.styles.next() {
		var refused *oauth2.RetrieveError
		token, err = t.source(style).TokenSource(ctx).Token()
		if err == nil {
			t.styles.settle(style)
		}
		if !errors.As(err, &refused) || refused.Response.StatusCode >= http.StatusInternalServerError {
			break
		}
	}
	return token, err
}

// forget drops a token that OMS does not accept, so that the next request gets another.
func (t *tokenTransport) forget(refused *oauth2.Token) {
	t.lock <- struct{}{}
	defer func() { <-t.lock }()
	if t.token == refused {
		t.token = nil
	}
}

// tokenError words an error without what the token server has said, and without its
// URL, both of which may quote secrets.
func tokenError(err error) error {
	var (
		refused     *oauth2.RetrieveError
		unreachable *url.Error
	)
	switch {
	case errors.As(err, &unreachable):
		return fmt.Errorf("the token server: %w", unreachable.Err)
	case !errors.As(err, &refused):
		return &omsclient.Error{
			Reason: omsclient.Auth, Err: errors.New("the token server's answer has no usable token"),
		}
	}
	status := refused.Response.StatusCode
	failure := &omsclient.Error{Reason: omsclient.Auth}
	const answered = "the token server answered HTTP status"
	switch {
	case 300 <= status && status < 400:
		failure.Err = fmt.Errorf("%s %d: its redirects are not followed", answered, status)
	case status >= 500 || status == http.StatusTooManyRequests || status == http.StatusRequestTimeout:
		failure.Reason, failure.Err = omsclient.HTTPStatus, fmt.Errorf("%s %d", answered, status)
	default:
		failure.Err = fmt.Errorf("%s %d: it refuses the client", answered, status)
	}
	return failure
}
