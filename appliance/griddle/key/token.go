package key

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"griddle/appliance"
	"griddle/appliance/config"
	"griddle/appliance/griddle/cli"
	"griddle/imagestore"
	"griddle/imagestore/minisign"
)

// KeyToken is the result of `griddle key token -o json`.
type KeyToken struct {
	ID      string `json:"id"`
	Token   string `json:"token,omitempty"`   // told this once
	Revoked int    `json:"revoked,omitempty"` // tokens that are worthless now
}

func tokenCommand(e *cli.Env) *cobra.Command {
	var out cli.Output
	var stateDir, dir string
	var revoke bool
	c := &cobra.Command{
		Use:   "token KEYID|PUBKEY|FILE|COMMENT",
		Short: "Make the token by which a publisher publishes over HTTPS",
		Long: "Make the token by which a publisher publishes over HTTPS, and print it, this once. With it the publisher does what the key may: upload, and\n" +
			"publish what the key signed, of the images that `griddle key trust` lets it sign. The token can neither change what keys may, nor\n" +
			"delete, nor order machines. An earlier token of the key stops being valid; all of them do when the key is revoked.\n" +
			"Run it on the server's host. The publisher puts the token into a file of mode 0600 and names that with --token-file.",
		Example: "  griddle key trust ada.pub --prefix 'web*' --comment Ada\n  griddle key token Ada >ada.token\n  griddle key token Ada --revoke",
		Args:    cobra.ExactArgs(1),
	}
	out.Add(c)
	c.Flags().StringVar(&stateDir, "state-dir", config.Default().StateDir, "the appliance's state `DIR`")
	c.Flags().StringVar(&dir, "store", "", "the image store's `DIR` (default: store in the state directory)")
	c.Flags().BoolVar(&revoke, "revoke", false, "make the key's token worthless, and no other")
	c.RunE = func(c *cobra.Command, args []string) error {
		if dir == "" {
			dir = filepath.Join(stateDir, "store")
		}
		if _, err := os.Stat(filepath.Join(stateDir, appliance.TokenFile)); errors.Is(err, fs.ErrNotExist) {
			return cli.WithHint(fmt.Errorf("%s is not an appliance's state directory", stateDir), "Run this on the host of `griddle serve`, or name its --state-dir.")
		}
		st, err := cli.OpenStore(e, cli.StoreFlags{Dir: dir}, false)
		if err != nil {
			return err
		}
		k, err := publishersKey(c.Context(), st, args[0])
		if err != nil {
			return err
		}
		r := KeyToken{ID: k.ID()}
		if revoke {
			r.Revoked, err = appliance.RevokePublisherTokens(stateDir, k)
		} else if err = publishes(c.Context(), st, k); err == nil {
			r.Token, err = appliance.MakePublisherToken(stateDir, k, time.Now())
		}
		if err != nil {
			return err
		}
		if out.JSON() {
			return cli.WriteJSON(e.Stdout, r)
		}
		if revoke {
			_, err = fmt.Fprintf(e.Stdout, "key %s: %d tokens revoked\n", r.ID, r.Revoked)
			return err
		}
		fmt.Fprintf(e.Stderr, "The token of key %s, which is shown this once:\n", r.ID)
		_, err = fmt.Fprintln(e.Stdout, r.Token)
		return err
	}
	return c
}

// publishersKey finds a key that the store knows also by its comment, where no other key has that.
func publishersKey(ctx context.Context, st *imagestore.Store, arg string) (minisign.PublicKey, error) {
	keys, err := st.Keys(ctx)
	if err != nil {
		return minisign.PublicKey{}, err
	}
	var found []imagestore.ListedKey
	for _, k := range keys {
		if k.Comment != "" && strings.EqualFold(k.Comment, arg) {
			found = append(found, k)
		}
	}
	switch len(found) {
	case 0:
		return knownKey(ctx, st, arg)
	case 1:
		return minisign.ParsePublicKey(found[0].Key)
	}
	return minisign.PublicKey{}, cli.WithHint(fmt.Errorf("%d keys have the comment %q", len(found), arg), "Name the key by its ID: `griddle key list`.")
}

// publishes returns nil where the store trusts k as a publisher's.
func publishes(ctx context.Context, st *imagestore.Store, k minisign.PublicKey) error {
	keys, err := st.Keys(ctx)
	if err != nil {
		return err
	}
	for _, l := range keys {
		if l.Key == k.String() && l.Revoked == nil && !l.Site {
			return nil
		}
	}
	return cli.WithHint(fmt.Errorf("key %s is not trusted here as a publisher's", k.ID()), "`griddle key trust` says what it may sign; the site's own key takes no token.")
}
