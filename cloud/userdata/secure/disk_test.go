package secure_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"griddle/cloud/guesttest"
)

// script makes loop devices of the images named, and runs the data-disk script for them alone, in a mount namespace
// in which /etc and /srv are its own. It ends with what the test asks for.
const rig = `set -e
mount --make-rprivate /
mount -t tmpfs none /srv
mkdir "$1/etc"
ln -s /proc/self/mounts "$1/etc/mtab"
: >"$1/etc/fstab"
mount --bind "$1/etc" /etc
# Nothing here answers for udev, and the test may itself be in a container.
mkdir "$1/bin"
for p in udevadm systemctl; do printf '#!/bin/sh\n' >"$1/bin/$p"; done
printf '#!/bin/sh\nexit 1\n' >"$1/bin/systemd-detect-virt"
chmod +x "$1"/bin/*
PATH=$1/bin:$PATH
shift
script=$1 label=$2 size=$3; shift 3
loops=
trap 'umount /srv/data 2>/dev/null || :; for l in $loops; do losetup -d $l; done' EXIT
# A program that looks at all disks may have kept what the loop device showed before, and a test before this one may
# have left partitions.
for i; do l=$(losetup --show -f "$i"); loops="$loops $l"; partx -d "$l" 2>/dev/null || :; blockdev --flushbufs "$l"; done
sh "$script" "$label" /srv/data "$size" $loops && rc=0 || rc=$?
[ $rc = 0 ] && { losetup -n -O BACK-FILE "$(findmnt -n -o SOURCE /srv/data)"; cat /etc/fstab; ls -A /srv/data; echo kept >/srv/data/kept; }
exit $rc
`

// mount runs the script over images, and returns what it printed.
func mount(t *testing.T, label string, size int64, images ...string) (string, error) {
	t.Helper()
	script, err := filepath.Abs("scripts/data-disk.sh")
	if err != nil {
		t.Fatal(err)
	}
	args := append([]string{"--mount", "sh", "-c", rig, "sh", t.TempDir(), script, label, fmt.Sprint(size)}, images...)
	out, err := exec.CommandContext(t.Context(), "unshare", args...).CombinedOutput()
	return string(out), err
}

// image makes a disk of size MiB.
func image(t *testing.T, dir, name string, size int64, change ...string) string {
	t.Helper()
	p := filepath.Join(dir, name)
	if err := os.WriteFile(p, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(p, size<<20); err != nil {
		t.Fatal(err)
	}
	for _, c := range change {
		cmd := exec.CommandContext(t.Context(), "sh", "-ec", c, "sh", p)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s; run make deps", c, err, out)
		}
	}
	return p
}

// TestDataDisk: one blank disk is taken, and every other one is byte for byte what it was.
func TestDataDisk(t *testing.T) {
	dir, label := t.TempDir(), fmt.Sprintf("gd-%d-", os.Getpid())
	at := func(offset string) string {
		return `printf x | dd of="$1" bs=1 conv=notrunc status=none seek=$((` + offset + `))`
	}
	used := map[string]string{
		image(t, dir, "ext4", 70,
			`mke2fs -q -F -t ext4 "$1"`): "holds ext4",
		image(t, dir, "btrfs", 130,
			`mkfs.btrfs -q "$1"`): "holds btrfs",
		image(t, dir, "gpt", 70,
			`sgdisk -n 1 "$1" >/dev/null`): "holds gpt",
		image(t, dir, "gptonly", 70,
			`sgdisk -o "$1" >/dev/null`): "holds gpt",
		image(t, dir, "backup", 70,
			`sgdisk -o "$1" >/dev/null; dd if=/dev/zero of="$1" bs=1M count=1 conv=notrunc status=none`): "has a",
		image(t, dir, "swap", 70,
			`mkswap "$1" >/dev/null 2>&1`): "holds swap",
		image(t, dir, "first", 70,
			at("1<<20 - 1")): "has data in its first 16 MiB",
		image(t, dir, "last", 70,
			at("(69<<20) + 5")): "has data in its last 16 MiB",
		image(t, dir, "middle", 80,
			at("(40<<20) + 9")): "has data",
		image(t, dir, "between", 210,
			`yes | dd of="$1" bs=1M count=11 seek=106 iflag=fullblock conv=notrunc status=none`): "has data",
		image(t, dir, "super", 130,
			at("(128<<20) + 1024")): "has data",
		image(t, dir, "small",
			63): "is smaller than 64 MiB",
	}
	var images []string
	before := map[string]string{}
	for p := range used {
		images, before[p] = append(images, p), guesttest.Digest(t, p)
	}
	unharmed := func() {
		t.Helper()
		for p, want := range before {
			if guesttest.Digest(t, p) != want {
				t.Errorf("%s was written to", filepath.Base(p))
			}
		}
	}

	out, err := mount(t, label+"0", 0, images...)
	if err == nil || !strings.Contains(out, "/srv/data: no blank disk") {
		t.Errorf("without a blank disk: %v: %s", err, out)
	}
	for p, why := range used {
		if !strings.Contains(out, why) {
			t.Errorf("of %s it does not say that it %s: %s", filepath.Base(p), why, out)
		}
	}
	unharmed()

	small, large := image(t, dir, "blank-small", 100), image(t, dir, "blank-large", 200)
	all := append(images, small, large)
	out, err = mount(t, label+"1", 0, all...)
	if err != nil || !strings.HasPrefix(out, large+"\nLABEL="+label+"1 /srv/data ext4 defaults,nofail,") {
		t.Errorf("with two blank disks: %v: %s, want the larger one", err, out)
	}
	out, err = mount(t, label+"2", 100<<20, all...)
	if err != nil || !strings.HasPrefix(out, small+"\n") {
		t.Errorf("with one of the size: %v: %s, want that one", err, out)
	}
	unharmed()

	// Another system finds its disk again with what was on it, and does not take a blank one.
	third := image(t, dir, "blank-third", 300)
	blank := guesttest.Digest(t, third)
	out, err = mount(t, label+"1", 0, append(all, third)...)
	if err != nil || !strings.HasPrefix(out, large+"\n") || !strings.Contains(out, "kept\n") {
		t.Errorf("with the disk of before: %v: %s, want it with its file", err, out)
	}
	if guesttest.Digest(t, third) != blank {
		t.Error("the blank disk was written to")
	}
	unharmed()

	twin := filepath.Join(dir, "twin")
	if out, err := exec.CommandContext(t.Context(), "cp", "--sparse=always", large, twin).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if out, err = mount(t, label+"1", 0, append(all, twin)...); err == nil ||
		!strings.Contains(out, "more than one disk has the label") {
		t.Errorf("with two disks of before: %v: %s", err, out)
	}
}
