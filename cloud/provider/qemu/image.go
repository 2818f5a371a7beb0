package qemu

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"griddle/cloud/provider"
	"griddle/imagestore/durable"
)

// image copies an image, unless one with its bytes is there. Others go on with all else meanwhile.
func (q *QEMU) image(ctx context.Context, w *provider.Image) (*record, error) {
	if w.Arch != "amd64" {
		return nil, fmt.Errorf("making image %q: QEMU runs amd64 here, and not %s: %w", w.Name, w.Arch,
			provider.ErrInvalid)
	}
	unlock, err := q.Disk.Lock(ctx, q.path("upload.lock"))
	if err != nil {
		return nil, fmt.Errorf("making image %q: %w", w.Name, err)
	}
	defer unlock()
	digest := strings.TrimPrefix(w.Digest, "sha256:")
	if r, err := q.read(q.path("images", digest)); err != nil || r != nil {
		return r, err
	}
	if err := q.empty("upload"); err != nil {
		return nil, fmt.Errorf("clearing up QEMU's state: %w", err)
	}
	from, err := w.Open()
	if err != nil {
		return nil, fmt.Errorf("opening image %q: %w", w.Name, err)
	}
	defer from.Close()
	r := &record{
		Labels: map[string]string{
			provider.LabelKind: string(provider.KindImage), provider.LabelName: w.Name, provider.LabelDigest: w.Digest,
			provider.LabelWant: w.Fingerprint(),
		},
		Serial: serial(),
		Image:  &imageRecord{Arch: w.Arch, Size: w.Size, Virtual: w.Virtual, BIOS: w.BIOS, UEFI: w.UEFI},
	}
	return r, q.place(r, "upload", func(dir string) error {
		got, err := q.copySparse(ctx, filepath.Join(dir, imageDisk), from, w.Size)
		if err == nil && got != digest {
			err = fmt.Errorf("its bytes are sha256:%s and not %s: %w", got, w.Digest, provider.ErrInvalid)
		}
		return err
	})
}

// sparse is how much of zeros is left out of a file.
const sparse = 64 << 10

// copySparse writes size bytes to a new file, leaves out zeros, and returns the SHA-256 of all.
func (q *QEMU) copySparse(ctx context.Context, path string, from io.ReaderAt, size int64) (digest string, err error) {
	to, err := q.Disk.OpenFile(path, flagNew, 0o600)
	if err != nil {
		return "", err
	}
	defer to.Close()
	h := sha256.New()
	buf, zero := make([]byte, 16*sparse), make([]byte, sparse)
	for at := int64(0); at < size; {
		if err := ctx.Err(); err != nil {
			return "", err
		}
		b := buf[:min(int64(len(buf)), size-at)]
		if n, err := from.ReadAt(b, at); n < len(b) {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return "", fmt.Errorf("reading it at byte %d: %w", at+int64(n), err)
		}
		h.Write(b)
		if err := writeSparse(to, b, at, zero); err != nil {
			return "", err
		}
		at += int64(len(b))
	}
	if err := to.Truncate(size); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), to.Sync()
}

// writeSparse writes runs of pieces that are not zero, in one write each.
func writeSparse(to *durable.File, b []byte, at int64, zero []byte) error {
	for start := 0; start < len(b); {
		end := start
		for end < len(b) && !bytes.Equal(b[end:min(end+sparse, len(b))], zero[:min(sparse, len(b)-end)]) {
			end = min(end+sparse, len(b))
		}
		if end > start {
			if _, err := to.WriteAt(b[start:end], at+int64(start)); err != nil {
				return err
			}
		}
		start = end + sparse // what stopped it, or the end
	}
	return nil
}
