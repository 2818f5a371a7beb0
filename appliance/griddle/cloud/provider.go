package cloud

import (
	"context"
	"errors"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"griddle/cloud/provider"
	"griddle/cloud/provider/ec2"
	"griddle/cloud/provider/lxd"
	"griddle/cloud/provider/openstack"
	"griddle/cloud/provider/qemu"
	"griddle/cloud/setup"
	"griddle/cloud/stack"
	"griddle/cloud/yamltree"
)

// OpenProvider makes the provider that a stack file names, with the options that it gives.
func OpenProvider(ctx context.Context, g *Commands, s *stack.Stack, dir string) (provider.Provider, error) {
	p, err := knowProvider(ctx, g, s, dir)
	if err != nil {
		return nil, err
	}
	return p.open(ctx)
}

// known is a stack's provider as far as it is known without asking it.
type known struct {
	features provider.Features
	sizes    []provider.Size                               // nil where only the provider knows
	ports    func(s *stack.Stack, r []provider.Rule) error // what it does not take; nil where it takes every port
	open     func(context.Context) (provider.Provider, error)
}

// knowProvider reads a stack file's options for its provider, with the files and credentials that they name, and asks
// no one. The error is yamltree.Faults, all of them.
func knowProvider(ctx context.Context, g *Commands, s *stack.Stack, dir string) (known, error) {
	o := options{s: s, g: g}
	read := map[string]func(context.Context, *options, string) known{"qemu": knowQEMU, "lxd": knowLXD,
		"openstack": knowOpenStack, "ec2": knowEC2}[s.Provider]
	if read == nil {
		return known{}, yamltree.Faults{s.Fault("provider", "", "the provider %s is not in this program", s.Provider)}
	}
	k := read(ctx, &o, dir)
	o.rest()
	if len(o.faults) > 0 {
		return k, o.faults.Sorted()
	}
	return k, nil
}

func knowQEMU(_ context.Context, o *options, dir string) known {
	c := qemu.Config{Dir: o.path("dir", filepath.Join(dir, "qemu")), Accel: o.oneOf("accel", "kvm", "tcg")}
	if err := qemu.CheckPrograms(); err != nil {
		o.bad("", "", "%v", err)
	}
	return known{
		features: qemu.Features(), sizes: qemu.DefaultSizes(),
		ports: func(s *stack.Stack, rules []provider.Rule) error {
			if s.Network.External != "" { // a bridge forwards nothing
				return nil
			}
			return qemu.CheckPorts(rules)
		},
		open: func(context.Context) (provider.Provider, error) { return qemu.New(c) },
	}
}

func knowLXD(_ context.Context, o *options, _ string) known {
	c := lxd.Config{Socket: o.path("socket", ""), URL: o.text("url"), Project: o.text("project"), Pool: o.text("pool")}
	if c.Socket == "" && c.URL == "" {
		c.Socket = setup.LXDSocket(setup.Computer{Files: os.DirFS("/"), Getenv: o.g.E.Getenv})
	}
	for _, p := range strings.Fields(strings.ReplaceAll(o.text("addresses"), ",", " ")) {
		prefix, err := netip.ParsePrefix(p)
		if err != nil {
			o.bad("addresses", "write networks such as 192.0.2.16/28", "%q is not a network", p)
			continue
		}
		c.Addresses = append(c.Addresses, prefix)
	}
	c.Cert, c.Key, c.Server = o.file("cert"), o.file("key"), o.file("server")
	k := known{features: provider.Features{Name: "lxd", Format: provider.Tree, UserData: lxd.MaxUserData},
		sizes: lxd.Sizes()}
	if len(o.faults) > 0 {
		return k
	}
	p, err := lxd.New(c)
	if err != nil {
		o.bad("", "", "%v", err)
		return k
	}
	k.features = p.Features()
	k.open = func(context.Context) (provider.Provider, error) { return p, nil }
	return k
}

func knowOpenStack(_ context.Context, o *options, _ string) known {
	src := openstack.Source{Cloud: o.text("cloud"), Region: o.text("region"), Getenv: o.g.E.Getenv, CA: o.path("ca",
		"")}
	c := openstack.Options{Format: provider.Format(o.oneOf("format", "qcow2", "raw")), UEFI: o.oneOf("uefi", "true",
		"false") == "true", External: o.text("external"), Zone: o.text("zone")}
	var err error
	if c.Credentials, err = openstack.ReadCredentials(src); err != nil {
		o.bad("", "", "%v", err)
	}
	return known{features: openstack.Features(c), open: func(ctx context.Context) (provider.Provider,
		error) {
		return openstack.New(ctx, c)
	}}
}

func knowEC2(ctx context.Context, o *options, _ string) known {
	c := ec2.Options{Region: o.text("region"), Profile: o.text("profile"), Zone: o.text("zone"),
		Endpoint: o.text("endpoint"), CA: o.file("ca")}
	if c.Endpoint != "" {
		if u, err := url.Parse(c.Endpoint); err != nil || u.Scheme != "https" || u.Host == "" {
			o.bad("endpoint", "write one such as https://ec2.example", "%q is not an https URL", c.Endpoint)
			c.Endpoint = ""
		}
	}
	k := known{features: ec2.Features()}
	p, err := ec2.Open(ctx, c)
	if err != nil {
		o.bad("", "", "%v", err)
		return k
	}
	k.open = func(context.Context) (provider.Provider, error) { return p, nil }
	return k
}

// options are those of a stack file's provider, while they are read.
type options struct {
	s      *stack.Stack
	g      *Commands
	known  []string
	faults yamltree.Faults
}

// bad adds a fault of an option; of the provider as a whole for the empty one.
func (o *options) bad(key, hint, format string, args ...any) {
	path := "provider"
	if key != "" {
		path += "." + key
	}
	o.faults = append(o.faults, o.s.Fault(path, hint, format, args...))
}

// text is an option's value; empty where it is not said.
func (o *options) text(key string) string {
	o.known = append(o.known, key)
	return o.s.Options[key]
}

// oneOf is text that can only be one of some words.
func (o *options) oneOf(key string, words ...string) string {
	v := o.text(key)
	if v != "" && !slices.Contains(words, v) {
		o.bad(key, "write one of "+strings.Join(words, ", "), "%q is not known", v)
		return ""
	}
	return v
}

// path is an option that names a file of this computer, relative to the stack file.
func (o *options) path(key, otherwise string) string {
	v := o.text(key)
	if v == "" {
		return otherwise
	}
	p, err := o.g.local(v)
	if err != nil {
		o.bad(key, "", "%v", err)
	}
	return p
}

// file is the content of the file that an option names; nil where it is not said.
func (o *options) file(key string) []byte {
	v := o.text(key)
	if v == "" {
		return nil
	}
	b, err := o.g.readLocal(v)
	if err == nil && len(b) == 0 {
		err = errors.New(v + " is empty")
	}
	if err != nil {
		o.bad(key, "", "%v", err)
	}
	return b
}

// rest finds options that no one asked for.
func (o *options) rest() {
	slices.Sort(o.known)
	for key := range o.s.Options {
		if !slices.Contains(o.known, key) {
			o.bad(key, "known are kind, "+strings.Join(o.known, ", "), "%s has no such option", o.s.Provider)
		}
	}
}
