package newroot

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"griddle/initramfs/sysroot"
)

// The clock has local time where that is asked for, in the third line (adjtime(5)); else the file of the image stays.
func TestLocalTime(t *testing.T) {
	for _, local := range []bool{true, false} {
		dir := t.TempDir()
		root, err := os.OpenRoot(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer root.Close()
		const before = "0.0 0 0.0\n0\nUTC\n"
		m := &making{Options: Options{LocalTime: local}, Dir: sysroot.Dir{Root: root}}
		if err := m.Write(adjtimeFile, []byte(before), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := m.localTime(); err != nil {
			t.Fatal(err)
		}
		want := "UTC"
		if local {
			want = "LOCAL"
		}
		b, err := os.ReadFile(filepath.Join(dir, adjtimeFile))
		if lines := strings.Split(string(b), "\n"); err != nil || len(lines) != 4 || lines[2] != want {
			t.Errorf("with local time %v the file is %q, %v", local, b, err)
		}
	}
}
