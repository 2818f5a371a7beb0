package imagestore_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"griddle/imagestore"
	"griddle/imagestore/catalog"
	"griddle/imagestore/content"
	"griddle/imagestore/fetch"
	"griddle/imagestore/imagetest"
	"griddle/imagestore/minisign"
	"griddle/imagestore/ref"
	"griddle/imagestore/source"
	"griddle/imagestore/source/sourcetest"
)

// publisher is a template on btrfs, a store elsewhere, and a key that it trusts.
type publisher struct {
	*testing.T
	dir   string // the template
	store *imagestore.Store
	o     imagestore.PublishOptions
}

func newPublisher(t *testing.T) *publisher {
	t.Helper()
	dir := filepath.Join(sourcetest.Btrfs(t), "template")
	sourcetest.Run(t, "btrfs", "-q", "subvolume", "create", dir)
	p := &publisher{T: t, dir: dir}
	for i := range 40 {
		p.write(fmt.Sprintf("file%d", i), 100*i*i)
	}
	p.write("big", 9<<20)
	var err error
	p.store, err = imagestore.Open(t.TempDir())
	p.must(err)
	p.o.Key, err = minisign.GenerateKey()
	p.must(err)
	p.must(p.store.TrustKey(context.Background(), p.o.Key.Public()))
	p.o.Source, err = source.Find(context.Background(), "btrfs:"+dir, source.Options{})
	p.must(err)
	p.o.Ref = ref.Ref{Namespace: "ns", Name: "web"}
	p.o.Warn = func(w string) { t.Errorf("warned: %s", w) }
	return p
}

func (p *publisher) must(err error) {
	p.Helper()
	if err != nil {
		p.Fatal(err)
	}
}

// write makes a file of words, which compress about as well as programs do.
func (p *publisher) write(name string, size int) {
	p.Helper()
	r := rand.New(rand.NewPCG(uint64(size), uint64(len(name))))
	var b bytes.Buffer
	for b.Len() < size {
		fmt.Fprintf(&b, "%x ", r.Uint64()>>(r.Uint64()%60))
	}
	p.must(os.WriteFile(filepath.Join(p.dir, name), b.Bytes()[:size], 0o644))
}

func (p *publisher) publish() imagestore.Published {
	p.Helper()
	out, err := p.store.Publish(context.Background(), p.o)
	p.must(err)
	return out
}

