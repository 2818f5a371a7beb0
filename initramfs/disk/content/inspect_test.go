package content

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"griddle/initramfs/disk/disktest"
)

// TestIdentifyRealPeers: what the formats' own programs make is recognised.
func TestIdentifyRealPeers(t *testing.T) {
	for _, c := range []struct {
		cmd  string
		want Signature
	}{
		{"mkfs.btrfs -q -L griddle", Signature{Type: "btrfs", Label: "griddle"}},
		{"mkfs.ext2 -q -F -L one", Signature{Type: "ext2", Label: "one"}},
		{"mkfs.ext3 -q -F -L two", Signature{Type: "ext3", Label: "two"}},
		{"mkfs.ext4 -q -F -L three", Signature{Type: "ext4", Label: "three"}},
		{"mkfs.ext4 -q -F -O journal_dev", Signature{Type: "jbd"}},
		{"mkfs.xfs -q -f -L four", Signature{Type: "xfs", Label: "four"}},
		{"mkfs.vfat -F 32 -n FIVE", Signature{Type: "vfat", Label: "FIVE"}},
		{"mkfs.vfat -F 16", Signature{Type: "vfat"}},
		{"mkfs.vfat -F 12 -S 4096", Signature{Type: "vfat"}},
		{"mkswap -q -L six", Signature{Type: "swap", Label: "six"}},
		{"mkswap -q -p 65536", Signature{Type: "swap"}},
	} {
		args := strings.Fields(c.cmd)
		img := filepath.Join(t.TempDir(), "img")
		if err := os.WriteFile(img, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(img, 384<<20); err != nil {
			t.Fatal(err)
		}
		disktest.Tool(t, args[0], append(args[1:], img)...)
		f, err := os.Open(img)
		if err != nil {
			t.Fatal(err)
		}
		if got := Identify(f, 384<<20); got != c.want {
			t.Errorf("%s: Identify = %+v, want %+v", c.cmd, got, c.want)
		}
		f.Close()
	}
}

// sparse is a disk of zeros with something at a few places.
func sparse(size int, at map[int]string) *bytes.Reader {
	b := make([]byte, size)
	for off, s := range at {
		copy(b[off:], s)
	}
	return bytes.NewReader(b)
}

func TestIdentify(t *testing.T) {
	const size = 4 << 20
	for _, c := range []struct {
		want string
		at   map[int]string
	}{
		{"", nil},
		{"LVM2_member", map[int]string{1536: "LABELONE" + strings.Repeat("\x00", 16) + "LVM2 001"}},
		{"linux_raid_member", map[int]string{0: "\xfc\x4e\x2b\xa9\x01\x00\x00\x00"}},
		{"linux_raid_member", map[int]string{4096: "\xfc\x4e\x2b\xa9\x01\x00\x00\x00"}},
		{"linux_raid_member", map[int]string{size - 8192: "\xfc\x4e\x2b\xa9\x01\x00\x00\x00"}},
		{"linux_raid_member", map[int]string{size - 65536: "\xfc\x4e\x2b\xa9"}},
		{"linux_raid_member", map[int]string{size - 65536: "\xa9\x2b\x4e\xfc"}},
		{"isw_raid_member", map[int]string{size - 1024: "Intel Raid ISM Cfg Sig. 1.0"}},
		{"ddf_raid_member", map[int]string{size - 512: "\xde\x11\xde\x11"}},
		{"zfs_member", map[int]string{128<<10 + 5*1024: "\x0c\xb1\xba\x00\x00\x00\x00\x00"}},
		{"zfs_member", map[int]string{size - 128<<10: "\x00\x00\x00\x00\x00\xba\xb1\x0c"}},
		{"crypto_LUKS", map[int]string{0: "LUKS\xba\xbe\x00\x01"}},
		{"crypto_LUKS", map[int]string{0x4000: "SKUL\xba\xbe"}},
		{"bcache", map[int]string{0x1018: "\xc6\x85\x73\xf6\x4e\x1a\x45\xca\x82\x65\xf5\x7f\x48\xba\x6d\x81"}},
		{"ntfs", map[int]string{3: "NTFS    "}},
		{"exfat", map[int]string{3: "EXFAT   "}},
		{"BitLocker", map[int]string{3: "-FVE-FS-"}},
		{"iso9660", map[int]string{0x8001: "CD001"}},
		{"VMFS_volume_member", map[int]string{0x100000: "\x0d\xd0\x01\xc0"}},
		{"swsuspend", map[int]string{4086: "S1SUSPEND\x00"}},
	} {
		if got := Identify(sparse(size, c.at), size).Type; got != c.want {
			t.Errorf("Identify(%v) = %q, want %q", c.at, got, c.want)
		}
	}
}

func TestMBR(t *testing.T) {
	entry := func(kind byte, first, n uint32) string {
		b := make([]byte, 16)
		b[4] = kind
		binary.LittleEndian.PutUint32(b[8:], first)
		binary.LittleEndian.PutUint32(b[12:], n)
		return string(b)
	}
	const end = "\x55\xaa"
	size := 8 << 20
	for _, c := range []struct {
		name string
		at   map[int]string
		want string
	}{
		{"empty", map[int]string{510: end}, "mbr"},
		{"logical", map[int]string{
			446: entry(0x07, 63, 100) + entry(0x05, 1000, 9000), 510: end,
			1000*512 + 446: entry(0x83, 10, 200) + entry(0x05, 500, 300), 1000*512 + 510: end,
			1500*512 + 446: entry(0x82, 5, 100), 1500*512 + 510: end,
		}, "mbr 1:63+100:NTFS or exFAT 2:1000+9000:extended 5:1010+200:Linux filesystem 6:1505+100:Linux swap"},
		{"a link without a partition", map[int]string{
			446: entry(0x0f, 1000, 9000), 510: end,
			1000*512 + 446: entry(0, 0, 0) + entry(0x05, 500, 300), 1000*512 + 510: end,
			1500*512 + 446: entry(0x83, 5, 100), 1500*512 + 510: end,
		}, "mbr 1:1000+9000:extended 5:1505+100:Linux filesystem"},
		{"a ring of logical ones", map[int]string{
			446: entry(0x0f, 1000, 9000), 510: end,
			1000*512 + 446: entry(0, 0, 0) + entry(0x05, 0, 300), 1000*512 + 510: end,
		}, "mbr 1:1000+9000:extended"},
		{"beyond the end", map[int]string{446: entry(0x83, 16000, 0xffffffff), 510: end},
			"mbr 1:16000+384:Linux filesystem"},
		{"protective without GPT", map[int]string{446: entry(0xee, 1, 0xffffffff), 510: end}, "gpt damaged"},
		{"odd status byte", map[int]string{446: "\x12" + entry(0x83, 63, 1000)[1:], 510: end},
			"mbr damaged 1:63+1000:Linux filesystem"},
		{"FAT boot sector", map[int]string{
			0: "\xeb\x3c\x90mkfs.fat\x00\x02\x04\x01\x00\x02\x00\x02\x00\x10\xf8", 510: end}, ""},
		{"status of no table", map[int]string{446: "\x12" + entry(0x83, 0xfffffff, 1)[1:], 510: end}, ""},
	} {
		got, err := Inspect(sparse(size, c.at), int64(size), 512)
		if err != nil {
			t.Fatal(err)
		}
		words := []string{got.Table}
		if got.Damaged != "" {
			words = append(words, "damaged")
		}
		for _, p := range got.Partitions {
			words = append(words, fmt.Sprintf("%d:%d+%d:%s", p.Number, p.Start/512, p.Size/512, p.Type))
		}
		if s := strings.Join(words, " "); s != c.want {
			t.Errorf("%s: Inspect = %s, want %s", c.name, s, c.want)
		}
	}
}

// TestDamagedGPT: as long as anything of a GPT is there, the disk is not taken for blank.
func TestDamagedGPT(t *testing.T) {
	const size = 64 << 20
	img := filepath.Join(t.TempDir(), "img")
	if err := os.WriteFile(img, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(img, size); err != nil {
		t.Fatal(err)
	}
	disktest.Tool(t, "sgdisk", "-n", "1:2048:+8M", "-c", "1:data", "-t", "1:8300", "-n", "3:0:+1M", "-t", "3:ef02", img)
	whole, err := os.ReadFile(img)
	if err != nil {
		t.Fatal(err)
	}
	zeros := func(n int) string { return strings.Repeat("\x00", n) }
	disktest.Tool(t, "sgdisk", "-d", "1", "-n", "1:2048:+4M", "-c", "1:data", "-t", "1:8300", img)
	moved, err := os.ReadFile(img)
	if err != nil {
		t.Fatal(err)
	}
	const array = 128 * 128
	other := string(moved[size-512-array:])
	disktest.Tool(t, "sgdisk", "-h", "1", img)
	hybrid, err := os.ReadFile(img)
	if err != nil {
		t.Fatal(err)
	}
	first := string(whole[446+1 : 446+4])
	for _, c := range []struct {
		name    string
		spoil   map[int64]string
		damaged string
		parts   int
	}{
		{"whole", nil, "", 2},
		{"primary header gone", map[int64]string{512: zeros(512)}, "only its backup copy is left", 2},
		{"primary header and MBR gone", map[int64]string{0: zeros(1024)}, "only its backup copy is left", 2},
		{"primary entry changed", map[int64]string{1024 + 60: "x"},
			"its first copy is damaged, the backup is intact", 2},
		{"backup header gone", map[int64]string{size - 512: zeros(512)},
			"it has no backup copy at the end of the disk", 2},
		{"backup header changed", map[int64]string{size - 512 + 30: "x"}, "its backup copy is damaged", 2},
		{"both headers changed", map[int64]string{512 + 30: "x", size - 512 + 30: "x"}, "no copy of it can be read", 0},
		{"both headers gone", map[int64]string{512: zeros(512), size - 512: zeros(512)},
			"only its protective MBR is left", 0},
		{"MBR gone", map[int64]string{0: zeros(512)}, "it has no protective MBR", 2},
		{"MBR empty", map[int64]string{446: zeros(64)}, "it has no protective MBR", 2},
		{"another MBR", map[int64]string{446 + 4: "\x83"}, "the disk also has an MBR with other partitions", 2},
		{"hybrid", map[int64]string{0: string(hybrid[:512])},
			"its MBR is a hybrid one, which has partitions of its own", 2},
		{"active", map[int64]string{446: "\x80"}, "", 2},
		{"another entry of it", map[int64]string{446: zeros(16), 478: "\x00" + first + "\xee"}, "", 2},
		{"copies differ", map[int64]string{size - 512 - array: other},
			"its two copies have other partitions: a change of it was interrupted", 2},
	} {
		b := bytes.Clone(whole)
		for at, s := range c.spoil {
			copy(b[at:], s)
		}
		f := bytes.NewReader(b)
		got, err := Inspect(f, size, 512)
		if err != nil || got.Table != "gpt" || got.Damaged != c.damaged || len(got.Partitions) != c.parts {
			t.Errorf("%s: Inspect = %+v, %v; want damaged %q and %d partitions", c.name, got, err, c.damaged, c.parts)
		}
		if c.parts > 0 && (got.Partitions[0].Name != "data" || got.Partitions[0].Type != "Linux filesystem" ||
			got.Partitions[1].Number != 3 || got.Partitions[1].Type != "BIOS boot") {
			t.Errorf("%s: partitions = %+v", c.name, got.Partitions)
		}
		// The same disk behind a bridge that shows sectors of 4096 bytes.
		if got, err := Inspect(f, size, 4096); err != nil || got.Table != "gpt" || got.Damaged == "" {
			t.Errorf("%s: Inspect with sectors of 4096 = %+v, %v; want the table", c.name, got, err)
		}
	}
}

func FuzzInspect(f *testing.F) {
	img := filepath.Join(f.TempDir(), "img")
	os.WriteFile(img, nil, 0o600)
	os.Truncate(img, 1<<20)
	if out, err := exec.Command("sgdisk", "-n", "1:64:+100K", "-a", "1", img).CombinedOutput(); err != nil {
		f.Fatalf("sgdisk (run make deps): %v: %s", err, out)
	}
	gpt, err := os.ReadFile(img)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(gpt[:17<<10], 512)
	f.Add([]byte("LABELONE"), 512)
	f.Add(append(bytes.Repeat([]byte{0}, 510), 0x55, 0xaa), 4096)
	f.Fuzz(func(t *testing.T, b []byte, sector int) {
		c, err := Inspect(bytes.NewReader(b), int64(len(b)), sector)
		if err != nil {
			return
		}
		if len(c.Partitions) > maxEntries+maxLogical {
			t.Errorf("%d partitions", len(c.Partitions))
		}
		for _, p := range c.Partitions {
			if p.Size < 0 || p.Number < 1 {
				t.Errorf("partition %+v", p)
			}
		}
		c.Unfinished()
	})
}

// badSector is a disk of zeros of which one place cannot be read.
type badSector struct {
	io.ReaderAt
	at int64
}

func (b badSector) ReadAt(p []byte, off int64) (int, error) {
	if off <= b.at && b.at < off+int64(len(p)) {
		n, _ := b.ReaderAt.ReadAt(p[:b.at-off], off)
		return n, syscall.EIO
	}
	return b.ReaderAt.ReadAt(p, off)
}

// TestUnreadable: a disk of zeros with a bad sector where a signature may be is said to be unreadable, one with a bad
// sector anywhere that is read is not blank.
func TestUnreadable(t *testing.T) {
	const size = 4 << 20
	zeros := bytes.NewReader(make([]byte, size))
	for _, at := range []int64{512, 0x400, 0x10040, size - 512} {
		c, err := Inspect(badSector{zeros, at}, size, 512)
		if err != nil || c.Signature.Type != Unreadable {
			t.Errorf("a bad sector at %#x: %+v, %v; want %q", at, c, err, Unreadable)
		}
		if got := Sample(t.Context(), badSector{zeros, at}, size); !strings.Contains(got, "input/output error") {
			t.Errorf("a bad sector at %#x: Sample = %q, want the error", at, got)
		}
	}
	if c, err := Inspect(zeros, size, 512); err != nil || c.Recognised() || c.Blank() {
		t.Errorf("zeros: %+v, %v; want nothing recognised, and not blank before it was sampled", c, err)
	}
}
