package update_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"griddle/appliance/job"
	"griddle/appliance/setting"
	"griddle/initramfs/pool"
	"griddle/initramfs/pool/history"
	"griddle/initramfs/pool/intake/intaketest"
	"griddle/initramfs/pool/pooltest"
	"griddle/initramfs/update"
)

const (
	oneRoot = "web-20261120.1@amd64"
	twoRoot = "web-20261120.2@amd64"
)

// An update by a delta: the new root has the new image and the identity of the old one, which stays as it is.
func TestUpdate(t *testing.T) {
	one, two := versions(t)
	m := installed(t, pooltest.Loop(t, 1<<30), one)
	before := m.kept(t)
	var have []string
	m.o.Open = func(_ context.Context, h []string) (update.Image, error) { have = h; return two.From(1), nil }
	r, err := m.update(t.Context(), t, two)
	if err != nil || r != (update.Result{Root: twoRoot}) {
		t.Fatalf("Run = %+v, %v", r, err)
	}
	if want := []string{one.Infos[0].UUID.String()}; !slices.Equal(have, want) {
		t.Errorf("the pool had %v, want %v", have, want)
	}
	if m.kept(t) != before {
		t.Error("the old root, @home or @persistent has changed")
	}
	m.noMounts(t)
	c := m.contents(t)
	if c.Good != oneRoot || c.Candidate != twoRoot || c.Tries != 1 || len(c.Roots) != 2 {
		t.Errorf("the pool is %+v", c)
	}
	root, old := "@roots/"+twoRoot+"/", "@roots/"+oneRoot+"/"
	for name, want := range map[string]string{
		"etc/version": "2\n", "etc/hostname": "lab-7\n", "etc/machine-id": m.read(t, old+"etc/machine-id"),
		"etc/ssh/ssh_host_ed25519_key": m.read(t, old+"etc/ssh/ssh_host_ed25519_key"),
		"etc/fstab":                    strings.ReplaceAll(m.read(t, old+"etc/fstab"), oneRoot, twoRoot),
		"usr/lib/griddle/image":        "web:20261120.2@amd64\n", "usr/lib/griddle/griddle-agent": "the agent\n",
	} {
		if got := m.read(t, root+name); got != want {
			t.Errorf("%s = %q, want %q", name, got, want)
		}
	}
	m.with(t, func(p *pool.Pool) {
		for _, dir := range []string{update.Folder, "@roots/" + twoRoot + "/home"} {
			if left, err := os.ReadDir(filepath.Join(p.Dir(), dir)); err != nil || len(left) > 0 {
				t.Errorf("%s has %v, %v", dir, left, err)
			}
		}
	})
	checkEvents(t, m)

	// The same once more, after it proved itself: nothing is made.
	m.with(t, func(p *pool.Pool) {
		if err := p.Bless(twoRoot); err != nil {
			t.Fatal(err)
		}
	})
	if r, err = m.update(t.Context(), t, two); err != nil || r != (update.Result{Root: twoRoot, Current: true}) {
		t.Errorf("Run of the image that runs = %+v, %v", r, err)
	}
	if c := m.contents(t); len(c.Roots) != 2 || c.Candidate != "" {
		t.Errorf("the pool is %+v", c)
	}
}

func checkEvents(t *testing.T, m *machine) {
	t.Helper()
	var phases []job.Phase
	for _, e := range m.seen {
		if !slices.Contains(phases, e.Phase) {
			phases = append(phases, e.Phase)
		}
		if e.Job != updateJob || e.State != "" {
			t.Errorf("event %+v", e)
		}
		if e.Level == job.Warning {
			t.Errorf("warning: %s", e.Message)
		}
	}
	if want := job.UpdatePhases[1:]; !slices.Equal(phases, want) {
		t.Errorf("the phases are %v, want %v", phases, want)
	}
	m.with(t, func(p *pool.Pool) {
		dir, err := os.OpenRoot(filepath.Join(p.Dir(), "@persistent/griddle"))
		if err != nil {
			t.Fatal(err)
		}
		defer dir.Close()
		all, err := history.Read(dir)
		if err != nil || len(all) != 2 || all[0].Kind != history.Made || all[0].Root != twoRoot ||
			all[0].Image != twoRoot || all[1].Kind != history.Switched || all[1].Root != twoRoot {
			t.Errorf("the history is %+v, %v", all, err)
		}
	})
}

