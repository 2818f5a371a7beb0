package bootloader

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"griddle/initramfs/bootloader/bootenv"
	"griddle/initramfs/bootloader/grubtest"
	"griddle/initramfs/disk/disktest"
)

// plant writes small files below a folder.
func plant(t *testing.T, dir string, names ...string) {
	t.Helper()
	for _, name := range names {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("what was there: "+name), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// choose is grubenv by which the menu starts an entry.
func choose(t *testing.T, entry string) []byte {
	t.Helper()
	b := env(t, "good", "", 0)
	lines := append(bytes.TrimRight(b, "#"), "saved_entry="+entry+"\n"...)
	return append(lines, bytes.Repeat([]byte("#"), bootenv.Size-len(lines))...)
}

// On UEFI the menu has each Windows and each system with a folder of its own, of all disks; without Others it has none.
func TestGRUBMenuHasOthersOnUEFI(t *testing.T) {
	pool, id := pools(t)
	second := t.TempDir()
	plant(t, second, "EFI/Microsoft/Boot/bootmgfw.efi", "EFI/ubuntu/shimx64.efi", "EFI/ubuntu/grubx64.efi",
		"EFI/systemd/systemd-bootx64.efi", "EFI/bad name/grubx64.efi")
	for _, c := range []struct{ entry, other string }{
		{"griddle", ""},
		{"windows", "hd0,gpt2 /EFI/Microsoft/Boot/bootmgfw.efi"},
		{"fedora", "hd0,gpt2 /EFI/fedora/shimx64.efi"},
		{"griddle>0", ""},
		{"BOOT", ""}, // a copy of a loader that has its own folder
		{"Microsoft", ""},
		{"windows (hd1,gpt2)", "hd1,gpt2 /EFI/Microsoft/Boot/bootmgfw.efi"},
		{"ubuntu (hd1,gpt2)", "hd1,gpt2 /EFI/ubuntu/shimx64.efi"},
		{"systemd (hd1,gpt2)", "hd1,gpt2 /EFI/systemd/systemd-bootx64.efi"},
		{"bad name (hd1,gpt2)", ""},
	} {
		for _, others := range []bool{true, false} {
			conf := Config{ESPID: "7A3C-11F0", PoolID: id, Root: "@roots/last", Others: others}
			dir := esp(t, conf, choose(t, c.entry), choose(t, c.entry))
			plant(t, dir, "EFI/Microsoft/Boot/bootmgfw.efi", "EFI/Boot/bootx64.efi", "EFI/Boot/grubx64.efi",
				"EFI/fedora/shimx64.efi", "EFI/griddle/grubx64.efi", "EFI/tools/shellx64.efi")
			got := grubtest.Machine{Platform: "efi"}.Start(t, grubtest.Disk(t, dir, "32"),
				grubtest.Disk(t, second, "16"), pool)
			want, root := c.other, ""
			if !others || want == "" {
				want, root = "", "good"
			}
			if got.Other != want || got.Root != root || got.First != "" {
				t.Errorf("with others %v and the entry %q GRUB starts %q and the root %q, want %q and %q:\n%s", others,
					c.entry, got.Other, got.Root, want, root, got.Screen)
			}
		}
	}
}

// windowsDisk is the image of a disk with an MBR: an NTFS with a file at its top, and an EFI system partition with the
// files below a folder, if that is not "".
func windowsDisk(t *testing.T, loader, files string) string {
	t.Helper()
	disk, ntfs := filepath.Join(t.TempDir(), "disk"), filepath.Join(t.TempDir(), "ntfs")
	disktest.Image(t, ntfs, 16<<20, "mkntfs --force --quick --quiet -s 512 -S 63 -H 16 -p 2048")
	empty := filepath.Join(t.TempDir(), "x")
	plant(t, filepath.Dir(empty), "x")
	disktest.Tool(t, "ntfscp", "--force", "--quiet", ntfs, empty, loader)
	if files == "" {
		files = t.TempDir()
	}
	fat := grubtest.Disk(t, files, "32") // its partition begins at 1 MiB and has 40
	disktest.Image(t, disk, 64<<20, "true")
	table := exec.Command("sfdisk", "--quiet", disk)
	table.Stdin = strings.NewReader("label: dos\nstart=1MiB, size=16MiB, type=7, bootable\n" +
		"start=17MiB, size=40MiB, type=ef\n")
	if out, err := table.CombinedOutput(); err != nil {
		t.Fatalf("sfdisk: %v: %s", err, out)
	}
	disktest.Tool(t, "dd", "if="+ntfs, "of="+disk, "bs=1M", "seek=1", "conv=notrunc")
	disktest.Tool(t, "dd", "if="+fat, "of="+disk, "bs=1M", "skip=1", "count=40", "seek=17", "conv=notrunc")
	return disk
}

// On a BIOS the menu has each Windows, and what the disk started before; and core.img finds grub.cfg in an MBR.
func TestGRUBMenuHasOthersOnBIOS(t *testing.T) {
	pool, id := pools(t)
	start, err := script.ReadFile("script/start.cfg")
	if err != nil {
		t.Fatal(err)
	}
	second := windowsDisk(t, "ntldr", "")
	for _, c := range []struct{ entry, other, first string }{
		{"griddle", "", ""},
		{"windows", "hd0,msdos1 +1", ""},
		{"former", "hd0 (hd0,msdos2)/griddle/former.img", ""},
		{"windows (hd1,msdos1)", "hd1,msdos1 +1", "hd1"},
	} {
		dir := esp(t, Config{ESPID: "7A3C-11F0", PoolID: id, Root: "@roots/last", Others: true},
			choose(t, c.entry), choose(t, c.entry))
		plant(t, dir, "griddle/former.img")
		// core.img begins with the partition that it is built for, which this disk has not.
		got := grubtest.Machine{Platform: "pc", Script: string(start)}.Start(t, windowsDisk(t, "bootmgr", dir), second,
			pool)
		root := ""
		if c.other == "" {
			root = "good"
		}
		if got.Other != c.other || got.Root != root || got.First != c.first {
			t.Errorf("with the entry %q GRUB starts %q and the root %q, with %q first, want %q, %q, %q:\n%s", c.entry,
				got.Other, got.Root, got.First, c.other, root, c.first, got.Screen)
		}
	}
}

// core.img takes the FAT partition of its own drive, and on a disk of our own the second one.
func TestStartFindsThePartition(t *testing.T) {
	pool, id := pools(t)
	start, err := script.ReadFile("script/start.cfg")
	if err != nil {
		t.Fatal(err)
	}
	files := func(root string) string {
		b := env(t, root, "", 0)
		return esp(t, Config{ESP: "GR-1B4E28BA", PoolID: id, Root: "@roots/last"}, b, b)
	}
	machine := grubtest.Machine{Platform: "pc", Script: string(start)}
	one, two := grubtest.Disk(t, files("good"), "32"), grubtest.Disk(t, files("new"), "32")
	if got := machine.Start(t, one, two, pool); got.Root != "good" {
		t.Errorf("from the first disk %q starts:\n%s", got.Root, got.Screen)
	}
	machine.ESP = "hd1,gpt2"
	if got := machine.Start(t, one, two, pool); got.Root != "new" {
		t.Errorf("from the second disk %q starts:\n%s", got.Root, got.Screen)
	}
	// A filesystem of people with such a file, before the partition that is meant.
	trap := filepath.Join(t.TempDir(), "trap")
	plant(t, trap, "griddle/grub.cfg")
	disk := filepath.Join(t.TempDir(), "disk")
	disktest.Image(t, disk, 128<<20, "true")
	table := exec.Command("sfdisk", "--quiet", disk)
	table.Stdin = strings.NewReader("label: gpt\nstart=1MiB, size=32MiB\nstart=33MiB, size=32MiB\n" +
		"start=65MiB, size=40MiB, type=U\n")
	if out, err := table.CombinedOutput(); err != nil {
		t.Fatalf("sfdisk: %v: %s", err, out)
	}
	for _, at := range []int{1, 33} {
		ext := filepath.Join(t.TempDir(), fmt.Sprint("ext", at))
		disktest.Image(t, ext, 32<<20, "mke2fs -q -t ext4 -d "+trap)
		disktest.Tool(t, "dd", "if="+ext, "of="+disk, "bs=1M", fmt.Sprint("seek=", at), "conv=notrunc")
	}
	disktest.Tool(t, "dd", "if="+one, "of="+disk, "bs=1M", "skip=1", "count=40", "seek=65", "conv=notrunc")
	machine.ESP = ""
	if got := machine.Start(t, disk, pool); got.Root != "good" {
		t.Errorf("beside filesystems of others %q starts:\n%s", got.Root, got.Screen)
	}
}

// ReadConfig knows what Render was given, but for the partition.
func TestReadOthers(t *testing.T) {
	for _, c := range []Config{
		{ESPID: "7A3C-11F0", PoolID: "0a1b2c3d-0000-4000-8000-0123456789ab", Root: "@roots/x", Others: true},
		{ESPID: "7a3c-11f0", PoolID: "0a1b2c3d-0000-4000-8000-0123456789ab", Root: "@roots/x", Args: []string{"quiet"}},
		{ESP: "GR-1B4E28BA", PoolID: "0a1b2c3d-0000-4000-8000-0123456789ab", Root: "@roots/x", Others: true},
	} {
		dir := t.TempDir()
		if err := WriteConfig(dir, c); err != nil {
			t.Fatal(err)
		}
		got, err := ReadConfig(dir)
		if err != nil || got.Shared != (c.ESPID != "") || got.Others != c.Others || got.Root != c.Root ||
			got.Script != Script || !slices.Equal(got.Args, c.Args) {
			t.Errorf("ReadConfig = %+v, %v, want %+v", got, err, c)
		}
		// An update writes what it read, with the label of the job.
		before, err := os.ReadFile(configPath(dir))
		if err != nil {
			t.Fatal(err)
		}
		got.ESP = "GR-1B4E28BA"
		if err := WriteConfig(dir, got); err != nil {
			t.Fatal(err)
		}
		if after, err := os.ReadFile(configPath(dir)); err != nil || !bytes.Equal(before, after) {
			t.Errorf("the file changed from\n%s\nto\n%s (%v)", before, after, err)
		}
		check := exec.Command("grub-script-check")
		check.Stdin = bytes.NewReader(before)
		if out, err := check.CombinedOutput(); err != nil {
			t.Errorf("grub-script-check: %v: %s", err, out)
		}
	}
}
