// Package source finds what a publisher names, and makes a private copy of it that does not change.
//
// Call Find, then Take, then package delta on Copy.Dir; end with Copy.Keep or Copy.Discard. Find takes
//
//	lxc:NAME           a container: on btrfs, in a directory, or in an overlay
//	lxc:NAME/SNAPSHOT  a snapshot of it, as lxc-snapshot made it
//	nspawn:NAME        a machine of systemd-nspawn: a subvolume or a directory
//	btrfs:SUBVOLUME    a btrfs subvolume
//	dir:DIRECTORY      a directory; a subvolume is treated as by btrfs:
//	tar:FILE, tar:-    a tar archive (package archive), a file or the standard input
//	oci:LAYOUT[:TAG]   a container image in an OCI image layout (package oci)
//
// # The copy
//
// Of a btrfs subvolume Take makes a snapshot, which is atomic: it holds the tree as a power cut would have left it. A
// running container is neither stopped nor frozen, and nothing below its directory changes: for `lxc:NAME` no
// lxc-snapshot is made either.
//
// Of everything else it makes a plain directory, by a send stream that package receive applies: whatever an archive
// or a directory holds, only that directory is written. A directory is read through a private mount of its
// filesystem, so that filesystems mounted below it are left out, with a warning, and what they cover is not. An
// overlay is read through a read-only overlay of the same directories, so that whiteouts and opaque directories mean
// what they mean to the container. Both may change meanwhile: a survey of every path's inode, size and change time,
// before and after, shows that. Then the copy is made again, three times in all; after that ErrChanged names the
// path. Hard links, holes, attributes, ACLs, capabilities, devices, fifos, sockets, times and names of any bytes are
// copied as they are. Access times and attributes "btrfs.*" are not.
//
// Then, in the copy, owners that a user namespace has shifted are brought back (lxc.idmap, unless lxc.rootfs.options
// says idmap=container; of a machine of systemd-nspawn the 65536 ids from its root's owner on, where that is a
// multiple of 65536): owners and groups, those in ACLs, and those of capabilities, which become root's. An owner that
// is not one of the container's is an error with its path. Then Options.Prepare runs. Then a snapshot is made
// read-only; its UUID and transaction number are the identity of the image from then on, because every stream to it
// or from it has them. A plain directory's identity is a random UUID (RFC 9562, version 4) and transaction 1.
//
// A nested subvolume is not part of a snapshot, and btrfs send drops even its directory. systemd makes such
// subvolumes (/var/lib/machines, /var/lib/portables), so an empty one becomes an ordinary directory in the copy, with
// a warning; one that is not empty makes Take fail with its name, and so does any in a plain directory.
//
// # Where copies are kept
//
// The copy of the newest published version is the parent of the next one's delta, where it is a snapshot:
//
//	LXCPATH/.griddle/REF              for containers on the filesystem of LXCPATH
//	DIR/.griddle/REF                  for other subvolumes DIR/SUBVOLUME
//	SUBVOLUME/.griddle/REF            where SUBVOLUME is the root of a mount; the copies do not contain it
//	SPOOL/REF                         for plain directories, which Keep removes as Discard does
//	….publishing                      a file, flock(2)ed by the publisher at work: the copy beside it is not published
//
// REF is the image's name made safe. Copies without a living publisher are removed by Collect. Before a plain copy is
// made, the room that it needs, if that is known, is compared with the free space.
//
// Limits: the programs `btrfs` and, for the default LXCPATH, `lxc-config` are called; root and Linux 5.8 are needed. An
// archive may become as large as Options.Limit and the room in SPOOL allow; packages archive and oci have more limits.
//
// Sources: lxc.container.conf(5); systemd-nspawn(1); open_tree(2), fsopen(2); Linux
// Documentation/filesystems/overlayfs.rst, include/uapi/linux/{capability,posix_acl_xattr}.h.
package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// Errors on which callers branch.
var (
	// ErrName is wrapped if the source's name has no known form.
	ErrName = errors.New("unknown kind of source")
	// ErrUnsuitable is wrapped if the source exists and cannot be published as it is.
	ErrUnsuitable = errors.New("cannot be published")
	// ErrBusy is wrapped by Take if another publisher is working on a copy of that name.
	ErrBusy = errors.New("is being published by another process")
	// ErrChanged is wrapped by Take, with a path, if a file that is not on btrfs changed while it was copied.
	ErrChanged = errors.New("changed while it was read")
)

