package imagestore_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"griddle/imagestore"
	"griddle/imagestore/blob"
	"griddle/imagestore/catalog"
	"griddle/imagestore/document"
	"griddle/imagestore/encoding"
	"griddle/imagestore/fetch"
	"griddle/imagestore/imagetest"
	"griddle/imagestore/ref"
)

// rawStream gives the bytes of the one stream from parent to name, by plan options o.
func rawStream(t *testing.T, s *imagestore.Store, name string, parentDir string,
	o imagestore.PlanOptions) ([]byte, fetch.Plan, error) {
	t.Helper()
	plan, err := s.PlanWith(t.Context(), imagetest.Ref(t, name), o)
	if err != nil {
		t.Fatal(err)
	}
	if len(plan.Streams) != 1 {
		t.Fatalf("the way to %s is %+v, want one stream", name, plan)
	}
	opened, err := s.Open(t.Context(), plan, fetch.Options{})
	if err != nil {
		t.Fatal(err)
	}
	r, err := opened.OpenStream(t.Context(), 0, parentDir)
	if err != nil {
		return nil, plan, err
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	return b, plan, err
}

// changing is a publisher with two versions, of which the second changes a large file and its name a little.
func changing(t *testing.T) (p *publisher, one, two string) {
	p = newPublisher(t)
	p.store.Key = p.o.Key
	p.o.Ref.Version = "1"
	one = p.publish().Ref
	b, err := os.ReadFile(filepath.Join(p.dir, "big"))
	p.must(err)
	copy(b[5<<20:], bytes.Repeat([]byte("new "), 1000))
	p.must(os.WriteFile(filepath.Join(p.dir, "big2"), append([]byte("shifted"), b...), 0o644))
	p.must(os.Remove(filepath.Join(p.dir, "big")))
	p.o.Ref.Version = "2"
	two = p.publish().Ref
	return p, one, two
}

func TestRecompress(t *testing.T) {
	ctx := context.Background()
	p, one, two := changing(t)
	have := imagestore.PlanOptions{Have: []ref.Ref{imagetest.Ref(t, one)}}
	before, oldPlan, err := rawStream(t, p.store, two, "", have)
	p.must(err)
	var got []imagestore.Recompressed
	recompress := func() {
		got = nil
		p.must(p.store.Recompress(ctx, imagestore.RecompressOptions{Level: 12}, func(r imagestore.Recompressed) {
			got = append(got, r)
		}))
	}
	recompress()
	if len(got) != 2 {
		t.Fatalf("Recompress = %+v, want two streams", got)
	}
	i := slices.IndexFunc(got, func(r imagestore.Recompressed) bool { return r.Ref == two })
	if got[i].Parent != one || got[i].Dictionary == 0 || got[i].Dictionary > got[i].After/20 {
		t.Errorf("of the delta it says %+v, want a dictionary encoding of few bytes", got[i])
	}
	plain, plan, err := rawStream(t, p.store, two, "", have)
	if err != nil || !bytes.Equal(plain, before) {
		t.Errorf("the plain encoding gives %d bytes, %v, and gave %d before", len(plain), err, len(before))
	}
	if plan.Streams[0].Document != oldPlan.Streams[0].Document || plan.Streams[0].Index == oldPlan.Streams[0].Index {
		t.Errorf("the way is %+v, want the same document and another index than %+v", plan, oldPlan)
	}
	// The old encoding stays for who is reading it.
	if err := fetchAll(ctx, p.store, oldPlan); err != nil {
		t.Errorf("the old encoding: %v", err)
	}
	have.Dictionaries = true
	if _, _, err := rawStream(t, p.store, two, "", have); !errors.Is(err, encoding.ErrNeedsParent) {
		t.Errorf("opening it without the parent = %v, want ErrNeedsParent", err)
	}
	tree, err := p.store.HoldTree(ctx, imagetest.Ref(t, one))
	p.must(err)
	defer tree.Release()
	with, plan, err := rawStream(t, p.store, two, tree.Dir, have)
	if err != nil || !bytes.Equal(with, before) || plan.Wire() != got[i].Dictionary {
		t.Errorf("with dictionaries it gives %d bytes, %v, of %+v", len(with), err, plan)
	}
	if recompress(); len(got) != 0 {
		t.Errorf("a second run did %+v, want nothing", got)
	}
	v, err := p.store.Verify(ctx, imagetest.Ref(t, two), nil)
	if err != nil || !v.OK {
		t.Errorf("Verify = %+v, %v", v, err)
	}
	receiveAll(p, one, two)
	// A receiver that has the parent as a tree takes the small one by itself.
	dir := t.TempDir()
	first, err := p.store.Receive(ctx, imagetest.Ref(t, one), dir, imagestore.ReceiveOptions{})
	p.must(err)
	second, err := p.store.Receive(ctx, imagetest.Ref(t, two), dir,
		imagestore.ReceiveOptions{Have: []imagestore.Tree{imagestore.ReceivedTree(first)}})
	if err != nil || second.Wire > plan.Wire()+64<<10 { // documents and the index come to it
		t.Errorf("Receive on the parent = %+v, %v, want %d bytes fetched", second, err, plan.Wire())
	}
}

// fetchAll reads what a plan names, as somebody does who got the plan earlier.
func fetchAll(ctx context.Context, s *imagestore.Store, p fetch.Plan) error {
	o, err := s.Open(ctx, p, fetch.Options{})
	if err != nil {
		return err
	}
	r, err := o.OpenStream(ctx, 0, "")
	if err != nil {
		return err
	}
	defer r.Close()
	_, err = io.Copy(io.Discard, r)
	return err
}

func TestRecompressRetires(t *testing.T) {
	ctx := context.Background()
	p, one, _ := changing(t)
	old, err := p.store.Plan(ctx, imagetest.Ref(t, one))
	p.must(err)
	p.must(p.store.Recompress(ctx, imagestore.RecompressOptions{Level: 12}, nil))
	long := time.Now().Add(-2 * catalog.OrphanAge)
	p.must(filepath.Walk(filepath.Join(p.store.Dir(), "blobs/sha256"),
		func(path string, fi os.FileInfo, err error) error {
			if err != nil || fi.IsDir() {
				return err
			}
			return os.Chtimes(path, long, long)
		}))
	if _, err := p.store.Collect(ctx); err != nil {
		t.Error(err)
	}
	if err := fetchAll(ctx, p.store, old); err != nil {
		t.Errorf("after Collect an encoding that was just replaced is gone: %v", err)
	}
}

func TestDictionaryRefuses(t *testing.T) {
	ctx := context.Background()
	p, one, two := changing(t)
	p.must(p.store.Recompress(ctx, imagestore.RecompressOptions{Level: 12}, nil))
	tree, err := p.store.HoldTree(ctx, imagetest.Ref(t, one))
	p.must(err)
	defer tree.Release()
	have := imagestore.PlanOptions{Have: []ref.Ref{imagetest.Ref(t, one)}, Dictionaries: true}
	big, err := os.ReadFile(filepath.Join(tree.Dir, "big"))
	p.must(err)
	for name, make := range map[string]func(dir string) error{
		"no file":        func(string) error { return nil },
		"a shorter file": func(dir string) error { return os.WriteFile(filepath.Join(dir, "big"), big[:1<<20], 0o644) },
		"another file": func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "big"), bytes.Repeat([]byte("x"), len(big)), 0o644)
		},
		"a link out": func(dir string) error {
			return os.Symlink(filepath.Join(tree.Dir, "big"), filepath.Join(dir, "big"))
		},
	} {
		dir := t.TempDir()
		p.must(make(dir))
		if b, _, err := rawStream(t, p.store, two, dir, have); err == nil {
			t.Errorf("%s in the parent: %d bytes and no error", name, len(b))
		}
	}
}

