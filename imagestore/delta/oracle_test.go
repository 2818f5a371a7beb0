package delta_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"griddle/imagestore/content"
	"griddle/imagestore/delta"
	"griddle/imagestore/receive"
	"griddle/imagestore/sendstream"
	"griddle/imagestore/source/sourcetest"
)

// walk gives the manifest of a tree.
func walk(t testing.TB, dir string) *content.Manifest {
	t.Helper()
	m, err := content.Walk(context.Background(), dir)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// text is a manifest as lines.
func text(t testing.TB, m *content.Manifest) string {
	t.Helper()
	var b strings.Builder
	if _, err := m.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// same fails the test where two manifests differ, and shows the first difference.
func same(t testing.TB, what string, got, want *content.Manifest) {
	t.Helper()
	a, b := strings.Split(text(t, got), "\n"), strings.Split(text(t, want), "\n")
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			t.Fatalf("%s: line %d is\n%s\nwant\n%s", what, i+1, a[i], b[i])
		}
	}
	if len(a) != len(b) {
		t.Fatalf("%s: %d lines, want %d", what, len(a), len(b))
	}
}

// built gives the manifest that a Builder makes of a stream; tree is what it sends.
func built(t testing.TB, stream []byte, parent *content.Manifest, tree string) *content.Manifest {
	t.Helper()
	b := content.NewBuilder(parent, tree)
	if err := b.Read(bytes.NewReader(stream)); err != nil {
		t.Fatal(err)
	}
	m, err := b.Finish(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// peer has `btrfs receive` apply a stream.
func peer(t testing.TB, stream []byte, dir string) {
	t.Helper()
	cmd := exec.Command("btrfs", "receive", "-q", "-e", dir)
	cmd.Stdin = bytes.NewReader(stream)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", cmd, err, out)
	}
}

func identity(seed uint64, step int) sendstream.UUID {
	return sendstream.UUID{0x67, 0x72, byte(seed), byte(step + 1)}
}

// TestAgainstReceivers grows a tree, changes it several times, and makes a full stream of each state and a delta to it from
// the one before. `btrfs receive` and we, on btrfs, plainly on btrfs and on tmpfs, must make the same of it.
func TestAgainstReceivers(t *testing.T) {
	mnt := sourcetest.Btrfs(t)
	ctx := context.Background()
	places := []struct {
		name, dir string
		plain     bool
	}{{"ours on btrfs", filepath.Join(mnt, "ours"), false}, {"plain on btrfs", filepath.Join(mnt, "plain"), true}, {"tmpfs", sourcetest.Tmpfs(t), false}}
	peers := filepath.Join(mnt, "peers")
	for _, d := range []string{peers, places[0].dir, places[1].dir} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for seed := range uint64(5) {
		work := filepath.Join(mnt, "work")
		sourcetest.Run(t, "btrfs", "-q", "subvolume", "create", work)
		g := newGarden(t, work, seed)
		var before delta.Tree
		parents := make([][]receive.Parent, len(places))
		for step := range 4 {
			g.change(25 * min(step, 1))
			g.grow(50 - 10*step)
			name := fmt.Sprintf("s%d-%d", seed, step)
			snap := filepath.Join(mnt, name)
			sourcetest.Run(t, "btrfs", "-q", "subvolume", "snapshot", "-r", work, snap)
			what := "seed " + name
			now := delta.Tree{Dir: snap, Content: walk(t, snap), UUID: identity(seed, step), Ctransid: uint64(step) + 100}
			if err := content.Verify(ctx, snap, now.Content, nil); err != nil {
				t.Fatal(err)
			}

			var full, again bytes.Buffer
			m, err := delta.WriteFull(ctx, &full, snap, now.UUID, now.Ctransid, delta.Options{Name: name})
			if err != nil {
				t.Fatal(err)
			}
			same(t, what+": manifest of WriteFull", m, now.Content)
			if n, err := delta.WriteTree(ctx, &again, now, delta.Options{Name: name}); err != nil || n != int64(again.Len()) {
				t.Fatalf("WriteTree = %d, %v, want %d", n, err, again.Len())
			}
			if !bytes.Equal(full.Bytes(), again.Bytes()) {
				t.Fatalf("%s: WriteTree and WriteFull make different streams", what)
			}
			same(t, what+": Builder, full", built(t, full.Bytes(), nil, snap), now.Content)

			stream := full.Bytes()
			if step > 0 {
				var d, d2 bytes.Buffer
				if _, err := delta.Write(ctx, &d, before, now, delta.Options{Name: name}); err != nil {
					t.Fatal(err)
				}
				if _, err := delta.Write(ctx, &d2, before, now, delta.Options{Name: name, Origin: func(delta.Origin) {}}); err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(d.Bytes(), d2.Bytes()) {
					t.Fatalf("%s: two deltas differ", what)
				}
				stream = d.Bytes()
				same(t, what+": Builder, delta", built(t, stream, before.Content, snap), now.Content)
				coarse := before
				coarse.Dir = ""
				d2.Reset()
				if _, err := delta.Write(ctx, &d2, coarse, now, delta.Options{Name: name}); err != nil {
					t.Fatal(err)
				}
				same(t, what+": Builder, delta without the parent's files", built(t, d2.Bytes(), before.Content, snap), now.Content)
			}
			if step > 0 {
				peer(t, stream, peers)
				same(t, what+" by btrfs receive", walk(t, filepath.Join(peers, name)), now.Content)
				sourcetest.Run(t, "btrfs", "-q", "subvolume", "delete", filepath.Join(peers, name))
			}
			peer(t, full.Bytes(), peers)
			same(t, what+" in full by btrfs receive", walk(t, filepath.Join(peers, name)), now.Content)
			for i, p := range places {
				r, err := receive.Receive(ctx, bytes.NewReader(stream), p.dir, receive.Options{Name: name, Parents: parents[i], Plain: p.plain})
				if err != nil {
					t.Fatalf("%s: %s: %v", what, p.name, err)
				}
				same(t, what+": "+p.name, walk(t, r.Path), now.Content)
				parents[i] = append(parents[i], receive.Parent{UUID: r.UUID, Ctransid: r.Ctransid, Dir: r.Path})
			}
			before = now
		}
		sourcetest.Run(t, "btrfs", "-q", "subvolume", "delete", work)
	}
}
