// Package publish is `griddle publish`: it makes the next version of an image from a container, a directory or an
// archive.
package publish

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"griddle/appliance/griddle/cli"
	"griddle/appliance/griddle/key"
	"griddle/appliance/job"
	"griddle/imagestore"
	"griddle/imagestore/packages/installed"
	"griddle/imagestore/ref"
	"griddle/imagestore/source"
	"griddle/imagestore/template"
)

// Command is `griddle publish`.
func Command(e *cli.Env) *cobra.Command {
	var store cli.StoreFlags
	var lxcpath, description, comment, keyFile string
	var trust, allowEmpty bool
	prep := preparation{env: e}
	c := &cobra.Command{
		Use:   "publish SOURCE IMAGE[:VERSION]",
		Short: "Publish a container, directory or archive as the next version of an image",
		Long: `Publish a container, a directory or an archive as the next version of an image.

SOURCE is
  lxc:NAME            the container as it is now, running or not; it is left as it is
  lxc:NAME/SNAPSHOT   a snapshot of it, as lxc-snapshot made it
  nspawn:NAME         a machine of systemd-nspawn, in /var/lib/machines
  btrfs:SUBVOLUME     a btrfs subvolume
  dir:DIRECTORY       a directory, without the filesystems mounted below it
  tar:FILE            a tar archive, bare or compressed by gzip, bzip2, xz, zstd or lz4
  tar:-               the same, from standard input
  oci:LAYOUT[:TAG]    a container image in an OCI image layout, a directory or a tar archive

Btrfs subvolumes are copied atomically. Stop a container that is not on btrfs, and anything else that writes to the
source: publishing fails if a file changes while it is copied. Files of an unprivileged container get the owners that
they have inside the container. The copy of a source that is not on btrfs is in griddle-spool in TMPDIR (default
/var/tmp) until the command ends.

IMAGE is [namespace/]name. The default :VERSION is today's date (UTC) with a counter, and the default @ARCH is the
container's architecture.

An image is for many machines. So the command removes from the copy what belongs to one machine only, and what no
other machine needs; it does not change the source. --clean names the steps:

` + stepsText() + `

Then it runs the executables in --hooks, in the order of their names, with the copy's path as argument. Their environment
has GRIDDLE_ROOT (the copy's path), GRIDDLE_SOURCE (SOURCE), GRIDDLE_IMAGE (IMAGE), PATH, HOME and LANG=C.UTF-8, and
nothing of the publisher's own environment.

If the copy then has ` + "`" + template.SettingsFile + "`" + `, its settings become part of the image: each machine gets them,
unless the site or the machine has others (docs/SETTINGS.md). An image is public, so secrets are refused.

The first version is sent as a full stream. A read-only copy of a subvolume is kept in LXCPATH/.griddle (or in .griddle
beside the subvolume), and the next version is sent as a delta. The images are signed with the publisher's key,
` + "`~/.config/griddle/publisher.key`" + `. The first publish to a new local store makes that key if it does not
exist, and makes the store trust it. In all other cases, make keys with ` + "`griddle key new`" + ` and trust them with
` + "`griddle key trust`" + `.`,
		Example: `  griddle publish lxc:web web
  griddle publish lxc:web/snap0 web:1.0 --description "nginx on Debian 12"
  griddle publish btrfs:/srv/templates/web shop/web --server https://192.168.1.1:8443
  ssh build tar -C /srv/web --xattrs --acls --sparse --numeric-owner -cz . | griddle publish tar:- web
  skopeo copy docker://debian:12 oci:/tmp/debian:12 && griddle publish oci:/tmp/debian:12 debian
  griddle image stream web --tar --server https://10.0.0.1:8443 | griddle publish tar:- shop/web`,
		Args: cobra.ExactArgs(2),
	}
	store.Add(c)
	c.Flags().StringVar(&description, "description", "", "`TEXT` of one line about the image, for menus")
	c.Flags().StringVar(&comment, "comment", "", "`TEXT` that says what is new in this version")
	c.Flags().StringVar(&lxcpath, "lxcpath", "", "`DIR` of the containers (default from lxc-config)")
	c.Flags().StringVar(&keyFile, "key", "", "`FILE` of the minisign secret key that signs; it must exist (default "+
		"~/.config/griddle/publisher.key)")
	c.Flags().BoolVar(&trust, "trust-key", false, "make the store trust the key")
	c.Flags().BoolVar(&allowEmpty, "allow-empty", false, "publish the tree even if it is empty")
	prep.add(c)
	c.AddCommand(kernelCommand(e))
	c.RunE = func(c *cobra.Command, args []string) error {
		ctx := c.Context()
		name, err := ref.Parse(args[1])
		if err != nil {
			return cli.Usage(err)
		}
		if err := imagestore.CheckArch(name.Arch); err != nil {
			return cli.Usage(err)
		}
		if err := key.CheckFile(keyFile); err != nil {
			return err
		}
		find := source.Options{LXCPath: lxcpath, Arch: name.Arch, Stdin: e.Stdin, Prepare: prep.run,
			Spool: cli.SpoolDir(e)}
		if err := prep.settle(args); err != nil {
			return err
		}
		bar := e.Phases()
		if e.Notes() {
			find.Progress = func(done, total int64) { bar.Update("copying", done, total) }
		}
		src, err := source.Find(ctx, args[0], find)
		if errors.Is(err, source.ErrName) {
			return cli.Usage(err)
		}
		if err != nil {
			return err
		}
		st, err := cli.OpenStore(e, store, true)
		if err != nil {
			return err
		}
		key.WarnReaders(e, st)
		key, err := key.Signing(ctx, e, st, keyFile, name, trust) // before gigabytes are sent
		if err != nil {
			return err
		}
		o := imagestore.PublishOptions{
			Source: src, Ref: name, Description: description, Comment: comment, Key: key,
			Warn: bar.Warn, Prepared: prep.prepared, Packages: installed.Read, Inspect: Inspect, AllowEmpty: allowEmpty,
		}
		if e.Notes() {
			o.Progress = func(p imagestore.PublishedSoFar) { bar.Update("sending", p.Raw, p.Total) }
		}
		p, err := st.Publish(ctx, o)
		bar.End()
		if err != nil {
			return cli.AsRoot(Explain(err, store.Where(e)), cli.WhyPublish)
		}
		WarnAccounts(e, p.Ref, p.Accounts)
		return e.Print(p, func(w io.Writer) error { return show(w, p) })
	}
	return c
}

// stepsText lists the clean-up steps, a few on each line.
func stepsText() string {
	const perLine = 5
	var lines []string
	for some := range slices.Chunk(template.Steps(), perLine) {
		lines = append(lines, "  "+strings.Join(some, ", "))
	}
	return strings.Join(lines, ",\n")
}

func show(w io.Writer, p imagestore.Published) error {
	how := "as a full stream"
	if p.Parent != "" {
		how = "as a delta from " + p.Parent
	}
	_, err := fmt.Fprintf(w, "%s published, sent %s\n  %d paths with %s; stream %s, stored in %s, %.1f s\n",
		p.Ref, how, p.Files, job.Bytes(p.Size), job.Bytes(p.Raw), job.Bytes(p.Wire), p.Seconds)
	if err == nil && p.NoKernel {
		_, err = fmt.Fprintln(w, "  it has "+NoKernelText)
	}
	if n := len(SettingsText(p.Settings)); err == nil && n > 0 {
		_, err = fmt.Fprintf(w, "  settings: %d values from %s\n", n, template.SettingsFile)
	}
	if done := PreparedText(p.Prepared); err == nil && done != "" {
		_, err = fmt.Fprintf(w, "  prepared: %s\n", done)
	}
	return err
}
