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
