package image

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"griddle/appliance/griddle/cli"
	"griddle/appliance/job"
	"griddle/imagestore"
	"griddle/imagestore/minisign"
)

func deriveCommand(e *cli.Env) *cobra.Command {
	var store cli.StoreFlags
	var from string
	c := &cobra.Command{
		Use:   "derive IMAGE",
		Short: "Make a delta from another image, or a full stream, and keep it",
		Long: "Make the delta from another image of the store to IMAGE, or without --from a full stream, and keep\n" +
			"it. The two images need not be versions of the same template. A server signs with the site's key, a\n" +
			"local store with the publisher's. Machines that have the other image then fetch only the difference.",
		Example: "  griddle image derive web:3 --from web:1\n  griddle image derive web:3",
		Args:    cobra.ExactArgs(1), ValidArgsFunction: cli.Arguments(cli.Images(e, &store)),
	}
	store.Add(c)
	c.Flags().StringVar(&from, "from", "", "make a delta from this `IMAGE`")
	cli.CompleteFlag(c, "from", cli.Images(e, &store))
	c.RunE = func(c *cobra.Command, args []string) error {
		o := imagestore.DeriveOptions{}
		var err error
		if o.Ref, err = parseRef(args[0]); err != nil {
			return err
		}
		if from != "" {
			p, err := parseRef(from)
			if err != nil {
				return err
			}
			o.Parent = &p
		}
		st, err := cli.OpenStore(e, store, false)
		if err != nil {
			return err
		}
		bar := e.Phases()
		o.Progress = bar.Update
		d, err := derive(c, st, o)
		bar.End()
		if err != nil {
			return err
		}
		how := "exists already"
		if d.Made {
			how = fmt.Sprintf("made in %.1f s", d.Seconds)
		}
		which := "full stream"
		if d.Parent != "" {
			which = "delta from " + d.Parent
		}
		return e.Printf(d, "%s %s: %s, %s to fetch, %s", d.Ref, which, job.Bytes(d.Raw), job.Bytes(d.Wire), how)
	}
	return c
}

// derive adds what a person can do about the errors.
func derive(c *cobra.Command, st *imagestore.Store, o imagestore.DeriveOptions) (imagestore.Derived, error) {
	d, err := st.Derive(c.Context(), o)
	switch {
	case errors.Is(err, imagestore.ErrNoKey):
		return d, cli.WithHint(err, "`griddle key new` makes ~/.config/griddle/publisher.key; a server signs with "+
			"its own key.")
	case errors.Is(err, minisign.ErrSignature):
		return d, cli.WithHint(err, "The store does not trust the publisher's key: publish with --trust-key once.")
	}
	return d, cli.ExplainTree(err, st)
}
