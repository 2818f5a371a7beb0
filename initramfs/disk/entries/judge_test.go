package entries

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"

	"griddle/initramfs/disk/content"
	"griddle/initramfs/disk/disktest"
)

// device is a loop device.
func device(t *testing.T, size int64, sector int) (path string, f *os.File) {
	t.Helper()
	path = disktest.Loop(t, size, sector)
	f = must(os.OpenFile(path, os.O_RDWR, 0))(t)
	t.Cleanup(func() { f.Close() })
	return path, f
}

// judge asks the programs that know tables.
func judge(t *testing.T, path, kind string) {
	t.Helper()
	if kind == GPT {
		if out := disktest.Tool(t, "sgdisk", "-v", path); !strings.Contains(out, "No problems found") {
			t.Errorf("sgdisk -v: %s", out)
		}
	}
	if out := disktest.Tool(t, "sfdisk", "--verify", path); !strings.Contains(out, "No errors detected") {
		t.Errorf("sfdisk --verify: %s", out)
	}
	if out := disktest.Tool(t, "fdisk", "-l", path); strings.Contains(out, "does not") {
		t.Errorf("fdisk -l: %s", out)
	}
}

// TestWindowsDisk edits what gdisk made as Windows does, on devices with sectors of both sizes: other programs find the
// edits and nothing else changed, and the bytes of all partitions are the same.
func TestWindowsDisk(t *testing.T) {
	for _, sector := range []int{512, 4096} {
		t.Run(fmt.Sprint(sector), func(t *testing.T) {
			t.Parallel()
			const size = 256 * mib
			path, f := device(t, size, sector)
			disktest.Tool(t, "sgdisk",
				"-n", "1:0:+32M", "-t", "1:ef00", "-c", "1:EFI system partition", "-A", "1:set:63",
				"-n", "2:0:+16M", "-t", "2:0c01", "-c", "2:Microsoft reserved partition", "-A", "2:set:63",
				"-n", "3:0:+128M", "-t", "3:0700", "-c", "3:Basic data partition",
				"-n", "5:0:+16M", "-t", "5:2700", "-A", "5:set:0", "-A", "5:set:63", path)
			data := noise(size - 2*mib)
			must(f.WriteAt(data[:440], 0))(t) // boot code
			must(f.WriteAt(data, mib))(t)
			info := func(n int) string { return disktest.Tool(t, "sgdisk", "-i", fmt.Sprint(n), path) }
			before := map[int]string{}
			for _, n := range []int{1, 2, 3, 5} {
				before[n] = info(n)
			}
			tab := must(Read(f, size, sector))(t)
			saved := must(Save(f, size, sector))(t)
			ok(t, tab.SetSize(3, 64*mib), tab.Write(f))
			const freed = (1 + 32 + 16 + 64) * mib
			ok(t, tab.Add(Entry{Number: 4, Start: freed, Size: 32 * mib, Type: "Linux swap", Name: "swap"}),
				tab.Add(Entry{Number: 6, Start: freed + 32*mib, Size: 32 * mib, Type: "Linux home", Name: "home"}),
				tab.SetType(4, "Linux filesystem", "data"), tab.Write(f))
			judge(t, path, GPT)
			for _, n := range []int{1, 2, 5} {
				if got := info(n); got != before[n] {
					t.Errorf("partition %d is %s\nwant %s", n, got, before[n])
				}
			}
			end := freed/sector - 1
			was := (1+32+16+128)*mib/sector - 1
			want := strings.NewReplacer(fmt.Sprintf("Last sector: %d (at 177.0 MiB)", was),
				fmt.Sprintf("Last sector: %d (at 113.0 MiB)", end),
				fmt.Sprintf("size: %d sectors (128.0 MiB)", 128*mib/sector),
				fmt.Sprintf("size: %d sectors (64.0 MiB)", 64*mib/sector)).Replace(before[3])
			if got := info(3); got != want {
				t.Errorf("partition 3 is %s\nwant %s", got, want)
			}
			if got := info(4); !strings.Contains(got, "(Linux filesystem)") || !strings.Contains(got, "'data'") {
				t.Errorf("partition 4 is %s", got)
			}
			for i, want := range [][]byte{data[:440], data} {
				got := make([]byte, len(want))
				must(f.ReadAt(got, []int64{0, mib}[i]))(t)
				if !bytes.Equal(got, want) {
					t.Errorf("bytes of others changed at %v", differs(got, want))
				}
			}
			ok(t, Recover(f, size, sector, saved, tab.Saved()), Restore(f, size, sector, saved))
			judge(t, path, GPT)
			for n, want := range before {
				if got := info(n); got != want {
					t.Errorf("restored, partition %d is %s\nwant %s", n, got, want)
				}
			}
		})
	}
}

// TestUnusualTables are tables that sgdisk makes with fewer and more entries, and an array at another place.
func TestUnusualTables(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"-S", "8"}, {"-S", "256"}, {"-j", "40"}} {
		path, f := device(t, 64*mib, 512)
		disktest.Tool(t, "sgdisk", append(args, "-n", "1:0:+16M", path)...)
		tab := must(Read(f, 64*mib, 512))(t)
		ok(t, tab.SetSize(1, 8*mib), tab.Add(Entry{Number: 2, Start: 20 * mib, Size: mib, Type: "BIOS boot"}),
			tab.Write(f))
		judge(t, path, GPT)
		if out := disktest.Tool(t, "sgdisk", "-i", "2", path); !strings.Contains(out, "BIOS boot") {
			t.Errorf("%v: partition 2 is %s", args, out)
		}
		want := map[string]int{"8": 8, "256": 256, "40": 128}[args[1]]
		if got := content.ReadTable(f, 64*mib, 512).Slots; got != want {
			t.Errorf("%v: the table has %d entries, want %d", args, got, want)
		}
		if args[0] == "-S" {
			if err := tab.Add(Entry{Number: 300, Start: 30 * mib, Size: mib, Type: "BIOS boot"}); err == nil ||
				!strings.Contains(err.Error(), "entries 1 to "+args[1]) {
				t.Errorf("%v: %v", args, err)
			}
		}
	}
}
