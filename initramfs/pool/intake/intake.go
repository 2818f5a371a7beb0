// Package intake brings an image into a pool: it receives the streams that the pool lacks.
//
// Call Open with the pool and the image: it says what is to be received and changes nothing. Then call Receive.
//
//	@images/NAME   an image as received: read-only, with the UUID and the transaction of its stream as received ones
//
// An image that the pool has is not received again. A stream is applied to the image that the pool has of its parent,
// which is found by received UUID, whatever its name is. A power cut leaves images that are complete and what
// receive.RemoveLeftovers removes, which Receive calls first. Then call Verify, also for an image that was in the pool
// already: it may have been damaged since. Verify reads all but what Receive itself read back from the disk (package
// readback).
package intake

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"griddle/imagestore/content"
	"griddle/imagestore/document"
	"griddle/imagestore/fetch"
	"griddle/imagestore/receive"
	"griddle/imagestore/receive/readback"
	"griddle/imagestore/sendstream"
	"griddle/initramfs/subvolume"
)

// Folder is the one of a pool's images.
const Folder = "@images"

// ErrNoParent is wrapped by the error about a delta whose parent the pool does not have.
var ErrNoParent = errors.New("the pool does not have the image that it is the difference from")

// Image is the source of the bytes, which it has verified. fetch.Opened implements it.
type Image interface {
	Ref() string // "web:20261120.1@amd64"
	Size() int64 // bytes of the files' contents
	Identity() document.Identity
	Streams() []fetch.StreamInfo // none if the server knows that the pool has the image
	OpenStream(ctx context.Context, i int, parent string) (io.ReadCloser, error)
}

// Options is what Receive needs besides the image. All may be nil.
type Options struct {
	Progress func(raw int64) // gets how many bytes of Intake.Raw are applied
	// Spool is called, before the first stream is opened, with a folder on the pool for temporary files without a name,
	// and with "" after the last stream. It is not called if the pool has too little room.
	Spool func(dir string)
	Warn  func(err error) // gets what went wrong and harms nothing
}

// Intake is an image on its way into a pool.
type Intake struct {
	image Image
	dir   string           // of the images
	held  []receive.Parent // the images of the pool
	first int              // of the streams that the pool lacks
	read  content.Readings // of what Receive made
}

// Open compares the streams of an image with the images of the pool, whose top is at the path top. Images with the
// names without count as missing. An error wraps ErrNoParent if the pool has not what the first stream that it lacks
// starts from.
func Open(top string, img Image, without ...string) (*Intake, error) {
	in := &Intake{image: img, dir: filepath.Join(top, Folder), read: content.Readings{}}
	streams := img.Streams()
	var err error
	if in.held, err = held(in.dir, without); err != nil {
		return nil, err
	}
	if len(streams) == 0 && in.Has() == "" {
		return nil, fmt.Errorf("receiving %s: it has no streams, as if the pool had it, and the pool lacks it",
			img.Ref())
	}
	for i, s := range streams {
		if in.find(s.UUID, s.Ctransid) != "" {
			in.first = i + 1
		}
	}
	if in.first == 0 && len(streams) > 0 {
		if p := streams[0].Parent; p != nil && in.find(p.UUID, p.Ctransid) == "" {
			return nil, fmt.Errorf("receiving %s: %w, %s", img.Ref(), ErrNoParent, p.Ref)
		}
	}
	return in, nil
}

// Has is the folder of the image if the pool has it, else "".
func (in *Intake) Has() string {
	id := in.image.Identity()
	return in.find(id.UUID, id.Ctransid)
}

// Parent is the folder of the image that the first of Streams starts from, "" if it is whole or if there is none.
func (in *Intake) Parent() string {
	missing := in.Streams()
	if len(missing) == 0 || missing[0].Parent == nil {
		return ""
	}
	return in.find(missing[0].Parent.UUID, missing[0].Parent.Ctransid)
}

// Streams are those that the pool lacks, in their order.
func (in *Intake) Streams() []fetch.StreamInfo { return in.image.Streams()[in.first:] }

// Raw is how many bytes they have.
func (in *Intake) Raw() (n int64) {
	for _, s := range in.Streams() {
		n += s.Raw
	}
	return n
}

