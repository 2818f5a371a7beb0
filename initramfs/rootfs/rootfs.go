// Package rootfs fills a filesystem with the tree of an image, so that it is a root by itself: an ext4 or an xfs in a
// partition of its own.
//
// Mount the filesystem, and call Receive with the path of its top. Mount it again, so that nothing of it is in memory,
// and compare it with the manifest of the image by content.Verify.
//
//	.griddle-image/N    the tree that stream N makes; it moves to the top when the last one is whole
//
// What is in the filesystem before is deleted: nothing else can have its names. After an error or a power cut the
// filesystem has a part of the tree, and another Receive begins again. It is durable on return of Receive.
//
// Owners, modes, times, extended attributes with ACLs and capabilities, hard links and holes are those of the image.
// What the image shares by reflinks is copied, where the filesystem cannot share: an ext4. So is the tree that a delta
// starts from, as long as it is received. The properties of btrfs (attributes btrfs.*) have no meaning here.
package rootfs

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"griddle/imagestore/receive"
	"griddle/initramfs/pool/intake"
	"griddle/initramfs/subvolume"

	"golang.org/x/sys/unix"
)

// folder is where the tree is on its way. No image has it: Receive refuses one that does.
const folder = ".griddle-image"

// Options of Receive; the zero value is valid.
type Options struct {
	Progress func(raw int64)  // gets how many bytes of Raw are applied
	Spool    func(dir string) // see intake.Options
}

// Raw is how many bytes the streams of an image have together.
func Raw(img intake.Image) (n int64) {
	for _, s := range img.Streams() {
		n += s.Raw
	}
	return n
}

// Receive empties the filesystem whose top is at dir and has it hold the tree of an image. All streams of the image are
// received: the first one must be a full one.
func Receive(ctx context.Context, dir string, img intake.Image, o Options) error {
	if err := Empty(dir); err != nil {
		return err
	}
	on := filepath.Join(dir, folder)
	if err := os.Mkdir(on, 0o700); err != nil {
		return fmt.Errorf("receiving %s: %w", img.Ref(), err)
	}
	if o.Spool != nil && intake.RoomForSpool(on, img, img.Streams()) {
		o.Spool(on)
		defer o.Spool("")
	}
	var base int64
	var from []receive.Parent
	for i, s := range img.Streams() {
		r, err := img.OpenStream(ctx, i, parentOf(from))
		if err != nil {
			return err
		}
		got, err := receive.Receive(ctx, r, on, receive.Options{Name: strconv.Itoa(i), Parents: from,
			Progress: func(raw int64) {
				if o.Progress != nil {
					o.Progress(base + raw)
				}
			}})
		r.Close()
		switch {
		case err != nil:
			return err
		case got.UUID != s.UUID || got.Ctransid != s.Ctransid:
			return fmt.Errorf("receiving %s: the stream makes %s at %d, its document says %s at %d", s.Ref, got.UUID,
				got.Ctransid, s.UUID, s.Ctransid)
		}
		if len(from) > 0 {
			if err := os.RemoveAll(from[0].Dir); err != nil {
				return fmt.Errorf("receiving %s: %w", img.Ref(), err)
			}
		}
		base += s.Raw
		from = []receive.Parent{{UUID: got.UUID, Ctransid: got.Ctransid, Dir: got.Path}}
	}
	if len(from) == 0 {
		return fmt.Errorf("receiving %s: it has no streams", img.Ref())
	}
	if err := lift(dir, from[0].Dir); err != nil {
		return fmt.Errorf("receiving %s: %w", img.Ref(), err)
	}
	return subvolume.Sync(dir)
}

func parentOf(from []receive.Parent) string {
	if len(from) == 0 {
		return ""
	}
	return from[0].Dir
}

// lift moves the tree at a path to the top of its filesystem, with what the tree says of its own folder.
func lift(dir, from string) error {
	m, err := readMeta(from)
	if err != nil {
		return err
	}
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	for _, e := range entries {
		// RENAME_NOREPLACE: an image with a folder of this name.
		err := unix.Renameat2(unix.AT_FDCWD, filepath.Join(from, e.Name()), unix.AT_FDCWD, filepath.Join(dir, e.Name()),
			unix.RENAME_NOREPLACE)
		if err != nil {
			return &os.LinkError{Op: "renameat2", Old: e.Name(), New: dir, Err: err}
		}
	}
	if err := os.RemoveAll(filepath.Join(dir, folder)); err != nil {
		return err
	}
	return m.write(dir + "/.") // not the symlink that a path of subvolume.Mounted ends in
}

// meta is what a folder says of itself.
type meta struct {
	st     unix.Stat_t
	xattrs map[string][]byte
}

func readMeta(dir string) (m meta, err error) {
	if err := unix.Lstat(dir, &m.st); err != nil {
		return m, &os.PathError{Op: "lstat", Path: dir, Err: err}
	}
	m.xattrs = map[string][]byte{}
	names, err := sized(func(b []byte) (int, error) { return unix.Llistxattr(dir, b) })
	if err != nil {
		return m, &os.PathError{Op: "llistxattr", Path: dir, Err: err}
	}
	for name := range strings.SplitSeq(strings.TrimSuffix(string(names), "\x00"), "\x00") {
		if name == "" {
			continue
		}
		m.xattrs[name], err = sized(func(b []byte) (int, error) { return unix.Lgetxattr(dir, name, b) })
		if err != nil {
			return m, &os.PathError{Op: "lgetxattr " + name, Path: dir, Err: err}
		}
	}
	return m, nil
}

// sized reads what can grow between the question for its size and that for its bytes.
func sized(read func(b []byte) (int, error)) ([]byte, error) {
	for {
		n, err := read(nil)
		if err != nil || n == 0 {
			return nil, err
		}
		b := make([]byte, n)
		if n, err = read(b); err == nil {
			return b[:n], nil
		}
		if !errors.Is(err, unix.ERANGE) {
			return nil, err
		}
	}
}

// write gives a folder what m says. The owner comes first, which changes the mode, and the times come last.
func (m meta) write(dir string) error {
	had, err := readMeta(dir)
	if err != nil {
		return err
	}
	for name := range had.xattrs {
		if _, ok := m.xattrs[name]; ok || name == "security.selinux" { // which is the local policy's
			continue
		}
		if err := unix.Lremovexattr(dir, name); err != nil && !errors.Is(err, unix.ENODATA) {
			return &os.PathError{Op: "lremovexattr " + name, Path: dir, Err: err}
		}
	}
	if err := os.Lchown(dir, int(m.st.Uid), int(m.st.Gid)); err != nil {
		return err
	}
	if err := unix.Chmod(dir, m.st.Mode&0o7777); err != nil {
		return &os.PathError{Op: "chmod", Path: dir, Err: err}
	}
	for name, value := range m.xattrs {
		if err := unix.Lsetxattr(dir, name, value, 0); err != nil {
			return &os.PathError{Op: "lsetxattr " + name, Path: dir, Err: err}
		}
	}
	if err := unix.UtimesNanoAt(unix.AT_FDCWD, dir, []unix.Timespec{m.st.Atim, m.st.Mtim},
		unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return &os.PathError{Op: "utimensat", Path: dir, Err: err}
	}
	return nil
}
