package delta_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

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

// TestAgainstReceivers grows a tree, changes it several times, and makes a full stream of each state and a delta
// to it from the one before. `btrfs receive` and we, on btrfs, plainly on btrfs, and on tmpfs, ext4 and xfs,
// must make the same of it.
func TestAgainstReceivers(t *testing.T) {
	for seed := range uint64(3) {
		t.Run(fmt.Sprint("seed", seed), func(t *testing.T) { againstReceivers(t, seed) })
	}
}

func againstReceivers(t *testing.T, seed uint64) {
	mnt := sourcetest.Btrfs(t)
	ctx := context.Background()
	places := []place{{"ours on btrfs", filepath.Join(mnt, "ours"), false},
		{"plain on btrfs", filepath.Join(mnt, "plain"), true}, {"tmpfs", sourcetest.Tmpfs(t), false},
		{"ext4", sourcetest.Filesystem(t, "ext4", 1<<30), false},
		{"xfs", sourcetest.Filesystem(t, "xfs", 1<<30), false}}
	peers := filepath.Join(mnt, "peers")
	for _, d := range []string{peers, places[0].dir, places[1].dir} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	work := filepath.Join(mnt, "work")
	sourcetest.Run(t, "btrfs", "-q", "subvolume", "create", work)
	g := newGarden(t, work, seed)
	var before delta.Tree
	parents := make([][]receive.Parent, len(places))
	for step := range 4 {
		g.change(25 * min(step, 1))
		g.grow(50 - 10*step)
		name := fmt.Sprint("s", step)
		snap := filepath.Join(mnt, name)
		sourcetest.Run(t, "btrfs", "-q", "subvolume", "snapshot", "-r", work, snap)
		now := delta.Tree{Dir: snap, Content: walk(t, snap), UUID: identity(seed, step), Ctransid: uint64(step) + 100}
		if err := content.Verify(ctx, snap, now.Content, nil); err != nil {
			t.Fatal(err)
		}
		full := fullBothWays(t, now, name)
		stream := full
		if step > 0 {
			stream = deltaAllWays(t, before, now, name)
			peer(t, stream, peers)
			same(t, name+" by btrfs receive", walk(t, filepath.Join(peers, name)), now.Content)
			sourcetest.Run(t, "btrfs", "-q", "subvolume", "delete", filepath.Join(peers, name))
		}
		peer(t, full, peers)
		same(t, name+" in full by btrfs receive", walk(t, filepath.Join(peers, name)), now.Content)
		for i, p := range places {
			r, err := receive.Receive(ctx, bytes.NewReader(stream), p.dir,
				receive.Options{Name: name, Parents: parents[i], Plain: p.plain})
			if err != nil {
				t.Fatalf("%s: %s: %v", name, p.name, err)
			}
			same(t, name+" "+p.name, walk(t, r.Path), now.Content)
			parents[i] = append(parents[i], receive.Parent{UUID: r.UUID, Ctransid: r.Ctransid, Dir: r.Path})
		}
		before = now
	}
}

// place is a directory into which our receiver receives.
type place struct {
	name, dir string
	plain     bool
}

// fullBothWays makes the full stream with and without the manifest.
func fullBothWays(t *testing.T, now delta.Tree, name string) []byte {
	t.Helper()
	var full, again bytes.Buffer
	m, err := delta.WriteFull(t.Context(), &full, now.Dir, now.UUID, now.Ctransid, delta.Options{Name: name})
	if err != nil {
		t.Fatal(err)
	}
	same(t, name+": manifest of WriteFull", m, now.Content)
	if n, err := delta.WriteTree(t.Context(), &again, now, delta.Options{Name: name}); err != nil ||
		n != int64(again.Len()) {
		t.Fatalf("WriteTree = %d, %v, want %d", n, err, again.Len())
	}
	if !bytes.Equal(full.Bytes(), again.Bytes()) {
		t.Fatalf("%s: WriteTree and WriteFull make different streams", name)
	}
	same(t, name+": Builder, full", built(t, full.Bytes(), nil, now.Dir), now.Content)
	return full.Bytes()
}

// deltaAllWays makes the delta twice, and once without the parent's files.
func deltaAllWays(t *testing.T, before, now delta.Tree, name string) []byte {
	t.Helper()
	var streams [3][]byte
	for i := range streams {
		o := delta.Options{Name: name}
		from := before
		if i == 2 {
			from.Dir = ""
		}
		var b bytes.Buffer
		if n, err := delta.Write(t.Context(), &b, from, now, o); err != nil || n != int64(b.Len()) {
			t.Fatalf("Write = %d, %v, want %d", n, err, b.Len())
		}
		streams[i] = b.Bytes()
		same(t, name+": Builder, delta", built(t, b.Bytes(), before.Content, now.Dir), now.Content)
	}
	if !bytes.Equal(streams[0], streams[1]) {
		t.Fatalf("%s: two deltas differ", name)
	}
	return streams[0]
}

// TestPairByReceive has `btrfs receive` apply the streams of the goldens, in which what one command sets another one
// takes away: capabilities, modes, ACLs.
func TestPairByReceive(t *testing.T) {
	mnt := sourcetest.Btrfs(t)
	old, new := pair(t)
	var full, d bytes.Buffer
	if _, err := delta.WriteTree(t.Context(), &full, old, delta.Options{Name: "old"}); err != nil {
		t.Fatal(err)
	}
	if _, err := delta.Write(t.Context(), &d, old, new, delta.Options{Name: "new"}); err != nil {
		t.Fatal(err)
	}
	peer(t, full.Bytes(), mnt)
	peer(t, d.Bytes(), mnt)
	same(t, "old", walk(t, filepath.Join(mnt, "old")), old.Content)
	same(t, "new", walk(t, filepath.Join(mnt, "new")), new.Content)
}

// TestLargeAttribute names the file whose attribute does not fit into version 1.
func TestLargeAttribute(t *testing.T) {
	dir := filepath.Join(sourcetest.Tmpfs(t), "d")
	if err := os.MkdirAll(filepath.Join(dir, "a"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Setxattr(filepath.Join(dir, "a"), "trusted.large", make([]byte, 65536), 0); err != nil {
		t.Fatal(err)
	}
	_, err := delta.WriteFull(t.Context(), io.Discard, dir, identity(0, 0), 1, delta.Options{Name: "d"})
	if !errors.Is(err, sendstream.ErrTooLong) || !strings.Contains(err.Error(), `"a"`) {
		t.Errorf("WriteFull = %v, want ErrTooLong and the path", err)
	}
}
