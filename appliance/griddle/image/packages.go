package image

import (
	"github.com/spf13/cobra"

	"griddle/appliance/griddle/cli"
)

func packagesCommand(e *cli.Env) *cobra.Command {
	var store cli.StoreFlags
	var out cli.Output
	c := &cobra.Command{
		Use:   "packages IMAGE",
		Short: "List the packages that are installed in an image",
		Long:  "List the packages that dpkg, rpm, pacman or apk has installed in an image, as they were recorded when it was published.",
		Args:  cobra.ExactArgs(1),
	}
	store.Add(c)
	out.Add(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		ref, err := parseRef(args[0])
		if err != nil {
			return err
		}
		st, err := cli.OpenStore(e, store, false)
		if err != nil {
			return err
		}
		l, err := st.ReadPackages(c.Context(), ref)
		if err != nil {
			return err
		}
		if out.JSON() {
			return cli.WriteJSON(e.Stdout, l)
		}
		var rows [][]string
		for _, p := range l.Packages {
			rows = append(rows, []string{p.Name, p.Version, p.Arch})
		}
		return cli.WriteTable(e.Stdout, []string{"PACKAGE", "VERSION", "ARCH"}, rows)
	}
	return c
}
