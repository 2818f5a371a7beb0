package image

import (
	"errors"

	"github.com/spf13/cobra"

	"griddle/appliance/griddle/cli"
	"griddle/imagestore"
	"griddle/imagestore/catalog"
	"griddle/imagestore/ref"
)

func streamCommand(e *cli.Env) *cobra.Command {
	var store cli.StoreFlags
	var from string
	var raw, tar bool
	c := &cobra.Command{
		Use:   "stream IMAGE",
		Short: "Write an image as a btrfs send stream to standard output",
		Long: "Write an image as a btrfs send stream to standard output, compressed with zstd unless --raw is\n" +
			"given. Every byte is verified before it is written. Without --from the output makes the image from\n" +
			"nothing; if the store has the image only as a delta, the output is several streams one after the\n" +
			"other, and `btrfs receive` makes each of them. With --from, a delta that does not exist is made\n" +
			"first.",
		Example: "  griddle image stream web --raw | btrfs receive /srv\n" +
			"  griddle image stream web:2 --from web:1 > update.zst\n" +
			"  griddle image stream web --tar | tar -x --acls --xattrs --xattrs-include='*' -C /srv/web",
		Args: cobra.ExactArgs(1), ValidArgsFunction: cli.Arguments(cli.Images(e, &store)),
	}
	store.Add(c)
	c.Flags().StringVar(&from, "from", "", "write the delta from this `IMAGE`")
	cli.CompleteFlag(c, "from", cli.Images(e, &store))
	c.Flags().BoolVar(&raw, "raw", false, "do not compress")
	c.Flags().BoolVar(&tar, "tar", false, "write the image's tree as a tar archive (PAX) instead")
	c.RunE = func(c *cobra.Command, args []string) error {
		name, err := parseRef(args[0])
		if err != nil {
			return err
		}
		var base *ref.Ref
		if from != "" {
			b, err := parseRef(from)
			if err != nil {
				return err
			}
			base = &b
		}
		if tar && (raw || base != nil) {
			return cli.Usagef("--tar excludes --raw and --from: a tar archive has the whole image, without compression")
		}
		if cli.IsTerminal(e.Stdout) {
			return cli.WithHint(cli.Usagef("standard output is a terminal, and a stream is binary data"),
				"Redirect it: `griddle image stream %s > FILE`.", args[0])
		}
		st, err := cli.OpenStore(e, store, false)
		if err != nil {
			return err
		}
		if tar {
			return cli.ExplainTree(st.Tar(c.Context(), name, e.Stdout, nil), st)
		}
		err = st.Stream(c.Context(), name, base, raw, e.Stdout)
		if base == nil || !errors.Is(err, catalog.ErrNoWay) {
			return err
		}
		// Nothing is written yet: the way is found before the first byte.
		if _, err := derive(c, st, imagestore.DeriveOptions{Ref: name, Parent: base}); err != nil {
			return err
		}
		return st.Stream(c.Context(), name, base, raw, e.Stdout)
	}
	return cli.Raw(c)
}
