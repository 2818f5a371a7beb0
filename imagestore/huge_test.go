//go:build torture

package imagestore_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"griddle/imagestore"
	"griddle/imagestore/content"
	"griddle/imagestore/fetch"
	"griddle/imagestore/imagetest"
	"griddle/imagestore/minisign"
	receiving "griddle/imagestore/receive"
	"griddle/imagestore/ref"
	"griddle/imagestore/source"
	"griddle/imagestore/source/sourcetest"
)

// TestHuge publishes 200,000 files and one of 5 GiB with little in it, and then a delta of a few changes; receives both
// on btrfs and on ext4, and verifies what comes of it. It prints how long each took and the most memory that this
// process had meanwhile.
func TestHuge(t *testing.T) {
	btrfs := sourcetest.BtrfsOf(t, 16<<30)
	dir := filepath.Join(btrfs, "template")
	sourcetest.Run(t, "btrfs", "-q", "subvolume", "create", dir)
	const files, perDir = 200_000, 500
	for i := range files {
		d := filepath.Join(dir, fmt.Sprintf("d%03d", i/perDir))
		if i%perDir == 0 {
			if err := os.Mkdir(d, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(filepath.Join(d, fmt.Sprintf("file-%d", i)), imagetest.Bytes(byte(i), 40+i%4000),
			0o644); err != nil {
			t.Fatal(err)
		}
	}
	huge := filepath.Join(dir, "huge")
	f, err := os.Create(huge)
	if err == nil {
		for _, off := range []int64{0, 1<<32 - 5, 1 << 32, 5<<30 - 100} {
			if _, err = f.WriteAt(imagetest.Bytes(7, 100), off); err != nil {
				break
			}
		}
	}
	if err != nil || f.Close() != nil {
		t.Fatal(err)
	}
	p := &publisher{T: t, dir: dir}
	p.store, err = imagestore.Open(filepath.Join(t.TempDir(), "store"))
	p.must(err)
	p.o.Key, err = minisign.GenerateKey()
	p.must(err)
	p.must(p.store.TrustKey(t.Context(), p.o.Key.Public()))
	p.o.Source, err = source.Find(t.Context(), "btrfs:"+dir, source.Options{})
	p.must(err)
	p.o.Ref = ref.Ref{Name: "huge", Version: "1"}
	p.o.Warn = func(w string) { t.Errorf("warned: %s", w) }

	var first, second imagestore.Published
	p.measure("publish 200,000 files and 5 GiB of holes", func() { first = p.publish() })
	if first.Files < files || first.Size < files*1000 || first.Size > 1<<30 {
		t.Errorf("published %+v, want every file and a size without the holes", first)
	}
	p.must(os.WriteFile(filepath.Join(dir, "d007", "new"), imagetest.Bytes(9, 5000), 0o600))
	p.must(os.Rename(filepath.Join(dir, "d008"), filepath.Join(dir, "moved")))
	h, err := os.OpenFile(huge, os.O_WRONLY, 0)
	p.must(err)
	_, err = h.WriteAt([]byte("changed"), 1<<32+50)
	p.must(err)
	p.must(h.Close())
	p.o.Ref.Version = "2"
	p.measure("publish a delta of it", func() { second = p.publish() })
	if second.Kind != "delta" {
		t.Errorf("the second is %+v, want a delta", second)
	}
	p.measure("verify the store", func() {
		for _, r := range []string{first.Ref, second.Ref} {
			if v, err := p.store.Verify(t.Context(), imagetest.Ref(t, r), nil); err != nil || !v.OK {
				t.Errorf("%s: %+v, %v", r, v, err)
			}
		}
	})
	disk := filepath.Join(t.TempDir(), "ext4")
	p.must(os.WriteFile(disk, nil, 0o600))
	p.must(os.Truncate(disk, 16<<30))
	sourcetest.Run(t, "mkfs.ext4", "-q", "-N", "500000", disk)
	ext4 := filepath.Join(t.TempDir(), "mnt")
	p.must(os.Mkdir(ext4, 0o755))
	sourcetest.Run(t, "mount", "-o", "loop", disk, ext4)
	t.Cleanup(func() { sourcetest.Run(t, "umount", ext4) })
	for name, to := range map[string]string{"btrfs": filepath.Join(btrfs, "in"), "ext4": filepath.Join(ext4, "in")} {
		p.must(os.Mkdir(to, 0o755))
		p.receiveHuge(name, to, first.Ref, second.Ref)
	}
}

func (p *publisher) receiveHuge(name, to string, refs ...string) {
	var parents []receiving.Parent
	for i, r := range refs {
		var have []ref.Ref
		if i > 0 {
			have = []ref.Ref{imagetest.Ref(p.T, refs[i-1])}
		}
		plan, err := p.store.Plan(p.Context(), imagetest.Ref(p.T, r), have...)
		p.must(err)
		opened, err := p.store.Open(p.Context(), plan, fetch.Options{})
		p.must(err)
		var res receiving.Result
		p.measure(fmt.Sprintf("receive %s on %s", r, name), func() {
			in, err := opened.OpenStream(p.Context(), 0, "")
			p.must(err)
			defer in.Close()
			res, err = receiving.Receive(p.Context(), in, to,
				receiving.Options{Name: imagetest.Ref(p.T, r).FileName(), Parents: parents})
			p.must(err)
		})
		s := opened.Streams()[0]
		parents = []receiving.Parent{{UUID: s.UUID, Ctransid: s.Ctransid, Dir: res.Path}}
		m, err := opened.Content(p.Context())
		p.must(err)
		p.measure(fmt.Sprintf("compare %s on %s with its manifest", r, name), func() {
			p.must(content.Verify(p.Context(), res.Path, m, nil))
		})
		var st unix.Stat_t
		p.must(unix.Stat(filepath.Join(res.Path, "huge"), &st))
		if st.Size != 5<<30 || st.Blocks > 20480 {
			p.Errorf("on %s the file of 5 GiB has %d bytes and takes %d", name, st.Size, st.Blocks*512)
		}
	}
}

// measure runs do and prints its time and the peak of this process's memory.
func (p *publisher) measure(what string, do func()) {
	p.Helper()
	p.must(os.WriteFile("/proc/self/clear_refs", []byte("5"), 0)) // the peak begins anew (proc(5))
	start := time.Now()
	do()
	status, err := os.ReadFile("/proc/self/status")
	p.must(err)
	m := regexp.MustCompile(`VmHWM:\s*(\d+) kB`).FindSubmatch(status)
	if m == nil {
		p.Fatalf("no VmHWM in %s", bytes.TrimSpace(status))
	}
	kb, err := strconv.Atoi(string(m[1]))
	p.must(err)
	p.Logf("figure: %s: %.1f s, peak memory %d MB", what, time.Since(start).Seconds(), kb>>10)
}
