package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"
	"sync"

	"griddle/appliance/job"
	"griddle/appliance/site"
)

// client makes the calls of the present hello: each hello makes the earlier token invalid, and events may be on their
// way meanwhile.
type client struct {
	base string
	tls  *tls.Config

	mu     sync.Mutex
	client *job.Client
	blobs  *http.Client // see reader
}

// newClient makes a client with the key of this boot: all its calls are made with it.
func newClient(at site.Site, key tls.Certificate) (*client, error) {
	conf, err := job.PinnedTLS([]byte(at.CA))
	if err != nil {
		return nil, err
	}
	conf.Certificates = []tls.Certificate{key}
	return &client{base: at.HTTPS, tls: conf}, nil
}

func (a *client) hello(ctx context.Context, h job.Hello) (job.Welcome, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	c := job.NewClient(a.base, a.tls)
	w, err := c.Hello(ctx, h)
	if err == nil {
		a.client = c
	}
	return w, err
}

func (a *client) choose(ctx context.Context, c job.Choice) (job.Spec, error) {
	return a.current().Choose(ctx, c)
}

func (a *client) events(ctx context.Context, e job.Events) (job.Acknowledged, error) {
	c := a.current()
	if c == nil {
		return job.Acknowledged{}, errors.New("not introduced yet")
	}
	return c.Events(ctx, e)
}

func (a *client) settings(ctx context.Context) (job.Settings, error) {
	return a.current().Settings(ctx)
}

func (a *client) recovery(ctx context.Context, id string) (job.Settings, error) {
	return a.current().Recovery(ctx, id)
}

func (a *client) plan(ctx context.Context, ask job.PlanAsk) (job.Image, error) {
	return a.current().Plan(ctx, ask)
}

func (a *client) stream(ctx context.Context, ask, answer any) error {
	c := a.current()
	if c == nil {
		return errors.New("not introduced yet")
	}
	return c.Stream(ctx, ask, answer)
}

func (a *client) relay(ctx context.Context, report, command any) error {
	c := a.current()
	if c == nil {
		return errors.New("not introduced yet")
	}
	return c.Relay(ctx, report, command)
}

func (a *client) current() *job.Client {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.client
}

// isCertificate says whether the other side could not prove who it is.
func isCertificate(err error) bool {
	var v *tls.CertificateVerificationError
	var u x509.UnknownAuthorityError
	return errors.As(err, &v) || errors.As(err, &u)
}
