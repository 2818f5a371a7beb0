package cloud

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"

	"griddle/appliance/griddle/cli"
	"griddle/cloud/diskimage"
	"griddle/cloud/firstboot"
	"griddle/cloud/provider"
	"griddle/cloud/stack"
	"griddle/cloud/userdata/secure"
	"griddle/imagestore/content"
	"griddle/imagestore/fetch"
	"griddle/imagestore/ref"
)

// catalogImages makes disks of the catalog's images, for the servers of a stack. It implements cloud.Images.
type catalogImages struct {
	g     *Commands
	s     *stack.Stack
	cache *diskimage.Cache // once it was needed; what it made stays in it meanwhile
	bar   *cli.Phases      // of building and uploading
}

// close lets go of the disks that were made.
func (c *catalogImages) close() {
	if c.cache != nil {
		c.cache.Close()
	}
}

// Resolve implements cloud.Images: versions are references without an architecture.
func (c *catalogImages) Resolve(ctx context.Context, name, arch string) (string, error) {
	r, err := ref.Parse(name)
	if err != nil {
		return "", err
	}
	if r.Arch == "" {
		r.Arch = arch
	}
	st, err := cli.OpenStore(c.g.E, c.g.store, false)
	if err != nil {
		return "", err
	}
	found, err := st.Resolve(ctx, r)
	if err != nil {
		return "", err
	}
	if found.Arch != arch {
		return "", fmt.Errorf("the image %s is for %s, and the server for %s", found.Ref, found.Arch, arch)
	}
	return found.Template + ":" + found.Version, nil
}

// Check implements cloud.Images: it looks at the content manifest and the package list, and unpacks nothing.
func (c *catalogImages) Check(ctx context.Context, version, arch string, servers []stack.Server,
	format provider.Format) error {
	name, err := ref.Parse(version)
	if err != nil {
		return err
	}
	name.Arch = arch
	st, err := cli.OpenStore(c.g.E, c.g.store, false)
	if err != nil {
		return err
	}
	listed, err := st.Resolve(ctx, name)
	if err != nil {
		return err
	}
	opened, err := st.Open(ctx, fetch.Plan{Ref: listed.Ref, Document: listed.Document}, fetch.Options{})
	if err != nil {
		return err
	}
	manifest, err := opened.Content(ctx)
	if err != nil {
		return err
	}
	tree := format == provider.Tree
	if !tree && c.g.disks.kernel == "" && !hasKernel(manifest) {
		return cli.WithHint(fmt.Errorf("checking image %s: %w", listed.Ref, diskimage.ErrNoKernel), NoKernelHint)
	}
	missing := missingFrom(manifest, c.s, servers, tree)
	if len(missing) == 0 {
		return nil
	}
	var names []string
	for _, n := range missing {
		names = append(names, n.Name)
	}
	mend := "install it in the template"
	if l, e := st.ReadPackages(ctx, name); e == nil {
		if command := secure.Install(missing, l.Manager); command != "" {
			mend = "run this in the template: " + command
		}
	}
	return fmt.Errorf("image %s cannot become a server: it has no %s; %s; then publish it "+
		"again", listed.Ref, strings.Join(names, ", no "), mend)
}

// hasKernel says whether a tree has a kernel where disks are made bootable with it: /vmlinuz or /boot/vmlinuz-*.
func hasKernel(m *content.Manifest) bool {
	return slices.ContainsFunc(m.Entries, func(e content.Entry) bool {
		return e.Type != content.Directory && (e.Path == "vmlinuz" || strings.HasPrefix(e.Path, "boot/vmlinuz-") ||
			e.Path == "boot/vmlinuz")
	})
}

