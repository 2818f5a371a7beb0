package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"unsafe"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"griddle/imagestore"
	"griddle/imagestore/content"
	"griddle/imagestore/receive"
)

// Received is the result of `griddle image receive -o json`.
type Received struct {
	Ref       string `json:"ref"`       // in full
	Path      string `json:"path"`      // absolute, of the tree
	Subvolume bool   `json:"subvolume"` // a read-only btrfs subvolume, not an ordinary directory
	Raw       int64  `json:"raw"`       // bytes of the streams that were applied
	Wire      int64  `json:"wire"`      // bytes that were fetched for them
}

func imageReceiveCommand(e *env) *cobra.Command {
	var store storeFlags
	var out outputFlag
	var name string
	var plain bool
	c := &cobra.Command{
		Use:   "receive IMAGE DIR",
		Short: "Make an image's tree below a directory",
		Long: "Make an image's tree below DIR, and print its path. On btrfs it becomes a read-only subvolume, on any other\n" +
			"filesystem a directory. It gets its name only when the whole tree was compared with the image's signed content.",
		Example: "  griddle image receive web:latest /srv/images",
		Args:    cobra.ExactArgs(2),
	}
	store.add(c)
	out.add(c)
	c.Flags().StringVar(&name, "name", "", "`NAME` of the tree in DIR (default: the image's, such as web@20261120.1@amd64)")
	c.Flags().BoolVar(&plain, "plain", false, "make an ordinary directory on btrfs, too")
	c.RunE = func(c *cobra.Command, args []string) error {
		ref, err := parseRef(args[0])
		if err != nil {
			return err
		}
		if name != "" && (name != filepath.Base(name) || name == "." || name == "..") {
			return usagef("%q cannot be the name of the tree", name)
		}
		st, err := openStore(e, store, false)
		if err != nil {
			return err
		}
		dir, err := filepath.Abs(args[1])
		if err != nil {
			return err
		}
		t := taker{st: st, dir: dir, name: name, plain: plain}
		if !out.json() {
			t.bar = func(what string) *progress { return newProgress(e.stderr, what) }
		}
		r, err := t.take(c.Context(), ref)
		if err != nil {
			return err
		}
		if out.json() {
			return writeJSON(e.stdout, r)
		}
		_, err = fmt.Fprintln(e.stdout, r.Path)
		return err
	}
	return c
}

// taker receives an image into a directory.
type taker struct {
	st        *imagestore.Store
	dir, name string
	plain     bool
	bar       func(what string) *progress
}

// unverified begins the names of trees that are not known to be right yet.
const unverified = ".griddle-unverified-"

func (t taker) take(ctx context.Context, ref imagestore.Ref) (r Received, err error) {
	plan, err := t.st.Plan(ctx, ref)
	if err != nil {
		return r, err
	}
	if ref, err = imagestore.ParseRef(plan.Ref); err != nil {
		return r, err
	}
	if t.name == "" {
		t.name = ref.FileName()
	}
	fail := func(err error) (Received, error) { return Received{}, fmt.Errorf("receiving %s: %w", plan.Ref, err) }
	final := filepath.Join(t.dir, t.name)
	if _, err := os.Lstat(final); err == nil {
		return fail(fmt.Errorf("%s is there already", final))
	}
	dir, err := os.Open(t.dir)
	if err != nil {
		return fail(err)
	}
	defer dir.Close()
	if err := t.clean(); err != nil {
		return fail(err)
	}
	var wire atomic.Int64
	opened, err := t.st.Open(ctx, plan, imagestore.OpenOptions{Wire: func(n int64) { wire.Add(n) }})
	if err != nil {
		return fail(err)
	}
	manifest, err := opened.Content(ctx)
	if err != nil {
		return fail(err)
	}
	var made []string
	defer func() {
		for _, p := range made {
			err = errors.Join(err, removeTree(p))
		}
	}()
	var parents []receive.Parent
	total := int64(0)
	for _, s := range opened.Streams() {
		total += s.Raw
	}
	bar := t.progress("receiving")
	for i, s := range opened.Streams() {
		o := receive.Options{Name: unverified + t.name + "-" + rand.Text(), Parents: parents, Plain: t.plain,
			Progress: func(raw int64) { bar(r.Raw+raw, total) }}
		path, raw, err := t.apply(ctx, opened, i, s, o)
		if err != nil {
			bar(-1, 0)
			return fail(err)
		}
		made = append(made, path)
		// Where a process is just being started, a descriptor of the receiver's lives on in it until it runs its program.
		held, err := hold(path, 0)
		if err != nil {
			return fail(fmt.Errorf("locking %s: %w", path, err))
		}
		defer held.Close()
		parents = []receive.Parent{{UUID: s.UUID, Ctransid: s.Ctransid, Dir: path}}
		r.Raw += raw
	}
	bar(-1, 0)
	last := made[len(made)-1]
	bar = t.progress("verifying")
	err = content.Verify(ctx, last, manifest, func(n int64) { bar(n, manifest.Size()) })
	bar(-1, 0)
	if err != nil {
		return fail(err)
	}
	if err := unix.Renameat2(unix.AT_FDCWD, last, unix.AT_FDCWD, final, unix.RENAME_NOREPLACE); err != nil {
		return fail(fmt.Errorf("naming the tree %s: %w", final, err))
	}
	made = made[:len(made)-1]
	if err := dir.Sync(); err != nil {
		return fail(err)
	}
	r.Ref, r.Path, r.Subvolume, r.Wire = plan.Ref, final, isSubvolume(final), wire.Load()
	return r, nil
}

