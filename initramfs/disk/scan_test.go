package disk

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"griddle/initramfs/disk/content"
	"griddle/initramfs/disk/disktest"
)

// fakeSys lays out a /sys: block/NAME is a symlink to the device's folder, as the kernel has it.
func fakeSys(t *testing.T, devices map[string]map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for device, attrs := range devices {
		for name, text := range attrs {
			p := filepath.Join(root, device, name)
			if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(p, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.MkdirAll(filepath.Join(root, "block"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink("../"+device, filepath.Join(root, "block", filepath.Base(device))); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// blankDevice is a disk without a byte on it that tells who it is.
type blankDevice struct {
	*bytes.Reader
	model, serial, firmware string
}

func (blankDevice) Close() error                         { return nil }
func (b blankDevice) Identify() (string, string, string) { return b.model, b.serial, b.firmware }
func openBlank(model, serial string) func(string) (Device, error) {
	return func(string) (Device, error) {
		return blankDevice{bytes.NewReader(make([]byte, 1<<20)), model, serial, ""}, nil
	}
}

func TestScan(t *testing.T) {
	const pci = "devices/pci0000:00/0000:00:03.0/"
	size := func(more ...string) map[string]string {
		m := map[string]string{"size": "2048\n", "queue/logical_block_size": "512\n", "removable": "0\n", "ro": "0\n"}
		for i := 0; i+1 < len(more); i += 2 {
			m[more[i]] = more[i+1]
		}
		return m
	}
	dir := fakeSys(t, map[string]map[string]string{
		pci + "virtio1/block/vda": size("serial", "VIRT-1",
			"device/vendor", "0x1af4\n"),
		pci + "nvme/nvme0/nvme0n1": size("device/serial", "NV1   \n", "device/model",
			"Fast Disk   \n", "queue/logical_block_size", "4096\n"),
		pci + "nvme/nvme0/nvme0c0n1": size("hidden", "1\n"),
		pci + "ata1/host0/target0:0:0/0:0:0:0/block/sda": size("device/vendor", "ATA     \n",
			"device/model", "WDC WD10EZEX-00B\n", "device/vpd_pg80", "\x00\x80\x00\x08  WD-123"),
		pci + "ata2/host1/target1:0:0/1:0:0:0/block/sr0": size(),
		pci + "usb1/1-2/1-2:1.0/host4/target4:0:0/4:0:0:0/block/sdb": size("removable", "1\n", "device/vendor",
			"Kingston\n", "device/model", "DataTraveler\n"),
		pci + "usb1/1-3/1-3:1.0/host5/target5:0:0/5:0:0:0/block/sdc": size("size", "0\n"),
		pci + "host6/target6:0:0/6:0:0:0/block/sdd": size("ro", "1\n", "device/model",
			"\x1b[2JArray\xff\n"),
		"devices/platform/mmc0/mmc0:0001/block/mmcblk0": size("device/name", "SD32G\n",
			"device/serial", "0x1234\n"),
		"devices/platform/mmc0/mmc0:0001/block/mmcblk0boot0": size(),
		"devices/platform/mmc0/mmc0:0001/block/mmcblk0gp1":   size(),
		"devices/virtual/block/loop0":                        size(),
		"devices/virtual/block/zram0":                        size(),
		"devices/virtual/block/dm-0":                         size(),
		"devices/virtual/block/md127":                        size(),
		"devices/virtual/block/md_d0":                        size(),
		"devices/virtual/block/ram3":                         size(),
		pci + "virtio2/block/vdb":                            size("size", "lots"),
	})
	// The serial of a stick is its USB device's.
	if err := os.WriteFile(filepath.Join(dir, pci, "usb1/1-2/serial"), []byte("USB-9\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	scan := &Scanner{Sys: os.DirFS(dir), Open: openBlank("WDC WD10EZEX-00BN5A0", "from the disk")}
	disks, err := scan.Scan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, d := range disks {
		flags := ""
		if d.Removable {
			flags += " removable"
		}
		if d.ReadOnly {
			flags += " ro"
		}
		got = append(got, strings.Join([]string{d.Path, d.Bus, d.Model, d.Serial}, "|")+flags)
		if d.Size != 1<<20 || (d.SectorSize == 4096) != (d.Name == "nvme0n1") || d.Blank() != (flags == "") {
			t.Errorf("disk = %+v", d)
		}
	}
	want := []string{
		"/dev/mmcblk0|mmc|SD32G|0x1234 removable",
		"/dev/nvme0n1|nvme|Fast Disk|NV1",
		"/dev/sda|sata|WDC WD10EZEX-00BN5A0|WD-123",
		"/dev/sdb|usb|Kingston DataTraveler|USB-9 removable",
		"/dev/sdd|scsi|WDC WD10EZEX-00BN5A0|from the disk ro",
		"/dev/vda|virtio|WDC WD10EZEX-00BN5A0|VIRT-1",
	}
	if !slices.Equal(got, want) {
		t.Errorf("Scan =\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestScanOfDiskThatCannotBeRead(t *testing.T) {
	dir := fakeSys(t, map[string]map[string]string{"devices/virtio1/block/vda": {"size": "2048"}})
	broken := errors.New("broken")
	scan := &Scanner{Sys: os.DirFS(dir), Open: func(string) (Device, error) { return nil, broken }}
	disks, err := scan.Scan(t.Context())
	if !errors.Is(err, broken) || len(disks) != 1 || !disks[0].ReadOnly || disks[0].Blank() {
		t.Errorf("Scan = %+v, %v; want the disk, read-only, and the error", disks, err)
	}
}

func TestOpen(t *testing.T) {
	dev, err := Open(disktest.Loop(t, 1<<20, 512))
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Close()
	model, serial, firmware := dev.(interface {
		Identify() (string, string, string)
	}).Identify()
	if model != "" || serial != "" || firmware != "" {
		t.Errorf("Identify of a loop device = %q, %q, %q; want nothing", model, serial, firmware)
	}
	if c, err := content.Inspect(dev, 1<<20, 512); err != nil || c.Recognised() {
		t.Errorf("Inspect of zeros = %+v, %v; want nothing", c, err)
	}
}

func TestVPDSerial(t *testing.T) {
	for in, want := range map[string]string{
		"\x00\x80\x00\x04ABCDEF": "ABCD", "\x00\x80\xff\xffAB ": "AB", "": "", "\x00\x83\x00\x01A": "",
		"\x00\x80\x00\x00": "",
	} {
		if got := vpdSerial([]byte(in)); got != want {
			t.Errorf("vpdSerial(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestFind(t *testing.T) {
	dir := fakeSys(t, map[string]map[string]string{
		"devices/pci0000:00/ata1/sda": {"size": "2048\n", "device/model": "SHORT\n"},
	})
	d, err := Find(os.DirFS(dir), openBlank("A LONGER MODEL", "S1"), "/dev/sda")
	if err != nil || d.Path != "/dev/sda" || d.Serial != "S1" || d.Model != "A LONGER MODEL" || d.Size != 1<<20 {
		t.Errorf("Find = %+v, %v", d, err)
	}
	if _, err := Find(os.DirFS(dir), openBlank("", ""), "/dev/sdb"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Find of no disk = %v, want fs.ErrNotExist", err)
	}
}

// FuzzSysfs: whatever a device says of itself, its names are clean.
func FuzzSysfs(f *testing.F) {
	f.Add("pci0000:00/0000:00:1f.2/ata1/host0/target0:0:0/0:0:0:0", "Model\xff", "S1", "naa.5",
		[]byte("\x00\x80\x00\x04ABCD"))
	f.Add("pci0000:00/0000:00:1f.2/ata1", "", "", "t10.x", []byte("\x00\x80\xff\xff\x1b[2J"))
	f.Add("usb1/1-2", "\x00", "\n", "", []byte{})
	f.Fuzz(func(t *testing.T, link, model, serial, wwn string, vpd []byte) {
		file := func(s string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(s)} }
		sys := fstest.MapFS{
			"block/sda": {Data: []byte("../devices/" + link + "/block/sda"), Mode: fs.ModeSymlink},
		}
		dir := path.Join("devices", link, "block/sda")
		if !fs.ValidPath(dir) {
			return
		}
		for name, text := range map[string]string{"size": "2048", "device/model": model, "device/serial": serial,
			"wwid": wwn, "device/vpd_pg80": string(vpd)} {
			sys[path.Join(dir, name)] = file(text)
		}
		d, ok := fromSysfs(sys, "sda")
		if !ok {
			return
		}
		for _, s := range []string{d.Model, d.Serial, d.WWN, d.Place, d.Bus} {
			if content.Clean(s) != s || len(s) > 8192 {
				t.Errorf("%q says %q of itself", link, s)
			}
		}
	})
}
