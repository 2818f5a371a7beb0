package newroot

import (
	"os"
	"path/filepath"
	"testing"

	"griddle/initramfs/mounts"
	"griddle/initramfs/sysroot"
)

// TestCrypttab: what a machine has encrypted is opened, and volumes of the computer that made the image are not.
func TestCrypttab(t *testing.T) {
	const volume = "5b2f0a4e-7a1c-4d3e-9f00-0123456789ab"
	home := mounts.Mount{UUID: "6c2f0a4e-7a1c-4d3e-9f00-0123456789ab", Filesystem: "ext4", Path: "/home",
		Volume: volume}
	const own = "luks-" + volume + " UUID=" + volume + " none luks,nofail,x-systemd.device-timeout=90s\n"
	const head = "# Written by Griddle when this system was installed.\n"
	for _, c := range []struct {
		image  string
		beside []mounts.Mount
		want   string
	}{
		{"", nil, ""},
		{"", []mounts.Mount{home}, head + own},
		{"# <target>\nold UUID=" + volume + " none luks\nsda /dev/sda3 none\nfile /srv/file none luks\n",
			[]mounts.Mount{home}, head + own + "file /srv/file none luks\n"},
		{"old UUID=" + volume + " none luks\n", nil, head},
	} {
		dir := t.TempDir()
		if err := os.Mkdir(filepath.Join(dir, "etc"), 0o755); err != nil {
			t.Fatal(err)
		}
		if c.image != "" {
			if err := os.WriteFile(filepath.Join(dir, "etc/crypttab"), []byte(c.image), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		root, err := os.OpenRoot(dir)
		if err != nil {
			t.Fatal(err)
		}
		m := &making{Dir: sysroot.Dir{Root: root}, dir: dir, beside: c.beside}
		if err := m.crypttab(); err != nil {
			t.Error(err)
		}
		root.Close()
		b, _ := os.ReadFile(filepath.Join(dir, "etc/crypttab"))
		if got := string(b); got != c.want {
			t.Errorf("of %q with %v: %q, want %q", c.image, c.beside, got, c.want)
		}
	}
}
