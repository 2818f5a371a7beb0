package content

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// shown is how many differences an error spells out.
const shown = 20

// MismatchError is how a tree differs from its manifest.
type MismatchError struct {
	Dir         string
	Differences []string // the first of them by path, at most 20, each a sentence that begins with the escaped path
	Total       int
}

func (e *MismatchError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "comparing %s with its content manifest: %d differences", e.Dir, e.Total)
	if e.Total == 1 {
		b.Reset()
		fmt.Fprintf(&b, "comparing %s with its content manifest: 1 difference", e.Dir)
	}
	for _, d := range e.Differences {
		b.WriteString("\n  " + d)
	}
	if more := e.Total - len(e.Differences); more > 0 {
		fmt.Fprintf(&b, "\n  and %d more", more)
	}
	return b.String()
}

// Verify compares the tree below dir with m: every path, and that there is no other. A difference gives a
// *MismatchError; if something cannot be read, that is another error. It never leaves dir, follows no symbolic link
// and reads files on all processors. progress, if not nil, is called from one goroutine at a time with the bytes of
// file content read so far.
//
// Extended attributes of the namespace btrfs. are not compared, and a security.selinux that the manifest does not
// name is the local policy's. A mount or a subvolume inside the tree is a difference and is not entered.
func Verify(ctx context.Context, dir string, m *Manifest, progress func(bytes int64)) error {
	return VerifyRest(ctx, dir, m, nil, progress)
}

// VerifyRest is Verify, but does not read a file again if a reading proves that it has the content that m wants. All
// else is compared as by Verify: every path, all that is not content, and the files without such a proof. progress
// counts the bytes of the files that are not read again, too.
func VerifyRest(ctx context.Context, dir string, m *Manifest, had Readings, progress func(bytes int64)) error {
	root, err := os.OpenFile(dir, unix.O_DIRECTORY|os.O_RDONLY, 0)
	if err != nil {
		return fmt.Errorf("comparing a tree with its content manifest: %w", err)
	}
	defer root.Close()
	g, ctx := errgroup.WithContext(ctx)
	v := &verifier{
		ctx: ctx, m: m, had: had, progress: progress,
		index:   make(map[string]int, len(m.Entries)),
		seen:    make([]bool, len(m.Entries)),
		names:   map[uint64]string{},
		inodes:  map[string]uint64{},
		files:   make(chan openFile, 16),
		hardTop: map[string]bool{},
	}
	for i := range m.Entries {
		v.index[m.Entries[i].Path] = i
		if m.Entries[i].Type == HardLink {
			v.hardTop[m.Entries[i].Target] = true
		}
	}
	for range runtime.GOMAXPROCS(0) {
		g.Go(v.hashAll)
	}
	g.Go(func() error {
		defer close(v.files)
		return v.root(root)
	})
	if err := g.Wait(); err != nil {
		for f := range v.files {
			f.Close()
		}
		return fmt.Errorf("comparing %s with its content manifest: %w", dir, err)
	}
	for i, seen := range v.seen {
		if !seen {
			v.differ(m.Entries[i].Path, "is missing")
		}
	}
	if len(v.diffs) == 0 {
		return nil
	}
	slices.SortFunc(v.diffs, func(a, b difference) int {
		if c := strings.Compare(a.path, b.path); c != 0 {
			return c
		}
		return strings.Compare(a.what, b.what)
	})
	e := &MismatchError{Dir: dir, Total: len(v.diffs)}
	for _, d := range v.diffs[:min(shown, len(v.diffs))] {
		e.Differences = append(e.Differences, escape(d.path)+" "+d.what)
	}
	return e
}

type difference struct{ path, what string }

type openFile struct {
	*os.File
	e *Entry
}

type verifier struct {
	ctx      context.Context
	m        *Manifest
	had      Readings
	index    map[string]int
	seen     []bool
	names    map[uint64]string // inode -> manifest path of its entry, of inodes with several names
	inodes   map[string]uint64 // the other way round
	hardTop  map[string]bool   // entries that hard links name
	dev      uint64
	files    chan openFile
	progress func(int64)

	mu    sync.Mutex
	diffs []difference
	bytes int64
}

func (v *verifier) differ(path, format string, args ...any) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.diffs = append(v.diffs, difference{path, fmt.Sprintf(format, args...)})
}

func (v *verifier) root(root *os.File) error {
	var st unix.Stat_t
	if err := unix.Fstat(int(root.Fd()), &st); err != nil {
		return fmt.Errorf("looking at it: %w", err)
	}
	v.dev = st.Dev
	v.seen[0] = true
	xattrs, err := listXattrs(fmt.Sprintf("/proc/self/fd/%d", root.Fd()), true)
	if err != nil {
		return err
	}
	v.compareMeta(&v.m.Entries[0], &st, xattrs)
	return v.walk(root, ".")
}

// walk compares what the open directory dir, whose path is at, holds.
func (v *verifier) walk(dir *os.File, at string) error {
	for {
		if err := v.ctx.Err(); err != nil {
			return err
		}
		names, err := dir.Readdirnames(1024)
		for _, name := range names {
			path := name
			if at != "." {
				path = at + "/" + name
			}
			if err := v.entry(dir, name, path); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading directory %s: %w", escape(at), err)
		}
	}
}

