package cli

import (
	"encoding/pem"
	"io"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"griddle/appliance"
	"griddle/appliance/authority"
	"griddle/appliance/config"
	"griddle/appliance/remotes"
)

// TestOwnTokenIsForTheOwnServer names another server's CA on the host of a server: the server's own token is
// not shown to it.
func TestOwnTokenIsForTheOwnServer(t *testing.T) {
	state := t.TempDir()
	srv := httptest.NewTLSServer(nil)
	defer srv.Close()
	ca := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}))
	other, copied, token := filepath.Join(t.TempDir(), "other.pem"), filepath.Join(t.TempDir(), "copy.pem"),
		filepath.Join(t.TempDir(), "token")
	for path, text := range map[string]string{filepath.Join(state, appliance.TokenFile): "own", filepath.Join(state,
		authority.File): ca, other: ca + "\n", copied: ca, token: "theirs"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct{ ca, token, want string }{{"", "", "own"}, {copied, "", "own"}, {other, "", ""}, {other,
		token, "theirs"}} {
		r := &Remote{e: &Env{Stderr: io.Discard, Getenv: func(string) string { return "" }},
			server: "https://192.0.2.1:8443", ca: c.ca, token: c.token, stateDir: state}
		if _, got, _, err := r.Access(); got != c.want || (err == nil) != (c.want != "") {
			t.Errorf("with CA %q and token %q it takes %q, %v, want %q", c.ca, c.token, got, err, c.want)
		}
	}
}

// TestWhichServer has a current server, another one and variables: flags win over variables, and these over what is
// saved. A saved token is shown only to the server that it is saved for.
func TestWhichServer(t *testing.T) {
	srv := httptest.NewTLSServer(nil)
	defer srv.Close()
	ca := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}))
	home := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	token, same, other := file("token", "given"), file("ca.pem", ca), file("other.pem", ca+"\n")
	if err := remotes.Update(t.Context(), filepath.Join(home, "griddle", "remotes.json"),
		func(f *remotes.File) error {
			f.Current = "lab"
			f.Servers["lab"] = remotes.Server{URL: "https://lab:8443", CA: ca, Token: "lab's"}
			f.Servers["room"] = remotes.Server{URL: "https://room:8443", CA: ca, Token: "room's"}
			f.Servers["out"] = remotes.Server{URL: "https://out:8443", CA: ca}
			return nil
		}); err != nil {
		t.Fatal(err)
	}
	const lab, room = "https://lab:8443", "https://room:8443"
	named := map[string]string{"GRIDDLE_REMOTE": "room"}
	server := map[string]string{"GRIDDLE_SERVER": room, "GRIDDLE_TOKEN_FILE": token}
	for name, c := range map[string]struct {
		r           Remote
		env         map[string]string
		base, token string // "" for an error
		reads       string // the token where none is needed
	}{
		"the current one":          {Remote{}, nil, lab, "lab's", "lab's"},
		"--remote":                 {Remote{name: "room"}, nil, room, "room's", "room's"},
		"--remote and variables":   {Remote{name: "lab"}, server, lab, "lab's", "lab's"},
		"variable":                 {Remote{}, named, room, "room's", "room's"},
		"variables":                {Remote{}, server, room, "given", "given"},
		"--server of a saved one":  {Remote{server: "https://Room:8443/"}, nil, "", "room's", "room's"},
		"--server and a token":     {Remote{server: room, token: token}, nil, room, "given", "given"},
		"the same CA":              {Remote{name: "room", ca: same}, nil, room, "room's", "room's"},
		"another CA":               {Remote{name: "room", ca: other}, nil, "", "", ""},
		"another CA and a token":   {Remote{name: "room", ca: other, token: token}, nil, room, "given", "given"},
		"logged out":               {Remote{name: "out"}, nil, "", "", ""},
		"unknown":                  {Remote{name: "cellar"}, nil, "", "", "-"},
		"two":                      {Remote{name: "room", server: room}, nil, "", "", "-"},
		"local, which is not here": {Remote{name: "local"}, nil, "", "", "-"},
	} {
		for _, reads := range []bool{false, true} {
			r := c.r
			r.e = &Env{Stderr: io.Discard, Getenv: func(v string) string {
				if v == "XDG_CONFIG_HOME" {
					return home
				}
				return c.env[v]
			}}
			if r.reads = reads; r.stateDir == "" {
				r.stateDir = config.Default().StateDir
			}
			want, ok := c.token, c.token != ""
			if reads {
				want, ok = c.reads, c.reads != "-"
			}
			base, got, _, err := r.Access()
			if (err == nil) != ok || ok && (got != want || c.base != "" && base != c.base) {
				t.Errorf("%s, reads %v: %q with the token %q, %v, want %q with %q", name, reads, base, got, err, c.base,
					want)
			}
		}
	}
}
