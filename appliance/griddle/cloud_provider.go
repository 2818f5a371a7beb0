package main

import (
	"context"
	"fmt"
	"net/netip"
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
)

// openProvider makes the provider that a stack file names, with the options that it gives.
func openProvider(ctx context.Context, g *clouds, s *stack.Stack, dir string) (provider.Provider, error) {
	o := options{file: g.file, left: s.Options}
	pem := func(key string) (b []byte, err error) {
		if name := o.text(key, ""); name != "" {
			b, err = g.readLocal(name)
		}
		return b, err
	}
	switch s.Provider {
	case "qemu":
		c := qemu.Config{Dir: o.text("dir", filepath.Join(dir, "qemu")), Accel: o.text("accel", "")}
		if err := o.rest(); err != nil {
			return nil, err
		}
		return qemu.New(c)
	case "lxd":
		c := lxd.Config{Socket: o.text("socket", ""), URL: o.text("url", ""), Project: o.text("project", ""), Pool: o.text("pool", "")}
		if c.Socket == "" && c.URL == "" {
			c.Socket = setup.LXDSocket(setup.Computer{Files: os.DirFS("/"), Getenv: g.e.getenv})
		}
		for _, p := range strings.Fields(strings.ReplaceAll(o.text("addresses", ""), ",", " ")) {
			prefix, err := netip.ParsePrefix(p)
			if err != nil {
				return nil, fmt.Errorf("%s: provider.addresses: %q is no network", g.file, p)
			}
			c.Addresses = append(c.Addresses, prefix)
		}
		var err error
		for key, to := range map[string]*[]byte{"cert": &c.Cert, "key": &c.Key, "server": &c.Server} {
			if *to, err = pem(key); err != nil {
				return nil, err
			}
		}
		if err := o.rest(); err != nil {
			return nil, err
		}
		return lxd.New(c)
	case "openstack":
		src := openstack.Source{Cloud: o.text("cloud", ""), Region: o.text("region", ""), Getenv: g.e.getenv}
		c := openstack.Options{Format: provider.Format(o.text("format", "")), UEFI: o.text("uefi", "") == "true", External: o.text("external", ""), Zone: o.text("zone", "")}
		if ca := o.text("ca", ""); ca != "" {
			var err error
			if src.CA, err = g.local(ca); err != nil {
				return nil, err
			}
		}
		if err := o.rest(); err != nil {
			return nil, err
		}
		var err error
		if c.Credentials, err = openstack.ReadCredentials(src); err != nil {
			return nil, err
		}
		return openstack.New(ctx, c)
	case "ec2":
		c := ec2.Options{Region: o.text("region", ""), Profile: o.text("profile", ""), Zone: o.text("zone", ""), Endpoint: o.text("endpoint", "")}
		var err error
		if c.CA, err = pem("ca"); err != nil {
			return nil, err
		}
		if err := o.rest(); err != nil {
			return nil, err
		}
		return ec2.Open(ctx, c)
	}
	return nil, fmt.Errorf("the provider %s is not in this program", s.Provider)
}

// options are those of a stack file's provider.
type options struct {
	file  string
	left  map[string]string
	known []string
}

func (o *options) text(key, otherwise string) string {
	o.known = append(o.known, key)
	if v := o.left[key]; v != "" {
		return v
	}
	return otherwise
}

// rest is an error where an option is there that nobody asked for.
func (o *options) rest() error {
	for key := range o.left {
		if !slices.Contains(o.known, key) {
			slices.Sort(o.known)
			return fmt.Errorf("%s: provider.%s: there is no such option; there are kind, %s", o.file, key, strings.Join(o.known, ", "))
		}
	}
	return nil
}
