//go:build torture

package install

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"griddle/appliance/job"
	"griddle/imagestore/content"
	"griddle/initramfs/disk/disktest"
	"griddle/initramfs/nvram"
	"griddle/initramfs/pool/intake/intaketest"
	"griddle/initramfs/umltest/fattest"
	"griddle/initramfs/volume/kept"

	"golang.org/x/sys/unix"
)

// An install onto an array and a volume group, in a kernel that has them; and again, into the pool that stays. /home
// gets what the image has, once; each system mounts all of it; and nothing runs when an install ends.
func TestLayoutOnVolumes(t *testing.T) {
	if machineOf(t, 1300<<20, 160<<20) {
		return
	}
	o, img := takenAlong(t, fattest.Folder())
	k, j := &keeper{}, &journal{}
	s, disks := divideJob(t, &o, k, onVolumes, "/dev/ubda", "/dev/ubdb")
	if err := Run(t.Context(), s, img, disks, j, o); err != nil {
		t.Fatal(err)
	}
	inPool := func(root string) func() (top, at string) {
		return func() (string, string) {
			top := readOnly(t, "/dev/ubda2", "subvolid=5")
			return top, filepath.Join(top, root)
		}
	}
	checkVolumes(t, inPool("@roots/web-20261120.1@amd64"), true)
	again, disks := divideJob(t, &o, &keeper{}, "version: 1\nlayout: keep-pool\nmatch: {serial: D1}\n", "/dev/ubda",
		"/dev/ubdb")
	again.ID = "6b2f0a4e-7a1c-4d3e-9f00-0123456789ab"
	if err := Run(t.Context(), again, img, disks, j, o); err != nil || j.last().State != job.Done {
		t.Fatalf("an install into the pool = %v, %+v", err, j.last())
	}
	checkVolumes(t, inPool("@roots/web-20261120.1@amd64?*"), false)
}

// rootsOnVolumes is a layout whose roots are partitions, with an array and a volume group.
const rootsOnVolumes = `version: 1
disks:
  - id: a
    match: {serial: D1}
    partitions:
      - {id: esp, use: esp}
      - {id: root-a, use: root, size: 800M}
      - {id: root-b, use: root, size: 800M}
      - {id: shared, use: persistent, size: 128M}
      - {id: home-a, use: raid, size: 64M}
  - id: b
    match: {serial: D2}
    partitions:
      - {id: home-b, use: raid, size: 64M}
      - {id: pv, use: lvm, size: 64M}
raid:
  - {id: home, level: 1, devices: [home-a, home-b], use: home}
lvm_volgroup:
  - {id: vg0, devices: [pv], lvm_partitions: [{id: srv, size: rest, use: data, mount: /srv}]}
`

// The same where the roots are partitions: each of the two mounts the array and the volume, and the second install,
// which takes the other root, keeps them.
func TestLayoutRootsOnVolumes(t *testing.T) {
	if machineOf(t, 2300<<20, 160<<20) {
		return
	}
	o, img := takenAlong(t, fattest.Folder())
	k, j := &keeper{}, &journal{}
	s, disks := divideJob(t, &o, k, rootsOnVolumes, "/dev/ubda", "/dev/ubdb")
	if err := Run(t.Context(), s, img, disks, j, o); err != nil {
		t.Fatal(err)
	}
	inPartition := func(root string) func() (top, at string) {
		return func() (string, string) { return readOnly(t, "/dev/ubda4"), readOnly(t, root) }
	}
	checkVolumes(t, inPartition("/dev/ubda2"), true)
	again := spec("/dev/ubda")
	again.ID = "6b2f0a4e-7a1c-4d3e-9f00-0123456789ab"
	o.Journal, o.Look = nil, nil
	disks = []job.Disk{found(t, "/dev/ubda", "D1")}
	if err := Run(t.Context(), again, img, disks, j, o); err != nil || j.last().State != job.Done {
		t.Fatalf("an install into the other root = %v, %+v", err, j.last())
	}
	checkVolumes(t, inPartition("/dev/ubda3"), false)
	checkVolumes(t, inPartition("/dev/ubda2"), false)
}

