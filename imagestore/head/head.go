// Package head reads, writes and remembers the signed head of a catalog: how many entries a site's catalog has, so
// that an old copy of it is not taken for the present one.
//
// Call Open to check a signed head and SeenDir.Accept to compare it with what was seen before and to remember it.
// Head.Sign makes one; Fetch gets one from a server. A signed head has five lines, like every document (package
// document).
//
// A SeenDir is a directory with one small JSON file for each site, named by the ID of its key. What Accept returns
// nil for is durable. A head that is older than the one seen before, or of another log, is ErrRollback.
package head

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"griddle/imagestore/blob"
	"griddle/imagestore/document"
	"griddle/imagestore/minisign"
)

// Format is the format of the document that is the head of a catalog.
const Format = "griddle-catalog/1"

// Path is the path at which a server's Handler serves its head.
const Path = "/v1/catalog/head"

const maxHead = 4096 // bytes of a signed head

// Errors of heads on which callers branch.
var (
	// ErrMissing is wrapped if a catalog has no signed head: no process with a site's key keeps one.
	ErrMissing = errors.New("catalog is not signed")
	// ErrUnsigned is wrapped if a server signs no catalog although catalogs of sites were seen before: it may be
	// one of those without its head.
	ErrUnsigned = errors.New("server has no signed catalog")
	// ErrRollback is wrapped if a catalog is older than the one of the same site that was seen before, or does not
	// continue it.
	ErrRollback = errors.New("catalog is older than before or was replaced")
	// ErrLost is wrapped if the log of a store is not the one that its own signed head describes.
	ErrLost = errors.New("catalog has lost entries")
	// ErrExpired is wrapped if a head has expired.
	ErrExpired = errors.New("signed catalog has expired")
)

// Head is the document by which a site describes its whole catalog up to an entry. A signed one is a blob of five
// lines like every document.
type Head struct {
	Format  string    `json:"format"` // Format; it is filled in when it is signed
	Site    string    `json:"site"`   // ID of the site's key; likewise
	Seq     int64     `json:"seq"`    // the number of the last entry
	SHA256  string    `json:"sha256"` // of the log's bytes from its beginning to the end of that entry's line, hex
	Time    time.Time `json:"time"`   // when it was signed, UTC
	Expires time.Time `json:"expires,omitzero"`
}

func (h Head) validate() error {
	switch {
	case h.Format != Format:
		return fmt.Errorf("format is %.40q, want %q", h.Format, Format)
	case h.Seq < 0:
		return fmt.Errorf("entry %d is not possible", h.Seq)
	}
	if err := minisign.CheckID(h.Site); err != nil {
		return err
	}
	return document.CheckSHA256(h.SHA256)
}

// Check returns ErrExpired, with both times, if h has expired by now.
func (h Head) Check(now time.Time) error {
	if h.Expires.IsZero() || !now.After(h.Expires) {
		return nil
	}
	return fmt.Errorf("%w: on %s; the clock of this machine says %s", ErrExpired, h.Expires.Format(time.RFC3339),
		now.UTC().Format(time.RFC3339))
}

func (h Head) Sign(k *minisign.SecretKey) ([]byte, error) {
	h.Format, h.Site = Format, k.Public().ID()
	h.Time, h.Expires = h.Time.UTC().Truncate(time.Second), h.Expires.UTC().Truncate(time.Second)
	if err := h.validate(); err != nil {
		return nil, fmt.Errorf("signing catalog: %w", err)
	}
	line, err := document.MarshalLine(h)
	if err != nil {
		return nil, fmt.Errorf("signing catalog: %w", err)
	}
	return append(line, k.Sign(line, fmt.Sprintf("griddle catalog %d timestamp:%d", h.Seq, h.Time.Unix()))...), nil
}

// Open checks a signed head against the keys of t, of which only the sites' own keys count, and decodes it. It
// returns the key that signed. Head.Check says whether the head has expired, Seen.Check whether it is older than
// another one.
func Open(b []byte, t *document.Trust) (Head, minisign.PublicKey, error) {
	var h Head
	if len(b) > maxHead {
		return Head{}, minisign.PublicKey{},
			fmt.Errorf("reading head of catalog: %d bytes are more than it may have", len(b))
	}
	grant, err := document.Open(b, t, &h)
	if err == nil {
		err = h.validate()
	}
	if err == nil && !grant.Site() {
		err = fmt.Errorf("%w: %s is not the key of a site", minisign.ErrSignature, grant.Key().ID())
	}
	if err == nil && h.Site != grant.Key().ID() {
		err = fmt.Errorf("%w: it is of site %s, and signed by %s", minisign.ErrSignature, h.Site, grant.Key().ID())
	}
	if err != nil {
		return Head{}, minisign.PublicKey{}, fmt.Errorf("reading head of catalog: %w", err)
	}
	return h, grant.Key(), nil
}

// Peek decodes a signed head without checking its signature. Use it only to show the head.
func Peek(b []byte) (Head, error) {
	var h Head
	line, _, _ := bytes.Cut(b[:min(len(b), maxHead)], []byte("\n"))
	err := json.Unmarshal(line, &h)
	if err == nil {
		err = h.validate()
	}
	if err != nil {
		return Head{}, fmt.Errorf("reading head of catalog: %w", err)
	}
	return h, nil
}

// Fetch gets the signed head of the server at base, http or https. It checks nothing. The error is ErrMissing if
// the server has no head.
func Fetch(ctx context.Context, c *http.Client, base string) ([]byte, error) {
	return FetchWith(ctx, c, base, "")
}

// FetchWith is Fetch for a server that wants a bearer token for it.
func FetchWith(ctx context.Context, c *http.Client, base, token string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+Path, nil)
	if err != nil {
		return nil, fmt.Errorf("fetching head of catalog: %w", err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := c.Do(req)
	if err != nil {
		return nil, fmt.Errorf("fetching head of catalog: %w", err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxHead+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("fetching head of catalog: %w", err)
	case resp.StatusCode == http.StatusNotFound:
		return nil, fmt.Errorf("fetching head of catalog: %w", ErrMissing)
	case resp.StatusCode != http.StatusOK:
		var p struct {
			Message string `json:"error"`
		}
		if json.Unmarshal(b, &p) != nil || p.Message == "" {
			p.Message = strings.TrimSpace(resp.Status)
		}
		if resp.StatusCode == http.StatusUnauthorized || resp.StatusCode == http.StatusForbidden {
			return nil, fmt.Errorf("fetching head of catalog: %w: the server says: %.500s", blob.ErrDenied, p.Message)
		}
		return nil, fmt.Errorf("fetching head of catalog: the server says: %.500s", p.Message)
	case len(b) > maxHead:
		return nil, fmt.Errorf("fetching head of catalog: it has more than %d bytes", maxHead)
	}
	return b, nil
}
