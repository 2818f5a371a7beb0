package main

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"griddle/appliance"
	"griddle/appliance/api"
	"griddle/appliance/job"
	"griddle/imagestore/blob"
)

// remote is where the appliance is and how it is spoken to. On the appliance's own host its state directory says it all.
type remote struct {
	e                           *env
	server, token, ca, stateDir string
	caDigest                    string // hex; after access
	reads                       bool   // a token is of use, and none is needed
}

// remoteFlags adds the flags that find the appliance to c and the commands below it.
func remoteFlags(e *env, c *cobra.Command) *remote {
	r := &remote{e: e}
	c.PersistentFlags().StringVar(&r.server, "server", "", "`URL` of the appliance, https://HOST:8443 (env GRIDDLE_SERVER)")
	c.PersistentFlags().StringVar(&r.token, "token-file", "", "`FILE` with the administrator's token (env GRIDDLE_TOKEN_FILE)")
	c.PersistentFlags().StringVar(&r.ca, "ca", "", "`FILE` with the appliance's CA, a copy of its ca.pem (env GRIDDLE_CA)")
	c.PersistentFlags().StringVar(&r.stateDir, "state-dir", appliance.DefaultConfig().StateDir, "appliance's state `DIR`, where this is its host")
	return r
}

// access returns what a client needs: base URL, token, and TLS with the pinned CA.
func (r *remote) access() (base, token string, conf *tls.Config, err error) {
	pick := func(flag, variable, inState string) string {
		switch {
		case flag != "":
			return flag
		case r.e.getenv(variable) != "":
			return r.e.getenv(variable)
		}
		return filepath.Join(r.stateDir, inState)
	}
	if base = r.server; base == "" {
		base = r.e.getenv("GRIDDLE_SERVER")
	}
	if base == "" {
		b, err := readSmall(filepath.Join(r.stateDir, appliance.URLFile))
		if err != nil {
			return "", "", nil, notHere(fmt.Errorf("finding the appliance: %w", err))
		}
		base = strings.TrimSpace(string(b))
	}
	if !strings.HasPrefix(base, "https://") {
		return "", "", nil, usagef("the server %q is not an https:// URL, and the token must not travel in the clear", base)
	}
	ca := pick(r.ca, "GRIDDLE_CA", appliance.CAFile)
	b, err := readSmall(ca)
	if err != nil {
		return "", "", nil, notHere(fmt.Errorf("reading the appliance's CA: %w", err))
	}
	if conf, err = job.PinnedTLS(b); err != nil {
		return "", "", nil, err
	}
	r.caDigest = fmt.Sprintf("%x", sha256.Sum256(b))
	tokenFile := pick(r.token, "GRIDDLE_TOKEN_FILE", appliance.TokenFile)
	if tokenFile == filepath.Join(r.stateDir, appliance.TokenFile) && r.token == "" {
		// This host's own token is for its own server, whose CA is beside it, and is shown to no other.
		if own, err := readSmall(filepath.Join(r.stateDir, appliance.CAFile)); err == nil && !bytes.Equal(own, b) {
			if r.reads {
				return base, "", conf, nil
			}
			return "", "", nil, withHint(usagef("no token is given for %s: the one in %s is another server's", base, r.stateDir), "Give --token-file FILE with a token of that server.")
		}
	}
	token, err = r.e.readToken("the administrator's token", tokenFile)
	named := r.token != "" || r.e.getenv("GRIDDLE_TOKEN_FILE") != ""
	if r.reads && !named && (errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission)) {
		return base, "", conf, nil
	}
	if err != nil {
		return "", "", nil, err
	}
	return base, token, conf, nil
}

// client makes the API's client.
func (r *remote) client() (*api.Client, error) {
	base, token, conf, err := r.access()
	if err != nil {
		return nil, err
	}
	return api.NewClient(base, token, conf), nil
}

// readToken reads the file of a token, called what, and warns where others can read it too.
func (e *env) readToken(what, path string) (string, error) {
	b, err := readSmall(path)
	if err != nil {
		return "", notHere(fmt.Errorf("reading %s: %w", what, err))
	}
	if st, err := os.Stat(path); err == nil && st.Mode().IsRegular() && st.Mode().Perm()&0o077 != 0 {
		e.warn(fmt.Sprintf("other users can read the token in %s; `chmod 600 %s` keeps them out", path, path))
	}
	return strings.TrimSpace(string(b)), nil
}

func readSmall(path string) ([]byte, error) {
	st, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if st.Size() > 64<<10 {
		return nil, fmt.Errorf("%s has %d bytes, which is too much for it", path, st.Size())
	}
	return os.ReadFile(path)
}

func notHere(err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return withHint(err, "Run this on the host of a running `griddle serve` (with its --state-dir, if it has one), or give --server URL, --token-file FILE and --ca FILE.")
	case errors.Is(err, fs.ErrPermission):
		return withHint(err, "Run this as the user of `griddle serve`, or give a copy with --token-file.")
	}
	return err
}

// explainRemote says what to do about an error of talking to the appliance.
func explainRemote(err error) error {
	var unknown x509.UnknownAuthorityError
	var host x509.HostnameError
	var dns *net.DNSError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &unknown):
		return withHint(err, "The server's certificate is not of the CA that was given: copy ca.pem from the server's state directory and give it with --ca.")
	case errors.As(err, &host):
		return withHint(err, "Call the server by an address that it serves on.")
	case errors.Is(err, syscall.ECONNREFUSED):
		return withHint(err, "Nothing listens there: is `griddle serve` running?")
	case errors.Is(err, blob.ErrStalled):
		return withHint(err, "The server is there and does not answer: its log may say why. What came is kept, and the same command goes on there.")
	case errors.As(err, &dns):
		return withHint(err, "The host's name is not known here: give --server with its address.")
	}
	return err
}

// explainMachine says what to do about an error that has to do with one machine.
func explainMachine(err error) error {
	var p *job.Problem
	switch {
	case !errors.As(err, &p):
	case p.Status == http.StatusNotFound:
		return withHint(err, "`griddle machine list` says which there are. A machine that was never seen is named by its MAC address.")
	case p.Status == http.StatusUnprocessableEntity:
		return withHint(err, "`griddle image list` says which there are.")
	}
	return explainRemote(err)
}
