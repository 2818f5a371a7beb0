package receive_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"griddle/imagestore/receive"
	"griddle/imagestore/sendstream"
)

// mine is the UUID of the streams that these tests write.
func mine() sendstream.UUID { return sendstream.UUID{0xaa, 15: 1} }

// write makes a full stream of the commands.
func write(t testing.TB, version int, commands ...sendstream.Command) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := sendstream.NewWriter(&b, version)
	if err != nil {
		t.Fatal(err)
	}
	all := append([]sendstream.Command{{Op: sendstream.OpSubvol, Path: "v", UUID: mine(), Ctransid: 5}}, commands...)
	for _, c := range append(all, sendstream.Command{Op: sendstream.OpEnd}) {
		if err := w.Write(&c); err != nil {
			t.Fatal(err)
		}
	}
	return b.Bytes()
}

// A hostile is a stream that must be refused at its command number at (0 is SUBVOL).
type hostile struct {
	name     string
	commands []sendstream.Command
	at       int
	want     error
}

func hostiles(outside string, device int) []hostile {
	link := sendstream.Command{Op: sendstream.OpSymlink, Path: "l", Link: outside}
	up := sendstream.Command{Op: sendstream.OpSymlink, Path: "u", Link: ".."}
	file := sendstream.Command{Op: sendstream.OpMkfile, Path: "f"}
	fifo := sendstream.Command{Op: sendstream.OpMkfifo, Path: "p"}
	block := sendstream.Command{Op: sendstream.OpMknod, Path: "b", Mode: unix.S_IFBLK | 0o600, Rdev: uint64(device)}
	evil := []byte("evil")
	one := func(c sendstream.Command) []sendstream.Command { return []sendstream.Command{file, c} }
	behind := func(first, c sendstream.Command) []sendstream.Command { return []sendstream.Command{first, c} }
	outsidePath, badPath := receive.ErrOutside, sendstream.ErrPath
	clone := func(u sendstream.UUID, path string) []sendstream.Command {
		return one(sendstream.Command{Op: sendstream.OpClone, Path: "f", CloneUUID: u, ClonePath: path, CloneLen: 4096})
	}
	return []hostile{
		{"mkfile ..", one(sendstream.Command{Op: sendstream.OpMkfile, Path: "../x"}), 2, badPath},
		{"mkfile absolute", one(sendstream.Command{Op: sendstream.OpMkfile, Path: outside + "/x"}), 2, badPath},
		{"mkfile empty", one(sendstream.Command{Op: sendstream.OpMkfile, Path: ""}), 2, badPath},
		{"mkfile a/../../x", one(sendstream.Command{Op: sendstream.OpMkfile, Path: "a/../../x"}), 2, badPath},
		{"mkdir ..", one(sendstream.Command{Op: sendstream.OpMkdir, Path: ".."}), 2, badPath},
		{"mkdir through a link", behind(link, sendstream.Command{Op: sendstream.OpMkdir, Path: "l/x"}), 2, outsidePath},
		{"mkfile through a link", behind(link, sendstream.Command{Op: sendstream.OpMkfile, Path: "l/x"}),
			2, outsidePath},
		{"mkfile at a link", behind(link, sendstream.Command{Op: sendstream.OpMkfile, Path: "l"}), 2, unix.EEXIST},
		{"mkfile through ..", behind(up, sendstream.Command{Op: sendstream.OpMkfile, Path: "u/x"}), 2, outsidePath},
		{"mknod through a link",
			behind(link, sendstream.Command{Op: sendstream.OpMknod, Path: "l/x", Mode: unix.S_IFCHR}), 2, outsidePath},
		{"mknod of a file", one(sendstream.Command{Op: sendstream.OpMknod, Path: "x", Mode: unix.S_IFREG | 0o4755}),
			2, nil},
		{"symlink ..", one(sendstream.Command{Op: sendstream.OpSymlink, Path: "../x", Link: "y"}), 2, badPath},
		// joined with the mkfile
		{"rename out", one(sendstream.Command{Op: sendstream.OpRename, Path: "f", To: "../f"}), 1, badPath},
		{"rename in", one(sendstream.Command{Op: sendstream.OpRename, Path: "../outside/kept", To: "k"}), 2, badPath},
		{"rename through a link", []sendstream.Command{link, file, {Op: sendstream.OpChmod, Path: "f", Mode: 0o644},
			{Op: sendstream.OpRename, Path: "f", To: "l/x"}}, 4, outsidePath},
		{"joined rename through a link",
			[]sendstream.Command{link, file, {Op: sendstream.OpRename, Path: "f", To: "l/x"}}, 2, outsidePath},
		{"rename of the root", one(sendstream.Command{Op: sendstream.OpRename, Path: "", To: "k"}), 2, badPath},
		{"rename onto the root", behind(fifo, sendstream.Command{Op: sendstream.OpRename, Path: "q", To: ""}),
			2, badPath},
		{"link to outside", one(sendstream.Command{Op: sendstream.OpLink, Path: "k", Link: "../outside/kept"}),
			2, badPath},
		{"link through a link", behind(link, sendstream.Command{Op: sendstream.OpLink, Path: "k", Link: "l/kept"}),
			2, outsidePath},
		{"unlink ..", one(sendstream.Command{Op: sendstream.OpUnlink, Path: "../outside/kept"}), 2, badPath},
		{"unlink through a link", behind(link, sendstream.Command{Op: sendstream.OpUnlink, Path: "l/kept"}),
			2, outsidePath},
		{"rmdir of the root", one(sendstream.Command{Op: sendstream.OpRmdir, Path: ""}), 2, badPath},
		{"rmdir through a link", behind(link, sendstream.Command{Op: sendstream.OpRmdir, Path: "l/d"}), 2, outsidePath},
		{"write through a link", behind(link, sendstream.Command{Op: sendstream.OpWrite, Path: "l/kept", Data: evil}),
			2, outsidePath},
		{"write to a link", []sendstream.Command{{Op: sendstream.OpSymlink, Path: "l", Link: outside + "/kept"},
			{Op: sendstream.OpWrite, Path: "l", Data: evil}}, 2, outsidePath},
		{"write to a device", behind(block, sendstream.Command{Op: sendstream.OpWrite, Path: "b", Data: evil}),
			2, outsidePath},
		{"truncate a device", behind(block, sendstream.Command{Op: sendstream.OpTruncate, Path: "b"}), 2, outsidePath},
		{"clone from a device", []sendstream.Command{block, file,
			{Op: sendstream.OpClone, Path: "f", CloneUUID: mine(), ClonePath: "b", CloneLen: 4096}}, 3, outsidePath},
		{"write to a fifo", behind(fifo, sendstream.Command{Op: sendstream.OpWrite, Path: "p", Data: evil}),
			2, unix.EINVAL},
		{"write to a directory", []sendstream.Command{{Op: sendstream.OpWrite, Path: "", Data: evil}}, 1, badPath},
		{"write beyond the end of offsets",
			one(sendstream.Command{Op: sendstream.OpWrite, Path: "f", FileOffset: 1<<63 - 2, Data: evil}), 2, nil},
		{"write at 2^64-1",
			one(sendstream.Command{Op: sendstream.OpWrite, Path: "f", FileOffset: 1<<64 - 1, Data: evil}), 2, nil},
		{"truncate to 2^63", one(sendstream.Command{Op: sendstream.OpTruncate, Path: "f", Size: 1 << 63}), 2, nil},
		{"truncate through a link", behind(link, sendstream.Command{Op: sendstream.OpTruncate, Path: "l/kept"}),
			2, outsidePath},
		{"foreign clone", clone(sendstream.UUID{9}, "f"), 2, receive.ErrNoParent},
		{"clone from ..", clone(mine(), "../outside/kept"), 2, badPath},
		{"clone from absolute", clone(mine(), outside+"/kept"), 2, badPath},
		{"clone through a link", []sendstream.Command{link, file,
			{Op: sendstream.OpClone, Path: "f", CloneUUID: mine(), ClonePath: "l/kept", CloneLen: 4}}, 3, outsidePath},
		{"clone beyond the source", clone(mine(), "f"), 2, nil},
		{"clone of overflowing length", one(sendstream.Command{Op: sendstream.OpClone, Path: "f", CloneUUID: mine(),
			ClonePath: "f", CloneLen: 1<<64 - 1, CloneOffset: 2}), 2, nil},
		{"clone onto itself", []sendstream.Command{file, {Op: sendstream.OpWrite, Path: "f", Data: make([]byte, 8192)},
			{Op: sendstream.OpClone, Path: "f", CloneUUID: mine(), ClonePath: "f", CloneLen: 8192, FileOffset: 4096}},
			3, nil},
		{"clone onto itself without end",
			[]sendstream.Command{file, {Op: sendstream.OpWrite, Path: "f", Data: make([]byte, 8192)},
				{Op: sendstream.OpClone, Path: "f", CloneUUID: mine(), ClonePath: "f", CloneLen: 1 << 60,
					FileOffset: 4096}}, 3, nil},
		{"name of 256 bytes", one(sendstream.Command{Op: sendstream.OpMkfile, Path: strings.Repeat("n", 256)}),
			2, unix.ENAMETOOLONG},
		{"rename to a name of 256 bytes", []sendstream.Command{file, {Op: sendstream.OpChmod, Path: "f"},
			{Op: sendstream.OpRename, Path: "f", To: strings.Repeat("n", 256)}}, 3, unix.ENAMETOOLONG},
		{"path of 60,000 bytes", one(sendstream.Command{Op: sendstream.OpMkfile,
			Path: strings.Repeat("d/", 30000) + "f"}), 2, unix.ENAMETOOLONG},
		{"link to 60,000 bytes", one(sendstream.Command{Op: sendstream.OpSymlink, Path: "k",
			Link: strings.Repeat("d/", 30000)}), 2, unix.ENAMETOOLONG},
		{"attribute name of 300 bytes", one(sendstream.Command{Op: sendstream.OpSetXattr, Path: "f",
			XattrName: "user." + strings.Repeat("n", 300)}), 2, unix.ERANGE},
		{"attribute without a namespace", one(sendstream.Command{Op: sendstream.OpSetXattr, Path: "f", XattrName: "n"}),
			2, unix.EOPNOTSUPP},
		{"fallocate of more than there is",
			one(sendstream.Command{Op: sendstream.OpFallocate, Path: "f", Size: 1 << 50}), 2, nil},
		{"directory into itself",
			[]sendstream.Command{{Op: sendstream.OpMkdir, Path: "d"}, {Op: sendstream.OpUtimes, Path: "d"},
				{Op: sendstream.OpRename, Path: "d", To: "d/e"}}, 3, unix.EINVAL},
		{"link to a directory", []sendstream.Command{{Op: sendstream.OpMkdir, Path: "d"},
			{Op: sendstream.OpLink, Path: "e", Link: "d"}}, 2, unix.EPERM},
		{"link to a device outside", one(sendstream.Command{Op: sendstream.OpLink, Path: "k", Link: "/dev/null"}),
			2, badPath},
		{"link through ..", behind(up, sendstream.Command{Op: sendstream.OpLink, Path: "k", Link: "u/kept"}),
			2, outsidePath},
		{"chmod of a link", behind(sendstream.Command{Op: sendstream.OpSymlink, Path: "l", Link: outside + "/kept"},
			sendstream.Command{Op: sendstream.OpChmod, Path: "l", Mode: 0o4777}), 2, unix.EOPNOTSUPP},
		{"chmod through a link", behind(link, sendstream.Command{Op: sendstream.OpChmod, Path: "l/kept", Mode: 0o4777}),
			2, outsidePath},
		{"chmod ..", one(sendstream.Command{Op: sendstream.OpChmod, Path: "..", Mode: 0o777}), 2, badPath},
		{"chown through a link", behind(link, sendstream.Command{Op: sendstream.OpChown, Path: "l/kept", UID: 1}),
			2, outsidePath},
		{"utimes through a link", behind(link, sendstream.Command{Op: sendstream.OpUtimes, Path: "l/kept"}),
			2, outsidePath},
		{"set_xattr through a link", behind(link,
			sendstream.Command{Op: sendstream.OpSetXattr, Path: "l/kept", XattrName: "user.x"}), 2, outsidePath},
		{"set_xattr on a link", behind(sendstream.Command{Op: sendstream.OpSymlink, Path: "l", Link: outside + "/kept"},
			sendstream.Command{Op: sendstream.OpSetXattr, Path: "l", XattrName: "user.x", Data: evil}), 2, nil},
		{"remove_xattr ..", one(sendstream.Command{Op: sendstream.OpRemoveXattr, Path: "../outside/kept",
			XattrName: "user.kept"}), 2, badPath},
		{"a second subvolume", one(sendstream.Command{Op: sendstream.OpSubvol, Path: "w", UUID: mine()}), 2, nil},
		{"a snapshot of nothing", one(sendstream.Command{Op: sendstream.OpSnapshot, Path: "w"}), 2, nil},
		{"without data", one(sendstream.Command{Op: sendstream.OpUpdateExtent, Path: "f", Size: 4096}), 2, nil},
		{"NUL in a path", one(sendstream.Command{Op: sendstream.OpMkfile, Path: "a\x00b"}), 2, badPath},
		{"fallocate collapse",
			one(sendstream.Command{Op: sendstream.OpFallocate, Path: "f", FallocateMode: 8, Size: 4096}), 2, nil},
		{"encrypted write",
			one(sendstream.Command{Op: sendstream.OpEncodedWrite, Path: "f", Encryption: 1, Data: evil}), 2, nil},
		{"encoded write of too much",
			one(sendstream.Command{Op: sendstream.OpEncodedWrite, Path: "f", UnencodedFileLen: 1 << 40,
				UnencodedLen: 1 << 40, Compression: sendstream.CompressionZstd, Data: evil}), 2,
			sendstream.ErrMalformed},
		{"encoded write of garbage",
			one(sendstream.Command{Op: sendstream.OpEncodedWrite, Path: "f", UnencodedFileLen: 4095,
				UnencodedLen: 4095, UnencodedOffset: 1, Compression: sendstream.CompressionZlib, Data: evil}), 2,
			sendstream.ErrMalformed},
		{"encoded write through a link", behind(link, sendstream.Command{Op: sendstream.OpEncodedWrite, Path: "l/kept",
			UnencodedFileLen: 4, UnencodedLen: 4, Data: evil}), 2, outsidePath},
	}
}

