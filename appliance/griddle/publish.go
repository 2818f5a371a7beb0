package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"griddle/appliance/job"
	"griddle/imagestore"
	"griddle/imagestore/source"
)

// publishCommand is `griddle publish`.
func publishCommand(e *env) *cobra.Command {
	var store storeFlags
	var out outputFlag
	var lxcpath, description, comment, keyFile string
	var trust bool
	c := &cobra.Command{
		Use:   "publish SOURCE IMAGE[:VERSION]",
		Short: "Publish a container or subvolume as the next version of an image",
		Long: `Publish a container or subvolume as the next version of an image.

SOURCE is
  lxc:NAME            the container as it is now, running or not; it is left as it is
  lxc:NAME/SNAPSHOT   a snapshot of it, as lxc-snapshot made it
  btrfs:SUBVOLUME     a btrfs subvolume

IMAGE is [namespace/]name, with :VERSION and @ARCH where the defaults will not do: today's date (UTC) with a
counter, and the container's architecture.

The first version is sent whole. A read-only copy of it stays in LXCPATH/.griddle (or .griddle beside the
subvolume), and the next version is sent as what changed since. The images are signed with the publisher's key,
` + "`~/.config/griddle/publisher.key`" + `, which is made the first time and then trusted by the store.`,
		Example: `  griddle publish lxc:web web
  griddle publish lxc:web/snap0 web:1.0 --description "nginx on Debian 12"
  griddle publish btrfs:/srv/templates/web shop/web --server https://192.168.1.1:8443`,
		Args: cobra.ExactArgs(2),
	}
	store.add(c)
	out.add(c)
	c.Flags().StringVar(&description, "description", "", "one line about the image, for menus")
	c.Flags().StringVar(&comment, "comment", "", "what is new in this version")
	c.Flags().StringVar(&lxcpath, "lxcpath", "", "`DIR` of the containers (default: what lxc-config says)")
	c.Flags().StringVar(&keyFile, "key", "", "minisign secret key `FILE` that signs (default ~/.config/griddle/publisher.key)")
	c.Flags().BoolVar(&trust, "trust-key", false, "make the store trust the key")
	c.RunE = func(c *cobra.Command, args []string) error {
		ctx := c.Context()
		ref, err := imagestore.ParseRef(args[1])
		if err != nil {
			return usageError{err}
		}
		src, err := source.Find(ctx, args[0], source.Options{LXCPath: lxcpath})
		if errors.Is(err, source.ErrName) {
			return usageError{err}
		}
		if err != nil {
			return err
		}
		st, err := openStore(e, store, true)
		if err != nil {
			return err
		}
		key, made, err := publisherKey(e, keyFile)
		if err != nil {
			return err
		}
		if err := trustKey(ctx, e, st, key, made, trust); err != nil {
			return err
		}
		if err := st.MaySign(ctx, key.Public(), ref); err != nil { // before gigabytes are sent
			return withHint(err, "Who may sign what is said by `griddle key trust`.")
		}
		o := imagestore.PublishOptions{
			Source: src, Ref: ref, Description: description, Comment: comment, Key: key,
			Warn: func(w string) { fmt.Fprintf(e.stderr, "griddle: warning: %s\n", w) },
		}
		var bar *progress
		if !out.json() {
			bar = newProgress(e.stderr, "sending")
			o.Progress = func(p imagestore.PublishedSoFar) { bar.update(p.Raw, p.Total) }
		}
		p, err := st.Publish(ctx, o)
		bar.end()
		if err != nil {
			return publishHint(err)
		}
		if out.json() {
			return writeJSON(e.stdout, p)
		}
		how := "whole"
		if p.Parent != "" {
			how = "as what changed since " + p.Parent
		}
		_, err = fmt.Fprintf(e.stdout, "%s published, sent %s\n  %d paths with %s; stream %s, stored in %s, %.1f s\n",
			p.Ref, how, p.Files, job.Bytes(p.Size), job.Bytes(p.Raw), job.Bytes(p.Wire), p.Seconds)
		return err
	}
	return c
}

// publishHint says what to do about the errors that a person meets.
func publishHint(err error) error {
	switch {
	case errors.Is(err, imagestore.ErrExists):
		return withHint(err, "Versions are never used twice, deleted ones included: name another, or none.")
	case errors.Is(err, source.ErrBusy):
		return withHint(err, "Wait for it, or name another version.")
	}
	return err
}
