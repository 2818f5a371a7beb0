package image

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"griddle/appliance/griddle/cli"
	"griddle/appliance/job"
	"griddle/imagestore"
	"griddle/imagestore/source"
)

func gcCommand(e *cli.Env) *cobra.Command {
	var store cli.StoreFlags
	var out cli.Output
	var dry, yes bool
	c := &cobra.Command{
		Use:   "gc",
		Short: "Delete the versions that no rule keeps, and data that nothing needs",
		Long: "Delete the versions that no rule of `griddle image keep` keeps, and data that no image needs: what a killed publication or\n" +
			"copy left too, unless it is still at work, and what a copy that broke off would go on with. Where another version can\n" +
			"only be reached through one of them, a full stream of it is made first; without a key to sign it, what leads to it\n" +
			"stays. The versions cannot be used again. --dry-run says what would go, to the byte, and changes nothing.",
		Example: "  griddle image gc --dry-run\n  griddle image gc --yes",
		Args:    cobra.NoArgs,
	}
	store.Add(c)
	out.Add(c)
	c.Flags().BoolVar(&dry, "dry-run", false, "only say what would go")
	c.Flags().BoolVar(&yes, "yes", false, "do not ask")
	c.RunE = func(c *cobra.Command, _ []string) error {
		st, err := cli.OpenStore(e, store, false)
		if err != nil {
			return err
		}
		if !dry && !yes {
			would, err := st.GC(c.Context(), imagestore.GCOptions{DryRun: true, Parts: true})
			if err != nil {
				return err
			}
			if len(would.Versions)+would.Blobs+would.Files > 0 {
				fmt.Fprintf(e.Stderr, "%s\n", gcText(would))
				if err := cli.Confirm(e, yes, "collecting", "Delete these?"); err != nil {
					return err
				}
			}
		}
		if !dry {
			// Copies of what killed publications were about to send are no part of the store, and take the most.
			if err := source.CollectSpool(c.Context(), cli.SpoolDir(e)); err != nil {
				e.Warn(err.Error())
			}
		}
		o := imagestore.GCOptions{DryRun: dry, Parts: true}
		done := func() {}
		if !out.JSON() {
			o.Progress, done = cli.Phases(e)
		}
		d, failed := st.GC(c.Context(), o)
		done()
		if failed != nil && d.Versions == nil { // nothing was done
			return failed
		}
		if out.JSON() {
			return errors.Join(failed, cli.WriteJSON(e.Stdout, d))
		}
		_, err = fmt.Fprintln(e.Stdout, gcText(d))
		return errors.Join(failed, err)
	}
	return c
}

// gcText is a line for each version, then for each blob of a dry run, then the sum.
func gcText(d imagestore.Collected) string {
	goes, made, stays := "deleted", "got a full stream", "stays: only it leads to others"
	if d.DryRun {
		goes, made, stays = "would be deleted", "would get a full stream", "would stay: only it leads to others"
	}
	var lines []string
	for _, r := range d.Derived {
		lines = append(lines, r+" "+made)
	}
	for _, r := range d.Versions {
		lines = append(lines, r+" "+goes)
	}
	for _, r := range d.Kept {
		lines = append(lines, r+" "+stays)
	}
	for _, b := range d.Digests {
		lines = append(lines, string(b)+" "+goes)
	}
	parts := ""
	if d.Files > 0 {
		parts = fmt.Sprintf(" and %d unfinished files", d.Files)
	}
	return strings.Join(append(lines, fmt.Sprintf("%d versions, %d blobs%s with %s %s", len(d.Versions), d.Blobs, parts, job.Bytes(d.Bytes), goes)), "\n")
}
