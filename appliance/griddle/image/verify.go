package image

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"griddle/appliance/griddle/cli"
	"griddle/appliance/job"
	"griddle/imagestore"
	"griddle/imagestore/catalog"
)

func verifyCommand(e *cli.Env) *cobra.Command {
	var store cli.StoreFlags
	var tree, repairFrom string
	var all bool
	c := &cobra.Command{
		Use:   "verify [IMAGE]",
		Short: "Check the store, an image, or a tree against an image",
		Long: "Check the signatures and every byte that the store has of an image, or without IMAGE of everything;\n" +
			"each problem is listed with the affected images. --repair-from STORE fetches damaged and missing\n" +
			"data again from another store, named as for `griddle image pull`. With --tree DIR check instead that\n" +
			"DIR has exactly what the image's manifest says: every path, owner, mode, time, attribute and byte.\n" +
			"Only sockets may be missing.",
		Example: "  griddle image verify\n" +
			"  griddle image verify --repair-from https://10.0.0.1:8443 --ca ca.pem\n" +
			"  griddle image verify web:1 --tree /srv/web",
		Args: cobra.MaximumNArgs(1), ValidArgsFunction: cli.Arguments(cli.Images(e, &store)),
	}
	store.Add(c)
	c.Flags().StringVar(&tree, "tree", "", "compare the tree in `DIR` with the image")
	c.Flags().BoolVar(&all, "all", false, "check the whole store, as without IMAGE")
	c.Flags().StringVar(&repairFrom, "repair-from", "", "fetch damaged and missing blobs again from this `STORE`")
	c.RunE = func(c *cobra.Command, args []string) error {
		if len(args) == 0 {
			if tree != "" {
				return cli.Usagef("--tree needs the IMAGE that the tree is compared with")
			}
			st, err := cli.OpenStore(e, store, false)
			if err != nil {
				return err
			}
			return verifyAll(c, e, st, store, repairFrom)
		}
		if all || repairFrom != "" {
			return cli.Usagef("--all and --repair-from are for the whole store, without an IMAGE")
		}
		ref, err := parseRef(args[0])
		if err != nil {
			return err
		}
		st, err := cli.OpenStore(e, store, false)
		if err != nil {
			return err
		}
		bar := e.Progress("reading")
		v, err := verify(c.Context(), st, ref, tree, bar)
		bar.End()
		if err != nil {
			return err
		}
		warnRevoked(e, v.Revoked)
		err = e.Print(v, func(w io.Writer) error {
			if !v.OK {
				return nil // the error has it all
			}
			_, err := fmt.Fprintf(w, "%s is complete and correct (%s read)\n", v.Ref, job.Bytes(v.Bytes))
			return err
		})
		if err == nil && !v.OK {
			err = notWhole(v.Ref, v.Problems, v.Unchecked)
		}
		return err
	}
	return c
}

// notWhole is the error of a check that found something wrong, or that could not look at everything. Damage is only
// what was seen to be wrong.
func notWhole(what string, wrong, unchecked []string) error {
	if len(wrong) == 0 {
		return fmt.Errorf("%s could not be checked completely, and nothing wrong was found so "+
			"far:\n%s", what, strings.Join(unchecked, "\n"))
	}
	lines := slices.Clone(wrong)
	for _, u := range unchecked {
		lines = append(lines, "not checked: "+u)
	}
	return fmt.Errorf("%s is damaged:\n%s", what, strings.Join(lines, "\n"))
}

// verifyAll checks the whole store, and repairs it where repairFrom names another one.
func verifyAll(c *cobra.Command, e *cli.Env, st *imagestore.Store, store cli.StoreFlags, repairFrom string) error {
	var o imagestore.VerifyStoreOptions
	if repairFrom != "" {
		from, close, err := openOther(c.Context(), e, copyFlags{store: store, other: repairFrom}, false)
		if err != nil {
			return err
		}
		defer close()
		o.RepairFrom = from
	}
	bar := e.Progress("reading")
	o.Progress = bar.Update
	v, err := st.VerifyStore(c.Context(), o)
	bar.End()
	if err != nil && v.Images == 0 {
		return cli.ExplainRemote(err)
	}
	warnRevoked(e, v.Revoked)
	printed := e.Print(v, func(w io.Writer) error {
		for _, d := range v.Repaired {
			fmt.Fprintf(w, "%s was fetched again\n", d)
		}
		if !v.OK {
			return nil // the error has it all
		}
		_, err := fmt.Fprintf(w, "%d images and %d blobs are complete and correct (%s "+
			"read)\n", v.Images, v.Blobs, job.Bytes(v.Bytes))
		return err
	})
	if printed != nil || v.OK {
		return printed
	}
	var wrong, unchecked []string
	for _, f := range v.Faults {
		hits := "no image needs it"
		if len(f.Images) > 0 {
			hits = "affects " + strings.Join(f.Images, ", ")
		}
		line := job.Sentence(f.Problem) + " (" + hits + ")"
		if f.Unchecked {
			unchecked = append(unchecked, line)
		} else {
			wrong = append(wrong, line)
		}
	}
	if err != nil {
		unchecked = append(unchecked, err.Error())
	}
	err = notWhole("the store", wrong, unchecked)
	if repairFrom == "" && len(wrong) > 0 {
		return cli.WithHint(err, "Another store that has the images can repair this one: --repair-from STORE.")
	}
	return err
}

// warnRevoked says what to do about streams that a revoked key signed.
func warnRevoked(e *cli.Env, all []catalog.RevokedStream) {
	if !e.ForPeople() {
		return
	}
	for _, r := range all {
		what, from := "full stream", ""
		if r.Parent != "" {
			what, from = "delta from "+r.Parent, " --from "+r.Parent
		}
		e.Warn(fmt.Sprintf("the %s to %s is not used: %s; it is not damaged: `griddle image derive %s%s` makes one "+
			"with a trusted signature",
			what, r.Ref, job.Sentence(r.Problem), r.Ref, from))
	}
}
