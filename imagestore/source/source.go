// Package source finds what a publisher names, takes a read-only copy of it, and sends that copy as a btrfs send
// stream.
//
// Call Find with "lxc:NAME", "lxc:NAME/SNAPSHOT" or "btrfs:SUBVOLUME", then Take, then Copy.Send; end with Copy.Keep
// or Copy.Discard.
//
// # The copy
//
// Take makes a btrfs snapshot, which is atomic: it holds the tree as it was at one moment, as a power cut at that moment
// would have left it. A running container is neither stopped nor frozen, and nothing below its directory changes: for
// `lxc:NAME` no lxc-snapshot is made either. The copy is then made read-only; its UUID and transaction number are the
// identity of the image from then on, because every stream to it or from it bears them.
//
// A nested subvolume is not part of a snapshot, and btrfs send drops even its directory. systemd makes such subvolumes
// (/var/lib/machines, /var/lib/portables), so an empty one becomes an ordinary directory in the copy, with a warning; one that
// holds anything makes Take fail with its name.
//
// # Where copies are kept
//
// The copy of the newest published version is the parent of the next one's delta:
//
//	LXCPATH/.griddle/REF              for containers
//	DIR/.griddle/REF                  for btrfs:DIR/SUBVOLUME
//	SUBVOLUME/.griddle/REF            where SUBVOLUME is the root of a mount; the copies do not contain it
//	….griddle/REF.publishing          a file, flock(2)ed by the publisher at work: the copy beside it is not published
//
// REF is the image's name made safe. Copies without a living publisher are removed by Collect.
//
// Limits: the filesystem must be btrfs, the programs `btrfs` and, for the default LXCPATH, `lxc-config` are called, and
// root is needed. Containers whose files have shifted owners (lxc.idmap) are refused.
package source

import (
	"context"
	"errors"
	"fmt"
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
)

// Options says where Find looks.
type Options struct {
	LXCPath string // directory of the containers; "" means what `lxc-config lxc.lxcpath` says, or /var/lib/lxc
}

// Source is a subvolume that can be published.
type Source struct {
	Name string // as it was given: "lxc:web"
	Dir  string // the subvolume
	Arch string // as Debian spells it: the container's, or this machine's

	keep   string // directory of the copies
	inside bool   // keep is in Dir itself
}

// Find looks for what spec names and checks that it can be published. Nothing is changed.
func Find(ctx context.Context, spec string, o Options) (*Source, error) {
	kind, name, _ := strings.Cut(spec, ":")
	s := &Source{Name: spec, Arch: arch(runtime.GOARCH)}
	var err error
	switch {
	case kind == "lxc" && name != "":
		err = s.findContainer(ctx, name, o)
	case kind == "btrfs" && name != "":
		s.Dir = name
	default:
		return nil, fmt.Errorf("finding source %q: %w: want lxc:NAME, lxc:NAME/SNAPSHOT or btrfs:SUBVOLUME", spec, ErrName)
	}
	if err == nil {
		err = s.check()
	}
	if err != nil {
		return nil, fmt.Errorf("finding source %s: %w", spec, err)
	}
	return s, nil
}

// check makes sure that Dir is a subvolume and decides where its copies are kept.
func (s *Source) check() error {
	dir, err := filepath.EvalSymlinks(s.Dir)
	if err == nil {
		dir, err = filepath.Abs(dir)
	}
	if err != nil {
		return err
	}
	s.Dir = dir
	if _, err := infoOf(dir); err != nil {
		return err
	}
	if s.keep != "" {
		return nil
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
	}
	return s
}

// exists says whether path is there, itself and not what it points to.
func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
