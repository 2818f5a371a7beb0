// Package remote is the store over HTTP: the handler of a server, and its client.
//
// Call NewHandler to serve a store, and Open for the store that a server serves: it has all of a Store's methods.
// ServeConn and OpenConn do the same over one connection, such as a process's standard input and output.
//
// The calls are listed at NewHandler, and in docs/FORMAT.md; Routes says who may make which. Errors are a Problem
// as JSON, so that a client has the same errors to branch on as the server. The client checks signatures itself,
// and refuses a catalog that is older than what it has seen (package head). HandlerOptions.Admit bounds what a
// client without a token can make the server hold in memory.
package remote

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"griddle/imagestore"
	"griddle/imagestore/blob"
	"griddle/imagestore/catalog"
	"griddle/imagestore/document"
	"griddle/imagestore/head"
)

// ServerOptions says where a store behind a server is.
type ServerOptions struct {
	URL    string        // https://HOST:PORT; without a token http:// too
	Token  string        // bearer token; without one images and blobs can only be read
	Client *http.Client  // with the server's CA; nil means http.DefaultClient
	Seen   *head.SeenDir // remembers the site's catalog, so that an older one is refused; nil remembers nothing
	Pin    string        // distinguishes that server from another at that URL, such as a digest of its CA

	// Copies is a file of this user that remembers which copies of the server's images are next to their sources
	// on this host, so that they are removed together with the images; "" remembers none.
	Copies string

	// Idle is how long the server may send nothing before a request fails with blob.ErrStalled; zero means a
	// minute. There is no limit while the server makes a delta or an archive, and ten times the limit while it
	// writes or hashes a blob.
	Idle time.Duration
}

// idleLimits says how long nothing may move in a request to a server.
func idleLimits(idle time.Duration) func(*http.Request) (answer, body time.Duration) {
	return func(r *http.Request) (answer, body time.Duration) {
		switch {
		case r.Method == http.MethodPost && (r.URL.Path == CatalogPath || r.URL.Path == ImagesPath+"/derive"):
			return 0, idle
		case r.URL.Path == ImagesPath+"/stream":
			return 0, 10 * idle // a file of holes, of which nothing is sent, is hashed meanwhile
		case strings.HasPrefix(r.URL.Path, blob.Path+"/") &&
			(r.Method != http.MethodGet && r.Method != http.MethodHead || strings.HasSuffix(r.URL.Path, "/partial")):
			return 10 * idle, idle // the server syncs gigabytes to its disk, or hashes them
		}
		return idle, idle
	}
}

// Open returns the store that a server's Handler serves. It sends nothing yet. All of a Store's methods work on
// it; signatures are checked here, against the keys that the server's catalog trusts and those of Trust. A catalog
// that the server's site signed is read up to the entry that is signed. It is refused with head.ErrRollback,
// head.ErrExpired or minisign.ErrSignature if it differs from what was signed, has expired, or does not continue
// what Seen remembers.
func Open(o ServerOptions) (*imagestore.Store, error) {
	u, err := url.Parse(o.URL)
	if err != nil {
		return nil, fmt.Errorf("opening store on a server: %w", err)
	}
	plain := u.Scheme == "http" && o.Token == "" // what is read is signed
	if u.Scheme != "https" && !plain || u.Host == "" || strings.Trim(u.Path, "/") != "" ||
		u.RawQuery != "" || u.User != nil {
		return nil, fmt.Errorf("opening store on a server: %q is not of the form https://HOST:PORT", o.URL)
	}
	base := u.Scheme + "://" + u.Host
	if o.Client == nil {
		o.Client = http.DefaultClient
	}
	if o.Token != "" { // which must not follow a redirection, to another host or to http
		c := *o.Client
		c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
		o.Client = &c
	}
	if o.Idle <= 0 {
		o.Idle = time.Minute
	}
	watched := *o.Client
	watched.Transport = &blob.Idle{Base: o.Client.Transport, Limits: idleLimits(o.Idle)}
	o.Client = &watched
	blobs := &blob.HTTP{Base: base, Client: o.Client, Token: o.Token}
	cat := &remoteCatalog{base, o.Client, o.Token, o.Seen, strings.TrimSpace(base + " " + o.Pin), o.Token == ""}
	return imagestore.OpenParts(blobs, cat, o.Copies, base), nil
}

// remoteCatalog is a catalog behind Handler.
type remoteCatalog struct {
	base   string
	client *http.Client
	token  string
	seen   *head.SeenDir
	name   string // by which seen knows the server
	public bool   // only what needs no token can be asked for
}

func (c *remoteCatalog) do(ctx context.Context, method, path string, body io.Reader) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, body)
	if err != nil {
		return nil, err
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.client.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode == http.StatusOK {
		return resp, nil
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	var p Problem
	if json.Unmarshal(b, &p) != nil || p.Message == "" {
		p.Message = strings.TrimSpace(resp.Status + " " + string(b[:min(len(b), 500)]))
	}
	is := problems()[p.Code]
	if is == nil {
		is = catalog.ErrRefused
	}
	if resp.StatusCode == http.StatusUnauthorized || resp.StatusCode == http.StatusForbidden {
		is = blob.ErrDenied
	}
	return nil, &remoteError{is, p.Message}
}

// Change implements Catalog.
func (c *remoteCatalog) Change(ctx context.Context, ch catalog.Change) (catalog.Changed, error) {
	b, err := document.MarshalLine(ch)
	if err != nil {
		return catalog.Changed{}, fmt.Errorf("changing catalog: %w", err)
	}
	resp, err := c.do(ctx, http.MethodPost, CatalogPath, bytes.NewReader(b))
	if err != nil {
		return catalog.Changed{}, fmt.Errorf("changing catalog: %w", err)
	}
	defer resp.Body.Close()
	var out catalog.Changed
	if err := json.NewDecoder(io.LimitReader(resp.Body, catalog.MaxLine)).Decode(&out); err != nil {
		return catalog.Changed{}, fmt.Errorf("changing catalog: reading the answer: %w", err)
	}
	return out, nil
}

// Derives says whether requests have a token, which the server needs to derive.
func (c *remoteCatalog) Derives() bool { return !c.public }

// Derive asks the server to derive a stream.
func (c *remoteCatalog) Derive(ctx context.Context, o imagestore.DeriveOptions) (imagestore.Derived, error) {
	req := deriveRequest{Ref: o.Ref.String()}
	if o.Parent != nil {
		req.Parent = o.Parent.String()
	}
	b, err := document.MarshalLine(req)
	if err != nil {
		return imagestore.Derived{}, fmt.Errorf("deriving %s: %w", o.Ref, err)
	}
	resp, err := c.do(ctx, http.MethodPost, ImagesPath+"/derive", bytes.NewReader(b))
	if err != nil {
		return imagestore.Derived{}, fmt.Errorf("deriving %s: %w", o.Ref, err)
	}
	defer resp.Body.Close()
	var out imagestore.Derived
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxChange)).Decode(&out); err != nil {
		return imagestore.Derived{}, fmt.Errorf("deriving %s: reading the answer: %w", o.Ref, err)
	}
	return out, nil
}
