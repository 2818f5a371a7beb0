package receive_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"griddle/imagestore/receive"
)

// TestRootTimes receives a delta whose temporary names touch the root, which is the same in both trees: the sender says
// nothing of its times then. `btrfs receive` leaves the time of receiving there.
func TestRootTimes(t *testing.T) {
	btrfs := loopMount(t, t.TempDir(), "btrfs", "", 512<<20)
	work := filepath.Join(btrfs, "work")
	run(t, "btrfs", "subvolume", "create", work)
	g := newGarden(t, work, 1)
	for _, d := range []string{"a", "a/b", "c"} {
		g.check(os.Mkdir(g.path(d), 0o755))
	}
	g.check(os.WriteFile(g.path("a/b/f"), []byte("kept"), 0o644))
	past := time.Unix(1e9, 5)
	g.check(os.Chtimes(work, past, past))
	snapshot := func(name string) string {
		run(t, "btrfs", "subvolume", "snapshot", "-r", work, filepath.Join(btrfs, name))
		return filepath.Join(btrfs, name)
	}
	first := snapshot("s0")
	// The directory goes before what was in it has moved, and so steps aside into the root first.
	g.check(os.Rename(g.path("a/b/f"), g.path("c/f")))
	g.check(os.Remove(g.path("a/b")))
	second := snapshot("s1")
	ext4 := loopMount(t, t.TempDir(), "ext4", "", 64<<20)
	for _, dir := range []string{filepath.Join(btrfs, "ours"), filepath.Join(ext4, "ours")} {
		g.check(os.Mkdir(dir, 0o755))
		one := ours(t, send(t, first), dir, receive.Options{Name: "one"})
		same(t, "the first in "+dir, survey(t, one.Path), survey(t, first))
		two := ours(t, send(t, "-p", first, second), dir,
			receive.Options{Name: "two", Parents: []receive.Parent{{UUID: one.UUID, Dir: one.Path}}})
		same(t, "the second in "+dir, survey(t, two.Path), survey(t, second))
	}
}
