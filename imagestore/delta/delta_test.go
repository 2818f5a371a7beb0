package delta_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"griddle/imagestore/content"
	"griddle/imagestore/delta"
	"griddle/imagestore/sendstream"
	"griddle/imagestore/source/sourcetest"
)

func TestMain(m *testing.M) {
	flag.Bool("update", false, "write the goldens")
	flag.Parse()
	os.Exit(m.Run())
}

// garment is what plant needs to know of a path.
type garment struct {
	path, kind string // as content.Type
	data       string // of a file; target of a symbolic or hard link
	mode       uint32
	uid        int
	sec        int64
	xattrs     string // NAME=VALUE, one
}

// plant makes a tree. All times are fixed.
func plant(t testing.TB, dir string, list []garment) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, g := range list {
		p := filepath.Join(dir, g.path)
		switch g.kind {
		case "d":
			if g.path != "." {
				must(os.Mkdir(p, 0o755))
			}
		case "f":
			must(os.WriteFile(p, []byte(g.data), 0o644))
		case "l":
			must(os.Symlink(g.data, p))
		case "h":
			must(os.Link(filepath.Join(dir, g.data), p))
		case "c":
			must(unix.Mknod(p, unix.S_IFCHR|0o600, int(unix.Mkdev(1, 3))))
		}
	}
	slices.Reverse(list)
	for _, g := range list {
		if g.kind == "h" {
			continue
		}
		p := filepath.Join(dir, g.path)
		must(os.Lchown(p, g.uid, g.uid))
		if g.kind != "l" {
			must(unix.Chmod(p, g.mode))
		}
		if name, value, ok := strings.Cut(g.xattrs, "="); ok {
			must(unix.Lsetxattr(p, name, []byte(value), 0))
		}
		at := unix.Timespec{Sec: 1700000000 + g.sec, Nsec: g.sec}
		must(unix.UtimesNanoAt(unix.AT_FDCWD, p, []unix.Timespec{at, at}, unix.AT_SYMLINK_NOFOLLOW))
	}
}

const (
	acl = "\x02\x00\x00\x00\x01\x00\x06\x00\xff\xff\xff\xff\x02\x00\x04\x00\xe8\x03\x00\x00" +
		"\x04\x00\x04\x00\xff\xff\xff\xff\x10\x00\x04\x00\xff\xff\xff\xff\x20\x00\x00\x00\xff\xff\xff\xff"
	netCap = "\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
)

// pair plants two small trees with a difference of each kind.
func pair(t testing.TB) (old, new delta.Tree) {
	t.Helper()
	base := sourcetest.Tmpfs(t)
	blocks := func(s string) string {
		var b strings.Builder
		for _, c := range s {
			b.WriteString(strings.Repeat(string(c), 4096))
		}
		return b.String()
	}
	moved := strings.Repeat("moved", 200)
	trees := [2][]garment{
		{
			{".", "d", "", 0o755, 0, 0, ""},
			{"acl", "d", "", 0o755, 0, 1, "system.posix_acl_default=" + acl},
			{"changed", "f", blocks("abcd") + "tail", 0o4755, 0, 2, "security.capability=" + netCap},
			{"gone", "d", "", 0o755, 0, 3, ""},
			{"gone/in", "f", moved, 0o644, 0, 4, ""},
			{"kept", "f", "as it was", 0o644, 0, 5, "user.note=old"},
			{"libx.so.1.1", "f", "version one", 0o644, 0, 6, ""},
			{"link1", "f", "two names", 0o644, 0, 7, ""},
			{"link2", "h", "link1", 0, 0, 0, ""},
			{"touched", "f", "rewritten", 0o644, 0, 8, ""},
			{"type", "l", "somewhere", 0, 0, 9, ""},
		},
		{
			{".", "d", "", 0o755, 0, 100, ""},
			{"acl", "d", "", 0o755, 0, 1, "system.posix_acl_default=" + acl},
			{"acl/made", "f", "", 0o600, 0, 101, ""},
			{"changed", "f", blocks("aXcYZ") + "end", 0o4755, 7, 102, "security.capability=" + netCap},
			{"elsewhere", "f", moved, 0o644, 0, 4, ""},
			{"kept", "f", "as it was", 0o644, 0, 5, "user.other=new"},
			{"libx.so.3", "f", "version three", 0o644, 0, 106, ""},
			{"link1", "f", "two names", 0o644, 0, 7, ""},
			{"link2", "f", "its own", 0o644, 0, 107, ""},
			{"link3", "h", "link1", 0, 0, 0, ""},
			{"null", "c", "", 0o666, 0, 103, ""},
			{"touched", "f", "rewritten", 0o644, 0, 108, ""},
			{"type", "d", "", 0o700, 0, 109, ""},
			{"type/\xff\n", "l", "to", 0, 0, 110, ""},
		},
	}
	var out [2]delta.Tree
	for i, list := range trees {
		dir := filepath.Join(base, fmt.Sprint("t", i))
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		plant(t, dir, list)
		out[i] = delta.Tree{Dir: dir, Content: walk(t, dir), UUID: identity(0, i), Ctransid: uint64(10 + i)}
	}
	return out[0], out[1]
}

