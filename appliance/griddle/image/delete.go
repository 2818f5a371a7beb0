package image

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"griddle/appliance/griddle/cli"
	"griddle/appliance/job"
	"griddle/imagestore"
	"griddle/imagestore/ref"
)

func deleteCommand(e *cli.Env) *cobra.Command {
	var store cli.StoreFlags
	var out cli.Output
	var yes bool
	c := &cobra.Command{
		Use:   "delete IMAGE",
		Short: "Delete an image, and what no other image needs",
		Long: "Delete an image, and the data that no other image needs. Its version cannot be used again. An image on which the\n" +
			"only way to another one stands is not deleted.",
		Args: cobra.ExactArgs(1),
	}
	store.Add(c)
	out.Add(c)
	c.Flags().BoolVar(&yes, "yes", false, "do not ask")
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
		if out.JSON() {
			return cli.WriteJSON(e.Stdout, d)
		}
		_, err = fmt.Fprintf(e.Stdout, "%s deleted, %s freed\n", d.Ref, job.Bytes(d.Bytes))
		return err
	}
	return c
}

// askDelete shows what will go and asks whether it may.
func askDelete(e *cli.Env, l imagestore.Listed) error {
	fmt.Fprintf(e.Stderr, "%s, published %s, %d paths, %s\n", l.Ref, l.Published.Format(time.DateTime), l.Files, job.Bytes(l.Size))
	return cli.Confirm(e, false, "deleting "+l.Ref, "Delete it?")
}
