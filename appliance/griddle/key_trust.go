package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"griddle/imagestore"
)

func keyTrustCommand(e *env) *cobra.Command {
	var store storeFlags
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
	store.add(c)
	c.Flags().StringArrayVar(&prefixes, "prefix", nil, "`PATTERN` of the images that it may sign; can be given several times")
	c.Flags().StringVar(&comment, "comment", "", "whose key it is, one line")
	c.Flags().BoolVar(&streams, "streams", false, "for streams to any image, and no images: what another site derived")
	c.Flags().BoolVar(&site, "site", false, "as this site's own key, for streams and the signed catalog")
	c.Flags().BoolVar(&again, "again", false, "though it was revoked")
	c.RunE = func(c *cobra.Command, args []string) error {
		if site && streams || (site || streams) && len(prefixes) > 0 {
			return usagef("--prefix, --streams and --site exclude each other")
		}
		k, err := publicKey(args[0])
		if err != nil {
			return usage(err)
		}
		g, err := imagestore.NewGrant(k, prefixes...)
		if err != nil {
			return usage(err)
		}
		switch {
		case site:
			g = imagestore.SiteGrant(k)
		case streams:
			g = imagestore.StreamsGrant(k)
		}
		st, err := openStore(e, store, true)
		if err != nil {
			return err
		}
		err = st.Grant(c.Context(), imagestore.Granting{Key: g.String(), Comment: comment, Again: again})
		if errors.Is(err, imagestore.ErrRevoked) {
			return withHint(err, "If it is safe after all, trust it with --again; images that it signed can be installed again then.")
		}
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(e.stdout, "key %s is trusted for %s\n", k.ID(), maySign(imagestore.ListedKey{Site: g.Site(), Streams: g.Streams(), Prefixes: g.Patterns()}))
		return err
	}
	return c
}

// publicKey reads a public key, or the file of one.
func publicKey(arg string) (imagestore.PublicKey, error) {
	k, err := imagestore.ParsePublicKey(arg)
	if err == nil {
		return k, nil
	}
	b, fileErr := readSmall(arg)
	if fileErr != nil {
		if strings.HasPrefix(arg, "RW") && errors.Is(fileErr, fs.ErrNotExist) {
			return k, err
		}
		return k, fmt.Errorf("reading public key: %w", fileErr)
	}
	return imagestore.ParsePublicKey(string(b))
}

// RevokedKey is the result of `griddle key revoke -o json`.
type RevokedKey struct {
	ID     string   `json:"id"`
	Images []string `json:"images"` // that cannot be installed any more, by their full references
}

func keyRevokeCommand(e *env) *cobra.Command {
	var store storeFlags
	var out outputFlag
	var yes bool
	c := &cobra.Command{
		Use:   "revoke KEYID|PUBKEY|FILE",
		Short: "Make a key's signatures count no more",
		Long: "Make a key's signatures count no more, old ones included. The images that cannot be installed any more are listed\n" +
			"first. They stay in the catalog, marked; publish them again, as new versions, with another key.",
		Args: cobra.ExactArgs(1),
	}
	store.add(c)
	out.add(c)
	c.Flags().BoolVar(&yes, "yes", false, "do not ask")
	c.RunE = func(c *cobra.Command, args []string) error {
		st, err := openStore(e, store, false)
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
		if out.json() {
			return writeJSON(e.stdout, r)
		}
		_, err = fmt.Fprintf(e.stdout, "key %s is revoked; %d images cannot be installed any more\n", r.ID, len(r.Images))
		for _, ref := range r.Images {
			fmt.Fprintln(e.stdout, "  "+ref)
		}
		return err
	}
	return c
}

// knownKey finds the key that is meant among those that the store knows.
func knownKey(ctx context.Context, st *imagestore.Store, arg string) (imagestore.PublicKey, error) {
	keys, err := st.Keys(ctx)
	if err != nil {
		return imagestore.PublicKey{}, err
	}
	for _, k := range keys {
		if strings.EqualFold(k.ID, arg) {
			return imagestore.ParsePublicKey(k.Key)
		}
	}
	if len(arg) == 16 && strings.Trim(strings.ToUpper(arg), "0123456789ABCDEF") == "" {
		return imagestore.PublicKey{}, withHint(fmt.Errorf("key %s was never trusted here", strings.ToUpper(arg)), "`griddle key list` shows those that were.")
	}
	k, err := publicKey(arg)
	if err != nil {
		return k, usage(err)
	}
	return k, nil
}

// askRevoke shows what will be lost and asks whether it may.
func askRevoke(e *env, r RevokedKey) error {
	if len(r.Images) == 0 {
		fmt.Fprintf(e.stderr, "No image needs key %s to be installed.\n", r.ID)
	} else {
		fmt.Fprintf(e.stderr, "Without key %s these images cannot be installed any more:\n  %s\n", r.ID, strings.Join(r.Images, "\n  "))
	}
	return confirm(e, false, fmt.Sprintf("revoking key %s", r.ID), "Revoke it?")
}

// confirm asks a person on the terminal whether what doing says may be done. It returns nil where yes does, the answer to all such
// questions, or the person; without a terminal nothing is done either.
func confirm(e *env, yes bool, doing, question string) error {
	if yes {
		return nil
	}
	f, ok := e.stdin.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return withHint(usagef("%s: this asks before it goes on, and standard input is not a terminal", doing), "Add --yes to do it without a question.")
	}
	fmt.Fprintf(e.stderr, "%s [y/N] ", question)
	line, err := bufio.NewReader(f).ReadString('\n')
	if a := strings.ToLower(strings.TrimSpace(line)); a == "y" || a == "yes" {
		return nil
	}
	if err != nil && line == "" {
		fmt.Fprintln(e.stderr)
	}
	return fmt.Errorf("%s: cancelled, nothing was changed", doing)
}
