package update_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"griddle/appliance/job"
	"griddle/appliance/setting"
	"griddle/initramfs/bootloader/grubtest"
	"griddle/initramfs/pool"
	"griddle/initramfs/pool/intake/intaketest"
	"griddle/initramfs/pool/pooltest"
	"griddle/initramfs/pool/reset"
	"griddle/initramfs/pool/reset/unit"
	"griddle/initramfs/subvolume"
	"griddle/initramfs/update"
)

// starts has GRUB start the machine.
func (m *machine) starts(t *testing.T, root string, try bool) {
	t.Helper()
	if got := grubtest.Boot(t, m.esp, m.dev+"p3"); got.Root != root || got.Try() != try {
		t.Fatalf("GRUB starts %s with %q, want %s:\n%s", got.Root, got.Args, root, got.Screen)
	}
}

// ready blesses a base, and makes two fresh roots of it, as its system would.
func (m *machine) ready(t *testing.T, base string, from int) {
	t.Helper()
	m.with(t, func(p *pool.Pool) {
		if err := errors.Join(p.Bless(base), reset.First(t.Context(), p, base, 2),
			p.Ready(base, from, from+1)); err != nil {
			t.Fatal(err)
		}
	})
}

// An ordinary machine is reset from an update on, stays so in later ones, and is ordinary again when someone says so.
func TestReset(t *testing.T) {
	all := three(t)
	m := installed(t, pooltest.Loop(t, 1<<30), all[0])
	m.o.Settings = func(context.Context) (setting.Settings, error) {
		return setting.Settings{Keep: []string{"/opt/data"}}, nil
	}
	m.o.Spec.Reset = job.ResetSystem
	before := m.kept(t)
	r, err := m.update(t.Context(), t, all[1])
	if err != nil || r.Root != twoRoot {
		t.Fatalf("Run = %+v, %v", r, err)
	}
	if m.kept(t) != before {
		t.Error("the old root, @home or @persistent has changed")
	}
	m.noMounts(t)
	m.with(t, func(p *pool.Pool) {
		i, err := subvolume.Read(filepath.Join(p.Dir(), "@roots", twoRoot))
		c, err2 := p.Read()
		if err != nil || err2 != nil || !i.ReadOnly || c.Candidate != twoRoot || c.Tries != 1 || len(c.Roots) != 2 ||
			len(c.Fresh) != 1 || c.Takes() != twoRoot+"~1" {
			t.Errorf("the base is %+v, %v, and the pool %+v, %v", i, err, c, err2)
		}
	})
	for name, want := range map[string]string{pool.BaseMarker: "system\n", unit.KeepFile: "/opt/data\n",
		"etc/hostname": "lab-7\n", "etc/version": "2\n"} {
		if got := m.read(t, "@roots/"+twoRoot+"/"+name); got != want {
			t.Errorf("%s of the base is %q, want %q", name, got, want)
		}
	}
	m.starts(t, twoRoot+"~1", true)
	m.ready(t, twoRoot, 2)
	m.starts(t, twoRoot+"~2", false)

	// A person changes what is kept, and something else, and the machine gets the next version.
	m.with(t, func(p *pool.Pool) {
		intaketest.Put(t, p.Dir(), map[string]string{"@roots/" + twoRoot + "~3/opt/data/a": "mine\n",
			"@roots/" + twoRoot + "~3/etc/hostname": "mine\n", "@roots/" + twoRoot + "~3/etc/sudoers.d/x": "mine\n"})
	})
	m.o.Spec.Reset = ""
	if r, err := m.update(t.Context(), t, all[1]); err != nil || !r.Current {
		t.Errorf("Run of the image that runs = %+v, %v", r, err)
	}
	const threeRoot = "web-20261120.3@amd64"
	if r, err := m.update(t.Context(), t, all[2]); err != nil || r.Root != threeRoot {
		t.Fatalf("Run = %+v, %v", r, err)
	}
	for name, want := range map[string]string{"etc/hostname": "lab-7\n", "etc/version": "3\n", "opt/data/a": "mine\n",
		pool.BaseMarker: "system\n"} {
		if got := m.read(t, "@roots/"+threeRoot+"/"+name); got != want {
			t.Errorf("%s of the next base is %q, want %q", name, got, want)
		}
	}
	m.starts(t, threeRoot+"~1", true)
	m.starts(t, twoRoot+"~3", false) // it failed, and the fresh ones of the old base are there
	m.with(t, func(p *pool.Pool) {
		if err := p.Forget(threeRoot); err != nil {
			t.Fatal(err)
		}
		if gone, err := update.Clean(p); err != nil || !strings.Contains(strings.Join(gone, ", "), threeRoot) {
			t.Errorf("Clean = %v, %v", gone, err)
		}
		if c, err := p.Read(); err != nil || len(c.Roots) != 2 || len(c.Fresh) != 1 {
			t.Errorf("after that the pool is %+v, %v", c, err)
		}
	})

	// The same image, and no reset: that is a new root.
	m.o.Spec.Reset = job.ResetNo
	r, err = m.update(t.Context(), t, all[1])
	if err != nil || r.Current || r.Root != twoRoot+".2" {
		t.Fatalf("Run = %+v, %v", r, err)
	}
	m.starts(t, r.Root, true)
	if m.exists(t, "@roots/"+r.Root+"/"+pool.BaseMarker) {
		t.Error("an ordinary root has the marker of a base")
	}
	m.o.Spec.Reset = "often"
	if _, err := m.update(t.Context(), t, all[2]); !errors.Is(err, update.ErrImage) {
		t.Errorf("Run with a word that is not known = %v", err)
	}
}

// exists says whether the pool has a file.
func (m *machine) exists(t *testing.T, name string) (is bool) {
	m.with(t, func(p *pool.Pool) {
		_, err := os.Lstat(filepath.Join(p.Dir(), name))
		is = err == nil
	})
	return is
}

// A machine that is installed so starts a fresh root at its first start, with /home in it.
func TestInstallReset(t *testing.T) {
	one, two := versions(t)
	m := installedAs(t, pooltest.Loop(t, 1<<30), one, job.ResetHome)
	root := "@roots/" + oneRoot
	if fstab := m.read(t, root+"~1/etc/fstab"); strings.Contains(fstab, "/home") ||
		!strings.Contains(fstab, "subvol=/"+root+"~1,") || m.exists(t, "@home") {
		t.Errorf("the table of a fresh root is %q", fstab)
	}
	if got := m.read(t, root+"~1/home/alice/notes"); got != "hers" {
		t.Errorf("/home of a fresh root has %q", got)
	}
	m.starts(t, oneRoot+"~1", false)
	m.starts(t, oneRoot+"~2", false)
	m.starts(t, oneRoot, false)
	m.with(t, func(p *pool.Pool) {
		if c, err := p.Read(); err != nil || c.Good != oneRoot || len(c.Roots) != 1 ||
			c.Roots[0].Reset != job.ResetHome {
			t.Errorf("the pool is %+v, %v", c, err)
		}
	})
	// With /home for all roots again, that is made of the image.
	m.o.Spec.Reset = job.ResetSystem
	if r, err := m.update(t.Context(), t, two); err != nil || r.Root != twoRoot {
		t.Fatalf("Run = %+v, %v", r, err)
	}
	if got := m.read(t, "@home/alice/notes"); got != "of the image" {
		t.Errorf("@home has %q", got)
	}
}
