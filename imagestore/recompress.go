package imagestore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"griddle/imagestore/blob"
)

// RecompressOptions says what Recompress does.
type RecompressOptions struct {
	Refs     []Ref                               // images whose streams are made smaller; all of them where there are none
	Program  string                              // path of the zstd program; "" looks for it on PATH
	Level    int                                 // 10 to 19; zero means 19
	Workers  int                                 // frames in work at once; zero means one for each processor. Each takes up to 500 MB at level 19
	Nice     int                                 // of the program, 0 to 19
	Progress func(ref string, done, total int64) // bytes of raw streams; may be nil
}

// Recompressed is what became of one stream.
type Recompressed struct {
	Ref        string  `json:"ref"`                  // the image, in full
	Parent     string  `json:"parent,omitempty"`     // of a delta
	Before     int64   `json:"before"`               // bytes of the encoding that was replaced
	After      int64   `json:"after"`                // bytes of the one that stands for it
	Dictionary int64   `json:"dictionary,omitempty"` // bytes of a second one, for who has the parent's files
	Seconds    float64 `json:"seconds"`
}

// ErrNoProgram is wrapped by Recompress where there is no zstd program.
var ErrNoProgram = errors.New("the zstd program is not installed")

// Recompress encodes streams anew at a high level, by the zstd program with a window of 128 MiB and with frames of
// MaxFramePieces. A delta gets a second encoding, whose frames have the parent's files as dictionaries. One durable line of
// the catalog puts the new ones in the old one's place: the signed documents stay, so that the same bytes come out. The old
// encoding is kept for a day, for those who are reading it. What is at that level already is left alone; a killed
// Recompress leaves blobs to Collect. done is called after each stream; may be nil.
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
	for _, w := range work {
		r, err := w.run(ctx)
		if err != nil {
			return fmt.Errorf("recompressing %s: %w", w.listed.Ref, err)
		}
		if done != nil {
			done(r)
		}
	}
	if len(work) == 0 {
		if err := s.settle(ctx); err != nil {
			return fmt.Errorf("recompressing: %w", err)
		}
	}
	return nil
}

// recompression is one stream that is to be made smaller.
type recompression struct {
	s      *Store
	o      RecompressOptions
	listed *Listed
	stream ListedStream
}

func (s *Store) toRecompress(ctx context.Context, o RecompressOptions) ([]recompression, error) {
	v, err := s.view(ctx)
	if err != nil {
		return nil, err
	}
	images := v.sorted()
	if len(o.Refs) > 0 {
		images = nil
		for _, r := range o.Refs {
			l, err := v.resolve(r)
			if err != nil {
				return nil, err
			}
			if !slices.Contains(images, l) {
				images = append(images, l)
			}
		}
	}
	var out []recompression
	for _, l := range images {
		for _, st := range l.Streams {
			if !st.Dictionary && st.Level < o.Level {
				out = append(out, recompression{s, o, l, st})
			}
		}
	}
	return out, nil
}

func (w recompression) run(ctx context.Context) (Recompressed, error) {
	start := time.Now()
	out := Recompressed{Ref: w.listed.Ref, Parent: w.stream.Parent, Before: w.stream.Wire}
	e := Encoder{Program: w.o.Program, Level: w.o.Level, Workers: w.o.Workers, FramePieces: MaxFramePieces, Nice: w.o.Nice}
	passes := int64(1)
	if w.stream.Parent != "" && w.s.trees != "" {
		passes = 2
	}
	e.Progress = func(raw, _ int64) { w.o.Progress(w.listed.Ref, raw, passes*w.stream.Raw) }
	plain, err := w.encode(ctx, e, nil)
	if err != nil {
		return out, err
	}
	change := Reencoding{Ref: w.listed.Ref, Stream: w.stream.Document, Old: w.stream.Index, New: []blob.Digest{plain.Index}}
	out.After = plain.Wire
	if passes == 2 {
		e.Progress = func(raw, _ int64) { w.o.Progress(w.listed.Ref, w.stream.Raw+raw, passes*w.stream.Raw) }
		with, err := w.withDictionaries(ctx, e)
		if err != nil {
			return out, err
		}
		// Who has the files fetches fewer bytes, or it was for nothing.
		if with.Wire < plain.Wire {
			change.New = append(change.New, with.Index)
			out.Dictionary = with.Wire
		}
	}
	_, err = w.s.Catalog.Change(ctx, Change{Reencode: &change})
	out.Seconds = time.Since(start).Seconds()
	return out, err
}

// withDictionaries makes the encoding for who has the parent.
func (w recompression) withDictionaries(ctx context.Context, e Encoder) (Encoded, error) {
	ref, err := ParseRef(w.stream.Parent)
	if err != nil {
		return Encoded{}, err
	}
	parent, err := w.s.tree(ctx, ref, func(string, int64, int64) {})
	if err != nil {
		return Encoded{}, err
	}
	defer parent.release()
	image, err := ParseRef(w.listed.Ref)
	if err != nil {
		return Encoded{}, err
	}
	l, err := w.s.Resolve(ctx, image)
	if err != nil {
		return Encoded{}, err
	}
	opened, err := w.s.Open(ctx, Plan{Ref: l.Ref, Document: l.Document}, OpenOptions{})
	if err != nil {
		return Encoded{}, err
	}
	m, err := opened.Content(ctx)
	if err != nil {
		return Encoded{}, err
	}
	d := newDictionaries(parent.Content, m)
	e.Parent, e.Dictionary = parent.Dir, d.frame
	return w.encode(ctx, e, d)
}

// encode reads the stream, verified, and encodes it. d, where it is not nil, learns on the way what the stream is about.
func (w recompression) encode(ctx context.Context, e Encoder, d *dictionaries) (Encoded, error) {
	plan := Plan{Ref: w.listed.Ref, Document: w.listed.Document,
		Streams: []PlanStream{{w.stream.Document, w.stream.Index, w.stream.Raw, w.stream.Wire}}}
	opened, err := w.s.Open(ctx, plan, OpenOptions{})
	if err != nil {
		return Encoded{}, err
	}
	in, err := opened.OpenStream(ctx, 0, "")
	if err != nil {
		return Encoded{}, err
	}
	defer in.Close()
	if d == nil {
		return e.Encode(ctx, in, w.s.Blobs)
	}
	g, gctx := errgroup.WithContext(ctx)
	r, p := io.Pipe()
	var out Encoded
	g.Go(func() error {
		err := d.pass(in, p)
		p.CloseWithError(err)
		return err
	})
	g.Go(func() (err error) {
		out, err = e.Encode(gctx, r, w.s.Blobs)
		r.CloseWithError(errors.Join(err, io.ErrClosedPipe))
		return err
	})
	return out, g.Wait()
}
