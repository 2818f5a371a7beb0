package bootloader

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"griddle/initramfs/bootloader/bootenv"
	"griddle/initramfs/bootloader/grubtest"
)

// ownIDs are the UUIDs of the filesystems of ownRoots.
var ownIDs = []string{"0a1b2c3d-0000-4000-8000-00000000000a", "0a1b2c3d-0000-4000-8000-00000000000b",
	"0a1b2c3d-0000-4000-8000-00000000000c"}

// ownRoots makes the filesystems of two roots, an ext4 and an xfs as mkfs makes them, and of what they share. The files
// of each root have its name. Where marked is true, the second root proved itself.
func ownRoots(t *testing.T, marked bool) (files []string, c Config) {
	t.Helper()
	c = Config{ESP: "GR-1B4E28BA", PoolID: ownIDs[2], Root: "@roots/root-a", Args: []string{"quiet"},
		Own: []OwnRoot{{"root-a", ownIDs[0]}, {"root-b", ownIDs[1]}}}
	for i, mkfs := range [][]string{{"mkfs.ext4", "-q", "-U", ownIDs[0]}, {"mkfs.xfs", "-q", "-m", "uuid=" + ownIDs[1]},
		{"mkfs.ext4", "-q", "-U", ownIDs[2]}} {
		file := filepath.Join(t.TempDir(), "fs")
		if err := errors.Join(os.WriteFile(file, nil, 0o600), os.Truncate(file, 320<<20)); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command(mkfs[0], append(mkfs[1:], file)...).CombinedOutput(); err != nil {
			t.Fatalf("%s (run make deps): %v: %s", mkfs[0], err, out)
		}
		if files = append(files, file); i == 2 {
			break
		}
		dir := t.TempDir()
		if out, err := exec.Command("mount", "-o", "loop", file, dir).CombinedOutput(); err != nil {
			t.Fatalf("mount: %v: %s", err, out)
		}
		err := os.Mkdir(filepath.Join(dir, "boot"), 0o755)
		for _, name := range []string{"vmlinuz", "initrd.img"} {
			err = errors.Join(err, os.WriteFile(filepath.Join(dir, "boot", name+"-6.1.0"), []byte(name), 0o644),
				os.Symlink("boot/"+name+"-6.1.0", filepath.Join(dir, name)))
		}
		if i == 1 && marked {
			err = errors.Join(err, os.WriteFile(filepath.Join(dir, Marker), nil, 0o444))
		}
		if err := errors.Join(err, unix.Unmount(dir, 0)); err != nil {
			t.Fatal(err)
		}
	}
	return files, c
}

// Roots that are filesystems of their own start, are tried and are left again as those of a pool.
func TestGRUBOwnRoots(t *testing.T) {
	fs, c := ownRoots(t, true)
	const a, b = "root-a", "root-b"
	id := map[string]string{a: ownIDs[0], b: ownIDs[1]}
	for _, x := range []struct {
		name            string
		good, candidate string
		tries           int
		disks           []string
		root            string
		try             bool
	}{
		{"the first", a, "", 0, fs, a, false},
		{"the second", b, "", 0, fs, b, false},
		{"a try of the second", a, b, 1, fs, b, true},
		{"a try of the first", b, a, 1, fs, a, true},
		{"a try that failed", a, b, 0, fs, a, false},
		{"the candidate is lost", a, b, 1, fs[:1], a, false},
		{"the good one is lost", a, "", 0, fs[1:], b, false},
		{"an unknown one", "root-z", "root-y", 1, fs, b, false}, // which proved itself
		{"neither is there", a, b, 1, fs[2:], "", false},
	} {
		e := env(t, x.good, x.candidate, x.tries)
		dir := esp(t, c, e, e)
		for _, name := range []string{"vmlinuz", "initrd.img"} { // of another system: no root has them there
			if err := os.WriteFile(filepath.Join(dir, name), []byte(name), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		disk := grubtest.Disk(t, dir, "32")
		got := grubtest.Start(t, append([]string{disk}, x.disks...)...)
		var want []string
		if x.root != "" {
			want = []string{"root=UUID=" + id[x.root], "rw", "console=ttyS0,115200", "console=tty0", "panic=10",
				"oops=panic", "quiet"}
		}
		if x.try {
			want = slices.Insert(want, 6, Try)
		}
		if !slices.Equal(got.Args, want) || x.root != "" && !strings.HasSuffix(got.Kernel, "vmlinuz") {
			t.Errorf("%s: GRUB started %q with %q, want %q:\n%s", x.name, got.Kernel, got.Args, want, got.Screen)
		}
		left, err := exec.Command("mtype", "-i", grubtest.Partition(disk), "::/griddle/"+bootenv.Names[0]).Output()
		after, bad := bootenv.Parse(left)
		if err := errors.Join(err, bad); err != nil || after.Candidate != x.candidate || after.Tries != 0 {
			t.Errorf("%s: grubenv is %+v, %v afterwards", x.name, after, err)
		}
	}
	for entry, want := range map[string]string{"earlier>root-b": ownIDs[1], "kernels>0": ownIDs[0]} {
		e := env(t, a, "", 0)
		lines := strings.TrimRight(string(e), "#") + "next_entry=" + entry + "\n"
		disk := grubtest.Disk(t, esp(t, c, append([]byte(lines), e[len(lines):]...), e), "32")
		got := grubtest.Start(t, append([]string{disk}, fs...)...)
		if len(got.Args) == 0 || got.Args[0] != "root=UUID="+want || got.Try() {
			t.Errorf("the entry %s starts %q with %q:\n%s", entry, got.Kernel, got.Args, got.Screen)
		}
	}
}

func TestOwnRootsConfig(t *testing.T) {
	c := Config{ESP: "GR-1B4E28BA", PoolID: ownIDs[2], Root: "@roots/root-b", Args: []string{"quiet", "root=UUID=x"},
		Own: []OwnRoot{{"root-a", ownIDs[0]}, {"b@x", ownIDs[1]}, {"root-b", ownIDs[1][:35] + "d"}}}
	dir := t.TempDir()
	if err := WriteConfig(dir, c); err != nil {
		t.Fatal(err)
	}
	got, err := ReadConfig(dir)
	if got.ESP, got.Script = c.ESP, 0; err != nil || !reflect.DeepEqual(got, c) {
		t.Errorf("ReadConfig = %+v, %v, want %+v", got, err, c)
	}
	line, err := c.CommandLine()
	if want := "root=UUID=" + ownIDs[1][:35] + "d rw console=ttyS0,115200 console=tty0 panic=10 oops=panic quiet " +
		"root=UUID=x"; err != nil || line != want {
		t.Errorf("CommandLine = %q, %v, want %q", line, err, want)
	}
	for name, change := range map[string]func(c *Config){
		"flat":          func(c *Config) { c.Flat, c.Root = true, "" },
		"not one":       func(c *Config) { c.Root = "@roots/root-c" },
		"no UUID":       func(c *Config) { c.Own[0].UUID = "'; reboot; '" },
		"that they own": func(c *Config) { c.Own[0].UUID = c.PoolID },
		"twice":         func(c *Config) { c.Own[0].UUID = c.Own[1].UUID },
		"one name":      func(c *Config) { c.Own[0].Name = c.Own[1].Name },
		"a bad name":    func(c *Config) { c.Own[0].Name = "a\nb" },
	} {
		bad := c
		bad.Own = slices.Clone(c.Own)
		change(&bad)
		if b, err := bad.Render(); err == nil {
			t.Errorf("%s: Render = %s", name, b)
		}
	}
}
