package source

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"griddle/imagestore/sendstream"
	"griddle/imagestore/source/sourcetest"
)

// TestContainer publishes from a real container: running, and as a snapshot of it.
func TestContainer(t *testing.T) {
	ctx := context.Background()
	lxc := filepath.Join(sourcetest.Btrfs(t), "lxc")
	must(t, os.Mkdir(lxc, 0o755))
	template := containerTemplate(t)
	name := filepath.Base(filepath.Dir(filepath.Dir(lxc))) // no two containers of one name on a machine
	sourcetest.Run(t, "lxc-create", "-P", lxc, "-n", name, "-t", template, "-B", "btrfs")
	sourcetest.Run(t, "lxc-snapshot", "-P", lxc, "-n", name)
	sourcetest.Run(t, "lxc-start", "-P", lxc, "-n", name)
	t.Cleanup(func() { sourcetest.Run(t, "lxc-stop", "-k", "-P", lxc, "-n", name) })
	pid := sourcetest.Run(t, "lxc-info", "-P", lxc, "-n", name, "-p", "-H")
	must(t, os.WriteFile(filepath.Join(lxc, name, "rootfs/etc/version"), []byte("two\n"), 0o644))
	before := strings.Join(listing(t, filepath.Join(lxc, name)), " ")

	var first *Copy
	for _, tt := range []struct{ spec, want string }{{"lxc:" + name + "/snap0", "one\n"}, {"lxc:" + name, "two\n"}} {
		s, err := Find(ctx, tt.spec, Options{LXCPath: lxc})
		must(t, err)
		if s.Arch != "amd64" || s.keep != filepath.Join(lxc, ".griddle") {
			t.Errorf("Find(%s) = %+v", tt.spec, s)
		}
		c, err := s.Take(ctx, "copy", quiet)
		must(t, err)
		if got, err := os.ReadFile(filepath.Join(c.Dir, "etc/version")); string(got) != tt.want {
			t.Errorf("the copy of %s holds %q, %v, want %q", tt.spec, got, err, tt.want)
		}
		if cmd := sent(t, c, nil); cmd.Op != sendstream.OpSubvol {
			t.Errorf("the stream begins with %v", cmd.Op)
		}
		if first != nil {
			out, err := c.send(ctx, first, "--quiet")
			must(t, err)
			out.Close()
		}
		must(t, c.Keep())
		first = c
	}
	state := sourcetest.Run(t, "lxc-info", "-P", lxc, "-n", name, "-s", "-H")
	if now := sourcetest.Run(t, "lxc-info", "-P", lxc, "-n", name, "-p", "-H"); state != "RUNNING" || now != pid {
		t.Errorf("the container is %s as %s now, and was RUNNING as %s", state, now, pid)
	}
	if after := strings.Join(listing(t, filepath.Join(lxc, name)), " "); after != before {
		t.Errorf("the container's directory holds %s, and held %s", after, before)
	}
}

// containerTemplate is a script for lxc-create that makes a container of busybox.
func containerTemplate(t *testing.T) string {
	t.Helper()
	template := filepath.Join(t.TempDir(), "template")
	must(t, os.WriteFile(template, []byte(`#!/bin/sh
set -e
for a; do case $a in --rootfs=*) root=${a#--rootfs=};; --path=*) path=${a#--path=};; esac; done
mkdir -p $root/bin $root/dev $root/proc $root/sys $root/etc/old
cp /bin/busybox $root/bin/busybox
ln -s busybox $root/bin/sh
ln -s busybox $root/bin/sleep
echo one >$root/etc/version
cat >>$path/config <<END
lxc.init.cmd = /bin/sleep 1000
lxc.net.0.type = empty
lxc.apparmor.profile = unconfined
lxc.arch = amd64
END
`), 0o755))
	return template
}

// TestOtherContainers publishes from containers that lxc keeps in directories and in overlays, as they are, running,
// and as snapshots of them.
func TestOtherContainers(t *testing.T) {
	base := t.TempDir()
	lxc, template := filepath.Join(base, "lxc"), containerTemplate(t)
	must(t, os.Mkdir(lxc, 0o755))
	id := filepath.Base(filepath.Dir(base)) + filepath.Base(base) // no two containers of one name on a machine
	lxcRun := func(program, name string, args ...string) string {
		return sourcetest.Run(t, program, append([]string{"-P", lxc, "-n", name}, args...)...)
	}
	plain, top := id+"dir", id+"overlay"
	lxcRun("lxc-create", plain, "-t", template, "-B", "dir")
	lxcRun("lxc-snapshot", plain)
	must(t, os.WriteFile(filepath.Join(lxc, plain, "rootfs/etc/old/file"), []byte("x"), 0o644),
		os.WriteFile(filepath.Join(lxc, plain, "rootfs/etc/gone"), nil, 0o644))
	lxcRun("lxc-copy", plain, "-s", "-B", "overlay", "-N", top)
	lxcRun("lxc-start", top)
	t.Cleanup(func() { lxcRun("lxc-stop", top, "-k") })
	inside := func(script string) { lxcRun("lxc-attach", top, "--clear-env", "--", "/bin/sh", "-c", script) }
	inside("/bin/busybox rm /etc/gone; echo two >/etc/version; /bin/busybox rm -r /etc/old; " +
		"/bin/busybox mkdir /etc/old; echo y >/etc/old/new")
	lxcRun("lxc-stop", top, "-k")
	lxcRun("lxc-snapshot", top)
	lxcRun("lxc-start", top)
	inside("echo three >/etc/version")
	for _, tt := range []struct{ spec, version, etc string }{
		{plain, "one", "[gone old version] [file]"},
		{plain + "/snap0", "one", "[old version] []"},
		{top, "three", "[old version] [new]"},
		{top + "/snap0", "two", "[old version] [new]"},
	} {
		c := taken(t, "lxc:"+tt.spec, Options{LXCPath: lxc})
		version, err := os.ReadFile(filepath.Join(c.Dir, "etc/version"))
		got := fmt.Sprint(listing(t, filepath.Join(c.Dir, "etc")), listing(t, filepath.Join(c.Dir, "etc/old")))
		if string(version) != tt.version+"\n" || got != tt.etc || err != nil || c.Snapshot {
			t.Errorf("the copy of %s has version %q, %v, and etc holds %s, want %s %s", tt.spec, version, err,
				got, tt.version, tt.etc)
		}
	}
	if mounts := sourcetest.Run(t, "cat", "/proc/self/mounts"); strings.Contains(mounts, lxc) {
		t.Errorf("a mount is left: %s", mounts)
	}
}
