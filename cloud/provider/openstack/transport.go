package openstack

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"griddle/cloud/provider"
)

const (
	maxAnswer       = 64 << 20 // bytes of one answer
	responseTimeout = 5 * time.Minute
)

// newHTTPClient makes the client that all services are asked with. How long a call may take is its context's to say;
// the bounds here are for servers that accept and never answer (glance answers when it has stored the image).
func newHTTPClient(config *tls.Config) *http.Client {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.TLSClientConfig = config.Clone()
	t.DialContext = (&net.Dialer{Timeout: provider.DialTimeout, KeepAlive: 30 * time.Second}).DialContext
	t.ResponseHeaderTimeout = responseTimeout
	t.MaxResponseHeaderBytes = 1 << 20
	return &http.Client{
		Transport: guard{t},
		CheckRedirect: func(r *http.Request, via []*http.Request) error {
			if len(via) > 3 || r.URL.Host != via[0].URL.Host || r.URL.Scheme != via[0].URL.Scheme {
				return fmt.Errorf("the server redirects to %s: %w", r.URL.Host, provider.ErrInvalid)
			}
			return nil
		},
	}
}

// guard refuses plain HTTP and bounds answers.
type guard struct{ next http.RoundTripper }

func (g guard) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme != "https" && !isLoopback(r.URL) {
		return nil, fmt.Errorf("%s is not https, and would show the token to anyone on the way: %w", r.URL.Host,
			provider.ErrInvalid)
	}
	resp, err := g.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	resp.Body = &bounded{ReadCloser: resp.Body, left: maxAnswer}
	return resp, nil
}

func isLoopback(u *url.URL) bool {
	if u.Hostname() == "localhost" {
		return true
	}
	a, err := netip.ParseAddr(u.Hostname())
	return err == nil && a.IsLoopback()
}

// bounded ends a body that is longer than any answer, with an error.
type bounded struct {
	io.ReadCloser
	left int64
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, fmt.Errorf("the answer has more than %d bytes", maxAnswer)
	}
	if int64(len(p)) > b.left {
		p = p[:b.left]
	}
	n, err := b.ReadCloser.Read(p)
	b.left -= int64(n)
	return n, err
}

// isNetwork says whether an error is the network's, so that the same can be asked again.
func isNetwork(err error) bool {
	var verify *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	if errors.As(err, &verify) || errors.As(err, &record) {
		return false
	}
	var n net.Error
	return errors.As(err, &n) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}
