package sendstream_test

import (
	"bytes"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
	"time"

	"griddle/imagestore/sendstream"
)

// everything is one command of each kind, in the first version that has it.
func everything(version int) []sendstream.Command {
	at := time.Unix(1700000000, 123456789).UTC()
	old := time.Unix(-5, 1).UTC()
	u, p := sendstream.UUID{1, 2, 15: 3}, sendstream.UUID{4, 15: 5}
	cs := []sendstream.Command{
		{Op: sendstream.OpSubvol, Path: "vol", UUID: u, Ctransid: 7},
		{Op: sendstream.OpSnapshot, Path: "snap", UUID: u, Ctransid: 8, CloneUUID: p, CloneCtransid: 9},
		{Op: sendstream.OpMkfile, Path: "o257-7-0", Ino: 257},
		{Op: sendstream.OpMkdir, Path: "d", Ino: 258},
		{Op: sendstream.OpMknod, Path: "null", Ino: 259, Rdev: 0x103, Mode: 0o20666},
		{Op: sendstream.OpMkfifo, Path: "fifo", Ino: 260, Mode: 0o10600},
		{Op: sendstream.OpMksock, Path: "sock", Ino: 261, Mode: 0o140600},
		{Op: sendstream.OpSymlink, Path: "l", Ino: 262, Link: "../any where"},
		{Op: sendstream.OpRename, Path: "o257-7-0", To: "d/file"},
		{Op: sendstream.OpLink, Path: "d/other", Link: "d/file"},
		{Op: sendstream.OpUnlink, Path: "gone"},
		{Op: sendstream.OpRmdir, Path: "gone.d"},
		{Op: sendstream.OpSetXattr, Path: "d/file", XattrName: "user.x", Data: []byte("v\x00")},
		{Op: sendstream.OpRemoveXattr, Path: "d/file", XattrName: "user.y"},
		{Op: sendstream.OpWrite, Path: "d/file", FileOffset: 1 << 40, Data: []byte("content")},
		{Op: sendstream.OpClone, Path: "d/file", FileOffset: 4096, CloneLen: 8192, CloneUUID: u, CloneCtransid: 7,
			ClonePath: "d/other", CloneOffset: 1},
		{Op: sendstream.OpTruncate, Path: "d/file", Size: 5},
		{Op: sendstream.OpChmod, Path: "d/file", Mode: 0o4755},
		{Op: sendstream.OpChown, Path: "d/file", UID: 100000, GID: 1<<32 - 2},
		{Op: sendstream.OpUtimes, Path: "", Atime: at, Mtime: old, Ctime: at},
		{Op: sendstream.OpUpdateExtent, Path: "d/file", FileOffset: 1, Size: 2},
	}
	if version >= 2 {
		cs = append(cs,
			sendstream.Command{Op: sendstream.OpUtimes, Path: "d", Atime: at, Mtime: at, Ctime: at, Otime: old},
			sendstream.Command{Op: sendstream.OpFallocate, Path: "d/file", FallocateMode: 3, FileOffset: 1, Size: 2},
			sendstream.Command{Op: sendstream.OpFileAttr, Path: "d/file", FileAttr: 1 << 3},
			sendstream.Command{Op: sendstream.OpWrite, Path: "d/file", Data: bytes.Repeat([]byte("x"), 100<<10)},
			sendstream.Command{Op: sendstream.OpEncodedWrite, Path: "d/file",
				UnencodedFileLen: 4096, UnencodedLen: 8192,
				UnencodedOffset: 1, Compression: sendstream.CompressionZstd, Data: []byte{1, 2, 3}})
	}
	if version >= 3 {
		cs = append(cs,
			sendstream.Command{Op: sendstream.OpEnableVerity, Path: "d/file", VerityAlgorithm: 1, VerityBlockSize: 4096,
				VeritySalt: []byte("salt"), VeritySignature: []byte("sig")})
	}
	return append(cs, sendstream.Command{Op: sendstream.OpEnd})
}

func encode(t testing.TB, version int, cs ...sendstream.Command) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := sendstream.NewWriter(&b, version)
	if err != nil {
		t.Fatal(err)
	}
	for i := range cs {
		if err := w.Write(&cs[i]); err != nil {
			t.Fatal(err)
		}
	}
	return b.Bytes()
}

// decode reads all commands, with their data copied and without their places.
func decode(r io.Reader) ([]sendstream.Command, error) {
	d, err := sendstream.NewReader(r)
	if err != nil {
		return nil, err
	}
	var cs []sendstream.Command
	for {
		c, err := d.Next()
		if err == io.EOF {
			return cs, nil
		}
		if err != nil {
			return cs, err
		}
		k := *c
		k.Offset, k.Length = 0, 0
		k.Data, k.VeritySalt, k.VeritySignature = bytes.Clone(k.Data), bytes.Clone(k.VeritySalt),
			bytes.Clone(k.VeritySignature)
		cs = append(cs, k)
	}
}

