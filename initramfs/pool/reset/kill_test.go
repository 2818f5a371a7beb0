package reset_test

import (
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"griddle/initramfs/bootloader/bootenv"
	"griddle/initramfs/pool"
	"griddle/initramfs/pool/pooltest"
	"griddle/initramfs/subvolume"
)

// whole checks that two fresh roots are ready, each of which is complete and was not used, and that the base is as it
// was. It returns the number of the next one.
func (m *machine) whole(t *testing.T) int {
	t.Helper()
	c, e := m.contents(t), m.env(t)
	if w := c.Waiting(); len(w) != 2 || c.Takes() != bootenv.FreshName(one, w[0]) || e.Good != one {
		t.Fatalf("%v wait, and %+v", w, e)
	}
	for _, n := range c.Waiting() {
		name := bootenv.FreshName(one, n)
		for file, want := range map[string]string{"etc/fstab": table(name), "etc/krb5.keytab": "second",
			"etc/motd": "no such file or directory", pool.BaseMarker: "no such file or directory"} {
			if got := m.text(t, name, file); got != want {
				t.Fatalf("/%s of %s is %q, want %q", file, name, got, want)
			}
		}
	}
	i, err := subvolume.Read(m.Top + "/@roots/" + one)
	if now := pooltest.Tree(t, m.Top+"/@roots/"+one); err != nil || !i.ReadOnly || now != m.base {
		t.Fatalf("the base has changed: %+v, %v\n%s", i, err, now)
	}
	return c.Waiting()[0]
}

// used is a machine whose running root was used.
func used(t *testing.T) *machine {
	t.Helper()
	m := newMachine(t)
	m.start(t, one+"~1")
	m.write(t, one+"~1", "etc/krb5.keytab", "second")
	m.write(t, one+"~1", "etc/motd", "mine")
	m.run(t, one+"~1", "keep")
	return m
}

// A Prepare that is killed anywhere leaves two roots that are ready, and the next one succeeds.
func TestKilled(t *testing.T) {
	m := used(t)
	began := time.Now()
	m.run(t, one+"~1", "keep")
	whole := time.Since(began)
	seen := map[int]bool{}
	for range 30 {
		cmd, stop := m.command(t, one+"~1", "ever")
		out, err := cmd.StdoutPipe()
		if err == nil {
			err = cmd.Start()
		}
		if err == nil {
			_, err = out.Read(make([]byte, 64))
		}
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(rand.N(whole))
		_ = cmd.Process.Kill()
		said, _ := io.ReadAll(out)
		if err := cmd.Wait(); err == nil || err.Error() != "signal: killed" {
			t.Fatalf("Prepare ended by itself: %v: %s", err, said)
		}
		stop()
		seen[m.whole(t)] = true
	}
	if len(seen) < 2 {
		t.Errorf("the kills left %v: none was in time", seen)
	}
	m.run(t, one+"~1", "keep")
	m.unchanged(t)
	if got := m.names(t); strings.Count(got, " ") != 2 {
		t.Errorf("after that the roots are %s", got)
	}
}

// cuts is after how many power cuts the disk is looked at.
const cuts = 12

// The power goes away while Prepare runs: the next start takes a root that is whole. The disk is a file on btrfs, of
// which a copy at one time costs nothing.
func TestPowerCut(t *testing.T) {
	outer, top := pooltest.Loop(t, 3<<30), t.TempDir()
	pooltest.Tool(t, "mkfs.btrfs", "-q", outer)
	pooltest.Tool(t, "mount", outer, top)
	t.Cleanup(func() { pooltest.Tool(t, "umount", top) })
	var m *machine
	t.Run("cuts", func(t *testing.T) {
		t.Setenv("TMPDIR", top)
		m = used(t)
		began := time.Now()
		m.run(t, one+"~1", "keep")
		whole := time.Since(began)
		b, err := os.ReadFile(filepath.Join("/sys/class/block", filepath.Base(m.Device), "loop/backing_file"))
		if err != nil {
			t.Fatal(err)
		}
		cmd, stop := m.command(t, one+"~1", "ever")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		for i := range cuts {
			time.Sleep(rand.N(whole))
			at := filepath.Join(top, fmt.Sprint(i))
			// The bootloader's partition first: what it says is never newer than the pool.
			pooltest.Tool(t, "cp", "-a", m.ESP, at+".esp")
			pooltest.Tool(t, "cp", "--reflink=always", strings.TrimSpace(string(b)), at)
		}
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		stop()
	})
	_ = exec.Command("btrfs", "device", "scan", "--forget").Run()
	seen := map[int]bool{}
	for i := range cuts {
		t.Run(fmt.Sprint("cut ", i), func(t *testing.T) {
			at := filepath.Join(top, fmt.Sprint(i))
			cut := &machine{Made: pooltest.Made{Device: pooltest.Tool(t, "losetup", "--find", "--show", at),
				ESP: at + ".esp"}, base: m.base}
			defer pooltest.Tool(t, "losetup", "--detach", cut.Device)
			defer exec.Command("btrfs", "device", "scan", "--forget", cut.Device).Run()
			mounted, err := subvolume.Top(cut.Device)
			if err != nil {
				t.Fatal(err)
			}
			defer mounted.Close()
			cut.Top = mounted.Dir()
			seen[cut.whole(t)] = true
			cut.run(t, one+"~1", "keep")
			cut.unchanged(t)
		})
	}
	if len(seen) < 2 {
		t.Errorf("the cuts left %v: they were all at one time", seen)
	}
}
