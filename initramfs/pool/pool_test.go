package pool

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"griddle/initramfs/bootloader/bootenv"
	"griddle/initramfs/pool/pooltest"
	"griddle/initramfs/subvolume"
)

func TestRead(t *testing.T) {
	p, _ := installed(t)
	c, err := p.Read()
	if err != nil {
		t.Fatal(err)
	}
	one, _ := c.Root("one@amd64")
	two, _ := c.Root("two@amd64")
	bare, _ := c.Root("bare")
	if len(c.Roots) != 3 || c.Boots != "one@amd64" || c.NoBoots != nil || c.Size < 400<<20 || c.Free <= 0 {
		t.Errorf("Read = %+v", c)
	}
	if !one.Boots || one.Image != "one@amd64" || !one.Kernel || one.Runs || one.InUse ||
		time.Since(one.Created) > time.Hour {
		t.Errorf("root one = %+v", one)
	}
	if two.Boots || !slices.Equal(two.Inner, []string{"var"}) || bare.Kernel || bare.Image != "" {
		t.Errorf("root two = %+v, bare = %+v", two, bare)
	}
	if i, err := c.Image("one@amd64"); err != nil || !slices.Equal(i.Roots, []string{"one@amd64", "two@amd64"}) {
		t.Errorf("image one = %+v, %v", i, err)
	}
}

func TestDelete(t *testing.T) {
	p, _ := installed(t)
	parts := []string{"@roots/one@amd64", "@roots/bare", "@home", "@persistent"}
	before := map[string]string{}
	for _, name := range parts {
		before[name] = pooltest.Tree(t, p.dir+"/"+name)
	}
	if err := p.DeleteRoot("one@amd64"); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "that boots") {
		t.Errorf("deleting the root that boots: %v", err)
	}
	if err := p.DeleteRoot("three"); !errors.Is(err, ErrUnknown) {
		t.Errorf("deleting a root that does not exist: %v", err)
	}
	if err := p.DeleteRoot("two@amd64"); err != nil {
		t.Fatal(err)
	}
	if err := p.DeleteImage("one@amd64"); err != nil {
		t.Fatal(err)
	}
	c, err := p.Read()
	if err != nil || len(c.Roots) != 2 || len(c.Images) != 0 {
		t.Errorf("left are %+v, %v", c, err)
	}
	for _, name := range parts {
		if now := pooltest.Tree(t, p.dir+"/"+name); now != before[name] {
			t.Errorf("%s has changed:\n%s\nwas\n%s", name, now, before[name])
		}
	}
	if err := p.DeleteRoot("bare"); err != nil {
		t.Fatal(err)
	}
	// The last root is the good one that boots, until the files say otherwise.
	c, _ = p.Read()
	c.Roots[0].Boots, c.Good = false, ""
	if err := c.MayDelete(c.Roots[0]); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "last root") {
		t.Errorf("deleting the last root: %v", err)
	}
}

// What is mounted is not deleted, and what is mounted on / is the root that runs.
func TestRunningRootStays(t *testing.T) {
	p, dev := installed(t)
	running := t.TempDir()
	tool(t, "mount", "-o", "subvol=@roots/two@amd64", dev, running)
	defer tool(t, "umount", running)
	if err := p.DeleteRoot("two@amd64"); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "mounted") {
		t.Errorf("deleting a mounted root: %v", err)
	}
	if c, _ := p.Read(); len(c.Roots) != 3 {
		t.Fatalf("left are %+v", c.Roots)
	}
	c := Contents{Roots: []Root{{Name: "a", Runs: true, InUse: true}, {Name: "b", Boots: true}}}
	if err := c.MayDelete(c.Roots[0]); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "that runs") {
		t.Errorf("deleting the root that runs: %v", err)
	}
}

func TestBoot(t *testing.T) {
	p, _ := installed(t)
	conf, err := os.ReadFile(p.esp + "/griddle/grub.cfg")
	if err != nil {
		t.Fatal(err)
	}
	before := pooltest.Tree(t, p.dir)
	if err := p.Boot("two@amd64"); err != nil {
		t.Fatal(err)
	}
	if now := pooltest.Tree(t, p.dir); now != before {
		t.Error("the pool has changed")
	}
	if now, err := os.ReadFile(p.esp + "/griddle/grub.cfg"); err != nil || string(now) != string(conf) {
		t.Errorf("grub.cfg has changed: %v", err)
	}
	// It cannot prove itself, so it needs not to.
	if c, _ := p.Read(); c.Boots != "two@amd64" || c.Good != "two@amd64" || c.Candidate != "" {
		t.Errorf("%s boots: %+v", c.Boots, c)
	}
	for name, want := range map[string]error{"bare": ErrRefused, "three": ErrUnknown} {
		if err := p.Boot(name); !errors.Is(err, want) {
			t.Errorf("Boot(%s) = %v, want %v", name, err, want)
		}
	}
}

