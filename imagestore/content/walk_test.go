package content

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"griddle/imagestore/source/sourcetest"

	"golang.org/x/sys/unix"
)

// TestWalk walks names that sort otherwise than the directories that they lie in.
func TestWalk(t *testing.T) {
	dir, _ := plant(t)
	for _, p := range []string{"d/e/x", "d-e", "d.f", "d0", "d/e-", "d/e.x", "d/e0"} {
		if err := os.WriteFile(filepath.Join(dir, p), []byte(p), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	m, err := Walk(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	compareText(t, "Walk", m, walkText(t, dir))
	if err := Verify(t.Context(), dir, m, nil); err != nil {
		t.Error(err)
	}
}

func TestScanStops(t *testing.T) {
	dir, m := plant(t)
	ctx, cancel := context.WithCancel(t.Context())
	var seen []string
	err := Scan(ctx, dir, func(e *Entry) error {
		seen = append(seen, e.Path)
		if e.Path == "b" {
			cancel()
		}
		return nil
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Scan = %v, want context.Canceled", err)
	}
	if _, err := Walk(ctx, dir); !errors.Is(err, context.Canceled) {
		t.Errorf("Walk = %v, want context.Canceled", err)
	}
	if len(seen) >= len(m.Entries) {
		t.Errorf("Scan visited all %d entries", len(seen))
	}
	want := errors.New("enough")
	if err := Scan(t.Context(), dir, func(*Entry) error { return want }); !errors.Is(err, want) {
		t.Errorf("Scan = %v, want %v", err, want)
	}
}

// TestRootStays swaps things for links and mounts.
func TestRootStays(t *testing.T) {
	dir, _ := plant(t)
	root, err := OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	for _, st := range []struct{ path, want string }{
		{"link", "symbolic link"}, {"null", "character device"}, {"d", "directory"}, {"link/x", "opening"},
		{"none", "no such file"},
		{"../" + filepath.Base(dir) + "/a", "opening"},
	} {
		fd, err := open(root, st.path)
		if err == nil || !strings.Contains(err.Error(), st.want) {
			t.Errorf("Open(%s) = %d, %v, want an error with %q", st.path, fd, err, st.want)
		}
	}
	sourcetest.Run(t, "mount", "-t", "tmpfs", "tmpfs", filepath.Join(dir, "d/e"))
	defer sourcetest.Run(t, "umount", filepath.Join(dir, "d/e"))
	if err := os.WriteFile(filepath.Join(dir, "d/e/in"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := open(root, "d/e/in"); !errors.Is(err, ErrForeign) {
		t.Errorf("Open(d/e/in) = %v, want ErrForeign", err)
	}
	var seen []string
	err = Scan(t.Context(), dir, func(e *Entry) error { seen = append(seen, e.Path); return nil })
	if !errors.Is(err, ErrForeign) || !strings.Contains(err.Error(), "d/e") || slices.Contains(seen, "d/e/in") {
		t.Errorf("Scan = %v after %q, want ErrForeign", err, seen)
	}
}

func open(root *Root, path string) (int, error) {
	var st unix.Stat_t
	return root.Open(path, &st)
}