func TestDictionariesInIndex(t *testing.T) {
	good := encoding.Index{Format: encoding.FormatDictionary, Encoding: "sha256:" + "00", Size: 10, Raw: 10,
		PieceSize: document.PieceSize,
		Frames: []encoding.Frame{{Length: 10, Pieces: 1, SHA256: blob.Sum(nil).Hex(),
			Dictionary: []encoding.Extract{{Path: "a/b", Offset: 1, Length: 2}}}}}
	if err := good.Validate(); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*encoding.Index){
		"the old format":  func(x *encoding.Index) { x.Format = encoding.Format },
		"up":              func(x *encoding.Index) { x.Frames[0].Dictionary[0].Path = "a/../../b" },
		"absolute":        func(x *encoding.Index) { x.Frames[0].Dictionary[0].Path = "/etc/shadow" },
		"negative offset": func(x *encoding.Index) { x.Frames[0].Dictionary[0].Offset = -1 },
		"nothing":         func(x *encoding.Index) { x.Frames[0].Dictionary[0].Length = 0 },
		"too long":        func(x *encoding.Index) { x.Frames[0].Dictionary[0].Length = encoding.MaxDictionary + 1 },
		"too much": func(x *encoding.Index) {
			x.Frames[0].Dictionary = []encoding.Extract{{Path: "a", Offset: 0, Length: encoding.MaxDictionary},
				{Path: "b", Offset: 0, Length: 1}}
		},
		"too many": func(x *encoding.Index) {
			x.Frames[0].Dictionary = slices.Repeat([]encoding.Extract{{Path: "a", Offset: 0, Length: 1}},
				encoding.MaxExtracts+1)
		},
		"level": func(x *encoding.Index) { x.Level = 23 },
	} {
		x := good
		x.Frames = []encoding.Frame{good.Frames[0]}
		x.Frames[0].Dictionary = slices.Clone(good.Frames[0].Dictionary)
		change(&x)
		if err := x.Validate(); err == nil {
			t.Errorf("an index with a dictionary: %s: no error", name)
		}
	}
}
