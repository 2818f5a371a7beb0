package kernel

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// kernelPackage makes a Debian package with these files, or folders where they end in a slash.
func kernelPackage(t *testing.T, files ...string) string {
	t.Helper()
	dir := t.TempDir()
	control := "Package: linux-image-6.1.0-9\nVersion: 1\nArchitecture: amd64\nMaintainer: A " +
		"<a@example.org>\nDescription: a kernel\n"
	for name, text := range map[string]string{"DEBIAN/control": control} {
		write(t, filepath.Join(dir, "p", name), text)
	}
	for _, f := range files {
		if strings.HasSuffix(f, "/") {
			if err := os.MkdirAll(filepath.Join(dir, "p", f), 0o755); err != nil {
				t.Fatal(err)
			}
			continue
		}
		write(t, filepath.Join(dir, "p", f), f)
	}
	deb := filepath.Join(dir, "k.deb")
	if out, err := exec.Command("dpkg-deb", "--root-owner-group", "-b", filepath.Join(dir, "p"),
		deb).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return deb
}

func write(t *testing.T, name, text string) {
	t.Helper()
	err := os.MkdirAll(filepath.Dir(name), 0o755)
	if err == nil {
		err = os.WriteFile(name, []byte(text), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestUnpackKernel(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "kernels")
	write(t, filepath.Join(dir, ".unpacking", "boot", "vmlinuz-old"), "of a run that was killed")
	for _, modules := range []string{"lib/modules", "usr/lib/modules"} {
		deb := kernelPackage(t, "boot/vmlinuz-6.1.0-9", modules+"/6.1.0-9/modules.builtin",
			modules+"/6.1.0-9/modules.order", "usr/share/doc/k/copyright")
		k, err := Unpack(t.Context(), deb, dir)
		if err != nil {
			t.Fatal(err)
		}
		k.Busybox = deb // any file
		if u, err := k.Open(); err != nil || u.Release != "6.1.0-9" {
			t.Errorf("%s: the kernel is %+v, %v", modules, u, err)
		}
		before, err := os.Stat(k.Dir)
		if err != nil {
			t.Fatal(err)
		}
		again, err := Unpack(t.Context(), deb, dir)
		if err != nil || again.Dir != k.Dir {
			t.Fatalf("a second time %+v, %v", again, err)
		}
		if after, err := os.Stat(again.Dir); err != nil || !os.SameFile(before, after) {
			t.Errorf("it was unpacked again: %v", err)
		}
	}
	broken := filepath.Join(t.TempDir(), "k.deb")
	write(t, broken, "!<arch>\nnothing")
	for deb, want := range map[string]string{
		broken:                         "dpkg-deb",
		kernelPackage(t, "usr/bin/vi"): "it is not a package of one kernel",
		kernelPackage(t, "lib/modules/1/modules.builtin"):                    "0 of boot/vmlinuz-*",
		kernelPackage(t, "boot/vmlinuz-1", "boot/vmlinuz-2", "lib/modules/"): "2 of boot/vmlinuz-*",
		filepath.Join(dir, "none.deb"):                                       "no such file",
	} {
		if _, err := Unpack(t.Context(), deb, dir); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", deb, err, want)
		}
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 3 { // two kernels and the lock
		t.Errorf("there are %v, %v", left, err)
	}
}
