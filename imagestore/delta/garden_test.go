package delta_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// A garden makes and changes a tree with one of everything that a filesystem knows. It looks for what is there each
// time, so that any change may follow any other.
type garden struct {
	testing.TB
	*rand.Rand
	root string
	n    int
	kept [][]byte // contents that were used before
}

func newGarden(t testing.TB, root string, seed uint64) *garden {
	return &garden{TB: t, Rand: rand.New(rand.NewPCG(seed, 1)), root: root}
}

func (g *garden) must(err error) {
	g.Helper()
	if err != nil {
		g.Fatal(err)
	}
}

// found gives all paths, absolute, for which keep says so.
func (g *garden) found(keep func(mode uint32) bool) (all []string) {
	g.must(filepath.WalkDir(g.root, func(p string, _ os.DirEntry, err error) error {
		var st unix.Stat_t
		if err == nil {
			err = unix.Lstat(p, &st)
		}
		if err == nil && p != g.root && keep(st.Mode&unix.S_IFMT) {
			all = append(all, p)
		}
		return err
	}))
	return all
}

func files(mode uint32) bool       { return mode == unix.S_IFREG }
func directories(mode uint32) bool { return mode == unix.S_IFDIR }
func leaves(mode uint32) bool      { return mode != unix.S_IFDIR }
func anything(uint32) bool         { return true }

// pick gives one of them, or "".
func (g *garden) pick(keep func(uint32) bool) string {
	all := g.found(keep)
	if len(all) == 0 {
		return ""
	}
	return all[g.IntN(len(all))]
}

// fresh invents a name, now and then an odd one.
func (g *garden) fresh() string {
	dirs := append(g.found(directories), g.root)
	odd := []string{" with space", "\nline", "\xff\xfe", "-b", "=\\x", "ü", strings.Repeat("l", 247),
		"*", ".so.1.2", "!"}
	g.n++
	name := fmt.Sprintf("n%d", g.n)
	if g.IntN(3) == 0 {
		name += odd[g.IntN(len(odd))]
	}
	return filepath.Join(dirs[g.IntN(len(dirs))], name)
}

func (g *garden) bytes(n int) []byte {
	if len(g.kept) > 0 && g.IntN(4) == 0 {
		return g.kept[g.IntN(len(g.kept))]
	}
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(g.Uint32())
		if g.IntN(3) == 0 {
			b[i] = 0
		}
	}
	g.kept = append(g.kept, b)
	return b
}

func (g *garden) size() int {
	sizes := []int{0, 1, 100, 511, 512, 2000, 4095, 4096, 4097, 20000, 57344, 57345, 200000, 1<<20 + 5}
	return sizes[g.IntN(len(sizes))]
}

// dress gives what is at p owners, permissions, attributes and times.
func (g *garden) dress(p string) {
	var st unix.Stat_t
	g.must(unix.Lstat(p, &st))
	kind := st.Mode & unix.S_IFMT
	if g.IntN(2) == 0 {
		g.must(os.Lchown(p, g.IntN(3)*100000, g.IntN(3)))
	}
	if kind != unix.S_IFLNK && g.IntN(2) == 0 {
		modes := []uint32{0o644, 0o755, 0o4755, 0o2755, 0o1777, 0, 0o600, 0o6711}
		g.must(unix.Chmod(p, modes[g.IntN(len(modes))]))
	}
	if kind == unix.S_IFREG || kind == unix.S_IFDIR {
		g.attribute(p, kind)
	}
	if g.IntN(8) == 0 {
		g.must(unix.Lsetxattr(p, "trusted.mark", []byte{0, 1, 2}, 0))
	}
	if g.IntN(2) == 0 {
		at := []unix.Timespec{{Sec: 5, Nsec: 6}, {Sec: int64(g.IntN(2e9)) - 1e8, Nsec: int64(g.IntN(1e9))}}
		g.must(unix.UtimesNanoAt(unix.AT_FDCWD, p, at, unix.AT_SYMLINK_NOFOLLOW))
	}
}

func (g *garden) attribute(p string, kind uint32) {
	// u::rw- u:1000:rN- g::r-- m::r-- o::---, as setfacl writes it
	acl := []byte{2, 0, 0, 0, 1, 0, 6, 0, 255, 255, 255, 255, 2, 0, byte(4 + g.IntN(4)), 0, 0xe8, 3, 0, 0, 4, 0, 4,
		0, 255, 255, 255, 255,
		16, 0, 4, 0, 255, 255, 255, 255, 32, 0, 0, 0, 255, 255, 255, 255}
	// cap_net_raw or another, as setcap writes it
	caps := []byte{1, 0, 0, 2, byte(g.IntN(2)), 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}
	switch g.IntN(12) {
	case 0:
		g.must(unix.Lsetxattr(p, "user.note", bytes.Repeat([]byte{byte(g.IntN(9))}, g.IntN(3000)), 0))
	case 1:
		g.must(unix.Lsetxattr(p, "user.empty", nil, 0))
	case 2:
		g.must(unix.Lsetxattr(p, "system.posix_acl_access", acl, 0))
	case 3, 4:
		if kind == unix.S_IFDIR {
			g.must(unix.Lsetxattr(p, "system.posix_acl_default", acl, 0))
		} else {
			g.must(unix.Lsetxattr(p, "security.capability", caps, 0))
		}
	case 5, 6:
		for _, name := range []string{"user.note", "security.capability", "system.posix_acl_access",
			"system.posix_acl_default"} {
			if err := unix.Lremovexattr(p, name); err != nil && err != unix.ENODATA && err != unix.EOPNOTSUPP {
				g.must(err)
			}
		}
	}
}

