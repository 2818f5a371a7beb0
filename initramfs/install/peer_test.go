package install

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"griddle/appliance/job"
	"griddle/imagestore/content"
	"griddle/imagestore/sendstream"
	"griddle/initramfs/bootloader"
	"griddle/initramfs/disk"

	"golang.org/x/sys/unix"
	"griddle/imagestore/fetch"
)

// tool runs a program of the host and returns what it printed.
func tool(t testing.TB, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if errors.Is(err, exec.ErrNotFound) {
		t.Fatalf("%v: run make deps", err)
	}
	if err != nil {
		t.Fatalf("%s %v: %v: %s", name, args, err, out)
	}
	return string(out)
}

// loop attaches a file of n bytes as a disk and returns the device's path.
func loop(t testing.TB, n int64, sectorSize int) string {
	t.Helper()
	img := filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(img, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(img, n); err != nil {
		t.Fatal(err)
	}
	dev := strings.TrimSpace(tool(t, "losetup", "--find", "--show", "--partscan",
		"--sector-size", fmt.Sprint(sectorSize), img))
	t.Cleanup(func() {
		exec.Command("partx", "-d", dev).Run()
		if out, err := exec.Command("losetup", "-d", dev).CombinedOutput(); err != nil {
			t.Errorf("losetup -d %s: %v: %s", dev, err, out)
		}
	})
	return dev
}

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
	c, err := disk.Inspect(f, size, sector)
	if err != nil {
		t.Fatal(err)
	}
	if !c.Recognised() {
		c.Sampled = disk.Sample(t.Context(), f, size)
	}
	return Disks([]disk.Disk{{Path: dev, Serial: serial, Size: size, SectorSize: sector, Content: c}})[0]
}

// sent is an image whose streams btrfs send has made.
type sent struct {
	streams  []fetch.StreamInfo
	files    []string
	manifest *content.Manifest
	open     func(i int, r io.Reader) io.Reader // nil, or what a test puts in between
}

func (s *sent) Ref() string                 { return s.streams[len(s.streams)-1].Ref }
func (s *sent) Size() int64                 { return s.manifest.Size() }
func (s *sent) Streams() []fetch.StreamInfo { return s.streams }
func (s *sent) OpenStream(_ context.Context, i int, _ string) (io.ReadCloser, error) {
	f, err := os.Open(s.files[i])
	if err != nil || s.open == nil {
		return f, err
	}
	return struct {
		io.Reader
		io.Closer
	}{s.open(i, f), f}, nil
}
func (s *sent) Content(context.Context) (*content.Manifest, error) { return s.manifest, nil }

// publish makes a subvolume, lets each step change it, and sends it after each: the first in full, the others as
// deltas.
func publish(t testing.TB, steps ...func(dir string)) *sent {
	t.Helper()
	dev, top, out := loop(t, 512<<20, 512), t.TempDir(), t.TempDir()
	tool(t, "mkfs.btrfs", "-q", dev)
	tool(t, "mount", dev, top)
	t.Cleanup(func() { tool(t, "umount", top) })
	work := filepath.Join(top, "work")
	tool(t, "btrfs", "subvolume", "create", work)
	s := &sent{}
	var parent string
	for i, step := range steps {
		step(work)
		snap := filepath.Join(top, fmt.Sprintf("v%d", i+1))
		tool(t, "btrfs", "subvolume", "snapshot", "-r", work, snap)
		file := filepath.Join(out, fmt.Sprint(i))
		args := []string{"send", "-q", "-f", file}
		if parent != "" {
			args = append(args, "-p", parent)
		}
		tool(t, "btrfs", append(args, snap)...)
		info, m := read(t, file, s.manifest, snap)
		info.Ref = fmt.Sprintf("web:20261120.%d@amd64", i+1)
		s.streams, s.files, s.manifest = append(s.streams, info), append(s.files, file), m
		parent = snap
	}
	return s
}

func read(t testing.TB, file string, parent *content.Manifest, tree string) (fetch.StreamInfo, *content.Manifest) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	r, err := sendstream.NewReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	first, err := r.Next()
	if err != nil {
		t.Fatal(err)
	}
	info := fetch.StreamInfo{UUID: first.UUID, Ctransid: first.Ctransid, Raw: int64(len(b)), Wire: int64(len(b))}
	builder := content.NewBuilder(parent, tree)
	if err := builder.Read(bytes.NewReader(b)); err != nil {
		t.Fatal(err)
	}
	m, err := builder.Finish(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return info, m
}

// put writes files of a tree: path to content. A content "-> x" is a symlink, and what is in a folder for programs is
// one.
func put(t testing.TB, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		p := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if target, ok := strings.CutPrefix(text, "-> "); ok {
			if err := os.Symlink(target, p); err != nil {
				t.Fatal(err)
			}
			continue
		}
		mode := fs.FileMode(0o644)
		if strings.HasSuffix(filepath.Dir(name), "bin") {
			mode = 0o755
		}
		if err := os.WriteFile(p, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
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
