// Package ec2 has stacks stand on Amazon EC2.
//
// Call Open. Credentials are found by the SDK's default chain (environment, ~/.aws, SSO, the instance's role); nothing
// is kept. An image goes up from any machine by the EBS direct API, with no helper instance, and becomes an AMI:
//
//	StartSnapshot -> PutSnapshotBlock (512 KiB each, zeroes left out) -> CompleteSnapshot -> RegisterImage
//
// What a stack's resources are at EC2, each with our labels as tags from the call that makes it:
//
//	image     AMI griddle-DIGEST and its snapshot
//	key       key pair griddle/STACK/NAME
//	network   VPC and subnet of the same prefix, internet gateway, route in the main table, DHCP options where name
//	          servers are wanted, and the security group griddle-inside, by which packets of the network come in
//	firewall  security group griddle/STACK/NAME in the VPC of the stack's network
//	address   elastic address
//	volume    EBS volume, encrypted
//	server    instance with IMDSv2 alone, a public address of its own until it has an elastic one, the groups
//	          griddle-inside and its firewall; root disk and network interface go away with it
//
// A stack is in one availability zone: that of its subnet, else of its volumes, else Options.Zone, else the first.
//
// Guarantees: what EC2 makes by client token (snapshots, volumes, instances) is made once however often and by however
// many processes it is asked for. VPCs, gateways, DHCP options and addresses have no token: those calls are not
// repeated after a lost answer, and the next Ensure finds what was made by its tags. Two processes that ask for one of
// them at the same moment can make two; List shows both, and Ensure takes the one with the lower ID.
//
// Against Provider.Ensure's rule it waits where EC2 leaves no other way: for an upload and the snapshot's completion,
// for a VPC, and for an instance to run, because volumes and addresses can only be given to one that runs. A server
// that was made by a killed Ensure stays Pending until another Ensure has attached them.
//
// Sources: Amazon EC2 API Reference 2016-11-15; EBS direct APIs Reference 2019-11-02; EC2 developer guide, "Ensuring
// idempotency"; on the linear checksum awslabs/coldsnap, src/upload.rs.
package ec2

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/ebs"
	api "github.com/aws/aws-sdk-go-v2/service/ec2"

	"griddle/cloud/provider"
)

// Options say which EC2. The zero value is what the environment and ~/.aws/config say.
type Options struct {
	Region   string // empty: AWS_REGION or the profile's
	Profile  string // of ~/.aws/config; empty: AWS_PROFILE or default
	Zone     string // availability zone of new stacks; empty: the region's first
	Endpoint string // https URL of EC2 and EBS direct instead of Amazon's
	CA       []byte // PEM certificates that are trusted besides the system's

	// blocks of an image that are sent side by side, 1 to 64; default 8, half a MiB of memory each
	Parallel int
	Poll     time.Duration // between two looks at what Ensure waits for; default 2 s
	Backoff  time.Duration // longest wait between repetitions of one request; default 20 s
	Log      *slog.Logger  // default: nothing is logged
}

// userData is the most bytes of user-data, before base64 (EC2 user guide, "Run commands at launch").
const userData = 16 << 10

// Provider is EC2 in one region. It implements provider.Provider and provider.Consoler.
type Provider struct {
	o      Options
	region string
	ec2    *api.Client
	ebs    *ebs.Client
	mu     sync.Mutex
	locks  map[string]chan struct{}
	wave   int // blocks
}

// Open reads the configuration. It makes no request; wrong credentials show at the first call.
func Open(ctx context.Context, o Options) (*Provider, error) {
	o.Parallel = cmp.Or(o.Parallel, 8)
	o.Poll, o.Backoff = cmp.Or(o.Poll, 2*time.Second), cmp.Or(o.Backoff, 20*time.Second)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	client, err := o.validate()
	if err != nil {
		return nil, fmt.Errorf("configuring ec2: %w", err)
	}
	load := []func(*config.LoadOptions) error{config.WithHTTPClient(client)}
	if o.Region != "" {
		load = append(load, config.WithRegion(o.Region))
	}
	if o.Profile != "" {
		load = append(load, config.WithSharedConfigProfile(o.Profile))
	}
	if o.Endpoint != "" {
		load = append(load, config.WithBaseEndpoint(o.Endpoint))
	}
	cfg, err := config.LoadDefaultConfig(ctx, load...)
	if err != nil {
		return nil, fmt.Errorf("reading the configuration of ec2: %w", err)
	}
	if cfg.Region == "" {
		return nil, fmt.Errorf("reading the configuration of ec2: %w: write region: in the stack file's provider, "+
			"or set AWS_REGION: %w", errNoRegion, provider.ErrInvalid)
	}
	cfg.Credentials = chain{cfg.Credentials}
	standard := func(attempts int) *retry.Standard {
		return retry.NewStandard(func(s *retry.StandardOptions) {
			s.MaxAttempts, s.MaxBackoff = attempts, o.Backoff
			s.Retryables = append([]retry.IsErrorRetryable{retry.IsErrorRetryableFunc(notAgain)}, s.Retryables...)
		})
	}
	return &Provider{
		o: o, region: cfg.Region,
		ec2: api.NewFromConfig(cfg, func(c *api.Options) { c.Retryer = standard(3) }),
		ebs: ebs.NewFromConfig(cfg, func(c *ebs.Options) {
			// A snapshot that was just started can be unknown for a minute or two.
			c.Retryer = retry.AddWithErrorCodes(standard(10), (*ebsNotFound)(nil).ErrorCode())
		}),
		locks: make(map[string]chan struct{}), wave: wave,
	}, nil
}

