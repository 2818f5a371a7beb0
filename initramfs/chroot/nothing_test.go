package chroot_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"griddle/initramfs/chroot"
)

// A run with daemons, a mount, and a program that ignores SIGTERM leaves nothing, however it ends: a filesystem that
// was mounted without programs can be unmounted and its device is free at once.
func TestNothingStays(t *testing.T) {
	dir := t.TempDir()
	image, top := filepath.Join(dir, "disk"), filepath.Join(dir, "top")
	if err := os.Mkdir(top, 0o755); err != nil {
		t.Fatal(err)
	}
	command(t, "truncate", "-s", "256M", image)
	command(t, "mkfs.btrfs", "-q", image)
	loop := strings.TrimSpace(command(t, "losetup", "--find", "--show", image))
	t.Cleanup(func() {
		_ = unix.Unmount(top, unix.MNT_DETACH)
		command(t, "losetup", "--detach", loop)
	})
	const flags = unix.MS_NODEV | unix.MS_NOSUID | unix.MS_NOEXEC
	if err := unix.Mount(loop, top, "btrfs", flags, ""); err != nil {
		t.Fatal(err)
	}
	r := tree(t, top)
	if err := unix.Unmount(top, 0); err != nil {
		t.Fatal(err)
	}
	const daemons = `trap '' TERM HUP INT; mount -t tmpfs x /tmp; cd /etc
		for i in 1 2 3; do setsid sh -c 'exec 3>/etc/held-'$i'; trap "" TERM; while :; do sleep 61.5; done' & done
		while [ ! -e /etc/held-3 ]; do sleep 0.1; done; echo ready; `
	end := func(t *testing.T, how string) {
		ctx, cancel := context.WithCancelCause(t.Context())
		call := chroot.Call{Limit: time.Minute, Args: []string{"sh", "-c", daemons + map[string]string{"exit": "exit 0",
			"first": "kill -9 1; kill -9 -1; exit 0"}[how] + "\nwhile :; do sleep 61.5; done"}}
		call.Line = func(l string) {
			if how == "cancel" && l == "ready" {
				cancel(errors.New("the operator ended it"))
			}
		}
		if how == "limit" {
			call.Limit = time.Second
		}
		err := r.Do(ctx, call)
		var failed *chroot.Error
		switch {
		case (how == "exit" || how == "first") && err != nil:
			t.Error(err)
		case how == "cancel" && (err == nil || !strings.Contains(err.Error(), "the operator ended it")):
			t.Errorf("Do = %v", err)
		case how == "limit" && (!errors.As(err, &failed) || failed.Kind != chroot.TimedOut ||
			failed.Reason() != "it took longer than 1s and was killed"):
			t.Errorf("Do = %v", err)
		}
	}
	for _, how := range []string{"exit", "first", "limit", "cancel"} {
		t.Run(how, func(t *testing.T) {
			if err := unix.Mount(loop, top, "btrfs", flags, ""); err != nil {
				t.Fatal(err)
			}
			before := mounts(t)
			end(t, how)
			if len(leftMounts(t, before)) > 0 {
				t.Error("a mount is left")
			}
			if err := unix.Unmount(top, 0); err != nil {
				t.Errorf("unmounting the root: %v", err)
			}
			f, err := os.OpenFile(loop, os.O_RDWR|unix.O_EXCL, 0)
			if err != nil {
				t.Errorf("the device is in use: %v", err)
			} else {
				_ = f.Close()
			}
			if left := command(t, "sh", "-c", "ps -eo args | grep '[s]leep 61.5' || true"); left != "" {
				t.Errorf("processes are left:\n%s", left)
			}
		})
	}
}
