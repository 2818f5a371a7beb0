package content

import (
	"bytes"
	"context"
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"griddle/initramfs/disk/disktest"
)

// TestUUIDs: the UUID of a filesystem is what blkid says.
func TestUUIDs(t *testing.T) {
	const size = 384 << 20
	for _, command := range []string{"mkfs.btrfs -q", "mkfs.ext2 -q -F", "mkfs.ext4 -q -F", "mkfs.xfs -q -f",
		"mkfs.vfat -F 32", "mkfs.vfat -F 16", "mkfs.vfat -F 12 -S 4096", "mkfs.exfat", "mkswap -q",
		"mkntfs -q -Q -F", "mkfs.ext4 -q -F -O journal_dev", "mkfs.ext4 -q -F -U clear",
		"cryptsetup -q luksFormat --type luks1 --pbkdf-force-iterations 1000 --key-file /etc/os-release",
		"cryptsetup -q luksFormat --type luks2 --pbkdf pbkdf2 --pbkdf-force-iterations 1000 --key-file /etc/os-release",
	} {
		img := filepath.Join(t.TempDir(), "img")
		disktest.Image(t, img, size, command)
		want := ""
		for line := range strings.Lines(disktest.Tool(t, BlkidPath, "-p", "-o", "export", img)) {
			if id, ok := strings.CutPrefix(line, "UUID="); ok {
				want = strings.TrimSpace(id)
			}
		}
		f, err := os.Open(img)
		if err != nil {
			t.Fatal(err)
		}
		if got := uuidOf(f, Identify(f, size).Type); got != want {
			t.Errorf("%s: the UUID is %q, and blkid says %q", command, got, want)
		}
		f.Close()
	}
}

// TestTables: where partitions may be, and the name of the table.
func TestTables(t *testing.T) {
	img := filepath.Join(t.TempDir(), "img")
	const size, id = 64 << 20, "5b2f0a4e-7a1c-4d3e-9f00-0123456789ab"
	disktest.Image(t, img, size, "sgdisk -n 1:2048:+8M -U "+id)
	b, err := os.ReadFile(img)
	if err != nil {
		t.Fatal(err)
	}
	inspect := func() Content {
		c, err := Inspect(bytes.NewReader(b), size, 512)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	if c := inspect(); c.GUID != id || c.UsableFrom != 34*512 || c.UsableTo != size-33*512 {
		t.Errorf("GPT: %s from %d to %d", c.GUID, c.UsableFrom, c.UsableTo)
	}
	clear(b)
	binary.LittleEndian.PutUint32(b[440:], 0xa1b2c3)
	b[510], b[511] = 0x55, 0xaa
	if c := inspect(); c.Table != "mbr" || c.GUID != "00a1b2c3" || c.UsableFrom != 0 || c.Finished() != "" {
		t.Errorf("MBR: %+v", c)
	}
}

// TestAnswersOfUUIDs: what Inspect knows is kept, and the rest is taken of blkid if both say the same type.
func TestAnswersOfUUIDs(t *testing.T) {
	c := Content{Table: "gpt", Partitions: []Partition{
		{Number: 1, Size: 100, Signature: Signature{Type: "ext4", Label: "a"}, UUID: "mine"},
		{Number: 2, Size: 100, Signature: Signature{Type: "xfs", Label: "b"}},
		{Number: 3, Size: 100, Signature: Signature{Type: "ext4", Label: "c"}},
		{Number: 4, Size: 100},
	}}
	c.AddAnswers(t.Context(), func(_ context.Context, r Region) Answer {
		return Answer{Signature: Signature{Type: "xfs"}, UUID: "theirs"}
	}, "/dev/null", 1000)
	got := ""
	for _, p := range c.Partitions {
		got += p.UUID + ";"
	}
	if want := "mine;theirs;;theirs;"; got != want {
		t.Errorf("UUIDs %s, want %s", got, want)
	}
}

func FuzzUUID(f *testing.F) {
	for _, kind := range []string{"ext4", "btrfs", "ntfs", "vfat", "crypto_LUKS", "swap", "f2fs"} {
		f.Add(bytes.Repeat([]byte("\x80A\x00"), 30000), kind)
	}
	f.Fuzz(func(t *testing.T, b []byte, kind string) {
		if id := uuidOf(bytes.NewReader(b), kind); Clean(id) != id || len(id) > maxUUID {
			t.Errorf("the UUID is %q", id)
		}
	})
}
