package oci

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// tagKey is the annotation that holds a tag (image-spec annotations.md).
const tagKey = "org.opencontainers.image.ref.name"

// kinds of what an index may name.
const (
	isManifest = iota + 1
	isIndex
)

func kindOf(mediaType string) int {
	switch mediaType {
	case "application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json":
		return isManifest
	case "application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json":
		return isIndex
	}
	return 0
}

// choose finds the manifest of a tag for an architecture.
func (l *Layout) choose(tag, arch string) (descriptor, error) {
	var found []descriptor
	tags := map[string]bool{}
	for _, d := range l.index.Manifests {
		name := d.Annotations[tagKey]
		if kindOf(d.MediaType) == 0 {
			continue // an artifact of another kind
		}
		tags[name] = true
		if tag == "" || name == tag {
			found = append(found, d)
		}
	}
	if tag == "" && len(tags) > 1 || len(found) == 0 {
		return descriptor{}, fmt.Errorf("%w: %s", ErrNoImage, explain(tag, tags))
	}
	budget := 1000
	manifests, err := l.expand(found, maxDepth, &budget)
	if err != nil {
		return descriptor{}, err
	}
	return forPlatform(manifests, arch)
}

// explain says what there is.
func explain(tag string, tags map[string]bool) string {
	var names []string
	for name := range tags {
		if name != "" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	list := strings.Join(names[:min(len(names), 10)], ", ")
	switch {
	case len(tags) == 0:
		return "the layout has no image"
	case tag == "":
		return "say which: " + list
	case list == "":
		return fmt.Sprintf("the layout has no tag %s, and no other one", tag)
	}
	return fmt.Sprintf("the layout has no tag %s, only %s", tag, list)
}

// expand replaces indexes by what they name.
func (l *Layout) expand(all []descriptor, depth int, budget *int) ([]descriptor, error) {
	var out []descriptor
	for _, d := range all {
		if *budget--; *budget < 0 {
			return nil, fmt.Errorf("%w: an image of too many manifests", ErrMalformed)
		}
		switch kindOf(d.MediaType) {
		case isManifest:
			out = append(out, d)
		case isIndex:
			if depth == 0 {
				return nil, fmt.Errorf("%w: indexes are more than %d deep", ErrMalformed, maxDepth)
			}
			var i index
			if err := l.document("", &d, &i); err != nil {
				return nil, err
			}
			below, err := l.expand(i.Manifests, depth-1, budget)
			if err != nil {
				return nil, err
			}
			out = append(out, below...)
		}
	}
	return out, nil
}

// forPlatform picks the manifest for Linux on arch.
func forPlatform(all []descriptor, arch string) (descriptor, error) {
	var others []string
	var fit, rest []descriptor
	for _, d := range all {
		p := d.Platform
		switch {
		case p == nil:
			rest = append(rest, d)
		case p.OS == "linux" && p.Architecture == arch:
			fit = append(fit, d)
		case p.OS == "linux":
			rest = append(rest, d)
			others = append(others, p.Architecture)
		case p.OS != "unknown": // what a builder attests is listed as for an unknown system
			others = append(others, p.OS+"/"+p.Architecture)
		}
	}
	// The variant that runs on the most machines; of ARM's the one that Debian's armhf is.
	rank := func(d descriptor) int {
		switch v := d.Platform.Variant; {
		case v == "" && arch != "arm", v == "v7" && arch == "arm":
			return 0
		case v == "v8" && arch == "arm64", v == "v1":
			return 1
		}
		return 2
	}
	slices.SortStableFunc(fit, func(a, b descriptor) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a.Platform.Variant, b.Platform.Variant))
	})
	switch {
	case len(fit) > 0:
		return fit[0], nil
	case len(rest) == 1:
		return rest[0], nil
	case len(others) > 0:
		return descriptor{}, fmt.Errorf("%w: it exists for %s, not for %s", ErrNoImage,
			strings.Join(others[:min(len(others), 20)], ", "), arch)
	case len(rest) > 1:
		return descriptor{}, fmt.Errorf("%w: %d images have that name, and none names its architecture",
			ErrNoImage, len(rest))
	}
	return descriptor{}, fmt.Errorf("%w: the index names no image", ErrNoImage)
}
