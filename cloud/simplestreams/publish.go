package simplestreams

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"github.com/klauspost/compress/gzip"

	"griddle/cloud/provider/lxd/metadata"
	"griddle/imagestore/durable"
)

// Source is an image to publish. What Publish finds out, the files, is empty.
type Source struct {
	Image
	Properties map[string]string // of the image in LXD
	// Digest, if any, names what Open gives: a file that an earlier Publish made from the same is used again, unread.
	Digest string
	// Open gives the root filesystem: an uncompressed tar, or what Format says. Publish closes it.
	Open func() (io.ReadCloser, error)
}

// made is what is remembered of a root that was made from a Source's digest: images/SHA256.made.
type made struct {
	File
	Format Format `json:"format"`
	From   string `json:"from"`
}

// Publish writes the images to a directory, and then the documents, in place of those before. It may be interrupted at
// any point: what is served then are the old images or the new ones. Files that neither the new documents nor those
// that they replaced name are deleted. Two at once wait for each other.
func Publish(ctx context.Context, dir string, sources []Source) error {
	var disk durable.Disk
	for _, sub := range []string{"streams/v1", "images"} {
		if err := disk.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			return fmt.Errorf("publishing images: %w", err)
		}
	}
	unlock, err := disk.Lock(ctx, filepath.Join(dir, ".lock"))
	if err != nil {
		return fmt.Errorf("publishing images: %w", err)
	}
	defer unlock()
	p := publisher{dir: dir, disk: disk}
	var images []Image
	for _, s := range sources {
		i, err := p.add(ctx, s)
		if err != nil {
			return fmt.Errorf("publishing image %s %s: %w", s.Name, s.Version, err)
		}
		images = append(images, i)
	}
	indexJSON, imagesJSON, err := Render(images)
	if err != nil {
		return err
	}
	old, err := os.ReadFile(filepath.Join(dir, ImagesPath))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("publishing images: %w", err)
	}
	// A client reads the index first: it must never name a product that images.json does not have yet.
	if err := disk.Replace(filepath.Join(dir, ImagesPath), imagesJSON, 0o644); err != nil {
		return fmt.Errorf("publishing images: %w", err)
	}
	if err := disk.Replace(filepath.Join(dir, IndexPath), indexJSON, 0o644); err != nil {
		return fmt.Errorf("publishing images: %w", err)
	}
	return p.collect(imagesJSON, old)
}

type publisher struct {
	dir  string
	disk durable.Disk
}

// add writes an image's two files.
func (p *publisher) add(ctx context.Context, s Source) (Image, error) {
	i := s.Image
	if i.Format == "" {
		i.Format = Tar
	}
	meta, err := metadata.Tar(metadata.Image{Arch: i.Arch, Properties: s.Properties})
	if err != nil {
		return i, err
	}
	i.Meta = File{Size: int64(len(meta)), SHA256: sum(meta)}
	i.Meta.Path = "images/" + i.Meta.SHA256 + ".lxd.tar"
	if err := p.disk.Replace(filepath.Join(p.dir, i.Meta.Path), meta, 0o644); err != nil {
		return i, err
	}
	i.Root, err = p.root(ctx, s, i.Format)
	if err != nil {
		return i, err
	}
	f, err := os.Open(filepath.Join(p.dir, i.Root.Path))
	if err != nil {
		return i, err
	}
	defer f.Close()
	both, root := sha256.New(), sha256.New()
	both.Write(meta)
	n, err := io.Copy(io.MultiWriter(both, root), f)
	if err != nil {
		return i, err
	}
	if got := hex.EncodeToString(root.Sum(nil)); got != i.Root.SHA256 || n != i.Root.Size {
		return i, fmt.Errorf("%s has other bytes than it was made with: delete it", i.Root.Path)
	}
	i.Both = hex.EncodeToString(both.Sum(nil))
	return i, nil
}

// root writes the root filesystem, unless it was made from the same before.
func (p *publisher) root(ctx context.Context, s Source, format Format) (File, error) {
	note := filepath.Join(p.dir, "images", sum([]byte(string(format)+" "+s.Digest))+".made")
	if s.Digest != "" {
		var m made
		b, err := os.ReadFile(note)
		if err == nil && json.Unmarshal(b, &m) == nil && m.From == s.Digest && m.Format == format &&
			isDigest(m.SHA256) && m.Path == "images/"+path.Base(m.Path) {
			if info, err := os.Stat(filepath.Join(p.dir, m.Path)); err == nil && info.Size() == m.Size {
				return m.File, nil
			}
		}
	}
	in, err := s.Open()
	if err != nil {
		return File{}, err
	}
	defer in.Close()
	out, err := p.disk.CreateTemp(filepath.Join(p.dir, "images"), ".root-")
	if err != nil {
		return File{}, err
	}
	temporary := out.Name()
	f, err := pack(ctx, out, in, format)
	if err == nil {
		err = out.Chmod(0o644)
	}
	if err == nil {
		err = out.Sync()
	}
	err = errors.Join(err, out.Close())
	if err == nil {
		err = p.disk.Rename(temporary, filepath.Join(p.dir, f.Path))
	}
	if err != nil {
		return File{}, errors.Join(err, p.disk.Remove(temporary))
	}
	if err := p.disk.SyncDir(filepath.Join(p.dir, "images")); err != nil || s.Digest == "" {
		return f, err
	}
	b, err := json.Marshal(made{File: f, Format: format, From: s.Digest})
	if err == nil {
		err = p.disk.Replace(note, b, 0o644)
	}
	return f, err
}

// pack writes a root as it is served, and says what it is called.
func pack(ctx context.Context, out io.Writer, in io.Reader, format Format) (File, error) {
	h := sha256.New()
	counted := &counter{w: io.MultiWriter(out, h)}
	in = &stopping{ctx: ctx, r: in}
	f, err := File{}, error(nil)
	end := ".squashfs"
	if format == Tar {
		end = ".root.tar.gz"
		z := gzip.NewWriter(counted)
		_, err = io.Copy(z, in)
		err = errors.Join(err, z.Close())
	} else {
		_, err = io.Copy(counted, in)
	}
	f.Size, f.SHA256 = counted.n, hex.EncodeToString(h.Sum(nil))
	f.Path = "images/" + f.SHA256 + end
	return f, err
}

type counter struct {
	w io.Writer
	n int64
}

// Write implements io.Writer.
func (c *counter) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.n += int64(n)
	return n, err
}

// stopping reads until a context ends.
type stopping struct {
	ctx context.Context
	r   io.Reader
}

// Read implements io.Reader.
func (s *stopping) Read(b []byte) (int, error) {
	if err := s.ctx.Err(); err != nil {
		return 0, err
	}
	return s.r.Read(b)
}

func sum(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}

// collect deletes files of images that none of the documents names. Notes go with the file that they are of.
func (p *publisher) collect(documents ...[]byte) error {
	dir := filepath.Join(p.dir, "images")
	all, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("collecting files of old images: %w", err)
	}
	named := func(name string) bool {
		for _, d := range documents {
			if bytes.Contains(d, []byte(`"images/`+name+`"`)) {
				return true
			}
		}
		return false
	}
	for _, e := range all {
		name := e.Name()
		if filepath.Ext(name) == ".made" {
			var m made
			if b, err := os.ReadFile(filepath.Join(dir, name)); err == nil && json.Unmarshal(b, &m) == nil {
				name = path.Base(m.Path)
			}
		}
		if !named(name) {
			if err := p.disk.Remove(filepath.Join(dir, e.Name())); err != nil {
				return fmt.Errorf("collecting files of old images: %w", err)
			}
		}
	}
	return nil
}
