package pool

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"griddle/initramfs/bootloader"
	"griddle/initramfs/bootloader/bootenv"
	"griddle/initramfs/bootloader/grubtest"
	"griddle/initramfs/pool/pooltest"
	"griddle/initramfs/subvolume"
)

// agree has GRUB start the machine, and reports the root, which must be the one that Read expects.
func agree(t *testing.T, p *Pool, dev string) grubtest.Started {
	t.Helper()
	if err := subvolume.Sync(p.dir); err != nil {
		t.Fatal(err)
	}
	c, err := p.Read()
	if err != nil || c.NoBoots != nil {
		t.Fatal(err, c.NoBoots)
	}
	got := grubtest.Boot(t, p.esp, dev)
	if got.Root != c.Boots || got.Try() != (c.Boots == c.Candidate) {
		t.Fatalf("GRUB starts %q, and Read says %q of %+v:\n%s", got.Root, c.Boots, c, got.Screen)
	}
	return got
}

// withInitrd is installed, with roots whose kernels have an initrd: grubtest ends when GRUB loads it.
func withInitrd(t *testing.T) (p *Pool, dev string) {
	t.Helper()
	p, dev = installed(t)
	for _, name := range []string{"one@amd64", "two@amd64"} {
		put(t, p.dir, map[string]string{"@roots/" + name + "/boot/initrd.img-6.1.0": "an initrd"})
	}
	return p, dev
}

// GRUB itself starts what was switched to, and what Read says: an update that succeeds, one that fails, a rollback.
func TestGRUBAgrees(t *testing.T) {
	p, dev := withInitrd(t)
	for _, name := range []string{"one@amd64", "two@amd64"} {
		put(t, p.dir, map[string]string{"@roots/" + name + "/etc/systemd/system/" + blessing: "[Unit]\n"})
	}
	do := func(errs ...error) {
		t.Helper()
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
	}
	want := func(root string, try bool) {
		t.Helper()
		if got := agree(t, p, dev); got.Root != root || got.Try() != try {
			t.Errorf("GRUB starts %s with %q, want %s", got.Root, got.Args, root)
		}
	}
	want("one@amd64", false)
	do(p.Bless("one@amd64"), p.Switch("two@amd64"))
	want("two@amd64", true)
	if failed, err := p.Failed(); failed != "two@amd64" || err != nil {
		t.Errorf("Failed = %q, %v", failed, err)
	}
	want("one@amd64", false) // it did not come up
	do(p.Forget("two@amd64"), p.Switch("two@amd64"))
	want("two@amd64", true)
	do(p.Bless("two@amd64"))
	want("two@amd64", false)
	do(p.Boot("one@amd64"))
	want("one@amd64", true)
	want("one@amd64", true)
	want("two@amd64", false)
	// Both copies are lost: the marker that is newest counts.
	old := time.Now().Add(-time.Hour)
	do(os.Chtimes(filepath.Join(p.dir, roots, "one@amd64", Marker), old, old))
	for _, name := range bootenv.Names {
		do(os.Truncate(filepath.Join(p.esp, bootenv.Folder, name), 0))
	}
	want("two@amd64", false)
	do(os.Remove(filepath.Join(p.dir, roots, "two@amd64", Marker)))
	want("one@amd64", false)
	do(os.Remove(filepath.Join(p.dir, roots, "one@amd64", Marker)))
	want("one@amd64", false) // which grub.cfg names
	// Read knows no good root, and a switch makes one of that which boots.
	do(p.Switch("two@amd64"))
	switched := bootenv.Env{Good: "one@amd64", Candidate: "two@amd64", Tries: 1}
	if e, err := bootenv.Read(p.esp); err != nil || e != switched {
		t.Errorf("grubenv is %+v, %v", e, err)
	}
	want("two@amd64", true)
	do(subvolume.Delete(p.dir+"/@roots/two@amd64", "var"), subvolume.Delete(p.dir+"/@roots", "two@amd64"))
	want("one@amd64", false)
}

// old makes a pool one of an earlier version.
func old(t *testing.T, p *Pool) {
	t.Helper()
	pooltest.Old(t, pooltest.Made{ESP: p.esp, ID: poolID})
}