func (o *Options) validate() (*awshttp.BuildableClient, error) {
	var faults []error
	if o.Parallel < 1 || o.Parallel > 64 {
		faults = append(faults, fmt.Errorf("%d blocks side by side are not 1 to 64", o.Parallel))
	}
	if o.Endpoint != "" {
		if u, err := url.Parse(o.Endpoint); err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil {
			faults = append(faults, errors.New("the endpoint is not an https URL"))
		}
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		faults = append(faults, fmt.Errorf("reading the system's certificates: %w", err))
	} else if len(o.CA) > 0 && !pool.AppendCertsFromPEM(o.CA) {
		faults = append(faults, errors.New("no certificate is in the CA's PEM"))
	}
	client := awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) {
		t.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
		t.ResponseHeaderTimeout = time.Minute
		t.MaxIdleConnsPerHost = o.Parallel + 2
	}).WithDialerOptions(func(d *net.Dialer) { d.Timeout = provider.DialTimeout })
	if len(faults) > 0 {
		return nil, fmt.Errorf("%w: %w", provider.ErrInvalid, errors.Join(faults...))
	}
	return client, nil
}

// Features are those of every region.
func Features() provider.Features {
	return provider.Features{Name: "ec2", Format: provider.Raw, UserData: userData}
}

// Features implements provider.Provider.
func (p *Provider) Features() provider.Features { return Features() }

// Ensure implements provider.Provider.
func (p *Provider) Ensure(ctx context.Context, w provider.Want) (provider.Resource, error) {
	if err := provider.Check(p.Features(), w); err != nil {
		return provider.Resource{}, err
	}
	kind, stack, name := w.Identity()
	what := fmt.Sprintf("making %s %q", kind, name)
	if i, ok := w.(*provider.Image); ok {
		name = i.Digest
	}
	unlock, err := p.lock(ctx, fmt.Sprintf("%s %s/%s", kind, stack, name))
	if err != nil {
		return provider.Resource{}, p.explain(ctx, what, err)
	}
	defer unlock()
	r, err := p.ensure(ctx, w)
	if err != nil {
		return provider.Resource{}, p.explain(ctx, what, err)
	}
	return r, nil
}

func (p *Provider) ensure(ctx context.Context, w provider.Want) (provider.Resource, error) {
	switch w := w.(type) {
	case *provider.Image:
		return p.ensureImage(ctx, w)
	case *provider.Key:
		return p.ensureKey(ctx, w)
	case *provider.Network:
		return p.ensureNetwork(ctx, w)
	case *provider.Firewall:
		return p.ensureFirewall(ctx, w)
	case *provider.Address:
		return p.ensureAddress(ctx, w)
	case *provider.Volume:
		return p.ensureVolume(ctx, w)
	case *provider.Server:
		return p.ensureServer(ctx, w)
	}
	return provider.Resource{}, fmt.Errorf("%T: %w", w, provider.ErrUnsupported)
}

// Remove implements provider.Provider.
func (p *Provider) Remove(ctx context.Context, r provider.Resource) error {
	remove, ok := map[provider.Kind]func(context.Context, provider.Resource) error{
		provider.KindImage: p.removeImage, provider.KindKey: p.removeKey, provider.KindNetwork: p.removeNetwork,
		provider.KindFirewall: p.removeFirewall, provider.KindAddress: p.removeAddress,
		provider.KindVolume: p.removeVolume, provider.KindServer: p.removeServer,
	}[r.Kind]
	if !ok {
		return fmt.Errorf("removing a %q: %w", r.Kind, provider.ErrUnsupported)
	}
	if err := remove(ctx, r); err != nil {
		return p.explain(ctx, fmt.Sprintf("removing %s %q (%s)", r.Kind, r.Name, r.ID), err)
	}
	return nil
}

// lock has one goroutine at a time make a resource.
func (p *Provider) lock(ctx context.Context, name string) (unlock func(), err error) {
	p.mu.Lock()
	c, ok := p.locks[name]
	if !ok {
		c = make(chan struct{}, 1)
		p.locks[name] = c
	}
	p.mu.Unlock()
	select {
	case c <- struct{}{}:
		return func() { <-c }, ctx.Err()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// until asks done again and again, Options.Poll apart, at most times often; 0 for as long as ctx allows.
func (p *Provider) until(ctx context.Context, times int, done func() (bool, error)) error {
	for n := 1; ; n++ {
		if ok, err := done(); ok || err != nil {
			return err
		}
		if n == times {
			return errLate
		}
		select {
		case <-time.After(p.o.Poll):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// visible is how often what was just made is looked for: EC2 shows it a little later (EC2 developer guide,
// "Eventual consistency").
const visible = 15

// once is for what has no client token: after a lost answer it must be looked for, not made again.
func once(o *api.Options) { o.Retryer = aws.NopRetryer{} }
