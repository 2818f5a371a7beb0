package pool

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"griddle/initramfs/bootloader"
	"griddle/initramfs/disk"
	"griddle/initramfs/disk/disktest"
	"griddle/initramfs/disk/table"
	"griddle/initramfs/luks"
	"griddle/initramfs/pool/pooltest"
	"griddle/initramfs/subvolume"
	"griddle/initramfs/umltest/fattest"
)

// An opened volume is found by what uses the partition, whatever its name is.
func TestOpened(t *testing.T) {
	sys := t.TempDir()
	put := func(name, text string) {
		t.Helper()
		file := filepath.Join(sys, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755),
			os.WriteFile(file, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	const volume = "0a1b2c3d-0000-4000-8000-0000000000f1"
	for i, uuid := range []string{"CRYPT-LUKS2-0a1b2c3d0000400080000000000000f1-anything\n",
		"CRYPT-LUKS2-0a1b2c3d0000400080000000000000f2-luks-" + volume,
		"CRYPT-LUKS1-0a1b2c3d0000400080000000000000f1-x", "LVM-x", ""} {
		part := fmt.Sprintf("vda%d", i+1)
		put(fmt.Sprintf("class/block/%s/holders/dm-%d/dm/uuid", part, i), uuid)
		want := ""
		if i == 0 {
			want = "/dev/dm-0"
		}
		if got := opened(sys, part, volume); got != want {
			t.Errorf("opened of a partition that %q uses = %q, want %q", uuid, got, want)
		}
	}
	put("class/block/vda9/partition", "9")
	for _, c := range [][2]string{{"vda9", volume}, {"vda1", ""}, {"vdb1", volume}} {
		if got := opened(sys, c[0], c[1]); got != "" {
			t.Errorf("opened(%q) = %q", c, got)
		}
	}
}

// TestEncryptedIsFound has an encrypted pool under user-mode Linux, which has device-mapper: it is found and named
// without its key, opened by its passphrase alone, and known by the system that runs from it, whatever the volume is
// called there.
func TestEncryptedIsFound(t *testing.T) {
	image := ""
	if !fattest.Inside() {
		image = filepath.Join(t.TempDir(), "disk")
		if err := errors.Join(os.WriteFile(image, nil, 0o600), os.Truncate(image, 400<<20)); err != nil {
			t.Fatal(err)
		}
		disktest.Tool(t, "sgdisk", "-n", "1:2048:+40M", "-t", "1:ef00", "-n", "2:0:+20M", "-n", "3:0:+40M", "-t",
			"3:ef00", "-n", "4:0:+260M", image)
	}
	if fattest.Run(t, "/", image) {
		return
	}
	fattest.Load(t, "crypto/cbc", "crypto/ecb", "crypto/xts", "crypto/af_alg", "crypto/algif_skcipher",
		"security/keys/encrypted-keys/encrypted-keys", "drivers/md/dm-mod", "drivers/md/dm-crypt",
		"fs/nls/nls_iso8859-1")
	const dev, part, volume = "/dev/ubda", "/dev/ubda4", "0a1b2c3d-0000-4000-8000-0000000000f1"
	ctx, secret := t.Context(), []byte("correct horse")
	ok := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	ok(luks.Make(ctx, part, luks.Volume{UUID: volume, Label: "griddle", Passphrase: secret, Cost: luks.Cheap}))
	node, err := luks.Open(ctx, part, volume, secret)
	ok(err)
	ok(disk.MakeBtrfs(ctx, "griddle", poolUUID, node))
	top, err := subvolume.Top(node)
	ok(err)
	ok(os.MkdirAll(top.Dir()+"/@roots", 0o700))
	for _, name := range []string{"a", "b"} {
		ok(subvolume.Create(top.Dir()+"/@roots", name))
	}
	ok(top.Close())
	mark := func(do func(f *os.File, size int64) error) {
		t.Helper()
		f, err := os.OpenFile(dev, os.O_RDWR, 0)
		ok(err)
		size, _, err := disk.Geometry(f)
		ok(err)
		ok(errors.Join(do(f, size), f.Close()))
	}
	mark(func(f *os.File, size int64) error { return table.BeginEncrypted(f, size, 512, 4, pooltest.Job) })
	if p, err := On(dev); !errors.Is(err, ErrNone) {
		t.Errorf("On a disk whose install did not finish = %+v, %v", p, err)
	}
	mark(func(f *os.File, size int64) error { return table.Mark(f, size, 512, pooltest.Job) })
	for i, of := range []string{"0a1b2c3d-0000-4000-8000-0000000000f9", volume} { // of another pool, and of this one
		node := fmt.Sprintf("%s%d", dev, 1+2*i)
		label(t, node, "SYSTEM")
		esp, err := subvolume.FAT(node)
		ok(err)
		ok(errors.Join(os.Mkdir(esp.Dir()+"/griddle", 0o755), bootloader.WriteConfig(esp.Dir(), bootloader.Config{
			ESP: "GR-1B4E28BA", PoolID: poolUUID, Root: "@roots/a",
			Boot: &bootloader.Boot{ID: "0a1b2c3d-0000-4000-8000-0000000000f8", Volume: of}}), esp.Close()))
	}

	// It is open, and then closed.
	p, err := On(dev)
	ok(err)
	if !strings.HasPrefix(p.Pool, "/dev/dm-") || p.Partition != part || p.Volume != volume || p.Job != pooltest.Job ||
		p.ESP != "/dev/ubda3" || !p.Shared {
		t.Errorf("On while it is open = %+v", p)
	}
	ok(luks.Close(ctx, volume))
	if p, err = On(dev); err != nil || p.Pool != "" || p.Partition != part || p.Volume != volume ||
		p.Job != pooltest.Job || p.ESP != "/dev/ubda3" {
		t.Errorf("On while it is closed = %+v, %v", p, err)
	}
	if !slices.ContainsFunc(All(), func(q Place) bool { return q.Disk == dev && q.Volume == volume }) {
		t.Error("All has not the closed pool")
	}
	_, err = Open(p)
	if !errors.Is(err, ErrClosed) || !strings.Contains(err.Error(), "cryptsetup open /dev/ubda4 luks-"+volume) {
		t.Errorf("Open of a closed pool = %v", err)
	}
	if _, err := Look(p); !errors.Is(err, ErrClosed) {
		t.Errorf("Look at a closed pool = %v", err)
	}
	for _, wrong := range []string{"", "another one"} {
		if q, _, err := p.Unlock(ctx, []byte(wrong)); !errors.Is(err, ErrClosed) || q.Pool != "" {
			t.Errorf("Unlock by %q = %+v, %v", wrong, q, err)
		}
	}
	q, shut, err := p.Unlock(ctx, secret)
	ok(err)
	opened, err := Open(q)
	ok(err)
	if c, err := opened.Read(); err != nil || len(c.Roots) != 2 {
		t.Errorf("Read = %+v, %v", c.Roots, err)
	}
	ok(errors.Join(opened.Close(), shut()))
	if q, shut, err := (Place{Pool: "/dev/vda3"}).Unlock(ctx, nil); err != nil || q.Pool != "/dev/vda3" ||
		shut() != nil {
		t.Errorf("Unlock of a pool that is not encrypted = %+v, %v", q, err)
	}

	// A system that runs from it, and opened it by another name.
	cmd := exec.CommandContext(ctx, "cryptsetup", "open", "--key-file", "-", part, "another")
	cmd.Stdin = strings.NewReader(string(secret))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("cryptsetup: %v: %s", err, out)
	}
	root := t.TempDir()
	off, err := subvolume.At("/dev/mapper/another", "@roots/a", root)
	ok(err)
	defer off()
	tool(t, "cp", os.Args[0], filepath.Join(root, "here"))
	for _, dir := range []string{"proc", "sys", "dev", "run"} {
		at := filepath.Join(root, dir)
		ok(os.Mkdir(at, 0o755))
		tool(t, "mount", "--rbind", "--make-rslave", "/"+dir, at)
		defer tool(t, "umount", "--lazy", at)
	}
	here := exec.Command("/here")
	here.Env = append(os.Environ(), hereEnv+"=1")
	here.SysProcAttr = &syscall.SysProcAttr{Chroot: root}
	here.Dir = "/"
	out, err := here.CombinedOutput()
	for _, want := range []string{"a runs", "b ", "\n<nil>\n"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("the system says %v, without %q:\n%s", err, want, out)
		}
	}
}

// poolUUID is that of the filesystem of an encrypted pool here.
const poolUUID = "0a1b2c3d-0000-4000-8000-0000000000f7"
