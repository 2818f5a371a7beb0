package main

import (
	"net/http"
	"time"

	"griddle/appliance/job"
	"griddle/imagestore/blob"
)

// sources are those of a job, in its order.
func (s *station) sources(spec job.Spec) []blob.Reader {
	var out []blob.Reader
	for _, base := range spec.Sources {
		out = append(out, s.source(base))
	}
	return out
}

// source reads blobs at base. The server's own https URL takes the token of this boot, whichever it is at the time;
// no other server is shown it.
func (s *station) source(base string) blob.Reader {
	if base != s.site.HTTPS {
		return &blob.HTTP{Base: base}
	}
	return &blob.HTTP{Base: base, Client: s.api.reader()}
}

// headSource is where the head of the catalog is: where the images are, if they are private.
func (s *station) headSource(spec job.Spec) (string, *http.Client) {
	if len(spec.Sources) > 0 && spec.Sources[0] == s.site.HTTPS {
		return s.site.HTTPS, s.api.reader()
	}
	return s.site.HTTP, http.DefaultClient
}

// reader is a client for what takes long: it has no limit on the time of a whole request.
func (a *client) reader() *http.Client {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.blobs == nil {
		a.blobs = &http.Client{
			Transport: bearer{a, &http.Transport{TLSClientConfig: a.tls, TLSHandshakeTimeout: 10 * time.Second,
				ResponseHeaderTimeout: time.Minute,
				IdleConnTimeout:       time.Minute, MaxIdleConnsPerHost: 8, ForceAttemptHTTP2: true}},
			// a token must not follow one
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}
	}
	return a.blobs
}

// bearer puts the token of the present hello into each request.
type bearer struct {
	a    *client
	next http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	if c := b.a.current(); c != nil {
		c.Authorize(r)
	}
	return b.next.RoundTrip(r)
}
