package receive_test

import (
	"bytes"
	"compress/zlib"
	"context"
	"crypto/sha256"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"griddle/imagestore/content"
	"griddle/imagestore/receive"
	"griddle/imagestore/receive/readback"
	"griddle/imagestore/sendstream"
)

// soon is how long a file rests in these tests: more than a tick of the kernel's clock.
const soon = 20 * time.Millisecond

// almostAll is a rule by which all files are read that are not beside their inodes.
var almostAll = readback.Rule{Rest: soon, Smallest: 4097}

// stops is a stream that is not there for a while at some of its bytes.
type stops struct {
	r     *bytes.Reader
	at    []int64 // ascending
	pause time.Duration
}

func (s *stops) Read(b []byte) (int, error) {
	here := s.r.Size() - int64(s.r.Len())
	for len(s.at) > 0 && s.at[0] <= here {
		time.Sleep(s.pause)
		s.at = s.at[1:]
	}
	if len(s.at) > 0 {
		b = b[:min(int64(len(b)), s.at[0]-here)]
	}
	return s.r.Read(b)
}

// pausing is a stream that stops for a moment at two random places, for files to be read back.
func pausing(stream []byte, seed uint64) io.Reader {
	r := rand.New(rand.NewPCG(seed, 2))
	var at []int64
	for range 2 {
		at = append(at, r.Int64N(int64(len(stream))))
	}
	slices.Sort(at)
	return &stops{bytes.NewReader(stream), at, 5 * soon}
}

// sameFound compares a tree with a manifest with the help of readings and without.
func sameFound(t *testing.T, what, dir string, m *content.Manifest, had content.Readings) string {
	t.Helper()
	text := func(err error) string {
		if err == nil {
			return ""
		}
		return err.Error()
	}
	want := text(content.Verify(t.Context(), dir, m, nil))
	if got := text(content.VerifyRest(t.Context(), dir, m, had, nil)); got != want {
		t.Errorf("%s with what was read back: %s\nand without: %s", what, got, want)
	}
	return want
}

// damage changes a byte of some files of a tree, and no time that the manifest has.
func damage(t *testing.T, dir string, subvolume bool, seed uint64) {
	t.Helper()
	if subvolume {
		run(t, "btrfs", "property", "set", "-f", dir, "ro", "false")
	}
	r := rand.New(rand.NewPCG(seed, 3))
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() || r.IntN(6) > 0 {
			return err
		}
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil || st.Size == 0 {
			return err
		}
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			return err
		}
		defer f.Close()
		b, at := []byte{0}, r.Int64N(st.Size)
		if _, err := f.ReadAt(b, at); err != nil {
			return err
		}
		b[0]++
		if _, err := f.WriteAt(b, at); err != nil {
			return err
		}
		return unix.UtimesNanoAt(unix.AT_FDCWD, path, []unix.Timespec{st.Atim, st.Mtim}, 0)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// A stream comes back to a file that it was done with, and that was read back since. Comparing finds what it finds