// dump spells out a stream, a line for each command.
func dump(t testing.TB, stream []byte) string {
	t.Helper()
	r, err := sendstream.NewReader(bytes.NewReader(stream))
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for {
		c, err := r.Next()
		if err == io.EOF {
			return b.String()
		}
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "%v %q", c.Op, c.Path)
		switch c.Op {
		case sendstream.OpSubvol:
			fmt.Fprintf(&b, " %v %d", c.UUID, c.Ctransid)
		case sendstream.OpSnapshot:
			fmt.Fprintf(&b, " %v %d from %v %d", c.UUID, c.Ctransid, c.CloneUUID, c.CloneCtransid)
		case sendstream.OpLink, sendstream.OpSymlink:
			fmt.Fprintf(&b, " to %q", c.Link)
		case sendstream.OpMknod:
			fmt.Fprintf(&b, " %o %#x", c.Mode, c.Rdev)
		case sendstream.OpWrite:
			fmt.Fprintf(&b, " at %d %d bytes %.12q", c.FileOffset, len(c.Data), c.Data)
		case sendstream.OpClone:
			fmt.Fprintf(&b, " at %d %d bytes from %v %d %q at %d", c.FileOffset, c.CloneLen, c.CloneUUID,
				c.CloneCtransid, c.ClonePath, c.CloneOffset)
		case sendstream.OpTruncate:
			fmt.Fprintf(&b, " to %d", c.Size)
		case sendstream.OpChmod:
			fmt.Fprintf(&b, " %o", c.Mode)
		case sendstream.OpChown:
			fmt.Fprintf(&b, " %d:%d", c.UID, c.GID)
		case sendstream.OpSetXattr, sendstream.OpRemoveXattr:
			fmt.Fprintf(&b, " %s %q", c.XattrName, c.Data)
		case sendstream.OpUtimes:
			fmt.Fprintf(&b, " %d.%09d", c.Mtime.Unix(), c.Mtime.Nanosecond())
		}
		b.WriteByte('\n')
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	name = filepath.Join("testdata", name)
	if flag.Lookup("update").Value.String() == "true" {
		if err := os.WriteFile(name, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs from\n%s", name, got)
	}
}

func TestGolden(t *testing.T) {
	old, new := pair(t)
	var d, full bytes.Buffer
	if _, err := delta.Write(t.Context(), &d, old, new, delta.Options{Name: "new"}); err != nil {
		t.Fatal(err)
	}
	golden(t, "delta.txt", dump(t, d.Bytes()))
	if _, err := delta.WriteFull(t.Context(), &full, new.Dir, new.UUID, new.Ctransid,
		delta.Options{Name: "new"}); err != nil {
		t.Fatal(err)
	}
	golden(t, "full.txt", dump(t, full.Bytes()))
}

// TestNothingChanged makes the shortest delta.
func TestNothingChanged(t *testing.T) {
	old, _ := pair(t)
	new := old
	new.UUID = identity(0, 5)
	var d bytes.Buffer
	if _, err := delta.Write(t.Context(), &d, old, new, delta.Options{Name: "new"}); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(dump(t, d.Bytes()), "\n"); n != 2 {
		t.Errorf("the delta has %d commands, want snapshot and end:\n%s", n, dump(t, d.Bytes()))
	}
}

func TestChangedFiles(t *testing.T) {
	for _, c := range []struct{ tree, path, data string }{
		{"new", "link2", "its 0wn"},
		{"new", "link2", "longer than it was"},
		{"new", "changed", ""},
		{"old", "changed", strings.Repeat("?", 4*4096+4)},
	} {
		t.Run(c.tree+" "+c.path, func(t *testing.T) {
			old, new := pair(t)
			dir := new.Dir
			if c.tree == "old" {
				dir = old.Dir
			}
			if err := os.WriteFile(filepath.Join(dir, c.path), []byte(c.data), 0o644); err != nil {
				t.Fatal(err)
			}
			_, err := delta.Write(t.Context(), io.Discard, old, new, delta.Options{Name: "new"})
			if !errors.Is(err, delta.ErrChanged) || !strings.Contains(err.Error(), fmt.Sprintf("%q", c.path)) {
				t.Errorf("Write = %v, want ErrChanged and %q", err, c.path)
			}
			if c.tree == "old" {
				return
			}
			_, err = delta.WriteTree(t.Context(), io.Discard, new, delta.Options{Name: "new"})
			if !errors.Is(err, delta.ErrChanged) || !strings.Contains(err.Error(), fmt.Sprintf("%q", c.path)) {
				t.Errorf("WriteTree = %v, want ErrChanged and %q", err, c.path)
			}
		})
	}
	t.Run("another type", func(t *testing.T) {
		old, new := pair(t)
		p := filepath.Join(new.Dir, "link2")
		if err := errors.Join(os.Remove(p), unix.Mkfifo(p, 0o600)); err != nil {
			t.Fatal(err)
		}
		if _, err := delta.Write(t.Context(), io.Discard, old, new, delta.Options{Name: "new"}); err == nil ||
			!strings.Contains(err.Error(), "link2") {
			t.Errorf("Write = %v, want an error with link2", err)
		}
	})
}

// limited is a writer that does something when it has taken some bytes.
type limited struct {
	left int
	do   func() error
}

func (l *limited) Write(b []byte) (int, error) {
	if l.left -= len(b); l.left < 0 {
		if err := l.do(); err != nil {
			return 0, err
		}
	}
	return len(b), nil
}

func TestStops(t *testing.T) {
	dir := t.TempDir()
	for i := range 300 {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprint("f", i)), make([]byte, 50000), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	w := &limited{3 << 20, func() error { cancel(); return nil }}
	if _, err := delta.WriteFull(ctx, w, dir, identity(0, 0), 1,
		delta.Options{Name: "n"}); !errors.Is(err, context.Canceled) {
		t.Errorf("WriteFull = %v, want context.Canceled", err)
	}
	w = &limited{3 << 20, func() error { return unix.ENOSPC }}
	if _, err := delta.WriteFull(t.Context(), w, dir, identity(0, 0), 1,
		delta.Options{Name: "n"}); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("WriteFull = %v, want ENOSPC", err)
	}
}

