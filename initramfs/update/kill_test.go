package update_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"griddle/appliance/job"
	"griddle/imagestore/content"
	"griddle/imagestore/fetch"
	"griddle/initramfs/disk/disktest"
	"griddle/initramfs/pool"
	"griddle/initramfs/pool/intake/intaketest"
	"griddle/initramfs/pool/pooltest"
	"griddle/initramfs/update"
)

// killEnv has the file of an errand: this program does it, and says when it begins and when it is done.
const killEnv = "GRIDDLE_TEST_UPDATE"

// errand is an update that a program of its own carries out.
type errand struct {
	Place pool.Place
	Agent string
	GRUB  string
	Mount string
	Power string

	Infos    []fetch.StreamInfo
	Files    []string
	Manifest []byte

	Refresh bool // no update, but Refresh again and again
}

func errandOf(t testing.TB, m *machine, img *intaketest.Image) string {
	t.Helper()
	var b bytes.Buffer
	if _, err := img.Manifest.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	return errand{m.o.Place, m.o.Agent, m.o.GRUB, m.o.Mount, m.o.Power, img.Infos, img.Files, b.Bytes(), false}.file(t)
}

func (e errand) file(t testing.TB) string {
	t.Helper()
	b, err := json.Marshal(e)
	file := filepath.Join(t.TempDir(), "errand")
	if err = errors.Join(err, os.WriteFile(file, b, 0o600)); err != nil {
		t.Fatal(err)
	}
	return file
}

// updateOnce does an errand, and ends this program.
func updateOnce(file string) {
	err := func() error {
		var e errand
		b, err := os.ReadFile(file)
		if err == nil {
			err = json.Unmarshal(b, &e)
		}
		if err != nil {
			return err
		}
		if e.Refresh {
			return refreshes(e.Place)
		}
		img := &intaketest.Image{Infos: e.Infos, Files: e.Files}
		if img.Manifest, err = content.Parse(bytes.NewReader(e.Manifest)); err != nil {
			return err
		}
		p, err := pool.Open(e.Place)
		if err != nil {
			return err
		}
		_, err = update.Run(context.Background(), update.Options{Pool: p, Place: e.Place, Agent: e.Agent, GRUB: e.GRUB,
			Mount: e.Mount, Power: e.Power,
			Spec:  job.Spec{ID: updateJob, Kind: job.Update, Image: job.Image{Ref: img.Ref()}},
			Open:  func(context.Context, []string) (update.Image, error) { return img, nil },
			Event: func(e job.Event) { fmt.Println(e.Phase) }})
		return errors.Join(err, p.Close())
	}()
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	os.Exit(0)
}

// begin starts an errand, and returns when it is under way.
func begin(t testing.TB, file string) (*exec.Cmd, io.Reader) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), killEnv+"="+file)
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
	return cmd, out
}

// An update that is killed anywhere leaves the old root or the new one to boot, the same homes, and the next update
// succeeds.
func TestKilled(t *testing.T) {
	one, two := versions(t)
	m := installed(t, pooltest.Loop(t, 1<<30), one)
	file, before := errandOf(t, m, two.From(1)), m.kept(t)
	cmd, out := begin(t, file)
	started := time.Now()
	for line := bufio.NewScanner(out); line.Scan() && line.Text() != string(job.PhaseSwitch); {
	}
	whole := time.Since(started)
	all, _ := io.ReadAll(out)
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v: %s", err, all)
	}
	seen := map[string]int{}
	for range kills {
		m.reset(t)
		cmd, out := begin(t, file)
		time.Sleep(rand.N(whole * 5 / 4))
		_ = cmd.Process.Kill()
		_, _ = io.Copy(io.Discard, out)
		_ = cmd.Wait()
		seen[m.bootable(t)]++
		if m.kept(t) != before {
			t.Fatal("the old root, @home or @persistent has changed")
		}
		if r, err := m.update(t.Context(), t, two); err != nil || !strings.HasPrefix(r.Root, twoRoot) {
			t.Fatalf("Run after a kill = %+v, %v", r, err)
		}
		m.noMounts(t)
	}
	t.Logf("after the kills there booted %v", seen)
	if seen[oneRoot] == 0 {
		t.Errorf("the kills left %v: none was in time", seen)
	}
}

