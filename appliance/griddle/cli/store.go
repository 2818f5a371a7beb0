package cli

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"griddle/appliance/config"
	"griddle/imagestore"
	"griddle/imagestore/minisign"
	"griddle/imagestore/remote"
)

// StoreFlags say which image store a command works on.
type StoreFlags struct {
	Dir, Server, TokenFile, CA string

	Remote string // name of one of the user's servers
}

// Add adds --store and --server, with what it takes to reach a server, to c.
func (f *StoreFlags) Add(c *cobra.Command) {
	c.Flags().StringVar(&f.Dir, "store", "", "local image store `DIR` (default "+config.Default().StoreDir()+")")
	c.Flags().StringVar(&f.Remote, "remote", "", "`NAME` of a server that `griddle remote list` shows, or local for "+
		"this host's store (env GRIDDLE_REMOTE)")
	c.Flags().StringVar(&f.Server, "server", "", "`URL` of the server whose store to use, https://HOST:8443 "+
		"(env GRIDDLE_SERVER)")
	c.Flags().StringVar(&f.TokenFile, "token-file", "", "`FILE` with a token of an admin or a publisher; "+
		"only changes need one (env GRIDDLE_TOKEN_FILE)")
	c.Flags().StringVar(&f.CA, "ca", "", "`FILE` with the server's CA, a copy of its ca.pem (env GRIDDLE_CA)")
	_ = c.MarkFlagDirname("store")
	_ = c.MarkFlagFilename("ca", "pem")
}

// Where returns the server or the directory that the flags, the environment or the user's servers name.
func (f *StoreFlags) Where(e *Env) string {
	server, r, err := f.server(e)
	switch {
	case f.Dir != "":
		return f.Dir
	case err == nil && server != "":
		return server
	case err == nil && r != nil:
		if _, known, err := r.known(""); err == nil {
			return known.URL
		}
	}
	return config.Default().StoreDir()
}

// server returns the URL that the flags or the environment name, or else the one of the user's servers that they name
// or that is current, or neither for the local store.
func (f *StoreFlags) server(e *Env) (string, *Remote, error) {
	server := f.Server
	if server == "" && f.Dir == "" {
		server = e.Getenv("GRIDDLE_SERVER")
	}
	if f.Remote != "" && (f.Dir != "" || f.Server != "") || f.Dir != "" && f.Server != "" {
		return "", nil, Usagef("--store, --server and --remote exclude each other")
	}
	if f.Dir != "" || server != "" && f.Remote == "" {
		return server, nil, nil
	}
	r := &Remote{e: e, token: f.TokenFile, ca: f.CA, name: f.Remote, stateDir: config.Default().StateDir}
	name, _, err := r.known("")
	if err != nil || name == "" {
		return "", nil, err
	}
	return "", r, nil
}

// OpenStore opens the store that the flags, the environment or the user's servers name. If create is false, a local
// store must exist.
func OpenStore(e *Env, f StoreFlags, create bool) (*imagestore.Store, error) {
	server, r, err := f.server(e)
	if err != nil {
		return nil, err
	}
	if server != "" {
		return OpenServer(e, f, server, create)
	}
	if r != nil {
		r.reads = !create
		return r.store()
	}
	dir := f.Dir
	if dir == "" {
		dir = config.Default().StoreDir()
	}
	var st *imagestore.Store
	if create {
		st, err = imagestore.Open(dir)
	} else {
		st, err = ExistingStore(e, dir)
	}
	if err != nil {
		return nil, explainStore(err)
	}
	// What the store derives is signed by its user. Without a key it derives nothing, and says so then.
	if path, err := PublisherPath(e, ""); err == nil {
		k, err := minisign.ReadKey(path, nil)
		if err == nil {
			st.Key = k
		}
		if errors.Is(err, minisign.ErrExposed) {
			e.Warn(err.Error())
		}
	}
	return st, nil
}

// ExistingStore opens a local store that must exist.
func ExistingStore(e *Env, dir string) (*imagestore.Store, error) {
	st, err := imagestore.OpenExisting(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, WithHint(fmt.Errorf("opening store: there is no store in %s", dir),
			"Name one with --store DIR or --server URL, or make one with `griddle publish`.")
	}
	if err != nil {
		return nil, explainStore(err)
	}
	st.Spool = e.Getenv("TMPDIR")
	return st, nil
}

// OpenServer opens the store of a server. A token is required only to write; without one the server refuses
// changes.
func OpenServer(e *Env, f StoreFlags, server string, write bool) (*imagestore.Store, error) {
	return (&Remote{e: e, server: server, token: f.TokenFile, ca: f.CA, stateDir: config.Default().StateDir,
		reads: !write}).store()
}

// store opens the store of the server.
func (r *Remote) store() (*imagestore.Store, error) {
	e := r.e
	base, token, conf, err := r.Access()
	if err != nil {
		return nil, err
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = conf
	o := remote.ServerOptions{URL: base, Token: token, Client: &http.Client{Transport: transport}, Pin: "ca " +
		r.caDigest}
	if o.Seen, err = SeenDir(e); err != nil {
		return nil, err
	}
	if state, err := HomeDir(e, "XDG_STATE_HOME", filepath.Join(".local", "state")); err == nil && state != "" {
		o.Copies = filepath.Join(state, "griddle", "copies")
	}
	st, err := remote.Open(o)
	if err != nil {
		return nil, Usage(err)
	}
	return st, nil
}
