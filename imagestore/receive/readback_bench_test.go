package receive_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"griddle/imagestore/content"
	"griddle/imagestore/receive"
	"griddle/imagestore/receive/readback"
)

// BenchmarkReadBack receives a stream, mounts the filesystem again and verifies the tree, as an install does: with
// files read back meanwhile, and without, in turns. The stream arrives as fast as it can be taken, or at a rate. The
// filesystem is in memory, or on a disk that is limited to a rate in each direction. It reports medians and their
// ratio.
//
//	go test -run '^$' -bench BenchmarkReadBack -benchtime 3x ./imagestore/receive
func BenchmarkReadBack(b *testing.B) {
	needs(b, "btrfs", "cp", "sync", "losetup")
	memory, err := os.MkdirTemp("/dev/shm", "griddle-bench-")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { os.RemoveAll(memory) })
	stream, manifest := filepath.Join(memory, "stream"), publishedUsr(b, memory)
	for _, c := range []struct {
		rate int // MB/s of the stream; 0 for any
		disk int // MB/s of the disk, in each direction; 0 for any
	}{{0, 0}, {100, 0}, {30, 0}, {0, 60}, {60, 60}, {30, 60}} {
		b.Run(fmt.Sprintf("stream=%d,disk=%d", c.rate, c.disk), func(b *testing.B) {
			var plain, back []phases
			for i := range 2 * b.N {
				if i%2 == 0 {
					plain = append(plain, installed(b, memory, stream, manifest, c.rate, c.disk, readback.Rule{}))
				} else {
					back = append(back, installed(b, memory, stream, manifest, c.rate, c.disk, readback.Usual()))
				}
			}
			b.ReportMetric(0, "ns/op")
			report := func(name string, all []phases) float64 {
				var receive, verify, sum []float64
				for _, p := range all {
					receive, verify = append(receive, p.receive), append(verify, p.verify)
					sum = append(sum, p.receive+p.verify)
				}
				b.ReportMetric(median(receive), name+"-receive-s")
				b.ReportMetric(median(verify), name+"-verify-s")
				return median(sum)
			}
			b.ReportMetric(report("back", back)/report("plain", plain), "ratio")
			b.ReportMetric(back[0].read, "read-back-%")
		})
	}
}

type phases struct{ receive, verify, read float64 }

// publishedUsr sends a copy of a part of /usr to the file stream in dir.
func publishedUsr(b *testing.B, dir string) *content.Manifest {
	b.Helper()
	at := loopMount(b, dir, "btrfs", "", 3<<30)
	source, sent := filepath.Join(at, "source"), filepath.Join(at, "sent")
	run(b, "btrfs", "subvolume", "create", source)
	plant(b, source, 200<<20)
	run(b, "btrfs", "subvolume", "snapshot", "-r", source, sent)
	run(b, "btrfs", "send", "-q", "-f", filepath.Join(dir, "stream"), sent)
	m, err := content.Walk(b.Context(), sent)
	if err != nil {
		b.Fatal(err)
	}
	return m
}

// installed measures one receive and verification on a new filesystem.
func installed(b *testing.B, memory, stream string, m *content.Manifest, rate, disk int, back readback.Rule) phases {
	b.Helper()
	image := filepath.Join(memory, "disk")
	if err := os.WriteFile(image, nil, 0o600); err != nil {
		b.Fatal(err)
	}
	defer os.Remove(image)
	if err := os.Truncate(image, 3<<30); err != nil {
		b.Fatal(err)
	}
	dev := run(b, "losetup", "--find", "--show", "--direct-io=on", image)
	defer run(b, "losetup", "-d", dev)
	run(b, "mkfs.btrfs", "-q", dev)
	defer throttle(b, dev, disk)()
	at := filepath.Join(memory, "mnt")
	if err := os.MkdirAll(at, 0o700); err != nil {
		b.Fatal(err)
	}
	run(b, "mount", "-o", "noatime", dev, at)
	defer func() { run(b, "umount", at) }()
	f, err := os.Open(stream)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	var r io.Reader = f
	if rate > 0 {
		r = &paced{r: f, perSecond: float64(rate) * 1e6, start: time.Now()}
	}
	start := time.Now()
	res, err := receive.Receive(context.Background(), r, at, receive.Options{Name: "got", ReadBack: back})
	if err != nil {
		b.Fatal(err)
	}
	p := phases{receive: time.Since(start).Seconds()}
	start = time.Now()
	run(b, "umount", at)
	run(b, "mount", "-o", "noatime", dev, at)
	if err := content.VerifyRest(context.Background(), res.Path, m, res.Readings, nil); err != nil {
		b.Fatal(err)
	}
	p.verify = time.Since(start).Seconds()
	for _, reading := range res.Readings {
		p.read += float64(reading.Size) * 100 / float64(m.Size())
	}
	return p
}

// paced is a reader that gives so many bytes in a second.
type paced struct {
	r         io.Reader
	perSecond float64
	start     time.Time
	given     float64
}

func (p *paced) Read(b []byte) (int, error) {
	time.Sleep(time.Duration(p.given/p.perSecond*1e9) - time.Since(p.start))
	n, err := p.r.Read(b[:min(len(b), 64<<10)])
	p.given += float64(n)
	return n, err
}

// throttle limits a disk, and returns what ends that.
func throttle(b *testing.B, dev string, megabytes int) (end func()) {
	b.Helper()
	set := func(megabytes int) {
		id := run(b, "lsblk", "-ndo", "MAJ:MIN", dev)
		for _, way := range []string{"read", "write"} {
			line := fmt.Sprintf("%s %d", id, megabytes*1_000_000)
			err := os.WriteFile("/sys/fs/cgroup/blkio/blkio.throttle."+way+"_bps_device", []byte(line), 0)
			if err != nil {
				b.Fatal(err)
			}
		}
	}
	if megabytes == 0 {
		return func() {}
	}
	set(megabytes)
	return func() { set(0) }
}
