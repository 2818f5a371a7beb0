package update_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"griddle/appliance/job"
	"griddle/initramfs/bootloader"
	"griddle/initramfs/bootloader/bootcopy"
	"griddle/initramfs/bootloader/grubtest"
	"griddle/initramfs/pool"
	"griddle/initramfs/pool/intake/intaketest"
	"griddle/initramfs/pool/pooltest"
	"griddle/initramfs/subvolume"
	"griddle/initramfs/update"
)

// tree is an image with a kernel, an initrd and these files.
func tree(t *testing.T, files map[string]string) *intaketest.Image {
	return intaketest.Publish(t, func(dir string) {
		intaketest.Put(t, dir, map[string]string{"boot/vmlinuz-1": "a kernel", "boot/initrd.img-1": "an initrd",
			"vmlinuz": "-> boot/vmlinuz-1", "initrd.img": "-> boot/initrd.img-1", "etc/hostname": "x\n",
			"usr/lib/systemd/systemd": "process 1", "sbin/init": "-> ../usr/lib/systemd/systemd",
			"etc/passwd": "root:x:0:0:root:/root:/bin/sh\n", "etc/group": "root:x:0:\n", "etc/machine-id": ""})
		intaketest.Put(t, dir, files)
	})[0]
}

// crypt are the files of an image that opens an encrypted pool by a passphrase, with this initrd.
func crypt(initrd string) map[string]string {
	return map[string]string{"usr/share/initramfs-tools/hooks/cryptroot": "a hook", "sbin/cryptsetup": "a program",
		"boot/initrd.img-1": initrd}
}

// encrypted is a machine with a partition for kernels of so many MiB. That its pool is not really encrypted, GRUB does
// not see.
func encrypted(t *testing.T, mib int64) (*machine, bootloader.Config) {
	t.Helper()
	const id, volume = "0a1b2c3d-0000-4000-8000-0000000000f2", "0a1b2c3d-0000-4000-8000-0000000000f1"
	one, _ := versions(t)
	m := installed(t, pooltest.Loop(t, 1<<30), one)
	m.o.Place.Boot = pooltest.Loop(t, mib<<20)
	pooltest.Tool(t, "mkfs.ext4", "-q", "-F", "-L", "griddle-boot", "-U", id, m.o.Place.Boot)
	conf, err := bootloader.ReadConfig(m.esp)
	if err != nil {
		t.Fatal(err)
	}
	conf = m.o.Place.Config(conf, installJob)
	conf.Boot = &bootloader.Boot{ID: id, Volume: volume}
	if err := bootloader.WriteConfig(m.esp, conf); err != nil {
		t.Fatal(err)
	}
	m.with(t, func(p *pool.Pool) {
		if err := p.CopyKernels(); err != nil {
			t.Fatal(err)
		}
	})
	return m, conf
}

// A machine with an encrypted pool gets only images whose initrd can open it, and GRUB has their kernel before it tries
// them. What GRUB reads is in a partition beside the pool; that the pool is not really encrypted here, it does not see.
func TestEncryptedPool(t *testing.T) {
	able, bare := tree(t, crypt("an initrd with cryptsetup")), tree(t, nil)
	kernelless := intaketest.Publish(t, func(dir string) {
		intaketest.Put(t, dir, map[string]string{"usr/lib/systemd/systemd": "process 1",
			"sbin/init": "-> ../usr/lib/systemd/systemd"})
	})[0]
	large := tree(t, crypt(strings.Repeat("large", 4<<20)))
	m, conf := encrypted(t, 16)
	starts := func(what, root string, try bool) {
		t.Helper()
		got := grubtest.Boot(t, m.esp, m.o.Place.Boot)
		if got.Root != root || got.Try() != try || filepath.Base(got.Initrd) != "initrd.img" {
			t.Errorf("%s: GRUB starts %q by %q and %q:\n%s", what, got.Root, got.Kernel, got.Initrd, got.Screen)
		}
	}
	starts("after an install", oneRoot, false)
	for _, c := range []struct {
		what string
		img  update.Image
		is   error
		want string
	}{
		{"an image that opens none", renamed{bare, "web:20261121.1@amd64", 0}, update.ErrImage,
			"web:20261121.1@amd64 cannot start from an encrypted pool"},
		{"an initrd without room", renamed{large, "web:20261121.2@amd64", 0}, bootcopy.ErrRoom, "no root can be"},
	} {
		if _, err := m.update(t.Context(), t, c.img); !errors.Is(err, c.is) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.what, err, c.want)
		}
		starts(c.what, oneRoot, false)
	}
	m.o.Spec.Kernel = job.Image{Ref: "griddle/kernel:1@amd64"}
	m.o.Kernel = func(context.Context, []string) (update.Image, error) {
		return renamed{bare, "griddle/kernel:1@amd64", 0}, nil
	}
	if _, err := m.update(t.Context(), t, renamed{kernelless, "web:20261121.2@amd64", 0}); !errors.Is(err,
		update.ErrImage) || !strings.Contains(err.Error(), "the initrd of a kernel image cannot open") {
		t.Errorf("an image without a kernel: %v", err)
	}
	r, err := m.update(t.Context(), t, renamed{able, "web:20261121.3@amd64", 0})
	if err != nil || r.Root != "web-20261121.3@amd64" {
		t.Fatalf("Run = %+v, %v", r, err)
	}
	starts("after an update", r.Root, true)
	m.with(t, func(p *pool.Pool) {
		if b, err := os.ReadFile(p.RootDir(r.Root) + "/etc/kernel/postinst.d/zz-griddle"); err != nil ||
			!strings.Contains(string(b), "griddle-agent kernels --hook") {
			t.Errorf("the new root has the hook %q, %v", b, err)
		}
	})
	starts("after its try", oneRoot, false)

	// One that the TPM opens needs more.
	conf.Boot.TPM = true
	if err := bootloader.WriteConfig(m.esp, conf); err != nil {
		t.Fatal(err)
	}
	if _, err := m.update(t.Context(), t, renamed{able, "web:20261121.4@amd64", 0}); !errors.Is(err, update.ErrImage) ||
		!strings.Contains(err.Error(), "needs dracut with its module tpm2-tss") {
		t.Errorf("an image that asks for a passphrase: %v", err)
	}
}

