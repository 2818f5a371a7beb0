package cli

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"griddle/appliance"
	"griddle/appliance/api"
	"griddle/appliance/authority"
	"griddle/appliance/config"
	"griddle/appliance/job"
)

// Remote says where the server is, and how to reach it. On the server's own host its state directory has everything.
type Remote struct {
	e                           *Env
	server, token, ca, stateDir string
	caDigest                    string // hex; after access
	reads                       bool   // a token is of use, and none is needed
}

// RemoteFlags adds the flags that find the server to c and the commands below it.
func RemoteFlags(e *Env, c *cobra.Command) *Remote {
	r := &Remote{e: e}
	c.PersistentFlags().StringVar(&r.server, "server", "", "`URL` of the server, https://HOST:8443 (env "+
		"GRIDDLE_SERVER)")
	c.PersistentFlags().StringVar(&r.token, "token-file", "", "`FILE` with the administrator's token (env "+
		"GRIDDLE_TOKEN_FILE)")
	c.PersistentFlags().StringVar(&r.ca, "ca", "", "`FILE` with the server's CA, a copy of its ca.pem (env "+
		"GRIDDLE_CA)")
	c.PersistentFlags().StringVar(&r.stateDir, "state-dir", config.Default().StateDir,
		"the server's state `DIR`, where this is its host")
	return r
}

// Access returns what a client needs: base URL, token, and TLS with the pinned CA.
func (r *Remote) Access() (base, token string, conf *tls.Config, err error) {
	pick := func(flag, variable, inState string) string {
		switch {
		case flag != "":
			return flag
		case r.e.Getenv(variable) != "":
			return r.e.Getenv(variable)
		}
		return filepath.Join(r.stateDir, inState)
	}
	if base = r.server; base == "" {
		base = r.e.Getenv("GRIDDLE_SERVER")
	}
	if base == "" {
		b, err := ReadSmall(filepath.Join(r.stateDir, appliance.URLFile))
		if err != nil {
			return "", "", nil, notHere(fmt.Errorf("finding the server: %w", err))
		}
		base = strings.TrimSpace(string(b))
	}
	if !strings.HasPrefix(base, "https://") {
		return "", "", nil, Usagef("the server %q is not an https:// URL, and the token must not be sent "+
			"unencrypted", base)
	}
	ca := pick(r.ca, "GRIDDLE_CA", authority.File)
	b, err := ReadSmall(ca)
	if err != nil {
		return "", "", nil, notHere(fmt.Errorf("reading the server's CA: %w", err))
	}
	if conf, err = job.PinnedTLS(b); err != nil {
		return "", "", nil, err
	}
	r.caDigest = fmt.Sprintf("%x", sha256.Sum256(b))
	tokenFile := pick(r.token, "GRIDDLE_TOKEN_FILE", appliance.TokenFile)
	if tokenFile == filepath.Join(r.stateDir, appliance.TokenFile) && r.token == "" {
		// This host's own token is for its own server, whose CA is beside it, and is shown to no other.
		if own, err := ReadSmall(filepath.Join(r.stateDir, authority.File)); err == nil && !bytes.Equal(own, b) {
			if r.reads {
				return base, "", conf, nil
			}
			return "", "", nil, WithHint(Usagef("no token is given for %s: the one in %s is another "+
				"server's", base, r.stateDir), "Give --token-file FILE with a token of that server.")
		}
	}
	token, err = r.e.ReadToken("the administrator's token", tokenFile)
	named := r.token != "" || r.e.Getenv("GRIDDLE_TOKEN_FILE") != ""
	if r.reads && !named && (errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission)) {
		return base, "", conf, nil
	}
	if err != nil {
		return "", "", nil, err
	}
	return base, token, conf, nil
}

// Client makes the API's client.
func (r *Remote) Client() (*api.Client, error) {
	base, token, conf, err := r.Access()
	if err != nil {
		return nil, err
	}
	return api.NewClient(base, token, conf), nil
}

// ReadToken reads the file of a token, called what, and warns where others can read it too.
func (e *Env) ReadToken(what, path string) (string, error) {
	b, err := ReadSmall(path)
	if err != nil {
		return "", notHere(fmt.Errorf("reading %s: %w", what, err))
	}
	if st, err := os.Stat(path); err == nil && st.Mode().IsRegular() && st.Mode().Perm()&0o077 != 0 {
		e.Warn(fmt.Sprintf("other users can read the token in %s; `chmod 600 %s` keeps them out", path, path))
	}
	return strings.TrimSpace(string(b)), nil
}

func notHere(err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return WithHint(err, "Run this on the host of a running `griddle serve` (with its --state-dir, if it has "+
			"one), or give --server URL, --token-file FILE and --ca FILE.")
	case errors.Is(err, fs.ErrPermission):
		return WithHint(err, "Run this as the user of `griddle serve`, or give a copy with --token-file.")
	}
	return err
}
