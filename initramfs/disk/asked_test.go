package disk

import (
	"os"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"griddle/initramfs/disk/smart"
)

// TestScanAsksForHealth: a disk is asked once in ten minutes and when another one has its name, and one that does not
// answer is listed all the same.
func TestScanAsksForHealth(t *testing.T) {
	const device = "devices/pci0000:00/0000:00:1c.0/nvme/nvme0/nvme0n1"
	dir := fakeSys(t, map[string]map[string]string{device: {"size": "2048\n", "diskseq": "1\n"}})
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int32
		var wait time.Duration
		scan := &Scanner{Sys: os.DirFS(dir), Open: openBlank("", ""), Health: func(path, bus string) smart.Health {
			if path != "/dev/nvme0n1" || bus != "nvme" {
				t.Errorf("asked %s on %s", path, bus)
			}
			asked.Add(1)
			time.Sleep(wait)
			return smart.Health{State: smart.OK, Hours: int64(asked.Load())}
		}}
		look := func(state string, hours int64, times int32) {
			t.Helper()
			disks, err := scan.Scan(t.Context())
			if err != nil || len(disks) != 1 || disks[0].Health.State != state || disks[0].Health.Hours != hours ||
				disks[0].ReadOnly || asked.Load() != times {
				t.Errorf("Scan = %+v, %v after %d questions; want %s, %d and %d", disks, err, asked.Load(),
					state, hours, times)
			}
		}
		look(smart.OK, 1, 1)
		look(smart.OK, 1, 1)
		time.Sleep(11 * time.Minute)
		look(smart.OK, 2, 2)
		if err := os.WriteFile(dir+"/"+device+"/diskseq", []byte("2\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		wait = 7 * time.Second
		look(smart.Unknown, 0, 3)
		look(smart.Unknown, 0, 3)
		time.Sleep(3 * time.Second) // now it answers
		look(smart.OK, 3, 3)
	})
}
