package qemu

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"

	"griddle/cloud/provider"
)

// flagNew makes a file that must not be there.
const flagNew = os.O_RDWR | os.O_CREATE | os.O_EXCL

// Ensure implements provider.Provider.
func (q *QEMU) Ensure(ctx context.Context, w provider.Want) (provider.Resource, error) {
	if err := ctx.Err(); err != nil {
		return provider.Resource{}, fmt.Errorf("changing QEMU's state: %w", err)
	}
	if err := provider.Check(q.Features(), w); err != nil {
		return provider.Resource{}, err
	}
	var r *record
	var err error
	if i, ok := w.(*provider.Image); ok {
		r, err = q.image(ctx, i)
	} else {
		err = q.locked(ctx, func() (err error) {
			r, err = q.ensure(ctx, w)
			return err
		})
	}
	if err != nil {
		return provider.Resource{}, err
	}
	servers, err := q.servers(r.stack())
	if err != nil {
		return provider.Resource{}, err
	}
	return q.resource(ctx, r, servers)
}

// ensure makes w, or brings what is there to it. The state is locked.
func (q *QEMU) ensure(ctx context.Context, w provider.Want) (*record, error) {
	kind, stack, name := w.Identity()
	r, err := q.read(q.home(kind, stack, name))
	if err != nil {
		return nil, fmt.Errorf("making %s %q: %w", kind, name, err)
	}
	isNew := r == nil
	if isNew {
		r = &record{Serial: serial(), Labels: map[string]string{
			provider.LabelStack: stack, provider.LabelKind: string(kind), provider.LabelName: name,
			provider.LabelWant: w.Fingerprint(),
		}}
	}
	fill := func(string) error { return nil }
	switch w := w.(type) {
	case *provider.Server:
		return q.ensureServer(ctx, r, isNew, w)
	case *provider.Firewall:
		return q.ensureFirewall(ctx, r, isNew, w)
	case *provider.Volume:
		if !isNew {
			return r, q.grow(ctx, r, w.Size)
		}
		r.Size = w.Size
		fill = func(dir string) error { return q.truncate(filepath.Join(dir, imageDisk), flagNew, w.Size) }
	case *provider.Key:
		r.Key = w.Public
	case *provider.Network:
		r.Network, err = newNetwork(w)
	case *provider.Address:
		if isNew {
			r.Address, err = q.freeAddress(w)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("making %s %q: %w", kind, name, err)
	}
	if isNew {
		return r, q.place(r, "new", fill)
	}
	return r, nil
}

// newNetwork draws a multicast group for a network without a bridge: one of those for private use
// (RFC 2365), and a port.
func newNetwork(w *provider.Network) (*networkRecord, error) {
	n := &networkRecord{Prefix: w.Prefix, DNS: w.DNS, Bridge: w.External}
	if n.Bridge != "" {
		if filepath.Base(n.Bridge) != n.Bridge {
			return nil, fmt.Errorf("%q is not the name of a bridge: %w", n.Bridge, provider.ErrInvalid)
		}
		if _, err := os.Stat(filepath.Join("/sys/class/net", n.Bridge, "bridge")); err != nil {
			return nil, fmt.Errorf("this machine has no bridge %q: %w", n.Bridge, provider.ErrInvalid)
		}
		return n, nil
	}
	var b [4]byte
	rand.Read(b[:])
	group := netip.AddrFrom4([4]byte{239, 192 + b[0]%4, b[1], b[2]})
	n.Group = netip.AddrPortFrom(group, 16384+uint16(b[3])).String()
	return n, nil
}

// freeAddress is the lowest public address that no stack has.
func (q *QEMU) freeAddress(w *provider.Address) (netip.Addr, error) {
	if w.External != "" {
		return netip.Addr{}, fmt.Errorf("a server on bridge %q is reached at its own address: %w", w.External,
			provider.ErrUnsupported)
	}
	dirs, err := filepath.Glob(q.path("stacks", "*", string(provider.KindAddress), "*"))
	if err != nil {
		return netip.Addr{}, err
	}
	used := make(map[netip.Addr]bool)
	for _, d := range dirs {
		if r, err := q.read(d); err == nil && r != nil {
			used[r.Address] = true
		}
	}
	p := q.Loopback.Masked()
	for a := p.Addr().Next(); p.Contains(a.Next()); a = a.Next() {
		if !used[a] {
			return a, nil
		}
	}
	return netip.Addr{}, fmt.Errorf("all addresses of %v are in use: %w", p, provider.ErrQuota)
}

// truncate makes a file of zeros, or a longer one.
func (q *QEMU) truncate(path string, flag int, size int64) error {
	f, err := q.Disk.OpenFile(path, flag, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Truncate(size); err != nil {
		return err
	}
	return f.Sync()
}

// grow makes a volume larger. The record is written last, so that what was begun is done again.
func (q *QEMU) grow(ctx context.Context, v *record, size int64) error {
	if size <= v.Size {
		return nil
	}
	fail := func(err error) error { return fmt.Errorf("growing volume %q: %w", v.name(), room(err)) }
	dir := q.home(provider.KindVolume, v.stack(), v.name())
	if err := q.truncate(filepath.Join(dir, imageDisk), os.O_RDWR, size); err != nil {
		return fail(err)
	}
	servers, err := q.servers(v.stack())
	if err != nil {
		return fail(err)
	}
	if owner := ownerOf(servers, v.id()); owner != nil {
		err := q.running(ctx, owner, func(m *monitor) error {
			_, err := m.Do(ctx, "block_resize", map[string]any{"node-name": volumeID + v.Serial, "size": size})
			return err
		})
		if err != nil {
			return fail(err)
		}
	}
	v.Size = size
	return q.write(v)
}

// ensureFirewall writes the rules down, and has each server that has them follow.
func (q *QEMU) ensureFirewall(ctx context.Context, r *record, isNew bool, w *provider.Firewall) (*record, error) {
	r.Rules = w.Rules
	if isNew {
		return r, q.place(r, "new", func(string) error { return nil })
	}
	servers, err := q.servers(r.stack())
	if err != nil {
		return nil, err
	}
	for _, s := range servers {
		if s.Server.Firewall == r.id() {
			if _, err := admitted(r, s.Server.SSH); err != nil {
				return nil, fmt.Errorf("changing firewall %q: %w", r.name(), err)
			}
		}
	}
	if err := q.write(r); err != nil {
		return nil, err
	}
	for _, s := range servers {
		if s.Server.Firewall == r.id() {
			if err := q.refresh(ctx, s); err != nil {
				return nil, fmt.Errorf("changing firewall %q: %w", r.name(), err)
			}
		}
	}
	return r, nil
}
