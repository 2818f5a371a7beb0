package imagestore_test

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"griddle/imagestore"
	"griddle/imagestore/blob"
	"griddle/imagestore/catalog"
	"griddle/imagestore/durable"
	"griddle/imagestore/fetch"
	"griddle/imagestore/imagetest"
	"griddle/imagestore/minisign"
	"griddle/imagestore/source/sourcetest"
)

// TestNotDamaged has the disk, the rights or the server fail while a store is checked: that is said, and
// nothing is called damaged.
func TestNotDamaged(t *testing.T) {
	f := newFixture(t)
	l := f.publish("web:1@amd64", way{"", imagetest.Bytes(1, 10_000)})
	for _, errno := range []error{unix.EIO, unix.EACCES, unix.ENOSPC} {
		s, err := imagestore.OpenOn(durable.Disk{Reading: func(path string) error {
			if filepath.Base(path) == l.Streams[0].Encoding.Hex() {
				return errno
			}
			return nil
		}}, f.dir)
		if err != nil {
			t.Fatal(err)
		}
		v, err := s.Verify(t.Context(), imagetest.Ref(t, l.Ref), nil)
		if err != nil || v.OK || len(v.Problems) != 0 || len(v.Unchecked) != 1 ||
			!strings.Contains(v.Unchecked[0], errno.Error()) {
			t.Errorf("Verify with %v = %+v, %v, want one thing that was not checked", errno, v, err)
		}
		if v.OK || strings.Contains(fmt.Sprint(v), fetch.ErrCorrupt.Error()) {
			t.Errorf("Verify with %v calls it damaged: %+v", errno, v)
		}
		all, err := s.VerifyStore(t.Context(), imagestore.VerifyStoreOptions{})
		if err != nil || all.OK || len(all.Faults) != 1 || !all.Faults[0].Unchecked {
			t.Errorf("VerifyStore with %v = %+v, %v, want one fault that was not checked", errno, all, err)
		}
	}
	f.damage(l.Streams[0].Encoding, 30)
	if v, err := f.s.Verify(t.Context(), imagetest.Ref(t, l.Ref), nil); err != nil || len(v.Problems) != 1 ||
		len(v.Unchecked) != 0 {
		t.Errorf("Verify of damage = %+v, %v", v, err)
	}
}

// TestFullSpoolIsNotDamage checks a stream whose frames need its parent's tree, with no room for the tree.
func TestFullSpoolIsNotDamage(t *testing.T) {
	p, _, two := changing(t)
	p.must(p.store.Recompress(t.Context(), imagestore.RecompressOptions{Level: 12}, func(imagestore.Recompressed) {}))
	s := *p.store
	s.BeReadOnly()
	s.Spool = t.TempDir()
	sourcetest.Run(t, "mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", s.Spool)
	t.Cleanup(func() { sourcetest.Run(t, "umount", s.Spool) })
	v, err := s.Verify(t.Context(), imagetest.Ref(t, two), nil)
	if err != nil || v.OK || len(v.Problems) != 0 || len(v.Unchecked) == 0 ||
		!strings.Contains(v.Unchecked[0], unix.ENOSPC.Error()) {
		t.Errorf("Verify = %+v, %v, want that there was no room for the parent's tree", v, err)
	}
}

// TestPrevented tells what keeps a reader from looking from what is wrong.
func TestPrevented(t *testing.T) {
	srv := httptest.NewServer(http.NotFoundHandler())
	srv.Close()
	_, gone := http.Get(srv.URL)
	for _, err := range []error{unix.ENOSPC, unix.EIO, fmt.Errorf("x: %w", unix.EACCES), gone,
		&net.OpError{Op: "read", Err: errors.New("reset")},
		blob.ErrDenied, blob.ErrServer, fmt.Errorf("%w: out of order", catalog.ErrRefused), imagestore.ErrNoShelf} {
		if !imagestore.Prevented(err) {
			t.Errorf("prevented(%v) = false", err)
		}
	}
	for _, err := range []error{fetch.ErrCorrupt, blob.ErrMismatch, blob.ErrNotExist, blob.ErrTooLong,
		minisign.ErrSignature, fmt.Errorf("%w: gone", fetch.ErrCorrupt), unix.ENOENT} {
		if imagestore.Prevented(err) {
			t.Errorf("prevented(%v) = true", err)
		}
	}
}
