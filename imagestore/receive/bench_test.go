package receive_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"griddle/imagestore/receive"
	"griddle/imagestore/sendstream"
)

// BenchmarkReceive has a full stream and a delta, of copies of what is below /usr, received by `btrfs receive` and by
// us in turns, on one btrfs on a loop device in memory, both up to the end of a sync. It reports the medians and their
// ratio, ours by theirs.
//
//	go test -run '^$' -bench BenchmarkReceive -benchtime 5x ./imagestore/receive
func BenchmarkReceive(b *testing.B) {
	needs(b, "btrfs", "cp", "sync")
	memory, err := os.MkdirTemp("/dev/shm", "griddle-bench-")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { os.RemoveAll(memory) })
	dir := loopMount(b, memory, "btrfs", "", 5<<30)
	source := filepath.Join(dir, "source")
	run(b, "btrfs", "subvolume", "create", source)
	plant(b, source, 60<<20)
	parent := filepath.Join(dir, "parent")
	run(b, "btrfs", "subvolume", "snapshot", "-r", source, parent)
	run(b, "chown", "-R", "7:7", source)
	plant(b, source, 160<<20)
	run(b, "btrfs", "subvolume", "snapshot", "-r", source, filepath.Join(dir, "sent"))
	for _, c := range []struct {
		name string
		args []string
	}{{"full", nil}, {"delta", []string{"-p", parent}}} {
		b.Run(c.name, func(b *testing.B) {
			stream := filepath.Join(memory, "stream")
			run(b,
				"btrfs", append(append([]string{"send", "-q"}, c.args...), "-f", stream, filepath.Join(dir, "sent"))...)
			parents := []receive.Parent{{UUID: uuidOf(b, parent), Dir: parent}}
			var theirs, ours []float64
			b.ResetTimer()
			for i := range b.N {
				// Whoever comes second finds the file system fuller: take turns.
				if i%2 == 0 {
					theirs = append(theirs, benchPeer(b, stream, dir))
					ours = append(ours, benchOurs(b, stream, dir, parents))
				} else {
					ours = append(ours, benchOurs(b, stream, dir, parents))
					theirs = append(theirs, benchPeer(b, stream, dir))
				}
			}
			fi, err := os.Stat(stream)
			if err != nil {
				b.Fatal(err)
			}
			mb := float64(fi.Size()) / 1e6
			o, p := median(ours), median(theirs)
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(mb, "stream-MB")
			b.ReportMetric(o, "ours-s")
			b.ReportMetric(p, "btrfs-receive-s")
			b.ReportMetric(mb/o, "ours-MB/s")
			b.ReportMetric(o/p, "ratio")
		})
	}
}

// plant copies that many bytes, or somewhat fewer, of what the machine has, each tree under a new name.
func plant(b *testing.B, to string, left int64) {
	b.Helper()
	for _, from := range []string{"/usr/lib/python3", "/usr/share", "/usr/lib", "/usr/local"} {
		list, err := filepath.Glob(filepath.Join(from, "*"))
		if err != nil {
			b.Fatal(err)
		}
		for _, p := range list {
			var size int64
			if _, err := fmt.Sscan(run(b, "du", "-sbx", p), &size); err != nil {
				b.Fatal(err)
			}
			if size > left/2 {
				continue
			}
			left -= size
			run(b, "cp", "-ax", p, filepath.Join(to, fmt.Sprint(left, "-", filepath.Base(p))))
		}
	}
}

// uuidOf gives a subvolume's own UUID.
func uuidOf(b *testing.B, subvolume string) sendstream.UUID {
	b.Helper()
	for line := range strings.Lines(run(b, "btrfs", "subvolume", "show", subvolume)) {
		if name, value, _ := strings.Cut(line, ":"); strings.TrimSpace(name) == "UUID" {
			u, err := sendstream.ParseUUID(strings.TrimSpace(value))
			if err != nil {
				b.Fatal(err)
			}
			return u
		}
	}
	b.Fatalf("%s has no UUID", subvolume)
	return sendstream.UUID{}
}

func benchPeer(b *testing.B, stream, dir string) float64 {
	b.Helper()
	to := filepath.Join(dir, "theirs")
	if err := os.Mkdir(to, 0o755); err != nil {
		b.Fatal(err)
	}
	start := time.Now()
	run(b, "btrfs", "receive", "-f", stream, to)
	run(b, "sync", "-f", to)
	took := time.Since(start).Seconds()
	clean(b, filepath.Join(to, "sent"), to, dir)
	return took
}

func benchOurs(b *testing.B, stream, dir string, parents []receive.Parent) float64 {
	b.Helper()
	to := filepath.Join(dir, "ours")
	if err := os.Mkdir(to, 0o755); err != nil {
		b.Fatal(err)
	}
	f, err := os.Open(stream)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	start := time.Now()
	_, err = receive.Receive(b.Context(), f, to, receive.Options{Name: "sent", Parents: parents})
	took := time.Since(start).Seconds()
	if err != nil {
		b.Fatal(err)
	}
	clean(b, filepath.Join(to, "sent"), to, dir)
	return took
}

// clean removes what was received, wholly: its blocks would be freed during the next turn.
func clean(b *testing.B, subvolume, to, dir string) {
	b.Helper()
	run(b, "btrfs", "subvolume", "delete", "-c", subvolume)
	run(b, "btrfs", "subvolume", "sync", dir)
	if err := os.Remove(to); err != nil {
		b.Fatal(err)
	}
	run(b, "sync", "-f", dir)
}

func median(s []float64) float64 {
	s = slices.Sorted(slices.Values(s))
	return s[len(s)/2]
}
