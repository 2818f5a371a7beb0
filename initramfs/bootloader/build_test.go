package bootloader

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// built makes the GRUB images once for a test.
func built(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := BuildGRUB(t.Context(), dir, BuildOptions{}); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestBuildGRUBIsReproducible(t *testing.T) {
	a, b := built(t), built(t)
	for _, name := range []string{BootImage, CoreImage, EFIImage} {
		x, err := os.ReadFile(filepath.Join(a, name))
		if err != nil {
			t.Fatal(err)
		}
		y, err := os.ReadFile(filepath.Join(b, name))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(x, y) {
			t.Errorf("%s: two builds differ", name)
		}
		t.Logf("%s: %d bytes", name, len(x))
	}
}

func TestBuildGRUBNamesTheMissingPackage(t *testing.T) {
	err := BuildGRUB(t.Context(), t.TempDir(), BuildOptions{Modules: t.TempDir()})
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "grub-pc-bin") {
		t.Errorf("BuildGRUB without modules = %v, want one that names grub-pc-bin", err)
	}
	err = BuildGRUB(t.Context(), t.TempDir(), BuildOptions{Program: "grub-mkimage-that-is-not-there"})
	if err == nil || !strings.Contains(err.Error(), "grub-common") {
		t.Errorf("BuildGRUB without grub-mkimage = %v, want one that names grub-common", err)
	}
}
