package kernels

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"griddle/initramfs/bootloader/grubtest"
	"griddle/initramfs/pool"
	"griddle/initramfs/pool/pooltest"
	"griddle/initramfs/subvolume"

	"golang.org/x/sys/unix"
)

// The kernel of the template, and another one that upgrades it.
const old, next = "6.1.0-50-cloud-amd64", "6.1.0-51-cloud-amd64"

// starts has GRUB start the system, and wants this kernel of it and its initrd.
func (d debian) starts(what, version string) {
	d.t.Helper()
	got := grubtest.Boot(d.t, d.esp, d.boot)
	if got.Root != name || filepath.Base(got.Initrd) != "initrd.img" {
		d.t.Errorf("%s: GRUB starts %q by %q:\n%s", what, got.Root, got.Kernel, got.Screen)
	}
	if d.copied("vmlinuz") != d.text("boot/vmlinuz-"+version) ||
		d.copied("initrd.img") != d.text("boot/initrd.img-"+version) {
		d.t.Errorf("%s: GRUB does not start the kernel %s with its initrd", what, version)
	}
}

// unpack makes a package of the next kernel, with the maintainer scripts of the real one, and unpacks it.
func (d debian) unpack() {
	d.t.Helper()
	dir := d.root.Name()
	for _, file := range []string{"boot/config-", "boot/System.map-", "boot/vmlinuz-"} {
		pooltest.Tool(d.t, "cp", filepath.Join(dir, file+old), filepath.Join(dir, file+next))
	}
	pooltest.Tool(d.t, "cp", "-a", "--reflink", dir+"/usr/lib/modules/"+old, dir+"/usr/lib/modules/"+next)
	f, err := os.OpenFile(dir+"/boot/vmlinuz-"+next, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		d.t.Fatal(err)
	}
	_, err = f.WriteString("another kernel")
	err = errors.Join(err, f.Close(), os.WriteFile(dir+"/usr/lib/modules/"+next+"/.fresh-install", nil, 0o644))
	for _, script := range []string{"prerm", "postinst", "postrm"} {
		text := d.text("var/lib/dpkg/info/linux-image-" + old + "." + script)
		err = errors.Join(err, os.WriteFile(dir+"/var/lib/dpkg/info/linux-image-"+next+"."+script,
			[]byte(strings.ReplaceAll(text, old, next)), 0o755))
	}
	if err != nil {
		d.t.Fatal(err)
	}
}

// drop removes the files of a kernel, as dpkg does after prerm.
func (d debian) drop(version string) {
	d.t.Helper()
	dir := d.root.Name()
	err := os.RemoveAll(dir + "/usr/lib/modules/" + version)
	for _, file := range []string{"boot/config-", "boot/System.map-", "boot/vmlinuz-"} {
		err = errors.Join(err, os.Remove(filepath.Join(dir, file+version)))
	}
	if err != nil {
		d.t.Fatal(err)
	}
}

// script runs a maintainer script of a kernel's package.
func (d debian) script(fails bool, version, name string, args ...string) string {
	d.t.Helper()
	return d.run(fails, "/var/lib/dpkg/info/linux-image-"+version+"."+name, args...)
}

// fill leaves so many MiB in the partition for kernels. The answer makes room again.
func (d debian) fill(left int64) (undo func()) {
	d.t.Helper()
	m, err := subvolume.Other("ext4", d.boot)
	if err != nil {
		d.t.Fatal(err)
	}
	defer m.Close()
	var st unix.Statfs_t
	if err := unix.Statfs(m.Dir(), &st); err != nil {
		d.t.Fatal(err)
	}
	const file = "/lost+found/full"
	pooltest.Tool(d.t, "fallocate", "-l", fmt.Sprint(int64(st.Bavail)*st.Bsize-left<<20), m.Dir()+file)
	return func() {
		m, err := subvolume.Other("ext4", d.boot)
		if err == nil {
			err = errors.Join(os.Remove(m.Dir()+file), m.Close())
		}
		if err != nil {
			d.t.Fatal(err)
		}
	}
}

