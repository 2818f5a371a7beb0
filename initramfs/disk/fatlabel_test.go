package disk

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"griddle/initramfs/disk/disktest"
)

func TestLabelFAT(t *testing.T) {
	for _, sector := range []int{512, 4096} {
		file := filepath.Join(t.TempDir(), "esp")
		if err := errors.Join(os.WriteFile(file, nil, 0o600), os.Truncate(file, 260<<20)); err != nil {
			t.Fatal(err)
		}
		if err := LabelFAT(file, "GR-0"); err == nil {
			t.Error("an empty file got a label")
		}
		cmd := exec.Command("mkfs.vfat", "-F", "32", "-S", map[int]string{512: "512", 4096: "4096"}[sector], "-s", "1",
			"-n", "GR-5B2F0A4E", file)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("mkfs.vfat (run make deps): %v: %s", err, out)
		}
		if err := LabelFAT(file, "LONGER THAN THAT"); err == nil {
			t.Error("a long label passed")
		}
		for _, label := range []string{"GR-6C2F0A4E", "SHORT"} {
			if err := LabelFAT(file, label); err != nil {
				t.Fatal(err)
			}
			for _, args := range [][]string{{"blkid", "-p", "-o", "value", "-s", "LABEL", file},
				{"fsck.vfat", "-n", "-v", file}, {"file", "-s", file}} {
				out, err := exec.Command(args[0], args[1:]...).CombinedOutput()
				if args[0] == "file" && err != nil {
					continue // it is not needed
				}
				if err != nil || args[0] != "fsck.vfat" && !strings.Contains(string(out), label) {
					t.Errorf("%v says %s, %v, want %s", args, out, err, label)
				}
			}
		}
	}
}

// TestFATID: the ID of each kind of FAT is that of blkid, and what is not FAT has none.
func TestFATID(t *testing.T) {
	for kind, size := range map[string]int64{"12": 1 << 20, "16": 16 << 20, "32": 64 << 20} {
		img := filepath.Join(t.TempDir(), "fat")
		disktest.Image(t, img, size, "mkfs.vfat -F "+kind+" -i 7a3c11f0")
		want := strings.TrimSpace(disktest.Tool(t, "blkid", "-p", "-o", "value", "-s", "UUID", img))
		if got, err := FATID(img); err != nil || got != want {
			t.Errorf("FATID of FAT%s = %q, %v, want %q", kind, got, err, want)
		}
	}
	for _, b := range []string{"", "short", strings.Repeat("x", 512), strings.Repeat("x", 510) + "\x55\xaa"} {
		name := filepath.Join(t.TempDir(), "other")
		if err := os.WriteFile(name, []byte(b), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := FATID(name); err == nil {
			t.Errorf("FATID of %d bytes = %q, want an error", len(b), got)
		}
	}
}

func FuzzFATID(f *testing.F) {
	f.Add([]byte(strings.Repeat("\x00", 82) + "FAT32   " + strings.Repeat("\x00", 420) + "\x55\xaa"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if id, err := fatID(strings.NewReader(string(b))); err == nil && (len(id) != 9 || id[4] != '-') {
			t.Errorf("the ID is %q", id)
		}
	})
}
