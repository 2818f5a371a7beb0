// Package installed reads which packages a tree has installed, from the package manager's own records. Call Read.
//
//	dpkg    var/lib/dpkg/status and var/lib/dpkg/status.d/*: what is installed, or was before
//	        something went wrong
//	rpm     rpmdb.sqlite (and its -wal), Packages.db (ndb) or Packages (Berkeley DB, of RHEL 8 and older)
//	        in usr/lib/sysimage/rpm or var/lib/rpm: the headers of packages
//	pacman  var/lib/pacman/local/*/desc
//	apk     lib/apk/db/installed, usr/lib/apk/db/installed
//
// If there are several managers, the one with the most packages counts. Read fails on damaged records.
//
// The tree may be hostile, and must not change meanwhile: files are opened through content.Root, which follows no
// symbolic link and leaves neither the tree nor its filesystem; no program of the tree is run. What is read is
// bounded: 64 MiB of dpkg's or apk's text, 256 KiB a file of which there are many, 512 MiB of an rpm database,
// packages.MaxPackages packages.
//
// Sources: deb-control(5), dpkg's lib/dpkg/parse.c; rpm's lib/header.c, lib/backend/ndb/rpmpkg.c,
// lib/backend/sqlite.c; Berkeley DB's src/dbinc/db_page.h; pacman's lib/libalpm/be_local.c; apk-tools'
// doc/apk-package.5.
package installed

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"griddle/imagestore/content"
	"griddle/imagestore/packages"
)

const (
	maxText = 64 << 20  // bytes of dpkg's status or apk's database
	maxFile = 256 << 10 // bytes of one file of a directory with one for each package
	maxRPM  = 512 << 20 // bytes of an rpm database
)

// ErrDamaged is wrapped if the records of a package manager cannot be read.
var ErrDamaged = errors.New("damaged package records")

// Read lists the packages of the tree at dir, in the order of packages.List. A tree without any has an empty list
// with the Manager "".
func Read(ctx context.Context, dir string) (packages.List, error) {
	root, err := content.OpenRoot(dir)
	if err != nil {
		return packages.List{}, fmt.Errorf("reading packages: %w", err)
	}
	defer root.Close()
	t := &tree{ctx: ctx, dir: dir, root: root}
	var best packages.List
	for _, r := range []struct {
		manager string
		read    func(*tree) ([]packages.Package, error)
	}{{packages.Dpkg, readDpkg}, {packages.RPM, readRPM}, {packages.Pacman, readPacman}, {packages.APK, readAPK}} {
		found, err := r.read(t)
		if err == nil {
			err = check(found)
		}
		if err != nil {
			return packages.List{}, fmt.Errorf("reading packages of %s: %w", r.manager, err)
		}
		if len(found) > len(best.Packages) {
			best = packages.List{Manager: r.manager, Packages: found}
		}
	}
	best.Sort()
	return best, nil
}

func check(list []packages.Package) error {
	if len(list) > packages.MaxPackages {
		return fmt.Errorf("%w: more than %d packages", ErrDamaged, packages.MaxPackages)
	}
	for _, p := range list {
		if err := p.Check(); err != nil {
			return fmt.Errorf("%w: %w", ErrDamaged, err)
		}
	}
	return nil
}

// tree is what is read.
type tree struct {
	ctx  context.Context
	dir  string
	root *content.Root
}

// open opens a regular file of at most max bytes; nil where there is none, and nothing else instead of it.
func (t *tree) open(path string, max int64) (*os.File, error) {
	if err := t.ctx.Err(); err != nil {
		return nil, err
	}
	var st unix.Stat_t
	fd, err := t.root.Open(path, &st)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
		return nil, nil // a link that leads elsewhere is no record of this tree
	}
	if err != nil {
		return nil, err
	}
	if st.Size > max {
		unix.Close(fd)
		return nil, fmt.Errorf("%w: %s has %d bytes, more than %d", ErrDamaged, path, st.Size, max)
	}
	return os.NewFile(uintptr(fd), path), nil
}

// read reads a regular file whole; false where there is none.
func (t *tree) read(path string, max int64) ([]byte, bool, error) {
	f, err := t.open(path, max)
	if f == nil || err != nil {
		return nil, false, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, max))
	if err != nil {
		return nil, false, fmt.Errorf("reading %s: %w", path, err)
	}
	return b, true, nil
}

// names lists a directory of the tree, ordered; nothing where there is none.
func (t *tree) names(path string) ([]string, error) {
	how := unix.OpenHow{
		Flags:   unix.O_RDONLY | unix.O_DIRECTORY | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS | unix.RESOLVE_NO_XDEV,
	}
	top, err := unix.Open(t.dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(top)
	fd, err := unix.Openat2(top, path, &how)
	for err == unix.EINTR || err == unix.EAGAIN { // EAGAIN: something was renamed meanwhile
		fd, err = unix.Openat2(top, path, &how)
	}
	if err != nil {
		return nil, nil
	}
	defer unix.Close(fd)
	entries, err := os.ReadDir("/proc/self/fd/" + strconv.Itoa(fd))
	if err != nil {
		return nil, fmt.Errorf("listing %s: %w", path, err)
	}
	if len(entries) > packages.MaxPackages {
		return nil, fmt.Errorf("%w: %s has %d entries", ErrDamaged, path, len(entries))
	}
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out, nil
}
