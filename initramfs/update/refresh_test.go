package update_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"griddle/appliance/setting"
	"griddle/initramfs/pool"
	"griddle/initramfs/pool/intake/intaketest"
	"griddle/initramfs/pool/pooltest"
	"griddle/initramfs/subvolume"
	"griddle/initramfs/update"
)

// waiting is a machine whose new root waits for its first start, and the path where its old one is mounted.
func waiting(t testing.TB, dev string) (m *machine, old string) {
	t.Helper()
	one, two := versions(t)
	m = installed(t, dev, one)
	old = t.TempDir()
	pooltest.Tool(t, "mount", "-o", "subvol=/@roots/"+oneRoot, m.o.Place.Pool, old)
	t.Cleanup(func() { _ = exec.Command("umount", old).Run() })
	intaketest.Put(t, old, map[string]string{"opt/kept/stays": "1\n", "opt/kept/goes": "1\n", "opt/kept/changes": "1\n",
		"opt/other": "1\n", "etc/griddle/health.d/a": "1\n"})
	m.o.Settings = func(context.Context) (setting.Settings, error) {
		return setting.Settings{Hostname: "lab-9", Keep: []string{"/opt/kept"}}, nil
	}
	if r, err := m.update(t.Context(), t, two); err != nil || r.Root != twoRoot {
		t.Fatalf("Run = %+v, %v", r, err)
	}
	return m, old
}

// refresh does what the unit does at a shutdown.
func (m *machine) refresh(t testing.TB) (carried []string, err error) {
	t.Helper()
	m.with(t, func(p *pool.Pool) { carried, err = update.Refresh(t.Context(), p) })
	return carried, err
}

// has compares files of the new root; "" is a file that it must not have.
func (m *machine) has(t testing.TB, files map[string]string) {
	t.Helper()
	m.with(t, func(p *pool.Pool) {
		for name, want := range files {
			b, err := os.ReadFile(filepath.Join(p.Dir(), "@roots", twoRoot, name))
			if got := string(b); got != want || (want == "") != errors.Is(err, os.ErrNotExist) {
				t.Errorf("/%s of the new root is %q, %v, want %q", name, got, err, want)
			}
		}
	})
}

// What people change until the restart is in the new root, which is in all else as the update made it.
func TestRefresh(t *testing.T) {
	m, old := waiting(t, pooltest.Loop(t, 1<<30))
	m.has(t, map[string]string{"opt/kept/stays": "1\n", "opt/kept/goes": "1\n", "opt/other": "",
		"etc/hostname": "lab-9\n"})
	intaketest.Put(t, old, map[string]string{"opt/kept/changes": "2\n", "opt/kept/new": "2\n", "opt/other": "2\n",
		"etc/griddle/health.d/a": "2\n", "root/.ssh/authorized_keys": "a key\n", "etc/version": "of no list\n"})
	pooltest.Tool(t, "rm", old+"/opt/kept/goes")
	pooltest.Tool(t, "btrfs", "subvolume", "create", old+"/opt/kept/inner")
	intaketest.Put(t, old, map[string]string{"opt/kept/inner/file": "2\n"})
	want := map[string]string{"opt/kept/stays": "1\n", "opt/kept/goes": "", "opt/kept/changes": "2\n",
		"opt/kept/new": "2\n", "opt/other": "", "etc/griddle/health.d/a": "2\n", "root/.ssh/authorized_keys": "a key\n",
		"etc/version": "2\n", "etc/hostname": "lab-9\n", "opt/kept/inner/file": ""}
	if carried, err := m.refresh(t); err != nil || len(carried) == 0 {
		t.Fatalf("Refresh = %v, %v", carried, err)
	}
	m.has(t, want)
	c := m.contents(t)
	if r, err := c.Root(twoRoot); err != nil || r.Image != twoRoot || c.Candidate != twoRoot || c.Tries != 1 ||
		len(c.Roots) != 2 {
		t.Errorf("the pool is %+v", c)
	}
	// A second time, after more changes.
	intaketest.Put(t, old, map[string]string{"opt/kept/new": "3\n"})
	want["opt/kept/new"] = "3\n"
	if _, err := m.refresh(t); err != nil {
		t.Error(err)
	}
	m.has(t, want)
	m.with(t, func(p *pool.Pool) {
		left, err := os.ReadDir(filepath.Join(p.Dir(), update.Folder))
		if err != nil || len(left) != 1 {
			t.Errorf("%s has %v, %v", update.Folder, left, err)
		}
	})
	// The next update has the new root as its old one.
	m.with(t, func(p *pool.Pool) {
		if err := p.Bless(twoRoot); err != nil {
			t.Fatal(err)
		}
		if _, err := update.Clean(p); err != nil {
			t.Fatal(err)
		}
	})
	if c := m.contents(t); len(c.Images) != 1 || c.Images[0].Name != twoRoot {
		t.Errorf("the images are %+v", c.Images)
	}
}

