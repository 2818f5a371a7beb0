package encoding

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/sys/unix"

	"griddle/imagestore/content"
	"griddle/imagestore/document"
)

// ErrNeedsParent is wrapped if frames have dictionaries and the caller gave no directory with the parent's files.
var ErrNeedsParent = errors.New("the stream's parent is needed to decode it")

// readDictionary appends the extracts of the parent's files to b. What is missing of them is an error: the frame cannot
// be decoded with less.
func readDictionary(parent *content.Root, extracts []Extract, b []byte) ([]byte, error) {
	b = slices.Grow(b, int(Frame{Dictionary: extracts}.dictionarySize()))
	for _, e := range extracts {
		at := len(b)
		b = b[:at+int(e.Length)]
		if err := readExtract(parent, e, b[at:]); err != nil {
			return nil, fmt.Errorf("reading dictionary: %w", err)
		}
	}
	return b, nil
}

func readExtract(parent *content.Root, e Extract, b []byte) error {
	var st unix.Stat_t
	fd, err := parent.Open(e.Path, &st)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	for off := e.Offset; len(b) > 0; {
		n, err := unix.Pread(fd, b, off)
		if err == unix.EINTR {
			continue
		}
		if err == nil && n == 0 {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return fmt.Errorf("%.200q of the parent, at %d of its %d bytes: %w", e.Path, off, st.Size, err)
		}
		b, off = b[n:], off+int64(n)
	}
	return nil
}

// FrameDecoder decodes frames, with and without dictionaries, within a bound on memory. It is for one goroutine.
type FrameDecoder struct {
	dec          *zstd.Decoder
	parent       *content.Root // nil where there is none
	dict         []byte        // used again
	MostRaw      int64         // bytes that a frame may decode to
	LongestFrame int64         // bytes of the longest frame
}

// NewFrameDecoder makes a decoder for the frames of x. parent is the directory of the stream's parent, "" for none.
func NewFrameDecoder(x Index, parent string) (*FrameDecoder, error) {
	if parent == "" && x.NeedsParent() {
		return nil, ErrNeedsParent
	}
	d := &FrameDecoder{}
	dict := int64(0)
	for _, f := range x.Frames {
		d.MostRaw, d.LongestFrame, dict = max(d.MostRaw, int64(f.Pieces)*document.PieceSize),
			max(d.LongestFrame, f.Length), max(dict, f.dictionarySize())
	}
	d.dict = make([]byte, 0, dict)
	limit := d.MostRaw
	if x.NeedsParent() {
		// The limit is one on windows too, and a window reaches back over the dictionary.
		limit += MaxDictionary
		root, err := content.OpenRoot(parent)
		if err != nil {
			return nil, err
		}
		d.parent = root
	}
	var err error
	if d.dec, err = NewZstdDecoder(limit, true); err != nil {
		d.Close()
		return nil, err
	}
	return d, nil
}

func (d *FrameDecoder) Close() {
	if d.dec != nil {
		d.dec.Close()
	}
	if d.parent != nil {
		d.parent.Close()
	}
}

// Decode appends the content of the frame to dst, and never more than fits into it.
func (d *FrameDecoder) Decode(f Frame, frame, dst []byte) ([]byte, error) {
	if d.parent != nil {
		var err error
		if d.dict, err = readDictionary(d.parent, f.Dictionary, d.dict[:0]); err != nil {
			return nil, err
		}
		set := zstd.WithDecoderDictDelete()
		if len(d.dict) > 0 {
			set = zstd.WithDecoderDictRaw(0, d.dict)
		}
		if err := d.dec.ResetWithOptions(nil, set); err != nil {
			return nil, fmt.Errorf("setting dictionary: %w", err)
		}
	}
	return d.dec.DecodeAll(frame, dst)
}
