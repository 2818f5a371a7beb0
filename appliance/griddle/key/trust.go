package key

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/spf13/cobra"

	"griddle/appliance/griddle/cli"
	"griddle/imagestore"
	"griddle/imagestore/document"
	"griddle/imagestore/minisign"
)

func trustCommand(e *cli.Env) *cobra.Command {
	var store cli.StoreFlags
	var prefixes []string
	var comment string
	var again, site, streams bool
	c := &cobra.Command{
		Use:   "trust PUBKEY|FILE",
		Short: "Trust a publisher's key, for all images or for some",
		Long: "Trust a publisher's key, from now on: the base64 line that minisign prints, or its file. With --prefix only for images whose\n" +
			"name any of the patterns admits: web is that name alone, web* every name that begins so, team/* all of a\n" +
			"namespace, */* everything. A key that is trusted already is trusted for what is said now, and no more for what was said before.",
		Example: "  griddle key trust RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3 --comment 'Ada'\n" +
			"  griddle key trust ada.pub --prefix 'web*' --prefix 'team/*'",
		Args: cobra.ExactArgs(1),
	}
	store.Add(c)
	c.Flags().StringArrayVar(&prefixes, "prefix", nil, "`PATTERN` of the images that it may sign; can be given several times")
	c.Flags().StringVar(&comment, "comment", "", "whose key it is, one line")
	c.Flags().BoolVar(&streams, "streams", false, "for streams to any image, and no images: what another site derived")
	c.Flags().BoolVar(&site, "site", false, "as this site's own key, for streams and the signed catalog")
	c.Flags().BoolVar(&again, "again", false, "though it was revoked")
	c.RunE = func(c *cobra.Command, args []string) error {
		if site && streams || (site || streams) && len(prefixes) > 0 {
			return cli.Usagef("--prefix, --streams and --site exclude each other")
		}
		k, err := publicKey(args[0])
		if err != nil {
			return cli.Usage(err)
		}
		g, err := document.NewGrant(k, prefixes...)
		if err != nil {
			return cli.Usage(err)
		}
		switch {
		case site:
			g = document.SiteGrant(k)
		case streams:
			g = document.StreamsGrant(k)
		}
		st, err := cli.OpenStore(e, store, true)
		if err != nil {
			return err
		}
		err = st.Grant(c.Context(), imagestore.Granting{Key: g.String(), Comment: comment, Again: again})
		if errors.Is(err, imagestore.ErrRevoked) {
			return cli.WithHint(err, "If it is safe after all, trust it with --again; images that it signed can be installed again then.")
		}
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(e.Stdout, "key %s is trusted for %s\n", k.ID(), maySign(imagestore.ListedKey{Site: g.Site(), Streams: g.Streams(), Prefixes: g.Patterns()}))
		return err
	}
	return c
}

// publicKey reads a public key, or the file of one.
func publicKey(arg string) (minisign.PublicKey, error) {
	k, err := minisign.ParsePublicKey(arg)
	if err == nil {
		return k, nil
	}
	b, fileErr := cli.ReadSmall(arg)
	if fileErr != nil {
		if strings.HasPrefix(arg, "RW") && errors.Is(fileErr, fs.ErrNotExist) {
			return k, err
		}
		return k, fmt.Errorf("reading public key: %w", fileErr)
	}
	return minisign.ParsePublicKey(string(b))
}
