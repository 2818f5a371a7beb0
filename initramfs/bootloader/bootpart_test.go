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
	"time"

	"griddle/appliance/layout"
	"griddle/initramfs/bootloader/arguments"
	"griddle/initramfs/bootloader/bootenv"
	"griddle/initramfs/bootloader/grubtest"
	"griddle/initramfs/sysroot"
)

// What the encrypted pool of these tests is known by.
const cryptPool, cryptVolume, cryptBoot = "0a1b2c3d-0000-4000-8000-0000000000f0",
	"0a1b2c3d-0000-4000-8000-0000000000f1", "0a1b2c3d-0000-4000-8000-0000000000f2"

// bootPart makes a partition for kernels, as an install does, with a folder for each of these roots, of which the two
// last ones proved themselves in this order. The copy of each is its number 12; 9 is an older one, and 13 has no
// kernel, as a power cut leaves it. own is the root that has arguments of its own, base one that is a base.
func bootPart(t *testing.T, own, base string, names ...string) (file string) {
	t.Helper()
	top, begun := t.TempDir(), time.Unix(1700000000, 0)
	for i, name := range names {
		dir, older, cut := filepath.Join(top, name, "12"), filepath.Join(top, name, "9"), filepath.Join(top, name, "13")
		err := errors.Join(os.MkdirAll(dir, 0o755), os.MkdirAll(older, 0o755), os.MkdirAll(cut, 0o755),
			os.WriteFile(filepath.Join(cut, "initrd.img"), []byte(name), 0o644))
		if name != "bare" {
			err = errors.Join(err, os.WriteFile(filepath.Join(older, "vmlinuz"), []byte(name), 0o644),
				os.WriteFile(filepath.Join(older, "initrd.img"), []byte(name), 0o644))
		}
		for _, file := range []string{"vmlinuz", "initrd.img"} {
			if name == "bare" && file == "initrd.img" {
				continue
			}
			err = errors.Join(err, os.WriteFile(filepath.Join(dir, file), []byte(name), 0o644))
		}
		if i >= len(names)-2 {
			marker, at := filepath.Join(dir, Marker), begun.Add(time.Duration(i)*time.Second)
			err = errors.Join(err, os.WriteFile(marker, nil, 0o444), os.Chtimes(marker, at, at))
		}
		if name == base {
			err = errors.Join(err, os.WriteFile(filepath.Join(dir, BaseMarker), nil, 0o444))
		}
		if name == own {
			root, bad := os.OpenRoot(dir)
			if bad != nil {
				t.Fatal(bad)
			}
			a := arguments.Arguments{All: []string{"its=own"}}
			err = errors.Join(err, arguments.Write(sysroot.Dir{Root: root}, a), root.Close())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	file = filepath.Join(t.TempDir(), "boot")
	if err := errors.Join(os.WriteFile(file, nil, 0o600), os.Truncate(file, 64<<20)); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mkfs.ext4", "-q", "-F", "-L", layout.BootLabel, "-U", cryptBoot, "-d", top,
		file).CombinedOutput(); err != nil {
		t.Fatalf("mkfs.ext4 (run make deps): %v: %s", err, out)
	}
	return file
}

// crypted is the configuration of an encrypted pool.
func crypted() Config {
	return Config{ESP: "GR-1B4E28BA", PoolID: cryptPool, Root: "@roots/last", Args: []string{"quiet"},
		Boot: &Boot{ID: cryptBoot, Volume: cryptVolume, TPM: true}}
}

// GRUB starts the roots of a pool that it cannot read by what the partition for kernels has of them, counts, and goes
// back as with any pool.
func TestGRUBEncrypted(t *testing.T) {
	all := bootPart(t, "own", "base", "good", "new", "bare", "broken", "own", "last", "base", "base~1", "older",
		"newer")
	few := bootPart(t, "", "", "last", "older", "newer")
	none := bootPart(t, "", "")
	torn := make([]byte, bootenv.Size)
	for _, c := range []struct {
		name            string
		good, candidate string
		tries           int
		part            string
		root            string
		try             bool
		left            int
		screen          string
	}{
		{"no candidate", "good", "", 0, all, "good", false, 0, ""},
		{"a candidate, 3 tries", "good", "new", 3, all, "new", true, 2, ""},
		{"a candidate, 1 try", "good", "new", 1, all, "new", true, 0, ""},
		{"a candidate that was tried", "good", "new", 0, all, "good", false, 0, ""},
		{"a candidate without a copy", "good", "gone", 2, all, "good", false, 0, "gone has no kernel, or is missing"},
		{"a candidate without its initrd", "good", "bare", 2, all, "good", false, 0, "bare has no kernel"},
		{"a candidate whose copy is cut", "good", "broken", 1, all, "good", false, 0, "broken does not start"},
		{"the good copy is gone", "good", "", 0, few, "newer", false, 0, ""},
		{"grubenv is lost", "", "", 0, few, "newer", false, 0, "proved itself last"},
		{"arguments of its own", "own", "", 0, all, "own", false, 0, ""},
		{"a try with arguments of its own", "good", "own", 1, all, "own", true, 0, ""},
		{"nothing is there", "good", "new", 1, none, "", false, 0, "no root of the pool starts"},
	} {
		b := torn
		if c.good != "" {
			b = env(t, c.good, c.candidate, c.tries)
		}
		disk := grubtest.Disk(t, esp(t, crypted(), b, b), "32")
		got := grubtest.Start(t, disk, c.part)
		want := []string{"root=UUID=" + cryptPool, "rootflags=subvol=@roots/" + c.root, "rd.luks.uuid=" + cryptVolume,
			"cryptopts=target=luks-" + cryptVolume + ",source=UUID=" + cryptVolume + ",luks",
			"rd.luks.options=" + cryptVolume + "=tpm2-device=auto", "rw", "console=ttyS0,115200", "console=tty0",
			"panic=10", "oops=panic"}
		if c.try {
			want = append(want, Try)
		}
		kernel := "/" + c.root
		switch c.root {
		case "":
			want, kernel = nil, ""
		case "own":
			want = append(want, "its=own")
		default:
			want = append(want, "quiet")
		}
		if kernel != "" {
			kernel += "/12/vmlinuz"
		}
		if !slices.Equal(got.Args, want) || got.Kernel != kernel ||
			got.Initrd != strings.Replace(kernel, "vmlinuz", "initrd.img", 1) ||
			!strings.Contains(got.Screen, c.screen) {
			t.Errorf("%s: GRUB started %q with %q and %q, want %q with %q, and %q on the screen:\n%s", c.name,
				got.Kernel, got.Initrd, got.Args, kernel, want, c.screen, got.Screen)
		}
		if c.good == "" {
			continue
		}
		for _, name := range bootenv.Names {
			left, err := exec.Command("mtype", "-i", grubtest.Partition(disk), "::/griddle/"+name).Output()
			after, bad := bootenv.Parse(left)
			if err := errors.Join(err, bad); err != nil || after.Candidate != c.candidate || after.Tries != c.left {
				t.Errorf("%s: %s is %+v afterwards, %v", c.name, name, after, err)
			}
		}
	}

	// A base starts by its fresh roots, each once.
	b, err := bootenv.Env{Good: "base", Fresh: 1}.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	dir := esp(t, crypted(), b, b)
	for _, root := range []string{"base~1", "base"} {
		got := grubtest.Boot(t, dir, all)
		if makes := slices.Contains(got.Args, resetMode); got.Root != root || makes != (root == "base") {
			t.Errorf("of a base, %q starts with %q, want %q:\n%s", got.Root, got.Args, root, got.Screen)
		}
	}

	// A person chooses; a kernel of the menu that other pools have is not in this one.
	for entry, root := range map[string]string{"earlier>older": "older", "kernels>0": "good"} {
		b := env(t, "good", "", 0)
		lines := strings.TrimRight(string(b), "#") + "next_entry=" + entry + "\n"
		disk := grubtest.Disk(t, esp(t, crypted(), append([]byte(lines), b[len(lines):]...), b), "32")
		if got := grubtest.Start(t, disk, all); got.Root != root || strings.Contains(got.Screen, "All kernels") {
			t.Errorf("the entry %s starts %q:\n%s", entry, got.Root, got.Screen)
		}
	}
}

// What grub.cfg says of an encrypted pool is read again, and what cannot be is refused.
func TestEncryptedConfig(t *testing.T) {
	for _, tpm := range []bool{false, true} {
		c, dir := crypted(), t.TempDir()
		c.Args = append(c.Args, "rd.luks.uuid=of-another")
		c.Boot.TPM = tpm
		if err := WriteConfig(dir, c); err != nil {
			t.Fatal(err)
		}
		got, err := ReadConfig(dir)
		if got.ESP, got.Script = c.ESP, 0; err != nil || !reflect.DeepEqual(got, c) {
			t.Errorf("ReadConfig = %+v, %v, want %+v", got, err, c)
		}
		want := "root=UUID=" + cryptPool + " rootflags=subvol=@roots/last rd.luks.uuid=" + cryptVolume +
			" cryptopts=target=luks-" + cryptVolume + ",source=UUID=" + cryptVolume + ",luks"
		if tpm {
			want += " rd.luks.options=" + cryptVolume + "=tpm2-device=auto"
		}
		want += " rw console=ttyS0,115200 console=tty0 panic=10 oops=panic quiet rd.luks.uuid=of-another"
		if line, err := c.CommandLine(); err != nil || line != want {
			t.Errorf("CommandLine = %q, %v, want %q", line, err, want)
		}
	}
	for name, change := range map[string]func(c *Config){
		"flat":      func(c *Config) { c.Flat, c.Root = true, "" },
		"a mirror":  func(c *Config) { c.Mirror = []string{"7A3C-11F0", "7A3C-11F1"} },
		"roots":     func(c *Config) { c.Own = []OwnRoot{{"last", cryptVolume[:35] + "9"}} },
		"no volume": func(c *Config) { c.Boot.Volume = "" },
		"a quote":   func(c *Config) { c.Boot.ID = "'; reboot; '" },
		"the pool":  func(c *Config) { c.Boot.ID = c.PoolID },
		"one UUID":  func(c *Config) { c.Boot.Volume = c.Boot.ID },
	} {
		bad := crypted()
		change(&bad)
		if b, err := bad.Render(); err == nil {
			t.Errorf("%s: Render = %s", name, b)
		}
	}
}