// A pool of an earlier version is read as it was, and the first change of any kind makes it one of this version that
// boots the same root with the same arguments.
func TestOldPool(t *testing.T) {
	args := []string{"net.ifnames=0", "quoted=its $HOME; {!}"}
	for name, c := range map[string]struct {
		change func(p *Pool) error
		want   bootenv.Env
	}{
		"Switch": {func(p *Pool) error { return p.Switch("two@amd64") },
			bootenv.Env{Good: "one@amd64", Candidate: "two@amd64", Tries: 1}},
		"Boot":          {func(p *Pool) error { return p.Boot("two@amd64") }, bootenv.Env{Good: "two@amd64"}},
		"Boot the same": {func(p *Pool) error { return p.Boot("one@amd64") }, bootenv.Env{Good: "one@amd64"}},
		"Bless":         {func(p *Pool) error { return p.Bless("one@amd64") }, bootenv.Env{Good: "one@amd64"}},
		"Convert":       {(*Pool).Convert, bootenv.Env{Good: "one@amd64"}},
		"Bootloader": {func(p *Pool) error {
			dev, images := loop(t, 8<<20), t.TempDir()
			p.place.Disk, p.place.SectorSize, p.place.BIOS = dev, 512, Extent{1 << 20, 1 << 20}
			err := bootloader.BuildGRUB(t.Context(), images, bootloader.BuildOptions{})
			return errors.Join(err, p.Bootloader(os.DirFS(images), false))
		}, bootenv.Env{Good: "one@amd64"}},
	} {
		t.Run(name, func(t *testing.T) {
			p, dev := withInitrd(t)
			old(t, p)
			// What a program of this version left there does not count for the old grub.cfg.
			if name == "Bootloader" || name == "Convert" {
				left := bootenv.Env{Good: "two@amd64", Candidate: "two@amd64", Tries: 3}
				if err := bootenv.Write(p.esp, left); err != nil {
					t.Fatal(err)
				}
			}
			before := agree(t, p, dev)
			c0, err := p.Read()
			if err != nil || c0.Good != "one@amd64" || c0.Candidate != "" || before.Root != "one@amd64" {
				t.Errorf("Read = %+v, %v", c0, err)
			}
			if err := p.Forget("two@amd64"); err != nil {
				t.Error(err)
			}
			if err := c.change(p); err != nil {
				t.Fatal(err)
			}
			conf, err := bootloader.ReadConfig(p.esp)
			if err != nil || conf.Old || conf.Root != "@roots/one@amd64" || conf.PoolID != poolID ||
				!slices.Equal(conf.Args, args) {
				t.Errorf("grub.cfg = %+v, %v", conf, err)
			}
			if e, err := bootenv.Read(p.esp); err != nil || e != c.want {
				t.Errorf("grubenv = %+v, %v, want %+v", e, err, c.want)
			}
			if after := agree(t, p, dev); !slices.Equal(after.Args[len(after.Args)-2:], args) {
				t.Errorf("GRUB gives %q, want it to end in %q", after.Args, args)
			}
		})
	}
}

// A conversion that is interrupted leaves the old way, by which the old root boots, or the new one.
func TestConversionIsKilled(t *testing.T) {
	p, dev := withInitrd(t)
	old(t, p)
	c, err := p.Read()
	if err != nil {
		t.Fatal(err)
	}
	if err := bootenv.Write(p.esp, bootenv.Env{Good: c.Good}); err != nil { // and here the power fails
		t.Fatal(err)
	}
	if got := agree(t, p, dev); got.Root != "one@amd64" {
		t.Errorf("%s boots", got.Root)
	}
	if err := p.convert(c); err != nil { // and here again
		t.Fatal(err)
	}
	if got := agree(t, p, dev); got.Root != "one@amd64" || got.Try() {
		t.Errorf("%s boots", got.Root)
	}
}

func TestNextStarts(t *testing.T) {
	conf := bootloader.Config{Root: "@roots/one"}
	one, two := Root{Name: "one", Kernel: true}, Root{Name: "two", Kernel: true}
	bare := Root{Name: "bare"}
	for _, c := range []struct {
		c           Contents
		next, state string // of all, and of the first root
	}{
		{Contents{Roots: []Root{one, two}, Good: "one", conf: conf}, "From the next start on, one boots.", "boots"},
		{Contents{Roots: []Root{two, one}, Good: "one", Candidate: "two", Tries: 1, conf: conf},
			"The next start tries two. If it does not prove itself, one boots again.", "boots"},
		{Contents{Roots: []Root{two, one}, Good: "one", Candidate: "two", Tries: 2, conf: conf},
			"The next 2 starts try two. If it does not prove itself, one boots again.", "boots"},
		{Contents{Roots: []Root{two, one}, Good: "one", Candidate: "two", conf: conf},
			"From the next start on, one boots.", "failed"},
		{Contents{Roots: []Root{{Name: "two", Kernel: true, Runs: true, InUse: true, Good: true}, one}, Good: "one",
			Candidate: "two", conf: conf}, "From the next start on, one boots.", "runs, good"},
		{Contents{Roots: []Root{two}, Candidate: "two", Tries: 1, conf: conf},
			"The next start tries two. There is no other root to start.", "boots"},
		{Contents{Roots: []Root{bare}, Good: "bare", conf: conf},
			"Which root boots is not known: the roots that GRUB would start have no kernel", "no kernel"},
		{Contents{Roots: []Root{bare}, Good: "bare", conf: bootloader.Config{Root: "@roots/bare", Old: true}},
			"From the next start on, bare boots.", "boots, no kernel"},
	} {
		c.c.setBoots()
		if got := c.c.NextStarts(); got != c.next {
			t.Errorf("NextStarts of %+v = %q, want %q", c.c, got, c.next)
		}
		if got := c.c.Roots[0].State(); got != c.state {
			t.Errorf("the state of %+v is %q, want %q", c.c.Roots[0], got, c.state)
		}
	}
}
