package build

import (
	"context"
	"fmt"
	"strings"

	"griddle/appliance/griddle/cli"
	clouds "griddle/appliance/griddle/cloud"
	"griddle/appliance/griddle/key"
	"griddle/appliance/griddle/publish"
	"griddle/cloud"
	"griddle/cloud/diskimage"
	"griddle/cloud/provider"
	"griddle/cloud/stack"
	"griddle/imagestore"
	"griddle/imagestore/ref"
	"griddle/imagestore/source"
)

// catalogTarget publishes trees in the store, where machines and stacks find them. It implements definition.Target.
type catalogTarget struct{ b *builds }

// Register publishes web-pxe-0123456789ab as the next version of web-pxe, unless a version with the same content is
// there.
func (t *catalogTarget) Register(ctx context.Context, name string, d diskimage.Disk) (string, error) {
	if d.Format != diskimage.Tree {
		return "", fmt.Errorf("the catalog takes trees, and this is %s: write \"format: tree\"", d.Format)
	}
	e := t.b.e
	st, err := cli.OpenStore(e, t.b.store, true)
	if err != nil {
		return "", err
	}
	image, err := ref.Parse(name[:strings.LastIndexByte(name, '-')])
	if err != nil {
		return "", err
	}
	comment := "built from " + d.Ref + ", " + d.Digest
	have, err := st.List(ctx, image.Template())
	if err != nil {
		return "", err
	}
	for _, l := range have {
		if l.Comment == comment && l.Untrusted == "" {
			return l.Ref, nil
		}
	}
	src, err := source.Find(ctx, "tar:"+d.Path, source.Options{Spool: cli.SpoolDir(e)})
	if err != nil {
		return "", err
	}
	key, err := key.Signing(ctx, e, st, "", image, false)
	if err != nil {
		return "", err
	}
	p, err := st.Publish(ctx, imagestore.PublishOptions{Source: src, Ref: image, Comment: comment, Key: key,
		Warn: t.b.bar.Warn, Inspect: publish.Inspect,
		Progress: func(p imagestore.PublishedSoFar) { t.b.bar.Update("publishing", p.Raw, p.Total) }})
	if err != nil {
		return "", publish.Explain(err, t.b.store.Where(e))
	}
	publish.WarnAccounts(e, p.Ref, p.Accounts)
	return p.Ref, nil
}

// Remove implements definition.Target. A publication that failed or was ended left nothing that is listed.
func (t *catalogTarget) Remove(context.Context, string) error { return nil }

// providerTarget hands disks to a provider. It implements definition.Target.
type providerTarget struct {
	b    *builds
	kind string // of the provider, with what it finds by itself
	file string // of a stack that says which provider instead
}

func (t *providerTarget) open(ctx context.Context) (provider.Provider, error) {
	g := &clouds.Commands{E: t.b.e, File: t.file}
	dir, err := g.Folder()
	if err != nil {
		return nil, err
	}
	if t.file == "" {
		return clouds.OpenProvider(ctx, g, &stack.Stack{Provider: t.kind}, dir)
	}
	s, err := g.Read()
	if err != nil {
		return nil, err
	}
	return clouds.OpenProvider(ctx, g, s, dir)
}

// Register implements definition.Target.
func (t *providerTarget) Register(ctx context.Context, name string, d diskimage.Disk) (string, error) {
	p, err := t.open(ctx)
	if err != nil {
		return "", err
	}
	if f := p.Features(); f.Format != provider.Format(d.Format) {
		return "", fmt.Errorf("%s takes %s, and this is %s: write \"format: %s\"", f.Name, f.Format, d.Format, f.Format)
	}
	i := clouds.ProviderImage(clouds.Shortened(name), "amd64", d, t.b.bar.Update)
	r, err := cloud.Upload(ctx, p, &i)
	return r.ID, err
}

// Remove implements definition.Target.
func (t *providerTarget) Remove(ctx context.Context, name string) error {
	p, err := t.open(ctx)
	if err != nil {
		return err
	}
	return cloud.Withdraw(ctx, p, clouds.Shortened(name))
}
