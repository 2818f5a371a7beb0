package key

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"griddle/appliance/griddle/cli"
	"griddle/imagestore"
	"griddle/imagestore/minisign"
)

// RevokedKey is the result of `griddle key revoke -o json`.
type RevokedKey struct {
	ID     string   `json:"id"`
	Images []string `json:"images"` // that cannot be installed any more, by their full references
}

func revokeCommand(e *cli.Env) *cobra.Command {
	var store cli.StoreFlags
	var yes bool
	c := &cobra.Command{
		Use:   "revoke KEYID|PUBKEY|FILE",
		Short: "Stop trusting a key",
		Long: "Stop trusting a key, for what it signed before too. The images that cannot be installed any more are\n" +
			"listed first. They stay in the catalog with a mark; publish them again, as new versions, with\n" +
			"another key.",
		Example: "  griddle key revoke 5BF6E7D4B9EA1B6A",
		Args:    cobra.ExactArgs(1), ValidArgsFunction: cli.Arguments(cli.Keys(e, &store)),
	}
	store.Add(c)
	cli.YesFlag(c, &yes)
	c.RunE = func(c *cobra.Command, args []string) error {
		st, err := cli.OpenStore(e, store, false)
		if err != nil {
			return err
		}
		k, err := knownKey(c.Context(), st, args[0])
		if err != nil {
			return err
		}
		lost, err := st.WithoutKey(c.Context(), k)
		if err != nil {
			return err
		}
		r := RevokedKey{k.ID(), []string{}}
		for _, l := range lost {
			r.Images = append(r.Images, l.Ref)
		}
		if !yes {
			if err := askRevoke(e, r); err != nil {
				return err
			}
		}
		if err := st.Revoke(c.Context(), k); err != nil {
			return err
		}
		return e.Print(r, func(w io.Writer) error {
			_, err := fmt.Fprintf(w, "key %s is revoked; %d images cannot be installed any more\n", r.ID, len(r.Images))
			for _, ref := range r.Images {
				fmt.Fprintln(w, "  "+ref)
			}
			return err
		})
	}
	return c
}

// knownKey finds the key that is meant among those that the store knows.
func knownKey(ctx context.Context, st *imagestore.Store, arg string) (minisign.PublicKey, error) {
	keys, err := st.Keys(ctx)
	if err != nil {
		return minisign.PublicKey{}, err
	}
	for _, k := range keys {
		if strings.EqualFold(k.ID, arg) {
			return minisign.ParsePublicKey(k.Key)
		}
	}
	if len(arg) == 16 && strings.Trim(strings.ToUpper(arg), "0123456789ABCDEF") == "" {
		return minisign.PublicKey{}, cli.WithHint(fmt.Errorf("key %s was never trusted here", strings.ToUpper(arg)),
			"`griddle key list` shows those that were.")
	}
	k, err := publicKey(arg)
	if err != nil {
		return k, cli.Usage(err)
	}
	return k, nil
}

// askRevoke shows what will be lost and asks whether it may.
func askRevoke(e *cli.Env, r RevokedKey) error {
	if len(r.Images) == 0 {
		fmt.Fprintf(e.Stderr, "No image needs key %s to be installed.\n", r.ID)
	} else {
		fmt.Fprintf(e.Stderr, "Without key %s these images cannot be installed any more:\n  "+
			"%s\n", r.ID, strings.Join(r.Images, "\n  "))
	}
	return cli.Confirm(e, false, fmt.Sprintf("revoking key %s", r.ID), "Revoke it?")
}
