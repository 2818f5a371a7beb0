package receive_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A garden makes and changes a tree with one of everything that a file system knows.
type garden struct {
	t    testing.TB
	root string
	r    *rand.Rand
	n    int
	dirs []string // relative paths
	all  []string // of what is no directory
}

func newGarden(t testing.TB, root string, seed uint64) *garden {
	return &garden{t: t, root: root, r: rand.New(rand.NewPCG(seed, 1)), dirs: []string{"."}}
}

func (g *garden) check(err error) {
	g.t.Helper()
	if err != nil {
		g.t.Fatal(err)
	}
}

func (g *garden) path(rel string) string { return filepath.Join(g.root, rel) }

// name invents one below a directory of the tree, now and then an odd one.
func (g *garden) name() string {
	odd := []string{"with space", "new\nline", "\xff\xfe", "...", "-rf", "ü",
		strings.Repeat("l", 240), "*", "o257-7-0x"}
	g.n++
	n := fmt.Sprintf("n%d", g.n)
	if g.r.IntN(5) == 0 {
		n += odd[g.r.IntN(len(odd))]
	}
	return filepath.Join(g.dirs[g.r.IntN(len(g.dirs))], n)
}

func (g *garden) bytes(n int) []byte {
	b := make([]byte, n)
	if g.r.IntN(2) == 0 { // compressible
		return bytes.Repeat([]byte(fmt.Sprintf("line %d of text\n", g.r.IntN(9))), n/8+1)[:n]
	}
	for i := range b {
		b[i] = byte(g.r.Uint32())
	}
	return b
}

// dress gives what is at path owners, permissions, attributes and times.
func (g *garden) dress(rel string) {
	p := g.path(rel)
	var st unix.Stat_t
	g.check(unix.Lstat(p, &st))
	kind := st.Mode & unix.S_IFMT
	g.check(os.Lchown(p, g.r.IntN(3)*100000, g.r.IntN(3)))
	if kind != unix.S_IFLNK {
		modes := []uint32{0o644, 0o755, 0o4755, 0o2755, 0o1777, 0, 0o600}
		g.check(unix.Chmod(p, modes[g.r.IntN(len(modes))]))
	}
	if kind == unix.S_IFREG || kind == unix.S_IFDIR {
		switch g.r.IntN(6) {
		case 0:
			g.check(unix.Lsetxattr(p, "user.note", g.bytes(g.r.IntN(3000)), 0))
		case 1:
			g.check(unix.Lsetxattr(p, "user.empty", nil, 0))
		case 2:
			run(g.t, "setfacl", "-m", "u:1234:rwx,g:7:r", p)
		case 3:
			if kind == unix.S_IFDIR {
				run(g.t, "setfacl", "-d", "-m", "u:77:rwx,o::---", p)
			} else {
				run(g.t, "setcap", "cap_net_raw,cap_chown=ep", p)
			}
		}
	}
	if g.r.IntN(8) == 0 {
		g.check(unix.Lsetxattr(p, "trusted.mark", []byte{0, 1, 2}, 0))
	}
	at := time.Unix(int64(g.r.IntN(2e9)), int64(g.r.IntN(1e9)))
	g.check(unix.UtimesNanoAt(unix.AT_FDCWD, p, []unix.Timespec{
		{Sec: at.Unix() + 5, Nsec: int64(at.Nanosecond())}, {Sec: at.Unix(), Nsec: 999999999 - int64(at.Nanosecond())},
	}, unix.AT_SYMLINK_NOFOLLOW))
}

