package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"griddle/imagestore"
)

func imagePackagesCommand(e *env) *cobra.Command {
	var store storeFlags
	var out outputFlag
	c := &cobra.Command{
		Use:   "packages IMAGE",
		Short: "List the packages that are installed in an image",
		Long:  "List the packages that dpkg, rpm, pacman or apk has installed in an image, as they were recorded when it was published.",
		Args:  cobra.ExactArgs(1),
	}
	store.add(c)
	out.add(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		ref, err := parseRef(args[0])
		if err != nil {
			return err
		}
		st, err := openStore(e, store, false)
		if err != nil {
			return err
		}
		l, err := st.ReadPackages(c.Context(), ref)
		if err != nil {
			return err
		}
		if out.json() {
			return writeJSON(e.stdout, l)
		}
		var rows [][]string
		for _, p := range l.Packages {
			rows = append(rows, []string{p.Name, p.Version, p.Arch})
		}
		return writeTable(e.stdout, []string{"PACKAGE", "VERSION", "ARCH"}, rows)
	}
	return c
}

// packagesText is what `griddle image show` says of them.
func packagesText(p *imagestore.Packages) string {
	if p == nil {
		return ""
	}
	return fmt.Sprintf("%d of %s", p.Count, p.Manager)
}
