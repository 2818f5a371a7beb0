package roomtest

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/u-root/u-root/pkg/cpio"

	"griddle/appliance/e2e"
	"griddle/appliance/e2e/e2etest"
	"griddle/appliance/fleet"
	"griddle/appliance/job"
	"griddle/appliance/site"
	"griddle/initramfs/bootloader"
	"griddle/initramfs/disk"
	"griddle/initramfs/disk/content"
	"griddle/initramfs/disk/table"
)

// hardArgs are kernel arguments that a careless quoting would lose.
var hardArgs = []string{"a=$HOME;b!{c}", `d="two words"`, "e=x|y&z#`*", "f=<(1)>"}

// speaker is a boot sector that prints what follows it, up to a zero byte, on the serial line: lodsb,
// out to port 3f8, again.
const speaker = "\x31\xc0\x8e\xd8\xbe\x15\x7c\xba\xf8\x03\xac\x08\xc0\x74\x03\xee\xeb\xf8\xf4\xeb\xfd"

// TestSecondDrive boots a BIOS machine whose installed system is on the second drive. The first one has a table and no
// program, at which a BIOS and iPXE hang. The disk is laid out and made bootable by the installer's own packages; the
// system on it is a kernel whose only program prints its command line. A second machine has lost the disk that was
// installed: its script says so and leaves it to the BIOS, which starts the disk that is left.
func TestSecondDrive(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	room := e2etest.Open(t)
	const mac, bereft, size = "52:54:00:77:00:d2", "52:54:00:77:00:d3", 512 << 20
	id := installedBefore(ctx, t, filepath.Join(room.Dir, "state"), mac)
	installedBefore(ctx, t, filepath.Join(room.Dir, "state"), bereft)

	other, err := room.MakeDisk("other", 64<<20)
	if err != nil {
		t.Fatal(err)
	}
	writeAt(t, other, []byte{0x55, 0xaa}, 510)
	installed, err := room.MakeDisk("installed", size)
	if err != nil {
		t.Fatal(err)
	}
	makeSystem(ctx, t, installed, size, id)

	left, err := room.MakeDisk("left", 64<<20)
	if err != nil {
		t.Fatal(err)
	}
	writeAt(t, left, append([]byte(speaker+"the BIOS went on\r\n"), 0), 0)
	writeAt(t, left, []byte{0x55, 0xaa}, 510)

	site := room.Site(e2e.DHCP)
	if err := site.Start(ctx); err != nil {
		t.Fatal(err)
	}
	m, err := room.Machine(ctx, e2e.Hardware{Name: "second", Firmware: e2e.BIOS, MAC: mac, Memory: 256,
		Disks: []e2e.Disk{{File: other, Serial: "OTHER"}, {File: installed, Serial: "INSTALLED"}}})
	if err != nil {
		t.Fatal(err)
	}
	lost, err := room.Machine(ctx, e2e.Hardware{Name: "lost", Firmware: e2e.BIOS, MAC: bereft, Memory: 256,
		Disks: []e2e.Disk{{File: left, Serial: "LEFT"}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, machine := range []*e2e.Machine{m, lost} {
		if err := machine.PowerOn(ctx); err != nil {
			t.Fatal(err)
		}
		defer machine.PowerCut()
	}
	line, err := m.Console().Wait(ctx, `^started with .* and nothing else`)
	if err != nil {
		t.Fatal(err)
	}
	// GRUB puts the quotes around the whole argument.
	const want = "a=$HOME;b!{c} \"d=two words\" e=x|y&z#`* f=<(1)>"
	if _, got, _ := strings.Cut(line.Text, "console=tty0 "); !strings.HasPrefix(got, want+" and nothing else") {
		t.Errorf("the kernel was given %q, want %q", got, want)
	}
	t.Logf("figure: BIOS, second drive: the system's kernel ran after %.1f s", line.At.Seconds())
	if _, err := lost.Console().Wait(ctx, `the BIOS went on`); err != nil {
		t.Error(err)
	}
	if err := site.Stop(ctx); err != nil {
		t.Errorf("stopping the server: %v", err)
	}
}

// installedBefore makes the state of a server that has installed a machine, and returns the job's ID.
func installedBefore(ctx context.Context, t *testing.T, state, mac string) string {
	t.Helper()
	if err := os.MkdirAll(state, 0o700); err != nil {
		t.Fatal(err)
	}
	f, err := fleet.Open(ctx, filepath.Join(state, "fleet.db"), fleet.Options{})
	if err != nil {
		t.Fatal(err)
	}
	_, j, err := f.Install(ctx, mac, fleet.Order{Image: job.Image{Ref: "web:1@amd64"}, Disk: "serial:INSTALLED"})
	if err != nil {
		t.Fatal(err)
	}
	boot := uuid.NewString()
	g, err := f.Hello(ctx, "10.77.0.9", "",
		job.Hello{Boot: boot, Agent: "test", Identity: job.Identity{MACs: []string{mac}}})
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.Append(ctx, fleet.Proof{Token: g.Token}, job.Events{Boot: boot, Events: []job.Event{
		{Seq: 1, Job: j.Spec.ID, State: job.Started, Disk: "INSTALLED"}, {Seq: 2, Job: j.Spec.ID, State: job.Done}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return j.Spec.ID
}

// makeSystem does to a disk image what an install does, with an ext2 filesystem as the pool.
func makeSystem(ctx context.Context, t *testing.T, file string, size int64, id string) {
	t.Helper()
	const poolID = "0a1b2c3d-0000-4000-8000-0123456789ab"
	dir, boot := t.TempDir(), filepath.Join(e2etest.Top(t), "build/boot")
	images := os.DirFS(filepath.Join(boot, "grub"))
	l, err := table.WholeDisk(id, size, 512)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(file, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := l.Write(f, content.Content{}); err != nil {
		t.Fatal(err)
	}
	if err := bootloader.InstallBIOS(f, images, bootloader.Extent{Start: l.BIOS.Start, Size: l.BIOS.Size},
		512); err != nil {
		t.Fatal(err)
	}
	esp, pool, tree, top := filepath.Join(dir, "esp"), filepath.Join(dir, "pool"), filepath.Join(dir, "tree"),
		filepath.Join(dir, "top")
	if err := bootloader.InstallESP(tree, images,
		bootloader.Config{ESP: job.ESPLabel(id), PoolID: poolID, Flat: true, Args: hardArgs}); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(top, 0o755); err != nil {
		t.Fatal(err)
	}
	run(ctx, t, "cp", filepath.Join(boot, "vmlinuz"), filepath.Join(top, "vmlinuz"))
	if err := os.WriteFile(filepath.Join(top, "initrd.img"), initrd(t), 0o644); err != nil {
		t.Fatal(err)
	}
	run(ctx, t, "truncate", "-s", "260M", esp)
	if err := disk.MakeFAT(ctx, esp, job.ESPLabel(id), "1234abcd", 512); err != nil {
		t.Fatal(err)
	}
	run(ctx, t, "mcopy", "-s", "-i", esp, filepath.Join(tree, "EFI"), filepath.Join(tree, "griddle"), "::")
	run(ctx, t, "mke2fs", "-q", "-t", "ext2", "-U", poolID, "-d", top, pool, "64M")
	for _, part := range []struct {
		from string
		at   int64
	}{{esp, l.ESP.Start}, {pool, l.Pool.Start}} {
		b, err := os.ReadFile(part.from)
		if err != nil {
			t.Fatal(err)
		}
		writeAt(t, file, b, part.at)
	}
	if err := errors.Join(table.Activate(f), table.Mark(f, size, 512, id)); err != nil {
		t.Fatal(err)
	}
}

// initrd is a root whose only program prints the kernel's command line on the serial line and switches the machine off.
func initrd(t *testing.T) []byte {
	t.Helper()
	busybox, err := os.ReadFile("/bin/busybox")
	if err != nil {
		t.Fatalf("%v (Debian package busybox-static, run make deps)", err)
	}
	const init = `#!/bin/busybox sh
/bin/busybox mount -t proc proc /proc
echo "started with $(/bin/busybox cat /proc/cmdline) and nothing else" >/dev/ttyS0
/bin/busybox sleep 1
/bin/busybox poweroff -f
`
	var b bytes.Buffer
	if err := site.WriteCPIO(&b, []cpio.Record{
		cpio.Directory("dev", 0o755), cpio.CharDev("dev/console", 0o600, 5, 1), cpio.CharDev("dev/ttyS0", 0o600, 4, 64),
		cpio.Directory("proc", 0o555), cpio.StaticFile("bin/busybox", string(busybox), 0o755),
		cpio.StaticFile("init", init, 0o755),
	}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func writeAt(t *testing.T, file string, b []byte, at int64) {
	t.Helper()
	f, err := os.OpenFile(file, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(b, at); err != nil {
		t.Fatal(err)
	}
}

func run(ctx context.Context, t *testing.T, args ...string) {
	t.Helper()
	if out, err := exec.CommandContext(ctx, args[0], args[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", strings.Join(args, " "), err, out)
	}
}
