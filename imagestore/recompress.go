package imagestore

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"time"

	"griddle/imagestore/blob"
	"griddle/imagestore/catalog"
	"griddle/imagestore/encoding"
	"griddle/imagestore/ref"
)

// RecompressOptions says what Recompress does.
type RecompressOptions struct {
	// images whose streams are made smaller; all images if empty
	Refs    []ref.Ref
	Program string // path of the zstd program; "" looks for it on PATH
	Level   int    // 10 to 19; zero means 19
	// frames in work at once; zero means one for each processor. Each takes up to 500 MB at level 19
	Workers  int
	Nice     int                                  // of the program, 0 to 19
	Progress func(name string, done, total int64) // bytes of raw streams; may be nil
}

// Recompressed is the result for one stream.
type Recompressed struct {
	Ref        string  `json:"ref"`                  // the image, in full
	Parent     string  `json:"parent,omitempty"`     // of a delta
	Before     int64   `json:"before"`               // bytes of the encoding that was replaced
	After      int64   `json:"after"`                // bytes of the one that replaces it
	Dictionary int64   `json:"dictionary,omitempty"` // bytes of a second one, for receivers with the parent's files
	Seconds    float64 `json:"seconds"`
}

// ErrNoProgram is wrapped by Recompress if there is no zstd program.
var ErrNoProgram = errors.New("the zstd program is not installed")

// Recompress encodes streams again at a high level, by the zstd program with a window of 128 MiB and with frames
// of encoding.MaxFramePieces. A delta then gets a second encoding, whose frames have the parent's files as
// dictionaries, but not over a connection to a server, because the trees are there. For each of the two, one
// durable line of the catalog replaces the old encoding or adds the new one. The signed documents stay, so the
// decoded bytes are the same. The old encoding is kept for a day, for those who are reading it. Recompress skips
// what is done already, also if several run at once; a killed one leaves blobs for Collect. A stream that fails,
// such as a damaged one, does not stop the others: the error names all that failed. done is called after each
// stream; may be nil.
func (s *Store) Recompress(ctx context.Context, o RecompressOptions, done func(Recompressed)) error {
	if o.Level == 0 {
		o.Level = 19
	}
	if o.Progress == nil {
		o.Progress = func(string, int64, int64) {}
	}
	if o.Program == "" {
		var err error
		if o.Program, err = exec.LookPath("zstd"); err != nil {
			return fmt.Errorf("recompressing: %w", ErrNoProgram)
		}
	}
	work, err := s.toRecompress(ctx, o)
	if err != nil {
		return fmt.Errorf("recompressing: %w", err)
	}
	var errs []error
	for _, w := range work {
		r, err := w.run(ctx)
		if ctx.Err() != nil {
			return fmt.Errorf("recompressing: %w", context.Cause(ctx))
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("recompressing %s: %w", w.listed.Ref, err))
		}
		if r.Before > 0 && done != nil {
			done(r)
		}
	}
	if len(work) == 0 {
		if err := s.Settle(ctx); err != nil {
			return fmt.Errorf("recompressing: %w", err)
		}
	}
	return errors.Join(errs...)
}

// recompression is one stream that is to be made smaller.
type recompression struct {
	s      *Store
	o      RecompressOptions
	listed *catalog.Listed
	stream catalog.ListedStream
	plain  bool // it is to be encoded anew
	dict   bool // an encoding with dictionaries is to be made
}

func (s *Store) toRecompress(ctx context.Context, o RecompressOptions) ([]recompression, error) {
	v, err := s.View(ctx)
	if err != nil {
		return nil, err
	}
	usable := v.Usable()
	images := usable.Sorted()
	if len(o.Refs) > 0 {
		images = nil
		for _, r := range o.Refs {
			l, err := v.Resolve(r)
			if err != nil {
				return nil, err
			}
			if err := l.Trusted(); err != nil {
				return nil, fmt.Errorf("%s: %w", l.Ref, err)
			}
			if l = usable.Image(l.Ref); !slices.Contains(images, l) {
				images = append(images, l)
			}
		}
	}
	var out []recompression
	for _, l := range images {
		for _, st := range l.Streams {
			if w := (recompression{s: s, o: o, listed: l, stream: st}); w.needed(usable) {
				out = append(out, w)
			}
		}
	}
	return out, nil
}

