package mirror

import (
	"context"
	"errors"
	"fmt"
	"time"

	"griddle/imagestore/blob"
	"griddle/imagestore/catalog"
	"griddle/imagestore/document"
	"griddle/imagestore/head"
	"griddle/imagestore/minisign"
)

// signedLog is what a source says of its whole catalog.
type signedLog struct {
	head    head.Head
	key     minisign.PublicKey              // that signed it; zero where nothing is signed
	sumAt   func(seq int64) (string, error) // of the log that came with it; nil where none came
	entries []catalog.Entry                 // of the log, where nothing is signed
	shown   bool                            // the log came without a token
	server  string                          // that has it, as in Seen.Servers; "" for a store that no server has
}

// logged is a catalog whose log can be copied with its signed head.
type logged interface {
	SignedLog(ctx context.Context) (catalog.SignedLog, error)
}

// sited is a catalog that names the key of its site.
type sited interface {
	SiteKey(ctx context.Context) (minisign.PublicKey, error)
}

// source finds out what the other store offers, and refuses it where its catalog is older than one of the same
// site that this store or this user has seen, is not its continuation, is forged or has expired. It writes
// nothing but what was seen.
//
// A site that nobody here has seen is believed the first time, as by whoever reads its catalog: its images count
// by their own signatures alone, and what it may sign is said by the receiving store. From then on
// it must be that site.
func (c *copier) source(ctx context.Context, here *catalog.View) (*catalog.View, error) {
	there, log, err := c.signed(ctx, here)
	if err == nil {
		err = c.unrevoked(here, log.key)
	}
	if err == nil {
		err = c.compare(ctx, log)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the catalog of the other store: %w", err)
	}
	if there == nil {
		return c.from.Offered(ctx)
	}
	return there, nil
}

// signed gets and checks the head. The view is nil where the log itself cannot be had.
func (c *copier) signed(ctx context.Context, here *catalog.View) (*catalog.View, signedLog, error) {
	cat, ok := c.from.Catalog.(logged)
	if !ok {
		return nil, signedLog{}, nil
	}
	whole, err := cat.SignedLog(ctx)
	if whole.Public && errors.Is(err, blob.ErrDenied) {
		log, err := c.peek(ctx, here) // a server of an earlier version
		log.server = whole.Server
		return nil, log, err
	}
	if err != nil {
		return nil, signedLog{}, err
	}
	entries := whole.Entries
	log := signedLog{entries: entries}
	if whole.Head != nil {
		h, key, err := catalog.OpenHead(whole.Head, entries, whole.SumAt)
		if err != nil {
			return nil, signedLog{}, err
		}
		log = signedLog{head: h, key: key, sumAt: whole.SumAt, shown: whole.Public}
		if whole.Server != "" {
			entries = entries[:log.head.Seq] // what follows is not signed
		}
	}
	log.server = whole.Server
	v, err := catalog.Replay(entries)
	if err != nil {
		return nil, signedLog{}, err
	}
	return v.With(c.from.Trust), log, nil
}

// peek checks the head of a server that shows its log to nobody without a token: by the key that was seen of the site,
// or that the receiving store trusts as a site's; else by the one that the server names.
func (c *copier) peek(ctx context.Context, here *catalog.View) (signedLog, error) {
	signed, err := c.from.Head(ctx)
	if errors.Is(err, head.ErrMissing) {
		return signedLog{}, nil
	}
	if err != nil {
		return signedLog{}, err
	}
	claim, err := head.Peek(signed)
	if err != nil {
		return signedLog{}, err
	}
	t := &document.Trust{}
	for _, d := range c.seen() {
		s, path, err := d.Site(claim.Site)
		if err != nil {
			return signedLog{}, err
		}
		if s.Log {
			return signedLog{}, fmt.Errorf("%w: the server showed its log to everyone when it was seen before, "+
				"and does not now (%s)", head.ErrRollback, path)
		}
		if k, err := minisign.ParsePublicKey(s.Key); err == nil {
			t.Allow(document.SiteGrant(k))
		}
	}
	for _, g := range here.Trust(c.to.Trust).Grants() {
		if g.Site() && g.Key().ID() == claim.Site {
			t.Allow(g)
		}
	}
	if len(t.Grants()) == 0 {
		cat, ok := c.from.Catalog.(sited)
		if !ok {
			return signedLog{}, fmt.Errorf("fetching the site's key: %w", errors.ErrUnsupported)
		}
		k, err := cat.SiteKey(ctx)
		if err != nil {
			return signedLog{}, err
		}
		t.Allow(document.SiteGrant(k))
	}
	head, key, err := head.Open(signed, t)
	return signedLog{head: head, key: key}, err
}

// unrevoked refuses a site whose key was revoked in the receiving store.
func (c *copier) unrevoked(here *catalog.View, key minisign.PublicKey) error {
	return here.Revoked(key)
}

// seen lists the memories of the receiving store and of whoever copies.
func (c *copier) seen() (out []*head.SeenDir) {
	if d := c.to.Seen(); d != nil {
		out = append(out, d)
	}
	if c.o.Seen != nil {
		out = append(out, c.o.Seen)
	}
	return out
}

// compare holds the head against all that was seen, and only then remembers it.
func (c *copier) compare(ctx context.Context, log signedLog) error {
	name := c.o.From
	if name == "" {
		name = log.server
	}
	isSigned := log.key != minisign.PublicKey{}
	if isSigned {
		if err := log.head.Check(time.Now()); err != nil {
			return err
		}
	}
	for _, d := range c.seen() {
		if name != "" {
			if err := d.Pinned(name, log.key, isSigned); err != nil {
				return err
			}
		}
		if isSigned {
			if err := d.CheckLog(log.key, log.head, log.sumAt); err != nil {
				return err
			}
			continue
		}
		sites, err := catalog.SitesOf(log.entries)
		if err == nil {
			err = d.Stripped(sites)
		}
		if err != nil {
			return err
		}
		if err := c.unsigned(d, log.server != ""); err != nil {
			return err
		}
	}
	if !isSigned {
		return nil
	}
	for _, d := range c.seen() {
		if err := d.AcceptFrom(ctx, name, log.key, log.head, nil, log.shown); err != nil {
			return err
		}
	}
	return nil
}

// unsigned refuses a server without a head where d remembers the head of any site: every server signs, and that this
// one's head was not taken away on its way, or that it is not a seen site under another address, cannot be known. Who
// reaches a store over ssh or in a directory knows whose it is.
func (c *copier) unsigned(d *head.SeenDir, server bool) error {
	if !server || c.o.Unsigned {
		return nil
	}
	path, err := d.Any()
	if err == nil && path != "" {
		err = fmt.Errorf("%w, and signed ones were seen before (%s)", head.ErrUnsigned, path)
	}
	return err
}
