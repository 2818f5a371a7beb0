package receive_test

import (
	"bufio"
	"os"
	"path/filepath"
	"testing"
	"time"

	"griddle/imagestore/delta"
	"griddle/imagestore/receive"
	"griddle/imagestore/sendstream"
)

// BenchmarkReceiveExt4 has the full stream of a tree, as `griddle publish` writes it, received onto ext4, in turns
// with `cp -a` of that tree onto it, both up to the end of a sync. It reports the medians and their ratio, ours by
// theirs. The goal is 1.
func BenchmarkReceiveExt4(b *testing.B) {
	needs(b, "cp", "sync")
	memory, err := os.MkdirTemp("/dev/shm", "griddle-bench-")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { os.RemoveAll(memory) })
	source := filepath.Join(loopMount(b, memory, "btrfs", "", 3<<30), "source")
	if err := os.Mkdir(source, 0o755); err != nil {
		b.Fatal(err)
	}
	plant(b, source, 220<<20)
	stream := filepath.Join(memory, "stream")
	f, err := os.Create(stream)
	if err != nil {
		b.Fatal(err)
	}
	w := bufio.NewWriterSize(f, 1<<20)
	if _, err := delta.WriteFull(b.Context(), w, source, sendstream.UUID{1}, 1,
		delta.Options{Name: "tree"}); err != nil {
		b.Fatal(err)
	}
	if err := w.Flush(); err != nil {
		b.Fatal(err)
	}
	f.Close()
	dir := loopMount(b, memory, "ext4", "", 3<<30)
	timed := func(do func(to string)) float64 {
		to := filepath.Join(dir, "to")
		if err := os.Mkdir(to, 0o755); err != nil {
			b.Fatal(err)
		}
		start := time.Now()
		do(to)
		took := time.Since(start).Seconds()
		if err := os.RemoveAll(to); err != nil {
			b.Fatal(err)
		}
		run(b, "sync", "-f", dir)
		return took
	}
	copied := func(to string) {
		run(b, "cp", "-a", source, filepath.Join(to, "tree"))
		run(b, "sync", "-f", to)
	}
	received := func(to string) {
		in, err := os.Open(stream)
		if err != nil {
			b.Fatal(err)
		}
		defer in.Close()
		if _, err := receive.Receive(b.Context(), in, to, receive.Options{Name: "tree"}); err != nil {
			b.Fatal(err)
		}
	}
	timed(copied) // warms the cache
	var theirs, ours []float64
	for b.Loop() {
		theirs = append(theirs, timed(copied))
		ours = append(ours, timed(received))
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(median(ours), "ours-s")
	b.ReportMetric(median(theirs), "cp-s")
	b.ReportMetric(median(ours)/median(theirs), "ratio")
}
