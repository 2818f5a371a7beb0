// Package catalog is `griddle catalog`: it shows and signs the catalog of a store.
package catalog

import (
	"fmt"
	"io"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"griddle/appliance"
	"griddle/appliance/config"
	"griddle/appliance/griddle/cli"
	"griddle/imagestore/head"
	"griddle/imagestore/minisign"
)

// Command is `griddle catalog`.
func Command(e *cli.Env) *cobra.Command {
	return cli.Group("catalog", "Show and sign the catalog of a store",
		"Show and sign the catalog of a store: the list of its images, which the site's key signs as a whole.",
		showCommand(e),
		signCommand(e),
	)
}

func showCommand(e *cli.Env) *cobra.Command {
	var store cli.StoreFlags
	c := &cobra.Command{
		Use:   "show",
		Short: "Show the signed head of a catalog",
		Long: "Show the signed head of a catalog, after its signature was checked: how long the catalog is, and " +
			"when it expires.",
		Example: "  griddle catalog show\n  griddle catalog show --server https://10.0.0.1:8443 --ca ca.pem -o yaml",
		Args:    cobra.NoArgs,
	}
	store.Add(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		st, err := cli.OpenStore(e, store, false)
		if err != nil {
			return err
		}
		b, err := st.Head(c.Context())
		if err != nil {
			return err
		}
		trusted, err := st.Trusted(c.Context())
		if err != nil {
			return err
		}
		h, _, err := head.Open(b, trusted)
		if err != nil {
			return err
		}
		return e.Print(h, func(w io.Writer) error { return showHead(w, h) })
	}
	return c
}

func showHead(w io.Writer, h head.Head) error {
	expires := "never"
	if !h.Expires.IsZero() {
		expires = h.Expires.Format(time.DateTime) + " UTC"
	}
	_, err := fmt.Fprintf(w, "site         %s\nentries      %d\nsha256       %s\nsigned       %s UTC\nexpires      "+
		"%s\n",
		h.Site, h.Seq, h.SHA256, h.Time.Format(time.DateTime), expires)
	return err
}

func signCommand(e *cli.Env) *cobra.Command {
	var stateDir, dir, expires string
	c := &cobra.Command{
		Use:   "sign",
		Short: "Sign the catalog again, with another date of expiry",
		Long: "Sign the catalog again with the site's key, on the computer that has it. This needs no network and\n" +
			"no running server. A server does it by itself, at each change and long before the catalog expires.\n" +
			"Copy DIR/catalog.head of the store to all places that serve copies of the store.",
		Example: "  griddle catalog sign --expires 90d",
		Args:    cobra.NoArgs,
	}
	d := config.Default()
	c.Flags().StringVar(&stateDir, "state-dir", d.StateDir, "the server's state `DIR`, which has "+
		appliance.SiteKeyFile)
	c.Flags().StringVar(&dir, "store", "", "local image store `DIR` (default: store in the state directory)")
	c.Flags().StringVar(&expires, "expires", days(d.CatalogExpires), "`VALIDITY`, for example 90d or 36h; 0 means "+
		"that it never expires")
	c.RunE = func(c *cobra.Command, _ []string) error {
		lifetime, err := parseDays(expires)
		if err != nil {
			return cli.Usagef("--expires: %w", err)
		}
		if dir == "" {
			dir = filepath.Join(stateDir, "store")
		}
		key, err := minisign.ReadKey(filepath.Join(stateDir, appliance.SiteKeyFile), nil)
		if err != nil {
			return cli.WithHint(err, "Run this on the host of `griddle serve`, which has the site's key, or give "+
				"its --state-dir.")
		}
		st, err := cli.OpenStore(e, cli.StoreFlags{Dir: dir}, false)
		if err != nil {
			return err
		}
		now := time.Now()
		var until time.Time
		if lifetime > 0 {
			until = now.Add(lifetime)
		}
		h, err := st.SignHead(c.Context(), key, now, until)
		if err != nil {
			return err
		}
		return e.Print(h, func(w io.Writer) error { return showHead(w, h) })
	}
	return c
}

// parseDays reads a time such as 90d, and every other one that Go's durations know.
func parseDays(s string) (time.Duration, error) {
	const day = 24 * time.Hour
	d, err := time.ParseDuration(s)
	if n, ok := strings.CutSuffix(s, "d"); ok {
		var days int64
		days, err = strconv.ParseInt(n, 10, 64)
		if err == nil && (days < 0 || days > int64(1<<63-1)/int64(day)) {
			err = strconv.ErrRange
		}
		d = time.Duration(days) * day
	}
	if err != nil || d < 0 {
		return 0, fmt.Errorf("%q is not a time such as 90d or 36h", s)
	}
	return d, nil
}

func days(d time.Duration) string { return fmt.Sprintf("%dd", d/(24*time.Hour)) }
