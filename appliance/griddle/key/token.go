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
	"griddle/appliance/publishtoken"
	"griddle/imagestore"
	"griddle/imagestore/catalog"
	"griddle/imagestore/minisign"
)

// KeyToken is the result of `griddle key token -o json`.
type KeyToken struct {
	ID      string `json:"id"`
	Token   string `json:"token,omitempty"`   // shown this one time
	Revoked int    `json:"revoked,omitempty"` // how many tokens were revoked
}

func tokenCommand(e *cli.Env) *cobra.Command {
	var stateDir, dir string
	var revoke bool
	c := &cobra.Command{
		Use:   "token KEYID|PUBKEY|FILE|COMMENT",
		Short: "Make the token with which a publisher uses a server",
		Long: "Make the token with which a publisher publishes over HTTPS, and print it, this one time. It allows\n" +
			"what the key may: to upload, and to publish images that the key may sign by `griddle key trust`. It\n" +
			"does not allow to trust keys, to delete, or to give machines jobs. An earlier token of the key stops\n" +
			"working, and all of them do when the key is revoked.\n\n" +
			"Run it on the server's host. The publisher saves the token in a file with mode 0600 and names it\n" +
			"with --token-file.",
		Example: "  griddle key trust ada.pub --prefix 'web*' --comment Ada\n" +
			"  griddle key token Ada >ada.token\n" +
			"  griddle key token Ada --revoke",
		Args: cobra.ExactArgs(1),
	}
	c.Flags().StringVar(&stateDir, "state-dir", config.Default().StateDir, "the server's state `DIR`")
	c.Flags().StringVar(&dir, "store", "", "local image store `DIR` (default: store in the state directory)")
	c.Flags().BoolVar(&revoke, "revoke", false, "revoke the key's token instead of making one")
	c.RunE = func(c *cobra.Command, args []string) error {
		if dir == "" {
			dir = filepath.Join(stateDir, "store")
		}
		if _, err := os.Stat(filepath.Join(stateDir, appliance.TokenFile)); errors.Is(err, fs.ErrNotExist) {
			return cli.WithHint(fmt.Errorf("%s is not a server's state directory", stateDir),
				"Run this on the host of `griddle serve`, or give its --state-dir.")
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
			r.Revoked, err = publishtoken.Revoke(stateDir, k)
		} else if err = publishes(c.Context(), st, k); err == nil {
			r.Token, err = publishtoken.Make(stateDir, k, time.Now())
		}
		if err != nil {
			return err
		}
		if revoke {
			return e.Printf(r, "key %s: %d tokens revoked", r.ID, r.Revoked)
		}
		e.Say(fmt.Sprintf("the token of key %s, which is shown only this time:", r.ID))
		return e.Printf(r, "%s", r.Token)
	}
	return c
}

// publishersKey finds a key that the store knows also by its comment, where no other key has that.
func publishersKey(ctx context.Context, st *imagestore.Store, arg string) (minisign.PublicKey, error) {
	keys, err := st.Keys(ctx)
	if err != nil {
		return minisign.PublicKey{}, err
	}
	var found []catalog.ListedKey
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
	return minisign.PublicKey{}, cli.WithHint(fmt.Errorf("%d keys have the comment %q", len(found), arg),
		"Name the key by its ID: `griddle key list`.")
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
	return cli.WithHint(fmt.Errorf("key %s is not trusted here as a publisher's", k.ID()),
		"Trust it first, with `griddle key trust`. The site's own key has no token.")
}
