package appliance

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"griddle/appliance/config"
)

func TestKeymap(t *testing.T) {
	boot := t.TempDir()
	bytes := append([]byte("bkeymap\x01"), make([]byte, 255+256)...)
	for name, data := range map[string][]byte{
		"vmlinuz": nil, "initramfs": nil, "keymaps/de.bmap": bytes, "keymaps/de-nodeadkeys.bmap": bytes,
		"keymaps/dk.bmap": bytes, "keymaps/gb.bmap": bytes, "keymaps/us-dvorak.bmap": bytes,
		"keymaps/cut.bmap": bytes[:300],
	} {
		if err := errors.Join(os.MkdirAll(filepath.Dir(filepath.Join(boot, name)), 0o755),
			os.WriteFile(filepath.Join(boot, name), data, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	c := config.Default()
	c.BootDir = boot
	for _, k := range []struct {
		name string
		size int
		want string // of the error
	}{
		{"us", 0, ""}, {"", 0, ""},
		{"de", len(bytes), ""}, {"us-dvorak", len(bytes), ""},
		{"de-latin1", 0, `there is no "de-latin1"; near it are de-nodeadkeys, de; `},
		{"dvorak", 0, `there is no "dvorak"; near it are us-dvorak; ` + filepath.Join(boot, "keymaps")},
		{"us-dvorka", 0, "near it are us-dvorak, us; "},
		{"DE", 0, `there is no "DE"; near it are de, de-nodeadkeys, dk; `},
		{"../vmlinuz", 0, "is not the name of a keyboard layout"},
		{"cut", 0, "cut.bmap: reading a keymap: "},
	} {
		c.Keymap = k.name
		got, err := keymap(c, boot)
		if len(got) != k.size || (err == nil) != (k.want == "") ||
			err != nil && !strings.Contains(err.Error(), k.want) {
			t.Errorf("keymap %q = %d bytes, %v; want %d and an error with %q", k.name, len(got), err, k.size, k.want)
		}
		if again := CheckKeymap(c); (again == nil) != (err == nil) {
			t.Errorf("CheckKeymap of %q = %v, and reading it gave %v", k.name, again, err)
		}
	}
	if err := os.RemoveAll(filepath.Join(boot, "keymaps")); err != nil {
		t.Fatal(err)
	}
	c.Keymap = "de"
	if err := CheckKeymap(c); err == nil || !strings.Contains(err.Error(), "there are no keymaps in ") {
		t.Errorf("boot files without keymaps: %v", err)
	}
	c.BootDir = t.TempDir()
	if err := CheckKeymap(c); err != nil {
		t.Errorf("without boot files: %v", err)
	}
}
