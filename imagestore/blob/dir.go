package blob

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"griddle/imagestore/durable"
)

// Dir is a Store in a local directory.
type Dir struct {
	disk    durable.Disk
	path    string
	writers writers
}

// abandoned is the age at which a temporary file is taken to belong to a process that died.
const abandoned = 24 * time.Hour

// OpenDir opens the directory path as a Store. It makes the directory if it does not exist, and removes what killed
// writers left there.
func OpenDir(path string) (*Dir, error) { return OpenDirOn(durable.Disk{}, path) }

// OpenDirOn is OpenDir on the given disk.
func OpenDirOn(disk durable.Disk, path string) (*Dir, error) {
	for _, p := range []string{path, filepath.Join(path, "sha256"), filepath.Join(path, "tmp")} {
		if err := disk.MkdirAll(p, 0o755); err != nil {
			return nil, fmt.Errorf("opening blob directory: %w", err)
		}
	}
	tmp := filepath.Join(path, "tmp")
	old, err := os.ReadDir(tmp)
	if err != nil {
		return nil, fmt.Errorf("opening blob directory: %w", err)
	}
	for _, e := range old {
		if i, err := e.Info(); err == nil && time.Since(i.ModTime()) > abandoned {
			disk.Remove(filepath.Join(tmp, e.Name()))
		}
	}
	s := &Dir{disk: disk, path: path}
	s.clearPartials()
	return s, nil
}

// ReadDirOn opens a directory as a Store and changes nothing in it: for one that can only be read.
func ReadDirOn(disk durable.Disk, path string) *Dir { return &Dir{disk: disk, path: path} }

func (s *Dir) file(d Digest) (string, error) {
	if _, err := ParseDigest(string(d)); err != nil {
		return "", err
	}
	h := d.Hex()
	return filepath.Join(s.path, "sha256", h[:2], h), nil
}

// File opens the file that holds d, for handing to sendfile.
func (s *Dir) File(d Digest) (*os.File, error) {
	p, err := s.file(d)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(p)
	if err != nil {
		return nil, notOpened(d, err)
	}
	return f, nil
}

func notOpened(d Digest, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		err = ErrNotExist
	}
	return fmt.Errorf("opening blob %s: %w", d, err)
}

type section struct {
	io.Reader
	io.Closer
}

// Open implements Reader.
func (s *Dir) Open(_ context.Context, d Digest, off, n int64) (io.ReadCloser, error) {
	p, err := s.file(d)
	if err != nil {
		return nil, err
	}
	f, err := s.disk.OpenFile(p, os.O_RDONLY, 0)
	if err != nil {
		return nil, notOpened(d, err)
	}
	i, err := f.Stat()
	if err == nil {
		n, err = checkRange(d, off, n, i.Size())
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return section{io.NewSectionReader(f, off, n), f}, nil
}

// Stat implements Reader.
func (s *Dir) Stat(_ context.Context, d Digest) (int64, error) {
	p, err := s.file(d)
	if err != nil {
		return 0, err
	}
	i, err := os.Stat(p)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, fmt.Errorf("looking up blob %s: %w", d, ErrNotExist)
	}
	if err != nil {
		return 0, fmt.Errorf("looking up blob %s: %w", d, err)
	}
	return i.Size(), nil
}

