// Package publish is `griddle publish`: it makes the next version of an image from a container, a directory or an archive.
package publish

import (
	"errors"
	"fmt"
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
	var out cli.Output
	var lxcpath, description, comment, keyFile string
	var trust, quiet, allowEmpty bool
	prep := preparation{env: e}
	c := &cobra.Command{
		Use:   "publish SOURCE IMAGE[:VERSION]",
		Short: "Publish a container, a directory or an archive as the next version of an image",
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

What lies in btrfs subvolumes is copied at one moment. Other directories must hold still while they are copied:
stop a container that is not on btrfs, or a file that it changes ends the publication. The owners of an unprivileged
container's files become what they are inside of it. Copies of what is not on btrfs lie in griddle-spool in TMPDIR
(default /var/tmp) for as long as it takes.

IMAGE is [namespace/]name, with :VERSION and @ARCH where the defaults will not do: today's date (UTC) with a
counter, and the container's architecture.

An image is for many machines. So what belongs to one, and what is of no use to another, is removed from the copy;
the source is left alone. --clean names the steps: ` + strings.Join(template.Steps(), ", ") + `. Then the executables in --hooks are run, in the order of their
names, with the copy's path as argument and in GRIDDLE_ROOT, SOURCE in GRIDDLE_SOURCE and IMAGE in GRIDDLE_IMAGE. Beside
those their environment has PATH, HOME and LANG=C.UTF-8, and nothing of the publisher's own.

The first version is sent whole. A read-only copy of a subvolume stays in LXCPATH/.griddle (or .griddle beside the
subvolume), and the next version is sent as what changed since. The images are signed with the publisher's key,
` + "`~/.config/griddle/publisher.key`" + `. The first publish to a new local store makes that key, if there is none, and
has the store trust it. In all other cases ` + "`griddle key new`" + ` makes keys and ` + "`griddle key trust`" + ` has a store trust them.`,
		Example: `  griddle publish lxc:web web
  griddle publish lxc:web/snap0 web:1.0 --description "nginx on Debian 12"
  griddle publish btrfs:/srv/templates/web shop/web --server https://192.168.1.1:8443
  ssh build tar -C /srv/web --xattrs --acls --sparse --numeric-owner -cz . | griddle publish tar:- web
  skopeo copy docker://debian:12 oci:/tmp/debian:12 && griddle publish oci:/tmp/debian:12 debian
  griddle image stream web --tar --server https://10.0.0.1:8443 | griddle publish tar:- shop/web   # another appliance's image, as one's own`,
		Args: cobra.ExactArgs(2),
	}
	store.Add(c)
	out.Add(c)
	c.Flags().StringVar(&description, "description", "", "one line about the image, for menus")
	c.Flags().StringVar(&comment, "comment", "", "what is new in this version")
	c.Flags().StringVar(&lxcpath, "lxcpath", "", "`DIR` of the containers (default: what lxc-config says)")
	c.Flags().StringVar(&keyFile, "key", "", "minisign secret key `FILE` that signs; it must exist (default ~/.config/griddle/publisher.key)")
	c.Flags().BoolVar(&trust, "trust-key", false, "make the store trust the key")
	c.Flags().BoolVarP(&quiet, "quiet", "q", false, "say nothing but the result: no progress and no warnings")
	c.Flags().BoolVar(&allowEmpty, "allow-empty", false, "publish a tree with nothing in it, too")
	prep.add(c)
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
		warn := e.Warn
		if prep.quiet = quiet; quiet {
			warn = func(string) {}
		}
		find := source.Options{LXCPath: lxcpath, Arch: name.Arch, Stdin: e.Stdin, Prepare: prep.run, Spool: cli.SpoolDir(e)}
		if err := prep.settle(args); err != nil {
			return err
		}
		progressed, done := cli.Phases(e)
		if !out.JSON() && !quiet {
			find.Progress = func(done, total int64) { progressed("copying", done, total) }
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
			Warn: warn, Prepared: prep.prepared, Packages: installed.Read, Inspect: Inspect, AllowEmpty: allowEmpty,
		}
		if !out.JSON() && !quiet {
			o.Progress = func(p imagestore.PublishedSoFar) { progressed("sending", p.Raw, p.Total) }
		}
		p, err := st.Publish(ctx, o)
		done()
		if err != nil {
			return cli.AsRoot(Explain(err, store.Where(e)), cli.WhyPublish)
		}
		if !quiet {
			WarnAccounts(e, p.Ref, p.Accounts)
		}
		if out.JSON() {
			return cli.WriteJSON(e.Stdout, p)
		}
		how := "whole"
		if p.Parent != "" {
			how = "as what changed since " + p.Parent
		}
		_, err = fmt.Fprintf(e.Stdout, "%s published, sent %s\n  %d paths with %s; stream %s, stored in %s, %.1f s\n",
			p.Ref, how, p.Files, job.Bytes(p.Size), job.Bytes(p.Raw), job.Bytes(p.Wire), p.Seconds)
		if err == nil && p.NoKernel {
			_, err = fmt.Fprintln(e.Stdout, "  it has "+NoKernelText)
		}
		if told := PreparedText(p.Prepared); err == nil && told != "" {
			_, err = fmt.Fprintf(e.Stdout, "  prepared: %s\n", told)
		}
		return err
	}
	return c
}
