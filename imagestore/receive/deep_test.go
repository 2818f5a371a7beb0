package receive_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"griddle/imagestore/receive"
	"griddle/imagestore/sendstream"
)

// deep is a stream that nests directories: each new one takes the tower that there is into it, so that every path in
// the stream is short.
func deep(levels int) []sendstream.Command {
	commands := []sendstream.Command{{Op: sendstream.OpMkdir, Path: "d"}, {Op: sendstream.OpMkfile, Path: "d/bottom"}}
	for range levels {
		commands = append(commands, sendstream.Command{Op: sendstream.OpMkdir, Path: "t"},
			sendstream.Command{Op: sendstream.OpUtimes, Path: "t"},
			sendstream.Command{Op: sendstream.OpRename, Path: "d", To: "t/d"},
			sendstream.Command{Op: sendstream.OpRename, Path: "t", To: "d"})
	}
	return commands
}

// TestDeepNesting has trees of 10,000 levels received by a process that may open few files: what comes of it, what
// breaks off in it, and what a killed receive leaves of it can be removed.
func TestDeepNesting(t *testing.T) {
	var before unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	limit := before
	limit.Cur = 512
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Setrlimit(unix.RLIMIT_NOFILE, &before) })
	for _, kind := range []string{"btrfs", "ext4"} {
		t.Run(kind, func(t *testing.T) {
			dir := loopMount(t, t.TempDir(), kind, "", 1<<30)
			target := filepath.Join(dir, "target")
			if err := os.Mkdir(target, 0o755); err != nil {
				t.Fatal(err)
			}
			tower := deep(10_000)
			broken := write(t, 1, append(tower, sendstream.Command{Op: sendstream.OpMkfile, Path: "../x"})...)
			for _, plain := range []bool{false, true} {
				if _, err := receive.Receive(t.Context(), bytes.NewReader(broken), target,
					receive.Options{Name: "x", Plain: plain}); err == nil {
					t.Error("the broken stream was received")
				}
				empty(t, "the broken stream", target)
			}
			whole := write(t, 1, tower...)
			got := ours(t, whole, target, receive.Options{Name: "x", Plain: true})
			// As a receive that was killed leaves it: without a name of its own, and without a lock.
			if err := os.Rename(got.Path, filepath.Join(target, ".griddle-incoming-killed")); err != nil {
				t.Fatal(err)
			}
			if err := receive.RemoveLeftovers(target); err != nil {
				t.Error(err)
			}
			empty(t, "the leftover", target)

			// A delta starts with a copy of its parent where that is no subvolume.
			got = ours(t, whole, target, receive.Options{Name: "parent", Plain: true})
			delta := snapshot(t, sendstream.Command{Op: sendstream.OpMkfile, Path: "new"})
			parents := []receive.Parent{{UUID: got.UUID, Ctransid: got.Ctransid, Dir: got.Path}}
			// Copying goes down the tree with open directories: this one is too deep for it, and nothing is left.
			if _, err := receive.Receive(t.Context(), bytes.NewReader(delta), target,
				receive.Options{Name: "x", Plain: true, Parents: parents}); !errors.Is(err, unix.EMFILE) {
				t.Errorf("a delta on the deep tree: %v, want EMFILE", err)
			}
			if n := entries(t, target); n != 1 {
				t.Errorf("%d entries after it, want the parent alone", n)
			}
		})
	}
}

// snapshot makes a delta of the commands on the stream that write makes.
func snapshot(t *testing.T, commands ...sendstream.Command) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := sendstream.NewWriter(&b, 1)
	if err != nil {
		t.Fatal(err)
	}
	all := append([]sendstream.Command{{Op: sendstream.OpSnapshot, Path: "w", UUID: sendstream.UUID{0xbb}, Ctransid: 9,
		CloneUUID: mine(), CloneCtransid: 5}}, commands...)
	for _, c := range append(all, sendstream.Command{Op: sendstream.OpEnd}) {
		if err := w.Write(&c); err != nil {
			t.Fatal(err)
		}
	}
	return b.Bytes()
}
