package omsclient

import (
	"encoding/base64"
	"net/http"
	"strings"
)

// Secrets are what a request authenticates with, in every form in which an answer is
// expected to repeat it, in lower case. Whatever is quoted of an answer goes through
// them first: the terms that the decoder reads, and the headers that errors name.
type secrets []string

// withheld replaces a text that repeats a secret.
const withheld = "(withheld)"

// secretsOf returns the secrets of a request, which may be nil.
func secretsOf(sent *http.Request) secrets {
	if sent == nil {
		return nil
	}
	const least, most = 4, 16 // bytes; answers may cut what they repeat
	var all secrets
	add := func(secret string) {
		if len(secret) < least {
			return
		}
		for _, form := range []string{secret, base64.RawStdEncoding.EncodeToString([]byte(secret))} {
			all = append(all, strings.ToLower(form[:min(len(form), most)]))
		}
	}
	for name, values := range sent.Header {
		switch name {
		case "Accept", "Accept-Encoding", "Content-Type", "User-Agent":
			continue
		}
		for _, value := range values {
			add(value)
		}
	}
	for _, header := range []string{"Authorization", "Proxy-Authorization"} {
		basic := http.Request{Header: http.Header{"Authorization": sent.Header.Values(header)}}
		_, credentials, _ := strings.Cut(sent.Header.Get(header), " ")
		add(credentials)
		if _, password, ok := basic.BasicAuth(); ok {
			add(password)
		}
	}
	return all
}

// in reports whether a text repeats a secret, in any letter case.
func (s secrets) in(text string) bool {
	text = strings.ToLower(text)
	for _, secret := range s {
		if strings.Contains(text, secret) {
			return true
		}
	}
	return false
}

// quote returns a text of a server's as errors may quote it.
func (s secrets) quote(text string) string {
	if s.in(text) {
		return withheld
	}
	return printable(text, maxWord)
}
