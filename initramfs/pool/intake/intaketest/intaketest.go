// Package intaketest makes images for tests: trees whose streams `btrfs send` has made.
//
// Call Publish with the steps that make the versions of a template.
package intaketest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"griddle/imagestore/content"
	"griddle/imagestore/document"
	"griddle/imagestore/fetch"
	"griddle/imagestore/sendstream"
	"griddle/initramfs/pool/pooltest"
)

// Image is an image whose streams are files.
type Image struct {
	Infos    []fetch.StreamInfo
	Files    []string
	Manifest *content.Manifest                  // of the last stream
	Between  func(i int, r io.Reader) io.Reader // nil, or what a test puts between a file and who reads it
}

// Ref is that of the last stream.
func (s *Image) Ref() string { return s.Infos[len(s.Infos)-1].Ref }

// Identity is what the last stream makes.
func (s *Image) Identity() document.Identity {
	last := s.Infos[len(s.Infos)-1]
	return document.Identity{Ref: last.Ref, UUID: last.UUID, Ctransid: last.Ctransid}
}

// Size is that of the files.
func (s *Image) Size() int64 { return s.Manifest.Size() }

// Streams are all.
func (s *Image) Streams() []fetch.StreamInfo { return s.Infos }

// OpenStream opens a file.
func (s *Image) OpenStream(_ context.Context, i int, _ string) (io.ReadCloser, error) {
	f, err := os.Open(s.Files[i])
	if err != nil || s.Between == nil {
		return f, err
	}
	return struct {
		io.Reader
		io.Closer
	}{s.Between(i, f), f}, nil
}

// Content is that of the last stream.
func (s *Image) Content(context.Context) (*content.Manifest, error) { return s.Manifest, nil }

// Publish makes a subvolume, lets each step change it, and sends it after each: the first in full, the others as
// deltas. It returns an image for each step, web:20261120.1@amd64 and so on, with all streams up to that.
func Publish(t testing.TB, steps ...func(dir string)) []*Image {
	t.Helper()
	dev, top, out := pooltest.Loop(t, 512<<20), t.TempDir(), t.TempDir()
	pooltest.Tool(t, "mkfs.btrfs", "-q", dev)
	pooltest.Tool(t, "mount", dev, top)
	t.Cleanup(func() { pooltest.Tool(t, "umount", top) })
	work := filepath.Join(top, "work")
	pooltest.Tool(t, "btrfs", "subvolume", "create", work)
	var all []*Image
	last := &Image{}
	var parent string
	for i, step := range steps {
		step(work)
		snap := filepath.Join(top, fmt.Sprintf("v%d", i+1))
		pooltest.Tool(t, "btrfs", "subvolume", "snapshot", "-r", work, snap)
		file := filepath.Join(out, fmt.Sprint(i))
		args := []string{"send", "-q", "-f", file}
		if parent != "" {
			args = append(args, "-p", parent)
		}
		pooltest.Tool(t, "btrfs", append(args, snap)...)
		info, m := read(t, file, last.Manifest, snap)
		info.Ref = fmt.Sprintf("web:20261120.%d@amd64", i+1)
		if i > 0 {
			p := last.Infos[i-1]
			info.Parent = &document.Identity{Ref: p.Ref, UUID: p.UUID, Ctransid: p.Ctransid}
		}
		last = &Image{Infos: append(last.Infos[:i:i], info), Files: append(last.Files[:i:i], file), Manifest: m}
		all = append(all, last)
		parent = snap
	}
	return all
}

// From is the image without its first n streams.
func (s *Image) From(n int) *Image {
	return &Image{Infos: s.Infos[n:], Files: s.Files[n:], Manifest: s.Manifest, Between: s.Between}
}

func read(t testing.TB, file string, parent *content.Manifest, tree string) (fetch.StreamInfo, *content.Manifest) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	r, err := sendstream.NewReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	first, err := r.Next()
	if err != nil {
		t.Fatal(err)
	}
	info := fetch.StreamInfo{UUID: first.UUID, Ctransid: first.Ctransid, Raw: int64(len(b)), Wire: int64(len(b))}
	builder := content.NewBuilder(parent, tree)
	if err := builder.Read(bytes.NewReader(b)); err != nil {
		t.Fatal(err)
	}
	m, err := builder.Finish(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return info, m
}

// Put writes files of a tree: path to content. A content "-> x" is a symlink, and what is in a folder for programs is
// one.
func Put(t testing.TB, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		p := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if target, ok := strings.CutPrefix(text, "-> "); ok {
			if err := os.Symlink(target, p); err != nil {
				t.Fatal(err)
			}
			continue
		}
		mode := fs.FileMode(0o644)
		if strings.HasSuffix(filepath.Dir(name), "bin") {
			mode = 0o755
		}
		if err := os.WriteFile(p, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
}
