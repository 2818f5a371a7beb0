// Package source finds what a publisher names, and takes a private copy of it that holds still.
//
// Call Find, then Take, then package delta on Copy.Dir; end with Copy.Keep or Copy.Discard. Find takes
//
//	lxc:NAME           a container: on btrfs, in a directory, or in an overlay
//	lxc:NAME/SNAPSHOT  a snapshot of it, as lxc-snapshot made it
//	nspawn:NAME        a machine of systemd-nspawn: a subvolume or a directory
//	btrfs:SUBVOLUME    a btrfs subvolume
//	dir:DIRECTORY      a directory; where it is a subvolume, as btrfs: does
//	tar:FILE, tar:-    a tar archive (package archive), a file or what comes in
//	oci:LAYOUT[:TAG]   a container image in an OCI image layout (package oci)
//
// # The copy
//
// Of a btrfs subvolume Take makes a snapshot, which is atomic: it holds the tree as it was at one moment, as a power cut
// at that moment would have left it. A running container is neither stopped nor frozen, and nothing below its directory
// changes: for `lxc:NAME` no lxc-snapshot is made either.
//
// Of all else it makes a plain directory, by a send stream that package receive applies: whatever an archive or a
// directory holds, nothing but that directory is written. A directory is read through a mount of its own filesystem that
// nobody else sees, so that what is mounted below is left out, with a warning, and what that covers is not. An overlay
// is read through a read-only overlay of the same directories, so that whiteouts and opaque directories mean what they mean
// to the container. Neither holds still by itself: a survey before and one after, of every path's inode, size and time of
// change, tell whether anything changed meanwhile; then the copy is made anew, three times in all, and then ErrChanged
// names the path. Hard links, holes, attributes, ACLs, capabilities, devices, fifos, sockets, times and names of any bytes
// come out as they are. Access times do not, and attributes "btrfs.*" neither.
//
// Then, in the copy, owners that a user namespace has shifted are brought back (lxc.idmap, unless lxc.rootfs.options says
// idmap=container; of a machine of systemd-nspawn the 65536 ids from its root's owner on, where that is a multiple of
// 65536): owners and groups, those in ACLs, and those of capabilities, which become root's. An owner that is none of the
// container's own is an error with its path. Then Options.Prepare runs. Then a snapshot is made read-only; its UUID and
// transaction number are the identity of the image from then on, because every stream to it or from it bears them. A
// plain directory's identity is a random UUID (RFC 9562, version 4) and transaction 1.
//
// A nested subvolume is not part of a snapshot, and btrfs send drops even its directory. systemd makes such subvolumes
// (/var/lib/machines, /var/lib/portables), so an empty one becomes an ordinary directory in the copy, with a warning; one that
// holds anything makes Take fail with its name, and so does any in a plain directory.
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
// made the room that it takes, as far as it can be told, is compared with the room there is.
//
// Limits: the programs `btrfs` and, for the default LXCPATH, `lxc-config` are called; root and Linux 5.8 are needed. An
// archive may become as large as Options.Limit and the room in SPOOL allow; packages archive and oci have more limits.
//
// Sources: lxc.container.conf(5); systemd-nspawn(1); open_tree(2), fsopen(2); Linux Documentation/filesystems/overlayfs.rst,
// include/uapi/linux/{capability,posix_acl_xattr}.h.
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
	// ErrName is wrapped where the source's name is of no known form.
	ErrName = errors.New("unknown kind of source")
	// ErrUnsuitable is wrapped where the source is there and cannot be published as it is.
	ErrUnsuitable = errors.New("cannot be published")
	// ErrBusy is wrapped by Take where another publisher is at work on a copy of that name.
	ErrBusy = errors.New("is being published by another process")
	// ErrChanged is wrapped by Take, with a path, where a file that no snapshot can be taken of changed while it was copied.
	ErrChanged = errors.New("changed while it was read")
)

// Options says where Find looks, and what Take does.
type Options struct {
	LXCPath  string    // directory of the containers; "" means what `lxc-config lxc.lxcpath` says, or /var/lib/lxc
	Machines string    // directory of systemd-nspawn's machines; "" means /var/lib/machines
	Arch     string    // as Debian spells it: which image of a layout for several; "" means this machine's
	Stdin    io.Reader // what "tar:-" reads; nil means os.Stdin

	// Spool is the directory of plain copies; "" means /var/tmp/griddle-spool. It is made where it is missing, and nobody
	// but its owner may be able to write in it.
	Spool string

	// Limit is how many bytes may come out of an archive's decompression; zero, and whatever is more, means as many as
	// there is room in Spool.
	Limit int64

	// Progress, if any, is told how many bytes of a plain copy were written, and of how many about: zero where nobody knows,
	// as of archives. A copy that is begun again, because its source changed, counts from zero.
	Progress func(done, total int64)

	// Prepare, if any, changes the copy at dir, which is writable, and whose owners are shifted back, before anybody
	// else sees it. Its error ends Take.
	Prepare func(ctx context.Context, dir string) error
}

// Source is what can be published.
type Source struct {
	Name string // as it was given: "lxc:web"
	Dir  string // the subvolume or directory; "" for archives
	Arch string // as Debian spells it: the container's, or this machine's

	keep    string // directory of the copies
	inside  bool   // keep is in Dir itself
	make    maker  // of a plain copy; nil where Dir is a subvolume, and a snapshot is taken
	ids     *idMap // that shifted owners are brought back by; nil for none
	prepare func(ctx context.Context, dir string) error
	tell    func(done, total int64) // may be nil
}

// Find looks for what spec names and checks that it can be published. Nothing is changed.
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
		err = fmt.Errorf("%w: want lxc:NAME, lxc:NAME/SNAPSHOT, nspawn:NAME, btrfs:SUBVOLUME, dir:DIRECTORY, tar:FILE, tar:- or oci:LAYOUT[:TAG]", ErrName)
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
