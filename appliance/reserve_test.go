package appliance

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"griddle/appliance/fleet"
	"griddle/appliance/job"
)

// TestStartOnFullDisk fills the state directory's file system to its last byte: the next start gives up its reserve,
// knows every machine and order, takes another order, and lets no stranger fill what is left. A start after that works
// too, and the reserve comes back with the room.
func TestStartOnFullDisk(t *testing.T) {
	mount := t.TempDir()
	if err := unix.Mount("tmpfs", mount, "tmpfs", 0, "size=64m"); err != nil {
		t.Fatalf("mounting a small file system, which needs root: %v", err)
	}
	t.Cleanup(func() { unix.Unmount(mount, unix.MNT_DETACH) })
	dir, ctx := filepath.Join(mount, "state"), t.Context()
	start := func(use func(s *state, f *fleet.Fleet)) (freed bool) {
		t.Helper()
		s, err := openState(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer s.close()
		if freed, err = s.reserve(); err != nil {
			t.Fatal(err)
		}
		if _, err := s.adminToken(); err != nil {
			t.Fatal(err)
		}
		f, err := fleet.Open(ctx, s.path(fleetFile), fleet.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if err := s.write(URLFile, []byte("https://10.0.0.1:8443\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		use(s, f)
		return freed
	}
	order := fleet.Order{Image: job.Image{Ref: "web:1@amd64"}, Disk: "largest"}
	start(func(_ *state, f *fleet.Fleet) {
		if _, _, err := f.Install(ctx, "52:54:00:00:00:0a", order); err != nil {
			t.Fatal(err)
		}
	})
	held := filepath.Join(dir, reserveFile)
	if st, err := os.Stat(held); err != nil || st.Size() != reserveSize || st.Sys() == nil {
		t.Fatalf("the reserve is %v, %v", st, err)
	}
	full := filepath.Join(mount, "full")
	fill(t, full)
	for n, want := range []bool{true, false} {
		freed := start(func(_ *state, f *fleet.Fleet) {
			if v, _, err := f.Show(ctx, "52:54:00:00:00:0a"); err != nil || v.Status() != "pending" {
				t.Errorf("the order that there was is %q, %v", v.Status(), err)
			}
			order.Replace = true
			if _, _, err := f.Install(ctx, "52:54:00:00:00:0a", order); err != nil {
				t.Errorf("Install() = %v", err)
			}
			hello := job.Hello{Boot: "7b7c0bd0-4a3a-4b94-b0ac-6c4a0c1f9f01",
				Identity: job.Identity{MACs: []string{"52:54:00:00:00:0b"}}}
			if _, err := f.Hello(ctx, "10.66.6.6", "", hello); !errors.Is(err, fleet.ErrDiskFull) {
				t.Errorf("a stranger's Hello() = %v, want ErrDiskFull", err)
			}
		})
		if freed != want {
			t.Errorf("start %d gave up the reserve: %v, want %v", n+1, freed, want)
		}
	}
	if err := os.Remove(full); err != nil {
		t.Fatal(err)
	}
	start(func(*state, *fleet.Fleet) {})
	if _, err := os.Stat(held); err != nil {
		t.Errorf("with room the reserve is not back: %v", err)
	}
}

// TestFullDiskIsSaid: where nothing is left at all, the start says what to do.
func TestFullDiskIsSaid(t *testing.T) {
	mount := t.TempDir()
	if err := unix.Mount("tmpfs", mount, "tmpfs", 0, "size=1m"); err != nil {
		t.Fatalf("mounting a small file system, which needs root: %v", err)
	}
	t.Cleanup(func() { unix.Unmount(mount, unix.MNT_DETACH) })
	fill(t, filepath.Join(mount, "full"))
	_, err := fleet.Open(t.Context(), filepath.Join(mount, "fleet.db"), fleet.Options{})
	var advice Advice
	if err = fullDisk(err, mount); !errors.As(err, &advice) {
		t.Errorf("opening the database on a full disk = %v, want an Advice", err)
	}
}

// fill writes name until nothing more fits.
func fill(t *testing.T, name string) {
	t.Helper()
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for size := 1 << 20; size > 0; {
		if _, err := f.Write(make([]byte, size)); err != nil {
			var p *fs.PathError
			if !errors.As(err, &p) || !errors.Is(err, unix.ENOSPC) {
				t.Fatal(err)
			}
			size /= 2
		}
	}
}
