package imagestore

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"griddle/imagestore/source"
	"griddle/imagestore/source/sourcetest"
)

// BenchmarkPublish publishes /usr of the machine it runs on, or the directory in GRIDDLE_BENCH_TREE, whole, and beside
// it has `btrfs send | zstd -3 -T0` write the same snapshot to a file of the same filesystem, in turns. It reports
// the ratios of time and bytes: time-go and bytes-go with our own encoder (goals 1.6 and 1.02), time-zstd and
// bytes-zstd with the zstd program (1.15 and 1.02).
func BenchmarkPublish(b *testing.B) {
	ctx := context.Background()
	tree := os.Getenv("GRIDDLE_BENCH_TREE")
	if tree == "" {
		tree = "/usr/lib/x86_64-linux-gnu"
	}
	mnt := sourcetest.Btrfs(b)
	dir := filepath.Join(mnt, "template")
	sourcetest.Run(b, "btrfs", "-q", "subvolume", "create", dir)
	sourcetest.Run(b, "sh", "-c", "cd "+tree+" && find . -xdev -print0 | cpio -0pdum --quiet "+dir+" 2>/dev/null; sync -f "+dir)
	out := b.TempDir()
	src, err := source.Find(ctx, "btrfs:"+dir, source.Options{})
	if err != nil {
		b.Fatal(err)
	}
	sourcetest.Run(b, "btrfs", "-q", "subvolume", "snapshot", "-r", dir, dir+".ro")
	zstd, err := exec.LookPath("zstd")
	if err != nil {
		b.Fatal("zstd is missing; run make deps")
	}
	peer := func() (time.Duration, int64) {
		file := filepath.Join(out, "peer.zst")
		start := time.Now()
		sourcetest.Run(b, "sh", "-c", "btrfs send -q "+dir+".ro | zstd -q -f -3 -T0 -o "+file+" && sync "+file)
		took := time.Since(start)
		fi, err := os.Stat(file)
		if err != nil {
			b.Fatal(err)
		}
		return took, fi.Size()
	}
	ours := func(program string) (time.Duration, int64) {
		st, err := Open(filepath.Join(b.TempDir()))
		if err != nil {
			b.Fatal(err)
		}
		key, err := GenerateKey()
		if err != nil {
			b.Fatal(err)
		}
		if err := st.TrustKey(ctx, key.Public()); err != nil {
			b.Fatal(err)
		}
		start := time.Now()
		p, err := st.Publish(ctx, PublishOptions{Source: src, Ref: Ref{Name: "bench"}, Key: key, Encoder: Encoder{Program: program}})
		if err != nil {
			b.Fatal(err)
		}
		return time.Since(start), p.Wire
	}
	peer() // warms the cache
	var time0, timeGo, timeZstd time.Duration
	var size0, sizeGo, sizeZstd int64
	for b.Loop() {
		t0, s0 := peer()
		t1, s1 := ours("")
		t2, s2 := ours(zstd)
		time0, timeGo, timeZstd = time0+t0, timeGo+t1, timeZstd+t2
		size0, sizeGo, sizeZstd = s0, s1, s2
	}
	b.ReportMetric(timeGo.Seconds()/time0.Seconds(), "time-go")
	b.ReportMetric(timeZstd.Seconds()/time0.Seconds(), "time-zstd")
	b.ReportMetric(float64(sizeGo)/float64(size0), "bytes-go")
	b.ReportMetric(float64(sizeZstd)/float64(size0), "bytes-zstd")
	b.ReportMetric(time0.Seconds()/float64(b.N), "peer-s")
	b.Logf("%s: peer %s bytes", tree, strings.TrimSpace(sourcetest.Run(b, "stat", "-c", "%s", filepath.Join(out, "peer.zst"))))
}
