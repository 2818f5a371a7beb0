package document

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"griddle/imagestore/minisign"
)

// Trust is a set of public keys whose signatures count, each for what its Grant says. The zero value trusts no key. It
// may be used by any number of goroutines.
type Trust struct {
	mu      sync.RWMutex
	grants  map[string]Grant // by the ID of the key
	revoked map[minisign.PublicKey]time.Time
}

// NewTrust returns a set with the given keys, without limits.
func NewTrust(keys ...minisign.PublicKey) *Trust {
	t := &Trust{}
	for _, k := range keys {
		t.Add(k)
	}
	return t
}

// ParseTrust reads one Grant from each line, and reports every line that is not a Grant.
func ParseTrust(lines []string) (*Trust, error) {
	t := &Trust{}
	var errs []error
	for _, l := range lines {
		g, err := ParseGrant(l)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		t.Allow(g)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("reading trusted keys: %w", err)
	}
	return t, nil
}

// Add trusts k without limits, as well as the keys before it. If another key has the same ID, the first one stays,
// because the maker of a key chooses its ID.
func (t *Trust) Add(k minisign.PublicKey) { t.Allow(Grant{key: k}) }

// Allow trusts the key of g for what g says. Like Add, it replaces nothing.
func (t *Trust) Allow(g Grant) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.grants == nil {
		t.grants = map[string]Grant{}
	}
	if _, ok := t.grants[g.key.ID()]; !ok {
		t.grants[g.key.ID()] = g
	}
}

// Revoke makes the signatures of k not count, even if another call allowed or allows it.
func (t *Trust) Revoke(k minisign.PublicKey, at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.revoked == nil {
		t.revoked = map[minisign.PublicKey]time.Time{}
	}
	t.revoked[k] = at
	if t.grants[k.ID()].key == k {
		delete(t.grants, k.ID())
	}
}

// Grants lists what counts, by key ID.
func (t *Trust) Grants() []Grant {
	if t == nil {
		return nil
	}
	t.mu.RLock()
	defer t.mu.RUnlock()
	out := make([]Grant, 0, len(t.grants))
	for _, g := range t.grants {
		if _, gone := t.revoked[g.key]; !gone {
			out = append(out, g)
		}
	}
	slices.SortFunc(out, func(a, b Grant) int { return cmp.Compare(a.key.ID(), b.key.ID()) })
	return out
}

// Keys lists the trusted keys by ID.
func (t *Trust) Keys() []minisign.PublicKey {
	var out []minisign.PublicKey
	for _, g := range t.Grants() {
		out = append(out, g.key)
	}
	return out
}

// Find returns the Grant of the key with that ID, or the reason why its signatures do not count.
func (t *Trust) Find(id string) (Grant, error) {
	if t == nil {
		return Grant{}, fmt.Errorf("%w: key %s is not trusted here", minisign.ErrSignature, id)
	}
	t.mu.RLock()
	defer t.mu.RUnlock()
	g, ok := t.grants[id]
	if at, gone := t.revoked[g.key]; ok && gone {
		return Grant{}, RevokedError(id, at)
	}
	if ok {
		return g, nil
	}
	for k, at := range t.revoked {
		if k.ID() == id {
			return Grant{}, RevokedError(id, at)
		}
	}
	return Grant{}, fmt.Errorf("%w: key %s is not trusted here", minisign.ErrSignature, id)
}

// RevokedError is the error that the key with that ID was revoked, with the time. It wraps minisign.ErrSignature.
func RevokedError(id string, at time.Time) error {
	return fmt.Errorf("%w: key %s was revoked here on %s", minisign.ErrSignature, id, at.UTC().Format(time.DateOnly))
}

// Revoked returns an error if the key with that ID was revoked, and otherwise nil.
func (t *Trust) Revoked(signer string) error {
	t.mu.RLock()
	defer t.mu.RUnlock()
	for k, at := range t.revoked {
		if _, again := t.grants[signer]; k.ID() == signer && !again {
			return RevokedError(signer, at)
		}
	}
	return nil
}
