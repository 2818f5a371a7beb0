package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"griddle/appliance"
	"griddle/imagestore"
	"griddle/imagestore/blob"
)

// storeFlags say which image store a command works on.
type storeFlags struct {
	dir, server, tokenFile, ca string
}

func (f *storeFlags) add(c *cobra.Command) {
	c.Flags().StringVar(&f.dir, "store", "", "local image store `DIR` (default "+appliance.DefaultConfig().StoreDir()+")")
	c.Flags().StringVar(&f.server, "server", "", "image store of the appliance at `URL`, https://HOST:8443 (env GRIDDLE_SERVER)")
	c.Flags().StringVar(&f.tokenFile, "token-file", "", "`FILE` with a token of the server, the administrator's or a publisher's; reading takes none (env GRIDDLE_TOKEN_FILE)")
	c.Flags().StringVar(&f.ca, "ca", "", "`FILE` with the server's CA, a copy of its ca.pem (env GRIDDLE_CA)")
}

// where is the server, or the directory, that the flags, or else the environment, name.
func (f *storeFlags) where(e *env) string {
	switch {
	case f.dir != "":
		return f.dir
	case f.server != "":
		return f.server
	case e.getenv("GRIDDLE_SERVER") != "":
		return e.getenv("GRIDDLE_SERVER")
	}
	return appliance.DefaultConfig().StoreDir()
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
		return openServer(e, f, server, create)
	}
	dir := f.dir
	if dir == "" {
		dir = appliance.DefaultConfig().StoreDir()
	}
	var st *imagestore.Store
	var err error
	if create {
		st, err = imagestore.Open(dir)
	} else {
		st, err = existingStore(e, dir)
	}
	if err != nil {
		return nil, explainStore(err)
	}
	// What the store derives is signed by whoever works on it. Without a key it derives nothing, and says so then.
	if path, err := publisherPath(e, ""); err == nil {
		k, err := imagestore.ReadKey(path, nil)
		if err == nil {
			st.Key = k
		}
		if errors.Is(err, imagestore.ErrExposed) {
			e.warn(err.Error())
		}
	}
	return st, nil
}

// existingStore opens a local store that must be there already.
func existingStore(e *env, dir string) (*imagestore.Store, error) {
	st, err := imagestore.OpenExisting(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, withHint(fmt.Errorf("opening store: there is none in %s", dir),
			"Name one with --store DIR or --server URL, or make one with `griddle publish`.")
	}
	if err != nil {
		return nil, explainStore(err)
	}
	st.Spool = e.getenv("TMPDIR")
	return st, nil
}

// explainStore says what to do where a store cannot be opened, read or changed for want of rights.
func explainStore(err error) error {
	switch {
	case hintOf(err) != "":
		return err
	case errors.Is(err, imagestore.ErrReadOnly) && errors.Is(err, syscall.EROFS):
		return withHint(err, "It is on a filesystem that is mounted read-only: work on another store, or mount it for writing.")
	case errors.Is(err, blob.ErrDenied):
		return withHint(err, "Give the administrator's token with --token-file FILE, or in GRIDDLE_TOKEN_FILE; it is in the state directory of `griddle serve`.")
	case errors.Is(err, imagestore.ErrReadOnly):
		return withHint(err, "Run this as the store's owner or as root.")
	case errors.Is(err, fs.ErrPermission) && os.Geteuid() != 0 && strings.HasPrefix(err.Error(), "opening store: "):
		return withHint(err, "The directory belongs to another user: run this as root, or name a store of your own with --store DIR.")
	}
	return err
}

// openServer opens the store of an appliance. Only where it is to be written a token must be there; without one the server
// refuses what changes something.
func openServer(e *env, f storeFlags, server string, write bool) (*imagestore.Store, error) {
	r := &remote{e: e, server: server, token: f.tokenFile, ca: f.ca, stateDir: appliance.DefaultConfig().StateDir, reads: !write}
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
	if state, err := homeDir(e, "XDG_STATE_HOME", filepath.Join(".local", "state")); err == nil && state != "" {
		o.Copies = filepath.Join(state, "griddle", "copies")
	}
	st, err := imagestore.OpenServer(o)
	if err != nil {
		return nil, usage(err)
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

// spoolDir is where copies of what is published lie meanwhile; "" for the default.
func spoolDir(e *env) string {
	if tmp := e.getenv("TMPDIR"); tmp != "" {
		return filepath.Join(tmp, "griddle-spool")
	}
	return ""
}

// isTerminal says whether w is one.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
