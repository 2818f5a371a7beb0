package delta_test

import (
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"griddle/imagestore/content"
	"griddle/imagestore/delta"
	"griddle/imagestore/source/sourcetest"
)

// BenchmarkWriteFull makes the full stream of a snapshot with a copy of /usr/share and more in turns by `btrfs send` and by
// WriteFull, and reports the medians and their ratio, ours by theirs. GRIDDLE_BENCH_TREE names another tree to copy.
//
//	go test -run '^$' -bench BenchmarkWriteFull -benchtime 7x ./imagestore/delta
func BenchmarkWriteFull(b *testing.B) {
	mnt := sourcetest.Btrfs(b)
	work, snap := filepath.Join(mnt, "work"), filepath.Join(mnt, "snap")
	sourcetest.Run(b, "btrfs", "-q", "subvolume", "create", work)
	from := []string{"/usr/share/doc", "/usr/share/zoneinfo", "/usr/share/perl", "/usr/lib/python3", "/usr/lib/x86_64-linux-gnu/perl", "/usr/bin"}
	if tree := os.Getenv("GRIDDLE_BENCH_TREE"); tree != "" {
		from = []string{tree}
	}
	for i, dir := range from {
		if _, err := os.Stat(dir); err == nil {
			sourcetest.Run(b, "cp", "-ax", dir, filepath.Join(work, strconv.Itoa(i)))
		}
	}
	sourcetest.Run(b, "btrfs", "-q", "subvolume", "snapshot", "-r", work, snap)
	sourcetest.Run(b, "sync", "-f", mnt)
	var ours, theirs []float64
	var m *content.Manifest
	var size int64
	turn := func(us bool) {
		start := time.Now()
		if us {
			var err error
			o := delta.Options{Name: "snap", Progress: func(n int64) { size = n }}
			if m, err = delta.WriteFull(context.Background(), io.Discard, snap, identity(1, 1), 1, o); err != nil {
				b.Fatal(err)
			}
			ours = append(ours, time.Since(start).Seconds())
			return
		}
		cmd := exec.Command("btrfs", "send", "-q", snap)
		null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
		if err != nil {
			b.Fatal(err)
		}
		defer null.Close()
		cmd.Stdout = null
		if err := cmd.Run(); err != nil {
			b.Fatal(err)
		}
		theirs = append(theirs, time.Since(start).Seconds())
	}
	turn(true) // warms the cache
	turn(false)
	ours, theirs = nil, nil
	b.ResetTimer()
	for i := range b.N {
		turn(i%2 == 0)
		turn(i%2 != 0)
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(len(m.Entries)), "paths")
	b.ReportMetric(float64(size)/1e6, "MB")
	b.ReportMetric(median(ours), "ours-s")
	b.ReportMetric(median(theirs), "btrfs-send-s")
	b.ReportMetric(median(ours)/median(theirs), "ratio")
}

func median(s []float64) float64 {
	s = slices.Sorted(slices.Values(s))
	return s[len(s)/2]
}
