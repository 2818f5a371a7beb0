package blob

import (
	"context"
	"strings"
	"testing"
)

// TestAbandoned has writers that live, die and change their minds: only what no living one counts on is abandoned, and
// never what was put for a client.
func TestAbandoned(t *testing.T) {
	path := t.TempDir()
	open := func() *Dir {
		t.Helper()
		d, err := OpenDir(path)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	put := func(d *Dir, ctx context.Context, text string) Digest {
		t.Helper()
		got, _, err := d.Put(ctx, strings.NewReader(text), "")
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	ctx := t.Context()
	dead, living := open(), open()
	alone := put(dead, ctx, "of the dead alone")
	both := put(dead, ctx, "of both")
	served := put(dead, context.WithValue(ctx, forOthers{}, true), "for a client")
	put(living, ctx, "of both")
	own := put(living, ctx, "of the living")
	dropped := put(living, ctx, "given up")
	again := put(living, ctx, "given up, and put again")
	living.Drop(dropped, again)
	put(living, ctx, "given up, and put again")
	looking := open()
	if got := looking.Abandoned().Blobs; len(got) != 0 {
		t.Errorf("while all live %v are abandoned", got)
	}
	dead.writers.file.Close() // what the kernel does for a killed process
	if got := looking.Abandoned().Blobs; len(got) != 1 || !got[alone] {
		t.Errorf("after the death of one %v are abandoned, want %s", got, alone)
	}
	a := living.Abandoned()
	for d, want := range map[Digest]bool{alone: true, dropped: true, both: false, served: false,
		own: false, again: false} {
		if a.Blobs[d] != want {
			t.Errorf("to the living one %s is abandoned: %v, want %v", d, a.Blobs[d], want)
		}
	}
	if _, _, err := a.Clear(false); err != nil {
		t.Fatal(err)
	}
	if got := living.Abandoned(); len(got.lists) != 0 || got.Blobs[alone] {
		t.Errorf("after it was cleared there is %+v", got)
	}
}
