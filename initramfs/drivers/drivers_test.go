package drivers

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"griddle/initramfs"

	"github.com/google/go-cmp/cmp"
)

func TestTake(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "6.1.0-9-amd64")
	for name, text := range map[string]string{
		"modules.dep": "kernel/fs/btrfs/btrfs.ko: kernel/lib/raid6/raid6_pq.ko\nkernel/lib/raid6/raid6_pq.ko:\n" +
			"kernel/drivers/net/tun.ko:\n",
		"modules.alias":                "alias fs-btrfs btrfs\nalias devname:net/tun tun\n",
		"modules.softdep":              "softdep btrfs pre: crc32c\nsoftdep tun pre: x\n",
		"modules.builtin":              "kernel/fs/ext4/ext4.ko\n",
		"kernel/fs/btrfs/btrfs.ko":     "B",
		"kernel/lib/raid6/raid6_pq.ko": "R",
		"kernel/drivers/net/tun.ko":    "T",
	} {
		p := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	set, err := Take(dir, initramfs.Choice{Take: []string{"kernel/fs/btrfs/"}})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, r := range set.Records {
		b := make([]byte, r.FileSize)
		if _, err := r.ReadAt(b, 0); err != nil {
			t.Fatal(err)
		}
		got[r.Name] = string(b)
	}
	const below = "lib/modules/6.1.0-9-amd64/"
	want := map[string]string{
		below + "kernel/fs/btrfs/btrfs.ko": "B", below + "kernel/lib/raid6/raid6_pq.ko": "R",
		below + "modules.dep": "kernel/fs/btrfs/btrfs.ko: kernel/lib/raid6/raid6_pq.ko\n" +
			"kernel/lib/raid6/raid6_pq.ko:\n",
		below + "modules.alias": "alias fs-btrfs btrfs\n", below + "modules.softdep": "softdep btrfs pre: crc32c\n",
		below + "modules.builtin": "kernel/fs/ext4/ext4.ko\n",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
	if err := os.Remove(filepath.Join(dir, "modules.alias")); err != nil {
		t.Fatal(err)
	}
	if _, err := Take(dir, initramfs.Choice{}); err == nil || !strings.Contains(err.Error(), "modules.alias") {
		t.Errorf("Take without a table = %v", err)
	}
}