func TestRefuses(t *testing.T) {
	for _, name := range []string{"", ".", "..", "a/b", "a\x00", strings.Repeat("n", 256)} {
		if _, err := delta.WriteFull(t.Context(), io.Discard, t.TempDir(), identity(0, 0), 1,
			delta.Options{Name: name}); err == nil {
			t.Errorf("WriteFull with name %q gives no error", name)
		}
	}
	mnt := sourcetest.Btrfs(t)
	sourcetest.Run(t, "btrfs", "-q", "subvolume", "create", mnt+"/a")
	sourcetest.Run(t, "mkdir", mnt+"/a/b")
	sourcetest.Run(t, "btrfs", "-q", "subvolume", "create", mnt+"/a/b/nested")
	sourcetest.Run(t, "btrfs", "-q", "subvolume", "snapshot", "-r", mnt+"/a", mnt+"/s")
	for _, dir := range []string{mnt + "/a", mnt + "/s"} {
		_, err := delta.WriteFull(t.Context(), io.Discard, dir, identity(0, 0), 1, delta.Options{Name: "n"})
		if !errors.Is(err, content.ErrForeign) || !strings.Contains(err.Error(), "b/nested") {
			t.Errorf("WriteFull(%s) = %v, want ErrForeign and b/nested", dir, err)
		}
	}
}
