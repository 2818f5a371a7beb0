package table

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"griddle/initramfs/disk/content"
	"griddle/initramfs/disk/disktest"
)

// The mark of roots that are partitions is in the ext4 that they share, which stays whole. A power cut leaves the old
// mark or the new one, and mkfs.ext4 removes it.
func TestBeginOwn(t *testing.T) {
	const size, sector = 128 << 20, 512
	for kind, number := range map[string]int{"gpt": 3, "mbr": 2} {
		f, pool := sharedDisk(t, kind, size)
		state := func() (string, content.Partition) {
			c, err := content.Inspect(f, size, sector)
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range c.Partitions {
				if p.Number == number {
					return fmt.Sprintf("unfinished %.1s, finished %.1s", c.Unfinished(), c.Finished()), p
				}
			}
			return "", content.Partition{}
		}
		_, part := state()
		read := func() []byte {
			b, err := os.ReadFile(f.Name())
			if err != nil {
				t.Fatal(err)
			}
			return b
		}
		first := read()
		if err := BeginOwn(f, size, sector, pool, firstJob); err == nil ||
			!strings.Contains(err.Error(), "has no ext4") {
			t.Errorf("%s: BeginOwn in a btrfs = %v", kind, err)
		}
		for _, step := range []struct {
			name string
			do   func(f Writable) error
			want string
		}{
			{"Begin", func(f Writable) error { return BeginOwn(f, size, sector, number, firstJob) },
				"unfinished 5, finished "},
			{"Mark", func(f Writable) error { return Mark(f, size, sector, firstJob) }, "unfinished , finished 5"},
			{"Adopt", func(f Writable) error { return Adopt(f, size, sector, firstJob, secondJob) },
				"unfinished , finished 6"},
		} {
			before, _ := state()
			if err := step.do(&whole{cut{f, 0}}); !errors.Is(err, errCut) {
				t.Errorf("%s, %s without a write = %v", kind, step.name, err)
			}
			if got, _ := state(); got != before {
				t.Errorf("%s, %s without a write: %q", kind, step.name, got)
			}
			if err := step.do(&whole{cut{f, 1}}); err != nil {
				t.Fatalf("%s, %s: %v", kind, step.name, err)
			}
			if got, _ := state(); got != step.want {
				t.Errorf("%s, %s: %q, want %q", kind, step.name, got, step.want)
			}
		}
		now, at := read(), int(part.Start)+512
		if !bytes.Equal(now[:at], first[:at]) || !bytes.Equal(now[at+content.MarkSize:], first[at+content.MarkSize:]) {
			t.Errorf("%s: more than the mark has changed", kind)
		}
		fs := filepath.Join(t.TempDir(), "fs")
		if err := os.WriteFile(fs, now[part.Start:part.Start+part.Size], 0o600); err != nil {
			t.Fatal(err)
		}
		disktest.Tool(t, "e2fsck", "-fn", fs)
		disktest.Tool(t, "mkfs.ext4", "-q", "-F", fs)
		b, err := os.ReadFile(fs)
		if err == nil {
			_, err = f.WriteAt(b, part.Start)
		}
		if err != nil {
			t.Fatal(err)
		}
		if got, _ := state(); got != "unfinished , finished " {
			t.Errorf("%s: after mkfs.ext4 the disk is %q", kind, got)
		}
	}
}
