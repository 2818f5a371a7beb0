package pool

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"griddle/initramfs/pool/pooltest"
	"griddle/initramfs/subvolume"
)

// A changed snapshot takes the place of a root, which is of the same image afterwards. A root that is mounted stays.
func TestReplace(t *testing.T) {
	p, dev := installed(t)
	at := filepath.Join(p.dir, "@new")
	err := errors.Join(os.Mkdir(at, 0o700), subvolume.Snapshot(filepath.Join(p.dir, roots, "one@amd64"), at, "one"))
	if err != nil {
		t.Fatal(err)
	}
	pooltest.Put(t, at, map[string]string{"one/etc/changed": "yes"})
	if err := p.Replace("one@amd64", at, "one"); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(p.dir, roots, "one@amd64/etc/changed")); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(at, "one/etc/hostname")); err != nil {
		t.Errorf("the former root: %v", err)
	}
	c, err := p.Read()
	if err != nil {
		t.Fatal(err)
	}
	if r, err := c.Root("one@amd64"); err != nil || r.Image != "one@amd64" || !r.Boots {
		t.Errorf("the root is %+v, %v", r, err)
	}
	if err := p.Replace("three", at, "one"); !errors.Is(err, ErrUnknown) {
		t.Errorf("Replace of a root that the pool does not have = %v", err)
	}
	dir := t.TempDir()
	off, err := subvolume.At(dev, roots+"/one@amd64", dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Replace("one@amd64", at, "one"); !errors.Is(err, ErrRefused) {
		t.Errorf("Replace of a mounted root = %v", err)
	}
	if err := off(); err != nil {
		t.Fatal(err)
	}
	// What a root says of an image that the pool does not have counts for nothing.
	for _, text := range []string{"", "rubbish\n", "00\n", "00000000000000000000000000000000\n",
		"11111111111111111111111111111111\n"} {
		pooltest.Put(t, p.dir, map[string]string{"@roots/bare/" + madeOf: text})
		c, err := p.Read()
		if r, err2 := c.Root("bare"); err != nil || err2 != nil || r.Image != "" {
			t.Errorf("with %q the root is %+v, %v", text, r, err)
		}
	}
}
