package encoding

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"sync/atomic"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/sync/errgroup"

	"griddle/imagestore/blob"
	"griddle/imagestore/content"
	"griddle/imagestore/document"
)

// Encoder turns a raw stream into an encoding. The zero value encodes in Go, at the level that matches zstd's 3, on
// all processors, one piece to a frame (which costs 0.5 % against one solid stream, measured, and lets a
// reader check, resume and repair by 8 MiB).
type Encoder struct {
	Workers     int                   // frames in work at once; zero means one for each processor
	Program     string                // path of the zstd program; empty means our own encoder, in Go
	Level       int                   // zstd's level, 1 to 19; zero means 3
	Nice        int                   // of the program, 0 to 19
	FramePieces int                   // pieces to a frame, 1 to MaxFramePieces; zero means 1
	Progress    func(raw, wire int64) // called in order, from one goroutine, after each frame, with the totals so far

	// Dictionary names the parent's files whose content is to be the dictionary of the frame with the n bytes from raw
	// of the stream; it is called in order, from one goroutine, when these were read. Parent is the directory of the
	// parent's tree. They take a Program; without it no frame has a dictionary.
	Dictionary func(raw, n int64) []Extract
	Parent     string

	Tap *Tap // also gets the raw bytes; may be nil
}

// Encoded is what Encode made.
type Encoded struct {
	Index  blob.Digest // of the stored index
	Frames Index
	Pieces []string // SHA-256 of each piece, for the stream document
	Raw    int64    // bytes read
	Wire   int64    // bytes of the encoding
}

func (e Encoder) validate() error {
	var errs []error
	if e.Level < 0 || e.Level > 19 {
		errs = append(errs, fmt.Errorf("level %d is not between 1 and 19", e.Level))
	}
	if e.FramePieces < 0 || e.FramePieces > MaxFramePieces {
		errs = append(errs, fmt.Errorf("%d pieces to a frame are not between 1 and %d", e.FramePieces, MaxFramePieces))
	}
	if e.Dictionary != nil && (e.Program == "" || e.Parent == "") {
		errs = append(errs, errors.New("dictionaries need the zstd program and the parent's tree"))
	}
	if e.Workers < 0 {
		errs = append(errs, fmt.Errorf("%d workers", e.Workers))
	}
	return errors.Join(errs...)
}

type encodedFrame struct {
	data   []byte
	sum    string
	pieces []string
	dict   []Extract
	raw    int64
	done   func() // gives the buffers back
}

// Encode reads r to its end and puts the encoding and its index into blobs. Reading, hashing and compressing, and
// writing run at the same time; at one piece to a frame memory is about 25 MiB, and 25 MiB more for each worker.
// Both blobs are as durable as Put makes them. After an error the blobs that were put are left for the collection.
func (e Encoder) Encode(ctx context.Context, r io.Reader, blobs blob.Store) (Encoded, error) {
	if err := e.validate(); err != nil {
		return Encoded{}, fmt.Errorf("encoding stream: %w", err)
	}
	if e.Workers == 0 {
		e.Workers = runtime.GOMAXPROCS(0)
	}
	e.FramePieces = max(e.FramePieces, 1)
	if e.Level == 0 {
		e.Level = 3
	}
	// An empty source fails before anything is put: it is what a sender that did not start leaves behind.
	first := make([]byte, 1)
	if _, err := io.ReadFull(r, first); err == io.EOF {
		return Encoded{}, errors.New("encoding stream: it is empty")
	} else if err != nil {
		return Encoded{}, fmt.Errorf("encoding stream: reading it: %w", err)
	}
	r = io.MultiReader(bytes.NewReader(first), r)
	var out Encoded
	g, work := errgroup.WithContext(ctx)
	pr, pw := io.Pipe()
	frames := make(chan chan encodedFrame, e.Workers)
	var readErr error // set before frames is closed
	g.Go(func() error {
		defer close(frames)
		readErr = e.read(work, g, r, frames)
		return readErr
	})
	g.Go(func() error {
		err := e.collect(work, frames, pw, &out)
		if err == nil {
			err = readErr // else the part that was read would be put as if it were the whole
		}
		pw.CloseWithError(err)
		return err
	})
	g.Go(func() error {
		d, n, err := blobs.Put(work, pr, "")
		pr.CloseWithError(errors.Join(err, io.ErrClosedPipe))
		out.Frames.Encoding, out.Frames.Size = d, n
		return err
	})
	if err := g.Wait(); err != nil {
		return Encoded{}, fmt.Errorf("encoding stream: %w", err)
	}
	out.Frames.Format, out.Frames.Raw, out.Frames.PieceSize, out.Frames.Level = Format, out.Raw,
		document.PieceSize, e.Level
	if e.Dictionary != nil {
		out.Frames.Format = FormatDictionary
	}
	if err := out.Frames.Validate(); err != nil {
		return Encoded{}, fmt.Errorf("encoding stream: %w", err)
	}
	line, err := document.MarshalLine(out.Frames)
	if err == nil {
		out.Index, _, err = blobs.Put(ctx, bytes.NewReader(line), blob.Sum(line))
	}
	if err != nil {
		return Encoded{}, fmt.Errorf("encoding stream: %w", err)
	}
	return out, nil
}

