package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"griddle/appliance"
	"griddle/imagestore"
)

// storeFlags say which image store a command works on.
type storeFlags struct {
	dir, server, tokenFile, ca string
}

func (f *storeFlags) add(c *cobra.Command) {
	c.Flags().StringVar(&f.dir, "store", "", "local image store `DIR` (default "+appliance.DefaultConfig().StoreDir()+")")
	c.Flags().StringVar(&f.server, "server", "", "image store of the appliance at `URL`, https://HOST:8443 (env GRIDDLE_SERVER)")
	c.Flags().StringVar(&f.tokenFile, "token-file", "", "`FILE` with the server's administrator's token (env GRIDDLE_TOKEN_FILE)")
	c.Flags().StringVar(&f.ca, "ca", "", "`FILE` with the server's CA, a copy of its ca.pem (env GRIDDLE_CA)")
}

// openStore opens the store that the flags, or else the environment, name. Where create is false a local store must be
// there already.
func openStore(e *env, f storeFlags, create bool) (*imagestore.Store, error) {
	if f.dir != "" && f.server != "" {
		return nil, usagef("--store and --server exclude each other")
	}
	server := f.server
	if server == "" && f.dir == "" {
		server = e.getenv("GRIDDLE_SERVER")
	}
	if server != "" {
		return openServer(e, f, server)
	}
	dir := f.dir
	if dir == "" {
		dir = appliance.DefaultConfig().StoreDir()
	}
	if _, err := os.Stat(dir); !create && errors.Is(err, os.ErrNotExist) {
		return nil, withHint(fmt.Errorf("opening store: there is none in %s", dir),
			"Name one with --store DIR or --server URL, or make one with `griddle publish`.")
	}
	st, err := imagestore.Open(dir)
	if err != nil {
		return nil, err
	}
	// What the store derives is signed by whoever works on it. Without a key it derives nothing, and says so then.
	if path, err := publisherPath(e, ""); err == nil {
		if k, err := imagestore.ReadKey(path, nil); err == nil {
			st.Key = k
		}
	}
	return st, nil
}

func openServer(e *env, f storeFlags, server string) (*imagestore.Store, error) {
	r := &remote{e: e, server: server, token: f.tokenFile, ca: f.ca, stateDir: appliance.DefaultConfig().StateDir}
	base, token, conf, err := r.access()
	if err != nil {
		return nil, err
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = conf
	o := imagestore.ServerOptions{URL: base, Token: token, Client: &http.Client{Transport: transport}, Pin: "ca " + r.caDigest}
	if o.Seen, err = seenDir(e); err != nil {
		return nil, err
	}
	st, err := imagestore.OpenServer(o)
	if err != nil {
		return nil, usageError{err}
	}
	return st, nil
}

// seenDir is where the user's commands remember sites' catalogs; nil where there is no home directory.
func seenDir(e *env) (*imagestore.SeenDir, error) {
	state, err := homeDir(e, "XDG_STATE_HOME", filepath.Join(".local", "state"))
	if err != nil || state == "" {
		return nil, err
	}
	return imagestore.OpenSeenDir(filepath.Join(state, "griddle", "seen")), nil
}

// publisherKey reads the key that signs, or makes it the first time.
func publisherKey(e *env, path string) (k *imagestore.SecretKey, made bool, err error) {
	if path, err = publisherPath(e, path); err != nil {
		return nil, false, err
	}
	k, made, err = imagestore.LoadOrMakeKey(path)
	if err == nil {
		return k, made, nil
	}
	if f, ok := e.stdin.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		k, err = imagestore.ReadKey(path, func() (string, error) {
			fmt.Fprintf(e.stderr, "Password of %s: ", path)
			b, err := term.ReadPassword(int(f.Fd()))
			fmt.Fprintln(e.stderr)
			return string(b), err
		})
	}
	return k, false, err
}

// signingKey is the publisher's key that signs ref, which the store trusts, or does from now on where trustKey says so.
func signingKey(ctx context.Context, e *env, st *imagestore.Store, path string, ref imagestore.Ref, trust bool) (*imagestore.SecretKey, error) {
	key, made, err := publisherKey(e, path)
	if err != nil {
		return nil, err
	}
	if err := trustKey(ctx, e, st, key, made, trust); err != nil {
		return nil, err
	}
	if err := st.MaySign(ctx, key.Public(), ref); err != nil {
		return nil, withHint(err, "Who may sign what is said by `griddle key trust`.")
	}
	return key, nil
}

// spoolDir is where copies of what is published lie meanwhile; "" for the default.
func spoolDir(e *env) string {
	if tmp := e.getenv("TMPDIR"); tmp != "" {
		return filepath.Join(tmp, "griddle-spool")
	}
	return ""
}

// trustKey sees to it that the store counts the key's signatures: on a new key's first use, in a store that trusts nobody
// yet, or where it is asked for.
func trustKey(ctx context.Context, e *env, st *imagestore.Store, k *imagestore.SecretKey, made, asked bool) error {
	trusted, err := st.Trusted(ctx)
	if err != nil {
		return err
	}
	public := k.Public()
	if slices.Contains(trusted.Keys(), public) {
		return nil
	}
	if !made && !asked && len(trusted.Keys()) > 0 {
		return withHint(fmt.Errorf("the store does not trust the publisher's key %s", public.ID()), "To make it trusted, publish with --trust-key.")
	}
	err = st.TrustKey(ctx, public)
	if errors.Is(err, imagestore.ErrRevoked) {
		return withHint(err, "If it is safe after all, see `griddle key trust --again`.")
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(e.stderr, "The store now trusts the publisher's key %s.\n", public.ID())
	return nil
}

// isTerminal says whether w is one.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
