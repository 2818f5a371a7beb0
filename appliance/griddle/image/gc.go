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
	var dry, yes bool
	c := &cobra.Command{
		Use:   "gc",
		Short: "Delete the versions that no rule keeps, and unused data",
		Long: "Delete the versions that no rule of `griddle image keep` keeps, and the data that no image needs.\n" +
			"This includes what interrupted publications and copies left: a copy that you want to resume starts\n" +
			"again from the beginning.\n\n" +
			"If another version needs a version that is to be deleted, a full stream of it is made first. Without\n" +
			"a signing key, the versions it depends on are kept. Deleted version numbers are never reused.\n" +
			"--dry-run lists what would be deleted, to the byte, and changes nothing.",
		Example: "  griddle image gc --dry-run\n  griddle image gc --yes",
		Args:    cobra.NoArgs,
	}
	store.Add(c)
	c.Flags().BoolVar(&dry, "dry-run", false, "only list what would be deleted")
	cli.YesFlag(c, &yes)
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
		bar := e.Phases()
		o.Progress = bar.Update
		d, failed := st.GC(c.Context(), o)
		bar.End()
		if failed != nil && d.Versions == nil { // nothing was done
			return failed
		}
		return errors.Join(failed, e.Printf(d, "%s", gcText(d)))
	}
	return c
}

// gcText is a line for each version, then for each blob of a dry run, then the sum.
func gcText(d imagestore.Collected) string {
	goes, made, stays := "deleted", "got a full stream", "is kept: other versions need it"
	if d.DryRun {
		goes, made, stays = "would be deleted", "would get a full stream", "would be kept: other versions need it"
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
	return strings.Join(append(lines, fmt.Sprintf("%d versions, %d blobs%s with %s %s", len(d.Versions), d.Blobs, parts,
		job.Bytes(d.Bytes), goes)), "\n")
}
