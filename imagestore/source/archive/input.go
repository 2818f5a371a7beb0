package archive

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
)

// blockSize is what everything in an archive is padded to.
const blockSize = 512

// maxPadding is how many zeros may follow the end of an archive: tar fills its last record, which has 10 KiB, and on
// request up to some MiB.
const maxPadding = 64 << 20

// A header is an entry without its content.
type header struct {
	*tar.Header
	sparse []extent // where the stored bytes belong; nil where the file is stored as it is
}

// stored is how many bytes of content follow the header.
func (h *header) stored() int64 {
	switch h.Typeflag {
	case tar.TypeLink, tar.TypeSymlink, tar.TypeChar, tar.TypeBlock, tar.TypeDir, tar.TypeFifo, tar.TypeXGlobalHeader:
		return 0 // whatever they say of their size (as archive/tar has it)
	}
	if h.sparse != nil {
		var n int64
		for _, e := range h.sparse {
			n += e.length
		}
		return n
	}
	return h.Size
}

// An input is an archive that is read. The headers are archive/tar's to read; it does not tell where a file's holes
// are, so that what it reads is recorded and looked at again, and the content is read past it: each entry has a
// tar.Reader of its own.
type input struct {
	r      io.Reader
	offset int64
	left   *int64 // bytes that may still be read
	limit  int64
	ended  bool // the reader below is at its end
	record *bytes.Buffer
}

func (in *input) Read(p []byte) (int, error) {
	if in.ended {
		return 0, io.EOF
	}
	n, err := in.r.Read(p)
	if n > 0 && err == io.EOF {
		err = nil // it comes again, and then says that nothing was read
	}
	in.offset += int64(n)
	if *in.left -= int64(n); *in.left < 0 {
		return 0, fmt.Errorf("%w: it decompresses to more than %d bytes", ErrLimit, in.limit)
	}
	if in.record != nil {
		if in.record.Len()+n > maxHeaders {
			return 0, fmt.Errorf("%w: the headers of one entry have more than %d bytes", ErrLimit, maxHeaders)
		}
		in.record.Write(p[:n])
	}
	in.ended = err == io.EOF
	return n, err
}

// next reads the header of an entry. It gives io.EOF at the end marker, and where nothing is left.
func (in *input) next() (*header, error) {
	in.record = &bytes.Buffer{}
	h, err := tar.NewReader(in).Next()
	record := in.record.Bytes()
	in.record = nil
	switch {
	case errors.Is(err, tar.ErrInsecurePath) && h != nil: // that is seen to here
	case errors.Is(err, tar.ErrHeader), errors.Is(err, tar.ErrFieldTooLong), errors.Is(err, io.ErrUnexpectedEOF):
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	case err != nil:
		return nil, err
	}
	out := &header{Header: h}
	h.ModTime, h.AccessTime = zeroTime(h.ModTime), h.AccessTime.UTC()
	if out.sparse, err = sparseMap(h, record); err != nil {
		return nil, err
	}
	if out.Size < 0 {
		return nil, fmt.Errorf("%w: size %d", ErrMalformed, out.Size)
	}
	return out, nil
}

// skip passes over the content of an entry and its padding.
func (in *input) skip(n int64) error {
	if _, err := io.CopyN(io.Discard, in, n); err != nil {
		return cutOff(err)
	}
	return in.pad(n)
}

// pad passes over what fills up the last block of n bytes. At the very end it may be missing.
func (in *input) pad(n int64) error {
	_, err := io.CopyN(io.Discard, in, -n&(blockSize-1))
	if err == io.EOF {
		return nil
	}
	return err
}

func cutOff(err error) error {
	if err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: it is cut off: %w", ErrMalformed, io.ErrUnexpectedEOF)
	}
	return err
}

// rest reads what is behind the end marker.
func (in *input) rest() error {
	buf := make([]byte, 32<<10)
	zeros := make([]byte, len(buf))
	for total := 0; ; {
		n, err := in.Read(buf)
		if !bytes.Equal(buf[:n], zeros[:n]) {
			return fmt.Errorf("%w: something follows its end", ErrMalformed)
		}
		if total += n; total > maxPadding {
			return fmt.Errorf("%w: more than %d bytes follow its end", ErrLimit, maxPadding)
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
