package install

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"griddle/appliance/job"
	"griddle/imagestore/content"
	"griddle/imagestore/fetch"
	"griddle/imagestore/receive"
)

// receive applies every stream and returns the folder of the image. What it took from parents on the way is deleted.
func (w *work) receive(ctx context.Context) (string, error) {
	streams := w.img.Streams()
	var total int64
	for _, s := range streams {
		total += s.Raw
	}
	w.enter(job.PhaseReceive, "receiving %s: %d streams, %s", w.img.Ref(), len(streams), job.Bytes(total))
	dir := filepath.Join(w.parts.poolDir, "@images")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("making folder of images: %w", err)
	}
	if w.roomForSpool(dir, streams) {
		w.o.Spool(dir)
		defer w.o.Spool("")
	}
	var done atomic.Int64
	stop := w.follow(total, done.Load, w.o.Wire)
	defer stop()

	var parents []receive.Parent
	var base int64
	for i, s := range streams {
		name := pathName(s.Ref)
		parent := ""
		if i > 0 {
			parent = parents[i-1].Dir
		}
		r, err := w.img.OpenStream(ctx, i, parent)
		if err != nil {
			return "", err
		}
		got, err := receive.Receive(ctx, r, dir, receive.Options{
			Name: name, Parents: parents, Progress: func(raw int64) { done.Store(base + raw) },
		})
		r.Close()
		if err != nil {
			return "", err
		}
		if got.UUID != s.UUID || got.Ctransid != s.Ctransid {
			return "", fmt.Errorf("receiving %s: the stream makes %s at %d, its document says %s at %d", s.Ref,
				got.UUID, got.Ctransid, s.UUID, s.Ctransid)
		}
		base += s.Raw
		done.Store(base)
		parents = append(parents, receive.Parent{UUID: got.UUID, Ctransid: got.Ctransid, Dir: filepath.Join(dir, name)})
	}
	if len(parents) == 0 {
		return "", fmt.Errorf("receiving %s: it has no streams", w.img.Ref())
	}
	if ways := w.o.Ways(); ways != nil {
		ways.Now = ""
		w.say("%s received over the network: %s", job.Bytes(w.o.Wire()), ways)
	}
	last := len(parents) - 1
	for _, p := range parents[:last] {
		if err := deleteSubvolume(dir, filepath.Base(p.Dir)); err != nil {
			w.warn("%v: it stays in the pool", err)
		}
	}
	return parents[last].Dir, nil
}

// roomForSpool says whether the filesystem of dir has room for the largest encoding besides the image, twice over: what
// is kept for a while must never be why an image does not fit.
func (w *work) roomForSpool(dir string, streams []fetch.StreamInfo) bool {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return false
	}
	var largest, raw int64
	for _, s := range streams {
		largest, raw = max(largest, s.Wire), raw+s.Raw
	}
	return int64(st.Bavail)*st.Bsize > 2*(largest+max(raw, w.img.Size()))
}

// verify compares the tree with its manifest as it is on the disk: mounted anew, nothing of it is left in memory.
func (w *work) verify(ctx context.Context, image string, m *content.Manifest) error {
	w.enter(job.PhaseVerify, "comparing the written files with the content manifest of %s", w.img.Ref())
	if err := unmount(w.parts.poolDir); err != nil {
		return err
	}
	if err := mountPool(w.parts.pool, w.parts.poolDir); err != nil {
		return err
	}
	var done atomic.Int64
	stop := w.follow(m.Size(), done.Load, func() int64 { return 0 })
	defer stop()
	return content.Verify(ctx, image, m, done.Store)
}

// pathName makes an image's name fit for a folder and for a kernel command line.
func pathName(ref string) string {
	s := strings.Map(func(r rune) rune {
		switch {
		case r == ':':
			return '-'
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', strings.ContainsRune("._+~-@", r):
			return r
		}
		return '_'
	}, ref)
	if s == "" || strings.ContainsRune(".-@", rune(s[0])) {
		s = "image" + s
	}
	return s[:min(len(s), 200)]
}
