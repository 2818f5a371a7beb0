package kexec

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"griddle/initramfs/bootloader"
	"griddle/initramfs/bootloader/arguments"
	"griddle/initramfs/bootloader/bootenv"
	"griddle/initramfs/pool"
	"griddle/initramfs/pool/pooltest"
	"griddle/initramfs/subvolume"
	"griddle/initramfs/sysroot"
)

// Beside an encrypted pool GRUB reads copies: a start without the firmware takes the same kernel, initrd and arguments,
// and refuses a root of which there is no copy.
func TestEncryptedPool(t *testing.T) {
	b := newBed(t)
	const id, volume = "0a1b2c3d-0000-4000-8000-0000000000f2", "0a1b2c3d-0000-4000-8000-0000000000f1"
	boot := pooltest.Loop(t, 32<<20)
	pooltest.Tool(t, "mkfs.ext4", "-q", "-F", "-U", id, boot)
	for _, root := range []string{"one@amd64", "two@amd64"} {
		pooltest.Put(t, b.made.Top+"/@roots/"+root, map[string]string{"boot/initrd.img-6.1.0": "an initrd of " + root})
	}
	two, err := os.OpenRoot(filepath.Join(b.made.Top, "@roots/two@amd64"))
	if err != nil {
		t.Fatal(err)
	}
	defer two.Close()
	if err := errors.Join(arguments.Write(sysroot.Dir{Root: two}, arguments.Arguments{All: []string{"own"}}),
		bootloader.WriteConfig(b.made.ESP, bootloader.Config{ESP: "GR-1B4E28BA", PoolID: b.made.ID,
			Root: "@roots/one@amd64", Args: []string{"quiet"},
			Boot: &bootloader.Boot{ID: id, Volume: volume, TPM: true}}),
		bootenv.Write(b.made.ESP, bootenv.Env{Good: "one@amd64"}), b.pool.Close()); err != nil {
		t.Fatal(err)
	}
	if b.pool, err = pool.Open(pool.Place{Pool: b.made.Device, ESP: b.made.ESP, Boot: boot}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.pool.Close() })
	if _, err := b.prepare(b.pool, "one@amd64"); !errors.Is(err, fs.ErrNotExist) ||
		!strings.Contains(err.Error(), "looking for the copy of the kernel of one@amd64") || b.loaded != nil {
		t.Errorf("without a copy: %v, loaded %q", err, b.loaded)
	}
	if err := b.pool.Switch("two@amd64"); err != nil {
		t.Fatal(err)
	}
	// What changed since, and was not copied, the boot loader does not start.
	pooltest.Put(t, b.made.Top, map[string]string{"@roots/two@amd64/boot/vmlinuz-6.2.0": "a kernel that comes",
		"@roots/two@amd64/boot/initrd.img-6.2.0": "half of its ini"})
	l, err := b.prepare(b.pool, "two@amd64")
	if err != nil {
		t.Fatal(err)
	}
	want := " rd.luks.uuid=" + volume + " cryptopts=target=luks-" + volume + ",source=UUID=" + volume +
		",luks rd.luks.options=" + volume + "=tpm2-device=auto "
	if len(b.loaded) != 3 || b.loaded[0] != "a kernel" || b.loaded[1] != "an initrd of two@amd64" ||
		!strings.Contains(b.loaded[2], want) || !strings.HasSuffix(b.loaded[2], " own griddle.try griddle.kexec") {
		t.Errorf("loaded %q, want arguments with %q", b.loaded, want)
	}
	if err := l.cancel(); err != nil {
		t.Fatal(err)
	}
	m, err := subvolume.Other("ext4", boot)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Remove(m.Dir()+"/two@amd64/1/vmlinuz"), m.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := b.prepare(b.pool, "two@amd64"); !errors.Is(err, fs.ErrNotExist) || b.loaded != nil {
		t.Errorf("with half a copy: %v, loaded %q", err, b.loaded)
	}
	if e := b.env(); e.Tries != 1 {
		t.Errorf("what was refused counts: %+v", e)
	}
}
