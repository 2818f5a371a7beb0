package oci

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"griddle/imagestore/content"
	"griddle/imagestore/sendstream"
	"griddle/imagestore/source/archive"
)

// layer makes a tar archive of files and, with a final slash, directories.
func layer(t testing.TB, files ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, name := range files {
		h := tar.Header{Name: name, Mode: 0o644, Size: int64(len(name)), Typeflag: tar.TypeReg,
			ModTime: time.Unix(1, 0)}
		if strings.HasSuffix(name, "/") {
			h.Typeflag, h.Mode, h.Size = tar.TypeDir, 0o755, 0
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, name[:h.Size]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func gzipped(b []byte) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	w.Write(b)
	w.Close()
	return out.Bytes()
}

func zstded(b []byte) []byte {
	e, err := zstd.NewWriter(nil)
	if err != nil {
		panic(err)
	}
	return e.EncodeAll(b, nil)
}

func digest(b []byte) string { s := sha256.Sum256(b); return "sha256:" + hex.EncodeToString(s[:]) }

// composed is a layout that is being made. It is files itself.
type composed map[string][]byte

func (c composed) close() error { return nil }

func (c composed) open(name string) (io.ReadCloser, int64, error) {
	b, ok := c[name]
	if !ok {
		return nil, 0, fmt.Errorf("%w: %s is missing", ErrMalformed, name)
	}
	return io.NopCloser(bytes.NewReader(b)), int64(len(b)), nil
}

func newComposed() composed { return composed{"oci-layout": []byte(`{"imageLayoutVersion":"1.0.0"}`)} }

// add stores a blob and gives its descriptor.
func (c composed) add(mediaType string, b []byte) descriptor {
	d := digest(b)
	c["blobs/"+strings.Replace(d, ":", "/", 1)] = b
	return descriptor{MediaType: mediaType, Digest: d, Size: int64(len(b))}
}

func asJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

const (
	manifestType = "application/vnd.oci.image.manifest.v1+json"
	indexType    = "application/vnd.oci.image.index.v1+json"
	layerType    = "application/vnd.oci.image.layer.v1.tar"
	configType   = "application/vnd.oci.image.config.v1+json"
)

// image adds an image of layers, each of which is stored as pack makes it.
func (c composed) image(arch string, pack func([]byte) []byte, suffix string, layers ...[]byte) descriptor {
	var config configuration
	config.Architecture, config.OS = arch, "linux"
	var m manifest
	for _, l := range layers {
		config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, digest(l))
		m.Layers = append(m.Layers, c.add(layerType+suffix, pack(l)))
	}
	m.Config = c.add(configType, asJSON(config))
	return c.add(manifestType, asJSON(m))
}

func same(b []byte) []byte { return b }

func (c composed) index(all ...descriptor) composed {
	c["index.json"] = asJSON(index{Manifests: all})
	return c
}

func tagged(d descriptor, tag string) descriptor {
	d.Annotations = map[string]string{tagKey: tag}
	return d
}

func on(d descriptor, os, arch, variant string) descriptor {
	d.Platform = &platform{Architecture: arch, OS: os, Variant: variant}
	return d
}

// paths gives the paths of an image, or the error.
func paths(l *Layout, tag, arch string) (string, *Image, error) {
	i, err := l.Image(tag, arch)
	if err != nil {
		return "", nil, err
	}
	var out bytes.Buffer
	tree, err := archive.New(&out, archive.Options{Name: "x", UUID: sendstream.UUID{1}, Ctransid: 1,
		Limits: archive.Limits{Bytes: 1 << 24, Entries: 1000}})
	if err == nil {
		err = i.Apply(context.Background(), tree)
	}
	if err == nil {
		err = tree.Finish()
	}
	if err != nil {
		return "", nil, err
	}
	if huge(out.Bytes()) {
		return "", nil, errors.New("the zeros of its holes take too long to hash")
	}
	b := content.NewBuilder(nil, "")
	if err := b.Read(&out); err != nil {
		return "", nil, fmt.Errorf("the stream does not apply: %w", err)
	}
	m, err := b.Finish(context.Background())
	if err != nil {
		return "", nil, err
	}
	var names []string
	for _, e := range m.Entries[1:] {
		names = append(names, e.Path)
	}
	return strings.Join(names, " "), i, nil
}

// huge says whether a stream makes files of more than 16 MiB.
func huge(stream []byte) bool {
	r, err := sendstream.NewReader(bytes.NewReader(stream))
	for size := uint64(0); err == nil && size <= 16<<20; {
		var c *sendstream.Command
		if c, err = r.Next(); err == nil {
			size += c.Size + c.FileOffset
		}
	}
	return err == nil
}

func TestImages(t *testing.T) {
	base, top := layer(t, "etc/", "etc/a", "etc/b", "bin/sh"),
		layer(t, "etc/.wh.a", "etc/c", "bin/.wh..wh..opq", "bin/new")
	const want = "bin bin/new etc etc/b etc/c"
	one := newComposed()
	one.index(one.image("amd64", gzipped, "+gzip", base, top))
	bare := newComposed()
	bare.index(tagged(bare.image("arm64", same, "", base), "1.0"),
		tagged(bare.image("arm64", zstded, "+zstd", base, top), "2.0"))
	lists := newComposed()
	arm, amd := lists.image("arm", same, "", layer(t, "arm")), lists.image("amd64", same, "", layer(t, "amd"))
	v6, attest := lists.image("arm", same, "", layer(t, "v6")), lists.add(manifestType, []byte(`{}`))
	inner := lists.add(indexType,
		asJSON(index{Manifests: []descriptor{on(attest, "unknown", "unknown", ""), on(v6, "linux", "arm", "v6"),
			on(arm, "linux", "arm", "v7"), on(amd, "linux", "amd64", ""), on(amd, "windows", "s390x", "")}}))
	lists.index(tagged(inner, "all"), tagged(lists.add("application/vnd.cncf.helm", []byte("x")), "chart"))
	for _, tt := range []struct {
		name      string
		layout    composed
		tag, arch string
		want      string // paths, or a part of the error
		found     string // architecture
	}{
		{"gzip", one, "", "amd64", want, "amd64"},
		{"one for another machine", one, "", "arm64", want, "amd64"},
		{"bare", bare, "1.0", "arm64", "bin bin/sh etc etc/a etc/b", "arm64"},
		{"zstd", bare, "2.0", "arm64", want, "arm64"},
		{"no tag among two", bare, "", "arm64", "no such image: say which: 1.0, 2.0", ""},
		{"no such tag", bare, "3.0", "arm64", "the layout has no tag 3.0, only 1.0, 2.0", ""},
		{"nested index", lists, "all", "amd64", "amd", "amd64"},
		{"the only image", lists, "", "amd64", "amd", "amd64"},
		{"variant", lists, "", "arm", "arm", "arm"},
		{"not for this machine", lists, "all", "riscv64",
			"it exists for arm, arm, amd64, windows/s390x, not for riscv64", ""},
		{"no image", newComposed().index(), "", "amd64", "the layout has no image", ""},
	} {
		l, err := open(tt.layout)
		if err != nil {
			t.Fatal(err)
		}
		got, i, err := paths(l, tt.tag, tt.arch)
		if err != nil {
			got = err.Error()
			if tt.found != "" || !errors.Is(err, ErrNoImage) {
				t.Errorf("%s: %v", tt.name, err)
			}
		} else if i.Arch != tt.found {
			t.Errorf("%s: it is for %s, want %s", tt.name, i.Arch, tt.found)
		}
		if err == nil && got != tt.want || !strings.Contains(got, tt.want) {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

// TestOpen reads the same layout as a directory, and as an archive.
func TestOpen(t *testing.T) {
	c := newComposed()
	c.index(c.image("amd64", gzipped, "+gzip", layer(t, "a/b")))
	dir := filepath.Join(t.TempDir(), "layout")
	var packed bytes.Buffer
	w := tar.NewWriter(&packed)
	for name, b := range c {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, b, 0o644),
			w.WriteHeader(&tar.Header{Name: "./" + name, Size: int64(len(b)), Mode: 0o644})); err != nil {
			t.Fatal(err)
		}
		w.Write(b)
	}
	w.Close()
	for name, b := range map[string][]byte{"layout.tar": packed.Bytes(), "layout.tgz": gzipped(packed.Bytes()),
		"cut.tar": packed.Bytes()[:packed.Len()-1600], "text": []byte("hello")} {
		if err := os.WriteFile(filepath.Join(filepath.Dir(dir), name), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for path, want := range map[string]string{dir: "", dir + ".tar": "",
		dir + ".tgz": "compressed; decompress it first", dir + "/../cut.tar": "malformed image layout",
		dir + "/../text": "not a tar archive", dir + "/blobs": "oci-layout",
		"/dev/null": "neither a directory nor a file", dir + "/../gone": "no such file"} {
		l, err := Open(path)
		if err != nil {
			if want == "" || !strings.Contains(err.Error(), want) {
				t.Errorf("Open(%s) = %v, want %q", path, err, want)
			}
			continue
		}
		got, _, err := paths(l, "", "amd64")
		l.Close()
		if got != "a a/b" || err != nil || want != "" {
			t.Errorf("%s has %q, %v, want %q", path, got, err, want)
		}
	}
}

func TestRefuses(t *testing.T) {
	good := func() (composed, descriptor) {
		c := newComposed()
		return c, c.image("amd64", gzipped, "+gzip", layer(t, "a"), layer(t, "b"))
	}
	blob := func(d string) string { return "blobs/" + strings.Replace(d, ":", "/", 1) }
	// with puts another manifest in, made of the one that is there.
	with := func(change func(c composed, m *manifest)) composed {
		c, d := good()
		var m manifest
		if err := json.Unmarshal(c[blob(d.Digest)], &m); err != nil {
			t.Fatal(err)
		}
		change(c, &m)
		return c.index(c.add(manifestType, asJSON(m)))
	}
	flip := func(b []byte) []byte {
		b = bytes.Clone(b)
		b[len(b)/2] ^= 1
		return b
	}
	deep := newComposed()
	d := deep.image("amd64", same, "", layer(t, "a"))
	for range maxDepth + 1 {
		d = deep.add(indexType, asJSON(index{Manifests: []descriptor{d}}))
	}
	deep.index(d)
	wide := newComposed()
	d = wide.image("amd64", same, "", layer(t, "a"))
	for range maxDepth {
		d = wide.add(indexType, asJSON(index{Manifests: []descriptor{d, d, d, d, d, d, d, d, d, d}}))
	}
	spoilt, sd := good()
	spoilt[blob(sd.Digest)] = flip(spoilt[blob(sd.Digest)])
	for _, tt := range []struct {
		name   string
		layout composed
		want   string
	}{
		{"a manifest with a flipped bit", spoilt.index(sd), "and the digest"},
		{"no manifest", newComposed().index(sd), "is missing"},
		{"a layer with a flipped bit",
			with(func(c composed, m *manifest) { c[blob(m.Layers[1].Digest)] = flip(c[blob(m.Layers[1].Digest)]) }),
			"layer 2 of 2"},
		{"a layer with bytes behind", with(func(c composed, m *manifest) {
			c[blob(m.Layers[1].Digest)] = append(bytes.Clone(c[blob(m.Layers[1].Digest)]), 0)
		}), "bytes, want"},
		{"another layer's content", with(func(c composed, m *manifest) { m.Layers[1] = m.Layers[0] }),
			"its content: malformed image layout"},
		{"a layer less", with(func(c composed, m *manifest) { m.Layers = m.Layers[:1] }),
			"1 layers, and its configuration 2"},
		{"a layer without a type", with(func(c composed, m *manifest) { m.Layers[0].MediaType = "" }),
			`a layer of type ""`},
		{"an encrypted layer", with(func(c composed, m *manifest) { m.Layers[0].MediaType += "+encrypted" }),
			"+encrypted"},
		{"a size that lies", with(func(c composed, m *manifest) { m.Layers[0].Size++ }), "bytes, want"},
		{"a digest that is a path",
			with(func(c composed, m *manifest) { m.Layers[0].Digest = "sha256:../../../etc/passwd" }),
			"is not a digest"},
		{"an unknown digest",
			with(func(c composed, m *manifest) { m.Layers[0].Digest = "md5:d41d8cd98f00b204e9800998ecf8427e" }),
			"is not a digest"},
		{"an empty digest", with(func(c composed, m *manifest) { m.Config.Digest = "" }), "is not a digest"},
		{"a layer that is no archive",
			with(func(c composed, m *manifest) { m.Layers[0] = c.add(layerType, []byte(strings.Repeat("x", 600))) }),
			"malformed archive"},
		{"a layer that leads out",
			with(func(c composed, m *manifest) { m.Layers[0] = c.add(layerType, layer(t, "../x")) }), "leads upwards"},
		{"indexes too deep", deep, "deep"},
		{"indexes too wide", wide.index(d), "too many manifests"},
		{"no index", newComposed(), "index.json is missing"},
		{"an index that is no JSON", composed{"oci-layout": []byte(`{"imageLayoutVersion":"1.0.0"}`),
			"index.json": []byte("{")}, "index.json: unexpected end"},
		{"another version", composed{"oci-layout": []byte(`{"imageLayoutVersion":"2.0.0"}`)}, `version "2.0.0"`},
		{"a huge index", composed{"oci-layout": []byte(`{"imageLayoutVersion":"1.0.0"}`),
			"index.json": make([]byte, maxDocument+1)}, "limit 4194304"},
	} {
		l, err := open(tt.layout)
		if err == nil {
			_, _, err = paths(l, "", "amd64")
		}
		if err == nil || !strings.Contains(err.Error(), tt.want) ||
			!errors.Is(err, ErrMalformed) && !errors.Is(err, archive.ErrMalformed) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
	long := sha512.Sum512(nil)
	if a, _, err := parseDigest("sha512:" + hex.EncodeToString(long[:])); a != "sha512" || err != nil {
		t.Errorf("parseDigest(sha512) = %s, %v", a, err)
	}
}

// FuzzOCI reads layouts whose index, manifest, configuration and layer are any bytes; @manifest, @config and @layer
// in them become true digests. What is not refused must be a stream that applies.
func FuzzOCI(f *testing.F) {
	const (
		i = `{"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"@manifest",` +
			`"size":@size,"platform":{"os":"linux","architecture":"amd64"}}]}`
		m = `{"config":{"digest":"@config","size":@size},` +
			`"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"@layer","size":@size}]}`
		c = `{"architecture":"amd64","os":"linux","rootfs":{"diff_ids":["@layer"]}}`
	)
	f.Add(i, m, c, layer(f, "a/", "a/b", "c"))
	f.Add(i, strings.Replace(m, `"layers":[`,
		`"layers":[{"mediaType":"application/vnd.docker.image.rootfs.diff.tar.gzip","digest":"@layer","size":@size},`,
		1),
		strings.Replace(c, `["@layer"`, `["@layer","@layer"`, 1), layer(f, "a/", "a/.wh..wh..opq", ".wh.b", "a/c", "b"))
	f.Fuzz(func(t *testing.T, index, manifest, config string, layer []byte) {
		files := newComposed()
		fill := func(text string, parts ...string) []byte {
			for n := 0; n+2 < len(parts); n += 3 {
				// The first size behind a digest is the size of what it names.
				before, after, ok := strings.Cut(text, parts[n])
				for ok {
					text = before + parts[n+1] + strings.Replace(after, "@size", parts[n+2], 1)
					before, after, ok = strings.Cut(text, parts[n])
				}
			}
			return []byte(text)
		}
		l := files.add("", layer)
		c := files.add("", fill(config, "@layer", l.Digest, fmt.Sprint(l.Size)))
		m := files.add("",
			fill(manifest, "@config", c.Digest, fmt.Sprint(c.Size), "@layer", l.Digest, fmt.Sprint(l.Size)))
		files["index.json"] = fill(index, "@manifest", m.Digest, fmt.Sprint(m.Size))
		opened, err := open(files)
		if err != nil {
			return
		}
		if _, _, err := paths(opened, "", "amd64"); err != nil && strings.Contains(err.Error(), "does not apply") {
			t.Fatal(err)
		}
	})
}
