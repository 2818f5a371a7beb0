package appliance

import (
	"os"
	"path/filepath"
	"testing"

	"griddle/appliance/config"
)

func TestBootDir(t *testing.T) {
	dir := t.TempDir()
	c := config.Config{BootDir: dir}
	if _, err := bootDir(c); err == nil {
		t.Error("bootDir() of an empty directory succeeded")
	}
	for _, name := range []string{"vmlinuz", "initramfs"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("x"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := bootDir(c); err != nil || got != dir {
		t.Errorf("bootDir() = %q, %v, want %q", got, err, dir)
	}
}