// An image without a kernel gets that of a kernel image, which the pool keeps.
func TestKernel(t *testing.T) {
	one, _ := versions(t)
	m := installed(t, pooltest.Loop(t, 1<<30), one)
	const release = "6.1.0-56-amd64"
	bare := renamed{intaketest.Publish(t, func(dir string) {
		intaketest.Put(t, dir, map[string]string{"etc/version": "2\n", "etc/passwd": "root:x:0:0:root:/root:/bin/sh\n",
			"etc/group":               "root:x:0:\n",
			"usr/lib/systemd/systemd": "process 1", "sbin/init": "-> ../usr/lib/systemd/systemd"})
	})[0], "web:20261120.2@amd64", 0}
	kernel := renamed{intaketest.Publish(t, func(dir string) {
		intaketest.Put(t, dir, map[string]string{"boot/vmlinuz-" + release: "a newer kernel",
			"boot/initrd.img-" + release: "an initrd", "usr/lib/modules/" + release + "/modules.dep": "",
			"usr/lib/modules/" + release + "/kernel/x.ko": "a module"})
	})[0], "griddle/kernel:6.1.187@amd64", 0}
	if _, err := m.update(t.Context(), t, bare); !errors.Is(err, update.ErrImage) {
		t.Errorf("Run without a kernel image = %v", err)
	}
	m.o.Spec.Kernel = job.Image{Ref: kernel.ref}
	m.o.Kernel = func(context.Context, []string) (update.Image, error) { return kernel, nil }
	if r, err := m.update(t.Context(), t, bare); err != nil || r.Root != twoRoot {
		t.Fatalf("Run = %+v, %v", r, err)
	}
	root := "@roots/" + twoRoot + "/"
	for name, want := range map[string]string{"boot/vmlinuz-" + release: "a newer kernel", "etc/version": "2\n",
		"usr/lib/modules/" + release + "/kernel/x.ko": "a module"} {
		if got := m.read(t, root+name); got != want {
			t.Errorf("%s = %q, want %q", name, got, want)
		}
	}
	m.with(t, func(p *pool.Pool) {
		if err := errors.Join(p.Bless(oneRoot), p.Bless(twoRoot)); err != nil {
			t.Fatal(err)
		}
		if gone, err := update.Clean(p); err != nil || len(gone) != 1 || gone[0] != "the image "+oneRoot {
			t.Errorf("Clean = %v, %v", gone, err)
		}
	})
}

// Settings win over what is carried, and say what else is kept.
func TestSettings(t *testing.T) {
	one, two := versions(t)
	m := installed(t, pooltest.Loop(t, 1<<30), one)
	m.with(t, func(p *pool.Pool) {
		intaketest.Put(t, p.Dir(), map[string]string{"@roots/" + oneRoot + "/opt/data/a": "a\n",
			"@roots/" + oneRoot + "/opt/scratch": "b\n"})
	})
	m.o.Settings = func(context.Context) (setting.Settings, error) {
		return setting.Settings{Hostname: "lab-9", Keep: []string{"/opt/data"}}, nil
	}
	if r, err := m.update(t.Context(), t, two); err != nil || r.Root != twoRoot {
		t.Fatalf("Run = %+v, %v", r, err)
	}
	for name, want := range map[string]string{"etc/hostname": "lab-9\n", "opt/data/a": "a\n"} {
		if got := m.read(t, "@roots/"+twoRoot+"/"+name); got != want {
			t.Errorf("%s = %q, want %q", name, got, want)
		}
	}
	m.with(t, func(p *pool.Pool) {
		if _, err := os.Lstat(filepath.Join(p.Dir(), "@roots", twoRoot, "opt/scratch")); !os.IsNotExist(err) {
			t.Errorf("what no one keeps: %v", err)
		}
	})
}

// Nothing but the image is in the pool after Prepare, and the next Run receives nothing.
func TestPrepare(t *testing.T) {
	one, two := versions(t)
	m := installed(t, pooltest.Loop(t, 1<<30), one)
	m.o.Prepare = true
	if r, err := m.update(t.Context(), t, two); err != nil || r != (update.Result{}) {
		t.Fatalf("Run = %+v, %v", r, err)
	}
	c := m.contents(t)
	if len(c.Roots) != 1 || len(c.Images) != 2 || c.Candidate != "" {
		t.Errorf("the pool is %+v", c)
	}
	m.with(t, func(p *pool.Pool) {
		at, other := filepath.Join(p.Dir(), "@images", twoRoot), filepath.Join(p.Dir(), "@images", twoRoot+".2")
		for _, move := range [][2]string{{at, other}, {other, at}} { // under the name that it gets where one is taken
			if err := os.Rename(move[0], move[1]); err != nil {
				t.Fatal(err)
			}
			if gone, err := update.Clean(p, two.Ref()); err != nil || len(gone) > 0 {
				t.Errorf("Clean of an image that waits = %v, %v", gone, err)
			}
		}
	})
	m.o.Prepare, m.seen = false, nil
	// What is changed meanwhile is in the new root.
	m.with(t, func(p *pool.Pool) {
		if err := os.WriteFile(filepath.Join(p.Dir(), "@roots", oneRoot, "etc/hostname"), []byte("lab-8\n"),
			0o644); err != nil {
			t.Fatal(err)
		}
	})
	if r, err := m.update(t.Context(), t, two); err != nil || r.Root != twoRoot {
		t.Fatalf("Run = %+v, %v", r, err)
	}
	for _, e := range m.seen {
		if e.Phase == job.PhaseReceive {
			t.Errorf("it is received again: %+v", e)
		}
	}
	if got := m.read(t, "@roots/"+twoRoot+"/etc/hostname"); got != "lab-8\n" {
		t.Errorf("the hostname is %q", got)
	}
}

