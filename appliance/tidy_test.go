package appliance

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"griddle/imagestore"
	"griddle/imagestore/blob"
)

// lines gives each line that is logged to a channel.
type lines chan string

func (l lines) Write(p []byte) (int, error) { l <- string(p); return len(p), nil }

// TestTidy has the blob of a publication that failed two days ago go while the server runs, and one of today stay.
func TestTidy(t *testing.T) {
	dir := t.TempDir()
	store, err := imagestore.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	var digests []blob.Digest
	for _, text := range []string{"of two days ago", "of today"} {
		d, _, err := store.Blobs.Put(t.Context(), strings.NewReader(text), "")
		if err != nil {
			t.Fatal(err)
		}
		digests = append(digests, d)
	}
	past := time.Now().Add(-48 * time.Hour)
	hex := digests[0].Hex()
	if err := os.Chtimes(filepath.Join(dir, "blobs", "sha256", hex[:2], hex), past, past); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	logged, ended := make(lines, 1), make(chan error)
	s := &server{state: held(t), store: store, log: slog.New(slog.NewTextHandler(logged, nil))}
	go func() { ended <- s.tidy(ctx) }()
	if got := <-logged; !strings.Contains(got, "blobs=1") {
		t.Errorf("it logs %q, want one blob removed", got)
	}
	stop()
	if err := <-ended; err != nil {
		t.Errorf("tidy() = %v", err)
	}
	if _, err := store.Blobs.Stat(t.Context(), digests[0]); !errors.Is(err, blob.ErrNotExist) {
		t.Errorf("the old blob: %v, want none", err)
	}
	if _, err := store.Blobs.Stat(t.Context(), digests[1]); err != nil {
		t.Errorf("the new blob: %v", err)
	}
}
