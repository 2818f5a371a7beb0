// Package receive applies a btrfs send stream below a directory, and nowhere else.
//
// Call Receive: it reads the stream, makes the tree, and names it when it is complete. RemoveLeftovers removes what
// killed receives left.
//
// On btrfs the tree becomes a read-only subvolume with the stream's UUID and transaction as its received ones, so
// that `btrfs send -p` and `btrfs receive` know it; compressed data is stored as it comes. On any other file system,
// and with Options.Plain, it becomes an ordinary directory. A delta starts from a snapshot of its parent, or from a
// copy if the parent is not a subvolume of the same file system; the copy shares the parent's blocks if the file
// system can do that.
//
// When Receive returns:
//
//   - Without an error the tree is at Name and on disk: the file system was synced before it got its name, and the
//     directory after.
//   - With an error there is nothing at Name, and the incomplete tree is removed.
//   - Nothing outside of the tree was changed, whatever the stream says. Paths are looked up with openat2 and
//     RESOLVE_BENEATH, RESOLVE_NO_SYMLINKS and RESOLVE_NO_XDEV, and since the last lets btrfs subvolumes pass, device
//     numbers are compared. Devices that the stream made are never opened. Clones come from this tree or a parent that
//     the caller gave. A command that needs more gives an error that names its place in the stream.
//
// Owners, permissions (set-user-ID bits and file capabilities too), times and attributes are as the stream has them;
// the caller decides what to trust, and may refuse some (Options). What `btrfs receive` cannot set either is left
// alone: inode flags, times of change and of creation. Properties of btrfs (attributes "btrfs.*") are dropped
// elsewhere. fs-verity (version 3) and streams made without data are refused.
//
// It needs root (device nodes, owners, ioctls), Linux 5.8, and /proc. It holds about 4 MiB of the stream in memory, and
// up to 64 directories open. Several receives may work side by side, also in one directory.
//
// The caller compares the tree with its content manifest. Options.ReadBack does a part of that meanwhile.
//
// Sources: btrfs-progs cmds/receive.c; Linux fs/btrfs/send.c, ioctl.c, lzo.c and include/uapi/linux/btrfs.h;
// openat2(2).
package receive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"griddle/imagestore/content"
	"griddle/imagestore/receive/readback"
	"griddle/imagestore/sendstream"
)

// Parent is a tree that was received before. Deltas may start from it, and clones may come from it.
type Parent struct {
	UUID     sendstream.UUID // of the stream that made it
	Ctransid uint64          // of that stream; zero matches any
	Dir      string          // its root, unchanged since it was received or sent; it is only read
}

// Options of Receive. Only Name must be given.
type Options struct {
	// Name is the tree's name in the directory: a single name that does not exist there.
	Name string

	// Parents may be empty for a full stream.
	Parents []Parent

	// Plain makes an ordinary directory on btrfs too.
	Plain bool

	// NoDevices refuses streams that make device nodes, and NoSetID ones that give a file a set-user-ID or
	// set-group-ID bit or capabilities (ErrForbidden). A system's image needs both; a user's data does not. What a
	// delta's parent has of them stays.
	NoDevices, NoSetID bool

	// ReadBack says which files are read back from the disk while this waits for the stream (package readback). The
	// zero value reads none.
	ReadBack readback.Rule

	// Progress, if not nil, is called now and then, and at the end, with the bytes of the stream that were applied.
	Progress func(raw int64)
}

// Result is what was made.
type Result struct {
	Path     string          // dir and Name
	UUID     sendstream.UUID // of the stream
	Ctransid uint64          // of the stream
	Raw      int64           // the stream's bytes

	// Readings are what was read back, for content.VerifyRest. They hold for the trees that later streams make from
	// this one by snapshots, too.
	Readings content.Readings
}

// ErrNoParent is wrapped if the parent of a delta, or the source of a clone, is not one of Options.Parents.
var ErrNoParent = errors.New("the parent is missing")

