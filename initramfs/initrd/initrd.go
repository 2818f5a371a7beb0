// Package initrd reads what files an initrd has. It is pure.
//
// Call Files. An initrd is archives in a row, each plain or compressed; the first are often plain, with microcode:
//
//	| 070701, 13 numbers of 8 hexadecimal digits | name, 0 | to 4 bytes | data | to 4 bytes | ... TRAILER!!! | zeros |
//
// Sources: Linux, Documentation/driver-api/early-userspace/buffer-format.rst; usr/gen_init_cpio.c; init/initramfs.c;
// scripts/Makefile.lib (lz4 -l). An initrd is hostile: at most 4 GiB of it and a million files are read.
package initrd

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"github.com/ulikunitz/xz"
)

// ErrUnknown is wrapped by errors about what this package does not read: another compression, or a damaged archive.
var ErrUnknown = errors.New("it is not an initrd that Griddle can read")

// Bounds of what is read.
const (
	maxBytes = 4 << 30
	maxFiles = 1_000_000
	maxName  = 4096
	maxZeros = 1 << 20   // between archives; they begin at 4 or 512 bytes
	window   = 128 << 20 // of zstd, in memory
)

// Files calls see with the name of each file, such as "usr/lib/modules/6.1.0/kernel/fs/xfs/xfs.ko", until see returns
// false.
func Files(r io.Reader, see func(name string) bool) error {
	w := &walk{see: see}
	err := w.archives(bufio.NewReaderSize(&io.LimitedReader{R: r, N: maxBytes}, 64<<10), true)
	if errors.Is(err, errSeen) {
		return nil
	}
	return err
}

// errSeen ends a walk that has seen enough.
var errSeen = errors.New("seen enough")

// walk is one run of Files.
type walk struct {
	see   func(name string) bool
	files int
	zeros int
}

// archives reads archives until the end. What is in a compressed one is not compressed again.
func (w *walk) archives(b *bufio.Reader, outer bool) error {
	for {
		head, err := b.Peek(6)
		switch {
		case len(head) == 0 && errors.Is(err, io.EOF):
			return nil
		case len(head) > 0 && head[0] == 0: // between archives
			all, _ := b.Peek(b.Buffered())
			n, err := b.Discard(len(all) - len(bytes.TrimLeft(all, "\x00")))
			if w.zeros += n; err != nil || w.zeros > maxZeros {
				return fmt.Errorf("%w: more than %d zeros are between its archives", ErrUnknown, maxZeros)
			}
		case bytes.HasPrefix(head, []byte("07070")):
			if err := w.archive(b); err != nil {
				return err
			}
		case outer:
			plain, done, err := decompress(head, b)
			if err != nil {
				return err
			}
			defer done()
			return w.archives(bufio.NewReader(&io.LimitedReader{R: plain, N: maxBytes}), false)
		default:
			return fmt.Errorf("%w: an archive begins with %q", ErrUnknown, head)
		}
	}
}

// decompress reads what begins with head.
func decompress(head []byte, r io.Reader) (plain io.Reader, done func(), err error) {
	done = func() {}
	switch {
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
		plain, err = gzip.NewReader(r)
	case bytes.HasPrefix(head, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		var z *zstd.Decoder
		z, err = zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(window))
		if err == nil {
			plain, done = z, z.Close
		}
	case bytes.HasPrefix(head, []byte("\xfd7zXZ\x00")):
		plain, err = xz.ReaderConfig{DictCap: window, SingleStream: true}.NewReader(r)
	case bytes.HasPrefix(head, []byte{0x02, 0x21, 0x4c, 0x18}):
		plain = lz4.NewReader(r)
	default:
		return nil, nil, fmt.Errorf("%w: it begins with %x", ErrUnknown, head)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrUnknown, err)
	}
	return plain, done, nil
}

// Places of numbers behind the magic: the size of the data and of the name.
const fileSize, nameSize, numbers = 6, 11, 13

// archive reads one archive to its end.
func (w *walk) archive(b *bufio.Reader) error {
	head := make([]byte, 6+8*numbers)
	for {
		if _, err := io.ReadFull(b, head); err != nil {
			return fmt.Errorf("%w: %w", ErrUnknown, err)
		}
		number := func(i int) (int64, error) {
			n, err := strconv.ParseUint(string(head[6+8*i:14+8*i]), 16, 32)
			return int64(n), err
		}
		size, err := number(fileSize)
		length, err2 := number(nameSize)
		if err := errors.Join(err, err2); err != nil || !bytes.HasPrefix(head, []byte("07070")) ||
			head[5] != '1' && head[5] != '2' || length < 1 || length > maxName {
			return fmt.Errorf("%w: a file of it is %q", ErrUnknown, head)
		}
		name := make([]byte, length)
		if _, err := io.ReadFull(b, name); err != nil {
			return fmt.Errorf("%w: %w", ErrUnknown, err)
		}
		if err := skip(b, -(int64(len(head))+length)&3, size, -size&3); err != nil {
			return err
		}
		text := strings.TrimRight(string(name), "\x00")
		if text == "TRAILER!!!" {
			return nil
		}
		if w.files++; w.files > maxFiles {
			return fmt.Errorf("%w: it has more than %d files", ErrUnknown, maxFiles)
		}
		if !w.see(strings.TrimPrefix(strings.TrimPrefix(text, "."), "/")) {
			return errSeen
		}
	}
}

// skip passes over runs of bytes.
func skip(r io.Reader, runs ...int64) error {
	for _, n := range runs {
		if _, err := io.CopyN(io.Discard, r, n); err != nil {
			return fmt.Errorf("%w: %w", ErrUnknown, err)
		}
	}
	return nil
}
