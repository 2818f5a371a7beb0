package image

import (
	"time"

	"github.com/spf13/cobra"

	"griddle/appliance/griddle/cli"
	"griddle/appliance/job"
	"griddle/imagestore/ref"
)

func listCommand(e *cli.Env) *cobra.Command {
	var store cli.StoreFlags
	var out cli.Output
	c := &cobra.Command{
		Use:     "list [FILTER...]",
		Short:   "List images, the newest version of each first",
		Long:    "List images, the newest version of each first. A FILTER is an image's name in which * stands for any characters.",
		Example: "  griddle image list\n  griddle image list 'web:2026*' '*/*' -o json",
		Args:    cobra.ArbitraryArgs,
	}
	store.Add(c)
	out.Add(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		for _, a := range args {
			if _, err := ref.ParseFilter(a); err != nil {
				return cli.Usage(err)
			}
		}
		st, err := cli.OpenStore(e, store, false)
		if err != nil {
			return err
		}
		list, err := st.List(c.Context(), args...)
		if err != nil {
			return err
		}
		if out.JSON() {
			return cli.WriteJSON(e.Stdout, list)
		}
		var rows [][]string
		for _, l := range list {
			if err := l.Installable(); err != nil {
				l.Description = "CANNOT BE INSTALLED: " + err.Error()
			}
			rows = append(rows, []string{l.Ref, l.Published.Format(time.DateTime), job.Bytes(l.Size), job.Bytes(l.Wire), job.Sentence(l.Description)})
		}
		return cli.WriteTable(e.Stdout, []string{"IMAGE", "PUBLISHED (UTC)", "SIZE", "TO FETCH", "DESCRIPTION"}, rows)
	}
	return c
}
