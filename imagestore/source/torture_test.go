//go:build torture

package source

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"griddle/imagestore/source/sourcetest"
)

// TestLargeTrees copies 200,000 files, and one of 5 GiB with content on both sides of 4 GiB, from a directory, from an
// archive and from an archive with no word of holes.
func TestLargeTrees(t *testing.T) {
	base := t.TempDir()
	tree := filepath.Join(base, "tree")
	for d := range 400 {
		dir := filepath.Join(tree, fmt.Sprint(d%20), fmt.Sprint(d))
		must(t, os.MkdirAll(dir, 0o755))
		for i := range 500 {
			must(t, os.WriteFile(filepath.Join(dir, fmt.Sprint(i)), []byte(fmt.Sprint(d, i)), 0o644))
		}
	}
	f, err := os.Create(filepath.Join(tree, "large"))
	must(t, err)
	for _, at := range []int64{0, 4<<30 - 3, 5 << 30} {
		_, err := f.WriteAt([]byte("griddle"), at)
		must(t, err)
	}
	must(t, f.Close())
	want := walked(t, tree)
	archive, dense := filepath.Join(base, "sparse.tar"), filepath.Join(base, "dense.tar.zst")
	sourcetest.Run(t, "tar", "-C", tree, "--format=pax", "--sparse", "--numeric-owner", "-cf", archive, ".")
	sourcetest.Run(t, "tar", "-C", tree, "--format=pax", "--numeric-owner", "--zstd", "-cf", dense, ".")
	for _, spec := range []string{"dir:" + tree, "tar:" + archive, "tar:" + dense} {
		c := taken(t, spec, Options{})
		sameText(t, spec, walked(t, c.Dir), want)
	}
}