// A root in use is copied as it is at one time, and a root with subvolumes in it is read itself.
func TestOldRootInUse(t *testing.T) {
	one, two := versions(t)
	for _, inner := range []bool{false, true} {
		m := installed(t, pooltest.Loop(t, 1<<30), one)
		at := t.TempDir()
		pooltest.Tool(t, "mount", "-o", "subvol=/@roots/"+oneRoot, m.o.Place.Pool, at)
		if inner {
			pooltest.Tool(t, "btrfs", "subvolume", "create", at+"/srv")
		}
		_, err := m.update(t.Context(), t, two)
		if inner {
			pooltest.Tool(t, "btrfs", "subvolume", "delete", at+"/srv")
		}
		pooltest.Tool(t, "umount", at)
		if err != nil {
			t.Errorf("with a subvolume in it: %v: Run = %v", inner, err)
			continue
		}
		if got := m.read(t, "@roots/"+twoRoot+"/etc/hostname"); got != "lab-7\n" {
			t.Errorf("the hostname is %q", got)
		}
		m.with(t, func(p *pool.Pool) {
			left, err := os.ReadDir(filepath.Join(p.Dir(), update.Folder))
			if err != nil || len(left) != 1 || left[0].Name() != ".old" { // for Refresh
				t.Errorf("%s has %v, %v", update.Folder, left, err)
			}
		})
	}
}

// TestStopped stops an update in each phase: the machine boots what it booted, and the next update succeeds.
func TestStopped(t *testing.T) {
	one, two := versions(t)
	m := installed(t, pooltest.Loop(t, 1<<30), one)
	before, back := m.kept(t), errors.New("taken back")
	for _, phase := range []job.Phase{job.PhaseCheck, job.PhaseReceive, job.PhaseVerify, job.PhaseBootable} {
		ctx, cancel := context.WithCancelCause(t.Context())
		m.on = func(e job.Event) {
			if e.Phase == phase {
				cancel(back)
			}
		}
		if r, err := m.update(ctx, t, two); !errors.Is(err, back) || r != (update.Result{}) {
			t.Errorf("Run stopped in %s = %+v, %v", phase, r, err)
		}
		cancel(nil)
		if c := m.contents(t); len(c.Roots) != 1 || c.Candidate != "" || c.Boots != oneRoot {
			t.Errorf("stopped in %s the pool is %+v", phase, c)
		}
		if m.kept(t) != before {
			t.Errorf("stopped in %s the old root, @home or @persistent has changed", phase)
		}
		m.noMounts(t)
	}
	m.on = nil
	if r, err := m.update(t.Context(), t, two); err != nil || r.Root != twoRoot {
		t.Errorf("Run after that = %+v, %v", r, err)
	}
}

// An image is tried again under its own name if its root never proved itself, and else under another one.
func TestAgain(t *testing.T) {
	one, two := versions(t)
	m := installed(t, pooltest.Loop(t, 1<<30), one)
	for _, want := range []string{twoRoot, twoRoot + ".2", twoRoot} {
		if r, err := m.update(t.Context(), t, two); err != nil || r.Root != want {
			t.Fatalf("Run = %+v, %v, want %s", r, err, want)
		}
	}
}

// What the settings keep is in the new root.
func TestKeep(t *testing.T) {
	one, two := versions(t)
	m := installed(t, pooltest.Loop(t, 1<<30), one)
	m.with(t, func(p *pool.Pool) {
		pooltest.Put(t, filepath.Join(p.Dir(), "@roots", oneRoot), map[string]string{"srv/notes": "hers\n"})
	})
	m.o.Settings = func(context.Context) (setting.Settings, error) {
		return setting.Settings{Keep: []string{"/srv"}}, nil
	}
	if _, err := m.update(t.Context(), t, two); err != nil {
		t.Fatal(err)
	}
	if got := m.read(t, "@roots/"+twoRoot+"/srv/notes"); got != "hers\n" {
		t.Errorf("the notes are %q", got)
	}
}
