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

	"golang.org/x/sys/unix"

	"griddle/imagestore/content"
	"griddle/imagestore/delta"
	"griddle/imagestore/source/sourcetest"
)

// BenchmarkWriteFull makes the full stream of a snapshot with a copy of /usr/share and more in turns by `btrfs send`
// and by WriteFull, and reports the medians and their ratio, ours by theirs. Ours hashes all content, theirs does not.
// GRIDDLE_BENCH_TREE names another tree to copy.
//
//	go test -run '^$' -bench BenchmarkWriteFull -benchtime 7x ./imagestore/delta
func BenchmarkWriteFull(b *testing.B) {
	mnt := sourcetest.Btrfs(b)
	work, snap := filepath.Join(mnt, "work"), filepath.Join(mnt, "snap")
	sourcetest.Run(b, "btrfs", "-q", "subvolume", "create", work)
	from := []string{"/usr/share/doc", "/usr/share/zoneinfo", "/usr/share/perl", "/usr/lib/python3",
		"/usr/lib/x86_64-linux-gnu/perl", "/usr/bin"}
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
	var ours, theirs, oursCPU, theirsCPU []float64
	var m *content.Manifest
	var size int64
	turn := func(us bool) {
		start := time.Now()
		if us {
			var err error
			used := cpu(b)
			o := delta.Options{Name: "snap", Progress: func(n int64) { size = n }}
			if m, err = delta.WriteFull(context.Background(), io.Discard, snap, identity(1, 1), 1, o); err != nil {
				b.Fatal(err)
			}
			ours, oursCPU = append(ours, time.Since(start).Seconds()), append(oursCPU, cpu(b)-used)
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
		s := cmd.ProcessState
		theirs, theirsCPU = append(theirs, time.Since(start).Seconds()),
			append(theirsCPU, (s.SystemTime()+s.UserTime()).Seconds())
	}
	turn(true) // warms the cache
	turn(false)
	ours, theirs, oursCPU, theirsCPU = nil, nil, nil, nil
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
	b.ReportMetric(median(oursCPU), "ours-cpu-s")
	b.ReportMetric(median(theirsCPU), "btrfs-send-cpu-s")
}

// cpu is the processor time that this process has used, in seconds.
func cpu(b *testing.B) float64 {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds()
}

func median(s []float64) float64 {
	s = slices.Sorted(slices.Values(s))
	return s[len(s)/2]
}
