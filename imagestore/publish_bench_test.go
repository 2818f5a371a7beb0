package imagestore_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"griddle/imagestore"
	"griddle/imagestore/encoding"
	"griddle/imagestore/minisign"
	"griddle/imagestore/ref"
	"griddle/imagestore/source"
	"griddle/imagestore/source/sourcetest"
)

// BenchmarkPublish publishes files of the machine it runs on, or those of the directory in GRIDDLE_BENCH_TREE, whole,
// and in turns with that has `btrfs send | zstd -3 -T0` write the same snapshot to a file. It reports ratios of
// medians, ours over theirs: time-go, cpu-go and bytes-go with our own encoder, time-zstd, cpu-zstd and bytes-zstd
// with the zstd program. The goals are those of time and bytes: 1.6 and 1.02, 1.15 and 1.02. Processor time, user
// and system of all processes of a run, says the same on a machine that others use too, where time says little.
//
// Both sides read a warm cache, write to one and the same tmpfs, if there is one, and end with an fsync of what they
// wrote, so that the speed of disks is not in it. Ours does more: it takes the snapshot, hashes every piece, every
// file and every frame, and signs and catalogs the image.
//
// The goal of 1.15 is not met with the program, which is slower here than our own encoder, so that `griddle publish`
// does not use it. SHA-256, twice over the stream and twice over the encoding as the formats ask for, is 0.28 of the
// peer's processor time, and the peer alone keeps two processors 0.9 busy: with compression as fast as the peer's, and
// nothing else at all, time would be 1.13 of it. What a process to each frame costs is 0.06 to 0.15 more.
func BenchmarkPublish(b *testing.B) {
	ctx := context.Background()
	var fs unix.Statfs_t
	if err := unix.Statfs("/dev/shm", &fs); err == nil && fs.Type == unix.TMPFS_MAGIC &&
		fs.Bavail*uint64(fs.Bsize) > 2<<30 {
		b.Setenv("TMPDIR", "/dev/shm")
	}
	dir := benchTree(b)
	src, err := source.Find(ctx, "btrfs:"+dir, source.Options{})
	if err != nil {
		b.Fatal(err)
	}
	sourcetest.Run(b, "btrfs", "-q", "subvolume", "snapshot", "-r", dir, dir+".ro")
	zstd, err := exec.LookPath("zstd")
	if err != nil {
		b.Fatal("zstd is missing; run make deps")
	}
	out, err := os.MkdirTemp("", "griddle-bench-")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { os.RemoveAll(out) })
	peer := func() int64 {
		file := filepath.Join(out, "peer.zst")
		sourcetest.Run(b, "sh", "-c", "btrfs send -q "+dir+".ro | zstd -q -f -3 -T0 -o "+file+" && sync "+file)
		fi, err := os.Stat(file)
		if err != nil {
			b.Fatal(err)
		}
		return fi.Size()
	}
	ours := func(program string) func() int64 {
		return func() int64 {
			return benchPublish(b, ctx, filepath.Join(out, "store"), src, encoding.Encoder{Program: program})
		}
	}
	sides := []*benchSide{{run: peer}, {run: ours("")}, {run: ours(zstd)}}
	peer() // warms the cache
	for b.Loop() {
		for _, s := range sides {
			s.measure(b)
		}
	}
	p := sides[0]
	for i, name := range []string{"go", "zstd"} {
		s := sides[i+1]
		b.ReportMetric(median(s.wall)/median(p.wall), "time-"+name)
		b.ReportMetric(median(s.cpu)/median(p.cpu), "cpu-"+name)
		b.ReportMetric(float64(s.bytes)/float64(p.bytes), "bytes-"+name)
	}
	b.ReportMetric(median(p.wall), "peer-s")
	b.ReportMetric(median(p.cpu), "peer-cpu-s")
	b.ReportMetric(0, "ns/op")
}

// benchTree makes a subvolume with 256 MiB of files, which is about what a template with a few services holds.
func benchTree(b *testing.B) string {
	tree := os.Getenv("GRIDDLE_BENCH_TREE")
	if tree == "" {
		tree = "/usr/lib/x86_64-linux-gnu"
	}
	dir := filepath.Join(sourcetest.Btrfs(b), "template")
	sourcetest.Run(b, "btrfs", "-q", "subvolume", "create", dir)
	sourcetest.Run(b, "sh", "-c", "cd "+tree+` && find . -xdev -type f -size -16M -printf '%s %p\n' | LC_ALL=C sort -k2 |
		awk '(sum += $1) < `+strconv.Itoa(256<<20)+` { sub(/^[0-9]+ /, ""); print }' | cpio -pdm --quiet `+dir+" && sync -f "+dir)
	return dir
}

func benchPublish(b *testing.B, ctx context.Context, dir string, src *source.Source, e encoding.Encoder) int64 {
	defer os.RemoveAll(dir)
	st, err := imagestore.Open(dir)
	if err != nil {
		b.Fatal(err)
	}
	key, err := minisign.GenerateKey()
	if err != nil {
		b.Fatal(err)
	}
	if err := st.TrustKey(ctx, key.Public()); err != nil {
		b.Fatal(err)
	}
	p, err := st.Publish(ctx, imagestore.PublishOptions{Source: src, Ref: ref.Ref{Name: "bench"}, Key: key, Encoder: e})
	if err != nil {
		b.Fatal(err)
	}
	return p.Wire
}

// benchSide is one of the things compared, and what its runs took, in seconds.
type benchSide struct {
	run       func() int64
	wall, cpu []float64
	bytes     int64
}

func (s *benchSide) measure(b *testing.B) {
	cpu := processorTime(b)
	start := time.Now()
	s.bytes = s.run()
	s.wall = append(s.wall, time.Since(start).Seconds())
	s.cpu = append(s.cpu, (processorTime(b) - cpu).Seconds())
}

// processorTime is what this process and the children that ended have used, in user and kernel.
func processorTime(b *testing.B) (sum time.Duration) {
	for _, who := range []int{unix.RUSAGE_SELF, unix.RUSAGE_CHILDREN} {
		var u unix.Rusage
		if err := unix.Getrusage(who, &u); err != nil {
			b.Fatal(err)
		}
		sum += time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	return sum
}

func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}
