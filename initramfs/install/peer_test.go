package install

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"griddle/appliance/job"
	"griddle/initramfs/bootloader"
	"griddle/initramfs/disk"
	"griddle/initramfs/disk/content"
	"griddle/initramfs/pool/intake/intaketest"

	"golang.org/x/sys/unix"
)

// found is the inventory's view of one device, with a serial of the test's choice: loops have none.
func found(t testing.TB, dev, serial string) job.Disk {
	t.Helper()
	f, err := os.Open(dev)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	size, sector, err := disk.Geometry(f)
	if err != nil {
		t.Fatal(err)
	}
	c, err := content.Inspect(f, size, sector)
	if err != nil {
		t.Fatal(err)
	}
	if !c.Recognised() {
		c.Sampled = content.Sample(t.Context(), f, size)
	}
	return Disks([]disk.Disk{{Path: dev, Serial: serial, Size: size, SectorSize: sector, Content: c}})[0]
}

// sent is an image whose streams btrfs send has made.
type sent = intaketest.Image

var put = intaketest.Put

// publish makes an image of several steps, with all their streams.
func publish(t testing.TB, steps ...func(dir string)) *sent {
	t.Helper()
	all := intaketest.Publish(t, steps...)
	return all[len(all)-1]
}

// mtoolsESP stands in for the kernel's vfat, which the kernel of a test machine may lack: the files go to the
// filesystem, by mtools, when it is unmounted.
func mtoolsESP(t testing.TB) MountFunc {
	return func(node, dir string) (func() error, error) {
		return func() error {
			entries, err := os.ReadDir(dir)
			if err != nil {
				return err
			}
			for _, e := range entries {
				cmd := exec.Command("mcopy", "-s", "-o", "-i", node, filepath.Join(dir, e.Name()), "::/")
				cmd.Env = append(os.Environ(), "MTOOLS_SKIP_CHECK=1")
				if out, err := cmd.CombinedOutput(); err != nil {
					return fmt.Errorf("mcopy: %w: %s", err, out)
				}
			}
			return os.RemoveAll(dir)
		}, nil
	}
}

// journal is a Reporter that keeps what it is told.
type journal struct {
	mu      sync.Mutex
	events  []job.Event
	started []string
	refuse  error
	on      func(job.Event)
}

func (j *journal) Event(e job.Event) {
	j.mu.Lock()
	j.events = append(j.events, e)
	j.mu.Unlock()
	if j.on != nil {
		j.on(e)
	}
}

func (j *journal) Started(_ context.Context, disk string) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.started = append(j.started, disk)
	return j.refuse
}

func (j *journal) last() job.Event { return j.events[len(j.events)-1] }

// grub makes the GRUB images, and options everything that Run needs on the host.
func options(t testing.TB) Options {
	t.Helper()
	dir := t.TempDir()
	if err := bootloader.BuildGRUB(t.Context(), dir, bootloader.BuildOptions{}); err != nil {
		t.Fatal(err)
	}
	agent := filepath.Join(t.TempDir(), "agent")
	if err := os.WriteFile(agent, []byte("the agent\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return Options{
		Machine: job.Identity{Serial: "ABC-123", MACs: []string{"52:54:00:12:34:56"}},
		Agent:   agent, CA: []byte("-----BEGIN CERTIFICATE-----\n"), GRUB: dir, Mount: t.TempDir(),
		MountESP: mtoolsESP(t),
		Serial:   func(string) (string, error) { return "D1", nil }, // loops have none
	}
}

// sum is a digest of all that is not zero on a loop device, read from the file beneath it, whose holes cost nothing.
func sum(t testing.TB, dev string) string {
	t.Helper()
	d, err := os.OpenFile(dev, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		t.Fatal(err)
	}
	name, err := os.ReadFile(filepath.Join("/sys/block", filepath.Base(dev), "loop/backing_file"))
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(strings.TrimSpace(string(name)))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	const block = 64 << 10
	h, b := sha256.New(), make([]byte, block)
	for at := int64(0); ; at += block {
		next, err := f.Seek(at, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) {
			return fmt.Sprintf("%x", h.Sum(nil))
		}
		if err != nil {
			t.Fatal(err)
		}
		at = next &^ (block - 1)
		n, err := f.ReadAt(b, at)
		if err != nil && err != io.EOF {
			t.Fatal(err)
		}
		if got := bytes.TrimRight(b[:n], "\x00"); len(got) > 0 {
			fmt.Fprintln(h, at, len(got))
			h.Write(got)
		}
	}
}
