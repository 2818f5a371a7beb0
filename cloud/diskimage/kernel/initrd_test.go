package kernel

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestInitrd makes it of a pretended kernel, twice.
func TestInitrd(t *testing.T) {
	dir := t.TempDir()
	for name, content := range map[string]string{
		"boot/vmlinuz-6.1-x": "kernel", "busybox": "box",
		"lib/modules/6.1-x/modules.dep": "kernel/fs/ext4/ext4.ko: kernel/fs/jbd2/jbd2.ko kernel/lib/crc16.ko\n" +
			"kernel/fs/jbd2/jbd2.ko:\nkernel/lib/crc16.ko:\n" +
			"kernel/drivers/block/virtio_blk.ko: kernel/drivers/virtio/virtio.ko\nkernel/drivers/virtio/virtio.ko:\n" +
			"kernel/drivers/other.ko:\n",
		"lib/modules/6.1-x/kernel/fs/ext4/ext4.ko": "E", "lib/modules/6.1-x/kernel/fs/jbd2/jbd2.ko": "J",
		"lib/modules/6.1-x/kernel/lib/crc16.ko": "C", "lib/modules/6.1-x/kernel/drivers/block/virtio_blk.ko": "V",
		"lib/modules/6.1-x/kernel/drivers/virtio/virtio.ko": "W",
	} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("/nowhere", filepath.Join(dir, "lib/modules/6.1-x/build")); err != nil {
		t.Fatal(err)
	}
	k := &Kernel{Dir: dir, Busybox: filepath.Join(dir, "busybox")}
	u, err := k.Open()
	if err != nil {
		t.Fatal(err)
	}
	want := "kernel/drivers/virtio/virtio.ko kernel/drivers/block/virtio_blk.ko kernel/lib/crc16.ko " +
		"kernel/fs/jbd2/jbd2.ko kernel/fs/ext4/ext4.ko"
	dep, err := os.ReadFile(filepath.Join(u.modules, "modules.dep"))
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(chosen(string(dep), drivers("ext4")), " "); got != want {
		t.Errorf("chosen = %s, want %s", got, want)
	}
	one, err := u.initrd("ext4")
	if err != nil {
		t.Fatal(err)
	}
	two, err := u.initrd("ext4")
	if err != nil || !bytes.Equal(one, two) {
		t.Errorf("two initrds differ: %v", err)
	}
	files, err := u.Files("ext4")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range files {
		if !f.Dir {
			names = append(names, f.Path)
		}
	}
	if got := strings.Join(names, " "); strings.Contains(got, "build") ||
		!strings.Contains(got, "/boot/vmlinuz-6.1-x /boot/initrd.img-6.1-x") || len(names) != 8 {
		t.Errorf("files = %s", got)
	}
	if err := os.Remove(k.Busybox); err != nil {
		t.Fatal(err)
	}
	if _, err := k.Open(); err == nil || !strings.Contains(err.Error(), "busybox-static") {
		t.Errorf("without busybox: %v", err)
	}
	if _, err := (&Kernel{Dir: t.TempDir()}).Open(); err == nil ||
		!strings.Contains(err.Error(), "found 0 of boot/vmlinuz-*") {
		t.Errorf("without a kernel: %v", err)
	}
}
