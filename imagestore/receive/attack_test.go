package receive_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"griddle/imagestore/receive"
	"griddle/imagestore/sendstream"
)

// small is a stream with a bit of everything.
func small(t *testing.T) []byte {
	return write(t, 1,
		sendstream.Command{Op: sendstream.OpMkdir, Path: "o257-1-0"},
		sendstream.Command{Op: sendstream.OpRename, Path: "o257-1-0", To: "d"},
		sendstream.Command{Op: sendstream.OpMkfile, Path: "d/f"},
		sendstream.Command{Op: sendstream.OpWrite, Path: "d/f", Data: []byte("content of a file")},
		sendstream.Command{Op: sendstream.OpChown, Path: "d/f", UID: 7, GID: 8},
		sendstream.Command{Op: sendstream.OpChmod, Path: "d/f", Mode: 0o640},
		sendstream.Command{Op: sendstream.OpSetXattr, Path: "d/f", XattrName: "trusted.x", Data: []byte("y")},
		sendstream.Command{Op: sendstream.OpLink, Path: "d/g", Link: "d/f"},
		sendstream.Command{Op: sendstream.OpSymlink, Path: "l", Link: "d/f"},
		sendstream.Command{Op: sendstream.OpMkfifo, Path: "p"}, sendstream.Command{Op: sendstream.OpClone,
			Path: "d/f", CloneUUID: mine(), ClonePath: "d/f", FileOffset: 100, CloneLen: 17},
		sendstream.Command{Op: sendstream.OpUnlink, Path: "p"},
		sendstream.Command{Op: sendstream.OpUtimes, Path: "d/f"},
		sendstream.Command{Op: sendstream.OpUtimes, Path: "d"},
		sendstream.Command{Op: sendstream.OpUtimes, Path: ""})
}

// TestCutAndFlipped cuts a stream off at every byte and flips each of its bits: nothing is left of it. Only the
// version has no checksum in this format, so that a version 1 stream that says to be one of version 3 may pass, with
// other content; what notices that is the comparison with the signed pieces, before, and with the manifest, behind. It
// too stays in its place.
func TestCutAndFlipped(t *testing.T) {
	dir := mount(t, "-t", "tmpfs", "-o", "noatime", "tmpfs")
	outsider(t, dir)
	target := filepath.Join(dir, "target")
	if err := os.Mkdir(target, 0o755); err != nil {
		t.Fatal(err)
	}
	before := surroundings(t, dir, target)
	good := small(t)
	run(t, "rm", "-r", ours(t, good, target, receive.Options{Name: "x"}).Path)
	try := func(what string, stream []byte, mayPass bool) {
		t.Helper()
		res, err := receive.Receive(t.Context(), bytes.NewReader(stream), target, receive.Options{Name: "x"})
		var at *sendstream.Error
		switch {
		case err == nil && mayPass:
			run(t, "rm", "-r", res.Path)
		case err == nil || !errors.As(err, &at):
			t.Errorf("%s: %v, want an error with its place", what, err)
		}
		empty(t, what, target)
	}
	for n := range good {
		try(fmt.Sprintf("cut at byte %d", n), good[:n], false)
	}
	for n := range good {
		for bit := range 8 {
			b := bytes.Clone(good)
			b[n] ^= 1 << bit
			try(fmt.Sprintf("bit %d of byte %d flipped", bit, n), b, n >= 13 && n < 17)
		}
	}
	same(t, "what lies around", surroundings(t, dir, target), before)
}

// TestBehindEnd: nothing may come behind END, and nothing of it is carried out.
func TestBehindEnd(t *testing.T) {
	target := t.TempDir()
	good := small(t)
	more := write(t, 1, sendstream.Command{Op: sendstream.OpMkfile, Path: "more"})
	for name, tail := range map[string][]byte{
		"a byte": {0}, "zeros": make([]byte, 1<<20), "a command": more[17:],
		"END again": good[len(good)-10:], "a stream": more, "the beginning of one": more[:5],
		"the header of one": more[:17],
	} {
		_, err := receive.Receive(t.Context(), bytes.NewReader(append(bytes.Clone(good), tail...)), target,
			receive.Options{Name: "x"})
		var at *sendstream.Error
		if !errors.As(err, &at) || at.Offset < int64(len(good)) {
			t.Errorf("%s behind END: %v, want an error at %d or behind it", name, err, len(good))
		}
		empty(t, name, target)
	}
}

