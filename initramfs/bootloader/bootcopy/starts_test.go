package bootcopy

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"griddle/imagestore/durable"
	"griddle/imagestore/durable/durabletest"
)

// add adds a kernel to a root, as a package does.
func add(t *testing.T, r Root, version string) {
	t.Helper()
	for _, file := range []string{"vmlinuz", "initrd.img"} {
		text := strings.Repeat(file+" "+version+"\n", 100)
		if err := os.WriteFile(filepath.Join(r.Dir, "boot", file+"-"+version), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// drop removes a kernel from a root.
func drop(t *testing.T, r Root, version string) {
	t.Helper()
	for _, file := range []string{"vmlinuz", "initrd.img"} {
		if err := os.Remove(filepath.Join(r.Dir, "boot", file+"-"+version)); err != nil {
			t.Fatal(err)
		}
	}
}

// Before a kernel is removed another one is copied. The last one is not given up.
func TestRemoved(t *testing.T) {
	top, r := t.TempDir(), made(t, "one", "6.1.0", 0, "")
	add(t, r, "6.2.0")
	all(t, top, r)
	const old, next = "vmlinuz 6.1.0; initrd.img 6.1.0; ", "vmlinuz 6.2.0; initrd.img 6.2.0; "
	is(t, "with two kernels", top, map[string]string{"one": old}) // which /vmlinuz leads to
	r.Removed = "6.1.0"
	if Starts(top, r) {
		t.Error("GRUB starts what is about to be removed, and Starts says that the root keeps it")
	}
	all(t, top, r)
	is(t, "before one is removed", top, map[string]string{"one": next})
	if !Starts(top, r) {
		t.Error("GRUB starts what stays, and Starts says no")
	}
	drop(t, r, "6.1.0")
	r.Removed = ""
	all(t, top, r)
	is(t, "when one is removed", top, map[string]string{"one": next})
	r.Removed = "6.2.0"
	failed, err := Update(top, []Root{r})
	if err != nil || !errors.Is(failed["one"], ErrNoInitrd) || Starts(top, r) {
		t.Errorf("before the last one is removed: %v, %v, Starts = %v", failed, err, Starts(top, r))
	}
	is(t, "before the last one is removed", top, map[string]string{"one": next})
	for _, other := range []string{"../../etc/passwd", "9.9.9"} {
		if r.Removed = other; !Starts(top, r) {
			t.Errorf("Starts without %s = false", other)
		}
		all(t, top, r)
	}
}

// What GRUB has is of a kernel that the root keeps, or it is not.
func TestStarts(t *testing.T) {
	top, r := t.TempDir(), made(t, "one", "6.1.0", 0, "")
	if Starts(top, r) {
		t.Error("without a copy Starts = true")
	}
	all(t, top, r)
	add(t, r, "6.2.0")
	if !Starts(top, r) {
		t.Error("with another kernel that is not copied yet Starts = false")
	}
	if err := os.WriteFile(filepath.Join(r.Dir, "boot/initrd.img-6.1.0"), []byte("another"), 0o644); err != nil {
		t.Fatal(err)
	}
	if !Starts(top, r) {
		t.Error("with another initrd that is not copied yet Starts = false")
	}
	drop(t, r, "6.1.0")
	if Starts(top, r) {
		t.Error("of a kernel that is gone Starts = true")
	}
	if at, err := Copy(top, "one"); err != nil || at != filepath.Join(top, "one/1") {
		t.Errorf("Copy = %s, %v", at, err)
	}
	if at, err := Copy(top, "two"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Copy of a root without one = %s, %v", at, err)
	}
	for _, bad := range []Root{{Name: "one", Dir: "/nonexistent"}, {Name: "two", Dir: r.Dir}} {
		if Starts(top, bad) {
			t.Errorf("Starts(%+v) = true", bad)
		}
	}
}

// A power cut at any operation of Remove, and one that fails, leaves GRUB the whole copy of a root or none, and the
// copies of other roots as they are. The next Remove completes it.
func TestRemoveIsCut(t *testing.T) {
	start := t.TempDir()
	all(t, start, made(t, "one", "6.1.0", 1000, ""), made(t, "gone", "6.1.0", 2000, "quiet"),
		made(t, "stays", "6.2.0", 0, ""))
	// What a power cut left of an Update.
	older := filepath.Join(start, "gone/0")
	if err := os.CopyFS(older, os.DirFS(filepath.Join(start, "gone/1"))); err != nil {
		t.Fatal(err)
	}
	old := loads(t, start)
	rest := map[string]string{"one": untimed(old["one"]), "stays": old["stays"]}
	check := func(at, dir string, complete bool) {
		t.Helper()
		got := loads(t, dir)
		for name := range got {
			got[name] = untimed(got[name])
		}
		gone := got["gone"]
		delete(got, "gone")
		if !maps.Equal(got, rest) || gone != "" && (complete || gone != untimed(old["gone"])) {
			t.Fatalf("%s: GRUB finds %q, and of the root that goes %q", at, got, gone)
		}
	}
	durabletest.Everywhere(t, start, func(d durable.Disk, dir string) error {
		return remove(d, dir, []string{"gone", "never", "../x"})
	}, func(whole string) { check("in the end", whole, true) }, func(at, dir string) {
		t.Helper()
		check(at, dir, false)
		if err := Remove(dir, "gone"); err != nil {
			t.Fatal(err)
		}
		check(at+", and again", dir, true)
		if left := names(t, dir); strings.Contains(left, "gone") {
			t.Fatalf("%s: %s are left", at, left)
		}
	})
}

// Files that another copy has need no room, and those that no other copy shares are free again with it.
func TestNeeds(t *testing.T) {
	top := t.TempDir()
	one, two := made(t, "one", "6.1.0", 0, ""), made(t, "two", "6.1.0", 0, "")
	all(t, top, one, two)
	has, err := read(filepath.Join(top, "one/1"))
	if err != nil {
		t.Fatal(err)
	}
	kernel, initrd := has[kernelFile], has[initrdFile]
	empty, free, err := Room(top, nil)
	if err != nil || empty <= 0 || free <= empty {
		t.Fatalf("Room = %d, %d, %v", empty, free, err)
	}
	for _, c := range []struct {
		files []File
		want  int64 // beside folders, in whole blocks of 4096 bytes
	}{
		{[]File{{kernel.size, kernel.digest}, {initrd.size, initrd.digest}}, 0},
		{[]File{{kernel.size, kernel.digest}, {4097, digest{1}}}, 8192},
		{[]File{{1, digest{1}}, {4096, digest{2}}}, 8192},
	} {
		if need, _, err := Room(top, c.files); err != nil || need-empty != c.want {
			t.Errorf("Room(%+v) = %d, %v, want %d", c.files, need-empty, err, c.want)
		}
	}
	if _, _, err := Room(filepath.Join(top, "nothing"), nil); err == nil {
		t.Error("Room of nothing = nil")
	}
	shared := Freed(top, "one")
	drop(t, two, "6.1.0")
	add(t, two, "6.2.0")
	all(t, top, one, two)
	if alone := Freed(top, "one"); alone <= shared {
		t.Errorf("what no other copy shares has %d bytes, and with one that shares it %d", alone, shared)
	}
	if n := Freed(top, "three"); n != 0 {
		t.Errorf("Freed of nothing = %d", n)
	}
}
