package pool

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"griddle/initramfs/bootloader"
	"griddle/initramfs/bootloader/grubtest"
	"griddle/initramfs/disk/disktest"
	"griddle/initramfs/pool/pooltest"
	"griddle/initramfs/subvolume"
)

// Without a grub.cfg the partition for kernels is known by what it has, and if that is not clear, by nothing.
func TestLostBoot(t *testing.T) {
	dev, other := disktest.Loop(t, 80<<20, 512), disktest.Loop(t, 80<<20, 512)
	for _, dev := range []string{dev, other} {
		pooltest.Tool(t, "sgdisk", "-n", "1:0:+16M", "-n", "2:0:+16M", "-n", "3:0:+16M", "-n", "4:0:+16M", dev)
		pooltest.Tool(t, "partx", "-u", dev)
	}
	is := func(what, want, refused string) {
		t.Helper()
		before := sums(t, dev)
		got, err := lostBoot(nodes(sys), dev, []string{"one", "two"})
		if got != want || (err == nil) != (refused == "") || err != nil && !strings.Contains(err.Error(), refused) {
			t.Errorf("%s: lostBoot = %q, %v, want %q, %q", what, got, err, want, refused)
		}
		if after := sums(t, dev); after != before {
			t.Errorf("%s: the disk has changed", what)
		}
	}
	put := func(part string, files map[string]string) {
		t.Helper()
		m, err := subvolume.Other("ext4", part)
		if err != nil {
			t.Fatal(err)
		}
		pooltest.Put(t, m.Dir(), files)
		if err := m.Close(); err != nil {
			t.Fatal(err)
		}
	}
	ext4 := func(part, label string) {
		t.Helper()
		pooltest.Tool(t, "mkfs.ext4", "-q", "-F", "-L", label, part)
	}
	whole := map[string]string{"one/7/vmlinuz": "a kernel", "one/7/initrd.img": "an initrd"}
	is("a disk without ext4", "", "no ext4 on "+dev+" has copies of them; make one on that disk with `mkfs.ext4 -L")
	ext4(dev+"p1", "data")
	ext4(other+"p3", "griddle-boot") // on another disk
	put(other+"p3", whole)
	is("an ext4 of someone", "", "no ext4 on "+dev)
	ext4(dev+"p2", "griddle-boot")
	is("an empty one", dev+"p2", "")
	ext4(dev+"p3", "griddle-boot")
	is("two empty ones", "", "it can be each of "+dev+"p2 and "+dev+"p3; remove")
	put(dev+"p3", whole)
	is("one with copies", dev+"p3", "")
	put(dev+"p2", map[string]string{"one/1/vmlinuz": "half of a copy", "three/1/vmlinuz": "", "x": "y"})
	is("one with copies, and one with half of one", dev+"p3", "")
	put(dev+"p1", whole)
	is("a copy of it", "", "it can be each of "+dev+"p1 and "+dev+"p3")
	pooltest.Tool(t, "wipefs", "-q", "-a", dev+"p1")
	m, err := subvolume.Other("ext4", dev+"p3")
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if got, err := lostBoot(nodes(sys), dev, []string{"one"}); got != dev+"p3" || err != nil {
		t.Errorf("while it is mounted lostBoot = %q, %v", got, err)
	}
	if got, err := lostBoot(nodes(sys), dev, nil); err == nil {
		t.Errorf("of a pool without roots lostBoot = %q", got)
	}
}

// sums is what the partitions of a disk have.
func sums(t *testing.T, dev string) string {
	t.Helper()
	parts, err := filepath.Glob(dev + "p*")
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	for _, p := range append(parts, dev) {
		b, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		out.Write(b)
	}
	return out.String()
}

