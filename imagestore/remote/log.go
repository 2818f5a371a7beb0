package remote

import (
	"bufio"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"strings"
	"time"

	"griddle/imagestore/blob"
	"griddle/imagestore/catalog"
	"griddle/imagestore/head"
	"griddle/imagestore/minisign"
)

// Head is the server's signed head.
func (c *remoteCatalog) Head(ctx context.Context) ([]byte, error) {
	return head.FetchWith(ctx, c.client, c.base, c.token)
}

// Read implements catalog.Catalog. If the server has a signed head, Read returns exactly the entries that the head
// covers, and they match its hash. It gets the head first, so that a change between the two requests does no harm.
func (c *remoteCatalog) Read(ctx context.Context) ([]catalog.Entry, error) {
	head, entries, sums, err := c.fetch(ctx)
	if err == nil {
		entries, err = c.accept(ctx, head, entries, sums)
	}
	if err != nil {
		return nil, fmt.Errorf("reading catalog: %w", err)
	}
	return entries, nil
}

// SiteKey asks the server for its site's key.
func (c *remoteCatalog) SiteKey(ctx context.Context) (minisign.PublicKey, error) {
	resp, err := c.do(ctx, http.MethodGet, SitePath, nil)
	if err != nil {
		return minisign.PublicKey{}, fmt.Errorf("fetching the site's key: %w", err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 1024))
	if err != nil {
		return minisign.PublicKey{}, fmt.Errorf("fetching the site's key: %w", err)
	}
	k, err := minisign.ParsePublicKey(strings.TrimSpace(string(b)))
	if err != nil {
		return minisign.PublicKey{}, fmt.Errorf("fetching the site's key: %w", err)
	}
	return k, nil
}

// SignedLog returns the log and its signed head, as the server has them. It checks nothing.
func (c *remoteCatalog) SignedLog(ctx context.Context) (catalog.SignedLog, error) {
	out := catalog.SignedLog{Server: c.name, Public: c.public}
	signed, entries, sums, err := c.fetch(ctx)
	if err != nil {
		return out, err
	}
	out.Head, out.Entries, out.SumAt = signed, entries, func(seq int64) (string, error) { return sums[seq], nil }
	return out, nil
}

// fetch gets the head, nil where there is none, and then the entries with what readLines says of
// them. Nothing is checked.
func (c *remoteCatalog) fetch(ctx context.Context) (signed []byte, entries []catalog.Entry, sums []string, err error) {
	signed, err = c.Head(ctx)
	if err != nil && !errors.Is(err, head.ErrMissing) {
		return nil, nil, nil, err
	}
	resp, err := c.do(ctx, http.MethodGet, CatalogPath, nil)
	if err != nil {
		return nil, nil, nil, err
	}
	defer resp.Body.Close()
	entries, sums, err = readLines(resp.Body)
	return signed, entries, sums, err
}

// accept holds the entries against the head, and the head against what was seen before.
func (c *remoteCatalog) accept(ctx context.Context, signed []byte, entries []catalog.Entry,
	sums []string) ([]catalog.Entry, error) {
	if signed == nil {
		if c.seen == nil {
			return entries, nil
		}
		if err := c.seen.Pinned(c.name, minisign.PublicKey{}, false); err != nil {
			return nil, err
		}
		sites, err := catalog.SitesOf(entries)
		if err == nil {
			err = c.seen.Stripped(sites)
		}
		return entries, err
	}
	h, key, err := catalog.OpenHead(signed, entries, func(seq int64) (string, error) { return sums[seq], nil })
	if err != nil {
		return nil, err
	}
	entries = entries[:h.Seq]
	if err := h.Check(time.Now()); err != nil {
		return nil, err
	}
	if c.seen == nil {
		return entries, nil
	}
	if err := c.seen.Pinned(c.name, key, true); err != nil {
		return nil, err
	}
	return entries, c.seen.AcceptFrom(ctx, c.name, key, h, func(seq int64) string { return sums[seq] }, c.public)
}

// readLines reads the JSON of a log, a line for each entry, and computes what the log's SHA-256 is before the first
// and after each.
func readLines(r io.Reader) ([]catalog.Entry, []string, error) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, catalog.MaxLine)
	log := sha256.New()
	var entries []catalog.Entry
	sums := []string{sumOf(log)}
	for lines.Scan() {
		var e catalog.Entry
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			return nil, nil, cmp.Or(lines.Err(), err) // a line that broke off is no damage
		}
		if e.Seq != int64(len(entries))+1 {
			return nil, nil, fmt.Errorf("entry %d is where %d should be", e.Seq, len(entries)+1)
		}
		fmt.Fprintf(log, "%s %s\n", blob.Sum(lines.Bytes()).Hex(), lines.Bytes())
		entries, sums = append(entries, e), append(sums, sumOf(log))
	}
	return entries, sums, lines.Err()
}

func sumOf(h hash.Hash) string { return hex.EncodeToString(h.Sum(nil)) }
