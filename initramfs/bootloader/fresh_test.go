package bootloader

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"griddle/initramfs/bootloader/bootenv"
	"griddle/initramfs/bootloader/grubtest"
)

// bases makes a pool with the bases good and older, which proved themselves in this order, with the fresh roots 1 to 5
// of good, of which 4 has no kernel and 5 is not there, and one of the base next on trial.
func bases(t *testing.T) (file, id string) {
	t.Helper()
	dir := t.TempDir()
	root := func(name string, kernel bool) string {
		at := filepath.Join(dir, Roots, name)
		if err := os.MkdirAll(filepath.Join(at, "boot"), 0o755); err != nil {
			t.Fatal(err)
		}
		for _, file := range []string{"boot/vmlinuz-6.1.0", "boot/initrd.img-6.1.0"} {
			if !kernel {
				break
			}
			if err := os.WriteFile(filepath.Join(at, file), []byte(name), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		return at
	}
	for i, name := range []string{"good", "older", "next"} {
		at := root(name, true)
		if err := os.WriteFile(filepath.Join(at, BaseMarker), []byte("system\n"), 0o444); err != nil {
			t.Fatal(err)
		}
		if name == "next" {
			continue
		}
		marker, proved := filepath.Join(at, Marker), time.Unix(1700000000+int64(i), 0)
		if err := errors.Join(os.WriteFile(marker, nil, 0o444), os.Chtimes(marker, proved, proved)); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"good~1", "good~2", "good~3", "next~1"} {
		root(name, true)
	}
	root("good~4", false)
	return format(t, dir)
}

// freshEnv is grubenv of a machine that is reset at each start.
func freshEnv(t *testing.T, fresh, spare int, candidate string) []byte {
	t.Helper()
	e := bootenv.Env{Good: "good", Candidate: candidate, Fresh: fresh, Spare: spare}
	if candidate != "" {
		e.Tries = 1
	}
	b, err := e.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// resetMode is what a base is started with.
const resetMode = "systemd.unit=" + ResetTarget

// GRUB starts each fresh root once, whatever state grubenv is in, and without one the base, which makes some.
func TestGRUBTakesFreshRoots(t *testing.T) {
	pool, id := bases(t)
	two, one, none := freshEnv(t, 1, 2, ""), freshEnv(t, 2, 0, ""), freshEnv(t, 0, 0, "")
	edit := func(b []byte, old, new string) []byte {
		if !bytes.Contains(b, []byte(old)) {
			t.Fatalf("%q is not in %q", old, b)
		}
		return append(bytes.Replace(b, []byte(old), []byte(new), 1), bytes.Repeat([]byte("#"), 100)...)[:bootenv.Size]
	}
	zeros := make([]byte, bootenv.Size)
	for _, c := range []struct {
		name   string
		copies [2][]byte
		root   string
		left   [2]bootenv.Env // of copies that are whole
		screen string
	}{
		{"both are ready", [2][]byte{two, two}, "good~1",
			[2]bootenv.Env{{Good: "good", Fresh: 2}, {Good: "good", Fresh: 2}}, ""},
		{"one is ready", [2][]byte{one, one}, "good~2", [2]bootenv.Env{{Good: "good"}, {Good: "good"}}, ""},
		{"none is ready", [2][]byte{none, none}, "good", [2]bootenv.Env{{Good: "good"}, {Good: "good"}},
			"no fresh root of good is ready"},
		{"the first copy is torn", [2][]byte{append(bytes.Clone(two[:90]), zeros[90:]...), two}, "good~1",
			[2]bootenv.Env{{}, {Good: "good", Fresh: 2}}, ""},
		{"the first copy is missing", [2][]byte{nil, two}, "good~1", [2]bootenv.Env{{}, {Good: "good", Fresh: 2}}, ""},
		{"the power was cut between the copies", [2][]byte{one, two}, "good~2",
			[2]bootenv.Env{{Good: "good"}, {Good: "good"}}, ""},
		// The second copy would name a root that was used if the first one were lost later.
		{"the second copy is missing", [2][]byte{two, nil}, "good", [2]bootenv.Env{{Good: "good", Fresh: 2}, {}},
			"cannot be written"},
		{"the second copy is zeros", [2][]byte{two, zeros}, "good", [2]bootenv.Env{{Good: "good", Fresh: 2}, {}},
			"cannot be written"},
		{"both copies are lost", [2][]byte{zeros, zeros}, "older", [2]bootenv.Env{}, "no fresh root of older is ready"},
		{"the next one has no kernel", [2][]byte{freshEnv(t, 4, 3, ""), freshEnv(t, 4, 3, "")}, "good~3",
			[2]bootenv.Env{{Good: "good"}, {Good: "good"}}, "good~4 has no kernel"},
		{"the next one was deleted", [2][]byte{freshEnv(t, 5, 2, ""), freshEnv(t, 5, 2, "")}, "good~2",
			[2]bootenv.Env{{Good: "good"}, {Good: "good"}}, "good~5 has no kernel, or is missing"},
		{"neither has a kernel", [2][]byte{freshEnv(t, 4, 5, ""), freshEnv(t, 4, 5, "")}, "good",
			[2]bootenv.Env{{Good: "good"}, {Good: "good"}}, "no fresh root of good is ready"},
		{"not a number", [2][]byte{edit(two, "fresh=1", "fresh=01"), two}, "good",
			[2]bootenv.Env{{Good: "good"}, {Good: "good", Fresh: 1, Spare: 2}}, "no fresh root of good is ready"},
		{"a path", [2][]byte{edit(two, "fresh=1", "fresh=/../next"), two}, "good",
			[2]bootenv.Env{{Good: "good"}, {Good: "good", Fresh: 1, Spare: 2}}, ""},
		{"the spare is not a number", [2][]byte{edit(two, "spare=2", "spare=x"), two}, "good~1",
			[2]bootenv.Env{{Good: "good"}, {Good: "good"}}, ""},
		{"the same twice", [2][]byte{edit(two, "spare=2", "spare=1"), two}, "good~1",
			[2]bootenv.Env{{Good: "good"}, {Good: "good"}}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := esp(t, Config{ESP: "GR-1B4E28BA", PoolID: id, Root: "@roots/good"}, c.copies[0], c.copies[1])
			got := grubtest.Boot(t, dir, pool)
			if base := !strings.Contains(c.root, "~"); got.Root != c.root || got.Try() ||
				slices.Contains(got.Args, resetMode) != base || !strings.Contains(got.Screen, c.screen) {
				t.Errorf("GRUB started %s with %q, want %s:\n%s", got.Kernel, got.Args, c.root, got.Screen)
			}
			for i, name := range bootenv.Names {
				if _, err := bootenv.Parse(c.copies[i]); err != nil {
					continue
				}
				b, err := os.ReadFile(filepath.Join(dir, bootenv.Folder, name))
				e, bad := bootenv.Parse(b)
				if err != nil || bad != nil || e != c.left[i] {
					t.Errorf("%s is %+v afterwards, %v, %v, want %+v", name, e, err, bad, c.left[i])
				}
			}
		})
	}
}

// In a row of starts without anything that makes fresh roots, each of them starts once, and then the base.
func TestGRUBStartsFreshRootsOnce(t *testing.T) {
	pool, id := bases(t)
	b := freshEnv(t, 2, 3, "")
	dir := esp(t, Config{ESP: "GR-1B4E28BA", PoolID: id, Root: "@roots/good"}, b, b)
	for i, want := range []string{"good~2", "good~3", "good", "good"} {
		if got := grubtest.Boot(t, dir, pool); got.Root != want {
			t.Fatalf("start %d takes %s, want %s:\n%s", i, got.Root, want, got.Screen)
		}
	}
}

// A fresh root on trial starts once. If it fails, the fresh ones of the good base follow.
func TestGRUBTriesFreshRoots(t *testing.T) {
	pool, id := bases(t)
	b := freshEnv(t, 1, 2, "next~1")
	dir := esp(t, Config{ESP: "GR-1B4E28BA", PoolID: id, Root: "@roots/good"}, b, b)
	for i, want := range []string{"next~1", "good~1", "good~2", "good"} {
		got := grubtest.Boot(t, dir, pool)
		if got.Root != want || got.Try() != (i == 0) {
			t.Fatalf("start %d takes %s, want %s:\n%s", i, got.Root, want, got.Screen)
		}
	}
	// A base that is a candidate, as an agent of an earlier version makes it one, makes fresh roots.
	b, err := bootenv.Env{Good: "good", Candidate: "next", Tries: 2, Fresh: 1}.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	dir = esp(t, Config{ESP: "GR-1B4E28BA", PoolID: id, Root: "@roots/good"}, b, b)
	for i, want := range []string{"next", "next", "good~1", "good"} {
		got := grubtest.Boot(t, dir, pool)
		if got.Root != want || slices.Contains(got.Args, resetMode) == strings.Contains(want, "~") {
			t.Fatalf("start %d takes %s with %q, want %s:\n%s", i, got.Root, got.Args, want, got.Screen)
		}
	}
}

// If GRUB cannot write which root it takes, it takes none, and says so.
func TestGRUBCannotTake(t *testing.T) {
	pool, id := bases(t)
	b := freshEnv(t, 1, 2, "")
	disk := grubtest.Disk(t, esp(t, Config{ESP: "GR-1B4E28BA", PoolID: id, Root: "@roots/good"}, b, b), "32")
	out, err := exec.Command("losetup", "--find", "--show", "--read-only", disk).CombinedOutput()
	if err != nil {
		t.Fatalf("losetup: %v: %s", err, out)
	}
	dev := strings.TrimSpace(string(out))
	defer exec.Command("losetup", "--detach", dev).Run()
	got := grubtest.Start(t, dev, pool)
	if got.Root != "good" || !slices.Contains(got.Args, resetMode) ||
		!strings.Contains(got.Screen, "cannot be written") {
		t.Errorf("%q starts with %q:\n%s", got.Root, got.Args, got.Screen)
	}
}

// Whatever a person chooses in the menu, no fresh root starts twice, and no base starts for people.
func TestGRUBMenuOfBases(t *testing.T) {
	pool, id := bases(t)
	for _, c := range []struct {
		entry, candidate string
		fresh            int
		root             string
	}{
		{"kernels>0", "", 1, "good~1"},
		{"kernels>0", "", 0, "good"},
		{"kernels>0", "next~1", 1, "good~1"},
		{"earlier>older", "", 1, "older"},
		{"earlier>good", "next~1", 1, "good~1"},
	} {
		b := freshEnv(t, c.fresh, 0, c.candidate)
		lines := string(bytes.TrimRight(b, "#")) + "next_entry=" + c.entry + "\n"
		dir := esp(t, Config{ESP: "GR-1B4E28BA", PoolID: id, Root: "@roots/good"},
			append([]byte(lines), b[len(lines):]...), b)
		got := grubtest.Boot(t, dir, pool)
		if got.Root != c.root || got.Try() || slices.Contains(got.Args, resetMode) == strings.Contains(c.root, "~") {
			t.Errorf("%s with the candidate %q starts %q with %q, want %s:\n%s", c.entry, c.candidate, got.Root,
				got.Args, c.root, got.Screen)
		}
		e, err := bootenv.Read(dir)
		if took := strings.Contains(c.root, "~"); err != nil || e.Candidate != c.candidate ||
			(e.Fresh == 0) != (took || c.fresh == 0) {
			t.Errorf("after %s grubenv is %+v, %v", c.entry, e, err)
		}
	}
}
