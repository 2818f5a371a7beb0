package image

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net/http"
	"strings"

	"griddle/appliance/griddle/cli"
	"griddle/appliance/job"
	"griddle/imagestore"
	"griddle/imagestore/remote"
)

// openOther opens the store that --from or --to names; close ends what it took to reach it.
func openOther(ctx context.Context, e *cli.Env, f copyFlags, write bool) (st *imagestore.Store, close func(),
	err error) {
	close = func() {}
	scheme, _, server := strings.Cut(f.other, "://")
	switch {
	case !server:
		if write {
			st, err = imagestore.Open(f.other)
		} else {
			st, err = cli.ExistingStore(e, f.other)
		}
	case scheme == "ssh":
		return openSSH(ctx, e, f.other, write)
	case scheme == "https" && write:
		st, err = cli.OpenServer(e, f.store, f.other, true)
	case scheme == "http" && f.fromToken != "":
		return nil, nil, cli.Usagef("--from-token-file: a token is only sent over https")
	case scheme == "http" && !write:
		st, err = remote.Open(remote.ServerOptions{URL: f.other})
	case scheme == "https":
		st, err = openReader(e, f)
	default:
		return nil, nil, cli.WithHint(cli.Usagef("%q is not a store that this command can use", f.other), whereHelp)
	}
	return st, close, err
}

// openReader opens a server's store to read from: with the CA that was given, or else with those of the system,
// and with the token that was given, if any.
func openReader(e *cli.Env, f copyFlags) (_ *imagestore.Store, err error) {
	client, pin := &http.Client{}, ""
	ca := f.store.CA
	if ca == "" {
		ca = e.Getenv("GRIDDLE_CA")
	}
	if ca != "" {
		b, err := cli.ReadSmall(ca)
		if err != nil {
			return nil, fmt.Errorf("reading the server's CA: %w", err)
		}
		pin = fmt.Sprintf("ca %x", sha256.Sum256(b))
		conf, err := job.PinnedTLS(b)
		if err != nil {
			return nil, err
		}
		transport := http.DefaultTransport.(*http.Transport).Clone()
		transport.TLSClientConfig = conf
		client.Transport = transport
	}
	o := remote.ServerOptions{URL: f.other, Client: client, Pin: pin}
	if f.fromToken != "" {
		if o.Token, err = e.ReadToken("the token of the other server", f.fromToken); err != nil {
			return nil, err
		}
	}
	st, err := remote.Open(o)
	if err != nil {
		return nil, cli.Usage(err)
	}
	return st, nil
}
