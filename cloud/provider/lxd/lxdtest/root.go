package lxdtest

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"griddle/cloud/provider"
)

// Root is image n of a small Debian that starts as a container: the tests' template without kernel and modules, and a
// file /etc/griddle-image that says n. The template is what the virtual machines of make test are installed from.
func Root(t testing.TB, n int) *provider.Image {
	t.Helper()
	from := template(t)
	name := filepath.Join(t.TempDir(), fmt.Sprintf("root-%d.tar", n))
	digest, size, err := shrink(from, name, n)
	if err != nil {
		t.Fatalf("making a root of %s: %v", from, err)
	}
	return &provider.Image{
		Name: fmt.Sprintf("root-%d", n), Digest: digest, Format: provider.Tree, Arch: "amd64", Size: size,
		Open: func() (provider.Contents, error) { return os.Open(name) },
	}
}

// template is the path of the tests' template.
func template(t testing.TB) string {
	t.Helper()
	cache := os.Getenv("XDG_CACHE_HOME")
	if cache == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			t.Fatal(err)
		}
		cache = filepath.Join(home, ".cache")
	}
	all, err := filepath.Glob(filepath.Join(cache, "griddle", "template-bookworm-*.tar.zst"))
	if err != nil || len(all) == 0 {
		t.Fatalf("there is no template in %s/griddle: run make test or make demo once, which makes it", cache)
	}
	slices.Sort(all)
	return all[0]
}

// shrink writes the tar to from the compressed tar from.
func shrink(from, to string, n int) (digest string, size int64, err error) {
	in, err := os.Open(from)
	if err != nil {
		return "", 0, err
	}
	defer in.Close()
	z, err := zstd.NewReader(in)
	if err != nil {
		return "", 0, err
	}
	defer z.Close()
	out, err := os.Create(to)
	if err != nil {
		return "", 0, err
	}
	defer out.Close()
	sum := sha256.New()
	r, w := tar.NewReader(z), tar.NewWriter(io.MultiWriter(out, sum))
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return "", 0, err
		}
		name := path.Clean("/" + h.Name)
		if strings.HasPrefix(name, "/boot/") || strings.HasPrefix(name, "/usr/lib/modules/") ||
			strings.HasPrefix(name, "/usr/share/doc/") {
			continue
		}
		if err := w.WriteHeader(h); err != nil {
			return "", 0, err
		}
		if _, err := io.Copy(w, r); err != nil {
			return "", 0, err
		}
	}
	text := fmt.Appendf(nil, "%d\n", n)
	if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "./etc/griddle-image", Mode: 0o644,
		Size: int64(len(text))}); err != nil {
		return "", 0, err
	}
	if _, err := io.Copy(w, bytes.NewReader(text)); err != nil {
		return "", 0, err
	}
	if err := w.Close(); err != nil {
		return "", 0, err
	}
	info, err := out.Stat()
	if err != nil {
		return "", 0, err
	}
	return "sha256:" + hex.EncodeToString(sum.Sum(nil)), info.Size(), nil
}