// Nothing is done where nothing waits: after a start of the new root, without one, with another one, or in a root
// that was not there when the new one was made.
func TestRefreshNothing(t *testing.T) {
	m, old := waiting(t, pooltest.Loop(t, 1<<30))
	intaketest.Put(t, old, map[string]string{"opt/kept/new": "2\n"})
	check := func(why string) {
		t.Helper()
		before := m.contents(t)
		if carried, err := m.refresh(t); carried != nil || err != nil {
			t.Errorf("%s: Refresh = %v, %v", why, carried, err)
		}
		m.has(t, map[string]string{"opt/kept/new": ""})
		if now := m.contents(t); len(now.Roots) != len(before.Roots) || now.Candidate != before.Candidate {
			t.Errorf("%s: the pool is %+v", why, now)
		}
	}
	m.with(t, func(p *pool.Pool) {
		if _, err := p.CountStart(twoRoot); err != nil {
			t.Fatal(err)
		}
	})
	check("it was started")
	m.with(t, func(p *pool.Pool) {
		if err := errors.Join(p.Forget(twoRoot), subvolume.Snapshot(filepath.Join(p.Dir(), "@roots", twoRoot),
			filepath.Join(p.Dir(), "@roots"), "third"), p.Switch("third")); err != nil {
			t.Fatal(err)
		}
	})
	check("another one waits")
	m.with(t, func(p *pool.Pool) {
		if err := errors.Join(p.Forget("third"), p.Switch(twoRoot)); err != nil {
			t.Fatal(err)
		}
		if err := subvolume.Delete(filepath.Join(p.Dir(), update.Folder), ".old"); err != nil {
			t.Fatal(err)
		}
	})
	check("what was before is lost")
}

// A pool that is full keeps the root that was made.
func TestRefreshWithoutRoom(t *testing.T) {
	m, old := waiting(t, pooltest.Loop(t, 1<<30))
	b := make([]byte, 1<<20)
	for i := range b {
		b[i] = byte(rand.Int())
	}
	intaketest.Put(t, old, map[string]string{"opt/kept/changes": "2\n"})
	m.with(t, func(p *pool.Pool) {
		f, err := os.Create(filepath.Join(p.Dir(), "@home/full"))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		for err == nil {
			_, err = f.Write(b)
		}
	})
	if _, err := m.refresh(t); err != nil {
		t.Logf("without room: %v", err)
		m.has(t, map[string]string{"opt/kept/changes": "1\n"})
	} else {
		m.has(t, map[string]string{"opt/kept/changes": "2\n"}) // clones need no room
	}
	if name := m.contents(t).Candidate; name != twoRoot {
		t.Errorf("the candidate is %s", name)
	}
	m.has(t, map[string]string{"etc/version": "2\n", "etc/hostname": "lab-9\n"})
}

// refreshes does Refresh again and again, and says when it has done one.
func refreshes(place pool.Place) error {
	p, err := pool.Open(place)
	if err != nil {
		return err
	}
	for fmt.Println("begun"); ; {
		if _, err := update.Refresh(context.Background(), p); err != nil {
			return err
		}
	}
}

// A Refresh that is killed anywhere leaves the root that was made before, or the newer one.
func TestRefreshKilled(t *testing.T) {
	m, old := waiting(t, pooltest.Loop(t, 1<<30))
	file := errand{Place: m.o.Place, Refresh: true}.file(t)
	text := ""
	for i := range kills {
		text = fmt.Sprintln("kill", i)
		intaketest.Put(t, old, map[string]string{"opt/kept/changes": text, "root/.ssh/authorized_keys": text})
		cmd, out := begin(t, file)
		time.Sleep(rand.N(300 * time.Millisecond))
		_ = cmd.Process.Kill()
		_, _ = io.Copy(io.Discard, out)
		_ = cmd.Wait()
		m.whole(t)
	}
	if _, err := m.refresh(t); err != nil {
		t.Error(err)
	}
	m.has(t, map[string]string{"opt/kept/changes": text, "root/.ssh/authorized_keys": text})
}

// whole expects a new root that is as the update or a later Refresh made it: two files that changed together are of
// the same one.
func (m *machine) whole(t testing.TB) {
	t.Helper()
	c := m.contents(t)
	if r, err := c.Root(twoRoot); err != nil || !r.Kernel || r.Image != twoRoot || c.Candidate != twoRoot ||
		c.Tries != 1 {
		t.Fatalf("the pool is %+v", c)
	}
	m.has(t, map[string]string{"etc/version": "2\n", "etc/hostname": "lab-9\n"})
	m.with(t, func(p *pool.Pool) {
		root := filepath.Join(p.Dir(), "@roots", twoRoot)
		one, err := os.ReadFile(root + "/opt/kept/changes")
		two, err2 := os.ReadFile(root + "/root/.ssh/authorized_keys")
		if err != nil || string(one) != string(two) && !(string(one) == "1\n" && os.IsNotExist(err2)) {
			t.Fatalf("the new root has %q and %q: %v, %v", one, two, err, err2)
		}
	})
}

// The power goes while Refresh runs.
func TestRefreshPowerCut(t *testing.T) {
	top, img := diskOnBtrfs(t)
	m, old := waiting(t, attach(t, img))
	for i := range powerCuts {
		text := fmt.Sprintln("cut", i)
		intaketest.Put(t, old, map[string]string{"opt/kept/changes": text, "root/.ssh/authorized_keys": text})
		pooltest.Tool(t, "sync", "-f", old)
		cmd, out := begin(t, errand{Place: m.o.Place, Refresh: true}.file(t))
		time.Sleep(rand.N(200 * time.Millisecond))
		pooltest.Tool(t, "cp", "--reflink=always", img, filepath.Join(top, fmt.Sprint(i)))
		_ = cmd.Process.Kill()
		_, _ = io.Copy(io.Discard, out)
		_ = cmd.Wait()
	}
	pooltest.Tool(t, "umount", old)
	dev := m.dev
	for i := range powerCuts {
		cut := &machine{dev: attach(t, filepath.Join(top, fmt.Sprint(i))), esp: m.esp, o: m.o}
		_ = exec.Command("partx", "--add", cut.dev).Run()
		var err error
		if cut.o.Place, err = pool.On(cut.dev); err != nil {
			t.Fatal(err)
		}
		cut.o.Place.ESP = cut.esp
		if i == 0 {
			detach(t, dev) // two disks with one pool are one to the kernel
		}
		cut.whole(t)
		detach(t, cut.dev)
	}
}
