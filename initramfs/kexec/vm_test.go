//go:build e2e

package kexec

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"griddle/appliance/e2e"
	"griddle/appliance/e2e/machinetest"
	"griddle/appliance/job"
	"griddle/initramfs/bootloader"
	"griddle/initramfs/bootloader/bootenv"
	"griddle/initramfs/disk"
	"griddle/initramfs/disk/content"
	"griddle/initramfs/disk/table"
	"griddle/initramfs/pool/pooltest"
	"griddle/initramfs/subvolume"
)

// TestMachine starts roots without the firmware in a virtual machine: from the boot image, from an installed system,
// and roots whose kernel cannot be loaded or panics. They are systems of Debian with systemd; GRUB starts them when the
// machine was reset.
func TestMachine(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 25*time.Minute)
	defer cancel()
	template, err := e2e.Template(ctx, e2e.CacheDir(), os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	m := makeMachine(t, ctx, template)

	// The boot image starts one, one starts two on trial, two proves itself and cannot start broken, whose kernel is
	// not a kernel. So the machine is reset.
	m.run(ctx, []string{"-kernel", m.kernel, "-initrd", m.initrd, "-append", "console=ttyS0 panic=1"},
		`step 1: one started by kexec, the last attempt worked, candidate "", tries 0`,
		`step 2: two started by kexec, the last attempt worked, candidate "two", tries 0`,
		`ordinary restart: starting broken without the firmware: loading /boot/vmlinuz-1: it is not a kernel`)
	// After the reset GRUB falls back to two. That starts panic, whose kernel does, so the machine resets itself.
	m.run(ctx, nil,
		`step 3: two started by the firmware, the last attempt worked, candidate "broken", tries 0`,
		`Kernel panic`)
	// From then on it restarts in the ordinary way.
	m.run(ctx, nil,
		`step 4: two started by the firmware, the last attempt failed, candidate "panic", tries 0`,
		`ordinary restart: starting one without the firmware: the last one did not come up on this model`)
}

// virtual is a virtual machine.
type virtual struct {
	t              *testing.T
	disk           string
	kernel, initrd string // of its boot image
}

// run switches the machine on, waits for lines of its console, and until the machine is reset or off.
func (m *virtual) run(ctx context.Context, args []string, want ...string) {
	m.t.Helper()
	args = append([]string{"-machine", "q35", "-accel", "tcg", "-cpu", "max", "-m", "1024", "-nodefaults",
		"-display", "none", "-no-reboot", "-serial", "stdio", "-device", "virtio-rng-pci",
		"-drive", "if=virtio,format=raw,cache=unsafe,file=" + m.disk}, args...)
	console := machinetest.NewTranscript("the machine")
	cmd := exec.CommandContext(ctx, "qemu-system-x86_64", args...)
	cmd.Stdout, cmd.Stderr = console, console
	done, err := machinetest.Hold(cmd, func(err error) {
		console.End(errors.Join(errors.New("the machine was reset or is off"), err))
	})
	if err != nil {
		m.t.Fatal(err)
	}
	defer func() { <-done }()
	defer cmd.Process.Kill()
	for _, line := range want {
		l, err := console.WaitWhole(ctx, line)
		if err != nil {
			m.t.Fatal(err)
		}
		m.t.Logf("%5.1f s %s", l.At.Seconds(), strings.TrimSpace(l.Text))
	}
	select {
	case <-done:
	case <-ctx.Done():
		m.t.Fatalf("the machine was not reset; it said last:\n%s", console.Tail(15))
	}
}

// makeMachine makes the disk of an installed machine with the roots one, two, broken and panic, and a boot image.
func makeMachine(t *testing.T, ctx context.Context, template string) *virtual {
	const size = 3 << 30
	dir := t.TempDir()
	m := &virtual{t: t, disk: filepath.Join(dir, "disk"), initrd: filepath.Join(dir, "initrd"),
		kernel: filepath.Join(dir, "kernel")}
	if err := errors.Join(os.WriteFile(m.disk, nil, 0o600), os.Truncate(m.disk, size)); err != nil {
		t.Fatal(err)
	}
	dev := pooltest.Tool(t, "losetup", "--find", "--show", m.disk)
	defer pooltest.Tool(t, "losetup", "-d", dev)
	defer exec.Command("partx", "-d", dev).Run()
	l, err := table.WholeDisk(pooltest.Job, size, 512)
	if err != nil {
		t.Fatal(err)
	}
	func() {
		f, err := disk.Claim(dev)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if err := errors.Join(l.Write(f, content.Content{}), table.Announce(f, "/sys", l.Parts()),
			table.Mark(f, size, 512, pooltest.Job)); err != nil {
			t.Fatal(err)
		}
	}()
	const id = "0a1b2c3d-0000-4000-8000-0123456789ab"
	label := job.ESPLabel(pooltest.Job)
	if err := errors.Join(disk.MakeBtrfs(ctx, table.LabelPool, id, dev+"p3"),
		disk.MakeFAT(ctx, dev+"p2", label, "1234abcd", 512)); err != nil {
		t.Fatal(err)
	}
	makeLoader(t, ctx, dev, l, bootloader.Config{ESP: label, PoolID: id, Root: "@roots/one",
		Args: []string{"panic=1", "systemd.show_status=0", "net.ifnames=0"}})
	top, err := subvolume.Top(dev + "p3")
	if err != nil {
		t.Fatal(err)
	}
	defer top.Close()
	makeRoots(t, top.Dir(), template)
	makeBootImage(t, m, filepath.Join(top.Dir(), "@roots/one"))
	return m
}

