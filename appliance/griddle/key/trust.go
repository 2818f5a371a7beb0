package key

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/spf13/cobra"

	"griddle/appliance/griddle/cli"
	"griddle/imagestore/catalog"
	"griddle/imagestore/document"
	"griddle/imagestore/minisign"
)

// TrustedKey is the result of `griddle key trust -o json`.
type TrustedKey struct {
	ID       string   `json:"id"`
	Key      string   `json:"key"` // base64
	Comment  string   `json:"comment,omitempty"`
	Prefixes []string `json:"prefixes,omitempty"` // of the images that it may sign; none for all
	Site     bool     `json:"site,omitempty"`
	Streams  bool     `json:"streams,omitempty"`
}

func trustCommand(e *cli.Env) *cobra.Command {
	var store cli.StoreFlags
	var prefixes []string
	var comment string
	var again, site, streams bool
	c := &cobra.Command{
		Use:   "trust PUBKEY|FILE",
		Short: "Trust a publisher's key, for all images or for some",
		Long: "Trust a publisher's key from now on: the base64 line that minisign prints, or the file that has it.\n" +
			"With --prefix, only for images whose name matches a pattern: web is that name alone, web* is every\n" +
			"name that begins with web, team/* is all of a namespace, */* is everything. If the key is trusted\n" +
			"already, the new patterns replace the old ones.",
		Example: "  griddle key trust RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3 --comment 'Ada'\n" +
			"  griddle key trust ada.pub --prefix 'web*' --prefix 'team/*'",
		Args: cobra.ExactArgs(1),
	}
	store.Add(c)
	c.Flags().StringArrayVar(&prefixes, "prefix", nil, "`PATTERN` of the images that it may sign; can be repeated")
	c.Flags().StringVar(&comment, "comment", "", "`TEXT` of one line that says whose key it is")
	c.Flags().BoolVar(&streams, "streams", false, "trust it for streams to any image and for no images: deltas "+
		"that another site derived")
	c.Flags().BoolVar(&site, "site", false, "trust it as this site's own key, for streams and the signed catalog")
	c.Flags().BoolVar(&again, "again", false, "trust the key even if it was revoked")
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
		err = st.Grant(c.Context(), catalog.Granting{Key: g.String(), Comment: comment, Again: again})
		if errors.Is(err, catalog.ErrRevoked) {
			return cli.WithHint(err, "If the key is safe, add --again to trust it; the images that it signed can "+
				"then be installed again.")
		}
		if err != nil {
			return err
		}
		listed := catalog.ListedKey{ID: k.ID(), Key: k.String(), Comment: comment, Site: g.Site(),
			Streams: g.Streams(), Prefixes: g.Patterns()}
		return e.Printf(TrustedKey{listed.ID, listed.Key, comment, g.Patterns(), g.Site(), g.Streams()},
			"key %s is trusted for %s", listed.ID, maySign(listed))
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
