package setting

import (
	"os"
	"path/filepath"
	"testing"
)

func TestHasCloudInit(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	write := func(name string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if HasCloudInit(root) {
		t.Error("an empty system has cloud-init")
	}
	write("usr/bin/cloud-init")
	if !HasCloudInit(root) {
		t.Error("a system with the program has no cloud-init")
	}
	write("etc/cloud/cloud-init.disabled")
	if HasCloudInit(root) {
		t.Error("a system that turned it off has cloud-init")
	}
}
