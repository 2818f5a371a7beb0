package disk

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"griddle/initramfs/disk/content"
	"griddle/initramfs/disk/disktest"
)

// TestRemovable: what people plug in is removable, by whatever the kernel says of its bus and of the port.
func TestRemovable(t *testing.T) {
	const pci = "devices/pci0000:00/0000:00:1c.0/"
	for _, c := range []struct {
		device string
		attrs  map[string]string
		want   bool
	}{
		{"devices/platform/mmc0/mmc0:0001/block/mmcblk0", map[string]string{"device/type": "MMC\n"}, false}, // eMMC
		{"devices/platform/mmc1/mmc1:0001/block/mmcblk1", map[string]string{"device/type": "SD\n"}, true},
		{"devices/platform/mmc2/mmc2:0001/block/mmcblk2", map[string]string{"device/type": "SDcombo\n"}, true},
		{"devices/platform/mmc3/mmc3:0001/block/mmcblk3", nil, true}, // it does not say
		{pci + "ata1/host0/target0:0:0/0:0:0:0/block/sda", map[string]string{"removable": "0\n"}, false},
		{pci + "ata2/host1/target1:0:0/1:0:0:0/block/sdb", map[string]string{"removable": "1\n"}, true},
		{pci + "usb1/1-2/1-2:1.0/host4/target4:0:0/4:0:0:0/block/sdc", map[string]string{"removable": "0\n"}, true},
		{pci + "usb1/1-3/1-3:1.0/block/nvme7n1", nil, true},
		{pci + "fw0/fw0.0/host6/target6:0:0/6:0:0:0/block/sdd", nil, true},
		{pci + "pcmcia_socket0/pcmcia0.0/block/pcd0", nil, true},
		{pci + "memstick0/block/mspblk0", nil, true},
		{pci + "0000:01:00.0/nvme/nvme0/nvme0n1", nil, false},
		// Thunderbolt
		{"devices/pci0000:00/0000:00:1d.0/0000:05:00.0/nvme/nvme1/nvme1n1",
			map[string]string{"../../../removable": "removable\n"}, true},
		{"devices/pci0000:00/0000:00:1e.0/0000:06:00.0/nvme/nvme2/nvme2n1",
			map[string]string{"../../../removable": "fixed\n"}, false},
		{"devices/pci0000:00/0000:00:03.0/virtio1/block/vda", nil, false},
	} {
		attrs := map[string]string{"size": "2048\n"}
		for k, v := range c.attrs {
			attrs[k] = v
		}
		dir := fakeSys(t, map[string]map[string]string{c.device: attrs})
		scan := &Scanner{Sys: os.DirFS(dir), Open: openBlank("", "")}
		disks, err := scan.Scan(t.Context())
		if err != nil || len(disks) != 1 || disks[0].Removable != c.want || disks[0].Blank() == c.want {
			t.Errorf("%s: %+v, %v; want removable %v, and blank only where it is not", c.device, disks, err, c.want)
		}
	}
}

// TestPlace: the names that udev gives, for the buses that it is simple for.
func TestPlace(t *testing.T) {
	const pci = "devices/pci0000:00/"
	for _, c := range []struct {
		device string
		attrs  map[string]string
		wwn    string
		place  string
	}{
		{pci + "0000:00:03.0/virtio1/block/vda", nil, "", "pci-0000:00:03.0"},
		{pci + "0000:00:1c.0/0000:01:00.0/nvme/nvme0/nvme0n1", map[string]string{"nsid": "1\n",
			"wwid": "eui.0025385b71b04e4c\n"}, "eui.0025385b71b04e4c", "pci-0000:01:00.0-nvme-1"},
		{pci + "0000:00:1f.2/ata5/host4/target4:0:0/4:0:0:0/block/sda", map[string]string{
			"../../../../../ata_port/ata5/port_no": "3\n", "device/wwid": "naa.5000c500a1b2c3d4\n"},
			"naa.5000c500a1b2c3d4", "pci-0000:00:1f.2-ata-3"},
		// port multiplier
		{pci + "0000:00:1f.2/ata5/host4/target4:1:0/4:1:0:0/block/sda",
			map[string]string{"../../../../../ata_port/ata5/port_no": "3\n"}, "", ""},
		{pci + "0000:00:05.0/host2/target2:0:0/2:0:0:0/block/sda",
			map[string]string{"device/wwid": "t10.ATA     QEMU HARDDISK\n"}, "", ""},
		{"devices/platform/mmc0/mmc0:0001/block/mmcblk0", nil, "", ""},
	} {
		attrs := map[string]string{"size": "2048\n"}
		for k, v := range c.attrs {
			attrs[k] = v
		}
		dir := fakeSys(t, map[string]map[string]string{c.device: attrs})
		d, ok := fromSysfs(os.DirFS(dir), filepath.Base(c.device))
		if !ok || d.WWN != c.wwn || d.Place != c.place {
			t.Errorf("%s: WWN %q, place %q; want %q and %q", c.device, d.WWN, d.Place, c.wwn, c.place)
		}
	}
}

