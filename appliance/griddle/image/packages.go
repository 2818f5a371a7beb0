package image

import (
	"github.com/spf13/cobra"

	"griddle/appliance/griddle/cli"
	"griddle/imagestore/packages"
)

var packageColumns = []cli.Column[packages.Package]{
	{Name: "package", Text: func(p packages.Package) string { return p.Name }},
	{Name: "version", Text: func(p packages.Package) string { return p.Version }},
	{Name: "arch", Text: func(p packages.Package) string { return p.Arch }},
}

func packagesCommand(e *cli.Env) *cobra.Command {
	var store cli.StoreFlags
	list := cli.List[packages.Package]{Columns: packageColumns}
	c := &cobra.Command{
		Use:   "packages IMAGE",
		Short: "List the packages that are installed in an image",
		Long: "List the packages that dpkg, rpm, pacman or apk has installed in an image, as recorded when it " +
			"was published.",
		Example: "  griddle image packages web\n  griddle image packages web --filter 'package=openssl*' -o csv",
		Args:    cobra.ExactArgs(1), ValidArgsFunction: cli.Arguments(cli.Images(e, &store)),
	}
	store.Add(c)
	list.Flags(c)
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
		l.Packages = list.Pick(l.Packages)
		return list.PrintOf(e, l, l.Packages)
	}
	return c
}
