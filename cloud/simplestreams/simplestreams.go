// Package simplestreams publishes images for containers in the format that LXD's and Incus' clients know remote image
// servers by, so that a stock lxc lists them and launches from them.
//
// Call Publish for each set of images, and serve the directory by Handler over HTTPS, which is all that lxc takes.
// Render alone is the format: images to documents.
//
//	streams/v1/index.json     where images.json is, and the products in it
//	streams/v1/images.json    products: a name and an architecture, with versions, each with two items
//	images/SHA256.lxd.tar     item lxd.tar.xz: LXD's metadata and cloud-init's templates
//	images/SHA256.root.tar.gz item root.tar.xz: the root filesystem; or
//	images/SHA256.squashfs    item squashfs: the same
//
// The types of items are fixed words: what a file is compressed with is found by its first bytes. The metadata's item
// has the digest of both files, one after the other, which is the image's fingerprint in LXD (combined_rootxz_sha256,
// combined_squashfs_sha256). Files are named by their digests, so that a new version never changes what a
// client is downloading.
//
// The same images give the same bytes. LXD checks each file against its digest; who signs is the TLS certificate.
//
// Sources: simplestreams (https://launchpad.net/simplestreams, doc/), LXD's shared/simplestreams/products.go.
package simplestreams

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Format is what a root filesystem is in.
type Format string

// The formats of a root.
const (
	Tar      Format = "root.tar.xz" // a tar, compressed or not
	Squashfs Format = "squashfs"
)

// Image is one version of an image for one architecture.
type Image struct {
	Name    string   // such as web: of [a-z0-9.-], at most 60
	Version string   // begins with the day, 20261120, which LXD shows as the date of its making; of [0-9a-z._-]
	Arch    string   // amd64 or arm64
	OS      string   // for people; empty for griddle
	Title   string   // of the release, for people; empty for the name
	Aliases []string // besides Name and Name/Arch, of [a-z0-9./-]; they mean the newest version
	Format  Format   // of Root; empty for Tar
	Meta    File
	Root    File
	Both    string // SHA-256 of Meta and Root, one after the other, in hex
}

// File is one file of an image.
type File struct {
	Path   string // below the served directory
	Size   int64
	SHA256 string // in hex
}

type index struct {
	Format string                `json:"format"`
	Index  map[string]indexEntry `json:"index"`
}

type indexEntry struct {
	DataType string   `json:"datatype"`
	Path     string   `json:"path"`
	Format   string   `json:"format"`
	Products []string `json:"products"`
}

type products struct {
	ContentID string             `json:"content_id"`
	DataType  string             `json:"datatype"`
	Format    string             `json:"format"`
	Products  map[string]product `json:"products"`
}

type product struct {
	Aliases  string             `json:"aliases"`
	Arch     string             `json:"arch"`
	OS       string             `json:"os"`
	Release  string             `json:"release"`
	Title    string             `json:"release_title"`
	Variant  string             `json:"variant"`
	Versions map[string]version `json:"versions"`
}

type version struct {
	Items map[string]item `json:"items"`
}

type item struct {
	Type         string `json:"ftype"`
	Path         string `json:"path"`
	Size         int64  `json:"size"`
	SHA256       string `json:"sha256"`
	BothTar      string `json:"combined_rootxz_sha256,omitempty"`
	BothSquashfs string `json:"combined_squashfs_sha256,omitempty"`
}

// Paths of the documents.
const (
	IndexPath  = "streams/v1/index.json"
	ImagesPath = "streams/v1/images.json"
)

