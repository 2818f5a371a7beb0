package disk

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
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
