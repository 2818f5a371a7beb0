package bootloader

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"griddle/initramfs/bootloader/bootenv"
	"griddle/initramfs/bootloader/grubtest"

	"github.com/google/uuid"
)

// pools makes a pool with the roots good, new, bare (without a kernel) and broken (whose kernel cannot be loaded), and
// with two that proved themselves earlier.
func pools(t *testing.T, markers ...string) (file, id string) {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"good", "new", "older", "newer", "broken", "last"} {
		boot := filepath.Join(dir, Roots, name, "boot")
		if err := os.MkdirAll(boot, 0o755); err != nil {
			t.Fatal(err)
		}
		for _, file := range []string{"vmlinuz-6.1.0", "initrd.img-6.1.0"} {
			link := filepath.Join(dir, Roots, name, file[:strings.LastIndex(file, "-")])
			if err := errors.Join(os.WriteFile(filepath.Join(boot, file), []byte(name), 0o644),
				os.Symlink("boot/"+file, link)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := os.Mkdir(filepath.Join(dir, Roots, "bare"), 0o755); err != nil {
		t.Fatal(err)
	}
	begun := time.Unix(1700000000, 0)
	for i, name := range markers {
		file, at := filepath.Join(dir, Roots, name, Marker), begun.Add(time.Duration(i)*time.Second)
		if err := errors.Join(os.WriteFile(file, nil, 0o444), os.Chtimes(file, at, at)); err != nil {
			t.Fatal(err)
		}
	}
	return format(t, dir)
}

// format makes a pool with the tree at dir.
func format(t *testing.T, dir string) (file, id string) {
	t.Helper()
	file, id = filepath.Join(t.TempDir(), "pool"), uuid.NewString()
	if err := errors.Join(os.WriteFile(file, nil, 0o600), os.Truncate(file, 128<<20)); err != nil {
		t.Fatal(err)
	}
	mkfs := exec.Command("mkfs.btrfs", "--quiet", "--uuid", id, "--rootdir", dir, file)
	if out, err := mkfs.CombinedOutput(); err != nil {
		t.Fatalf("mkfs.btrfs: %v: %s", err, out)
	}
	return file, id
}

// env is grubenv.
func env(t *testing.T, good, candidate string, tries int) []byte {
	t.Helper()
	b, err := bootenv.Env{Good: good, Candidate: candidate, Tries: tries}.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// esp is the folder of an EFI system partition with these copies of grubenv; nil for none.
func esp(t *testing.T, c Config, copies ...[]byte) string {
	t.Helper()
	dir := t.TempDir()
	if err := WriteConfig(dir, c); err != nil {
		t.Fatal(err)
	}
	for i, b := range copies {
		if b == nil {
			continue
		}
		if err := os.WriteFile(filepath.Join(dir, bootenv.Folder, bootenv.Names[i]), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// GRUB starts the root that grubenv says, whatever state that is in, counts, and always finds one that starts.
func TestGRUBChooses(t *testing.T) {
	pool, id := pools(t, "older", "newer")
	bare, bareID := pools(t)
	both := func(good, candidate string, tries int) [2][]byte {
		b := env(t, good, candidate, tries)
		return [2][]byte{b, b}
	}
	good, try, zeros := env(t, "good", "", 0), env(t, "good", "new", 1), make([]byte, bootenv.Size)
	torn := func(at int) []byte { return append(bytes.Clone(try[:at]), zeros[at:]...) }
	edit := func(old, new string) []byte { return bytes.Replace(try, []byte(old), []byte(new), 1) }
	const done = "griddle_complete=yes\n"
	for _, c := range []struct {
		name   string
		copies [2][]byte
		root   string
		try    bool
		left   int    // tries in each copy, where it was whole
		screen string // what a person can read
	}{
		{"no candidate", both("good", "", 0), "good", false, 0, ""},
		{"a candidate, 3 tries", both("good", "new", 3), "new", true, 2, ""},
		{"a candidate, 2 tries", both("good", "new", 2), "new", true, 1, ""},
		{"a candidate, 1 try", both("good", "new", 1), "new", true, 0, ""},
		{"a candidate that was tried", both("good", "new", 0), "good", false, 0, ""},
		{"seven tries", [2][]byte{edit("tries=1", "tries=7"), try}, "new", true, 0, ""},
		{"no tries", [2][]byte{edit("tries=1", "tries=#"), good}, "good", false, 0, ""},
		{"a later format", [2][]byte{edit("format=1", "format=2"), good}, "good", false, 0, ""},
		{"first zeros", [2][]byte{zeros, try}, "new", true, 0, "invalid environment block"},
		{"first empty", [2][]byte{{}, try}, "new", true, 0, ""},
		{"first missing", [2][]byte{nil, try}, "new", true, 0, "not found"},
		{"first torn in a line", [2][]byte{torn(40), try}, "new", true, 0, ""},
		{"first torn to padding", [2][]byte{edit(done, strings.Repeat("#", len(done))), try}, "new", true, 0, ""},
		{"second missing", [2][]byte{try, nil}, "new", true, 0, ""},
		{"second zeros", [2][]byte{try, zeros}, "new", true, 0, ""},
		{"the copies differ", [2][]byte{try, env(t, "older", "", 0)}, "new", true, 0, ""},
		{"both missing", [2][]byte{nil, nil}, "newer", false, 0, "proved itself last"},
		{"both zeros", [2][]byte{zeros, zeros}, "newer", false, 0, ""},
		{"both torn", [2][]byte{torn(40), torn(100)}, "newer", false, 0, ""},
		{"the candidate is gone", both("good", "gone", 3), "good", false, 0, "gone has no kernel, or is missing"},
		{"the candidate has no kernel", both("good", "bare", 2), "good", false, 0, "bare has no kernel"},
		{"the candidate's kernel is cut", both("good", "broken", 1), "good", false, 0, "broken does not start"},
		{"the good root is gone", both("gone", "", 0), "newer", false, 0, ""},
		{"the good root is gone, a candidate", both("gone", "new", 1), "new", true, 0, ""},
		{"the good root's kernel is cut", both("broken", "", 0), "newer", false, 0, "broken does not start"},
		{"all are gone", both("gone", "lost", 1), "newer", false, 0, ""},
		{"no good root, a candidate", both("", "new", 1), "new", true, 0, ""},
	} {
		fats := []string{"32", "16", "12"}
		if c.left == 0 && c.name != "first zeros" {
			fats = fats[:1] // that GRUB writes to each kind of FAT is seen by other cases
		}
		for _, fat := range fats {
			t.Run(c.name+" on FAT"+fat, func(t *testing.T) {
				dir := esp(t, Config{ESP: "GR-1B4E28BA", PoolID: id, Root: "@roots/last", Args: []string{"quiet"}},
					c.copies[0], c.copies[1])
				disk := grubtest.Disk(t, dir, fat)
				got := grubtest.Start(t, disk, pool)
				want := []string{"root=UUID=" + id, "rootflags=subvol=@roots/" + c.root, "rw", "console=ttyS0,115200",
					"console=tty0", "panic=10", "oops=panic", "griddle.try", "quiet"}
				if !c.try {
					want = slices.Delete(want, 7, 8)
				}
				if got.Root != c.root || got.Try() != c.try || !slices.Equal(got.Args, want) ||
					got.Kernel != "/@roots/"+c.root+"/vmlinuz" || got.Initrd != "/@roots/"+c.root+"/initrd.img" {
					t.Errorf("GRUB started %q with %q and %q, want %q:\n%s", got.Kernel, got.Initrd, got.Args, want,
						got.Screen)
				}
				if !strings.Contains(got.Screen, c.screen) {
					t.Errorf("the screen has no %q:\n%s", c.screen, got.Screen)
				}
				for i, name := range bootenv.Names {
					before, err := bootenv.Parse(c.copies[i])
					if err != nil {
						continue
					}
					b, err := exec.Command("mtype", "-i", grubtest.Partition(disk), "::/griddle/"+name).Output()
					after, bad := bootenv.Parse(b)
					if before.Tries = c.left; before.Candidate == "" {
						before.Tries = 0
					}
					if err != nil || bad != nil || after != before {
						t.Errorf("%s is %+v afterwards, %v, %v, want %+v", name, after, err, bad, before)
					}
				}
			})
		}
	}
	for name, root := range map[string]string{"last": "last", "gone": "", "broken": ""} {
		dir := esp(t, Config{ESP: "GR-1B4E28BA", PoolID: bareID, Root: "@roots/" + name}, nil, nil)
		if got := grubtest.Boot(t, dir, bare); got.Root != root || got.Try() {
			t.Errorf("without grubenv and markers, and with %s in grub.cfg, %q starts:\n%s", name, got.Root, got.Screen)
		}
	}
}

// A candidate whose try cannot be written down is not started: it would be started for ever.
func TestGRUBCannotWrite(t *testing.T) {
	pool, id := pools(t)
	try := env(t, "good", "new", 1)
	disk := grubtest.Disk(t, esp(t, Config{ESP: "GR-1B4E28BA", PoolID: id, Root: "@roots/last"}, try, try), "32")
	out, err := exec.Command("losetup", "--find", "--show", "--read-only", disk).CombinedOutput()
	if err != nil {
		t.Fatalf("losetup: %v: %s", err, out)
	}
	dev := strings.TrimSpace(string(out))
	defer exec.Command("losetup", "--detach", dev).Run()
	if got := grubtest.Start(t, dev, pool); got.Root != "good" || got.Try() ||
		!strings.Contains(got.Screen, "new is not started") {
		t.Errorf("%q starts:\n%s", got.Root, got.Screen)
	}
}

// What a person chooses in the menu uses up no try, and saved_entry and next_entry choose as a person does.
func TestGRUBMenu(t *testing.T) {
	pool, id := pools(t, "older", "newer")
	for _, c := range []struct{ variable, root, kernel, left string }{
		{"saved_entry=earlier>older", "older", "/@roots/older/vmlinuz", "saved_entry=earlier>older"},
		{"next_entry=earlier>good", "good", "/@roots/good/vmlinuz", "next_entry="},
		{"next_entry=kernels>0", "new", "/@roots/new/boot/vmlinuz-6.1.0", "next_entry="},
	} {
		try := env(t, "good", "new", 1)
		lines := string(bytes.TrimRight(try, "#")) + c.variable + "\n"
		dir := esp(t, Config{ESP: "GR-1B4E28BA", PoolID: id, Root: "@roots/last"},
			append([]byte(lines), try[len(lines):]...), try)
		if got := grubtest.Boot(t, dir, pool); got.Root != c.root || got.Try() || got.Kernel != c.kernel {
			t.Errorf("with %s %q starts, by %s:\n%s", c.variable, got.Root, got.Kernel, got.Screen)
		}
		if e, err := bootenv.Read(dir); err != nil || e.Tries != 1 {
			t.Errorf("with %s grubenv is %+v, %v", c.variable, e, err)
		}
		b, err := os.ReadFile(filepath.Join(dir, bootenv.Folder, bootenv.Names[0]))
		if err != nil || !strings.Contains(string(b), "\n"+c.left+"\n") {
			t.Errorf("with %s grubenv is %q, %v", c.variable, b, err)
		}
	}
}

// GRUB takes the kernels that FindKernel finds.
func TestGRUBFindsKernels(t *testing.T) {
	dir, names := t.TempDir(), []string{}
	cases := kernelCases()
	for name, c := range cases {
		c.plant(t, filepath.Join(dir, Roots, fmt.Sprint("r", len(names))))
		names = append(names, name)
	}
	pool, id := format(t, dir)
	for i, name := range names {
		b := env(t, fmt.Sprint("r", i), "", 0)
		got := grubtest.Boot(t, esp(t, Config{ESP: "GR-1B4E28BA", PoolID: id, Root: "@roots/last"}, b, b), pool)
		top := fmt.Sprintf("/@roots/r%d/", i)
		kernel := strings.TrimPrefix(got.Kernel, top) + " " + strings.TrimPrefix(got.Initrd, top)
		if strings.TrimSpace(kernel) != cases[name].want {
			t.Errorf("%s: GRUB starts %s, want %s:\n%s", name, kernel, cases[name].want, got.Screen)
		}
	}
}
