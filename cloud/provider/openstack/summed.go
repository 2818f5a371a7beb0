package openstack

import (
	"context"
	"crypto/md5" // what old glance has, beside SHA-512
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"

	"griddle/cloud/provider"

	"github.com/gophercloud/gophercloud/v2/openstack/image/v2/images"
)

// summed is an image's bytes, digested as they are read. It can be read once more from the start, for a request that is
// repeated with a new token.
type summed struct {
	ctx                 context.Context
	from                io.ReaderAt
	size, at            int64
	md5, sha256, sha512 hash.Hash
}

func newSummed(ctx context.Context, from io.ReaderAt, size int64) *summed {
	return &summed{ctx: ctx, from: from, size: size, md5: md5.New(), sha256: sha256.New(), sha512: sha512.New()}
}

// Read gives exactly size bytes; fewer there are an error, so that a file cut short is not sent as whole.
func (s *summed) Read(b []byte) (int, error) {
	if err := s.ctx.Err(); err != nil {
		return 0, err
	}
	if s.at == s.size {
		return 0, io.EOF
	}
	if int64(len(b)) > s.size-s.at {
		b = b[:s.size-s.at]
	}
	n, err := s.from.ReadAt(b, s.at)
	s.at += int64(n)
	for _, h := range []hash.Hash{s.md5, s.sha256, s.sha512} {
		h.Write(b[:n])
	}
	if n == len(b) {
		return n, nil
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return n, fmt.Errorf("reading byte %d of %d: %w: %w", s.at, s.size, provider.ErrInvalid, err)
}

// Seek goes to the start alone.
func (s *summed) Seek(offset int64, whence int) (int64, error) {
	if offset != 0 || whence != io.SeekStart {
		return 0, errors.New("an image is read from its start")
	}
	s.at = 0
	for _, h := range []hash.Hash{s.md5, s.sha256, s.sha512} {
		h.Reset()
	}
	return 0, nil
}

// sums are digests, in lower-case hex, and the number of bytes.
type sums struct {
	size                int64
	md5, sha256, sha512 string
}

func (s *summed) sums() sums {
	hexOf := func(h hash.Hash) string { return hex.EncodeToString(h.Sum(nil)) }
	return sums{s.at, hexOf(s.md5), hexOf(s.sha256), hexOf(s.sha512)}
}

// sumOf digests an image without sending it.
func sumOf(ctx context.Context, w *provider.Image) (sums, error) {
	c, err := w.Open()
	if err != nil {
		return sums{}, fmt.Errorf("opening it: %w", err)
	}
	defer c.Close()
	s := newSummed(ctx, c, w.Size)
	if _, err := io.Copy(io.Discard, s); err != nil {
		return sums{}, err
	}
	return s.sums(), nil
}

// compare says where what was read is not the image that was wanted (final), or glance has other
// bytes (to be sent again).
func (s sums) compare(i *images.Image, w *provider.Image) error {
	if "sha256:"+s.sha256 != w.Digest {
		return fmt.Errorf("its bytes have the digest sha256:%s, and not %s: %w", s.sha256, w.Digest,
			provider.ErrInvalid)
	}
	if i.SizeBytes != s.size {
		return fmt.Errorf("the image service has %d bytes, and %d were sent: %w", i.SizeBytes, s.size,
			provider.ErrTemporary)
	}
	algorithm, has, want := property(i, "os_hash_algo"), property(i, "os_hash_value"), ""
	switch {
	case has != "" && algorithm == "sha512":
		want = s.sha512
	case has != "" && algorithm == "sha256":
		want = s.sha256
	default:
		algorithm, has, want = "md5", i.Checksum, s.md5
	}
	if has != want {
		return fmt.Errorf("the image service has %s %q, and %q was sent: %w", algorithm, has, want,
			provider.ErrTemporary)
	}
	return nil
}