// A kernel of Debian is installed, its initrd is made again, and it is removed, by the scripts of the package and of
// initramfs-tools: GRUB starts what is there. A kernel that GRUB needs is not removed.
func TestDebian(t *testing.T) {
	d := newDebian(t, 192)
	d.script(false, old, "postinst", "configure")
	if m, err := subvolume.ReadOther("ext4", d.boot); err != nil || len(listed(t, m.Dir())) != 1 {
		t.Errorf("in a root that does not run the hooks copied (%v)", err)
	} else if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(d.root.Name()+"/run/systemd/system", 0o755); err != nil { // systemd runs
		t.Fatal(err)
	}
	said := d.run(true, "/usr/lib/griddle/griddle-agent", "kernels") // the template is not made for this
	if !strings.Contains(said, "the initrd /initrd.img has no cryptsetup, so it cannot open the encrypted pool") ||
		!strings.Contains(said, "THIS MACHINE MAY NOT START AGAIN") {
		t.Errorf("of an initrd without cryptsetup the command says %q", said)
	}
	d.script(true, old, "postinst", "configure")
	hook := func() {
		t.Helper()
		if err := d.root.Write(cryptroot, []byte(cryptrootText), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	hook()
	d.run(false, "/usr/sbin/update-initramfs", "-u", "-k", old)
	d.starts("at first", old)

	d.unpack()
	d.run(false, "/usr/lib/griddle/griddle-agent", "kernels")
	d.starts("when a kernel is unpacked, and its initrd is missing", old)
	d.script(false, next, "postinst", "configure")
	d.starts("when it is installed", next)
	before := d.copied("initrd.img")
	if err := d.root.Write("etc/initramfs-tools/modules", []byte("btrfs\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	d.run(false, "/usr/sbin/update-initramfs", "-u", "-k", next)
	d.starts("when its initrd is another one", next)
	good := d.copied("initrd.img")
	if good == before {
		t.Error("update-initramfs made the same initrd")
	}
	if err := d.root.Remove(cryptroot); err != nil { // as a removal of cryptsetup-initramfs
		t.Fatal(err)
	}
	said = d.run(false, "/usr/sbin/update-initramfs", "-u", "-k", next)
	if d.copied("initrd.img") != good || !strings.Contains(said, "has no cryptsetup") ||
		!strings.Contains(said, "Until then this machine starts the kernel of before") {
		t.Errorf("an initrd that cannot open the pool was copied, or the hook says %q", said)
	}
	hook()

	d.script(false, next, "prerm", "remove")
	d.starts("before it is removed", old)
	d.drop(next)
	d.script(false, next, "postrm", "remove")
	d.starts("when it is removed", old)

	// Without room the package is installed, and the one that GRUB needs is not removed.
	undo := d.fill(1)
	d.unpack()
	said = d.script(false, next, "postinst", "configure")
	if !strings.Contains(said, "too little room") ||
		!strings.Contains(said, "Until then this machine starts the kernel of before") {
		t.Errorf("without room the hooks say %q", said)
	}
	d.starts("without room", old)
	said = d.script(true, old, "prerm", "remove")
	if !strings.Contains(said, "The kernel "+old+" is not removed: this machine may not start without it") {
		t.Errorf("before the kernel is removed that GRUB needs, the hooks say %q", said)
	}
	d.starts("without room, and a removal that is refused", old)
	if said := d.run(true, "/usr/lib/griddle/griddle-agent", "kernels"); !strings.Contains(said, "too little room") {
		t.Errorf("without room the command says %q", said)
	}
	undo()
	d.script(false, old, "prerm", "remove")
	d.starts("with room", next)
	d.drop(old)
	d.script(false, old, "postrm", "remove")
	d.starts("with one kernel", next)
	said = d.script(true, next, "prerm", "remove")
	if !strings.Contains(said, "no kernel with an initrd") {
		t.Errorf("before the last kernel is removed the hooks say %q", said)
	}
	d.starts("in the end", next)

	// kernel-install of other distributions.
	d.run(false, "/etc/kernel/install.d/99-griddle.install", "add", next, "/x", "/boot/vmlinuz-"+next)
	d.run(true, "/etc/kernel/install.d/99-griddle.install", "remove", next, "/x")
	d.run(false, "/etc/kernel/install.d/99-griddle.install", "inspect")
}

func listed(t *testing.T, dir string) []os.DirEntry {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	return entries
}

// The exit code of a hook is 0 where the machine starts.
func TestRun(t *testing.T) {
	broken := func() (*pool.Pool, error) { return nil, errors.New("the disk fails") }
	for _, c := range []struct {
		args string
		code int
		want string
	}{
		{"", 1, "griddle-agent kernels: the disk fails\nUntil then"},
		{"--hook", 0, "griddle-agent kernels: warning: the disk fails\nUntil then this machine starts the kernel of b"},
		{"--removing 6.1.0", 1, "griddle-agent kernels: the disk fails\nThe kernel 6.1.0 is not removed"},
		{"--removing \x1b[2J", 1, "The kernel [2J is not removed"},
		{"--help", 0, "usage: griddle-agent kernels"},
		{"--removing", 2, "usage: "},
		{"--removing=", 2, "usage: "},
		{"--hook --removing 6.1.0", 2, "usage: "},
		{"--hook=false", 2, "usage: "},
		{"6.1.0", 2, "usage: "},
		{"--other", 2, "usage: "},
	} {
		var out bytes.Buffer
		code := Command{Out: &out, Err: &out, Pool: broken, Boot: "/nonexistent"}.Run(strings.Fields(c.args))
		if code != c.code || !strings.Contains(out.String(), c.want) {
			t.Errorf("kernels %s: %d, %q, want %d, %q", c.args, code, out.String(), c.code, c.want)
		}
	}
}

// Programs that open volumes are found in the lists of both programs.
func TestHasCryptsetup(t *testing.T) {
	for list, want := range map[string]bool{
		"bin/sh\nusr/sbin/cryptsetup\n": true,
		"sbin/cryptsetup":               true,
		"-rwxr-xr-x 1 root root 67 Nov 30 10:00 usr/lib/systemd/systemd-cryptsetup\n": true,
		"usr/share/doc/cryptsetup\nusr/lib/cryptsetup/functions\nsbin/cryptsetup-x":   false,
		"": false,
	} {
		if got, err := hasCryptsetup(strings.NewReader(list)); got != want || err != nil {
			t.Errorf("hasCryptsetup(%q) = %v, %v", list, got, err)
		}
	}
	if got, err := hasCryptsetup(strings.NewReader(strings.Repeat("x", 1<<20) + "\nsbin/cryptsetup\n")); got ||
		err == nil {
		t.Errorf("hasCryptsetup of a line without end = %v, %v", got, err)
	}
}

// FuzzRead reads command lines.
func FuzzRead(f *testing.F) {
	f.Add("--removing 6.1.0")
	f.Add("--hook")
	f.Fuzz(func(t *testing.T, text string) {
		if l, err := read(strings.Fields(text)); err == nil && l.hook && l.removing != "" {
			t.Errorf("read(%q) = %+v", text, l)
		}
	})
}
