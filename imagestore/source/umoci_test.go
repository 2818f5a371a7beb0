package source

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"griddle/imagestore/source/sourcetest"
)

// TestUmoci reads an image that umoci has made: a layer with one of everything, and one on top that removes and
// replaces. The copy is like the tree that umoci unpacks, which has whole seconds.
func TestUmoci(t *testing.T) {
	base := t.TempDir()
	layout, bundle := filepath.Join(base, "layout"), filepath.Join(base, "bundle")
	image := layout + ":web"
	sourcetest.Run(t, "umoci", "init", "--layout", layout)
	sourcetest.Run(t, "umoci", "new", "--image", image)
	sourcetest.Run(t, "umoci", "unpack", "--image", image, bundle)
	root := filepath.Join(bundle, "rootfs")
	sourcetest.Plant(t, root)
	sourcetest.Run(t, "umoci", "repack", "--refresh-bundle", "--image", image, bundle)
	at := func(name string) string { return filepath.Join(root, name) }
	err := errors.Join(os.RemoveAll(at("deep")), os.WriteFile(at("deep"), []byte("a file now"), 0o600),
		os.Remove(at("fifo")), os.MkdirAll(at("fifo/below"), 0o711), os.Remove(at("etc/passwd")),
		os.WriteFile(at("etc/shadow"), []byte("x"), 0o600),
		os.RemoveAll(at("shared")), os.MkdirAll(at("shared/new"), 0o700), os.Chmod(at("ping"), 0o700))
	must(t, err)
	sourcetest.Run(t, "umoci", "repack", "--refresh-bundle", "--image", image, bundle)
	peer := filepath.Join(base, "peer")
	sourcetest.Run(t, "umoci", "unpack", "--image", image, peer)
	c := taken(t, "oci:"+image, Options{})
	sourcetest.Run(t, "touch", "-d", "@0", c.Dir, filepath.Join(peer, "rootfs"))
	blocks := regexp.MustCompile(`(?m)^\w+ takes .*\n`) // umoci makes no holes
	got, want := blocks.ReplaceAllString(walked(t, c.Dir), ""),
		blocks.ReplaceAllString(walked(t, filepath.Join(peer, "rootfs")), "")
	sameText(t, "umoci's image", got, want)
}
