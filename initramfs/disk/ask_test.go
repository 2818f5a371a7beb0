package disk

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"griddle/initramfs/disk/content"
	"griddle/initramfs/disk/disktest"
)

// TestScanAsksBlkid: labels that Inspect does not read, formats that it does not know, and partitions, as blkid says.
func TestScanAsksBlkid(t *testing.T) {
	dir := t.TempDir()
	disk := filepath.Join(dir, "vda")
	disktest.Image(t, disk, 256<<20, "sgdisk -n 1:1M:+64M -t 1:0700 -n 2:65M:+64M -n 3:129M:+64M")
	f, err := os.OpenFile(disk, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for at, command := range map[int64]string{1: "mkntfs -q -F -Q -L Win=dows$", 65: "mkfs.exfat -L CARD",
		129: "mkfs.ext4 -q -F -L own"} {
		part := filepath.Join(dir, "part")
		disktest.Image(t, part, 64<<20, command)
		b, err := os.ReadFile(part)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteAt(b, at<<20); err != nil {
			t.Fatal(err)
		}
	}
	sys := fakeSys(t, map[string]map[string]string{"devices/virtio1/block/vda": {"size": "524288"}})
	scan := func(ask func(context.Context, content.Region) content.Answer) []content.Partition {
		s := &Scanner{Sys: os.DirFS(sys), Open: Open, Ask: ask, Dev: dir}
		disks, err := s.Scan(t.Context())
		if err != nil || len(disks) != 1 || disks[0].Table != "gpt" {
			t.Fatalf("Scan = %+v, %v", disks, err)
		}
		return disks[0].Partitions
	}
	own := []content.Signature{{Type: "ntfs"}, {Type: "exfat"}, {Type: "ext4", Label: "own"}}
	for _, c := range []struct {
		name string
		ask  func(context.Context, content.Region) content.Answer
		want []content.Signature
	}{
		{"without blkid", nil, own},
		{"with blkid", content.Blkid,
			[]content.Signature{{Type: "ntfs", Label: "Win=dows$"}, {Type: "exfat", Label: "CARD"},
				{Type: "ext4", Label: "own"}}},
		{"where it says something else",
			func(context.Context, content.Region) content.Answer {
				return content.Answer{Signature: content.Signature{Type: "other", Label: "x"}}
			},
			own},
	} {
		for i, p := range scan(c.ask) {
			if p.Signature != c.want[i] {
				t.Errorf("%s: partition %d holds %+v, want %+v", c.name, p.Number, p.Signature, c.want[i])
			}
		}
	}
	absent := content.Region{Path: filepath.Join(dir, "absent")}
	if got := content.Blkid(t.Context(), absent); got != (content.Answer{}) {
		t.Errorf("Blkid of no disk = %+v, want nothing", got)
	}
}
