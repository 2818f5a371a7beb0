package imagestore

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"time"
)

// Head implements headed.
func (c *remoteCatalog) Head(ctx context.Context) ([]byte, error) {
	return FetchHead(ctx, c.client, c.base)
}

// Read implements Catalog. Where the server has a signed head, the entries are those that it speaks of and no more, and
// they are what was signed; the head was got first, so that a change between the two requests does no harm.
func (c *remoteCatalog) Read(ctx context.Context) ([]Entry, error) {
	head, err := c.Head(ctx)
	if err != nil && !errors.Is(err, ErrNoHead) {
		return nil, fmt.Errorf("reading catalog: %w", err)
	}
	resp, err := c.do(ctx, http.MethodGet, CatalogPath, nil)
	if err != nil {
		return nil, fmt.Errorf("reading catalog: %w", err)
	}
	defer resp.Body.Close()
	entries, sums, err := readLines(resp.Body)
	if err == nil {
		entries, err = c.accept(ctx, head, entries, sums)
	}
	if err != nil {
		return nil, fmt.Errorf("reading catalog: %w", err)
	}
	return entries, nil
}

// accept holds the entries against the head, and the head against what was seen before.
func (c *remoteCatalog) accept(ctx context.Context, signed []byte, entries []Entry, sums []string) ([]Entry, error) {
	if signed == nil {
		if c.seen == nil {
			return entries, nil
		}
		return entries, c.seen.pinned(c.name, PublicKey{}, false)
	}
	claim, err := PeekHead(signed)
	if err != nil {
		return nil, err
	}
	if claim.Seq > int64(len(entries)) {
		return nil, fmt.Errorf("%w: it has %d entries, and its signed head speaks of %d", ErrRollback, len(entries), claim.Seq)
	}
	entries = entries[:claim.Seq]
	keys, err := keysOf(entries)
	if err != nil {
		return nil, err
	}
	head, key, err := OpenHead(signed, keys.trust(nil))
	if err != nil {
		return nil, err
	}
	if head.SHA256 != sums[head.Seq] {
		return nil, fmt.Errorf("%w: its entries up to %d are not those that were signed", ErrRollback, head.Seq)
	}
	if err := head.Check(time.Now()); err != nil {
		return nil, err
	}
	if c.seen == nil {
		return entries, nil
	}
	if err := c.seen.pinned(c.name, key, true); err != nil {
		return nil, err
	}
	return entries, c.seen.Accept(ctx, c.name, key, head, func(seq int64) string { return sums[seq] })
}

// readLines reads the JSON of a log, a line for each entry, and computes what the log's SHA-256 is before the first
// and after each.
func readLines(r io.Reader) ([]Entry, []string, error) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxLine)
	log := sha256.New()
	var entries []Entry
	sums := []string{sumOf(log)}
	for lines.Scan() {
		var e Entry
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			return nil, nil, err
		}
		if e.Seq != int64(len(entries))+1 {
			return nil, nil, fmt.Errorf("entry %d is where %d should be", e.Seq, len(entries)+1)
		}
		fmt.Fprintf(log, "%s %s\n", hexSum(lines.Bytes()), lines.Bytes())
		entries, sums = append(entries, e), append(sums, sumOf(log))
	}
	return entries, sums, lines.Err()
}

func sumOf(h hash.Hash) string { return hex.EncodeToString(h.Sum(nil)) }
