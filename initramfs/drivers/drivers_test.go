package drivers

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"griddle/initramfs"

	"github.com/google/go-cmp/cmp"
)

// modules writes a small tree of modules, as depmod leaves it.
func modules(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "6.1.0-9-amd64")
	for name, text := range map[string]string{
		"modules.dep": "kernel/fs/btrfs/btrfs.ko: kernel/lib/raid6/raid6_pq.ko\nkernel/lib/raid6/raid6_pq.ko:\n" +
			"kernel/drivers/net/tun.ko:\nkernel/drivers/md/raid456.ko: kernel/lib/raid6/raid6_pq.ko\n",
		"modules.alias":                "alias fs-btrfs btrfs\nalias devname:net/tun tun\nalias md-level-5 raid456\n",
		"modules.softdep":              "softdep btrfs pre: crc32c\nsoftdep tun pre: x\n",
		"modules.builtin":              "kernel/fs/ext4/ext4.ko\n",
		"kernel/fs/btrfs/btrfs.ko":     "B",
		"kernel/lib/raid6/raid6_pq.ko": "R",
		"kernel/drivers/net/tun.ko":    "T",
		"kernel/drivers/md/raid456.ko": "5",
	} {
		p := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// contents are the files of a set, without the folder that they are all in.
func contents(t *testing.T, set Set) map[string]string {
	t.Helper()
	got := map[string]string{}
	for _, r := range set.Records {
		b := make([]byte, r.FileSize)
		if _, err := r.ReadAt(b, 0); err != nil {
			t.Fatal(err)
		}
		got[strings.TrimPrefix(r.Name, "lib/modules/6.1.0-9-amd64/")] = string(b)
	}
	return got
}

func TestTake(t *testing.T) {
	dir := modules(t)
	set, err := Take(dir, initramfs.Choice{Take: []string{"kernel/fs/btrfs/"}})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"kernel/fs/btrfs/btrfs.ko": "B", "kernel/lib/raid6/raid6_pq.ko": "R",
		"modules.dep": "kernel/fs/btrfs/btrfs.ko: kernel/lib/raid6/raid6_pq.ko\n" +
			"kernel/lib/raid6/raid6_pq.ko:\n",
		"modules.alias": "alias fs-btrfs btrfs\n", "modules.softdep": "softdep btrfs pre: crc32c\n",
		"modules.builtin": "kernel/fs/ext4/ext4.ko\n",
	}
	if diff := cmp.Diff(want, contents(t, set)); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
	if err := os.Remove(filepath.Join(dir, "modules.alias")); err != nil {
		t.Fatal(err)
	}
	if _, err := Take(dir, initramfs.Choice{}); err == nil || !strings.Contains(err.Error(), "modules.alias") {
		t.Errorf("Take without a table = %v", err)
	}
}

// An archive over another one has the tables of both, and repeats no module.
func TestAdd(t *testing.T) {
	set, err := Add(modules(t), initramfs.Choice{Take: []string{"kernel/fs/btrfs/"}},
		initramfs.Choice{Take: []string{"kernel/drivers/md/"}})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"kernel/drivers/md/raid456.ko": "5",
		"modules.dep": "kernel/drivers/md/raid456.ko: kernel/lib/raid6/raid6_pq.ko\n" +
			"kernel/fs/btrfs/btrfs.ko: kernel/lib/raid6/raid6_pq.ko\nkernel/lib/raid6/raid6_pq.ko:\n",
		"modules.alias":   "alias fs-btrfs btrfs\nalias md-level-5 raid456\n",
		"modules.softdep": "softdep btrfs pre: crc32c\n",
		"modules.builtin": "kernel/fs/ext4/ext4.ko\n",
	}
	if diff := cmp.Diff(want, contents(t, set)); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
}