// grow makes n new things.
func (g *garden) grow(n int) {
	for range n {
		rel := g.name()
		p := g.path(rel)
		switch k := g.r.IntN(20); {
		case k < 4:
			g.check(os.Mkdir(p, 0o755))
			g.dirs = append(g.dirs, rel)
			g.dress(rel)
			continue
		case k < 10:
			g.check(os.WriteFile(p, g.bytes(g.r.IntN(20000)), 0o644))
		case k == 10:
			g.check(os.WriteFile(p, g.bytes(1<<20+g.r.IntN(1<<20)), 0o644))
		case k == 11: // holes at the beginning, within and at the end
			f, err := os.Create(p)
			g.check(err)
			_, err = f.WriteAt(g.bytes(5000), 1<<18)
			g.check(err)
			_, err = f.WriteAt(g.bytes(100), 2<<20)
			g.check(err)
			g.check(f.Truncate(3 << 20))
			g.check(f.Close())
		case k == 12:
			g.check(unix.Mknod(p, unix.S_IFCHR|0o600, int(unix.Mkdev(uint32(g.r.IntN(300)), uint32(g.r.IntN(70000))))))
		case k == 13:
			g.check(unix.Mknod(p, unix.S_IFBLK|0o600, int(unix.Mkdev(8, 1))))
		case k == 14:
			g.check(unix.Mkfifo(p, 0o600))
		case k == 15:
			g.check(unix.Mknod(p, unix.S_IFSOCK|0o600, 0))
		case k == 16:
			g.check(os.Symlink([]string{"/etc/passwd", "../..", "n1", strings.Repeat("x/", 500)}[g.r.IntN(4)], p))
		case k == 17 && len(g.all) > 0:
			g.check(os.Link(g.path(g.pick()), p))
		default: // a clone of a part of another file, with more behind it
			from := g.pickFile(8192)
			if from == "" {
				g.check(os.WriteFile(p, nil, 0o644))
				break
			}
			g.cloneTo(from, p)
		}
		g.all = append(g.all, rel)
		g.dress(rel)
	}
}

func (g *garden) cloneTo(from, p string) {
	in, err := os.Open(g.path(from))
	g.check(err)
	defer in.Close()
	out, err := os.OpenFile(p, os.O_CREATE|os.O_WRONLY, 0o644)
	g.check(err)
	defer out.Close()
	_, err = out.Write(g.bytes(4096))
	g.check(err)
	g.check(unix.IoctlFileCloneRange(int(out.Fd()),
		&unix.FileCloneRange{Src_fd: int64(in.Fd()), Src_length: 8192, Dest_offset: 4096}))
}

func (g *garden) pick() string { return g.all[g.r.IntN(len(g.all))] }

// pickFile gives a regular file of at least that size, or "".
func (g *garden) pickFile(size int64) string {
	for range 50 {
		if len(g.all) == 0 {
			break
		}
		p := g.pick()
		if fi, err := os.Lstat(g.path(p)); err == nil && fi.Mode().IsRegular() && fi.Size() >= size {
			return p
		}
	}
	return ""
}

