package lxd

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"griddle/cloud/provider"
)

// dialer is how the daemon is reached, and the base of its URLs.
func dialer(c Config) (*http.Transport, string, error) {
	t := &http.Transport{
		Proxy: http.ProxyFromEnvironment, MaxIdleConnsPerHost: 8, IdleConnTimeout: time.Minute,
		TLSHandshakeTimeout: 20 * time.Second,
	}
	dial := &net.Dialer{Timeout: provider.DialTimeout}
	if c.Socket != "" {
		t.Proxy = nil
		t.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dial.DialContext(ctx, "unix", c.Socket)
		}
		return t, "http://lxd", nil
	}
	t.DialContext = dial.DialContext
	own, err := tls.X509KeyPair(c.Cert, c.Key)
	if err != nil {
		// Its text can quote the key's bytes no more than their type, but need not reach anybody.
		return nil, "", fmt.Errorf("reading the client certificate and its key: %w", provider.ErrCredentials)
	}
	t.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{own}}
	if len(c.Server) > 0 {
		roots, name, err := trust(c.Server)
		if err != nil {
			return nil, "", fmt.Errorf("reading the server's certificate: %w: %w", provider.ErrInvalid, err)
		}
		t.TLSClientConfig.RootCAs, t.TLSClientConfig.ServerName = roots, name
	}
	return t, strings.TrimSuffix(c.URL, "/"), nil
}

// trust reads what the server is checked by. The certificates that LXD makes for itself are no CA's, and their names
// are those of the computer when LXD was installed, seldom the one it is reached by. One of these is its own root: only
// the holder of its key passes, and the name that is checked is the certificate's own. For a CA the name is the URL's.
func trust(text []byte) (roots *x509.CertPool, name string, err error) {
	roots = x509.NewCertPool()
	found := 0
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, "", err
		}
		if found++; !cert.IsCA {
			switch {
			case len(cert.DNSNames) > 0:
				name = cert.DNSNames[0]
			case len(cert.IPAddresses) > 0:
				name = cert.IPAddresses[0].String()
			default:
				return nil, "", errors.New("it has no name")
			}
		}
		roots.AddCert(cert)
	}
	if found == 0 || name != "" && found > 1 {
		return nil, "", fmt.Errorf("%d certificates, where one of a server or those of CAs are wanted", found)
	}
	return roots, name, nil
}
