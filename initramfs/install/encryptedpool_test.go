//go:build torture

package install

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"griddle/appliance/setting"
	"griddle/initramfs/bootloader"
	"griddle/initramfs/disk/disktest"
	"griddle/initramfs/luks"
	"griddle/initramfs/pool"
	"griddle/initramfs/subvolume"
	"griddle/initramfs/umltest/fattest"

	"golang.org/x/sys/unix"
)

// encryptedPool is a layout of the first disk.
const encryptedPool = `version: 1
disks:
  - id: main
    match: {serial: D1}
    partitions:
      - {id: esp, use: esp, size: 64M}
      - {id: boot, use: boot, size: 512M}
      - {id: pool, use: pool, size: rest, luks: {unlock: [passphrase]}}
`

// An install into an encrypted pool, in a kernel that has device-mapper; then again into the pool that stays, with its
// layout and without one. Nothing of the system can be read without the passphrase, and nothing is open when an install
// ends. With another passphrase, nothing is written.
func TestEncryptedPoolInstall(t *testing.T) {
	var folder string
	var images []string
	if !fattest.Inside() {
		folder = t.TempDir()
		takeAlong(t, folder, map[string]string{"usr/share/initramfs-tools/hooks/cryptroot": "a hook",
			"usr/sbin/cryptsetup": "a program", "etc/motd": secret})
		for i, size := range []int64{1450 << 20, 16 << 20} {
			name := filepath.Join(folder, "disk"+string(rune('0'+i)))
			if err := errors.Join(os.WriteFile(name, bytes.Repeat([]byte("others "), i*100), 0o600),
				os.Truncate(name, size)); err != nil {
				t.Fatal(err)
			}
			images = append(images, name)
		}
	}
	if fattest.Run(t, folder, images...) {
		return
	}
	fattest.Load(t, "crypto/cbc", "crypto/ecb", "crypto/xts", "crypto/af_alg", "crypto/algif_skcipher",
		"security/keys/encrypted-keys/encrypted-keys", "drivers/md/dm-mod", "drivers/md/dm-crypt",
		"fs/nls/nls_iso8859-1")
	const dev, other = "/dev/ubda", "/dev/ubdb"
	o, img := takenAlong(t, fattest.Folder())
	o.Agent, o.CA = filepath.Join(fattest.Folder(), "agent"), []byte("-----BEGIN CERTIFICATE-----\n")
	passphrase := "correct horse"
	o.Settings = func(context.Context) (setting.Settings, error) {
		return setting.Settings{Disks: setting.Disks{Passphrase: passphrase}}, nil
	}
	theirs := disktest.Tool(t, "sha256sum", other)
	j := &journal{}
	s, disks := divideJob(t, &o, &keeper{}, encryptedPool, dev, other)
	if err := Run(t.Context(), s, img, disks, j, o); err != nil {
		t.Fatal(err)
	}
	checkEncrypted(t, dev, passphrase, jobID, "web-20261120.1@amd64")

	// Into the pool that stays.
	for i, text := range []string{"", encryptedPool} {
		again, disks := divideJob(t, &o, &keeper{}, encryptedPool, dev, other)
		if again.ID = strings.Replace(jobID, "5b", "6"+string(rune('0'+i)), 1); text == "" {
			again.Layout, again.Disk = nil, "path:"+dev
		}
		passphrase = "another one"
		before := disktest.Tool(t, "sha256sum", dev)
		if err := Run(t.Context(), again, img, disks, j, o); err == nil ||
			!strings.Contains(err.Error(), "it is not opened by this") {
			t.Errorf("an install with another passphrase = %v", err)
		}
		if disktest.Tool(t, "sha256sum", dev) != before {
			t.Error("an install with another passphrase wrote something")
		}
		passphrase = "correct horse"
		if err := Run(t.Context(), again, img, disks, j, o); err != nil {
			t.Fatal(err)
		}
		checkEncrypted(t, dev, passphrase, again.ID, "web-20261120.1@amd64")
	}
	if disktest.Tool(t, "sha256sum", other) != theirs {
		t.Error("the other disk has changed")
	}
}

// secret is in the image, and what people write.
const secret = "nobody else may read this thesis"