// needed says whether anything is to be done about the stream, and notes what.
func (w *recompression) needed(v *catalog.View) bool {
	if w.stream.Dictionary {
		return false
	}
	w.plain = w.stream.Level < w.o.Level
	// A store without trees, one behind a server, cannot make dictionaries. Nor can anybody of a deleted parent.
	w.dict = w.s.trees != "" && v.Image(w.stream.Parent) != nil && !w.stream.NoDictionary &&
		!slices.ContainsFunc(w.listed.Streams, func(s catalog.ListedStream) bool {
			return s.Dictionary && s.Document == w.stream.Document
		})
	return w.plain || w.dict
}

// look finds the stream again as the catalog has it now: what was to be done may be done, or the image deleted.
func (w *recompression) look(ctx context.Context) (bool, error) {
	v, err := w.s.View(ctx)
	if err != nil {
		return false, err
	}
	v = v.Usable()
	l := v.Image(w.listed.Ref)
	if l == nil {
		return false, nil
	}
	i := slices.IndexFunc(l.Streams, func(s catalog.ListedStream) bool {
		return s.Index == w.stream.Index && s.Document == w.stream.Document
	})
	if i < 0 {
		return false, nil
	}
	w.listed, w.stream = l, l.Streams[i]
	return w.needed(v), nil
}

// run does what is to be done about the stream. What it gives is empty where that was nothing.
func (w recompression) run(ctx context.Context) (out Recompressed, err error) {
	if needed, err := w.look(ctx); !needed || err != nil {
		return out, err
	}
	start := time.Now()
	passes := int64(0)
	for _, p := range []bool{w.plain, w.dict} {
		if p {
			passes++
		}
	}
	e := encoding.Encoder{Program: w.o.Program, Level: w.o.Level, Workers: w.o.Workers,
		FramePieces: encoding.MaxFramePieces, Nice: w.o.Nice}
	before, base := w.stream.Wire, int64(0)
	e.Progress = func(raw, _ int64) { w.o.Progress(w.listed.Ref, base+raw, passes*w.stream.Raw) }
	defer func() {
		if err != nil {
			// Somebody else may have been faster, or deleted the image under our hands: then it is no failure. But it
			// may be our own line that was found, and what failed its sync.
			if needed, lerr := w.look(ctx); lerr == nil && !needed {
				err = w.s.Settle(ctx)
			}
		}
		out.Seconds = time.Since(start).Seconds()
	}()
	// Each pass is in the catalog when it is through: that one is killed, or fails, costs nothing of the other.
	if w.plain {
		plain, err := w.encode(ctx, e, nil)
		if err == nil {
			err = w.swap(ctx, catalog.Reencoding{New: []blob.Digest{plain.Index}})
		}
		if err != nil {
			return out, err
		}
		w.stream.Index, w.stream.Wire = plain.Index, plain.Wire
		base = w.stream.Raw
	}
	out = Recompressed{Ref: w.listed.Ref, Parent: w.stream.Parent, Before: before, After: w.stream.Wire}
	if w.dict {
		with, err := w.withDictionaries(ctx, e)
		if err != nil {
			return out, err
		}
		change := catalog.Reencoding{New: []blob.Digest{w.stream.Index}, NoDictionary: true}
		// Who has the files fetches fewer bytes, or it was for nothing.
		if with.Wire < w.stream.Wire {
			change.New, change.NoDictionary = append(change.New, with.Index), false
		}
		if err := w.swap(ctx, change); err != nil {
			return out, err
		}
		if !change.NoDictionary {
			out.Dictionary = with.Wire
		}
	}
	return out, nil
}

func (w recompression) swap(ctx context.Context, r catalog.Reencoding) error {
	r.Ref, r.Stream, r.Old = w.listed.Ref, w.stream.Document, w.stream.Index
	_, err := w.s.Catalog.Change(ctx, catalog.Change{Reencode: &r})
	return err
}
