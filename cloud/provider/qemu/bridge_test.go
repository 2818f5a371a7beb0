package qemu

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"griddle/cloud/provider"
	"griddle/cloud/provider/providertest"
	"griddle/imagestore/durable"
)

// TestBridge has a server on a bridge of a host of its own: a network namespace.
func TestBridge(t *testing.T) {
	name := "qemutest-" + strconv.Itoa(os.Getpid())
	run := func(ctx context.Context, args ...string) {
		t.Helper()
		if out, err := exec.CommandContext(ctx, "ip", args...).CombinedOutput(); err != nil {
			t.Fatalf("ip %v: %v: %s", args, err, out)
		}
	}
	run(t.Context(), "netns", "add", name)
	t.Cleanup(func() { run(context.Background(), "netns", "del", name) })
	run(t.Context(), "-n", name, "link", "set", "lo", "up")
	run(t.Context(), "-n", name, "link", "add", "br0", "type", "bridge")
	run(t.Context(), "-n", name, "link", "set", "br0", "up")
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), "ip", "netns", "exec", name, os.Args[0])
	cmd.Env = append(os.Environ(), "QEMU_TEST_BRIDGE="+dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	checkEmpty(t, dir)
}

// bridged is the program that TestBridge runs on that host.
func bridged(dir string) int {
	ctx, stop := context.WithTimeout(context.Background(), time.Minute)
	defer stop()
	q, err := crashed(dir, durable.Disk{})
	if err == nil {
		err = errors.Join(onBridge(ctx, q), down(ctx, q), ports(0))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func onBridge(ctx context.Context, q *QEMU) error {
	if _, err := q.Ensure(ctx, &provider.Network{Stack: "demo", Name: "bad", Prefix: prefix(),
		External: "lo"}); !errors.Is(err, provider.ErrInvalid) {
		return fmt.Errorf("a network on lo = %v, want ErrInvalid", err)
	}
	if _, err := q.Ensure(ctx,
		&provider.Address{Stack: "demo", Name: "ip", External: "br0"}); !errors.Is(err, provider.ErrUnsupported) {
		return fmt.Errorf("an address on a bridge = %v, want ErrUnsupported", err)
	}
	network, err := q.Ensure(ctx, &provider.Network{Stack: "demo", Name: "net", Prefix: prefix(), External: "br0"})
	if err != nil {
		return err
	}
	image, err := q.Ensure(ctx, providertest.Blank(provider.Raw, 0))
	if err != nil {
		return err
	}
	for n := range 2 {
		r, err := q.Ensure(ctx, &provider.Server{Stack: "demo", Name: fmt.Sprintf("web-%d", n), Size: "tiny",
			Image: image.ID, Network: network.ID})
		if err != nil {
			return err
		}
		if !r.Private.IsValid() || r.Public != r.Private || r.SSHPort != 0 {
			return fmt.Errorf("server %d is %+v, want it reached at its own address", n, r)
		}
	}
	return ports(2)
}

// ports says whether bridge br0 has as many ports. A tap device goes a moment after its QEMU.
func ports(want int) error {
	for try := 0; ; try++ {
		links, err := netlink.LinkList()
		if err != nil {
			return err
		}
		bridge, err := netlink.LinkByName("br0")
		if err != nil {
			return err
		}
		n := 0
		for _, l := range links {
			if l.Attrs().MasterIndex == bridge.Attrs().Index {
				n++
			}
		}
		if n == want {
			return nil
		}
		if try == 100 {
			return fmt.Errorf("bridge br0 has %d ports, want %d", n, want)
		}
		time.Sleep(10 * time.Millisecond)
	}
}
