package contact

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"time"

	"griddle/appliance/job"
)

// Do calls the server where the newest notice says that it is, and then where it was at the install. It returns the
// address that answered.
func (c *Contact) Do(ctx context.Context, call func(context.Context, *job.Client) error) (base string, err error) {
	conf, err := c.TLS()
	if err != nil {
		return "", err
	}
	var errs []error
	for _, base := range c.bases() {
		err := c.at(ctx, base, conf, call)
		if err == nil {
			return base, nil
		}
		errs = append(errs, fmt.Errorf("%s: %w", base, err))
	}
	return "", errors.Join(errs...)
}

// bases are where the server may be.
func (c *Contact) bases() []string {
	now, then := c.Site().HTTPS, c.Config.Site.HTTPS
	if now == then {
		return []string{now}
	}
	return []string{now, then}
}

// TLS trusts the site's CA alone, and proves this machine by its key.
func (c *Contact) TLS() (*tls.Config, error) {
	key, err := c.Load(c.Folder)
	if err != nil {
		return nil, err
	}
	conf, err := job.PinnedTLS([]byte(c.Site().CA))
	if err != nil {
		return nil, err
	}
	conf.Certificates = []tls.Certificate{key}
	earliest := c.earliest()
	conf.Time = func() time.Time {
		if now := c.Now(); now.After(earliest) {
			return now
		}
		return earliest
	}
	return conf, nil
}

// at makes a call at base. See the package comment about clocks.
func (c *Contact) at(ctx context.Context, base string, conf *tls.Config,
	call func(context.Context, *job.Client) error) error {
	err := call(ctx, job.NewClient(base, conf))
	var invalid x509.CertificateInvalidError
	if earliest := c.earliest(); errors.As(err, &invalid) && invalid.Reason == x509.Expired && !earliest.IsZero() {
		conf = conf.Clone()
		conf.Time = func() time.Time { return earliest }
		err = call(ctx, job.NewClient(base, conf))
	}
	return err
}

// earliest is a time that has passed for certain.
func (c *Contact) earliest() time.Time {
	if c.Notice.Time.After(c.Config.Installed) {
		return c.Notice.Time
	}
	return c.Config.Installed
}

// Reader is a client for what takes long: it has no limit on the time of a whole request. It proves this machine to
// the server, and to no one that the server redirects to.
func (c *Contact) Reader() (*http.Client, error) {
	conf, err := c.TLS()
	if err != nil {
		return nil, err
	}
	return &http.Client{
		Transport: &http.Transport{TLSClientConfig: conf, TLSHandshakeTimeout: 10 * time.Second,
			ResponseHeaderTimeout: time.Minute, IdleConnTimeout: time.Minute, MaxIdleConnsPerHost: 8,
			ForceAttemptHTTP2: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, nil
}