// progress gives a function that shows how far it is, and ends with a negative number.
func (t taker) progress(what string) func(done, total int64) {
	if t.bar == nil {
		return func(int64, int64) {}
	}
	p := t.bar(what)
	return func(done, total int64) {
		if done < 0 {
			p.end()
			return
		}
		p.update(done, total)
	}
}

// apply receives one stream and checks that it made what it should.
func (t taker) apply(ctx context.Context, opened *imagestore.Opened, i int, s imagestore.StreamInfo, o receive.Options) (string, int64, error) {
	in, err := opened.OpenStream(ctx, i)
	if err != nil {
		return "", 0, err
	}
	defer in.Close()
	got, err := receive.Receive(ctx, in, t.dir, o)
	if err != nil {
		return "", 0, err
	}
	if got.UUID != s.UUID || got.Ctransid != s.Ctransid {
		return "", 0, errors.Join(fmt.Errorf("the stream makes %v, not %v", got.UUID, s.UUID), removeTree(got.Path))
	}
	return got.Path, got.Raw, nil
}

// clean removes what commands that were killed left in the directory. Whoever is at work on a tree holds its flock.
func (t taker) clean() error {
	errs := []error{receive.RemoveLeftovers(t.dir)}
	entries, err := os.ReadDir(t.dir)
	errs = append(errs, err)
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), unverified) {
			continue
		}
		path := filepath.Join(t.dir, e.Name())
		if held, err := hold(path, unix.LOCK_NB); err == nil {
			errs = append(errs, removeTree(path))
			held.Close()
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("removing what was left in %s: %w", t.dir, err)
	}
	return nil
}

// hold takes the flock of a tree, until the file is closed. With LOCK_NB it fails at once where somebody has it.
func hold(path string, flags int) (*os.File, error) {
	f, err := os.OpenFile(path, unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	for err = unix.EINTR; err == unix.EINTR; {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|flags)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// isSubvolume says whether path is the root of a btrfs subvolume: inode 256 (BTRFS_FIRST_FREE_OBJECTID).
func isSubvolume(path string) bool {
	var fs unix.Statfs_t
	var st unix.Stat_t
	return unix.Statfs(path, &fs) == nil && fs.Type == unix.BTRFS_SUPER_MAGIC && unix.Lstat(path, &st) == nil && st.Ino == 256
}

// removeTree removes a received tree. A subvolume goes at once, as BTRFS_IOC_SNAP_DESTROY
// (include/uapi/linux/btrfs.h) takes its name, read-only or not.
func removeTree(path string) error {
	if !isSubvolume(path) {
		return os.RemoveAll(path)
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer dir.Close()
	var args struct {
		fd   int64
		name [4088]byte
	}
	copy(args.name[:len(args.name)-1], filepath.Base(path))
	const snapDestroy = 0x5000940f
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, dir.Fd(), snapDestroy, uintptr(unsafe.Pointer(&args))); errno != 0 {
		return fmt.Errorf("removing subvolume %s: %w", path, errno)
	}
	return nil
}
