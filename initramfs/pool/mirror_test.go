package pool

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"griddle/appliance/job"
	"griddle/initramfs/bootloader"
	"griddle/initramfs/bootloader/bootenv"
	"griddle/initramfs/disk"
	"griddle/initramfs/disk/disktest"
	"griddle/initramfs/disk/table"
	"griddle/initramfs/pool/pooltest"
)

// announce tells the kernel the partitions of mirrored.
func announce(t *testing.T, dev string) {
	t.Helper()
	f, err := disk.Claim(dev)
	if err == nil {
		err = errors.Join(table.Announce(f, sys, []table.Part{{Number: 1, Start: 1 << 20, Size: 64 << 20},
			{Number: 3, Start: 65 << 20, Size: 300 << 20}}), f.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
}

// takenAway takes a disk out of the machine.
func takenAway(t *testing.T, dev string) {
	t.Helper()
	_ = exec.Command("partx", "-d", dev).Run()
	disktest.Tool(t, "losetup", "-d", dev)
	for _, part := range []string{"p1", "p3"} { // without devtmpfs their files stay, and have other numbers next time
		_ = os.Remove(dev + part)
	}
}

// mirrored are two disks with a mirror, and their files. The caller takes the second one away.
func mirrored(t *testing.T) (first, second, file string) {
	t.Helper()
	const size = 600 << 20
	file = disktest.File(t, size)
	first, second = loop(t, size), disktest.Attach(t, file)
	var halves []string
	for _, dev := range []string{first, second} {
		cmd := exec.Command("sfdisk", "--no-reread", "--quiet", dev)
		cmd.Stdin = strings.NewReader("label: gpt\n1: size=64MiB, type=U\n3: size=300MiB, type=L\n")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("sfdisk: %v: %s", err, out)
		}
		announce(t, dev)
		label(t, dev+"p1", job.ESPLabel(pooltest.Job))
		halves = append(halves, dev+"p3")
	}
	disktest.Tool(t, "mkfs.btrfs", append([]string{"--quiet", "--force", "-d", "raid1", "-m", "raid1"}, halves...)...)
	for _, dev := range []string{first, second} {
		f, err := disk.Claim(dev)
		if err == nil {
			err = errors.Join(table.Begin(f, size, 512, 3, pooltest.Job), table.Mark(f, size, 512, pooltest.Job),
				f.Close())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return first, second, file
}

// A mirror is found from each of its disks, and is read and written while one of them is away, and after it is back.
func TestMirror(t *testing.T) {
	first, second, file := mirrored(t)
	is := func(what, from string, others []string, missing int) Place {
		t.Helper()
		p, err := On(from)
		if err != nil || len(p.Others) != len(others) || p.Missing != missing {
			t.Fatalf("%s: On(%s) = %+v, %v", what, from, p, err)
		}
		for i, o := range p.Others {
			if o.Disk != others[i] || o.Pool != others[i]+"p3" || o.ESP != others[i]+"p1" || o.Job != pooltest.Job {
				t.Errorf("%s: the other disk is %+v", what, o)
			}
		}
		return p
	}
	put := func(p Place, name string) {
		t.Helper()
		opened, err := Open(p)
		if err != nil {
			t.Fatal(err)
		}
		err = os.WriteFile(filepath.Join(opened.Dir(), name), []byte(name), 0o644)
		if err = errors.Join(err, opened.Close()); err != nil {
			t.Fatal(err)
		}
	}
	p := is("both", first, []string{second}, 0)
	q := is("both", second, []string{first}, 0)
	if a, b := p.halves(), q.halves(); a[0].Disk != b[0].Disk || a[1].Disk != b[1].Disk {
		t.Errorf("the order depends on the disk that is asked for: %+v, %+v", a, b)
	}
	put(p, "both")
	takenAway(t, second)
	p = is("one is away", first, nil, 1)
	if c, err := Look(p); err != nil || len(c.Roots) != 0 {
		t.Errorf("Look without one disk = %+v, %v", c, err)
	}
	put(p, "alone")
	second = disktest.Attach(t, file)
	announce(t, second)
	defer func() { takenAway(t, second) }()
	p = is("it is back", first, []string{second}, 0)
	opened, err := Open(p)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"both", "alone"} {
		if b, err := os.ReadFile(filepath.Join(opened.Dir(), name)); err != nil || string(b) != name {
			t.Errorf("the file %s is %q, %v", name, b, err)
		}
	}
	if err := opened.Close(); err != nil {
		t.Fatal(err)
	}
}

// What boots is on each disk. One whose EFI system partition is lost does not matter, and has it again after the next
// change.
func TestMirrorSwitches(t *testing.T) {
	p, _ := installed(t)
	other := t.TempDir()
	if err := os.CopyFS(other, os.DirFS(p.esp)); err != nil {
		t.Fatal(err)
	}
	open := func(esps ...string) *Pool {
		t.Helper()
		now := &Pool{place: Place{Job: pooltest.Job, ESP: esps[0]}, dir: p.dir}
		for _, esp := range esps[1:] {
			now.place.Others = append(now.place.Others, Place{Job: pooltest.Job, ESP: esp})
		}
		now.openESPs(nil)
		return now
	}
	both := open(p.esp, other)
	if err := both.Switch("two@amd64"); err != nil {
		t.Fatal(err)
	}
	is := func(what string, want bootenv.Env, dirs ...string) {
		t.Helper()
		for i, dir := range dirs {
			if e, err := bootenv.Read(dir); err != nil || e != want {
				t.Errorf("%s: EFI system partition %d says %+v, %v, want %+v", what, i, e, err, want)
			}
		}
	}
	is("switched", bootenv.Env{Good: "one@amd64", Candidate: "two@amd64", Tries: 1, Sequence: 1}, p.esp, other)
	// GRUB has counted on one of them only.
	if err := bootenv.Write(other, bootenv.Env{Good: "one@amd64", Candidate: "two@amd64", Sequence: 1}); err != nil {
		t.Fatal(err)
	}
	if failed, err := both.Failed(); err != nil || failed != "two@amd64" {
		t.Errorf("Failed = %q, %v", failed, err)
	}
	// One disk is lost, and the machine goes its way without it.
	alone := open(other)
	if err := alone.Bless("two@amd64"); err != nil {
		t.Fatal(err)
	}
	good := bootenv.Env{Good: "two@amd64", Sequence: 2}
	is("blessed", good, other)
	if c, err := open(p.esp, other).Read(); err != nil || c.Boots != "two@amd64" {
		t.Errorf("after the disk is back %q boots, %v", c.Boots, err)
	}
	if err := os.RemoveAll(filepath.Join(p.esp, "griddle")); err != nil {
		t.Fatal(err)
	}
	lost := open(p.esp, other)
	if c, err := lost.Read(); err != nil || c.Boots != "two@amd64" {
		t.Errorf("without the files of the first disk %q boots, %v, %v", c.Boots, err, c.NoBoots)
	}
	if err := lost.Forget("x"); err != nil {
		t.Error(err)
	}
	if err := lost.Bless("two@amd64"); err != nil {
		t.Fatal(err)
	}
	good.Sequence++
	is("after the next change", good, p.esp, other)
	dev := loop(t, 8<<20)
	for i := range lost.halves {
		lost.halves[i].Disk, lost.halves[i].SectorSize, lost.halves[i].BIOS = dev, 512, Extent{1 << 20, 1 << 20}
	}
	images := t.TempDir()
	if err := bootloader.BuildGRUB(t.Context(), images, bootloader.BuildOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := lost.Bootloader(os.DirFS(images), true); err != nil {
		t.Fatal(err)
	}
	for _, esp := range []string{p.esp, other} {
		conf, err := bootloader.ReadConfig(esp)
		own, bad := bootloader.IsImage(filepath.Join(esp, bootloader.Fallback))
		if err != nil || bad != nil || !own || conf.PoolID != poolID {
			t.Errorf("after Bootloader %s says %+v, %v, %v", esp, conf, err, bad)
		}
	}
}
