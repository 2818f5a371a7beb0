package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"griddle/appliance/job"
	"griddle/imagestore"
	"griddle/imagestore/content"
)

// imageCommand is `griddle image`.
func imageCommand(e *env) *cobra.Command {
	return group("image", "List, check, fetch and delete images", "List, check, fetch and delete the images of a store.",
		imageListCommand(e),
		imageShowCommand(e),
		imageVerifyCommand(e),
		imageStreamCommand(e),
		imageReceiveCommand(e),
		imageSimplestreamsCommand(e),
		imageSimplestreamsServeCommand(e),
		imageBuildCommand(e),
		imageBuildsCommand(e),
		imageDeriveCommand(e),
		imageRecompressCommand(e),
		imagePullCommand(e),
		imagePushCommand(e),
		imageChannelCommand(e),
		imagePackagesCommand(e),
		imageDiffCommand(e),
		imageDeleteCommand(e),
		imageKeepCommand(e),
		imageGCCommand(e),
	)
}

// parseRef reads an image's name from the command line.
func parseRef(s string) (imagestore.Ref, error) {
	ref, err := imagestore.ParseRef(s)
	if err != nil {
		return ref, usage(err)
	}
	return ref, nil
}

func imageListCommand(e *env) *cobra.Command {
	var store storeFlags
	var out outputFlag
	c := &cobra.Command{
		Use:     "list [FILTER...]",
		Short:   "List images, the newest version of each first",
		Long:    "List images, the newest version of each first. A FILTER is an image's name in which * stands for any characters.",
		Example: "  griddle image list\n  griddle image list 'web:2026*' '*/*' -o json",
		Args:    cobra.ArbitraryArgs,
	}
	store.add(c)
	out.add(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		for _, a := range args {
			if _, err := imagestore.ParseFilter(a); err != nil {
				return usage(err)
			}
		}
		st, err := openStore(e, store, false)
		if err != nil {
			return err
		}
		list, err := st.List(c.Context(), args...)
		if err != nil {
			return err
		}
		if out.json() {
			return writeJSON(e.stdout, list)
		}
		var rows [][]string
		for _, l := range list {
			if err := l.Installable(); err != nil {
				l.Description = "CANNOT BE INSTALLED: " + err.Error()
			}
			rows = append(rows, []string{l.Ref, l.Published.Format(time.DateTime), job.Bytes(l.Size), job.Bytes(l.Wire), job.Sentence(l.Description)})
		}
		return writeTable(e.stdout, []string{"IMAGE", "PUBLISHED (UTC)", "SIZE", "TO FETCH", "DESCRIPTION"}, rows)
	}
	return c
}

func imageShowCommand(e *env) *cobra.Command {
	var store storeFlags
	var out outputFlag
	var documents string
	c := &cobra.Command{
		Use:   "show IMAGE",
		Short: "Show what is known of an image and the streams that make it",
		Args:  cobra.ExactArgs(1),
	}
	store.add(c)
	out.add(c)
	c.Flags().StringVar(&documents, "documents", "", "also write the signed documents into `DIR`, for minisign -V")
	c.RunE = func(c *cobra.Command, args []string) error {
		ref, err := parseRef(args[0])
		if err != nil {
			return err
		}
		st, err := openStore(e, store, false)
		if err != nil {
			return err
		}
		s, err := st.Show(c.Context(), ref)
		if err != nil {
			return err
		}
		if documents != "" {
			paths, err := st.WriteDocuments(c.Context(), ref, documents)
			if err != nil {
				return err
			}
			for _, p := range paths {
				fmt.Fprintf(e.stderr, "wrote %s and %s.minisig\n", p, p)
			}
		}
		if out.json() {
			return writeJSON(e.stdout, s)
		}
		return showImage(e.stdout, s)
	}
	return c
}

func showImage(w io.Writer, s imagestore.Shown) error {
	rows := [][2]string{
		{"image", s.Ref},
		{"description", job.Sentence(s.Description)},
		{"comment", job.Sentence(s.Comment)},
		{"published", s.Published.Format(time.DateTime) + " UTC, signed by key " + s.Signer},
		{"channels", strings.Join(s.Channels, ", ")},
		{"tree", fmt.Sprintf("%d paths, %s", s.Files, job.Bytes(s.Size))},
		{"packages", packagesText(s.Image.Packages)},
		{"kernel", kernelText(s.Image)},
		{"accounts", accountsText(s.Image.Accounts)},
		{"prepared", preparedText(s.Image.Prepared)},
		{"content", string(s.Identity.Content.Digest)},
		{"uuid", fmt.Sprintf("%v, transaction %d", s.Identity.UUID, s.Identity.Ctransid)},
	}
	for _, l := range s.StreamDocs {
		from := "whole"
		if l.Parent != "" {
			from = "from " + l.Parent
		}
		rows = append(rows, [2]string{"stream", fmt.Sprintf("%s: %s, %s to fetch in %d frames", from, job.Bytes(l.Raw), job.Bytes(l.Wire), l.Frames)})
	}
	if len(s.Needed) > 0 {
		rows = append(rows, [2]string{"needed by", strings.Join(s.Needed, ", ")})
	}
	for _, r := range rows {
		if r[1] == "" {
			continue
		}
		if _, err := fmt.Fprintf(w, "%-12s %s\n", r[0], r[1]); err != nil {
			return err
		}
	}
	return nil
}