// checkEncrypted looks at the disk, without the passphrase and with it. People write into /home after each install.
func checkEncrypted(t *testing.T, dev, passphrase, id, root string) {
	t.Helper()
	if found, err := os.ReadDir("/sys/class/block"); err != nil || strings.Contains(strings.Join(names(found), " "),
		"dm-") {
		t.Errorf("a volume is open: %v, %v", names(found), err)
	}
	if d := found(t, dev, "D1"); d.Installed != id || d.Unfinished != "" {
		t.Errorf("the disk is marked as %q, unfinished %q, want %q", d.Installed, d.Unfinished, id)
	}
	if has := readable(t, dev, secret, passphrase); has != "" {
		t.Errorf("the disk has %q, which can be read", has)
	}
	place, err := pool.On(dev)
	if err != nil || place.Pool != "" || place.Job != id {
		t.Fatalf("On = %+v, %v", place, err)
	}
	if _, err := pool.Open(place); !errors.Is(err, pool.ErrClosed) {
		t.Errorf("Open of the closed pool = %v", err)
	}
	place, shut, err := place.Unlock(t.Context(), []byte(passphrase))
	if err != nil {
		t.Fatal(err)
	}
	p, err := pool.Open(place)
	if err != nil {
		t.Fatal(err)
	}
	c, err := p.Read()
	if err != nil || len(c.Roots) == 0 || !strings.HasPrefix(c.Roots[0].Name, root) || c.NoBoots != nil {
		t.Fatalf("Read = %+v, %v", c, err)
	}
	if encrypted, tpm := c.Encrypted(); !encrypted || tpm {
		t.Errorf("Encrypted = %v, %v", encrypted, tpm)
	}
	esp, err := p.ESP()
	if err != nil {
		t.Fatal(err)
	}
	conf, err := bootloader.ReadConfig(esp)
	if err != nil || conf.Boot == nil || conf.Boot.Volume != place.Volume || conf.Others {
		t.Errorf("grub.cfg says %+v, %v", conf, err)
	}
	for _, r := range c.Roots {
		dir := p.RootDir(r.Name)
		if motd, err := os.ReadFile(filepath.Join(dir, "etc/motd")); err != nil || string(motd) != secret {
			t.Errorf("the root %s has %q, %v", r.Name, motd, err)
		}
		fstab, err := os.ReadFile(filepath.Join(dir, "etc/fstab"))
		if line := "UUID=" + conf.PoolID + " / btrfs subvol=/@roots/" + r.Name; err != nil ||
			!strings.Contains(string(fstab), line) {
			t.Errorf("/etc/fstab of %s has no %q:\n%s", r.Name, line, fstab)
		}
		if _, err := os.Stat(filepath.Join(dir, "etc/kernel/postinst.d/zz-griddle")); err != nil {
			t.Errorf("the root %s does not copy its kernels: %v", r.Name, err)
		}
	}
	notes := filepath.Join(p.Dir(), "@home/alice/notes")
	if b, err := os.ReadFile(notes); err != nil || string(b) != "hers" && string(b) != secret {
		t.Errorf("/home has %q, %v", b, err)
	}
	if err := errors.Join(os.WriteFile(notes, []byte(secret), 0o600), p.Close(), shut()); err != nil {
		t.Fatal(err)
	}
	kernels, err := subvolume.Other("ext4", dev+"2")
	if err != nil {
		t.Fatal(err)
	}
	defer kernels.Close()
	copied, err := filepath.Glob(filepath.Join(kernels.Dir(), root+"*/*/vmlinuz"))
	if err != nil || len(copied) != len(c.Roots) {
		t.Errorf("GRUB has the kernels %q of %d roots, %v", copied, len(c.Roots), err)
	}
	if _, err := os.Stat(luks.Node(place.Volume)); !errors.Is(err, unix.ENOENT) {
		t.Errorf("the volume is still open: %v", err)
	}
}

// readable is the first of some texts that a disk has, "" for none.
func readable(t *testing.T, dev string, texts ...string) string {
	t.Helper()
	f, err := os.Open(dev)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	const most = 256 // bytes of a text
	b := make([]byte, 4<<20+most)
	for at := int64(0); ; at += 4 << 20 {
		n, err := f.ReadAt(b, at)
		for _, text := range texts {
			if bytes.Contains(b[:n], []byte(text)) {
				return text
			}
		}
		if err != nil {
			return ""
		}
	}
}

func names(all []os.DirEntry) (out []string) {
	for _, e := range all {
		out = append(out, e.Name())
	}
	return out
}
