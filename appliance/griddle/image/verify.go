package image

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"griddle/appliance/griddle/cli"
	"griddle/appliance/job"
	"griddle/imagestore"
)

func verifyCommand(e *cli.Env) *cobra.Command {
	var store cli.StoreFlags
	var out cli.Output
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
	store.Add(c)
	out.Add(c)
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
			return verifyAll(c, e, st, store, out, repairFrom)
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
		var bar *cli.Progress
		if !out.JSON() {
			bar = cli.NewProgress(e.Stderr, "reading")
		}
		v, err := verify(c.Context(), st, ref, tree, bar)
		bar.End()
		if err != nil {
			return err
		}
		tellRevoked(e, v.Revoked, out.JSON())
		if out.JSON() {
			err = cli.WriteJSON(e.Stdout, v)
		} else if v.OK {
			_, err = fmt.Fprintf(e.Stdout, "%s is whole (%s read)\n", v.Ref, job.Bytes(v.Bytes))
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

// verifyAll checks the whole store, and repairs it where repairFrom names another one.
func verifyAll(c *cobra.Command, e *cli.Env, st *imagestore.Store, store cli.StoreFlags, out cli.Output, repairFrom string) error {
	var o imagestore.VerifyStoreOptions
	if repairFrom != "" {
		from, close, err := openOther(c.Context(), e, copyFlags{store: store, other: repairFrom}, false)
		if err != nil {
			return err
		}
		defer close()
		o.RepairFrom = from
	}
	var bar *cli.Progress
	if !out.JSON() {
		bar = cli.NewProgress(e.Stderr, "reading")
		o.Progress = bar.Update
	}
	v, err := st.VerifyStore(c.Context(), o)
	bar.End()
	if err != nil && v.Images == 0 {
		return cli.ExplainRemote(err)
	}
	tellRevoked(e, v.Revoked, out.JSON())
	if out.JSON() {
		if werr := cli.WriteJSON(e.Stdout, v); werr != nil {
			return werr
		}
	} else {
		for _, d := range v.Repaired {
			fmt.Fprintf(e.Stdout, "%s was fetched again\n", d)
		}
		if v.OK {
			_, werr := fmt.Fprintf(e.Stdout, "%d images and %d blobs are whole (%s read)\n", v.Images, v.Blobs, job.Bytes(v.Bytes))
			return werr
		}
	}
	if v.OK {
		return nil
	}
	var wrong, unchecked []string
	for _, f := range v.Faults {
		hits := "no image needs it"
		if len(f.Images) > 0 {
			hits = "hits " + strings.Join(f.Images, ", ")
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
		return cli.WithHint(err, "Another store that has the images can lend what is damaged: --repair-from STORE.")
	}
	return err
}

// tellRevoked says of streams that a revoked key signed what to do about them.
func tellRevoked(e *cli.Env, all []imagestore.RevokedStream, json bool) {
	if json {
		return
	}
	for _, r := range all {
		what, from := "full stream", ""
		if r.Parent != "" {
			what, from = "stream from "+r.Parent, " --from "+r.Parent
		}
		e.Warn(fmt.Sprintf("the %s to %s is not used: %s; it is not damaged, and `griddle image derive %s%s` makes it anew by a key that counts",
			what, r.Ref, job.Sentence(r.Problem), r.Ref, from))
	}
}