func (v *verifier) entry(dir *os.File, name, path string) error {
	var st unix.Stat_t
	if err := unix.Fstatat(int(dir.Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return fmt.Errorf("looking at %s: %w", escape(path), err)
	}
	i, ok := v.index[path]
	if !ok {
		v.differ(path, "is %s that should not be there", typeOf(st.Mode).words())
		return nil
	}
	v.seen[i] = true
	e := &v.m.Entries[i]
	if st.Dev != v.dev {
		v.differ(path, "is on another filesystem or subvolume")
		return nil
	}
	top := e
	if e.Type == HardLink {
		top = &v.m.Entries[v.index[e.Target]]
	}
	if have := typeOf(st.Mode); have != top.Type {
		v.differ(path, "is %s, want %s", have.words(), top.Type.words())
		return nil
	}
	if top.Type != Directory && !v.sameInode(top, &st, path) {
		return nil
	}
	if e.Type == HardLink {
		return nil
	}
	return v.compare(dir, name, e, &st)
}

// sameInode says whether the names of an inode are exactly those that the manifest gives it, as far as they were seen.
func (v *verifier) sameInode(top *Entry, st *unix.Stat_t, path string) bool {
	if st.Nlink < 2 {
		if v.hardTop[top.Path] {
			v.differ(path, "has one name only, want %s to be the same file", escape(top.Path))
			return path == top.Path
		}
		return true
	}
	have, known := v.names[st.Ino]
	ino, other := v.inodes[top.Path]
	switch {
	case known && have != top.Path:
		v.differ(path, "is the same file as %s, want a file of its own", escape(have))
		return path == top.Path
	case other && ino != st.Ino:
		v.differ(path, "is not the same file as the other names of %s", escape(top.Path))
		return path == top.Path
	}
	v.names[st.Ino], v.inodes[top.Path] = top.Path, st.Ino
	return true
}

func (v *verifier) compare(dir *os.File, name string, e *Entry, st *unix.Stat_t) error {
	xattrs, err := listXattrs(fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), name), false)
	if err != nil {
		return fmt.Errorf("reading the attributes of %s: %w", escape(e.Path), err)
	}
	v.compareMeta(e, st, xattrs)
	switch e.Type {
	case Directory:
		sub, err := openBelow(dir, name, unix.O_DIRECTORY)
		if err != nil {
			return fmt.Errorf("opening %s: %w", escape(e.Path), err)
		}
		defer sub.Close()
		return v.walk(sub, e.Path)
	case Regular:
		if st.Size != e.Size {
			v.differ(e.Path, "has %d bytes, want %d", st.Size, e.Size)
			return nil
		}
		if v.had.prove(e, st) {
			v.count(e.Size)
			return nil
		}
		f, err := openBelow(dir, name, unix.O_NONBLOCK)
		if err != nil {
			return fmt.Errorf("opening %s: %w", escape(e.Path), err)
		}
		select {
		case v.files <- openFile{f, e}:
		case <-v.ctx.Done():
			f.Close()
			return v.ctx.Err()
		}
	case Symlink:
		target, err := readlinkat(dir, name)
		if err != nil {
			return fmt.Errorf("reading the link %s: %w", escape(e.Path), err)
		}
		if target != e.Target {
			v.differ(e.Path, "points to %s, want %s", escape(target), escape(e.Target))
		}
	case BlockDevice, CharDevice:
		if a, b := unix.Major(st.Rdev), unix.Minor(st.Rdev); a != e.Major || b != e.Minor {
			v.differ(e.Path, "is device %d:%d, want %d:%d", a, b, e.Major, e.Minor)
		}
	}
	return nil
}

func (v *verifier) compareMeta(e *Entry, st *unix.Stat_t, xattrs []Xattr) {
	if have := st.Mode & 0o7777; e.Type != Symlink && have != e.Mode {
		v.differ(e.Path, "has mode %04o, want %04o", have, e.Mode)
	}
	if st.Uid != e.UID || st.Gid != e.GID {
		v.differ(e.Path, "belongs to %d:%d, want %d:%d", st.Uid, st.Gid, e.UID, e.GID)
	}
	if have := (Time{st.Mtim.Sec, int32(st.Mtim.Nsec)}); have != e.Mtime {
		v.differ(e.Path, "was modified at %v, want %v", have, e.Mtime)
	}
	want := map[string][]byte{}
	for _, x := range e.Xattrs {
		want[x.Name] = x.Value
	}
	for _, x := range xattrs {
		value, ok := want[x.Name]
		delete(want, x.Name)
		switch {
		case !ok && x.Name == "security.selinux":
		case !ok:
			v.differ(e.Path, "has an attribute %s that should not be there", escape(x.Name))
		case !bytes.Equal(value, x.Value):
			v.differ(e.Path, "has another value in its attribute %s", escape(x.Name))
		}
	}
	for name := range want {
		v.differ(e.Path, "lacks its attribute %s", escape(name))
	}
}

// hashAll compares the contents of the files that the walk opened.
func (v *verifier) hashAll() error {
	buf := make([]byte, 256<<10)
	for f := range v.files {
		sum, n, err := hashFile(v.ctx, f.File, buf, func(n int) { v.count(int64(n)) })
		f.Close()
		switch {
		case err != nil:
			return fmt.Errorf("reading %s: %w", escape(f.e.Path), err)
		case n != f.e.Size:
			v.differ(f.e.Path, "has %d bytes, want %d", n, f.e.Size)
		case sum != f.e.SHA256:
			v.differ(f.e.Path, "has other content")
		}
	}
	return nil
}

func (v *verifier) count(n int64) {
	if v.progress == nil {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.bytes += n
	v.progress(v.bytes)
}