// ErrForbidden is wrapped if Options.NoDevices or NoSetID refuses a command.
var ErrForbidden = errors.New("not allowed here")

// progressStep is how many bytes lie between two calls of Options.Progress, at the least.
const progressStep = 256 << 10

// Receive reads one stream, full or delta, from r to its end and makes the tree that it describes in dir. Bytes after
// the stream's END are an error, and so is a missing END (io.ErrUnexpectedEOF, wrapped). Errors in the stream, and of
// commands that fail, wrap a *sendstream.Error that says where.
//
// r is read by a goroutine ahead of the work. When Receive returns early, that goroutine may still be in r.Read, and
// ends with it: do not use r again, and close what is below it.
func Receive(ctx context.Context, r io.Reader, dir string, o Options) (Result, error) {
	res, err := receive(ctx, r, dir, o)
	if err != nil {
		return Result{}, fmt.Errorf("receiving into %s: %w", filepath.Join(dir, o.Name), err)
	}
	return res, nil
}

func receive(ctx context.Context, r io.Reader, dir string, o Options) (res Result, err error) {
	if err := checkName(o.Name); err != nil {
		return Result{}, err
	}
	in := newFeed(ctx, r)
	defer in.stop()
	first, err := in.step()
	if err != nil {
		return Result{}, whole(err)
	}
	res = Result{Path: filepath.Join(dir, o.Name), UUID: first.UUID, Ctransid: first.Ctransid}
	q, err := startQuarantine(dir, first, o)
	if err != nil {
		return Result{}, failed(first, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, q.remove())
		}
	}()
	t, err := newTree(q.dup())
	if err != nil {
		return Result{}, err
	}
	defer t.close()
	sources := &sources{uuid: res.UUID, here: t, parents: o.Parents, open: map[string]*tree{}}
	defer sources.close()
	a := newApplier(t, q.btrfs, sources.find)
	a.noDevices, a.noSetID = o.NoDevices, o.NoSetID
	defer a.release()
	if o.ReadBack != (readback.Rule{}) {
		back, err := readback.Start(t.root, o.ReadBack)
		if err != nil {
			return Result{}, err
		}
		defer func() { res.Readings = back.Stop() }()
		in.idle, a.written = back.Idle(), back.Written
	}
	if first.Op == sendstream.OpSnapshot {
		if err := a.startFrom(); err != nil {
			return Result{}, err
		}
	}
	reported := int64(0)
	for {
		s, err := in.step()
		if err != nil {
			return Result{}, whole(err)
		}
		if s.Op == sendstream.OpEnd {
			res.Raw = s.after
			break
		}
		if err := a.apply(s); err != nil {
			return Result{}, failed(s, err)
		}
		if o.Progress != nil && s.after-reported >= progressStep {
			reported = s.after
			o.Progress(reported)
		}
	}
	if s, err := in.step(); err == nil {
		return Result{}, failed(s, errors.New("a second stream follows the first"))
	} else if err != io.EOF {
		return Result{}, err
	}
	if err := a.end(); err != nil {
		return Result{}, err
	}
	if err := q.finish(o.Name, res.UUID, res.Ctransid); err != nil {
		return Result{}, err
	}
	if o.Progress != nil {
		o.Progress(res.Raw)
	}
	return res, nil
}

// failed gives an error the place of its command.
func failed(s *step, err error) error {
	return &sendstream.Error{Offset: s.Offset, Op: s.Op, Err: err}
}

// whole turns the end of the input where a stream is not at its end into an error. A Reader does so itself, but for an
// input that ends where a stream could begin.
func whole(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

func checkName(name string) error {
	if name == "" || name == "." || name == ".." || len(name) > 255 || strings.ContainsAny(name, "/\x00") ||
		strings.HasPrefix(name, quarantinePrefix) {
		return fmt.Errorf("name %q: want a single file name", name)
	}
	return nil
}