// Render makes the documents of images: their order does not matter. It reports every fault.
func Render(images []Image) (indexJSON, imagesJSON []byte, err error) {
	all := products{ContentID: "images", DataType: "image-downloads", Format: "products:1.0",
		Products: make(map[string]product)}
	images = slices.Clone(images)
	// Of the fields that a product has once, the newest version's hold.
	slices.SortStableFunc(images, func(a, b Image) int { return strings.Compare(a.Version, b.Version) })
	var faults []error
	for _, i := range images {
		if err := i.check(); err != nil {
			faults = append(faults, fmt.Errorf("publishing image %q %q for %q: %w", i.Name, i.Version, i.Arch, err))
			continue
		}
		id := "griddle:" + i.Name + ":" + i.Arch
		p := product{
			Aliases: strings.Join(slices.Compact(slices.Concat([]string{i.Name, i.Name + "/" + i.Arch}, i.Aliases)),
				","),
			Arch: i.Arch, OS: i.OS, Release: i.Name, Title: i.Title, Variant: "default",
			Versions: all.Products[id].Versions,
		}
		if p.OS == "" {
			p.OS = "griddle"
		}
		if p.Title == "" {
			p.Title = i.Name
		}
		if p.Versions == nil {
			p.Versions = make(map[string]version)
		}
		if _, twice := p.Versions[i.Version]; twice {
			faults = append(faults,
				fmt.Errorf("publishing image %q: version %q for %s is there twice", i.Name, i.Version, i.Arch))
		}
		p.Versions[i.Version] = version{Items: i.items()}
		all.Products[id] = p
	}
	if len(faults) > 0 {
		return nil, nil, errors.Join(faults...)
	}
	ids := slices.Sorted(maps.Keys(all.Products))
	if ids == nil {
		ids = []string{}
	}
	ix := index{Format: "index:1.0", Index: map[string]indexEntry{
		"images": {DataType: all.DataType, Path: ImagesPath, Format: all.Format, Products: ids},
	}}
	if indexJSON, err = json.MarshalIndent(ix, "", " "); err == nil {
		imagesJSON, err = json.MarshalIndent(all, "", " ")
	}
	if err != nil {
		return nil, nil, fmt.Errorf("publishing images: %w", err)
	}
	return append(indexJSON, '\n'), append(imagesJSON, '\n'), nil
}

func (i *Image) items() map[string]item {
	meta := item{Type: "lxd.tar.xz", Path: i.Meta.Path, Size: i.Meta.Size, SHA256: i.Meta.SHA256}
	root := item{Type: string(Tar), Path: i.Root.Path, Size: i.Root.Size, SHA256: i.Root.SHA256}
	if i.Format == Squashfs {
		root.Type, meta.BothSquashfs = string(Squashfs), i.Both
	} else {
		meta.BothTar = i.Both
	}
	return map[string]item{meta.Type: meta, root.Type: root}
}

// check reports every fault of an image.
func (i *Image) check() error {
	var faults []error
	bad := func(format string, a ...any) { faults = append(faults, fmt.Errorf(format, a...)) }
	if !regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{0,59}$`).MatchString(i.Name) {
		bad("the name has other characters than a-z, 0-9, . and -, or more than 60")
	}
	if !regexp.MustCompile(`^[0-9]{8}[0-9a-z._-]{0,40}$`).MatchString(i.Version) {
		bad("the version does not begin with a day such as 20261120")
	} else if _, err := time.Parse("20060102", i.Version[:8]); err != nil {
		bad("the version begins with %s, which is not a day", i.Version[:8])
	}
	if i.Arch != "amd64" && i.Arch != "arm64" {
		bad("the architecture is neither amd64 nor arm64")
	}
	for _, a := range i.Aliases {
		if !regexp.MustCompile(`^[a-z0-9][a-z0-9./-]{0,99}$`).MatchString(a) {
			bad("the alias %q has other characters than a-z, 0-9, . - and /", a)
		}
	}
	if i.Format != "" && i.Format != Tar && i.Format != Squashfs {
		bad("the format %q is unknown", i.Format)
	}
	for _, f := range []File{i.Meta, i.Root} {
		if f.Size <= 0 || !isDigest(f.SHA256) ||
			!regexp.MustCompile(`^images/[0-9a-z][0-9a-z._-]*$`).MatchString(f.Path) {
			bad("a file is %+v", f)
		}
	}
	if !isDigest(i.Both) {
		bad("the digest of both files is %q", i.Both)
	}
	return errors.Join(faults...)
}

func isDigest(s string) bool {
	b, err := hex.DecodeString(s)
	return err == nil && len(b) == 32 && s == strings.ToLower(s)
}