func TestRoundTrip(t *testing.T) {
	for version := 1; version <= sendstream.MaxVersion; version++ {
		want := everything(version)
		want = append(want, want...) // two streams, one behind the other
		raw := encode(t, version, want...)
		if n := bytes.Count(raw, []byte("btrfs-stream\x00")); n != 2 {
			t.Errorf("version %d: %d headers, want 2", version, n)
		}
		for _, r := range []io.Reader{bytes.NewReader(raw), oneByte{bytes.NewReader(raw)}} {
			got, err := decode(r)
			if err != nil {
				t.Fatalf("version %d: %v", version, err)
			}
			for i := range want {
				if i >= len(got) || !reflect.DeepEqual(got[i], want[i]) {
					t.Fatalf("version %d: command %d = %+v, want %+v", version, i, got[i], want[i])
				}
			}
		}
	}
}

// oneByte gives its bytes one by one.
type oneByte struct{ r io.Reader }

func (o oneByte) Read(p []byte) (int, error) { return o.r.Read(p[:min(1, len(p))]) }

func TestOffsets(t *testing.T) {
	raw := encode(t, 1, everything(1)...)
	d, err := sendstream.NewReader(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	at := int64(17)
	for {
		c, err := d.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if c.Offset != at {
			t.Fatalf("%v: Offset = %d, want %d", c.Op, c.Offset, at)
		}
		if at += int64(c.Length); d.Offset() != at {
			t.Fatalf("Reader.Offset behind %v = %d, want %d", c.Op, d.Offset(), at)
		}
	}
	if at != int64(len(raw)) {
		t.Errorf("the commands end at byte %d, want %d", at, len(raw))
	}
}

func TestTruncatedAnywhere(t *testing.T) {
	raw := encode(t, 2, everything(2)...)
	for n := 0; n < len(raw); n += 1 + n/2000*97 {
		_, err := decode(bytes.NewReader(raw[:n]))
		var at *sendstream.Error
		if !errors.Is(err, io.ErrUnexpectedEOF) || !errors.As(err, &at) || at.Offset > int64(n) {
			t.Fatalf("cut off at byte %d: %v, want io.ErrUnexpectedEOF and its place", n, err)
		}
	}
}

func TestChangedByte(t *testing.T) {
	raw := encode(t, 1, everything(1)...)
	for n := range raw {
		bad := bytes.Clone(raw)
		bad[n] ^= 0x40
		if _, err := decode(bytes.NewReader(bad)); err == nil {
			t.Fatalf("byte %d changed: no error", n)
		}
	}
}

// failing ends with an error of its own.
type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func TestReaderBelowFails(t *testing.T) {
	mine := errors.New("mine")
	raw := encode(t, 1, everything(1)...)
	for _, n := range []int{0, 5, 100, len(raw)} {
		for _, below := range []error{mine, io.ErrUnexpectedEOF} {
			_, err := decode(io.MultiReader(bytes.NewReader(raw[:n]), failing{below}))
			if !errors.Is(err, below) {
				t.Errorf("reader fails with %v at %d of %d bytes: got %v", below, n, len(raw), err)
			}
		}
	}
}

func TestUUID(t *testing.T) {
	u := sendstream.UUID{0x12, 0x34, 15: 0xff}
	const s = "12340000-0000-0000-0000-0000000000ff"
	if u.String() != s {
		t.Errorf("String() = %s, want %s", u, s)
	}
	if got, err := sendstream.ParseUUID(s); err != nil || got != u {
		t.Errorf("ParseUUID(%s) = %v, %v", s, got, err)
	}
	for _, bad := range []string{"", s[1:], strings.Replace(s, "-", "0", 1), strings.Replace(s, "ff", "fg", 1)} {
		if _, err := sendstream.ParseUUID(bad); err == nil {
			t.Errorf("ParseUUID(%q): no error", bad)
		}
	}
}

func TestCheckPath(t *testing.T) {
	for _, good := range []string{"", "a", "a/b", "...", "a/..b", " ", "\xff\n", "o257-7-0"} {
		if err := sendstream.CheckPath(good); err != nil {
			t.Errorf("CheckPath(%q) = %v", good, err)
		}
	}
	for _, bad := range []string{"/", "/a", "a/", "a//b", ".", "..", "a/..", "../a", "a/../b",
		"a/./b", "a\x00b", "./a"} {
		if err := sendstream.CheckPath(bad); !errors.Is(err, sendstream.ErrPath) {
			t.Errorf("CheckPath(%q) = %v, want ErrPath", bad, err)
		}
	}
}
