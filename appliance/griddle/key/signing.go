package key

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"golang.org/x/term"

	"griddle/appliance/griddle/cli"
	"griddle/imagestore"
	"griddle/imagestore/catalog"
	"griddle/imagestore/minisign"
	"griddle/imagestore/ref"
)

// Signing is the publisher's key that signs ref. path is what --key says, "" for the publisher's own. A key is made
// here in one case alone: the first publication to a new local store, without --key. A store counts a key's
// signatures from now on where trust says so, and a new local store those of the first key that publishes there.
func Signing(ctx context.Context, e *cli.Env, st *imagestore.Store, path string, name ref.Ref,
	trust bool) (*minisign.SecretKey, error) {
	first, err := firstPublication(ctx, st)
	if err != nil {
		return nil, err
	}
	key, err := publisherKey(e, path, first)
	if err != nil {
		return nil, err
	}
	if err := trustKey(ctx, e, st, key, trust || first); err != nil {
		return nil, err
	}
	if err := st.MaySign(ctx, key.Public(), name); err != nil {
		return nil, cli.WithHint(err, "`griddle key list` shows who may sign what, and `griddle key trust` changes it.")
	}
	return key, nil
}

// firstPublication says whether st is a local store that no publisher's key was ever trusted in. Over a server it is
// never the first: a typing error in a path must not decide whom a site trusts.
func firstPublication(ctx context.Context, st *imagestore.Store) (bool, error) {
	if st.Dir() == "" {
		return false, nil
	}
	keys, err := st.Keys(ctx)
	if err != nil {
		return false, err
	}
	return !slices.ContainsFunc(keys, func(k catalog.ListedKey) bool { return !k.Site && !k.Streams }), nil
}

// publisherKey reads the key that signs. Where mayMake is set and path is "", it makes the publisher's own if there
// is none.
func publisherKey(e *cli.Env, path string, mayMake bool) (*minisign.SecretKey, error) {
	named := path != ""
	path, err := cli.PublisherPath(e, path)
	if err != nil {
		return nil, err
	}
	if mayMake && !named {
		k, _, err := minisign.LoadOrMakeKey(path)
		return askedKey(e, path, k, err)
	}
	if named {
		if err := CheckFile(path); err != nil {
			return nil, err
		}
	}
	k, err := minisign.ReadKey(path, nil)
	if !errors.Is(err, fs.ErrNotExist) {
		return askedKey(e, path, k, err)
	}
	return nil, cli.WithHint(err, "Make one with `griddle key new`. The store must trust it too: `griddle key "+
		"trust` with the .pub file, or publish with --trust-key.")
}

// CheckFile returns an error where --key names a file that does not exist. What is expensive comes after it.
func CheckFile(path string) error {
	_, err := os.Stat(path)
	if path == "" || !errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return cli.WithHint(fmt.Errorf("reading the key %s: no such file", path), "`griddle key new %s` makes one; "+
		"`griddle key trust` says what it may sign.", path)
}

// askedKey reads the key again, with its password, where it could not be read without one and there is a terminal.
func askedKey(e *cli.Env, path string, k *minisign.SecretKey, err error) (*minisign.SecretKey, error) {
	f, ok := e.Stdin.(*os.File)
	if err == nil || errors.Is(err, minisign.ErrExposed) || !ok || !term.IsTerminal(int(f.Fd())) {
		return k, err
	}
	return minisign.ReadKey(path, func() (string, error) {
		fmt.Fprintf(e.Stderr, "Password of %s: ", path)
		b, err := term.ReadPassword(int(f.Fd()))
		fmt.Fprintln(e.Stderr)
		return string(b), err
	})
}

// trustKey makes the store count the key's signatures, where that is asked for and it does not yet.
func trustKey(ctx context.Context, e *cli.Env, st *imagestore.Store, k *minisign.SecretKey, asked bool) error {
	trusted, err := st.Trusted(ctx)
	if err != nil {
		return err
	}
	public := k.Public()
	if slices.Contains(trusted.Keys(), public) {
		return nil
	}
	if !asked {
		return cli.WithHint(fmt.Errorf("the store does not trust the publisher's key %s", public.ID()),
			"Trust it with `griddle key trust`, for all images or for some, or add --trust-key to trust it for all.")
	}
	err = st.TrustKey(ctx, public)
	if errors.Is(err, catalog.ErrRevoked) {
		return cli.WithHint(err, "If the key is safe, trust it again with `griddle key trust --again`.")
	}
	if err != nil {
		return err
	}
	e.Say(fmt.Sprintf("the store now trusts the publisher's key %s", public.ID()))
	return nil
}

// WarnReaders says in one line who else on this host can read the images of a local store.
func WarnReaders(e *cli.Env, st *imagestore.Store) {
	if dir := st.Dir(); dir != "" {
		if who, fix := imagestore.Readers(dir); who != "" {
			e.Warn(fmt.Sprintf("%s of this host can read the images in %s; `%s` keeps them out", who, dir, fix))
		}
	}
}