// missingFrom is what servers of a stack need and a tree does not have.
func missingFrom(m *content.Manifest, s *stack.Stack, servers []stack.Server, tree bool) []secure.Need {
	var needs []secure.Need
	wanted := make(map[string]bool)
	for _, x := range servers {
		for _, n := range firstboot.Needs(s, x, tree) {
			if !slices.ContainsFunc(needs, func(o secure.Need) bool { return o.Name == n.Name }) {
				needs = append(needs, n)
			}
			for _, p := range n.Paths {
				wanted[p] = true
			}
		}
	}
	there := make(map[string]bool)
	for i := range m.Entries {
		if e := &m.Entries[i]; wanted[e.Path] && e.Type != content.Directory {
			there[e.Path] = true
		}
	}
	return secure.Missing(needs, func(p string) bool { return there[p] })
}

// Build implements cloud.Images.
func (c *catalogImages) Build(ctx context.Context, version, arch string, format provider.Format) (provider.Image,
	error) {
	name, err := ref.Parse(version)
	if err != nil {
		return provider.Image{}, err
	}
	name.Arch = arch
	st, err := cli.OpenStore(c.g.E, c.g.store, false)
	if err != nil {
		return provider.Image{}, err
	}
	image, err := diskimage.FromStore(ctx, st, name)
	if err != nil {
		return provider.Image{}, err
	}
	if c.cache == nil {
		if c.cache, err = c.g.disks.Open(ctx, c.g.E); err != nil {
			return provider.Image{}, err
		}
		c.cache.Bytes, c.cache.Warn = c.bar.Update, c.bar.Warn
	}
	cache := c.cache
	d, err := cache.Make(ctx, image, diskimage.Options{Format: diskimage.Format(format)})
	if errors.Is(err, diskimage.ErrNoKernel) {
		err = cli.WithHint(err, NoKernelHint)
	}
	if err == nil {
		err = c.g.disks.Shrink(ctx, c.g.E, cache)
	}
	if err != nil {
		return provider.Image{}, err
	}
	return ProviderImage(imageName(version+"-"+arch, d.Digest), arch, d, c.bar.Update), nil
}

// ProviderImage is a disk as providers take it. progress gets how the upload proceeds.
func ProviderImage(name, arch string, d diskimage.Disk, progress diskimage.Bytes) provider.Image {
	return provider.Image{Name: name, Digest: d.Digest, Format: provider.Format(d.Format), Arch: arch, Size: d.Size,
		Virtual: d.Virtual, BIOS: d.BIOS, UEFI: d.UEFI,
		Open: func() (provider.Contents, error) {
			f, err := os.Open(d.Path)
			if err != nil {
				return nil, err
			}
			return uploaded{f, d.Size, progress}, nil
		}}
}

// uploaded is the bytes of a disk. Providers read them from the start to the end as they send them.
type uploaded struct {
	provider.Contents
	size     int64
	progress diskimage.Bytes
}

// ReadAt implements io.ReaderAt.
func (u uploaded) ReadAt(b []byte, at int64) (int, error) {
	n, err := u.Contents.ReadAt(b, at)
	u.progress("uploading", at+int64(n), u.size)
	return n, err
}

// imageName is what a provider calls an image: readable, and different for different bytes.
func imageName(version, digest string) string {
	name := regexp.MustCompile(`[^a-z0-9.-]+`).ReplaceAllString(strings.ToLower(version), "-")
	return Shortened(strings.Trim(name, ".-") + "-" + strings.TrimPrefix(digest, "sha256:")[:12])
}

// Shortened is a name that ends in 12 digits of a digest, as providers allow it: at most 60 characters, those digits
// among them.
func Shortened(name string) string {
	const digits = len("-0123456789ab")
	front := name[:len(name)-digits]
	return strings.TrimRight(front[:min(len(front), 60-digits)], ".-") + name[len(front):]
}

// NoKernelHint is what to do about diskimage.ErrNoKernel.
const NoKernelHint = "Give one with --kernel. On Debian, this fetches its package:\n" +
	"  apt-get download $(apt-cache depends linux-image-cloud-amd64 | awk '/Depends: linux-image/ {print $2}')"