// A lost or damaged grub.cfg of an encrypted pool is written again with what GRUB needs: the volume, what opens it, and
// the partition for kernels, whose copies are made first. What cannot be known is refused, and nothing is written.
func TestLostConfig(t *testing.T) {
	made, place := bootParts(t, 64)
	images := t.TempDir()
	if err := bootloader.BuildGRUB(t.Context(), images, bootloader.BuildOptions{}); err != nil {
		t.Fatal(err)
	}
	place.Disk, place.SectorSize, place.BIOS = pooltest.Loop(t, 8<<20), 512, Extent{1 << 20, 1 << 20}
	place.Partition, place.Volume = pooltest.Loop(t, 32<<20), volumeID
	key := filepath.Join(t.TempDir(), "key")
	config := filepath.Join(made.ESP, "griddle/grub.cfg")
	whole, err := os.ReadFile(config)
	if err := errors.Join(err, os.WriteFile(key, []byte("correct horse"), 0o600)); err != nil {
		t.Fatal(err)
	}
	pooltest.Tool(t, "cryptsetup", "luksFormat", "--batch-mode", "--type", "luks2", "--uuid", volumeID, "--key-file",
		key, "--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000", place.Partition)
	install := func(p *Pool) error { return p.Bootloader(os.DirFS(images), true) }

	line := "" // of Boot in grub.cfg
	for l := range strings.Lines(string(whole)) {
		if strings.Contains(l, volumeID+" passphrase") {
			line = l
		}
	}
	lost := map[string]string{"lost": "", "damaged": strings.Repeat("\x00", len(whole)),
		"of a pool that is not encrypted": strings.Replace(string(whole), line, "", 1),
		"of another volume":               strings.ReplaceAll(string(whole), volumeID, bootID[:35]+"9")}
	for what, text := range lost {
		for _, tpm := range []bool{false, true} {
			if tpm {
				token := filepath.Join(t.TempDir(), "token")
				if err := os.WriteFile(token, []byte(`{"type":"systemd-tpm2","keyslots":["0"],"tpm2-blob":"AAAA",`+
					`"tpm2-pcrs":[7],"tpm2-policy-hash":"00"}`), 0o600); err != nil {
					t.Fatal(err)
				}
				pooltest.Tool(t, "cryptsetup", "token", "import", "--token-id", "3", "--json-file", token,
					place.Partition)
			}
			if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			if text == "" {
				_ = os.Remove(config)
			}
			if err := changed(t, place, func(p *Pool) error { return p.Boot("two@amd64") }); err == nil {
				t.Errorf("%s: another root boots, and it is not known which one did", what)
			}
			if err := changed(t, place, install); err != nil {
				t.Fatalf("%s: %v", what, err)
			}
			conf, err := bootloader.ReadConfig(made.ESP)
			want := bootloader.Boot{ID: bootID, Volume: volumeID, TPM: tpm}
			if err != nil || conf.Boot == nil || *conf.Boot != want || conf.PoolID != made.ID {
				t.Errorf("%s: grub.cfg is %+v, %v, want %+v", what, conf, err, want)
			}
			got := grubtest.Boot(t, made.ESP, place.Boot)
			if got.Root != "one@amd64" && got.Root != "two@amd64" ||
				!slices.Contains(got.Args, "rd.luks.uuid="+volumeID) ||
				slices.Contains(got.Args, "rd.luks.options="+volumeID+"=tpm2-device=auto") != tpm {
				t.Errorf("%s: GRUB starts %q with %q:\n%s", what, got.Root, got.Args, got.Screen)
			}
			if tpm {
				pooltest.Tool(t, "cryptsetup", "token", "remove", "--token-id", "3", place.Partition)
			}
		}
	}

	refuses := func(what string, place Place, want string) {
		t.Helper()
		if err := os.WriteFile(config, []byte(lost["damaged"]), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := changed(t, place, install); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", what, err, want)
		}
		if b, err := os.ReadFile(config); err != nil || string(b) != lost["damaged"] {
			t.Errorf("%s: grub.cfg was written (%v)", what, err)
		}
	}
	other := place
	other.Boot = ""
	refuses("no partition for kernels", other, "no grub.cfg names it, and no ext4 on "+place.Disk)
	other = place
	other.Volume = bootID
	refuses("another volume", other, "has no header of the volume "+bootID+" that is whole")
	other = place
	other.Partition = made.Device
	refuses("no volume", other, "has no header of the volume")
	if err := os.RemoveAll(filepath.Join(made.Top, "@roots/one@amd64/boot/initrd.img-6.1.0")); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(made.Top, "@roots/two@amd64/boot/initrd.img-6.1.0")); err != nil {
		t.Fatal(err)
	}
	pooltest.Tool(t, "mkfs.ext4", "-q", "-F", "-U", bootID, place.Boot)
	refuses("no root has an initrd", place, "no root of the pool has a kernel")
}
