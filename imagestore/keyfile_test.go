package imagestore_test

import (
	"os"
	"path/filepath"
	"testing"

	"griddle/imagestore"
)

// TestReaders says who can read a store, by the modes of its directory and of those above it.
func TestReaders(t *testing.T) {
	top, err := os.MkdirTemp("/tmp", "griddle-readers-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(top) })
	store := filepath.Join(top, "store")
	if err := os.Mkdir(store, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(store, 0, 1); err != nil { // the group daemon, which every Linux has
		t.Fatal(err)
	}
	for _, c := range []struct {
		top, store os.FileMode
		want       string
	}{{0o700, 0o755, ""}, {0o755, 0o755, "every user"}, {0o755, 0o700, ""}, {0o755, 0o750, "the group daemon"},
		{0o750, 0o755, ""}, {0o711, 0o711, "every user"}, {0o755, 0o744, ""}} {
		for path, mode := range map[string]os.FileMode{top: c.top, store: c.store} {
			if err := os.Chmod(path, mode); err != nil {
				t.Fatal(err)
			}
		}
		if who, fix := imagestore.Readers(store); who != c.want || who != "" && fix != "chmod 700 "+store {
			t.Errorf("Readers with modes %04o and %04o = %q, %q, want %q", c.top, c.store, who, fix, c.want)
		}
	}
}
