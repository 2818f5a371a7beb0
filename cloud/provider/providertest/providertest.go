// Package providertest is the suite that every provider.Provider passes, and Memory, a provider for
// tests of what uses one.
//
// Call Run from the provider's own test. The suite makes stacks with names of its own, each of its tests one or two,
// and takes away all that it made, also when it fails. Nothing in it needs a disk to boot.
package providertest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"griddle/cloud/provider"
)

// Options say what the suite works with.
type Options struct {
	// Open makes a Provider that finds what those before it made: as a program does that was started again.
	Open func(t *testing.T) provider.Provider

	// Image gives image n, 0 or 1, of different digests; nil for MiB-sized disks of the provider's format that do not
	// boot. The suite sets the name.
	Image func(t *testing.T, n int) *provider.Image

	Size    string       // of servers; empty for the first of Provider.Sizes
	Network string       // provider.Network.External and Address.External
	Prefix  netip.Prefix // of the networks that it makes, two of them with the same one; default 10.98.7.0/24
	// two stacks cannot have networks with the same prefix: each gets one of its own, after Prefix
	Apart   bool
	Timeout time.Duration // how long a resource may stay Pending or Removing, or an error temporary; default 30 s
	Poll    time.Duration // between two looks; default 20 ms

	// Rules, if any, reads a firewall's rules at the provider.
	Rules func(t *testing.T, r provider.Resource) []provider.Rule

	// Foreign, if any, makes something that has the name a resource would have at the provider, and not our labels. It
	// returns its ID and a function that says whether it is still there as it was; nil where the kind has no names.
	Foreign func(t *testing.T, kind provider.Kind, stack, name string) (id string, there func() bool)

	// Processes says that one server is made also where several Providers are asked for it at once.
	Processes bool
}

// suite is the options with what is drawn for one run.
type suite struct {
	Options
	p   provider.Provider
	run string // in the names of stacks and images

	stands int
}

// Run tests the provider.
func Run(t *testing.T, o Options) {
	if o.Timeout == 0 {
		o.Timeout = 30 * time.Second
	}
	if o.Poll == 0 {
		o.Poll = 20 * time.Millisecond
	}
	if !o.Prefix.IsValid() {
		o.Prefix = netip.MustParsePrefix("10.98.7.0/24")
	}
	s := &suite{Options: o, p: o.Open(t), run: fmt.Sprintf("t%06x", rand.Uint32N(1<<24))}
	if s.Image == nil {
		s.Image = func(_ *testing.T, n int) *provider.Image { return Blank(s.p.Features().Format, n) }
	}
	if s.Size == "" {
		all, err := s.p.Sizes(t.Context())
		if err != nil || len(all) == 0 {
			t.Fatalf("Sizes = %v, %v", all, err)
		}
		s.Size = all[0].Name
	}
	t.Cleanup(func() { s.sweepImages(t) })
	for _, c := range []struct {
		name string
		test func(*testing.T, *suite)
	}{
		{"features and sizes", features},
		{"images", images},
		{"nothing there", nothing},
		{"every kind", everyKind},
		{"control", control},
		{"rebuild", rebuild},
		{"volumes", volumes},
		{"addresses", addresses},
		{"firewall", firewalls},
		{"in use", inUse},
		{"two stacks", twoStacks},
		{"names that run together", runTogether},
		{"others' resources", foreign},
		{"forged", forged},
		{"invalid", invalid},
		{"unknown IDs", unknown},
		{"cancelled", cancelled},
		{"at once", atOnce},
		{"opened again", reopened},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, s) })
	}
}

// contents is the bytes of an image in memory.
type contents struct{ *bytes.Reader }

func (contents) Close() error { return nil }

// Blank is image n of a format: a raw disk of 1 MiB with a few bytes that differ by n, or those in QCOW2 or a tar
// with nothing in it but a name.
func Blank(f provider.Format, n int) *provider.Image {
	i := &provider.Image{Name: fmt.Sprintf("blank-%d", n), Format: f, Arch: "amd64", BIOS: true, UEFI: true}
	var b []byte
	switch f {
	case provider.Tree:
		b = blankTree(n)
	case provider.QCOW2:
		b, i.Virtual = blankQCOW2(n), blankDisk
	default:
		b, i.Virtual = make([]byte, blankDisk), blankDisk
		copy(b, fmt.Sprintf("griddle %d", n))
	}
	sum := sha256.Sum256(b)
	i.Digest, i.Size = "sha256:"+hex.EncodeToString(sum[:]), int64(len(b))
	i.Open = func() (provider.Contents, error) { return contents{bytes.NewReader(b)}, nil }
	return i
}

// retried calls do until it gives no temporary error.
func (s *suite) retried(t *testing.T, what string, do func(context.Context) error) error {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), s.Timeout)
	defer stop()
	for {
		err := do(ctx)
		if !errors.Is(err, provider.ErrTemporary) {
			return err
		}
		wait := s.Poll
		var r *provider.Retry
		if errors.As(err, &r) {
			wait = max(wait, r.After)
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return fmt.Errorf("%s: still after %v: %w", what, s.Timeout, err)
		}
	}
}
