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
	"griddle/appliance/remotes"
)

// Remote says where the server is, and how to reach it. On the server's own host its state directory has everything.
type Remote struct {
	e                           *Env
	server, token, ca, stateDir string
	name                        string // of one of the user's servers
	caDigest                    string // hex; after access
	reads                       bool   // a token is of use, and none is needed
}

// RemoteFlags adds the flags that find the server to c and the commands below it.
func RemoteFlags(e *Env, c *cobra.Command) *Remote {
	r := &Remote{e: e}
	c.PersistentFlags().StringVar(&r.name, "remote", "", "`NAME` of a server that `griddle remote list` shows, or "+
		"local for the one on this host (env GRIDDLE_REMOTE)")
	c.PersistentFlags().StringVar(&r.server, "server", "", "`URL` of the server, https://HOST:8443 (env "+
		"GRIDDLE_SERVER)")
	c.PersistentFlags().StringVar(&r.token, "token-file", "", "`FILE` with a token (env GRIDDLE_TOKEN_FILE)")
	c.PersistentFlags().StringVar(&r.ca, "ca", "", "`FILE` with the server's CA, a copy of its ca.pem (env "+
		"GRIDDLE_CA)")
	c.PersistentFlags().StringVar(&r.stateDir, "state-dir", config.Default().StateDir,
		"the server's state `DIR`, where this is its host")
	_ = c.RegisterFlagCompletionFunc("remote", e.CompleteRemotes)
	return r
}

// Access returns what a client needs: base URL, token, and TLS with the pinned CA. Flags win over variables, these over
// the servers of the user, and these over the state directory of this host.
func (r *Remote) Access() (base, token string, conf *tls.Config, err error) {
	fail := func(err error) (string, string, *tls.Config, error) { return "", "", nil, err }
	pick := func(flag, variable string) string {
		if flag != "" || r.name != "" { // what --remote names is not mixed with variables about another server
			return flag
		}
		return r.e.Getenv(variable)
	}
	base = pick(r.server, "GRIDDLE_SERVER")
	name, known, err := r.known(base)
	if err != nil {
		return fail(err)
	}
	if base == "" {
		base = known.URL
	}
	if base == "" {
		b, err := ReadSmall(filepath.Join(r.stateDir, appliance.URLFile))
		if err != nil {
			return fail(notHere(fmt.Errorf("finding the server: %w", err)))
		}
		base = strings.TrimSpace(string(b))
	}
	if !strings.HasPrefix(base, "https://") {
		return fail(Usagef("the server %q is not an https:// URL, and the token must not be sent unencrypted", base))
	}
	ca, given := []byte(known.CA), pick(r.ca, "GRIDDLE_CA")
	if given != "" || len(ca) == 0 {
		if given == "" {
			given = filepath.Join(r.stateDir, authority.File)
		}
		if ca, err = ReadSmall(given); err != nil {
			return fail(notHere(fmt.Errorf("reading the server's CA: %w", err)))
		}
	}
	if conf, err = job.PinnedTLS(ca); err != nil {
		return fail(err)
	}
	r.caDigest = fmt.Sprintf("%x", sha256.Sum256(ca))
	switch file := pick(r.token, "GRIDDLE_TOKEN_FILE"); {
	case file != "":
		token, err = r.e.ReadToken("the token", file)
	case name != "":
		token, err = r.saved(name, known, ca)
	default:
		token, err = r.own(base, ca)
	}
	if err != nil {
		return fail(err)
	}
	return base, token, conf, nil
}

// known returns the one of the user's servers that the command line or the environment name, that has the URL base, or,
// if base is "", the current one. The name is "" for none of them.
func (r *Remote) known(base string) (name string, s remotes.Server, err error) {
	name, elsewhere := r.name, base != "" || r.stateDir != config.Default().StateDir
	if name == "" && !elsewhere {
		name = r.e.Getenv("GRIDDLE_REMOTE")
	}
	if r.name != "" && r.server != "" {
		return "", s, Usagef("--remote and --server exclude each other")
	}
	if name == remotes.Local {
		return "", s, nil
	}
	f, err := r.e.Remotes()
	if err != nil {
		return "", s, err
	}
	switch {
	case name != "":
		if s = f.Servers[name]; s.URL == "" {
			return "", s, UnknownServer(name)
		}
	case base != "":
		name = f.At(base)
		s = f.Servers[name]
	case !elsewhere:
		name = f.Current
		s = f.Servers[name]
	}
	return name, s, nil
}

// saved returns the token that the user has for one of the servers. It is shown to no server with another CA.
func (r *Remote) saved(name string, s remotes.Server, ca []byte) (string, error) {
	mine := s.CA == string(ca)
	if mine && s.Token != "" {
		return s.Token, nil
	}
	if r.reads {
		return "", nil
	}
	if !mine {
		return "", WithHint(Usagef("no token is given for %s with this CA: the saved one is for the saved CA", s.URL),
			"Give --token-file FILE too.")
	}
	return "", WithHint(fmt.Errorf("the token for server %s is missing", name), "Run `griddle login --remote %s`.",
		name)
}

// own returns the token of this host's own server, which is shown to no server with another CA.
func (r *Remote) own(base string, ca []byte) (string, error) {
	own, err := ReadSmall(filepath.Join(r.stateDir, authority.File))
	if err == nil && !bytes.Equal(own, ca) {
		if r.reads {
			return "", nil
		}
		return "", WithHint(Usagef("no token is given for %s: the one in %s is another server's", base, r.stateDir),
			"Give --token-file FILE with a token of that server, or run `griddle login %s`.", base)
	}
	token, err := r.e.ReadToken("the administrator's token", filepath.Join(r.stateDir, appliance.TokenFile))
	if r.reads && (errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission)) {
		return "", nil
	}
	return token, err
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
			"one), run `griddle login URL`, or give --server URL, --token-file FILE and --ca FILE.")
	case errors.Is(err, fs.ErrPermission):
		return WithHint(err, "Run this as the user of `griddle serve`, or give a copy with --token-file.")
	}
	return err
}

// UnknownServer is the error for a name that none of the user's servers has. It wraps fs.ErrNotExist.
func UnknownServer(name string) error {
	return WithHint(Usage(fmt.Errorf("the server %q is unknown: %w", name, fs.ErrNotExist)),
		"`griddle remote list` shows the known ones; `griddle login URL` adds one.")
}
