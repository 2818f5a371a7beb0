package lxdtest

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"griddle/cloud/provider"
)

//go:embed cloudroot.sh
var cloudRoot []byte

// CloudRoot is the template of Root with cloud-init. It is made by apt once, in a minute or two, and kept beside the
// template, under a name that changes with both.
func CloudRoot(t testing.TB) *provider.Image {
	t.Helper()
	from := template(t)
	h := sha256.Sum256(append([]byte(filepath.Base(from)), cloudRoot...))
	name := filepath.Join(filepath.Dir(from), "lxd-cloud-"+hex.EncodeToString(h[:6])+".tar")
	if _, err := os.Stat(name); err != nil {
		script := filepath.Join(t.TempDir(), "cloudroot.sh")
		if err := os.WriteFile(script, cloudRoot, 0o700); err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithTimeout(context.Background(), 20*time.Minute)
		defer stop()
		if out, err := exec.CommandContext(ctx, script, from, name+".new").CombinedOutput(); err != nil {
			t.Fatalf("adding cloud-init to %s: %v: %s", from, err, out[max(0, len(out)-3000):])
		}
		if err := os.Rename(name+".new", name); err != nil {
			t.Fatal(err)
		}
	}
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	sum := sha256.New()
	size, err := io.Copy(sum, f)
	if err != nil {
		t.Fatal(err)
	}
	return &provider.Image{
		Name: "cloud-root", Digest: "sha256:" + hex.EncodeToString(sum.Sum(nil)), Format: provider.Tree,
		Arch: "amd64", Size: size,
		Open: func() (provider.Contents, error) { return os.Open(name) },
	}
}
