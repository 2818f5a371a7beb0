package bootcopy

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"griddle/imagestore/durable"
	"griddle/imagestore/durable/durabletest"
	"griddle/initramfs/bootloader"
	"griddle/initramfs/bootloader/arguments"
	"griddle/initramfs/sysroot"
)

// made makes a root with a kernel of this version, as packages install one, and what else is given: the time of its
// marker, an argument of its own.
func made(t testing.TB, name, version string, marked int64, own string) Root {
	t.Helper()
	dir := filepath.Join(t.TempDir(), name)
	err := os.MkdirAll(filepath.Join(dir, "boot"), 0o755)
	for _, file := range []string{"vmlinuz", "initrd.img"} {
		text := strings.Repeat(file+" "+version+"\n", 100)
		err = errors.Join(err, os.WriteFile(filepath.Join(dir, "boot", file+"-"+version), []byte(text), 0o644),
			os.Symlink("boot/"+file+"-"+version, filepath.Join(dir, file)))
	}
	if marked > 0 {
		marker, at := filepath.Join(dir, bootloader.Marker), time.Unix(marked, 0)
		err = errors.Join(err, os.WriteFile(marker, nil, 0o444), os.Chtimes(marker, at, at))
	}
	if own != "" {
		root, bad := os.OpenRoot(dir)
		if bad != nil {
			t.Fatal(bad)
		}
		a := arguments.Arguments{All: []string{own}}
		err = errors.Join(err, arguments.Write(sysroot.Dir{Root: root}, a), root.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	return Root{Name: name, Dir: dir}
}

// loads is what GRUB would take for each root, as function system_of of script/bootpart.cfg finds it: the lines of each
// file once, and the time of a marker.
func loads(t testing.TB, top string) map[string]string {
	t.Helper()
	out := map[string]string{}
	names, err := os.ReadDir(top)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range names {
		best, dir := -1, ""
		copies, _ := os.ReadDir(filepath.Join(top, e.Name()))
		for _, c := range copies {
			at := filepath.Join(top, e.Name(), c.Name())
			n, err := strconv.Atoi(c.Name())
			if err == nil && n > best && regular(at+"/vmlinuz") && regular(at+"/initrd.img") {
				best, dir = n, at
			}
		}
		if dir == "" {
			continue
		}
		text := ""
		for _, file := range append([]string{"vmlinuz", "initrd.img"}, small...) {
			b, err := os.ReadFile(filepath.Join(dir, file))
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			first, rest, _ := strings.Cut(string(b), "\n")
			if file == "vmlinuz" || file == "initrd.img" {
				if rest != strings.Repeat(first+"\n", 99) {
					t.Fatalf("%s of %s is cut", file, dir)
				}
				text += first + "; "
				continue
			}
			st, err := os.Stat(filepath.Join(dir, file))
			if err != nil {
				t.Fatal(err)
			}
			if file == bootloader.Marker {
				text += fmt.Sprint("marked ", st.ModTime().Unix(), "; ")
			} else {
				text += fmt.Sprintf("%s %d; ", filepath.Base(file), len(b))
			}
		}
		out[e.Name()] = text
	}
	return out
}

func all(t testing.TB, top string, roots ...Root) {
	t.Helper()
	failed, err := Update(top, roots)
	if err != nil || len(failed) > 0 {
		t.Fatal(err, failed)
	}
}

func is(t testing.TB, what, top string, want map[string]string) {
	t.Helper()
	if got := loads(t, top); !maps.Equal(got, want) {
		t.Errorf("%s: the copies are %q, want %q", what, got, want)
	}
}

// The copies follow the roots, and have nothing of others.
func TestUpdate(t *testing.T) {
	top := t.TempDir()
	one, two := made(t, "one@amd64", "6.1.0", 1000, ""), made(t, "two", "6.1.0", 0, "quiet")
	if err := errors.Join(os.Mkdir(filepath.Join(top, "lost+found"), 0o700), os.Symlink("/", filepath.Join(top, "two")),
		os.MkdirAll(filepath.Join(top, "gone/7/usr"), 0o700),
		os.WriteFile(filepath.Join(top, "gone/7/vmlinuz"), []byte("x"), 0o600),
		os.WriteFile(filepath.Join(top, "file"), nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	all(t, top, one, two)
	const k = "vmlinuz 6.1.0; initrd.img 6.1.0; "
	own := fmt.Sprintf("kernel-arguments %d; ", size(t, two, arguments.File))
	is(t, "at first", top, map[string]string{"one@amd64": k + "marked 1000; ", "two": k + own})
	if left := names(t, top); left != "lost+found one@amd64 two" {
		t.Errorf("the partition has %s", left)
	}
	for _, file := range []string{"vmlinuz", "initrd.img"} {
		var a, b syscall.Stat_t
		if err := errors.Join(syscall.Stat(filepath.Join(top, "one@amd64/1", file), &a),
			syscall.Stat(filepath.Join(top, "two/1", file), &b)); err != nil || a.Ino != b.Ino {
			t.Errorf("%s takes its room twice (%v)", file, err)
		}
	}

	// Nothing changes without a reason; a marker, an argument, a kernel and an initrd are reasons.
	all(t, top, one, two)
	if left := names(t, filepath.Join(top, "one@amd64")); left != "1" {
		t.Errorf("without a change the copies are %s", left)
	}
	again := made(t, "one@amd64", "6.1.0", 2000, "")
	all(t, top, again, two)
	is(t, "another marker", top, map[string]string{"one@amd64": k + "marked 2000; ", "two": k + own})
	again = made(t, "one@amd64", "6.9.0", 2000, "")
	all(t, top, again, two)
	is(t, "another kernel", top, map[string]string{"one@amd64": "vmlinuz 6.9.0; initrd.img 6.9.0; marked 2000; ",
		"two": k + own})
	if left := names(t, filepath.Join(top, "one@amd64")); left != "3" {
		t.Errorf("after three changes the copies are %s", left)
	}

	// A root that has no kernel for a moment keeps its copy; one that is gone does not.
	if err := os.Remove(filepath.Join(again.Dir, "boot/initrd.img-6.9.0")); err != nil {
		t.Fatal(err)
	}
	failed, err := Update(top, []Root{again})
	if err != nil || !errors.Is(failed["one@amd64"], ErrNoInitrd) || len(failed) != 1 {
		t.Errorf("without an initrd: %v, %v", failed, err)
	}
	is(t, "without an initrd", top, map[string]string{"one@amd64": "vmlinuz 6.9.0; initrd.img 6.9.0; marked 2000; "})
	if _, err := Update(top, nil); err == nil {
		t.Error("Update without roots = nil")
	}
	for name, root := range map[string]Root{"a name": {Name: ".x", Dir: one.Dir},
		"no folder": {Name: "x", Dir: "/nonexistent"}} {
		if failed, err := Update(top, []Root{again, root}); err != nil || failed[root.Name] == nil {
			t.Errorf("%s: %v, %v", name, failed, err)
		}
	}
}

// The files of a hostile root do not lead out of it, and its pipes do not stop an Update.
func TestHostile(t *testing.T) {
	top, r := t.TempDir(), made(t, "bad", "6.1.0", 0, "")
	secret := filepath.Join(t.TempDir(), "secret")
	if err := errors.Join(os.WriteFile(secret, []byte("secret"), 0o600), os.Remove(filepath.Join(r.Dir, "vmlinuz")),
		os.Symlink(secret, filepath.Join(r.Dir, "vmlinuz")),
		os.Symlink(secret, filepath.Join(r.Dir, bootloader.Marker)),
		syscall.Mkfifo(filepath.Join(r.Dir, bootloader.BaseMarker), 0o600)); err != nil {
		t.Fatal(err)
	}
	all(t, top, r)
	is(t, "a hostile root", top, map[string]string{"bad": "vmlinuz 6.1.0; initrd.img 6.1.0; "}) // of /boot
}

// A partition without room keeps what it has, and another root that needs none is copied.
func TestRoom(t *testing.T) {
	top := t.TempDir()
	if err := syscall.Mount("none", top, "tmpfs", 0, "size=1m"); err != nil {
		t.Fatal(err)
	}
	defer syscall.Unmount(top, 0)
	one, two := made(t, "one", "6.1.0", 0, ""), made(t, "two", "6.1.0", 0, "")
	all(t, top, one)
	if err := os.WriteFile(filepath.Join(one.Dir, "boot/initrd.img-6.1.0"), make([]byte, 2<<20), 0o644); err != nil {
		t.Fatal(err)
	}
	failed, err := Update(top, []Root{one, two})
	if err != nil || len(failed) != 1 || !errors.Is(failed["one"], ErrRoom) {
		t.Errorf("without room: %v, %v", failed, err)
	}
	const k = "vmlinuz 6.1.0; initrd.img 6.1.0; "
	is(t, "without room", top, map[string]string{"one": k, "two": k})
	if left := names(t, filepath.Join(top, "one")); left != "1" {
		t.Errorf("without room the copies are %s", left)
	}
}

// A power cut at any operation, and one that fails, leaves GRUB the old or the new copy of each root, whole. The next
// Update completes it.
func TestIsCut(t *testing.T) {
	start := t.TempDir()
	before := []Root{made(t, "one", "6.1.0", 1000, ""), made(t, "gone", "5.10.0", 0, "")}
	all(t, start, before...)
	now := []Root{made(t, "new", "6.9.0", 0, ""), made(t, "one", "6.2.0", 2000, "quiet")}
	old := loads(t, start)
	var want map[string]string
	durabletest.Everywhere(t, start, func(d durable.Disk, dir string) error {
		failed, err := update(d, dir, now)
		for _, one := range failed {
			err = errors.Join(err, one)
		}
		return err
	}, func(whole string) {
		if want = loads(t, whole); len(want) != 2 || want["one"] == old["one"] {
			t.Fatalf("the copies become %q", want)
		}
	}, func(at, dir string) {
		t.Helper()
		for name, has := range loads(t, dir) {
			if has = untimed(has); has != untimed(old[name]) && has != untimed(want[name]) {
				t.Fatalf("%s: of %s GRUB loads %q, neither %q nor %q", at, name, has, old[name], want[name])
			}
		}
		if loads(t, dir)["one"] == "" {
			t.Fatalf("%s: GRUB finds no copy", at)
		}
		all(t, dir, now...)
		is(t, at+", and again", dir, want)
	})
}

// untimed is without the time of a marker, which a Tape does not keep.
func untimed(copy string) string {
	return regexp.MustCompile(`marked \d+`).ReplaceAllString(copy, "marked")
}

func size(t *testing.T, r Root, name string) int64 {
	t.Helper()
	st, err := os.Stat(filepath.Join(r.Dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return st.Size()
}

func names(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return strings.Join(out, " ")
}
