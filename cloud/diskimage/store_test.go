package diskimage

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"griddle/imagestore"
	"griddle/imagestore/catalog"
	"griddle/imagestore/minisign"
	"griddle/imagestore/ref"
	"griddle/imagestore/source"
)

// TestFromStore publishes a tree, makes a disk of the image, and asks for the same image again by its channel.
func TestFromStore(t *testing.T) {
	ctx := t.Context()
	store, err := imagestore.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	key, err := minisign.GenerateKey()
	if err == nil {
		err = store.TrustKey(ctx, key.Public())
	}
	if err != nil {
		t.Fatal(err)
	}
	var archive bytes.Buffer
	if err := small(t, true).Tar(ctx, &archive, nil); err != nil {
		t.Fatal(err)
	}
	from, err := source.Find(ctx, "tar:-", source.Options{Stdin: &archive, Spool: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	published, err := store.Publish(ctx,
		imagestore.PublishOptions{Source: from, Ref: ref.Ref{Name: "web", Version: "1", Arch: "amd64"}, Key: key})
	if err != nil {
		t.Fatal(err)
	}
	image, err := FromStore(ctx, store, ref.Ref{Name: "web", Version: "latest", Arch: "amd64"})
	if err != nil || image.Ref != published.Ref {
		t.Fatalf("FromStore = %+v, %v, want %s", image, err, published.Ref)
	}
	var parts []string
	c := &Cache{Dir: t.TempDir(), Bytes: func(part string, done, total int64) {
		if done > total {
			t.Errorf("%s: %d of %d bytes", part, done, total)
		}
		parts = slices.Compact(append(parts, part))
	}}
	d := make1(t, c, image, Options{Format: Tree})
	if want := []string{"receiving", "verifying", "writing", "hashing"}; !slices.Equal(parts, want) {
		t.Errorf("it reports %q, want %q", parts, want)
	}
	again, err := FromStore(ctx, store, ref.Ref{Name: "web", Version: "1", Arch: "amd64"})
	if err != nil {
		t.Fatal(err)
	}
	if e := make1(t, c, again, Options{Format: Tree}); e.Path != d.Path || e.Image != image.Digest {
		t.Errorf("the same image gives %+v and %+v", d, e)
	}
	if list := output(t, "tar", "-tvf", d.Path); !bytes.Contains([]byte(list), []byte("./etc/secret")) {
		t.Errorf("the tree has no ./etc/secret:\n%s", list)
	}
	if _, err := FromStore(ctx, store, ref.Ref{Name: "none"}); !errors.Is(err, catalog.ErrNotFound) {
		t.Errorf("FromStore of nothing = %v", err)
	}
}