// copies lists what is kept beside the template.
func (p *publisher) copies() []string {
	p.Helper()
	entries, err := os.ReadDir(filepath.Join(filepath.Dir(p.dir), ".griddle"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		p.Fatal(err)
	}
	out := []string{}
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}

func (p *publisher) refs() []string {
	p.Helper()
	list, err := p.store.List(context.Background(), "*/*")
	p.must(err)
	out := []string{}
	for _, l := range list {
		out = append(out, l.Ref)
	}
	return out
}

func TestPublishFullThenDelta(t *testing.T) {
	ctx := context.Background()
	p := newPublisher(t)
	p.o.Ref.Version, p.o.Description = "1", "a web server"
	first := p.publish()
	if first.Kind != "full" || first.Ref != "ns/web:1@"+p.o.Source.Arch || first.Size < 9<<20 || first.Files != 42 ||
		first.Raw < first.Size || first.Wire > first.Raw {
		t.Errorf("the first publication is %+v", first)
	}
	p.write("file7", 7)
	p.must(os.Rename(filepath.Join(p.dir, "file8"), filepath.Join(p.dir, "moved")))
	p.o.Ref.Version = "2"
	var last imagestore.PublishedSoFar
	p.o.Progress = func(s imagestore.PublishedSoFar) { last = s }
	second := p.publish()
	if second.Kind != "delta" || second.Parent != first.Ref || second.Raw > 100_000 {
		t.Errorf("the second publication is %+v, want a small delta", second)
	}
	if last.Raw != second.Raw || last.Wire != second.Wire {
		t.Errorf("the last progress is %+v, want the raw and wire bytes of %+v", last, second)
	}
	if got, want := p.copies(), []string{"ns+web@2@" + p.o.Source.Arch}; !slices.Equal(got, want) {
		t.Errorf("kept copies are %v, want %v", got, want)
	}
	v, err := p.store.Verify(ctx, ref.Ref{Namespace: "ns", Name: "web"}, nil)
	if err != nil || !v.OK {
		t.Errorf("Verify = %+v, %v", v, err)
	}
	receiveAll(p, first.Ref, second.Ref)

	// A parent that is deleted, like a copy that is gone, makes the next stream a full one.
	p.must(os.Rename(filepath.Join(p.dir, "moved"), filepath.Join(p.dir, "moved again")))
	_, err = p.store.Delete(ctx, imagetest.Ref(t, second.Ref))
	p.must(err)
	p.o.Ref.Version = "3"
	third := p.publish()
	if third.Kind != "full" {
		t.Errorf("after the deletion of its parent the third publication is %+v, want a full one", third)
	}
	if got, want := p.copies(), []string{"ns+web@3@" + p.o.Source.Arch}; !slices.Equal(got, want) {
		t.Errorf("kept copies are %v, want %v", got, want)
	}
}

// receive has btrfs receive make the images from their plain streams and compares each with its manifest.
func receiveAll(p *publisher, refs ...string) {
	p.Helper()
	ctx := context.Background()
	in := filepath.Join(filepath.Dir(p.dir), "in")
	p.must(os.Mkdir(in, 0o755))
	var from *ref.Ref
	for _, s := range refs {
		r := imagetest.Ref(p.T, s)
		var stream bytes.Buffer
		p.must(p.store.Stream(ctx, r, from, true, &stream))
		cmd := exec.Command("btrfs", "receive", "-q", in)
		cmd.Stdin = &stream
		if msg, err := cmd.CombinedOutput(); err != nil {
			p.Fatalf("btrfs receive of %s: %v: %s", s, err, msg)
		}
		l, err := p.store.Resolve(ctx, r)
		p.must(err)
		opened, err := p.store.Open(ctx, fetch.Plan{Ref: l.Ref, Document: l.Document}, fetch.Options{})
		p.must(err)
		m, err := opened.Content(ctx)
		p.must(err)
		p.must(content.Verify(ctx, filepath.Join(in, r.FileName()), m, nil))
		from = &r
	}
}

func TestPublishInterrupted(t *testing.T) {
	p := newPublisher(t)
	ctx, cancel := context.WithCancel(context.Background())
	p.o.Progress = func(imagestore.PublishedSoFar) { cancel() }
	if _, err := p.store.Publish(ctx, p.o); !errors.Is(err, context.Canceled) {
		t.Errorf("Publish = %v, want context.Canceled", err)
	}
	if refs, copies := p.refs(), p.copies(); len(refs) > 0 || len(copies) > 0 {
		t.Errorf("it left the images %v and the copies %v", refs, copies)
	}
	p.o.Progress = nil
	p.publish()
}

func TestPublishAgain(t *testing.T) {
	p := newPublisher(t)
	p.o.Ref.Version = "1"
	p.publish()
	if _, err := p.store.Publish(context.Background(), p.o); !errors.Is(err, catalog.ErrExists) {
		t.Errorf("Publish of a version that is there = %v, want ErrExists", err)
	}
	p.o.Ref.Version = ref.Latest
	if _, err := p.store.Publish(context.Background(), p.o); !errors.Is(err, ref.ErrInvalid) {
		t.Errorf("Publish of :latest = %v, want ErrRef", err)
	}
	other, err := minisign.GenerateKey()
	p.must(err)
	p.o.Ref.Version, p.o.Key = "2", other
	if _, err := p.store.Publish(context.Background(), p.o); !errors.Is(err, minisign.ErrSignature) {
		t.Errorf("Publish with a key that is not trusted = %v, want ErrSignature", err)
	}
	if got, want := p.copies(), []string{"ns+web@1@" + p.o.Source.Arch}; !slices.Equal(got, want) {
		t.Errorf("kept copies are %v, want %v", got, want)
	}
}

func TestTwoPublishersAtOnce(t *testing.T) {
	p := newPublisher(t)
	run := func() (out []imagestore.Published, errs []error) {
		var wg sync.WaitGroup
		var mu sync.Mutex
		for range 2 {
			wg.Go(func() {
				one, err := p.store.Publish(context.Background(), p.o)
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					errs = append(errs, err)
				} else {
					out = append(out, one)
				}
			})
		}
		wg.Wait()
		return out, errs
	}
	out, errs := run()
	if len(errs) > 0 || len(out) != 2 || out[0].Ref == out[1].Ref {
		t.Errorf("two without a version gave %+v and %v, want two versions", out, errs)
	}
	p.o.Ref.Version = "mine"
	out, errs = run()
	if len(out) != 1 || len(errs) != 1 || !errors.Is(errs[0], source.ErrBusy) &&
		!errors.Is(errs[0], catalog.ErrExists) {
		t.Errorf("two of one version gave %+v and %v, want one image and one refusal", out, errs)
	}
	if got := p.refs(); len(got) != 3 {
		t.Errorf("the store has %v, want three images", got)
	}
	for _, c := range p.copies() {
		if strings.HasSuffix(c, ".publishing") {
			t.Errorf("a marker is left: %s", c)
		}
	}
}