// EncodeWritten calls write to write the stream, and encodes it into out as it comes, both in goroutines of g.
func (e Encoder) EncodeWritten(ctx context.Context, g *errgroup.Group, blobs blob.Store, out *Encoded,
	write func(io.Writer) error) {
	r, w := io.Pipe()
	g.Go(func() error {
		err := write(w)
		w.CloseWithError(err) // nil is the end
		return err
	})
	g.Go(func() error {
		var err error
		*out, err = e.Encode(ctx, r, blobs)
		r.CloseWithError(errors.Join(err, io.ErrClosedPipe))
		return err
	})
}

// read cuts r into frames and starts a worker for each, at most e.Workers at a time. The channel carries the places
// where the results will be, in the order of the stream.
func (e Encoder) read(ctx context.Context, g *errgroup.Group, r io.Reader, frames chan<- chan encodedFrame) error {
	// One slot more than workers, so that reading goes on while all compress, and one for the tap to be behind with.
	free := make(chan *slot, e.Workers+2)
	for range cap(free) {
		free <- nil
	}
	encoders := make(chan *zstd.Encoder, e.Workers) // who holds one is a worker
	for range cap(encoders) {
		encoders <- nil
	}
	at := int64(0)
	for {
		var s *slot
		select {
		case s = <-free:
		case <-ctx.Done():
			return ctx.Err()
		}
		if s == nil {
			var err error
			if s, err = e.newSlot(); err != nil {
				return err
			}
		}
		n, err := s.fill(r, e.FramePieces*document.PieceSize)
		if n > 0 {
			raw := s.raw[:n]
			var users atomic.Int32
			users.Store(1)
			done := func() {
				if users.Add(-1) == 0 {
					free <- s
				}
			}
			if e.Tap != nil {
				users.Add(1)
				if err := e.Tap.give(ctx, raw, done); err != nil {
					return err
				}
			}
			result := make(chan encodedFrame, 1)
			var enc *zstd.Encoder
			select {
			case enc = <-encoders:
			case <-ctx.Done():
				return ctx.Err()
			}
			f := encodedFrame{raw: int64(n), done: done}
			if e.Dictionary != nil {
				f.dict = e.Dictionary(at, int64(n))
			}
			at += int64(n)
			g.Go(func() error {
				var err error
				if s.dict, err = e.dictionary(f.dict, s.dict[:0]); err != nil {
					return err
				}
				if f.data, err = e.compress(ctx, &enc, s, n); err != nil {
					return err
				}
				for p := range slices.Chunk(raw, document.PieceSize) {
					f.pieces = append(f.pieces, blob.Sum(p).Hex())
				}
				f.sum = blob.Sum(f.data).Hex()
				encoders <- enc
				result <- f
				return nil
			})
			select {
			case frames <- result:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		switch {
		case err == io.EOF || err == io.ErrUnexpectedEOF:
			if e.Tap != nil {
				e.Tap.end()
			}
			return nil
		case err != nil:
			return fmt.Errorf("reading it: %w", err)
		}
	}
}

// collect writes the frames in order and fills in out.
func (e Encoder) collect(ctx context.Context, frames <-chan chan encodedFrame, w io.Writer, out *Encoded) error {
	for result := range frames {
		var f encodedFrame
		select {
		case f = <-result:
		case <-ctx.Done():
			return ctx.Err()
		}
		if _, err := w.Write(f.data); err != nil {
			return err
		}
		out.Frames.Frames = append(out.Frames.Frames, Frame{Offset: out.Wire, Length: int64(len(f.data)),
			Pieces: len(f.pieces), SHA256: f.sum, Dictionary: f.dict})
		out.Pieces = append(out.Pieces, f.pieces...)
		out.Raw += f.raw
		out.Wire += int64(len(f.data))
		f.done()
		if e.Progress != nil {
			e.Progress(out.Raw, out.Wire)
		}
	}
	return ctx.Err()
}

// slot is the memory that one frame is made in. What uses raw holds the slot, or a function that does.
type slot struct {
	raw, out []byte
	in, to   *memoryFile // where a program compresses: raw is the memory of in
	dict     []byte
	prefix   *memoryFile // where the program finds dict; nil until there is one
}

func (e Encoder) newSlot() (*slot, error) {
	raw := e.FramePieces * document.PieceSize
	s := &slot{}
	if e.Program == "" {
		s.raw = make([]byte, min(raw, firstRaw))
		return s, nil
	}
	s.out = make([]byte, 0, MaxFrame(e.FramePieces))
	var err error
	if s.in, err = newMemoryFile(raw); err != nil {
		return nil, err
	}
	s.raw = s.in.b
	s.to, err = newMemoryFile(0)
	return s, err
}

// firstRaw is the memory that a slot begins with, in bytes: most streams that are ever made are short deltas.
const firstRaw = 256 << 10

// fill reads up to most bytes into raw, which grows where there are more than it holds. Errors are io.ReadFull's.
func (s *slot) fill(r io.Reader, most int) (int, error) {
	n, err := io.ReadFull(r, s.raw)
	for err == nil && n < most {
		s.raw = append(s.raw, make([]byte, min(3*n, most-n))...)
		var more int
		more, err = io.ReadFull(r, s.raw[n:])
		n += more
	}
	if err == io.EOF && n > 0 {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// dictionary appends the content of a frame's dictionary to b.
func (e Encoder) dictionary(extracts []Extract, b []byte) ([]byte, error) {
	if len(extracts) == 0 {
		return b, nil
	}
	root, err := content.OpenRoot(e.Parent)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	return readDictionary(root, extracts, b)
}

// compress makes one zstd frame with the first n bytes of the slot's raw in it.
func (e Encoder) compress(ctx context.Context, enc **zstd.Encoder, s *slot, n int) ([]byte, error) {
	if e.Program != "" {
		return e.runProgram(ctx, s, n)
	}
	if *enc == nil {
		var err error
		// No checksum: the pieces' SHA-256 stands for it.
		*enc, err = zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(false),
			zstd.WithEncoderLevel(zstd.EncoderLevelFromZstd(e.Level)), zstd.WithWindowSize(document.PieceSize))
		if err != nil {
			return nil, fmt.Errorf("compressing: %w", err)
		}
	}
	s.out = (*enc).EncodeAll(s.raw[:n], s.out[:0])
	return s.out, nil
}
