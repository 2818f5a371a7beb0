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
	var out cli.Output
	var from string
	c := &cobra.Command{
		Use:   "derive IMAGE",
		Short: "Make a stream to an image, from another or from nothing, and keep it",
		Long: "Make the stream that leads to IMAGE from another image of the store, whatever the two were published from, or from\n" +
			"nothing. It is signed by the site, on a server, or by the publisher's key, and kept: machines that hold the one image\n" +
			"then fetch the difference alone.",
		Example: "  griddle image derive web:3 --from web:1\n  griddle image derive web:3",
		Args:    cobra.ExactArgs(1),
	}
	store.Add(c)
	out.Add(c)
	c.Flags().StringVar(&from, "from", "", "start from this `IMAGE`")
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
		done := func() {}
		if !out.JSON() {
			o.Progress, done = cli.Phases(e)
		}
		d, err := derive(c, st, o)
		done()
		if err != nil {
			return err
		}
		if out.JSON() {
			return cli.WriteJSON(e.Stdout, d)
		}
		how := "is there already"
		if d.Made {
			how = fmt.Sprintf("made in %.1f s", d.Seconds)
		}
		whence := "from nothing"
		if d.Parent != "" {
			whence = "from " + d.Parent
		}
		_, err = fmt.Fprintf(e.Stdout, "%s %s: stream %s, %s to fetch, %s\n", d.Ref, whence, job.Bytes(d.Raw), job.Bytes(d.Wire), how)
		return err
	}
	return c
}

// derive adds what a person can do about the errors.
func derive(c *cobra.Command, st *imagestore.Store, o imagestore.DeriveOptions) (imagestore.Derived, error) {
	d, err := st.Derive(c.Context(), o)
	switch {
	case errors.Is(err, imagestore.ErrNoKey):
		return d, cli.WithHint(err, "`griddle key new` makes ~/.config/griddle/publisher.key; a server signs with its own key.")
	case errors.Is(err, minisign.ErrSignature):
		return d, cli.WithHint(err, "The store does not trust the publisher's key: publish with --trust-key once.")
	}
	return d, cli.ExplainTree(err, st)
}
