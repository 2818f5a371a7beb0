package disk

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"griddle/initramfs/disk/content"
)

// partitioned is a disk with two partitions in an MBR.
type partitioned struct{ *bytes.Reader }

func (partitioned) Close() error { return nil }

func openPartitioned(string) (Device, error) {
	b := make([]byte, 1<<20)
	for i := range 2 {
		e := b[446+16*i:]
		e[4] = 0x83
		binary.LittleEndian.PutUint32(e[8:], uint32(100+200*i))
		binary.LittleEndian.PutUint32(e[12:], 100)
	}
	b[510], b[511] = 0x55, 0xaa
	return partitioned{bytes.NewReader(b)}, nil
}

// TestFacts: a disk is asked about until it is written to, what takes long is in a later list, and Rest stops it.
func TestFacts(t *testing.T) {
	dir := fakeSys(t, map[string]map[string]string{"devices/virtio1/block/vda": {"size": "2048",
		"diskseq": "9\n", "stat": "1 2 3 4 5 6 7\n"}})
	wrote := func(n int) {
		if err := os.WriteFile(filepath.Join(dir, "devices/virtio1/block/vda/stat"),
			fmt.Appendf(nil, "1 2 3 4 %d 6 7\n", n), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		var asked, stopped atomic.Int32
		var takes time.Duration
		scan := &Scanner{Sys: os.DirFS(dir), Open: openPartitioned}
		scan.Facts = func(ctx context.Context, path string, p content.Partition) content.Facts {
			asked.Add(1)
			select {
			case <-time.After(takes):
			case <-ctx.Done():
				stopped.Add(1)
			}
			return content.Facts{Used: int64(p.Number) * 100, Unfit: path}
		}
		list := func(want string) {
			t.Helper()
			disks, err := scan.Scan(t.Context())
			if err != nil || len(disks) != 1 {
				t.Fatalf("Scan = %+v, %v", disks, err)
			}
			var got []string
			for _, p := range disks[0].Partitions {
				got = append(got, fmt.Sprint(p.Used, p.Unfit))
			}
			if g := strings.Join(got, " "); g != want {
				t.Errorf("the facts are %q, want %q", g, want)
			}
		}
		const both = "100/dev/vda 200/dev/vda"
		list(both)
		list(both)
		if n := asked.Load(); n != 2 {
			t.Errorf("asked %d times, want once for each partition", n)
		}

		takes = 20 * time.Second
		wrote(6)
		began := time.Now()
		list("0 0") // of what was before, nothing is told
		if took := time.Since(began); took > factsWait {
			t.Errorf("Scan took %s", took)
		}
		list("100/dev/vda 0")
		if !scan.Settle(t.Context()) || scan.Settle(t.Context()) {
			t.Error("Settle does not say that it has waited, once")
		}
		list(both)
		if n := asked.Load(); n != 4 {
			t.Errorf("asked %d times, want 4", n)
		}

		wrote(7)
		list("0 0")
		scan.Rest(t.Context())
		if n := stopped.Load(); n != 1 {
			t.Errorf("Rest stopped %d, want 1", n)
		}
		takes = 0
		list(both)
		scan.Rest(t.Context()) // which forgets nothing that is known
		list(both)
		if n := asked.Load(); n != 7 {
			t.Errorf("asked %d times, want 7", n)
		}

		takes = time.Hour // longer than it may take
		wrote(8)
		list("0 0")
		time.Sleep(2 * time.Hour)
		list("0 0")
		if n := asked.Load(); n != 8 {
			t.Errorf("asked %d times, want 8: a disk is not asked again and again", n)
		}
		wrote(9)
		list("0 0")
		scan.Rest(t.Context())
	})
}

// TestFactsOfAnUncountedDisk: where the kernel does not count writes, nothing is kept and nothing continues.
func TestFactsOfAnUncountedDisk(t *testing.T) {
	dir := fakeSys(t, map[string]map[string]string{"devices/virtio1/block/vda": {"size": "2048"}})
	synctest.Test(t, func(t *testing.T) {
		var running atomic.Int32
		scan := &Scanner{Sys: os.DirFS(dir), Open: openPartitioned}
		scan.Facts = func(ctx context.Context, _ string, p content.Partition) content.Facts {
			running.Add(1)
			defer running.Add(-1)
			if p.Number == 2 {
				<-ctx.Done()
			}
			return content.Facts{Used: 7}
		}
		for range 2 {
			disks, err := scan.Scan(t.Context())
			if err != nil || disks[0].Partitions[0].Used != 7 || disks[0].Partitions[1].Used != 0 {
				t.Errorf("Scan = %+v, %v", disks, err)
			}
			synctest.Wait()
			if n := running.Load(); n != 0 {
				t.Errorf("%d continue", n)
			}
		}
	})
}