// An image whose kernel and initrd find no room is refused before anything is received: roots that no one needs are
// deleted first, and the error names those that a person can delete.
func TestKernelRoom(t *testing.T) {
	const mib = 1 << 20
	m, _ := encrypted(t, 32)
	has := func(root string, size int, good bool) {
		t.Helper()
		m.with(t, func(p *pool.Pool) {
			roots := p.Dir() + "/@roots"
			if err := subvolume.Create(roots, root); err != nil {
				t.Fatal(err)
			}
			pooltest.Put(t, roots+"/"+root, map[string]string{"boot/vmlinuz-1": "a kernel",
				"boot/initrd.img-1": strings.Repeat(root[:1], size)})
			if good {
				pooltest.Put(t, roots+"/"+root, map[string]string{pool.Marker: ""})
				before := time.Now().Add(-time.Hour)
				if err := os.Chtimes(roots+"/"+root+"/"+pool.Marker, before, before); err != nil {
					t.Fatal(err)
				}
			}
			if err := p.CopyKernels(); err != nil {
				t.Fatal(err)
			}
		})
	}
	has("earlier", 8*mib, true)
	has("waste", 12*mib, false)
	roots := func() (out []string) {
		for _, r := range m.contents(t).Roots {
			out = append(out, r.Name)
		}
		slices.Sort(out)
		return out
	}
	r, err := m.update(t.Context(), t, renamed{tree(t, crypt(strings.Repeat("n", 10*mib))), "web:20261121.1@amd64", 0})
	if want := []string{"earlier", oneRoot, r.Root}; err != nil || !slices.Equal(roots(), want) {
		t.Fatalf("an update for which a root is deleted: %v, and the roots are %q, want %q", err, roots(), want)
	}
	images := len(m.contents(t).Images)
	_, err = m.update(t.Context(), t, renamed{tree(t, crypt(strings.Repeat("x", 12*mib))), "web:20261122.1@amd64", 0})
	if !errors.Is(err, bootcopy.ErrRoom) || !strings.Contains(err.Error(), "kernel and initrd of web:20261122.1@amd64 "+
		"need 12.6 MB beside the others, and ") || !strings.HasSuffix(err.Error(),
		"; delete one of these roots with `griddle-agent recover delete-root`: earlier (8.39 MB)") {
		t.Errorf("an image without room: %v", err)
	}
	if c := m.contents(t); len(c.Images) != images || len(c.Roots) != 3 || c.Candidate != r.Root {
		t.Errorf("after that the pool has %d images and the roots %q", len(c.Images), roots())
	}
	m.with(t, func(p *pool.Pool) {
		if err := p.DeleteRoot("earlier"); err != nil {
			t.Fatal(err)
		}
	})
	r, err = m.update(t.Context(), t, renamed{tree(t, crypt(strings.Repeat("x", 12*mib))), "web:20261122.1@amd64", 0})
	if err != nil {
		t.Fatal(err)
	}
	if got := grubtest.Boot(t, m.esp, m.o.Place.Boot); got.Root != r.Root {
		t.Errorf("GRUB starts %q:\n%s", got.Root, got.Screen)
	}
}
