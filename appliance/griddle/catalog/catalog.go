// Package catalog is `griddle catalog`: it shows and signs the catalog of a store.
package catalog

import (
	"fmt"
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
	return cli.Group("catalog", "Look at and sign the catalog of a store", "Look at and sign the catalog of a store: the list of its images, which the site's key signs as a whole.",
		showCommand(e),
		signCommand(e),
	)
}

func showCommand(e *cli.Env) *cobra.Command {
	var store cli.StoreFlags
	var out cli.Output
	c := &cobra.Command{
		Use:   "show",
		Short: "Show what the signed head of a catalog says",
		Long:  "Show what the signed head of a catalog says, after its signature was checked.",
		Args:  cobra.NoArgs,
	}
	store.Add(c)
	out.Add(c)
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
		if out.JSON() {
			return cli.WriteJSON(e.Stdout, h)
		}
		return showHead(e, h)
	}
	return c
}

func showHead(e *cli.Env, h head.Head) error {
	expires := "never"
	if !h.Expires.IsZero() {
		expires = h.Expires.Format(time.DateTime) + " UTC"
	}
	_, err := fmt.Fprintf(e.Stdout, "site         %s\nentries      %d\nsha256       %s\nsigned       %s UTC\nexpires      %s\n",
		h.Site, h.Seq, h.SHA256, h.Time.Format(time.DateTime), expires)
	return err
}

func signCommand(e *cli.Env) *cobra.Command {
	var out cli.Output
	var stateDir, dir, expires string
	c := &cobra.Command{
		Use:   "sign",
		Short: "Sign the catalog anew, with another date of expiry",
		Long: "Sign the catalog anew with the site's key, on the machine that has it. It needs no network and no running server, which\n" +
			"does the same by itself at each change and long before the catalog expires. Copy DIR/catalog.head of the store to\n" +
			"wherever copies of the store are served from.",
		Example: "  griddle catalog sign --expires 90d",
		Args:    cobra.NoArgs,
	}
	d := config.Default()
	out.Add(c)
	c.Flags().StringVar(&stateDir, "state-dir", d.StateDir, "the appliance's state `DIR`, which has "+appliance.SiteKeyFile)
	c.Flags().StringVar(&dir, "store", "", "the image store's `DIR` (default: store in the state directory)")
	c.Flags().StringVar(&expires, "expires", days(d.CatalogExpires), "how `LONG` it is good for: days or hours, such as 90d or 36h; 0 for ever")
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
			return cli.WithHint(err, "Run this where the site's key is, the host of `griddle serve`, or name its --state-dir.")
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
		if out.JSON() {
			return cli.WriteJSON(e.Stdout, h)
		}
		return showHead(e, h)
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
