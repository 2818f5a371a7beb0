package qemu

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"syscall"
	"time"

	"griddle/cloud/provider"
	"griddle/cloud/provider/qemu/qmp"
)

// parts is the records that a server refers to.
type parts struct {
	image, key, network, firewall, address *record
	volumes                                []*record
}

// parts reads what w names. What is gone is an ErrNotFound, what is another stack's an ErrInvalid.
func (q *QEMU) parts(w *provider.Server) (parts, error) {
	var p parts
	get := func(kind provider.Kind, id string) (*record, error) {
		if id == "" {
			return nil, nil
		}
		r, err := q.byID(kind, id)
		switch {
		case err != nil:
			return nil, err
		case r == nil:
			return nil, fmt.Errorf("%s %s: %w", kind, id, provider.ErrNotFound)
		case kind != provider.KindImage && r.stack() != w.Stack:
			return nil, fmt.Errorf("%s %s is of stack %q: %w", kind, id, r.stack(), provider.ErrInvalid)
		}
		return r, nil
	}
	var errs [5]error
	p.image, errs[0] = get(provider.KindImage, w.Image)
	p.key, errs[1] = get(provider.KindKey, w.Key)
	p.network, errs[2] = get(provider.KindNetwork, w.Network)
	p.firewall, errs[3] = get(provider.KindFirewall, w.Firewall)
	p.address, errs[4] = get(provider.KindAddress, w.Address)
	if err := errors.Join(errs[:]...); err != nil {
		return parts{}, err
	}
	for _, id := range w.Volumes {
		v, err := get(provider.KindVolume, id)
		if err != nil {
			return parts{}, err
		}
		p.volumes = append(p.volumes, v)
	}
	if p.address != nil && p.network.Network.Bridge != "" {
		return parts{}, fmt.Errorf("a server on bridge %q is reached at its own address: %w", p.network.Network.Bridge,
			provider.ErrInvalid)
	}
	return p, nil
}

// ensureServer makes and starts a server, or changes what can be in one that is there. The state is locked.
func (q *QEMU) ensureServer(ctx context.Context, r *record, isNew bool, w *provider.Server) (*record, error) {
	fail := func(err error) (*record, error) {
		return nil, fmt.Errorf("making server %q: %w", w.Name, room(err))
	}
	if !isNew {
		if err := q.settle(ctx, r); err != nil {
			return fail(err)
		}
		if s := r.Server; s.Power == powerGone {
			if there, err := q.read(q.serverDir(r)); err != nil || there != nil {
				return fail(errors.Join(err,
					fmt.Errorf("the old one is still being removed: %w", provider.ErrTemporary)))
			}
			r.Serial, isNew = serial(), true
			r.Labels[provider.LabelWant] = w.Fingerprint()
		} else if r.Labels[provider.LabelWant] != w.Fingerprint() {
			return r, nil
		}
	}
	p, err := q.parts(w)
	if err != nil {
		return fail(err)
	}
	others, err := q.servers(w.Stack)
	if err != nil {
		return fail(err)
	}
	others = slices.DeleteFunc(others, func(o *record) bool { return o.name() == w.Name })
	for _, id := range append(slices.Clone(w.Volumes), w.Address) {
		if o := ownerOf(others, id); id != "" && o != nil {
			return fail(fmt.Errorf("%s belongs to server %q: %w", id, o.name(), provider.ErrTemporary))
		}
	}
	if isNew {
		if r.Server, err = q.newServer(w, p, others); err != nil {
			return fail(err)
		}
	}
	s := r.Server
	s.Firewall, s.Volumes, s.Role = w.Firewall, w.Volumes, w.Role
	if s.SSH = w.SSH; s.SSH == 0 {
		s.SSH = 22
	}
	if s.Address != w.Address || !s.Public.IsValid() {
		s.Address, s.Public = w.Address, publicAddress()
		if p.address != nil {
			s.Public = p.address.Address
		}
	}
	if p.network.Network.Bridge != "" {
		s.Public = s.Private
	} else if _, err := admitted(p.firewall, s.SSH); err != nil {
		return fail(err)
	}
	if !isNew {
		if err := q.refresh(ctx, r); err != nil {
			return fail(err)
		}
		return r, nil
	}
	err = q.place(r, "new", func(dir string) error { return q.fillServer(ctx, dir, r, w, p) })
	if err != nil {
		return nil, err
	}
	if err := q.start(ctx, r); err != nil {
		return fail(errors.Join(err, q.abandon(ctx, r)))
	}
	return r, nil
}

