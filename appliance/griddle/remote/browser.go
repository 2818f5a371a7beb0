package remote

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"griddle/appliance/api"
	"griddle/appliance/griddle/cli"
	"griddle/appliance/job"
)

// browserTime is how long someone may take to log in at the identity provider.
const browserTime = 10 * time.Minute

// browser has the user log in at the identity provider of the server, in a browser on this computer (RFC 8252 section
// 7.3, with PKCE, RFC 7636), and returns the ID token.
func browser(ctx context.Context, e *cli.Env, with api.Identity) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, browserTime)
	defer cancel()
	provider, err := oidc.NewProvider(ctx, with.Issuer)
	if err != nil {
		return "", fmt.Errorf("asking the identity provider: %w", err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("waiting for the browser: %w", err)
	}
	conf := oauth2.Config{ClientID: with.Client, Endpoint: provider.Endpoint(), Scopes: with.Scopes,
		RedirectURL: "http://" + l.Addr().String() + "/callback"}
	state, nonce, verifier := rand.Text(), rand.Text(), oauth2.GenerateVerifier()
	type answer struct {
		code string
		err  error
	}
	got := make(chan answer, 1)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /callback", func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		if subtle.ConstantTimeCompare([]byte(q.Get("state")), []byte(state)) != 1 {
			http.Error(w, "This is not the answer to the login that griddle waits for.", http.StatusBadRequest)
			return
		}
		a := answer{code: q.Get("code")}
		if a.code == "" {
			a.err = fmt.Errorf("the identity provider says: %s", job.Sentence(q.Get("error")+" "+
				q.Get("error_description")))
		}
		select {
		case got <- a:
		default: // a second answer
		}
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		fmt.Fprintln(w, "You can close this page and go back to griddle.")
	})
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	go srv.Serve(l) // its end is that of the login
	defer srv.Close()
	e.Say("log in with a browser on this computer, at this address:")
	fmt.Fprintf(e.Stderr, "%s\n", conf.AuthCodeURL(state, oidc.Nonce(nonce), oauth2.S256ChallengeOption(verifier)))
	var a answer
	select {
	case a = <-got:
	case <-ctx.Done():
		return "", fmt.Errorf("waiting for the browser: %w", ctx.Err())
	}
	if a.err != nil {
		return "", a.err
	}
	token, err := conf.Exchange(ctx, a.code, oauth2.VerifierOption(verifier))
	if err != nil {
		return "", fmt.Errorf("getting the identity provider's token: %w", err)
	}
	raw, _ := token.Extra("id_token").(string)
	id, err := provider.VerifierContext(ctx, &oidc.Config{ClientID: with.Client}).Verify(ctx, raw)
	if err == nil && id.Nonce != nonce {
		err = errors.New("it is not for this login")
	}
	if err != nil {
		return "", fmt.Errorf("checking the identity provider's token: %w", err)
	}
	return raw, nil
}
