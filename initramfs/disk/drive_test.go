package disk

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// TestDrive: what sysfs says of a disk's hardware, as kernels 6.1 and 6.12 write it.
func TestDrive(t *testing.T) {
	const pci = "devices/pci0000:00/0000:00:1f.2/"
	for _, c := range []struct {
		name, device string
		attrs        map[string]string
		want         Disk // of which the fields below count
	}{
		{"hard disk with 512e", pci + "ata1/host0/target0:0:0/0:0:0:0/block/sda", map[string]string{
			"queue/logical_block_size": "512\n", "queue/physical_block_size": "4096\n", "queue/rotational": "1\n",
			"device/rev": "80.0\n"},
			Disk{SectorSize: 512, Physical: 4096, Rotational: Rotates, Firmware: "80.0"}},
		{"4Kn", pci + "ata1/host0/target0:0:0/0:0:0:0/block/sda", map[string]string{
			"queue/logical_block_size": "4096\n", "queue/physical_block_size": "4096\n", "queue/rotational": "0\n"},
			Disk{SectorSize: 4096, Physical: 4096, Rotational: Solid}},
		{"NVMe", pci + "nvme/nvme0/nvme0n1", map[string]string{"queue/logical_block_size": "512\n",
			"queue/physical_block_size": "512\n", "queue/rotational": "0\n", "device/firmware_rev": "4B2QGXA7\n"},
			Disk{SectorSize: 512, Physical: 512, Rotational: Solid, Firmware: "4B2QGXA7"}},
		{"virtual", pci + "virtio1/block/vda", map[string]string{"queue/rotational": "1\n"},
			Disk{SectorSize: 512, Physical: 512}},
		{"stick", pci + "usb1/1-2/1-2:1.0/host4/target4:0:0/4:0:0:0/block/sdb", map[string]string{
			"queue/rotational": "1\n", "device/rev": "1.00\n"}, Disk{SectorSize: 512, Physical: 512, Firmware: "1.00"}},
		{"nonsense", pci + "host6/target6:0:0/6:0:0:0/block/sdd", map[string]string{
			"queue/logical_block_size": "0\n", "queue/physical_block_size": "many\n", "queue/rotational": "2\n",
			"device/rev": "\x1b[2J\n"}, Disk{SectorSize: 512, Physical: 512, Firmware: "[2J"}},
		{"eMMC", "devices/platform/mmc0/mmc0:0001/block/mmcblk0", map[string]string{"device/fwrev": "0x0\n",
			"../mmcblk0boot0/size": "8192\n", "../mmcblk0boot1/size": "8192\n", "../mmcblk10boot1/size": "1\n"},
			Disk{SectorSize: 512, Physical: 512, Firmware: "0x0",
				BootAreas: []string{"/dev/mmcblk0boot0", "/dev/mmcblk0boot1"}}},
	} {
		attrs := map[string]string{"size": "2048\n"}
		for k, v := range c.attrs {
			attrs[k] = v
		}
		dir := fakeSys(t, map[string]map[string]string{c.device: attrs})
		for _, area := range []string{"mmcblk0boot0", "mmcblk0boot1", "mmcblk10boot1"} {
			if c.name == "eMMC" {
				link := filepath.Join(dir, "block", area)
				if err := os.Symlink("../devices/platform/mmc0/mmc0:0001/block/"+area, link); err != nil {
					t.Fatal(err)
				}
			}
		}
		d, ok := fromSysfs(os.DirFS(dir), filepath.Base(c.device))
		if !ok || d.SectorSize != c.want.SectorSize || d.Physical != c.want.Physical ||
			d.Rotational != c.want.Rotational || d.Firmware != c.want.Firmware ||
			!slices.Equal(d.BootAreas, c.want.BootAreas) {
			t.Errorf("%s: %+v, want %+v", c.name, d, c.want)
		}
	}
}

// TestIdentifyCompletes: sysfs cuts the firmware revision of an ATA disk at 4 characters.
func TestIdentifyCompletes(t *testing.T) {
	d := Disk{Bus: "sata", Serial: "S", Model: "M", Firmware: "80.0"}
	d.identify(blankDevice{nil, "", "", "80.00A80"})
	if d.Firmware != "80.00A80" || d.Model != "M" || d.Serial != "S" {
		t.Errorf("identify = %+v", d)
	}
}
