// Package key is `griddle key`: it makes keys, and says whose signatures count. Signing finds the key that signs what is published.
package key

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"griddle/appliance/griddle/cli"
	"griddle/imagestore/minisign"
)

// Command is `griddle key`.
func Command(e *cli.Env) *cobra.Command {
	return cli.Group("key", "Make keys, and say whose signatures count", "Make keys, and say whose signatures count in a store and for which images.",
		newCommand(e),
		listCommand(e),
		trustCommand(e),
		revokeCommand(e),
		tokenCommand(e),
	)
}

// NewKey is the result of `griddle key new -o json`.
type NewKey struct {
	ID     string `json:"id"`
	Key    string `json:"key"`    // the public one, base64
	Secret string `json:"secret"` // path of the secret key's file
	Public string `json:"public"` // path of the public key's file
}

func newCommand(e *cli.Env) *cobra.Command {
	var out cli.Output
	var password bool
	c := &cobra.Command{
		Use:   "new [FILE]",
		Short: "Make a pair of keys, and print the public one",
		Long: "Make a pair of keys that sign and check images, and print the public one. FILE becomes the secret key, with mode 0600, and\n" +
			"the same name with .pub the public one; what is there already is not replaced. Both are in minisign's format, so\n" +
			"that `minisign` can use them. FILE is the publisher's key, ~/.config/griddle/publisher.key, unless it is said.",
		Example: "  griddle key new\n  griddle key new team.key --password",
		Args:    cobra.MaximumNArgs(1),
	}
	out.Add(c)
	c.Flags().BoolVar(&password, "password", false, "ask, twice, for a password that encrypts the secret key")
	c.RunE = func(c *cobra.Command, args []string) error {
		path, err := cli.PublisherPath(e, append(args, "")[0])
		if err != nil {
			return err
		}
		var secret string
		if password {
			if secret, err = newPassword(e); err != nil {
				return err
			}
		}
		k, public, err := minisign.MakeKey(path, secret)
		if errors.Is(err, fs.ErrExist) {
			return cli.WithHint(err, "Name another file, or move that one away: what it signed needs it no more, but what comes next may.")
		}
		if err != nil {
			return err
		}
		if out.JSON() {
			return cli.WriteJSON(e.Stdout, NewKey{k.Public().ID(), k.Public().String(), path, public})
		}
		fmt.Fprintf(e.Stderr, "key %s: secret in %s, public in %s\n", k.Public().ID(), path, public)
		_, err = fmt.Fprintln(e.Stdout, k.Public())
		return err
	}
	return c
}

// newPassword asks twice, so that a slip of the finger does not lock anybody out.
func newPassword(e *cli.Env) (string, error) {
	f, ok := e.Stdin.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return "", cli.WithHint(cli.Usagef("nobody is there to be asked for a password"), "Run it on a terminal, or make the key with `minisign -G`.")
	}
	ask := func(prompt string) (string, error) {
		fmt.Fprint(e.Stderr, prompt)
		b, err := term.ReadPassword(int(f.Fd()))
		fmt.Fprintln(e.Stderr)
		return string(b), err
	}
	first, err := ask("Password of the new key: ")
	if err != nil {
		return "", fmt.Errorf("reading the password: %w", err)
	}
	again, err := ask("Once more: ")
	switch {
	case err != nil:
		return "", fmt.Errorf("reading the password: %w", err)
	case first == "":
		return "", errors.New("the password is empty: no key was made")
	case first != again:
		return "", errors.New("the passwords differ: no key was made")
	}
	return first, nil
}