const tib = int64(1) << 40

// slow is a disk of zeros that takes its time, and counts.
type slow struct {
	disktest.Filled
	opened *atomic.Int32
}

func (slow) Close() error { return nil }

func open(size int64, wait time.Duration, opened *atomic.Int32) func(string) (Device, error) {
	return func(string) (Device, error) {
		opened.Add(1)
		return &slow{disktest.Filled{Size: size, Wait: wait}, opened}, nil
	}
}

// TestScanReadsDisksTogether: ten disks that take 12 seconds each take 12 seconds, and what is too slow is not blank.
func TestScanReadsDisksTogether(t *testing.T) {
	devices := map[string]map[string]string{}
	for i := range 10 {
		devices[fmt.Sprintf("devices/virtio%d/block/vd%c", i, 'a'+i)] = map[string]string{"size": fmt.Sprint(tib / 512)}
	}
	sys := os.DirFS(fakeSys(t, devices))
	for wait, blank := range map[time.Duration]bool{10 * time.Millisecond: true, 40 * time.Millisecond: false} {
		synctest.Test(t, func(t *testing.T) {
			var opened atomic.Int32
			began := time.Now()
			disks, err := (&Scanner{Sys: sys, Open: open(tib, wait, &opened)}).Scan(t.Context())
			if took := time.Since(began); err != nil || len(disks) != 10 || took > scanTimeout {
				t.Errorf("Scan = %d disks, %v, after %s", len(disks), err, took)
			}
			for _, d := range disks {
				if d.Blank() != blank || !blank && !strings.Contains(d.Sampled, "not read in time") {
					t.Errorf("%s with %s a read: %q", d.Path, wait, d.Sampled)
				}
			}
		})
	}
}

// TestScanOfSilentDisk: a disk that does not answer holds up nothing for longer than the limit, is not blank and cannot
// be written; and it is not asked again while it is still busy with the first question.
func TestScanOfSilentDisk(t *testing.T) {
	sys := os.DirFS(fakeSys(t, map[string]map[string]string{
		"devices/virtio1/block/vda": {"size": "2048"}, "devices/virtio2/block/vdb": {"size": "2048"},
	}))
	synctest.Test(t, func(t *testing.T) {
		var opened, other atomic.Int32
		scan := &Scanner{Sys: sys, Open: func(path string) (Device, error) {
			if path == "/dev/vdb" {
				return open(1<<20, 0, &other)(path)
			}
			return open(1<<20, time.Hour, &opened)(path)
		}}
		for range 3 {
			disks, err := scan.Scan(t.Context())
			if !errors.Is(err, errSilent) || !strings.Contains(err.Error(), "/dev/vda") || len(disks) != 2 {
				t.Fatalf("Scan = %+v, %v; want both disks and errSilent", disks, err)
			}
			if a, b := disks[0], disks[1]; a.Blank() || !a.ReadOnly || !b.Blank() || b.ReadOnly {
				t.Errorf("Scan = %+v; want the silent one read-only and the other blank", disks)
			}
		}
		if opened.Load() != 1 {
			t.Errorf("the silent disk was opened %d times, want once", opened.Load())
		}
		time.Sleep(200 * time.Hour) // it comes back
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, _ = scan.Scan(ctx)
		if opened.Load() != 2 {
			t.Error("the disk that came back is not asked again")
		}
		time.Sleep(200 * time.Hour)
	})
}