// kernelText is empty where there is one, or where the publisher did not look.
func kernelText(m imagestore.Image) string {
	if m.NoKernel {
		return "none" + strings.TrimPrefix(noKernelText, "no kernel")
	}
	return ""
}

func imageVerifyCommand(e *env) *cobra.Command {
	var store storeFlags
	var out outputFlag
	var tree, repairFrom string
	var all bool
	c := &cobra.Command{
		Use:   "verify [IMAGE]",
		Short: "Check every byte of the store or of an image, or a tree against one",
		Long: "Check the signatures and every byte that the store has of an image, or without IMAGE of everything; each fault is told\n" +
			"with the images that it hits. --repair-from STORE fetches what is damaged or missing again, from another store as\n" +
			"`griddle image pull` takes one. With --tree DIR check instead that DIR holds exactly what the image's content manifest\n" +
			"says: every path, owner, mode, time, attribute and byte. Only sockets may be missing.",
		Example: "  griddle image verify\n  griddle image verify --repair-from https://10.0.0.1:8443 --ca ca.pem\n  griddle image verify web:1 --tree /srv/web",
		Args:    cobra.MaximumNArgs(1),
	}
	store.add(c)
	out.add(c)
	c.Flags().StringVar(&tree, "tree", "", "compare the tree in `DIR` with the image")
	c.Flags().BoolVar(&all, "all", false, "check the whole store, as without IMAGE")
	c.Flags().StringVar(&repairFrom, "repair-from", "", "fetch damaged and missing blobs again from this `STORE`")
	c.RunE = func(c *cobra.Command, args []string) error {
		if len(args) == 0 {
			if tree != "" {
				return usagef("--tree needs the IMAGE that the tree is compared with")
			}
			st, err := openStore(e, store, false)
			if err != nil {
				return err
			}
			return verifyAll(c, e, st, store, out, repairFrom)
		}
		if all || repairFrom != "" {
			return usagef("--all and --repair-from are for the whole store, without an IMAGE")
		}
		ref, err := parseRef(args[0])
		if err != nil {
			return err
		}
		st, err := openStore(e, store, false)
		if err != nil {
			return err
		}
		var bar *progress
		if !out.json() {
			bar = newProgress(e.stderr, "reading")
		}
		v, err := verify(c.Context(), st, ref, tree, bar)
		bar.end()
		if err != nil {
			return err
		}
		tellRevoked(e, v.Revoked, out.json())
		if out.json() {
			err = writeJSON(e.stdout, v)
		} else if v.OK {
			_, err = fmt.Fprintf(e.stdout, "%s is whole (%s read)\n", v.Ref, job.Bytes(v.Bytes))
		}
		if err == nil && !v.OK {
			err = notWhole(v.Ref, v.Problems, v.Unchecked)
		}
		return err
	}
	return c
}

// notWhole is the error of a check that found something wrong, or that could not look at everything. Damage is only what
// was seen to be wrong.
func notWhole(what string, wrong, unchecked []string) error {
	if len(wrong) == 0 {
		return fmt.Errorf("%s could not be checked as a whole, and nothing wrong was found so far:\n%s", what, strings.Join(unchecked, "\n"))
	}
	lines := slices.Clone(wrong)
	for _, u := range unchecked {
		lines = append(lines, "not checked: "+u)
	}
	return fmt.Errorf("%s is damaged:\n%s", what, strings.Join(lines, "\n"))
}

// verify checks the store's blobs or, where tree is not empty, that tree.
func verify(ctx context.Context, st *imagestore.Store, ref imagestore.Ref, tree string, bar *progress) (imagestore.Verified, error) {
	if tree == "" {
		return st.Verify(ctx, ref, func(done, total int64) {
			if bar != nil {
				bar.update(done, total)
			}
		})
	}
	l, err := st.Resolve(ctx, ref)
	if err != nil {
		return imagestore.Verified{}, err
	}
	opened, err := st.Open(ctx, imagestore.Plan{Ref: l.Ref, Document: l.Document}, imagestore.OpenOptions{})
	if err != nil {
		return imagestore.Verified{}, err
	}
	m, err := opened.Content(ctx)
	if err != nil {
		return imagestore.Verified{}, err
	}
	dropSockets(m, tree)
	v := imagestore.Verified{Ref: l.Ref, OK: true}
	err = content.Verify(ctx, tree, m, func(n int64) {
		v.Bytes = n
		if bar != nil {
			bar.update(n, m.Size())
		}
	})
	var differs *content.MismatchError
	if errors.As(err, &differs) {
		v.OK, v.Problems = false, differs.Differences
		if more := differs.Total - len(differs.Differences); more > 0 {
			v.Problems = append(v.Problems, fmt.Sprintf("and %d more differences", more))
		}
		return v, nil
	}
	return v, err
}

