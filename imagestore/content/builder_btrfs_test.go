package content

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"griddle/imagestore/source/sourcetest"

	"golang.org/x/sys/unix"
)

// TestBuilderAgainstReceive sends random trees and random changes to them, has btrfs receive make them again, and
// walks the result with code that shares nothing with the Builder.
func TestBuilderAgainstReceive(t *testing.T) {
	mnt := sourcetest.Btrfs(t)
	work := filepath.Join(mnt, "work")
	for seed := range uint64(4) {
		sourcetest.Run(t, "btrfs", "-q", "subvolume", "create", work)
		g := &gardener{T: t, Rand: rand.New(rand.NewPCG(seed, 1)), root: work}
		var parentManifest *Manifest
		parent := ""
		for step := range 4 {
			g.grow(60)
			name := fmt.Sprintf("s%d-%d", seed, step)
			snap := filepath.Join(mnt, name)
			sourcetest.Run(t, "btrfs", "-q", "subvolume", "snapshot", "-r", work, snap)
			args := []string{"send", "-q", snap}
			if step%2 == 1 {
				args = []string{"send", "-q", "--proto", "2", "--compressed-data", snap}
			}
			if parent != "" {
				args = slices.Insert(args, 1, "-p", parent)
			}
			stream, err := exec.Command("btrfs", args...).Output()
			if err != nil {
				t.Fatalf("btrfs %v: %v", args, err)
			}
			b := NewBuilder(parentManifest, snap)
			if err := b.Read(bytes.NewReader(stream)); err != nil {
				t.Fatalf("seed %d step %d: %v", seed, step, err)
			}
			m, err := b.Finish(context.Background())
			if err != nil {
				t.Fatalf("seed %d step %d: %v", seed, step, err)
			}
			in := filepath.Join(mnt, "received")
			os.MkdirAll(in, 0o755)
			cmd := exec.Command("btrfs", "receive", "-q", in)
			cmd.Stdin = bytes.NewReader(stream)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("seed %d step %d: btrfs receive: %v\n%s", seed, step, err, out)
			}
			got := filepath.Join(in, name)
			compareText(t, fmt.Sprintf("seed %d step %d", seed, step), m, walkText(t, got))
			if err := Verify(context.Background(), got, m, nil); err != nil {
				t.Errorf("seed %d step %d: %v", seed, step, err)
			}
			parentManifest, parent = m, snap
		}
		if t.Failed() {
			return
		}
		sourcetest.Run(t, "btrfs", "-q", "subvolume", "delete", work)
	}
}

func compareText(t *testing.T, what string, m *Manifest, want string) {
	t.Helper()
	var b bytes.Buffer
	m.WriteTo(&b)
	if b.String() == want {
		if _, err := Parse(&b); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		return
	}
	g, w := strings.Split(b.String(), "\n"), strings.Split(want, "\n")
	for i := range min(len(g), len(w)) {
		if g[i] != w[i] {
			t.Errorf("%s: line %d of the manifest is\n%s\nwant\n%s", what, i+1, g[i], w[i])
			return
		}
	}
	t.Errorf("%s: the manifest has %d lines, want %d", what, len(g), len(w))
}

