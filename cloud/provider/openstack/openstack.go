// Package openstack is a provider.Provider on an OpenStack cloud: keystone, glance, nova and neutron, and cinder where
// there is one.
//
// Call Credentials, then New, which asks keystone for a token and learns from its catalogue which services there are.
//
// How what a stack has is kept:
//
//	image     an image of glance, its properties and the tag griddle-image are its labels
//	key       a key pair of nova, which has no labels: its name griddle_STACK_NAME says whose it is
//	network   a network, a subnet, and where something leads out a router with its interface
//	firewall  a security group
//	address   a floating address
//	volume    a volume of cinder, labelled by its metadata
//	server    a server of nova, labelled by its metadata, and a port of neutron that holds its address
//
// What neutron keeps is labelled in its description, because that is set in the same call that makes it; tags, which
// need another call, repeat that for people. Names are not unique in OpenStack, key pairs excepted: something else of
// the same name is left beside ours.
//
// A call that is repeated finds what an earlier one made by its labels. Where two programs make the same thing at once,
// the older of the two stays and the other is removed by who made it; a server is made once because its port can hold
// its address only once, if it has a wanted one.
//
// TLS is always verified, plain HTTP is for loopback addresses only, redirects to another host are not followed (they
// would take the token along), and answers are at most 64 MiB.
//
// Sources: docs.openstack.org/api-ref for compute (2.1), network (2.0), image (2), block-storage (3) and identity (3).
package openstack

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"griddle/cloud/provider"

	"github.com/gophercloud/gophercloud/v2"
	gopenstack "github.com/gophercloud/gophercloud/v2/openstack"
)

// maxUserData is the most bytes of user-data: nova takes 65535 characters of base64, which are 49149 bytes.
const maxUserData = 65535 / 4 * 3

// Options say how the provider works in the cloud that the credentials are for.
type Options struct {
	Credentials Credentials

	// Format of images: provider.QCOW2 (the default), or provider.Raw for clouds whose disks are in Ceph, where the
	// image is then cloned and not converted.
	Format provider.Format
	// UEFI has images that boot by both be booted by UEFI: their hw_firmware_type is uefi.
	UEFI bool
	// External is the external network where a stack names none; empty for the only one there is.
	External string
	// NoConfigDrive leaves user-data to the metadata service alone.
	NoConfigDrive bool
	// Zone is the availability zone of servers and volumes; empty for the cloud's default.
	Zone string
}

// Provider implements provider.Provider and provider.Consoler.
type Provider struct {
	options  Options
	features provider.Features
	project  string // ID, of the token

	compute, network, image *gophercloud.ServiceClient
	volume                  *gophercloud.ServiceClient // nil where there is none

	mu   sync.Mutex
	busy map[string]chan struct{} // identities that are being changed; closed when that is done
}

// New gets a token and the catalogue. What is wrong with the credentials is a provider.ErrCredentials.
func New(ctx context.Context, o Options) (*Provider, error) {
	if o.Format == "" {
		o.Format = provider.QCOW2
	}
	if o.Format != provider.QCOW2 && o.Format != provider.Raw {
		return nil, fmt.Errorf("opening OpenStack: images of format %q: %w", o.Format, provider.ErrInvalid)
	}
	client, err := o.Credentials.client(ctx)
	if err != nil {
		return nil, fmt.Errorf("opening OpenStack at %s, region %q: %w", o.Credentials.auth.IdentityEndpoint,
			o.Credentials.endpoint.Region, classify(ctx, err))
	}
	p := &Provider{options: o, busy: make(map[string]chan struct{})}
	p.project = projectOf(client)
	where := o.Credentials.endpoint
	var faults []error
	for _, s := range []struct {
		name   string
		client **gophercloud.ServiceClient
		open   func(*gophercloud.ProviderClient, gophercloud.EndpointOpts) (*gophercloud.ServiceClient, error)
	}{
		{"compute", &p.compute, gopenstack.NewComputeV2},
		{"network", &p.network, gopenstack.NewNetworkV2},
		{"image", &p.image, gopenstack.NewImageV2},
	} {
		if *s.client, err = s.open(client, where); err != nil {
			faults = append(faults, fmt.Errorf("finding the %s service of region %q: %w", s.name, where.Region, err))
		}
	}
	if len(faults) > 0 {
		return nil, fmt.Errorf("opening OpenStack: %w", classify(ctx, errors.Join(faults...)))
	}
	lacks := make(map[provider.Kind]string)
	if p.volume, err = gopenstack.NewBlockStorageV3(client, where); err != nil {
		if ctx.Err() != nil || !isMissingEndpoint(err) {
			return nil, fmt.Errorf("opening OpenStack: finding the volume service: %w", classify(ctx, err))
		}
		p.volume = nil
		lacks[provider.KindVolume] = "the cloud's catalogue has no volume service (cinder) in this region"
	}
	p.features = Features(o)
	p.features.Lacks = lacks
	return p, nil
}

