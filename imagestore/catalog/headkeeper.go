package catalog

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"griddle/imagestore/document"
	"griddle/imagestore/head"
	"griddle/imagestore/minisign"
)

// headFile is DIR/catalog.head: the signed head of the log beside it. Whoever holds the site's key keeps it: it
// is replaced after each change, under the log's lock. A crash between the two leaves a head that is some entries older
// than the log, which is still true; the keeper replaces it when it is next asked for.
type headFile struct {
	path     string
	log      *logFile
	key      *minisign.SecretKey // nil where this process does not keep the head
	lifetime time.Duration
	now      func() time.Time
}

// read returns the head as it is, or an error that is head.ErrMissing.
func (h *headFile) read() ([]byte, error) {
	b, err := h.log.disk.ReadFile(h.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: there is no %s", head.ErrMissing, h.path)
	}
	if err != nil {
		return nil, fmt.Errorf("reading head of catalog: %w", err)
	}
	return b, nil
}

// old is the head that was signed by this keeper's key and is to be replaced; none where there is none, or a damaged
// one, or one of an earlier key of the site. The log must be its continuation: else entries were lost that
// others have seen, and head.ErrLost says so.
func (h *headFile) old(entries []Entry) (*head.Head, error) {
	b, err := h.read()
	if errors.Is(err, head.ErrMissing) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	t := &document.Trust{}
	t.Allow(document.SiteGrant(h.key.Public()))
	old, _, err := head.Open(b, t)
	if err != nil {
		return nil, nil
	}
	return &old, h.holds(old, len(entries))
}

// holds returns head.ErrLost where the log, which has so many entries, is not the one that the head speaks of.
func (h *headFile) holds(signed head.Head, entries int) error {
	if signed.Seq > int64(entries) {
		return fmt.Errorf("%w: %s has %d entries, but its signed head covers %d", head.ErrLost, h.log.path,
			entries, signed.Seq)
	}
	sum, err := h.log.sumAt(signed.Seq)
	if err != nil {
		return err
	}
	if sum != signed.SHA256 {
		return fmt.Errorf("%w: the first %d entries of %s differ from the signed ones", head.ErrLost,
			signed.Seq, h.log.path)
	}
	return nil
}

// before is called with the log locked, before something is added to it.
func (h *headFile) before(entries []Entry) error {
	if h.key == nil {
		return nil
	}
	_, err := h.old(entries)
	return err
}

// write signs the log as it is and replaces the head; the log is locked. An expiry that was set further off, by
// whoever extended it, stays.
func (h *headFile) write(entries []Entry) error {
	old, err := h.old(entries)
	if err != nil {
		return err
	}
	now := h.now()
	var expires time.Time
	if h.lifetime > 0 {
		expires = now.Add(h.lifetime)
		if old != nil && old.Expires.After(expires) {
			expires = old.Expires
		}
	}
	return h.replace(entries, now, expires)
}

// replace is durable when it returns: a synced file takes the name, and the directory is synced.
func (h *headFile) replace(entries []Entry, now, expires time.Time) error {
	keys, err := keysOf(entries)
	if err != nil {
		return err
	}
	if g, err := keys.trust(nil).Find(h.key.Public().ID()); err != nil {
		return fmt.Errorf("signing catalog: %w", err)
	} else if !g.Site() || g.Key() != h.key.Public() {
		return fmt.Errorf("signing catalog: %w: %s is not the key of a site here", minisign.ErrSignature,
			h.key.Public().ID())
	}
	// The last lines may be of a process that was killed before its fsync. A head that outlives them speaks of entries
	// that were never there.
	if err := h.log.sync(); err != nil {
		return err
	}
	sum, err := h.log.sumAt(int64(len(entries)))
	if err != nil {
		return err
	}
	b, err := head.Head{Seq: int64(len(entries)), SHA256: sum, Time: now, Expires: expires}.Sign(h.key)
	if err != nil {
		return err
	}
	if err := h.log.disk.Replace(h.path, b, 0o644); err != nil {
		return fmt.Errorf("writing head of catalog: %w", err)
	}
	return nil
}

// current says whether the head speaks of the whole log and will be good for half its life yet.
func (h *headFile) current(entries []Entry) bool {
	old, err := h.old(entries)
	if err != nil || old == nil || old.Seq != int64(len(entries)) {
		return false
	}
	return (h.lifetime == 0) == old.Expires.IsZero() &&
		(h.lifetime == 0 || old.Expires.After(h.now().Add(h.lifetime/2)))
}

