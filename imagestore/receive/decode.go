package receive

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"io"

	"github.com/anchore/go-lzo"
	"github.com/klauspost/compress/zstd"

	"griddle/imagestore/sendstream"
)

// A decoder decompresses encoded writes; its zero value works.
type decoder struct {
	zstd *zstd.Decoder
	out  []byte
}

// decode returns the bytes that belong into the file, valid until the next call. Where the compressed data give less
// than they announce, the rest is zeros, as it is in btrfs.
func (d *decoder) decode(c *sendstream.Command) ([]byte, error) {
	if c.UnencodedOffset > c.UnencodedLen || c.UnencodedFileLen > c.UnencodedLen-c.UnencodedOffset {
		return nil, errEncoded("%d bytes from %d are not within %d", c.UnencodedFileLen,
			c.UnencodedOffset, c.UnencodedLen)
	}
	if c.Compression == sendstream.CompressionNone {
		if c.UnencodedLen != uint64(len(c.Data)) {
			return nil, errEncoded("%d bytes, not %d", len(c.Data), c.UnencodedLen)
		}
		return c.Data[c.UnencodedOffset : c.UnencodedOffset+c.UnencodedFileLen], nil
	}
	if c.UnencodedLen > maxUnencoded {
		return nil, errEncoded("%d bytes in an extent, limit %d", c.UnencodedLen, maxUnencoded)
	}
	if d.out == nil {
		d.out = make([]byte, maxUnencoded)
	}
	out := d.out[:c.UnencodedLen]
	var n int
	var err error
	switch c.Compression {
	case sendstream.CompressionZlib:
		n, err = d.unzlib(out, c.Data)
	case sendstream.CompressionZstd:
		n, err = d.unzstd(out, c.Data)
	case sendstream.CompressionLZO4K, sendstream.CompressionLZO8K, sendstream.CompressionLZO16K,
		sendstream.CompressionLZO32K, sendstream.CompressionLZO64K:
		n, err = unlzo(out, c.Data, 4096<<(c.Compression-sendstream.CompressionLZO4K))
	default:
		err = errEncoded("compression %d is not supported", c.Compression)
	}
	if err != nil {
		return nil, err
	}
	clear(out[n:])
	return out[c.UnencodedOffset : c.UnencodedOffset+c.UnencodedFileLen], nil
}

// unzlib stops at the end of the zlib stream: zeros that fill the sector follow.
func (d *decoder) unzlib(out, in []byte) (int, error) {
	r, err := zlib.NewReader(bytes.NewReader(in))
	if err != nil {
		return 0, errEncoded("zlib: %v", err)
	}
	n, err := io.ReadFull(r, out)
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return 0, errEncoded("zlib: %v", err)
	}
	if err == io.ErrUnexpectedEOF && n == 0 {
		return 0, errEncoded("zlib: %v", err)
	}
	return n, nil
}

// unzstd decodes the first frame. btrfs fills the rest of the last sector with zeros, which a decoder of frames that
// follow one another takes for a broken one; so its error counts only where nothing came out before it.
func (d *decoder) unzstd(out, in []byte) (int, error) {
	if d.zstd == nil {
		z, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxUnencoded),
			zstd.WithDecoderMaxWindow(maxUnencoded), zstd.WithDecoderLowmem(true))
		if err != nil {
			return 0, err
		}
		d.zstd = z
	}
	frame, err := zstdFrame(in)
	if err != nil {
		return 0, err
	}
	got, err := d.zstd.DecodeAll(frame, out[:0:len(out)])
	if err != nil {
		return 0, errEncoded("zstd: %v", err)
	}
	if len(got) > len(out) {
		return 0, errEncoded("zstd: more than %d bytes", len(out))
	}
	return copy(out, got), nil
}

// zstdFrame cuts off what follows the first frame (RFC 8878 section 3.1.1).
func zstdFrame(b []byte) ([]byte, error) {
	var h zstd.Header
	if err := h.Decode(b); err != nil {
		return nil, errEncoded("zstd: %v", err)
	}
	if h.Skippable {
		return nil, errEncoded("zstd: a skippable frame")
	}
	end := h.HeaderSize
	for last := false; !last; {
		if len(b)-end < 3 {
			return nil, errEncoded("zstd: the frame is cut off")
		}
		block := uint32(b[end]) | uint32(b[end+1])<<8 | uint32(b[end+2])<<16
		last = block&1 != 0
		size := int(block >> 3)
		if block>>1&3 == 1 { // a single byte that is repeated
			size = 1
		}
		if end += 3 + size; end > len(b) {
			return nil, errEncoded("zstd: the frame is cut off")
		}
	}
	if h.HasCheckSum {
		if end += 4; end > len(b) {
			return nil, errEncoded("zstd: the frame is cut off")
		}
	}
	return b[:end], nil
}

// unlzo decodes the format of fs/btrfs/lzo.c: the total length, then segments of one sector each when decompressed,
// every one behind its length. No length crosses the border of a sector of compressed data; zeros fill the sector
// instead.
func unlzo(out, in []byte, sector int) (int, error) {
	const lengthSize = 4
	if len(in) < lengthSize {
		return 0, errEncoded("lzo: %d bytes", len(in))
	}
	total := binary.LittleEndian.Uint32(in)
	if total < lengthSize || uint64(total) > uint64(len(in)) {
		return 0, errEncoded("lzo: announces %d bytes of %d", total, len(in))
	}
	in = in[:total]
	n := 0
	for at := lengthSize; at < len(in) && n < len(out); {
		if left := sector - at%sector; left < lengthSize {
			at += left
			continue
		}
		if len(in)-at < lengthSize {
			return 0, errEncoded("lzo: a segment is cut off")
		}
		size := binary.LittleEndian.Uint32(in[at:])
		at += lengthSize
		if uint64(size) > uint64(len(in)-at) {
			return 0, errEncoded("lzo: a segment is cut off")
		}
		want := min(sector, len(out)-n)
		got, err := unlzoSegment(out[n:n+want], in[at:at+int(size)])
		if err != nil {
			return 0, errEncoded("lzo: %v", err)
		}
		if got != want && n+got != len(out) && at+int(size) != len(in) {
			return 0, errEncoded("lzo: a segment of %d bytes, not %d", got, want)
		}
		n, at = n+got, at+int(size)
	}
	return n, nil
}

// unlzoSegment keeps what the library may do on broken input away from the caller.
func unlzoSegment(out, in []byte) (n int, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = errors.New("broken data")
		}
	}()
	n, err = lzo.Decompress(in, out)
	if err == nil && n > len(out) {
		err = errors.New("too long")
	}
	return n, err
}
