package main

import (
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"griddle/appliance"
	"griddle/imagestore"
	"griddle/imagestore/catalog"
	"griddle/imagestore/document"
	"griddle/imagestore/minisign"
	"griddle/imagestore/remote"
	"griddle/imagestore/source/sourcetest"
)

// TestKeyScripts runs testdata/key/*.txtar with the commands of programCommands. A script has an empty btrfs at
// $BTRFS, and a server behind $SERVER, with $GRIDDLE_TOKEN_FILE and $GRIDDLE_CA, whose store is $WORK/site/store and
// whose site's key, of ID $SITE, is in $WORK/site. $MIRROR serves the same store and has no key.
func TestKeyScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:  "testdata/key",
		Cmds: programCommands(),
		Setup: func(e *testscript.Env) error {
			e.Setenv("BTRFS", sourcetest.Btrfs(t))
			e.Setenv("HOME", filepath.Join(e.WorkDir, "home"))
			open, err := os.MkdirTemp("/tmp", "griddle-open-")
			if err != nil {
				return err
			}
			t.Cleanup(func() { os.RemoveAll(open) })
			e.Setenv("OPEN", open)
			return serveSite(t, e)
		},
	})
}

// serveSite puts a store that a site signs behind TLS.
func serveSite(t *testing.T, e *testscript.Env) error {
	dir := filepath.Join(e.WorkDir, "site")
	key, _, err := minisign.LoadOrMakeKey(filepath.Join(dir, appliance.SiteKeyFile))
	if err != nil {
		return err
	}
	st, err := imagestore.Open(filepath.Join(dir, "store"))
	if err != nil {
		return err
	}
	if err := st.Grant(t.Context(), catalog.Granting{Key: document.SiteGrant(key.Public()).String(),
		Comment: "this site"}); err != nil {
		return err
	}
	if err := st.KeepHead(t.Context(), key, 1000*time.Hour); err != nil {
		return err
	}
	srv := serveTLS(t, st)
	files, err := imagestore.Open(filepath.Join(dir, "store"))
	if err != nil {
		return err
	}
	mirror := serveTLS(t, files)
	token, ca := filepath.Join(dir, "token"), filepath.Join(dir, "ca.pem")
	if err := os.WriteFile(token, []byte("secret\n"), 0o600); err != nil {
		return err
	}
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}),
		0o644); err != nil {
		return err
	}
	for name, value := range map[string]string{"SERVER": srv.URL, "MIRROR": mirror.URL, "GRIDDLE_TOKEN_FILE": token,
		"GRIDDLE_CA": ca, "SITE": key.Public().ID()} {
		e.Setenv(name, value)
	}
	return nil
}

func serveTLS(t *testing.T, st *imagestore.Store) *httptest.Server {
	srv := httptest.NewTLSServer(remote.Handler(st, func(r *http.Request) error {
		if r.Header.Get("Authorization") != "Bearer secret" {
			return errors.New("the token is wrong")
		}
		return nil
	}))
	t.Cleanup(srv.Close)
	return srv
}
