package cloud

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"griddle/cloud/provider"
	"griddle/imagestore/packages"
)

// Superfluous lists the images at the provider that may go: those that no stack known here names or uses, the newest
// keep of each template excepted, which other people's stacks may be about to use.
func (c *Cloud) Superfluous(ctx context.Context, keep int) ([]provider.Resource, error) {
	r := calls(c.Jitter)
	list := func(stack string) (all []provider.Resource, err error) {
		err = r.Do(ctx, "looking for images in use", func(ctx context.Context) (err error) {
			all, err = c.Provider.List(ctx, stack)
			return err
		})
		return all, err
	}
	names, err := c.State.Names()
	if err != nil {
		return nil, err
	}
	used := make(map[string]bool) // digests and IDs
	for _, name := range names {
		s, err := c.State.Load(name)
		if err != nil {
			return nil, fmt.Errorf("stack %s: what images it needs is not known: %w", name, err)
		}
		if s.Provider != c.Provider.Features().Name {
			continue
		}
		for _, i := range s.Images {
			used[i.Digest] = true
		}
		have, err := list(name)
		if err != nil {
			return nil, err
		}
		for _, v := range have {
			used[v.Image] = true
		}
	}
	all, err := list("")
	if err != nil {
		return nil, err
	}
	slices.SortFunc(all, func(a, b provider.Resource) int { return newestFirst(a.Name, b.Name) })
	count := make(map[string]int)
	return slices.DeleteFunc(all, func(i provider.Resource) bool {
		template, _ := templateOf(i.Name)
		count[template]++
		return count[template] <= keep || used[i.ID] || used[i.Digest] || i.State == provider.Removing
	}), nil
}

// Collect removes images that Superfluous listed.
func (c *Cloud) Collect(ctx context.Context, images []provider.Resource) error {
	r := calls(c.Jitter)
	var failed error
	for _, i := range images {
		if i.Kind != provider.KindImage {
			return fmt.Errorf("collecting %s %s: it is not an image", i.Kind, i.Name)
		}
		failed = errors.Join(failed, r.Do(ctx, "removing image "+i.Name, func(ctx context.Context) error {
			return c.Provider.Remove(ctx, i)
		}))
	}
	return failed
}

// templateOf takes an image's name apart: web-20261120.1-amd64 is version 20261120.1 of web-amd64. A version that has a
// dash makes smaller groups, of which more is kept.
func templateOf(name string) (template, version string) {
	rest, arch := name, ""
	if i := strings.LastIndexByte(rest, '-'); i >= 0 {
		rest, arch = rest[:i], rest[i:]
	}
	i := strings.LastIndexByte(rest, '-')
	if i < 0 {
		return name, ""
	}
	return rest[:i] + arch, rest[i+1:]
}

func newestFirst(a, b string) int {
	templateA, versionA := templateOf(a)
	templateB, versionB := templateOf(b)
	if d := strings.Compare(templateA, templateB); d != 0 {
		return d
	}
	return packages.CompareDpkg(versionB, versionA)
}
