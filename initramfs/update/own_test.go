package update_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"griddle/appliance/job"
	"griddle/appliance/setting"
	"griddle/initramfs/bootloader"
	"griddle/initramfs/bootloader/bootenv"
	"griddle/initramfs/disk/disktest"
	"griddle/initramfs/pool"
	"griddle/initramfs/pool/history"
	"griddle/initramfs/pool/intake/intaketest"
	"griddle/initramfs/rootfs"
	"griddle/initramfs/update"

	"github.com/u-root/u-root/pkg/cpio"
)

// ownID begins the UUIDs of the filesystems of ownMachine.
const ownID = "0a1b2c3d-0000-4000-8000-00000000000"

// ownMachine is a machine whose roots are partitions. root-a runs an image, and has seen some use; root-b has what an
// earlier system left.
func ownMachine(t *testing.T, img *intaketest.Image) *machine {
	t.Helper()
	m := &machine{esp: t.TempDir()}
	agent := filepath.Join(t.TempDir(), "agent")
	if err := os.WriteFile(agent, []byte("the agent\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	m.o = update.Options{Spec: job.Spec{ID: updateJob, Kind: job.Update}, Event: m.event, Agent: agent,
		GRUB: t.TempDir(), Mount: filepath.Join(t.TempDir(), "new"), Power: t.TempDir(),
		Place: pool.Place{Job: installJob, ESP: m.esp, PoolID: ownID + "f"}}
	var roots []bootloader.OwnRoot
	for i, name := range []string{"root-a", "root-b", "shared"} {
		dev, dir := disktest.Loop(t, 400<<20, 512), t.TempDir()
		kind := []string{"ext4", "xfs", "ext4"}[i]
		disktest.Tool(t, "mkfs."+kind, "-q", dev)
		disktest.Tool(t, "mount", dev, dir)
		switch name {
		case "root-a":
			err := rootfs.Receive(t.Context(), dir, img, rootfs.Options{})
			if err := errors.Join(err, rootfs.KeepEtc(t.Context(), dir)); err != nil {
				t.Fatal(err)
			}
			intaketest.Put(t, dir, map[string]string{"etc/hostname": "lab-7\n",
				"usr/lib/griddle/image": img.Ref() + "\n",
				"etc/passwd":            "root:x:0:0:root:/root:/bin/sh\nada:x:1000:1000::/home/ada:/bin/sh\n",
				"etc/group":             "root:x:0:\nada:x:1000:\n",
				"etc/shadow":            "root:*:19000:0:99999:7:::\nada:!:19000:0:99999:7:::\n",
				"etc/machine-id":        "0123456789abcdef0123456789abcdef\n"})
		case "root-b":
			intaketest.Put(t, dir, map[string]string{bootloader.Marker: "", "boot/vmlinuz-5": "an old kernel",
				"var/log/old": "x"})
		case "shared":
			m.o.Place.Pool = dev
			intaketest.Put(t, dir, map[string]string{"@home/ada/thesis": "two years", "@persistent/lab": "kept",
				"@persistent/griddle/x": "y", "@roots/.keep": ""})
		}
		disktest.Tool(t, "umount", dir)
		if name != "shared" {
			r := bootloader.OwnRoot{Name: name, UUID: fmt.Sprint(ownID, i)}
			roots = append(roots, r)
			m.o.Place.Own = append(m.o.Place.Own, pool.Own{OwnRoot: r, Filesystem: kind, Node: dev})
		}
	}
	if err := errors.Join(bootenv.Write(m.esp, bootenv.Env{Good: "root-a"}), bootloader.WriteConfig(m.esp,
		bootloader.Config{ESP: "GR-5B2F0A4E", PoolID: ownID + "f", Root: "@roots/root-a", Own: roots})); err != nil {
		t.Fatal(err)
	}
	return m
}

// cpioOf is an archive with files of these names.
func cpioOf(t *testing.T, names ...string) string {
	t.Helper()
	var b bytes.Buffer
	w := cpio.Newc.Writer(&b)
	var errs error
	for _, name := range names {
		errs = errors.Join(errs, w.WriteRecord(cpio.StaticFile(name, "x", 0o755)))
	}
	if err := errors.Join(errs, cpio.WriteTrailer(w)); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// rootFile is a file of a root that is a partition.
func (m *machine) rootFile(t *testing.T, root, name string) (text string) {
	t.Helper()
	m.with(t, func(p *pool.Pool) {
		b, err := os.ReadFile(filepath.Join(p.RootDir(root), name))
		if err != nil {
			t.Error(err)
		}
		text = string(b)
	})
	return text
}

// An update of a machine whose roots are partitions fills the other one, each time, and never the one that is good.
func TestUpdateOwnRoots(t *testing.T) {
	all := three(t)
	m := ownMachine(t, all[0])
	for name, change := range map[string]func(o *update.Options){
		"fresh at each start": func(o *update.Options) { o.Spec.Reset = job.ResetSystem },
		"a swap file": func(o *update.Options) {
			o.Settings = func(context.Context) (setting.Settings, error) { return setting.Settings{Swap: 1 << 26}, nil }
		},
	} {
		was := m.o
		change(&m.o)
		if _, err := m.update(t.Context(), t, all[1]); !errors.Is(err, update.ErrImage) {
			t.Errorf("%s: Run = %v", name, err)
		}
		m.o = was
	}

	systemd := map[string]string{"boot/vmlinuz-6": "a kernel", "usr/lib/systemd/systemd": "process 1",
		"sbin/init": "-> ../usr/lib/systemd/systemd"}
	bare := intaketest.Publish(t, func(dir string) { intaketest.Put(t, dir, systemd) })[0]
	systemd["boot/initrd.img-6"] = cpioOf(t, "init")
	systemd["lib/modules/6/modules.builtin"] = "kernel/fs/ext4/ext4.ko\n"
	lacks := intaketest.Publish(t, func(dir string) { intaketest.Put(t, dir, systemd) })[0]
	was := m.o
	m.o.Spec.AllowOlder = true
	if _, err := m.update(t.Context(), t, bare); !errors.Is(err, update.ErrImage) ||
		!strings.Contains(err.Error(), "it has no initrd") {
		t.Errorf("Run without an initrd = %v", err)
	}
	if got := m.rootFile(t, "root-b", "var/log/old"); got != "x" {
		t.Errorf("then the second root has %q", got)
	}
	_, err := m.update(t.Context(), t, renamed{lacks, "web:20261121.9@amd64", 0})
	if err == nil || !strings.Contains(err.Error(), "module xfs") {
		t.Errorf("Run with an initrd without xfs = %v", err)
	}
	if c := m.contents(t); c.Boots != "root-a" || c.Candidate != "" || c.Good != "root-a" {
		t.Errorf("then the pool is %+v", c)
	}
	m.o = was
	m.o.Prepare = true
	m.seen = nil
	if r, err := m.update(t.Context(), t, all[1]); err != nil || r != (update.Result{}) {
		t.Errorf("Run that prepares = %+v, %v", r, err)
	}
	for _, e := range m.seen {
		if strings.Contains(e.Message, "receive") {
			t.Errorf("while nothing is received: %s", e.Message)
		}
	}
	m.o = was

	// The power goes while the image is received: nothing of the second root starts, also if grubenv is lost.
	broken := *all[1]
	broken.Between = func(_ int, r io.Reader) io.Reader { return io.LimitReader(r, 100<<10) }
	if _, err := m.update(t.Context(), t, &broken); err == nil {
		t.Fatal("an image that ends early is received")
	}
	c := m.contents(t)
	if c.Boots != "root-a" || c.Candidate != "" || c.Good != "root-a" {
		t.Errorf("after an update that failed the pool is %+v", c)
	}
	for _, r := range c.Roots {
		if r.Name == "root-b" && (r.Good || r.Kernel) {
			t.Errorf("after an update that failed root-b is %+v", r)
		}
	}

	r, err := m.update(t.Context(), t, all[1])
	if err != nil || r != (update.Result{Root: "root-b"}) {
		t.Fatalf("Run = %+v, %v", r, err)
	}
	m.noMounts(t)
	if c := m.contents(t); c.Good != "root-a" || c.Candidate != "root-b" || c.Tries != 1 || c.Boots != "root-b" {
		t.Errorf("the pool is %+v", c)
	}
	for name, want := range map[string]string{"etc/version": "2\n", "etc/hostname": "lab-7\n",
		"etc/machine-id": "0123456789abcdef0123456789abcdef\n", "usr/lib/griddle/image": "web:20261120.2@amd64\n",
		"usr/lib/griddle/root": "root-b\n", "usr/lib/griddle/of-image/etc/hostname": "template\n"} {
		if got := m.rootFile(t, "root-b", name); got != want {
			t.Errorf("%s = %q, want %q", name, got, want)
		}
	}
	for name, want := range map[string]string{"etc/passwd": "\nada:x:1000:",
		"etc/fstab": "UUID=" + ownID + "1 / xfs "} {
		if got := m.rootFile(t, "root-b", name); !strings.Contains(got, want) {
			t.Errorf("%s = %q, want %q in it", name, got, want)
		}
	}
	if got := m.rootFile(t, "root-a", "etc/version"); got != "1\n" {
		t.Errorf("the old root has version %q", got)
	}
	for name, want := range map[string]string{"@home/ada/thesis": "two years", "@persistent/lab": "kept",
		"@home/alice/notes": "of the image"} {
		if got := m.read(t, name); got != want {
			t.Errorf("%s = %q, want %q", name, got, want)
		}
	}
	m.with(t, func(p *pool.Pool) {
		dir, err := pool.Persistent(p.Dir())
		if err != nil {
			t.Fatal(err)
		}
		defer dir.Close()
		log, err := history.Read(dir)
		var kinds []string
		for _, e := range log {
			kinds = append(kinds, string(e.Kind)+" "+e.Root)
		}
		if got := strings.Join(kinds, ", "); err != nil || !strings.HasSuffix(got, "made root-b, switched root-b") {
			t.Errorf("the history is %s, %v", got, err)
		}
		if err := p.Bless("root-b"); err != nil {
			t.Fatal(err)
		}
		if gone, err := update.Clean(p); err != nil || len(gone) > 0 {
			t.Errorf("Clean = %q, %v", gone, err)
		}
	})
	if r, err := m.update(t.Context(), t, all[1]); err != nil || r != (update.Result{Root: "root-b", Current: true}) {
		t.Errorf("Run of the image that runs = %+v, %v", r, err)
	}
	if r, err := m.update(t.Context(), t, all[2]); err != nil || r.Root != "root-a" {
		t.Fatalf("Run = %+v, %v", r, err)
	}
	if got := m.rootFile(t, "root-a", "etc/version") + m.rootFile(t, "root-a", "etc/hostname"); got != "3\nlab-7\n" {
		t.Errorf("the new root has %q", got)
	}
	if c := m.contents(t); c.Good != "root-b" || c.Candidate != "root-a" {
		t.Errorf("the pool is %+v", c)
	}
}

// What people change until the restart is in a new root that is a partition too. While it is handed over the machine
// starts the old root, so that an error or a power cut leaves that.
func TestRefreshOwnRoots(t *testing.T) {
	all := three(t)
	m := ownMachine(t, all[0])
	old := t.TempDir()
	disktest.Tool(t, "mount", m.o.Place.Own[0].Node, old)
	t.Cleanup(func() { disktest.Tool(t, "umount", old) })
	m.o.Settings = func(context.Context) (setting.Settings, error) {
		return setting.Settings{Hostname: "lab-9", Keep: []string{"/opt/kept"}}, nil
	}
	intaketest.Put(t, old, map[string]string{"opt/kept/a": "1\n", "etc/griddle/health.d/a": "1\n"})
	if r, err := m.update(t.Context(), t, all[1]); err != nil || r.Root != "root-b" {
		t.Fatalf("Run = %+v, %v", r, err)
	}
	intaketest.Put(t, old, map[string]string{"opt/kept/a": "2\n", "etc/griddle/health.d/a": "2\n",
		"root/.ssh/authorized_keys": "a key\n", "etc/version": "of no list\n", "etc/hostname": "another\n",
		"etc/shadow": "root:*:19000:0:99999:7:::\nada:a new password:19000:0:99999:7:::\n"})

	// It is stopped in the middle, as by a power cut: the old root starts.
	over, stop := context.WithCancel(t.Context())
	stop()
	refresh := func(ctx context.Context) (carried []string, err error) {
		m.with(t, func(p *pool.Pool) { carried, err = update.Refresh(ctx, p) })
		return carried, err
	}
	if _, err := refresh(over); err == nil || !strings.Contains(err.Error(), "the machine keeps root-a") {
		t.Errorf("Refresh that is stopped = %v", err)
	}
	if c := m.contents(t); c.Boots != "root-a" || c.Candidate != "" || c.Good != "root-a" {
		t.Errorf("then the pool is %+v", c)
	}
	if carried, err := refresh(t.Context()); err != nil || carried != nil {
		t.Errorf("Refresh of a root that does not wait = %q, %v", carried, err)
	}
	m.with(t, func(p *pool.Pool) {
		if err := p.Switch("root-b"); err != nil {
			t.Fatal(err)
		}
	})
	for range 2 { // as after a shutdown that did not come to its end
		if carried, err := refresh(t.Context()); err != nil || len(carried) == 0 {
			t.Fatalf("Refresh = %q, %v", carried, err)
		}
		for name, want := range map[string]string{"opt/kept/a": "2\n", "etc/griddle/health.d/a": "2\n",
			"root/.ssh/authorized_keys": "a key\n", "etc/version": "2\n", "etc/hostname": "lab-9\n"} {
			if got := m.rootFile(t, "root-b", name); got != want {
				t.Errorf("%s of the new root = %q, want %q", name, got, want)
			}
		}
		if got := m.rootFile(t, "root-b", "etc/shadow"); !strings.Contains(got, "ada:a new password:") {
			t.Errorf("the passwords of the new root are %q", got)
		}
		if c := m.contents(t); c.Boots != "root-b" || c.Candidate != "root-b" || c.Tries != 1 || c.Good != "root-a" {
			t.Errorf("then the pool is %+v", c)
		}
	}
}
