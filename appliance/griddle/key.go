package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"griddle/appliance/job"
	"griddle/imagestore"
)

// keyCommand is `griddle key`.
func keyCommand(e *env) *cobra.Command {
	return group("key", "Make keys, and say whose signatures count", "Make keys, and say whose signatures count in a store and for which images.",
		keyNewCommand(e),
		keyListCommand(e),
		keyTrustCommand(e),
		keyRevokeCommand(e),
		keyTokenCommand(e),
	)
}

// NewKey is the result of `griddle key new -o json`.
type NewKey struct {
	ID     string `json:"id"`
	Key    string `json:"key"`    // the public one, base64
	Secret string `json:"secret"` // path of the secret key's file
	Public string `json:"public"` // path of the public key's file
}

func keyNewCommand(e *env) *cobra.Command {
	var out outputFlag
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
	out.add(c)
	c.Flags().BoolVar(&password, "password", false, "ask, twice, for a password that encrypts the secret key")
	c.RunE = func(c *cobra.Command, args []string) error {
		path, err := publisherPath(e, append(args, "")[0])
		if err != nil {
			return err
		}
		var secret string
		if password {
			if secret, err = newPassword(e); err != nil {
				return err
			}
		}
		k, public, err := imagestore.MakeKey(path, secret)
		if errors.Is(err, fs.ErrExist) {
			return withHint(err, "Name another file, or move that one away: what it signed needs it no more, but what comes next may.")
		}
		if err != nil {
			return err
		}
		if out.json() {
			return writeJSON(e.stdout, NewKey{k.Public().ID(), k.Public().String(), path, public})
		}
		fmt.Fprintf(e.stderr, "key %s: secret in %s, public in %s\n", k.Public().ID(), path, public)
		_, err = fmt.Fprintln(e.stdout, k.Public())
		return err
	}
	return c
}

// newPassword asks twice, so that a slip of the finger does not lock anybody out.
func newPassword(e *env) (string, error) {
	f, ok := e.stdin.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return "", withHint(usagef("nobody is there to be asked for a password"), "Run it on a terminal, or make the key with `minisign -G`.")
	}
	ask := func(prompt string) (string, error) {
		fmt.Fprint(e.stderr, prompt)
		b, err := term.ReadPassword(int(f.Fd()))
		fmt.Fprintln(e.stderr)
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

func keyListCommand(e *env) *cobra.Command {
	var store storeFlags
	var out outputFlag
	c := &cobra.Command{
		Use:   "list",
		Short: "List the keys that a store trusts, and those that it revoked",
		Args:  cobra.NoArgs,
	}
	store.add(c)
	out.add(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		st, err := openStore(e, store, false)
		if err != nil {
			return err
		}
		keys, err := st.Keys(c.Context())
		if err != nil {
			return err
		}
		if out.json() {
			return writeJSON(e.stdout, keys)
		}
		var rows [][]string
		for _, k := range keys {
			since := k.Since.Format(time.DateOnly)
			if k.Revoked != nil {
				since = "revoked " + k.Revoked.Format(time.DateOnly)
			}
			rows = append(rows, []string{k.ID, maySign(k), since, fmt.Sprint(k.Images), job.Sentence(k.Comment)})
		}
		return writeTable(e.stdout, []string{"KEY", "MAY SIGN", "TRUSTED SINCE", "IMAGES", "COMMENT"}, rows)
	}
	return c
}

// maySign says for people what a key's signatures count for.
func maySign(k imagestore.ListedKey) string {
	switch {
	case k.Revoked != nil:
		return "nothing"
	case k.Site:
		return "streams, the catalog"
	case k.Streams:
		return "streams"
	case len(k.Prefixes) > 0:
		return strings.Join(k.Prefixes, " ")
	}
	return "everything"
}

// publisherPath is the file of the publisher's key, where path does not name one.
func publisherPath(e *env, path string) (string, error) {
	if path != "" {
		return path, nil
	}
	dir, err := homeDir(e, "XDG_CONFIG_HOME", ".config")
	if err != nil {
		return "", err
	}
	if dir == "" {
		return "", usagef("neither HOME nor a file's name says where the publisher's key is")
	}
	return filepath.Join(dir, "griddle", "publisher.key"), nil
}

// homeDir is a directory of the XDG base directory specification: what the variable says, else the one below HOME, else "".
func homeDir(e *env, variable, below string) (string, error) {
	if dir := e.getenv(variable); dir != "" {
		if !filepath.IsAbs(dir) {
			return "", usagef("%s is %q, which is not an absolute path", variable, dir)
		}
		return dir, nil
	}
	if home := e.getenv("HOME"); home != "" {
		return filepath.Join(home, below), nil
	}
	return "", nil
}