// bootable is the root that the next start takes. It must be complete.
func (m *machine) bootable(t testing.TB) string {
	t.Helper()
	c := m.contents(t)
	name := c.Good
	if c.Candidate != "" && c.Tries > 0 {
		name = c.Candidate
	}
	r, err := c.Root(name)
	if err != nil || !r.Kernel {
		t.Fatalf("%s cannot boot: %v; the pool is %+v", name, err, c)
	}
	if name != oneRoot {
		if v, h := m.read(t, "@roots/"+name+"/etc/version"), m.read(t, "@roots/"+name+"/etc/hostname"); v != "2\n" ||
			h != "lab-7\n" {
			t.Fatalf("the new root has the version %q and the hostname %q", v, h)
		}
	}
	return name
}

// reset deletes what updates made.
func (m *machine) reset(t testing.TB) {
	t.Helper()
	m.with(t, func(p *pool.Pool) {
		c, err := p.Read()
		if err == nil && c.Candidate != "" {
			err = p.Forget(c.Candidate)
		}
		if err == nil {
			_, err = update.Clean(p)
		}
		if err != nil {
			t.Fatal(err)
		}
	})
}

// The power goes away while an update runs: the machine boots the old root or the new one, the homes are the same byte
// by byte, and the next update succeeds. The disk is a file on btrfs, of which a copy at one time costs nothing.
func TestPowerCut(t *testing.T) {
	one, two := versions(t)
	top, img := diskOnBtrfs(t)
	dev := attach(t, img)
	m := installed(t, dev, one)
	before := m.kept(t)
	cmd, out := begin(t, errandOf(t, m, two.From(1)))
	ended := make(chan string)
	go func() {
		all, _ := io.ReadAll(out)
		ended <- string(all)
	}()
	var said string
	cuts := 0
	for running := true; running; {
		at := filepath.Join(top, fmt.Sprint(cuts))
		// The bootloader's partition first: what it says is never newer than the pool.
		pooltest.Tool(t, "cp", "-a", m.esp, at+".esp")
		pooltest.Tool(t, "cp", "--reflink=always", img, at)
		cuts++
		select {
		case said = <-ended:
			running = false
		case <-time.After(rand.N(2 * pause)):
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	detach(t, dev)
	seen := map[string]int{}
	order := rand.Perm(cuts)
	order[slices.Index(order, 0)], order[0] = order[0], 0 // the first cut is in time
	for _, i := range order[:min(cuts, powerCuts)] {
		at := filepath.Join(top, fmt.Sprint(i))
		cut := &machine{dev: attach(t, at), esp: at + ".esp", o: m.o}
		cut.o.Event = cut.event
		_ = exec.Command("partx", "--add", cut.dev).Run() // where the kernel has not found them
		var err error
		if cut.o.Place, err = pool.On(cut.dev); err != nil {
			t.Fatal(err)
		}
		cut.o.Place.ESP = cut.esp
		seen[cut.bootable(t)]++
		if cut.kept(t) != before {
			t.Fatal("the old root, @home or @persistent has changed")
		}
		if r, err := cut.update(t.Context(), t, two); err != nil || !strings.HasPrefix(r.Root, twoRoot) {
			t.Fatalf("Run after a power cut = %+v, %v", r, err)
		}
		detach(t, cut.dev)
	}
	t.Logf("of %d cuts, after those that were tried there booted %v", cuts, seen)
	if seen[oneRoot] == 0 {
		t.Errorf("the cuts left %v: none was in time", seen)
	}
}

// diskOnBtrfs is a file for a disk in a folder on btrfs.
func diskOnBtrfs(t testing.TB) (top, img string) {
	t.Helper()
	outer, top := pooltest.Loop(t, 3<<30), t.TempDir()
	pooltest.Tool(t, "mkfs.btrfs", "-q", outer)
	pooltest.Tool(t, "mount", outer, top)
	t.Cleanup(func() { pooltest.Tool(t, "umount", top) })
	img = filepath.Join(top, "disk")
	if err := errors.Join(os.WriteFile(img, nil, 0o600), os.Truncate(img, 1<<30)); err != nil {
		t.Fatal(err)
	}
	return top, img
}

func attach(t testing.TB, file string) string {
	t.Helper()
	dev := disktest.Attach(t, file)
	t.Cleanup(func() {
		if back, _ := exec.Command("losetup", "-n", "-O", "BACK-FILE", dev).Output(); slices.Contains(
			strings.Fields(string(back)), file) {
			detach(t, dev)
		}
	})
	return dev
}

// detach takes a device away, and has the kernel forget the filesystem on it: a copy of it comes later.
func detach(t testing.TB, dev string) {
	t.Helper()
	_ = exec.Command("btrfs", "device", "scan", "--forget", dev+"p3").Run()
	disktest.Detach(t, dev)
}
