package pool

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"griddle/initramfs/disk"
	"griddle/initramfs/disk/content"
	"griddle/initramfs/disk/table"
	"griddle/initramfs/pool/pooltest"
	"griddle/initramfs/subvolume"
)

// partitioned is a disk with the layout of an install, finished or not.
func partitioned(t *testing.T, finished bool) string {
	t.Helper()
	const size = 600 << 20
	dev := loop(t, size)
	f, err := disk.Claim(dev)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	l, err := table.WholeDisk(pooltest.Job, size, 512)
	if err == nil {
		err = errors.Join(l.Write(f, content.Content{}), table.Announce(f, "/sys", l.Parts()))
	}
	if err == nil && finished {
		err = table.Mark(f, size, 512, pooltest.Job)
	}
	if err != nil {
		t.Fatal(err)
	}
	return dev
}

func TestOn(t *testing.T) {
	for what, dev := range map[string]string{"blank": loop(t, 600<<20), "unfinished": partitioned(t, false)} {
		if p, err := On(dev); !errors.Is(err, ErrNone) {
			t.Errorf("On a disk that is %s = %+v, %v, want ErrNone", what, p, err)
		}
	}
	dev := partitioned(t, true)
	if all := All(); !slices.ContainsFunc(all, func(p Place) bool { return p.Disk == dev && p.Size == 600<<20 }) {
		t.Errorf("All = %+v, without %s", all, dev)
	}
	p, err := On(dev)
	if err != nil || p.Job != pooltest.Job || p.Pool != dev+"p3" || p.ESP != dev+"p2" || p.ESPID != "" || p.Shared ||
		p.BIOS != (Extent{1 << 20, 1 << 20}) {
		t.Errorf("On = %+v, %v", p, err)
	}
}

const hereEnv = "GRIDDLE_TEST_HERE"

// sayHere prints what the system that this program runs in has.
func sayHere() {
	place, err := Here()
	if err == nil {
		var p *Pool
		if p, err = Open(place); err == nil {
			var c Contents
			c, err = p.Read()
			for _, r := range c.Roots {
				fmt.Println(r.Name, r.State(), c.MayDelete(r))
			}
			err = errors.Join(err, p.Close())
		}
	}
	fmt.Println(err)
	os.Exit(0)
}

// In a system whose / is a root of a pool, that pool is found, and that root is the one that runs.
func TestHere(t *testing.T) {
	if p, err := Here(); !errors.Is(err, ErrNone) {
		t.Errorf("Here on a machine that tests = %+v, %v, want ErrNone", p, err)
	}
	dev := partitioned(t, true)
	tool(t, "mkfs.btrfs", "--quiet", "--force", dev+"p3")
	m, err := subvolume.Top(dev + "p3")
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if err := os.Mkdir(m.Dir()+"/@roots", 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a", "b"} {
		tool(t, "btrfs", "subvolume", "create", m.Dir()+"/@roots/"+name)
	}
	root := t.TempDir()
	off, err := subvolume.At(dev+"p3", "@roots/a", root)
	if err != nil {
		t.Fatal(err)
	}
	defer off()
	tool(t, "cp", os.Args[0], filepath.Join(root, "here"))
	for _, dir := range []string{"proc", "sys", "dev", "usr", "lib", "lib64"} { // libraries, if the test needs them
		at := filepath.Join(root, dir)
		if err := os.Mkdir(at, 0o755); err != nil {
			t.Fatal(err)
		}
		tool(t, "mount", "--rbind", "--make-rslave", "/"+dir, at)
		defer tool(t, "umount", "--lazy", at)
	}
	cmd := exec.Command("/here")
	cmd.Env = append(os.Environ(), hereEnv+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: root}
	cmd.Dir = "/"
	out, err := cmd.CombinedOutput()
	for _, want := range []string{"a runs, no kernel deleting the root a: refused: it is the system that runs",
		"b no kernel deleting the root b: refused: which root boots is not known", "\n<nil>\n"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("the system says %v, without %q:\n%s", err, want, out)
		}
	}
}
