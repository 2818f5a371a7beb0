package publish

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"griddle/appliance/griddle/cli"
	"griddle/appliance/griddle/key"
	"griddle/imagestore"
	"griddle/imagestore/catalog"
	"griddle/imagestore/ref"
	"griddle/imagestore/source"
	"griddle/initramfs"
)

// kernelArch is what the programs of `make boot` are for.
const kernelArch = "amd64"

// kernelRef is the name of a version of the kernel image.
func kernelRef(version string) ref.Ref {
	return ref.Ref{Namespace: "griddle", Name: "kernel", Version: version, Arch: kernelArch}
}

// kernelCommand is `griddle publish kernel`.
func kernelCommand(e *cli.Env) *cobra.Command {
	k := kernelPublisher{env: e}
	c := &cobra.Command{
		Use:   "kernel",
		Short: "Publish a Debian kernel, for images that have none",
		Long: `Publish a Debian kernel with all its modules and a small initrd, as the image griddle/kernel.

A container's image has no kernel. A kernel image has the files that such an image lacks: docs/TEMPLATE.md.

The command downloads the package of the kernel from this computer's Debian mirrors. apt verifies Debian's signature and
the package. Nothing is installed. --suite takes the kernel of another Debian, such as trixie. --deb takes a package file
that you have, which is not verified.

The version of the image is the version of the package. If the store has this image already, the command says so and
changes nothing, so you can run it every night. The initrd's program is the file ` + initramfs.FirstRoot + ` that ` +
			"`make boot`" + ` leaves
beside the boot image.`,
		Example: `  griddle publish kernel
  griddle publish kernel --suite trixie --server https://192.168.1.1:8443
  griddle publish kernel --package linux-image-cloud-amd64 --version 6.1.192-3.cloud
  griddle publish kernel --deb linux-image-6.12.9-lab_6.12.9-1_amd64.deb`,
		Args: cobra.NoArgs,
	}
	k.store.Add(c)
	c.Flags().StringVar(&k.pkg, "package", "linux-image-amd64",
		"Debian `PACKAGE` of a kernel, or one that depends on it")
	c.Flags().StringVar(&k.suite, "suite", "", "Debian `SUITE` that has the package (default: those of this computer)")
	c.Flags().StringVar(&k.deb, "deb", "", "`FILE` of a kernel's package; nothing is downloaded")
	c.Flags().StringVar(&k.version, "version", "", "`VERSION` of the image (default: the package's)")
	c.Flags().StringVar(&k.bootDir, "boot-dir", "", "`DIR` of the boot files (default: build/boot, "+
		"/usr/lib/griddle/boot)")
	c.Flags().StringVar(&k.keyFile, "key", "", "`FILE` of the minisign secret key that signs; it must exist (default "+
		"~/.config/griddle/publisher.key)")
	c.Flags().BoolVar(&k.trust, "trust-key", false, "make the store trust the key")
	c.RunE = func(c *cobra.Command, _ []string) error {
		for _, flag := range []string{"package", "suite"} {
			if k.deb != "" && c.Flags().Changed(flag) {
				return cli.Usagef("--deb names a file, and --%s what to download: give one of the two", flag)
			}
		}
		return k.run(c.Context())
	}
	return c
}

// kernelPublisher is one run of `griddle publish kernel`.
type kernelPublisher struct {
	env              *cli.Env
	store            cli.StoreFlags
	pkg, suite, deb  string
	version, bootDir string
	keyFile          string
	trust            bool
}

// run publishes a kernel, unless the store has it.
func (k *kernelPublisher) run(ctx context.Context) error {
	if k.version != "" {
		if _, err := ref.Parse("kernel:" + k.version); err != nil {
			return cli.Usage(err)
		}
	}
	if err := key.CheckFile(k.keyFile); err != nil {
		return err
	}
	program, err := readFirstRoot(k.bootDir)
	if err != nil {
		return err
	}
	st, err := cli.OpenStore(k.env, k.store, true)
	if err != nil {
		return err
	}
	key.WarnReaders(k.env, st)
	signing, err := key.Signing(ctx, k.env, st, k.keyFile, kernelRef(""), k.trust) // before anything is downloaded
	if err != nil {
		return err
	}
	dir, done, err := kernelWorkDir(ctx, k.env)
	if err != nil {
		return err
	}
	defer done()
	from, err := k.find(ctx, dir)
	if err != nil {
		return err
	}
	name := kernelRef(from.version())
	if k.version != "" {
		name.Version = k.version
	}
	comment := fmt.Sprintf("%s with sha256:%s, %s with sha256:%x", from.file, from.sha256, initramfs.FirstRoot,
		sha256.Sum256(program))
	if published, err := publishedKernel(ctx, st, name, comment); err != nil || published {
		if err == nil {
			err = k.env.Printf(map[string]string{"ref": name.String()}, "%s is published already", name)
		}
		return err
	}
	tree := filepath.Join(dir, "tree")
	release, err := k.make(ctx, from, program, tree)
	if err != nil {
		return cli.AsRoot(err, cli.WhyPublish)
	}
	src, err := source.Find(ctx, "dir:"+tree, source.Options{Arch: kernelArch, Spool: cli.SpoolDir(k.env)})
	if err != nil {
		return err
	}
	bar := k.env.Phases()
	o := imagestore.PublishOptions{Source: src, Ref: name, Description: "Linux " + release, Comment: comment,
		Key: signing, Warn: bar.Warn}
	if k.env.Notes() {
		o.Progress = func(p imagestore.PublishedSoFar) { bar.Update("sending", p.Raw, p.Total) }
	}
	p, err := st.Publish(ctx, o)
	bar.End()
	if err != nil {
		return cli.AsRoot(Explain(err, k.store.Where(k.env)), cli.WhyPublish)
	}
	return k.env.Print(p, func(w io.Writer) error { return show(w, p) })
}

// publishedKernel says whether the store has the image. comment says what it is made of; one that is made of something
// else is an error.
func publishedKernel(ctx context.Context, st *imagestore.Store, name ref.Ref, comment string) (bool, error) {
	l, err := st.Resolve(ctx, name)
	if errors.Is(err, catalog.ErrNotFound) || err == nil && l.Ref != name.String() {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	m, err := st.Document(ctx, name)
	if err != nil || m.Comment == comment {
		return err == nil, err
	}
	err = fmt.Errorf("publishing %s: %w, and was made of something else: %s; this one is made of %s", name,
		catalog.ErrExists, m.Comment, comment)
	return false, cli.WithHint(err, "Give this one another version: --version %s.2", name.Version)
}

// readFirstRoot reads the program of the initrd.
func readFirstRoot(bootDir string) ([]byte, error) {
	dirs := []string{bootDir}
	if bootDir == "" {
		dirs = []string{"build/boot", "/usr/lib/griddle/boot"}
	}
	for _, dir := range dirs {
		if b, err := os.ReadFile(filepath.Join(dir, initramfs.FirstRoot)); err == nil {
			return b, nil
		}
	}
	return nil, cli.WithHint(fmt.Errorf("reading the program of the initrd: there is no %s in %s", initramfs.FirstRoot,
		strings.Join(dirs, " nor in ")), "Make it with `make boot`, or name its directory with --boot-dir.")
}