// change does n things to what is there: it is moved, replaced, removed, shortened, written over, dressed anew.
func (g *garden) change(n int) {
	for range n {
		i := g.r.IntN(len(g.all))
		rel := g.all[i]
		switch g.r.IntN(16) {
		case 0:
			g.check(os.Remove(g.path(rel)))
			g.all = append(g.all[:i], g.all[i+1:]...)
		case 1:
			to := g.name()
			g.check(os.Rename(g.path(rel), g.path(to)))
			g.all[i] = to
		case 2: // two change places
			j := g.r.IntN(len(g.all))
			if i != j {
				g.check(unix.Renameat2(unix.AT_FDCWD, g.path(rel), unix.AT_FDCWD, g.path(g.all[j]),
					unix.RENAME_EXCHANGE))
			}
		case 3:
			if f := g.pickFile(100); f != "" {
				g.check(os.Truncate(g.path(f), int64(g.r.IntN(100))))
				g.dress(f)
			}
		case 4:
			if f := g.pickFile(4096); f != "" {
				h, err := os.OpenFile(g.path(f), os.O_WRONLY, 0)
				g.check(err)
				_, err = h.WriteAt(g.bytes(g.r.IntN(9000)), int64(g.r.IntN(4096)))
				g.check(err)
				g.check(h.Close())
				g.dress(f)
			}
		case 5:
			g.dress(rel)
		case 6:
			unix.Lremovexattr(g.path(rel), "user.note")
		case 7:
			if f := g.pickFile(1 << 20); f != "" {
				h, err := os.OpenFile(g.path(f), os.O_WRONLY, 0)
				g.check(err)
				g.check(unix.Fallocate(int(h.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 8192, 1<<18))
				g.check(h.Close())
			}
		case 8, 9:
			g.moveDirectory()
		case 10:
			g.exchangeDirectories()
		case 11:
			g.replace(i)
		case 12:
			g.cloneInto()
		case 13: // one more name
			to := g.name()
			g.check(os.Link(g.path(rel), g.path(to)))
			g.all = append(g.all, to)
		case 14: // longer, without anything in it
			if f := g.pickFile(1); f != "" {
				g.check(os.Truncate(g.path(f), int64(g.r.IntN(5<<20))))
			}
		case 15: // the owner alone
			g.check(os.Lchown(g.path(rel), g.r.IntN(3), g.r.IntN(3)*100000))
		}
	}
}

// moveDirectory moves a directory with all that is in it, or removes an empty one.
func (g *garden) moveDirectory() {
	if len(g.dirs) < 3 {
		return
	}
	i := 1 + g.r.IntN(len(g.dirs)-1)
	d := g.dirs[i]
	if g.r.IntN(2) == 0 && os.Remove(g.path(d)) == nil {
		g.dirs = append(g.dirs[:i], g.dirs[i+1:]...)
		return
	}
	to := g.name()
	if strings.HasPrefix(to, d+"/") {
		return
	}
	g.check(os.Rename(g.path(d), g.path(to)))
	for _, list := range [][]string{g.dirs, g.all} {
		for j, o := range list {
			if o == d || strings.HasPrefix(o, d+"/") {
				list[j] = to + o[len(d):]
			}
		}
	}
}

// exchangeDirectories has two directories, neither in the other, change places.
func (g *garden) exchangeDirectories() {
	a, b := g.dirs[g.r.IntN(len(g.dirs))], g.dirs[g.r.IntN(len(g.dirs))]
	if a == "." || b == "." || a == b || strings.HasPrefix(a, b+"/") || strings.HasPrefix(b, a+"/") {
		return
	}
	g.check(unix.Renameat2(unix.AT_FDCWD, g.path(a), unix.AT_FDCWD, g.path(b), unix.RENAME_EXCHANGE))
	for _, list := range [][]string{g.dirs, g.all} {
		for j, o := range list {
			if rest, ok := strings.CutPrefix(o, a+"/"); ok {
				list[j] = b + "/" + rest
			} else if rest, ok := strings.CutPrefix(o, b+"/"); ok {
				list[j] = a + "/" + rest
			}
		}
	}
}

// replace puts something of another kind in the place of what is no directory.
func (g *garden) replace(i int) {
	rel := g.all[i]
	g.check(os.Remove(g.path(rel)))
	if g.r.IntN(2) == 0 {
		g.check(os.Mkdir(g.path(rel), 0o755))
		g.all = append(g.all[:i], g.all[i+1:]...)
		g.dirs = append(g.dirs, rel)
	} else {
		g.check(os.Symlink("elsewhere", g.path(rel)))
	}
	g.dress(rel)
}

// cloneInto shares a piece of one file with another that is there.
func (g *garden) cloneInto() {
	from, to := g.pickFile(8192), g.pickFile(1)
	if from == "" || to == "" || from == to {
		return
	}
	in, err := os.Open(g.path(from))
	g.check(err)
	defer in.Close()
	out, err := os.OpenFile(g.path(to), os.O_WRONLY, 0)
	g.check(err)
	defer out.Close()
	var a, b unix.Stat_t
	g.check(unix.Fstat(int(in.Fd()), &a))
	g.check(unix.Fstat(int(out.Fd()), &b))
	if a.Ino == b.Ino {
		return
	}
	g.check(unix.IoctlFileCloneRange(int(out.Fd()), &unix.FileCloneRange{Src_fd: int64(in.Fd()), Src_offset: 4096,
		Src_length: 4096, Dest_offset: uint64(g.r.IntN(4)) * 4096}))
}
