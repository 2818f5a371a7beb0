package receive_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"griddle/imagestore/receive"
)

// BenchmarkReceive has one stream, of a copy of the first of /usr/share, /usr/lib/python3 and /usr/lib that is there, received by
// `btrfs receive` and by us in turns, on one btrfs on a loop device in memory, both up to the end of a sync. It reports
// the medians and their ratio, ours by theirs.
//
//	go test -run '^$' -bench BenchmarkReceive -benchtime 7x ./imagestore/receive
func BenchmarkReceive(b *testing.B) {
	needs(b, "btrfs", "cp", "sync")
	memory := mount(b, "-t", "tmpfs", "-o", "size=6g", "tmpfs")
	dir := loopMount(b, memory, "btrfs", "", 5<<30)
	source := filepath.Join(dir, "source")
	run(b, "btrfs", "subvolume", "create", source)
	plant(b, source)
	run(b, "btrfs", "subvolume", "snapshot", "-r", source, filepath.Join(dir, "sent"))
	for _, c := range []struct {
		name string
		args []string
	}{{"full", nil}} {
		b.Run(c.name, func(b *testing.B) {
			stream := filepath.Join(memory, "stream")
			run(b, "btrfs", append(append([]string{"send", "-q"}, c.args...), "-f", stream, filepath.Join(dir, "sent"))...)
			var theirs, ours []float64
			b.ResetTimer()
			for i := range b.N {
				// Whoever comes second finds the file system fuller: take turns.
				if i%2 == 0 {
					theirs = append(theirs, benchPeer(b, stream, dir))
					ours = append(ours, benchOurs(b, stream, dir))
				} else {
					ours = append(ours, benchOurs(b, stream, dir))
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

// plant copies about 200 MB and 10,000 files from what the machine has.
func plant(b *testing.B, to string) {
	b.Helper()
	left := int64(220 << 20)
	for _, from := range []string{"/usr/lib/python3", "/usr/share", "/usr/lib", "/usr/local"} {
		list, _ := filepath.Glob(filepath.Join(from, "*"))
		for _, p := range list {
			out, err := exec.Command("du", "-sbx", p).Output()
			if err != nil {
				continue
			}
			var n int64
			for _, c := range out {
				if c < '0' || c > '9' {
					break
				}
				n = n*10 + int64(c-'0')
			}
			if n > left/2 {
				continue
			}
			left -= n
			run(b, "cp", "-ax", p, filepath.Join(to, strconv.FormatInt(left, 10)+filepath.Base(p)))
		}
	}
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

func benchOurs(b *testing.B, stream, dir string) float64 {
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
	_, err = receive.Receive(b.Context(), f, to, receive.Options{Name: "sent"})
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