// without that.
func TestReadBackThenChanged(t *testing.T) {
	btrfs := loopMount(t, t.TempDir(), "btrfs", "", 1<<30)
	ext4 := loopMount(t, t.TempDir(), "ext4", "", 1<<30)
	a, b := make([]byte, 100_000), make([]byte, 100_000)
	for i := range a {
		a[i], b[i] = byte(rand.Uint32()), byte(rand.Uint32())
	}
	const other = "other"
	op := func(o sendstream.Op, path string, c sendstream.Command) sendstream.Command {
		c.Op, c.Path = o, path
		return c
	}
	file := func(path string, data []byte) (all []sendstream.Command) {
		all = append(all, op(sendstream.OpMkfile, path, sendstream.Command{}))
		for at := 0; at < len(data); at += 40_000 {
			all = append(all, op(sendstream.OpWrite, path,
				sendstream.Command{FileOffset: uint64(at), Data: data[at:min(at+40_000, len(data))]}))
		}
		return append(all, op(sendstream.OpUtimes, path, sendstream.Command{Mtime: time.Unix(7, 0)}))
	}
	start := slices.Concat([]sendstream.Command{op(sendstream.OpMkdir, "d", sendstream.Command{})}, file("d/a", a),
		file("d/b", b), file("last", b[:5000]))
	for range 600 { // more than the applier takes at a time, so that it has all of the above before it waits
		start = append(start, op(sendstream.OpChmod, "", sendstream.Command{Mode: 0o755}))
	}
	end := []sendstream.Command{op(sendstream.OpUtimes, "d", sendstream.Command{Mtime: time.Unix(7, 0)}),
		op(sendstream.OpUtimes, "", sendstream.Command{Mtime: time.Unix(7, 0)})}
	write := op(sendstream.OpWrite, "d/a", sendstream.Command{FileOffset: 70_000, Data: []byte(other)})
	clone := sendstream.Command{CloneUUID: mine(), CloneCtransid: 5, CloneLen: 8192, FileOffset: 4096}
	cloned := func(to, from string) sendstream.Command {
		c := clone
		c.ClonePath = from
		return op(sendstream.OpClone, to, c)
	}
	var zeros bytes.Buffer
	z := zlib.NewWriter(&zeros)
	if _, err := z.Write(make([]byte, 8192)); err != nil || z.Close() != nil {
		t.Fatal(err)
	}
	for _, way := range []struct {
		name string
		then []sendstream.Command
		want string
	}{
		{"nothing", nil, ""},
		{"a write", []sendstream.Command{write}, "d/a has other content"},
		{"an encoded write", []sendstream.Command{op(sendstream.OpEncodedWrite, "d/a", sendstream.Command{
			Data: zeros.Bytes(), Compression: sendstream.CompressionZlib, UnencodedFileLen: 8192, UnencodedLen: 8192})},
			"d/a has other content"},
		{"a clone", []sendstream.Command{cloned("d/a", "d/b")}, "d/a has other content"},
		{"a clone from it", []sendstream.Command{cloned("last", "d/a")}, "last has 12288 bytes, want 5000"},
		{"a truncation", []sendstream.Command{op(sendstream.OpTruncate, "d/a", sendstream.Command{Size: 9})},
			"d/a has 9 bytes, want 100000"},
		{"a truncation and growth", []sendstream.Command{op(sendstream.OpTruncate, "d/a", sendstream.Command{Size: 9}),
			op(sendstream.OpTruncate, "d/a", sendstream.Command{Size: 100_000})}, "d/a has other content"},
		{"a hole", []sendstream.Command{op(sendstream.OpFallocate, "d/a", sendstream.Command{FallocateMode: 3,
			FileOffset: 8192, Size: 8192})}, "d/a has other content"},
		{"allocation", []sendstream.Command{op(sendstream.OpFallocate, "d/a", sendstream.Command{FallocateMode: 1,
			Size: 200_000})}, "d/a was modified"},
		{"another in its place", []sendstream.Command{op(sendstream.OpRename, "d/b", sendstream.Command{To: "d/a"})},
			"d/a has other content"},
		{"another name, then a write by that", []sendstream.Command{
			op(sendstream.OpLink, "c", sendstream.Command{Link: "d/a"}),
			op(sendstream.OpWrite, "c", sendstream.Command{Data: []byte(other)}),
			op(sendstream.OpUnlink, "c", sendstream.Command{})}, "d/a has other content"},
		{"moved, written and moved back", []sendstream.Command{
			op(sendstream.OpRename, "d", sendstream.Command{To: "e"}),
			op(sendstream.OpWrite, "e/a", sendstream.Command{Data: []byte(other)}),
			op(sendstream.OpRename, "e", sendstream.Command{To: "d"})}, "d/a has other content"},
		{"made again", append([]sendstream.Command{op(sendstream.OpUnlink, "d/a", sendstream.Command{})},
			file("d/a", b)...), "d/a has other content"},
		{"made again with its directory", slices.Concat([]sendstream.Command{
			op(sendstream.OpUnlink, "d/a", sendstream.Command{}), op(sendstream.OpUnlink, "d/b", sendstream.Command{}),
			op(sendstream.OpRmdir, "d", sendstream.Command{}), op(sendstream.OpMkdir, "d", sendstream.Command{})},
			file("d/a", b), file("d/b", a)), "d/b has other content"},
		{"mode and owner", []sendstream.Command{op(sendstream.OpChmod, "d/a", sendstream.Command{Mode: 0o4711}),
			op(sendstream.OpChown, "d/a", sendstream.Command{UID: 7})}, "d/a belongs to 7:0"},
	} {
		for _, fs := range []struct {
			name, top string
			plain     bool
		}{{"btrfs", btrfs, false}, {"a directory on btrfs", btrfs, true}, {"ext4", ext4, false}} {
			t.Run(way.name+" on "+fs.name, func(t *testing.T) {
				top := filepath.Join(fs.top, "top")
				if err := os.Mkdir(top, 0o755); err != nil {
					t.Fatal(err)
				}
				defer func() {
					for _, d := range glob(t, top+"/*") {
						if err := receive.Remove(d); err != nil {
							t.Error(err)
						}
					}
					os.Remove(top)
				}()
				first := ours(t, streamOf(t, slices.Concat(start, end)), top, receive.Options{Name: "first"})
				m, err := content.Walk(t.Context(), first.Path)
				if err != nil {
					t.Fatal(err)
				}
				then := slices.Concat(start, way.then, end)
				for pause := 10 * soon; ; pause *= 2 {
					// The stream stops in the middle of the commands that change nothing.
					stop := int64(len(streamOf(t, start))) - 1000
					res, err := receive.Receive(context.Background(), &stops{bytes.NewReader(streamOf(t, then)),
						[]int64{stop}, pause}, top, receive.Options{Name: "then", ReadBack: almostAll, Plain: fs.plain})
					if err != nil {
						t.Fatal(err)
					}
					sums := map[[32]byte]bool{}
					for _, r := range res.Readings {
						sums[r.SHA256] = true
					}
					if !sums[sha256.Sum256(a)] || !sums[sha256.Sum256(b)] {
						if pause > 10*time.Second {
							t.Fatalf("%d files were read back, not those that were written", len(res.Readings))
						}
						if err := receive.Remove(res.Path); err != nil {
							t.Fatal(err)
						}
						continue
					}
					found := sameFound(t, way.name, res.Path, m, res.Readings)
					if !strings.Contains(found, way.want) || (found == "") != (way.want == "") {
						t.Errorf("it says %q, want %q", found, way.want)
					}
					return
				}
			})
		}
	}
}

// streamOf is write in the version that has all commands.
func streamOf(t testing.TB, commands []sendstream.Command) []byte { return write(t, 2, commands...) }