// dropSockets takes the sockets that are not in the tree out of the manifest: an archive has no place for them, and the
// program that made one makes it again.
func dropSockets(m *content.Manifest, tree string) {
	m.Entries = slices.DeleteFunc(m.Entries, func(e content.Entry) bool {
		if e.Type != content.Socket {
			return false
		}
		_, err := os.Lstat(filepath.Join(tree, e.Path))
		return errors.Is(err, fs.ErrNotExist)
	})
}

func imageStreamCommand(e *env) *cobra.Command {
	var store storeFlags
	var from string
	var raw, tar bool
	c := &cobra.Command{
		Use:   "stream IMAGE",
		Short: "Write an image as a btrfs send stream to standard output",
		Long: "Write an image as a btrfs send stream to standard output, compressed by zstd unless --raw is given. Every byte\n" +
			"is verified before it is written. Without --from the stream makes the image from nothing; where the store has it as\n" +
			"a delta only, several streams follow one another, and `btrfs receive` makes each of them. With --from a delta that\n" +
			"there is not yet is made first.",
		Example: "  griddle image stream web --raw | btrfs receive /srv\n" +
			"  griddle image stream web:2 --from web:1 > update.zst\n" +
			"  griddle image stream web --tar | tar -x --acls --xattrs --xattrs-include='*' -C /srv/web",
		Args: cobra.ExactArgs(1),
	}
	store.add(c)
	c.Flags().StringVar(&from, "from", "", "write the delta from this `IMAGE`")
	c.Flags().BoolVar(&raw, "raw", false, "do not compress")
	c.Flags().BoolVar(&tar, "tar", false, "write the image's tree as a tar archive (PAX) instead")
	c.RunE = func(c *cobra.Command, args []string) error {
		ref, err := parseRef(args[0])
		if err != nil {
			return err
		}
		var base *imagestore.Ref
		if from != "" {
			b, err := parseRef(from)
			if err != nil {
				return err
			}
			base = &b
		}
		if tar && (raw || base != nil) {
			return usagef("--tar is of a whole image, and not compressed: neither --raw nor --from goes with it")
		}
		if isTerminal(e.stdout) {
			return withHint(usagef("standard output is a terminal, and a stream is not for reading"),
				"Redirect it: griddle image stream %s > FILE", args[0])
		}
		st, err := openStore(e, store, false)
		if err != nil {
			return err
		}
		if tar {
			return explainTree(st.Tar(c.Context(), ref, e.stdout, nil), st)
		}
		err = st.Stream(c.Context(), ref, base, raw, e.stdout)
		if base == nil || !errors.Is(err, imagestore.ErrNoWay) {
			return err
		}
		// Nothing is written yet: the way is found before the first byte.
		if _, err := derive(c, st, imagestore.DeriveOptions{Ref: ref, Parent: base}); err != nil {
			return err
		}
		return st.Stream(c.Context(), ref, base, raw, e.stdout)
	}
	return c
}

func imageDeleteCommand(e *env) *cobra.Command {
	var store storeFlags
	var out outputFlag
	var yes bool
	c := &cobra.Command{
		Use:   "delete IMAGE",
		Short: "Delete an image, and what no other image needs",
		Long: "Delete an image, and the data that no other image needs. Its version cannot be used again. An image on which the\n" +
			"only way to another one stands is not deleted.",
		Args: cobra.ExactArgs(1),
	}
	store.add(c)
	out.add(c)
	c.Flags().BoolVar(&yes, "yes", false, "do not ask")
	c.RunE = func(c *cobra.Command, args []string) error {
		ref, err := parseRef(args[0])
		if err != nil {
			return err
		}
		st, err := openStore(e, store, false)
		if err != nil {
			return err
		}
		l, err := st.Resolve(c.Context(), ref)
		if err != nil {
			return err
		}
		if !yes {
			if err := askDelete(e, l); err != nil {
				return err
			}
		}
		if ref, err = imagestore.ParseRef(l.Ref); err != nil { // what was shown, not what is newest by now
			return err
		}
		d, err := st.Delete(c.Context(), ref)
		if err != nil {
			return err
		}
		if out.json() {
			return writeJSON(e.stdout, d)
		}
		_, err = fmt.Fprintf(e.stdout, "%s deleted, %s freed\n", d.Ref, job.Bytes(d.Bytes))
		return err
	}
	return c
}

// askDelete shows what will go and asks whether it may.
func askDelete(e *env, l imagestore.Listed) error {
	fmt.Fprintf(e.stderr, "%s, published %s, %d paths, %s\n", l.Ref, l.Published.Format(time.DateTime), l.Files, job.Bytes(l.Size))
	return confirm(e, false, "deleting "+l.Ref, "Delete it?")
}
