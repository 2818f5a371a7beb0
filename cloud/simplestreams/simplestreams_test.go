package simplestreams

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func sample(name, version, arch string, format Format) Image {
	hex := func(c string) string { return strings.Repeat(c, 64) }
	return Image{
		Name: name, Version: version, Arch: arch, Format: format, Title: "Web servers",
		Aliases: []string{name + "/stable"},
		Meta:    File{Path: "images/" + hex("a") + ".lxd.tar", Size: 10240, SHA256: hex("a")},
		Root:    File{Path: "images/" + hex("b") + ".root.tar.gz", Size: 123456789, SHA256: hex("b")},
		Both:    hex("c"),
	}
}

var update = flag.Bool("update", false, "write the goldens anew")

// TestRender compares the documents with testdata; -update writes them anew.
func TestRender(t *testing.T) {
	images := []Image{
		sample("web", "20261120.1", "amd64", Tar), sample("web", "20261121.1", "amd64", Squashfs),
		sample("web", "20261120.1", "arm64", Tar), sample("db", "20261101", "amd64", ""),
	}
	for range 2 {
		index, all, err := Render(images)
		if err != nil {
			t.Fatal(err)
		}
		for name, got := range map[string][]byte{"index.json": index, "images.json": all} {
			path := filepath.Join("testdata", name)
			if *update {
				if err := os.WriteFile(path, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != string(want) {
				t.Errorf("%s is\n%s\nwant\n%s", name, got, want)
			}
		}
		slices.Reverse(images)
	}
}

func TestRenderNothing(t *testing.T) {
	index, all, err := Render(nil)
	if err != nil || !strings.Contains(string(index), `"products": []`) ||
		!strings.Contains(string(all), `"products": {}`) {
		t.Errorf("Render(nil) = %s, %s, %v", index, all, err)
	}
}

func TestRenderFaults(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*Image)
		want   string
	}{
		{"name", func(i *Image) { i.Name = "Web:1" }, "the name has other characters"},
		{"short version", func(i *Image) { i.Version = "1.2" }, "does not begin with a day"},
		{"no day", func(i *Image) { i.Version = "20261340" }, "which is not a day"},
		{"architecture", func(i *Image) { i.Arch = "riscv64" }, "neither amd64 nor arm64"},
		{"alias", func(i *Image) { i.Aliases = []string{"a,b"} }, `the alias "a,b"`},
		{"format", func(i *Image) { i.Format = "zip" }, `format "zip" is unknown`},
		{"path", func(i *Image) { i.Root.Path = "images/../x" }, "a file is"},
		{"digest", func(i *Image) { i.Meta.SHA256 = "AA" }, "a file is"},
		{"both", func(i *Image) { i.Both = "" }, "digest of both"},
		{"size", func(i *Image) { i.Root.Size = 0 }, "a file is"},
	} {
		t.Run(c.name, func(t *testing.T) {
			i := sample("web", "20261120", "amd64", Tar)
			c.change(&i)
			if _, _, err := Render([]Image{i}); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("Render = %v, want %q", err, c.want)
			}
		})
	}
	i := sample("web", "20261120", "amd64", Tar)
	if _, _, err := Render([]Image{i, i}); err == nil || !strings.Contains(err.Error(), "there twice") {
		t.Errorf("Render of one version twice = %v", err)
	}
}
