package delta_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"griddle/imagestore/content"
	"griddle/imagestore/delta"
	"griddle/imagestore/source/sourcetest"
)

// BenchmarkDeltaSize compares the bytes of deltas with those of `btrfs send -p`, raw and after zstd -19 --long=27. The trees
// are read-only snapshots of one filesystem that GRIDDLE_BENCH_PAIR names, the older and the newer one with a colon between
// them. Without it they are made of what is in /usr: files written anew with what they had, files moved, new files.
//
//	go test -run '^$' -bench BenchmarkDeltaSize -benchtime 1x ./imagestore/delta
func BenchmarkDeltaSize(b *testing.B) {
	old, new, ok := strings.Cut(os.Getenv("GRIDDLE_BENCH_PAIR"), ":")
	if !ok {
		old, new = benchPair(b)
	}
	var trees [2]delta.Tree
	for i, dir := range []string{old, new} {
		m, err := content.Walk(context.Background(), dir)
		if err != nil {
			b.Fatal(err)
		}
		trees[i] = delta.Tree{Dir: dir, Content: m, UUID: identity(1, i), Ctransid: 1}
	}
	for b.Loop() {
		stream := filepath.Join(b.TempDir(), "stream")
		f, err := os.Create(stream)
		if err != nil {
			b.Fatal(err)
		}
		named := int64(0)
		o := delta.Options{Name: "new", Origin: func(o delta.Origin) { named += o.Length }}
		if _, err := delta.Write(context.Background(), f, trees[0], trees[1], o); err != nil {
			b.Fatal(err)
		}
		f.Close()
		sent := filepath.Join(b.TempDir(), "sent")
		sourcetest.Run(b, "btrfs", "send", "-q", "-p", old, "-f", sent, new)
		ours, theirs := packed(b, stream), packed(b, sent)
		b.ReportMetric(float64(fileSize(b, stream)), "raw-B")
		b.ReportMetric(float64(fileSize(b, sent)), "send-raw-B")
		b.ReportMetric(float64(named), "with-origin-B")
		b.ReportMetric(ours, "z19-B")
		b.ReportMetric(theirs, "send-z19-B")
		b.ReportMetric(ours/theirs, "ratio")
	}
	b.ReportMetric(0, "ns/op")
}

// benchPair makes two snapshots.
func benchPair(b *testing.B) (old, new string) {
	mnt := sourcetest.Btrfs(b)
	work := filepath.Join(mnt, "work")
	old, new = filepath.Join(mnt, "old"), filepath.Join(mnt, "new")
	sourcetest.Run(b, "btrfs", "-q", "subvolume", "create", work)
	sourcetest.Run(b, "cp", "-ax", "/usr/share/perl", "/usr/share/zoneinfo", "/usr/lib/x86_64-linux-gnu/perl-base", work)
	sourcetest.Run(b, "btrfs", "-q", "subvolume", "snapshot", "-r", work, old)
	sourcetest.Run(b, "mv", work+"/perl-base", work+"/perl-base.old")
	sourcetest.Run(b, "cp", "-a", work+"/perl-base.old", work+"/perl-base")
	sourcetest.Run(b, "mv", work+"/zoneinfo", work+"/timezones")
	sourcetest.Run(b, "cp", "-ax", "/usr/share/bash-completion", work)
	sourcetest.Run(b, "btrfs", "-q", "subvolume", "snapshot", "-r", work, new)
	return old, new
}

// packed is the size of a file after zstd -19 --long=27.
func packed(b *testing.B, name string) float64 {
	cmd := exec.Command("zstd", "-q", "-19", "--long=27", "-c", name)
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		b.Fatal(err)
	}
	n, err := io.Copy(io.Discard, out)
	if err == nil {
		err = cmd.Wait()
	}
	if err != nil {
		b.Fatal(fmt.Errorf("zstd: %w (run make deps)", err))
	}
	return float64(n)
}

func fileSize(b *testing.B, name string) int64 {
	fi, err := os.Stat(name)
	if err != nil {
		b.Fatal(err)
	}
	return fi.Size()
}