// TestScanRemembersSamples: a disk is sampled again when the kernel has counted a write or another disk has the
// name, and not before.
func TestScanRemembersSamples(t *testing.T) {
	dir := fakeSys(t, map[string]map[string]string{"devices/virtio1/block/vda": {"size": fmt.Sprint(tib / 512),
		"diskseq": "9\n", "stat": "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15\n"}})
	var reads []int
	scan := &Scanner{Sys: os.DirFS(dir)}
	scan.Open = func(string) (Device, error) { return &counted{disktest.Filled{Size: tib}, &reads}, nil }
	look := func() int {
		reads = append(reads, 0)
		disks, err := scan.Scan(t.Context())
		if err != nil || len(disks) != 1 || !disks[0].Blank() {
			t.Fatalf("Scan = %+v, %v; want one blank disk", disks, err)
		}
		return reads[len(reads)-1]
	}
	set := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, "devices/virtio1/block/vda", name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name    string
		change  func()
		sampled bool
	}{
		{"first", func() {}, true},
		{"again", func() {}, false},
		{"after reads", func() { set("stat", "100 200 300 400 5 6 7 8 9 10 11 12 13 14 15\n") }, false},
		{"after a write", func() { set("stat", "1 2 3 4 6 6 8 8 9 10 11 12 13 14 15\n") }, true},
		{"after a discard", func() { set("stat", "1 2 3 4 6 6 8 8 9 10 11 13 13 15 15\n") }, true},
		{"another disk", func() { set("diskseq", "10\n") }, true},
		{"the same", func() {}, false},
		{"a kernel that does not count", func() { set("diskseq", "") }, true},
		{"and again", func() {}, true},
	} {
		c.change()
		if n := look(); (n > 1000) != c.sampled {
			t.Errorf("%s: %d reads, want a sample: %v", c.name, n, c.sampled)
		}
	}
}

// counted counts reads into the last of a list.
type counted struct {
	disktest.Filled
	reads *[]int
}

func (c *counted) ReadAt(b []byte, at int64) (int, error) {
	(*c.reads)[len(*c.reads)-1]++
	return c.Filled.ReadAt(b, at)
}
func (*counted) Close() error { return nil }

// TestScanSamplesOnlyWhatARuleTakes: of what is recognised, removable or read-only no sample is read.
func TestScanSamplesOnlyWhatARuleTakes(t *testing.T) {
	for name, c := range map[string]struct {
		attrs map[string]string
		odd   []disktest.Extent
	}{
		"removable":  {attrs: map[string]string{"removable": "1"}},
		"read-only":  {attrs: map[string]string{"ro": "1"}},
		"recognised": {odd: []disktest.Extent{{From: 0x10040, To: 0x10048}}},
	} {
		attrs := map[string]string{"size": fmt.Sprint(tib / 512)}
		for k, v := range c.attrs {
			attrs[k] = v
		}
		dir := fakeSys(t, map[string]map[string]string{"devices/virtio1/block/vda": attrs})
		reads := []int{0}
		d := &counted{disktest.Filled{Size: tib, Odd: c.odd}, &reads}
		scan := &Scanner{Sys: os.DirFS(dir), Open: func(string) (Device, error) { return d, nil }}
		if name == "recognised" {
			scan.Ask = func(context.Context, content.Region) content.Answer {
				return content.Answer{Signature: content.Signature{Type: "zonefs"}}
			}
		}
		disks, err := scan.Scan(t.Context())
		if err != nil || len(disks) != 1 || disks[0].Blank() || disks[0].Sampled != "" || reads[0] > 100 {
			t.Errorf("%s: %+v, %v, after %d reads; want no sample", name, disks, err, reads[0])
		}
	}
}
