package catalog

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"griddle/imagestore/document"
	"griddle/imagestore/minisign"
)

// ErrRevoked is wrapped if a revoked key is to be trusted again without Granting.Again.
var ErrRevoked = errors.New("key was revoked")

// Granting asks the catalog to trust a key, or to change what the key may sign.
type Granting struct {
	Key     string `json:"key"`               // the line of a Grant; it replaces what the key may sign so far
	Comment string `json:"comment,omitempty"` // whose key it is, for people
	Again   bool   `json:"again,omitempty"`   // trust it though it was revoked
}

// ListedKey is one key that is or was trusted, as `griddle key list -o json` shows it.
type ListedKey struct {
	ID      string `json:"id"`
	Key     string `json:"key"` // the base64 line
	Comment string `json:"comment,omitempty"`
	// patterns of the templates that it may sign; none mean any, unless Streams
	Prefixes []string   `json:"prefixes,omitempty"`
	Streams  bool       `json:"streams,omitempty"` // it may sign streams to any image, and no images
	Site     bool       `json:"site,omitempty"`    // it is the site's own key, which signs the catalog's head
	Since    time.Time  `json:"since"`             // when it was first trusted
	Revoked  *time.Time `json:"revoked,omitempty"`
	Images   int        `json:"images"` // images there are whose document it signed
}

// keyring is who may sign, as the log says it: one entry for each key that was ever trusted, in that order.
type keyring []ringKey

type ringKey struct {
	grant   document.Grant
	comment string
	since   time.Time
	revoked time.Time // zero for a key that is trusted
}

// keysOf reads what a log says of keys, and nothing else of it.
func keysOf(entries []Entry) (keyring, error) {
	var r keyring
	for i := range entries {
		var err error
		switch e := &entries[i]; e.Kind {
		case KindTrust:
			err = r.allow(e)
		case KindRevoke:
			err = r.revoke(e)
		}
		if err != nil {
			return nil, fmt.Errorf("reading catalog entry %d: %w", entries[i].Seq, err)
		}
	}
	return r, nil
}

func (r keyring) find(k minisign.PublicKey) int {
	return slices.IndexFunc(r, func(e ringKey) bool { return e.grant.Key() == k })
}

// allow applies an entry of KindTrust.
func (r *keyring) allow(e *Entry) error {
	g, err := document.ParseGrant(e.Key)
	if err != nil {
		return err
	}
	i := r.find(g.Key())
	if i < 0 {
		*r = append(*r, ringKey{grant: g, comment: e.Comment, since: e.Time})
		return nil
	}
	old := &(*r)[i]
	old.grant, old.comment, old.revoked = g, e.Comment, time.Time{}
	return nil
}

// revoke applies an entry of KindRevoke.
func (r keyring) revoke(e *Entry) error {
	k, err := minisign.ParsePublicKey(e.Key)
	if err != nil {
		return err
	}
	if i := r.find(k); i >= 0 {
		r[i].revoked = e.Time
	}
	return nil
}

// trust is what counts here: what others allow, and what the log says. A key that the log revokes does not count,
// whoever allows it.
func (r keyring) trust(others *document.Trust) *document.Trust {
	t := &document.Trust{}
	for _, g := range others.Grants() {
		t.Allow(g)
	}
	for _, k := range r {
		if k.revoked.IsZero() {
			t.Allow(k.grant)
		} else {
			t.Revoke(k.grant.Key(), k.revoked)
		}
	}
	return t
}

// grant answers a Granting with the entry that it takes; none where nothing changes.
func (v *View) grant(g Granting) ([]Entry, error) {
	want, err := document.ParseGrant(g.Key)
	if err != nil {
		return nil, err
	}
	if len(g.Comment) > document.MaxText || strings.ContainsAny(g.Comment, "\r\n") {
		return nil, fmt.Errorf("the comment is not one line of at most %d bytes", document.MaxText)
	}
	for _, k := range v.keys {
		switch old := k.grant; {
		case old.Key() != want.Key() && old.Key().ID() == want.Key().ID():
			return nil, fmt.Errorf("another key with the ID %s is known already", want.Key().ID())
		case old.Key() != want.Key():
		case !k.revoked.IsZero() && !g.Again:
			return nil, fmt.Errorf("%w: %s, on %s", ErrRevoked, want.Key().ID(), k.revoked.Format(time.DateOnly))
		case k.revoked.IsZero() && old.String() == want.String() && k.comment == g.Comment:
			return nil, nil
		}
	}
	return []Entry{{Kind: KindTrust, Key: want.String(), Comment: g.Comment}}, nil
}

// trustOnce is Change.Trust: a key that is trusted already keeps its limits.
func (v *View) trustOnce(line string) ([]Entry, error) {
	g, err := document.ParseGrant(line)
	if err != nil {
		return nil, err
	}
	if i := v.keys.find(g.Key()); i >= 0 && v.keys[i].revoked.IsZero() {
		return nil, nil
	}
	return v.grant(Granting{Key: line})
}

// revocation answers Change.Revoke.
func (v *View) revocation(line string) ([]Entry, error) {
	k, err := minisign.ParsePublicKey(line)
	if err != nil {
		return nil, err
	}
	switch i := v.keys.find(k); {
	case i < 0:
		return nil, fmt.Errorf("key %s was never trusted here", k.ID())
	case !v.keys[i].revoked.IsZero():
		return nil, nil
	}
	return []Entry{{Kind: KindRevoke, Key: k.String()}}, nil
}