// grow makes n new things.
func (g *garden) grow(n int) {
	for range n {
		p := g.fresh()
		switch k := g.IntN(20); {
		case k < 4:
			g.must(os.Mkdir(p, 0o755))
		case k < 11:
			g.must(os.WriteFile(p, g.bytes(g.size()), 0o644))
		case k == 11: // holes at the beginning, within and at the end
			f, err := os.Create(p)
			g.must(err)
			_, err = f.WriteAt(g.bytes(5000), 1<<18)
			g.must(err)
			_, err = f.WriteAt(g.bytes(100), 2<<20)
			g.must(err)
			g.must(f.Truncate(int64(3<<20 + g.IntN(5000))))
			g.must(f.Close())
		case k == 12:
			g.must(unix.Mknod(p, unix.S_IFCHR|0o600, int(unix.Mkdev(uint32(g.IntN(300)), uint32(g.IntN(70000))))))
		case k == 13:
			g.must(unix.Mknod(p, unix.S_IFBLK|0o600, int(unix.Mkdev(8, 1))))
		case k == 14:
			g.must(unix.Mkfifo(p, 0o600))
		case k == 15:
			g.must(unix.Mknod(p, unix.S_IFSOCK|0o600, 0))
		case k == 16:
			g.must(os.Symlink([]string{"/etc/passwd", "../..", "n1", strings.Repeat("x/", 500)}[g.IntN(4)], p))
		default:
			if from := g.pick(leaves); from != "" {
				g.must(os.Link(from, p))
			}
			continue
		}
		g.dress(p)
	}
}

// change does n things to what is there.
func (g *garden) change(n int) {
	for range n {
		g.changeOne()
	}
}

func (g *garden) changeOne() {
	open := func(do func(f *os.File, size int64)) {
		p := g.pick(files)
		if p == "" {
			return
		}
		f, err := os.OpenFile(p, os.O_RDWR, 0)
		g.must(err)
		fi, err := f.Stat()
		g.must(err)
		do(f, fi.Size())
		g.must(f.Close())
	}
	switch p := g.pick(leaves); g.IntN(15) {
	case 0: // rewritten with equal content, as a package upgrade does
		if p = g.pick(files); p != "" {
			b, err := os.ReadFile(p)
			g.must(err)
			g.must(os.Remove(p))
			g.must(os.WriteFile(p, b, 0o644))
			g.dress(p)
		}
	case 1:
		g.must(os.Rename(g.pick(anything), g.root+"/moved"+fmt.Sprint(g.Uint32())))
	case 2: // two change places, whatever they are
		q := g.pick(anything)
		if p != q && !strings.HasPrefix(p, q+"/") {
			g.must(unix.Renameat2(unix.AT_FDCWD, p, unix.AT_FDCWD, q, unix.RENAME_EXCHANGE))
		}
	case 3:
		open(func(f *os.File, size int64) { g.must(f.Truncate(int64(g.IntN(int(size) + 10000)))) })
	case 4:
		open(func(f *os.File, size int64) {
			_, err := f.WriteAt(g.bytes(g.IntN(9000)), int64(g.IntN(int(size)+10000)))
			g.must(err)
		})
	case 5:
		open(func(f *os.File, size int64) {
			g.must(unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE,
				int64(g.IntN(int(size)+1)), int64(1+g.IntN(1<<18))))
		})
	case 6, 7:
		g.dress(g.pick(anything))
	case 8: // something of another kind
		g.must(os.Remove(p))
		switch g.IntN(3) {
		case 0:
			g.must(os.Mkdir(p, 0o755))
			g.must(os.WriteFile(p+"/in", g.bytes(g.size()), 0o644))
		case 1:
			g.must(os.Symlink("elsewhere", p))
		case 2:
			g.must(os.WriteFile(p, g.bytes(g.size()), 0o644))
		}
	case 9:
		g.must(os.RemoveAll(g.pick(directories)))
		g.must(os.MkdirAll(fmt.Sprint(g.root, "/again", g.Uint32(), "/and"), 0o755))
	case 10: // a hard link is broken, and made elsewhere
		if q := g.pick(leaves); p != q {
			g.must(os.Remove(p))
			g.must(os.Link(q, p))
		}
	case 11: // a copy
		if p = g.pick(files); p != "" {
			b, err := os.ReadFile(p)
			g.must(err)
			g.must(os.WriteFile(g.fresh(), b, 0o644))
		}
	case 12:
		g.must(os.Remove(p))
	case 13: // a directory in the place of a file and the other way round
		if d := g.pick(directories); d != "" && !strings.HasPrefix(p, d+"/") {
			g.must(os.RemoveAll(d))
			g.must(os.Rename(p, d))
		}
	case 14:
		g.dress(g.root)
	}
}