// TestSwappedForLink receives files into directories that somebody changes for symbolic links, and back, all the time.
// The files come into the tree, or the receive fails; nothing comes to where the links lead.
func TestSwappedForLink(t *testing.T) {
	for _, kind := range []string{"btrfs", "ext4"} {
		t.Run(kind, func(t *testing.T) {
			dir := loopMount(t, t.TempDir(), kind, "", 256<<20)
			outside := outsider(t, dir)
			target := filepath.Join(dir, "target")
			if err := os.Mkdir(target, 0o755); err != nil {
				t.Fatal(err)
			}
			before := surroundings(t, dir, target)
			var commands []sendstream.Command
			const dirs = 100 // more than are kept open
			for i := range dirs {
				commands = append(commands, sendstream.Command{Op: sendstream.OpMkdir, Path: fmt.Sprintf("d%d", i)},
					sendstream.Command{Op: sendstream.OpSymlink, Path: fmt.Sprintf("l%d", i), Link: outside})
			}
			for i := range 20 * dirs {
				f := fmt.Sprintf("d%d/f%d", i%dirs, i)
				commands = append(commands, sendstream.Command{Op: sendstream.OpMkfile, Path: f},
					sendstream.Command{Op: sendstream.OpWrite, Path: f, Data: []byte("evil")},
					sendstream.Command{Op: sendstream.OpChmod, Path: f, Mode: 0o4777},
					sendstream.Command{Op: sendstream.OpChown, Path: f, UID: 5},
					sendstream.Command{Op: sendstream.OpSetXattr, Path: f, XattrName: "user.kept", Data: []byte("no")},
					sendstream.Command{Op: sendstream.OpUtimes, Path: fmt.Sprintf("d%d/kept", i%dirs)})
			}
			// The times of "kept", which is outside alone, fail the stream as soon as one link does not stand there; so
			// give each directory one.
			for i := range dirs {
				commands = append(commands[:3*i+2:3*i+2], append([]sendstream.Command{
					{Op: sendstream.OpMkfile, Path: fmt.Sprintf("d%d/kept", i)}}, commands[3*i+2:]...)...)
			}
			stream := write(t, 1, commands...)
			ours(t, stream, target, receive.Options{Name: "undisturbed"})
			stop, stopped := make(chan struct{}), make(chan int)
			go func() { stopped <- swap(target, dirs, stop) }()
			failed := 0
			for range 15 {
				if _, err := receive.Receive(t.Context(), bytes.NewReader(stream), target,
					receive.Options{Name: "x"}); err != nil {
					failed++
					continue
				}
				if kind == "btrfs" {
					run(t, "btrfs", "subvolume", "delete", filepath.Join(target, "x"))
				} else {
					run(t, "rm", "-r", filepath.Join(target, "x"))
				}
			}
			close(stop)
			swaps := <-stopped
			same(t, "what lies around", surroundings(t, dir, target), before)
			if failed == 0 || swaps == 0 {
				t.Errorf("%d of 15 receives failed with %d swaps: the attack did not come into their way",
					failed, swaps)
			}
			t.Logf("%d swaps, %d of 15 receives failed", swaps, failed)
		})
	}
}

// swap changes the directories of unfinished receives in target for the links beside them, and back, until stop is
// closed.
func swap(target string, dirs int, stop chan struct{}) (n int) {
	for i := 0; ; i++ {
		select {
		case <-stop:
			return n
		default:
		}
		all, err := os.ReadDir(target)
		if err != nil {
			continue
		}
		for _, e := range all {
			if !strings.HasPrefix(e.Name(), ".griddle-incoming-") {
				continue
			}
			for k := range 20 {
				root, j := filepath.Join(target, e.Name()), (i*20+k)%dirs
				d, l := fmt.Sprintf("%s/d%d", root, j), fmt.Sprintf("%s/l%d", root, j)
				if unix.Renameat2(unix.AT_FDCWD, d, unix.AT_FDCWD, l, unix.RENAME_EXCHANGE) == nil {
					n++
					unix.Renameat2(unix.AT_FDCWD, d, unix.AT_FDCWD, l, unix.RENAME_EXCHANGE)
				}
			}
		}
	}
}
