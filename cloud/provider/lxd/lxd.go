// Package lxd makes servers as containers of an LXD daemon, over its REST API.
//
// Call New. What a stack has becomes:
//
//	image     a container image, found again by the digest in its properties
//	key       nothing: LXD knows no ssh keys, so they are in the user-data
//	network   a managed bridge with the stack's prefix, with DHCP and NAT of LXD's, and an ACL of its own without rules,
//	          so that only what a firewall lets in comes in
//	firewall  a network ACL. LXD applies ACLs of a bridge at its border and not per server; so each rule names
//	          the addresses of the firewall's servers. What a server lets in is written again whenever one comes or goes
//	address   a forward of the stack's network: one of Config.Addresses, all ports of which go to the server
//	volume    a custom storage volume with a filesystem, which a container finds at Volume.Mount
//	server    an unprivileged container with a fixed address, limits by its size, and user-data for cloud-init's NoCloud
//
// Labels are configuration keys user.griddle-*, of images properties without that prefix. A server without a public
// address is reached at its private one, which the computer that runs LXD has a route to.
//
// What other programs change at the same time is found by ETags, and done again. Operations that LXD runs in
// the background are waited for within the context and Config.Wait; one that is not done by then continues, and
// the error is temporary.
//
// Written against LXD 5.0 (https://documentation.ubuntu.com/lxd/en/stable-5.0/api/) with its extensions
// network_bridge_acl, network_forward and custom volumes.
package lxd

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"griddle/cloud/provider"
)

// Config says which daemon, and what of it can be used. Either Socket or URL is set.
type Config struct {
	Socket string // path of the daemon's unix socket, /var/lib/lxd/unix.socket or one of another installation

	URL  string // https://host:8443
	Cert []byte // PEM of our client certificate, which the daemon trusts
	Key  []byte // PEM of its private key
	// PEM: the daemon's own certificate, which alone is then accepted whatever the name, or the CA that signed it;
	// empty for the system's
	Server []byte

	Project string // LXD's; empty for its default
	Pool    string // storage pool of roots and volumes; empty for the only one that there is

	// Addresses are the public ones: IPv4 addresses that lead to the computer that runs LXD. Without any, the
	// provider lacks addresses.
	Addresses []netip.Prefix

	ShutdownTimeout time.Duration // how long a system has to shut itself down; default 30 s, at least 1 s
	Wait            time.Duration // how long an operation of the daemon's is waited for; default 10 min
}

// MaxUserData is the most bytes of user-data.
const MaxUserData = 128 << 10

// validate returns every mistake.
func (c *Config) validate() error {
	var faults []error
	bad := func(format string, a ...any) { faults = append(faults, fmt.Errorf(format, a...)) }
	switch u, err := url.Parse(c.URL); {
	case (c.Socket == "") == (c.URL == ""):
		bad("either a socket or a URL is needed")
	case c.URL != "" && (err != nil || u.Scheme != "https" || u.Host == "" || strings.Trim(u.Path, "/") != "" ||
		u.RawQuery != "" || u.User != nil):
		bad("%q is not https://HOST:PORT", c.URL)
	case c.URL != "" && (len(c.Cert) == 0 || len(c.Key) == 0):
		bad("a URL needs a client certificate and its key")
	}
	for _, a := range c.Addresses {
		if !a.IsValid() || !a.Addr().Is4() || a != a.Masked() || a.Bits() < 16 {
			bad("%v is not a range of at most 65536 IPv4 addresses", a)
		}
	}
	if c.ShutdownTimeout < 0 || c.Wait < 0 {
		bad("a negative time-out")
	}
	return errors.Join(faults...)
}

// Provider is LXD. It is a provider.Provider and a provider.Consoler.
type Provider struct {
	config Config
	client *client
	locks  locks
}

// New returns a Provider. It makes no request.
func New(c Config) (*Provider, error) {
	if err := c.validate(); err != nil {
		return nil, fmt.Errorf("configuring LXD: %w: %w", provider.ErrInvalid, err)
	}
	if c.ShutdownTimeout == 0 {
		c.ShutdownTimeout = 30 * time.Second
	}
	if c.Wait == 0 {
		c.Wait = 10 * time.Minute
	}
	transport, base, err := dialer(c)
	if err != nil {
		return nil, fmt.Errorf("configuring LXD: %w", err)
	}
	p := &Provider{config: c,
		client: &client{http: &http.Client{Transport: transport}, base: base, project: c.Project, wait: c.Wait}}
	p.locks.held = make(map[string]chan struct{})
	return p, nil
}

// Close frees the connections that are not in use.
func (p *Provider) Close() error {
	p.client.http.CloseIdleConnections()
	return nil
}

// Features implements provider.Provider.
func (p *Provider) Features() provider.Features {
	lacks := map[provider.Kind]string{provider.KindKey: "LXD knows no ssh keys: they are in the user-data"}
	if len(p.config.Addresses) == 0 {
		lacks[provider.KindAddress] = "no public addresses were given that lead to the computer with LXD"
	}
	return provider.Features{Name: "lxd", Format: provider.Tree, UserData: MaxUserData, Lacks: lacks}
}

// Ensure implements provider.Provider.
func (p *Provider) Ensure(ctx context.Context, w provider.Want) (provider.Resource, error) {
	if err := provider.Check(p.Features(), w); err != nil {
		return provider.Resource{}, err
	}
	kind, stack, name := w.Identity()
	unlock, err := p.locks.lock(ctx, string(kind)+"/"+stack+"/"+name)
	if err != nil {
		return provider.Resource{}, fmt.Errorf("making %s %q: %w", kind, name, err)
	}
	defer unlock()
	var r provider.Resource
	switch w := w.(type) {
	case *provider.Image:
		r, err = p.ensureImage(ctx, w)
	case *provider.Network:
		r, err = p.ensureNetwork(ctx, w)
	case *provider.Firewall:
		r, err = p.ensureFirewall(ctx, w)
	case *provider.Address:
		r, err = p.ensureAddress(ctx, w)
	case *provider.Volume:
		r, err = p.ensureVolume(ctx, w)
	case *provider.Server:
		r, err = p.ensureServer(ctx, w)
	default:
		err = provider.ErrUnsupported
	}
	if err != nil {
		return provider.Resource{}, fmt.Errorf("making %s %q: %w", kind, name, err)
	}
	return r, nil
}

// Remove implements provider.Provider.
func (p *Provider) Remove(ctx context.Context, r provider.Resource) error {
	remove, ok := map[provider.Kind]func(context.Context, provider.Resource) error{
		provider.KindImage: p.removeImage, provider.KindNetwork: p.removeNetwork,
		provider.KindFirewall: p.removeFirewall, provider.KindAddress: p.removeAddress,
		provider.KindVolume: p.removeVolume, provider.KindServer: p.removeServer,
	}[r.Kind]
	err := provider.ErrUnsupported
	if ok {
		var unlock func()
		if unlock, err = p.locks.lock(ctx, string(r.Kind)+"/"+r.Stack+"/"+r.Name); err == nil {
			defer unlock()
			err = remove(ctx, r)
		}
	}
	if err != nil && (ctx.Err() != nil || !errors.Is(err, provider.ErrNotFound)) {
		return fmt.Errorf("removing %s %q: %w", r.Kind, r.Name, err)
	}
	return nil
}