// Receive applies the streams and returns the folder of the image, which is durable. What it made of other images on
// the way is deleted.
func (in *Intake) Receive(ctx context.Context, o Options) (string, error) {
	if err := os.MkdirAll(in.dir, 0o700); err != nil {
		return "", fmt.Errorf("making folder of images: %w", err)
	}
	if err := receive.RemoveLeftovers(in.dir); err != nil && o.Warn != nil {
		o.Warn(err)
	}
	if o.Spool != nil && RoomForSpool(in.dir, in.image, in.Streams()) {
		o.Spool(in.dir)
		defer o.Spool("")
	}
	all := in.image.Streams()
	var made []string
	var base int64
	for i := in.first; i < len(all); i++ {
		dir, err := in.receive(ctx, i, func(raw int64) {
			if o.Progress != nil {
				o.Progress(base + raw)
			}
		})
		if err != nil {
			return "", err
		}
		base += all[i].Raw
		made = append(made, dir)
	}
	for _, dir := range made[:max(0, len(made)-1)] {
		if err := subvolume.Delete(in.dir, filepath.Base(dir)); err != nil && o.Warn != nil {
			o.Warn(fmt.Errorf("%w: it stays in the pool", err))
		}
	}
	return in.Has(), nil
}

// receive applies one stream.
func (in *Intake) receive(ctx context.Context, i int, progress func(raw int64)) (string, error) {
	s := in.image.Streams()[i]
	parent := ""
	if s.Parent != nil {
		parent = in.find(s.Parent.UUID, s.Parent.Ctransid)
	}
	name, err := in.free(Name(s.Ref))
	if err != nil {
		return "", err
	}
	r, err := in.image.OpenStream(ctx, i, parent)
	if err != nil {
		return "", err
	}
	got, err := receive.Receive(ctx, r, in.dir, receive.Options{Name: name, Parents: in.held, Progress: progress,
		ReadBack: readback.Usual()})
	r.Close()
	if err != nil {
		return "", err
	}
	if got.UUID != s.UUID || got.Ctransid != s.Ctransid {
		return "", fmt.Errorf("receiving %s: the stream makes %s at %d, its document says %s at %d", s.Ref,
			got.UUID, got.Ctransid, s.UUID, s.Ctransid)
	}
	progress(s.Raw)
	maps.Copy(in.read, got.Readings) // the next tree is a snapshot of this one
	in.held = append(in.held, receive.Parent{UUID: got.UUID, Ctransid: got.Ctransid, Dir: got.Path})
	return got.Path, nil
}

// find is the folder of the image that a stream made, "" if the pool does not have it.
func (in *Intake) find(id sendstream.UUID, ctransid uint64) string {
	for _, h := range in.held {
		if h.UUID == id && h.Ctransid == ctransid {
			return h.Dir
		}
	}
	return ""
}

// free is a name that no image has.
func (in *Intake) free(name string) (string, error) {
	for n := 1; ; n++ {
		next := numbered(name, n)
		switch _, err := os.Lstat(filepath.Join(in.dir, next)); {
		case errors.Is(err, fs.ErrNotExist):
			return next, nil
		case err != nil:
			return "", fmt.Errorf("looking for an image's name: %w", err)
		}
	}
}

// held are the images in a folder that were received as a whole and not changed since, without some names.
func held(dir string, without []string) ([]receive.Parent, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the images of the pool: %w", err)
	}
	var out []receive.Parent
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") || slices.Contains(without, e.Name()) {
			continue // on its way, or left by a receive that was killed: it may lack nothing but its name
		}
		at := filepath.Join(dir, e.Name())
		i, err := subvolume.Read(at)
		if errors.Is(err, subvolume.ErrOther) || errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("reading the images of the pool: %w", err)
		}
		if i.ReadOnly && i.Received != (subvolume.ID{}) {
			out = append(out, receive.Parent{UUID: sendstream.UUID(i.Received), Ctransid: i.Sent, Dir: at})
		}
	}
	return out, nil
}

// Have are the received UUIDs of the images of the pool, whose top is at the path top: lower case, with dashes. A
// server plans by them. Images with the names without count as missing.
func Have(top string, without ...string) ([]string, error) {
	images, err := held(filepath.Join(top, Folder), without)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, i := range images {
		out = append(out, i.UUID.String())
	}
	return out, nil
}

// RoomForSpool says whether the filesystem at dir has room for the largest encoding of some streams besides the image
// that they make, twice over: what is kept for a while must never be why an image does not fit.
func RoomForSpool(dir string, img Image, streams []fetch.StreamInfo) bool {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return false
	}
	var largest, raw int64
	for _, s := range streams {
		largest, raw = max(largest, s.Wire), raw+s.Raw
	}
	return int64(st.Bavail)*st.Bsize > 2*(largest+max(raw, img.Size()))
}
