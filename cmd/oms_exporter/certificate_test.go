package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// A party has a name and a key, and can have several certificates for it.
type party struct {
	name string
	key  *ecdsa.PrivateKey

	clientsOnly bool // its certificates are not for servers
	nameless    bool // its certificates have a common name only
	tomorrow    bool // its certificates are valid from then on
}

func newParty(t *testing.T, name string) party {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return party{name: name, key: key}
}

// certify has one party certify another for so many days from now on.
func (by party) certify(t *testing.T, about party, days int, isCA bool) []byte {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: about.name},
		NotBefore: time.Now().AddDate(-2, 0, 0), NotAfter: inDays(days),
		IsCA: isCA, BasicConstraintsValid: true,
	}
	if about.clientsOnly {
		template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	}
	if about.tomorrow {
		template.NotBefore = inDays(1)
	}
	if isCA {
		template.KeyUsage = x509.KeyUsageCertSign
	} else if !about.nameless {
		template.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)}
	}
	if !isCA && !about.clientsOnly {
		template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	}
	issuer := &x509.Certificate{Subject: pkix.Name{CommonName: by.name}}
	raw, err := x509.CreateCertificate(rand.Reader, template, issuer, &about.key.PublicKey, by.key)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// serve starts an OMS of three tasks that presents certificates of a party.
func (by party) serve(t *testing.T, presented ...[]byte) (url string) {
	t.Helper()
	server := httptest.NewUnstartedServer(fleetOf(3))
	server.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: presented, PrivateKey: by.key}}}
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	return server.URL
}

// today is one instant for all certificates, in whole seconds.
var today = time.Now().Truncate(time.Second)

func inDays(days int) time.Time { return today.AddDate(0, 0, days) }

func pemOf(kind string, raw ...[]byte) string {
	var text strings.Builder
	for _, r := range raw {
		_ = pem.Encode(&text, &pem.Block{Type: kind, Bytes: r})
	}
	return text.String()
}

// pemContent returns what is in the first block of a text.
func pemContent(t *testing.T, text string) string {
	t.Helper()
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		t.Fatal("no block")
	}
	return string(block.Bytes)
}

// newIdentity returns what a client shows who it is with.
func newIdentity(t *testing.T) (identity struct{ certificate, key string }) {
	t.Helper()
	client := newParty(t, "client")
	key, err := x509.MarshalECPrivateKey(client.key)
	if err != nil {
		t.Fatal(err)
	}
	identity.certificate = pemOf("CERTIFICATE", client.certify(t, client, 30, false))
	identity.key = pemOf("EC PRIVATE KEY", key)
	return identity
}

// TestTheExpiryIsThatOfTheChainThatLastsLongest presents certificates of which
// some lead to nothing that is trusted, or to what expires sooner.
func TestTheExpiryIsThatOfTheChainThatLastsLongest(t *testing.T) {
	t.Parallel()
	leaf, middle, root, old := newParty(t, "OMS"), newParty(t, "Middle"), newParty(t, "Root A"), newParty(t, "Old Root")
	var (
		rootItself = root.certify(t, root, 3650, true)
		oldItself  = old.certify(t, old, 3650, true)
		ofRoot     = root.certify(t, leaf, 365, false)
		ofMiddle   = middle.certify(t, leaf, 365, false)
	)
	for _, row := range []struct {
		name      string
		presented [][]byte
		trusted   [][]byte // none: insecure_skip_verify
		days      int
	}{
		{"a leaf", [][]byte{ofRoot}, [][]byte{rootItself}, 365},
		{"a middle that expires sooner", [][]byte{ofMiddle, root.certify(t, middle, 30, true)}, [][]byte{rootItself}, 30},
		{"a cross-signature that has expired", [][]byte{ofRoot, old.certify(t, root, -60, true)}, [][]byte{rootItself}, 365},
		{
			"a middle and a cross-signature that has expired",
			[][]byte{ofMiddle, root.certify(t, middle, 700, true), old.certify(t, root, -60, true)},
			[][]byte{rootItself},
			365,
		},
		{
			"a cross-signature that is trusted and expires sooner",
			[][]byte{ofRoot, old.certify(t, root, 5, true)},
			[][]byte{rootItself, oldItself},
			365,
		},
		{
			"only the cross-signature leads to what is trusted",
			[][]byte{ofRoot, old.certify(t, root, 5, true)},
			[][]byte{oldItself},
			5,
		},
		{
			"a middle twice, once expired",
			[][]byte{ofMiddle, root.certify(t, middle, -1, true), root.certify(t, middle, 90, true)},
			[][]byte{rootItself},
			90,
		},
		{"a stranger that expires tomorrow", [][]byte{ofRoot, old.certify(t, middle, 1, true)}, [][]byte{rootItself}, 365},
		{"a trusted root that expires first", [][]byte{ofRoot}, [][]byte{root.certify(t, root, 10, true)}, 10},
		{"nothing is verified", [][]byte{ofRoot, old.certify(t, root, -60, true)}, nil, -60},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			args := []string{"--oms.url=" + leaf.serve(t, row.presented...), "--oms.insecure-skip-verify"}
			if row.trusted != nil {
				args[1] = "--oms.ca-file=" + writeFile(t, pemOf("CERTIFICATE", row.trusted...))
			}

			got := scrape(t, start(t, args...))

			got.expect(t, map[string]float64{
				"oms_up": 1,
				"oms_exporter_api_certificate_expiry_timestamp_seconds": float64(inDays(row.days).Unix()),
			})
		})
	}
}