// makeLoader installs GRUB. The kernel of the machine that tests may have no FAT, so mtools write it.
func makeLoader(t *testing.T, ctx context.Context, dev string, l table.Layout, conf bootloader.Config) {
	dir, esp := t.TempDir(), t.TempDir()
	if err := bootloader.BuildGRUB(ctx, dir, bootloader.BuildOptions{}); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(dev, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(
		bootloader.InstallBIOS(f, os.DirFS(dir), bootloader.Extent{Start: l.BIOS.Start, Size: l.BIOS.Size}, 512),
		f.Close(), bootloader.InstallESP(esp, os.DirFS(dir), conf),
		bootenv.Write(esp, bootenv.Env{Good: "one"})); err != nil {
		t.Fatal(err)
	}
	for _, folder := range []string{"EFI", "griddle"} {
		pooltest.Tool(t, "mcopy", "-s", "-i", dev+"p2", filepath.Join(esp, folder), "::/")
	}
}

// makeRoots makes four roots of the template.
func makeRoots(t *testing.T, top, template string) {
	for _, dir := range []string{"@roots", "@images"} {
		if err := os.Mkdir(filepath.Join(top, dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	one := filepath.Join(top, "@roots/one")
	for _, name := range []string{"@roots/one", "@home", "@persistent"} {
		pooltest.Tool(t, "btrfs", "subvolume", "create", filepath.Join(top, name))
	}
	pooltest.Tool(t, "tar", "--numeric-owner", "-C", one, "-I", "zstd", "-xf", template)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	pooltest.Tool(t, "install", "-D", self, one+program)
	pooltest.Put(t, one, map[string]string{"etc/systemd/system/kexec-test.service": "[Service]\nExecStart=" + program +
		" " + inside + "\n"})
	wants := filepath.Join(one, "etc/systemd/system/multi-user.target.wants")
	if err := errors.Join(os.MkdirAll(wants, 0o755),
		os.Symlink("../kexec-test.service", filepath.Join(wants, "kexec-test.service"))); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"two", "broken", "panic"} {
		pooltest.Tool(t, "btrfs", "subvolume", "snapshot", one, filepath.Join(top, "@roots", name))
	}
	// A kernel that is not a kernel, and one whose initrd has nothing to start.
	broken := filepath.Join(top, "@roots/broken")
	if err := errors.Join(os.RemoveAll(broken+"/boot"), os.RemoveAll(broken+"/vmlinuz"),
		os.RemoveAll(broken+"/initrd.img")); err != nil {
		t.Fatal(err)
	}
	pooltest.Put(t, broken, map[string]string{"boot/vmlinuz-1": strings.Repeat("not a kernel\n", 1000),
		"boot/initrd.img-1": "-"})
	_, initrd := kernelOf(t, filepath.Join(top, "@roots/panic"))
	if err := os.WriteFile(initrd, []byte("not an initrd\n"), 0o644); err != nil {
		t.Fatal(err)
	}
}

// kernelOf are the paths of the kernel and the initrd of a root.
func kernelOf(t *testing.T, dir string) (kernel, initrd string) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	k, err := bootloader.FindKernel(root)
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, k.Path), filepath.Join(dir, k.Initrd)
}

// makeBootImage makes a boot image of a root's kernel, this program, and the modules that it needs for a pool.
func makeBootImage(t *testing.T, m *virtual, root string) {
	kernel, _ := kernelOf(t, root)
	pooltest.Tool(t, "cp", kernel, m.kernel)
	files, err := filepath.Glob(root + "/usr/lib/modules/*")
	if err != nil || len(files) != 1 {
		t.Fatalf("the template has the modules %q, %v, want those of one kernel", files, err)
	}
	dir := t.TempDir()
	self, _ := os.Executable()
	pooltest.Tool(t, "install", "-D", self, dir+"/init")
	list := pooltest.Tool(t, "modprobe", "-a", "-d", root, "-S", filepath.Base(files[0]), "--show-depends",
		"virtio_pci", "virtio_blk", "crc32c_generic", "xxhash_generic", "btrfs", "vfat", "nls_cp437", "nls_ascii")
	for i, line := range strings.Split(list, "\n") {
		if file, is := strings.CutPrefix(strings.TrimSpace(line), "insmod "); is {
			pooltest.Tool(t, "install", "-D", strings.TrimSpace(file), fmt.Sprintf("%s%s/%03d.ko", dir, modules, i))
		}
	}
	if err := os.MkdirAll(dir+"/dev", 0o755); err != nil {
		t.Fatal(err)
	}
	pooltest.Tool(t, "mknod", dir+"/dev/console", "c", "5", "1")
	out, err := os.Create(m.initrd)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	cmd := exec.Command("sh", "-c", "find . | cpio --quiet -o -H newc")
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, out, io.Discard
	if err := cmd.Run(); err != nil {
		t.Fatalf("cpio (Debian package cpio, run make deps): %v", err)
	}
}