// walkText writes down a tree in the format of a manifest by the rules of the package comment.
func walkText(t *testing.T, dir string) string {
	t.Helper()
	quote := func(s string) string {
		var b strings.Builder
		for _, c := range []byte(s) {
			if c > ' ' && c < 0x7f && !strings.ContainsRune(`\=`, rune(c)) {
				b.WriteByte(c)
			} else {
				fmt.Fprintf(&b, `\x%02x`, c)
			}
		}
		return b.String()
	}
	var paths []string
	err := filepath.WalkDir(dir, func(p string, _ fs.DirEntry, err error) error {
		rel, _ := filepath.Rel(dir, p)
		paths = append(paths, rel)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(paths[1:])
	out := "griddle-content 1\n"
	first := map[uint64]string{}
	for _, rel := range paths {
		p := filepath.Join(dir, rel)
		fi, err := os.Lstat(p)
		if err != nil {
			t.Fatal(err)
		}
		st := fi.Sys().(*syscall.Stat_t)
		if to, ok := first[st.Ino]; ok {
			out += "h " + quote(rel) + " to=" + quote(to) + "\n"
			continue
		}
		if !fi.IsDir() {
			first[st.Ino] = rel
		}
		kind, more := "", ""
		switch st.Mode & syscall.S_IFMT {
		case syscall.S_IFDIR:
			kind = "d"
		case syscall.S_IFREG:
			data, err := os.ReadFile(p)
			if err != nil {
				t.Fatal(err)
			}
			sum := sha256.Sum256(data)
			kind, more = "f", fmt.Sprintf(" size=%d sha256=%s", len(data), hex.EncodeToString(sum[:]))
		case syscall.S_IFLNK:
			to, err := os.Readlink(p)
			if err != nil {
				t.Fatal(err)
			}
			kind, more = "l", " to="+quote(to)
		case syscall.S_IFCHR:
			kind, more = "c", fmt.Sprintf(" dev=%d:%d", st.Rdev>>8, st.Rdev&255)
		case syscall.S_IFBLK:
			kind, more = "b", fmt.Sprintf(" dev=%d:%d", st.Rdev>>8, st.Rdev&255)
		case syscall.S_IFIFO:
			kind = "p"
		case syscall.S_IFSOCK:
			kind = "s"
		}
		names := make([]byte, 4096)
		n, err := unix.Llistxattr(p, names)
		if err != nil {
			t.Fatal(err)
		}
		list := strings.Split(string(names[:n]), "\x00")
		slices.Sort(list)
		for _, name := range list {
			if name == "" || strings.HasPrefix(name, "btrfs.") {
				continue
			}
			value := make([]byte, 1<<16)
			k, err := unix.Lgetxattr(p, name, value)
			if err != nil {
				t.Fatal(err)
			}
			more += " x:" + quote(name) + "=" + base64.StdEncoding.EncodeToString(value[:k])
		}
		out += fmt.Sprintf("%s %s %04o %d %d %d.%09d%s\n", kind, quote(rel), st.Mode&0o7777, st.Uid, st.Gid,
			st.Mtim.Sec, st.Mtim.Nsec, more)
	}
	return out
}

// gardener changes a tree at random, in every way that a send stream can tell.
type gardener struct {
	*testing.T
	*rand.Rand
	root string
	next int
}

func (g *gardener) must(err error) {
	g.Helper()
	if err != nil {
		g.Fatal(err)
	}
}

// pick gives a random path of the kind that keep wants, "" where there is none.
func (g *gardener) pick(keep func(fs.DirEntry) bool) string {
	var all []string
	g.must(filepath.WalkDir(g.root, func(p string, d fs.DirEntry, err error) error {
		if err == nil && p != g.root && keep(d) {
			all = append(all, p)
		}
		return err
	}))
	if len(all) == 0 {
		return ""
	}
	return all[g.IntN(len(all))]
}

func isFile(d fs.DirEntry) bool { return d.Type().IsRegular() }
func isDir(d fs.DirEntry) bool  { return d.IsDir() }
func notDir(d fs.DirEntry) bool { return !d.IsDir() }
func isAny(fs.DirEntry) bool    { return true }

func (g *gardener) fresh() string {
	dir := g.pick(isDir)
	if dir == "" || g.IntN(4) == 0 {
		dir = g.root
	}
	g.next++
	return filepath.Join(dir,
		fmt.Sprintf([]string{"f%d", "name with space %d", "ümläut%d", "=%d\\", "-%d"}[g.IntN(5)], g.next))
}

func (g *gardener) bytes(n int) []byte {
	b := make([]byte, n)
	for i := 0; i < n; i += 1 + g.IntN(64) {
		b[i] = byte(g.Uint32())
	}
	return b
}

func (g *gardener) grow(steps int) {
	for range steps {
		g.step()
	}
}

func (g *gardener) step() {
	file := func(p string, do func(f *os.File)) {
		if p == "" {
			return
		}
		f, err := os.OpenFile(p, os.O_RDWR|os.O_CREATE, 0o644)
		g.must(err)
		do(f)
		g.must(f.Close())
	}
	size := []int{0, 1, 100, 4096, 5000, 48 << 10, 130_000, 300_000}[g.IntN(8)]
	switch g.IntN(22) {
	case 0, 1, 2, 3:
		g.must(os.WriteFile(g.fresh(), g.bytes(size), 0o600))
	case 4, 5:
		g.must(os.Mkdir(g.fresh(), 0o750))
	case 6: // holes at the start, in the middle, at the end
		file(g.fresh(), func(f *os.File) {
			for range g.IntN(3) {
				f.WriteAt(g.bytes(size), int64(g.IntN(1<<20)))
			}
			f.Truncate(int64(g.IntN(2 << 20)))
		})
	case 7:
		file(g.pick(isFile), func(f *os.File) { f.WriteAt(g.bytes(size), int64(g.IntN(100_000))) })
	case 8:
		file(g.pick(isFile), func(f *os.File) { f.Truncate(int64(g.IntN(100_000))) })
	case 9:
		file(g.pick(isFile), func(f *os.File) { f.Seek(0, 2); f.Write(g.bytes(size)) })
	case 10:
		file(g.pick(isFile), func(f *os.File) {
			unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, int64(g.IntN(50_000)),
				int64(1+g.IntN(100_000)))
		})
	case 11: // share extents, within a file and between files
		if from := g.pick(isFile); from != "" {
			to := g.fresh()
			if other := g.pick(isFile); g.IntN(2) == 0 {
				to = other
			}
			src, err := os.Open(from)
			g.must(err)
			defer src.Close()
			file(to, func(f *os.File) {
				fi, _ := src.Stat()
				if n := uint64(fi.Size()) &^ 4095; n > 0 {
					unix.IoctlFileCloneRange(int(f.Fd()), &unix.FileCloneRange{Src_fd: int64(src.Fd()), Src_length: n,
						Dest_offset: uint64(g.IntN(4)) * 4096})
				}
			})
		}
	case 12:
		g.must(os.Symlink([]string{"/etc/passwd", "../x", "dangling to\nnowhere"}[g.IntN(3)], g.fresh()))
	case 13:
		if p := g.pick(notDir); p != "" {
			g.must(os.Link(p, g.fresh()))
		}
	case 14:
		kind := []uint32{unix.S_IFIFO, unix.S_IFSOCK, unix.S_IFCHR, unix.S_IFBLK}[g.IntN(4)]
		g.must(unix.Mknod(g.fresh(), kind|0o640, int(unix.Mkdev(uint32(g.IntN(200)), uint32(g.IntN(200))))))
	case 15:
		if p := g.pick(isAny); p != "" {
			to := g.fresh()
			if g.IntN(4) == 0 && filepath.Dir(p) != g.root {
				to = filepath.Join(g.root, filepath.Base(to))
			}
			if err := os.Rename(p, to); err != nil && !errors.Is(err, syscall.EINVAL) {
				g.must(err)
			}
		}
	case 16:
		if p := g.pick(notDir); p != "" && g.IntN(2) == 0 {
			g.must(os.Remove(p))
		} else if p := g.pick(isDir); p != "" && g.IntN(3) == 0 {
			g.must(os.RemoveAll(p))
		}
	case 17:
		if p := g.pick(isAny); p != "" {
			g.must(os.Lchown(p, g.IntN(3)*1000, g.IntN(3)*1000))
			if fi, _ := os.Lstat(p); fi.Mode()&fs.ModeSymlink == 0 {
				g.must(unix.Chmod(p, g.Uint32()&0o7777))
			}
		}
	case 18:
		if p := g.pick(isAny); p != "" {
			ts := []unix.Timespec{{Sec: 1, Nsec: 1}, {Sec: int64(g.IntN(2e9)) - 1000, Nsec: int64(g.IntN(1e9))}}
			g.must(unix.UtimesNanoAt(unix.AT_FDCWD, p, ts, unix.AT_SYMLINK_NOFOLLOW))
		}
	case 19:
		if p := g.pick(func(d fs.DirEntry) bool { return isDir(d) || isFile(d) }); p != "" {
			name := fmt.Sprintf("user.a%d", g.IntN(4))
			if g.IntN(3) == 0 {
				unix.Lremovexattr(p, name)
			} else {
				g.must(unix.Lsetxattr(p, name, g.bytes(g.IntN(200)), 0))
			}
		}
	case 20: // cap_net_raw+ep, as setcap writes it
		if p := g.pick(isFile); p != "" {
			g.must(unix.Lsetxattr(p, "security.capability",
				[]byte{1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, 0))
		}
	case 21: // u::rw- u:1000:r-- g::r-- m::r-- o::---, as setfacl writes it
		acl := []byte{2, 0, 0, 0, 1, 0, 6, 0, 255, 255, 255, 255, 2, 0, 4, 0, 0xe8, 3, 0, 0, 4, 0, 4,
			0, 255, 255, 255, 255,
			16, 0, 4, 0, 255, 255, 255, 255, 32, 0, 0, 0, 255, 255, 255, 255}
		if p := g.pick(func(d fs.DirEntry) bool { return isDir(d) || isFile(d) }); p != "" {
			g.must(unix.Lsetxattr(p, "system.posix_acl_access", acl, 0))
		}
		if p := g.pick(isDir); p != "" {
			g.must(unix.Lsetxattr(p, "system.posix_acl_default", acl, 0))
		}
	}
}
