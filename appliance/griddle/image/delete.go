package image

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"griddle/appliance/griddle/cli"
	"griddle/appliance/job"
	"griddle/imagestore/catalog"
	"griddle/imagestore/ref"
)

func deleteCommand(e *cli.Env) *cobra.Command {
	var store cli.StoreFlags
	var yes bool
	c := &cobra.Command{
		Use: "delete IMAGE", Aliases: []string{"rm"},
		Short: "Delete an image",
		Long: "Delete an image, and the data that no other image needs. Its version number is never reused. An\n" +
			"image that another image needs is not deleted; `griddle image derive` makes the other one\n" +
			"independent.",
		Example: "  griddle image delete web:20261120.1\n  griddle image delete web:20261120.1 --yes -o json",
		Args:    cobra.ExactArgs(1), ValidArgsFunction: cli.Arguments(cli.Images(e, &store)),
	}
	store.Add(c)
	cli.YesFlag(c, &yes)
	c.RunE = func(c *cobra.Command, args []string) error {
		name, err := parseRef(args[0])
		if err != nil {
			return err
		}
		st, err := cli.OpenStore(e, store, false)
		if err != nil {
			return err
		}
		l, err := st.Resolve(c.Context(), name)
		if err != nil {
			return err
		}
		if !yes {
			if err := askDelete(e, l); err != nil {
				return err
			}
		}
		if name, err = ref.Parse(l.Ref); err != nil { // what was shown, not what is newest by now
			return err
		}
		d, err := st.Delete(c.Context(), name)
		if err != nil {
			return err
		}
		return e.Printf(d, "%s is deleted, %s freed", d.Ref, job.Bytes(d.Bytes))
	}
	return c
}

// askDelete shows what will go and asks whether it may.
func askDelete(e *cli.Env, l catalog.Listed) error {
	fmt.Fprintf(e.Stderr, "%s, published %s, %d paths, %s\n", l.Ref, l.Published.Format(time.DateTime), l.Files,
		job.Bytes(l.Size))
	return cli.Confirm(e, false, "deleting "+l.Ref, "Delete it?")
}