// machineOf runs the test in a kernel that has arrays and volume groups, with blank disks of these sizes. It returns
// true where the test is done.
func machineOf(t *testing.T, sizes ...int64) bool {
	t.Helper()
	var folder string
	var images []string
	if !fattest.Inside() {
		folder = t.TempDir()
		takeAlong(t, folder, map[string]string{"usr/sbin/mdadm": "a program", "usr/sbin/lvm": "a program"})
		for i, size := range sizes {
			images = append(images, filepath.Join(folder, fmt.Sprint("disk", i)))
			if err := errors.Join(os.WriteFile(images[i], nil, 0o600), os.Truncate(images[i], size)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if fattest.Run(t, folder, images...) {
		return true
	}
	fattest.Load(t, "drivers/md/md-mod", "drivers/md/raid1", "drivers/md/dm-mod", "fs/nls/nls_iso8859-1")
	return false
}

// readOnly mounts a filesystem to be read, until the test or checkVolumes ends it.
func readOnly(t *testing.T, node string, options ...string) string {
	t.Helper()
	dir := t.TempDir()
	disktest.Tool(t, "mount", "-o", strings.Join(append(options, "ro"), ","), node, dir)
	return dir
}

// takeAlong puts what the test needs inside into a folder: GRUB's images, an agent, and an image with some programs.
func takeAlong(t *testing.T, folder string, programs map[string]string) {
	t.Helper()
	o := options(t)
	if err := errors.Join(os.CopyFS(filepath.Join(folder, "grub"), os.DirFS(o.GRUB)),
		os.WriteFile(filepath.Join(folder, "agent"), []byte("the agent\n"), 0o644)); err != nil {
		t.Fatal(err)
	}
	img := publish(t, func(dir string) {
		put(t, dir, map[string]string{"boot/vmlinuz-1": "a kernel", "boot/initrd.img-1": "an initrd",
			"etc/hostname": "x\n", "etc/machine-id": "", "etc/passwd": "root:x:0:0:root:/root:/bin/sh\n",
			"usr/lib/systemd/systemd": "process 1", "sbin/init": "-> ../usr/lib/systemd/systemd",
			"etc/group": "root:x:0:\n", "home/alice/notes": "hers"})
		put(t, dir, programs)
	})
	var manifest bytes.Buffer
	if _, err := img.Manifest.WriteTo(&manifest); err != nil {
		t.Fatal(err)
	}
	stream, err := os.ReadFile(img.Files[0])
	if err != nil {
		t.Fatal(err)
	}
	infos, err := json.Marshal(img.Infos)
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{"manifest": manifest.Bytes(), "stream": stream, "infos": infos} {
		if err := os.WriteFile(filepath.Join(folder, name), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// takenAlong is what takeAlong put there.
func takenAlong(t *testing.T, folder string) (Options, *sent) {
	t.Helper()
	img := &intaketest.Image{Files: []string{filepath.Join(folder, "stream")}}
	infos, err := os.ReadFile(filepath.Join(folder, "infos"))
	if err == nil {
		err = json.Unmarshal(infos, &img.Infos)
	}
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(filepath.Join(folder, "manifest"))
	if err == nil {
		img.Manifest, err = content.Parse(f)
	}
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	vars := t.TempDir()
	return Options{Machine: job.Identity{Serial: "ABC-123"}, GRUB: filepath.Join(folder, "grub"), Mount: t.TempDir(),
		Serial:   func(string) (string, error) { return "D1", nil },
		Firmware: func() (*nvram.Vars, error) { return nvram.In(vars), nil },
		MountESP: func(node, dir string) (func() error, error) {
			err := unix.Mount(node, dir, "vfat", 0, "iocharset=ascii")
			return func() error { return unmount(dir) }, err
		}}, img
}

// checkVolumes looks at a root and at the volumes, which are stopped; look mounts what the roots share, and says where
// that and the root are, the latter as a pattern. People write into /home after the first install.
func checkVolumes(t *testing.T, look func() (top, at string), first bool) {
	t.Helper()
	stopped := func() {
		t.Helper()
		mdstat, err := os.ReadFile("/proc/mdstat")
		dm, _ := filepath.Glob("/sys/class/block/dm-*")
		if err != nil || strings.Contains(string(mdstat), "active") || len(dm) > 0 {
			t.Errorf("these still run: %v, %s, %v", dm, mdstat, err)
		}
	}
	stopped()
	top, root := look()
	defer disktest.Tool(t, "umount", top)
	if !strings.HasPrefix(root, top) {
		defer disktest.Tool(t, "umount", root)
	}
	home := t.TempDir()
	record, err := kept.Of(top)
	if err != nil || len(record.Arrays) != 1 || len(record.Groups) != 1 {
		t.Fatalf("the machine keeps %+v, %v", record, err)
	}
	release, err := record.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	file, err := filepath.Glob(filepath.Join(root, "etc/fstab"))
	if err != nil || len(file) != 1 {
		t.Fatalf("the roots %s have %q, %v", root, file, err)
	}
	fstab, err := os.ReadFile(file[0])
	if err != nil {
		t.Fatal(err)
	}
	for node, at := range map[string]string{"/dev/md/home": "/home", "/dev/vg0/srv": "/srv"} {
		uuid := strings.TrimSpace(disktest.Tool(t, "blkid", "-p", "-s", "UUID", "-o", "value", node))
		if line := fmt.Sprintf("\nUUID=%s %s ext4 ", uuid, at); !strings.Contains(string(fstab), line) {
			t.Errorf("/etc/fstab of %s has no %q:\n%s", root, line, fstab)
		}
	}
	disktest.Tool(t, "mount", "/dev/md/home", home)
	notes, err := os.ReadFile(filepath.Join(home, "alice/notes"))
	if want := map[bool]string{true: "hers", false: "hers, later"}[first]; err != nil || string(notes) != want {
		t.Errorf("/home has %q, %v, want %q", notes, err, want)
	}
	if err := os.WriteFile(filepath.Join(home, "alice/notes"), []byte("hers, later"), 0o600); err != nil {
		t.Error(err)
	}
	disktest.Tool(t, "umount", home)
	if err := release(t.Context()); err != nil {
		t.Error(err)
	}
	stopped()
}