// abandon takes away a server whose start failed, also where ctx has ended.
func (q *QEMU) abandon(ctx context.Context, r *record) error {
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), qmp.Timeout)
	defer stop()
	dir := q.serverDir(r)
	if runs, err := alive(dir); err != nil {
		return err
	} else if runs {
		if err := end(ctx, dir); err != nil {
			return err
		}
	}
	return q.drop(dir)
}

// newServer works out what a server keeps for its life.
func (q *QEMU) newServer(w *provider.Server, p parts, others []*record) (*serverRecord, error) {
	i := slices.IndexFunc(q.Config.Sizes, func(z provider.Size) bool { return z.Name == w.Size })
	if i < 0 {
		return nil, fmt.Errorf("there is no size %q: %w", w.Size, provider.ErrInvalid)
	}
	size := q.Config.Sizes[i]
	s := &serverRecord{
		Image: w.Image, CPUs: size.CPUs, Memory: size.Memory, Network: w.Network, Private: w.Private, Power: powerOn,
		UEFI: w.UEFI || !p.image.Image.BIOS,
	}
	if s.UEFI && !p.image.Image.UEFI {
		return nil, fmt.Errorf("image %s does not boot by UEFI: %w", p.image.name(), provider.ErrInvalid)
	}
	prefix := p.network.Network.Prefix
	if err := provider.CheckPrivate(prefix, w.Private); err != nil {
		return nil, err
	}
	used := make(map[netip.Addr]bool)
	for _, o := range others {
		if o.Server.Network != w.Network {
			continue
		}
		used[o.Server.Private] = true
		if o.Server.Private == s.Private {
			why := provider.ErrTaken
			if o.Server.Power == powerGone {
				why = provider.ErrTemporary
			}
			return nil, fmt.Errorf("%v belongs to server %q: %w", s.Private, o.name(), why)
		}
	}
	if !s.Private.IsValid() {
		s.Private = prefix.Addr().Next().Next()
		for used[s.Private] {
			s.Private = s.Private.Next()
		}
		if err := provider.CheckPrivate(prefix, s.Private); err != nil {
			return nil, fmt.Errorf("all addresses of %v are in use: %w", prefix, provider.ErrQuota)
		}
	}
	return s, nil
}

func (q *QEMU) serverDir(r *record) string { return q.home(r.kind(), r.stack(), r.name()) }

// running does something with the monitor of a server, if that runs.
func (q *QEMU) running(ctx context.Context, r *record, do func(*monitor) error) error {
	runs, err := alive(q.serverDir(r))
	if err != nil || !runs {
		return err
	}
	m, err := dial(ctx, q.serverDir(r))
	if err == nil {
		err = do(m)
		m.Close()
	}
	if err != nil && ctx.Err() == nil {
		// One that ends meanwhile has nothing to follow. Its sockets close before its process is gone.
		ctx, stop := context.WithTimeout(ctx, endsWithin(err))
		defer stop()
		if gone(ctx, q.serverDir(r)) == nil {
			return nil
		}
	}
	return err
}

// endsWithin is how long a process may still take to end after its monitor gave err: the socket was there before QEMU
// was (listen), so one that refuses or breaks off is of a process that ends.
func endsWithin(err error) time.Duration {
	for _, closed := range []error{syscall.ECONNREFUSED, syscall.ECONNRESET, syscall.EPIPE, io.EOF,
		io.ErrUnexpectedEOF} {
		if errors.Is(err, closed) {
			return qmp.Timeout
		}
	}
	return 0
}

// refresh has a server follow its record and its firewall, now if it runs and at its next start otherwise.
// The record is written last: what was begun is done again.
func (q *QEMU) refresh(ctx context.Context, r *record) error {
	runs, err := alive(q.serverDir(r))
	if err != nil {
		return err
	}
	if runs {
		m, err := q.machine(ctx, r)
		if err != nil {
			return err
		}
		err = q.running(ctx, r, func(mon *monitor) error {
			if m.network.Network.Bridge == "" {
				if err := q.follow(ctx, r, mon); err != nil {
					return err
				}
			}
			return mon.attach(ctx, m.volumes)
		})
		if err != nil {
			return err
		}
	}
	return q.write(r)
}
