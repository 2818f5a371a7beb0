package divide

import (
	"strings"
	"testing"

	"griddle/appliance/layout"
	"griddle/appliance/layout/plan"
	"griddle/initramfs/disk/disktest"
	"griddle/initramfs/umltest/fattest"
)

// TestAssembled has a volume group of LVM and a RAID of md on the disk that another system made. While they are
// assembled nothing is written, and afterwards what the layout does not mention stays. It runs in user-mode Linux,
// whose kernel has both.
func TestAssembled(t *testing.T) {
	if fattest.Inside() {
		fattest.Run(t, "")
		assembled(t)
		return
	}
	m := &machine{t: t}
	file := disktest.File(t, 900*mib)
	dev := m.attach("S1", file, 512)
	disktest.Tool(t, "sgdisk", "-n", "1:1M:+300M", "-t", "1:ef00", "-n", "2:0:+100M", "-t", "2:8e00", "-n", "3:0:+64M",
		"-t", "3:fd00", "-n", "4:0:+64M", "-t", "4:fd00", dev)
	disktest.Tool(t, "partx", "--update", dev)
	disktest.Tool(t, "mkfs.vfat", "-F", "32", "-s", "1", dev+"p1")
	disktest.Tool(t, "blockdev", "--flushbufs", dev+"p1")
	disktest.Tool(t, "blockdev", "--flushbufs", dev)
	fattest.Run(t, t.TempDir(), file)
}

// assembled is the test, inside.
func assembled(t *testing.T) {
	t.Helper()
	fattest.Load(t, "drivers/md/dm-mod", "drivers/md/md-mod", "drivers/md/raid1")
	t.Setenv("MDADM_NO_UDEV", "1")
	const dev, lv, md = "/dev/ubda", "/dev/mapper/vg-lv", "/dev/md0"
	m := &machine{t: t, disks: map[string]string{"S1": dev}}
	lvm := func(name string, args ...string) {
		t.Helper()
		disktest.Tool(t, name, append([]string{"-qq", "--config", `devices{use_devicesfile=0 types=["ubd",16]} ` +
			`backup{backup=0 archive=0} activation{udev_sync=0 udev_rules=0 monitoring=0}`}, args...)...)
	}
	disktest.Tool(t, "partx", "--update", dev)
	lvm("pvcreate", "-y", dev+"2")
	lvm("vgcreate", "vg", dev+"2")
	lvm("lvcreate", "-y", "--zero", "n", "--wipesignatures", "n", "--name", "lv", "--size", "40M", "vg")
	disktest.Tool(t, "mdadm", "--create", md, "--run", "--level=1", "--raid-devices=2", "--assume-clean",
		"--metadata=1.2", dev+"3", dev+"4")
	noise(t, lv, mib, mib)
	noise(t, md, 2*mib, mib)
	content := func() string {
		t.Helper()
		out := disktest.Tool(t, "sfdisk", "--dump", dev)
		for _, of := range []string{lv, md} {
			disktest.Tool(t, "blockdev", "--flushbufs", of)
			out += disktest.Tool(t, "cksum", of)
		}
		return out
	}
	before := content()
	wiped := layout.Form{Version: 1, Layout: layout.WholeDisk, Wipe: true}
	wiped.Match.Size = "largest"
	beside := m.plan(of(esp, pool))
	for name, p := range map[string]plan.Plan{"beside": beside, "wiped": m.plan(wiped.Document())} {
		if _, err := m.run(p, &book{}); err == nil || !strings.Contains(err.Error(), "something on it is in use") {
			t.Errorf("%s: Run = %v", name, err)
		}
		if now := content(); now != before {
			t.Errorf("%s: before there was\n%s\nand now\n%s", name, before, now)
		}
	}
	lvm("vgchange", "--activate", "n", "vg")
	disktest.Tool(t, "mdadm", "--stop", md)
	made, err := m.run(beside, &book{})
	if err != nil || made.Pool.Node != dev+"5" {
		t.Fatalf("Run = %+v, %v", made, err)
	}
	lvm("vgchange", "--activate", "y", "vg")
	disktest.Tool(t, "mdadm", "--assemble", "--run", md, dev+"3", dev+"4")
	table := func(text string) string { // without the entry of the pool
		var out strings.Builder
		for line := range strings.Lines(text) {
			if !strings.HasPrefix(line, dev+"5") {
				out.WriteString(line)
			}
		}
		return out.String()
	}
	if now := table(content()); now != before {
		t.Errorf("before there was\n%s\nand afterwards\n%s", before, now)
	}
	lvm("vgchange", "--activate", "n", "vg")
	disktest.Tool(t, "mdadm", "--stop", md)
}
