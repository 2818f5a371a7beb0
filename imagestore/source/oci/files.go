package oci

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// files are those of a layout, under slash-separated names.
type files interface {
	open(name string) (r io.ReadCloser, size int64, err error)
	close() error
}

func openFiles(path string) (files, error) {
	fi, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if fi.IsDir() {
		root, err := os.OpenRoot(path)
		return folder{root}, err
	}
	if !fi.Mode().IsRegular() {
		return nil, fmt.Errorf("%w: neither a directory nor a file", ErrMalformed)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	p, err := newPacked(f, fi.Size())
	if err != nil {
		f.Close()
		return nil, err
	}
	p.below = f
	return p, nil
}

// folder is a layout that is a directory.
type folder struct{ root *os.Root }

func (d folder) close() error { return d.root.Close() }

func (d folder) open(name string) (io.ReadCloser, int64, error) {
	f, err := d.root.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK, 0) // which a FIFO would keep waiting else
	if err != nil {
		return nil, 0, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	fi, err := f.Stat()
	if err == nil && !fi.Mode().IsRegular() {
		err = fmt.Errorf("%w: %s is not a file", ErrMalformed, name)
	}
	if err != nil {
		f.Close()
		return nil, 0, err
	}
	return f, fi.Size(), nil
}

// packed is a layout that is a tar archive.
type packed struct {
	r     io.ReaderAt
	at    map[string]place
	below io.Closer
}

type place struct{ offset, size int64 }

func newPacked(r io.ReaderAt, size int64) (*packed, error) {
	p := &packed{r: r, at: map[string]place{}}
	in := io.NewSectionReader(r, 0, size)
	start := make([]byte, 6)
	if n, _ := io.ReadFull(in, start); compressed(start[:n]) {
		return nil, fmt.Errorf("%w: the archive is compressed; decompress it first", ErrMalformed)
	}
	if _, err := in.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	for tr := tar.NewReader(in); ; {
		h, err := tr.Next()
		if err == io.EOF {
			return p, nil
		}
		if err != nil && !errors.Is(err, tar.ErrInsecurePath) {
			return nil, fmt.Errorf("%w: not a tar archive: %w", ErrMalformed, err)
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		if len(p.at) == maxFiles {
			return nil, fmt.Errorf("%w: more than %d files", ErrMalformed, maxFiles)
		}
		offset, err := in.Seek(0, io.SeekCurrent) // a tar.Reader reads no further than it must
		if err != nil {
			return nil, err
		}
		if h.Size > size-offset {
			return nil, fmt.Errorf("%w: %q is cut off", ErrMalformed, h.Name)
		}
		p.at[path.Clean(strings.TrimLeft(h.Name, "/"))] = place{offset, h.Size}
	}
}

// compressed knows the beginnings of gzip, xz, zstd and bzip2.
func compressed(start []byte) bool {
	for _, magic := range []string{"\x1f\x8b", "\xfd7zXZ\x00", "\x28\xb5\x2f\xfd", "BZh"} {
		if bytes.HasPrefix(start, []byte(magic)) {
			return true
		}
	}
	return false
}

func (p *packed) close() error {
	if p.below == nil {
		return nil
	}
	return p.below.Close()
}

func (p *packed) open(name string) (io.ReadCloser, int64, error) {
	f, ok := p.at[name]
	if !ok {
		return nil, 0, fmt.Errorf("%w: %s is missing", ErrMalformed, name)
	}
	return io.NopCloser(io.NewSectionReader(p.r, f.offset, f.size)), f.size, nil
}

// blob opens what a descriptor names. It must be read to its end for whole to tell anything.
func (l *Layout) blob(d descriptor) (*check, error) {
	algorithm, digest, err := parseDigest(d.Digest)
	if err != nil {
		return nil, err
	}
	r, size, err := l.files.open("blobs/" + algorithm + "/" + digest)
	if err != nil {
		return nil, err
	}
	c, err := newCheck(r, d.Digest, d.Size)
	if err == nil && size != d.Size {
		err = fmt.Errorf("%w: %s has %d bytes, want %d", ErrMalformed, d.Digest, size, d.Size)
	}
	if err != nil {
		r.Close()
		return nil, err
	}
	c.Closer = r
	return c, nil
}

// parseDigest keeps paths out of names.
func parseDigest(s string) (algorithm, digest string, err error) {
	algorithm, digest, _ = strings.Cut(s, ":")
	sizes := map[string]int{"sha256": sha256.Size, "sha512": sha512.Size}
	raw, err := hex.DecodeString(digest)
	if err != nil || len(raw) != sizes[algorithm] || len(raw) == 0 || strings.ToLower(digest) != digest {
		return "", "", fmt.Errorf("%w: %.200q is not a digest, want sha256:HEX or sha512:HEX", ErrMalformed, s)
	}
	return algorithm, digest, nil
}

// check hashes what is read through it.
type check struct {
	io.Closer
	r      io.Reader
	digest string
	size   int64 // wanted; -1 for any
	n      int64
	hash   hash.Hash
}

func newCheck(r io.Reader, digest string, size int64) (*check, error) {
	algorithm, _, err := parseDigest(digest)
	if err != nil {
		return nil, err
	}
	c := &check{r: r, digest: digest, size: size, hash: sha256.New()}
	if algorithm == "sha512" {
		c.hash = sha512.New()
	}
	return c, nil
}

func (c *check) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	c.hash.Write(p[:n])
	return n, err
}

// whole says what is wrong with what was read. What was not read counts too.
func (c *check) whole() error {
	if _, err := io.Copy(io.Discard, c); err != nil {
		return err
	}
	_, want, _ := strings.Cut(c.digest, ":")
	if got := hex.EncodeToString(c.hash.Sum(nil)); got != want || c.size >= 0 && c.n != c.size {
		return fmt.Errorf("%w: it has %d bytes and the digest %s, want %s", ErrMalformed, c.n, got, c.digest)
	}
	return nil
}
