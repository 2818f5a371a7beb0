// Package key is `griddle key`: it makes keys, and says whose signatures count. Signing finds the key that signs what
// is published.
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
	return cli.Group("key", "Make keys, and choose which keys a store trusts",
		"Make keys, and choose which keys a store trusts, for all images or for some.",
		newCommand(e),
		listCommand(e),
		trustCommand(e),
		revokeCommand(e),
		tokenCommand(e),
		caCommand(e),
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
	var password bool
	c := &cobra.Command{
		Use:   "new [FILE]",
		Short: "Make a pair of keys, and print the public one",
		Long: "Make a pair of keys to sign and verify images, and print the public one. The secret key is written\n" +
			"to FILE, with mode 0600, and the public one beside it with .pub added to the name; existing files\n" +
			"are not replaced. Both are in minisign's format, so that `minisign` can use them. The default FILE\n" +
			"is the publisher's key, ~/.config/griddle/publisher.key.",
		Example: "  griddle key new\n  griddle key new team.key --password",
		Args:    cobra.MaximumNArgs(1),
	}
	c.Flags().BoolVar(&password, "password", false, "ask for a password that encrypts the secret key")
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
			return cli.WithHint(err, "Name another file, or move the old key away. Signed images do not need the "+
				"secret key any more; new versions do.")
		}
		if err != nil {
			return err
		}
		e.Say(fmt.Sprintf("key %s: secret in %s, public in %s", k.Public().ID(), path, public))
		return e.Printf(NewKey{k.Public().ID(), k.Public().String(), path, public}, "%s", k.Public())
	}
	return c
}

// newPassword asks twice, so that a typing mistake locks no one out.
func newPassword(e *cli.Env) (string, error) {
	f, ok := e.Stdin.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return "", cli.WithHint(cli.Usagef("--password asks for one, and standard input is not a "+
			"terminal"), "Run it on a terminal, or make the key with `minisign -G`.")
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
