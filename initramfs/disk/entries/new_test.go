package entries

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"griddle/initramfs/disk/content"
	"griddle/initramfs/disk/disktest"
)

// TestNew makes tables on devices over what other programs left there.
func TestNew(t *testing.T) {
	for _, sector := range []int{512, 4096} {
		for _, kind := range []string{GPT, MBR} {
			t.Run(fmt.Sprint(kind, sector), func(t *testing.T) {
				t.Parallel()
				const size = 512 * mib
				path, f := device(t, size, sector)
				ids := map[string]bool{}
				for _, command := range []string{"true", "sgdisk -g -o -n 1:0:+16M", "mkfs.btrfs -q -f",
					"mkfs.xfs -q -f", "mkfs.ext4 -q -F", "mkswap -q",
					"parted -s -a none PATH mklabel msdos mkpart primary 1s 9MiB", "mkntfs -q -Q -F"} {
					args := strings.Fields(strings.ReplaceAll(command, "PATH", path))
					if !strings.Contains(command, "PATH") {
						args = append(args, path)
					}
					disktest.Tool(t, args[0], args[1:]...)
					for at, magic := range map[int64]string{0x100000: "\x0d\xd0\x01\xc0",
						size - 3087*512: "Promise Technology, Inc."} {
						must(f.WriteAt([]byte(magic), at))(t)
					}
					tab := must(New(kind, size, sector))(t)
					ids[tab.ID()] = true
					ok(t, tab.Write(f))
					c := must(content.Inspect(f, size, sector))(t)
					if c.Table != kind || c.Damaged != "" || c.Signature.Type != "" || len(c.Partitions) > 0 {
						t.Errorf("over %s the disk holds %+v", command, c)
					}
					lines := map[string]int{GPT: 4, MBR: 2}[kind]
					if out := disktest.Tool(t, "wipefs", path); strings.Count(out, "\n") != lines {
						t.Errorf("over %s wipefs finds\n%s", command, out)
					}
					esp := Entry{Number: 1, Start: mib, Size: 100 * mib, Type: "EFI system", Active: kind == MBR}
					pool := Entry{Number: 2, Start: 101 * mib, Size: 410 * mib, Type: "Linux filesystem"}
					ok(t, tab.Add(esp), tab.Add(pool), tab.Write(f))
					judge(t, path, kind)
				}
				if len(ids) != 8 {
					t.Errorf("the IDs are %v", ids)
				}
			})
		}
	}
	for _, c := range []struct {
		kind   string
		size   int64
		sector int
	}{{"sun", mib << 10, 512}, {GPT, mib, 512}, {GPT, mib << 10, 1024}} {
		if _, err := New(c.kind, c.size, c.sector); err == nil {
			t.Errorf("New(%q, %d, %d) = nil, want an error", c.kind, c.size, c.sector)
		}
	}
}

// TestProtective: the protective MBR is as the specification has it, on disks of all sizes.
func TestProtective(t *testing.T) {
	for sectors, want := range map[int64]string{
		1 << 21: "00000200ee8a0882 01000000ffff1f00",
		1 << 40: "00000200eeffffff 01000000ffffffff",
		1 << 32: "00000200eeffffff 01000000ffffffff",
	} {
		b := make([]byte, 512)
		protect(b, sectors)
		if got := fmt.Sprintf("%x %x", b[446:454], b[454:462]); got != want {
			t.Errorf("of %d sectors: %s, want %s", sectors, got, want)
		}
	}
}

// TestCutNew cuts the power at every write of a new table, over disks that were given up and over a blank one: a disk
// that was not blank never looks blank, and no partition appears that was not there.
func TestCutNew(t *testing.T) {
	made := func(program string, args ...string) []byte {
		name := filepath.Join(t.TempDir(), "disk")
		ok(t, os.WriteFile(name, make([]byte, 8*mib), 0o600))
		disktest.Tool(t, program, append([]string{name}, args...)...)
		return must(os.ReadFile(name))(t)
	}
	for _, c := range []struct {
		name string
		disk []byte
	}{
		{"blank", make([]byte, 8*mib)},
		{"GPT", made("sgdisk", "-n", "1:0:+2M")},
		{"MBR", made("parted", "-s", "-a", "none", "mklabel", "msdos", "mkpart", "primary", "1s", "4MiB")},
		{"ext4", made("mkfs.ext4", "-q", "-F")},
		{"vfat", made("mkfs.vfat", "-I")},
	} {
		for _, kind := range []string{GPT, MBR} {
			for left := 0; ; left++ {
				tab := must(New(kind, 8*mib, 512))(t)
				d := onDisk(c.disk)
				d.left, d.torn = left, "first"
				err := tab.Write(d)
				got := must(content.Inspect(d, 8*mib, 512))(t)
				if !got.Recognised() {
					got.Sampled = content.Sample(t.Context(), d, 8*mib)
				}
				if got.Blank() && c.name != "blank" || len(got.Partitions) > 1 {
					t.Errorf("%s over %s, cut at write %d: the disk holds %+v", kind, c.name, left, got)
				}
				if err == nil {
					if got.Table != kind || got.Damaged != "" || len(got.Partitions) > 0 {
						t.Errorf("%s over %s: the disk holds %+v", kind, c.name, got)
					}
					break
				}
				d.left, d.synced = -1, true // made again
				again := must(New(kind, 8*mib, 512))(t)
				ok(t, again.Write(d))
				if back := must(Read(d, 8*mib, 512))(t); !bytes.Equal(back.Saved(), again.Saved()) {
					t.Errorf("%s over %s, made again: the disk has another table", kind, c.name)
				}
			}
		}
	}
}