// Options say where Find looks, and what Take does.
type Options struct {
	LXCPath  string    // directory of the containers; "" means what `lxc-config lxc.lxcpath` says, or /var/lib/lxc
	Machines string    // directory of systemd-nspawn's machines; "" means /var/lib/machines
	Arch     string    // as Debian names it: which image of a layout for several; "" means this machine's
	Stdin    io.Reader // what "tar:-" reads; nil means os.Stdin

	// Spool is the directory of plain copies; "" means /var/tmp/griddle-spool. It is made if it is missing, and only
	// its owner may be able to write in it.
	Spool string

	// Limit is how many bytes an archive may decompress to; zero, and more than there is room for in Spool, means as
	// many as there is room for.
	Limit int64

	// Progress, if not nil, is called with how many bytes of a plain copy were written, and of how many about: zero
	// if that is not known, as for archives. A copy that is made again because its source changed counts from zero.
	Progress func(done, total int64)

	// Prepare, if not nil, changes the copy at dir, which is writable, after its owners were shifted back and before
	// anything else reads it. Its error ends Take.
	Prepare func(ctx context.Context, dir string) error
}

// Source is a tree or archive that can be published.
type Source struct {
	Name string // as given: "lxc:web"
	Dir  string // the subvolume or directory; "" for archives
	Arch string // as Debian names it: the container's, or this machine's

	keep    string // directory of the copies
	inside  bool   // keep is in Dir itself
	make    maker  // of a plain copy; nil where Dir is a subvolume, and a snapshot is taken
	ids     *idMap // that shifted owners are brought back by; nil for none
	prepare func(ctx context.Context, dir string) error
	tell    func(done, total int64) // may be nil
}

// Find looks for what spec names, and checks that it can be published. It changes nothing.
func Find(ctx context.Context, spec string, o Options) (*Source, error) {
	kind, name, _ := strings.Cut(spec, ":")
	s := &Source{Name: spec, Arch: arch(runtime.GOARCH), prepare: o.Prepare, tell: o.Progress}
	if o.Arch != "" {
		s.Arch = o.Arch
	}
	if name == "" {
		kind = ""
	}
	var err error
	switch kind {
	case "lxc":
		err = s.findContainer(ctx, name, o)
	case "nspawn":
		err = s.findMachine(name, o)
	case "btrfs":
		s.Dir = name
		err = s.settle(nil, o)
	case "dir":
		s.Dir = name
		err = s.settle(&directory{}, o)
	case "tar":
		err = s.findArchive(name, o)
	case "oci":
		err = s.findLayout(name, o)
	default:
		err = fmt.Errorf("%w: want lxc:NAME, lxc:NAME/SNAPSHOT, nspawn:NAME, btrfs:SUBVOLUME, dir:DIRECTORY, "+
			"tar:FILE, tar:- or oci:LAYOUT[:TAG]", ErrName)
	}
	if err != nil {
		return nil, fmt.Errorf("finding source %s: %w", spec, err)
	}
	return s, nil
}

// settle decides how Dir is copied: by a snapshot where it is a subvolume, and else by plain, which is nil where only a
// subvolume will do.
func (s *Source) settle(plain *directory, o Options) error {
	dir, err := filepath.EvalSymlinks(s.Dir)
	if err == nil {
		dir, err = filepath.Abs(dir)
	}
	if err != nil {
		return err
	}
	s.Dir = dir
	if _, err := infoOf(dir); plain != nil && errors.Is(err, ErrUnsuitable) {
		plain.dir = dir
		s.make, s.keep = plain, o.spool()
		return nil
	} else if err != nil {
		return err
	}
	if s.keep != "" {
		same, err := sameMount(dir, filepath.Dir(s.keep))
		if same || err != nil {
			return err
		}
	}
	s.keep = filepath.Join(filepath.Dir(dir), keepName)
	if same, err := sameMount(dir, filepath.Dir(dir)); err != nil {
		return err
	} else if !same {
		s.keep, s.inside = filepath.Join(dir, keepName), true
	}
	return nil
}

// keepName is the directory of the copies.
const keepName = ".griddle"

// arch spells a machine's name as Debian does.
func arch(s string) string {
	switch s {
	case "x86_64":
		return "amd64"
	case "linux64": // lxc.container.conf(5): the host's own, with 64 bits
		return arch(runtime.GOARCH)
	case "386", "i486", "i586", "i686", "x86", "linux32":
		return "i386"
	case "aarch64":
		return "arm64"
	case "armv7l", "armhfp", "arm":
		return "armhf"
	case "ppc64le":
		return "ppc64el"
	case "mips64le":
		return "mips64el"
	}
	return s
}

// exists says whether path is there, itself and not what it points to.
func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