// outsider makes a directory beside the target that no stream may touch.
func outsider(t *testing.T, dir string) string {
	t.Helper()
	outside := filepath.Join(dir, "outside")
	for _, d := range []string{outside, filepath.Join(outside, "d")} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	kept := filepath.Join(outside, "kept")
	if err := os.WriteFile(kept, bytes.Repeat([]byte("kept"), 4096), 0o640); err != nil {
		t.Fatal(err)
	}
	if err := unix.Setxattr(kept, "user.kept", []byte("yes"), 0); err != nil {
		t.Fatal(err)
	}
	return outside
}

// TestHostileStreams has each evil stream received on btrfs and on a plain file system: it is refused where it is evil,
// nothing is left of it, and nothing around it is touched.
func TestHostileStreams(t *testing.T) {
	for _, kind := range []string{"btrfs", "ext4"} {
		t.Run(kind, func(t *testing.T) {
			dir := loopMount(t, t.TempDir(), kind, "", 256<<20)
			outside := outsider(t, dir)
			disk := filepath.Join(t.TempDir(), "disk")
			if err := os.WriteFile(disk, make([]byte, 1<<20), 0o600); err != nil {
				t.Fatal(err)
			}
			loop := run(t, "losetup", "--find", "--show", disk)
			t.Cleanup(func() { run(t, "losetup", "-d", loop) })
			var st unix.Stat_t
			if err := unix.Stat(loop, &st); err != nil {
				t.Fatal(err)
			}
			target := filepath.Join(dir, "target")
			if err := os.Mkdir(target, 0o755); err != nil {
				t.Fatal(err)
			}
			before := surroundings(t, dir, target)
			for _, h := range hostiles(outside, int(st.Rdev)) {
				stream := write(t, 2, h.commands...)
				_, err := receive.Receive(t.Context(), bytes.NewReader(stream), target, receive.Options{Name: "x"})
				var at *sendstream.Error
				if err == nil || h.want != nil && !errors.Is(err, h.want) || !errors.As(err, &at) {
					t.Errorf("%s: %v, want %v and its place", h.name, err, h.want)
				} else if want := place(t, stream, h.at); at.Offset != want {
					t.Errorf("%s: refused at byte %d, want %d: %v", h.name, at.Offset, want, err)
				}
				empty(t, h.name, target)
				same(t, h.name+": what lies around", surroundings(t, dir, target), before)
			}
			run(t, "blockdev", "--flushbufs", loop)
			if b, err := os.ReadFile(disk); err != nil || !bytes.Equal(b, make([]byte, 1<<20)) {
				t.Errorf("the disk was written to (%v)", err)
			}
		})
	}
}

// surroundings is the survey of dir without what is below target.
func surroundings(t *testing.T, dir, target string) map[string]string {
	t.Helper()
	all := survey(t, dir)
	rel, err := filepath.Rel(dir, target)
	if err != nil {
		t.Fatal(err)
	}
	delete(all, rel) // its times change
	for p := range all {
		if strings.HasPrefix(p, rel+"/") {
			delete(all, p)
		}
	}
	return all
}

// place gives the offset of command number n.
func place(t *testing.T, stream []byte, n int) int64 {
	t.Helper()
	r, err := sendstream.NewReader(bytes.NewReader(stream))
	if err != nil {
		t.Fatal(err)
	}
	for {
		c, err := r.Next()
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			return c.Offset
		}
		n--
	}
}

// empty fails the test where something is in dir.
func empty(t *testing.T, what, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		t.Errorf("%s: %s is left", what, e.Name())
	}
}
