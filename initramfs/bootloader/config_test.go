package bootloader

import (
	"bytes"
	"flag"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"griddle/appliance/job"
	"griddle/initramfs/bootloader/bootenv"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func TestRender(t *testing.T) {
	for name, c := range map[string]Config{
		"grub.cfg": {
			ESP:    "GR-1B4E28BA",
			PoolID: "0a1b2c3d-0000-4000-8000-0123456789ab",
			Root:   "@roots/web-20261120.1",
			Args:   []string{"net.ifnames=0", `quoted="its $HOME; {!}"`},
		},
		"encrypted.cfg": {ESP: "GR-1B4E28BA", PoolID: "0a1b2c3d-0000-4000-8000-0123456789ab", Root: "@roots/x",
			Boot: &Boot{ID: "0a1b2c3d-0000-4000-8000-00000000000b", Volume: "0a1b2c3d-0000-4000-8000-00000000000c",
				TPM: true}},
		"flat.cfg": {Title: "it's web:1", ESP: "GR-1B4E28BA",
			PoolID: "0a1b2c3d-0000-4000-8000-0123456789ab", Flat: true},
	} {
		got, err := c.Render()
		if err != nil {
			t.Fatal(err)
		}
		golden := filepath.Join("testdata", name)
		if *update {
			if err := os.WriteFile(golden, got, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != string(want) {
			t.Errorf("grub.cfg differs from %s (run with -update to rewrite it):\n%s", golden, got)
		}
		cmd := exec.Command("grub-script-check")
		cmd.Stdin = strings.NewReader(string(got))
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("grub-script-check of %s (Debian package grub-common, run make deps): %v: %s", name, err, out)
		}
	}
}

func TestRenderRefuses(t *testing.T) {
	good := Config{ESP: "GR-1B4E28BA", PoolID: "0a1b2c3d-0000-4000-8000-0123456789ab", Root: "@roots/x"}
	for name, spoil := range map[string]func(*Config){
		"no label":         func(c *Config) { c.ESP = "" },
		"label in a line":  func(c *Config) { c.ESP = "GR-1B4E28B\n" },
		"no pool":          func(c *Config) { c.PoolID = "" },
		"pool with quote":  func(c *Config) { c.PoolID = strings.Repeat("'", 36) },
		"no root":          func(c *Config) { c.Root = "" },
		"absolute root":    func(c *Config) { c.Root = "/x" },
		"root with comma":  func(c *Config) { c.Root = "@roots/a,ro" },
		"line in an arg":   func(c *Config) { c.Args = []string{"a\nmenuentry x {"} },
		"a pool's title":   func(c *Config) { c.Title = "a" },
		"line in a title":  func(c *Config) { c.Title, c.Flat, c.Root = "a\nb", true, "" },
		"not in @roots":    func(c *Config) { c.Root = "@home" },
		"half-made root":   func(c *Config) { c.Root = "@roots/.new-x" },
		"deep root":        func(c *Config) { c.Root = "@roots/a/b" },
		"apostrophe":       func(c *Config) { c.Args = []string{"it's"} },
		"quote inside":     func(c *Config) { c.Args = []string{`a=b"c`} },
		"not ASCII":        func(c *Config) { c.Args = []string{"ä"} },
		"empty arg":        func(c *Config) { c.Args = []string{""} },
		"flat with a root": func(c *Config) { c.Flat = true },
		"root with a line": func(c *Config) { c.Root = "@roots/a\nb" },
	} {
		c := good
		spoil(&c)
		if got, err := c.Render(); err == nil {
			t.Errorf("%s: Render = %q, want an error", name, got)
		}
	}
	if _, err := good.Render(); err != nil {
		t.Errorf("Render = %v, want none", err)
	}
}

// TestKernelArgumentsAreQuoted has GRUB check the syntax of a file with any arguments that are accepted, and has a
// shell, whose rules for single quotes are GRUB's, say which words it reads in the kernel's line.
func TestKernelArgumentsAreQuoted(t *testing.T) {
	seeds := rand.New(rand.NewPCG(1, 2))
	c := Config{ESP: "GR-1B4E28BA", PoolID: "0a1b2c3d-0000-4000-8000-0123456789ab", Root: "@roots/x"}
	var want []string
	for len(want) < 150 {
		b := make([]byte, 1+seeds.IntN(9))
		for i := range b {
			b[i] = byte(' ' + seeds.IntN('~'-' '+1))
		}
		word, err := job.KernelArg(string(b))
		if err != nil {
			continue
		}
		c.Args, want = append(c.Args, string(b)), append(want, word)
	}
	cfg, err := c.Render()
	if err != nil {
		t.Fatal(err)
	}
	check := exec.Command("grub-script-check")
	check.Stdin = bytes.NewReader(cfg)
	if out, err := check.CombinedOutput(); err != nil {
		t.Errorf("grub-script-check (Debian package grub-common, run make deps): %v: %s", err, out)
	}
	lines := 0
	for line := range strings.Lines(string(cfg)) {
		rest, ok := strings.CutPrefix(strings.TrimSpace(line), "if linux ")
		if !ok || rest == `"$kernel" "$@"; then` { // the arguments that a root has of its own
			continue
		}
		lines++
		rest = strings.TrimSuffix(rest, "; then")
		out, err := exec.Command("sh",
			"-c", `linux() { shift; for a; do printf '%s\n' "$a"; done; }; linux `+rest).Output()
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Split(strings.TrimSuffix(string(out), "\n"), "\n"); len(got) < len(want) ||
			!slices.Equal(got[len(got)-len(want):], want) {
			t.Errorf("the line reads as %q, want it to end in %q", got, want)
		}
	}
	if lines != 1 {
		t.Errorf("the kernel is loaded in %d lines, want 1", lines)
	}
}

func TestInstallESP(t *testing.T) {
	images, dir := os.DirFS(built(t)), t.TempDir()
	c := Config{ESP: "GR-1B4E28BA", PoolID: "0a1b2c3d-0000-4000-8000-0123456789ab", Root: "@roots/x"}
	if err := InstallESP(dir, images, c); err != nil {
		t.Fatal(err)
	}
	// The image must look for its own partition, and for no other install's.
	efi, err := os.ReadFile(filepath.Join(dir, "EFI", "BOOT", "BOOTX64.EFI"))
	if err != nil || !bytes.Contains(efi, []byte("search.fs_label GR-1B4E28BA ")) ||
		bytes.Contains(efi, []byte("GRIDDLE-ESP")) {
		t.Errorf("BOOTX64.EFI (%v) does not search for GR-1B4E28BA", err)
	}
	if e, err := bootenv.Read(dir); err != nil || e != (bootenv.Env{Good: "x"}) {
		t.Errorf("grubenv after an install = %+v, %v", e, err)
	}
	env := filepath.Join(dir, "griddle", "grubenv")
	if out, err := exec.Command("grub-editenv", env, "set", "saved_entry=kernels", "griddle_candidate=y",
		"griddle_tries=1").CombinedOutput(); err != nil {
		t.Fatalf("grub-editenv (Debian package grub-common, run make deps): %v: %s", err, out)
	}
	if err := InstallESP(dir, images, c); err != nil {
		t.Fatal(err)
	}
	want := "griddle_format=1\ngriddle_good=x\ngriddle_candidate=y\ngriddle_tries=1\ngriddle_complete=yes\n" +
		"saved_entry=kernels\n"
	for _, file := range []string{env, env + "2"} {
		out, err := exec.Command("grub-editenv", file, "list").CombinedOutput()
		if err != nil || string(out) != want {
			t.Errorf("%s after a second install = %q, %v; want it kept", file, out, err)
		}
	}
	if got, want := files(dir), "EFI/BOOT/BOOTX64.EFI griddle/grub.cfg griddle/grubenv griddle/grubenv2"; got != want {
		t.Errorf("files on the ESP = %s, want %s", got, want)
	}
}

// files are those on an EFI system partition.
func files(dir string) string {
	var out []string
	for _, p := range []string{"EFI/BOOT/*", "griddle/*"} {
		found, _ := filepath.Glob(filepath.Join(dir, p))
		for _, f := range found {
			out = append(out, strings.TrimPrefix(f, dir+"/"))
		}
	}
	return strings.Join(out, " ")
}

// The disk of a virtual machine has no roots to choose from: its grubenv is only for what a person chooses.
func TestInstallESPFlat(t *testing.T) {
	images, dir := os.DirFS(built(t)), t.TempDir()
	c := Config{ESP: "GR-1B4E28BA", PoolID: "0a1b2c3d-0000-4000-8000-0123456789ab", Flat: true}
	if err := InstallESP(dir, images, c); err != nil {
		t.Fatal(err)
	}
	env := filepath.Join(dir, "griddle", "grubenv")
	if out, err := exec.Command("grub-editenv", env, "set", "saved_entry=kernels").CombinedOutput(); err != nil {
		t.Fatalf("grub-editenv (Debian package grub-common, run make deps): %v: %s", err, out)
	}
	if err := InstallESP(dir, images, c); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("grub-editenv", env, "list").CombinedOutput()
	if err != nil || strings.TrimSpace(string(out)) != "saved_entry=kernels" {
		t.Errorf("grubenv after a second install = %q, %v; want it kept", out, err)
	}
	if got, want := files(dir), "EFI/BOOT/BOOTX64.EFI griddle/grub.cfg griddle/grubenv"; got != want {
		t.Errorf("files on the ESP = %s, want %s", got, want)
	}
}