// Put implements Store. The bytes go to a file in tmp/ and are hashed on the way; then, in this order: fsync of the
// file, rename to its name, fsync of the directory that holds the name. The last of these makes the blob durable;
// a crash before the rename leaves a temporary file and nothing else, one after it a whole blob.
func (s *Dir) Put(ctx context.Context, r io.Reader, want Digest) (_ Digest, _ int64, err error) {
	if want != "" {
		if _, err := ParseDigest(string(want)); err != nil {
			return "", 0, err
		}
	}
	if err := ctx.Err(); err != nil {
		return "", 0, fmt.Errorf("putting blob: %w", err)
	}
	f, err := s.disk.CreateTemp(filepath.Join(s.path, "tmp"), "put-*")
	if err != nil {
		return "", 0, fmt.Errorf("putting blob: %w", err)
	}
	own := ctx.Value(forOthers{}) == nil
	if own {
		s.note(filepath.Base(f.Name()))
	}
	defer func() {
		f.Close()
		if err != nil {
			s.disk.Remove(f.Name())
		}
	}()
	h := sha256.New()
	n, err := io.CopyBuffer(io.MultiWriter(f, h), contextReader{ctx, r}, make([]byte, 256<<10))
	if err != nil {
		return "", 0, fmt.Errorf("putting blob: %w", err)
	}
	got := FromSum(h.Sum(nil))
	if want != "" && got != want {
		return "", 0, fmt.Errorf("putting blob %s: %w: got %s", want, ErrMismatch, got)
	}
	if own {
		s.Claim(got)
	} else {
		s.undrop(got)
	}
	if err := s.commit(f, got); err != nil {
		return "", 0, fmt.Errorf("putting blob %s: %w", got, err)
	}
	return got, n, nil
}

func (s *Dir) commit(f *durable.File, d Digest) error {
	name, err := s.file(d)
	if err != nil {
		return err
	}
	if err := f.Chmod(0o644); err != nil {
		return err
	}
	// By this clock, which the catalog dates its entries by too: the kernel dates files by the last tick of its own,
	// some milliseconds ago.
	if err := s.disk.Chtimes(f.Name(), time.Now()); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := s.disk.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	// Renaming over a blob that is there replaces it by the same bytes, freshly synced, with a new time: a
	// collector that looks at times then knows that somebody counts on it.
	if err := s.disk.Rename(f.Name(), name); err != nil {
		return err
	}
	return s.disk.SyncDir(filepath.Dir(name))
}

// Settle makes an existing blob durable: the Put that made it may have been killed before it was. ErrNotExist if
// there is no d.
func (s *Dir) Settle(d Digest) error {
	name, err := s.file(d)
	if err != nil {
		return err
	}
	f, err := s.disk.OpenFile(name, os.O_RDONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("settling blob %s: %w", d, ErrNotExist)
	}
	if err != nil {
		return fmt.Errorf("settling blob %s: %w", d, err)
	}
	defer f.Close()
	if err := errors.Join(f.Sync(), s.disk.SyncDir(filepath.Dir(name)),
		s.disk.SyncDir(filepath.Dir(filepath.Dir(name)))); err != nil {
		return fmt.Errorf("settling blob %s: %w", d, err)
	}
	return nil
}

// List implements Store.
func (s *Dir) List(ctx context.Context, f func(Info) error) error {
	root := filepath.Join(s.path, "sha256")
	return filepath.WalkDir(root, func(p string, e fs.DirEntry, err error) error {
		if err != nil {
			if errors.Is(err, fs.ErrNotExist) {
				return nil // deleted between the reading of its directory and now
			}
			return fmt.Errorf("listing blobs: %w", err)
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		d, perr := ParseDigest(prefix + e.Name())
		if perr != nil || !e.Type().IsRegular() || !strings.HasPrefix(e.Name(), filepath.Base(filepath.Dir(p))) {
			return nil
		}
		i, err := e.Info()
		if err != nil {
			return nil
		}
		return f(Info{Digest: d, Size: i.Size(), Time: i.ModTime().UTC()})
	})
}

// Delete implements Store. It is durable when it returns.
func (s *Dir) Delete(_ context.Context, d Digest) error {
	p, err := s.file(d)
	if err != nil {
		return err
	}
	err = s.disk.Remove(p)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("deleting blob %s: %w", d, ErrNotExist)
	}
	if err != nil {
		return fmt.Errorf("deleting blob %s: %w", d, err)
	}
	return s.disk.SyncDir(filepath.Dir(p))
}

// contextReader stops a copy when its context ends.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c contextReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}
