package divide

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"griddle/appliance/layout"
	"griddle/appliance/layout/plan"
	"griddle/initramfs/disk"
	"griddle/initramfs/disk/disktest"

	"github.com/google/uuid"
)

// TestLeast makes each filesystem in the smallest partition that a plan gives it, on a disk that is just large enough.
// A disk that has a sector less is refused.
func TestLeast(t *testing.T) {
	for sector, least := range map[int]int64{512: 34 * mib, 4096: 260 * mib} {
		t.Run(fmt.Sprint(sector), func(t *testing.T) {
			doc := of(layout.Partition{ID: "bios", Use: layout.BIOS},
				layout.Partition{ID: "esp", Use: layout.ESP, Size: size(least)},
				layout.Partition{ID: "pool", Use: layout.Pool, Size: size(128 * mib)},
				layout.Partition{ID: "ext4", Use: layout.Data, Size: size(16 * mib), Mount: "/a"},
				layout.Partition{ID: "xfs", Use: layout.Data, Size: size(300 * mib), Filesystem: "xfs", Mount: "/b"},
				layout.Partition{ID: "btrfs", Use: layout.Home, Size: size(128 * mib), Filesystem: "btrfs"},
				layout.Partition{ID: "vfat", Use: layout.Data, Size: size(mib), Filesystem: "vfat", Label: "VFAT"},
				layout.Partition{ID: "swap", Use: layout.Swap, Size: size(mib)})
			all := int64(mib + mib) // for the table
			for _, p := range doc.Disks[0].Partitions {
				all += p.Made().Size.Bytes
			}
			m := &machine{t: t}
			m.blank("S1", all, sector)
			m.must(m.plan(doc), &book{})
			small := &machine{t: t}
			small.blank("S1", all-int64(sector), sector)
			disks, err := small.find(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := plan.Make(plan.Input{Layout: doc, Disks: disks}); !errors.Is(err, plan.ErrRefused) ||
				!strings.Contains(err.Error(), "partition swap: it needs") {
				t.Errorf("Make for a disk that is too small by a sector = %v", err)
			}
		})
	}
}

// TestLeastMirror makes mirrors whose smaller half is as small as a plan takes it beside the other one.
func TestLeastMirror(t *testing.T) {
	for _, c := range [][2]int64{{128, 512}, {200, 800}, {500, 2000}, {1279, 4 * 1279}, {1280, 60_000},
		{1280, 3_000_000}} {
		nodes := []string{disktest.Loop(t, c[0]*mib, 512), disktest.Loop(t, c[1]*mib, 512)}
		if err := disk.MakeBtrfs(t.Context(), "griddle", uuid.NewString(), nodes...); err != nil {
			t.Errorf("of %d and %d MiB: %v", c[0], c[1], err)
		}
	}
}