// Head returns the signed head, or head.ErrMissing if there is none. If this process keeps the head, Head first
// brings it up to date.
func (c *Local) Head(ctx context.Context) ([]byte, error) {
	if c.head.key == nil {
		return c.head.read()
	}
	entries, err := c.log.read()
	if err != nil {
		return nil, err
	}
	if !c.head.current(entries) {
		err := c.log.update(ctx, func(entries []Entry) ([]Entry, error) {
			if c.head.current(entries) {
				return nil, nil
			}
			return nil, c.head.write(entries)
		})
		if err != nil {
			return nil, err
		}
	}
	return c.head.read()
}

// SignedLog is the log of a catalog and its signed head.
type SignedLog struct {
	Head    []byte // as it was signed; nil for none
	Entries []Entry
	SumAt   func(seq int64) (string, error) // SHA-256 of the log's bytes up to an entry, in hex
	// that has the log, as in head.Seen.Servers; "" for a local store, or a connection
	Server string
	Public bool // the server shows the log without a token
}

// SignedLog returns the log and its signed head as they are on the disk, which is what other programs can see. It
// checks nothing.
func (c *Local) SignedLog(context.Context) (SignedLog, error) {
	signed, err := c.head.read()
	if err != nil && !errors.Is(err, head.ErrMissing) {
		return SignedLog{}, err
	}
	entries, err := c.log.read() // after the head: what was added meanwhile does no harm
	if err != nil {
		return SignedLog{}, err
	}
	return SignedLog{Head: signed, Entries: entries, SumAt: c.log.sumAt}, nil
}

// KeepHead makes this process keep the head: it signs it now, after every change through c, and when someone asks
// for it after half of its lifetime. lifetime is how long a head is valid; 0 means without end. Call it before
// several goroutines use c. The error is head.ErrLost if entries are missing that a head of this key covers.
func (c *Local) KeepHead(ctx context.Context, k *minisign.SecretKey, lifetime time.Duration) error {
	c.head.key, c.head.lifetime = k, lifetime
	c.log.before, c.log.after = c.head.before, c.head.write
	_, err := c.Head(ctx)
	return err
}

// SignHead signs the log once, as it is now. The head is valid until expires; the zero time means without end. It
// is durable when SignHead returns.
func (c *Local) SignHead(ctx context.Context, k *minisign.SecretKey, now, expires time.Time) (head.Head, error) {
	h := *c.head
	h.key = k
	var out head.Head
	err := c.log.update(ctx, func(entries []Entry) ([]Entry, error) {
		if _, err := h.old(entries); err != nil {
			return nil, err
		}
		if err := h.replace(entries, now, expires); err != nil {
			return nil, err
		}
		b, err := h.read()
		if err == nil {
			out, err = head.Peek(b)
		}
		return nil, err
	})
	return out, err
}

// OpenHead checks a head against the log that came with it; a key that this log itself trusts must have signed it.
// Entries after the last one that the head covers are not from the owner of the site's key, so the keys in them do
// not count.
func OpenHead(signed []byte, entries []Entry,
	sumAt func(int64) (string, error)) (head.Head, minisign.PublicKey, error) {
	claim, err := head.Peek(signed)
	if err != nil {
		return head.Head{}, minisign.PublicKey{}, err
	}
	if claim.Seq > int64(len(entries)) {
		return head.Head{}, minisign.PublicKey{}, fmt.Errorf("%w: it has %d entries, but its signed head covers %d",
			head.ErrRollback, len(entries), claim.Seq)
	}
	keys, err := keysOf(entries[:claim.Seq])
	if err != nil {
		return head.Head{}, minisign.PublicKey{}, err
	}
	h, key, err := head.Open(signed, keys.trust(nil))
	if err != nil {
		return head.Head{}, minisign.PublicKey{}, err
	}
	sum, err := sumAt(h.Seq)
	if err == nil && sum != h.SHA256 {
		err = fmt.Errorf("%w: its entries up to %d differ from the signed ones", head.ErrRollback, h.Seq)
	}
	return h, key, err
}

// SitesOf lists the keys of sites that a log trusts or once trusted.
func SitesOf(entries []Entry) ([]minisign.PublicKey, error) {
	keys, err := keysOf(entries)
	if err != nil {
		return nil, err
	}
	var sites []minisign.PublicKey
	for _, k := range keys {
		if k.grant.Site() {
			sites = append(sites, k.grant.Key())
		}
	}
	return sites, nil
}
