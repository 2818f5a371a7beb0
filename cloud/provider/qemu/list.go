package qemu

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"time"

	"griddle/cloud/provider"
)

// List implements provider.Provider. Servers whose shutdown or removal was begun come to its end by it.
func (q *QEMU) List(ctx context.Context, stack string) ([]provider.Resource, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("listing what QEMU has: %w", err)
	}
	if stack == "." || stack != "" && (filepath.Base(stack) != stack || !filepath.IsLocal(stack)) {
		return nil, fmt.Errorf("listing stack %q: that is not a valid name: %w", stack, provider.ErrInvalid)
	}
	if stack == "" {
		images, err := q.records("images")
		if err != nil {
			return nil, err
		}
		slices.SortFunc(images, func(a, b *record) int { return compareNames(a, b) })
		return q.resources(ctx, images, nil)
	}
	servers, err := q.servers(stack)
	if err != nil {
		return nil, err
	}
	due := slices.ContainsFunc(servers, func(r *record) bool {
		runs, err := alive(q.serverDir(r))
		return err != nil || next(r.Server, runs, time.Now()) != nothing
	})
	if due {
		if err := q.locked(ctx, func() error { return q.settleStack(ctx, stack) }); err != nil {
			return nil, err
		}
		if servers, err = q.servers(stack); err != nil {
			return nil, err
		}
	}
	var all []*record
	for _, kind := range provider.Kinds() {
		if kind == provider.KindServer || kind == provider.KindImage {
			continue
		}
		some, err := q.records("stacks", stack, string(kind))
		if err != nil {
			return nil, err
		}
		all = append(all, some...)
	}
	return q.resources(ctx, append(all, servers...), servers)
}

func compareNames(a, b *record) int {
	if a.name() < b.name() {
		return -1
	} else if a.name() > b.name() {
		return 1
	}
	return 0
}

// servers reads the records of a stack's servers.
func (q *QEMU) servers(stack string) ([]*record, error) {
	if stack == "" {
		return nil, nil
	}
	return q.records("stacks", stack, string(provider.KindServer))
}

// records reads all records of a directory, by name; what is not ours is left out.
func (q *QEMU) records(parts ...string) ([]*record, error) {
	dir := q.path(parts...)
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("listing what QEMU has: %w", err)
	}
	var all []*record
	for _, e := range entries {
		r, err := q.read(filepath.Join(dir, e.Name()))
		if errors.Is(err, provider.ErrTaken) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if r != nil {
			all = append(all, r)
		}
	}
	return all, nil
}

func (q *QEMU) resources(ctx context.Context, all, servers []*record) ([]provider.Resource, error) {
	var out []provider.Resource
	for _, r := range all {
		x, err := q.resource(ctx, r, servers)
		if err != nil {
			return nil, err
		}
		out = append(out, x)
	}
	return out, nil
}

// resource says what a record is; servers are those of its stack.
func (q *QEMU) resource(ctx context.Context, r *record, servers []*record) (provider.Resource, error) {
	x := provider.Resource{
		Kind: r.kind(), Stack: r.stack(), Name: r.name(), ID: r.id(), State: provider.Ready,
		Want: r.Labels[provider.LabelWant], Digest: r.Labels[provider.LabelDigest], Public: r.Address, Size: r.Size,
	}
	if r.Image != nil {
		x.Size = r.Image.Size
	}
	if owner := ownerOf(servers, x.ID); owner != nil {
		x.Bound = owner.id()
	}
	s := r.Server
	if s == nil {
		return x, nil
	}
	x.Image, x.Private, x.Public = s.Image, s.Private, s.Public
	for _, f := range s.Forwards {
		switch {
		case f.Public == f.Port:
		case f.Protocol == "tcp" && f.Port == s.SSH:
			x.SSHPort = f.Public
		default:
			x.Forwards = append(x.Forwards, f)
		}
	}
	var err error
	x.State, x.Reason, err = q.state(ctx, r)
	return x, err
}

// ownerOf is the server that has a volume or an address now.
func ownerOf(servers []*record, id string) *record {
	for _, s := range servers {
		if s.Server.Address == id || slices.Contains(s.Server.Volumes, id) {
			return s
		}
	}
	return nil
}

// state is what a server is doing.
func (q *QEMU) state(ctx context.Context, r *record) (provider.State, string, error) {
	s := r.Server
	runs, err := alive(q.serverDir(r))
	switch {
	case err != nil:
		return "", "", err
	case s.Power == powerGone:
		return provider.Removing, "", nil
	case s.Failed != "":
		return provider.Failed, s.Failed, nil
	case s.Power == powerReboot, s.Power == powerOff && runs:
		return provider.Pending, "", nil
	case s.Power == powerOff:
		return provider.Stopped, "", nil
	case !runs && s.Started:
		// It shut itself down, this machine was started anew, or QEMU ended, and then said why.
		return provider.Stopped, lastLine(filepath.Join(q.serverDir(r), outputFile)), nil
	case !runs:
		return provider.Pending, "", nil
	}
	if err := q.trimConsole(q.serverDir(r)); err != nil {
		return "", "", err
	}
	asked, stop := context.WithTimeout(ctx, 5*time.Second)
	defer stop()
	m, err := dial(asked, q.serverDir(r))
	if err != nil {
		if err := ctx.Err(); err != nil {
			return "", "", err
		}
		return provider.Pending, "", nil // it is about to begin or to end
	}
	defer m.Close()
	is, err := m.Status(asked)
	if err != nil {
		return provider.Pending, "", ctx.Err()
	}
	switch is {
	case "running":
		return provider.Ready, "", nil
	case "guest-panicked", "internal-error":
		return provider.Failed, "QEMU says " + is, nil
	case "io-error", "paused":
		return provider.Stopped, "QEMU says " + is, nil // a disk of this machine is full; Start goes on
	}
	return provider.Pending, "", nil
}

// publicAddress is where a server without an address of its own is reached.
func publicAddress() netip.Addr { return netip.AddrFrom4([4]byte{127, 0, 0, 1}) }
