package key

import (
	"context"
	"fmt"
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
	var out cli.Output
	var yes bool
	c := &cobra.Command{
		Use:   "revoke KEYID|PUBKEY|FILE",
		Short: "Make a key's signatures count no more",
		Long: "Make a key's signatures count no more, old ones included. The images that cannot be installed any more are listed\n" +
			"first. They stay in the catalog, marked; publish them again, as new versions, with another key.",
		Args: cobra.ExactArgs(1),
	}
	store.Add(c)
	out.Add(c)
	c.Flags().BoolVar(&yes, "yes", false, "do not ask")
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
		if out.JSON() {
			return cli.WriteJSON(e.Stdout, r)
		}
		_, err = fmt.Fprintf(e.Stdout, "key %s is revoked; %d images cannot be installed any more\n", r.ID, len(r.Images))
		for _, ref := range r.Images {
			fmt.Fprintln(e.Stdout, "  "+ref)
		}
		return err
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
		return minisign.PublicKey{}, cli.WithHint(fmt.Errorf("key %s was never trusted here", strings.ToUpper(arg)), "`griddle key list` shows those that were.")
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
		fmt.Fprintf(e.Stderr, "Without key %s these images cannot be installed any more:\n  %s\n", r.ID, strings.Join(r.Images, "\n  "))
	}
	return cli.Confirm(e, false, fmt.Sprintf("revoking key %s", r.ID), "Revoke it?")
}