// A root that can prove itself is tried: once, or twice if it proved itself before.
func TestBootTries(t *testing.T) {
	p, _ := installed(t)
	for _, name := range []string{"one@amd64", "two@amd64"} {
		put(t, p.dir, map[string]string{"@roots/" + name + "/etc/systemd/system/" + blessing: "[Unit]\n"})
	}
	is := func(want bootenv.Env, boots string) {
		t.Helper()
		c, err := p.Read()
		got := bootenv.Env{Good: c.Good, Candidate: c.Candidate, Tries: c.Tries}
		if err != nil || got != want || c.Boots != boots {
			t.Fatalf("%s boots by %+v, %v, want %s by %+v", c.Boots, got, err, boots, want)
		}
	}
	boot := func(name string) {
		t.Helper()
		if err := p.Boot(name); err != nil {
			t.Fatal(err)
		}
	}
	boot("two@amd64")
	is(bootenv.Env{Good: "one@amd64", Candidate: "two@amd64", Tries: 1}, "two@amd64")
	if err := p.DeleteRoot("two@amd64"); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "is tried") {
		t.Errorf("deleting the candidate: %v", err)
	}
	if err := p.DeleteRoot("one@amd64"); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "good root") {
		t.Errorf("deleting the good root: %v", err)
	}
	boot("one@amd64")
	is(bootenv.Env{Good: "one@amd64"}, "one@amd64")
	boot("two@amd64")
	started(t, p)
	is(bootenv.Env{Good: "one@amd64", Candidate: "two@amd64"}, "one@amd64")
	if err := errors.Join(p.Bless("one@amd64"), p.Bless("two@amd64")); err != nil {
		t.Fatal(err)
	}
	is(bootenv.Env{Good: "two@amd64"}, "two@amd64")
	boot("one@amd64")
	is(bootenv.Env{Good: "two@amd64", Candidate: "one@amd64", Tries: 2}, "one@amd64")
	// The good root is gone: the one that GRUB takes in its place is kept as such.
	if err := subvolume.Delete(p.dir+"/@roots", "two@amd64"); err != nil {
		t.Fatal(err)
	}
	is(bootenv.Env{Good: "two@amd64", Candidate: "one@amd64", Tries: 2}, "one@amd64")
	boot("one@amd64")
	is(bootenv.Env{Good: "one@amd64"}, "one@amd64")
}

// Without grub.cfg it is not known which root boots: none is deleted, and none is made to boot.
func TestWithoutConfig(t *testing.T) {
	p, _ := installed(t)
	for _, text := range []string{"", "menuentry 'x' --id griddle {\n linux \"$kernel\" root=UUID=x\n"} {
		put(t, p.esp, map[string]string{"griddle/grub.cfg": text})
		c, err := p.Read()
		if err != nil || c.NoBoots == nil {
			t.Errorf("Read with the grub.cfg %q: %+v, %v", text, c.NoBoots, err)
		}
		if err := p.DeleteRoot("two@amd64"); !errors.Is(err, ErrRefused) {
			t.Errorf("DeleteRoot = %v", err)
		}
		if err := p.Boot("two@amd64"); err == nil {
			t.Error("Boot changed a grub.cfg that it cannot read")
		}
	}
}

func TestHostilePool(t *testing.T) {
	p, _ := installed(t)
	odd := "a\x1b[2J\n\xff"
	tool(t, "btrfs", "subvolume", "create", p.dir+"/@roots/"+odd)
	for name, target := range map[string]string{"link": "../@home", "absolute": "/etc"} {
		if err := os.Symlink(target, filepath.Join(p.dir, roots, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(p.dir, roots, "folder"), 0o755); err != nil {
		t.Fatal(err)
	}
	home := pooltest.Tree(t, p.dir+"/@home")
	c, err := p.Read()
	if err != nil || len(c.Roots) != 4 {
		t.Fatalf("Read = %+v, %v", c.Roots, err)
	}
	for _, name := range []string{"link", "absolute", "folder", "../@home", "", ".", ".."} {
		if err := p.DeleteRoot(name); !errors.Is(err, ErrUnknown) {
			t.Errorf("DeleteRoot(%q) = %v, want ErrUnknown", name, err)
		}
	}
	if Label(odd) != `"a\x1b[2J\n\xff"` {
		t.Errorf("Label = %s", Label(odd))
	}
	if err := p.DeleteRoot(Label(odd)); err != nil {
		t.Error(err)
	}
	if now := pooltest.Tree(t, p.dir+"/@home"); now != home {
		t.Error("@home has changed")
	}
	if err := os.Rename(filepath.Join(p.dir, roots), filepath.Join(p.dir, "aside")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/etc", filepath.Join(p.dir, roots)); err != nil {
		t.Fatal(err)
	}
	if c, err := p.Read(); err == nil {
		t.Errorf("Read through a symlink = %+v", c)
	}
}

func TestManyRoots(t *testing.T) { readMany(t, 300) }

// readMany reads a pool with n roots more.
func readMany(t *testing.T, n int) {
	t.Helper()
	p, _ := installed(t)
	for i := range n {
		if err := subvolume.Snapshot(p.dir+"/@images/one@amd64", p.dir+"/@roots", fmt.Sprint("r", i)); err != nil {
			t.Fatal(err)
		}
	}
	begun := time.Now()
	c, err := p.Read()
	if err != nil || len(c.Roots) != n+3 {
		t.Errorf("Read lists %d roots, %v", len(c.Roots), err)
	}
	t.Logf("%d roots are read in %s", n, time.Since(begun))
}
