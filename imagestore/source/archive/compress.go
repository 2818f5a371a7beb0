package archive

import (
	"bufio"
	"bytes"
	"compress/bzip2"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"github.com/therootcompany/xz"
)

// maxWindow is how far back a compressed stream may refer: `xz -9` takes 64 MiB, `zstd --long` 128 MiB.
const maxWindow = 256 << 20

// Decompress decompresses r if it is gzip, bzip2, xz, zstd or lz4, by its magic number; else it returns the bytes of
// r. Several such streams may follow one another. Close does not close r.
func Decompress(r io.Reader) (io.ReadCloser, error) {
	in := bufio.NewReaderSize(r, 256<<10)
	start, err := in.Peek(6)
	if err != nil && err != io.EOF {
		return nil, fmt.Errorf("reading archive: %w", err)
	}
	var out io.Reader
	close := func() {}
	kind := ""
	switch {
	case bytes.HasPrefix(start, []byte{0x1f, 0x8b}): // RFC 1952
		kind = "gzip"
		out, err = gzip.NewReader(in)
	case bytes.HasPrefix(start, []byte("BZh")):
		kind = "bzip2"
		out, err = bzip2.NewReader(in), nil
	case bytes.HasPrefix(start, []byte("\xfd7zXZ\x00")):
		kind = "xz"
		out, err = xz.NewReader(in, maxWindow)
	case bytes.HasPrefix(start, []byte{0x28, 0xb5, 0x2f, 0xfd}), // RFC 8878: a frame
		// or one to skip, of lz4 too
		len(start) >= 4 && start[0]&0xf0 == 0x50 && bytes.Equal(start[1:4], []byte{0x2a, 0x4d, 0x18}):
		kind = "zstd"
		var z *zstd.Decoder
		if z, err = zstd.NewReader(in, zstd.WithDecoderMaxWindow(maxWindow),
			zstd.WithDecoderMaxMemory(maxWindow)); err == nil {
			out, close = z, z.Close
		}
	case bytes.HasPrefix(start, []byte{0x04, 0x22, 0x4d, 0x18}):
		kind = "lz4"
		out, err = lz4.NewReader(in), nil
	default:
		return &decompressed{out: in, close: close}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%w: decompressing %s: %w", ErrMalformed, kind, err)
	}
	return &decompressed{out, close, kind}, nil
}

type decompressed struct {
	out   io.Reader
	close func()
	kind  string // of the compression; "" for none
}

func (d *decompressed) Read(p []byte) (int, error) {
	n, err := d.out.Read(p)
	if err != nil && err != io.EOF && d.kind != "" {
		err = fmt.Errorf("%w: decompressing %s: %w", ErrMalformed, d.kind, err)
	}
	return n, err
}

func (d *decompressed) Close() error {
	d.close()
	return nil
}