// isMissingEndpoint says that the catalogue does not list a service.
func isMissingEndpoint(err error) bool {
	var value gophercloud.ErrEndpointNotFound
	var pointer *gophercloud.ErrEndpointNotFound
	return errors.As(err, &value) || errors.As(err, &pointer)
}

// Features are those of a cloud with every service, as they are known before it is asked.
func Features(o Options) provider.Features {
	return provider.Features{Name: "openstack", Format: cmp.Or(o.Format, provider.QCOW2), UserData: maxUserData}
}

// Features implements provider.Provider.
func (p *Provider) Features() provider.Features { return p.features }

// lock has the calls of this process for one resource follow one another.
func (p *Provider) lock(ctx context.Context, w provider.Want) (unlock func(), err error) {
	kind, stack, name := w.Identity()
	id := string(kind) + "/" + stack + "/" + name
	if i, ok := w.(*provider.Image); ok {
		id = i.Digest
	}
	for {
		p.mu.Lock()
		other, held := p.busy[id]
		if !held {
			mine := make(chan struct{})
			p.busy[id] = mine
			p.mu.Unlock()
			return func() {
				p.mu.Lock()
				delete(p.busy, id)
				p.mu.Unlock()
				close(mine)
			}, nil
		}
		p.mu.Unlock()
		select {
		case <-other:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// Ensure implements provider.Provider. It sends an image's bytes before it returns.
func (p *Provider) Ensure(ctx context.Context, w provider.Want) (provider.Resource, error) {
	kind, _, name := w.Identity()
	fail := func(err error) (provider.Resource, error) {
		return provider.Resource{}, fmt.Errorf("making %s %q: %w", kind, name, classify(ctx, err))
	}
	if err := provider.Check(p.features, w); err != nil {
		return provider.Resource{}, err
	}
	unlock, err := p.lock(ctx, w)
	if err != nil {
		return fail(err)
	}
	defer unlock()
	var r provider.Resource
	switch w := w.(type) {
	case *provider.Image:
		r, err = p.ensureImage(ctx, w)
	case *provider.Key:
		r, err = p.ensureKey(ctx, w)
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
		err = fmt.Errorf("kind %q: %w", kind, provider.ErrUnsupported)
	}
	if err != nil {
		return fail(err)
	}
	return r, nil
}

// List implements provider.Provider.
func (p *Provider) List(ctx context.Context, stack string) ([]provider.Resource, error) {
	var all []provider.Resource
	steps := []func(context.Context, string) ([]provider.Resource, error){
		p.listKeys, p.listNetworks, p.listFirewalls, p.listAddresses, p.listVolumes, p.listServers,
	}
	if stack == "" {
		steps = []func(context.Context, string) ([]provider.Resource, error){p.listImages}
	}
	for _, list := range steps {
		some, err := list(ctx, stack)
		if err != nil {
			return nil, fmt.Errorf("listing what stack %q has: %w", stack, classify(ctx, err))
		}
		slices.SortStableFunc(some, byName)
		all = append(all, some...)
	}
	return all, nil
}

// Remove implements provider.Provider.
func (p *Provider) Remove(ctx context.Context, r provider.Resource) error {
	var err error
	switch r.Kind {
	case provider.KindImage:
		err = p.removeImage(ctx, r)
	case provider.KindKey:
		err = p.removeKey(ctx, r)
	case provider.KindNetwork:
		err = p.removeNetwork(ctx, r)
	case provider.KindFirewall:
		err = p.removeFirewall(ctx, r)
	case provider.KindAddress:
		err = p.removeAddress(ctx, r)
	case provider.KindVolume:
		err = p.removeVolume(ctx, r)
	case provider.KindServer:
		err = p.removeServer(ctx, r)
	default:
		err = provider.ErrUnsupported
	}
	if err != nil && !isNotFound(err) {
		return fmt.Errorf("removing %s %q: %w", r.Kind, r.Name, classify(ctx, err))
	}
	return nil
}
