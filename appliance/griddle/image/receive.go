package image

import (
	"path/filepath"

	"github.com/spf13/cobra"

	"griddle/appliance/griddle/cli"
	"griddle/imagestore"
)

func receiveCommand(e *cli.Env) *cobra.Command {
	var store cli.StoreFlags
	var o imagestore.ReceiveOptions
	c := &cobra.Command{
		Use:   "receive IMAGE DIR",
		Short: "Unpack an image below a directory",
		Long: "Unpack an image's tree below DIR, and print its path. On btrfs it becomes a read-only subvolume, on\n" +
			"any other filesystem a directory. It gets its name only after the whole tree was compared with the\n" +
			"image's signed manifest.",
		Example: "  griddle image receive web:latest /srv/images",
		Args:    cobra.ExactArgs(2), ValidArgsFunction: cli.Arguments(cli.Images(e, &store), cli.Files),
	}
	store.Add(c)
	c.Flags().StringVar(&o.Name, "name", "", "`NAME` of the tree in DIR (default: the image's, such as "+
		"web@20261120.1@amd64)")
	c.Flags().BoolVar(&o.Plain, "plain", false, "make an ordinary directory on btrfs too")
	c.RunE = func(c *cobra.Command, args []string) error {
		ref, err := parseRef(args[0])
		if err != nil {
			return err
		}
		if o.Name != "" && (o.Name != filepath.Base(o.Name) || o.Name == "." || o.Name == "..") {
			return cli.Usagef("%q cannot be the name of the tree", o.Name)
		}
		st, err := cli.OpenStore(e, store, false)
		if err != nil {
			return err
		}
		dir, err := filepath.Abs(args[1])
		if err != nil {
			return err
		}
		bar := e.Phases()
		o.Progress = bar.Update
		r, err := st.Receive(c.Context(), ref, dir, o)
		bar.End()
		if err != nil {
			return cli.AsRoot(err, cli.WhyTree)
		}
		return e.Printf(r, "%s", r.Path)
	}
	return c
}
