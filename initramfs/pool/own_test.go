package pool

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"griddle/initramfs/bootloader"
	"griddle/initramfs/bootloader/bootenv"
	"griddle/initramfs/disk/disktest"
	"griddle/initramfs/pool/pooltest"
)

// ownPlace is a machine whose roots are partitions: root-a, which boots, root-b, and root-c, whose partition is lost.
func ownPlace(t *testing.T) Place {
	t.Helper()
	place := Place{Job: pooltest.Job, ESP: t.TempDir(), PoolID: ownUUID + "f"}
	for i, kind := range []string{"ext4", "xfs", "ext4"} {
		dev, dir := disktest.Loop(t, 320<<20, 512), t.TempDir()
		disktest.Tool(t, "mkfs."+kind, "-q", dev)
		disktest.Tool(t, "mount", dev, dir)
		name := "root-" + string(rune('a'+i))
		if i == 2 {
			pooltest.Put(t, dir, map[string]string{"@persistent/griddle/seen": "7", "@roots/.keep": ""})
			place.Pool = dev
		} else {
			pooltest.Put(t, dir, map[string]string{"boot/vmlinuz-6.1.0": "a kernel",
				"usr/lib/griddle/image": "web:1@amd64\n", "etc/systemd/system/" + blessing: "a unit"})
			place.Own = append(place.Own, Own{OwnRoot: bootloader.OwnRoot{Name: name, UUID: ownUUID + string(name[5])},
				Filesystem: kind, Node: dev})
		}
		disktest.Tool(t, "umount", dir)
	}
	place.Own = append(place.Own, Own{OwnRoot: bootloader.OwnRoot{Name: "root-c", UUID: ownUUID + "c"}})
	conf := place.Config(bootloader.Config{PoolID: place.PoolID, Root: "@roots/root-a", Own: place.own()}, place.Job)
	if err := errors.Join(bootenv.Write(place.ESP, bootenv.Env{Good: "root-a"}),
		bootloader.WriteConfig(place.ESP, conf)); err != nil {
		t.Fatal(err)
	}
	return place
}

// What a machine does with the roots of a pool it does with those that are partitions.
func TestOwnRoots(t *testing.T) {
	place := ownPlace(t)
	p, err := Open(place)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	}()
	read := func() Contents {
		c, err := p.Read()
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	c := read()
	var names []string
	for _, r := range c.Roots {
		names = append(names, r.Name)
		if !r.Own || !r.Kernel || r.Runs || r.InUse || r.Created.IsZero() {
			t.Errorf("a root is %+v", r)
		}
	}
	slices.Sort(names)
	if !slices.Equal(names, []string{"root-a", "root-b"}) || c.Boots != "root-a" || c.NoBoots != nil ||
		len(c.Images) != 0 || c.Size == 0 {
		t.Errorf("the pool has %v and %+v", names, c)
	}
	if err := p.Switch("root-c"); !errors.Is(err, ErrUnknown) {
		t.Errorf("Switch to a root that is lost = %v", err)
	}
	if err := p.Switch("root-b"); err != nil {
		t.Fatal(err)
	}
	if c := read(); c.Boots != "root-b" || c.Candidate != "root-b" || c.Good != "root-a" || c.Tries != 1 {
		t.Errorf("after the switch %+v", c)
	}
	if err := p.Bless("root-b"); err != nil {
		t.Fatal(err)
	}
	if c := read(); c.Boots != "root-b" || c.Candidate != "" || c.Good != "root-b" {
		t.Errorf("after the blessing %+v", c)
	}
	for _, name := range []string{"root-a", "root-b"} { // that of before counts as proved, too
		if _, err := os.Lstat(filepath.Join(p.RootDir(name), Marker)); err != nil {
			t.Error(err)
		}
	}
	if err := p.Boot("root-a"); err != nil {
		t.Fatal(err)
	}
	if c := read(); c.Boots != "root-a" || c.Tries != provenTries || c.provedLast() != "root-b" {
		t.Errorf("going back: %+v", c)
	}
	if err := p.DeleteRoot("root-b"); !errors.Is(err, ErrRefused) {
		t.Errorf("DeleteRoot = %v", err)
	}
	if _, err := p.System("root-b"); !errors.Is(err, ErrRefused) {
		t.Errorf("System = %v", err)
	}
	dir, err := Persistent(p.Dir())
	if err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(filepath.Join(dir.Name(), "seen")); err != nil || string(b) != "7" {
		t.Errorf("what the roots share has %q, %v", b, err)
	}
	if err := dir.Close(); err != nil {
		t.Error(err)
	}
	if conf, err := p.config(read()); err != nil || len(conf.Own) != 3 || conf.PoolID != place.PoolID {
		t.Errorf("a new grub.cfg would have %+v, %v", conf, err)
	}
}

// A look changes nothing.
func TestLookOwnRoots(t *testing.T) {
	place := ownPlace(t)
	written := func() (out []string) { // sectors (Documentation/admin-guide/iostats.rst, field 7)
		for _, dev := range []string{place.Pool, place.Own[0].Node, place.Own[1].Node} {
			disktest.Tool(t, "blockdev", "--flushbufs", dev)
			b, err := os.ReadFile("/sys/block/" + filepath.Base(dev) + "/stat")
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, strings.Fields(string(b))[6])
		}
		return out
	}
	before := written()
	c, err := Look(place)
	if err != nil || len(c.Roots) != 2 || c.Boots != "root-a" {
		t.Errorf("Look = %+v, %v", c, err)
	}
	if after := written(); !slices.Equal(after, before) {
		t.Errorf("Look wrote to the disks: %q, before %q", after, before)
	}
}
