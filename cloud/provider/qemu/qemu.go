// Package qemu is the provider that needs no other service: each server is a QEMU process of this machine,
// and no daemon watches over it. Servers keep running when the program that started them ends, and the next
// one finds them again.
//
// Call New. All state is below one directory, whose owner alone can read it:
//
//	lock                        held while anything below stacks is changed
//	images/DIGEST/              resource.json, disk.raw
//	stacks/STACK/KIND/NAME/     resource.json, and by kind:
//	    volume                  disk.raw
//	    server                  disk.qcow2 (over the image), seed.iso, console.log, qemu.log, qmp.sock, alive, vars.fd
//	new/, upload/               what is being made, until it is renamed to its place
//	gone/                       what is being removed, from when it was renamed out of its place
//	accel.json                  which accelerator works since this machine was started
//
// A resource is there when its directory is, which appears and disappears by one rename. What a killed program leaves
// in new, upload and gone goes away with the next change. resource.json has the labels; a directory without it
// belongs to another program.
//
// A server's process has the file alive open and holds a lock on it that it inherited, so that whether it runs is known
// from the kernel, whenever either program was killed, and no process ID that was used again is ever taken for
// it. QEMU's monitor (QMP, docs/interop/qmp-spec.rst of QEMU) is the socket qmp.sock. What is begun and takes
// time, a shutdown that the system may not follow, is in resource.json with its deadline, and any later List
// brings it to its end.
//
// A server reaches out by QEMU's user network, through which it also sees, at that network's gateway, what listens on
// the loopback addresses of this machine. It is reached at the ports of a loopback address that its firewall admits;
// the sources of the rules do not count, since only programs of this machine can connect. Servers of one network see
// each other on a second card, whose frames QEMU sends to a multicast group of the loopback interface: programs of this
// machine could listen there. Where the network names a bridge of the host, the server has one card on that bridge, its
// address is the private one, and the bridge's owner decides who reaches it.
package qemu

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"griddle/cloud/provider"
	"griddle/imagestore/durable"
)

// Config says where and how.
type Config struct {
	Dir string // of the state; made where it is missing

	Accel           string          // kvm, tcg, or empty for KVM where it works and is the faster one
	ShutdownTimeout time.Duration   // how long a system may take to shut down before its power is taken; default 60 s
	Sizes           []provider.Size // default: tiny, small, medium, large and xlarge
	Firmware        string          // directory of OVMF_CODE_4M.fd and OVMF_VARS_4M.fd; default /usr/share/OVMF
	Loopback        netip.Prefix    // where public addresses come from, in 127.0.0.0/8; default 127.88.0.0/16

	Disk durable.Disk // zero for the computer's own
}

// QEMU is a provider.Provider, and a provider.Consoler.
type QEMU struct {
	Config
	turn chan struct{} // held with the lock: a file's lock does not tell goroutines apart in time
}

const (
	program   = "qemu-system-x86_64"
	imageTool = "qemu-img"
	userData  = 1 << 20 // most bytes
)

// CheckPrograms says which of QEMU's programs this machine does not have.
func CheckPrograms() error {
	var errs []error
	for _, p := range []string{program, imageTool} {
		if _, err := exec.LookPath(p); err != nil {
			errs = append(errs,
				fmt.Errorf("looking for QEMU: %w; Debian has it in qemu-system-x86 and qemu-utils", err))
		}
	}
	return errors.Join(errs...)
}

// DefaultSizes are those of a Config that says none.
func DefaultSizes() []provider.Size {
	return []provider.Size{
		{Name: "tiny", CPUs: 1, Memory: 512 << 20}, {Name: "small", CPUs: 1, Memory: 1 << 30},
		{Name: "medium", CPUs: 2, Memory: 2 << 30}, {Name: "large", CPUs: 4, Memory: 4 << 30},
		{Name: "xlarge", CPUs: 8, Memory: 8 << 30},
	}
}

// New checks that this machine can run servers, and opens the state.
func New(c Config) (*QEMU, error) {
	errs := []error{CheckPrograms()}
	if c.ShutdownTimeout == 0 {
		c.ShutdownTimeout = time.Minute
	}
	if c.Sizes == nil {
		c.Sizes = DefaultSizes()
	}
	if c.Firmware == "" {
		c.Firmware = "/usr/share/OVMF"
	}
	if !c.Loopback.IsValid() {
		c.Loopback = netip.MustParsePrefix("127.88.0.0/16")
	}
	if !c.Loopback.Addr().IsLoopback() || !c.Loopback.Addr().Is4() || c.Loopback.Bits() < 8 || c.Loopback.Bits() > 29 {
		errs = append(errs, fmt.Errorf("public addresses from %v: that is not a part of 127.0.0.0/8", c.Loopback))
	}
	if !slices.Contains([]string{"", "kvm", "tcg"}, c.Accel) {
		errs = append(errs, fmt.Errorf("accelerator %q is neither kvm nor tcg", c.Accel))
	}
	if c.Dir == "" {
		errs = append(errs, errors.New("there is no directory for QEMU's state"))
	}
	err := errors.Join(errs...)
	if err != nil {
		return nil, err
	}
	if c.Dir, err = filepath.Abs(c.Dir); err != nil {
		return nil, fmt.Errorf("finding QEMU's state: %w", err)
	}
	q := &QEMU{Config: c, turn: make(chan struct{}, 1)}
	for _, d := range []string{"images", "stacks", "new", "gone", "upload"} {
		if err := c.Disk.MkdirAll(q.path(d), 0o700); err != nil {
			return nil, fmt.Errorf("making QEMU's state: %w", err)
		}
	}
	return q, nil
}

// Features are those of QEMU on any machine.
func Features() provider.Features {
	return provider.Features{Name: "qemu", Format: provider.Raw, UserData: userData}
}

// Features implements provider.Provider.
func (q *QEMU) Features() provider.Features { return Features() }

// Sizes implements provider.Provider.
func (q *QEMU) Sizes(context.Context) ([]provider.Size, error) {
	return slices.Clone(q.Config.Sizes), nil
}

// path is a path below the state's directory.
func (q *QEMU) path(parts ...string) string {
	return filepath.Join(append([]string{q.Dir}, parts...)...)
}

// locked does what changes stacks, alone. What killed programs left goes away first.
func (q *QEMU) locked(ctx context.Context, do func() error) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("changing QEMU's state: %w", err)
	}
	select {
	case q.turn <- struct{}{}:
	case <-ctx.Done():
		return fmt.Errorf("waiting for QEMU's state: %w", ctx.Err())
	}
	defer func() { <-q.turn }()
	unlock, err := q.Disk.Lock(ctx, q.path("lock"))
	if err != nil {
		return fmt.Errorf("locking QEMU's state: %w", err)
	}
	defer unlock()
	if err := errors.Join(q.empty("new"), q.empty("gone")); err != nil {
		return fmt.Errorf("clearing up QEMU's state: %w", err)
	}
	return do()
}

// empty removes all that is in a directory of the state.
func (q *QEMU) empty(dir string) error {
	all, err := os.ReadDir(q.path(dir))
	if err != nil {
		return err
	}
	for _, e := range all {
		if err := os.RemoveAll(q.path(dir, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

// room has an error of a full disk be one of quota.
func room(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("%w: %w", provider.ErrQuota, err)
	}
	return err
}
